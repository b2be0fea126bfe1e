"""Networks to train, by name: a small one of our own, torchvision's, or the user's, fitted to a data set's images."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from dovetail.accuracy.bits import read_plan
from dovetail.accuracy.checkpoint import apply_weights, check_weights
from dovetail.accuracy.data import DataSet
from dovetail.accuracy.quantised import check_integers, plain_weights, restored
from dovetail.accuracy.vit import SmallViT
from dovetail.errors import InputError, did_you_mean
from dovetail.text import first_line
from dovetail.workload.torch_models import user_factory
from dovetail.workload.torchvision_import import import_torch, import_torchvision

torch = import_torch("networks for training")
nn = torch.nn

#: Name of our own network, and its widths in the built-in curve.
FIVE_LAYER = "five-layer"
CURVE_WIDTHS = (2, 4, 8, 16, 24)
#: Name of our own transformer.
SMALL_VIT = "small-vit"
#: Networks of our own, with the width that each has unless said otherwise.
OWN = {FIVE_LAYER: CURVE_WIDTHS[-2], SMALL_VIT: 32}

#: Images up to this many rows and columns get the small stem.
SMALL = 64

#: No honest description of a network has a size beyond this.
MAX_SIZE = 2**16

_STEMS = ("auto", "imagenet", "cifar")


def five_layer(width: int, classes: int = 10, channels: int = 1) -> Any:
    """Make four 3x3 convolutions of ``width``, 2, 4 and 4 times ``width`` channels, and a classifier.

    Batch normalisation and ReLU follow each convolution; the second and third halve rows and columns; the average over
    the last map goes into the classifier, so images of any size fit.
    """
    widths = (channels, width, 2 * width, 4 * width, 4 * width)
    layers: list[Any] = []
    for number, stride in enumerate((1, 2, 2, 1)):
        convolution = nn.Conv2d(widths[number], widths[number + 1], 3, stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(widths[number + 1]), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


@dataclass(frozen=True)
class ModelSpec:
    """A network by name, made by calling the spec; it travels to other processes and into checkpoints.

    Attributes:
        name: ``five-layer``, ``small-vit``, a torchvision or timm model, or ``package.module:factory`` (called without
            arguments).
        width: channels of ``five-layer``'s first convolution, or of ``small-vit``'s tokens; None for the others.
        classes: outputs of the classifier.
        channels: of the image.
        size: rows of the image.
        stem: ``imagenet`` leaves the network as published; ``cifar`` keeps the resolution of small images: the first
            convolution becomes at most 3x3 with stride 1, and a max-pool right behind it goes; ``auto`` is ``cifar``
            up to 64 rows.
    """

    name: str
    width: int | None = None
    classes: int = 10
    channels: int = 3
    size: int = 32
    stem: str = "auto"

    def __post_init__(self) -> None:
        if self.stem not in _STEMS:
            raise InputError(f"unknown stem '{self.stem}'{did_you_mean(self.stem, _STEMS)}")
        if self.width is not None and self.name not in OWN:
            raise InputError(f"only {' and '.join(OWN)} have a width to choose; {self.name} does not")
        if self.width is not None and not 1 <= self.width <= MAX_SIZE:
            raise InputError(f"width {self.width} must be at least 1 and at most {MAX_SIZE}")

    @property
    def label(self) -> str:
        """The name with the width, e.g. ``five-layer-8``."""
        return self.name if self.width is None else f"{self.name}-{self.width}"

    @property
    def small_stem(self) -> bool:
        """Whether the stem keeps the image's resolution."""
        return self.stem == "cifar" or (self.stem == "auto" and self.size <= SMALL)

    def __call__(self) -> Any:
        """Make the network, its weights drawn from torch's global generator."""
        if self.name == FIVE_LAYER:
            return five_layer(self.width or OWN[FIVE_LAYER], self.classes, self.channels)
        if self.name == SMALL_VIT:
            return SmallViT(self.width or OWN[SMALL_VIT], self.classes, self.channels, self.size)
        if ":" in self.name:
            return user_model(self.name)
        return _library_model(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)

    def description(self) -> dict[str, Any]:
        """Return what a checkpoint says of the network."""
        return {"model": self.to_dict()}

    @classmethod
    def of(cls, described: Any, file: Path) -> ModelSpec:
        """Return the network that a file describes, as `to_dict` wrote it.

        Raises:
            InputError: when the description is none, or of a network beyond any size.
        """
        kinds: dict[str, tuple[type, ...]] = {
            each.name: (str,) if each.name in ("name", "stem") else (int,) for each in fields(cls)
        }
        kinds["width"] = (int, type(None))
        if not isinstance(described, dict) or "name" not in described or not described.keys() <= kinds.keys():
            raise InputError(f"expected {', '.join(kinds)}, found {str(described)[:80]}", file=file, key="model")
        for key, value in described.items():
            if type(value) not in kinds[key] or (type(value) is int and not 1 <= value <= MAX_SIZE):
                wanted = "text" if kinds[key] == (str,) else f"a whole number from 1 to {MAX_SIZE}"
                raise InputError(f"must be {wanted}, found {str(value)[:80]!r}", file=file, key=f"model.{key}")
        try:
            return cls(**described)
        except InputError as error:
            raise InputError(error.message, file=file, key="model") from None

    def check(self, weights: dict[str, Any], file: Path) -> None:
        """Check that weights are this network's before any memory is taken for it.

        Raises:
            InputError: as `check_weights` does.
        """
        with torch.device("meta"):
            bare = self()
        check_weights(bare, weights, file)


def model_spec(name: str, data: DataSet, *, width: int | None = None, stem: str = "auto") -> ModelSpec:
    """Fit a network to a data set: its classes, channels and image size.

    Args:
        name: ``five-layer`` or ``small-vit`` (or ``five-layer-8``, with the width), a torchvision or timm model,
            or ``package.module:factory``.
        data: what it will be trained on.
        width: of a network of our own; what `OWN` has if not given.
        stem: ``auto``, ``imagenet`` or ``cifar``; see `ModelSpec`.

    Raises:
        InputError: when there is no such model or stem.
    """
    prefix, _, suffix = name.rpartition("-")
    if prefix in OWN and re.fullmatch(r"[0-9]{1,9}", suffix) and width is None:
        name, width = prefix, int(suffix)
    width = OWN.get(name) if width is None else width
    if name not in OWN and ":" not in name:
        _library_of(name)
    return ModelSpec(name, width, len(data.classes), data.shape[0], data.shape[1], stem)


def parameters(model: Any) -> int:
    """Return the number of trainable weights."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def user_model(name: str) -> Any:
    """Make a user's own network.

    Raises:
        InputError: when there is no such factory, it fails, or it makes something else.
    """
    factory = user_factory(name)
    try:
        model = factory()
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise InputError(f"'{name}' fails when it is called: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise InputError(f"'{name}' must return a torch.nn.Module; it returned {type(model).__name__}")
    return model


def _library_of(name: str, *, only_torchvision: bool = False) -> Any:
    """Return what has a model of a name: ``torchvision.models``, or timm where that has not.

    Raises:
        InputError: neither has.
    """
    models = import_torchvision(f"the model {name}").models
    known = models.list_models(module=models)
    if name in known:
        return models
    has_timm = importlib.util.find_spec("timm") is not None
    timm = importlib.import_module("timm") if has_timm and not only_torchvision else None
    if timm is not None and timm.is_model(name):
        return timm
    known = [*OWN, *known, *([] if timm is None else timm.list_models())]
    more = "" if has_timm or only_torchvision else ", install the extra timm for its models"
    raise InputError(f"no model '{name}'{did_you_mean(name, known)}{more}; or write package.module:factory")


def _library_model(spec: ModelSpec) -> Any:
    library = _library_of(spec.name)
    return _timm_model(library, spec) if library.__name__ == "timm" else _torchvision_model(library, spec)


def _timm_model(timm: Any, spec: ModelSpec) -> Any:
    """Make one of timm's models for the data's images; those that cut images into patches keep their stem."""
    config = timm.get_pretrained_cfg(spec.name)
    options: dict[str, Any] = {"num_classes": spec.classes, "in_chans": spec.channels}
    if config is not None and config.fixed_input_size:
        options["img_size"] = spec.size
    try:
        model = timm.create_model(spec.name, pretrained=False, **options)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = first_line(error) or type(error).__name__
        raise InputError(f"{spec.name} can't be built for {spec.size} x {spec.size} images: {reason}") from None
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and first.kernel_size != first.stride:
        _fit_stem(model, spec.channels, spec.small_stem)
    return model


def _torchvision_model(models: Any, spec: ModelSpec) -> Any:
    options: dict[str, Any] = {"weights": None, "num_classes": spec.classes}
    if spec.name.startswith("vit_"):
        options["image_size"] = spec.size
    if spec.name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    try:
        model = models.get_model(spec.name, **options)
    except (ValueError, AssertionError, RuntimeError) as error:  # e.g. a patch size that does not divide the image
        raise InputError(f"{spec.name} can't be built for {spec.size} x {spec.size} images: {error}") from None
    _fit_stem(model, spec.channels, spec.small_stem and not spec.name.startswith("vit_"))
    return model


def _fit_stem(model: Any, channels: int, small: bool) -> None:
    """Replace the first convolution by one for the image's channels and, if ``small``, resolution."""
    path, first = next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))
    kernel, stride, padding = first.kernel_size, first.stride, first.padding
    if small:
        kernel, stride, padding = (3, 3), (1, 1), (1, 1)
        _drop_first_pool(model)
    if (channels, kernel, stride) == (first.in_channels, first.kernel_size, first.stride):
        return
    bias = first.bias is not None
    new = nn.Conv2d(channels, first.out_channels, kernel, stride, padding, bias=bias)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if bias:
        nn.init.zeros_(new.bias)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def _drop_first_pool(model: Any) -> None:
    """Remove the max-pool of a ResNet's or DenseNet's stem; later pools stay."""
    for path in ("maxpool", "features.pool0"):
        parent, _, name = path.rpartition(".")
        owner = model.get_submodule(parent) if not parent or hasattr(model, parent) else None
        if owner is not None and isinstance(getattr(owner, name, None), nn.MaxPool2d):
            setattr(owner, name, nn.Identity())


def from_checkpoint(content: dict[str, Any], file: Path, factory: str | None = None) -> Any:
    """Make the network of a checkpoint that `train` wrote, with its weights, in evaluation mode.

    A checkpoint never makes us import a module that it names: where the network is a user's own, the user says so.

    Args:
        content: what `checkpoint.load` returned.
        file: it came from.
        factory: ``package.module:factory`` of the user's own network.

    Raises:
        InputError: when the network is a user's own and ``factory`` is not given, or the weights don't fit it.
        MissingExtraError: when it has narrow numbers and brevitas is absent.
    """
    described, weights = content.get("model"), content["weights"]
    plan = read_plan(content["bits"], file) if "bits" in content else ()
    if factory is not None:
        model = user_model(factory)
    elif not isinstance(described, dict) or ":" in str(described.get("name")):
        raise InputError(
            f"holds weights of '{content.get('model_name')}', a network of your own: say what makes it with "
            "--model package.module:factory",
            file=file,
        )
    else:
        spec = ModelSpec.of(described, file)
        spec.check(plain_weights(weights), file)
        model = spec()
    if plan:
        narrow = restored(model, plan, weights, file)
        check_integers(narrow, content.get("integers"), file)
        return narrow
    apply_weights(model, weights, file)
    return model.eval()


def pretrained(name: str, weights: str, classes: int) -> tuple[Any, Any]:
    """Return a torchvision model with published weights, and torchvision's preprocessing for them.

    The weights are taken from torch's cache, or downloaded (this is what naming them asks for); their hash is checked
    and they are read with ``weights_only``.

    Args:
        name: the model.
        weights: the entry's name, such as ``DEFAULT`` or ``IMAGENET1K_V1``.
        classes: of the data they will be measured on.

    Raises:
        InputError: when there is no such model or entry, it is for other classes, or the download fails.
    """
    models = _library_of(name, only_torchvision=True)
    entries = models.get_model_weights(name)
    if weights not in entries.__members__:
        raise InputError(f"{name} has no weights '{weights}'{did_you_mean(weights, entries.__members__)}")
    entry = entries[weights]
    if len(entry.meta["categories"]) != classes:
        raise InputError(
            f"{name} {weights} tells {len(entry.meta['categories'])} classes apart; the data has {classes}"
        )
    try:
        model = models.get_model(name, weights=entry)
    except (OSError, RuntimeError) as error:
        raise InputError(f"the weights {name} {weights} can't be had: {error}") from None
    return model.eval(), entry.transforms()


__all__ = [
    "CURVE_WIDTHS",
    "FIVE_LAYER",
    "OWN",
    "SMALL_VIT",
    "ModelSpec",
    "five_layer",
    "from_checkpoint",
    "model_spec",
    "parameters",
    "pretrained",
    "user_model",
]


def with_weights(spec: ModelSpec, weights: Mapping[str, Any]) -> Any:
    """Return the network that a description makes, with these weights by name, to be evaluated.

    Raises:
        InputError: the weights are not those of this network.
    """
    model = copy.deepcopy(spec())  # a user's factory may hand out its one network
    apply_weights(model, dict(weights))
    return model.eval()
