"""Least words sent into a fan-out, neighbours passing on what they can, once all loops outside are decided.

Every loop outside moves a tile by a distance of its own when it advances. A child may be passed on what it needs only
by a neighbour that lies so far ahead, whatever the order of the fan-out's loops, and only if both received the same
part of their tiles the step before. ``docs/mapper.md`` has the argument.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.rows import BY, FACTOR, INSIDE, ORDER, SIZE, SIZE_PLACE, Row, path_at
from dovetail.mapper.exact.space import Fanout, Space
from dovetail.mapper.exact.ways import Ways, ways_of
from dovetail.mapper.exact.windows import DIFFERENT, MOST, Windows, never_after_reuse, windows_of
from dovetail.model.arrays import Bools, Floats, Ints, Rules
from dovetail.model.by_address import by_address
from dovetail.model.compile import part

# What a tile is sent when a loop advances: what is fresh after the first loop's displacement, or all of it.
AS_FIRST, ANEW = range(2)


@by_address
class Fan(NamedTuple):
    """What is known of a fan-out that the model counts, and scratch for one partial mapping.

    Attributes:
        windows: of it.
        ways: to use it that differ in their factors.
        which: ``(fanouts,)`` twice the one of them that each way of the space's is, and one more if rows of children
            are not rows of the grid.
        slides: ``(tensors,)`` what is said here holds of a tensor.
        spatial: ``(levels,)`` which levels outside are fan-outs.
        worth: ``(2 * ways,)`` scratch, by ``which``: the least value of what a way leads to; below 0: not known yet.
        steps: ``(tensors, loops, axes)`` scratch: how far each loop outside moves a tile when it advances.
        times: ``(tensors, loops)`` scratch: how often it advances.
        kinds: ``(tensors, loops)`` scratch: what the tile is then sent.
        counts: ``(tensors,)`` scratch: how many loops are listed, from the first one that moves the tile on.
        passing: ``(tensors,)`` scratch: none inside that one leaves the tile in place.
        run_up: ``(tensors, axes)`` scratch: how far one step of every loop listed moves the tile.
        held: ``(2,)`` scratch, see `least_held`.
    """

    windows: Windows
    ways: Ways
    which: Ints
    slides: Bools
    spatial: Bools
    worth: Floats
    steps: Ints
    times: Floats
    kinds: Ints
    counts: Ints
    passing: Bools
    run_up: Ints
    held: Floats

    @staticmethod
    def none(tensors: int, dims: int, axes: int = 1) -> Fan:
        """Return that nothing is known."""
        no = np.zeros((1, tensors), np.bool_)
        ways = Ways(np.zeros((1, dims), np.int64), np.ones(1), np.ones((1, tensors)), no, no, np.ones(1))
        return _fan(
            Windows.none(1, tensors, dims), ways, np.zeros(0, np.int64), np.zeros(tensors, np.bool_), no[0], (1, axes)
        )

    def anew(self) -> Fan:
        """Return the same with scratch of its own: searches may run side by side."""
        loops, axes = self.steps.shape[1:]
        return _fan(self.windows, self.ways, self.which, self.slides, self.spatial, (loops, axes))


def fan_of(space: Space, level: int) -> Fan:
    """Return what is known of a fan-out of a space."""
    tensors, axes, dims = space.rules.coefficients.shape
    if not space.is_spatial[level] or not space.by_model[level].any():
        return Fan.none(tensors, dims, axes)
    ways, which = ways_of(space, level)
    which = 2 * which + np.array([_is_folded(space, level, row) for row in space.fanouts[level]], np.int64)
    windows, apart = windows_of(space, level, ways, which // 2), never_after_reuse(space, level)
    spatial = np.array(space.is_spatial[:level], np.bool_)
    slides = [
        bool(apart >> t & 1) and windows.first[t] < windows.first[t + 1] and not space.rules.no_multicast[level, t]
        for t in range(tensors)
    ]
    return _fan(windows, ways, which, np.array(slides, np.bool_), spatial, (max(1, level) * dims, axes))


def _fan(
    windows: Windows, ways: Ways, which: Ints, slides: Bools, spatial: Bools, most: tuple[int, int]
) -> Fan:  # fmt: skip
    loops, axes = most
    tensors, two = len(slides), (len(slides), loops)
    return Fan(
        windows,
        ways,
        which,
        slides,
        spatial,
        np.zeros(2 * len(ways.children)),
        np.zeros((*two, axes), np.int64),
        np.zeros(two),
        np.zeros(two, np.int64),
        np.zeros(tensors, np.int64),
        np.zeros(tensors, np.bool_),
        np.zeros((tensors, axes), np.int64),
        np.zeros(2),
    )


def _is_folded(space: Space, level: int, row: Fanout) -> bool:
    """Return whether children are more than a row of the grid, and a row along X does not fill one."""
    width = math.prod(f for f, on_y in zip(row.factors, row.on_y, strict=True) if not on_y)
    return math.prod(row.factors) > space.rules.grid[level, 0] != width


@part()
def list_advances(rules: Rules, level: int, row: Row, loops: Ints, fan: Fan) -> None:
    """Fill in what the loops outside a fan-out do to every tensor that slides.

    Args:
        rules: of the model.
        level: the fan-out.
        row: a partial mapping that has reached it.
        loops: ``(5, dims)`` scratch, of which `SIZE` is used and has the tile's sizes.
        fan: to fill.
    """
    dims = loops.shape[1]
    for t in range(fan.slides.shape[0]):
        fan.counts[t], fan.passing[t] = 0, True
        for axis in range(fan.run_up.shape[1]):
            fan.run_up[t, axis] = 0
    for d in range(dims):
        loops[INSIDE, d] = loops[SIZE, d]
    for outer in range(level - 1, -1, -1):
        for place in range(dims - 1, -1, -1):
            d = row.path[path_at(outer, ORDER, place, dims)]
            factor = row.path[path_at(outer, FACTOR, d, dims)]
            if factor == 1:
                continue
            if not fan.spatial[outer]:
                for t in range(fan.slides.shape[0]):
                    if fan.slides[t]:
                        advance(rules, t, d, loops[INSIDE, d], factor, fan)
            loops[INSIDE, d] *= factor


@part()
def advance(rules: Rules, t: int, d: int, size: int, factor: int, fan: Fan) -> None:
    """Add a loop outside all that were added before: ``factor`` iterations over a dimension, ``size`` apart."""
    count, axes = fan.counts[t], fan.steps.shape[2]
    moves = False
    for axis in range(axes):
        moves = moves or rules.coefficients[t, axis, d] != 0
    if count == 0 and not moves:
        fan.passing[t] = False
        return
    for i in range(count):
        fan.times[t, i] *= factor
    still, same = True, True
    for axis in range(axes):  # loops inside it go back by what they have run up
        step = rules.coefficients[t, axis, d] * size
        fan.steps[t, count, axis] = step - fan.run_up[t, axis]
        fan.run_up[t, axis] += step
        still = still and fan.steps[t, count, axis] == 0
        same = same and fan.steps[t, count, axis] == fan.steps[t, 0, axis]
    fan.times[t, count] = 0.0 if still else factor - 1.0
    fan.kinds[t, count] = AS_FIRST if same else ANEW
    fan.counts[t] = count + 1


@part()
def least_held(
    rules: Rules, lattice: Lattice, fan: Fan, place: int, t: int, loops: Ints, held: Floats
) -> None:  # fmt: skip
    """Work out what is sent of a tensor that slides.

    Args:
        rules: of the model.
        lattice: the divisors.
        fan: with the loops outside.
        place: of a way to use the fan-out, see `Fan.which`.
        t: the tensor.
        loops: ``(5, dims)`` the sizes of the tile, as numbers and divisor indices, and the factors of the way.
        held: ``(2,)`` to fill: words sent to all children in all, if the level inside keeps the tensor; and words sent
            for one that a child asks, if it does not.
    """
    windows, way = fan.windows, place // 2
    linked = windows.linked[way, t] and fan.passing[t]
    words, different, most = 1.0, 1.0, windows.together[way, t]
    for axis in range(fan.steps.shape[2]):
        at = place_of(windows, lattice, fan.ways, way, windows.first[t] + axis, loops)
        words *= extent_of(rules, t, axis, loops)
        different *= windows.cells[at, DIFFERENT]
        most *= windows.cells[at, MOST]
    fresh, inside = fresh_words(rules, fan, t, words, loops)
    sent = words * different
    for i in range(fan.counts[t]):
        alone = different
        if linked and (inside == 0 or fan.kinds[t, i] == AS_FIRST):
            alone -= served(rules, lattice, fan, (way, place % 2 == 1), t, i, loops)
        sent += fan.times[t, i] * alone * (fresh if fan.kinds[t, i] == AS_FIRST else words)
    held[0] = sent
    held[1] = fan.ways.children[way] / most if linked else different


@part()
def place_of(windows: Windows, lattice: Lattice, ways: Ways, way: int, axis: int, loops: Ints) -> int:
    """Return where what is known of an axis in a way stands in `Windows.cells`, for a tile of ``loops``' sizes."""
    at = windows.start[axis] + windows.combination[axis, way]
    for d in range(loops.shape[1]):
        if windows.radix[axis, d] > 0:
            at += windows.radix[axis, d] * lattice.quotient[d, loops[SIZE_PLACE, d], ways.places[way, d]]
    return at


@part()
def extent_of(rules: Rules, t: int, axis: int, loops: Ints) -> int:
    """Return how long a child's tile is along an axis."""
    extent = 1
    for d in range(loops.shape[1]):
        extent += rules.coefficients[t, axis, d] * (loops[SIZE, d] // loops[BY, d] - 1)
    return extent


@part()
def fresh_words(rules: Rules, fan: Fan, t: int, words: float, loops: Ints) -> tuple[float, int]:
    """Return what is fresh of a child's tile after the first loop's displacement; and 1 where that is not all of it."""
    overlap = 1.0
    for axis in range(fan.steps.shape[2] if fan.counts[t] > 0 else 0):
        overlap *= max(0, extent_of(rules, t, axis, loops) - abs(fan.steps[t, 0, axis]))
    return words - overlap, 1 if overlap > 0 else 0


@part()
def served(
    rules: Rules, lattice: Lattice, fan: Fan, at_way: tuple[int, bool], t: int, i: int, loops: Ints
) -> float:  # fmt: skip
    """Return how many different tiles neighbours can pass on, at most, when a loop outside advances.

    As many as have another one so far ahead. The two must lie side by side on the grid, too: one step apart in one
    dimension, and in all others at the same place or, where a row of children ends and the next one begins, at both
    ends. With ``anywhere`` rows of children are not rows of the grid, and any two may lie side by side.
    """
    (way, anywhere), tiles, side_by_side, beyond = at_way, 1.0, True, 0
    for axis in range(fan.steps.shape[2]):
        distance, spread, last = abs(fan.steps[t, i, axis]), 0, -1
        for d in range(loops.shape[1]):
            if rules.coefficients[t, axis, d] != 0 and loops[BY, d] > 1:
                spread, last = spread + 1, d
        if distance == 0 or spread == 0:
            if distance > 0:
                return 0.0
            at = place_of(fan.windows, lattice, fan.ways, way, fan.windows.first[t] + axis, loops)
            tiles *= fan.windows.cells[at, DIFFERENT]
        elif spread == 1:
            factor, apart = loops[BY, last], rules.coefficients[t, axis, last] * (loops[SIZE, last] // loops[BY, last])
            hops = distance // apart
            if hops * apart != distance or hops >= factor:
                return 0.0
            if hops != factor - 1:
                beyond += 1
                side_by_side = side_by_side and hops == 1
            tiles *= factor - hops
        else:
            at = place_of(fan.windows, lattice, fan.ways, way, fan.windows.first[t] + axis, loops)
            span = 0
            for d in range(loops.shape[1]):
                if rules.coefficients[t, axis, d] != 0:
                    span += rules.coefficients[t, axis, d] * (loops[SIZE, d] // loops[BY, d]) * (loops[BY, d] - 1)
            if distance > span:
                return 0.0
            tiles *= fan.windows.cells[at, DIFFERENT] - 1  # the one furthest ahead has none before it
    return tiles if anywhere or (side_by_side and beyond <= 1) else 0.0
