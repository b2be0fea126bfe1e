"""What channels matter to the loss, from its gradient: what removing all their weights would change, to first order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy.data import Split, in_order
from dovetail.accuracy.evaluation import class_outputs
from dovetail.accuracy.execution import Execution
from dovetail.shrink.channels import ChannelGraph
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: Images of a step, and images looked at.
_BATCH, _IMAGES = 64, 1024


def taylor_importance(
    model: Any, graph: ChannelGraph, split: Split, classes: int, execution: Execution
) -> tuple[NDArray[np.float64], ...]:
    """Return per group ``(blocks,)`` how much its blocks matter: ``(sum of gradient x weight)**2``, mean over batches.

    The sum is over all weights and biases that go with a block (P. Molchanov et al., "Importance Estimation for Neural
    Network Pruning", CVPR 2019, equation 8). The network stays as it is.

    Args:
        model: the trained network.
        graph: its channels.
        split: images to look at; the first 1,024 of them.
        classes: of the data.
        execution: where.
    """
    model.to(execution.torch_device).eval()
    layout = execution.training_format(model)
    found = [np.zeros(group.blocks) for group in graph.groups]
    order, batches = in_order(min(len(split), _IMAGES), _BATCH), 0
    for images, labels in split.batches(order, execution.torch_device):
        model.zero_grad(set_to_none=True)
        outputs = class_outputs(model, images.contiguous(memory_format=layout), classes).float()
        torch.nn.functional.cross_entropy(outputs, labels).backward()
        found = [scores + sums**2 for scores, sums in zip(found, _first_orders(model, graph), strict=True)]
        batches += 1
    model.zero_grad(set_to_none=True)
    return tuple(scores / max(1, batches) for scores in found)


def _first_orders(model: Any, graph: ChannelGraph) -> list[NDArray[np.float64]]:
    """Return per group ``(blocks,)`` the sum of gradient x weight of all that goes with a block."""
    sums = [np.zeros(group.channels) for group in graph.groups]
    for axis in graph.axes:
        module = model.get_submodule(axis.module)
        for name in ("weight", "bias") if axis.side == "out" else ("weight",):
            parameter = getattr(module, name, None)
            if parameter is None or parameter.grad is None:
                continue
            product = (parameter.detach() * parameter.grad).double().cpu()
            along = 0 if axis.side == "out" else 1
            others = tuple(each for each in range(product.ndim) if each != along)
            parts = (product.sum(dim=others) if others else product).numpy()
            axis.add_to(sums, parts)
    return [each.reshape(group.blocks, group.block).sum(axis=1) for each, group in zip(sums, graph.groups, strict=True)]
