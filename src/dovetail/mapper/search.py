"""The exact search: the best of all mappings that an architecture allows, with a certificate."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper import expand
from dovetail.mapper.compiled import compile_all
from dovetail.mapper.completion import MOST_ENTRIES
from dovetail.mapper.cover import Answer, Cover, Watch, rank
from dovetail.mapper.explore import compile_steps
from dovetail.mapper.front import pareto_front
from dovetail.mapper.improve import improve
from dovetail.mapper.infeasible import reason
from dovetail.mapper.objective import Objective
from dovetail.mapper.prepare import Prepared, prepare
from dovetail.mapper.result import PERFECT_SPACE, Certificate, FrontPoint, SearchResult
from dovetail.mapper.sample import unproven
from dovetail.mapper.space import OutOfReach, build_space
from dovetail.mapper.tables import mapspace_size
from dovetail.model.cost import Cost
from dovetail.workload.problem import Problem

#: Tabulated least energies for every second that a search may take: filling them must not take most of it.
ENTRIES_A_SECOND = 20_000_000


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
    watch = Watch(time_limit, progress)
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
    cover = Cover(prepared, energies, watch)
    answer = cover.best(objective)
    if not _is_proven(objective, answer):
        answer = Answer(cover.or_likely(objective, answer.best), answer.bound, covered=False)
    best = cover.rounded(objective, answer.best) if answer.covered else cover.by_the_model(answer.best)
    points: tuple[FrontPoint, ...] = ()
    complete = True
    if front:
        points, complete = pareto_front(cover, best)
    certificate = _certificate(prepared, objective, best.cost, answer, complete, watch)
    return SearchResult(objective, best.mapping, best.cost, certificate, points)


def _is_proven(objective: Objective, answer: Answer) -> bool:
    """Return whether nothing is better: all is covered, or the answer is as good as anything can be."""
    return answer.covered or rank(objective, answer.best)[0] <= answer.bound * (1 + expand.MARGIN)


def _likely(
    problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective, why: str, watch: Watch
) -> SearchResult:
    """Return a mapping that is likely to be good, for a space that cannot be covered."""
    found = improve(problem, architecture, energies, objective, stop=watch.is_over)
    method = f"beyond exact reach ({why}): the best that a local search met among {found.evaluations:,} mappings"
    certificate = unproven(
        problem, architecture, energies, objective, found.cost, method, found.evaluations, watch.seconds
    )
    return SearchResult(objective, found.mapping, found.cost, certificate)


def _certificate(
    prepared: Prepared, objective: Objective, cost: Cost, answer: Answer, complete: bool, watch: Watch
) -> Certificate:
    """Return the certificate of an answer; ``complete``: so is the front, if one was asked for."""
    space, stats = prepared.space, watch.progress.stats
    value = objective.value_of(cost.energy_pJ, cost.cycles)
    parallel = int(prepared.tables.parallelism[0, -1])
    exact = _is_proven(objective, answer) and complete
    return Certificate(
        exact=exact,
        mapspace_size=mapspace_size(space),
        states=int(stats[expand.STATES]),
        pruned_by_bound=int(stats[expand.BY_BOUND]),
        pruned_by_dominance=int(stats[expand.BY_DOMINANCE]),
        pruned_by_capacity=int(stats[expand.BY_CAPACITY]),
        value=value,
        bound=value if exact else min(answer.bound, value),
        compute_bound_cycles=math.ceil(space.problem.macs / parallel),
        compulsory_pJ=prepared.compulsory_pJ,
        binding=_binding(prepared, cost, parallel),
        method=_method(answer, exact),
        space=PERFECT_SPACE,
        tie_proven=answer.covered,
        seconds=watch.seconds,
    )


def _method(answer: Answer, exact: bool) -> str:
    if exact and not answer.covered:
        return "outermost level in, stopped early; the answer equals the lower bound of all mappings"
    if exact:
        return "outermost level in, exact states merged by dominance, all below the answer's value covered"
    return "outermost level in, stopped early; the answer is the best met so far"


def _binding(prepared: Prepared, cost: Cost, parallel: int) -> tuple[str, ...]:
    """Say what stands between the answer and the physical bounds."""
    said = []
    units = prepared.space.machine.units
    if parallel < units:
        said.append(f"constraints, sizes and capacities let at most {parallel} of {units} compute units work at a time")
    steps = cost.levels[-1].cycles
    used = cost.levels[-1].instances
    if used < parallel:
        said.append(f"{used} compute units are used of at most {parallel}")
    slow = [level for level in cost.levels[:-1] if level.cycles > steps]
    if slow:
        worst = max(slow, key=lambda level: level.cycles)
        said.append(f"the bandwidth of {worst.name}: {worst.cycles} cycles against {steps} of computing")
    else:
        said.append(f"computing: {steps} cycles")
    return tuple(said)
