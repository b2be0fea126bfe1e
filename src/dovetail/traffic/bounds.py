"""A network's slope: the least DRAM traffic of all its layers with so much room on the chip, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError
from dovetail.json_text import json_document, save_json
from dovetail.table import Column, Table
from dovetail.traffic.slope import Slope, Weights, slope
from dovetail.units import four_digits, joules, milliseconds, size_text, times, whole
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem
from dovetail.workload.widths import Width, checked_bits

if TYPE_CHECKING:
    import pandas

#: Bits of a value that no width is given for.
WORD_BITS = 16
_BYTE = 8

_SLOPE = (
    Column("room on chip", key="room_bytes", show=size_text),
    Column("least moved", key="traffic_bytes", show=size_text),
    Column("times once each", key="times_least", show=times),
    Column("MACs per byte", key="macs_per_byte", show=four_digits),
    Column("energy", key="dram_energy_pJ", show=joules),
    Column("time", key="dram_seconds", show=milliseconds),
)
_LAYERS = (
    Column("row", words=True),
    Column("layer", words=True),
    Column("runs", show=whole),
    Column("least moved", key="traffic_bytes", show=size_text),
    Column("once each", key="once_bytes", show=size_text),
    Column("room for that", key="enough_bytes", show=size_text),
)


@dataclass(frozen=True)
class Dram:
    """What moving a bit to or from DRAM costs; None: not asked for.

    Attributes:
        pJ_per_bit: energy.
        bytes_per_second: bandwidth, reads and writes together.
    """

    pJ_per_bit: float | None = None
    bytes_per_second: float | None = None

    def energy_pJ(self, traffic_bytes: float) -> float | None:
        """Return what moving so much takes."""
        return None if self.pJ_per_bit is None else traffic_bytes * _BYTE * self.pJ_per_bit

    def seconds(self, traffic_bytes: float) -> float | None:
        """Return how long moving so much takes."""
        return None if self.bytes_per_second is None else traffic_bytes / self.bytes_per_second


@dataclass(frozen=True)
class LayerBound:
    """One distinct layer.

    Attributes:
        layer: with how often it runs.
        slope: of one run.
    """

    layer: Layer
    slope: Slope = field(repr=False)

    def traffic_bytes(self, room_bytes: float) -> float:
        """Return the least bytes that all its runs move with so many on the chip; infinite: it needs more."""
        return self.slope.traffic(room_bytes * _BYTE) / _BYTE * self.layer.repeats

    @property
    def once_bytes(self) -> float:
        """Bytes that all its runs move where each tensor moves once."""
        return float(self.slope.traffic_bits[-1]) / _BYTE * self.layer.repeats

    @property
    def enough_bytes(self) -> float:
        """The least room in which each tensor moves once."""
        return float(self.slope.room_bits[-1]) / _BYTE


@dataclass(frozen=True)
class Bound:
    """What no design can beat.

    Attributes:
        network: the network.
        layers: each distinct layer.
        dram: what a bit costs.
    """

    network: Network
    layers: tuple[LayerBound, ...]
    dram: Dram = Dram()

    def __repr__(self) -> str:
        points = len(self.room_bytes)
        return f"<Bound {self.network.name}: {points} points, at least {self.traffic_bytes(math.inf) / 1e6:.4g} MB>"

    def _repr_html_(self) -> str:
        return self.table().filled().html(repr(self).strip("<>"))

    def traffic_bytes(self, room_bytes: float) -> float:
        """Return the least bytes that one pass moves with so many on the chip; infinite: some layer needs more."""
        return math.fsum(each.traffic_bytes(room_bytes) for each in self.layers)

    @property
    def room_bytes(self) -> NDArray[np.float64]:
        """Sizes at which more room lets the network move less, rising; the first lets every layer run at all."""
        rooms = np.unique(np.concatenate([each.slope.room_bits for each in self.layers])) / _BYTE
        least = max(float(each.slope.room_bits[0]) for each in self.layers) / _BYTE
        return np.asarray(rooms[rooms >= least])

    def rooms(self, most: int = 24) -> list[float]:
        """Return sizes in bytes, each a power of two times the least, from the least to all that is of use."""
        rooms = self.room_bytes
        first, last = float(rooms[0]), float(rooms[-1])
        steps = max(1, math.ceil(math.log2(last / first))) if last > first else 1
        factor = 2 ** max(1, math.ceil(steps / max(1, most - 1)))
        found = [first]
        while found[-1] < last:
            found.append(min(found[-1] * factor, last))
        return found

    def table(self, rooms: Sequence[float] | None = None) -> Table:
        """Return a row per size in bytes: the least bytes moved, times those of once each, energy in pJ, seconds."""
        once = self.traffic_bytes(math.inf)
        rows = []
        for room in self.rooms() if rooms is None else rooms:
            moved = self.traffic_bytes(room)
            known = math.isfinite(moved)
            rows.append(
                (
                    room,
                    moved if known else None,
                    moved / once if known else None,
                    self.network.known_macs / moved if known else None,
                    self.dram.energy_pJ(moved) if known else None,
                    self.dram.seconds(moved) if known else None,
                )
            )
        return Table(_SLOPE, tuple(rows))

    def layers_table(self, room_bytes: float) -> Table:
        """Return a row per distinct layer: the least bytes its runs move with so much room, and with enough."""
        rows = []
        for row, each in enumerate(self.layers, start=1):
            moved = each.traffic_bytes(room_bytes)
            known = moved if math.isfinite(moved) else None
            rows.append((row, each.layer.name, each.layer.repeats, known, each.once_bytes, each.enough_bytes))
        return Table(_LAYERS, tuple(rows))

    def to_frame(self) -> pandas.DataFrame:
        """Return `table` as pandas' data frame; needs the extra ``pandas``."""
        return self.table().to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: the object that ``dovetail bound --json`` prints without a design."""
        return json_document("bound", {**self.to_json(), "on": None, "notes": list(self.network.notes)})

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def __str__(self) -> str:
        """Return the least traffic by size as a table."""
        return self.table().filled().titled(repr(self)[1:-1])

    def to_json(self) -> dict[str, Any]:
        """Return plain data: every point of every layer's slope, of one run, and the network's at `rooms`."""
        return {
            "network": self.network.name,
            "dram_pJ_per_bit": self.dram.pJ_per_bit,
            "dram_bytes_per_second": self.dram.bytes_per_second,
            "points": self.table().records(),
            "layers": [
                {
                    "row": row,
                    "layer": each.layer.name,
                    "repeats": each.layer.repeats,
                    "room_bytes": (each.slope.room_bits / _BYTE).tolist(),
                    "traffic_bytes": (each.slope.traffic_bits / _BYTE).tolist(),
                }
                for row, each in enumerate(self.layers, start=1)
            ],
        }


def bound(
    network: Network,
    *,
    word_bits: int = WORD_BITS,
    dram: Dram | None = None,
    time_limit: float | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Bound:
    """Return the least that a network's layers move, one after the other, in any nests of perfect factors.

    Args:
        network: its densities are not taken into account.
        word_bits: bits of values that no width is given for.
        dram: what a bit costs.
        time_limit: seconds that a layer may take; None: as long as it takes.
        progress: called with the layers done, all layers, and the one that is done.

    Raises:
        InputError: the network has no layers, or no bound is known for one, or not in time; see
            `dovetail.traffic.slope.slope`.
    """
    distinct = network.distinct()
    checked_bits(word_bits)
    if not distinct:
        raise InputError(f"{network.name} has no layers to bound")
    found = []
    for done, layer in enumerate(distinct, start=1):
        weights = weights_of(layer.problem, word_bits, word_bits)
        found.append(LayerBound(layer, slope(layer.problem, weights, time_limit)))
        if progress is not None:
            progress(done, len(distinct), layer.name)
    return Bound(network, tuple(found), dram or Dram())


def weights_of(problem: Problem, held_bits: int, moved_bits: int) -> Weights:
    """Return what a problem's values take: as wide as is said; else so many bits on the chip, and so many at DRAM.

    A partial sum is as wide as ``sums`` says; else as it must be, if widths are given at all, and at most as a word.
    """
    widths = problem.widths or (None,) * len(problem.shape.tensors)
    held, moved, again = [], [], []
    for tensor, width in zip(problem.shape.tensors, widths, strict=True):
        own_held, own_moved = _bits(width, held_bits), _bits(width, moved_bits)
        if tensor.is_output:
            held.append(_sum_bits(problem, held_bits))
            again.append(max(own_moved, _sum_bits(problem, moved_bits)))
        else:
            held.append(own_held)
            again.append(own_moved)
        moved.append(own_moved)
    return Weights(tuple(held), tuple(moved), tuple(again))


def _bits(width: Width | None, word_bits: int) -> float:
    return float(word_bits) if width is None else width.bits + width.scale_bits / width.group


def _sum_bits(problem: Problem, word_bits: int) -> float:
    if problem.sum_bits is not None:
        return float(problem.sum_bits)
    if not problem.widths:
        return float(word_bits)
    operands = (
        word_bits if width is None else width.bits
        for tensor, width in zip(problem.shape.tensors, problem.widths, strict=True)
        if not tensor.is_output
    )
    return float(min(word_bits, sum(operands) + math.ceil(math.log2(problem.reduction))))
