"""The counting vocabulary: tiles' words and sizes, what fits, lines, what accesses cost, what slows a level down.

Each of these rules stands here and nowhere else, in plain Python that is compiled into the model and the search.
``machine`` is `dovetail.model.arrays.Machine`. Where instances are counted, ``full`` are those that any pass uses and
``used`` those in use on average: the same number unless factors leave a remainder.

**Another action** (gated, skipped, of metadata) is a name in `ACTIONS`, a word in `READING` and a number in
`dense_words`: from then on every machine has a column for its price and every count one for its words, and all that
charges, slows down and bounds goes by them.
"""
# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dovetail.model.arrays import Floats, Ints, Machine
from dovetail.model.compile import part

#: Words per action, in the order of `ACTIONS`.
Words = Sequence[int] | Ints


class Sizes(Protocol):
    """What knows how large a word is."""

    @property
    def size(self) -> Ints:
        """``(levels, tensors)`` as in `dovetail.model.arrays.Machine`."""


#: What an access may be, by the names that energy tables give it, and whether it counts as reading for the bandwidth.
ACTIONS = ("read", "write", "update")
READING = (True, False, False)
READ, WRITE, UPDATE = range(3)

# Columns of the counts of a tensor at a level: the tile, its words over the whole run, partial sums added, and from
# ACTED on a column per action. A level is read, filled from the level outside, updated by the level inside.
TILE, PARTITION, REDUCTIONS, ACTED = range(4)
READS, FILLS, UPDATES = ACTED + READ, ACTED + WRITE, ACTED + UPDATE
COUNTS = ACTED + len(ACTIONS)

# Columns of ``Machine.bandwidth``.
READING_ONLY, WRITING_ONLY, TOGETHER = range(3)

#: Cycles beyond which no count goes on (`dovetail.model.evaluate` refuses them).
ENDLESS = 2.0**62


@part(inline=True)
def extent(steps: Ints, sizes: Ints) -> int:
    """Return how far a tile reaches along an axis: steps ``(dims,)`` of the dimensions, sizes ``(dims, ...)``."""
    reach = 1
    for d in range(steps.shape[0]):
        reach = reach + steps[d] * (sizes[d] - 1)
    return reach


@part(inline=True)
def words_of(axes: Ints, sizes: Ints) -> int:
    """Return the words of a tensor's tile, holes included: steps ``(axes, dims)``, sizes ``(dims, ...)``."""
    words = 1
    for axis in range(axes.shape[0]):
        words = words * extent(axes[axis], sizes)
    return words


@part(inline=True)
def new_words(words: int, extents: Ints, moved: Ints) -> int:
    """Return the words of a tile of these extents ``(axes,)`` that it did not hold before it moved so far."""
    overlap = 1
    for axis in range(extents.shape[0]):
        overlap *= max(0, extents[axis] - abs(moved[axis]))
    return words - overlap


@part(inline=True)
def nearest(value: float) -> int:
    """Round to the nearest integer, halves away from zero as C does (Python's own ``round`` takes the even one)."""
    return int(np.floor(value + 0.5)) if value >= 0 else -int(np.floor(0.5 - value))


@part(inline=True)
def unread_words(read_first: bool, partition: int) -> int:
    """Return the words of an output that an instance does not read, as they are then written for the first time."""
    return 0 if read_first else partition


@part(inline=True)
def words_read(is_output: bool, sent: float, peers: float, unread: int) -> int:
    """Return the words read at a level that sends so many inside while its own neighbours ask it for ``peers``.

    Nothing is read less than never: the partition of outputs with holes in their tiles can be larger than what comes
    back (the reference stops there).
    """
    return nearest(max(0.0, sent + peers - unread)) if is_output else nearest(sent + peers)


@part(inline=True)
def words_filled(is_output: bool, share: float, peers: float, unread: int) -> int:
    """Return the words written at a level from outside, of which ``share`` come down and ``peers`` from neighbours."""
    return nearest(max(0.0, share + peers - unread)) if is_output else int(share + peers)


@part(inline=True)
def words_updated(is_output: bool, sent: float) -> int:
    """Return the words written at a level from inside."""
    return nearest(sent) if is_output else 0


@part(inline=True)
def dense_words(reads: int, fills: int, updates: int) -> tuple[int, ...]:
    """Return the words of each action where nothing is left out."""
    return reads, fills, updates


@part(inline=True)
def space_taken(sizes: Sizes, level: int, tensor: int, words: int) -> int:
    """Return what so many words of a tensor take of a level's capacity."""
    return words * sizes.size[level, tensor]


@part(inline=True)
def fits(capacity: int, taken: int) -> bool:
    """Return whether there is room for what tensors take together."""
    return capacity < 0 or taken <= capacity


@part(inline=True)
def overflowing_level(machine: Machine, counts: Ints) -> int:
    """Return the innermost level whose tiles do not fit, or -1."""
    for level in range(counts.shape[0] - 1, -1, -1):
        if machine.capacity[level] >= 0:
            taken = 0
            for tensor in range(counts.shape[1]):
                taken += space_taken(machine, level, tensor, counts[level, tensor, TILE])
            if not fits(machine.capacity[level], taken):
                return level
    return -1


@part(inline=True)
def lines(words: int, parts: int, block: int) -> int:
    """Return the accesses that so many words take, ``parts`` for each ``block`` of them."""
    return -(-words * parts // block)


@part(inline=True)
def word_energy(machine: Machine, level: int, tensor: int, action: int) -> float:
    """Return pJ of a word at one instance, were all lines full and its own."""
    return machine.energy[level, tensor, action] * machine.parts[level, tensor] / machine.block[level, tensor]


@part(inline=True)
def lines_at_once(machine: Machine, level: int, instances: int) -> int:
    """Return the physical lines of so many instances, some of which may share one."""
    return min(instances, machine.clusters[level])


@part(inline=True)
def access_energy(machine: Machine, level: int, tensor: int, words: Words, full: int, used: int) -> float:
    """Return pJ that one tensor's accesses cost at a level, over all instances: words of each action per instance."""
    energy, parts, block = 0.0, machine.parts[level, tensor], machine.block[level, tensor]
    for action in range(len(ACTIONS)):
        energy += lines(words[action], parts, block) * machine.energy[level, tensor, action]
    return energy / (full / lines_at_once(machine, level, full)) * used


@part(inline=True)
def leakage(machine: Machine, level: int, cycles: int, instances: int) -> float:
    """Return pJ that so many instances of a level leak in so many cycles."""
    return machine.leakage[level] * cycles * instances


@part(inline=True)
def bandwidth_taken(machine: Machine, level: int, tensor: int, words: float) -> float:
    """Return what words of a tensor take of a level's bandwidth, in words of the level's own width."""
    return words * machine.share[level, tensor]


@part(inline=True)
def bandwidth_spilt(machine: Machine, level: int, tensor: int, reads: float) -> float:
    """Return what partial sums take of a level's bandwidth beyond that, each way, where so many are read again."""
    return reads * machine.spilt[level, tensor]


@part(inline=True)
def throttling(machine: Machine, level: int, read: float, write: float) -> float:
    """Return by how much (at most 1) a level slows down what asks it for so many words of its own width a cycle."""
    bandwidth, factor = machine.bandwidth, 1.0
    if bandwidth[level, READING_ONLY] < read:
        factor = min(factor, bandwidth[level, READING_ONLY] / read)
    if bandwidth[level, WRITING_ONLY] < write:
        factor = min(factor, bandwidth[level, WRITING_ONLY] / write)
    if bandwidth[level, TOGETHER] < read + write:
        factor = min(factor, bandwidth[level, TOGETHER] / (read + write))
    return factor


@part(inline=True)
def cycles_taken(machine: Machine, level: int, read: float, write: float) -> float:
    """Return the cycles, at least 1, that so many words of a level's own width take: asked for all at once."""
    return 1.0 / throttling(machine, level, read, write)


@part(inline=True)
def read_and_written(words: Words) -> tuple[int, int]:
    """Return the words that count as read and those that count as written for the bandwidth, of words per action."""
    read, written = 0, 0
    for action in range(len(ACTIONS)):
        if READING[action]:
            read += words[action]
        else:
            written += words[action]
    return read, written


@part(inline=True)
def slowdown(machine: Machine, level: int, counts: Ints, steps: int, full: int, used: int) -> float:
    """Return by how much (at most 1) a level slows computing down; its words are spread over all its instances."""
    read, write = 0.0, 0.0
    for tensor in range(counts.shape[1]):
        reading, writing = read_and_written(counts[level, tensor, ACTED:])
        again = spread_over(reading, full, used)
        spilt = bandwidth_spilt(machine, level, tensor, again)
        read += (bandwidth_taken(machine, level, tensor, again) + spilt) / steps
        write += (bandwidth_taken(machine, level, tensor, spread_over(writing, full, used)) + spilt) / steps
    return throttling(machine, level, read, write)


@part(inline=True)
def spread_over(words: int, full: int, used: int) -> float:
    """Return the words of each of ``full`` instances, of words counted per instance in use on average."""
    return float(words) if full == used else np.ceil(words / (full / used))


@part(inline=True)
def cycles_of(steps: int, slowed: float) -> int:
    """Return the cycles that so many steps take at a level that slows them down; `ENDLESS` at most."""
    return int(min(ENDLESS, np.ceil(steps / slowed)))


@part(inline=True)
def total_cost(
    machine: Machine, counts: Ints, steps: int, full: Ints, used: Ints | Floats, computes: float
) -> tuple[int, float]:
    """Return (cycles, energy in pJ) of a mapping whose accesses are counted.

    Args:
        machine: of the architecture and its energies.
        counts: ``(levels, tensors, COUNTS)`` words per instance in use.
        steps: cycles that computing alone takes.
        full: ``(levels,)`` instances that any pass uses.
        used: ``(levels,)`` instances in use on average.
        computes: executions of the loop body.
    """
    cycles, energy = steps, 0.0
    for level in range(counts.shape[0]):
        slowed = slowdown(machine, level, counts, steps, full[level], used[level])
        cycles = max(cycles, cycles_of(steps, slowed))
        for tensor in range(counts.shape[1]):
            if counts[level, tensor, TILE] > 0:
                energy += access_energy(machine, level, tensor, counts[level, tensor, ACTED:], full[level], used[level])
    for level in range(counts.shape[0]):
        energy += leakage(machine, level, cycles, used[level])
    return cycles, energy + computes * machine.compute_pJ
