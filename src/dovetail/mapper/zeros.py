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
from dovetail.workload.densities import Banded, Hypergeometric
from dovetail.workload.problem import Problem

#: Halvings to the density at which a format begins to pay: to within 1 %.
STEPS = 7
#: The density taken for one without zeros: at exactly 1 the count of lines is another one (`model/sparse/lines.py`).
_FULL = 0.999
#: Densities that a curve has.
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, _FULL)


@dataclass(frozen=True)
class WithoutFeature:
    """A mapping without one thing that its design does about zeros.

    Attributes:
        level: where the design does it; empty: at several levels.
        feature: what it is, in words.
        cost: of the same mapping without; None where it would not do.
        reason: why it would not.
        pays_below: of a format, up to which density of its tensor, from the least of `DENSITIES` on, the mapping costs
            less with it; 0 where it does not at the least, 1 where it does at all; None of anything else.
    """

    level: str
    feature: str
    cost: Cost | None
    reason: str = ""
    pays_below: float | None = None


@dataclass(frozen=True)
class DensityCurve:
    """What a mapping costs over the density of one tensor, the others' as they are.

    Attributes:
        tensor: whose density.
        now: what it is; None of a band, whose tiles differ.
        costs: at `DENSITIES`, cycles and energy in pJ; None where the mapping would not do: more would have to be held.
        plain: the same with the tensor in no format anywhere; empty where it is in none.
        pays_below: up to which density, from the least on, its formats lower the objective: 0 where they do not at the
            least, 1 where they do at all; None where there are none.
    """

    tensor: str
    now: float | None
    costs: tuple[tuple[int, float] | None, ...]
    plain: tuple[tuple[int, float] | None, ...] = ()
    pays_below: float | None = None


def over_densities(
    mapping: Mapping,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
) -> tuple[DensityCurve, ...]:
    """Return a curve for every tensor that is in a format, or whose zeros let something be left out.

    Args:
        mapping: with its loops of one iteration, as searches of sparse designs return it.
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
        objective: what formats are to lower to pay.
    """
    sparse = [level.sparse for level in architecture.levels]
    written = {one.tensor for each in sparse for one in each.formats}
    asked = {
        name for each in sparse for left in each.leaves_out for way in left.choices for name in way.condition_on
    } | written
    found = []
    for tensor in (one.name for one in problem.shape.tensors if one.name in asked):
        given = mapping, problem, energies, tensor
        pattern = problem.density(tensor)
        now = None if isinstance(pattern, Banded) else pattern.share
        costs = tuple(_cost_at(architecture, *given, density) for density in DENSITIES)
        if tensor not in written:
            found.append(DensityCurve(tensor, now, costs))
            continue
        plain = _in_no_format(architecture, tensor)
        without = tuple(_cost_at(plain, *given, density) for density in DENSITIES)
        pays = _pays_below(_value_at(architecture, *given, objective), _value_at(plain, *given, objective))
        found.append(DensityCurve(tensor, now, costs, without, pays))
    return tuple(found)


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
            pays = _pays_below(_value_at(architecture, *given), _value_at(changed, *given))
        found.append(WithoutFeature(level, feature, cost, pays_below=pays))
    return tuple(found)


def _cost_at(
    architecture: Architecture,
    mapping: Mapping,
    problem: Problem,
    energies: EnergyTable,
    tensor: str,
    density: float,
) -> tuple[int, float] | None:
    """Return cycles and energy of a mapping with another density of one tensor; None where it does not do."""
    named = zip(problem.shape.tensors, (problem.density(one.name) for one in problem.shape.tensors), strict=True)
    changed = tuple(Hypergeometric(density) if one.name == tensor else known for one, known in named)
    try:
        cost = evaluate(mapping, replace(problem, densities=changed), architecture, energies)
    except DovetailError:
        return None
    return cost.cycles, cost.energy_pJ


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
        cost = _cost_at(architecture, mapping, problem, energies, tensor, density)
        return math.inf if cost is None else objective.value_of(cost[1], cost[0])

    return value


def _pays_below(value: Callable[[float], float], other: Callable[[float], float]) -> float:
    """Return up to which density, from the least on, a value is below another; between two, to `STEPS` halvings.

    Lines are whole, so neither rises evenly: beyond the first density at which it does not pay, it may once more.
    """
    low = 0.0
    for high in DENSITIES:
        if value(high) >= other(high):
            break
        low = high
    else:
        return 1.0
    if not low:
        return 0.0
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
            rest = tuple(one for one in own.leaves_out if one is not left)
            yield level.name, str(left), "", _with(architecture, level, replace(own, leaves_out=rest))
        for how in sorted(own.computing):
            changed = replace(own, computing=own.computing - {how})
            yield level.name, f"{how} of computations", "", _with(architecture, level, changed)
    for tensor in (tensor for tensor, levels in named.items() if levels > 1):
        yield "", f"{tensor} in any format", tensor, _in_no_format(architecture, tensor)


def _in_no_format(architecture: Architecture, tensor: str) -> Architecture:
    """Return a design with a tensor as it is at every level."""
    changed = architecture
    for level in architecture.levels:
        kept = tuple(one for one in level.sparse.formats if one.tensor != tensor)
        changed = _with(changed, level, replace(level.sparse, formats=kept))
    return changed


def _with(architecture: Architecture, level: Level, sparse: Sparse) -> Architecture:
    changed = replace(level, sparse=sparse)
    return replace(architecture, levels=tuple(changed if each is level else each for each in architecture.levels))
