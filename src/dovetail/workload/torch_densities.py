"""Measures where zeros are: of a PyTorch network's weights in their tensors, of its activations on real inputs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError
from dovetail.workload.densities import DENSE, Density, FixedStructured, Hypergeometric
from dovetail.workload.density_yaml import read_array
from dovetail.workload.layer_densities import Samples, layer_with
from dovetail.workload.network import Network
from dovetail.workload.torch_models import user_factory
from dovetail.workload.torchvision_import import import_torch

#: Inputs that are run at a time.
_AT_ONCE = 32
#: Sizes of groups, along input channels, in which every weight tensor is looked at for as many non-zero values each.
_GROUPS = (4, 8)


def with_measured(network: Network, spec: str, data: Path | Samples) -> Network:
    """Return a network with the densities of its layers, measured.

    Inputs are those that arrive at a layer's module, over all runs of it; outputs are what the layers that read them
    find, so activations and pooling in between are done; where somebody else reads them, they stay as they are.
    Weights with as many non-zero values in every group of four or eight input channels are structured.

    Args:
        network: as it was read from ``spec``.
        spec: ``package.module:factory`` or ``file.py:factory``, which makes the network with its weights.
        data: a ``.npy`` file of inputs, the first axis over inputs; or what reads such.

    Raises:
        InputError: the network has no weights here, the file holds no such inputs, or the network does not take them.
    """
    if ":" not in spec:
        raise InputError(
            f"{spec or network.name} comes without weights, so nothing can be measured of it: give a function of yours "
            f"that makes the network with its weights, as file.py:factory"
        )
    torch = import_torch("measuring densities")
    module = user_factory(spec)()
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"'{spec}' makes a {type(module).__name__}, not a network of PyTorch")
    file = data if isinstance(data, Path) else Path(data.name)
    inputs = _inputs(data) if isinstance(data, Path) else data.read()
    try:
        return measured(network, module, inputs)
    except InputError as error:
        raise error.placed(file) from None


def measured(network: Network, module: Any, inputs: NDArray[Any]) -> Network:
    """Return a network with the densities of its layers, measured as `with_measured` does.

    Args:
        network: as it was traced from ``module``.
        module: with its weights; in evaluation mode while it runs.
        inputs: ``(inputs, ...)``, as the module takes them.

    Raises:
        InputError: it does not take them.
    """
    torch = import_torch("measuring densities")
    counted, met = Counter[str](), Counter[str]()
    with _evaluated(module), torch.no_grad(), _counting(module, counted, met):
        for start in range(0, len(inputs), _AT_ONCE):
            try:
                module(torch.from_numpy(inputs[start : start + _AT_ONCE]))
            except Exception as error:  # whatever the network's code raises
                shape = "x".join(map(str, inputs.shape))
                first = str(error).strip().splitlines()[:1]
                raise InputError(f"can't run {network.name} on inputs of {shape}: {' '.join(first)}") from None
    parts, layers = dict(module.named_modules()), []
    for layer in network.layers:
        path = re.sub(r":[0-9]+$", "", layer.name)
        found: dict[str, Density] = {}
        if met[path]:
            found["Inputs"] = _scattered(counted[path] / met[path])
            found["Weights"] = weight_density(parts[path].weight.detach().numpy())
        own = {tensor.name for tensor in layer.problem.shape.tensors}
        layers.append(layer_with(layer, {name: each for name, each in found.items() if name in own}))
    return _outputs_as_read(replace(network, layers=tuple(layers)))


def weight_density(weights: Any) -> Density:
    """Return the density of a weight tensor, ``(out channels, in channels, ...)``: structured where its groups are."""
    nonzero = np.asarray(weights) != 0
    share = float(nonzero.mean()) if nonzero.size else 1.0
    channels = nonzero.shape[1] if nonzero.ndim > 1 else 1
    for group in _GROUPS:
        if share < 1 and channels % group == 0:
            held = np.moveaxis(nonzero, 1, -1).reshape(-1, group).sum(axis=1)
            if held.min() == held.max():
                return FixedStructured(int(held[0]) / group)
    return _scattered(share)


def _scattered(share: float) -> Density:
    return DENSE if share == 1 else Hypergeometric(share)


def _inputs(data: Path) -> Any:
    inputs = np.asarray(read_array(data))
    if inputs.dtype.kind == "c" or inputs.ndim < 1 or not inputs.size:
        raise InputError("is no array of inputs: real numbers, the first axis over inputs", file=data)
    return inputs.astype(np.float32) if inputs.dtype.kind == "f" else np.array(inputs)


@contextmanager
def _evaluated(module: Any) -> Iterator[None]:
    """Have a network in evaluation mode; afterwards every part is in its own again."""
    before = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training


@contextmanager
def _counting(module: Any, counted: Counter[str], met: Counter[str]) -> Iterator[None]:
    """Count non-zero and all values that arrive at the parts that have a weight tensor, by their paths."""

    def note(path: str) -> Callable[[Any, Any], None]:
        def seen(part: Any, taken: Any) -> None:
            if taken and hasattr(taken[0], "count_nonzero"):
                counted[path] += int(taken[0].count_nonzero())
                met[path] += int(taken[0].numel())

        return seen

    handles = [
        part.register_forward_pre_hook(note(path))
        for path, part in module.named_modules()
        if getattr(getattr(part, "weight", None), "ndim", 0) > 1
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _outputs_as_read(network: Network) -> Network:
    """Return a network whose outputs are as dense as the densest input that reads them, where only layers do."""
    inputs = {layer.name: layer.problem for layer in network.layers}
    read: dict[str, list[Density | None]] = {}
    for producer, consumer in network.edges:
        problem = inputs.get(consumer)
        known = problem is not None and any(tensor.name == "Inputs" for tensor in problem.shape.tensors)
        read.setdefault(producer, []).append(problem.density("Inputs") if problem is not None and known else None)
    layers = []
    for layer in network.layers:
        found = read.get(layer.name, [None])
        shares = [each.share for each in found if isinstance(each, FixedStructured | Hypergeometric)]
        if len(shares) == len(found):
            outputs = [tensor.name for tensor in layer.problem.shape.tensors if tensor.is_output]
            layer = layer_with(layer, dict.fromkeys(outputs, _scattered(max(shares))))  # noqa: PLW2901
        layers.append(layer)
    return replace(network, layers=tuple(layers))
