"""One key for one content: the same for equal values whatever process, hash seed or order they were built in."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePath
from typing import Any

import numpy as np


def content_key(*parts: Any) -> str:
    """Return the SHA-256 of the parts' canonical form, in hexadecimal.

    Args:
        parts: frozen dataclasses, enums, mappings, sets, tuples and lists (alike), numpy arrays, paths, strings,
            bytes, numbers, booleans, None, nested at will. Equal mappings and sets give one key whatever their
            order, and equal dataclasses whatever their fields that take no part in comparisons (``compare=False``);
            1 and 1.0 and True give different ones.

    Raises:
        TypeError: for a value of any other type, as its content is not known.
    """
    text = json.dumps(_canonical(parts), separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Return the value as JSON in which every type that JSON lacks is a list that begins with the type's name."""
    if isinstance(value, enum.Enum):
        return ["enum", type(value).__qualname__, value.name]
    if value is None or isinstance(value, bool | int | str):
        return _scalar(value)
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        array = np.ascontiguousarray(value)
        return ["array", array.dtype.str, list(np.shape(value)), hashlib.sha256(array.tobytes()).hexdigest()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.compare)
        return ["dataclass", type(value).__qualname__, [[name, _canonical(item)] for name, item in fields]]
    if isinstance(value, Mapping):
        return ["mapping", _sorted([_canonical(key), _canonical(item)] for key, item in value.items())]
    if isinstance(value, Set):
        return ["set", _sorted(_canonical(item) for item in value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, PurePath):
        return ["path", value.as_posix()]
    if isinstance(value, Sequence):
        return ["sequence", [_canonical(item) for item in value]]
    raise TypeError(f"the content of a {type(value).__qualname__} cannot be told")


def _scalar(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    return str(value) if isinstance(value, str) else int(value)


def _sorted(items: Any) -> list[Any]:
    return sorted(items, key=lambda item: json.dumps(item, separators=(",", ":"), ensure_ascii=True))
