"""Bits of a value of each tensor of a layer, and how people write them: ``weights=4,inputs=8,outputs=16,sums=24``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dovetail.errors import InputError, did_you_mean

#: Bits of a value, of a scale, and values that share a scale: more is no number format but a slip.
MOST_BITS, MOST_GROUP = 64, 1 << 20
#: What partial sums are called where widths are written.
SUMS = "sums"


@dataclass(frozen=True)
class Width:
    """How wide the values of a tensor are.

    Attributes:
        bits: of one value.
        scale_bits: of the scale that a group of values shares; 0: they share none.
        group: values that share a scale.
    """

    bits: int
    scale_bits: int = 0
    group: int = 1

    def __str__(self) -> str:
        """Return it as `parse_width` reads it."""
        return f"{self.bits}+{self.scale_bits}/{self.group}" if self.scale_bits else str(self.bits)


#: Number formats by their names: the microscaling formats of the Open Compute Project (MX 1.0, 2023: a shared exponent
#: of 8 bits per 32 values) and NVIDIA's (a scale of 8 bits per 16 values).
FORMATS = {
    "mxfp8": Width(8, 8, 32),
    "mxfp6": Width(6, 8, 32),
    "mxfp4": Width(4, 8, 32),
    "mxint8": Width(8, 8, 32),
    "nvfp4": Width(4, 8, 16),
}

#: Widths by the names that they are written with; ``*`` stands for every tensor.
Named = Mapping[str, Width]


def parse_width(text: str) -> Width:
    """Read one width: ``8``; ``4+16/128``, a scale of 16 bits for 128 values; or a format's name such as ``mxfp4``.

    Raises:
        InputError: it is none of these, or its bits are no whole number from 1 to `MOST_BITS`.
    """
    word = text.strip()
    if word.lower() in FORMATS:
        return FORMATS[word.lower()]
    found = re.fullmatch(r"(-?[0-9.]{1,20})(?:\+([0-9]{1,9})/([0-9]{1,9}))?", word)
    if not found:
        known = ", ".join(FORMATS)
        raise InputError(f"'{word[:40]}' is no width: write 8, with a scale for a group of values 4+16/128, or {known}")
    bits = checked_bits(found[1])
    if found[2] is None:
        return Width(bits)
    scale, group = int(found[2]), int(found[3])
    if not 1 <= scale <= MOST_BITS or not 2 <= group <= MOST_GROUP:
        raise InputError(f"'{word}': a scale has 1 to {MOST_BITS} bits, and 2 to {MOST_GROUP} values share it")
    return Width(bits, scale, group)


def checked_bits(value: object) -> int:
    """Return a number of bits.

    Raises:
        InputError: it is no whole number from 1 to `MOST_BITS`.
    """
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,20}", text) or not 1 <= int(text) <= MOST_BITS:
        raise InputError(f"a width is a whole number of bits from 1 to {MOST_BITS}, found {text[:40]}")
    return int(text)


def parse_widths(text: str) -> dict[str, Width]:
    """Read ``weights=4,inputs=8`` (commas, semicolons or spaces between), or one width for all tensors: ``8``.

    Raises:
        InputError: a part is of another form, or speaks of a tensor twice.
    """
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    if len(parts) == 1 and "=" not in parts[0]:
        return {"*": parse_width(parts[0])}
    named: dict[str, Width] = {}
    for part in parts:
        name, sign, width = part.partition("=")
        if not (name and sign and width):
            raise InputError(f"'{part[:40]}' gives no tensor its bits: write them as weights=4,inputs=8,outputs=16")
        if any(name.lower() == other.lower() for other in named):
            raise InputError(f"'{name}' has two widths in '{text[:80]}'")
        named[name] = parse_width(width)
    if not named:
        raise InputError("no widths: write them as weights=4,inputs=8,outputs=16, or one for all tensors, as 8")
    return named


@dataclass(frozen=True)
class LayerBits:
    """Widths for some layers of a network.

    Attributes:
        layer: a layer's name, a pattern of names with ``*``, or ``first`` or ``last`` where none is called so.
        widths: by the names of tensors.
    """

    layer: str
    widths: Named

    def speaks_of(self, name: str, place: int, layers: int) -> bool:
        """Return whether a layer is meant, by its name and its place among so many."""
        return is_meant(self.layer, name, place, layers)


def is_meant(pattern: str, name: str, place: int, layers: int) -> bool:
    """Return whether a layer is meant: by its name, a pattern of names, or as the first or the last of so many."""
    return pattern == name or fnmatchcase(name, pattern) or (pattern, place) in (("first", 0), ("last", layers - 1))


def parse_layer_bits(text: str) -> LayerBits:
    """Read widths for all layers, ``weights=4,inputs=8``, or for some of them, ``conv1:8`` or ``first:weights=8``.

    Raises:
        InputError: it is of another form.
    """
    layer, colon, widths = text.rpartition(":")
    if colon and not layer.strip():
        raise InputError(f"'{text[:40]}' names no layer; write LAYER:8, or 8 for all of them")
    return LayerBits(layer.strip() if colon else "*", parse_widths(widths))


def unknown_tensor(name: str, tensors: Sequence[str], where: str) -> InputError:
    """Return the error for a name that stands for no tensor of a layer."""
    known = [*tensors, SUMS]
    near = did_you_mean(name.lower(), [each.lower() for each in known]) or f": {', '.join(known)}"
    return InputError(f"{where} has no tensor '{name[:40]}' that could have a width{near}")


def widths_text(tensors: Sequence[str], widths: Sequence[Width | None], sum_bits: int | None) -> str:
    """Return widths as `parse_widths` reads them, those that are given; empty where none is."""
    given = [f"{name}={width}" for name, width in zip(tensors, widths, strict=False) if width is not None]
    return " ".join([*given, *([f"{SUMS}={sum_bits}"] if sum_bits is not None else [])])
