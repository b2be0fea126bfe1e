"""Watches what a search takes: the clock, steps of work, memory; and tells how far it is."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dovetail.mapper.allowance import Limit, allowance_of
from dovetail.mapper.exact.rows import COUNTERS, STATES
from dovetail.mapper.exact.space import OutOfReach
from dovetail.model.arrays import Ints

#: What ended a search that a KeyboardInterrupt ended.
INTERRUPT = "an interrupt"
#: CPU-seconds that a search may take whatever its limit, so that there is an answer worth having.
GRACE = 0.4
#: Steps of work that stand for no limit.
ENDLESS = 1 << 62


@dataclass
class Spent:
    """Work done, and how much more there may be.

    Attributes:
        work: steps done.
        compared: ``(1,)`` vectors that bounds compared, steps as well: compiled code counts them.
        most: steps after which what is being done must end.
        seconds_left: until it must.
        over: raises `OutOfReach` that says so.
    """

    work: int = 0
    compared: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    most: int = ENDLESS
    seconds_left: Callable[[], float] = lambda: math.inf
    over: Callable[[], None] = lambda: None

    @property
    def left(self) -> int:
        """Steps that may still be done; below 0: there were more."""
        return self.most - self.work - int(self.compared[0])


@dataclass
class Tally:
    """What a search has done so far, and when to stop.

    Attributes:
        stats: counters; places as in `dovetail.mapper.exact.rows`.
        level: the level under way.
        check: called between steps; raises `OutOfReach` to stop.
        spent: work done in all.
        memory: bytes that the partial mappings of a level may take.
        most: states after which what these counters are of is given up.
    """

    stats: Ints = field(default_factory=lambda: np.zeros(COUNTERS, np.int64))
    level: int = 0
    check: Callable[[], None] = lambda: None
    spent: Spent = field(default_factory=Spent)
    memory: float = 800_000_000
    most: int = ENDLESS

    @property
    def left(self) -> int:
        """States that may still be examined; below 0: there were more."""
        return min(self.spent.left, self.most - int(self.stats[STATES]))

    def end(self, left: int) -> None:
        """Raise `OutOfReach` as the states ``left`` have been examined, and say why that is all.

        What was spent does not depend on how many more were looked at until that was noticed.
        """
        if left == max(0, self.spent.left):
            self.spent.over()
        self.spent.work += left
        raise OutOfReach(f"more than {self.most:,} partial mappings")


class Watch:
    """Watches what a search takes, and tells how far it is.

    Args:
        limit: what it may take.
        report: told about twice a second how far it is.

    Attributes:
        limit: seconds; None: no limit.
        work: steps; None: no limit.
        memory: bytes of the process; ``room``: of them, those that are the search's.
        progress: of the search.
        doing: in words.
        is_stopped: whether it was interrupted.
        has_ended: whether anything was ended by it so far.
    """

    def __init__(self, limit: Limit, report: Callable[[str], None] | None) -> None:
        allowed = allowance_of(limit)
        self._start, self._worked, self._report = time.monotonic(), time.process_time(), report
        self.limit, self.work, self.memory, self.room = allowed.seconds, allowed.work, allowed.memory, allowed.room
        self._said, self._share, self._for_rows = self._start, 1.0, self.room / 2
        self.spent = Spent(seconds_left=self._seconds_left, over=self._end_of_work)
        self.progress = self.another()
        self.doing = ""
        self.is_stopped = self.has_ended = False
        self.share = 1.0

    def another(self, most: int = ENDLESS) -> Tally:
        """Return counters of their own for something that takes of what there is, too; ``most``: see `Tally`."""
        return Tally(check=self.check, spent=self.spent, memory=self._for_rows, most=most)

    def filled(self, taken: float) -> None:
        """Say how many bytes bounds take; the rest is for the partial mappings of two levels at a time."""
        self._for_rows = self.progress.memory = max(0.0, self.room - taken) / 2

    @property
    def share(self) -> float:
        """Share of what there is, of time and work, after which what is being done must end."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        self._share = share
        self.spent.most = ENDLESS if self.work is None else int(self.work * share)

    @property
    def seconds(self) -> float:
        """Since the search began."""
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what is done meanwhile: compiling takes long but once."""
        start, worked = time.monotonic(), time.process_time()
        yield
        self._start += time.monotonic() - start
        self._worked += time.process_time() - worked

    def stop(self) -> None:
        """Let time be up."""
        self.is_stopped = True

    def is_over(self) -> bool:
        """Whether it must end: stopped, out of work, or out of time and, however busy the machine, of `GRACE`."""
        over = self.is_stopped or self._is_worked_off() or self._is_late()
        self.has_ended |= over
        return over

    def _is_late(self) -> bool:
        if self.limit is None:
            return False
        worked = time.process_time() - self._worked
        return self.seconds > self.limit * self.share and worked > GRACE * self.share

    def _is_worked_off(self) -> bool:
        """Whether work is used up. What is left is the same wherever between two steps that is noticed."""
        if self.spent.left >= 0:
            return False
        self.spent.work, self.spent.compared[0] = self.spent.most, 0
        return True

    def _seconds_left(self) -> float:
        return math.inf if self.limit is None else self.limit * self.share - self.seconds

    def _end_of_work(self) -> None:
        self.spent.work, self.spent.compared[0], self.has_ended = self.spent.most, 0, True
        raise OutOfReach(self._why())

    def check(self) -> None:
        """Report about twice a second; raise `OutOfReach` when it must end."""
        now = time.monotonic()
        if self._report is not None and now - self._said > 0.5:
            self._said = now
            states = int(self.progress.stats[STATES])
            how_far = f"{self.doing}, level {self.progress.level + 1}: {states:,} partial mappings"
            self._report(how_far if self.doing else "tabulating bounds")
        if self.is_over():
            raise OutOfReach(self._why())

    def _why(self) -> str:
        """Return what ends it, and what would let it go on."""
        if self.is_stopped:
            return INTERRUPT
        if self.work is not None and self.spent.work >= self.spent.most:
            return f"the limit of {self.work:,} steps of work; more (--work) may be enough"
        return f"the time limit of {self.limit:g} s; a longer one may be enough"
