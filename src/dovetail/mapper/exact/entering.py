"""The least over the sets of tensors that a level may keep, what enters it included: part of the completion tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.orders import joined_axes
from dovetail.mapper.exact.physical import touched_by
from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.sources import Sources
from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.speed import Pace, asked_time, class_of
from dovetail.mapper.exact.tables import Tables, tile_sizes
from dovetail.mapper.exact.through_loops import GRID, is_met, lanes_of
from dovetail.model.arrays import Floats, Ints, Singles
from dovetail.model.by_address import by_address
from dovetail.model.charges import extent, fits
from dovetail.model.compile import jit_plain, part


class Keepers(NamedTuple):
    """What a level may keep.

    Attributes:
        options: ``(options,)`` bit masks.
        capacity: what they may take together, or -1.
    """

    options: Ints
    capacity: int


class Arriving(NamedTuple):
    """What arrives at a level.

    Attributes:
        words: ``(tensors, places)`` least words per visit.
        volume: ``(places,)`` executions of the loop body per visit.
        held: ``(tensors, places)`` what the tile takes of the level's capacity.
    """

    words: Floats
    volume: Floats
    held: Ints


class Entrance(NamedTuple):
    """What entering a level costs.

    Attributes:
        price: ``(sources, tensors)`` pJ per word that arrives.
        once: ``(sources, tensors)`` pJ to take off per execution of the loop body: what is not read the first time.
        shares: ``(tensors, lanes)`` share of visits that fetch a tensor.
    """

    price: Floats
    once: Floats
    shares: Floats


def arriving_at(space: Space, tables: Tables, level: int, words: Floats, here: Ints) -> Arriving:
    """Return what arrives at a level, of the tiles ``here``; ``words``: least words per visit, of all tiles."""
    held = np.ascontiguousarray(tables.words[:, here] * space.machine.size[level, :, None])
    return Arriving(np.ascontiguousarray(words[:, here]), tables.volume[here].astype(np.float64), held)


def words_delivered(space: Space, tables: Tables) -> list[Floats]:
    """Return per level ``(tensors, tiles)`` the least words that a visit of a tile brings to it, reuse by `GRID` aside.

    That is all its words, but for a tensor that slides. There the first visit of a chain of loops along axes that are
    tied to each other brings them all, and the others what is fresh after the step of the chain's first loop. Steps
    that put a window back to where it was bring nothing; the first loop never takes one, so with its ``n`` iterations
    they are at most every ``n``-th. It takes what layers of the same sizes share, whatever their widths.
    """
    parts = space.divisors, space.rules, space.fanouts
    return once(space, ("delivered", *parts), lambda: _words_delivered(space, tables))


def words_asked(space: Space) -> Floats:
    """Return ``(tensors, tiles)`` the least words that a visit of a tile outside all fan-outs asks for.

    Whatever keeps the tile or parts of it further in. That is what `words_delivered` says of a level that keeps the
    tile, but for a box with holes: parts of it that are kept one by one need not bring what no operation touches.
    """
    parts = space.divisors, space.rules, space.fanouts
    return once(space, ("asked", *parts), lambda: _words_asked(space))


def _words_asked(space: Space) -> Floats:
    sizes = tile_sizes(space)
    words = np.array([touched_by(space, t, sizes) for t in range(len(space.rules.is_output))], np.float64)
    return np.ascontiguousarray(_delivered(space, words, frozenset()))


def _words_delivered(space: Space, tables: Tables) -> list[Floats]:
    divided: frozenset[int] = frozenset()
    delivered: dict[frozenset[int], Floats] = {}
    by_level = []
    for rows in space.fanouts:
        if divided not in delivered:
            delivered[divided] = _delivered(space, tables.words.astype(np.float64), divided)
        by_level.append(delivered[divided])
        divided |= {d for row in rows for d, factor in enumerate(row.factors) if factor > 1}
    return by_level


def _delivered(space: Space, words: Floats, divided: frozenset[int]) -> Floats:
    """Return what `words_delivered` does inside fan-outs that may split some dimensions.

    ``words``: ``(tensors, tiles)`` that a first visit brings; written over.
    """
    sizes = tile_sizes(space)
    full = np.array([divisors[-1] for divisors in space.divisors], np.int64)[:, None]
    fewest = [fewest_iterations(divisors, size) for divisors, size in zip(space.divisors, sizes, strict=True)]
    tiles = np.arange(space.tiles)
    places = tuple((tiles // r) % len(divs) for r, divs in zip(space.radix, space.divisors, strict=True))
    for t in np.flatnonzero(~space.rules.injective):
        axes = space.rules.coefficients[t]
        tied = np.array(joined_axes(axes != 0), np.int64)
        extents = np.array([extent(steps, sizes) for steps in axes])
        least, whole = words[t].copy(), words[t].copy()
        returning = [may_return(space.divisors, tuple(axis), divided)[places] for axis in axes.tolist()]
        for d in np.flatnonzero((axes != 0).any(axis=0)):
            before = np.maximum(0, extents - axes[:, d, None] * sizes[d]).prod(axis=0)
            fresh = np.maximum(0, whole - before)
            chain = np.flatnonzero((axes[tied == tied[np.argmax(axes[:, d] != 0)]] != 0).any(axis=0))
            visits = (full[chain] // sizes[chain]).prod(axis=0)
            returns = np.logical_and.reduce([returning[axis] for axis in np.flatnonzero(axes[:, d]).tolist()])
            bring = np.where(returns, 1 - 1 / fewest[d], 1.0)
            least = np.where(sizes[d] < full[d], np.minimum(least, (whole - fresh) / visits + bring * fresh), least)
        words[t] = least
    return words


def fewest_iterations(divisors: tuple[int, ...], sizes: Ints) -> Ints:
    """Return per tile the least factor above 1 of a dimension's loops outside of it (2 where there are none)."""
    whole = divisors[-1]
    factors = [next((f for f in divisors[1:] if (whole // size) % f == 0), 2) for size in divisors]
    return np.array(factors, np.int64)[np.searchsorted(divisors, sizes)]


def entrance(space: Space, level: int, sources: Sources, first: Floats, shares: Floats, write: Floats) -> Entrance:
    """Return what entering a level costs, from every source.

    Args:
        space: the mapspace.
        level: the level.
        sources: of the space.
        first: ``(tensors,)`` words of an output per execution of the loop body.
        shares: as `Entrance` has them.
        write: ``(tensors,)`` pJ per word written from outside.
    """
    tensors = len(space.rules.is_output)
    price, once = np.zeros((len(sources.at[level]), tensors)), np.zeros((len(sources.at[level]), tensors))
    for s, source in enumerate(sources.at[level]):
        for t in range(tensors) if level > 0 else ():
            price[s, t] = source.price[t] + write[t]
            if space.rules.is_output[t]:
                unread = 0.0 if space.rules.read_first[level, t] else write[t]
                once[s, t] = (source.unread[t] + unread) * first[t]
    return Entrance(price, once, shares)


def shares_of(idle: tuple[int, ...], tensors: int) -> Floats:
    """Return ``(tensors, lanes)``: the share of visits that fetch a tensor."""
    shares = np.ones((tensors, lanes_of(len(idle))))
    for u, mask in enumerate(idle):
        for k, share in enumerate(GRID):
            shares[[t for t in range(tensors) if mask >> t & 1], 1 + u * len(GRID) + k] = share
    return shares


@by_address
class Entering(NamedTuple):
    """What is worked out of one tile.

    Attributes:
        words: ``(tensors,)`` that arrive.
        cycles: ``(2 ** tensors,)`` that levels outside need for the tensors of a bit mask; below 0: not known yet.
        arrives: ``(lanes,)`` pJ of what arrives.
    """

    words: Floats
    cycles: Floats
    arrives: Floats


@by_address
class Passage(NamedTuple):
    """Classes of speed on both sides of a level.

    Attributes:
        pace: of what lies outside the level.
        outside: how many levels that is.
        inside_of: ``(sources, options)`` source inside.
        first: the first source inside whose costs are at hand.
        inside: ``(classes,)`` executions of the loop body per cycle that completions inside reach at most; 0: none.
        outer: ``(classes,)`` to raise to what they reach with what enters.
        scratch: see there.
    """

    pace: Pace
    outside: int
    inside_of: Ints
    first: int
    inside: Floats
    outer: Floats
    scratch: Entering


@jit_plain
def enter(
    keepers: Keepers, passage: Passage, entrance: Entrance, arriving: Arriving, inside: Singles, outer: Singles
) -> None:
    """Lower ``outer`` to the least over the sets of tensors that a level may keep, what enters it included.

    What enters is asked of levels outside, so that a completion may be slower than it is inside.

    Args:
        keepers: these sets.
        passage: which sources and classes of speed follow each other.
        entrance: what entering costs.
        arriving: what enters.
        inside: ``(some sources inside, classes, places, lanes)``.
        outer: ``(sources, classes, places, lanes)`` to fill; infinity to begin with.
    """
    words, groups = passage.scratch.words, passage.pace.idle.shape[0]
    for source in range(passage.inside_of.shape[0]):
        for option in range(keepers.options.shape[0]):
            kept, at = keepers.options[option], passage.inside_of[source, option] - passage.first
            if at < 0 or at >= inside.shape[0]:
                continue
            for i in range(outer.shape[2]):
                taken = 0
                for t in range(words.shape[0]):
                    words[t] = arriving.words[t, i]
                    if kept >> t & 1:
                        taken += arriving.held[t, i]
                if fits(keepers.capacity, taken):
                    price_arrivals(source, kept, arriving.volume[i], entrance, passage.scratch)
                    for group in range(groups):
                        place = at, source, kept, i, group
                        enter_group(place, passage, arriving.volume[i], inside, outer)


@part()
def price_arrivals(source: int, kept: int, volume: float, entrance: Entrance, scratch: Entering) -> None:
    """Work out what the words of the tensors kept cost in every lane, and forget the cycles of another tile.

    ``volume``: executions of the loop body in a visit.
    """
    words, arrives = scratch.words, scratch.arrives
    for lane in range(arrives.shape[0]):
        cost = 0.0
        for t in range(words.shape[0]):
            if kept >> t & 1:
                cost += words[t] * entrance.price[source, t] * entrance.shares[t, lane]
                cost -= entrance.once[source, t] * volume
        arrives[lane] = cost
    for mask in range(scratch.cycles.shape[0]):
        scratch.cycles[mask] = -1.0


@part()
def enter_group(
    place: tuple[int, int, int, int, int], passage: Passage, volume: float, inside: Singles, outer: Singles
) -> None:  # fmt: skip
    """Lower the lanes that go with one idle set, or with none.

    Args:
        place: the source inside and this one, the tensors kept, the place of the tile, and the group of lanes.
        passage: as `enter` has it, with the words that enter and what they cost.
        volume: executions of the loop body in a visit.
        inside: as `enter` has it.
        outer: likewise.
    """
    (at, source, kept, i, group), pace, scratch = place, passage.pace, passage.scratch
    classes, first, last = inside.shape[1], 0, 1
    if group > 0:
        points = (outer.shape[3] - 1) // (pace.idle.shape[0] - 1)
        first, last = 1 + (group - 1) * points, 1 + group * points
    asked, rank = kept & ~pace.idle[group], 0
    if scratch.cycles[asked] < 0:
        scratch.cycles[asked] = asked_time(scratch.words, asked, volume, pace, source, passage.outside)
    cycles = scratch.cycles[asked]
    if cycles > 0:
        rank = class_of(volume, cycles, pace.quickest, classes)
    for q in range(classes):
        if not is_met(inside[at, q, i], first, last):
            continue
        speed, slow = passage.inside[q], max(q, rank)
        if cycles * speed > volume:
            speed = volume / cycles
        passage.outer[slow] = max(passage.outer[slow], speed)
        for lane in range(first, last):
            cost = inside[at, q, i, lane] + scratch.arrives[lane]
            outer[source, slow, i, lane] = min(outer[source, slow, i, lane], cost)
