"""Draws a network's slope: the least DRAM traffic against the room on the chip, and where designs stand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dovetail.report.svg import Line, line_chart
from dovetail.traffic.bounds import Bound
from dovetail.traffic.distance import Distance

#: Steps of a slope that are drawn; more cannot be told apart.
_DRAWN = 300


def slope_picture(bound: Bound, designs: Sequence[Distance] = ()) -> str:
    """Return the slope as SVG, both axes logarithmic; designs as points above their rooms, those with a bounded one."""
    rooms = bound.room_bytes.tolist()
    shown = rooms[:: max(1, len(rooms) // _DRAWN)]
    shown += [rooms[-1], rooms[-1] * 2]
    steps: list[tuple[float, float]] = []
    for room in dict.fromkeys(shown):
        moved = bound.traffic_bytes(room) / 1e6
        if steps:
            steps.append((room / 1e3, steps[-1][1]))
        steps.append((room / 1e3, moved))
    lines = [Line("least", steps)]
    there = [each for each in designs if math.isfinite(each.room_bytes)]
    if there:
        points = [(each.room_bytes / 1e3, each.moved_bytes / 1e6) for each in there]
        lines.append(Line("designs", points, [each.cost.architecture.name for each in there], dots=True))
    title = f"{bound.network.name}, batch {bound.network.batch}: least DRAM traffic"
    return line_chart(title, "room on the chip (kB)", "moved to and from DRAM (MB)", lines, logarithmic=True)
