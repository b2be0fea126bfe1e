"""``dovetail optimum``: a network's layers mapped for the network's sake, not each for its own."""

from __future__ import annotations

import argparse
from typing import Any

from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import limited_of, notes_of, print_notes, print_unknown, unknown_of
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_table
from dovetail.errors import InputError
from dovetail.family.budgets import read_budget
from dovetail.files import write_text
from dovetail.mapper.objective import Objective
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import map_network
from dovetail.network.optimum import (
    Choice,
    LayerFront,
    minimum_cycles,
    minimum_energy,
    network_front,
    network_optimum,
    own_best,
)
from dovetail.network.results import fronts_of
from dovetail.quantities import CYCLES, EDP, ENERGY
from dovetail.store import Store
from dovetail.table import Column, Table
from dovetail.units import joules, whole

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "optimum resnet18 --on eyeriss_like",
    "optimum resnet18 --on eyeriss_like --deadline 11e6 --csv front.csv",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("network", metavar="NETWORK", help=arguments.NETWORK)
    arguments.add_model(parser)
    arguments.add_hardware(parser)
    arguments.add_objective(parser)
    parser.add_argument(
        "--deadline", type=arguments.positive, metavar="CYCLES", help="also the least energy within so many cycles"
    )
    parser.add_argument(
        "--budget",
        type=_energy,
        metavar="energy<=N",
        help="also the fewest cycles within so much energy, such as 'energy <= 5 mJ', or a number of uJ",
    )
    arguments.add_limits(parser, "seconds per layer")
    arguments.add_odd_sizes(parser)
    arguments.add_workers(parser)
    add_output(parser, "--csv", "write the whole front over energy and cycles")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Map the network with fronts, choose, print and write what was asked for."""
    architecture, energies = arguments.hardware_of(args)
    network = arguments.network_of(args, args.network, args.on)
    arguments.check_settings(args)
    with network_progress() as progress, Store.open() as store:
        cost = map_network(
            network,
            architecture,
            energies,
            objective=args.objective,
            front=True,
            time_limit=arguments.limit_of(args),
            store=store,
            workers=args.workers,
            progress=progress,
            search=arguments.search_of(args),
        )
    notes = [*notes_of([cost]), *([] if arguments.search_of(args) else limited_of([cost], arguments.limit_of(args)))]
    print_notes(notes)
    fronts = fronts_of(cost)
    assert fronts is not None
    choices = _choices(fronts, args)
    if args.csv:
        write_text(args.csv, network_front(fronts).points().csv())
    if args.json:
        print_json("optimum", {**_json(cost, choices), "notes": [*unknown_of([network]), *notes]})
        return 0
    print_unknown([network])
    _print(cost, choices, args.objective)
    return 0


def _choices(fronts: list[LayerFront], args: argparse.Namespace) -> dict[str, Choice]:
    choices = {
        "each layer's own best": own_best(fronts, args.objective),
        "best together": network_optimum(fronts, args.objective),
        "least energy": network_optimum(fronts, Objective.ENERGY),
        "fewest cycles": network_optimum(fronts, Objective.LATENCY),
    }
    if args.deadline is not None:
        found = minimum_energy(fronts, args.deadline)
        if found is None:
            least = whole(choices["fewest cycles"].cycles)
            raise InputError(f"--deadline {args.deadline}: no choice takes fewer than {least} cycles")
        choices[f"within {whole(args.deadline)} cycles"] = found
    if args.budget is not None:
        found = minimum_cycles(fronts, args.budget)
        if found is None:
            least = joules(choices["least energy"].energy_pJ)
            raise InputError(f"--budget of {joules(args.budget)}: no choice takes less than {least}")
        choices[f"within {joules(args.budget)}"] = found
    return choices


def _json(cost: NetworkCost, choices: dict[str, Choice]) -> dict[str, Any]:
    layers = [each.name for each in cost.distinct]
    return {
        "network": cost.network.name,
        "design": cost.architecture.name,
        "objective": str(cost.objective),
        "batch": cost.network.batch,
        "exact": cost.exact,
        "unknown": [each.name for each in cost.network.unknown],
        "choices": [
            {
                "choice": name,
                "energy_pJ": choice.energy_pJ,
                "cycles": choice.cycles,
                "edp_J_cycle": choice.edp_J_cycle,
                "points": {layer: list(counts) for layer, counts in zip(layers, choice.counts, strict=True)},
            }
            for name, choice in choices.items()
        ],
        "fronts": {
            each.name: [{"energy_pJ": point.energy_pJ, "cycles": point.cycles} for point in each.result.front]
            for each in cost.distinct
        },
    }


def _print(cost: NetworkCost, choices: dict[str, Choice], objective: Objective) -> None:
    usual, best = choices["each layer's own best"], choices["best together"]
    rows = tuple(
        (name, each.cycles, each.energy_pJ, each.edp_J_cycle, _changed(usual, each)) for name, each in choices.items()
    )
    columns = (Column("choice", words=True), CYCLES, ENERGY, EDP, Column("layers|changed"))
    print_table(f"{cost.network.name} on {cost.architecture.name}, batch {cost.network.batch}", Table(columns, rows))
    value = objective.value_of(best.energy_pJ, best.cycles) / objective.value_of(usual.energy_pJ, usual.cycles)
    print(f"Choosing together lowers the network's {objective} by {100 * (1 - value):.3g} %.")
    if not cost.exact:
        print("Not every layer's front is proven complete.")


def _changed(usual: Choice, other: Choice) -> int:
    """Return how many distinct layers take other points than they would by themselves."""
    return sum(one != two for one, two in zip(usual.counts, other.counts, strict=True))


def _energy(text: str) -> float:
    """Return how much energy a budget allows, in pJ."""
    if "<=" not in text:
        return 1e6 * arguments.number_above_0(text, "energy in microjoules")
    try:
        budget = read_budget(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None
    if budget.what != "energy":
        raise argparse.ArgumentTypeError(f"'{text}' bounds {budget.what}; what a choice may take is energy <= N")
    return budget.most
