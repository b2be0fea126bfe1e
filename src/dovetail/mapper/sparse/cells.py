"""Cells of the mapspace of a sparse design: bounded one by one, split where a bound says too little.

A cell allows some tiles at every level. The dense search on the cell's own machine (`dovetail.mapper.sparse.floor`)
gives a value that none of its mappings goes below, and the mapping that comes nearest to it, which is then counted with
its zeros. Where the two differ, a share depends on the tile: the cell is split at that mapping's own tiles, into the
tiles that leave as much as it does and those that leave less. What is left in the end is the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.exact.completion import build_completion
from dovetail.mapper.exact.cover import Cover, Found, rank
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.explore import explore
from dovetail.mapper.exact.goal import goal_of
from dovetail.mapper.exact.prepare import Prepared, lay_out, with_bounds
from dovetail.mapper.exact.rows import TOO_LONG
from dovetail.mapper.exact.space import OutOfReach, Space
from dovetail.mapper.exact.tables import Tables, build_tables
from dovetail.mapper.exact.watch import Watch
from dovetail.mapper.objective import Objective
from dovetail.mapper.sparse.floor import Floor, floor_of
from dovetail.mapper.sparse.inside import Inside
from dovetail.mapper.sparse.shares import Allowed, Feature, TileShares
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Machine
from dovetail.model.cost import Cost

#: A cell is split just below the share of the mapping that came nearest, by this.
JUST_BELOW = 1e-5
#: By how much further than where a mapping would come to the best known shares are split.
BEYOND = 1.2
#: Partial mappings examined to see that a cell holds nothing better, before its optimum is looked for.
GLANCE = 5_000_000
#: Entries of a cell's tables.
MOST_CELL_ENTRIES = 40_000_000


@dataclass(frozen=True)
class Cell:
    """Some of a mapspace.

    Attributes:
        allowed: ``(levels, tiles)``.
        bound: a value that no mapping of it goes below.
    """

    allowed: Allowed
    bound: float = 0.0


@dataclass(frozen=True)
class Bounded:
    """What is known of a cell.

    Attributes:
        bound: a value that no mapping of it goes below; infinity where it has none.
        cycles: cycles that none goes below.
        energy_pJ: energy that none goes below.
        nearest: the mapping that comes nearest on the cell's machine; None where the cell holds nothing better.
    """

    bound: float
    cycles: int = 1
    energy_pJ: float = 0.0
    nearest: Mapping | None = None


@dataclass
class Cells:
    """The mapspace of a problem on a sparse design, cell by cell.

    Attributes:
        space: all of it, without zeros.
        shares: what tiles leave.
        machine: what mappings cost without zeros.
        architecture: the design, constraints bound.
        energies: what its components cost.
        objective: what is minimised.
        watch: says when to stop.
    """

    space: Space
    shares: TileShares
    machine: Machine
    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    watch: Watch

    def floor(self, allowed: Allowed) -> Floor:
        """Return what no mapping of a cell goes below."""
        return floor_of(self.shares, self.machine, allowed, self.architecture, self.energies)

    def look(self, cell: Cell, known: float) -> Bounded:
        """Return what is known of a cell once it is looked through.

        Args:
            cell: the cell.
            known: value of the best mapping known; infinity where there is none.

        Raises:
            OutOfReach: its tables would take minutes to fill, or time is up.
        """
        floor, prepared = self._ready(cell)
        if prepared is None:
            return Bounded(np.inf)
        cycles = max(1, int(floor.value(Objective.LATENCY, prepared.least_cycles, 0.0, 1.0)))
        energy = max(0.0, prepared.compulsory_pJ - floor.slack_pJ)
        cover = Cover(prepared, self.energies, self.watch)

        known_pJ, known_cycles = prepared.compulsory_pJ, float(prepared.least_cycles)
        found = None
        if known < np.inf:
            found = self._glance(prepared, floor.reached(self.objective, known, known_pJ, known_cycles))
        if found == []:
            return Bounded(known, cycles, energy)
        try:
            if found is None:
                answer = cover.best(self.objective)
                nearest, bound = answer.best, answer.bound
            else:
                nearest = min(found, key=lambda one: rank(self.objective, one))
                bound = rank(self.objective, nearest)[0]
        except NoMappingError:
            return Bounded(np.inf)
        least = floor.value(self.objective, bound, known_pJ, known_cycles)
        return Bounded(max(cell.bound, least), cycles, energy, nearest.mapping(prepared))

    def _ready(self, cell: Cell) -> tuple[Floor, Prepared | None]:
        """Return what a cell does not go below, and itself ready for the search; None: it is empty."""
        floor, effort = self.floor(cell.allowed), Effort(self.watch.check, self.watch.spent.compared, MOST_CELL_ENTRIES)
        space = replace(self.space, machine=floor.machine, allowed=cell.allowed)
        inside, tables = self._shared
        differ = np.flatnonzero((~cell.allowed & (tables.parallelism[: len(cell.allowed)] > 0)).any(axis=1))
        laid_out = lay_out(space, effort, tables, int(differ[-1]) + 1 if len(differ) else 0)
        if laid_out.tables.parallelism[0, -1] == 0:
            return floor, None
        completion = build_completion(space, laid_out.tables, laid_out.per_word, effort, inside.demands)
        return floor, with_bounds(laid_out, completion)

    @cached_property
    def _shared(self) -> tuple[Inside, Tables]:
        """What cells share: demands, and the tables of the mapspace as a whole, with capacities as zeros leave them."""
        cheapest = replace(self.space, machine=self.floor(self.everything).machine)
        return Inside(cheapest), build_tables(cheapest)

    @property
    def everything(self) -> Allowed:
        """All tiles at every level."""
        return np.ones((len(self.space.levels), self.space.tiles), np.bool_)

    def whole(self) -> Cell:
        """Return the cell of all mappings."""
        allowed = self._shared[1].parallelism[: len(self.space.levels)] > 0
        allowed[0, :-1] = False  # nothing but the whole problem enters the outermost level
        return Cell(allowed)

    def _glance(self, prepared: Prepared, value: float) -> list[Found] | None:
        """Return all mappings on a cell's machine below a value that none other beats; None where it takes long."""
        progress = self.watch.another(GLANCE)
        try:
            rows, totals = explore(prepared, goal_of(self.objective.code, value), progress)
        except OutOfReach:
            self.watch.check()
            return None
        if progress.stats[TOO_LONG]:
            return None
        return [Found(energy, cycles, path) for (energy, cycles), path in zip(totals.tolist(), rows.path, strict=True)]

    def first(self, cell: Cell) -> list[Cell]:
        """Return the cells to begin with: first the one whose tiles leave what the largest does, then those of less.

        Tiles of many words leave the same, for none of them is empty; only of small ones that can be said less. Those
        of a level make one cell: mostly they cost so much more that a glance will do.
        """
        marks = [(feature, float(feature.share[-1]) * (1 - JUST_BELOW)) for feature in self.shares.features]
        cells, allowed = list[Cell](), cell.allowed
        for level in sorted({feature.level for feature, _ in marks}):
            reaches = np.ones(self.space.tiles, np.bool_)
            for feature, mark in marks:
                if feature.level == level:
                    reaches &= feature.share >= mark
            less, allowed = allowed.copy(), allowed.copy()
            less[level] &= ~reaches
            allowed[level] &= reaches
            if less[level].any():
                cells.append(Cell(less))
        return [Cell(allowed), *cells]

    def parts(self, cell: Cell, found: Bounded, cost: Cost | None, known: float) -> Iterator[Cell]:
        """Yield the cells that a cell is split into: first the one that holds its mapping, then those that leave less.

        Shares are split where that mapping, by its bound and its cost, would come to the best known: what leaves more
        is then likely to be done at a glance.

        Args:
            cell: the cell.
            found: what is known of it.
            cost: of its mapping; None where that does not fit.
            known: value of the best mapping known.
        """
        if found.nearest is None:
            return
        tiles = entering(self.space, found.nearest)
        energies = [1.0] * len(tiles) if cost is None else [1.0 + level.energy_pJ for level in cost.levels]
        part = 1.0 if cost is None else self._part(found.bound, known, cost)
        marks: list[tuple[float, int, Feature, float]] = []
        for feature in self.shares.features:
            mine, least = float(feature.share[tiles[feature.level]]), feature.least(cell.allowed)
            mark = min(mine * (1 - JUST_BELOW), least + part * (mine - least))
            if mark > least:
                marks.append(((mine - least) * energies[feature.level], len(marks), feature, mark))
        if marks:
            ordered = sorted(marks, key=lambda one: (-one[0], one[1]))
            yield from _split(cell.allowed, found.bound, [(feature, mark) for _, _, feature, mark in ordered])

    def _part(self, bound: float, known: float, cost: Cost) -> float:
        """Return the part of the way from a mapping's bound to its cost at which the best known lies, and some more."""
        counted = self.objective.value_of(cost.energy_pJ, cost.cycles)
        return min(1.0, BEYOND * (known - bound) / (counted - bound)) if counted > bound else 1.0


def entering(space: Space, mapping: Mapping) -> list[int]:
    """Return the index of the tile that enters each level."""
    names = [space.problem.shape.dimensions[d] for d in space.active]
    sizes, tiles = dict.fromkeys(names, 1), []
    for entry in reversed(mapping.levels):
        for loop in entry.loops:
            if loop.factor > 1:
                sizes[loop.dimension] *= loop.factor
        places = [divisors.index(sizes[name]) for name, divisors in zip(names, space.divisors, strict=True)]
        tiles.append(sum(place * weight for place, weight in zip(places, space.radix, strict=True)))
    return tiles[::-1]


def _split(allowed: Allowed, bound: float, marks: Sequence[tuple[Feature, float]]) -> Iterator[Cell]:
    """Yield the cell of the tiles whose shares reach all marks, then those below one that reach the marks before it."""
    rest = []
    for feature, mark in marks:
        less, allowed = allowed.copy(), allowed.copy()
        less[feature.level] &= feature.share < mark
        allowed[feature.level] &= feature.share >= mark
        rest.append(Cell(less, bound))
    yield Cell(allowed, bound)
    yield from rest
