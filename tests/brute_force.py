"""Every mapping of a small problem, one by one, evaluated by the model: what the exact mapper must equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from dovetail.hardware.architecture import Architecture, Level, Spatial
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.arrays import Nest
from dovetail.workload.problem import Problem


def divisors(number: int) -> list[int]:
    return [i for i in range(1, number + 1) if number % i == 0]


def factorizations(number: int, slots: int) -> Iterator[tuple[int, ...]]:
    """Yield every way to write a number as a product of so many factors, in order."""
    if slots == 1:
        yield (number,)
        return
    for first in divisors(number):
        for rest in factorizations(number // first, slots - 1):
            yield (first, *rest)


def all_mappings(problem: Problem, architecture: Architecture) -> Nest:
    """Return every mapping that the fan-outs have room for, with a leading axis; constraints are not looked at."""
    levels, dims, tensors = architecture.levels[:-1], len(problem.bounds), len(problem.shape.tensors)
    storages = [i for i, level in enumerate(levels) if not isinstance(level, Spatial)]
    found: list[tuple[np.ndarray, ...]] = []
    for factors in _factors(problem, levels):
        for order, spatial_order in _orders(levels, factors, dims):
            for kept in itertools.product((False, True), repeat=(len(storages) - 1) * tensors):
                keep = np.zeros((len(levels), tensors), np.bool_)
                keep[0] = True
                for at, value in enumerate(kept):
                    keep[storages[1 + at // tensors], at % tensors] = value
                found.append((factors["t"], order, factors["x"], factors["y"], spatial_order, keep))
    return Nest(*(np.array(column) for column in zip(*found, strict=True)))


def count_mappings(problem: Problem, architecture: Architecture) -> int:
    """Return how many mappings `all_mappings` lists."""
    levels = architecture.levels[:-1]
    storages = sum(not isinstance(level, Spatial) for level in levels)
    orders = sum(
        math.prod(math.factorial(int((row > 1).sum())) for row in factors["t"] * factors["x"] * factors["y"])
        for factors in _factors(problem, levels)
    )
    return orders << (storages - 1) * len(problem.shape.tensors)


def _factors(problem: Problem, levels: tuple[Level, ...]) -> Iterator[dict[str, np.ndarray]]:
    """Yield all factors ``(levels, dims)`` over time and along both axes that the fan-outs have room for."""
    slots = [(i, "t") for i, level in enumerate(levels) if not isinstance(level, Spatial)]
    slots += [(i, axis) for i, level in enumerate(levels) if isinstance(level, Spatial) for axis in "xy"]
    for choice in itertools.product(*(list(factorizations(bound, len(slots))) for bound in problem.bounds)):
        factors = {kind: np.ones((len(levels), len(problem.bounds)), np.int64) for kind in "txy"}
        for d, split in enumerate(choice):
            for (i, kind), factor in zip(slots, split, strict=True):
                factors[kind][i, d] = factor
        if _fits(levels, factors):
            yield factors


def _fits(levels: tuple, factors: dict[str, np.ndarray]) -> bool:
    for i, level in enumerate(levels):
        if isinstance(level, Spatial):
            x, y = factors["x"][i], factors["y"][i]
            if x.prod() > level.fanout_x or y.prod() > level.fanout_y or ((x > 1) & (y > 1)).any():
                return False
    return True


def _orders(levels: tuple, factors: dict[str, np.ndarray], dims: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield every order of the loops that run more than once, over time and space."""
    choices = []
    for i, level in enumerate(levels):
        looping = factors["t"][i] if not isinstance(level, Spatial) else factors["x"][i] * factors["y"][i]
        loops = [d for d in range(dims) if looping[d] > 1]
        rest = [d for d in range(dims) if looping[d] == 1]
        choices.append([list(order) + rest for order in itertools.permutations(loops)])
    for orders in itertools.product(*choices):
        both = np.array(orders, np.int64)
        yield both, both


def imperfect_mappings(problem: Problem, architecture: Architecture) -> Iterator[Mapping]:
    """Yield every mapping whose factors need not divide and that the fan-outs have room for, rounded up inside out.

    Constraints are not looked at. No dimension lies on both axes of a fan-out.
    """
    names, tensors = problem.shape.dimensions, [tensor.name for tensor in problem.shape.tensors]
    levels = architecture.levels[:-1]
    slots = [
        (level.name, axis)
        for level in reversed(levels)
        for axis in (("x", "y") if isinstance(level, Spatial) else ("t",))
    ]
    storages = [level.name for level in levels if not isinstance(level, Spatial)]
    arrays = [level for level in levels if isinstance(level, Spatial)]
    kept = itertools.product(*([[frozenset(tensors)]] + [_subsets(tensors)] * (len(storages) - 1)))
    keepers = [dict(zip(storages, choice, strict=True)) for choice in kept]
    chains = [list(_chains(name, bound, slots)) for name, bound in zip(names, problem.bounds, strict=True)]
    for choice in itertools.product(*chains):
        loops = {slot: [chain[slot] for chain in choice if chain[slot].factor > 1] for slot in slots}
        if not all(_has_room(level, loops[level.name, "x"], loops[level.name, "y"]) for level in arrays):
            continue
        for orders in itertools.product(*(itertools.permutations(loops[slot]) for slot in slots)):
            placed = dict(zip(slots, orders, strict=True))
            for keeper in keepers:
                yield Mapping(tuple(_entry(level, placed, keeper) for level in levels))


def _has_room(level: Spatial, x: list[Loop], y: list[Loop]) -> bool:
    on_x, on_y = (math.prod(loop.factor for loop in loops) for loops in (x, y))
    both = {loop.dimension for loop in x} & {loop.dimension for loop in y}
    return on_x <= level.fanout_x and on_y <= level.fanout_y and not both


def _subsets(names: list[str]) -> list[frozenset[str]]:
    return [frozenset(some) for n in range(len(names) + 1) for some in itertools.combinations(names, n)]


def _chains(name: str, left: int, slots: list[tuple[str, str]]) -> Iterator[dict[tuple[str, str], Loop]]:
    """Yield every choice of a dimension's loops, innermost slot first; the outermost takes what is left."""
    if len(slots) == 1:
        yield {slots[0]: Loop(name, left)}
        return
    for factor in range(1, left + 1):
        for outer in _chains(name, -(-left // factor), slots[1:]):
            yield {slots[0]: Loop(name, factor, left % factor or None), **outer}


def _entry(level: Level, placed: dict[tuple[str, str], tuple[Loop, ...]], keeper: dict[str, frozenset[str]]):
    if isinstance(level, Spatial):
        return LevelMapping(level.name, spatial_x=placed[level.name, "x"], spatial_y=placed[level.name, "y"])
    return LevelMapping(level.name, temporal=placed[level.name, "t"], keep=keeper[level.name])
