"""What an estimator is, how estimators are found, and how the one with the highest stated accuracy is chosen.

An estimator is a small class without constructor arguments, named by an entry point of the group
``dovetail.estimators``::

    class MyAdder:
        name = "my_adder"
        classes = ("intadder",)
        valid = "1 to 64 bits, 5 nm"
        accuracy = 95                         # percent, as stated by whoever made it
        source = "our own synthesis, 2025"

        def energy(self, query: Query) -> Quote:      # pJ per action
            if query.node_nm != 5:
                raise Declined("only 5 nm")
            return Quote(0.0004 * query.number("width", 32))

        def area(self, query: Query) -> Quote: ...    # um^2
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from dovetail.components.parts import KNOWN_PARTS
from dovetail.components.technology import parse_node
from dovetail.errors import InputError, did_you_mean

GROUP = "dovetail.estimators"

#: No size, count or supply of a chip comes near; what is larger is a mistake.
LARGEST = 1e15


class Declined(Exception):  # noqa: N818 - not an error: the next estimator is asked
    """An estimator does not serve a query; its text says why."""


@dataclass(frozen=True)
class Quote:
    """An estimator's answer.

    Attributes:
        value: pJ per action, or um^2.
        notes: what was scaled or interpolated, in words.
        extrapolated: whether the answer lies outside of the data it is made from.
    """

    value: float
    notes: tuple[str, ...] = ()
    extrapolated: bool = False


_VOLTS = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?V")


@dataclass(frozen=True)
class Query:
    """What is asked of an estimator: the energy of one action, or the area, of one primitive component.

    Attributes:
        component: the component class, e.g. ``SRAM``.
        attributes: its evaluated attributes.
        action: e.g. ``read`` or ``leak``; empty for the area.
    """

    component: str
    attributes: Mapping[str, Any] = field(hash=False)
    action: str = ""

    def number(self, name: str, default: float | None = None, *, positive: bool = True) -> float:
        """Return a numeric attribute.

        Raises:
            InputError: it is missing without a default, no finite number, not above zero (below, unless
                ``positive``), or beyond reason.
        """
        value = self.attributes.get(name, default)
        if value is None:
            raise InputError(f"a component of class {self.component} must specify '{name}'", key=name)
        if isinstance(value, str) and (volts := _VOLTS.fullmatch(value.strip())):
            value = float(volts[1])
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"must be a number, found {value!r}", key=name)
        if value < 0 or (positive and value == 0):
            raise InputError(f"must be {'above' if positive else 'at least'} 0, found {value:g}", key=name)
        if value > LARGEST:
            raise InputError(f"must be at most {LARGEST:g}, found {value:g}", key=name)
        return float(value)

    def word(self, name: str, default: str) -> str:
        """Return an attribute that is a word; raises InputError where it is a list or a mapping."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str | int | float):
            raise InputError(f"must be a word such as {default}, found {value!r:.60}", key=name)
        return str(value)

    @property
    def node_nm(self) -> float:
        """The technology node in nm; raises InputError when the component has none."""
        technology = self.attributes.get("technology")
        if technology is None or (isinstance(technology, str) and technology.strip().upper() == "SET ME"):
            message = f"a component of class {self.component} must specify 'technology', such as \"45nm\""
            raise InputError(message, key="technology")
        return parse_node(technology)

    @property
    def cycle_seconds(self) -> float:
        """Seconds per cycle, which leakage is charged for; 1 ns by default."""
        return self.number("global_cycle_seconds", 1e-9)


class Estimator(Protocol):
    """What :func:`estimators` finds; see the module's own text for an example.

    Attributes:
        name: what the user calls it by.
        classes: the component classes it serves.
        valid: the range it is valid in, in words.
        accuracy: percent, as stated by its author.
        source: where its numbers come from.
    """

    name: str
    classes: tuple[str, ...]
    valid: str
    accuracy: float
    source: str

    def energy(self, query: Query) -> Quote:
        """Return pJ of one action; raises Declined with the reason when it cannot."""

    def area(self, query: Query) -> Quote:
        """Return um^2 of one instance; raises Declined with the reason when it cannot."""


@functools.cache
def estimators() -> tuple[Estimator, ...]:
    """Return every installed estimator, the highest stated accuracy first, then by name.

    Raises:
        InputError: an entry point cannot be loaded or does not hold what an estimator must.
    """
    found: dict[str, Estimator] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            estimator: Estimator = entry.load()()
        except Exception as error:  # whatever a foreign package does wrong, the user gets one message
            raise InputError(f"the estimator '{entry.name}' ({entry.value}) cannot be loaded: {error}") from None
        missing = [name for name in ("name", "classes", "accuracy", "source") if not hasattr(estimator, name)]
        if missing:
            raise InputError(f"the estimator '{entry.name}' ({entry.value}) does not state its {missing[0]}")
        found.setdefault(estimator.name, estimator)
    return tuple(sorted(found.values(), key=lambda estimator: (-estimator.accuracy, estimator.name)))


@dataclass(frozen=True)
class Answer:
    """A quote and the estimator that gave it."""

    quote: Quote
    estimator: Estimator


def ask(query: Query, forced: Sequence[str] = (), among: Sequence[Estimator] | None = None) -> Answer:
    """Return the answer of the best estimator that serves a query.

    Args:
        query: what is asked.
        forced: names of estimators that go before all others wherever they serve; the attribute ``estimator`` of the
            component itself goes before these and allows no other.
        among: the estimators to ask; by default every installed one.

    Raises:
        InputError: nobody serves it: the message lists who was asked and why each declined.
    """
    candidates = _ordered(query, forced, estimators() if among is None else among)
    declined: list[str] = []
    for estimator in candidates:
        if not serves(estimator, query.component):
            continue
        try:
            quote = estimator.energy(query) if query.action else estimator.area(query)
        except Declined as reason:
            declined.append(f"{estimator.name}: {reason}")
            continue
        if not math.isfinite(quote.value) or quote.value < 0:
            declined.append(f"{estimator.name}: answered {quote.value}")
            continue
        return Answer(quote, estimator)
    raise InputError(_nobody(query, declined, candidates))


def serves(estimator: Estimator, component: str) -> bool:
    """Return whether an estimator names a component class (or ``*``) among those it serves; case does not matter."""
    return any(name in ("*", component) or name.lower() == component.lower() for name in estimator.classes)


def _ordered(query: Query, forced: Sequence[str], among: Sequence[Estimator]) -> list[Estimator]:
    by_name = {estimator.name: estimator for estimator in among}
    own = query.attributes.get("estimator")
    if own is not None:
        return [named(str(own), by_name)]
    first = [named(name, by_name) for name in forced]
    return first + [estimator for estimator in among if estimator not in first]


def named(name: str, among: Mapping[str, Estimator] | None = None) -> Estimator:
    """Return the estimator of a name; raises InputError with the nearest name when there is none."""
    known = {estimator.name: estimator for estimator in estimators()} if among is None else among
    if name not in known:
        raise InputError(f"there is no estimator '{name}'{did_you_mean(name, known)}")
    return known[name]


def _nobody(query: Query, declined: Sequence[str], candidates: Sequence[Estimator]) -> str:
    what = f"energy of '{query.action}'" if query.action else "area"
    others = [estimator.name for estimator in candidates if not serves(estimator, query.component)]
    classes = {name for estimator in candidates for name in estimator.classes if name != "*"}
    known = query.component.lower() in (name.lower() for name in classes)
    hint = "" if known else did_you_mean(query.component, classes)
    asked = [*declined, *([f"{', '.join(others)}: serve other classes"] if others else [])]
    return (
        f"no estimator gives the {what} of class {query.component}{hint if hint.endswith('?') else ''}; "
        f"asked: {'; '.join(asked)}; {_otherwise(query)}"
    )


def _otherwise(query: Query) -> str:
    """Return how else a cost can be said: by the design itself, or by a table."""
    known = {name.lower(): what for name, what in KNOWN_PARTS.items()}.get(query.component.lower())
    word = f"{query.action}_pJ" if query.action else "area_um2"
    table = f"an ERT (--ert) in which it has the action '{query.action}'" if query.action else "an ART (--art)"
    return f"{f'it is {known}: ' if known else ''}say it as its attribute '{word}' or in {table}"
