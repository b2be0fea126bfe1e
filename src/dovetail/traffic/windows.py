"""An axis on which dimensions add up, as rows and kernel rows do: places that a tile touches, and what a slide brings.

What is counted is what `dovetail.model.kernel` counts for the best nest around a tile, less the holes in its tiles.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dovetail.errors import InputError
from dovetail.mapper.divisors import divisors_of


@dataclass(frozen=True)
class Patience:
    """Until when an answer is waited for. What is found does not depend on it: all are equal, also to a cache.

    Attributes:
        until: of the clock (`time.monotonic`); None: as long as it takes.
        layer: whose answer it is.
    """

    until: float | None = field(default=None, compare=False)
    layer: str = field(default="", compare=False)

    def check(self) -> None:
        """Raise InputError when time is up."""
        if self.until is not None and time.monotonic() > self.until:
            raise InputError(
                f"{self.layer}: time is up before its bound is known, its sizes have too many divisors for that; give "
                "a longer time limit, or none"
            )


PATIENT = Patience()


class Window(NamedTuple):
    """Dimensions that add up on one axis.

    Attributes:
        steps: along the axis, per dimension.
        bounds: iterations per dimension.
    """

    steps: tuple[int, ...]
    bounds: tuple[int, ...]


@functools.lru_cache(maxsize=1 << 16)
def places(window: Window, sizes: tuple[int, ...]) -> int:
    """Return the fewest places on the axis that so many iterations of each dimension touch.

    They need not be neighbours: a fan-out outside of a loop over time leaves gaps between its children's iterations,
    and with strides or dilations a choice with gaps can touch less than a block does. Where a block is the best, or the
    only choice, the number is exact; else it is a bound from below (each class of places modulo a step apart, and of
    each |A + B| >= |A| + |B| - 1).
    """
    divisor = math.gcd(*window.steps)
    steps = [step // divisor for step in window.steps]
    loops = [(step, size, 1 < size < bound) for step, size, bound in zip(steps, sizes, window.bounds, strict=True)]
    loops = [loop for loop in loops if loop[1] > 1]
    if len(loops) < 2:
        return math.prod(size for _, size, _ in loops)
    least = sum(size - 1 for _, size, _ in loops) + 1
    if not any(cut for *_, cut in loops):
        return max(least, _touched([(step, size) for step, size, _ in loops]))
    if len(loops) > 2 or all(cut for *_, cut in loops):
        return least
    whole, part = sorted(loops, key=lambda loop: loop[2])
    common = math.gcd(whole[0], part[0])
    classes = min(whole[1], part[0] // common)
    return classes * (part[1] - 1) + whole[1]


def _touched(loops: list[tuple[int, int]]) -> int:
    """Return how many places sums of ``step * i``, ``i`` below a size, touch."""
    if len(loops) == 2:
        (a, first), (b, second) = loops
        common = math.gcd(a, b)
        return first * second - max(0, first - b // common) * max(0, second - a // common)
    bits = 1
    for step, size in loops:
        found, have = bits, 1
        while have < size:
            more = min(have, size - have)
            found |= found << step * more
            have += more
        bits = found
    return bits.bit_count()


@functools.lru_cache(maxsize=1 << 16)
def least_pass(
    window: Window, sizes: tuple[int, ...], stages: tuple[tuple[int, ...], ...], patience: Patience = PATIENT
) -> int:
    """Return the fewest places sent where loops over two dimensions follow right on a tile.

    The reference takes a loop that advances while those inside go back by one step each for a tile that moved by the
    difference. If that is nothing, or what the innermost loop moves by, only as much is sent (`docs/model.md`, "What is
    sent again"). Of nests of any number of loops of both dimensions this is the least.

    Args:
        window: the axis.
        sizes: iterations inside the tile, per dimension.
        stages: iterations inside each place further out; loops of one stage are inside those of the next.
        patience: until when it is waited for.
    """
    ends = zip((sizes, *stages), stages, strict=False)
    left = tuple(tuple(end // start for start, end in zip(before, after, strict=True)) for before, after in ends)
    tile = places(window, sizes)
    least = tile * _product(left)
    for first in range(len(sizes)):
        doubled = tuple(size * (2 if place == first else 1) for place, size in enumerate(sizes))
        fresh = min(tile, _block(window, doubled) - _block(window, sizes))
        tried = _Pass(window.steps, window.steps[first] * sizes[first], fresh, tile, patience)
        for factor, inside, rest in _loops(sizes, left, first):
            least = min(least, _outside(tried, inside, rest, tried.first, tile + (factor - 1) * fresh))
    return least


#: Factors of the loops that are still to come: by place in the nest and dimension.
_Left = tuple[tuple[int, ...], ...]


class _Pass(NamedTuple):
    """What is the same of all loops around a tile.

    Attributes:
        steps: along the axis, per dimension.
        first: how far the innermost loop moves the tile.
        fresh: places that the innermost loop's moves bring.
        tile: places of the tile.
        patience: until when it is waited for.
    """

    steps: tuple[int, ...]
    first: int
    fresh: int
    tile: int
    patience: Patience


def _product(left: _Left) -> int:
    return math.prod(factor for stage in left for factor in stage)


def _loops(inside: tuple[int, ...], left: _Left, dimension: int) -> Iterator[tuple[int, tuple[int, ...], _Left]]:
    """Yield (factor, iterations inside, what is left) for every loop over a dimension that may come next."""
    at = next((at for at, stage in enumerate(left) if any(factor > 1 for factor in stage)), None)
    if at is None:
        return
    for factor in divisors_of(left[at][dimension])[1:]:
        more = tuple(each * (factor if place == dimension else 1) for place, each in enumerate(inside))
        rest = tuple(each // (factor if place == dimension else 1) for place, each in enumerate(left[at]))
        yield factor, more, (*left[:at], rest, *left[at + 1 :])


def _outside(tried: _Pass, inside: tuple[int, ...], left: _Left, back: int, sent: int) -> int:
    """Return the fewest places sent by loops outside of those that send ``sent`` and go ``back`` when one advances."""
    tried.patience.check()
    least = sent * _product(left)
    for dimension, step in enumerate(tried.steps):
        moved = step * inside[dimension]
        brings = {0: 0, tried.first: tried.fresh}.get(moved - back, tried.tile)
        for factor, more, rest in _loops(inside, left, dimension):
            passes = sent + (factor - 1) * (brings + sent - tried.tile)
            least = min(least, _outside(tried, more, rest, back + moved, passes))
    return least


def _block(window: Window, sizes: tuple[int, ...]) -> int:
    """Return the places that blocks of iterations touch."""
    return _touched(list(zip(window.steps, sizes, strict=True)))
