"""Which loops put a window back to where it was: steps along an axis that undo what loops inside them ran up.

When a loop advances, every loop inside it goes back by one step (`dovetail.model.kernel.displacements`). The steps of
the loops over one dimension are divisors of its bound, each a multiple of the one inside it. So a loop puts a tile back
along an axis when what is left of its own step, less those over the same dimension inside it, equals what loops over
the axis' other dimensions ran up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dovetail.model.arrays import Bools

#: Sums of steps along one axis that are listed; where there are more, windows are taken to come back.
MOST_STEPS = 1024


class _Steps(NamedTuple):
    """What loops over one dimension can come to: sums of their steps, and a loop's step less those inside it."""

    sums: frozenset[int]
    leaps: frozenset[int]


@lru_cache(maxsize=256)
def may_return(divisors: tuple[tuple[int, ...], ...], axis: tuple[int, ...], divided: frozenset[int]) -> Bools:
    """Return whether a loop outside a tile may put it back to where it was along an axis.

    Args:
        divisors: per dimension, rising; the last one is its bound.
        axis: coefficient per dimension.
        divided: dimensions that a fan-out outside the tile may split: their loops' first step may be longer than it.

    Returns:
        One entry per tile: an axis for every dimension, over its divisors.
    """
    summed = [d for d, coefficient in enumerate(axis) if coefficient]
    ways = [_ways(divisors[d], d in divided) for d in summed]
    may = np.zeros([len(each) for each in ways], np.bool_)
    for place in np.ndindex(may.shape):
        steps = [each[at] for each, at in zip(ways, place, strict=True)]
        may[place] = any(
            _meet(steps[i], steps[:i] + steps[i + 1 :], axis[d], [axis[e] for e in summed if e != d])
            for i, d in enumerate(summed)
        )
    alone = [len(some) if d in summed else 1 for d, some in enumerate(divisors)]
    return np.broadcast_to(may.reshape(alone), [len(some) for some in divisors])


def _ways(divisors: Sequence[int], divided: bool) -> list[_Steps | None]:
    """Return per size of a tile what the loops over a dimension outside it can come to; None: too much to list."""
    known: dict[int, _Steps | None] = {}  # by the first step
    for step in reversed(divisors[:-1]):
        outer = [known[more] for more in divisors[:-1] if more > step and more % step == 0]
        sums = _joined([{step + one for one in ways.sums} if ways else None for ways in outer], {step})
        leaps = _joined([{one - step for one in ways.leaps} if ways else None for ways in outer], {step})
        known[step] = None if sums is None or leaps is None else _Steps(sums, leaps)
    found: list[_Steps | None] = []
    for size in divisors:
        first = [known[step] for step in divisors[:-1] if (step % size == 0 if divided else step == size)]
        sums = _joined([ways.sums if ways else None for ways in first], set())
        leaps = _joined([ways.leaps if ways else None for ways in first], set())
        found.append(None if sums is None or leaps is None else _Steps(sums, leaps))
    return found


def _joined(parts: Iterable[Set[int] | None], more: Set[int]) -> frozenset[int] | None:
    """Return the union of some sets; None where one is not known, or they are too many together."""
    union = set(more)
    for part in parts:
        if part is None:
            return None
        union |= part
        if len(union) > MOST_STEPS:
            return None
    return frozenset(union)


def _meet(own: _Steps | None, others: Sequence[_Steps | None], coefficient: int, factors: Sequence[int]) -> bool:
    """Return whether a loop's own step may equal what loops over other dimensions ran up."""
    if own is None:
        return True
    sums = {0}
    for steps, factor in zip(others, factors, strict=True):
        if steps is None or len(sums) * len(steps.sums) > MOST_STEPS:
            return True
        sums |= {one + factor * more for one in sums for more in steps.sums}
    return not sums.isdisjoint(coefficient * leap for leap in own.leaps)
