"""Where the levels further in fetch from: the distinct situations that outer decisions leave behind, per boundary.

What completing a tile costs depends on the outer levels through little: what a word asked of each tensor's keeper costs
there, shared among the children that a fan-out sends it to. A *source* is one such situation. Few differ, because
keepers and shares are few, so the least cost of completing every tile can be tabulated for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.space import Fanout, Space
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.charges import READ, UPDATE


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
        next: per level ``(sources, options)``: for a storage level by the tensors it keeps; for a fan-out by its row,
            then by its row again where neighbours turn out to pass nothing on.
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
    tensors = len(space.rules.is_output)
    zero = (0.0,) * tensors
    at: list[tuple[Source, ...]] = [(Source(zero, zero, (1.0,) * tensors, (False,) * tensors),)]
    steps: list[Ints] = []
    for level in range(len(space.levels)):
        found: dict[Source, int] = {}
        table = []
        width = 2 * len(space.fanouts[level]) if space.is_spatial[level] else len(space.keepers[level])
        sharings = _sharings(space, level)
        for source in at[-1]:
            if space.is_spatial[level]:
                after = [_passed(source, sharing) for sharing in sharings]
            else:
                after = [_kept(space, level, source, kept, per_word[level]) for kept in space.keepers[level]]
            coarse = [one if grain is None else _cut(one, grain) for one in after]
            table.append([found.setdefault(one, len(found)) for one in coarse])
            if entries and taken + len(found) * entries[level + 1] > most:
                return None
        at.append(tuple(found))
        taken += len(found) * entries[level + 1] if entries else 0
        steps.append(np.array(table, np.int64).reshape(len(at[-2]), width))
    return Sources(tuple(at), tuple(steps))


def _kept(space: Space, level: int, source: Source, kept: int, per_word: Floats) -> Source:
    """Return the source for what is inside a level that keeps these tensors."""
    price, unread, linked = list(source.price), list(source.unread), list(source.linked)
    for t, is_output in enumerate(space.rules.is_output):
        if not kept >> t & 1:
            continue
        price[t], unread[t], linked[t] = float(per_word[t, READ]), 0.0, False
        if is_output:
            price[t] += float(per_word[t, UPDATE])
            unread[t] = 0.0 if space.rules.read_first[level, t] else float(per_word[t, READ]) * source.copies[t]
    return Source(tuple(price), tuple(unread), source.copies, tuple(linked))


class _Sharing(NamedTuple):
    """What a fan-out does to a source, per tensor.

    Attributes:
        children: how many share a word at most.
        copies: of an output, children that sum up parts of the same word.
        linked: neighbours may pass the tensor on.
        again: they can then serve all of what is asked for again.
    """

    children: tuple[int, ...]
    copies: tuple[int, ...]
    linked: tuple[bool, ...]
    again: bool


def _sharings(space: Space, level: int) -> list[_Sharing]:
    """Return this per row of a fan-out where neighbours may pass data on, then per row where they do not."""
    known: dict[tuple[tuple[int, ...], bool], _Sharing] = {}
    result = []
    for linking in (True, False):
        for i, row in enumerate(space.fanouts[level]):
            if (row.factors, linking) not in known:
                known[row.factors, linking] = _sharing(space, level, i, linking)
            result.append(known[row.factors, linking])
    return result


def _sharing(space: Space, level: int, row: int, linking: bool) -> _Sharing:
    factors = space.fanouts[level][row].factors
    children, copies = [], []
    linked = tuple(bool(may) and linking for may in space.linking[level][row])
    for t, is_output in enumerate(space.rules.is_output):
        moves: Bools = space.rules.coefficients[t] != 0
        together = math.prod(factors[d] for d in np.flatnonzero(~moves.any(axis=0)).tolist())
        windows: list[list[int]] = [np.flatnonzero(axis).tolist() for axis in moves if axis.sum() > 1]
        # Tiles of outputs that overlap have a part of the whole each, and these add up to more than the whole.
        overlapping = math.prod(factors[d] for d in {d for axis in windows for d in axis})
        copies.append(together * overlapping if is_output else 1)
        if linked[t]:
            # Of the children along a window, the one furthest ahead has no neighbour that held its words before.
            children.append(together * math.prod(factors[d] for d in {d for axis in windows for d in axis}))
        elif space.rules.no_multicast[level, t]:
            children.append(1)
        else:
            for axis in windows:
                together *= math.prod(sorted(factors[d] for d in axis)[:-1])
            children.append(together)
    again = level == len(space.levels) - 1 or bool(space.rules.no_reuse[level + 1].any())
    return _Sharing(tuple(children), tuple(copies), linked, again)


def _passed(source: Source, sharing: _Sharing) -> Source:
    """Return the source for the children of a fan-out."""
    # Where every step asks for everything again, neighbours can serve all of it but the first.
    free = [linked and sharing.again for linked in sharing.linked]
    return Source(
        tuple(0.0 if no else p / n for no, p, n in zip(free, source.price, sharing.children, strict=True)),
        tuple(0.0 if no else u for no, u in zip(free, source.unread, strict=True)),
        tuple(a * b for a, b in zip(source.copies, sharing.copies, strict=True)),
        tuple(a or b for a, b in zip(source.linked, sharing.linked, strict=True)),
    )


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
