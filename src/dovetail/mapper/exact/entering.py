"""The least over the sets of tensors that a level may keep, what enters it included: part of the completion tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.orders import joined_axes
from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.sources import Sources
from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.tables import Tables, tile_sizes
from dovetail.mapper.exact.through_loops import GRID
from dovetail.model.arrays import Floats, Ints, Singles
from dovetail.model.charges import extent, fits
from dovetail.model.compile import jit_plain


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


def _words_delivered(space: Space, tables: Tables) -> list[Floats]:
    divided: frozenset[int] = frozenset()
    delivered: dict[frozenset[int], Floats] = {}
    by_level = []
    for rows in space.fanouts:
        if divided not in delivered:
            delivered[divided] = _delivered(space, tables, divided)
        by_level.append(delivered[divided])
        divided |= {d for row in rows for d, factor in enumerate(row.factors) if factor > 1}
    return by_level


def _delivered(space: Space, tables: Tables, divided: frozenset[int]) -> Floats:
    """Return what `words_delivered` does inside fan-outs that may split some dimensions."""
    words = tables.words.astype(np.float64)
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
            fresh = whole - np.maximum(0, extents - axes[:, d, None] * sizes[d]).prod(axis=0)
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
    shares = np.ones((tensors, 1 + len(idle) * (len(GRID) - 1)))
    for u, mask in enumerate(idle):
        for k in range(1, len(GRID)):
            shares[[t for t in range(tensors) if mask >> t & 1], u * (len(GRID) - 1) + k] = GRID[k]
    return shares


@jit_plain
def enter(
    keepers: Keepers, inside_of: Ints, entrance: Entrance, arriving: Arriving, inside: Singles, outer: Singles
) -> None:
    """Lower ``outer`` to the least over the sets of tensors that a level may keep, what enters it included.

    Args:
        keepers: these sets.
        inside_of: ``(sources * classes, options)`` source and class inside; negative: none of these.
        entrance: what entering costs.
        arriving: what enters.
        inside: ``(sources and classes inside, places, lanes)``.
        outer: ``(sources * classes, places, lanes)`` to fill; infinity to begin with.
    """
    price, once, shares, words = entrance.price, entrance.once, entrance.shares, arriving.words
    classes = outer.shape[0] // price.shape[0]
    for at_class in range(outer.shape[0]):
        source = at_class // classes
        for option in range(keepers.options.shape[0]):
            kept, at = keepers.options[option], inside_of[at_class, option]
            if at < 0:
                continue
            for i in range(outer.shape[1]):
                taken = 0
                for t in range(words.shape[0]):
                    if kept >> t & 1:
                        taken += arriving.held[t, i]
                if not fits(keepers.capacity, taken):
                    continue
                for lane in range(outer.shape[2]):
                    cost = inside[at, i, lane]
                    for t in range(words.shape[0]):
                        if kept >> t & 1:
                            arrives = words[t, i] * price[source, t] * shares[t, lane]
                            cost += arrives - once[source, t] * arriving.volume[i]
                    outer[at_class, i, lane] = min(outer[at_class, i, lane], cost)
