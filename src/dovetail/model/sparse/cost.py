"""A sparse count as costs: the numbers that people see, beside those of the dense run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.mapping import Mapping
from dovetail.model import charges
from dovetail.model.arrays import Machine
from dovetail.model.cost import Cost, Fates, LevelCost, TensorCost, TensorZeros
from dovetail.model.sparse.accesses import FATES, Accesses
from dovetail.model.sparse.count import Moved, Run, SparseCounts, count_sparse
from dovetail.model.sparse.nest import Operand
from dovetail.model.sparse.scene import scene_of
from dovetail.workload.problem import Problem


def with_zeros(
    dense: Cost,
    mapping: Mapping,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    machine: Machine,
    run: Run,
) -> Cost:
    """Return a mapping's cost with its zeros.

    Args:
        dense: its cost without; networks are taken over as they are.
        mapping: of perfect factors.
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
        machine: the same as the dense count takes it.
        run: the dense run.

    Raises:
        InputError, MappingError: as `dovetail.model.sparse.count.count_sparse`.
    """
    scene = scene_of(problem, architecture)
    counts = count_sparse(scene, mapping, architecture, energies, machine, run)
    return _sparse_cost(dense, counts, scene.tensors, machine.units)


def _sparse_cost(dense: Cost, counts: SparseCounts, tensors: Sequence[Operand], units: int) -> Cost:
    levels = [_level(level, counts, at, tensors) for at, level in enumerate(dense.levels[:-1])]
    executed = counts.computed
    computing = replace(
        dense.levels[-1],
        cycles=counts.steps,
        compute_pJ=counts.compute_pJ,
        computing=Fates(executed.done, executed.gated, executed.skipped),
    )
    return replace(
        dense,
        levels=(*levels, computing),
        cycles=counts.cycles,
        energy_pJ=sum(level.energy_pJ for level in (*levels, computing)),
        utilization=executed.timed / units / counts.cycles,
    )


def _level(level: LevelCost, counts: SparseCounts, at: int, tensors: Sequence[Operand]) -> LevelCost:
    names = {tensor.name: tensor for tensor in tensors}
    throttling = counts.throttling[at]
    return replace(
        level,
        tensors={
            name: _tensor(tensor, counts.moved[at, names[name].index], names[name].is_output)
            for name, tensor in level.tensors.items()
        },
        cycles=int(charges.cycles_of(counts.steps, throttling)),
        throttling=throttling,
        leakage_pJ=counts.leakage_pJ[at],
    )


def _tensor(dense: TensorCost, moved: Moved, is_output: bool) -> TensorCost:
    data = moved.accesses.data
    reads, fills, updates = (data["random", kind] for kind in ("read", "fill", "update"))
    own = "update" if is_output else "read"
    addresses = fills + data["random", own] + data["gated", own]  # what is skipped has none
    return replace(
        dense,
        tile=moved.tile.held,
        instances=moved.instances,
        reads=reads,
        fills=fills,
        updates=updates,
        temporal_reductions=moved.accesses.reductions,
        address_generations=addresses,
        energy_pJ=moved.energy_pJ,
        address_pJ=dense.address_pJ * addresses / dense.address_generations if dense.address_generations else 0.0,
        zeros=_zeros(dense, moved),
    )


def _zeros(dense: TensorCost, moved: Moved) -> TensorZeros:
    accesses, tile = moved.accesses, moved.tile
    written = tile.written
    return TensorZeros(
        format="" if written is None else str(written.format),
        compressed=tile.compressed,
        density=tile.density,
        dense_tile=tile.words,
        dense_reads=dense.reads,
        dense_fills=dense.fills,
        dense_updates=dense.updates,
        read=_fates(accesses, "read"),
        fill=_fates(accesses, "fill"),
        update=_fates(accesses, "update"),
        lines={"_".join(what): lines for what, lines in moved.lines.items() if lines},
        metadata_words={
            "_".join(what): tuple((words[0], words[1]) for words in ranks)
            for what, ranks in accesses.ranks.items()
            if ranks
        },
        metadata_bits={"_".join(what): bits for what, bits in moved.bits.items() if bits},
        metadata_held=tile.metadata_bits,
        metadata_tile=tuple((float(words[0]), float(words[1])) for words in tile.most_metadata),
        metadata_pJ=moved.metadata_pJ,
        decompressed=accesses.decompressed,
        compressions=accesses.compressed,
    )


def _fates(accesses: Accesses, kind: str) -> Fates:
    return Fates(*(accesses.data[fate, kind] for fate in FATES))
