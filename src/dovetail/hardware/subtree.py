"""Turns the architecture form before v0.4 (``subtree`` and ``local``) into v0.4 nodes, and its constraints with it.

Three kinds of document have it: designs of versions 0.2 and 0.3; the ``parsed-processed-input.yaml`` that the v0.4
front end writes; and Accelergy's ``flattened_architecture.yaml``, a bare ``local`` list whose names are paths.

A component there stands once with its number of instances: ranges in names (``PE[0..167]``) along its path, or
``instances``. How they lie on the chip's axes is said by ``meshX`` and ``meshY``, counted over the whole chip; one that
is left out follows from the other (Timeloop, ``model/buffer.cpp``). A fan-out is what the mesh grows by from one level
to the next. The front end writes a fan-out as a storage ``inter_NAME_spatial`` that keeps nothing; that becomes a
fan-out again. Text needs no quotes: what is no arithmetic of known names is text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.expression import FUNCTIONS, evaluate, evaluate_all
from dovetail.hardware.networks import is_network, names_of
from dovetail.hardware.storage_attributes import SYNONYMS
from dovetail.hardware.values import LISTED_FIRST, without_ignored

VERSIONS = ("0.2", "0.3", "0.4")
_BRANCH_KEYS = ("name", "attributes", "local", "subtree", "required_actions")
_RANGE = re.compile(r"\[([^\[\]]{1,60}?)\.\.([^\[\]]{1,60})\]")
#: What the flattened architecture says of a component besides: what it is made of, and the actions of that.
_MADE_OF = ("actions", "primitive_components")
_FAN_OUT = re.compile(r"inter_(\w+)_spatial")
_ARITHMETIC = re.compile(r"(?!.*\d[A-Za-z_])[\w\s.+\-*/%(),]+")
_STORAGE = ("DRAM", "SRAM", "regfile", "smartbuffer", "storage")
_COMPUTE = ("mac", "intmac", "fpmac", "compute")
#: Names of one size in the order in which the reference looks for them (``model/buffer.cpp``): the first is taken.
_FIRST_TAKEN = (
    ("word_bits", "word_width", "datawidth"), ("width", "memory_width", "data_storage_width"),
    ("entries", "depth", "memory_depth", "data_storage_depth"), ("block_size", "n_words"), ("num_banks", "n_banks"),
)  # fmt: skip
#: Slips that public designs of that time have.
_SLIPS = {"nbanks": "the banks are 'n_banks'"}
#: Bits of a word where nothing says it, as in the reference (``model/buffer.hpp``, ``model/arithmetic.hpp``).
_DEFAULT_WORD_BITS = 16


@dataclass(frozen=True)
class OlderDesign:
    """A design of the older form as v0.4 has it.

    Attributes:
        nodes: a list of nodes, outer to inner.
        targets: for each storage, what v0.4 calls the fan-out below it: where its spatial constraints belong.
        fan_outs: names of fan-outs that were written as storages; what is said of them but spatially says nothing.
        notes: what is passed over, as in the reference, a sentence each.
    """

    nodes: Node
    targets: Mapping[str, str]
    fan_outs: frozenset[str]
    notes: tuple[str, ...]

    def targeted(self, constraints: Sequence[Node]) -> dict[str, tuple[Node, ...]]:
        """Return constraints by the v0.4 node that each is for; raises InputError where one has no target or type."""
        result: dict[str, tuple[Node, ...]] = {}
        for node in constraints:
            entries = node.mapping(required=("target", "type"))
            whose, kind = _undummied(entries["target"].text()), entries["type"].text()
            if whose in self.fan_outs and kind != "spatial":
                continue  # the front end fills these in: a fan-out keeps nothing and has no loops over time
            said = node
            if kind == "spatial":
                whose = whose if whose in self.fan_outs else self.targets.get(whose, whose)
                said = replace(node, value={key: _in_order(key, value) for key, value in entries.items()})
            result[whose] = (*result.get(whose, ()), said)
        return result


def _in_order(key: str, node: Node) -> Node:
    """Return what stands under a key of a constraint; permutations and splits as versions before v0.4 mean them."""
    return replace(node, tag=LISTED_FIRST) if key in ("permutation", "split") else node


@dataclass
class _Found:
    """A component on its way: its entries, the instances along its path, and the attributes handed down to it."""

    name: str
    entries: dict[str, Node]
    node: Node
    instances: int
    depth: int
    inherited: dict[str, Node] = field(default_factory=dict)
    mesh: tuple[int, int] = (1, 1)


def is_older(architecture: Node) -> bool:
    """Say whether an architecture is of the form before v0.4."""
    return isinstance(architecture.value, dict) and bool({"subtree", "local"} & architecture.value.keys())


def read_subtree(architecture: Node, variables: Mapping[str, Node]) -> OlderDesign:
    """Turn an architecture of the older form into v0.4 nodes.

    Args:
        architecture: the value under ``architecture``.
        variables: the document's, for sizes that are expressions.

    Raises:
        InputError: with file, line and key.
    """
    scope = evaluate_all(variables, {})
    notes = [_unknown(node) for node in _others(architecture)]
    found = list(_walk(architecture, 1, 0, {}, scope))
    found.sort(key=lambda one: one.depth)  # Accelergy lists the deepest first; the tree is one path
    kinds = {kind: [one for one in found if _kind(one) == kind] for kind in (None, "storage", "compute")}
    if not kinds["storage"] or not kinds["compute"]:
        raise architecture.fail(f"has no {'compute' if kinds['storage'] else 'storage'} component")
    *others, compute = kinds["compute"]  # the reference's model has one, the last, inside of all storages
    levels = [*kinds["storage"], compute]
    named = {name for one in levels for name in names_of(one.entries)}
    networks = [one for one in kinds[None] if one.name in named and is_network(one.entries.get("class", one.node))]
    passed_over = [one.entries["name"] for one in (*kinds[None], *others) if one not in networks]
    if passed_over:
        listed = ", ".join(dict.fromkeys(name.text() for name in passed_over))
        notes.append(f"{_place(passed_over[0])}: neither storage nor compute, so no part of the model: {listed}")
    for one in levels:
        notes += _drop_what_is_not_read(one)
        one.mesh = _mesh(one, scope)
    _lie_alike(levels)
    nodes, targets, fan_outs = _nodes(levels, scope)
    nodes += [_component(one, (1, 1), scope) for one in networks]
    place = replace(architecture, value=nodes, key=f"{architecture.key}.subtree")
    return OlderDesign(place, targets, frozenset(fan_outs), tuple(notes))


def _others(architecture: Node) -> list[Node]:
    """Return what other programs wrote beside the tree: their words resemble none of ours."""
    known = ("version", *_BRANCH_KEYS)
    own = without_ignored(architecture).mapping()
    return [
        node
        for key, node in own.items()
        if key not in known and not difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    ]


def _place(node: Node) -> str:
    return f"{node.file}:{node.line}"


def _unknown(node: Node) -> str:
    return f"{_place(node)}: '{node.key.rpartition('.')[2]}' is no key of the format: passed over, as in the reference"


def _drop_what_is_not_read(one: _Found) -> list[str]:
    """Leave of sizes that are given under several names the one that the reference reads; return a note for each."""
    node = one.entries.get("attributes")
    if node is None or node.value is None:
        return []
    own, notes = dict(without_ignored(node).mapping()), []
    for words in _FIRST_TAKEN:
        given = [name for word in words for name in own if name.replace("-", "_") == word and own[name].value]
        for name in given[1:]:
            dropped = own.pop(name)
            if dropped.plain() != own[given[0]].plain():
                said = f"'{name}' is passed over: where both are given, the reference takes '{given[0]}'"
                notes.append(f"{_place(dropped)}: {one.name}: {said}")
    for name in [name for name in own if name in _SLIPS]:
        dropped = own.pop(name)
        notes.append(f"{_place(dropped)}: {one.name}: '{name}' is passed over, as in the reference; {_SLIPS[name]}")
    one.entries["attributes"] = replace(node, value=own)
    return notes


def _walk(
    branch: Node, instances: int, depth: int, inherited: dict[str, Node], scope: Mapping[str, Any]
) -> Iterator[_Found]:
    entries = without_ignored(branch).mapping()
    if depth:
        if "spatial" in entries:
            why = (
                "'spatial' is of v0.4: in a subtree copies are ranges in names, such as PE[0..11], or meshX of storages"
            )
            raise entries["spatial"].fail(why)
        entries = branch.mapping(known=("version", *_BRANCH_KEYS))
    attributes = entries.get("attributes")
    own = {} if attributes is None or attributes.value is None else without_ignored(attributes).mapping()
    handed = {**inherited, **own}
    numbers = {**scope, **{name: node.value for name, node in handed.items() if isinstance(node.value, int)}}
    here = instances
    if "name" in entries:
        here *= _count(entries["name"], numbers)
    local = entries.get("local")
    for node in local.sequence() if local is not None and local.value is not None else ():
        parts = {k: v for k, v in without_ignored(node).mapping(required=("name",)).items() if k not in _MADE_OF}
        if "class" not in parts and "subclass" not in parts:
            raise node.fail("the key 'class' is missing")
        path = _RANGE.sub("", parts["name"].text()).split(".")
        yield _Found(
            name=_undummied(path[-1].strip()),
            entries=parts,
            node=node,
            instances=here * _count(parts["name"], numbers),
            depth=depth + len(path),
            inherited=handed,
        )
    subtree = entries.get("subtree")
    if subtree is None or subtree.value is None:
        return
    branches = subtree.sequence()
    if len(branches) > 1:
        raise branches[1].fail("a second branch beside the first; a design is one path of levels, outer to inner")
    for inner in branches:
        yield from _walk(inner, here, depth + 1, handed, scope)


def _undummied(name: str) -> str:
    """Return a level's name; the front end's first releases wrote fan-outs as ``inter_NAME_spatial_dummy``."""
    shorter = name.removesuffix("_dummy")
    return shorter if _FAN_OUT.fullmatch(shorter) else name


def _count(name: Node, names: Mapping[str, Any]) -> int:
    """Return how many there are of what a name with ranges means, those along a path multiplied."""
    count = 1
    for bounds in _RANGE.findall(name.text()):
        first, last = (replace(name, value=_bound(name, text, names)).integer() for text in bounds)
        if last < first:
            raise name.fail(f"the range [{first}..{last}] is empty")
        count *= last - first + 1
    if "[" in _RANGE.sub("", name.text()):
        raise name.fail(f"'{name.text()[:60]}' has a range that is not of the form [0..N]")
    return count


def _bound(name: Node, text: str, names: Mapping[str, Any]) -> Any:
    try:
        return evaluate(text, names)
    except InputError as error:
        raise name.fail(f"the range in '{name.text()[:60]}': {error.message}") from None


def _kind(one: _Found) -> str | None:
    """Return ``storage`` or ``compute``; None for what the reference leaves out of its model."""
    if "class" not in one.entries:
        return None
    name = one.entries["class"].text()
    for kind, words in (("storage", _STORAGE), ("compute", _COMPUTE)):
        if any(word in name for word in words):
            return kind
    return None


def _own(one: _Found) -> dict[str, Node]:
    node = one.entries.get("attributes")
    own = {} if node is None or node.value is None else without_ignored(node).mapping()
    return {name.replace("-", "_") if name != "energy-per-ingress" else name: value for name, value in own.items()}


def _mesh(one: _Found, scope: Mapping[str, Any]) -> tuple[int, int]:
    """Return how the instances lie on X and Y, counted over the whole chip."""
    own = _own(one)
    sizes = evaluate_all({name: own[name] for name in ("instances", "meshX", "meshY") if name in own}, scope)
    numbers = {name: replace(own[name], value=value).integer(1) for name, value in sizes.items() if value is not None}
    instances = numbers.get("instances", one.instances)
    x, y = numbers.get("meshX"), numbers.get("meshY")
    for axis, size in (("meshX", x), ("meshY", y)):
        if size is not None and instances % size:
            raise own[axis].fail(f"{instances} instances of {one.name} make no whole number of {axis} {size}")
    if x is None:
        return (instances // y, y) if y is not None else (instances, 1)
    if y is not None and x * y != instances:
        raise own["meshX"].fail(f"meshX {x} x meshY {y} is {x * y}, but there are {instances} instances of {one.name}")
    return x, y or instances // x


def _lie_alike(levels: Sequence[_Found]) -> None:
    """Let levels that say nothing of X and Y lie as the next one inside does, where that has as many instances."""
    for outer, inner in zip(levels[-2::-1], levels[:0:-1], strict=True):
        unsaid = not {"meshX", "meshY"} & _own(outer).keys()
        if unsaid and outer.mesh[0] * outer.mesh[1] == inner.mesh[0] * inner.mesh[1]:
            outer.mesh = inner.mesh


def _nodes(levels: Sequence[_Found], scope: Mapping[str, Any]) -> tuple[list[Node], dict[str, str], list[str]]:
    """Return v0.4 nodes, the fan-out below each storage, and the storages that are fan-outs."""
    nodes: list[Node] = []
    targets: dict[str, str] = {}
    fan_outs: list[str] = []
    outer: _Found | None = None
    waiting = ""  # the container whose fan-out stands as a storage of its own, right before
    for one in levels:
        spread = _spread(outer, one)
        if waiting:
            nodes.append(_node(one, "!Container", {"name": waiting}, spread))
        elif outer is not None:
            targets[outer.name] = f"inter_{one.name}_spatial"
        is_fan_out = _FAN_OUT.fullmatch(one.name)
        if is_fan_out:
            if not waiting and spread != (1, 1):
                raise one.entries["name"].fail(f"{one.name} is a fan-out, and stands inside of another one")
            waiting = is_fan_out[1]
            fan_outs.append(one.name)
        else:
            nodes.append(_component(one, (1, 1) if waiting else spread, scope))
            waiting = ""
        outer = one
    return nodes, targets, fan_outs


def _spread(outer: _Found | None, inner: _Found) -> tuple[int, int]:
    if outer is None:
        if inner.mesh != (1, 1):
            made = inner.mesh[0] * inner.mesh[1]
            raise inner.entries["name"].fail(f"{inner.name}, the outermost, has {made} instances; there must be one")
        return 1, 1
    for axis, around, within in zip("XY", outer.mesh, inner.mesh, strict=True):
        if within % around:
            raise inner.entries["name"].fail(
                f"{inner.name} has {within} instances on {axis}, which is no multiple of the {around} of {outer.name}"
            )
    return inner.mesh[0] // outer.mesh[0], inner.mesh[1] // outer.mesh[1]


def _component(one: _Found, spread: tuple[int, int], scope: Mapping[str, Any]) -> Node:
    entries: dict[str, Any] = {key: value for key, value in one.entries.items() if key not in ("name", "attributes")}
    attributes = {name: value for name, value in _handed_down(one).items() if not _known(name, _own(one))}
    attributes |= {name: value for name, value in _own(one).items() if name not in ("instances", "meshX", "meshY")}
    attributes = {name: _plain(value, attributes.keys() | scope.keys()) for name, value in attributes.items()}
    if not _known("datawidth", attributes):
        attributes["datawidth"] = replace(one.node, value=_DEFAULT_WORD_BITS)
    if _kind(one) == "storage" and (cluster := _cluster(attributes)) is not None:
        attributes["cluster_size"] = replace(one.node, value=cluster)
    place = one.entries.get("attributes", one.node)
    return _node(
        one, "!Component", {"name": one.name, **entries, "attributes": replace(place, value=attributes)}, spread
    )


def _handed_down(one: _Found) -> dict[str, Node]:
    """Return the attributes of the branches around, but for what says how many there are or which version it is."""
    without = ("instances", "meshX", "meshY", "version")
    plain = {name.replace("-", "_"): value for name, value in one.inherited.items()}
    return {name: value for name, value in plain.items() if name not in without}


def _plain(node: Node, names: Collection[str]) -> Node:
    """Return a value of the older form, its text in quotes unless it is arithmetic of known names."""
    if not isinstance(node.value, str) or node.quoted:
        return node
    words = re.findall(r"[A-Za-z_]\w*", node.value)
    computes = _ARITHMETIC.fullmatch(node.value) is not None and all(
        word in names or word in FUNCTIONS for word in words
    )
    return node if computes else replace(node, quoted=True)


def _known(name: str, attributes: Mapping[str, Node]) -> bool:
    words = next((words for words in SYNONYMS.values() if name in words), (name,))
    return any(word in attributes and attributes[word].value is not None for word in words)


def _cluster(attributes: Mapping[str, Node]) -> int | None:
    """Return the instances that share a line, where block and width imply it and nothing says it."""

    def number(name: str) -> int | None:
        given = [attributes[word].value for word in SYNONYMS.get(name, (name,)) if word in attributes]
        return given[0] if given and isinstance(given[0], int) and not isinstance(given[0], bool) else None

    width, block, bits = number("width"), number("block_size"), number("datawidth")
    if width is None or block is None or bits is None or _known("cluster_size", attributes):
        return None
    return width // (block * bits) if block * bits > 0 and width % (block * bits) == 0 else None


def _node(one: _Found, tag: str, entries: Mapping[str, Any], spread: tuple[int, int]) -> Node:
    values = {
        key: value if isinstance(value, Node) else replace(one.entries["name"], value=value)
        for key, value in entries.items()
    }
    if spread != (1, 1):
        sizes = {axis: replace(one.node, value=size) for axis, size in zip(("meshX", "meshY"), spread, strict=True)}
        values["spatial"] = replace(one.node, value=sizes)
    return replace(one.node, value=values, tag=tag)
