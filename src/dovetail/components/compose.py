"""Energy and area of a component, composed of its subcomponents', with the tree of how each number came about."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.components.compound import MUST_SPECIFY, ComponentClass, Part, Span, Step, Use
from dovetail.components.estimator import Answer, Query, Quote
from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.expression import evaluate_all, evaluate_node
from dovetail.text import clean

#: Attributes that a subcomponent takes over from what it is part of.
PASSED_ON = ("technology", "global_cycle_seconds", "cycle_seconds", "action_latency_cycles", "n_instances", "voltage")

#: More instances of a subcomponent than any chip has.
MAX_COUNT = 2**48

IDLE, LEAK = "idle", "leak"
#: A component that costs nothing.
_NOTHING = "dummy"

#: More choices of arguments than any action has.
MAX_CHOICES = 4096

_MAX_NESTING = 20


@dataclass(frozen=True)
class Share:
    """One number and what it is made of.

    Attributes:
        name: the component or subcomponent, with its indices.
        component: its class.
        action: the action; empty for an area.
        count: how many instances take part.
        scale: what the definition multiplies each by.
        each: pJ or um^2 of one instance, before ``scale``.
        parts: what ``each`` is composed of; empty for a primitive one.
        estimator: who gave ``each`` of a primitive one.
        source: where that number comes from.
        notes: what was scaled, interpolated or extrapolated.
        extrapolated: whether it, or any part of it, lies outside of the estimator's data.
    """

    name: str
    component: str
    action: str
    count: int
    scale: float
    each: float
    parts: tuple[Share, ...] = ()
    estimator: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    extrapolated: bool = False

    def __post_init__(self) -> None:
        """Keep names fit to be shown."""
        clean(self, "name", "component", "action", "estimator", "source", "notes")

    @property
    def value(self) -> float:
        """What it adds to the whole: pJ or um^2."""
        return self.count * self.scale * self.each

    def leaves(self) -> Iterator[Share]:
        """Yield the primitive shares that it is made of."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.leaves()


@dataclass(frozen=True)
class Instance:
    """A component with every attribute evaluated, down to the primitives.

    Attributes:
        component: its class.
        attributes: evaluated.
        definition: its compound class; None for a primitive.
        members: subcomponents by base name.
    """

    component: str
    attributes: Mapping[str, Any] = field(hash=False)
    definition: ComponentClass | None = None
    members: Mapping[str, Member] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Member:
    """A subcomponent: its first and last index (None without), what one is, and its scales."""

    first: int | None
    last: int | None
    instance: Instance
    area_scale: float
    energy_scale: float


def instantiate(
    component: str,
    attributes: Mapping[str, Any],
    classes: Mapping[str, ComponentClass],
    around: Mapping[str, Any] | None = None,
    within: tuple[str, ...] = (),
) -> Instance:
    """Return a component with the attributes of everything in it evaluated.

    Args:
        component: its class: one of ``classes``, else a primitive.
        attributes: the given ones, evaluated.
        classes: compound classes by name.
        around: attributes of the component that it is part of, which defaults may refer to.
        within: the classes that it is part of, the outermost first.

    Raises:
        InputError: an attribute is missing, refers to an unknown one or to itself; indices make no sense; a class
            contains itself.
    """
    definition = classes.get(component)
    if definition is None or definition.primitive_type is not None:
        return Instance(component if definition is None else str(definition.primitive_type), attributes)
    if component in within or len(within) >= _MAX_NESTING:
        raise definition.node.fail(f"the class {component} contains itself: {' -> '.join([*within, component])}")
    values = _with_defaults(definition, attributes, around or {})
    members = {}
    for base, part in definition.parts.items():
        members[base] = _member(part, values, classes, (*within, component))
    return Instance(component, values, definition, members)


def _with_defaults(definition: ComponentClass, given: Mapping[str, Any], around: Mapping[str, Any]) -> dict[str, Any]:
    open_ones = {name: node for name, node in definition.attributes.items() if given.get(name) is None}
    open_ones = _but_for_itself(open_ones, around)
    for name, node in open_ones.items():
        if node.value == MUST_SPECIFY:
            raise InputError(f"a component of class {definition.name} must specify '{name}'", key=name)
    return {**given, **evaluate_all(open_ones, {**around, **given})}


def _but_for_itself(entries: Mapping[str, Node], names: Mapping[str, Any]) -> dict[str, Node]:
    """Return attributes without those that hand on what nobody gives, as in ``avg_sparsity: avg_sparsity``."""
    return {name: node for name, node in entries.items() if node.value != name or node.quoted or name in names}


def _member(
    part: Part, outer: Mapping[str, Any], classes: Mapping[str, ComponentClass], within: tuple[str, ...]
) -> Member:
    own = evaluate_all(_but_for_itself(part.attributes, outer), outer)
    passed = {name: outer[name] for name in PASSED_ON if name in outer and name not in own}
    first, last = _indices(part.span, outer)
    instance = instantiate(part.component, {**own, **passed}, classes, outer, within)
    names = {**outer, **own}
    return Member(first, last, instance, _scale(part.area_scale, names), _scale(part.energy_scale, names))


def _indices(span: Span, names: Mapping[str, Any]) -> tuple[int | None, int | None]:
    if span.first is None or span.last is None:
        return None, None
    first, last = (_whole(node, names) for node in (span.first, span.last))
    if last < first:
        raise span.node.fail(f"'{span.node.text()}' has no members: its indices run from {first} to {last}")
    if last - first >= MAX_COUNT:
        raise span.node.fail(f"'{span.node.text()}' has {last - first + 1} members; no chip holds as many")
    return first, last


def _whole(node: Node, names: Mapping[str, Any]) -> int:
    value = evaluate_node(node, names)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 2 * MAX_COUNT:
        raise node.fail(f"an index must be a number, found {value!r}")
    return int(value)


def _scale(node: Node | None, names: Mapping[str, Any]) -> float:
    if node is None or node.value is None:
        return 1.0
    return _factor(evaluate_node(node, names), node)


def _factor(value: Any, node: Node | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e30:
        message = f"a scale must be a number of at least 0, found {value!r}"
        raise InputError(message) if node is None else node.fail(message)
    return float(value)


@dataclass(frozen=True)
class Composer:
    """Composes numbers of instances out of an estimator's answers.

    Attributes:
        ask: the answer to a query about a primitive component.
    """

    ask: Callable[[Query], Answer]

    def energy(self, name: str, instance: Instance, action: str) -> Share:
        """Return pJ of one action of a top-level component; raises InputError as the estimators do."""
        scale = _factor(instance.attributes.get("energy_scale", 1.0))
        does = [action] if instance.definition is None else instance.definition.serving(action)
        found = [self._energy(name, instance, each, instance.attributes, 1, scale) for each in does]
        return max(found, key=lambda share: share.each)

    def area(self, name: str, instance: Instance) -> Share:
        """Return um^2 of a top-level component; raises InputError as the estimators do.

        An attribute ``area_scale`` of a top-level component scales all of it, as in the reference.
        """
        scale = _factor(instance.attributes.get("area_scale", 1.0))
        return self._area(name, instance, 1, scale)

    def _energy(
        self,
        name: str,
        instance: Instance,
        action: str,
        attributes: Mapping[str, Any],
        count: int,
        scale: float,
        given: Collection[str] = (),
    ) -> Share:
        """Return an action's share; of arguments that a step has not ``given``, with those that make it dearest."""
        if instance.definition is None:
            return self._primitive(name, Query(instance.component, attributes, action), count, scale)
        does = instance.definition.action(action)
        dearest: Share | None = None
        for values in _choices({name: each for name, each in does.arguments.items() if name not in given}, attributes):
            known = {**attributes, **values}
            parts = [self._step(instance, use, step, known) for use in does.uses for step in use.steps]
            notes = (f"with {', '.join(f'{name} {value}' for name, value in values.items())}",) if values else ()
            share = replace(_composed(name, instance, action, count, scale, parts), notes=notes)
            if dearest is None or share.each > dearest.each:
                dearest = share
        assert dearest is not None
        return dearest

    def _step(self, instance: Instance, use: Use, step: Step, attributes: Mapping[str, Any]) -> Share:
        member = instance.members[use.span.base]
        count, label = _taken(member, use.span, attributes)
        inner = {**member.instance.attributes, **evaluate_all(step.arguments, attributes)}
        scale = _scale(step.scale, attributes) * member.energy_scale
        return self._energy(label, member.instance, step.action, inner, count, scale, step.arguments)

    def _area(self, name: str, instance: Instance, count: int, scale: float) -> Share:
        if instance.definition is None:
            return self._primitive(name, Query(instance.component, instance.attributes), count, scale)
        parts = []
        for base, member in instance.members.items():
            many, label = _members(base, member.first, member.last)
            parts.append(self._area(label, member.instance, many, member.area_scale))
        return _composed(name, instance, "", count, scale, parts)

    def _answer(self, query: Query) -> Answer:
        """Return the answer; doing nothing for a cycle, as earlier versions say it, is leaking for one.

        A part 0 wide, and 0 deep where it has a depth, is not there and costs nothing, as in the reference.
        """
        if query.attributes.get("width") == query.attributes.get("depth", 0) == 0:
            answer = self.ask(replace(query, component=_NOTHING))
            return replace(answer, quote=Quote(0.0, ("it is 0 wide: it is not there",)))
        if query.action != IDLE:
            return self.ask(query)
        try:
            return self.ask(query)
        except InputError as error:
            try:
                return self.ask(replace(query, action=LEAK))
            except InputError:
                raise error from None

    def _primitive(self, name: str, query: Query, count: int, scale: float) -> Share:
        answer = self._answer(query)
        many = query.number("n_instances", 1) if query.action in ("leak", "") else 1.0
        quote, estimator = answer.quote, answer.estimator
        return Share(
            name, query.component, query.action, count, scale, quote.value * many,
            (), estimator.name, estimator.source, quote.notes, quote.extrapolated,
        )  # fmt: skip


def _choices(arguments: Mapping[str, tuple[Node, Node]], names: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Yield every choice of values of an action's arguments; raises InputError where they are too many, or none."""
    ranges: dict[str, range] = {}
    for name, (first, last) in arguments.items():
        ranges[name] = range(_whole(first, names), _whole(last, names) + 1)
        if not ranges[name]:
            raise first.fail(
                f"the argument '{name}' has no value: it runs from {ranges[name].start} to {ranges[name].stop - 1}"
            )
    if math.prod(map(len, ranges.values())) > MAX_CHOICES:
        node = next(iter(arguments.values()))[0]
        raise node.fail(f"the arguments of an action have more than {MAX_CHOICES} choices of values")
    for values in itertools.product(*ranges.values()):
        yield dict(zip(ranges, values, strict=True))


def _composed(name: str, instance: Instance, action: str, count: int, scale: float, parts: list[Share]) -> Share:
    each = sum(part.value for part in parts)
    beyond = any(part.extrapolated for part in parts)
    return Share(name, instance.component, action, count, scale, each, tuple(parts), extrapolated=beyond)


def _taken(member: Member, span: Span, names: Mapping[str, Any]) -> tuple[int, str]:
    """Return how many members an action uses, and what to call them; raises InputError when they don't exist."""
    first, last = _indices(span, names)
    if first is None or last is None:
        return _members(span.base, member.first, member.last)
    if member.first is None or member.last is None or first < member.first or last > member.last:
        has = "no indices" if member.first is None else f"indices {member.first} to {member.last}"
        raise span.node.fail(f"'{span.base}' has {has}, but the action uses {first} to {last}")
    return _members(span.base, first, last)


def _members(base: str, first: int | None, last: int | None) -> tuple[int, str]:
    if first is None or last is None:
        return 1, base
    return last - first + 1, f"{base}[{first}]" if first == last else f"{base}[{first}..{last}]"
