"""Of partial mappings with the same future, those that no other beats stay: rows merged as they come."""

from __future__ import annotations

import numpy as np

from dovetail.mapper.exact.rows import (
    ALIVE,
    BY_DOMINANCE,
    COUNTERS,
    IN_USE,
    REAL_FIELDS,
    Row,
    Rows,
    Table,
    Widths,
    copy_to,
)
from dovetail.model.arrays import Floats, Ints
from dovetail.model.compile import jit_plain, part

#: Of so many places in a table one is kept for rows that others beat: it counts as full before living ones fill it, so
#: that there is always something to gain where it is cleared of the others.
SPARE = 16


def table_for(rows: Rows, stats: Ints | None = None) -> Table:
    """Return a table for so many rows, none in use."""
    room = len(rows.bound)
    return Table(
        rows,
        next=np.full(room, -1, np.int64),
        alive=np.full(room, -1, np.int64),
        first=np.full(2 * room + 1, -1, np.int64),
        used=np.zeros(2, np.int64),
        stats=np.zeros(COUNTERS, np.int64) if stats is None else stats,
    )


def room_for(count: int, widths: Widths, tensors: int) -> Rows:
    """Allocate so many rows."""
    return Rows(
        np.empty((count, widths.key), np.int64),
        np.empty((count, REAL_FIELDS, tensors)),
        np.empty((count, widths.value)),
        np.empty((count, widths.path), np.int32),
        np.empty(count),
    )


@part()
def hash_of(key: Ints, real: Floats, slots: int) -> int:
    """Return a slot for what a partial mapping's future depends on."""
    h = np.uint64(1469598103934665603)
    for i in range(key.shape[0]):
        h = (h ^ np.uint64(key[i])) * np.uint64(1099511628211)
    for field in range(real.shape[0]):
        for tensor in range(real.shape[1]):
            h = (h ^ np.uint64(int(real[field, tensor] * 64.0))) * np.uint64(1099511628211)
    h = h ^ (h >> np.uint64(29))
    return int(h % np.uint64(slots))


@part()
def same_future(rows: Rows, other: int, row: Row) -> bool:
    """Return whether another row's future is the same."""
    for i in range(row.key.shape[0]):
        if rows.key[other, i] != row.key[i]:
            return False
    for field in range(row.real.shape[0]):
        for tensor in range(row.real.shape[1]):
            if rows.real[other, field, tensor] != row.real[field, tensor]:
                return False
    return True


@part()
def is_beaten(table: Table, slot: int, row: Row) -> bool:
    """Return whether a row of the same future costs no more; strike out those that cost no less."""
    values, other = table.rows.value, table.first[slot]
    while other >= 0:
        if table.alive[other] and same_future(table.rows, other, row):
            worse, better = True, True
            for i in range(row.value.shape[0]):
                worse = worse and values[other, i] <= row.value[i]
                better = better and row.value[i] <= values[other, i]
            if worse or better:
                table.stats[BY_DOMINANCE] += 1
            if worse:
                return True
            if better:
                table.alive[other] = 0
                table.used[ALIVE] -= 1
        other = table.next[other]
    return False


@part()
def is_crowded(table: Table) -> bool:
    """Return whether a table is full of rows that are alive; unlike free places, these tell nothing of its past."""
    full: bool = SPARE * table.used[ALIVE] >= (SPARE - 1) * table.alive.shape[0]
    return full


@part()
def offer(table: Table, row: Row, bound: float, merge: bool) -> bool:
    """Add a row unless one of equal future costs no more; strike out those that it beats. False: no room left.

    Without ``merge`` it is added whatever the others cost.
    """
    used = table.used[IN_USE]
    if used == table.alive.shape[0] or is_crowded(table):
        return False
    slot = hash_of(row.key, row.real, table.first.shape[0])
    if merge and is_beaten(table, slot, row):
        return True
    rows = table.rows
    copy_to(row.key, rows.key[used])
    for field in range(row.real.shape[0]):
        copy_to(row.real[field], rows.real[used, field])
    copy_to(row.value, rows.value[used])
    copy_to(row.path, rows.path[used])
    rows.bound[used] = bound
    table.next[used] = table.first[slot]
    table.alive[used] = 1
    table.first[slot] = used
    table.used[IN_USE] = used + 1
    table.used[ALIVE] += 1
    return True


@jit_plain
def enlist(table: Table, used: int) -> None:
    """Fill an empty table's chains for ``used`` rows that are all alive."""
    for row in range(used):
        slot = hash_of(table.rows.key[row], table.rows.real[row], table.first.shape[0])
        table.next[row] = table.first[slot]
        table.alive[row] = 1
        table.first[slot] = row
    table.used[:] = used
