"""What completing a tile inside a fan-out asks of the levels outside, and costs inside: a few vectors for every tile.

Inside a fan-out the prices of what lies outside are many: they depend on the keeper of every tensor and on how many
children share its words. What completions there differ in is little. So they are tabulated without those prices: for
a boundary and a tile, the *demands* are vectors that no completion of the tile undercuts in every entry at once. Given
prices, the least cost of completing the tile is the least over a handful of vectors. Energy and cycles of one vector go
together, so that what bounds their product is not the product of two bounds.

The vectors are made from the innermost level out. A tensor is *pending* in a vector as long as no loop has moved it
since its innermost keeper; what goes with fetching it then happens once for all loops outside that leave it in place.
``docs/mapper.md`` says why nothing costs less, and what is relaxed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.ceiling import Ceiling, Known, ceilings
from dovetail.mapper.exact.effort import Crowded, Effort
from dovetail.mapper.exact.entering import words_delivered
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.physical import slack_of, touched
from dovetail.mapper.exact.pieces import in_pieces
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.through_loops import dividing, left_in_place
from dovetail.mapper.exact.vectors import CYCLES, ENERGY, FIXED, PER_COPY, Outside, Working, all_outside, offer_vector
from dovetail.mapper.exact.ways import Ways, no_spreading, ways_of
from dovetail.mapper.exact.windows import SENT_FIELDS, Windows, least_sent, windows_of, words_sent
from dovetail.model.arrays import Bools, Floats, Ints, Machine
from dovetail.model.by_address import by_address
from dovetail.model.charges import READ, UPDATE, WRITE, bandwidth_taken, cycles_taken, fits, space_taken
from dovetail.model.compile import jit_plain, part

#: Vectors that a tile has room for; where there are more, the two most alike become one that undercuts both.
FEWEST_VECTORS = 3
#: How many times as many vectors a tile has room for where one has none left.
MORE = 3
#: Kinds of dimensions (by the tensors that they leave in place) whose orders are told apart.
MOST_KINDS = 4


@dataclass(frozen=True)
class Boundaries:
    """What is known of every boundary before anything is tabulated.

    Attributes:
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        outside: per boundary, what may lie outside it.
        delivered: per level ``(tensors, tiles)`` least words that a visit of a tile brings to it.
        ceilings: per boundary, what must not be exceeded.
    """

    per_word: Floats
    outside: list[Outside]
    delivered: list[Floats]
    ceilings: list[Ceiling]

    @staticmethod
    def of(space: Space, tables: Tables, per_word: Floats, known: Known | None) -> Boundaries:
        """Return it for a space, and for mappings that cost no more than one that is known."""
        distinct = touched(space)
        slack, _ = slack_of(space)
        above = ceilings(space, tables, per_word, distinct, known, slack)
        return Boundaries(per_word, all_outside(space, per_word), words_delivered(space, tables), above)


@by_address
class Demands(NamedTuple):
    """The vectors of all tiles at all boundaries from one on.

    A vector has, per visit of the tile by one instance: for every tensor the words asked of its keeper outside; for
    every tensor the pJ that go with asking as long as it is pending; the pJ of all else; pJ to add per copy (instances
    further out that sum up parts of the same outputs; at most 0: what is not read the first time); cycles.

    Attributes:
        outermost: the first boundary that has vectors: the one inside the outermost fan-out, or inside all levels.
        start: ``(boundaries, tiles)`` where a tile's vectors begin; there are none at boundaries before ``outermost``.
        end: ``(boundaries, tiles)`` where they end. Tiles that are mirror images of each other have the same.
        vectors: ``(n, 2 * tensors + FIXED)``.
        pending: ``(n,)`` pending tensors, as a bit mask; above their bits those of tensors that the next level keeps,
            where a fan-out around it makes that matter.
    """

    outermost: int
    start: Ints
    end: Ints
    vectors: Floats
    pending: Ints


def build_demands(space: Space, tables: Tables, boundaries: Boundaries, lattice: Lattice, effort: Effort) -> Demands:
    """Return the demands of all completions inside the outermost fan-out.

    Args:
        space: the mapspace.
        tables: what is known of every tile.
        boundaries: what is known of them.
        lattice: the divisors.
        effort: that may be made.

    Raises:
        OutOfReach: that ends it.
        Crowded: as it says.
    """
    levels, tensors, tiles = len(space.levels), len(space.rules.is_output), space.tiles
    columns, outermost = 2 * tensors + FIXED, min(space.outside + 1, levels)
    most = int(np.clip(effort.bytes_at_once // (tiles * columns * 8), FEWEST_VECTORS, effort.vectors))
    first = effort.first if MORE * effort.first <= most else most  # else little room is saved, and a step taken twice
    shape = tiles, first, columns
    now = _at_compute(
        space, Working.empty(shape, boundaries.outside[levels], boundaries.ceilings[levels], effort.compared)
    )
    start, end = np.zeros((2, levels + 1, tiles), np.int64)
    parts: list[tuple[Floats, Ints]] = []
    used = 0
    for boundary in range(levels, outermost - 1, -1):
        if boundary < levels and space.is_spatial[boundary]:
            now = _with_room(partial(_through_fanout, space, tables, boundary, boundaries, lattice), now, most, effort)
        elif boundary < levels:
            now = _with_room(partial(_through_storage, space, tables, boundary, boundaries, lattice), now, most, effort)
        ends = used + np.cumsum(now.counts)
        start[boundary], end[boundary] = (ends - now.counts)[lattice.standing], ends[lattice.standing]
        used = int(ends[-1])
        there = np.arange(now.vectors.shape[1]) < now.counts[:, None]
        parts.append((now.vectors[there], now.pending[there]))
    vectors = np.concatenate([each for each, _ in parts])
    return Demands(outermost, start, end, vectors, np.concatenate([each for _, each in parts]))


def _at_compute(space: Space, now: Working) -> Working:
    """Fill in the demands of one execution of the loop body: a word of every tensor, and computing."""
    now.vectors[0, 0, : len(space.rules.is_output)] = 1.0
    now.vectors[0, 0, -FIXED:] = space.machine.compute_pJ, 0.0, 1.0
    now.counts[0] = 1
    return now


def _with_room(
    step: Callable[[Callable[[], None], Working], Working], inside: Working, most: int, effort: Effort
) -> Working:
    """Take a step outwards with as much room for the vectors of a tile as it needs, but so much at most.

    Raises:
        Crowded: that is not enough, and vectors must not be merged.
    """
    while True:
        before, room = int(inside.compared[0]), inside.vectors.shape[1]
        inside = inside._replace(merged=np.array([0, room == most and not effort.merges]))
        outside = step(partial(look_at, effort, inside.merged), inside)
        if not inside.merged[0] or room == most:
            return outside
        inside.compared[0] = before  # so that limits do not depend on what was tried first
        inside = inside.copied(min(most, MORE * room))


def look_at(effort: Effort, merged: Ints) -> None:
    """Look at the clock, and for vectors that had to be merged though they must not (`Working.merged`).

    Raises:
        OutOfReach: time is up.
        Crowded: some had to.
    """
    effort.look()
    if merged[0] and merged[1]:
        raise Crowded


def _through_storage(
    space: Space,
    tables: Tables,
    level: int,
    boundaries: Boundaries,
    lattice: Lattice,
    look: Callable[[], None],
    inside: Working,
) -> Working:
    """Return the demands of tiles that enter a storage level."""
    (tiles, room, columns), price = inside.vectors.shape, boundaries.per_word[level]
    sizes, still = lattice.places(np.arange(tiles)), np.array(left_in_place(space), np.int64)
    feasible = _feasible(tables, level, lattice)
    wanted = lattice.some(
        dividing(space, np.flatnonzero(tables.parallelism[level]))
    )  # loops of no others lead anywhere
    looped, vector = inside.like(inside.outside, inside.ceiling), np.zeros(columns)
    for order, lax in _sequences(space, level, still.tolist()):
        passed = inside.copied(room)
        for d in order:
            loop = Loop(d, int(still[d]), lax, int(space.least[level, d]), int(space.most[level, d]))
            if loop.least > 1 or loop.most > 1:
                in_pieces(len(wanted), partial(loop_over, loop, lattice, sizes, wanted, passed, vector), look)
        in_pieces(len(wanted), partial(unite, wanted, passed, looped), look)
    rules = space.rules
    first = rules.touched / space.problem.macs * rules.is_output
    entered = inside.like(boundaries.outside[level], boundaries.ceilings[level])
    entry = Entry(
        np.array(space.keepers[level], np.int64),
        level,
        space.machine,
        tables.words,
        boundaries.delivered[level],
        np.multiply.outer(first, tables.volume.astype(np.float64)),
        np.array([is_noted(space, level, t) for t in range(len(first))], np.bool_),
        rules.is_output,
        np.ascontiguousarray(rules.read_first[level]),
        price,
        np.where(rules.no_reuse[level] & space.may_link[level - 1], 0.0, price[:, WRITE]),
    )
    in_pieces(tiles, partial(enter_all, entry, feasible, looped, entered, vector), look)
    look()
    return entered


def _feasible(tables: Tables, level: int, lattice: Lattice) -> Ints:
    """Return ``(tiles,)``: above 0 where a completion from a level on exists, and the tile stands for itself."""
    return np.where(lattice.standing == np.arange(len(lattice.standing)), tables.parallelism[level], 0)


def is_noted(space: Space, level: int, tensor: int) -> bool:
    """Return whether it matters to a fan-out just outside a level that the level keeps a tensor, or does not."""
    choice = bool(space.may_keep[level, tensor]) and not space.must_keep[level, tensor]
    return choice and level > 0 and bool(space.linking[level - 1][:, tensor].any())


def _sequences(space: Space, level: int, still: list[int]) -> Iterator[tuple[list[int], bool]]:
    """Yield the orders of a level's loops, innermost first, that differ in what stays pending.

    Loops that leave the same tensors in place may as well be neighbours. With too many kinds of them one order stands
    for all, in which no loop ends another's reuse; then the second value is True.
    """
    inner, outer, loops = space.pins[level]
    first, last = [d for d in inner if d in loops], [d for d in outer if d in loops]
    free = [d for d in sorted(loops) if d not in inner and d not in outer]
    kinds = sorted({still[d] for d in free if still[d]})
    last = [d for d in free if not still[d]] + last
    if len(kinds) > MOST_KINDS:
        yield first + [d for d in free if still[d]] + last, True
        return
    for order in _chains(tuple(kinds), -1):
        yield first + [d for kind in order for d in free if still[d] == kind] + last, False


def _chains(kinds: tuple[int, ...], pending: int) -> Iterator[tuple[int, ...]]:
    """Yield the orders of kinds of dimensions that differ in what stays pending."""
    following = [kind for kind in kinds if kind & pending]
    if not following:
        yield kinds
    for kind in following:
        rest = tuple(other for other in kinds if other != kind)
        yield from ((kind, *order) for order in _chains(rest, pending & kind))


@jit_plain
def unite(tiles: Ints, some: Working, joined: Working, first: int, last: int) -> None:
    """Offer all vectors of one working table to another, of these ``tiles`` from ``first`` to before ``last``."""
    for tile in tiles[first:last]:
        for k in range(some.counts[tile]):
            offer_vector(joined, tile, some.vectors[tile, k], some.pending[tile, k])


class Loop(NamedTuple):
    """A loop of a storage level.

    Attributes:
        d: its dimension.
        still: tensors that it does not move, as a bit mask.
        lax: whether tensors stay pending whatever moves them.
        least, most: factors allowed.
    """

    d: int
    still: int
    lax: bool
    least: int
    most: int


@part()
def repeat_vector(source: Floats, mask: int, factor: int, loop: Loop, vector: Floats) -> int:
    """Fill a vector with ``factor`` visits of a tile; returns which tensors are pending after these."""
    fixed = source.shape[0] - FIXED
    tensors = fixed // 2
    left, settled = mask if loop.lax else mask & loop.still, 0.0
    for t in range(tensors):
        times = 1 if (mask & loop.still) >> t & 1 else factor
        vector[t] = source[t] * times
        vector[tensors + t] = source[tensors + t] * times
        if not left >> t & 1:
            settled += vector[tensors + t]
            vector[tensors + t] = 0.0
    for j in range(fixed, source.shape[0]):
        vector[j] = source[j] * factor
    vector[fixed + ENERGY] += settled
    return left


@jit_plain
def loop_over(
    loop: Loop, lattice: Lattice, sizes: Ints, tiles: Ints, passed: Working, vector: Floats, first: int, last: int
) -> None:
    """Add a loop over a dimension outside all that were added before, in place: larger tiles first.

    Args:
        loop: the loop.
        lattice: the divisors.
        sizes: ``(all tiles, dims)`` as divisor indices.
        tiles: to add it to, rising, and with each one all that divide it or stand for what does. Whatever stands for a
            tile that is smaller than one of them comes before that one.
        passed: of all tiles.
        vector: ``(columns,)`` scratch.
        first: of the tiles to take, counted from the largest.
        last: before this one it ends.
    """
    d, count = loop.d, passed.counts
    for place in range(first, last):
        tile = tiles[tiles.shape[0] - 1 - place]
        size = sizes[tile, d]
        if loop.least > 1:
            count[tile] = 0
        for j in range(1, size + 1):
            rest, factor = lattice.quotient[d, size, j], lattice.divisors[d, j]
            if rest < 0 or factor < loop.least or factor > loop.most:
                continue
            inside = lattice.standing[tile + (rest - size) * lattice.radix[d]]
            for k in range(count[inside]):
                mask = repeat_vector(passed.vectors[inside, k], passed.pending[inside, k], factor, loop, vector)
                offer_vector(passed, tile, vector, mask)


@by_address
class Entry(NamedTuple):
    """What entering a storage level takes and costs.

    Attributes:
        keepers: ``(options,)`` sets of tensors that it may keep, as bit masks.
        level: the level.
        machine: whose it is.
        words: ``(tensors, tiles)`` words of the tile.
        brought: ``(tensors, tiles)`` least words per visit that arrive.
        first: ``(tensors, tiles)`` words first written, per visit and copy; 0 unless of outputs.
        noted: ``(tensors,)`` vectors say whether a tensor is kept just here.
        output: ``(tensors,)``.
        read_first: ``(tensors,)`` the first update also reads.
        price: ``(tensors, actions)`` pJ per word.
        fill: ``(tensors,)`` pJ per word that arrives.
    """

    keepers: Ints
    level: int
    machine: Machine
    words: Ints
    brought: Floats
    first: Floats
    noted: Bools
    output: Bools
    read_first: Bools
    price: Floats
    fill: Floats


@part()
def keep_vector(entry: Entry, kept: int, tile: int, source: Floats, mask: int, vector: Floats) -> int:
    """Fill a vector with what a tile demands when a level keeps some tensors; returns which are pending."""
    fixed = source.shape[0] - FIXED
    tensors, reads, writes = fixed // 2, 0.0, 0.0
    mask &= (1 << tensors) - 1
    for j in range(source.shape[0]):
        vector[j] = source[j]
    for t in range(tensors):
        if not kept >> t & 1:
            continue
        asked, brought = source[t], entry.brought[t, tile]
        cost = asked * (entry.price[t, READ] + entry.price[t, UPDATE] if entry.output[t] else entry.price[t, READ])
        along = brought * entry.fill[t]
        if mask >> t & 1:
            along += source[tensors + t] + cost
        else:
            vector[fixed + ENERGY] += cost
            if entry.output[t]:
                writes += bandwidth_taken(entry.machine, entry.level, t, asked)
                again = max(0.0, asked - entry.words[t, tile])
                reads += bandwidth_taken(entry.machine, entry.level, t, again)
            else:
                reads += bandwidth_taken(entry.machine, entry.level, t, asked)
        if entry.output[t] and not entry.read_first[t]:
            vector[fixed + PER_COPY] -= entry.first[t, tile] * (entry.price[t, READ] + entry.price[t, WRITE])
        vector[t], vector[tensors + t] = brought, along
        mask |= 1 << t  # also where the level is sent its whole tile at every step: what is further in is not
        if entry.noted[t]:
            mask |= 1 << (tensors + t)
    slowest = cycles_taken(entry.machine, entry.level, reads, writes)
    vector[fixed + CYCLES] = max(vector[fixed + CYCLES], slowest)
    return mask


@jit_plain
def enter_all(
    entry: Entry, feasible: Ints, looped: Working, entered: Working, vector: Floats, first: int, last: int
) -> None:
    """Fill in what the tiles that enter a storage level demand, whatever of them it keeps.

    Args:
        entry: what that takes and costs.
        feasible: ``(tiles,)`` above 0 where a completion exists.
        looped: what the level's loops ask of it.
        entered: to fill.
        vector: ``(columns,)`` scratch.
        first: of the tiles to take.
        last: before this one it ends.
    """
    for tile in range(first, last):
        for option in range(entry.keepers.shape[0] if feasible[tile] > 0 else 0):
            kept, taken = entry.keepers[option], 0
            for t in range(entry.output.shape[0]):
                if kept >> t & 1:
                    taken += space_taken(entry.machine, entry.level, t, entry.words[t, tile])
            if not fits(entry.machine.capacity[entry.level], taken):
                continue
            for k in range(looped.counts[tile]):
                mask = keep_vector(entry, kept, tile, looped.vectors[tile, k], looped.pending[tile, k], vector)
                offer_vector(entered, tile, vector, mask)


def _through_fanout(
    space: Space,
    tables: Tables,
    level: int,
    boundaries: Boundaries,
    lattice: Lattice,
    look: Callable[[], None],
    inside: Working,
) -> Working:
    """Return the demands of tiles that are spread over a fan-out."""
    outside, vector = (
        inside.like(boundaries.outside[level], boundaries.ceilings[level]),
        np.zeros(inside.vectors.shape[2]),
    )
    spreading = Spreading.of(space, level, lattice, lattice.places(np.arange(space.tiles)))
    feasible = _feasible(tables, level, lattice)
    in_pieces(space.tiles, partial(spread_all, spreading, feasible, inside, outside, vector), look)
    look()
    return outside


@by_address
class Spreading(NamedTuple):
    """Tiles, and the ways to spread each over the children of a fan-out.

    Attributes:
        lattice: the divisors.
        sizes: ``(places, dims)`` of the tiles, as divisor indices.
        ways: to use the fan-out.
        windows: what is known of its children where tiles overlap.
        sent: ``(tensors, SENT_FIELDS)`` scratch.
    """

    lattice: Lattice
    sizes: Ints
    ways: Ways
    windows: Windows
    sent: Floats

    @staticmethod
    def of(space: Space, level: int, lattice: Lattice, sizes: Ints) -> Spreading:
        """Return them for a fan-out; for one of one child where the level is beyond the last one."""
        tensors, dims = len(space.rules.is_output), len(space.divisors)
        scratch = np.zeros((tensors, SENT_FIELDS))
        if level == len(space.levels):
            return Spreading(lattice, sizes, no_spreading(space), Windows.none(1, tensors, dims), scratch)
        ways, which = ways_of(space, level)
        return Spreading(lattice, sizes, ways, windows_of(space, level, ways, which), scratch)


@part()
def child_of(spreading: Spreading, place: int, way: int) -> int:
    """Return what stands for the tile of one child of a tile in one way; -1 where some factor leaves a remainder."""
    lattice, sizes, factors, tile = spreading.lattice, spreading.sizes, spreading.ways.places, 0
    for d in range(sizes.shape[1]):
        rest = lattice.quotient[d, sizes[place, d], factors[way, d]]
        if rest < 0:
            return -1
        tile += rest * lattice.radix[d]
    at: int = lattice.standing[tile]
    return at


@part()
def spread_vector(source: Floats, mask: int, spreading: Spreading, way: int, vector: Floats) -> int:
    """Fill a vector with what all children of a fan-out ask together; returns which tensors are pending.

    What is sent at least is in ``spreading.sent``.
    """
    ways = spreading.ways
    fixed, children, again = source.shape[0] - FIXED, ways.children[way], 0
    tensors = fixed // 2
    for t in range(tensors):
        vector[t] = words_sent(spreading.sent, t, source[t], (mask >> (tensors + t) & 1) == 1)
        vector[tensors + t] = 0.0 if ways.uncounted[way, t] else source[tensors + t] * children
        if ways.again[way, t]:
            again |= 1 << t
    vector[fixed + ENERGY] = source[fixed + ENERGY] * children
    vector[fixed + PER_COPY] = source[fixed + PER_COPY] * children * ways.copies[way]
    vector[fixed + CYCLES] = source[fixed + CYCLES]
    left: int = mask & ((1 << tensors) - 1) | again
    return left


@jit_plain
def spread_all(
    spreading: Spreading, feasible: Ints, inside: Working, outside: Working, vector: Floats, first: int, last: int
) -> None:
    """Fill in what tiles demand that are spread over a fan-out.

    Args:
        spreading: all tiles, and the ways to spread them.
        feasible: ``(tiles,)`` above 0 where a completion exists.
        inside: of the children.
        outside: to fill.
        vector: ``(columns,)`` scratch.
        first: of the tiles to take.
        last: before this one it ends.
    """
    ways = spreading.ways
    for tile in range(first, last):
        for way in range(ways.places.shape[0] if feasible[tile] > 0 else 0):
            at = child_of(spreading, tile, way)
            if at < 0 or inside.counts[at] == 0:
                continue
            least_sent(spreading.windows, spreading.lattice, spreading.sizes[tile], ways, way, 0, spreading.sent)
            for k in range(inside.counts[at]):
                mask = spread_vector(inside.vectors[at, k], inside.pending[at, k], spreading, way, vector)
                offer_vector(outside, tile, vector, mask)
