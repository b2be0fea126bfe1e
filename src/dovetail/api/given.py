"""Checks of the plain numbers that calls take: what a command's options refuse, a call refuses in the same words."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from dovetail.errors import InputError
from dovetail.mapper.allowance import Allowance, Limit


def check_count(name: str, value: Any) -> None:
    """Check that a count is a whole number above 0, or None."""
    if value is None:
        return
    if not isinstance(value, Integral):
        raise InputError(f"{name} is {value!r}; it must be a whole number")
    if value < 1:
        raise InputError(f"{name} is {value}; it must be at least 1")


def kind_of(value: Any) -> str:
    """Return what something is, for a message: ``an int``, ``a torch.Tensor``, ``None``."""
    if value is None:
        return "None"
    name = f"{type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def check_seconds(name: str, value: Any) -> None:
    """Check that a time is a number of seconds above 0, or None."""
    if value is None or (isinstance(value, Real) and float(value) > 0):
        return
    raise InputError(f"{name} is {value!r}; it must be a number of seconds above 0, or None")


def check_limit(value: Limit) -> None:
    """Check what a search may take: seconds, an `Allowance` or None."""
    check_seconds("time_limit", value.seconds if isinstance(value, Allowance) else value)
