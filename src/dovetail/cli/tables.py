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

_PIPED_WIDTH = 120
_NARROWEST = 10  # no column of words is folded to less
_PREFIXES = ("p", "n", "u", "m", "", "k", "M")


def console(needed: int = 0) -> Console:
    """Return where tables go: as wide as the terminal (or ``$COLUMNS``); when piped 120 columns, or what is needed."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else max(_PIPED_WIDTH, needed)
    return Console(width=width, highlight=False, soft_wrap=False)


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
        optional: heads of columns to leave out, one after the other, as long as the table is too wide.
    """
    out = console()
    kept = list(range(len(columns)))
    for head in optional:
        if _width(columns, rows, kept) > out.width:
            kept.remove(columns.index(head))
    out = console(_width(columns, rows, kept))
    left = out.width - _width(columns, rows, [i for i in kept if i >= text_columns])
    narrowest = max(1, min(_NARROWEST, left // max(1, text_columns) - 3))  # numbers go before words
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i in kept:
        is_text = i < text_columns
        table.add_column(
            Text(columns[i].replace("|", "\n")),
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not is_text,
            min_width=min(narrowest, max((len(row[i]) for row in rows), default=0)) if is_text else None,
        )
    for row in rows:
        table.add_row(*(Text(row[i]) for i in kept))
    out.print(Text(title, style="bold"))
    out.print(table)


def fits(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a table breaks nothing but its heads; what is piped never does."""
    needed = _width(columns, rows, range(len(columns)))
    return needed <= console(needed).width


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    """Return how many characters a table of some columns needs that breaks nothing but its heads."""
    heads = [max(map(len, columns[i].split("|"))) for i in kept]
    cells = [max([head, *(len(row[i]) for row in rows)]) for i, head in zip(kept, heads, strict=True)]
    return sum(cells) + 3 * (len(cells) - 1) + 2


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
