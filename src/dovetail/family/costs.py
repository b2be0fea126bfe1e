"""What networks cost on designs of a family: every layer's search is a job, all of them run at once, each kept."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, MappingError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.check import check_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.notes import for_layers
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.network.jobs import Job
from dovetail.network.optimum import LayerFront
from dovetail.network.outcomes import Outcome, outcomes
from dovetail.network.readings import Read, best_reading, readings_on
from dovetail.network.records import kept_results
from dovetail.network.results import front_of
from dovetail.store import Store
from dovetail.workload.network import Layer
from dovetail.workload.roles import Reading


@dataclass(frozen=True)
class Request:
    """Layers to be mapped on one design.

    Attributes:
        architecture: the design.
        energies: what its components cost.
        objective: what every layer minimises.
        front: whether each layer's whole Pareto front is wanted.
        before: results of a design that costs no more, per layer: where one costs the same here, it is the best here.
    """

    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    front: bool = False
    before: tuple[Read, ...] | None = None


class Costs:
    """Maps layers on designs.

    Args:
        layers: distinct ones, with how often each runs.
        store: where results are kept and found.
        executor: where searches run.
        time_limit: seconds for one search; None: until it is proven.
    """

    def __init__(
        self, layers: Sequence[Layer], store: Store, executor: Executor, time_limit: float | None = None
    ) -> None:
        self.layers, self._store, self._executor, self._limit = tuple(layers), store, executor, time_limit
        self.searches = self.reused = 0

    def settle(self, requests: Sequence[Request]) -> list[tuple[Read, ...] | NoMappingError]:
        """Return, per request, every layer's best mapping; or why there is none."""
        jobs: dict[str, Job] = {}
        plans = [self._plan(request, jobs) for request in requests]
        results = self._results(jobs)
        return [_together(plan, results) for plan in plans]

    def _plan(self, request: Request, jobs: dict[str, Job]) -> list[Read | list[tuple[Reading, str]]]:
        """Return, per layer, what is known of it already, or the keys of its jobs, which are put among ``jobs``."""
        problems = [layer.problem for layer in self.layers]
        architecture = for_layers(request.architecture, problems)
        plan: list[Read | list[tuple[Reading, str]]] = []
        for place, layer in enumerate(self.layers):
            before = None if request.before is None else request.before[place]
            same = None if before is None else _same(before, architecture, request)
            if same is not None:
                self.reused += 1
                plan.append(same)
                continue
            ways: list[tuple[Reading, str]] = []
            for reading in readings_on(layer.problem, architecture):
                job = Job(
                    layer.read_as(reading).problem, architecture, request.energies, request.objective, request.front,
                    self._limit,
                )  # fmt: skip
                ways.append((reading, job.key))
                jobs.setdefault(ways[-1][1], job)
            plan.append(ways)
        return plan

    def _results(self, jobs: MappingOf[str, Job]) -> dict[str, Outcome]:
        found: dict[str, Outcome] = dict(kept_results(self._store, jobs))
        missing = {key: job for key, job in jobs.items() if key not in found}
        self.searches += len(missing)
        names = [f"{job.problem.name} on {job.architecture.name}" for job in missing.values()]
        with contextlib.closing(outcomes(missing, self._executor, self._store, names)) as answers:
            found.update(answers)
        return found


def network_value(reads: Sequence[Read], layers: Sequence[Layer], objective: Objective) -> float:
    """Return what no choice of the layers' mappings goes below: sum of least energies, of least cycles, or an EDP.

    For EDP (pJ x cycles) that is the square of the sum of the roots of the layers' least EDPs: by Cauchy and Schwarz
    (sum of E) x (sum of C) is at least (sum of sqrt(E x C)) squared.
    """
    bounds = [(read.result.certificate.bound, layer.repeats) for read, layer in zip(reads, layers, strict=True)]
    if objective is Objective.EDP:
        return math.fsum(repeats * math.sqrt(bound) for bound, repeats in bounds) ** 2
    return math.fsum(repeats * bound for bound, repeats in bounds)


def fronts_of(reads: Sequence[Read], layers: Sequence[Layer]) -> list[LayerFront]:
    """Return every layer's front, of results that have one."""
    return [front_of(read.result, layer.repeats) for read, layer in zip(reads, layers, strict=True)]


def _same(before: Read, architecture: Architecture, request: Request) -> Read | None:
    """Return the result of a design that costs no more, if all its mappings fit here and cost the same."""
    result, objective = before.result, request.objective
    if not result.certificate.exact or bool(result.front) != request.front:
        return None

    def cost_here(mapping: Mapping, reading: Reading) -> Cost | None:
        try:
            check_mapping(mapping, reading.problem, architecture)
            return evaluate(mapping, reading.problem, architecture, request.energies)
        except (MappingError, InputError):
            return None

    cost = cost_here(result.mapping, before.reading)
    if cost is None or objective.value_of(cost.energy_pJ, cost.cycles) > result.certificate.value:
        return None
    for point in result.front:
        there = cost_here(point.mapping, point.reading or before.reading)
        if there is None or there.energy_pJ > point.energy_pJ or there.cycles > point.cycles:
            return None
    return replace(before, result=replace(result, cost=cost))


def _together(
    plan: Sequence[Read | list[tuple[Reading, str]]], results: MappingOf[str, Outcome]
) -> tuple[Read, ...] | NoMappingError:
    reads: list[Read] = []
    for ways in plan:
        if isinstance(ways, Read):
            reads.append(ways)
            continue
        outcomes = [(reading, results[key]) for reading, key in ways]
        found = [(reading, result) for reading, result in outcomes if isinstance(result, SearchResult)]
        if not found:
            error = outcomes[0][1]
            assert isinstance(error, NoMappingError)
            return error
        reads.append(best_reading(found))
    return tuple(reads)
