"""``dovetail advise``: what to change of a network, a layer or a design, each change computed."""

from __future__ import annotations

import argparse

from dovetail.advice.advice import Advice
from dovetail.advice.advise import BUDGET, SECONDS, advise
from dovetail.cli import arguments
from dovetail.cli.notes import notes_of, print_notes, print_unknown
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.store import Store
from dovetail.units import joules, whole

#: Command lines to begin with.
EXAMPLES = (
    "advise resnet18 --on eyeriss_like",
    "advise resnet18:fc --on simple_weight_stationary",
    "advise my_net.py:Net --input 1x3x48x320 --on my_arch.yaml --total-time 300 --all",
)

#: Rows of each table unless all are asked for.
_ROWS = 10

#: What is kept when it ends early.
kept = arguments.kept_in_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("network", metavar="NETWORK", help=f"{arguments.NETWORK}; or one layer, as NETWORK:LAYER")
    arguments.add_model(parser)
    arguments.add_hardware(parser)
    arguments.add_objective(parser)
    arguments.add_limits(parser, f"seconds per search; then the best met ({SECONDS:g})", SECONDS)
    parser.add_argument(
        "--total-time",
        type=arguments.seconds,
        default=BUDGET,
        metavar="S",
        help=f"seconds in all; what is left to try then is named ({BUDGET:g})",
    )
    arguments.add_workers(parser)
    parser.add_argument("--all", action="store_true", help=f"print every change that pays, not the best {_ROWS}")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Try changes, print those that pay."""
    network = arguments.network_or_layer_of(args, args.network, args.on)
    architecture, energies = arguments.hardware_of(args)
    arguments.check_settings(args)
    with progress() as report, Store.open() as store:
        report(0, 1, "mapping layers")
        advice = advise(
            network,
            architecture,
            None if args.ert is None else energies,
            objective=args.objective,
            time_limit=arguments.limit_of(args),
            budget=args.total_time,
            store=store,
            workers=args.workers,
            progress=report,
        )
    notes = [*advice.notes, *notes_of([advice.cost])]
    if advice.left_out:
        notes.append(_left_out(advice))
    print_notes(notes)
    if args.json:
        print_json("advice", {**advice.to_json(), "notes": notes})
        return 0
    print_unknown([network])
    _print(advice, None if args.all else _ROWS)
    return 0


def _left_out(advice: Advice) -> str:
    count = len(advice.left_out)
    more = "" if count <= 3 else f" and {count - 3} more"
    which = "; ".join(advice.left_out[:3])
    kept = "; what was found is in the store, a larger --total-time goes on from there"
    return f"{count} changes were not tried for want of time: {which}{more}{kept}"


def _print(advice: Advice, most: int | None) -> None:
    cost, objective = advice.cost, advice.objective
    print(f"{cost.network.name} on {cost.architecture.name}, batch {cost.network.batch}, best {objective}\n")
    area = f", {cost.area_um2 / 1e6:.4g} mm^2" if cost.area_um2 else ""
    print_text(
        f"as it is: {whole(cost.cycles)} cycles, {joules(cost.energy_pJ)}, EDP {cost.edp_J_cycle:.4g} J x cycle{area}"
    )
    print()
    if advice.found:
        print_table(f"changes that pay, of {advice.tried} tried, one at a time", advice.table(most))
        _print_more(len(advice.found), most)
    else:
        print_text(f"none of the {advice.tried} changes tried lowers the network's {objective} by half a percent\n")
    if advice.widths:
        print_table("sizes that the design likes better; changes are the layer's alone", advice.widths_table(most))
    if not all(each.exact for each in (*advice.found, *advice.widths)):
        print("* the best found, not proven to be the optimum")


def _print_more(count: int, most: int | None) -> None:
    if most is not None and count > most:
        print(f"{count - most} more with --all\n")
