"""What is repeated in the tensors of an ONNX graph, followed from node to node: see `repeats`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dovetail.workload.onnx_operations import Node
from dovetail.workload.repeats import Axis, broadcast, combined, plain, reshaped

#: Operations that compute every place of their output from the same place of their inputs, broadcast.
_POINTWISE = frozenset(
    {
        *("Abs", "Add", "Cast", "CastLike", "Div", "Erf", "Exp", "Identity", "Mul", "Neg", "Pow", "Reciprocal"),
        *("Sigmoid", "Sqrt", "Sub", "Tanh", "Where"),
    }
)
_RESHAPING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def followed(node: Node) -> tuple[Axis, ...] | None:
    """Return the axes of what a node puts out; None where nothing of it is known to be repeated."""
    if not node.has_shapes():
        return None
    shape, axes = node.output(), None
    if node.operation in _POINTWISE:
        taken = [broadcast(node.axes(place), shape) for place in range(node.inputs)]
        axes = tuple(combined(each) for each in zip(*taken, strict=True))
    elif node.operation == "Expand":
        axes = broadcast(node.axes(0), shape)
    elif node.operation == "Tile":
        axes = tuple(_tiled(axis, size) for axis, size in zip(node.axes(0), shape, strict=True))
    elif node.operation in _RESHAPING:
        axes = reshaped(node.axes(0), shape)
    elif node.operation == "Transpose":
        order = node.numbers("perm", range(len(shape))[::-1])
        axes = tuple(node.axes(0)[place] for place in order)
    elif node.operation == "Concat":
        axes = _joined([node.axes(place) for place in range(node.inputs)], shape, node.number("axis", 0))
    if axes is None or not any(repeated for axis in axes for _, repeated in axis):
        return None
    return axes


def _tiled(axis: Axis, size: int) -> Axis:
    times = size // math.prod(factor for factor, _ in axis)
    return axis if times == 1 else ((times, True), *axis)


def _joined(each: Sequence[Sequence[Axis]], shape: Sequence[int], along: int) -> tuple[Axis, ...]:
    joined = along % len(shape)
    return tuple(
        plain(shape[place : place + 1])[0] if place == joined else combined([axes[place] for axes in each])
        for place in range(len(shape))
    )
