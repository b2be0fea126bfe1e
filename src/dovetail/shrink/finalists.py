"""Finalists: smaller networks trained by one recipe, chosen on validation images, measured once on test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from dovetail.accuracy import checkpoint
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.evaluation import evaluate
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, with_weights
from dovetail.accuracy.quantised import calm_scales
from dovetail.accuracy.recipe import Recipe
from dovetail.accuracy.runs import DataRequest, Report, RunRequest, run_all
from dovetail.accuracy.training import TrainingResult, train
from dovetail.content import content_key
from dovetail.shrink.channels import Widths
from dovetail.shrink.prune import assign, resized
from dovetail.shrink.saved import load_shrunk, read_shrunk


@dataclass(frozen=True)
class Start:
    """What a finalist's training starts from; made by calling it, also in another process.

    Attributes:
        folder: that describes the smaller network and holds its weights.
        scratch: draw weights anew instead of taking those.
        name: of the network.
    """

    folder: Path
    scratch: bool
    name: str

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    def __call__(self) -> Any:
        """Make the network."""
        shrunk = read_shrunk(self.folder)
        if self.scratch:
            return shrunk()
        # the description is our own and the network's name the user's: importing it is what the user asked for
        network = load_shrunk(self.folder, shrunk.model.name if ":" in shrunk.model.name else None)
        calm_scales(network)
        return network


@dataclass(frozen=True)
class Training:
    """How all finalists are trained.

    Attributes:
        data: what on.
        recipe: how.
        seeds: under which.
        scratch: whether from weights drawn anew.
        out: folder of all runs.
        execution: where.
        processes: runs at a time; None: one per core, one on a GPU.
    """

    data: DataRequest
    recipe: Recipe
    seeds: tuple[int, ...]
    scratch: bool
    out: Path
    execution: Execution
    processes: int | None = None

    def request(self, start: Any, seed: int) -> RunRequest:
        """Return one run; the test images are left alone."""
        return RunRequest(start, self.data, self.recipe, seed, self.out, self.execution, test=False)


@dataclass(frozen=True)
class Accuracy:
    """One network under several seeds.

    Attributes:
        validation: by seed, 0 to 1.
        test: by seed, 0 to 1; measured after all choices.
        parameters: trainable weights.
        checkpoints: by seed, the file of the kept weights.
    """

    validation: Mapping[int, float]
    test: Mapping[int, float]
    parameters: int
    checkpoints: Mapping[int, Path]

    @property
    def best(self) -> Path:
        """The file of the seed that is best on validation images, the first of equals."""
        return self.checkpoints[max(self.validation, key=lambda seed: (self.validation[seed], -seed))]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "parameters": self.parameters,
            "validation": {str(seed): value for seed, value in self.validation.items()},
            "test": {str(seed): value for seed, value in self.test.items()},
        }


class Trained(Protocol):
    """What requests of runs say of training."""

    @property
    def data(self) -> DataRequest:
        """What on."""

    @property
    def recipe(self) -> Recipe:
        """How."""

    @property
    def seed(self) -> int:
        """The first seed."""

    @property
    def seeds(self) -> int:
        """How many there are."""

    @property
    def out(self) -> Path:
        """Folder of the run."""

    @property
    def execution(self) -> Execution:
        """Where."""

    @property
    def processes(self) -> int | None:
        """Runs at a time."""


def training_of(request: Trained, *, scratch: bool = False) -> Training:
    """Return how the finalists of a request are trained, each recipe and data in a folder of its own."""
    seeds = tuple(range(request.seed, request.seed + request.seeds))
    folder = request.out / "runs" / content_key(request.recipe.to_dict(), request.data)[:8]
    return Training(request.data, request.recipe, seeds, scratch, folder, request.execution, request.processes)


def original_of(spec: ModelSpec, weights: Mapping[str, Any] | None, training: Training, report: Report) -> Any:
    """Return the network that a run starts from, with its weights; where it has none, trained first likewise."""
    if weights is not None:
        return with_weights(spec, weights)
    first = training.request(spec, training.seeds[0])
    result = train(
        first.model, first.data.load(check=False), first.recipe, seed=first.seed, out=first.folder,
        execution=first.execution, test=False,
        observers=[lambda event: report(event.step, event.steps, "training the original")],
    )  # fmt: skip
    return result.model.cpu()


def train_and_choose(
    training: Training, found: Mapping[Any, Sequence[Widths]], starts: Mapping[Widths, Any], report: Report
) -> tuple[dict[Any, Widths], dict[Widths, list[TrainingResult]]]:
    """Train every finalist under the first seed, choose per target on validation images, train the chosen on.

    Of equals the widest is chosen.

    Args:
        training: how.
        found: widths per target, best first.
        starts: per widths what its training starts from.
        report: told how it stands.

    Returns:
        The chosen widths per target, and the runs of every chosen network in the order of the seeds.
    """
    first = training.seeds[0]
    tried = list(dict.fromkeys(widths for finalists in found.values() for widths in finalists))
    contested = {widths for finalists in found.values() if len(finalists) > 1 for widths in finalists}
    runs = _run(training, [(widths, first) for widths in tried if widths in contested], starts, report)
    chosen = {
        target: finalists[0]
        if len(finalists) == 1
        else max(finalists, key=lambda widths: (runs[widths, first].validation, sum(widths), -finalists.index(widths)))
        for target, finalists in found.items()
    }
    kept = list(dict.fromkeys(chosen.values()))
    left = [(widths, seed) for seed in training.seeds for widths in kept if (widths, seed) not in runs]
    runs |= _run(training, left, starts, report)
    return chosen, {widths: [runs[widths, seed] for seed in training.seeds] for widths in kept}


def _run(
    training: Training, pairs: Sequence[tuple[Widths, int]], starts: Mapping[Widths, Any], report: Report
) -> dict[tuple[Widths, int], TrainingResult]:
    largest_first = sorted(pairs, key=lambda pair: (-sum(pair[0]), pair))
    requests = [training.request(starts[widths], seed) for widths, seed in largest_first]
    results = run_all(requests, training.processes, report) if requests else []
    return dict(zip(largest_first, results, strict=True))


def tested(
    network: Callable[[Path], Any], runs: Sequence[TrainingResult], data: DataSet, execution: Execution
) -> Accuracy:
    """Measure the kept networks of finished runs on the test images; each run's measurement is kept beside it.

    Args:
        network: returns the network that a run's checkpoint keeps.
        runs: of one network, one per seed.
        data: as the runs saw it.
        execution: where.
    """
    test: dict[int, float] = {}
    for run in runs:
        assert run.checkpoint is not None
        kept = run.checkpoint.with_name("test.json")
        known = checkpoint.read_figures(kept, "test")
        if known is None:
            known = [evaluate(network(run.checkpoint), run.recipe.prepare(data).test, execution=execution)]
            checkpoint.write_json(kept, {"test": known[0]})
        test[run.seed] = known[0]
    checkpoints = {run.seed: run.checkpoint for run in runs if run.checkpoint is not None}
    return Accuracy({run.seed: run.validation for run in runs}, test, runs[0].parameters, checkpoints)


def means_of(accuracy: Accuracy | None) -> tuple[float | None, float | None]:
    """Return the mean over seeds on validation and on test images."""
    if accuracy is None:
        return None, None
    return fmean(accuracy.validation.values()), fmean(accuracy.test.values())


def kept_in(model: Any, file: Path) -> Any:
    """Return a network of the model's layers, whose weights may be anything, with those that a checkpoint keeps."""
    return with_kept(model, checkpoint.load_weights(file), file)


def with_kept(model: Any, weights: dict[str, Any], file: Path) -> Any:
    """Return a network of the model's layers with these weights; an InputError names the file if they don't fit."""
    own = resized(model, {})
    checkpoint.check_weights(own, weights, file)
    assign(own, weights)
    return own
