"""What an exploration of a family found: its front, what was discarded and why, and what is still open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.family.family import Family
from dovetail.family.floors import Box
from dovetail.family.front import Axis, Choice, Point
from dovetail.json_text import json_document, save_json
from dovetail.mapping.mapping import Mapping
from dovetail.network.optimum import LayerFront, minimum_energy
from dovetail.network.readings import Read
from dovetail.table import Table, headed
from dovetail.workload.network import Layer, Network
from dovetail.workload.roles import Reading

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class State:
    """How far an exploration is.

    Attributes:
        designs: members that are designs.
        settled: mapped, bounded away or found impossible.
        mapped: mapped.
        points: on the front.
        gap: by what factor the front may be above the true one; infinite before there is anything to compare.
        seconds: since the start.
    """

    designs: int
    settled: int
    mapped: int
    points: int
    gap: float
    seconds: float


#: What every point costs, and what it costs beside where that is an axis.
_KEYS = ("area_um2", "energy_pJ", "cycles", "edp_J_cycle")
_MORE = {Axis.TRAFFIC: "traffic_bytes", Axis.POWER: "power_W"}


@dataclass(frozen=True)
class Discarded:
    """A box whose members were never mapped.

    Attributes:
        box: per parameter the first value's place and the one behind the last.
        count: members that are designs.
        corners: values on the axes; whatever its members cost is at or above one of them, and a point of the front, or
            a budget, is at or below every one.
    """

    box: Box
    count: int
    corners: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Unmappable:
    """A box on whose floor some layer cannot be mapped, so on none of its members."""

    box: Box
    count: int
    reason: str


@dataclass(frozen=True)
class Taken:
    """How a point comes about.

    Attributes:
        reads: every layer's results on the member.
        fronts: what each layer has to choose from; None where each takes its own best.
    """

    reads: tuple[Read, ...]
    fronts: tuple[LayerFront, ...] | None


@dataclass(frozen=True)
class LayerAt:
    """What a layer does at a point: its mapping, and how many of its runs take it."""

    layer: Layer
    reading: Reading
    mapping: Mapping
    runs: int


@dataclass(frozen=True, repr=False)
class Exploration:
    """The front of a family.

    Attributes:
        family: the designs.
        network: what ran on them.
        axes: what the front is over.
        designs: members that are designs.
        mapped: how many were mapped.
        bounded: those that were discarded by bounds.
        unmappable: boxes of those that some layer cannot be mapped on, with the reason and how many they are.
        skipped: members that are no designs, by reason.
        mapped_choices: which.
        points: by rising values of the first axis, then of the others.
        gap: by what factor the true front may be below this one: 1 when proven.
        proven: nothing that the front lacks is better than it on any axis.
        discarded: the boxes.
        layers: distinct ones.
        taken: how each point comes about.
        searches: layers' searches that ran.
        reused: those that a larger, cheaper design's result answered.
        seconds: all in all.
        interrupted: whether a KeyboardInterrupt ended it.
        unread: members that were not looked at in time: nobody knows whether they are designs, nor what they cost.
        method: how members were chosen that were mapped: ``exact``, or a sampler, which proves nothing.
        below: the front that this one was picked from; None: it was explored as it is.
    """

    family: Family
    network: Network
    axes: tuple[Axis, ...]
    designs: int
    mapped: int
    bounded: int
    unmappable: tuple[Unmappable, ...]
    skipped: MappingOf[str, int]
    mapped_choices: tuple[Choice, ...] = field(repr=False)
    points: tuple[Point, ...]
    gap: float
    proven: bool
    discarded: tuple[Discarded, ...] = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)
    taken: MappingOf[Point, Taken] = field(repr=False)
    searches: int = 0
    reused: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    unread: int = 0
    method: str = "exact"
    below: Exploration | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        proof = "proven" if self.proven else "not proven"
        counts = f"{len(self.points)} points of {self.designs} designs, {self.mapped} mapped, {proof}"
        return f"<Exploration {self.network.name} on {self.family.name}: {counts}>"

    def _repr_html_(self) -> str:
        return self.table().html(repr(self).strip("<>"))

    def table(self) -> Table:
        """Return a row per point: the member's values, its `costs`."""
        rows = [
            (self.family.member_name(point.choice), *self.family.values(point.choice).values(), *costs.values())
            for point in self.points
            for costs in (self.costs(point),)
        ]
        names = [each.name for each in self.family.parameters]
        keys = (*_KEYS, *(key for axis, key in _MORE.items() if axis in self.axes))
        return Table(headed("design", *names, *keys), tuple(rows))

    def costs(self, point: Point) -> dict[str, float]:
        """Return what a point costs: um^2, pJ, cycles, J x cycle; bytes and W where they are axes."""
        costs = dict(zip(_KEYS, (point.area_um2, point.energy_pJ, point.cycles, point.edp_J_cycle), strict=True))
        return costs | {key: point.value(axis) for axis, key in _MORE.items() if axis in self.axes}

    def to_frame(self) -> pandas.DataFrame:
        """Return `table` as pandas' data frame; pandas is an extra."""
        return self.table().to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: an object as ``dovetail explore --json`` prints."""
        return json_document("exploration", {**self.to_json(), "notes": list(self.network.notes)})

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def __str__(self) -> str:
        """Return the front as a table."""
        return self.table().titled(repr(self)[1:-1])

    @property
    def open(self) -> int:
        """Members that are neither mapped, nor discarded, nor impossible."""
        return self.designs - self.mapped - self.bounded - sum(each.count for each in self.unmappable)

    @property
    def unmappable_by_reason(self) -> dict[str, int]:
        """How many members some layer cannot be mapped on, by reason."""
        found: dict[str, int] = {}
        for each in self.unmappable:
            found[each.reason] = found.get(each.reason, 0) + each.count
        return found

    def mappings(self, point: Point) -> Iterator[LayerAt]:
        """Yield what every layer does at a point of the front; runs of one layer may take different mappings."""
        taken = self.taken[point]
        choice = None if taken.fronts is None else minimum_energy(taken.fronts, point.cycles)
        for place, (layer, read) in enumerate(zip(self.layers, taken.reads, strict=True)):
            if choice is None:
                yield LayerAt(layer, read.reading, read.result.mapping, layer.repeats)
                continue
            for at, runs in enumerate(choice.counts[place]):
                if runs:
                    found = read.result.front[at]
                    yield LayerAt(layer, found.reading or read.reading, found.mapping, runs)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "family": self.family.name,
            "network": self.network.name,
            "axes": [str(axis) for axis in self.axes],
            "method": self.method,
            "parameters": {each.name: list(each.labels) for each in self.family.parameters},
            "budgets": [str(each) for each in self.family.budgets],
            "designs": self.designs,
            "mapped": self.mapped,
            "bounded": self.bounded,
            "unmappable": self.unmappable_by_reason,
            "skipped": dict(self.skipped),
            "unread": self.unread,
            "open": self.open,
            "proven": self.proven,
            "gap": self.gap - 1 if math.isfinite(self.gap) else None,
            "searches": self.searches,
            "reused": self.reused,
            "seconds": self.seconds,
            "front": [self.point_json(point) for point in self.points],
        }

    def point_json(self, point: Point) -> dict[str, Any]:
        """Return a point as plain data."""
        return {
            "design": self.family.member_name(point.choice),
            "parameters": self.family.values(point.choice),
            **self.costs(point),
        }
