"""Reads a network from a PyTorch module: runs it on the meta device and watches every operation that is dispatched.

Shapes are all that flows: no weights are allocated and nothing is computed. Operations are seen below modules and
functions alike, so attention, einsum and LSTM come apart into the matrix products that they are.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dovetail.errors import DovetailError, InputError
from dovetail.workload.inputs import NetworkInput
from dovetail.workload.network import Network
from dovetail.workload.torch_free import (
    BOOKKEEPING,
    costs_nothing,
    operation_name,
    reads_values,
    shape_follows_values,
    works_by_place,
)
from dovetail.workload.torch_recorder import Ran, Recorder, storage
from dovetail.workload.torch_widths import with_module_widths
from dovetail.workload.torchvision_import import import_torch


def trace(model: Any, inputs: Any, *, name: str | None = None, source: str = "PyTorch") -> Network:
    """Read a network from a PyTorch module.

    The module runs once in evaluation mode, on the meta device. When its control flow needs values, which meta
    tensors lack, it runs once more on CPU tensors of zeros.

    Args:
        model: a ``torch.nn.Module``, left as it was; or a function without arguments that makes one, which is then
            made without allocating weights.
        inputs: what the module takes: a tensor, a shape (a tuple of integers) or a `NetworkInput`, or a tuple or dict
            of them for positional or keyword arguments; those of `NetworkInput` that have a name are keyword arguments.
            The first tensor's first axis is the batch; its second one where recurrent modules that take time first
            have that as their batch.
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
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)  # where sizes follow values, the same model gives the same layers
                if not isinstance(model, torch.nn.Module):
                    module = model()
                recorder = _run(torch, module, inputs, "cpu")
        except Exception as on_cpu:
            reason, other = _brief(on_cpu), _brief(on_meta)
            reason += "" if other == reason else f" (on meta tensors: {other})"
            raise InputError(f"can't run {type(module).__name__} on {_describe(inputs)}: {reason}") from None
    return with_module_widths(recorder.network(name or type(module).__name__, source), module)


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
        except Exception:
            module = _build_with_values(torch, factory)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise InputError(f"can't build the model: {_brief(error)}") from None
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"the factory made a {type(module).__name__}, not a torch.nn.Module")
    return module


def _build_with_values(torch: Any, factory: Callable[[], Any]) -> Any:
    """Make a module whose constructor reads values: without weights, or with them if it reads those."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        try:
            with _parameters_to_meta(torch):
                return factory()
        except Exception:
            return factory()


@contextlib.contextmanager
def _parameters_to_meta(torch: Any) -> Iterator[None]:
    def to_meta(module: Any, name: str, parameter: Any) -> Any:
        return None if parameter is None else torch.nn.Parameter(parameter.to("meta"), parameter.requires_grad)

    handle = torch.nn.modules.module.register_module_parameter_registration_hook(to_meta)
    try:
        yield
    finally:
        handle.remove()


def _run(torch: Any, module: Any, inputs: Any, device: str, *, time_first: bool = False) -> Recorder:
    """Run a module and record it; ``time_first``: the first input's second axis is the batch."""
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
    own = {id(tensor) for tensor in tensors}
    held = [*tensors, *(each for each in _held(torch, (positional, keywords)) if id(each) not in own)]
    recorder.enter_input(held, time_first=time_first)
    batches: set[int] = set()
    with contextlib.ExitStack() as context:
        context.enter_context(_as_they_were(torch, module))
        context.enter_context(_batches_behind_time(torch, module, batches))
        context.enter_context(_evaluation(module))
        context.enter_context(plain_kernels(torch))
        context.enter_context(_module_paths(torch, module, recorder.path))
        context.enter_context(torch.no_grad())
        context.enter_context(watch(torch, recorder))
        output = torch.func.functional_call(module, state, positional, keywords, tie_weights=False)
    second = int(tensors[0].shape[1]) if tensors[0].ndim > 1 else 0
    if not time_first and batches == {second} and recorder.batch != second:
        return _run(torch, module, inputs, device, time_first=True)
    recorder.leave_output(_tensors(torch, output))
    return recorder


@contextlib.contextmanager
def _batches_behind_time(torch: Any, module: Any, found: set[int]) -> Iterator[None]:
    """Collect the batches that recurrent modules get which take time first; 0 of one that takes the batch first."""

    def look(part: Any, given: tuple[Any, ...]) -> None:
        if given and isinstance(given[0], torch.Tensor) and given[0].ndim == 3:
            found.add(0 if part.batch_first else int(given[0].shape[1]))

    handles = [part.register_forward_pre_hook(look) for part in module.modules() if isinstance(part, torch.nn.RNNBase)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _as_they_were(torch: Any, module: Any) -> Iterator[None]:
    """Let a module write into attributes of its own, such as a cache, and put them back: it runs on copies of them.

    What is copied are containers and whatever holds tensors; modules, parameters and buffers are what they are.
    """
    parts = list(module.modules())
    kept = {id(each): each for each in (*parts, *module.parameters(), *module.buffers())}
    before = [dict(part.__dict__) for part in parts]
    for part, attributes in zip(parts, before, strict=True):
        for name, value in attributes.items():
            if name.startswith("_") or id(value) in kept:
                continue
            if isinstance(value, dict | list | set) or _held(torch, value):
                with contextlib.suppress(Exception):  # what cannot be copied stays as it is
                    part.__dict__[name] = copy.deepcopy(value, dict(kept))
    try:
        yield
    finally:
        for part, attributes in zip(parts, before, strict=True):
            part.__dict__.clear()
            part.__dict__.update(attributes)


def _keep_ties(module: Any, state: dict[str, Any]) -> None:
    """Let names that share a tensor in the module share it in the state, too."""
    first: dict[int, str] = {}
    for key, value in (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)):
        state[key] = state[first.setdefault(id(value), key)]


def _arguments(torch: Any, inputs: Any, device: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    def move(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.detach().to(device, copy=True)  # what the model writes into is not the caller's
        if isinstance(value, NetworkInput):
            return torch.zeros(value.shape, dtype=getattr(torch, value.kind or "float32"), device=device)
        if isinstance(value, tuple) and value and all(isinstance(size, int) for size in value):
            return torch.zeros(value, device=device)
        if isinstance(value, (tuple, list)):
            return type(value)(move(item) for item in value)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        if not _attributes(value) or callable(value):
            return value
        return copy.deepcopy(value, {id(tensor): move(tensor) for tensor in _held(torch, value)})

    if isinstance(inputs, tuple) and inputs and all(isinstance(each, NetworkInput) for each in inputs):
        named = {each.name: move(each) for each in inputs if each.name}
        return tuple(move(each) for each in inputs if not each.name), named
    moved = move(inputs)
    if isinstance(moved, dict):
        return (), moved
    return (moved, {}) if isinstance(moved, tuple) else ((moved,), {})


def _held(torch: Any, value: Any) -> list[Any]:
    """Return the tensors that an object holds, such as a cache of keys and values, however deep."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, torch.Tensor):
            found[id(each)] = each
        elif id(each) not in seen and not isinstance(each, str | bytes | type):
            seen.add(id(each))
            parts = each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple | set) else ()
            waiting += [*parts, *_attributes(each).values()]
    return list(found.values())


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's own attributes, those in slots included."""
    slots = (getattr(kind, "__slots__", ()) for kind in type(value).__mro__)
    names = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    found = {
        name: getattr(value, name) for name in names if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }
    return found | getattr(value, "__dict__", {})


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
        with (
            torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
            torch.compiler.set_stance("force_eager"),  # compiled code can't be watched
        ):
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
        supports_higher_order_operators = True

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            taken = _tensors(torch, (args, kwargs))
            if not isinstance(func, torch._ops.OpOverload):  # control flow and the like, whose parts can't be seen
                result = func(*args, **kwargs)
                recorder.foreign(f"torch.{func.name()}", taken, _tensors(torch, result))
                return result
            opaque = any(map(_is_opaque, taken))
            if func.namespace != "prim" and not opaque:
                with self:
                    result = func.decompose(*args, **kwargs)
                if result is not NotImplemented:
                    return result
            result = func(*args, **kwargs)
            if func.namespace not in BOOKKEEPING:
                _record(recorder, func, args, kwargs, taken, _tensors(torch, result), opaque)
            return result

    return Watch()


def _record(
    recorder: Recorder,
    func: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    taken: Sequence[Any],
    made: Sequence[Any],
    opaque: bool,
) -> None:
    """Tell the recorder of an operation that was run."""
    name, mutates = operation_name(func._schema.name), bool(func._schema.is_mutable)
    arguments = _arguments_in_order(func._schema, args, kwargs)
    if reads_values(func):
        recorder.asked(name, taken)
    if not made and (mutates or name.count("::")):  # it returns nothing, so what it did, it did to its arguments
        made, mutates = taken, True
    if made:
        free, picks = costs_nothing(func), shape_follows_values(func, arguments)
        recorder.record(Ran(name, arguments, taken, made, mutates, free, picks, opaque, works_by_place(func)))


def _arguments_in_order(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return a value for each argument that a schema names, in its order, defaults filled in."""
    rest = schema.arguments[len(args) :]
    return [*args, *(kwargs.get(each.name, each.default_value if each.has_default_value() else None) for each in rest)]


def _is_opaque(tensor: Any) -> bool:
    return bool(tensor.is_nested) or str(tensor.layout) not in ("torch.strided", "torch._mkldnn")


def _brief(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _describe(inputs: Any) -> str:
    if isinstance(inputs, tuple) and inputs and all(isinstance(each, NetworkInput) for each in inputs):
        return f"an input of {', '.join(map(str, inputs))}"
    shape = getattr(inputs, "shape", inputs)
    return f"an input of shape {tuple(shape)}" if isinstance(shape, (tuple, list)) else "its input"
