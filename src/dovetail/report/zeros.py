"""What zeros do on a sparse design, for the page: what is done and left out, metadata's share, curves over density."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dovetail.mapper.objective import Objective
from dovetail.mapper.zeros import DENSITIES, over_densities
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.units import edp_J_cycle


def network_zeros(cost: NetworkCost) -> list[list[Any]]:
    """Return a row per level and tensor, and per level that computes; none on a dense design.

    A row has the level, the tensor, its format, shares done, gated and skipped of what a dense run would do, and the
    metadata's share of the tensor's energy there; all instances and runs together.
    """
    sums: dict[tuple[str, str, str], list[float]] = {}
    for mapped in cost.layers:
        for key, figures in _counts(mapped):
            known = sums.setdefault(key, [0.0] * len(figures))
            sums[key] = [one + each * mapped.layer.repeats for one, each in zip(known, figures, strict=True)]
    return [
        [*key, *(part / every if every else 0.0 for part in moved), metadata_pJ / energy_pJ if energy_pJ else None]
        for key, (every, *moved, metadata_pJ, energy_pJ) in sums.items()
    ]


def _counts(mapped: MappedLayer) -> Iterable[tuple[tuple[str, str, str], list[float]]]:
    """Yield per level and tensor: words of a dense run, done, gated, skipped; pJ of metadata, and in all.

    Of computing: a dense run's computations in the place of words.
    """
    for level in mapped.cost.levels:
        for name, one in level.tensors.items():
            if one.zeros is not None:
                zeros = one.zeros
                fates = zeros.read, zeros.fill, zeros.update
                dense = zeros.dense_reads + zeros.dense_fills + zeros.dense_updates
                moved = [sum(getattr(fate, what) for fate in fates) for what in ("done", "gated", "skipped")]
                words = [one.instances * each for each in (dense, *moved)]
                yield (level.name, name, zeros.format or "as it is"), [*words, zeros.metadata_pJ, one.energy_pJ]
        if level.computing is not None:
            did = level.computing
            yield (level.name, "computing", ""), [mapped.cost.computes, did.done, did.gated, did.skipped, 0.0, 0.0]


def layer_zeros(mapped: MappedLayer, cost: NetworkCost) -> dict[str, Any] | None:
    """Return a layer's rows of `Cost.zeros_table` and its curves over density; None on a dense design."""
    table = mapped.cost.zeros_table()
    if table is None:
        return None
    given = mapped.result.mapping, mapped.layer.problem, cost.architecture, cost.energies
    objective = Objective.EDP if cost.objective is Objective.LATENCY else cost.objective
    return {
        "rows": [list(row) for row in table.rows],
        "densities": list(DENSITIES),
        "curves": [
            {
                "tensor": curve.tensor,
                "now": curve.now,
                "costs": _points(curve.costs, mapped.layer.repeats),
                "plain": _points(curve.plain, mapped.layer.repeats),
                "pays_below": curve.pays_below,
            }
            for curve in over_densities(*given, objective)
        ],
        "objective": str(objective),
    }


def _points(costs: Iterable[tuple[int, float] | None], repeats: int) -> list[dict[str, float] | None]:
    """Return costs of all runs of a layer in the page's units."""
    return [
        None
        if cost is None
        else {
            "cycles": cost[0] * repeats,
            "energy_uJ": cost[1] * repeats * 1e-6,
            "edp": edp_J_cycle(cost[1], cost[0]) * repeats * repeats,
        }
        for cost in costs
    ]
