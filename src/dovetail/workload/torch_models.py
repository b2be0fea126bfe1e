"""Models by name for tracing: torchvision's, timm's, `package.module:factory`, exported programs, two older ones."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail import inputs
from dovetail.content import content_key
from dovetail.errors import InputError, did_you_mean
from dovetail.workload.inputs import NetworkInput
from dovetail.workload.network import Network
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torch, import_torchvision

#: Inputs up to this many rows and columns are small images: 10 classes, as CIFAR-10 and the digits have.
SMALL = 64


def classes_for(input_size: int) -> int:
    """Return the number of classes that goes with an input size: 10 for small images, else ImageNet's 1000."""
    return 10 if input_size <= SMALL else 1000


def alexnet_original(num_classes: int = 1000) -> Any:
    """Make AlexNet with the widths of its first publication, ungrouped.

    Widths 96-256-384-384-256 (Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural
    Networks, NeurIPS 2012, section 3.5, all channels on one device). torchvision's ``alexnet`` is the later variant
    of 64-192-384-256-256 (arXiv 1404.5997).
    """
    nn = import_torch("building AlexNet").nn
    features = nn.Sequential(
        nn.Conv2d(3, 96, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.LocalResponseNorm(5),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, padding=2),
        nn.ReLU(),
        nn.LocalResponseNorm(5),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    classifier = nn.Sequential(
        nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, num_classes)
    )
    model = nn.Sequential()
    for name, part in (("features", features), ("avgpool", nn.AdaptiveAvgPool2d(6)), ("flatten", nn.Flatten(1))):
        model.add_module(name, part)
    model.add_module("classifier", classifier)
    return model


def mobilenet_v1_050(num_classes: int = 1000) -> Any:
    """Make the first MobileNet at half its width: 13 pairs of a depthwise and a pointwise convolution.

    Howard et al.: MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, arXiv 1704.04861,
    table 1, every width halved. With inputs of 128 rows and columns 49 million MACs, as there in table 7.
    """
    nn = import_torch("building MobileNet").nn

    def convolved(channels: int, made: int, stride: int, size: int, groups: int = 1) -> tuple[Any, Any, Any]:
        padding, wide = size // 2, {"stride": stride, "groups": groups, "bias": False}
        return nn.Conv2d(channels, made, size, padding=padding, **wide), nn.BatchNorm2d(made), nn.ReLU()

    features, channels = nn.Sequential(*convolved(3, 16, 2, 3)), 16
    made = (32, 64, 64, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)
    for place, width in enumerate(made):
        stride = 2 if place in (1, 3, 5, 11) else 1
        features.extend(convolved(channels, channels, stride, 3, channels))
        features.extend(convolved(channels, width, 1, 1))
        channels = width
    model = nn.Sequential()
    for name, part in (("features", features), ("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1))):
        model.add_module(name, part)
    model.add_module("classifier", nn.Linear(channels, num_classes))
    return model


#: Networks that torchvision does not have, with their usual rows and columns.
OWN: dict[str, tuple[Callable[..., Any], int]] = {
    "alexnet_original": (alexnet_original, 224),
    "mobilenet_v1_050": (mobilenet_v1_050, 128),
}


def image_factory(name: str, input_size: int | None = None) -> tuple[Callable[[], Any], tuple[int, ...]]:
    """Return what makes a torchvision model (or one of `OWN`), and its input's shape at batch 1.

    Up to `SMALL` rows and columns the model has 10 classes, and AlexNet's first convolution has stride 1, because its
    own stem would leave nothing of so small an image; every other model is as it is published.

    Args:
        name: the model's name.
        input_size: rows and columns; None takes the size its best published weights are evaluated at.

    Raises:
        InputError: when torchvision has no such model.
    """
    vision = import_torchvision(f"the model {name}")
    if name not in OWN and name not in vision.models.list_models():
        raise InputError(f"torchvision has no model '{name}'{did_you_mean(name, vision.models.list_models())}")
    shape = _input_shape(vision, name, input_size)
    arguments: dict[str, Any] = {"num_classes": classes_for(shape[-1])} if shape[-1] <= SMALL else {}
    if name.startswith("vit_"):
        arguments["image_size"] = shape[-1]  # its position embedding has one entry per patch
    if name.startswith("maxvit"):
        arguments["input_size"] = shape[-2:]  # so has its relative one
    if any(family in name for family in _WITH_BACKBONE):
        arguments["weights_backbone"] = None  # the default would download

    def make() -> Any:
        if name in OWN:
            model = OWN[name][0](**arguments)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about how weights will be initialised, and there are none
                model = vision.models.get_model(name, weights=None, **arguments)
        if shape[-1] <= SMALL and name.startswith("alexnet"):
            model.features[0].stride = (1, 1)
        return model

    return make, shape


_WITH_BACKBONE = ("rcnn", "fcos", "ssd", "deeplab", "fcn_", "lraspp", "retinanet")


def _input_shape(vision: Any, name: str, input_size: int | None) -> tuple[int, ...]:
    if name in OWN:
        size = input_size or OWN[name][1]
        return (1, 3, size, size)
    rows = columns = 224
    best = getattr(vision.models.get_model_weights(name), "DEFAULT", None)
    crop = getattr(getattr(best, "transforms", None), "keywords", {}).get("crop_size")
    if crop is not None:
        rows, columns = (crop, crop) if isinstance(crop, int) else crop
    if input_size is not None:
        rows = columns = input_size
    if vision.models.get_model_builder(name).__module__.startswith("torchvision.models.video"):
        return (1, 3, 16, rows, columns)  # as many frames as published MACs are for
    return (1, 3, rows, columns)


def trace_by_name(
    name: str,
    *,
    batch: int = 1,
    input_size: int | None = None,
    inputs: Sequence[NetworkInput] = (),
    bundled: Iterable[str] = (),
) -> Network:
    """Trace the model that a name stands for, at the given batch size.

    Args:
        name: ``package.module:factory`` or ``file.py:factory``, a torchvision model, or a timm model.
        batch: batch size, where no inputs are given.
        input_size: rows and columns of the image; None takes the model's own.
        inputs: what the model is given; empty: one image.
        bundled: names of bundled tables, for the hint when nothing matches.

    Raises:
        InputError: when there is no such model, or it can't be traced.
        MissingExtraError: when torch is absent.
    """
    longest = max(inputs[0].shape[-2:]) if inputs else input_size
    if ":" in name:
        _check_factory(name)
        import_torch(f"the model {name}")
        return _trace_factory(name, batch, input_size, inputs)
    if name.endswith(".py"):
        raise InputError(f"'{name}' names no network: write {name}:NAME, a class or function in it that makes one")
    known = sorted(bundled)
    if not re.fullmatch(r"[\w.-]+", name):  # nobody's model is called so: no need to load thousands of names
        raise InputError(f"no network '{name}'{_nearest(name, known)}")
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            f"no bundled network '{name}'{did_you_mean(name, known)} "
            "(more are known where the extra is: pip install 'dovetail-codesign[torch]')"
        )
    vision = import_torchvision(f"the model {name}")
    if name in vision.models.list_models():
        factory, shape = image_factory(name, longest)
        source = f"torchvision {vision.__version__.partition('+')[0]}"
        return trace(factory, tuple(inputs) or (batch, *shape[1:]), name=name, source=source)
    timm = importlib.import_module("timm") if importlib.util.find_spec("timm") is not None else None
    if timm is not None and timm.is_model(name):
        return _trace_timm(timm, name, batch, input_size, inputs)
    known += vision.models.list_models() + ([] if timm is None else timm.list_models())
    without = (
        ""
        if timm is not None
        else " (timm's models are known where the extra is: pip install 'dovetail-codesign[timm]')"
    )
    raise InputError(f"no network '{name}'{_nearest(name, known)}{without}")


def _nearest(name: str, known: Iterable[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if hint.startswith(", did") else "; see `dovetail layers --list`"


def _trace_factory(name: str, batch: int, input_size: int | None, inputs: Sequence[NetworkInput]) -> Network:
    """Trace a user's own model; where no input was said, an image is tried."""
    size = input_size or 224
    short = name.rpartition(":")[2]
    if inputs:
        return trace(user_factory(name), tuple(inputs), name=short, source=name)
    source = name if input_size is not None else f"{name}, input 3x{size}x{size} as none is said"
    try:
        return trace(user_factory(name), (batch, 3, size, size), name=short, source=source)
    except InputError as error:
        if input_size is not None or not error.message.startswith("can't run"):
            raise
        raise InputError(f"{error.message}; if it takes no image of 224 x 224, say what: --input 1x3x48x320") from None


def _trace_timm(
    timm: Any, name: str, batch: int, input_size: int | None, inputs: Sequence[NetworkInput] = ()
) -> Network:
    config = timm.get_pretrained_cfg(name)
    channels, rows, columns = own = config.input_size if config is not None else (3, 224, 224)
    if inputs and len(inputs[0].shape) == 4:
        rows, columns = inputs[0].shape[2:]
    elif input_size is not None:
        rows = columns = input_size
    arguments: dict[str, Any] = {}
    if max(rows, columns) <= SMALL and (inputs or input_size is not None):
        arguments["num_classes"] = classes_for(max(rows, columns))
    if (rows, columns) != own[1:] and config is not None and config.fixed_input_size:
        arguments["img_size"] = rows if rows == columns else (rows, columns)

    def make() -> Any:
        return timm.create_model(name, pretrained=False, **arguments)

    shape = (batch, channels, rows, columns)
    return trace(make, tuple(inputs) or shape, name=name, source=f"timm {timm.__version__}")


def user_factory(spec: str) -> Callable[[], Any]:
    """Import ``package.module:factory``, from the working folder too, or ``file.py:factory``.

    This runs the named module's code, as any import does: it is the user's own. What is named may be a function, a
    class, or the network itself.

    Raises:
        InputError: when there is no such module or attribute in it.
    """
    module_name, attribute, is_file = _check_factory(spec)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            module = _import_file(Path(module_name).resolve()) if is_file else _import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        raise InputError(f"'{spec}': can't import {module_name}: {type(error).__name__}: {error}") from None
    inputs.reading(Path(getattr(module, "__file__", None) or ""))
    if not hasattr(module, attribute):
        callables = [key for key, value in vars(module).items() if callable(value)]
        raise InputError(f"'{spec}': {module_name} has no '{attribute}'{did_you_mean(attribute, callables)}")
    factory = getattr(module, attribute)
    makes = callable(factory) and (isinstance(factory, type) or not hasattr(factory, "forward"))
    return factory if makes else lambda: factory


def _check_factory(spec: str) -> tuple[str, str, bool]:
    """Return a module's or file's name, what is named in it, and whether it is a file, which is there then.

    Raises:
        InputError: it names nothing, or a file that is not there.
    """
    module_name, _, attribute = spec.rpartition(":")
    is_file = module_name.endswith(".py")
    names = (attribute,) if is_file else (*module_name.split("."), attribute)
    if not module_name or not all(name.isidentifier() for name in names):
        raise InputError(f"'{spec}': write package.module:factory or file.py:factory")
    if is_file and not Path(module_name).is_file():
        raise InputError("no such file", file=module_name)
    return module_name, attribute, is_file


def _import_module(name: str) -> ModuleType:
    with _working_folder(name.partition(".")[0]):
        return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    """Import a file, once, wherever it lies; it may import what lies beside it."""
    name = f"dovetail_file_{path.stem}_{content_key(str(path))[:8]}"  # so that it stands in no other module's way
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        _remove_last(folder)
    return module


def _remove_last(folder: str) -> None:
    """Take a folder off the path again: the last one of that name, which is ours."""
    sys.path.reverse()
    sys.path.remove(folder)
    sys.path.reverse()


@contextlib.contextmanager
def _working_folder(wanted: str) -> Iterator[None]:
    """Let the working folder answer to one name, and to what nothing else answers to; it never stands in for others.

    The module that was asked for is taken from there before anywhere else. What it imports beside it is found, too,
    but a file that is called as a module of Python's or of a library stays out of the way.
    """
    folder = os.getcwd()  # noqa: PTH109  sys.path holds strings

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> Any:
            return importlib.machinery.PathFinder.find_spec(name, [folder]) if name == wanted else None

    sys.meta_path.insert(0, Finder)
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.meta_path.remove(Finder)
        _remove_last(folder)
