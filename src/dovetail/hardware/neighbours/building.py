"""Builds the v0.4 document that a neighbour's design means, every value at the place in the file that it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.document import Node

#: Bits of a word where a file does not say how wide its values are.
WORD_BITS = 8
#: The node of what is left to estimators, where a file names none; ``--set technology=...`` says another.
TECHNOLOGY = "45nm"


@dataclass
class Translation:
    """A design on its way into v0.4.

    Attributes:
        tool: whose form it is in.
        place: the document as it stands.
        nodes: v0.4 nodes so far, outer to inner.
        passed_over: what says nothing here, with where it stands and why.
        variables: names that stand for the whole design.
    """

    tool: str
    place: Node
    nodes: list[Node] = field(default_factory=list)
    passed_over: list[tuple[Node, str]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)

    def note(self, node: Node, why: str) -> None:
        """Say once what is passed over, or assumed, and why."""
        if why not in [other for _, other in self.passed_over]:
            self.passed_over.append((node, why))

    def component(
        self,
        name: Node,
        kind: str,
        component: str,
        attributes: Mapping[str, Any],
        constraints: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a storage or a compute unit.

        Args:
            name: what it is called, where that stands.
            kind: its class in v0.4: ``DRAM``, ``storage`` or ``compute``.
            component: what estimators know it by.
            attributes: of it; those that are None are left out.
            constraints: in v0.4's words.
        """
        given = {key: value for key, value in attributes.items() if value is not None}
        entries = {"name": name, "class": kind, "subclass": component, "attributes": given}
        self.nodes.append(
            made({**entries, **({"constraints": constraints} if constraints else {})}, name, "!Component")
        )

    def fan_out(
        self, name: Node, label: str, axes: Mapping[str, int], spatial: Mapping[str, Any] | None = None
    ) -> None:
        """Add a container with a fan-out over ``meshX``, ``meshY`` or both, and constraints on its loops."""
        entries: dict[str, Any] = {"name": label, "spatial": dict(axes)}
        if spatial and any(size > 1 for size in axes.values()):
            entries["constraints"] = {"spatial": dict(spatial)}
        self.nodes.append(made(entries, name, "!Container"))

    def document(self) -> Node:
        """Return the whole as a v0.4 document; ``read_from`` has the notes."""
        notes = [replace(node, value=why, quoted=True) for node, why in self.passed_over]
        parts = {
            "architecture": {"version": "0.4", "nodes": self.nodes},
            "read_from": {"tool": self.tool, "passed_over": notes},
        }
        if self.variables:
            parts["variables"] = {"version": "0.4", **self.variables}
        return made(parts, self.place)


def made(value: Any, place: Node, tag: str | None = None) -> Node:
    """Return a value as a document has it, placed where another stands; text is text, never an expression."""
    if isinstance(value, Node):
        return value
    if isinstance(value, Mapping):
        inner: Any = {key: made(entry, place) for key, entry in value.items()}
    elif isinstance(value, list | tuple):
        inner = [made(entry, place) for entry in value]
    else:
        inner = value
    return replace(place, value=inner, tag=tag, quoted=isinstance(inner, str))


def line_of(bits_per_access: float, word_bits: int) -> int:
    """Return the bits of a line: what one access moves, in whole words, one at least."""
    return max(1, int(bits_per_access // word_bits)) * word_bits
