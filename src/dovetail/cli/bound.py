"""``dovetail bound``: the least DRAM traffic against the room on the chip, and how far a design is from it."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path

from dovetail.cli import arguments
from dovetail.cli.network_progress import network_progress
from dovetail.cli.notes import limited_of, notes_of, print_notes, print_unknown, unknown_of
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.network.map_network import map_network
from dovetail.report.slope import slope_picture
from dovetail.store import Store
from dovetail.traffic.bounds import WORD_BITS, Bound, Dram, bound
from dovetail.traffic.distance import Distance, distance
from dovetail.units import size_text, times
from dovetail.workload.network import Network
from dovetail.workload.widths import checked_bits

#: How long a layer is searched on the design unless said otherwise.
SECONDS = 10.0
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 2.0**10, "mi": 2.0**20, "gi": 2.0**30}

#: What is kept when it ends early.
kept = arguments.kept_in_store

#: Command lines to begin with.
EXAMPLES = (
    "bound resnet18",
    "bound resnet18 --on eyeriss_like",
    "bound alexnet --batch 16 --room 64kB,108kB,1MB --pj-per-bit 4 --bandwidth 25.6",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("network", metavar="NETWORK", help=arguments.NETWORK)
    arguments.add_model(parser)
    arguments.add_hardware(parser, beside_layer=True)
    arguments.add_objective(parser)
    parser.add_argument(
        "--room", type=_rooms, metavar="SIZE,...", help="sizes to show: bytes, or as 64kB, 108kB, 2MiB (powers of two)"
    )
    parser.add_argument(
        "--word-bits",
        type=_word_bits,
        default=WORD_BITS,
        metavar="N",
        help=f"bits of values that no width is given for ({WORD_BITS})",
    )
    parser.add_argument(
        "--pj-per-bit", type=arguments.number_above_0, metavar="PJ", help="what a bit to or from DRAM takes"
    )
    parser.add_argument(
        "--bandwidth", type=arguments.number_above_0, metavar="GB/S", help="what DRAM moves, reads and writes together"
    )
    arguments.add_limits(
        parser, f"seconds per layer: for its mapping ({SECONDS:g}), and for its bound (as long as it takes)"
    )
    arguments.add_workers(parser)
    add_output(parser, "--csv", "write a row per size, numbers in full")
    add_output(parser, "--svg", "write the slope as a picture")
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Bound the network, map it on the design if there is one, and print both."""
    network = arguments.network_of(args, args.network, args.on or ())
    design = None if args.on is None else arguments.hardware_of(args)
    arguments.check_settings(args)
    dram = Dram(args.pj_per_bit, None if args.bandwidth is None else args.bandwidth * 1e9)
    word_bits = args.word_bits if design is None else design[0].storages[0].datawidth
    with progress() as tell:
        found = bound(network, word_bits=word_bits, dram=dram, time_limit=args.time_limit, progress=tell)
    far = None
    notes = list(network.notes)
    if design is not None:
        limit = arguments.limit_of(args, SECONDS)
        with network_progress() as shown, Store.open() as store:
            cost = map_network(
                network,
                *design,
                objective=args.objective,
                time_limit=limit,
                store=store,
                workers=args.workers,
                progress=shown,
            )
        far = distance(cost)
        notes = [*notes_of([cost]), *limited_of([cost], limit)]
    notes += _left_out(network)
    print_notes(notes)
    if args.json:
        fields = {**found.to_json(), "points": found.table(args.room).records()}
        said = [*unknown_of([network]), *notes]
        print_json("bound", {**fields, "on": None if far is None else far.to_json(), "notes": said})
    else:
        print_unknown([network])
        _print(found, far, args.room)
    _write(args.csv, args.svg, found, far, args.room)  # no store keeps bounds: what can't be written is seen already
    return 0


def _write(
    csv: Path | None, svg: Path | None, found: Bound, far: Distance | None, rooms: Sequence[float] | None
) -> None:
    if csv:
        write_text(csv, found.table(rooms).csv())
    if svg:
        write_text(svg, slope_picture(found, [] if far is None else [far]))


def _word_bits(text: str) -> int:
    try:
        return checked_bits(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rooms(text: str) -> list[float]:
    rooms = []
    for word in text.split(","):
        parts = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e\+?[0-9]{1,3})?)\s*([kmg]i?|)b?\s*", word, re.IGNORECASE)
        value = float(parts[1]) * _PREFIXES[parts[2].lower()] if parts else 0.0
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"'{word[:40]}' is no size: write bytes, or as 64kB, 108kB, 2MiB")
        rooms.append(value)
    return rooms


def _left_out(network: Network) -> list[str]:
    notes = []
    if any(layer.problem.densities for layer in network.layers):
        notes.append("zeros are not left out: the bound is of dense tensors")
    if network.unmapped:
        notes.append(f"{network.name}: what has no loop nest is not bounded (see `dovetail layers {network.name}`)")
    return notes


def _print(found: Bound, far: Distance | None, rooms: Sequence[float] | None) -> None:
    table = found.table(rooms).filled()
    network = found.network
    print_table(f"{network.name}, batch {network.batch}: what no design of perfect factors moves less than", table)
    once, enough = found.traffic_bytes(math.inf), float(found.room_bytes[-1])
    print_text(f"Everything moves once, {size_text(once)} in all, with {size_text(enough)} on the chip.")
    if rooms is not None and None in (row[1] for row in table.rows):
        print_text(f"A layer needs at least {size_text(float(found.room_bytes[0]))} on the chip.")
    if far is not None:
        _print_distance(far)


def _print_distance(far: Distance) -> None:
    print()
    print_table(f"on {far.cost.architecture.name}, each layer at its best {far.cost.objective}", far.table())
    room = (
        "with no bound on its room" if math.isinf(far.room_bytes) else f"with {size_text(far.room_bytes)} on the chip"
    )
    print_text(
        f"{room} nobody moves less than {size_text(far.least_bytes)}; {far.cost.architecture.name} moves "
        f"{size_text(far.moved_bytes)}, {times(far.times)}."
    )
