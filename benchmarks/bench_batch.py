"""How many mappings per second and core the batch form of the model evaluates, and what a cold start costs.

Prints one line per design and layer. The clock is the process's own, so that a busy machine counts for less; the best
of several rounds is taken. ``--cold`` compiles anew, as the very first run on a machine does.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time

DESIGNS = ("eyeriss_like", "simple_weight_stationary", "simple_output_stationary", "simba_like")
LAYERS = (
    "resnet18:layer1.0.conv1",
    "resnet50:layer3.0.conv2",
    "alexnet:features.0",
    "mobilenet_v2:features.2.conv.1.0",
)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Evaluations per second of the model in batch form.")
    parser.add_argument("--samples", type=int, default=20_000, help="random mappings per layer (20000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the best counts (5)")
    parser.add_argument("--cold", action="store_true", help="compile anew instead of using the cache")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        if args.cold:
            os.environ["NUMBA_CACHE_DIR"] = empty
        run(args.samples, args.rounds)
    return 0


def run(samples: int, rounds: int) -> None:
    """Measure every layer on every design."""
    from dovetail.components.estimate import estimate
    from dovetail.errors import InputError
    from dovetail.hardware.reader import load_architecture
    from dovetail.mapper.local.sample import sample
    from dovetail.model.arrays import Nest
    from dovetail.model.batch import evaluate_batch
    from dovetail.model.encode import encode_machine, encode_rules
    from dovetail.workload.loading import load_layer

    compiled = False
    print(f"{'design':26} {'layer':34} {'evaluations/s':>14} {'that fit':>9}")
    for design in DESIGNS:
        architecture = load_architecture(design)
        energies = estimate(architecture)
        for layer in LAYERS:
            try:
                problem = load_layer(layer)
            except InputError as error:
                print(error, file=sys.stderr)
                continue
            nests = sample(problem, architecture, samples)
            rules, machine = encode_rules(problem, architecture), encode_machine(problem, architecture, energies)
            start = time.process_time()
            evaluate_batch(Nest._make(array[:1] for array in nests), rules, machine)
            if not compiled:
                first, compiled = time.process_time() - start, True
            seconds = []
            for _ in range(rounds):
                start = time.process_time()
                costs = evaluate_batch(nests, rules, machine)
                seconds.append(time.process_time() - start)
            fitting = (costs.overflow < 0).mean()
            print(f"{design:26} {layer:34} {samples / min(seconds):14,.0f} {fitting:9.1%}", flush=True)
    print(f"first evaluation of the process: {first:.2f} CPU-seconds")


if __name__ == "__main__":
    sys.exit(main())
