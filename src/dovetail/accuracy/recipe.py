"""Recipes: how weights are fitted, as plain values, and the optimizers and schedule made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from dovetail.accuracy.data import DataSet
from dovetail.document import Node, parse_document, read_text
from dovetail.errors import InputError, did_you_mean
from dovetail.text import printable
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("training")

from dovetail.accuracy.muon import Muon  # noqa: E402  behind the check that torch is there

#: No training survives a higher learning rate, and torch can't count with the highest numbers that there are.
MAX_RATE = 1e6


#: Fields that recipes have got since runs are kept on disk.
_LATER = ("label_smoothing", "mixup", "cutout", "mean_weights", "patience")


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        name: of the recipe it is, or started from.
        epochs: passes over the training part.
        batch_size: images a step.
        optimizer: ``muon`` (Muon for dense convolutions, SGD with Nesterov's momentum for the rest), ``sgd`` or
            ``adam``.
        learning_rate: the highest, of the optimizer (of Muon's part, for ``muon``).
        rest_learning_rate: the highest, of what Muon leaves to SGD.
        momentum: of Muon or SGD.
        weight_decay: L2 on everything that SGD or Adam trains.
        schedule: ``linear`` rises over ``warm_up`` and falls to 0, step by step; ``cosine`` falls to 0 epoch by epoch.
        warm_up: share of the steps in which a linear schedule rises.
        shift: training images move by up to that many pixels.
        mirror: training images are mirrored at random, on data where a mirrored image keeps its class.
        keep_last: whether an epoch's last, smaller batch is used.
        half_range: normalise each channel with mean and deviation 0.5, instead of as measured.
        stem: what a torchvision network's stem becomes if the user does not say (see `ModelSpec`).
        label_smoothing: share of every label that is spread over all classes.
        mixup: images are mixed in pairs, by shares drawn from Beta(mixup, mixup); 0: they are not (H. Zhang et al.,
            "mixup: Beyond Empirical Risk Minimization", ICLR 2018).
        cutout: rows and columns of a square in every training image that becomes its channel's mean; 0: none
            (T. DeVries and G. Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017).
        mean_weights: what a running mean of the weights keeps of itself at every step; validated, kept and tested are
            those weights. 0: the last ones.
        patience: epochs without better validation after which training ends; 0: it runs to its end.
    """

    name: str
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    rest_learning_rate: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "linear"
    warm_up: float = 0.0
    shift: int = 0
    mirror: bool = True
    keep_last: bool = False
    half_range: bool = False
    stem: str = "auto"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutout: int = 0
    mean_weights: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("warm_up", "label_smoothing", "mean_weights", "momentum"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1")
        for name in ("shift", "cutout", "patience", "mixup", "weight_decay", "rest_learning_rate"):
            if not 0 <= getattr(self, name) <= MAX_RATE:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and at most {MAX_RATE:g}")
        if not 0.0 < self.learning_rate <= MAX_RATE:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0 and at most {MAX_RATE:g}")
        for name, known in (("optimizer", ("muon", "sgd", "adam")), ("schedule", ("linear", "cosine"))):
            if getattr(self, name) not in known:
                raise InputError(f"unknown {name} '{getattr(self, name)}'{did_you_mean(getattr(self, name), known)}")

    def prepare(self, data: DataSet) -> DataSet:
        """Return the data under the recipe's normalisation."""
        if not self.half_range:
            return data
        half = (0.5,) * data.shape[0]
        return data.normalised(half, half)

    def steps_per_epoch(self, images: int) -> int:
        """Return the batches that one pass over so many images makes; at least 1."""
        whole, left = divmod(images, self.batch_size)
        # a single image has no batch statistics, so it never makes a batch
        return max(1, whole + (1 if self.keep_last and left > 1 else 0))

    def factor(self, step: int, steps: int, epoch: int) -> float:
        """Return what the highest learning rate is multiplied with.

        Args:
            step: counted from 0.
            steps: in all.
            epoch: that the step is in, counted from 0.
        """
        if self.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs))
        rise = self.warm_up * steps
        return min(1.0, (step + 1) / rise if rise > 0 else 1.0, (steps - step) / (steps - rise))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, without those of `_LATER` that are off: runs from before them go on."""
        return {name: value for name, value in asdict(self).items() if value or name not in _LATER}


#: The default: short, made for convolutional networks. Muon's learning rate and the shifts were chosen on the
#: validation part of the cluttered digits.
MODERN = Recipe(
    name="modern",
    epochs=8,
    batch_size=32,
    optimizer="muon",
    learning_rate=0.15,
    rest_learning_rate=0.05,
    momentum=0.6,
    weight_decay=5e-4,
    warm_up=0.2,
    shift=2,
)

#: As the founding study trains on CIFAR-10 (ys-2020/6.5930_final_project, accuracy_eva/train.py): Adam, learning rate
#: 1e-3 on a cosine by epochs, batch 512, 200 epochs, mirrored images, channels scaled to -1..1, ImageNet's stem. The
#: study keeps the epoch that is best on the test images; here the epoch is chosen on validation images.
STUDY = Recipe(
    name="study",
    epochs=200,
    batch_size=512,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="cosine",
    keep_last=True,
    half_range=True,
    stem="imagenet",
)

#: For weights that are trained already: the same, with a third of the pace.
FINE_TUNE = Recipe(
    name="fine-tune",
    epochs=3,
    batch_size=32,
    optimizer="muon",
    learning_rate=0.05,
    rest_learning_rate=0.015,
    momentum=0.6,
    weight_decay=5e-4,
    warm_up=0.1,
    shift=2,
)

#: For trained weights that become narrow: the same, from the calibrated network.
QUANTISED = replace(FINE_TUNE, name="quantised")

#: Nesterov's momentum of what Muon leaves to SGD.
_REST_MOMENTUM = 0.9

RECIPES = {recipe.name: recipe for recipe in (MODERN, STUDY, FINE_TUNE, QUANTISED)}


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name, or the one in a YAML file.

    Raises:
        InputError: there is no such recipe, with the nearest name; or what `read_recipe` raises.
    """
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name))
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'{did_you_mean(name, RECIPES)}; or write a YAML file's name")
    return RECIPES[name]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a file: fields of `Recipe`, and ``from``, the recipe that has the others (``modern``).

    Raises:
        InputError: the file can't be read, a field is unknown or of the wrong kind, a value makes no sense.
    """
    node = parse_document(read_text(path), file=str(path))
    kinds = {each.name: each.type for each in fields(Recipe) if each.name != "name"}
    given = node.mapping(known=("from", "name", *kinds))
    basis = given["from"].text() if "from" in given else MODERN.name
    if basis not in RECIPES:
        raise given["from"].fail(f"unknown recipe '{basis}'{did_you_mean(basis, RECIPES)}")
    values: dict[str, Any] = {"name": given["name"].text() if "name" in given else printable(path.stem)}
    read: dict[str, Callable[[Node], Any]] = {
        "int": Node.integer,
        "float": Node.number,
        "bool": Node.boolean,
        "str": Node.text,
    }
    for name, value in given.items():
        if name in kinds:
            values[name] = read[str(kinds[name])](value)
            values[name] = float(values[name]) if kinds[name] == "float" else values[name]
    try:
        return replace(RECIPES[basis], **values)
    except InputError as error:
        field = error.message.split(" ")[0]
        raise given.get(field, node).fail(error.message) from None


def optimizers(model: Any, recipe: Recipe) -> list[Any]:
    """Make the recipe's optimizers; together they cover every trainable weight once."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if recipe.optimizer == "adam":
        return [torch.optim.Adam(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)]
    if recipe.optimizer == "sgd":
        return [_sgd(weights, recipe.learning_rate, recipe.momentum, recipe.weight_decay)]
    mixing = {id(weight) for weight in _dense_convolutions(model)}
    matrices = [weight for weight in weights if id(weight) in mixing]
    scales = {id(weight) for name, weight in model.named_parameters() if name.endswith("scaling_impl.value")}
    rest = [weight for weight in weights if id(weight) not in mixing | scales]
    made: list[Any] = [Muon(matrices, lr=recipe.learning_rate, momentum=recipe.momentum)] if matrices else []
    if rest:
        made.append(_sgd(rest, recipe.rest_learning_rate, _REST_MOMENTUM, recipe.weight_decay))
    if learned := [weight for weight in weights if id(weight) in scales]:  # of narrow numbers: none is better small
        made.append(_sgd(learned, recipe.rest_learning_rate, _REST_MOMENTUM, 0.0))
    return made


def _dense_convolutions(model: Any) -> list[Any]:
    """Return the weights of convolutions that mix channels; a depthwise one has no matrix to speak of."""
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    return [
        module.weight
        for module in model.modules()
        if isinstance(module, kinds) and (module.groups == 1 or module.in_channels > module.groups)
    ]


def _sgd(weights: list[Any], learning_rate: float, momentum: float, weight_decay: float) -> Any:
    nesterov = momentum > 0.0
    return torch.optim.SGD(weights, lr=learning_rate, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
