"""The question "what should I change": the changes of a network, a layer or a design that would pay, each computed."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from dovetail.advice.advice import Advice
from dovetail.advice.advise import BUDGET, SECONDS, Tell
from dovetail.advice.advise import advise as advised
from dovetail.api import networks
from dovetail.api.calls import DesignLike, objective_of
from dovetail.api.designs import design
from dovetail.api.given import check_limit, check_seconds
from dovetail.api.networks import NetworkLike
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.store import Store


def advise(
    model: NetworkLike,
    on: DesignLike,
    *,
    objective: str | Objective = Objective.EDP,
    input: Any = None,
    batch: int | None = None,
    rename: Mapping[str, str] | None = None,
    time_limit: Limit = SECONDS,
    total_time: float = BUDGET,
    workers: int | Executor | None = None,
    progress: Tell | None = None,
) -> Advice:
    """Find what would pay to change: constraints, buffers, arrays, bandwidths, batch, padding, widths of layers.

    Every change is made and mapped; nothing is guessed. Where a design's energies were given, nothing is known of other
    sizes, and none is tried.

    Args:
        model: a network or a layer; see `dovetail.layers`.
        on: a bundled design's name, a path, or a design.
        objective: what every layer's mapping, and the advice, minimises.
        input: what a module takes.
        batch: batch size.
        rename: new names of dimensions and tensors, by their old ones.
        time_limit: seconds per search.
        total_time: seconds in all, after which what is left to try is named instead; what was found is in the store.
        workers: processes, by default one per CPU that this one may use; or any `concurrent.futures.Executor`.
        progress: called with changes tried, changes known of, and the present one.

    Raises:
        InputError: the network or the design is wrong.
        NoMappingError: the network cannot be mapped as it is.

    >>> import dovetail
    >>> conv = dovetail.convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="conv")
    >>> advice = dovetail.advise(conv, on="simple_weight_stationary", total_time=1e-9)
    >>> advice.tried, len(advice.left_out) > 20
    (0, True)
    """
    check_limit(time_limit)
    check_seconds("total_time", total_time)
    where = design(on)
    with Store.open() as store:
        return advised(
            networks.layers(model, input=input, batch=batch, rename=rename),
            where.architecture,
            where.given,
            objective=objective_of(objective),
            time_limit=time_limit,
            budget=total_time,
            store=store,
            workers=workers,
            progress=progress,
        )
