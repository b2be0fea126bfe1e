"""Gets a mapspace ready for the search: its tables, its lower bounds, all of it packed for compiled code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dovetail.hardware.architecture import Storage
from dovetail.mapper import expand
from dovetail.mapper import pack as P  # noqa: N812 - the header's names are read like columns
from dovetail.mapper.orders import OWN, STILL, Links, Movement, orders
from dovetail.mapper.pack import Pack, pack
from dovetail.mapper.space import Fanout, Space
from dovetail.mapper.tables import Tables, build_tables
from dovetail.model.arrays import Bools, Floats, Ints

#: Loops remembered for tensors that slide.
CHAIN = 12


@dataclass(frozen=True)
class Prepared:
    """A mapspace ready for the search.

    Attributes:
        space: the mapspace.
        tables: what is known of every tile.
        packed: both for compiled code.
        columns: columns of key, real, value and path.
        compulsory_pJ: energy of any mapping: computing, and moving tensors once into every level that must keep them.
    """

    space: Space
    tables: Tables
    packed: Pack
    columns: tuple[int, int, int, int]
    compulsory_pJ: float


def prepare(space: Space) -> Prepared:
    """Return everything that the search over a space needs."""
    tables = build_tables(space)
    tensors, levels, dims = len(space.problem.shape.tensors), len(space.levels), len(space.active)
    bounded = [i for i in range(levels) if np.isfinite(space.machine.bandwidth[i]).any()]
    sliding = not space.rules.injective.all()
    chain = CHAIN if sliding else 0
    bounds = _lower_bounds(space, tables)
    sizes = {
        P.TENSORS: tensors,
        P.LEVELS: levels,
        P.DIMS: dims,
        P.AXES: space.rules.coefficients.shape[1],
        P.CHAIN: chain,
        P.WIDTH: max((len(divisors) for divisors in space.divisors), default=1),
        P.OPTIONS: max(len(options) for options in space.keepers),
        P.TILES: space.tiles,
        P.MACS: space.problem.macs,
        P.SLIDING: int(sliding),
        P.EXCLUSIVE: int(((space.rules.coefficients != 0).any(axis=1).sum(axis=0) >= tensors - 1).all()),
        P.LONG_CHAINS: int(any(movement.links is Links.ANY for movement in space.movements)),
    }
    registers = _registers(space, tables, bounds)
    sizes[P.ARRAY] = registers.array
    counter = np.full(levels, -1, np.int64)
    counter[bounded] = expand.TRAFFIC + 2 * np.arange(len(bounded))
    packed = pack(
        sizes,
        {
            **_lattice_tables(space),
            **_loop_tables(space, sizes[P.OPTIONS]),
            **_order_tables(space),
            **_fanout_tables(space),
            **_model_tables(space),
            P.COUNTER: counter,
            P.WORDS: tables.words,
            P.VOLUME: tables.volume,
            P.PARALLELISM: tables.parallelism,
            P.PARTIAL: tables.partial,
            P.AGAIN: tables.again,
            P.MORE: bounds.more,
            P.PER_WORD: bounds.per_word,
            P.INSIDE: bounds.inside,
            P.LEAK_INSIDE: bounds.leak_inside,
            P.DISTINCT: bounds.distinct,
            P.COMPUTE_LEAST: [bounds.compute],
            P.COMPUTE_PJ: [space.machine.compute_pJ],
            P.REGISTER: registers.has,
            P.CHANGING: registers.changing,
            P.CHANGE_FROM: registers.change_from,
            P.CHANGE_HELD: [registers.held],
        },
    )
    columns = expand.columns(tensors, levels, dims, chain, len(bounded))
    return Prepared(space, tables, packed, columns, bounds.compute + _moved_once(bounds))


def _lattice_tables(space: Space) -> dict[int, Ints]:
    width = max((len(divisors) for divisors in space.divisors), default=1)
    dims = len(space.divisors)
    table = np.zeros((dims, width), np.int64)
    quotient = np.full((dims, width, width), -1, np.int64)
    for d, divisors in enumerate(space.divisors):
        table[d, : len(divisors)] = divisors
        place = {value: i for i, value in enumerate(divisors)}
        for i, a in enumerate(divisors):
            for j, b in enumerate(divisors):
                if a % b == 0:
                    quotient[d, i, j] = place[a // b]
    counts = np.array([len(divisors) for divisors in space.divisors], np.int64)
    return {P.DIVISORS: table, P.COUNT: counts, P.RADIX: np.array(space.radix, np.int64), P.QUOTIENT: quotient}


def _loop_tables(space: Space, options: int) -> dict[int, Ints | Bools]:
    keepers = [list(row) + [-1] * (options - len(row)) for row in space.keepers]
    return {
        P.SPATIAL: np.array(space.is_spatial),
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
        P.BY_MODEL: space.by_model,
        P.COEFFICIENTS: rules.coefficients,
        P.INJECTIVE: rules.injective,
        P.OUTPUT: rules.is_output,
        P.NO_MULTICAST: rules.no_multicast,
        P.NO_REUSE: rules.no_reuse,
        P.READ_FIRST: rules.read_first,
        P.BLOCK: machine.block,
        P.CAPACITY: machine.capacity,
        P.CLUSTERS: machine.clusters,
        P.ENERGY_OF: machine.energy,
        P.BANDWIDTH: machine.bandwidth,
    }


@dataclass(frozen=True)
class _Bounds:
    """Lower bounds; see the places of the same names in `dovetail.mapper.pack`."""

    per_word: Floats
    inside: Floats
    more: Bools
    compute: float
    leak_inside: Floats
    distinct: Floats


def _lower_bounds(space: Space, tables: Tables) -> _Bounds:
    levels, tensors = len(space.levels), len(space.rules.is_output)
    per_word = np.zeros((levels, 3))
    for i, level in enumerate(space.levels):
        if isinstance(level, Storage):
            per_word[i] = space.machine.energy[i, :3] / space.machine.block[i] / level.cluster_size
    inside, more = np.zeros((levels + 1, tensors)), np.zeros((levels + 1, tensors), np.bool_)
    compute = float(space.problem.macs) * space.machine.compute_pJ
    for t in range(tensors):
        must = [not space.is_spatial[i] and all(kept >> t & 1 for kept in space.keepers[i]) for i in range(levels)]
        last = max(i for i in range(levels) if must[i])
        for i in range(levels - 1, -1, -1):
            more[i, t] = more[i + 1, t] or must[i]
            inside[i, t] = inside[i + 1, t]
            if must[i] and space.rules.is_output[t]:
                inside[i, t] += per_word[i, 2] if i != last else 0.0
            elif must[i]:
                inside[i, t] += per_word[i, 1] + (per_word[i, 0] if i != last else 0.0)
        compute += _fed(space, tables, t, last, per_word)
    leak = np.concatenate([np.cumsum(space.machine.energy[::-1, 3])[::-1], [0.0]])
    return _Bounds(per_word, inside, more, compute, leak, np.array([_touched(space, t) for t in range(tensors)]))


@dataclass(frozen=True)
class _Registers:
    """Tensors whose innermost keeper holds one word; see the places of the same names in `dovetail.mapper.pack`."""

    has: Bools
    array: int
    changing: Floats
    change_from: Floats
    held: float


def _registers(space: Space, tables: Tables, bounds: _Bounds) -> _Registers:
    """Return the bound that one-word registers give, where every dimension moves all tensors but one at most."""
    levels, tensors = len(space.levels), len(space.rules.is_output)
    has = np.zeros(tensors, np.bool_)
    change_from = np.zeros((levels, tensors))
    held = 0.0
    moves = (space.rules.coefficients != 0).any(axis=1)
    linked: Bools = np.asarray(space.may_link.any(axis=0))
    for t in range(tensors):
        must = [i for i in range(levels) if not space.is_spatial[i] and all(k >> t & 1 for k in space.keepers[i])]
        feasible = tables.words[t][tables.parallelism[must[-1]] > 0]
        has[t] = len(must) > 1 and feasible.max(initial=1) == 1 and not linked[t] and not space.rules.read_first.any()
        # Steps that move a sliding window back to where it was cost nothing; they are never more than half of all.
        share = 1.0 if space.rules.injective[t] else 0.5
        for i in range(must[-1]):
            from_here = [k for k in range(i, must[-1]) if k == i or any(kept >> t & 1 for kept in space.keepers[k])]
            if len(must) > 1 and must[-2] > i:
                from_here = [k for k in from_here if k >= must[-2]]
            if space.rules.is_output[t]:
                price = min(bounds.per_word[k, 2] + bounds.per_word[k, 0] for k in from_here)
            else:
                price = min(bounds.per_word[k, 0] for k in from_here) + bounds.per_word[must[-1], 1]
            change_from[i, t] = share * price
        if has[t] and space.rules.is_output[t]:
            held += bounds.per_word[:, 0].max() * float(tables.parallelism[0].max()) * float(tables.words[t, -1])
    arrays = [i for i in range(levels) if space.is_spatial[i] and len(space.fanouts[i]) > 1]
    if has.sum() < 2 or not (moves.sum(axis=0) >= tensors - 1).all() or len(arrays) > 1:
        return _Registers(np.zeros(tensors, np.bool_), -1, np.zeros(space.tiles), change_from, 0.0)
    array = arrays[0] if arrays else -1
    least = np.full(space.tiles, np.inf)
    for row in space.fanouts[array] if arrays else ():
        prices = [_fed_through(space, bounds, t, array, row, change_from) for t in range(tensors) if has[t]]
        cost = max(0.0, space.problem.macs * (sum(prices) - max(prices)) - held)
        fits = np.ones(space.tiles, np.bool_)
        for divisors, radix, factor in zip(space.divisors, space.radix, row.factors, strict=True):
            fits &= np.array([size % factor == 0 for size in divisors])[
                (np.arange(space.tiles) // radix) % len(divisors)
            ]
        least[fits] = np.minimum(least[fits], cost)
    return _Registers(has, array, np.where(np.isinf(least), 0.0, least), change_from, held)


def _fed_through(space: Space, bounds: _Bounds, tensor: int, array: int, row: Fanout, change_from: Floats) -> float:
    """Return the least pJ of sending a register one word when the fan-out is used so, per step of one compute unit."""
    keepers = [i for i in range(len(space.levels)) if any(kept >> tensor & 1 for kept in space.keepers[i])]
    must = [i for i in keepers if all(kept >> tensor & 1 for kept in space.keepers[i])]
    sources = [i for i in keepers if i < must[-1] and i >= must[-2]]
    shared = math.prod(f for d, f in enumerate(row.factors) if not space.rules.coefficients[tensor, :, d].any())
    prices = []
    for i in sources:
        one = change_from[i, tensor]
        if i < array < must[-1] and not space.rules.no_multicast[array, tensor]:
            write = 0.0 if space.rules.is_output[tensor] else bounds.per_word[must[-1], 1]
            one = (one - write) / shared
        prices.append(one)
    return float(min(prices))


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
    used = [max((math.prod(row.factors) for row in rows), default=1) for rows in space.fanouts[last:]]
    return math.prod(used)


def _touched(space: Space, tensor: int) -> float:
    """Return how many different words of a tensor the problem touches (at least)."""
    touched = 1
    for axis in space.rules.coefficients[tensor]:
        sizes = sorted((space.divisors[d][-1], int(axis[d])) for d in range(len(space.active)) if axis[d])
        if len(sizes) == 1:
            touched *= sizes[0][0]
        elif sizes:
            (n, a), (m, b) = sizes[-1], sizes[-2]
            g = math.gcd(a, b)
            touched *= n * m - max(0, n - b // g) * max(0, m - a // g)
    return float(touched)


def _moved_once(bounds: _Bounds) -> float:
    """Return the pJ of moving every tensor once from the outermost level into every level that must keep it."""
    once = bounds.inside[1] + np.where(bounds.more[1], np.minimum(bounds.per_word[0, 0], bounds.per_word[0, 2]), 0.0)
    return float((bounds.distinct * once).sum())
