"""Accuracies that torchvision publishes with its weights, as a table that needs no torch.

One network often has several sets of weights, trained by different recipes: the first (``IMAGENET1K_V1``) and newer
ones several points better (``IMAGENET1K_V2``). A curve over networks means something only when all its points come
from one recipe, so asking for several networks gives one set of weights for all, or an error, unless mixing is asked.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from dovetail.errors import InputError, did_you_mean

FIELDS = ("model", "weights", "dataset", "top1_percent", "top5_percent", "params", "gmacs", "input_size", "recipe")
#: The set of weights that nearly every model has.
FIRST = "IMAGENET1K_V1"


@dataclass(frozen=True)
class PublishedAccuracy:
    """What one set of weights reaches, as its publisher measured it.

    Attributes:
        model: torchvision's name; ``quantized_`` in front means 8-bit weights and activations.
        weights: name of the set of weights.
        dataset: validation set the accuracy was measured on.
        top1_percent: top-1 accuracy, 0 to 100.
        top5_percent: top-5 accuracy, 0 to 100.
        params: number of parameters.
        gmacs: multiply-accumulates of one image at `input_size`, in 1e9, three decimals.
        input_size: rows and columns it was evaluated at.
        recipe: where the training is described.
    """

    model: str
    weights: str
    dataset: str
    top1_percent: float
    top5_percent: float
    params: int
    gmacs: float
    input_size: int
    recipe: str


@functools.cache
def published_accuracies() -> tuple[PublishedAccuracy, ...]:
    """Return every entry of the table, by model, then by weights in torchvision's order."""
    text = (resources.files("dovetail.workload") / "data" / "published_accuracy.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        PublishedAccuracy(
            row["model"],
            row["weights"],
            row["dataset"],
            float(row["top1_percent"]),
            float(row["top5_percent"]),
            int(row["params"]),
            float(row["gmacs"]),
            int(row["input_size"]),
            row["recipe"],
        )
        for row in rows
    )


def published_accuracy(model: str, weights: str = FIRST) -> PublishedAccuracy:
    """Return one entry.

    Raises:
        InputError: when the table lacks the model, or the model has no such weights; names those it has.
    """
    entries = {entry.weights: entry for entry in published_accuracies() if entry.model == model}
    if not entries:
        known = {entry.model for entry in published_accuracies()}
        raise InputError(f"no published accuracy for '{model}'{did_you_mean(model, known)}")
    if weights not in entries:
        raise InputError(f"'{model}' has no published weights '{weights}'; it has {', '.join(entries)}")
    return entries[weights]


def published_curve(
    models: Iterable[str], *, weights: str = FIRST, allow_mixed: bool = False
) -> tuple[PublishedAccuracy, ...]:
    """Return one entry per model, all with one set of weights.

    Args:
        models: torchvision's names.
        weights: the set that every model must have.
        allow_mixed: where a model lacks the set, take the best it has on the same data set instead.

    Raises:
        InputError: when a model is unknown, or lacks the set and mixing is not allowed.
    """
    curve = []
    for model in models:
        try:
            curve.append(published_accuracy(model, weights))
        except InputError:
            others = [entry for entry in published_accuracies() if entry.model == model]
            if not (allow_mixed and others):
                raise
            curve.append(max(others, key=lambda entry: entry.top1_percent))
    return tuple(curve)
