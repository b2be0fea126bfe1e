"""What of a network may be turned: its channels, blocks, kernels, images and bits, as far as its graph allows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dovetail.errors import InputError
from dovetail.shrink.channels import ChannelGraph, Setting
from dovetail.shrink.depth import residual_blocks
from dovetail.shrink.discover import channel_graph
from dovetail.shrink.kernels import kernel_settings
from dovetail.shrink.narrow import TRIED, narrow_settings
from dovetail.shrink.resolution import FIXED_SIZE, resolution_setting
from dovetail.workload.torch_trace import trace
from dovetail.workload.widths import LayerBits

#: What is turned if the user does not say.
USUAL = ("channels", "depth")


def network_graph(
    model: Any,
    shape: tuple[int, ...],
    knobs: Sequence[str] | None = None,
    tried: Sequence[int] = TRIED,
    held: Sequence[LayerBits] = (),
    name: str | None = None,
) -> ChannelGraph:
    """Return what a network can lose: groups of channels, blocks, and what can be set lower.

    Args:
        model: the network; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
        knobs: of `dovetail.shrink.target.KNOBS`, what may be turned, all of which must be there; None: of `USUAL` what
            is there.
        tried: bits to choose from.
        held: bits that are not to be chosen.
        name: what to call the network; None: as its class.

    Raises:
        InputError: nothing can be turned, or nothing of a kind that was asked for; or as `narrow_settings` does.
        MissingExtraError: when Torch-Pruning is absent, and channels may be turned.
    """
    name = type(model).__name__ if name is None else name
    graph = _channels_and_blocks(model, shape, knobs, name)
    settings: list[Setting] = []
    unset: dict[str, str] = {}
    if knobs is not None and "resolution" in knobs:
        found = resolution_setting(model, shape)
        if found is None:
            raise _nothing(name, "resolution", FIXED_SIZE)
        settings.append(found)
    if knobs is not None and "kernel" in knobs:
        kernels, why = kernel_settings(model)
        if not kernels:
            raise _nothing(name, "kernel", next(iter(why.values()), "no convolution has more than one row or column"))
        settings += kernels
        unset |= {f"the kernel of {path}": reason for path, reason in why.items()}
    if knobs is not None and "bits" in knobs:
        bits, why = narrow_settings(model, trace(model, shape), tried, held)
        if not bits:
            raise _nothing(name, "bits", next(iter(why.values()), "it has no layers"))
        if all(len(setting.values) == 1 for setting in bits):
            raise _nothing(name, "bits", "everything has one number of bits, by --tried or --bits")
        settings += bits
        unset |= {f"the bits of {name}": reason for name, reason in why.items()}
    return replace(graph, settings=tuple(settings), unset=unset)


def _nothing(name: str, knob: str, why: str) -> InputError:
    return InputError(f"{name} has nothing for the knob {knob}: {why}; leave {knob} out of --knobs")


def _channels_and_blocks(
    model: Any, shape: tuple[int, ...], knobs: Sequence[str] | None, name: str
) -> ChannelGraph:  # fmt: skip
    blocks, left = residual_blocks(model, shape) if knobs is None or "depth" in knobs else ((), {})
    if knobs is not None and "depth" in knobs and not blocks:
        raise InputError(
            f"{name} has no block that can be left out: none of its modules adds what it makes to what "
            "it reads (an identity shortcut); leave depth out of --knobs"
        )
    if knobs is not None and "channels" not in knobs:
        return ChannelGraph((), (), left, blocks)
    try:
        graph = channel_graph(model, shape, name)
    except InputError as error:
        hint = "; --knobs depth leaves out whole blocks alone" if blocks else ""
        raise InputError(f"{error.message}{hint}") from None
    return replace(graph, blocks=blocks, left={**graph.left, **left})


__all__ = ["USUAL", "network_graph"]
