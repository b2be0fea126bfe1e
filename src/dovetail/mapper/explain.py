"""What an architecture's constraints cost a layer: its optimum, and the optimum with each constraint lifted in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Spatial
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.relaxations import Relaxation, relaxations
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.search import search as exact_search
from dovetail.mapping.mapping import Mapping
from dovetail.table import Cell, Table, headed
from dovetail.workload.problem import Problem

#: Sums of the same energies differ by no more than this share, whatever their order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Lifted:
    """What the optimum would be without one constraint.

    Attributes:
        level: the level that it stands at.
        constraint: what it says, in words.
        result: the optimum without it; None when there is none, or when the space is beyond reach.
        value: the objective's value of that optimum; None likewise.
        gain: by what fraction that is better than with the constraint; 0 when lifting it changes nothing.
        note: why there is no result, or that it is not proven to be the optimum.
    """

    level: str
    constraint: str
    result: SearchResult | None
    value: float | None
    gain: float
    note: str = ""

    @property
    def proven(self) -> bool:
        """Whether the result is known to be the optimum without the constraint."""
        return self.result is not None and self.result.certificate.exact


@dataclass(frozen=True)
class AxisUse:
    """How far a mapping uses one axis of a fan-out.

    Attributes:
        level: the fan-out.
        axis: ``X`` or ``Y``.
        used: instances in use along it.
        available: instances there are.
    """

    level: str
    axis: str
    used: int
    available: int

    @property
    def idle(self) -> bool:
        """Whether the axis lies wholly idle."""
        return self.used == 1 < self.available


@dataclass(frozen=True)
class Explained:
    """An optimum, and what every constraint costs.

    Attributes:
        objective: what is minimised.
        result: the optimum under all constraints; None when nothing satisfies them.
        reason: why there is none.
        lifted: one entry per constraint, dearest first.
        axes: how far the optimum uses each axis of each fan-out.
    """

    objective: Objective
    result: SearchResult | None
    reason: str
    lifted: tuple[Lifted, ...]
    axes: tuple[AxisUse, ...]

    @property
    def searched(self) -> tuple[SearchResult, ...]:
        """The results of lifting constraints, where there are any."""
        return tuple(entry.result for entry in self.lifted if entry.result is not None)

    def frees(self, idle: AxisUse) -> tuple[Lifted, ...]:
        """Return the constraints without which the optimum would use an axis that lies idle."""
        return tuple(
            entry
            for entry in self.lifted
            if entry.result is not None
            for axis in axis_use(entry.result.mapping, (idle,))
            if axis.used > 1
        )

    def table(self) -> Table:
        """Return a row for the optimum and one per constraint lifted, dearest first."""
        columns = ("level", "without", "cycles", "energy uJ", "EDP J x cycle", "utilization", f"{self.objective} gain")
        rows: list[tuple[Cell, ...]] = []
        if self.result is not None:
            rows.append(("", "as it is", *_figures(self.result), None))
        rows += [(one.level, one.constraint, *_figures(one.result), one.gain) for one in self.lifted]
        return Table(headed(*columns), tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html(self.reason or f"best {self.objective}, and with each constraint lifted in turn")


def _figures(result: SearchResult | None) -> tuple[Cell, Cell, Cell, Cell]:
    if result is None:
        return None, None, None, None
    cost = result.cost
    return cost.cycles, cost.energy_pJ * 1e-6, cost.edp_J_cycle, cost.utilization


def explain(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    time_limit: Limit = None,
    search: SearchFunction | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Explained:
    """Find the optimum, then the optimum with each constraint lifted in turn.

    The factors that a level prescribes are lifted together first, and one by one only where that changes anything.

    Args:
        problem: the layer.
        architecture: its constraints as its file states them.
        energies: what its components cost.
        objective: what is minimised.
        time_limit: seconds per search.
        search: what finds the optimum; None: the exact mapper.
        progress: called after every search with searches done, searches known of, and the constraint lifted.
    """
    search = search or exact_search
    open_ones = list(relaxations(architecture, problem))
    done, total = 0, 1 + len(open_ones)
    base, reason = _attempt(search, problem, architecture, energies, objective, time_limit)
    value = None if base is None else _value(base)
    lifted: list[Lifted] = []
    while open_ones:
        relaxation = open_ones.pop(0)
        done += 1
        if progress is not None:
            progress(done, total, f"without {relaxation.constraint} at {relaxation.level}")
        found, note = _attempt(search, problem, relaxation.architecture, energies, objective, time_limit)
        entry = _compared(relaxation, found, note, value)
        lifted.append(entry)
        if (entry.gain or (base is None and found is not None)) and relaxation.parts:
            open_ones += relaxation.parts
            total += len(relaxation.parts)
    lifted.sort(key=lambda entry: -entry.gain)
    return Explained(
        objective, base, reason, tuple(lifted), () if base is None else axis_use(base.mapping, _axes(architecture))
    )


def axis_use(mapping: Mapping, axes: tuple[AxisUse, ...]) -> tuple[AxisUse, ...]:
    """Return how far a mapping uses each of the axes."""
    found = []
    for axis in axes:
        entry, used = mapping[axis.level], 1
        for loop in entry.spatial_x if axis.axis == "X" else entry.spatial_y:
            used *= loop.factor
        found.append(replace(axis, used=used))
    return tuple(found)


def _axes(architecture: Architecture) -> tuple[AxisUse, ...]:
    spatial = [level for level in architecture.levels if isinstance(level, Spatial)]
    sizes = [(level.name, "X", level.fanout_x) for level in spatial] + [(s.name, "Y", s.fanout_y) for s in spatial]
    return tuple(AxisUse(name, axis, 1, size) for name, axis, size in sorted(sizes) if size > 1)


def _attempt(
    search: SearchFunction,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    time_limit: Limit,
) -> tuple[SearchResult | None, str]:
    try:
        result = search(problem, architecture, energies, objective, time_limit=time_limit).unless_interrupted()
    except NoMappingError as error:
        return None, str(error)
    return result, "" if result.certificate.exact else "the best found, not proven to be the optimum"


def _value(result: SearchResult) -> float:
    return result.objective.value_of(result.cost.energy_pJ, result.cost.cycles)


def _compared(relaxation: Relaxation, found: SearchResult | None, note: str, value: float | None) -> Lifted:
    new = None if found is None else _value(found)
    gain = 0.0 if new is None or value is None else 1.0 - new / value
    if gain <= ROUNDING:
        gain = 0.0
        note = (
            "no better mapping was found, which is no proof that there is none" if note and value is not None else note
        )
    return Lifted(relaxation.level, relaxation.constraint, found, new, gain, note)
