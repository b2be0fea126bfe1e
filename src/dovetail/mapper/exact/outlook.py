"""What the loops of a storage level leave to hope for, when those over some dimensions are chosen and others are not.

A search chooses a level's factors dimension by dimension. Of the tiles that the factors still open can lead to, one has
the least energy inside per execution of the loop body, whatever is reused outside: no choice of them goes below. So
whole branches of factors are left at once, where each of their tiles would be looked at, and given up, by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.packed import Packed, block
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.tables import join_loops
from dovetail.mapper.exact.through_loops import GRID
from dovetail.model.arrays import Ints, Singles

#: By how much, relatively, a quotient in single precision may be too high.
_ROUNDING = 2.0**-22


class Outlook(NamedTuple):
    """Of every storage level that has tables inside (`dovetail.mapper.exact.packed`).

    Attributes:
        start: ``(levels,)`` where a level's table begins; -1 where it has none.
        sources: ``(levels,)`` sources that it tells apart, those of the boundary inside; 1: the least of all.
        least: all tables ``(dims + 1, tiles, sources)``, one after the other: pJ per execution of the loop body, by how
            many dimensions have their loops, and the tile that is left so far. Infinity: it has no completion.
    """

    start: Ints
    sources: Ints
    least: Singles


def build_outlook(
    space: Space, volume: Ints, place: Ints, packed: Packed, sets: int, most: int, look: Callable[[], None]
) -> Outlook:
    """Return what every storage level outside the outermost fan-out leaves to hope for.

    Args:
        space: the mapspace.
        volume: ``(tiles,)`` executions of the loop body in a tile.
        place: ``(boundaries, tiles)`` a tile's place among those that have a completion, or -1.
        packed: what completions cost.
        sets: idle sets.
        most: entries of a table beyond which sources are not told apart.
        look: at the clock; called every now and then.
    """
    dims, levels = len(space.divisors), len(space.levels)
    start, sources, parts, used = np.full(levels, -1, np.int64), np.ones(levels, np.int64), list[Singles](), 0
    for level in range(space.outside):
        if space.is_spatial[level]:
            continue
        inside = _least_inside(place[level + 1], packed, level + 1, sets) / volume[:, None]
        inside -= np.where(np.isfinite(inside), np.abs(inside) * _ROUNDING, 0.0)
        if inside.shape[1] * (dims + 1) * space.tiles > most:
            inside = inside.min(axis=1, keepdims=True)
        shape = *(len(divisors) for divisors in space.divisors), inside.shape[1]
        table = np.full((dims + 1, *shape), np.inf, np.float32)
        join_loops(space, level, inside.reshape(shape), table, np.minimum, look)
        start[level], sources[level] = used, inside.shape[1]
        parts.append(table.ravel())
        used += table.size
    return Outlook(start, sources, np.concatenate(parts) if parts else np.zeros(0, np.float32))


def no_outlook(levels: int) -> Outlook:
    """Return what says nothing of any level."""
    return Outlook(np.full(levels, -1, np.int64), np.ones(levels, np.int64), np.zeros(0, np.float32))


def _least_inside(place: Ints, packed: Packed, boundary: int, sets: int) -> Singles:
    """Return ``(tiles, sources)``: the least pJ per visit of a tile, however rarely loops outside have it fetched."""
    slots, points = int(packed.slots[boundary]), len(GRID)
    known, places, width = np.flatnonzero(place >= 0), int(place.max()) + 1, int(block(slots, sets))
    end = packed.start[boundary + 1] if boundary + 1 < len(packed.start) else len(packed.least)
    found = np.full((len(place), (end - packed.start[boundary]) // max(1, places * width)), np.inf, np.float32)
    rows = packed.least[packed.start[boundary] : end].reshape(found.shape[1], places, width)
    reused = rows[:, :, 2 * slots :].reshape(*rows.shape[:2], sets * slots, 1 + points)[..., 1:]
    least = np.minimum(rows[:, :, 1 : 2 * slots : 2].min(axis=2), reused.min(axis=(2, 3)))
    found[known] = least.T[place[known]]
    return found
