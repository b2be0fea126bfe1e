"""A network as a file of Python that needs torch alone: its layers by name, and what its forward pass does.

The forward pass is what `torch.fx` sees of it, so a network whose code branches on its images has no such file. What is
written was run: its results are the network's, to rounding.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from dovetail.errors import InputError
from dovetail.text import printable
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("export of networks")

#: Names that torch.fx writes into every forward pass.
_USUAL = frozenset({"torch", "device", "inf", "nan", "NoneType", "fx_pytree", "pytree"})
#: Where layers stand whose text makes them again.
_LAYERS = "torch.nn.modules."

_SOURCE = '''"""{about}

Written by Dovetail; needs torch alone. The forward pass is that of evaluation.

    network = load("{weights}")
    classes = network(images)  # {images}
"""

from __future__ import annotations

from math import inf, nan

import torch
from torch import device, nn


class Network(nn.Module):
    """Layers under the names that the weights have."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def place(self, path: str, layer: nn.Module | nn.Parameter | torch.Tensor) -> None:
        """Put a layer, a weight or a constant at a path, which may lead through others."""
        *way, name = path.split(".")
        owner: nn.Module = self
        for step in way:
            if step not in owner._modules:
                owner.add_module(step, nn.Module())
            owner = owner._modules[step]
        if isinstance(layer, nn.Module):
            owner.add_module(name, layer)
        elif isinstance(layer, nn.Parameter):
            owner.register_parameter(name, layer)
        else:
            owner.register_buffer(name, layer)

{forward}

def load(weights: str = "{weights}") -> Network:
    """Return the network with these weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()
'''


def standalone_source(model: Any, shape: Sequence[int], about: str, weights: str) -> str:
    """Return the file.

    Args:
        model: in evaluation mode, on the CPU; it stays as it is.
        shape: of one input.
        about: the first line.
        weights: the file of its ``state_dict`` beside it.

    Raises:
        InputError: torch.fx cannot follow it, it has layers of its own, or what was written computes something else.
    """
    training = model.training
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = torch.fx.Tracer().trace(model.eval())
    except Exception as error:  # whatever its code does with what is no tensor yet
        raise InputError(f"torch.fx can't follow its code ({reason_of(error)})") from None
    finally:
        model.train(training)
    _without_drops(graph)
    for node in graph.nodes:
        node.type = None  # what annotations name is not there where the text is read
    code = graph.python_code("self")
    foreign = sorted(set(code.globals) - _USUAL)
    if foreign:
        raise InputError(f"its forward pass calls {', '.join(foreign[:3])}, which torch does not have")
    images = " x ".join(map(str, ("batch", *tuple(shape)[1:])))
    forward = "\n".join(f"    {line}" if line else "" for line in _forward(code.src).splitlines())
    source = _SOURCE.format(
        about=_words(about), weights=_words(weights), images=images, layers="\n".join(_layers(model, graph)),
        forward=forward,
    )  # fmt: skip
    _check(source, model, shape)
    return source


def reason_of(error: Exception) -> str:
    """Return what an error of torch's says first, behind its kind."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def _without_drops(graph: Any) -> None:
    """Take out torchvision's dropping of whole blocks, which does nothing in evaluation."""
    for node in list(graph.nodes):
        if (
            node.op == "call_function"
            and node.target.__name__ == "stochastic_depth"
            and False in (*node.args, node.kwargs.get("training"))
        ):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _words(text: str) -> str:
    """Return text that can stand in a documentation string."""
    return printable(text).replace("\\", "/").replace('"', "'")


def _forward(source: str) -> str:
    """Return the forward pass without what torch.fx notes beside it."""
    start = source.index("def forward")
    lines = (re.sub(r"  # .*$|;\s+\w+ = None(?: = \w+)*$|(?:; *\w+(?: = \w+)* = None)+ *$", "", line) for line in
             source[start:].splitlines())  # fmt: skip
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _layers(model: Any, graph: Any) -> Iterator[str]:
    """Yield what makes the layers, in the order in which the network has them: so does its ``state_dict``."""
    used = {node.target for node in graph.nodes if node.op in ("call_module", "get_attr")}
    owned = {name for name in model.state_dict() if not any(name.startswith(f"{path}.") for path in used)}
    for path, module in model.named_modules():
        if path in used:
            yield f"        self.place({path!r}, {_made(path, module)})"
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        if name in owned or name in used:
            bare = f"torch.empty({tuple(value.shape)!r}, dtype={value.dtype})"
            made = f"nn.Parameter({bare})" if isinstance(value, torch.nn.Parameter) else bare
            yield f"        self.place({name!r}, {made})"


def _made(path: str, module: Any) -> str:
    """Return what makes a layer of torch's own."""
    if not type(module).__module__.startswith(_LAYERS) or list(module.children()):
        raise InputError(f"its layer '{path}' is a {type(module).__name__}, which torch does not have")
    made = re.sub(r"padding=(same|valid)", r"padding='\1'", repr(module))
    if isinstance(module, torch.nn.modules.batchnorm._NormBase):
        made = made.replace("affine=True, bias=True", "affine=True")  # which earlier versions of torch do not know
    return f"nn.{made}"


def _check(source: str, model: Any, shape: Sequence[int]) -> None:
    """Run what was written beside the network."""
    names: dict[str, Any] = {"__name__": "network"}
    images = torch.randn((2, *tuple(shape)[1:]), generator=torch.Generator().manual_seed(0))
    training = model.training
    try:
        exec(compile(source, "network.py", "exec"), names)  # noqa: S102  our own text of the caller's own network
        again = names["Network"]()
        again.load_state_dict(model.state_dict())
        with torch.no_grad():
            found, right = again.eval()(images), model.eval()(images)
    except Exception as error:  # a layer whose text does not make it again
        raise InputError(f"its layers' texts don't make it again ({reason_of(error)})") from None
    finally:
        model.train(training)
    if not torch.allclose(found, right, rtol=1e-4, atol=1e-5):
        raise InputError("its layers' texts make another network")


__all__ = ["reason_of", "standalone_source"]
