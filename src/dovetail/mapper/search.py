"""The exact search: the best of all mappings that an architecture allows, with a certificate."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper import expand
from dovetail.mapper.explore import OutOfReach, Progress, compile_steps, explore, mapping_of
from dovetail.mapper.infeasible import reason
from dovetail.mapper.objective import Objective
from dovetail.mapper.prepare import Prepared, prepare
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapper.sample import random_search
from dovetail.mapper.space import build_space
from dovetail.mapper.tables import mapspace_size
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: Values tried in turn, as multiples of the lower bound: all mappings below one are covered before the next.
STEPS = (1.002, 1.01, 1.03, 1.08, 1.2, 1.4, 1.7, 2.2, 3.0, 5.0, 10.0, 100.0, math.inf)
#: Random mappings of which the best is the answer when time or space ends the search before it meets one.
SAMPLES = 20_000

_CODES = {
    Objective.EDP: expand.EDP,
    Objective.ENERGY: expand.ENERGY_FIRST,
    Objective.LATENCY: expand.LATENCY_FIRST,
    Objective.ED2P: expand.ED2P,
}


@dataclass(frozen=True)
class _Found:
    """A complete mapping: its costs as the search counts them, and its decisions."""

    energy: float
    cycles: float
    path: NDArray[np.int32]


class _Watch:
    """Watches the clock, and tells how far the search is."""

    def __init__(self, limit: float | None, report: Callable[[str], None] | None) -> None:
        self._start, self._limit, self._report = time.monotonic(), limit, report
        self._said = self._start
        self.progress = Progress(check=self.check)
        self.doing = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def check(self) -> None:
        """Report about twice a second; raise `OutOfReach` when time is up."""
        now = time.monotonic()
        if self._report is not None and now - self._said > 0.5:
            self._said = now
            states = int(self.progress.stats[expand.STATES])
            self._report(f"{self.doing}, level {self.progress.level + 1}: {states:,} partial mappings")
        if self._limit is not None and now - self._start > self._limit:
            raise OutOfReach(f"{self._limit:g} s are over")


def search(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best of all mappings that constraints and capacities allow.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        front: return the whole Pareto front over (energy, cycles) as well.
        time_limit: seconds after which the best so far is returned, with a bound; None: no limit.
        progress: told about twice a second how far the search is.

    Raises:
        NoMappingError: no mapping exists; the message says why and what would be enough.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    prepared = prepare(build_space(problem, architecture, energies))
    if prepared.tables.parallelism[0, -1] == 0:
        raise NoMappingError(f"{problem.name} on {architecture.name}: {reason(prepared.space, prepared.tables.words)}")
    compile_steps(prepared)
    watch = _Watch(time_limit, progress)
    best, bound, exact = _best(prepared, objective, watch)
    points: tuple[FrontPoint, ...] = ()
    if front:
        points, complete = _front(prepared, objective, best, watch)
        exact = exact and complete
    mapping, cost = _answer(prepared, best, objective, energies)
    certificate = _certificate(prepared, objective, cost, bound, exact, watch)
    return SearchResult(objective, mapping, cost, certificate, points)


def _best(prepared: Prepared, objective: Objective, watch: _Watch) -> tuple[_Found | None, float, bool]:
    """Return the best mapping found, a value that none goes below, and whether the two are one."""
    code = _CODES[objective]
    floor = _floor(prepared, code)
    covered = floor
    known: _Found | None = None
    try:
        for step in STEPS:
            watch.doing = f"covering all below {step:g} x the bound"
            limit = floor * step
            goal = expand.goal_array(code, limit)
            if known is not None and _rank(code, known)[0] <= limit:
                limit = _rank(code, known)[0]
                goal = expand.goal_array(code, *_rank(code, known))
            found = _least(code, *_complete(prepared, goal, watch.progress))
            known = min((one for one in (known, found) if one is not None), key=partial(_rank, code), default=None)
            if known is not None and _rank(code, known)[0] <= limit:
                return known, _rank(code, known)[0], True
            covered = limit
    except (OutOfReach, KeyboardInterrupt):
        pass
    return known, covered, False


def _rank(code: int, found: _Found) -> tuple[float, float]:
    """Return what is minimised, and what breaks ties."""
    value, second = expand.objective_value(code, found.energy, found.cycles)
    return float(value), float(second)


def _floor(prepared: Prepared, code: int) -> float:
    """Return a value that no mapping goes below."""
    value, _ = expand.objective_value(code, prepared.compulsory_pJ, prepared.least_cycles)
    return max(float(value), 1e-300)


def _complete(prepared: Prepared, goal: Floats, progress: Progress) -> tuple[NDArray[np.int32], Floats]:
    """Return paths and (energy, cycles) of the complete mappings below the goal."""
    rows, totals = explore(prepared, goal, progress)
    if progress.stats[expand.TOO_LONG]:
        raise OutOfReach("a sliding window depends on more loops than the search remembers")
    return rows.path, totals


def _least(code: int, paths: NDArray[np.int32], totals: Floats) -> _Found | None:
    """Return the best of complete mappings; the first one of equals."""
    if not len(totals):
        return None
    candidates = [_Found(energy, cycles, path) for (energy, cycles), path in zip(totals.tolist(), paths, strict=True)]
    return min(candidates, key=partial(_rank, code))


def _answer(
    prepared: Prepared, best: _Found | None, objective: Objective, energies: EnergyTable
) -> tuple[Mapping, Cost]:
    """Return the mapping found and its cost; when time ended the search, or none was found, the best of samples too."""
    space = prepared.space
    answers = []
    if best is not None:
        mapping = mapping_of(prepared, best.path)
        answers.append((mapping, evaluate(mapping, space.problem, space.architecture, energies)))
    else:
        answers.append(random_search(space.problem, space.architecture, energies, objective, SAMPLES))
    return min(answers, key=lambda answer: objective.value_of(answer[1].energy_pJ, answer[1].cycles))


def _front(
    prepared: Prepared, objective: Objective, best: _Found | None, watch: _Watch
) -> tuple[tuple[FrontPoint, ...], bool]:
    """Return the Pareto front over (energy, cycles), by rising energy, and whether it is complete."""
    known = [] if best is None else [best]
    complete = best is not None
    for other in Objective:
        if other is not objective and other is not Objective.ED2P:
            found, _, exact = _best(prepared, other, watch)
            known += [] if found is None else [found]
            complete = complete and exact
    watch.doing = "covering the Pareto front"
    paths, totals = [one.path for one in known], [(one.energy, one.cycles) for one in known]
    try:
        if not complete:
            raise OutOfReach("its ends are not known")
        goal = expand.goal_array(expand.FRONT, front=_staircase(totals))
        more, values = _complete(prepared, goal, watch.progress)
        paths += list(more)
        totals += [(energy, cycles) for energy, cycles in values.tolist()]
    except (OutOfReach, KeyboardInterrupt):
        complete = False
    points: list[FrontPoint] = []
    for at in sorted(range(len(totals)), key=totals.__getitem__):
        energy, cycles = totals[at]
        if not points or cycles < points[-1].cycles:
            points.append(FrontPoint(energy, int(cycles), mapping_of(prepared, paths[at])))
    return tuple(points), complete


def _staircase(points: list[tuple[float, float]]) -> Floats:
    """Return cycles (rising) and the least energy at no more cycles, ``(2, points)``."""
    ordered = np.array(sorted((cycles, energy) for energy, cycles in points)).T
    ordered[1] = np.minimum.accumulate(ordered[1])
    return ordered


def _certificate(
    prepared: Prepared, objective: Objective, cost: Cost, bound: float, exact: bool, watch: _Watch
) -> Certificate:
    space, stats = prepared.space, watch.progress.stats
    value = objective.value_of(cost.energy_pJ, cost.cycles)
    parallel = int(prepared.tables.parallelism[0, -1])
    return Certificate(
        exact=exact,
        mapspace_size=mapspace_size(space),
        states=int(stats[expand.STATES]),
        pruned_by_bound=int(stats[expand.BY_BOUND]),
        pruned_by_dominance=int(stats[expand.BY_DOMINANCE]),
        pruned_by_capacity=int(stats[expand.BY_CAPACITY]),
        value=value,
        bound=value if exact else min(bound, value),
        compute_bound_cycles=math.ceil(space.problem.macs / parallel),
        compulsory_pJ=prepared.compulsory_pJ,
        binding=_binding(prepared, cost, parallel),
        method="outermost level in, exact states merged by dominance, all below the answer's value covered"
        if exact
        else "outermost level in, stopped early; the answer is the best met so far, or the best of random mappings",
        seconds=watch.seconds,
    )


def _binding(prepared: Prepared, cost: Cost, parallel: int) -> tuple[str, ...]:
    """Say what stands between the answer and the physical bounds."""
    said = []
    units = prepared.space.machine.units
    if parallel < units:
        said.append(f"constraints and bounds let {parallel} of {units} compute units work at a time")
    steps = cost.levels[-1].cycles
    used = cost.levels[-1].instances
    if used < parallel:
        said.append(f"{used} of the {parallel} compute units within reach are used")
    slow = [level for level in cost.levels[:-1] if level.cycles > steps]
    if slow:
        worst = max(slow, key=lambda level: level.cycles)
        said.append(f"the bandwidth of {worst.name}: {worst.cycles} cycles against {steps} of computing")
    else:
        said.append(f"computing: {steps} cycles")
    return tuple(said)
