"""What is asked of every layer so that boxes of designs can be discarded, and the corners that the answers make.

Where one number of a network says it all (area apart), so does one of a layer. Energies and cycles add up; of EDPs,
(sum of E) x (sum of C) is at least (sum of sqrt(E x C)) squared, by Cauchy and Schwarz. Where energy is weighed against
cycles, a layer is asked for its least energy plus cycles at several prices: sums of these over layers are half-planes
that no choice of mappings leaves, and below every stretch of their common edge lies a corner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.family.costs import Seen
from dovetail.family.front import Axis
from dovetail.mapper.objective import Objective
from dovetail.units import edp_J_cycle

_Floats = NDArray[np.float64]
#: Rounding of sums of floating point numbers, relatively.
ROUNDING = 1e-9
#: Prices of a cycle beside 0 and infinity, over the network's own ratio of energy to cycles.
_PRICES = tuple(2.0**power for power in (-6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6))
#: Corners below the common edge.
_CORNERS = 48


@dataclass(frozen=True)
class Measure:
    """One number of a layer.

    Attributes:
        price: pJ per cycle that is added to the energy; infinite: cycles alone; None: energy times cycles.
    """

    price: float | None

    def of(self, energies: _Floats, cycles: _Floats) -> _Floats:
        """Return it of mappings of so many pJ and cycles."""
        if self.price is None:
            return energies * cycles
        return cycles if math.isinf(self.price) else energies + self.price * cycles

    def bound(self, seen: Seen) -> float:
        """Return what no mapping goes below, as searches have proven it."""
        result, price = seen.read.result, self.price
        objective, bound = result.objective, result.certificate.bound
        if result.front and result.certificate.exact:
            energies = np.array([point.energy_pJ for point in result.front])
            return float(self.of(energies, np.array([float(point.cycles) for point in result.front])).min())
        if objective is Objective.EDP and price is not None:  # E + p C is at least twice the root of p E C
            return seen.least_cycles if math.isinf(price) else max(2 * math.sqrt(price * bound), seen.least_pJ)
        said = {Objective.EDP: None, Objective.ENERGY: 0.0, Objective.LATENCY: math.inf}
        return bound if said.get(objective, -1.0) == price else 0.0


def measures_for(sole: Objective | None, pJ_per_cycle: float) -> tuple[Measure, ...]:
    """Return what is asked of every layer.

    Args:
        sole: the one objective that counts; None: every trade of energy for cycles does.
        pJ_per_cycle: about what the network takes; prices lie around it.
    """
    if sole is None:
        return (Measure(0.0), *(Measure(pJ_per_cycle * each) for each in _PRICES), Measure(math.inf))
    return (Measure({Objective.ENERGY: 0.0, Objective.LATENCY: math.inf}.get(sole)),)


def joined(values: _Floats, measures: Sequence[Measure]) -> _Floats:
    """Return bounds ``(layers, measures)`` with what those of energy and of cycles say of trades of both."""
    if len(measures) == 1:
        return values
    prices = np.array([each.price for each in measures[1:-1]], np.float64)
    sums = values[:, :1] + values[:, -1:] * prices
    return np.concatenate([values[:, :1], np.maximum(values[:, 1:-1], sums), values[:, -1:]], axis=1)


def corners(
    values: _Floats, repeats: _Floats, measures: Sequence[Measure], axes: Sequence[Axis], area: float
) -> _Floats:
    """Return ``(corners, axes)``: whatever has at least these values of its layers is at or above one of them.

    Args:
        values: ``(layers, measures)``.
        repeats: ``(layers,)`` how often each runs.
        measures: what they are of.
        axes: what is wanted; EDP in J x cycle.
        area: of the smallest design, in um^2.
    """
    if len(measures) == 1:
        value = _whole(values[:, 0], repeats, measures[0])
        return np.array([[area if axis is Axis.AREA else value for axis in axes]])
    sums = repeats @ values * (1 - ROUNDING)
    energy, cycles = _edge(sums, np.array([each.price for each in measures[:-1]], np.float64))
    of_axis = {
        Axis.AREA: np.full(len(energy), area),
        Axis.ENERGY: energy,
        Axis.CYCLES: cycles,
        Axis.EDP: edp_J_cycle(energy, cycles),
        Axis.TRAFFIC: energy,  # at the prices of `dovetail.family.traffic`
    }
    return np.stack([of_axis[axis] for axis in axes], axis=1)


def _whole(values: _Floats, repeats: _Floats, measure: Measure) -> float:
    """Return what a network comes to at least."""
    if measure.price is None:
        return float(repeats @ np.sqrt(values)) ** 2 * (1 - ROUNDING) * 1e-12
    total = float(repeats @ values) * (1 - ROUNDING)
    return math.ceil(total) if math.isinf(measure.price) else total


def _edge(sums: _Floats, prices: _Floats) -> tuple[_Floats, _Floats]:
    """Return energies and cycles of corners below the edge of ``E + prices C >= sums``; the last sum is of cycles.

    With E from the least on in steps, a point of E between two of them is above the first, and has at least the cycles
    that the edge has at the second.
    """
    least, fewest = float(sums[0]), float(sums[-1])
    lines, paid = sums[1:-1], prices[1:]
    dearest = float((lines - paid * fewest).max(initial=least))  # from here on the edge has the fewest cycles
    steps = np.geomspace(least, max(dearest, least), _CORNERS) if least > 0 else np.array([least])
    cycles = np.maximum(((lines - steps[:, None]) / paid).max(axis=1), fewest)
    return steps, np.ceil(np.append(cycles[1:], fewest) * (1 - ROUNDING))
