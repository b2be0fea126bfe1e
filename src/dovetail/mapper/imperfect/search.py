"""The search with imperfect factors: all of a small space, else by local search from the best perfect mapping on.

It never returns worse than the best perfect mapping; where there is none, it begins at any that fits. Where all that
the bound leaves can be listed they are (`dovetail.mapper.imperfect.all`), and the answer is the best; elsewhere no
optimum is proven unless the bound is met. The model cuts the average of instances in use off to an integer; what is
best is so by energies made good for that. The same problem and count of evaluations give the same answer.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.exact.search import search
from dovetail.mapper.imperfect.all import Covered, cover
from dovetail.mapper.imperfect.first import first_fitting
from dovetail.mapper.imperfect.moves import DRAWS, change_imperfect
from dovetail.mapper.imperfect.space import Crowd, ImperfectSpace, Least, least_of
from dovetail.mapper.local.sample import unproven
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import IMPERFECT_SPACE, Certificate, SearchResult
from dovetail.mapping.constraints import bound_to
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
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
        NoMappingError: no mapping exists, or no perfect one does and none of imperfect factors was met.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    began = time.monotonic()

    def is_over() -> bool:
        return time_limit is not None and time.monotonic() - began > time_limit

    perfect, why_none = _best_perfect(
        partial(search, problem, architecture, energies, objective, time_limit=time_limit, progress=progress)
    )
    space = ImperfectSpace.of(problem, bound_to(architecture, problem), energies, objective)
    least = least_of(space)
    start = None if perfect is None else space.crowd(perfect.mapping)
    covered = cover(space, least, start)
    best, evaluated = start, 0
    if covered is None:
        start = start or first_fitting(space, is_over)
        if start is None:
            raise NoMappingError(f"{why_none}; with factors that do not divide none was met either")
        best, evaluated = _hunt(space, least, start, evaluations, rounds, is_over, progress)
        covered = cover(space, least, best)
    if covered is not None:
        best, evaluated = covered.best or best, evaluated + covered.evaluated
    if best is None:
        raise NoMappingError(f"{why_none}; nor is there one with factors that do not divide")
    mapping = space.mapping(best)
    cost = evaluate(mapping, problem, space.architecture, energies)
    if perfect is not None and objective.value_of(cost.energy_pJ, cost.cycles) >= perfect.certificate.value:
        mapping, cost = perfect.mapping, perfect.cost
    certificate = _certificate(space, least, cost, covered, perfect, evaluated, energies)
    if perfect is None:
        certificate = replace(certificate, binding=(f"without imperfect factors: {why_none}", *certificate.binding))
    return SearchResult(objective, mapping, cost, replace(certificate, seconds=time.monotonic() - began))


def _best_perfect(search_perfect: Callable[[], SearchResult]) -> tuple[SearchResult | None, str]:
    """Return the best perfect mapping, or why there is none."""
    try:
        return search_perfect(), ""
    except NoMappingError as error:
        return None, str(error)


def _certificate(
    space: ImperfectSpace,
    least: Least,
    cost: Cost,
    covered: Covered | None,
    perfect: SearchResult | None,
    evaluated: int,
    energies: EnergyTable,
) -> Certificate:
    """Return how the answer is known; of the mapspace only the perfect part has a size, if there is one."""
    objective = space.objective
    value, method = objective.value_of(cost.energy_pJ, cost.cycles), _method(covered, perfect is not None, evaluated)
    bound = min(value, least.value(objective)) if covered is None else value
    if perfect is None:
        base = unproven(space.problem, space.architecture, energies, objective, cost, method, 0, 0.0)
        base, said = replace(base, mapspace_size=evaluated), list[str]()
    else:
        base = perfect.certificate
        said = [f"without imperfect factors the best {objective} is {base.value:.6g}"]
    return replace(
        base,
        exact=value <= bound,
        value=value,
        bound=bound,
        compute_bound_cycles=least.cycles,
        compulsory_pJ=least.energy_pJ,
        states=base.states + evaluated,
        method=method,
        binding=(*said, *_cut_off(covered, value)),
        space=IMPERFECT_SPACE,
        tie_proven=False,
    )


def _method(covered: Covered | None, is_perfect: bool, evaluated: int) -> str:
    if covered is None:
        start = "the best perfect mapping" if is_perfect else "the first mappings that fit, as none is perfect"
        return (
            f"imperfect factors, too: {start}, and from there the best that a local search met among "
            f"{evaluated:,} others"
        )
    return (
        f"imperfect factors, too: {evaluated:,} mappings evaluated, and {covered.ruled_out:,} choices of factors that "
        "take too many cycles to be better ruled out, which is all of them"
    )


def _cut_off(covered: Covered | None, value: float) -> tuple[str, ...]:
    if covered is None or covered.least >= value:
        return ()
    return (
        f"the model cuts the average of instances in use off to an integer; mappings that it therefore gives as little "
        f"as {covered.least:.6g} are ranked by what they would cost without that",
    )


def _hunt(
    space: ImperfectSpace,
    least: Least,
    start: Crowd,
    evaluations: int,
    rounds: int,
    is_over: Callable[[], bool],
    progress: Callable[[str], None] | None,
) -> tuple[Crowd, int]:
    """Return the best met, first of its crowd, and how many mappings were evaluated."""
    generator, met, done, stale = np.random.default_rng(0), set[int](), 0, 0
    first = best = crowd = start
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
    space: ImperfectSpace, least: Least, crowd: Crowd, generator: np.random.Generator, met: set[int], goal: float
) -> Crowd | None:
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
