"""The walk of one tensor's tiles through the loops of a mapping, one by one: what each loop hands on, and to whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from dovetail.hardware.architecture import Architecture, Level, Spatial
from dovetail.mapping.mapping import LevelMapping, Mapping
from dovetail.model.witness.boxes import Box, Point, moved, size, translation, without
from dovetail.workload.problem import Problem, Tensor

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
        step = translation(before[0], tile[0])
        if any(step):
            if state.translation is not None and state.translation != step:
                state.translation = None
                return tile
            state.translation = step
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
