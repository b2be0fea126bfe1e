"""Gets a mapspace ready for the search: its tables, its lower bounds, and the scene that compiled code sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.exact.advances import Fan, fan_of
from dovetail.mapper.exact.ceiling import Known
from dovetail.mapper.exact.completion import Completion, build_completion
from dovetail.mapper.exact.demands import is_noted
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.entering import words_asked
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.orders import OWN, STILL, Links, Movement, joined_axes, orders
from dovetail.mapper.exact.physical import compulsory, cycles_by_bandwidth, touched, whole_cycles, words_prices
from dovetail.mapper.exact.rows import TRAFFIC, Widths
from dovetail.mapper.exact.scene import ALWAYS, NEVER, NOTED, UNKNOWN, Bounds, Choices, Motion, Scene, Sourcing, Spreads
from dovetail.mapper.exact.space import OutOfReach, Space, once
from dovetail.mapper.exact.tables import Tables, build_tables, bytes_of_tables
from dovetail.mapper.exact.through_loops import GRID
from dovetail.mapper.exact.ways import ways_of
from dovetail.model.arrays import Floats, Ints

#: Loops remembered for tensors that slide, and for those with axes that share dimensions.
CHAIN, LONG_CHAIN = 12, 24


@dataclass(frozen=True)
class Prepared:
    """A mapspace ready for the search.

    Attributes:
        space: the mapspace.
        tables: what is known of every tile.
        scene: both for compiled code.
        fans: per level.
        widths: columns of key, value and path.
        least_cycles: cycles of the mappings that bounds hold for, given parallelism and bandwidth.
        any_cycles: cycles of any mapping.
        compulsory_pJ: energy of any mapping: the most that is known of moving and computing (leakage aside).
        floor_pJ: energy of the mappings that bounds hold for.
    """

    space: Space
    tables: Tables
    scene: Scene
    fans: tuple[Fan, ...]
    widths: Widths
    least_cycles: int
    any_cycles: int
    compulsory_pJ: float
    floor_pJ: float


def prepare(space: Space, effort: Effort | None = None) -> Prepared:
    """Return everything that the search over a space needs.

    Raises:
        OutOfReach: tabulating would take minutes, or the effort ends it.
    """
    effort = effort or Effort()
    laid_out = lay_out(space, effort)
    return with_bounds(laid_out, build_completion(space, laid_out.tables, laid_out.per_word, effort))


@dataclass(frozen=True)
class LaidOut:
    """A mapspace without bounds.

    Attributes:
        space: the mapspace.
        tables: what is known of every tile.
        choices: of storage levels.
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        by_bandwidth: cycles that some level's bandwidth asks of any mapping.
        least_cycles: cycles of any mapping, given parallelism and bandwidth.
    """

    space: Space
    tables: Tables
    choices: Choices
    per_word: Floats
    by_bandwidth: float
    least_cycles: int


def lay_out(space: Space, effort: Effort, known: Tables | None = None, alike: int = 0) -> LaidOut:
    """Return a mapspace with all but its bounds; ``known``, ``alike``: see `build_tables`.

    Raises:
        OutOfReach: its tables take too much memory, or the effort ends it.
    """
    taken = bytes_of_tables(space)
    if taken > effort.bytes_of_tables:
        raise OutOfReach(
            f"the limit of memory: tables of {space.tiles:,} tiles take {taken / 1e6:,.0f} MB, for which there are "
            f"{effort.bytes_of_tables / 1e6:,.0f}; more (--memory) may be enough"
        )
    tables = build_tables(space, effort.look, known, alike)
    parts = space.least, space.most, space.most_loops, space.keepers, space.pins, space.movements
    choices = once(space, ("choices", *parts), lambda: _choices(space, effort.look))
    parallel, by_bandwidth = max(1, int(tables.parallelism[0, -1])), cycles_by_bandwidth(space)
    least_cycles = whole_cycles(max(space.problem.macs / parallel, by_bandwidth))
    return LaidOut(space, tables, choices, words_prices(space), by_bandwidth, least_cycles)


def with_bounds(laid_out: LaidOut, completion: Completion, known: Known | None = None) -> Prepared:
    """Return everything that a search needs, given bounds; ``known``: these hold for mappings that cost no more."""
    space, tables, choices, per_word = laid_out.space, laid_out.tables, laid_out.choices, laid_out.per_word
    tensors, levels, dims = len(space.problem.shape.tensors), len(space.levels), len(space.active)
    bounded = [i for i in range(levels) if np.isfinite(space.machine.bandwidth[i]).any()]
    counter = np.full(levels, -1, np.int64)
    counter[bounded] = TRAFFIC + 2 * np.arange(len(bounded))
    tied = any(len(set(joined_axes(axes != 0))) < len(axes) for axes in space.rules.coefficients)
    chain = (LONG_CHAIN if tied else CHAIN) if not space.rules.injective.all() else 0
    distinct = touched(space)
    quickest = float(completion.class_cycles[0].min())  # infinity where there is no completion at all
    by_bandwidth = max(laid_out.by_bandwidth, quickest if math.isfinite(quickest) else 0.0)
    parts = space.fanouts, space.by_model, space.linking, space.divisors, space.keepers
    scene = Scene(
        lattice_of(space),
        tables,
        space.rules,
        space.machine,
        counter,
        _motion(space),
        choices,
        once(space, ("spreads", *parts), lambda: _spreads(space)),
        _sourcing(completion),
        _bounds(space, completion, per_word, distinct, by_bandwidth),
        completion.demands,
        Fan.none(tensors, dims, space.rules.coefficients.shape[1]),
    )
    fans = tuple(_fan(space, level) for level in range(levels))
    least = compulsory(space, tables, per_word, distinct)
    floor = max(least, completion.floor)
    widths = Widths.of(tensors, levels, dims, chain, len(bounded))
    least_cycles = max(laid_out.least_cycles, whole_cycles(by_bandwidth))
    of_any = (least_cycles, floor) if known is None else (laid_out.least_cycles, least)
    return Prepared(space, tables, scene, fans, widths, least_cycles, *of_any, floor)


def _fan(space: Space, level: int) -> Fan:
    parts = space.fanouts[level], space.by_model, space.linking, space.divisors, space.rules, space.keepers
    return once(space, ("fan", level, *parts), lambda: fan_of(space, level)).anew()


def _motion(space: Space) -> Motion:
    rules = space.rules
    everything = np.zeros(len(rules.injective), np.bool_)
    stops = [
        [0 if move == STILL else -1 if move == OWN else move - OWN for move in moves]
        for moves in Movement.of(rules.coefficients, everything, Links.NONE, everything).sliding
    ]
    links = [space.may_link[i:].any() for i in range(len(space.levels) + 1)]
    return Motion(
        np.array(stops, np.int64).reshape(len(rules.injective), len(space.active)),
        np.ascontiguousarray(rules.injective),
        np.array(links, np.bool_),
        slides=not rules.injective.all(),
        long_chains=any(movement.links is Links.ANY for movement in space.movements),
    )


def _choices(space: Space, look: Callable[[], None]) -> Choices:
    """Lay out what storage levels may choose; equal lists of orders are kept once."""
    options = max(len(kept) for kept in space.keepers)
    keepers = [list(row) + [-1] * (options - len(row)) for row in space.keepers]
    first, count, table = _orders(space, look)
    return Choices(
        np.ascontiguousarray(space.least),
        np.ascontiguousarray(space.most),
        np.array(space.most_loops, np.int64),
        np.array(keepers, np.int64),
        first,
        count,
        table,
    )


def _orders(space: Space, look: Callable[[], None]) -> tuple[Ints, Ints, Ints]:
    """List the orders worth trying per level and set of looping dimensions: the first one, how many, and the orders."""
    dims, levels = len(space.active), len(space.levels)
    start, count = np.zeros((levels, 1 << dims), np.int64), np.zeros((levels, 1 << dims), np.int64)
    rows: list[Ints] = []
    known: dict[object, tuple[int, int]] = {}
    used = 0
    for i in range(levels):
        inner, outer, loops = space.pins[i]
        for mask in range(1 << dims):
            looping = tuple(d for d in range(dims) if mask >> d & 1)
            if not loops.issuperset(looping) or len(looping) > space.most_loops[i]:
                continue
            pins = tuple(d for d in inner if d in looping), tuple(d for d in outer if d in looping)
            key = (space.movements[i], looping, pins)
            if key not in known:
                look()
                found = orders(space.movements[i], looping, *pins, look)
                padded = np.full((len(found), dims), -1, np.int64)
                padded[:, : len(looping)] = found
                rows.append(padded)
                known[key] = (used, len(found))
                used += len(found)
            start[i, mask], count[i, mask] = known[key]
    table = np.concatenate(rows) if rows else np.zeros((0, dims), np.int64)
    return start, count, table


def _spreads(space: Space) -> Spreads:
    counts, tensors = np.array([len(rows) for rows in space.fanouts], np.int64), len(space.rules.is_output)
    flat = [row for rows in space.fanouts for row in rows]
    places = [{value: i for i, value in enumerate(divisors)} for divisors in space.divisors]
    shape = len(flat), len(space.active)
    factors = [[places[d][f] for d, f in enumerate(row.factors)] for row in flat]
    apart, again = [np.zeros((0, tensors))], [np.zeros((0, tensors), np.bool_)]
    for level in np.flatnonzero(space.is_spatial).tolist():
        ways, which = ways_of(space, level)
        apart.append((ways.children[:, None] / ways.shared)[which])
        again.append(ways.again[which])
    return Spreads(
        np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
        counts,
        np.array(factors, np.int64).reshape(shape),
        np.array([row.on_y for row in flat], np.bool_).reshape(shape),
        np.array([row.order for row in flat], np.int64).reshape(shape),
        np.ascontiguousarray(np.concatenate(space.by_model)),
        np.concatenate(apart),
        np.concatenate(again),
        np.array([[_keeping(space, i, t) for t in range(tensors)] for i in range(len(space.levels) + 1)], np.int64),
    )


def _keeping(space: Space, level: int, tensor: int) -> int:
    if level == len(space.levels) or space.must_keep[level, tensor]:
        return ALWAYS
    if not space.may_keep[level, tensor]:
        return NEVER
    return NOTED if is_noted(space, level, tensor) else UNKNOWN


def _sourcing(completion: Completion) -> Sourcing:
    steps = completion.sources.next
    return Sourcing(
        np.cumsum([0, *(step.size for step in steps)])[: len(steps)].astype(np.int64),
        np.array([step.shape[1] for step in steps], np.int64),
        np.concatenate([step.ravel() for step in steps]),
    )


def _bounds(space: Space, completion: Completion, per_word: Floats, distinct: Floats, by_bandwidth: float) -> Bounds:
    holds = [[mask & idle == mask for idle in completion.idle] for mask in range(1 << len(distinct))]
    set_of = [-1 if mask == 0 or True not in row else row.index(True) for mask, row in enumerate(holds)]
    return Bounds(
        completion.outlook,
        completion.least,
        completion.class_cycles,
        completion.place,
        completion.count,
        np.array(GRID),
        np.array(set_of, np.int64),
        completion.serves,
        np.concatenate([np.cumsum(space.machine.leakage[::-1])[::-1], [0.0]]),
        per_word,
        distinct,
        words_asked(space),
        float(completion.slack),
        float(completion.slack_cycles),
        float(by_bandwidth),
    )
