"""Hypothesis strategies for widths: what values of a layer have, and what a design's storages and units know."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.workload.problem import Problem
from dovetail.workload.widths import Width

_BITS = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 16, 24])
_KNOWN = st.sampled_from([(), (), (), (4, 8), (2, 4, 8), (8,), (3, 5)])


@st.composite
def widened(draw: st.DrawFn, problem: Problem, architecture: Architecture) -> tuple[Problem, Architecture]:
    """Give some tensors widths and scales, partial sums theirs, and storages and units lists of what they know."""
    lines = [level.width // level.cluster_size for level in architecture.levels if isinstance(level, Storage)]
    fitting = _BITS.filter(lambda bits: bits <= min(lines))
    widths: list[Width | None] = []
    for _ in problem.shape.tensors:
        bits, scale = draw(fitting), draw(st.sampled_from([0, 0, 8, 5]))
        width = Width(bits, scale, draw(st.sampled_from([2, 5, 32]))) if scale else Width(bits)
        widths.append(draw(st.sampled_from([None, width, width])))
    levels: list[Level] = []
    for level in architecture.levels:
        if isinstance(level, Storage):
            known = tuple(bits for bits in draw(_KNOWN) if bits <= min(lines))
            level = replace(level, value_widths=known, any_width=not known and draw(st.booleans()))
        levels.append(level)
    sums = draw(st.one_of(st.none(), fitting))
    return replace(problem, widths=tuple(widths), sum_bits=sums), replace(architecture, levels=tuple(levels))
