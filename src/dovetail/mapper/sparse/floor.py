"""What no mapping of a sparse design goes below: a dense machine on which nothing costs more than with its zeros.

Every count of a sparse run is at least a share of the dense one's (`dovetail.model.sparse`): of a tensor in a format
the expected non-zero words, of accesses that are left out what stays, of computations those whose operands are both
non-zero. The shares depend on tiles (`dovetail.mapper.sparse.shares`); the least over those of a cell of the mapspace
hold for all of its mappings. A machine whose prices are scaled by them has the dense search's bounds, and they hold.
Rounding to whole words and lines is made up for by `Floor.slack_pJ` and `Floor.slack_cycles`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.sparse import Leaving
from dovetail.mapper.objective import Objective
from dovetail.mapper.sparse.shares import Allowed, Cut, TileShares
from dovetail.model.arrays import Floats, Machine
from dovetail.model.charges import READ, UPDATE, WRITE
from dovetail.model.sparse.occupancy import Scattered, Structured
from dovetail.model.sparse.prices import DATA, METADATA, compute_prices, price

#: Sizes are counted in such parts of a word where a tensor is kept by its share of non-zero words.
_PARTS = 64
#: Chances enter computing with six digits; by how much one may be off.
_DIGITS = 6e-7
#: By how much sums of probabilities may differ from those that the model takes, relatively.
_ROUNDED = 1e-9
_KINDS = {READ: "read", WRITE: "fill", UPDATE: "update"}


@dataclass(frozen=True)
class Floor:
    """What no mapping goes below.

    Attributes:
        machine: on it, every mapping's energy is at most that with its zeros and `slack_pJ`, its cycles, less
            `slack_cycles`, times `pace` at most its cycles.
        pace: share of the dense cycles of computing that remain.
        slack_pJ: see ``machine``.
        slack_cycles: likewise.
    """

    machine: Machine
    pace: float
    slack_pJ: float
    slack_cycles: float

    def value(self, objective: Objective, value: float, least_pJ: float, least_cycles: float) -> float:
        """Return what no mapping goes below, from the same on `machine`.

        Args:
            objective: what is minimised.
            value: what no mapping goes below on `machine`.
            least_pJ: energy that none goes below there.
            least_cycles: cycles that none goes below there.
        """
        if objective is Objective.LATENCY:
            return max(value - self.slack_cycles, 0.0) * self.pace
        kept = max(0.0, 1 - self.slack_pJ / least_pJ) if least_pJ > 0 else 0.0
        slower = max(0.0, 1 - self.slack_cycles / max(1.0, least_cycles)) * self.pace
        return value * kept * slower ** (objective.degree - 1)

    def reached(self, objective: Objective, value: float, least_pJ: float, least_cycles: float) -> float:
        """Return the value on `machine` from which on no mapping is below a value; else as `value`."""
        if objective is Objective.LATENCY:
            return value / self.pace + self.slack_cycles
        one = self.value(objective, 1.0, least_pJ, least_cycles)
        return value / one if one > 0 else math.inf

    def values(self, objective: Objective, energy_pJ: Floats, cycles: Floats) -> Floats:
        """Return what each of many mappings does not go below, from its costs on `machine`."""
        fewest = np.maximum((cycles - self.slack_cycles) * self.pace, 1.0)
        return np.asarray(objective.formula(np.maximum(energy_pJ - self.slack_pJ, 0.0), fewest))


def floor_of(
    shares: TileShares, machine: Machine, allowed: Allowed, architecture: Architecture, energies: EnergyTable
) -> Floor:
    """Return what no mapping of a cell goes below.

    Args:
        shares: of the problem on the design.
        machine: what mappings cost without zeros.
        allowed: ``(levels, tiles)`` tiles of the cell.
        architecture: the design.
        energies: what its components cost.
    """
    cuts = [shares.cuts(tensor) for tensor in range(len(shares.scene.tensors))]
    pace, computing = _computing(shares, cuts, allowed, architecture, energies)
    energy, share = machine.energy.copy(), machine.share.copy()
    size, capacity = machine.size * _PARTS, np.where(machine.capacity < 0, -1, machine.capacity * _PARTS)
    slack = 3 * machine.compute_pJ * max(1.0, computing)
    slack_cycles = 2.0  # the model rounds cycles up, there and here
    for level, tensor in itertools.product(*map(range, machine.size.shape)):
        storage = architecture.levels[level]
        if not isinstance(storage, Storage) or not shares.keeps(level, tensor):
            continue
        one = _Place(shares, level, tensor, allowed, cuts[tensor])
        actions = energies[storage.name].actions if storage.name in energies.components else {}
        for action in (READ, UPDATE, WRITE):
            full, block = float(machine.energy[level, tensor, action]), int(machine.block[level, tensor])
            each = one.price(action, full, block, actions)
            metadata = one.metadata_pJ(action, storage.metadata.width, actions) * block
            if one.happens(action):
                slack += (one.rounding(block) * (each + metadata) + full * one.gated_up(action)) * storage.instances
            energy[level, tensor, action] = (each + metadata) * (1 - _ROUNDED)
        bandwidth = float(machine.bandwidth[level].min())
        share[level, tensor] *= one.timed(storage.datawidth) / pace * (1 - _ROUNDED)
        if np.isfinite(bandwidth) and bandwidth > 0:
            slack_cycles += one.untimed * float(machine.share[level, tensor]) / bandwidth
        size[level, tensor] = _size(shares, level, tensor, int(machine.size[level, tensor]))
    slack += slack_cycles * sum(
        float(leak) * level.instances for leak, level in zip(machine.leakage, architecture.levels, strict=False)
    )
    sent = [_least_sent(shares, at, allowed) for at in range(len(machine.leakage))]
    return Floor(
        machine._replace(
            energy=energy,
            share=share,
            size=size,
            capacity=capacity,
            leakage=machine.leakage * pace * np.array(sent),
            compute_pJ=machine.compute_pJ * computing,
        ),
        pace,
        slack,
        slack_cycles / pace,
    )


class _Place:
    """Shares of the dense counts of one tensor at one level that remain in every mapping of a cell."""

    def __init__(self, shares: TileShares, level: int, tensor: int, allowed: Allowed, cuts: list[Cut]) -> None:
        self.words = shares.words(level, tensor).least(allowed)
        self.lines = shares.lines(level, tensor).least(allowed)
        self.bits = min((bits * one.least(allowed) for bits, one in shares.metadata(level, tensor)), default=0.0)
        own = [cut for cut in cuts if cut.outermost <= level]
        outside = [cut for cut in own if cut.outermost < level]
        self.left = min((cut.left(allowed) for cut in own), default=1.0)
        self.inside = min((cut.left(allowed) for cut in outside), default=1.0)
        skipped = [cut.left(allowed) for cut in own if cut.how is Leaving.SKIPPING or cut.outermost < level]
        self.taken = min(skipped, default=1.0)
        self.only_gated = bool(own) and not outside and all(cut.how is Leaving.GATING for cut in own)
        self.level, self.is_output = level, shares.scene.tensors[tensor].is_output

    def price(self, action: int, full: float, block: int, actions: Mapping[str, float]) -> float:
        """Return pJ of a dense access, at least."""
        kept = self.inside if action == WRITE else self.left
        each = full * kept
        if action != WRITE and self.only_gated:  # what is not done is gated, at this very level
            gated = price(actions, DATA["gated", _KINDS[action]])
            each += min(gated, full) * (1 - kept)
        return each * (self.lines if block > 1 else self.words)

    def metadata_pJ(self, action: int, width: int, actions: Mapping[str, float]) -> float:
        """Return pJ of the metadata of a dense word, at least."""
        if not self.bits or not width or self.left < 1:
            return 0.0
        return self.bits / width * price(actions, METADATA["random", _KINDS[action]])

    def happens(self, action: int) -> bool:
        """Tell whether such accesses may be there: the outermost level is not filled, inputs are not updated."""
        return action == READ or (self.is_output if action == UPDATE else self.level > 0)

    @staticmethod
    def rounding(block: int) -> float:
        """Return by how many lines an instance's may be rounded up where nothing is left out.

        What zeros leave out is rounded down, so that no word is missing of those that stay.
        """
        return (block - 1) / block

    def gated_up(self, action: int) -> float:
        """Return how many accesses of an instance may be gated beyond the share: of outputs' reads, rounded up."""
        return 1.0 if self.is_output and self.left < 1 and action == READ else 0.0

    @property
    def untimed(self) -> float:
        """Words of an instance that take no time though their share would: metadata, in whole words of data."""
        kinds = sum(self.happens(action) for action in (READ, UPDATE, WRITE))
        return (kinds if self.bits else 0.0) + (1.0 if self.is_output and self.left < 1 else 0.0)

    def timed(self, word_bits: int) -> float:
        """Return the share of the dense words, metadata in words included, that takes time."""
        metadata = self.bits / word_bits if self.left == 1 else 0.0
        return self.words * min(self.inside, self.taken) + metadata


def _least_sent(shares: TileShares, level: int, allowed: Allowed) -> float:
    """Return the share of a level's instances that is sent a tile of some tensor, at least."""
    kept = [tensor for tensor in range(len(shares.scene.tensors)) if shares.keeps(level, tensor)]
    return min((shares.sent(level, tensor).least(allowed) for tensor in kept), default=1.0)


def _size(shares: TileShares, level: int, tensor: int, size: int) -> int:
    """Return the parts of a word that must have room for each word of a tile, at least."""
    zeros = shares.scene.zeros[tensor]
    if level not in shares.scene.formats[tensor]:
        return size * _PARTS
    # the fullest tile of so many words has its share of the tensor's non-zero ones at least
    return math.floor(size * _PARTS * zeros.share) if isinstance(zeros, Structured | Scattered) else 0


def _computing(
    shares: TileShares, cuts: list[list[Cut]], allowed: Allowed, architecture: Architecture, energies: EnergyTable
) -> tuple[float, float]:
    """Return the shares of the dense run's computing that remain, of its cycles and of its energy.

    All shares fall as more accesses are left out, so the most that a cell may leave out bounds them.
    """
    scene = shares.scene
    inputs = [tensor.index for tensor in scene.tensors if not tensor.is_output]
    left = {tensor: min((cut.left(allowed) for cut in cuts[tensor]), default=1.0) for tensor in inputs}
    name = architecture.compute.name
    actions, full = energies[name].actions, energies[name].energy("compute")
    less = compute_prices(actions, full)
    gated = min(1.0, less["gated"] / full) if full else 1.0
    skipped = min(gated, less["skipped"] / full) if full else 1.0
    found = [
        _computed(
            [scene.zeros[tensor].share for tensor in inputs], list(left.values()), told, scene.able, gated, skipped
        )
        for told in itertools.product(*(_told(shares, tensor) for tensor in inputs))
    ]
    timed, costly = (min(column) for column in zip(*found, strict=True))
    values = [scene.zeros[tensor].share for tensor in inputs if scene.zeros[tensor].share > 0] + list(left.values())
    sure = max(0.0, 1 - _DIGITS * sum(1 / value for value in values)) if min(values) > 0 else 0.0
    return max(timed * sure, 1e-9), costly * sure


def _told(shares: TileShares, tensor: int) -> tuple[bool, ...]:
    """Return whether the innermost level that keeps an input may, and may not, have it in a format."""
    innermost: set[bool] = set()
    for level in range(len(shares.space.levels) - 1, -1, -1):
        kept = [options >> tensor & 1 for options in shares.space.keepers[level]]
        if any(kept):
            innermost.add(level in shares.scene.formats[tensor])
        if all(kept) and kept:
            break
    return tuple(innermost)


def _computed(
    share: list[float],
    left: list[float],
    told: tuple[bool, ...],
    able: frozenset[Leaving],
    gated: float,
    skipped: float,
) -> tuple[float, float]:
    """Return the share of computations that take time, and what they cost of what all would in full.

    Args:
        share: per input, of its words that are not zero.
        left: per input, the share of accesses that is left.
        told: per input, whether its zeros are told by a format.
        able: what the compute units can do about zeros.
        gated: what a gated computation costs of a full one.
        skipped: what a skipped one does, no more than a gated one.
    """
    total = left[0] * left[1]
    there = [min(1.0, share[at] / left[1 - at]) if left[1 - at] > 0 else 1.0 for at in (0, 1)]
    absent = [1 - there[at] if told[at] else 0.0 for at in (0, 1)]
    done = total * there[0] * there[1]
    present = total * (1 - absent[0]) * (1 - absent[1])
    asked = total * (1 - absent[0] * absent[1])
    gating, skipping = Leaving.GATING in able, Leaving.SKIPPING in able
    if skipping:
        timed = present
        cost = done * (1 - gated) + present * (gated - skipped) if gating else present * (1 - skipped)
        return timed, cost + asked * skipped
    return asked, done * (1 - gated) + asked * gated if gating else asked
