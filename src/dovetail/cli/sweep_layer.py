"""``dovetail sweep-layer``: how a layer's cost follows one of its dimensions, and which sizes the design likes."""

from __future__ import annotations

import argparse

from dovetail.cli import arguments
from dovetail.cli.given import given_of, layer_of
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import compiling_notes, limited_notes, print_notes
from dovetail.cli.outputs import add_output
from dovetail.cli.tables import print_json, print_table
from dovetail.files import write_text
from dovetail.network.plain import sweep_fields
from dovetail.network.sweep import Sweep, parse_sizes, sweep_layer
from dovetail.quantities import CYCLES, EDP, ENERGY, UTILIZATION
from dovetail.report.figures import sweep_figure, write_picture
from dovetail.store import Store
from dovetail.table import Column, Table
from dovetail.units import four_digits

#: What is kept when it ends early.
kept = arguments.kept_in_store


#: Command lines to begin with.
EXAMPLES = (
    "sweep-layer resnet18:layer1.0.conv1 --on eyeriss_like --dim M --values 32:96",
    "sweep-layer layer.yaml --on my_arch.yaml --dim C --values 16,24,32 --svg stairs.svg",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_layer(parser)
    arguments.add_hardware(parser, beside_layer=True)
    parser.add_argument("--dim", required=True, metavar="DIM", help="the dimension to sweep, as M")
    parser.add_argument(
        "--values", required=True, metavar="SIZES", help="first:last, first:last:step, or sizes with commas between"
    )
    arguments.add_objective(parser)
    arguments.add_limits(parser, "seconds per size")
    arguments.add_odd_sizes(parser)
    arguments.add_workers(parser)
    add_output(parser, "--csv", "write the table as CSV")
    add_output(parser, "--svg", "write the staircase as a picture")
    add_output(parser, "--png", "write the staircase as a picture")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Sweep, print and write what was asked for."""
    problem, notes = layer_of(args)
    architecture, energies = arguments.load_hardware(given_of(args).design, args)
    arguments.check_settings(args)
    with network_progress() as progress, Store.open() as store:
        sweep = sweep_layer(
            problem,
            architecture,
            energies,
            args.dim,
            parse_sizes(args.values),
            objective=args.objective,
            time_limit=arguments.limit_of(args),
            store=store,
            workers=args.workers,
            progress=progress,
            search=arguments.search_of(args),
        )
    limited = (
        []
        if arguments.search_of(args)
        else limited_notes((each.result for each in sweep.points), arguments.limit_of(args))
    )
    print_notes([*notes, *sweep.notes, *limited, *compiling_notes()])
    if args.csv:
        write_text(args.csv, sweep.rows().csv())
    for path, kind in ((args.svg, "svg"), (args.png, "png")):
        if path:
            write_picture(path, sweep_figure(sweep), kind)
    if args.json:
        print_json("sweep", sweep_fields(sweep))
        return 0
    _print(sweep)
    return 0


def _print(sweep: Sweep) -> None:
    columns = (
        Column(sweep.dimension, words=True),
        CYCLES,
        ENERGY,
        EDP,
        UTILIZATION,
        Column("computes", "per cycle", show=four_digits),
    )
    rows = tuple(
        (
            f"{point.size}{' *' if point.liked else ''}",
            point.result.cost.cycles,
            point.result.cost.energy_pJ,
            point.result.cost.edp_J_cycle,
            point.result.cost.utilization,
            point.computes_per_cycle,
        )
        for point in sweep.points
    )
    title = f"{sweep.problem.name} on {sweep.architecture.name}: {sweep.dimension} swept, best {sweep.objective}"
    print_table(title, Table(columns, rows))
    liked = ", ".join(str(size) for size in sweep.liked)
    print(
        f"* cheapest per unit of {sweep.dimension} within an eighth: {sweep.architecture.name} likes {liked or 'none'}"
    )
