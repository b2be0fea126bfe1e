"""Classes of speed: how quick a completion can be, given what it asks of the levels outside in a visit."""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.model.arrays import Bools, Floats, Ints, Machine
from dovetail.model.by_address import by_address
from dovetail.model.charges import bandwidth_taken, cycles_taken
from dovetail.model.compile import part

#: Classes of speed that completions outside the outermost fan-out are told apart by.
CLASSES = 8


@by_address
class Pace(NamedTuple):
    """What the levels outside a boundary have to do with speed, for every situation there.

    Attributes:
        keeper: ``(sources, tensors)`` level that keeps a tensor.
        first: ``(tensors,)`` words of an output per execution of the loop body, which are not read before they are
            first written.
        machine: whose levels they are.
        output: ``(tensors,)``.
        quickest: executions of the loop body per cycle at most, in the whole chip.
        idle: ``(1 + sets,)`` tensors, as bit masks, that loops further out may leave in place: none, then every idle
            set. A group of lanes goes with each.
    """

    keeper: Ints
    first: Floats
    machine: Machine
    output: Bools
    quickest: float
    idle: Ints


@part()
def class_of(volume: float, cycles: float, quickest: float, classes: int) -> int:
    """Return which of so many equal shares of the quickest a completion reaches: class 0 is the best one."""
    return min(classes - 1, max(0, int(classes * (1 - volume / (cycles * quickest)) + 1e-10)))


@part()
def asked_time(words: Floats, asked: int, volume: float, pace: Pace, source: int, outside: int) -> float:
    """Return the cycles that levels outside need for what a visit of a tile asks of them.

    An output's words are updated and, but for those first written, read: a level outside has one instance.

    Args:
        words: ``(tensors,)`` words of a visit, at least.
        asked: the tensors that every visit asks for, as a bit mask; others are not counted.
        volume: executions of the loop body in a visit.
        pace: of the levels outside.
        source: the situation there.
        outside: how many levels lie there.
    """
    cycles = 0.0
    for level in range(outside):
        reads, writes, bandwidth = 0.0, 0.0, pace.machine.bandwidth[level]
        if min(bandwidth[0], bandwidth[1], bandwidth[2]) == np.inf:
            continue
        for t in range(pace.output.shape[0]):
            if pace.keeper[source, t] == level and asked >> t & 1:
                if pace.output[t]:
                    writes += bandwidth_taken(pace.machine, level, t, words[t])
                    again = max(0.0, words[t] - pace.first[t] * volume)
                    reads += bandwidth_taken(pace.machine, level, t, again)
                else:
                    reads += bandwidth_taken(pace.machine, level, t, words[t])
        cycles = max(cycles, cycles_taken(pace.machine, level, reads, writes))
    return cycles
