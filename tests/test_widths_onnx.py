"""Widths of quantised ONNX graphs: operands that were dequantised, operations on integers, blocks with scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovetail.workload.loading import load_network

onnx = pytest.importorskip("onnx")
helper, DataType = onnx.helper, onnx.TensorProto


def tensor(name: str, kind: int, dims: list[int]) -> object:
    packed = kind in (DataType.INT4, DataType.UINT4)
    size = 1
    for dim in dims:
        size *= dim
    width = {DataType.FLOAT: 4, DataType.FLOAT16: 2, DataType.INT16: 2}.get(kind, 1)
    return helper.make_tensor(name, kind, dims, bytes((size + 1) // 2 if packed else size * width), raw=True)


def saved(
    folder: Path, nodes: list[object], weights: list[object], inputs: dict[str, list[int]], kind: int = DataType.FLOAT
) -> str:
    infos = [helper.make_tensor_value_info(name, kind, dims) for name, dims in inputs.items()]
    graph = helper.make_graph(nodes, "g", infos, [helper.make_empty_tensor_value_info("y")], weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), folder / "net.onnx")
    return str(folder / "net.onnx")


def bits_of(path: str) -> list[str]:
    return [layer.problem.bits_text for layer in load_network(path).layers]


def test_a_graph_of_quantise_and_dequantise_pairs_has_the_widths_around_each_layer(tmp_path: Path) -> None:
    """Activations of 8 bits, weights of 4 in the first and of 8 in the second; the last output is not quantised."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z8"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z8"], ["xd"]),
        node("DequantizeLinear", ["w4", "s", "z4"], ["wd"]),
        node("Conv", ["xd", "wd"], ["c"], kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("QuantizeLinear", ["r", "s", "z16"], ["rq"]),
        node("DequantizeLinear", ["rq", "s", "z16"], ["rd"]),
        node("Flatten", ["rd"], ["f"]),
        node("DequantizeLinear", ["m8", "s", "z8"], ["md"]),
        node("MatMul", ["f", "md"], ["y"]),
    ]
    weights = [
        tensor("s", DataType.FLOAT, []),
        tensor("z8", DataType.INT8, []),
        tensor("z4", DataType.INT4, []),
        tensor("z16", DataType.INT16, []),
        tensor("w4", DataType.INT4, [6, 4, 3, 3]),
        tensor("m8", DataType.INT8, [96, 10]),
    ]
    assert bits_of(saved(tmp_path, nodes, weights, {"x": [1, 4, 6, 6]})) == [
        "Weights=4 Inputs=8 Outputs=16",
        "Weights=8 Inputs=16",
    ]


def test_operations_on_integers_have_the_widths_of_their_types(tmp_path: Path) -> None:
    node = helper.make_node
    conv = ["x", "s", "z", "w", "s", "z", "s", "z"]
    nodes = [node("QLinearConv", conv, ["c"], kernel_shape=[1, 1]), node("Flatten", ["c"], ["f"])]
    nodes += [node("MatMulInteger", ["f", "m"], ["y"])]
    weights = [tensor("s", DataType.FLOAT, []), tensor("z", DataType.UINT8, [])]
    weights += [tensor("w", DataType.UINT8, [6, 4, 1, 1]), tensor("m", DataType.UINT8, [96, 10])]
    assert bits_of(saved(tmp_path, nodes, weights, {"x": [1, 4, 4, 4]}, DataType.UINT8)) == [
        "Weights=8 Inputs=8 Outputs=8",
        "Weights=8 Inputs=8",
    ]


def test_blocks_of_weights_bring_their_scales(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["wd"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "wd"], ["y"]),
    ]
    weights = [tensor("w", DataType.INT4, [64, 8]), tensor("s", DataType.FLOAT16, [2, 8])]
    assert bits_of(saved(tmp_path, nodes, weights, {"x": [1, 64]}, DataType.FLOAT16)) == ["Weights=4+16/32"]


def test_what_is_not_quantised_states_no_width(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    assert bits_of(saved(tmp_path, nodes, [tensor("w", DataType.FLOAT, [8, 4])], {"x": [1, 8]})) == [""]
