"""Why no mapping exists: which level, which tensors, how many words against how many, and what would be enough."""

from __future__ import annotations

import numpy as np

from dovetail.mapper.space import Space
from dovetail.mapper.tables import completions
from dovetail.model.arrays import Ints


def reason(space: Space, words: Ints) -> str:
    """Say in a sentence or two why the space holds no mapping, and the smallest relaxation that would change it.

    Args:
        space: one whose whole problem has no completion.
        words: ``(tensors, tiles)`` words of every tile.
    """
    unbounded = np.full(len(space.levels), -1, np.int64)
    if completions(space, words, unbounded)[0, -1] == 0:
        return _no_factors(space)
    for level in range(len(space.levels)):
        if space.machine.capacity[level] >= 0:
            others = space.machine.capacity.copy()
            others[level] = -1
            if completions(space, words, others)[0, -1] > 0:
                return _too_small(space, words, level)
    return _several(space, words)


def _no_factors(space: Space) -> str:
    """Name the dimensions whose bound no allowed factors multiply up to."""
    stuck = []
    for d, divisors in enumerate(space.divisors):
        reach = {1}
        for level in range(len(space.levels)):
            if space.is_spatial[level]:
                factors = {row.factors[d] for row in space.fanouts[level]}
            else:
                low, high = space.least[level, d], space.most[level, d]
                factors = {value for value in divisors if low <= value <= high}
            reach = {a * b for a in reach for b in factors if divisors[-1] % (a * b) == 0}
        if divisors[-1] not in reach:
            name = space.problem.shape.dimensions[space.active[d]]
            largest = max(reach, default=0)
            stuck.append(f"{name} = {divisors[-1]} (the levels' factors multiply up to {largest} at most)")
    if not stuck:
        return "no mapping: the constraints on factors, loops and fan-outs cannot all be met at once"
    return (
        "no mapping: no factors that the constraints allow multiply up to "
        + ", ".join(stuck)
        + "; allow a larger factor at one level, the outermost for example"
    )


def _too_small(space: Space, words: Ints, level: int) -> str:
    """Say how many words a level would have to hold."""
    need, kept = _need(space, words, level)
    names = [tensor.name for tensor in space.problem.shape.tensors]
    parts = " + ".join(f"{names[t]} {count}" for t, count in kept.items())
    capacity = int(space.machine.capacity[level])
    forced = [names[t] for t in kept if all(k >> t & 1 for k in space.keepers[level])]
    because = f", which its constraints make it keep ({', '.join(forced)})" if forced else ""
    return (
        f"no mapping: {space.levels[level].name} holds {capacity} words but the smallest tiles it can be given need "
        f"{need} ({parts}){because}; {need} words would be enough"
    )


def _need(space: Space, words: Ints, level: int) -> tuple[int, dict[int, int]]:
    """Return the least capacity of a level that makes a mapping possible, and what it would keep then."""
    tensors = range(len(words))
    totals = {int(words[[t for t in tensors if k >> t & 1]].sum(axis=0).min()) for k in space.keepers[level]}
    candidates = set(totals)
    for kept in space.keepers[level]:
        candidates |= {int(v) for v in np.unique(words[[t for t in tensors if kept >> t & 1]].sum(axis=0))}
    options = sorted(value for value in candidates if value > space.machine.capacity[level])
    low, high = 0, len(options) - 1
    capacity = space.machine.capacity.copy()
    while low < high:  # more capacity never forbids a mapping
        middle = (low + high) // 2
        capacity[level] = options[middle]
        if completions(space, words, capacity)[0, -1] > 0:
            high = middle
        else:
            low = middle + 1
    need = options[low]
    for kept in space.keepers[level]:
        held = [t for t in tensors if kept >> t & 1]
        for tile in np.flatnonzero(words[held].sum(axis=0) == need):
            return need, {t: int(words[t, tile]) for t in held}
    return need, {}


def _several(space: Space, words: Ints) -> str:
    """Name all levels that are too small together."""
    small = [
        f"{level.name} ({int(space.machine.capacity[i])} words)"
        for i, level in enumerate(space.levels)
        if space.machine.capacity[i] >= 0
    ]
    return "no mapping: several levels are too small at once; with unbounded ones there are mappings: " + ", ".join(
        small
    )
