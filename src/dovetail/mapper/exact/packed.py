"""The completion tables as the search reads them: close together, without what a quicker class of speed beats.

The search looks at a tile's least energies for every choice of loops, so that most of its time would go into waiting
for memory. Of every group of lanes (without reuse, and of every idle set) few classes of speed are left that no quicker
one beats. These take a slot each: the class, then what it costs at every point of the group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.through_loops import GRID, is_met
from dovetail.model.arrays import Ints, Singles
from dovetail.model.compile import jit_plain, part


class Packed(NamedTuple):
    """The tables of all boundaries outside the outermost fan-out.

    Attributes:
        start: ``(boundaries,)`` where a boundary's table begins.
        slots: ``(boundaries,)`` slots of every group of lanes.
        least: all tables ``(sources, places, groups, slots)``, one after the other. A slot has the class of speed, -1
            where there is no further one, and pJ per visit: one for the group without reuse, else one per point of the
            grid.
    """

    start: Ints
    slots: Ints
    least: Singles


@part()
def block(slots: int, sets: int) -> int:
    """Return how many numbers a tile takes."""
    return slots * (2 + sets * (1 + len(GRID)))


def pack(tables: list[Singles]) -> Packed:
    """Return the tables ``(sources, classes, places, lanes)`` of boundaries from the outermost in, packed.

    They are let go of one by one.
    """
    parts, slots = [], []
    while tables:
        table = tables.pop(0)
        sources, _, places, lanes = table.shape
        sets = (lanes - 1) // len(GRID)
        slots.append(int(most_slots(table, sets)))
        part = np.full((sources, places, block(slots[-1], sets)), np.inf, np.float32)
        fill_slots(table, sets, slots[-1], part)
        parts.append(part.ravel())
    start = np.cumsum([0, *(len(part) for part in parts)])[:-1].astype(np.int64)
    return Packed(start, np.array(slots, np.int64), np.concatenate(parts))


@jit_plain
def most_slots(least: Singles, sets: int) -> int:
    """Return how many classes of speed some tile has at most in some group of lanes, and at least one."""
    most, points = 1, (least.shape[3] - 1) // max(1, sets)
    for source in range(least.shape[0]):
        for i in range(least.shape[2]):
            for group in range(1 + sets):
                first, count = 0 if group == 0 else 1 + (group - 1) * points, 0
                for rank in range(least.shape[1]):
                    if is_met(least[source, rank, i], first, 1 if group == 0 else first + points):
                        count += 1
                most = max(most, count)
    return most


@jit_plain
def fill_slots(least: Singles, sets: int, slots: int, packed: Singles) -> None:
    """Fill in `Packed.least` of one boundary, ``(sources, places, block)``; all infinity to begin with."""
    points = (least.shape[3] - 1) // max(1, sets)
    for source in range(least.shape[0]):
        for i in range(least.shape[2]):
            for group in range(1 + sets):
                first, last, at = 0, 1, 0
                if group > 0:
                    first, last = 1 + (group - 1) * points, 1 + group * points
                    at = slots * (2 + (group - 1) * (1 + points))
                width, end = 1 + last - first, at + slots * (1 + last - first)
                for rank in range(least.shape[1]):
                    if is_met(least[source, rank, i], first, last):
                        packed[source, i, at] = rank
                        for lane in range(first, last):
                            packed[source, i, at + 1 + lane - first] = least[source, rank, i, lane]
                        at += width
                while at < end:
                    packed[source, i, at] = -1
                    at += width


@jit_plain
def forget_beaten(least: Singles, sets: int) -> None:
    """Forget, of every tile and group of lanes, the classes that a quicker one beats in all lanes.

    ``least``: ``(sources, classes, places, lanes)``; ``sets``: idle sets.
    """
    sources, classes, places, lanes = least.shape
    points = (lanes - 1) // max(1, sets)
    for source in range(sources):
        for rank in range(1, classes):
            for i in range(places):
                for group in range(1 + sets):
                    first = 0 if group == 0 else 1 + (group - 1) * points
                    last = 1 if group == 0 else first + points
                    if is_met(least[source, rank, i], first, last) and is_beaten(least[source, :, i, first:last], rank):
                        least[source, rank, i, first:last] = np.inf


@part()
def is_beaten(least: Singles, rank: int) -> bool:
    """Return whether a quicker class costs no more in any lane, of ``(classes, lanes)``."""
    for q in range(rank):
        beaten = True
        for lane in range(least.shape[1]):
            if least[q, lane] > least[rank, lane]:
                beaten = False
                break
        if beaten:
            return True
    return False
