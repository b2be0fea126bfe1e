"""The front of a family: points that no other beats on any of two or three axes, and what it leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError, did_you_mean
from dovetail.mapper.objective import Objective
from dovetail.units import edp_J_cycle

#: A member: the place of each parameter's value among its values.
Choice = tuple[int, ...]


#: Corners that are kept of a discarded box, where they are enough to discard it.
_CORNERS = 16
#: What stands for nothing at all where it is divided by.
_LEAST = 1e-30


class Axis(StrEnum):
    """What a front is over.

    ``traffic`` is what goes to and from the outermost level (`dovetail.family.traffic`); ``power`` is energy over time,
    of points that no other beats in area, energy and cycles (`dovetail.family.power`).
    """

    AREA = "area"
    ENERGY = "energy"
    CYCLES = "cycles"
    EDP = "edp"
    TRAFFIC = "traffic"
    POWER = "power"

    @property
    def unit(self) -> str:
        """The unit of its values."""
        return {
            Axis.AREA: "um^2",
            Axis.ENERGY: "pJ",
            Axis.CYCLES: "cycles",
            Axis.EDP: "J x cycle",
            Axis.TRAFFIC: "bytes",
            Axis.POWER: "W",
        }[self]

    @property
    def objective(self) -> Objective | None:
        """What a layer minimises for its sake; None where no mapping changes it.

        Traffic is energy at prices of its own. Power has no objective: less of it is always to be had by idling.
        """
        return {
            Axis.AREA: None,
            Axis.ENERGY: Objective.ENERGY,
            Axis.CYCLES: Objective.LATENCY,
            Axis.EDP: Objective.EDP,
            Axis.TRAFFIC: Objective.ENERGY,
            Axis.POWER: None,
        }[self]


#: What traffic cannot be weighed against: a mapping is searched for by one of them and cycles.
_PAID = (Axis.ENERGY, Axis.EDP, Axis.POWER)


def read_axes(text: str) -> tuple[Axis, ...]:
    """Return two or three axes from words with commas between them.

    Raises:
        InputError: a word is no axis, or stands twice; or they are not two or three; or they do not go together.
    """
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in list(Axis):
            raise InputError(f"'{word[:40]}' is no axis{did_you_mean(word, Axis)}")
    if len(set(words)) != len(words) or not 2 <= len(words) <= 3:
        raise InputError(f"a front has two or three different axes, such as area,energy,cycles; found '{text[:60]}'")
    axes = tuple(map(Axis, words))
    beside = next((axis for axis in _PAID if axis in axes), None)
    if Axis.TRAFFIC in axes and beside is not None:
        raise InputError(
            f"traffic and {beside} are no axes of one front: no search proves both; traffic goes with area and cycles"
        )
    return axes


@dataclass(frozen=True)
class Point:
    """A member of a family with its layers' mappings chosen.

    Attributes:
        choice: the member.
        area_um2: of the member.
        energy_pJ: of all networks.
        cycles: of all networks.
        traffic_bytes: to and from the outermost level, of all networks; None: that was not asked for.
        power_W: of the member at its clock; likewise.
    """

    choice: Choice
    area_um2: float
    energy_pJ: float
    cycles: int
    traffic_bytes: float | None = None
    power_W: float | None = None

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product in joules times cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    @property
    def paid(self) -> float:
        """What its searches were paid in: see `point_paying`."""
        return self.energy_pJ if self.traffic_bytes is None else self.traffic_bytes

    def value(self, axis: Axis) -> float:
        """Return where it lies on an axis."""
        return {
            Axis.AREA: self.area_um2,
            Axis.ENERGY: self.energy_pJ,
            Axis.CYCLES: float(self.cycles),
            Axis.EDP: self.edp_J_cycle,
            Axis.TRAFFIC: math.nan if self.traffic_bytes is None else self.traffic_bytes,
            Axis.POWER: math.nan if self.power_W is None else self.power_W,
        }[axis]


def point_at(choice: Choice, axes: Sequence[Axis], corner: Sequence[float]) -> Point:
    """Return a corner of a box as if it were a point of its first member; what it does not say is nothing."""
    at = dict(zip(axes, corner, strict=True))
    cycles = max(1, math.floor(at.get(Axis.CYCLES, 1.0)))
    return Point(choice, at.get(Axis.AREA, 0.0), at.get(Axis.ENERGY, 0.0), cycles, at.get(Axis.TRAFFIC))


def point_paying(choice: Choice, axes: Sequence[Axis], area_um2: float, paid: float, cycles: int) -> Point:
    """Return a point of a member whose searches were paid in pJ; in bytes, where traffic is an axis."""
    if Axis.TRAFFIC in axes:
        return Point(choice, area_um2, 0.0, cycles, paid)
    return Point(choice, area_um2, paid, cycles)


class Front:
    """Points that no other beats; see `Axis`.

    Attributes:
        axes: what it is over.
        points: in the order they were found.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self.points: list[Point] = []
        self._values: NDArray[np.float64] = np.empty((0, len(self.axes)))

    def add(self, point: Point) -> bool:
        """Take a point in unless another is at least as good on every axis; those that it beats go."""
        values = np.array([point.value(axis) for axis in self.axes])
        if bool((self._values <= values).all(axis=1).any()):
            return False
        kept = np.logical_not(np.all(self._values >= values, axis=1))
        self.points = [each for each, stays in zip(self.points, kept.tolist(), strict=True) if stays] + [point]
        self._values = np.vstack([self._values[kept], values])
        return True

    def gap(self, corners: NDArray[np.float64]) -> float:
        """Return by what factor the front is at most above corners that nothing in question goes below.

        Of every corner ``(corners, axes)`` that is how far its nearest point is above it: the factor of energy, cycles
        or EDP, whichever is furthest, among the points of no more area. 1 or less: whatever lies above the corners is
        no better than a point. Infinite: some corner has no point of so little area.
        """
        values, rows = self._values, corners
        allowed = np.ones((len(rows), len(values)), np.bool_)
        if Axis.AREA in self.axes:
            place = self.axes.index(Axis.AREA)
            allowed = values[None, :, place] <= rows[:, None, place]
            values, rows = np.delete(values, place, axis=1), np.delete(rows, place, axis=1)
        if not len(values) or not bool(allowed.any(axis=1).all()):
            return math.inf
        factors = (values[None] / np.maximum(rows, _LEAST)[:, None]).max(axis=2)
        return float(np.where(allowed, factors, math.inf).min(axis=1).max())

    def sorted(self) -> list[Point]:
        """Return the points by rising values of the first axis, then of the others."""
        return sorted(self.points, key=lambda point: [point.value(axis) for axis in self.axes])


def few(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most so many corners, each below those that it stands for."""
    groups = np.array_split(corners, min(len(corners), _CORNERS))
    return np.array([group.min(axis=0) for group in groups])
