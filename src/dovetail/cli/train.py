"""``dovetail train``: trains networks under several seeds and prints their accuracy with its interval."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail import inputs
from dovetail.cli import arguments, numbers
from dovetail.cli.notes import print_notes
from dovetail.cli.outputs import add_output, file_path
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json
from dovetail.errors import InputError
from dovetail.json_text import json_document
from dovetail.text import printable

if TYPE_CHECKING:  # torch is imported when the command runs, not when its help is printed
    from dovetail.accuracy.recipe import Recipe
    from dovetail.accuracy.runs import DataRequest, RunRequest, Summary
    from dovetail.accuracy.statistics import Interval
    from dovetail.accuracy.training import TrainingResult


#: Command lines to begin with.
EXAMPLES = (
    "train five-layer --data digits --width 2,4,8,16 --seeds 5",
    "train resnet18 --data cifar10 --download --epochs 30",
    "train resnet10t --weights resnet10t.safetensors --data photos/ --recipe fine-tune",
    "train resnet18 --data photos/ --optimizer adam --learning-rate 1e-3 --label-smoothing 0.1 --mixup 0.2",
    "train five-layer --data cluttered-digits --bits weights=4,inputs=8 --bits first:8 --bits last:8",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="+",
        help="five-layer or small-vit (small, with --width), torchvision or timm models, or package.module:factory",
    )
    add_data_arguments(parser, required=True)
    recipe = parser.add_argument_group("how")
    _add_recipe(recipe)
    recipe.add_argument(
        "--width",
        type=numbers.wholes,
        default=[None],
        metavar="W,...",
        help="widths of five-layer or small-vit, e.g. 2,4,8,16,24 for the curve",
    )
    recipe.add_argument(
        "--weights",
        type=file_path,
        metavar="FILE",
        help="begin with weights of a checkpoint, a state_dict or .safetensors; a classifier of other classes anew",
    )
    recipe.add_argument("--stem", choices=("auto", "imagenet", "cifar"), help="instead of the recipe's (see docs)")
    recipe.add_argument(
        "--seeds", type=numbers.whole, default=1, metavar="N", help="train under seeds 0 to N-1 (default 1)"
    )
    narrow = parser.add_argument_group("narrow numbers")
    add_bits(narrow)
    narrow.add_argument(
        "--bits-epochs", type=numbers.whole, metavar="N", help="of training with narrow numbers, after the other (3)"
    )
    add_execution_arguments(parser)
    where = parser.add_argument_group("results")
    where.add_argument("--workers", type=numbers.whole, metavar="N", help="runs at a time (one per core; 1 on a GPU)")
    add_output(where, "--out", "checkpoints and result.json; an interrupted run there is continued", folder=True)
    where.add_argument("--log", action="append", default=[], metavar="LOGGER", help="also log to tensorboard or wandb")
    where.add_argument(
        "--no-test", action="store_true", help="leave the test images alone while there is more to choose"
    )
    where.add_argument("--json", action="store_true", help="print one JSON object")


#: Options that take the place of a recipe's fields: their metavar, kind and help.
_FIELDS: dict[str, tuple[str, Any, str]] = {
    "epochs": ("N", numbers.whole, "instead of the recipe's, as all that follow"),
    "batch_size": ("N", numbers.whole, "images a step"),
    "optimizer": ("NAME", str, "muon, sgd or adam"),
    "learning_rate": ("RATE", float, "the highest"),
    "momentum": ("SHARE", float, "of Muon or SGD"),
    "weight_decay": ("RATE", float, "of what SGD or Adam trains"),
    "schedule": ("NAME", str, "linear (with --warm-up) or cosine"),
    "warm_up": ("SHARE", float, "of the steps in which the rate rises"),
    "label_smoothing": ("SHARE", float, "of every label that is spread over all classes"),
    "mixup": ("ALPHA", float, "mix images in pairs, by shares from Beta(ALPHA, ALPHA)"),
    "cutout": ("PIXELS", numbers.whole, "cut a square of so many rows out of every training image"),
    "mean_weights": ("DECAY", float, "keep a running mean of the weights (0.999, say), and use it"),
    "patience": ("N", numbers.whole, "end after N epochs without better validation"),
}


def _add_recipe(group: Any) -> None:
    """Declare the recipe and what may differ from it."""
    group.add_argument(
        "--recipe",
        default="modern",
        help="modern (default; short), study (as the founding study), fine-tune, or a YAML file of a recipe's fields",
    )
    for name, (metavar, kind, words) in _FIELDS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=words)


def add_bits(group: Any, when: str = "") -> None:
    """Declare bits of weights and inputs, as ``args.bits``: of all layers, or of some; ``when`` begins its help."""
    arguments.add_bits(
        group,
        f"{when}2 to 8 bits of weights and inputs, as weights=4,inputs=8, or 4 for both; LAYER:8, first:8 or "
        "last:8 for some layers, or a CSV or YAML file of layers and their bits; may be repeated, the last one stands",
    )


def add_data_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Declare how a data set is given."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        required=required,
        metavar="DATA",
        help="digits, cluttered-digits (both built in), cifar10, cifar100, or a folder of images",
    )
    data.add_argument("--root", type=file_path, metavar="DIR", help="folder that holds CIFAR (default: data)")
    data.add_argument("--download", action="store_true", help="fetch CIFAR into --root if it is not there")
    data.add_argument(
        "--size", type=numbers.whole, metavar="PIXELS", help="rows and columns of images from folders (default 224)"
    )
    data.add_argument(
        "--loaders", type=numbers.whole, default=0, metavar="N", help="processes that read image files (0)"
    )


def add_execution_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where and how torch runs."""
    group = parser.add_argument_group("machine")
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto takes a GPU if there is one")
    group.add_argument(
        "--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="auto mixes precisions on a GPU"
    )
    group.add_argument(
        "--threads", type=numbers.whole, default=1, metavar="N", help="torch's threads in each process (default 1)"
    )


def kept(args: argparse.Namespace) -> str:
    """Return, in words, what is kept when it ends early."""
    where = "" if args.out is None else f" in {args.out}"
    return f"checkpoints are kept{where}, the same command goes on from there"


def _out(args: argparse.Namespace, recipe: Recipe) -> Path:
    named = f"{'-'.join(args.models).replace(':', '.')}-{Path(args.data).name}-{recipe.name}"
    return args.out or Path("runs") / named


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 0."""
    from dovetail.accuracy.checkpoint import write_json
    from dovetail.accuracy.runs import run_all, summarise

    data = data_request(args, args.data)
    recipe = _recipe(args)
    out = _out(args, recipe)
    requests = _requests(args, data, recipe, out)
    narrow: list[Narrowed] = []
    with progress() as report:
        results = run_all(requests, args.workers, report)
        if args.bits:
            narrow = _narrowed(args, data, requests, results, out)
            results += run_all([each.request for each in narrow], args.workers, report)
    summaries = summarise(results)
    loaded = data.load(check=False)
    note = loaded.note
    images = recipe.steps_per_epoch(len(loaded.train)) * recipe.batch_size
    rates = [images / each.seconds_per_epoch if each.seconds_per_epoch > 0 else None for each in summaries]
    content = {
        "data": args.data,
        "recipe": recipe.to_dict(),
        "narrow": [each.to_json() for each in narrow],
        "summary": [
            summary.to_dict() | {"images_per_second": rate} for summary, rate in zip(summaries, rates, strict=True)
        ],
        "runs": [result.to_dict() for result in results],
        "versions": _versions(),
        "notes": [note] if note else [],
    }
    write_json(out / "result.json", json_document("training", content))
    if args.json:
        print_json("training", content)
    else:
        _print(summaries, rates, note)
        _print_narrow(narrow)
        print(f"\nresult.json is in {printable(str(out))}; kept weights, for `dovetail accuracy`, `bits`, `shrink`:")
        for result in results:
            print(f"  {printable(str(result.checkpoint))}")
    return 0


@dataclass(frozen=True)
class Narrowed:
    """A network that is trained on with narrow numbers.

    Attributes:
        request: of its training.
        calibrated: accuracy on validation images after calibration, before that training.
    """

    request: RunRequest
    calibrated: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        from dovetail.accuracy.bits import plan_to_json

        bits = plan_to_json(self.request.model.plan)  # type: ignore[attr-defined]
        named = {"network": self.request.model.label, "seed": self.request.seed}
        return {**named, "bits": bits, "recipe": self.request.recipe.to_dict(), "calibrated": self.calibrated}


def data_request(args: argparse.Namespace, name: str) -> DataRequest:
    """Return what data the arguments ask for; importing torch here, behind the command line."""
    from dovetail.accuracy.runs import DataRequest

    return DataRequest(name, args.root, args.download, args.size, args.loaders)


def _recipe(args: argparse.Namespace) -> Recipe:
    from dovetail.accuracy.recipe import recipe_named

    given = {name: getattr(args, name) for name in (*_FIELDS, "stem")}
    return replace(recipe_named(args.recipe), **{name: value for name, value in given.items() if value is not None})


def _requests(args: argparse.Namespace, data: DataRequest, recipe: Recipe, out: Path) -> list[RunRequest]:
    """Return one request per network, width and seed; the widest first, so that no core waits for it at the end."""
    from dovetail.accuracy.execution import Execution
    from dovetail.accuracy.models import OWN, model_spec
    from dovetail.accuracy.runs import MAX_SEEDS, RunRequest

    if not 1 <= args.seeds <= MAX_SEEDS:
        raise InputError(f"--seeds is {args.seeds}; it must be at least 1 and at most {MAX_SEEDS}")
    execution = Execution(args.device, args.precision, threads=args.threads)
    execution.torch_device  # noqa: B018  says now if it is not there
    with progress() as report:
        loaded = data.load(report)
    specs = [
        model_spec(name, loaded, width=width, stem=recipe.stem)
        for name in args.models
        for width in (args.width if name in OWN else [None])
    ]
    if args.weights is not None:
        specs = [_started(args, specs)]
    requests = [
        RunRequest(spec, data, recipe, seed, out, execution, tuple(args.log), test=not args.no_test)
        for spec in sorted(specs, key=lambda spec: -(spec.width or 0))
        for seed in range(args.seeds)
    ]
    written = (each.folder / name for each in requests if each.folder for name in ("best.pt", "last.pt"))
    if args.weights is not None and args.weights.resolve() in {file.resolve() for file in written}:
        raise InputError("would be written over by this training; name another --out", file=args.weights)
    return requests


def _started(args: argparse.Namespace, specs: list[Any]) -> Any:
    """Return the one network, to begin with the weights that the arguments name."""
    from dovetail.accuracy.started import started

    if len(specs) != 1:
        raise InputError(f"--weights are of one network; {len(specs)} are to be trained")
    inputs.refuse_output(args.weights)
    found = started(specs[0], args.weights)
    if found.anew:
        of = f"{found.spec.classes} classes"
        print_notes([f"{', '.join(found.anew)} begin anew: {printable(str(args.weights))} has others than {of}"])
    return found


def _narrowed(
    args: argparse.Namespace, data: DataRequest, requests: list[RunRequest], results: list[TrainingResult], out: Path
) -> list[Narrowed]:
    """Calibrate what was trained in floating point, and return how each is to be trained on."""
    from dovetail.accuracy import checkpoint
    from dovetail.accuracy.models import from_checkpoint
    from dovetail.accuracy.narrowing import planned, start
    from dovetail.accuracy.recipe import QUANTISED

    recipe = QUANTISED if args.bits_epochs is None else replace(QUANTISED, epochs=args.bits_epochs)
    recipe = replace(recipe, half_range=requests[0].recipe.half_range, shift=requests[0].recipe.shift)
    narrow = []
    for request, result in zip(requests, results, strict=True):
        assert result.checkpoint is not None
        own = getattr(request.model, "name", "")
        content = checkpoint.load(result.checkpoint, expected={"weights": dict})
        model = from_checkpoint(content, result.checkpoint, own if ":" in own else None)
        loaded = request.recipe.prepare(data.load(check=False))
        plan, _ = planned(model, loaded, args.bits, request.model.label)
        with request.execution.applied():
            begun = start(model, request.model, plan, loaded, out / "narrow", request.execution, request.model.label)
        narrow.append(
            Narrowed(replace(request, model=begun.spec, recipe=recipe, out=begun.spec.start.parent), begun.validation)
        )
    return narrow


def _print_narrow(narrow: list[Narrowed]) -> None:
    for label in dict.fromkeys(each.request.model.label for each in narrow):
        found = [each.calibrated for each in narrow if each.request.model.label == label]
        print(f"{label}: {100 * sum(found) / len(found):.2f} % on validation images after calibration alone")


def _print(summaries: list[Summary], rates: list[float | None], note: str) -> None:
    from dovetail.cli.tables import print_table
    from dovetail.table import Column, Table

    rows = tuple(
        (
            summary.model_name,
            summary.parameters,
            len(summary.seeds),
            percent(summary.validation),
            percent(summary.test),
            summary.seconds_per_epoch,
            rate,
        )
        for summary, rate in sorted(zip(summaries, rates, strict=True), key=lambda pair: pair[0].parameters)
    )
    columns = (
        Column("network", words=True),
        Column("weights", show="{:,}".format),
        Column("seeds"),
        Column("validation", "%", words=False),
        Column("test", "%", words=False),
        Column("s/epoch", show="{:.2f}".format),
        Column("images/s", show="{:,.0f}".format),
    )
    print_table(note, Table(columns, rows))
    if any(summary.validation.high is not None for summary in summaries):
        print("± is the 95 % t-interval of the mean over seeds; the test images were used once, after all choices")


def percent(interval: Interval | None) -> str:
    """Return a mean in percent with its interval, e.g. ``91.20 ± 0.41``."""
    if interval is None:
        return "-"
    half = interval.half_width
    return f"{100 * interval.mean:.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def _versions() -> dict[str, Any]:
    """Return the versions that results may depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("dovetail-codesign", "torch", "torchvision", "numpy", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
