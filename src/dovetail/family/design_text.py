"""Writes a document as YAML again, tags and expressions included: a member of a family as a file of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from dovetail.document import Node, parse_document
from dovetail.errors import InternalError


def document_text(document: Node) -> str:
    """Return a document as YAML text that reads back as the same values, tags and expressions.

    Raises:
        InternalError: it does not.
    """
    text = "\n".join(_lines(document, "")) + "\n"
    if not _same(parse_document(text), document):
        raise InternalError("a design that was written as YAML does not read back as it was")
    return text


def _lines(node: Node, indent: str) -> Iterator[str]:
    """Yield a mapping's or list's lines."""
    if isinstance(node.value, dict):
        for key, inner in node.value.items():
            yield from _entry(f"{indent}{_key(key)}:", inner, indent)
    elif isinstance(node.value, list):
        for inner in node.value:
            yield from _entry(f"{indent}-", inner, indent)


def _entry(head: str, node: Node, indent: str) -> Iterator[str]:
    """Yield what stands behind a key or a dash."""
    tag = f" {node.tag}" if node.tag and node.tag.startswith("!") else ""
    if isinstance(node.value, dict | list):
        if not node.value:
            yield f"{head}{tag} {'{}' if isinstance(node.value, dict) else '[]'}"
            return
        yield head + tag
        yield from _lines(node, indent + "  ")
    else:
        yield f"{head}{tag} {_scalar(node)}".rstrip()


def _scalar(node: Node) -> str:
    value = node.value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value) if node.quoted else value
    if isinstance(value, float) and math.isnan(value):
        return ".nan"
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _key(key: str) -> str:
    read = None
    if key and key.strip() == key and all(sign.isalnum() or sign in "_.-<>= " for sign in key):
        read = parse_document(f"{key}: 1").value
    return key if isinstance(read, dict) and list(read) == [key] else json.dumps(key)


def _same(one: Node, other: Node) -> bool:
    if isinstance(one.value, dict) and isinstance(other.value, dict):
        pairs = [(one.value[key], other.value.get(key)) for key in one.value]
        alike = list(one.value) == list(other.value)
        return alike and one.tag == other.tag and all(b is not None and _same(a, b) for a, b in pairs)
    if isinstance(one.value, list) and isinstance(other.value, list):
        same = len(one.value) == len(other.value) and one.tag == other.tag
        return same and all(_same(a, b) for a, b in zip(one.value, other.value, strict=True))
    return one.value == other.value and type(one.value) is type(other.value) and one.quoted == other.quoted
