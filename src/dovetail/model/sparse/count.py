"""One mapping counted with its zeros: from what a dense run would move to what is done, gated, skipped and written.

Nothing is sampled: densities say how full tiles are, and the reference's rules, in the modules beside this one, say
what follows. Counts are per instance and over the whole run, as the dense ones are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import CapacityError, MappingError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapping.mapping import Mapping
from dovetail.model import charges
from dovetail.model.arrays import Ints, Machine
from dovetail.model.sparse.accesses import FATES, Accesses, Dense, Place, accesses_of
from dovetail.model.sparse.computing import Computed, computed
from dovetail.model.sparse.fibres import fibres_of
from dovetail.model.sparse.leaving import left_out
from dovetail.model.sparse.lines import lines_per_full_line
from dovetail.model.sparse.metadata import Written
from dovetail.model.sparse.nest import Turns, turns_of
from dovetail.model.sparse.prices import COMPRESS, DATA, DECOMPRESS, METADATA, compute_prices, price
from dovetail.model.sparse.scene import SparseScene
from dovetail.model.sparse.tiles import Tile, tile_of


class Run(NamedTuple):
    """The dense run that zeros are taken out of.

    Attributes:
        counts: ``(levels, tensors, COUNTS)`` as `dovetail.model.charges` has them.
        used: ``(levels,)`` instances in use.
        computes: executions of the loop body.
        units: compute units in use.
    """

    counts: Ints
    used: Ints
    computes: int
    units: int


class Moved(NamedTuple):
    """One tensor at one level, with its zeros.

    Attributes:
        accesses: what becomes of every word.
        tile: what is held.
        instances: in use on average: those that are sent a tile.
        lines: line accesses of data by (fate, kind of access), per instance.
        bits: bits of metadata by (fate, kind of access), per instance.
        data_pJ: of accesses to data and of (de)compression, all instances.
        metadata_pJ: of accesses to metadata, all instances.
    """

    accesses: Accesses
    tile: Tile
    instances: float
    lines: dict[tuple[str, str], float]
    bits: dict[tuple[str, str], int]
    data_pJ: float
    metadata_pJ: float

    @property
    def energy_pJ(self) -> float:
        """Energy of all instances."""
        return self.data_pJ + self.metadata_pJ


class SparseCounts(NamedTuple):
    """What a mapping does once zeros are known.

    Attributes:
        moved: per (level, tensor).
        computed: executions of the loop body.
        steps: cycles that computing takes.
        throttling: per level.
        cycles: of the slowest level.
        leakage_pJ: per level.
        compute_pJ: of computing.
    """

    moved: dict[Place, Moved]
    computed: Computed
    steps: int
    throttling: tuple[float, ...]
    cycles: int
    leakage_pJ: tuple[float, ...]
    compute_pJ: float

    @property
    def energy_pJ(self) -> float:
        """Everything but networks and addresses."""
        return sum(one.energy_pJ for one in self.moved.values()) + sum(self.leakage_pJ) + self.compute_pJ


def count_sparse(
    scene: SparseScene,
    mapping: Mapping,
    architecture: Architecture,
    energies: EnergyTable,
    machine: Machine,
    run: Run,
) -> SparseCounts:
    """Count a mapping with its zeros.

    Args:
        scene: of the problem on the design.
        mapping: of perfect factors.
        architecture: the design.
        energies: what its components cost.
        machine: the same as the dense count takes it.
        run: the dense run.

    Raises:
        MappingError: a format does not go with the mapping.
        CapacityError: tiles or their metadata do not fit.
    """
    turns = turns_of(mapping, scene.dimensions, [tensor.name for tensor in scene.tensors], scene.fan_outs)
    _check_coding(scene, turns, architecture)
    tiles = tiles_of(scene, turns)
    dense = {(level, tensor): _dense(run.counts, level, tensor) for level, tensor in turns.places()}
    prices = [_actions(energies, level.name) for level in architecture.levels]
    saving = _Saving(scene, turns, tiles, architecture, machine)
    left = left_out(
        scene.groups, scene.tensors, scene.zeros, turns, tuple(map(tuple, machine.block.tolist())), saving.of
    )
    accesses, operands_left = accesses_of(scene.tensors, turns, dense, tiles, left, run.computes)
    inputs = [tensor.index for tensor in scene.tensors if not tensor.is_output]
    executed = computed(
        run.computes,
        operands_left,
        {tensor: scene.zeros[tensor].share for tensor in inputs},
        {tensor: tiles[turns.keepers[tensor][0], tensor].written is not None for tensor in inputs},
        scene.able,
    )
    moved = {
        place: _moved(place, scene, accesses[place], tiles[place], architecture, machine, prices[place[0]], run)
        for place in dense
    }
    _check_capacity(scene, moved, architecture, machine)
    word_bits = [level.datawidth if isinstance(level, Storage) else 1 for level in architecture.levels[:-1]]
    return _totals(moved, executed, word_bits, turns, machine, prices[-1], run)


def tiles_of(scene: SparseScene, turns: Turns) -> dict[Place, Tile]:
    """Return the expected tiles of a mapping, per (level, tensor)."""
    tiles: dict[Place, Tile] = {}
    for operand in scene.tensors:
        formats = scene.formats[operand.index]
        fibres = fibres_of(operand, turns, formats, scene.dimensions, scene.single) if formats else {}
        for level in turns.keepers[operand.index]:
            place = level, operand.index
            written = Written(formats[level], scene.bits[place], fibres[level]) if level in formats else None
            extents = operand.extents(turns.sizes(level))
            known_outside = turns.parent(level, operand.index) in formats
            tiles[place] = tile_of(operand, scene.zeros[operand.index], extents, written, known_outside)
    return tiles


def _actions(energies: EnergyTable, level: str) -> dict[str, float]:
    return dict(energies[level].actions) if level in energies.components else {}


def _dense(counts: Ints, level: int, tensor: int) -> Dense:
    row = counts[level, tensor]
    return Dense(*(int(row[column]) for column in (charges.READS, charges.FILLS, charges.UPDATES, charges.REDUCTIONS)))


def _check_coding(scene: SparseScene, turns: Turns, architecture: Architecture) -> None:
    """Check that what is compressed outside can be read further in."""
    for level, tensor in turns.places():
        parent, formats = turns.parent(level, tensor), scene.formats[tensor]
        outside = formats.get(parent) if parent is not None else None
        if outside is None or not outside.compresses or (level in formats and formats[level].compresses):
            continue
        storage, operand = architecture.levels[level], scene.tensors[tensor]
        assert isinstance(storage, Storage) and parent is not None
        for able, attribute in (
            (storage.metadata.decompresses, "decompression_supported"),
            (storage.metadata.compresses or not operand.is_output, "compression_supported"),
        ):
            if not able:
                raise MappingError(
                    f"{operand.name} is compressed at {architecture.levels[parent].name} ({outside}) and not at "
                    f"{storage.name}, which has no '{attribute}'"
                )


class _Saving:
    """What leaving accesses out saves, as the reference weighs one way against another."""

    def __init__(
        self,
        scene: SparseScene,
        turns: Turns,
        tiles: dict[Place, Tile],
        architecture: Architecture,
        machine: Machine,
    ) -> None:
        self.scene, self.turns, self.tiles = scene, turns, tiles
        self.architecture, self.machine = architecture, machine

    def of(self, level: int, tensor: int, chance: float) -> float:
        """Return pJ; of metadata whole data words count, as they are wide there (mostly none)."""
        storage = self.architecture.levels[level]
        assert isinstance(storage, Storage)
        child = self.turns.child(level, tensor)
        words = self.tiles[level, tensor].expected
        read_for = self.tiles[level if child is None else child, tensor]
        if read_for.written is not None:
            times = storage.metadata.datawidth // storage.datawidth
            words += sum(float(metadata + payload) for metadata, payload in read_for.metadata) * times
        price = float(self.machine.energy[level, tensor, charges.READ])
        return price / int(self.machine.block[level, tensor]) * words * chance


def _moved(
    place: Place,
    scene: SparseScene,
    accesses: Accesses,
    tile: Tile,
    architecture: Architecture,
    machine: Machine,
    actions: dict[str, float],
    run: Run,
) -> Moved:
    """Return one tensor at one level with its lines and energies."""
    level, tensor = place
    storage = architecture.levels[level]
    assert isinstance(storage, Storage)
    block, instances = int(machine.block[place]), int(run.used[level]) * tile.sent
    per_line = lines_per_full_line(tile, scene.zeros[tensor], block)
    lines = {what: charges.lines(words, 1, block) * per_line for what, words in accesses.data.items()}
    bits = {what: _bits_of(ranks, tile) for what, ranks in accesses.ranks.items()}
    data = sum(lines[what] * _data_price(machine, place, actions, *what) for what in lines if lines[what])
    data += accesses.decompressed * price(actions, (DECOMPRESS,)) + accesses.compressed * price(actions, (COMPRESS,))
    width = storage.metadata.width
    metadata = sum(math.ceil(bits[what] / width) * price(actions, METADATA[what]) for what in bits) if width else 0.0
    shared = int(run.used[level]) / int(charges.lines_at_once(machine, level, int(run.used[level])))
    return Moved(accesses, tile, instances, lines, bits, data / shared * instances, metadata / shared * instances)


_ACTION = {"read": charges.READ, "fill": charges.WRITE, "update": charges.UPDATE}


def _data_price(machine: Machine, place: Place, actions: dict[str, float], fate: str, kind: str) -> float:
    if fate == "random":
        return float(machine.energy[place[0], place[1], _ACTION[kind]])
    return price(actions, DATA[fate, kind])


def _bits_of(ranks: list[list[int]], tile: Tile) -> int:
    """Return the bits of metadata and payload words of all ranks."""
    if tile.written is None:
        return 0
    return sum(
        words[0] * bits.metadata + words[1] * bits.payload
        for words, bits in zip(ranks, tile.written.word_bits, strict=True)
    )


def _check_capacity(
    scene: SparseScene, moved: dict[Place, Moved], architecture: Architecture, machine: Machine
) -> None:
    """Check that the largest tiles fit, and their metadata, from the innermost level outwards."""
    for level in reversed(range(len(scene.fan_outs))):
        storage = architecture.levels[level]
        if not isinstance(storage, Storage) or machine.capacity[level] < 0:  # unbounded, metadata too
            continue
        here = {place[1]: one.tile for place, one in moved.items() if place[0] == level}
        taken = sum(int(charges.space_taken(machine, level, tensor, tile.held)) for tensor, tile in here.items())
        if not charges.fits(int(machine.capacity[level]), taken):
            held = {scene.tensors[tensor].name: tile.held for tensor, tile in here.items()}
            raise CapacityError(storage.name, held, int(machine.capacity[level]))
        need = sum(tile.metadata_bits for tile in here.values())
        room = math.floor(storage.metadata.depth * storage.metadata.width / storage.multiple_buffering)
        if need > room:
            raise MappingError(f"{storage.name}: metadata needs {need} bits but only {room} fit")


def _totals(
    moved: dict[Place, Moved],
    executed: Computed,
    word_bits: Sequence[int],
    turns: Turns,
    machine: Machine,
    compute_actions: dict[str, float],
    run: Run,
) -> SparseCounts:
    steps = max(1, math.ceil(executed.timed / run.units))  # the reference divides by 0 where nothing is computed
    throttling = tuple(_throttling(moved, level, bits, machine, run, steps) for level, bits in enumerate(word_bits))
    cycles = max(steps, *(int(charges.cycles_of(steps, slowed)) for slowed in throttling))
    leakage = []
    for level in range(turns.levels):
        busy = [one.instances for place, one in moved.items() if place[0] == level]
        passing = float(run.used[level]) if turns.passing(level) else 0.0
        leakage.append(float(machine.leakage[level]) * cycles * max(1.0, passing, *busy))
    full = machine.compute_pJ
    less = compute_prices(compute_actions, full)
    compute_pJ = executed.done * full + executed.gated * less["gated"] + executed.skipped * less["skipped"]
    return SparseCounts(moved, executed, steps, throttling, cycles, tuple(leakage), compute_pJ)


def _throttling(moved: dict[Place, Moved], level: int, word_bits: int, machine: Machine, run: Run, steps: int) -> float:
    """Return by how much a level slows computing down: skipped accesses take no time, metadata goes by its bits."""
    read = write = 0.0
    for (at, tensor), one in moved.items():
        if at != level or not one.instances:
            continue
        spread = int(run.used[level]) / one.instances
        reading = _timed(one, ("read",), word_bits)
        writing = _timed(one, ("fill", "update"), word_bits)
        read += charges.bandwidth_taken(machine, level, tensor, math.ceil(reading / spread)) / steps
        write += charges.bandwidth_taken(machine, level, tensor, math.ceil(writing / spread)) / steps
    return float(charges.throttling(machine, level, read, write))


def _timed(one: Moved, kinds: tuple[str, ...], word_bits: int) -> int:
    """Return the words of some kinds of access that take time, metadata in words of data."""
    timed = [(fate, kind) for fate in FATES if fate != "skipped" for kind in kinds]
    return sum(one.accesses.data[what] for what in timed) + sum(one.bits[what] for what in timed) // word_bits
