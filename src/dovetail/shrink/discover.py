"""Finds a network's channel groups: Torch-Pruning follows channels through its graph, a trial run confirms them.

Modules may say themselves which channels go together: ``channel_groups()`` returns, per group, how many channels go at
a time and the sides (``out`` or ``in``) of the module's own layers that lose them. Where any module does, these are all
the groups: attention, whose heads go whole, is followed in no other way.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError, MissingExtraError
from dovetail.shrink.channels import FIXED, Axis, ChannelGraph, ChannelGroup
from dovetail.shrink.prune import CHANNELWISE, CONVOLUTIONS, prune, without_weights
from dovetail.text import first_line
from dovetail.workload.network import Network
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")


#: Why a layer keeps the channels that it makes.
OUTPUT = "they are the network's output"
SCATTERED = "they don't keep to places of their own (reshaped, split, or parted in groups on one side)"
DISPUTED = "two groups of channels claim the same places"
FAILING = "the network fails, or returns something else, without some of them"
UNSEEN = "they can't be followed through the network"
UNDECLARED = "no module says what goes with them, where others do"


@dataclass
class _Draft:
    """A group as it is found: its root's channels, and per (module, side) positions with the channel of each.

    What it reaches that we can't slice, if anything, is in ``stop``.
    """

    name: str
    channels: int
    members: dict[tuple[str, str], tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)
    block: int = 1
    stop: str | None = None


def channel_graph(model: Any, shape: tuple[int, ...], name: str | None = None) -> ChannelGraph:
    """Return the channel groups that can shrink.

    What cannot be followed stays as it is: groups that reach the network's output or an operation that is not
    understood, and groups without which a trial run fails.

    Args:
        model: the network; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
        name: what to call it; None: as its class.

    Raises:
        InputError: when nothing can shrink, or the network is not made of convolutions and linear layers.
        MissingExtraError: when Torch-Pruning is absent.
    """
    name = type(model).__name__ if name is None else name
    network = trace(model, shape)
    bare = without_weights(model).eval().requires_grad_(True)
    declared = list(_declared(bare))
    if not declared and any(layer.kind == "matrix product" for layer in network.layers):
        raise InputError(
            f"{name} multiplies activations by activations (attention); shrinking follows channels through "
            "convolutions, linear layers, normalisation, additions and concatenations only, or as modules say "
            "(channel_groups)"
        )
    left: dict[str, str] = {}
    drafts = declared or _joined(_drafts(bare, shape, _outputs(network), left), bare)
    drafts = _kept(drafts, [_is_regular(draft, bare) for draft in drafts], left, SCATTERED)
    disputed = _disputed(drafts)
    drafts = _kept(drafts, [number not in disputed for number in range(len(drafts))], left, DISPUTED)
    graph = _graph(drafts, bare)
    if graph.groups and not _runs(bare, graph, shape):
        drafts = _kept(drafts, [_runs(bare, _graph([draft], bare), shape) for draft in drafts], left, FAILING)
        graph = _graph(drafts, bare)
    graph = replace(graph, left=_left(bare, graph, left, UNDECLARED if declared else UNSEEN))
    if not graph.groups:
        why = "; ".join(f"{path}: {reason}" for path, reason in list(graph.left.items())[:3])
        raise InputError(f"{name} has no channels that can be removed without changing what it takes or returns: {why}")
    return graph


def _kept(drafts: Sequence[_Draft], stay: Sequence[bool], left: dict[str, str], why: str) -> list[_Draft]:
    """Return the groups that stay, and note why the others do not."""
    for draft in (draft for draft, stays in zip(drafts, stay, strict=True) if not stays):
        _note(left, draft, why)
    return [draft for draft, stays in zip(drafts, stay, strict=True) if stays]


def _note(left: dict[str, str], draft: _Draft, why: str) -> None:
    for path in [draft.name, *(path for path, side in draft.members if side == "out")]:
        left.setdefault(path, why)


def _left(bare: Any, graph: ChannelGraph, reasons: Mapping[str, str], else_: str) -> dict[str, str]:
    """Return why each layer that makes channels, of which no group takes any away, keeps them."""
    made = {axis.module for axis in graph.axes if axis.side == "out"}
    return {
        path: reasons.get(path, else_)
        for path, module in bare.named_modules()
        if isinstance(module, (*CONVOLUTIONS, torch.nn.Linear)) and path not in made
    }


def _outputs(network: Network) -> set[str]:
    """Return the layers whose channels are the network's own outputs."""
    return {producer.partition(":")[0] for producer, consumer in network.edges if consumer == "output"}


def _declared(bare: Any) -> Iterator[_Draft]:
    """Yield the groups that modules declare.

    Raises:
        InputError: one declares what cannot be.
    """
    for path, module in bare.named_modules():
        if not callable(getattr(module, "channel_groups", None)):
            continue
        try:
            said = [
                (int(block), [(str(name), str(side)) for name, side in sides])
                for block, sides in module.channel_groups()
            ]
        except Exception as error:  # the user's code may raise, or return, anything
            raise InputError(f"channel_groups of '{path}' fails: {type(error).__name__}: {error}") from None
        for block, sides in said:
            yield _declared_group(bare, path, block, sides)


def _declared_group(bare: Any, path: str, block: int, sides: Sequence[tuple[str, str]]) -> _Draft:
    members, sizes = {}, set()
    for name, side in sides:
        of = f"{path}.{name}" if path else name
        try:
            layer = bare.get_submodule(of)
        except AttributeError:
            layer = None
        if not isinstance(layer, torch.nn.Linear) or side not in ("in", "out"):
            raise InputError(f"channel_groups of '{path}': '{name}', '{side}' is no side of a linear layer of its own")
        size = _size(layer, side)
        sizes.add(size)
        members[of, side] = (np.arange(size), np.arange(size))
    makers = [of for of, side in members if side == "out"]
    if len(sizes) != 1 or not makers or block < 1 or next(iter(sizes)) % block:
        raise InputError(f"channel_groups of '{path}': its sides have {sorted(sizes)} channels, {block} at a time")
    return _Draft(makers[0], sizes.pop(), members, block)


def _drafts(bare: Any, shape: tuple[int, ...], outputs: set[str], left: dict[str, str]) -> Iterable[_Draft]:
    """Yield groups as Torch-Pruning finds them; those that reach what we don't understand are noted in ``left``."""
    if importlib.util.find_spec("torch_pruning") is None:
        raise MissingExtraError("shrinking networks", "torch")
    paths = {id(module): path for path, module in bare.named_modules()}
    silence = contextlib.redirect_stdout(io.StringIO())
    try:
        with warnings.catch_warnings(), silence:
            warnings.simplefilter("ignore")
            pruning = importlib.import_module("torch_pruning")
            graph = pruning.DependencyGraph()
            graph.build_dependency(bare, example_inputs=torch.zeros(shape, device="meta"))
            found = list(graph.get_all_groups(root_module_types=[*CONVOLUTIONS, torch.nn.Linear]))
    except Exception as error:  # it raises what it meets: type, index, arithmetic errors
        reason = first_line(error)
        raise InputError(
            f"the channels of {type(bare).__name__} can't be followed ({type(error).__name__}: {reason})"
        ) from None
    for group in found:
        draft = _draft(group, graph, paths)
        if draft is None:
            continue
        if draft.stop is not None:
            _note(left, draft, draft.stop)
        elif any(path in outputs and side == "out" for path, side in draft.members):
            _note(left, draft, OUTPUT)
        else:
            yield draft


def _draft(group: Any, graph: Any, paths: dict[int, str]) -> _Draft | None:
    """Return one group with its members, and what it reaches that we can't slice; None when it starts from nowhere."""
    root = paths.get(id(group[0].dep.target.module))
    if root is None:
        return None
    draft = _Draft(root, len(group[0].idxs))
    for item in group:
        module = item.dep.target.module
        path = paths.get(id(module))
        if path is None:
            if isinstance(module, torch.nn.Parameter):
                draft.stop = draft.stop or "its channels meet a weight that belongs to no layer"
            continue  # an operation between layers
        if isinstance(module, torch.nn.PReLU) and module.num_parameters == 1:
            continue  # one slope for all channels
        if not isinstance(module, (*CONVOLUTIONS, *CHANNELWISE, torch.nn.Linear)):
            draft.stop = draft.stop or f"its channels reach '{path}', a {type(module).__name__}, which is not cut"
            continue
        side = "out" if graph.is_out_channel_pruning_fn(item.dep.handler) or isinstance(module, CHANNELWISE) else "in"
        positions, channels = np.asarray(item.idxs, np.int64), np.asarray(item.root_idxs, np.int64)
        before = draft.members.get((path, side))
        if before is not None:
            positions, channels = np.concatenate([before[0], positions]), np.concatenate([before[1], channels])
        draft.members[path, side] = (positions, channels)
    return draft


def _joined(drafts: Iterable[_Draft], bare: Any) -> list[_Draft]:
    """Put together what a grouped convolution takes and what it makes: whole groups of it come and go."""
    found = {(path, side): draft for draft in drafts for path, side in draft.members}
    for path, module in bare.named_modules():
        if isinstance(module, CONVOLUTIONS) and module.groups > 1 and module.in_channels == module.out_channels:
            before, behind = found.get((path, "in")), found.get((path, "out"))
            if before is None or behind is None or before is behind or before.channels != behind.channels:
                continue
            before.members |= {key: value for key, value in behind.members.items() if key not in before.members}
            found |= dict.fromkeys(behind.members, before)
    return list({id(draft): draft for draft in found.values()}.values())


def _is_regular(draft: _Draft, bare: Any) -> bool:
    """Whether every position has one channel, and every channel as many positions as the others; sets the block."""
    for key, (positions, channels) in draft.members.items():
        pairs = np.unique(np.stack([positions, channels]), axis=1)
        counts = np.bincount(pairs[1], minlength=draft.channels)
        if len(np.unique(pairs[0])) != pairs.shape[1] or counts.min() != counts.max() or counts.min() < 1:
            return False
        draft.members[key] = (pairs[0], pairs[1])
    for path in dict.fromkeys(path for path, _ in draft.members):
        module = bare.get_submodule(path)
        if isinstance(module, CONVOLUTIONS) and module.groups > 1:
            block = _block(draft, path, module)
            if block is None:
                return False
            draft.block = int(np.lcm(draft.block, block))
    return draft.channels % draft.block == 0 and draft.channels // draft.block > 1


def _block(draft: _Draft, path: str, module: Any) -> int | None:
    """Return the channels of one group of a grouped convolution; None when its two sides don't go together."""
    if module.in_channels != module.out_channels:
        return None
    sides = [draft.members[path, side] for side in ("in", "out") if (path, side) in draft.members]
    if len(sides) < 2 and module.groups != module.in_channels:
        return None  # its other side is somebody else's
    whole = np.arange(module.in_channels)
    if not all(np.array_equal(part, whole) for side in sides for part in side):
        return None
    draft.members.pop((path, "in"), None)  # the one axis stands for both
    draft.members[path, "out"] = (whole, whole)
    return int(module.in_channels // module.groups)


def _disputed(drafts: Sequence[_Draft]) -> set[int]:
    """Return the numbers of groups that claim a position which another group claims, too."""
    claims: dict[tuple[str, str], list[tuple[int, NDArray[np.int64]]]] = {}
    for number, draft in enumerate(drafts):
        for key, (positions, _) in draft.members.items():
            claims.setdefault(key, []).append((number, positions))
    disputed: set[int] = set()
    for claimed in claims.values():
        for at, (first, positions) in enumerate(claimed):
            disputed |= {
                each for second, others in claimed[at + 1 :] if np.intersect1d(positions, others).size
                for each in (first, second)
            }  # fmt: skip
    return disputed


def _graph(drafts: Sequence[_Draft], bare: Any) -> ChannelGraph:
    """Put the groups together, in the order of the modules that make them."""
    order = {path: number for number, (path, _) in enumerate(bare.named_modules())}
    makers = [[path for path, side in draft.members if _makes(bare, path, side)] for draft in drafts]
    makers = [sorted(paths, key=order.__getitem__) for paths in makers]
    ranked = sorted(range(len(drafts)), key=lambda number: order[makers[number][0]])
    groups = tuple(ChannelGroup(makers[n][0], drafts[n].channels, drafts[n].block, tuple(makers[n])) for n in ranked)
    owners: dict[tuple[str, str], NDArray[np.int64]] = {}
    channels: dict[tuple[str, str], NDArray[np.int64]] = {}
    for number, place in enumerate(ranked):
        for key, (positions, of) in drafts[place].members.items():
            size = _size(bare.get_submodule(key[0]), key[1])
            owners.setdefault(key, np.full(size, FIXED, np.int64))[positions] = number
            channels.setdefault(key, np.zeros(size, np.int64))[positions] = of
    keys = sorted(owners, key=lambda key: (order[key[0]], key[1]))
    return ChannelGraph(groups, tuple(Axis(*key, owners[key], channels[key]) for key in keys))


def _makes(bare: Any, path: str, side: str) -> bool:
    module = bare.get_submodule(path)
    if side != "out" or isinstance(module, CHANNELWISE):
        return False
    return not (isinstance(module, CONVOLUTIONS) and module.groups > 1)


def _size(module: Any, side: str) -> int:
    """Return the positions on one side of a layer."""
    if isinstance(module, CONVOLUTIONS):
        return int(module.in_channels if side == "in" else module.out_channels)
    if isinstance(module, torch.nn.Linear):
        return int(module.in_features if side == "in" else module.out_features)
    return int(module.num_features if hasattr(module, "num_features") else module.weight.shape[0])


def _runs(bare: Any, graph: ChannelGraph, shape: tuple[int, ...]) -> bool:
    """Whether the network, about half as wide, still runs and returns what it returned."""
    order = [np.arange(group.blocks) for group in graph.groups]
    half = graph.kept([group.nearest(group.channels / 2) for group in graph.groups], order)
    image = torch.zeros(shape, device="meta")
    with torch.no_grad():
        try:
            return bool(prune(bare, graph, half)(image).shape == bare(image).shape)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError):
            return False


__all__ = ["channel_graph"]
