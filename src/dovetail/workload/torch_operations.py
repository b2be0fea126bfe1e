"""What torch's compute operations are as problems: convolution, matrix product, and those without a mapping form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.workload.problem import Problem, convolution, matrix_product
from dovetail.workload.shapes import CONVOLUTION_3D, TRANSPOSED_CONVOLUTION, TRANSPOSED_CONVOLUTION_3D, sized


@dataclass(frozen=True)
class Form:
    """A compute operation as a problem.

    Attributes:
        problem: its loop nest, unnamed.
        kind: as in `dovetail.workload.network.Layer`.
        batch_dimension: the dimension that grows with the batch, None when none does.
        weight: position among the operation's operands of what plays the weights' part, None for two activations.
    """

    problem: Problem
    kind: str
    batch_dimension: str | None
    weight: int | None


def convolution_form(
    inputs: Sequence[int],
    weights: Sequence[int],
    outputs: Sequence[int],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int = 1,
    transposed: bool = False,
    varies: bool = True,
) -> Form:
    """Build the form of a convolution over 1 to 3 spatial axes, each given outermost (depth, rows) first.

    Args:
        inputs: shape ``(N, channels, *spatial)``.
        weights: shape ``(M * groups, C, *kernel)``; transposed: ``(C * groups, M, *kernel)``.
        outputs: shape ``(N, channels, *spatial)``.
        stride: per spatial axis.
        dilation: per spatial axis.
        groups: groups of channels.
        transposed: whether it scatters rather than gathers.
        varies: whether the input depends on the network's; a constant's batch doesn't grow.
    """
    axes = len(weights) - 2
    C, M = (weights[0] // groups, weights[1]) if transposed else (weights[1], weights[0] // groups)
    D, P, Q = _three(inputs[2:] if transposed else outputs[2:])
    T, R, S = _three(weights[2:])
    strides, dilations = _three(_spread(stride, axes)), _three(_spread(dilation, axes))
    if axes < 3 and not transposed:
        problem = convolution(
            C=C, M=M, P=P, Q=Q, R=R, S=S, N=inputs[0], G=groups, stride=strides[1:], dilation=dilations[1:]
        )
    else:
        shape = TRANSPOSED_CONVOLUTION if axes < 3 else TRANSPOSED_CONVOLUTION_3D if transposed else CONVOLUTION_3D
        sizes = dict(zip("CMTRSNDPQG", (C, M, T, R, S, inputs[0], D, P, Q, groups), strict=True))
        sizes |= dict(zip(("Dstride", "Wstride", "Hstride"), strides, strict=True))
        sizes |= dict(zip(("Ddilation", "Wdilation", "Hdilation"), dilations, strict=True))
        problem = sized(shape, "convolution", **sizes)
    kind = "convolution" if groups == 1 else "depthwise convolution" if C == 1 else "grouped convolution"
    return Form(problem, "transposed convolution" if transposed else kind, "N" if varies else None, 1)


def _three(values: Sequence[int]) -> tuple[int, int, int]:
    """Fill up in front, so that rows and columns stay the last two."""
    depth, rows, columns = (*(1,) * (3 - len(values)), *values)
    return depth, rows, columns


def _spread(values: Sequence[int], axes: int) -> tuple[int, ...]:
    return tuple(values) * axes if len(values) == 1 else tuple(values)


def product_form(
    left: Sequence[int],
    right: Sequence[int],
    *,
    left_varies: bool,
    right_varies: bool,
    batch: int = 1,
    prefer: int = 1,
    sharing: tuple[int, int] = (1, 1),
) -> Form:
    """Build the form of ``(G, rows, C) @ (G, C, columns)``, G left out or not.

    Groups that share an operand are one: their rows (or columns) are further rows (columns) of it, so that the operand
    lacks the index that tells them apart. With one operand that doesn't depend on the network's input (weights), it is
    a linear layer, grouped when there is a G: what moves are ``N`` images of ``P`` rows. Of two activations either may
    be held; see `MATRIX_PRODUCT`.

    Args:
        left: shape of the left operand.
        right: shape of the right operand.
        left_varies: whether the left operand depends on the network's input.
        right_varies: whether the right operand does.
        batch: images that the rows belong to; rows that are no multiple of it stay together.
        prefer: operand (0 left, 1 right) that is taken as weights when neither depends on the input.
        sharing: how many groups share each right operand, and how many each left one: `repeats.shared`.
    """
    G = math.prod(left[:-2]) // math.prod(sharing)
    rows, C, columns = left[-2] * sharing[0], left[-1], right[-1] * sharing[1]
    if left_varies and right_varies:
        whole = [word for word, size in (("G", G), ("P", rows), ("M", columns)) if size % batch == 0]
        return Form(matrix_product(C=C, M=columns, P=rows, G=G), "matrix product", (*whole, "G")[0], None)
    weight = 1 if left_varies else 0 if right_varies else prefer
    moving, M = (rows, columns) if weight else (columns, rows)
    varies, divides = left_varies or right_varies, moving % batch == 0
    N = batch if varies and divides else 1
    grows = None if not varies else "N" if divides else "P"
    problem = convolution(C=C, M=M, P=moving // N, Q=1, N=N, G=G)
    return Form(problem, "linear" if G == 1 else "grouped linear", grows, weight)


#: Operation (aten name without overload) -> positions of its (input, weight) or (left, right) operands.
OPERANDS: dict[str, tuple[int, int]] = {
    "convolution": (0, 1),
    "_convolution": (0, 1),
    "convolution_overrideable": (0, 1),
    "mm": (0, 1),
    "_int_mm": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "_addmm_activation": (1, 2),
    "baddbmm": (1, 2),
    "mv": (0, 1),
    "addmv": (1, 2),
    "dot": (0, 1),
    "vdot": (0, 1),
}


def form_of(
    name: str,
    args: Sequence[Any],
    output: Any,
    *,
    varies: Sequence[bool],
    batch: int = 1,
    prefer: int = 1,
    sharing: tuple[int, int] = (1, 1),
) -> Form | None:
    """Return the form of one operation that was run, or None when it is none of `OPERANDS` or its work is empty.

    Args:
        name: aten name without overload, a key of `OPERANDS`.
        args: its positional arguments.
        output: what it returned.
        varies: for both operands, whether they depend on the network's input.
        batch: images that run together.
        prefer: see `product_form`.
        sharing: see `product_form`.
    """
    if name not in OPERANDS:
        return None
    first, second = (tuple(args[position].shape) for position in OPERANDS[name])
    if 0 in (*first, *second, *output.shape):
        return None
    if "convolution" in name:
        stride, _, dilation, transposed, _, groups = args[3:9]
        return convolution_form(
            first,
            second,
            tuple(output.shape),
            stride=stride,
            dilation=dilation,
            groups=groups,
            transposed=transposed,
            varies=any(varies),
        )
    left = first if len(first) > 1 else (1, *first)
    right = second if len(second) > 1 else (*second, 1)
    return product_form(
        left, right, left_varies=varies[0], right_varies=varies[1], batch=batch, prefer=prefer, sharing=sharing
    )


def _attention_macs(args: Sequence[Any], output: Any) -> int:
    query, key, value = (tuple(arg.shape) for arg in args[:3])
    return int(math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


def _cdist_macs(args: Sequence[Any], output: Any) -> int:
    return int(math.prod(output.shape) * int(args[0].shape[-1]))


def _euclidean_macs(args: Sequence[Any], output: Any) -> int:
    """One product; the two sums of squares ride along as two more terms."""
    return int(math.prod(output.shape) * (int(args[0].shape[-1]) + 2))


def _trilinear_macs(args: Sequence[Any], output: Any) -> int:
    expanded: list[int] = []
    for tensor, inserted in zip(args[:3], args[3:6], strict=True):
        shape = list(tensor.shape)
        for axis in sorted(inserted):
            shape.insert(axis, 1)
        expanded = [max(pair) for pair in zip(shape, expanded or shape, strict=True)]
    return math.prod(expanded)


def _fourier_macs(args: Sequence[Any], output: Any) -> int:
    """Four real MACs for each of the n/2 log2(n) butterflies of a radix-2 transform of n points."""
    points = math.prod(args[0].shape[axis] for axis in args[1])
    return int(2 * math.prod(args[0].shape) * max(1, math.ceil(math.log2(max(2, points)))))


def _deformable_macs(args: Sequence[Any], output: Any) -> int:
    return int(math.prod(output.shape) * math.prod(args[1].shape[1:]))


def _added_products_macs(args: Sequence[Any], output: Any) -> int:
    return int(math.prod(args[1].shape) * int(args[2].shape[-1]))


#: Operations with compute but without a loop-nest form here -> their MACs.
UNMAPPED: dict[str, Callable[[Sequence[Any], Any], int]] = {
    "_scaled_dot_product_flash_attention": _attention_macs,
    "_scaled_dot_product_flash_attention_for_cpu": _attention_macs,
    "_scaled_dot_product_efficient_attention": _attention_macs,
    "_scaled_dot_product_cudnn_attention": _attention_macs,
    "_cdist_forward": _cdist_macs,
    "_euclidean_dist": _euclidean_macs,
    "_trilinear": _trilinear_macs,
    "_fft_r2c": _fourier_macs,
    "_fft_c2r": _fourier_macs,
    "_fft_c2c": _fourier_macs,
    "torchvision::deform_conv2d": _deformable_macs,
    "addbmm": _added_products_macs,
}
