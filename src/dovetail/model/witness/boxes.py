"""Sets of points as boxes: what of one lies outside of another, as the reference cuts it."""

from __future__ import annotations

import math
from collections.abc import Iterator

Point = tuple[int, ...]
Box = tuple[Point, Point]  # lowest corner, and one past the highest


def size(boxes: list[Box]) -> int:
    """Return the points in a set of boxes."""
    return sum(math.prod(b - a for a, b in zip(low, high, strict=True)) for low, high in boxes)


def moved(boxes: list[Box], by: Point) -> list[Box]:
    """Return the boxes in another place."""
    return [(_add(low, by), _add(high, by)) for low, high in boxes]


def translation(one: Box, other: Box) -> Point:
    """Return how far a box's centre lies from another's, in whole points."""
    return tuple(nearest(b - a) for a, b in zip(_centre(one), _centre(other), strict=True))


def nearest(value: float) -> int:
    """Round as C does: halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _centre(box: Box) -> tuple[float, ...]:
    return tuple(low + (high - 1 - low) / 2 for low, high in zip(*box, strict=True))


def _add(point: Point, by: Point) -> Point:
    return tuple(a + b for a, b in zip(point, by, strict=True))


def without(boxes: list[Box], other: list[Box]) -> list[Box]:
    """Return what of the boxes lies outside of the others, cut axis by axis as the reference cuts it."""
    for box in other:
        boxes = [piece for each in boxes for piece in _cut(each, box)]
    return boxes


def _cut(box: Box, other: Box) -> Iterator[Box]:
    low, high = list(box[0]), list(box[1])
    if any(h <= b or t <= a for a, h, b, t in zip(*box, *other, strict=True)):
        yield box
        return
    for axis, (first, last) in enumerate(zip(*other, strict=True)):
        if low[axis] < first:
            yield tuple(low), (*high[:axis], first, *high[axis + 1 :])
            low[axis] = first
        if last < high[axis]:
            yield (*low[:axis], last, *low[axis + 1 :]), tuple(high)
            high[axis] = last
