"""What one visit of a tile brings when its size may change: fresh words, children that share them, neighbours.

A box is what the reference calls an axis-aligned hyper-rectangle. What is fresh is one box less another one inside of
it (a ``hole``), brought to one form: cut to its bounding box, so that equal sets have equal numbers.
"""

from __future__ import annotations

import numpy as np

from dovetail.model.arrays import Bools, Ints, Nest, Residuals, Rules, Tour, Workspace
from dovetail.model.compile import part
from dovetail.model.links import beside, groups_of_children, tally

# Rows of ``Tour.fresh``: the box and its extents, and the hole, relative to the box, and its extents.
LOW, EXTENT, HOLE, HOLE_EXTENT = range(4)


@part(inline=True)
def delta(low: Ints, filtered: bool, work: Workspace, tour: Tour) -> int:
    """Return the words of a tile of ``work.tile`` at ``low`` that are new to it; fills ``tour.fresh``.

    The tile has moved by as much as its centre has, halves rounded away from zero. Unless ``filtered``, all is new.
    """
    words = 1
    for axis in range(low.shape[0]):
        tour.fresh[LOW, axis], tour.fresh[EXTENT, axis] = low[axis], work.tile[axis]
        tour.fresh[HOLE, axis], tour.fresh[HOLE_EXTENT, axis] = 0, 0
        words *= work.tile[axis]
    if not filtered:
        return words
    whole, overlap = _moved_otherwise(low, work, tour), 1
    for axis in range(low.shape[0]):
        begin = max(low[axis], tour.seen[LOW, axis])
        end = min(low[axis] + work.tile[axis], tour.seen[LOW, axis] + tour.seen[EXTENT, axis])
        tour.fresh[HOLE, axis], tour.fresh[HOLE_EXTENT, axis] = begin - low[axis], end - begin
        overlap *= max(0, end - begin)
        tour.seen[LOW, axis], tour.seen[EXTENT, axis] = low[axis], work.tile[axis]
    if whole or overlap == 0:
        for axis in range(low.shape[0]):
            tour.fresh[HOLE, axis], tour.fresh[HOLE_EXTENT, axis] = 0, 0
        return words
    _cut(low.shape[0], tour)
    return words - overlap


@part(inline=True)
def _moved_otherwise(low: Ints, work: Workspace, tour: Tour) -> bool:
    """Return whether all of a tile is sent: it is the first, or has moved in another way than the one before it."""
    known, tour.state[0] = tour.state[0], 1
    if known == 0:
        tour.state[1] = 0
        return True
    still, same = True, True
    for axis in range(low.shape[0]):
        twice = 2 * (low[axis] - tour.seen[LOW, axis]) + work.tile[axis] - tour.seen[EXTENT, axis]
        by = (abs(twice) + 1) // 2 * (1 if twice > 0 else -1)
        still, same = still and by == 0, same and by == tour.moved_by[axis]
        tour.shift[axis] = by
    if still:
        return False
    if tour.state[1] == 1 and not same:
        tour.state[1] = 0
        return True
    tour.state[1] = 1
    for axis in range(low.shape[0]):
        tour.moved_by[axis] = tour.shift[axis]
    return False


@part(inline=True)
def _cut(axes: int, tour: Tour) -> None:
    """Where a hole leaves one box of a box, make it that box."""
    fresh, cut, at = tour.fresh, 0, 0
    for axis in range(axes):
        if fresh[HOLE_EXTENT, axis] != fresh[EXTENT, axis]:
            cut, at = cut + 1, axis
    if cut != 1:
        return
    begins, length = fresh[HOLE, at] == 0, fresh[HOLE_EXTENT, at]
    if begins or fresh[HOLE, at] + length == fresh[EXTENT, at]:
        fresh[EXTENT, at] -= length
        if begins:
            fresh[LOW, at] += length
        for axis in range(axes):
            fresh[HOLE, axis], fresh[HOLE_EXTENT, axis] = 0, 0


@part(inline=True)
def remember(words: int, received: Ints, tour: Tour) -> None:
    """Keep what the first child received, for the neighbours at the next visit."""
    received[0] = words
    at = 1
    for row in range(4):
        for axis in range(tour.fresh.shape[1]):
            received[at] = tour.fresh[row, axis]
            at += 1


@part(inline=True)
def same_delta(words: int, received: Ints, tour: Tour) -> bool:
    """Return whether what is received now has the form of what was received at the last visit."""
    axes = tour.fresh.shape[1]
    if words != received[0]:
        return False
    for row in range(1, 4):
        for axis in range(axes):
            if received[1 + row * axes + axis] != tour.fresh[row, axis]:
                return False
    return True


@part()
def children_of(
    rules: Rules, tensor: int, level: int, nest: Nest, last: Residuals, variant: int, work: Workspace, positions: Ints
) -> int:
    """Fill where the tiles of a fan-out's children lie, X running first; returns how many there are.

    ``variant`` says by bits which of the dimensions that end early do so now.
    """
    dims, run = rules.coefficients.shape[2], 1
    for along_y in range(2):
        for at in range(dims - 1, -1, -1):
            d = nest.spatial_order[level, at]
            factor = nest.spatial_y[level, d] if along_y == 1 else nest.spatial_x[level, d]
            if factor == 1:
                continue
            if last.spatial[level, d] != factor and variant >> _bit(level, d, last, work) & 1:
                factor = last.spatial[level, d]
            _place_children(rules.coefficients[tensor, :, d], work.inner[level, d], factor, run, positions)
            run *= factor
    return run


@part(inline=True)
def _bit(level: int, d: int, last: Residuals, work: Workspace) -> int:
    bit = 0
    for other in range(d):
        bit += last.spatial[level, other] != work.spatial[level, other]
    return bit


@part()
def _place_children(coefficients: Ints, step: int, factor: int, run: int, positions: Ints) -> None:
    """Add one dimension's part to the position of every child."""
    for child in range(positions.shape[0]):
        index = (child // run) % factor
        for axis in range(positions.shape[1]):
            positions[child, axis] += coefficients[axis] * step * index


@part()
def by_receivers(positions: Ints, chosen: Bools, shared: bool, groups: Ints) -> None:
    """Fill, per number of children, how many different positions exactly that many of the chosen ones hold."""
    found = groups_of_children(positions[: chosen.shape[0]], chosen, shared)
    for receivers in range(found.shape[0]):
        groups[receivers] = found[receivers]


@part()
def linked_children(
    positions: Ints, children: int, before: Ints, children_before: int, received: Ints, grid: Ints, tour: Tour
) -> tuple[Bools, int]:
    """Return which children have no neighbour that received, at the last visit, what they need, and how many those are.

    Args:
        positions: ``(children, axes)`` where the children's tiles lie.
        children: how many there are now.
        before: the positions at the last visit.
        children_before: how many there were.
        received: what the first child received then (`remember`).
        grid: ``(2,)`` physical children along X and Y.
        tour: with what the first child receives now.
    """
    alone, lonely = np.ones(children, np.bool_), children
    for child in range(children):
        for direction in range(4):
            other = beside(child, direction, grid)
            if other == child or other >= children_before or not alone[child]:
                continue
            same = True
            for axis in range(positions.shape[1]):
                now = positions[child, axis] + tour.fresh[LOW, axis]
                same = same and now == before[other, axis] + received[1 + axis]
            if same:
                alone[child] = False
                lonely -= 1
    return alone, lonely


@part(inline=True)
def add_words(groups: Ints, weights: Ints, each: int, keys: Ints, words: Ints, used: int) -> tuple[Ints, Ints, int]:
    """Add what a visit sends, by a weight, to the table by (receivers, groups), sorted; returns it and its length."""
    for receivers in range(1, groups.shape[0]):
        if groups[receivers] > 0:
            if used == keys.shape[0]:
                more_keys, more_words = np.zeros(2 * used, np.int64), np.zeros(2 * used, np.int64)
                more_keys[:used], more_words[:used] = keys, words
                keys, words = more_keys, more_words
            key = receivers * groups.shape[0] + groups[receivers]
            used = tally(key, each * weights[receivers], keys, words, used)
    return keys, words, used
