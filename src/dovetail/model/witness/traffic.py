"""What a level's tile of one tensor amounts to: sizes, instances, and words read, filled and updated per instance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dovetail.model.witness.boxes import nearest
from dovetail.model.witness.nest import Loop, NestWalk, Records


@dataclass
class Tile:
    """One tensor at one level, in the words of the reference's ``tiling.cpp``; per instance."""

    size: int
    partition: int
    instances: int
    most: int
    fanout: int
    records: Records
    hops: Records
    linked: float
    content: float  # words read out
    share: float = 0.0
    peers: float = 0.0
    reads: int = 0
    fills: int = 0
    updates: int = 0
    reductions: int = 0


def total(records: Records) -> float:
    """Return the words sent."""
    return sum((records[key] for key in sorted(records)), 0.0)


def weighted(records: Records) -> float:
    """Return the words received."""
    return sum((records[key] * key[0] for key in sorted(records)), 0.0)


def traffic(nest: NestWalk, keep: list[bool]) -> list[Tile]:
    """Collapse a walked nest to one tile per level, inner to outer, and pass the traffic of unkept tiles outwards."""
    tiles = list(_collapsed(nest))
    for inner, outer in pairwise(tiles):
        for receivers, groups in sorted(outer.records):
            inner.share += outer.records[receivers, groups] * receivers / outer.fanout
    outermost = max(index for index, kept in enumerate(keep) if kept)
    _mask(tiles, keep[:outermost])
    for tile in tiles[outermost + 1 :]:  # nothing is asked of levels further out
        tile.records, tile.hops, tile.linked, tile.content = {}, {}, 0, 0
    for inner, outer in pairwise(tiles):
        if outer.linked:
            inner.peers = outer.linked / inner.instances
    for index, tile in enumerate(tiles):
        if keep[index]:
            elided = not nest_reads_first(nest, index)
            _count(tile, nest.tensor.is_output, elided=elided, outermost=index == outermost)
    return tiles


def nest_reads_first(nest: NestWalk, level: int) -> bool:
    """Return whether the first update of the tensor at a level also reads."""
    listed = nest.levels[level].constraints.temporal.rmw_first_update
    return nest.tensor.name in listed or "*" in listed


def _collapsed(nest: NestWalk) -> Iterator[Tile]:
    """Yield the tile of every level: sizes of its outermost loop, traffic of its innermost one."""
    most, used = most_in_use(nest.loops), average_in_use(nest.loops)
    tiles: list[Tile] = []
    denominators: list[int] = []
    start = 0
    for at, loop in enumerate(nest.loops):
        if not loop.end:
            continue
        master = next((i for i in range(start, at) if nest.loops[i].master), None)
        inner = start if master is None else master
        if tiles:
            denominators.append(nest.states[inner].largest if master is not None else tiles[-1].size)
        state, fanout = nest.states[inner], 1 if master is None else most[start] // most[at + 1]
        largest = nest.states[at].largest
        tile = Tile(
            largest, 0, int(used[at + 1]), most[at + 1], fanout, state.records, state.hops, state.linked,
            total(state.records),
        )  # fmt: skip
        tiles.append(tile)
        start = at + 1
    partition = nest.problem.touched(nest.tensor) if nest.tensor.is_output else tiles[-1].size
    tiles[-1].partition = partition
    for tile, denominator in reversed(list(zip(tiles[:-1], denominators, strict=True))):
        partition = partition * tile.size // denominator
        tile.partition = partition
    yield from tiles


def most_in_use(loops: list[Loop]) -> list[int]:
    """Return the instances outside of every loop that any pass uses; the last entry is 1, the first is compute's."""
    found = [1]
    for loop in reversed(loops):
        found.append(found[-1] * (1 if loop.axis == "t" else loop.factor))
    return found[::-1]


def average_in_use(loops: list[Loop]) -> list[float]:
    """Return the same on average over the passes."""
    found = [1.0]
    for at in range(len(loops) - 1, -1, -1):
        loop, passes, average = loops[at], 1.0, found[-1]
        for outer in reversed(loops[at + 1 :]):
            if outer.dimension == loop.dimension:
                passes = outer.last + outer.factor * (passes - 1)
        if loop.axis != "t":
            whole = loop.factor == loop.last
            average = average * loop.factor if whole else average * (loop.last + loop.factor * (passes - 1)) / passes
        found.append(average)
    return found[::-1]


def executions(nest: NestWalk) -> int:
    """Return how often the loop body runs: the average over the units that were walked, times all units in use."""
    master = next((i for i, loop in enumerate(nest.loops) if loop.axis == "t"), len(nest.loops))
    inside = math.prod(loop.factor for loop in nest.loops[:master])
    units = int(average_in_use(nest.loops)[master] * inside)
    return int(sum(nest.runs.values()) / len(nest.runs) * units)


def _mask(tiles: list[Tile], keep: list[bool]) -> None:
    for index, kept in enumerate(keep):
        if kept:
            continue
        tile, outer = tiles[index], tiles[index + 1]
        factor = tile.content * outer.fanout / weighted(outer.records)
        outer.records = {key: words * factor for key, words in outer.records.items()}
        outer.linked = 0
        outer.content = total(outer.records)


def _count(tile: Tile, is_output: bool, *, elided: bool, outermost: bool) -> None:
    share = 0.0 if outermost else tile.share
    if not is_output:
        tile.reads, tile.fills = nearest(tile.content + tile.peers), int(share + tile.peers)
        return
    once = tile.partition if elided else 0
    tile.updates = nearest(tile.content)
    tile.reads = tile.reductions = max(0, nearest(tile.content + tile.peers - once))
    tile.fills = max(0, nearest(share + tile.peers - (0 if outermost else once)))
