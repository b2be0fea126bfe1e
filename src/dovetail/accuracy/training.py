"""Training: fits weights by a recipe, chooses the epoch on validation images, measures once on test images.

A run is a function of its arguments alone. Whatever is drawn at random is drawn anew from (seed, epoch) or (seed,
step), never from a generator that runs on, so a run that was killed goes on from its last checkpoint to the same
numbers, bit for bit.

    >>> data = load_data("cluttered-digits")                                            # doctest: +SKIP
    >>> result = train(model_spec("five-layer", data, width=8), data, MODERN, seed=0)   # doctest: +SKIP
    >>> result.validation, result.test                                                  # doctest: +SKIP
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dovetail.accuracy import checkpoint
from dovetail.accuracy.confusion import Confusion, confusion
from dovetail.accuracy.data import Augmentation, DataSet, Order
from dovetail.accuracy.evaluation import class_outputs, evaluate
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec, parameters
from dovetail.accuracy.quantised import QuantisedSpec, integers
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, Recipe, optimizers
from dovetail.accuracy.regularise import averaged, changed, softened_loss
from dovetail.accuracy.started import StartedSpec
from dovetail.errors import DovetailError, InputError
from dovetail.table import Table, headed
from dovetail.text import first_line
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("training")

#: Makes a network; called once, under the run's seed. A `ModelSpec` is one.
ModelFactory = Callable[[], Any]

#: From (network, images, labels) to the loss, a scalar; for distillation and the like.
Loss = Callable[[Any, Any, Any], Any]


#: Networks that checkpoints describe.
_DESCRIBED = (ModelSpec, StartedSpec, QuantisedSpec)

#: What a checkpoint to continue from must hold.
_LAST = {
    "run": dict,
    "step": int,
    "weights": dict,
    "optimizers": list,
    "scaler": dict,
    "loss_sum": torch.Tensor,
    "history": list,
    "best": dict,
    "seconds": float,
}


class DivergedError(DovetailError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: counted from 1.
        loss: mean over its steps.
        learning_rate: of the last step, of the first optimizer.
        validation: accuracy on the validation part, 0 to 1.
    """

    number: int
    loss: float
    learning_rate: float
    validation: float


@dataclass(frozen=True)
class Event:
    """Where a run stands: sent to observers after every step, and with ``epoch`` set after every epoch.

    Attributes:
        step: steps done.
        steps: steps in all.
        epoch: the epoch just finished, or None.
    """

    step: int
    steps: int
    epoch: Epoch | None = None


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        model_name: the network.
        data_name: the data set.
        recipe: as it was run.
        seed: as it was run.
        parameters: trainable weights.
        epochs: one entry per epoch.
        chosen_epoch: the one with the best validation accuracy (the latest of equals), whose weights are kept.
        validation: accuracy of the kept weights on the validation part, 0 to 1.
        test: the same on the test part; None when it was not asked for.
        confusion: what the images of the test part were taken for; None likewise.
        seconds: spent training and validating; the one field that is not reproducible.
        model: the network with the kept weights, on the device it was trained on, in evaluation mode.
        checkpoint: file of the kept weights, if a folder was given.
    """

    model_name: str
    data_name: str
    recipe: Recipe
    seed: int
    parameters: int
    epochs: tuple[Epoch, ...]
    chosen_epoch: int
    validation: float
    test: float | None
    seconds: float
    model: Any = field(default=None, repr=False, compare=False)
    checkpoint: Path | None = None
    confusion: Confusion | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the network as plain values."""
        apart = ("model", "model_name", "data_name", "recipe", "epochs", "confusion")
        plain = {name: value for name, value in vars(self).items() if name not in apart}
        return (
            {"network": self.model_name, "data": self.data_name}
            | plain
            | {
                "recipe": self.recipe.to_dict(),
                "epochs": [asdict(epoch) for epoch in self.epochs],
                "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            }
            | ({} if self.confusion is None else self.confusion.to_json())
        )

    def table(self) -> Table:
        """Return a row per epoch; accuracies are on the validation part."""
        rows = [(one.number, one.loss, one.learning_rate, one.validation) for one in self.epochs]
        return Table(headed("epoch", "loss", "learning rate", "validation"), tuple(rows))

    def _repr_html_(self) -> str:
        test = "" if self.test is None else f", {self.test:.2%} on test images"
        kept = f"epoch {self.chosen_epoch} kept: {self.validation:.2%} on validation images{test}"
        return self.table().html(f"{self.model_name} on {self.data_name}, seed {self.seed}; {kept}")


def train(
    model_factory: ModelFactory,
    data: DataSet,
    recipe: Recipe = MODERN,
    *,
    seed: int = 0,
    out: Path | None = None,
    execution: Execution | None = None,
    loss: Loss | None = None,
    observers: Iterable[Callable[[Event], None]] = (),
    test: bool = True,
    name: str | None = None,
) -> TrainingResult:
    """Train one network from the weights that its factory gives it.

    Args:
        model_factory: makes the network; torch's generator is seeded with ``seed`` before.
        data: trained on ``train``, the epoch chosen on ``validation``, reported on ``test``.
        recipe: how.
        seed: of initial weights, order, augmentation and dropout. Runs of different networks under one seed see the
            same images in the same order, so they can be compared in pairs.
        out: folder for ``last.pt`` (to go on from after an interruption) and ``best.pt`` (the kept weights). If it
            holds an interrupted run with the same settings, that run is continued.
        execution: where; by default on the GPU if there is one.
        loss: instead of the cross entropy. Where it has a true attribute ``slices``, it trains slices of the network,
            of other channels and kernels (`Execution.training_format`).
        observers: called after every step and epoch.
        test: whether to measure on the test part. Leave it False until there is nothing left to choose.
        name: of the network in results; by default the factory's own.

    Raises:
        InputError: when network and data don't fit, or ``out`` holds a run with other settings.
        DivergedError: when the loss stops being a number.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be at least 0")
    execution = execution or Execution()
    with execution.applied(), nullcontext() if out is None else checkpoint.sole_writer(out):
        run = _Run(model_factory, recipe.prepare(data), recipe, seed, out, execution, loss, tuple(observers))
        run.label = name or _name_of(model_factory)
        run.start()
        while run.step < run.steps and not run.is_stale():
            run.epoch()
        return run.finish(test)


def fine_tune(model: Any, data: DataSet, recipe: Recipe = FINE_TUNE, **options: Any) -> TrainingResult:
    """Train a copy of a network on from the weights it has; the network given stays as it is.

    Args:
        model: to start from.
        data: as for `train`.
        recipe: by default three epochs at a third of the pace.
        **options: those of `train`: ``seed``, ``out``, ``execution``, ``loss``, ``observers``, ``test``, ``name``.

    Raises:
        InputError: as `train` does.
        DivergedError: as `train` does.
    """
    options.setdefault("name", type(model).__name__)
    return train(lambda: copy.deepcopy(model), data, recipe, **options)


def _name_of(factory: ModelFactory) -> str:
    return factory.label if isinstance(factory, _DESCRIBED) else getattr(factory, "__name__", type(factory).__name__)


class _Run:
    """The state of one run, between its checkpoints."""

    def __init__(
        self,
        factory: ModelFactory,
        data: DataSet,
        recipe: Recipe,
        seed: int,
        out: Path | None,
        execution: Execution,
        loss: Loss | None,
        observers: tuple[Callable[[Event], None], ...],
    ) -> None:
        self.factory, self.data, self.recipe, self.seed, self.out = factory, data, recipe, seed, out
        self.execution, self.loss, self.observers = execution, loss or self._cross_entropy, observers
        self.device, self.sliced = execution.torch_device, getattr(loss, "slices", False)
        self.label = ""
        self.steps_per_epoch = recipe.steps_per_epoch(len(data.train))
        self.steps = recipe.epochs * self.steps_per_epoch
        self.step = 0
        self.history: list[Epoch] = []
        self.loss_sum = torch.zeros((), device=self.device)
        self.best: dict[str, Any] = {}
        self.mean: dict[str, Any] | None = None
        self.seconds, self.since, self.saved = 0.0, 0.0, 0.0

    def start(self) -> None:
        """Make the network and its optimizers, as new or as the last checkpoint has them."""
        torch.manual_seed(self.seed)
        model = self.factory()
        self.layout = self.execution.training_format(model, sliced=self.sliced)
        self.model = model.to(self.device, memory_format=self.layout)
        self.optimizers = optimizers(self.model, self.recipe)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.scaler = self.execution.scaler()
        last = None if self.out is None else self.out / "last.pt"
        if last is not None and last.exists():
            self._restore(last)
        self.since = self.saved = time.monotonic()  # making the network and loading torch's parts is not training

    def epoch(self) -> None:
        """Go to the end of the epoch that the run is in, and validate."""
        number, done = divmod(self.step, self.steps_per_epoch)
        augmentation = Augmentation(self.recipe.shift, self.recipe.mirror and self.data.mirror, self.seed, number)
        self.model.train()
        orders = self._orders(number)[done:]
        for images, labels in self.data.train.batches(orders, self.device, augmentation):
            self._move(images.contiguous(memory_format=self.layout), labels, number)
            self._tell(None)
            due = time.monotonic() - self.saved >= self.execution.checkpoint_seconds
            if due and self.step % self.steps_per_epoch:  # at its end an epoch is saved validated, or not at all
                self._save()
        self._close_epoch(number)
        self._save()
        self._tell(self.history[-1])

    def is_stale(self) -> bool:
        """Whether the recipe's patience is at its end: so many epochs since the best."""
        whole = self.step % self.steps_per_epoch == 0 and bool(self.history)
        patience = self.recipe.patience
        return patience > 0 and whole and len(self.history) - _best_of(self.history).number >= patience

    def finish(self, test: bool) -> TrainingResult:
        """Put the best epoch's weights back, write them, and measure them on the test part if asked."""
        checkpoint.apply_weights(self.model, self.best)
        self.model.eval()
        chosen = _best_of(self.history)
        file = None if self.out is None else self.out / "best.pt"
        if file is not None:
            kept = {"weights": self.best, "validation": chosen.validation}
            kept |= {"integers": whole} if (whole := integers(self.model)) else {}
            checkpoint.save(file, self._description() | kept)
        tested = confusion(self.model, self.data.test, self.data.classes, execution=self.execution) if test else None
        return TrainingResult(
            model_name=self.label,
            data_name=self.data.name,
            recipe=self.recipe,
            seed=self.seed,
            parameters=parameters(self.model),
            epochs=tuple(self.history),
            chosen_epoch=chosen.number,
            validation=chosen.validation,
            test=None if tested is None else tested.accuracy,
            seconds=self._seconds(),
            model=self.model,
            checkpoint=file,
            confusion=tested,
        )

    def _move(self, images: Any, labels: Any, epoch: int) -> None:
        """Take one optimizer step."""
        # dropout and the like draw from torch's own generator
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.step]).generate_state(1, np.uint64)[0] >> 1))
        factor = self.recipe.factor(self.step, self.steps, epoch)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        with self.execution.autocast():
            loss = self.loss(self.model, images, labels)
        self.model.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        self.loss_sum += loss.detach()
        self.step += 1
        if self.recipe.mean_weights:
            self.mean = averaged(self.mean, self.model.state_dict(), self.recipe.mean_weights, self.step)

    def _cross_entropy(self, model: Any, images: Any, labels: Any) -> Any:
        images, labels, others, share = changed(images, labels, self.recipe, self.seed, self.step)
        outputs = class_outputs(model, images, len(self.data.classes))
        return softened_loss(outputs.float(), labels, others, share, self.recipe.label_smoothing)

    def _close_epoch(self, number: int) -> None:
        """Validate, and keep the weights if none before were better."""
        mean_loss = float(self.loss_sum) / self.steps_per_epoch
        if not np.isfinite(mean_loss):
            raise DivergedError(
                f"{self.label}, seed {self.seed}: the loss is {mean_loss} in epoch {number + 1}; "
                f"lower the learning rate (now {self.recipe.learning_rate})"
            )
        own = None if self.mean is None else _copied(self.model.state_dict())
        if self.mean is not None:
            checkpoint.apply_weights(self.model, self.mean)
        validation = evaluate(self.model, self.data.validation, execution=self.execution)
        rate = self.optimizers[0].param_groups[0]["lr"]
        self.history.append(Epoch(number + 1, mean_loss, rate, validation))
        self.loss_sum.zero_()
        if _best_of(self.history) is self.history[-1]:
            self.best = _copied(self.model.state_dict())
        if own is not None:
            checkpoint.apply_weights(self.model, own)

    def _orders(self, epoch: int) -> list[Order]:
        """Return the rows of each batch of an epoch."""
        count, size = len(self.data.train), self.recipe.batch_size
        shuffled = np.random.RandomState([self.seed & 0xFFFFFFFF, epoch, 0x5EED]).permutation(count)
        return [shuffled[size * i : size * (i + 1)] for i in range(self.steps_per_epoch)]

    def _tell(self, epoch: Epoch | None) -> None:
        for observer in self.observers:
            observer(Event(self.step, self.steps, epoch))

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self.since

    def _description(self) -> dict[str, Any]:
        """What a reader of the weights needs to use them, and what a continued run must have in common."""
        return {
            **(self.factory.description() if isinstance(self.factory, _DESCRIBED) else {"model": None}),
            "model_name": self.label,
            "data": self.data.name,
            "images": [len(self.data.train), len(self.data.validation), len(self.data.test)],
            "classes": list(self.data.classes),
            "mean": list(self.data.train.mean),
            "std": list(self.data.train.std),
            "recipe": self.recipe.to_dict(),
            "seed": self.seed,
            "parameters": parameters(self.model),
            "device": self.device.type,
            "precision": self.execution.mixed,
            "threads": self.execution.threads,
        }

    def _save(self) -> None:
        if self.out is None:
            return
        content = {
            "run": self._description(),
            "step": self.step,
            "weights": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scaler": self.scaler.state_dict(),
            "loss_sum": self.loss_sum,
            "history": [asdict(epoch) for epoch in self.history],
            "best": self.best,
            "seconds": self._seconds(),
            **({} if self.mean is None else {"mean": self.mean}),
        }
        checkpoint.save(self.out / "last.pt", content)
        self.saved = time.monotonic()

    def _restore(self, last: Path) -> None:
        content = checkpoint.load(last, self.device, _LAST)
        _check_same(content["run"], self._description(), last)
        self.step, self.seconds, self.best = content["step"], content["seconds"], content["best"]
        try:
            self.history = [_epoch(epoch) for epoch in content["history"]]
            if len(self.history) != self.step // self.steps_per_epoch or not 0 <= self.step <= self.steps:
                raise ValueError(f"step {self.step} after {len(self.history)} epochs")
            for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
                _restore_optimizer(optimizer, state)
            self.scaler.load_state_dict(content["scaler"])
            if content["loss_sum"].shape != () or not math.isfinite(self.seconds):
                raise ValueError("a sum of losses or a time that is none")
            self.loss_sum += content["loss_sum"]
        except Exception as error:  # torch's own readers raise whatever they meet
            reason = first_line(error)[:200]
            message = f"damaged ({type(error).__name__}: {reason}); delete it to start anew"
            raise InputError(message, file=last) from None
        if self.history:  # checks the best weights; the current ones follow
            checkpoint.apply_weights(self.model, self.best, last)
        if self.recipe.mean_weights and self.step:
            if not isinstance(content.get("mean"), dict):
                raise InputError("holds no mean of the weights; delete it to start anew", file=last)
            checkpoint.apply_weights(self.model, content["mean"], last)
            self.mean = _copied(self.model.state_dict())
        checkpoint.apply_weights(self.model, content["weights"], last)


def _copied(weights: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _epoch(fields: dict[str, Any]) -> Epoch:
    """Return an epoch as a checkpoint has it; raises TypeError and the like when it is none."""
    epoch = Epoch(**fields)
    figures = (epoch.loss, epoch.learning_rate, epoch.validation)
    if type(epoch.number) is not int or not all(type(each) is float and math.isfinite(each) for each in figures):
        raise ValueError(f"no epoch is {str(fields)[:80]}")
    return epoch


def _restore_optimizer(optimizer: Any, saved: Any) -> None:
    """Give an optimizer its state back; its settings are the recipe's, whatever a file says.

    Raises:
        ValueError: when what is remembered of a weight has not the weight's shape; and whatever torch raises.
    """
    if not isinstance(saved, dict):
        raise ValueError(f"the state of an optimizer is {str(saved)[:40]}")
    optimizer.load_state_dict({"state": saved["state"], "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, remembered in optimizer.state.items():
        for key, value in remembered.items() if isinstance(weight, torch.Tensor) else ():
            fits = isinstance(value, torch.Tensor) and value.shape in ((), weight.shape) and value.is_floating_point()
            if value is not None and not fits:
                raise ValueError(f"'{key}' of a weight of shape {tuple(weight.shape)} is {str(value)[:40]}")


def _best_of(history: list[Epoch]) -> Epoch:
    """Return the epoch with the best validation accuracy, the latest of equals."""
    return max(history, key=lambda epoch: (epoch.validation, epoch.number))


def _check_same(there: dict[str, Any], here: dict[str, Any], file: Path) -> None:
    """Refuse to continue a run that was started with other settings; says which ones differ."""
    flat = [_flat(there), _flat(here)]
    for key in flat[1]:
        there_said = repr(flat[0].get(key))
        if there_said != repr(flat[1][key]):  # whatever stands there: tensors, say, can't be compared
            raise InputError(
                f"this run was started with {key} {str(flat[0].get(key))[:80]}, not {flat[1][key]}; "
                "continue it as it was, or choose another folder",
                file=file,
            )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


__all__ = ["DivergedError", "Epoch", "Event", "Loss", "ModelFactory", "TrainingResult", "fine_tune", "train"]
