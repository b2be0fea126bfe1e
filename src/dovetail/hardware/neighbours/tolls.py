"""Turns AccelForge's tolls, which charge for values that pass and hold none, into storages without loops of their own.

A storage of any size below which nothing but fan-outs stands before the next memory holds exactly the tile of that
memory, and gets it when that memory does: what it reads is what passes down, what it is updated with is what passes up.
Before the compute unit it keeps nothing from one step to the next (``no_reuse``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dovetail.document import Node
from dovetail.hardware.neighbours.tensor_sets import tensor_set

#: Which ways a toll charges -> the actions of a storage that cost something then.
WAYS = {"down": ("read",), "up": ("update",), "up_and_down": ("read", "update")}


@dataclass
class Toll:
    """A toll on its way into a storage for each of its ways.

    Attributes:
        name: what it is called, where that stands.
        ways: the tensors that it charges for, by the way they go.
        held: what the next memory inside keeps; None as long as there is none.
        memory: what that memory is called.
    """

    name: Node
    ways: Mapping[str, frozenset[str]]
    held: frozenset[str] | None = field(default=None, init=False)
    memory: str = field(default="", init=False)

    def meet(self, memory: str, keeps: frozenset[str]) -> None:
        """Pass a memory further inside, and what it must keep; the first one counts."""
        if self.held is None:
            self.held, self.memory = keeps, memory

    def constraints(self, way: str) -> dict[str, Any]:
        """Return the constraints of the storage for one way, in v0.4's words.

        Raises:
            InputError: a tensor goes past the next memory, so that it would rest in the storage meanwhile.
        """
        mine = self.ways[way]
        past = sorted(mine - self.held) if self.held is not None else []
        if past:
            raise self.name.fail(
                f"!Toll has no equal here where what passes need not be kept by the next memory inside: "
                f"{self.memory} would have to keep {', '.join(past)}"
            )
        again = {"no_reuse": sorted(mine)} if self.held is None else {}
        return {"dataspace": {"keep_only": sorted(mine)}, "temporal": {"factors_only": [], **again}}

    def label(self, way: str) -> Node:
        """Return what the storage for one way is called, where the toll stands."""
        if len(self.ways) == 1:
            return self.name
        return Node(f"{self.name.text()}_{way}", self.name.file, self.name.line, self.name.key, quoted=True)


def ways_of(direction: Node, tensors: frozenset[str], kept: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return tensors by the way that a toll charges them for.

    Args:
        direction: ``up``, ``down`` or ``up_and_down``, or one of these for each of several sets of tensors.
        tensors: those that pass.
        kept: of each memory further out, what it may keep.

    Raises:
        InputError: it is none of these.
    """
    given = (
        [(tensor_set(Node(text, node.file, node.line, node.key), kept), node) for text, node in direction.value.items()]
        if isinstance(direction.value, dict)
        else [(tensors, direction)]
    )
    found: dict[str, frozenset[str]] = {}
    for names, node in given:
        if node.value not in WAYS:
            raise node.fail(f"must be one of {', '.join(WAYS)}, found {node.kind}")
        way = node.text()
        found[way] = found.get(way, frozenset()) | names & tensors
    unsaid = sorted(tensors - frozenset[str]().union(*found.values()))
    if unsaid:
        raise direction.fail(f"says nothing of {', '.join(unsaid)}")
    return {way: names for way, names in found.items() if names}
