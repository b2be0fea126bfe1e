"""Muon: momentum whose step on a matrix is made orthogonal, so that every direction of it learns at the same pace.

After K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024): the momentum ``B = mu B + g``
with Nesterov's look-ahead ``g + mu B`` is replaced by (about) the nearest orthogonal matrix, found by five steps of a
quintic Newton-Schulz iteration. A convolution's weight ``(M, C, R, S)`` counts as the matrix ``(M, C*R*S)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

#: The quintic ``a x + b x^3 + c x^5`` of the article: steepest at 0 while keeping singular values in about 0.7 to 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon over weights of two or more axes, flattened to matrices behind the first.

    Args:
        parameters: the weights, or torch's parameter groups of them.
        lr: step, as the spectral norm of the update of a matrix at least as wide as high.
        momentum: of the running gradient.
        weight_decay: decoupled; each step shrinks weights by ``lr * weight_decay``.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float = 0.15, momentum: float = 0.6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self, closure: Any = None) -> Any:
        """Move every weight that has a gradient by one step; returns the closure's loss, as torch's optimizers do."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._move(weight, group)
        return loss

    def _move(self, weight: Any, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"]
        buffer.mul_(group["momentum"]).add_(weight.grad)
        update = weight.grad.add(buffer, alpha=group["momentum"]).flatten(1)
        rows, columns = update.shape
        update = orthogonalise(update).view(weight.shape)
        weight.mul_(1.0 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def orthogonalise(matrix: Any) -> Any:
    """Return about the nearest matrix with all singular values 1 (they come out between about 0.7 and 1.2).

    Args:
        matrix: ``(rows, columns)``; computed in bfloat16 on a GPU, in its own type on a CPU.
    """
    x = matrix.bfloat16() if matrix.is_cuda else matrix
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
