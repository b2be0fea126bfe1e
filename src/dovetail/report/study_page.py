"""The founding study as one page: what it published, what we find on its shapes, what is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.report.data import KnownAccuracy
from dovetail.report.page import report_page
from dovetail.report.sections import Point, bars_section, curves_section, table_section, text_section
from dovetail.study.conclusions import shown_agreement
from dovetail.study.energy_gap import EnergyGap
from dovetail.study.published import DESIGNS, RESNETS, StudyFigures, published
from dovetail.study.reproduce import Study
from dovetail.study.rows import SIMPLE, Row, parts, title
from dovetail.table import Table, headed

_KINDS = ("published", "reproduced", "corrected")


def study_page(study: Study, gap: EnergyGap | None = None) -> str:
    """Return the page.

    Args:
        study: what it shows.
        gap: why energies on the Eyeriss-like design differ, where that was taken apart.
    """
    shown = [cost for key, cost in study.costs.items() if key[0] == "corrected" and key[1] in ("resnet", "width")]
    accuracies = {each.network: KnownAccuracy(each.top1_percent, each.weights) for each in study.accuracies}
    return report_page(shown, title="The founding study", accuracies=accuracies, sections=study_sections(study, gap))


def study_sections(study: Study, gap: EnergyGap | None = None) -> list[dict[str, Any]]:
    """Return the page's sections about the study itself."""
    about = [f"Reproduced from: {published()['source']}."]
    agreement = [
        f"{title(part)}: {shown_agreement(study.agreement(part))} (median)."
        for part in parts(study.rows)
        if study.agreement(part)
    ]
    sections = [
        text_section("What this is", [*about, *study.notes]),
        text_section("Reproduced over published", agreement) if agreement else None,
        _conclusions(study),
        *(() if gap is None else _gap(gap)),
        _curves(study),
        _accuracies(study),
        *(_bars(study, part) for part in ("alexnet_batch_1", "alexnet_batch_16")),
        *(table_section(title(part), study.table(part)) for part in parts(study.rows)),
    ]
    return [section for section in sections if section is not None]


def _conclusions(study: Study) -> dict[str, Any]:
    table = Table(headed("the study concluded", "found"), study.conclusions)
    return table_section("Its conclusions", table)


def _gap(gap: EnergyGap) -> list[dict[str, Any]]:
    """Return why the energies differ, in sentences and in numbers."""
    title = "Why the Eyeriss-like energies differ"
    return [text_section(title, gap.sentences()), table_section(f"{title}: the numbers", gap.table())]


def _accuracies(study: Study) -> dict[str, Any]:
    rows = tuple(
        (each.network, each.plotted, each.plotted_weights, each.top1_percent, each.weights) for each in study.accuracies
    )
    columns = ("network", "plotted top-1 %", "these are weights", "top-1 % of one recipe", "weights")
    note = "The study's curve mixes two sets of weights; with one recipe for all, ResNet-50 and 101 stand lower."
    return table_section("Whose accuracies", Table(headed(*columns), rows), note)


def _curves(study: Study) -> dict[str, Any]:
    """Return accuracy against cost: published as plotted, reproduced likewise, corrected with one recipe."""
    series: dict[str, list[Point]] = {}
    tags: dict[str, tuple[str, str]] = {}
    for design in DESIGNS:
        for kind in _KINDS:
            points = _points(study, design, kind)
            if points:
                name = f"{design.replace('_', ' ')}, {kind}"
                series[name] = points
                tags[name] = (design.replace("_", " "), kind)
    note = (
        "One chart per design. Published figures are read off plots. "
        "Accuracies: as the study plotted them, and for corrected, one recipe."
    )
    return curves_section("ResNets: accuracy against cost", series, tags=tags, multiples=True, note=note)


def _points(study: Study, design: str, kind: str) -> list[Point]:
    accuracy = {each.network: each for each in study.accuracies}
    points = []
    for row in study.part("resnet"):
        figures: StudyFigures | None = getattr(row, kind)
        if row.design == design and figures is not None:
            known = accuracy[row.item]
            top1 = known.top1_percent if kind == "corrected" else known.plotted
            points.append(Point(row.item, top1, _costs(figures)))
    return points if len(points) == len(RESNETS) else []


def _costs(figures: StudyFigures) -> dict[str, float]:
    return {"energy_uJ": figures.energy_pJ * 1e-6, "cycles": figures.cycles, "edp": figures.edp_J_cycle}


def _bars(study: Study, part: str) -> dict[str, Any]:
    rows = study.part(part)
    items = list(dict.fromkeys(row.item for row in rows))
    series: dict[str, dict[str, list[float | None]]] = {}
    tags: dict[str, tuple[str, str]] = {}
    for design in SIMPLE:
        for kind in _KINDS:
            values = _values([row for row in rows if row.design == design], kind)
            if any(value is not None for value in values["cycles"]):
                name = f"{design.replace('_', ' ')}, {kind}"
                series[name] = values
                tags[name] = (design.replace("_", " "), kind)
    return bars_section(title(part), items, series, tags=tags)


def _values(rows: Sequence[Row], kind: str) -> dict[str, list[float | None]]:
    figures: list[StudyFigures | None] = [getattr(row, kind) for row in rows]
    return {
        key: [None if each is None else _costs(each)[key] for each in figures] for key in ("energy_uJ", "cycles", "edp")
    }
