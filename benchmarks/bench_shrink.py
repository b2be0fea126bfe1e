"""Evidence for `dovetail shrink`: accuracy at equal EDP, beside seven controls, over two networks and two designs.

python benchmarks/bench_shrink.py                            # tables of what is kept in benchmarks/results/shrink/
python benchmarks/bench_shrink.py --run --minutes 60         # works on the parts that are missing there, then the same
python benchmarks/bench_shrink.py --run --results again --networks five-layer-16 --on eyeriss_like --supernets 1

docs/shrink.md states the protocol ("The third protocol"). A part is a network, a design and a supernet; it is written
whole when it is done, and what a part has done stays in ``--work`` for the same command to go on from.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _shrink_tables import print_tables

from dovetail.accuracy.checkpoint import write_json
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, model_spec
from dovetail.accuracy.recipe import FINE_TUNE, MODERN
from dovetail.accuracy.runs import DataRequest, RunRequest, run_all
from dovetail.accuracy.started import started
from dovetail.accuracy.training import train
from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.hardware.reader import load_architecture
from dovetail.shrink.oracle import CostOracle
from dovetail.shrink.request import SUPERNET, Request
from dovetail.shrink.result import Outcome, ShrinkResult
from dovetail.shrink.run import shrink
from dovetail.shrink.searches import UnreachableError
from dovetail.shrink.target import parse_targets
from dovetail.store import Store
from dovetail.version import __version__

NETWORKS, DESIGNS = ("five-layer-16", "_residual:residual"), ("eyeriss_like", "simba_like")
METHODS = ("supernet", "macs", "netadapt", "knapsack", "random", "uniform")
DATA = DataRequest("cluttered-digits")
#: Shares of the original's EDP that networks are made for.
BUDGETS = (0.2, 0.08, 0.03)
#: Epochs of every network that is measured; seeds of each; networks that a search may measure.
EPOCHS, SEEDS, SEARCH = 4, 3, 64
#: What the figures of a part rest on, besides versions; another number here is another protocol.
PROTOCOL = {
    "number": 3, "data": DATA.name, "budgets": BUDGETS, "epochs": EPOCHS, "seeds": SEEDS, "search": SEARCH,
    "original": MODERN.to_dict(), "supernet": SUPERNET.to_dict(), "trained on": FINE_TUNE.to_dict(),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A network, a design, and a supernet by its number; seeds are ``100 * (supernet + 1)`` and those after it."""

    network: str
    design: str
    supernet: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.network.rpartition(':')[2]}-{self.design}-{self.supernet}"

    @property
    def seed(self) -> int:
        """The first seed."""
        return 100 * (self.supernet + 1)


def main() -> None:
    """Work on what is missing, where asked for, and print the tables."""
    parser = evidence_parser(__doc__, "shrink", supernets=3)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--on", nargs="+", default=DESIGNS)
    args = parser.parse_args()
    execution = Execution(args.device)
    product = itertools.product(range(args.supernets), args.networks, args.on)
    parts = [Part(network, design, supernet) for supernet, network, design in product]
    works = {part.name: partial(result_of, part, args.work, execution, args.workers) for part in parts}
    print_tables(kept_parts(args, works))


def evidence_parser(doc: str | None, name: str, supernets: int) -> argparse.ArgumentParser:
    """Return what reads the options that evidence of all kinds has; ``name``: of its folders."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0] if doc else None)
    parser.add_argument("--run", action="store_true", help="work on parts that are missing")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no part after so many")
    parser.add_argument("--supernets", type=int, default=supernets)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / name)
    parser.add_argument("--work", type=Path, default=Path("runs") / f"{name}-evidence")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int)
    return parser


def kept_parts(args: argparse.Namespace, works: Mapping[str, Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the parts that are kept; those that are missing are worked on before, where that is asked for."""
    began = time.monotonic()
    for name, work in works.items() if args.run else ():
        kept = args.results / f"{name}.json"
        if not kept.exists() and time.monotonic() - began < 60 * args.minutes:
            write_json(kept, work())
            print(f"{name}: done after {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
    return [json.loads(file.read_text()) for file in sorted(args.results.glob("*.json"))]


def result_of(part: Part, work: Path, execution: Execution, processes: int | None) -> dict[str, Any]:
    """Return what a part comes to, as plain data: the original, it trained plainly for as long, and every method's."""
    import torch

    began = time.monotonic()
    data = DATA.load()
    spec, out = model_spec(part.network, data), work / part.name
    original = train(
        spec, data, MODERN, seed=part.seed, out=work / f"original-{spec.label}-{part.seed}", execution=execution,
        test=False,
    )  # fmt: skip
    assert original.checkpoint is not None
    weights = original.model.cpu().state_dict()
    request = Request(
        spec, weights, DATA, parse_targets([f"edp={budget}x" for budget in BUDGETS]), out,
        recipe=replace(FINE_TUNE, epochs=EPOCHS), seeds=SEEDS, seed=part.seed, knobs=("channels",), budget=SEARCH,
        finalists=1, execution=execution, processes=processes,
    )  # fmt: skip
    architecture = load_architecture(part.design)
    with Store.open() as store:
        oracle = CostOracle(architecture, estimate(architecture), store=store)
        request, beyond = _within_reach(request, oracle)
        found = {method: shrink(_by(request, method), oracle) for method in METHODS}
    first = found["supernet"].original
    return {
        "protocol": PROTOCOL,
        "network": spec.label, "design": part.design, "supernet": part.supernet, "seed": part.seed,
        "weights": content_key({name: value.numpy() for name, value in weights.items()}),
        "versions": {"dovetail": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "device": str(execution.torch_device), "seconds": round(time.monotonic() - began),
        "original": figures_of(first, first),
        "plain": _trained_plainly(spec, original.checkpoint, part, out / "plain", request),
        "methods": {method: [figures_of(each, first) for each in result.networks] for method, result in found.items()},
        "proven": _proven(found["supernet"]),
        "out of reach": beyond,
    }  # fmt: skip


def _within_reach(request: Request, oracle: CostOracle) -> tuple[Request, list[str]]:
    """Return the request without the targets that not even the cheapest network meets, and these."""
    beyond: list[str] = []
    while True:
        try:
            shrink(_by(request, METHODS[0]), oracle)
        except UnreachableError as error:
            left = tuple(target for target in request.targets if target != error.target)
            if not left:
                raise
            beyond.append(str(error.target))
            request = replace(request, targets=left)
        else:
            return request, beyond


def _by(request: Request, method: str) -> Request:
    """Return the request for a method; NetAdapt may measure as many networks as its steps need."""
    return replace(request, method=method, budget=SEARCH * (4 if method == "netadapt" else 1))


def figures_of(outcome: Outcome, original: Outcome) -> dict[str, Any]:
    """Return cost and accuracy of a network; its EDP as a share of the original's."""
    assert outcome.accuracy is not None
    return {
        "target": None if outcome.target is None else str(outcome.target),
        "edp_share": outcome.figures.edp_J_cycle / original.figures.edp_J_cycle,
        "edp_J_cycle": outcome.figures.edp_J_cycle,
        "macs": outcome.figures.macs,
        "widths": list(outcome.widths),
        "exact": outcome.cost.exact,
        "validation": list(outcome.accuracy.validation.values()),
        "test": list(outcome.accuracy.test.values()),
    }


def _proven(result: ShrinkResult) -> dict[str, bool]:
    return {str(target): proven for target, proven in result.proven.items()}


def _trained_plainly(
    spec: ModelSpec, checkpoint: Path, part: Part, out: Path, request: Request
) -> dict[str, Any]:  # fmt: skip
    """Return the original's accuracy after as many epochs as the supernet and a network made of it take together."""
    recipe, start = replace(FINE_TUNE, epochs=SUPERNET.epochs + EPOCHS), started(spec, checkpoint)
    seeds = range(part.seed, part.seed + SEEDS)
    requests = [RunRequest(start, DATA, recipe, seed, out, request.execution) for seed in seeds]
    runs = run_all(requests, request.processes)
    tests = [run.test for run in runs]
    return {"epochs": recipe.epochs, "validation": [run.validation for run in runs], "test": tests}


if __name__ == "__main__":
    main()
