"""Jobs of one layer that differ in widths: one search answers those whose costs differ by a constant.

Two jobs are alike that are of one layer but for its widths, on one design, where every value takes as much of every
memory that it may be kept in. All that differs then is what an operation costs, and every mapping does as many: what a
mapping fits, its counts and its cycles are the same, its energy differs by one constant. So do all points of a front,
and the mapping of the least energy, or of the fewest cycles, stays the best. Of what is multiplied with cycles that
holds where operations get dearer and the best mapping takes as few cycles as any can: no other gains on it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Generator, Hashable, Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from fractions import Fraction

from dovetail.executors import processes_of
from dovetail.mapper.objective import Objective, ranked
from dovetail.mapper.result import FrontPoint, SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_searched
from dovetail.model.cost import Cost
from dovetail.model.encode import encode_machine
from dovetail.model.evaluate import evaluate
from dovetail.network.jobs import Job, design_key
from dovetail.network.outcomes import Outcome, outcomes
from dovetail.store import Store
from dovetail.workers import WorkerError, lost_calls

#: Rounds of searches of one layer.
STAGES = 3
#: By how much, relatively, the model's energy may differ from the sum: sums in another order.
DRIFT = 1e-9


@dataclass(frozen=True)
class _Member:
    """A job among those that are alike.

    Attributes:
        key: the job's.
        job: the job.
        compute_pJ: what an operation costs.
        taken: what a value of every tensor takes of every memory, in all.
    """

    key: str
    job: Job
    compute_pJ: float = 0.0
    taken: float = 0.0


@dataclass(frozen=True)
class _Family:
    """Jobs of one layer but for its widths, on one design.

    Attributes:
        groups: those that are alike, those of the cheapest operations first, which what follows is derived from.
    """

    groups: tuple[tuple[_Member, ...], ...]

    @functools.cached_property
    def widest(self) -> _Member:
        """The one that is searched first, as what fits it fits all, most likely."""
        return max((group[0] for group in self.groups), key=lambda member: member.taken)

    @property
    def stages(self) -> tuple[list[_Member], ...]:
        """What is searched one after the other, if need be: the widest, the first of each group, the rest."""
        everyone = [member for group in self.groups for member in group]
        return [self.widest], [group[0] for group in self.groups], everyone

    def begun(self, member: _Member, found: MappingOf[str, Outcome]) -> Job:
        """Return a member's job, to begin with the mapping of the widest."""
        result = found.get(self.widest.key)
        return replace(member.job, begin=result.mapping) if isinstance(result, SearchResult) else member.job

    def derived(self, found: MappingOf[str, Outcome]) -> Iterator[tuple[str, SearchResult]]:
        """Yield key and outcome of what follows of the first of each group."""
        for lead, *others in self.groups:
            for member in others if lead.key in found else ():
                more = member.compute_pJ - lead.compute_pJ
                result = None if member.key in found else shifted(found[lead.key], lead.job, member.job, more)
                if result is not None:
                    yield member.key, result


def settled(
    jobs: MappingOf[str, Job],
    known: MappingOf[str, SearchResult],
    executor: Executor,
    store: Store,
    names: MappingOf[str, str],
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield key and outcome of all jobs that are not known, each searched or derived from one that is alike.

    Of the searches of one layer that which takes the most memory comes first: its mapping fits the others, which begin
    with it. Where calls are done one at a time, layers come one after the other, so that searches share tables.

    Args:
        jobs: by key.
        known: outcomes that there are already.
        executor: where searches run.
        store: where searches' results are kept; what is derived is derived again.
        names: what to call each job in messages.

    Raises and interrupts are those of `dovetail.network.outcomes.outcomes`.
    """
    families, lost = _families(jobs.items()), list[str]()
    for some in [families] if processes_of(executor) > 1 else [[family] for family in families]:
        found, tried = dict[str, Outcome](known), set(known)
        for stage in range(STAGES):
            asked = {
                member.key: family.begun(member, found)
                for family in some
                for member in family.stages[stage]
                if member.key not in tried
            }
            tried |= asked.keys()
            try:
                with contextlib.closing(outcomes(asked, executor, store, [names[key] for key in asked])) as answers:
                    for key, result in answers:
                        found[key] = result
                        yield key, result
            except WorkerError as error:  # what else there is to do goes on
                if not error.lost:
                    raise
                lost += error.lost
            for key, result in [each for family in some for each in family.derived(found)]:
                found[key] = result
                tried.add(key)
                yield key, result
    if lost:
        raise lost_calls(lost)


def _families(jobs: Iterable[tuple[str, Job]]) -> list[_Family]:
    """Return the jobs of the same layers, those that are alike together."""
    same: dict[Hashable, list[tuple[str, Job]]] = {}
    for key, job in jobs:
        place: Hashable = key
        if job.search is None and not job.architecture.is_sparse:
            bare = replace(job.problem, name="", widths=(), sum_bits=None)
            place = bare, design_key(job.architecture, job.energies), job.objective, job.front
        same.setdefault(place, []).append((key, job))
    return [_family(each) for each in same.values()]


def _family(jobs: Sequence[tuple[str, Job]]) -> _Family:
    """Return jobs of one layer, those that are alike together, the cheapest operations first."""
    if len(jobs) == 1:
        return _Family(((_Member(*jobs[0]),),))
    alike: dict[Hashable, list[_Member]] = {}
    for key, job in jobs:
        memories, taken, compute_pJ = _machine_of(job)
        alike.setdefault(memories, []).append(_Member(key, job, compute_pJ, taken))
    return _Family(tuple(tuple(sorted(each, key=lambda member: member.compute_pJ)) for each in alike.values()))


def _machine_of(job: Job) -> tuple[Hashable, float, float]:
    """Return all that a job's costs come from but for operations, to be compared; words taken; pJ of an operation."""
    bound = as_searched(job.architecture, job.problem)
    machine = encode_machine(job.problem, bound, job.energies)
    names = [tensor.name for tensor in job.problem.shape.tensors]
    rows, sum_taken = list[Hashable](), 0.0
    for i, level in enumerate(bound.levels[:-1]):
        grains = int(machine.grains[i])
        rows.append(Fraction(int(machine.capacity[i]), grains) if machine.capacity[i] >= 0 else None)
        for t, name in enumerate(names):
            if name not in level.constraints.bypass:
                words = Fraction(int(machine.size[i, t]), grains)
                accesses = Fraction(int(machine.parts[i, t]), int(machine.block[i, t]))
                taken = float(machine.share[i, t]), float(machine.spilt[i, t])
                sum_taken += float(words)
                rows.append((name, words, accesses, *taken, machine.energy[i, t].tobytes()))
    rest = machine.clusters.tobytes(), machine.bandwidth.tobytes(), machine.leakage.tobytes(), machine.units
    return (*rows, rest), sum_taken, float(machine.compute_pJ)


def shifted(result: Outcome, lead: Job, job: Job, more_pJ: float) -> SearchResult | None:
    """Return the outcome of a job in which an operation costs so much more than in one that is alike, if it follows."""
    start = time.monotonic()
    if not isinstance(result, SearchResult) or not (result.certificate.exact and result.certificate.tie_proven):
        return None
    certificate, objective = result.certificate, job.objective
    more = more_pJ * result.cost.computes
    mapping: Mapping | None = result.mapping
    if result.front:
        mapping = min(
            result.front, key=lambda point: ranked(objective.code, point.energy_pJ + more, point.cycles)
        ).mapping
    elif objective not in (Objective.ENERGY, Objective.LATENCY):
        fastest = result.cost.cycles <= certificate.compute_bound_cycles
        mapping = result.mapping if fastest and more >= 0 else None
    if mapping is None:
        return None
    front = tuple(_point(point, job) for point in result.front)
    cost = _cost(mapping, job)
    before = _cost(mapping, lead) if result.front else result.cost
    if cost.cycles != before.cycles or not math.isclose(cost.energy_pJ, before.energy_pJ + more, rel_tol=DRIFT):
        return None
    value = objective.value_of(cost.energy_pJ, cost.cycles)
    said = lead.problem.bits_text or "the design's own words"
    certificate = replace(
        certificate, value=value, bound=value, compulsory_pJ=certificate.compulsory_pJ + more,
        states=0, pruned_by_bound=0, pruned_by_dominance=0, pruned_by_capacity=0,
        method=f"as proven of the layer at {said}: every mapping costs {more:.4g} pJ more in operations, and no less",
        seconds=time.monotonic() - start,
    )  # fmt: skip
    return SearchResult(objective, mapping, cost, certificate, front)


def _cost(mapping: Mapping, job: Job) -> Cost:
    return evaluate(mapping, job.problem, job.architecture, job.energies)


def _point(point: FrontPoint, job: Job) -> FrontPoint:
    cost = _cost(point.mapping, job)
    return replace(point, energy_pJ=cost.energy_pJ, cycles=cost.cycles)
