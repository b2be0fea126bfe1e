"""A data set of a hundred bright squares and a network for it: training on them takes a second."""

from dataclasses import replace

import numpy as np

from dovetail.accuracy.data import from_arrays
from dovetail.accuracy.models import ModelSpec
from dovetail.accuracy.recipe import MODERN


def squares(count: int = 96, size: int = 8, classes: int = 4, seed: int = 0):
    """Images of noise with a bright square in one of four corners, which is the class."""
    random = np.random.RandomState(seed)

    def part(number):
        labels = np.arange(number) % classes
        images = random.randint(0, 90, size=(number, 1, size, size)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(label, 2)
            image[0, row * size // 2 :, column * size // 2 :][:3, :3] = 220
        return images, labels.astype(np.int64)

    parts = {"train": part(count), "validation": part(count // 4), "test": part(count // 4)}
    return from_arrays("squares", parts, mirror=False, note="bright squares")


#: Four steps an epoch on 96 images.
TINY = replace(MODERN, epochs=3, batch_size=24)

SPEC = ModelSpec("five-layer", width=2, classes=4, channels=1, size=8)
