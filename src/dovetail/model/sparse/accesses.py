"""What becomes of every access: done, gated or skipped, of data and of metadata.

After the reference's ``sparse-analysis/storage-optimization-combiner.cpp``. Formats leave zeros out; what a level
leaves out is missing at all levels further in. Slips of the reference that change a count are kept, and named here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from dovetail.model.sparse.leaving import Left
from dovetail.model.sparse.nest import Operand, Turns
from dovetail.model.sparse.tiles import Tile

#: Kinds of access, and what may become of them; the words of energy tables.
KINDS = ("read", "fill", "update")
FATES = ("random", "gated", "skipped")

#: (level, tensor).
Place = tuple[int, int]


class Dense(NamedTuple):
    """The words of a tensor at a level were nothing left out, per instance.

    Attributes:
        read: words read.
        fill: words written from outside.
        update: words written from inside.
        reductions: partial sums added.
    """

    read: int
    fill: int
    update: int
    reductions: int


@dataclass
class RankAccesses:
    """Words of one rank's metadata and payload that move, per kind of access."""

    read: list[int]
    fill: list[int]
    update: list[int]

    def copy(self) -> RankAccesses:
        """Return the same numbers, to be changed apart."""
        return RankAccesses(list(self.read), list(self.fill), list(self.update))

    def of(self, kind: str) -> list[int]:
        """Return [metadata, payload] of one kind of access."""
        found: list[int] = getattr(self, kind)
        return found


@dataclass
class Accesses:
    """The accesses to one tensor at one level, per instance.

    Attributes:
        data: words by (fate, kind of access).
        ranks: words of metadata and payload by (fate, kind of access), per rank, innermost first.
        reductions: partial sums added.
        decompressed: words decompressed on their way in.
        compressed: words compressed on their way out.
    """

    data: dict[tuple[str, str], int]
    ranks: dict[tuple[str, str], list[list[int]]]
    reductions: int
    decompressed: int = 0
    compressed: int = 0

    def total(self, kind: str) -> int:
        """Return the words of one kind of access, whatever became of them."""
        return sum(self.data[fate, kind] for fate in FATES)


@dataclass
class Computations:
    """What is left to compute once operands are left out.

    Attributes:
        wanted: computations that operands are there for.
        chances: that an operand is left out, by tensor, for those whose innermost accesses are.
    """

    wanted: int
    chances: dict[int, float] = field(default_factory=dict)


@dataclass
class _Share:
    """What is left of a tensor's accesses at a level as outer levels leave more and more out."""

    data: dict[str, int]
    ranks: list[RankAccesses]

    def reduce(self, chance: float) -> None:
        for kind in KINDS:
            self.data[kind] -= math.floor(self.data[kind] * chance)


@dataclass(frozen=True)
class _Ledger:
    """What accesses are counted from, and what is known of them so far.

    Attributes:
        turns, dense, tiles, left: as in `accesses_of`.
        shares: what is left of every place's accesses.
        found: what became of them, for the places that are settled.
        computing: what is left to compute.
    """

    turns: Turns
    dense: dict[Place, Dense]
    tiles: dict[Place, Tile]
    left: dict[Place, Left]
    shares: dict[Place, _Share]
    found: dict[Place, Accesses]
    computing: Computations


def accesses_of(
    tensors: tuple[Operand, ...],
    turns: Turns,
    dense: dict[Place, Dense],
    tiles: dict[Place, Tile],
    left: dict[Place, Left],
    computes: int,
) -> tuple[dict[Place, Accesses], Computations]:
    """Return what becomes of all accesses, and what is left to compute.

    Args:
        tensors: the problem's.
        turns: the mapping's loops.
        dense: words were nothing left out.
        tiles: expected ones.
        left: what is left out where.
        computes: executions of the loop body.
    """
    shares = {place: _compressed(tensors[place[1]], dense[place], tiles[place]) for place in dense}
    found: dict[Place, Accesses] = {}
    ledger = _Ledger(turns, dense, tiles, left, shares, found, Computations(computes))
    for operand in tensors:
        for level in reversed(turns.keepers[operand.index]):
            if (level, operand.index) in left:
                _leave_out(ledger, operand, level)
    for place, share in shares.items():
        if place not in left:
            updated, words = dense[place].update, share.data["update"]
            again = math.ceil(dense[place].reductions * words / updated) if updated else 0
            found[place] = _all_done(share.data, share.ranks, again)
    _add_coding(tensors, turns, tiles, found)
    return found, ledger.computing


def _compressed(operand: Operand, dense: Dense, tile: Tile) -> _Share:
    """Return the accesses that are left once a tensor in a format leaves its zeros out, and those of the format."""
    data = {"read": dense.read, "fill": dense.fill, "update": dense.update}
    if tile.written is None:
        return _Share(data, [])
    zeros = 1 - tile.density
    for kind in KINDS if operand.is_output else ("read", "fill"):
        data[kind] -= math.floor(data[kind] * zeros)
    ranks = []
    for metadata, payload in tile.metadata:
        moved = {}
        for kind, words in (("read", dense.read), ("fill", dense.fill), ("update", dense.update)):
            times = words / tile.words
            moved[kind] = [math.ceil(metadata * times), math.ceil(payload * times)]
        ranks.append(RankAccesses(**moved))
    return _Share(data, ranks)


def _leave_out(ledger: _Ledger, operand: Operand, level: int) -> None:
    """Leave accesses out at a level, and at the levels further in up to the next one that does so itself."""
    place, tensor = (level, operand.index), operand.index
    dense, left, shares, computing = ledger.dense, ledger.left, ledger.shares, ledger.computing
    chance = left[place].chance
    further_in = [inner for inner in ledger.turns.keepers[tensor][::-1] if inner > level]
    innermost = True
    for inner in further_in:
        share = shares[inner, tensor]
        share.reduce(chance)
        if len(shares[place].ranks) == 1 and share.ranks:  # of several ranks outside, none is reduced further in
            rank = share.ranks[0]
            for words in (rank.fill, rank.read):
                words[:] = [word - math.floor(word * chance) for word in words]
        if (inner, tensor) in left:
            own = left[inner, tensor]
            # of what still comes; less than nothing where the own chance is smaller (the reference's count wraps there)
            rest = max(0.0, 1 - (1 - own.chance) / (1 - chance)) if chance < 1 else 0.0
            ranks = [rank.copy() for rank in share.ranks]
            for rank in ranks:
                rank.read = list(rank.update)  # a slip: reads of the format are set to its updates
            accesses = _all_done(share.data, ranks, dense[inner, tensor].reductions)
            _local(ledger, operand, inner, accesses, Left(own.how, rest))
            ledger.found[inner, tensor] = accesses
            innermost = False
            break
    if place not in ledger.found:
        share = shares[place]
        accesses = _all_done(share.data, share.ranks, dense[place].reductions)
        _local(ledger, operand, level, accesses, left[place])
        ledger.found[place] = accesses
    if innermost and not operand.is_output:
        computing.wanted -= math.floor(computing.wanted * chance)
        computing.chances[tensor] = round_6(chance)


def _all_done(data: dict[str, int], ranks: list[RankAccesses], reductions: int) -> Accesses:
    words = {(fate, kind): data[kind] if fate == "random" else 0 for fate in FATES for kind in KINDS}
    moved = {
        (fate, kind): [list(rank.of(kind)) if fate == "random" else [0, 0] for rank in ranks]
        for fate in FATES
        for kind in KINDS
    }
    return Accesses(words, moved, reductions)


def _local(ledger: _Ledger, operand: Operand, level: int, accesses: Accesses, left: Left) -> None:
    """Turn accesses of a level itself into gated or skipped ones: reads and updates, and the formats' with them.

    Of the format as many ranks as the level inside has: these are what is read for it.
    """
    chance, fate = left.chance, left.how.done
    data, ranks = accesses.data, accesses.ranks
    read = data["random", "read"] * chance
    _move(data, fate, "read", math.ceil(read) if operand.is_output else math.floor(read))
    _move(data, fate, "update", math.floor(data["random", "update"] * chance))
    child = ledger.turns.child(level, operand.index)
    reached = len(ranks["random", "read"])
    if child is not None:
        written = ledger.tiles[child, operand.index].written
        reached = min(reached, len(written.bits) if written is not None else 0)
    for kind in ("read", "update"):
        for done, kept in zip(ranks["random", kind][:reached], ranks[fate, kind][:reached], strict=True):
            for which in (0, 1):
                words = math.floor(done[which] * chance)
                done[which] -= words
                kept[which] += words
    updated = ledger.dense[level, operand.index].update
    if operand.is_output:
        again = accesses.reductions * data["random", "update"] / updated if updated else 0
        accesses.reductions = math.ceil(again)


def _move(data: dict[tuple[str, str], int], fate: str, kind: str, words: int) -> None:
    data[fate, kind] += words
    data["random", kind] -= words


def _add_coding(
    tensors: tuple[Operand, ...], turns: Turns, tiles: dict[Place, Tile], found: dict[Place, Accesses]
) -> None:
    """Count what is decompressed and compressed where an uncompressed level stands under a compressed one."""
    for (level, tensor), accesses in found.items():
        parent = turns.parent(level, tensor)
        if parent is None or tiles[level, tensor].compressed or not tiles[parent, tensor].compressed:
            continue
        accesses.decompressed = accesses.data["random", "fill"]
        if tensors[tensor].is_output:
            accesses.compressed = found[parent, tensor].data["random", "update"]


def round_6(value: float) -> float:
    """Return a probability to six digits, as the reference keeps some."""
    return math.floor(value * 1000000 + 0.5) / 1000000
