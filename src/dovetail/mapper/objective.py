"""What "best" means: energy, latency, their product, or energy times the square of latency.

Here alone stand the words, their order in `--help`, the formula, and the unit; `dovetail.mapper.exact.goal` has the
formula compiled.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from dovetail.units import EDP_UNIT

if TYPE_CHECKING:  # every command imports this module; NumPy loads only where something is computed
    from dovetail.model.arrays import Floats

    Number = TypeVar("Number", int, float, Floats)


# Objectives as compiled code knows them.
EDP, ENERGY, LATENCY, ED2P = range(4)


def ranked(code: int, energy: Number, cycles: Number) -> tuple[Number, Number]:
    """Return what is minimised, and what breaks ties; of any other code, as for EDP.

    Of whole numbers it is exact; arrays are taken, too.
    """
    if code == ENERGY:
        return energy, cycles
    if code == LATENCY:
        return cycles, energy
    if code == ED2P:
        return energy * cycles * cycles, energy
    return energy * cycles, energy


class Objective(StrEnum):
    """What a search minimises; ties fall to the other of energy and cycles."""

    EDP = "edp"
    ENERGY = "energy"
    LATENCY = "latency"
    ED2P = "ed2p"

    def formula(self, energy: Number, cycles: Number) -> Number:
        """Return what is minimised, of whole numbers (then exactly), of others, or of arrays."""
        return ranked(self.code, energy, cycles)[0]

    @property
    def code(self) -> int:
        """The number by which compiled code knows it."""
        return {Objective.EDP: EDP, Objective.ENERGY: ENERGY, Objective.LATENCY: LATENCY, Objective.ED2P: ED2P}[self]

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
    return ranked(objective.code, energy_pJ, cycles)
