"""Networks that levels name: which component each is, and what it says of energies.

The model infers the networks between levels. Where a storage names one (``network_read``, ``network_update``), what
that component says of energies counts for the wires from the storage to the next level inside, as if it said it itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dovetail.document import Node
from dovetail.hardware.attribute_list import Fail
from dovetail.hardware.attributes import own_attributes
from dovetail.hardware.energy_attributes import WIRE_ATTRIBUTES
from dovetail.hardware.node_reader import Leaf, Part, leaves
from dovetail.hardware.values import Scope

#: What the classes of networks have in their names.
NETWORK_CLASSES = ("XY_NoC", "Legacy", "ReductionTree", "SimpleMulticast")
_NAMED_BY = (
    "network_read", "network_update", "network_fill", "network_drain", "network_operand", "network_result",
)  # fmt: skip
_COUNTED = _NAMED_BY[:2]


@dataclass(frozen=True)
class Networks:
    """The network components of a design.

    Attributes:
        leaves: by name.
        named: those that a level names.
    """

    leaves: Mapping[str, Leaf] = field(default_factory=dict)
    named: frozenset[str] = frozenset()

    def energies(self, own: Mapping[str, Any], scope: Scope, fail: Fail) -> dict[str, Any]:
        """Return what the networks that a storage names say of energies, by attribute.

        Args:
            own: the storage's evaluated attributes.
            scope: names for expressions.
            fail: builds the error for an attribute's name and a message.

        Raises:
            InputError: there is no such network, or two of them differ.
        """
        found: dict[str, Any] = {}
        for word in (word for word in _NAMED_BY if own.get(word) is not None):
            leaf = self.leaves.get(str(own[word]))
            if leaf is None:
                raise fail(word, f"no network component is named '{str(own[word])[:60]}'")
            if word not in _COUNTED:
                continue
            for name, value in own_attributes(leaf.entries, scope).items():
                if name in WIRE_ATTRIBUTES and found.setdefault(name, value) != value:
                    raise fail(word, f"networks for reads and for updates that differ in '{name}' are not modelled")
        return found

    def note(self, leaf: Leaf) -> str:
        """Return what should be known of a network component, with its place."""
        node = leaf.entries["class"]
        said = f"{node.file}:{node.line}: {leaf.name} is a network ({node.text()[:60]}) that "
        if leaf.name not in self.named:
            return f"{said}no storage names: no part of the model"
        attributes = leaf.entries.get("attributes")
        stated = attributes.value if attributes is not None and isinstance(attributes.value, dict) else {}
        if set(stated) & set(WIRE_ATTRIBUTES):
            return f"{said}a storage names: its energies count as those of the wires below"
        return f"{said}a storage names and that states no energy ('energy-per-ingress', say): its words cost nothing"


def named_networks(parts: Sequence[Part]) -> Networks:
    """Return the networks of a design's nodes."""
    every = [leaf for part in parts for leaf in leaves(part) if "class" in leaf.entries]
    found = {leaf.name: leaf for leaf in every if is_network(leaf.entries["class"])}
    return Networks(found, frozenset(name for leaf in every for name in names_of(leaf.entries)))


def is_network(kind: Node) -> bool:
    """Say whether a component's class is one of networks."""
    return isinstance(kind.value, str) and any(word in kind.value for word in NETWORK_CLASSES)


def names_of(entries: Mapping[str, Node]) -> list[str]:
    """Return the networks that a component names."""
    attributes = entries.get("attributes")
    own = attributes.value if attributes is not None and isinstance(attributes.value, dict) else {}
    return [str(own[word].value) for word in _NAMED_BY if word in own]
