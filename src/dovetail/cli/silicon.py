"""``dovetail silicon``: the model beside what two publications measured of Eyeriss, residuals and their reasons."""

from __future__ import annotations

import argparse

from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.files import write_text
from dovetail.report.silicon_page import silicon_markdown, silicon_page
from dovetail.store import Store
from dovetail.study.silicon import Residual, Silicon, measured, run_silicon
from dovetail.table import Cell, Column, Table
from dovetail.units import four_digits

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "silicon",
    "silicon --html silicon.html",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_limits(parser, "seconds per layer")
    arguments.add_workers(parser)
    add_output(parser, "--html", "write one page that opens from disk")
    add_output(parser, "--markdown", "write the page of the documentation")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, print and write what was asked for."""
    with network_progress() as progress, Store.open() as store:
        silicon = run_silicon(time_limit=arguments.limit_of(args), store=store, workers=args.workers, progress=progress)
    if args.html:
        write_text(args.html, silicon_page(silicon))
    if args.markdown:
        write_text(args.markdown, silicon_markdown(silicon))
    if args.json:
        print_json("silicon", silicon.to_json())
        return 0
    _print(silicon)
    return 0


def _print(silicon: Silicon) -> None:
    for title, source, residuals in (
        ("AlexNet, batch 4, on the fabricated chip", "eyeriss_jssc", silicon.chip),
        ("AlexNet, batch 16, in the ISCA 2016 analysis", "eyeriss_isca", silicon.analysis),
    ):
        print_table(title, Table(_COLUMNS, _rows(residuals)))
        print_text(f"published: {measured()[source]['source']}\n", "  ")
        for each in residuals:
            print_text(f"  {each.layer} {each.what}: {each.reason}", "    ")
        print()
    for note in silicon.notes:
        print_text(f"- {note}", "  ")


_COLUMNS = (
    Column("", words=True),
    Column("quantity", words=True),
    Column("published", show="{:g}".format),
    Column("ours", show=four_digits),
    Column("ours /|published", show="{:.2f}".format),
)


def _rows(residuals: tuple[Residual, ...]) -> tuple[tuple[Cell, ...], ...]:
    return tuple((each.layer, each.what, each.published, each.ours, each.ratio) for each in residuals)
