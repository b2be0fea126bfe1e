"""Reads architectures: Timeloop v0.4 YAML files, and the designs that come with the package.

A document may hold the architecture alone (an ``arch.yaml``) or a whole specification; of the latter, sections that
are not about hardware (problem, mapping, mapper, ERT, ART) are left to their own readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.document import Node, Scalar
from dovetail.document_file import read_document
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_all
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.constraint_reader import target_kind, without_ignored
from dovetail.hardware.node_reader import Targeted, read_nodes

_DESIGNS = Path(__file__).parent / "designs"
_COMPONENTS = ("components", "compound_components")
_CONSTRAINTS = (
    "constraints", "architecture_constraints", "mapping_constraints", "mapspace_constraints",
    "extra_mapping_constraints",
)  # fmt: skip
_ELSEWHERE = ("problem", "mapping", "mapper", "ERT", "ART")
_SECTIONS = (
    "architecture", "variables", *_COMPONENTS, *_CONSTRAINTS, *_ELSEWHERE, "globals", "mapspace",
    "sparse_optimizations",
)  # fmt: skip


def bundled_designs() -> tuple[str, ...]:
    """Return the names of the designs that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _DESIGNS.glob("*.yaml") if not path.stem.startswith("_")))


def design_file(name: str) -> Path:
    """Return the file of a bundled design; raises InputError with the nearest name when there is none."""
    if name not in bundled_designs():
        raise InputError(f"unknown design '{name}'{did_you_mean(name, bundled_designs())}")
    return _DESIGNS / f"{name}.yaml"


def load_architecture(
    name_or_path: str | Path, *, include_folders: Sequence[Path] = (), data: Mapping[str, Scalar] | None = None
) -> Architecture:
    """Read an architecture.

    Args:
        name_or_path: the name of a bundled design, or a file in Timeloop v0.4 form.
        include_folders: folders besides the file's own that its includes may read.
        data: values for the file's template variables.

    Raises:
        InputError: there is no such design or file, or the file is wrong; with file, line and key.
    """
    if isinstance(name_or_path, str) and name_or_path in bundled_designs():
        return _read(design_file(name_or_path), include_folders, data)
    path = Path(name_or_path)
    if len(path.parts) == 1 and not path.suffix and not path.exists():
        raise InputError(f"no design and no file is named '{path}'{did_you_mean(str(path), bundled_designs())}")
    return _read(path, include_folders, data)


def read_architecture(document: Node, name: str) -> Architecture:
    """Read an architecture from a document.

    Args:
        document: the whole document.
        name: what to call the architecture.

    Raises:
        InputError: the document is wrong; with file, line and key.
    """
    sections = without_ignored(document).mapping(known=_SECTIONS, required=("architecture",))
    _check_the_rest(sections)
    variables = _variables(sections.get("variables"))
    architecture = without_ignored(sections["architecture"])
    if isinstance(architecture.value, dict) and "subtree" in architecture.value:
        raise architecture.value["subtree"].fail("'subtree' is the form before version 0.4; only 'nodes' is read")
    parts = architecture.mapping(known=("version", "nodes"), required=("nodes",))
    _check_version(parts)
    levels, notes = read_nodes(parts["nodes"], variables, _targeted(sections))
    innermost = levels[-1].attributes if levels else variables
    try:
        return Architecture(name, levels, _cycle_seconds(innermost), _component_classes(sections), notes=notes)
    except InputError as error:
        raise architecture.fail(error.message) from None


def _read(path: Path, include_folders: Sequence[Path], data: Mapping[str, Scalar] | None) -> Architecture:
    name = path.resolve().parent.name if path.stem in ("arch", "architecture") else path.name.split(".")[0]
    return read_architecture(read_document(path, include_folders=include_folders, data=data), name or "architecture")


def _check_version(parts: Mapping[str, Node]) -> None:
    version = parts.get("version")
    if version is not None and version.value not in (0.4, "0.4"):
        raise version.fail(f"only Timeloop version 0.4 is read, found {version.kind}")


def _check_the_rest(sections: Mapping[str, Node]) -> None:
    """Refuse what would change the meaning and is not supported."""
    for name, keys in (
        ("globals", ("version", "environment_variables", "expression_custom_functions", "accelergy_plug_ins")),
        ("mapspace", ("version", "template")),
        ("sparse_optimizations", ("version", "targets")),
    ):
        if name not in sections or sections[name].value is None:
            continue
        entries = without_ignored(sections[name]).mapping(known=keys)
        _check_version(entries)
        for key in ("expression_custom_functions", "accelergy_plug_ins", "targets"):
            if key in entries and entries[key].value:
                raise entries[key].fail(f"'{key}' is not supported")
        template = entries.get("template")
        if template is not None and template.value != "uber":
            raise template.fail("only the mapspace template 'uber' (factors that divide) is supported")


def _variables(node: Node | None) -> dict[str, Any]:
    if node is None or node.value is None:
        return {}
    entries = dict(without_ignored(node).mapping())
    _check_version(entries)
    entries.pop("version", None)
    return evaluate_all(entries, {})


def _targeted(sections: Mapping[str, Node]) -> Targeted:
    """Return the constraints outside of the nodes, by the node they name."""
    result: dict[str, list[tuple[str, Node]]] = {}
    for name in _CONSTRAINTS:
        if name not in sections or sections[name].value is None:
            continue
        entries = without_ignored(sections[name]).mapping(known=("version", "targets"))
        _check_version(entries)
        for target in entries["targets"].sequence() if "targets" in entries else ():
            parts = target.mapping(required=("target", "type"))
            result.setdefault(parts["target"].text(), []).append((target_kind(target), target))
    return result


def _component_classes(sections: Mapping[str, Node]) -> tuple[Node, ...]:
    result: list[Node] = []
    for name in _COMPONENTS:
        if name in sections and sections[name].value is not None:
            entries = without_ignored(sections[name]).mapping(known=("version", "classes"))
            _check_version(entries)
            if "classes" in entries and entries["classes"].value is not None:
                result += _flat(entries["classes"])
    return tuple(result)


def _flat(node: Node) -> list[Node]:
    """Return the items of a list, lists among them (as ``include_all`` makes them) taken apart."""
    return [leaf for item in node.sequence() for leaf in (_flat(item) if isinstance(item.value, list) else [item])]


def _cycle_seconds(attributes: Mapping[str, Any]) -> float:
    value = attributes.get("global_cycle_seconds", 1e-9)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise InputError(f"global_cycle_seconds must be a number above 0, found {value!r}")
    return float(value)
