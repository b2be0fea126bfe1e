"""The least energy of tiles that are spread over the outermost fan-out: what demands come to at the prices outside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.ceiling import Ceiling
from dovetail.mapper.exact.demands import Demands, Spreading, child_of, spread_vector
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.speed import Pace, asked_time, class_of
from dovetail.mapper.exact.through_loops import GRID
from dovetail.mapper.exact.vectors import (
    CYCLES,
    ENERGY,
    FIXED,
    PER_COPY,
    Working,
    offer_vector,
    too_dear,
    visits_too_dear,
)
from dovetail.mapper.exact.windows import least_sent, never_after_reuse
from dovetail.model.arrays import Floats, Ints, Singles
from dovetail.model.by_address import by_address
from dovetail.model.compile import jit_plain, part


@by_address
class Prices(NamedTuple):
    """What lies outside a fan-out, for every situation there.

    Attributes:
        word: ``(sources, tensors)`` pJ per word asked.
        unread: ``(sources,)`` pJ to take off per execution of the loop body: what is not read the first time.
        shares: ``(lanes, tensors)`` share of visits that ask for a pending tensor.
        pace: what it has to do with speed.
        apart: tensors, as a bit mask, that neighbours do not pass on in the lanes that are filled.
        lanes: ``(groups, 2)`` of every group of lanes the first one that is filled, and the one after the last.
        cycles: ``(2 ** tensors,)`` scratch: what levels outside need where the pending tensors of a bit mask may stay
            in place; below 0: not known yet.
    """

    word: Floats
    unread: Floats
    shares: Floats
    pace: Pace
    apart: int
    lanes: Ints
    cycles: Floats


def lanes_by_passing(space: Space, idle: tuple[int, ...]) -> list[tuple[int, Ints]]:
    """Return what lanes to fill at a time: `Prices.apart` and `Prices.lanes` of each time.

    All lanes at once, but for those where loops outside leave in place what neighbours pass on only while none does.
    """
    apart = 0 if space.outside == len(space.levels) else never_after_reuse(space, space.outside)
    sets, points = np.array((0, *idle), np.int64), len(GRID)
    first = np.concatenate([[0], 1 + points * np.arange(len(idle))])
    end = np.concatenate([[1], first[1:] + points])
    rounds = [(0, np.stack([first, np.where(sets & apart, first + 1, end)], axis=1))]
    for some in sorted({int(mask) & apart for mask in idle} - {0}):
        here = sets & apart == some
        rounds.append((some, np.stack([np.where(here, first + 1, 0), np.where(here, end, 0)], axis=1)))
    return [(some, np.ascontiguousarray(lanes, np.int64)) for some, lanes in rounds]


@part()
def price_vector(
    vector: Floats,
    mask: int,
    volume: int,
    prices: Prices,
    ceiling: Ceiling,
    place: tuple[int, int, int],
    least: Singles,
    fastest: Floats,
) -> None:
    """Lower the least pJ of a tile to what a vector comes to from one source.

    Unless even the lane that fetches least makes a mapping too dear. ``place``: the source, how many levels lie
    outside, and the tile's place; ``ceiling``, ``least`` and ``fastest``: as `price_fanout` has
    them.
    """
    (source, outside, i), pace = place, prices.pace
    tensors, groups = pace.output.shape[0], pace.idle.shape[0]
    classes = least.shape[1]
    settled = vector[2 * tensors + ENERGY] + vector[2 * tensors + PER_COPY] - prices.unread[source] * volume
    for t in range(tensors):
        cost = vector[t] * prices.word[source, t] + vector[tensors + t]
        if mask >> t & 1:
            vector[2 * tensors + FIXED + t] = cost
        else:
            settled += cost
    prices.cycles[:] = -1.0
    for group in range(groups):
        first, end = prices.lanes[group]
        if first == end:
            continue
        still = mask & pace.idle[group]
        if prices.cycles[still] < 0:
            prices.cycles[still] = asked_time(vector, ~still, volume, pace, source, outside)
        cycles = max(vector[2 * tensors + CYCLES], prices.cycles[still])
        cheapest = with_pending(settled, vector, mask, prices.shares[end - 1])
        if ceiling.code >= 0 and visits_too_dear(ceiling, i, cheapest, cycles):
            continue
        rank = class_of(volume, cycles, pace.quickest, classes)
        fastest[rank] = max(fastest[rank], volume / cycles)
        if settled >= least[source, rank, i, first]:
            continue  # none of the lanes that are filled costs more than the first one
        for lane in range(first, end):
            cost = with_pending(settled, vector, mask, prices.shares[lane])
            if cost < least[source, rank, i, lane]:
                least[source, rank, i, lane] = cost


@part()
def with_pending(settled: float, vector: Floats, mask: int, shares: Floats) -> float:
    """Return what a vector comes to with its pending tensors, which are asked for at so many of the visits."""
    cost, tensors = settled, shares.shape[0]
    for t in range(tensors):
        if mask >> t & 1:
            cost += shares[t] * vector[2 * tensors + FIXED + t]
    return cost


@jit_plain
def price_fanout(
    spreading: Spreading,
    demands: Demands,
    prices: Prices,
    ceiling: Ceiling,
    met: Working,
    vector: Floats,
    least: Singles,
    fastest: Floats,
    first: int,
    last: int,
) -> None:
    """Fill in the least pJ per visit of tiles that are spread over the outermost fan-out.

    Args:
        spreading: the tiles, and the ways to spread them.
        demands: of its children.
        prices: outside it.
        ceiling: what must not be exceeded, by place.
        met: of one tile, scratch.
        vector: ``(columns + tensors,)`` scratch.
        least: ``(sources, classes, places, lanes)`` to fill; infinity to begin with.
        fastest: ``(classes,)`` to raise to the executions of the loop body per cycle that a completion reaches.
        first: of the places to take.
        last: before this one it ends.
    """
    lattice, sizes, ways = spreading.lattice, spreading.sizes, spreading.ways
    start, end = demands.start[demands.outermost], demands.end[demands.outermost]
    columns = met.vectors.shape[2]
    for i in range(first, last):
        volume = 1
        for d in range(sizes.shape[1]):
            volume *= lattice.divisors[d, sizes[i, d]]
        met.counts[0] = 0
        for way in range(ways.places.shape[0]):
            at = child_of(spreading, i, way)
            if at < 0 or start[at] == end[at]:
                continue
            least_sent(spreading.windows, lattice, sizes[i], ways, way, prices.apart, spreading.sent)
            for k in range(start[at], end[at]):
                mask = spread_vector(demands.vectors[k], demands.pending[k], spreading, way, vector)
                if not too_dear(ceiling, i, vector[:columns], mask):
                    offer_vector(met, 0, vector[:columns], mask)
        for k in range(met.counts[0]):
            for j in range(columns):
                vector[j] = met.vectors[0, k, j]
            for source in range(prices.word.shape[0]):
                place = source, demands.outermost - 1, i
                price_vector(vector, met.pending[0, k], volume, prices, ceiling, place, least, fastest)
