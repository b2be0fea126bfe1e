"""The room along the axes of fan-outs, and how dimensions may share it out, whether they divide or not."""

from __future__ import annotations

import math

import numpy as np

from dovetail.mapper.limits import AXIS, IS_FANOUT, MOST, ON_X, ON_Y, ROOM_X, ROOM_Y
from dovetail.mapper.mapspace import Mapspace

#: Rooms left on the axes of all fan-outs that are told apart; where there may be more, sizes are taken to divide.
MOST_ROOMS = 20_000


def may_lie(space: Mapspace, level: int, d: int, axis: int) -> bool:
    """Return whether a dimension may have a factor above 1 along an axis of a fan-out."""
    loops, room = space.limits.loops[level, d], space.limits.levels[level, ROOM_X if axis == ON_X else ROOM_Y]
    return bool(loops[MOST] > 1 and room > 1 and loops[AXIS] != (ON_Y if axis == ON_X else ON_X))


def axes_of(space: Mapspace) -> list[tuple[int, int]]:
    """Return the axes with room, as level and `ON_X` or `ON_Y`."""
    return [
        (level, axis)
        for level in np.flatnonzero(space.limits.levels[:, IS_FANOUT]).tolist()
        for axis in (ON_X, ON_Y)
        if space.limits.levels[level, ROOM_X if axis == ON_X else ROOM_Y] > 1
    ]


def room_of(space: Mapspace) -> tuple[int, ...]:
    """Return the room along each of the axes."""
    return tuple(int(space.limits.levels[level, ROOM_X if axis == ON_X else ROOM_Y]) for level, axis in axes_of(space))


def shares_of(space: Mapspace) -> list[tuple[int, tuple[int, ...]]]:
    """Return ways to share dimensions out over the units: passes over time, all together, and units per dimension.

    Where units are left over in the same way, the way of the fewest passes. None where fan-outs have too many axes.
    """
    room = room_of(space)
    if math.prod(2 * math.isqrt(each) + 1 for each in room) > MOST_ROOMS:
        return []
    ways: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {room: (1, ())}
    for d, bound in enumerate(space.limits.bounds.tolist()):
        shares = shares_by_room(space, d)
        after: dict[tuple[int, ...], tuple[int, tuple[int, ...]]] = {}
        for left, (steps, chosen) in ways.items():
            for used, share in shares.items():
                now = tuple(a // b for a, b in zip(left, used, strict=True))
                if 0 not in now:
                    way = steps * -(-bound // share), (*chosen, share)
                    after[now] = min(after.get(now, way), way)
        ways = after
    return sorted(set(ways.values()))


def shares_by_room(space: Mapspace, d: int) -> dict[tuple[int, ...], int]:
    """Return how many units a dimension may be shared out over, by what that takes along each axis."""
    axes, room, bound = axes_of(space), room_of(space), int(space.limits.bounds[d])
    ways = {(1,) * len(axes): 1}
    for at, (level, axis) in enumerate(axes):
        if not may_lie(space, level, d, axis):
            continue
        most = min(int(space.limits.loops[level, d, MOST]), room[at])
        for used, share in list(ways.items()):
            other = [i for i, (where, _) in enumerate(axes) if where == level and i != at]
            if any(used[i] > 1 for i in other):
                continue  # a dimension lies on one axis of a fan-out
            passes = -(-bound // share)
            for factor in range(2, most + 1):
                if -(-bound // (share * factor)) < passes:  # more units that leave as many passes are of no use
                    ways[(*used[:at], factor, *used[at + 1 :])] = share * factor
                    passes = -(-bound // (share * factor))
    return ways
