"""Every mapping of a small space, one by one: what shows that nothing is better where the dense search does not.

All perfect factors that constraints and fan-outs leave, every order of their loops, every choice of keepers. A mapping
is counted with its zeros only where what none goes below (`dovetail.mapper.sparse.floor`) leaves it a hope.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.limits import (
    AXIS,
    GENES,
    IS_FANOUT,
    LEAST,
    MOST,
    ON_X,
    ON_Y,
    ORDER,
    PLACE,
    ROOM_X,
    ROOM_Y,
    SPATIAL_ORDER,
    SPATIAL_X,
    SPATIAL_Y,
    TEMPORAL,
    Limits,
    excess_of,
    obeys,
)
from dovetail.mapper.mapspace import Crowd, Mapspace, X, keepers_of, level_orders
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.compile import jit_plain

#: Choices of factors, and mappings, that are listed at most; mappings at a time.
MOST_CHOICES, MOST_MAPPINGS, BATCH = 200_000, 400_000, 4096


@dataclass(frozen=True)
class Listing:
    """All mappings of a space.

    Attributes:
        count: how many there are, capacities not looked at.
        batches: genes ``(candidates, 5, levels, dims)`` and keepers of those that fit, some thousand at a time.
    """

    count: int
    batches: Iterator[Crowd]


def every_mapping(space: Mapspace) -> Listing | None:
    """Return every mapping of a space; None where they are too many to list."""
    factors = _factors(space)
    if factors is None:
        return None
    keepers, orders = keepers_of(space), _orders(space, factors)
    count = int(orders.count.sum()) * len(keepers)
    return None if count > MOST_MAPPINGS else Listing(count, _batches(space, factors, orders, keepers))


@dataclass(frozen=True)
class _Orders:
    """Orders of the loops of many choices of factors: choices that loop alike at a level share its orders.

    Attributes:
        levels: per level, per way to loop there, its orders: dimensions outer to inner.
        which: ``(choices, levels)`` the way to loop.
        count: ``(choices,)`` orders of all levels together.
    """

    levels: list[list[list[tuple[int, ...]]]]
    which: Ints
    count: Floats

    def of(self, choice: int) -> Iterator[tuple[tuple[int, ...], ...]]:
        """Yield every order of one choice of factors."""
        return itertools.product(*(self.levels[at][way] for at, way in enumerate(self.which[choice].tolist())))


def _orders(space: Mapspace, factors: Ints) -> _Orders:
    """Return the orders of the loops of all choices of ``(choices, 3, levels, dims)`` factors."""
    listed, which = [], np.empty((len(factors), factors.shape[2]), np.int64)
    count = np.ones(len(factors))  # a float: one that overflows is too many, too
    for level in range(factors.shape[2]):
        ways, places = np.unique(factors[:, :, level] > 1, axis=0, return_inverse=True)
        listed.append([level_orders(space, level, way) for way in ways])
        which[:, level] = places.reshape(-1)
        count *= np.array([len(orders) for orders in listed[-1]], np.float64)[which[:, level]]
    return _Orders(listed, which, count)


def _factors(space: Mapspace) -> Ints | None:
    """Return ``(choices, 3, levels, dims)`` factors that limits and fan-outs leave; None where they are too many."""
    dims, levels = len(space.limits.bounds), space.limits.levels.shape[0]
    room = space.limits.levels[:, [ROOM_X, ROOM_Y]].T
    chosen, used = np.ones((1, 3, levels, 0), np.int64), np.ones((1, 2, levels), np.int64)
    for d in range(dims):
        ways = np.array(list(_ways(space, d, levels - 1, int(space.limits.bounds[d]))), np.int64)
        ways = ways.reshape(-1, levels, 3).transpose(0, 2, 1)
        if len(chosen) * len(ways) > 10 * MOST_CHOICES:
            return None
        both = used[:, None] * ways[None, :, X:]
        before, now = np.nonzero((both <= room).all(axis=(2, 3)))
        if len(before) > MOST_CHOICES:
            return None
        chosen = np.concatenate([chosen[before], ways[now][..., None]], axis=3)
        used = both[before, now]
    return chosen


def _ways(space: Mapspace, d: int, level: int, left: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield every way to factor what is left of a dimension over the levels up to this one: (time, X, Y) per level."""
    if level < 0:
        if left == 1:
            yield []
        return
    for own in _choices(space, level, d, left):
        for rest in _ways(space, d, level - 1, left // math.prod(own)):
            yield [*rest, own]


def _choices(space: Mapspace, level: int, d: int, left: int) -> Iterator[tuple[int, int, int]]:
    """Yield (time, X, Y) factors that a level may take of what is left of a dimension."""
    least, most, _, axis = (int(value) for value in space.limits.loops[level, d, [LEAST, MOST, PLACE, AXIS]])
    for factor in divisors_of(left):
        if not least <= factor <= most:
            continue
        if not space.limits.levels[level, IS_FANOUT]:
            yield factor, 1, 1
            continue
        if factor == 1 or axis != ON_Y:
            yield 1, factor, 1
        if factor > 1 and axis != ON_X:
            yield 1, 1, factor


def _batches(space: Mapspace, factors: Ints, orders: _Orders, keepers: list[Bools]) -> Iterator[Crowd]:
    """Yield genes and keepers of all mappings that obey and fit, some thousand at a time."""
    levels, dims = factors.shape[2:]
    where = ((choice, order) for choice in range(len(factors)) for order in orders.of(choice))
    step = max(1, BATCH // len(keepers))
    while part := list(itertools.islice(where, step)):
        genes = np.empty((len(part), GENES, levels, dims), np.int64)
        genes[:, [TEMPORAL, SPATIAL_X, SPATIAL_Y]] = factors[[at for at, _ in part]]
        genes[:, ORDER] = genes[:, SPATIAL_ORDER] = np.array([order for _, order in part], np.int64)
        genes = np.repeat(genes, len(keepers), axis=0)
        keep = np.tile(np.stack(keepers), (len(part), 1, 1))
        good = np.empty(len(genes), np.bool_)
        _fit_all(space.limits, genes, keep, np.empty(dims, np.int64), good)
        yield Crowd(genes[good], keep[good], np.zeros((int(good.sum()), 2)))


@jit_plain
def _fit_all(limits: Limits, genes: Ints, keep: Bools, sizes: Ints, good: Bools) -> None:
    """Fill ``good`` ``(candidates,)``: whether mappings obey the limits and their tiles fit the storages."""
    for i in range(good.shape[0]):
        good[i] = obeys(limits, genes[i]) and excess_of(limits, genes[i], keep[i], sizes) == 0
