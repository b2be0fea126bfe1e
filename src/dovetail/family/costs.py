"""What networks cost on designs of a family: every layer's search is a job, all of them run at once, each kept."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapping.notes import for_layers
from dovetail.network.jobs import Job
from dovetail.network.optimum import LayerFront
from dovetail.network.outcomes import Outcome, outcomes
from dovetail.network.readings import Read, best_outcome, readings_on
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
        places: of the layers that are wanted; None: all of them.
    """

    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    front: bool = False
    places: tuple[int, ...] | None = None


class Costs:
    """Maps layers on designs.

    Args:
        layers: distinct ones, with how often each runs.
        store: where results are kept and found.
        executor: where searches run.
        time_limit: seconds for one search; None: until it is proven.
    """

    def __init__(self, layers: Sequence[Layer], store: Store, executor: Executor, time_limit: Limit = None) -> None:
        self.layers, self._store, self._executor, self._limit = tuple(layers), store, executor, time_limit
        self.searches = 0

    def settle(self, requests: Sequence[Request]) -> list[tuple[Read, ...] | NoMappingError]:
        """Return, per request, the best mapping of every layer that is wanted; or why one has none."""
        jobs: dict[str, Job] = {}
        plans = [self._plan(request, jobs) for request in requests]
        results = self._results(jobs)
        return [_together(plan, results) for plan in plans]

    def _plan(self, request: Request, jobs: dict[str, Job]) -> list[list[tuple[Reading, str]]]:
        """Return, per layer that is wanted, the keys of its jobs, which are put among ``jobs``."""
        architecture = for_layers(request.architecture, [layer.problem for layer in self.layers])
        places = range(len(self.layers)) if request.places is None else request.places
        plan: list[list[tuple[Reading, str]]] = []
        for layer in (self.layers[place] for place in places):
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


def fronts_of(reads: Sequence[Read], layers: Sequence[Layer]) -> list[LayerFront]:
    """Return every layer's front, of results that have one."""
    return [front_of(read.result, layer.repeats) for read, layer in zip(reads, layers, strict=True)]


def _together(
    plan: Sequence[Sequence[tuple[Reading, str]]], results: MappingOf[str, Outcome]
) -> tuple[Read, ...] | NoMappingError:
    reads: list[Read] = []
    for ways in plan:
        read = best_outcome([(reading, results[key]) for reading, key in ways])
        if isinstance(read, NoMappingError):
            return read
        reads.append(read)
    return tuple(reads)
