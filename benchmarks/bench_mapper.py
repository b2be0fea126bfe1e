"""Times the exact mapper on every distinct layer of some networks: seconds a layer, how many are proven, the gaps left.

Peers on the same kind of machine (two cores, shared): Timeloop's default random search takes a median of 9.7
CPU-seconds an AlexNet layer on eyeriss_like, 34 and 36 on the two simple designs, without a guarantee; AccelForge's
exact mapper takes 1,250 CPU-seconds for an AlexNet 3x3 convolution on an Eyeriss-like design.
"""

from __future__ import annotations

import argparse
import statistics
import time

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.search import search
from dovetail.workload.network import load_network

#: Median CPU-seconds a layer of Timeloop's default search, AlexNet, from our own measurements of it.
REFERENCE = {
    "eyeriss_like": 9.7,
    "simple_weight_stationary": 34.0,
    "simple_output_stationary": 36.0,
    "simba_like": 39.0,
}


def main() -> None:
    """Print a row per design, and with ``--layers`` a row per layer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=["alexnet", "resnet18"])
    parser.add_argument("--on", nargs="+", default=["eyeriss_like"])
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--layers", action="store_true")
    args = parser.parse_args()
    problems = {layer.problem.bounds: layer.problem for name in args.networks for layer in load_network(name).layers}
    for design in args.on:
        architecture = load_architecture(design)
        energies = estimate(architecture)
        seconds, gaps = [], []
        for problem in problems.values():
            began = time.perf_counter()
            found = search(problem, architecture, energies, time_limit=args.time_limit).certificate
            seconds.append(time.perf_counter() - began)
            gaps.append(found.gap)
            if args.layers:
                print(f"  {problem.name:40} {seconds[-1]:8.2f} s  gap {found.gap:7.1%}  {found.states:>12,} states")
        proven = sum(gap == 0 for gap in gaps)
        median = statistics.median(seconds)
        print(
            f"{design:26} {len(seconds)} layers, {proven} proven, median {median:.2f} s, sum {sum(seconds):.1f} s "
            f"(first includes compiling); reference {REFERENCE.get(design, float('nan'))} s a layer, "
            f"ratio {REFERENCE.get(design, float('nan')) / median:.0f}"
        )


if __name__ == "__main__":
    main()
