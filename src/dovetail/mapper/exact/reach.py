"""How few cycles a design lets a layer take: a bound from the tables, and a mapping that shows how near one comes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import DovetailError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapper.exact.physical import cycles_by_bandwidth
from dovetail.mapper.exact.space import OutOfReach, Space, build_space
from dovetail.mapper.exact.tables import Tables, build_tables, completions
from dovetail.mapper.local.improve import improve
from dovetail.mapper.objective import Objective
from dovetail.workload.problem import Problem

#: Tiles of the largest space whose tables are worth the seconds that they take here.
MOST_TILES = 200_000


class Shown(NamedTuple):
    """Cycles that some mapping takes, and the compute units that it uses."""

    cycles: float
    units: int


@dataclass(frozen=True)
class Reach:
    """A layer on a design, as it is or with something lifted.

    Attributes:
        space: its mapspace.
        tables: what is known of every tile.
        energies: what the components cost.
    """

    space: Space
    tables: Tables
    energies: EnergyTable

    @property
    def units(self) -> int:
        """Compute units that work at a time at most: some mapping uses so many, if none of its levels limits loops."""
        return int(self.tables.parallelism[0, -1])

    @cached_property
    def bound(self) -> float:
        """Cycles that no mapping goes below."""
        return max(self.space.problem.macs / self.units, cycles_by_bandwidth(self.space))

    @property
    def certain(self) -> bool:
        """Whether some mapping takes just the bound: neither bandwidth nor the number of loops can be in the way."""
        space = self.space
        storages = [most for most, spatial in zip(space.most_loops, space.is_spatial, strict=True) if not spatial]
        free = all(most >= len(space.active) for most in storages)
        return free and not np.isfinite(space.machine.bandwidth).any()

    @property
    def floor(self) -> float:
        """Cycles that no mapping goes below whatever the constraints: those of all units and of the outermost level."""
        space = self.space
        return max(space.problem.macs / space.architecture.parallelism, cycles_by_bandwidth(space, 1))

    def shown(self, below: float, *counts: int) -> Shown | None:
        """Return a mapping of fewer cycles than those given; None when no such mapping is known.

        Args:
            below: what the cycles must be fewer than.
            counts: where the bound is not certain to be reached, so many mappings are evaluated in a local search.
        """
        if self.bound >= below:
            return None
        if self.certain:
            return Shown(self.bound, self.units)
        for count in counts:
            found = show(self.space.problem, self.space.architecture, self.energies, below, count)
            if found is not None:
                return found
        return None

    def with_capacity(self, level: int, factor: int | None) -> Reach | None:
        """Return the same with so many times the words at a level; None: any number of words.

        The result is None when the level is unbounded as it is.
        """
        storage = self.space.architecture.levels[level]
        if not isinstance(storage, Storage) or self.space.machine.capacity[level] < 0:
            return None
        machine = self.space.machine
        capacity = machine.capacity.copy()
        capacity[level] = -1 if factor is None else capacity[level] * factor
        depth = None if factor is None or storage.depth is None else storage.depth * factor
        entries = None if factor is None or storage.entries is None else storage.entries * factor
        levels = list(self.space.architecture.levels)
        levels[level] = replace(storage, depth=depth, entries=entries)
        architecture = replace(self.space.architecture, levels=tuple(levels))
        space = replace(self.space, architecture=architecture, machine=machine._replace(capacity=capacity))
        tables = self.tables._replace(parallelism=completions(space, self.tables.words, capacity))
        return Reach(space, tables, self.energies)


def show(
    problem: Problem, architecture: Architecture, energies: EnergyTable, below: float, evaluations: int
) -> Shown | None:
    """Return a mapping of fewer cycles than those given, if a local search of so many evaluations meets one."""
    try:
        found = improve(problem, architecture, energies, Objective.LATENCY, evaluations=evaluations)
    except DovetailError:
        return None
    return Shown(found.cost.cycles, found.mapping.parallelism) if found.cost.cycles < below else None


def reach(problem: Problem, architecture: Architecture, energies: EnergyTable) -> Reach | None:
    """Return how far a layer can go on a design; None when it has no mapping there, or its space is too large."""
    try:
        space = build_space(problem, architecture, energies)
    except (OutOfReach, DovetailError):
        return None
    if space.tiles > MOST_TILES:
        return None
    tables = build_tables(space)
    found = Reach(space, tables, energies)
    return found if found.units else None
