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

    def __str__(self) -> str:
        """Return dimension and factor, and the last pass' iterations where they are others: ``P14`` or ``P5/2``."""
        return f"{self.dimension}{self.factor}" + ("" if self.last == self.factor else f"/{self.last}")

    @property
    def last(self) -> int:
        """Iterations of the last pass."""
        return self.factor if self.residual is None else self.residual


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


@dataclass(frozen=True, repr=False)
class Mapping:
    """One entry per storage and spatial level of the architecture, outer to inner."""

    levels: tuple[LevelMapping, ...]

    def __getitem__(self, level: str) -> LevelMapping:
        """Return what happens at the level of that name; KeyError when the mapping has no such level."""
        for entry in self.levels:
            if entry.level == level:
                return entry
        raise KeyError(level)

    def __repr__(self) -> str:
        return f"<Mapping {'; '.join(filter(None, map(_short, self.levels)))}>"

    def iterations(self, dimension: str) -> int:
        """Return the product of all factors of a dimension."""
        return math.prod(loop.factor for entry in self.levels for loop in entry.loops if loop.dimension == dimension)

    def covered(self, dimension: str) -> int:
        """Return how many indices of a dimension the loops run over, incomplete last passes included.

        Outer to inner ``n = n * factor + residual - 1``, starting at 0, and one more at the end; the product of the
        factors when there is no residual (Timeloop, ``mapping/parser.cpp``).
        """
        last_index = 0
        for entry in self.levels:
            for loop in entry.loops:
                if loop.dimension == dimension:
                    last_index = last_index * loop.factor + loop.last - 1
        return last_index + 1

    def normalized(self) -> Mapping:
        """Return the same mapping without loops of one iteration and without residuals that equal their factor."""
        return Mapping(
            tuple(
                LevelMapping(
                    entry.level,
                    temporal=_normalized(entry.temporal),
                    spatial_x=_normalized(entry.spatial_x),
                    spatial_y=_normalized(entry.spatial_y),
                    keep=entry.keep,
                )
                for entry in self.levels
            )
        )

    @property
    def parallelism(self) -> int:
        """Compute units in use: the product of all spatial factors."""
        return math.prod(loop.factor for entry in self.levels for loop in entry.spatial_x + entry.spatial_y)


def _short(entry: LevelMapping) -> str:
    """Return a level's loops of more than one turn in a few words; empty where it has none."""
    axes = (("", entry.temporal), (" on X", entry.spatial_x), (" on Y", entry.spatial_y))
    parts = [" ".join(map(str, loops)) + axis for axis, every in axes if (loops := _normalized(every))]
    return f"{entry.level}: {', '.join(parts)}" if parts else ""


def _normalized(loops: tuple[Loop, ...]) -> tuple[Loop, ...]:
    return tuple(
        Loop(loop.dimension, loop.factor, None if loop.residual == loop.factor else loop.residual)
        for loop in loops
        if loop.factor > 1
    )
