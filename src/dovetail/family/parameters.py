"""What varies in a family of designs: places in a document, and the values that may stand there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError, did_you_mean

RANGE, CHOICE = "!range", "!choice"
#: Values that one range may have.
MOST_VALUES = 10_000
#: Where a value of a node may stand, by the key that holds it.
_SHELVES = ("attributes", "spatial")
_STEP = re.compile(r"(?P<sign>[x*+]?)(?P<number>[0-9.]+(?:[eE][-+]?[0-9]+)?)")

#: Keys and places of lists that lead to a value, from the document's top.
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Parameter:
    """One thing that varies.

    Attributes:
        name: such as ``shared_glb.depth``; a variable's own name.
        place: where its values stand in the document.
        values: what may stand there; numbers, words, or whole parts of a document.
    """

    name: str
    place: Place
    values: tuple[Node, ...]

    @property
    def labels(self) -> tuple[str | int | float | bool, ...]:
        """What to call each value: itself where it is one, else its number among the choices."""
        return tuple(
            f"choice {at}" if isinstance(node.value, list | dict) or node.value is None else node.value
            for at, node in enumerate(self.values, 1)
        )


def declared(document: Node) -> tuple[Parameter, ...]:
    """Return what a document declares by ``!range`` and ``!choice``, in the order of the file.

    Raises:
        InputError: a range is empty, endless, or of no numbers; with file, line and key.
    """
    found: list[Parameter] = []
    for place, node, owner in _tagged(document, (), ""):
        values = _choices(node) if node.tag == CHOICE else _range(node)
        name = _name(place, owner)
        if any(each.name == name for each in found):
            name = ".".join(map(str, place))
        found.append(Parameter(name, place, values))
    return tuple(found)


def asked_for(document: Node, name: str, text: str) -> Parameter:
    """Return a parameter that an option names: ``NODE.KEY`` or a variable, and its values.

    Args:
        document: the design.
        name: such as ``shared_glb.depth``, ``PE.meshY`` or ``BUFFER_KB``.
        text: values with commas between them, each a number, a word, or a range ``LOW:HIGH:STEP`` where the step is
            ``xN`` for a factor, a number for a difference, and 1 where there is none.

    Raises:
        InputError: there is no such node, key or variable, or the values are none.
    """
    place = _place_of(document, name)
    values = [_as_node(value, name) for part in text.split(",") for value in _values(part.strip(), name)]
    plain = [node.value for node in values]
    if not values or len(set(plain)) != len(plain):
        raise InputError(f"--vary {name}: '{text[:60]}' names no value, or one twice")
    return Parameter(name, place, tuple(values))


def with_values(document: Node, chosen: dict[Place, Node]) -> Node:
    """Return the document with other values at places; a key that a mapping lacks is added."""
    if () in chosen:
        return chosen[()]
    inner: dict[str | int, dict[Place, Node]] = {}
    for place, node in chosen.items():
        inner.setdefault(place[0], {})[place[1:]] = node
    if isinstance(document.value, list):
        items = [with_values(item, inner[at]) if at in inner else item for at, item in enumerate(document.value)]
        return replace(document, value=items)
    entries = dict(document.value) if isinstance(document.value, dict) else {}
    for key, below in inner.items():
        entries[str(key)] = with_values(entries[str(key)], below) if key in entries else below[()]
    return replace(document, value=entries)


def _tagged(node: Node, place: Place, owner: str) -> Iterator[tuple[Place, Node, str]]:
    """Yield every place that varies, with the name of the node around it."""
    if node.tag in (RANGE, CHOICE):
        yield place, node, owner
        return
    if isinstance(node.value, dict):
        named = node.value.get("name")
        if named is not None and isinstance(named.value, str):
            owner = named.value
        for key, inner in node.value.items():
            yield from _tagged(inner, (*place, key), owner)
    elif isinstance(node.value, list):
        for at, inner in enumerate(node.value):
            yield from _tagged(inner, (*place, at), owner)


def _name(place: Place, owner: str) -> str:
    keys = [key for key in place if isinstance(key, str) and key not in (*_SHELVES, "architecture", "nodes")]
    last = keys[-1] if keys else str(place[-1])
    if place[0] == "variables":
        return last
    return f"{owner}.{last}" if owner else last


def _choices(node: Node) -> tuple[Node, ...]:
    values = tuple(node.sequence())
    if not values:
        raise node.fail("a choice of nothing; write !choice [VALUE, VALUE, ...]")
    for value in values:
        for _, inner, _ in _tagged(value, (), ""):
            raise inner.fail(f"varies inside of a choice; what is chosen holds no {RANGE} and no {CHOICE} itself")
    if len(values) > MOST_VALUES:
        raise node.fail(f"{len(values):,} values; at most {MOST_VALUES:,} are chosen from")
    if len({_comparable(each.plain()) for each in values}) < len(values):
        raise node.fail("a value stands twice in the choice")
    return values


def _comparable(value: Any) -> Any:
    """Return a plain value such that equal ones are equal and can stand in a set: 1 and 1.0 are, 1 and '1' are not."""
    if isinstance(value, dict):
        return frozenset((key, _comparable(each)) for key, each in value.items())
    return (list, *map(_comparable, value)) if isinstance(value, list) else value


def _range(node: Node) -> tuple[Node, ...]:
    """Return the values of ``!range [LOW, HIGH]`` or ``!range [LOW, HIGH, STEP]``."""
    items = node.sequence()
    if len(items) not in (2, 3):
        raise node.fail("a range is !range [LOW, HIGH] or !range [LOW, HIGH, STEP], the step a number or xN")
    low, high = items[0].number(), items[1].number()
    if len(items) == 3 and (isinstance(items[2].value, bool) or not isinstance(items[2].value, int | float | str)):
        raise items[2].fail(f"a step is a number or xN, found {items[2].kind}")
    step = "1" if len(items) == 2 else str(items[2].value)
    try:
        values = _stepped(low, high, step)
    except InputError as error:
        raise node.fail(error.message) from None
    return tuple(replace(node, value=value, tag=None) for value in values)


def _values(text: str, name: str) -> list[int | float | str]:
    """Return the values that one part of an option's text stands for."""
    parts = text.split(":")
    if len(parts) == 1:
        number = _number(text)
        if number is None and not re.fullmatch(r"[A-Za-z_][\w.-]*", text):
            raise InputError(f"--vary {name}: '{text[:60]}' is neither a number, a word nor a range LOW:HIGH:STEP")
        return [text if number is None else number]
    low, high = _number(parts[0]), _number(parts[1])
    if low is None or high is None or len(parts) > 3:
        raise InputError(f"--vary {name}: '{text[:60]}' is no range; write LOW:HIGH:STEP, the step a number or xN")
    try:
        return list(_stepped(low, high, parts[2] if len(parts) == 3 else "1"))
    except InputError as error:
        raise InputError(f"--vary {name}: {error.message}") from None


def _stepped(low: int | float, high: int | float, step: str) -> list[int | float]:
    """Return the values from ``low`` up to ``high``."""
    read = _STEP.fullmatch(step.strip())
    number = None if read is None else _number(read["number"])
    if read is None or number is None:
        raise InputError(f"a step is a number or xN, found '{step[:60]}'")
    factor = read["sign"] in ("x", "*")
    if high < low:
        raise InputError(f"the range from {low} to {high} is empty")
    if (factor and (number <= 1 or low <= 0)) or number <= 0:
        raise InputError(f"the range from {low} to {high} in steps of {step[:60]} never ends")
    count = math.log(high / low) / math.log(number) if factor else (high - low) / number
    if count >= MOST_VALUES:
        raise InputError(f"the range has {count:.3g} values; at most {MOST_VALUES:,} are taken")
    values = [low * number**at if factor else low + number * at for at in range(math.floor(count + 1e-9) + 1)]
    return [int(value) if float(value).is_integer() else float(f"{value:.12g}") for value in values]


def _number(text: str) -> int | float | None:
    """Return a number of moderate size; None for anything else."""
    if len(text) > 60 or not re.fullmatch(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?|-?\.[0-9]+", text):
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    return int(text) if re.fullmatch("-?[0-9]+", text) else int(value) if value.is_integer() else value


def _as_node(value: int | float | str, name: str) -> Node:
    return Node(value, "--vary", 1, name, quoted=isinstance(value, str))


def _place_of(document: Node, name: str) -> Place:
    """Return where a named value stands."""
    owner, dot, key = name.rpartition(".")
    variables = document.mapping().get("variables")
    known = {} if variables is None or variables.value is None else variables.mapping()
    if not dot:
        if name not in known:
            raise InputError(f"--vary {name}: there is no such variable{did_you_mean(name, known)}; or write NODE.KEY")
        return ("variables", name)
    nodes = dict(_nodes(document, ()))
    if owner not in nodes:
        raise InputError(f"--vary {name}: the design has no node '{owner}'{did_you_mean(owner, nodes)}")
    place, node = nodes[owner]
    entries = node.mapping()
    for shelf in _SHELVES:
        inner = entries.get(shelf)
        if inner is not None and isinstance(inner.value, dict) and key in inner.value:
            return (*place, shelf, key)
    if key in ("meshX", "meshY") and "spatial" in entries:
        return (*place, "spatial", key)
    listed = [
        one for shelf in _SHELVES if isinstance((held := entries.get(shelf)), Node) and isinstance(held.value, dict)
        for one in held.value
    ]  # fmt: skip
    raise InputError(f"--vary {name}: '{owner}' says nothing of '{key}'{did_you_mean(key, listed)}")


def _nodes(node: Node, place: Place) -> Iterator[tuple[str, tuple[Place, Node]]]:
    """Yield the named nodes of a document."""
    if isinstance(node.value, dict):
        named = node.value.get("name")
        if named is not None and isinstance(named.value, str):
            yield named.value, (place, node)
        for key, inner in node.value.items():
            yield from _nodes(inner, (*place, key))
    elif isinstance(node.value, list):
        for at, inner in enumerate(node.value):
            yield from _nodes(inner, (*place, at))


def check_names(parameters: Sequence[Parameter]) -> None:
    """Raise InputError where two parameters have one name or one place."""
    for one, parameter in enumerate(parameters):
        for other in parameters[:one]:
            if other.name == parameter.name or other.place == parameter.place:
                raise InputError(f"'{parameter.name}' varies twice")
