"""A design with one of its sizes changed: a buffer's depth, a fan-out's shape, a bandwidth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.hardware.storage_attributes import SYNONYMS

_SIZES = (*SYNONYMS["depth"], "entries", "sizeKB")
_BANDWIDTHS = ("read_bandwidth", "write_bandwidth", "shared_bandwidth")


def with_capacity(architecture: Architecture, level: Storage, factor: Fraction) -> Architecture | None:
    """Return the design with a buffer so many times as large; None where that makes no whole number of lines.

    Its attributes change along, so that estimates of energy and area are those of the other buffer.
    """
    if level.depth is None:
        return None
    depth = level.depth * factor
    entries = None if level.entries is None else level.entries * factor
    if depth.denominator > 1 or depth < 1 or (entries is not None and entries.denominator > 1):
        return None
    attributes = {name: _scaled(value, factor) if name in _SIZES else value for name, value in level.attributes.items()}
    words = None if entries is None else int(entries)
    return _with(architecture, replace(level, depth=int(depth), entries=words, attributes=attributes))


def with_bandwidth(architecture: Architecture, level: Storage, factor: Fraction) -> Architecture:
    """Return the design with a storage's bandwidths so many times as large."""
    fields: dict[str, Any] = {name: _scaled(getattr(level, name), factor) for name in _BANDWIDTHS}
    known = (*_BANDWIDTHS, "bandwidth")
    attributes = {name: _scaled(value, factor) if name in known else value for name, value in level.attributes.items()}
    return _with(architecture, replace(level, **fields, attributes=attributes))


def with_fanout(architecture: Architecture, level: Spatial, fanout_x: int, fanout_y: int) -> Architecture | None:
    """Return the design with another shape of a fan-out; None where instances inside do not follow from fan-outs."""
    levels: list[Level] = []
    mesh_x = mesh_y = 1
    for each in architecture.levels:
        inside = any(other.name == level.name for other in levels)
        if (each.mesh_x, each.mesh_y) != (mesh_x, mesh_y):
            return None
        changed = each
        if inside:
            x, y = Fraction(fanout_x, level.fanout_x), Fraction(fanout_y, level.fanout_y)
            changed = replace(each, mesh_x=int(each.mesh_x * x), mesh_y=int(each.mesh_y * y))
        elif each.name == level.name:
            assert isinstance(each, Spatial)
            changed = replace(each, fanout_x=fanout_x, fanout_y=fanout_y)
        levels.append(changed)
        if isinstance(each, Spatial):
            mesh_x, mesh_y = mesh_x * each.fanout_x, mesh_y * each.fanout_y
    return replace(architecture, levels=tuple(levels))


def _with(architecture: Architecture, level: Level) -> Architecture:
    levels = tuple(level if each.name == level.name else each for each in architecture.levels)
    return replace(architecture, levels=levels)


def _scaled(value: object, factor: Fraction) -> object:
    """Return a size so many times as large, whole where it can be; what is no number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    scaled = value * factor
    return int(scaled) if scaled == int(scaled) else float(scaled)
