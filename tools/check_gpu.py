"""Whether training on a GPU does what it does on the processor, and how fast: minutes, nothing downloaded.

python tools/check_gpu.py                        # on the GPU
python tools/check_gpu.py --device cpu --small   # a rehearsal where there is none
python tools/check_gpu.py --json gpu.json        # keep the figures

Ends with 1 if a check fails. The table it prints belongs into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dovetail.accuracy.data import DataSet
from dovetail.accuracy.datasets import load_data
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, model_spec
from dovetail.accuracy.recipe import MODERN, Recipe
from dovetail.accuracy.runs import DataRequest
from dovetail.accuracy.training import Event, train
from dovetail.components.estimate import estimate
from dovetail.errors import DovetailError
from dovetail.files import write_text
from dovetail.hardware.reader import load_architecture
from dovetail.shrink.oracle import CostOracle
from dovetail.shrink.request import SUPERNET, Request
from dovetail.shrink.run import shrink
from dovetail.shrink.target import OBJECTIVES, parse_targets
from dovetail.store import Store

#: Largest difference of gradients, as a share of the largest gradient of their layer, in single precision.
GRADIENTS = 2e-3
#: Largest difference of outputs between memory layouts, as a share of the largest output.
LAYOUTS = 1e-4
#: Largest loss of accuracy on validation images by mixed precision, in points: of some hundreds of images.
MIXED = 6.0


@dataclass(frozen=True)
class Sizes:
    """How much each check computes.

    Attributes:
        data: the built-in images.
        model: the network of the checks of training.
        epochs: of each training.
        large: the network whose throughput is measured.
        batch: images at a time there.
        steps: steps that are timed.
    """

    data: str = "cluttered-digits"
    model: str = "five-layer-16"
    epochs: int = 4
    large: str = "resnet18"
    batch: int = 256
    steps: int = 40


SMALL = Sizes("digits", "five-layer-4", 2, "five-layer-4", 32, 3)


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    Attributes:
        name: what was checked.
        held: whether it is as it should be.
        found: figures in words.
        seconds: it took.
    """

    name: str
    held: bool
    found: str
    seconds: float


@dataclass(frozen=True)
class Machine:
    """Where the checks run, and on what.

    Attributes:
        device: torch's name of it.
        sizes: how much is computed.
        data: the images.
        folder: of this run alone.
    """

    device: str
    sizes: Sizes
    data: DataSet
    folder: Path

    def execution(self, precision: str = "fp32", **options: Any) -> Execution:
        """Return how a training runs there."""
        return Execution(self.device, precision, **options)

    def spec(self, name: str) -> ModelSpec:
        """Return a network for the images: ``five-layer-16`` names its width."""
        family, _, width = name.rpartition("-")
        return model_spec(family, self.data, width=int(width)) if width.isdigit() else model_spec(name, self.data)

    @property
    def recipe(self) -> Recipe:
        """How the checks train."""
        return replace(MODERN, epochs=self.sizes.epochs)


def gradients(machine: Machine) -> tuple[bool, str]:
    """One step in single precision: every gradient is the processor's, to rounding."""
    worst = 0.0
    for name in dict.fromkeys((machine.sizes.model, machine.sizes.large)):
        torch.manual_seed(0)
        model = machine.spec(name)().train()
        images, labels = next(
            machine.data.train.batches([np.arange(min(64, machine.sizes.batch))], torch.device("cpu"))
        )
        found = [_gradients(model, images, labels, device) for device in ("cpu", machine.device)]
        for right, here in zip(*found, strict=True):
            worst = max(worst, float((right - here).abs().max() / right.abs().max().clamp_min(1e-12)))
    return worst <= GRADIENTS, f"largest difference {worst:.1e} of a layer's largest gradient"


def _gradients(model: Any, images: Any, labels: Any, device: str) -> list[Any]:
    own = copy.deepcopy(model).to(device)
    loss = torch.nn.functional.cross_entropy(own(images.to(device)), labels.to(device))
    return [gradient.cpu() for gradient in torch.autograd.grad(loss, list(own.parameters()))]


def layouts(machine: Machine) -> tuple[bool, str]:
    """Outputs with channels last are those with channels first."""
    torch.manual_seed(0)
    model = machine.spec(machine.sizes.large)().eval().to(machine.device)
    images, _ = next(
        machine.data.train.batches([np.arange(min(64, machine.sizes.batch))], torch.device(machine.device))
    )
    with torch.no_grad():
        first = model(images)
        last = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    worst = float((first - last).abs().max() / first.abs().max())
    return worst <= LAYOUTS, f"largest difference {worst:.1e} of the largest output"


def precisions(machine: Machine) -> tuple[bool, str]:
    """Trained in mixed precision, a network is as accurate as in single, within what so few images can tell."""
    found = {}
    for precision in ("fp32", "bf16", "fp16") if machine.device != "cpu" else ("fp32", "bf16"):
        spec, execution = machine.spec(machine.sizes.model), machine.execution(precision)
        found[precision] = 100 * train(spec, machine.data, machine.recipe, execution=execution, test=False).validation
    held = all(found["fp32"] - value <= MIXED for value in found.values())
    return held, ", ".join(f"{name} {value:.1f} %" for name, value in found.items())


class _StoppedError(Exception):
    """A training is to end here."""


def resuming(machine: Machine) -> tuple[bool, str]:
    """A training that was stopped goes on to the same weights, bit for bit; so does one that was not."""
    spec, execution = machine.spec(machine.sizes.model), machine.execution("auto", checkpoint_seconds=0.0)

    def run(folder: str, stop: int | None) -> Any:
        def watch(event: Event) -> None:
            if stop is not None and event.step >= stop:
                raise _StoppedError

        out = machine.folder / folder
        return train(
            spec, machine.data, machine.recipe, out=out, execution=execution, observers=[watch], test=False
        ).model

    whole = run("whole", None).state_dict()
    halfway = machine.recipe.steps_per_epoch(len(machine.data.train)) * machine.recipe.epochs // 2
    with contextlib.suppress(_StoppedError):
        run("stopped", halfway)
    again, twin = run("stopped", None).state_dict(), run("twin", None).state_dict()
    same = all(torch.equal(value, again[name]) for name, value in whole.items())
    twice = all(torch.equal(value, twin[name]) for name, value in whole.items())
    return same and twice, f"stopped at step {halfway}: {_same(same)}; trained twice: {_same(twice)}"


def _same(held: bool) -> str:
    return "the same weights" if held else "OTHER WEIGHTS"


def throughput(machine: Machine) -> tuple[bool, str]:
    """Images a second of whole training steps, by precision."""
    found = {}
    for precision in ("fp32", "auto"):
        execution = machine.execution(precision)
        model = machine.spec(machine.sizes.large)().train().to(machine.device, memory_format=torch.channels_last)
        stepping = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        scaler, began = execution.scaler(), 0.0
        batch = np.arange(machine.sizes.batch) % len(machine.data.train)
        images, labels = next(machine.data.train.batches([batch], torch.device(machine.device)))
        images = images.contiguous(memory_format=execution.memory_format())
        for step in range(machine.sizes.steps + 3):
            if step == 3:  # what comes before chooses kernels
                _wait(machine.device)
                began = time.perf_counter()
            with execution.autocast():
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            stepping.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(stepping)
            scaler.update()
        _wait(machine.device)
        rate = machine.sizes.steps * machine.sizes.batch / (time.perf_counter() - began)
        found[precision if precision == "fp32" else f"mixed ({execution.mixed})"] = rate
    rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in found.items())
    return all(
        map(math.isfinite, found.values())
    ), f"{machine.sizes.large}, batch {machine.sizes.batch}: {rates} images/s"


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def supernet(machine: Machine) -> tuple[bool, str]:
    """A short `dovetail shrink`, supernet and finalists on the device."""
    design, targets = load_architecture("eyeriss_like"), parse_targets(["edp=0.5x"])
    request = Request(
        machine.spec(machine.sizes.model), None, DataRequest(machine.sizes.data), targets, machine.folder / "shrink",
        recipe=machine.recipe, supernet=replace(SUPERNET, epochs=1), budget=6, finalists=1,
        execution=machine.execution("auto"), processes=1,
    )  # fmt: skip
    with Store.open() as store:
        oracle = CostOracle(design, estimate(design), OBJECTIVES["edp"], store, 1)
        result = shrink(request, oracle)
    (network,) = result.networks
    assert network.accuracy is not None
    share = network.figures.edp_J_cycle / result.original.figures.edp_J_cycle
    test = 100 * next(iter(network.accuracy.test.values()))
    return (
        share <= 0.5,
        f"{share:.2f} of the EDP, {test:.1f} % on test images ({100 * result.as_given.accuracy:.1f} as given)",
    )


CHECKS: tuple[Callable[[Machine], tuple[bool, str]], ...] = (
    gradients, layouts, precisions, resuming, throughput, supernet,
)  # fmt: skip


def check(machine: Machine) -> Iterator[Finding]:
    """Run every check; one that fails for a reason of its own does not keep the others from running."""
    for one in CHECKS:
        began = time.perf_counter()
        try:
            held, found = one(machine)
        except (DovetailError, RuntimeError) as error:
            held, found = False, f"{type(error).__name__}: {str(error).splitlines()[0]}"
        yield Finding(one.__name__, held, found, time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> int:
    """Run the checks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a rehearsal of seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there, too")
    args = parser.parse_args(arguments)
    if args.device != "cpu" and not torch.cuda.is_available():
        print("no GPU that torch can use; --device cpu --small rehearses the checks", file=sys.stderr)
        return 2
    name = "processor" if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    sizes = SMALL if args.small else Sizes()
    print(f"{name}, torch {torch.__version__}\n\n| check | | found | s |\n|---|---|---|---:|")
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        for one in check(Machine(args.device, sizes, load_data(sizes.data), Path(folder))):
            findings.append(one)
            print(f"| {one.name} | {'ok' if one.held else 'FAILED'} | {one.found} | {one.seconds:.1f} |", flush=True)
    if args.json is not None:
        content = {"device": name, "torch": torch.__version__, "findings": [asdict(one) for one in findings]}
        write_text(args.json, json.dumps(content, indent=2) + "\n")
    return 0 if all(one.held for one in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
