"""Sections that a page may show besides its networks: text, tables, accuracy against cost, bars side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.table import Table

#: Axes that points and bars may be drawn over: key, label; the page adds the unit that suits the values.
METRICS = (("energy_uJ", "energy"), ("cycles", "cycles"), ("edp", "EDP"))


@dataclass(frozen=True)
class Point:
    """One network on one design.

    Attributes:
        label: what stands beside it.
        top1_percent: its accuracy.
        costs: by the keys of `METRICS`.
    """

    label: str
    top1_percent: float
    costs: Mapping[str, float]


def text_section(title: str, paragraphs: Sequence[str]) -> dict[str, Any]:
    """Return paragraphs under a heading."""
    return {"kind": "text", "title": title, "paragraphs": list(paragraphs)}


def table_section(title: str, table: Table, note: str = "") -> dict[str, Any]:
    """Return a sortable table under a heading."""
    return {
        "kind": "table",
        "title": title,
        "note": note,
        "columns": list(table.headings),
        "rows": [list(row) for row in table.rows],
    }


def curves_section(
    title: str,
    series: Mapping[str, Sequence[Point]],
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    front: bool = False,
    metric: str = METRICS[0][0],
    logarithmic: bool = False,
    multiples: bool = False,
    note: str = "",
) -> dict[str, Any]:
    """Return accuracy against cost, one line per series.

    Args:
        title: the heading.
        series: points by the series' name.
        tags: by the series' name, what it is shown or hidden by; the first gives its colour, the second its dashes.
        front: also draw the Pareto front of all that is shown.
        metric: the cost that is shown at first.
        logarithmic: whether its axis is.
        multiples: one small chart for each first tag, rather than one for all.
        note: what to know.
    """
    tagged = tags or {}
    return {
        "kind": "curves",
        "title": title,
        "note": note,
        "front": front,
        "metric": metric,
        "logarithmic": logarithmic,
        "multiples": multiples,
        "metrics": [list(metric) for metric in METRICS],
        "series": [
            {
                "name": name,
                "tags": list(tagged.get(name, ())),
                "points": [{"label": p.label, "accuracy": p.top1_percent, **p.costs} for p in points],
            }
            for name, points in series.items()
        ],
    }


@dataclass(frozen=True)
class Staircase:
    """What a group of channels costs at every width.

    Attributes:
        name: of the group.
        steps: width, cost per unit of it, and what to say of that width.
        now: the present width.
        marked: widths that were taken.
    """

    name: str
    steps: Sequence[tuple[int, float, str]]
    now: int
    marked: Sequence[int]


def stairs_section(title: str, stairs: Sequence[Staircase], *, x: str, y: str, note: str = "") -> dict[str, Any]:
    """Return staircases, a small chart each.

    Args:
        title: the heading.
        stairs: what to draw.
        x: what the widths are.
        y: what the cost is, and in what.
        note: what to know.
    """
    groups = [
        {"name": each.name, "steps": [list(s) for s in each.steps], "now": each.now, "marked": list(each.marked)}
        for each in stairs
    ]
    return {"kind": "stairs", "title": title, "note": note, "x": x, "y": y, "groups": groups}


def bars_section(
    title: str,
    items: Sequence[str],
    series: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    tags: Mapping[str, Sequence[str]] | None = None,
    note: str = "",
) -> dict[str, Any]:
    """Return bars side by side.

    Args:
        title: the heading.
        items: what the bars stand at, such as layers.
        series: by the series' name, per key of `METRICS` one value per item.
        tags: by the series' name, what it is shown or hidden by; the first gives its colour, the second its pattern.
        note: what to know.
    """
    tagged = tags or {}
    return {
        "kind": "bars",
        "title": title,
        "note": note,
        "metrics": [list(metric) for metric in METRICS],
        "items": list(items),
        "series": [
            {"name": name, "tags": list(tagged.get(name, ())), "values": {key: list(v) for key, v in values.items()}}
            for name, values in series.items()
        ],
    }
