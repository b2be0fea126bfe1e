"""The tables of one mapping's cost: totals, levels, tensors at each level."""

from __future__ import annotations

from dovetail.cli.tables import joules, percent, print_table, product, whole
from dovetail.hardware.architecture import Architecture
from dovetail.model.cost import Cost, LevelCost


def print_totals(cost: Cost, architecture: Architecture) -> None:
    """Print the totals, one a line."""
    seconds = cost.cycles * architecture.cycle_seconds
    intensity = f"{cost.operational_intensity:.4g} computes per word of {architecture.levels[0].name}"
    for name, value in (
        ("cycles", f"{whole(cost.cycles)}  ({seconds * 1e3:.4g} ms)"),
        ("energy", f"{joules(cost.energy_pJ)}  ({cost.energy_pJ / cost.computes:.4g} pJ per compute)"),
        ("EDP", f"{product(cost.edp_J_cycle)} J x cycle"),
        ("utilization", percent(cost.utilization)),
        ("computes", whole(cost.computes)),
        ("intensity", intensity),
        *((("area", f"{cost.area_um2 / 1e6:.4g} mm^2"),) if cost.area_um2 else ()),
    ):
        print(f"{name:12} {value}")


def print_levels(cost: Cost) -> None:
    """Print per level and tensor what is held, moved and spent; words and accesses are per instance."""
    heads = ("level", "tensor", "in use", "tile", "reads", "fills", "updates", "energy", "share")
    rows: list[tuple[str, ...]] = []
    for level in cost.levels:
        rows += _level_rows(level, cost.energy_pJ)
    print_table(
        "words per instance; energy over all instances", heads, rows, text_columns=2, optional=("in use", "tile")
    )


def limiting_levels(cost: Cost) -> tuple[str, ...]:
    """Return the levels whose bandwidth makes the mapping as slow as it is; none when computing does."""
    return tuple(
        level.name for level in cost.levels if level.tensors and level.throttling < 1 and level.cycles == cost.cycles
    )


def _level_rows(level: LevelCost, total_pJ: float) -> list[tuple[str, ...]]:
    def share(energy_pJ: float) -> tuple[str, str]:
        return joules(energy_pJ), percent(energy_pJ / total_pJ if total_pJ else 0.0)

    rows = [
        (
            level.name if place == 0 else "",
            name,
            whole(tensor.instances),
            *map(whole, (tensor.tile, tensor.reads, tensor.fills, tensor.updates)),
            *share(tensor.energy_pJ),
        )
        for place, (name, tensor) in enumerate(level.tensors.items())
    ]
    for name, energy_pJ in level.apart_pJ:
        rows.append(("" if rows else level.name, name, whole(level.instances), *("",) * 4, *share(energy_pJ)))
    return rows
