"""From trained networks to narrow ones: the plan, the calibrated start of a training, and the training asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.accuracy import checkpoint
from dovetail.accuracy.bits import Plan, make_plan, plan_bits, plan_to_json, read_plan
from dovetail.accuracy.calibration import calibrated
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.evaluation import evaluate
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.quantised import QuantisedSpec, import_brevitas, restored, spec_label, trainable
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.workload.network import Network
from dovetail.workload.torch_trace import trace
from dovetail.workload.widths import LayerBits


@dataclass(frozen=True)
class Start:
    """A calibrated network, from which training goes on.

    Attributes:
        spec: makes it.
        validation: its accuracy on the validation part, before any training.
    """

    spec: QuantisedSpec
    validation: float


def planned(model: Any, data: DataSet, bits: Sequence[LayerBits], name: str) -> tuple[Plan, Network]:
    """Return how narrow a network's layers are to be, and its layers with those widths.

    Raises:
        InputError: a width speaks of no layer or tensor, or cannot be trained; or none speaks of any that can.
    """
    import_brevitas("training with narrow numbers")
    network = trace(model, (1, *data.shape), name=name)
    plan = make_plan(network, bits, trainable(model))
    if not plan:
        raise InputError(f"{name} has no layer that these widths make narrow")
    return plan, network.with_bits(plan_bits(plan))


def start(model: Any, factory: Any, plan: Plan, data: DataSet, folder: Path, execution: Execution, label: str) -> Start:
    """Calibrate a trained network and write it down as the start of a training, unless that was done before.

    Args:
        model: the trained network.
        factory: makes it, with any weights.
        plan: how narrow.
        data: under the normalisation that the network was trained with.
        folder: for ``start.pt`` of this network, plan and data, in a folder of its own.
        execution: where.
        label: of the network.
    """
    state = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    images = (data.name, data.shape, len(data.train), data.train.mean, data.train.std)
    key = content_key("narrow", state, plan_to_json(plan), images)[:12]
    file = folder / key / "start.pt"
    if file.exists():
        content = checkpoint.load(file, expected={"weights": dict, "bits": dict, "validation": float})
        return Start(_spec(factory, read_plan(content["bits"], file), file, label), content["validation"])
    narrow, plan = calibrated(model, plan, data, execution)
    validation = evaluate(narrow, data.validation, execution=execution)
    weights = {name: value.detach().cpu() for name, value in narrow.state_dict().items()}
    checkpoint.save(file, {"weights": weights, "bits": plan_to_json(plan), "validation": validation})
    return Start(_spec(factory, plan, file, label), validation)


def _spec(factory: Any, plan: Plan, file: Path, label: str) -> QuantisedSpec:
    return QuantisedSpec(factory, plan, file, spec_label(label, plan))


def of_checkpoint(factory: Any, plan: Plan, file: Path) -> Any:
    """Return the narrow network whose weights a checkpoint of its training keeps."""
    return restored(factory(), plan, checkpoint.load_weights(file), file)


__all__ = ["Start", "of_checkpoint", "planned", "start"]
