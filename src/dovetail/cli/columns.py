"""Columns that the tables of several commands share: one name, unit, key and look for each quantity."""

from __future__ import annotations

from dovetail.table import Column
from dovetail.units import EDP_UNIT, four_digits, joules, percent, whole

CYCLES = Column("cycles", key="cycles", show=whole)
ENERGY = Column("energy", key="energy_pJ", show=joules)
EDP = Column("EDP", EDP_UNIT, key="edp_J_cycle", show=four_digits)
UTILIZATION = Column("util.", key="utilization", show=percent)
