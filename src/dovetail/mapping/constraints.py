"""What an architecture's constraints mean for one problem, and which of them a mapping breaks.

The meaning is the reference's (Timeloop ``mapping/constraints.cpp`` and ``mapspaces/``, timeloopfe's processors):

- ``=`` 0 stands for the dimension's whole bound, and so does ``=`` with more than the bound.
- A permutation pins the loops it names; loops of one iteration do not count, except under a ``split``. That holds
  over time and over space: X takes the inner part of a fan-out's permutation and Y the outer one, and the loops on
  either axis stand in its order.
- A ``split`` counts dimensions, those of one iteration too, over the whole permutation, innermost first. Before it
  counts, every dimension that the permutation leaves out and that can only have factor 1 (``=1``, or a bound of 1)
  is put innermost: so the front end of v0.4 does; in earlier versions they stay behind those that are named. A
  dimension that the permutation names and the problem lacks counts as one of one iteration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from dovetail.hardware.architecture import (
    Architecture,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.binding import bind, fixed_factor
from dovetail.hardware.names import Names
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.packing import packed
from dovetail.same import Remembered
from dovetail.workload.problem import Problem

#: A search binds a design to its layer several times, and so do those that put it on the way and count its result.
_BOUND: Remembered[Architecture] = Remembered(64)


@dataclass(frozen=True)
class FactorRange:
    """The factors that a loop may have.

    Attributes:
        least: the smallest.
        most: the largest; the dimension's bound when nothing limits it.
    """

    least: int
    most: int


@dataclass(frozen=True)
class PinnedOrder:
    """A level's permutation for one problem, innermost first.

    Attributes:
        inner: dimensions pinned innermost.
        free: dimensions that may take any order between the pinned ones.
        outer: dimensions pinned outermost.
    """

    inner: tuple[str, ...]
    free: tuple[str, ...]
    outer: tuple[str, ...]

    @cached_property
    def outer_to_inner(self) -> dict[str, int]:
        """Place of every dimension, rising from the outside in; free dimensions share one."""
        groups = [*([name] for name in reversed(self.outer)), self.free, *([name] for name in reversed(self.inner))]
        return {name: place for place, group in enumerate(groups) for name in group}

    def allows(self, loops: Sequence[str]) -> bool:
        """Return whether loops may stand in this order, outer to inner: over time, or along one axis of a fan-out."""
        place = self.outer_to_inner
        return all(place[one] <= place[other] for one, other in pairwise(loops))

    def allows_axes(self, x: Iterable[str], y: Iterable[str]) -> bool:
        """Return whether, without a ``split``, these may lie on X and those on Y: what is inner comes to lie on X."""
        place = self.outer_to_inner
        return all(place[on_y] <= place[on_x] for on_x in x for on_y in y)


@dataclass(frozen=True)
class AxisSlots:
    """Where a spatial level's dimensions may lie when its ``split`` is given.

    Attributes:
        on_x: dimensions that can only lie on X.
        on_y: dimensions that can only lie on Y.
        free: dimensions that may lie on either axis.
        free_on_x: exactly so many of the free ones lie on X, those of factor 1 counted too.
    """

    on_x: tuple[str, ...]
    on_y: tuple[str, ...]
    free: tuple[str, ...]
    free_on_x: int

    def allows(self, x: Iterable[str], y: Iterable[str]) -> bool:
        """Return whether these may lie on X and those on Y."""
        x, y, free = set(x), set(y), set(self.free)
        fixed = x.isdisjoint(self.on_y) and y.isdisjoint(self.on_x)
        return fixed and len(x & free) <= self.free_on_x and len(y & free) <= len(free) - self.free_on_x


def bound_to(architecture: Architecture, problem: Problem) -> Architecture:
    """Return the architecture as a problem finds it: its constraints in plain form, and products at once by widths."""

    def bound() -> Architecture:
        names = names_of(problem)
        return bind(packed(architecture, problem), names.bounds, names.tensors, names.layer)

    return _BOUND.once((architecture, problem), bound)


def names_of(problem: Problem) -> Names:
    """Return what a problem's dimensions and tensors are called."""
    bounds = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    return Names(problem.name, bounds, {tensor.name: tensor.dimensions for tensor in problem.shape.tensors})


def factor_range(loops: LoopConstraints, dimension: str, problem: Problem) -> FactorRange:
    """Return the factors that a level's loop over a dimension may have, its bound not yet counted as a limit.

    Args:
        loops: the level's temporal or spatial constraints, of an architecture bound to the problem.
        dimension: a dimension of the problem.
        problem: whose bound ``=`` 0 stands for.
    """
    bound = problem.bound(dimension)
    least, most = 1, bound
    for constraint in loops.factors:
        if constraint.dimension != dimension:
            continue
        value = constraint.value
        if constraint.relation is Relation.EQ:
            least = most = fixed_factor(constraint, bound)
        elif constraint.relation is Relation.LE:
            most = min(most, value)
        else:
            least = max(least, value)
    return FactorRange(least, most)


def pinned_order(loops: LoopConstraints, problem: Problem) -> PinnedOrder:
    """Return a level's permutation for one problem: what is pinned where, what is free.

    Args:
        loops: the level's temporal or spatial constraints; names the problem lacks are left out.
        problem: whose dimensions are ordered.
    """
    order, dimensions = _listed_order(loops, problem), problem.shape.dimensions
    inner, outer = (tuple(name for name in names if name in dimensions) for names in (order.inner, order.outer))
    return PinnedOrder(inner, order.free, outer)


def _listed_order(loops: LoopConstraints, problem: Problem) -> PinnedOrder:
    """Return the permutation with the names that the problem lacks: dimensions of one iteration, for a split."""
    inner, outer = tuple(reversed(loops.inner)), tuple(reversed(loops.outer))
    rest = [name for name in problem.shape.dimensions if name not in inner + outer]
    of_one = tuple(name for name in rest if not loops.listed_first and _can_only_be_one(name, loops, problem))
    return PinnedOrder(of_one + inner, tuple(name for name in rest if name not in of_one), outer)


def axis_slots(loops: LoopConstraints, problem: Problem) -> AxisSlots | None:
    """Return which dimensions may lie on which axis of a spatial level; None when it has no ``split``."""
    if loops.split is None:
        return None
    order, dimensions = _listed_order(loops, problem), problem.shape.dimensions
    x_of_free = min(max(loops.split - len(order.inner), 0), len(order.free))
    x_of_outer = max(loops.split - len(order.inner) - len(order.free), 0)
    on_x, on_y = (
        tuple(name for name in names if name in dimensions)
        for names in (
            order.inner[: loops.split] + order.outer[:x_of_outer],
            order.inner[loops.split :] + order.outer[x_of_outer:],
        )
    )
    if x_of_free == len(order.free):
        return AxisSlots(on_x + order.free, on_y, (), 0)
    if x_of_free == 0:
        return AxisSlots(on_x, order.free + on_y, (), 0)
    return AxisSlots(on_x, on_y, order.free, x_of_free)


def violations(mapping: Mapping, problem: Problem, architecture: Architecture) -> tuple[str, ...]:
    """Say which of the architecture's constraints a mapping breaks, one sentence each; none when it obeys all.

    Args:
        mapping: one that ``check_mapping`` accepts.
        problem: what it maps.
        architecture: whose constraints are meant.
    """
    found: list[str] = []
    constrained = bound_to(architecture, problem)
    for entry in mapping.normalized().levels:
        level = constrained.level(entry.level)
        found += _kept(entry, level, problem)
        if isinstance(level, Storage):
            constraints = level.constraints.temporal
            found += _loops(entry.level, "loops over time", entry.temporal, constraints, problem)
            found += _order(f"{entry.level}: the {{}} loops", entry.temporal, constraints, problem)
        elif isinstance(level, Spatial):
            constraints = level.constraints.spatial
            both = entry.spatial_x + entry.spatial_y
            found += _loops(entry.level, "spatial loops", both, constraints, problem)
            found += _axes(entry, constraints, problem)
    return tuple(found)


def _can_only_be_one(dimension: str, loops: LoopConstraints, problem: Problem) -> bool:
    return problem.bound(dimension) == 1 or FactorConstraint(dimension, Relation.EQ, 1) in loops.factors


def _kept(entry: LevelMapping, level: Level, problem: Problem) -> list[str]:
    names = [tensor.name for tensor in problem.shape.tensors]
    wanted = [name for name in names if name in level.constraints.keep and name not in entry.keep]
    unwanted = [name for name in names if name in level.constraints.bypass and name in entry.keep]
    return [f"{level.name} must keep {name}, which passes by." for name in wanted] + [
        f"{level.name} must let {name} pass by but keeps it." for name in unwanted
    ]


def _loops(level: str, what: str, loops: tuple[Loop, ...], limits: LoopConstraints, problem: Problem) -> list[str]:
    factors = {loop.dimension: loop.factor for loop in loops}
    found = []
    for dimension in problem.shape.dimensions:
        allowed, factor = factor_range(limits, dimension, problem), factors.get(dimension, 1)
        if not allowed.least <= factor <= allowed.most:
            wanted = f"must be {allowed.least}"
            if allowed.least != allowed.most:
                wanted = f"must be {'at least' if factor < allowed.least else 'at most'} "
                wanted += str(allowed.least if factor < allowed.least else allowed.most)
            found.append(f"{level}: the factor of {dimension} is {factor} but {wanted}.")
    if limits.max_dimensions is not None and len(factors) > limits.max_dimensions:
        named = ", ".join(loop.dimension for loop in loops)
        found.append(f"{level} has {len(factors)} {what} ({named}) but may have {limits.max_dimensions}.")
    return found


def _order(what: str, loops: tuple[Loop, ...], limits: LoopConstraints, problem: Problem) -> list[str]:
    """Compare the order of a level's loops, over time or along one axis, with the pinned one, outer to inner."""
    names = [loop.dimension for loop in loops]
    if pinned_order(limits, problem).allows(names):
        return []
    outer = [name for name in limits.outer if name in names]
    inner = [name for name in limits.inner if name in names]
    found = []
    if inner and names[-len(inner) :] != inner:
        found.append(f"{what.format('innermost')} must be {_listed(inner)}, outer to inner; found {_listed(names)}.")
    if outer and names[: len(outer)] != outer:
        found.append(f"{what.format('outermost')} must be {_listed(outer)}, outer to inner; found {_listed(names)}.")
    return found


def _axes(entry: LevelMapping, limits: LoopConstraints, problem: Problem) -> list[str]:
    """Compare the axes that the spatial loops lie on with those that permutation and split leave them."""
    x = [loop.dimension for loop in entry.spatial_x]
    y = [loop.dimension for loop in entry.spatial_y]
    slots = axis_slots(limits, problem)
    ordered = [
        broken
        for axis, loops in (("X", entry.spatial_x), ("Y", entry.spatial_y))
        for broken in _order(f"{entry.level}: the {{}} loops on {axis}", loops, limits, problem)
    ]
    if slots is None:
        return _axes_without_split(entry.level, x, y, pinned_order(limits, problem)) + ordered
    if slots.allows(x, y):
        return ordered
    found = [f"{entry.level}: {name} must lie on Y but lies on X." for name in x if name in slots.on_y]
    found += [f"{entry.level}: {name} must lie on X but lies on Y." for name in y if name in slots.on_x]
    free_on_y = len(slots.free) - slots.free_on_x
    for axis, names, room in (("X", x, slots.free_on_x), ("Y", y, free_on_y)):
        freely = [name for name in names if name in slots.free]
        if len(freely) > room:
            found.append(f"{entry.level}: {_listed(freely)} lie on {axis} but its split leaves room for {room} there.")
    return found + ordered


def _axes_without_split(level: str, x: Sequence[str], y: Sequence[str], order: PinnedOrder) -> list[str]:
    """Without a split any point of the permutation may part X from Y, but what is inner comes to lie on X first."""
    for on_x in x:
        for on_y in y:
            if not order.allows_axes([on_x], [on_y]):
                return [f"{level}: {on_y} lies on Y and {on_x} on X, but its permutation puts {on_y} on X first."]
    return []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
