"""Axes that no search knows: traffic is searched for at prices of its own, power is picked from a front below.

A design takes less power the longer it idles, so that least power by itself means nothing. What is compared is what a
front of energy and cycles offers, and of area, where that counts: none of its points is slowed down on purpose. That
front is proven, and its certificate stands for the one of power. (`dovetail.family.traffic` has traffic.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.errors import InputError
from dovetail.family.budgets import Budget
from dovetail.family.front import Axis, Choice, Front, Point
from dovetail.family.result import Exploration
from dovetail.family.traffic import with_energies

#: Budgets on what a mapping takes that is chosen for its traffic: nobody knows whether another one would keep to them.
_UNKNOWN = ("energy", "edp", "power")


def check_budgets(budgets: Sequence[Budget], axes: Sequence[Axis]) -> None:
    """Check that budgets are on what is known of every point.

    Raises:
        InputError: one is on energy, and the front is of traffic.
    """
    wrong = next((budget for budget in budgets if budget.what in _UNKNOWN), None)
    if Axis.TRAFFIC in axes and wrong is not None:
        raise InputError(
            f"'{wrong}' has no place beside the axis traffic: mappings are chosen for what they move, and no search "
            "proves both; budgets may be on area, cycles and latency"
        )


def axes_below(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Return the axes of the front that one over these is picked from: the same, where power is not among them."""
    if Axis.POWER not in axes:
        return tuple(axes)
    return (*((Axis.AREA,) if Axis.AREA in axes else ()), Axis.ENERGY, Axis.CYCLES)


def as_asked(found: Exploration, axes: Sequence[Axis]) -> Exploration:
    """Return a front over `axes_below` as one over the axes that were asked for."""
    if Axis.TRAFFIC in axes:
        return with_energies(found)
    return _by_power(found, axes) if Axis.POWER in axes else found


def _by_power(found: Exploration, axes: Sequence[Axis]) -> Exploration:
    """Return what of a front over `axes_below` no other point beats on these axes, each with its power."""
    seconds: dict[Choice, float] = {}
    front, of_point = Front(axes), dict[Point, Point]()
    for point in found.points:
        if point.choice not in seconds:
            seconds[point.choice] = found.family.architecture(point.choice).cycle_seconds
        power = point.energy_pJ * 1e-12 / (point.cycles * seconds[point.choice])
        told = replace(point, power_W=power)
        if front.add(told):
            of_point[told] = point
    points = tuple(front.sorted())
    taken = {point: found.taken[of_point[point]] for point in points}
    return replace(found, axes=tuple(axes), points=points, taken=taken, below=found)
