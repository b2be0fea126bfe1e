"""Boxes that are not settled: which is looked at next, and which wait for searches that may take longer.

A search that takes long is ended (`SECONDS`), and its bound may not be enough. So a box has a round: where its round's
searches leave it open, it waits for the next one, in which searches may take four times as long. Nothing is spent on
long searches, then, before all boxes had short ones, and none on boxes that other points have discarded meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dovetail.family.boxes import count_of
from dovetail.family.floors import Box

#: Seconds that a search may take in the first round, and how many times as many in each further one.
SECONDS, MORE = 2.0, 4.0
#: Seconds that a search of the first few members may take: they say what costs are about.
FIRST_SECONDS = 0.5


@dataclass
class OpenBox:
    """A box that is not settled.

    Attributes:
        box: the members.
        count: how many are designs.
        corners: ``(corners, axes)``: every member's points are at or above one of them; EDP in J x cycle.
        round: how often it has waited.
        is_searched: whether all layers were searched on its own floor.
    """

    box: Box
    count: int
    corners: NDArray[np.float64]
    round: int = 0
    is_searched: bool = False

    @property
    def is_single(self) -> bool:
        """Whether it has one member."""
        return count_of(self.box) == 1

    @property
    def seconds(self) -> float:
        """What a search for its sake may take in its round."""
        return SECONDS * MORE**self.round


@dataclass
class Agenda:
    """Boxes to be looked at, the largest gap first, and those that wait.

    Attributes:
        gap: by what factor the front is above a box.
        discard: called with boxes that the front has caught up with.
        waiting: until nothing else is to be done.
    """

    gap: Callable[[OpenBox], float]
    discard: Callable[[OpenBox], None]
    waiting: list[OpenBox] = field(default_factory=list)
    _heap: list[tuple[float, int, int, OpenBox]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def __iter__(self) -> Iterator[OpenBox]:
        """Yield all boxes."""
        yield from (box for _, _, _, box in self._heap)
        yield from self.waiting

    @property
    def is_over(self) -> bool:
        """Whether all boxes wait, or there are none."""
        return not self._heap

    def add(self, box: OpenBox) -> None:
        """Take a box in, or discard it at once."""
        gap = self.gap(box)
        if gap <= 1:
            self.discard(box)
        else:
            heapq.heappush(self._heap, (-gap, box.count, next(self._order), box))

    def next(self, most: int) -> list[OpenBox]:
        """Take out the boxes of the largest gaps."""
        taken: list[OpenBox] = []
        while self._heap and len(taken) < most:
            _, _, _, box = heapq.heappop(self._heap)
            gap = self.gap(box)
            if gap <= 1:
                self.discard(box)
            elif self._heap and -gap > self._heap[0][0]:
                self.add(box)
            else:
                taken.append(box)
        return taken

    def take_up(self) -> None:
        """Let those boxes that have waited least often wait no longer: their next round begins."""
        first = min(box.round for box in self.waiting)
        boxes, self.waiting = self.waiting, [box for box in self.waiting if box.round > first]
        for box in boxes:
            if box.round == first:
                box.round += 1
                self.add(box)

    def largest_gap(self) -> float:
        """Return by what factor the front may be above a box; 1 where none is left."""
        return max((self.gap(box) for box in self), default=1.0)
