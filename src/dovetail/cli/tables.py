"""Prints tables and JSON: as wide as the terminal, units spelled out, one style everywhere."""

from __future__ import annotations

import os
import sys
from typing import Any

from rich import box, table
from rich.console import Console
from rich.text import Text

from dovetail.columns import Fit, fit
from dovetail.json_text import json_text
from dovetail.table import Table

_PIPED_WIDTH = 120


def console(needed: int = 0) -> Console:
    """Return where tables go: as wide as the terminal (or ``$COLUMNS``; 120 columns when piped), or what is needed."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    found = Console(width=width, highlight=False, soft_wrap=False)
    return found if found.width >= needed else Console(width=needed, highlight=False, soft_wrap=False)


def print_table(title: str, results: Table) -> None:
    """Print a table under a title; where it is too wide, a line below it names the columns that are left out."""
    heads, rows, words = [column.head for column in results.columns], results.shown(), results.words
    shown = _fitting(results, table_width())
    out = console(sum(shown.widths) + 3 * (len(shown.widths) - 1) + 2)
    drawn = table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, size in zip(shown.kept, shown.widths, strict=True):
        head = Text(heads[i].replace("|", "\n"))
        drawn.add_column(head, justify="left" if i in words else "right", overflow="fold", width=size)
    for row in rows:
        drawn.add_row(*(Text(row[i]) for i in shown.kept))
    out.print(Text(title, style="bold"))
    out.print(drawn)
    for line in shown.note(out.width):
        print(line)


def fits(results: Table) -> bool:
    """Return whether a table shows every column in the width at hand, no word folded; what is piped always does."""
    return _fitting(results, table_width()) == _fitting(results, None)


def _fitting(results: Table, width: int | None) -> Fit:
    heads = [column.head for column in results.columns]
    return fit(heads, results.shown(), width, words=results.words, optional=results.spare)


def table_width() -> int | None:
    """Return how wide tables may be; None when they are piped, and may be as wide as it takes."""
    return console().width if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def print_json(fields: dict[str, Any]) -> None:
    """Print one JSON object; numbers without a value (infinite) become null."""
    print(json_text(fields))
