"""Along which parameter a box of a family is split: the one whose halves cost most, compared with the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.family.floors import Apart, Box, Floor, Floors
from dovetail.family.members import Members
from dovetail.hardware.architecture import Level, Spatial, Storage
from dovetail.network.readings import Read
from dovetail.workload.network import Layer

#: What halving a size or a bandwidth may be worth, as a logarithm of cost: how much it is, only a search can tell.
_HALVED = 0.1
_SIZES = ("words", "read_bandwidth", "write_bandwidth", "shared_bandwidth")


def halves(box: Box, at: int) -> Iterator[Box]:
    """Yield the two halves of a box along a parameter."""
    low, high = box[at]
    middle = (low + high) // 2
    for ends in ((low, middle), (middle, high)):
        yield (*box[:at], ends, *box[at + 1 :])


@dataclass(frozen=True)
class Splits:
    """What the choice rests on.

    Attributes:
        members: of the family.
        floors: of its boxes.
        layers: distinct ones.
        valid: of the family's shape: which members are designs.
        area: of the family's shape, in um^2.
    """

    members: Members
    floors: Floors
    layers: Sequence[Layer]
    valid: NDArray[np.bool_]
    area: NDArray[np.float64]

    def parameter(self, box: Box, floor: Floor | Apart, reads: Sequence[Read]) -> int:
        """Return the parameter to split along.

        Args:
            box: with more than one member.
            floor: its floor, or the level that has none: then it is a parameter that changes this level.
            reads: the layers' best mappings on the floor, as far as they are known.
        """
        varying = [at for at, (low, high) in enumerate(box) if high - low > 1]
        if isinstance(floor, Apart):
            general = [at for at in varying if at in self.members.general]
            own = [at for at in varying if at in self.members.own_of.get(floor.level, ())]
            return (own or general or varying)[0]
        return max(varying, key=lambda at: (self._worth(box, floor, reads, at), -at))

    def _worth(self, box: Box, floor: Floor, reads: Sequence[Read], at: int) -> float:
        """Return about how much more, as a logarithm, the halves' areas and floors cost than the box's."""
        worth, least = 0.0, self._least_area(box)
        for half in halves(box, at):
            area = self._least_area(half)
            if not math.isfinite(area):
                return math.inf
            worth += math.log(area / least) if least else 0.0
            other = self.floors.of(half)
            if isinstance(other, Floor):
                worth += self._dearer(floor, other, reads) + _smaller(floor, other)
        return worth

    def _least_area(self, box: Box) -> float:
        inside = tuple(slice(*ends) for ends in box)
        return float(self.area[inside][self.valid[inside]].min(initial=math.inf))

    def _dearer(self, floor: Floor, half: Floor, reads: Sequence[Read]) -> float:
        """Return by how much the best mappings on a floor cost more at the prices of another."""
        before = after = 0.0
        for read, layer in zip(reads, self.layers, strict=False):
            for level in read.result.cost.levels:
                old, new = floor.energies[level.name].actions, half.energies[level.name].actions
                rates = [new[name] / price for name, price in old.items() if price > 0 and name != "leak"]
                energy = level.energy_pJ * layer.repeats
                before += energy
                after += energy * (sum(rates) / len(rates) if rates else 1.0)
        return math.log(after / before) if before and after else 0.0


def _smaller(floor: Floor, half: Floor) -> float:
    """Return about how much the smaller and slower levels of a design are worth."""
    pairs = zip(floor.architecture.levels, half.architecture.levels, strict=True)
    return sum(_lost(one, other) for one, other in pairs)


def _lost(one: Level, other: Level) -> float:
    if isinstance(one, Spatial) and isinstance(other, Spatial):
        return math.log(one.fanout / other.fanout)
    worth = 0.0
    for name in _SIZES if isinstance(one, Storage) and isinstance(other, Storage) else ():
        large, small = getattr(one, name), getattr(other, name)
        if large and small and small < large:
            worth += _HALVED * math.log2(large / small)
    return worth
