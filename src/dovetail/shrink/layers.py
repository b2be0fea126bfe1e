"""A network's layers as functions of its widths: problems to map, at any of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.accuracy.bits import INPUTS, WEIGHTS, module_of
from dovetail.errors import InputError
from dovetail.shrink.channels import INPUT_BITS, KERNEL, RESOLUTION, WEIGHT_BITS, Axis, ChannelGraph, Setting, Widths
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.torch_trace import trace
from dovetail.workload.widths import Width

_CONVOLUTION_DIMENSIONS = {"C", "M", "R", "S", "N", "P", "Q"}


@dataclass(frozen=True)
class Reader:
    """A layer that reads what another one makes.

    Attributes:
        inputs: place among widths of the bits that it reads at; None: the design's words.
        block: place of the block that it stands in; None: in none.
    """

    inputs: int | None
    block: int | None


@dataclass(frozen=True, eq=False)
class SizedLayer:
    """One layer whose sizes follow a network's widths.

    Attributes:
        layer: as it is in the network as given.
        inputs: axis that its input channels follow; None when they don't change.
        outputs: likewise.
        groups: the numbers of the channel groups that its cost depends on, rising.
        block: place among widths of the block that it stands in; None: in none.
        heads: of a product of activations, channels of the one group that its own ``G`` counts, whole heads; 0: of
            anything else.
        settings: place among widths of what else it depends on, by kind, each with its setting.
        scaled: its problem by rows of the network's images, where those can be set.
        readers: of what it makes, where bits can be chosen.
    """

    layer: Layer
    inputs: Axis | None
    outputs: Axis | None
    groups: tuple[int, ...]
    heads: int = 0
    block: int | None = None
    settings: Mapping[str, tuple[int, Setting]] = field(default_factory=dict)
    scaled: Mapping[int, Problem] = field(default_factory=dict)
    readers: tuple[Reader, ...] = ()

    @functools.cached_property
    def depends_on(self) -> tuple[int, ...]:
        """The places among widths that its cost depends on, rising."""
        blocks = {self.block} if self.block is not None else set()
        places = {place for place, _ in self.settings.values()}
        inputs = {reader.inputs for reader in self.readers}
        if inputs != {None}:  # or its outputs have the design's words, whatever is left out
            places |= {place for place in inputs if place is not None}
            if None in inputs or all(reader.block is not None for reader in self.readers):
                blocks |= {reader.block for reader in self.readers if reader.block is not None}
        return tuple(sorted({*self.groups, *blocks, *places}))

    def stays(self, widths: Widths) -> bool:
        """Whether its block is not left out."""
        return self.block is None or widths[self.block] > 0

    def problem(self, widths: Widths) -> Problem:
        """Return the layer's problem at these widths; its name stays."""
        set_to = ((kind, widths[place]) for kind, (place, _) in self.settings.items())
        return self._problem(tuple(widths[group] for group in self.groups), tuple(set_to), self._output_bits(widths))

    def _output_bits(self, widths: Widths) -> int | None:
        """Return the bits of what it makes: those of the widest that reads it; None where one reads whole words."""
        read = [each.inputs for each in self.readers if each.block is None or widths[each.block]]
        return None if not read or None in read else max(widths[place] for place in read if place is not None)

    @functools.cache  # noqa: B019 - lives as long as the layer, which is asked for the same sizes often
    def _problem(self, own: Widths, set_to: tuple[tuple[str, int], ...], output_bits: int | None) -> Problem:
        values = dict(set_to)
        base = self.scaled[values[RESOLUTION]] if self.scaled else self.layer.problem
        form = self.settings[KERNEL][1].form(values[KERNEL]) if KERNEL in values else None
        return _with_bits(self._resized(base, own, form), values, output_bits)

    def _resized(self, base: Problem, own: Widths, kernel: tuple[int, int] | None) -> Problem:
        if not self.groups and kernel is None:
            return base
        widths = dict(zip(self.groups, own, strict=True))
        if self.heads:
            place, bounds = base.shape.dimensions.index("G"), list(base.bounds)
            bounds[place] = bounds[place] * own[0] // self.heads
            return replace(base, bounds=tuple(bounds))
        sizes = dict(zip(base.shape.dimensions, base.bounds, strict=True))
        split = sizes.pop("G", 1)
        inputs = sizes["C"] * split if self.inputs is None else _size(self.inputs, widths)
        outputs = sizes["M"] * split if self.outputs is None else _size(self.outputs, widths)
        if split > 1:  # whole groups come and go
            groups = outputs // sizes["M"]
            per_group = (sizes["C"], sizes["M"])
        else:
            groups, per_group = 1, (inputs, outputs)
        stride_rows, stride_columns, dilation_rows, dilation_columns = base.coefficients
        sizes |= {"C": per_group[0], "M": per_group[1]}
        if kernel is not None:
            sizes |= {"R": kernel[0], "S": kernel[1]}
        return convolution(
            **sizes,
            G=groups,
            stride=(stride_rows, stride_columns),
            dilation=(dilation_rows, dilation_columns),
            name=base.name,
        )


def _with_bits(problem: Problem, values: Mapping[str, int], outputs: int | None) -> Problem:
    """Return a problem with the bits that settings say, and those of its outputs."""
    named = {WEIGHTS: values.get(WEIGHT_BITS), INPUTS: values.get(INPUT_BITS)}
    named |= {tensor.name: outputs for tensor in problem.shape.tensors if tensor.is_output}
    known = {name: Width(bits) for name, bits in named.items() if bits is not None}
    return problem.with_widths(known) if known else problem


def _size(axis: Axis, widths: dict[int, int]) -> int:
    fixed, shares = axis.parts
    return fixed + sum(widths[group] * count for group, count in shares)


@dataclass(frozen=True)
class NetworkShapes:
    """All layers of a network as functions of widths.

    Attributes:
        network: as given.
        layers: in the order they run.
        graph: the channel groups.
    """

    network: Network
    layers: tuple[SizedLayer, ...]
    graph: ChannelGraph

    def at(self, widths: Widths) -> Network:
        """Return the network when its groups have these widths.

        What a block reads is among what its readers read (it is added to what the block makes), so no edge is missing
        where it is left out.
        """
        layers = tuple(replace(each.layer, problem=each.problem(widths)) for each in self.staying(widths))
        gone = {each.layer.name for each in self.layers if not each.stays(widths)}
        edges = tuple(edge for edge in self.network.edges if not gone & set(edge))
        return replace(self.network, layers=layers, edges=edges)

    def staying(self, widths: Widths) -> tuple[SizedLayer, ...]:
        """Return the layers that are not left out."""
        return tuple(each for each in self.layers if each.stays(widths))

    def macs(self, widths: Widths) -> int:
        """Return the multiply-accumulates of one pass at these widths."""
        return sum(each.problem(widths).macs * each.layer.repeats for each in self.staying(widths))


def network_shapes(model: Any, graph: ChannelGraph, shape: Sequence[int], name: str) -> NetworkShapes:
    """Return a network's layers as functions of the widths of its groups.

    Args:
        model: the network as given.
        graph: its channel groups.
        shape: of its input, ``(batch, channels, rows, columns)``.
        name: what to call it.

    Raises:
        InputError: when a group reaches a layer whose form it does not determine.
    """
    network = trace(model, tuple(shape), name=name)
    scaled = _scaled(model, graph, tuple(shape))
    layers = []
    for place, layer in enumerate(network.layers):
        problems = {rows: other.layers[place].problem for rows, other in scaled.items()}
        sized = replace(_sized(layer, graph), block=_block_of(layer, graph), settings=_settings(layer, graph))
        layers.append(replace(sized, scaled=problems, readers=_readers(layer, network, graph)))
    return NetworkShapes(network, tuple(layers), graph)


def _scaled(model: Any, graph: ChannelGraph, shape: tuple[int, ...]) -> dict[int, Network]:
    """Return the network by the rows of its images, where those can be set."""
    found = [setting for setting in graph.settings if setting.kind == RESOLUTION]
    return {rows: trace(model, (*shape[:2], *each.form(rows))) for each in found for rows in each.values}


def _settings(layer: Layer, graph: ChannelGraph) -> dict[str, tuple[int, Setting]]:
    """Return the settings that speak of a layer, by kind, with their places among widths."""
    path = module_of(layer.name)
    return {
        setting.kind: (place, setting)
        for place, setting in enumerate(graph.settings, graph.first_setting)
        if not setting.paths or path in setting.paths
    }


def _readers(layer: Layer, network: Network, graph: ChannelGraph) -> tuple[Reader, ...]:
    """Return what reads what a layer makes; nothing where no bits can be chosen."""
    if not any(setting.kind == INPUT_BITS for setting in graph.settings):
        return ()
    names = [consumer for producer, consumer in network.edges if producer == layer.name]
    found = []
    for name in dict.fromkeys(names):
        block = graph.block_of(module_of(name))
        place = None if block is None else len(graph.groups) + block
        found.append(Reader(graph.place_of(INPUT_BITS, module_of(name)), place))
    return tuple(found)


def _block_of(layer: Layer, graph: ChannelGraph) -> int | None:
    """Return the place among widths of the block in which a layer runs.

    Raises:
        InputError: it runs in one and elsewhere.
    """
    blocks = {graph.block_of(path) for path in layer.modules}
    if len(blocks) > 1:
        raise InputError(f"{layer.name}: runs inside and outside of a block that may be left out")
    block = next(iter(blocks), None)
    return None if block is None else len(graph.groups) + block


def _sized(layer: Layer, graph: ChannelGraph) -> SizedLayer:
    if layer.kind == "matrix product" and (number := _group_of_heads(layer, graph)) is not None:
        return SizedLayer(layer, None, None, (number,), graph.groups[number].channels)
    sides = graph.by_module.get(layer.name.partition(":")[0], {})
    inputs, outputs = sides.get("in"), sides.get("out")
    groups = {group for axis in sides.values() for group, _ in axis.parts[1]}
    problem = layer.problem
    if groups:
        sizes = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
        split = sizes.get("G", 1)
        expected = [(inputs, "C"), (outputs, "M")] if split == 1 else [(outputs, "M")]
        if not set(sizes) >= _CONVOLUTION_DIMENSIONS or any(
            axis is not None and axis.size(graph.widths) != sizes[dimension] * split for axis, dimension in expected
        ):
            raise InputError(f"{layer.name}: a {layer.kind} whose channels don't follow the network's")
    return SizedLayer(layer, inputs, outputs, tuple(sorted(groups)))


def _group_of_heads(layer: Layer, graph: ChannelGraph) -> int | None:
    """Return the number of the group whose heads a product of a module multiplies; None: of none.

    Raises:
        InputError: when its products don't have as many heads.
    """
    for number, group in enumerate(graph.groups):
        owners = {maker.rpartition(".")[0] for maker in group.makers}
        if group.block > 1 and len(group.makers) > 1 and owners == set(layer.modules):
            shape = layer.problem.shape.dimensions
            if "G" not in shape or layer.problem.bound("G") % group.blocks:
                raise InputError(f"{layer.name}: a matrix product whose heads are not the {group.blocks} of its module")
            return number
    return None
