"""How much may be put into bounds: what ends tabulating them, and how coarse they may become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dovetail.mapper.exact.ceiling import Known
from dovetail.model.arrays import Ints


class Crowded(Exception):  # noqa: N818 - an outcome, not a fault
    """Some tile has more vectors of demands than there is room for."""


@dataclass(frozen=True)
class Effort:
    """What may be put into tabulating bounds.

    Attributes:
        look: at the clock; called every now and then, raises `dovetail.mapper.exact.space.OutOfReach`.
        compared: ``(1,)`` where compiled code counts the vectors that it compares.
        entries: tabulated least energies, about; beyond it prices are cut down until there are fewer sources.
        bytes_at_once: that one working table of vectors may take; ``bytes_of_tables``: of what is known of tiles.
        vectors: that a tile has room for inside the outermost fan-out; ``priced``: at it.
        first: vectors that a tile has room for to begin with.
        known: bounds need to hold for mappings that cost no more than this; None: for all.
        merges: where there are more vectors some become one; else `Crowded` is raised.
    """

    look: Callable[[], None] = lambda: None
    compared: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    entries: int = 100_000_000
    bytes_at_once: float = 100_000_000
    bytes_of_tables: float = 800_000_000
    vectors: int = 48
    priced: int = 160
    first: int = 6
    known: Known | None = None
    merges: bool = True
