"""ResNet-18 at five width settings against one: `python benchmarks/bench_widths.py`.

CPU-seconds of one process that has its compiled code loaded, the least of `--rounds`. "one" is the mean of five
settings, each mapped alone with nothing remembered; "five" maps all of them in one call. Nothing is kept in the store.
"""

from __future__ import annotations

import argparse
import time

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact import space
from dovetail.mapper.objective import Objective
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import map_networks
from dovetail.workload.loading import load_network
from dovetail.workload.network import Network
from dovetail.workload.widths import parse_layer_bits

#: Width settings: what `dovetail bits` tries, for all tensors alike; and mixtures beside the design's own words.
SETTINGS = {
    "8 6 4 3 2": ("8", "6", "4", "3", "2"),
    "mixed": ("", "8", "weights=4,inputs=8", "4", "weights=2,inputs=4"),
}


def seconds_of(networks: list[Network], design: str, objective: Objective) -> tuple[float, list[NetworkCost]]:
    """Return CPU-seconds of mapping networks in one call, with nothing remembered, and what came of it."""
    architecture = load_architecture(design)
    energies = estimate(architecture)
    space.forget()
    begun = time.process_time()
    costs = map_networks([(each, architecture, energies) for each in networks], objective=objective, workers=1)
    return time.process_time() - begun, costs


def main() -> None:
    """Print a row per design, objective and five settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", nargs="+", default=["eyeriss_like", "simba_like", "tpu_like"])
    parser.add_argument("--objective", nargs="+", type=Objective, default=[Objective.EDP])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    resnet = load_network("resnet18")
    for design in args.on:
        for objective in args.objective:
            for name, settings in SETTINGS.items():
                networks = [resnet.with_bits([parse_layer_bits(bits)]) if bits else resnet for bits in settings]
                seconds_of(networks, design, objective)  # loads what is compiled
                alone = [min(seconds_of([each], design, objective)[0] for _ in range(args.rounds)) for each in networks]
                found = [seconds_of(networks, design, objective) for _ in range(args.rounds)]
                five, costs = min(found, key=lambda each: each[0])
                one, distinct = sum(alone) / len(alone), [each for cost in costs for each in cost.distinct]
                derived = sum(each.result.certificate.states == 0 for each in distinct)
                proven = sum(each.result.certificate.exact for each in distinct)
                took = f"one {one:6.2f} s, five {five:6.2f} s: {five / one:.2f} times"
                known = f"{len(distinct)} layers, {derived} derived, {proven} proven"
                print(f"{design:16} {objective!s:8} {name:10} {took}; {known}", flush=True)


if __name__ == "__main__":
    main()
