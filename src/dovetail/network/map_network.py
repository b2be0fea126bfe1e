"""Maps a network: each distinct layer once, in parallel, kept in the store as soon as it is done."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search as exact_search
from dovetail.mapping.notes import for_layers
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.readings import Read, best_reading, readings_on, share
from dovetail.network.records import result_from_data, result_to_data
from dovetail.sources import sources_key
from dovetail.store import Store, content_key
from dovetail.workers import available_cpus, run_all
from dovetail.workload.network import Layer, Network, problem_key
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading

#: What finds a layer's best mapping: ``(problem, architecture, energies, objective, *, front, time_limit)``.
SearchFunction = Callable[..., SearchResult]


#: A network, the design that it runs on, and what the design's components cost.
Pair = tuple[Network, Architecture, EnergyTable]


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
class Job:
    """One layer, in one reading, to be mapped on one design.

    Attributes:
        layer: the layer in that reading.
        architecture: the design.
        energies: what its components cost.
        ways: in how many ways the layer can be read; its seconds are shared among them.
    """

    layer: Layer
    architecture: Architecture
    energies: EnergyTable
    ways: int = 1


def map_network(
    network: Network,
    architecture: Architecture,
    energies: EnergyTable,
    *,
    objective: Objective = Objective.EDP,
    front: bool = False,
    time_limit: float | None = None,
    store: Store | None = None,
    workers: int | None = None,
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
        workers: processes; None: one per CPU that this process may use.
        progress: called after every finished layer.
        search: what finds one layer's best mapping; None: the exact mapper.

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
    time_limit: float | None = None,
    store: Store | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
) -> list[NetworkCost]:
    """Map several networks on designs at once: what they have in common is done once. See `map_network`."""
    jobs: dict[str, Job] = {}
    ways_of: list[dict[object, list[tuple[Reading, str]]]] = []
    for network, _, _ in pairs:
        if not network.layers:
            raise InputError(f"{network.name} has no layers")
    pairs = _named(pairs)
    for network, architecture, energies in pairs:
        prefix = design_key(architecture, energies)
        of_layers: dict[object, list[tuple[Reading, str]]] = {}
        for layer in network.distinct():
            ways = readings_on(layer.problem, architecture)
            keys = of_layers.setdefault(problem_key(layer), [])
            for reading in ways:
                read = layer.read_as(reading)
                key = layer_key(read.problem, prefix, objective, front)
                keys.append((reading, key))
                jobs.setdefault(key, Job(read, architecture, energies, len(ways)))
        ways_of.append(of_layers)
    results = _results(jobs, search, objective, front, time_limit, store or Store.disabled(), workers, progress)
    return [
        _cost(network, architecture, energies, objective, of_layers, results)
        for (network, architecture, energies), of_layers in zip(pairs, ways_of, strict=True)
    ]


def _named(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs, every architecture with the names of all the layers that are to be mapped on it."""
    known: list[Pair] = []
    for network, architecture, energies in pairs:
        layers = [layer for other, design, _ in pairs if design == architecture for layer in other.distinct()]
        ways = [reading.problem for layer in layers for reading in readings_on(layer.problem, architecture)]
        known.append((network, for_layers(architecture, list(dict.fromkeys(ways))), energies))
    return known


def _cost(
    network: Network,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    ways: dict[object, list[tuple[Reading, str]]],
    results: dict[str, SearchResult | NoMappingError],
) -> NetworkCost:
    """Put a network together from its layers' results, each layer in its best reading."""
    reads: dict[object, Read] = {}
    for key, each in ways.items():
        outcomes = [(reading, results[of_reading]) for reading, of_reading in each]
        found = [(reading, result) for reading, result in outcomes if isinstance(result, SearchResult)]
        for _, result in outcomes if not found else ():
            assert isinstance(result, NoMappingError)
            raise result
        reads[key] = best_reading(found)
    chosen = [(layer.read_as(read.reading), read) for layer in network.layers for read in (reads[problem_key(layer)],)]
    return NetworkCost(
        replace(network, layers=tuple(layer for layer, _ in chosen)),
        architecture,
        energies,
        objective,
        tuple(MappedLayer(layer, read.result) for layer, read in chosen),
    )


def design_key(architecture: Architecture, energies: EnergyTable) -> str:
    """Return the key of all that a design means to a layer's cost; neither names nor the order of entries matter."""
    return content_key(engine_version(), architecture.levels, architecture.cycle_seconds, energies)


def layer_key(problem: Problem, design: str, objective: Objective, front: bool) -> str:
    """Return the store's key of a layer's result; equal problems share it whatever they are called."""
    return content_key("layer search", design, replace(problem, name=""), objective, front)


@functools.cache
def engine_version() -> str:
    """Return the key of all code and data that results depend on: a changed program never finds old results."""
    return sources_key(__name__)


def _results(
    jobs: dict[str, Job],
    search: SearchFunction | None,
    objective: Objective,
    front: bool,
    time_limit: float | None,
    store: Store,
    workers: int | None,
    progress: Callable[[Progress], None] | None,
) -> dict[str, SearchResult | NoMappingError]:
    start = time.monotonic()
    found: dict[str, SearchResult | NoMappingError] = {}
    if search is None:
        found |= {key: result_from_data(data) for key, data in store.get_many(jobs).items()}
    missing = [key for key in jobs if key not in found]
    calls = [(search, jobs[key], objective, front, time_limit) for key in missing]
    if search is None and len(missing) > 1:  # here, so that workers do not each compile the same
        from dovetail.mapper.exact.compiled import compile_all

        compile_all()
    names = [f"{jobs[key].layer.name} on {jobs[key].architecture.name}" for key in missing]
    answers = run_all(_map_layer, calls, workers=workers or available_cpus(), names=names)
    for done, (place, result) in enumerate(answers, 1):
        key = missing[place]
        found[key] = result
        if search is None and isinstance(result, SearchResult) and _lasts(result, time_limit):
            store.put(key, result_to_data(result))
        if progress is not None:
            seconds = time.monotonic() - start
            left = seconds / done * (len(missing) - done)
            progress(Progress(len(jobs) - len(missing) + done, len(jobs), jobs[key].layer.name, seconds, left))
    return found


def _lasts(result: SearchResult, time_limit: float | None) -> bool:
    """Tell whether a result is worth keeping: what a clock ended differs each time."""
    return result.certificate.exact or time_limit is None


def _map_layer(
    search: SearchFunction | None, job: Job, objective: Objective, front: bool, time_limit: float | None
) -> SearchResult | NoMappingError:
    """Map one layer in one reading; that it has no mapping is an answer where there are other readings."""
    function = exact_search if search is None else search
    seconds = share(time_limit, job.ways)
    try:
        return function(job.layer.problem, job.architecture, job.energies, objective, front=front, time_limit=seconds)
    except NoMappingError as error:
        named = NoMappingError(f"{job.layer.name} on {job.architecture.name}: {error}")
        if job.ways > 1:
            return named
        raise named from None
