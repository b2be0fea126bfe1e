"""Reads a saved exported program (``torch.export.save``) by replaying its graph on the meta device.

``torch.export.load`` unpickles what the file holds, so it is not for files from others. Here only the graph's JSON is
read; tensors are made from the shapes in it, and nothing but torch's own ``aten`` operations is called.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import operator
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dovetail.errors import DovetailError, InputError
from dovetail.text import first_line
from dovetail.workload.network import Network
from dovetail.workload.torch_free import is_free
from dovetail.workload.torch_recorder import Recorder, storage
from dovetail.workload.torch_trace import plain_kernels, watch
from dovetail.workload.torchvision_import import import_torch

MAX_BYTES = 200_000_000
_BY_KEYWORD = 2

#: What a graph may do with sizes.
_SIZE_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
    "_operator.mod": operator.mod,
    "_operator.ge": operator.ge,
    "_operator.gt": operator.gt,
    "_operator.le": operator.le,
    "_operator.lt": operator.lt,
    "_operator.eq": operator.eq,
    "_operator.ne": operator.ne,
}
#: Checks that the exporter leaves in a graph; they compute nothing.
_CHECKS = re.compile(r"torch\.ops\.aten\.(_assert\w*|sym_constrain\w*|_check\w*)\.\w+")
#: Operations that reach outside the graph.
_FORBIDDEN = frozenset({"from_file", "_print", "save"})


def read_exported(path: Path, *, batch: int | None = None) -> Network:
    """Read a network from a saved exported program.

    Args:
        path: the file, usually ``.pt2``.
        batch: size of the batch where the program leaves it open; None takes the size it was exported with.

    Raises:
        InputError: when the file is no exported program or its graph can't be replayed.
        MissingExtraError: when torch is absent.
    """
    torch = import_torch(f"reading {path}")
    program = _graph_module(path)
    try:
        return _Replay(torch, program, path, batch).network()
    except InputError as error:  # of a layer that is too large: it knows its place in the network only
        raise error.placed(path) from None
    except DovetailError:
        raise
    except Exception as error:  # a damaged graph fails in torch's own ways
        text = first_line(error)[:150]
        raise InputError(f"its graph can't be replayed: {type(error).__name__}: {text}", file=path) from None


def _graph_module(path: Path) -> Mapping[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [item for item in archive.infolist() if item.filename.endswith("models/model.json")]
            if not entries:
                raise InputError("holds no exported program (no models/model.json)", file=path)
            if entries[0].compress_type != zipfile.ZIP_STORED:  # unpacking fails in each library's own ways
                raise InputError("its graph is compressed, which torch never does; refused", file=path)
            if entries[0].file_size > MAX_BYTES:
                raise InputError(f"its graph is larger than {MAX_BYTES} bytes", file=path)
            program = json.loads(archive.read(entries[0]))
        graph_module = program["graph_module"]
        if not isinstance(graph_module["graph"]["nodes"], list):
            raise TypeError("its nodes are no list")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    except (
        zipfile.BadZipFile,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        EOFError,
    ) as error:
        raise InputError(f"is no exported program: {str(error)[:150]}", file=path) from None
    return dict(graph_module)


class _Replay:
    """One run through a graph; values by name are meta tensors and numbers."""

    def __init__(self, torch: Any, program: Mapping[str, Any], path: Path, batch: int | None) -> None:
        self._torch, self._path = torch, path
        self._graph, self._signature = program["graph"], program["signature"]
        self._serde = importlib.import_module("torch._export.serde.serialize")
        self._values: dict[str, Any] = {}
        self._open: dict[str, int] = {}
        inputs = [spec["user_input"]["arg"] for spec in self._signature["input_specs"] if "user_input" in spec]
        names = [argument["as_tensor"]["name"] for argument in inputs if "as_tensor" in argument]
        if not names:
            raise InputError("its program takes no tensor", file=path)
        self._bind_batch(names[0], batch)
        for name in self._placeholders():
            self._values[name] = self._make(name)
        owners = {storage(self._values[name]): owned for name, owned in self._owned() if name in self._values}
        self._recorder = Recorder(owners)
        self._recorder.enter_input([self._values[name] for name in names])

    def _bind_batch(self, name: str, batch: int | None) -> None:
        sizes = self._graph["tensor_values"][name]["sizes"]
        if batch is not None and sizes and "as_expr" in sizes[0]:
            self._open[sizes[0]["as_expr"]["expr_str"]] = batch

    def _placeholders(self) -> list[str]:
        return [item["as_tensor"]["name"] for item in self._graph["inputs"] if "as_tensor" in item]

    def _owned(self) -> list[tuple[str, str]]:
        return [
            (spec[kind]["arg"]["name"], spec[kind][f"{kind}_name"])
            for spec in self._signature["input_specs"]
            for kind in ("parameter", "buffer")
            if kind in spec
        ]

    def _make(self, name: str) -> Any:
        facts = self._graph["tensor_values"][name]
        sizes = [self._size(size) for size in facts["sizes"]]
        dtype = self._serde._SERIALIZE_TO_TORCH_DTYPE[facts["dtype"]]
        return self._torch.empty(sizes, dtype=dtype, device="meta")

    def _size(self, size: Mapping[str, Any]) -> int:
        if "as_int" in size:
            return int(size["as_int"])
        expression = size["as_expr"]
        if expression["expr_str"] in self._open:
            return self._open[expression["expr_str"]]
        hint = expression.get("hint") or {}
        if "as_int" not in hint:
            raise InputError(f"the size {expression['expr_str']} is open; export with a fixed one", file=self._path)
        return int(hint["as_int"])

    def network(self) -> Network:
        """Replay every node and return what was seen."""
        torch = self._torch
        with contextlib.ExitStack() as context:
            context.enter_context(plain_kernels(torch))
            context.enter_context(torch.no_grad())
            context.enter_context(torch.device("meta"))
            context.enter_context(watch(torch, self._recorder))
            for node in self._graph["nodes"]:
                self._recorder.path[:] = [_module(node)]
                self._run(node)
        outputs = [self._values[item["as_tensor"]["name"]] for item in self._graph["outputs"] if "as_tensor" in item]
        self._recorder.leave_output([value for value in outputs if isinstance(value, torch.Tensor)])
        return self._recorder.network(self._path.stem, str(self._path))

    def _run(self, node: Mapping[str, Any]) -> None:
        target = node["target"]
        if _CHECKS.fullmatch(target):
            return
        read = self._argument if target.startswith(("torch.ops.aten.", *_SIZE_ARITHMETIC)) else self._tensor_or_nothing
        arguments = [(item["name"], read(item["arg"]), item.get("kind", 1)) for item in node["inputs"]]
        positional = [value for _, value, kind in arguments if kind != _BY_KEYWORD]
        keywords = {name: value for name, value, kind in arguments if kind == _BY_KEYWORD}
        if target in _SIZE_ARITHMETIC:
            result = _SIZE_ARITHMETIC[target](*positional)
        elif found := re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target):
            if found[1] in _FORBIDDEN:
                raise InputError(f"its graph calls {target}, which is refused", file=self._path)
            result = getattr(getattr(self._torch.ops.aten, found[1]), found[2])(*positional, **keywords)
        else:
            result = self._foreign(node, positional)
        self._store(node["outputs"], result)

    def _foreign(self, node: Mapping[str, Any], positional: list[Any]) -> Any:
        """Take an operation that is not torch's own at its word for what it puts out, and report it."""
        made = [self._make(item["as_tensor"]["name"]) for item in node["outputs"] if "as_tensor" in item]
        taken = [value for value in positional if isinstance(value, self._torch.Tensor)]
        parts = node["target"].removeprefix("torch.ops.").split(".")
        free = len(parts) > 1 and is_free(*parts[:2])
        self._recorder.foreign(parts[1] if free else ".".join(parts), taken, made, free=free)
        return made[0] if len(node["outputs"]) == 1 and made else made

    def _store(self, outputs: list[Mapping[str, Any]], result: Any) -> None:
        if len(outputs) == 1 and "as_tensors" in outputs[0]:
            outputs = [{"as_tensor": item} for item in outputs[0]["as_tensors"]]
        results = list(result) if isinstance(result, tuple | list) else [result]
        for output, value in zip(outputs, results, strict=False):
            (kind, content), *_ = output.items()
            if kind in ("as_tensor", "as_sym_int", "as_sym_bool", "as_sym_float"):
                name = content.get("name", content.get("as_name"))
                if name:
                    self._values[name] = value

    def _tensor_or_nothing(self, argument: Mapping[str, Any]) -> Any:
        """Return what an operation takes that is not run: tensors matter, all else may be of any kind."""
        return self._argument(argument) if {"as_tensor", "as_tensors"} & argument.keys() else None

    def _argument(self, argument: Mapping[str, Any]) -> Any:
        (kind, content), *_ = argument.items()
        if kind == "as_none":
            return None
        if kind == "as_tensor":
            return self._values[content["name"]]
        if kind == "as_tensors":
            return [self._values[item["name"]] for item in content]
        if kind == "as_optional_tensors":
            return [self._argument(item) for item in content]
        if kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
            return self._values[content["as_name"]] if "as_name" in content else next(iter(content.values()))
        if kind == "as_sym_ints":
            return [self._argument({"as_sym_int": item}) for item in content]
        if kind == "as_scalar_type":
            return self._serde._SERIALIZE_TO_TORCH_DTYPE[content]
        if kind == "as_memory_format":
            return self._serde._SERIALIZE_TO_TORCH_MEMORY_FORMAT[content]
        if kind == "as_layout":
            return self._serde._SERIALIZE_TO_TORCH_LAYOUT[content]
        if kind == "as_device":
            return self._torch.device("meta")
        if kind in ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string", "as_strings"):
            return content
        raise InputError(f"an argument of the kind '{kind}' is not read", file=self._path)


def _module(node: Mapping[str, Any]) -> str:
    stack = node.get("metadata", {}).get("nn_module_stack", "")
    parts = stack.split(";")[-1].split(",")
    return parts[1] if len(parts) > 1 else ""
