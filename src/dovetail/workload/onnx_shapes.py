"""Shapes of every tensor in an ONNX graph: open sizes filled in, sizes that the graph computes followed."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail.errors import DovetailError, InputError, did_you_mean
from dovetail.workload.inputs import NetworkInput
from dovetail.workload.onnx_contrib import DOMAIN, output_shape, puts_out_floats, standard_operation
from dovetail.workload.onnx_operations import Node

#: Operations that exporters compute shapes with; they are carried out when their inputs are known and small.
_ARITHMETIC = frozenset(
    {
        *("Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor"),
        *("Gather", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg"),
        *(
            "Not",
            "Or",
            "Range",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "Reshape",
            "Shape",
            "Size",
            "Slice",
        ),
        *("Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where"),
    }
)
#: What an Einsum's equation is made of.
_EQUATION = re.compile(
    rb"[A-Za-z ]*+(?:\.\.\.)?+[A-Za-z ]*+(?:,[A-Za-z ]*+(?:\.\.\.)?+[A-Za-z ]*+)*+(?:->[A-Za-z .]*+)?+"
)
#: No tensor that holds sizes has more elements than this.
_SMALL = 1024


def known_shapes(
    onnx: Any, model: Any, path: Path, batch: int, input_size: int | None, given: Sequence[NetworkInput] = ()
) -> tuple[dict[str, tuple[int, ...]], frozenset[str], int]:
    """Return the shape per tensor name where it can be inferred, the tensors that hold sizes, and the batch size.

    Args:
        onnx: the module.
        model: the parsed file; its inputs get the sizes they leave open.
        path: named in errors.
        batch: the axis of inputs that is the batch, where they leave it open.
        input_size: rows and columns (axes 2 and 3 of four) where they are open.
        given: shapes of inputs, by name or in the file's order; sizes of axes by the names that the file gives them.

    Raises:
        InputError: when an input leaves another size open, or what is given is not the file's.
    """
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    of_batch = {item.name: _batch_axis(item, graph) for item in inputs}
    for item, said in _given(onnx, inputs, _without_axes(inputs, given), path):
        _fill(item, said, path)
    for item in inputs:
        _close(item, path, of_batch[item.name], batch, input_size)
    shapes = _Shapes(onnx, model)
    for node in graph.node:
        shapes.follow(node)
    found = {name: shape for name, kind in shapes.types.items() if (shape := _shape(kind)) is not None}
    first = found.get(inputs[0].name, ()) if inputs else ()
    size = first[of_batch[inputs[0].name]] if first else 1
    return found, frozenset(shapes.values), max(1, size)


def _batch_axis(item: Any, graph: Any) -> int:
    """Return which axis of an input is the batch: the one called so, the second where time comes first, else the first.

    Time comes first where a recurrent operation takes the input as it is, in the operation's usual layout.
    """
    dimensions = _axes(item)
    for axis, dimension in enumerate(dimensions):
        if "batch" in dimension.dim_param.lower():
            return axis
    for node in graph.node:
        if node.op_type in ("LSTM", "GRU", "RNN") and node.input[:1] == [item.name] and len(dimensions) == 3:
            return 0 if any(each.name == "layout" and each.i == 1 for each in node.attribute) else 1
    return 0


def _without_axes(inputs: Sequence[Any], given: Sequence[NetworkInput]) -> list[NetworkInput]:
    """Fill in open axes that are given by name, and return what is given for inputs."""
    names = {item.name for item in inputs}
    axes: dict[str, list[Any]] = {}
    for item in inputs:
        for dimension in _axes(item):
            if dimension.dim_param:
                axes.setdefault(dimension.dim_param, []).append(dimension)
    rest = []
    for each in given:
        if each.name in names or each.name not in axes or len(each.shape) != 1 or each.kind:
            rest.append(each)
            continue
        for dimension in axes[each.name]:
            dimension.dim_value = each.shape[0]
    return rest


def _given(
    onnx: Any, inputs: Sequence[Any], given: Sequence[NetworkInput], path: Path
) -> list[tuple[Any, NetworkInput]]:
    """Return the graph's inputs with what is given for them."""
    if len(given) > len(inputs):
        raise InputError(f"has {len(inputs)} inputs; {len(given)} are given", file=path)
    by_name = {item.name: item for item in inputs}
    found = []
    for place, each in enumerate(given):
        if each.name and each.name not in by_name:
            known = dict.fromkeys([*by_name, *(size.dim_param for item in inputs for size in _axes(item))])
            near = did_you_mean(each.name, [name for name in known if name])
            raise InputError(f"has no input '{each.name}', and no open axis of that name{near}", file=path)
        item = by_name[each.name] if each.name else inputs[place]
        kind = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type).name
        if each.kind not in ("", kind):
            raise InputError(f"the input '{item.name}' is {kind}; {each.kind} is given", file=path)
        found.append((item, each))
    return found


def _axes(item: Any) -> Sequence[Any]:
    axes: Sequence[Any] = item.type.tensor_type.shape.dim
    return axes


def _fill(item: Any, given: NetworkInput, path: Path) -> None:
    """Fill in the sizes that are given; those that the file fixes must be these."""
    dimensions = _axes(item)
    if len(dimensions) != len(given.shape):
        raise InputError(f"the input '{item.name}' has {len(dimensions)} axes; {given} is given", file=path)
    for axis, (dimension, size) in enumerate(zip(dimensions, given.shape, strict=True)):
        if dimension.HasField("dim_value") and dimension.dim_value not in (0, size):
            fixed = f"axis {axis} of the input '{item.name}' is fixed to {dimension.dim_value}"
            raise InputError(f"{fixed}; {given} is given", file=path)
        dimension.dim_value = size


def _close(item: Any, path: Path, of_batch: int, batch: int, input_size: int | None) -> None:
    """Fill in the sizes that an input leaves open."""
    dimensions = _axes(item)
    for axis, dimension in enumerate(dimensions):
        if dimension.HasField("dim_value") and dimension.dim_value > 0:
            continue
        if axis == of_batch:
            dimension.dim_value = batch
        elif axis in (2, 3) and len(dimensions) == 4 and input_size is not None:
            dimension.dim_value = input_size
        else:
            name = dimension.dim_param or f"axis {axis}"
            example = f"{item.name}={'x'.join(str(size.dim_value or 128) for size in dimensions)}"
            by_name = f"--input {dimension.dim_param}=128, or all sizes: " if dimension.dim_param else ""
            said = f"; say it: {by_name}--input {example}"
            hint = "; give --input-size" if axis in (2, 3) and len(dimensions) == 4 else said
            raise InputError(f"the input '{item.name}' leaves the size of {name} open{hint}", file=path)


def _shape(kind: Any) -> tuple[int, ...] | None:
    """Return a tensor type's shape when all of it is known."""
    if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dimensions = kind.tensor_type.shape.dim
    if not all(size.HasField("dim_value") and size.dim_value >= 0 for size in dimensions):
        return None
    return tuple(size.dim_value for size in dimensions)


def _ends(node: Any) -> bool:
    """Say whether ONNX's compiled shape inference ends: it looks for ever at odd signs in an Einsum (1.23)."""
    if node.op_type == "Einsum":
        return all(_EQUATION.fullmatch(item.s) for item in node.attribute if item.name == "equation")
    bodies = [graph for item in node.attribute for graph in (item.g, *item.graphs)]
    return all(_ends(inner) for graph in bodies for inner in graph.node)


class _Shapes:
    """One walk through a graph, with the type of every tensor and the value of the small ones that hold sizes."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self._onnx = onnx
        self._inference = importlib.import_module("onnx.shape_inference")
        self._reference = importlib.import_module("onnx.reference")
        self._opsets = {item.domain: item.version for item in model.opset_import}
        self._opset_imports, self._ir_version = list(model.opset_import), model.ir_version
        self.types: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        for item in (*model.graph.value_info, *model.graph.output, *model.graph.input):
            if _shape(item.type) is not None:
                self.types[item.name] = item.type
        for tensor in model.graph.initializer:
            self.types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
            if tensor.data_location != onnx.TensorProto.EXTERNAL and math.prod(tensor.dims) <= _SMALL:
                self._keep(tensor.name, tensor)

    def _keep(self, name: str, tensor: Any) -> None:
        try:
            self.values[name] = self._onnx.numpy_helper.to_array(tensor)
        except Exception:  # a damaged tensor: its value stays unknown
            self.values.pop(name, None)

    def follow(self, node: Any) -> None:
        """Infer what a node puts out, and compute it where it is a size."""
        known = [name for name in node.input if name]
        inferred: dict[str, Any] = {}
        if node.output and all(name in self.types for name in known):
            inferred = self._infer(node, known)
            if not inferred and node.domain == DOMAIN:
                inferred = self._contributed(node)
        for name, kind in inferred.items():
            if _shape(kind) is not None or name not in self.types:
                self.types[name] = kind
        if node.op_type in _ARITHMETIC and node.domain in ("", "ai.onnx"):
            self._compute(node, known)

    def _infer(self, node: Any, known: list[str]) -> dict[str, Any]:
        if not _ends(node):
            return {}
        try:
            version = self._opsets.get(node.domain, self._opsets.get("", 1))
            schema = self._onnx.defs.get_schema(node.op_type, version, node.domain)
            data = {
                name: self._onnx.numpy_helper.from_array(self.values[name], name)
                for name in known
                if name in self.values
            }
            return dict(
                self._inference.infer_node_outputs(
                    schema,
                    node,
                    {name: self.types[name] for name in known},
                    data,
                    opset_imports=self._opset_imports,
                    ir_version=self._ir_version,
                )
            )
        except Exception:  # its compiled part raises several kinds; what needs the shape says that it lacks it
            return {}

    def _contributed(self, node: Any) -> dict[str, Any]:
        """Infer what an operation of ONNX Runtime puts out first."""
        if standard := standard_operation(node.op_type):
            plain = self._onnx.NodeProto()
            plain.CopyFrom(node)
            plain.op_type, plain.domain = standard, ""
            kept = [item for item in node.attribute if item.name in self._onnx.defs.get_schema(standard).attributes]
            del plain.attribute[:], plain.input[3 if standard == "Conv" else len(node.input) :]
            plain.attribute.extend(kept)
            return self._infer(plain, [name for name in plain.input if name])
        shapes = {name: shape for name in node.input if name and (shape := _shape(self.types[name])) is not None}
        try:
            shape = output_shape(Node(self._onnx, node, shapes, Path(), frozenset(), 1))
        except (DovetailError, IndexError, TypeError, ValueError):  # what needs the shape says that it lacks it
            return {}
        if shape is None:
            return {}
        element = self._onnx.TensorProto.FLOAT if puts_out_floats(node.op_type) else self._element(node)
        return {node.output[0]: self._onnx.helper.make_tensor_type_proto(element, shape)}

    def _element(self, node: Any) -> int:
        return int(self.types[node.input[0]].tensor_type.elem_type)

    def _compute(self, node: Any, known: list[str]) -> None:
        """Carry out a node on known small values; `Shape` needs only its input's type."""
        shapes = [_shape(self.types[name]) for name in node.output if name in self.types]
        if not shapes or any(shape is None or math.prod(shape) > _SMALL for shape in shapes):
            return
        if node.op_type in ("Shape", "Size"):
            shape = _shape(self.types[known[0]]) if known and known[0] in self.types else None
            if shape is None:
                return
            value = importlib.import_module("numpy").array(shape, dtype="int64")
            if node.op_type == "Shape":
                bounds = {item.name: item.i for item in node.attribute}
                value = value[slice(bounds.get("start"), bounds.get("end"))]
            self.values[node.output[0]] = value if node.op_type == "Shape" else value.prod()
            return
        if not all(name in self.values for name in known):
            return
        try:
            evaluator = self._reference.ReferenceEvaluator(node, opsets=self._opsets)
            results = evaluator.run(None, {name: self.values[name] for name in known})
        except Exception:  # stays unknown
            return
        self.values.update(zip(node.output, results, strict=False))
