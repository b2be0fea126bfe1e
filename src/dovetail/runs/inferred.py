"""The problem of a run whose folder does not have it: its loops say the sizes, its tiles the stride and the kind."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from dovetail.document import read_text
from dovetail.errors import InputError
from dovetail.workload.problem import MOST_ITERATIONS, Problem
from dovetail.workload.problem_yaml import BUILT_IN_SHAPES
from dovetail.workload.roles import renamed

_LOOP = re.compile(r"for (\w+) in \[0:(\d{1,12})(,\d+)?\)")
_SIZES = re.compile(r"\b([A-Za-z_]\w*+):(\d{1,15})\b")
#: The letter of the output channels here, for the one that later versions of the format have.
_CHANNELS = {"M": "K"}
_STRIDES, _DILATIONS = range(1, 9), range(1, 5)


def inferred_problem(path: Path) -> Problem:
    """Return the convolution or matrix product whose loops and tiles a ``map.txt`` shows.

    The tiles of the outermost level are whole tensors; of one that only levels further in keep, a part is known. What
    a row and a column of the input cover follows from the size of the inputs: the smallest dilation, then the smallest
    stride that make it, the same on both axes.

    Raises:
        InputError: the loops are no convolution's, or no stride and dilation make its tiles.
    """
    text = read_text(path)
    sizes: dict[str, int] = {}
    for dimension, factor, residual in _LOOP.findall(text):
        if residual:
            raise InputError("has factors that leave a remainder: give the problem's file", file=path)
        sizes[dimension] = sizes.get(dimension, 1) * int(factor)
        if not 1 <= sizes[dimension] <= MOST_ITERATIONS:
            raise InputError(f"{dimension} is not from 1 to {MOST_ITERATIONS} in its loops", file=path)
    whole = {tensor: int(words) for tensor, words in _SIZES.findall(text[: text.find("for ")])}
    parts: dict[str, int] = {}
    for tensor, words in _SIZES.findall(text):
        parts[tensor] = max(parts.get(tensor, 0), int(words))
    later = {new: old for new, old in _CHANNELS.items() if new in sizes}
    known = {later.get(dimension, dimension): size for dimension, size in sizes.items()}
    name = path.name.split(".")[0]
    try:
        found = next(_candidates(("cnn_layer", "dw_cnn_layer"), known, whole, parts, name), None)
        if found is not None:
            return renamed(found, {"K": "M"} if later else {})
        found = next(_candidates(("gemm_ABZ",), sizes, whole, parts, name), None)
    except InputError as error:
        raise error.placed(path) from None
    if found is None:
        listed = ", ".join(f"{dimension} {size}" for dimension, size in sizes.items())
        why = f"its loops ({listed}) and tiles are those of no convolution and no product of matrices"
        raise InputError(f"{why}: give the problem's file", file=path)
    return found


def _candidates(
    kinds: Sequence[str], sizes: dict[str, int], whole: dict[str, int], parts: dict[str, int], name: str
) -> Iterator[Problem]:
    """Yield the problems that have the sizes, tensors of the words of ``whole``, and none of less than its part."""
    for shape in (BUILT_IN_SHAPES[kind] for kind in kinds):
        tensors = {tensor.name for tensor in shape.tensors}
        if not sizes.keys() <= set(shape.dimensions) or not parts.keys() <= tensors:
            continue
        bounds = tuple(sizes.get(dimension, 1) for dimension in shape.dimensions)
        windows = product(_DILATIONS, _STRIDES) if shape.coefficients else [(1, 1)]
        for dilation, stride in windows:
            values = (stride, stride, dilation, dilation)[: len(shape.coefficients)]
            problem = Problem(shape, bounds, values, name)
            words = {tensor: _words(problem, tensor) for tensor in parts}
            if all(words[tensor] == size for tensor, size in whole.items()) and all(
                words[tensor] >= size for tensor, size in parts.items()
            ):
                yield problem


def _words(problem: Problem, name: str) -> int:
    tensor = next(tensor for tensor in problem.shape.tensors if tensor.name == name)
    sizes = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    return math.prod(
        1 + sum((sizes[term.dimension] - 1) * problem.coefficient(term) for term in axis) for axis in tensor.projection
    )
