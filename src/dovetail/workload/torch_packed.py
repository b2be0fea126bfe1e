"""Torch's grouped products, and products and convolutions whose weights are packed or quantised, as problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dovetail.workload.torch_operations import Form, convolution_form, product_form

#: A form and how often it runs.
Runs = tuple[tuple[Form, int], ...]

#: Grouped product -> position of its offsets; operands stand first.
_GROUPED = {"_grouped_mm": 2, "_scaled_grouped_mm": 4, "_scaled_grouped_mm_v2": 8}

#: Product of rows with weights of any packing -> position of the weights; rows stand first.
_PACKED = {
    "linear": 1,  # of a tensor subclass, which is not taken apart
    "mkldnn_linear": 1,
    "_scaled_mm": 1,
    "_scaled_mm_v2": 1,
    "_weight_int8pack_mm": 1,
    "_weight_int4pack_mm": 1,
    "_weight_int4pack_mm_for_cpu": 1,
    "_weight_int4pack_mm_with_scales_and_zeros": 1,
    "_dyn_quant_matmul_4bit": 1,
    "_mixed_dtypes_linear": 1,
    "fbgemm_linear_int8_weight": 1,
    "fbgemm_linear_int8_weight_fp32_activation": 1,
    "fbgemm_linear_fp16_weight": 1,
    "fbgemm_linear_fp16_weight_fp32_activation": 1,
    "mkldnn::_linear_pointwise": 1,
    "mkl::_mkl_linear": 2,
    "onednn::qlinear_pointwise": 3,
    "onednn::linear_dynamic_fp16": 1,
    "onednn::linear_relu_dynamic_fp16": 1,
    "quantized::int4mm_packed_weight_cpu": 1,
    "quantized::linear": 1,
    "quantized::linear_relu": 1,
    "quantized::linear_leaky_relu": 1,
    "quantized::linear_tanh": 1,
    "quantized::linear_dynamic": 1,
    "quantized::linear_relu_dynamic": 1,
    "quantized::linear_dynamic_fp16": 1,
    "quantized::linear_relu_dynamic_fp16": 1,
    "quantized::linear_dynamic_fp16_unpacked_weight": 1,
}

#: Convolution with packed parameters (an object that knows its weights, stride, ...) -> their position.
_OBJECT_CONVOLUTIONS = {
    f"quantized::{kind}{axes}d{suffix}": 2 if suffix.startswith("_add") else 1
    for kind, suffixes in (
        ("conv", ("", "_relu", "_dynamic", "_add", "_add_relu")),
        ("conv_transpose", ("", "_dynamic")),
    )
    for axes in (1, 2, 3)
    for suffix in suffixes
}

#: Convolution with packed weights -> positions of weights, stride, dilation and groups.
_PACKED_CONVOLUTIONS = {
    "mkldnn_convolution": (1, 4, 5, 6),
    "mkldnn::_convolution_pointwise": (1, 4, 5, 6),
    "mkldnn::_convolution_pointwise_": (2, 5, 6, 7),
    **{f"onednn::qconv{axes}_pointwise": (3, 7, 9, 10) for axes in ("", "1d", "2d", "3d")},
}

_PRODUCTS = {"quantized::matmul"}
_TIME_BATCH_CHANNELS = {"conv_tbc"}

#: Operation -> positions of its (input, weight) operands.
PACKED_OPERANDS: dict[str, tuple[int, int]] = {
    **dict.fromkeys((*_GROUPED, *_PRODUCTS, *_TIME_BATCH_CHANNELS), (0, 1)),
    **{name: (0, place) for name, place in (_PACKED | _OBJECT_CONVOLUTIONS).items()},
    **{name: (0, places[0]) for name, places in _PACKED_CONVOLUTIONS.items()},
}


def runs_of(name: str, args: Sequence[Any], output: Any, *, varies: Sequence[bool], batch: int = 1) -> Runs:
    """Return what one operation of `PACKED_OPERANDS` runs; nothing when its work is empty.

    Args:
        name: as in `PACKED_OPERANDS`.
        args: its arguments, one for each that its schema names.
        output: what it returned.
        varies: for both operands, whether they depend on the network's input.
        batch: images that run together.
    """
    if 0 in (*args[0].shape, *output.shape):
        return ()
    return _reader_of(name)(name, args, output, varies, batch)


def _reader_of(name: str) -> Callable[[str, Sequence[Any], Any, Sequence[bool], int], Runs]:
    if name in _GROUPED:
        return _grouped
    if name in _PACKED:
        return _packed
    if name in _OBJECT_CONVOLUTIONS:
        return _object_convolution
    if name in _PACKED_CONVOLUTIONS:
        return _packed_convolution
    return _product if name in _PRODUCTS else _time_batch_channels


def grouping_note(name: str, args: Sequence[Any], output: Any, layer: str) -> str | None:
    """Return what to know about the rows of a grouped product, None when offsets don't share them out."""
    if name not in _GROUPED or args[0].ndim == args[1].ndim == 3:
        return None
    total, groups, what = _shared(args, output)
    given = _given(name, args)
    if given is not None:
        return None
    each = f"{total // groups}" if total % groups == 0 else f"{total // groups} or {total // groups + 1}"
    return (
        f"{layer}: the {total} {what} of {name} are taken as shared evenly among {groups} groups ({each} each); "
        "their number is exact, which group takes how many is known only when the network runs"
    )


def _shared(args: Sequence[Any], output: Any) -> tuple[int, int, str]:
    """Return what offsets share out: how many, among how many groups, and what they are."""
    left, right = _shape(args[0]), _shape(args[1])
    if len(left) == 2 and len(right) == 3:
        return left[0], right[0], "rows"
    if len(left) == 3:
        return right[1], left[0], "columns"
    return left[1], int(output.shape[0]), "terms of the sums"


def _given(name: str, args: Sequence[Any]) -> list[int] | None:
    """Return how much each group takes, where the offsets have values (meta tensors have none)."""
    offsets = args[_GROUPED[name]]
    if offsets is None or offsets.device.type == "meta":
        return None
    ends = [int(end) for end in offsets.tolist()]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _grouped(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    """One product per group, in the order of sizes; groups of a size are one problem that runs several times."""
    left, right = _shape(args[0]), _shape(args[1], axis=-2)
    if len(left) == len(right) == 3:
        return ((product_form(left, right, left_varies=varies[0], right_varies=varies[1], batch=batch), 1),)
    total, groups, what = _shared(args, output)
    sizes = _given(name, args)
    if sizes is None:
        sizes = [total // groups + 1] * (total % groups) + [total // groups] * (groups - total % groups)
    runs = []
    for size in sorted({size for size in sizes if size > 0}, reverse=True):
        rows = size if what == "rows" else left[-2]
        terms = size if what == "terms of the sums" else left[-1]
        columns = size if what == "columns" else right[-1]
        form = product_form((rows, terms), (terms, columns), left_varies=varies[0], right_varies=varies[1], batch=batch)
        runs.append((form, sizes.count(size)))
    return tuple(runs)


def _shape(tensor: Any, axis: int = -1) -> tuple[int, ...]:
    """Return a shape in elements: where two of them share a byte along an axis, that axis is twice as long."""
    shape = [int(size) for size in tensor.shape]
    if "float4" in str(tensor.dtype):
        shape[axis] *= 2
    return tuple(shape)


def _packed(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    inputs = _shape(args[0])
    rows, terms = math.prod(inputs[:-1]), inputs[-1]
    columns = int(output.shape[-1])
    form = product_form((rows, terms), (terms, columns), left_varies=any(varies), right_varies=False, batch=batch)
    return ((form, 1),)


def _product(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    left, right, made = _shape(args[0]), _shape(args[1]), tuple(output.shape)
    ahead = made[:-2]
    form = product_form(
        (*ahead, *left[-2:]), (*ahead, *right[-2:]), left_varies=varies[0], right_varies=varies[1], batch=batch
    )
    return ((form, 1),)


def _object_convolution(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    packed = args[_OBJECT_CONVOLUTIONS[name]]
    kernel = [int(size) for size in packed.unpack()[0].shape[2:]]
    stride, dilation = ([int(step) for step in steps] for steps in (packed.stride(), packed.dilation()))
    inputs, outputs = ([int(size) for size in tensor.shape] for tensor in (args[0], output))
    if len(inputs) == 3:  # one axis, packed as two
        inputs, outputs = ([*shape[:2], 1, shape[2]] for shape in (inputs, outputs))
        stride, dilation = [1, stride[-1]], [1, dilation[-1]]
    transposed = "transpose" in name
    return _convolution(inputs, outputs, kernel, stride, dilation, int(packed.groups()), transposed, varies)


def _packed_convolution(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    weights, stride, dilation, groups = (args[place] for place in _PACKED_CONVOLUTIONS[name])
    inputs, outputs = list(args[0].shape), list(output.shape)
    kernel = list(weights.shape[-(len(inputs) - 2) :])
    return _convolution(inputs, outputs, kernel, stride, dilation, int(groups), False, varies)


def _convolution(
    inputs: Sequence[int],
    outputs: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool,
    varies: Sequence[bool],
) -> Runs:
    """Build a convolution from its channels and kernel: packed weights hide their own shape."""
    ahead = (inputs[1], outputs[1] // groups) if transposed else (outputs[1], inputs[1] // groups)
    form = convolution_form(
        inputs,
        (*ahead, *kernel),
        outputs,
        stride=stride,
        dilation=dilation,
        groups=groups,
        transposed=transposed,
        varies=any(varies),
    )
    return ((form, 1),)


def _time_batch_channels(name: str, args: Sequence[Any], output: Any, varies: Sequence[bool], batch: int) -> Runs:
    """A convolution over time; axes are (time, batch, channels), and (kernel, in, out) of the weights."""
    (time, batch, channels), (kernel, _, outputs) = args[0].shape, args[1].shape
    made = (batch, outputs, output.shape[0])
    return _convolution((batch, channels, time), made, (kernel,), (1,), (1,), 1, False, varies)
