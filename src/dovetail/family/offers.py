"""What members of a family offer its front: points that keep to the budgets, each with how it comes about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dovetail.family.budgets import Budget
from dovetail.family.costs import Seen, fronts_of
from dovetail.family.front import Axis, Choice, Front, Point, point_paying
from dovetail.family.members import Members
from dovetail.family.origins import Origin, fronts_among, reads_of
from dovetail.family.result import Taken
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint
from dovetail.network.optimum import LayerFront, network_front, network_optimum, sum_up
from dovetail.network.readings import Read
from dovetail.workload.network import Layer


class Offers:
    """The front so far.

    Args:
        members: of the family.
        layers: distinct ones of the network.
        axes: what the front is over.
        area: of the family's shape, in um^2.

    Attributes:
        front: the points.
        sole: the one objective that counts beside area; None: every trade of energy for cycles does.
        mapped: what searches on members found.
        unproven: by what factors points may be above the true ones for lack of looking, beside what bounds say.
    """

    def __init__(
        self, members: Members, layers: Sequence[Layer], axes: Sequence[Axis], area: NDArray[np.float64]
    ) -> None:
        self._members, self._layers, self._area = members, tuple(layers), area
        self._budgets: tuple[Budget, ...] = members.family.budgets
        self.front, self.sole = Front(axes), sole_objective(axes, self._budgets)
        self.mapped: dict[Choice, tuple[Seen, ...]] = {}
        self.unproven: list[float] = []
        self._taken: dict[Point, tuple[Origin, list[LayerFront] | None]] = {}

    def take(self, choice: Choice, seen: tuple[Seen, ...]) -> None:
        """Offer the front all that a mapped member has to offer."""
        self.mapped[choice] = seen
        reads = tuple(each.read for each in seen)
        if not all(read.result.front for read in reads):
            self._offer_own(choice, reads)
        elif not self._offer_fronts(choice, reads, fronts_of(reads, self._layers)):
            self.unproven.append(1 + 1e-6)

    def take_met(self, choice: Choice, choices: tuple[tuple[FrontPoint, ...], ...]) -> None:
        """Offer the front what mappings met so far, on whichever designs, cost on a member."""
        self._offer_fronts(choice, choices, fronts_among(choices, self._layers))

    def taken(self, point: Point) -> Taken:
        """Return how a point comes about."""
        origin, fronts = self._taken[point]
        reads = reads_of(origin, *self._members.design(point.choice), self.sole or Objective.EDP)
        return Taken(reads, None if fronts is None else tuple(fronts))

    def _offer_fronts(self, choice: Choice, origin: Origin, fronts: list[LayerFront]) -> bool:
        """Offer what a network's layers have to choose from; return whether that is all of it."""
        best = network_optimum(fronts, self.sole or Objective.EDP)
        self._offer(choice, best.energy_pJ, best.cycles, origin, fronts)
        if self.sole is not None:
            return True
        whole = network_front(fronts)
        for energy, cycles in zip(whole.energies_pJ.tolist(), whole.cycles.tolist(), strict=True):
            self._offer(choice, energy, cycles, origin, fronts)
        return whole.complete

    def _offer_own(self, choice: Choice, reads: tuple[Read, ...]) -> None:
        """Offer what each layer's own best add up to."""
        only = [
            LayerFront((read.result.cost.energy_pJ,), (read.result.cost.cycles,), layer.repeats)
            for read, layer in zip(reads, self._layers, strict=True)
        ]
        best = sum_up(only, [[layer.repeats] for layer in self._layers])
        self._offer(choice, best.energy_pJ, best.cycles, reads, None)

    def _offer(self, choice: Choice, paid: float, cycles: int, origin: Origin, fronts: list[LayerFront] | None) -> None:
        point = point_paying(choice, self.front.axes, float(self._area[choice]), paid, cycles)
        if self._budgets:
            seconds = self._members.cycle_seconds([(at, at + 1) for at in choice])
            if any(budget.broken_by(point, seconds) for budget in self._budgets):
                return
        if self.front.add(point):
            self._taken[point] = origin, fronts


def sole_objective(axes: Sequence[Axis], budgets: Sequence[Budget]) -> Objective | None:
    """Return the one objective that says all beside area; None where energy is weighed against cycles, by fronts."""
    paid = [objective for axis in axes if (objective := axis.objective) is not None]
    aside = [budget for budget in budgets if budget.what not in (Axis.AREA, *axes)]
    return paid[0] if len(paid) == 1 and not aside else None
