"""``dovetail evaluate``: what one given mapping of one problem costs, level by level."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dovetail.cli import arguments
from dovetail.cli.cost_table import limiting_levels, print_levels, print_totals
from dovetail.cli.tables import print_json
from dovetail.mapping.constraints import violations
from dovetail.mapping.files import read_mapping
from dovetail.mapping.text import loop_nest_text
from dovetail.model.evaluate import evaluate
from dovetail.workload.network import load_layer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_layer(parser)
    arguments.add_hardware(parser)
    parser.add_argument(
        "--mapping", required=True, type=Path, metavar="FILE", help="a mapping YAML, Timeloop's form or ours"
    )
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate the mapping; a broken constraint is worth a warning, a tile that does not fit is an error."""
    problem = load_layer(args.layer, batch=args.batch)
    architecture, energies = arguments.hardware_of(args)
    architecture = arguments.bound_to(architecture, problem)
    mapping = read_mapping(args.mapping, architecture, problem)
    for sentence in violations(mapping, problem, architecture):
        print(f"dovetail: warning: {sentence}", file=sys.stderr)
    cost = evaluate(mapping, problem, architecture, energies)
    if args.json:
        print_json({"problem": problem.name, "architecture": architecture.name, **cost.to_json()})
        return 0
    print(f"{problem.name} on {architecture.name}\n")
    print_totals(cost, architecture)
    if limits := limiting_levels(cost):
        print(f"{'limited by':12} the bandwidth of {', '.join(limits)}")
    print()
    print_levels(cost)
    print(loop_nest_text(mapping, architecture, problem), end="")
    return 0
