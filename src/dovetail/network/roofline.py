"""The roofline of every storage level: how much is computed per word moved there, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dovetail.hardware.architecture import Architecture, Storage
from dovetail.model.cost import Cost


@dataclass(frozen=True)
class Roof:
    """What one storage level allows any layer.

    Attributes:
        level: its name.
        words_per_cycle: over all instances, reads and writes; None: unbounded.
    """

    level: str
    words_per_cycle: float | None


@dataclass(frozen=True)
class RooflinePoint:
    """One layer at one level.

    Attributes:
        level: the level's name.
        intensity: computes per word moved there.
        attainable: computes per cycle that the level's bandwidth allows this mapping.
        reached: computes per cycle of the layer.
    """

    level: str
    intensity: float
    attainable: float
    reached: float


def roofs(architecture: Architecture) -> tuple[Roof, ...]:
    """Return every storage level's roof, outer to inner."""
    return tuple(Roof(level.name, _words_per_cycle(level)) for level in architecture.storages)


def roofline(cost: Cost, architecture: Architecture) -> tuple[RooflinePoint, ...]:
    """Return one layer's point at every storage level that it uses, outer to inner."""
    points = []
    for level in architecture.storages:
        there = cost[level.name]
        if there.words_moved:
            points.append(
                RooflinePoint(
                    level.name,
                    intensity=cost.computes / there.words_moved,
                    attainable=cost.computes / there.cycles,
                    reached=cost.computes / cost.cycles,
                )
            )
    return tuple(points)


def roofline_json(cost: Cost, architecture: Architecture) -> list[dict[str, Any]]:
    """Return the points as plain data."""
    return [
        {"level": p.level, "intensity": p.intensity, "attainable": p.attainable, "reached": p.reached}
        for p in roofline(cost, architecture)
    ]


def _words_per_cycle(level: Storage) -> float | None:
    """Return what a level moves per cycle at most: reads and writes together, all instances."""
    separate = [rate for rate in (level.read_bandwidth, level.write_bandwidth) if rate is not None]
    limits = [sum(separate)] if len(separate) == 2 else []
    if level.shared_bandwidth is not None:
        limits.append(level.shared_bandwidth)
    return min(limits) * level.instances if limits else None
