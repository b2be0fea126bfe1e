"""The built-in images: scikit-learn's handwritten digits, plain and placed on cluttered canvases.

The digits are real: 1,797 scans of 8 x 8 pixels with values 0 to 16, the test part of UCI's "Optical Recognition of
Handwritten Digits", which ships inside scikit-learn. ``cluttered-digits`` is *made* from them, it is not a data set
that anyone collected: each picture is one digit, enlarged and placed at random on a 32 x 32 canvas among fragments of
other digits and noise. It is there because accuracy on the plain digits saturates with the tiniest networks, while on
the cluttered ones the width of a network shows, without anything to download.

Whichever set is made, the 1,797 scans are first parted into 1,122 for training, 225 for validation and 450 for test,
class by class, so that no scan (nor a fragment of it) is ever seen in two parts.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import MissingExtraError

#: Side of the cluttered canvas, in pixels.
CANVAS = 32

#: Pictures composed from each scan, per part: 3,366 for training, 900 for validation, 1,800 for test.
COPIES = {"train": 3, "validation": 4, "test": 4}

#: Share of the scans per part.
_SHARES = {"train": 0.625, "validation": 0.125, "test": 0.25}

#: How a canvas is composed: the ranges of the digit's side and of a fragment's window in its scan (pixels), the number
#: of fragments, the contrast of fragments and of digits at least and at most (1 is full), and the standard deviation of
#: the noise (grey values of 255).
_DIGIT_SIDE, _WINDOW_SIDE, _FRAGMENTS = (14, 22), (3, 5), 4
_FRAGMENT_CONTRAST, _DIGIT_CONTRAST, _NOISE = (0.4, 0.8), (0.7, 1.0), 25.0

#: One part of a data set: images ``(count, 1, height, width)`` in uint8, labels ``(count,)`` in int64.
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def digits() -> dict[str, Arrays]:
    """Return the plain digits, scaled to 0..255, as ``{"train": ..., "validation": ..., "test": ...}``.

    Raises:
        MissingExtraError: when scikit-learn is not installed.
    """
    scans, labels = _scans()
    images = np.round(scans * (255.0 / 16.0)).astype(np.uint8)[:, None]
    return {part: (images[chosen], labels[chosen]) for part, chosen in _parts(labels).items()}


@cache
def cluttered_digits(seed: int = 0) -> dict[str, Arrays]:
    """Compose the cluttered digits; the same seed gives the same pixels on every machine.

    Args:
        seed: of everything drawn at random; the parting of the scans does not depend on it.

    Raises:
        MissingExtraError: when scikit-learn is not installed.
    """
    scans, labels = _scans()
    composed: dict[str, Arrays] = {}
    for number, (part, chosen) in enumerate(_parts(labels).items()):
        # RandomState, not Generator: its streams are frozen for good, so the pictures outlive NumPy's versions.
        random = np.random.RandomState([seed & 0xFFFFFFFF, number])
        sources = np.repeat(chosen, COPIES[part])
        draws = random.random_sample((len(sources), _FRAGMENTS + 1, 8))
        canvases = np.zeros((len(sources), CANVAS, CANVAS))
        for canvas, source, draw in zip(canvases, sources, draws, strict=True):
            _compose(canvas, scans[source], scans[chosen], draw)
        canvases += random.normal(0.0, _NOISE, canvases.shape)
        composed[part] = (np.clip(np.round(canvases), 0, 255).astype(np.uint8)[:, None], labels[sources])
    return composed


@cache
def _scans() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return scans ``(1797, 8, 8)`` with values 0 to 16, and their labels."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("the built-in digits (scikit-learn)", "torch") from None
    bunch = load_digits()
    return np.asarray(bunch.images, dtype=np.float64), np.asarray(bunch.target, dtype=np.int64)


def _parts(labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Part the scans class by class; fixed for good, so that results of different seeds share their test scans."""
    random = np.random.RandomState(0)
    quota = _quotas(len(labels))
    order = np.concatenate([random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)])
    # Deal the class-sorted scans out along a low-discrepancy stride: every part gets its share of every class.
    rank = np.argsort((np.arange(len(order)) * 0.6180339887498949) % 1.0, kind="stable")
    bounds = np.cumsum([0, *quota.values()])
    return {part: np.sort(order[rank[bounds[i] : bounds[i + 1]]]) for i, part in enumerate(quota)}


def _quotas(count: int) -> dict[str, int]:
    held_out = {part: round(count * _SHARES[part]) for part in ("validation", "test")}
    held_out["test"] += 1
    return {"train": count - sum(held_out.values()), **held_out}


def _compose(
    canvas: NDArray[np.float64], scan: NDArray[np.float64], pool: NDArray[np.float64], draws: NDArray[np.float64]
) -> None:
    """Draw fragments of the pool's scans, and the scan over them, on a canvas ``(32, 32)`` of grey values to 255.

    Args:
        canvas: what to draw on.
        scan: the digit, ``(8, 8)``.
        pool: scans of the same part, ``(scans, 8, 8)``.
        draws: numbers in [0, 1), ``(fragments + 1, 8)``; the last row is the digit's.
    """
    for draw in draws[:-1].tolist():
        window = _pick(draw[4], *_WINDOW_SIDE)
        row, column = _pick(draw[5], 0, 8 - window), _pick(draw[6], 0, 8 - window)
        source = pool[_pick(draw[7], 0, len(pool) - 1)]
        side = _pick(draw[0], *_DIGIT_SIDE) * window // 8  # enlarged as the whole scan would be
        fragment = _enlarge(source[row : row + window, column : column + window], side)
        _place(canvas, fragment, _FRAGMENT_CONTRAST, draw)
    digit = draws[-1].tolist()
    _place(canvas, _enlarge(scan, _pick(digit[0], *_DIGIT_SIDE)), _DIGIT_CONTRAST, digit)


def _pick(draw: float, first: int, last: int) -> int:
    """Turn a number in [0, 1) into an integer from ``first`` to ``last``."""
    return first + int(draw * (last - first + 1))


def _place(
    canvas: NDArray[np.float64], patch: NDArray[np.float64], contrasts: tuple[float, float], draw: list[float]
) -> None:
    """Lay the patch (0 to 16) over the canvas at a drawn place and contrast; the brighter of the two shows."""
    side = len(patch)
    row, column = _pick(draw[1], 0, CANVAS - side), _pick(draw[2], 0, CANVAS - side)
    contrast = contrasts[0] + (contrasts[1] - contrasts[0]) * draw[3]
    view = canvas[row : row + side, column : column + side]
    np.maximum(view, patch * (contrast * 255.0 / 16.0), out=view)


def _enlarge(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Resize a square image bilinearly to ``side`` x ``side``, pixel centres aligned."""
    weights = _interpolation(len(image), side)
    return weights @ image @ weights.T


@cache
def _interpolation(source: int, target: int) -> NDArray[np.float64]:
    """Return the bilinear weights ``(target, source)`` of one axis."""
    position = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(source)[None, :]))
