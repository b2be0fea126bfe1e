"""The searches by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from dovetail.errors import InputError, did_you_mean
from dovetail.shrink.controls import drawn, knapsack
from dovetail.shrink.searches import Found, Task, macs_driven, netadapt, supernet, uniform

#: Not a search over widths but single weights that go: `dovetail.shrink.pruning`.
MAGNITUDE = "magnitude"
#: Sizes of the groups of input channels in which so many weights may stay: those that are found in measured weights.
GROUPS = (4, 8)

#: All searches by name.
SEARCHES: dict[str, Callable[[Task], Found]] = {
    "supernet": supernet,
    "netadapt": netadapt,
    "uniform": uniform,
    "macs": macs_driven,
    "knapsack": knapsack,
    "random": drawn,
}


def pattern_of(method: str) -> tuple[int, int] | None:
    """Return how many weights stay of how many, of a method such as 2:4; None of another one.

    Raises:
        InputError: no design counts such groups, or all of them stay, or none.
    """
    found = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", method)
    if found is None:
        return None
    kept, group = int(found[1]), int(found[2])
    if group not in GROUPS or not 0 < kept < group:
        raise InputError(f"method {method}: weights stay in groups of 4 or 8, some of each and not all, as 2:4 has it")
    return kept, group


def is_pruning(method: str) -> bool:
    """Return whether a method takes single weights away; raises InputError as `pattern_of` does."""
    return method == MAGNITUDE or pattern_of(method) is not None


def search_named(name: str) -> Callable[[Task], Found]:
    """Return a search by name; raises InputError with the nearest name when there is none."""
    if name not in SEARCHES:
        raise InputError(f"unknown method '{name}'{did_you_mean(name, [*SEARCHES, MAGNITUDE])}")
    return SEARCHES[name]
