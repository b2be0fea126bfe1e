"""Calibration: from a trained network to one of narrow numbers, by a look at training images and no training.

What the largest integer stands for is chosen among shares of the largest value seen, for the least squared error; then
the statistics of batch normalisation are taken anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dovetail.accuracy.bits import NarrowLayer, Plan
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.normalisation import Statistics, corrected, statistics, training_images
from dovetail.accuracy.quantised import Thresholds, channel_axis, quantised
from dovetail.errors import InputError
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("calibration")

#: Training images that are looked at, and values kept of a layer's inputs per batch of them.
IMAGES, _VALUES = 512, 1 << 16
#: Shares of the largest value that are tried as the threshold.
_SHARES = tuple((10 + place) / 50 for place in range(41))


@dataclass(frozen=True)
class Seen:
    """What a trained network was like over training images.

    Attributes:
        values: of a layer's inputs, some, flat; by its path.
        signed: whether any was negative, likewise.
        statistics: of what its normalisations see.
    """

    values: Mapping[str, Any]
    signed: Mapping[str, bool]
    statistics: Statistics


def observe(model: Any, paths: Sequence[str], data: DataSet, execution: Execution) -> Seen:
    """Return what the inputs of some layers, by their paths, and the statistics of a network are like.

    Raises:
        InputError: a layer is never run.
    """
    known = dict(model.named_modules())
    values: dict[str, list[Any]] = {path: [] for path in paths}
    lowest: dict[str, float] = {}

    def note(path: str, taken: Any) -> None:
        flat = taken[0].detach().float().flatten()
        lowest[path] = min(lowest.get(path, 0.0), float(flat.min()))
        values[path].append(_some(flat))

    hooks = [
        known[path].register_forward_pre_hook(lambda _module, taken, path=path: note(path, taken)) for path in paths
    ]
    model.to(execution.torch_device).eval()
    try:
        with torch.no_grad():
            for batch in training_images(data, execution, IMAGES):
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for path in paths:
        if not values[path]:
            raise InputError(f"'{path}' is never run: it cannot be calibrated")
    taken = {path: torch.cat(values[path]) for path in paths}
    return Seen(taken, {path: lowest[path] < 0 for path in paths}, statistics(model, data, execution))


def _some(values: Any) -> Any:
    """Return some of many values, drawn alike each time: a fixed step would meet the same columns again and again."""
    if values.numel() <= _VALUES:
        return values
    drawn = np.random.RandomState(0).randint(0, values.numel(), _VALUES)
    return values[torch.from_numpy(drawn).to(values.device)]


def calibrated(
    model: Any, plan: Plan, data: DataSet, execution: Execution, seen: Seen | None = None
) -> tuple[Any, Plan]:
    """Return a trained network with narrow numbers, and the plan with what its inputs' signs turned out to be.

    Args:
        model: in floating point; it stays as it is.
        plan: how narrow.
        data: whose training images are looked at.
        execution: where.
        seen: what `observe` returned for the layers of the plan, if it was asked before.

    Raises:
        InputError: as `quantised` and `observe` do.
        MissingExtraError: when brevitas is absent.
    """
    seen = seen or observe(model, [one.path for one in plan], data, execution)
    plan = tuple(replace(one, signed=seen.signed[one.path]) for one in plan)
    known = dict(model.named_modules())
    found = {one.path: _thresholds(known[one.path], one, seen) for one in plan}
    return corrected(quantised(model, plan, found).eval(), seen.statistics, data, execution), plan


def _thresholds(module: Any, one: NarrowLayer, seen: Seen) -> Thresholds:
    weights = inputs = None
    if one.weights is not None:
        weight = module.weight.detach().float()
        axis, most = channel_axis(module), 2 ** (one.weights - 1) - 1
        rows = weight.transpose(0, axis)
        shape = [size if place == axis else 1 for place, size in enumerate(weight.shape)]
        weights = least_error(rows.reshape(len(rows), -1), -most, most).reshape(shape)
    if one.inputs is not None:
        most = 2 ** (one.inputs - 1) - 1 if one.signed else 2**one.inputs - 1
        inputs = least_error(seen.values[one.path][None], -most - 1 if one.signed else 0, most)[0]
    return Thresholds(weights, inputs)


def least_error(rows: Any, lowest: int, highest: int) -> Any:
    """Return per row ``(rows, values)`` what ``highest`` stands for, for the least squared error of rounded values."""
    top = rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-6)
    best, error = top[:, 0].clone(), torch.full_like(top[:, 0], float("inf"))
    for share in _SHARES:
        scale = top * share / highest
        here = ((rows / scale).round().clamp(lowest, highest) * scale - rows).square().mean(dim=1)
        better = here < error
        best, error = torch.where(better, share * top[:, 0], best), torch.where(better, here, error)
    return best


__all__ = ["IMAGES", "Seen", "calibrated", "least_error", "observe"]
