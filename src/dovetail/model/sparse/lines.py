"""Lines that compressed words take: a tile's words fill lines of their own, so its last line is rarely full.

The correction is that of the reference (``model/buffer.cpp``, ``GetMatchingVectorAccessScaling``).
"""

from __future__ import annotations

import math

import numpy as np

from dovetail.errors import InputError
from dovetail.model.sparse.occupancy import Occupancy
from dovetail.model.sparse.tiles import Tile

#: Lines of a tile from which on the correction is neglected, by words of a line and by density in tenths
#: (NVlabs/timeloop, ``include/model/buffer.hpp``, ``VectorWidthCoefficientTable``).
_NEGLIGIBLE = {
    2: (251, 125, 84, 63, 51, 42, 36, 32, 28, 1),
    4: (375, 188, 125, 94, 75, 63, 54, 47, 42, 1),
    8: (438, 219, 146, 110, 88, 73, 63, 55, 49, 1),
    16: (469, 235, 157, 118, 94, 79, 67, 59, 52, 1),
    32: (485, 243, 162, 122, 97, 81, 70, 61, 52, 1),
}


def lines_per_full_line(tile: Tile, zeros: Occupancy, block: int) -> float:
    """Return how many lines a tile's words take for each that they would fill.

    Args:
        tile: the tile.
        zeros: where its tensor's zeros are.
        block: words of a line.

    Raises:
        InputError: the tile is compressed and a line has another number of words than the reference's table knows.
    """
    if not tile.compressed or block == 1 or tile.density >= 1.0 or not tile.density:
        return 1.0
    if block not in _NEGLIGIBLE:
        known = ", ".join(map(str, _NEGLIGIBLE))
        raise InputError(f"compressed words in lines of {block} are not counted; lines of 1, {known} words are")
    tenths = math.floor(tile.density / 0.1) - 1 if tile.density >= 0.1 else 0
    if _NEGLIGIBLE[block][tenths] <= tile.words // block:
        return 1.0
    occupancies = zeros.smallest(tile.extents) + np.arange(len(zeros.chances(tile.extents)))
    taken = np.ceil(occupancies / block) * zeros.chances(tile.extents)
    return float(np.cumsum(taken)[-1]) / (tile.words * tile.density / block)
