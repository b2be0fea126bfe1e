"""Images of data sets as inputs that densities are measured on: by name, or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dovetail.workload.layer_densities import LayerDensities, Samples

#: Data sets that need no path; `dovetail.accuracy.datasets.NAMES` says more, and loads PyTorch.
NAMES = ("digits", "cluttered-digits", "cifar10", "cifar100")


def image_densities(text: str) -> tuple[LayerDensities, ...]:
    """Return densities to be measured on the validation images of a data set; none where the text names no data set."""
    if text not in NAMES and not Path(text).is_dir():
        return ()
    return (LayerDensities("*", {}, Samples(text, lambda: _images(text))),)


def _images(name: str) -> NDArray[Any]:
    """Return images ``(images, channels, rows, columns)``, normalised as in training; the same ones every time.

    Raises:
        InputError: there is no such data set, or its images cannot be read.
        MissingExtraError: a package is missing.
    """
    from dovetail.accuracy.data import some_images  # torch loads only where it is asked for
    from dovetail.accuracy.datasets import load_data

    return some_images(load_data(name, check=False).validation)
