"""Where the levels further in fetch from: the distinct situations that outer decisions leave behind, per boundary.

What completing a tile costs depends on the outer levels through little: what a word asked of each tensor's keeper costs
there, shared among the children that a fan-out sends it to. A *source* is one such situation. Few differ, because
keepers and shares are few, so the least cost of completing every tile can be tabulated for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.space import Fanout, Space
from dovetail.model.arrays import Bools, Floats, Ints


class Source(NamedTuple):
    """One situation, per tensor.

    Attributes:
        price: pJ per word that one instance is sent: read at the keeper (outputs: updated and read), divided by the
            most children that can share it.
        unread: pJ per word of an output to take off once: outputs are not read before they are first written.
        copies: of an output, instances further out that sum up parts of the same word.
        linked: neighbours may have passed the tensor on since its keeper; then its arrival is not counted.
    """

    price: tuple[float, ...]
    unread: tuple[float, ...]
    copies: tuple[float, ...]
    linked: tuple[bool, ...]


@dataclass(frozen=True)
class Sources:
    """The sources at every boundary, and how a level leads from one to the next.

    Attributes:
        at: per boundary, outermost first; one more than there are levels.
        next: per level ``(sources, options)``: for a storage level by the tensors it keeps, for a fan-out by its row.
    """

    at: tuple[tuple[Source, ...], ...]
    next: tuple[Ints, ...]


def find_sources(space: Space, per_word: Floats, grain: float | None = None) -> Sources:
    """Return the sources of a space.

    Args:
        space: the mapspace.
        per_word: ``(levels, 3)`` least pJ per word read, written from outside, written from inside.
        grain: None, or prices are cut down to powers of ``2 ** grain``, which makes fewer of them and weaker bounds.
    """
    tensors = len(space.rules.is_output)
    zero = (0.0,) * tensors
    at: list[tuple[Source, ...]] = [(Source(zero, zero, (1.0,) * tensors, (False,) * tensors),)]
    steps: list[Ints] = []
    for level in range(len(space.levels)):
        found: dict[Source, int] = {}
        table = []
        for source in at[-1]:
            if space.is_spatial[level]:
                first, _ = rows_of(space.fanouts[level])
                by_factors = {space.fanouts[level][i].factors: _passed(space, level, source, i) for i in first}
                after = [by_factors[row.factors] for row in space.fanouts[level]]
            else:
                after = [_kept(space, level, source, kept, per_word[level]) for kept in space.keepers[level]]
            coarse = [one if grain is None else _cut(one, grain) for one in after]
            table.append([found.setdefault(one, len(found)) for one in coarse])
        at.append(tuple(found))
        steps.append(np.array(table, np.int64).reshape(len(table), -1))
    return Sources(tuple(at), tuple(steps))


def _kept(space: Space, level: int, source: Source, kept: int, per_word: Floats) -> Source:
    """Return the source for what is inside a level that keeps these tensors."""
    price, unread, linked = list(source.price), list(source.unread), list(source.linked)
    for t, is_output in enumerate(space.rules.is_output):
        if not kept >> t & 1:
            continue
        price[t], unread[t], linked[t] = float(per_word[0]), 0.0, False
        if is_output:
            price[t] += float(per_word[2])
            unread[t] = 0.0 if space.rules.read_first[level, t] else float(per_word[0]) * source.copies[t]
    return Source(tuple(price), tuple(unread), source.copies, tuple(linked))


def _passed(space: Space, level: int, source: Source, row: int) -> Source:
    """Return the source for the children of a fan-out used so."""
    price, unread, copies, linked = list(source.price), list(source.unread), list(source.copies), list(source.linked)
    factors = space.fanouts[level][row].factors
    for t, is_output in enumerate(space.rules.is_output):
        if is_output:
            moves = (space.rules.coefficients[t] != 0).any(axis=0)
            copies[t] *= math.prod(f for d, f in enumerate(factors) if not moves[d])
        if space.linking[level][row, t]:
            price[t], linked[t] = price[t] / _most_served(space, t, factors), True
            # Where every step asks for everything again, neighbours can serve all of it but the first.
            if level == len(space.levels) - 1 or space.rules.no_reuse[level + 1, t]:
                price[t] = unread[t] = 0.0
        elif not space.rules.no_multicast[level, t]:
            price[t] /= _most_sharing(space, t, factors)
    return Source(tuple(price), tuple(unread), tuple(copies), tuple(linked))


def _most_served(space: Space, tensor: int, factors: tuple[int, ...]) -> int:
    """Return how many children of a fan-out one word from outside may serve when neighbours pass on what slides.

    Of the children along a window, the one furthest ahead has no neighbour that held its words before.
    """
    moves: Bools = space.rules.coefficients[tensor] != 0
    slides = moves[moves.sum(axis=1) > 1].any(axis=0)
    return math.prod(f for d, f in enumerate(factors) if slides[d] or not moves[:, d].any())


def _most_sharing(space: Space, tensor: int, factors: tuple[int, ...]) -> int:
    """Return how many children of a fan-out at most are sent the same tile of a tensor."""
    shared = 1
    moves: Bools = space.rules.coefficients[tensor] != 0
    for d, factor in enumerate(factors):
        if not moves[:, d].any():
            shared *= factor
    for axis in moves:
        together = sorted(factors[d] for d in np.flatnonzero(axis))
        shared *= math.prod(together[:-1])
    return shared


def _cut(source: Source, grain: float) -> Source:
    def down(value: float) -> float:
        return 0.0 if value <= 0 else 2.0 ** (math.floor(math.log2(value) / grain) * grain)

    def up(value: float) -> float:
        return 0.0 if value <= 0 else 2.0 ** (math.ceil(math.log2(value) / grain) * grain)

    return Source(
        tuple(min(value, down(value)) for value in source.price),
        tuple(max(value, up(value)) for value in source.unread),
        tuple(max(value, up(value)) for value in source.copies),
        source.linked,
    )


def rows_of(rows: tuple[Fanout, ...]) -> tuple[list[int], Ints]:
    """Return the first fan-out row of every set of factors, and those factors, ``(sets, dims)``."""
    first: dict[tuple[int, ...], int] = {}
    for i, row in enumerate(rows):
        first.setdefault(row.factors, i)
    return list(first.values()), np.array(list(first), np.int64)
