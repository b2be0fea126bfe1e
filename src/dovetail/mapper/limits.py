"""What a mapping must obey, as arrays, and whether it does: constraints, fan-outs and capacities; compiled.

A batch of mappings is one array of genes and one of keepers, ``genes`` is
``(candidates, 5, levels, dims)``, its second axis the first five fields of `dovetail.model.arrays.Nest`; ``keep`` is
``(candidates, levels, tensors)``. Dims are the active ones: those of more than one iteration.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dovetail.hardware.architecture import Architecture, LoopConstraints, Spatial
from dovetail.mapper.divisors import divisors_of
from dovetail.mapping.constraints import axis_slots, factor_range, pinned_order
from dovetail.model.arrays import Bools, Ints, Machine, Rules
from dovetail.model.by_address import by_address
from dovetail.model.charges import fits, space_taken, words_of
from dovetail.model.compile import part
from dovetail.model.encode import mapped_levels
from dovetail.workload.problem import Problem

# Places on the second axis of the genes.
TEMPORAL, ORDER, SPATIAL_X, SPATIAL_Y, SPATIAL_ORDER = range(5)
GENES = 5

# Where a dimension may lie.
ANYWHERE, ON_X, ON_Y = range(3)

# What limits a dimension at a level: smallest and largest factor, over time or over both axes together; loops stand in
# rising order of place, outer to inner, equal ones in any order; where on a fan-out it may lie.
LEAST, MOST, PLACE, AXIS = range(4)

# What limits a level: whether it is a fan-out; dimensions that may have a factor above 1; largest product of factors on
# X and on Y; how many of the dimensions that may lie anywhere may lie on X and on Y; whether no dimension on Y may have
# a larger place than one on X; and per tensor, from OPEN on, whether the level may both keep it and let it pass by.
IS_FANOUT, MOST_LOOPS, ROOM_X, ROOM_Y, FREE_ON_X, FREE_ON_Y, IN_ORDER, OPEN = range(8)


@by_address
class Limits(NamedTuple):
    """What a mapping must obey, in few arrays: so it compiles fast. Levels are outer to inner without compute.

    Attributes:
        loops: ``(levels, dims, 4)`` columns ``LEAST`` to ``AXIS``.
        levels: ``(levels, OPEN + tensors)`` columns from ``IS_FANOUT`` on.
        bounds: ``(dims,)`` iterations of the dimensions.
        coefficients: ``(tensors, axes, dims)`` as in `dovetail.model.arrays.Rules`.
        size: ``(levels, tensors)`` as in `dovetail.model.arrays.Machine`.
        capacity: ``(levels,)`` likewise.
        primes: ``(dims, most primes)`` the different prime factors of a bound, padded with 0.
    """

    loops: Ints
    levels: Ints
    bounds: Ints
    coefficients: Ints
    size: Ints
    capacity: Ints
    primes: Ints


def limits_of(problem: Problem, architecture: Architecture, rules: Rules, machine: Machine) -> Limits:
    """Return the limits of an architecture with bound constraints; rules and machine are those of the active dims."""
    active = active_dimensions(problem)
    names = [problem.shape.dimensions[d] for d in active]
    levels = mapped_levels(architecture)
    limits = Limits(
        loops=np.zeros((len(levels), len(active), AXIS + 1), np.int64),
        levels=np.zeros((len(levels), OPEN + len(problem.shape.tensors)), np.int64),
        bounds=np.array([problem.bounds[d] for d in active], np.int64),
        coefficients=rules.coefficients,
        size=machine.size,
        capacity=machine.capacity,
        primes=_primes([problem.bounds[d] for d in active]),
    )
    for i, level in enumerate(levels):
        loops = level.constraints.spatial if isinstance(level, Spatial) else level.constraints.temporal
        row = limits.levels[i]
        row[MOST_LOOPS] = len(active) if loops.max_dimensions is None else loops.max_dimensions
        _limit_loops(limits.loops[i], loops, problem, names)
        if isinstance(level, Spatial):
            _limit_axes(limits.loops[i], row, level, problem, names)
            continue
        row[ROOM_X] = row[ROOM_Y] = 1
        fixed = level.constraints.keep | level.constraints.bypass
        row[OPEN:] = [i > 0 and tensor.name not in fixed for tensor in problem.shape.tensors]
    return limits


def active_dimensions(problem: Problem) -> list[int]:
    """Return the dimensions of more than one iteration; the first one where there are none."""
    return [d for d, bound in enumerate(problem.bounds) if bound > 1] or [0]


def _limit_loops(rows: Ints, loops: LoopConstraints, problem: Problem, names: list[str]) -> None:
    """Fill one level's columns but for the axis."""
    place = pinned_order(loops, problem).outer_to_inner
    for row, name in zip(rows, names, strict=True):
        allowed = factor_range(loops, name, problem)
        row[LEAST], row[MOST] = max(1, allowed.least), min(allowed.most, problem.bound(name))
        row[PLACE] = place[name]


def _limit_axes(rows: Ints, own: Ints, level: Spatial, problem: Problem, names: list[str]) -> None:
    """Fill what limits a fan-out."""
    own[IS_FANOUT], own[ROOM_X], own[ROOM_Y] = True, level.fanout_x, level.fanout_y
    own[FREE_ON_X] = own[FREE_ON_Y] = len(names)
    slots = axis_slots(level.constraints.spatial, problem)
    own[IN_ORDER] = slots is None
    if slots is not None:
        own[FREE_ON_X], own[FREE_ON_Y] = slots.free_on_x, len(slots.free) - slots.free_on_x
        for row, name in zip(rows, names, strict=True):
            row[AXIS] = ON_X if name in slots.on_x else ON_Y if name in slots.on_y else ANYWHERE


def _primes(bounds: list[int]) -> Ints:
    rows = [[p for p in divisors_of(bound)[1:] if _is_prime(p)] for bound in bounds]
    table = np.zeros((len(rows), max(1, *map(len, rows))), np.int64)
    for d, row in enumerate(rows):
        table[d, : len(row)] = row
    return table


def _is_prime(number: int) -> bool:
    return all(number % p for p in range(2, math.isqrt(number) + 1))


@part()
def obeys(limits: Limits, genes: Ints) -> bool:
    """Return whether a mapping obeys the constraints and fits the fan-outs."""
    levels, dims = genes.shape[1], genes.shape[2]
    for level in range(levels):
        loops, on_x, on_y, free_x, free_y = 0, 1, 1, 0, 0
        inmost_y, outmost_x = -1, 1 << 30
        for d in range(dims):
            x, y = genes[SPATIAL_X, level, d], genes[SPATIAL_Y, level, d]
            factor = genes[TEMPORAL, level, d] * x * y
            if factor < limits.loops[level, d, LEAST] or factor > limits.loops[level, d, MOST] or (x > 1 and y > 1):
                return False
            loops += factor > 1
            on_x *= x
            on_y *= y
            if x > 1:
                if limits.loops[level, d, AXIS] == ON_Y:
                    return False
                free_x += limits.loops[level, d, AXIS] == ANYWHERE
                outmost_x = min(outmost_x, limits.loops[level, d, PLACE])
            if y > 1:
                if limits.loops[level, d, AXIS] == ON_X:
                    return False
                free_y += limits.loops[level, d, AXIS] == ANYWHERE
                inmost_y = max(inmost_y, limits.loops[level, d, PLACE])
        if (
            loops > limits.levels[level, MOST_LOOPS]
            or on_x > limits.levels[level, ROOM_X]
            or on_y > limits.levels[level, ROOM_Y]
        ):
            return False
        if free_x > limits.levels[level, FREE_ON_X] or free_y > limits.levels[level, FREE_ON_Y]:
            return False
        if limits.levels[level, IN_ORDER] and inmost_y > outmost_x:
            return False
    return True


@part()
def excess_at(limits: Limits, level: int, genes: Ints, kept: Bools, sizes: Ints) -> int:
    """Return by how much the tiles that a level keeps exceed it, the largest of them where factors leave a remainder.

    ``sizes``: ``(dims,)`` scratch.
    """
    if limits.capacity[level] < 0:
        return 0
    for d in range(sizes.shape[0]):
        size = 1
        for inner in range(level, genes.shape[1]):
            size *= genes[TEMPORAL, inner, d] * genes[SPATIAL_X, inner, d] * genes[SPATIAL_Y, inner, d]
        sizes[d] = min(size, limits.bounds[d])
    taken = 0
    for tensor in range(kept.shape[1]):
        if kept[level, tensor]:
            taken += space_taken(limits, level, tensor, words_of(limits.coefficients[tensor], sizes))
    return 0 if fits(limits.capacity[level], taken) else taken - limits.capacity[level]


@part()
def excess_of(limits: Limits, genes: Ints, kept: Bools, sizes: Ints) -> int:
    """Return by how much the tiles exceed the storages, all levels together."""
    total = 0
    for level in range(genes.shape[1]):
        total += excess_at(limits, level, genes, kept, sizes)
    return total
