"""``dovetail bits``: chooses bits for every layer that meet a target on a design; trains, measures and saves them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dovetail.cli import arguments, numbers
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.shrink import add_finalists, add_model, add_run, mapping_progress, model_and_weights
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.cli.train import add_bits, add_data_arguments, add_execution_arguments, data_request, percent
from dovetail.errors import InputError
from dovetail.quantities import CYCLES, EDP, ENERGY
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.text import printable

if TYPE_CHECKING:  # torch is imported when the command runs, not when its help is printed
    from dovetail.bits.run import BitsResult, Outcome, Request
    from dovetail.shrink.target import Target


#: Command lines to begin with.
EXAMPLES = (
    "bits best.pt --on eyeriss_like --data cluttered-digits --target energy=0.5x",
    "bits best.pt --on eyeriss_like --data cifar10 --target energy=0.4x --bits first:8 --bits last:8",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_model(parser)
    arguments.add_hardware(parser)
    arguments.add_batch(parser)
    parser.add_argument(
        "--target",
        action="append",
        required=True,
        metavar="METRIC=MOST",
        help="energy=0.5x, energy=120 (uJ), cycles=2e6, edp=30%%; a share is of MODEL's at the design's own words; may "
        "be repeated",
    )
    add_data_arguments(parser, required=True)
    search = parser.add_argument_group("search")
    add_bits(search)
    search.add_argument(
        "--tried",
        type=numbers.wholes,
        default=[8, 6, 4, 3, 2],
        metavar="N,...",
        help="bits to choose from (8,6,4,3,2)",
    )
    search.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="the first of the trainings' (0)")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=arguments.positive, metavar="N", help="with narrow numbers (3)")
    add_finalists(training)
    training.add_argument("--no-reference", action="store_true", help="don't train 8 bits everywhere, to compare")
    add_execution_arguments(parser)
    where = parser.add_argument_group("results")
    add_run(where)
    add_output(where, "--onnx", "write the network of the last target as ONNX, quantised and dequantised (QDQ)")
    where.add_argument("--json", action="store_true", help="print one JSON object")


def kept(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when it ends early."""
    where = "" if args.out is None else f" in {args.out}"
    return f"what is trained, measured and mapped is kept{where}, the same command goes on from there"


def run(args: argparse.Namespace) -> int:
    """Choose, print and write what was asked for."""
    from dovetail.accuracy.qdq import check_extra
    from dovetail.bits.run import choose_bits
    from dovetail.shrink.oracle import CostOracle
    from dovetail.shrink.target import OBJECTIVES, parse_targets

    if args.onnx:
        check_extra()
    targets = parse_targets(args.target)
    architecture, energies = arguments.hardware_of(args)
    arguments.check_settings(args)
    request = _request(args, targets)
    objective = OBJECTIVES[targets[0].metric]
    with Store.open() as store, progress() as report:
        told = mapping_progress(report)
        oracle = CostOracle(architecture, energies, objective, store, args.workers, arguments.limit_of(args), told)
        result = choose_bits(request, oracle, report)
    if args.onnx:
        _export(result, Path(args.onnx))
    if args.json:
        print_json("bits", result.to_json())
    else:
        _print(result)
    return 0


def _request(args: argparse.Namespace, targets: tuple[Target, ...]) -> Request:
    from dovetail.accuracy.execution import Execution
    from dovetail.accuracy.recipe import MODERN, QUANTISED
    from dovetail.bits.run import Request

    if targets[0].metric == "macs":
        raise InputError("bits change no number of MACs: write energy=0.5x, cycles=... or edp=...")
    data = data_request(args, args.data)
    with progress() as report:
        loaded = data.load(report)
    spec, weights = model_and_weights(args, loaded, MODERN.stem)
    out = (
        args.out or Path("runs") / f"bits-{spec.label.replace(':', '.')}-{Path(args.on[0]).stem}-{Path(args.data).name}"
    )
    return Request(
        spec,
        weights,
        data,
        targets,
        out,
        held=tuple(args.bits),
        tried=tuple(args.tried),
        recipe=QUANTISED if args.epochs is None else replace(QUANTISED, epochs=args.epochs),
        seeds=args.seeds,
        seed=args.seed,
        finalists=args.finalists,
        reference=not args.no_reference,
        batch=args.batch or 1,
        execution=Execution(args.device, args.precision, threads=args.threads),
        processes=args.workers,
    )


def _export(result: BitsResult, path: Path) -> None:
    from dovetail.accuracy.narrowing import of_checkpoint
    from dovetail.accuracy.qdq import export

    chosen = result.networks[-1]
    assert chosen.accuracy is not None
    request = result.request
    narrow = of_checkpoint(request.model, chosen.plan, chosen.accuracy.best)
    shape = (request.model.channels, request.model.size, request.model.size)
    export(narrow, (request.batch, *shape), path)


def _print(result: BitsResult) -> None:
    rows = tuple(_cells(each, result) for each in (result.original, result.eight, *result.networks))
    columns = (
        Column("network", words=True),
        ENERGY,
        Column("of the|original", show="{:.3f}x".format),
        Column("of|8 bits", show="{:.3f}x".format),
        CYCLES,
        EDP,
        Column("validation", "%", words=False),
        Column("test", "%", words=False),
        Column("less|8 bits'", "points", words=False),
    )
    request = result.request
    title = f"{request.model.label} on {result.space.oracle.architecture.name}, {printable(request.data.name)}"
    print_table(title, Table(columns, rows))
    design = printable(result.space.oracle.architecture.name)
    for each in result.networks:
        bits = ", ".join(f"{one.path} {one.weights}/{one.inputs}" for one in each.plan)
        how = "no choice has less predicted loss" if each.proven else "the least predicted loss found"
        print(f"{each.target}: bits of weights/inputs: {printable(bits)}\n  {how}; {printable(_file(each))}")
    if not result.exact:
        print("Not every layer's mapping is proven best.")
    seeds = f"{request.seeds} seeds" if request.seeds > 1 else "one seed"
    print(
        f"\nnarrow networks trained on for {request.recipe.epochs} epochs under {seeds}, the original as it was given; "
        "test images used once"
    )
    if request.seeds > 1:
        print("± is the 95 % t-interval of the mean over seeds; of the difference to 8 bits, seed by seed")
    objective = result.space.oracle.objective
    print_text(
        f"every layer is mapped for the least {objective}; what --onnx writes comes to the same by "
        f"`dovetail compare FILE --on {design} --objective {objective}`"
    )


def _difference(each: Outcome, result: BitsResult) -> str:
    found = result.minus_eight(each)
    if found is None or each is result.eight:
        return "-"
    half = found.half_width
    return f"{100 * found.mean:+.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def _file(each: Outcome) -> str:
    return "" if each.accuracy is None else f"in {each.accuracy.best}"


def _cells(each: Outcome, result: BitsResult) -> tuple[Cell, ...]:
    from dovetail.accuracy.statistics import interval

    accuracies = ["-", "-"]
    if each is result.original:
        accuracies = [f"{100 * result.as_given.accuracy:.2f}", f"{100 * result.test:.2f}"]
    if each.accuracy is not None:
        measured = (each.accuracy.validation, each.accuracy.test)
        accuracies = [percent(interval(list(part.values()))) for part in measured]
    name = "original" if each is result.original else each.name if each.target is None else str(each.target)
    energy = each.figures.energy_pJ
    shares = (energy / result.original.figures.energy_pJ, energy / result.eight.figures.energy_pJ)
    return (
        name,
        energy,
        *shares,
        each.figures.cycles,
        each.figures.edp_J_cycle,
        *accuracies,
        _difference(each, result),
    )
