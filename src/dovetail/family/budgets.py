"""Budgets: what a member of a family, or a point of its front, may cost at most."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dovetail.errors import InputError, did_you_mean
from dovetail.family.front import Axis, Point

#: What may have a budget: its units, by how much of the plain one they are (um^2, pJ, cycles, J x cycle, W, s).
_UNITS: dict[str, dict[str, float]] = {
    "area": {"um2": 1.0, "mm2": 1e6},
    "energy": {"pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "mJ": 1e9, "J": 1e12},
    "cycles": {"": 1.0, "cycles": 1.0},
    "edp": {"": 1.0, "J*cycle": 1.0, "J x cycle": 1.0},
    "power": {"W": 1.0, "mW": 1e-3},
    "latency": {"s": 1.0, "ms": 1e-3, "us": 1e-6},
}


@dataclass(frozen=True)
class Budget:
    """At most so much of something.

    Attributes:
        what: ``area``, ``energy``, ``cycles``, ``edp``, ``power`` or ``latency``.
        most: in um^2, pJ, cycles, J x cycle, W or s.
        text: as it was written.
    """

    what: str
    most: float
    text: str

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.text

    @property
    def is_monotone(self) -> bool:
        """Whether what costs more in area, energy and cycles is further beyond it: slower mappings take less power."""
        return self.what != "power"

    def broken_by(self, point: Point, cycle_seconds: float) -> bool:
        """Return whether a point is beyond the budget."""
        return self.spent_by(point, cycle_seconds) > self.most

    def spent_by(self, point: Point, cycle_seconds: float) -> float:
        """Return what a point takes of what the budget is on, in the unit of `most`."""
        if self.what == "power":
            return point.energy_pJ * 1e-12 / (point.cycles * cycle_seconds)
        if self.what == "latency":
            return point.cycles * cycle_seconds
        return point.value(Axis(self.what))


def read_budget(text: str) -> Budget:
    """Return the budget that a text such as ``area <= 4 mm2`` sets.

    Raises:
        InputError: it is none.
    """
    read = re.fullmatch(r"\s*(\w+)\s*<=\s*([0-9.]+(?:[eE][-+]?[0-9]{1,3})?)\s*([\w* ]*?)\s*", text[:200])
    if read is None:
        raise InputError(f"'{text[:60]}' is no budget; write WHAT <= NUMBER UNIT, such as area <= 4 mm2")
    what, number, unit = read.groups()
    if what not in _UNITS:
        raise InputError(f"nothing called '{what}' can have a budget{did_you_mean(what, _UNITS)}")
    if unit not in _UNITS[what]:
        known = ", ".join(filter(None, _UNITS[what])) or "a bare number"
        raise InputError(f"'{unit}' is no unit of {what}; known: {known}")
    try:
        most = float(number) * _UNITS[what][unit]
    except ValueError:
        most = 0.0
    if not 0 < most < float("inf"):
        raise InputError(f"a budget is a number above 0, found '{number}'")
    return Budget(what, most, " ".join(text.split()))
