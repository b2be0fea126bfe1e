"""A run of magnitude pruning: networks of fewer weights that meet a cost on a design that makes something of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dovetail.accuracy import checkpoint
from dovetail.accuracy.data import DataSet, some_images
from dovetail.accuracy.evaluation import refuse_chance
from dovetail.accuracy.exported import Exported, export_network
from dovetail.accuracy.models import with_weights
from dovetail.accuracy.normalisation import renewed
from dovetail.accuracy.runs import Report, silent
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.json_text import json_document
from dovetail.network.costs import NetworkCost
from dovetail.network.plain import network_result
from dovetail.shrink.finalists import Accuracy, Start, means_of, original_of, tested, train_and_choose, training_of
from dovetail.shrink.magnitude import PrunedStart, prunable, pruned, pruned_in
from dovetail.shrink.methods import pattern_of
from dovetail.shrink.oracle import CostOracle, PassCost
from dovetail.shrink.request import Request
from dovetail.shrink.saved import Shrunk, save_shrunk
from dovetail.shrink.searches import UnreachableError
from dovetail.shrink.supernet import Measurement, measure
from dovetail.shrink.target import METRICS, Target, metric_of
from dovetail.table import Cell, Table, headed
from dovetail.workload.describe import unknown_text
from dovetail.workload.layer_densities import densities_csv
from dovetail.workload.network import Network
from dovetail.workload.torch_densities import measured
from dovetail.workload.torch_trace import trace

#: Shares of weights that may be left, the largest first.
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05)


@dataclass(frozen=True)
class PrunedNetwork:
    """One network with its cost and accuracy.

    Attributes:
        name: what to call it.
        target: what it was made for; None for the original.
        share: of its convolutions' and linear layers' weights that are not zero.
        figures: cost of one pass, zeros counted where they are.
        cost: every layer's mapping and cost; its layers say how dense their tensors are.
        accuracy: trained by the recipe, under each seed; None when it was not.
        folder: that `load_shrunk` reads; None for the original.
        exported: the network as files that need no Dovetail; None for the original.
    """

    name: str
    target: Target | None
    share: float
    figures: PassCost
    cost: NetworkCost = field(repr=False)
    accuracy: Accuracy | None
    folder: Path | None
    exported: Exported | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.name,
            "target": None if self.target is None else str(self.target),
            "weights_share": self.share,
            **asdict(self.figures),
            "edp_J_cycle": self.figures.edp_J_cycle,
            "exact": self.cost.exact,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "densities": {layer.name: _shares(layer.problem) for layer in self.cost.network.layers},
            "folder": None if self.folder is None else str(self.folder),
            "files": {} if self.exported is None else self.exported.to_json(),
        }


def _shares(problem: Any) -> dict[str, float]:
    return {tensor.name: problem.density(tensor.name).share for tensor in problem.shape.tensors}


@dataclass(frozen=True)
class PruneResult:
    """What a run came to.

    Attributes:
        request: what was asked for.
        original: the network as given, its activations' zeros counted; its accuracy is that of training it likewise, if
            that was asked for.
        as_given: accuracy on validation images of the weights that the run started from.
        networks: one per target, loosest first.
    """

    request: Request
    original: PrunedNetwork
    as_given: Measurement
    networks: tuple[PrunedNetwork, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.request.model.label,
            "design": self.original.cost.architecture.name,
            "data": self.request.data.name,
            "method": self.request.method,
            "recipe": self.request.recipe.to_dict(),
            "as_given": asdict(self.as_given),
            "unknown": [each.name for each in self.original.cost.network.unknown],
            "notes": list(self.notes()),
            "original": self.original.to_json(),
            "networks": [each.to_json() for each in self.networks],
        }

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of it."""
        yield from unknown_text(self.original.cost.network)
        yield from self.original.cost.network.notes
        for each in self.networks:
            if each.exported is not None:
                yield from (f"{each.name}: {note}" for note in each.exported.notes)

    def table(self) -> Table:
        """Return a row for the original and one per pruned network."""
        columns = ("network", "weights", "EDP J x cycle", "cycles", "energy uJ", "validation", "test")
        rows: list[tuple[Cell, ...]] = []
        for one in (self.original, *self.networks):
            cost = (one.figures.edp_J_cycle, one.figures.cycles, one.figures.energy_pJ * 1e-6)
            rows.append((one.name, one.share, *cost, *means_of(one.accuracy)))
        return Table(headed(*columns), tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.request.model.label} on {self.original.cost.architecture.name}")


def prune(request: Request, oracle: CostOracle, report: Report = silent) -> PruneResult:
    """Find how many weights may stay for each target, train the rest, and write the networks into the run's folder.

    The share that stays is found by halving among `SHARES`, activations' zeros measured before training; where the
    trained network's are fewer, so that it costs more than the target, the next smaller share is trained.

    Raises:
        InputError: the network, data, targets or the design are wrong: it has to do something about zeros.
        UnreachableError: even the smallest share does not meet a target.
        NoMappingError: a layer cannot be mapped on the design.
    """
    if not oracle.architecture.is_sparse:
        raise InputError(
            f"{oracle.architecture.name} does nothing about zeros, so pruned weights cost there what others do; "
            "give a design with sparse_optimizations, such as sparse_tensor_core"
        )
    if request.targets[0].metric == "macs":
        raise InputError(
            "a target of macs counts zeros, too, so pruning does not lower it: bound edp, energy or cycles"
        )
    if request.scratch:
        raise InputError("--scratch draws weights anew, and which weights are small is known of trained ones only")
    request.execution.torch_device  # noqa: B018  says now if it is not there
    with checkpoint.sole_writer(request.out), request.execution.applied():
        run = _Run(request, oracle, report)
        refuse_chance(request.model.label, run.as_given.accuracy, run.data.validation)
        networks = tuple(run.outcome(target) for target in request.targets)
        result = PruneResult(request, run.reference(), run.as_given, networks)
        checkpoint.write_json(
            request.out / f"result-{_method_of(request)}.json", json_document("pruning", result.to_json())
        )
    return result


def _method_of(request: Request) -> str:
    """Return a request's method as files are named by it."""
    return request.method.replace(":", "-of-")


class _Run:
    """The parts of a run, each made once, when it is needed."""

    def __init__(self, request: Request, oracle: CostOracle, report: Report) -> None:
        self.request, self.oracle, self.report = request, oracle, report
        self.data: DataSet = request.recipe.prepare(request.data.load(report))
        self.classes = len(self.data.classes)
        self.training = training_of(request)
        self.costs: dict[float, PassCost] = {}  # of shares of weights, not trained on
        self.pattern = pattern_of(request.method)
        self.shares = SHARES if self.pattern is None else (self.pattern[0] / self.pattern[1],)

    @cached_property
    def model(self) -> Any:
        """The trained network."""
        return original_of(self.request.model, self.request.weights, self.training, self.report)

    @cached_property
    def network(self) -> Network:
        """Its layers."""
        return trace(self.model, (self.request.batch, *self.data.shape), name=self.request.model.label)

    @cached_property
    def images(self) -> NDArray[Any]:
        """Validation images that activations' zeros are measured on."""
        return some_images(self.data.validation)

    @cached_property
    def as_given(self) -> Measurement:
        """The original's own weights, measured."""
        return measure(self.model, self.data.validation, self.classes, self.request.execution)

    def at(self, share: float) -> Any:
        """Return the network with this share of its weights, not trained on."""
        pattern = self.pattern if share < 1 else None
        state = pruned(self.model.state_dict(), prunable(self.model), share, pattern)
        return with_weights(self.request.model, state)

    def cost(self, model: Any) -> NetworkCost:
        """Return what a network costs with its zeros, measured."""
        return self.oracle.mapped(measured(self.network, model.cpu(), self.images))

    @cached_property
    def original(self) -> NetworkCost:
        """What the network costs as given."""
        return self.cost(self.model)

    def _figures(self, share: float) -> PassCost:
        if share not in self.costs:
            self.report(len(self.costs), len(self.shares), f"mapping with {share:.0%} of the weights")
            self.costs[share] = figures_of(self.cost(self.at(share)))
        return self.costs[share]

    def first(self, target: Target) -> int:
        """Return the place in `shares` of the largest share that meets a target before training.

        Raises:
            UnreachableError: none does.
        """
        limit = target.limit(figures_of(self.original))

        def meets(place: int) -> bool:
            return metric_of(self._figures(self.shares[place]), target.metric) <= limit

        low, high = 0, len(self.shares) - 1
        if not meets(high):
            raise self._unreachable(target, metric_of(self._figures(self.shares[high]), target.metric))
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if meets(middle) else (middle + 1, high)
        return high

    def _unreachable(self, target: Target, least: float) -> UnreachableError:
        share = least / metric_of(figures_of(self.original), target.metric)
        left = f"{self.shares[-1]:.0%}" if self.pattern is None else "{} of every {}".format(*self.pattern)
        return UnreachableError(
            f"{target} is not met: with {left} of its weights {self.request.model.label} costs "
            f"{least:.4g} {METRICS[target.metric]} on {self.oracle.architecture.name}, {share:.3f}x of the original",
            target,
        )

    def start(self, share: float) -> PrunedStart:
        """Write down what the training of a pruned network starts from."""
        state = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        how = () if self.pattern is None else self.pattern
        key = content_key("pruned", share, *how, self.request.model.to_dict(), state, self.request.data)[:12]
        folder = self.request.out / "starts" / key
        name = f"{self.request.model.label.replace(':', '.')}-{key}"
        if not (folder / "network.json").exists():
            network = renewed(self.at(share), self.data, self.request.execution).cpu()
            save_shrunk(
                folder, Shrunk(name, self.request.model, {}, {}, {"weights_share": share}), network.state_dict()
            )
        return PrunedStart(Start(folder, False, name))

    def outcome(self, target: Target) -> PrunedNetwork:
        """Train the network with the largest share of weights that meets a target, trained, and write it down."""
        limit = target.limit(figures_of(self.original))
        least = 0.0
        for share in self.shares[self.first(target) :]:
            accuracy = self.trained(share)
            network = pruned_in(self.model, accuracy.best).eval().cpu()
            cost = self.cost(network)
            least = metric_of(figures_of(cost), target.metric)
            if least <= limit:
                return self.written(target, accuracy, network, cost)
        raise self._unreachable(target, least)

    def trained(self, share: float) -> Accuracy:
        """Return how accurate the network is with a share of its weights, trained on under every seed."""
        key = (round(share * 1000),)
        _, runs = train_and_choose(self.training, {None: [key]}, {key: self.start(share)}, self.report)
        return tested(partial(pruned_in, self.model), runs[key], self.data, self.request.execution)

    def reference(self) -> PrunedNetwork:
        """Return the original, trained likewise if that was asked for."""
        accuracy = self.trained(1.0) if self.request.reference else None
        cost = self.original
        return PrunedNetwork(
            self.request.model.label, None, share_of(self.model), figures_of(cost), cost, accuracy, None
        )

    def written(self, target: Target, accuracy: Accuracy, network: Any, cost: NetworkCost) -> PrunedNetwork:
        """Write a network down with its weights, cost, mappings and where its zeros are."""
        name = f"{self.request.model.label} at {target}"
        cost = replace(cost, network=replace(cost.network, name=name))
        folder = self.request.out / f"{_method_of(self.request)}-{str(target).replace('=', '-')}"
        facts = {
            "target": str(target),
            "method": self.request.method,
            "data": self.request.data.name,
            "images": {
                "mean": list(self.data.train.mean), "std": list(self.data.train.std), "shape": (1, *self.data.shape)
            },
            "weights_share": share_of(network),
            "accuracy": accuracy.to_json(),
            "cost": network_result(cost),
        }  # fmt: skip
        save_shrunk(folder, Shrunk(name, self.request.model, {}, {}, facts), network.state_dict())
        write_text(folder / "densities.csv", densities_csv(cost.network))
        exported = export_network(network, (self.request.batch, *self.data.shape), folder, name)
        own = share_of(network), figures_of(cost), cost
        return PrunedNetwork(name, target, *own, accuracy, folder, exported)


def share_of(model: Any) -> float:
    """Return the share of a network's prunable weights that are not zero."""
    weights = set(prunable(model).values())  # one that several layers share is there once
    left, every = (sum(counts) for counts in zip(*((int(w.count_nonzero()), w.numel()) for w in weights), strict=True))
    return float(left / every)


def figures_of(cost: NetworkCost) -> PassCost:
    """Return a network's cost as targets bound it."""
    return PassCost(cost.energy_pJ, cost.cycles, cost.network.known_macs)
