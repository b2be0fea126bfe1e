"""What a nest of blocks costs: its two products, and what it takes in and puts out beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.fused.attention import OPERAND, RESULT, Attention, Blocks
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.network.carried import Carried, carry, sum_carried
from dovetail.network.readings import readings_on
from dovetail.network.resident import check_level, passing, with_resident
from dovetail.workload.network import Layer
from dovetail.workload.roles import Reading


@dataclass(frozen=True)
class Site:
    """Where a nest is worked on.

    Attributes:
        architecture: the design.
        energies: what its components cost.
        memory: the memory that scores do not leave.
    """

    architecture: Architecture
    energies: EnergyTable
    memory: Storage

    @property
    def outermost(self) -> Storage:
        """Where queries, keys and values come from, and outputs go."""
        return self.architecture.storages[0]

    @property
    def room(self) -> int:
        """Words that the memory has."""
        assert self.memory.words is not None
        return self.memory.words


def site_of(architecture: Architecture, energies: EnergyTable, level: str) -> Site:
    """Return a site.

    Raises:
        InputError: scores cannot stay in that level; why is said.
    """
    memory = check_level(architecture, level)
    if passing(memory, {RESULT}):
        raise InputError(f"{level} of {architecture.name} lets outputs pass by, so scores cannot stay there")
    return Site(architecture, energies, memory)


def ways(
    layer: Layer, site: Site, reserved: int, *, added: bool
) -> list[tuple[Reading, tuple[Architecture, EnergyTable]]]:
    """Return the readings in which the memory holds a product's queries or scores, and outputs, with the designs.

    Args:
        layer: the product, of a block.
        site: where it is worked on.
        reserved: words of the memory that stay while it is.
        added: whether outputs are added to those of earlier blocks.
    """
    found = []
    for reading in readings_on(layer.problem, site.architecture, of_roles=True):
        operand, result = reading.word(OPERAND), reading.word(RESULT)
        if passing(site.memory, {operand, result}):
            continue
        design = with_resident(
            site.architecture,
            site.energies,
            site.memory.name,
            operands={operand},
            outputs={result},
            reserved=reserved,
            added=added,
        )
        found.append((reading, design))
    return found


def carried_of(attention: Attention, blocks: Blocks, site: Site) -> Carried:
    """Return what one run's queries cost on their way in, and its outputs on their way out."""
    rows, whole = blocks.groups * blocks.queries, attention.whole
    runs = whole.groups // blocks.groups * (whole.queries // blocks.queries)
    given = site.architecture, site.energies
    taken = carry(*given, site.outermost, site.memory, rows * attention.size, runs)
    made = carry(*given, site.memory, site.outermost, rows * attention.value_size, runs)
    return sum_carried([taken, made])


def least_streamed(attention: Attention, blocks: Blocks, site: Site) -> tuple[tuple[float, int], tuple[float, int]]:
    """Return (pJ, cycles) that reading keys, and values, from the outermost level takes at least, all blocks."""
    outermost, runs = site.outermost, blocks.count(attention)
    line = outermost.line_pJ if outermost.line_pJ is not None else site.energies[outermost.name].energy("read")
    speeds = [each for each in (outermost.read_bandwidth, outermost.shared_bandwidth) if each is not None]

    def least(size: int) -> tuple[float, int]:
        words = blocks.groups * blocks.keys * size
        cycles = max((math.ceil(words / speed) for speed in speeds), default=0)
        return runs * -(-words // outermost.block) * line, runs * cycles

    return least(attention.size), least(attention.value_size)


def least_words(sizes: Sequence[Blocks], attention: Attention) -> int:
    """Return the fewest words that any of some blocks has in the memory."""
    return min((sum(blocks.words(attention).values()) for blocks in sizes), default=0)
