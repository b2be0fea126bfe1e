"""What no completion of a partial mapping goes below, in energy and in cycles; and whether it is worth following."""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math

from dovetail.mapper.exact.completion import ROUNDING
from dovetail.mapper.exact.goal import Goal, hopeless
from dovetail.mapper.exact.rows import (
    BY,
    CHAIN_FIELDS,
    CYCLES,
    ENERGY,
    INSTANCES,
    KEEPER,
    KEEPER_INSTANCES,
    LEAK,
    LENGTH,
    REUSE,
    SOURCE,
    TILE,
    Row,
    Scratch,
    chain_start,
    of_tensor,
)
from dovetail.mapper.exact.scene import Bounds, Motion, Scene
from dovetail.model.arrays import Ints
from dovetail.model.charges import bandwidth_taken, cycles_taken
from dovetail.model.compile import part


@part()
def reuse_of(motion: Motion, key: Ints, tensor: int) -> int:
    """Return for how many visits of a tile in a row a tensor stays."""
    tensors = motion.injective.shape[0]
    if motion.injective[tensor]:
        return key[of_tensor(REUSE, tensor, tensors)]
    reuse, chain = 1, chain_start(tensors)
    for i in range(key[LENGTH]):
        if motion.stops[tensor, key[chain + CHAIN_FIELDS * i]] != 0:
            break
        reuse *= key[chain + CHAIN_FIELDS * i + 1]
    return reuse


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
    return bounds.first[level] + (source * bounds.places[level] + place) * lanes


@part()
def least_energy(bounds: Bounds, at: int, idle: int, share: float) -> float:
    """Return the least pJ per visit when a set of tensors is fetched at a share of the visits."""
    least, grid = bounds.least, bounds.grid
    if idle < 0 or share >= 1.0:
        return least[at]
    lane, k = at + idle * (grid.shape[0] - 1), 1
    while share < grid[k]:
        k += 1
    below, above = grid[k], grid[k - 1]
    high = least[at] if k == 1 else least[lane + k - 1]
    return least[lane + k] + (share - below) / (above - below) * (high - least[lane + k])


@part()
def least_cycles(scene: Scene, row: Row, steps: float) -> float:
    """Return the least cycles that any completion takes, of which ``steps`` are for computing."""
    key, value, tensors = row.key, row.value, row.real.shape[1]
    cycles = max(value[CYCLES], steps, scene.bounds.cycles)
    for level in range(scene.counter.shape[0]):
        place = scene.counter[level]
        if place < 0 or (value[place] == 0 and value[place + 1] == 0):
            continue
        reads, writes = value[place], value[place + 1]
        for tensor in range(tensors):
            if key[of_tensor(KEEPER, tensor, tensors)] == level:  # has yet to pass it on
                words = scene.bounds.distinct[tensor] / key[of_tensor(KEEPER_INSTANCES, tensor, tensors)] - 1
                least = bandwidth_taken(scene.machine, level, tensor, words)
                if scene.rules.is_output[tensor]:
                    writes += least
                else:
                    reads += least
        cycles = max(cycles, cycles_taken(scene.machine, level, reads, writes))
    return cycles


@part()
def bound_of(scene: Scene, level: int, row: Row) -> tuple[float, float]:
    """Return the least (energy, cycles) that any completion can have; the levels outside ``level`` are decided."""
    bounds, tiles, tile, instances = scene.bounds, scene.tiles, row.key[TILE], row.key[INSTANCES]
    at = least_at(bounds, level, row.path[SOURCE], tile)
    if at < 0:
        return math.inf, math.inf
    macs = tiles.volume[-1]
    idle, share = open_set(scene.motion, bounds.set_of, row.key)
    visits = macs / tiles.volume[tile]
    inside = least_energy(bounds, at, idle, share)
    steps = macs / (instances * tiles.parallelism[level, tile])
    cycles = least_cycles(scene, row, steps)
    energy = row.value[ENERGY] + visits * inside * (1 - ROUNDING) - bounds.slack
    return energy + (row.value[LEAK] + bounds.leak_inside[level] * instances) * cycles, cycles


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
def no_order(scene: Scene, goal: Goal, level: int, inside: int, scratch: Scratch, known: tuple[float, float]) -> bool:
    """Return whether a storage level's loops leave nothing to gain, whatever their order.

    An innermost loop leaves one idle set in place; all loops that serve it bring reuse at most, after what the loops
    outside brought. ``known``: the share of visits that fetch what these leave in place, and cycles of any completion.
    """
    bounds, tiles, row = scene.bounds, scene.tiles, scratch.entered
    open_share, slowest = known
    at = least_at(bounds, level + 1, row.path[SOURCE], inside)
    if at < 0:
        return True
    best = most_reuse(bounds, at, scratch.loops, open_share)
    macs, instances = tiles.volume[-1], row.key[INSTANCES]
    visits = macs / tiles.volume[inside]
    cycles = max(slowest, macs / (instances * tiles.parallelism[level + 1, inside]))
    energy = row.value[ENERGY] + visits * best * (1 - ROUNDING) - bounds.slack
    return hopeless(goal, energy + (row.value[LEAK] + bounds.leak_inside[level + 1] * instances) * cycles, cycles)
