"""A mapping: for every level of an architecture its loops, outer to inner, and the tensors it keeps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Loop:
    """One loop.

    Attributes:
        dimension: the dimension it runs over.
        factor: its iterations, at least 1.
        residual: iterations of the last pass, when the factors do not divide the bound (``None``: ``factor``).
    """

    dimension: str
    factor: int
    residual: int | None = None


@dataclass(frozen=True)
class LevelMapping:
    """What happens at one level.

    Attributes:
        level: the level's name.
        temporal: loops over time, outer to inner (storage levels).
        spatial_x: loops over the fan-out's X axis, outer to inner (spatial levels).
        spatial_y: loops over the fan-out's Y axis, outer to inner (spatial levels).
        keep: tensors kept here; all others pass by.
    """

    level: str
    temporal: tuple[Loop, ...] = ()
    spatial_x: tuple[Loop, ...] = ()
    spatial_y: tuple[Loop, ...] = ()
    keep: frozenset[str] = frozenset()

    @property
    def loops(self) -> tuple[Loop, ...]:
        """All loops, outer to inner; the spatial ones stand inside the temporal ones, X outside Y."""
        return self.temporal + self.spatial_x + self.spatial_y


@dataclass(frozen=True)
class Mapping:
    """One entry per storage and spatial level of the architecture, outer to inner."""

    levels: tuple[LevelMapping, ...]

    def __getitem__(self, level: str) -> LevelMapping:
        """Return what happens at the level of that name; KeyError when the mapping has no such level."""
        for entry in self.levels:
            if entry.level == level:
                return entry
        raise KeyError(level)

    def iterations(self, dimension: str) -> int:
        """Return the product of all factors of a dimension."""
        return math.prod(loop.factor for entry in self.levels for loop in entry.loops if loop.dimension == dimension)

    @property
    def parallelism(self) -> int:
        """Compute units in use: the product of all spatial factors."""
        return math.prod(loop.factor for entry in self.levels for loop in entry.spatial_x + entry.spatial_y)
