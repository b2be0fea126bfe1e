"""Measures what imperfect factors gain over the best perfect mapping: EDP of a network's distinct layers on a design.

The published figure for an Eyeriss-like design and ResNet-50 is 20 % lower EDP on average, against the best that a
random search found among perfect mappings (Ruby, ISPASS 2022). Ours is against the proven optimum of these.
"""

from __future__ import annotations

import argparse
import statistics
import time

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.imperfect import search_imperfect
from dovetail.mapper.search import search
from dovetail.workload.loading import load_network


def main() -> None:
    """Print a row per layer, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--on", default="eyeriss_like", metavar="DESIGN")
    parser.add_argument("--evaluations", type=int, default=4000, help="imperfect mappings a layer")
    args = parser.parse_args()
    architecture = load_architecture(args.on)
    energies = estimate(architecture)
    problems = [layer.problem for layer in load_network(args.network).layers]
    counts: dict[tuple[str, tuple[int, ...], tuple[int, ...]], int] = {}
    for problem in problems:
        key = (problem.shape.name, problem.bounds, problem.coefficients)
        counts[key] = counts.get(key, 0) + 1
    distinct = {(p.shape.name, p.bounds, p.coefficients): p for p in reversed(problems)}
    ratios, weights, seconds = [], [], []
    for key in counts:
        problem = distinct[key]
        perfect = search(problem, architecture, energies)
        began = time.process_time()
        found = search_imperfect(problem, architecture, energies, evaluations=args.evaluations)
        seconds.append(time.process_time() - began)
        ratio = found.certificate.value / perfect.certificate.value
        ratios.append(ratio)
        weights.append(counts[key])
        print(
            f"{problem.name:24} x{counts[key]}  EDP {ratio:.3f} of the perfect optimum"
            f"{'' if perfect.certificate.exact else ' (not proven)'}, "
            f"cycles {found.cost.cycles / perfect.cost.cycles:.3f}, "
            f"energy {found.cost.energy_pJ / perfect.cost.energy_pJ:.3f}, gap {found.certificate.gap:.1%}, "
            f"{seconds[-1]:.1f} CPU-s",
            flush=True,
        )
    layers = statistics.fmean(ratio for ratio, count in zip(ratios, weights, strict=True) for _ in range(count))
    print(
        f"{len(ratios)} distinct layers: EDP {1 - statistics.fmean(ratios):.1%} lower on average "
        f"(geometric {1 - statistics.geometric_mean(ratios):.1%}), {1 - layers:.1%} over all {sum(weights)} layers; "
        f"median {statistics.median(seconds):.1f} CPU-s a layer"
    )


if __name__ == "__main__":
    main()
