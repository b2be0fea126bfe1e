"""The least energy of completing a partial mapping, for every tile at once, from the innermost level out.

For a boundary, a source (`dovetail.mapper.exact.sources`), a tile and the reuse that the loops outside bring, the table
says what all levels further in cost at least per visit of the tile: a minimum over every choice of kept tensors
(`dovetail.mapper.exact.entering`), loops and orders (`dovetail.mapper.exact.through_loops`) and fan-outs there,
capacities and pinned orders included. ``docs/mapper.md`` says why it is a lower bound, and where it is less than exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.entering import Keepers, arriving_at, enter, entrance
from dovetail.mapper.exact.lattice import Lattice, lattice_of
from dovetail.mapper.exact.sources import Source, Sources, find_sources, rows_of
from dovetail.mapper.exact.space import OutOfReach, Space
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.through_loops import GRID, Factors, Inner, falls, left_in_place, serving, through_loops
from dovetail.model.arrays import Bools, Floats, Ints, Singles
from dovetail.model.charges import WRITE
from dovetail.model.compile import jit_plain

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
        serves: ``(sets, dims)`` whether a dimension leaves some tensor of an idle set in place.
        place: ``(boundaries, tiles)`` a tile's place among those that have a completion, or -1.
        count: ``(boundaries,)`` how many have.
        start: ``(boundaries,)`` where a boundary's table begins in ``least``.
        least: all tables ``(sources, places, lanes)`` one after the other, pJ per visit; lane 0 is without reuse, then
            for every idle set the points of `GRID` but the first.
        slack: pJ by which rounding in the model may undercut the tables, over a whole run.
    """

    sources: Sources
    idle: tuple[int, ...]
    serves: Bools
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
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        most_entries: that the tables may have, about.

    Raises:
        OutOfReach: the tables would take minutes to fill.
    """
    levels, tiles = len(space.levels), space.tiles
    idle = tuple(sorted({*left_in_place(space)} - {0})) or (0,)
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
    first = space.rules.touched / space.problem.macs * space.rules.is_output
    for s, source in enumerate(sources.at[levels]):
        parts[levels][s] = _at_compute(space, source, first)
    lattice, serves = lattice_of(space), serving(space, idle)
    low, weight = falls(space, lattice)
    for level in range(levels - 1, -1, -1):
        here, inner = feasible[level], Inner(place[level + 1], parts[level + 1])
        if space.is_spatial[level]:
            _through_fanout(space, level, sources, lattice.places(here), lattice, inner, parts[level])
            continue
        arriving = arriving_at(space, tables, level, here)
        entering = entrance(space, level, sources, first, idle, per_word[level, :, WRITE])
        keepers = Keepers(np.array(space.keepers[level], np.int64), int(space.machine.capacity[level]))
        factors = Factors(lattice, low, weight, space.least[level], space.most[level])
        most = max(1, MOST_AT_ONCE // max(1, len(here) * lanes))
        for at in range(0, len(inner.least), most):
            some = Inner(inner.place, inner.least[at : at + most])
            inside = through_loops(space, level, here, factors, serves, some)
            steps = sources.next[level] - at  # of some sources inside; the others' lead elsewhere
            enter(keepers, np.where(steps < len(inside), steps, -1), entering, arriving, inside, parts[level])
    return Completion(sources, idle, serves, place, count, start.astype(np.int64), least, _slack(space))


def _at_compute(space: Space, source: Source, first: Floats) -> float:
    """Return the pJ of one execution of the loop body, operands included."""
    return float(space.machine.compute_pJ + sum(source.price) - (np.array(source.unread) * first).sum())


def _slack(space: Space) -> float:
    """Return the pJ of one word at every keeper of the tensors whose fan-out the model counts with rounding."""
    rounded = sum(1 << int(t) for t in np.flatnonzero(np.concatenate(space.by_model).any(axis=0)))
    energy = 0.0
    for level, (options, used) in enumerate(zip(space.keepers, space.most_instances, strict=False)):
        dearest = space.machine.energy[level].max(axis=1).tolist()
        energy += used * max(sum(pJ for t, pJ in enumerate(dearest) if (kept & rounded) >> t & 1) for kept in options)
    return energy


class Ways(NamedTuple):
    """The ways to use a fan-out that differ in their factors.

    Attributes:
        places: ``(ways, dims)`` factors, as divisor indices.
        children: ``(ways,)`` their product.
        inside: ``(sources, ways)`` the source inside.
    """

    places: Ints
    children: Ints
    inside: Ints


def _through_fanout(
    space: Space, level: int, sources: Sources, sizes: Ints, lattice: Lattice, inner: Inner, outer: Singles
) -> None:
    if not space.fanouts[level]:
        return
    first, factors = rows_of(space.fanouts[level])
    places = np.array(
        [[space.divisors[d].index(int(f)) for d, f in enumerate(row)] for row in factors], np.int64
    ).reshape(len(first), len(space.divisors))
    steps = np.ascontiguousarray(sources.next[level][:, first])  # whatever neighbours do
    spread(lattice, sizes, Ways(places, factors.prod(axis=1), steps), inner, outer)


@jit_plain
def spread(lattice: Lattice, sizes: Ints, ways: Ways, inner: Inner, outer: Singles) -> None:
    """Take the least over the ways to use a fan-out.

    Args:
        lattice: the divisors.
        sizes: ``(places, dims)`` of the tiles, as divisor indices.
        ways: to use the fan-out.
        inner: what is known further in.
        outer: ``(sources, places, lanes)`` to fill; infinity to begin with.
    """
    for i in range(sizes.shape[0]):
        for way in range(ways.places.shape[0]):
            tile = 0
            for d in range(sizes.shape[1]):
                rest = lattice.quotient[d, sizes[i, d], ways.places[way, d]]
                if rest < 0:
                    tile = -1
                    break
                tile += rest * lattice.radix[d]
            if tile < 0 or inner.place[tile] < 0:
                continue
            at = inner.place[tile]
            for source in range(outer.shape[0]):
                inside = ways.inside[source, way]
                for lane in range(outer.shape[2]):
                    cost = ways.children[way] * inner.least[inside, at, lane]
                    if cost < outer[source, i, lane]:
                        outer[source, i, lane] = cost
