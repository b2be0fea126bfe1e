"""Reads and writes where a problem's zeros are: ``densities`` and ``commonDensity`` in the reference's form.

::

    densities:
      Weights: 0.5                                             # fixed_structured
      Inputs: {distribution: hypergeometric, density: 0.37}
      Outputs: {distribution: actual_data, file: outputs.npy}  # ours: which words of a tensor are not zero
      Psums: {distribution: real-data, data_file_path: psums.txt}  # Sparseloop's artifact: a 0 or 1 for each word

``actual_data`` is ours: the file holds a NumPy array of the tensor's extents, and is read without unpickling anything.
``real-data`` names a text of as many digits as the tensor has words, the first axis of its projection running fastest.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail import inputs
from dovetail.document import Node, not_a_file, read_text
from dovetail.errors import InputError, did_you_mean
from dovetail.expression import evaluate_node
from dovetail.workload.densities import (
    DENSE,
    MOST_MEASURED,
    Banded,
    Density,
    FixedStructured,
    Hypergeometric,
    Measured,
)
from dovetail.workload.problem import Problem

#: How a file of one NumPy array begins.
_NPY = b"\x93NUMPY"
#: How the operating system and NumPy say that a file can't be read: its header is Python, sizes in it are any.
_UNREADABLE = (OSError, ValueError, EOFError, ArithmeticError, MemoryError, TypeError, SyntaxError, TokenError)
#: A pattern as text, of the release that Sparseloop's artifact is of.
_TEXT = "real_data"
DENSITIES, COMMON = ("densities",), ("commonDensity", "common_density")
_KINDS = {
    "fixed_structured": FixedStructured.kind,
    "fixed": FixedStructured.kind,
    "hypergeometric": Hypergeometric.kind,
    "banded": Banded.kind,
    "diagonal": Banded.kind,
    "actual_data": Measured.kind,
    "real_data": _TEXT,
}
_KEYS = {
    FixedStructured.kind: ("distribution", "density"),
    Hypergeometric.kind: ("distribution", "density", "workload_tensor_size"),
    Banded.kind: ("distribution", "density", "band_width"),
    Measured.kind: ("distribution", "file", "shape", "nonzero"),
    _TEXT: ("distribution", "data_file_path"),
}

#: What the front end writes beside every distribution, 0 where it is another's.
_OF_OTHERS = ("band_width", "workload_tensor_size")


def densities_of(problem: Problem, entries: Mapping[str, Node], names: Mapping[str, Any]) -> tuple[Density, ...]:
    """Return a density per tensor as a problem's file has them; empty where it says nothing, or all are dense.

    Args:
        problem: the problem without.
        entries: what its file says, by key.
        names: evaluated names that numbers may use.

    Raises:
        InputError: with file, line and key.
    """
    tensors = [tensor.name for tensor in problem.shape.tensors]
    found: dict[str, Density] = {}
    given = [entries[key] for key in COMMON if key in entries and entries[key].value is not None]
    if len(given) > 1:
        raise given[1].fail(f"'{COMMON[0]}' and '{COMMON[1]}' are the same; one must go")
    common = given[0] if given else None
    if common is not None:
        found = dict.fromkeys(tensors, _density(common, problem, None, names))
    listed = entries.get("densities")
    if listed is not None and listed.value:
        for name, node in listed.mapping().items():
            if name not in tensors:
                raise node.fail(f"{problem.name} has no tensor '{name}'{did_you_mean(name, tensors)}")
            found[name] = _density(node, problem, name, names)
    densities = tuple(found.get(name, DENSE) for name in tensors)
    return () if all(density == DENSE for density in densities) else densities


def _density(node: Node, problem: Problem, tensor: str | None, names: Mapping[str, Any]) -> Density:
    if not isinstance(node.value, dict):
        return FixedStructured(_share(node, names))
    entries = {key.replace("-", "_"): value for key, value in node.mapping().items()}
    word = entries["distribution"].text() if "distribution" in entries else FixedStructured.kind
    kind = _KINDS.get(word.replace("-", "_"))
    if kind is None:
        known = ", ".join(dict.fromkeys(_KINDS.values()))
        raise entries["distribution"].fail(f"unknown distribution '{word[:60]}'; known: {known}")
    for key, value in entries.items():
        if key not in _KEYS[kind] and not (key in _OF_OTHERS and value.value in (0, None)):
            raise value.fail(f"'{key}' says nothing about {kind}{did_you_mean(key, _KEYS[kind])}")
    return _of_kind(kind, entries, node, problem, tensor, names)


def _of_kind(
    kind: str, entries: Mapping[str, Node], node: Node, problem: Problem, tensor: str | None, names: Mapping[str, Any]
) -> Density:
    if kind == Banded.kind:
        width = entries.get("band_width")
        return Banded(0 if width is None or width.value is None else width.integer(0))
    if kind in (Measured.kind, _TEXT):
        if tensor is None:
            raise node.fail("one file cannot stand for all tensors; name it under 'densities'")
        if kind == Measured.kind:
            return _measured(entries, node)
        if "data_file_path" not in entries:
            raise node.fail("the key 'data_file_path' is missing: a text with a 0 or 1 for each word")
        return _from_text(entries["data_file_path"], problem.extent(problem.shape.tensor(tensor)))
    if "density" not in entries:
        raise node.fail("the key 'density' is missing")
    share = _share(entries["density"], names)
    size = entries.get("workload_tensor_size")
    if size is not None and tensor is not None and size.value not in (None, 0):
        words = problem.words(problem.shape.tensor(tensor))
        if size.integer(0) != words:
            raise size.fail(f"{tensor} has {words} words here, not {size.value}; the tensor's own size is what counts")
    return FixedStructured(share) if kind == FixedStructured.kind else Hypergeometric(share)


def _share(node: Node, names: Mapping[str, Any]) -> float:
    value = evaluate_node(node, names)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise node.fail(f"a density must be a number from 0 to 1, found {str(value)[:40]!r}")
    return float(value)


def _measured(entries: Mapping[str, Node], node: Node) -> Measured:
    if "file" in entries:
        for key in ("shape", "nonzero"):
            if key in entries:
                raise entries[key].fail(f"'{key}' stands beside 'file', which says it; one must go")
        return _from_file(entries["file"])
    if not {"shape", "nonzero"} <= entries.keys():
        raise node.fail("the key 'file' is missing: a .npy file with the tensor")
    shape = tuple(extent.integer(1) for extent in entries["shape"].sequence())
    size = math.prod(shape)
    if size > MOST_MEASURED:
        raise entries["shape"].fail(f"{size:.3g} values; at most {MOST_MEASURED} are kept")
    try:
        packed = base64.b64decode(entries["nonzero"].text(), validate=True)
        bits = zlib.decompressobj().decompress(packed, -(-size // 8) + 1)
    except (binascii.Error, ValueError, zlib.error):
        raise entries["nonzero"].fail("is no compressed pattern in base 64") from None
    if len(bits) != -(-size // 8):
        raise entries["nonzero"].fail(f"holds {len(bits)} bytes, not the {-(-size // 8)} of {size} values")
    return Measured(shape, bits)


def _from_file(node: Node) -> Measured:
    """Return the pattern of a NumPy array, in a file in the folder of the document that names it or below."""
    return read_pattern(_inside(node, node.text()), node.fail)


def _inside(node: Node, name: str) -> Path:
    """Return the path of a file that a document names, which must lie in the document's folder or below."""
    folder = Path(node.file).parent
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise node.fail(f"'{name[:60]}' lies outside the document's folder")
    return path


def _from_text(node: Node, extents: tuple[int, ...]) -> Measured:
    """Return the pattern of a text of digits, one for each word of a tensor, the first axis running fastest.

    The path of another machine stands for the file below the document's folder whose path ends likewise.
    """
    parts = Path(node.text()).parts
    ends = ["/".join(parts[first:]) for first in range(len(parts)) if not set(parts[first:]) & {"/", ".."}]
    if not ends:
        raise node.fail(f"'{node.text()[:60]}' names no file in the document's folder")
    path = next((path for path in (_inside(node, end) for end in ends) if path.is_file()), None)
    if path is None:
        raise node.fail(f"there is no file '{ends[0][-60:]}' in the document's folder, nor one of a shorter end of it")
    digits = np.frombuffer("".join(read_text(path).split()).encode(), np.uint8)
    values = digits - ord("0")
    if (values > 1).any():
        raise node.fail(f"{path.name}: must hold a 0 or 1 for each word, found '{chr(digits[values > 1][0])}'")
    if values.size != math.prod(extents):
        shape = " x ".join(map(str, extents))
        raise node.fail(f"{path.name}: has {values.size} digits, but the tensor is {shape}")
    return Measured.of(values.reshape(extents, order="F"), path.name)


def read_pattern(path: Path, fail: Callable[[str], InputError] | None = None) -> Measured:
    """Read the pattern of the NumPy array in a file.

    Args:
        path: a ``.npy`` file; nothing in it is unpickled.
        fail: builds the error from a message; None: an error that names the file.

    Raises:
        InputError: there is no such file, or it is no array of numbers.
    """
    return Measured.of(read_array(path, fail), path.name)


def read_array(path: Path, fail: Callable[[str], InputError] | None = None) -> NDArray[Any]:
    """Return the array of numbers in a file, as it lies there; see `read_pattern`."""

    def error(message: str) -> InputError:
        return fail(f"{path.name}: {message}") if fail is not None else InputError(message, file=path)

    inputs.reading(path)
    try:
        if not path.is_file():
            raise error(not_a_file(path))
        with path.open("rb") as stream:
            if not stream.read(len(_NPY)).startswith(_NPY):
                raise error("is no NumPy array, as numpy.save writes it")
        with np.errstate(over="raise"):  # what the header says multiplied out
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as reason:
        raise error(f"is no NumPy array that can be read without unpickling ({str(reason)[:100]})") from None
    if array.dtype.kind not in "biufc":
        raise error("is no array of numbers")
    if array.size > MOST_MEASURED:
        raise error(f"has {array.size:.3g} values; at most {MOST_MEASURED} are kept")
    return array


def densities_yaml(problem: Problem) -> dict[str, Any]:
    """Return the entry of a problem's densities as plain data; empty where all tensors are dense."""
    tensors = zip(problem.shape.tensors, problem.densities, strict=False)
    found = {tensor.name: _plain(density) for tensor, density in tensors if density != DENSE}
    return {"densities": found} if found else {}


def _plain(density: Density) -> dict[str, Any]:
    match density:
        case Banded():
            return {"distribution": density.kind, "density": 1.0, "band_width": density.band_width}
        case Measured():
            pattern = base64.b64encode(zlib.compress(density.bits, 9)).decode("ascii")
            return {"distribution": density.kind, "shape": list(density.shape), "nonzero": pattern}
        case FixedStructured() | Hypergeometric():
            return {"distribution": density.kind, "density": density.density}
