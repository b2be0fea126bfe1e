"""Reads the nodes of a Timeloop v0.4 architecture as a tree: tags, names and keys are checked, nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from dovetail.document import Node
from dovetail.errors import did_you_mean
from dovetail.hardware.values import without_ignored

_BRANCHES = ("!Hierarchical", "!Parallel", "!Pipelined")
_TAGS = ("!Component", "!Container", "!Nothing", *_BRANCHES)
#: Tags of the front end's first releases, and of tools built on it, that mean one of these.
_SAME = {"!Element": "!Component"}
#: Tags that another program replaces before the format's own reader sees them.
_ELSEWHERE = {
    "!ArrayContainer": "is CiMLoop's: its Python sizes the array around it; read the parsed-processed-input.yaml "
    "that a run of it leaves",
}
_LEAF_KEYS = ("name", "attributes", "spatial", "constraints", "sparse_optimizations")
_COMPONENT_KEYS = (*_LEAF_KEYS, "class", "subclass", "required_actions", "area_scale", "energy_scale", "enabled")
_CONTAINER_KEYS = (*_LEAF_KEYS, "networks")


@dataclass(frozen=True, eq=False)
class Leaf:
    """A node that holds no others.

    Attributes:
        tag: ``!Component``, ``!Container`` (it stands around everything after it) or ``!Nothing``.
        name: what it is called; empty for a ``!Nothing`` without a name.
        entries: what it says, by key, without what the format ignores.
        node: as it stands.
    """

    tag: str
    name: str
    entries: Mapping[str, Node]
    node: Node


@dataclass(frozen=True, eq=False)
class Branch:
    """A node that holds others.

    Attributes:
        tag: ``!Parallel`` for ones that stand beside each other; others hold ones inside each other.
        parts: in the order they are listed.
        node: as it stands.
    """

    tag: str
    parts: tuple[Part, ...]
    node: Node


Part = Leaf | Branch


#: What a node of CiMLoop's says of the layer that would use all of it.
_FILLED = "max_utilization"


def read_nodes(nodes: Node) -> tuple[Part, ...]:
    """Read a list of nodes.

    Raises:
        InputError: a tag or key is unknown, missing or not supported, or a name cannot be one.
    """
    return tuple(map(_part, nodes.sequence()))


def leaves(part: Part) -> Iterator[Leaf]:
    """Yield all that stands in a part, in order."""
    if isinstance(part, Leaf):
        yield part
    else:
        for inner in part.parts:
            yield from leaves(inner)


def _part(node: Node) -> Part:
    if node.tag in _SAME:
        node = replace(node, tag=_SAME[node.tag])
    if node.tag in _ELSEWHERE:
        raise node.fail(f"{node.tag} {_ELSEWHERE[node.tag]}")
    if node.tag not in _TAGS:
        found = f"the tag '{node.tag}' is unknown" if node.tag else "a node needs a tag"
        raise node.fail(found + (did_you_mean(node.tag, _TAGS) if node.tag else f", one of {', '.join(_TAGS)}"))
    if node.tag in _BRANCHES:
        return _branch(node.tag, node)
    if node.tag == "!Component":
        return _named(node.tag, node, _COMPONENT_KEYS, required=("name", "class"))
    if node.tag == "!Container":
        container = _named(node.tag, node, _CONTAINER_KEYS, required=("name",))
        networks = container.entries.get("networks")
        if networks is not None and networks.value:
            raise networks.fail("networks are not supported yet")
        return container
    entries = without_ignored(node).mapping(known=_COMPONENT_KEYS)
    return Leaf(node.tag, entries["name"].text() if "name" in entries else "", entries, node)


def _branch(tag: str, node: Node) -> Branch:
    inner = without_ignored(node).mapping(known=("nodes",), required=("nodes",))["nodes"]
    if tag == "!Parallel":
        for each in inner.sequence():
            if each.tag == "!Container":
                raise each.fail("a !Container cannot stand directly under a !Parallel")
    return Branch(tag, read_nodes(inner), node)


def _named(tag: str, node: Node, known: tuple[str, ...], required: tuple[str, ...]) -> Leaf:
    whole = without_ignored(node)
    if _FILLED in whole.mapping():
        raise whole.mapping()[_FILLED].fail(
            "is CiMLoop's: its Python makes a layer of it that fills the array; read the parsed-processed-input.yaml "
            "that a run of it leaves"
        )
    entries = whole.mapping(known=known, required=required)
    name = entries["name"].text()
    if not re.fullmatch(r"(?=.*[A-Za-z_])\w[\w.-]*", name):
        hint = "; for copies use 'spatial: {meshX: N}'" if "[" in name else ""
        raise entries["name"].fail(f"'{name[:60]}' cannot be a name{hint}")
    return Leaf(tag, name, entries, node)
