"""The floor of a box of designs: one design that costs no more than any of them, whatever runs on it.

Where members differ in how much a level holds, how fast it is, what its actions cost and how far a fan-out reaches, the
design with the most of the first two and of the last and the least of the third allows every mapping that any member
allows, and none costs more on it in energy or cycles: counts do not depend on sizes, cycles fall with bandwidths, and
energy is a sum of counts times prices, plus leakage of the instances in use over the cycles. Where members differ in
anything else (line widths, constraints, levels), there is no such design, and the box has to be split.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.family.front import Choice
from dovetail.family.members import Members, Site
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage

#: Per parameter the first value and the one behind the last.
Box = tuple[tuple[int, int], ...]
_BANDWIDTHS = ("read_bandwidth", "write_bandwidth", "shared_bandwidth")


@dataclass(frozen=True)
class Floor:
    """A design at most as costly as all members of a box.

    Attributes:
        architecture: with the largest sizes.
        energies: with the lowest prices.
    """

    architecture: Architecture
    energies: EnergyTable


@dataclass(frozen=True)
class Apart:
    """There is no floor: what tells members apart that no order ranks.

    Attributes:
        level: the level that they differ in; empty where they have not the same levels.
    """

    level: str


class Floors:
    """Floors of boxes of a family; what one level comes to in a box is remembered."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._levels: dict[tuple[str, Box], Site | None] = {}

    def of(self, box: Box) -> Floor | Apart:
        """Return the floor of a box that has a member."""
        members = self._members
        frames = [frame for _, frame in members.general_values(box)]
        first = frames[0].architecture
        names = [level.name for level in first.levels]
        for frame in frames[1:]:
            other = frame.architecture
            alike = (other.cycle_seconds, other.component_classes) == (first.cycle_seconds, first.component_classes)
            if not alike or [level.name for level in other.levels] != names:
                return Apart("")
            if _meshes(other) != _meshes(first) and any(level.wires for level in first.levels):
                return Apart("")  # how long wires are depends on how many instances lie between
        sites: dict[str, Site] = {}
        for name in names:
            site = self._level(name, box)
            if site is None:
                return Apart(name)
            sites[name] = site
        costs = {name: site.cost for name, site in sites.items()}
        levels = tuple(sites[name].level for name in names)
        return Floor(replace(first, levels=levels, name=f"{first.name} and others"), EnergyTable(costs))

    def _level(self, name: str, box: Box) -> Site | None:
        members = self._members
        parameters = members.general + members.own_of.get(name, ())
        key = name, tuple(box[at] for at in parameters)
        if key not in self._levels:
            self._levels[key] = lowest(list(self._sites(name, box)))
        return self._levels[key]

    def _sites(self, name: str, box: Box) -> Iterator[Site]:
        members = self._members
        own = members.own_of.get(name, ())
        choice = [low for low, _ in box]
        for general, _ in members.general_values(box):
            for values in itertools.product(*(range(*box[at]) for at in own)):
                for at, value in zip(members.general + own, general + values, strict=True):
                    choice[at] = value
                site = members.site(name, tuple(choice))
                if isinstance(site, Site):
                    yield site


def lowest(sites: Sequence[Site]) -> Site | None:
    """Return a level that is at least as large, fast and cheap as each of several; None where they cannot be ranked."""
    levels = [site.level for site in sites]
    first = levels[0]
    if any(_kind(level) != _kind(first) for level in levels[1:]):
        return None
    changed: dict[str, Any] = {}
    if isinstance(first, Storage):
        storages = [level for level in levels if isinstance(level, Storage)]
        changed = {name: _most(getattr(each, name) for each in storages) for name in ("depth", "entries", *_BANDWIDTHS)}
        if first.entries is None:
            del changed["entries"]
        changed["address_pJ"] = min(each.address_pJ for each in storages)
    elif isinstance(first, Spatial):
        fans = [level for level in levels if isinstance(level, Spatial)]
        changed = {
            "fanout_x": max(each.fanout_x for each in fans),
            "fanout_y": max(each.fanout_y for each in fans),
        }
    widest = max(levels, key=lambda level: level.instances)
    changed |= {"mesh_x": widest.mesh_x, "mesh_y": widest.mesh_y}
    return Site(replace(first, **changed), _cheapest([site.cost for site in sites]))


def kind_of(floor: Floor) -> tuple[object, ...]:
    """Return what must be the same of designs for what is known of one to say anything of another."""
    architecture = floor.architecture
    actions = [sorted(floor.energies[level.name].actions) for level in architecture.levels]
    wired = any(level.wires is not None for level in architecture.levels)
    meshes = _meshes(architecture) if wired else []
    kinds = [_kind(level) for level in architecture.levels]
    return kinds, actions, meshes, architecture.cycle_seconds, architecture.component_classes


def _kind(level: Level) -> Level:
    """Return what must be the same of levels that are ranked: the level without what ranks them."""
    if isinstance(level, Spatial):
        # What neighbours pass on depends on where they stand: then the array itself tells levels apart.
        if not _never_links(level) or level.constraints.spatial.maximize or level.wires is not None:
            return replace(level, attributes={})
        return replace(level, attributes={}, mesh_x=1, mesh_y=1, fanout_x=1, fanout_y=1)
    if isinstance(level, Storage):
        meshes = {} if level.cluster_size > 1 else {"mesh_x": 1, "mesh_y": 1}
        bandwidths = dict.fromkeys(_BANDWIDTHS, 1.0)
        depth, entries = (None if size is None else 1 for size in (level.depth, level.entries))
        return replace(level, attributes={}, depth=depth, entries=entries, address_pJ=0.0, **bandwidths, **meshes)  # type: ignore[arg-type]
    assert isinstance(level, Compute)
    return replace(level, attributes={}, mesh_x=1, mesh_y=1)


def _meshes(architecture: Architecture) -> list[tuple[int, int]]:
    return [(level.mesh_x, level.mesh_y) for level in architecture.levels]


def _never_links(level: Spatial) -> bool:
    return "*" in level.constraints.spatial.no_link_transfer


def _most(values: Iterable[float | None]) -> float | None:
    """Return the largest; None stands for no bound."""
    most: float | None = 0
    for value in values:
        most = None if value is None or most is None else max(most, value)
    return most


def _cheapest(costs: Sequence[ComponentCost]) -> ComponentCost:
    actions = {name: min(cost.actions.get(name, 0.0) for cost in costs) for name in costs[0].actions}
    return ComponentCost(actions, min(cost.area_um2 for cost in costs), "the least of several")


def members_of(box: Box) -> Iterable[Choice]:
    """Yield all choices of a box."""
    return itertools.product(*(range(*ends) for ends in box))
