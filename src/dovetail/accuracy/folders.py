"""Folders of images, one subfolder per class: read from disk while training, by worker processes if wanted."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy.data import Augmentation, DataSet, Order, normalise
from dovetail.accuracy.images import Report, check_images, read_image, size_of
from dovetail.errors import InputError
from dovetail.workers import safe_start
from dovetail.workload.torchvision_import import import_torch, import_torchvision

torch = import_torch("folders of images")  # importing that module also heals torchvision in spawned workers

#: Mean and deviation of ImageNet's training images, as torchvision's weights are evaluated with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: File names taken for images.
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}

#: Names of the parts' folders; the first that is there is taken.
_PART_FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}

#: Smallest share of the area that a random crop of a large image keeps.
_LEAST_AREA = 0.35


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes a square of pixels.

    Attributes:
        size: rows and columns.
        resize: length of the shorter side before the centre is cut out.
        interpolation: ``nearest``, ``bilinear`` or ``bicubic``.
    """

    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Image files with their classes.

    Attributes:
        files: one per image.
        labels: int64, ``(images,)``.
        mean: per channel, of values 0 to 1.
        std: per channel.
        preprocessing: of each file.
        workers: processes that read files; 0 reads in this one. Batches are the same for any number.
        context: how worker processes start: ``fork``, ``spawn``, ``forkserver``, or None for the system's way.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    preprocessing: Preprocessing = Preprocessing()
    workers: int = 0
    context: str | None = None

    def __len__(self) -> int:
        return len(self.files)

    def batches(
        self, orders: Sequence[Order], device: Any = "cpu", augmentation: Augmentation | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """Read, cut and normalise batches; what a training image is cut to depends on seed, epoch and row alone.

        Raises:
            InputError: when a file is not a readable image.
        """
        pinned = torch.device(device).type == "cuda"
        loader = torch.utils.data.DataLoader(
            _Images(self, augmentation),
            batch_sampler=[order.tolist() for order in orders],
            num_workers=self.workers,
            collate_fn=_collate,
            pin_memory=pinned,
            multiprocessing_context=self.context if self.workers else None,
            generator=torch.Generator().manual_seed(0),  # unused by us, but else drawn from the global one
        )
        with safe_start():
            read = iter(loader)
        for batch in read:
            if isinstance(batch, InputError):
                raise batch
            images, labels = (part.to(device, non_blocking=pinned) for part in batch)
            yield normalise(images, self.mean, self.std), labels

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> FolderSplit:
        """Return the same files under another normalisation."""
        return replace(self, mean=mean, std=std)


class _Images:
    """What worker processes are given: rows in, images (0 to 255) and labels out (or the error, for us to raise)."""

    def __init__(self, split: FolderSplit, augmentation: Augmentation | None) -> None:
        self.split, self.augmentation = split, augmentation

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> Any:
        try:
            image = read_image(self.split.files[row])
        except InputError as error:
            return error
        functional = import_torchvision("folders of images").transforms.functional
        pixels = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        options = self.split.preprocessing
        if self.augmentation is None:
            pixels = _centre(functional, pixels, options)
        else:
            pixels = _random_cut(functional, pixels, options, self.augmentation, row)
        return pixels, int(self.split.labels[row])


def _collate(items: list[Any]) -> Any:
    for item in items:
        if isinstance(item, InputError):
            return item
    images = [image for image, _ in items]
    if len({image.dtype for image in images}) > 1:  # some files are deeper than others
        images = [image.float() for image in images]
    return torch.stack(images), torch.tensor([label for _, label in items])


def _centre(functional: Any, pixels: Any, options: Preprocessing) -> Any:
    """Scale the shorter side to ``resize`` and cut out the centre."""
    pixels = functional.resize(pixels, [options.resize], _mode(options), antialias=True)
    return functional.center_crop(pixels, [options.size, options.size])


def _random_cut(functional: Any, pixels: Any, options: Preprocessing, augmentation: Augmentation, row: int) -> Any:
    """Cut out a random part and scale it (large images), or move by a few pixels (small ones); mirror half of them."""
    seeds = np.random.SeedSequence([augmentation.seed, augmentation.epoch, row, 0xF01D])
    draw = random.Random(int(seeds.generate_state(1, np.uint64)[0]))  # noqa: S311  not for secrets
    size = [options.size, options.size]
    if options.resize == options.size:
        shift = augmentation.shift
        pixels = functional.pad(_centre(functional, pixels, options), [shift])
        pixels = functional.crop(pixels, draw.randint(0, 2 * shift), draw.randint(0, 2 * shift), *size)
    else:
        top, left, height, width = _random_box(draw, pixels.shape[-2], pixels.shape[-1])
        pixels = functional.resized_crop(pixels, top, left, height, width, size, _mode(options), antialias=True)
    return functional.hflip(pixels) if augmentation.mirror and draw.random() < 0.5 else pixels


def _random_box(draw: random.Random, height: int, width: int) -> tuple[int, int, int, int]:
    """Draw a box of 35 % to all of the area and an aspect of 3:4 to 4:3: top, left, height, width."""
    area = height * width * draw.uniform(_LEAST_AREA, 1.0)
    aspect = (4.0 / 3.0) ** draw.uniform(-1.0, 1.0)
    rows = max(1, min(height, round((area / aspect) ** 0.5)))
    columns = max(1, min(width, round((area * aspect) ** 0.5)))
    return draw.randint(0, height - rows), draw.randint(0, width - columns), rows, columns


def _mode(options: Preprocessing) -> Any:
    return import_torchvision("folders of images").transforms.InterpolationMode(options.interpolation)


def image_folder(
    root: Path,
    *,
    size: int | None = None,
    workers: int = 0,
    context: str | None = None,
    seed: int = 0,
    check: bool = True,
    report: Report | None = None,
) -> DataSet:
    """Read a folder of images: ``root/train/CLASS/...`` with ``val`` and ``test`` beside it, or ``root/CLASS/...``.

    What is missing is held out, class by class, so that the three parts never share a file: without ``val``, a tenth
    of the training images validate; with ``val`` but no ``test`` (as ImageNet comes) ``val`` is the test part and a
    tenth of the training images (at most 50,000) validate; without any of the folders, a fifth tests and a tenth
    validates.

    Args:
        root: the folder.
        size: rows and columns to train at; by default the images' own if they are square and at most 64, else 224.
        workers: processes that read files.
        context: how they start.
        seed: of what is held out.
        check: whether to read every image once, unless that was done before (see `check_images`).
        report: is told how far the check is.

    Raises:
        InputError: when there are no such folders or images, or an image is broken.
    """
    if not root.is_dir():
        raise InputError("there is no such folder of images", file=root)
    found = {part: _first_folder(root, names) for part, names in _PART_FOLDERS.items()}
    base = found["train"] or root
    classes = _classes(base)
    listed = {part: _listed(folder, classes) for part, folder in found.items() if folder is not None}
    if found["train"] is None:
        listed = {"train": _listed(root, classes)}
    if check:
        check_images([file for files, _ in listed.values() for file in files], report)
    parts = _held_out(listed, seed)
    options = _preprocessing(parts["train"][0][0], size)
    splits = {
        part: FolderSplit(files, labels, preprocessing=options, workers=workers, context=context)
        for part, (files, labels) in parts.items()
    }
    note = f"images under {root.name}, " + ", ".join(f"{len(split)} {part}" for part, split in splits.items())
    shape = (3, options.size, options.size)
    return DataSet(str(root), **splits, classes=classes, shape=shape, mirror=True, note=note)


#: Files of one part and their labels.
_Listed = tuple[tuple[Path, ...], NDArray[np.int64]]


def _first_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if len(classes) < 2:
        raise InputError(f"expected one subfolder per class, at least two; found {len(classes)}", file=folder)
    return classes


def _listed(folder: Path, classes: tuple[str, ...]) -> _Listed:
    unknown = sorted(set(_classes(folder)) - set(classes))
    if unknown:
        raise InputError(f"class '{unknown[0]}' is not among the training classes", file=folder)
    files: list[Path] = []
    labels: list[int] = []
    empty: list[str] = []
    for label, name in enumerate(classes):
        inside = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in _SUFFIXES)
        files += inside
        labels += [label] * len(inside)
        empty += [] if inside or not (folder / name).is_dir() else [name]
    if not files:
        raise InputError(f"no images; known endings: {', '.join(sorted(_SUFFIXES))}", file=folder)
    if empty:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        known = f"known endings: {', '.join(sorted(_SUFFIXES))}; remove what is no class"
        raise InputError(f"no images of {', '.join(empty[:5])}{more}; {known}", file=folder)
    return tuple(files), np.array(labels, dtype=np.int64)


def _held_out(listed: dict[str, _Listed], seed: int) -> dict[str, _Listed]:
    """Complete the parts by holding out training images (ImageNet's ``val`` tests, as everyone reports it)."""
    parts = dict(listed)
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
    if "test" not in parts:
        parts["train"], parts["test"] = hold_out(*parts["train"], 0.2, seed)
    if "validation" not in parts:
        share = 0.1 if len(listed["train"][0]) < 500_000 else 50_000 / len(listed["train"][0])
        parts["train"], parts["validation"] = hold_out(*parts["train"], share, seed + 1)
    return {part: parts[part] for part in ("train", "validation", "test")}


def hold_out(files: Any, labels: NDArray[np.int64], share: float, seed: int) -> tuple[Any, Any]:
    """Part items into (kept, held out), each a pair of items and labels, with the share of every class held out.

    Raises:
        InputError: when a class is too small to be parted.
    """
    random_state = np.random.RandomState(seed & 0xFFFFFFFF)
    held = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise InputError(f"class {label} has {len(rows)} training image; too few to hold any out")
        held[random_state.permutation(rows)[: max(1, round(share * len(rows)))]] = True

    def chosen(mask: NDArray[np.bool_]) -> Any:
        kept = files[mask] if isinstance(files, np.ndarray) else tuple(files[row] for row in np.flatnonzero(mask))
        return kept, labels[mask]

    return chosen(~held), chosen(held)


def _preprocessing(file: Path, size: int | None) -> Preprocessing:
    """Take small square images as they are; larger ones as ImageNet's are taken."""
    width, height = size_of(file)
    if size is None:
        size = width if width == height <= 64 else 224
    return Preprocessing(size, size if size <= 64 else round(size * 256 / 224))
