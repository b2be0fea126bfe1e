"""What each thing that a design does about zeros saves and costs a mapping: the mapping counted again without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import DovetailError
from dovetail.hardware.architecture import Architecture, Level
from dovetail.hardware.sparse import Sparse
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem


@dataclass(frozen=True)
class WithoutFeature:
    """A mapping without one thing that its design does about zeros.

    Attributes:
        level: where the design does it; empty: at several levels.
        feature: what it is, in words.
        cost: of the same mapping without; None where it would not do.
        reason: why it would not.
    """

    level: str
    feature: str
    cost: Cost | None
    reason: str = ""


def without_features(
    mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable
) -> tuple[WithoutFeature, ...]:
    """Return a mapping's costs without each of a design's formats and ways of leaving out in turn; none if it is dense.

    Formats of one tensor are lifted one by one and all together: alone, those inside may need those outside.

    Args:
        mapping: with its loops of one iteration, as searches of sparse designs return it.
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
    """
    found = []
    for level, feature, changed in _lifted(architecture):
        try:
            cost = evaluate(mapping, problem, changed, energies)
        except DovetailError as error:
            found.append(WithoutFeature(level, feature, None, str(error)))
        else:
            found.append(WithoutFeature(level, feature, cost))
    return tuple(found)


def _lifted(architecture: Architecture) -> Iterator[tuple[str, str, Architecture]]:
    """Yield every feature: its level, what it is, and the design without."""
    named: dict[str, int] = {}
    for level in architecture.levels:
        own = level.sparse
        for written in own.formats:
            named[written.tensor] = named.get(written.tensor, 0) + 1
            kept = tuple(one for one in own.formats if one is not written)
            yield level.name, f"{written.tensor} as {written}", _with(architecture, level, replace(own, formats=kept))
        for left in own.leaves_out:
            ways = " or ".join(f"{way.target} on {' and '.join(way.condition_on)}" for way in left.choices)
            rest = tuple(one for one in own.leaves_out if one is not left)
            yield level.name, f"{left.how} of {ways}", _with(architecture, level, replace(own, leaves_out=rest))
        for how in sorted(own.computing):
            changed = replace(own, computing=own.computing - {how})
            yield level.name, f"{how} of computations", _with(architecture, level, changed)
    for tensor in (tensor for tensor, levels in named.items() if levels > 1):
        levels = tuple(
            replace(
                each, sparse=replace(each.sparse, formats=tuple(o for o in each.sparse.formats if o.tensor != tensor))
            )
            for each in architecture.levels
        )
        yield "", f"{tensor} in any format", replace(architecture, levels=levels)


def _with(architecture: Architecture, level: Level, sparse: Sparse) -> Architecture:
    changed = replace(level, sparse=sparse)
    return replace(architecture, levels=tuple(changed if each is level else each for each in architecture.levels))
