"""Narrow numbers as something to search over: whose bits can be chosen, and rounding while a supernet is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.accuracy.bits import MOST_BITS, NarrowLayer, Plan, make_plan, module_of
from dovetail.accuracy.quantised import channel_axis, trainable
from dovetail.errors import InputError
from dovetail.shrink.channels import INPUT_BITS, WEIGHT_BITS, ChannelGraph, Setting
from dovetail.workload.network import Network
from dovetail.workload.torchvision_import import import_torch
from dovetail.workload.widths import LayerBits, Width

torch = import_torch("shrinking networks")

#: Bits to choose from, if the user does not say.
TRIED = (8, 4)
#: Why a layer's numbers stay as wide as the design's words.
NOT_TRAINED = "only weights of convolutions and linear layers learn with narrow numbers"
#: By bits, root mean squares of values up to which they reach, with a sign and without one: rounds normally distributed
#: values, and those of them above zero, with the least squared error (over 200,000 drawn ones).
_SIGNED = {2: 1.2, 3: 1.95, 4: 2.45, 5: 2.9, 6: 3.25, 7: 3.6, 8: 3.9}
_UNSIGNED = {2: 2.75, 3: 3.45, 4: 4.1, 5: 4.6, 6: 5.0, 7: 5.35, 8: 5.7}


def narrow_settings(
    model: Any, network: Network, tried: Sequence[int] = TRIED, held: Sequence[LayerBits] = ()
) -> tuple[tuple[Setting, ...], dict[str, str]]:
    """Return the bits that can be chosen, and the layers that keep the design's words, with the reason.

    Every layer's weights have bits of their own. Layers whose inputs come from one tensor read it at the same bits, so
    that what a layer makes is as wide as one setting says.

    Args:
        model: the network.
        network: its layers, as traced.
        tried: bits to choose from.
        held: widths that are not to be chosen.

    Raises:
        InputError: what is held names no layer, can't be trained, or differs among the readers of one tensor.
    """
    own = trainable(model)
    full = make_plan(network, [LayerBits("*", {"*": Width(MOST_BITS)})], own)
    kept = {one.path: one for one in (make_plan(network, held, own) if held else ())}
    options = tuple(sorted(set(tried), reverse=True))
    settings = []
    for one in full:
        bits = kept[one.path].weights if one.path in kept else None
        settings.append(Setting(WEIGHT_BITS, one.path, options if bits is None else (bits,), (one.path,)))
    for paths in _reading_together(network, [one.path for one in full]):
        said = {kept[path].inputs for path in paths if path in kept} - {None}
        if len(said) > 1:
            raise InputError(f"{', '.join(paths[:4])} read one tensor, so their inputs have the same bits")
        bits = next(iter(said), None)
        settings.append(Setting(INPUT_BITS, paths[0], options if bits is None else (bits,), paths))
    known = {one.path for one in full}
    unset = {layer.name: NOT_TRAINED for layer in network.layers if module_of(layer.name) not in known}
    return tuple(settings), unset


def _reading_together(network: Network, paths: Sequence[str]) -> list[tuple[str, ...]]:
    """Return layers by their paths, together those that read what one layer makes."""
    leader = {path: path for path in paths}

    def find(path: str) -> str:
        while leader[path] != path:
            path = leader[path]
        return path

    readers: dict[str, str] = {}
    for producer, consumer in network.edges:
        if (path := module_of(consumer)) in leader:
            first = readers.setdefault(producer, path)
            earlier, later = sorted((find(first), find(path)), key=paths.index)
            leader[later] = earlier
    together: dict[str, list[str]] = {}
    for path in paths:
        together.setdefault(find(path), []).append(path)
    return [tuple(each) for each in together.values()]


def plan_at(graph: ChannelGraph, widths: Sequence[int]) -> Plan:
    """Return how narrow each layer is at some widths, as far as known before calibration; empty where bits stay."""
    weights = graph.set_to(widths, WEIGHT_BITS)
    inputs = {
        path: value
        for setting, value in zip(graph.settings, widths[graph.first_setting :], strict=True)
        if setting.kind == INPUT_BITS and value
        for path in setting.paths
    }
    return tuple(NarrowLayer(path, bits, inputs[path]) for path, bits in weights.items())


def rounded_weights(module: Any, weight: Any, bits: int) -> Any:
    """Return a layer's weights as so many bits hold them, one scale per output channel; gradients pass straight on."""
    others = [axis for axis in range(weight.ndim) if axis != channel_axis(module)]
    most = 2 ** (bits - 1) - 1
    return _rounded(weight, -most, most, _SIGNED[bits], others)


def rounded_inputs(values: Any, bits: int) -> Any:
    """Return what a layer reads as so many bits hold it, one scale for all; without a sign where none is negative."""
    if bool((values.detach() < 0).any()):
        return _rounded(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, _SIGNED[bits], None)
    return _rounded(values, 0, 2**bits - 1, _UNSIGNED[bits], None)


def _rounded(values: Any, lowest: int, highest: int, reach: float, over: Sequence[int] | None) -> Any:
    """Return values rounded to multiples of a scale; the scale is that of this batch, and not learned."""
    still = values.detach()
    axes = list(range(still.ndim)) if over is None else list(over)
    top = still.abs().amax(dim=axes, keepdim=True)
    scale = torch.minimum(top, reach * still.square().mean(dim=axes, keepdim=True).sqrt()).clamp_min(1e-8) / highest
    low, high = scale * lowest, scale * highest
    inside = torch.where(values > high, high, torch.where(values < low, low, values))  # no gradient to what is cut off
    return inside + ((inside.detach() / scale).round() * scale - inside.detach())


def narrow_inputs(model: Any, bits: Mapping[str, int]) -> list[Any]:
    """Let layers, by their paths, round what they read; returns handles, each of which takes it back by `remove`."""

    def hook(of: int) -> Any:
        return lambda _module, given: (rounded_inputs(given[0], of), *given[1:])

    return [model.get_submodule(path).register_forward_pre_hook(hook(of)) for path, of in bits.items()]


__all__ = [
    "NOT_TRAINED",
    "TRIED",
    "narrow_inputs",
    "narrow_settings",
    "plan_at",
    "rounded_inputs",
    "rounded_weights",
]
