"""An axis on which dimensions add up, as rows and kernel rows do: places that a tile touches, and what a slide brings.

What is counted is what `dovetail.model.kernel` counts for the best nest around a tile, less the holes in its tiles.
"""

from __future__ import annotations

import functools
import math
import time
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
#: Places on an axis that are marked one by one, where no formula counts them.
MOST_MARKED = 10_000_000


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
    return _touched_by_many(sorted(loops))


def _touched_by_many(loops: list[tuple[int, int]]) -> int:
    """Return how many places sums of more than two loops touch, by rising steps.

    Where loops are together an unbroken stretch, the next one prolongs it, or repeats it with gaps, and so further out
    where stretches stay apart. Else places are marked one by one.
    """
    common = math.gcd(*(step for step, _ in loops))
    count = reach = 1  # places touched, and those from the first to the last
    for step, size in loops:
        pace = step // common
        if pace >= reach:
            count *= size
        elif count == reach:
            count += pace * (size - 1)
        else:
            return _marked([(step // common, size) for step, size in loops])
        reach += pace * (size - 1)
    return count


def _marked(loops: list[tuple[int, int]]) -> int:
    """Return how many places loops touch, each marked by a bit; raises InputError where they reach too far for that."""
    reach = 1 + sum(step * (size - 1) for step, size in loops)
    if reach > MOST_MARKED:
        steps = ", ".join(str(step) for step, _ in loops)
        raise InputError(
            f"no bound is known where dimensions with steps {steps} add up on an axis of {reach:,} places and overlap "
            f"in part: at most {MOST_MARKED:,} places are looked at one by one"
        )
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
    tile, whole = places(window, sizes), stages[-1] if stages else sizes
    runs = math.prod(end // size for end, size in zip(whole, sizes, strict=True))
    saved = 0
    for first in range(len(sizes)):
        doubled = tuple(size * (2 if place == first else 1) for place, size in enumerate(sizes))
        fresh = min(tile, _block(window, doubled) - _block(window, sizes))
        nest = _Nest(window.steps, stages, window.steps[first] * sizes[first], fresh, tile, patience)
        for factor, inside in nest.loops(sizes, first):
            after = nest.most_saved(inside, nest.first)
            saved = max(saved, (factor - 1) * (tile - fresh) * nest.runs(inside) + after)
    return tile * runs - saved


class _Nest:
    """Loops around a tile, and what they save where an advance sends less than the whole tile.

    A loop of ``f`` iterations around what sends ``w`` words sends ``f w`` less ``f - 1`` times what an advance saves;
    that is repeated by all loops outside of it. So what is saved adds up over the loops, each by itself.

    Args:
        steps: along the axis, per dimension.
        stages: iterations inside each place further out; loops of one stage are inside those of the next.
        first: how far the innermost loop moves the tile.
        fresh: places that the innermost loop's moves bring.
        tile: places of the tile.
        patience: until when it is waited for.
    """

    def __init__(
        self,
        steps: tuple[int, ...],
        stages: tuple[tuple[int, ...], ...],
        first: int,
        fresh: int,
        tile: int,
        patience: Patience,
    ) -> None:
        self.steps, self.stages, self.first = steps, stages, first
        self._saves = {0: tile, first: tile - fresh}
        self._patience = patience
        self._known: dict[tuple[tuple[int, ...], int], int] = {}

    def runs(self, inside: tuple[int, ...]) -> int:
        """Return how often all loops outside of so many iterations run what is inside."""
        return math.prod([end // size for end, size in zip(self.stages[-1], inside, strict=True)])

    def loops(self, inside: tuple[int, ...], dimension: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return (factor, iterations inside) of every loop over a dimension that may come next."""
        stage = next((stage for stage in self.stages if stage > inside), inside)  # those that are over are no larger
        left = stage[dimension] // inside[dimension]
        before, size, behind = inside[:dimension], inside[dimension], inside[dimension + 1 :]
        return [(factor, (*before, size * factor, *behind)) for factor in _divisors(left)[1:]]

    def most_saved(self, inside: tuple[int, ...], back: int) -> int:
        """Return the most that loops outside of so many iterations save, which go ``back`` when one advances."""
        key = inside, back
        if key not in self._known:
            self._patience.check()
            self._known[key] = max([0, *(self._saved(inside, back, dimension) for dimension in range(len(self.steps)))])
        return self._known[key]

    def _saved(self, inside: tuple[int, ...], back: int, dimension: int) -> int:
        """Return the most that is saved where the next loop is over a dimension."""
        moved = self.steps[dimension] * inside[dimension]
        here, further = self._saves.get(moved - back, 0), back + moved
        most = 0
        for factor, more in self.loops(inside, dimension):
            after = self.most_saved(more, further)
            most = max(most, ((factor - 1) * here * self.runs(more) if here else 0) + after)
        return most


_divisors = functools.cache(divisors_of)


def _block(window: Window, sizes: tuple[int, ...]) -> int:
    """Return the places that blocks of iterations touch."""
    return _touched(list(zip(window.steps, sizes, strict=True)))
