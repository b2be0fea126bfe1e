"""A mapping's loops as the sparse rules see them: every dimension at every level, from the innermost loop outwards.

Which rank of a format a loop belongs to depends on its place, and so do the rules of leaving out, also where a loop
makes one iteration only. Loops that a mapping leaves out are the outermost of their level, in the problem's order of
dimensions: so the reference completes a permutation, and so do our mapping files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.mapping.mapping import LevelMapping, Mapping
from dovetail.model.sparse.occupancy import Extents
from dovetail.workload.problem import Problem, Tensor

#: Iterations of each dimension, in the problem's order.
Sizes = tuple[int, ...]


class Turn(NamedTuple):
    """One loop.

    Attributes:
        dimension: its place in the problem's order.
        factor: iterations.
        in_time: whether it is one over time.
        level: of the architecture, counted from the outermost.
        sizes: iterations of each dimension inside of it, its own included.
    """

    dimension: int
    factor: int
    in_time: bool
    level: int
    sizes: Sizes


@dataclass(frozen=True)
class Operand:
    """One tensor of a problem.

    Attributes:
        index: its place in the problem's order.
        name: what it is called.
        is_output: whether it is written.
        axes: per axis (dimension, coefficient) of the terms.
        dimensions: that it depends on.
    """

    index: int
    name: str
    is_output: bool
    axes: tuple[tuple[tuple[int, int], ...], ...]
    dimensions: frozenset[int]

    def extents(self, sizes: Sequence[int]) -> Extents:
        """Return the tile that loops of these sizes touch: its bounding box."""
        return tuple(1 + sum(coefficient * (sizes[d] - 1) for d, coefficient in axis) for axis in self.axes)

    def words(self, sizes: Sequence[int]) -> int:
        """Return the words of that tile."""
        return math.prod(self.extents(sizes))


def operands(problem: Problem) -> tuple[Operand, ...]:
    """Return a problem's tensors."""
    return tuple(_operand(index, tensor, problem) for index, tensor in enumerate(problem.shape.tensors))


def _operand(index: int, tensor: Tensor, problem: Problem) -> Operand:
    place = problem.shape.dimensions.index
    axes = tuple(
        tuple((place(term.dimension), problem.coefficient(term)) for term in axis) for axis in tensor.projection
    )
    return Operand(index, tensor.name, tensor.is_output, axes, frozenset(map(place, tensor.dimensions)))


@dataclass(frozen=True)
class Turns:
    """The loops of one mapping, innermost first.

    Attributes:
        loops: all of them.
        first: per level, where its loops begin in ``loops``; the level's last is right before the next level's first.
        keepers: per tensor the levels that keep it, innermost first.
    """

    loops: tuple[Turn, ...]
    first: tuple[int, ...]
    keepers: tuple[tuple[int, ...], ...]

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(self.first)

    def of_level(self, level: int) -> tuple[Turn, ...]:
        """Return a level's loops, innermost first."""
        return self.loops[self.first[level] : self.end(level)]

    def end(self, level: int) -> int:
        """Return where a level's loops end in ``loops``."""
        return self.first[level - 1] if level else len(self.loops)

    def sizes(self, level: int) -> Sizes:
        """Return the iterations of each dimension inside a level, its own loops included: its tile."""
        return self.loops[self.end(level) - 1].sizes

    def child(self, level: int, tensor: int) -> int | None:
        """Return the next level inside that keeps a tensor; None where compute is next."""
        kept = self.keepers[tensor]
        place = kept.index(level)
        return kept[place - 1] if place else None

    def parent(self, level: int, tensor: int) -> int | None:
        """Return the next level outside that keeps a tensor; None for the outermost."""
        kept = self.keepers[tensor]
        place = kept.index(level) + 1
        return kept[place] if place < len(kept) else None

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield (level, tensor) for every tensor and level that keeps it, innermost first."""
        for tensor, kept in enumerate(self.keepers):
            for level in kept:
                yield level, tensor

    def passing(self, level: int) -> bool:
        """Return whether a tensor passes by a level."""
        return any(level not in kept for kept in self.keepers)


def turns_of(mapping: Mapping, dimensions: tuple[str, ...], tensors: Sequence[str], fan_outs: Sequence[bool]) -> Turns:
    """Return a mapping's loops.

    Args:
        mapping: the mapping.
        dimensions: the problem's.
        tensors: names of the problem's.
        fan_outs: of every level, outer to inner, whether it is one.
    """
    sizes = [1] * len(dimensions)
    loops: list[Turn] = []
    first = [0] * len(mapping.levels)
    for level in reversed(range(len(mapping.levels))):
        first[level] = len(loops)
        for dimension, factor, in_time in _inner_first(mapping.levels[level], dimensions, fan_outs[level]):
            sizes[dimension] *= factor
            loops.append(Turn(dimension, factor, in_time, level, tuple(sizes)))
    inner_first = range(len(mapping.levels) - 1, -1, -1)
    keepers = tuple(tuple(level for level in inner_first if tensor in mapping.levels[level].keep) for tensor in tensors)
    return Turns(tuple(loops), tuple(first), keepers)


def _inner_first(entry: LevelMapping, dimensions: tuple[str, ...], fan_out: bool) -> Iterator[tuple[int, int, bool]]:
    """Yield (dimension, factor, whether over time) of a level's loops, X inside Y, those left out at the end."""
    stated = [(loop, True) for loop in reversed(entry.temporal)]
    stated += [(loop, False) for loop in (*reversed(entry.spatial_x), *reversed(entry.spatial_y))]
    for loop, in_time in stated:
        yield dimensions.index(loop.dimension), loop.factor, in_time
    named = {loop.dimension for loop, _ in stated}
    for place, dimension in enumerate(dimensions):
        if dimension not in named:
            yield place, 1, not fan_out
