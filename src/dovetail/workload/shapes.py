"""Ready shapes beyond the plain ones of `problem`: convolution in 3-D, transposed convolution; all of them by name."""

from __future__ import annotations

from dovetail.workload.problem import (
    CONVOLUTION,
    GROUPED_CONVOLUTION,
    MATRIX_PRODUCT,
    Problem,
    Shape,
    Tensor,
    Term,
)


def _axis(*terms: str) -> tuple[Term, ...]:
    return tuple(Term(*term.split("*")) for term in terms)


def _points(names: str) -> tuple[tuple[Term, ...], ...]:
    return tuple(_axis(name) for name in names)


_PLANE_COEFFICIENTS = ("Wstride", "Hstride", "Wdilation", "Hdilation")
_PLANE = (_axis("P*Wstride", "R*Wdilation"), _axis("Q*Hstride", "S*Hdilation"))
_DEPTH = _axis("D*Dstride", "T*Ddilation")

#: Convolution in 3-D, grouped or not: ``T R S`` the kernel and ``D P Q`` the output, depth before rows and columns.
CONVOLUTION_3D = Shape(
    "cnn-layer-3d",
    ("C", "M", "T", "R", "S", "N", "D", "P", "Q", "G"),
    (
        Tensor("Weights", _points("GCMTRS")),
        Tensor("Inputs", (*_points("NGC"), _DEPTH, *_PLANE)),
        Tensor("Outputs", _points("NGMDPQ"), is_output=True),
    ),
    (*_PLANE_COEFFICIENTS, "Dstride", "Ddilation"),
)

#: Transposed convolution: ``P`` x ``Q`` walks over the *input*, and each input point is scattered, weighted, over a
#: kernel-sized window of the output. No zero is multiplied, so the MACs are those that do work.
TRANSPOSED_CONVOLUTION = Shape(
    "transposed-cnn-layer",
    ("C", "M", "R", "S", "N", "P", "Q", "G"),
    (
        Tensor("Weights", _points("GCMRS")),
        Tensor("Inputs", _points("NGCPQ")),
        Tensor("Outputs", (*_points("NGM"), *_PLANE), is_output=True),
    ),
    _PLANE_COEFFICIENTS,
)

#: Transposed convolution in 3-D.
TRANSPOSED_CONVOLUTION_3D = Shape(
    "transposed-cnn-layer-3d",
    ("C", "M", "T", "R", "S", "N", "D", "P", "Q", "G"),
    (
        Tensor("Weights", _points("GCMTRS")),
        Tensor("Inputs", _points("NGCDPQ")),
        Tensor("Outputs", (*_points("NGM"), _DEPTH, *_PLANE), is_output=True),
    ),
    (*_PLANE_COEFFICIENTS, "Dstride", "Ddilation"),
)

#: Every ready shape by its name.
SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        CONVOLUTION,
        GROUPED_CONVOLUTION,
        CONVOLUTION_3D,
        TRANSPOSED_CONVOLUTION,
        TRANSPOSED_CONVOLUTION_3D,
        MATRIX_PRODUCT,
    )
}


def sized(shape: Shape, name: str, **sizes: int) -> Problem:
    """Give a shape its sizes by name, dimensions and coefficients alike; what is not given is 1."""
    return Problem(
        shape,
        tuple(sizes.get(dimension, 1) for dimension in shape.dimensions),
        tuple(sizes.get(coefficient, 1) for coefficient in shape.coefficients),
        name,
    )
