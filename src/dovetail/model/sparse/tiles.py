"""The tiles of a mapping once zeros are known: how full they are expected to be, what formats cost, what they need.

After the reference's ``CalculateExpectedOccupancy`` (``loop-analysis/tiling.cpp``).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dovetail.model.arrays import Floats
from dovetail.model.sparse.metadata import RankBits, Written, tile_words
from dovetail.model.sparse.nest import Operand
from dovetail.model.sparse.occupancy import Extents, Occupancy


class Tile(NamedTuple):
    """One tensor's tile at one level.

    Attributes:
        words: if it were dense.
        extents: along the tensor's axes.
        expected: non-zero words, given that the tile is not left out.
        density: ``expected / words``.
        sent: share of the instances that are sent a tile at all: empty ones are not, where the level outside knows.
        held: words that must have room.
        written: its format; None where it has none.
        metadata: ``(ranks, 2)`` expected words of metadata and payload, ranks innermost first.
        most_metadata: the same for the fullest tile.
    """

    words: int
    extents: Extents
    expected: float
    density: float
    sent: float
    held: int
    written: Written | None
    metadata: Floats
    most_metadata: Floats

    @property
    def metadata_bits(self) -> int:
        """Bits that metadata must have room for."""
        if self.written is None:
            return 0
        return math.ceil(
            sum(_bits(words, bits) for words, bits in zip(self.most_metadata, self.written.word_bits, strict=True))
        )

    @property
    def compressed(self) -> bool:
        """Whether zeros take no room."""
        return self.written is not None and self.written.format.compresses


_NONE = np.zeros((0, 2))


def tile_of(operand: Operand, zeros: Occupancy, extents: Extents, written: Written | None, known_outside: bool) -> Tile:
    """Return a tile.

    Args:
        operand: the tensor.
        zeros: where its zeros are.
        extents: of the tile.
        written: its format at the level; None where it has none.
        known_outside: whether the next level outside that keeps the tensor has it in a format.
    """
    words = math.prod(extents)
    smallest, largest = zeros.smallest(extents), zeros.largest(extents)
    chances = zeros.chances(extents)
    sent, shares = 1.0, chances.copy()
    possible = np.flatnonzero(chances)
    if known_outside and smallest == 0:
        # the first occupancy that is possible: 0, but for tiles that cannot help having some, where it is a slip
        first = int(possible[0])
        sent = 1.0 - float(chances[first])
        shares = shares / sent if sent else np.zeros_like(shares)
        shares[first] = 0.0
    expected = _total(shares[possible] * (smallest + possible))
    metadata = most = _NONE
    if written is not None:
        taken = range(smallest, largest + 1)
        each = tile_words(written, operand, zeros, extents, taken)[possible] * shares[possible][:, None, None]
        metadata = np.array([[_total(each[:, rank, kind]) for kind in (0, 1)] for rank in range(each.shape[1])])
        most = tile_words(written, operand, zeros, extents, range(largest, largest + 1))[0]
    return Tile(
        words=words,
        extents=extents,
        expected=expected,
        density=expected / words,
        sent=sent,
        held=largest if written is not None else words,
        written=written,
        metadata=metadata,
        most_metadata=most,
    )


def _bits(words: Floats, bits: RankBits) -> float:
    return float(words[0]) * bits.metadata + float(words[1]) * bits.payload


def _total(values: Floats) -> float:
    """Return a sum taken from the first value on, as the reference takes it."""
    return float(np.cumsum(values)[-1]) if len(values) else 0.0
