"""A slimmable supernet: one network trained at many widths at once, so that any of its widths can be measured.

Channels are put in order of importance; a width keeps the first ones. Every training step takes the widest, the
narrowest and a few random networks between (the sandwich rule); the widest learns from labels, the others from the
widest (J. Yu and T. Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019). Smaller
networks are slices of the one set of weights: nothing is masked, so they are as fast as they will be.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy.bits import MOST_BITS
from dovetail.accuracy.data import Split, in_order
from dovetail.accuracy.evaluation import class_outputs
from dovetail.accuracy.execution import Execution
from dovetail.shrink.channels import ChannelGraph, Widths
from dovetail.shrink.depth import without
from dovetail.shrink.kernels import padding_of
from dovetail.shrink.narrow import narrow_inputs, plan_at, rounded_weights
from dovetail.shrink.prune import image_of, kernels_of, prune, sliced, slices_of
from dovetail.shrink.resolution import scaled
from dovetail.shrink.space import SearchSpace
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: Random networks of every step, besides the widest and the narrowest.
BETWEEN = 2
#: How often the smaller networks of a step lack a block, or have a smaller kernel, each of them.
SET_LOWER = 0.25
#: Images a step when a network is measured.
_BATCH = 256

#: Per group ``(blocks,)`` its blocks, the most important first.
Order = tuple[NDArray[np.int64], ...]


def importance_order(model: Any, graph: ChannelGraph) -> Order:
    """Return the blocks of every group by falling importance.

    A channel's importance is the sum, over every layer it sits in, of the squares of its weights divided by the mean
    square of that layer's weights, so that layers count alike.
    """
    scores = [np.zeros(group.channels) for group in graph.groups]
    for axis in graph.axes:
        weight = getattr(model.get_submodule(axis.module), "weight", None)
        if weight is None:
            continue
        squares = weight.detach().double().cpu().square()
        along = 0 if axis.side == "out" else 1
        others = tuple(each for each in range(squares.ndim) if each != along)
        parts = (squares.mean(dim=others) if others else squares).numpy()
        parts = parts / max(float(parts.mean()), 1e-30)
        axis.add_to(scores, parts)
    return tuple(
        np.argsort(-score.reshape(group.blocks, group.block).sum(axis=1), kind="stable")
        for group, score in zip(graph.groups, scores, strict=True)
    )


@dataclass(frozen=True)
class SandwichLoss:
    """The supernet's loss on a batch; a function of the network, the batch and torch's generator.

    Attributes:
        space: the widths to train at.
        order: of the channels.
        classes: of the data.
        slices: training reads it: slices of the network are trained, of other channels and kernels.
    """

    space: SearchSpace
    order: Order
    classes: int
    slices: bool = True

    def __call__(self, model: Any, images: Any, labels: Any) -> Any:
        """Return the sum of the losses of all networks of this step."""
        widest = class_outputs(model, images, self.classes).float()
        loss = torch.nn.functional.cross_entropy(widest, labels)
        teacher = widest.detach().softmax(dim=1)
        for widths in self._narrower():
            outputs = self._at(model, widths, images).float()
            loss = loss + torch.nn.functional.cross_entropy(outputs, teacher)
        return loss

    def _narrower(self) -> list[Widths]:
        knobs = self.space.knobs
        narrowest = [
            len(knob.options) - 1 if knob.kind == "channels" else self._drawn(number)
            for number, knob in enumerate(knobs)
        ]
        drawn = [[self._drawn(number) for number in range(len(knobs))] for _ in range(BETWEEN)]
        return [self.space.widths(tuple(choice)) for choice in (narrowest, *drawn)]

    def _drawn(self, number: int) -> int:
        """Return an option of a knob."""
        options = len(self.space.knobs[number].options)
        if number not in self.space.kept_mostly:
            return int(torch.randint(options, ()))
        is_lower = options > 1 and bool(torch.rand(()) < SET_LOWER)
        return int(torch.randint(1, options, ())) if is_lower and options > 2 else int(is_lower)

    def _at(self, model: Any, widths: Widths, images: Any) -> Any:
        """Run the network at some widths; gradients reach the whole network's weights."""
        graph = self.space.shapes.graph
        kept, gone, plan = graph.kept(widths, self.order), graph.left_out(widths), plan_at(graph, widths)
        slices, kernels = slices_of(graph, kept), kernels_of(graph, kept)
        state = sliced(dict((*model.named_parameters(), *model.named_buffers())), slices, gone, kernels)
        attributes = {path: {"padding": padding_of(model.get_submodule(path), of)} for path, of in kernels.items()}
        for path in slices:
            if (groups := getattr(model.get_submodule(path), "groups", 1)) > 1:
                block = model.get_submodule(path).out_channels // groups
                attributes.setdefault(path, {})["groups"] = len(state[f"{path}.weight"]) // block
        for one in plan:
            name = f"{one.path}.weight"
            state[name] = rounded_weights(model.get_submodule(one.path), state[name], one.weights or MOST_BITS)
        if (size := image_of(graph, kept)) is not None:
            images = scaled(images, size)
        with _changed(model, attributes), without(model, gone):
            handles = narrow_inputs(model, {one.path: one.inputs or MOST_BITS for one in plan})
            try:
                return torch.func.functional_call(model, state, (images,))
            finally:
                for handle in handles:
                    handle.remove()


@contextlib.contextmanager
def _changed(model: Any, attributes: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Give layers, by their paths, other attributes for a while: those that a forward pass reads besides tensors."""
    before = {
        path: {name: getattr(model.get_submodule(path), name) for name in changed}
        for path, changed in attributes.items()
    }
    try:
        for path, changed in attributes.items():
            vars(model.get_submodule(path)).update(changed)
        yield
    finally:
        for path, own in before.items():
            vars(model.get_submodule(path)).update(own)


@dataclass(frozen=True)
class Measurement:
    """A network of the supernet on the validation images.

    Attributes:
        loss: mean cross entropy.
        accuracy: share of images that are right.
    """

    loss: float
    accuracy: float


def cut(model: Any, graph: ChannelGraph, order: Order, widths: Widths) -> Any:
    """Return the network at some widths, with the most important channels of each group."""
    return prune(model, graph, graph.kept(widths, order))


def measure(model: Any, split: Split, classes: int, execution: Execution) -> Measurement:
    """Return the mean cross entropy and the accuracy of a network on one part of a data set."""
    model.to(execution.torch_device).eval()
    loss, hits = 0.0, 0
    with torch.no_grad(), execution.autocast():
        for images, labels in split.batches(in_order(len(split), _BATCH), execution.torch_device):
            outputs = class_outputs(model, images.contiguous(memory_format=execution.memory_format()), classes).float()
            loss += float(torch.nn.functional.cross_entropy(outputs, labels, reduction="sum"))
            hits += int((outputs.argmax(dim=1) == labels).sum())
    mean = loss / len(split)
    return Measurement(mean if math.isfinite(mean) else 1e6, hits / len(split))


def random_choices(space: SearchSpace, count: int, seed: int, lowest: Sequence[float]) -> list[tuple[int, ...]]:
    """Return choices around even widths of all sizes, for learning what each knob is worth.

    Args:
        space: the knobs.
        count: how many at most; equal ones are dropped.
        seed: of the draws.
        lowest: per choice drawn in turn, the share of channels around which it lies; a block stays, and a kernel stays
            as large as it is, with the chance of that share's square root.
    """
    random = np.random.RandomState([seed & 0xFFFFFFFF, 0x5A3])
    drawn: dict[tuple[int, ...], None] = {}
    for number in range(count):
        middle = math.log(lowest[number % len(lowest)])
        choice = []
        for knob, shares in enumerate(space.shares):
            if knob in space.kept_mostly:
                is_lower = len(shares) > 1 and random.random_sample() > math.exp(middle / 2)
                choice.append(random.randint(1, len(shares)) if is_lower and len(shares) > 2 else int(is_lower))
                continue
            wanted = middle + random.normal(0.0, 0.4)
            choice.append(int(np.abs(np.log(shares) - wanted).argmin()))
        drawn[space.settled(tuple(choice))] = None
    return list(drawn)
