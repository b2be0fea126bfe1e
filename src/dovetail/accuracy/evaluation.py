"""Accuracy of a network on one part of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dovetail.accuracy.data import Split, in_order
from dovetail.accuracy.execution import Execution
from dovetail.errors import InputError
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("evaluation")

#: Standard deviations above a guess up to which a network's accuracy may be chance.
_DEVIATIONS = 3.0
#: Images a step in evaluation; results do not depend on it but for rounding.
BATCH = 256


def evaluate(model: Any, split: Split, *, execution: Execution | None = None, batch_size: int = BATCH) -> float:
    """Return the share of images whose highest output is their class, between 0 and 1.

    Args:
        model: takes images ``(batch, channels, height, width)`` and gives outputs ``(batch, classes)``; it is moved to
            the execution's device, evaluated in its evaluation mode, and left in the mode it came in.
        split: the part of the data set.
        execution: where it runs.
        batch_size: images a step.

    Raises:
        InputError: when the network does not take the images or has no output for some class.
    """
    return top_accuracies(model, split, (1,), execution=execution, batch_size=batch_size)[1]


def top_accuracies(
    model: Any,
    split: Split,
    ranks: tuple[int, ...] = (1, 5),
    *,
    execution: Execution | None = None,
    batch_size: int = BATCH,
) -> dict[int, float]:
    """Return, per rank ``k``, the share of images whose class is among the ``k`` highest outputs.

    Arguments and errors are those of `evaluate`.
    """
    hits = dict.fromkeys(ranks, 0)

    def count(order: Any, labels: Any) -> None:
        found = order == labels[:, None]
        for rank in ranks:
            hits[rank] += int(found[:, :rank].any(dim=1).sum())

    ask(model, split, max(ranks), count, execution=execution, batch_size=batch_size)
    return {rank: hits[rank] / len(split) for rank in ranks}


def ask(
    model: Any,
    split: Split,
    most: int,
    take: Callable[[Any, Any], None],
    *,
    execution: Execution | None = None,
    batch_size: int = BATCH,
) -> None:
    """Have a network say the classes of all images, a batch at a time.

    Args:
        model: as `evaluate` takes it, and so are all others that are not named here.
        split: likewise.
        most: how many classes it says of an image, the highest output first.
        take: takes what it says, ``(images, most)``, fewer where it has fewer outputs, and the labels, ``(images,)``.
        execution: likewise.
        batch_size: likewise.
    """
    execution = execution or Execution()
    device, layout = execution.torch_device, execution.memory_format()
    was_training, classes = model.training, 1 + int(split.labels.max())
    model.to(device).eval()
    try:
        with torch.no_grad(), execution.autocast():
            for images, labels in split.batches(in_order(len(split), batch_size), device):
                outputs = class_outputs(model, images.contiguous(memory_format=layout), classes)
                take(outputs.topk(min(most, outputs.shape[1]), dim=1).indices, labels)
    finally:
        model.train(was_training)


def refuse_chance(name: str, accuracy: float, split: Split) -> None:
    """Refuse a network whose answers are no better than naming the commonest class always.

    Args:
        name: what to call it.
        accuracy: on the images, 0 to 1.
        split: the images.

    Raises:
        InputError: it is within three standard deviations of that.
    """
    guess = float(np.bincount(split.labels).max()) / len(split)
    if accuracy <= guess + _DEVIATIONS * math.sqrt(guess * (1 - guess) / len(split)):
        raise InputError(
            f"{name} is right on {100 * accuracy:.1f} % of {len(split)} validation images; naming one class always is "
            f"right on {100 * guess:.1f} %: there is no accuracy to keep; train it first, or longer, or name its "
            "trained --weights"
        )


def class_outputs(model: Any, images: Any, classes: int) -> Any:
    """Return the network's outputs ``(batch, outputs)``, of which there must be ``classes`` at least.

    Raises:
        InputError: when the network fails on the images, or returns something else.
    """
    try:
        outputs = model(images)
    except torch.cuda.OutOfMemoryError:
        raise InputError(f"the device's memory is too small for batches of {len(images)} images") from None
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = first_line(error) or type(error).__name__
        raise InputError(f"the network can't take images of shape {tuple(images.shape)}: {reason}") from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != len(images):
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise InputError(f"the network must return a tensor ({len(images)}, classes); it returned {found}")
    if outputs.shape[1] < classes:
        raise InputError(f"the network has {outputs.shape[1]} outputs but the data has {classes} classes")
    return outputs
