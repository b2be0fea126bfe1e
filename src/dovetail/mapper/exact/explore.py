"""Drives the compiled steps of the search from the outermost level in, and reads mappings off what is left."""

from __future__ import annotations

import time
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dovetail.mapper.exact.dominance import enlist, is_crowded, room_for, table_for
from dovetail.mapper.exact.expand import COUNTED_FANOUT, END, FANOUT, STORAGE, UNCOUNTED_FANOUT, take_step
from dovetail.mapper.exact.fanouts import Passed, count_fanout
from dovetail.mapper.exact.goal import Goal, goal_of
from dovetail.mapper.exact.pieces import QUICK
from dovetail.mapper.exact.prepare import Prepared
from dovetail.mapper.exact.rows import (
    ALIVE,
    COUNTED,
    CYCLES,
    ENERGY,
    FACTOR,
    IN_USE,
    INSTANCES,
    KEEPER,
    KEEPER_INSTANCES,
    KEEPER_PART,
    KEY_FIELDS,
    LENGTH,
    ON_Y,
    ORDER,
    PART,
    PASSED,
    PER_TENSOR,
    REAL_FIELDS,
    REUSE,
    SHARED,
    STATES,
    TILE,
    UNTIL,
    Parents,
    Paths,
    Rows,
    Scratch,
    chain_start,
    kept_at,
    path_at,
    scratch,
)
from dovetail.mapper.exact.space import OutOfReach
from dovetail.mapper.exact.watch import ENDLESS, Tally
from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.origins import origins
from dovetail.model.arrays import Floats, Ints, Nest, workspace

#: Rows that a fan-out counted by the model is expanded from at a time, before they are merged.
CHUNK = 4096
#: Rows that a level has room for at first.
ROOM = 1 << 11
#: Partial mappings that agree which are taken at once, at most: the clock is looked at in between.
AGREEING = 256
#: Of each tensor, what partial mappings that agree have in common.
_AGREED = KEEPER, KEEPER_INSTANCES, PART, KEEPER_PART
#: A factor whose powers are spread over all integers.
_ODD = np.int64(0x1E3779B97F4A7C15)
#: States that a step may examine before the clock is looked at, at first: some tens of milliseconds.
BETWEEN = 1 << 15


def first_rows(prepared: Prepared) -> Rows:
    """Return the one partial mapping that nothing is decided of."""
    space, widths = prepared.space, prepared.widths
    tensors = len(space.rules.is_output)
    key = np.zeros((1, widths.key), np.int64)
    key[0, TILE], key[0, INSTANCES] = space.tiles - 1, 1
    per_tensor = key[0, PER_TENSOR : PER_TENSOR + KEY_FIELDS * tensors].reshape(KEY_FIELDS, tensors)
    per_tensor[REUSE] = 1
    per_tensor[PART] = np.where(space.rules.is_output, space.rules.touched, 0)
    real = np.zeros((1, REAL_FIELDS, tensors))
    real[0, SHARED] = 1.0
    return Rows(key, real, np.zeros((1, widths.value)), np.zeros((1, widths.path), np.int32), np.zeros(1))


def scratch_for(prepared: Prepared) -> Scratch:
    """Allocate the scratch arrays of a step."""
    tensors, axes, dims = prepared.space.rules.coefficients.shape
    choices = max(prepared.space.tiles, int(prepared.scene.spreads.counts.max()))
    return scratch(prepared.widths, tensors, axes, dims, choices)


def explore(
    prepared: Prepared,
    goal: Goal,
    progress: Tally,
    width: int | None = None,
    begin: tuple[Rows, int] | None = None,
) -> tuple[Rows, Floats]:
    """Run through all levels.

    Args:
        prepared: the mapspace.
        goal: what to beat.
        progress: counters, and when to stop.
        width: go on with so many partial mappings a level, those of the lowest bounds; None: with all.
        begin: partial mappings to begin with, and the level they have reached; None: at the outermost.

    Returns:
        The complete mappings left, and their energy and cycles ``(rows, 2)``.

    Raises:
        OutOfReach: too many partial mappings, or `Tally.check` said so.
    """
    rows, outermost = begin or (first_rows(prepared), 0)
    for level in range(outermost, len(prepared.space.levels)):
        progress.level = level
        if width is not None:
            rows = rows.pick(np.sort(np.argsort(rows.bound, kind="stable")[:width]))
        rows = pass_level(prepared, goal, level, rows, progress)
    return rows, _totals(prepared, rows)


def _totals(prepared: Prepared, rows: Rows) -> Floats:
    """Return the energy and cycles of complete mappings, ``(rows, 2)``."""
    finished = rows._replace(value=rows.value.copy())
    _Sink(prepared, goal_of(Objective.EDP.code), len(prepared.space.levels), Tally()).run(END, one_by_one(finished))
    return finished.value[:, [ENERGY, CYCLES]]


def pass_level(prepared: Prepared, goal: Goal, level: int, parents: Rows, progress: Tally) -> Rows:
    """Return all partial mappings that extend these by one level and may still beat the goal; see `explore`."""
    space = prepared.space
    if not space.is_spatial[level]:
        inside = level + 1 >= prepared.scene.demands.outermost
        taken = side_by_side(parents, len(space.rules.is_output)) if inside else one_by_one(parents)
        return _Sink(prepared, goal, level, progress).take(STORAGE, taken).rows()
    if not space.by_model[level].any():
        alike = side_by_side(parents, len(space.rules.is_output))
        return _Sink(prepared, goal, level, progress).take(FANOUT, alike).rows()
    merged = _Sink(prepared, goal, level, progress)
    order, _ = grouped(told_apart(parents))
    for start in range(0, len(order), CHUNK):
        chunk = parents.pick(order[start : start + CHUNK])
        loose = _Sink(prepared, goal, level, progress).take(UNCOUNTED_FANOUT, one_by_one(chunk)).rows()
        count_once(prepared, level, loose)
        merged.take(COUNTED_FANOUT, one_by_one(loose))
    return merged.rows()


def one_by_one(rows: Rows) -> Parents:
    """Return partial mappings that a step takes each by itself."""
    places = np.arange(len(rows.bound) + 1)
    return Parents(rows, places[:-1], places, 0, len(rows.bound))


def side_by_side(rows: Rows, tensors: int) -> Parents:
    """Return partial mappings that enter a level inside the outermost fan-out: those that agree side by side.

    They agree in all that tells what a word costs them inside (`dovetail.mapper.exact.bounds.price_words`).
    """
    per_tensor = [PER_TENSOR + field * tensors + t for field in _AGREED for t in range(tensors)]
    counted, shared = rows.real[:, COUNTED] > 0, rows.real[:, SHARED]
    passed = np.where(counted, shared * rows.real[:, PASSED], shared)
    agreed = np.column_stack([rows.key[:, [TILE, INSTANCES, *per_tensor]], passed.view(np.int64)])
    order, begin = grouped(agreed)
    place = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
    begin = np.append(np.flatnonzero(place % AGREEING == 0), len(order))
    return Parents(rows, order, begin, 0, len(begin) - 1)


def grouped(*columns: NDArray[np.integer[Any]]) -> tuple[Ints, Ints]:
    """Return an order in which rows that are equal are side by side, and where each kind begins.

    ``columns``: arrays of integers ``(rows, columns)`` whose rows belong together.
    """
    mixed = np.zeros(len(columns[0]), np.int64)
    for some in columns:  # overflows, as a hash may: those of equal hash are told apart below
        mixed = mixed * _ODD + some @ np.cumprod(np.full(some.shape[1], _ODD))
    order = np.argsort(mixed, kind="stable")
    differs = np.ones(len(order), np.bool_)
    differs[1:] = False
    for some in columns:
        ordered = some[order]
        differs[1:] |= (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, np.flatnonzero(differs)


def told_apart(rows: Rows) -> Ints:
    """Return ``(rows, columns)``: what is told apart of partial mappings, but for what keeps the tensors."""
    tensors = rows.real.shape[2]
    first = PER_TENSOR + REUSE * tensors
    reuse, chain = np.arange(first, first + tensors), np.arange(chain_start(tensors), rows.key.shape[1])
    return rows.key[:, np.concatenate([[TILE, INSTANCES, LENGTH], reuse, chain])]


def count_once(prepared: Prepared, level: int, rows: Rows) -> None:
    """Have the model count a fan-out for rows that have passed it, once for all for which it counts the same.

    Those are of the same tile, spread in the same way, and have the same chain and reuse: what keeps a tensor does not
    matter to what its children are sent.
    """
    dims = len(prepared.space.active)
    way = rows.path[:, path_at(level, FACTOR, 0, dims) : path_at(level, ORDER, dims, dims)]
    order, begin = grouped(told_apart(rows), way)
    some = rows.pick(order[begin])
    some.real[:, SHARED] = 1.0
    count_each(prepared, level, some)
    which = np.empty(len(order), np.int64)
    which[order] = np.repeat(np.arange(len(begin)), np.diff(np.append(begin, len(order))))
    marked = rows.real[:, COUNTED] < 0
    rows.real[:, SHARED] = np.where(marked, rows.real[:, SHARED] * some.real[which, SHARED], rows.real[:, SHARED])
    for field in range(COUNTED, REAL_FIELDS):
        rows.real[:, field] = np.where(marked, some.real[which, field], rows.real[:, field])


def count_each(prepared: Prepared, level: int, rows: Rows) -> None:
    """Have the model count a fan-out for rows that have passed it."""
    space = prepared.space
    tensors, axes, dims = space.rules.coefficients.shape
    lattice = prepared.scene.lattice
    inside = np.ascontiguousarray(np.take_along_axis(lattice.divisors.T, lattice.places(rows.key[:, TILE]), axis=0))
    levels = level + 2 if level + 1 < len(space.levels) else level + 1
    rules = space.rules._replace(
        no_multicast=space.rules.no_multicast[:levels],
        no_link=space.rules.no_link[:levels],
        no_reuse=space.rules.no_reuse[:levels],
        read_first=space.rules.read_first[:levels],
        grid=space.rules.grid[:levels],
    )
    spatial = np.array(space.is_spatial[: level + 1])
    work = workspace(levels, tensors, axes, dims)
    nest = empty_nest(levels, dims, tensors)
    count_fanout(rules, Passed(level, spatial, inside), rows.path, rows.real, nest, work)


class _Sink:
    """Room for the rows that pass a level, made larger as they come."""

    def __init__(self, prepared: Prepared, goal: Goal, level: int, progress: Tally) -> None:
        self._prepared, self._goal, self._level, self._progress = prepared, goal, level, progress
        self._scratch = scratch_for(prepared)
        widths, tensors = prepared.widths, len(prepared.space.rules.is_output)
        # With every row go its bound and, in the table that merging looks it up in, four chain entries and a mark.
        columns = widths.key + REAL_FIELDS * tensors + widths.value
        self._most = int(progress.memory // (8 * columns + 4 * widths.path + 8 + 40))
        self._table = table_for(room_for(min(ROOM, self._most), widths, tensors), progress.stats)
        self._between = BETWEEN

    def take(self, kind: int, parents: Parents) -> _Sink:
        """Take a step with the parents, a piece at a time; returns itself.

        Raises:
            OutOfReach: time, work or memory does not suffice for all of them.
        """
        begun, start, size = self._progress.stats.copy(), 0, 4
        while start < parents.stop:
            self._progress.check()
            began = time.monotonic()
            piece = parents._replace(start=start, stop=min(start + size, parents.stop))
            used, stats = self._table.used.copy(), self._progress.stats.copy()
            alive, left = self._table.alive[: used[IN_USE]].copy(), max(0, self._progress.left)
            self._progress.stats[UNTIL] = min(ENDLESS, int(stats[STATES]) + min(left + 1, self._between))
            done = self.run(kind, piece)
            examined = int(self._progress.stats[STATES] - stats[STATES])
            if examined > left:
                self._progress.stats[:] = begun  # wherever between two pieces that comes out
                self._progress.end(left)
            if done:
                self._progress.spent.work += examined
                start += size
                size = self._next(size, examined, time.monotonic() - began)
                continue
            is_cut = self._progress.stats[STATES] >= self._progress.stats[UNTIL]
            if not is_cut and self._is_full(size, used):
                self._progress.spent.work += examined
                self._out_of_memory()
            # The piece is taken again, as if it had not been tried.
            self._table.alive[: used[IN_USE]] = alive
            self._progress.stats[:] = stats
            if is_cut:
                self._retract(used)
                size = self._cut(size, examined, time.monotonic() - began)
            else:  # no room: make some
                size = size if self._grow(used) else max(1, size // 2)
        return self

    def run(self, kind: int, piece: Parents) -> bool:
        """Take a step with some parents; False when there is no room left, or more to do than is to be done at once."""
        scene = self._prepared.scene
        if kind == UNCOUNTED_FANOUT:
            scene = scene._replace(fan=self._prepared.fans[self._level])
        return take_step(kind, scene, self._goal, self._level, piece, self._scratch, self._table)

    def _retract(self, used: Ints) -> None:
        """Take back all rows after so many; ``used``: as `Table` has it."""
        alive = self._table.alive[: used[IN_USE]].copy()
        self._table.first[:] = -1
        enlist(self._table, used[IN_USE])
        self._table.alive[: used[IN_USE]] = alive
        self._table.used[:] = used

    def _is_full(self, size: int, used: Ints) -> bool:
        """Return whether memory does not suffice for so many groups; that must not depend on how these were cut."""
        if len(self._table.alive) < self._most:
            return False
        return is_crowded(self._table) or (size == 1 and used[ALIVE] == used[IN_USE])

    def _out_of_memory(self) -> NoReturn:
        where = self._prepared.space.levels[self._level].name
        raise OutOfReach(
            f"the limit of memory: {self._most:,} partial mappings at {where}, {self._progress.memory / 1e6:.0f} MB; "
            "more (--memory) may be enough"
        )

    def _next(self, size: int, examined: int, seconds: float) -> int:
        """Return how many groups to take next after so many took some time; results do not depend on it."""
        if seconds > QUICK:
            return max(1, size // 2)
        if 2 * examined > self._between:  # twice as many would be cut
            if 4 * seconds > QUICK:
                return size
            self._between *= 2
        return 2 * size if 2 * seconds < QUICK else size

    def _cut(self, size: int, examined: int, seconds: float) -> int:
        """Return how many groups to take after so many were too much to do, and allow for more where there is time."""
        if seconds < QUICK:
            self._between *= 2
        elif size > 1:
            return size // 2
        else:  # one group alone is much to do
            room = examined / seconds * self._progress.spent.seconds_left()
            self._between = max(BETWEEN, int(min(4 * self._between, room, ENDLESS)))
        return size

    def _grow(self, used: Ints) -> bool:
        """Make room after so many rows: twice as much if there may be, and for those that others beat in any case.

        False: there is no more room than before.
        """
        kept = np.flatnonzero(self._table.alive[: used[IN_USE]] == 1)
        before = len(self._table.alive)
        room = min(2 * before, self._most)
        arrays: list[NDArray[Any]] = list(self._table.rows)
        del self._table
        for place, array in enumerate(arrays):  # one after the other, so that there is never twice all of it
            larger = np.empty((room, *array.shape[1:]), array.dtype)
            np.take(array, kept, axis=0, out=larger[: len(kept)], mode="clip")  # "raise" would buffer it
            arrays[place] = larger
            del array
        self._table = table_for(Rows(*arrays), self._progress.stats)
        enlist(self._table, len(kept))
        return bool(room - len(kept) > before - used[IN_USE])

    def rows(self) -> Rows:
        """Return the rows that are left; there is room for none from then on."""
        kept = np.flatnonzero(self._table.alive[: int(self._table.used[IN_USE])] == 1)
        arrays: list[NDArray[Any]] = list(self._table.rows)
        del self._table
        return Rows(*(arrays.pop(0)[kept] for _ in range(len(arrays))))


def empty_nest(levels: int, dims: int, tensors: int) -> Nest:
    """Return arrays for one mapping, all factors 1."""
    one = np.ones((levels, dims), np.int64)
    keep = np.zeros((levels, tensors), np.bool_)
    return Nest(one, one.copy(), one.copy(), one.copy(), one.copy(), keep)


def mapping_of(prepared: Prepared, path: Paths) -> Mapping:
    """Return the mapping that a complete row's decisions describe."""
    space = prepared.space
    dims = len(space.active)
    names = [space.problem.shape.dimensions[d] for d in space.active]
    tensors = [tensor.name for tensor in space.problem.shape.tensors]
    entries = []
    for i, level in enumerate(space.levels):
        kept = int(path[kept_at(i, dims)])
        factors, on_y, order = (
            path[path_at(i, field, 0, dims) : path_at(i, field, dims, dims)].tolist() for field in (FACTOR, ON_Y, ORDER)
        )
        loops = [(d, Loop(names[d], factors[d])) for d in order if factors[d] > 1]
        keep = frozenset(name for t, name in enumerate(tensors) if kept >> t & 1)
        if i == 0:
            keep -= origins(space.architecture)
        if space.is_spatial[i]:
            x, y = (tuple(loop for d, loop in loops if bool(on_y[d]) is axis) for axis in (False, True))
            entries.append(LevelMapping(level.name, spatial_x=x, spatial_y=y))
        else:
            entries.append(LevelMapping(level.name, temporal=tuple(loop for _, loop in loops), keep=keep))
    return Mapping(tuple(entries))
