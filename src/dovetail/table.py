"""A table of results as text for a terminal, as CSV, and as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dovetail.text import csv_text

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Columns and rows.

    Attributes:
        columns: headings, with units.
        rows: one cell per column each; numbers stay numbers until they are shown.
        totals: a last row that sums up, or nothing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[Cell, ...] = ()

    def csv(self) -> str:
        """Return the rows as CSV under their headings, numbers in full, without the totals."""
        return csv_text([self.columns, *self.rows])

    def text(self) -> str:
        """Return the table in columns: numbers to four digits and to the right, words to the left."""
        body = [*self.rows, *([self.totals] if self.totals else [])]
        shown = [self.columns, *([shown_cell(cell) for cell in row] for row in body)]
        widths = [max(len(row[i]) for row in shown) for i in range(len(self.columns))]
        right = [self._numeric(i) for i in range(len(self.columns))]
        lines = [_line(row, widths, right) for row in shown]
        rule = "-" * len(max(lines, key=len))
        return "\n".join([lines[0], rule, *lines[1 : len(self.rows) + 1], *([rule, lines[-1]] if self.totals else [])])

    def html(self, caption: str = "") -> str:
        """Return the table as HTML; every text from outside is escaped."""
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        rows = "".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows)
        foot = f"<tfoot><tr>{self._cells(self.totals)}</tr></tfoot>" if self.totals else ""
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>{foot}</table>"

    def _numeric(self, column: int) -> bool:
        return all(isinstance(row[column], int | float) or row[column] in (None, "") for row in self.rows)

    def _cells(self, row: Sequence[Cell]) -> str:
        return "".join(
            f'<td style="text-align:{"right" if self._numeric(i) else "left"}">{html.escape(shown_cell(cell))}</td>'
            for i, cell in enumerate(row)
        )


def shown_cell(cell: Cell) -> str:
    """Return a cell as a person reads it: numbers to four digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def _line(cells: Iterable[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if is_right else cell.ljust(width)
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()
