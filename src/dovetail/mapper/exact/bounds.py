"""What no completion of a partial mapping goes below, in energy and in cycles; and whether it is worth following."""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math
from typing import NamedTuple

from dovetail.mapper.exact import vectors as of
from dovetail.mapper.exact.completion import EXACT, ROUNDING
from dovetail.mapper.exact.demands import Demands
from dovetail.mapper.exact.goal import FRONT, Goal, hopeless, objective_value
from dovetail.mapper.exact.packed import block
from dovetail.mapper.exact.reuse import reuse_of
from dovetail.mapper.exact.rows import (
    BY,
    COUNTED,
    CYCLES,
    ENERGY,
    GIVEN,
    INSTANCES,
    KEEPER,
    KEEPER_INSTANCES,
    KEEPER_PART,
    LEAK,
    LINKED,
    PART,
    PASSED,
    SENT,
    SHARE,
    SHARED,
    SOURCE,
    TAKEN,
    TILE,
    Row,
    Scratch,
    of_tensor,
)
from dovetail.mapper.exact.scene import ALWAYS, NEVER, UNKNOWN, Bounds, Motion, Scene
from dovetail.model.arrays import Bools, Floats, Ints, Singles
from dovetail.model.charges import READ, UPDATE, bandwidth_taken, cycles_taken
from dovetail.model.compile import part

# First axis of `Scratch.prices`: pJ per word asked on a visit; words that an instance of the keeper sends for a word
# that a child asks; words that it sends once at least; share of visits that fetch a tensor after the loops outside a
# level, and after those of the level; words that a keeper's instance has yet to send.
# Where the model counts the fan-out just passed, what is sent if the level inside keeps a tensor: pJ per visit (below
# 0: not known) and words in all; and whether that level may let it pass.
WORD, TIMES, DISTINCT, OPEN_VISITS, VISITS, ASKED, HELD_PJ, HELD, MAY_PASS = range(9)


class Known(NamedTuple):
    """What the loops of a storage level do not change of a partial mapping that entered it.

    Attributes:
        leak: pJ of leakage per cycle.
        slowest: cycles of any completion, computing aside.
        copies: instances that sum up parts of the same outputs; 0 where the levels inside have no demands.
        unread: pJ by which what is first written, and not read before, undercuts `WORD` over the whole run; 0 likewise.
    """

    leak: float
    slowest: float
    copies: float
    unread: float


@part()
def as_slow(known: Known, cycles: float) -> Known:
    """Return what is known with so many cycles of any completion."""
    return Known(known.leak, cycles, known.copies, known.unread)


@part()
def open_set(motion: Motion, set_of: Ints, key: Ints) -> tuple[int, float]:
    """Return the idle set that the loops so far leave in place (-1: none), and the share of visits that fetch it."""
    idle, longest = 0, 1
    for tensor in range(motion.injective.shape[0]):
        reuse = reuse_of(motion, key, tensor)
        if reuse > 1:
            idle |= 1 << tensor
            longest = max(longest, reuse)
    return set_of[idle], 1.0 / longest


@part()
def least_at(bounds: Bounds, level: int, source: int, tile: int) -> int:
    """Return where the least energies of completing a tile from a level on begin, or -1 when nothing completes it."""
    place = bounds.place[level, tile]
    if place < 0:
        return -1
    packed = bounds.least
    width = block(packed.slots[level], bounds.serves.shape[0])
    return packed.start[level] + (source * bounds.places[level] + place) * width


@part()
def slots_at(bounds: Bounds, level: int, at: int, idle: int, share: float) -> tuple[int, int, int, float]:
    """Return where the slots begin when a set of tensors is fetched at a share of the visits, and how long one is.

    With them the place of the least energy in a slot, and the weight of the one before it, 0 where it does not count.
    """
    grid, slots = bounds.grid, bounds.least.slots[level]
    if idle < 0 or share >= 1.0:
        return at, 2, 1, 0.0
    k = 1
    while share < grid[k]:
        k += 1
    weight, points = (share - grid[k]) / (grid[k - 1] - grid[k]), grid.shape[0]
    return at + slots * (2 + idle * (1 + points)), 1 + points, 1 + k, weight


@part()
def lowered(tabulated: float) -> float:
    """Return what the tables say, by as much lower as they may be too high: what is below 0 goes further down."""
    return tabulated * (1 - math.copysign(ROUNDING, tabulated))


@part()
def energy_at(least: Singles, at: int, weight: float) -> float:
    """Return the least pJ per visit between two points of the grid; infinity where there is none."""
    between = weight > 0.0 and least[at] < math.inf
    return lowered(least[at] + weight * (least[at - 1] - least[at]) if between else least[at] + 0.0)


@part()
def price_words(scene: Scene, level: int, row: Row, prices: Floats) -> tuple[float, float]:
    """Fill in what a visit of a tile's words cost at their keepers, and how many of them a keeper sends.

    ``level``: the levels outside it are decided.
    Returns `Known.copies`, at least 1: the model rounds parts down; and `Known.unread`.
    """
    key, real, rules = row.key, row.real, scene.rules
    tensors, instances = real.shape[1], row.key[INSTANCES]
    copies, unread, visits = 1.0, 0.0, scene.tiles.volume[-1] / scene.tiles.volume[key[TILE]]
    for t in range(tensors):
        keeper, used = key[of_tensor(KEEPER, t, tensors)], key[of_tensor(KEEPER_INSTANCES, t, tensors)]
        times = real[SHARED, t]
        held, keeping = -1.0, scene.spreads.keeping[level, t]
        if real[COUNTED, t] < 0:
            held = times * real[SENT, t] if real[SENT, t] > 0 and keeping != NEVER else -1.0
            times *= real[PASSED, t]
        elif real[COUNTED, t] > 0 and keeping != UNKNOWN:
            held = -1.0 if keeping == NEVER else times * real[SENT, t]
            times *= real[PASSED, t]
        elif real[COUNTED, t] > 0:
            times *= min(real[PASSED, t], real[SENT, t] / (real[SHARE, t] + real[LINKED, t] / real[COUNTED, t]))
        word = scene.bounds.price[keeper, t, READ]
        if rules.is_output[t]:
            part_now = key[of_tensor(PART, t, tensors)]
            copies = max(copies, instances * part_now / max(1, rules.touched[t]))
            if not rules.read_first[keeper, t]:
                unread += word * key[of_tensor(KEEPER_PART, t, tensors)] * used
            word += scene.bounds.price[keeper, t, UPDATE]
        prices[WORD, t] = word * times * used / instances
        prices[TIMES, t], prices[HELD, t] = times, held
        prices[HELD_PJ, t] = word * held * used / visits
        prices[MAY_PASS, t] = keeping != ALWAYS
    return copies, unread


@part()
def share_visits(motion: Motion, key: Ints, shares: Floats) -> None:
    """Fill in ``(tensors,)`` at which share of a tile's visits the loops so far have a tensor fetched."""
    for t in range(shares.shape[0]):
        shares[t] = 1.0 / reuse_of(motion, key, t)


@part()
def price_vector(demands: Demands, k: int, prices: Floats, copies: float) -> float:
    """Return the pJ per visit of a tile that a vector of demands comes to."""
    vector, tensors = demands.vectors[k], prices.shape[1]
    cost = vector[2 * tensors + of.ENERGY] + vector[2 * tensors + of.PER_COPY] * copies
    pending = demands.pending[k]
    for t in range(tensors):
        share = prices[VISITS, t] if pending >> t & 1 else 1.0
        asked = share * (vector[t] * prices[WORD, t])
        if prices[HELD_PJ, t] >= 0:
            asked = if_held(pending, t, tensors, prices, asked, prices[HELD_PJ, t])
        cost += asked + share * vector[tensors + t]
    return cost


@part(inline=True)
def if_held(pending: int, t: int, tensors: int, prices: Floats, passed: float, held: float) -> float:
    """Return what is sent of a tensor: less if a vector may be of completions whose next level keeps it, or as much."""
    if prices[MAY_PASS, t] == 0:
        return held
    return min(held, passed) if pending >> (tensors + t) & 1 else passed


@part()
def least_inside(demands: Demands, level: int, tile: int, prices: Floats, copies: float) -> float:
    """Return the least pJ of all levels inside a boundary that has demands."""
    best = math.inf
    for k in range(demands.start[level, tile], demands.end[level, tile]):
        best = min(best, price_vector(demands, k, prices, copies))
    return best


@part()
def known_of(scene: Scene, level: int, row: Row, prices: Floats) -> Known:
    """Return what the next loops do not change, given how much is decided outside ``level``; fills in prices of it."""
    tensors, copies, unread = prices.shape[1], 0.0, 0.0
    for t in range(tensors):  # every keeper passes on every word of a tensor once, at least
        prices[DISTINCT, t] = scene.bounds.distinct[t] / row.key[of_tensor(KEEPER_INSTANCES, t, tensors)] - 1
        prices[ASKED, t] = prices[DISTINCT, t]
    slowest = least_cycles(scene, row, 0.0, prices)
    if level >= scene.demands.outermost:
        copies, unread = price_words(scene, level, row, prices)
    leak = row.value[LEAK] + scene.bounds.leak_inside[level] * row.key[INSTANCES]
    return Known(leak, slowest, copies, unread)


@part()
def least_cycles(scene: Scene, row: Row, steps: float, prices: Floats) -> float:
    """Return the least cycles that any completion takes, of which ``steps`` are for computing.

    ``prices`` has, under `ASKED`, the words that one instance of every keeper has yet to pass on.
    """
    key, value, tensors = row.key, row.value, row.real.shape[1]
    cycles = max(value[CYCLES], steps, scene.bounds.cycles)
    for level in range(scene.counter.shape[0]):
        place = scene.counter[level]
        if place < 0:
            continue
        reads, writes = value[place + TAKEN], value[place + GIVEN]
        for tensor in range(tensors):
            if key[of_tensor(KEEPER, tensor, tensors)] == level:  # has yet to pass it on
                least = bandwidth_taken(scene.machine, level, tensor, prices[ASKED, tensor])
                if scene.rules.is_output[tensor]:
                    writes += least
                    again = prices[ASKED, tensor] - key[of_tensor(KEEPER_PART, tensor, tensors)]
                    reads += bandwidth_taken(scene.machine, level, tensor, max(0.0, again))
                else:
                    reads += least
        cycles = max(cycles, cycles_taken(scene.machine, level, reads, writes))
    return cycles


@part()
def least_to_bring(scene: Scene, row: Row, tile: int, steps: float, prices: Floats) -> float:
    """Return the least cycles of any completion, given the tile that it completes outside all fan-outs.

    Whatever keeps the tile further in, its words are asked for at every visit that the loops outside do not spare
    (`VISITS`). ``steps``: cycles for computing.
    """
    visits = scene.tiles.volume[-1] / scene.tiles.volume[tile]
    for t in range(prices.shape[1]):
        asked = scene.bounds.brought[t, tile] * visits * prices[VISITS, t] * (1 - EXACT) - 1
        prices[ASKED, t] = max(asked, prices[DISTINCT, t])
    return max(steps, least_cycles(scene, row, steps, prices) - scene.bounds.slack_cycles)


@part()
def least_of(scene: Scene, level: int, row: Row, prices: Floats) -> float:
    """Return the least pJ, but for leakage, that any completion can have; the levels outside ``level`` are decided."""
    bounds, tiles, tile = scene.bounds, scene.tiles, row.key[TILE]
    visits = tiles.volume[-1] / tiles.volume[tile]
    if level >= scene.demands.outermost:
        copies, unread = price_words(scene, level, row, prices)
        share_visits(scene.motion, row.key, prices[VISITS])
        inside = visits * least_inside(scene.demands, level, tile, prices, copies)
        return row.value[ENERGY] + inside * (1 - EXACT) - unread - bounds.slack
    at = least_at(bounds, level, row.path[SOURCE], tile)
    if at < 0:
        return math.inf
    idle, share = open_set(scene.motion, bounds.set_of, row.key)
    slot, apart, point, weight = slots_at(bounds, level, at, idle, share)
    best = math.inf
    for _ in range(bounds.least.slots[level]):
        if bounds.least.least[slot] < 0:
            break
        best = min(best, energy_at(bounds.least.least, slot + point, weight))
        slot += apart
    return row.value[ENERGY] + visits * best - bounds.slack


@part()
def bound_of(scene: Scene, goal: Goal, level: int, row: Row, prices: Floats) -> tuple[float, float]:
    """Return the least (energy, cycles) that any completion can have; the levels outside ``level`` are decided."""
    if scene.tiles.parallelism[level, row.key[TILE]] == 0:
        return math.inf, math.inf
    return bound_within(scene, goal, level, row, known_of(scene, level, row, prices), prices)


@part()
def bound_within(scene: Scene, goal: Goal, level: int, row: Row, known: Known, prices: Floats) -> tuple[float, float]:
    """Return what `bound_of` does, given what loops just chosen did not change.

    Where the levels inside have demands, that is of the vector that the goal likes best: no other one helps if that one
    does not.
    """
    parallel = scene.tiles.parallelism[level, row.key[TILE]]
    if parallel == 0:
        return math.inf, math.inf
    slowest = max(known.slowest, scene.tiles.volume[-1] / (row.key[INSTANCES] * parallel))
    if level >= scene.demands.outermost:
        share_visits(scene.motion, row.key, prices[VISITS])
        return best_demand(scene, goal, level, row, as_slow(known, slowest), prices)
    energy, cycles = best_class(scene, goal, level, row, (known.leak, slowest))
    if hopeless(goal, energy, cycles):  # no need to know what is to be brought
        return energy, cycles
    share_visits(scene.motion, row.key, prices[VISITS])
    slowest = least_to_bring(scene, row, row.key[TILE], slowest, prices)
    return best_class(scene, goal, level, row, (known.leak, slowest))


@part()
def liked(goal: Goal, one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether a goal likes one (energy, cycles) better than another; of a front: the other one is hopeless."""
    if goal.code == FRONT:
        return hopeless(goal, other[0], other[1])
    value, second = objective_value(goal.code, one[0], one[1])
    known, tie = objective_value(goal.code, other[0], other[1])
    return value < known or (value == known and second < tie)


@part()
def best_class(scene: Scene, goal: Goal, level: int, row: Row, known: tuple[float, float]) -> tuple[float, float]:
    """Return the least (energy, cycles) of the class of speed that the goal likes best.

    ``known``: pJ of leakage per cycle, and cycles of any completion.
    """
    bounds, tiles, tile = scene.bounds, scene.tiles, row.key[TILE]
    leak, slowest = known
    at = least_at(bounds, level, row.path[SOURCE], tile)
    best = math.inf, math.inf
    if at < 0:
        return best
    visits = tiles.volume[-1] / tiles.volume[tile]
    idle, share = open_set(scene.motion, bounds.set_of, row.key)
    slot, apart, point, weight = slots_at(bounds, level, at, idle, share)
    for _ in range(bounds.least.slots[level]):
        rank = int(bounds.least.least[slot])
        if rank < 0:
            break
        inside = energy_at(bounds.least.least, slot + point, weight)
        cycles = max(slowest, bounds.class_cycles[level, rank])
        energy = row.value[ENERGY] + visits * inside - bounds.slack + leak * cycles
        if liked(goal, (energy, cycles), best):
            best = energy, cycles
        slot += apart
    return best


@part()
def best_demand(scene: Scene, goal: Goal, level: int, row: Row, known: Known, prices: Floats) -> tuple[float, float]:
    """Return (energy, cycles) of the vector of demands that the goal likes best."""
    demands, tile = scene.demands, row.key[TILE]
    visits = scene.tiles.volume[-1] / scene.tiles.volume[tile]
    best = math.inf, math.inf
    for k in range(demands.start[level, tile], demands.end[level, tile]):
        energy = row.value[ENERGY] + visits * price_vector(demands, k, prices, known.copies) * (1 - EXACT)
        energy -= known.unread + scene.bounds.slack
        cycles = known.slowest
        if not hopeless(goal, energy + known.leak * cycles, cycles):  # else no need to know how slow it is
            cycles = time_vector(scene, row, k, (visits / row.key[INSTANCES], known.slowest), prices)
        energy += known.leak * cycles
        if liked(goal, (energy, cycles), best):
            best = energy, cycles
    return best


@part()
def time_vector(scene: Scene, row: Row, k: int, known: tuple[float, float], prices: Floats) -> float:
    """Return the least cycles of all completions that have a vector of demands.

    ``known``: visits of the tile by one instance, and cycles of any completion.
    """
    demands, tensors = scene.demands, prices.shape[1]
    visits, slowest = known
    for t in range(tensors):
        share = prices[VISITS, t] if demands.pending[k] >> t & 1 else 1.0
        asked = share * demands.vectors[k, t] * visits * prices[TIMES, t]
        if prices[HELD, t] >= 0:
            asked = if_held(demands.pending[k], t, tensors, prices, asked, prices[HELD, t])
        prices[ASKED, t] = max(asked - 1, prices[DISTINCT, t])
    cycles = demands.vectors[k, 2 * tensors + of.CYCLES] * visits * (1 - EXACT) - scene.bounds.slack_cycles
    return least_cycles(scene, row, max(slowest, cycles), prices)


@part()
def no_factors(scene: Scene, goal: Goal, at: tuple[int, int, int], row: Row, least: float, known: Known) -> bool:
    """Return whether the loops chosen for some dimensions of a storage level leave nothing to gain.

    ``at``: the level, how many dimensions, the tile so far; ``least``: pJ of any completion without leakage.
    """
    level, dims, inside = at
    parallel = scene.tiles.partial[level, dims, inside]
    if parallel == 0:
        return True
    outlook = scene.bounds.outlook
    if outlook.start[level] >= 0:
        apart = outlook.sources[level]
        place = outlook.start[level] + (dims * scene.tiles.volume.shape[0] + inside) * apart
        if apart > 1:
            place += row.path[SOURCE]
        ahead = scene.tiles.volume[-1] * lowered(outlook.least[place] + 0.0)
        least = max(least, row.value[ENERGY] + ahead - scene.bounds.slack)
    cycles = max(known.slowest, scene.tiles.volume[-1] / (row.key[INSTANCES] * parallel))
    return hopeless(goal, least + known.leak * cycles, cycles)


@part()
def share_of(serves: Bools, idle: int, loops: Ints, open_share: float) -> float:
    """Return the share of visits that fetch an idle set after a level's loops, when all that serve it are innermost."""
    share, pure = 1.0, True
    for d in range(loops.shape[1]):
        if loops[BY, d] > 1:
            if serves[idle, d]:
                share /= loops[BY, d]
            else:
                pure = False
    return share * open_share if pure else share


@part()
def moves_all(serves: Bools, loops: Ints) -> bool:
    """Return whether some of a level's loops leaves nothing in place: then the innermost one may bring no reuse."""
    for d in range(loops.shape[1]):
        if loops[BY, d] > 1:
            still = False
            for idle in range(serves.shape[0]):
                still = still or serves[idle, d]
            if not still:
                return True
    return False


@part()
def share_most(scene: Scene, scratch: Scratch) -> None:
    """Fill in the share of visits that fetch a tensor when all loops that leave it in place are innermost."""
    stops, loops, prices = scene.motion.stops, scratch.loops, scratch.prices
    for t in range(prices.shape[1]):
        share, pure = 1.0, True
        for d in range(loops.shape[1]):
            if loops[BY, d] > 1:
                if stops[t, d] == 0:
                    share /= loops[BY, d]
                else:
                    pure = False
        prices[VISITS, t] = share * prices[OPEN_VISITS, t] if pure else share


@part()
def no_order(
    scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, open_share: float, known: Known
) -> bool:
    """Return whether a storage level's loops leave nothing to gain, whatever their order.

    An innermost loop leaves one idle set in place; all loops that serve it bring reuse at most, after what the loops
    outside brought: ``open_share`` is the share of visits that fetch what these leave in place.
    """
    bounds, tiles, row = scene.bounds, scene.tiles, scratch.entered
    macs, instances = tiles.volume[-1], row.key[INSTANCES]
    slowest = max(known.slowest, macs / (instances * tiles.parallelism[level + 1, inside]))
    spent, visits = row.value[ENERGY] - bounds.slack, macs / tiles.volume[inside]
    if level + 1 >= scene.demands.outermost:
        share_most(scene, scratch)
        return no_demand(scene, goal, level + 1, inside, scratch, spent, as_slow(known, slowest))
    brought = False
    at = least_at(bounds, level + 1, row.path[SOURCE], inside)
    for idle in range(-1 if moves_all(bounds.serves, scratch.loops) else 0, bounds.serves.shape[0] if at >= 0 else 0):
        share = 1.0 if idle < 0 else share_of(bounds.serves, idle, scratch.loops, open_share)
        slot, apart, point, weight = slots_at(bounds, level + 1, at, idle, share)
        for _ in range(bounds.least.slots[level + 1]):
            rank = int(bounds.least.least[slot])
            if rank < 0:
                break
            least = energy_at(bounds.least.least, slot + point, weight)
            slot += apart
            energy, cycles = spent + visits * least, bounds.class_cycles[level + 1, rank]
            cycles = max(slowest, cycles)
            if hopeless(goal, energy + known.leak * cycles, cycles):
                continue
            if not brought:
                share_most(scene, scratch)
                slowest, brought = least_to_bring(scene, row, inside, slowest, scratch.prices), True
                cycles = max(slowest, cycles)
            if not hopeless(goal, energy + known.leak * cycles, cycles):
                return False
    return True


@part()
def least_added(scene: Scene, level: int, row: Row, prices: Floats, copies: float) -> tuple[float, float]:
    """Return the least pJ that the levels inside add over the whole run, and the least cycles; prices are filled in.

    ``level`` has demands inside.
    """
    demands, tiles, tensors, inside = scene.demands, scene.tiles, prices.shape[1], row.key[TILE]
    energy, pace = math.inf, math.inf
    for k in range(demands.start[level, inside], demands.end[level, inside]):
        energy = min(energy, price_vector(demands, k, prices, copies))
        pace = min(pace, demands.vectors[k, 2 * tensors + of.CYCLES])
    macs, instances = tiles.volume[-1], row.key[INSTANCES]
    visits = macs / tiles.volume[inside]
    cycles = pace * visits / instances * (1 - EXACT) - scene.bounds.slack_cycles
    return visits * energy * (1 - EXACT), max(cycles, macs / (instances * tiles.parallelism[level, inside]))


@part()
def no_demand(scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, spent: float, known: Known) -> bool:
    """Return whether no demand of a tile leaves anything to gain, whatever the order of the loops outside.

    ``spent``: pJ so far. Shares of visits are filled in.
    """
    demands, row, prices = scene.demands, scratch.entered, scratch.prices
    visits = scene.tiles.volume[-1] / scene.tiles.volume[inside]
    for k in range(demands.start[level, inside], demands.end[level, inside]):
        cycles = demands.vectors[k, 2 * prices.shape[1] + of.CYCLES] * visits / row.key[INSTANCES] * (1 - EXACT)
        cycles = max(cycles - scene.bounds.slack_cycles, known.slowest)
        energy = spent - known.unread + visits * price_vector(demands, k, prices, known.copies) * (1 - EXACT)
        if not hopeless(goal, energy + known.leak * cycles, cycles):
            return False
    return True
