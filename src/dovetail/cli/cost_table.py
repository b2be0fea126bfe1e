"""The tables of one mapping's cost: totals, levels, tensors at each level."""

from __future__ import annotations

from dovetail.cli.tables import print_table
from dovetail.hardware.architecture import Architecture
from dovetail.model.cost import Cost, LevelCost
from dovetail.quantities import ENERGY
from dovetail.table import Cell, Column, Table
from dovetail.units import four_digits, joules, percent, whole


def print_totals(cost: Cost, architecture: Architecture) -> None:
    """Print the totals, one a line."""
    seconds = cost.cycles * architecture.cycle_seconds
    intensity = f"{cost.operational_intensity:.4g} computes per word of {architecture.levels[0].name}"
    for name, value in (
        ("cycles", f"{whole(cost.cycles)}  ({seconds * 1e3:.4g} ms)"),
        ("energy", f"{joules(cost.energy_pJ)}  ({cost.energy_pJ / cost.computes:.4g} pJ per compute)"),
        ("EDP", f"{four_digits(cost.edp_J_cycle)} J x cycle"),
        ("utilization", percent(cost.utilization)),
        ("computes", whole(cost.computes)),
        ("intensity", intensity),
        *((("area", f"{cost.area_um2 / 1e6:.4g} mm^2"),) if cost.area_um2 else ()),
    ):
        print(f"{name:12} {value}")


def print_levels(cost: Cost) -> None:
    """Print per level and tensor what is held, moved and spent; words and accesses are per instance."""
    columns = (
        Column("level", words=True),
        Column("tensor", words=True),
        Column("in use", show=whole, spare=2),
        Column("tile", show=whole, spare=1),
        *(Column(name, show=whole) for name in ("reads", "fills", "updates")),
        ENERGY,
        Column("share", show=percent),
    )
    rows = tuple(row for level in cost.levels for row in _level_rows(level, cost.energy_pJ))
    sums = ("all levels", *(None,) * 6, cost.energy_pJ, 1.0)
    print_table("words per instance; energy over all instances", Table(columns, rows, sums))
    zeros = cost.zeros_table()
    if zeros is not None:
        print_table("what zeros do: shares of what a dense run moves and computes", zeros)


def limiting_levels(cost: Cost) -> tuple[str, ...]:
    """Return the levels whose bandwidth makes the mapping as slow as it is; none when computing does."""
    return tuple(
        level.name for level in cost.levels if level.tensors and level.throttling < 1 and level.cycles == cost.cycles
    )


def _level_rows(level: LevelCost, total_pJ: float) -> list[tuple[Cell, ...]]:
    def share(energy_pJ: float) -> tuple[float, float]:
        return energy_pJ, energy_pJ / total_pJ if total_pJ else 0.0

    rows: list[tuple[Cell, ...]] = [
        (
            level.name if place == 0 else "",
            name,
            tensor.instances,
            *(tensor.tile, tensor.reads, tensor.fills, tensor.updates),
            *share(tensor.energy_pJ),
        )
        for place, (name, tensor) in enumerate(level.tensors.items())
    ]
    for name, energy_pJ in level.apart_pJ:
        rows.append(("" if rows else level.name, name, level.instances, *(None,) * 4, *share(energy_pJ)))
    return rows
