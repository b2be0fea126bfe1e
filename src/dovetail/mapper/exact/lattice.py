"""Tiles as vectors of divisors, and as numbers: their index in mixed radix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.mirror import mirror_of, standing_for
from dovetail.mapper.exact.space import Space
from dovetail.model.arrays import Bools, Ints
from dovetail.model.by_address import by_address


@by_address
class Lattice(NamedTuple):
    """The divisors of the active dimensions' bounds.

    Attributes:
        divisors: ``(dims, width)`` rising, then 0.
        counts: ``(dims,)`` how many of them.
        radix: ``(dims,)`` weight of a dimension in a tile's index.
        quotient: ``(dims, width, width)`` index of one divisor over another; -1 when it leaves a remainder.
        mirror: ``(dims,)`` the dimension that one changes places with in a mapping's mirror image
            (`dovetail.mapper.exact.mirror`): itself, where it stays.
        standing: ``(tiles,)`` the tile that stands for one and its mirror image.
    """

    divisors: Ints
    counts: Ints
    radix: Ints
    quotient: Ints
    mirror: Ints
    standing: Ints

    def places(self, tiles: Ints) -> Ints:
        """Return ``(tiles, dims)``: the place of each dimension's size among its divisors."""
        return np.ascontiguousarray((tiles[:, None] // self.radix) % self.counts)

    def some(self, tiles: Ints) -> Ints:
        """Return those of some tiles that stand for themselves and for their mirror images."""
        stands: Bools = self.standing[tiles] == tiles
        return tiles[stands]


def lattice_of(space: Space) -> Lattice:
    """Return the lattice of a space's tiles."""
    dims = len(space.divisors)
    width = max((len(divisors) for divisors in space.divisors), default=1)
    table, quotient = np.zeros((dims, width), np.int64), np.full((dims, width, width), -1, np.int64)
    for d, divisors in enumerate(space.divisors):
        table[d, : len(divisors)] = divisors
        place = {value: i for i, value in enumerate(divisors)}
        for i, size in enumerate(divisors):
            for j, factor in enumerate(divisors):
                if size % factor == 0:
                    quotient[d, i, j] = place[size // factor]
    count = np.array([len(divisors) for divisors in space.divisors], np.int64)
    mirror = mirror_of(space)
    standing = standing_for(space, mirror)
    return Lattice(table, count, np.array(space.radix, np.int64), quotient, np.array(mirror, np.int64), standing)
