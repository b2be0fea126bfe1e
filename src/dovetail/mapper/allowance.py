"""What a search may take: seconds, steps of work, bytes of memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Bytes that a search's process may take where nothing else is said, and the fewest that a search can begin with.
MEMORY, LEAST_MEMORY = 2_000_000_000, 600_000_000
#: Of them, those that Python, its libraries and compiled code take before any search.
OWN_MEMORY = 450_000_000


@dataclass(frozen=True)
class Allowance:
    """What one search may take.

    Attributes:
        seconds: on the clock, compiling and loading code aside; None: no limit.
        work: steps, which are the same on every machine however busy: partial mappings examined, and vectors compared
            for the bounds; None: no limit.
        memory: bytes of the whole process.
    """

    seconds: float | None = None
    work: int | None = None
    memory: float = MEMORY

    @property
    def room(self) -> float:
        """Bytes that a search may fill."""
        return max(self.memory, LEAST_MEMORY) - OWN_MEMORY


#: Where a limit is asked for: seconds alone, all that an allowance has, or none.
Limit = float | Allowance | None


def allowance_of(limit: Limit) -> Allowance:
    """Return what a limit allows."""
    return limit if isinstance(limit, Allowance) else Allowance(limit)


def within(limit: Limit, seconds: float) -> Limit:
    """Return a limit with so many seconds instead of its own."""
    return replace(limit, seconds=seconds) if isinstance(limit, Allowance) else seconds


def divided(limit: Limit, ways: int) -> Limit:
    """Return what each of so many searches, one after the other, may take of what all may take together."""
    if isinstance(limit, Allowance):
        seconds = None if limit.seconds is None else limit.seconds / ways
        return replace(limit, seconds=seconds, work=None if limit.work is None else max(1, limit.work // ways))
    return None if limit is None else limit / ways
