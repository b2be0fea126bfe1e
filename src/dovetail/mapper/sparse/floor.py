"""What no mapping of a sparse design goes below: a dense machine on which nothing costs more than with its zeros.

Every count of a sparse run is at least a share of the dense one's (`dovetail.model.sparse`): of a tensor in a format
the expected non-zero words of the sparsest tile that a mapping may have; of accesses that are left out what stays when
the words that decide are single ones, which are zero most often; of computations those whose operands are both
non-zero. A machine whose prices are scaled by these shares has the dense search's bounds, and they hold. Rounding to
whole lines is made up for by `Floor.slack_pJ`. Metadata, and what gated accesses cost, are taken to be free.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.sparse import Leaving
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.objective import Objective
from dovetail.model.apart import refuse_apart
from dovetail.model.arrays import Floats, Machine
from dovetail.model.charges import READ, UPDATE, WRITE
from dovetail.model.encode import encode_machine
from dovetail.model.sparse.occupancy import Extents, Scattered, Structured, first_chance
from dovetail.model.sparse.prices import compute_prices
from dovetail.model.sparse.scene import SparseScene, scene_of
from dovetail.workload.problem import Problem

#: Sizes are counted in such parts of a word where a tensor is kept by its share of non-zero words.
_PARTS = 64
#: Chances enter computing with six digits; shares are lowered by what that may come to.
_DIGITS = 1e-5


@dataclass(frozen=True)
class Floor:
    """What no mapping goes below.

    Attributes:
        machine: on it, every mapping's energy is at most that with its zeros and `slack_pJ`, its cycles times `pace` at
            most its cycles.
        pace: share of the dense cycles of computing that remain.
        slack_pJ: see ``machine``.
    """

    machine: Machine
    pace: float
    slack_pJ: float

    def value(self, objective: Objective, value: float, least_pJ: float) -> float:
        """Return what no mapping goes below, from the same on `machine`.

        Args:
            objective: what is minimised.
            value: what no mapping goes below on `machine`.
            least_pJ: energy that none goes below there.
        """
        if objective is Objective.LATENCY:
            return max(value - 1, 0.0) * self.pace
        kept = max(0.0, 1 - self.slack_pJ / least_pJ) if least_pJ > 0 else 0.0
        return value * kept * self.pace ** (objective.degree - 1)

    def values(self, objective: Objective, energy_pJ: Floats, cycles: Floats) -> Floats:
        """Return what each of many mappings does not go below, from its costs on `machine`."""
        fewest = np.maximum((cycles - 1) * self.pace, 1.0)  # the model rounds cycles up, there and here
        return np.asarray(objective.formula(np.maximum(energy_pJ - self.slack_pJ, 0.0), fewest))


def floor_of(problem: Problem, architecture: Architecture, energies: EnergyTable) -> Floor:
    """Return what no mapping of a problem on a sparse design goes below.

    Args:
        problem: the layer.
        architecture: the design, its constraints bound to the problem.
        energies: what its components cost.
    """
    refuse_apart(architecture, energies)
    machine = encode_machine(problem, architecture, energies, apart=True)
    scene = scene_of(problem, architecture)
    shares = _Shares(scene, problem, architecture)
    pace, computing = shares.computing(energies)
    levels, tensors = machine.size.shape
    energy, share = machine.energy.copy(), machine.share.copy()
    size, capacity = machine.size * _PARTS, np.where(machine.capacity < 0, -1, machine.capacity * _PARTS)
    slack = 3 * machine.compute_pJ * max(1.0, computing)
    slack += sum(
        float(leak) * level.instances for leak, level in zip(machine.leakage, architecture.levels, strict=False)
    )
    for level, tensor in itertools.product(range(levels), range(tensors)):
        storage = architecture.levels[level]
        if not isinstance(storage, Storage):
            continue
        words, whole = shares.words(level, tensor), machine.block[level, tensor] > 1
        lines = shares.lines(level, tensor) if whole else words
        inside, below = shares.left_inside(level, tensor), shares.left(level, tensor)
        more = scene.tensors[tensor].is_output and below < 1  # left-out reads of outputs are rounded up
        for action, kept in ((READ, below), (UPDATE, below), (WRITE, inside)):
            rounding = (lines * kept if whole else 0.0) + more
            slack += float(machine.energy[level, tensor, action]) * rounding * storage.instances
            energy[level, tensor, action] *= lines * kept
        share[level, tensor] *= 0.0 if more else words * min(inside, below) / pace
        size[level, tensor] = shares.size(level, tensor, int(machine.size[level, tensor]), int(machine.capacity[level]))
    leakage = machine.leakage * pace * [min(shares.sent(level, t) for t in range(tensors)) for level in range(levels)]
    return Floor(
        machine._replace(
            energy=energy,
            share=share,
            size=size,
            capacity=capacity,
            leakage=leakage,
            compute_pJ=machine.compute_pJ * computing,
        ),
        pace,
        slack,
    )


class _Shares:
    """Shares of dense counts that remain in any mapping, by level and tensor."""

    def __init__(self, scene: SparseScene, problem: Problem, architecture: Architecture) -> None:
        self.scene, self.problem, self.architecture = scene, problem, architecture
        self._least: dict[tuple[int, bool], tuple[float, float, float]] = {}

    def sent(self, level: int, tensor: int) -> float:
        """Return the share of instances that are sent a tile."""
        return (
            self._shares(tensor, self._known_outside(level, tensor))[0] if self._known_outside(level, tensor) else 1.0
        )

    def words(self, level: int, tensor: int) -> float:
        """Return the share of words that a format leaves, over all instances."""
        sent, dense, _ = self._shares(tensor, self._known_outside(level, tensor))
        return dense if level in self.scene.formats[tensor] else sent

    def lines(self, level: int, tensor: int) -> float:
        """Return the share of lines that a format leaves, over all instances."""
        sent, _, lines = self._shares(tensor, self._known_outside(level, tensor))
        return lines if level in self.scene.formats[tensor] else sent

    def left(self, level: int, tensor: int) -> float:
        """Return the share of reads and updates that is left of a level's own where accesses are left out."""
        return 1 - max((chance for at, chance in self._chances(tensor) if at <= level), default=0.0)

    def left_inside(self, level: int, tensor: int) -> float:
        """Return the share of fills that is left where levels outside leave accesses out."""
        return 1 - max((chance for at, chance in self._chances(tensor) if at < level), default=0.0)

    def size(self, level: int, tensor: int, size: int, capacity: int) -> int:
        """Return the parts of a word that must have room for each word of a tile, at least."""
        zeros = self.scene.zeros[tensor]
        if level not in self.scene.formats[tensor] or capacity < 0:
            return size * _PARTS
        if isinstance(zeros, Structured):
            return math.floor(size * _PARTS * zeros.share)
        if isinstance(zeros, Scattered) and zeros.nonzero * size > capacity:
            return size * _PARTS  # what fits has no more words than the tensor has non-zero ones, so all may be
        return 0

    def _known_outside(self, level: int, tensor: int) -> bool:
        """Return whether a level outside may have the tensor in a format."""
        return any(at < level for at in self.scene.formats[tensor])

    def _shares(self, tensor: int, known: bool) -> tuple[float, float, float]:
        """Return (instances sent a tile, words, lines) as shares, the least over all tiles."""
        if (tensor, known) not in self._least:
            found = [self._of_tile(tensor, tile, known) for tile in self._tiles(tensor)]
            sent, words, lines = (min(column) for column in zip(*found, strict=True))
            self._least[tensor, known] = sent, words, lines
        return self._least[tensor, known]

    def _of_tile(self, tensor: int, tile: Extents, known: bool) -> tuple[float, float, float]:
        zeros, words = self.scene.zeros[tensor], math.prod(tile)
        first, chance, mean = first_chance(zeros, tile)
        if not known or zeros.smallest(tile) > 0:
            return 1.0, mean / words, mean / words
        sent = 1 - chance
        kept = max(0.0, (mean - first * chance) / words)  # words of tiles that are sent; some never are, by a slip
        density = kept / sent if sent else 0.0
        both = (density, sent * density, sent * min(density, mean / words))
        return sent, min(both[1], 1.0), both[2]

    def _tiles(self, tensor: int) -> Iterator[Extents]:
        operand = self.scene.tensors[tensor]
        sizes = [divisors_of(bound) if d in operand.dimensions else [1] for d, bound in enumerate(self.problem.bounds)]
        yield from {operand.extents(choice) for choice in itertools.product(*sizes)}

    def _chances(self, tensor: int) -> list[tuple[int, float]]:
        """Return (outermost level at which it may be, greatest chance) of everything that is left out of a tensor."""
        found = []
        for group in self.scene.groups:
            for way in group.ways:
                if way.target == tensor:
                    there = math.prod(1 - self._empty(other) for other in way.conditions)
                    found.append((self._outermost(group.level, tensor), 1 - there))
        return found

    def _outermost(self, level: int, tensor: int) -> int:
        """Return the outermost level at which what a level leaves out of a tensor may be counted."""
        name = self.scene.tensors[tensor].name
        for at in range(level, 0, -1):
            if name in self.architecture.levels[at].constraints.keep:
                return at
        return 0

    def _empty(self, tensor: int) -> float:
        """Return the greatest probability that the words of a tensor that an access meets are all zero."""
        zeros = self.scene.zeros[tensor]
        if isinstance(zeros, Structured | Scattered):
            return 1 - zeros.share if zeros.share < 1 else 0.0
        return 1.0 if zeros.share < 1 else 0.0

    def computing(self, energies: EnergyTable) -> tuple[float, float]:
        """Return the shares of the dense run's computing that remain, of its cycles and of its energy."""
        able, inputs = self.scene.able, [tensor.index for tensor in self.scene.tensors if not tensor.is_output]
        first, second = inputs
        density = {tensor: self.scene.zeros[tensor].share for tensor in inputs}
        left = {tensor: max((chance for _, chance in self._chances(tensor)), default=0.0) for tensor in inputs}
        done = min(1 - left[second], density[first]) * min(1 - left[first], density[second])
        timed = costly = done
        if not any(left.values()) and not any(self.scene.formats[tensor] for tensor in inputs):
            gated = 1 - done if Leaving.GATING in able else 0.0  # nothing is absent, so nothing is skipped
            name = self.architecture.compute.name
            actions = energies[name].actions
            full = energies[name].energy("compute")
            share = min(1.0, compute_prices(actions, full)["gated"] / full) if full else 1.0
            timed, costly = 1.0, 1 - gated + gated * share
        lowest = 1 - max(left.values())
        sure = max(0.0, 1 - _DIGITS * (1 + 1 / lowest)) if lowest > 0 else 0.0
        return max(timed * sure, 1e-9), costly * sure
