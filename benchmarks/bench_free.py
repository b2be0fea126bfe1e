"""Times the exact mapper on designs that leave the dataflow open: bundled ones without any constraint, and three more.

    bench_free.py                   a dozen searches
    bench_free.py --searches 60     so many, drawn from all
    bench_free.py --all             every design, with and without neighbours that pass words on, layers of each kind

Every search is a process of its own with `--limit` seconds. Printed are CPU-seconds (all threads, compiling aside), the
gap where the answer is not proven, and the share that is. Peer: AccelForge 1.0.467, with the same energies, on the two
`three_level` designs (no neighbours, C and M across 64 units): 12 to 58 CPU-seconds for products and a 1x1 layer in its
even space, the same optima to the pJ; a 3x3 and a depthwise layer at 28x28 not finished in 405 and 590.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from bench_mapper import Timed, timed_on

from dovetail.components.accelergy_tables import read_energy_table
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Constraints, LoopConstraints
from dovetail.hardware.reader import dense_designs, load_architecture
from dovetail.mapper.exact.compiled import compile_all
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.problem import Problem, convolution, matrix_product

DESIGNS = Path(__file__).parent / "free"
TENSORS = frozenset({"Weights", "Inputs", "Outputs"})
LAYERS = (
    convolution(C=128, M=128, P=28, Q=28, R=3, S=3, name="3x3 128, 28x28"),
    convolution(C=64, M=128, P=80, Q=80, R=3, S=3, stride=(2, 2), name="3x3/2 64 to 128, 80x80"),
    convolution(C=256, M=512, P=28, Q=28, name="1x1 256 to 512, 28x28"),
    convolution(C=1, M=1, G=128, P=28, Q=28, R=3, S=3, name="depthwise 128, 28x28"),
    matrix_product(C=768, M=64, P=197, name="ViT-B/16 head, 197 tokens"),
    matrix_product(C=4096, M=4096, P=1, name="Llama product, 1 token"),
    matrix_product(C=4096, M=4096, P=8, name="Llama product, 8 tokens"),
)


@dataclass(frozen=True)
class Case:
    """One search."""

    design: str
    links: bool
    problem: Problem
    objective: Objective


def cases() -> Iterator[Case]:
    """Yield the suite."""
    others = (path.stem for path in DESIGNS.glob("*.yaml") if not path.stem.endswith((".ert", "_family")))
    designs = [*dense_designs(), *sorted(others)]
    for design, links, problem in itertools.product(designs, (False, True), LAYERS):
        for objective in (Objective.EDP, Objective.ENERGY, Objective.LATENCY):
            yield Case(design, links, problem, objective)


def free(name: str, links: bool) -> tuple[Architecture, EnergyTable]:
    """Return a design without constraints, or one of those beside this file as it is, and its energies."""
    file = DESIGNS / f"{name}.yaml"
    architecture = load_architecture(str(file) if file.exists() else name)
    ert = DESIGNS / f"{name}.ert.yaml"
    energies = read_energy_table(ert, architecture=architecture) if ert.exists() else estimate(architecture)
    levels = []
    for level in architecture.levels:
        kept = level.constraints if file.exists() else Constraints()
        passed = kept.spatial.no_link_transfer if links else TENSORS
        spatial = replace(kept.spatial if file.exists() else LoopConstraints(), no_link_transfer=passed)
        levels.append(replace(level, constraints=replace(kept, spatial=spatial)))
    return replace(architecture, levels=tuple(levels)), energies


def timed(case: Case, limit: float) -> Timed:
    """Search."""
    architecture, energies = free(case.design, case.links)
    compile_all()
    search(convolution(C=2, M=2, P=2, Q=2, name="to load it"), architecture, energies)
    return timed_on(case.problem, architecture, energies, limit, case.objective)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the whole suite, some hundred searches")
    parser.add_argument("--searches", type=int, default=12, help="how many to draw (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds a search (default: 20)")
    parser.add_argument("--workers", type=int, default=1, help="searches at a time (default: 1)")
    args = parser.parse_args()
    chosen = list(cases())
    if not args.all:
        chosen = sorted(random.Random(args.seed).sample(chosen, min(args.searches, len(chosen))), key=chosen.index)
    found = []
    pool = ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with pool:
        answers = [(case, pool.submit(timed, case, args.limit)) for case in chosen]
        for case, answer in answers:
            one = answer.result()
            found.append(one)
            said = "proven" if one.exact else f"{one.gap:.1%} open"
            links = "links" if case.links else "no links"
            print(
                f"{case.design:26} {links:9} {case.problem.name:27} {case.objective.value:8} {one.seconds:7.2f} CPU-s "
                f"{one.gigabytes:5.2f} GB  {said}",
                flush=True,
            )
    seconds = sorted(one.seconds for one in found)
    proven = sum(one.exact for one in found)
    p90, median = seconds[int(0.9 * (len(seconds) - 1))], statistics.median(seconds)
    print(f"{len(found)} searches, {proven / len(found):.0%} proven")
    print(f"CPU-seconds: median {median:.2f}, p90 {p90:.2f}, most {seconds[-1]:.2f}")


if __name__ == "__main__":
    main()
