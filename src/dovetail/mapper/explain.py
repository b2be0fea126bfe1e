"""What an architecture's constraints cost a layer: its optimum, and the optimum with each constraint lifted in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from dovetail.quantities import FOUND
from dovetail.table import Cell, Column, Table
from dovetail.units import percent
from dovetail.workload.problem import Problem

#: Sums of the same energies differ by no more than this share, whatever their order.
ROUNDING = 1e-9
#: A constraint that costs less than this share is not worth a line.
NOTHING = 5e-4
#: What a `star` says.
UNPROVEN = "* the best found, not proven to be the optimum"


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        said = (
            self.note if self.result is None else f"gains {percent(self.gain)}" + (f" ({self.note})" * bool(self.note))
        )
        return f"<Lifted '{self.constraint}' at {self.level}: {said}>"

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


@dataclass(frozen=True, repr=False)
class Explained:
    """An optimum, and what every constraint costs.

    Attributes:
        problem: the layer that was asked about.
        objective: what is minimised.
        result: the optimum under all constraints; None when nothing satisfies them.
        reason: why there is none.
        lifted: one entry per constraint, dearest first.
        axes: how far the optimum uses each axis of each fan-out.
    """

    problem: Problem
    objective: Objective
    result: SearchResult | None
    reason: str
    lifted: tuple[Lifted, ...]
    axes: tuple[AxisUse, ...]

    def __repr__(self) -> str:
        return f"<Explained {self.problem.name}: {self.objective}, {len(self.lifted)} constraints lifted>"

    @property
    def shown(self) -> Problem:
        """The layer as its optimum has it: padded, where that is better."""
        return self.problem_of(self.result)

    def problem_of(self, result: SearchResult | None) -> Problem:
        """Return the layer as one of the results has it; the one that was asked about where there is none."""
        return self.problem if result is None or result.reading is None else result.reading.problem

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

    def gaining(self) -> tuple[Lifted, ...]:
        """Return the constraints that cost anything worth a line; all of them where no mapping satisfies them."""
        return tuple(entry for entry in self.lifted if entry.gain >= NOTHING or self.result is None)

    def table(self, lifted: Sequence[Lifted] | None = None) -> Table:
        """Return a row for the optimum and one per constraint lifted, dearest first.

        Args:
            lifted: those to show; None: all of them.
        """
        columns = (
            Column("level", words=True),
            Column("without", words=True),
            *FOUND,
            Column(f"{self.objective} gain", key="gain", words=False, show=_gain_text),
        )
        rows: list[tuple[Cell, ...]] = []
        if self.result is not None:
            rows.append(("", f"as it is{star(self.result)}", *cells(self.result), None))
        rows += map(_row, self.lifted if lifted is None else lifted)
        return Table(columns, tuple(rows))

    def unproven(self, lifted: Sequence[Lifted]) -> str:
        """Return what the stars of a `table` say; empty where it has none."""
        shown = [self.result, *(one.result for one in lifted)]
        return UNPROVEN if any(each is not None and star(each) for each in shown) else ""

    def _repr_html_(self) -> str:
        return self.table(self.gaining()).html(
            self.reason or f"best {self.objective}, and with each constraint lifted in turn"
        )


def cells(result: SearchResult) -> tuple[Cell, Cell, Cell, Cell]:
    """Return a result's cycles, energy in pJ, EDP and utilization for a table."""
    cost = result.cost
    return cost.cycles, cost.energy_pJ, cost.edp_J_cycle, cost.utilization


def star(result: SearchResult) -> str:
    """Return the sign of what is not proven; nothing for an optimum."""
    return "" if result.certificate.exact else " *"


def _row(entry: Lifted) -> tuple[Cell, ...]:
    if entry.result is None:
        return entry.level, entry.constraint, None, None, None, None, None
    return entry.level, entry.constraint + star(entry.result), *cells(entry.result), entry.gain


def _gain_text(gain: float) -> str:
    """Return a gain as a person reads it; no gain is not worth a word."""
    return percent(gain) if gain else ""


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
    axes = () if base is None else axis_use(base.mapping, _axes(architecture))
    return Explained(problem, objective, base, reason, tuple(lifted), axes)


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
