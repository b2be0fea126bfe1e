"""Image files: read with the depth that they have, and checked before anything is trained on them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail import inputs
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.store import Store
from dovetail.text import first_line, printable
from dovetail.workers import available_cpus

#: Called with how many of how many files are checked, and what is done.
Report = Callable[[int, int, str], None]

#: TIFF's tags for the bits of a sample and for its kind (1 unsigned, 2 signed, 3 floating point).
_BITS, _KIND = 258, 339
#: Broken files that one message names, beside the first.
_NAMED = 8
#: Files that are looked at between two reports.
_AT_A_TIME = 256


def read_image(file: Path) -> NDArray[Any]:
    """Read an image as ``(height, width, 3)``, 0 to 255: uint8, or float32 where a file has deeper grey values.

    What a file of 16 bits (or of 12, or 32) calls white is 255 here, and what lies between two of 256 steps stays
    between them. Colour images of 16 bits come with their upper 8: more is not decoded.

    Raises:
        InputError: when the file is not a readable image.
    """
    with _opened(file) as image:
        if image.mode.startswith("I") or image.mode == "F":
            grey = _grey(image, file)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.array(image.convert("RGB"))


def size_of(file: Path) -> tuple[int, int]:
    """Return width and height; raises InputError when the file is not a readable image."""
    with _opened(file) as image:
        width, height = image.size
    return int(width), int(height)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open an image; whatever goes wrong with it is one message that names the file."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:
                raise InputError(f"{image.width} x {image.height} pixels are more than the {most} allowed", file=file)
            yield image
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise what they like on broken files
        text = first_line(error).replace(repr(str(file)), "it").replace(str(file), "it")
        raise InputError(f"not a readable image ({type(error).__name__}: {text[:150]})", file=file) from None


def _grey(image: Any, file: Path) -> NDArray[np.float32]:
    """Return grey values of more than 8 bits as 0 to 255."""
    values, white = _deep(image, file)
    grey: NDArray[np.float32] = np.multiply(values, 255.0 / white, dtype=np.float64).astype(np.float32)
    return grey


def _deep(image: Any, file: Path) -> tuple[NDArray[Any], float]:
    """Return grey values of more than 8 bits as they are, and what is white among them."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        white = 1.0
    else:
        bits = int(tags[_BITS][0]) if _BITS in tags else 16  # PNG has 16 here, and PGM is scaled to them
        signed = int(tags[_KIND][0]) == 2 if _KIND in tags else False
        white = float(2 ** (bits - signed) - 1)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= white):  # also where one is not a number
        raise InputError(f"its values go from {low:g} to {high:g}; 0 to {white:g} are read", file=file)
    return values, white


def check_images(files: Sequence[Path], report: Report | None = None) -> None:
    """Decode every file once, so that a broken one is found before it is met in the middle of a training.

    A set of files that has passed is not decoded again while their sizes and times of change stay as they are (that is
    kept in the store). JPEGs are decoded at an eighth of their size, which reads all of the file.

    Args:
        files: the images.
        report: is told how far it is.

    Raises:
        InputError: naming the first file that is not a readable image, and how many others are not.
    """
    import PIL

    with Store.open() as store:
        key = content_key("images that can be read", PIL.__version__, *_states(files))
        if store.get(key) is not None:
            return
        broken: list[InputError] = []
        with warnings.catch_warnings(), ThreadPoolExecutor(min(8, available_cpus())) as pool:
            warnings.simplefilter("ignore")  # Pillow's about files that it reads all the same, and about large ones
            for start in range(0, len(files), _AT_A_TIME):
                broken += [found for found in pool.map(_broken, files[start : start + _AT_A_TIME]) if found]
                if report is not None:
                    report(min(start + _AT_A_TIME, len(files)), len(files), "checking images")
        if broken:
            raise InputError(f"{broken[0].message}{_others(broken[1:], len(files))}", file=broken[0].file)
        store.put(key, {"files": len(files)})


def _others(broken: Sequence[InputError], checked: int) -> str:
    """Say which other files are broken, the first of them by name."""
    if not broken:
        return ""
    names = ", ".join(printable(Path(str(each.file)).name) for each in broken[:_NAMED])
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    return f"; broken, too, of {checked} files: {names}{more}"


def _states(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Return what changes when a file does."""
    states = []
    for file in files:
        try:
            inputs.refuse_output(file)
            state = file.stat()
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=file) from None
        states.append((str(file.absolute()), state.st_size, state.st_mtime_ns))
    return states


def _broken(file: Path) -> InputError | None:
    try:
        with _opened(file) as image:
            if image.format == "JPEG":
                image.draft("RGB", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
            if image.mode.startswith("I") or image.mode == "F":
                _deep(image, file)
    except InputError as error:
        return InputError(error.message, file=error.file)  # the one that was raised holds on to the image
    return None
