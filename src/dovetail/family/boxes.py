"""Boxes of a family's grid: their floors, and the corners that are proven, or likely, of what their members cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dovetail.family.costs import Seen
from dovetail.family.floors import Apart, Box, Floor, Floors, kind_of
from dovetail.family.front import Axis, Choice
from dovetail.family.known import Known, Site, site_of
from dovetail.family.measures import Measure, corners, measures_for
from dovetail.family.members import Members
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint
from dovetail.workload.network import Layer

_Floats = NDArray[np.float64]


class Boxes:
    """What is known of boxes of one family.

    Args:
        members: of the family.
        layers: distinct ones of the network.
        axes: what corners are over.
        sole: the one objective that counts beside area; None: every trade of energy for cycles does.
        until: of the clock (`time.monotonic`), when no more members are looked at; None: all are.

    Attributes:
        valid: of the family's shape: which members are designs.
        area: of the family's shape, in um^2.
        repeats: ``(layers,)`` how often each runs.
    """

    def __init__(
        self,
        members: Members,
        layers: Sequence[Layer],
        axes: Sequence[Axis],
        sole: Objective | None,
        until: float | None = None,
    ) -> None:
        self.members, self._layers, self._axes, self._sole = members, tuple(layers), tuple(axes), sole
        self.valid, self.area = members.laid_out(until)
        self.repeats = np.array([float(layer.repeats) for layer in layers])
        self._floors = Floors(members)
        self._measures: tuple[Measure, ...] = ()
        self._known: list[tuple[object, Known]] = []
        self._sites: dict[Box, tuple[Site, Known] | Apart] = {}

    def begin(self, found: Sequence[tuple[Choice, Sequence[Seen]]]) -> None:
        """Take in the first members that were mapped: they say at which prices cycles are weighed."""
        ratios = [self._pJ_per_cycle(seen) for _, seen in found]
        self._measures = measures_for(self._sole, float(np.median(ratios)) if ratios else 1.0)
        for choice, seen in found:
            self.learn(tuple((at, at + 1) for at in choice), range(len(seen)), seen)

    def _pJ_per_cycle(self, seen: Sequence[Seen]) -> float:
        costs = [each.read.result.cost for each in seen]
        energy = self.repeats @ np.array([cost.energy_pJ for cost in costs])
        return float(energy / (self.repeats @ np.array([float(cost.cycles) for cost in costs])))

    def floor(self, box: Box) -> tuple[Site, Known] | Apart:
        """Return a box's floor, if it has one, and what is known of designs like it."""
        if box not in self._sites:
            floor = Floor(*self.members.design(lowest(box))) if count_of(box) == 1 else self._floors.of(box)
            if isinstance(floor, Apart):
                self._sites[box] = floor
            else:
                kind = kind_of(floor)
                known = next((known for other, known in self._known if other == kind), None)
                if known is None:
                    known = Known(self._layers, self._measures)
                    self._known.append((kind, known))
                self._sites[box] = site_of(floor, self._layers), known
        return self._sites[box]

    def has_floor(self, box: Box) -> tuple[Site, Known]:
        """Return the floor of a box that has one, and what is known of designs like it."""
        found = self.floor(box)
        assert not isinstance(found, Apart)
        return found

    def learn(self, box: Box, places: Iterable[int], seen: Sequence[Seen]) -> None:
        """Take in results of some layers on a box's floor."""
        site, known = self.has_floor(box)
        for place, each in zip(places, seen, strict=True):
            known.learn(site, place, each)

    def least(self, box: Box) -> _Floats:
        """Return ``(layers, measures)``: what is proven of a box's floor, which it has."""
        site, known = self.has_floor(box)
        return known.least(site)

    def likely(self, box: Box) -> _Floats | None:
        """Return ``(layers, measures)``: what a box's floor is likely to cost; None where nobody knows."""
        found = self.floor(box)
        if isinstance(found, Apart):
            return None
        site, known = found
        met = known.met(site)
        return np.maximum(met, known.least(site)) if np.isfinite(met).all() else None

    def choices(self, choice: Choice) -> tuple[tuple[FrontPoint, ...], ...] | None:
        """Return, by layer, what was met that fits a member, unless beaten; None where nothing is known to fit."""
        site, known = self.has_floor(tuple((at, at + 1) for at in choice))
        return known.choices(site)

    def is_bounded(self, box: Box) -> bool:
        """Return whether something is proven of every layer on a box's floor, which it has."""
        return bool((self.least(box) > 0).any(axis=1).all())

    def corners(self, box: Box, values: _Floats) -> _Floats:
        """Return the corners ``(corners, axes)`` of a box whose layers come to so much at least."""
        return corners(values, self.repeats, self._measures, self._axes, self.least_area(box))

    def least_area(self, box: Box) -> float:
        """Return the least area of a box's designs, in um^2; infinite where there are none."""
        return float(self.area[inside(box)][self.valid[inside(box)]].min(initial=math.inf))

    def splitting(self, box: Box, apart: Apart) -> int:
        """Return the parameter to split a box without a floor along: one that changes the level in question."""
        varying = [at for at, (low, high) in enumerate(box) if high - low > 1]
        general = [at for at in varying if at in self.members.general]
        own = [at for at in varying if at in self.members.own_of.get(apart.level, ())]
        return (own or general or varying)[0]


def inside(box: Box) -> tuple[slice, ...]:
    """Return a box as an index of arrays of the family's shape."""
    return tuple(slice(*ends) for ends in box)


def lowest(box: Box) -> Choice:
    """Return the first member of a box."""
    return tuple(low for low, _ in box)


def count_of(box: Box) -> int:
    """Return how many places a box has."""
    return math.prod(high - low for low, high in box)


def widest(box: Box) -> int:
    """Return the parameter with the most values in a box."""
    return max(range(len(box)), key=lambda at: box[at][1] - box[at][0])
