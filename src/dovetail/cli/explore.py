"""``dovetail explore``: the proven front of area, energy and time over a family of designs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.cli import arguments
from dovetail.cli.interruption import INTERRUPTED, Gracefully
from dovetail.cli.notes import print_notes, print_unknown, unknown_of
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table
from dovetail.errors import InputError
from dovetail.family.certificate import certificate_text
from dovetail.family.explore import explore
from dovetail.family.family import Family, load_family
from dovetail.family.front import Axis, Choice, Point, read_axes
from dovetail.family.result import Exploration, State
from dovetail.family.sampling import EVALUATIONS, EXACT, Method, read_method, sample
from dovetail.family.saved import save_front
from dovetail.files import write_text
from dovetail.quantities import CYCLES, EDP, ENERGY
from dovetail.report.family_page import family_page
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.text import shown
from dovetail.units import four_digits, percent, whole
from dovetail.workload.network import Network
from dovetail.workload.together import together

#: What is kept when it ends early.
kept = arguments.kept_in_store


def _square_mm(area_um2: float) -> str:
    return four_digits(area_um2 * 1e-6)


_AXES = "area,energy,cycles"
_AREA = Column("area", "mm^2", key="area_um2", show=_square_mm)
_LEAST = (("least", ENERGY), ("fewest", CYCLES), ("least", EDP))
_TRAFFIC = Column("DRAM", "MB", key="traffic_bytes", show=lambda moved: four_digits(moved * 1e-6))
_POWER = Column("power", "mW", key="power_W", show=lambda power: four_digits(power * 1e3))
#: A gap beyond this says nothing: something is not bounded at all yet.
_NOTHING = 1e6


#: Command lines to begin with.
EXAMPLES = (
    "explore resnet18 --on eyeriss_like --vary shared_glb.depth=4096:65536:x2 --vary PE.meshY=8,12,16",
    "explore resnet18 mobilenet_v2 --shares 1,3 --on family.yaml --budget 'area <= 4 mm2' --save-front front",
    "explore alexnet --on family.yaml --axes area,edp --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_networks(parser)
    parser.add_argument(
        "--on",
        required=True,
        nargs="+",
        action="extend",
        metavar="FAMILY",
        help="a bundled design's name, or files in Timeloop's form, with !range and !choice where values vary",
    )
    arguments.add_settings(parser)
    arguments.add_vary(parser)
    parser.add_argument(
        "--axes",
        type=_axes,
        default=read_axes(_AXES),
        metavar="AXES",
        help=f"two or three of area,energy,cycles,edp, or power beside them, or traffic beside area,cycles ({_AXES})",
    )
    parser.add_argument(
        "--budget", action="append", default=[], metavar="WHAT<=N", help="such as 'area <= 4 mm2' or 'latency <= 5 ms'"
    )
    parser.add_argument(
        "--shares", type=_weights, metavar="N,...", help="how often each network runs, in their order (once each)"
    )
    parser.add_argument(
        "--time-limit", type=arguments.seconds, metavar="S", help="seconds in all; then the front so far"
    )
    parser.add_argument(
        "--method",
        type=_method,
        metavar="METHOD",
        help="exact (the default), or a sampler of Optuna's that chooses the designs to map: tpe, nsga2",
    )
    parser.add_argument(
        "--evaluations", type=arguments.positive, metavar="N", help=f"designs that a sampler maps ({EVALUATIONS})"
    )
    parser.add_argument("--seed", type=arguments.seed, metavar="N", help="seed of a sampler (0)")
    arguments.add_workers(parser)
    add_output(parser, "--csv", "write a row per point of the front, numbers in full")
    add_output(parser, "--html", "write the front as one page that opens from disk")
    add_output(parser, "--certificate", "write what proves the front, for `dovetail verify`")
    add_output(parser, "--save-front", "write the front's designs and mappings", folder=True)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Explore the family, print its front and write what was asked for."""
    _check_method(args)
    networks = [arguments.network_of(args, name, args.on) for name in args.networks]
    network = together(networks, args.shares)
    vary = arguments.varied_of(args)
    family = load_family(args.on, vary, budgets=args.budget, include_folders=args.include, data=dict(args.set))
    arguments.check_settings(args)
    size = f"{family.name}: {whole(family.size)} designs"
    with Gracefully() as waiting, _telling(size) as tell, Store.open() as store, waiting.raising():
        found = _explored(args, family, network, store, tell)
    empty = (
        [f"{shown(str(args.html))} is not written: no point is on the front"] if args.html and not found.points else []
    )
    notes = [*network.notes, *_left_out(found), *_early(found), *empty]
    print_notes(notes)
    files: dict[Point, Path] = {} if args.save_front is None else save_front(found, args.save_front)
    if args.certificate:
        write_text(args.certificate, certificate_text(found))
    if args.csv:
        write_text(args.csv, found.table().csv())
    if args.html and found.points:
        write_text(args.html, family_page(found))
    if args.json:
        print_json("exploration", _json(found, files, [*unknown_of(networks), *notes]))
    else:
        print_unknown(networks)
        _print(found, files)
    return INTERRUPTED if found.interrupted else 0


def _check_method(args: argparse.Namespace) -> None:
    """Check that options of a sampler stand beside one, and that nothing is proven of what one finds."""
    given = [name for name in ("evaluations", "seed") if getattr(args, name) is not None]
    if args.method is None and given:
        raise InputError(f"--{given[0]} is for samplers: --method tpe or --method nsga2")
    if args.method is not None and args.certificate:
        raise InputError(f"--method {args.method} proves nothing: there is no certificate to write")


def _explored(
    args: argparse.Namespace, family: Family, network: Network, store: Store, tell: Callable[[State], None]
) -> Exploration:
    given: dict[str, Any] = {"store": store, "workers": args.workers, "time_limit": args.time_limit, "progress": tell}
    if args.method is None:
        return explore(family, network, args.axes, **given)
    evaluations = EVALUATIONS if args.evaluations is None else args.evaluations
    return sample(family, network, args.axes, args.method, evaluations=evaluations, seed=args.seed or 0, **given)


def _axes(text: str) -> tuple[Axis, ...]:
    try:
        return read_axes(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _method(text: str) -> Method | None:
    try:
        return read_method(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(error.message) from None


def _weights(text: str) -> list[int]:
    return [arguments.positive(word) for word in text.split(",")]


@contextmanager
def _telling(size: str) -> Iterator[Callable[[State], None]]:
    """Tell how far it is, and first of all how large: once the designs were read, as a refusal stands alone."""
    with progress() as report:
        first = iter((size,))

        def tell(state: State) -> None:
            for line in first:
                print(line, file=sys.stderr)
            gap = "" if state.gap > 1e6 else f", gap {percent(state.gap - 1)}"
            report(
                state.settled, state.designs, f"{whole(state.mapped)} mapped, {whole(state.points)} on the front{gap}"
            )

        yield tell


def _left_out(found: Exploration) -> list[str]:
    said = [f"{whole(count)} left out, no designs: {reason}" for reason, count in found.skipped.items()]
    return said + [
        f"{whole(count)} left out, a layer has no mapping: {why}" for why, count in found.unmappable_by_reason.items()
    ]


def _early(found: Exploration) -> list[str]:
    if found.proven:
        return []
    if found.method != EXACT:
        ended = ["interrupted"] if found.interrupted else []
        return [
            *ended,
            f"{whole(found.mapped)} designs were chosen by Optuna's {found.method} and mapped; nothing is known of the "
            f"other {whole(found.open)}, nor how far this front is from the true one",
        ]
    of_all = [_unread(found)] if found.unread else []
    why = "interrupted" if found.interrupted else "time is up" if found.open else "some searches were not proven"
    gap = f"at most {percent(found.gap - 1)} above the true front" if found.gap < _NOTHING else "with no bound yet"
    return [*of_all, f"{why}: {whole(found.open)} designs are neither mapped nor bounded; this front is {gap}"]


def _unread(found: Exploration) -> str:
    return (
        f"time is up: {whole(found.unread)} of the {whole(found.family.size)} members were not looked at, not even "
        "whether they are designs; the front is of the others, and a longer --time-limit looks at more"
    )


def _json(found: Exploration, files: dict[Point, Path], notes: list[str]) -> dict[str, object]:
    fields = found.to_json()
    for point, entry in zip(found.points, fields["front"], strict=True):
        if point in files:
            entry["file"] = str(files[point])
    return {**fields, "notes": notes}


def _varied_names(found: Exploration) -> list[int]:
    """Return the places of the parameters in which points differ; of the only one, if there is only one."""
    parameters = range(len(found.family.parameters))
    varied = [at for at in parameters if len({point.choice[at] for point in found.points}) > 1]
    return varied or list(parameters)[:1]


def _by_design(found: Exploration) -> Table:
    """Return a row per design on the front: how many points it has there, and the best of each of their costs."""
    varied = _varied_names(found)
    names = [found.family.parameters[at].name for at in varied]
    heads = [Column(name.replace(".", "|", 1), key=name) for name in names]
    asked = [column for axis, column in ((Axis.TRAFFIC, _TRAFFIC), (Axis.POWER, _POWER)) if axis in found.axes]
    costs = [
        replace(column, name=f"{word}|{column.name}") for word, column in (*_LEAST, *(("least", one) for one in asked))
    ]
    points: dict[Choice, list[Point]] = {}
    for point in found.points:
        points.setdefault(point.choice, []).append(point)
    rows: list[tuple[Cell, ...]] = []
    for choice, its in points.items():
        labels = [found.family.parameters[at].labels[choice[at]] for at in varied]
        area, *least = (min(values) for values in zip(*(found.costs(each).values() for each in its), strict=True))
        rows.append((found.family.member_name(choice), *labels, area, *least, len(its)))
    columns = (Column("design", words=True), *heads, _AREA, *costs, Column("points", show=whole))
    return Table(columns, tuple(rows))


def _lacking(found: Exploration) -> str:
    """Return, in words, why no point is on the front."""
    if found.mapped or found.bounded:
        return "keeps to the budgets"
    return "was mapped in the time that there was" if found.open else "runs every layer"


def _print(found: Exploration, files: dict[Point, Path]) -> None:
    axes = " and ".join(filter(None, (", ".join(found.axes[:-1]), found.axes[-1])))
    if not found.points:
        print(f"No design of {found.family.name} {_lacking(found)}.")
    else:
        print_table(f"{found.network.name} on the family {found.family.name}: the front of {axes}", _by_design(found))
        varied = _varied_names(found)
        first = found.family.values(found.points[0].choice)
        same = [
            f"{each.name} = {first[each.name]}" for at, each in enumerate(found.family.parameters) if at not in varied
        ]
        if same:
            print(f"All of them have {', '.join(same)}.")
        if len(found.points) > 1:
            print(f"{whole(len(found.points))} points in all: a design has several where its layers' mappings trade")
            print("energy for cycles; --csv and --json have every one.")
    proof = "proven" if found.proven else "not proven"
    looked_at = " that were looked at" if found.unread else ""
    if found.method != EXACT:
        spent = f"({whole(found.searches)} searches, {found.seconds:.3g} s)"
        print(f"not proven: {whole(found.mapped)} of {whole(found.designs)} designs were mapped {spent}")
    else:
        beaten = "break a budget" if found.bounded and not found.points else "are beaten by a point above"
        print(
            f"{proof}: of {whole(found.designs)} designs{looked_at} {whole(found.mapped)} were mapped and "
            f"{whole(found.bounded)} {beaten} whatever runs on them "
            f"({whole(found.searches)} searches, {found.seconds:.3g} s)"
        )
    if files:
        print(f"designs and mappings are in {next(iter(files.values())).parent}")
