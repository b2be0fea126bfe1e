"""Fibre trees: which loops stand for which rank of a tensor's format at a level.

After the reference's ``sparse-analysis/representation-analyzer.cpp``. The ranks of a level are given the loops over the
tensor's dimensions from that level down to the next one that keeps the tensor; where the level compresses, the child's
ranks are its inner ones (it is *tiled before* it is written).
"""

from __future__ import annotations

import math
from collections.abc import Mapping as MappingOf
from typing import NamedTuple

from dovetail.errors import MappingError
from dovetail.hardware.sparse import Rank, TensorFormat
from dovetail.model.sparse.nest import Operand, Sizes, Turns

#: A loop as a rank sees it: dimension, and iterations of it and of what is further in.
Span = tuple[int, int]


class Fibres(NamedTuple):
    """The ranks of one tensor at one level, innermost first.

    Attributes:
        spans: the loops of each rank.
        elements: per rank the sizes of what one of its coordinates stands for, and last those of the whole tile.
        shapes: coordinates of a fibre of each rank.
    """

    spans: tuple[tuple[Span, ...], ...]
    elements: tuple[Sizes, ...]
    shapes: tuple[int, ...]


class _Reach(NamedTuple):
    """The loops that ranks are to be found for, innermost first, with the sizes at each."""

    spans: list[Span]
    sizes: list[Sizes]


def fibres_of(
    operand: Operand, turns: Turns, formats: MappingOf[int, TensorFormat], names: tuple[str, ...], single: Sizes
) -> dict[int, Fibres]:
    """Return the fibres of a tensor at every level that keeps it.

    Args:
        operand: the tensor.
        turns: the mapping's loops.
        formats: of the tensor, by level; a level without one has one rank over all.
        names: of the problem's dimensions.
        single: sizes of one word.

    Raises:
        MappingError: a format has too few ranks, or does not go with that of the level inside.
    """
    found: dict[int, Fibres] = {}
    for level in turns.keepers[operand.index]:
        child, own = turns.child(level, operand.index), formats.get(level)
        tiled = _tiled_before(operand, turns, level, own)
        reach = _reach(operand, turns, level, child, whole=not tiled)
        inner: Fibres | None = found[child] if tiled and child is not None else None
        if inner is not None and child is not None and own is not None:
            _check_child(operand, own, formats.get(child), len(inner.spans))
        ranks = own.ranks[::-1] if own else (None,)
        taken = 0 if inner is None else len(inner.spans)
        if own is not None and own.inner_to_outer:
            spans, sizes, left = _from_inside(reach, ranks[taken:], names, single)
        else:
            spans, sizes, left = _from_outside(reach, ranks[taken:], names)
        if left:
            raise MappingError(
                f"{operand.name} needs more ranks than its format has ({own or 'none'}): the loop over {left} is left"
            )
        if inner is None:
            every, elements = tuple(spans), (single, *sizes)
        else:
            every, elements = (*inner.spans, *spans), (*inner.elements, *sizes)
        found[level] = Fibres(every, elements, tuple(_coordinates(operand, rank, single) for rank in every))
    return found


def _tiled_before(operand: Operand, turns: Turns, level: int, own: TensorFormat | None) -> bool:
    """Return whether the ranks of the level inside are ranks of this one, too."""
    child = turns.child(level, operand.index)
    return own is not None and own.compresses and child is not None and operand.words(turns.sizes(child)) > 1


def _reach(operand: Operand, turns: Turns, level: int, child: int | None, whole: bool) -> _Reach:
    """Return the loops down to a level's child; ``whole``: a dimension's first one has all that is further in."""
    start = 0 if child is None else turns.end(child)
    inside = [1] * len(turns.loops[0].sizes) if child is None else list(turns.sizes(child))
    spans, sizes = [], []
    for turn in turns.loops[start : turns.end(level)]:
        if turn.dimension in operand.dimensions:
            further_in = inside[turn.dimension] if whole else 1
            inside[turn.dimension] = 1
            spans.append((turn.dimension, turn.factor * further_in))
            sizes.append(turn.sizes)
    return _Reach(spans, sizes)


def _check_child(operand: Operand, own: TensorFormat, child: TensorFormat | None, ranks: int) -> None:
    """Check that a child's ranks can be the inner ranks of a level's format."""
    if ranks > len(own.ranks):
        raise MappingError(
            f"{operand.name} has {len(own.ranks)} ranks ({own}), but the level inside it has {ranks}; a compressed "
            f"level needs at least as many"
        )
    if child is not None and child.compresses:
        inner = own.ranks[len(own.ranks) - ranks :]
        if any(mine.format is not other.format for mine, other in zip(inner, child.ranks, strict=True)):
            raise MappingError(
                f"{operand.name} is kept as {own}, but as {child} at the level inside; the innermost ranks must be the "
                f"same"
            )


def _shared(rank: Rank | None, dimension: int, names: tuple[str, ...]) -> frozenset[str] | None:
    """Return the dimensions whose loops share a rank with this one: none, or None where the rank is not for it."""
    if rank is None:
        return frozenset(names)
    if not rank.flattened:
        return frozenset()
    return next((listed for listed in rank.flattened if names[dimension] in listed), None)


def _from_outside(
    reach: _Reach, ranks: tuple[Rank | None, ...], names: tuple[str, ...]
) -> tuple[list[tuple[Span, ...]], list[Sizes], str]:
    """Give loops to ranks from the outermost on; returns spans and sizes per rank, and a dimension left over."""
    spans: list[tuple[Span, ...]] = []
    sizes: list[Sizes] = []
    loops, at = reach.spans, len(reach.spans) - 1
    waiting = list(ranks)
    while waiting:
        while at >= 0 and loops[at][1] <= 1:
            at -= 1
        if at < 0:
            break
        shared = _shared(waiting.pop(), loops[at][0], names)
        if shared is None:  # an empty rank: the reference puts it outside of those found so far
            spans.append(())
            sizes.append(reach.sizes[0])
            continue
        sizes.insert(0, reach.sizes[at])
        rank = [loops[at]]
        at -= 1
        while shared and at >= 0 and (names[loops[at][0]] in shared or loops[at][1] <= 1):
            rank += [loops[at]] if loops[at][1] > 1 else []
            at -= 1
        spans.insert(0, tuple(rank))
    spans[:0] = [()] * len(waiting)
    sizes[:0] = [reach.sizes[0]] * len(waiting)
    return spans, sizes, next((names[d] for d, n in loops[: at + 1] if n > 1), "")


def _from_inside(
    reach: _Reach, ranks: tuple[Rank | None, ...], names: tuple[str, ...], single: Sizes
) -> tuple[list[tuple[Span, ...]], list[Sizes], str]:
    """Give loops to ranks from the innermost on; returns as `_from_outside` does."""
    spans: list[tuple[Span, ...]] = []
    sizes: list[Sizes] = []
    loops, at = reach.spans, 0
    for place, rank in enumerate(ranks):
        while at < len(loops) and loops[at][1] <= 1:
            at += 1
        if at == len(loops):
            left = len(ranks) - place
            return [*spans, *[()] * left], [*sizes, *[reach.sizes[0]] * left], ""
        shared = _shared(rank, loops[at][0], names)
        if shared is None:
            spans.append(())
            sizes.append(single)
            continue
        sizes.append(reach.sizes[at])
        taken = [loops[at]]
        at += 1
        while shared and at < len(loops) and (names[loops[at][0]] in shared or loops[at][1] <= 1):
            taken += [loops[at]] if loops[at][1] > 1 else []
            at += 1
        spans.append(tuple(taken))
    return spans, sizes, next((names[d] for d, n in loops[at:] if n > 1), "")


def _coordinates(operand: Operand, rank: tuple[Span, ...], single: Sizes) -> int:
    """Return how many coordinates a fibre of a rank has: the tensor's extent over the rank's loops alone."""
    sizes = list(single)
    for dimension, iterations in rank:
        sizes[dimension] *= iterations
    return math.prod(operand.extents(sizes))
