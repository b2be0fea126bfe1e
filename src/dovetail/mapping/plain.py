"""Mappings as plain values, for JSON, and back: levels outer to inner, and so the loops of each."""

from __future__ import annotations

from typing import Any

from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem

_LOOPS = ("temporal", "spatial_x", "spatial_y")


def mapping_fields(mapping: Mapping, problem: Problem) -> list[dict[str, Any]]:
    """Return a level a storage or fan-out: the tensors it keeps, in the problem's order, and its loops above 1."""
    return [
        {
            "level": entry.level,
            "keep": [tensor.name for tensor in problem.shape.tensors if tensor.name in entry.keep],
            **{name: [_loop_fields(loop) for loop in getattr(entry, name)] for name in _LOOPS},
        }
        for entry in mapping.normalized().levels
    ]


def mapping_of(levels: list[dict[str, Any]]) -> Mapping:
    """Return the mapping that `mapping_fields` was given."""
    return Mapping(
        tuple(
            LevelMapping(
                entry["level"],
                **{name: tuple(map(_loop, entry[name])) for name in _LOOPS},
                keep=frozenset(entry["keep"]),
            )
            for entry in levels
        )
    )


def _loop_fields(loop: Loop) -> dict[str, Any]:
    """Return a loop; ``residual``, the iterations of its last pass, only where these are others than its factor."""
    residual = {} if loop.residual is None else {"residual": loop.residual}
    return {"dimension": loop.dimension, "factor": loop.factor, **residual}


def _loop(fields: dict[str, Any]) -> Loop:
    return Loop(fields["dimension"], fields["factor"], fields.get("residual"))
