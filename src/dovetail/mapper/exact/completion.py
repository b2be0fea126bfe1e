"""The least energy of completing a partial mapping, for every tile at once, from the innermost level out.

For a boundary, a source (`dovetail.mapper.exact.sources`), a tile and the reuse that the loops outside bring, the table
says what all levels further in cost at least per visit of the tile: a minimum over every choice of kept tensors, loops,
orders and fan-outs there, capacities and pinned orders included. ``docs/mapper.md`` says why it is a lower bound, and
where it is less than exact.

Reuse: the innermost loop of a level moves all tensors but the *idle* ones; only those are reused by it. With ``r``
iterations of reuse an idle tensor is fetched every ``r``-th visit, so costs fall as ``x = 1 / r`` does. The least cost
is a minimum of functions linear in ``x``, so it is concave, and straight lines between points of a grid stay below it.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# ruff: noqa: ANN001, ANN201, C901 - compiled code infers its types from the arrays

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dovetail.mapper.exact.orders import joined_axes
from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.sources import Source, Sources, find_sources, rows_of
from dovetail.mapper.exact.space import OutOfReach, Space
from dovetail.mapper.exact.tables import Tables, tile_sizes
from dovetail.model.arrays import Bools, Floats, Ints, Singles
from dovetail.model.compile import jit_plain, part

#: Shares of visits that fetch an idle tensor: the points between which bounds are interpolated.
GRID = (1.0, 0.5, 0.125, 0.0)
#: By how much, relatively, the tables may be too high: they are kept in single precision, rounded at every level.
ROUNDING = 1e-6
#: Entries that the tables may have; beyond it prices are cut down until there are fewer sources.
MOST_ENTRIES = 160_000_000
#: Entries of a level's loops that are worked out at a time.
MOST_AT_ONCE = 4_000_000
#: Ways to use a fan-out times tiles, beyond which filling the tables takes minutes.
MOST_SPREADS = 1_000_000_000


@dataclass(frozen=True)
class Completion:
    """The tables.

    Attributes:
        sources: per boundary.
        idle: sets of tensors that some dimension does not move, as bit masks.
        lattice: the divisors, and which dimensions serve which idle set.
        place: ``(boundaries, tiles)`` a tile's place among those that have a completion, or -1.
        count: ``(boundaries,)`` how many have.
        start: ``(boundaries,)`` where a boundary's table begins in ``least``.
        least: all tables ``(sources, places, lanes)`` one after the other, pJ per visit; lane 0 is without reuse, then
            for every idle set the points of `GRID` but the first.
        slack: pJ by which rounding in the model may undercut the tables, over a whole run.
    """

    sources: Sources
    idle: tuple[int, ...]
    lattice: Lattice
    place: Ints
    count: Ints
    start: Ints
    least: Singles
    slack: float

    @property
    def floor(self) -> float:
        """The least pJ of any mapping but for leakage (at least; infinity when there is none)."""
        place = self.place[0, -1]
        lanes = 1 + len(self.idle) * (len(GRID) - 1)
        least = float(self.least[self.start[0] + place * lanes]) if place >= 0 else float("inf")
        return least * (1 - ROUNDING) - self.slack


def build_completion(space: Space, tables: Tables, per_word: Floats, most_entries: int = MOST_ENTRIES) -> Completion:
    """Fill the tables of a space.

    Args:
        space: the mapspace.
        tables: what is known of every tile.
        per_word: ``(levels, 3)`` least pJ per word read, written from outside, written from inside.
        most_entries: that the tables may have, about.

    Raises:
        OutOfReach: the tables would take minutes to fill.
    """
    levels, tiles = len(space.levels), space.tiles
    idle = tuple(sorted({*_left_in_place(space)} - {0})) or (0,)
    lanes = 1 + len(idle) * (len(GRID) - 1)
    feasible = [np.flatnonzero(tables.parallelism[level] > 0) for level in range(levels + 1)]
    feasible[0] = feasible[0][feasible[0] == tiles - 1]  # nothing but the whole problem enters the outermost level
    count = np.array([len(found) for found in feasible], np.int64)
    spreads = sum(len(rows) * n for rows, n in zip(space.fanouts, count.tolist()[:levels], strict=True))
    if spreads > MOST_SPREADS:
        raise OutOfReach(
            f"{spreads:.1e} pairs of a tile and a way to spread it, of which {MOST_SPREADS:.0e} are in reach"
        )
    place = np.full((levels + 1, tiles), -1, np.int64)
    for level, found in enumerate(feasible):
        place[level, found] = np.arange(len(found))
    entries = (count * lanes).tolist()
    for grain in (None, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0):
        sources = find_sources(space, per_word, grain, entries=entries, most=most_entries)
        if sources is not None:
            break
    else:
        sources = find_sources(space, per_word, 16.0)
        assert sources is not None
    sizes = np.array([len(at) for at in sources.at]) * count * lanes
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    least = np.full(int(sizes.sum()), np.inf, np.float32)
    parts = [
        least[first : first + size].reshape(len(at), n, lanes)
        for first, size, at, n in zip(start, sizes, sources.at, count, strict=True)
    ]
    volume = tables.volume.astype(np.float64)
    first = space.rules.touched / space.problem.macs * space.rules.is_output
    for s, source in enumerate(sources.at[levels]):
        parts[levels][s] = _at_compute(space, source, first)
    lattice = Lattice(space, idle)
    for level in range(levels - 1, -1, -1):
        if space.is_spatial[level]:
            _through_fanout(space, level, sources, feasible[level], place[level + 1], parts, lattice)
            continue
        here, words = feasible[level], _words_delivered(space, tables, level)
        arriving = _Arriving(
            np.ascontiguousarray(words[:, here]), volume[here], first, np.ascontiguousarray(tables.words[:, here])
        )
        entrance = _entrance(space, level, sources, arriving, idle, per_word[level, 1])
        most = max(1, MOST_AT_ONCE // max(1, len(here) * lanes))
        for at in range(0, len(parts[level + 1]), most):
            inner = parts[level + 1][at : at + most]
            inside = np.full((len(inner), len(here), lanes), np.inf, np.float32)
            _through_loops(space, level, here, place[level + 1], inner, inside, lattice)
            _enter_level(space, level, sources.next[level] - at, arriving, entrance, inside, parts[level])
    return Completion(sources, idle, lattice, place, count, start.astype(np.int64), least, _slack(space))


def _left_in_place(space: Space) -> list[int]:
    """Return per dimension the tensors that it does not move, as a bit mask."""
    moves = (space.rules.coefficients != 0).any(axis=1)
    return [sum(1 << t for t in range(len(moves)) if not moves[t, d]) for d in range(moves.shape[1])]


def _at_compute(space: Space, source: Source, first: Floats) -> float:
    """Return the pJ of one execution of the loop body, operands included."""
    return float(space.machine.compute_pJ + sum(source.price) - (np.array(source.unread) * first).sum())


def _words_delivered(space: Space, tables: Tables, level: int) -> Floats:
    """Return ``(tensors, tiles)`` the least words that a visit of a tile brings to a level, reuse by `GRID` aside.

    That is all its words, but for a tensor that slides. There the first visit of a chain of loops along axes that are
    tied to each other brings them all, and the others what is fresh after the step of the chain's first loop. Steps
    that put a window back to where it was bring nothing; the first loop never takes one, so with its ``n`` iterations
    they are at most every ``n``-th.
    """
    words = tables.words.astype(np.float64)
    sizes = tile_sizes(space)
    full = np.array([divisors[-1] for divisors in space.divisors], np.int64)[:, None]
    divided = frozenset(
        d for rows in space.fanouts[:level] for row in rows for d, factor in enumerate(row.factors) if factor > 1
    )
    fewest = [_fewest_iterations(divisors, size) for divisors, size in zip(space.divisors, sizes, strict=True)]
    tiles = np.arange(space.tiles)
    places = tuple((tiles // r) % len(divs) for r, divs in zip(space.radix, space.divisors, strict=True))
    for t in np.flatnonzero(~space.rules.injective):
        axes = space.rules.coefficients[t]
        tied = np.array(joined_axes(axes != 0), np.int64)
        extents = 1 + (axes[:, :, None] * (sizes - 1)).sum(axis=1)
        least, whole = words[t].copy(), words[t].copy()
        for d in np.flatnonzero((axes != 0).any(axis=0)):
            fresh = whole - np.maximum(0, extents - axes[:, d, None] * sizes[d]).prod(axis=0)
            chain = np.flatnonzero((axes[tied == tied[np.argmax(axes[:, d] != 0)]] != 0).any(axis=0))
            visits = (full[chain] // sizes[chain]).prod(axis=0)
            returns = np.logical_and.reduce(
                [may_return(space.divisors, tuple(axis), divided)[places] for axis in axes.tolist() if axis[d] != 0]
            )
            bring = np.where(returns, 1 - 1 / fewest[d], 1.0)
            least = np.where(sizes[d] < full[d], np.minimum(least, (whole - fresh) / visits + bring * fresh), least)
        words[t] = least
    return words


def _fewest_iterations(divisors: tuple[int, ...], sizes: Ints) -> Ints:
    """Return per tile the least factor above 1 of a dimension's loops outside of it (2 where there are none)."""
    whole = divisors[-1]
    factors = {size: next((f for f in divisors[1:] if (whole // size) % f == 0), 2) for size in divisors}
    return np.array([factors[size] for size in sizes.tolist()], np.int64)


def _slack(space: Space) -> float:
    """Return the pJ of one word at every keeper of the tensors whose fan-out the model counts with rounding."""
    rounded = sum(1 << int(t) for t in np.flatnonzero(np.concatenate(space.by_model).any(axis=0)))
    energy = 0.0
    for level, (options, used) in enumerate(zip(space.keepers, space.most_instances, strict=False)):
        tensors = max((kept & rounded).bit_count() for kept in options)
        energy += tensors * used * float(space.machine.energy[level].max())
    return energy


class Lattice:
    """Divisors, and how reuse moves along the grid, as arrays for compiled code.

    Attributes:
        width: most divisors that a dimension has.
        factor: ``(dims, width)`` divisors, rising, then 0.
        quotient: ``(dims, width, width)`` index of one divisor over another; -1 when it leaves a remainder.
        low: ``(dims, width, grid)`` and ``weight``, likewise: where a grid point falls by a factor, see `on_grid`.
        radix: ``(dims,)`` weight of a dimension in a tile's index.
        idle: ``(sets, dims)`` whether a dimension leaves some tensor of an idle set in place.
    """

    def __init__(self, space: Space, idle: tuple[int, ...]) -> None:
        dims = len(space.divisors)
        self.width = width = max((len(divisors) for divisors in space.divisors), default=1)
        self.factor = np.zeros((dims, width), np.int64)
        self.quotient = np.full((dims, width, width), -1, np.int64)
        self.low = np.zeros((dims, width, len(GRID)), np.int64)
        self.weight = np.ones((dims, width, len(GRID)))
        for d, divisors in enumerate(space.divisors):
            self.factor[d, : len(divisors)] = divisors
            place = {value: i for i, value in enumerate(divisors)}
            for i, size in enumerate(divisors):
                for j, factor in enumerate(divisors):
                    if size % factor == 0:
                        self.quotient[d, i, j] = place[size // factor]
            for j, factor in enumerate(divisors):
                for k, x in enumerate(GRID):
                    self.low[d, j, k], self.weight[d, j, k] = on_grid(x / factor)
        self.radix = np.array(space.radix, np.int64)
        still = _left_in_place(space)
        self.idle = np.array([[bool(mask & row) for row in still] for mask in idle], np.bool_).reshape(len(idle), dims)

    def sizes(self, tiles: Ints) -> Ints:
        """Return ``(tiles, dims)``: the place of each dimension's size among its divisors."""
        counts = (self.factor > 0).sum(axis=1)
        return np.ascontiguousarray((tiles[:, None] // self.radix) % np.maximum(counts, 1))


def on_grid(x: float) -> tuple[int, float]:
    """Return the last grid point that is at least ``x``, and its weight against the one after it."""
    for k in range(len(GRID) - 1):
        if x > GRID[k + 1]:
            return k, (x - GRID[k + 1]) / (GRID[k] - GRID[k + 1])
    return len(GRID) - 1, 1.0


def _through_fanout(
    space: Space, level: int, sources: Sources, here: Ints, inner_place: Ints, parts: list[Singles], lattice: Lattice
) -> None:
    if not space.fanouts[level]:
        return
    first, factors = rows_of(space.fanouts[level])
    places = np.array(
        [[space.divisors[d].index(int(f)) for d, f in enumerate(row)] for row in factors], np.int64
    ).reshape(len(first), len(space.divisors))
    steps = np.ascontiguousarray(sources.next[level][:, first])  # whatever neighbours do
    sizes = lattice.sizes(here)
    spread(
        sizes, lattice.quotient, lattice.radix, places, factors.prod(axis=1), steps, inner_place, parts[level + 1],
        parts[level],
    )  # fmt: skip


@jit_plain
def spread(sizes, quotient, radix, rows, children, steps, inner_place, inner, outer):
    """Take the least over the ways to use a fan-out.

    Args:
        sizes: ``(places, dims)`` of the tiles, as divisor indices.
        quotient: ``(dims, width, width)``.
        radix: ``(dims,)``.
        rows: ``(rows, dims)`` factors, as divisor indices.
        children: ``(rows,)``.
        steps: ``(sources, rows)`` source inside.
        inner_place: ``(tiles,)``.
        inner: ``(sources inside, places inside, lanes)``.
        outer: ``(sources, places, lanes)`` to fill; infinity to begin with.
    """
    dims = sizes.shape[1]
    for i in range(sizes.shape[0]):
        for row in range(rows.shape[0]):
            tile = 0
            for d in range(dims):
                rest = quotient[d, sizes[i, d], rows[row, d]]
                if rest < 0:
                    tile = -1
                    break
                tile += rest * radix[d]
            if tile < 0 or inner_place[tile] < 0:
                continue
            at = inner_place[tile]
            for source in range(outer.shape[0]):
                inside = steps[source, row]
                for lane in range(outer.shape[2]):
                    cost = children[row] * inner[inside, at, lane]
                    if cost < outer[source, i, lane]:
                        outer[source, i, lane] = cost


def _through_loops(
    space: Space, level: int, here: Ints, inner_place: Ints, inner: Singles, outer: Singles, lattice: Lattice
) -> None:
    """Fill ``outer`` ``(sources, places, lanes)`` with the least over all loops of a storage level."""
    tiles = _divisors_of(space, here)
    at = np.full(space.tiles, -1, np.int64)
    at[tiles] = np.arange(len(tiles))
    beyond, modes, plain, reused = _modes(space, level, lattice)
    loop(
        tiles, lattice.sizes(tiles), at, lattice.factor, lattice.quotient, lattice.radix, lattice.low, lattice.weight,
        space.least[level], space.most[level], beyond, modes, plain, reused, lattice.idle, inner_place, inner, at[here],
        np.zeros((len(tiles), len(GRID))), outer,
    )  # fmt: skip


def _divisors_of(space: Space, tiles: Ints) -> Ints:
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


def _modes(space: Space, level: int, lattice: Lattice) -> tuple[Bools, Ints, Bools, Bools]:
    """Return which loops can be the level's innermost.

    Dimensions pinned innermost stand in the way of reuse: an idle tensor is reused over those inside the first pinned
    one that loops and moves it, or over all that do not move it when none of these loops.

    Returns:
        ``(sets, dims)`` for the latter case, dimensions that loop without reuse; then for every other one its idle
        set, ``(modes, dims)`` dimensions that loop without reuse, and dimensions that loop with it.
    """
    dims = len(space.divisors)
    inner, _, _ = space.pins[level]
    sets, plain, reused = [], [], []
    for u, still in enumerate(lattice.idle):
        stops = [d for d in inner if not still[d]]
        for k, stop in enumerate(stops):
            head = [d for d in inner[: inner.index(stop)] if still[d]]
            sets.append(u)
            reused.append([d in head for d in range(dims)])
            plain.append([d not in head and d not in stops[:k] for d in range(dims)])
    shape = (len(sets), dims)
    beyond = ~lattice.idle & np.array([d not in inner for d in range(dims)], np.bool_)
    return (
        beyond,
        np.array(sets, np.int64),
        np.array(plain, np.bool_).reshape(shape),
        np.array(reused, np.bool_).reshape(shape),
    )


@jit_plain
def loop(
    tiles, sizes, at, factor, quotient, radix, low, weight, least, most, beyond, modes, plain, reused, idle,
    inner_place, inner, here, scratch, outer,
):  # fmt: skip
    """Take the least over the loops of a storage level and which of them is innermost.

    Args:
        tiles: ``(n,)`` all tiles met, rising.
        sizes: ``(n, dims)`` their sizes as divisor indices.
        at: ``(tiles,)`` place among these.
        factor: ``(dims, width)`` divisors.
        quotient: ``(dims, width, width)``.
        radix: ``(dims,)``.
        low: ``(dims, width, grid)`` grid point below which a grid point falls by a factor, see `on_grid`.
        weight: ``(dims, width, grid)``.
        least: ``(dims,)`` smallest factor allowed.
        most: ``(dims,)`` largest.
        beyond: ``(sets, dims)`` dimensions that loop without reuse outside of all that bring it.
        modes: ``(modes,)`` idle set of each other way to order the loops.
        plain: ``(modes, dims)`` dimensions that loop without reuse.
        reused: ``(modes, dims)`` dimensions that loop with it.
        idle: ``(sets, dims)`` dimensions that leave some tensor of the set in place.
        inner_place: ``(tiles,)`` place in ``inner``.
        inner: ``(sources, places, lanes)``.
        here: ``(places,)`` which of ``tiles`` are wanted.
        scratch: ``(n, grid)``.
        outer: ``(sources, places, lanes)`` to fill.
    """
    grid, dims = scratch.shape[1], sizes.shape[1]
    for source in range(inner.shape[0]):
        for u in range(idle.shape[0]):
            start(tiles, inner_place, inner, source, u, scratch)
            pure = True
            for d in range(dims):
                if idle[u, d]:
                    loop_over(
                        d, grid, sizes, at, tiles, factor, quotient, radix, low, weight, least, most, True, scratch
                    )
                else:
                    pure = pure and least[d] <= 1
            if pure:  # what was idle outside stays so
                for i in range(here.shape[0]):
                    outer[source, i, 0] = min(outer[source, i, 0], scratch[here[i], 0])
                    for other in range(idle.shape[0]):
                        if joint(idle, u, other):
                            for k in range(1, grid):
                                lane = other * (grid - 1) + k
                                outer[source, i, lane] = min(outer[source, i, lane], scratch[here[i], k])
            for d in range(dims):
                if beyond[u, d]:
                    loop_over(d, 1, sizes, at, tiles, factor, quotient, radix, low, weight, least, most, False, scratch)
            for i in range(here.shape[0]):
                outer[source, i, 0] = min(outer[source, i, 0], scratch[here[i], 0])
        for mode in range(modes.shape[0]):
            start(tiles, inner_place, inner, source, modes[mode], scratch)
            for d in range(dims):
                if reused[mode, d]:
                    loop_over(
                        d, grid, sizes, at, tiles, factor, quotient, radix, low, weight, least, most, True, scratch
                    )
            for d in range(dims):
                if plain[mode, d]:
                    loop_over(d, 1, sizes, at, tiles, factor, quotient, radix, low, weight, least, most, False, scratch)
            for i in range(here.shape[0]):
                outer[source, i, 0] = min(outer[source, i, 0], scratch[here[i], 0])
        for i in range(here.shape[0]):
            for lane in range(1, outer.shape[2]):
                outer[source, i, lane] = min(outer[source, i, lane], outer[source, i, 0])


@part()
def joint(idle, one, other):
    """Return whether two idle sets may share a tensor (the same set, or dimensions that serve both)."""
    if one == other:
        return True
    for d in range(idle.shape[1]):  # noqa: SIM110 - Numba compiles no any()
        if idle[one, d] and idle[other, d]:
            return True
    return False


@part()
def start(tiles, inner_place, inner, source, u, scratch):
    """Fill the scratch table with the costs inside, at every grid point of one idle set."""
    grid = scratch.shape[1]
    for i in range(tiles.shape[0]):
        place = inner_place[tiles[i]]
        for k in range(grid):
            lane = 0 if k == 0 else u * (grid - 1) + k
            scratch[i, k] = np.inf if place < 0 else inner[source, place, lane]


@part()
def loop_over(d, points, sizes, at, tiles, factor, quotient, radix, low, weight, least, most, reuse, scratch):
    """Take the least over the factors of one dimension, in place: larger tiles first, they need the smaller ones."""
    if most[d] <= 1:
        return
    last = scratch.shape[1] - 1
    for i in range(tiles.shape[0] - 1, -1, -1):
        size = sizes[i, d]
        for k in range(points):
            best = np.inf
            for j in range(size + 1):
                rest = quotient[d, size, j]
                if rest < 0 or factor[d, j] < least[d] or factor[d, j] > most[d]:
                    continue
                other = at[tiles[i] + (rest - size) * radix[d]]
                if reuse:
                    below, share = low[d, j, k], weight[d, j, k]
                    cost = scratch[other, below]
                    if share < 1.0:
                        cost = share * cost + (1.0 - share) * scratch[other, min(last, below + 1)]
                else:
                    cost = scratch[other, k]
                best = min(best, factor[d, j] * cost)
            scratch[i, k] = best


@dataclass(frozen=True)
class _Arriving:
    """What arrives at a level, per tensor and tile: least words a visit, volume, first visits, words held."""

    words: Floats
    volume: Floats
    first: Floats
    held: Ints


@dataclass(frozen=True)
class _Entrance:
    """What entering a level costs: prices and what is not read at first per source and tensor, shares of visits."""

    price: Floats
    once: Floats
    shares: Floats


def _entrance(
    space: Space, level: int, sources: Sources, arriving: _Arriving, idle: tuple[int, ...], write: float
) -> _Entrance:
    tensors = len(space.rules.is_output)
    shares = np.ones((tensors, 1 + len(idle) * (len(GRID) - 1)))
    for u, mask in enumerate(idle):
        for k in range(1, len(GRID)):
            shares[[t for t in range(tensors) if mask >> t & 1], u * (len(GRID) - 1) + k] = GRID[k]
    price, once = np.zeros((len(sources.at[level]), tensors)), np.zeros((len(sources.at[level]), tensors))
    for s, source in enumerate(sources.at[level]):
        for t in range(tensors) if level > 0 else ():
            entering = 0.0 if source.linked[t] else write
            price[s, t] = source.price[t] + entering
            if space.rules.is_output[t]:
                unread = 0.0 if space.rules.read_first[level, t] else entering * source.copies[t]
                once[s, t] = (source.unread[t] + unread) * arriving.first[t]
    return _Entrance(price, once, shares)


def _enter_level(
    space: Space, level: int, steps: Ints, arriving: _Arriving, entrance: _Entrance, inside: Singles, outer: Singles
) -> None:
    """Lower ``outer`` to the least over the sets of tensors that a level may keep, what enters it included.

    ``inside`` is of some sources inside; the others' ``steps`` lead elsewhere.
    """
    keepers, capacity = np.array(space.keepers[level], np.int64), int(space.machine.capacity[level])
    enter(
        keepers, capacity, np.where(steps < len(inside), steps, -1), entrance.price, entrance.once, entrance.shares,
        arriving.words, arriving.volume, arriving.held, inside, outer,
    )  # fmt: skip


@jit_plain
def enter(keepers, capacity, steps, price, once, shares, words, volume, held, inside, outer):
    """Take the least over the sets of tensors that a level may keep, what enters it included.

    Args:
        keepers: ``(options,)`` bit masks.
        capacity: words that fit, or -1.
        steps: ``(sources, options)`` source inside; negative: none of these.
        price: ``(sources, tensors)`` pJ per word that arrives.
        once: ``(sources, tensors)`` pJ to take off per execution of the loop body: what is not read the first time.
        shares: ``(tensors, lanes)`` share of visits that fetch a tensor.
        words: ``(tensors, places)`` least words per visit.
        volume: ``(places,)`` executions of the loop body per visit.
        held: ``(tensors, places)`` words of the tile.
        inside: ``(sources inside, places, lanes)``.
        outer: ``(sources, places, lanes)`` to fill; infinity to begin with.
    """
    for source in range(outer.shape[0]):
        for option in range(keepers.shape[0]):
            if steps[source, option] < 0:
                continue
            for i in range(outer.shape[1]):
                total = 0
                for t in range(words.shape[0]):
                    if keepers[option] >> t & 1:
                        total += held[t, i]
                if capacity >= 0 and total > capacity:
                    continue
                for lane in range(outer.shape[2]):
                    cost = inside[steps[source, option], i, lane]
                    for t in range(words.shape[0]):
                        if keepers[option] >> t & 1:
                            cost += words[t, i] * price[source, t] * shares[t, lane] - once[source, t] * volume[i]
                    outer[source, i, lane] = min(outer[source, i, lane], cost)
