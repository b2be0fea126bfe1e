"""``dovetail accuracy``: measures a trained network on one part of a data set."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.cli import numbers
from dovetail.cli.outputs import add_output
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table
from dovetail.cli.train import add_bits, add_data_arguments, add_execution_arguments, data_request
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.text import printable

if TYPE_CHECKING:
    from dovetail.accuracy.data import DataSet
    from dovetail.accuracy.execution import Execution
    from dovetail.accuracy.statistics import Interval


#: Command lines to begin with.
EXAMPLES = (
    "accuracy runs/five-layer-8-digits-modern/seed0/best.pt",
    "accuracy resnet18 --weights DEFAULT --data path/to/images",
    "accuracy best.pt --bits weights=4,inputs=8 --bits first:8 --onnx narrow.onnx",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "network",
        metavar="CHECKPOINT_OR_MODEL",
        help="a best.pt that `dovetail train` wrote, a torchvision or timm model, or package.module:factory",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE|NAME",
        help="for a model: a file of weights, or one of torchvision's entries such as DEFAULT (fetched if need be)",
    )
    parser.add_argument(
        "--model", metavar="PACKAGE.MODULE:FACTORY", help="makes the network of a checkpoint whose network is your own"
    )
    add_data_arguments(parser, required=False)
    parser.add_argument("--split", choices=("validation", "test", "train"), default="test", help="default: test")
    parser.add_argument("--stem", choices=("auto", "imagenet", "cifar"), default="auto", help="for a model by name")
    parser.add_argument(
        "--batch-size", type=numbers.whole, default=256, metavar="N", help="images a step (default 256)"
    )
    narrow = parser.add_argument_group("narrow numbers")
    add_bits(narrow)
    add_output(narrow, "--onnx", "write a network of narrow numbers as ONNX, quantised and dequantised (QDQ)")
    parser.add_argument("--per-class", action="store_true", help="a row per class, the one least often right first")
    add_output(parser, "--confusion", "draw what each class is taken for, as SVG")
    add_execution_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns 0."""
    from dovetail.accuracy.confusion import confusion
    from dovetail.accuracy.execution import Execution
    from dovetail.accuracy.qdq import check_extra, export
    from dovetail.accuracy.statistics import proportion_interval
    from dovetail.report.confusion import confusion_picture

    if args.onnx:
        check_extra()
    if args.batch_size < 1:
        raise InputError(f"--batch-size is {args.batch_size}; it must be at least 1")
    execution = Execution(args.device, args.precision, threads=args.threads)
    is_file = Path(args.network).is_file()
    model, data, name = _from_checkpoint(args) if is_file else _by_name(args)
    if args.bits:
        model, name = _narrow(args, model, data, name, execution)
    if args.onnx:
        export(model, (1, *data.shape), Path(args.onnx))
    split = data.split(args.split)
    ranks = (1, 5) if len(data.classes) > 5 else (1,)
    with execution.applied():
        classes = confusion(
            model, split, data.classes, most=max(ranks), execution=execution, batch_size=args.batch_size
        )
    if args.confusion:
        title = f"{name} on the {args.split} part of {data.name}"
        write_text(args.confusion, confusion_picture(classes, title))
    intervals = {rank: proportion_interval(classes.among[rank - 1], len(split)) for rank in ranks}
    if args.json:
        print_json("accuracy", _fields(name, data, args.split, intervals) | classes.to_json())
    else:
        print(f"{name} on the {args.split} part of {data.name}: {len(split)} images ({data.note})")
        for rank, share in intervals.items():
            low, high = share.low or 0.0, share.high or 0.0
            print(f"top-{rank}  {100 * share.mean:6.2f} %   (95 % interval {100 * low:.2f} to {100 * high:.2f})")
        if args.per_class:
            print_table("", classes.table())
    return 0


def _narrow(args: argparse.Namespace, model: Any, data: DataSet, name: str, execution: Execution) -> tuple[Any, str]:
    """Calibrate a network in floating point on training images; returns it with what to call it."""
    from dovetail.accuracy.calibration import calibrated
    from dovetail.accuracy.narrowing import planned
    from dovetail.accuracy.quantised import narrow_layers, spec_label

    if narrow_layers(model):
        raise InputError(f"{args.network} has narrow numbers already; --bits calibrates networks in floating point")
    plan, _ = planned(model, data, args.bits, name)
    with execution.applied():
        narrow, plan = calibrated(model, plan, data, execution)
    return narrow, f"{spec_label(name, plan)} (calibrated, not trained)"


def _fields(name: str, data: DataSet, split: str, intervals: dict[int, Interval]) -> dict[str, Any]:
    top = {f"top{rank}": {"accuracy": s.mean, "low": s.low, "high": s.high} for rank, s in intervals.items()}
    notes = [data.note] if data.note else []
    return {"network": name, "data": data.name, "split": split, "images": intervals[1].count, **top, "notes": notes}


def _from_checkpoint(args: argparse.Namespace) -> tuple[Any, DataSet, str]:
    """Make the network that a checkpoint says, with its weights, and the data under its normalisation."""
    from dovetail.accuracy.checkpoint import load
    from dovetail.accuracy.models import from_checkpoint

    file = Path(args.network)
    content = load(file, expected={"weights": dict})
    run = content.get("run")
    content = (run if isinstance(run, dict) else {}) | content  # a last.pt keeps the description apart
    for key, kind in {"model_name": str, "data": str, "classes": list, "mean": list, "std": list}.items():
        if not isinstance(content.get(key), kind):
            found = type(content[key]).__name__ if key in content else "nothing"
            raise InputError(f"expected {kind.__name__}, found {found}", file=file, key=key)
    mean, std = (_normalisation(content[key], file, key) for key in ("mean", "std"))
    model = from_checkpoint(content, file, args.model)
    with progress() as report:
        data = data_request(args, args.data or content["data"]).load(report)
    if list(data.classes) != list(content["classes"]):
        raise InputError(
            f"trained on the {len(content['classes'])} classes of {content['data']}, but {data.name} has "
            f"{len(data.classes)} or other ones",
            file=file,
        )
    if not len(mean) == len(std) == data.shape[0]:
        raise InputError(f"{len(mean)} and {len(std)} channels; {data.name} has {data.shape[0]}", file=file, key="mean")
    return model, data.normalised(mean, std), printable(content["model_name"])


def _normalisation(values: list[Any], file: Path, key: str) -> tuple[float, ...]:
    """Return what a checkpoint says per channel, if it is numbers that can be."""
    for value in values:
        fits = isinstance(value, int | float) and math.isfinite(value) and (key == "mean" or value > 0)
        if not fits:
            raise InputError(f"holds {str(value)[:80]!r}, which no normalisation does", file=file, key=key)
    return tuple(float(value) for value in values)


def _by_name(args: argparse.Namespace) -> tuple[Any, DataSet, str]:
    """Make a network by name, with the weights that the arguments say."""
    from dovetail.accuracy.checkpoint import apply_weights, load_weights
    from dovetail.accuracy.models import model_spec, pretrained

    looks_like_file = args.network.endswith((".pt", ".pth")) or "/" in args.network
    if looks_like_file:
        raise InputError("there is no such checkpoint", file=args.network)
    if args.data is None:
        raise InputError("say which images with --data")
    with progress() as report:
        data = data_request(args, args.data).load(report)
    if args.weights is not None and not Path(args.weights).is_file():
        model, preprocessing = pretrained(args.network, args.weights, len(data.classes))
        return model, _as_published(data, preprocessing), f"{args.network} ({args.weights})"
    model = model_spec(args.network, data, stem=args.stem)()
    if args.weights is not None:
        apply_weights(model, load_weights(Path(args.weights)), Path(args.weights))
    elif ":" not in args.network:
        raise InputError(f"{args.network} has no weights yet: give --weights FILE, or one of torchvision's entries")
    return model, data, args.network


def _as_published(data: DataSet, preprocessing: Any) -> DataSet:
    """Put the images through the preprocessing that published weights are evaluated with."""
    from dataclasses import replace

    from dovetail.accuracy.folders import FolderSplit, Preprocessing

    published = data.normalised(tuple(preprocessing.mean), tuple(preprocessing.std))
    options = Preprocessing(preprocessing.crop_size[0], preprocessing.resize_size[0], preprocessing.interpolation.value)
    parts = {name: published.split(name) for name in ("train", "validation", "test")}
    replaced = {
        name: replace(split, preprocessing=options) if isinstance(split, FolderSplit) else split
        for name, split in parts.items()
    }
    return replace(published, **replaced)  # type: ignore[arg-type]
