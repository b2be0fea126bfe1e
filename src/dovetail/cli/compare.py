"""``dovetail compare``: cost of networks on designs, layer by layer and in total, every layer at its best mapping."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace

from dovetail.cli import arguments
from dovetail.cli.between import between_texts
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import limited_of, notes_of, print_notes, print_unknown, unknown_of
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.cli.width_tables import print_network_widths, searched_bits
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.network.between import VECTOR_UNIT, BetweenCost
from dovetail.network.bottleneck import Diagnosis, diagnose_networks
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import map_networks
from dovetail.network.plain import comparison_fields
from dovetail.network.rows import layers_table
from dovetail.quantities import CYCLES, EDP, ENERGY, UTILIZATION, energy_alike
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.units import four_digits, percent, whole

#: How long a layer is searched unless said otherwise.
SECONDS = 10.0

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "compare alexnet resnet18 --on eyeriss_like simba_like",
    "compare package.module:Net --input 1x3x48x320 --on my_arch.yaml --batch 16",
    "compare resnet18 --on eyeriss_like --objective energy --totals --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_networks(parser)
    arguments.add_hardware(parser, several=True)
    arguments.add_objective(parser)
    arguments.add_between(parser)
    arguments.add_limits(parser, f"seconds per layer; then the best met ({SECONDS:g})")
    arguments.add_samples(parser)
    arguments.add_odd_sizes(parser)
    arguments.add_workers(parser)
    parser.add_argument(
        "--one-bit", action="store_true", help="also map with one bit fewer and more on each tensor that states a width"
    )
    parser.add_argument("--totals", action="store_true", help="print the table of totals only")
    add_output(parser, "--csv", "write one row per layer, numbers in full")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Map every network on every design; each distinct layer is mapped once."""
    if args.ert is not None and len(args.on) > 1:
        raise InputError(f"--ert holds the energies of one design, and --on names {len(args.on)}")
    networks = arguments.networks_on(args, args.networks, args.on)
    designs = [arguments.load_hardware(name, args) for name in args.on]
    arguments.check_settings(args)
    limit = arguments.limit_of(args, None if args.samples else SECONDS)
    pairs = [(network, *design) for each in networks for network, design in zip(each, designs, strict=True)]
    apart = list({id(network): network for network, *_ in pairs}.values())
    with network_progress() as progress, Store.open() as store:
        mapped = map_networks(
            pairs,
            objective=args.objective,
            time_limit=limit,
            store=store,
            workers=args.workers,
            search=arguments.search_of(args),
            progress=progress,
        )
        costs = [cost.with_between(args.between) for cost in mapped]
        tells = args.json or args.csv or not args.totals
        told = diagnose_networks(costs, store) if tells else ()
        default = None if args.samples else SECONDS
        changes = searched_bits(args, costs, store, default) if args.one_bit else None
    notes = [*notes_of(costs), *([] if arguments.search_of(args) else limited_of(costs, limit))]
    if changes is not None and not any(row for each in changes for row in each):
        notes.append("no layer states widths, so there is none to change (--one-bit): give them with --bits")
    print_notes(notes)
    if args.csv:
        write_text(args.csv, layers_table(costs, told).csv())
    if args.json:
        fields = comparison_fields(costs, told, changes)
        print_json("comparison", {**fields, "notes": [*unknown_of(apart), *notes]})
        return 0
    print_unknown(apart)
    for cost, diagnoses in zip(costs, told, strict=True) if not args.totals else ():
        _print_layers(cost, diagnoses)
    for place, cost in enumerate(costs):
        print_network_widths(cost, None if changes is None else changes[place])
    _print_totals(costs)
    return 0


def _print_layers(cost: NetworkCost, diagnoses: Sequence[Diagnosis]) -> None:
    title = f"{cost.network.name} on {cost.architecture.name}, batch {cost.network.batch}"
    rows: list[tuple[Cell, ...]] = [(row, *_row(each)) for row, each in enumerate(diagnoses, start=1)]
    rows += [] if cost.between is None else [_between_row(cost.between)]
    runs = sum(each.layer.layer.repeats for each in diagnoses)
    sums: tuple[Cell, ...] = (
        "",
        "all layers",
        runs,
        "",
        cost.cycles,
        cost.energy_pJ,
        cost.utilization,
        cost.edp_J_cycle,
        None,
    )
    energies = energy_alike(each.layer.totals.energy_pJ for each in diagnoses)
    wide = [each.layer.layer.problem.bits_text for each in diagnoses]
    if any(wide):
        rows = [(*row, bits) for row, bits in zip(rows, [*wide, *("" for _ in rows[len(wide) :])], strict=True)]
        sums = (*sums, "")
    columns = (
        Column("row", words=True),
        Column("layer", words=True),
        Column("runs", show=whole),
        Column("bound by", words=True),
        CYCLES,
        energies,
        UTILIZATION,
        replace(EDP, spare=2),
        Column("dearest level", words=True, spare=1),
        *((Column("bits", words=True),) if any(wide) else ()),
    )
    print_table(f"{title}: all runs of each layer at its best {cost.objective}", Table(columns, tuple(rows), sums))
    for operation in cost.network.unmapped:
        macs = "an unknown number of" if operation.macs is None else whole(operation.macs)
        said = f"not mapped, not counted: {operation.name} x {operation.count}, {macs} multiply-accumulates"
        print_text(said, "  ")
    for text in between_texts(cost):
        print_text(text, "  ")
    print()


def _between_row(between: BetweenCost) -> tuple[Cell, ...]:
    runs = sum(each.count for each in between.passes)
    unit, level = math.fsum(each.unit_pJ for each in between.passes), between.unit.level.name
    where = level if between.energy_pJ > 2 * unit else VECTOR_UNIT
    share = 1 - unit / between.energy_pJ if where == level and between.energy_pJ else unit / (between.energy_pJ or 1.0)
    row = ("", "between products", runs, str(between.rule), between.cycles, between.energy_pJ, None, None)
    return (*row, f"{where} {percent(share)}")


def _row(told: Diagnosis) -> tuple[Cell, ...]:
    each, cost, all_runs = told.layer, told.layer.cost, told.layer.totals
    dearest = max(cost.levels, key=lambda level: level.energy_pJ)
    return (
        each.name + ("" if each.result.certificate.exact else " *"),
        each.layer.repeats,
        told.held.label,
        all_runs.cycles,
        all_runs.energy_pJ,
        cost.utilization,
        all_runs.edp_J_cycle,
        f"{dearest.name} {percent(dearest.energy_pJ / cost.energy_pJ)}",
    )


def _print_totals(costs: list[NetworkCost]) -> None:
    columns = (
        Column("network", words=True),
        Column("design", words=True),
        CYCLES,
        Column("ms", show=four_digits, spare=2),
        ENERGY,
        EDP,
        UTILIZATION,
        Column("DRAM MB", show=four_digits, spare=1),
    )
    rows = tuple(
        (
            cost.network.name,
            cost.architecture.name + ("" if cost.exact else " *"),
            cost.cycles,
            cost.seconds * 1e3,
            cost.energy_pJ,
            cost.edp_J_cycle,
            cost.utilization,
            cost.dram_bytes / 1e6,
        )
        for cost in costs
    )
    print_table("totals of one pass, all repetitions counted", Table(columns, rows))
    if not all(cost.exact for cost in costs):
        print("* not proven to be the optimum")
