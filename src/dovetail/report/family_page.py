"""The front of a family of designs as one page: its points, what neighbours differ in, what each parameter is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.errors import InputError
from dovetail.family.front import Axis, Point
from dovetail.family.result import Exploration
from dovetail.report.page import report_page
from dovetail.report.sections import table_section, text_section
from dovetail.table import Table, headed
from dovetail.units import percent, whole

_KEYS = {
    Axis.AREA: "area_mm2", Axis.ENERGY: "energy_uJ", Axis.CYCLES: "cycles", Axis.EDP: "edp",
    Axis.TRAFFIC: "traffic_MB", Axis.POWER: "power_mW",
}  # fmt: skip
_NAMES = {
    "area_mm2": "area, mm2", "energy_uJ": "energy, uJ", "cycles": "cycles", "edp": "EDP, J x cycle",
    "traffic_MB": "DRAM traffic, MB", "power_mW": "power, mW",
}  # fmt: skip
#: Of the page over those of the axes.
_UNITS = {Axis.AREA: 1e-6, Axis.ENERGY: 1e-6, Axis.TRAFFIC: 1e-6, Axis.POWER: 1e3}
#: A gap beyond this says nothing: something is not bounded at all yet.
_NOTHING = 1e6


def family_page(found: Exploration) -> str:
    """Return the page.

    Raises:
        InputError: the front is empty.
    """
    if not found.points:
        raise InputError(f"no design of {found.family.name} keeps to the budgets: there is nothing to draw")
    sections = [
        text_section("What this is", _about(found)),
        family_section(found),
        table_section("Every point", _points(found)),
    ]
    title = f"{found.network.name} on the family {found.family.name}"
    return report_page([], title=title, accuracies={}, sections=sections, document=found.to_dict())


def family_section(found: Exploration) -> dict[str, Any]:
    """Return the front as a section of a page; parameters that no point differs in are left out."""
    parameters = found.family.parameters
    varied = [at for at in range(len(parameters)) if len({point.choice[at] for point in found.points}) > 1]
    return {
        "kind": "family",
        "title": "The front",
        "note": "Hover over a point for its design; choose one for its neighbours.",
        "axes": [_KEYS[axis] for axis in found.axes[:2]],
        "parameters": [{"name": parameters[at].name, "labels": list(parameters[at].labels)} for at in varied],
        "points": [_point(found, point, varied) for point in found.points],
    }


def _points(found: Exploration) -> Table:
    """Return a row per point, in the units of the page."""
    parameters = [each.name for each in found.family.parameters]
    rows = tuple(
        (
            found.family.member_name(point.choice),
            *found.family.values(point.choice).values(),
            *_costs(found, point).values(),
        )
        for point in found.points
    )
    names = [_NAMES[key] for key in _costs(found, found.points[0])]
    return Table(headed("design", *parameters, *names), rows)


def _point(found: Exploration, point: Point, varied: list[int]) -> Mapping[str, Any]:
    return {
        "design": found.family.member_name(point.choice),
        "choice": [point.choice[at] for at in varied],
        **_costs(found, point),
    }


def _costs(found: Exploration, point: Point) -> dict[str, float]:
    """Return what a point costs, in the units of the page; traffic and power where they are axes."""
    told = [axis for axis in Axis if axis not in (Axis.TRAFFIC, Axis.POWER) or axis in found.axes]
    return {
        _KEYS[axis]: point.cycles if axis is Axis.CYCLES else point.value(axis) * _UNITS.get(axis, 1) for axis in told
    }


def _about(found: Exploration) -> list[str]:
    proof = "proven" if found.proven else "not proven"
    if not found.proven and found.gap < _NOTHING:
        proof += f", at most {percent(found.gap - 1)} above the true front"
    axes = ", ".join(found.axes)
    said = [
        f"The front of {axes} over {whole(found.designs)} designs, each layer of {found.network.name} at its best.",
        f"{proof[0].upper()}{proof[1:]}: {whole(found.mapped)} designs were mapped, {whole(found.bounded)} are beaten "
        "whatever runs on them.",
    ]
    if found.family.budgets:
        said.append(f"Budgets: {', '.join(map(str, found.family.budgets))}.")
    first = found.family.values(found.points[0].choice)
    same = [
        f"{each.name} = {first[each.name]}"
        for at, each in enumerate(found.family.parameters)
        if len({point.choice[at] for point in found.points}) == 1
    ]
    return [*said, f"All points have {', '.join(same)}."] if same else said
