"""What an architecture's constraints cost a layer: its optimum, and the optimum with each constraint lifted in turn."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Source,
    Spatial,
)
from dovetail.hardware.constraint_reader import ALL_ON_X
from dovetail.hardware.names import source_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.table import Cell, Table
from dovetail.workload.problem import Problem

#: What finds the optimum: ``(problem, architecture, energies, objective, *, time_limit)``.
SearchFunction = Callable[..., SearchResult]

_UNSET = LoopConstraints()
#: Sums of the same energies differ by no more than this share, whatever their order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Relaxation:
    """One constraint, and the architecture without it.

    Attributes:
        level: the level that it stands at.
        constraint: what it says, in words.
        architecture: the same without it.
        lift: takes it out of its level's constraints, whatever else was taken out of them.
        parts: the single factors that it consists of, when it consists of several.
        source: where a file states it, when it is in one place.
        factor: the factor, when it is one.
    """

    level: str
    constraint: str
    architecture: Architecture
    lift: Callable[[Constraints], Constraints] = field(repr=False)
    parts: tuple[Relaxation, ...] = ()
    source: Source | None = None
    factor: FactorConstraint | None = None


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
class Explanation:
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
        return Table(columns, tuple(rows))

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
    time_limit: float | None = None,
    search: SearchFunction | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Explanation:
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
    search = search or exact_search()
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
    return Explanation(
        objective, base, reason, tuple(lifted), () if base is None else axis_use(base.mapping, _axes(architecture))
    )


def exact_search() -> SearchFunction:
    """Return the exact mapper."""
    function: SearchFunction = importlib.import_module("dovetail.mapper.search").search
    return function


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
    time_limit: float | None,
) -> tuple[SearchResult | None, str]:
    try:
        result = search(problem, architecture, energies, objective, time_limit=time_limit)
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


def relaxations(architecture: Architecture, problem: Problem) -> Iterator[Relaxation]:
    """Yield every constraint that can matter to the problem, outer to inner, with the architecture without it."""
    names = frozenset(tensor.name for tensor in problem.shape.tensors)
    for level in architecture.levels:
        kept = names if level is not architecture.levels[0] else frozenset()
        yield from _dataspace(architecture, level, kept)
        for kind in ("temporal", "spatial"):
            yield from _loop_relaxations(architecture, level, kind, problem)


def without(architecture: Architecture, lifted: Iterable[Relaxation]) -> Architecture:
    """Return the architecture without several constraints at once."""
    levels = {level.name: level for level in architecture.levels}
    for one in lifted:
        level = levels[one.level]
        levels[one.level] = replace(level, constraints=one.lift(level.constraints))
    return replace(architecture, levels=tuple(levels.values()))


def _relaxation(
    architecture: Architecture,
    level: Level,
    words: str,
    lift: Callable[[Constraints], Constraints],
    source: Source | None,
    parts: tuple[Relaxation, ...] = (),
) -> Relaxation:
    changed = [
        replace(each, constraints=lift(each.constraints)) if each is level else each for each in architecture.levels
    ]
    return Relaxation(level.name, words, replace(architecture, levels=tuple(changed)), lift, parts, source)


def _dataspace(architecture: Architecture, level: Level, names: frozenset[str]) -> Iterator[Relaxation]:
    """Yield tensor by tensor what must be kept or must pass by, whichever way that is said."""
    for kind in ("keep", "bypass"):
        listed: frozenset[str] = getattr(level.constraints, kind)
        spared: frozenset[str] | None = getattr(level.constraints, f"{kind}_all_but")
        for name in sorted(names & (listed if spared is None else listed | (names - spared))):
            source = source_of(level.constraints.said, "tensor", name)
            lift = functools.partial(_without_tensor, kind=kind, name=name)
            yield _relaxation(architecture, level, f"{kind} {name}", lift, source)


def _without_tensor(constraints: Constraints, kind: str, name: str) -> Constraints:
    listed: frozenset[str] = getattr(constraints, kind)
    spared: frozenset[str] | None = getattr(constraints, f"{kind}_all_but")
    fields: dict[str, Any] = {kind: listed - {name}}
    if spared is not None:
        fields[f"{kind}_all_but"] = spared | {name}
    return replace(constraints, **fields)


def _without_loops(constraints: Constraints, kind: str, **fields: Any) -> Constraints:
    return replace(constraints, **{kind: replace(getattr(constraints, kind), **fields)})


def _without_factors(
    constraints: Constraints, kind: str, dropped: tuple[FactorConstraint, ...], problem: Problem
) -> Constraints:
    """Return constraints without some factors, whose dimensions stay named where rules for all others would hold.

    Under ``factors_only`` a dimension that is no longer named could only have factor 1: that would lift nothing.
    """
    loops: LoopConstraints = getattr(constraints, kind)
    rest = [factor for factor in loops.factors if factor not in dropped]
    for name in dict.fromkeys(factor.dimension for factor in dropped):
        if loops.only_listed or loops.default_max is not None:
            rest.append(FactorConstraint(name, Relation.LE, problem.bound(name)))
        if loops.default_min is not None:
            rest.append(FactorConstraint(name, Relation.GE, 1))
    return _without_loops(constraints, kind, factors=tuple(rest))


def _loop_relaxations(architecture: Architecture, level: Level, kind: str, problem: Problem) -> Iterator[Relaxation]:
    prefix = "spatial " if kind == "spatial" else ""
    loops: LoopConstraints = getattr(level.constraints, kind)

    def rule(words: str, key: str, **fields: Any) -> Relaxation:
        lift = functools.partial(_without_loops, kind=kind, **fields)
        return _relaxation(architecture, level, prefix + words, lift, source_of(loops.said, "key", key))

    yield from _factor_relaxations(architecture, level, kind, problem)
    split = "all on X" if (loops.split or 0) >= ALL_ON_X else str(loops.split)
    order = [name for name in loops.outer + loops.inner if _iterates(problem, name)]
    listed = " ".join(reversed(loops.outer + loops.inner))
    if len(order) > 1 or (order and loops.split is not None):
        yield rule(f"permutation {listed}", "permutation", inner=(), outer=())
    if loops.split is not None:
        yield rule(f"split {split}", "split", split=None)
        if order:
            yield rule(f"permutation {listed} and split {split}", "split", inner=(), outer=(), split=None)
    for name, (words, key) in _OTHER_RULES.items():
        value = getattr(loops, name)
        if value != getattr(_UNSET, name):
            shown = "" if isinstance(value, bool) else f" {_listed(value)}"
            yield rule(f"{words}{shown}", key, **{name: getattr(_UNSET, name)})


#: Field -> what to call its constraint, and its key in the files.
_OTHER_RULES = {
    "max_dimensions": ("at most so many loops:", ""),
    "only_listed": ("factors_only", "factors_only"),
    "no_iteration_over": ("no_iteration_over_dataspaces", "no_iteration_over_dataspaces"),
    "iteration_over": ("iteration only over the dimensions of", "must_iterate_over_dataspaces"),
    "maximize": ("maximize_dims", "maximize_dims"),
    "default_max": ("default upper bound of factors:", "default_max_factor"),
    "default_min": ("default lower bound of factors:", "default_min_factor"),
}


def _iterates(problem: Problem, dimension: str) -> bool:
    return dimension in problem.shape.dimensions and problem.bound(dimension) > 1


def _listed(value: Any) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if isinstance(value, tuple):
        return " ".join(",".join(group) for group in value)
    return str(value)


def _factor_relaxations(architecture: Architecture, level: Level, kind: str, problem: Problem) -> Iterator[Relaxation]:
    """Yield the factors that matter: all together, with each of them as its parts."""
    prefix = "spatial " if kind == "spatial" else ""
    loops: LoopConstraints = getattr(level.constraints, kind)
    binding = [factor for factor in loops.factors if _iterates(problem, factor.dimension)]
    parts = []
    for factor in binding:
        lift = functools.partial(_without_factors, kind=kind, dropped=(factor,), problem=problem)
        one = _relaxation(architecture, level, f"{prefix}factor {factor}", lift, factor.source)
        parts.append(replace(one, factor=factor))
    if len(parts) > 1:
        words = f"{prefix}factors {' '.join(map(str, binding))}"
        lift = functools.partial(_without_factors, kind=kind, dropped=tuple(binding), problem=problem)
        yield _relaxation(architecture, level, words, lift, None, tuple(parts))
    else:
        yield from parts
