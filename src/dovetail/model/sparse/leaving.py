"""Which accesses are for nothing, and how likely: the conditions of gating and skipping.

After the reference's ``sparse-analysis/storage-gs-analyzer.cpp``. An access to one tensor is for nothing where the
words of another that it would meet are all zero. How many words these are is decided by one loop, see `_deciding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from dovetail.hardware.sparse import Leaving
from dovetail.model.sparse.nest import Operand, Sizes, Turn, Turns
from dovetail.model.sparse.occupancy import Occupancy


class Way(NamedTuple):
    """One way of leaving accesses out, by index: accesses to ``target`` where any of ``conditions`` is all zero."""

    target: int
    conditions: tuple[int, ...]


class Group(NamedTuple):
    """What one level leaves out; the way that saves most is taken."""

    level: int
    how: Leaving
    ways: tuple[Way, ...]


class Left(NamedTuple):
    """What happens to a tensor's accesses at one level.

    Attributes:
        how: to them.
        chance: that an access is for nothing.
    """

    how: Leaving
    chance: float


#: pJ saved by a way of leaving out: level, tensor, chance.
Saving = Callable[[int, int, float], float]


def left_out(
    groups: tuple[Group, ...],
    tensors: tuple[Operand, ...],
    zeros: tuple[Occupancy, ...],
    turns: Turns,
    line_words: tuple[tuple[int, ...], ...],
    saving: Saving,
) -> dict[tuple[int, int], Left]:
    """Return what is left out, by (level, tensor).

    Args:
        groups: what the design's levels leave out.
        tensors: the problem's.
        zeros: where each tensor's zeros are.
        turns: the mapping's loops.
        line_words: words of a line, per level and tensor.
        saving: what a way of leaving out would save.
    """
    found: dict[tuple[int, int], Left] = {}
    for how in (Leaving.GATING, Leaving.SKIPPING):
        for group in sorted((group for group in groups if group.how is how), key=lambda group: -group.level):
            level, target, chance = _best(group, tensors, zeros, turns, line_words, saving)
            known = found.get((level, target))
            if known is None or known.chance < chance:
                found[level, target] = Left(how, chance)
    return found


def _best(
    group: Group,
    tensors: tuple[Operand, ...],
    zeros: tuple[Occupancy, ...],
    turns: Turns,
    line_words: tuple[tuple[int, ...], ...],
    saving: Saving,
) -> tuple[int, int, float]:
    """Return (level, tensor, chance) of the way that saves most; of equal ones the last."""
    best = -math.inf
    choice = (0, 0, 0.0)
    for way in group.ways:
        level = next(level for level in turns.keepers[way.target] if level <= group.level)
        conditions = [(tensors[other], zeros[other]) for other in way.conditions]
        chance = _chance_for_nothing(turns, level, tensors[way.target], conditions, line_words[level][way.target])
        saved = saving(level, way.target, chance)
        if saved >= best:
            best, choice = saved, (level, way.target, chance)
    return choice


class _Decision(NamedTuple):
    """The loop that decides which words an access would meet.

    Attributes:
        at: its place among the loops.
        single: whether it is about one word: at compute, an operand is asked for at every step.
    """

    at: int
    single: bool


def _deciding(turns: Turns, level: int, target: Operand) -> _Decision:
    """Return the loop that decides.

    With a level inside: the innermost loop over the target between the two, or the outermost one of this level.
    Without: a single word, or in a fan-out right above compute the first loop over the target, else its last loop.
    """
    child = turns.child(level, target.index)
    end = turns.end(level)
    start = 0 if child is None else turns.end(child)

    def moves(turn: Turn) -> bool:
        return turn.factor > 1 and turn.dimension in target.dimensions

    if child is not None:
        return _Decision(next((at for at in range(start, end) if moves(turns.loops[at])), end - 1), False)
    innermost = turns.of_level(turns.levels - 1)
    if innermost[0].in_time:
        return _Decision(0, True)
    return _Decision(next((at for at, turn in enumerate(innermost) if moves(turn)), len(innermost) - 1), False)


def _chance_for_nothing(
    turns: Turns, level: int, target: Operand, conditions: list[tuple[Operand, Occupancy]], line: int
) -> float:
    """Return the probability that an access to the target at a level meets nothing but zeros."""
    decision = _deciding(turns, level, target)
    loop = turns.loops[decision.at]
    single = (1,) * len(loop.sizes)
    met = single if decision.single else loop.sizes
    around, relevant = _around(turns, level, target, decision)
    all_there = 1.0
    for other, zeros in conditions:
        sizes = _common(target, other, loop, met, around, [] if decision.single else relevant, line)
        if sizes is not None:
            all_there *= 1 - zeros.empty(other.extents(sizes))
    return 1 - all_there


def _around(turns: Turns, level: int, target: Operand, decision: _Decision) -> tuple[Sizes, list[Turn]]:
    """Return the sizes that are met at once, and the loops that make them: the deciding one and spatial ones outside.

    Around a spatial loop also those over time count that keep the target still, up to the first that moves it.
    """
    loop = turns.loops[decision.at]
    child = turns.child(level, target.index)
    sizes = [1] * len(loop.sizes) if decision.single else list(loop.sizes)
    relevant, moved = [loop], loop.in_time
    for turn in turns.loops[decision.at + 1 : turns.end(level)]:
        if turn.factor == 1:
            continue
        moves = child is None or turn.dimension in target.dimensions
        if not turn.in_time or (not moved and not moves):
            sizes[turn.dimension] *= turn.factor
            relevant.append(turn)
        moved = moved or (turn.in_time and moves)
    return tuple(sizes), relevant


def _common(
    target: Operand, other: Operand, loop: Turn, met: Sizes, around: Sizes, relevant: list[Turn], line: int
) -> Sizes | None:
    """Return the sizes of the words of the other tensor that one access meets; None where it meets all there are.

    Of loops that are common to both tensors, an access meets one iteration, or as many as make a line of the target.
    """
    shared = target.dimensions & other.dimensions
    factors: dict[int, float] = {}
    product = 1.0
    for turn in relevant:
        if not loop.in_time and factors and turn.dimension in other.dimensions:
            return None  # a loop over the other tensor around a common one of a fan-out: nothing can be said
        if turn.dimension in shared:
            factors[turn.dimension] = factors.get(turn.dimension, 1.0) * turn.factor
            product *= turn.factor
    sizes = list(around)
    needed: float = math.ceil(line / (target.words(met) / product))
    for dimension in sorted(factors):
        iterations = factors[dimension] / needed
        sizes[dimension] = math.ceil(sizes[dimension] / iterations)
        needed /= factors[dimension]
    if needed > 1:
        sizes[loop.dimension] = int(sizes[loop.dimension] * needed)
    return tuple(sizes)
