"""What options were called before: still taken, and said once."""

from __future__ import annotations

import sys
from collections.abc import Sequence

#: Per command the options that have another name now.
FORMER = {
    "train": {"--processes": "--workers"},
    "bits": {"--processes": "--workers"},
    "shrink": {"--processes": "--workers", "--budget": "--candidates"},
    "advise": {"--budget": "--total-time"},
    "explore": {"--weights": "--shares"},
}


def renamed(command: str | None, arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with today's names of its options; says on stderr what was renamed."""
    former = FORMER.get(command or "", {})
    words = []
    for word in arguments:
        name, sign, value = word.partition("=")
        if name in former:
            print(f"note: {name} is {former[name]} now", file=sys.stderr)
            name = former[name]
        words.append(f"{name}{sign}{value}")
    return words
