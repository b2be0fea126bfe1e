"""The searches by name."""

from __future__ import annotations

from collections.abc import Callable

from dovetail.errors import InputError, did_you_mean
from dovetail.shrink.controls import drawn, knapsack
from dovetail.shrink.searches import Found, Task, macs_driven, netadapt, supernet, uniform

#: Not a search over widths but single weights that go: `dovetail.shrink.pruning`.
MAGNITUDE = "magnitude"

#: All searches by name.
SEARCHES: dict[str, Callable[[Task], Found]] = {
    "supernet": supernet,
    "netadapt": netadapt,
    "uniform": uniform,
    "macs": macs_driven,
    "knapsack": knapsack,
    "random": drawn,
}


def search_named(name: str) -> Callable[[Task], Found]:
    """Return a search by name; raises InputError with the nearest name when there is none."""
    if name not in SEARCHES:
        raise InputError(f"unknown method '{name}'{did_you_mean(name, [*SEARCHES, MAGNITUDE])}")
    return SEARCHES[name]
