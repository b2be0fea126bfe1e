"""Times the exact mapper: seconds a layer, how many are proven, memory, and how time grows with layers and hierarchies.

    bench_mapper.py founding   five networks on the three founding designs, about a hundred searches;
                               ``--cold`` compiles everything anew first, in the same time
    bench_mapper.py others     MobileNetV2, DenseNet-121, batch 16 and a large matrix product on two more designs
    bench_mapper.py growth     one convolution and one hierarchy, larger step by step

Peers on the same kind of machine (two cores, shared): Timeloop's default random search takes a median of 9.7
CPU-seconds an AlexNet layer on eyeriss_like, 34 and 36 on the two simple designs, 39 on simba_like, without a
guarantee; AccelForge's exact mapper takes 1,250 CPU-seconds for an AlexNet 3x3 convolution on an Eyeriss-like design.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.compiled import compile_all
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.loading import load_network
from dovetail.workload.problem import Problem, convolution, matrix_product

#: Median CPU-seconds a layer of Timeloop's default search, AlexNet, from our own measurements of it.
REFERENCE = {
    "eyeriss_like": 9.7,
    "simple_weight_stationary": 34.0,
    "simple_output_stationary": 36.0,
    "simba_like": 39.0,
}
FOUNDING = ("alexnet", "resnet18", "resnet34", "resnet50", "resnet101")


@dataclass(frozen=True)
class Timed:
    """One search: CPU-seconds, whether it proved its answer, partial mappings, the gap, the process's largest size."""

    seconds: float
    exact: bool
    states: int
    gap: float
    gigabytes: float


def timed(problem: Problem, design: str, limit: float) -> Timed:
    """Search one layer on a bundled design."""
    architecture = load_architecture(design)
    return timed_on(problem, architecture, estimate(architecture), limit)


def timed_on(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    limit: float,
    objective: Objective = Objective.EDP,
) -> Timed:
    """Search one layer."""
    began = time.process_time()
    found = search(problem, architecture, energies, objective, time_limit=limit).certificate
    seconds = time.process_time() - began
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return Timed(seconds, found.exact, found.states, found.gap, gigabytes)


def layers(networks: Iterable[str], batch: int | None = None) -> list[Problem]:
    """Return the distinct layers of some networks."""
    loaded = (layer.problem for name in networks for layer in load_network(name, batch=batch).layers)
    return list({(problem.shape.name, problem.bounds, problem.coefficients): problem for problem in loaded}.values())


def run(problems: list[Problem], designs: Iterable[str], limit: float, workers: int, verbose: bool) -> None:
    """Print a row per design."""
    calls = [(problem, design, limit) for design in designs for problem in problems]
    compile_all()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(timed, *zip(*calls, strict=True)))
    for design in dict.fromkeys(call[1] for call in calls):
        mine = [(call[0], results[i]) for i, call in enumerate(calls) if call[1] == design]
        if verbose:
            for problem, one in sorted(mine, key=lambda pair: -pair[1].seconds):
                print(
                    f"  {problem.name:44} {one.seconds:7.2f} s  gap {one.gap:7.1%}  {one.states:>12,} partial mappings"
                )
        seconds = [one.seconds for _, one in mine]
        reference = REFERENCE.get(design)
        ratio = (
            f", reference {reference} s a layer, ratio {reference / statistics.median(seconds):.0f}"
            if reference
            else ""
        )
        print(
            f"{design:26} {len(mine)} layers, {sum(one.exact for _, one in mine)} proven, CPU-seconds: median "
            f"{statistics.median(seconds):.2f}, most {max(seconds):.1f}, all {sum(seconds):.0f}; "
            f"{max(one.gigabytes for _, one in mine):.2f} GB{ratio}"
        )


def founding(args: argparse.Namespace) -> None:
    """Run the hundred searches, in this process or, cold, in one that finds nothing compiled."""
    if args.cold:
        with tempfile.TemporaryDirectory() as empty:
            began = time.perf_counter()
            arguments = [sys.executable, __file__, "founding", "--workers", str(args.workers)]
            subprocess.run(arguments, env={**os.environ, "NUMBA_CACHE_DIR": empty}, check=True)
            print(f"all of it in {time.perf_counter() - began:.1f} s, from nothing compiled, {args.workers} processes")
        return
    began = time.perf_counter()
    run(layers(FOUNDING), list(REFERENCE)[:3], args.time_limit, args.workers, args.layers)
    print(f"searches in {time.perf_counter() - began:.1f} s on {args.workers} processes")


def others(args: argparse.Namespace) -> None:
    """Run layers that are odd, large or batched, on designs with deeper hierarchies."""
    for design in ("simba_like", "tpu_like"):
        for name, problems in (
            ("4096 x 4096 x 4096", [matrix_product(C=4096, M=4096, P=4096)]),
            ("MobileNetV2", layers(["mobilenet_v2"])),
            ("DenseNet-121", layers(["densenet121"])),
            ("ResNet-18, batch 16", layers(["resnet18"], batch=16)),
        ):
            print(name, end=": ", flush=True)
            run(problems, [design], args.time_limit, args.workers, args.layers)


def growth(args: argparse.Namespace) -> None:
    """Show how time grows with the size of a layer, and with the depth of a hierarchy."""
    for design in ("eyeriss_like", "simple_weight_stationary", "simba_like"):
        for size in (8, 16, 32, 64, 128, 256):
            problem = convolution(C=size, M=size, P=size, Q=size, R=3, S=3, name="conv")
            one = timed(problem, design, args.time_limit)
            print(
                f"{design:26} C = M = P = Q = {size:3}: {one.seconds:6.2f} CPU-s, gap {one.gap:.1%}, "
                f"{one.states:,} partial mappings"
            )
    for buffers in (1, 2, 3, 4):
        architecture = hierarchy(buffers)
        problem = convolution(C=64, M=64, P=28, Q=28, R=3, S=3, name="conv")
        one = timed_on(problem, architecture, estimate(architecture), args.time_limit)
        levels = len(architecture.levels) - 1
        print(
            f"{levels} levels: {one.seconds:6.2f} CPU-s, gap {one.gap:.1%}, {one.states:,} partial mappings", flush=True
        )


def hierarchy(buffers: int) -> Architecture:
    """Return `simple_weight_stationary` with so many global buffers, each a quarter of the one outside, keeping all."""
    design = load_architecture("simple_weight_stationary")
    at = next(i for i, level in enumerate(design.levels) if level.name == "shared_glb")
    first = design.levels[at]
    assert isinstance(first, Storage)
    constraints = replace(first.constraints, keep=frozenset({"Weights", "Inputs", "Outputs"}))
    nested = []
    for i in range(buffers):
        attributes = {**first.attributes, "depth": 16384 >> 2 * i}
        nested.append(
            replace(first, name=f"buffer{i}", constraints=constraints, attributes=attributes, depth=16384 >> 2 * i)
        )
    return replace(design, levels=(*design.levels[:at], *nested, *design.levels[at + 1 :]))


def main() -> None:
    """Run what was asked for; without arguments the founding designs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("founding", "others", "growth"), default="founding")
    parser.add_argument("--cold", action="store_true", help="compile everything anew, in the same time")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds a layer")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--layers", action="store_true", help="a row per layer")
    args = parser.parse_args()
    {"founding": founding, "others": others, "growth": growth}[args.what](args)


if __name__ == "__main__":
    main()
