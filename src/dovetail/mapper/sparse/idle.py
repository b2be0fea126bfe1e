"""Where loops of one iteration stand: on a sparse design a mapping must say it, as their place decides on ranks."""

from __future__ import annotations

from dataclasses import replace

from dovetail.hardware.architecture import Architecture, LoopConstraints, Spatial
from dovetail.mapping.constraints import pinned_order
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem


def with_idle_loops(mapping: Mapping, architecture: Architecture, problem: Problem) -> Mapping:
    """Return a mapping with a loop over every dimension at every level.

    Those of one iteration stand where the level's permutation has them; where it leaves them free, outside of the other
    free ones, in the problem's order of dimensions.

    Args:
        mapping: its loops of more than one iteration obey the constraints.
        architecture: with constraints bound to the problem.
        problem: the problem.
    """
    levels = zip(mapping.levels, architecture.levels, strict=False)
    return Mapping(
        tuple(
            _with_idle(entry, level.constraints.spatial, problem, spatial=True)
            if isinstance(level, Spatial)
            else _with_idle(entry, level.constraints.temporal, problem, spatial=False)
            for entry, level in levels
        )
    )


def _with_idle(entry: LevelMapping, limits: LoopConstraints, problem: Problem, *, spatial: bool) -> LevelMapping:
    if not spatial:
        return replace(entry, temporal=_merged(entry.temporal, limits, problem, set()))
    on_x = {loop.dimension for loop in entry.spatial_x if loop.factor > 1}
    x = tuple(loop for loop in entry.spatial_x if loop.factor > 1)
    return replace(entry, spatial_x=x, spatial_y=_merged(entry.spatial_y, limits, problem, on_x))


def _merged(
    loops: tuple[Loop, ...], limits: LoopConstraints, problem: Problem, elsewhere: set[str]
) -> tuple[Loop, ...]:
    """Return loops, outer to inner, with idle ones over all other dimensions but those that lie elsewhere."""
    place = pinned_order(limits, problem).outer_to_inner
    busy = [loop for loop in loops if loop.factor > 1]
    named = {loop.dimension for loop in busy} | elsewhere
    # outer to inner: of one place the idle ones outside, the last dimension of the problem outermost
    idle = [Loop(name, 1) for name in reversed(problem.shape.dimensions) if name not in named]
    return tuple(sorted([*idle, *busy], key=lambda loop: place[loop.dimension]))
