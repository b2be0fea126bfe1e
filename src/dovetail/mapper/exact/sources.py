"""Where the levels further in fetch from: the distinct situations that outer decisions leave behind, per boundary.

What completing a tile costs depends on the levels outside through little: what a word asked of each tensor's keeper
costs there. A *source* is one such situation. Outside the outermost fan-out few differ, because keepers are few, so the
least cost of completing every tile can be tabulated for each. (Further in, how many children share a word comes in as
well: see `dovetail.mapper.exact.demands`.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.space import Space
from dovetail.model.arrays import Floats, Ints
from dovetail.model.charges import READ, UPDATE


class Source(NamedTuple):
    """One situation, per tensor.

    Attributes:
        price: pJ per word that is sent: read at the keeper (outputs: updated and read).
        unread: pJ per word of an output to take off once: outputs are not read before they are first written.
        keeper: the level that keeps it.
    """

    price: tuple[float, ...]
    unread: tuple[float, ...]
    keeper: tuple[int, ...]


@dataclass(frozen=True)
class Sources:
    """The sources at the boundaries outside the outermost fan-out, and how a level leads from one to the next.

    Attributes:
        at: per boundary, outermost first; one more than there are levels there.
        next: per level ``(sources, options)``, by the tensors it keeps.
    """

    at: tuple[tuple[Source, ...], ...]
    next: tuple[Ints, ...]


def find_sources(
    space: Space, per_word: Floats, grain: float | None = None, *, entries: Sequence[int] = (), most: float = math.inf
) -> Sources | None:
    """Return the sources of a space; None as soon as they would take too many entries.

    Args:
        space: the mapspace.
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        grain: None, or prices are cut down to powers of ``2 ** grain``, which makes fewer of them and weaker bounds.
        entries: per boundary, those that one source takes.
        most: of them, all together.
    """
    taken = 0.0
    zero = (0.0,) * len(space.rules.is_output)
    at: list[tuple[Source, ...]] = [(Source(zero, zero, (0,) * len(zero)),)]
    steps: list[Ints] = []
    for level in range(space.outside):
        found: dict[Source, int] = {}
        table = []
        for source in at[-1]:
            after = [_kept(space, level, source, kept, per_word[level]) for kept in space.keepers[level]]
            coarse = [one if grain is None else _cut(one, grain) for one in after]
            table.append([found.setdefault(one, len(found)) for one in coarse])
            if entries and taken + len(found) * entries[level + 1] > most:
                return None
        at.append(tuple(found))
        taken += len(found) * entries[level + 1] if entries else 0
        steps.append(np.array(table, np.int64).reshape(len(at[-2]), len(space.keepers[level])))
    return Sources(tuple(at), tuple(steps))


def _kept(space: Space, level: int, source: Source, kept: int, per_word: Floats) -> Source:
    """Return the source for what is inside a level that keeps these tensors."""
    price, unread, keeper = list(source.price), list(source.unread), list(source.keeper)
    for t, is_output in enumerate(space.rules.is_output):
        if not kept >> t & 1:
            continue
        price[t], unread[t], keeper[t] = float(per_word[t, READ]), 0.0, level
        if is_output:
            price[t] += float(per_word[t, UPDATE])
            unread[t] = 0.0 if space.rules.read_first[level, t] else float(per_word[t, READ])
    return Source(tuple(price), tuple(unread), tuple(keeper))


def _cut(source: Source, grain: float) -> Source:
    def down(value: float) -> float:
        return 0.0 if value <= 0 else 2.0 ** (math.floor(math.log2(value) / grain) * grain)

    def up(value: float) -> float:
        return 0.0 if value <= 0 else 2.0 ** (math.ceil(math.log2(value) / grain) * grain)

    return Source(
        tuple(min(value, down(value)) for value in source.price),
        tuple(max(value, up(value)) for value in source.unread),
        source.keeper,
    )
