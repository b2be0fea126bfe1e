"""All mappings of a small space whose factors need not divide, but for those that their passes alone rule out.

Every dimension's factors are listed on their own, from the inside out: each slot takes any factor that its limits
allow, and what is left is divided by it and rounded up. Lists are joined dimension by dimension while the fan-outs have
room and the bound leaves hope. Every order that the pins leave and every choice of keepers of what fits is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.imperfect.floor import Least, weight_of
from dovetail.mapper.imperfect.moves import fit_all
from dovetail.mapper.imperfect.space import evaluated
from dovetail.mapper.limits import (
    AXIS,
    GENES,
    IS_FANOUT,
    LEAST,
    MOST,
    ON_X,
    ON_Y,
    ORDER,
    PLACE,
    ROOM_X,
    ROOM_Y,
    SPATIAL_ORDER,
    SPATIAL_X,
    SPATIAL_Y,
    TEMPORAL,
)
from dovetail.mapper.mapspace import TIME, Crowd, Mapspace, X, Y, keepers_of, orders_of
from dovetail.model.arrays import Bools, Floats, Ints

#: Ways to factor one dimension, and all of them together, that are listed at most.
MOST_WAYS, MOST_CHOICES = 20_000, 200_000
#: Mappings that are evaluated at most, and at a time.
MOST_MAPPINGS, BATCH = 200_000, 4096


@dataclass(frozen=True)
class Covered:
    """What all mappings of a space came to.

    Attributes:
        best: the best of those that rank before the known one, first of its crowd; None: there is none.
        least: the least value that the model gives any that was evaluated; infinity where none was.
        evaluated: how many were.
        ruled_out: choices of factors that the bound rules out.
        is_listed: all choices were listed, one by one; else by branch and bound (`dovetail.mapper.imperfect.proof`).
    """

    best: Crowd | None
    least: float
    evaluated: int
    ruled_out: int
    is_listed: bool = True


def cover(space: Mapspace, least: Least, known: Crowd | None, is_over: Callable[[], bool]) -> Covered | None:
    """Evaluate all mappings that may improve on one that is known; None when they are too many, or time is up first.

    Args:
        space: the mapspace.
        least: what no mapping goes below.
        known: a mapping, the first of its crowd; None: all mappings are evaluated.
        is_over: tells whether time is up.
    """
    goal = math.inf if known is None else float(known.rank[0, 0])
    joined = _join(space, least, goal, is_over)
    if joined is None:
        return None
    factors, last, ruled_out = joined
    orders = [orders_of(space, choice) for choice in factors]
    keepers = keepers_of(space)
    if sum(len(order) for order in orders) * len(keepers) > MOST_MAPPINGS:
        return None
    best, count, lowest = None, 0, math.inf
    for genes, keep, ends in _batches(space, factors, last, orders, keepers):
        if is_over():
            return None
        fit = np.empty(len(genes), np.bool_)
        fit_all(space.limits, genes, keep, np.empty(genes.shape[3], np.int64), fit)
        if not fit.any():
            continue
        crowd = evaluated(space, genes[fit], keep[fit], ends[fit])
        count += len(crowd.rank)
        lowest = min(lowest, float(crowd.rank[:, 2].min()))
        best = (crowd if best is None else best.joined(crowd)).best(1)
    if best is not None and best.rank[0, 0] >= goal:
        best = None
    return Covered(best, lowest, count, ruled_out)


def _ways(space: Mapspace, d: int) -> tuple[Ints, Ints] | None:
    """Return every way to factor a dimension; None when they are too many.

    Returns:
        ``(ways, 3, levels)`` factors over time, X and Y; ``(ways, 2, levels)`` last passes over time and in space.
    """
    levels = space.limits.levels.shape[0]
    found: list[tuple[Ints, Ints]] = []
    factors, last = np.ones((3, levels), np.int64), np.ones((2, levels), np.int64)

    def extend(level: int, left: int) -> bool:
        if level < 0:
            if left == 1:
                found.append((factors.copy(), last.copy()))
            return len(found) <= MOST_WAYS
        for axis, factor in _choices(space, level, d, left):
            factors[:, level], last[:, level] = 1, 1
            factors[axis, level] = factor
            last[int(axis != TIME), level] = left % factor or factor
            if not extend(level - 1, -(-left // factor)):
                return False
        return True

    if not extend(levels - 1, int(space.limits.bounds[d])):
        return None
    ways, ends = (
        np.array([pair[i] for pair in found], np.int64).reshape(len(found), rows, levels)
        for i, rows in enumerate((len(factors), len(last)))
    )
    return ways, ends


def _choices(space: Mapspace, level: int, d: int, left: int) -> Iterator[tuple[int, int]]:
    """Yield (`TIME`, `X` or `Y`; factor) that a level may take of what is left of a dimension."""
    row, (least, most, _, axis) = space.limits.levels[level], space.limits.loops[level, d, [LEAST, MOST, PLACE, AXIS]]
    least, most = int(least), int(min(most, left))
    if not row[IS_FANOUT]:
        yield from ((TIME, factor) for factor in range(max(least, left) if level == 0 else least, most + 1))
        return
    if least <= 1:
        yield X, 1
    on_x, on_y = min(most, int(row[ROOM_X])), min(most, int(row[ROOM_Y]))
    yield from ((X, factor) for factor in range(max(least, 2), on_x + 1) if axis != ON_Y)
    yield from ((Y, factor) for factor in range(max(least, 2), on_y + 1) if axis != ON_X)


def weights(space: Mapspace, d: int, factors: Ints, last: Ints) -> Floats:
    """Return, of ways to factor a dimension, what each does to the objective; see `dovetail.mapper.imperfect.floor`.

    Args:
        space: the mapspace.
        d: the dimension.
        factors: ``(ways, 3, levels)`` over time, X and Y.
        last: ``(ways, 2, levels)`` last passes over time and in space.
    """
    weight = [
        weight_of(space.objective, float(way[TIME].prod()), counted(way, end) / int(space.limits.bounds[d]))
        for way, end in zip(factors, last, strict=True)
    ]
    return np.array(weight)


def counted(factors: Ints, last: Ints) -> float:
    """Return what the model counts of a dimension: iterations of the first child times the children on average.

    As in `dovetail.model.residual`. ``factors`` ``(3, levels)`` over time, X and Y; ``last`` ``(2, levels)``.
    """
    full = ended = 1
    for over_time, on_x, on_y, time_end, space_end in np.vstack([factors, last]).T[::-1].tolist():
        if on_x * on_y > 1 and space_end > 1:
            ended = full
        ended += full * (time_end - 1)
        full *= over_time
    average = passes = 1.0
    for over_time, on_x, on_y, time_end, space_end in np.vstack([factors, last]).T.tolist():
        passes, children = time_end + over_time * (passes - 1), on_x * on_y
        if children > 1:
            inside = space_end + children * (passes - 1)
            average, passes = average * inside / passes, inside
    return ended * average


def _join(space: Mapspace, least: Least, goal: float, is_over: Callable[[], bool]) -> tuple[Ints, Ints, int] | None:
    """Return the choices of factors that fit the fan-outs and that the bound leaves below a goal; None: see `cover`.

    Returns:
        ``(choices, 3, levels, dims)`` factors, ``(choices, 2, levels, dims)`` last passes, and how many took too long.
    """
    dims, levels = len(space.limits.bounds), space.limits.levels.shape[0]
    ways: list[Ints] = []
    ends: list[Ints] = []
    for d in range(dims):
        listed = None if is_over() else _ways(space, d)
        if listed is None:
            return None
        ways.append(listed[0])
        ends.append(listed[1])
    weight = [weights(space, d, way, end) for d, (way, end) in enumerate(zip(ways, ends, strict=True))]
    room = space.limits.levels[:, [ROOM_X, ROOM_Y]].T
    chosen, used = np.zeros((1, 0), np.int64), np.ones((1, 2, levels), np.int64)
    taken, ruled_out = np.ones(1), 0
    for d in range(dims):
        if len(chosen) * len(ways[d]) > 5 * MOST_CHOICES:
            return None
        rest = math.prod(float(each.min()) if len(each) else 1.0 for each in weight[d + 1 :])
        both = used[:, None] * ways[d][None, :, X:]
        fits = (both <= room).all(axis=(2, 3))
        slow = least.with_factors(space.objective, rest) * taken[:, None] * weight[d] >= goal
        ruled_out += int((fits & slow).sum())
        before, now = np.nonzero(fits & ~slow)
        if len(before) > MOST_CHOICES:
            return None
        chosen = np.concatenate([chosen[before], now[:, None]], axis=1)
        used, taken = both[before, now], taken[before] * weight[d][now]
    factors = np.stack([ways[d][chosen[:, d]] for d in range(dims)], axis=3)
    return factors, np.stack([ends[d][chosen[:, d]] for d in range(dims)], axis=3), ruled_out


def _batches(
    space: Mapspace,
    factors: Ints,
    last: Ints,
    orders: list[list[tuple[tuple[int, ...], ...]]],
    keepers: list[Bools],
) -> Iterator[tuple[Ints, Bools, Ints]]:
    """Yield genes, keepers and last passes of all mappings, some thousand at a time."""
    levels, dims = factors.shape[2:]
    where = [(choice, order) for choice, each in enumerate(orders) for order in each]
    step = max(1, BATCH // len(keepers))
    for start in range(0, len(where), step):
        part = where[start : start + step]
        genes = np.empty((len(part), GENES, levels, dims), np.int64)
        choice = [at for at, _ in part]
        genes[:, [TEMPORAL, SPATIAL_X, SPATIAL_Y]] = factors[choice]
        genes[:, ORDER] = genes[:, SPATIAL_ORDER] = np.array([order for _, order in part], np.int64)
        count = len(keepers)
        keep = np.tile(np.stack(keepers), (len(part), 1, 1))
        yield np.repeat(genes, count, axis=0), keep, np.repeat(last[choice], count, axis=0)
