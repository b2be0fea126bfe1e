"""How points of a front come about: by searches on their members, or by mappings that searches on others have met."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.local.sample import unproven
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint, SearchResult
from dovetail.mapping.notes import for_layers
from dovetail.model.evaluate import evaluate
from dovetail.network.optimum import LayerFront
from dovetail.network.readings import Read
from dovetail.workload.network import Layer

#: What a point's layers have to choose from: results of searches there, or what was met on other designs.
Origin = tuple[Read, ...] | tuple[tuple[FrontPoint, ...], ...]


def fronts_among(choices: Sequence[tuple[FrontPoint, ...]], layers: Sequence[Layer]) -> list[LayerFront]:
    """Return every layer's front among mappings that were met."""
    return [
        LayerFront(tuple(each.energy_pJ for each in points), tuple(each.cycles for each in points), layer.repeats)
        for points, layer in zip(choices, layers, strict=True)
    ]


def reads_of(
    origin: Origin, architecture: Architecture, energies: EnergyTable, objective: Objective
) -> tuple[Read, ...]:
    """Return every layer's results on a member; of what was met elsewhere nothing is proven."""
    return tuple(
        each if isinstance(each, Read) else _met_again(each, architecture, energies, objective) for each in origin
    )


def _met_again(
    points: tuple[FrontPoint, ...], architecture: Architecture, energies: EnergyTable, objective: Objective
) -> Read:
    best = min(points, key=lambda point: objective.value_of(point.energy_pJ, point.cycles))
    assert best.reading is not None
    bound = for_layers(architecture, [best.reading.problem])
    cost = evaluate(best.mapping, best.reading.problem, bound, energies)
    given = best.reading.problem, bound, energies, objective, cost
    certificate = unproven(*given, "the best that was met on designs of the family", len(points), 0.0)
    result = SearchResult(objective, best.mapping, cost, certificate, points)
    return Read(best.reading, result, result)
