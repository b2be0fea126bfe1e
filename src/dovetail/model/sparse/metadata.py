"""What a format costs: the words of metadata and payload of a tile, rank by rank.

After the reference's ``workload/format-models`` and ``loop-analysis/tiling-tile-info.cpp``. A rank's words are those of
all its fibres: ``metadata`` says which coordinates are there, ``payload`` where what belongs to them is found. The
payload of the innermost rank is the data itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.hardware.sparse import Format, TensorFormat
from dovetail.model.arrays import Floats
from dovetail.model.sparse.fibres import Fibres
from dovetail.model.sparse.nest import Operand
from dovetail.model.sparse.occupancy import Extents, Occupancy


class RankWords(NamedTuple):
    """Words of one rank, in a tile or over a run.

    Attributes:
        metadata: words of metadata.
        payload: words of payload.
    """

    metadata: float
    payload: float


class RankBits(NamedTuple):
    """Bits of a rank's words; 0 where the rank costs nothing."""

    metadata: int
    payload: int


class Written(NamedTuple):
    """A format as one level writes it.

    Attributes:
        format: the ranks.
        bits: of each rank's words, innermost first.
        fibres: the loops behind the ranks.
    """

    format: TensorFormat
    bits: tuple[RankBits, ...]
    fibres: Fibres

    @property
    def counted(self) -> tuple[bool, ...]:
        """Per rank, innermost first, whether it is written: a rank of one coordinate is not, but for the outermost.

        Where loops go to ranks from the innermost on, the reference takes the innermost rank for the outermost one.
        """
        top = 0 if self.format.inner_to_outer else len(self.bits) - 1
        return tuple(shape > 1 or rank == top for rank, shape in enumerate(self.fibres.shapes))

    @property
    def word_bits(self) -> tuple[RankBits, ...]:
        """Bits of each rank's words, innermost first; none of a rank that is not written."""
        none = RankBits(0, 0)
        return tuple(bits if counted else none for bits, counted in zip(self.bits, self.counted, strict=True))


def tile_words(written: Written, operand: Operand, zeros: Occupancy, tile: Extents, occupancies: range) -> Floats:
    """Return the words of a tile's ranks for each number of non-zero words in it.

    Args:
        written: the format.
        operand: the tensor.
        zeros: where its zeros are.
        tile: the tile's extents.
        occupancies: numbers of non-zero words.

    Returns:
        ``(occupancies, ranks, 2)``, ranks innermost first: metadata and payload.
    """
    ranks = len(written.bits)
    words = np.zeros((len(occupancies), ranks, 2))
    fibres, around = 1, tile
    for rank in reversed(range(ranks)):
        element = operand.extents(written.fibres.elements[rank])
        shape = written.fibres.shapes[rank]
        if written.counted[rank]:
            live = 1 - zeros.empty_within(around, tile, occupancies)
            full = 1 - zeros.empty_within(element, tile, occupancies)
            kind = written.format.ranks[ranks - 1 - rank].format
            words[:, rank, 0], words[:, rank, 1] = _rank_words(kind, fibres, shape, live, full)
        fibres, around = fibres * shape, element
    innermost = words.any(axis=2).argmax(axis=1)  # that has any words; its payload is the data
    words[np.arange(len(words)), innermost, 1] = 0.0
    return words


def _rank_words(
    kind: Format, fibres: int, shape: int, live: Floats, full: Floats
) -> tuple[Floats | float, Floats | float]:
    """Return (metadata, payload) of a rank.

    Args:
        kind: how it is written.
        fibres: of the rank, were all there.
        shape: coordinates of a fibre.
        live: probability that a fibre is not empty, per occupancy of the tile.
        full: probability that a coordinate is not empty, likewise.
    """
    if kind is Format.UB:
        return float(fibres * shape), float(fibres * shape)
    present = fibres * live
    if kind is Format.UOP:
        return 0.0, present * (shape + 1)
    coordinates = shape * full
    if kind is Format.RLE:
        return coordinates * present, coordinates * present
    if kind is Format.CP:
        return np.ceil(coordinates) * present, np.ceil(coordinates) * present
    return present * shape, present * np.ceil(coordinates)
