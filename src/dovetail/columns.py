"""Which columns of a table fit a width, and how wide each is: numbers stand whole or are left out, words fold."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.units import counted

#: No column of words is folded to less.
NARROWEST = 10
#: Parts of words up to so long stay whole.
_WORD = 14
_PIECE = re.compile(r"[^._/=:,-]*[._/=:,-]+|[^._/=:,-]+")
_NUMBER = re.compile(r"[A-Z]*[-+]?\d[\d.,x/e%+-]*")


@dataclass(frozen=True)
class Fit:
    """What of a table is shown.

    Attributes:
        kept: places of the columns that are shown, from left to right.
        widths: characters that each of them takes.
        left_out: heads of the columns that are not, in the table's order.
    """

    kept: tuple[int, ...]
    widths: tuple[int, ...]
    left_out: tuple[str, ...]

    def note(self, width: int, rest: str) -> list[str]:
        """Return the lines to print below the table about columns that are left out; none when none is.

        Args:
            width: characters at hand.
            rest: what shows them.
        """
        if not self.left_out:
            return []
        return folded(f"{counted(len(self.left_out), 'column')} more with {rest}: {', '.join(self.left_out)}", width)


def terminal_width() -> int | None:
    """Return how wide what is printed may be: as the terminal, or ``$COLUMNS``; None when it is piped."""
    is_bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
    return max(shutil.get_terminal_size().columns, 1) if is_bounded else None


def folded(text: str, width: int | None, indent: str = "") -> list[str]:
    """Return a sentence's lines, folded at spaces to a width; long names, paths and numbers stay whole.

    Args:
        text: the sentence.
        width: characters at hand; None for as many as it takes.
        indent: what the lines after the first begin with.
    """
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def fit(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int | None,
    *,
    words: Sequence[int],
    optional: Sequence[int] = (),
    between: int = 2,
) -> Fit:
    """Choose columns and widths.

    Where the table is too wide, columns of words are folded, down to `NARROWEST`. As long as that is not enough,
    `optional` columns go, in their order; then what stands furthest on the right, numbers before words. The first
    column, and one of numbers, always stay: a table may be wider than its terminal rather than cut.

    Args:
        columns: heads; a ``|`` in one breaks it.
        rows: one text per column.
        width: characters at hand; None for as many as it takes.
        words: places of the columns that hold words and may be folded.
        optional: places of the columns to leave out first.
        between: characters between two columns.
    """
    whole = [max(map(len, (*head.split("|"), *(row[i] for row in rows)))) for i, head in enumerate(columns)]
    least = [_least([row[i] for row in rows], size) if i in words else size for i, size in enumerate(whole)]
    kept = list(range(len(columns)))

    def needed(sizes: Sequence[int]) -> int:
        return sum(sizes[i] for i in kept) + between * (len(kept) - 1)

    if width is not None:
        for place in optional:
            others = [i for i in kept if i not in words and i != place]
            if needed(least) > width and (place in words or others):
                kept.remove(place)
        for place in _in_order_of_leaving(kept, words):
            if needed(least) > width:
                kept.remove(place)
    sizes = {i: whole[i] for i in kept}
    if width is not None and needed(whole) > width:
        room = max(width - needed(least), 0)
        for i in kept:
            sizes[i] = min(whole[i], least[i] + room)
            room -= sizes[i] - least[i]
    out = tuple(head.replace("|", " ") for i, head in enumerate(columns) if i not in kept)
    return Fit(tuple(kept), tuple(sizes[i] for i in kept), out)


def pieces(word: str) -> list[str]:
    """Return what a word may be folded into: it parts behind a point, a dash and the like."""
    return _PIECE.findall(word)


def _least(cells: Sequence[str], size: int) -> int:
    """Return how narrow a column of words may be: folding never breaks a number, and hardly ever a word."""
    words = [word for cell in cells for word in cell.split()]
    numbers = (len(word) for word in words if _NUMBER.fullmatch(word))
    parts = (min(len(piece), _WORD) for word in words for piece in pieces(word))
    return min(size, max(NARROWEST, *numbers, *parts, 0))


def _in_order_of_leaving(kept: Sequence[int], words: Sequence[int]) -> list[int]:
    numbers = [i for i in kept if i not in words]
    return numbers[:0:-1] + [i for i in kept if i in words and i != kept[0]][::-1]
