"""Every mapping of a small problem, one by one, evaluated by the model: what the exact mapper must equal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from dovetail.hardware.architecture import Architecture, Spatial
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
    levels, dims = architecture.levels[:-1], len(problem.bounds)
    slots = [(i, "t") for i, level in enumerate(levels) if not isinstance(level, Spatial)]
    slots += [(i, axis) for i, level in enumerate(levels) if isinstance(level, Spatial) for axis in "xy"]
    storages = [i for i, level in enumerate(levels) if not isinstance(level, Spatial)]
    tensors = len(problem.shape.tensors)
    found: list[tuple[np.ndarray, ...]] = []
    for choice in itertools.product(*(list(factorizations(bound, len(slots))) for bound in problem.bounds)):
        shape = (len(levels), dims)
        factors = {kind: np.ones(shape, np.int64) for kind in "txy"}
        for d, split in enumerate(choice):
            for (i, kind), factor in zip(slots, split, strict=True):
                factors[kind][i, d] = factor
        if not _fits(levels, factors):
            continue
        for order, spatial_order in _orders(levels, factors, dims):
            for kept in itertools.product((False, True), repeat=(len(storages) - 1) * tensors):
                keep = np.zeros((len(levels), tensors), np.bool_)
                keep[0] = True
                for at, value in enumerate(kept):
                    keep[storages[1 + at // tensors], at % tensors] = value
                found.append((factors["t"], order, factors["x"], factors["y"], spatial_order, keep))
    return Nest(*(np.array(column) for column in zip(*found, strict=True)))


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
