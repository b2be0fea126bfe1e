"""``dovetail report``: networks on designs as one page that opens from disk, and as pictures and tables."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from dovetail.advice.advice import Advice
from dovetail.advice.advise import advise
from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import limited_of, notes_of, print_notes, print_unknown, unknown_of
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.cli.width_tables import print_network_widths, searched_bits
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.network.bottleneck import Diagnosis, diagnose_networks
from dovetail.network.costs import NetworkCost
from dovetail.network.findings import findings
from dovetail.network.map_network import map_networks
from dovetail.network.one_bit import OneBit
from dovetail.network.plain import comparison_fields
from dovetail.network.rows import layers_table
from dovetail.quantities import CYCLES, EDP, ENERGY, UTILIZATION
from dovetail.report.data import KnownAccuracy
from dovetail.report.figures import cost_names, write_figures
from dovetail.report.page import published_for, report_page
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.units import four_digits

#: Seconds for what to change, unless said otherwise.
_ADVICE = 20.0

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "report resnet18 --on eyeriss_like --html report.html",
    "report alexnet resnet18 --on eyeriss_like my_arch.yaml --html report.html --svg figures/",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_networks(parser)
    arguments.add_hardware(parser, several=True)
    arguments.add_objective(parser)
    arguments.add_between(parser)
    parser.add_argument(
        "--accuracy", action="append", default=[], metavar="NETWORK=PERCENT", help="top-1 accuracy (may be repeated)"
    )
    parser.add_argument("--no-front", action="store_true", help="leave out Pareto fronts and the network optimum")
    parser.add_argument(
        "--advice",
        type=arguments.seconds,
        default=_ADVICE,
        metavar="S",
        help=f"seconds for what to change, of each network on each design, on the page ({_ADVICE:g})",
    )
    parser.add_argument(
        "--no-one-bit", action="store_true", help="leave out one bit fewer and more on each tensor that states a width"
    )
    parser.add_argument("--no-advice", action="store_true", help="leave out what to change")
    arguments.add_limits(parser, "seconds per layer")
    arguments.add_odd_sizes(parser)
    arguments.add_workers(parser)
    add_output(parser, "--html", "write one page that opens from disk")
    add_output(parser, "--svg", "write pictures as SVG into a folder", folder=True)
    add_output(parser, "--png", "write pictures as PNG into a folder", folder=True)
    add_output(parser, "--csv", "write one table per network and design as CSV", folder=True)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Map the networks, print and write what was asked for."""
    if args.ert is not None and len(args.on) > 1:
        raise InputError(f"--ert holds the energies of one design, and --on names {len(args.on)}")
    designs = [arguments.load_hardware(name, args) for name in args.on]
    networks = arguments.networks_on(args, args.networks, args.on)
    arguments.check_settings(args)
    given = _given(args.accuracy, {network.name for each in networks for network in each})
    search = arguments.search_of(args)
    pairs = [(network, *design) for each in networks for network, design in zip(each, designs, strict=True)]
    apart = list({id(network): network for network, *_ in pairs}.values())
    with network_progress() as shown, Store.open() as store:
        mapped = map_networks(
            pairs,
            objective=args.objective,
            front=not args.no_front,
            time_limit=arguments.limit_of(args),
            store=store,
            workers=args.workers,
            progress=shown,
            search=search,
        )
        costs = [cost.with_between(args.between) for cost in mapped]
        told = diagnose_networks(costs, store)
        changes = None if args.no_one_bit else searched_bits(args, costs, store)
        with_advice = args.html and not args.no_advice and search is None
        advice = _advice(args, costs, told, store) if with_advice else []
    notes = [*notes_of(costs), *([] if search else limited_of(costs, arguments.limit_of(args)))]
    if args.html and not args.no_advice and search is not None:
        notes.append("what to change is left out: it is found by mappings whose factors divide, of layers as they are")
    print_notes(notes)
    accuracies = {**published_for(costs), **given}
    if args.html:
        known: dict[str, Any] = {"diagnoses": told, "advice": advice, "changes": changes}
        write_text(args.html, report_page(costs, accuracies=accuracies, **known))
    for folder, kind in ((args.svg, "svg"), (args.png, "png")):
        if folder:
            write_figures(folder, costs, accuracies, kind)
    for cost, diagnoses, name in zip(costs, told, cost_names(costs), strict=True) if args.csv else ():
        write_text(args.csv / f"{name}.csv", layers_table([cost], [diagnoses]).csv())
    if args.json:
        fields = comparison_fields(costs, told, changes)
        print_json("comparison", {**fields, "notes": [*unknown_of(apart), *notes]})
    else:
        _print(costs, told, accuracies, changes)
    return 0


def _advice(
    args: argparse.Namespace, costs: Sequence[NetworkCost], told: Sequence[Sequence[Diagnosis]], store: Store
) -> list[Advice]:
    """Return what to change of every network on every design, within the seconds that each has."""
    found = []
    with progress() as report:
        for cost, diagnoses in zip(costs, told, strict=True):
            energies = None if args.ert is None else cost.energies
            options: dict[str, Any] = {"budget": args.advice, "store": store, "workers": args.workers}
            options |= {"objective": args.objective, "progress": report, "cost": cost, "diagnoses": diagnoses}
            found.append(advise(cost.network, cost.architecture, energies, **options))
    return found


def _given(texts: list[str], names: set[str]) -> dict[str, KnownAccuracy]:
    """Return the accuracies that are given of networks of these names; raises InputError where one is of none."""
    given = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            percent_value = float(value)
        except ValueError:
            percent_value = -1.0
        if name not in names or not 0 <= percent_value <= 100:
            raise InputError(
                f"--accuracy {text}: write NETWORK=PERCENT, 0 to 100, for one of {', '.join(sorted(names))}"
            )
        given[name] = KnownAccuracy(percent_value, "given")
    return given


def _print(
    costs: list[NetworkCost],
    told: Sequence[Sequence[Diagnosis]],
    accuracies: dict[str, KnownAccuracy],
    changes: Sequence[Sequence[Sequence[OneBit]]] | None,
) -> None:
    print_unknown(cost.network for cost in costs)
    rows: list[tuple[Cell, ...]] = []
    for cost in costs:
        accuracy = accuracies.get(cost.network.name)
        rows.append(
            (
                cost.network.name,
                cost.architecture.name,
                cost.cycles,
                cost.energy_pJ,
                cost.edp_J_cycle,
                cost.utilization,
                cost.dram_bytes / 1e6,
                None if accuracy is None else accuracy.top1_percent,
            )
        )
    columns = (
        Column("network", words=True),
        Column("design", words=True),
        CYCLES,
        ENERGY,
        EDP,
        UTILIZATION,
        Column("DRAM", "MB", show=four_digits),
        Column("top-1", "%", show="{:.2f}".format),
    )
    print_table("one pass", Table(columns, tuple(rows)))
    for cost, diagnoses in zip(costs, told, strict=True):
        print(f"{cost.network.name} on {cost.architecture.name}")
        for each in findings(cost, diagnoses):
            print_text(f"  - {each.text}", "    ")
    for place, cost in enumerate(costs):
        print_network_widths(cost, None if changes is None else changes[place], by_layer=False)
