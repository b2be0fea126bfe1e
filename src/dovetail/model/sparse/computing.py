"""What becomes of every computation: done, gated, skipped, or never asked for.

After the reference's ``sparse-analysis/compute-gs-analyzer.cpp``, which knows products of two operands. An operand is
non-zero; or zero and present, where nothing tells; or absent, where its format at the innermost level that keeps it
tells that it is zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from dovetail.hardware.sparse import Leaving
from dovetail.model.sparse.accesses import Computations, round_6


class Computed(NamedTuple):
    """Executions of the loop body, over all compute units.

    Attributes:
        wanted: in the loop nest.
        done: in full.
        gated: in their time.
        skipped: in no time.
    """

    wanted: int
    done: int
    gated: int
    skipped: int

    @property
    def timed(self) -> int:
        """Those that take a unit's time."""
        return self.done + self.gated


class _Operand(NamedTuple):
    """Probabilities of an operand."""

    nonzero: float
    zero: float
    absent: float


def computed(
    wanted: int, left: Computations, shares: dict[int, float], told: dict[int, bool], able: frozenset[Leaving]
) -> Computed:
    """Return what becomes of the executions of the loop body.

    Args:
        wanted: in the loop nest.
        left: those that operands are there for, and how likely operands are left out.
        shares: per input, the share of words that are not zero.
        told: per input, whether its innermost level has it in a format.
        able: what the compute units can do about zeros.
    """
    first, second = (
        _operand(
            shares[tensor],
            told[tensor],
            [left.chances[other] for other in shares if other != tensor and other in left.chances],
        )
        for tensor in shares
    )
    total = left.wanted
    one_zero = total * (first.nonzero * second.zero + first.zero * second.nonzero)
    one_absent = total * (first.nonzero * second.absent + first.absent * second.nonzero)
    both_zero = total * (first.zero * second.zero)
    absent_and_zero = total * (first.zero * second.absent + first.absent * second.zero)
    never = math.floor(total * (first.absent * second.absent))
    gated = one_zero + both_zero if Leaving.GATING in able else 0.0
    skipped = 0.0
    for part in (one_absent, absent_and_zero):
        if Leaving.SKIPPING in able:
            skipped += part
        elif Leaving.GATING in able:
            gated += part
    done = total - math.floor(gated) - math.floor(skipped) - never
    return Computed(wanted, done, math.floor(gated), math.floor(skipped))


def _operand(share: float, told: bool, left_out: list[float]) -> _Operand:
    """Return an operand's probabilities, given that the other one is there: its density to six digits."""
    nonzero = round_6(share)
    for chance in left_out:
        nonzero = nonzero / (1 - chance) if chance < 1 else 1.0
    zero, absent = (0.0, 1 - nonzero) if told else (1 - nonzero, 0.0)
    return _Operand(*(min(1.0, max(0.0, one)) for one in (nonzero, zero, absent)))
