"""Partial mappings as rows of arrays, and names for what stands in them.

A partial mapping is a row in four arrays: ``key`` (what the future depends on, integers), ``real`` (the same, reals),
``value`` (what it costs so far) and ``path`` (its decisions). ``docs/mapper.md`` says why no more is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dovetail.model.arrays import Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.compile import part

Paths = NDArray[np.int32]

# Places in a key: the tile, instances in use, loops in the chain, where what is known of each tensor begins ...
TILE, INSTANCES, LENGTH, PER_TENSOR = range(4)
# ... with tensor after tensor in turn: reuse so far, level that keeps it, instances of that level, partition now and at
# its keeper; see `of_tensor`. Then the chain, see `chain_start`, of the innermost loops: dimension, factor, step.
REUSE, KEEPER, KEEPER_INSTANCES, PART, KEEPER_PART, KEY_FIELDS = range(6)
LOOPED, TIMES, STEP, CHAIN_FIELDS = range(4)

# First axis of ``real``: children per word since the keeper, words from neighbours at the keeper; then, when the model
# counted the fan-out just passed (``COUNTED`` is its children; below 0: it is to count it): words sent, children per
# word should the next level let the tensor pass, words that a child receives, words linked.
SHARED, PEERS, COUNTED, SENT, PASSED, SHARE, LINKED, REAL_FIELDS = range(8)

# Places in ``value``: pJ, pJ of leakage per cycle, cycles; then words read and written so far per bounded level.
ENERGY, LEAK, CYCLES, TRAFFIC = range(4)
TAKEN, GIVEN = range(2)

# Per level, a path has the kept tensors as a bit mask; then per dimension its factor, whether it is on Y, and the
# dimension of the loop at that place, outer to inner; see `path_at`.
FACTOR, ON_Y, ORDER, PATH_FIELDS = range(4)
# At the end of a path: the source that the levels further in fetch from (`dovetail.mapper.exact.sources`; it follows
# from the rest).
SOURCE = -1

# Places in `Table.stats`; `UNTIL`: the states after which a step leaves off.
STATES, BY_BOUND, BY_DOMINANCE, BY_CAPACITY, TOO_LONG, UNTIL, COUNTERS = range(7)
# Places in `Table.used`.
IN_USE, ALIVE = range(2)


@by_address
class Row(NamedTuple):
    """One partial mapping.

    Attributes:
        key: ``(keys,)``.
        real: ``(REAL_FIELDS, tensors)``.
        value: ``(values,)``.
        path: ``(paths,)``.
    """

    key: Ints
    real: Floats
    value: Floats
    path: Paths


@by_address
class Rows(NamedTuple):
    """Partial mappings at one boundary, one after the other.

    Attributes:
        key: ``(rows, keys)``.
        real: ``(rows, REAL_FIELDS, tensors)``.
        value: ``(rows, values)``.
        path: ``(rows, paths)``.
        bound: ``(rows,)`` what no completion's value goes below.
    """

    key: Ints
    real: Floats
    value: Floats
    path: Paths
    bound: Floats

    def pick(self, kept: Ints) -> Rows:
        """Return the rows of these indices."""
        return Rows(self.key[kept], self.real[kept], self.value[kept], self.path[kept], self.bound[kept])


@by_address
class Table(NamedTuple):
    """Room for the rows that pass a level (`dovetail.mapper.exact.dominance`).

    Attributes:
        rows: ``(room, ...)`` each.
        next: ``(room,)`` the next row of equal hash, or -1.
        alive: ``(room,)`` 1: no other row replaces it.
        first: ``(slots,)`` the first row of a hash, or -1.
        used: ``(2,)`` rows in use, and how many of them are alive.
        stats: ``(COUNTERS,)`` what the search has met so far.
    """

    rows: Rows
    next: Ints
    alive: Ints
    first: Ints
    used: Ints
    stats: Ints


@by_address
class Parents(NamedTuple):
    """Partial mappings that a step is taken with, in groups of those that agree (`dovetail.mapper.exact.menu`).

    Attributes:
        rows: all there are.
        order: ``(rows,)`` in which they are taken, group after group.
        begin: ``(groups + 1,)`` where in the order each group begins, and the last one ends.
        start: the first group of those to take now.
        stop: the one after the last.
    """

    rows: Rows
    order: Ints
    begin: Ints
    start: int
    stop: int


@by_address
class Menu(NamedTuple):
    """What a level may choose for partial mappings that agree (`dovetail.mapper.exact.menu`).

    Attributes:
        agreed: what they agree in, having entered the level, and of what they do not the least.
        open_visits: ``(tensors,)`` share of visits that fetch a tensor after the loops outside, at least.
        choice: ``(room,)`` the tile that loops leave inside, or the way to use a fan-out.
        energy: ``(room,)`` pJ that the levels inside add at least; minus infinity: that depends on the mapping.
        leak: ``(room,)`` pJ of leakage per cycle that they add.
        cycles: ``(room,)`` cycles that they take at least.
        used: ``(1,)`` how many choices there are.
    """

    agreed: Row
    open_visits: Floats
    choice: Ints
    energy: Floats
    leak: Floats
    cycles: Floats
    used: Ints


@by_address
class Scratch(NamedTuple):
    """What a step is at, allocated once.

    Attributes:
        entered: the partial mapping whose loops at a level are being chosen; but for the key, it shares ``row``.
        row: the one that comes of it.
        loops: ``(5, dims)`` per dimension the size of the tile, of the tile inside, the factor in between, and which
            divisors the first and the last of these are; fields from ``SIZE`` on.
        window: ``(4, axes)`` how far a sliding tensor's tile has moved along each axis, its first displacement, the one
            now, and its extent; fields from ``MOVED`` on.
        met: ``(tensors,)`` the axis along which the loops so far move a tensor: 0 for none, -1 when it is settled.
        prices: ``(9, tensors)`` what a visit's words cost; fields as in `dovetail.mapper.exact.bounds`.
        menu: the choices of loops.
    """

    entered: Row
    row: Row
    loops: Ints
    window: Ints
    met: Ints
    prices: Floats
    menu: Menu


SIZE, INSIDE, BY, SIZE_PLACE, CHOICE = range(5)
MOVED, FIRST, NOW, EXTENT = range(4)


class Widths(NamedTuple):
    """How many places key, value and path have."""

    key: int
    value: int
    path: int

    @staticmethod
    def of(tensors: int, levels: int, dims: int, chain: int, bounded: int) -> Widths:
        """Return them for so many tensors, levels, dims, loops in a chain and levels of bounded bandwidth."""
        keys = PER_TENSOR + KEY_FIELDS * tensors + CHAIN_FIELDS * chain
        return Widths(keys, TRAFFIC + 2 * bounded, levels * (1 + PATH_FIELDS * dims) + 1)


def empty_row(widths: Widths, tensors: int) -> Row:
    """Allocate a row."""
    return Row(
        np.zeros(widths.key, np.int64),
        np.zeros((REAL_FIELDS, tensors)),
        np.zeros(widths.value),
        np.zeros(widths.path, np.int32),
    )


def scratch(widths: Widths, tensors: int, axes: int, dims: int, choices: int) -> Scratch:
    """Allocate scratch arrays; ``choices``: that a level may have."""
    row = empty_row(widths, tensors)
    menu = Menu(
        empty_row(widths, tensors),
        np.zeros(tensors),
        np.empty(choices, np.int64),  # memory is taken only as far as it is written to
        np.empty(choices),
        np.empty(choices),
        np.empty(choices),
        np.zeros(1, np.int64),
    )
    return Scratch(
        row._replace(key=np.zeros(widths.key, np.int64)),
        row,
        np.zeros((5, dims), np.int64),
        np.zeros((4, axes), np.int64),
        np.zeros(tensors, np.int64),
        np.zeros((9, tensors)),
        menu,
    )


@part(inline=True)
def of_tensor(field: int, tensor: int, tensors: int) -> int:
    """Return where a field of a tensor stands in a key."""
    return PER_TENSOR + field * tensors + tensor


@part(inline=True)
def chain_start(tensors: int) -> int:
    """Return where the chain begins in a key."""
    return PER_TENSOR + KEY_FIELDS * tensors


@part(inline=True)
def path_at(level: int, field: int, place: int, dims: int) -> int:
    """Return where a decision of a level stands in a path."""
    return level * (1 + PATH_FIELDS * dims) + 1 + field * dims + place


@part(inline=True)
def kept_at(level: int, dims: int) -> int:
    """Return where the tensors that a level keeps stand in a path."""
    return level * (1 + PATH_FIELDS * dims)


@part()
def copy_row(rows: Rows, at: int, row: Row) -> None:
    """Copy one of the rows."""
    copy_to(rows.key[at], row.key)
    for field in range(REAL_FIELDS):
        copy_to(rows.real[at, field], row.real[field])
    copy_to(rows.value[at], row.value)
    copy_to(rows.path[at], row.path)


@part()
def copy_to(source: NDArray[np.generic], target: NDArray[np.generic]) -> None:
    """Copy one row of one array."""
    for i in range(source.shape[0]):
        target[i] = source[i]
