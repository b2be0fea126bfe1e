"""What was worked out of some objects, kept for as long as the very same objects are asked about.

Designs and layers are frozen, but too large to compare or hash each time: their identity is enough where one call hands
them on to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """Results of one function; of the oldest ones it lets go. Threads may share it.

    Args:
        most: results that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: dict[tuple[int, ...], tuple[tuple[object, ...], _T]] = {}

    def once(self, of: tuple[object, ...], work: Callable[[], _T]) -> _T:
        """Return what ``work`` gives, or gave for these very objects; what it raises is not kept.

        Args:
            of: all that the result depends on. They are frozen, and so is the result: nobody writes into either.
            work: works it out.
        """
        key = tuple(map(id, of))
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known[1]
        result = work()
        with self._lock:
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = of, result  # the objects stay with it: no other one takes their identity
        return result

    def forget(self) -> None:
        """Let go of all."""
        with self._lock:
            self._known.clear()
