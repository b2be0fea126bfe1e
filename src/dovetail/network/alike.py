"""Jobs whose costs differ by a constant: one search answers them all.

Two jobs are alike that are of one layer but for its widths, on one design, where every value takes as much of every
memory that it may be kept in. All that differs then is what an operation costs, and every mapping does as many: what a
mapping fits, its counts and its cycles are the same, its energy differs by one constant. So do all points of a front,
and the mapping of the least energy, or of the fewest cycles, stays the best. Of what is multiplied with cycles that
holds where operations get dearer and the best mapping takes as few cycles as any can: no other gains on it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Hashable, Iterable, Sequence
from collections.abc import Mapping as MappingOf
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from fractions import Fraction

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

#: By how much, relatively, the model's energy may differ from the sum: sums in another order.
DRIFT = 1e-9


@dataclass(frozen=True)
class _Member:
    """A job among those that are alike.

    Attributes:
        key: the job's.
        job: the job.
        compute_pJ: what an operation costs.
    """

    key: str
    job: Job
    compute_pJ: float


def settled(
    jobs: MappingOf[str, Job],
    known: MappingOf[str, SearchResult],
    executor: Executor,
    store: Store,
    names: MappingOf[str, str],
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield key and outcome of all jobs that are not known, each searched or derived from one that is alike.

    Args:
        jobs: by key.
        known: outcomes that there are already.
        executor: where searches run.
        store: where searches' results are kept; what is derived is derived again.
        names: what to call each job in messages.

    Raises and interrupts are those of `dovetail.network.outcomes.outcomes`.
    """
    leads: dict[str, list[_Member]] = {}  # by the key of the one that is searched, itself and those that follow
    others: set[str] = set()
    for group in _groups(jobs.items()):
        leads[group[0].key] = group
        others |= {member.key for member in group[1:] if member.key not in known}
    found: dict[str, Outcome] = dict(known)
    first = {key: job for key, job in jobs.items() if key not in known and key not in others}
    left: dict[str, Job] = {}
    for lead, group in leads.items():
        if lead in known:
            yield from _derived(known[lead], group, known, left)
    with contextlib.closing(outcomes(first, executor, store, [names[key] for key in first])) as answers:
        for key, result in answers:
            found[key] = result
            yield key, result
            yield from _derived(result, leads.get(key, ()), known, left)
    with contextlib.closing(outcomes(left, executor, store, [names[key] for key in left])) as answers:
        yield from answers


def _groups(jobs: Iterable[tuple[str, Job]]) -> list[list[_Member]]:
    """Return the jobs that are alike, several each, those of the cheapest operations first."""
    same: dict[Hashable, list[tuple[str, Job]]] = {}
    for key, job in jobs:
        if job.search is None and not job.architecture.is_sparse:
            bare = replace(job.problem, name="", widths=(), sum_bits=None)
            place = bare, design_key(job.architecture, job.energies), job.objective, job.front
            same.setdefault(place, []).append((key, job))
    found = []
    for each in same.values():
        alike: dict[Hashable, list[_Member]] = {}
        for key, job in each if len(each) > 1 else ():
            memories, compute_pJ = _machine_of(job)
            alike.setdefault(memories, []).append(_Member(key, job, compute_pJ))
        found += [sorted(group, key=lambda member: member.compute_pJ) for group in alike.values() if len(group) > 1]
    return found


def _machine_of(job: Job) -> tuple[Hashable, float]:
    """Return all that a job's costs come from but for operations, as something to compare, and pJ of an operation."""
    bound = as_searched(job.architecture, job.problem)
    machine = encode_machine(job.problem, bound, job.energies)
    names = [tensor.name for tensor in job.problem.shape.tensors]
    rows: list[Hashable] = []
    for i, level in enumerate(bound.levels[:-1]):
        grains = int(machine.grains[i])
        rows.append(Fraction(int(machine.capacity[i]), grains) if machine.capacity[i] >= 0 else None)
        for t, name in enumerate(names):
            if name not in level.constraints.bypass:
                words = Fraction(int(machine.size[i, t]), grains)
                accesses = Fraction(int(machine.parts[i, t]), int(machine.block[i, t]))
                taken = float(machine.share[i, t]), float(machine.spilt[i, t])
                rows.append((name, words, accesses, *taken, machine.energy[i, t].tobytes()))
    rest = machine.clusters.tobytes(), machine.bandwidth.tobytes(), machine.leakage.tobytes(), machine.units
    return (*rows, rest), float(machine.compute_pJ)


def _derived(
    result: Outcome, group: Sequence[_Member], known: MappingOf[str, SearchResult], left: dict[str, Job]
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield what follows of the result of a group's first job; those that nothing follows for go to ``left``."""
    for member in group[1:]:
        if member.key in known:
            continue
        derived = shifted(result, group[0].job, member.job, member.compute_pJ - group[0].compute_pJ)
        if derived is None:
            left[member.key] = member.job
        else:
            yield member.key, derived


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
