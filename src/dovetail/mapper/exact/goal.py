"""What the search has to beat: the best value known, or all points of a front."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dovetail.mapper.objective import ED2P, ranked
from dovetail.model.arrays import Floats
from dovetail.model.by_address import by_address
from dovetail.model.compile import part

#: Beside the objectives' codes: keep all that no known point beats in both energy and cycles.
FRONT = ED2P + 1

#: Relative margin within which two values count as equal: sums in another order differ by less.
MARGIN = 1e-12


@by_address
class Goal(NamedTuple):
    """What to beat.

    Attributes:
        code: what is minimised.
        value: the least known, as `objective_value` has it; of a front: pJ that no mapping goes below.
        second: what breaks ties; of a front: cycles that no mapping goes below.
        cycles: ``(points,)`` of a front, rising.
        energies: ``(points,)`` the least pJ known at no more cycles.
    """

    code: int
    value: float
    second: float
    cycles: Floats
    energies: Floats


def goal_of(code: int, value: float = math.inf, second: float = math.inf, front: Floats | None = None) -> Goal:
    """Return what to beat; a front's points are ``(2, points)``: cycles (rising), energies."""
    cycles, energies = np.zeros((2, 0)) if front is None else front
    return Goal(code, float(value), float(second), np.ascontiguousarray(cycles), np.ascontiguousarray(energies))


objective_value = part()(ranked)


@part()
def hopeless(goal: Goal, energy: float, cycles: float) -> bool:
    """Return whether nothing with at least this energy and these cycles can improve on what is known."""
    if goal.code == FRONT:
        energy = max(energy, goal.value)
        cycles = np.ceil(max(cycles, goal.second) * (1 - MARGIN))  # the model's are whole
        low, high = 0, goal.cycles.shape[0]
        while low < high:  # the last point of no more cycles
            middle = (low + high) // 2
            if goal.cycles[middle] <= cycles * (1 + MARGIN):
                low = middle + 1
            else:
                high = middle
        return low > 0 and goal.energies[low - 1] <= energy * (1 + MARGIN)
    value, second = objective_value(goal.code, energy, cycles)
    if value > goal.value * (1 + MARGIN):
        return True
    return value >= goal.value * (1 - MARGIN) and second >= goal.second * (1 - MARGIN)
