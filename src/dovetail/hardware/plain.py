"""Architectures as plain values, for JSON, and back."""

from __future__ import annotations

from typing import Any

from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Level, Spatial, Storage
from dovetail.hardware.vector_unit import VectorUnit
from dovetail.plain import from_plain, to_plain

#: What `level_fields` says under another name, or what follows from the rest.
_DERIVED = ("level", "kind", "class", "instances", "words")
_KINDS: dict[str, type[Level]] = {"storage": Storage, "fan-out": Spatial, "compute": Compute}


def design_fields(architecture: Architecture) -> dict[str, Any]:
    """Return an architecture: its clock and its levels, outer to inner, with sizes, attributes and constraints.

    What has its usual value (no constraint, one instance) is left out.
    """
    return {
        "design": architecture.name,
        "cycle_seconds": architecture.cycle_seconds,
        "macs_per_cycle": architecture.parallelism,
        "levels": [level_fields(level) for level in architecture.levels],
        "notes": list(architecture.notes),
        **({"vector_unit": declared} if (declared := to_plain(architecture.vector_unit)) else {}),
    }


def level_fields(level: Level) -> dict[str, Any]:
    """Return one level: its name, what it is, its component's class, and every field of `Level` and its kind."""
    kind = next(name for name, each in _KINDS.items() if type(level) is each)
    fields = to_plain(level)
    name, component = fields.pop("name"), fields.pop("component")
    words = {"words": level.words} if isinstance(level, Storage) else {}
    return {"level": name, "kind": kind, "class": component, "instances": level.instances, **words, **fields}


def architecture_of(fields: dict[str, Any], key: str) -> Architecture:
    """Return the architecture that `design_fields` was given.

    Args:
        fields: they need not be ours.
        key: where they stand, for messages.

    Raises:
        InputError: they are no architecture's.
    """
    levels = tuple(_level(level, f"{key}.levels[{place}]") for place, level in enumerate(fields["levels"]))
    unit = from_plain(VectorUnit, fields.get("vector_unit", {}), f"{key}.vector_unit")
    return Architecture(fields["design"], levels, fields["cycle_seconds"], vector_unit=unit)


def _level(fields: dict[str, Any], key: str) -> Level:
    own = {name: value for name, value in fields.items() if name not in _DERIVED}
    kind = _KINDS.get(fields["kind"])
    if kind is None:
        raise InputError(f"must be one of {', '.join(_KINDS)}, found {fields['kind']!r}", key=f"{key}.kind")
    return from_plain(kind, {"name": fields["level"], "component": fields["class"], **own}, key)
