"""``dovetail shrink``: smaller networks that meet a target on a design, trained, measured and saved."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail import inputs
from dovetail.cli import arguments, numbers
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import Report, progress
from dovetail.cli.tables import print_json, print_table
from dovetail.cli.train import add_bits, add_data_arguments, add_execution_arguments, data_request, percent
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.mapper.objective import Objective
from dovetail.network.map_network import Progress
from dovetail.quantities import CYCLES, EDP, ENERGY
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.text import printable
from dovetail.units import four_digits
from dovetail.units import percent as percent_of

if TYPE_CHECKING:  # torch is imported when the command runs, not when its help is printed
    from dovetail.accuracy.data import DataSet
    from dovetail.accuracy.models import ModelSpec
    from dovetail.codesign.result import CodesignResult
    from dovetail.components.energy_table import EnergyTable
    from dovetail.hardware.architecture import Architecture
    from dovetail.shrink.channels import ChannelGraph
    from dovetail.shrink.finalists import Accuracy
    from dovetail.shrink.pruning import PruneResult
    from dovetail.shrink.request import Request
    from dovetail.shrink.result import Outcome, ShrinkResult
    from dovetail.shrink.target import Target


#: What is told of every network.
_COLUMNS = (
    Column("network", words=True),
    EDP,
    Column("of the|original", show="{:.3f}x".format),
    ENERGY,
    CYCLES,
    Column("MMACs", show=four_digits),
    Column("validation", "%", words=False),
    Column("test", "%", words=False),
)

#: Command lines to begin with.
EXAMPLES = (
    "shrink best.pt --on eyeriss_like --data cifar10 --target edp=0.2x",
    "shrink five-layer --on eyeriss_like --data digits --target cycles=2e6 --html page.html",
    "shrink best.pt --on sparse_tensor_core --data cifar10 --target energy=0.6x --method magnitude",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_model(parser)
    arguments.add_hardware(parser, beside_layer=True)
    _add_family(parser.add_argument_group("instead of --on, designs to choose from"))
    arguments.add_batch(parser)
    parser.add_argument(
        "--target",
        action="append",
        required=True,
        metavar="METRIC=MOST",
        help="edp=0.3x, energy=120 (uJ), cycles=2e6, macs=30%%, front or energy=front; may be repeated",
    )
    add_data_arguments(parser, required=True)
    search = parser.add_argument_group("search")
    search.add_argument(
        "--method",
        default="supernet",
        metavar="METHOD",
        help="supernet (default), netadapt, uniform, macs, knapsack, random; weights instead of channels: magnitude, "
        "or so many of every 4 or 8 along input channels, as 2:4",
    )
    search.add_argument(
        "--knobs",
        metavar="KNOB,...",
        help="what may be turned: channels, depth (blocks left out), kernel, resolution, bits; by default channels and "
        "depth, where there are",
    )
    add_bits(search, "where bits are a knob, those that are not chosen: ")
    search.add_argument(
        "--tried", type=numbers.wholes, metavar="N,...", help="where bits are a knob, those to choose from (8,4)"
    )
    search.add_argument(
        "--candidates", type=arguments.positive, default=120, metavar="N", help="networks that it may measure (120)"
    )
    search.add_argument(
        "--objective",
        type=arguments.objective,
        metavar="|".join(Objective),
        help="what each layer's mapping minimises (by default what the target bounds)",
    )
    arguments.add_odd_sizes(search)
    search.add_argument("--seed", type=arguments.seed, default=0, metavar="N", help="of search and training (0)")
    _add_training(parser.add_argument_group("training"))
    add_execution_arguments(parser)
    where = parser.add_argument_group("results")
    add_run(where)
    add_output(where, "--html", "write one page that opens from disk")
    where.add_argument("--json", action="store_true", help="print one JSON object")


def _add_family(group: Any) -> None:
    group.add_argument(
        "--family",
        nargs="+",
        action="extend",
        metavar="FAMILY",
        help="a bundled design's name, or files, with !range and !choice where values vary, as `explore` takes them",
    )
    arguments.add_vary(group)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare the network that a run starts from."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="best.pt of `dovetail train`, five-layer, small-vit, a torchvision model, or package.module:factory",
    )
    parser.add_argument(
        "--weights", metavar="FILE|NAME", help="trained weights of MODEL: a file, or torchvision's name such as DEFAULT"
    )


def add_finalists(group: Any) -> None:
    """Declare how many networks are trained, and how often."""
    group.add_argument(
        "--seeds", type=arguments.positive, default=1, metavar="N", help="train each chosen network under N seeds (1)"
    )
    group.add_argument(
        "--finalists", type=arguments.positive, default=2, metavar="N", help="networks trained per target (2)"
    )


def add_run(where: Any) -> None:
    """Declare how much a run takes, and the folder that it is kept in."""
    where.add_argument("--workers", type=arguments.positive, metavar="N", help="trainings and mappings at a time")
    arguments.add_limits(where, "seconds per layer's mapping")
    add_output(where, "--out", "everything; an interrupted run there is continued", folder=True)


def _add_training(group: Any) -> None:
    group.add_argument(
        "--recipe",
        help="of the smaller networks: modern (default), fine-tune, study; quantised where bits are a knob",
    )
    group.add_argument("--epochs", type=arguments.positive, metavar="N", help="instead of the recipe's")
    group.add_argument("--supernet-epochs", type=arguments.positive, metavar="N", help="of the supernet (6)")
    add_finalists(group)
    group.add_argument(
        "--scratch", action="store_true", help="train smaller networks from new weights, not from the supernet's"
    )
    group.add_argument(
        "--train-first", action="store_true", help="train MODEL by the recipe before, whatever weights it comes with"
    )
    group.add_argument("--no-reference", action="store_true", help="don't train the original likewise, to compare")


def kept(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when it ends early."""
    where = "" if args.out is None else f" in {args.out}"
    return f"what is trained and mapped is kept{where}, the same command goes on from there"


def run(args: argparse.Namespace) -> int:
    """Shrink, print and write what was asked for."""
    from dovetail.shrink.methods import is_pruning
    from dovetail.shrink.oracle import CostOracle
    from dovetail.shrink.pruning import prune
    from dovetail.shrink.run import shrink
    from dovetail.shrink.target import OBJECTIVES, parse_targets

    targets = parse_targets(args.target)
    if args.family:
        return _run_family(args, targets)
    if args.on is None or args.vary:
        raise InputError(
            "--vary is about a family: write --family instead of --on"
            if args.on is not None
            else "no design: write --on DESIGN, or --family FAMILY where network and design are chosen together"
        )
    architecture, energies = arguments.hardware_of(args)
    arguments.check_settings(args)
    request = _request(args, targets)
    objective = args.objective or OBJECTIVES[targets[0].metric]
    with Store.open() as store, progress() as report:
        told, search = mapping_progress(report), arguments.search_of(args)
        limit = arguments.limit_of(args)
        oracle = CostOracle(architecture, energies, objective, store, args.workers, limit, told, search)
        if is_pruning(request.method):
            return _finish_pruning(args, prune(request, oracle, report))
        result = shrink(request, oracle, report)
    if args.html:
        from dovetail.report.shrink_page import shrink_page  # templates load only when a page is asked for

        write_text(args.html, shrink_page(result))
    if args.json:
        print_json("shrink", result.to_json())
        return 0
    _print(result)
    return 0


def _run_family(args: argparse.Namespace, targets: tuple[Target, ...]) -> int:
    """Search network and hardware together, print and write what was asked for."""
    from dovetail.codesign.designs import Designs
    from dovetail.codesign.run import codesign
    from dovetail.family.family import load_family
    from dovetail.shrink.oracle import CostOracle
    from dovetail.shrink.target import OBJECTIVES

    _check_family(args)
    family = load_family(args.family, arguments.varied_of(args), include_folders=args.include, data=dict(args.set))
    arguments.check_settings(args)
    with Store.open() as store, progress() as report:
        told, limit = mapping_progress(report), arguments.limit_of(args)

        def oracle_of(architecture: Architecture, energies: EnergyTable) -> CostOracle:
            objective = OBJECTIVES[targets[0].metric]
            return CostOracle(architecture, energies, objective, store, args.workers, limit, told)

        designs = Designs(family, oracle_of)
        result = codesign(_request(args, targets), designs, report)
    if args.html:
        from dovetail.report.page import report_page  # templates load only when a page is asked for

        costs = [result.original.cost, *(pair.outcome.cost for pair in result.pairs)]
        write_text(args.html, report_page(costs, title=result.title, accuracies={}))
    if args.json:
        print_json("codesign", result.to_json())
        return 0
    _print_pairs(result)
    return 0


def _check_family(args: argparse.Namespace) -> None:
    """Check that nothing stands beside a family that is about one design, or that its bounds do not hold of."""
    given = {
        "--on": args.on is not None,
        "--ert": args.ert is not None,
        "--art": args.art is not None,
        "--objective": args.objective is not None,
        "--imperfect": args.imperfect,
        "--pad": args.pad,
        f"--method {args.method}": args.method != "supernet",
    }
    if wrong := next((name for name, is_given in given.items() if is_given), None):
        raise InputError(f"{wrong} has no place beside --family")


def _print_pairs(result: CodesignResult) -> None:
    print_notes(result.notes())
    original, family = result.original, result.designs.family
    first = family.member_name(result.designs.first)
    rows: list[tuple[Cell, ...]] = [("original", first, result.designs.area_um2[result.designs.first],
                                     *_cells(original, original)[1:], "")]  # fmt: skip
    for pair in result.pairs:
        cells = _cells(pair.outcome, original)
        rows.append((cells[0], pair.design, pair.spot.area_um2, *cells[1:], "beaten" if pair.beaten else ""))
    columns = (
        Column("network", words=True),
        Column("design", words=True),
        Column("area", "mm^2", show=lambda area: four_digits(area * 1e-6)),
        *_COLUMNS[1:],
        Column("", words=True),
    )
    print_table(f"{result.title}, {printable(result.request.data.name)}", Table(columns, tuple(rows)))
    for pair in result.pairs:
        values = ", ".join(f"{name} = {value}" for name, value in family.values(pair.spot.member).items())
        print(f"{pair.outcome.target}, {printable(values)}: {_changed(result.graph, pair.outcome)}")
        print(f"  in {printable(str(pair.outcome.folder))}, its design in {pair.file.name}")
    proof = "proven for the losses predicted" if all(result.front.proven.values()) else "not proven"
    print(f"\n{proof}: of {result.designs.count:,} designs {len(result.front.mapped):,} were mapped and "
          f"{result.front.bounded:,} ruled out by bounds")  # fmt: skip
    print(f"as given, {100 * result.as_given.accuracy:.2f} % on validation images; {_trained(result.request)}")


def _finish_pruning(args: argparse.Namespace, result: PruneResult) -> int:
    """Print pruned networks and write what was asked for; returns 0."""
    if args.html:
        from dovetail.report.page import report_page  # templates load only when a page is asked for

        costs = [result.original.cost, *(each.cost for each in result.networks)]
        write_text(
            args.html, report_page(costs, title=f"{result.request.model.label} with fewer weights", accuracies={})
        )
    if args.json:
        print_json("pruning", result.to_json())
        return 0
    print_notes(result.notes())
    original = result.original
    columns = (
        Column("network", words=True),
        Column("weights|left", show=percent_of),
        EDP,
        Column("of the|original", show="{:.3f}x".format),
        ENERGY,
        CYCLES,
        Column("validation", "%", words=False),
        Column("test", "%", words=False),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in (original, *result.networks):
        figures = each.figures
        cost = (
            figures.edp_J_cycle,
            figures.edp_J_cycle / original.figures.edp_J_cycle,
            figures.energy_pJ,
            figures.cycles,
        )
        name = "original" if each.target is None else str(each.target)
        rows.append((name, each.share, *cost, *_accuracies(each.accuracy)))
    title = f"{result.request.model.label} on {original.cost.architecture.name}, {printable(result.request.data.name)}"
    print_table(title, Table(columns, tuple(rows)))
    for each in result.networks:
        files = [] if each.exported is None else [file.name for file in each.exported.files.values()]
        print(f"{each.target}: in {printable(str(each.folder))}, its zeros in densities.csv", end="")
        print(f"{', for others: ' * bool(files)}{', '.join(files)}")
    if not all(each.cost.exact for each in (original, *result.networks)):
        print("Not every layer's mapping is proven best.")
    print(f"\nas given, {100 * result.as_given.accuracy:.2f} % on validation images; {_trained(result.request)}")
    return 0


def mapping_progress(report: Report) -> Any:
    """Return what tells a report of layers that are mapped."""

    def told(state: Progress) -> None:
        report(state.done, state.total, "mapping layers")

    return told


def _request(args: argparse.Namespace, targets: tuple[Target, ...]) -> Request:
    from dovetail.accuracy.execution import Execution
    from dovetail.accuracy.recipe import recipe_named
    from dovetail.shrink.narrow import TRIED
    from dovetail.shrink.request import Request, supernet_recipe
    from dovetail.shrink.target import parse_knobs

    data = data_request(args, args.data)
    knobs = None if args.knobs is None else parse_knobs(args.knobs)
    narrows = knobs is not None and "bits" in knobs
    if args.tried and not narrows:
        raise InputError("--tried says which bits to choose from; write --knobs channels,bits")
    recipe = recipe_named(args.recipe or ("quantised" if narrows else "modern"))
    recipe = recipe if args.epochs is None else replace(recipe, epochs=args.epochs)
    with progress() as report:
        loaded = data.load(report)
    spec, weights = model_and_weights(args, loaded, recipe.stem)
    design = Path((args.on or args.family)[0]).stem
    out = args.out or Path("runs") / f"shrink-{spec.label.replace(':', '.')}-{design}-{Path(args.data).name}"
    return Request(
        spec,
        None if args.train_first else weights,
        data,
        targets,
        out,
        method=args.method,
        recipe=recipe,
        supernet=supernet_recipe(recipe, args.supernet_epochs),
        seeds=args.seeds,
        seed=args.seed,
        knobs=knobs,
        tried=tuple(args.tried or TRIED),
        held=tuple(args.bits),
        budget=args.candidates,
        finalists=args.finalists,
        scratch=args.scratch,
        reference=not args.no_reference,
        batch=args.batch or 1,
        execution=Execution(args.device, args.precision, threads=args.threads),
        processes=args.workers,
    )


def model_and_weights(args: argparse.Namespace, data: DataSet, stem: str) -> tuple[ModelSpec, dict[str, Any] | None]:
    """Return what makes the network, and its trained weights; None when it has to be trained first."""
    from dovetail.accuracy import checkpoint
    from dovetail.accuracy.models import ModelSpec, model_spec, pretrained

    file = Path(args.model)
    if file.suffix == ".pt" or file.is_file():
        inputs.refuse_output(file)
        content = checkpoint.load(file, expected={"weights": dict})
        described = content.get("model")
        if not isinstance(described, dict) or ":" in str(described.get("name")):
            raise InputError(
                "holds weights of a network of your own: write package.module:factory --weights FILE", file=file
            )
        spec = ModelSpec.of(described, file)
        spec.check(content["weights"], file)
        return spec, content["weights"]
    if args.weights is None:
        spec = model_spec(args.model, data, stem=stem)
        return spec, spec().state_dict() if ":" in args.model else None
    if Path(args.weights).is_file() or Path(args.weights).suffix in (".pt", ".pth"):
        inputs.refuse_output(Path(args.weights))
        weights = checkpoint.load_weights(Path(args.weights))
        spec = model_spec(args.model, data, stem=stem)
        checkpoint.check_weights(spec(), weights, Path(args.weights))
        return spec, weights
    model, _ = pretrained(args.model, args.weights, len(data.classes))
    return model_spec(args.model, data, stem="imagenet"), model.state_dict()


def _print(result: ShrinkResult) -> None:
    print_notes(result.notes())
    original = result.original
    rows = tuple(_cells(each, original) for each in (original, *result.networks))
    title = f"{result.request.model.label} on {original.cost.architecture.name}, {printable(result.request.data.name)}"
    print_table(title, Table(_COLUMNS, rows))
    for each in result.networks:
        files = [] if each.exported is None else [file.name for file in each.exported.files.values()]
        print(f"{each.target}: {_changed(result.graph, each)}")
        print(f"  in {printable(str(each.folder))}{', for others: ' * bool(files)}{', '.join(files)}")
    if not all(each.cost.exact for each in result.networks):
        print("Not every layer's mapping is proven best.")
    print(f"\nas given, {100 * result.as_given.accuracy:.2f} % on validation images; {_trained(result.request)}")


def _changed(graph: ChannelGraph, each: Outcome) -> str:
    """Return, in words, what became of a network."""
    groups = zip(graph.groups, each.widths, strict=False)
    changed = [f"without {block}" for block in graph.left_out(each.widths)]
    changed += graph.lowered_text(each.widths)
    changed += [f"{group.name} {group.channels} to {width}" for group, width in groups if 0 < width < group.channels]
    more = f" and {len(changed) - 8} more groups" if len(changed) > 8 else ""
    return f"{', '.join(changed[:8]) or 'the network as given'}{more}"


def _trained(request: Request) -> str:
    start = "new weights" if request.scratch else "the trained weights"
    like = "all networks, the original too," if request.reference else "smaller networks"
    seeds = f"{request.seeds} seeds" if request.seeds > 1 else "one seed"
    return f"{like} trained from {start} for {request.recipe.epochs} epochs under {seeds}; test images used once"


def _cells(each: Outcome, original: Outcome) -> tuple[Cell, ...]:
    figures = each.figures
    return (
        "original" if each.target is None else str(each.target),
        figures.edp_J_cycle,
        figures.edp_J_cycle / original.figures.edp_J_cycle,
        figures.energy_pJ,
        figures.cycles,
        figures.macs / 1e6,
        *_accuracies(each.accuracy),
    )


def _accuracies(accuracy: Accuracy | None) -> list[str]:
    """Return shares of validation and test images that are right, with their intervals over seeds."""
    from dovetail.accuracy.statistics import interval

    if accuracy is None:
        return ["-", "-"]
    return [percent(interval(list(part.values()))) for part in (accuracy.validation, accuracy.test)]
