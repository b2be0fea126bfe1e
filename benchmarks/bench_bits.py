"""Accuracy against bits on the built-in cluttered digits: `python benchmarks/bench_bits.py [--out FILE]`.

One five-layer network under three seeds, trained in floating point; then narrow at every setting, calibrated alone and
trained on by the recipe `quantised`. The test images are measured once per network. Runs go on where they were cut.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dovetail.accuracy.checkpoint import load, write_json
from dovetail.accuracy.evaluation import evaluate
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, from_checkpoint, model_spec
from dovetail.accuracy.narrowing import of_checkpoint, planned, start
from dovetail.accuracy.recipe import MODERN, QUANTISED
from dovetail.accuracy.runs import DataRequest
from dovetail.accuracy.statistics import interval
from dovetail.accuracy.training import train
from dovetail.workload.widths import parse_layer_bits

#: Settings by name.
SETTINGS = {
    "weights 8, inputs 8": ["8"],
    "weights 4, inputs 4": ["4"],
    "weights 2, inputs 8": ["weights=2,inputs=8"],
    "weights 2, inputs 2": ["2"],
}


def curve(width: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Return the accuracies of every setting and seed, 0 to 1."""
    data = MODERN.prepare(DataRequest("cluttered-digits").load(check=False))
    spec = model_spec("five-layer", data, width=width)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        result = train(spec, data, MODERN, seed=seed, out=folder / f"float-{width}-{seed}")
        found.setdefault("floating point", []).append({"validation": result.validation, "test": result.test or 0.0})
        assert result.checkpoint is not None
        model = from_checkpoint(load(result.checkpoint), result.checkpoint)
        for name, bits in SETTINGS.items():
            found.setdefault(name, []).append(_narrow(spec, model, bits, seed, data, folder))
            print(seed, name, found[name][-1], flush=True)
    return {"network": spec.label, "recipe": asdict(QUANTISED), "settings": found}


def _narrow(spec: ModelSpec, model: Any, bits: list[str], seed: int, data: Any, folder: Path) -> dict[str, float]:
    plan, _ = planned(model, data, [parse_layer_bits(each) for each in bits], spec.label)
    begun = start(model, spec, plan, data, folder / "narrow", Execution(), spec.label)
    calibrated = evaluate(of_checkpoint(spec, begun.spec.plan, begun.spec.start), data.test)
    result = train(begun.spec, data, QUANTISED, seed=seed, out=begun.spec.start.parent / f"seed-{seed}")
    assert result.checkpoint is not None
    again = from_checkpoint(load(result.checkpoint), result.checkpoint)
    assert evaluate(again, data.test) == result.test, "a network loaded again must have the accuracy reported"
    return {
        "calibrated validation": begun.validation,
        "calibrated test": calibrated,
        "validation": result.validation,
        "test": result.test or 0.0,
        "seconds": result.seconds,
    }


def show(content: dict[str, Any]) -> None:
    """Print a row per setting: test accuracy in percent, mean and 95 % interval over seeds."""
    print(f"{content['network']} on cluttered-digits, test images, % (mean and 95 % interval over seeds)")
    for name, runs in content["settings"].items():
        cells = []
        for key in ("calibrated test", "test"):
            if key in runs[0]:
                share = interval([run[key] for run in runs])
                cells.append(f"{100 * share.mean:6.2f} ± {100 * (share.half_width or 0):5.2f}")
        print(f"{name:40} {'  '.join(f'{cell:>16}' for cell in (['', *cells] if len(cells) == 1 else cells))}")


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-bits"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    content = curve(args.width, args.seeds, args.folder)
    show(content)
    if args.out:
        write_json(args.out, content)


if __name__ == "__main__":
    main()
