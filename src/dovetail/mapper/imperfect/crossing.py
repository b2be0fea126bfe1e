"""What must cross into the fan-outs more than once, whatever tiles the storages inside them hold.

What all instances hold together is a tile: units along every dimension, times what the loops inside make of it. A
tensor that the innermost loop outside moves is sent again for every iteration of the dimensions that do not move it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from dovetail.mapper.imperfect.rooms import room_of, shares_by_room
from dovetail.mapper.limits import IS_FANOUT, MOST
from dovetail.mapper.mapspace import Mapspace
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.charges import fits, space_taken, words_of

#: Tiles inside, and ways to share dimensions out, that are listed at most; where there are more nothing is said.
MOST_TILES, MOST_SHARES, MOST_BOTH = 100_000, 20_000, 4_000_000


def sent_again(space: Mapspace, again_pJ: Floats) -> float:
    """Return the least pJ of sending tensors into the fan-outs again.

    Args:
        space: the mapspace.
        again_pJ: ``(tensors,)`` pJ of sending all of a tensor once more; 0 where nothing is known.
    """
    if not again_pJ.any():
        return 0.0
    tiles, shares = _tiles(space), _shares(space)
    if tiles is None or shares is None or not 0 < len(tiles) * len(shares) <= MOST_BOTH:
        return 0.0  # where no tile fits there is no mapping, which the search says
    moved = (space.rules.coefficients != 0).any(axis=1)
    least = math.inf
    for tile in tiles:
        iterations = -(-space.limits.bounds // np.minimum(shares * tile, space.limits.bounds)).astype(np.float64)
        times = np.stack([iterations[:, ~row].prod(axis=1) for row in moved], axis=1) - 1
        for inmost in range(moved.shape[1]):  # the dimension of the innermost loop outside
            cost = (times * again_pJ)[:, moved[:, inmost]].sum(axis=1)
            least = min(least, float(cost.min()))
    return least


def _shares(space: Mapspace) -> Ints | None:
    """Return ``(ways, dims)``: units per dimension, of ways that may leave the fewest iterations; None: too many."""
    ways: set[tuple[tuple[int, ...], tuple[int, ...]]] = {(room_of(space), ())}
    for d in range(len(space.limits.bounds)):
        shares = shares_by_room(space, d)
        ways = {
            (tuple(a // b for a, b in zip(left, used, strict=True)), (*chosen, share))
            for left, chosen in ways
            for used, share in shares.items()
            if all(b <= a for a, b in zip(left, used, strict=True))
        }
        if len(ways) > MOST_SHARES:
            return None
    dims = len(space.limits.bounds)
    return _largest(np.array(sorted({chosen for _, chosen in ways}), np.int64).reshape(-1, dims))


def _tiles(space: Mapspace) -> Ints | None:
    """Return ``(tiles, dims)``: what loops inside the outermost fan-out may make of a unit's share; None: too many."""
    inside = np.flatnonzero(space.limits.levels[:, IS_FANOUT])[0]
    storages = [i for i in range(inside, len(space.limits.levels)) if not space.limits.levels[i, IS_FANOUT]]
    sizes, looping = [], []
    for d, bound in enumerate(space.limits.bounds.tolist()):
        levels = [i for i in storages if space.limits.loops[i, d, MOST] > 1]
        looping.append(levels)
        values = {-(-bound // passes): None for passes in range(1, bound + 1)} if levels else {1: None}
        sizes.append([size for size in values if _fits(space, looping, storages, d, size)])
        if np.prod([len(each) for each in sizes], dtype=np.float64) > MOST_TILES:
            return None
    tiles = np.array(list(itertools.product(*sizes)), np.int64).reshape(-1, len(sizes))
    fit = np.ones(len(tiles), np.bool_)
    for level in storages:
        fit &= _all_fit(space, looping, level, tiles)
    return _largest(tiles[fit])


def _fits(space: Mapspace, looping: list[list[int]], storages: list[int], d: int, size: int) -> bool:
    """Return whether a size of one dimension alone fits every level."""
    tile = np.ones((1, len(space.limits.bounds)), np.int64)
    tile[0, d] = size
    places = [*looping, *([[]] * (len(space.limits.bounds) - len(looping)))]
    return all(bool(_all_fit(space, places, level, tile)[0]) for level in storages)


def _all_fit(space: Mapspace, looping: list[list[int]], level: int, tiles: Ints) -> Bools:
    """Return ``(tiles,)``: whether what must be kept fits a level, with loops as far out as they may be."""
    capacity, must = int(space.machine.capacity[level]), space.kept_at_least()[level]
    fit = np.ones(len(tiles), np.bool_)
    if capacity < 0:
        return fit
    held = np.array([bool(levels) and min(levels) >= level for levels in looping])
    for at, tile in enumerate(np.where(held, tiles, 1)):
        taken = sum(
            space_taken(space.machine, level, tensor, words_of(space.rules.coefficients[tensor], tile))
            for tensor in np.flatnonzero(must).tolist()
        )
        fit[at] = fits(capacity, taken)
    return fit


def _largest(rows: Ints) -> Ints:
    """Return the rows that no other row is at least as large as in every column."""
    kept: list[Ints] = []
    for row in rows[np.argsort(-rows.astype(np.float64).sum(axis=1), kind="stable")]:
        if not any((other >= row).all() for other in kept):
            kept.append(row)
    return np.array(kept, np.int64).reshape(-1, rows.shape[1])
