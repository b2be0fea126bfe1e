"""A whole run: from a trained network to one with few bits in each layer; goes on where it was killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.accuracy import checkpoint
from dovetail.accuracy.bits import MOST_BITS, Plan, make_plan, plan_to_json
from dovetail.accuracy.calibration import Seen, calibrated, observe
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.evaluation import evaluate, refuse_chance
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, with_weights
from dovetail.accuracy.narrowing import of_checkpoint, start
from dovetail.accuracy.quantised import QuantisedSpec, import_brevitas, trainable
from dovetail.accuracy.recipe import MODERN, QUANTISED, Recipe
from dovetail.accuracy.runs import MAX_SEEDS, DataRequest, Report, silent
from dovetail.accuracy.statistics import Interval, paired_difference
from dovetail.accuracy.training import TrainingResult, train
from dovetail.bits.space import TRIED, BitsSpace, alone, bits_space
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.json_text import json_document
from dovetail.shrink.exact import ExactSearch
from dovetail.shrink.finalists import Accuracy, Training, tested, train_and_choose, training_of
from dovetail.shrink.oracle import CostOracle, PassCost
from dovetail.shrink.searches import UnreachableError
from dovetail.shrink.supernet import Measurement, measure
from dovetail.shrink.target import METRICS, Target, metric_of
from dovetail.workload.network import Network
from dovetail.workload.torch_trace import trace
from dovetail.workload.widths import LayerBits, Width

#: What costs of layers add up to, so that the least there is can be told before any loss is measured.
_ADDED_UP = ("energy", "cycles")


@dataclass(frozen=True)
class Request:
    """What to make narrow, for what, and how.

    Attributes:
        model: what makes the network.
        weights: its trained weights by name; None: it is trained first, by the recipe `MODERN`.
        data: what it is for.
        targets: at most so much of one metric.
        out: folder of the run.
        held: widths that are not to be chosen, such as 8 bits in the first layer.
        tried: bits to choose from.
        recipe: how narrow networks are trained on.
        seeds: under how many each chosen network is trained.
        seed: the first of them.
        finalists: networks trained per target to choose from.
        reference: also train the network with 8 bits everywhere, to compare with.
        batch: images that the design runs at once.
        execution: where torch runs.
        processes: trainings at a time.
    """

    model: ModelSpec
    weights: Mapping[str, Any] | None
    data: DataRequest
    targets: tuple[Target, ...]
    out: Path
    held: tuple[LayerBits, ...] = ()
    tried: tuple[int, ...] = TRIED
    recipe: Recipe = QUANTISED
    seeds: int = 1
    seed: int = 0
    finalists: int = 2
    reference: bool = True
    batch: int = 1
    execution: Execution = field(default_factory=Execution)
    processes: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "finalists", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.seeds > MAX_SEEDS:
            raise InputError(f"seeds is {self.seeds}; it must be at most {MAX_SEEDS}")
        if not self.targets:
            raise InputError("no target: write energy=0.5x, cycles=2e6, ...")
        if not self.tried or not all(2 <= bits <= MOST_BITS for bits in self.tried):
            raise InputError(f"bits to choose from are 2 to {MOST_BITS}, found {', '.join(map(str, self.tried))}")


@dataclass(frozen=True)
class Outcome:
    """One network with its cost and accuracy.

    Attributes:
        name: what to call it.
        target: what it was made for; None for the original and for 8 bits everywhere.
        plan: its bits; none of the original.
        figures: cost of one pass.
        accuracy: trained by the recipe, under each seed; None when it was not.
        loss: that the measured sensitivities predict, above the original's; None for the original.
        proven: whether no choice of bits within the target has less of it.
    """

    name: str
    target: Target | None
    plan: Plan
    figures: PassCost
    accuracy: Accuracy | None
    loss: float | None = None
    proven: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.name,
            "target": None if self.target is None else str(self.target),
            "bits": plan_to_json(self.plan),
            **asdict(self.figures),
            "edp_J_cycle": self.figures.edp_J_cycle,
            "predicted_loss": self.loss,
            "proven": self.proven,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "checkpoint": None if self.accuracy is None else str(self.accuracy.best),
        }


@dataclass(frozen=True)
class BitsResult:
    """What a run came to.

    Attributes:
        request: what was asked for.
        space: what could be chosen.
        exact: whether every layer's mapping is proven best.
        original: the network in floating point, its cost at the design's own words.
        as_given: its loss and accuracy on validation images.
        test: its accuracy on test images.
        eight: the network with 8 bits everywhere.
        networks: one per target, loosest first.
        sensitivities: per knob and option, the loss on validation images above the original's.
    """

    request: Request
    space: BitsSpace
    exact: bool
    original: Outcome
    as_given: Measurement
    test: float
    eight: Outcome
    networks: tuple[Outcome, ...]
    sensitivities: tuple[NDArray[np.float64], ...] = field(repr=False)

    def minus_eight(self, network: Outcome) -> Interval | None:
        """Return accuracy on test images less that of 8 bits everywhere, seed by seed; None: one is not trained."""
        if network.accuracy is None or self.eight.accuracy is None:
            return None
        return paired_difference(self.eight.accuracy.test, network.accuracy.test)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        sensitivities = [
            {"layer": knob.path, "tensor": knob.tensor, "bits": bits, "loss": float(loss)}
            for knob, losses in zip(self.space.knobs, self.sensitivities, strict=True)
            for bits, loss in zip(knob.options, losses, strict=True)
        ]
        return {
            "network": self.request.model.label,
            "design": self.space.oracle.architecture.name,
            "data": self.request.data.name,
            "recipe": self.request.recipe.to_dict(),
            "exact": self.exact,
            "as_given": asdict(self.as_given) | {"test": self.test},
            "original": self.original.to_json(),
            "eight_bits": self.eight.to_json(),
            "networks": [
                each.to_json() | {"test_minus_eight_bits": None if found is None else asdict(found)}
                for each in self.networks
                for found in (self.minus_eight(each),)
            ],
            "sensitivities": sensitivities,
            "notes": [],
        }


def choose_bits(request: Request, oracle: CostOracle, report: Report = silent) -> BitsResult:
    """Choose bits for every layer that meet the targets, train the networks, and measure them.

    Whatever is finished (a layer's cost, a sensitivity, an epoch) is on disk under the content that it depends on, so
    the same call goes on after an interruption, to the same result.

    Raises:
        InputError: the network, data or targets are wrong.
        UnreachableError: no choice of bits meets a target.
        NoMappingError: a layer cannot be mapped on the design.
        MissingExtraError: when brevitas is absent.
    """
    import_brevitas("choosing bits")
    request.execution.torch_device  # noqa: B018  says now if it is not there
    with checkpoint.sole_writer(request.out), request.execution.applied():
        run = _Run(request, oracle, report)
        refuse_chance(request.model.label, run.as_given.accuracy, run.data.validation)
        found, losses, proven = run.search()
        specs = {bits: run.start(bits) for finalists in found.values() for bits in finalists}
        chosen, trained = train_and_choose(run.training, found, specs, report)
        outcomes = {
            target: run.outcome(target, bits, trained[bits], specs[bits], losses[bits], proven[target])
            for target, bits in chosen.items()
        }
        original = Outcome(request.model.label, None, (), run.original, None)
        result = BitsResult(
            request, run.space, oracle.exact, original, run.as_given,
            evaluate(run.model, run.data.test, execution=request.execution),
            run.eight(), tuple(outcomes[target] for target in request.targets), run.sensitivities,
        )  # fmt: skip
        checkpoint.write_json(request.out / "result.json", json_document("bits", result.to_json()))
    return result


class _Run:
    """The parts of a run, each made once, when it is needed."""

    def __init__(self, request: Request, oracle: CostOracle, report: Report) -> None:
        self.request, self.oracle, self.report = request, oracle, report
        self.data: DataSet = MODERN.prepare(request.data.load(report))
        self.classes = len(self.data.classes)

    @cached_property
    def model(self) -> Any:
        """The trained network in floating point."""
        request = self.request
        if request.weights is None:
            result = train(
                request.model, self.data, MODERN, seed=request.seed, out=request.out / "original",
                execution=request.execution, test=False,
                observers=[lambda event: self.report(event.step, event.steps, "training the original")],
            )  # fmt: skip
            return result.model.cpu()
        return with_weights(request.model, request.weights)

    @cached_property
    def network(self) -> Network:
        """Its layers."""
        return trace(self.model, (self.request.batch, *self.data.shape), name=self.request.model.label)

    @cached_property
    def full(self) -> Plan:
        """All layers that can be narrow, at 8 bits."""
        return make_plan(self.network, [LayerBits("*", {"*": Width(MOST_BITS)})], trainable(self.model))

    @cached_property
    def space(self) -> BitsSpace:
        """What can be chosen."""
        kept = make_plan(self.network, self.request.held, trainable(self.model)) if self.request.held else ()
        held = {(one.path, "weights"): one.weights for one in kept} | {(one.path, "inputs"): one.inputs for one in kept}
        stated = {key: bits for key, bits in held.items() if bits is not None}
        return bits_space(self.network, self.oracle, self.full, self.request.tried, stated)

    @cached_property
    def original(self) -> PassCost:
        """What the network costs at the design's own words."""
        return self.space.figures(())

    @cached_property
    def as_given(self) -> Measurement:
        """Loss and accuracy of the original on validation images."""
        return measure(self.model, self.data.validation, self.classes, self.request.execution)

    @cached_property
    def seen(self) -> Seen:
        """What its inputs are like."""
        return observe(self.model, [one.path for one in self.full], self.data, self.request.execution)

    @cached_property
    def key(self) -> str:
        """The key of the trained network and its data."""
        state = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        return content_key("bits", self.request.model.to_dict(), state, self.request.data, self.data.shape)[:16]

    @cached_property
    def sensitivities(self) -> tuple[NDArray[np.float64], ...]:
        """Per knob and option what it loses when nothing else is narrow."""
        total, done, found = sum(len(knob.options) for knob in self.space.knobs), 0, []
        for knob in self.space.knobs:
            losses = []
            for bits in knob.options:
                losses.append(self._measured(alone(knob.path, knob.tensor, bits)).loss - self.as_given.loss)
                done += 1
                self.report(done, total, "measuring what each layer's bits are worth")
            found.append(np.array(losses))
        return tuple(found)

    def _measured(self, plan: Plan) -> Measurement:
        """Measure a calibrated network on validation images, unless that is on disk."""
        file = self.request.out / "measured" / self.key / f"{content_key(plan_to_json(plan))[:20]}.json"
        if (known := checkpoint.read_figures(file, "loss", "accuracy")) is not None:
            return Measurement(*known)
        narrow, _ = calibrated(self.model, plan, self.data, self.request.execution, self.seen)
        found = measure(narrow, self.data.validation, self.classes, self.request.execution)
        checkpoint.write_json(file, asdict(found))
        return found

    def search(self) -> tuple[dict[Target, list[tuple[int, ...]]], dict[tuple[int, ...], float], dict[Target, bool]]:
        """Return per target the bits worth training, the best first; what each is predicted to lose; what is proven."""
        search = ExactSearch(self.space, self.request.targets[0].metric)
        if search.metric in _ADDED_UP:  # losses take minutes to measure
            for target in self.request.targets:
                if search.cost(search.cheapest()) > target.limit(self.original):
                    raise self._unreachable(search, target, target.limit(self.original))
        found: dict[Target, list[tuple[int, ...]]] = {}
        proven, losses = {}, {}
        for target in self.request.targets:
            limit = target.limit(self.original)
            best, proven[target] = search.best_within(self.sensitivities, limit)
            if best is None:
                raise self._unreachable(search, target, limit)
            others = search.within(self.sensitivities, limit, count=self.request.finalists)
            choices = list(dict.fromkeys([best, *others]))[: self.request.finalists]
            found[target] = [self.space.bits(choice) for choice in choices]
            for choice in choices:
                own = zip(self.sensitivities, choice, strict=True)
                losses[self.space.bits(choice)] = float(sum(each[option] for each, option in own))
        return found, losses, proven

    def _unreachable(self, search: ExactSearch, target: Target, limit: float) -> UnreachableError:
        cost, metric = search.cost(search.cheapest()), search.metric
        share = cost / metric_of(self.original, metric)
        return UnreachableError(
            f"target {target} ({limit:.4g} {METRICS[metric]}): no choice of bits costs so little; the least is "
            f"{metric}={share:.3g}x ({cost:.4g} {METRICS[metric]})",
            target,
        )

    def plan(self, bits: Sequence[int]) -> Plan:
        """Return the plan of the bits of every knob."""
        return tuple(
            replace(one, weights=bits[2 * place], inputs=bits[2 * place + 1]) for place, one in enumerate(self.full)
        )

    @property
    def training(self) -> Training:
        """How networks are trained on."""
        return training_of(self.request)

    def start(self, bits: tuple[int, ...]) -> QuantisedSpec:
        """Write down what the training of a narrow network starts from."""
        request, folder = self.request, self.request.out / "narrow"
        begun = start(self.model, request.model, self.plan(bits), self.data, folder, request.execution, "")
        return replace(begun.spec, name=f"{request.model.label.replace(':', '.')}-{begun.spec.start.parent.name}")

    def eight(self) -> Outcome:
        """Return the network with 8 bits everywhere, trained on likewise if that was asked for."""
        bits = (MOST_BITS,) * (2 * len(self.full))
        name = f"{MOST_BITS} bits everywhere"
        if not self.request.reference:
            return Outcome(name, None, self.plan(bits), self.space.figures(self.plan(bits)), None)
        spec = self.start(bits)
        _, trained = train_and_choose(self.training, {None: [bits]}, {bits: spec}, self.report)
        return replace(self.outcome(None, bits, trained[bits], spec, None, proven=False), name=name)

    def outcome(
        self, target: Target | None, bits: tuple[int, ...], runs: Sequence[TrainingResult], spec: QuantisedSpec,
        loss: float | None, proven: bool,
    ) -> Outcome:  # fmt: skip
        """Measure a chosen network on the test images."""
        narrow = partial(of_checkpoint, spec.model, spec.plan)
        accuracy = tested(narrow, runs, self.data, self.request.execution)
        figures = self.space.figures(self.plan(bits))
        return Outcome(f"{self.request.model.label} at {target}", target, spec.plan, figures, accuracy, loss, proven)


__all__ = ["BitsResult", "Outcome", "Request", "choose_bits"]
