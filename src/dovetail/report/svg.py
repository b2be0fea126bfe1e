"""Pictures for papers, drawn as SVG: accuracy against cost, stacked bars, lines. White ground, no scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

#: Okabe and Ito's colours, which the colour-blind tell apart; then two more.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#7F7F7F", "#5D3A9B", "#A6611A")
_FONT = 'font-family="Helvetica, Arial, DejaVu Sans, sans-serif"'
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Line:
    """A series of a chart.

    Attributes:
        name: for the legend.
        points: (x, y), drawn in this order.
        labels: what stands beside each point; empty: nothing.
        dots: only the points, no line between them.
    """

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()
    dots: bool = False


@dataclass(frozen=True)
class _Scale:
    """Maps values to pixels; ``logarithmic`` or not."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values to mark."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            factors = (1, 2, 5) if self.high / self.low < 200 else (1,)
            marks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
            return [mark for mark in marks if self.low <= mark <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 6)
        first_tick = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first_tick, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    *,
    logarithmic: bool = False,
    size: tuple[int, int] = (640, 420),
) -> str:
    """Return lines through points, as SVG.

    Args:
        title: above.
        x_label: with its unit.
        y_label: with its unit.
        lines: what to draw, each in its own colour and dash.
        logarithmic: both axes.
        size: width and height in pixels.
    """
    width, height = size
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x = _Scale(*_range(xs, logarithmic), 66, width - 20, logarithmic)
    y = _Scale(*_range(ys, logarithmic), height - 52, 64, logarithmic)
    parts = [*_frame(title, x_label, y_label, x, y, size), *_legend([line.name for line in lines], width)]
    for place, line in enumerate(lines):
        parts += _line(line, place, x, y)
    return picture(parts, size)


def stacked_bars(
    title: str, x_label: str, items: Sequence[str], parts_of: Mapping[str, Sequence[float]], *, width: int = 760
) -> str:
    """Return horizontal bars made of parts, as SVG.

    Args:
        title: above.
        x_label: with its unit.
        items: one bar each, top down.
        parts_of: by the part's name, one value per item.
        width: in pixels; the height follows the number of bars.
    """
    height = 120 + 18 * len(items)
    most = max((sum(values[i] for values in parts_of.values()) for i in range(len(items))), default=1.0) or 1.0
    x = _Scale(0.0, most * 1.02, 170, width - 20)
    drawn = [text(width / 2, 20, title, anchor="middle", size=15)]
    drawn += _legend(list(parts_of), width)
    for tick in x.ticks():
        drawn.append(_rule(x(tick), 64, x(tick), height - 44))
        drawn.append(text(x(tick), height - 28, _short(tick), anchor="middle"))
    for place, item in enumerate(items):
        top, left = 68 + 18 * place, x(0.0)
        drawn.append(text(164, top + 11, item if len(item) < 26 else item[:24] + "…", anchor="end"))
        for index, values in enumerate(parts_of.values()):
            right = left + x(values[place]) - x(0.0)
            colour = COLOURS[index % len(COLOURS)]
            drawn.append(f'<rect x="{left:.2f}" y="{top}" width="{right - left:.2f}" height="14" fill="{colour}"/>')
            left = right
    drawn.append(text((170 + width - 20) / 2, height - 8, x_label, anchor="middle"))
    return picture(drawn, (width, height))


def _range(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (1.0, 2.0)
    if logarithmic:
        low, high = max(low, 1e-300), max(high, 1e-300)
        return low / 1.5, high * 1.5
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin if low - margin > 0 or low < 0 else 0.0, high + margin


def _frame(title: str, x_label: str, y_label: str, x: _Scale, y: _Scale, size: tuple[int, int]) -> list[str]:
    width, height = size
    parts = [text(width / 2, 20, title, anchor="middle", size=15)]
    for tick in x.ticks():
        parts += [_rule(x(tick), y.start, x(tick), y.end), text(x(tick), y.start + 17, _short(tick), anchor="middle")]
    for tick in y.ticks():
        parts += [_rule(x.start, y(tick), x.end, y(tick)), text(x.start - 6, y(tick) + 4, _short(tick), anchor="end")]
    parts.append(text((x.start + x.end) / 2, height - 12, x_label, anchor="middle"))
    middle = (y.start + y.end) / 2
    parts.append(
        f'<text x="16" y="{middle:.2f}" font-size="12" text-anchor="middle" transform="rotate(-90 16 {middle:.2f})">'
        f"{escape(y_label)}</text>"
    )
    return parts


def _legend(names: Sequence[str], width: int) -> list[str]:
    parts, left, top = [], 66.0, 42
    for place, name in enumerate(names):
        room = 32 + 7.2 * len(name)
        if left + room > width - 10 and left > 66:
            left, top = 66.0, top + 15
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<rect x="{left:.1f}" y="{top - 9}" width="12" height="10" fill="{colour}"/>')
        parts.append(text(left + 17, top, name))
        left += room
    return parts


def _line(line: Line, place: int, x: _Scale, y: _Scale) -> list[str]:
    colour, dash = COLOURS[place % len(COLOURS)], _DASHES[place % len(_DASHES)]
    points = [(x(a), y(b)) for a, b in line.points]
    parts = []
    if not line.dots:
        path = " ".join(f"{a:.2f},{b:.2f}" for a, b in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
    if line.dots or len(points) <= 60:
        parts += [_marker(place, a, b, colour) for a, b in points]
    for (a, b), label in zip(points, line.labels, strict=False):
        fits = a + 7 + 6.6 * len(label) < x.end
        parts.append(text(a + 7 if fits else a - 7, b - 6, label, anchor="start" if fits else "end"))
    return parts


def _marker(place: int, a: float, b: float, colour: str) -> str:
    if place % 3 == 1:
        return f'<path d="M{a:.2f} {b - 5:.2f}l5 9h-10z" fill="{colour}"/>'
    if place % 3 == 2:
        return f'<rect x="{a - 4:.2f}" y="{b - 4:.2f}" width="8" height="8" fill="{colour}"/>'
    return f'<circle cx="{a:.2f}" cy="{b:.2f}" r="4" fill="{colour}"/>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="#d0d4d9"/>'


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, fill: str = "") -> str:
    """Return words at a place; ``fill`` is their colour, where it is not the picture's."""
    ink = f' fill="{fill}"' if fill else ""
    return f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" text-anchor="{anchor}"{ink}>{escape(words)}</text>'


def _short(value: float) -> str:
    size = abs(value)
    for step, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= step:
            return f"{value / step:.3g}{letter}"
    return f"{value:.3g}"


def picture(parts: Sequence[str], size: tuple[int, int]) -> str:
    """Return a whole SVG of parts, on white."""
    width, height = size
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'{_FONT} fill="#1b1f24">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>"]) + "\n"
