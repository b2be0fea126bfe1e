"""The tables of what widths cost: energy by width, and what one bit more or fewer on each tensor would change."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from dovetail.cli import arguments
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_table, print_text
from dovetail.network.by_width import ByWidth, energy_by_width, unit_areas, unit_table, width_table
from dovetail.network.costs import NetworkCost
from dovetail.network.one_bit import OneBit, network_bits, one_bit_networks
from dovetail.quantities import CYCLES, EDP, ENERGY, energy_alike
from dovetail.store import Store
from dovetail.table import Cell, Column, Table

_SHOWN = "{:+.2f} %".format


def searched_bits(
    args: argparse.Namespace, costs: Sequence[NetworkCost], store: Store, default: float | None = None
) -> list[list[tuple[OneBit, ...]]]:
    """Return one bit fewer and more for every distinct layer of every network, under the options of a command."""
    with progress() as report:
        return one_bit_networks(
            costs,
            time_limit=arguments.limit_of(args, default),
            store=store,
            workers=args.workers,
            search=arguments.search_of(args),
            progress=report,
        )


def print_by_width(title: str, found: ByWidth) -> None:
    """Print where energy goes by tensor and width; nothing where no widths are stated."""
    if found:
        energy = energy_alike(pJ for row in found.values() for pJ in row.values())
        print_table(f"{title}: energy by width", width_table(found, energy))


def print_network_widths(
    cost: NetworkCost, changes: Sequence[Sequence[OneBit]] | None, *, by_layer: bool = True
) -> None:
    """Print a network's energy by width, and, where that was asked for, what a bit more or fewer comes to."""
    title = f"{cost.network.name} on {cost.architecture.name}"
    print_by_width(title, energy_by_width(cost))
    if units := unit_areas(cost):
        print_table(f"{title}: compute units, were they built for these widths", unit_table(units))
    if changes is not None and any(changes):
        shares = (*(Column(f"{what}|change", words=False, show=_SHOWN) for what in ("cycles", "energy", "EDP")),)
        if by_layer:
            _print_layers(title, cost, changes, shares)
        _print_sums(title, cost, changes, shares)


def _print_layers(
    title: str, cost: NetworkCost, changes: Sequence[Sequence[OneBit]], shares: tuple[Column, ...]
) -> None:
    rows: list[tuple[Cell, ...]] = []
    for each, row in zip(cost.distinct, changes, strict=True):
        for one in row:
            if one.result is not None:
                then, now = one.result.cost, each.cost
                star = "" if one.result.certificate.exact else " *"
                more = [(then.cycles, now.cycles), (then.energy_pJ, now.energy_pJ)]
                more.append((then.edp_J_cycle, now.edp_J_cycle))
                rows.append((each.name, one.tensor, f"{one.bits}{star}", *(100 * (a / b - 1) for a, b in more)))
    head = Column("layer", words=True), Column("tensor", words=True), Column("bits", words=False)
    print_table(f"{title}: each layer's optimum with one bit fewer or more", Table((*head, *shares), tuple(rows)))
    for each, row in zip(cost.distinct, changes, strict=True):
        for one in row:
            if one.result is None:
                print_text(f"{each.name} with {one.tensor}={one.bits}: {one.reason}", "  ")


def _print_sums(title: str, cost: NetworkCost, changes: Sequence[Sequence[OneBit]], shares: tuple[Column, ...]) -> None:
    sums = tuple(
        (
            one.tensor,
            f"{one.change:+d}{'' if one.exact else ' *'}",
            one.layers,
            one.cycles,
            one.energy_pJ,
            one.edp_J_cycle,
            100 * (one.cycles / cost.cycles - 1),
            100 * (one.energy_pJ / cost.energy_pJ - 1),
            100 * (one.edp_J_cycle / cost.edp_J_cycle - 1),
        )
        for one in network_bits(cost, changes)
    )
    numbers = replace(CYCLES, spare=3), replace(ENERGY, spare=2), replace(EDP, spare=1)
    heads = Column("tensor", words=True), Column("bits", words=False), Column("runs", words=False)
    print_table(f"{title}: one bit fewer or more in all layers that state it", Table((*heads, *numbers, *shares), sums))
