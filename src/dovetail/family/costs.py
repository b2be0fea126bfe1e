"""What networks cost on designs of a family: every layer's search is a job, all of them run at once, each kept.

A search that takes long is not waited for: it ends after so many seconds, with the best that it met and a bound that
holds. Both are kept, too; a later search of the same that may take longer adds to them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingOf
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError, NotMetError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import allowance_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint, unbeaten
from dovetail.mapping.notes import for_layers
from dovetail.mapping.widths import held
from dovetail.network.jobs import Job
from dovetail.network.optimum import LayerFront
from dovetail.network.outcomes import Outcome, outcomes
from dovetail.network.readings import Read, best_outcome, readings_on
from dovetail.network.records import Attempt, keep_attempt, kept_attempts, kept_results
from dovetail.network.results import front_of
from dovetail.store import Store
from dovetail.workload.network import Layer
from dovetail.workload.roles import Reading

#: What is searched for by itself where a whole front is not proven in time: its two ends.
_ENDS = (Objective.ENERGY, Objective.LATENCY)


@dataclass(frozen=True)
class Request:
    """Layers to be mapped on one design.

    Attributes:
        architecture: the design.
        energies: what its components cost.
        objective: what every layer minimises.
        front: whether each layer's whole Pareto front is wanted.
        places: of the layers that are wanted; None: all of them.
        seconds: for every search; None: until it is proven.
        ends: whether the ends of a front that is not proven in time are wanted.
    """

    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    front: bool = False
    places: tuple[int, ...] | None = None
    seconds: float | None = None
    ends: bool = False


@dataclass(frozen=True)
class Seen:
    """What is known of a layer on a design.

    Attributes:
        read: the best mapping of its best reading; where its front is not proven, one of what was met.
        least_pJ: no mapping takes less energy; 0 where that was not looked for by itself.
        least_cycles: no mapping takes fewer cycles; likewise.
    """

    read: Read
    least_pJ: float = 0.0
    least_cycles: float = 0.0


#: What a request comes to: every wanted layer; why one has no mapping; None where time was up before all was known.
Answer = tuple[Seen, ...] | NoMappingError | None
#: Of every wanted layer its readings, each with the key of its job.
_Plan = list[list[tuple[Reading, str]]]


class Costs:
    """Maps layers on designs.

    Args:
        layers: distinct ones, with how often each runs.
        store: where results are kept and found.
        executor: where searches run.

    Attributes:
        layers: the same.
        until: of the clock (`time.monotonic`): then no search is begun any more; None: there is no end.
        searches: that ran.
    """

    def __init__(self, layers: Sequence[Layer], store: Store, executor: Executor) -> None:
        self.layers, self._store, self._executor = tuple(layers), store, executor
        self.until: float | None = None
        self._attempts: dict[str, Attempt] = {}
        self.searches = 0

    def settle(self, requests: Sequence[Request]) -> list[Answer]:
        """Return, per request, the best mapping of every layer that is wanted."""
        jobs: dict[str, Job] = {}
        plans = [self._plan(request, request.objective, request.front, jobs) for request in requests]
        results = self._results(jobs)
        answers = [_together(plan, results) for plan in plans]
        wanting = [
            (place, _unproven(request, answer))
            for place, (request, answer) in enumerate(zip(requests, answers, strict=True))
            if request.ends and isinstance(answer, tuple)
        ]
        jobs = {}
        ends = [
            [self._plan(replace(requests[place], places=layers), end, False, jobs) for end in _ENDS]
            for place, layers in wanting
        ]
        results = self._results(jobs)
        for (place, layers), plans in zip(wanting, ends, strict=True):
            answers[place] = _with_ends(requests[place], answers[place], layers, [_together(p, results) for p in plans])
        return answers

    def _plan(self, request: Request, objective: Objective, front: bool, jobs: dict[str, Job]) -> _Plan:
        """Return, per layer that is wanted, the keys of its jobs, which are put among ``jobs``."""
        architecture = for_layers(request.architecture, [layer.problem for layer in self.layers])
        places = range(len(self.layers)) if request.places is None else request.places
        plan: _Plan = []
        for layer in (self.layers[place] for place in places):
            ways: list[tuple[Reading, str]] = []
            for reading in readings_on(layer.problem, architecture):
                problem = layer.read_as(reading).problem
                job = Job(problem, architecture, request.energies, objective, front, request.seconds)
                ways.append((reading, job.key))
                jobs.setdefault(ways[-1][1], job)
            plan.append(ways)
        return plan

    def _results(self, jobs: MappingOf[str, Job]) -> dict[str, Outcome]:
        found: dict[str, Outcome] = dict(kept_results(self._store, jobs))
        tried = [key for key in jobs if key not in found and key not in self._attempts]
        self._attempts |= kept_attempts(self._store, tried)
        for key, job in jobs.items():
            if key not in found and (attempt := self._attempts.get(key)) is not None and attempt.answers(job):
                found[key] = attempt.result
        found |= {key: refused for key, job in jobs.items() if key not in found and (refused := _refused(job))}
        missing = {key: job for key, job in jobs.items() if key not in found}
        names = [f"{job.problem.name} on {job.architecture.name}" for job in missing.values()]
        with contextlib.closing(outcomes(missing, self._executor, self._store, names)) as answers:
            for key, result in answers:
                self.searches += 1
                found[key] = self._noted(missing[key], key, result)
                if self.until is not None and time.monotonic() > self.until:
                    break
        return found

    def _noted(self, job: Job, key: str, result: Outcome) -> Outcome:
        """Return a search's result with what an earlier one adds to it; what is not proven is kept, too."""
        if isinstance(result, NoMappingError):
            earlier = self._attempts.get(key)
            return earlier.result if isinstance(result, NotMetError) and earlier is not None else result
        attempt = Attempt(allowance_of(job.time_limit).seconds, result).with_earlier(self._attempts.get(key))
        self._attempts[key] = attempt
        if not job.lasts(attempt.result):
            keep_attempt(self._store, key, attempt)
        return attempt.result


def _refused(job: Job) -> NoMappingError | None:
    """Return why no mapping of a layer may stand on a design: its values are wider than a line there."""
    try:
        held(job.problem, job.architecture)
    except InputError as error:
        return NoMappingError(error.message)
    return None


def fronts_of(reads: Sequence[Read], layers: Sequence[Layer]) -> list[LayerFront]:
    """Return every layer's front, of results that have one."""
    return [front_of(read.result, layer.repeats) for read, layer in zip(reads, layers, strict=True)]


def _together(plan: _Plan, results: MappingOf[str, Outcome]) -> Answer:
    seen: list[Seen] = []
    for ways in plan:
        if any(key not in results for _, key in ways):
            return None
        read = best_outcome([(reading, results[key]) for reading, key in ways])
        if isinstance(read, NoMappingError):
            return read
        seen.append(Seen(read))
    return tuple(seen)


def _unproven(request: Request, answer: Sequence[Seen]) -> tuple[int, ...]:
    """Return the places of a request's layers whose fronts are not proven."""
    places = range(len(answer)) if request.places is None else request.places
    return tuple(place for place, seen in zip(places, answer, strict=True) if not seen.read.result.certificate.exact)


def _with_ends(request: Request, answer: Answer, places: Sequence[int], ends: Sequence[Answer]) -> Answer:
    """Return an answer with what the ends of some layers' fronts add to it, where they are there in time."""
    assert isinstance(answer, tuple)
    least, fewest = ends
    if not isinstance(least, tuple) or not isinstance(fewest, tuple):
        return answer
    of_place = dict(zip(places, zip(least, fewest, strict=True), strict=True))
    wanted = range(len(answer)) if request.places is None else request.places
    return tuple(
        _with_end(seen, *of_place[place]) if place in of_place else seen
        for place, seen in zip(wanted, answer, strict=True)
    )


def _with_end(seen: Seen, least: Seen, fewest: Seen) -> Seen:
    points = [point for each in (seen, least, fewest) for point in _points(each.read)]
    result = replace(seen.read.result, front=unbeaten(points))
    bounds = (each.read.result.certificate.bound for each in (least, fewest))
    return Seen(replace(seen.read, result=result), *bounds)


def _points(read: Read) -> Iterable[FrontPoint]:
    cost = read.result.cost
    yield FrontPoint(cost.energy_pJ, cost.cycles, read.result.mapping, read.reading)
    for point in read.result.front:
        yield replace(point, reading=point.reading or read.reading)
