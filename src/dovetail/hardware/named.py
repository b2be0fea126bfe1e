"""Which dimensions and tensors an architecture's constraints name: the words that a design speaks."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.hardware.architecture import Architecture, Constraints, LoopConstraints


@dataclass(frozen=True)
class Named:
    """The names in a design's constraints.

    Attributes:
        dimensions: of loops.
        tensors: kept, let pass, or tied to loops.
    """

    dimensions: frozenset[str]
    tensors: frozenset[str]


def named_in(architecture: Architecture) -> Named:
    """Return every dimension and tensor that the design's constraints name (``*``, which stands for all, is none)."""
    dimensions: set[str] = set()
    tensors: set[str] = set()
    for level in architecture.levels:
        tensors |= _tensors(level.constraints)
        for loops in (level.constraints.temporal, level.constraints.spatial):
            dimensions |= {factor.dimension for factor in loops.factors} | {*loops.inner, *loops.outer}
            dimensions |= {dimension for group in loops.maximize for dimension in group}
            tensors |= _tensors_of_loops(loops)
    return Named(frozenset(dimensions), frozenset(tensors - {"*"}))


def _tensors(constraints: Constraints) -> frozenset[str]:
    spared = (constraints.bypass_all_but or frozenset()) | (constraints.keep_all_but or frozenset())
    return constraints.keep | constraints.bypass | spared


def _tensors_of_loops(loops: LoopConstraints) -> frozenset[str]:
    over = loops.no_iteration_over | (loops.iteration_over or frozenset())
    return over | loops.no_reuse | loops.no_link_transfer | loops.rmw_first_update
