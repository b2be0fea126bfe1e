"""``dovetail study``: the study that this project grew from, as published, as reproduced, and corrected."""

from __future__ import annotations

import argparse

from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import fits, joules, print_json, print_table, product
from dovetail.files import write_text
from dovetail.store import Store
from dovetail.study.conclusions import shown_agreement
from dovetail.study.published import Figures
from dovetail.study.reproduce import Study, run_study
from dovetail.study.rows import Row, parts, title

_SHAPES = {"both": ("study", "corrected"), "study": ("study",), "corrected": ("corrected",)}

#: What is kept when it ends early.
kept = arguments.kept_in_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--shapes",
        choices=list(_SHAPES),
        default="both",
        help="study: the study's own shapes and designs, its stride and grouping mistakes and its idle array axis "
        "included; corrected: the true shapes, both axes usable; or both (default)",
    )
    parser.add_argument("--time-limit", type=arguments.seconds, metavar="S", help="seconds per layer")
    parser.add_argument("--workers", type=arguments.positive, metavar="N", help="processes (one per CPU)")
    add_output(parser, "--html", "write one page that opens from disk")
    add_output(parser, "--csv", "write every table as CSV into a folder", folder=True)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the study, print and write what was asked for."""
    with network_progress() as progress, Store.open() as store:
        study = run_study(
            shapes=_SHAPES[args.shapes],
            time_limit=args.time_limit,
            store=store,
            workers=args.workers,
            progress=progress,
        )
    if args.csv:
        for part in parts(study.rows):
            write_text(args.csv / f"{part}.csv", study.table(part).csv())
    if args.html:
        from dovetail.report.study_page import study_page  # templates load only when a page is asked for

        write_text(args.html, study_page(study))
    if args.json:
        print_json(study.to_json())
        return 0
    _print(study)
    return 0


def _print(study: Study) -> None:
    for part in parts(study.rows):
        _print_part(title(part), [_cells(row) for row in study.part(part)])
        if agreement := study.agreement(part):
            print(f"reproduced over published, median: {shown_agreement(agreement)}\n")
    accuracies = [
        (each.network, f"{each.plotted:.2f}", each.plotted_weights, f"{each.top1_percent:.2f}", each.weights)
        for each in study.accuracies
    ]
    print_table("ImageNet top-1 %", ("", "plotted", "weights", "one recipe", "weights"), accuracies)
    for said, found in study.conclusions:
        print(f"Concluded: {said}.\n  {found}")
    print()
    for note in study.notes:
        print(f"- {note}")


def _print_part(heading: str, rows: list[tuple[str, ...]]) -> None:
    """Print a part as one table, or where the terminal is too narrow as one for cycles, for energy and for EDP."""
    figures = ("M cycles", "energy", "EDP J x cycle")
    heads = ["", "", *(f"{what}|{kind}" for what in figures for kind in ("published", "reproduced", "corrected"))]
    if fits(heads, rows):
        print_table(heading, heads, rows, text_columns=2)
        return
    for first, what in zip(range(2, len(heads), 3), figures, strict=True):
        some = [row[:2] + row[first : first + 3] for row in rows]
        print_table(f"{heading}: {what}", ["", "", "published", "reproduced", "corrected"], some, text_columns=2)


def _cells(row: Row) -> tuple[str, ...]:
    each = (row.published, row.reproduced, row.corrected)
    return (
        row.item,
        row.design.replace("_", " "),
        *(_shown(figures, "cycles") for figures in each),
        *(_shown(figures, "energy") for figures in each),
        *(_shown(figures, "edp") for figures in each),
    )


def _shown(figures: Figures | None, what: str) -> str:
    if figures is None:
        return ""
    if what == "cycles":
        return f"{figures.cycles / 1e6:.4g}"
    return joules(figures.energy_pJ) if what == "energy" else product(figures.edp_J_cycle)
