"""A network that begins its training with weights from a file: all of them, or all but the classifier's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.accuracy.checkpoint import check_weights, load_weights
from dovetail.accuracy.models import ModelSpec
from dovetail.errors import InputError
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("networks for training")


@dataclass(frozen=True)
class StartedSpec:
    """A network by name with the weights that it begins with; it travels to other processes.

    Attributes:
        spec: makes the network.
        weights: the file.
        sha256: of the file, so that a run goes on from the same weights only.
        anew: names of the weights that the file has for another number of classes: these begin as a new network's.
    """

    spec: ModelSpec
    weights: Path
    sha256: str
    anew: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The network's name."""
        return self.spec.name

    @property
    def width(self) -> int | None:
        """The network's width, where it has one to choose."""
        return self.spec.width

    @property
    def label(self) -> str:
        """What to call the network."""
        return self.spec.label

    def __call__(self) -> Any:
        """Make the network with these weights.

        Raises:
            InputError: the file is another than it was, or its weights are not this network's.
        """
        if _sha256(self.weights) != self.sha256:
            raise InputError("has changed since the training began", file=self.weights)
        model = self.spec()
        weights = load_weights(self.weights)
        _check(model, weights, self.anew, self.weights)
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if name not in self.anew:
                    value.copy_(weights[name])
        return model

    def description(self) -> dict[str, Any]:
        """Return what a checkpoint says of the network."""
        return self.spec.description() | {"started_from": {"sha256": self.sha256, "anew": list(self.anew)}}


def started(spec: ModelSpec, weights: Path) -> StartedSpec:
    """Return a network that begins with a file's weights.

    Where the file's network tells other classes apart, what stands for them begins anew.

    Args:
        spec: makes the network.
        weights: a checkpoint of ours, a ``state_dict`` that torch saved, or a ``.safetensors`` file.

    Raises:
        InputError: the file holds no weights, or not this network's.
        MissingExtraError: it is a ``.safetensors`` file and safetensors is absent.
    """
    kept = load_weights(weights)
    if ":" in spec.name:
        model = spec()
    else:
        with torch.device("meta"):  # nothing takes memory before the weights are the network's
            model = spec()
    anew = _others(model, kept, spec.classes)
    _check(model, kept, anew, weights)
    return StartedSpec(spec, weights, _sha256(weights), anew)


def _others(model: Any, weights: dict[str, Any], classes: int) -> tuple[str, ...]:
    """Return the names of weights that have a row per class in the network, and as many rows as other classes there."""
    return tuple(
        name
        for name, own in model.state_dict().items()
        if (there := weights.get(name)) is not None
        and own.shape != there.shape
        and own.shape[1:] == there.shape[1:]
        and own.shape[:1] == (classes,)
    )


def _check(model: Any, weights: dict[str, Any], anew: tuple[str, ...], file: Path) -> None:
    own = model.state_dict()
    present = {name: torch.empty_like(own[name], device="cpu") if name in anew else weights[name] for name in weights}
    check_weights(model, present, file)


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=file) from None
