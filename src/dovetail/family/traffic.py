"""DRAM traffic as an axis of a front: designs on which energy is what goes to and from the outermost level.

The exact search minimises energy, cycles, or trades between them. Where an access to the outermost level costs its
line's bytes, and nothing else costs anything, energy is traffic: so that a front of traffic is searched for, bounded
and proven as one of energy is. What its points take in energy is told afterwards, at the designs' own prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.family.family import Family
from dovetail.family.front import Axis, Choice, Point
from dovetail.family.members import Members, priced_as_it_is
from dovetail.family.result import Exploration, LayerAt
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.notes import for_layers
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

_MOVED = ("read", "write", "update")
_BYTE = 8


def members_for(family: Family, axes: Sequence[Axis]) -> Members:
    """Return a family's members, at the prices that a front over these axes is searched for with."""
    return Members(family, priced_by_traffic if Axis.TRAFFIC in axes else priced_as_it_is)


def priced_by_traffic(architecture: Architecture, energies: EnergyTable) -> tuple[Architecture, EnergyTable]:
    """Return a design on which an access to the outermost level takes a pJ per byte of its line, and nothing else any.

    Areas stay.
    """
    levels = tuple(
        replace(level, line_pJ=None) if isinstance(level, Storage) else level for level in architecture.levels
    )
    priced = replace(architecture, levels=levels)
    free = {name: _free(cost) for name, cost in energies.components.items()}
    outermost = architecture.storages[0]
    line = outermost.block * outermost.datawidth / _BYTE
    actions = {action: line if action in _MOVED else 0.0 for action in energies[outermost.name].actions}
    free[outermost.name] = ComponentCost(actions, energies[outermost.name].area_um2, "bytes")
    return priced, EnergyTable(free)


def _free(cost: ComponentCost) -> ComponentCost:
    return ComponentCost(dict.fromkeys(cost.actions, 0.0), cost.area_um2, "free")


def with_energies(found: Exploration) -> Exploration:
    """Return a front of traffic with what its points take in energy, at their designs' own prices."""
    designs: dict[Choice, tuple[Architecture, EnergyTable]] = {}
    known: dict[tuple[Choice, Problem, Mapping], float] = {}

    def of_run(choice: Choice, at: LayerAt) -> float:
        key = choice, at.reading.problem, at.mapping
        if key not in known:
            if choice not in designs:
                architecture = found.family.architecture(choice)
                designs[choice] = architecture, estimate(architecture)
            architecture, energies = designs[choice]
            bound = for_layers(architecture, [at.reading.problem])
            known[key] = evaluate(at.mapping, at.reading.problem, bound, energies).energy_pJ
        return known[key]

    told: dict[Point, Point] = {}
    for point in found.points:
        energy = math.fsum(each.runs * of_run(point.choice, each) for each in found.mappings(point))
        told[point] = replace(point, energy_pJ=energy)
    taken = {told[point]: taken for point, taken in found.taken.items()}
    return replace(found, points=tuple(told[point] for point in found.points), taken=taken)
