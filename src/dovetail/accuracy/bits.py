"""Which layers of a network learn with narrow numbers, and how narrow: from widths as commands are given them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dovetail.errors import InputError
from dovetail.workload.network import Network
from dovetail.workload.widths import LayerBits, Width

#: Bits of a weight or an input that can be trained.
FEWEST_BITS, MOST_BITS = 2, 8
#: The tensors whose widths are trained, as problems name them; outputs are as wide as what reads them.
WEIGHTS, INPUTS = "Weights", "Inputs"


@dataclass(frozen=True)
class NarrowLayer:
    """How narrow one layer's numbers are.

    Attributes:
        path: of its module.
        weights: bits of a weight; None: floating point.
        inputs: bits of a value that it reads; None: floating point.
        signed: whether its inputs can be negative.
    """

    path: str
    weights: int | None
    inputs: int | None
    signed: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return everything but the path as plain data."""
        return {"weights": self.weights, "inputs": self.inputs, "signed": self.signed}

    def layer_bits(self) -> LayerBits:
        """Return the widths as networks take them."""
        given = {WEIGHTS: self.weights, INPUTS: self.inputs}
        return LayerBits(self.path, {name: Width(bits) for name, bits in given.items() if bits is not None})


#: Narrow layers in the order they run; what is not among them stays in floating point.
Plan = tuple[NarrowLayer, ...]


def make_plan(network: Network, given: Sequence[LayerBits], trainable: Collection[str]) -> Plan:
    """Return how narrow each layer is to be; where several widths speak of a tensor, the last one stands.

    Args:
        network: as it was traced; its layers' names are paths of modules.
        given: widths, of weights and inputs only.
        trainable: the paths of the modules that can have narrow numbers.

    Raises:
        InputError: a width cannot be trained, or speaks of a layer that cannot.
    """
    spread = [replace(one, widths=_of_both(one.widths)) for one in given]
    for one in spread:
        _check(one)
        spoken = [
            each.name
            for place, each in enumerate(network.layers)
            if one.speaks_of(each.name, place, len(network.layers)) and module_of(each.name) not in trainable
        ]
        if one.layer != "*" and spoken:
            raise InputError(
                f"{spoken[0]} cannot have narrow numbers: only weights of convolutions and linear layers are trained"
            )
    found: dict[str, NarrowLayer] = {}
    for layer in network.with_bits(_applicable(network, spread)).layers:
        path, problem = module_of(layer.name), layer.problem
        widths = dict(zip((tensor.name for tensor in problem.shape.tensors), problem.widths, strict=False))
        weights, inputs = widths.get(WEIGHTS), widths.get(INPUTS)
        if path not in trainable or (weights is None and inputs is None):
            continue
        narrow = NarrowLayer(path, weights.bits if weights else None, inputs.bits if inputs else None)
        if found.setdefault(path, narrow) != narrow:
            raise InputError(f"{path} runs several times; its widths must be the same each time")
    return tuple(found.values())


def module_of(layer: str) -> str:
    """Return the path of the module that a layer's name stands for, which a number follows where it runs again."""
    return re.sub(r":[0-9]+$", "", layer)


def _of_both(widths: Mapping[str, Width]) -> dict[str, Width]:
    """Return widths with ``*`` read as weights and inputs."""
    both = {WEIGHTS: widths["*"], INPUTS: widths["*"]} if "*" in widths else {}
    return both | {name: width for name, width in widths.items() if name != "*"}


def _check(one: LayerBits) -> None:
    for name, width in one.widths.items():
        if name.lower() not in (WEIGHTS.lower(), INPUTS.lower()):
            raise InputError(
                f"'{name[:40]}' is no tensor whose width is trained: write weights=4,inputs=8 (outputs are as wide as "
                "the inputs that read them, partial sums as wide as they must be)"
            )
        if width.scale_bits:
            raise InputError(f"{name}={width}: scales are one per channel of weights and one per tensor of inputs")
        if not FEWEST_BITS <= width.bits <= MOST_BITS:
            raise InputError(f"{name}={width}: numbers of {FEWEST_BITS} to {MOST_BITS} bits are trained")


def _applicable(network: Network, given: Sequence[LayerBits]) -> list[LayerBits]:
    """Return the widths for the network, those of its tensors that no layer has left out of widths for all."""
    known = {tensor.name.lower() for layer in network.layers for tensor in layer.problem.shape.tensors}
    found = [replace(one, widths={n: w for n, w in one.widths.items() if n.lower() in known}) for one in given]
    return [one for one in found if one.widths]


def plan_bits(plan: Plan) -> tuple[LayerBits, ...]:
    """Return the widths of a plan as `Network.with_bits` takes them."""
    return tuple(one.layer_bits() for one in plan)


def plan_label(plan: Plan) -> str:
    """Return a few letters for a plan that file names can hold: ``w4a8`` where all layers agree, else a range."""
    parts = []
    for letter, found in (("w", [one.weights for one in plan]), ("a", [one.inputs for one in plan])):
        known = sorted({bits for bits in found if bits is not None})
        if known:
            parts.append(f"{letter}{known[0]}" + (f"-{known[-1]}" if len(known) > 1 else ""))
    return "".join(parts) or "float"


def plan_to_json(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return a plan as plain data, by layer."""
    return {one.path: one.to_json() for one in plan}


def read_plan(content: Any, file: Path) -> Plan:
    """Read what `plan_to_json` wrote.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(content, dict):
        raise InputError("expected the bits of each layer", file=file, key="bits")
    found = []
    for path, one in content.items():
        fits = (
            isinstance(path, str)
            and isinstance(one, dict)
            and one.keys() == {"weights", "inputs", "signed"}
            and all(one[key] is None or type(one[key]) is int for key in ("weights", "inputs"))
            and all(one[key] is None or FEWEST_BITS <= one[key] <= MOST_BITS for key in ("weights", "inputs"))
            and type(one["signed"]) is bool
        )
        if not fits:
            raise InputError(f"expected weights, inputs and signed, found {str(one)[:80]}", file=file, key="bits")
        found.append(NarrowLayer(path, **one))
    return tuple(found)


__all__ = [
    "FEWEST_BITS",
    "MOST_BITS",
    "NarrowLayer",
    "Plan",
    "make_plan",
    "module_of",
    "plan_bits",
    "plan_label",
    "plan_to_json",
    "read_plan",
]
