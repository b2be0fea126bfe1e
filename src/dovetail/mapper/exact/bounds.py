"""What no completion of a partial mapping goes below, in energy and in cycles; and whether it is worth following."""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math

from dovetail.mapper.exact import vectors as of
from dovetail.mapper.exact.completion import ROUNDING
from dovetail.mapper.exact.demands import Demands
from dovetail.mapper.exact.goal import FRONT, Goal, hopeless, objective_value
from dovetail.mapper.exact.reuse import reuse_of
from dovetail.mapper.exact.rows import (
    BY,
    COUNTED,
    CYCLES,
    ENERGY,
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
    TILE,
    Row,
    Scratch,
    of_tensor,
)
from dovetail.mapper.exact.scene import Bounds, Motion, Scene
from dovetail.model.arrays import Floats, Ints
from dovetail.model.charges import READ, UPDATE, bandwidth_taken, cycles_taken
from dovetail.model.compile import part

#: By how much, relatively, sums of doubles in another order may be too high.
EXACT = 1e-9

# First axis of `Scratch.prices`: pJ per word asked on a visit; words that an instance of the keeper sends for a word
# that a child asks; share of visits that ask for a pending tensor; words that a keeper's instance has yet to send.
WORD, TIMES, SHARED_VISITS, ASKED = range(4)


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
    lanes = 1 + bounds.serves.shape[0] * (bounds.grid.shape[0] - 1)
    return bounds.first[level] + (source * bounds.classes * bounds.places[level] + place) * lanes


@part()
def class_apart(bounds: Bounds, level: int) -> int:
    """Return how far apart the least energies of two classes of speed stand."""
    return bounds.places[level] * (1 + bounds.serves.shape[0] * (bounds.grid.shape[0] - 1))


@part()
def cycles_of_class(scene: Scene, rank: int, slowest: float) -> float:
    """Return the cycles that completions of a class of speed take at least."""
    bounds = scene.bounds
    reached = bounds.quickest * (1 - rank / bounds.classes)
    return max(slowest, scene.tiles.volume[-1] / reached * (1 - EXACT) - bounds.slack_cycles)


@part()
def least_energy(bounds: Bounds, at: int, idle: int, share: float) -> float:
    """Return the least pJ per visit when a set of tensors is fetched at a share of the visits."""
    least, grid = bounds.least, bounds.grid
    if idle < 0 or share >= 1.0 or least[at] == math.inf:
        return least[at]
    lane, k = at + idle * (grid.shape[0] - 1), 1
    while share < grid[k]:
        k += 1
    below, above = grid[k], grid[k - 1]
    high = least[at] if k == 1 else least[lane + k - 1]
    return least[lane + k] + (share - below) / (above - below) * (high - least[lane + k])


@part()
def price_words(scene: Scene, row: Row, prices: Floats) -> tuple[float, float]:
    """Fill in what a visit of a tile's words cost at their keepers, and how many of them a keeper sends.

    ``prices`` ``(4, tensors)`` is filled but for `ASKED`. Returns the copies of outputs, and the pJ by which what is
    first written, and not read before, undercuts these prices over the whole run.
    """
    key, real, rules = row.key, row.real, scene.rules
    tensors, instances = real.shape[1], row.key[INSTANCES]
    copies, unread = 0.0, 0.0
    for t in range(tensors):
        level, used = key[of_tensor(KEEPER, t, tensors)], key[of_tensor(KEEPER_INSTANCES, t, tensors)]
        times = real[SHARED, t]
        if real[COUNTED, t] < 0:
            times *= real[PASSED, t]
        elif real[COUNTED, t] > 0:
            times *= min(real[PASSED, t], real[SENT, t] / (real[SHARE, t] + real[LINKED, t] / real[COUNTED, t]))
        word = scene.bounds.price[level, t, READ]
        if rules.is_output[t]:
            part_now = key[of_tensor(PART, t, tensors)]
            copies = max(copies, instances * part_now / max(1, rules.touched[t]))
            if not rules.read_first[level, t]:
                unread += word * key[of_tensor(KEEPER_PART, t, tensors)] * used
            word += scene.bounds.price[level, t, UPDATE]
        prices[WORD, t] = word * times * used / instances
        prices[TIMES, t] = times
        prices[SHARED_VISITS, t] = 1.0 / reuse_of(scene.motion, key, t)
    return copies, unread


@part()
def price_vector(demands: Demands, k: int, prices: Floats, copies: float) -> float:
    """Return the pJ per visit of a tile that a vector of demands comes to."""
    vector, tensors = demands.vectors[k], prices.shape[1]
    cost = vector[2 * tensors + of.ENERGY] + vector[2 * tensors + of.PER_COPY] * copies
    for t in range(tensors):
        share = prices[SHARED_VISITS, t] if demands.pending[k] >> t & 1 else 1.0
        cost += share * (vector[t] * prices[WORD, t] + vector[tensors + t])
    return cost


@part()
def least_inside(scene: Scene, level: int, row: Row, tile: int, prices: Floats) -> float:
    """Return the least pJ of all levels inside a boundary that has demands; ``prices`` are filled in but for shares."""
    demands, copies = scene.demands, 0.0
    best, rules, tensors = math.inf, scene.rules, prices.shape[1]
    for t in range(tensors):
        if rules.is_output[t]:
            part_now = row.key[of_tensor(PART, t, tensors)]
            copies = max(copies, row.key[INSTANCES] * part_now / max(1, rules.touched[t]))
    for k in range(demands.start[level, tile], demands.start[level, tile + 1]):
        best = min(best, price_vector(demands, k, prices, copies))
    return best


@part()
def ask_distinct(scene: Scene, row: Row, prices: Floats) -> None:
    """Fill in that every keeper passes on every word of a tensor once, at least."""
    tensors = prices.shape[1]
    for t in range(tensors):
        prices[ASKED, t] = scene.bounds.distinct[t] / row.key[of_tensor(KEEPER_INSTANCES, t, tensors)] - 1


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
        reads, writes = value[place], value[place + 1]
        for tensor in range(tensors):
            if key[of_tensor(KEEPER, tensor, tensors)] == level:  # has yet to pass it on
                least = bandwidth_taken(scene.machine, level, tensor, prices[ASKED, tensor])
                if scene.rules.is_output[tensor]:
                    writes += least
                else:
                    reads += least
        cycles = max(cycles, cycles_taken(scene.machine, level, reads, writes))
    return cycles


@part()
def least_of(scene: Scene, level: int, row: Row, prices: Floats) -> float:
    """Return the least pJ, but for leakage, that any completion can have; the levels outside ``level`` are decided."""
    bounds, tiles, tile = scene.bounds, scene.tiles, row.key[TILE]
    visits = tiles.volume[-1] / tiles.volume[tile]
    if level >= scene.demands.outermost:
        _, unread = price_words(scene, row, prices)
        inside = visits * least_inside(scene, level, row, tile, prices)
        return row.value[ENERGY] + inside * (1 - EXACT) - unread - bounds.slack
    at = least_at(bounds, level, row.path[SOURCE], tile)
    if at < 0:
        return math.inf
    idle, share = open_set(scene.motion, bounds.set_of, row.key)
    best, apart = math.inf, class_apart(bounds, level)
    for rank in range(bounds.classes):
        best = min(best, least_energy(bounds, at + rank * apart, idle, share))
    return row.value[ENERGY] + visits * best * (1 - ROUNDING) - bounds.slack


@part()
def bound_of(scene: Scene, goal: Goal, level: int, row: Row, prices: Floats) -> tuple[float, float]:
    """Return the least (energy, cycles) that any completion can have; the levels outside ``level`` are decided.

    Where the levels inside have demands, that is of the vector that the goal likes best: no other one helps if that one
    does not.
    """
    bounds, tiles, tile, instances = scene.bounds, scene.tiles, row.key[TILE], row.key[INSTANCES]
    macs, parallel = tiles.volume[-1], tiles.parallelism[level, tile]
    if parallel == 0:
        return math.inf, math.inf
    leak = row.value[LEAK] + bounds.leak_inside[level] * instances
    ask_distinct(scene, row, prices)
    steps = macs / (instances * parallel)
    slowest = least_cycles(scene, row, steps, prices)
    if level >= scene.demands.outermost:
        return best_demand(scene, goal, level, row, (leak, slowest), prices)
    return best_class(scene, goal, level, row, (leak, slowest))


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
    at, apart = least_at(bounds, level, row.path[SOURCE], tile), class_apart(bounds, level)
    best = math.inf, math.inf
    if at < 0:
        return best
    visits = tiles.volume[-1] / tiles.volume[tile]
    idle, share = open_set(scene.motion, bounds.set_of, row.key)
    for rank in range(bounds.classes):
        inside = least_energy(bounds, at + rank * apart, idle, share)
        if inside < math.inf:
            cycles = cycles_of_class(scene, rank, slowest)
            energy = row.value[ENERGY] + visits * inside * (1 - ROUNDING) - bounds.slack + leak * cycles
            if liked(goal, (energy, cycles), best):
                best = energy, cycles
    return best


@part()
def best_demand(
    scene: Scene, goal: Goal, level: int, row: Row, known: tuple[float, float], prices: Floats
) -> tuple[float, float]:
    """Return (energy, cycles) of the vector of demands that the goal likes best.

    ``known``: pJ of leakage per cycle, and cycles of any completion.
    """
    demands, tile = scene.demands, row.key[TILE]
    leak, slowest = known
    copies, unread = price_words(scene, row, prices)
    visits = scene.tiles.volume[-1] / scene.tiles.volume[tile]
    best = math.inf, math.inf
    for k in range(demands.start[level, tile], demands.start[level, tile + 1]):
        energy = row.value[ENERGY] + visits * price_vector(demands, k, prices, copies) * (1 - EXACT)
        energy -= unread + scene.bounds.slack
        cycles = slowest
        if not hopeless(goal, energy + leak * cycles, cycles):  # else no need to know how slow it is
            cycles = time_vector(scene, row, k, (visits / row.key[INSTANCES], slowest), prices)
        energy += leak * cycles
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
        share = prices[SHARED_VISITS, t] if demands.pending[k] >> t & 1 else 1.0
        asked = share * demands.vectors[k, t] * visits * prices[TIMES, t] - 1
        distinct = scene.bounds.distinct[t] / row.key[of_tensor(KEEPER_INSTANCES, t, tensors)] - 1
        prices[ASKED, t] = max(asked, distinct)
    cycles = demands.vectors[k, 2 * tensors + of.CYCLES] * visits * (1 - EXACT) - scene.bounds.slack_cycles
    return least_cycles(scene, row, max(slowest, cycles), prices)


@part()
def no_use(scene: Scene, goal: Goal, at: tuple[int, int, int], row: Row, least: tuple[float, float]) -> bool:
    """Return whether the loops chosen for some dimensions of a storage level leave too few units in use.

    ``at``: the level, how many dimensions, the tile so far; ``least``: pJ of any completion without leakage, and cycles
    of any.
    """
    level, dims, inside = at
    parallel = scene.tiles.partial[level, dims, inside]
    if parallel == 0:
        return True
    energy, slowest = least
    cycles = max(slowest, scene.tiles.volume[-1] / (row.key[INSTANCES] * parallel))
    leak = row.value[LEAK] + scene.bounds.leak_inside[level + 1] * row.key[INSTANCES]
    return hopeless(goal, energy + leak * cycles, cycles)


@part()
def most_reuse(bounds: Bounds, at: int, loops: Ints, open_share: float) -> float:
    """Return the least pJ per visit after a level's loops, whichever idle set the innermost leaves in place."""
    best = math.inf
    for idle in range(bounds.serves.shape[0]):
        share, pure = 1.0, True
        for d in range(loops.shape[1]):
            if loops[BY, d] > 1:
                if bounds.serves[idle, d]:
                    share /= loops[BY, d]
                else:
                    pure = False
        if pure:
            share *= open_share
        best = min(best, least_energy(bounds, at, idle, share))
    return best


@part()
def share_most(scene: Scene, scratch: Scratch) -> None:
    """Lower the share of visits that fetch a tensor by all loops of a level that leave it in place."""
    stops, loops, prices = scene.motion.stops, scratch.loops, scratch.prices
    for t in range(prices.shape[1]):
        share, pure = 1.0, True
        for d in range(loops.shape[1]):
            if loops[BY, d] > 1:
                if stops[t, d] == 0:
                    share /= loops[BY, d]
                else:
                    pure = False
        prices[SHARED_VISITS, t] = share * prices[SHARED_VISITS, t] if pure else share


@part()
def no_order(scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, known: tuple[float, float]) -> bool:
    """Return whether a storage level's loops leave nothing to gain, whatever their order.

    An innermost loop leaves one idle set in place; all loops that serve it bring reuse at most, after what the loops
    outside brought. ``known``: the share of visits that fetch what these leave in place, and cycles of any completion.
    """
    bounds, tiles, row = scene.bounds, scene.tiles, scratch.entered
    open_share, slowest = known
    macs, instances = tiles.volume[-1], row.key[INSTANCES]
    slowest = max(slowest, macs / (instances * tiles.parallelism[level + 1, inside]))
    leak = row.value[LEAK] + bounds.leak_inside[level + 1] * instances
    spent, visits = row.value[ENERGY] - bounds.slack, macs / tiles.volume[inside]
    if level + 1 >= scene.demands.outermost:
        return no_demand(scene, goal, level + 1, inside, scratch, (spent, leak, slowest))
    at, apart = least_at(bounds, level + 1, row.path[SOURCE], inside), class_apart(bounds, level + 1)
    for rank in range(bounds.classes if at >= 0 else 0):
        if bounds.least[at + rank * apart] < math.inf:
            least = most_reuse(bounds, at + rank * apart, scratch.loops, open_share)
            cycles = cycles_of_class(scene, rank, slowest)
            if not hopeless(goal, spent + visits * least * (1 - ROUNDING) + leak * cycles, cycles):
                return False
    return True


@part()
def no_demand(
    scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, known: tuple[float, float, float]
) -> bool:
    """Return whether no demand of a tile leaves anything to gain, whatever the order of the loops outside.

    ``known``: pJ spent so far, pJ of leakage per cycle, and cycles of any completion.
    """
    demands, row, prices = scene.demands, scratch.entered, scratch.prices
    spent, leak, slowest = known
    copies, unread = price_words(scene, row, prices)
    share_most(scene, scratch)
    visits = scene.tiles.volume[-1] / scene.tiles.volume[inside]
    for k in range(demands.start[level, inside], demands.start[level, inside + 1]):
        cycles = demands.vectors[k, 2 * prices.shape[1] + of.CYCLES] * visits / row.key[INSTANCES] * (1 - EXACT)
        cycles = max(cycles - scene.bounds.slack_cycles, slowest)
        energy = spent - unread + visits * price_vector(demands, k, prices, copies) * (1 - EXACT)
        if not hopeless(goal, energy + leak * cycles, cycles):
            return False
    return True
