"""Notes: what a person should know about an answer that is right all the same. One line each, on stderr, said once."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def print_notes(notes: Iterable[str]) -> None:
    """Print each different note once, in the order given; stdout stays what it is, for tables and JSON."""
    for note in dict.fromkeys(notes):
        print(f"dovetail: note: {note}", file=sys.stderr)
