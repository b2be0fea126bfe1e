"""What is left of the axes of fan-outs as one dimension after another takes its share, and tables by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.imperfect.rooms import axes_of, room_of
from dovetail.mapper.imperfect.ways import Ways
from dovetail.mapper.limits import ON_X
from dovetail.mapper.mapspace import Mapspace
from dovetail.model.arrays import Floats, Ints


@dataclass(frozen=True)
class Rooms:
    """All that may be left along the axes of fan-outs. Room 0 is all of it.

    Attributes:
        after: ``(uses, rooms)`` the room left after a use of a room; -1: it has not so much.
    """

    after: Ints

    @staticmethod
    def of(space: Mapspace, ways: Sequence[Ways]) -> tuple[Rooms, list[Ints]]:
        """Return them, and per dimension ``(ways,)`` which use each way makes of a room."""
        axes, whole = axes_of(space), room_of(space)
        takes = [
            np.stack([(each.on_x if axis == ON_X else each.on_y)[:, level] for level, axis in axes], axis=1)
            if axes
            else np.ones((len(each), 0), np.int64)
            for each in ways
        ]
        uses, which = np.unique(np.concatenate(takes), axis=0, return_inverse=True)
        known, rows = {whole: 0}, list[list[int]]()
        pending = [whole]
        for room in pending:  # grows as it goes
            row = []
            for left in (np.array(room, np.int64) // uses).tolist():
                if 0 in left:
                    row.append(-1)
                    continue
                if tuple(left) not in known:
                    known[tuple(left)] = len(known)
                    pending.append(tuple(left))
                row.append(known[tuple(left)])
            rows.append(row)
        after = np.ascontiguousarray(np.array(rows, np.int64).reshape(len(rows), len(uses)).T)
        return Rooms(after), np.split(which.reshape(-1), np.cumsum([len(each) for each in ways])[:-1])

    def table(self, columns: Sequence[tuple[Ints, Floats]], width: int) -> Floats:
        """Return ``(dimensions + 1, rooms, columns)``: of each column the least product over dimensions from one on.

        Args:
            columns: of each dimension which use each way makes of a room, and its ``(ways, columns)``; infinity where
                nothing has room.
            width: how many columns there are.
        """
        found = np.full((len(columns) + 1, self.after.shape[1], width), np.inf)
        found[-1] = 1.0
        for d in range(len(columns) - 1, -1, -1):
            taken, own = columns[d]
            order = np.argsort(taken, kind="stable")
            uses, begins = np.unique(taken[order], return_index=True)
            least = np.minimum.reduceat(own[order], begins, axis=0)
            for use, row in zip(uses.tolist(), least, strict=True):
                left = self.after[use]
                fits = left >= 0
                found[d, fits] = np.minimum(found[d, fits], row * found[d + 1, left[fits]])
        return found
