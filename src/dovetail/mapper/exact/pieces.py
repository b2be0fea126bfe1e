"""Long work on many items, some at a time, so that the clock is looked at in between."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds between two looks at the clock, about.
QUICK = 0.05
#: How much larger the next piece may be, at most: every piece is a call into compiled code, which is not free.
GROWTH = 16


def in_pieces(count: int, work: Callable[[int, int], object], look: Callable[[], None]) -> None:
    """Call ``work(first, last)`` for so many items in turn, piece after piece, and look at the clock before each.

    What comes of it must not depend on the pieces.
    """
    first, size = 0, 64
    while first < count:
        look()
        began = time.monotonic()
        work(first, min(first + size, count))
        first += size
        took = time.monotonic() - began
        if took < QUICK:
            size *= GROWTH if took * GROWTH < QUICK else 2
        elif size > 1:
            size //= 2
