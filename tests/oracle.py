"""Evaluated mappings of the reference: the case files, and their architectures and problems as our values.

A case is one JSON object: a problem, an architecture (by name, or carried along), a mapping as directives, and what the
reference says of them (``expect``, or ``error`` where it rejects the mapping). `dovetail` is asked for the same, and
`differences` compares whatever a case expects, field by field; a field that is not known here is a difference.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import oracle_zeros
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import InputError, MappingError
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage
from dovetail.hardware.attribute_list import ATTRIBUTES, check_names
from dovetail.hardware.energy_attributes import storage_charges, wires_below
from dovetail.hardware.sparse_reader import metadata_store, read_sparse
from dovetail.hardware.storage_attributes import storage_fields
from dovetail.mapping.directives import mapping_from_directives
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost, LinkCost, TensorCost
from dovetail.model.evaluate import evaluate
from dovetail.workload.density_yaml import densities_of
from dovetail.workload.problem import CONVOLUTION, GROUPED_CONVOLUTION, Problem, Shape, Tensor, Term

DATA = Path(__file__).parent / "data"
OWN = tuple(DATA / f"oracle_{name}.jsonl.gz" for name in ("mappings", "general", "fresh", "sparse"))
Case = dict[str, Any]

#: What a directive says that here is a constraint of the level: kind of directive -> its key -> the constraint.
OPTIONS = {
    "temporal": {"no_reuse": "no_reuse", "no_temporal_reuse": "no_reuse", "rmw_first_update": "rmw_first_update"},
    "spatial": {
        "no_reuse": "no_reuse",
        "no_multicast_no_reduction": "no_reuse",
        "no_link_transfer": "no_link_transfer",
    },
}
_FRAME = {
    "name", "component", "kind", "instances", "mesh_x", "mesh_y", "fanout_x", "fanout_y", "energy_pJ", "area_um2",
    "type",
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Yield every case of the files named in $DOVETAIL_ORACLE (separated by ':'), or of our own copies."""
    named = os.environ.get("DOVETAIL_ORACLE")
    files = [Path(name) for name in named.split(":") if name] if named else OWN
    for file in files:
        with file.open("rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        with gzip.open(file, "rt") if packed else file.open() as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def architectures() -> dict[str, list[dict[str, Any]]]:
    """Return the levels of the named architectures, from $DOVETAIL_ORACLE_ARCH or our own copy."""
    file = os.environ.get("DOVETAIL_ORACLE_ARCH") or DATA / "oracle_architectures.json"
    return json.loads(Path(file).read_text())  # type: ignore[no-any-return]


class Evaluated(NamedTuple):
    """One case with our answer."""

    architecture: Architecture
    problem: Problem
    mapping: Mapping
    energies: EnergyTable
    cost: Cost


def evaluated(case: Case, known: dict[str, list[dict[str, Any]]]) -> Evaluated:
    """Return our answer to a case; raises what the model raises where it rejects the mapping."""
    levels = levels_of(case, known)
    plain, options = _options(case["mapping"])
    design, layer = _constrained(_with_zeros(architecture(levels), case.get("sparse", [])), options), problem(case)
    mapping = mapping_from_directives(plain, design, layer)
    table = energies(levels)
    return Evaluated(design, layer, mapping, table, evaluate(mapping, layer, design, table))


def differences(case: Case, known: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return whatever the reference says of a case and we do not."""
    expect = case.get("expect")
    if expect is not None and "dense" in expect:
        return list(_compare_sparse(evaluated(case, known), expect))
    if expect is not None:
        return list(_compare(evaluated(case, known), expect))
    try:
        cost = evaluated(case, known).cost
    except InputError as error:
        if "sparse" not in case:
            raise  # the case is not understood
        return list(oracle_zeros.other_reason(str(error), str(case.get("error", ""))))
    except MappingError as error:
        if "sparse" in case:
            return list(oracle_zeros.other_reason(str(error), str(case.get("error", ""))))
        return list(_other_reason(str(error), str(case.get("error", ""))))
    return [f"accepted, {cost.cycles} cycles; the reference: {case.get('error')}"]


def levels_of(case: Case, known: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the levels of a case's architecture, which it names or carries with it."""
    named = case["architecture"]
    return known[named] if isinstance(named, str) else named


def architecture(levels: list[dict[str, Any]], name: str = "oracle") -> Architecture:
    """Build the architecture of levels given as plain data: a frame, and attributes as in an architecture file."""
    return Architecture(name, tuple(_level(level) for level in levels))


def _level(level: dict[str, Any]) -> Level:
    def fail(key: str, message: str) -> InputError:
        return InputError(f"{level['name']}: {message}", key=key)

    common = {key: level[key] for key in ("name", "component", "mesh_x", "mesh_y")}
    assert level.get("instances", level["mesh_x"] * level["mesh_y"]) == level["mesh_x"] * level["mesh_y"]
    attributes = {key: value for key, value in level.items() if key not in _FRAME}
    unknown = attributes.keys() - {name for attribute in ATTRIBUTES for name in attribute.names}
    assert not unknown, f"attributes that are not understood: {sorted(unknown)}"
    check_names(attributes, fail)
    if level["kind"] == "compute":
        return Compute(**common, datawidth=attributes.get("datawidth", 16))
    wires = wires_below(attributes, attributes.get("datawidth", 1), fail)
    if level["kind"] == "spatial":
        return Spatial(**common, fanout_x=level["fanout_x"], fanout_y=level["fanout_y"], wires=wires)
    assert level["kind"] == "storage", f"unknown kind of level: {level['kind']}"
    fields = storage_fields(attributes, is_dram=True, fail=fail)
    store = metadata_store(attributes, fail)
    return Storage(**common, wires=wires, **fields, **storage_charges(attributes, fail), metadata=store)


def _with_zeros(design: Architecture, targets: list[dict[str, Any]]) -> Architecture:
    """Return the design with what a case's v0.3 target list says about zeros, read as a design's file is."""
    levels = {level.name: level for level in design.levels}
    for target in targets:
        node = parse_document(json.dumps(target), file="the case")
        level = levels[target["name"]]
        sparse, _ = read_sparse([node], {}, level.name, computes=isinstance(level, Compute))
        levels[level.name] = replace(level, sparse=sparse)
    return replace(design, levels=tuple(levels.values()))


def _options(directives: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[tuple[str, str, str, frozenset]]]:
    """Take the options out of directives; returns directives without, and (level, kind, constraint, tensors)."""
    plain, options = [], []
    for directive in directives:
        kept = dict(directive)
        for key, constraint in OPTIONS.get(directive["type"], {}).items():
            if key in kept:
                options.append((directive["target"], directive["type"], constraint, frozenset(kept.pop(key))))
        plain.append(kept)
    return plain, options


def _constrained(design: Architecture, options: list[tuple[str, str, str, frozenset]]) -> Architecture:
    levels = {level.name: level for level in design.levels}
    for name, kind, constraint, tensors in options:
        own = levels[name].constraints
        loops = replace(getattr(own, kind), **{constraint: getattr(getattr(own, kind), constraint) | tensors})
        levels[name] = replace(levels[name], constraints=replace(own, **{kind: loops}))
    return replace(design, levels=tuple(levels.values()))


def energies(levels: list[dict[str, Any]]) -> EnergyTable:
    """Return the energy table that levels given as plain data carry."""
    return EnergyTable(
        {
            level["name"]: ComponentCost(level["energy_pJ"], level.get("area_um2", 0.0))
            for level in levels
            if "energy_pJ" in level
        }
    )


def problem(case: Case) -> Problem:
    """Build the problem of a case: a convolution, or what its projections say."""
    sizes, dims = case["problem"], tuple(case["dims"])
    if "projections" not in case:
        shape = GROUPED_CONVOLUTION if "G" in dims else CONVOLUTION
    else:
        tensors = tuple(
            Tensor(name, tuple(tuple(Term(*term) for term in axis) for axis in axes), name == case["output"])
            for name, axes in case["projections"].items()
        )
        used = {term.coefficient for t in tensors for axis in t.projection for term in axis if term.coefficient}
        shape = Shape(case.get("kind", "general"), dims, tensors, tuple(sorted(used)))
    bounds = tuple(sizes[d] for d in shape.dimensions)
    dense = Problem(shape, bounds, tuple(sizes[c] for c in shape.coefficients), case["id"])
    densities = parse_document(json.dumps({"densities": case.get("densities", {})}), file="the case").mapping()
    return replace(dense, densities=densities_of(dense, densities, {}))


class _Here(NamedTuple):
    """One level of our answer, with what its counts are per."""

    level: Level
    energies: EnergyTable
    cost: Cost
    across: tuple[int, int]  # instances on X and on Y that any pass uses

    def words_per_cycle(self, words: int, tensor: TensorCost) -> float:
        """Return what a count of words comes to, averaged over the instances that any pass uses."""
        most = math.prod(self.across)
        steps = self.cost.levels[-1].cycles
        return self.cost[self.level.name].throttling * math.ceil(words / (most / tensor.instances)) / steps

    @property
    def clusters(self) -> int:
        """Physical lines in use."""
        shared = self.level.cluster_size if isinstance(self.level, Storage) else 1
        return min(math.prod(self.across), self.level.instances // shared)

    def size(self, buffers: float = 1) -> int | None:
        """Return the words that one instance holds; the reference gives a fan-out one."""
        words = self.level.words if isinstance(self.level, Storage) else 1
        return None if words is None else math.floor(words / buffers)


#: What a case may say of a level, of a tensor there, of a tensor on a network, of compute, in all -> our number.
LEVEL: dict[str, Callable[[_Here], Any]] = {
    "name": lambda here: here.level.name,
    "cycles": lambda here: here.cost[here.level.name].cycles,
    "throttling": lambda here: here.cost[here.level.name].throttling,
    "leakage_pJ": lambda here: here.cost[here.level.name].leakage_pJ,
    "instances": lambda here: here.cost[here.level.name].instances,
    "energy_pJ": lambda here: here.cost[here.level.name].energy_pJ,
    "computes": lambda here: here.cost.computes,
    "compute_pJ": lambda here: here.energies[here.level.name].energy("compute"),
    "n": lambda here: here.level.instances,
    "word_bits": lambda here: here.level.datawidth if isinstance(here.level, Storage) else 1,
    "block": lambda here: here.level.block if isinstance(here.level, Storage) else 1,
    "cluster": lambda here: here.level.cluster_size if isinstance(here.level, Storage) else 1,
    "size": lambda here: here.size(),
    "effective_size": lambda here: here.size(getattr(here.level, "multiple_buffering", 1)),
}
_COUNTS = (
    "tile", "partition", "instances", "reads", "fills", "updates", "temporal_reductions", "address_generations",
    "energy_pJ",
)  # fmt: skip
TENSOR: dict[str, Callable[[_Here, TensorCost], Any]] = {
    **{name: lambda _, tensor, name=name: getattr(tensor, name) for name in _COUNTS},  # type: ignore[misc]
    "capacity": lambda _, tensor: tensor.tile,
    "tile_shape": lambda _, tensor: tensor.tile,
    "x": lambda here, _: here.across[0],
    "y": lambda here, _: here.across[1],
    "clusters": lambda here, _: here.clusters,
    "read_bandwidth": lambda here, tensor: here.words_per_cycle(tensor.reads, tensor),
    "write_bandwidth": lambda here, tensor: here.words_per_cycle(tensor.fills + tensor.updates, tensor),
    "addr_gen_energy_pJ": lambda _, tensor: tensor.address_pJ,
}
_LINKS = ("fanout", "multicast_factor", "ingresses", "link_transfers", "spatial_reductions", "energy_pJ")
LINK: dict[str, Callable[[LinkCost], Any]] = {
    name: lambda link, name=name: getattr(link, name)  # type: ignore[misc]
    for name in _LINKS
}
COMPUTE: dict[str, Callable[[_Here], Any]] = {
    "cycles": lambda here: here.cost.levels[-1].cycles,
    "energy_pJ": lambda here: here.cost.levels[-1].compute_pJ,
    "instances_max": lambda here: here.cost.levels[-1].instances_max,
    "instances_avg": lambda here: here.cost.levels[-1].instances,
    "x": lambda here: here.across[0],
    "y": lambda here: here.across[1],
}
TOTAL: dict[str, Callable[[Cost], Any]] = {
    "cycles": lambda cost: cost.cycles,
    "computes": lambda cost: cost.computes,
    "algorithmic_computes": lambda cost: cost.computes,
    "actual_computes": lambda cost: cost.computes,
    "energy_pJ": lambda cost: cost.energy_pJ,
    "utilization": lambda cost: cost.utilization,
    "area_um2": lambda cost: cost.area_um2,
}
#: The same as a summary prints them: energy, utilization and area with two digits after the point, EDP with three.
SUMMARY: dict[str, Callable[[Cost], Any]] = {
    "cycles": lambda cost: cost.cycles,
    "computes": lambda cost: cost.computes,
    "energy_uJ": lambda cost: cost.energy_pJ * 1e-6,
    "utilization": lambda cost: cost.utilization * 100,
    "edp": lambda cost: float(f"{cost.edp_J_cycle:.2e}"),
    "area_mm2": lambda cost: cost.area_um2 * 1e-6,
}
HALF_A_CENT = 0.005 + 1e-6  # printed with two digits


def _compare(ours: Evaluated, expect: dict[str, Any]) -> Iterator[str]:
    """Yield every number that differs. A case with a summary is as printed, every other at full precision."""
    printed = HALF_A_CENT if "summary" in expect else 0.0
    given = expect.get("levels", {})
    for level in given.values() if isinstance(given, dict) else given:
        name = level["name"] if "name" in level else next(key for key, value in given.items() if value is level)
        yield from _compare_level(ours, name, level, printed)
    for name, links in expect.get("networks", {}).items():
        for tensor, numbers in links.items():
            own = {key: get(ours.cost.networks[name][tensor]) for key, get in LINK.items()}
            yield from _fields(f"{name} {tensor}", own, numbers, printed)
    if "compute" in expect:
        here = _here(ours, ours.architecture.compute.name)
        yield from _fields("compute", {key: get(here) for key, get in COMPUTE.items()}, expect["compute"], printed)
    if "summary" in expect:
        own = {key: get(ours.cost) for key, get in SUMMARY.items()}
        yield from _fields("summary", own, expect["summary"], printed)
    rest = {key: value for key, value in expect.items() if key not in ("levels", "networks", "compute", "summary")}
    yield from _fields("total", {key: get(ours.cost) for key, get in TOTAL.items()}, rest, printed)


def _compare_sparse(ours: Evaluated, expect: dict[str, Any]) -> Iterator[str]:
    """Yield every number of a sparse case that differs, at full precision, its dense counts among them."""
    for name, level in expect["levels"].items():
        here, kept = _here(ours, name), ours.cost[name].tensors
        rest = {key: value for key, value in level.items() if key != "tensors"}
        yield from _fields(name, {key: LEVEL[key](here) for key in rest if key in LEVEL}, rest, 0.0)
        if set(kept) != set(level["tensors"]):
            yield f"{name} keeps {sorted(kept)}, not {sorted(level['tensors'])}"
            continue
        for tensor, numbers in level["tensors"].items():
            yield from _fields(f"{name} {tensor}", _sparse_tensor(ours, here, kept[tensor], tensor), numbers, 0.0)
    yield from _fields("compute", oracle_zeros.compute(ours.cost), expect["compute"], 0.0)
    rest = {key: value for key, value in expect.items() if key not in ("levels", "compute", "dense")}
    own = {key: get(ours.cost) for key, get in TOTAL.items()}
    yield from _fields("total", {**own, "edp_J_cycle": ours.cost.edp_J_cycle}, rest, 0.0)
    design, layer = oracle_zeros.without_zeros(ours.architecture, ours.problem)
    dense = Evaluated(design, layer, ours.mapping, ours.energies, evaluate(ours.mapping, layer, design, ours.energies))
    counts = {**expect["dense"], "compute": {**expect["dense"]["compute"]}}
    counts["algorithmic_computes"] = counts["compute"].pop("algorithmic")
    yield from (f"dense: {line}" for line in _compare(dense, counts))


def _sparse_tensor(ours: Evaluated, here: _Here, cost: TensorCost, name: str) -> dict[str, Any]:
    assert cost.zeros is not None
    assert isinstance(here.level, Storage)
    level = here.level
    own = {key: get(cost, cost.zeros, level) for key, get in oracle_zeros.TENSOR.items()}
    own["density_model"] = oracle_zeros.density_name(ours.problem.density(name))
    return {**own, "x": here.across[0], "y": here.across[1], "clusters": here.clusters}


def _compare_level(ours: Evaluated, name: str, expect: dict[str, Any], printed: float) -> Iterator[str]:
    here = _here(ours, name)
    rest = {key: value for key, value in expect.items() if key != "tensors"}
    if isinstance(here.level, Compute):
        rest.pop("word_bits", None)  # printed, but the case's architecture does not say it, and nothing depends on it
    yield from _fields(name, {key: LEVEL[key](here) for key in rest if key in LEVEL}, rest, printed)
    if "tensors" not in expect:
        return
    kept = ours.cost[name].tensors
    if set(kept) != set(expect["tensors"]):
        yield f"{name} keeps {sorted(kept)}, not {sorted(expect['tensors'])}"
        return
    for tensor, numbers in expect["tensors"].items():
        own = {key: get(here, kept[tensor]) for key, get in TENSOR.items()}
        yield from _fields(f"{name} {tensor}", own, numbers, printed)


def _here(ours: Evaluated, name: str) -> _Here:
    x = y = 1
    for entry in ours.mapping.levels:
        if entry.level == name:
            break
        x *= math.prod(loop.factor for loop in entry.spatial_x)
        y *= math.prod(loop.factor for loop in entry.spatial_y)
    return _Here(ours.architecture.level(name), ours.energies, ours.cost, (x, y))


def _fields(where: str, own: dict[str, Any], expect: dict[str, Any], printed: float) -> Iterator[str]:
    """Yield what differs: integers at all, other numbers by more than their last digit as given."""
    for name, wanted in expect.items():
        if name not in own:
            yield f"{where}: '{name}' is not known here, so it is not compared"
        elif isinstance(own[name], float) and isinstance(wanted, int | float):
            slack = 0.0 if name == "edp" else printed
            if abs(own[name] - wanted) > slack + 1e-12 * max(abs(wanted), 1.0):
                yield f"{where}: {name} is {own[name]}, not {wanted}"
        elif own[name] != (math.floor(wanted) if name == "instances_avg" else wanted):
            yield f"{where}: {name} is {own[name]}, not {wanted}"


def _other_reason(ours: str, theirs: str) -> Iterator[str]:
    """Yield a difference where the reference says which level does not hold how many words, and we do not."""
    said = re.search(r"level (\S+): mapped tile size (\d+) exceeds buffer capacity (\d+)", theirs)
    if said is not None:
        level, need, room = said.groups()
        if not (ours.startswith(f"{level}: tiles need {need} words") and ours.endswith(f"only {room} fit")):
            yield f"rejected as '{ours}', not '{theirs}'"
