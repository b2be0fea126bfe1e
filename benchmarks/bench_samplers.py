"""How far Optuna's samplers stay from the proven front of a family: at equal numbers of designs mapped, in equal time.

    bench_samplers.py                     480 eyeriss_like designs x two small layers, area and EDP
    bench_samplers.py --network alexnet   another network
    bench_samplers.py --small             48 designs
    bench_samplers.py --seeds 3           seeds 0, 1, 2 of each sampler (the default)

The proven front comes first, by `explore`; then every sampler maps so many designs, with nothing from a store, one
process, and each that it maps is mapped exactly. What is printed of its front, beside random choice:

- `share`: of the hypervolume that the proven front dominates, axes in logarithms, up to the worst of that front on
  each axis (1: nothing is missing);
- `factor`: by what factor at worst a point of the proven front is better than the nearest one of the sampler's, on the
  axis where it is furthest (the multiplicative epsilon; 1: nothing is missing);
- `points`: how many of the proven front's points it has.

The median over seeds is printed, and the worst in brackets. "Equal time" is equal CPU-time of the calling process.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.family.costs import Costs, Request
from dovetail.family.explore import explore
from dovetail.family.family import Family, load_family
from dovetail.family.front import Axis, Point, read_axes
from dovetail.family.offers import Offers
from dovetail.family.sampling import Method, Sampling
from dovetail.family.traffic import members_for
from dovetail.mapper.exact.compiled import compile_all
from dovetail.mapper.objective import Objective
from dovetail.store import Store
from dovetail.workers import InlineExecutor
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution

VARY = {
    "shared_glb.depth": "4096:32768:x2",
    "PE.meshY": "8,10,12,14,16",
    "ifmap_spad.depth": "6,12,24",
    "weights_spad.depth": "48,96,192,384",
    "psum_spad.depth": "8,16",
}
SMALL = {"shared_glb.depth": "32:1024:x2", "PE.meshY": "4,6", "weights_spad.depth": "12,24,48,96"}
#: Designs mapped after which samplers are compared.
COUNTS = (10, 20, 40, 80, 160, 320)
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Far:
    """How far a front stays from the proven one; see the module's text."""

    share: float
    factor: float
    points: int


def main() -> None:
    """Explore, sample and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--network")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--axes", type=read_axes, default=read_axes("area,edp"))
    parser.add_argument("--most", type=int, default=COUNTS[-1], help="designs that a sampler maps at most")
    args = parser.parse_args()
    family = load_family("eyeriss_like", SMALL if args.small else VARY)
    network = load_network(args.network) if args.network else _small()
    compile_all()
    began = time.process_time()
    proven = explore(family, network, args.axes, workers=1)
    exact = time.process_time() - began
    print(f"exact: {proven.designs} designs, {proven.mapped} mapped, {proven.searches} searches, {exact:.1f} CPU-s")
    print(f"{len(proven.points)} points, {'proven' if proven.proven else f'gap {proven.gap - 1:.2%}'}")
    front = _values(proven.points, args.axes)
    counts = [count for count in COUNTS if count <= min(args.most, family.size)]
    print(f"{'':18}{'designs':>9}{'CPU-s':>8}   share            factor           points")
    for method in (None, *Method):
        runs = [_run(family, network, args.axes, method, seed, counts, exact, front) for seed in range(args.seeds)]
        named: list[int | str] = [*counts, "equal time"]
        for at, count in enumerate(named):
            _print(method or "random", count, [run[at] for run in runs])


def _small() -> Network:
    layers = (convolution(name="one", C=4, M=12, R=3, S=3, P=6, Q=6), convolution(name="two", C=12, M=8, P=6, Q=6))
    return Network("small", tuple(Layer(each.name, each) for each in layers))


def _run(
    family: Family,
    network: Network,
    axes: Sequence[Axis],
    method: Method | None,
    seed: int,
    counts: Sequence[int],
    exact: float,
    front: _Floats,
) -> list[tuple[int, float, Far]]:
    """Return (designs mapped, CPU-seconds, how far it is) after every count, and when the exact front was proven."""
    costs = Costs(network.distinct(), Store.disabled(), InlineExecutor())
    began = time.process_time()
    found: dict[int, tuple[int, float, Far]] = {}
    at_time: tuple[int, float, Far] | None = None
    chosen = (
        _random(family, costs, axes, seed) if method is None else _sampled(family, network, costs, axes, method, seed)
    )
    here = 0, 0.0, Far(0.0, float("inf"), 0)
    for mapped, offers in chosen:
        spent = time.process_time() - began
        here = mapped, spent, far(_values(offers.front.points, axes), front)
        if at_time is None and spent >= exact:
            at_time = here
        if mapped in counts:
            found[mapped] = here
        if mapped >= max(counts) or (at_time is not None and all(count in found for count in counts)):
            break
    return [*(found.get(count, here) for count in counts), at_time or here]


def _sampled(
    family: Family, network: Network, costs: Costs, axes: Sequence[Axis], method: Method, seed: int
) -> Iterator[tuple[int, Offers]]:
    sampling = Sampling(family, network, axes, costs, method, seed)
    while sampling.evaluate_next():
        yield sampling.evaluated, sampling.offers


def _random(family: Family, costs: Costs, axes: Sequence[Axis], seed: int) -> Iterator[tuple[int, Offers]]:
    """Map members in an order of chance."""
    members = members_for(family, axes)
    valid, area = members.laid_out()
    offers = Offers(members, costs.layers, axes, area)
    choices = [tuple(each) for each in np.argwhere(valid).tolist()]
    random.Random(seed).shuffle(choices)
    for at, choice in enumerate(choices, 1):
        front = offers.sole in (None, Objective.EDP)
        request = Request(*members.design(choice), offers.sole or Objective.EDP, front)
        seen = costs.settle([request])[0]
        if isinstance(seen, tuple):
            offers.take(choice, seen)
        yield at, offers


def far(found: _Floats, proven: _Floats) -> Far:
    """Return how far points ``(points, axes)`` stay from proven ones."""
    if not len(found):
        return Far(0.0, float("inf"), 0)
    worst = np.log(proven).max(axis=0)
    whole = hypervolume(worst - np.log(proven))
    share = hypervolume(worst - np.log(found)) / whole if whole else 1.0
    factor = float((found[None] / proven[:, None]).max(axis=2).min(axis=1).max())
    same = [bool(np.isclose(found, point, rtol=1e-9).all(axis=1).any()) for point in proven]
    return Far(share, factor, sum(same))


def hypervolume(points: _Floats) -> float:
    """Return the volume of the union of boxes from the origin to each of the points ``(points, axes)``."""
    points = points[(points > 0).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    total, below = 0.0, 0.0
    for height in np.unique(points[:, 0]).tolist():
        total += (height - below) * hypervolume(points[points[:, 0] >= height][:, 1:])
        below = height
    return total


def _values(points: Sequence[Point], axes: Sequence[Axis]) -> _Floats:
    return np.array([[point.value(axis) for axis in axes] for point in points])


def _print(name: str, count: int | str, runs: Sequence[tuple[int, float, Far]]) -> None:
    designs, seconds = statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)
    fars = [run[2] for run in runs]
    shares, factors = [each.share for each in fars], [each.factor for each in fars]
    said = "" if isinstance(count, int) else count
    print(
        f"{name:8}{said:10}{designs:9.0f}{seconds:8.1f}   {statistics.median(shares):.4f} ({min(shares):.4f})  "
        f"{statistics.median(factors):.4f} ({max(factors):.4f})  "
        f"{statistics.median(each.points for each in fars):g} ({min(each.points for each in fars)})",
        flush=True,
    )


if __name__ == "__main__":
    main()
