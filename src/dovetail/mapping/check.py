"""Whether a mapping fits its problem and its architecture, with the reason when it does not.

Whether the tiles fit the storages is for the model to say, which knows their sizes; which of the architecture's
constraints a mapping breaks is said by ``dovetail.mapping.constraints``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from dovetail.errors import MappingError, did_you_mean
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.mapping.constraints import violations
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.packing import packed
from dovetail.workload.problem import Problem

__all__ = ["check_mapping", "violations"]


def check_mapping(mapping: Mapping, problem: Problem, architecture: Architecture) -> None:
    """Check a mapping against its problem and architecture.

    Raises:
        MappingError: a level is missing, unknown, doubled or out of order; a loop stands where it cannot, runs over
            an unknown dimension or has no iterations; a fan-out is exceeded or keeps something; a tensor is kept
            nowhere; the factors of a dimension do not make up its bound.
    """
    levels = [level for level in packed(architecture, problem).levels if isinstance(level, Storage | Spatial)]
    _check_names([entry.level for entry in mapping.levels], levels, architecture)
    for entry, level in zip(mapping.levels, levels, strict=True):
        if isinstance(level, Spatial):
            _check_fanout(entry, level)
        elif entry.spatial_x or entry.spatial_y:
            raise MappingError(f"{entry.level} is a storage, so it has no spatial loops; give them to a fan-out")
        _check_loops(entry, problem)
        _check_tensors(entry, problem)
    for tensor in problem.shape.tensors:
        if not any(tensor.name in entry.keep for entry in mapping.levels):
            raise MappingError(
                f"{tensor.name} passes all levels by; one must keep it, {mapping.levels[0].level} usually"
            )
    for dimension in problem.shape.dimensions:
        _check_bound(mapping, dimension, problem.bound(dimension))


def _check_names(names: list[str], levels: Sequence[Level], architecture: Architecture) -> None:
    known = [level.name for level in levels]
    for name in names:
        if name == architecture.compute.name:
            raise MappingError(f"{name} is the compute level, which has no loops and keeps nothing")
        if name not in known:
            raise MappingError(f"{architecture.name} has no level '{name}'{did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise MappingError(f"level {name} stands in the mapping twice")
    missing = [name for name in known if name not in names]
    if missing:
        raise MappingError(f"the mapping says nothing about level {missing[0]} of {architecture.name}")
    if names != known:
        raise MappingError(f"levels must go from outer to inner: {', '.join(known)}; found {', '.join(names)}")


def _check_fanout(entry: LevelMapping, level: Spatial) -> None:
    if entry.temporal:
        raise MappingError(f"{level.name} is a fan-out, so it has no loops over time; give them to a storage")
    if entry.keep:
        raise MappingError(f"{level.name} is a fan-out, so it cannot keep {min(entry.keep)}")
    for axis, loops, fanout in (("X", entry.spatial_x, level.fanout_x), ("Y", entry.spatial_y, level.fanout_y)):
        wanted = math.prod(loop.factor for loop in loops)
        if wanted > fanout:
            product = " x ".join(f"{loop.dimension} {loop.factor}" for loop in loops)
            what = (
                f"products at once, and at these widths a unit does {fanout}"
                if level.packs
                else (f"instances on {axis} but there are {fanout}")
            )
            raise MappingError(f"{level.name}: {product} needs {wanted} {what}")


def _check_loops(entry: LevelMapping, problem: Problem) -> None:
    seen: set[str] = set()
    for loop in entry.loops:
        if loop.dimension not in problem.shape.dimensions:
            hint = did_you_mean(loop.dimension, problem.shape.dimensions)
            raise MappingError(f"{entry.level}: {problem.name} has no dimension '{loop.dimension}'{hint}")
        if loop.dimension in seen:
            raise MappingError(f"{entry.level} has two loops over {loop.dimension}; it can have one")
        seen.add(loop.dimension)
        _check_iterations(entry.level, loop)


def _check_iterations(level: str, loop: Loop) -> None:
    if loop.factor < 1:
        raise MappingError(f"{level}: the loop over {loop.dimension} has factor {loop.factor}; it must be at least 1")
    if not 1 <= loop.last <= loop.factor:
        raise MappingError(
            f"{level}: the last pass of {loop.dimension} makes {loop.last} iterations; it must make 1 to {loop.factor}"
        )


def _check_tensors(entry: LevelMapping, problem: Problem) -> None:
    known = [tensor.name for tensor in problem.shape.tensors]
    for name in sorted(entry.keep):
        if name not in known:
            raise MappingError(f"{entry.level}: {problem.name} has no tensor '{name}'{did_you_mean(name, known)}")


def _check_bound(mapping: Mapping, dimension: str, bound: int) -> None:
    covered = mapping.covered(dimension)
    if covered == bound:
        return
    parts = [
        f"{entry.level} {loop.factor}" + ("" if loop.residual is None else f" (last {loop.residual})")
        for entry in mapping.levels
        for loop in entry.loops
        if loop.dimension == dimension and loop.factor > 1
    ]
    made = f"make {covered} ({' x '.join(parts)})" if parts else "are all 1"
    raise MappingError(f"the factors of {dimension} {made} but the problem has {dimension} = {bound}")
