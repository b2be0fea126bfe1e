"""What "best" means: energy, latency, their product, or energy times the square of latency."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every command imports this module; NumPy loads only where something is computed
    from dovetail.model.arrays import Floats


class Objective(StrEnum):
    """What a search minimises; ties fall to the other of energy and cycles."""

    EDP = "edp"
    ENERGY = "energy"
    LATENCY = "latency"
    ED2P = "ed2p"

    def value_of(self, energy_pJ: float, cycles: float) -> float:
        """Return the number to minimise: pJ, cycles, pJ x cycles or pJ x cycles^2."""
        if self is Objective.ENERGY:
            return energy_pJ
        if self is Objective.LATENCY:
            return float(cycles)
        return energy_pJ * cycles if self is Objective.EDP else energy_pJ * cycles * cycles

    @property
    def unit(self) -> str:
        """The unit in which people and JSON get the value: pJ, cycles, J x cycle or J x cycle^2."""
        return {
            Objective.ENERGY: "pJ",
            Objective.LATENCY: "cycles",
            Objective.EDP: "J x cycle",
            Objective.ED2P: "J x cycle^2",
        }[self]

    def in_unit(self, value: float) -> float:
        """Return a value, as `value_of` has it, in `unit`."""
        return value * 1e-12 if self in (Objective.EDP, Objective.ED2P) else value


def ranks_of(objective: Objective, energy_pJ: Floats, cycles: Floats) -> tuple[Floats, Floats]:
    """Return, of many costs, what is minimised and what breaks ties."""
    if objective is Objective.ENERGY:
        return energy_pJ, cycles
    if objective is Objective.LATENCY:
        return cycles, energy_pJ
    return energy_pJ * cycles * (cycles if objective is Objective.ED2P else 1.0), energy_pJ
