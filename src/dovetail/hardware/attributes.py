"""The attributes that a node of a design gives itself: evaluated, their names checked, errors where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from dovetail.document import Node
from dovetail.errors import InputError
from dovetail.expression import evaluate_all, evaluate_node
from dovetail.hardware.attribute_list import check_names
from dovetail.hardware.values import Scope, listed, without_ignored

#: Attributes that are lists or mappings, or words in place of one.
_LISTS = ("value_widths", "products", "product_energy", "product_sums")
#: A node's entries by key, ignored ones left out.
Entries = Mapping[str, Node]


def own_attributes(entries: Entries, scope: Scope) -> dict[str, Any]:
    """Return a node's own evaluated attributes, ``-`` in their names written as ``_``.

    Args:
        entries: of the node; ``area_scale`` and ``energy_scale`` beside the attributes count as such.
        scope: names for expressions.

    Raises:
        InputError: an attribute is given twice, cannot be computed, or is not supported.
    """
    node = entries.get("attributes")
    if node is None or node.value is None:
        result = {}
    else:
        own: dict[str, Node] = {}
        for name, value in without_ignored(node).mapping().items():
            if (plain := _plain_name(name)) in own:
                raise value.fail(f"the attribute '{name}' is given twice")
            own[plain] = _as_text(value) if plain in _LISTS else value
        values = evaluate_all(own, scope)
        result = {name: value for name, value in values.items() if value is not None}
        check_names(result, partial(attribute_error, entries))
    for name in ("area_scale", "energy_scale"):
        if name in entries and (scale := evaluate_node(entries[name], scope)) is not None:
            result[name] = scale
    return result


def attribute_error(entries: Entries, name: str, message: str) -> InputError:
    """Return the error about an attribute, placed at it, or at its component when it was inherited or is absent."""
    node = entries.get("attributes")
    if node is None or not isinstance(node.value, dict):
        return entries["name"].fail(f"{entries['name'].text()}: {message}")
    return node.value.get(name, node).fail(message)


def size_error(entries: Entries, error: InputError) -> InputError:
    """Return the error about a component's size, placed at the attribute that it names, as nearly as can be told."""
    node = entries.get("attributes")
    sizes = node.value if node is not None and isinstance(node.value, dict) else {}
    named = (sizes[name] for name in sizes if name.replace("-", "_") in error.message.split())
    return next(named, node or entries["name"]).fail(error.message)


def _as_text(node: Node) -> Node:
    """Return a list, a mapping, or a bare word, as a text with commas and colons, which is no expression."""
    if isinstance(node.value, dict):
        said = [f"{bits}: {_word(item)}" for bits, item in without_ignored(node).mapping().items()]
    else:
        said = [_word(item) for item in (listed(node) if isinstance(node.value, list | str) else [node])]
    return replace(node, value=", ".join(said), quoted=True)


def _word(node: Node) -> str:
    return node.kind if isinstance(node.value, list | dict) else str(node.value)


def _plain_name(name: str) -> str:
    """Return an attribute's name with ``_`` for ``-``, but for the one that the reference knows with hyphens only."""
    return name if name == "energy-per-ingress" else name.replace("-", "_")
