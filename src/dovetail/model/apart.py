"""What costs energy apart from accesses: networks by hops, routers and wires, and address generators.

Counted for one mapping at a time, as the reference counts it (its ``model/network-legacy.cpp``, ``buffer.cpp`` and
``loop-analysis/nest-analysis.cpp``). How far words travel depends on where the children that share them lie, which the
search does not follow: it refuses designs in which that costs anything (`refuse_apart`).
"""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Level, Storage, Wires
from dovetail.mapping.widths import held
from dovetail.model import kernel, residual, sharing
from dovetail.model.arrays import Floats, Ints, Nest, Residuals, Rules, Tour, Workspace, tour, workspace
from dovetail.model.charges import PARTITION
from dovetail.model.links import groups_of_children, half_hops
from dovetail.model.passes import children_of
from dovetail.workload.problem import Problem

#: The table's component that gives wires their energy (pJ per bit and mm), and its action.
WIRE, TRANSFER = ("wire", "Wire"), "transfer_random"


class Route(NamedTuple):
    """Words that go to equally many children each, in groups of which there are equally many.

    Attributes:
        receivers: children that each word goes to.
        words: put on the network, per instance of the outer level.
        hops: that all of them make together.
    """

    receivers: int
    words: float
    hops: float


def refuse_apart(architecture: Architecture, energies: EnergyTable) -> None:
    """Refuse a design in which something costs energy apart from accesses.

    Raises:
        InputError: it names the level and the attribute.
    """
    for level in architecture.levels[:-1]:
        wires = wires_of(level, energies)
        charges = {"addr_gen_energy": level.address_pJ} if isinstance(level, Storage) else {}
        if wires is not None:
            charges |= {"router_energy": wires.router_pJ, "energy-per-ingress": wires.ingress_pJ}
            charges |= {"wire_energy": wires.wire_pJ} if wires.hop_pJ is None else {"energy_per_hop": wires.hop_pJ}
        for name, charge in charges.items():
            if charge:
                raise InputError(
                    f"{level.name}: '{name}' is {charge:g}; `dovetail evaluate` counts it, but a search for mappings "
                    "cannot yet: leave it out, or set it to 0"
                )


def wires_of(level: Level, energies: EnergyTable) -> Wires | None:
    """Return what the network below a level costs: what the design says, and the energy table of wires."""
    for name in WIRE:
        cost = energies.components.get(name)
        if cost is not None and cost.actions.get(TRANSFER, 0.0) > 0:
            own = level.wires or Wires(word_bits=level.datawidth if isinstance(level, Storage) else 1)
            return replace(own, wire_pJ=cost.actions[TRANSFER])
    return level.wires


def hop_energies(architecture: Architecture, energies: EnergyTable) -> tuple[float, ...]:
    """Return pJ of one word over one hop of the network below each level, outer to inner, without compute."""
    found: list[float] = []
    area, inside = 0.0, 0
    for level in reversed(architecture.levels):
        if inside:
            found.append(_hop_energy(wires_of(level, energies), math.sqrt(area)))
        area = _area(level, energies) + area * (inside // level.instances)
        inside = level.instances
    return tuple(reversed(found))


def _hop_energy(wires: Wires | None, inner_width_um: float) -> float:
    if wires is None:
        return 0.0
    if wires.hop_pJ is not None:
        return wires.hop_pJ
    width = inner_width_um if wires.tile_width_um is None else wires.tile_width_um
    return wires.word_bits * (width / 1000) * wires.wire_pJ


def _area(level: Level, energies: EnergyTable) -> float:
    cost = energies.components.get(level.name)
    return 0.0 if cost is None else cost.area_um2


#: By level and tensor, words of the storage there that never come in: of outputs that it cannot add up.
Carried = Mapping[tuple[int, int], int]


def carried(architecture: Architecture, rules: Rules, nest: Nest, counts: Ints) -> Carried:
    """Return the partitions of outputs in storages that add nothing up: their sums run back and forth below.

    Every update then takes two words on the network, but for the first of each word (``network-legacy.cpp``).
    """
    return {
        (i, t): int(counts[i, t, PARTITION]) * int(nest.keep[i, t])
        for i, level in enumerate(architecture.levels)
        if isinstance(level, Storage) and not level.adds
        for t in np.flatnonzero(rules.is_output).tolist()
    }


def network_energy(
    architecture: Architecture,
    energies: EnergyTable,
    routes: Routes,
    work: Workspace,
    both_ways: Carried,
) -> Floats:
    """Return ``(levels, tensors)`` pJ of the network below each level, over all instances of the level.

    Args:
        architecture: the design.
        energies: for areas, which give wires their lengths, and for the energy of wires.
        routes: of the mapping's words.
        work: with the traffic of the mapping, as counting leaves it.
        both_ways: as `carried` gives it.
    """
    result = np.zeros(work.statistics.shape[:2])
    hops = hop_energies(architecture, energies)
    for i, level in enumerate(architecture.levels[:-1]):
        wires = wires_of(level, energies)
        if wires is not None:
            for t in range(len(routes.rules.is_output)):
                each = _routed_energy(_doubled(routes.below(i, t, hops=True), both_ways.get((i, t))), wires, hops[i])
                each += int(work.statistics[i, t, kernel.LINKED]) * (hops[i] + 2 * wires.router_pJ)
                result[i, t] = each * int(work.instances[i])
    return result


def network_shares(problem: Problem, architecture: Architecture) -> Floats:
    """Return ``(levels, tensors)`` what a word of a tensor takes of a word of the network below each level.

    Networks carry words as the storage outside of them has them.
    """
    shares = np.array([[float(each.words) for each in row] for row in held(problem, architecture)])
    for i, level in enumerate(architecture.levels[:-1]):
        if not isinstance(level, Storage):
            shares[i] = shares[i - 1]
    return shares


def ingresses(routes: Routes, work: Workspace, both_ways: Carried) -> Floats:
    """Return ``(levels, tensors)`` words put on the network below each level, per instance of the level."""
    sent = work.statistics[:, :, kernel.SENT].astype(np.float64)
    for place, partition in both_ways.items():
        sent[place] = sum(route.words for route in _doubled(routes.below(*place), partition))
    return sent


def spatial_reductions(routes: Routes, work: Workspace, both_ways: Carried, level: int, tensor: int) -> int:
    """Return the partial sums of an output added on the network below a level, per instance of the level.

    Words that a level inside lets pass by are fractions; sums are cut off to an integer each time that words with other
    receivers are added. The arguments are those of `network_energy`.
    """
    row = work.statistics[level, tensor]
    if int(work.children[level]) == 1:
        return 0
    twice, keep = both_ways.get((level, tensor)), routes.nest.keep
    if twice is None and (level + 1 == keep.shape[0] or keep[level + 1, tensor]):
        return int(row[kernel.DELIVERED] - row[kernel.SENT])
    total = 0
    for route in _doubled(routes.below(level, tensor), twice):
        total = int(total + (route.receivers - 1) * route.words)
    return total


def _doubled(routes: list[Route], partition: int | None) -> list[Route]:
    """Return ways whose words go back and forth but for a partition; as they are where there is None."""
    if partition is None:
        return routes
    return [route._replace(words=2 * route.words - partition) for route in routes]


def _routed_energy(routes: Sequence[Route], wires: Wires, hop_pJ: float) -> float:
    """Return pJ of what one instance sends.

    A word touches one router more than the whole hops that it makes on average; touched ones are cut off to an integer
    as they are added up.
    """
    travelled, words, touched = 0.0, 0.0, 0
    for route in routes:
        travelled += route.hops
        words += route.words
        touched = int(touched + (1 + math.floor(route.hops / route.words)) * route.words)
    return travelled * hop_pJ + touched * wires.router_pJ + words * wires.ingress_pJ


class Routes:
    """The ways of one mapping's words."""

    def __init__(self, rules: Rules, nest: Nest, last: Residuals) -> None:
        tensors, axes, dims = rules.coefficients.shape
        levels = nest.temporal.shape[0]
        self.rules, self.nest, self.last = rules, nest, last
        self.work: Workspace = workspace(levels, tensors, axes, dims)
        self.tour: Tour = tour(levels, axes, dims)
        kernel.tile_sizes(nest, self.work)
        residual.outline(nest, last, self.work, self.tour)
        self.whole = bool((last.temporal == nest.temporal).all() and (last.spatial == self.work.spatial).all())

    def below(self, level: int, tensor: int, *, hops: bool = False) -> list[Route]:
        """Return the ways below a level, by rising receivers; without ``hops``, which take long to count, those are 0.

        Levels that the tensor passes by make more words of those that one step sends, but not more hops.
        """
        scale = self._scale(level, tensor)
        return [route._replace(words=route.words * scale) for route in self._sent(level, tensor, hops) if route.words]

    def _scale(self, level: int, tensor: int) -> float:
        """Return how many words pass a level for each that the level right inside is sent."""
        inside = level + 1
        if inside == self.nest.keep.shape[0] or self.nest.keep[inside, tensor]:
            return 1.0
        asked = sum(route.words for route in self.below(inside, tensor)) * int(self.work.children[level])
        return asked / sum(route.words * route.receivers for route in self._sent(level, tensor, False))

    def _sent(self, level: int, tensor: int, hops: bool) -> list[Route]:
        """Return the ways below a level, as if the level inside kept the tensor."""
        row, children = self.work.statistics[level, tensor], int(self.work.children[level])
        if self.whole:
            kernel.fan_out(self.rules, tensor, level, self.nest, self.work)
        else:
            residual.send(self.rules, tensor, level, self.nest, self.last, self.work, self.tour)
        if children == 1:
            return [Route(1, float(row[kernel.SENT]), 0.0)]
        if row[kernel.LINKED] > 0 or (self.last.spatial[level] != self.work.spatial[level]).any():
            return self._walked(level, tensor)
        shared = not self.rules.no_multicast[level, tensor]
        different, most = sharing.tiles_handed_out(self.rules, tensor, level, self.work)
        if not hops and shared and different * most == children:
            return [Route(int(most), float(row[kernel.SENT]), 0.0)]
        positions = np.zeros((children, self.rules.coefficients.shape[1]), np.int64)
        children_of(self.rules, tensor, level, self.nest, self.last, 0, self.work, positions)
        everyone = np.ones(children, np.bool_)
        groups = groups_of_children(positions, everyone, shared)
        reach = half_hops(positions, everyone, shared, self.rules.grid[level]) if hops else np.zeros_like(groups)
        each = float(row[kernel.SENT] / groups.sum())
        return [Route(n, each * int(groups[n]), each * int(reach[n]) / 2) for n in np.flatnonzero(groups).tolist()]

    def _walked(self, level: int, tensor: int) -> list[Route]:
        """Return the ways where they change as the nest runs: neighbours pass words on, or some children rest."""
        keys, words, half, used = residual.visit_all(
            self.rules, tensor, level, self.nest, self.last, self.work, self.tour, True
        )
        several = int(self.work.children[level]) + 1
        return [Route(int(keys[at]) // several, float(words[at]), float(half[at]) / 2) for at in range(used)]
