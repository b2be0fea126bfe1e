"""How boxes of a family are split, and how a box is grown: by what mappings met cost on the floors that come of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator

from dovetail.family.boxes import count_of
from dovetail.family.floors import Box

#: How many gap factors stand for a box of which nothing is known.
_UNKNOWN = 10.0


def cuts(box: Box) -> Iterator[tuple[Box, Box]]:
    """Yield the two parts of a box for every parameter and every place to cut it at."""
    for at, (low, high) in enumerate(box):
        for middle in range(low + 1, high):
            yield (*box[:at], (low, middle), *box[at + 1 :]), (*box[:at], (middle, high), *box[at + 1 :])


def halves(box: Box, at: int) -> tuple[Box, Box]:
    """Return the two halves of a box along a parameter."""
    low, high = box[at]
    middle = (low + high) // 2
    return (*box[:at], (low, middle), *box[at + 1 :]), (*box[:at], (middle, high), *box[at + 1 :])


def best_cut(box: Box, gap: Callable[[Box], float]) -> tuple[Box, Box]:
    """Return the two parts that are closest to being discarded.

    Args:
        box: of more than one place.
        gap: by what factor the front is likely to be above a part; 1 or less: it can be discarded; infinite: unknown.
    """

    def left(parts: tuple[Box, Box]) -> tuple[float, int]:
        gaps = [gap(part) for part in parts]
        far = sum(_UNKNOWN if math.isinf(each) else math.log(max(each, 1.0)) for each in gaps)
        return far, sum(count_of(part) for part, each in zip(parts, gaps, strict=True) if each > 1)

    return min(cuts(box), key=left)


def grown(box: Box, shape: tuple[int, ...], fixed: Collection[int], gap: Callable[[Box], float]) -> Box:
    """Return a box around another whose floor is likely to discard the inner one, too.

    What is proven on its floor holds for all around, so that the next boxes may need no search. It grows by one value
    of one parameter at a time, wherever most is left.

    Args:
        box: the inner one.
        shape: how many values each parameter has.
        fixed: parameters that stay as they are.
        gap: by what factor the front is likely to be above a floor; 1 or less: it discards the inner box.
    """
    stuck: set[tuple[int, int]] = set()
    while True:
        options: list[tuple[float, Box]] = []
        for at, side in ((at, side) for at in range(len(box)) for side in (0, 1)):
            low, high = box[at]
            ends = (low - 1, high) if side == 0 else (low, high + 1)
            if at in fixed or (at, side) in stuck or ends[0] < 0 or ends[1] > shape[at]:
                continue
            larger = (*box[:at], ends, *box[at + 1 :])
            if (least := gap(larger)) <= 1:
                options.append((least, larger))
            else:
                stuck.add((at, side))
        if not options:
            return box
        box = min(options)[1]
