"""``dovetail evaluate``: what one given mapping of one problem costs, level by level."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dovetail.cli import arguments
from dovetail.cli.cost_table import limiting_levels, print_levels, print_totals
from dovetail.cli.given import given_of, layer_of
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import file_path
from dovetail.cli.tables import print_json
from dovetail.errors import InputError
from dovetail.mapping.text import loop_nest_text
from dovetail.network.given import evaluate_given
from dovetail.network.plain import evaluation

#: Command lines to begin with.
EXAMPLES = (
    "evaluate layer.yaml --on arch.yaml --mapping map.yaml",
    "evaluate resnet18:5 --on eyeriss_like --mapping map.yaml --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_layer(parser)
    arguments.add_hardware(parser, beside_layer=True)
    parser.add_argument(
        "--mapping",
        type=file_path,
        metavar="FILE",
        help="a mapping YAML, Timeloop's form or ours, or a map.txt",
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate the mapping; a broken constraint is worth a warning, a tile that does not fit is an error."""
    given, (problem, notes) = given_of(args), layer_of(args)
    if not (args.mapping or given.mapping):
        raise InputError("no mapping is given: --mapping FILE, or a file with 'mapping' beside the layer")
    architecture, energies = arguments.load_hardware(given.design, args)
    arguments.check_settings(args)
    found = evaluate_given(args.mapping or Path(given.mapping), problem, architecture, energies)
    problem, mapping, architecture, cost = found.problem, found.mapping, found.architecture, found.cost
    notes += found.notes
    print_notes(notes)
    for sentence in found.broken:
        print(f"dovetail: warning: {sentence}", file=sys.stderr)
    if args.json:
        fields = evaluation(problem, architecture, energies, mapping, cost)
        print_json("evaluation", {**fields, "broken_constraints": found.broken, "notes": notes})
        return 0
    print(f"{problem.name} on {architecture.name}\n")
    print_totals(cost, architecture)
    if limits := limiting_levels(cost):
        print(f"{'limited by':12} the bandwidth of {', '.join(limits)}")
    print()
    print_levels(cost)
    print(loop_nest_text(mapping, architecture, problem), end="")
    return 0
