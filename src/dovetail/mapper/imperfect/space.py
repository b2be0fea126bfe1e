"""The space of mappings whose factors need not divide, as arrays, what ranks its mappings, and what none goes below."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.limits import IS_FANOUT, MOST, OPEN, ROOM_X, ROOM_Y
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Bools, Ints, Nest, Residuals
from dovetail.model.charges import READ, UPDATE, word_energy, words_of
from dovetail.model.encode import encode_mapping, encode_residuals
from dovetail.model.residual_batch import evaluate_imperfect_batch


@dataclass(frozen=True)
class Least:
    """What no mapping goes below, whether its factors divide or not.

    Attributes:
        energy_pJ: energy.
        cycles: cycles.
        energy_at_pJ: what energy times cycles, or times their square, does not go below, over ``cycles``.
    """

    energy_pJ: float
    cycles: int
    energy_at_pJ: float

    def value(self, objective: Objective) -> float:
        """Return a value of the objective that no mapping goes below."""
        energy = self.energy_pJ if objective is Objective.ENERGY else self.energy_at_pJ
        return objective.value_of(energy, self.cycles)


def crowd_of(space: Mapspace, mapping: Mapping) -> Crowd:
    """Return one mapping as a crowd."""
    nest = encode_mapping(mapping, space.problem, space.architecture, imperfect=True)
    genes = space.genes(Nest._make(array[None] for array in nest))
    last = np.stack([part[:, space.active] for part in encode_residuals(mapping, space.problem)])
    return evaluated(space, genes, nest.keep[None], last[None])


def evaluated(space: Mapspace, genes: Ints, keep: Bools, last: Ints) -> Crowd:
    """Return mappings with their ranks; those that do not fit rank infinitely bad.

    They rank by the energy that they would have were no instances cut off, at most: no answer is good by that only. The
    third rank is what is minimised as the model gives it.
    """
    nests = Nest._make(np.ascontiguousarray(array) for array in (*genes.swapaxes(0, 1), keep))
    residuals = Residuals._make(np.ascontiguousarray(array) for array in last.swapaxes(0, 1))
    costs, lost = evaluate_imperfect_batch(nests, residuals, space.rules, space.machine)
    cycles = costs.cycles.astype(np.float64)
    first, second = ranks_of(space.objective, costs.energy_pJ * lost, cycles)
    own, _ = ranks_of(space.objective, costs.energy_pJ, cycles)
    ranks = np.stack([first, second, own], axis=1)
    ranks[costs.overflow >= 0] = np.inf
    return Crowd(genes, keep, ranks, last)


def least_of(space: Mapspace) -> Least:
    """Return what no mapping goes below.

    Cycles: the executions of the loop body over the units that constraints allow. Energy: computing; from the
    innermost storage that may serve a tensor to all units without a fan-out in between, a word per execution; every
    tensor without holes once at the outermost storage. The model cuts the average ``u`` of instances in use off to
    an integer, which takes less than half of the energy. It takes less from energy times cycles, which are at least
    in proportion to ``floor(u) / u**2`` with ``u`` at most ``n``: all but a share of ``1 - 1/n`` stays.
    """
    executions, units = math.prod(space.problem.bounds), _units(space)
    outputs, machine = space.rules.is_output.tolist(), space.machine
    each = machine.compute_pJ + sum(_per_execution(space, tensor) for tensor in range(len(outputs)))
    energy = executions * each
    for tensor, is_output in enumerate(outputs):
        if space.rules.injective[tensor]:
            axes, action = space.rules.coefficients[tensor], UPDATE if is_output else READ
            if (axes <= 1).all():
                words = words_of(axes, space.limits.bounds)
                energy += int(words) * word_energy(machine, 0, tensor, action)
    several = [count for count in units if count > 1]
    half, share = (0.5, 1 - 1 / min(several)) if several else (1.0, 1.0)
    return Least(float(energy) * half, -(-executions // units[-1]), float(energy) * share)


def _units(space: Mapspace) -> list[int]:
    """Return the instances that a mapping uses at most inside each level, outer to inner."""
    units, total = [], 1
    for level in range(len(space.machine.capacity)):
        if space.limits.levels[level, IS_FANOUT]:
            room = int(space.limits.levels[level, ROOM_X] * space.limits.levels[level, ROOM_Y])
            total *= min(room, math.prod(space.limits.loops[level, :, MOST].tolist()))
        units.append(total)
    return units


def _per_execution(space: Mapspace, tensor: int) -> float:
    """Return pJ that a tensor's operand costs at least per execution, the outermost storage aside."""
    cheapest, action = math.inf, UPDATE if space.rules.is_output[tensor] else READ
    name = space.problem.shape.tensors[tensor].name
    for level in range(len(space.machine.capacity) - 1, 0, -1):
        if space.limits.levels[level, IS_FANOUT]:
            return 0.0
        if name in space.architecture.levels[level].constraints.bypass:
            continue
        cheapest = min(cheapest, float(word_energy(space.machine, level, tensor, action)))
        if not space.limits.levels[level, OPEN + tensor]:
            return cheapest
    return 0.0
