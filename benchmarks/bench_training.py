"""The built-in accuracy curve: seconds per epoch and accuracy with its interval, and a ResNet-18 where a GPU is.

python benchmarks/bench_training.py              # five widths, three seeds: two to three minutes on two free cores
python benchmarks/bench_training.py --seeds 5    # narrower intervals
python benchmarks/bench_training.py --root data  # the ResNet-18 on CIFAR-10 from there, if there is a GPU
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

import torch

from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import CURVE_WIDTHS, ModelSpec, model_spec
from dovetail.accuracy.recipe import MODERN, Recipe
from dovetail.accuracy.runs import DataRequest, RunRequest, Summary, run_all, summarise
from dovetail.cli.progress import progress
from dovetail.cli.train import percent
from dovetail.files import write_text

#: For the ResNet-18 on a GPU: larger batches, so that the GPU is busy.
_RESNET = replace(MODERN, batch_size=256)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=MODERN.epochs)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--root", type=Path, help="folder that holds CIFAR-10")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    args = parser.parse_args()
    recipe = replace(MODERN, epochs=args.epochs)
    data = DataRequest("cluttered-digits")
    print(f"{'network':14} {'data':17} {'on':5} {'validation %':>15} {'test %':>15} {'s/epoch':>8} {'images/s':>9}")
    found = _curve(data, recipe, args.seeds, args.workers, "cpu")
    if torch.cuda.is_available():
        found += _curve(data, recipe, args.seeds, 1, "cuda")
        found += _resnet(args.root, args.epochs, args.seeds)
    if args.json is not None:
        write_text(args.json, json.dumps([summary.to_dict() for summary in found], indent=2) + "\n")


def _curve(data: DataRequest, recipe: Recipe, seeds: int, processes: int | None, device: str) -> list[Summary]:
    """Train the five widths; the widest first, so that no core waits for it at the end."""
    loaded = data.load()
    specs = [model_spec("five-layer", loaded, width=width) for width in reversed(CURVE_WIDTHS)]
    return _measure(specs, data, recipe, seeds, processes, device)


def _resnet(root: Path | None, epochs: int, seeds: int) -> list[Summary]:
    data = DataRequest("cluttered-digits") if root is None else DataRequest("cifar10", root)
    spec = model_spec("resnet18", data.load())
    return _measure([spec], data, replace(_RESNET, epochs=epochs), seeds, 1, "cuda")


def _measure(
    specs: list[ModelSpec], data: DataRequest, recipe: Recipe, seeds: int, processes: int | None, device: str
) -> list[Summary]:
    execution = Execution(device=device)
    requests = [RunRequest(spec, data, recipe, seed, None, execution) for spec in specs for seed in range(seeds)]
    began, used = time.monotonic(), _cpu_seconds()
    with progress() as report:
        summaries = summarise(run_all(requests, processes, report))[::-1]
    wall, busy = time.monotonic() - began, _cpu_seconds() - used
    images = recipe.steps_per_epoch(len(data.load().train)) * recipe.batch_size
    for summary in summaries:
        print(
            f"{summary.model_name:14} {data.name:17} {device:5} {percent(summary.validation):>15} "
            f"{percent(summary.test):>15} {summary.seconds_per_epoch:>8.2f} {images / summary.seconds_per_epoch:>9.0f}"
        )
    print(f"{len(requests)} runs of {recipe.epochs} epochs on {device}: {wall:.0f} s, {busy:.0f} CPU-seconds\n")
    return summaries


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


if __name__ == "__main__":
    main()
