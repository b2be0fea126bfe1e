"""The least energy of tiles that are spread over the outermost fan-out: what demands come to at the prices outside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.ceiling import Ceiling
from dovetail.mapper.exact.demands import Demands, Spreading, child_of, spread_vector
from dovetail.mapper.exact.vectors import CYCLES, ENERGY, FIXED, PER_COPY, Working, offer_vector, too_dear
from dovetail.mapper.exact.windows import least_sent
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Singles
from dovetail.model.by_address import by_address
from dovetail.model.charges import bandwidth_taken, cycles_taken
from dovetail.model.compile import jit_plain, part


@by_address
class Prices(NamedTuple):
    """What lies outside a fan-out, for every situation there.

    Attributes:
        word: ``(sources, tensors)`` pJ per word asked.
        unread: ``(sources,)`` pJ to take off per execution of the loop body: what is not read the first time.
        keeper: ``(sources, tensors)`` level that keeps a tensor.
        first: ``(tensors,)`` words of an output per execution of the loop body, which are not read before they are
            first written.
        machine: whose levels they are.
        output: ``(tensors,)``.
        quickest: executions of the loop body per cycle at most, in the whole chip.
        shares: ``(lanes, tensors)`` share of visits that ask for a pending tensor.
    """

    word: Floats
    unread: Floats
    keeper: Ints
    first: Floats
    machine: Machine
    output: Bools
    quickest: float
    shares: Floats


@part()
def class_of(volume: float, cycles: float, quickest: float, classes: int) -> int:
    """Return which of so many equal shares of the quickest a completion reaches: class 0 is the best one."""
    return min(classes - 1, max(0, int(classes * (1 - volume / (cycles * quickest)) + 1e-10)))


@part()
def least_time(vector: Floats, mask: int, volume: int, prices: Prices, source: int, outside: int) -> float:
    """Return the cycles per visit of what a vector asks, at the levels outside too; of pending tensors nothing.

    An output's words are updated and, but for those first written, read: a level outside has one instance.
    """
    tensors = prices.output.shape[0]
    cycles: float = vector[2 * tensors + CYCLES]
    for level in range(outside):
        reads, writes, bandwidth = 0.0, 0.0, prices.machine.bandwidth[level]
        if min(bandwidth[0], bandwidth[1], bandwidth[2]) == np.inf:
            continue
        for t in range(tensors):
            if prices.keeper[source, t] == level and not mask >> t & 1:
                if prices.output[t]:
                    writes += bandwidth_taken(prices.machine, level, t, vector[t])
                    again = max(0.0, vector[t] - prices.first[t] * volume)
                    reads += bandwidth_taken(prices.machine, level, t, again)
                else:
                    reads += bandwidth_taken(prices.machine, level, t, vector[t])
        cycles = max(cycles, cycles_taken(prices.machine, level, reads, writes))
    return cycles


@part()
def price_vector(
    vector: Floats, mask: int, volume: int, prices: Prices, place: tuple[int, int], least: Singles, fastest: Floats
) -> None:
    """Lower the least pJ of a tile ``(sources * classes, lanes)`` to what a vector comes to from one source.

    ``place``: the source, and how many levels lie outside; ``fastest``: as `price_fanout` has it.
    """
    source, outside = place
    tensors, lanes = prices.output.shape[0], prices.shares.shape[0]
    classes = least.shape[0] // prices.word.shape[0]
    cycles = least_time(vector, mask, volume, prices, source, outside)
    rank = class_of(volume, cycles, prices.quickest, classes)
    fastest[rank] = max(fastest[rank], volume / cycles)
    at = source * classes + rank
    settled = vector[2 * tensors + ENERGY] + vector[2 * tensors + PER_COPY] - prices.unread[source] * volume
    for t in range(tensors):
        cost = vector[t] * prices.word[source, t] + vector[tensors + t]
        if mask >> t & 1:
            vector[2 * tensors + FIXED + t] = cost
        else:
            settled += cost
    if settled >= least[at, 0]:
        return  # the other lanes are lowered to the first one at the end
    for lane in range(lanes if mask else 1):
        cost = settled
        for t in range(tensors):
            if mask >> t & 1:
                cost += prices.shares[lane, t] * vector[2 * tensors + FIXED + t]
        if cost < least[at, lane]:
            least[at, lane] = cost


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
        least: ``(sources * classes, places, lanes)`` to fill; infinity to begin with.
        fastest: ``(classes,)`` to raise to the executions of the loop body per cycle that a completion reaches.
        first: of the places to take.
        last: before this one it ends.
    """
    lattice, sizes, ways = spreading.lattice, spreading.sizes, spreading.ways
    start, columns = demands.start[demands.outermost], met.vectors.shape[2]
    for i in range(first, last):
        volume = 1
        for d in range(sizes.shape[1]):
            volume *= lattice.divisors[d, sizes[i, d]]
        met.counts[0] = 0
        for way in range(ways.places.shape[0]):
            at = child_of(spreading, i, way)
            if at < 0 or start[at] == start[at + 1]:
                continue
            least_sent(spreading.windows, lattice, sizes[i], ways, way, spreading.sent)
            for k in range(start[at], start[at + 1]):
                mask = spread_vector(demands.vectors[k], demands.pending[k], spreading, way, vector)
                if not too_dear(ceiling, i, vector[:columns], mask):
                    offer_vector(met, 0, vector[:columns], mask)
        for k in range(met.counts[0]):
            for j in range(columns):
                vector[j] = met.vectors[0, k, j]
            for source in range(prices.word.shape[0]):
                place = source, demands.outermost - 1
                price_vector(vector, met.pending[0, k], volume, prices, place, least[:, i], fastest)
        for source in range(least.shape[0]):
            for lane in range(1, least.shape[2]):
                least[source, i, lane] = min(least[source, i, lane], least[source, i, 0])
