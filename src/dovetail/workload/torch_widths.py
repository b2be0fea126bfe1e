"""How wide values are in a PyTorch network of narrow numbers: what brevitas's and torchao's modules say of themselves.

Nothing is imported for it: a module of brevitas has ``weight_quant`` and ``input_quant``, each with a ``bit_width``; a
weight of torchao's is a tensor of a class of its own, whose integers have lowest and highest values or a type.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dovetail.workload.network import Network
from dovetail.workload.widths import MOST_BITS, Width

#: Integer types of torch by name.
_TYPE = re.compile(r"torch\.(?:u?int|quint)([0-9]+)")


def with_module_widths(network: Network, module: Any) -> Network:
    """Return a network with the widths that the modules it was read from say."""
    parts = dict(module.named_modules())
    found = {path: widths for path, part in parts.items() if (widths := _widths(part))}
    if not found:
        return network
    layers = []
    for layer in network.layers:
        path = re.sub(r":[0-9]+$", "", layer.name)
        own = {tensor.name for tensor in layer.problem.shape.tensors}
        here = {name: width for name, width in found.get(path, {}).items() if name in own}
        layers.append(replace(layer, problem=layer.problem.with_widths(here)) if here else layer)
    return replace(network, layers=tuple(layers)).with_read_outputs()


def _widths(part: Any) -> dict[str, Width]:
    found = {}
    for name, attribute in (("Weights", "weight_quant"), ("Inputs", "input_quant")):
        proxy = getattr(part, attribute, None)
        if getattr(proxy, "is_quant_enabled", False):
            found[name] = _width(_asked(proxy))
    weight = getattr(part, "weight", None)
    if "Weights" not in found:
        found["Weights"] = _of_tensor(weight)
    return {name: width for name, width in found.items() if width is not None}


def _asked(proxy: Any) -> Any:
    try:
        return proxy.bit_width()
    except Exception:  # a quantiser that has seen no data yet, or whose format has no bits
        return None


def _width(bits: Any) -> Width | None:
    try:
        whole = int(bits)
    except (TypeError, ValueError, RuntimeError):  # a tensor without values is no number
        return None
    return Width(whole) if 1 <= whole <= MOST_BITS else None


def _of_tensor(weight: Any) -> Width | None:
    """Return the width of a tensor of torchao's; None of any other."""
    if not type(weight).__module__.startswith("torchao."):
        return None
    low, high = getattr(weight, "quant_min", None), getattr(weight, "quant_max", None)
    if isinstance(low, int) and isinstance(high, int) and low < high:
        return Width((high - low).bit_length())
    named = _TYPE.fullmatch(str(getattr(weight, "target_dtype", getattr(getattr(weight, "qdata", None), "dtype", ""))))
    return _width(named[1]) if named else None
