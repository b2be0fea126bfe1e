"""The best mapping of any factors, proven, where costs are products over the dimensions.

Every class of orders (`runs`) is searched by branch and bound (`branch`) over the ways to factor each dimension; what
costs no less than a mapping known is left out. Mappings that are left are evaluated by the model, in all their orders.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dovetail.mapper.imperfect.branch import MARGIN, Found, Lists, Path, Rest, Scene, explore
from dovetail.mapper.imperfect.runs import Runs, allowed, left_in_place, runs_of
from dovetail.mapper.imperfect.shares import Rooms
from dovetail.mapper.imperfect.space import evaluated
from dovetail.mapper.imperfect.terms import (
    KEPT,
    STREAM,
    TENSOR,
    Charged,
    Stream,
    Terms,
    is_product,
    known_of,
    parted,
    told_apart,
    words_through,
)
from dovetail.mapper.imperfect.walks import Walk
from dovetail.mapper.imperfect.ways import ways_of
from dovetail.mapper.limits import GENES, IS_FANOUT, ORDER, SPATIAL_ORDER, SPATIAL_X, SPATIAL_Y, TEMPORAL
from dovetail.mapper.mapspace import Crowd, Mapspace, keepers_of, orders_of
from dovetail.mapper.objective import ranks_of
from dovetail.model.arrays import Floats, Ints
from dovetail.model.charges import COUNTS

#: Choices of keepers, and classes of orders of each, that are searched at most.
MOST_KEEPERS, MOST_CLASSES = 16, 2_000
#: Partial choices between two looks at the clock; choices met that are kept until they are evaluated.
STEP, ROOM = 200_000, 2_000
#: Partial choices examined, and mappings evaluated at most; mappings evaluated at a time.
MOST_EXAMINED, MOST_MAPPINGS, BATCH = 20_000_000, 60_000, 4096
#: Bytes that a way to factor a dimension takes, about.
WAY = 4_000
#: How often ways that alone are too costly are taken out, as that makes others so.
ROUNDS = 3


@dataclass(frozen=True)
class Proven:
    """How far a proof has come.

    Attributes:
        best: the best mapping known, first of its crowd; None: none is.
        examined: choices of factors examined, whole or in part, and those that alone were too costly.
        evaluated: mappings evaluated.
        is_whole: no mapping is better.
    """

    best: Crowd | None
    examined: int
    evaluated: int
    is_whole: bool


def prove(space: Mapspace, known: Crowd | None, is_over: Callable[[], bool], room: float) -> Proven | None:
    """Return the best mapping met, and whether it is the best; None where costs are no products, or ways too many.

    Args:
        space: the mapspace.
        known: a mapping, the first of its crowd; None: none is known.
        is_over: tells whether time is up.
        room: bytes that may be filled.
    """
    place, keepers = left_in_place(space), keepers_of(space)
    if place is None or not is_product(space) or len(keepers) > MOST_KEEPERS:
        return None
    walks: list[Walk] = []
    for d in range(len(space.limits.bounds)):
        ways = ways_of(space, d, is_over)
        if ways is None or sum(len(walk.ways) for walk in walks) + len(ways) > room / WAY:
            return None
        walks.append(Walk.of(ways))
    if not all(len(walk.ways) for walk in walks):
        return Proven(known, 0, 0, is_whole=True)  # no mapping has a tile that fits
    classes: list[tuple[Charged, Runs]] = []
    for keep in keepers:
        for runs in runs_of(space, place, told_apart(space, keep), parted(space, keep)):
            if len(classes) == MOST_CLASSES:
                return None
            classes.append((Charged.of(space, keep), runs))
    work = _Proof(space, place, walks, None if known is None else known.best(1), is_over)
    is_whole = all(work.search(*each) for each in classes)
    return Proven(work.known, work.examined + work.too_costly, work.evaluated, is_whole)


@dataclass
class _Proof:
    space: Mapspace
    place: list[int]
    walks: list[Walk]
    known: Crowd | None
    is_over: Callable[[], bool]

    def __post_init__(self) -> None:
        self.examined = self.evaluated = self.too_costly = 0
        self.order = sorted(range(len(self.walks)), key=lambda d: -len(self.walks[d].ways))
        self.rooms, self.taken = Rooms.of(self.space, [walk.ways for walk in self.walks])
        self.columns: dict[tuple[object, ...], tuple[Floats, Floats]] = {}
        levels, tensors = len(self.space.limits.levels), len(self.space.rules.is_output)
        self.used = [walk.in_use() for walk in self.walks]
        self.full = [walk.at_most_in_use() for walk in self.walks]
        self.steps = [walk.ways.over_time.prod(axis=1) for walk in self.walks]
        self.uneven = [(walk.ways.last_space != walk.ways.in_space).any(axis=1) for walk in self.walks]
        self.loose = [np.any([walk.may_stand(level) for level in range(levels - 1)], axis=0) for walk in self.walks]
        steps = self.space.rules.coefficients.sum(axis=1)
        held = [walk.held(bound) for walk, bound in zip(self.walks, self.space.limits.bounds.tolist(), strict=True)]
        self.tile, self.together, self.sizes = (
            [
                np.stack([1 + steps[t, d] * (held[d][which] - 1) for t in range(tensors)], axis=2)
                for d in range(len(self.walks))
            ]
            for which in range(3)
        )
        self.own = []
        for tile, together in zip(self.tile, self.together, strict=True):
            share = np.ones(tile.shape)
            share[:, 1:] = np.cumprod(tile / together, axis=1)[:, :-1]
            self.own.append(share)

    @property
    def goal(self) -> float:
        return math.inf if self.known is None else float(self.known.rank[0, 0])

    def search(self, charged: Charged, runs: Runs) -> bool:
        """Search one class; returns whether it came to its end."""
        if self.is_over():
            return False
        listed = self._listed(charged, runs)
        if listed is None:
            return True
        chosen, scene = listed
        found = self._run(chosen, scene)
        if found is None:
            return False
        if found.goal[1] < math.inf:  # what costs just that, but for rounding, is the best of its class
            self._evaluate(chosen, scene, found.best[None])
            if self.goal > found.goal[0] * (1 + MARGIN):
                return self._run(chosen, scene._replace(is_exact=False)) is not None
        return True

    def _run(self, chosen: list[Ints], scene: Scene) -> Found | None:
        """Go through one class; what may cost more than its bound is evaluated. None: time is up, or it is too much."""
        path, found = path_of(scene), found_of(len(chosen), self.goal)
        while path.depth[0] >= 0:
            if self.is_over() or self.examined > MOST_EXAMINED:
                return None
            before = int(found.met[1])
            explore(scene, path, found, STEP)
            self.examined += int(found.met[1]) - before
            if found.met[0] == ROOM or path.depth[0] < 0:
                kept = np.argsort(found.values[: found.met[0]], kind="stable")
                for at in kept.tolist():
                    if found.values[at] >= min(self.goal, found.goal[0]) * (1 - MARGIN):
                        break
                    if self.evaluated > MOST_MAPPINGS or self.is_over():
                        return None
                    self._evaluate(chosen, scene, found.loose[at][None])
                found.met[0] = 0
                found.goal[0] = min(found.goal[0], self.goal)
        return found

    def _evaluate(self, chosen: list[Ints], scene: Scene, picked: Ints) -> None:
        """Evaluate the mappings of a choice of factors in all orders that the pins leave."""
        dims, levels = len(self.walks), len(scene.keep)
        genes, last = np.ones((1, GENES, levels, dims), np.int64), np.ones((1, 2, levels, dims), np.int64)
        for depth, d in enumerate(self.order):
            ways = self.walks[d].ways
            way = chosen[depth][picked[0, depth] - scene.lists.first[depth]]
            for field, array in zip((TEMPORAL, SPATIAL_X, SPATIAL_Y), ways.arrays, strict=False):
                genes[0, field, :, d] = array[way]
            last[0, 0, :, d], last[0, 1, :, d] = ways.last_time[way], ways.last_space[way]
        orders = orders_of(self.space, genes[0][[TEMPORAL, SPATIAL_X, SPATIAL_Y]])
        for start in range(0, len(orders), BATCH):
            part = np.array(orders[start : start + BATCH], np.int64)
            own = np.repeat(genes, len(part), axis=0)
            own[:, ORDER] = own[:, SPATIAL_ORDER] = part
            keep = np.repeat(scene.keep[None], len(part), axis=0)
            crowd = evaluated(self.space, own, keep, np.repeat(last, len(part), axis=0))
            self.evaluated += len(part)
            self.known = (crowd if self.known is None else self.known.joined(crowd)).best(1)

    def _listed(self, charged: Charged, runs: Runs) -> tuple[list[Ints], Scene] | None:
        """Return which ways of each dimension a class leaves below the goal, and what to search; None: none at all."""
        chosen = [np.flatnonzero(allowed(runs, self.place, d, self.walks[d].ways.over_time)) for d in self.order]
        columns = [self._columns(charged, runs, d) for d in self.order]
        for _ in range(ROUNDS):
            if any(len(each) == 0 for each in chosen):
                return None
            sizes = [len(each) for each in chosen]
            chosen = self._hopeful(charged, chosen, columns)
            if sizes == [len(each) for each in chosen]:
                break
        if any(len(each) == 0 for each in chosen):
            return None
        lists = self._lists(chosen, columns)
        return chosen, self._scene(charged, lists)

    def _columns(self, charged: Charged, runs: Runs, d: int) -> tuple[Floats, Floats]:
        """Return ``(ways, streams)`` what all ways of a dimension do to words, and what they do at least."""
        pairs = [self._column(stream, d, runs) for stream in charged.streams]
        return np.stack([one for one, _ in pairs], axis=1), np.stack([one for _, one in pairs], axis=1)

    def _column(self, stream: Stream, d: int, runs: Runs) -> tuple[Floats, Floats]:
        key = (stream, d, *known_of(self.space, stream, d, runs))
        if key not in self.columns:
            self.columns[key] = words_through(self.space, stream, self.walks[d], d, runs)
        return self.columns[key]

    def _hopeful(self, charged: Charged, chosen: list[Ints], columns: list[tuple[Floats, Floats]]) -> list[Ints]:
        """Return the ways that with the least of all others come below the goal."""
        terms = charged.terms
        tables = [
            self._table(terms, d, each, least[each])
            for d, each, (_, least) in zip(self.order, chosen, columns, strict=True)
        ]
        found = []
        for depth, (d, each) in enumerate(zip(self.order, chosen, strict=True)):
            rest = [(self.taken[o][chosen[at]], tables[at]) for at, o in enumerate(self.order) if at != depth]
            others = self.rooms.table(rest, tables[depth].shape[1])
            left = self.rooms.after[self.taken[d][each], 0]
            fits = (left >= 0) & np.isfinite(others[0][left, -1])
            value = self._value_of(terms, tables[depth][fits] * others[0][left[fits]])
            found.append(each[fits][value < self.goal])
            self.too_costly += int((value >= self.goal).sum())
        return found

    def _table(self, terms: Terms, d: int, each: Ints, least: Floats) -> Floats:
        """Return ``(ways, streams + terms + 1)``: words, what is left out of terms as its inverse, cycles."""
        used = self.used[d][each]
        kept, tensor = terms.terms[:, KEPT], terms.terms[:, TENSOR]
        own = np.where(kept >= 0, self.own[d][each][:, kept, tensor] * used[:, kept], 1.0)
        return np.concatenate([least * used[:, terms.levels], 1 / own, self.steps[d][each][:, None]], axis=1)

    def _value_of(self, terms: Terms, table: Floats) -> Floats:
        """Return ``(rows,)`` what no mapping of so many words and cycles goes below."""
        streams = len(terms.levels)
        words, cycles = table[:, :streams], table[:, -1]
        whole = np.where(terms.terms[:, KEPT] >= 0, self.space.rules.touched[terms.terms[:, TENSOR]], 0)
        energy = np.maximum(0.0, words[:, terms.terms[:, STREAM]] - whole / table[:, streams:-1]) @ terms.pJ
        energy = np.maximum(0.0, energy + words[:, terms.of_compute] * self.space.machine.compute_pJ - terms.rounded_pJ)
        value: Floats = ranks_of(self.space.objective, energy, cycles)[0]
        return value

    def _lists(self, chosen: list[Ints], columns: list[tuple[Floats, Floats]]) -> Lists:
        pick = list(zip(chosen, self.order, strict=True))
        walks = [self.walks[d] for d in self.order]
        factors = [np.stack(walk.ways.arrays[:3], axis=1)[each] for walk, each in zip(walks, chosen, strict=True)]
        return Lists(
            first=np.cumsum([0, *map(len, chosen)]),
            words=np.concatenate([both[0][each] for both, each in zip(columns, chosen, strict=True)]),
            least=np.concatenate([both[1][each] for both, each in zip(columns, chosen, strict=True)]),
            loose=np.concatenate([self.loose[d][each] for each, d in pick]),
            uneven=np.concatenate([self.uneven[d][each] for each, d in pick]),
            used=np.concatenate([self.used[d][each] for each, d in pick]),
            full=np.concatenate([self.full[d][each] for each, d in pick]),
            own=np.concatenate([self.own[d][each] for each, d in pick]),
            tile=np.concatenate([self.tile[d][each] for each, d in pick]),
            together=np.concatenate([self.together[d][each] for each, d in pick]),
            sizes=np.concatenate([self.sizes[d][each] for each, d in pick]),
            factors=np.concatenate(factors),
            steps=np.concatenate([self.steps[d][each] for each, d in pick]),
            taken=np.concatenate([self.taken[d][each] for each, d in pick]),
        )

    def _scene(self, charged: Charged, lists: Lists) -> Scene:
        space = self.space
        fanouts = space.limits.levels[:, IS_FANOUT] != 0
        limits = space.limits._replace(loops=np.ascontiguousarray(space.limits.loops[:, self.order]))
        return Scene(
            lists=lists,
            rest=rest_of(lists, charged.terms, self.rooms),
            after=self.rooms.after,
            terms=charged.terms,
            keep=charged.keep,
            touched=space.rules.touched,
            is_output=space.rules.is_output,
            outside=np.cumsum(fanouts) == 0,
            limits=limits,
            machine=space.machine,
            code=space.objective.code,
            is_exact=True,
        )


def rest_of(lists: Lists, terms: Terms, rooms: Rooms) -> Rest:
    """Return what the dimensions from one on do at least."""
    (levels, tensors), streams = lists.own.shape[1:], lists.words.shape[1]
    kept = slice(0, levels)
    tables = []
    for begin, end in itertools.pairwise(lists.first.tolist()):
        part = slice(begin, end)
        used = lists.used[part]
        columns = [
            lists.least[part] * used[:, terms.levels],
            1 / (lists.own[part] * used[:, kept, None]).reshape(end - begin, -1),
            used,
            lists.sizes[part].reshape(end - begin, -1),
            lists.steps[part, None],
        ]
        tables.append((lists.taken[part], np.concatenate(columns, axis=1)))
    widths = [streams, levels * tensors, levels + 1, levels * tensors]
    table = rooms.table(tables, sum(widths) + 1)
    words, own, used, sizes, steps = np.split(table, np.cumsum(widths), axis=2)
    both = (*words.shape[:2], levels, tensors)
    parts = words, (1 / own).reshape(both), used, sizes.reshape(both), steps[:, :, 0]
    return Rest(*(np.ascontiguousarray(each) for each in parts))


def path_of(scene: Scene) -> Path:
    """Return a path of no choice yet."""
    lists = scene.lists
    dims, (levels, tensors) = len(lists.first) - 1, scene.keep.shape
    return Path(
        at=lists.first[:-1].copy(),
        depth=np.zeros(1, np.int64),
        words=np.ones((dims + 1, lists.words.shape[1])),
        least=np.ones((dims + 1, lists.words.shape[1])),
        own=np.ones((dims + 1, levels, tensors)),
        used=np.ones((dims + 1, levels + 1)),
        sizes=np.ones((dims + 1, levels, tensors), np.int64),
        steps=np.ones(dims + 1, np.int64),
        loose=np.zeros(dims + 1, np.bool_),
        room=np.zeros(dims + 1, np.int64),
        genes=np.ones((GENES, levels, dims), np.int64),
        counts=np.zeros((levels, tensors, COUNTS), np.int64),
        full=np.ones(levels + 1, np.int64),
        cut=np.ones(levels + 1, np.int64),
    )


def found_of(dims: int, goal: float) -> Found:
    """Return room for what is met below a goal."""
    return Found(
        np.array([goal, math.inf]),
        np.zeros(dims, np.int64),
        np.zeros((ROOM, dims), np.int64),
        np.zeros(ROOM),
        np.zeros(2, np.int64),
    )
