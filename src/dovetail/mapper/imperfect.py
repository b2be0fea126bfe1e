"""The search with imperfect factors: all of a small space, else by local search from the best perfect mapping on.

It never returns worse than the best perfect mapping. Where all mappings that the bound leaves can be listed they are
(`dovetail.mapper.imperfect_all`), and the answer is the best; elsewhere no optimum is proven unless the bound is met.
The model cuts the average of instances in use off to an integer; what is best is so by energies made good for that.
The same problem and count of evaluations give the same answer.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.imperfect_all import Covered, cover
from dovetail.mapper.imperfect_space import Crowd, ImperfectSpace, Least, least_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.residual_moves import DRAWS, change_imperfect
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.constraints import bound_to
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
        NoMappingError: no perfect mapping exists.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    began = time.monotonic()
    perfect = search(problem, architecture, energies, objective, time_limit=time_limit, progress=progress)
    space = ImperfectSpace.of(problem, bound_to(architecture, problem), energies, objective)
    least = least_of(space)

    def is_over() -> bool:
        return time_limit is not None and time.monotonic() - began > time_limit

    start = space.crowd(perfect.mapping)
    covered = cover(space, least, start)
    if covered is None:
        best, evaluated = _hunt(space, least, start, evaluations, rounds, is_over, progress)
        covered = cover(space, least, best)
    else:
        best, evaluated = start, 0
    if covered is not None:
        best, evaluated = covered.best or best, evaluated + covered.evaluated
    mapping = space.mapping(best)
    cost = evaluate(mapping, problem, space.architecture, energies)
    value, known = (objective.value_of(each.energy_pJ, each.cycles) for each in (cost, perfect.cost))
    if value >= known:
        mapping, cost, value = perfect.mapping, perfect.cost, known
    bound = min(value, least.value(objective)) if covered is None else value
    certificate = replace(
        perfect.certificate,
        exact=value <= bound,
        value=value,
        bound=bound,
        compute_bound_cycles=least.cycles,
        compulsory_pJ=least.energy_pJ,
        states=perfect.certificate.states + evaluated,
        method=_method(covered, evaluated),
        binding=(f"without imperfect factors the best {objective} is {known:.6g}", *_cut_off(covered, value)),
        seconds=time.monotonic() - began,
    )
    return SearchResult(objective, mapping, cost, certificate)


def _method(covered: Covered | None, evaluated: int) -> str:
    if covered is None:
        return (
            "imperfect factors, too: the best perfect mapping, and from there the best that a local search met "
            f"among {evaluated:,} others"
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
