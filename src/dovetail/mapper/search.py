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
from dovetail.mapper.compiled import compile_all
from dovetail.mapper.completion import MOST_ENTRIES
from dovetail.mapper.explore import (
    Progress,
    Rows,
    compile_steps,
    explore,
    first_rows,
    mapping_of,
    pass_level,
)
from dovetail.mapper.improve import improve
from dovetail.mapper.infeasible import reason
from dovetail.mapper.objective import Objective
from dovetail.mapper.prepare import Prepared, prepare
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapper.sample import unproven
from dovetail.mapper.space import OutOfReach, build_space
from dovetail.mapper.tables import mapspace_size
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: Values under which a first mapping is looked for in turn, as multiples of the lower bound.
LIMITS = (1.01, 1.05, 1.2, 1.5, 2.0, 4.0, 16.0, math.inf)
#: Partial mappings a level that a first mapping, and a better one, are looked for among.
NARROW, WIDE = 8, 64
#: A first mapping beyond this factor of the lower bound is compared with what a local search meets among so many.
FAR, LIKELY = 64.0, 20_000
#: Tabulated least energies for every second that a search may take: filling them must not take most of it.
ENTRIES_A_SECOND = 20_000_000
#: A mapping within this factor of the lowest bound is good enough to prune by.
CLOSE = 1.1
#: Partial mappings at a level beyond which a better mapping is looked for before all of them are followed.
CROWD = 1024

_CODES = {
    Objective.EDP: expand.EDP,
    Objective.ENERGY: expand.ENERGY_FIRST,
    Objective.LATENCY: expand.LATENCY_FIRST,
    Objective.ED2P: expand.ED2P,
}


@dataclass(frozen=True)
class _Found:
    """A complete mapping: its costs as the search counts them, and its decisions, or the mapping itself."""

    energy: float
    cycles: float
    decisions: NDArray[np.int32] | Mapping

    def mapping(self, prepared: Prepared) -> Mapping:
        """Return the mapping."""
        return self.decisions if isinstance(self.decisions, Mapping) else mapping_of(prepared, self.decisions)


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

    def restart(self) -> None:
        """Begin to count now: compiling takes long but once."""
        self._start = self._said = time.monotonic()

    def is_over(self) -> bool:
        """Whether time is up."""
        return self._limit is not None and self.seconds > self._limit

    def check(self) -> None:
        """Report about twice a second; raise `OutOfReach` when time is up."""
        now = time.monotonic()
        if self._report is not None and now - self._said > 0.5:
            self._said = now
            states = int(self.progress.stats[expand.STATES])
            self._report(f"{self.doing}, level {self.progress.level + 1}: {states:,} partial mappings")
        if self.is_over():
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
    compile_all(progress)
    watch = _Watch(time_limit, progress)
    try:
        entries = MOST_ENTRIES if time_limit is None else min(MOST_ENTRIES, int(ENTRIES_A_SECOND * time_limit))
        prepared = prepare(build_space(problem, architecture, energies), entries)
    except (OutOfReach, KeyboardInterrupt) as why:
        return _likely(problem, architecture, energies, objective, str(why) or "interrupted", watch)
    if prepared.tables.parallelism[0, -1] == 0:
        said = reason(prepared.space, prepared.tables.words, architecture, energies, watch.is_over)
        raise NoMappingError(f"{problem.name} on {architecture.name}: {said}")
    compile_steps(prepared)
    watch.restart()
    best, bound, exact = _best(prepared, objective, energies, watch)
    if not exact:
        best = _or_likely(prepared, objective, energies, best)
    points: tuple[FrontPoint, ...] = ()
    if front:
        points, complete = _front(prepared, objective, energies, best, watch)
        exact = exact and complete
    mapping = best.mapping(prepared)
    cost = evaluate(mapping, problem, prepared.space.architecture, energies)
    certificate = _certificate(prepared, objective, cost, bound, exact, watch)
    return SearchResult(objective, mapping, cost, certificate, points)


def _likely(
    problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective, why: str, watch: _Watch
) -> SearchResult:
    """Return a mapping that is likely to be good, for a space that cannot be covered."""
    found = improve(problem, architecture, energies, objective, stop=watch.is_over)
    method = f"beyond exact reach ({why}): the best that a local search met among {found.evaluations:,} mappings"
    certificate = unproven(
        problem, architecture, energies, objective, found.cost, method, found.evaluations, watch.seconds
    )
    return SearchResult(objective, found.mapping, found.cost, certificate)


def _best(
    prepared: Prepared, objective: Objective, energies: EnergyTable, watch: _Watch, start: _Found | None = None
) -> tuple[_Found, float, bool]:
    """Return the best mapping found, a value that none goes below, and whether the two are one.

    ``start`` is a mapping that is known, if there is one.

    A good mapping is found first, among the few most promising partial mappings of every level. Then all partial
    mappings are followed whose bound is below its value, which leaves the best of all.
    """
    code = _CODES[objective]
    progress = watch.progress
    progress.least = floor = _floor(prepared, code)
    known = start
    if known is None or _rank(code, known)[0] > CLOSE * floor:
        first = _first(prepared, objective, energies, watch)
        known = min(filter(None, (start, first)), key=partial(_rank, code))
    if _rank(code, known)[0] > FAR * floor:
        known = _or_likely(prepared, objective, energies, known)
    watch.doing = "looking for a better mapping everywhere"
    try:
        rows = first_rows(prepared)
        for level in range(len(prepared.space.levels)):
            if len(rows.bound) > CROWD:
                known = _better_among(prepared, code, known, progress, rows, level)
                rows = rows.pick(np.flatnonzero(rows.bound <= _rank(code, known)[0]))
            if len(rows.bound):
                progress.least = max(floor, float(rows.bound.min()))
            progress.level = level
            rows = pass_level(prepared, expand.goal_array(code, *_rank(code, known)), level, rows, progress)
        known = _better(prepared, code, known, progress, None, rows, len(prepared.space.levels))
    except (OutOfReach, KeyboardInterrupt):
        return known, min(progress.least, _rank(code, known)[0]), False
    return known, _rank(code, known)[0], True


def _or_likely(prepared: Prepared, objective: Objective, energies: EnergyTable, known: _Found) -> _Found:
    """Return the better of a mapping and what a local search meets in about a second."""
    space = prepared.space
    try:
        found = improve(space.problem, space.architecture, energies, objective, evaluations=LIKELY)
    except NoMappingError:
        return known
    likely = _Found(found.cost.energy_pJ, found.cost.cycles, found.mapping)
    return min((known, likely), key=partial(_rank, _CODES[objective]))


def _better_among(prepared: Prepared, code: int, known: _Found, progress: Progress, rows: Rows, level: int) -> _Found:
    """Return the best completion found of many partial mappings: of the more the further the known one is from them."""
    width, least = WIDE, float(rows.bound.min())
    while True:
        known = _better(prepared, code, known, progress, width, rows, level)
        if 8 * width > len(rows.bound) or _rank(code, known)[0] <= CLOSE * least:
            return known
        width *= 4


def _better(
    prepared: Prepared, code: int, known: _Found, progress: Progress, width: int | None, rows: Rows, level: int
) -> _Found:
    """Return the best completion found of partial mappings, or the one known when none is better."""
    goal = expand.goal_array(code, *_rank(code, known))
    found = _least(code, *_complete(prepared, goal, progress, width, (rows, level)))
    return min((one for one in (known, found) if one is not None), key=partial(_rank, code))


def _first(prepared: Prepared, objective: Objective, energies: EnergyTable, watch: _Watch) -> _Found:
    """Return a first mapping; quick, also when time is up.

    Raises:
        NoMappingError: limits on how many loops a level may have leave none.
    """
    code, space = _CODES[objective], prepared.space
    try:
        for width in (NARROW, 8 * WIDE, None):
            for limit in LIMITS:
                goal = expand.goal_array(code, _floor(prepared, code) * limit)
                found = _least(code, *_complete(prepared, goal, Progress(check=watch.check), width))
                if found is not None:
                    return found
    except OutOfReach:  # too many partial mappings are as good as the bound lets one hope, or time is up
        likely = improve(space.problem, space.architecture, energies, objective)
        return _Found(likely.cost.energy_pJ, likely.cost.cycles, likely.mapping)
    said = "no choice of loops obeys how many dimensions each level may iterate over (max_dimensions)"
    raise NoMappingError(f"{space.problem.name} on {space.architecture.name}: {said}")


def _rank(code: int, found: _Found) -> tuple[float, float]:
    """Return what is minimised, and what breaks ties."""
    value, second = expand.objective_value(code, found.energy, found.cycles)
    return float(value), float(second)


def _floor(prepared: Prepared, code: int) -> float:
    """Return a value that no mapping goes below."""
    value, _ = expand.objective_value(code, prepared.compulsory_pJ, prepared.least_cycles)
    return max(float(value), 1e-300)


def _complete(
    prepared: Prepared,
    goal: Floats,
    progress: Progress,
    width: int | None = None,
    begin: tuple[Rows, int] | None = None,
) -> tuple[NDArray[np.int32], Floats]:
    """Return paths and (energy, cycles) of the complete mappings below the goal."""
    rows, totals = explore(prepared, goal, progress, width, begin)
    if progress.stats[expand.TOO_LONG]:
        raise OutOfReach("a sliding window depends on more loops than the search remembers")
    return rows.path, totals


def _least(code: int, paths: NDArray[np.int32], totals: Floats) -> _Found | None:
    """Return the best of complete mappings; the first one of equals."""
    if not len(totals):
        return None
    candidates = [_Found(energy, cycles, path) for (energy, cycles), path in zip(totals.tolist(), paths, strict=True)]
    return min(candidates, key=partial(_rank, code))


def _front(
    prepared: Prepared, objective: Objective, energies: EnergyTable, best: _Found, watch: _Watch
) -> tuple[tuple[FrontPoint, ...], bool]:
    """Return the Pareto front over (energy, cycles), by rising energy, and whether it is complete."""
    known, complete = [best], True
    for other in Objective:
        if other is not objective and other is not Objective.ED2P:
            best_of_other, _, exact = _best(prepared, other, energies, watch, best)
            known.append(best_of_other)
            complete = complete and exact
    watch.doing = "covering the Pareto front"
    found, totals = [one.mapping(prepared) for one in known], [(one.energy, one.cycles) for one in known]
    try:
        if not complete:
            raise OutOfReach("its ends are not known")
        goal = expand.goal_array(expand.FRONT, front=_staircase(totals))
        more, values = _complete(prepared, goal, watch.progress)
        found += [mapping_of(prepared, path) for path in more]
        totals += [(energy, cycles) for energy, cycles in values.tolist()]
    except (OutOfReach, KeyboardInterrupt):
        complete = False
    points: list[FrontPoint] = []
    for at in sorted(range(len(totals)), key=totals.__getitem__):
        energy, cycles = totals[at]
        if not points or cycles < points[-1].cycles:
            points.append(FrontPoint(energy, int(cycles), found[at]))
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
        else "outermost level in, stopped early; the answer is the best met so far",
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
