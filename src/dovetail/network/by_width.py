"""Energy and area by width: of moving each tensor at its bits, of computing, of units that are no wider."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dovetail.components.arithmetic import area_share, operation_share
from dovetail.hardware.architecture import Architecture, Compute, Level, Storage
from dovetail.mapping.packing import operation_energy, products_at_once
from dovetail.mapping.widths import needed_sum_bits, operand_bits, states_widths
from dovetail.model.cost import Cost
from dovetail.network.costs import COMPUTE, LEAKAGE, NetworkCost
from dovetail.table import Column, Table
from dovetail.units import four_digits, percent
from dovetail.workload.problem import Problem
from dovetail.workload.widths import SUMS, Width

#: pJ by tensor (``sums`` for partial sums, ``compute``, ``leakage``) and then by width, as widths are written.
ByWidth = dict[str, dict[str, float]]
#: The width of what has none.
NO_WIDTH = "any"


def layer_energy_by_width(cost: Cost, problem: Problem, architecture: Architecture) -> ByWidth:
    """Return pJ of one run of a layer by tensor and width; empty where it states no widths.

    A tensor without a width has that of each level's words. Levels but the outermost hold outputs as partial sums, at
    their own width or, where the layer does not say it, at what they need and the level's words have room for.
    Computing is by the widths of its operands, ``4x8``; what leaks has no width.
    """
    if not states_widths(problem):
        return {}
    widths = problem.widths or (None,) * len(problem.shape.tensors)
    stated = dict(zip((tensor.name for tensor in problem.shape.tensors), widths, strict=True))
    outputs = {tensor.name for tensor in problem.shape.tensors if tensor.is_output}
    found: dict[tuple[str, str], list[float]] = {}
    for place, level in enumerate(architecture.levels):
        for name, tensor in cost[level.name].tensors.items():
            if place and name in outputs:
                key = SUMS, _sum_bits(problem, architecture, level)
            else:
                key = name, _bits(stated[name], level)
            found.setdefault(key, []).append(tensor.energy_pJ)
    operands = [_bits(stated[t.name], architecture.compute) for t in problem.shape.tensors if not t.is_output]
    found[COMPUTE, "x".join(operands)] = [level.compute_pJ for level in cost.levels]
    found[LEAKAGE, NO_WIDTH] = [level.leakage_pJ for level in cost.levels]
    return _summed((name, bits, math.fsum(parts)) for (name, bits), parts in found.items())


def energy_by_width(cost: NetworkCost) -> ByWidth:
    """Return pJ of one pass of a network's layers likewise; empty where none states widths."""
    parts = []
    if any(states_widths(each.layer.problem) for each in cost.layers):
        for each in cost.distinct:
            of_layer = layer_energy_by_width(each.cost, each.layer.problem, cost.architecture)
            if not of_layer:
                of_layer = {"layers without widths": {NO_WIDTH: each.cost.energy_pJ}}
            parts += [
                (name, bits, pJ * each.layer.repeats) for name, row in of_layer.items() for bits, pJ in row.items()
            ]
    return _summed(parts)


@dataclass(frozen=True)
class UnitArea:
    """What compute units would take that were built for some layers' widths, and no wider.

    Attributes:
        operands: bits of the operands, ``4x8``.
        sums: bits of the sums that lose nothing, of the layer that needs most.
        area_um2: of all units of the design; 0 where its units' area is not known.
        area_share: of what its own units take.
        energy_share: what an operation takes of the energy of one on the unit's own words.
        products: how many of these products one of the design's own units does at once.
        product_share: what one of them takes there of the energy of one on the unit's own words.
    """

    operands: str
    sums: int
    area_um2: float
    area_share: float
    energy_share: float
    products: int = 1
    product_share: float = 1.0


def unit_areas(cost: NetworkCost) -> tuple[UnitArea, ...]:
    """Return what units built for the widths of a network's layers would take, the narrowest first.

    The design's own area is that of its components, whatever runs on it.
    """
    compute = cost.architecture.compute
    needs: dict[tuple[int, ...], int] = {}
    own: dict[tuple[int, ...], tuple[int, float]] = {}
    for each in cost.distinct:
        problem = each.layer.problem
        if states_widths(problem):
            operands, sums = tuple(operand_bits(problem, compute)), problem.sum_bits
            sums = needed_sum_bits(problem, compute) if sums is None else sums
            if sums >= needs.get(operands, 0):
                needs[operands] = sums
                own[operands] = products_at_once(problem, compute), operation_energy(problem, compute)
    known = cost.energies.components.get(compute.name)
    now = 0.0 if known is None else known.area_um2 * compute.instances
    found = []
    for operands, sums in sorted(needs.items(), key=lambda each: (sum(each[0]), each)):
        share = area_share(operands, sums, compute.datawidth)
        energy = operation_share(operands, sums, compute.datawidth)
        found.append(UnitArea("x".join(map(str, operands)), sums, now * share, share, energy, *own[operands]))
    return tuple(found)


def unit_table(found: Sequence[UnitArea]) -> Table:
    """Return a row per width of operands; what the design's own units do at once, where that is more than one."""
    packs = any(each.products > 1 for each in found)
    columns: tuple[Column, ...] = (
        Column("operands", words=True),
        Column("sums", "bits"),
        Column("area", "mm^2", show=four_digits),
        Column("of the|design's", show=percent),
        Column("energy|of one", show=percent),
    )
    rows = [
        (each.operands, each.sums, each.area_um2 / 1e6 or None, each.area_share, each.energy_share) for each in found
    ]
    if not packs:
        return Table(columns, tuple(rows))
    more = Column("products|at once", words=False), Column("energy|of each", show=percent)
    whole = ((*row, each.products, each.product_share) for row, each in zip(rows, found, strict=True))
    return Table((*columns, *more), tuple(whole))


def width_table(found: ByWidth, energy: Column) -> Table:
    """Return a row per tensor and width: pJ and share; ``energy``: the column of pJ."""
    total = math.fsum(pJ for row in found.values() for pJ in row.values()) or 1.0
    rows = tuple((name, bits, pJ, pJ / total) for name, row in found.items() for bits, pJ in row.items() if pJ)
    return Table(
        (Column("tensor", words=True), Column("bits", words=True), energy, Column("share", show=percent)), rows
    )


def _summed(parts: Iterable[tuple[str, str, float]]) -> ByWidth:
    listed: dict[str, dict[str, list[float]]] = {}
    for name, bits, pJ in parts:
        listed.setdefault(name, {}).setdefault(bits, []).append(pJ)
    return {
        name: {bits: math.fsum(each) for bits, each in sorted(row.items(), key=lambda part: _widest_last(part[0]))}
        for name, row in listed.items()
    }


def _widest_last(bits: str) -> tuple[list[int], str]:
    return [int(part.partition("+")[0]) for part in bits.split("x") if part != NO_WIDTH], bits


def _bits(width: Width | None, level: Level) -> str:
    return (
        str(width) if width is not None else str(level.datawidth) if isinstance(level, Storage | Compute) else NO_WIDTH
    )


def _sum_bits(problem: Problem, architecture: Architecture, level: Level) -> str:
    if problem.sum_bits is not None:
        return str(problem.sum_bits)
    needed = needed_sum_bits(problem, architecture.compute)
    return str(min(needed, level.datawidth) if isinstance(level, Storage) else needed)
