"""Evidence for the goal of `dovetail shrink`: less EDP at equal accuracy, by channels and bits, and by channels alone.

python benchmarks/bench_knobs.py                  # the table of what is kept in benchmarks/results/knobs/
python benchmarks/bench_knobs.py --run --minutes 60

docs/shrink.md states the protocol ("The fourth protocol"). A part is a supernet; it is written whole when it is done,
and what a part has done stays in ``--work`` for the same command to go on from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from _shrink_tables import over_supernets, points
from bench_shrink import DATA, evidence_parser, figures_of, kept_parts

from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import model_spec
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, QUANTISED, Recipe
from dovetail.accuracy.training import train
from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.hardware.reader import load_architecture
from dovetail.shrink.oracle import CostOracle
from dovetail.shrink.request import SUPERNET, Request
from dovetail.shrink.run import shrink
from dovetail.shrink.target import parse_targets
from dovetail.store import Store
from dovetail.version import __version__

NETWORK, DESIGN = "five-layer-32", "eyeriss_like"
#: Epochs of every network that is measured, and of supernets; seeds; networks that a search may measure, and train.
EPOCHS, SUPERNET_EPOCHS, SEEDS, SEARCH, FINALISTS = 8, 8, 3, 80, 2
#: Points that the whole interval of the difference to the original may lie below it.
MARGIN = 0.01


@dataclass(frozen=True)
class Goal:
    """What is to be shown at a share of the original's EDP.

    Attributes:
        knobs: that may be turned.
        share: of the EDP.
        recipe: by which what is found, and the original likewise, is trained on.
    """

    knobs: tuple[str, ...]
    share: float
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of its folder and in results."""
        return "-".join(self.knobs)


GOALS = (
    Goal(("channels", "bits"), 0.05, replace(QUANTISED, epochs=EPOCHS)),
    Goal(("channels",), 0.2, replace(FINE_TUNE, epochs=EPOCHS)),
)
#: How supernets are trained.
WHOLE = replace(SUPERNET, epochs=SUPERNET_EPOCHS)
#: What the figures of a part rest on, besides versions; another number here is another protocol.
PROTOCOL = {
    "number": 4, "network": NETWORK, "design": DESIGN, "data": DATA.name, "seeds": SEEDS, "search": SEARCH,
    "finalists": FINALISTS, "original": MODERN.to_dict(), "supernet": WHOLE.to_dict(),
    "goals": [[*goal.knobs, goal.share, goal.recipe.to_dict()] for goal in GOALS],
}  # fmt: skip


def main() -> None:
    """Work on what is missing, where asked for, and print the table."""
    args = evidence_parser(__doc__, "knobs", supernets=6).parse_args()
    execution = Execution(args.device)
    print_table(
        kept_parts(
            args,
            {
                str(supernet): partial(result_of, supernet, args.work / str(supernet), execution, args.workers)
                for supernet in range(args.supernets)
            },
        )
    )


def result_of(supernet: int, work: Path, execution: Execution, processes: int | None) -> dict[str, Any]:
    """Return what a part comes to, as plain data: per goal the original trained on likewise, and the network found."""
    import torch

    began, seed = time.monotonic(), 1000 * (supernet + 1)
    data = DATA.load()
    spec = model_spec(NETWORK, data)
    original = train(spec, data, MODERN, seed=seed, out=work / "original", execution=execution, test=False)
    weights = original.model.cpu().state_dict()
    architecture = load_architecture(DESIGN)
    found: dict[str, Any] = {}
    with Store.open() as store:
        oracle = CostOracle(architecture, estimate(architecture), store=store)
        for goal in GOALS:
            request = Request(
                spec, weights, DATA, parse_targets([f"edp={goal.share}x"]), work / goal.name, recipe=goal.recipe,
                supernet=WHOLE, seeds=SEEDS, seed=seed, knobs=goal.knobs,
                budget=SEARCH, finalists=FINALISTS, execution=execution, processes=processes,
            )  # fmt: skip
            result = shrink(request, oracle)
            (network,), first = result.networks, result.original
            found[goal.name] = {
                "share": goal.share,
                "original": figures_of(first, first),
                "network": figures_of(network, first),
                "proven": next(iter(result.proven.values()), False),
            }
    return {
        "protocol": PROTOCOL, "supernet": supernet, "seed": seed,
        "weights": content_key({name: value.numpy() for name, value in weights.items()}),
        "versions": {"dovetail": __version__, "torch": torch.__version__},
        "device": str(execution.torch_device), "seconds": round(time.monotonic() - began), "goals": found,
    }  # fmt: skip


def print_table(parts: Sequence[dict[str, Any]]) -> None:
    """Print per goal the accuracies, their paired difference, and whether the goal is reached."""
    if not parts:
        print("no part is there yet: bench_knobs.py --run")
        return
    print(f"{NETWORK} on {DESIGN}: {len(parts)} supernets x {SEEDS} seeds; test accuracy in percent\n")
    print("| knobs | EDP | original | found | difference | lower EDP at no loss |\n|---|---:|---:|---:|---:|---|")
    for goal in GOALS:
        own = [part["goals"][goal.name] for part in parts]
        edp = sum(each["network"]["edp_share"] for each in own) / len(own)
        before, after = (over_supernets([each[what]["test"] for each in own]) for what in ("original", "network"))
        pairs = [zip(each["network"]["test"], each["original"]["test"], strict=True) for each in own]
        lost = over_supernets([[ours - theirs for ours, theirs in pair] for pair in pairs])
        shown = "one supernet tells nothing" if lost.low is None else "no"
        if lost.low is not None and lost.low > -MARGIN:
            shown = f"{1 / edp:.1f} times"
        print(f"| {', '.join(goal.knobs)} | {edp:.4f}x | {points(before)} | {points(after)} | "
              f"{points(lost, '+')} | {shown} |")  # fmt: skip


if __name__ == "__main__":
    main()
