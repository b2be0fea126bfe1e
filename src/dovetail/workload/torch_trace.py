"""Reads a network from a PyTorch module: runs it on the meta device and watches every operation that is dispatched.

Shapes are all that flows: no weights are allocated and nothing is computed. Operations are seen below modules and
functions alike, so attention, einsum and LSTM come apart into the matrix products that they are.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.errors import DovetailError, InputError
from dovetail.workload.network import FreeOperation, Layer, Network, UnmappedOperation, unique_names
from dovetail.workload.problem import Problem
from dovetail.workload.torch_operations import OPERANDS, UNMAPPED, Form, form_of
from dovetail.workload.torchvision_import import import_torch

#: What an operation with compute is called, so that one we don't know is reported rather than taken to be free.
_COMPUTES = re.compile(r"conv|(^|_)(b|add)?mm($|_)|matmul|linear($|_)|attention|lstm|gru|rnn|einsum|bilinear($|_)")
_NOT_COMPUTE = re.compile(r"upsample|grid_sampl|interpolat|linspace")

#: Names under which free operations are counted, where dispatch names differ from what people call them.
_PLAIN_NAMES = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "adaptive_avg_pool3d",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_to_copy": "copy",
    "clone": "copy",
    "as_strided": "copy",
    "scalar_tensor": "constant",
}


@dataclass
class _Seen:
    """A layer as it is found: how often, and in which modules."""

    layer: Layer
    modules: dict[str, None] = field(default_factory=dict)


class Recorder:
    """Collects layers, free and unmapped operations, and who feeds whom, by the storages that flow between them."""

    def __init__(self, owners: Mapping[int, str]) -> None:
        self.path: list[str] = [""]
        self.batch = 1
        self.layers: dict[tuple[str, Problem, str | None], _Seen] = {}
        self.free: Counter[str] = Counter()
        self.unmapped: dict[str, UnmappedOperation] = {}
        self.edges: dict[tuple[Any, Any], None] = {}
        self._owners = owners  # storage -> name of the parameter that lives there
        self._producers: dict[int, frozenset[Any]] = {}  # storage -> layers (by key) or "input" that it comes from
        self._varying: set[int] = set()  # storages whose values depend on the network's input
        self._alive: list[Any] = []  # a freed storage's address would be used again

    def enter_input(self, tensors: Sequence[Any]) -> None:
        """Mark the network's own inputs; the first one's first axis is the batch."""
        self.batch = max(1, int(tensors[0].shape[0])) if tensors[0].ndim else 1
        self._produced(tensors, frozenset({"input"}), varies=True)

    def leave_output(self, tensors: Sequence[Any]) -> None:
        """Mark what the network returns."""
        for tensor in tensors:
            for producer in self.producers(tensor):
                self.edges[producer, "output"] = None

    def producers(self, tensor: Any) -> frozenset[Any]:
        """Return the layers that a tensor comes from, through free operations; empty for weights and constants."""
        return self._producers.get(storage(tensor), frozenset())

    def varies(self, tensor: Any) -> bool:
        """Say whether a tensor depends on the network's input, rather than on weights and constants alone."""
        return storage(tensor) in self._varying

    def record(self, name: str, args: Sequence[Any], taken: Sequence[Any], made: Sequence[Any], mutates: bool) -> None:
        """Take note of one operation.

        Args:
            name: its name without namespace and overload.
            args: its positional arguments.
            taken: the tensors among all its arguments.
            made: the tensors it returned.
            mutates: whether it writes to an argument.
        """
        read = {storage(tensor) for tensor in taken}
        if all(tensor.numel() == 0 or (storage(tensor) in read and not mutates) for tensor in made):
            return  # a view or nothing at all: nothing moves
        sources = frozenset[Any]().union(*(self.producers(tensor) for tensor in taken))
        varies = any(map(self.varies, taken))
        form = self._form(name, args, made)
        if form is not None:
            key = self._add_layer(form, args, name)
            self.edges.update(dict.fromkeys((source, key) for source in _ordered(sources)))
            sources = frozenset({key})
        elif name in UNMAPPED:
            self._add_unmapped(name, UNMAPPED[name](args, made[0]))
        elif _COMPUTES.search(name) and not _NOT_COMPUTE.search(name) and not any(0 in made_.shape for made_ in made):
            self._add_unmapped(f"{name} (MACs unknown)", 0)
        else:
            self.free[_plain(name) if taken else "constant"] += 1
        self._produced(made, sources, varies)

    def foreign(self, name: str, taken: Sequence[Any], made: Sequence[Any]) -> None:
        """Take note of an operation that isn't torch's own: nobody knows what it computes."""
        self._add_unmapped(f"{name} (MACs unknown)", 0)
        sources = frozenset[Any]().union(*(self.producers(tensor) for tensor in taken))
        self._produced(made, sources, any(map(self.varies, taken)))

    def _form(self, name: str, args: Sequence[Any], made: Sequence[Any]) -> Form | None:
        if name not in OPERANDS:
            return None
        first, second = (args[position] for position in OPERANDS[name])
        varies = (
            self.varies(first) or self._is_recurrent(second),
            self.varies(second) or self._is_recurrent(first),
        )
        prefer = 0 if storage(first) in self._owners and storage(second) not in self._owners else 1
        return form_of(name, args, made[0], varies=varies, batch=self.batch, prefer=prefer)

    def _is_recurrent(self, weight: Any) -> bool:
        """Say whether a weight works on a memory, which starts at zero but won't stay there."""
        return "weight_hh" in self._owners.get(storage(weight), "")

    def _add_layer(self, form: Form, args: Sequence[Any], operation: str) -> tuple[str, Problem, str | None]:
        path = self.path[-1]
        name = path
        if form.weight is None:
            name = f"{path}.matmul" if path else "matmul"
        else:
            owner = self._owners.get(storage(args[OPERANDS[operation][form.weight]]))
            if owner is not None:
                name = re.sub(r"(^|\.)(in_proj_)?weight$", "", owner)
        problem = replace(form.problem, name=name or form.kind)
        key = (problem.name, problem, form.batch_dimension)
        seen = self.layers.get(key)
        if seen is None:
            layer = Layer(problem.name, problem, 1, form.kind, (), form.batch_dimension)
            self.layers[key] = seen = _Seen(layer)
        else:
            seen.layer = replace(seen.layer, repeats=seen.layer.repeats + 1)
        seen.modules[path or problem.name] = None
        return key

    def _add_unmapped(self, name: str, macs: int) -> None:
        before = self.unmapped.get(name, UnmappedOperation(name, 0, 0))
        modules = tuple(dict.fromkeys((*before.modules, self.path[-1])))
        self.unmapped[name] = UnmappedOperation(name, before.macs + macs, before.count + 1, modules)

    def _produced(self, tensors: Sequence[Any], sources: frozenset[Any], varies: bool) -> None:
        for tensor in tensors:
            self._producers[storage(tensor)] = sources
            self._alive.append(tensor.untyped_storage())
            (self._varying.add if varies else self._varying.discard)(storage(tensor))

    def network(self, name: str, source: str) -> Network:
        """Put together what was seen."""
        names = unique_names(seen.layer.name for seen in self.layers.values())
        by_key: dict[Any, str] = dict(zip(self.layers, names, strict=True))
        by_key |= {"input": "input", "output": "output"}
        layers = tuple(
            replace(
                seen.layer, name=unique, problem=replace(seen.layer.problem, name=unique), modules=tuple(seen.modules)
            )
            for unique, seen in zip(names, self.layers.values(), strict=True)
        )
        free = tuple(FreeOperation(operation, count) for operation, count in sorted(self.free.items()))
        edges = tuple((by_key[producer], by_key[consumer]) for producer, consumer in self.edges)
        return Network(name, layers, free, tuple(self.unmapped.values()), self.batch, edges, source)


def storage(tensor: Any) -> int:
    """Return what identifies a tensor's memory; views have the same, and it is unique while the tensor lives."""
    return int(tensor.untyped_storage()._cdata)


def _ordered(sources: frozenset[Any]) -> list[Any]:
    return sorted(sources, key=str)  # a set's own order changes with the hash seed


def _plain(name: str) -> str:
    name = _PLAIN_NAMES.get(name, name)
    return _PLAIN_NAMES.get(name.rstrip("_"), name.rstrip("_"))


def trace(model: Any, inputs: Any, *, name: str | None = None, source: str = "PyTorch") -> Network:
    """Read a network from a PyTorch module.

    The module runs once in evaluation mode, on the meta device. When its control flow needs values, which meta
    tensors lack, it runs once more on CPU tensors of zeros.

    Args:
        model: a ``torch.nn.Module``, left as it was; or a function without arguments that makes one, which is then
            made without allocating weights.
        inputs: what the module takes: a tensor or a shape (a tuple of integers), or a tuple or dict of them for
            positional or keyword arguments. The first tensor's first axis is the batch.
        name: the network's name; otherwise the module's class.
        source: where the module came from, for reports.

    Raises:
        InputError: when the module can't be built or run, in its own words.
        MissingExtraError: when torch is absent.
    """
    torch = import_torch("reading a network from PyTorch")
    module = model if isinstance(model, torch.nn.Module) else build(model)
    try:
        recorder = _run(torch, module, inputs, "meta")
    except DovetailError:
        raise
    except Exception as on_meta:  # whatever the module's code raises
        try:
            if not isinstance(model, torch.nn.Module):
                module = model()
            recorder = _run(torch, module, inputs, "cpu")
        except Exception as on_cpu:
            reason = f"{_brief(on_cpu)} (on meta tensors: {_brief(on_meta)})"
            raise InputError(f"can't run {type(module).__name__} on {_describe(inputs)}: {reason}") from None
    return recorder.network(name or type(module).__name__, source)


def build(factory: Callable[[], Any]) -> Any:
    """Make a module without allocating its weights.

    Raises:
        InputError: when the factory fails or makes no module.
    """
    torch = import_torch("reading a network from PyTorch")
    try:
        try:
            with torch.device("meta"):
                module = factory()
        except Exception:  # a few constructors read values; give them values, but keep no weight
            with _parameters_to_meta(torch):
                module = factory()
    except Exception as error:
        raise InputError(f"can't build the model: {_brief(error)}") from None
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"the factory made a {type(module).__name__}, not a torch.nn.Module")
    return module


@contextlib.contextmanager
def _parameters_to_meta(torch: Any) -> Iterator[None]:
    def to_meta(module: Any, name: str, parameter: Any) -> Any:
        return None if parameter is None else torch.nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    handle = torch.nn.modules.module.register_module_parameter_registration_hook(to_meta)
    try:
        yield
    finally:
        handle.remove()


def _run(torch: Any, module: Any, inputs: Any, device: str) -> Recorder:
    positional, keywords = _arguments(torch, inputs, device)
    tensors = _tensors(torch, (positional, keywords))
    if not tensors:
        raise InputError("the network's input holds no tensor")
    state = {
        key: value.to(device) if device == "meta" else value
        for key, value in (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
    }
    _keep_ties(module, state)
    owners: dict[int, str] = {}
    for key, value in state.items():
        owners.setdefault(storage(value), key)
    recorder = Recorder(owners)
    recorder.enter_input(tensors)
    with contextlib.ExitStack() as context:
        context.enter_context(_evaluation(module))
        context.enter_context(plain_kernels(torch))
        context.enter_context(_module_paths(torch, module, recorder.path))
        context.enter_context(torch.no_grad())
        context.enter_context(watch(torch, recorder))
        output = torch.func.functional_call(module, state, positional, keywords, tie_weights=False)
    recorder.leave_output(_tensors(torch, output))
    return recorder


def _keep_ties(module: Any, state: dict[str, Any]) -> None:
    """Let names that share a tensor in the module share it in the state, too."""
    first: dict[int, str] = {}
    for key, value in (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)):
        state[key] = state[first.setdefault(id(value), key)]


def _arguments(torch: Any, inputs: Any, device: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().to(device)
        if isinstance(value, tuple) and value and all(isinstance(size, int) for size in value):
            return torch.zeros(value, device=device)
        if isinstance(value, (tuple, list)):
            return type(value)(move(item) for item in value)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        return value

    moved = move(inputs)
    if isinstance(moved, dict):
        return (), moved
    return (moved, {}) if isinstance(moved, tuple) else ((moved,), {})


def _tensors(torch: Any, values: Any) -> list[Any]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor)]


@contextlib.contextmanager
def _evaluation(module: Any) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def plain_kernels(torch: Any) -> Iterator[None]:
    """Switch fused kernels off: they would hide the products that attention and LSTM are made of."""
    fast_path, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            torch._C._set_mkldnn_enabled(False)  # its public form warns about GPUs
            yield
    finally:
        torch._C._set_mkldnn_enabled(onednn)
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextlib.contextmanager
def _module_paths(torch: Any, module: Any, path: list[str]) -> Iterator[None]:
    names = {id(part): name for name, part in module.named_modules()}

    def enter(part: Any, args: Any) -> None:
        path.append(names.get(id(part), path[-1]))

    def leave(part: Any, args: Any, output: Any) -> None:
        path.pop()

    hooks = torch.nn.modules.module
    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def watch(torch: Any, recorder: Recorder) -> Any:
    """Return a context in which every operation is taken apart as far as torch can and recorded."""

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if isinstance(func, torch._ops.OpOverload) and func.namespace != "prim":
                with self:
                    result = func.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            result = func(*args, **kwargs)
            made = _tensors(torch, result)
            schema = getattr(func, "_schema", None)
            if made and schema is not None:
                name = schema.name.split("::")[-1]
                recorder.record(name, args, _tensors(torch, (args, kwargs)), made, schema.is_mutable)
            return result

    return Watch()


def _brief(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _describe(inputs: Any) -> str:
    shape = getattr(inputs, "shape", inputs)
    return f"an input of shape {tuple(shape)}" if isinstance(shape, (tuple, list)) else "its input"
