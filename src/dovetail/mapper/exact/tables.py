"""What can be said of every tile at once: how large it is, and how parallel its completions can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dovetail.mapper.exact.space import Space, once
from dovetail.model.arrays import Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.charges import fits, space_taken, words_of


@by_address
class Tables(NamedTuple):
    """Per tile, by index.

    Attributes:
        words: ``(tensors, tiles)`` words of the tile (its bounding box).
        volume: ``(tiles,)`` executions of the loop body inside the tile.
        parallelism: ``(levels + 1, tiles)`` most compute units that a completion of the tile from this level on can
            use; 0 when there is no completion.
        partial: ``(levels, dims + 1, tiles)`` for storage levels, the same once the loops over the first dims are
            chosen and taken out of the tile.
    """

    words: Ints
    volume: Ints
    parallelism: Ints
    partial: Ints


def bytes_of_tables(space: Space) -> int:
    """Return the bytes that the tables of a space take, and what is needed to make them."""
    levels, dims, tensors = len(space.levels), len(space.active), len(space.rules.is_output)
    return 8 * space.tiles * (levels * (dims + 2) + tensors + 2 * dims + 4)


def build_tables(
    space: Space, look: Callable[[], None] = lambda: None, known: Tables | None = None, alike: int = 0
) -> Tables:
    """Return the tables of a space.

    Args:
        space: the mapspace.
        look: at the clock; called every now and then.
        known: those of a space that differs from it in the tiles allowed (`Space.allowed`) alone.
        alike: of this level and all inside not even in these.
    """
    if known is not None:
        parallelism, partial = _parallelism(space, known.words, space.machine.capacity, look, known, alike)
        return known._replace(parallelism=parallelism, partial=partial)
    words, volume = once(space, ("sizes", space.divisors, space.rules), lambda: _sizes(space))
    parallelism, partial = _parallelism(space, words, space.machine.capacity, look)
    return Tables(words, volume, parallelism, partial)


def _sizes(space: Space) -> tuple[Ints, Ints]:
    """Return `Tables.words` and `Tables.volume`."""
    grid = tile_sizes(space)
    words = np.ones((len(space.rules.coefficients), space.tiles), np.int64)
    for t, axes in enumerate(space.rules.coefficients):
        words[t] = words_of(axes, grid)
    volume = np.ones(space.tiles, np.int64)
    for sizes in grid:
        volume *= sizes
    return words, volume


def tile_sizes(space: Space) -> Ints:
    """Return ``(dims, tiles)``: the sizes of every tile; the whole problem is the last one."""
    tiles = np.arange(space.tiles)
    sizes = [
        np.array(divisors, np.int64)[(tiles // radix) % len(divisors)]
        for divisors, radix in zip(space.divisors, space.radix, strict=True)
    ]
    return np.array(sizes, np.int64).reshape(len(space.divisors), space.tiles)


def completions(space: Space, words: Ints, capacity: Ints) -> Ints:
    """Return `Tables.parallelism` were these the levels' capacities ``(levels,)``; -1 for no bound."""
    return _parallelism(space, words, capacity)[0]


def mapspace_size(space: Space) -> int:
    """Return how many mappings constraints and fan-outs allow, capacities not counted.

    Factors, times the orders that the pins leave (loops of one iteration have a place too), times the sets of tensors
    that may be kept. Exact up to the precision of doubles.
    """
    parts = space.divisors, space.fanouts, space.pins, space.keepers, space.least, space.most
    return once(space, ("size", *parts), lambda: _mapspace_size(space))


def _mapspace_size(space: Space) -> int:
    shape = tuple(len(divisors) for divisors in space.divisors)
    count = np.zeros(shape)
    count[(0,) * len(shape)] = 1.0
    for i in range(len(space.levels) - 1, -1, -1):
        if space.is_spatial[i]:
            count = _counted_fanouts(space, i, count)
            continue
        partial = np.zeros((len(shape) + 1, *shape))
        join_loops(space, i, count, partial, np.add)
        inner, outer, _ = space.pins[i]
        free = len(space.active) - len(inner) - len(outer)
        count = partial[0] * math.factorial(max(0, free)) * len(space.keepers[i])
    return int(count[tuple(n - 1 for n in shape)])


def _counted_fanouts(space: Space, level: int, inside: Floats) -> Floats:
    total, flat = np.zeros(space.tiles), inside.ravel()
    for factors, ways in Counter(row.factors for row in space.fanouts[level]).items():
        split, child = _children(space, factors)
        total[split] += ways * flat[child]
    return total.reshape(inside.shape)


def _parallelism(
    space: Space,
    words: Ints,
    capacities: Ints,
    look: Callable[[], None] = lambda: None,
    known: Tables | None = None,
    alike: int = 0,
) -> tuple[Ints, Ints]:
    """Return `Tables.parallelism` and `Tables.partial`, computed from the innermost level out, or from one known."""
    levels = len(space.levels)
    shape = tuple(len(divisors) for divisors in space.divisors)
    result = np.zeros((levels + 1, space.tiles), np.int64)
    partial = np.zeros((levels, len(shape) + 1, space.tiles), np.int64)
    result[levels, 0] = 1
    if known is not None:
        result[alike:], partial[alike:] = known.parallelism[alike:], known.partial[alike:]
    for i in range(levels - 1 if known is None else alike - 1, -1, -1):
        inside = result[i + 1].reshape(shape)
        if space.is_spatial[i]:
            result[i] = _through_fanout(space, i, result[i + 1], look)
            continue
        join_loops(space, i, inside, partial[i].reshape(-1, *shape), np.maximum, look)
        result[i] = partial[i, 0]
        capacity = int(capacities[i])
        if capacity >= 0:
            result[i][~_fitting(space, i, capacity, words)] = 0
        if space.allowed is not None:
            result[i][~space.allowed[i]] = 0
    return result, partial


def _fitting(space: Space, level: int, capacity: int, words: Ints) -> np.ndarray:
    """Return ``(tiles,)``: whether some allowed set of kept tensors fits."""
    found = np.zeros(space.tiles, np.bool_)
    for kept in space.keepers[level]:
        taken: Any = np.zeros(space.tiles, np.int64)
        for t in range(len(words)):
            if kept >> t & 1:
                taken += space_taken(space.machine, level, t, words[t])
        found |= fits(capacity, taken)
    return found


def join_loops(
    space: Space,
    level: int,
    inside: np.ndarray,
    partial: np.ndarray,
    join: np.ufunc,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Join (maximise, minimise, add up) over a level's loops, the last dimension first: factors are independent.

    Fills ``partial`` ``(dims + 1, *tile, ...)``, to begin with what is joined of nothing; its last entry is ``inside``,
    its first has all loops chosen as is best.
    """
    partial[-1] = inside
    for d in range(len(space.divisors) - 1, -1, -1):
        divisors = space.divisors[d]
        before, after = np.moveaxis(partial[d + 1], d, 0), np.moveaxis(partial[d], d, 0)
        place = {value: i for i, value in enumerate(divisors)}
        for i, size in enumerate(divisors):
            look()
            allowed = (
                f for f in divisors[: i + 1] if size % f == 0 and space.least[level, d] <= f <= space.most[level, d]
            )
            rows = [place[size // factor] for factor in allowed]
            if rows:
                after[i] = before[rows[0]] if len(rows) == 1 else join.reduce(before[rows], axis=0)


def _through_fanout(space: Space, level: int, inside: Ints, look: Callable[[], None]) -> Ints:
    best = np.zeros_like(inside)
    for factors in dict.fromkeys(row.factors for row in space.fanouts[level]):
        look()
        split, child = _children(space, factors)
        best[split] = np.maximum(best[split], math.prod(factors) * inside[child])
    return best


def _children(space: Space, factors: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Return the tiles that some factors divide, and the tile of one child of each."""
    split, child = np.arange(space.tiles), np.arange(space.tiles)
    for divisors, radix, factor in zip(space.divisors, space.radix, factors, strict=True):
        if factor > 1:
            place = {value: i for i, value in enumerate(divisors)}
            down = np.array(
                [i - place[size // factor] if size % factor == 0 else -1 for i, size in enumerate(divisors)]
            )
            steps = down[(split // radix) % len(divisors)]
            split, child = split[steps >= 0], (child - steps * radix)[steps >= 0]
    return split, child
