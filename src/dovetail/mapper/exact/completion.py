"""The least energy of completing a partial mapping, for every tile at once, from the innermost level out.

For a boundary, a source (`dovetail.mapper.exact.sources`), a tile and the reuse that the loops outside bring, the table
says what all levels further in cost at least per visit of the tile: a minimum over every choice of kept tensors
(`dovetail.mapper.exact.entering`), loops and orders (`dovetail.mapper.exact.through_loops`) and fan-outs there,
capacities and pinned orders included. ``docs/mapper.md`` says why it is a lower bound, and where it is less than exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from dovetail.mapper.exact.ceiling import Ceiling
from dovetail.mapper.exact.demands import Boundaries, Demands, Spreading, build_demands, look_at
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.entering import Entering, Keepers, Passage, arriving_at, enter, entrance, shares_of
from dovetail.mapper.exact.lattice import Lattice, lattice_of
from dovetail.mapper.exact.outlook import Outlook, build_outlook
from dovetail.mapper.exact.packed import Packed, forget_beaten, pack
from dovetail.mapper.exact.physical import cycles_by_bandwidth, slack_of
from dovetail.mapper.exact.pieces import in_pieces
from dovetail.mapper.exact.pricing import Prices, lanes_by_passing, price_fanout
from dovetail.mapper.exact.sources import Source, Sources, find_sources
from dovetail.mapper.exact.space import OutOfReach, Space
from dovetail.mapper.exact.speed import CLASSES, Pace
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.through_loops import Factors, Inner, falls, lanes_of, left_in_place, serving, through_loops
from dovetail.mapper.exact.vectors import FIXED, Working
from dovetail.model.arrays import Bools, Floats, Ints, Singles
from dovetail.model.charges import WRITE

#: By how much, relatively, the tables may be too high: they are kept in single precision, rounded at every level.
ROUNDING = 1e-6
#: By how much, relatively, sums of doubles in another order may be too high.
EXACT = 1e-9
#: Entries of a level's loops that are worked out at a time.
MOST_AT_ONCE = 1_000_000
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
        classes: how many classes of speed there are: class ``q`` holds the completions that are at most
            ``1 - q / classes`` as quick as the quickest mapping.
        class_cycles: ``(boundaries, classes)`` what completions of a class take at least.
        outlook: the least energy of what a level's loops leave open.
        least: the tables, in pJ per visit; boundaries inside the outermost fan-out have none.
        demands: of what is inside that fan-out.
        slack: pJ by which rounding in the model may undercut the tables, over a whole run.
        slack_cycles: cycles by which it may.
    """

    sources: Sources
    idle: tuple[int, ...]
    serves: Bools
    place: Ints
    count: Ints
    classes: int
    class_cycles: Floats
    outlook: Outlook
    least: Packed
    demands: Demands
    slack: float
    slack_cycles: float

    @property
    def floor(self) -> float:
        """The least pJ of any mapping but for leakage (at least; infinity when there is none)."""
        if self.place[0, -1] < 0:
            return float("inf")
        least = float(self.least.least[1 : 2 * self.least.slots[0] : 2].min())
        return least * (1 - math.copysign(ROUNDING, least)) - self.slack


def build_completion(
    space: Space,
    tables: Tables,
    per_word: Floats,
    effort: Effort,
    tabulate: Callable[[Space, Tables, Boundaries, Lattice, Effort], Demands] = build_demands,
) -> Completion:
    """Fill the tables of a space.

    Args:
        space: the mapspace.
        tables: what is known of every tile.
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        effort: that may be made.
        tabulate: returns the demands; or those that it knows of a space that is alike there.

    Raises:
        OutOfReach: the tables would take minutes to fill, or the effort ends it.
        Crowded: some tile has more vectors of demands than there is room for, and they must not be merged.
    """
    look = effort.look
    idle = idle_sets(space)
    lattice, serves = lattice_of(space), serving(space, idle)
    feasible = [lattice.some(found) for found in _with_completions(space, tables)]
    place, count = places_of(space, feasible)
    place = np.ascontiguousarray(place[:, lattice.standing])
    lanes = lanes_of(len(idle))
    sources = _sources_in_room(space, per_word, (count * lanes * CLASSES).tolist(), effort.entries)
    boundaries = Boundaries.of(space, tables, per_word, effort.known)
    demands = tabulate(space, tables, boundaries, lattice, effort)
    parts = room_of(space, sources, count, lanes)
    first = space.rules.touched / space.problem.macs * space.rules.is_output
    fans = lattice.places(feasible[space.outside])
    quickest = min(float(max(1, tables.parallelism[0, -1])), space.problem.macs / max(1.0, cycles_by_bandwidth(space)))
    shares = np.ascontiguousarray(shares_of(idle, len(first)).T)
    paces = [_pace(space, at, first, quickest, idle) for at in sources.at]
    rounds = _prices(sources.at[space.outside], first, shares, paces[space.outside], lanes_by_passing(space, idle))
    columns = 2 * len(first) + FIXED
    around, above = boundaries.outside[space.outside], boundaries.ceilings[space.outside].of(feasible[space.outside])
    met = Working.empty((1, effort.priced, columns), around, Ceiling.none(len(first)), effort.compared)
    met.merged[1] = not effort.merges
    spreading, vector = Spreading.of(space, space.outside, lattice, fans), np.zeros(columns + len(first))
    fastest = np.zeros((space.outside + 1, CLASSES))
    priced = parts[space.outside], fastest[-1]
    for prices in rounds:
        price = partial(price_fanout, spreading, demands, prices, above, met, vector, *priced)
        in_pieces(len(fans), price, partial(look_at, effort, met.merged))
        look_at(effort, met.merged)
    forget_beaten(parts[space.outside], len(idle))
    low, weight = falls(space, lattice)
    for level in range(space.outside - 1, -1, -1):
        here, inner = feasible[level], Inner(place[level + 1], parts[level + 1])
        arriving = arriving_at(space, tables, level, boundaries.delivered[level], here)
        entering = entrance(space, level, sources, first, np.ascontiguousarray(shares.T), per_word[level, :, WRITE])
        keepers = Keepers(np.array(space.keepers[level], np.int64), int(space.machine.capacity[level]))
        factors = Factors(lattice, low, weight, space.least[level], space.most[level])
        scratch = Entering(np.zeros(len(first)), np.zeros(1 << len(first)), np.zeros(lanes))
        passage = Passage(paces[level], level, sources.next[level], 0, fastest[level + 1], fastest[level], scratch)
        most = max(1, MOST_AT_ONCE // max(1, len(here) * lanes * CLASSES))
        for at in range(0, len(inner.least), most):
            look()
            some = Inner(inner.place, inner.least[at : at + most])
            inside = through_loops(space, level, here, factors, serves, some)
            enter(keepers, passage._replace(first=at), entering, arriving, inside, parts[level])
        forget_beaten(parts[level], len(idle))
    slack, slack_cycles = slack_of(space)
    slowest = class_cycles_of(space, fastest, slack_cycles)
    packed = pack(parts)
    outlook = build_outlook(space, tables.volume, place, packed, len(idle), effort.entries // len(space.levels), look)
    return Completion(
        sources, idle, serves, place, count, CLASSES, slowest, outlook, packed, demands, slack, slack_cycles
    )


def idle_sets(space: Space) -> tuple[int, ...]:
    """Return `Completion.idle`."""
    return tuple(sorted({*left_in_place(space)} - {0})) or (0,)


def class_cycles_of(space: Space, fastest: Floats, slack_cycles: float) -> Floats:
    """Return `Completion.class_cycles`; ``fastest``: likewise, executions of the loop body per cycle; 0: none."""
    cycles = np.full(fastest.shape, np.inf)
    np.divide(space.problem.macs, fastest, out=cycles, where=fastest > 0)
    return np.asarray(cycles * (1 - EXACT) - slack_cycles)


def places_of(space: Space, feasible: list[Ints]) -> tuple[Ints, Ints]:
    """Return `Completion.place` and `Completion.count`, given the tiles that have a completion, by boundary."""
    place = np.full((len(space.levels) + 1, space.tiles), -1, np.int64)
    for level, found in enumerate(feasible):
        place[level, found] = np.arange(len(found))
    return place, np.array([len(found) for found in feasible], np.int64)


def room_of(space: Space, sources: Sources, count: Ints, lanes: int) -> list[Singles]:
    """Return room for the tables ``(sources, classes, places, lanes)``, all infinity, by boundary."""
    shapes = [
        (len(at), CLASSES, n, lanes) for at, n in zip(sources.at, count[: space.outside + 1].tolist(), strict=True)
    ]
    return [np.full(shape, np.inf, np.float32) for shape in shapes]


def with_completions(space: Space, tables: Tables) -> list[Ints]:
    """Return, by boundary, the tiles that have a completion inside it."""
    feasible = [np.flatnonzero(tables.parallelism[level] > 0) for level in range(len(space.levels) + 1)]
    feasible[0] = feasible[0][feasible[0] == space.tiles - 1]  # only the whole problem enters the outermost level
    return feasible


def _with_completions(space: Space, tables: Tables) -> list[Ints]:
    """Return the same.

    Raises:
        OutOfReach: they are too many, with the ways to spread them, to fill tables for.
    """
    feasible, levels = with_completions(space, tables), len(space.levels)
    spreads = sum(
        len({row.factors for row in rows}) * len(found)
        for rows, found in zip(space.fanouts, feasible[:levels], strict=True)
    )
    if spreads > MOST_SPREADS:
        raise OutOfReach(
            f"{spreads:.1e} pairs of a tile and a way to spread it, of which {MOST_SPREADS:.0e} are in reach"
        )
    return feasible


def _sources_in_room(space: Space, per_word: Floats, entries: list[int], most: int) -> Sources:
    """Return the sources, prices cut down until tables of so many entries a source have room, or no further."""
    for grain in (None, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0):
        sources = find_sources(space, per_word, grain, entries=entries, most=most)
        if sources is not None:
            return sources
    sources = find_sources(space, per_word, 16.0)
    assert sources is not None
    return sources


def _prices(
    sources: tuple[Source, ...], first: Floats, shares: Floats, pace: Pace, lanes: list[tuple[int, Ints]]
) -> list[Prices]:
    """Return the prices of every time that lanes are filled; ``lanes``: see `lanes_by_passing`."""
    unread = [float((np.array(source.unread) * first).sum()) for source in sources]
    price, scratch = np.array([source.price for source in sources]), np.zeros(1 << len(first))
    return [Prices(price, np.array(unread), shares, pace, apart, filled, scratch) for apart, filled in lanes]


def _pace(space: Space, sources: tuple[Source, ...], first: Floats, quickest: float, idle: tuple[int, ...]) -> Pace:
    keeper = np.array([source.keeper for source in sources], np.int64)
    return Pace(keeper, first, space.machine, space.rules.is_output, quickest, np.array((0, *idle), np.int64))
