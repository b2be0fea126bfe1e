"""A slow and literal restatement of the reference's counting, to hold the model's closed forms against.

Nothing is shared with `dovetail.model`: the nest is walked loop by loop, tiles are sets of boxes that are subtracted
from each other, children are compared one by one, and traffic is kept in a table by (receivers of a word, number of
such groups). What is restated, file by file of NVlabs/timeloop: ``loop-analysis/nest-analysis.cpp`` (`NestWalk`),
``point-set-multi-aahr.cpp``, ``point-set-aahr.cpp`` and ``operation-space.cpp`` (boxes), ``tiling.cpp`` (`traffic`),
``model/buffer.cpp``, ``network-legacy.cpp`` and ``topology.cpp`` (`walk`).

Here, as there, levels and loops are listed from inner to outer; level 0 is the one directly outside of compute.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Mapping
from dovetail.model.witness_widths import Room, computing, room
from dovetail.workload.problem import Problem, Tensor

Point = tuple[int, ...]
Box = tuple[Point, Point]  # lowest corner, and one past the highest
Records = dict[tuple[int, int], float]  # (receivers, groups) -> words sent


@dataclass
class Loop:
    """One loop of the flat nest. ``end`` marks the outermost loop of a level, ``master`` the outermost spatial one.

    Its last pass, where all loops over the dimension outside of it are at their last iteration, makes ``last``.
    """

    dimension: str
    factor: int
    last: int
    axis: str  # t, x or y
    level: int
    end: bool = False
    master: bool = False


@dataclass
class State:
    """What one loop remembers between visits, and what it has counted."""

    tile: list[Box] = field(default_factory=list)
    translation: Point | None = None
    received: dict[int, list[Box]] = field(default_factory=dict)
    largest: int = 0
    records: Records = field(default_factory=dict)
    hops: Records = field(default_factory=dict)  # (receivers, groups) -> words times hops
    linked: int = 0


def size(boxes: list[Box]) -> int:
    """Return the points in a set of boxes."""
    return sum(math.prod(b - a for a, b in zip(low, high, strict=True)) for low, high in boxes)


def moved(boxes: list[Box], by: Point) -> list[Box]:
    """Return the boxes in another place."""
    return [(_add(low, by), _add(high, by)) for low, high in boxes]


def _centre(box: Box) -> tuple[float, ...]:
    return tuple(low + (high - 1 - low) / 2 for low, high in zip(*box, strict=True))


def _rounded(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _add(point: Point, by: Point) -> Point:
    return tuple(a + b for a, b in zip(point, by, strict=True))


def without(boxes: list[Box], other: list[Box]) -> list[Box]:
    """Return what of the boxes lies outside of the others, cut axis by axis as the reference cuts it."""
    for box in other:
        boxes = [piece for each in boxes for piece in _cut(each, box)]
    return boxes


def _cut(box: Box, other: Box) -> Iterator[Box]:
    low, high = list(box[0]), list(box[1])
    if any(h <= b or t <= a for a, h, b, t in zip(*box, *other, strict=True)):
        yield box
        return
    for axis, (first, last) in enumerate(zip(*other, strict=True)):
        if low[axis] < first:
            yield tuple(low), (*high[:axis], first, *high[axis + 1 :])
            low[axis] = first
        if last < high[axis]:
            yield (*low[:axis], last, *low[axis + 1 :]), tuple(high)
            high[axis] = last


def flat_nest(mapping: Mapping, architecture: Architecture, last_dimension: str) -> list[Loop]:
    """Return all loops that do anything, inner to outer; a level ends in an empty loop where it has none over time."""
    loops: list[Loop] = []
    for index, level in enumerate(reversed(architecture.levels[:-1])):
        entry = mapping[level.name]
        inner = _loops(entry, "x", index) + _loops(entry, "y", index)
        outer = _loops(entry, "t", index) or [Loop(last_dimension, 1, 1, "t", index)]
        if inner:
            inner[-1].master = True
        outer[-1].end = True
        loops += inner + outer
    return loops


def _loops(entry: LevelMapping, axis: str, level: int) -> list[Loop]:
    given = {"x": entry.spatial_x, "y": entry.spatial_y, "t": entry.temporal}[axis]
    return [Loop(loop.dimension, loop.factor, loop.last, axis, level) for loop in reversed(given) if loop.factor > 1]


class NestWalk:
    """The walk of one tensor's tiles through the nest: after it, ``states`` holds every loop's counts."""

    def __init__(self, problem: Problem, tensor: Tensor, loops: list[Loop], levels: list[Level]) -> None:
        """Walk the whole nest."""
        self.problem, self.tensor, self.loops, self.levels = problem, tensor, loops, levels
        self.states = [State() for _ in loops]
        self.offset = dict.fromkeys(problem.shape.dimensions, 0)
        self.epochs = 1
        self.strides: list[dict[str, int]] = []  # per loop: what one step of each dimension amounts to
        self.spans: list[dict[str, int]] = []  # per loop: how far each dimension reaches inside and including it
        self.short_spans: list[dict[str, int]] = []  # the same in the last pass
        self.indices = [0] * len(loops)
        self.innermost_imperfect: dict[str, int] = {}
        self.runs: dict[int, int] = {}  # per child directly above compute (0: no fan-out there): executions
        span, short = dict.fromkeys(problem.shape.dimensions, 1), dict.fromkeys(problem.shape.dimensions, 1)
        for at, loop in enumerate(loops):
            self.strides.append(dict(span))
            short[loop.dimension] += span[loop.dimension] * (loop.last - 1)
            span[loop.dimension] *= loop.factor
            self.spans.append(dict(span))
            self.short_spans.append(dict(short))
            if loop.last != loop.factor:
                self.innermost_imperfect.setdefault(loop.dimension, at)
        self.visit(len(loops) - 1)

    def project(self, point: dict[str, int]) -> Point:
        """Return where in the tensor a point of the problem lies."""
        return tuple(
            sum(self.problem.coefficient(term) * point[term.dimension] for term in axis)
            for axis in self.tensor.projection
        )

    def working_set(self, at: int) -> list[Box]:
        """Return the tile of the loops inside and including one, where the loops outside stand now."""
        reach = {d: (self.short_spans if self.at_last(at + 1, d) else self.spans)[at][d] for d in self.offset}
        low = self.project(self.offset)
        high = self.project({d: self.offset[d] + reach[d] - 1 for d in self.offset})
        return [(low, tuple(h + 1 for h in high))]

    def at_last(self, start: int, dimension: str) -> bool:
        """Return whether all loops over a dimension from one on outwards are at their last iteration."""
        outside = zip(self.loops[start:], self.indices[start:], strict=True)
        return all(index + 1 >= loop.last for loop, index in outside if loop.dimension == dimension)

    def iterations(self, at: int) -> int:
        """Return how many iterations a loop makes where the loops outside of it stand now."""
        loop = self.loops[at]
        return loop.last if self.at_last(at + 1, loop.dimension) else loop.factor

    def lists(self, at: int, kind: str, name: str) -> bool:
        """Return whether the constraints of a loop's level list the tensor."""
        constraints = getattr(self.levels[self.loops[at].level].constraints, kind)
        listed = getattr(constraints, name)
        return self.tensor.name in listed or "*" in listed

    def visit(self, at: int) -> list[Box]:
        """Run a loop once; returns what of its tile was not there when it last ran."""
        if self.loops[at].axis == "t":
            self.run_over_time(at)
        else:
            self.run_over_space(at)
        tile = self.working_set(at)
        self.states[at].largest = max(self.states[at].largest, size(tile))
        if self.lists(at, "temporal", "no_reuse"):
            return tile
        return self.fresh(self.states[at], tile)

    @staticmethod
    def fresh(state: State, tile: list[Box]) -> list[Box]:
        """Subtract the last tile, unless this one has moved in another way than that one had."""
        before, state.tile = state.tile, tile
        if not before:
            return tile
        translation = tuple(_rounded(b - a) for a, b in zip(_centre(before[0]), _centre(tile[0]), strict=True))
        if any(translation):
            if state.translation is not None and state.translation != translation:
                state.translation = None
                return tile
            state.translation = translation
        return without(tile, before)

    def run_over_time(self, at: int) -> None:
        """Visit iterations 0 and 1; what 1 costs stands for all further ones, unless the last one is visited, too."""
        loop, records, count = self.loops[at], self.states[at].records, self.iterations(at)
        if at == 0:
            records[1, 1] = records.get((1, 1), 0) + count * self.epochs
            self.runs[0] = self.runs.get(0, 0) + count * self.epochs
            return
        run_last = self.at_last(at + 1, loop.dimension) and self.innermost_imperfect.get(loop.dimension, at) < at
        before_last = run_last and loop.last != loop.factor
        sizes: list[int] = []
        scales: list[int] = []
        here = self.offset[loop.dimension]

        def run(times: int, *, counted: bool = True) -> None:
            self.epochs *= times
            words = size(self.visit(at - 1))
            self.epochs //= times
            if counted:
                sizes.append(words)
                scales.append(times)
            else:
                scales[-1] += 1
            self.indices[at] += times
            self.offset[loop.dimension] += times * self.strides[at][loop.dimension]

        self.indices[at] = 0
        run(1)
        if count >= 2 + run_last + before_last:
            run(count - 1 - run_last - before_last)
        if before_last and count >= 3:
            run(1, counted=count < 4)
        if run_last and count >= 2:
            run(1, counted=before_last or count < 3)
        self.offset[loop.dimension] = here
        if self.loops[at - 1].end:
            words = sum(delta * times for delta, times in zip(sizes, scales, strict=True))
            records[1, 1] = records.get((1, 1), 0) + words * self.epochs

    def run_over_space(self, at: int) -> None:
        """Find what every child needs, and count it with multicast alone, or with links where they spare words."""
        children, state = self.children(at), self.states[at]
        (chosen, hops) = self.multicast(at, children, set(children))
        linked = self.linked(at, children)
        spared, spared_hops = self.multicast(at, children, set(children) - linked)
        if sum(spared.values()) < sum(chosen.values()):
            chosen, hops = spared, spared_hops
            state.linked += sum(size(children[child]) for child in linked) * self.epochs
        state.received = children
        for key, words in chosen.items():
            state.records[key] = state.records.get(key, 0) + words
            state.hops[key] = state.hops.get(key, 0) + hops[key]

    def children(self, at: int) -> dict[int, list[Box]]:
        """Return the delta of every child by its running number; only the first child is walked, the others moved."""
        innermost = at
        while innermost >= 0 and self.loops[innermost].axis != "t":
            innermost -= 1
        innermost += 1
        spatial = range(at, innermost - 1, -1)
        counts = []
        for i in spatial:
            self.indices[i] = 0
            counts.append(self.iterations(i))
        if innermost > 0:
            first = self.visit(innermost - 1)
        else:
            low = self.project(self.offset)
            first = [(low, tuple(a + 1 for a in low))]
        children = {}
        for indices in product(*(range(count) for count in counts)):
            number, move = 0, dict.fromkeys(self.offset, 0)
            for i, index, count in zip(spatial, indices, counts, strict=True):
                number = number * count + index
                move[self.loops[i].dimension] += index * self.strides[i][self.loops[i].dimension]
            children[number] = moved(first, self.project(move))
            if innermost == 0:
                self.runs[number] = self.runs.get(number, 0) + self.epochs
        return children

    def multicast(self, at: int, children: dict[int, list[Box]], chosen: set[int]) -> tuple[Records, Records]:
        """Return what must be sent so that the chosen children have theirs, equal deltas once, and the hops of it."""
        alone = self.lists(at, "spatial", "no_reuse")
        groups: dict[Any, list[int]] = {}
        for child in sorted(chosen):
            groups.setdefault(child if alone else tuple(sorted(children[child])), []).append(child)
        by_receivers: dict[int, list[tuple[int, float]]] = {}
        for members in groups.values():
            words = size(children[members[0]])
            if words > 0:
                by_receivers.setdefault(len(members), []).append((words * self.epochs, self.hops(at, members)))
        records: Records = {}
        hops: Records = {}
        for receivers, sent in by_receivers.items():
            key = (receivers, len(sent))
            records[key] = sum(words for words, _ in sent)
            hops[key] = records[key] * sum(length for _, length in sent) / len(sent)
        return records, hops

    def hops(self, at: int, members: list[int]) -> float:
        """Return the hops from the middle of the grid's left edge to some children: along X, then up and down."""
        level = self.levels[self.loops[at].level]
        assert isinstance(level, Spatial)
        centre = (level.fanout_y - 1) / 2
        columns: dict[int, list[int]] = {}
        for member in members:
            columns.setdefault(member % level.fanout_x, []).append(member // level.fanout_x)
        length = float(max(columns))
        for rows in columns.values():
            length += max(0.0, centre - min(rows)) + max(0.0, max(rows) - centre)
        return length

    def linked(self, at: int, children: dict[int, list[Box]]) -> set[int]:
        """Return the children of which a neighbour on the physical grid received, last time, what they need now."""
        if self.lists(at, "spatial", "no_link_transfer"):
            return set()
        level = self.levels[self.loops[at].level]
        assert isinstance(level, Spatial)
        before, found = self.states[at].received, set()
        for y, x in product(range(level.fanout_y), range(level.fanout_x)):
            here = y * level.fanout_x + x
            for other_x, other_y in ((x, y - 1), (x, y + 1), (x - 1, y), (x + 1, y)):
                if not (0 <= other_x < level.fanout_x and 0 <= other_y < level.fanout_y):
                    continue
                there = other_y * level.fanout_x + other_x
                if here not in children or there not in before or size(children[here]) == 0:
                    continue
                if sorted(children[here]) == sorted(before[there]):
                    found.add(here)
        return found


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


def nearest(value: float) -> int:
    """Round as C does: halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def traffic(nest: NestWalk, keep: list[bool]) -> list[Tile]:
    """Collapse a walked nest to one tile per level, inner to outer, and pass the traffic of unkept tiles outwards."""
    tiles = list(_collapsed(nest))
    for inner, outer in pairwise(tiles):
        for receivers, groups in sorted(outer.records):
            inner.share += outer.records[receivers, groups] * receivers / outer.fanout
    _mask(tiles, keep)
    for inner, outer in pairwise(tiles):
        if outer.linked:
            inner.peers = outer.linked / inner.instances
    for index, tile in enumerate(tiles):
        if keep[index]:
            elided = not nest_reads_first(nest, index)
            _count(tile, nest.tensor.is_output, elided=elided, outermost=index == len(tiles) - 1)
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
    for index, tile in enumerate(tiles):
        if keep[index]:
            continue
        outer = tiles[index + 1]
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


def walk(mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable) -> dict[str, Any]:
    """Return what the mapping costs, as nested plain data with the names of `dovetail.model.cost`; no check is made.

    ``overflow`` names the innermost level that does not hold its tiles, or is None.
    """
    levels = list(reversed(architecture.levels[:-1]))
    loops = flat_nest(mapping, architecture, problem.shape.dimensions[-1])
    walks = {tensor.name: NestWalk(problem, tensor, loops, levels) for tensor in problem.shape.tensors}
    tiles = {
        name: traffic(nest, [name in mapping[level.name].keep for level in levels]) for name, nest in walks.items()
    }
    steps = math.prod(loop.factor for loop in loops if loop.axis == "t")
    computes = executions(next(iter(walks.values())))
    found: dict[str, Any] = {"levels": {}, "networks": {}, "overflow": None, "computes": computes}
    for index, level in enumerate(levels):
        kept = {name: column[index] for name, column in tiles.items() if name in mapping[level.name].keep}
        rooms = {tensor.name: room(level, tensor, problem, architecture) for tensor in problem.shape.tensors}
        found["levels"][level.name] = _level(level, kept, rooms, energies, steps)
        if isinstance(level, Storage) and level.words is not None and found["overflow"] is None:
            held = sum(tile.size * rooms[name].words for name, tile in kept.items())
            if held > math.floor(level.words / level.multiple_buffering):
                found["overflow"] = level.name
        names = [lv.name for lv in architecture.levels]
        inner = names[names.index(level.name) + 1]
        found["networks"][f"{level.name} <==> {inner}"] = {
            tensor.name: _network(level, tiles[tensor.name][index], tensor.is_output, architecture, energies)
            for tensor in problem.shape.tensors
        }
        for links, width in zip(
            found["networks"][f"{level.name} <==> {inner}"].values(),
            (room(next(lv for lv in levels[index:] if isinstance(lv, Storage)), tensor, problem, architecture).words
             for tensor in problem.shape.tensors),
            strict=True,
        ):  # fmt: skip
            links["energy_pJ"] *= float(width)
    found["cycles"] = max(steps, *(entry["cycles"] for entry in found["levels"].values()))
    energy = computes * (energies[architecture.compute.name].energy("compute") * computing(problem, architecture))
    for index, level in enumerate(levels):
        entry, instances = found["levels"][level.name], next(iter(tiles.values()))[index].instances
        leaks = isinstance(level, Storage) and level.line_pJ is None
        leak = energies[level.name].energy("leak") if leaks else 0.0
        entry["leakage_pJ"] = leak * found["cycles"] * instances
        energy += entry["leakage_pJ"]
        energy += sum(tensor["energy_pJ"] + tensor["address_pJ"] for tensor in entry["tensors"].values())
    energy += sum(link["energy_pJ"] for links in found["networks"].values() for link in links.values())
    found["energy_pJ"] = energy
    return found


def _level(
    level: Level, kept: dict[str, Tile], rooms: dict[str, Room], energies: EnergyTable, steps: int
) -> dict[str, Any]:
    """Return a level's cycles and the counts of the tensors that it keeps."""
    tensors = {name: _tensor(level, tile, rooms[name], energies) for name, tile in kept.items()}
    again = [
        math.ceil(tile.reads / (tile.most / tile.instances)) * float(rooms[name].again - rooms[name].words)
        for name, tile in kept.items()
    ]
    read = _in_order(
        (math.ceil(tile.reads / (tile.most / tile.instances)) * float(rooms[name].words) + more) / steps
        for (name, tile), more in zip(kept.items(), again, strict=True)
    )
    write = _in_order(
        (math.ceil((tile.fills + tile.updates) / (tile.most / tile.instances)) * float(rooms[name].words) + more)
        / steps
        for (name, tile), more in zip(kept.items(), again, strict=True)
    )
    slowdown = 1.0
    if isinstance(level, Storage):
        for bandwidth, wanted in (
            (level.read_bandwidth, read),
            (level.write_bandwidth, write),
            (level.shared_bandwidth, read + write),
        ):
            if bandwidth is not None and bandwidth < wanted:
                slowdown = min(slowdown, bandwidth / wanted)
    return {"tensors": tensors, "cycles": math.ceil(steps / slowdown), "throttling": slowdown}


def _in_order(shares: Iterable[float]) -> float:
    """Return a sum that is rounded at every step, as the model's is: Python's `sum` is not from 3.12 on."""
    return functools.reduce(operator.add, shares, 0.0)


def _tensor(level: Level, tile: Tile, room: Room, energies: EnergyTable) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tile": tile.size,
        "partition": tile.partition,
        "instances": tile.instances,
        "reads": tile.reads,
        "fills": tile.fills,
        "updates": tile.updates,
        "temporal_reductions": tile.reductions,
        "address_generations": math.ceil((tile.fills + (tile.updates or tile.reads)) * room.words),
        "energy_pJ": 0.0,
        "address_pJ": 0.0,
    }
    if isinstance(level, Storage):
        line = 0.0
        for action, words in (("read", tile.reads), ("write", tile.fills), ("update", tile.updates)):
            each = energies[level.name].energy(action) if level.line_pJ is None else level.line_pJ
            if action == "read" and room.again > room.words:  # and written so wide before
                update = energies[level.name].energy("update") if level.line_pJ is None else level.line_pJ
                each += float(room.again - room.words) / float(room.words) * (each + update)
            line += math.ceil(words * room.words / level.block) * each
        clusters = min(tile.most, level.instances // level.cluster_size)
        found["energy_pJ"] = line / (tile.most / clusters) * tile.instances
        found["address_pJ"] = found["address_generations"] * level.address_pJ * clusters
    return found


def _network(
    level: Level, tile: Tile, is_output: bool, architecture: Architecture, energies: EnergyTable
) -> dict[str, Any]:
    reductions = 0
    for receivers, groups in sorted(tile.records):
        if is_output:
            reductions = int(reductions + (receivers - 1) * tile.records[receivers, groups])
    return {
        "fanout": tile.fanout,
        "multicast_factor": max(receivers for receivers, _ in tile.records),
        "ingresses": total(tile.records),
        "link_transfers": int(tile.linked),
        "spatial_reductions": reductions,
        "energy_pJ": _network_energy(level, tile, architecture, energies),
    }


def _network_energy(level: Level, tile: Tile, architecture: Architecture, energies: EnergyTable) -> float:
    wires = level.wires
    if wires is None:
        return 0.0
    hop = wires.hop_pJ
    if hop is None:
        width = wires.tile_width_um
        if width is None:
            width, inside = 0.0, architecture.levels[architecture.levels.index(level) + 1 :]
            for each in inside:  # an instance of the level right inside, with all that lies in it
                width += energies[each.name].area_um2 * each.instances / inside[0].instances
            width = math.sqrt(width)
        hop = wires.word_bits * width / 1000 * wires.wire_pJ
    travelled, touched, ingresses = 0.0, 0, 0.0
    for key in sorted(tile.records):
        words = tile.records[key]
        if words > 0:
            hops = tile.hops.get(key, 0.0) / words
            touched = int(touched + (1 + math.floor(hops)) * words)
            travelled += hops * words
            ingresses += words
    one = travelled * hop + touched * wires.router_pJ + ingresses * wires.ingress_pJ
    return (one + int(tile.linked) * (hop + 2 * wires.router_pJ)) * tile.instances
