"""How tables and numbers look to a person: as wide as the terminal, units spelled out, one style everywhere."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dovetail.columns import fit

_PIPED_WIDTH = 120
_PREFIXES = ("p", "n", "u", "m", "", "k", "M")


def console(needed: int = 0) -> Console:
    """Return where tables go: as wide as the terminal (or ``$COLUMNS``; 120 columns when piped), or what is needed."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    found = Console(width=width, highlight=False, soft_wrap=False)
    return found if found.width >= needed else Console(width=needed, highlight=False, soft_wrap=False)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text_columns: int = 1,
    optional: Sequence[str] = (),
) -> None:
    """Print a table.

    Args:
        title: stands above it.
        columns: heads; a ``|`` in one breaks it.
        rows: one text per column.
        text_columns: so many columns on the left hold words; all others hold numbers and are set right.
        optional: heads of columns to leave out first where the table is too wide; a line below it names what is.
    """
    shown = fit(columns, rows, table_width(), words=range(text_columns), optional=optional)
    out = console(sum(shown.widths) + 3 * (len(shown.widths) - 1) + 2)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, size in zip(shown.kept, shown.widths, strict=True):
        is_text = i < text_columns
        head = Text(columns[i].replace("|", "\n"))
        table.add_column(head, justify="left" if is_text else "right", overflow="fold", width=size)
    for row in rows:
        table.add_row(*(Text(row[i]) for i in shown.kept))
    out.print(Text(title, style="bold"))
    out.print(table)
    for line in shown.note(out.width):
        print(line)


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a table shows every column in the width at hand, no word folded; what is piped always does."""
    whole = fit(columns, rows, None, words=())
    return fit(columns, rows, table_width(), words=()) == whole


def table_width() -> int | None:
    """Return how wide tables may be; None when they are piped, and may be as wide as it takes."""
    return console().width if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def print_json(fields: dict[str, Any]) -> None:
    """Print one JSON object; numbers without a value (infinite) become null."""
    print(json.dumps(_finite(fields), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def joules(energy_pJ: float) -> str:
    """Return an energy with four digits and its unit, from pJ to MJ."""
    if energy_pJ <= 0:
        return "0 pJ"
    step = min(max(math.floor(math.log10(energy_pJ) / 3), 0), len(_PREFIXES) - 1)
    return f"{energy_pJ / 1000.0**step:.4g} {_PREFIXES[step]}J"


def whole(number: float) -> str:
    """Return a whole number with its thousands set apart."""
    return f"{round(number):,}"


def percent(fraction: float) -> str:
    """Return a fraction as percent."""
    return f"{fraction:.1%}".replace("%", " %")


def product(edp_J_cycle: float) -> str:
    """Return an energy-delay product in J x cycle."""
    return f"{edp_J_cycle:.4g}"
