"""A network: its layers as problems, what costs nothing, what cannot be mapped; and what holds of every one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dovetail.errors import InputError, did_you_mean
from dovetail.text import clean, shown
from dovetail.units import counted
from dovetail.workload.problem import MOST_WORDS, Problem
from dovetail.workload.roles import Reading, made_room, renamed
from dovetail.workload.widths import SUMS, LayerBits, Width, unknown_tensor


class Shares(Protocol):
    """How the rows of layers follow the batch where several share them unevenly: experts of a mixture."""

    def loads(self, batch: int) -> Sequence[tuple[int, int]]:
        """Return the rows of a run, each with how many runs have as many, at a batch size."""
        ...


@dataclass(frozen=True)
class Layer:
    """One compute operation of a network.

    Attributes:
        name: what to call it, unique in its network.
        problem: its loop nest, at the network's batch size.
        repeats: how often it runs in one pass of the network.
        kind: ``convolution``, ``grouped convolution``, ``depthwise convolution``, ``transposed convolution``,
            ``linear``, ``grouped linear``, ``matrix product`` (of two activations), or ``problem`` when it came as a
            bare problem.
        modules: paths of the modules it came from.
        batch_dimension: the dimension of `problem` that grows with the batch, None when none does.
        reading: what was read as what for a design, in words; empty where the problem stands as it came.
        words: the names that it came with and the words that they go by in that reading; see `word`.
        padded_from: the sizes that the problem has without padding; empty where nothing is padded.
        shares: how runs and rows of all layers of this name follow the batch; None: its batch dimension alone does.
    """

    name: str
    problem: Problem
    repeats: int = 1
    kind: str = "problem"
    modules: tuple[str, ...] = ()
    batch_dimension: str | None = None
    reading: str = ""
    words: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    padded_from: tuple[int, ...] = ()
    shares: Shares | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Keep names fit to be shown."""
        clean(self, "name", "kind", "modules")

    def word(self, name: str) -> str:
        """Return the word that a name of the problem, as it came, goes by."""
        return dict(self.words).get(name, name)

    def __repr__(self) -> str:
        sizes = zip(self.problem.shape.dimensions, self.problem.bounds, strict=True)
        shown = " ".join(f"{dimension}{bound}" for dimension, bound in sizes if bound > 1)
        return f"<Layer {self.name} x {self.repeats}: {self.kind}, {shown}>"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all repeats together."""
        return self.problem.macs * self.repeats

    def read_as(self, reading: Reading) -> Layer:
        """Return the layer in the words of a reading of its problem."""
        batch = None if self.batch_dimension is None else reading.word(self.batch_dimension)
        problem = replace(reading.problem, name=self.problem.name)
        words = tuple((reading.names or {}).items())
        read = replace(self, problem=problem, batch_dimension=batch, reading=reading.text, words=words)
        return replace(read, padded_from=reading.padded_from)

    def renamed(self, names: Mapping[str, str]) -> Layer:
        """Return the layer with dimensions and tensors renamed; see `dovetail.workload.roles.renamed`."""
        problem = renamed(self.problem, names)
        words = dict(zip(self.problem.shape.dimensions, problem.shape.dimensions, strict=True))
        batch = None if self.batch_dimension is None else words[self.batch_dimension]
        return replace(self, problem=problem, batch_dimension=batch)

    def with_batch(self, batch: int, current: int) -> Layer:
        """Return the layer for another batch size, given the one it has now."""
        if self.batch_dimension is None or batch == current:
            return self
        size = self.problem.bound(self.batch_dimension)
        if size * batch % current:
            raise InputError(
                f"{self.name}: {self.batch_dimension} is {size} at batch {current}, "
                f"which leaves no whole number at batch {batch}"
            )
        return self._with_rows(size * batch // current)

    def _with_rows(self, size: int) -> Layer:
        """Return the layer with another size of its batch dimension."""
        assert self.batch_dimension is not None
        bounds = list(self.problem.bounds)
        bounds[self.problem.shape.dimensions.index(self.batch_dimension)] = size
        return replace(self, problem=replace(self.problem, bounds=tuple(bounds)))

    def shared_at(self, batch: int) -> Iterator[Layer]:
        """Yield the layers that all of this name become at a batch size, one for each number of rows."""
        assert self.shares is not None
        base = self.name.partition(":")[0]
        for place, (rows, runs) in enumerate(self.shares.loads(batch), start=1):
            name = base if place == 1 else f"{base}:{place}"
            made = self._with_rows(rows)
            yield replace(made, name=name, problem=replace(made.problem, name=name), repeats=runs)


@dataclass(frozen=True)
class FreeOperation:
    """An operation between products (pooling, activation, norm, add), and how often it runs.

    It costs nothing unless what lies between products is asked for; see `dovetail.network.between`.

    Attributes:
        name: the operation.
        count: how often it runs.
        moved: what all its runs together move and work on; None where the network's source does not say.
    """

    name: str
    count: int = 1
    moved: Moved | None = None

    def __post_init__(self) -> None:
        """Keep the name fit to be shown."""
        clean(self, "name")

    def with_batch(self, batch: int, current: int) -> FreeOperation:
        """Return the operation for another batch size, given the one it has now."""
        return self if self.moved is None else replace(self, moved=self.moved.with_batch(batch, current))


@dataclass(frozen=True)
class Moved:
    """What operations between products move and work on, each a pass of its own over memory.

    Attributes:
        reads: words read that come from the network's input, at the batch size.
        writes: words written.
        elements: elements worked on: of what goes in or of what comes out, whichever are more; of a pooling, all of
            its windows'.
        parameters: words read that are the same whatever the batch: scales and shifts of norms, constants.
    """

    reads: int
    writes: int
    elements: int
    parameters: int = 0

    def __post_init__(self) -> None:
        """Check that counts of several add up within what is counted."""
        for name in ("reads", "writes", "elements", "parameters"):
            if not 0 <= getattr(self, name) <= MOST_WORDS:
                raise InputError(f"{name} of an operation are {getattr(self, name):.3g}; at most {MOST_WORDS:.3g}")

    def __add__(self, other: Moved) -> Moved:
        """Return what both move together."""
        return Moved(
            self.reads + other.reads,
            self.writes + other.writes,
            self.elements + other.elements,
            self.parameters + other.parameters,
        )

    def times(self, count: int) -> Moved:
        """Return what so many runs move together."""
        return Moved(self.reads * count, self.writes * count, self.elements * count, self.parameters * count)

    def with_batch(self, batch: int, current: int) -> Moved:
        """Return the same for another batch size; a part of a word is a word."""
        reads, writes, elements = (-(-each * batch // current) for each in (self.reads, self.writes, self.elements))
        return Moved(reads, writes, elements, self.parameters)


NOTHING_MOVED = Moved(0, 0, 0)


@dataclass(frozen=True)
class UnmappedOperation:
    """An operation that computes, or may, but has no loop-nest form here; reported, never dropped.

    Attributes:
        name: the operation.
        macs: multiply-accumulates of all its runs together; None when they are not known.
        count: how often it runs.
        modules: paths of the modules it came from.
    """

    name: str
    macs: int | None
    count: int = 1
    modules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep names fit to be shown."""
        clean(self, "name", "modules")


@dataclass(frozen=True)
class Network:
    """Layers in the order they run, and everything else the network does.

    Attributes:
        name: what to call it.
        layers: compute layers in order, names unique.
        free: operations that cost nothing in this model.
        unmapped: operations that compute but have no mapping form.
        batch: the batch size that the layers' problems are for.
        edges: data flow as (producer, consumer) layer names, through free operations; ``"input"`` and ``"output"``
            stand for the network's own. Empty when the source does not say.
        source: where the network came from, for reports.
        notes: what a person should know about how the layers came about, a sentence each.
    """

    name: str
    layers: tuple[Layer, ...]
    free: tuple[FreeOperation, ...] = ()
    unmapped: tuple[UnmappedOperation, ...] = ()
    batch: int = 1
    edges: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    source: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep names fit to be shown, and check that they tell layers apart and that totals can be counted."""
        clean(self, "name", "source", "notes")
        edges = tuple((shown(one), shown(two)) for one, two in self.edges)
        if edges != self.edges:
            object.__setattr__(self, "edges", edges)
        seen: set[str] = set()
        for layer in self.layers:
            if layer.name in seen:
                raise InputError(f"{self.name}: two layers are called '{layer.name}'; names must differ")
            seen.add(layer.name)
        if self.known_macs > MOST_WORDS:
            macs = f"{self.known_macs:.3g} multiply-accumulates"
            raise InputError(f"{self.name}: {macs}; at most {MOST_WORDS:.3g} are counted")

    def __repr__(self) -> str:
        macs = f"{self.known_macs / 1e6:,.1f} million MACs{' at least' if self.unknown else ''}"
        counts = f"{counted(len(self.layers), 'layer')}, {len(self.distinct())} distinct"
        return f"<Network {self.name}: {counts}, {macs}, batch {self.batch}>"

    @property
    def known_macs(self) -> int:
        """Multiply-accumulates of one pass as far as they are known, repeats counted, unmapped operations included."""
        return sum(layer.macs for layer in self.layers) + sum(operation.macs or 0 for operation in self.unmapped)

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one pass, repeats counted; None when an operation's are not known."""
        return None if self.unknown else self.known_macs

    @property
    def unknown(self) -> tuple[UnmappedOperation, ...]:
        """The operations whose multiply-accumulates are not known."""
        return tuple(operation for operation in self.unmapped if operation.macs is None)

    @property
    def unmapped_share(self) -> float | None:
        """Share of the MACs, 0 to 1, that has no mapping form and so no cost; None when it is not known."""
        if self.macs is None:
            return None
        return sum(operation.macs or 0 for operation in self.unmapped) / self.macs if self.macs else 0.0

    def distinct(self) -> tuple[Layer, ...]:
        """Return each distinct problem once, in order of first occurrence, repeats and modules put together.

        Two problems are the same when `problem_key` is; the first occurrence gives the name. This is the order in which
        every table shows them: "row 5" of a network is the fifth of these.
        """
        merged: dict[tuple[Any, ...], Layer] = {}
        for layer in self.layers:
            key = problem_key(layer)
            first = merged.get(key)
            merged[key] = (
                layer
                if first is None
                else replace(first, repeats=first.repeats + layer.repeats, modules=first.modules + layer.modules)
            )
        return tuple(merged.values())

    def with_batch(self, batch: int) -> Network:
        """Return the network for another batch size."""
        if batch < 1:
            raise InputError(f"batch is {batch}; it must be at least 1")
        if batch == self.batch:
            return self
        for layer in self.layers:
            if layer.kind == "problem" and layer.batch_dimension is None:
                raise InputError(
                    f"{layer.name} has no dimension that is a batch (N beside P), so its batch size cannot be {batch}; "
                    "change its sizes where they are written"
                )
        unmapped = tuple(
            operation if operation.macs is None else replace(operation, macs=operation.macs * batch // self.batch)
            for operation in self.unmapped
        )
        layers = tuple(self._layers_at(batch))
        free = tuple(operation.with_batch(batch, self.batch) for operation in self.free)
        return replace(self, layers=layers, free=free, unmapped=unmapped, batch=batch)

    def _layers_at(self, batch: int) -> Iterator[Layer]:
        done: set[str] = set()
        for layer in self.layers:
            base = layer.name.partition(":")[0]
            if layer.shares is None:
                yield layer.with_batch(batch, self.batch)
            elif base not in done:
                done.add(base)
                yield from layer.shared_at(batch)

    def renamed(self, names: Mapping[str, str]) -> Network:
        """Return the network with dimensions and tensors renamed, in every layer that has any of the old names.

        Raises:
            InputError: no layer has one of the old names, or two things in a layer would get one name.
        """
        own = {layer.name: _names_of(layer.problem) for layer in self.layers}
        known = dict.fromkeys(name for names_of in own.values() for name in names_of)
        for old in names:
            if old not in known:
                raise InputError(f"{self.name} has no dimension or tensor '{old}' to rename{did_you_mean(old, known)}")
        given = {layer.name: {o: n for o, n in names.items() if o in own[layer.name]} for layer in self.layers}
        room = (
            f"{self.name}: {words}" for layer in self.layers for words in made_room(layer.problem, given[layer.name])
        )
        layers = tuple(layer.renamed(given[layer.name]) for layer in self.layers)
        return replace(self, layers=layers, notes=(*self.notes, *dict.fromkeys(room)))

    def with_bits(self, given: Sequence[LayerBits]) -> Network:
        """Return the network with widths; where several speak of a layer's tensor, the last one stands.

        Raises:
            InputError: one speaks of a layer or a tensor that the network does not have.
        """
        layers = list(self.layers)
        for one in given:
            places = [place for place, layer in enumerate(layers) if one.speaks_of(layer.name, place, len(layers))]
            if not places and layers:
                near = did_you_mean(one.layer, self.names())
                raise InputError(f"{self.name} has no layer '{one.layer}' to give widths to{near}")
            known = {name.lower() for place in places for name in (*_tensors_of(layers[place]), SUMS, "*")}
            for name in one.widths:
                if name.lower() not in known:
                    every = dict.fromkeys(own for place in places for own in _tensors_of(layers[place]))
                    raise unknown_tensor(name, list(every), one.layer if one.layer != "*" else self.name)
            for place in places:
                own = {name.lower() for name in (*_tensors_of(layers[place]), SUMS, "*")}
                here = {name: width for name, width in one.widths.items() if name.lower() in own}
                layers[place] = replace(layers[place], problem=layers[place].problem.with_widths(here))
        return replace(self, layers=tuple(layers))

    def with_read_outputs(self) -> Network:
        """Return the network with outputs as wide as the widest input that reads them.

        Only where a layer states no width of its output, and all that reads it are layers that state their input's:
        what stands between costs nothing and is done before the output is kept.
        """
        inputs = {each.name: each.problem.width_of("Inputs") for each in self.layers}
        read: dict[str, list[Width | None]] = {}
        for producer, consumer in self.edges:
            read.setdefault(producer, []).append(inputs.get(consumer))
        layers = []
        for each in self.layers:
            outputs = [tensor.name for tensor in each.problem.shape.tensors if tensor.is_output]
            widths = read.get(each.name, [None])
            known = [width for width in widths if width is not None]
            stated = any(each.problem.width_of(name) is not None for name in outputs)
            problem = each.problem
            if not stated and len(known) == len(widths):
                problem = problem.with_widths(dict.fromkeys(outputs, Width(max(width.bits for width in known))))
            layers.append(replace(each, problem=problem))
        return replace(self, layers=tuple(layers))

    def rows(self) -> dict[str, int]:
        """Return for each layer's name the row, counted from 1, at which `distinct` has its problem."""
        places = {problem_key(layer): row for row, layer in enumerate(self.distinct(), start=1)}
        return {layer.name: places[problem_key(layer)] for layer in self.layers}

    def layer(self, which: str) -> Layer:
        """Return a layer by its row in `distinct`, counted from 1, or by its name; a number is a row first.

        Raises:
            InputError: there is none; the nearest name is said.
        """
        is_number = which.isascii() and which.isdigit()
        distinct = self.distinct()
        if is_number and 1 <= int(which[:9]) <= len(distinct):
            return distinct[int(which) - 1]
        for layer in self.layers:
            if layer.name == which:
                return layer
        if is_number:
            raise InputError(f"{self.name} has layers in rows 1 to {len(distinct)}, not {which}")
        raise InputError(f"{self.name} has no layer '{which}'{did_you_mean(which, self.names())}")

    def names(self) -> list[str]:
        """Return the layers' names in order."""
        return [layer.name for layer in self.layers]


def _tensors_of(layer: Layer) -> list[str]:
    return [tensor.name for tensor in layer.problem.shape.tensors]


def _names_of(problem: Problem) -> tuple[str, ...]:
    return (*problem.shape.dimensions, *(tensor.name for tensor in problem.shape.tensors))


def problem_key(layer: Layer) -> tuple[Any, ...]:
    """Return what tells distinct layers apart: shape, bounds, coefficients, widths, batch, and what is padded."""
    problem = layer.problem
    widths = problem.widths, problem.sum_bits
    return problem.shape, problem.bounds, problem.coefficients, layer.batch_dimension, widths, layer.padded_from


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the names with ``:2``, ``:3``, ... put behind the second, third, ... use of one."""
    taken: set[str] = set()
    last: dict[str, int] = {}  # so that many of one name are not counted through again and again
    result: list[str] = []
    for name in names:
        candidate, number = name, last.get(name, 1)
        while candidate in taken:
            number += 1
            candidate = f"{name}:{number}"
        taken.add(candidate)
        last[name] = number
        result.append(candidate)
    return result
