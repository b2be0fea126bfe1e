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
from dovetail.workload.torch_free import (
    BOOKKEEPING,
    costs_nothing,
    operation_name,
    plain_name,
    reads_values,
    shape_follows_values,
)
from dovetail.workload.torch_operations import OPERANDS, UNMAPPED, Form, form_of
from dovetail.workload.torch_packed import PACKED_OPERANDS, grouping_note, runs_of
from dovetail.workload.torchvision_import import import_torch


@dataclass
class _Seen:
    """A layer as it is found: how often, and in which modules."""

    layer: Layer
    modules: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """One operation that was run.

    Attributes:
        name: as `dovetail.workload.torch_free.operation_name` has it.
        arguments: one for each that its schema names; empty when it has none.
        taken: the tensors among its arguments.
        made: the tensors that it returned, or, returning none, wrote to.
        mutates: whether it writes to an argument.
        free: whether it is known to cost nothing.
        picks: whether how much it puts out depends on its input's values.
        opaque: whether an operand's sizes are not plain numbers (nested) or most of it is not there (sparse).
    """

    name: str
    arguments: Sequence[Any]
    taken: Sequence[Any]
    made: Sequence[Any]
    mutates: bool = False
    free: bool = False
    picks: bool = False
    opaque: bool = False

    def is_empty(self, tensor: Any) -> bool:
        """Say whether a tensor that it made holds nothing."""
        return not self.opaque and tensor.numel() == 0

    @property
    def empty(self) -> bool:
        """Whether it made nothing."""
        return all(map(self.is_empty, self.made))


#: Operations whose output is as large as what they are given first, whatever else they are given.
_AS_LARGE_AS_FIRST = frozenset(
    {"index_add", "index_copy", "index_fill", "index_put", "index_reduce", "masked_fill", "masked_scatter", "scatter"}
    | {"scatter_add", "scatter_reduce", "slice_scatter", "select_scatter"}
)


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
        self._picked: set[int] = set()  # storages that are as large as the input's values made them
        self._alive: list[Any] = []  # a freed storage's address would be used again
        self._notes: dict[str, None] = {}
        self._pickers: dict[str, None] = {}  # operations that let as much through as values say
        self._picked_layers: dict[Any, None] = {}
        self._asked: dict[str, None] = {}  # operations that handed the program a value

    def enter_input(self, tensors: Sequence[Any]) -> None:
        """Mark the network's own inputs; the first one's first axis is the batch."""
        self.batch = max(1, int(tensors[0].shape[0])) if tensors[0].ndim else 1
        self._produced(tensors, frozenset({"input"}), varies=True, picked=False)

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

    def record(self, ran: Ran) -> None:
        """Take note of one operation."""
        varies = any(map(self.varies, ran.taken))
        picked = self._is_picked(ran, varies)
        read = {storage(tensor) for tensor in ran.taken}
        aliases = [storage(tensor) in read and not ran.mutates for tensor in ran.made]
        if not picked and all(alias or ran.is_empty(t) for alias, t in zip(aliases, ran.made, strict=True)):
            return  # a view or nothing at all: nothing moves
        sources = frozenset[Any]().union(*(self.producers(tensor) for tensor in ran.taken))
        runs = () if ran.opaque or ran.empty else self._runs(ran)
        if runs:
            keys = [self._add_layer(form, count, ran, picked) for form, count in runs]
            self.edges.update(dict.fromkeys((source, key) for key in keys for source in _ordered(sources)))
            sources = frozenset(keys)
        elif self._is_free(ran):
            if not ran.empty:
                self.free[plain_name(ran.name) if ran.taken else "constant"] += 1
        elif ran.name in UNMAPPED and not ran.opaque and not ran.empty:
            self._add_unmapped(ran.name, UNMAPPED[ran.name](ran.arguments, ran.made[0]))
        elif not ran.empty or picked:
            self._add_unmapped(ran.name, None)
        self._produced(ran.made, sources, varies, picked)

    def foreign(self, name: str, taken: Sequence[Any], made: Sequence[Any], *, free: bool = False) -> None:
        """Take note of an operation that isn't run: only what it takes and makes is known, and whether it is free."""
        self.record(Ran(name, (), taken, made, mutates=True, free=free, opaque=True))

    def asked(self, name: str, taken: Sequence[Any]) -> None:
        """Take note that the program asked for the value of something that depends on the input."""
        if any(map(self.varies, taken)):
            self._asked[plain_name(name)] = None

    def _is_free(self, ran: Ran) -> bool:
        return ran.free or not (ran.taken or ran.name.count("::"))

    def _is_picked(self, ran: Ran, varies: bool) -> bool:
        """Say whether what was made is as large as the input's values say."""
        if ran.picks and varies:
            self._pickers[ran.name] = None
            return True
        shaping = ran.taken[:1] if ran.mutates or ran.name.rstrip("_") in _AS_LARGE_AS_FIRST else ran.taken
        return any(storage(tensor) in self._picked for tensor in shaping)

    def _runs(self, ran: Ran) -> Sequence[tuple[Form, int]]:
        """Return the problems that an operation runs, each with how often; none when it is not read."""
        operands = OPERANDS.get(ran.name) or PACKED_OPERANDS.get(ran.name)
        if operands is None:
            return ()
        first, second = (ran.arguments[position] for position in operands)
        varies = (
            self.varies(first) or self._is_recurrent(second),
            self.varies(second) or self._is_recurrent(first),
        )
        if ran.name in PACKED_OPERANDS:
            return runs_of(ran.name, ran.arguments, ran.made[0], varies=varies, batch=self.batch)
        prefer = 0 if storage(first) in self._owners and storage(second) not in self._owners else 1
        form = form_of(ran.name, ran.arguments, ran.made[0], varies=varies, batch=self.batch, prefer=prefer)
        return () if form is None else ((form, 1),)

    def _is_recurrent(self, weight: Any) -> bool:
        """Say whether a weight works on a memory, which starts at zero but won't stay there."""
        return "weight_hh" in self._owners.get(storage(weight), "")

    def _add_layer(self, form: Form, count: int, ran: Ran, picked: bool) -> tuple[str, Problem, str | None]:
        path = self.path[-1]
        name = path
        if form.weight is None:
            name = f"{path}.matmul" if path else "matmul"
        else:
            operands = OPERANDS.get(ran.name) or PACKED_OPERANDS[ran.name]
            owner = self._owners.get(storage(ran.arguments[operands[form.weight]]))
            if owner is not None:
                name = re.sub(r"(^|\.)(in_proj_)?weight$", "", owner)
        problem = replace(form.problem, name=name or form.kind)
        key = (problem.name, problem, form.batch_dimension)
        seen = self.layers.get(key)
        if seen is None:
            layer = Layer(problem.name, problem, count, form.kind, (), form.batch_dimension)
            self.layers[key] = seen = _Seen(layer)
        else:
            seen.layer = replace(seen.layer, repeats=seen.layer.repeats + count)
        seen.modules[path or problem.name] = None
        if picked:
            self._picked_layers[key] = None
        if note := grouping_note(ran.name, ran.arguments, ran.made[0], problem.name):
            self._notes[note] = None
        return key

    def _add_unmapped(self, name: str, macs: int | None) -> None:
        before = self.unmapped.get(name, UnmappedOperation(name, 0, 0))
        modules = tuple(dict.fromkeys((*before.modules, self.path[-1])))
        total = None if macs is None or before.macs is None else before.macs + macs
        self.unmapped[name] = UnmappedOperation(name, total, before.count + 1, modules)

    def _produced(self, tensors: Sequence[Any], sources: frozenset[Any], varies: bool, picked: bool) -> None:
        for tensor in tensors:
            key = storage(tensor)
            self._producers[key] = sources
            self._alive.append(tensor)
            (self._varying.add if varies else self._varying.discard)(key)
            (self._picked.add if picked else self._picked.discard)(key)

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
        notes = (*self._notes, *self._notes_on_values(by_key))
        return Network(name, layers, free, tuple(self.unmapped.values()), self.batch, edges, source, notes)

    def _notes_on_values(self, names: Mapping[Any, str]) -> Iterator[str]:
        """Say where the network's sizes follow its input's values, of which one sample was run."""
        sample = "an input of zeros and the weights that the model starts with, often random ones"
        if self._picked_layers:
            macs = sum(self.layers[key].layer.macs for key in self._picked_layers)
            yield (
                f"how much work {_some([names[key] for key in self._picked_layers])} have follows the data: "
                f"{_some(list(self._pickers))} let through as much as values say; "
                f"their {macs:,} MACs are those of {sample}"
            )
        if self._asked:
            asked = _some(list(self._asked))
            yield f"the model's code asks for values of its data ({asked}): the layers are those of {sample}"


def _some(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def storage(tensor: Any) -> int:
    """Return what identifies a value's memory; views have the same, and it is unique while the value lives.

    Sparse and nested tensors have no memory of their own and stand for themselves; what is no tensor is 0.
    """
    try:
        return int(tensor.untyped_storage()._cdata)
    except AttributeError:  # no tensor at all
        return 0
    except (NotImplementedError, RuntimeError):
        return id(tensor)


def _ordered(sources: frozenset[Any]) -> list[Any]:
    return sorted(sources, key=str)  # a set's own order changes with the hash seed


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
            with torch.random.fork_rng(devices=()):
                torch.manual_seed(0)  # where sizes follow values, the same model gives the same layers
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
        except Exception:
            module = _build_with_values(torch, factory)
    except Exception as error:
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
        recorder.record(Ran(name, arguments, taken, made, mutates, free, picks, opaque))


def _arguments_in_order(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Return a value for each argument that a schema names, in its order, defaults filled in."""
    rest = schema.arguments[len(args) :]
    return [*args, *(kwargs.get(each.name, each.default_value if each.has_default_value() else None) for each in rest)]


def _is_opaque(tensor: Any) -> bool:
    return bool(tensor.is_nested) or str(tensor.layout) not in ("torch.strided", "torch._mkldnn")


def _brief(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0].strip() if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _describe(inputs: Any) -> str:
    shape = getattr(inputs, "shape", inputs)
    return f"an input of shape {tuple(shape)}" if isinstance(shape, (tuple, list)) else "its input"
