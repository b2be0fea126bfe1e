"""Accuracy against EDP: uniform width, a search driven by MACs, and the search driven by the design's exact cost.

python benchmarks/bench_shrink.py                                        # the built-in digits
python benchmarks/bench_shrink.py --out runs/shrink --html shrink.html   # goes on where it was interrupted
python benchmarks/bench_shrink.py --model resnet18 --data cifar10 --root data --epochs 60    # where CIFAR-10 is

Every network, the original too, starts from the same supernet's weights and is trained on by one recipe for as many
steps, under the same seeds (``--scratch``: from weights drawn anew, for eight epochs of the recipe ``modern``). The
test images are used once, at the end. Stated before the first run: a network shows no loss when the mean paired
difference of test accuracy to the original is above -1 percentage point.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dovetail.accuracy.checkpoint import write_json
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import model_spec
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, Recipe
from dovetail.accuracy.runs import DataRequest
from dovetail.accuracy.statistics import interval, paired_difference
from dovetail.accuracy.training import train
from dovetail.cli.progress import progress
from dovetail.components.estimate import estimate
from dovetail.files import write_text
from dovetail.hardware.reader import load_architecture
from dovetail.network.map_network import Progress
from dovetail.shrink.finalists import Accuracy
from dovetail.shrink.oracle import CostOracle
from dovetail.shrink.request import Request
from dovetail.shrink.result import ShrinkResult
from dovetail.shrink.run import shrink
from dovetail.shrink.target import parse_targets
from dovetail.store import Store

METHODS = {"uniform": "uniform width", "macs": "MACs-driven", "supernet": "exact cost"}
BUDGETS = "0.2,0.1,0.05,0.025"
_EPOCHS = 4
#: Points of accuracy that count as no loss, stated in advance.
MARGIN = 0.01


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="five-layer-32")
    parser.add_argument("--on", default="eyeriss_like")
    parser.add_argument("--data", default="cluttered-digits")
    parser.add_argument("--root", type=Path, help="folder that holds CIFAR-10")
    parser.add_argument("--budgets", default=BUDGETS, help="shares of the original's EDP")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of every network: 4, or 8 from scratch")
    parser.add_argument("--scratch", action="store_true", help="train every network from weights drawn anew")
    parser.add_argument(
        "--finalists", type=int, default=1, help="networks per budget to choose from on validation images"
    )
    parser.add_argument("--search", type=int, default=64, help="networks that each search may measure")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--out", type=Path, help="keep everything there, and go on from what is there")
    parser.add_argument("--html", type=Path, help="write the report page of the search by exact cost there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = _results(args, args.out or Path(folder), _recipe(args))
        _print(results)
        if args.json is not None:
            write_json(args.json, {name: result.to_json() for name, result in results.items()})
        if args.html is not None:
            from dovetail.report.shrink_page import shrink_page

            write_text(args.html, shrink_page(results["supernet"], others=_others(results)))


def _recipe(args: argparse.Namespace) -> Recipe:
    if args.scratch:
        return replace(MODERN, epochs=args.epochs or MODERN.epochs)
    return replace(FINE_TUNE, epochs=args.epochs or _EPOCHS)


def _others(results: Mapping[str, ShrinkResult]) -> dict[str, ShrinkResult]:
    return {METHODS[name]: result for name, result in results.items() if name != "supernet"}


def _results(args: argparse.Namespace, out: Path, recipe: Recipe) -> dict[str, ShrinkResult]:
    """Run every method on the same network, supernet, recipe and seeds."""
    data = DataRequest(args.data, args.root)
    architecture = load_architecture(args.on)
    targets = parse_targets([f"edp={budget}x" for budget in args.budgets.split(",")])
    spec, execution = model_spec(args.model, data.load(), stem=recipe.stem), Execution(args.device)
    original = train(spec, data.load(), MODERN, out=out / "original", execution=execution, test=False)
    request = Request(
        spec,
        original.model.cpu().state_dict(),
        data,
        targets,
        out,
        recipe=recipe,
        seeds=args.seeds,
        budget=args.search,
        finalists=args.finalists,
        scratch=args.scratch,
        execution=execution,
        processes=args.workers,
    )
    results = {}
    with Store.open() as store, progress() as report:

        def mapped(state: Progress) -> None:
            report(state.done, state.total, "mapping layers")

        oracle = CostOracle(architecture, estimate(architecture), store=store, progress=mapped)
        for method in METHODS:
            began = time.monotonic()
            results[method] = shrink(replace(request, method=method), oracle, report)
            print(f"{METHODS[method]}: {time.monotonic() - began:.0f} s", flush=True)
    return results


def _print(results: Mapping[str, ShrinkResult]) -> None:
    """Print one row per method and budget, and what follows."""
    original = results["supernet"].original
    assert original.accuracy is not None
    print(f"\noriginal: {original.name}, {original.figures.macs / 1e6:.2f} MMACs, {original.figures.edp_J_cycle:.4g}")
    print(f"J x cycle, test accuracy {_points(original.accuracy)} %, widths {original.widths}\n")
    heads = ("method", "budget", "EDP", "MMACs", "test %", "- original", "- uniform", "widths")
    print(f"| {' | '.join(heads)} |\n|---|---|---:|---:|---:|---:|---:|---|")
    for name, result in results.items():
        for place, each in enumerate(result.networks):
            assert each.accuracy is not None
            plain = results["uniform"].networks[place].accuracy
            assert plain is not None
            share = each.figures.edp_J_cycle / original.figures.edp_J_cycle
            versus_uniform = "" if name == "uniform" else _difference(plain, each.accuracy)
            cells = (
                METHODS[name], str(each.target), f"{share:.4f}x", f"{each.figures.macs / 1e6:.2f}",
                _points(each.accuracy), _difference(original.accuracy, each.accuracy), versus_uniform,
                " ".join(map(str, each.widths)),
            )  # fmt: skip
            print(f"| {' | '.join(cells)} |")
    _verdict(results)


def _verdict(results: Mapping[str, ShrinkResult]) -> None:
    ours, plain = results["supernet"], results["uniform"]
    better = [_mean(a.accuracy) > _mean(b.accuracy) for a, b in zip(ours.networks, plain.networks, strict=True)]
    print(f"\nexact cost above uniform width (mean test accuracy): {sum(better)} of {len(better)} budgets")
    within = [each for each in ours.networks if _mean(each.accuracy) - _mean(ours.original.accuracy) > -MARGIN]
    if within:
        lowest = min(within, key=lambda each: each.figures.edp_J_cycle)
        times = ours.original.figures.edp_J_cycle / lowest.figures.edp_J_cycle
        print(f"within {100 * MARGIN:g} point of the original: EDP down to {times:.1f} times lower")
    else:
        print(f"no network within {100 * MARGIN:g} point of the original")


def _mean(accuracy: Accuracy | None) -> float:
    assert accuracy is not None
    return interval(list(accuracy.test.values())).mean


def _points(accuracy: Accuracy) -> str:
    found = interval(list(accuracy.test.values()))
    half = found.half_width
    return f"{100 * found.mean:.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


def _difference(first: Accuracy, second: Accuracy) -> str:
    found = paired_difference(first.test, second.test)
    half = found.half_width
    return f"{100 * found.mean:+.2f}" + ("" if half is None else f" ± {100 * half:.2f}")


if __name__ == "__main__":
    main()
