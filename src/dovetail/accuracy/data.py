"""Data sets held in memory: three parts kept apart, each handing out normalised batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy import digits
from dovetail.errors import InputError
from dovetail.text import clean
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("data sets for training")

#: Row numbers of the images of one batch, ``(batch,)``.
Order = NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; which change an image gets depends on these fields and its row alone.

    Attributes:
        shift: images move by up to that many pixels each way, black coming in at the edge.
        mirror: whether half of the images are mirrored left to right.
        seed: of the run.
        epoch: counted from 0.
    """

    shift: int
    mirror: bool
    seed: int
    epoch: int


class Split(Protocol):
    """One part of a data set, as training and evaluation use it."""

    @property
    def mean(self) -> tuple[float, ...]:
        """What is taken from each channel (of values 0 to 1)."""

    @property
    def std(self) -> tuple[float, ...]:
        """What each channel is then divided by."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each image, ``(images,)``."""

    def __len__(self) -> int:
        """How many images there are."""

    def batches(
        self, orders: Sequence[Order], device: Any = "cpu", augmentation: Augmentation | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield per order the images ``(batch, channels, height, width)`` in float32 and the labels ``(batch,)``."""

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Split:
        """Return the same images under another normalisation."""


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images in memory.

    Attributes:
        images: uint8, ``(images, channels, height, width)``.
        labels: int64, ``(images,)``.
        mean: per channel, of values 0 to 1.
        std: per channel.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, orders: Sequence[Order], device: Any = "cpu", augmentation: Augmentation | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Yield normalised batches; the arrays travel to the device once."""
        images = torch.from_numpy(self.images).to(device)
        labels = torch.from_numpy(self.labels).to(device)
        changes = None if augmentation is None else _changes(len(self), augmentation)
        for order in orders:
            rows = torch.from_numpy(order).to(device)
            batch = images[rows]
            if changes is not None and augmentation is not None:
                batch = _moved(batch, augmentation.shift, *(torch.from_numpy(c[order]).to(device) for c in changes))
            yield normalise(batch, self.mean, self.std), labels[rows]

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> ArraySplit:
        """Return the same images under another normalisation."""
        return replace(self, mean=mean, std=std)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Three parts that share no image.

    Attributes:
        name: as the user wrote it, made printable as all texts here.
        train: what weights are fitted to.
        validation: what everything is chosen on: epochs, widths, recipes.
        test: what is reported, once.
        classes: names of the classes, in the order of their labels.
        shape: (channels, height, width) of an image.
        mirror: whether a mirrored image keeps its class.
        note: what the images are, in a sentence.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mirror: bool
    note: str

    def __post_init__(self) -> None:
        clean(self, "name", "classes", "note")

    def split(self, name: str) -> Split:
        """Return the part called ``train``, ``validation`` or ``test``."""
        if name not in ("train", "validation", "test"):
            raise InputError(f"unknown part '{name}' of a data set; known: train, validation, test")
        part: Split = getattr(self, name)
        return part

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> DataSet:
        """Return the same images under another normalisation in all three parts."""
        parts = {name: self.split(name).normalised(mean, std) for name in ("train", "validation", "test")}
        return replace(self, **parts)  # type: ignore[arg-type]


def in_order(count: int, batch_size: int) -> list[Order]:
    """Return the orders that go once through ``count`` images from first to last."""
    return [np.arange(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def some_images(split: Split, most: int = 256) -> NDArray[np.float32]:
    """Return at most so many of a part's images, evenly over all and the same ones every time, normalised."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64))
    ((images, _),) = split.batches([rows])
    return np.asarray(images)


def normalise(images: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    """Turn images ``(batch, channels, height, width)`` of 0 to 255 into float32 of about mean 0 and deviation 1."""
    scale = torch.tensor([1.0 / (255.0 * s) for s in std], device=images.device)
    offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device)
    return images.float() * scale[:, None, None] + offset[:, None, None]


def from_arrays(
    name: str,
    parts: dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]],
    *,
    mirror: bool,
    note: str,
    classes: Sequence[str] | None = None,
) -> DataSet:
    """Make a data set of arrays; the normalisation is measured on the training part.

    Args:
        name: what to call it.
        parts: ``train``, ``validation`` and ``test``: images ``(images, channels, height, width)`` in uint8 and labels
            ``(images,)``, counted from 0.
        mirror: whether a mirrored image keeps its class.
        note: what the images are.
        classes: names of the classes; numbers if not given.

    Raises:
        InputError: when shapes or types don't fit each other.
    """
    for part, (images, labels) in parts.items():
        if images.ndim != 4 or images.dtype != np.uint8 or len(images) != len(labels) or not len(labels):
            raise InputError(
                f"{name}, {part}: images {images.shape} {images.dtype} and labels {labels.shape}; expected uint8 "
                "images (images, channels, height, width) and as many labels, at least one"
            )
    train = parts["train"][0]
    channels = range(train.shape[1])
    mean = tuple(float(train[:, c].mean() / 255.0) for c in channels)
    std = tuple(max(float(train[:, c].std() / 255.0), 1e-3) for c in channels)
    splits = {
        part: ArraySplit(np.ascontiguousarray(images), labels.astype(np.int64), mean, std)
        for part, (images, labels) in parts.items()
    }
    count = 1 + max(int(labels.max()) for _, labels in parts.values())
    names = tuple(classes) if classes is not None else tuple(str(number) for number in range(count))
    return DataSet(name, **splits, classes=names, shape=train.shape[1:], mirror=mirror, note=note)


@cache
def built_in(name: str, seed: int = 0) -> DataSet:
    """Return ``digits`` or ``cluttered-digits`` (see `dovetail.accuracy.digits` for what they are)."""
    if name == "digits":
        note = "scikit-learn's 1,797 handwritten digits, 8 x 8 pixels"
        return from_arrays(name, digits.digits(), mirror=False, note=note)
    note = (
        "made for Dovetail: scikit-learn's handwritten digits, enlarged and placed at random on 32 x 32 canvases among "
        "fragments of other digits and noise; no scan in two parts"
    )
    return from_arrays(name, digits.cluttered_digits(seed), mirror=False, note=note)


def _changes(count: int, augmentation: Augmentation) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw every image's move down, move right (both 0 to 2 * shift) and mirroring, for one epoch."""
    random = np.random.RandomState([augmentation.seed & 0xFFFFFFFF, augmentation.epoch, 0xA06])
    moves = random.randint(0, 2 * augmentation.shift + 1, size=(2, count))
    mirrored = random.random_sample(count) < (0.5 if augmentation.mirror else 0.0)
    return moves[0].astype(np.int64), moves[1].astype(np.int64), mirrored


def _moved(images: Any, shift: int, down: Any, right: Any, mirrored: Any) -> Any:
    """Move and mirror each image ``(batch, channels, height, width)`` on its own, by one gather."""
    count, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (shift, shift, shift, shift))
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(count, width)
    columns = right[:, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    pick = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[pick, channel, rows[:, None, :, None], columns[:, None, None, :]]
