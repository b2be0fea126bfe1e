"""Networks of narrow numbers as ONNX: integers, what quantises and dequantises them, everything else in floating point.

The form is the one that other tools read (brevitas calls it QCDQ): integers of 8 bits throughout, and a ``Clip`` to the
fewer values of narrower ones between ``QuantizeLinear`` and ``DequantizeLinear``. Scales and integers are those that
the network computes with.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dovetail.accuracy.bits import NarrowLayer
from dovetail.accuracy.exported import onnx_bytes
from dovetail.accuracy.quantised import channel_axis, integers, narrow_layers
from dovetail.errors import InputError, MissingExtraError
from dovetail.files import write_bytes
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("export to ONNX")

#: Operations that layers with narrow numbers become, by which the one that reads a layer's weights is found.
_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Operations that stand between weights and the layer, and only turn them.
_TURNING = ("Identity", "Transpose")


def check_extra() -> None:
    """Say that the extra is missing, before any training that a file is to come from; raises MissingExtraError."""
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError("writing ONNX files", "onnx")


def export(model: Any, shape: Sequence[int], path: Path) -> None:
    """Write a network of narrow numbers as an ONNX file.

    Args:
        model: as `dovetail.accuracy.quantised` makes it; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
        path: of the file.

    Raises:
        InputError: as `narrow_onnx` does.
        MissingExtraError: when onnx is absent.
        WriteError: the file can't be written.
    """
    write_bytes(path, narrow_onnx(model, shape))


def narrow_onnx(model: Any, shape: Sequence[int], *, open_batch: bool = False) -> bytes:
    """Return a network of narrow numbers in ONNX.

    Args:
        model: as `dovetail.accuracy.quantised` makes it; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
        open_batch: leave the batch's size to whoever runs it.

    Raises:
        InputError: nothing in it is narrow, torch cannot export it, or a layer is not to be found in the result.
        MissingExtraError: when onnx is absent.
    """
    check_extra()
    onnx = importlib.import_module("onnx")
    layers = narrow_layers(model)
    if not layers:
        raise InputError("the network has no narrow numbers to write; give it some with --bits")
    graph_of = onnx.load_from_string(_plain_export(model, shape, open_batch))
    graph = graph_of.graph
    kept = integers(model)
    before = list(graph.node)
    added: list[Any] = []
    for layer, bits in layers.items():
        module = model.get_submodule(layer)
        if bits.weights is not None:
            added += _weights(onnx, graph, module, bits, kept[layer])
        if bits.inputs is not None:
            _inputs(onnx, graph, before, module, bits)
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*added, *body])
    try:
        onnx.checker.check_model(graph_of)
    except onnx.checker.ValidationError as error:
        raise InputError(f"torch's export is no valid ONNX: {first_line(error)[:150]}") from None
    return bytes(graph_of.SerializeToString())


def _plain_export(model: Any, shape: Sequence[int], open_batch: bool) -> bytes:
    """Export the network with every quantiser switched off."""
    proxies = [
        proxy
        for module in map(model.get_submodule, narrow_layers(model))
        for proxy in (module.weight_quant, module.input_quant)
        if getattr(proxy, "is_quant_enabled", False)
    ]
    was = [proxy.disable_quant for proxy in proxies]
    try:
        for proxy in proxies:
            proxy.disable_quant = True
        return onnx_bytes(model, shape, open_batch=open_batch)
    finally:
        for proxy, disabled in zip(proxies, was, strict=True):
            proxy.disable_quant = disabled


def _weights(onnx: Any, graph: Any, module: Any, layer: NarrowLayer, kept: dict[str, Any]) -> Iterator[Any]:
    """Put integers in the place of a layer's weights; yields the nodes that make the weights of them."""
    name = f"{layer.path}.weight"
    places = [place for place, tensor in enumerate(graph.initializer) if tensor.name == name]
    if not places:
        raise InputError(f"torch's export has no weights '{name}'")
    del graph.initializer[places[0]]
    whole = kept["integers"].cpu().numpy()
    scale = kept["scale"].cpu().numpy().reshape(-1)
    bits = layer.weights or 8
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(whole, f"{name}_integers"),
            onnx.numpy_helper.from_array(scale, f"{name}_scale"),
            onnx.helper.make_tensor(f"{name}_zero", onnx.TensorProto.INT8, [len(scale)], bytes(len(scale)), raw=True),
        ]
    )
    last = f"{name}_integers"
    if bits < 8:
        most = 2 ** (bits - 1) - 1
        yield _clip(onnx, graph, last, f"{name}_clipped", -most, most, signed=True)
        last = f"{name}_clipped"
    yield onnx.helper.make_node(
        "DequantizeLinear", [last, f"{name}_scale", f"{name}_zero"], [name], axis=channel_axis(module)
    )


def _inputs(onnx: Any, graph: Any, nodes: list[Any], module: Any, layer: NarrowLayer) -> None:
    """Put the quantiser and its inverse before every run of a layer."""
    bits, signed = layer.inputs or 8, layer.signed
    kind = onnx.TensorProto.INT8 if signed else onnx.TensorProto.UINT8
    scale = module.input_quant.scale().detach().float().cpu().numpy().reshape(())
    prefix = f"{layer.path}.input"
    graph.initializer.extend(
        [
            onnx.numpy_helper.from_array(scale, f"{prefix}_scale"),
            onnx.helper.make_tensor(f"{prefix}_zero", kind, [], bytes(1), raw=True),
        ]
    )
    runs = _runs(nodes, f"{layer.path}.weight")
    if not runs:
        raise InputError(f"torch's export has no layer that reads '{layer.path}.weight'")
    for number, node in enumerate(runs):
        place = _data_place(node, nodes, f"{layer.path}.weight")
        own = f"{prefix}_{number}" if number else prefix
        made = [
            onnx.helper.make_node(
                "QuantizeLinear", [node.input[place], f"{prefix}_scale", f"{prefix}_zero"], [f"{own}_integers"]
            )
        ]
        if bits < 8:
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            made.append(_clip(onnx, graph, f"{own}_integers", f"{own}_clipped", low, high, signed=signed))
        made.append(
            onnx.helper.make_node(
                "DequantizeLinear", [made[-1].output[0], f"{prefix}_scale", f"{prefix}_zero"], [f"{own}_narrow"]
            )
        )
        node.input[place] = f"{own}_narrow"
        at = next(place for place, each in enumerate(graph.node) if each is node or each == node)
        for step, each in enumerate(made):
            graph.node.insert(at + step, each)


def _clip(onnx: Any, graph: Any, taken: str, made: str, low: int, high: int, *, signed: bool) -> Any:
    """Return a node that says how few of the integers of 8 bits there are."""
    kind = onnx.TensorProto.INT8 if signed else onnx.TensorProto.UINT8
    for name, value in ((f"{made}_least", low), (f"{made}_most", high)):
        graph.initializer.append(
            onnx.helper.make_tensor(name, kind, [], value.to_bytes(1, "little", signed=signed), raw=True)
        )
    return onnx.helper.make_node("Clip", [taken, f"{made}_least", f"{made}_most"], [made])


def _runs(nodes: Sequence[Any], weight: str) -> list[Any]:
    """Return the nodes that compute with a weight, as it is or turned."""
    names = _turned_names(nodes, weight)
    return [node for node in nodes if node.op_type in _LAYERS and names.intersection(node.input)]


def _turned_names(nodes: Sequence[Any], weight: str) -> set[str]:
    names = {weight}
    for node in nodes:
        if node.op_type in _TURNING and node.input[0] in names:
            names.add(node.output[0])
    return names


def _data_place(node: Any, nodes: Sequence[Any], weight: str) -> int:
    """Return the place of the input that is no weight."""
    names = _turned_names(nodes, weight)
    return next(place for place, name in enumerate(node.input[:2]) if name not in names)


__all__ = ["check_extra", "export", "narrow_onnx"]
