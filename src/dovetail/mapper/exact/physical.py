"""What no mapping goes below whatever its loops: computing, and moving every word once."""

from __future__ import annotations

import itertools
import math

import numpy as np

from dovetail.mapper.exact.orders import joined_axes
from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.tables import Tables
from dovetail.model.arrays import Floats, Ints
from dovetail.model.charges import (
    READ,
    UPDATE,
    WRITE,
    bandwidth_spilt,
    bandwidth_taken,
    cycles_taken,
    lines_at_once,
    word_energy,
)


def whole_cycles(least: float) -> int:
    """Return the fewest whole cycles that are no less than so many, but for rounding."""
    return math.ceil(least * (1 - 1e-12))


def words_prices(space: Space) -> Floats:
    """Return ``(levels, tensors, actions)``: the least pJ per word.

    Instances that share a line cost no more energy than there are lines.
    """
    machine, per_word = space.machine, np.zeros(space.machine.energy.shape)
    for i, used in enumerate(space.most_instances[:-1]):
        for t, action in np.ndindex(*per_word.shape[1:]):
            together = lines_at_once(machine, i, used) / used
            per_word[i, t, action] = word_energy(machine, i, t, action) * together
    return per_word


def cycles_by_bandwidth(space: Space, first: int | None = None) -> float:
    """Return the cycles that any mapping takes: every keeper passes on every word of a tensor once, at least.

    Args:
        space: the mapspace.
        first: so many outermost levels only; None: all.
    """
    distinct = touched(space)
    cycles = 0.0
    for i, (kept, used) in enumerate(zip(space.keepers[:first], space.most_instances, strict=False)):
        if not np.isfinite(space.machine.bandwidth[i]).any():
            continue
        must = np.array([all(row >> t & 1 for row in kept) for t in range(len(distinct))])
        taken = np.array([bandwidth_taken(space.machine, i, t, words) for t, words in enumerate(distinct)])
        reads = taken[must & ~space.rules.is_output].sum() / used
        writes = taken[must & space.rules.is_output].sum() / used
        cycles = max(cycles, cycles_taken(space.machine, i, reads, writes))
    return float(cycles)


def compulsory(space: Space, tables: Tables, per_word: Floats, distinct: Floats) -> float:
    """Return the pJ of computing, and of moving every tensor once into every level that must keep it, and out of it."""
    energy = float(space.problem.macs) * space.machine.compute_pJ
    for t, is_output in enumerate(space.rules.is_output):
        must = [
            i for i, kept in enumerate(space.keepers) if not space.is_spatial[i] and all(row >> t & 1 for row in kept)
        ]
        energy += _fed(space, tables, t, must[-1], per_word, distinct[t])
        for i in must:
            if is_output:
                energy += distinct[t] * per_word[i, t, UPDATE] * (i != must[-1])
            else:
                energy += distinct[t] * (per_word[i, t, WRITE] * (i > 0) + per_word[i, t, READ] * (i != must[-1]))
    return energy


def _fed(space: Space, tables: Tables, tensor: int, last: int, per_word: Floats, distinct: float) -> float:
    """Return the least pJ of what computing itself asks of a tensor's innermost keeper.

    Where that lies further in than the ``last`` level that must keep it, that one still passes on every word once.
    """
    asked = space.problem.macs / _most_shared(space, last)
    if space.may_link[-1, tensor]:
        asked = min(asked, touched(space)[tensor])
    action, read_again = (UPDATE, READ) if space.rules.is_output[tensor] else (READ, None)
    held = float(tables.parallelism[0].max()) * float(tables.words[tensor, -1])
    best = math.inf
    for i, kept in enumerate(space.keepers):
        if i < last or not any(row >> tensor & 1 for row in kept):
            continue
        words = max(asked, distinct) if i == last else asked
        cost = words * per_word[i, tensor, action]
        if read_again is not None:
            cost += max(0.0, asked - held) * per_word[i, tensor, read_again]
        if i > last:
            cost += distinct * per_word[last, tensor, action]
        best = min(best, float(cost))
    return best


def _most_shared(space: Space, last: int) -> int:
    """Return how many compute units at most one word of the innermost keeper can serve at a time."""
    used = space.most_instances
    return used[-1] // used[last]


def touched(space: Space) -> Floats:
    """Return ``(tensors,)`` how many different words of a tensor the problem touches (at least)."""
    return once(space, ("touched", space.divisors, space.rules), lambda: _touched(space))


def _touched(space: Space) -> Floats:
    whole = np.array([divisors[-1] for divisors in space.divisors], np.int64)[:, None]
    return np.array([touched_by(space, t, whole)[0] for t in range(len(space.rules.is_output))], np.float64)


def touched_by(space: Space, tensor: int, sizes: Ints) -> Ints:
    """Return ``(tiles,)`` how many different words of a tensor tiles touch (at least): their boxes may have holes.

    ``sizes``: ``(dims, tiles)``.
    """
    axes = space.rules.coefficients[tensor]
    tied = np.array(joined_axes(axes != 0), np.int64)
    found = np.ones(sizes.shape[1], np.int64)
    for first in dict.fromkeys(tied.tolist()):
        together = axes[tied == first]
        alone = np.where((together != 0).sum(axis=0) == 1, together, 0)  # with the others standing still
        at_once = np.prod([_different(axis, sizes) for axis in alone], axis=0)
        found *= np.max([at_once, *(_different(axis, sizes) for axis in together)], axis=0)
    return found


def _different(axis: Ints, sizes: Ints) -> Ints:
    """Return ``(tiles,)`` how many different places on an axis tiles touch (at least): by any two dimensions."""
    most = np.ones(sizes.shape[1], np.int64)
    moving = np.flatnonzero(axis).tolist()
    for i in moving:
        most = np.maximum(most, sizes[i])
    for i, j in itertools.combinations(moving, 2):
        (n, m), (a, b) = sizes[[i, j]], (int(axis[i]), int(axis[j]))
        g = math.gcd(a, b)
        most = np.maximum(most, n * m - np.maximum(0, n - b // g) * np.maximum(0, m - a // g))
    return most


def slack_of(space: Space) -> tuple[float, float]:
    """Return the pJ and cycles of one word at every keeper of the tensors whose fan-out the model counts with rounding.

    The cycles are those of the slowest level: levels work side by side.
    """
    rounded = sum(1 << int(t) for t in np.flatnonzero(np.concatenate(space.by_model).any(axis=0)))
    energy, cycles = 0.0, 0.0
    for level, (options, used) in enumerate(zip(space.keepers, space.most_instances, strict=False)):
        accesses = -(-space.machine.parts[level] // space.machine.block[level])  # that a word can take at most
        dearest = (space.machine.energy[level].max(axis=1) * accesses).tolist()
        energy += used * max(sum(pJ for t, pJ in enumerate(dearest) if (kept & rounded) >> t & 1) for kept in options)
        words = [
            bandwidth_taken(space.machine, level, t, 1.0) + bandwidth_spilt(space.machine, level, t, 1.0)
            for t in range(len(dearest))
            if rounded >> t & 1
        ]
        cycles = max(cycles, sum(words) / float(space.machine.bandwidth[level].min()))
    return energy, cycles
