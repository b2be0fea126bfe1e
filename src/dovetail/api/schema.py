"""The schema of all JSON, and a check against it: as much of JSON Schema as ``schema.json`` is written in.

`docs/json.md` says it in words; the file itself can be given to any validator.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from dovetail.errors import InputError, did_you_mean
from dovetail.json_text import SCHEMA_VERSION

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@functools.cache
def schema() -> dict[str, Any]:
    """Return the schema."""
    text = (resources.files("dovetail.api") / "schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def kinds() -> tuple[str, ...]:
    """Return the names of all kinds of objects, such as ``comparison``."""
    return tuple(each["$ref"].rpartition("/")[2] for each in schema()["anyOf"])


def check(value: Any, *, closed: bool = False) -> str:
    """Return what kind of object a value is, if it is as the schema says.

    Args:
        value: as JSON has it.
        closed: also refuse keys that the schema does not have; a later version may have added some.

    Raises:
        InputError: it is not; the key is said, what was found there, and what would be right.
    """
    if not isinstance(value, dict) or not str(value.get("schema", "")).startswith("dovetail."):
        raise InputError("no result of Dovetail's: the key 'schema' is missing or another's")
    kind, version = value["schema"].removeprefix("dovetail."), value.get("schema_version")
    if kind not in kinds():
        raise InputError(f"unknown kind of result '{kind}'{did_you_mean(kind, kinds())}", key="schema")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"version {version!r:.20} is not read; this program reads {SCHEMA_VERSION}", key="schema_version"
        )
    for key, message in _wrong(value, {"$ref": f"#/$defs/{kind}"}, "", closed):
        raise InputError(message, key=key.removeprefix(".") or None)
    return str(kind)


def _resolved(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = rule.get("$ref")
    return rule if reference is None else schema()["$defs"][reference.rpartition("/")[2]]


def _wrong(value: Any, rule: Mapping[str, Any], key: str, closed: bool) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for whatever is not as a rule says."""
    rule = _resolved(rule)
    if "anyOf" in rule:
        tried = [list(_wrong(value, one, key, closed)) for one in rule["anyOf"]]
        if all(tried):
            yield tried[0][0]
        return
    if "const" in rule and value != rule["const"]:
        yield key, f"must be {rule['const']!r}, found {_shown(value)}"
    if "enum" in rule and value not in rule["enum"]:
        yield key, f"must be one of {', '.join(map(str, rule['enum']))}, found {_shown(value)}"
    names = rule.get("type", ())
    accepted = [names] if isinstance(names, str) else list(names)
    if accepted and not any(_is(value, name) for name in accepted):
        yield key, f"must be {' or '.join(accepted)}, found {_shown(value)}"
    elif isinstance(value, dict):
        yield from _wrong_entries(value, rule, key, closed)
    elif isinstance(value, list) and "items" in rule:
        for place, item in enumerate(value):
            yield from _wrong(item, rule["items"], f"{key}[{place}]", closed)


def _wrong_entries(value: dict[str, Any], rule: Mapping[str, Any], key: str, closed: bool) -> Iterator[tuple[str, str]]:
    known, required = _entries(rule)
    for name in required:
        if name not in value:
            yield key, f"the key '{name}' is missing"
    rest = rule.get("additionalProperties")
    for name, item in value.items():
        if name in known:
            yield from _wrong(item, known[name], f"{key}.{name}", closed)
        elif rest is not None:
            yield from _wrong(item, rest, f"{key}.{name}", closed)
        elif closed and known:
            yield key, f"unknown key '{name}'{did_you_mean(name, known)}"


def _entries(rule: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the rules of an object's entries and the names of those that must be there, those of ``allOf`` too."""
    known: dict[str, Any] = {}
    required: list[str] = []
    for part in rule.get("allOf", ()):
        inner, needed = _entries(_resolved(part))
        known |= inner
        required += needed
    return known | rule.get("properties", {}), [*required, *rule.get("required", ())]


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _shown(value: Any) -> str:
    kind = next(name for name in _TYPES if _is(value, name))
    return kind if kind in ("object", "array", "null") else f"{kind} {str(value)[:40]!r}"
