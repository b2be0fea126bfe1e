"""The search with imperfect factors: from the best perfect mapping on, by local search, with a bound for all others.

It never returns worse than the best perfect mapping, and proves no optimum unless the bound is met. The same problem
and count of evaluations give the same answer.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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
from dovetail.mapper.objective import Objective
from dovetail.mapper.residual_moves import DRAWS, change_imperfect
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Nest, Residuals, Rules
from dovetail.model.encode import decode_mapping, encode_machine, encode_mapping, encode_residuals, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.model.residual_batch import evaluate_imperfect_batch
from dovetail.workload.problem import Problem

#: Mappings that stay from one round to the next.
CROWD = 24
#: Changed mappings per round; those that the bound does not rule out are evaluated.
BROOD = 2048
#: Rounds without a better mapping after which it begins anew from the perfect one.
STALE = 12
#: Changed mappings evaluated per round, at most.
PICKED = 128
#: How far above the best met a mapping's bound may be for it to be evaluated: worse ones can lead to better ones.
SLACK = 1.05


def search_imperfect(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    evaluations: int = 4000,
    rounds: int = 100,
    time_limit: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best mapping met whose factors need not divide the bounds; at least as good as all perfect ones.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        evaluations: imperfect mappings to evaluate, about.
        rounds: rounds of changes, at most; most changes break a limit or are ruled out by the bound.
        time_limit: seconds after which the best so far is returned; None: no limit.
        progress: told how far the search is.

    Raises:
        NoMappingError: no perfect mapping exists.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    began = time.monotonic()
    perfect = search(problem, architecture, energies, objective, time_limit=time_limit, progress=progress)
    space = _Space.of(problem, bound_to(architecture, problem), energies, objective)
    least = least_of(space)

    def is_over() -> bool:
        return time_limit is not None and time.monotonic() - began > time_limit

    best, evaluated = _hunt(space, least, perfect.mapping, evaluations, rounds, is_over, progress)
    mapping = space.mapping(best)
    cost = evaluate(mapping, problem, space.architecture, energies)
    value, known = (objective.value_of(each.energy_pJ, each.cycles) for each in (cost, perfect.cost))
    if value >= known:
        mapping, cost, value = perfect.mapping, perfect.cost, known
    bound = min(value, least.value(objective))
    certificate = replace(
        perfect.certificate,
        exact=value <= bound,
        value=value,
        bound=bound,
        compute_bound_cycles=least.cycles,
        compulsory_pJ=least.energy_pJ,
        states=perfect.certificate.states + evaluated,
        method="imperfect factors, too: the best perfect mapping, and from there the best that a local search met "
        f"among {evaluated:,} others",
        binding=(f"without imperfect factors the best {objective} is {known:.6g}",),
        seconds=time.monotonic() - began,
    )
    return SearchResult(objective, mapping, cost, certificate)


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
class _Space:
    """A problem on an architecture with bound constraints as arrays, of the active dimensions only."""

    problem: Problem
    architecture: Architecture
    objective: Objective
    active: list[int]
    bounds: Ints
    rules: Rules
    machine: Machine
    limits: Limits

    @staticmethod
    def of(problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective) -> _Space:
        """Encode them."""
        active = active_dimensions(problem)
        rules, machine = encode_rules(problem, architecture), encode_machine(architecture, energies)
        coefficients = np.ascontiguousarray(rules.coefficients[:, :, active])
        noticed = coefficients != 0
        injective = (noticed.sum(axis=2) <= 1).all(axis=1) & (noticed.sum(axis=1) <= 1).all(axis=1)
        rules = rules._replace(coefficients=coefficients, injective=injective)
        limits = limits_of(problem, architecture, rules, machine)
        bounds = np.array([problem.bounds[d] for d in active], np.int64)
        return _Space(problem, architecture, objective, active, bounds, rules, machine, limits)

    def crowd(self, mapping: Mapping) -> _Crowd:
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

    def evaluated(self, genes: Ints, keep: Bools, last: Ints) -> _Crowd:
        """Return mappings with their ranks; those that do not fit rank infinitely bad.

        They rank by the energy that they would have were no instances cut off, at most: no answer is good by that only.
        """
        nests = Nest._make(np.ascontiguousarray(array) for array in (*genes.swapaxes(0, 1), keep))
        residuals = Residuals._make(np.ascontiguousarray(array) for array in last.swapaxes(0, 1))
        costs, lost = evaluate_imperfect_batch(nests, residuals, self.rules, self.machine)
        energy, cycles = costs.energy_pJ * lost, costs.cycles.astype(np.float64)
        if self.objective is Objective.ENERGY:
            first, second = energy, cycles
        elif self.objective is Objective.LATENCY:
            first, second = cycles, energy
        else:
            first, second = energy * cycles * (cycles if self.objective is Objective.ED2P else 1.0), energy
        first = np.where(costs.overflow >= 0, np.inf, first)
        return _Crowd(genes, keep, last, np.stack([first, second], axis=1))

    def mapping(self, crowd: _Crowd) -> Mapping:
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
class _Crowd:
    """Mappings with what they are ranked by.

    Attributes:
        genes: as `dovetail.mapper.limits` has them.
        keep: likewise.
        last: ``(candidates, 2, levels, dims)`` iterations of last passes, over time and in space.
        rank: ``(candidates, 2)`` what is minimised, and what breaks ties.
    """

    genes: Ints
    keep: Bools
    last: Ints
    rank: Floats

    def best(self, count: int) -> _Crowd:
        """Return so many, best first; one of those that rank equal."""
        order = np.lexsort((self.rank[:, 1], self.rank[:, 0]))
        ranks = self.rank[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (ranks[1:] != ranks[:-1]).any(axis=1)
        chosen = order[new][:count]
        return _Crowd(self.genes[chosen], self.keep[chosen], self.last[chosen], self.rank[chosen])

    def joined(self, other: _Crowd) -> _Crowd:
        """Return these, then the others."""
        return _Crowd(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.keep, other.keep]),
            np.concatenate([self.last, other.last]),
            np.concatenate([self.rank, other.rank]),
        )


def _hunt(
    space: _Space,
    least: Least,
    start: Mapping,
    evaluations: int,
    rounds: int,
    is_over: Callable[[], bool],
    progress: Callable[[str], None] | None,
) -> tuple[_Crowd, int]:
    """Return the best met, first of its crowd, and how many mappings were evaluated."""
    generator, met, done, stale = np.random.default_rng(0), set[int](), 0, 0
    first = best = crowd = space.crowd(start)
    for turn in range(rounds):
        if done >= evaluations or is_over():
            break
        if progress is not None:
            progress(f"imperfect factors, round {turn + 1}: {done:,} mappings evaluated")
        changed = _changed(space, least, crowd, generator, met, best.rank[0, 0])
        if changed is not None:
            done += len(changed.rank)
            crowd = crowd.joined(changed).best(CROWD)
        stale = 0 if tuple(crowd.rank[0]) < tuple(best.rank[0]) else stale + 1
        if stale == 0:
            best = crowd
        if stale >= STALE:
            crowd, stale = first, 0
            met.clear()
    return best, done


def _changed(
    space: _Space, least: Least, crowd: _Crowd, generator: np.random.Generator, met: set[int], goal: float
) -> _Crowd | None:
    """Return changed mappings of a crowd that are new and that computing alone does not rule out; None: no such one."""
    mothers = (generator.random(BROOD) ** 2 * len(crowd.rank)).astype(np.int64)
    fathers = generator.integers(0, len(crowd.rank), BROOD)
    genes, keep, last = crowd.genes[mothers], crowd.keep[mothers], crowd.last[mothers]
    steps, marks = np.empty(BROOD, np.int64), np.empty(BROOD, np.int64)
    draws = generator.random((BROOD, DRAWS))
    change_imperfect(space.limits, space.bounds, genes, keep, last, crowd.genes, fathers, draws, steps, marks)
    chosen: list[int] = []
    for at in np.flatnonzero(steps).tolist():
        hopeful = replace(least, cycles=int(steps[at])).value(space.objective) < goal * SLACK
        if hopeful and marks[at] not in met and len(chosen) < PICKED:
            met.add(int(marks[at]))
            chosen.append(at)
    return space.evaluated(genes[chosen], keep[chosen], last[chosen]) if chosen else None


def least_of(space: _Space) -> Least:
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
            reach = 1 + (space.rules.coefficients[tensor] * (space.bounds - 1)).sum(axis=1)
            whole_axes = (space.rules.coefficients[tensor] <= 1).all()
            if whole_axes:
                energy += math.prod(reach.tolist()) / machine.block[0] * machine.energy[0, 2 if is_output else 0]
    several = [count for count in units if count > 1]
    half, share = (0.5, 1 - 1 / min(several)) if several else (1.0, 1.0)
    return Least(float(energy) * half, -(-executions // units[-1]), float(energy) * share)


def _units(space: _Space) -> list[int]:
    """Return the instances that a mapping uses at most inside each level, outer to inner."""
    units, total = [], 1
    for level in range(len(space.machine.block)):
        if space.limits.levels[level, IS_FANOUT]:
            room = int(space.limits.levels[level, ROOM_X] * space.limits.levels[level, ROOM_Y])
            total *= min(room, math.prod(space.limits.loops[level, :, MOST].tolist()))
        units.append(total)
    return units


def _per_execution(space: _Space, tensor: int) -> float:
    """Return pJ that a tensor's operand costs at least per execution, the outermost storage aside."""
    cheapest, action = math.inf, 2 if space.rules.is_output[tensor] else 0
    name = space.problem.shape.tensors[tensor].name
    for level in range(len(space.machine.block) - 1, 0, -1):
        if space.limits.levels[level, IS_FANOUT]:
            return 0.0
        if name in space.architecture.levels[level].constraints.bypass:
            continue
        cheapest = min(cheapest, float(space.machine.energy[level, action] / space.machine.block[level]))
        if not space.limits.levels[level, OPEN + tensor]:
            return cheapest
    return 0.0
