"""A mapping printed as the loop nest it stands for, levels outer to inner."""

from __future__ import annotations

from collections.abc import Iterator

from dovetail.hardware.architecture import Architecture
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import Problem, Tensor


def loop_nest_text(mapping: Mapping, architecture: Architecture, problem: Problem) -> str:
    """Return the loop nest as text, one level or loop a line, ending in the statement that the loops run.

    A level's line says what is kept there; loops are indented by their depth; ``last [0:3)`` after a range says how
    far the loop runs in the last pass when the factors do not divide the bound.
    """
    nest = mapping.normalized()
    width = max(len(level.name) for level in architecture.levels)
    lines: list[str] = []
    depth = 1
    for entry in nest.levels:
        lines.append(_level_line(entry, width, problem))
        for words in _loop_lines(entry):
            lines.append("  " * depth + words)
            depth += 1
    lines += [architecture.compute.name, "  " * depth + _statement(problem)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _level_line(entry: LevelMapping, width: int, problem: Problem) -> str:
    kept = [tensor.name for tensor in problem.shape.tensors if tensor.name in entry.keep]
    return f"{entry.level:{width}}  keeps {', '.join(kept)}" if kept else entry.level


def _loop_lines(entry: LevelMapping) -> Iterator[str]:
    for loop in entry.temporal:
        yield f"for {_range(loop)}"
    for axis, loops in (("X", entry.spatial_x), ("Y", entry.spatial_y)):
        for loop in loops:
            yield f"parallel for {_range(loop)} on {axis}"


def _range(loop: Loop) -> str:
    last = "" if loop.residual is None else f" last [0:{loop.residual})"
    return f"{loop.dimension} in [0:{loop.factor}){last}"


def _statement(problem: Problem) -> str:
    """Return ``Outputs[n][m][p][q] += Weights[c][m][r][s] * Inputs[n][c][p*4+r][q*4+s]``."""
    outputs = [_element(tensor, problem) for tensor in problem.shape.tensors if tensor.is_output]
    inputs = [_element(tensor, problem) for tensor in problem.shape.tensors if not tensor.is_output]
    return f"{', '.join(outputs)} += {' * '.join(inputs)}"


def _element(tensor: Tensor, problem: Problem) -> str:
    axes = []
    for axis in tensor.projection:
        terms = ((term.dimension.lower(), problem.coefficient(term)) for term in axis)
        axes.append("+".join(name if factor == 1 else f"{name}*{factor}" for name, factor in terms))
    return tensor.name + "".join(f"[{axis}]" for axis in axes)
