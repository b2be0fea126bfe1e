"""What is carried from one memory to another beside any product: what fused products take in and put out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.network.between import access_pJ, cycles_of_words, leakage_pJ


@dataclass(frozen=True)
class Carried:
    """Words on their way, while nothing else runs.

    Attributes:
        cycles: that it takes.
        energy_by_level: pJ, leakage included.
        words: read and written, by level.
    """

    cycles: int = 0
    energy_by_level: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def energy_pJ(self) -> float:
        """Everything."""
        return math.fsum(self.energy_by_level.values())


def sum_carried(parts: Iterable[Carried], count: int = 1) -> Carried:
    """Return what the parts come to together, so many times."""
    listed = list(parts)
    levels = dict.fromkeys(name for part in listed for name in (*part.energy_by_level, *part.words))
    energy = {name: math.fsum(part.energy_by_level.get(name, 0.0) * count for part in listed) for name in levels}
    words = {
        name: (
            sum(part.words.get(name, (0, 0))[0] for part in listed) * count,
            sum(part.words.get(name, (0, 0))[1] for part in listed) * count,
        )
        for name in levels
    }
    return Carried(sum(part.cycles for part in listed) * count, energy, words)


def carry(
    architecture: Architecture, energies: EnergyTable, source: Storage, target: Storage, words: int, runs: int = 1
) -> Carried:
    """Return what it takes to carry words from one memory to another, lines as full as accesses of products are.

    Args:
        architecture: the design.
        energies: what its components cost.
        source: where they are read.
        target: where they are written.
        words: of one run.
        runs: how often.
    """
    cycles = max(cycles_of_words(source, words, 0), cycles_of_words(target, 0, words))
    energy = leakage_pJ(architecture, energies, cycles)
    for level, action in ((source, "read"), (target, "write")):
        energy[level.name] = energy.get(level.name, 0.0) + access_pJ(level, energies, action, words)
    one = Carried(cycles, energy, {source.name: (words, 0), target.name: (0, words)})
    return sum_carried([one], runs)
