"""Every way to factor one dimension, as arrays, but for those that another one replaces at no loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.limits import AXIS, IS_FANOUT, LEAST, MOST, ON_X, ON_Y, ROOM_X, ROOM_Y
from dovetail.mapper.mapspace import Mapspace
from dovetail.model.arrays import Bools, Ints
from dovetail.model.charges import fits, space_taken

#: Ways of one dimension that are listed at most.
MOST_WAYS = 200_000


@dataclass(frozen=True)
class Ways:
    """Ways to factor a dimension. All arrays are ``(ways, levels)``, levels outer to inner.

    Attributes:
        over_time: factors over time.
        on_x, on_y: factors along the axes of fan-outs.
        last_time: iterations of the last pass over time.
        last_space: children of the last pass.
    """

    over_time: Ints
    on_x: Ints
    on_y: Ints
    last_time: Ints
    last_space: Ints

    def __len__(self) -> int:
        return len(self.over_time)

    def take(self, chosen: Ints | Bools) -> Ways:
        """Return some of them."""
        return Ways(*(each[chosen] for each in self.arrays))

    @property
    def arrays(self) -> tuple[Ints, ...]:
        """The fields in their order."""
        return self.over_time, self.on_x, self.on_y, self.last_time, self.last_space

    @property
    def in_space(self) -> Ints:
        """Factors in space."""
        return self.on_x * self.on_y

    @property
    def inside(self) -> Ints:
        """The extent of a child's tile: all factors further in."""
        each = self.over_time * self.in_space
        inside = each[:, ::-1].cumprod(axis=1)[:, ::-1]
        return np.concatenate([inside[:, 1:], np.ones((len(each), 1), np.int64)], axis=1)


def ways_of(space: Mapspace, d: int, is_over: Callable[[], bool]) -> Ways | None:
    """Return the ways to factor a dimension whose own tile fits wherever it must; None: too many, or time is up.

    From the inside out, each slot takes a factor of what is left, rounded up where it does not divide it. At the level
    right inside the outermost one, where neither is inside a fan-out, factors are left out that leave as many passes
    outside as a smaller one does, unless they leave a last pass of one iteration: passes at every other boundary are
    as many, tiles no smaller, cycles no fewer.
    """
    levels, bound = len(space.limits.levels), int(space.limits.bounds[d])
    ways, left = _nothing(levels), np.array([bound], np.int64)
    tile = np.ones(1, np.int64)
    for level in range(levels - 1, -1, -1):
        if is_over():
            return None
        from_which, on_axis, factor = _choices(space, level, d, left)
        if len(factor) > MOST_WAYS:
            return None
        ways, left, tile = ways.take(from_which), left[from_which], tile[from_which] * factor
        ways.arrays[on_axis_of(level, space)][:, level] = factor
        if space.limits.levels[level, IS_FANOUT]:
            is_y = on_axis == ON_Y
            ways.on_y[is_y, level], ways.on_x[is_y, level] = factor[is_y], 1
        rest = np.where(left % factor == 0, factor, left % factor)
        (ways.last_space if space.limits.levels[level, IS_FANOUT] else ways.last_time)[:, level] = rest
        left = -(-left // factor)
        fit = _fit(space, level, d, np.minimum(tile, bound))
        ways, left, tile = ways.take(fit), left[fit], tile[fit]
    return ways.take(left == 1)


def on_axis_of(level: int, space: Mapspace) -> int:
    """Return which array of `Ways.arrays` takes a level's factors: over time, or on X."""
    return 1 if space.limits.levels[level, IS_FANOUT] else 0


def _nothing(levels: int) -> Ways:
    return Ways(*(np.ones((1, levels), np.int64) for _ in range(5)))


def _choices(space: Mapspace, level: int, d: int, left: Ints) -> tuple[Ints, Ints, Ints]:
    """Return of each choice which way it goes on from, the axis (of a fan-out), and its factor."""
    row, loops = space.limits.levels[level], space.limits.loops[level, d]
    least, most, axis = int(loops[LEAST]), int(loops[MOST]), int(loops[AXIS])
    which, axes, factors = ([np.zeros(0, np.int64)] for _ in range(3))
    values, inverse = np.unique(left, return_inverse=True)
    for at, value in enumerate(values.tolist()):
        own = _own_choices(space, level, value, least, min(most, value), axis, row)
        members = np.flatnonzero(inverse == at)
        chosen = np.array(own, np.int64).reshape(-1, 2)
        which.append(np.repeat(members, len(chosen)))
        axes.append(np.tile(chosen[:, 0], len(members)))
        factors.append(np.tile(chosen[:, 1], len(members)))
    return np.concatenate(which), np.concatenate(axes), np.concatenate(factors)


def _own_choices(
    space: Mapspace, level: int, left: int, least: int, most: int, axis: int, row: Ints
) -> list[tuple[int, int]]:
    """Return (axis, factor) of what a level may take of what is left of a dimension."""
    if row[IS_FANOUT]:
        found = [(ON_X, 1)] if least <= 1 else []
        if axis != ON_Y:
            found += [(ON_X, factor) for factor in range(max(least, 2), min(most, int(row[ROOM_X])) + 1)]
        if axis != ON_X:
            found += [(ON_Y, factor) for factor in range(max(least, 2), min(most, int(row[ROOM_Y])) + 1)]
        return found
    if level == 0:
        return [(ON_X, left)] if least <= left <= most else []
    factors = range(least, most + 1)
    if level > 1 or space.limits.levels[0, IS_FANOUT]:
        return [(ON_X, factor) for factor in factors]
    outside: set[int] = set()
    kept: list[int] = []
    for factor in factors:
        passes = -(-left // factor)
        if passes not in outside or left % factor == 1:
            kept.append(factor)
        outside.add(passes)
    return [(ON_X, factor) for factor in kept]


def _fit(space: Mapspace, level: int, d: int, tile: Ints) -> Bools:
    """Return whether a tile of one dimension alone fits a level with what it must keep."""
    if space.machine.capacity[level] < 0:
        return np.ones(len(tile), np.bool_)
    taken = np.zeros(len(tile), np.int64)
    for tensor in np.flatnonzero(space.kept_at_least()[level]).tolist():
        step = int(space.rules.coefficients[tensor, :, d].sum())
        taken += space_taken(space.machine, level, tensor, 1) * (1 + step * (tile - 1))
    return np.array([fits(int(space.machine.capacity[level]), int(each)) for each in taken], np.bool_)
