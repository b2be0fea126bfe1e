"""The model: one mapping of one problem on one architecture in, its cost out."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import CapacityError, InputError, MappingError
from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.hardware.names import check_names
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import names_of
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_mapped
from dovetail.mapping.packing import packed
from dovetail.model import charges, kernel, residual
from dovetail.model.apart import Routes, carried, ingresses, network_energy, network_shares, spatial_reductions
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Rules, Workspace, tour, workspace
from dovetail.model.batch import BatchCosts, evaluate_all, plain
from dovetail.model.compile import is_at_hand
from dovetail.model.cost import Cost, LevelCost, LinkCost, TensorCost
from dovetail.model.encode import (
    encode_machine,
    encode_mapping,
    encode_residuals,
    encode_rules,
    is_imperfect,
    mapped_levels,
)
from dovetail.model.sparse.cost import with_zeros
from dovetail.model.sparse.count import Run
from dovetail.workload.problem import Problem

#: Children of one fan-out beyond which listing them one by one takes the interpreter long.
MANY_CHILDREN = 4096


def evaluate(mapping: Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable) -> Cost:
    """Return what a mapping costs, as the reference would report it.

    Raises:
        MappingError: the mapping does not fit the problem or the architecture's shape.
        CapacityError: a level's tiles are larger than the level.
        InputError: the energy table misses a component or an action, a constraint names a tensor or dimension that the
            problem lacks, or a count is beyond 63 bits.
    """
    check_names(architecture, [names_of(problem)])
    architecture = packed(architecture, problem)
    check_mapping(mapping, problem, architecture)
    architecture = as_mapped(architecture, mapping, problem)
    if is_imperfect(mapping) and architecture.is_sparse:
        raise MappingError(
            "a last pass is shorter than the others; on a sparse design only factors that divide are counted"
        )
    if is_imperfect(mapping):  # what is left over may make it run the loop body more often than the problem does
        problem.check_counts(math.prod(loop.factor for entry in mapping.levels for loop in entry.loops))
    rules = encode_rules(problem, architecture)
    nest = encode_mapping(mapping, problem, architecture, imperfect=True)
    last = encode_residuals(mapping, problem)
    machine = encode_machine(problem, architecture, energies, apart=True)
    tensors, axes, dims = rules.coefficients.shape
    levels = len(architecture.levels) - 1
    work = workspace(levels, tensors, axes, dims)
    counts = np.zeros((levels, tensors, charges.COUNTS), np.int64)
    if is_imperfect(mapping):
        walk = tour(levels, axes, dims)
        computes = int(residual.count_all(rules, nest, last, work, walk, counts))
        cycles, energy = residual.cost_of(machine, nest, work, walk, counts, computes)
        full, units = walk.full, int(residual.units_in_use(work, walk))
    else:
        _count(rules, nest, machine, work, counts)
        cycles, energy = kernel.cost_of(machine, nest, work, counts)
        full, units = work.instances, int(kernel.units_in_use(work))
        computes = int(kernel.compute_steps(nest.temporal)) * units
    if not architecture.is_sparse:
        _check_capacity(problem, architecture, machine, counts)
    if cycles >= charges.ENDLESS:
        raise InputError(
            f"{problem.name} on {architecture.name}: more than {charges.ENDLESS:.3g} cycles; a bandwidth is too small"
        )
    routes, both_ways = Routes(rules, nest, last), carried(architecture, rules, nest, counts)
    networks = network_energy(architecture, energies, routes, work, both_ways)
    networks *= network_shares(problem, architecture)
    outputs = [t for t, tensor in enumerate(problem.shape.tensors) if tensor.is_output]
    reductions = np.zeros((levels, tensors), np.int64)
    for level, tensor in itertools.product(range(levels), outputs):
        reductions[level, tensor] = spatial_reductions(routes, work, both_ways, level, tensor)
    sent = ingresses(routes, work, both_ways)
    for place, tensor in np.argwhere(rules.origin):  # no network further out carries what lies here from start to end
        for each in (networks, reductions, sent, work.statistics):
            each[:place, tensor] = 0
    totals = Totals(int(cycles), float(energy), computes, units, full, networks, sent, reductions)
    cost = _cost(problem, architecture, energies, machine, nest, work, counts, totals)
    if not architecture.is_sparse:
        return cost
    run = Run(counts, work.instances, computes, totals.units)
    return with_zeros(cost, mapping, problem, architecture, energies, machine, run)


def _count(rules: Rules, nest: Nest, machine: Machine, work: Workspace, counts: Ints) -> None:
    """Count a mapping of factors that divide: interpreted, or compiled where children are many and that is at hand.

    Children are listed one by one where tiles overlap or neighbours may pass words on; both give the same numbers.
    """
    children = nest.spatial_x.prod(axis=1) * nest.spatial_y.prod(axis=1)
    if int(children.max(initial=1)) > MANY_CHILDREN and is_at_hand(evaluate_all):
        one = Nest._make([array[None] for array in nest])
        evaluate_all(plain(one), rules, machine, work, counts, BatchCosts.room(1))
    else:
        kernel.count_all(rules, nest, work, counts)


class Totals(NamedTuple):
    """What the counting says of a whole run.

    Attributes:
        cycles: of the slowest level.
        energy_pJ: of accesses, leakage and computing.
        computes: executions of the loop body.
        units: compute units in use.
        full: ``(levels,)`` instances that any pass uses; on average fewer are, where factors leave a remainder.
        networks_pJ: ``(levels, tensors)`` of the networks below each level.
        sent: ``(levels, tensors)`` words put on them, per instance of the level.
        reductions: ``(levels, tensors)`` partial sums added there, per instance of the level.
    """

    cycles: int
    energy_pJ: float
    computes: int
    units: int
    full: Ints
    networks_pJ: Floats
    sent: Floats
    reductions: Ints


def _check_capacity(problem: Problem, architecture: Architecture, machine: Machine, counts: Ints) -> None:
    level = charges.overflowing_level(machine, counts)
    if level >= 0:
        grains = int(machine.grains[level])
        held = {
            tensor.name: -(-int(charges.space_taken(machine, level, t, counts[level, t, charges.TILE])) // grains)
            for t, tensor in enumerate(problem.shape.tensors)
        }
        kept = {name: words for name, words in held.items() if words}
        raise CapacityError(architecture.levels[level].name, kept, int(machine.capacity[level]) // grains)


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
    steps, compute_pJ = int(kernel.compute_steps(nest.temporal)), totals.computes * machine.compute_pJ
    most = int(totals.full[-1] * work.children[-1])
    computing = LevelCost(
        architecture.compute.name, {}, totals.units, steps, 1.0, compute_pJ=compute_pJ, instances_max=most
    )
    apart = sum(level.address_pJ + level.network_pJ for level in levels)
    return Cost(
        levels=(*levels, computing),
        networks=_networks(problem, architecture, work, totals),
        cycles=totals.cycles,
        energy_pJ=totals.energy_pJ + apart,
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
    level, steps, instances = architecture.levels[i], int(kernel.compute_steps(nest.temporal)), int(work.instances[i])
    full = int(totals.full[i])
    throttling = float(charges.slowdown(machine, i, counts, steps, full, instances))
    return LevelCost(
        name=level.name,
        tensors={
            tensor.name: _tensor_cost(level, machine, counts[i, t], (i, t), (full, instances), tensor.is_output)
            for t, tensor in enumerate(problem.shape.tensors)
            if nest.keep[i, t] and not _is_absent(level, tensor.name)
        },
        instances=instances,
        cycles=charges.cycles_of(steps, throttling),
        throttling=throttling,
        leakage_pJ=float(charges.leakage(machine, i, totals.cycles, instances)),
        capacity_words=int(machine.capacity[i] // machine.grains[i])
        if isinstance(level, Storage) and level.words is not None
        else None,
        instances_max=full,
        network_pJ=float(totals.networks_pJ[i].sum()),
    )


def _is_absent(level: Level, tensor: str) -> bool:
    return isinstance(level, Storage) and tensor in level.absent


def _tensor_cost(
    level: Level, machine: Machine, row: Ints, place: tuple[int, int], use: tuple[int, int], is_output: bool
) -> TensorCost:
    full, instances = use
    fills, updates, reads = int(row[charges.FILLS]), int(row[charges.UPDATES]), int(row[charges.READS])
    at, tensor = place
    words = fills + (updates if is_output else reads)
    addresses = int(charges.lines(words, int(machine.size[at, tensor]), int(machine.grains[at])))
    address_pJ = level.address_pJ if isinstance(level, Storage) else 0.0
    return TensorCost(
        tile=int(row[charges.TILE]),
        partition=int(row[charges.PARTITION]),
        instances=instances,
        reads=reads,
        fills=fills,
        updates=updates,
        temporal_reductions=int(row[charges.REDUCTIONS]),
        address_generations=addresses,
        energy_pJ=float(charges.access_energy(machine, *place, row[charges.ACTED :], full, instances)),
        address_pJ=addresses * address_pJ * int(charges.lines_at_once(machine, place[0], full)),
    )


def _networks(
    problem: Problem, architecture: Architecture, work: Workspace, totals: Totals
) -> dict[str, dict[str, LinkCost]]:
    names = [level.name for level in architecture.levels]
    return {
        f"{outer} <==> {inner}": {
            tensor.name: LinkCost(
                fanout=int(work.children[i]),
                multicast_factor=int(work.statistics[i, t, kernel.MULTICAST]),
                ingresses=float(totals.sent[i, t]),
                link_transfers=int(work.statistics[i, t, kernel.LINKED]),
                spatial_reductions=int(totals.reductions[i, t]),
                energy_pJ=float(totals.networks_pJ[i, t]),
            )
            for t, tensor in enumerate(problem.shape.tensors)
        }
        for i, (outer, inner) in enumerate(pairwise(names))
    }
