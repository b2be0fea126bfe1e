"""Times the proven front of a family of designs, beside mapping every member.

    bench_family.py                 12,000 eyeriss_like designs x ResNet-18, front of area and EDP
    bench_family.py --limit 60      no longer than that; the gap that is left is printed
    bench_family.py --grid          96 designs of a microcontroller's accelerator x a YOLO of 20 layers

Brute force is not run: so many members, drawn at random, are mapped one by one, and their mean time stands for all.
Nothing comes from a store. Printed are seconds, the gap as it closes, searches, and the ratio to brute force.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from dovetail.components.estimate import estimate
from dovetail.family.explore import explore
from dovetail.family.family import load_family
from dovetail.family.front import read_axes
from dovetail.family.result import State
from dovetail.mapper.exact.compiled import compile_all
from dovetail.network.map_network import map_network
from dovetail.workers import available_cpus
from dovetail.workload.loading import load_network

FREE = Path(__file__).parent / "free"
VARY = {
    "shared_glb.depth": "4096:65536:x2",
    "shared_glb.read_bandwidth": "8,16,32",
    "PE.meshY": "8,10,12,14,16",
    "ifmap_spad.depth": "6,12,24,48",
    "weights_spad.depth": "48,64,96,128,192,224,256,384",
    "psum_spad.depth": "8,12,16,24,32",
}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--network")
    parser.add_argument("--axes", type=read_axes, default=read_axes("area,edp"))
    parser.add_argument("--limit", type=float, help="seconds")
    parser.add_argument("--workers", type=int, default=available_cpus())
    parser.add_argument("--members", type=int, default=6, help="mapped one by one for brute force's time")
    args = parser.parse_args()
    family = load_family(FREE / "ethos_family.yaml") if args.grid else load_family("eyeriss_like", VARY)
    network = load_network(args.network or (str(FREE / "yolo_s.csv") if args.grid else "resnet18"))
    compile_all()

    said = 0.0

    def tell(state: State) -> None:
        nonlocal said
        if state.seconds > 2 * said + 5:
            said = state.seconds
            gap = "" if state.gap > 1e6 else f", gap {100 * (state.gap - 1):.3g} %"
            print(f"{state.seconds:8.1f} s: {state.settled:,} of {state.designs:,} settled, {state.points} points{gap}")

    found = explore(family, network, args.axes, workers=args.workers, time_limit=args.limit, progress=tell)
    proof = "proven" if found.proven else f"gap {100 * (found.gap - 1):.3g} %"
    print(
        f"{found.seconds:8.1f} s: {len(found.points)} points, {proof}; {found.mapped} mapped, {found.searches} searches"
    )

    chance = random.Random(0)
    start = time.perf_counter()
    for _ in range(args.members):
        architecture = family.architecture(tuple(chance.randrange(size) for size in family.shape))
        map_network(network, architecture, estimate(architecture), workers=1)
    brute = (time.perf_counter() - start) / args.members * found.designs / args.workers
    print(f"brute force, one objective: {brute:,.0f} s on as many processes; {brute / found.seconds:.1f} times as long")


if __name__ == "__main__":
    main()
