"""What cells have in common: the demands inside the outermost fan-out, tabulated once for all that are alike there.

Most cells differ in the tiles of outer levels alone. Then machines differ in what lies outside, and of that demands
depend only on between what its prices lie: vectors that none undercuts at any of a wider range are enough for all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from dovetail.mapper.exact.demands import Boundaries, Demands, build_demands
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.lattice import Lattice
from dovetail.mapper.exact.physical import words_prices
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.vectors import Outside, all_outside


@dataclass
class Inside:
    """Demands that are known.

    Attributes:
        cheapest: the mapspace on the machine on which nothing costs more than on any cell's.
    """

    cheapest: Space
    _known: dict[tuple[bytes, ...], tuple[list[Outside], Demands]] = field(default_factory=dict)

    def demands(
        self, space: Space, tables: Tables, boundaries: Boundaries, lattice: Lattice, effort: Effort
    ) -> Demands:
        """Return a cell's demands; see `dovetail.mapper.exact.demands.build_demands`."""
        key, outside = _inside(space, tables, boundaries), boundaries.outside
        known = self._known.get(key)
        if known is None or not all(map(_within, outside, known[0])):
            further = all_outside(self.cheapest, words_prices(self.cheapest)) if known is None else known[0]
            wide = [_joined(one, other) for one, other in zip(outside, further, strict=True)]
            tabulated = build_demands(space, tables, replace(boundaries, outside=wide), lattice, effort)
            known = self._known[key] = wide, tabulated
        return known[1]


def _inside(space: Space, tables: Tables, boundaries: Boundaries) -> tuple[bytes, ...]:
    """Return what demands depend on that cells may differ in, but for `Boundaries.outside`."""
    first, machine = space.outside + 1, space.machine
    by_level = [machine.size, machine.capacity, machine.bandwidth, machine.share, boundaries.per_word]
    alike = (array[first:].tobytes() for array in (*by_level, tables.parallelism))
    return (*alike, np.float64(machine.compute_pJ).tobytes())


def _joined(one: Outside, other: Outside) -> Outside:
    return one._replace(low=np.minimum(one.low, other.low), high=np.maximum(one.high, other.high))


def _within(one: Outside, other: Outside) -> bool:
    """Return whether all that may lie outside by one may by the other."""
    return bool((one.low >= other.low).all() and (one.high <= other.high).all())
