"""What a network is given: the shape and kind of each input, as a person writes them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.errors import InputError, did_you_mean

#: Kinds of elements that inputs may have, in PyTorch's and NumPy's words.
KINDS = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
#: Inputs have at most so many axes, each at most so long.
_AXES, _LONGEST = 8, 10**9
_FORM = re.compile(r"(?:(?P<name>[^\s=:]+)=)?(?P<shape>[0-9]+(?:[xX,][0-9]+)*)(?::(?P<kind>\w+))?")


@dataclass(frozen=True)
class NetworkInput:
    """One input of a network.

    Attributes:
        shape: its axes; the first input's first is the batch.
        kind: of its elements, one of `KINDS`; empty: what the network's file says, else ``float32``.
        name: the argument, or the graph's input, that it is for; empty: by its place.
    """

    shape: tuple[int, ...]
    kind: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Return it as a person writes it."""
        named = f"{self.name}=" if self.name else ""
        return f"{named}{'x'.join(map(str, self.shape))}{f':{self.kind}' if self.kind else ''}"


def parse_input(text: str) -> NetworkInput:
    """Read ``[NAME=]SHAPE[:KIND]``, such as ``1x3x48x320``, ``image=1x3x48x320`` or ``input_ids=1x128:int64``.

    Raises:
        InputError: it has another form.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InputError(f"'{text}' is no input: write [NAME=]SHAPE[:KIND], as 1x3x48x320 or input_ids=1x128:int64")
    shape = tuple(int(size[:12]) for size in re.split("[xX,]", found["shape"]))
    kind = found["kind"] or ""
    if kind and kind not in KINDS:
        raise InputError(f"'{text}': no kind of element '{kind}'{did_you_mean(kind, KINDS)}")
    if len(shape) > _AXES or not all(1 <= size <= _LONGEST for size in shape):
        raise InputError(f"'{text}': an input has 1 to {_AXES} axes, each of 1 to {_LONGEST:,}")
    return NetworkInput(shape, kind, found["name"] or "")


def check_names(inputs: Sequence[NetworkInput]) -> None:
    """Check that inputs go together: each name once, and those without a name first.

    Raises:
        InputError: they do not.
    """
    names = [each.name for each in inputs if each.name]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"the input '{name}' is given twice")
    if any(one.name and not other.name for one, other in itertools.pairwise(inputs)):
        raise InputError("inputs without a name are told by their place: they stand before those with one")


def image_size(inputs: Sequence[NetworkInput]) -> int | None:
    """Return rows and columns when the one input is a square colour image, else None."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].kind not in ("", "float32"):
        return None
    _, channels, rows, columns = inputs[0].shape
    return rows if channels == 3 and rows == columns else None
