"""What divides a number."""

from __future__ import annotations

import math


def divisors_of(number: int) -> list[int]:
    """Return all divisors, rising."""
    small = [i for i in range(1, math.isqrt(number) + 1) if number % i == 0]
    return sorted({*small, *(number // i for i in small)})
