"""Maps a network: each distinct layer once, in parallel, kept in the store as soon as it is done."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.executors import Workers, executor_for
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit, divided
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapping.notes import for_layers
from dovetail.network.alike import settled
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.jobs import Job
from dovetail.network.outcomes import Outcome
from dovetail.network.readings import Read, best_outcome, readings_on
from dovetail.network.records import kept_results
from dovetail.store import Store
from dovetail.workload.network import Layer, Network, problem_key
from dovetail.workload.roles import Reading

#: A network, the design that it runs on, and what the design's components cost.
Pair = tuple[Network, Architecture, EnergyTable]
#: What a layer, in a reading of it, runs on where that differs from layer to layer.
DesignOf = Callable[[Layer, Architecture, EnergyTable], tuple[Architecture, EnergyTable] | None]


@dataclass(frozen=True)
class Progress:
    """How far a network's mapping is.

    Attributes:
        done: distinct layers finished, the stored ones included; what can be read in several ways counts as many.
        total: distinct layers.
        layer: the one that just finished.
        seconds: since the start.
        seconds_left: estimated from the layers computed so far.
    """

    done: int
    total: int
    layer: str
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Task:
    """A job, and what the network's mapping knows of it.

    Attributes:
        job: the job.
        layer: the name of the first layer that it is for.
    """

    job: Job
    layer: str

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.layer} on {self.job.architecture.name}"


def map_network(
    network: Network,
    architecture: Architecture,
    energies: EnergyTable,
    *,
    objective: Objective = Objective.EDP,
    front: bool = False,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
) -> NetworkCost:
    """Find every layer's best mapping, and what the network costs.

    A layer that can be read in several ways (`dovetail.workload.roles.readings`) is mapped in each; the network's
    layers are returned in the best one.

    Args:
        network: layers that are equal are mapped once.
        architecture: the design.
        energies: what its components cost.
        objective: what each layer minimises.
        front: also find each layer's whole Pareto front, for `dovetail.network.optimum`.
        time_limit: seconds per layer; results that it ends are not stored.
        store: where finished results are kept and found; None: nowhere.
        workers: processes; None: one per CPU that this process may use. Or any executor, as of Dask or MPI: jobs go
            there and results come back, and only this process touches the store.
        progress: called after every finished layer.
        search: what finds one layer's best mapping; None: the exact mapper.

    A KeyboardInterrupt is passed on; what was finished by then is in the store.

    Raises:
        InputError: the network has no layers, or a constraint names a tensor or dimension that none of them has.
        NoMappingError: a layer cannot be mapped; its name and the reason are in the message.
    """
    return map_networks(
        [(network, architecture, energies)],
        objective=objective,
        front=front,
        time_limit=time_limit,
        store=store,
        workers=workers,
        progress=progress,
        search=search,
    )[0]


def map_networks(
    pairs: Sequence[Pair],
    *,
    objective: Objective = Objective.EDP,
    front: bool = False,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
    designs: Sequence[DesignOf | None] = (),
) -> list[NetworkCost]:
    """Map several networks on designs at once: what they have in common is done once. See `map_network`.

    Args:
        pairs: networks with what they run on.
        objective: as there, and so are the following.
        front: likewise.
        time_limit: likewise.
        store: likewise.
        workers: likewise.
        progress: likewise.
        search: likewise.
        designs: per pair, what tells the design of each of its layers, which it is given in the reading to be mapped;
            None: the pair's own. Empty: the pairs' own. Equal layers of a network run on equal designs. Where it gives
            None there is none for this reading.
    """
    tasks: dict[str, Task] = {}
    ways_of: list[dict[object, list[tuple[Reading, str]]]] = []
    for network, _, _ in pairs:
        if not network.layers:
            raise InputError(f"{network.name} has no layers")
    pairs = _named(pairs)
    for (network, architecture, energies), design_of in zip(pairs, designs or [None] * len(pairs), strict=True):
        of_layers: dict[object, list[tuple[Reading, str]]] = {}
        for layer in network.distinct():
            ways = readings_on(layer.problem, architecture, of_roles=design_of is not None)
            keys = of_layers.setdefault(problem_key(layer), [])
            seconds = divided(time_limit, len(ways))
            for reading in ways:
                read, design = layer.read_as(reading), (architecture, energies)
                if design_of is not None:
                    told = design_of(read, *design)
                    if told is None:
                        continue
                    design = told
                job = Job(read.problem, *design, objective, front, seconds, search)
                keys.append((reading, job.key))
                tasks.setdefault(keys[-1][1], Task(job, layer.name))
            if not keys:
                raise InputError(f"{layer.name} on {architecture.name}: what is to stay passes its level by")
        ways_of.append(of_layers)
    needed = {ways[0][1] for of_layers in ways_of for ways in of_layers.values() if len(ways) == 1}
    results = results_of(tasks, needed, store or Store.disabled(), workers, progress)
    return [
        _cost(network, architecture, energies, objective, of_layers, results)
        for (network, architecture, energies), of_layers in zip(pairs, ways_of, strict=True)
    ]


def _named(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs, every architecture with the names of all the layers that are to be mapped on it."""
    named: dict[int, Architecture] = {}
    for _, architecture, _ in pairs:
        if id(architecture) not in named:
            layers = [layer for other, design, _ in pairs if design == architecture for layer in other.distinct()]
            ways = [reading.problem for layer in layers for reading in readings_on(layer.problem, architecture)]
            named[id(architecture)] = for_layers(architecture, list(dict.fromkeys(ways)))
    return [(network, named[id(architecture)], energies) for network, architecture, energies in pairs]


def _cost(
    network: Network,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    ways: dict[object, list[tuple[Reading, str]]],
    results: dict[str, Outcome],
) -> NetworkCost:
    """Put a network together from its layers' results, each layer in its best reading."""
    reads: dict[object, Read] = {}
    for key, each in ways.items():
        read = best_outcome([(reading, results[of_reading]) for reading, of_reading in each])
        if isinstance(read, NoMappingError):
            raise read
        reads[key] = read
    chosen = [(layer.read_as(read.reading), read) for layer in network.layers for read in (reads[problem_key(layer)],)]
    return NetworkCost(
        replace(network, layers=tuple(layer for layer, _ in chosen)),
        architecture,
        energies,
        objective,
        tuple(MappedLayer(layer, read.result) for layer, read in chosen),
    )


def results_of(
    tasks: dict[str, Task],
    needed: set[str],
    store: Store,
    workers: Workers,
    progress: Callable[[Progress], None] | None,
) -> dict[str, Outcome]:
    """Return the outcome of every task; that one of those ``needed`` has no mapping is raised at once.

    Args:
        tasks: by their jobs' keys.
        needed: keys of the jobs that nothing goes without.
        store: where finished results are kept and found.
        workers: processes, or any executor.
        progress: called after every finished job.
    """
    start = time.monotonic()
    jobs = _alike_together({key: task.job for key, task in tasks.items()})
    known = kept_results(store, jobs)
    found: dict[str, Outcome] = {**known}
    missing = {key: job for key, job in jobs.items() if key not in found}
    if len(missing) > 1 and all(job.search is None for job in missing.values()):  # so that no worker compiles alone
        from dovetail.mapper.exact.compiled import compile_all

        compile_all(layers=[(job.problem, job.architecture) for job in missing.values()])
    names = {key: task.name for key, task in tasks.items()}
    with (
        executor_for(len(missing), workers) as executor,
        contextlib.closing(settled(jobs, known, executor, store, names)) as answers,
    ):
        for done, (key, result) in enumerate(answers, 1):
            task = tasks[key]
            found[key] = result
            if not isinstance(result, SearchResult):
                why = str(result).removeprefix(f"{task.name}: ")  # some say it themselves
                found[key] = missed = NoMappingError(f"{task.name}: {why}")
                if key in needed:
                    raise missed
            if progress is not None:
                seconds = time.monotonic() - start
                left = seconds / done * (len(missing) - done)
                progress(Progress(len(tasks) - len(missing) + done, len(tasks), task.layer, seconds, left))
    return found


def _alike_together(jobs: dict[str, Job]) -> dict[str, Job]:
    """Return jobs with layers of the same sizes on the same design one after another: such searches share tables."""
    order: dict[object, int] = {}
    places = {}
    for key, job in jobs.items():
        alike = job.problem.shape, job.problem.bounds, job.problem.coefficients, id(job.architecture)
        places[key] = order.setdefault(alike, len(order))
    return {key: jobs[key] for key in sorted(jobs, key=places.__getitem__)}
