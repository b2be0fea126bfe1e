"""Problems, architectures and mappings as the arrays that the counting rules work on, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, MappingError
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.mapping.origins import origins
from dovetail.mapping.packing import operation_energy, packed, products_at_once
from dovetail.mapping.widths import held, states_widths
from dovetail.model.apart import refuse_apart
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Nest, Residuals, Rules
from dovetail.model.charges import ACTIONS, READ, UPDATE, WRITE
from dovetail.same import Remembered
from dovetail.workload.problem import Problem

#: What counts times sizes stay below, so that 64 bits hold them.
MOST_COUNTED = 2**62


def mapped_levels(architecture: Architecture) -> tuple[Level, ...]:
    """Return the levels that a mapping has entries for: all but compute."""
    return architecture.levels[:-1]


def encode_rules(problem: Problem, architecture: Architecture) -> Rules:
    """Return what all mappings of the problem on the architecture share."""
    shape, levels = problem.shape, mapped_levels(packed(architecture, problem))
    axes = max(len(tensor.projection) for tensor in shape.tensors)
    coefficients = np.zeros((len(shape.tensors), axes, len(shape.dimensions)), np.int64)
    for t, tensor in enumerate(shape.tensors):
        for axis, terms in enumerate(tensor.projection):
            for term in terms:
                coefficients[t, axis, shape.dimensions.index(term.dimension)] += problem.coefficient(term)
    return Rules(
        coefficients=coefficients,
        injective=_injective(coefficients),
        is_output=np.array([tensor.is_output for tensor in shape.tensors]),
        touched=np.array([problem.touched(t) if t.is_output else problem.words(t) for t in shape.tensors], np.int64),
        no_multicast=_listed(problem, [level.constraints.spatial.no_reuse for level in levels]),
        no_link=_listed(problem, [level.constraints.spatial.no_link_transfer for level in levels]),
        no_reuse=_listed(problem, [level.constraints.temporal.no_reuse for level in levels]),
        read_first=_listed(problem, [level.constraints.temporal.rmw_first_update for level in levels]),
        origin=_listed(problem, [level.origin if isinstance(level, Storage) else frozenset() for level in levels]),
        grid=np.array([(lv.fanout_x, lv.fanout_y) if isinstance(lv, Spatial) else (1, 1) for lv in levels], np.int64),
    )


def _listed(problem: Problem, names: list[frozenset[str]]) -> Bools:
    """Return ``(levels, tensors)``: which tensors a level's list names (``*``: all)."""
    tensors = problem.shape.tensors
    return np.array([[t.name in listed or "*" in listed for t in tensors] for listed in names], np.bool_)


def rules_of(rules: Rules, dimensions: Sequence[int]) -> Rules:
    """Return the rules of some dimensions only; the others have one iteration."""
    coefficients = np.ascontiguousarray(rules.coefficients[:, :, list(dimensions)])
    return rules._replace(coefficients=coefficients, injective=_injective(coefficients))


def _injective(coefficients: Ints) -> Bools:
    """Return ``(tensors,)``: no axis adds up several dimensions, and no dimension is on several axes."""
    moves = coefficients != 0
    return np.asarray((moves.sum(axis=2) <= 1).all(axis=1) & (moves.sum(axis=1) <= 1).all(axis=1))


def encode_machine(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    *,
    apart: bool = False,
) -> Machine:
    """Return what accesses, leakage and computing cost, and what the levels hold and deliver per cycle.

    Args:
        problem: whose tensors are kept and moved.
        architecture: the design.
        energies: what its components cost.
        apart: the caller counts what costs energy apart from accesses (`dovetail.model.apart`).

    Raises:
        InputError: when the energy table misses a component or an action, a value is wider than a line, or, unless
            ``apart``, something costs energy apart from accesses, or the design does something about zeros.
    """
    if not apart:
        refuse_apart(architecture, energies)
        _refuse_zeros(architecture)
    if architecture.is_sparse and states_widths(problem):
        raise InputError(
            f"{problem.name} states widths, {architecture.name} does something about zeros ('sparse_optimizations'): "
            "together these are not counted yet, leave out one"
        )
    levels = mapped_levels(architecture)
    storages = [level if isinstance(level, Storage) else None for level in levels]
    holds = np.array([_words_held(s) for s in storages], np.int64)
    prices, leakage = _prices(levels, energies)
    line = np.array([s.block if s else 1 for s in storages], np.int64)
    widths = _WIDTHS.once((problem, architecture), lambda: encode_widths(problem, architecture, line))
    here = ~_listed(problem, [s.absent if s else frozenset() for s in storages])
    unfilled = _listed(problem, [s.origin if s else frozenset() for s in storages])
    energy = _with_spilt_sums(np.repeat(prices[:, None, :], len(problem.shape.tensors), axis=1), widths)
    energy[unfilled, WRITE] = 0.0  # so that no bound counts what is never written
    return Machine(
        grains=widths.grains,
        size=widths.size * here,
        capacity=np.where(holds < 0, -1, holds * widths.grains),
        parts=widths.parts,
        block=widths.block,
        clusters=np.array([s.instances // s.cluster_size if s else 1 for s in storages], np.int64),
        bandwidth=np.array([_bandwidth(s) for s in storages], np.float64),
        share=widths.share * here,
        spilt=widths.spilt * here,
        energy=energy * here[:, :, None],
        leakage=leakage,
        compute_pJ=energies[architecture.compute.name].energy("compute") * widths.computing,
        units=architecture.compute.instances * products_at_once(problem, architecture.compute),
    )


def _refuse_zeros(architecture: Architecture) -> None:
    doing = next((level.name for level in architecture.levels if level.sparse), None)
    if doing is not None:
        raise InputError(
            f"{doing}: it does something about zeros ('sparse_optimizations'), which a search of random mappings, or "
            "of factors that leave a remainder, does not count"
        )


class Widths(NamedTuple):
    """What a problem's widths come to on an architecture.

    Attributes:
        grains: ``(levels,)`` as the next five in `dovetail.model.arrays.Machine`.
        size: ``(levels, tensors)``.
        parts: ``(levels, tensors)``.
        block: ``(levels, tensors)``.
        share: ``(levels, tensors)``.
        spilt: ``(levels, tensors)``.
        computing: what an operation takes of the energy that is stated for one.
    """

    grains: Ints
    size: Ints
    parts: Ints
    block: Ints
    share: Floats
    spilt: Floats
    computing: float


#: Whoever compares, searches and evaluates a layer on a design asks for the same.
_WIDTHS: Remembered[Widths] = Remembered(64)


def encode_widths(problem: Problem, architecture: Architecture, line: Ints) -> Widths:
    """Return what a problem's widths come to; ``line``: ``(levels,)`` words of a level's own width per access.

    Raises:
        InputError: a value is wider than a line, an operand than the units, or a count is beyond 63 bits.
    """
    shape = (len(line), len(problem.shape.tensors))
    ones = np.ones(shape, np.int64)
    if not states_widths(problem):
        block = np.repeat(line[:, None], shape[1], axis=1)
        return Widths(np.ones(shape[0], np.int64), ones, ones, block, np.ones(shape), np.zeros(shape), 1.0)
    rows = held(problem, architecture)
    grains = np.array([math.lcm(*(each.words.denominator for each in row)) for row in rows], np.int64)
    accesses = [[each.words / int(words) for each in row] for row, words in zip(rows, line, strict=True)]
    sizes = [[int(each.words * int(g)) for each in row] for row, g in zip(rows, grains, strict=True)]
    largest = max(max(one.numerator, one.denominator) for row in accesses for one in row)
    most = problem.most_words() * max(largest, *(size for row in sizes for size in row))
    if most > MOST_COUNTED:
        raise InputError(f"{problem.name}: with these widths counts go beyond 63 bits; make sizes or groups smaller")
    return Widths(
        grains=grains,
        size=np.array(sizes, np.int64),
        parts=np.array([[one.numerator for one in row] for row in accesses], np.int64),
        block=np.array([[one.denominator for one in row] for row in accesses], np.int64),
        share=np.array([[float(each.words) for each in row] for row in rows]),
        spilt=np.array([[float(each.sum_words - each.words) for each in row] for row in rows]),
        computing=operation_energy(problem, architecture.compute),
    )


def _with_spilt_sums(energy: Floats, widths: Widths) -> Floats:
    """Return ``(levels, tensors, actions)`` pJ per access where partial sums that are read again are wider.

    Each of them was written at its own width in place of an output, so it costs that much more twice.
    """
    wider = (widths.spilt / widths.share)[:, :, None]
    if wider.any():
        more = np.zeros_like(energy)
        more[:, :, READ] = (wider * (energy[:, :, [READ]] + energy[:, :, [UPDATE]]))[:, :, 0]
        return energy + more
    return energy


def _prices(levels: tuple[Level, ...], energies: EnergyTable) -> tuple[Floats, Floats]:
    """Return ``(levels, actions)`` pJ per access, and ``(levels,)`` pJ that an instance leaks per cycle."""
    prices, leakage = np.zeros((len(levels), len(ACTIONS))), np.zeros(len(levels))
    for i, level in enumerate(levels):
        if isinstance(level, Storage) and level.line_pJ is not None:
            prices[i] = level.line_pJ
        elif isinstance(level, Storage):
            cost = energies[level.name]
            prices[i] = [cost.energy(action) for action in ACTIONS]
            leakage[i] = cost.energy("leak")
    _gate(levels, leakage)
    return prices, leakage


def _gate(levels: tuple[Level, ...], leakage: Floats) -> None:
    """Let each level leak where it is gated: all instances inside of one that is in use leak with that one."""
    places = {level.name: i for i, level in enumerate(levels)}
    for i, level in enumerate(levels):
        gater = places.get(level.gated_at) if isinstance(level, Storage) else None
        if gater is not None and level.instances > levels[gater].instances:
            leakage[gater] += leakage[i] * (level.instances / levels[gater].instances)
            leakage[i] = 0.0


def _words_held(storage: Storage | None) -> int:
    """Return the words of the level's own width that one instance holds at a time; -1 for no bound."""
    if storage is None or storage.words is None:
        return -1
    return math.floor(storage.words / storage.multiple_buffering)


def _bandwidth(storage: Storage | None) -> tuple[float, float, float]:
    if storage is None:
        return math.inf, math.inf, math.inf
    read, write, shared = storage.read_bandwidth, storage.write_bandwidth, storage.shared_bandwidth
    return read or math.inf, write or math.inf, shared or math.inf


def encode_mapping(mapping: Mapping, problem: Problem, architecture: Architecture, *, imperfect: bool = False) -> Nest:
    """Return the arrays of one mapping; its last passes, if any are shorter, are left to `encode_residuals`.

    Raises:
        MappingError: when a level lists a dimension twice on one axis, or, unless ``imperfect``, a loop has a shorter
            last pass.
    """
    if not imperfect:
        _check_perfect(mapping)
    dims, tensors = problem.shape.dimensions, problem.shape.tensors
    size = (len(mapped_levels(architecture)), len(dims))
    temporal, spatial_x, spatial_y = np.ones(size, np.int64), np.ones(size, np.int64), np.ones(size, np.int64)
    order, spatial_order = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for i, level in enumerate(mapped_levels(architecture)):
        entry = mapping[level.name]
        order[i] = _fill(entry.temporal, dims, temporal[i], level.name)
        listed = [*_fill(entry.spatial_x, dims, spatial_x[i], level.name)[: len(entry.spatial_x)]]
        listed += _fill(entry.spatial_y, dims, spatial_y[i], level.name)[: len(entry.spatial_y)]
        spatial_order[i] = _completed(list(dict.fromkeys(listed)), len(dims))
    keep = np.array([[t.name in entry.keep for t in tensors] for entry in mapping.levels], np.bool_)
    keep[0] |= [t.name in origins(architecture) for t in tensors]
    return Nest(temporal, order, spatial_x, spatial_y, spatial_order, keep)


def _fill(loops: tuple[Loop, ...], dims: tuple[str, ...], factors: Ints, level: str) -> list[int]:
    """Write the loops' factors; returns the order of all dimensions, outer to inner, unlisted ones innermost."""
    listed: list[int] = []
    for loop in loops:
        d = dims.index(loop.dimension)
        if d in listed:
            raise MappingError(f"{level}: two loops over {loop.dimension} on one axis; merge them into one")
        factors[d] = loop.factor
        listed.append(d)
    return _completed(listed, len(dims))


def is_imperfect(mapping: Mapping) -> bool:
    """Return whether any loop has a last pass shorter than the others."""
    return any(loop.last != loop.factor for entry in mapping.levels for loop in entry.loops)


def _check_perfect(mapping: Mapping) -> None:
    for entry in mapping.levels:
        for loop in entry.loops:
            if loop.last != loop.factor:
                raise MappingError(f"{entry.level}: {loop.dimension}={loop.factor},{loop.last} leaves a remainder")


def encode_residuals(mapping: Mapping, problem: Problem) -> Residuals:
    """Return the last passes of a mapping's loops.

    Raises:
        MappingError: when a spatial loop has a shorter last pass and no loop outside of it to have several passes
            (the reference stops there, too).
    """
    dims = problem.shape.dimensions
    temporal, spatial = np.ones((2, len(mapping.levels), len(dims)), np.int64)
    outside: set[str] = set()
    for i, entry in enumerate(mapping.levels):
        for loop in entry.temporal:
            temporal[i, dims.index(loop.dimension)] = loop.last
        outside |= {loop.dimension for loop in entry.temporal if loop.factor > 1}
        for loop in entry.spatial_x + entry.spatial_y:
            if loop.last != loop.factor and loop.dimension not in outside:
                raise MappingError(
                    f"{entry.level}: {loop.dimension}={loop.factor},{loop.last} is the outermost loop over "
                    f"{loop.dimension}, so it has one pass only; write {loop.dimension}={loop.last}"
                )
            spatial[i, dims.index(loop.dimension)] = loop.last
        outside |= {loop.dimension for loop in entry.spatial_x + entry.spatial_y if loop.factor > 1}
    return Residuals(temporal, spatial)


def _completed(listed: list[int], dims: int) -> list[int]:
    return listed + [d for d in range(dims) if d not in listed]


def decode_mapping(
    nest: Nest, problem: Problem, architecture: Architecture, residuals: Residuals | None = None
) -> Mapping:
    """Return the mapping that the arrays describe, without loops of one iteration."""
    dims, tensors, elsewhere = problem.shape.dimensions, problem.shape.tensors, origins(architecture)

    def loops(factors: Ints, order: Ints, last: Ints | None) -> tuple[Loop, ...]:
        return tuple(Loop(dims[d], int(factors[d]), _shorter(factors, last, d)) for d in order if factors[d] > 1)

    return Mapping(
        tuple(
            LevelMapping(
                level.name,
                temporal=loops(nest.temporal[i], nest.order[i], residuals and residuals.temporal[i]),
                spatial_x=loops(nest.spatial_x[i], nest.spatial_order[i], residuals and residuals.spatial[i]),
                spatial_y=loops(nest.spatial_y[i], nest.spatial_order[i], residuals and residuals.spatial[i]),
                keep=frozenset(t.name for k, t in enumerate(tensors) if nest.keep[i, k])
                - (elsewhere if i == 0 else frozenset()),
            )
            for i, level in enumerate(mapped_levels(architecture))
        )
    )


def _shorter(factors: Ints, last: Ints | None, d: int) -> int | None:
    return None if last is None or last[d] == factors[d] else int(last[d])
