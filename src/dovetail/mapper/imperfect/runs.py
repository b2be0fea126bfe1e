"""Which loops stand innermost at each storage: all that the orders of loops do to what is sent.

A tensor's tile stands still while the innermost loops run, as far as none of them moves it. Where every dimension
leaves at most one tensor in place, the orders of a level fall into few classes by what its innermost loop is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.limits import IS_FANOUT, MOST
from dovetail.mapper.mapspace import Mapspace
from dovetail.model.arrays import Bools, Ints

#: What a level's loops are: none, of dimensions that all leave one tensor in place, or of others, too.
NONE, ALIKE, MIXED = range(3)


@dataclass(frozen=True)
class Innermost:
    """What is known of a level's loops.

    Attributes:
        kind: `NONE`, `ALIKE` or `MIXED`.
        tensor: what the innermost loops leave in place; -1: nothing.
        dimension: the innermost loop; -1: not said.
    """

    kind: int
    tensor: int = -1
    dimension: int = -1


#: What is known of every level; None of those that have no loops.
Runs = tuple[Innermost | None, ...]


def left_in_place(space: Mapspace) -> list[int] | None:
    """Return per dimension which tensor it does not move, -1 for none; None where a dimension leaves several."""
    still = ~(space.rules.coefficients != 0).any(axis=1)
    if (still.sum(axis=0) > 1).any():
        return None
    return [int(np.flatnonzero(column)[0]) if column.any() else -1 for column in still.T]


def runs_of(space: Mapspace, place: Sequence[int], told_apart: Bools, parted: Bools) -> Iterator[Runs]:
    """Yield classes of orders that together hold all mappings.

    Args:
        space: the mapspace.
        place: per dimension the tensor that it leaves in place.
        told_apart: ``(levels,)`` where it matters which dimension is innermost.
        parted: ``(levels, tensors)`` whether a tensor passes a boundary at a level or inside of it, before computing.
    """
    return itertools.product(
        *(_of_level(space, place, level, bool(told_apart[level]), parted[level]) for level in range(len(parted)))
    )


def _of_level(
    space: Mapspace, place: Sequence[int], level: int, is_told_apart: bool, parted: Bools
) -> list[Innermost | None]:
    looping = np.flatnonzero(space.limits.loops[level, :, MOST] > 1).tolist()
    if space.limits.levels[level, IS_FANOUT] or not looping:
        return [None]
    groups = sorted({place[d] for d in looping})
    is_inmost = not space.limits.levels[level:, IS_FANOUT].any()
    if len(groups) == 1 and is_inmost and not is_told_apart and set(np.flatnonzero(parted)) <= set(groups):
        return [Innermost(ALIKE, groups[0])]  # without loops it is the same
    found: list[Innermost | None] = [Innermost(NONE)]
    for group in groups:
        inmost = [d for d in looping if place[d] == group] if is_told_apart else [-1]
        kinds = [MIXED] if group < 0 else [ALIKE] if len(groups) == 1 else [ALIKE, MIXED]
        found += [Innermost(kind, group, d) for kind in kinds for d in inmost]
    return found


def allowed(runs: Runs, place: Sequence[int], d: int, over_time: Ints) -> Bools:
    """Return which ways of a dimension, ``(ways, levels)`` factors over time, fit a class."""
    fit = np.ones(len(over_time), np.bool_)
    for level, run in enumerate(runs):
        if run is None:
            continue
        if run.kind == NONE or (run.kind == ALIKE and place[d] != run.tensor):
            fit &= over_time[:, level] == 1
        if run.dimension == d:
            fit &= over_time[:, level] > 1
    return fit


def outside_run(runs: Runs, tensor: int, level: int) -> int:
    """Return the innermost level whose loops send a level's children a tensor's tile again; -1 where none does."""
    for at in range(level, -1, -1):
        run = runs[at]
        if run is None or run.kind == NONE or (run.kind == ALIKE and run.tensor == tensor):
            continue
        return at - 1 if run.tensor == tensor else at
    return -1
