"""The model: one mapping of one problem on one architecture in, its cost out."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import CapacityError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapping.check import check_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.model import kernel
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Workspace, workspace
from dovetail.model.cost import Cost, LevelCost, LinkCost, TensorCost
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules, mapped_levels
from dovetail.workload.problem import Problem


def evaluate(mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable) -> Cost:
    """Return what a mapping costs, as the reference would report it.

    Raises:
        MappingError: the mapping does not fit the problem or the architecture's shape.
        CapacityError: a level's tiles are larger than the level.
        InputError: the energy table misses a component or an action.
    """
    check_mapping(mapping, problem, architecture)
    rules, nest = encode_rules(problem, architecture), encode_mapping(mapping, problem, architecture)
    machine = encode_machine(architecture, energies)
    tensors, axes, dims = rules.coefficients.shape
    work = workspace(len(architecture.levels) - 1, tensors, axes, dims)
    counts = np.zeros((len(architecture.levels) - 1, tensors, kernel.COUNTS), np.int64)
    kernel.count_all(rules, nest, work, counts)
    _check_capacity(problem, architecture, machine, counts)
    return _cost(problem, architecture, energies, machine, nest, work, counts)


def _check_capacity(problem: Problem, architecture: Architecture, machine: Machine, counts: Ints) -> None:
    level = kernel.overflowing_level(machine, counts)
    if level >= 0:
        held = {t.name: int(counts[level, i, kernel.TILE]) for i, t in enumerate(problem.shape.tensors)}
        kept = {name: words for name, words in held.items() if words}
        raise CapacityError(architecture.levels[level].name, kept, int(machine.capacity[level]))


def _cost(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    machine: Machine,
    nest: Nest,
    work: Workspace,
    counts: Ints,
) -> Cost:
    cycles, energy = kernel.total_cost(machine, nest, work, counts)
    levels = [
        _level_cost(problem, architecture, machine, nest, work, counts, i, int(cycles))
        for i in range(len(mapped_levels(architecture)))
    ]
    used = int(work.instances[-1] * work.children[-1])
    steps = int(kernel.compute_steps(nest))
    compute_pJ = steps * used * machine.compute_pJ
    levels.append(LevelCost(architecture.compute.name, {}, used, steps, 1.0, compute_pJ=compute_pJ))
    return Cost(
        levels=tuple(levels),
        networks=_networks(problem, architecture, work),
        cycles=int(cycles),
        energy_pJ=float(energy),
        computes=steps * used,
        utilization=steps * used / machine.units / int(cycles),
        area_um2=sum(
            energies[level.name].area_um2 * level.instances
            for level in architecture.levels
            if level.name in energies.components
        ),
    )


def _level_cost(
    problem: Problem,
    architecture: Architecture,
    machine: Machine,
    nest: Nest,
    work: Workspace,
    counts: Ints,
    i: int,
    cycles: int,
) -> LevelCost:
    level, steps, instances = architecture.levels[i], int(kernel.compute_steps(nest)), int(work.instances[i])
    throttling = float(kernel.slowdown(machine, i, counts, steps))
    return LevelCost(
        name=level.name,
        tensors={
            tensor.name: _tensor_cost(machine, counts[i, t], i, instances, tensor.is_output)
            for t, tensor in enumerate(problem.shape.tensors)
            if nest.keep[i, t]
        },
        instances=instances,
        cycles=math.ceil(steps / throttling),
        throttling=throttling,
        leakage_pJ=float(machine.energy[i, 3] * cycles * instances),
        capacity_words=int(machine.capacity[i]) if isinstance(level, Storage) and level.words is not None else None,
    )


def _tensor_cost(machine: Machine, row: Ints, level: int, instances: int, is_output: bool) -> TensorCost:
    fills, updates, reads = int(row[kernel.FILLS]), int(row[kernel.UPDATES]), int(row[kernel.READS])
    return TensorCost(
        tile=int(row[kernel.TILE]),
        partition=int(row[kernel.PARTITION]),
        instances=instances,
        reads=reads,
        fills=fills,
        updates=updates,
        temporal_reductions=int(row[kernel.REDUCTIONS]),
        address_generations=fills + (updates if is_output else reads),
        energy_pJ=float(kernel.access_energy(machine, level, row, instances)),
    )


def _networks(problem: Problem, architecture: Architecture, work: Workspace) -> dict[str, dict[str, LinkCost]]:
    names = [level.name for level in architecture.levels]
    return {
        f"{outer} <==> {inner}": {
            tensor.name: _link_cost(work.statistics[i, t], int(work.children[i]), tensor.is_output)
            for t, tensor in enumerate(problem.shape.tensors)
        }
        for i, (outer, inner) in enumerate(pairwise(names))
    }


def _link_cost(row: Floats, fanout: int, is_output: bool) -> LinkCost:
    return LinkCost(
        fanout=fanout,
        multicast_factor=int(row[kernel.MULTICAST]),
        ingresses=float(row[kernel.SENT]),
        link_transfers=int(row[kernel.LINKED]),
        spatial_reductions=int(row[kernel.DELIVERED] - row[kernel.SENT]) if is_output else 0,
    )
