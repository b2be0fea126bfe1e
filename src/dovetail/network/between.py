"""What lies between products, priced: traffic at the vector unit's storage, steps in its lanes, and their time.

Every operation is a pass of its own: it reads its operands from one storage (the outermost unless the design's vector
unit names another) and writes what it makes there, lines as full as accesses of products are; a lane takes the steps of
`dovetail.workload.between` per element. Normalisation over a batch is folded into the product before it, and views move
nothing. All runs of an operation take the longest of its steps, its reads and its writes.

``serial``: one operation after another and after the products. ``overlapped``: the vector unit works beside the
products, which share the storage's bandwidth with it; a pass takes as long as the longest of the products, all the
steps, and all the words of both at that storage (at each, where some operations are placed at another one). These are
the longest and the shortest that a schedule can make of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.components.technology import energy_factor, node_range, parse_node
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.vector_unit import BITS, MEASURED_NM, STEP_PJ, usual_lanes
from dovetail.workload.between import steps_of
from dovetail.workload.network import FreeOperation, Moved

#: What the unit is called where energy is told apart; an ERT may price it under this name.
VECTOR_UNIT = "vector_unit"
#: Under what the energy of what lies between products is counted.
BETWEEN = "between"


class Between(StrEnum):
    """How the time of what lies between products is counted."""

    SERIAL = "serial"
    OVERLAPPED = "overlapped"


@dataclass(frozen=True)
class Unit:
    """A vector unit with everything said.

    Attributes:
        lanes: elements at a time.
        level: the storage that it reads and writes.
        step_pJ: of one step of one lane.
        word_pJ: of a word on its way between that storage and the unit.
        steps: per element, of operations that it does otherwise than the table has them.
        source: where its sizes and energies come from.
    """

    lanes: int
    level: Storage = field(repr=False)
    step_pJ: float
    word_pJ: float
    steps: dict[str, float]
    source: str

    def steps_of(self, name: str) -> float:
        """Return the steps of an operation per element."""
        return self.steps.get(name, steps_of(name))


def unit_of(architecture: Architecture, energies: EnergyTable) -> Unit:
    """Return a design's vector unit: as its document declares it, as an ERT prices it, or by default."""
    said, priced = architecture.vector_unit, energies.components.get(VECTOR_UNIT)
    lanes = said.lanes or usual_lanes(architecture.compute.instances)
    sizes = "declared" if said.lanes else "the square root of the units"
    bits = said.bits or BITS
    if priced is not None:
        step, source = priced.energy("compute"), priced.source or "the energy table"
    elif said.step_pJ is not None:
        step, source = said.step_pJ, "declared"
    else:
        step, source = _usual_step(architecture, bits)
    told = f"{lanes} lanes ({sizes}), {step:.3g} pJ a step ({source})"
    return Unit(lanes, architecture.vector_level(), step, said.word_pJ, dict(said.steps), told)


def _usual_step(architecture: Architecture, bits: int) -> tuple[float, str]:
    """Return pJ of a step at the design's node, and where that comes from."""
    technology = architecture.compute.attributes.get("technology")
    try:
        node = MEASURED_NM if technology is None else parse_node(technology)
    except InputError:
        node = MEASURED_NM
    low, high = node_range()
    node = min(max(node, low), high)
    said = f"a multiply-add of {bits} bits, Horowitz 2014, at {node:g} nm"
    return STEP_PJ[bits] * energy_factor(MEASURED_NM, node), said


@dataclass(frozen=True)
class Pass:
    """One kind of operation between products, all its runs together.

    Attributes:
        name: the operation.
        count: how often it runs.
        words_read: at its storage.
        words_written: there.
        steps: of all lanes together.
        cycles: the longest of steps, reads and writes.
        traffic_pJ: of its accesses to the storage.
        unit_pJ: of its steps, and of words on their way.
        level: the storage that it reads and writes.
    """

    name: str
    count: int
    words_read: int
    words_written: int
    steps: float
    cycles: int
    traffic_pJ: float
    unit_pJ: float
    level: str

    @property
    def energy_pJ(self) -> float:
        """Everything."""
        return self.traffic_pJ + self.unit_pJ


@dataclass(frozen=True)
class BetweenCost:
    """What lies between a network's products, priced.

    Attributes:
        rule: how its time is counted.
        unit: the vector unit.
        passes: each kind of operation that moves anything.
        cycles: that it makes a pass of the network longer.
        leakage_pJ: of the design in those cycles, by level.
        unknown: operations of which the network's source does not say what they move.
    """

    rule: Between
    unit: Unit
    passes: tuple[Pass, ...]
    cycles: int
    leakage_pJ: dict[str, float]
    unknown: tuple[str, ...]

    @property
    def energy_pJ(self) -> float:
        """Everything."""
        return math.fsum([*(each.energy_pJ for each in self.passes), *self.leakage_pJ.values()])

    def words_at(self, level: str) -> int:
        """Return the words read and written at a storage."""
        return sum(each.words_read + each.words_written for each in self.passes if each.level == level)

    @property
    def energy_by_component(self) -> dict[str, float]:
        """PJ of the storage, of the unit, and leaked."""
        found = dict(self.leakage_pJ)
        for level in dict.fromkeys((self.unit.level.name, *(each.level for each in self.passes))):
            traffic = math.fsum(each.traffic_pJ for each in self.passes if each.level == level)
            found[level] = found.get(level, 0.0) + traffic
        return found | {VECTOR_UNIT: math.fsum(each.unit_pJ for each in self.passes)}

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "rule": str(self.rule),
            "lanes": self.unit.lanes,
            "level": self.unit.level.name,
            "step_pJ": self.unit.step_pJ,
            "source": self.unit.source,
            "cycles": self.cycles,
            "energy_pJ": self.energy_pJ,
            "operations": [
                {
                    "operation": each.name,
                    "level": each.level,
                    "count": each.count,
                    "words_read": each.words_read,
                    "words_written": each.words_written,
                    "steps": each.steps,
                    "cycles": each.cycles,
                    "energy_pJ": each.energy_pJ,
                }
                for each in self.passes
            ],
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True)
class Products:
    """What a network's products take, all runs together.

    Attributes:
        cycles: one after another.
        words: read and written, by storage, in words of its own width: of those that operations are worked on at.
    """

    cycles: int
    words: Mapping[str, tuple[float, float]]


def price_between(
    operations: Sequence[FreeOperation],
    architecture: Architecture,
    energies: EnergyTable,
    rule: Between,
    products: Products,
    placed: Sequence[tuple[Storage, FreeOperation]] = (),
) -> BetweenCost:
    """Return what operations between products cost.

    Args:
        operations: of a network.
        architecture: the design.
        energies: what its components cost.
        rule: how their time is counted.
        products: what they run beside.
        placed: further ones, with the storages that they read and write instead of the vector unit's.
    """
    unit = unit_of(architecture, energies)
    listed = [*((unit.level, each) for each in operations), *placed]
    passes = tuple(
        _pass(each.name, each.count, each.moved, replace(unit, level=level), energies)
        for level, each in listed
        if each.moved is not None and _moves(each.moved)
    )
    if rule is Between.SERIAL:
        cycles = sum(each.cycles for each in passes)
    else:
        steps = math.ceil(sum(each.steps for each in passes) / unit.lanes)
        storages = {level.name: level for level in (unit.level, *(level for level, _ in placed))}
        busy = [_busy(level, passes, products) for level in storages.values()]
        cycles = max(products.cycles, steps, *busy) - products.cycles
    leaking = leakage_pJ(architecture, energies, cycles)
    unknown = tuple(each.name for each in operations if each.moved is None and steps_of(each.name))
    return BetweenCost(rule, unit, passes, cycles, leaking, unknown)


def _busy(level: Storage, passes: Sequence[Pass], products: Products) -> int:
    """Return the cycles that a storage takes for the words of both."""
    read, written = products.words.get(level.name, (0.0, 0.0))
    here = [each for each in passes if each.level == level.name]
    reads, writes = (sum(each.words_read for each in here), sum(each.words_written for each in here))
    return cycles_of_words(level, read + reads, written + writes)


def leakage_pJ(architecture: Architecture, energies: EnergyTable, cycles: int) -> dict[str, float]:
    """Return what every level that leaks loses in so many cycles, all of its instances."""
    leaking = {
        level.name: energies[level.name].actions.get("leak", 0.0) * level.instances * cycles
        for level in architecture.levels
        if level.name in energies.components
    }
    return {name: energy for name, energy in leaking.items() if energy}


def _moves(moved: Moved) -> bool:
    return bool(moved.reads or moved.writes or moved.parameters or moved.elements)


def _pass(name: str, count: int, moved: Moved, unit: Unit, energies: EnergyTable) -> Pass:
    reads, writes = moved.reads + moved.parameters, moved.writes
    steps = moved.elements * unit.steps_of(name)
    cycles = max(math.ceil(steps / unit.lanes), cycles_of_words(unit.level, reads, writes))
    traffic = access_pJ(unit.level, energies, "read", reads) + access_pJ(unit.level, energies, "write", writes)
    unit_pJ = steps * unit.step_pJ + (reads + writes) * unit.word_pJ
    return Pass(name, count, reads, writes, steps, cycles, traffic, unit_pJ, unit.level.name)


def access_pJ(level: Storage, energies: EnergyTable, action: str, words: int) -> float:
    """Return what reading or writing so many words costs, lines as full as accesses of products are."""
    line = level.line_pJ if level.line_pJ is not None else energies[level.name].energy(action)
    return -(-words // level.block) * line


def cycles_of_words(level: Storage, reads: float, writes: float) -> int:
    """Return the cycles that a storage takes for words read and written, all of its instances at once."""
    needed = (
        (reads, level.read_bandwidth),
        (writes, level.write_bandwidth),
        (reads + writes, level.shared_bandwidth),
    )
    return max(math.ceil(words / (width * level.instances)) if width else 0 for words, width in needed)
