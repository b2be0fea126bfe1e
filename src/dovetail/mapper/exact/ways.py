"""The ways to use a fan-out, as bounds see them: how many children share a word, at most, and what neighbours spare."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.space import Space, once
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.by_address import by_address


@by_address
class Ways(NamedTuple):
    """The ways to use a fan-out that differ in their factors.

    Attributes:
        places: ``(ways, dims)`` factors, as divisor indices.
        children: ``(ways,)`` their product.
        shared: ``(ways, tensors)`` children that a word asked of outside serves, at most.
        again: ``(ways, tensors)`` neighbours may serve what is asked for again while no loop moves the tensor.
        uncounted: ``(ways, tensors)`` what neighbours pass on may be missing from what arrives.
        copies: ``(ways,)`` children that sum up parts of the same outputs.
    """

    places: Ints
    children: Floats
    shared: Floats
    again: Bools
    uncounted: Bools
    copies: Floats


def ways_of(space: Space, level: int) -> tuple[Ways, Ints]:
    """Return the ways to use a fan-out that differ in factors, and which of them each of the space's ways is."""
    parts = space.fanouts[level], space.linking[level], space.divisors, space.rules
    return once(space, ("ways", *parts), lambda: _ways_of(space, level))


def _ways_of(space: Space, level: int) -> tuple[Ways, Ints]:
    known: dict[tuple[int, ...], int] = {}
    which = np.array([known.setdefault(row.factors, len(known)) for row in space.fanouts[level]], np.int64)
    first = np.unique(which, return_index=True)[1]
    factors = np.array(list(known), np.int64).reshape(len(known), len(space.divisors))
    places = [{value: i for i, value in enumerate(divisors)} for divisors in space.divisors]
    at = [[places[d][int(f)] for d, f in enumerate(row)] for row in factors]
    linked = space.linking[level][first].reshape(len(known), len(space.rules.is_output))
    again = level == len(space.levels) - 1 or bool(space.rules.no_reuse[level + 1].any())
    shared, copies = _shared(space, level, factors, linked)
    if again:
        shared *= np.where(linked, _undone(space), 1.0)
    ways = Ways(
        np.array(at, np.int64).reshape(factors.shape),
        factors.prod(axis=1).astype(np.float64),
        shared,
        linked & (shared > 1) & again,
        linked & (any(space.is_spatial[:level]) and not again),
        copies,
    )
    return ways, which


def no_spreading(space: Space) -> Ways:
    """Return the one way to use a fan-out of one child."""
    tensors, no = len(space.rules.is_output), np.zeros((1, len(space.rules.is_output)), np.bool_)
    return Ways(np.zeros((1, len(space.divisors)), np.int64), np.ones(1), np.ones((1, tensors)), no, no, np.ones(1))


def _shared(space: Space, level: int, factors: Ints, linked: Bools) -> tuple[Floats, Floats]:
    """Return `Ways.shared` but for steps that are undone, and `Ways.copies`."""
    rules = space.rules
    shared, copies = np.ones(linked.shape), np.ones(len(factors))
    for t, axes in enumerate(rules.coefficients != 0):
        together = factors[:, ~axes.any(axis=0)].prod(axis=1)
        windows = [axis for axis in axes if axis.sum() > 1]
        inside = factors[:, np.logical_or.reduce(windows, axis=0)].prod(axis=1) if windows else np.ones(len(factors))
        if rules.is_output[t]:  # tiles that overlap have a part of the whole each, which add up to more than it
            copies = np.maximum(copies, together * inside)
        apart = together.astype(np.float64)
        for axis in windows:
            apart *= np.sort(factors[:, axis], axis=1)[:, :-1].prod(axis=1)
        if rules.no_multicast[level, t]:
            apart = np.ones(len(factors))
        # Of linked children along a window, the one furthest ahead has no neighbour that held its words before.
        shared[:, t] = np.where(linked[:, t], together * inside, apart)
    return shared, copies


def _undone(space: Space) -> Floats:
    """Return per tensor 2 where some loop may put a window back, which every other step does at most; else 1."""
    anywhere = frozenset(range(len(space.divisors)))
    return np.array(
        [
            2.0 if any(may_return(space.divisors, tuple(axis), anywhere).any() for axis in axes.tolist()) else 1.0
            for axes in space.rules.coefficients
        ]
    )
