"""Columns that many tables share: one name, unit, key and look for each quantity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dovetail.table import Column
from dovetail.units import EDP_UNIT, four_digits, joules, joules_alike, percent, whole

CYCLES = Column("cycles", key="cycles", show=whole)
ENERGY = Column("energy", key="energy_pJ", show=joules)
EDP = Column("EDP", EDP_UNIT, key="edp_J_cycle", show=four_digits)
UTILIZATION = Column("util.", key="utilization", show=percent)

#: What a search found, in a table that says something else of it, too: EDP and utilization stay the longest.
FOUND = (replace(CYCLES, spare=2), replace(ENERGY, spare=1), EDP, UTILIZATION)


def energy_alike(energies_pJ: Iterable[float]) -> Column:
    """Return the column of energies that are to be compared and added up by eye: all in one unit."""
    unit, show = joules_alike(energies_pJ)
    return replace(ENERGY, unit=unit, show=show)
