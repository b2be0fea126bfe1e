"""Images of data sets as inputs that densities are measured on: by name, or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.workload.layer_densities import LayerDensities, Samples

#: Data sets that need no path; `dovetail.accuracy.datasets.NAMES` says more, and loads PyTorch.
NAMES = ("digits", "cluttered-digits", "cifar10", "cifar100")
#: Validation images that are taken at most, evenly over all.
MOST = 256


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
    from dovetail.accuracy.datasets import load_data  # torch loads only where it is asked for

    split = load_data(name, check=False).validation
    rows = np.unique(np.linspace(0, len(split) - 1, min(MOST, len(split))).astype(np.int64))
    ((images, _),) = split.batches([rows])
    return np.asarray(images)
