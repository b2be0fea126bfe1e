"""The least over all loops of a storage level, for every tile at once: part of `dovetail.mapper.exact.completion`.

Reuse: the innermost loop of a level moves all tensors but the *idle* ones; only those are reused by it. With ``r``
iterations of reuse an idle tensor is fetched every ``r``-th visit, so costs fall as ``x = 1 / r`` does. The least cost
is a minimum of functions linear in ``x``, so it is concave, and straight lines between points of a grid stay below it.

Loops need no enumeration: the factors of one dimension do not depend on another's, so each is a pass over a table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.space import Space
from dovetail.model.arrays import Bools, Floats, Ints, Singles
from dovetail.model.compile import jit_plain, part

#: Shares of visits that fetch an idle tensor: the points between which bounds are interpolated.
GRID = (1.0, 0.5, 0.125, 0.0)


class Inner(NamedTuple):
    """What is known of the next boundary further in.

    Attributes:
        place: ``(tiles,)`` a tile's place in ``least``, -1 where it has no completion.
        least: ``(sources, classes, places, lanes)`` pJ per visit (see `lanes_of`).
    """

    place: Ints
    least: Singles


class Factors(NamedTuple):
    """What a level's loops do to a tile, and to reuse.

    Attributes:
        lattice: the divisors.
        low: ``(dims, width, grid)`` grid point below which a grid point falls by a factor, see `on_grid`.
        weight: ``(dims, width, grid)`` its weight there.
        least: ``(dims,)`` smallest factor allowed.
        most: ``(dims,)`` largest.
    """

    lattice: Lattice
    low: Ints
    weight: Floats
    least: Ints
    most: Ints


class Innermost(NamedTuple):
    """Which loops can be a level's innermost.

    Dimensions pinned innermost stand in the way of reuse: an idle tensor is reused over those inside the first pinned
    one that loops and moves it, or over all that do not move it when none of these loops.

    Attributes:
        idle: ``(sets, dims)`` dimensions that leave some tensor of the set in place.
        beyond: ``(sets, dims)`` dimensions that loop without reuse outside of all that bring it, in the latter case.
        mode_set: ``(modes,)`` idle set of each other way to order the loops.
        plain: ``(modes, dims)`` dimensions that then loop without reuse.
        reused: ``(modes, dims)`` dimensions that loop with it.
    """

    idle: Bools
    beyond: Bools
    mode_set: Ints
    plain: Bools
    reused: Bools


class Met(NamedTuple):
    """The tiles that a level's loops meet.

    Attributes:
        tiles: ``(n,)`` their indices, rising.
        sizes: ``(n, dims)`` their sizes as divisor indices.
        inside: ``(n,)`` their places among those that have a completion inside, or -1.
        at: ``(tiles,)`` place among these.
        wanted: ``(places,)`` which of them enter the level.
        short: ``(n,)`` dimensions in which no tile that enters has its size, as a bit mask.
        least: ``(n, grid)`` scratch: least pJ at every grid point of one idle set.
    """

    tiles: Ints
    sizes: Ints
    inside: Ints
    at: Ints
    wanted: Ints
    short: Ints
    least: Floats


def lanes_of(sets: int) -> int:
    """Return how many lanes there are: one without reuse, then for every idle set one per point of `GRID`.

    The first of a set's is of no reuse either, but of completions told apart by how quick they are with it.
    """
    return 1 + sets * len(GRID)


def left_in_place(space: Space) -> list[int]:
    """Return per dimension the tensors that it does not move, as a bit mask."""
    moves = (space.rules.coefficients != 0).any(axis=1)
    return [sum(1 << t for t in range(len(moves)) if not moves[t, d]) for d in range(moves.shape[1])]


def serving(space: Space, idle: tuple[int, ...]) -> Bools:
    """Return ``(sets, dims)``: whether a dimension leaves some tensor of an idle set in place."""
    still = left_in_place(space)
    return np.array([[bool(mask & row) for row in still] for mask in idle], np.bool_).reshape(len(idle), len(still))


def falls(space: Space, lattice: Lattice) -> tuple[Ints, Floats]:
    """Return `Factors.low` and `Factors.weight`."""
    shape = (*lattice.divisors.shape, len(GRID))
    low, weight = np.zeros(shape, np.int64), np.ones(shape)
    for d, divisors in enumerate(space.divisors):
        for j, factor in enumerate(divisors):
            for k, x in enumerate(GRID):
                low[d, j, k], weight[d, j, k] = on_grid(x / factor)
    return low, weight


def on_grid(x: float) -> tuple[int, float]:
    """Return the last grid point that is at least ``x``, and its weight against the one after it."""
    for k in range(len(GRID) - 1):
        if x > GRID[k + 1]:
            return k, (x - GRID[k + 1]) / (GRID[k] - GRID[k + 1])
    return len(GRID) - 1, 1.0


def through_loops(space: Space, level: int, here: Ints, factors: Factors, serves: Bools, inner: Inner) -> Singles:
    """Return ``(sources, classes, places, lanes)``: the least over a storage level's loops, of the tiles ``here``.

    Each of these stands for itself and for its mirror image.
    """
    lattice = factors.lattice
    enters = np.isin(lattice.standing, here)
    tiles = lattice.some(dividing(space, np.flatnonzero(enters)))
    at = np.full(space.tiles, -1, np.int64)
    at[tiles] = np.arange(len(tiles))
    sizes, entering = lattice.places(tiles), lattice.places(np.flatnonzero(enters))
    short = np.zeros(len(tiles), np.int64)
    for d, size in enumerate(sizes.T):
        short |= np.where(np.isin(size, entering[:, d]), 0, 1 << d)
    met = Met(tiles, sizes, inner.place[tiles], at, at[here], short, np.zeros((len(tiles), len(GRID))))
    outer = np.full((*inner.least.shape[:2], len(here), inner.least.shape[3]), np.inf, np.float32)
    loop(factors, _innermost(space, level, serves), met, inner.least, outer)
    return outer


def dividing(space: Space, tiles: Ints) -> Ints:
    """Return the tiles that divide one of these, rising."""
    shape = tuple(len(divisors) for divisors in space.divisors)
    found = np.zeros(space.tiles, np.bool_)
    found[tiles] = True
    grid = found.reshape(shape)
    for d, divisors in enumerate(space.divisors):
        along = np.moveaxis(grid, d, 0)
        for i, size in enumerate(divisors):
            for j in range(i + 1, len(divisors)):
                if divisors[j] % size == 0:
                    along[i] |= along[j]
    return np.flatnonzero(found)


def _innermost(space: Space, level: int, serves: Bools) -> Innermost:
    dims = len(space.divisors)
    inner, _, _ = space.pins[level]
    sets, plain, reused = [], [], []
    for u, still in enumerate(serves):
        stops = [d for d in inner if not still[d]]
        for k, stop in enumerate(stops):
            head = [d for d in inner[: inner.index(stop)] if still[d]]
            sets.append(u)
            reused.append([d in head for d in range(dims)])
            plain.append([d not in head and d not in stops[:k] for d in range(dims)])
    shape = (len(sets), dims)
    return Innermost(
        serves,
        ~serves & np.array([d not in inner for d in range(dims)], np.bool_),
        np.array(sets, np.int64),
        np.array(plain, np.bool_).reshape(shape),
        np.array(reused, np.bool_).reshape(shape),
    )


@jit_plain
def loop(factors: Factors, innermost: Innermost, met: Met, inner: Singles, outer: Singles) -> None:
    """Take the least over the loops of a storage level and which of them is innermost, into ``outer``."""
    for source in range(inner.shape[0]):
        for rank in range(inner.shape[1]):
            if not is_empty(inner[source, rank]):
                loop_of_class(factors, innermost, met, inner[source, rank], outer[source, rank])


@part()
def loop_of_class(
    factors: Factors, innermost: Innermost, met: Met, inner: Singles, outer: Singles
) -> None:  # fmt: skip
    """Do so for one source and class of speed, of ``(places, lanes)``."""
    for u in range(innermost.idle.shape[0]):
        after_reuse(factors, innermost, u, met, inner, outer)
    for mode in range(innermost.mode_set.shape[0]):
        start(met, inner, innermost.mode_set[mode])
        done = loop_over_some(factors, innermost.reused[mode], met, 0, True)
        loop_over_some(factors, innermost.plain[mode], met, done, False)
        lower(met, outer)
    for i in range(outer.shape[0]):
        for lane in range(1, outer.shape[1]):
            outer[i, lane] = min(outer[i, lane], outer[i, 0])


@part()
def is_empty(least: Singles) -> bool:
    """Return whether no tile has a completion of ``(places, lanes)``."""
    for place in range(least.shape[0]):
        for lane in range(least.shape[1]):
            if least[place, lane] < np.inf:
                return False
    return True


@part()
def after_reuse(factors: Factors, innermost: Innermost, u: int, met: Met, inner: Singles, outer: Singles) -> None:
    """Let all dimensions that serve an idle set loop with reuse, then the others without."""
    idle, grid = innermost.idle, met.least.shape[1]
    start(met, inner, u)
    pure = True
    for d in range(idle.shape[1]):
        pure = pure and (idle[u, d] or factors.least[d] <= 1)
    done = loop_over_some(factors, idle[u], met, 0, True)
    if pure:  # what was idle outside stays so
        for i in range(met.wanted.shape[0]):
            at = met.wanted[i]
            outer[i, 0] = min(outer[i, 0], met.least[at, 0])
            for other in range(idle.shape[0]):
                if joint(idle, u, other):
                    for k in range(grid):
                        lane = 1 + other * grid + k
                        outer[i, lane] = min(outer[i, lane], met.least[at, k])
    loop_over_some(factors, innermost.beyond[u], met, done, False)
    lower(met, outer)


@part()
def lower(met: Met, outer: Singles) -> None:
    """Lower what is least without reuse to what the scratch table has."""
    for i in range(met.wanted.shape[0]):
        outer[i, 0] = min(outer[i, 0], met.least[met.wanted[i], 0])


@part()
def joint(idle: Bools, one: int, other: int) -> bool:
    """Return whether two idle sets may share a tensor (the same set, or dimensions that serve both)."""
    if one == other:
        return True
    for d in range(idle.shape[1]):  # noqa: SIM110 - Numba compiles no any()
        if idle[one, d] and idle[other, d]:
            return True
    return False


@part(inline=True)
def is_met(least: Singles | Floats, first: int, end: int) -> bool:
    """Return whether there is a completion in the lanes of a group, with reuse or without, of ``(lanes,)``.

    What neighbours pass on only without reuse may have one complete in another class of speed with it.
    """
    return bool(least[first] < np.inf or least[end - 1] < np.inf)


@part()
def start(met: Met, least: Singles, u: int) -> None:
    """Fill the scratch table with the costs inside, at every grid point of one idle set."""
    grid = met.least.shape[1]
    for i in range(met.tiles.shape[0]):
        place = met.inside[i]
        for k in range(grid):
            met.least[i, k] = np.inf if place < 0 else least[place, 1 + u * grid + k]


@part()
def loop_over_some(factors: Factors, which: Bools, met: Met, done: int, reuse: bool) -> int:
    """Take the least over the factors of some dimensions, in place; without reuse at the first grid point only.

    ``done``: the dimensions that this was done with before, as a bit mask; returns them with those of now.
    """
    for d in range(which.shape[0]):
        if which[d] and factors.most[d] > 1:
            done |= 1 << d
            loop_over(factors, d, met, done, reuse)
    return done


@part()
def loop_over(factors: Factors, d: int, met: Met, done: int, reuse: bool) -> None:
    """Take the least over the factors of one dimension: larger tiles first, they need the smaller ones.

    A tile whose size in a dimension that is ``done`` no tile has that enters is not asked for again.
    """
    divisors, quotient, radix = factors.lattice.divisors, factors.lattice.quotient, factors.lattice.radix
    standing = factors.lattice.standing
    least, last = met.least, met.least.shape[1] - 1
    points = last + 1 if reuse else 1
    for i in range(met.tiles.shape[0] - 1, -1, -1):
        if met.short[i] & done:
            continue
        size = met.sizes[i, d]
        if factors.least[d] > 1:
            for k in range(points):
                least[i, k] = np.inf
        for j in range(1, size + 1):
            rest, factor = quotient[d, size, j], divisors[d, j]
            if rest < 0 or factor < factors.least[d] or factor > factors.most[d]:
                continue
            other = met.at[standing[met.tiles[i] + (rest - size) * radix[d]]]
            if not is_met(least[other], 0, last + 1):
                continue
            for k in range(points):
                below, share = (factors.low[d, j, k], factors.weight[d, j, k]) if reuse else (0, 1.0)
                cost = least[other, below]
                if share < 1.0:
                    cost = share * cost + (1.0 - share) * least[other, min(last, below + 1)]
                least[i, k] = min(least[i, k], factor * cost)
