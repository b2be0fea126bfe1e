"""The silicon comparison as one page, and as the documentation's page."""

from __future__ import annotations

from dovetail.report.page import report_page
from dovetail.report.sections import table_section, text_section
from dovetail.study.silicon import Residual, Silicon, measured

_PARTS = (("chip", "eyeriss_jssc", "The fabricated chip"), ("analysis", "eyeriss_isca", "The energy analysis"))


def silicon_page(silicon: Silicon) -> str:
    """Return the page."""
    sections = [
        text_section("What this is", silicon.notes),
        *(table_section(title, silicon.table(which), measured()[source]["source"]) for which, source, title in _PARTS),
    ]
    return report_page(silicon.costs, title="The model beside silicon", accuracies={}, sections=sections)


def silicon_markdown(silicon: Silicon) -> str:
    """Return the documentation's page."""
    lines = [
        "# The model beside silicon",
        "",
        "Written by `dovetail silicon --markdown page.md`; with `--html page.html` come the mappings behind it.",
        "",
        *(f"- {note}" for note in silicon.notes),
    ]
    for which, source, title in _PARTS:
        residuals: tuple[Residual, ...] = getattr(silicon, which)
        lines += ["", f"## {title}", "", f"Published: {measured()[source]['source']}.", ""]
        lines += ["| layer | quantity | published | ours | ours / published | why |", "|---|---|--:|--:|--:|---|"]
        lines += [
            f"| {each.layer} | {each.what} | {each.published:g} | {each.ours:.4g} | {each.ratio:.2f} | {each.reason} |"
            for each in residuals
        ]
    return "\n".join(lines) + "\n"
