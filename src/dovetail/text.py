"""Text from outside, where it is shown: nothing in it acts on a terminal, a page, a picture or a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

#: Signs with which a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Return the text on one line, without control signs, escape sequences and signs that turn the direction."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def clean(value: object, *fields: str) -> None:
    """Make fields of a frozen dataclass printable, from its ``__post_init__``: names are cleaned once, at the door."""
    for field in fields:
        text: Any = getattr(value, field)
        if isinstance(text, str):
            if not text.isprintable():
                object.__setattr__(value, field, printable(text))
        elif not all(part.isprintable() for part in text):
            object.__setattr__(value, field, tuple(map(printable, text)))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV. Numbers stay what they are; text that a spreadsheet would compute gets a ``'`` in front."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in rows:
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return stream.getvalue()


def csv_cell(text: str) -> str:
    """Return what a cell's text was before `csv_text` made it harmless."""
    return text[1:] if text.startswith("'") and text[1:].lstrip("'").startswith(_FORMULA) else text


def _harmless(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text
