"""What each thing that a design does about zeros saves and costs a mapping: the mapping counted again without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import DovetailError
from dovetail.hardware.architecture import Architecture, Level
from dovetail.hardware.sparse import Sparse
from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.problem import Problem

#: Halvings to the density at which a format begins to pay: to within 1 %.
STEPS = 7


@dataclass(frozen=True)
class WithoutFeature:
    """A mapping without one thing that its design does about zeros.

    Attributes:
        level: where the design does it; empty: at several levels.
        feature: what it is, in words.
        cost: of the same mapping without; None where it would not do.
        reason: why it would not.
        pays_below: of a format, the density of its tensor below which the mapping costs less with it; 0 where it never
            does, 1 where it always does; None of anything else.
    """

    level: str
    feature: str
    cost: Cost | None
    reason: str = ""
    pays_below: float | None = None


def without_features(
    mapping: Mapping,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
) -> tuple[WithoutFeature, ...]:
    """Return a mapping's costs without each of a design's formats and ways of leaving out in turn; none if it is dense.

    Formats of one tensor are lifted one by one and all together: alone, those inside may need those outside.

    Args:
        mapping: with its loops of one iteration, as searches of sparse designs return it.
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
        objective: what a format is to lower to pay.
    """
    found = []
    for level, feature, tensor, changed in _lifted(architecture):
        try:
            cost = evaluate(mapping, problem, changed, energies)
        except DovetailError as error:
            found.append(WithoutFeature(level, feature, None, str(error)))
            continue
        pays = None
        if tensor:
            given = mapping, problem, energies, tensor, objective
            pays = _last_below(_value_at(architecture, *given), _value_at(changed, *given))
        found.append(WithoutFeature(level, feature, cost, pays_below=pays))
    return tuple(found)


def _value_at(
    architecture: Architecture,
    mapping: Mapping,
    problem: Problem,
    energies: EnergyTable,
    tensor: str,
    objective: Objective,
) -> Callable[[float], float]:
    """Return what a mapping costs with another density of one tensor; infinity where it does not do."""

    def value(density: float) -> float:
        named = zip(problem.shape.tensors, (problem.density(one.name) for one in problem.shape.tensors), strict=True)
        changed = tuple(Hypergeometric(density) if one.name == tensor else known for one, known in named)
        try:
            cost = evaluate(mapping, replace(problem, densities=changed), architecture, energies)
        except DovetailError:
            return math.inf
        return objective.value_of(cost.energy_pJ, cost.cycles)

    return value


def _last_below(value: Callable[[float], float], other: Callable[[float], float]) -> float:
    """Return the density up to which a value is below another that it is below at small ones, to `STEPS` halvings."""
    low, high = 0.0, 1.0
    if value(high) < other(high):
        return high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < other(middle) else (low, middle)
    return low


def _lifted(architecture: Architecture) -> Iterator[tuple[str, str, str, Architecture]]:
    """Yield every feature: its level, what it is, the tensor whose format it is, and the design without."""
    named: dict[str, int] = {}
    for level in architecture.levels:
        own = level.sparse
        for written in own.formats:
            named[written.tensor] = named.get(written.tensor, 0) + 1
            kept = tuple(one for one in own.formats if one is not written)
            yield (
                level.name,
                f"{written.tensor} as {written}",
                written.tensor,
                _with(architecture, level, replace(own, formats=kept)),
            )
        for left in own.leaves_out:
            ways = " or ".join(f"{way.target} on {' and '.join(way.condition_on)}" for way in left.choices)
            rest = tuple(one for one in own.leaves_out if one is not left)
            yield level.name, f"{left.how} of {ways}", "", _with(architecture, level, replace(own, leaves_out=rest))
        for how in sorted(own.computing):
            changed = replace(own, computing=own.computing - {how})
            yield level.name, f"{how} of computations", "", _with(architecture, level, changed)
    for tensor in (tensor for tensor, levels in named.items() if levels > 1):
        levels = tuple(
            replace(
                each, sparse=replace(each.sparse, formats=tuple(o for o in each.sparse.formats if o.tensor != tensor))
            )
            for each in architecture.levels
        )
        yield "", f"{tensor} in any format", tensor, replace(architecture, levels=levels)


def _with(architecture: Architecture, level: Level, sparse: Sparse) -> Architecture:
    changed = replace(level, sparse=sparse)
    return replace(architecture, levels=tuple(changed if each is level else each for each in architecture.levels))
