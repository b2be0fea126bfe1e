"""What no mapping goes below, whether its factors divide or not: words that must move, over passes that must be made.

Energies are made good for instances in use that the model cuts off to an integer: by the averages themselves.
`docs/mapper.md` has the argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dovetail.mapper.imperfect.crossing import sent_again
from dovetail.mapper.imperfect.rooms import may_lie, shares_of
from dovetail.mapper.limits import IS_FANOUT, MOST, ON_X, ON_Y, OPEN, ROOM_X, ROOM_Y
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.model.charges import READ, UPDATE, WRITE, bandwidth_taken, cycles_taken, lines_at_once, word_energy


@dataclass(frozen=True)
class Least:
    """What no mapping goes below.

    Attributes:
        once_pJ: energy of words that move at least once outside all fan-outs.
        each_pJ: energy of every execution: computing, and what it asks of the innermost keepers.
        inside_pJ: energy of words that move at least once inside a fan-out, were every instance in use in every pass.
        shown: the least share of executions that counting the first child of each fan-out can leave, 0 to 1.
        steps: cycles of computing, as sizes divide among the units that constraints allow.
        passes: the same, were executions divided evenly.
        cycles: of computing, and of passing on every word once where bandwidth is bounded.
    """

    once_pJ: float
    each_pJ: float
    inside_pJ: float
    shown: float
    steps: int
    passes: float
    cycles: int

    @property
    def energy_pJ(self) -> float:
        """Energy of any mapping."""
        return self.once_pJ + self.shown * self.each_pJ

    def value(self, objective: Objective) -> float:
        """Return a value of the objective that no mapping goes below."""
        if objective is Objective.ENERGY:
            return self.energy_pJ
        if objective is Objective.LATENCY:
            return float(self.cycles)
        counted = self.each_pJ * max(self.steps, self.shown * self.cycles)
        product = self.once_pJ * self.cycles + counted + self.inside_pJ * self.passes
        return product * self.cycles if objective is Objective.ED2P else product

    def at_steps(self, steps: int) -> Least:
        """Return what mappings do not go below that compute in so many cycles, were they not to hide any of them."""
        return replace(self, steps=steps, cycles=max(self.cycles, steps))

    def with_factors(self, objective: Objective, weight: float) -> float:
        """Return what mappings of some factors do not go below, given the product of their `weight_of`."""
        return weight * (1.0 if objective is Objective.LATENCY else self.once_pJ + self.each_pJ)


def weight_of(objective: Objective, steps: float, counted: float) -> float:
    """Return what a dimension's factors do to the objective: their passes over time, and what is counted of it."""
    passes = {Objective.ENERGY: 0, Objective.LATENCY: 1, Objective.EDP: 1, Objective.ED2P: 2}[objective]
    return steps**passes * (1.0 if objective is Objective.LATENCY else min(1.0, counted))


def least_of(space: Mapspace) -> Least:
    """Return what no mapping goes below."""
    units = units_of(space)
    once = each = inside = 0.0
    executions = math.prod(space.problem.bounds)
    each += executions * space.machine.compute_pJ
    must, hidden = space.kept_at_least(), 0.5 ** _may_hide(space)
    for tensor in range(must.shape[1]):
        levels = np.flatnonzero(must[:, tensor]).tolist()
        each += _asked(space, tensor, levels[-1], units)
        for level in levels:
            energy = _once(space, tensor, level, level == levels[-1], units)
            if _instances(units, level) == 1:
                once += energy
            else:
                inside += energy
    once += sent_again(space, np.array([_again(space, tensor, units) for tensor in range(must.shape[1])]))
    steps = fewest_steps(space)
    cycles = max(steps, math.ceil(_cycles_by_bandwidth(space, units) * (1 - 1e-12)))
    return Least(once, each, inside, hidden, steps, executions / units[-1], cycles)


def units_of(space: Mapspace) -> list[int]:
    """Return the instances that a mapping uses at most inside each level, outer to inner."""
    units, total = [], 1
    for level in range(len(space.machine.capacity)):
        if space.limits.levels[level, IS_FANOUT]:
            room = int(space.limits.levels[level, ROOM_X] * space.limits.levels[level, ROOM_Y])
            total *= min(room, math.prod(space.limits.loops[level, :, MOST].tolist()))
        units.append(total)
    return units


def _instances(units: list[int], level: int) -> int:
    return units[level - 1] if level > 0 else 1


def _cycles_by_bandwidth(space: Mapspace, units: list[int]) -> float:
    """Return the cycles in which levels outside all fan-outs pass on every word that they must keep once."""
    cycles, must = 0.0, space.kept_at_least()
    for level in range(len(must)):
        if space.limits.levels[level, IS_FANOUT] or _instances(units, level) > 1:
            continue
        taken = [0.0, 0.0]
        for tensor in np.flatnonzero(must[level]).tolist():
            words = space.problem.touched(space.problem.shape.tensors[tensor])
            taken[int(space.rules.is_output[tensor])] += bandwidth_taken(space.machine, level, tensor, words)
        cycles = max(cycles, cycles_taken(space.machine, level, *taken))
    return cycles


def _price(space: Mapspace, tensor: int, level: int, action: int, units: list[int]) -> float:
    """Return the least pJ of a word: instances that share a line cost no more than there are lines."""
    used = _instances(units, level)
    return float(word_energy(space.machine, level, tensor, action)) * lines_at_once(space.machine, level, used) / used


def _once(space: Mapspace, tensor: int, level: int, is_innermost: bool, units: list[int]) -> float:
    """Return pJ of moving every word of a tensor once into a level that must keep it, and out of it to another one."""
    words = space.problem.touched(space.problem.shape.tensors[tensor])
    if space.rules.is_output[tensor]:
        return 0.0 if is_innermost else words * _price(space, tensor, level, UPDATE, units)
    written = _price(space, tensor, level, WRITE, units) if level > 0 else 0.0
    return words * (written + (0.0 if is_innermost else _price(space, tensor, level, READ, units)))


def _again(space: Mapspace, tensor: int, units: list[int]) -> float:
    """Return the least pJ of sending all of a tensor into the fan-outs once more; 0 where that is not known."""
    fanouts = np.flatnonzero(space.limits.levels[:, IS_FANOUT]).tolist()
    must = np.flatnonzero(space.kept_at_least()[:, tensor]).tolist()
    if not fanouts or must[-1] < fanouts[0] or not space.rules.injective[tensor]:
        return 0.0
    if _may_pass_on(space, tensor, fanouts[0]):
        return 0.0
    last = max(level for level in must if level < fanouts[0])
    keepers = [i for i in range(last, fanouts[0]) if i == last or space.limits.levels[i, OPEN + tensor]]
    actions = (UPDATE, READ) if space.rules.is_output[tensor] else (READ,)
    words = space.problem.touched(space.problem.shape.tensors[tensor])
    return min(words * sum(_price(space, tensor, i, action, units) for action in actions) for i in keepers)


def _asked(space: Mapspace, tensor: int, last: int, units: list[int]) -> float:
    """Return pJ of what computing asks of a tensor's innermost keeper, which is ``last`` or further in."""
    asked = math.prod(space.problem.bounds) / (units[-1] // _instances(units, last))
    if _may_pass_on(space, tensor, last):
        asked = min(asked, space.problem.touched(space.problem.shape.tensors[tensor]))
    storages = np.flatnonzero(space.limits.levels[:, IS_FANOUT] == 0).tolist()
    keepers = [i for i in storages if i == last or (i > last and space.limits.levels[i, OPEN + tensor])]
    if not space.rules.is_output[tensor]:
        return min(asked * _price(space, tensor, i, READ, units) for i in keepers)
    again = max(0.0, asked - _held(space, tensor) - units[-1])  # of each instance rounded to whole words
    return min(
        asked * _price(space, tensor, i, UPDATE, units) + again * _price(space, tensor, i, READ, units) for i in keepers
    )


def _may_pass_on(space: Mapspace, tensor: int, last: int) -> bool:
    """Return whether neighbours further in than a level may pass a tensor's words on; see `model.kernel.may_link`."""
    rules, inmost = space.rules, len(space.limits.levels) - 1
    return any(
        space.limits.levels[i, IS_FANOUT]
        and not rules.no_link[i, tensor]
        and (i == inmost or rules.no_reuse[i + 1, tensor] or not rules.injective[tensor])
        for i in range(last, inmost + 1)
    )


def _held(space: Mapspace, tensor: int) -> float:
    """Return the words of outputs that are written for the first time somewhere, at most."""
    moved = (space.rules.coefficients[tensor] != 0).any(axis=0)
    copies = 1
    for level in np.flatnonzero(space.limits.levels[:, IS_FANOUT]).tolist():
        for axis, room in ((ON_X, ROOM_X), (ON_Y, ROOM_Y)):
            if any(may_lie(space, level, d, axis) and not moved[d] for d in range(len(moved))):
                copies *= int(space.limits.levels[level, room])
    return float(space.problem.touched(space.problem.shape.tensors[tensor])) * copies


def _may_hide(space: Mapspace) -> int:
    """Return of how many dimensions the first child may end early: shared out with a loop over time further in."""
    fanouts = np.flatnonzero(space.limits.levels[:, IS_FANOUT]).tolist()
    count = 0
    for d in range(len(space.limits.bounds)):
        shared = [i for i in fanouts if may_lie(space, i, d, ON_X) or may_lie(space, i, d, ON_Y)]
        count += any(
            space.limits.loops[i, d, MOST] > 1 and not space.limits.levels[i, IS_FANOUT]
            for i in range(shared[0] if shared else len(space.limits.levels), len(space.limits.levels))
        )
    return count


def fewest_steps(space: Mapspace) -> int:
    """Return the fewest cycles of computing: of every dimension what its share of the units leaves, rounded up."""
    even = -(-math.prod(space.problem.bounds) // units_of(space)[-1])
    return max(even, min(shares_of(space), default=(0, ()))[0])
