"""The search with imperfect factors: all of a small space, else by local search from the best perfect mapping on.

It never returns worse than the best perfect mapping; where there is none, it begins at any that fits. Where all that
the bound leaves can be listed they are (`dovetail.mapper.imperfect.all`), and the answer is the best; so it is where
costs are products over the dimensions (`dovetail.mapper.imperfect.proof`). Elsewhere no optimum is proven unless the
bound is met. The model cuts the average of instances in use off to an integer; what is best is so by energies made good
for that. The same problem and count of evaluations give the same answer.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Compute, Constraints, Storage
from dovetail.mapper.allowance import LEAST_MEMORY, Limit, allowance_of, within
from dovetail.mapper.exact.compiled import compile_all, load_most
from dovetail.mapper.exact.search import search
from dovetail.mapper.exact.space import check_possible
from dovetail.mapper.imperfect.all import Covered, cover
from dovetail.mapper.imperfect.first import first_fitting
from dovetail.mapper.imperfect.floor import Least, least_of
from dovetail.mapper.imperfect.moves import DRAWS, change_imperfect
from dovetail.mapper.imperfect.proof import prove
from dovetail.mapper.imperfect.space import crowd_of, evaluated
from dovetail.mapper.imperfect.start import grown_crowd
from dovetail.mapper.local.moves import brood_of
from dovetail.mapper.local.sample import unproven
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import IMPERFECT_SPACE, Certificate, SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_searched
from dovetail.model.compile import resumed
from dovetail.model.cost import Cost
from dovetail.model.encode import mapped_levels
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, linear

#: Seconds that the search of one of several sizes may take where time is limited.
SECONDS = 2.0
#: Seconds for the perfect search once it was interrupted.
AT_ONCE = 1e-3
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
    time_limit: Limit = None,
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

    A KeyboardInterrupt ends the search with the best so far, if there is any; another one is passed on.

    Raises:
        NoMappingError: no mapping exists, or no perfect one does and none of imperfect factors was met.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    bound = as_searched(architecture, problem)  # a design of another problem is refused before anything is compiled
    check_possible(problem, mapped_levels(bound))  # a mapspace leaves sizes of 1 out, and the outermost keepers
    compile_all(progress, [(problem, architecture)])
    if allowance_of(time_limit).seconds is not None:
        _load()
    work = _Search(problem, architecture, energies, objective, evaluations, rounds, time_limit, progress)
    return resumed(work.result, work.stop)


@functools.cache
def _load() -> None:
    """Load what such a search runs, or compile it, so that no clock counts it: a layer of two computes is searched."""
    load_most()
    everything = Constraints(keep=frozenset({"Weights", "Inputs", "Outputs"}))
    levels = (
        Storage(name="outer", component="", width=16, datawidth=16),
        Storage(name="inner", component="", width=16, datawidth=16, depth=3, constraints=everything),
        Compute(name="mac", component=""),
    )
    free = ComponentCost(dict.fromkeys(("read", "write", "update", "compute", "leak"), 1.0))
    energies = EnergyTable(dict.fromkeys(("outer", "inner", "mac"), free))
    space = Mapspace.of(linear(C=2, M=1), Architecture("smallest", levels), energies, Objective.EDP)
    least, start = least_of(space), first_fitting(space, lambda: False)
    assert start is not None
    cover(space, least, None, lambda: False)
    prove(space, None, lambda: False, LEAST_MEMORY)
    list(_hunt(space, least, start, 1, 1, lambda: False, None))


@dataclass
class _Search:
    """A search that can be interrupted anywhere and asked again: it goes on with what it has, and comes to an end.

    Attributes:
        problem, architecture, energies, objective, evaluations, rounds, time_limit, progress: as in `search_imperfect`.
        is_stopped: whether it was interrupted.
        perfect: the best perfect mapping, or why there is none; None before that is known.
        hunted: the best that a local search met so far, and how many mappings it evaluated.
    """

    problem: Problem
    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    evaluations: int
    rounds: int
    time_limit: Limit
    progress: Callable[[str], None] | None
    is_stopped: bool = False
    perfect: SearchResult | str | None = None
    hunted: tuple[Crowd | None, int] = (None, 0)

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    def stop(self) -> None:
        """Come to an end with what there is."""
        self.is_stopped = True

    def seconds_left(self) -> float | None:
        """Return how much time there is; None where there is no limit."""
        seconds = allowance_of(self.time_limit).seconds
        return None if seconds is None else seconds - (time.monotonic() - self._began)

    def limit_of_one(self) -> Limit:
        """Return what the search of one of several sizes may take."""
        left = self.seconds_left()
        return self.time_limit if left is None else within(self.time_limit, max(1e-3, min(left, SECONDS)))

    def is_over(self) -> bool:
        """Whether time is up."""
        left = self.seconds_left()
        return left is not None and left <= 0

    def _what_ended_it(self) -> str:
        """Return what ended the search before it was done, and what would let it go on; nothing if nothing did."""
        if self.is_stopped:
            return "; it was interrupted"
        if self.is_over():
            limit = allowance_of(self.time_limit).seconds
            return f"; the time limit of {limit:g} s ended it, a longer one may be enough"
        return ""

    def result(self) -> SearchResult:
        """Return the best mapping, or the best so far once it is stopped; see `search_imperfect`."""
        self.perfect = self.perfect or self._best_perfect()
        perfect, why_none = (None, self.perfect) if isinstance(self.perfect, str) else (self.perfect, "")
        self.is_stopped |= perfect is not None and perfect.interrupted
        given, objective = (self.problem, as_searched(self.architecture, self.problem), self.energies), self.objective
        space = Mapspace.of(*given, objective)
        least = least_of(space)
        best, covered = self._best(space, least, perfect)
        evaluated = self.hunted[1] + (0 if covered is None else covered.evaluated)
        if best is None and perfect is None:
            if self.is_stopped:
                raise KeyboardInterrupt  # before anything was met
            none = "with factors that do not divide none was met either"
            every = "nor is there one with factors that do not divide"
            raise NoMappingError(f"{why_none}; {none if covered is None else every}")
        mapping, cost, rank = self._better(space, best, perfect)
        ended = self._what_ended_it()
        certificate = _certificate(space, least, (cost, rank), covered, perfect, evaluated, self.energies, ended)
        if perfect is None:
            certificate = replace(certificate, binding=(f"without imperfect factors: {why_none}", *certificate.binding))
        certificate = replace(certificate, seconds=time.monotonic() - self._began)
        return SearchResult(objective, mapping, cost, certificate, interrupted=self.is_stopped)

    def _best_perfect(self) -> SearchResult | str:
        """Return the best perfect mapping, or why there is none."""
        given = (self.problem, self.architecture, self.energies, self.objective)
        limit = AT_ONCE if self.is_stopped else self.time_limit
        try:
            return search(*given, time_limit=limit, progress=self.progress)
        except NoMappingError as error:
            return str(error)

    def _best(self, space: Mapspace, least: Least, perfect: SearchResult | None) -> tuple[Crowd | None, Covered | None]:
        """Return the best met, first of its crowd, if there is any; and what covers all mappings, if anything does."""
        if self.is_stopped:
            return self.hunted[0], None
        start = None if perfect is None else crowd_of(space, perfect.mapping)
        covered = cover(space, least, start, self.is_over)
        if covered is None:
            goal = math.inf if start is None else float(start.rank[0, 0])
            grown = grown_crowd(space, self.architecture, self.energies, least, goal, self.is_over, self.limit_of_one)
            if grown is not None:
                start = (grown if start is None else start.joined(grown)).best(CROWD)
            start = start or first_fitting(space, self.is_over)
            if start is not None and self.hunted[0] is None:
                self.hunted = start, 0
            proven = prove(space, self.hunted[0], self.is_over, allowance_of(self.time_limit).room)
            if proven is not None:
                self.hunted = proven.best or self.hunted[0], proven.evaluated
                if proven.is_whole:
                    best = self.hunted[0]
                    return best, Covered(best, math.inf, proven.evaluated, proven.examined, is_listed=False)
            start = self.hunted[0] if start is None or self.hunted[0] is None else start.joined(self.hunted[0])
            if start is None:
                return None, None
            start = start.best(CROWD)
            for met in _hunt(space, least, start, self.evaluations, self.rounds, self.is_over, self.progress):
                self.hunted = met
            covered = cover(space, least, self.hunted[0], self.is_over)
        best = self.hunted[0] or start
        return (best if covered is None else covered.best or best), covered

    def _better(self, space: Mapspace, best: Crowd | None, perfect: SearchResult | None) -> tuple[Mapping, Cost, float]:
        """Return the better of the best met and the best perfect mapping, one of which there is, and its rank."""
        if best is not None:
            mapping = space.mapping(best)
            cost = evaluate(mapping, self.problem, space.architecture, self.energies)
            value = self.objective.value_of(cost.energy_pJ, cost.cycles)
            if perfect is None or value < perfect.certificate.value:
                return mapping, cost, float(best.rank[0, 0])
        assert perfect is not None
        return perfect.mapping, perfect.cost, perfect.certificate.value


def _certificate(
    space: Mapspace,
    least: Least,
    found: tuple[Cost, float],
    covered: Covered | None,
    perfect: SearchResult | None,
    evaluated: int,
    energies: EnergyTable,
    ended: str,
) -> Certificate:
    """Return how the answer is known; how large the mapspace is, is not: only its perfect part has been counted.

    ``found`` is its cost, and its value by energies made good for instances that are cut off, which bounds are of.
    """
    objective, (cost, rank) = space.objective, found
    value, method = objective.value_of(cost.energy_pJ, cost.cycles), _method(covered, perfect, evaluated, ended)
    bound = value * min(1.0, least.value(objective) / rank * (1 + 1e-12)) if covered is None else value
    if perfect is None:
        base = unproven(space.problem, space.architecture, energies, objective, cost, method, 0, 0.0)
        said = list[str]()
    else:
        base = perfect.certificate
        best = "the best" if base.exact else "the best met"
        said = [f"without imperfect factors {best} {objective} is {_in_words(objective, base.value)}"]
    return replace(
        base,
        exact=value <= bound,
        mapspace_size=0,
        value=value,
        bound=bound,
        compute_bound_cycles=least.cycles,
        compulsory_pJ=least.energy_pJ,
        states=base.states + evaluated,
        method=method,
        binding=(*said, *_cut_off(covered, objective, value)),
        space=IMPERFECT_SPACE,
        tie_proven=False,
    )


def _in_words(objective: Objective, value: float) -> str:
    return f"{objective.in_unit(value):.6g} {objective.unit}"


def _method(covered: Covered | None, perfect: SearchResult | None, evaluated: int, ended: str) -> str:
    if covered is None:
        start = "the first mappings that fit, as none is perfect"
        if perfect is not None:
            start = f"the best perfect mapping{'' if perfect.certificate.exact else ' met'}"
        return (
            f"imperfect factors, too: {start}, and from there the best that a local search met among "
            f"{evaluated:,} others{ended}"
        )
    return (
        f"imperfect factors, too: {evaluated:,} mappings evaluated, and {covered.ruled_out:,} choices of factors that "
        f"cannot be better ruled out{'' if covered.is_listed else ', each for many mappings'}, which is all of them"
    )


def _cut_off(covered: Covered | None, objective: Objective, value: float) -> tuple[str, ...]:
    if covered is not None and not covered.is_listed:
        return (
            "the model cuts the average of instances in use off to an integer; mappings are ranked by what they would "
            "cost without that",
        )
    if covered is None or covered.least >= value:
        return ()
    return (
        f"the model cuts the average of instances in use off to an integer; mappings that it therefore gives as little "
        f"as {_in_words(objective, covered.least)} are ranked by what they would cost without that",
    )


def _hunt(
    space: Mapspace,
    least: Least,
    start: Crowd,
    evaluations: int,
    rounds: int,
    is_over: Callable[[], bool],
    progress: Callable[[str], None] | None,
) -> Iterator[tuple[Crowd, int]]:
    """Yield, after every round, the best met, first of its crowd, and how many mappings were evaluated."""
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
        yield best, done


def _changed(
    space: Mapspace, least: Least, crowd: Crowd, generator: np.random.Generator, met: set[int], goal: float
) -> Crowd | None:
    """Return changed mappings of a crowd that are new and that computing alone does not rule out; None: no such one."""
    mothers = (generator.random(BROOD) ** 2 * len(crowd.rank)).astype(np.int64)
    fathers = generator.integers(0, len(crowd.rank), BROOD)
    genes, keep = crowd.genes[mothers], crowd.keep[mothers]
    last, steps = np.empty((BROOD, 2, *genes.shape[2:]), np.int64), np.empty(BROOD, np.int64)
    brood = brood_of(genes, keep, crowd.genes, fathers, generator.random((BROOD, DRAWS)))
    change_imperfect(space.limits, brood, last, steps)
    chosen: list[int] = []
    for at in np.flatnonzero(steps).tolist():
        hopeful = least.at_steps(int(steps[at])).value(space.objective) < goal * SLACK
        if hopeful and brood.marks[at] not in met and len(chosen) < PICKED:
            met.add(int(brood.marks[at]))
            chosen.append(at)
    return evaluated(space, genes[chosen], keep[chosen], last[chosen]) if chosen else None
