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
from dovetail.errors import InputError, MappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.constraints import bound_to, violations
from dovetail.mapping.files import read_mapping_file
from dovetail.mapping.notes import design_notes
from dovetail.mapping.text import loop_nest_text
from dovetail.mapping.timeloop_yaml import MappingFile
from dovetail.model.evaluate import evaluate
from dovetail.network.readings import readings_on
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading

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
    problem, read, said = _read(args.mapping or Path(given.mapping), architecture, problem)
    notes += [*said, *read.notes, *design_notes(architecture, [problem])]
    print_notes(notes)
    mapping, architecture = read.mapping, read.architecture
    for sentence in violations(mapping, problem, architecture):
        print(f"dovetail: warning: {sentence}", file=sys.stderr)
    cost = evaluate(mapping, problem, architecture, energies)
    if args.json:
        print_json({"problem": problem.name, "architecture": architecture.name, **cost.to_json(), "notes": notes})
        return 0
    print(f"{problem.name} on {architecture.name}\n")
    print_totals(cost, architecture)
    if limits := limiting_levels(cost):
        print(f"{'limited by':12} the bandwidth of {', '.join(limits)}")
    print()
    print_levels(cost)
    print(loop_nest_text(mapping, architecture, problem), end="")
    return 0


def _read(path: Path, architecture: Architecture, problem: Problem) -> tuple[Problem, MappingFile, list[str]]:
    """Read the mapping in the words of the first reading of the problem that it fits, its own words the last of them.

    Raises:
        InputError, MappingError: it fits none; the message is the first reading's, and says how the problem was read.
    """
    failed: list[InputError | MappingError] = []
    ways = readings_on(problem, architecture)
    for reading in (*ways, *(() if Reading(problem) in ways else (Reading(problem),))):
        try:
            read = read_mapping_file(path, bound_to(architecture, reading.problem), reading.problem)
        except (InputError, MappingError) as error:
            failed.append(error)
        else:
            return reading.problem, read, [f"{problem.name}: {reading.text}"] if reading.text else []
    first = failed[0]
    if ways[0].text and isinstance(first, InputError):
        how = f"{problem.name} is {ways[0].text}"
        raise InputError(f"{first.message} ({how})", file=first.file, line=first.line, key=first.key)
    raise first
