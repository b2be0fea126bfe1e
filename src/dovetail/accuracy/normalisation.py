"""Running statistics of batch normalisation, taken anew for a network whose layers have changed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from dovetail.accuracy.data import DataSet, in_order
from dovetail.accuracy.execution import Execution
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("training")

#: Training images that statistics are taken over, and images a step.
RENEWING, _BATCH = 1024, 256


def renewed(model: Any, data: DataSet, execution: Execution, images: int = RENEWING) -> Any:
    """Return the network with its normalisations' running statistics taken anew, over training images."""
    norms = [each for each in model.modules() if isinstance(each, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return model
    momenta = [norm.momentum for norm in norms]
    model.to(execution.torch_device).eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches
        norm.train()
    with torch.no_grad(), execution.autocast():
        for batch in training_images(data, execution, images):
            model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


#: By path of a normalisation, its running mean and variance.
Statistics = dict[str, tuple[Any, Any]]


def statistics(model: Any, data: DataSet, execution: Execution) -> Statistics:
    """Return what a network's normalisations see over training images; the network stays as it is."""
    model = renewed(copy.deepcopy(model), data, execution)
    return {
        path: (norm.running_mean, norm.running_var)
        for path, norm in model.named_modules()
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and norm.track_running_stats
    }


def corrected(model: Any, before: Statistics, data: DataSet, execution: Execution) -> Any:
    """Move a network's running statistics by as much as a change of its layers moved what they are of.

    The images that statistics are taken over differ from those of training (nothing is drawn at random), so it is the
    difference that counts.

    Args:
        model: after the change, with the statistics of before it.
        before: `statistics` before the change.
        data: whose training images are looked at.
        execution: where.
    """
    after = statistics(model, data, execution)
    for path, (mean, variance) in before.items():
        norm = model.get_submodule(path)
        norm.running_mean += after[path][0] - mean
        norm.running_var *= (after[path][1] + norm.eps) / (variance + norm.eps)
    return model


def training_images(data: DataSet, execution: Execution, images: int = RENEWING) -> Any:
    """Yield batches ``(batch, channels, height, width)`` of training images, spread evenly over all of them."""
    count = min(images, len(data.train))
    rows = np.linspace(0, len(data.train) - 1, count).astype(np.int64)  # all classes, however they are ordered
    orders = [rows[batch] for batch in in_order(count, _BATCH)]
    for batch, _ in data.train.batches(orders, execution.torch_device):
        yield batch.contiguous(memory_format=execution.memory_format())


__all__ = ["Statistics", "corrected", "renewed", "statistics", "training_images"]
