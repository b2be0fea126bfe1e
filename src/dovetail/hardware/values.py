"""Values of a design's document, as the format means them: what it ignores, whole numbers, lists, places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dovetail.document import Node
from dovetail.expression import evaluate_node
from dovetail.hardware.architecture import Source

#: Evaluated names that expressions know.
Scope = Mapping[str, Any]


#: The tag that permutations and splits of earlier versions get: what they leave out follows behind what they name.
LISTED_FIRST = "!listed_first"


def without_ignored(node: Node) -> Node:
    """Return a mapping without the keys that the format ignores: those whose name contains ``ignore``."""
    entries = node.mapping()
    return replace(node, value={name: value for name, value in entries.items() if "ignore" not in name})


def truth(value: object) -> bool | None:
    """Return what a value says, in the words of earlier versions, too (``yes``, ``off``); None: neither."""
    if isinstance(value, bool):
        return value
    return {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}.get(str(value).lower())


def whole_number(node: Node, scope: Scope, minimum: int) -> int:
    """Return the whole number that a value or its expression gives; raises InputError otherwise."""
    return replace(node, value=evaluate_node(node, scope)).integer(minimum=minimum)


def listed(node: Node) -> list[Node]:
    """Return the items of a list, or the words of a text."""
    if isinstance(node.value, str):
        return [replace(node, value=word) for word in re.split(r"[,\s]+", node.value.strip()) if word]
    return node.sequence()


def place_of(node: Node) -> Source:
    """Return where a value stands."""
    return Source(node.file, node.line, node.key)
