"""A whole run: from a trained network to smaller ones with costs and accuracies; goes on where it was killed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from dovetail.accuracy import checkpoint
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.evaluation import refuse_chance
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.exported import Exported, export_network
from dovetail.accuracy.models import ModelSpec
from dovetail.accuracy.normalisation import renewed
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, Recipe
from dovetail.accuracy.runs import MAX_SEEDS, DataRequest, Report, silent
from dovetail.accuracy.training import fine_tune
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.json_text import json_document
from dovetail.network.costs import NetworkCost
from dovetail.network.plain import network_result
from dovetail.shrink.channels import ChannelGraph, Widths
from dovetail.shrink.depth import CHANGES, NEEDED, network_graph
from dovetail.shrink.discover import OUTPUT
from dovetail.shrink.finalists import (
    Accuracy,
    Start,
    Training,
    kept_in,
    means_of,
    original_of,
    tested,
    train_and_choose,
    training_of,
)
from dovetail.shrink.layers import NetworkShapes, network_shapes
from dovetail.shrink.oracle import CostOracle, PassCost
from dovetail.shrink.saved import describe, save_shrunk
from dovetail.shrink.searches import BUDGET, MAGNITUDE, Task, search_named
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
from dovetail.table import Cell, Table, headed
from dovetail.text import printable
from dovetail.workload.describe import unknown_text
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: A network of less than this share of what its target allows deserves a word.
_LITTLE = 0.5
#: Layers that one note names.
_MANY = 6
#: How the supernet is trained on from the network as given.
SUPERNET = replace(FINE_TUNE, name="supernet", epochs=6, learning_rate=0.1, rest_learning_rate=0.03)


def supernet_recipe(recipe: Recipe, epochs: int | None = None) -> Recipe:
    """Return how a supernet is trained whose networks a recipe trains on: `SUPERNET`, by the recipe's optimizer.

    Muon's and SGD's rates for convolutions undo a transformer: a recipe that names another optimizer has its own.

    Args:
        recipe: of the finalists.
        epochs: instead of `SUPERNET`'s.
    """
    found = SUPERNET if epochs is None else replace(SUPERNET, epochs=epochs)
    if recipe.optimizer == SUPERNET.optimizer:
        return found
    return replace(
        found,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        rest_learning_rate=recipe.rest_learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


@dataclass(frozen=True)
class Request:
    """What to shrink, for what, and how.

    Attributes:
        model: what makes the network.
        weights: its trained weights by name; None: it is trained first, by the recipe.
        data: what it is for.
        targets: at most so much of one metric.
        out: folder of the run.
        method: of `dovetail.shrink.searches.SEARCHES`, or `MAGNITUDE` for `dovetail.shrink.pruning.prune`.
        recipe: how finalists (and an untrained original) are trained.
        supernet: how the supernet is trained.
        seeds: under how many each chosen network is trained.
        seed: of search and supernet.
        knobs: what the search may turn, of `dovetail.shrink.target.KNOBS`; None: whatever the network has.
        budget: networks that the search may measure.
        finalists: networks trained per target to choose from.
        scratch: train finalists from weights drawn anew, instead of the supernet's.
        reference: also train the original likewise, to compare with.
        batch: images that the design runs at once.
        execution: where torch runs.
        processes: trainings at a time.
    """

    model: ModelSpec
    weights: Mapping[str, Any] | None
    data: DataRequest
    targets: tuple[Target, ...]
    out: Path
    method: str = "supernet"
    recipe: Recipe = MODERN
    supernet: Recipe = SUPERNET
    seeds: int = 1
    seed: int = 0
    knobs: tuple[str, ...] | None = None
    budget: int = BUDGET
    finalists: int = 2
    scratch: bool = False
    reference: bool = True
    batch: int = 1
    execution: Execution = field(default_factory=Execution)
    processes: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "budget", "finalists", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.seeds > MAX_SEEDS:
            raise InputError(f"seeds is {self.seeds}; it must be at most {MAX_SEEDS}")
        if not self.targets:
            raise InputError("no target: write edp=0.3x, energy=120, front, ...")
        if self.method != MAGNITUDE:
            search_named(self.method)
        elif self.knobs is not None:
            raise InputError(f"knobs are what a search of channels and blocks turns; method {MAGNITUDE} has none")


@dataclass(frozen=True)
class Outcome:
    """One network with its cost and accuracy.

    Attributes:
        name: what to call it.
        target: what it was made for; None for the original.
        widths: channels of every group, and whether each block stays.
        figures: cost of one pass.
        cost: every layer's mapping and cost.
        accuracy: trained by the recipe, under each seed; None when it was not.
        folder: that `load_shrunk` reads; None for the original.
        exported: the network as files that need no Dovetail; None for the original.
    """

    name: str
    target: Target | None
    widths: Widths
    figures: PassCost
    cost: NetworkCost = field(repr=False)
    accuracy: Accuracy | None
    folder: Path | None
    exported: Exported | None = None

    def to_json(self, graph: ChannelGraph) -> dict[str, Any]:
        """Return plain data; its sizes are those of a graph."""
        return {
            "network": self.name,
            "target": None if self.target is None else str(self.target),
            **sizes_json(graph, self.widths),
            **asdict(self.figures),
            "edp_J_cycle": self.figures.edp_J_cycle,
            "exact": self.cost.exact,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "folder": None if self.folder is None else str(self.folder),
            "files": {} if self.exported is None else self.exported.to_json(),
        }


@dataclass(frozen=True)
class ShrinkResult:
    """What a run came to.

    Attributes:
        request: what was asked for.
        graph: channel groups.
        original: the network as given; its accuracy is that of training it likewise, if that was asked for.
        as_given: accuracy on validation images of the weights that the run started from.
        networks: one per target, loosest first.
        measured: widths that the search measured in the supernet.
        space: the widths that the design likes.
    """

    request: Request
    graph: ChannelGraph
    original: Outcome
    as_given: Measurement
    networks: tuple[Outcome, ...]
    measured: Mapping[Widths, Measurement] = field(repr=False)
    space: SearchSpace = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.request.model.label,
            "design": self.original.cost.architecture.name,
            "data": self.request.data.name,
            "method": self.request.method,
            "recipe": self.request.recipe.to_dict(),
            "start": "scratch" if self.request.scratch else "trained",
            "groups": [group.name for group in self.graph.groups],
            "blocks": list(self.graph.blocks),
            "left": dict(self.graph.left),
            "as_given": asdict(self.as_given),
            "unknown": [each.name for each in self.original.cost.network.unknown],
            "notes": list(self.notes()),
            "original": self.original.to_json(self.graph),
            "networks": [each.to_json(self.graph) for each in self.networks],
            "measured": [{**sizes_json(self.graph, widths), **asdict(each)} for widths, each in self.measured.items()],
        }

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of it."""
        yield from unknown_text(self.original.cost.network)
        yield from self.original.cost.network.notes
        yield from _left_text(self.graph)
        for each in self.networks:
            if each.target is not None and (spent := each.target.spent(each.figures, self.original.figures)) < _LITTLE:
                yield (
                    f"{each.name}: its {each.target.metric} is {spent:.2g} of what the target allows; any layer's next "
                    "width that this design likes is beyond it"
                )
            if each.exported is not None:
                yield from (f"{each.name}: {note}" for note in each.exported.notes)

    def table(self) -> Table:
        """Return a row for the original and one per smaller network."""
        columns = (
            "network",
            "EDP J x cycle",
            "EDP share",
            "cycles",
            "energy uJ",
            "MACs",
            "validation",
            "test",
            "widths",
            *(("left out",) if self.graph.blocks else ()),
        )
        count = len(self.graph.groups)
        rows: list[tuple[Cell, ...]] = []
        for one in (self.original, *self.networks):
            figures, measured = one.figures, means_of(one.accuracy)
            share = figures.edp_J_cycle / self.original.figures.edp_J_cycle
            cost = (figures.edp_J_cycle, share, figures.cycles, figures.energy_pJ * 1e-6, figures.macs)
            gone = (" ".join(self.graph.left_out(one.widths)),) if self.graph.blocks else ()
            rows.append((one.name, *cost, *measured, " ".join(map(str, one.widths[:count])), *gone))
        return Table(headed(*columns), tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.request.model.label} on {self.original.cost.architecture.name}")


def sizes_json(graph: ChannelGraph, widths: Widths) -> dict[str, Any]:
    """Return a network's sizes as plain data: channels of every group, blocks that are left out."""
    return {"widths": list(widths[: len(graph.groups)]), "left_out": list(graph.left_out(widths))}


def _left_text(graph: ChannelGraph) -> Iterator[str]:
    """Yield per reason the layers that keep their channels for it; that outputs stay needs no word."""
    by_reason: dict[str, list[str]] = {}
    for path, why in graph.left.items():
        if why != OUTPUT:
            by_reason.setdefault(why, []).append(path)
    for why, paths in by_reason.items():
        what, kind = ("blocks", "blocks") if why in (CHANGES, NEEDED) else ("channels of", "layers")
        more = f" and {len(paths) - _MANY} more {kind}" if len(paths) > _MANY else ""
        yield f"{what} {printable(', '.join(paths[:_MANY]))}{more} stay: {printable(why)}"


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
    with checkpoint.sole_writer(request.out), request.execution.applied():
        run = _Run(request, oracle, report)
        run.graph  # noqa: B018  says now if there is nothing to turn
        run.check_start()
        task = run.task()
        found = search_named(request.method)(task)
        starts = {widths: run.start(widths) for finalists in found.values() for widths in finalists}
        training = run.training
        chosen, runs = train_and_choose(training, found, starts, report)
        reference = run.reference()
        networks = tuple(run.outcome(target, chosen[target], runs[chosen[target]]) for target in request.targets)
        result = ShrinkResult(request, run.graph, reference, run.as_given, networks, dict(task.measured), run.space)
        checkpoint.write_json(request.out / f"result-{request.method}.json", json_document("shrink", result.to_json()))
    return result


class _Run:
    """The parts of a run, each made once, when it is needed."""

    def __init__(self, request: Request, oracle: CostOracle, report: Report) -> None:
        self.request, self.oracle, self.report = request, oracle, report
        self.data: DataSet = request.recipe.prepare(request.data.load(report))
        self.shape = (1, *self.data.shape)
        self.classes = len(self.data.classes)

    @cached_property
    def model(self) -> Any:
        """The trained network."""
        return original_of(self.request.model, self.request.weights, self.training, self.report)

    @cached_property
    def graph(self) -> ChannelGraph:
        """Its channel groups and blocks, which need no trained weights: what can't shrink is not trained first."""
        return network_graph(self.request.model(), self.shape, self.request.knobs)

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
        """The widths that the design likes."""
        return search_space(self.shapes, self.oracle)

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
        options = [knob.options for knob in self.space.knobs]
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
            request.seed, self.report,
        )  # fmt: skip

    def measure(self, widths: Widths) -> Measurement:
        """Measure the network at some widths in the supernet, unless that is on disk."""
        file = self.request.out / "measured" / self.supernet_key / f"{content_key(widths)[:20]}.json"
        if (known := checkpoint.read_figures(file, "loss", "accuracy")) is not None:
            return Measurement(*known)
        network = renewed(cut(self.supernet, self.graph, self.order, widths), self.data, self.request.execution)
        found = measure(network, self.data.validation, self.classes, self.request.execution)
        checkpoint.write_json(file, asdict(found))
        return found

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
            network = cut(self.model if scratch else self.supernet, self.graph, self.order, widths)
            if not scratch:
                network = renewed(network, self.data, self.request.execution).cpu()
            kept = self.graph.kept(widths, self.order)
            shrunk = describe(name, self.request.model, self.model, self.graph, kept, {"widths": list(widths)})
            save_shrunk(folder, shrunk, network.state_dict())
        return Start(folder, scratch, name)

    def reference(self) -> Outcome:
        """Return the original, trained likewise if that was asked for."""
        widths = self.graph.widths
        accuracy = None
        if self.request.reference:
            start: Any = self.request.model if self.request.scratch else self.start(widths)
            _, runs = train_and_choose(self.training, {None: [widths]}, {widths: start}, self.report)
            accuracy = tested(partial(kept_in, self.model), runs[widths], self.data, self.request.execution)
        cost = self.oracle.network_cost(self.shapes, widths)
        return Outcome(self.request.model.label, None, widths, self.original, cost, accuracy, None)

    def outcome(self, target: Target, widths: Widths, runs: list[Any]) -> Outcome:
        """Measure a chosen network on the test images, and write it down with its weights, cost and mappings."""
        kept = self.graph.kept(widths, self.order)
        network = cut(self.model, self.graph, self.order, widths)
        accuracy = tested(partial(kept_in, network), runs, self.data, self.request.execution)
        name = f"{self.request.model.label} at {target}"
        cost = self.oracle.mapped(trace(network, (self.request.batch, *self.data.shape), name=name))
        figures = self.oracle.figures(self.shapes, widths)
        folder = self.request.out / f"{self.request.method}-{str(target).replace('=', '-')}"
        best = max(accuracy.validation, key=lambda seed: (accuracy.validation[seed], -seed))
        facts = {
            "target": str(target),
            "method": self.request.method,
            "data": self.request.data.name,
            "images": {"mean": list(self.data.train.mean), "std": list(self.data.train.std), "shape": self.shape},
            "seed": best,
            "accuracy": accuracy.to_json(),
            "cost": network_result(cost),
        }
        shrunk = describe(name, self.request.model, self.model, self.graph, kept, facts)
        save_shrunk(folder, shrunk, checkpoint.load_weights(accuracy.checkpoints[best]))
        trained = kept_in(network, accuracy.checkpoints[best]).eval().cpu()
        exported = export_network(trained, (self.request.batch, *self.data.shape), folder, name)
        return Outcome(shrunk.name, target, widths, figures, cost, accuracy, folder, exported)

    def _watch(self, words: str) -> Callable[[Any], None]:
        return lambda event: self.report(event.step, event.steps, words)
