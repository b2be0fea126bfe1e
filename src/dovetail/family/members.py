"""The members of a family, level by level: a level and its costs depend on few parameters, so few are ever read.

A parameter that stands among a component's ``attributes`` changes that component only; any other (a variable, a
fan-out, a constraint) may change every level. So a level is read once per value of its own parameters and of the
general ones, and a member is put together from such levels.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InputError, InternalError
from dovetail.family.family import Family
from dovetail.family.front import Choice
from dovetail.hardware.architecture import Architecture, Level

#: Designs that may have to be read in full, where parameters change every level.
MOST_READ = 100_000
#: Members whose own parameters are tried in turn until one is a design at all.
_TRIED = 64
#: Attributes that say something of more than their own level.
_GENERAL = ("global_cycle_seconds", "instances")


@dataclass(frozen=True)
class Site:
    """One level of a member, and what it costs."""

    level: Level
    cost: ComponentCost


@dataclass(frozen=True)
class Frame:
    """What members of the same general values share.

    Attributes:
        architecture: one of them.
        own: its choice.
    """

    architecture: Architecture
    own: Choice


#: What is to be taken for a design and its energies.
Pricing = Callable[[Architecture, EnergyTable], tuple[Architecture, EnergyTable]]


def priced_as_it_is(architecture: Architecture, energies: EnergyTable) -> tuple[Architecture, EnergyTable]:
    """Return a design with its own energies."""
    return architecture, energies


@dataclass(frozen=True)
class _Clock:
    """Until when members are looked at; None: there is no end."""

    until: float | None

    @property
    def is_over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until


@dataclass
class Members:
    """All members of a family, as far as they were looked at.

    Attributes:
        family: the family.
        pricing: what is taken for each member.
        frames: by the values of the general parameters; None where these make no design, whatever the others are.
        sites: by level name and the values of its own and the general parameters; an InputError where they make none.
        skipped: why members are no designs: each reason, and how many.
        unread: members that were not looked at when time was up: nobody knows whether they are designs.
    """

    family: Family
    pricing: Pricing = priced_as_it_is
    frames: dict[Choice, Frame | None] = field(default_factory=dict)
    sites: dict[tuple[str, Choice], Site | InputError] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    _is_closed: bool = False
    _broken: dict[Choice, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the parameters by what they change."""
        owners = [_owner(self.family, place) for place in range(len(self.family.parameters))]
        self.owners = owners
        self.general = tuple(at for at, owner in enumerate(owners) if owner is None)
        self.own_of = {name: tuple(at for at, owner in enumerate(owners) if owner == name) for name in set(owners)}

    def laid_out(self, until: float | None = None) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Look at every member: return whether it is one, and its area in um^2, both of the family's shape.

        Args:
            until: of the clock (`time.monotonic`): what was not looked at by then is left out, and nothing more is
                read later. Members come in an order of chance then, so that those looked at are spread over all.

        Raises:
            InputError: far too many designs must be read in full; or no member is a design, and why.
        """
        shape = self.family.shape
        reads = _count(shape, self.general) * max(
            1, sum(_count(shape, own) for name, own in self.own_of.items() if name)
        )
        if reads > MOST_READ:
            raise InputError(
                f"{reads:,} designs would have to be read, at most {MOST_READ:,} are: "
                "let parameters stand among the attributes of components rather than among variables"
            )
        clock = _Clock(until)
        valid, area, read = np.ones(shape, np.bool_), np.zeros(shape), np.ones(shape, np.bool_)
        why: dict[str, NDArray[np.bool_]] = {}
        for general in self._spread_out(self.general, until):
            if clock.is_over and self.frames:
                read[self._spread(self.general, general)] = False
            else:
                self._lay_out(general, area, read, why, clock)
        self._is_closed = not read.all()
        valid &= read
        for reason, marked in why.items():
            self.skipped[reason] = int((marked & valid).sum())
            valid &= ~marked
        self._rule_out(valid, read, clock)
        self.unread = int((~read).sum())
        if not valid.any():
            raise self._nothing()
        return valid, area

    def _lay_out(
        self,
        general: Choice,
        area: NDArray[np.float64],
        read: NDArray[np.bool_],
        why: dict[str, NDArray[np.bool_]],
        clock: _Clock,
    ) -> None:
        """Look at the members of the same general values; of the first ones, at one at least."""
        is_first = not self.frames
        frame = self.frame(general)
        if frame is None:
            _note(why, area.shape, self._spread(self.general, general), self._broken[general])
            return
        for level in frame.architecture.levels:
            own = self.own_of.get(level.name, ())
            for at, values in enumerate(self._spread_out(own, clock.until)):
                where = self._spread(self.general + own, general + values)
                if clock.is_over and (at or not is_first):
                    read[where] = False
                    continue
                site = self.site(level.name, self._joined(general, own, values))
                if isinstance(site, InputError):
                    _note(why, area.shape, where, str(site))
                else:
                    area[where] += site.level.instances * site.cost.area_um2

    def _nothing(self) -> InputError:
        reason = next(iter(self.skipped), "there is none")
        if self.unread:
            looked_at = self.family.size - self.unread
            return InputError(
                f"time is up, and none of the {looked_at:,} members that were looked at, of {self.family.size:,}, is "
                f"a design: {reason}"
            )
        return InputError(f"no member of the family is a design: {reason}")

    def design(self, choice: Choice) -> tuple[Architecture, EnergyTable]:
        """Return a member, read as if it stood alone.

        Raises:
            InternalError: its levels are not what the family takes them for.
        """
        architecture, energies = self._priced(choice)
        for level in architecture.levels:
            site = self.site(level.name, choice)
            if isinstance(site, InputError) or site.level != level or site.cost != energies[level.name]:
                raise InternalError(f"{level.name} of {architecture.name} depends on what is not its own")
        return architecture, energies

    def site(self, name: str, choice: Choice) -> Site | InputError:
        """Return a level of a member, or why there is none."""
        general = tuple(choice[at] for at in self.general)
        own = self.own_of.get(name, ())
        key = name, tuple(choice[at] for at in self.general + own)
        if key not in self.sites:
            frame = self.frame(general)
            if self._is_closed:
                return InputError("was not looked at in time")
            assert frame is not None
            place = list(frame.own)
            for at in own:
                place[at] = choice[at]
            self._read(tuple(place), key)
        return self.sites[key]

    def frame(self, general: Choice) -> Frame | None:
        """Return what members of the same general values share; None where they are no designs, or were not read."""
        if general not in self.frames and self._is_closed:
            return None
        if general not in self.frames:
            self.frames[general] = self._frame(general)
        return self.frames[general]

    def general_values(self, box: Sequence[tuple[int, int]]) -> Iterator[tuple[Choice, Frame]]:
        """Yield the general values of a box's members that make designs, as far as they were read, with their frames.

        Args:
            box: per parameter the first value's place and the one behind the last.
        """
        ranges = [range(*box[at]) for at in self.general]
        every: Iterable[Choice] = itertools.product(*ranges)
        if self._is_closed:
            every = (each for each in self.frames if all(at in one for at, one in zip(each, ranges, strict=True)))
        for general in every:
            if (frame := self.frame(general)) is not None:
                yield general, frame

    def cycle_seconds(self, box: Sequence[tuple[int, int]]) -> float:
        """Return how long a cycle of the fastest clock in a box takes, in seconds; the box has a member."""
        return min(frame.architecture.cycle_seconds for _, frame in self.general_values(box))

    def _frame(self, general: Choice) -> Frame | None:
        others = tuple(at for at in range(len(self.owners)) if at not in self.general)
        for tried, values in enumerate(self._choices_of(others)):
            choice = self._joined(general, others, values)
            try:
                architecture, energies = self._priced(choice)
            except InputError as error:
                self._broken.setdefault(general, str(error))
                if tried >= _TRIED:
                    raise
                continue
            self._keep(choice, architecture, energies)
            return Frame(architecture, choice)
        return None

    def _read(self, choice: Choice, key: tuple[str, Choice]) -> None:
        try:
            self._keep(choice, *self._priced(choice))
        except InputError as error:
            self.sites[key] = error
        self.sites.setdefault(key, InputError(f"there is no level '{key[0]}'"))

    def _priced(self, choice: Choice) -> tuple[Architecture, EnergyTable]:
        """Read a member by itself; raises InputError where its values make no design."""
        architecture = self.family.architecture(choice)
        return self.pricing(architecture, estimate(architecture))

    def _keep(self, choice: Choice, architecture: Architecture, energies: EnergyTable) -> None:
        for level in architecture.levels:
            own = self.own_of.get(level.name, ())
            key = level.name, tuple(choice[at] for at in self.general + own)
            self.sites.setdefault(key, Site(level, energies[level.name]))

    def _rule_out(self, valid: NDArray[np.bool_], read: NDArray[np.bool_], clock: _Clock) -> None:
        """Take out the members that a condition rules out, and those that it was not asked of in time."""
        if not self.family.conditions:
            return
        for at, place in enumerate(np.argwhere(valid).tolist()):
            if at >= _TRIED and clock.is_over:
                valid[tuple(place)] = read[tuple(place)] = False
            elif (broken := self.family.broken_condition(tuple(place))) is not None:
                valid[tuple(place)] = False
                reason = f"not {broken}"
                self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def _spread_out(self, parameters: tuple[int, ...], until: float | None) -> Iterator[Choice]:
        """Return all values of parameters; where time may be up before all were seen, in an order of chance."""
        if until is None or not parameters:
            return self._choices_of(parameters)
        choices = list(self._choices_of(parameters))
        random.Random(0).shuffle(choices)  # noqa: S311 - which members come first is no secret
        return iter(choices)

    def _choices_of(self, parameters: tuple[int, ...]) -> Iterator[Choice]:
        return itertools.product(*(range(self.family.shape[at]) for at in parameters))

    def _joined(self, general: Choice, own: tuple[int, ...], values: Choice) -> Choice:
        choice = [0] * len(self.owners)
        for at, value in zip(self.general + own, general + values, strict=True):
            choice[at] = value
        return tuple(choice)

    def _spread(self, parameters: tuple[int, ...], values: Choice) -> tuple[int | slice, ...]:
        fixed = dict(zip(parameters, values, strict=True))
        return tuple(fixed.get(at, slice(None)) for at in range(len(self.owners)))


def _owner(family: Family, parameter: int) -> str | None:
    """Return the name of the component that a parameter changes alone; None where it may change others."""
    place, node, owner = family.parameters[parameter].place, family.document, None
    for step, key in enumerate(place):
        below = node.value
        if isinstance(below, dict):
            named = below.get("name")
            if node.tag == "!Component" and named is not None and key == "attributes" and step + 2 == len(place):
                owner = named.text() if str(place[-1]) not in _GENERAL else None
            if str(key) not in below:
                break
            node = below[str(key)]
        elif isinstance(below, list):
            node = below[int(key)]
    plain = all(not isinstance(value.value, list | dict) for value in family.parameters[parameter].values)
    return owner if plain else None


def _count(shape: tuple[int, ...], parameters: tuple[int, ...]) -> int:
    count = 1
    for at in parameters:
        count *= shape[at]
    return count


def _note(
    why: dict[str, NDArray[np.bool_]], shape: tuple[int, ...], where: tuple[int | slice, ...], reason: str
) -> None:
    why.setdefault(reason, np.zeros(shape, np.bool_))[where] = True
