"""Prints tables and JSON: as wide as the terminal, units spelled out, one style everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from dovetail.columns import fit, folded, terminal_width
from dovetail.json_text import json_document, json_text
from dovetail.table import Table


class _Shown:
    """How tables are shown: `wide` as wide as it takes, whatever the terminal."""

    wide = False


def show_all_columns(wide: bool = True) -> None:
    """Print tables as wide as it takes from now on, whatever the terminal; or, unless ``wide``, as the terminal is."""
    _Shown.wide = wide


def print_table(title: str, results: Table) -> None:
    """Print a table under a title; where it is too wide, a line below it names the columns that are left out."""
    out = Console(highlight=False, soft_wrap=True)
    for line in folded(title, table_width()):
        out.print(Text(line, style="bold"))
    print(f"\n{results.text(table_width())}\n")


def print_text(text: str, indent: str = "") -> None:
    """Print a sentence or more, folded at spaces where tables are bounded; what follows the first line is indented."""
    width = table_width()
    print("\n".join(folded(text, None if width is None else max(width, 40), indent)))


def fits(results: Table) -> bool:
    """Return whether a table shows every column in the width at hand, no word folded; what is piped always does."""
    heads = [column.head for column in results.columns]
    shown = results.shown()
    at_hand, whole = (
        fit(heads, shown, width, words=results.words, optional=results.spare) for width in (table_width(), None)
    )
    return at_hand == whole


def table_width() -> int | None:
    """Return how wide tables may be: as the terminal, or ``$COLUMNS``; None when they are piped or all is wanted."""
    return None if _Shown.wide else terminal_width()


def print_json(kind: str, fields: Mapping[str, Any]) -> None:
    """Print one JSON object of a kind that the schema defines; numbers without a value (infinite) become null."""
    print(json_text(json_document(kind, fields)))
