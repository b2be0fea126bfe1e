"""The least DRAM traffic of one layer against the room on the chip, for every size at once: its "ski slope"."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dovetail.traffic.nests import Choices, choices_of, clash, groups_of
from dovetail.traffic.windows import Patience
from dovetail.workload.problem import Problem


@dataclass(frozen=True)
class Weights:
    """What a word of each tensor takes and what moving it counts, in bits; tensors in the problem's order.

    Attributes:
        held: of a word on the chip.
        moved: of a word read or, of outputs, written once for good.
        again: of a partial sum that is read or written in between.
    """

    held: tuple[float, ...]
    moved: tuple[float, ...]
    again: tuple[float, ...]


@dataclass(frozen=True)
class Hold:
    """A nest that moves as little as its room allows.

    Attributes:
        order: tensors from the innermost place in the nest to the outermost.
        tiles: iterations inside each tensor's place, by tensor and dimension.
    """

    order: tuple[str, ...]
    tiles: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Slope:
    """The points at which more room lets less move.

    Attributes:
        problem: the layer's.
        room_bits: ``(points,)`` bits held on the chip, rising.
        traffic_bits: ``(points,)`` bits read and written at DRAM, falling.
    """

    problem: Problem
    room_bits: NDArray[np.float64]
    traffic_bits: NDArray[np.float64]
    _codes: NDArray[np.int64] = field(repr=False)
    _parts: tuple[tuple[tuple[int, ...], tuple[Choices, ...]], ...] = field(repr=False)
    _groups: tuple[tuple[int, ...], ...] = field(repr=False)

    def traffic(self, room_bits: float) -> float:
        """Return the least bits moved with so many bits on the chip; infinite where the layer needs more."""
        at = int(np.searchsorted(self.room_bits, room_bits, side="right")) - 1
        return math.inf if at < 0 else float(self.traffic_bits[at])

    def hold(self, room_bits: float) -> Hold | None:
        """Return a nest that moves so little with so many bits on the chip; None where the layer needs more."""
        at = int(np.searchsorted(self.room_bits, room_bits, side="right")) - 1
        if at < 0:
            return None
        which, code = divmod(int(self._codes[at]), 1 << 48)
        order, parts = self._parts[which]
        names, tensors = self.problem.shape.dimensions, self.problem.shape.tensors
        tiles: dict[str, dict[str, int]] = {tensor.name: {} for tensor in tensors}
        for group, choices in zip(reversed(self._groups), reversed(parts), strict=True):
            code, place = divmod(code, len(choices.held))
            for tensor, sizes in zip(tensors, choices.tiles[place].tolist(), strict=True):
                tiles[tensor.name] |= {names[d]: size for d, size in zip(group, sizes, strict=True)}
        ordered = {name: {each: tile[each] for each in names if each in tile} for name, tile in tiles.items()}
        return Hold(tuple(tensors[t].name for t in order), ordered)


def slope(problem: Problem, weights: Weights, time_limit: float | None = None) -> Slope:
    """Return a layer's slope over all nests of perfect factors.

    Args:
        problem: the layer.
        weights: what its values take.
        time_limit: seconds that it may take; None: as long as it takes.

    Raises:
        InputError: time is up; or no bound is known for such a problem; see `dovetail.traffic.nests.grid_of`.
    """
    patience = Patience(None if time_limit is None else time.monotonic() + time_limit, problem.name)
    groups = groups_of(problem)
    stairs = _Stairs()
    parts: list[tuple[tuple[int, ...], tuple[Choices, ...]]] = []
    costs = _costs(problem, weights)
    for order in itertools.permutations(range(len(problem.shape.tensors))):
        found = tuple(choices_of(group, order, patience) for group in groups.values())
        _search(found, costs, stairs, len(parts) << 48, patience)
        parts.append((order, found))
    return Slope(problem, stairs.room, stairs.traffic, stairs.codes, tuple(parts), tuple(groups))


@dataclass(frozen=True)
class _Costs:
    """What words come to in bits, arrays ``(tensors,)``.

    Attributes:
        held: per word held.
        least: words that are sent at least.
        sent: per word sent.
        apart: bits moved beside those.
    """

    held: NDArray[np.float64]
    least: NDArray[np.float64]
    sent: NDArray[np.float64]
    apart: float


def _costs(problem: Problem, weights: Weights) -> _Costs:
    """Return what words come to.

    Outputs come back as often as they are sent; all but the first words sent were written before, as partial sums.
    """
    outputs = [tensor.is_output for tensor in problem.shape.tensors]
    touched = [float(problem.touched(tensor)) if tensor.is_output else 0.0 for tensor in problem.shape.tensors]
    sent = [
        2 * again if out else moved for out, moved, again in zip(outputs, weights.moved, weights.again, strict=True)
    ]
    apart = [
        words * (moved - 2 * again) for words, moved, again in zip(touched, weights.moved, weights.again, strict=True)
    ]
    return _Costs(np.array(weights.held, np.float64), np.array(touched), np.array(sent, np.float64), math.fsum(apart))


class _Stairs:
    """Points of which none is better than another in both room and traffic, by rising room."""

    def __init__(self) -> None:
        self.room: NDArray[np.float64] = np.empty(0)
        self.traffic: NDArray[np.float64] = np.empty(0)
        self.codes: NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, room: NDArray[np.float64], traffic: NDArray[np.float64], codes: NDArray[np.int64]) -> None:
        """Take points in, and leave out all that are no better than another."""
        if len(self.room):
            at = np.searchsorted(self.room, room, side="right") - 1
            better = (at < 0) | (traffic < self.traffic[np.maximum(at, 0)])
            room, traffic, codes = room[better], traffic[better], codes[better]
        if not len(room):
            return
        room = np.concatenate([self.room, room])
        traffic = np.concatenate([self.traffic, traffic])
        codes = np.concatenate([self.codes, codes])
        order = np.lexsort((traffic, room))
        falling = np.minimum.accumulate(traffic[order])
        kept = order[np.concatenate([[True], falling[1:] < falling[:-1]])]
        self.room, self.traffic, self.codes = room[kept], traffic[kept], codes[kept]


def _search(parts: Sequence[Choices], costs: _Costs, stairs: _Stairs, code: int, patience: Patience) -> None:
    """Offer every combination of the groups' choices; at most one group slides each tensor's tile."""
    head, tensors = parts[0], parts[0].held.shape[1]
    every = _joined(parts[1:], tensors)
    for flags in np.unique(head.flags):
        rest = every.at(np.flatnonzero(np.logical_not(clash(every.flags, flags, tensors))))
        for place in np.flatnonzero(head.flags == flags).tolist():
            patience.check()
            room = rest.held @ (head.held[place] * costs.held)
            traffic = np.maximum(rest.sent * head.sent[place], costs.least) @ costs.sent + costs.apart
            stairs.add(room, traffic, code + place * rest.count + rest.codes)


@dataclass(frozen=True)
class _Combined:
    """Combinations of choices of some groups; ``codes`` tell which of ``count``, the last group changing fastest."""

    held: NDArray[np.float64]
    sent: NDArray[np.float64]
    flags: NDArray[np.int64]
    codes: NDArray[np.int64]
    count: int

    def at(self, which: NDArray[np.intp]) -> _Combined:
        """Return some of them."""
        return _Combined(self.held[which], self.sent[which], self.flags[which], self.codes[which], self.count)


def _joined(parts: Sequence[Choices], tensors: int) -> _Combined:
    """Return all combinations of the groups' choices that do not slide a tensor's tile two ways."""
    one = np.ones((1, tensors))
    found = _Combined(one, one, np.zeros(1, np.int64), np.zeros(1, np.int64), 1)
    for part in parts:
        held = (found.held[:, None] * part.held[None]).reshape(-1, tensors)
        sent = (found.sent[:, None] * part.sent[None]).reshape(-1, tensors)
        codes = (found.codes[:, None] * len(part.held) + np.arange(len(part.held))).ravel()
        free = np.flatnonzero(np.logical_not(clash(found.flags[:, None], part.flags[None], tensors)).ravel())
        flags = (found.flags[:, None] | part.flags[None]).ravel()
        found = _Combined(held, sent, flags, codes, found.count * len(part.held)).at(free)
    return found
