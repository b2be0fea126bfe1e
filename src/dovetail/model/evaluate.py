"""The model: one mapping of one problem on one architecture in, its cost out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import CapacityError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.names import check_names
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import names_of
from dovetail.mapping.mapping import Mapping
from dovetail.model import kernel, residual
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Workspace, tour, workspace
from dovetail.model.cost import Cost, LevelCost, LinkCost, TensorCost
from dovetail.model.encode import (
    encode_machine,
    encode_mapping,
    encode_residuals,
    encode_rules,
    is_imperfect,
    mapped_levels,
)
from dovetail.workload.problem import Problem


def evaluate(mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable) -> Cost:
    """Return what a mapping costs, as the reference would report it.

    Raises:
        MappingError: the mapping does not fit the problem or the architecture's shape.
        CapacityError: a level's tiles are larger than the level.
        InputError: the energy table misses a component or an action, or a constraint names a tensor or dimension that
            the problem lacks.
    """
    check_names(architecture, [names_of(problem)])
    check_mapping(mapping, problem, architecture)
    rules = encode_rules(problem, architecture)
    nest = encode_mapping(mapping, problem, architecture, imperfect=True)
    machine = encode_machine(architecture, energies)
    tensors, axes, dims = rules.coefficients.shape
    levels = len(architecture.levels) - 1
    work = workspace(levels, tensors, axes, dims)
    counts = np.zeros((levels, tensors, kernel.COUNTS), np.int64)
    if is_imperfect(mapping):
        walk = tour(levels, axes, dims)
        computes = int(residual.count_all(rules, nest, encode_residuals(mapping, problem), work, walk, counts))
        cycles, energy = residual.total_cost(machine, nest, work, walk, counts, computes)
        full, units = walk.full, int(walk.used[levels])
    else:
        kernel.count_all(rules, nest, work, counts)
        cycles, energy = kernel.total_cost(machine, nest, work, counts)
        full, units = work.instances, int(work.instances[-1] * work.children[-1])
        computes = int(kernel.compute_steps(nest)) * units
    _check_capacity(problem, architecture, machine, counts)
    totals = Totals(int(cycles), float(energy), computes, units, full)
    return _cost(problem, architecture, energies, machine, nest, work, counts, totals)


class Totals(NamedTuple):
    """What the counting says of a whole run.

    Attributes:
        cycles: of the slowest level.
        energy_pJ: of everything.
        computes: executions of the loop body.
        units: compute units in use.
        full: ``(levels,)`` instances that any pass uses; on average fewer are, where factors leave a remainder.
    """

    cycles: int
    energy_pJ: float
    computes: int
    units: int
    full: Ints


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
    totals: Totals,
) -> Cost:
    levels = [
        _level_cost(problem, architecture, machine, nest, work, counts, i, totals)
        for i in range(len(mapped_levels(architecture)))
    ]
    steps, compute_pJ = int(kernel.compute_steps(nest)), totals.computes * machine.compute_pJ
    levels.append(LevelCost(architecture.compute.name, {}, totals.units, steps, 1.0, compute_pJ=compute_pJ))
    return Cost(
        levels=tuple(levels),
        networks=_networks(problem, architecture, work),
        cycles=totals.cycles,
        energy_pJ=totals.energy_pJ,
        computes=totals.computes,
        utilization=totals.computes / machine.units / totals.cycles,
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
    totals: Totals,
) -> LevelCost:
    level, steps, instances = architecture.levels[i], int(kernel.compute_steps(nest)), int(work.instances[i])
    full = int(totals.full[i])
    throttling = float(residual.slowdown(machine, i, counts, steps, full, instances))
    return LevelCost(
        name=level.name,
        tensors={
            tensor.name: _tensor_cost(machine, counts[i, t], i, (full, instances), tensor.is_output)
            for t, tensor in enumerate(problem.shape.tensors)
            if nest.keep[i, t]
        },
        instances=instances,
        cycles=math.ceil(steps / throttling),
        throttling=throttling,
        leakage_pJ=float(machine.energy[i, 3] * totals.cycles * instances),
        capacity_words=int(machine.capacity[i]) if isinstance(level, Storage) and level.words is not None else None,
    )


def _tensor_cost(machine: Machine, row: Ints, level: int, use: tuple[int, int], is_output: bool) -> TensorCost:
    full, instances = use
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
        energy_pJ=float(residual.access_energy(machine, level, row, full, instances)),
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
