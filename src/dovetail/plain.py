"""Frozen dataclasses as plain values for JSON, and back by the types of their fields.

What takes no part in comparisons, and what has its default, is left out.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from dovetail.errors import InputError, did_you_mean

_Value = TypeVar("_Value")


def to_plain(value: Any) -> Any:
    """Return a value of dataclasses, enums, mappings, sets (sorted), sequences and scalars as JSON can hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name), field) for field in dataclasses.fields(value))
        return {name: to_plain(item) for name, item, field in fields if field.compare and item != _default(field)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(to_plain, value))
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def from_plain(kind: type[_Value], data: Any, key: str) -> _Value:
    """Return the dataclass that `to_plain` was given.

    Args:
        kind: its class.
        data: what `to_plain` returned, or what a file from outside says in its place.
        key: where that stands, for messages.

    Raises:
        InputError: the data are of other types, or the class refuses their values.
    """
    return typing.cast(_Value, _read(kind, data, key))


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.compare}


def _read(kind: Any, data: Any, key: str) -> Any:
    """Return data as a value of a type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if origin is types.UnionType:
        return None if data is None and type(None) in inner else _read(inner[0], data, key)
    if dataclasses.is_dataclass(kind):
        return _fields(kind, data, key)
    if origin in (tuple, frozenset):
        items = _of(list, data, key, "a list")
        return origin(_read(inner[0], item, f"{key}[{place}]") for place, item in enumerate(items))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        entries = _of(dict, data, key, "an object")
        return {name: _read(inner[1], item, f"{key}.{name}") for name, item in entries.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        known = [each.value for each in kind]
        if data not in known:
            raise InputError(f"must be one of {', '.join(map(str, known))}, found {_shown(data)}", key=key)
        return kind(data)
    return _scalar(kind, data, key)


def _fields(kind: Any, data: Any, key: str) -> Any:
    known = _types(kind)
    for name in _of(dict, data, key, "an object"):
        if name not in known:
            raise InputError(f"unknown key '{name}'{did_you_mean(name, known)}", key=key)
    try:
        return kind(**{name: _read(known[name], item, f"{key}.{name}") for name, item in data.items()})
    except TypeError:  # a field without a default is absent
        raise InputError("keys are missing", key=key) from None


def _scalar(kind: Any, data: Any, key: str) -> Any:
    accepted, words = {
        bool: (bool, "true or false"),
        int: (int, "a whole number"),
        float: (int | float, "a number"),
        str: (str, "text"),
    }[kind]
    value = _of(accepted, data, key, words)
    if isinstance(value, bool) and kind is not bool:
        raise InputError(f"must be {words}, found {_shown(data)}", key=key)
    return value


def _of(kind: Any, data: Any, key: str, words: str) -> Any:
    if not isinstance(data, kind):
        raise InputError(f"must be {words}, found {_shown(data)}", key=key)
    return data


def _shown(data: Any) -> str:
    return f"{type(data).__name__} {str(data)[:40]!r}"
