"""Takes note of the operations that a network runs: layers, free and unmapped ones, who feeds whom, what to know."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.errors import InputError
from dovetail.workload.between import is_pooling, moved_by
from dovetail.workload.network import (
    NOTHING_MOVED,
    FreeOperation,
    Layer,
    Moved,
    Network,
    UnmappedOperation,
    unique_names,
)
from dovetail.workload.problem import Problem
from dovetail.workload.repeats import Axis, Repeats, broadcast, combined, plain, shared
from dovetail.workload.torch_free import plain_name
from dovetail.workload.torch_operations import OPERANDS, UNMAPPED, Form, form_of
from dovetail.workload.torch_packed import PACKED_OPERANDS, grouping_note, runs_of


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
        pointwise: whether every place of what it makes follows from the same place of what it takes.
    """

    name: str
    arguments: Sequence[Any]
    taken: Sequence[Any]
    made: Sequence[Any]
    mutates: bool = False
    free: bool = False
    picks: bool = False
    opaque: bool = False
    pointwise: bool = False

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
        self._moved: dict[str, Moved | None] = {}  # what free operations move together; None: not known
        self.unmapped: dict[str, UnmappedOperation] = {}
        self.edges: dict[tuple[Any, Any], None] = {}
        self._owners = owners  # storage -> name of the parameter that lives there
        self._producers: dict[int, frozenset[Any]] = {}  # storage -> layers (by key) or "input" that it comes from
        self._varying: set[int] = set()  # storages whose values depend on the network's input
        self._picked: set[int] = set()  # storages that are as large as the input's values made them
        self._filled_later: set[int] = set()  # constants made after values picked: their size may be that of a pick
        self._alive: list[Any] = []  # a freed storage's address would be used again
        self._repeats = Repeats()
        self._notes: dict[str, None] = {}
        self._pickers: dict[str, None] = {}  # operations that let as much through as values say
        self._picked_layers: dict[Any, None] = {}
        self._asked: dict[str, None] = {}  # operations that handed the program a value

    def enter_input(self, tensors: Sequence[Any], *, time_first: bool = False) -> None:
        """Mark the network's own inputs; the first one's first axis is the batch, or its second one behind time."""
        shape = tuple(tensors[0].shape)
        self.batch = max(1, int(shape[time_first])) if len(shape) > time_first else 1
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
        try:
            runs = () if ran.opaque or ran.empty else self._runs(ran)
        except InputError as error:  # its sizes are beyond what is counted
            raise InputError(error.message, key=self.path[-1] or ran.name) from None
        if runs:
            keys = [self._add_layer(form, count, ran, picked) for form, count in runs]
            self.edges.update(dict.fromkeys((source, key) for key in keys for source in _ordered(sources)))
            sources = frozenset(keys)
        elif self._is_free(ran):
            if not ran.empty:
                self._add_free(ran, varies)
        elif ran.name in UNMAPPED and not ran.opaque and not ran.empty:
            self._add_unmapped(ran.name, UNMAPPED[ran.name](ran.arguments, ran.made[0]))
        elif not ran.empty or picked:
            self._add_unmapped(ran.name, None)
        self._produced(ran.made, sources, varies, picked)
        self._follow_repeats(ran)

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
        if self._pickers and (not ran.taken or ran.name.startswith("new_")):
            self._filled_later.update(map(storage, ran.made))
            return False
        into_first = ran.mutates or ran.name.rstrip("_") in _AS_LARGE_AS_FIRST
        if into_first and ran.taken and storage(ran.taken[0]) in self._filled_later:
            into_first = False
        shaping = ran.taken[:1] if into_first else ran.taken
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
        sharing = shared(self._axes(first)[:-2], self._axes(second)[:-2]) if first.ndim == second.ndim == 3 else (1, 1)
        form = form_of(
            ran.name, ran.arguments, ran.made[0], varies=varies, batch=self.batch, prefer=prefer, sharing=sharing
        )
        return () if form is None else ((form, 1),)

    def _axes(self, tensor: Any) -> tuple[Axis, ...]:
        return self._repeats.axes(tensor, storage(tensor))

    def _follow_repeats(self, ran: Ran) -> None:
        """Take note of what is repeated in what was made."""
        for tensor in ran.made:
            self._repeats.forget(storage(tensor))
        if ran.mutates or ran.opaque or ran.empty or len(ran.made) != 1:
            return
        if not any(self._repeats.any_in(tensor, storage(tensor)) for tensor in ran.taken) and ran.name != "repeat":
            return
        made, shape = ran.made[0], ran.made[0].shape
        if ran.pointwise:
            taken = [broadcast(self._axes(tensor), shape) for tensor in ran.taken]
        elif ran.name == "repeat":
            once = broadcast(self._axes(ran.taken[0]), (1,) * (len(shape) - ran.taken[0].ndim) + ran.taken[0].shape)
            times = (size // math.prod(n for n, _ in axis) for size, axis in zip(shape, once, strict=True))
            taken = [tuple((*(((n, True),) if n > 1 else ()), *axis) for n, axis in zip(times, once, strict=True))]
        elif ran.name == "cat":
            joined = int(ran.arguments[1]) % len(shape)
            each = [self._axes(tensor) for tensor in ran.taken if tensor.ndim == len(shape)]
            taken = [(*axes[:joined], *plain((shape[joined],)), *axes[joined + 1 :]) for axes in each]
        else:
            return
        self._repeats.made(made, storage(made), [combined(axes) for axes in zip(*taken, strict=True)])

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

    def _add_free(self, ran: Ran, varies: bool) -> None:
        name = plain_name(ran.name) if ran.taken else "constant"
        self.free[name] += 1
        moved = self._moved_by(ran, name) if varies else NOTHING_MOVED
        before = self._moved.get(name, NOTHING_MOVED)
        self._moved[name] = None if moved is None or before is None else before + moved

    def _moved_by(self, ran: Ran, name: str) -> Moved | None:
        """Return what an operation moves; None where its tensors' sizes are no plain numbers."""
        if ran.opaque:
            return None
        window = 1
        if is_pooling(name) and len(ran.arguments) > 1 and isinstance(ran.arguments[1], list | tuple):
            sides = [int(side) for side in ran.arguments[1]]
            window = math.prod(sides) if len(sides) > 1 else sides[0] ** (ran.made[0].ndim - 2)
        taken = [(_words(tensor), self.varies(tensor)) for tensor in ran.taken]
        return moved_by(name, taken, ran.made[0].numel(), window)

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
        free = tuple(FreeOperation(each, count, self._moved[each]) for each, count in sorted(self.free.items()))
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


def _words(tensor: Any) -> int:
    """Return the words that a tensor has in memory: what is expanded is there once."""
    return math.prod(size for size, step in zip(tensor.shape, tensor.stride(), strict=True) if step or size == 1)


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
