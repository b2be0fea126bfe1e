"""Takes out of a network what it can lose: weights sliced, layers truly smaller or gone, nothing masked."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dovetail.errors import InputError
from dovetail.shrink.channels import KERNEL, RESOLUTION, Axis, ChannelGraph, Kept, is_inside
from dovetail.shrink.kernels import middle, padding_of, set_kernel
from dovetail.shrink.resolution import scale_images
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")
nn = torch.nn

#: Layers that mix channels by a kernel.
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
#: Layers that treat each channel by itself; all their tensors have channels as their one axis.
CHANNELWISE = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.PReLU)

#: ``in``, ``out`` and, for convolutions, ``groups``, and where their kernel is smaller its ``rows`` and ``columns``, as
#: they are written down.
Sizes = dict[str, int]


def prune(model: Any, graph: ChannelGraph, kept: Kept) -> Any:
    """Return a copy of the network with only what is kept, in floating point; weights of what stays are the same."""
    left = sliced(model.state_dict(), slices_of(graph, kept), gone_of(graph, kept), kernels_of(graph, kept))
    state = {name: value.detach().clone() for name, value in left.items()}
    smaller = resized(model, sizes_of(model, graph, kept), gone_of(graph, kept), image_of(graph, kept))
    assign(smaller, state)
    return smaller.train(model.training)


def assign(model: Any, state: Mapping[str, Any]) -> None:
    """Put tensors into a network by name, whatever its modules do when a ``state_dict`` is loaded."""
    for name, value in state.items():
        path, _, which = name.rpartition(".")
        module = model.get_submodule(path)
        old = getattr(module, which)
        is_weight = isinstance(old, nn.Parameter)
        setattr(module, which, nn.Parameter(value, old.requires_grad) if is_weight else value)


def gone_of(graph: ChannelGraph, kept: Kept) -> tuple[str, ...]:
    """Return the paths of the blocks that are left out."""
    return graph.left_out([len(each) for each in kept])


def kernels_of(graph: ChannelGraph, kept: Kept) -> dict[str, tuple[int, int]]:
    """Return the rows and columns of the convolutions whose kernels get smaller, by path."""
    return graph.lowered([len(each) for each in kept], KERNEL)


def image_of(graph: ChannelGraph, kept: Kept) -> tuple[int, int] | None:
    """Return the rows and columns that images are scaled to; None: they stay."""
    return next(iter(graph.lowered([len(each) for each in kept], RESOLUTION).values()), None)


def slices_of(graph: ChannelGraph, kept: Kept) -> dict[str, tuple[Any, Any]]:
    """Return per layer that stays the positions that stay on its input and its output side, None for all of them."""
    gone = gone_of(graph, kept)

    def index(axis: Axis | None) -> Any:
        if axis is None:
            return None
        positions = axis.positions(kept)
        return None if len(positions) == len(axis.owners) else torch.from_numpy(positions)

    return {
        path: (index(sides.get("in")), index(sides.get("out")))
        for path, sides in graph.by_module.items()
        if not _any_inside(path, gone)
    }


def _any_inside(path: str, blocks: Iterable[str]) -> bool:
    return any(is_inside(path, block) for block in blocks)


def sliced(
    state: Mapping[str, Any],
    slices: Mapping[str, tuple[Any, Any]],
    gone: Sequence[str] = (),
    kernels: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Return tensors by name with what stays of them; gradients flow through.

    Args:
        state: parameters and buffers by name, as ``state_dict`` and ``named_parameters`` name them.
        slices: what `slices_of` returned.
        gone: paths of blocks whose tensors are left out.
        kernels: what `kernels_of` returned.
    """
    smaller, kernels = {}, kernels or {}
    for name, value in state.items():
        path, _, which = name.rpartition(".")
        if _any_inside(path, gone):
            continue
        inputs, outputs = slices.get(path, (None, None))
        smaller[name] = _slice(value, which, inputs, outputs)
        if path in kernels and which == "weight":
            smaller[name] = middle(smaller[name], kernels[path])
    return smaller


def _slice(value: Any, which: str, inputs: Any, outputs: Any) -> Any:
    if value.ndim == 0:
        return value
    if outputs is not None:
        value = value.index_select(0, outputs.to(value.device))
    if inputs is not None and which == "weight" and value.ndim > 1:
        value = value.index_select(1, inputs.to(value.device))
    return value


def sizes_of(model: Any, graph: ChannelGraph, kept: Kept) -> dict[str, Sizes]:
    """Return the sizes of every layer that a group or a smaller kernel reaches and that is left, after pruning."""
    sizes, gone = {}, gone_of(graph, kept)
    for path, sides in graph.by_module.items():
        if _any_inside(path, gone):
            continue
        module = model.get_submodule(path)
        counts = {side: len(axis.positions(kept)) for side, axis in sides.items()}
        if isinstance(module, CHANNELWISE):
            sizes[path] = {"out": counts["out"]}
            continue
        is_linear = isinstance(module, nn.Linear)
        before = (module.in_features, module.out_features) if is_linear else (module.in_channels, module.out_channels)
        outputs = counts.get("out", before[1])
        sizes[path] = {"in": counts.get("in", before[0]), "out": outputs}
        if not is_linear:
            sizes[path]["groups"] = module.groups
            if module.groups > 1:  # whole groups came and went, on both sides
                sizes[path] |= {"in": outputs, "groups": outputs * module.groups // before[1]}
    for path, (rows, columns) in kernels_of(graph, kept).items():
        module = model.get_submodule(path)
        whole = {"in": module.in_channels, "out": module.out_channels, "groups": module.groups}
        sizes[path] = sizes.get(path, whole) | {"rows": rows, "columns": columns}
    return sizes


def resized(
    model: Any, sizes: Mapping[str, Sizes], gone: Iterable[str] = (), image: Sequence[int] | None = None
) -> Any:
    """Return a copy of the network whose layers have these sizes, its weights on the meta device.

    Args:
        model: the network.
        sizes: of layers, by path.
        gone: paths of blocks in whose place stands what hands on what it reads.
        image: rows and columns that the network scales its images to; None: none.

    Raises:
        InputError: when the network has no such layer or block, or a layer of another kind.
    """
    smaller = without_weights(model)
    for path in gone:
        leave_out(smaller, path)
    for path, size in sizes.items():
        try:
            module = smaller.get_submodule(path)
        except AttributeError:
            raise InputError(f"the network has no layer '{path}'") from None
        if not isinstance(module, (*CONVOLUTIONS, *CHANNELWISE, nn.Linear)):
            raise InputError(f"'{path}' is a {type(module).__name__}, which has no channels to remove")
        _check_sizes(path, module, size)
        _resize(module, size)
    if image is not None:
        scale_images(smaller, image)
    return smaller


def leave_out(model: Any, path: str) -> Any:
    """Put what hands on what it reads into a block's place, and return the block."""
    parent, _, name = path.rpartition(".")
    try:
        owner, block = model.get_submodule(parent), model.get_submodule(path)
    except AttributeError:
        raise InputError(f"the network has no block '{path}'", key="left_out") from None
    if not path:
        raise InputError("a network is no block of itself", key="left_out")
    setattr(owner, name, nn.Identity())
    return block


def _check_sizes(path: str, module: Any, size: Sizes) -> None:
    """Refuse sizes that a layer can't take: one it needs is missing, more than it has, or no whole groups."""
    own = {"out": module.num_features if hasattr(module, "num_features") else getattr(module, "num_parameters", None)}
    if isinstance(module, nn.Linear):
        own = {"in": module.in_features, "out": module.out_features}
    elif isinstance(module, CONVOLUTIONS):
        own = {"in": module.in_channels, "out": module.out_channels, "groups": module.groups}
    for side, most in own.items():
        if side not in size:
            raise InputError(f"the layer '{path}' needs its size '{side}'")
        if most is not None and not 1 <= size[side] <= most:
            raise InputError(f"the layer '{path}': '{side}: {size[side]}' is not between 1 and the network's {most}")
    groups = size.get("groups", 1)
    if "groups" in own and (size["in"] % groups or size["out"] % groups):
        raise InputError(f"the layer '{path}': {size['in']} to {size['out']} channels don't part into {groups} groups")
    if "rows" in size or "columns" in size:
        _check_kernel(path, module, size)


def _check_kernel(path: str, module: Any, size: Sizes) -> None:
    form = (size.get("rows", 0), size.get("columns", 0))
    own = getattr(module, "kernel_size", ())
    is_middle = len(own) == 2 and all(
        1 <= less <= more and (more - less) % 2 == 0 for less, more in zip(form, own, strict=True)
    )
    if not is_middle or padding_of(module, form) is None:
        raise InputError(
            f"the layer '{path}': a kernel of {form[0]} rows and {form[1]} columns is no middle of the network's"
        )


def without_weights(model: Any) -> Any:
    """Return a copy whose weights are on the meta device: nothing is allocated for them."""
    memo: dict[int, Any] = {}
    for value in model.state_dict(keep_vars=True).values():
        bare = torch.empty_like(value, device="meta")
        memo[id(value)] = nn.Parameter(bare, value.requires_grad) if isinstance(value, nn.Parameter) else bare
    return copy.deepcopy(model, memo)


def _resize(module: Any, size: Sizes) -> None:
    """Give one layer its sizes, and tensors of these shapes on the meta device."""
    outputs = size["out"]
    if isinstance(module, CHANNELWISE):
        for name, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if value.ndim:
                _empty(module, name, (outputs,))
        if hasattr(module, "num_features"):
            module.num_features = outputs
        else:
            module.num_parameters = outputs
        return
    inputs = size["in"]
    if isinstance(module, nn.Linear):
        module.in_features, module.out_features = inputs, outputs
        shape: tuple[int, ...] = (outputs, inputs)
    else:
        groups = size["groups"]
        module.in_channels, module.out_channels, module.groups = inputs, outputs, groups
        if "rows" in size:
            set_kernel(module, (size["rows"], size["columns"]))
        shape = (outputs, inputs // groups, *module.kernel_size)
    _empty(module, "weight", shape)
    if module.bias is not None:
        _empty(module, "bias", (outputs,))


def _empty(module: Any, name: str, shape: tuple[int, ...]) -> None:
    old = getattr(module, name)
    new = torch.empty(shape, dtype=old.dtype, device="meta")
    setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)


__all__ = [
    "CHANNELWISE",
    "CONVOLUTIONS",
    "assign",
    "gone_of",
    "image_of",
    "kernels_of",
    "leave_out",
    "prune",
    "resized",
    "sizes_of",
    "sliced",
    "slices_of",
    "without_weights",
]
