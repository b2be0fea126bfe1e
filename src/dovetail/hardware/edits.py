"""Changes to a design's nodes, as if its file had said so: sizes, attributes, fan-outs, constraints.

A node is changed before it is read, so everything that follows from its attributes follows: a buffer with another depth
has another energy per access, a container with another mesh other instances below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean
from dovetail.hardware.attribute_list import ATTRIBUTES
from dovetail.hardware.sections import Sections

#: What is said of a node beside its attributes.
_ENTRIES = ("class", "subclass", "enabled", "area_scale", "energy_scale", "attributes", "constraints", "spatial")
_MESH = ("meshX", "meshY")
#: Attributes that say the same thing, of which a node has one.
_ALTERNATIVES = (
    ("depth", "memory_depth", "data_storage_depth", "entries", "sizeKB"),
    *(attribute.names for attribute in ATTRIBUTES if len(attribute.names) > 1 and "depth" not in attribute.names),
)
_ATTRIBUTES = frozenset(name for attribute in ATTRIBUTES for name in attribute.names)
#: What messages call the place that a change stands in.
_PLACE = "changes of the design"

Edits = Mapping[str, Mapping[str, Any]]


def edited(sections: Sections, edits: Edits) -> Sections:
    """Return a document's sections with nodes changed.

    Args:
        sections: of a design.
        edits: per name of a node (or of the fan-out that it brings, ``inter_NAME_spatial``) what becomes of it:
            attributes such as ``depth`` or ``datawidth``; ``meshX`` and ``meshY`` of its fan-out; ``class``,
            ``subclass``, ``enabled``, ``area_scale``, ``energy_scale``; ``constraints``, laid over the node's own
            key by key. Whatever is None is taken away. What no list knows goes under ``attributes``.

    Raises:
        InputError: there is no such node, or nothing of that name to change.
    """
    known = list(_names(sections.nodes))
    wanted: dict[str, dict[str, Any]] = {}
    for given, changes in edits.items():
        name = given.removeprefix("inter_").removesuffix("_spatial") if given not in known else given
        if name not in known:
            raise InputError(f"the design has no node '{given}' to change{did_you_mean(given, known)}")
        if not isinstance(changes, Mapping):
            raise InputError(f"write {given}={{'depth': 8192}}: what to change, by name; found {str(changes)[:40]!r}")
        wanted.setdefault(name, {}).update(changes)
    return replace(sections, nodes=_changed(sections.nodes, wanted))


def edited_name(name: str, edits: Edits) -> str:
    """Return what a changed design is called: ``eyeriss_like shared_glb.depth=8192``; where that is long, its start."""
    said = [f"{node}.{what}={_brief(value)}" for node, changes in edits.items() for what, value in changes.items()]
    shown = said[:2] if len(said) > 3 else said
    return " ".join([name, *shown, *([f"and {len(said) - len(shown)} more"] if len(shown) < len(said) else [])])


def _brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 20 else "..."


def _names(node: Node) -> Iterator[str]:
    """Yield the names of all nodes in a list of nodes, those in branches too."""
    for part in node.value if isinstance(node.value, list) else ():
        entries = part.value if isinstance(part.value, dict) else {}
        if "name" in entries and isinstance(entries["name"].value, str):
            yield entries["name"].value
        if "nodes" in entries:
            yield from _names(entries["nodes"])


def _changed(node: Node, wanted: Mapping[str, Mapping[str, Any]]) -> Node:
    if not isinstance(node.value, list):
        return node
    return replace(node, value=[_changed_part(part, wanted) for part in node.value])


def _changed_part(part: Node, wanted: Mapping[str, Mapping[str, Any]]) -> Node:
    if not isinstance(part.value, dict):
        return part
    if "nodes" in part.value:
        return replace(part, value={**part.value, "nodes": _changed(part.value["nodes"], wanted)})
    name = part.value["name"].value if "name" in part.value else None
    return _with(part, str(name), wanted[name]) if isinstance(name, str) and name in wanted else part


def _with(part: Node, name: str, changes: Mapping[str, Any]) -> Node:
    """Return a node with its changes, each sorted to where the file would have it."""
    assert isinstance(part.value, dict)
    own = part.value.get("attributes")
    attributes = own.value if own is not None and isinstance(own.value, dict) else {}
    sorted_changes: dict[str, Any] = {}
    for what, value in changes.items():
        if what in _MESH:
            sorted_changes.setdefault("spatial", {})[what] = value
        elif what in _ENTRIES:
            merged = sorted_changes.get(what)
            both = isinstance(merged, dict) and isinstance(value, Mapping)
            sorted_changes[what] = {**merged, **value} if both and merged is not None else value
        elif what in _ATTRIBUTES or what in attributes:
            sorted_changes.setdefault("attributes", {})[what] = value
        else:
            hint = did_you_mean(what, [*attributes, *_ATTRIBUTES, *_MESH, *_ENTRIES])
            raise InputError(f"{name} has no '{what}' to change{hint}; what only estimators know: attributes={{...}}")
    for group in _ALTERNATIVES:  # another way to say the same gives way
        given = sorted_changes.get("attributes") or {}
        if any(given.get(one) is not None for one in group):
            sorted_changes["attributes"] = {**{one: None for one in group if one in attributes}, **given}
    return _laid_over(part, sorted_changes, name)


def _laid_over(node: Node, changes: Any, key: str) -> Node:
    """Return a node with mappings laid over it key by key; None takes away."""
    if not isinstance(changes, Mapping):
        return _node(changes, key)
    entries = dict(node.value) if isinstance(node.value, dict) else {}
    for name, value in changes.items():
        if value is None:
            entries.pop(name, None)
        else:
            entries[name] = _laid_over(entries.get(name, Node({}, _PLACE, 1, key)), value, f"{key}.{name}")
    return replace(node, value=entries)


def _node(value: Any, key: str) -> Node:
    if isinstance(value, list | tuple):
        return Node([_node(item, f"{key}[{place}]") for place, item in enumerate(value)], _PLACE, 1, key)
    if value is None or isinstance(value, str | int | float | bool):
        return Node(value, _PLACE, 1, key)
    if hasattr(value, "item"):  # a number of NumPy's
        return _node(value.item(), key)
    raise InputError(f"must be a number, text or a list, found {type(value).__name__}", file=_PLACE, key=key)
