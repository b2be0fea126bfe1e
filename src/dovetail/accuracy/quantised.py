"""Networks whose weights and inputs are narrow integers times a scale, by brevitas; and what they hold of them.

Weights have a scale per output channel and take 2^b - 1 values around 0; inputs have one scale per tensor, and all 2^b
values, none negative where the input never is. Scales and weights are trained; rounding passes gradients straight on.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dovetail.accuracy import checkpoint
from dovetail.accuracy.bits import NarrowLayer, Plan, plan_label, plan_to_json
from dovetail.errors import InputError, MissingExtraError
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("narrow numbers")
nn = torch.nn

#: Module -> the brevitas module in its place. Other classes derived from these are left alone: their code may differ.
_KINDS = {
    nn.Conv1d: "QuantConv1d",
    nn.Conv2d: "QuantConv2d",
    nn.Conv3d: "QuantConv3d",
    nn.ConvTranspose1d: "QuantConvTranspose1d",
    nn.ConvTranspose2d: "QuantConvTranspose2d",
    nn.Linear: "QuantLinear",
}
_SIZES = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_QUANTISERS = (".weight_quant.", ".input_quant.")


@dataclass(frozen=True)
class Thresholds:
    """The largest magnitudes that a layer's narrow numbers stand for; what is larger is cut off.

    Attributes:
        weights: one per output channel, as weights broadcast; None: they stay in floating point.
        inputs: a scalar; None likewise.
    """

    weights: Any
    inputs: Any


@dataclass(frozen=True)
class QuantisedSpec:
    """A narrow network to train, made by calling it, also in another process.

    Attributes:
        model: makes the network in floating point.
        plan: how narrow its layers are.
        start: checkpoint of the calibrated network.
        name: what to call it.
    """

    model: Any
    plan: Plan
    start: Path
    name: str

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    def __call__(self) -> Any:
        """Make the network, calibrated."""
        start = checkpoint.load(self.start, expected={"weights": dict})
        narrow = restored(self.model(), self.plan, start["weights"], self.start)
        calm_scales(narrow)
        return narrow

    def description(self) -> dict[str, Any]:
        """Return what a checkpoint says of the network."""
        describe = getattr(self.model, "description", None)
        return ({"model": None} if describe is None else describe()) | {"bits": plan_to_json(self.plan)}


def import_brevitas(feature: str) -> Any:
    """Return the module ``brevitas.nn``; raises MissingExtraError, naming `feature`, when it is absent."""
    if importlib.util.find_spec("brevitas") is None:
        raise MissingExtraError(feature, "quant")
    return importlib.import_module("brevitas.nn")


def trainable(model: Any) -> list[str]:
    """Return the paths of the modules that can have narrow numbers."""
    return [path for path, module in model.named_modules() if type(module) in _KINDS]


def quantised(model: Any, plan: Plan, thresholds: Mapping[str, Thresholds]) -> Any:
    """Return a copy of a network in which the layers of a plan compute with narrow numbers.

    Args:
        model: in floating point; it stays as it is.
        plan: how narrow.
        thresholds: of each layer of the plan, by its path.

    Raises:
        InputError: the network has not the layers of the plan.
        MissingExtraError: when brevitas is absent.
    """
    import_brevitas("training with narrow numbers")
    model = copy.deepcopy(model)
    known = dict(model.named_modules())
    for one in plan:
        before = known.get(one.path)
        if type(before) not in _KINDS:
            raise InputError(f"the network has no convolution or linear layer '{one.path}'")
        after = _module(before, one, thresholds[one.path])
        for path in [path for path, each in model.named_modules(remove_duplicate=False) if each is before]:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, after)
    return model


def _module(before: Any, one: NarrowLayer, thresholds: Thresholds) -> Any:
    """Return a brevitas module with the parameters of a plain one."""
    kinds = importlib.import_module("brevitas.nn")
    if isinstance(before, nn.Linear):
        sizes = {"in_features": before.in_features, "out_features": before.out_features}
    else:
        sizes = {name: getattr(before, name) for name in _SIZES}
        sizes |= {"output_padding": before.output_padding} if _turned(before) else {}
    weight, inputs = _quantisers(one.signed)
    options: dict[str, Any] = {"weight_quant": None, "input_quant": None}
    if one.weights is not None:
        init = thresholds.weights.detach()
        options |= {"weight_quant": weight, "weight_bit_width": one.weights, "weight_scaling_init": init}
    if one.inputs is not None:
        # of signed integers brevitas scales the lowest, -2^(b-1), to the threshold; ours is what the highest stands for
        reach = 2 ** (one.inputs - 1) / (2 ** (one.inputs - 1) - 1) if one.signed else 1.0
        options |= {"input_quant": inputs, "input_bit_width": one.inputs}
        options |= {"input_scaling_init": thresholds.inputs.detach() * reach}
    after = getattr(kinds, _KINDS[type(before)])(
        **sizes, bias=before.bias is not None, device=before.weight.device, dtype=before.weight.dtype, **options
    )
    after.weight, after.bias = before.weight, before.bias
    return after.train(before.training)


def _turned(module: Any) -> bool:
    return isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d)


@cache
def _quantisers(signed: bool) -> tuple[type, type]:
    """Return brevitas's descriptions of weights and inputs, with scales that are parameters from the start."""
    known = importlib.import_module("brevitas.quant")
    kind = importlib.import_module("brevitas.inject.enum").ScalingImplType.PARAMETER

    class NarrowWeights(known.Int8WeightPerChannelFloat):  # type: ignore[misc, name-defined]
        scaling_impl_type = kind

    class SignedInputs(known.Int8ActPerTensorFloat):  # type: ignore[misc, name-defined]
        scaling_impl_type = kind

    class UnsignedInputs(known.Uint8ActPerTensorFloat):  # type: ignore[misc, name-defined]
        scaling_impl_type = kind

    return NarrowWeights, SignedInputs if signed else UnsignedInputs


def restored(model: Any, plan: Plan, weights: Mapping[str, Any], file: Path | None = None) -> Any:
    """Return a narrow network with weights and scales as they were kept; ``model`` is it in floating point.

    Raises:
        InputError: the weights are not its own.
    """
    known = dict(model.named_modules())
    some: dict[str, Thresholds] = {}
    for one in plan:
        weight = getattr(known.get(one.path), "weight", torch.ones(1, 1))
        some[one.path] = Thresholds(torch.ones(_per_channel(known.get(one.path), weight)), torch.ones(()))
    narrow = quantised(model, plan, some)
    checkpoint.apply_weights(narrow, dict(weights), file)
    return narrow.eval()


def _per_channel(module: Any, weight: Any) -> tuple[int, ...]:
    """Return the shape of one number per output channel, as a layer's weights broadcast."""
    axis = channel_axis(module)
    return tuple(size if place == axis else 1 for place, size in enumerate(weight.shape))


def channel_axis(module: Any) -> int:
    """Return the axis of a layer's weights that its output channels are on."""
    return 1 if _turned(module) else 0


def calm_scales(model: Any) -> None:
    """Divide the gradients of scales by the root of how many numbers, and of how many values, share each.

    As S. K. Esser et al., "Learned Step Size Quantization", ICLR 2020, have it: a scale's gradient is a sum over all
    that share it, and without this it moves much faster than weights do. A copy of the network does not have it.
    """
    for module in _quantised_modules(model).values():
        if (scale := _scale(module.weight_quant)) is not None:
            share = module.weight.numel() / scale.numel() * (2 ** (int(module.weight_quant.bit_width()) - 1) - 1)
            scale.register_hook(lambda gradient, share=share: gradient / math.sqrt(share))
        if (scale := _scale(module.input_quant)) is not None:
            _calm_input(module, scale, 2 ** int(module.input_quant.bit_width()) - 1)


def _calm_input(module: Any, scale: Any, values: int) -> None:
    taken = [1]

    def note(_module: Any, inputs: Any) -> None:
        taken[0] = inputs[0].numel()

    module.register_forward_pre_hook(note)
    scale.register_hook(lambda gradient: gradient / math.sqrt(taken[0] * values))


def _quantised_modules(model: Any) -> dict[str, Any]:
    """Return the modules with narrow weights or inputs, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if hasattr(module, "weight_quant") and (_enabled(module.weight_quant) or _enabled(module.input_quant))
    }


def _enabled(proxy: Any) -> bool:
    return bool(getattr(proxy, "is_quant_enabled", False))


def _scale(proxy: Any) -> Any:
    """Return the parameter that a quantiser's scale is, None where there is none."""
    found = [value for name, value in proxy.named_parameters() if name.endswith("scaling_impl.value")]
    return found[0] if found and _enabled(proxy) else None


def plain_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights that the network in floating point has, without scales."""
    return {name: value for name, value in weights.items() if not any(part in f".{name}" for part in _QUANTISERS)}


def narrow_layers(model: Any) -> dict[str, NarrowLayer]:
    """Return how narrow a network's layers are, by path; nothing of one in floating point."""
    return {
        path: NarrowLayer(
            path,
            int(module.weight_quant.bit_width()) if _enabled(module.weight_quant) else None,
            int(module.input_quant.bit_width()) if _enabled(module.input_quant) else None,
            bool(getattr(module.input_quant, "is_signed", True)),
        )
        for path, module in _quantised_modules(model).items()
    }


def integers(model: Any) -> dict[str, dict[str, Any]]:
    """Return what every narrow layer's weights are, by path.

    Each has ``integers`` (int8, of the weights' shape) and ``scale`` (float32, one per output channel, as weights
    broadcast): the layer computes with their product.
    """
    found = {}
    with torch.no_grad():
        for path, module in _quantised_modules(model).items():
            if not _enabled(module.weight_quant):
                continue
            weight = module.quant_weight()
            whole = weight.int(float_datatype=False).to(torch.int8)
            found[path] = {"integers": whole.clone(), "scale": weight.scale.detach().float().clone()}
    return found


def check_integers(model: Any, kept: Any, file: Path) -> None:
    """Check that the integers that a file holds are those that the network computes with.

    Raises:
        InputError: they are not.
    """
    own = integers(model)
    if not isinstance(kept, dict) or kept.keys() != own.keys():
        raise InputError("expected the integer weights of each narrow layer", file=file, key="integers")
    for path, found in own.items():
        there = kept[path] if isinstance(kept[path], dict) else {}
        for name, value in found.items():
            if not isinstance(there.get(name), torch.Tensor) or not torch.equal(there[name].to(value.device), value):
                raise InputError(
                    f"the {name} of '{path}' are not those of its weights", file=file, key=f"integers.{path}"
                )


def spec_label(label: str, plan: Plan) -> str:
    """Return what to call a narrow network."""
    return f"{label}-{plan_label(plan)}"


__all__ = [
    "QuantisedSpec",
    "Thresholds",
    "calm_scales",
    "channel_axis",
    "check_integers",
    "import_brevitas",
    "integers",
    "narrow_layers",
    "plain_weights",
    "quantised",
    "restored",
    "spec_label",
    "trainable",
]
