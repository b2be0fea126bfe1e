"""Times the exact mapper: seconds a layer, how many are proven, memory, and how time grows with layers and hierarchies.

    bench_mapper.py founding   five networks on the three founding designs, about a hundred searches;
                               ``--cold`` compiles everything anew first, in the same time
    bench_mapper.py others     MobileNetV2, DenseNet-121, batch 16 and a large matrix product on two more designs
    bench_mapper.py growth     a layer, its divisors, a hierarchy and an array, larger step by step

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
from dataclasses import dataclass

from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import load_architecture, read_architecture
from dovetail.mapper.allowance import Allowance, Limit
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
FOUNDING_DESIGNS = tuple(REFERENCE)[:3]
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
    limit: Limit,
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
    run(layers(FOUNDING), FOUNDING_DESIGNS, args.time_limit, args.workers, args.layers)
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
    """Show how time grows with a layer, with its divisors, with the depth of a hierarchy, and with the array.

    With constraints: C and M across the array, every level keeps all tensors. Without: any dimension and any tensor
    anywhere. Neighbours pass nothing on in either. A limit in work ends what takes long, wherever it runs.
    """
    for design in FOUNDING_DESIGNS[:2]:
        for size in (8, 16, 32, 64, 128, 256):
            problem = convolution(C=size, M=size, P=size, Q=size, R=3, S=3, name="conv")
            grown(f"{design}, C = M = P = Q = {size}", problem, load_architecture(design), args)
    plain = convolution(C=64, M=64, P=28, Q=28, R=3, S=3, name="conv")
    for fixed in (True, False):
        said = "C and M across" if fixed else "no constraints"
        for levels in (2, 3, 4, 5, 6):
            grown(f"{said}, {levels} levels, 16 x 16 units", plain, hierarchy(levels, 16, fixed), args)
        for side in (8, 16, 32, 64, 128, 256):
            wide = convolution(C=256, M=256, P=28, Q=28, name="1x1")
            grown(f"{said}, 3 levels, {side} x {side} units, 1x1", wide, hierarchy(3, side, fixed), args)
        for size in (31, 32, 36, 48, 60, 120, 240):
            product = matrix_product(C=size, M=size, P=size)
            count = sum(size % factor == 0 for factor in range(1, size + 1))
            grown(f"{said}, 3 levels, {size}^3: {count} divisors each", product, hierarchy(3, 16, fixed), args)


def grown(said: str, problem: Problem, architecture: Architecture, args: argparse.Namespace) -> None:
    """Search, and print a row."""
    one = timed_on(problem, architecture, estimate(architecture), Allowance(work=args.work))
    proven = "proven" if one.exact else f"{one.gap:.1%} open"
    print(f"{said:52} {one.seconds:6.2f} CPU-s, {one.states:>10,} partial mappings, {proven}", flush=True)


def hierarchy(levels: int, side: int, fixed: bool) -> Architecture:
    """Return a memory, so many levels of buffers inside it but one, and an array of units; see `growth`."""
    all_tensors = "[Weights, Inputs, Outputs]"
    kept = f", constraints: {{dataspace: {{keep: {all_tensors}}}}}" if fixed else ""
    across = ", factors: [N=1, P=1, Q=1, R=1, S=1]" if fixed else ""
    buffers = "".join(
        f"  - !Component {{name: buffer{i}, class: smartbuffer_SRAM, "
        f"attributes: {{depth: {65536 >> 3 * i}, width: 64, datawidth: 8}}{kept}}}\n"
        for i in range(levels - 1)
    )
    text = f"""variables: {{version: 0.4, global_cycle_seconds: 1e-9, technology: "32nm"}}
architecture:
  version: 0.4
  nodes:
  - !Component {{name: DRAM, class: DRAM, attributes: {{type: "LPDDR4", width: 64, datawidth: 8}}}}
{buffers}  - !Container
    name: PE
    spatial: {{meshX: {side}, meshY: {side}}}
    constraints: {{spatial: {{no_link_transfer: {all_tensors}{across}}}}}
  - !Component {{name: mac, class: intmac, attributes: {{multiplier_width: 8, adder_width: 32}}}}
"""
    return read_architecture(parse_document(text, file="grown"), f"{levels} levels, {side} x {side}")


def main() -> None:
    """Run what was asked for; without arguments the founding designs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("founding", "others", "growth"), default="founding")
    parser.add_argument("--cold", action="store_true", help="compile everything anew, in the same time")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds a layer")
    parser.add_argument("--work", type=int, default=20_000_000, help="growth: steps of work a search")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--layers", action="store_true", help="a row per layer")
    args = parser.parse_args()
    {"founding": founding, "others": others, "growth": growth}[args.what](args)


if __name__ == "__main__":
    main()
