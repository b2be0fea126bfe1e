"""Drives the compiled steps of the search from the outermost level in, and reads mappings off what is left."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.mapper.exact import expand, fanouts
from dovetail.mapper.exact.prepare import Prepared
from dovetail.mapper.exact.space import OutOfReach
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.arrays import Floats, Ints, Nest, workspace

#: Rows that a fan-out counted by the model is expanded from at a time, before they are merged.
CHUNK = 4096
#: Seconds between two looks at the clock, about.
QUICK = 0.05
#: Rows that a level has room for at first; bytes that they may take.
ROOM, MOST_BYTES = 1 << 11, 800_000_000


@dataclass(frozen=True)
class Rows:
    """Partial mappings at one boundary: ``(rows, columns)`` each, and the bound of every row."""

    key: Ints
    real: Floats
    value: Floats
    path: NDArray[np.int32]
    bound: Floats

    def pick(self, kept: Ints) -> Rows:
        """Return the rows of these indices."""
        return Rows(self.key[kept], self.real[kept], self.value[kept], self.path[kept], self.bound[kept])


@dataclass
class Progress:
    """What a search has done so far, and when to stop.

    Attributes:
        stats: counters; columns as in `dovetail.mapper.exact.expand`.
        level: the level under way.
        check: called between steps; raises `OutOfReach` to stop.
    """

    stats: Ints = field(default_factory=lambda: np.zeros(5, np.int64))
    level: int = 0
    check: Callable[[], None] = lambda: None


def compile_steps(prepared: Prepared) -> None:
    """Compile (or load) what a search will run, by running it on nothing; so that no clock counts it."""
    space, nothing = prepared.space, np.zeros(0, np.int64)
    goal, empty = expand.goal_array(expand.EDP), first_rows(prepared).pick(nothing)
    steps: list[Callable[..., bool]] = [expand.expand_storage]
    if any(space.is_spatial):
        steps.append(expand.expand_spatial)
    if any(rows.any() for rows in space.by_model):
        steps.append(expand.merge_rows)
        _count_fanout(prepared, space.is_spatial.index(True), empty)
    for step in steps:
        _Sink(prepared, goal, 0, Progress()).run(step, empty)
    _totals(prepared, empty)


def first_rows(prepared: Prepared) -> Rows:
    """Return the one partial mapping that nothing is decided of."""
    space = prepared.space
    tensors = len(space.rules.is_output)
    keys, reals, values, paths = prepared.columns
    key = np.zeros((1, keys), np.int64)
    key[0, expand.TILE], key[0, expand.INSTANCES] = space.tiles - 1, 1
    per_tensor = key[0, expand.PER_TENSOR : expand.PER_TENSOR + expand.KEY_FIELDS * tensors].reshape(-1, tensors)
    per_tensor[expand.REUSE] = 1
    per_tensor[expand.PART] = np.where(space.rules.is_output, space.rules.touched, 0)
    real = np.zeros((1, reals))
    real[0, :tensors] = 1.0
    return Rows(key, real, np.zeros((1, values)), np.zeros((1, paths), np.int32), np.zeros(1))


def explore(
    prepared: Prepared,
    goal: Floats,
    progress: Progress,
    width: int | None = None,
    begin: tuple[Rows, int] | None = None,
) -> tuple[Rows, Floats]:
    """Run through all levels.

    Args:
        prepared: the mapspace.
        goal: what to beat, from `dovetail.mapper.exact.expand.goal_array`.
        progress: counters, and when to stop.
        width: go on with so many partial mappings a level, those of the lowest bounds; None: with all.
        begin: partial mappings to begin with, and the level they have reached; None: at the outermost.

    Returns:
        The complete mappings left, and their energy and cycles ``(rows, 2)``.

    Raises:
        OutOfReach: too many partial mappings, or `Progress.check` said so.
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
    totals = np.zeros((len(rows.bound), 2))
    keys, _, values, _ = prepared.columns
    expand.finish(
        prepared.packed.ints,
        prepared.packed.reals,
        rows.key,
        rows.real,
        rows.value,
        np.zeros(keys, np.int64),
        np.zeros(values),
        totals,
    )
    return totals


def pass_level(prepared: Prepared, goal: Floats, level: int, parents: Rows, progress: Progress) -> Rows:
    """Return all partial mappings that extend these by one level and may still beat the goal; see `explore`."""
    space = prepared.space
    if not space.is_spatial[level]:
        return _Sink(prepared, goal, level, progress).take(expand.expand_storage, parents).rows()
    if not space.by_model[level].any():
        return _Sink(prepared, goal, level, progress).take(expand.expand_spatial, parents).rows()
    merged = _Sink(prepared, goal, level, progress)
    for start in range(0, len(parents.bound), CHUNK):
        chunk = parents.pick(np.arange(start, min(start + CHUNK, len(parents.bound))))
        loose = _Sink(prepared, goal, level, progress).take(expand.expand_spatial, chunk).rows()
        _count_fanout(prepared, level, loose)
        merged.take(expand.merge_rows, loose)
    return merged.rows()


def _count_fanout(prepared: Prepared, level: int, rows: Rows) -> None:
    space = prepared.space
    tensors, axes, dims = space.rules.coefficients.shape
    tile = rows.key[:, expand.TILE]
    inside = np.ones((len(tile), dims), np.int64)
    for d, divisors in enumerate(space.divisors):
        inside[:, d] = np.array(divisors)[(tile // space.radix[d]) % len(divisors)]
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
    fanouts.count_fanout(rules, spatial, level, inside, rows.path, rows.real, empty_nest(levels, dims, tensors), work)


class _Sink:
    """Room for the rows that pass a level, made larger as they come."""

    def __init__(self, prepared: Prepared, goal: Floats, level: int, progress: Progress) -> None:
        self._prepared, self._goal, self._level, self._progress = prepared, goal, level, progress
        space = prepared.space
        tensors, axes, dims = space.rules.coefficients.shape
        keys, reals, values, paths = prepared.columns
        self._work = expand.scratch(dims, axes, tensors)
        self._row = (
            np.zeros(keys, np.int64),
            np.zeros(keys, np.int64),
            np.zeros(reals),
            np.zeros(values),
            np.zeros(paths, np.int32),
        )
        # With every row go its bound and, in the table that merging looks it up in, four chain entries and a mark.
        self._most = MOST_BYTES // (8 * (keys + reals + values) + 4 * paths + 8 + 40)
        self._room = ROOM
        self._arrays: list[NDArray[Any]] = [
            np.empty((ROOM, keys), np.int64),
            np.empty((ROOM, reals)),
            np.empty((ROOM, values)),
            np.empty((ROOM, paths), np.int32),
            np.empty(ROOM),
        ]
        self._clear_chains()

    def _clear_chains(self) -> None:
        self._chains = np.full(1 + 4 * self._room + 1, -1, np.int64)
        self._chains[0] = 0

    def take(self, step: Callable[..., bool], parents: Rows) -> _Sink:
        """Run a step over the parents, a piece at a time; returns itself."""
        start, size = 0, 4
        while start < len(parents.bound):
            self._progress.check()
            began = time.monotonic()
            piece = parents.pick(np.arange(start, min(start + size, len(parents.bound))))
            used, stats = int(self._chains[0]), self._progress.stats.copy()
            alive = self._chains[1 + self._room : 1 + self._room + used].copy()
            if self.run(step, piece):
                start += size
                if time.monotonic() - began < QUICK:  # results do not depend on the pieces
                    size *= 2
                elif size > 1:
                    size //= 2
                continue
            # No room: make some and take the piece again, as if it had not been tried.
            self._progress.stats[:] = stats
            self._chains[1 + self._room : 1 + self._room + used] = alive
            self._grow(used)
        return self

    def run(self, step: Callable[..., bool], piece: Rows) -> bool:
        """Run a step over some parents; False when there is no room left."""
        packed = self._prepared.packed
        return step(
            packed.ints,
            packed.reals,
            packed.least,
            self._goal,
            self._level,
            (piece.key, piece.real, piece.value, piece.path),
            self._row,
            self._work,
            (*self._arrays, self._chains),
            self._progress.stats,
        )

    def _grow(self, used: int) -> None:
        if self._room >= self._most:
            raise OutOfReach(
                f"more than {self._room} partial mappings at {self._prepared.space.levels[self._level].name}"
            )
        kept = np.flatnonzero(self._chains[1 + self._room : 1 + self._room + used] == 1)
        self._room = min(2 * self._room, self._most)
        for place, array in enumerate(self._arrays):  # one after the other, so that there is never twice all of it
            larger = np.empty((self._room, *array.shape[1:]), array.dtype)
            np.take(array, kept, axis=0, out=larger[: len(kept)], mode="clip")  # "raise" would buffer it
            self._arrays[place] = larger
        self._clear_chains()
        keys, reals = self._arrays[:2]
        expand.enlist(keys, reals, self._chains, len(kept), self._room)

    def rows(self) -> Rows:
        """Return the rows that are left; there is room for none from then on."""
        used = int(self._chains[0])
        kept = np.flatnonzero(self._chains[1 + self._room : 1 + self._room + used] == 1)
        return Rows(*(self._arrays.pop(0)[kept] for _ in range(len(self._arrays))))


def empty_nest(levels: int, dims: int, tensors: int) -> Nest:
    """Return arrays for one mapping, all factors 1."""
    one = np.ones((levels, dims), np.int64)
    keep = np.zeros((levels, tensors), np.bool_)
    return Nest(one, one.copy(), one.copy(), one.copy(), one.copy(), keep)


def mapping_of(prepared: Prepared, path: NDArray[np.int32]) -> Mapping:
    """Return the mapping that a complete row's decisions describe."""
    space = prepared.space
    width = 1 + 3 * len(space.active)
    names = [space.problem.shape.dimensions[d] for d in space.active]
    tensors = [tensor.name for tensor in space.problem.shape.tensors]
    entries = []
    for i, level in enumerate(space.levels):
        kept, *decisions = path[i * width : (i + 1) * width].tolist()
        factors, on_y, order = (decisions[k * len(names) : (k + 1) * len(names)] for k in range(3))
        loops = [(d, Loop(names[d], factors[d])) for d in order if factors[d] > 1]
        keep = frozenset(name for t, name in enumerate(tensors) if kept >> t & 1)
        if space.is_spatial[i]:
            x, y = (tuple(loop for d, loop in loops if bool(on_y[d]) is axis) for axis in (False, True))
            entries.append(LevelMapping(level.name, spatial_x=x, spatial_y=y))
        else:
            entries.append(LevelMapping(level.name, temporal=tuple(loop for _, loop in loops), keep=keep))
    return Mapping(tuple(entries))
