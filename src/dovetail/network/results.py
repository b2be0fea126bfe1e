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
    return [front_of(each.result, each.layer.repeats) for each in cost.distinct]


def front_of(result: SearchResult, repeats: int) -> LayerFront:
    """Return what a layer that runs so often has to choose from, of a result with a front."""
    energies = tuple(point.energy_pJ for point in result.front)
    return LayerFront(energies, tuple(point.cycles for point in result.front), repeats)


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
    return cost.with_distinct(_at_point(each, point, cost) for each, point in pairs)


def _at_point(each: MappedLayer, point: int, cost: NetworkCost) -> MappedLayer:
    chosen = each.result.front[point]
    if chosen.mapping == each.result.mapping and (chosen.reading is None or chosen.reading.text == each.layer.reading):
        return each
    layer = each.layer
    if chosen.reading is not None:
        words = tuple((chosen.reading.names or {}).items())
        layer = replace(layer, problem=chosen.reading.problem, reading=chosen.reading.text, words=words)
        layer = replace(layer, padded_from=chosen.reading.padded_from)
    there = evaluate(chosen.mapping, layer.problem, cost.architecture, cost.energies)
    return MappedLayer(layer, replace(each.result, mapping=chosen.mapping, cost=there))
