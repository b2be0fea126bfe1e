"""Between a mapped network and the network optimum: its layers' fronts, and the network at a choice of points."""

from __future__ import annotations

from dataclasses import replace

from dovetail.errors import InputError
from dovetail.mapper.result import SearchResult
from dovetail.model.evaluate import evaluate
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.optimum import Choice, LayerFront


def fronts_of(cost: NetworkCost) -> list[LayerFront] | None:
    """Return every distinct layer's front; None when the layers were mapped without them."""
    if not all(each.result.front for each in cost.distinct):
        return None
    return [
        LayerFront(
            tuple(point.energy_pJ for point in each.result.front),
            tuple(point.cycles for point in each.result.front),
            each.layer.repeats,
        )
        for each in cost.distinct
    ]


def network_at(cost: NetworkCost, choice: Choice) -> NetworkCost:
    """Return the network with every layer at its chosen point.

    Raises:
        InputError: the layers were mapped without fronts, or runs of one layer take different points.
    """
    if choice.points is None:
        raise InputError("runs of one layer take different points; only sums can be shown for such a choice")
    if fronts_of(cost) is None:
        raise InputError("the layers were mapped without fronts")
    pairs = zip(cost.distinct, choice.points, strict=True)
    return cost.with_results(_at_point(each, point, cost) for each, point in pairs)


def _at_point(each: MappedLayer, point: int, cost: NetworkCost) -> SearchResult:
    mapping = each.result.front[point].mapping
    if mapping == each.result.mapping:
        return each.result
    there = evaluate(mapping, each.layer.problem, cost.architecture, cost.energies)
    return replace(each.result, mapping=mapping, cost=there)
