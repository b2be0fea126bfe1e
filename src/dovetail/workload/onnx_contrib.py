"""ONNX Runtime's own operations (domain ``com.microsoft``) that compute: their problems, and the shapes they put out.

Inputs and attributes are as ``docs/ContribOperators.md`` of github.com/microsoft/onnxruntime describes them. ONNX's
shape inference does not know these operations, so what they put out is worked out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from dovetail.workload.onnx_operations import FORMS, Node, Run, products
from dovetail.workload.torch_operations import product_form

Shape = tuple[int, ...]

DOMAIN = "com.microsoft"
#: Product of two operands -> position of the right one.
_PRODUCTS = {
    "FusedMatMul": 1,
    "TransposeMatMul": 1,
    "FusedMatMulActivation": 1,
    "FusedGemm": 1,
    "GemmFloat8": 1,
    "MatMulInteger16": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "QGemm": 3,
}
#: Product with weights whose packing hides their shape; attributes ``K`` and ``N`` say it.
_PACKED = frozenset({"MatMulNBits", "MatMulBnb4"})
#: Convolution -> the standard operation that it is, but for what is fused to it.
_CONVOLUTIONS = {"FusedConv": "Conv", "QLinearConv": "QLinearConv"}
#: Attention with its projections inside -> position of a past, if any.
_PROJECTING = {"Attention": 4, "QAttention": 8}
#: Operations that put out what their first input is as large as.
_SAME = """
    BiasAdd BiasGelu BiasSoftmax DequantizeLinear FastGelu Gelu GroupNorm LayerNormalization QLinearAdd QLinearLeakyRelu
    QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu RotaryEmbedding SimplifiedLayerNormalization
    SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization Trilu
"""
_TO_FLOAT = frozenset({"DequantizeLinear", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"})


def contributed_forms() -> dict[str, Callable[[Node], Iterator[Run]]]:
    """Return per operation, ``com.microsoft.`` before it, the problems that one node of it runs."""
    forms: dict[str, Callable[[Node], Iterator[Run]]] = {
        **dict.fromkeys(_PRODUCTS, _product),
        **dict.fromkeys(_PACKED, _packed),
        **{name: FORMS[standard] for name, standard in _CONVOLUTIONS.items()},
        **dict.fromkeys(_PROJECTING, _projecting_attention),
        "MultiHeadAttention": _attention,
    }
    return {f"{DOMAIN}.{name}": form for name, form in forms.items()}


def is_read(node: Node) -> bool:
    """Say whether a node is of the kind that its form reads; variants with other layouts or a cache are not."""
    name = node.operation.removeprefix(f"{DOMAIN}.")
    if node.operation == name:
        return True
    if name in _PROJECTING:
        return len(node.shape(0)) == 3 and not node.given(_PROJECTING[name])
    if name == "MultiHeadAttention":
        return all(node.given(place) and len(node.shape(place)) == 3 for place in range(3)) and not node.given(6)
    return not node.number("channels_last", 0)


def standard_operation(name: str) -> str | None:
    """Return the standard operation that puts out the same shapes, if there is one."""
    return _CONVOLUTIONS.get(name)


def output_shape(node: Node) -> Shape | None:
    """Return the shape of a node's first output, None when it is not known here."""
    name = node.operation.removeprefix(f"{DOMAIN}.")
    if name in _SAME.split():
        return node.shape(0)
    if name in _PRODUCTS:
        left, right = _operands(node)
        ahead = left[:-2] if len(left) >= len(right) else right[:-2]
        return (*ahead, *left[-2:-1], right[-1])
    if name in _PACKED:
        return (*node.shape(0)[:-1], node.number("N", 0))
    if name in _PROJECTING:
        return (*node.shape(0)[:-1], _sizes(node)[2])
    if name == "MultiHeadAttention" and len(node.shape(0)) == 3 and node.given(2):
        return (*node.shape(0)[:-1], node.shape(2)[-1])
    return None


def puts_out_floats(name: str) -> bool:
    """Say whether an operation turns integers into floating-point numbers."""
    return name in _TO_FLOAT


def _operands(node: Node) -> tuple[Shape, Shape]:
    left, right = node.shape(0), node.shape(_PRODUCTS[node.operation.removeprefix(f"{DOMAIN}.")])
    return _turned(left, node.number("transA", 0)), _turned(right, node.number("transB", 0))


def _turned(shape: Shape, turn: int) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def _product(node: Node) -> Iterator[Run]:
    right_at = _PRODUCTS[node.operation.removeprefix(f"{DOMAIN}.")]
    varies = node.varies(0), node.varies(right_at)
    yield from products(node, *_operands(node), *varies, operands=(0, right_at))


def _packed(node: Node) -> Iterator[Run]:
    left, terms, columns = node.shape(0), node.number("K", 0), node.number("N", 0)
    if left[-1] != terms or columns < 1:
        raise node.fail(f"rows of {left[-1]} and weights of {terms} x {columns} don't go together")
    yield from products(node, left, (terms, columns), node.varies(0), False)


def _sizes(node: Node) -> Sequence[int]:
    """Return the widths of queries, keys and values."""
    widths = node.numbers("qkv_hidden_sizes", ())
    return widths if len(widths) == 3 else (node.shape(1)[-1] // 3,) * 3


def _projecting_attention(node: Node) -> Iterator[Run]:
    """Queries, keys and values made of one input ``(batch, length, channels)``, and then attention."""
    batch, length, channels = node.shape(0)
    queries, _, values = _sizes(node)
    yield from products(node, (batch * length, channels), node.shape(1), node.varies(0), node.varies(1))
    yield from _mixing(node, batch, length, length, queries, values)


def _attention(node: Node) -> Iterator[Run]:
    (batch, length, queries), (_, others, _), (_, _, values) = (node.shape(place) for place in range(3))
    yield from _mixing(node, batch, length, others, queries, values)


def _mixing(node: Node, batch: int, length: int, others: int, queries: int, values: int) -> Iterator[Run]:
    heads = node.number("num_heads", 0)
    if heads < 1 or queries % heads or values % heads:
        raise node.fail(f"{queries} and {values} channels don't go into {heads} heads")
    H, Q, V = batch * heads, queries // heads, values // heads
    if math.prod((H, Q, V, length, others)):
        yield Run(product_form((H, length, Q), (H, Q, others), left_varies=True, right_varies=True))
        yield Run(product_form((H, length, others), (H, others, V), left_varies=True, right_varies=True))
