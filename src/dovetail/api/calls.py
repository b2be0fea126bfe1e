"""The questions: the best mapping of a layer, networks on designs, a given mapping's cost, what constraints cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.api import networks
from dovetail.api.designs import Design, design
from dovetail.api.explanations import Explanation
from dovetail.api.given import check_count, check_limit, kind_of
from dovetail.api.networks import LayerLike, NetworkLike
from dovetail.api.results import Best, Comparison, Evaluated
from dovetail.errors import InputError, did_you_mean
from dovetail.executors import Workers
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.explain import explain as explained
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import SearchFunction
from dovetail.mapping.mapping import Mapping as LoopNest
from dovetail.mapping.notes import design_notes
from dovetail.model.sparse.prices import price_notes
from dovetail.network.between import Between
from dovetail.network.given import evaluate_given
from dovetail.network.jobs import Sampled, odd_search
from dovetail.network.map_network import Progress, map_network, map_networks
from dovetail.network.readings import readings_on
from dovetail.network.records import stored_search
from dovetail.store import Store
from dovetail.workload.network import unique_names

#: What stands for a design: a bundled one's name, a path, or an object.
DesignLike = str | Path | Architecture | Design
#: How long a layer of a network is searched unless said otherwise.
SECONDS = 10.0


def map(
    layer: LayerLike,
    on: DesignLike,
    *,
    objective: str | Objective = Objective.EDP,
    input: Any = None,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
    front: bool = False,
    time_limit: Limit = None,
    samples: int | None = None,
    seed: int = 0,
    imperfect: bool = False,
    pad: bool = False,
) -> Best:
    """Find the best mapping of one layer on a design; results are kept in the store between runs.

    Args:
        layer: ``NETWORK:LAYER`` by the layer's name or row, as ``resnet18:layer1.0.conv1``; a path of a Timeloop
            problem; a `Problem` (as from `dovetail.convolution`) or `Layer`; a PyTorch module of one layer.
        on: a bundled design's name, a path, or a design; several files that make one: `dovetail.design`.
        objective: what to minimise: ``edp``, ``energy``, ``latency`` or ``ed2p``.
        input: what a module takes: a tensor or a shape.
        batch: batch size.
        rename: new names of dimensions and tensors, by their old ones.
        front: also find every mapping that no other beats in both energy and cycles.
        time_limit: seconds, or an `Allowance` of seconds, steps of work and memory; then the best so far with its
            bound. None: until it is proven.
        samples: take the best of so many random mappings instead, drawn from ``seed``.
        seed: see ``samples``.
        imperfect: also try factors that do not divide the dimensions.
        pad: also try to pad dimensions to sizes that divide better; the notes say what that wastes.

    Raises:
        InputError: the layer or the design is wrong, or there is none of that name.
        NoMappingError: there is no mapping; the message says why.

    >>> import dovetail
    >>> conv = dovetail.convolution(C=16, M=32, P=14, Q=14, R=3, S=3)
    >>> best = dovetail.map(conv, on="eyeriss_like", objective="latency")
    >>> best.cycles, best.exact
    (5376, True)
    """
    check_limit(time_limit)
    where = design(on)
    network = networks.layer(layer, input=input, batch=batch, rename=rename)
    search = _search(samples, seed, imperfect, pad)
    with Store.open() as store:
        cost = map_network(
            network,
            where.architecture,
            where.energies,
            objective=objective_of(objective),
            front=front,
            time_limit=time_limit,
            store=store,
            workers=1,
            search=search,
        )
    found = cost.layers[0]
    problem = replace(found.layer.problem, name=found.name)
    return Best(
        where, problem, found.result.mapping, found.cost, notes=cost.notes, layer=found.layer, result=found.result
    )


def compare(
    models: NetworkLike | Iterable[NetworkLike],
    on: DesignLike | Iterable[DesignLike],
    *,
    input: Any = None,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
    objective: str | Objective = Objective.EDP,
    between: str | Between | None = None,
    time_limit: Limit = SECONDS,
    samples: int | None = None,
    seed: int = 0,
    imperfect: bool = False,
    pad: bool = False,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Find what networks cost on designs, every distinct layer once, at its best mapping.

    Layers are mapped in processes beside this one; a script needs no ``if __name__ == "__main__"`` for that. Results
    are kept in the store, so that a second run, or one after an interruption, has them at once.

    Args:
        models: a network, or several: names, paths, PyTorch modules; see `dovetail.layers`.
        on: a design, or several: names, paths, objects.
        input: what modules take: a tensor or a shape; see `dovetail.layers`.
        batch: batch size.
        rename: new names of dimensions and tensors, by their old ones.
        objective: what every layer minimises: ``edp``, ``energy``, ``latency`` or ``ed2p``.
        between: also count what lies between products, ``serial`` or ``overlapped``; None: it costs nothing.
        time_limit: seconds per layer, or an `Allowance`, then the best so far with its bound; None: until it is
            proven.
        samples: take the best of so many random mappings of each layer instead, drawn from ``seed``.
        seed: see ``samples``.
        imperfect: also try factors that do not divide the dimensions.
        pad: also try to pad dimensions to sizes that divide better; the notes say what that wastes.
        workers: processes, by default one per CPU that this one may use; or any `concurrent.futures.Executor`.
        progress: called with how far it is after every layer.

    Raises:
        InputError: a network or design is wrong, or there is none of that name.
        NoMappingError: a layer has no mapping on a design; the message says which, and why.

    >>> import dovetail
    >>> cost = dovetail.compare("alexnet", on="eyeriss_like")
    >>> print(cost)
    network  design           cycles    energy  EDP J x cycle    busy  proven
    ─────────────────────────────────────────────────────────────────────────
    alexnet  eyeriss_like  5,100,208  6.682 mJ      3.408e+04  83.4 %     yes
    """
    check_limit(time_limit)
    where = [design(one) for one in _several(on, (str, Path, Architecture, Design))]
    asked = _several(models, (str, Path)) if isinstance(models, list | tuple | set) else [models]
    loaded = [networks.layers(model, input=input, batch=batch, rename=rename) for model in asked]
    named = unique_names(network.name for network in loaded)
    loaded = [replace(network, name=name) for network, name in zip(loaded, named, strict=True)]
    _check_names([one.name for one in where])
    pairs = [(network, one.architecture, one.energies) for network in loaded for one in where]
    with Store.open() as store:
        costs = map_networks(
            pairs,
            objective=objective_of(objective),
            time_limit=None if samples is not None and time_limit == SECONDS else time_limit,  # samples know none
            store=store,
            workers=workers,
            progress=progress,
            search=_search(samples, seed, imperfect, pad),
        )
    rule = None if between is None else _rule(between)
    return Comparison(tuple(cost.with_between(rule) for cost in costs))


def _rule(word: str) -> Between:
    if word not in list(Between):
        raise InputError(f"no rule '{word}' for what lies between products{did_you_mean(word, Between)}")
    return Between(word)


def evaluate(
    layer: LayerLike,
    on: DesignLike,
    mapping: str | Path | LoopNest,
    *,
    input: Any = None,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
) -> Evaluated:
    """Return what a given mapping of a layer costs on a design.

    Args:
        layer: as in `dovetail.map`.
        on: as in `dovetail.map`.
        mapping: a path of a mapping (YAML in Timeloop's form or ours, or a ``map.txt``), or the value itself.
        input: what a module takes.
        batch: batch size.
        rename: new names of dimensions and tensors, by their old ones.

    Raises:
        InputError: a file is wrong.
        MappingError: the mapping does not fit the layer or the design.

    >>> import dovetail
    >>> best = dovetail.map("alexnet:features.6", on="eyeriss_like")
    >>> smaller = dovetail.design("eyeriss_like", DRAM={"datawidth": 16})
    >>> dovetail.evaluate("alexnet:features.6", smaller, best.mapping).cycles == best.cycles
    True
    """
    where = design(on)
    problem = networks.layer(layer, input=input, batch=batch, rename=rename).layers[0].problem
    given = Path(mapping) if isinstance(mapping, str) else mapping
    if not isinstance(given, Path | LoopNest):
        raise InputError(f"a mapping is a path or a Mapping, found {kind_of(mapping)}")
    found = evaluate_given(given, problem, where.architecture, where.energies)
    changed = where if found.architecture == where.architecture else Design(found.architecture, where.energies)
    return Evaluated(changed, found.problem, found.mapping, found.cost, found.broken, found.notes)


def explain(
    layer: LayerLike,
    on: DesignLike,
    *,
    objective: str | Objective = Objective.EDP,
    input: Any = None,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
    time_limit: Limit = None,
    imperfect: bool = False,
    pad: bool = False,
) -> Explanation:
    """Return what each constraint of a design costs a layer: its optimum with each of them lifted in turn.

    Args:
        layer: as in `dovetail.map`; where it can be read in several ways, the best one is explained.
        on: as in `dovetail.map`.
        objective: what is minimised.
        input: what a module takes.
        batch: batch size.
        rename: new names of dimensions and tensors, by their old ones.
        time_limit: seconds per search.
        imperfect: also try factors that do not divide the dimensions.
        pad: also try to pad dimensions to sizes that divide better.

    >>> import dovetail
    >>> found = dovetail.explain("resnet18:fc", on="simple_weight_stationary")
    >>> found.lifted[0].constraint, round(found.lifted[0].gain, 2)
    ('spatial split 1', 0.9)
    """
    check_limit(time_limit)
    where, wanted = design(on), objective_of(objective)
    problem = networks.layer(layer, input=input, batch=batch, rename=rename).layers[0].problem
    search = _search(None, 0, imperfect, pad)
    if len(readings_on(problem, where.architecture)) > 1:
        problem = map(problem, where, objective=wanted, time_limit=time_limit).layer.problem
    else:
        problem = readings_on(problem, where.architecture)[0].problem
    with Store.open() as store:
        given = (problem, where.architecture, where.energies, wanted)
        found = explained(*given, time_limit=time_limit, search=search or stored_search(store))
    notes = (*design_notes(where.architecture, [found.shown]), *price_notes(where.architecture, where.energies))
    return Explanation(where, found, notes)


def _search(samples: int | None, seed: int, imperfect: bool, pad: bool) -> SearchFunction | None:
    """Return the search that is asked for instead of the exact one; None where that is wanted."""
    check_count("samples", samples)
    odd = odd_search(imperfect=imperfect, pad=pad, others=samples is not None)
    return odd if samples is None else Sampled(samples, seed)


def objective_of(text: str | Objective) -> Objective:
    """Return what to minimise; raises InputError with the nearest word that is one."""
    try:
        return Objective(text)
    except ValueError:
        raise InputError(f"unknown objective '{text}'{did_you_mean(str(text), list(Objective))}") from None


def _several(given: Any, single: tuple[type, ...]) -> Sequence[Any]:
    """Return what is given as a list, also where it is but one."""
    listed = [given] if isinstance(given, single) or not isinstance(given, Iterable) else list(given)
    if not listed:
        raise InputError("nothing is given to compare")
    return listed


def _check_names(designs: list[str]) -> None:
    doubled = next((name for name in designs if designs.count(name) > 1), None)
    if doubled is not None:
        raise InputError(f"two designs are called '{doubled}': dovetail.design(..., name='another')")
