"""Why processing elements stand idle: what a fan-out could use of a problem, and what keeps it from more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from dovetail.hardware.architecture import Architecture, Spatial
from dovetail.mapping.constraints import axis_slots, bound_to, factor_range
from dovetail.mapping.mapping import Mapping
from dovetail.workload.problem import Problem


class Idle(StrEnum):
    """Why part of a fan-out is not used."""

    CONSTRAINT = "constraint"
    DIMENSIONS = "too few parallel dimensions"
    DIVISIBILITY = "divisibility"
    CHOICE = "choice"


@dataclass(frozen=True)
class FanoutUse:
    """How one fan-out is used by one mapping.

    Attributes:
        level: its name.
        fanout: children that there are.
        used: children in use.
        possible: most children that factors of the allowed dimensions reach.
        uneven: the same if factors need not divide.
        unconstrained: the same if any dimension could lie here.
        dimensions: allowed dimensions that are larger than 1, with their bounds.
        rooms: children along X and along Y.
    """

    level: str
    fanout: int
    used: int
    possible: int
    uneven: int
    unconstrained: int
    dimensions: tuple[tuple[str, int], ...]
    rooms: tuple[int, int]

    @property
    def name(self) -> str:
        """The level's name as the design's author wrote it."""
        return self.level.removeprefix("inter_").removesuffix("_spatial")

    @property
    def idle(self) -> Idle | None:
        """What costs the most of what is idle; None when all are used."""
        if self.used >= self.fanout:
            return None
        reachable = min(self.unconstrained, self.fanout)
        losses = (
            (self.uneven / self.possible, Idle.DIVISIBILITY),
            (reachable / self.uneven, Idle.CONSTRAINT),
            (self.fanout / reachable, Idle.DIMENSIONS),
            (self.possible / self.used, Idle.CHOICE),
        )
        return max(losses, key=lambda loss: loss[0])[1]

    @property
    def reason(self) -> str:
        """Why the rest is idle, as the end of a sentence that begins with 'because'; empty when all are used."""
        idle, room = self.idle, " or ".join(str(room) for room in dict.fromkeys(self.rooms) if room > 1)
        sizes = " x ".join(f"{name} {bound}" for name, bound in self.dimensions)
        if idle is Idle.DIVISIBILITY:
            culprits = _culprits(self.dimensions, [room for room in self.rooms if room > 1])
            return f"{culprits} no multiple of {room}"
        if idle is Idle.CONSTRAINT:
            allowed = f"only {sizes} run" if sizes else "nothing here run"
            return f"the design lets {allowed} along {self.name}, {self.uneven} of {self.fanout} at most"
        if idle is Idle.DIMENSIONS:
            return f"{self.name} has room for {self.fanout} but {sizes or 'no dimension'} to fill it"
        if idle is Idle.CHOICE:
            return f"using more than {self.used} of the {self.fanout} along {self.name} costs more, or does not fit"
        return ""


def fanout_uses(mapping: Mapping, problem: Problem, architecture: Architecture) -> tuple[FanoutUse, ...]:
    """Return the use of every fan-out larger than 1, outer to inner."""
    bound = bound_to(architecture, problem)
    return tuple(
        _use(mapping, problem, level) for level in bound.levels if isinstance(level, Spatial) and level.fanout > 1
    )


def _use(mapping: Mapping, problem: Problem, level: Spatial) -> FanoutUse:
    entry = mapping[level.name]
    on_x, on_y = _allowed(problem, level)
    limits = {
        name: min(problem.bound(name), factor_range(level.constraints.spatial, name, problem).most)
        for name in problem.shape.dimensions
    }
    rooms = level.fanout_x, level.fanout_y
    sizes = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    mentioned = [name for name in problem.shape.dimensions if name in {*on_x, *on_y} and limits[name] > 1]
    return FanoutUse(
        level=level.name,
        fanout=level.fanout,
        used=math.prod(loop.factor for loop in entry.spatial_x + entry.spatial_y),
        possible=_most(sizes, limits, (on_x, on_y), rooms, divide=True),
        uneven=_most(sizes, limits, (on_x, on_y), rooms, divide=False),
        unconstrained=_most(sizes, sizes, (tuple(sizes), tuple(sizes)), rooms, divide=False),
        dimensions=tuple((name, sizes[name]) for name in mentioned),
        rooms=rooms,
    )


def _allowed(problem: Problem, level: Spatial) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the dimensions that may lie on X and on Y."""
    slots = axis_slots(level.constraints.spatial, problem)
    names = problem.shape.dimensions
    return (names, names) if slots is None else (slots.on_x + slots.free, slots.on_y + slots.free)


def _most(
    sizes: dict[str, int],
    limits: dict[str, int],
    allowed: tuple[Sequence[str], Sequence[str]],
    rooms: tuple[int, int],
    *,
    divide: bool,
) -> int:
    """Return the most children that the dimensions reach, each on one axis."""
    places = [
        [axis for axis in (0, 1) if name in allowed[axis] and rooms[axis] > 1 and limits[name] > 1] for name in sizes
    ]
    open_names = [name for name, axes in zip(sizes, places, strict=True) if axes]
    best = 1
    for axes in product(*(places_of for places_of in places if places_of)):
        used = 1
        for axis in (0, 1):
            here = [name for name, chosen in zip(open_names, axes, strict=True) if chosen == axis]
            if divide:
                used *= _largest_product([_factors(sizes[name], limits[name]) for name in here], rooms[axis])
            else:
                used *= min(rooms[axis], math.prod(limits[name] for name in here))
        best = max(best, used)
    return best


def _factors(size: int, limit: int) -> list[int]:
    return [factor for factor in range(1, min(size, limit) + 1) if size % factor == 0]


def _largest_product(factors: Iterable[Sequence[int]], room: int) -> int:
    reached = {1}
    for choices in factors:
        reached = {known * factor for known in reached for factor in choices if known * factor <= room}
    return max(reached)


def _culprits(dimensions: Sequence[tuple[str, int]], rooms: Sequence[int]) -> str:
    large = [name for name, bound in dimensions if all(bound % room for room in rooms)]
    names = large or [name for name, _ in dimensions]
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{', '.join(names[:-1])} and {names[-1]} are"
