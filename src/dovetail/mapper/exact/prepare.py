"""Gets a mapspace ready for the search: its tables, its lower bounds, all of it packed for compiled code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dovetail.hardware.architecture import Storage
from dovetail.mapper.exact import expand
from dovetail.mapper.exact import pack as P  # noqa: N812 - the header's names are read like columns
from dovetail.mapper.exact.completion import GRID, MOST_ENTRIES, Completion, Lattice, build_completion
from dovetail.mapper.exact.orders import OWN, STILL, Links, Movement, joined_axes, orders
from dovetail.mapper.exact.pack import Pack, pack
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.tables import Tables, build_tables
from dovetail.model.arrays import Bools, Floats, Ints

#: Loops remembered for tensors that slide, and for those with axes that share dimensions.
CHAIN, LONG_CHAIN = 12, 24


@dataclass(frozen=True)
class Prepared:
    """A mapspace ready for the search.

    Attributes:
        space: the mapspace.
        tables: what is known of every tile.
        packed: both for compiled code.
        columns: columns of key, real, value and path.
        least_cycles: cycles of any mapping, given parallelism and bandwidth.
        compulsory_pJ: energy of any mapping: the most that is known of moving and computing (leakage aside).
    """

    space: Space
    tables: Tables
    packed: Pack
    columns: tuple[int, int, int, int]
    least_cycles: int
    compulsory_pJ: float


def prepare(space: Space, most_entries: int = MOST_ENTRIES) -> Prepared:
    """Return everything that the search over a space needs; with so many tabulated least energies at most, about.

    Raises:
        OutOfReach: tabulating would take minutes.
    """
    tables = build_tables(space)
    tensors, levels, dims = len(space.problem.shape.tensors), len(space.levels), len(space.active)
    bounded = [i for i in range(levels) if np.isfinite(space.machine.bandwidth[i]).any()]
    sliding = not space.rules.injective.all()
    tied = any(len(set(joined_axes(axes != 0))) < len(axes) for axes in space.rules.coefficients)
    chain = (LONG_CHAIN if tied else CHAIN) if sliding else 0
    per_word = _words_prices(space)
    completion = build_completion(space, tables, per_word, most_entries)
    distinct = np.array([_touched(space, t) for t in range(tensors)])
    by_bandwidth = cycles_by_bandwidth(space)
    sizes = {
        P.TENSORS: tensors,
        P.LEVELS: levels,
        P.DIMS: dims,
        P.AXES: space.rules.coefficients.shape[1],
        P.CHAIN: chain,
        P.WIDTH: completion.lattice.width,
        P.OPTIONS: max(len(options) for options in space.keepers),
        P.TILES: space.tiles,
        P.MACS: space.problem.macs,
        P.SLIDING: int(sliding),
        P.LONG_CHAINS: int(any(movement.links is Links.ANY for movement in space.movements)),
        P.SETS: len(completion.idle),
        P.POINTS: len(GRID),
    }
    counter = np.full(levels, -1, np.int64)
    counter[bounded] = expand.TRAFFIC + 2 * np.arange(len(bounded))
    packed = pack(
        sizes,
        {
            **_lattice_tables(space, completion.lattice),
            **_loop_tables(space, sizes[P.OPTIONS]),
            **_order_tables(space),
            **_fanout_tables(space),
            **_model_tables(space),
            P.COUNTER: counter,
            P.WORDS: tables.words,
            P.VOLUME: tables.volume,
            P.PARALLELISM: tables.parallelism,
            P.PARTIAL: tables.partial,
            P.LEAK_INSIDE: np.concatenate([np.cumsum(space.machine.leakage[::-1])[::-1], [0.0]]),
            P.COMPUTE_PJ: [space.machine.compute_pJ],
            P.DISTINCT: distinct,
            P.CYCLES_LEAST: [by_bandwidth],
            **_completion_tables(space, completion),
        },
        completion.least,
    )
    columns = expand.columns(tensors, levels, dims, chain, len(bounded))
    compulsory = max(_compulsory(space, tables, per_word, distinct), completion.floor)
    parallel = max(1, int(tables.parallelism[0, -1]))
    least_cycles = whole_cycles(max(space.problem.macs / parallel, by_bandwidth))
    return Prepared(space, tables, packed, columns, least_cycles, compulsory)


def whole_cycles(least: float) -> int:
    """Return the fewest whole cycles that are no less than so many, but for rounding."""
    return math.ceil(least * (1 - 1e-12))


def _lattice_tables(space: Space, lattice: Lattice) -> dict[int, Ints]:
    counts = np.array([len(divisors) for divisors in space.divisors], np.int64)
    return {P.DIVISORS: lattice.factor, P.COUNT: counts, P.RADIX: lattice.radix, P.QUOTIENT: lattice.quotient}


def _loop_tables(space: Space, options: int) -> dict[int, Ints | Bools]:
    keepers = [list(row) + [-1] * (options - len(row)) for row in space.keepers]
    return {
        P.LEAST: space.least,
        P.MOST: space.most,
        P.MOST_LOOPS: np.array(space.most_loops, np.int64),
        P.KEEPERS: np.array(keepers, np.int64),
    }


def _order_tables(space: Space) -> dict[int, Ints]:
    """List the orders worth trying per level and set of looping dimensions; equal lists are kept once."""
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
                found = orders(space.movements[i], looping, *pins)
                padded = np.full((len(found), dims), -1, np.int64)
                padded[:, : len(looping)] = found
                rows.append(padded)
                known[key] = (used, len(found))
                used += len(found)
            start[i, mask], count[i, mask] = known[key]
    table = np.concatenate(rows) if rows else np.zeros((0, dims), np.int64)
    return {P.ORDER_START: start, P.ORDER_COUNT: count, P.ORDERS: table}


def _fanout_tables(space: Space) -> dict[int, Ints | Bools]:
    counts = np.array([len(rows) for rows in space.fanouts], np.int64)
    flat = [row for rows in space.fanouts for row in rows]
    places = [{value: i for i, value in enumerate(divisors)} for divisors in space.divisors]
    return {
        P.FANOUT_START: np.concatenate([[0], np.cumsum(counts)[:-1]]),
        P.FANOUT_COUNT: counts,
        P.FANOUTS: np.array([[places[d][f] for d, f in enumerate(row.factors)] for row in flat], np.int64),
        P.FANOUT_Y: np.array([row.on_y for row in flat], np.bool_),
        P.FANOUT_ORDER: np.array([row.order for row in flat], np.int64),
    }


def _model_tables(space: Space) -> dict[int, Ints | Bools | Floats]:
    rules, machine = space.rules, space.machine
    everything = np.zeros(len(rules.injective), np.bool_)
    stops = [
        [0 if move == STILL else -1 if move == OWN else move - OWN for move in moves]
        for moves in Movement.of(rules.coefficients, everything, Links.NONE).sliding
    ]
    links = [space.may_link[i:].any() for i in range(len(space.levels) + 1)]
    return {
        P.STOPS: np.array(stops, np.int64),
        P.LINKS_INSIDE: np.array(links),
        P.BY_MODEL: np.concatenate(space.by_model),
        P.COEFFICIENTS: rules.coefficients,
        P.INJECTIVE: rules.injective,
        P.OUTPUT: rules.is_output,
        P.NO_MULTICAST: rules.no_multicast,
        P.NO_REUSE: rules.no_reuse,
        P.READ_FIRST: rules.read_first,
        P.BLOCK: machine.block[:, 0],
        P.CAPACITY: machine.capacity,
        P.CLUSTERS: machine.clusters,
        P.ENERGY_OF: np.column_stack([machine.energy[:, 0], machine.leakage]),
        P.BANDWIDTH: machine.bandwidth,
    }


def _words_prices(space: Space) -> Floats:
    """Return ``(levels, 3)``: the least pJ per word read, written from outside, written from inside.

    Instances that share a line cost no more energy than there are lines.
    """
    per_word = np.zeros((len(space.levels), 3))
    for i, (level, used) in enumerate(zip(space.levels, space.most_instances, strict=False)):
        if isinstance(level, Storage):
            together = min(1.0, int(space.machine.clusters[i]) / used)
            per_word[i] = space.machine.energy[i, 0] / space.machine.block[i, 0] * together
    return per_word


def cycles_by_bandwidth(space: Space, first: int | None = None) -> float:
    """Return the cycles that any mapping takes: every keeper passes on every word of a tensor once, at least.

    Args:
        space: the mapspace.
        first: so many outermost levels only; None: all.
    """
    distinct = np.array([_touched(space, t) for t in range(len(space.rules.is_output))])
    cycles = 0.0
    for i, (kept, used) in enumerate(zip(space.keepers[:first], space.most_instances, strict=False)):
        if space.is_spatial[i]:
            continue
        must = np.array([all(row >> t & 1 for row in kept) for t in range(len(distinct))])
        reads = distinct[must & ~space.rules.is_output].sum() / used
        writes = distinct[must & space.rules.is_output].sum() / used
        read, write, both = space.machine.bandwidth[i]
        cycles = max(cycles, reads / read, writes / write, (reads + writes) / both)
    return float(cycles)


def _completion_tables(space: Space, completion: Completion) -> dict[int, ArrayLike]:
    tensors, levels = len(space.rules.is_output), len(space.levels)
    holds = [[mask & idle == mask for idle in completion.idle] for mask in range(1 << tensors)]
    steps = completion.sources.next
    return {
        P.SET_OF: [-1 if mask == 0 or True not in row else row.index(True) for mask, row in enumerate(holds)],
        P.SERVES: completion.lattice.idle,
        P.NEXT: np.cumsum([0, *(step.size for step in steps)])[:levels],
        P.NEXT_WIDTH: [step.shape[1] for step in steps],
        P.NEXTS: np.concatenate([step.ravel() for step in steps]),
        P.PLACE: completion.place,
        P.PLACES: completion.count,
        P.LEAST_START: completion.start,
        P.GRID: GRID,
        P.SLACK: [completion.slack],
    }


def _compulsory(space: Space, tables: Tables, per_word: Floats, distinct: Floats) -> float:
    """Return the pJ of computing, and of moving every tensor once into every level that must keep it."""
    energy = float(space.problem.macs) * space.machine.compute_pJ
    for t, is_output in enumerate(space.rules.is_output):
        must = [
            i for i, kept in enumerate(space.keepers) if not space.is_spatial[i] and all(row >> t & 1 for row in kept)
        ]
        energy += _fed(space, tables, t, must[-1], per_word)
        for i in must:
            if is_output:
                energy += distinct[t] * per_word[i, 2] * (i != must[-1])
            else:
                energy += distinct[t] * (per_word[i, 1] * (i > 0) + per_word[i, 0] * (i != must[-1]))
    return energy


def _fed(space: Space, tables: Tables, tensor: int, last: int, per_word: Floats) -> float:
    """Return the least pJ of the accesses that computing itself asks of a tensor's innermost keeper."""
    asked = space.problem.macs / _most_shared(space, last)
    if space.may_link[-1, tensor]:
        asked = min(asked, _touched(space, tensor))
    keepers = [i for i in range(last, len(space.levels)) if any(kept >> tensor & 1 for kept in space.keepers[i])]
    if not space.rules.is_output[tensor]:
        return float(min(asked * per_word[i, 0] for i in keepers))
    held = float(tables.parallelism[0].max()) * float(tables.words[tensor, -1])
    return float(min(asked * per_word[i, 2] + max(0.0, asked - held) * per_word[i, 0] for i in keepers))


def _most_shared(space: Space, last: int) -> int:
    """Return how many compute units at most one word of the innermost keeper can serve at a time."""
    used = space.most_instances
    return used[-1] // used[last]


def _touched(space: Space, tensor: int) -> float:
    """Return how many different words of a tensor the problem touches (at least)."""
    axes = space.rules.coefficients[tensor]
    tied = np.array(joined_axes(axes != 0), np.int64)
    touched = 1
    for first in dict.fromkeys(tied.tolist()):
        together = axes[tied == first]
        alone = np.where((together != 0).sum(axis=0) == 1, together, 0)  # with the others standing still
        each = [_different(space, axis) for axis in together]
        touched *= max(*each, math.prod(_different(space, axis) for axis in alone))
    return float(touched)


def _different(space: Space, axis: Ints) -> int:
    """Return how many different places on an axis the problem touches (at least)."""
    sizes = sorted((space.divisors[d][-1], int(axis[d])) for d in range(len(space.active)) if axis[d])
    if len(sizes) < 2:
        return sizes[0][0] if sizes else 1
    (n, a), (m, b) = sizes[-1], sizes[-2]
    g = math.gcd(a, b)
    return n * m - max(0, n - b // g) * max(0, m - a // g)
