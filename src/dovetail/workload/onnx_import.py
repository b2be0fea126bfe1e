"""Reads a network from an ONNX file: shapes only; weights are never looked at, external ones not even opened."""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.errors import DovetailError, InputError, MissingExtraError
from dovetail.text import first_line
from dovetail.workload.between import moved_by
from dovetail.workload.inputs import NetworkInput
from dovetail.workload.network import (
    NOTHING_MOVED,
    FreeOperation,
    Layer,
    Moved,
    Network,
    UnmappedOperation,
    unique_names,
)
from dovetail.workload.onnx_contrib import contributed_forms, is_read
from dovetail.workload.onnx_free import PICKING, costs_nothing
from dovetail.workload.onnx_operations import FORMS, Node, Run
from dovetail.workload.onnx_repeats import followed
from dovetail.workload.onnx_shapes import known_shapes
from dovetail.workload.onnx_widths import GraphWidths
from dovetail.workload.repeats import Axis

#: Operation -> the problems one node of it runs.
_READ = FORMS | contributed_forms()
#: Operations that move or compute nothing of the network's data.
_NOTHING = frozenset(("Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"))
MAX_BYTES = 2**31


def read_onnx(
    path: Path, *, batch: int | None = None, input_size: int | None = None, inputs: Sequence[NetworkInput] = ()
) -> Network:
    """Read a network from an ONNX file.

    Args:
        path: the file; external weights may be absent.
        batch: size of the batch where the file leaves it open; None takes 1. A file with a fixed one keeps it.
        input_size: rows and columns where the file leaves them open.
        inputs: shapes of the graph's inputs, by their names or in their order, where the file leaves sizes open.

    Raises:
        InputError: when the file is no ONNX, leaves a size open that is not given, or shapes can't be inferred.
        MissingExtraError: when onnx is absent.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(f"reading {path}", "onnx")
    onnx = importlib.import_module("onnx")
    model = _load(onnx, path)
    try:
        shapes, sizes, size = known_shapes(onnx, model, path, batch or 1, input_size, inputs)
        walk = _Walk(onnx, model.graph, shapes, path, size)
        for proto in model.graph.node:
            if not sizes.issuperset(proto.output):  # else it works on sizes, not on the network's data
                walk.follow(proto)
        return walk.network()
    except DovetailError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"is malformed: {type(error).__name__}: {str(error)[:150]}", file=path) from None


def _load(onnx: Any, path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("is larger than 2 GiB; keep the weights in external data", file=path)
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    except DovetailError:
        raise
    except Exception as error:  # protobuf's own exceptions differ between its implementations
        raise InputError(f"is no ONNX file: {first_line(error)[:150] or 'broken'}", file=path) from None
    if not model.graph.node:
        raise InputError("is no ONNX file, or holds an empty graph", file=path)
    if model.functions:
        try:
            model = importlib.import_module("onnx.inliner").inline_local_functions(model)
        except Exception as error:  # raised by its compiled part
            raise InputError(f"its functions can't be inlined: {str(error)[:150]}", file=path) from None
    return model


class _Walk:
    """One walk through a graph: layers, free and unmapped operations, and who feeds whom."""

    def __init__(self, onnx: Any, graph: Any, shapes: dict[str, tuple[int, ...]], path: Path, batch: int) -> None:
        self._onnx, self._graph, self._shapes, self._path, self._batch = onnx, graph, shapes, path, batch
        weights = {tensor.name for tensor in graph.initializer}
        weights |= {item.values.name for item in graph.sparse_initializer}
        self._sources: dict[str, frozenset[int | str]] = {
            item.name: frozenset({"input"}) for item in graph.input if item.name not in weights
        }
        self._varying = set(self._sources)
        self._picked: set[str] = set()  # tensors as large as values say, and what follows from them
        self._repeated: dict[str, tuple[Axis, ...]] = {}  # tensors of which something is repeated
        self._layers: list[Layer] = []
        self._edges: dict[tuple[int | str, int | str], None] = {}
        self._free: Counter[str] = Counter()
        self._moved: dict[str, Moved | None] = {}  # what free operations move together; None: not known
        self._unmapped: dict[str, UnmappedOperation] = {}
        self._names = _Names()
        self._widths = GraphWidths(onnx, graph)

    def follow(self, proto: Any) -> None:
        """Take note of one node."""
        varies = bool(self._varying.intersection(proto.input))
        varying = self._varying.intersection(proto.input)
        node = Node(self._onnx, proto, self._shapes, self._path, varying, self._batch, self._repeated)
        made = frozenset[int | str]().union(*(self._sources.get(name, frozenset()) for name in proto.input))
        lost = not self._picked.isdisjoint(proto.input)
        read = node.operation in _READ and (not lost or node.has_shapes()) and is_read(node)
        before = len(self._layers)
        if read:
            made = self._add_layers(node, proto, made)
        elif not costs_nothing(proto):
            self._add_unknown(proto)
        elif varies and node.operation not in _NOTHING:
            self._add_free(_snake(proto.op_type), node, lost)
        if proto.op_type in PICKING or lost or not (read or costs_nothing(proto)):
            self._picked.update(proto.output)
        if (repeated := followed(node)) is not None:
            self._repeated[proto.output[0]] = repeated
        self._widths.follow(proto, range(before, len(self._layers)))
        self._sources.update(dict.fromkeys(proto.output, made))
        if varies:
            self._varying.update(proto.output)

    def _add_layers(self, node: Node, proto: Any, feeding: frozenset[int | str]) -> frozenset[int | str]:
        name, module = self._names.of(proto)
        operands = self._widths.operands(proto, self._varying)
        for run in _runs(node, name or proto.op_type, self._path):
            layer = _layer(run, name, module)
            own = {tensor.name for tensor in layer.problem.shape.tensors}
            here = {tensor: width for tensor, width in operands.items() if tensor in own}
            self._layers.append(replace(layer, problem=layer.problem.with_widths(here)))
            place = len(self._layers) - 1
            self._edges.update({(source, place): None for source in sorted(feeding, key=str)})
            feeding = frozenset({place})
        return feeding

    def _add_free(self, name: str, node: Node, lost: bool) -> None:
        self._free[name] += 1
        moved = None if lost or not node.has_shapes() else _moved_by(name, node)
        before = self._moved.get(name, NOTHING_MOVED)
        self._moved[name] = None if moved is None or before is None else before + moved

    def _add_unknown(self, proto: Any) -> None:
        label = f"{proto.domain + '.' if proto.domain else ''}{proto.op_type}"
        before = self._unmapped.get(label, UnmappedOperation(label, None, 0))
        modules = (*before.modules, self._names.of(proto)[1])
        self._unmapped[label] = replace(before, count=before.count + 1, modules=modules)

    def network(self) -> Network:
        """Put together what was seen."""
        for place, width in self._widths.outputs.items():
            problem = self._layers[place].problem
            outputs = [tensor.name for tensor in problem.shape.tensors if tensor.is_output]
            self._layers[place] = replace(
                self._layers[place], problem=problem.with_widths(dict.fromkeys(outputs, width))
            )
        unique = unique_names(layer.name for layer in self._layers)
        layers = tuple(
            replace(layer, name=name, problem=replace(layer.problem, name=name))
            for layer, name in zip(self._layers, unique, strict=True)
        )
        for output in self._graph.output:
            sources = sorted(self._sources.get(output.name, ()), key=str)
            self._edges.update({(source, "output"): None for source in sources})
        named = tuple(tuple(unique[end] if isinstance(end, int) else end for end in edge) for edge in self._edges)
        return Network(
            self._path.stem,
            layers,
            tuple(FreeOperation(name, count, self._moved[name]) for name, count in sorted(self._free.items())),
            tuple(self._unmapped.values()),
            self._batch,
            tuple((producer, consumer) for producer, consumer in named),
            str(self._path),
        ).with_read_outputs()


def _moved_by(name: str, node: Node) -> Moved:
    taken = [(math.prod(node.shape(at)), node.varies(at)) for at in range(node.inputs) if node.given(at)]
    return moved_by(name, taken, math.prod(node.output()), math.prod(node.numbers("kernel_shape", ())))


def _runs(node: Node, name: str, path: Path) -> list[Run]:
    try:
        return list(_READ[node.operation](node))
    except InputError as error:  # its sizes are beyond what is counted
        raise error.placed(path, key=name) from None


def _layer(run: Run, name: str, module: str) -> Layer:
    form = run.form
    if form.weight is None:
        name = f"{module}.matmul" if module else "matmul"
    name = f"{name or form.kind}{run.suffix}"
    return Layer(name, form.problem, run.repeats, form.kind, (module or name,), form.batch_dimension)


class _Names:
    """Finds the module a node came from, by what each of PyTorch's two exporters leaves of it."""

    def of(self, proto: Any) -> tuple[str, str]:
        """Return the layer's name (from its weight where that kept its own) and the module's path."""
        module = self._module(proto)
        owned = [name for name in proto.input if re.fullmatch(r"[\w.]+\.(weight|in_proj_weight)", name)]
        if owned:
            return re.sub(r"\.(in_proj_)?weight$", "", owned[0]), module or owned[0].rpartition(".")[0]
        return module, module

    def _module(self, proto: Any) -> str:
        for item in proto.metadata_props:
            if item.key == "pkg.torch.onnx.name_scopes":
                scopes = re.findall(r"'([^']*)'", item.value)
                return scopes[-2] if len(scopes) > 1 else ""
        parts: list[str] = []
        for part in proto.name.strip("/").split("/")[:-1]:
            if parts and part.startswith(parts[-1] + "."):
                parts.pop()
            parts.append(part)
        return ".".join(parts)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


__all__: Sequence[str] = ["read_onnx"]
