"""How often a law is tried that `make drawn` tries on designs drawn anew: there in full, in the suite half as often."""

from __future__ import annotations

import os


def draws(count: int) -> int:
    """Return how many examples to draw, of a count that `make drawn` draws in each of its rounds."""
    return count if os.environ.get("DOVETAIL_DRAWS") == "anew" else (count + 1) // 2
