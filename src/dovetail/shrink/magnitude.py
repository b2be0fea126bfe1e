"""Magnitude pruning: the smallest weights go to zero one by one, the rest is trained on; zeros stay where they are.

Which weights are the smallest is decided over the whole network by LAMP scores: a weight's square over the sum of the
squares of its layer's weights that are no smaller (J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-adaptive sparsity
for the magnitude-based pruning", ICLR 2021). No layer loses all of its weights: its largest has the score 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy import checkpoint
from dovetail.shrink.finalists import Start, with_kept
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("pruning networks")


def prunable(model: Any) -> dict[str, Any]:
    """Return the weights that may go, by their names: those of convolutions and of linear layers."""
    kinds = (torch.nn.modules.conv._ConvNd, torch.nn.Linear)
    return {
        f"{path}.weight" if path else "weight": part.weight
        for path, part in model.named_modules()
        if isinstance(part, kinds)
    }


def lamp_scores(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return the scores of a layer's weights, in their shape, above 0 and at most 1."""
    squares = weights.astype(np.float64).ravel() ** 2
    order = np.argsort(squares, kind="stable")
    left = np.cumsum(squares[order][::-1])[::-1]  # from each weight on, all that are no smaller
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.maximum(left, np.finfo(np.float64).tiny)
    return scores.reshape(weights.shape)


def kept_weights(weights: Mapping[str, NDArray[Any]], share: float) -> dict[str, NDArray[np.bool_]]:
    """Return which weights stay, so that this share of all of them does.

    Args:
        weights: by name.
        share: above 0, at most 1; of all weights together, rounded to a whole number of them.
    """
    scores = {name: lamp_scores(each) for name, each in weights.items()}
    every = np.concatenate([each.ravel() for each in scores.values()])
    chosen = np.zeros(every.shape, np.bool_)
    chosen[np.argsort(-every, kind="stable")[: max(1, round(share * every.size))]] = True
    found, start = {}, 0
    for name, each in scores.items():
        found[name] = chosen[start : start + each.size].reshape(each.shape)
        start += each.size
    return found


def kept_in_groups(weights: NDArray[Any], pattern: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which weights of a layer stay where so many of every group along input channels do, the largest.

    Args:
        weights: ``(out channels, in channels, ...)``.
        pattern: how many of how many; all stay of a layer whose channels make no whole groups.
    """
    kept, group = pattern
    if weights.ndim < 2 or weights.shape[1] % group:
        return np.ones(weights.shape, np.bool_)
    last = np.moveaxis(np.abs(weights), 1, -1)
    groups = last.reshape(-1, group)
    chosen = np.zeros(groups.shape, np.bool_)
    np.put_along_axis(chosen, np.argsort(-groups, axis=1, kind="stable")[:, :kept], True, axis=1)
    return np.ascontiguousarray(np.moveaxis(chosen.reshape(last.shape), -1, 1))


def pruned(
    weights: Mapping[str, Any], names: Mapping[str, Any], share: float, pattern: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Return all of a network's weights with those at zero that go.

    Args:
        weights: tensors by name, as ``state_dict`` has them.
        names: which may go, with the parameter of each: layers that share one lose the same of it.
        share: that stays.
        pattern: so many of every so many along input channels, whatever the share; None: the best of all.
    """
    owners: dict[int, str] = {}
    for name, weight in names.items():
        owners.setdefault(id(weight), name)
    own = {name: weights[name].detach().cpu().numpy() for name in owners.values()}
    kept = (
        kept_weights(own, share) if pattern is None else {k: kept_in_groups(each, pattern) for k, each in own.items()}
    )
    kept |= {name: kept[owners[id(weight)]] for name, weight in names.items()}
    return {
        name: value * torch.from_numpy(kept[name]).to(value.device) if name in kept else value
        for name, value in weights.items()
    }


_Module: Any = torch.nn.Module


class _Held(_Module):  # type: ignore[misc]
    """A parametrization by which some weights are zero, whatever an optimizer makes of what stands behind them."""

    def __init__(self, mask: Any) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Any) -> Any:
        return weight * self.mask


_ORIGINAL, _MASK = "parametrizations.weight.original", "parametrizations.weight.0.mask"


def held(model: Any) -> Any:
    """Return the network with every weight that is zero now to stay so in training."""
    for name, weight in prunable(model).items():
        part = model.get_submodule(name.rpartition(".")[0])
        torch.nn.utils.parametrize.register_parametrization(part, "weight", _Held(weight.detach() != 0))
    return model


def freed(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a network that `held` made has as weights, under the names that the network itself gives them."""
    plain = {name: value for name, value in weights.items() if not name.endswith((_ORIGINAL, _MASK))}
    for name, value in weights.items():
        if name.endswith(_ORIGINAL):
            part = name.removesuffix(_ORIGINAL)
            plain[f"{part}weight"] = value * weights[f"{part}{_MASK}"]
    return plain


def pruned_in(model: Any, file: Path) -> Any:
    """Return the network whose training from a `PrunedStart` a checkpoint keeps."""
    return with_kept(model, freed(checkpoint.load_weights(file)), file)


@dataclass(frozen=True)
class PrunedStart:
    """What the training of a pruned network starts from; made by calling it, also in another process.

    Attributes:
        start: the network with its weights, zeros among them.
    """

    start: Start

    @property
    def label(self) -> str:
        """The name."""
        return self.start.label

    def __call__(self) -> Any:
        """Make the network, its zeros held."""
        return held(self.start())
