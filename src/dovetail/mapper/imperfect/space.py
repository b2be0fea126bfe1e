"""The space of mappings whose factors need not divide, as arrays, what ranks its mappings, and what none goes below."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.limits import (
    GENES,
    IS_FANOUT,
    MOST,
    OPEN,
    ORDER,
    ROOM_X,
    ROOM_Y,
    SPATIAL_ORDER,
    Limits,
    active_dimensions,
    limits_of,
)
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Nest, Residuals, Rules
from dovetail.model.charges import READ, UPDATE, word_energy, words_of
from dovetail.model.encode import (
    decode_mapping,
    encode_machine,
    encode_mapping,
    encode_residuals,
    encode_rules,
    rules_of,
)
from dovetail.model.residual_batch import evaluate_imperfect_batch
from dovetail.workload.problem import Problem


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


@dataclass(frozen=True)
class ImperfectSpace:
    """A problem on an architecture with bound constraints as arrays, of the active dimensions only."""

    problem: Problem
    architecture: Architecture
    objective: Objective
    active: list[int]
    rules: Rules
    machine: Machine
    limits: Limits

    @staticmethod
    def of(problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective) -> ImperfectSpace:
        """Encode them."""
        active = active_dimensions(problem)
        rules = rules_of(encode_rules(problem, architecture), active)
        machine = encode_machine(problem, architecture, energies)
        limits = limits_of(problem, architecture, rules, machine)
        return ImperfectSpace(problem, architecture, objective, active, rules, machine, limits)

    def kept_at_least(self) -> Bools:
        """Return ``(levels, tensors)``: what every mapping keeps."""
        tensors = self.problem.shape.tensors
        return np.array(
            [
                [not self.limits.levels[i, IS_FANOUT] and (i == 0 or t.name in level.constraints.keep) for t in tensors]
                for i, level in enumerate(self.architecture.levels[:-1])
            ],
            np.bool_,
        )

    def crowd(self, mapping: Mapping) -> Crowd:
        """Return one mapping as a crowd."""
        nest = encode_mapping(mapping, self.problem, self.architecture, imperfect=True)
        place = {d: i for i, d in enumerate(self.active)}
        columns = [
            np.array([[place[d] for d in row if d in place] for row in array.tolist()])
            if field in (ORDER, SPATIAL_ORDER)
            else array[:, self.active]
            for field, array in enumerate(nest[:GENES])
        ]
        last = np.stack([part[:, self.active] for part in encode_residuals(mapping, self.problem)])
        return self.evaluated(np.stack(columns)[None], nest.keep[None], last[None])

    def evaluated(self, genes: Ints, keep: Bools, last: Ints) -> Crowd:
        """Return mappings with their ranks; those that do not fit rank infinitely bad.

        They rank by the energy that they would have were no instances cut off, at most: no answer is good by that only.
        """
        nests = Nest._make(np.ascontiguousarray(array) for array in (*genes.swapaxes(0, 1), keep))
        residuals = Residuals._make(np.ascontiguousarray(array) for array in last.swapaxes(0, 1))
        costs, lost = evaluate_imperfect_batch(nests, residuals, self.rules, self.machine)
        cycles = costs.cycles.astype(np.float64)
        first, second = ranks_of(self.objective, costs.energy_pJ * lost, cycles)
        own, _ = ranks_of(self.objective, costs.energy_pJ, cycles)
        ranks = np.stack([first, second, own], axis=1)
        ranks[costs.overflow >= 0] = np.inf
        return Crowd(genes, keep, last, ranks)

    def mapping(self, crowd: Crowd) -> Mapping:
        """Return the first of a crowd as a mapping."""
        levels, dims = crowd.genes.shape[2], len(self.problem.bounds)
        factors = np.ones((GENES + 2, levels, dims), np.int64)
        factors[:GENES, :, self.active] = crowd.genes[0]
        factors[GENES:, :, self.active] = crowd.last[0]
        order, spatial_order = (
            np.array([[self.active[d] for d in row] for row in crowd.genes[0, field]])
            for field in (ORDER, SPATIAL_ORDER)
        )
        nest = Nest(factors[0], order, factors[2], factors[3], spatial_order, crowd.keep[0])
        return decode_mapping(nest, self.problem, self.architecture, Residuals(factors[GENES], factors[GENES + 1]))


@dataclass(frozen=True)
class Crowd:
    """Mappings with what they are ranked by.

    Attributes:
        genes: as `dovetail.mapper.limits` has them.
        keep: likewise.
        last: ``(candidates, 2, levels, dims)`` iterations of last passes, over time and in space.
        rank: ``(candidates, 3)`` what is minimised, what breaks ties, and what is minimised as the model gives it.
    """

    genes: Ints
    keep: Bools
    last: Ints
    rank: Floats

    def best(self, count: int) -> Crowd:
        """Return so many, best first; one of those that rank equal."""
        order = np.lexsort((self.rank[:, 1], self.rank[:, 0]))
        ranks = self.rank[order, :2]
        new = np.ones(len(order), np.bool_)
        new[1:] = (ranks[1:] != ranks[:-1]).any(axis=1)
        chosen = order[new][:count]
        return Crowd(self.genes[chosen], self.keep[chosen], self.last[chosen], self.rank[chosen])

    def joined(self, other: Crowd) -> Crowd:
        """Return these, then the others."""
        return Crowd(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.keep, other.keep]),
            np.concatenate([self.last, other.last]),
            np.concatenate([self.rank, other.rank]),
        )


def least_of(space: ImperfectSpace) -> Least:
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


def _units(space: ImperfectSpace) -> list[int]:
    """Return the instances that a mapping uses at most inside each level, outer to inner."""
    units, total = [], 1
    for level in range(len(space.machine.capacity)):
        if space.limits.levels[level, IS_FANOUT]:
            room = int(space.limits.levels[level, ROOM_X] * space.limits.levels[level, ROOM_Y])
            total *= min(room, math.prod(space.limits.loops[level, :, MOST].tolist()))
        units.append(total)
    return units


def _per_execution(space: ImperfectSpace, tensor: int) -> float:
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
