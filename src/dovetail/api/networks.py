"""Networks and layers from whatever a person has: a name, a path, a PyTorch module, an object of ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dovetail.api.given import check_count, kind_of
from dovetail.errors import InputError
from dovetail.workload.inputs import KINDS, NetworkInput, parse_input
from dovetail.workload.layer_table import bundled_names
from dovetail.workload.loading import load_layer, load_network_or_layer
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem
from dovetail.workload.problem_network import bare_network

#: What stands for a network: a name or path, a ``torch.nn.Module``, a function that makes one, or one of these values.
NetworkLike = Any
LayerLike = Any


def layers(
    model: NetworkLike, *, input: Any = None, batch: int | None = None, rename: Mapping[str, str] | None = None
) -> Network:
    """Return the layers of a network: what each computes, how often it runs, what costs nothing, what is not mapped.

    Args:
        model: a bundled network's name (``resnet18``, ``resnet18@32``), a torchvision or timm model's, or
            ``package.module:factory``; a file (``.onnx``, ``.pt2``, ``.csv``, ``.yaml``) or a folder of problems; one
            layer of these (``resnet18:fc``); a ``torch.nn.Module``, or a function that makes one (then its weights are
            never allocated).
        input: what the network takes: a tensor or a shape (a tuple of integers), or a tuple or dict of them for
            several arguments. For a name or file also the rows and columns of a square image, or texts such as
            ``1x3x48x320`` and ``1x128:int64``.
        batch: batch size; by default the input's, a file's own, else 1.
        rename: new names of dimensions and tensors, by their old ones.

    Raises:
        InputError: nothing answers to the name, the file is wrong, or the module cannot be run on the input.
        MissingExtraError: the source needs an extra (``torch``, ``onnx``) that is absent.

    >>> import dovetail
    >>> network = dovetail.layers("alexnet")
    >>> network
    <Network alexnet: 8 layers, 8 distinct, 714.2 million MACs, batch 1>
    >>> network.layer("3").name
    'features.6'
    """
    check_count("batch", batch)
    network = _network(model, input, batch)
    return network.renamed(rename) if rename else network


def _network(model: NetworkLike, taken: Any, batch: int | None) -> Network:
    if isinstance(model, Network | Layer | Problem):
        network = _of_object(model)
    elif isinstance(model, str | os.PathLike):
        size, inputs = _inputs(taken)
        return load_network_or_layer(_spec(model), batch=batch, input_size=size, inputs=inputs)
    else:
        network = _traced(model, taken)
    return network if batch is None else network.with_batch(batch)


def _of_object(value: Network | Layer | Problem) -> Network:
    if isinstance(value, Network):
        return value
    return Network(value.name, (value,)) if isinstance(value, Layer) else bare_network(value)


def _spec(model: str | os.PathLike[str]) -> str:
    """Return what `load_network` takes: a path always has its separator, so that it is no name."""
    if isinstance(model, str):
        return model
    path = os.fspath(model)
    return path if os.sep in path else f".{os.sep}{path}"


def _inputs(taken: Any) -> tuple[int | None, tuple[NetworkInput, ...]]:
    """Return the rows and columns of a square image, or every input, of what stands for either."""
    if taken is None or isinstance(taken, int):
        return taken, ()
    if isinstance(taken, Mapping):
        return None, tuple(replace(_input(each), name=str(name)) for name, each in taken.items())
    if _is_input(taken):
        return None, (_input(taken),)
    return None, tuple(map(_input, taken))


def _is_input(taken: Any) -> bool:
    """Return whether something is one input rather than several: a tensor, a shape, or a text such as 1x3x48x320."""
    return isinstance(taken, str) or hasattr(taken, "shape") or all(isinstance(size, int) for size in taken)


def _input(taken: Any) -> NetworkInput:
    if isinstance(taken, str):
        return parse_input(taken)
    kind = str(getattr(taken, "dtype", "")).removeprefix("torch.")
    shape = tuple(getattr(taken, "shape", taken))
    if not shape or not all(isinstance(size, int) for size in shape):
        raise InputError(f"an input is a tensor or a shape such as (1, 3, 224, 224), found {str(taken)[:60]!r}")
    return NetworkInput(shape, kind if kind in KINDS else "")


def _traced(model: Any, taken: Any) -> Network:
    """Trace a module, or what a function makes."""
    torch = sys.modules.get("torch")
    is_module = torch is not None and isinstance(model, torch.nn.Module)
    if not is_module and not callable(model):
        raise InputError(
            f"a network is a name, a path, a PyTorch module, a function that makes one, a Network, a Layer or a "
            f"Problem, found {kind_of(model)}"
        )
    if taken is None:
        raise InputError("say what the module takes: input=x, or a shape such as input=(1, 3, 224, 224)")
    from dovetail.workload.torch_trace import trace  # torch is an extra

    return trace(model, taken, name=getattr(model, "__name__", None))


def layer(
    given: LayerLike, *, input: Any = None, batch: int | None = None, rename: Mapping[str, str] | None = None
) -> Network:
    """Return a network of the one layer that something stands for; see `dovetail.map`.

    Raises:
        InputError: there is no such layer, or what is given has several.
    """
    check_count("batch", batch)
    if isinstance(given, str | os.PathLike):
        size, inputs = _inputs(input)
        problem = load_layer(_spec(given), batch=batch, input_size=size, inputs=inputs, rename=rename)
        return bare_network(problem)
    known = isinstance(given, Network | Layer | Problem) or callable(given)
    if not known:
        raise InputError(
            f"a layer is a name, a path, a Layer, a Problem, a PyTorch module or a Network of one layer, found "
            f"{kind_of(given)}"
        )
    network = layers(given, input=input, batch=batch, rename=rename)
    distinct = network.distinct()
    if len(distinct) != 1:
        raise InputError(f"{network.name} has {len(distinct)} different layers: take one, as network.layer('2')")
    return replace(network, layers=(replace(distinct[0], repeats=1),))


def networks() -> dict[str, tuple[int, ...]]:
    """Return the bundled networks, each with the sizes of image that it is there for.

    >>> import dovetail
    >>> dovetail.networks()["resnet18"]
    (224, 32)
    """
    return {name: tuple(sizes) for name, sizes in bundled_names().items()}
