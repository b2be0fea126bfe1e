"""Counts which of a folder's files are read, by kind, and why the rest is refused.

The folder holds files as people have them: clones of public repositories, a group's own designs. Files of equal content
count once. Nothing of them is kept or executed; each goes through the reader that a command would use::

    python tools/census.py FOLDER [--kind mapping] [--reasons 20] [--list REASON] [--map 20]

A design that does not stand alone is read with the files that lie around it: the folder's own, and those that the
nearest template on top (``top.yaml.jinja2``) names. With ``--map N`` a layer is mapped on N of the designs of each kind
that are read, spread evenly over them: one of ResNet-18, or the design's own where it speaks of other names, or a
product of matrices. With ``--components`` every design with a folder ``components`` beside it is read with that, and
what its components cost is estimated.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import math
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from dovetail.components.accelergy_tables import read_areas, read_energy_table
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import MAX_BYTES, Node, Scalar, read_text
from dovetail.document_file import read_document
from dovetail.errors import DovetailError
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.printed import parse_printed_mapping
from dovetail.mapping.timeloop_yaml import parse_timeloop_mapping
from dovetail.network.readings import search_readings
from dovetail.runs.stats import read_stats
from dovetail.workload.loading import load_layer, read_network
from dovetail.workload.problem import Problem, Shape, Tensor, Term
from dovetail.workload.problem_yaml import read_problem_file

_SUFFIXES = (".yaml", ".yml", ".jinja", ".jinja2", ".txt", ".cfg", ".csv")
#: CiMLoop's collection of layers leaves these to the design's variables.
_VARIABLES = {f"ENCODED_{name}_BITS": 8 for name in ("INPUT", "WEIGHT", "OUTPUT")} | {"BATCH_SIZE": 1}
#: What is mapped on each design, and for how long the best is looked for.
_LAYER, _SECONDS = "resnet18:layer2.0.conv1", 5.0
#: The same layer in the words of designs that speak of products: a kernel of one pixel of it.
_PRODUCT = "problem: {shape: gemm_ABZ, instance: {M: 128, N: 784, K: 64}}\n"
#: Layers of a design's own that are tried.
_MOST_OWN = 4
#: Designs in other tools' forms.
_NEIGHBOURS = ("ZigZag accelerator", "AccelForge architecture", "SCALE-Sim config")
_WRITTEN_BY_TOOLS = re.compile(r"flattened_architecture|parsed-processed|aggregated|summary|^timeloop-(model|mapper)")


def main() -> int:
    """Run the census."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--kind", help="only kinds whose name holds this")
    parser.add_argument("--reasons", type=int, default=8, help="reasons shown of each kind (8)")
    parser.add_argument("--list", metavar="REASON", help="name the files whose reason holds this")
    parser.add_argument("--map", type=int, default=0, metavar="N", help="also map a layer on N designs of each kind")
    parser.add_argument("--components", action="store_true", help="count designs whose own components are estimated")
    args = parser.parse_args()
    if args.components:
        _print({"components estimated": _estimated(args.folder, args.list)}, args.reasons)
        return 0
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    designs: dict[str, list[Path]] = defaultdict(list)
    for path, kind in kinds_of_files(args.folder):
        if args.kind and args.kind not in kind:
            continue
        reason = first_reason(path, kind)
        reasons[kind][reason] += 1
        if not reason and _is_design(kind):
            designs[kind].append(path)
        if args.list and args.list in reason:
            print(f"{path}: {reason}")
    _print(reasons, args.reasons)
    if args.map:
        _print(
            {f"mapped: {kind}": _all_mapped(paths, args.map, args.list) for kind, paths in designs.items()},
            args.reasons,
        )
    return 0


def _estimated(folder: Path, listed: str | None) -> Counter[str]:
    """Return how often the components of designs are estimated with the classes that lie beside, by what hinders it."""
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    for beside in sorted(each for each in folder.rglob("components") if each.is_dir() and any(each.glob("*.yaml"))):
        classes = b"".join(file.read_bytes() for file in sorted(beside.glob("*.yaml")))
        for path in sorted([*beside.parent.glob("*.yaml"), *beside.parent.glob("arch/*.yaml")]):
            content = path.read_bytes()
            digest = hashlib.sha256(content + classes).digest()
            if digest in seen or not re.search(rb"^architecture:", content, re.M):
                continue
            seen.add(digest)
            why = ""
            try:
                estimate(load_architecture([path, beside]))
            except DovetailError as error:
                why = _general(getattr(error, "message", None) or str(error))
            counts[why] += 1
            if listed and listed in why:
                print(f"{path}: {why}", flush=True)
    return counts


def _is_design(kind: str) -> bool:
    return kind.startswith("design") or kind in _NEIGHBOURS


def _all_mapped(paths: Sequence[Path], most: int, listed: str | None) -> Counter[str]:
    """Return how often a layer has a mapping on designs, by the reason why it has none; at most so many are tried."""
    counts: Counter[str] = Counter()
    for path in paths[:: max(1, math.ceil(len(paths) / most))]:
        why = _mapped(path)
        counts[why] += 1
        if listed and listed in why:
            print(f"{path}: {why}", flush=True)
    return counts


def _print(reasons: Mapping[str, Counter[str]], most: int) -> None:
    print(f"{'kind':34} {'files':>6} {'read':>6} {'share':>7}")
    for kind, counts in sorted(reasons.items()):
        total = counts.total()
        print(f"{kind:34} {total:6} {counts['']:6} {counts[''] / total:7.1%}")
        for reason, count in counts.most_common(most + 1):
            if reason:
                print(f"    {count:5} {reason}")


def kinds_of_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each distinct file with each kind of thing that it holds."""
    seen: set[bytes] = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file() or path.stat().st_size > MAX_BYTES:
            continue
        content = path.read_bytes()
        digest = hashlib.sha256(content).digest()
        if digest in seen:
            continue
        seen.add(digest)
        for kind in kinds(path, content.decode("utf-8", "replace")):
            yield path, kind


def kinds(path: Path, text: str) -> list[str]:
    """Return what a file holds, by its name and top-level keys; empty when it is none of our business."""
    if path.suffix == ".txt":
        found = {"map.txt": "map.txt of a run", "stats.txt": "stats.txt of a run"}
        return [kind for end, kind in found.items() if path.name.endswith(end)]
    if path.suffix == ".cfg":
        if re.search(r"^\s*arch(itecture)?\s*[:=]|^\s*problem\s*[:=]", text, re.M):
            return ["libconfig"]
        return ["SCALE-Sim config"] if "[architecture_presets]" in text.lower() else []
    if path.suffix == ".csv":
        return ["SCALE-Sim topology"] if re.match(r"\s*layer\s*(name)?\s*,", text, re.I) else []
    keys = set(re.findall(r"^([A-Za-z_][\w-]*)[ \t]*:", text, re.M))
    tags: list[str] = []
    if "architecture" in keys:
        tags.append(_design(path, keys, text))
    if "arch" in keys and "!" in text:
        tags.append("AccelForge architecture")
    if {"operational_array", "memories"} <= keys:
        tags.append("ZigZag accelerator")
    if re.search(r"^- id:.*\n(?:.*\n)*?  operator_type:", text, re.M):
        tags.append("ZigZag workload")
    if "problem" in keys:
        tags.append("problem")
    if "mapping" in keys and "arch" not in keys and "workload" not in keys:
        tags.append("mapping")
    for section in ("ERT", "ART", "ERT_summary", "ART_summary"):
        if section in keys:
            tags.append(section)
    return tags


def _design(path: Path, keys: set[str], text: str) -> str:
    sparse = ", sparse" if re.search(r"metadata_storage|sparse_optimizations:\s*\n.*\n", text) else ""
    if "dumped_by_timeloop_front_end" in keys or _WRITTEN_BY_TOOLS.search(path.name):
        return f"design written by a tool{sparse}"
    version = re.search(r"^\s+version:\s*[\"']?([\d.]+)", text, re.M)
    if re.search(r"^\s+-?\s*subtree\s*:", text, re.M):
        return f"design v{version[1] if version else '?'}, subtree{sparse}"
    return f"design v0.4{sparse}"


def first_reason(path: Path, kind: str) -> str:
    """Return why a file is not read, without names and numbers of its own; empty when it is."""
    try:
        (_read_design if _is_design(kind) else _READERS.get(kind, _no_reader))(path)
    except DovetailError as error:
        return _general(getattr(error, "message", None) or str(error))
    except Exception as error:  # a census counts crashes, too
        return f"CRASH {type(error).__name__}: {str(error)[:60]}"
    return ""


def _general(message: str) -> str:
    message = re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?", "#", message.split("\n")[0])
    return re.sub(r"(, )?did you mean.*|; known.*", "", message)[:110]


def _read_design(path: Path) -> Architecture:
    """Read a design alone; else with the files around it; the error is that of the first try."""
    try:
        return load_architecture(path)
    except DovetailError as alone:
        for paths, folders, data in _around(path):
            with contextlib.suppress(DovetailError):
                return load_architecture(paths, include_folders=folders, data=data)
        raise alone from None


def _around(path: Path) -> Iterator[tuple[list[Path], list[Path], dict[str, Scalar]]]:
    """Yield the ways to read a design with what lies around it: files, folders to include from, template variables."""
    beside = [path.with_name(f"{name}.yaml") for name in ("variables", "components")]
    yield [path, *(other for other in beside if other.is_file() and other != path)], [path.parent.parent], {}
    if path.name.startswith("top."):
        for folder in sorted({inner.parent.name for inner in path.parent.glob("*/arch.yaml")}):
            yield [path], [], {"architecture": folder}
    for above in list(path.parents)[:4]:
        for top in sorted(above.glob("top.yaml.jinja*")):
            yield [top], [], {"architecture": path.parent.name, "macro": path.parent.name, "iso": path.parent.name}
            yield [top], [above], {"architecture": path.parent.name}


def _mapped(path: Path) -> str:
    """Return why neither a layer of ResNet-18 nor its own has a mapping on a design; empty when one has.

    Every action costs 1 pJ.
    """
    try:
        levels = _read_design(path).levels
        why = _search(levels, _LAYER)
        own = (_search(levels, layer) for layer in _own_layers(path)) if why else iter([""])
        return why if all(own) else ""
    except DovetailError as error:
        return _general(getattr(error, "message", None) or str(error))
    except Exception as error:  # as above
        return f"CRASH {type(error).__name__}: {str(error)[:60]}"


def _own_layers(path: Path) -> Iterator[str]:
    """Yield files that may hold a layer of a design's own, itself and those near it; last a product of matrices."""
    near = [path, *sorted(path.parent.glob("*prob*.yaml")), *sorted(path.parent.parent.glob("*prob*/*.yaml"))]
    for file in near[:_MOST_OWN]:
        with contextlib.suppress(DovetailError):  # a config of another form may be no text of ours
            if re.search(r"^problem\s*:", read_text(file), re.M):
                yield str(file)
    with tempfile.TemporaryDirectory() as folder:
        product = Path(folder) / "product.yaml"
        write_text(product, _PRODUCT)
        yield str(product)


@functools.cache
def _search(levels: tuple[Level, ...], layer: str) -> str:
    design = Architecture("design", levels, 1e-9)
    actions = dict.fromkeys(("read", "write", "update", "compute"), 1.0) | {"leak": 0.0}
    energies = EnergyTable({level.name: ComponentCost(actions) for level in levels})

    def once(problem: Problem, seconds: Limit) -> SearchResult:
        return search(problem, design, energies, time_limit=seconds)

    try:
        search_readings(load_layer(layer, variables=_VARIABLES), design, once, _SECONDS)
    except DovetailError as error:
        return _general(getattr(error, "message", None) or str(error))
    return ""


def _no_reader(path: Path) -> None:
    raise DovetailError(f"no reader for {path.suffix}")


def _read_mapping(path: Path) -> None:
    """Read a mapping on a design and problem made of the words it uses: the form is tested, not whether it fits."""
    document = read_document(path)
    design, problem = _made_for(document)
    parse_timeloop_mapping(document, design, problem)


def _read_printed(path: Path) -> None:
    """Read a printed loop nest, likewise."""
    text = read_text(path)
    names = re.findall(r"^([A-Za-z_][\w.-]*) \[", text, re.M)
    spatial = [name for name in names if "spatial" in name]
    parts = re.split(r"^([A-Za-z_][\w.-]*) \[", text, flags=re.M)
    spatial += [name for name, body in zip(parts[1::2], parts[2::2], strict=True) if "(Spatial" in body]
    tensors = re.findall(r"[\[ ]([A-Za-z_]\w*):\d", text)
    design = Architecture("made", tuple(_levels(list(dict.fromkeys(names)), spatial)), 1e-9)
    parse_printed_mapping(text, design, _problem(re.findall(r"for (\w+) in", text), tensors), file=str(path))


def _made_for(document: Node) -> tuple[Architecture, Problem]:
    directives = document.mapping().get("mapping", document)
    if isinstance(directives.value, dict):
        raise directives.fail("fused operations, or another tool's mapping")
    dimensions: list[str] = []
    tensors: list[str] = []
    targets: list[str | int] = []
    spatial: list[str | int] = []
    for node in directives.sequence():
        entries = {key.replace("-", "_"): value for key, value in node.mapping().items()}
        target = entries["target"].value if "target" in entries else ""
        assert isinstance(target, str | int)
        if target not in targets:
            targets.append(target)
        if "type" in entries and entries["type"].value == "spatial":
            spatial.append(target)
        for key in ("keep", "bypass", "keep_only", "bypass_only"):
            tensors += entries[key].plain() or [] if key in entries else []
        dimensions += _dimensions(entries.get("factors"))
    return Architecture("made", tuple(_levels(targets, spatial)), 1e-9), _problem(dimensions, tensors)


def _problem(dimensions: list[str], tensors: list[str]) -> Problem:
    dimensions = list(dict.fromkeys(dimensions)) or ["C"]
    tensors = list(dict.fromkeys(tensors)) or ["Weights", "Inputs", "Outputs"]
    every = tuple((Term(dimension),) for dimension in dimensions)
    made = tuple(Tensor(name, every, is_output=name == tensors[-1]) for name in tensors)
    return Problem(Shape("made", tuple(dimensions), made), (1,) * len(dimensions))


def _dimensions(node: Node | None) -> list[str]:
    if node is None:
        return []
    if isinstance(node.value, dict):
        return list(node.value)
    texts = node.value if isinstance(node.value, str) else " ".join(str(item) for item in node.plain() or [])
    return list(re.findall(r"([A-Za-z_][A-Za-z_]*)\s*=?\s*\d", texts))


def _levels(targets: Sequence[str | int], spatial: Sequence[str | int]) -> Iterator[Level]:
    size = partial(Storage, component="SRAM", mesh_x=1, mesh_y=1, width=16, datawidth=16)
    yield size(name="made_outermost")
    for target in targets:
        name = f"L{target}" if isinstance(target, int) else target
        is_fanout = "spatial" in name and target in spatial
        if not is_fanout:
            yield size(name=name)
        if target in spatial:
            own = name if is_fanout else f"inter_{name}_spatial"
            yield Spatial(name=own, component="fanout", mesh_x=1, mesh_y=1, fanout_x=2, fanout_y=1)
    yield Compute(name="made_compute", component="mac", mesh_x=1, mesh_y=1, datawidth=16)


_READERS: dict[str, Callable[[Path], object]] = {
    "problem": partial(read_problem_file, variables=_VARIABLES),
    "SCALE-Sim topology": read_network,
    "ZigZag workload": read_network,
    "mapping": _read_mapping,
    "map.txt of a run": _read_printed,
    "ERT": read_energy_table,
    "ERT_summary": read_energy_table,
    "ART": read_areas,
    "ART_summary": read_areas,
    "stats.txt of a run": read_stats,
}


if __name__ == "__main__":
    sys.exit(main())
