"""Which loops put a window back to where it was: steps along an axis that undo what loops inside them ran up.

When a loop advances, every loop inside it goes back by one step (`dovetail.model.kernel.displacements`). The steps of
the loops over one dimension are divisors of its bound, each a multiple of the one inside it. So a loop puts a tile back
along an axis when what is left of its own step, less those over the same dimension inside it, equals what loops over
the axis' other dimensions ran up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from dovetail.model.arrays import Bools

#: Sums of steps along one axis that are listed; where there are more, windows are taken to come back.
MOST_STEPS = 4096


class _Steps(NamedTuple):
    """What loops over one dimension can come to: sums of their steps, and a loop's step less those inside it."""

    sums: frozenset[int]
    leaps: frozenset[int]


def may_return(divisors: Sequence[Sequence[int]], axis: Sequence[int], divided: Collection[int]) -> Bools:
    """Return whether a loop outside a tile may put it back to where it was along an axis.

    Args:
        divisors: per dimension, rising; the last one is its bound.
        axis: coefficient per dimension.
        divided: dimensions that a fan-out outside the tile may split: their loops' first step may be longer than it.

    Returns:
        One entry per tile: an axis for every dimension, over its divisors; of one entry for those that do not matter.
    """
    summed = [d for d, coefficient in enumerate(axis) if coefficient]
    ways = {d: [_steps(divisors[d], size, d in divided) for size in divisors[d]] for d in summed}
    may = np.zeros([len(divisors[d]) for d in summed], np.bool_)
    for place in np.ndindex(may.shape):
        steps = [ways[d][at] for d, at in zip(summed, place, strict=True)]
        may[place] = any(
            _meet(steps[i], steps[:i] + steps[i + 1 :], axis[d], [axis[e] for e in summed if e != d])
            for i, d in enumerate(summed)
        )
    shape = [len(some) for some in divisors]
    alone = [len(some) if d in summed else 1 for d, some in enumerate(divisors)]
    return np.broadcast_to(may.reshape(alone), shape)


def _steps(divisors: Sequence[int], size: int, divided: bool) -> _Steps | None:
    """Return what the loops over a dimension outside a tile can come to; None: too much to list."""
    known: dict[int, _Steps] = {}
    multiples = [step for step in divisors[:-1] if step % size == 0]
    for step in reversed(multiples):
        outer = [known[more] for more in multiples if more > step and more % step == 0]
        known[step] = _Steps(
            frozenset({step}.union(*({step + one for one in ways.sums} for ways in outer))),
            frozenset({step}.union(*({one - step for one in ways.leaps} for ways in outer))),
        )
        if max(map(len, known[step])) > MOST_STEPS:
            return None
    first = [*known.values()] if divided else [known[size]] if size in known else []
    return _Steps(frozenset().union(*(ways.sums for ways in first)), frozenset().union(*(ways.leaps for ways in first)))


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
