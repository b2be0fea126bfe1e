"""Reads a network from an ONNX file: shapes only; weights are never looked at, external ones not even opened."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.errors import DovetailError, InputError, MissingExtraError
from dovetail.workload.network import FreeOperation, Layer, Network, UnmappedOperation, unique_names
from dovetail.workload.onnx_operations import FORMS, UNKNOWN, Node, Run
from dovetail.workload.onnx_shapes import known_shapes

#: Operations that move or compute nothing of the network's data.
_NOTHING = frozenset(("Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"))
MAX_BYTES = 2**31


def read_onnx(path: Path, *, batch: int | None = None, input_size: int | None = None) -> Network:
    """Read a network from an ONNX file.

    Args:
        path: the file; external weights may be absent.
        batch: size of the batch where the file leaves it open; None takes 1. A file with a fixed one keeps it.
        input_size: rows and columns where the file leaves them open.

    Raises:
        InputError: when the file is no ONNX, leaves a size open that is not given, or shapes can't be inferred.
        MissingExtraError: when onnx is absent.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtraError(f"reading {path}", "onnx")
    onnx = importlib.import_module("onnx")
    model = _load(onnx, path)
    shapes, sizes, size = known_shapes(onnx, model, path, batch or 1, input_size)
    try:
        return _network(onnx, model.graph, shapes, sizes, path, size)
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
        raise InputError(
            f"is no ONNX file: {str(error).splitlines()[0][:150] if str(error) else 'broken'}", file=path
        ) from None
    if not model.graph.node:
        raise InputError("is no ONNX file, or holds an empty graph", file=path)
    if model.functions:
        try:
            model = importlib.import_module("onnx.inliner").inline_local_functions(model)
        except Exception as error:  # raised by its compiled part
            raise InputError(f"its functions can't be inlined: {str(error)[:150]}", file=path) from None
    return model


def _network(
    onnx: Any, graph: Any, shapes: dict[str, tuple[int, ...]], sizes: frozenset[str], path: Path, batch: int
) -> Network:
    weights = {tensor.name for tensor in graph.initializer} | {item.values.name for item in graph.sparse_initializer}
    sources: dict[str, frozenset[int | str]] = {
        item.name: frozenset({"input"}) for item in graph.input if item.name not in weights
    }
    varying = set(sources)
    layers: list[Layer] = []
    edges: dict[tuple[int | str, int | str], None] = {}
    free: Counter[str] = Counter()
    unmapped: dict[str, UnmappedOperation] = {}
    names = _Names()
    for proto in graph.node:
        if sizes.issuperset(proto.output):
            continue  # it works on sizes, not on the network's data
        node = Node(onnx, proto, shapes, path, varying.intersection(proto.input), batch)
        feeding = frozenset[int | str]().union(*(sources.get(name, frozenset()) for name in proto.input))
        made: frozenset[int | str] = feeding
        if node.operation in FORMS:
            name, module = names.of(proto)
            for run in FORMS[node.operation](node):
                layers.append(_layer(run, name, module))
                edges.update({(source, len(layers) - 1): None for source in sorted(made, key=str)})
                made = frozenset({len(layers) - 1})
        elif node.operation in UNKNOWN or proto.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            label = f"{proto.domain + '.' if proto.domain else ''}{proto.op_type} (MACs unknown)"
            before = unmapped.get(label, UnmappedOperation(label, 0, 0))
            unmapped[label] = replace(before, count=before.count + 1, modules=(*before.modules, names.of(proto)[1]))
        elif varying.intersection(proto.input) and node.operation not in _NOTHING:
            free[_snake(proto.op_type)] += 1
        sources.update(dict.fromkeys(proto.output, made))
        if varying.intersection(proto.input):
            varying.update(proto.output)
    unique = unique_names(layer.name for layer in layers)
    layers = [
        replace(layer, name=name, problem=replace(layer.problem, name=name))
        for layer, name in zip(layers, unique, strict=True)
    ]
    for output in graph.output:
        edges.update({(source, "output"): None for source in sorted(sources.get(output.name, ()), key=str)})
    named = tuple(tuple(unique[end] if isinstance(end, int) else end for end in edge) for edge in edges)
    return Network(
        path.stem,
        tuple(layers),
        tuple(FreeOperation(name, count) for name, count in sorted(free.items())),
        tuple(unmapped.values()),
        batch,
        tuple((producer, consumer) for producer, consumer in named),
        str(path),
    )


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
