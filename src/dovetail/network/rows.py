"""Layers of mapped networks as rows, numbers in full: what every CSV of results and every data frame has."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.network.bottleneck import Diagnosis
from dovetail.network.costs import NetworkCost, totals_of
from dovetail.table import Cell, Table, headed
from dovetail.workload.network import problem_key

_COLUMNS = (
    "network", "design", "row", "layer", "repeats", "macs", "cycles", "energy_pJ", "edp_J_cycle", "utilization",
    "dram_words", "exact", "binding", "what",
)  # fmt: skip


def layers_table(costs: Sequence[NetworkCost], diagnoses: Sequence[Sequence[Diagnosis]]) -> Table:
    """Return a row per layer in the order they run; its numbers are of one run, under the keys of the JSON.

    Behind the columns that all have stands the energy of each level, ``LEVEL_pJ``, empty where a design has no such,
    and the widths (``bits``) where any layer states some.

    Args:
        costs: mapped networks.
        diagnoses: of each one's distinct layers, in their order.
    """
    levels = list(dict.fromkeys(level.name for cost in costs for level in cost.architecture.levels))
    wide = ("bits",) if any(each.layer.problem.bits_text for cost in costs for each in cost.layers) else ()
    rows: list[tuple[Cell, ...]] = []
    for cost, known in zip(costs, diagnoses, strict=True):
        places, told = cost.network.rows(), {problem_key(each.layer.layer): each.held for each in known}
        for each in cost.layers:
            one, run, held = each.cost, totals_of(each.cost), told[problem_key(each.layer)]
            names = (cost.network.name, cost.architecture.name, places[each.name], each.name)
            facts = (each.layer.repeats, each.layer.problem.macs)
            numbers = (one.cycles, one.energy_pJ, one.edp_J_cycle, one.utilization, run.outer_words)
            known_by = (each.result.certificate.exact, str(held.binding), held.what)
            parts = (run.energy_by_component.get(name) for name in levels)
            bits = (each.layer.problem.bits_text for _ in wide)
            rows.append((*names, *facts, *numbers, *known_by, *parts, *bits))
    return Table(headed(*_COLUMNS, *(f"{name}_pJ" for name in levels), *wide), tuple(rows))
