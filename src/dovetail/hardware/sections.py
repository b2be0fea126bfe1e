"""Sorts a design's document into its sections: nodes, variables, constraints by target, component classes.

Everything about a design passes through here, whatever its form: behind stands v0.4, as `Sections` has it. Sections
that are not about hardware (problem, mapping, mapper, ERT, ART) are left to their own readers. Nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dovetail.document import Node
from dovetail.hardware.values import without_ignored

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


@dataclass(frozen=True)
class Sections:
    """What a document says of a design, sorted by what it is about.

    Attributes:
        architecture: the value under ``architecture``; what is wrong with the whole design is said of it.
        nodes: the list of nodes in it, outer to inner.
        variables: names that expressions know, with their values as written.
        targeted: constraints that stand outside of the nodes, by the name of the node they are for, in order.
        component_classes: the compound component classes as they stand, for ``dovetail.components``.
    """

    architecture: Node
    nodes: Node
    variables: Mapping[str, Node]
    targeted: Mapping[str, tuple[Node, ...]]
    component_classes: tuple[Node, ...]


def read_sections(document: Node) -> Sections:
    """Sort a document; the version of each section and what it may hold are checked.

    Raises:
        InputError: a section or a key in it is unknown, not supported, or missing.
    """
    sections = without_ignored(document).mapping(known=_SECTIONS, required=("architecture",))
    _check_the_rest(sections)
    variables = _entries(sections, "variables")
    architecture = without_ignored(sections["architecture"])
    return Sections(
        architecture=architecture,
        nodes=_nodes(architecture),
        variables=variables,
        targeted=_targeted(sections),
        component_classes=_component_classes(sections),
    )


def _nodes(architecture: Node) -> Node:
    if isinstance(architecture.value, dict) and "subtree" in architecture.value:
        raise architecture.value["subtree"].fail("'subtree' is the form before version 0.4; only 'nodes' is read")
    parts = architecture.mapping(known=("version", "nodes"), required=("nodes",))
    _check_version(parts)
    return parts["nodes"]


def _check_version(parts: Mapping[str, Node]) -> None:
    version = parts.get("version")
    if version is not None and version.value not in (0.4, "0.4"):
        raise version.fail(f"only Timeloop version 0.4 is read, found {version.kind}")


def _entries(sections: Mapping[str, Node], name: str, known: tuple[str, ...] | None = None) -> dict[str, Node]:
    """Return what a section holds beside its version, which is checked; nothing where there is no such section."""
    if name not in sections or sections[name].value is None:
        return {}
    entries = dict(without_ignored(sections[name]).mapping(known=None if known is None else ("version", *known)))
    _check_version(entries)
    entries.pop("version", None)
    return entries


def _check_the_rest(sections: Mapping[str, Node]) -> None:
    """Refuse what would change the meaning and is not supported."""
    for name, keys in (
        ("globals", ("environment_variables", "expression_custom_functions", "accelergy_plug_ins")),
        ("mapspace", ("template",)),
        ("sparse_optimizations", ("targets",)),
    ):
        entries = _entries(sections, name, keys)
        for key in ("expression_custom_functions", "accelergy_plug_ins", "targets"):
            if key in entries and entries[key].value:
                raise entries[key].fail(f"'{key}' is not supported")
        template = entries.get("template")
        if template is not None and template.value != "uber":
            raise template.fail("only the mapspace template 'uber' (factors that divide) is supported")


def _targeted(sections: Mapping[str, Node]) -> dict[str, tuple[Node, ...]]:
    result: dict[str, tuple[Node, ...]] = {}
    for name in _CONSTRAINTS:
        entries = _entries(sections, name, ("targets",))
        for target in entries["targets"].sequence() if "targets" in entries else ():
            whose = target.mapping(required=("target", "type"))["target"].text()
            result[whose] = (*result.get(whose, ()), target)
    return result


def _component_classes(sections: Mapping[str, Node]) -> tuple[Node, ...]:
    result: list[Node] = []
    for name in _COMPONENTS:
        classes = _entries(sections, name, ("classes",)).get("classes")
        if classes is not None and classes.value is not None:
            result += _flat(classes)
    return tuple(result)


def _flat(node: Node) -> list[Node]:
    """Return the items of a list, lists among them (as ``include_all`` makes them) taken apart."""
    return [leaf for item in node.sequence() for leaf in (_flat(item) if isinstance(item.value, list) else [item])]
