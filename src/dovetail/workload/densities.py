"""Where a tensor's zeros are: the distributions that the reference knows, and a pattern measured from a tensor.

A density is a property of a layer, like its sizes; what it means for a tile is `dovetail.model.sparse.occupancy`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError

#: Non-zero patterns larger than that are not kept beside a problem.
MOST_MEASURED = 2**28


def _check_share(density: float) -> None:
    if not 0 <= density <= 1:
        raise InputError(f"a density must be at least 0 and at most 1, found {density:g}")


@dataclass(frozen=True)
class FixedStructured:
    """Every tile has its share of non-zero words, to the nearest whole number: structured sparsity such as 2:4.

    Attributes:
        density: share of words that are not zero, 0 to 1.
    """

    kind: ClassVar[str] = "fixed_structured"
    density: float = 1.0

    def __post_init__(self) -> None:
        _check_share(self.density)

    @property
    def share(self) -> float:
        """Share of words that are not zero."""
        return self.density


@dataclass(frozen=True)
class Hypergeometric:
    """The non-zero words are drawn at random from the whole tensor.

    Attributes:
        density: share of words that are not zero, 0 to 1.
    """

    kind: ClassVar[str] = "hypergeometric"
    density: float

    def __post_init__(self) -> None:
        _check_share(self.density)

    @property
    def share(self) -> float:
        """Share of words that are not zero."""
        return self.density


@dataclass(frozen=True)
class Banded:
    """A square matrix whose words are zero but on the diagonal and ``band_width`` places to either side.

    Attributes:
        band_width: places beside the diagonal.
    """

    kind: ClassVar[str] = "banded"
    band_width: int

    def __post_init__(self) -> None:
        if self.band_width < 0:
            raise InputError(f"a band width must be at least 0, found {self.band_width}")


@dataclass(frozen=True)
class Measured:
    """Which words of one tensor are not zero (an extension: the reference knows no such thing any more).

    Attributes:
        shape: extents of the tensor, in the order of its axes.
        bits: a bit per word, row by row, 1 where it is not zero, as ``numpy.packbits`` makes them.
        name: the file that it was read from.
    """

    kind: ClassVar[str] = "actual_data"
    shape: tuple[int, ...]
    bits: bytes
    name: str = ""

    @classmethod
    def of(cls, tensor: NDArray[np.generic], name: str = "") -> Measured:
        """Return the pattern of a tensor's values."""
        if tensor.size > MOST_MEASURED:
            raise InputError(f"{name or 'the tensor'} has {tensor.size:.3g} values; at most {MOST_MEASURED} are kept")
        return cls(tuple(map(int, tensor.shape)), np.packbits(np.asarray(tensor) != 0).tobytes(), name)

    @property
    def nonzero(self) -> NDArray[np.bool_]:
        """The pattern, of `shape`."""
        size = math.prod(self.shape)
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=size).astype(np.bool_).reshape(self.shape)

    @property
    def share(self) -> float:
        """Share of words that are not zero."""
        return float(np.mean(self.nonzero)) if math.prod(self.shape) else 0.0


Density = FixedStructured | Hypergeometric | Banded | Measured
DENSE = FixedStructured(1.0)


def check_pattern(density: Density, extents: tuple[int, ...], tensor: str) -> None:
    """Check that a density goes with a tensor of these extents.

    Raises:
        InputError: a band in what is no square matrix, or a measured pattern of another shape.
    """
    if isinstance(density, Banded):
        sides = [extent for extent in extents if extent > 1]
        if len(extents) != 2 or len(set(extents)) > 1:
            shape = " x ".join(map(str, sides)) or "1"
            raise InputError(f"a band is counted in square matrices only; {tensor} is {shape}")
        if density.band_width >= extents[0]:
            raise InputError(f"the band width {density.band_width} is not below the {extents[0]} rows of {tensor}")
    if isinstance(density, Measured) and density.shape != extents:
        found, wanted = (" x ".join(map(str, shape)) for shape in (density.shape, extents))
        raise InputError(f"{density.name or 'the pattern'} is {found}, but {tensor} is {wanted}")
