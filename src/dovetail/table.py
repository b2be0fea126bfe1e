"""A table of results: one list of columns and rows for a terminal, plain text, HTML, CSV and JSON."""

from __future__ import annotations

import html
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dovetail.columns import Fit, fit, folded, pieces, terminal_width
from dovetail.errors import MissingExtraError
from dovetail.text import csv_text

if TYPE_CHECKING:
    import pandas

Cell = str | int | float | bool | None


#: What a line between headings and rows is made of.
RULE = "─"


def shown_cell(cell: Cell) -> str:
    """Return a cell as a person reads it: numbers to four digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


@dataclass(frozen=True)
class Column:
    """One column of a table, in all its renderings.

    Attributes:
        name: what it holds; a ``|`` breaks it in a terminal.
        unit: of its numbers; empty where each is shown with its own.
        key: its name in CSV and JSON; empty: name and unit.
        words: whether it stands on the left and may be folded; None where its cells tell: numbers stand on the right.
        show: how a person reads a cell; CSV and JSON have it in full.
        spare: the order in which columns are left out first where a terminal is too narrow; 0: as any other.
    """

    name: str
    unit: str = ""
    key: str = ""
    words: bool | None = None
    show: Callable[[Any], str] = shown_cell
    spare: int = 0

    @property
    def head(self) -> str:
        """What stands above it in a terminal, a ``|`` for a break."""
        return "|".join(filter(None, (self.name, self.unit)))

    @property
    def heading(self) -> str:
        """What stands above it anywhere else."""
        return self.head.replace("|", " ")


def headed(*names: str) -> tuple[Column, ...]:
    """Return columns that are no more than their names, units included."""
    return tuple(map(Column, names))


@dataclass(frozen=True, repr=False)
class Table:
    """Columns and rows.

    Attributes:
        columns: what stands in each place of a row.
        rows: one cell per column each; numbers stay numbers until they are shown.
        totals: a last row that sums up, or nothing.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[Cell, ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        """What stands above the columns, on one line."""
        return tuple(column.heading for column in self.columns)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns' names in CSV and JSON."""
        return tuple(column.key or column.heading for column in self.columns)

    @property
    def words(self) -> tuple[int, ...]:
        """Places of the columns that stand on the left and may be folded."""
        return tuple(i for i, column in enumerate(self.columns) if column.words or self._tells_words(i))

    @property
    def spare(self) -> tuple[int, ...]:
        """Places of the columns that are left out first where there is too little room, in that order."""
        places = (i for i, column in enumerate(self.columns) if column.spare)
        return tuple(sorted(places, key=lambda i: self.columns[i].spare))

    def shown(self) -> list[tuple[str, ...]]:
        """Return the rows, and the totals last where there are any, as a person reads them."""
        body = [*self.rows, *([self.totals] if self.totals else [])]
        return [
            tuple("" if cell is None else column.show(cell) for column, cell in zip(self.columns, row, strict=True))
            for row in body
        ]

    def records(self) -> list[dict[str, Cell]]:
        """Return the rows for JSON, cells by their columns' keys, without the totals."""
        return [dict(zip(self.keys, row, strict=True)) for row in self.rows]

    def to_frame(self) -> pandas.DataFrame:
        """Return the rows as pandas' data frame, numbers in full, columns named as in CSV and JSON.

        Raises:
            MissingExtraError: pandas, an extra, is not installed.
        """
        if importlib.util.find_spec("pandas") is None:
            raise MissingExtraError("a data frame", "pandas")
        made: Any = importlib.import_module("pandas")
        return made.DataFrame(list(self.rows), columns=list(self.keys))

    def csv(self) -> str:
        """Return the rows as CSV under their keys, numbers in full, without the totals."""
        return csv_text([self.keys, *self.rows])

    def filled(self) -> Table:
        """Return the table without columns in which nothing stands."""
        places = [at for at in range(len(self.columns)) if any(row[at] is not None for row in self.rows)]
        rows = tuple(tuple(row[at] for at in places) for row in self.rows)
        totals = tuple(self.totals[at] for at in places) if self.totals else ()
        return Table(tuple(self.columns[at] for at in places), rows, totals)

    def titled(self, title: str) -> str:
        """Return the table under a title, as a result prints itself: no wider than the terminal."""
        return "\n".join([*folded(title, terminal_width()), "", str(self)])

    def __str__(self) -> str:
        """Return the table as wide as the terminal; a last line names the columns that are left out."""
        return self.text(terminal_width(), rest=".to_frame()")

    def __repr__(self) -> str:
        return f"<Table of {', '.join(self.headings)}: {len(self.rows)} rows>"

    def text(self, width: int | None = None, *, ruled: bool = True, rest: str = "--wide") -> str:
        """Return the table in columns: numbers to the right, words to the left.

        Args:
            width: characters at hand; words fold then, and a last line names the columns that are left out. None for
                as many as it takes.
            ruled: whether a line parts the headings, and the totals, from the rows.
            rest: what shows the columns that are left out.
        """
        words, shown = self.words, self.shown()
        heads = [column.head for column in self.columns]
        fitting = fit(heads, shown, width, words=words, optional=self.spare)
        head = list(_lines([_lifted(each, heads) for each in heads], fitting, words))
        body = [list(_lines([[cell] for cell in row], fitting, words)) for row in shown]
        rule = [RULE * max(len(line) for lines in (head, *body) for line in lines)] if ruled else []
        last = [rule, body.pop()] if self.totals else []
        lines = [line for part in (head, rule, *body, *last) for line in part]
        return "\n".join([*lines, *fitting.note(max(width or 0, *map(len, lines)), rest)])

    def html(self, caption: str = "") -> str:
        """Return the table as HTML; every text from outside is escaped."""
        rows = [self._html_row(row) for row in self.shown()]
        foot = f"<tfoot>{rows.pop()}</tfoot>" if self.totals else ""
        head = "".join(f"<th>{html.escape(heading)}</th>" for heading in self.headings)
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>{foot}</table>"

    def _tells_words(self, place: int) -> bool:
        """Whether a column's cells, where the column does not say, are words."""
        cells = (row[place] for row in self.rows)
        return self.columns[place].words is None and not all(
            isinstance(cell, int | float) or cell in (None, "") for cell in cells
        )

    def _html_row(self, row: Sequence[str]) -> str:
        words = self.words
        cells = (
            f'<td style="text-align:{"left" if i in words else "right"}">{html.escape(cell)}</td>'
            for i, cell in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"


def _lifted(head: str, heads: Sequence[str]) -> list[str]:
    """Return a heading's lines, as many as the highest has, the last at the bottom; a ``|`` breaks it."""
    lines = head.split("|")
    return [*[""] * (max(each.count("|") for each in heads) + 1 - len(lines)), *lines]


def _lines(row: Sequence[Sequence[str]], fitting: Fit, words: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a row, whose cells are lines themselves, folded to the widths of their columns."""
    cells = [
        (i in words, size, [part for line in row[i] for part in _folded(line, size)])
        for i, size in zip(fitting.kept, fitting.widths, strict=True)
    ]
    for at in range(max(len(lines) for _, _, lines in cells)):
        padded = ((lines[at] if at < len(lines) else "", left, size) for left, size, lines in cells)
        yield "  ".join(text.ljust(size) if left else text.rjust(size) for text, left, size in padded).rstrip()


def _folded(cell: str, size: int) -> list[str]:
    """Return a cell's lines: folded at spaces, and in words that are too long where `pieces` part them."""
    if len(cell) <= size:
        return [cell]
    lines, line = [], ""
    for word in cell.split():
        gap = " " if line else ""
        for piece in [word] if len(word) <= size else pieces(word):
            parts = [piece[i : i + size] for i in range(0, len(piece), size)]
            for part in parts:
                if len(line) + len(gap) + len(part) > size:
                    lines.append(line)
                    line, gap = "", ""
                line += gap + part
                gap = ""
    return [*lines, line]
