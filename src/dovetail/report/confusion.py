"""Draws which classes a network confuses: a row per class, a column per class that it says."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dovetail.report.svg import COLOURS, picture, text
from dovetail.units import percent

if TYPE_CHECKING:  # torch is an extra
    from dovetail.accuracy.confusion import Confusion

#: Classes that are drawn; of more, those that are most often mistaken.
_DRAWN = 60
#: Up to so many classes, cells have their count in them.
_COUNTED = 20
_LONGEST = 18


def confusion_picture(found: Confusion, title: str) -> str:
    """Return the matrix as SVG: a cell is the darker, the larger its share of its row's images."""
    order = sorted(range(len(found.classes)), key=lambda row: found.counts[row, row] - found.counts[row].sum())
    shown = sorted(order[:_DRAWN])
    side = max(9, min(34, 560 // len(shown)))
    left, top = 150, 150
    size = (left + side * len(shown) + 80, top + side * len(shown) + 46)
    parts = [text(16, 24, title, size=15), text(16, 44, _said(found, len(shown)))]
    for place, row in enumerate(shown):
        name = _short(found.classes[row])
        at = place * side + side / 2
        parts.append(text(left - 6, top + at + 4, name, anchor="end", size=min(12, side)))
        x, y = left + at + 4, top - 6
        turned = f'<g transform="rotate(-60 {x:.1f} {y})">{text(x, y, name, size=min(12, side))}</g>'
        parts.append(turned)
        for column_place, column in enumerate(shown):
            parts += _cell(found, (row, column), left + column_place * side, top + place * side, side, len(shown))
    below = top + side * len(shown) + 24
    parts.append(text(left, below, "rows: what the images are; columns: what the network says"))
    return picture(parts, size)


def _said(found: Confusion, shown: int) -> str:
    classes = len(found.classes)
    of = f"; the {shown} of {classes} classes that are most often mistaken" if shown < classes else ""
    return f"{percent(found.accuracy)} of {found.images:,} images right{of}"


def _cell(found: Confusion, at: tuple[int, int], x: float, y: float, side: int, shown: int) -> list[str]:
    row, column = at
    count, images = int(found.counts[row, column]), int(found.counts[row].sum())
    share = count / images if images else 0.0
    colour = COLOURS[0] if row == column else COLOURS[5]
    told = f"{found.classes[row]} taken for {found.classes[column]}: {count} of {images}"
    cell = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{side - 1}" height="{side - 1}" fill="{colour}" '
        f'fill-opacity="{0.04 + 0.96 * share:.3f}"><title>{escape(told)}</title></rect>'
    )
    if not count or shown > _COUNTED:
        return [cell]
    ink = "#fff" if share > 0.55 else "#222"
    middle = (x + side / 2, y + side / 2 + 4)
    return [cell, text(*middle, str(count), anchor="middle", size=min(11, side // 2), fill=ink)]


def _short(name: str) -> str:
    """Return a name that fits beside its row: names of one kind often differ at their end, so the middle goes."""
    half = (_LONGEST - 1) // 2
    return name if len(name) <= _LONGEST else f"{name[:half]}…{name[-half:]}"
