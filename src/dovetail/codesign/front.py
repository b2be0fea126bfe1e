"""The proven front of loss, cost and area over all designs of a family and all choices of a network's knobs.

A *spot* is a choice on a design that keeps to a limit on cost. One spot beats another if its limit is no looser, its
design no larger and its predicted loss no higher. On one design, the choice of least loss within a limit is proven by
`dovetail.shrink.exact`. A box of designs is discarded, none of them mapped, where at every limit a spot on a design no
larger than the box's smallest loses no more than any choice can that is within the limit on the box's floor.

A floor's layers are mapped for what the limit bounds. Of energy and of cycles, a sum over layers, no member's sum is
below the floor's. Of EDP the floor knows each layer's least, and by Cauchy and Schwarz the product of a member's sums
of energies and cycles is no less than the square of the sum of the roots of its layers' EDPs: that sum of roots is to
be at most the root of the limit. Lagrange's bound on the loss of a choice within a limit on a sum holds at any price.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dovetail.family.boxes import count_of, inside, lowest
from dovetail.family.floors import Apart, Box
from dovetail.family.front import Choice as Member
from dovetail.shrink.exact import ExactSearch, Losses, Space, loss_of
from dovetail.shrink.space import Choice
from dovetail.shrink.target import Target
from dovetail.units import edp_J_cycle


@dataclass(frozen=True)
class Unmappable:
    """Some layer of a space has no mapping on a design.

    Attributes:
        reason: why.
        is_certain: whether more time would not change that.
    """

    reason: str
    is_certain: bool = True


class Hardware(Protocol):
    """Designs on a grid; `dovetail.codesign.designs.Designs` are."""

    @property
    def area_um2(self) -> NDArray[np.float64]:
        """Of the grid's shape; infinite where there is no design."""

    def apart(self, box: Box) -> Apart | None:
        """Return what tells the members of a box apart that no order ranks; None where they have a floor."""

    def space(self, box: Box) -> Space | Unmappable:
        """Return knobs, and what layers cost at least on a box that has a floor; on a single member, what they cost."""

    def is_exact(self, box: Box) -> bool:
        """Whether all costs of a box's space are proven."""

    def parts(self, box: Box, apart: Apart | None) -> tuple[Box, Box]:
        """Return two parts of a box of more than one place."""


@dataclass(frozen=True)
class Spot:
    """A choice on a design, within a limit.

    Attributes:
        target: that sets the limit.
        limit: in the unit of its metric.
        member: the design.
        area_um2: of it.
        choice: of the network's knobs.
        loss: predicted.
    """

    target: Target
    limit: float
    member: Member
    area_um2: float
    choice: Choice
    loss: float

    def beats(self, limit: float, area_um2: float, loss: float) -> bool:
        """Whether nothing of such a limit, area and loss adds anything to it."""
        return self.limit <= limit and self.area_um2 <= area_um2 and self.loss <= loss


@dataclass(frozen=True)
class Front:
    """What no other spot beats.

    Attributes:
        spots: by falling limit, then rising area.
        proven: of every target, whether no choice on any design adds a spot within it.
        mapped: designs whose layers were mapped at every choice.
        bounded: how many were discarded by bounds.
        unmappable: why a layer has no mapping on a design, and on how many.
    """

    spots: tuple[Spot, ...]
    proven: Mapping[Target, bool]
    mapped: tuple[Member, ...]
    bounded: int
    unmappable: Mapping[str, int]


def least_loss(space: Space, metric: str, losses: Losses, limit: float) -> float:
    """Return what no choice loses less than that is within a limit on a design, or on one that this is a floor of.

    Args:
        space: the knobs, and what layers cost, mapped for the metric.
        metric: ``edp``, ``energy`` or ``cycles``.
        losses: what each option loses.
        limit: in the unit of the metric.
    """
    if metric != "edp":
        return ExactSearch(space, metric).least_loss(losses, limit)
    roots = [replace(table, energy_pJ=np.sqrt(table.energy_pJ * table.cycles)) for table in space.tables]
    most = math.sqrt(limit / edp_J_cycle(1.0, 1.0)) * 1e-6  # as a limit on energy, which is in uJ, would be
    return ExactSearch(SimpleNamespace(knobs=space.knobs, tables=roots), "energy").least_loss(losses, most)


def front(
    hardware: Hardware, metric: str, losses: Losses, limits: Mapping[Target, float], most: int,
    seeds: Sequence[Member] = (),
) -> Front:  # fmt: skip
    """Return the front over all designs and choices.

    Args:
        hardware: the designs.
        metric: what limits are on: ``edp``, ``energy`` or ``cycles``, for which layers are mapped.
        losses: what each option of each knob loses.
        limits: per target, in the unit of the metric.
        most: choices that the proof of one design and target visits at most.
        seeds: designs that are mapped first.
    """
    return _Looking(hardware, metric, losses, limits, most).front(seeds)


class _Looking:
    """One search."""

    def __init__(
        self, hardware: Hardware, metric: str, losses: Losses, limits: Mapping[Target, float], most: int
    ) -> None:
        self.hardware, self.metric, self.losses, self.limits, self.most = hardware, metric, losses, limits, most
        self.lowest = float(sum(np.min(each) for each in losses))
        self.left = np.isfinite(hardware.area_um2)
        self.spots: list[Spot] = []
        self.proven = dict.fromkeys(limits, True)
        self.mapped: list[Member] = []
        self.bounded, self.unmappable = 0, dict[str, int]()

    def front(self, seeds: Sequence[Member]) -> Front:
        for member in seeds:
            self._map(member)
        whole = tuple((0, size) for size in self.left.shape)
        waiting = [(self._least_area(whole), whole)]
        while waiting:
            area, box = heapq.heappop(waiting)
            if not self.left[inside(box)].any():
                continue
            if count_of(box) == 1:
                self._map(lowest(box))
                continue
            apart = self.hardware.apart(box)
            if apart is None and not self._holds_a_spot(box) and self._settled(box, area):
                self.left[inside(box)] = False
                continue
            for part in self.hardware.parts(box, apart):
                heapq.heappush(waiting, (self._least_area(part), part))
        spots = sorted(self.spots, key=lambda each: (-each.limit, each.area_um2, each.member))
        return Front(tuple(spots), self.proven, tuple(self.mapped), self.bounded, self.unmappable)

    def _least_area(self, box: Box) -> float:
        """Return the least area of the members of a box that are left."""
        return float(self.hardware.area_um2[inside(box)][self.left[inside(box)]].min(initial=math.inf))

    def _holds_a_spot(self, box: Box) -> bool:
        """Whether a box has a design on the front so far: its floor costs no more, so it would not be discarded."""
        return any(
            all(low <= at < high for at, (low, high) in zip(each.member, box, strict=True)) for each in self.spots
        )

    def _settled(self, box: Box, area: float) -> bool:
        """Whether nothing in a box adds a spot, or can be mapped, by what its floor says."""
        count = int(self.left[inside(box)].sum())
        if all(self._beaten(limit, area, self.lowest) for limit in self.limits.values()):  # nothing is to be mapped
            self.bounded += count
            return True
        space = self.hardware.space(box)
        if isinstance(space, Unmappable):
            if space.is_certain:
                self.unmappable[space.reason] = self.unmappable.get(space.reason, 0) + count
            return space.is_certain
        if not self.hardware.is_exact(box) or not all(
            self._beaten(limit, area, least_loss(space, self.metric, self.losses, limit))
            for limit in self.limits.values()
        ):
            return False
        self.bounded += count
        return True

    def _map(self, member: Member) -> None:
        """Take in the best choices on one design."""
        self.left[member] = False
        box, area = tuple((at, at + 1) for at in member), float(self.hardware.area_um2[member])
        space = self.hardware.space(box)
        if isinstance(space, Unmappable):
            self.unmappable[space.reason] = self.unmappable.get(space.reason, 0) + 1
            self._doubt(not space.is_certain)
            return
        self._doubt(not self.hardware.is_exact(box))
        self.mapped.append(member)
        search = ExactSearch(space, self.metric)
        for target, limit in sorted(self.limits.items(), key=lambda item: item[1]):
            if self._beaten(limit, area, least_loss(space, self.metric, self.losses, limit)):
                continue
            choice, proven = search.best_within(self.losses, limit, self.most)
            if choice is None:
                self.proven[target] &= search.none_within(limit, self.most)
                continue
            self.proven[target] &= proven
            self._add(Spot(target, limit, member, area, choice, loss_of(self.losses, choice)))

    def _doubt(self, is_doubtful: bool) -> None:
        """Note that costs of a design may not be the least, so that nothing is proven."""
        if is_doubtful:
            self.proven = dict.fromkeys(self.proven, False)

    def _beaten(self, limit: float, area: float, loss: float) -> bool:
        return math.isinf(loss) or any(spot.beats(limit, area, loss) for spot in self.spots)

    def _add(self, spot: Spot) -> None:
        if not self._beaten(spot.limit, spot.area_um2, spot.loss):
            beaten = [each for each in self.spots if spot.beats(each.limit, each.area_um2, each.loss)]
            self.spots = [each for each in self.spots if each not in beaten] + [spot]


__all__ = ["Front", "Hardware", "Spot", "Unmappable", "front", "least_loss"]
