"""Compound component classes as Accelergy v0.4 writes them, read and checked; nothing is evaluated here."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources

from dovetail.components.accelergy_tables import STORES, SYNONYMS
from dovetail.document import Node, parse_document
from dovetail.errors import did_you_mean
from dovetail.expression import FUNCTIONS
from dovetail.text import printable

MUST_SPECIFY = "must_specify"

_RANGE = re.compile(r"(?P<base>[^\[\]]+)\[(?P<inside>[^\[\]]+)\]")
_WORD = re.compile(r"[A-Za-z][\w-]*")
#: Versions in which text stands without quotes.
_OLDER = ("0.1", "0.2", "0.3")
_UNIT = re.compile(r"\d[\d.]*\s*[A-Za-z%]+")
_CLASS_KEYS = ("name", "attributes", "subcomponents", "actions", "primitive_type", "version")
_PART_KEYS = ("name", "class", "subclass", "attributes", "area_scale", "area_share", "energy_scale", "required_actions")
_USE_KEYS = ("name", "actions")
_ACTION_KEYS = ("name", "subcomponents", "arguments")
_STEP_KEYS = ("name", "arguments", "energy_scale", "action_share", "repeat")


@dataclass(frozen=True)
class Span:
    """A name with indices, ``storage[1..width*depth]``: its base, and the expressions of first and last index.

    One index stands for a span of one; no index at all leaves both None.
    """

    base: str
    first: Node | None
    last: Node | None
    node: Node


@dataclass(frozen=True)
class Part:
    """A subcomponent as a class declares it."""

    span: Span
    component: str
    attributes: Mapping[str, Node] = field(hash=False)
    area_scale: Node | None
    energy_scale: Node | None


@dataclass(frozen=True)
class Step:
    """One action of one subcomponent within an action: how often it happens, and with which arguments."""

    action: str
    scale: Node | None
    arguments: Mapping[str, Node] = field(hash=False)


@dataclass(frozen=True)
class Use:
    """What an action does with one subcomponent."""

    span: Span
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Action:
    """What an action does with subcomponents, and its arguments: of each, the expressions of its first and last value.

    An action costs what it does with the values that make it dearest, where nothing says which it has.
    """

    uses: tuple[Use, ...] = ()
    arguments: Mapping[str, tuple[Node, Node]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class ComponentClass:
    """A compound component class.

    Attributes:
        name: its name.
        attributes: defaults by name, expressions not yet evaluated; ``must_specify`` where there is none.
        parts: subcomponents by base name.
        actions: what each action does with the subcomponents.
        primitive_type: the primitive class to estimate it as instead of composing it; None: compose.
        node: where it stands, for messages.
    """

    name: str
    attributes: Mapping[str, Node] = field(hash=False)
    parts: Mapping[str, Part] = field(hash=False)
    actions: Mapping[str, Action] = field(hash=False)
    primitive_type: str | None
    node: Node

    def serving(self, name: str) -> list[str]:
        """Return the actions of which the dearest serves: the one of the name, of another name of it, or else any.

        So it is with a table of energies: a storage whose class only knows ``access`` pays for that.
        """
        known = next((other for other in SYNONYMS.get(name, ()) if other in self.actions), name)
        instead = [other for other in self.actions if other not in ("idle", "leak")]
        slip = difflib.get_close_matches(name, [other for other in instead if other not in SYNONYMS], n=1, cutoff=0.6)
        if known in self.actions or name not in STORES or (name == "update" and "write" in self.actions) or slip:
            return [known]
        return instead or [known]

    def action(self, name: str) -> Action:
        """Return what an action does; ``update`` is ``write`` where it has none; ``leak`` and ``idle`` are nothing.

        Raises:
            InputError: the class has no such action.
        """
        if name in self.actions:
            return self.actions[name]
        if name == "update" and "write" in self.actions:
            return self.actions["write"]
        if name in ("leak", "idle"):
            return Action()
        raise self.node.fail(f"the class {self.name} has no action '{name}'{did_you_mean(name, self.actions)}")


def read_classes(nodes: Iterable[Node]) -> dict[str, ComponentClass]:
    """Return component classes by name.

    Args:
        nodes: one mapping per class.

    Raises:
        InputError: a class is not as the format wants it, or two have one name.
    """
    found: dict[str, ComponentClass] = {}
    for node in nodes:
        read = _class(node)
        if read.name in found and found[read.name].node.plain() != node.plain():
            first = found[read.name].node
            raise node.fail(f"the class {read.name} is defined twice, the first time in {first.file}:{first.line}")
        found[read.name] = read
    return found


@functools.cache
def bundled_classes() -> Mapping[str, ComponentClass]:
    """Return the compound classes that designs may use without defining them."""
    text = resources.files("dovetail.components").joinpath("data/classes.yaml").read_text(encoding="utf-8")
    document = parse_document(text, file="bundled classes.yaml")
    section = document.mapping(("compound_components",), ("compound_components",))["compound_components"]
    return read_classes(section.mapping(("version", "classes"), ("classes",))["classes"].sequence())


def _class(node: Node) -> ComponentClass:
    entries = node.mapping(_CLASS_KEYS, ("name",))
    own = _entries(entries, "attributes")
    words = own.keys() if str(entries["version"].value if "version" in entries else "") in _OLDER else None
    parts: dict[str, Part] = {}
    for child in _items(entries, "subcomponents"):
        part = _part(child, words)
        if part.span.base in parts:
            raise child.fail(f"the subcomponent '{part.span.base}' is declared twice")
        parts[part.span.base] = part
    actions: dict[str, Action] = {}
    for child in _items(entries, "actions"):
        name, action = _action(child, parts)
        if name in actions:
            raise child.fail(f"the action '{name}' is declared twice")
        actions[name] = action
    kind = entries.get("primitive_type")
    return ComponentClass(
        entries["name"].text(),
        _as_text(own, words),
        parts,
        actions,
        None if kind is None or kind.value is None else kind.text(),
        node,
    )


def _items(entries: Mapping[str, Node], key: str) -> list[Node]:
    node = entries.get(key)
    return [] if node is None or node.value is None else node.sequence()


def _entries(entries: Mapping[str, Node], key: str) -> dict[str, Node]:
    node = entries.get(key)
    return {} if node is None or node.value is None else node.mapping()


def _as_text(attributes: Mapping[str, Node], words: Collection[str] | None) -> dict[str, Node]:
    """Return attributes with what is text in quotes.

    Args:
        attributes: of a class, or of a part of it.
        words: the names of the class, in versions in which text needs no quotes; None in v0.4. A number with its unit
            (``5ns``) is text in any.
    """
    known = {} if words is None else {*words, *attributes, *FUNCTIONS}

    def is_text(value: object) -> bool:
        if not isinstance(value, str):
            return False
        bare = words is not None and _WORD.fullmatch(value) is not None and value not in known
        return bare or _UNIT.fullmatch(value) is not None

    return {name: replace(node, quoted=True) if is_text(node.value) else node for name, node in attributes.items()}


def _either(entries: Mapping[str, Node], *keys: str) -> Node | None:
    given = [key for key in keys if key in entries]
    if len(given) > 1:
        raise entries[given[1]].fail(f"'{given[1]}' and '{given[0]}' mean the same; give one")
    return entries[given[0]] if given else None


def _part(node: Node, words: Collection[str] | None) -> Part:
    entries = node.mapping(_PART_KEYS, ("name",))
    kind = entries.get("subclass", entries.get("class"))
    if kind is None:
        raise node.fail("the key 'class' is missing")
    area, energy = _either(entries, "area_scale", "area_share"), entries.get("energy_scale")
    return Part(span(entries["name"]), kind.text(), _as_text(_entries(entries, "attributes"), words), area, energy)


def _action(node: Node, parts: Mapping[str, Part]) -> tuple[str, Action]:
    entries = node.mapping(_ACTION_KEYS, ("name",))
    arguments = {name: _values(argument) for name, argument in _entries(entries, "arguments").items()}
    uses = []
    for child in _items(entries, "subcomponents"):
        used = child.mapping(_USE_KEYS, ("name", "actions"))
        which = span(used["name"])
        if which.base not in parts:
            raise used["name"].fail(f"there is no subcomponent '{which.base}'{did_you_mean(which.base, parts)}")
        uses.append(Use(which, tuple(_step(step) for step in used["actions"].sequence())))
    return printable(entries["name"].text()), Action(tuple(uses), arguments)


def _values(node: Node) -> tuple[Node, Node]:
    """Return the first and the last value that an argument may have: ``0..n_banks``, or one value."""
    if not isinstance(node.value, str) or ".." not in node.value:
        return node, node
    first, _, last = node.value.partition("..")
    return _index(node, first), _index(node, last)


def _step(node: Node) -> Step:
    entries = node.mapping(_STEP_KEYS, ("name",))
    scale = _either(entries, "energy_scale", "action_share", "repeat")
    return Step(printable(entries["name"].text()), scale, _entries(entries, "arguments"))


def span(node: Node) -> Span:
    """Return a name taken apart: ``comparator[1..depth]``; raises InputError when its brackets make no sense."""
    text = node.text().strip()
    if "[" not in text and "]" not in text:
        return Span(text, None, None, node)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise node.fail(f"'{text}' is no name with indices; write it as name[first..last]")
    first, dots, last = match["inside"].partition("..")
    start = _index(node, first)
    return Span(match["base"].strip(), start, _index(node, last) if dots else start, node)


def _index(node: Node, text: str) -> Node:
    text = text.strip()
    if not text:
        raise node.fail(f"'{node.text()}' lacks an index; write it as name[first..last]")
    value: int | str = int(text) if text.isdecimal() and len(text) < 20 else text
    return Node(value, node.file, node.line, node.key)
