"""The members of a family, level by level: a level and its costs depend on few parameters, so few are ever read.

A parameter that stands among a component's ``attributes`` changes that component only; any other (a variable, a
fan-out, a constraint) may change every level. So a level is read once per value of its own parameters and of the
general ones, and a member is put together from such levels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
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


@dataclass
class Members:
    """All members of a family, as far as they were looked at.

    Attributes:
        family: the family.
        frames: by the values of the general parameters; None where these make no design, whatever the others are.
        sites: by level name and the values of its own and the general parameters; an InputError where they make none.
        skipped: why members are no designs: each reason, and how many.
    """

    family: Family
    frames: dict[Choice, Frame | None] = field(default_factory=dict)
    sites: dict[tuple[str, Choice], Site | InputError] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    _broken: dict[Choice, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the parameters by what they change."""
        owners = [_owner(self.family, place) for place in range(len(self.family.parameters))]
        self.owners = owners
        self.general = tuple(at for at, owner in enumerate(owners) if owner is None)
        self.own_of = {name: tuple(at for at, owner in enumerate(owners) if owner == name) for name in set(owners)}

    def laid_out(
        self, progress: Callable[[int, int], None] | None = None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Look at every member: return whether it is one, and its area in um^2, both of the family's shape.

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
        valid, area = np.ones(shape, np.bool_), np.zeros(shape)
        why: dict[str, NDArray[np.bool_]] = {}
        done = 0
        for general in self._choices_of(self.general):
            at = self._spread(self.general, general)
            frame = self.frame(general)
            done += 1
            if progress is not None:
                progress(done, _count(shape, self.general))
            if frame is None:
                _note(why, shape, at, self._broken[general])
                continue
            for level in frame.architecture.levels:
                own = self.own_of.get(level.name, ())
                for values in self._choices_of(own):
                    site = self.site(level.name, self._joined(general, own, values))
                    where = self._spread(self.general + own, general + values)
                    if isinstance(site, InputError):
                        _note(why, shape, where, str(site))
                    else:
                        area[where] += site.level.instances * site.cost.area_um2
        for reason, marked in why.items():
            self.skipped[reason] = int((marked & valid).sum())
            valid &= ~marked
        self._rule_out(valid)
        if not valid.any():
            reason = next(iter(self.skipped), "there is none")
            raise InputError(f"no member of the family is a design: {reason}")
        return valid, area

    def design(self, choice: Choice) -> tuple[Architecture, EnergyTable]:
        """Return a member, read as if it stood alone.

        Raises:
            InternalError: its levels are not what the family takes them for.
        """
        architecture = self.family.architecture(choice)
        energies = estimate(architecture)
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
            assert frame is not None
            place = list(frame.own)
            for at in own:
                place[at] = choice[at]
            self._read(tuple(place), key)
        return self.sites[key]

    def frame(self, general: Choice) -> Frame | None:
        """Return what members of the same general values share; None where they are no designs."""
        if general not in self.frames:
            self.frames[general] = self._frame(general)
        return self.frames[general]

    def _frame(self, general: Choice) -> Frame | None:
        others = tuple(at for at in range(len(self.owners)) if at not in self.general)
        for tried, values in enumerate(self._choices_of(others)):
            choice = self._joined(general, others, values)
            try:
                architecture = self.family.architecture(choice)
                energies = estimate(architecture)
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
            architecture = self.family.architecture(choice)
            self._keep(choice, architecture, estimate(architecture))
        except InputError as error:
            self.sites[key] = error
        self.sites.setdefault(key, InputError(f"there is no level '{key[0]}'"))

    def _keep(self, choice: Choice, architecture: Architecture, energies: EnergyTable) -> None:
        for level in architecture.levels:
            own = self.own_of.get(level.name, ())
            key = level.name, tuple(choice[at] for at in self.general + own)
            self.sites.setdefault(key, Site(level, energies[level.name]))

    def _rule_out(self, valid: NDArray[np.bool_]) -> None:
        """Take out the members that a condition rules out."""
        if not self.family.conditions:
            return
        for place in np.argwhere(valid).tolist():
            if (broken := self.family.broken_condition(tuple(place))) is not None:
                valid[tuple(place)] = False
                reason = f"not {broken}"
                self.skipped[reason] = self.skipped.get(reason, 0) + 1

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
