"""The Pareto front over energy and cycles, by the model's numbers: all that nothing known beats in both is covered."""

from __future__ import annotations

import numpy as np

from dovetail.mapper.exact.cover import Costed, Cover, Found
from dovetail.mapper.exact.goal import FRONT, MARGIN, goal_of
from dovetail.mapper.exact.space import OutOfReach
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint
from dovetail.model.arrays import Floats


def pareto_front(cover: Cover, best: Costed) -> tuple[tuple[FrontPoint, ...], bool]:
    """Return the Pareto front by rising energy, and whether it is complete.

    The best mappings by each of EDP, energy and latency are found first. Then all is followed that none of these beats
    in both energy and cycles: no mapping goes below the least of either, however low its bound.

    Args:
        cover: the mapspace.
        best: a mapping that is known.

    Raises:
        InternalError: the search counts a mapping otherwise than the model.
    """
    ends = [cover.best(objective) for objective in (Objective.EDP, Objective.ENERGY, Objective.LATENCY)]
    known = [best, *(cover.by_the_model(end.best) for end in ends)]
    found: list[Found] = []
    complete = all(end.covered for end in ends)
    try:
        if complete:
            _, least, fewest = (end.best for end in ends)
            goal = goal_of(FRONT, least.energy, fewest.cycles, _staircase(known))
            found = cover.below(goal)
    except OutOfReach:
        complete = False
    points: list[FrontPoint] = []
    for one in sorted(known + _near(cover, known, found), key=_costs):
        if not points or one.cost.cycles < points[-1].cycles:
            points.append(FrontPoint(one.cost.energy_pJ, one.cost.cycles, one.mapping))
    return tuple(points), complete


def _near(cover: Cover, known: list[Costed], found: list[Found]) -> list[Costed]:
    """Return with the model's costs the mappings found that none beats in both, were cycles not rounded up."""
    kept = list(known)
    for one in sorted(found, key=lambda each: (each.energy, each.cycles)):
        least = one.energy * (1 + MARGIN)
        if not any(other.cost.energy_pJ <= least and other.cost.cycles <= one.cycles for other in kept):
            kept.append(cover.by_the_model(one))
    return kept[len(known) :]


def _costs(one: Costed) -> tuple[float, int]:
    return one.cost.energy_pJ, one.cost.cycles


def _staircase(known: list[Costed]) -> Floats:
    """Return cycles (rising) and the least energy at no more cycles, ``(2, mappings)``."""
    ordered = np.array(sorted((float(one.cost.cycles), one.cost.energy_pJ) for one in known)).T
    ordered[1] = np.minimum.accumulate(ordered[1])
    return ordered
