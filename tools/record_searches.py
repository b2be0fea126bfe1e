"""Records searches for ``tests/data/searches.json``: what the exact search answers, and what it examined to know it.

The tests search again and compare every number, so that code which should behave as before is seen to.

Usage: python tools/record_searches.py choose   picks cheap searches anew, and records them (some minutes)
       python tools/record_searches.py again    searches the recorded ones again, and writes their numbers
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.files import write_text
from dovetail.hardware.reader import dense_designs, load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.loading import load_network
from dovetail.workload.problem import Problem, convolution, linear, matrix_product
from dovetail.workload.shapes import SHAPES

FILE = Path(__file__).parents[1] / "tests" / "data" / "searches.json"
#: How many searches are recorded, and the CPU-seconds that one may take.
COUNT, CHEAP = 200, 0.15
NETWORKS = ("alexnet", "resnet18", "resnet50", "mobilenet_v2", "densenet121", "vgg16@32", "efficientnet_b0@32")

#: Layers of kinds that bundled networks hold few of, or none.
OTHERS = (
    matrix_product(C=64, M=128, P=48),
    matrix_product(C=30, M=21, P=10, G=12, name="heads"),
    linear(C=256, M=1000, N=4, name="classifier"),
    linear(C=768, M=96, P=50, name="tokens"),
    convolution(C=1, M=1, P=14, Q=14, R=3, S=3, G=96, name="depthwise"),
    convolution(C=1, M=1, P=7, Q=7, R=5, S=5, G=48, stride=(2, 2), name="depthwise_strided"),
    convolution(C=4, M=6, P=9, Q=9, R=3, S=3, G=8, name="grouped"),
    convolution(C=16, M=32, P=12, Q=12, R=3, S=3, dilation=(2, 2), name="dilated"),
    convolution(C=8, M=8, P=10, Q=6, R=3, S=1, stride=(2, 1), dilation=(1, 2), name="uneven"),
    convolution(C=3, M=16, P=16, Q=16, R=7, S=7, stride=(2, 2), name="stem"),
    convolution(C=12, M=20, P=7, Q=7, R=3, S=3, N=8, name="batch"),
    convolution(C=64, M=64, P=7, Q=7, N=16, stride=(2, 2), name="batch_pointwise_strided"),
    convolution(C=4, M=6, P=6, Q=6, R=3, S=3, name="small"),
    convolution(C=7, M=11, P=13, Q=5, R=3, S=2, name="primes"),
    Problem(SHAPES["cnn-layer-3d"], (2, 4, 3, 1, 1, 1, 4, 4, 1, 1), (1,) * 6, "volume"),
    Problem(SHAPES["transposed-cnn-layer"], (4, 2, 3, 1, 1, 7, 2, 1), (2, 2, 1, 1), "transposed"),
)


def asked(problem: Problem, design: str, objective: Objective, front: bool) -> dict[str, Any]:
    """Return a search as plain data."""
    return {
        "name": problem.name,
        "shape": problem.shape.name,
        "bounds": list(problem.bounds),
        "coefficients": list(problem.coefficients),
        "design": design,
        "objective": str(objective),
        "front": front,
    }


def answered(case: dict[str, Any]) -> dict[str, Any]:
    """Search as a case says; return what came out, in pJ and cycles."""
    problem = Problem(SHAPES[case["shape"]], tuple(case["bounds"]), tuple(case["coefficients"]), case["name"])
    architecture = load_architecture(case["design"])
    found = search(problem, architecture, estimate(architecture), Objective(case["objective"]), front=case["front"])
    proof = found.certificate
    return {
        "energy_pJ": found.cost.energy_pJ,
        "cycles": found.cost.cycles,
        "value": proof.value,
        "bound": proof.bound,
        "compulsory_pJ": proof.compulsory_pJ,
        "exact": proof.exact,
        "tie_proven": proof.tie_proven,
        "mapspace_size": proof.mapspace_size,
        "states": proof.states,
        "by_bound": proof.pruned_by_bound,
        "by_dominance": proof.pruned_by_dominance,
        "by_capacity": proof.pruned_by_capacity,
        "points": [[point.energy_pJ, point.cycles] for point in found.front],
    }


def candidates() -> Iterator[dict[str, Any]]:
    """Yield searches, designs and objectives in turn, the layers of each design in a random order of its own."""
    layers = [layer.problem for name in NETWORKS for layer in load_network(name).layers]
    layers = list({(one.bounds, one.coefficients, one.shape.name): one for one in layers}.values())
    queues = []
    for place, design in enumerate(dense_designs()):
        pool = random.Random(place).sample(layers, len(layers))
        others = random.Random(100 + place).sample(OTHERS, len(OTHERS))
        mixed = [one for pair in itertools.zip_longest(others, pool) for one in pair if one is not None]
        queues.append([(problem, design) for problem in mixed])
    objectives = itertools.cycle(Objective)
    for turn in itertools.zip_longest(*queues):
        for problem, design in filter(None, turn):
            yield asked(problem, design, next(objectives), front=False)
            if problem.name in ("small", "heads", "primes", "depthwise_strided"):
                yield asked(problem, design, Objective.EDP, front=True)


class _TooDear(Exception):  # noqa: N818 - nothing is wrong
    """A search takes too many CPU-seconds to be recorded."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _TooDear


def chosen() -> Iterator[dict[str, Any]]:
    """Yield searches that are cheap on this machine, with their answers."""
    signal.signal(signal.SIGPROF, _stop)
    answered(next(candidates()))  # compiles
    for case in candidates():
        signal.setitimer(signal.ITIMER_PROF, CHEAP)
        try:
            answer = answered(case)
        except (_TooDear, NoMappingError):
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if answer["exact"]:
            print(f"{case['name']} on {case['design']}", file=sys.stderr, flush=True)
            yield {**case, **answer}


def main() -> None:
    """Write the file."""
    if sys.argv[1:] == ["choose"]:
        cases = list(itertools.islice(chosen(), COUNT))
    elif sys.argv[1:] == ["again"]:
        cases = [{**case, **answered(case)} for case in json.loads(FILE.read_text())]
    else:
        sys.exit(__doc__)
    write_text(FILE, "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
