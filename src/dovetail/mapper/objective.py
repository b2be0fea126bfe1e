"""What "best" means: energy, latency, their product, or energy times the square of latency.

Here alone stand the words, their order in `--help`, the formula, and the unit. The compiled search has the formula once
more, as ``objective_value`` in `dovetail.mapper.exact.goal`; a test holds the two to each other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from dovetail.units import EDP_UNIT

if TYPE_CHECKING:  # every command imports this module; NumPy loads only where something is computed
    from dovetail.model.arrays import Floats

    Number = TypeVar("Number", int, float, Floats)


class Objective(StrEnum):
    """What a search minimises; ties fall to the other of energy and cycles."""

    EDP = "edp"
    ENERGY = "energy"
    LATENCY = "latency"
    ED2P = "ed2p"

    def formula(self, energy: Number, cycles: Number) -> Number:
        """Return what is minimised, of whole numbers (then exactly), of others, or of arrays."""
        if self is Objective.ENERGY:
            return energy
        if self is Objective.LATENCY:
            return cycles
        return energy * cycles if self is Objective.EDP else energy * cycles * cycles

    def value_of(self, energy_pJ: float, cycles: float) -> float:
        """Return the number to minimise: pJ, cycles, pJ x cycles or pJ x cycles^2."""
        return float(self.formula(energy_pJ, cycles))

    @property
    def degree(self) -> int:
        """The power with which it grows when energy and cycles grow alike."""
        return {Objective.ENERGY: 1, Objective.LATENCY: 1, Objective.EDP: 2, Objective.ED2P: 3}[self]

    @property
    def unit(self) -> str:
        """The unit in which people and JSON get the value: pJ, cycles, J x cycle or J x cycle^2."""
        return {
            Objective.ENERGY: "pJ",
            Objective.LATENCY: "cycles",
            Objective.EDP: EDP_UNIT,
            Objective.ED2P: f"{EDP_UNIT}^2",
        }[self]

    def in_unit(self, value: float) -> float:
        """Return a value, as `value_of` has it, in `unit`."""
        return value * 1e-12 if self in (Objective.EDP, Objective.ED2P) else value


def ranks_of(objective: Objective, energy_pJ: Floats, cycles: Floats) -> tuple[Floats, Floats]:
    """Return, of many costs, what is minimised and what breaks ties."""
    return objective.formula(energy_pJ, cycles), cycles if objective is Objective.ENERGY else energy_pJ
