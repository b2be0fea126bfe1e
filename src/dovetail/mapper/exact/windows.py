"""Least words sent into a fan-out on which windows overlap, neighbours passing on what they can: per tile and way.

What a child needs when a loop advances, its neighbour held the step before only if the loop moves the tile by just the
distance between the two. So what is asked of outside depends on the first loop there that moves the tensor; it is
tabulated for every axis of a window apart, by the sizes of a child's tile and the factors along the axis.
``docs/mapper.md`` has the argument.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.entering import fewest_iterations
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.ways import Ways
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.compile import part

# Fields of `Windows.cells`: tiles that differ, most children that have the same one, words of all that differ, and what
# part of these, on average, a visit after the first has sent at least.
DIFFERENT, MOST, WORDS, FRESH, CELL = range(5)
# What `least_sent` says of a tensor: words sent per word that one child asks, at least; words sent whatever is asked,
# where the level inside keeps it; and again per word asked, where it does not.
ASKED, KEPT, PASSED, SENT_FIELDS = range(4)
# How the level inside treats a tensor.
ALWAYS, NEVER, PERHAPS = range(3)
#: Stands for no limit.
ENDLESS = 1e300


@by_address
class Windows(NamedTuple):
    """What is known of a fan-out's children where a tensor's tiles may overlap.

    Attributes:
        first: ``(tensors + 1,)`` the first axis of a tensor in the lists that follow; none where nothing is known.
        start: ``(axes,)`` where an axis' table begins in ``cells``.
        radix: ``(axes, dims)`` weight of the place of a child's size in it.
        combination: ``(axes, ways)`` where in it a way's factors begin.
        cells: ``(n, CELL)`` the tables.
        counted: ``(ways, tensors)`` a way's traffic has no product form.
        linked: ``(ways, tensors)`` neighbours may pass the tensor on.
        together: ``(ways, tensors)`` children per tile, along dimensions that do not move it.
        keeping: ``(tensors,)`` whether the level inside keeps it: `ALWAYS`, `NEVER` or `PERHAPS`.
    """

    first: Ints
    start: Ints
    radix: Ints
    combination: Ints
    cells: Floats
    counted: Bools
    linked: Bools
    together: Floats
    keeping: Ints

    @staticmethod
    def none(ways: int, tensors: int, dims: int) -> Windows:
        """Return that nothing is known."""
        flags, none = np.zeros((ways, tensors), np.bool_), np.zeros(0, np.int64)
        return Windows(
            np.zeros(tensors + 1, np.int64),
            none,
            np.zeros((0, dims), np.int64),
            np.zeros((0, ways), np.int64),
            np.zeros((0, CELL)),
            flags,
            flags,
            np.ones((ways, tensors)),
            np.zeros(tensors, np.int64),
        )


def windows_of(space: Space, level: int, ways: Ways, which: Ints) -> Windows:
    """Return what is known of a fan-out.

    Args:
        space: the mapspace.
        level: the fan-out.
        ways: to use it that differ in their factors.
        which: ``(fanouts,)`` of them each way of the space's is.
    """
    parts = space.divisors, space.rules, space.fanouts, space.by_model, space.linking, space.keepers
    return once(space, ("windows", level, *parts), lambda: _windows_of(space, level, ways, which))


def _windows_of(space: Space, level: int, ways: Ways, which: Ints) -> Windows:
    tensors, dims, count = len(space.rules.is_output), len(space.divisors), len(ways.children)
    first_of = np.unique(which, return_index=True)[1]
    counted, linked = (rows[level][first_of].reshape(count, tensors) for rows in (space.by_model, space.linking))
    known = Windows.none(count, tensors, dims)
    factors = [np.array(some, np.int64)[places] for some, places in zip(space.divisors, ways.places.T, strict=True)]
    first, radix, combination, cells = [0], [], [], []
    for t, axes in enumerate(space.rules.coefficients):
        alone = bool(((axes != 0).sum(axis=0) <= 1).all())
        for axis in axes if alone and counted[:, t].any() else ():
            along = np.flatnonzero(axis).tolist()
            rows = np.array([factors[d] for d in along], np.int64).reshape(len(along), count).T
            chosen, at = np.unique(rows, axis=0, return_inverse=True)
            sizes = math.prod(len(space.divisors[d]) for d in along)
            weights = np.zeros(dims, np.int64)
            for place, d in enumerate(along):
                weights[d] = math.prod(len(space.divisors[e]) for e in along[place + 1 :])
            radix.append(weights)
            combination.append(np.asarray(at, np.int64).reshape(count) * sizes)
            cells.append(_Axis(space, level, t, axis, along).cells(chosen.tolist()))
        first.append(len(cells))
        known.together[:, t] = np.array(
            [math.prod(int(factors[d][way]) for d in range(dims) if not axes[:, d].any()) for way in range(count)]
        )
        known.keeping[t] = _keeping(space, level, t)
    if not cells:
        return known
    lengths = [len(each) for each in cells]
    return known._replace(
        first=np.array(first, np.int64),
        start=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        radix=np.array(radix, np.int64),
        combination=np.array(combination, np.int64),
        cells=np.concatenate(cells),
        counted=np.ascontiguousarray(counted),
        linked=np.ascontiguousarray(linked),
    )


def _keeping(space: Space, level: int, tensor: int) -> int:
    if level + 1 == len(space.levels) or space.must_keep[level + 1, tensor]:
        return ALWAYS
    return PERHAPS if space.may_keep[level + 1, tensor] else NEVER


def never_after_reuse(space: Space, level: int) -> int:
    """Return the tensors that neighbours never pass on while loops inside all that move a tile leave it in place.

    As a bit mask. After a step that brings nothing the model has no neighbour hold anything. Where all is sent again at
    every step, no step brings nothing.
    """
    if level + 1 == len(space.levels):
        return 0
    anew = space.rules.no_reuse[level + 1] | space.rules.injective
    return sum(1 << t for t in range(len(anew)) if not anew[t])


class _Axis:
    """An axis of a tensor at a fan-out."""

    def __init__(self, space: Space, level: int, tensor: int, axis: Ints, along: list[int]) -> None:
        self._coefficients = [int(axis[d]) for d in along]
        self._divisors = [space.divisors[d] for d in along]
        last = level + 1 == len(space.levels)
        self._anew = last or bool(space.rules.no_reuse[level + 1, tensor])  # all is sent again at every step
        divided = {d for rows in space.fanouts[:level] for row in rows for d, f in enumerate(row.factors) if f > 1}
        self._divided = [d in divided for d in along]
        steps = tuple(int(one) for one in axis)
        returning = may_return(space.divisors, steps, frozenset(divided))
        self._returning = np.moveaxis(returning, along, range(len(along))).reshape(*map(len, self._divisors), -1)[
            ..., 0
        ]
        self._fewest = [fewest_iterations(some, np.array(some, np.int64)).tolist() for some in self._divisors]

    def cells(self, combinations: list[list[int]]) -> Floats:
        """Return ``(combinations * sizes, CELL)``: for every combination of factors, for every child's sizes."""
        sizes = list(itertools.product(*map(range, map(len, self._divisors))))
        found = np.zeros((len(combinations) * len(sizes), CELL))
        for i, factors in enumerate(combinations):
            for j, places in enumerate(sizes):
                child = [divisors[at] for divisors, at in zip(self._divisors, places, strict=True)]
                outer = [size * factor for size, factor in zip(child, factors, strict=True)]
                if all(size in some for size, some in zip(outer, self._divisors, strict=True)):
                    found[i * len(sizes) + j] = self._cell(child, factors, outer)
        return found

    def _cell(self, child: list[int], factors: list[int], outer: list[int]) -> tuple[float, ...]:
        held = self._children_at(child, factors)
        extent = 1 + sum(c * (size - 1) for c, size in zip(self._coefficients, child, strict=True))
        taken = (held > 0).astype(np.float64)
        different = int(taken.sum())
        alone = different - np.correlate(taken, taken, "full")[len(held) - 1 :]  # with no tile so far behind
        places = tuple(some.index(size) for some, size in zip(self._divisors, outer, strict=True))
        moved = [
            c * size for c, size, some in zip(self._coefficients, outer, self._divisors, strict=True) if size < some[-1]
        ]
        unit = moved[0] if len(moved) == 1 else 1  # loops over one dimension alone move by whole steps of it
        nearest, words = float(alone[unit::unit].min(initial=different)), float(extent * different)
        fresh = words
        for step, fewest in self._first_steps(outer, places):
            sent = (alone[step] if step < len(alone) else different) * (extent if self._anew else min(extent, step))
            later = sent if step < extent and not self._anew else min(sent, extent * nearest)
            later = 0.0 if self._returning[places] else later
            fresh = min(fresh, sent + (later - sent) / fewest)
        return different, int(held.max()), words, fresh / words

    def _children_at(self, child: list[int], factors: list[int]) -> Ints:
        """Return how many children's tiles begin at every place."""
        at = np.zeros(1, np.int64)
        for c, size, factor in zip(self._coefficients, child, factors, strict=True):
            at = (at[:, None] + c * size * np.arange(factor)).ravel()
        return np.bincount(at)

    def _first_steps(self, outer: list[int], places: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Yield how far the first loop outside that moves the window may move it, and its iterations at least."""
        for i, size in enumerate(outer):
            for step in self._divisors[i]:
                whole = self._divisors[i][-1]
                if step < whole and (step == size or (self._divided[i] and step % size == 0)):
                    yield self._coefficients[i] * step, self._fewest[i][places[i]]


@part()
def least_sent(
    windows: Windows, lattice: Lattice, sizes: Ints, ways: Ways, way: int, apart: int, sent: Floats
) -> None:  # fmt: skip
    """Fill in ``(tensors, SENT_FIELDS)`` what a tile's visit has sent to its children, at least.

    Args:
        windows: of the fan-out.
        lattice: the divisors.
        sizes: ``(dims,)`` of the tile, as divisor indices.
        ways: to use the fan-out.
        way: the one used.
        apart: tensors of which neighbours pass nothing on whatever the way (`never_after_reuse`), as a bit mask.
        sent: to fill.
    """
    for t in range(sent.shape[0]):
        sent[t, ASKED], sent[t, KEPT], sent[t, PASSED] = ways.children[way] / ways.shared[way, t], 0.0, 0.0
        if windows.first[t] == windows.first[t + 1] or not windows.counted[way, t]:
            continue
        words, fresh, different, most = 1.0, 1.0, 1.0, windows.together[way, t]
        for axis in range(windows.first[t], windows.first[t + 1]):
            at = windows.start[axis] + windows.combination[axis, way]
            for d in range(sizes.shape[0]):
                if windows.radix[axis, d] > 0:
                    at += windows.radix[axis, d] * lattice.quotient[d, sizes[d], ways.places[way, d]]
            words *= windows.cells[at, WORDS]
            fresh = min(fresh, windows.cells[at, FRESH])
            different *= windows.cells[at, DIFFERENT]
            most *= windows.cells[at, MOST]
        if apart >> t & 1 or not windows.linked[way, t]:
            if ways.shared[way, t] > 1:  # else every child is sent its own
                sent[t, ASKED] = max(sent[t, ASKED], different)
            continue
        passed = max(sent[t, ASKED], ways.children[way] / most)
        if windows.keeping[t] == NEVER:
            sent[t, ASKED] = passed
            continue
        visits = 1.0
        for d in range(sizes.shape[0]):
            visits *= lattice.divisors[d, lattice.counts[d] - 1] / lattice.divisors[d, sizes[d]]
        sent[t, KEPT] = words * (fresh + (1 - fresh) / visits)
        sent[t, PASSED] = ENDLESS if windows.keeping[t] == ALWAYS else passed


@part()
def words_sent(sent: Floats, t: int, asked: float, kept: bool) -> float:
    """Return the words of a tensor sent to the children of a fan-out when one of them asks so many.

    ``kept``: the level inside may be the one that does; then no more than if it were not, so that less is never dearer.
    """
    passed = sent[t, PASSED] * asked
    if kept or sent[t, PASSED] == ENDLESS:
        passed = min(sent[t, KEPT], passed)
    return max(sent[t, ASKED] * asked, passed)
