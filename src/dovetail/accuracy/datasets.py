"""Data sets by name: the built-in digits, CIFAR where the user has it, any folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dovetail.accuracy.data import DataSet, built_in, from_arrays
from dovetail.accuracy.folders import hold_out, image_folder
from dovetail.accuracy.images import Report
from dovetail.errors import InputError, did_you_mean
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torchvision

#: Data sets that need no path, with what they are.
NAMES = {
    "digits": "scikit-learn's handwritten digits, 8 x 8",
    "cluttered-digits": "the same digits composed onto cluttered 32 x 32 canvases",
    "cifar10": "CIFAR-10, where you have it (or with --download)",
    "cifar100": "CIFAR-100, likewise",
}

#: Rows and columns that images of folders are scaled to at most, and processes that read them.
MAX_PIXELS, MAX_WORKERS = 4096, 1024

#: Share of CIFAR's training images that validate: 5,000 of 50,000.
_CIFAR_VALIDATION = 0.1


def load_data(
    name: str,
    *,
    root: Path | None = None,
    download: bool = False,
    size: int | None = None,
    loaders: int = 0,
    seed: int = 0,
    check: bool = True,
    report: Report | None = None,
) -> DataSet:
    """Return a data set by name, or of the folder that ``name`` leads to.

    Args:
        name: ``digits``, ``cluttered-digits``, ``cifar10``, ``cifar100``, or a folder of images.
        root: folder that holds CIFAR as torchvision unpacks it; by default ``data``.
        download: fetch CIFAR into ``root`` if it is not there. Nothing is ever downloaded without it.
        size: rows and columns to train at, for folders.
        loaders: processes that read image files, for folders.
        seed: of composing and of holding out; results under different seeds here are not comparable.
        check: whether to look for broken files first, for folders.
        report: is told how far that is.

    Raises:
        InputError: when there is no such data set, or it is not where it should be.
        MissingExtraError: when a package is missing.
    """
    for what, value, least, most in (
        ("size", 1 if size is None else size, 1, MAX_PIXELS),
        ("loaders", loaders, 0, MAX_WORKERS),
    ):
        if not least <= value <= most:
            raise InputError(f"{what} is {value}; it must be at least {least} and at most {most}")
    if name in ("digits", "cluttered-digits"):
        return built_in(name, seed)
    if name in ("cifar10", "cifar100"):
        return _cifar(name, Path("data") if root is None else root, download, seed)
    folder = Path(name) if root is None else root / name
    if not folder.is_dir():
        raise InputError(f"no data set '{name}'{did_you_mean(name, NAMES)}; or give a folder of images")
    return image_folder(folder, size=size, workers=loaders, seed=seed, check=check, report=report)


def _cifar(name: str, root: Path, download: bool, seed: int) -> DataSet:
    """Read CIFAR; torchvision checks each file's published MD5 before it opens it."""
    kind = getattr(import_torchvision(name).datasets, name.upper())
    try:
        train, test = (kind(root, train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:
        reason = first_line(error) if download else "say --download to fetch it there"
        raise InputError(f"{name} is not there, or damaged: {reason}", file=root) from None
    images, labels = _arrays(train)
    kept, held = hold_out(images, labels, _CIFAR_VALIDATION, seed)
    return from_arrays(
        name,
        {"train": kept, "validation": held, "test": _arrays(test)},
        mirror=True,
        note=f"{name}; {len(held[1])} of its {len(labels)} training images validate",
        classes=train.classes,
    )


def _arrays(data: Any) -> tuple[Any, Any]:
    """Return torchvision's images as ``(images, channels, height, width)`` and labels."""
    return np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)), np.array(data.targets, dtype=np.int64)
