"""Text from outside, where it is shown: nothing in it acts on a terminal, a page, a picture or a spreadsheet."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

#: Signs with which a spreadsheet takes a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Signs that a word, and a whole text, has at most where a person reads it.
_LONGEST_WORD, _LONGEST = 400, 4_000
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


def printable(text: str) -> str:
    """Return the text on one line, without control signs, escape sequences and signs that turn the direction."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def shown(text: str) -> str:
    """Return the text as a person reads it: `printable`, and no longer than anybody reads.

    Longer words, and texts, lose their middle; their length and a checksum stand for it, so that two that differ do
    so still.
    """
    text = printable(text)
    if len(text) <= _LONGEST_WORD:
        return text
    text = _LONG_WORD.sub(lambda word: _cut(word[0], 200, 100), text)
    return text if len(text) <= _LONGEST else _cut(text, 3_000, 500)


def _cut(text: str, first: int, last: int) -> str:
    return f"{text[:first]}...({len(text)} signs, {zlib.crc32(text.encode(errors='replace')):08x})...{text[-last:]}"


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says; empty where it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")


def clean(value: object, *fields: str) -> None:
    """Make fields of a frozen dataclass fit to be `shown`, from its ``__post_init__``: once, at the door."""
    for field in fields:
        text: Any = getattr(value, field)
        made = shown(text) if isinstance(text, str) else tuple(map(shown, text))
        if made != text:
            object.__setattr__(value, field, made)


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV. Numbers stay what they are; text that a spreadsheet would compute gets a ``'`` in front."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator=_Lines.END)
    for row in rows:
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return "".join(lines.written)


class _Lines:
    """Takes rows of CSV. Some versions of Python quote a sign that breaks lines only where its rows end with it."""

    END = "\r\n"

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, row: str) -> None:
        """Take a row, to end as a line of text does."""
        self.written.append(row.removesuffix(self.END) + "\n")


def csv_cell(text: str) -> str:
    """Return what a cell's text was before `csv_text` made it harmless."""
    return text[1:] if text.startswith("'") and text[1:].lstrip("'").startswith(_FORMULA) else text


def _harmless(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def file_name(text: str) -> str:
    """Return a text as a file's name: runs of other than letters, digits, ``-``, ``_`` and ``.`` become one ``_``.

    It neither begins nor ends with ``_`` or ``.``, and is ``unnamed`` where nothing is left.
    """
    return re.sub(r"[^\w.-]+", "_", text).strip("._") or "unnamed"


def file_names(texts: Iterable[str]) -> list[str]:
    """Return texts as names of files in one folder: those that would be one file, on any system, are numbered."""
    names: list[str] = []
    taken: set[str] = set()
    last: dict[str, int] = {}
    for text in texts:
        name = file_name(text)
        number = last.get(name, 1)
        while (wanted := name if number == 1 else f"{name}-{number}").casefold() in taken:
            number += 1
        taken.add(wanted.casefold())
        last[name] = number
        names.append(wanted)
    return names
