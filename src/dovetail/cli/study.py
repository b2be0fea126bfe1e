"""``dovetail study``: the study that this project grew from, as published, as reproduced, and corrected."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import fits, print_json, print_table, print_text
from dovetail.files import write_text
from dovetail.store import Store
from dovetail.study.conclusions import shown_agreement
from dovetail.study.energy_gap import energy_gap
from dovetail.study.reproduce import Study, run_study
from dovetail.study.rows import Row, parts, title
from dovetail.table import Cell, Column, Table
from dovetail.units import four_digits, joules

_SHAPES = {"both": ("study", "corrected"), "study": ("study",), "corrected": ("corrected",)}

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "study",
    "study --shapes corrected --html study.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--shapes",
        choices=list(_SHAPES),
        default="both",
        help="study: the study's own shapes and designs, its stride and grouping mistakes and its idle array axis "
        "included; corrected: the true shapes, both axes usable; or both (default)",
    )
    arguments.add_limits(parser, "seconds per layer")
    arguments.add_workers(parser)
    add_output(parser, "--html", "write one page that opens from disk")
    add_output(parser, "--csv", "write every table as CSV into a folder", folder=True)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the study, print and write what was asked for."""
    with network_progress() as progress, Store.open() as store:
        study = run_study(
            shapes=_SHAPES[args.shapes],
            time_limit=arguments.limit_of(args),
            store=store,
            workers=args.workers,
            progress=progress,
        )
        gap = energy_gap(store=store, workers=args.workers, progress=progress) if args.html else None
    if args.csv:
        for part in parts(study.rows):
            write_text(args.csv / f"{part}.csv", study.table(part).csv())
    if args.html:
        from dovetail.report.study_page import study_page  # templates load only when a page is asked for

        write_text(args.html, study_page(study, gap))
    if args.json:
        print_json("study", study.to_json())
        return 0
    _print(study)
    return 0


def _print(study: Study) -> None:
    for part in parts(study.rows):
        _print_part(title(part), tuple(_cells(row) for row in study.part(part)))
        if agreement := study.agreement(part):
            print(f"reproduced over published, median: {shown_agreement(agreement)}\n")
    accuracies = tuple(
        (each.network, each.plotted, each.plotted_weights, each.top1_percent, each.weights) for each in study.accuracies
    )
    columns = (
        Column("", words=True),
        Column("plotted", show="{:.2f}".format),
        Column("weights", words=False),
        Column("one recipe", show="{:.2f}".format),
        Column("weights", words=False),
    )
    print_table("ImageNet top-1 %", Table(columns, accuracies))
    for said, found in study.conclusions:
        print_text(f"Concluded: {said}.")
        print_text(f"  {found}", "  ")
    print()
    for note in study.notes:
        print_text(f"- {note}", "  ")


#: What is shown of each figure: the words for it, and how it looks.
_FIGURES: dict[str, Callable[[float], str]] = {
    "M cycles": lambda cycles: four_digits(cycles / 1e6),
    "energy": joules,
    "EDP J x cycle": four_digits,
}
_ITEMS = (Column("", words=True), Column("", words=True))


def _print_part(heading: str, rows: tuple[tuple[Cell, ...], ...]) -> None:
    """Print a part as one table, or where the terminal is too narrow as one for cycles, for energy and for EDP."""
    kinds = ("published", "reproduced", "corrected")
    columns = (Column(f"{what}|{kind}", show=show) for what, show in _FIGURES.items() for kind in kinds)
    whole = Table((*_ITEMS, *columns), rows)
    if fits(whole):
        print_table(heading, whole)
        return
    for first, (what, show) in zip(range(2, len(whole.columns), 3), _FIGURES.items(), strict=True):
        some = tuple(row[:2] + row[first : first + 3] for row in rows)
        print_table(f"{heading}: {what}", Table((*_ITEMS, *(Column(kind, show=show) for kind in kinds)), some))


def _cells(row: Row) -> tuple[Cell, ...]:
    each = (row.published, row.reproduced, row.corrected)
    return (
        row.item,
        row.design.replace("_", " "),
        *(None if figures is None else figures.cycles for figures in each),
        *(None if figures is None else figures.energy_pJ for figures in each),
        *(None if figures is None else figures.edp_J_cycle for figures in each),
    )
