"""How wide values are in a quantised ONNX graph: types beside quantisation and its inverse, and integers.

A layer between ``DequantizeLinear`` and ``QuantizeLinear``, as exporters write quantised networks (QDQ), has operands
as wide as what was dequantised and outputs as wide as what they are quantised to; operations on integers
(``QLinearConv``, ``MatMulInteger``, ...) have the widths of their types, and ``MatMulNBits`` says its own. Whatever is
not quantised states no width: the design's words hold. A ``Clip`` of integers says that fewer of them are used, which
is how exporters write widths that ONNX has no type for. A layer whose output is read by nothing but narrow layers,
through whatever costs nothing, has outputs as wide as the widest of them reads.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, TypeVar

from dovetail.workload.widths import Width

T = TypeVar("T")

#: Operations whose output is as wide as their first input, and made by the same layer.
_SAME = (
    *("AveragePool", "BatchNormalization", "Clip", "Flatten", "GlobalAveragePool", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "MaxPool", "Pad", "Relu", "Reshape", "Sigmoid", "Slice", "Squeeze", "Transpose"),
    "Unsqueeze",
)
#: Operation -> the places of its left and its right operand; others have them first and second.
_OPERANDS = {"QLinearConv": (0, 3), "QLinearMatMul": (0, 3)}
#: Operation -> the place of the zero point whose type its output has.
_ZERO_POINT = {"QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7}
#: ``TensorProto``'s integers of fewer than 32 bits, and floating point of 8 and 4, by name.
_BITS = {"INT8": 8, "UINT8": 8, "INT16": 16, "UINT16": 16, "INT4": 4, "UINT4": 4, "INT2": 2, "UINT2": 2}
_BITS |= {"FLOAT8E4M3FN": 8, "FLOAT8E4M3FNUZ": 8, "FLOAT8E5M2": 8, "FLOAT8E5M2FNUZ": 8, "FLOAT4E2M1": 4}
_SCALE_BITS = {"FLOAT": 32, "FLOAT16": 16, "BFLOAT16": 16, "FLOAT8E8M0": 8, **_BITS}


class GraphWidths:
    """What is known of the widths in a graph, node by node, in the graph's order."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        """Take note of the types that the graph states."""
        self._onnx = onnx
        names: dict[int, str] = {number: name for name, number in onnx.TensorProto.DataType.items()}
        self._types = {tensor.name: names.get(tensor.data_type, "") for tensor in graph.initializer}
        for item in (*graph.input, *graph.value_info, *graph.output):
            self._types.setdefault(item.name, names.get(item.type.tensor_type.elem_type, ""))
        self._names = names
        self._values = {tensor.name: tensor for tensor in graph.initializer}
        self._readers: dict[str, list[str]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node.op_type)
        self._returned = {item.name for item in graph.output}
        self._clipped: dict[str, int] = {}  # integers of which a Clip leaves fewer -> bits that count those
        self._quantises: dict[str, int] = {}  # what a layer's output was quantised to -> that layer
        self._dequantised: dict[str, Width] = {}
        self._maker: dict[str, int] = {}
        self._quantised: dict[int, dict[str, Width]] = {}
        #: Layer -> the width that its output is quantised to.
        self.outputs: dict[int, Width] = {}

    def follow(self, proto: Any, layers: range) -> None:
        """Take note of a node that runs these layers (none: an empty range)."""
        first = proto.input[0] if proto.input else ""
        if proto.op_type in _ZERO_POINT:
            self._types[proto.output[0]] = self._quantised_type(proto)
        if proto.op_type == "DequantizeLinear" and (width := self._width_of_type(first)) is not None:
            self._dequantised[proto.output[0]] = self._with_scale(width, proto)
        if proto.op_type == "Clip" and (bits := self._clip_bits(proto)) is not None:
            self._clipped[proto.output[0]] = bits
            if first in self._quantises:
                self._widest(self._quantises[first], first, Width(bits))
        if proto.op_type in _SAME:
            _pass_on(self._clipped, first, proto.output[0])
            _pass_on(self._types, first, proto.output[0])
            _pass_on(self._dequantised, first, proto.output[0])
            _pass_on(self._maker, first, proto.output[0])
        if layers:
            self._maker.update(dict.fromkeys(proto.output, layers[-1]))
        if proto.op_type == "QuantizeLinear" and first in self._maker:
            width = self._width_of_type(proto.output[0])
            readers = self._readers.get(first, [])
            if width is not None and first not in self._returned and set(readers) == {"QuantizeLinear"}:
                self._quantises[proto.output[0]] = self._maker[first]
                self._widest(self._maker[first], proto.output[0], width)
        elif layers and (width := self._width_of_type(proto.output[0])) is not None:
            self.outputs[layers[-1]] = width

    def _widest(self, layer: int, name: str, width: Width) -> None:
        """Take note of one thing that a layer's output is quantised to; the widest of all of them stands."""
        self._quantised.setdefault(layer, {})[name] = width
        self.outputs[layer] = max(self._quantised[layer].values(), key=lambda each: each.bits)

    def _clip_bits(self, proto: Any) -> int | None:
        """Return the bits that count the integers between a Clip's bounds; None where these are no such bounds."""
        if self._width_of_type(proto.input[0]) is None or len(proto.input) < 3:
            return None
        bounds = [self._values.get(name) for name in proto.input[1:3]]
        if any(each is None or list(each.dims) or each.external_data for each in bounds):
            return None
        low, high = (int(self._onnx.numpy_helper.to_array(each)) for each in bounds)
        return max(1, (high - low).bit_length()) if low < high else None

    def operands(self, proto: Any, varying: Set[str]) -> dict[str, Width]:
        """Return the widths of a layer's operands, by the names of its problem's tensors."""
        left, right = _OPERANDS.get(proto.op_type, (0, 1))
        if len(proto.input) <= right:
            return {}
        if proto.op_type == "MatMulNBits":
            attributes = {item.name: self._onnx.helper.get_attribute_value(item) for item in proto.attribute}
            scale = _SCALE_BITS.get(self._types.get(proto.input[2], ""), 16)
            return {"Weights": Width(int(attributes.get("bits", 4)), scale, int(attributes.get("block_size", 128)))}
        inputs, weights = proto.input[left], proto.input[right]
        if inputs not in varying and weights in varying:
            inputs, weights = weights, inputs
        found = {"Inputs": self._width(inputs), "Weights": self._width(weights)}
        return {name: width for name, width in found.items() if width is not None}

    def _width(self, name: str) -> Width | None:
        return self._dequantised.get(name) or self._width_of_type(name)

    def _width_of_type(self, name: str) -> Width | None:
        bits = _BITS.get(self._types.get(name, ""))
        return None if bits is None else Width(min(bits, self._clipped.get(name, bits)))

    def _with_scale(self, width: Width, proto: Any) -> Width:
        """Return a width with the scale that blocks of values have; one for a tensor or a channel takes no room."""
        attributes = {item.name: self._onnx.helper.get_attribute_value(item) for item in proto.attribute}
        group = int(attributes.get("block_size", 0))
        scale = _SCALE_BITS.get(self._types.get(proto.input[1], ""), 32)
        return Width(width.bits, scale, group) if group > 1 else width

    def _quantised_type(self, proto: Any) -> str:
        place = _ZERO_POINT[proto.op_type]
        if len(proto.input) > place and proto.input[place]:
            return self._types.get(proto.input[place], "")
        attributes = {item.name: self._onnx.helper.get_attribute_value(item) for item in proto.attribute}
        return str(self._names.get(attributes.get("output_dtype", 0), "") or "UINT8")


def _pass_on(known: dict[str, T], before: str, after: str) -> None:
    if before in known:
        known.setdefault(after, known[before])
