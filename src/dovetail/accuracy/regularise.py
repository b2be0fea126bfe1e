"""What keeps a network from learning its images by heart: softened labels, mixed images, cut-out squares, mean weights.

Whatever is drawn is drawn from (seed, step), so that a run that goes on draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dovetail.accuracy.recipe import Recipe
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("training")

#: Parts the draws here from the other draws of a step.
_MIXING, _CUTTING = 0x3141, 0x5926


def changed(images: Any, labels: Any, recipe: Recipe, seed: int, step: int) -> tuple[Any, Any, Any, float]:
    """Return a batch as the recipe changes it.

    Args:
        images: ``(batch, channels, rows, columns)``, normalised.
        labels: ``(batch,)``.
        recipe: its ``mixup`` and ``cutout``.
        seed: of the run.
        step: counted from 0.

    Returns:
        The images, their labels, the labels of the images that were mixed in, and the share of the first ones.
    """
    if recipe.cutout:
        images = _cut(images, recipe.cutout, np.random.RandomState(_seeds(seed, step, _CUTTING)))
    if not recipe.mixup:
        return images, labels, labels, 1.0
    random = np.random.RandomState(_seeds(seed, step, _MIXING))
    share = float(random.beta(recipe.mixup, recipe.mixup))
    others = torch.from_numpy(random.permutation(len(images))).to(images.device)
    return share * images + (1 - share) * images[others], labels, labels[others], share


def _seeds(seed: int, step: int, kind: int) -> list[int]:
    return [seed & 0xFFFFFFFF, step & 0xFFFFFFFF, kind]


def _cut(images: Any, size: int, random: np.random.RandomState) -> Any:
    """Put the mean in the place of a square around a point of every image, as far as it lies within."""
    count, _, rows, columns = images.shape
    top = torch.from_numpy(random.randint(0, rows, count) - size // 2).to(images.device)[:, None, None]
    left = torch.from_numpy(random.randint(0, columns, count) - size // 2).to(images.device)[:, None, None]
    down = torch.arange(rows, device=images.device)[None, :, None]
    across = torch.arange(columns, device=images.device)[None, None, :]
    inside = (down >= top) & (down < top + size) & (across >= left) & (across < left + size)
    return images.masked_fill(inside[:, None], 0.0)


def softened_loss(outputs: Any, labels: Any, others: Any, share: float, smoothing: float) -> Any:
    """Return the mean cross entropy of outputs ``(batch, classes)`` to labels, and to those that were mixed in."""

    def loss(of: Any) -> Any:
        return torch.nn.functional.cross_entropy(outputs, of, label_smoothing=smoothing)

    return loss(labels) if share == 1.0 else share * loss(labels) + (1 - share) * loss(others)


def averaged(mean: Mapping[str, Any] | None, weights: Mapping[str, Any], decay: float, step: int) -> dict[str, Any]:
    """Return the mean of a network's weights over its steps, the latest ones weighing most.

    Args:
        mean: so far; None at the first step. Its tensors are changed.
        weights: by name, after a step; whole numbers, such as counts of batches, are taken as they are.
        decay: what the mean keeps of itself at a step; less in the first ones, which start from nothing.
        step: counted from 1.
    """
    if mean is None:
        return {name: value.detach().clone() for name, value in weights.items()}
    keep = min(decay, (1 + step) / (10 + step))
    for name, value in weights.items():
        if value.is_floating_point():
            mean[name].lerp_(value.detach(), 1 - keep)
        else:
            mean[name].copy_(value)
    return dict(mean)


__all__ = ["averaged", "changed", "softened_loss"]
