"""Designs of a family as a search over networks sees them: what layers cost on a member, at least on a box of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dovetail.codesign.front import Unmappable
from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError, NotMetError
from dovetail.family.boxes import count_of, lowest, widest
from dovetail.family.family import Family
from dovetail.family.floors import Apart, Box, Floor, Floors
from dovetail.family.front import Choice
from dovetail.family.members import Members
from dovetail.family.splits import halves
from dovetail.hardware.architecture import Architecture
from dovetail.shrink.layers import NetworkShapes
from dovetail.shrink.oracle import CostOracle
from dovetail.shrink.space import SearchSpace

#: Members that a family may have here: each may have to be mapped at every choice of every layer.
MOST_MEMBERS = 1000
#: Members whose liked widths are joined: spread over the areas.
SEEDS = 3


class Designs:
    """The members of one family.

    Args:
        family: the designs.
        oracle_of: returns what layers cost on a design, mapped for what the targets bound.

    Attributes:
        family: the same.
        area_um2: of the family's shape; infinite where there is no design, or one beyond a budget.
        skipped: why members are left out, and how many.

    Raises:
        InputError: there are too many members, none is a design, or a budget is on something else than area.
    """

    def __init__(self, family: Family, oracle_of: Callable[[Architecture, EnergyTable], CostOracle]) -> None:
        if family.size > MOST_MEMBERS:
            raise InputError(
                f"the family has {family.size:,} designs; network and hardware are searched together over "
                f"{MOST_MEMBERS:,} at most: give fewer values, or find the design first, with `dovetail explore`"
            )
        wrong = next((budget for budget in family.budgets if budget.what != "area"), None)
        if wrong is not None:
            raise InputError(f"'{wrong}' has no place here: --target bounds what networks cost; budgets are on area")
        self.family, self._members = family, Members(family)
        valid, area = self._members.laid_out()
        self._floors, self._oracle_of = Floors(self._members), oracle_of
        self._oracles: dict[Box, CostOracle | Apart] = {}
        self._space: SearchSpace | None = None
        self._spaces: dict[Box, SearchSpace | Unmappable] = {}
        self.skipped = {reason: count for reason, count in self._members.skipped.items() if count}
        self.area_um2 = np.where(valid, area, math.inf)
        self._keep_to_budgets()

    def _keep_to_budgets(self) -> None:
        for budget in self.family.budgets:
            over = np.isfinite(self.area_um2) & (self.area_um2 > budget.most)
            if over.any():
                self.skipped[f"not {budget}"] = int(over.sum())
                self.area_um2[over] = math.inf
        if not np.isfinite(self.area_um2).any():
            raise InputError(f"no design of the family keeps to {' and '.join(map(str, self.family.budgets))}")

    @property
    def count(self) -> int:
        """How many members there are."""
        return int(np.isfinite(self.area_um2).sum())

    @property
    def first(self) -> Choice:
        """The first member: every parameter at its first value, where that is a design."""
        return tuple(np.argwhere(np.isfinite(self.area_um2))[0].tolist())

    def oracle(self, choice: Choice) -> CostOracle:
        """Return what layers cost on a member."""
        found = self._oracle(tuple((at, at + 1) for at in choice))
        assert isinstance(found, CostOracle)  # a single member has its own
        return found

    def seeds(self, shapes: NetworkShapes) -> tuple[Choice, ...]:
        """Return a few members, spread over the areas, on which the network as given can be mapped."""
        places = np.argwhere(np.isfinite(self.area_um2))
        by_area = np.argsort(self.area_um2[np.isfinite(self.area_um2)], kind="stable")
        spread = np.linspace(0, len(places) - 1, min(SEEDS, len(places))).round().astype(int).tolist()
        chosen = [tuple(places[by_area[at]].tolist()) for at in dict.fromkeys(spread)]
        return tuple(each for each in chosen if self._runs(each, shapes))

    def _runs(self, choice: Choice, shapes: NetworkShapes) -> bool:
        try:
            self.oracle(choice).figures(shapes, shapes.graph.widths)
        except NoMappingError:
            return False
        return True

    def begin(self, space: SearchSpace) -> None:
        """Say which choices there are."""
        self._space = space

    def apart(self, box: Box) -> Apart | None:
        """Return what tells the members of a box apart that no order ranks; None where they have a floor."""
        found = self._oracle(box)
        return found if isinstance(found, Apart) else None

    def space(self, box: Box) -> SearchSpace | Unmappable:
        """Return the space at the costs of a box's floor, which it has; of a single member, its own costs."""
        if box not in self._spaces:
            oracle = self._oracle(box)
            assert self._space is not None
            assert isinstance(oracle, CostOracle)
            space = replace(self._space, oracle=oracle)
            try:
                space.tables  # noqa: B018  says now if a layer has no mapping
            except NoMappingError as error:
                self._spaces[box] = Unmappable(str(error).rpartition(": ")[2], not isinstance(error, NotMetError))
            else:
                self._spaces[box] = space
        return self._spaces[box]

    def is_exact(self, box: Box) -> bool:
        """Whether all costs of a box's space are proven."""
        oracle = self._oracle(box)
        return isinstance(oracle, CostOracle) and oracle.exact

    def parts(self, box: Box, apart: Apart | None) -> tuple[Box, Box]:
        """Return two parts of a box: along what tells its members apart, or where it is widest."""
        if apart is None:
            return halves(box, widest(box))
        varying = [at for at, (low, high) in enumerate(box) if high - low > 1]
        own = [at for at in varying if at in self._members.own_of.get(apart.level, ())]
        general = [at for at in varying if at in self._members.general]
        return halves(box, (own or general or varying)[0])

    def _oracle(self, box: Box) -> CostOracle | Apart:
        if box not in self._oracles:
            floor = Floor(*self._members.design(lowest(box))) if count_of(box) == 1 else self._floors.of(box)
            found = floor if isinstance(floor, Apart) else self._oracle_of(floor.architecture, floor.energies)
            self._oracles[box] = found
        return self._oracles[box]
