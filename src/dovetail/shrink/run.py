"""A whole run: from a trained network to smaller ones with costs and accuracies; goes on where it was killed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy import checkpoint
from dovetail.accuracy.bits import Plan
from dovetail.accuracy.calibration import calibrated
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.evaluation import refuse_chance
from dovetail.accuracy.exported import export_network
from dovetail.accuracy.normalisation import renewed
from dovetail.accuracy.qdq import narrow_onnx
from dovetail.accuracy.quantised import import_brevitas, restored
from dovetail.accuracy.recipe import MODERN, QUANTISED
from dovetail.accuracy.runs import Report, silent
from dovetail.accuracy.training import fine_tune
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.json_text import json_document
from dovetail.network.plain import network_result
from dovetail.shrink.channels import ChannelGraph, Widths
from dovetail.shrink.finalists import (
    Start,
    Training,
    kept_in,
    original_of,
    tested,
    train_and_choose,
    training_of,
)
from dovetail.shrink.importance import taylor_importance
from dovetail.shrink.knobs import network_graph
from dovetail.shrink.layers import NetworkShapes, network_shapes
from dovetail.shrink.methods import search_named
from dovetail.shrink.narrow import plan_at
from dovetail.shrink.oracle import CostOracle, PassCost
from dovetail.shrink.request import Request
from dovetail.shrink.result import Outcome, ShrinkResult
from dovetail.shrink.saved import describe, read_shrunk, save_shrunk
from dovetail.shrink.searches import Task
from dovetail.shrink.space import SearchSpace, search_space
from dovetail.shrink.supernet import (
    Measurement,
    Order,
    SandwichLoss,
    cut,
    importance_order,
    measure,
)
from dovetail.shrink.target import METRICS, Target, metric_of
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")


def shrink(request: Request, oracle: CostOracle, report: Report = silent) -> ShrinkResult:
    """Find smaller networks that meet the targets, train them, and write them into the run's folder.

    Whatever is finished (a layer's cost, a measurement, an epoch) is on disk under the content that it depends on, so
    the same call goes on after an interruption, to the same result.

    Raises:
        InputError: the network, data or targets are wrong.
        UnreachableError: no network found meets a target.
        NoMappingError: a layer cannot be mapped on the design.
    """
    request.execution.torch_device  # noqa: B018  says now if it is not there
    if request.narrows:
        import_brevitas("choosing bits")
    with checkpoint.sole_writer(request.out), request.execution.applied():
        run = Run(request, oracle, report)
        run.graph  # noqa: B018  says now if there is nothing to turn
        run.check_start()
        task = run.task()
        found = search_named(request.method)(task)
        starts = {widths: run.start(widths) for finalists in found.values() for widths in finalists}
        training = run.training
        chosen, runs = train_and_choose(training, found, starts, report)
        reference = run.reference()
        networks = tuple(run.outcome(target, chosen[target], runs[chosen[target]]) for target in request.targets)
        result = ShrinkResult(
            request, run.graph, reference, run.as_given, networks, dict(task.measured), run.space, dict(task.proven)
        )
        checkpoint.write_json(request.out / f"result-{request.method}.json", json_document("shrink", result.to_json()))
    return result


@dataclass(frozen=True)
class Place:
    """Where an outcome belongs.

    Attributes:
        oracle: what layers cost on the design that it is for.
        folder: that it is written into.
        suffix: what its name ends in.
    """

    oracle: CostOracle
    folder: Path
    suffix: str = ""


class Run:
    """The parts of a run, each made once, when it is needed.

    Args:
        request: what is asked for.
        oracle: what layers cost on the design, or the first of several.
        report: told how it stands.

    Attributes:
        alike: what layers cost on other designs whose liked widths count, too.
    """

    def __init__(self, request: Request, oracle: CostOracle, report: Report) -> None:
        self.request, self.oracle, self.report = request, oracle, report
        self.alike: tuple[CostOracle, ...] = ()
        self.data: DataSet = request.recipe.prepare(request.data.load(report))
        self.shape = (1, *self.data.shape)
        self.classes = len(self.data.classes)

    @cached_property
    def model(self) -> Any:
        """The trained network."""
        training = self.training
        if self.request.recipe.name == QUANTISED.name:  # which trains on what is trained
            training = replace(training, recipe=MODERN, out=self.request.out / "original")
        return original_of(self.request.model, self.request.weights, training, self.report)

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its channel groups and blocks, which need no trained weights: what can't shrink is not trained first."""
        request = self.request
        return network_graph(
            request.model(), self.shape, request.knobs, request.tried, request.held, request.model.label
        )

    @cached_property
    def shapes(self) -> NetworkShapes:
        """Its layers as functions of widths."""
        return network_shapes(self.model, self.graph, (self.request.batch, *self.data.shape), self.request.model.label)

    @cached_property
    def original(self) -> PassCost:
        """What it costs."""
        return self.oracle.figures(self.shapes, self.graph.widths)

    @cached_property
    def space(self) -> SearchSpace:
        """The widths that the design likes, or several."""
        return search_space(self.shapes, self.oracle, alike=self.alike)

    @cached_property
    def order(self) -> Order:
        """The order in which channels go."""
        return importance_order(self.model, self.graph)

    @cached_property
    def key(self) -> str:
        """The key of the trained network and its data."""
        request = self.request
        state = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        return content_key("shrink", request.model.to_dict(), state, request.data, self.data.shape, request.seed)

    @cached_property
    def supernet_key(self) -> str:
        """The key of the supernet."""
        plain = ("channels", "depth")  # whose runs from before there were others go on
        options = [each.options if each.kind in plain else (each.kind, each.name, each.options)
                   for each in self.space.knobs]  # fmt: skip
        return content_key(self.key, self.request.supernet.to_dict(), options)[:16]

    @cached_property
    def supernet(self) -> Any:
        """The network trained at many widths at once."""
        loss = SandwichLoss(self.space, self.order, self.classes)
        folder = self.request.out / "supernets" / self.supernet_key
        fine_tune(
            self.model, self.data, self.request.supernet, seed=self.request.seed, out=folder, loss=loss,
            execution=self.request.execution, test=False, name="supernet",
            observers=[self._watch("training the supernet")],
        )  # fmt: skip
        model = copy.deepcopy(self.model)
        last = folder / "last.pt"
        checkpoint.apply_weights(model, checkpoint.load(last, expected={"weights": dict})["weights"], last)
        return model

    @property
    def training(self) -> Training:
        """How finalists are trained."""
        return training_of(self.request, scratch=self.request.scratch)

    def task(self) -> Task:
        """Return what the search is to do."""
        request = self.request
        return Task(
            self.space, self.measure, request.targets, self.original, request.budget, request.finalists,
            request.seed, self.importance, self.report,
        )  # fmt: skip

    def importance(self) -> list[NDArray[np.float64]]:
        """Return what every group's blocks matter to the loss, those first that stay longest."""
        scores = taylor_importance(self.model, self.graph, self.data.train, self.classes, self.request.execution)
        return [of_group[order] for of_group, order in zip(scores, self.order, strict=True)]

    def measure(self, widths: Widths) -> Measurement:
        """Measure the network at some widths in the supernet, unless that is on disk."""
        file = self.request.out / "measured" / self.supernet_key / f"{content_key(widths)[:20]}.json"
        if (known := checkpoint.read_figures(file, "loss", "accuracy")) is not None:
            return Measurement(*known)
        network, _ = self.begun(widths)
        found = measure(network, self.data.validation, self.classes, self.request.execution)
        checkpoint.write_json(file, asdict(found))
        return found

    def begun(self, widths: Widths) -> tuple[Any, Plan]:
        """Return the supernet's network at some widths, calibrated where its numbers are narrow; and how narrow."""
        network = renewed(cut(self.supernet, self.graph, self.order, widths), self.data, self.request.execution)
        plan = plan_at(self.graph, widths)
        return calibrated(network, plan, self.data, self.request.execution) if plan else (network, ())

    @cached_property
    def as_given(self) -> Measurement:
        """The original's own weights, measured."""
        return measure(self.model, self.data.validation, self.classes, self.request.execution)

    def check_start(self) -> None:
        """Refuse a network from which nothing can be learnt: it costs nothing, or its answers are chance.

        Raises:
            InputError: one of both.
        """
        metric = self.request.targets[0].metric
        if metric_of(self.original, metric) <= 0:
            design = self.oracle.architecture.name
            raise InputError(f"{self.request.model.label} costs 0 {METRICS[metric]} on {design}: nothing can be saved")
        refuse_chance(self.request.model.label, self.as_given.accuracy, self.data.validation)

    def start(self, widths: Widths) -> Start:
        """Write down what the training of a finalist starts from."""
        scratch = self.request.scratch
        source = "scratch" if scratch else self.supernet_key
        key = content_key(widths, self.request.model.to_dict(), source, "" if scratch else self.key)[:12]
        folder = self.request.out / "starts" / key
        name = f"{self.request.model.label.replace(':', '.')}-{key}"
        if not (folder / "network.json").exists():
            network, plan = (cut(self.model, self.graph, self.order, widths), ()) if scratch else self.begun(widths)
            kept = self.graph.kept(widths, self.order)
            facts = {"widths": list(widths)}
            shrunk = describe(name, self.request.model, self.model, self.graph, kept, facts, plan)
            save_shrunk(folder, shrunk, network.cpu().state_dict())
        return Start(folder, scratch, name)

    def trained(self, widths: Widths) -> tuple[Callable[[Path], Any], Plan]:
        """Return what makes the network at some widths with weights that a checkpoint keeps; and how narrow it is."""
        network = cut(self.model, self.graph, self.order, widths)
        if not plan_at(self.graph, widths):
            return partial(kept_in, network), ()
        plan = read_shrunk(self.start(widths).folder).plan  # where calibration has said which inputs have a sign
        return lambda file: restored(network, plan, checkpoint.load_weights(file), file), plan

    def reference(self) -> Outcome:
        """Return the original, trained likewise if that was asked for."""
        widths = self.graph.widths
        accuracy = None
        if self.request.reference:
            start: Any = self.request.model if self.request.scratch else self.start(widths)
            _, runs = train_and_choose(self.training, {None: [widths]}, {widths: start}, self.report)
            trained, _ = self.trained(widths)
            accuracy = tested(trained, runs[widths], self.data, self.request.execution)
        cost = self.oracle.network_cost(self.shapes, widths)
        return Outcome(self.request.model.label, None, widths, self.original, cost, accuracy, None)

    def outcome(self, target: Target, widths: Widths, runs: list[Any], place: Place | None = None) -> Outcome:
        """Measure a chosen network on the test images, and write it down with its weights, cost and mappings.

        Args:
            target: that it is for.
            widths: of the network.
            runs: its training, one per seed.
            place: where it belongs; None: to the run's design and a folder by method and target.
        """
        if place is None:
            place = Place(self.oracle, self.request.out / f"{self.request.method}-{str(target).replace('=', '-')}")
        kept = self.graph.kept(widths, self.order)
        trained, plan = self.trained(widths)
        accuracy = tested(trained, runs, self.data, self.request.execution)
        best = max(accuracy.validation, key=lambda seed: (accuracy.validation[seed], -seed))
        network = trained(accuracy.checkpoints[best]).eval().cpu()
        name = f"{self.request.model.label} at {target}{place.suffix}"
        shape, folder = (self.request.batch, *self.data.shape), place.folder
        cost = place.oracle.mapped(trace(network, shape, name=name))
        figures = place.oracle.figures(self.shapes, widths)
        facts = {
            "target": str(target),
            "method": self.request.method,
            "data": self.request.data.name,
            "images": {"mean": list(self.data.train.mean), "std": list(self.data.train.std), "shape": self.shape},
            "seed": best,
            "accuracy": accuracy.to_json(),
            "cost": network_result(cost),
        }
        shrunk = describe(name, self.request.model, self.model, self.graph, kept, facts, plan)
        save_shrunk(folder, shrunk, checkpoint.load_weights(accuracy.checkpoints[best]))
        onnx = partial(narrow_onnx, network, shape, open_batch=True) if plan else None
        exported = export_network(network, shape, folder, name, onnx)
        return Outcome(shrunk.name, target, widths, figures, cost, accuracy, folder, exported)

    def _watch(self, words: str) -> Callable[[Any], None]:
        return lambda event: self.report(event.step, event.steps, words)
