"""The question "which design": the proven front of area, energy and cycles over a family of designs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.api import networks
from dovetail.api.given import check_count, check_seconds
from dovetail.api.networks import NetworkLike
from dovetail.executors import Workers
from dovetail.family.explore import explore as explored
from dovetail.family.family import load_family
from dovetail.family.front import read_axes
from dovetail.family.result import Exploration, State
from dovetail.family.sampling import EVALUATIONS, EXACT, read_method, sample
from dovetail.store import Store
from dovetail.workload.together import together


def explore(
    models: NetworkLike | Iterable[NetworkLike],
    on: str | Path | Sequence[str | Path],
    *,
    vary: Mapping[str, str | Sequence[float | str]] | None = None,
    axes: str = "area,energy,cycles",
    budgets: Sequence[str] = (),
    weights: Sequence[int] | None = None,
    input: Any = None,
    batch: int | None = None,
    method: str = EXACT,
    evaluations: int = EVALUATIONS,
    seed: int = 0,
    time_limit: float | None = None,
    workers: Workers = None,
    progress: Callable[[State], None] | None = None,
) -> Exploration:
    """Find the front of a family of designs, with its proof; most members are never mapped.

    Args:
        models: a network, or several that run one after the other; see `dovetail.layers`.
        on: a bundled design's name, or files, with ``!range`` and ``!choice`` where values vary.
        vary: further values by node and key, as ``{"shared_glb.depth": "4096:65536:x2", "PE.meshY": [8, 12]}``.
        axes: two or three of ``area``, ``energy``, ``cycles``, ``edp``; ``power`` goes with them, ``traffic`` (what
            DRAM reads and writes) with ``area`` and ``cycles``.
        budgets: such as ``area <= 4 mm2``.
        weights: how often each network runs.
        input: what modules take.
        batch: batch size.
        method: ``exact``, or a sampler of Optuna's that chooses the designs to map, and proves nothing: ``tpe``,
            ``nsga2``; needs the extra ``optuna``.
        evaluations: designs that a sampler maps.
        seed: of a sampler.
        time_limit: seconds in all, then the front so far with its gap; None: until it is proven.
        workers: processes, by default one per CPU that this one may use; or any `concurrent.futures.Executor`.
        progress: called with how far it is.

    Raises:
        InputError: a network or the family is wrong, or no member is a design.

    >>> import dovetail
    >>> conv = dovetail.convolution(C=4, M=8, P=6, Q=6, R=3, S=3)
    >>> found = dovetail.explore(conv, on="eyeriss_like", vary={"shared_glb.depth": [1024, 4096]}, axes="area,edp")
    >>> found.designs, found.proven, [point.cycles for point in found.points]
    (2, True, [288])
    """
    check_seconds("time_limit", time_limit)
    check_count("evaluations", evaluations)
    asked = list(models) if isinstance(models, list | tuple | set) else [models]
    loaded = [networks.layers(model, input=input, batch=batch) for model in asked]
    given = {
        name: values if isinstance(values, str) else ",".join(map(str, values)) for name, values in (vary or {}).items()
    }
    family = load_family(on, given, budgets=budgets)
    sampler, network = read_method(method), together(loaded, weights)
    with Store.open() as store:
        rest: dict[str, Any] = {
            "store": store, "workers": workers, "time_limit": time_limit, "progress": progress,
        }  # fmt: skip
        if sampler is None:
            return explored(family, network, read_axes(axes), **rest)
        return sample(family, network, read_axes(axes), sampler, evaluations=evaluations, seed=seed, **rest)


def _text(values: str | Sequence[float | str]) -> str:
    return values if isinstance(values, str) else ",".join(map(str, values))
