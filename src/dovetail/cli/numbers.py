"""Numbers on the command line: ``11e6`` wherever a number is wanted; for ``type=``. Imports next to nothing."""

from __future__ import annotations

import argparse

from dovetail.mapper.allowance import LEAST_MEMORY
from dovetail.units import read_whole


def whole(text: str) -> int:
    """Return a whole number, whatever its sign; what takes it says what it may be."""
    value = read_whole(text)
    if value is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number")
    return value


def positive(text: str) -> int:
    """Return a whole number above 0."""
    value = read_whole(text)
    if value is None or value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return value


def wholes(text: str) -> list[int]:
    """Return whole numbers above 0, parted by commas."""
    try:
        return [positive(part) for part in text.split(",")]
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}: write whole numbers parted by commas, as 8,4,2") from None


def gigabytes(text: str) -> float:
    """Return bytes, of gigabytes; fewer than a search can begin with are refused."""
    value = number_above_0(text, "number of GB") * 1e9
    if value < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text} GB is less than a search begins with: {LEAST_MEMORY / 1e9:g} GB")
    return value


def seed(text: str) -> int:
    """Return what random numbers begin with."""
    value = read_whole(text)
    if value is None or not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 0 to 2^63 - 1")
    return value


def number_above_0(text: str, what: str = "number") -> float:
    """Return a number above 0, and not so far from 1 that what is computed with it is endless."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no {what} above 0")
    if not 1e-100 <= value <= 1e100:
        raise argparse.ArgumentTypeError(f"'{text}': at least 1e-100 and at most 1e100 is counted with")
    return value


def seconds(text: str) -> float:
    """Return a time above 0."""
    return number_above_0(text, "number of seconds")
