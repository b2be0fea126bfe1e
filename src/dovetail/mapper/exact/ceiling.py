"""What is looked for costs less than the best mapping known: how dear a part of it may be, whatever lies outside.

Bounds need not hold for mappings that cost more than one that is known. So what cannot be part of a better mapping is
not tabulated: not even the least that goes with it leaves any hope. ``docs/mapper.md`` has the argument.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.tables import Tables, tile_sizes
from dovetail.mapper.exact.ways import ways_of
from dovetail.mapper.objective import Objective
from dovetail.model.arrays import Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.charges import READ, UPDATE, WRITE
from dovetail.model.compile import part

#: Relatively, how far above the best value known mappings are looked for still: the model rounds cycles.
MARGIN = 1e-6
#: By how much more children than there are may seem to share a word where the model counts a fan-out: it rounds.
ROUNDED = 2.0
#: Children that share a word where no number is known.
ANY = 1e300


@dataclass(frozen=True)
class Known:
    """What is known before bounds are tabulated.

    Attributes:
        objective: what is minimised.
        value: of the best mapping.
        cycles: that no mapping takes fewer of.
    """

    objective: Objective
    value: float
    cycles: float


@by_address
class Ceiling(NamedTuple):
    """What is known of the levels outside a boundary, and what mappings must not cost more than.

    Attributes:
        code: of the objective; negative: nothing costs too much.
        value: at most.
        cycles: of any mapping, at least.
        leakage: pJ per cycle, at least.
        slack: pJ by which rounding in the model may undercut what is said here.
        visits: ``(tiles,)`` visits of a tile over the whole run.
        instances: ``(tiles,)`` that these may be spread over.
        copies: ``(tiles,)`` of these, those that sum up parts of the same outputs, at most.
        sharing: ``(tiles, tensors)`` children, of all fan-outs outside together, that can share a word of a tile.
        distinct: ``(tensors,)`` words that are touched.
        shared: ``(keepers, tensors)`` children that can share a word that a level outside passes on.
        price: ``(keepers, tensors)`` pJ per word that it passes on; infinity where that is never done from there.
        again: ``(keepers, tensors)`` pJ per word more, but for words that are not read the first time.
        unread: ``(keepers, tensors)`` these words, at most.
        brought: ``(keepers, tensors)`` pJ of bringing every word to the level once.
    """

    code: int
    value: float
    cycles: float
    leakage: float
    slack: float
    visits: Floats
    instances: Floats
    copies: Floats
    sharing: Floats
    distinct: Floats
    shared: Floats
    price: Floats
    again: Floats
    unread: Floats
    brought: Floats

    def of(self, tiles: Ints) -> Ceiling:
        """Return the same of these tiles only."""
        if self.code < 0:
            return self
        return self._replace(
            visits=self.visits[tiles],
            instances=self.instances[tiles],
            copies=self.copies[tiles],
            sharing=self.sharing[tiles],
        )

    @staticmethod
    def none(tensors: int) -> Ceiling:
        """Return one that nothing reaches."""
        one, table = np.ones(1), np.ones((1, tensors))
        return Ceiling(
            -1, 0.0, 0.0, 0.0, 0.0, one, one, one, table, np.ones(tensors), table, table, table, table, table
        )


@part()
def least_to_bring(ceiling: Ceiling, tile: int, tensor: int, words: float) -> float:
    """Return the least pJ, over the whole run, for which levels outside pass on so many words of a tensor."""
    best = math.inf
    for keeper in range(ceiling.price.shape[0]):
        shared = min(ceiling.shared[keeper, tensor], ceiling.sharing[tile, tensor])
        sent = max(ceiling.distinct[tensor], words / shared)
        cost = ceiling.brought[keeper, tensor] + sent * ceiling.price[keeper, tensor]
        cost += max(0.0, sent - ceiling.unread[keeper, tensor]) * ceiling.again[keeper, tensor]
        best = min(best, cost)
    return best if best < math.inf else 0.0  # there is no level outside that keeps it


def ceilings(
    space: Space, tables: Tables, per_word: Floats, distinct: Floats, known: Known | None, slack: float
) -> list[Ceiling]:
    """Return what is known at every boundary.

    Args:
        space: the mapspace.
        tables: what is known of every tile.
        per_word: ``(levels, tensors, actions)`` least pJ per word.
        distinct: ``(tensors,)`` words that are touched.
        known: what mappings must not cost more than; None: they may cost anything.
        slack: pJ by which rounding in the model may undercut bounds.
    """
    boundaries = range(len(space.levels) + 1)
    if known is None:
        return [Ceiling.none(len(distinct)) for _ in boundaries]
    most, keepers = space.most_instances, np.flatnonzero(~np.array(space.is_spatial))
    parts = space.fanouts, space.linking, space.by_model, space.divisors, space.rules
    shared, visits, together, copies = once(space, ("outside of tiles", *parts), lambda: _outside(space, tables))
    price, again, brought = _prices(space, per_word, distinct)
    must, found = space.must_keep, []
    for boundary in boundaries:
        outside = keepers[keepers < boundary]
        with np.errstate(over="ignore"):  # what is more than `ANY` is taken for it, below
            between = [shared[i:boundary].prod(axis=0) for i in outside]
        passed_by = [must[i + 1 : boundary].any(axis=0) for i in outside]  # a level further in keeps the tensor
        limit = np.where((shared[:boundary] > 1).any(axis=0), ROUNDED, 1.0)
        found.append(
            Ceiling(
                known.objective.code,
                known.value * (1 + MARGIN),
                known.cycles,
                float(space.machine.leakage.sum()),
                slack,
                visits,
                np.minimum(visits, float(most[boundary])),
                np.minimum(copies, float(most[boundary])),
                np.where((shared[:boundary] >= ANY).any(axis=0), ANY, limit * together),
                distinct,
                np.minimum(np.array(between).reshape(len(outside), len(distinct)), ANY),
                np.where(np.array(passed_by).reshape(len(outside), len(distinct)), np.inf, price[outside]),
                again[outside],
                np.outer(np.array(most)[outside], np.maximum(distinct, space.rules.touched)),
                brought[outside],
            )
        )
    return found


def _outside(space: Space, tables: Tables) -> tuple[Floats, Floats, Floats, Floats]:
    """Return what no width has to do with: `_shared`, visits ``(tiles,)``, `_outside_of_tiles` and `parts_of`."""
    visits = space.problem.macs / tables.volume.astype(np.float64)
    return _shared(space), visits, _outside_of_tiles(space), parts_of(space)


def _shared(space: Space) -> Floats:
    """Return ``(levels, tensors)``: children of a level that can share a word, at most."""
    shared = np.ones((len(space.levels), len(space.rules.is_output)))
    for level in np.flatnonzero(space.is_spatial).tolist():
        ways, _ = ways_of(space, level)
        shared[level] = ways.shared.max(axis=0, initial=1)
        shared[level, space.by_model[level].any(axis=0)] *= ROUNDED
        shared[level, ways.again.any(axis=0)] = ANY  # at how few visits a tile is asked for is not known
    return shared


def _outside_of_tiles(space: Space) -> Floats:
    """Return ``(tiles, tensors)``: how many tiles there are that may have words of a tensor in common with a tile."""
    sizes = tile_sizes(space)
    outside = sizes[:, -1:] / sizes
    found = np.ones((space.tiles, len(space.rules.is_output)))
    for t, axes in enumerate(space.rules.coefficients != 0):
        windows = [axis for axis in axes if axis.sum() > 1]
        together = ~axes.any(axis=0)
        for axis in windows:
            together |= axis
        found[:, t] = outside[together].prod(axis=0)
    return found


def parts_of(space: Space) -> Floats:
    """Return ``(tiles,)``: how many tiles there are that have parts of the same outputs, at most."""
    sizes, rules = tile_sizes(space), space.rules
    outside, parts = sizes[:, -1:] / sizes, np.ones(space.tiles)
    for axes in rules.coefficients[rules.is_output & rules.injective] != 0:
        parts = np.maximum(parts, outside[~axes.any(axis=0)].prod(axis=0))
    known = bool(rules.injective[rules.is_output].all())  # tiles that overlap have parts that add up to more
    return parts if known else np.full(space.tiles, np.inf)


def _prices(space: Space, per_word: Floats, distinct: Floats) -> tuple[Floats, Floats, Floats]:
    """Return `Ceiling.price`, `Ceiling.again` and `Ceiling.brought` of every level, ``(levels, tensors)`` each."""
    output = space.rules.is_output
    price = np.where(output, per_word[:, :, UPDATE], per_word[:, :, READ])
    again = np.where(output, per_word[:, :, READ], 0.0)
    arriving = np.where(output, 0.0, per_word[:, :, WRITE])
    arriving[0] = 0.0
    through = np.where(space.must_keep, arriving + price, 0.0)  # levels that pass on every word
    above = np.cumsum(through, axis=0) - through
    return np.where(space.may_keep, price, np.inf), again, distinct * (above + arriving)
