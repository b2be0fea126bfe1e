"""How far a design is from the least DRAM traffic that its room on the chip allows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.packing import products_at_once
from dovetail.mapping.widths import states_widths
from dovetail.network.costs import MappedLayer, NetworkCost, outer_words
from dovetail.network.resident import passing
from dovetail.table import Column, Table
from dovetail.traffic.bounds import weights_of
from dovetail.traffic.slope import slope
from dovetail.units import size_text, times, whole
from dovetail.workload.problem import Problem

_BYTE = 8
_LAYERS = (
    Column("row", words=True),
    Column("layer", words=True),
    Column("runs", show=whole),
    Column("moved", key="moved_bytes", show=size_text),
    Column("least", key="least_bytes", show=size_text),
    Column("times least", key="times_least", show=times),
)


@dataclass(frozen=True)
class LayerDistance:
    """One distinct layer on the design.

    Attributes:
        mapped: the layer with its mapping.
        room_bytes: what all storages on the chip, and the operands at the compute units, hold.
        moved_bytes: what all its runs move to and from DRAM.
        least_bytes: what they move at least, on any design with so much room.
    """

    mapped: MappedLayer
    room_bytes: float
    moved_bytes: float
    least_bytes: float

    @property
    def times(self) -> float:
        """How many times the least it moves."""
        return self.moved_bytes / self.least_bytes


@dataclass(frozen=True)
class Distance:
    """A network on a design, beside what no design can beat.

    Attributes:
        cost: the network's layers mapped.
        layers: each distinct layer.
    """

    cost: NetworkCost
    layers: tuple[LayerDistance, ...] = field(repr=False)

    @property
    def room_bytes(self) -> float:
        """What the chip holds; of layers that differ in that, the one with most."""
        return max(each.room_bytes for each in self.layers)

    @property
    def moved_bytes(self) -> float:
        """What one pass moves."""
        return math.fsum(each.moved_bytes for each in self.layers)

    @property
    def least_bytes(self) -> float:
        """What one pass moves at least on any design with so much room."""
        return math.fsum(each.least_bytes for each in self.layers)

    @property
    def times(self) -> float:
        """How many times the least one pass moves."""
        return self.moved_bytes / self.least_bytes

    def __repr__(self) -> str:
        return f"<Distance {self.cost.name}: {self.times:.4g} times the least>"

    def table(self) -> Table:
        """Return a row per distinct layer; bytes are of all its runs."""
        rows = tuple(
            (row, each.mapped.name, each.mapped.layer.repeats, each.moved_bytes, each.least_bytes, each.times)
            for row, each in enumerate(self.layers, start=1)
        )
        return Table(_LAYERS, rows, ("", "all layers", None, self.moved_bytes, self.least_bytes, self.times))

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "design": self.cost.architecture.name,
            "objective": str(self.cost.objective),
            "exact": self.cost.exact,
            "room_bytes": self.room_bytes,
            "moved_bytes": self.moved_bytes,
            "least_bytes": self.least_bytes,
            "times_least": self.times,
            "layers": self.table().records(),
        }


def distance(cost: NetworkCost) -> Distance:
    """Return how far a network's mappings on a design are from the least traffic.

    Raises:
        InputError: no bound is known for a layer, or one has mappings of other than perfect factors.
    """
    return Distance(cost, tuple(_of_layer(each, cost.architecture) for each in cost.distinct))


def _of_layer(mapped: MappedLayer, architecture: Architecture) -> LayerDistance:
    problem, outermost = mapped.layer.problem, architecture.storages[0]
    if any(loop.residual for level in mapped.result.mapping.levels for loop in level.loops):
        raise InputError(f"{mapped.name}: the bound is over perfect factors; its mapping has others")
    if passed := sorted(passing(outermost, {tensor.name for tensor in problem.shape.tensors})):
        raise InputError(
            f"{outermost.name} lets {' and '.join(passed)} pass by; the bound is over words of all tensors"
        )
    room, held_bits = room_bits(architecture, problem)
    least = slope(problem, weights_of(problem, held_bits, outermost.datawidth)).traffic(room)
    moved = float(outer_words(mapped, architecture)) * outermost.datawidth
    runs = mapped.layer.repeats
    return LayerDistance(mapped, room / _BYTE, moved / _BYTE * runs, least / _BYTE * runs)


def room_bits(architecture: Architecture, problem: Problem) -> tuple[float, int]:
    """Return what a chip holds of a problem in bits, and the bits of a value there that has no width of its own.

    All instances of all storages but the outermost, and an operand of each tensor for each product that a compute unit
    does at once. A value without a width takes a word, however wide: where a problem states none, words are counted, at
    the outermost level's bits.
    """
    storages = architecture.storages[1:]
    stated = states_widths(problem)
    word = architecture.storages[0].datawidth
    held_bits = min([each.datawidth for each in storages], default=word) if stated else word
    weights = weights_of(problem, held_bits, word)
    total = (
        architecture.compute.instances
        * products_at_once(problem, architecture.compute)
        * math.fsum(max(held, moved) for held, moved in zip(weights.held, weights.moved, strict=True))
    )
    for each in storages:
        if each.words is None:
            return math.inf, held_bits
        total += each.words * each.instances * (each.datawidth if stated else word)
    return total, held_bits
