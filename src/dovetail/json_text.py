"""Results as JSON: numbers without a value (infinite, or none at all) become null, as JSON has no word for them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dovetail.files import write_text
from dovetail.version import __version__

#: Raised when a key changes its meaning or goes away; `docs/json.md` says what each version has.
SCHEMA_VERSION = 1


def json_document(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object of results under the head that every one has: what it is, in which version of the schema.

    Args:
        kind: its definition in ``api/schema.json``, such as ``comparison``.
        fields: everything else: mappings, lists, tuples, sets and scalars, which become what JSON has.
    """
    head = {"schema": f"dovetail.{kind}", "schema_version": SCHEMA_VERSION, "dovetail_version": __version__}
    found: dict[str, Any] = _finite({**head, **fields}, None)
    return found


def json_text(value: Any, *, indent: int | None = 2, digits: int | None = None) -> str:
    """Return a value as JSON.

    Args:
        value: mappings, lists, tuples, sets (sorted) and scalars.
        indent: spaces per level; None: all on one line, as short as it can be.
        digits: to how many digits numbers that are not whole are rounded; None: in full.
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(_finite(value, digits), indent=indent, separators=separators, allow_nan=False)


def save_json(path: str | Path, document: Mapping[str, Any]) -> None:
    """Write an object of results as a file that `dovetail.load` reads.

    Raises:
        WriteError: it cannot be written there.
    """
    write_text(Path(path), json_text(document) + "\n")


def _finite(value: Any, digits: int | None) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, digits) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(value)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")
