"""Smaller networks on disk: a description and weights, read back without running anything that stands in them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.accuracy import checkpoint
from dovetail.accuracy.bits import Plan, plan_to_json, read_plan
from dovetail.accuracy.models import ModelSpec, user_model
from dovetail.accuracy.quantised import plain_weights, restored
from dovetail.document import read_text
from dovetail.errors import InputError
from dovetail.shrink.channels import ChannelGraph, Kept
from dovetail.shrink.prune import Sizes, assign, gone_of, image_of, resized, sizes_of
from dovetail.text import printable
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: What our descriptions say they are; a later form gets another number.
FORMAT = "dovetail-shrunk-1"
DESCRIPTION, WEIGHTS = "network.json", "weights.pt"


@dataclass(frozen=True)
class Shrunk:
    """A smaller network as it is described on disk.

    Attributes:
        name: what to call it.
        model: what makes the network it was cut from.
        sizes: of every layer that lost channels or the rim of its kernel, by its path.
        gone: paths of the blocks that were left out.
        kept: per group, by its name, the numbers of the channels that stayed.
        facts: what else is known of it: cost, accuracy, target, recipe.
        image: rows and columns that it scales images to; None: it takes them as they are.
        plan: how narrow its numbers are; empty: they are in floating point.
    """

    name: str
    model: ModelSpec
    sizes: Mapping[str, Sizes]
    kept: Mapping[str, list[int]]
    facts: Mapping[str, Any]
    gone: tuple[str, ...] = ()
    image: tuple[int, int] | None = None
    plan: Plan = ()

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    def __call__(self) -> Any:
        """Make the network anew: the network it was cut from, as its own code draws its weights, in smaller layers.

        Its numbers are in floating point: narrow ones are made of trained weights.
        """
        full = self.model()
        smaller = resized(full, self.sizes, self.gone, self.image)
        shapes = {name: value.shape for name, value in smaller.state_dict().items()}
        corners = {
            name: value.detach()[tuple(slice(size) for size in shapes[name])].clone()
            for name, value in full.state_dict().items()
            if name in shapes
        }
        assign(smaller, corners)
        return smaller

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "format": FORMAT,
            "name": self.name,
            "model": self.model.to_dict(),
            "layers": {path: dict(size) for path, size in self.sizes.items()},
            "kept": dict(self.kept),
            **({"left_out": list(self.gone)} if self.gone else {}),
            **({"image": list(self.image)} if self.image else {}),
            **({"bits": plan_to_json(self.plan)} if self.plan else {}),
            **self.facts,
        }


def describe(
    name: str, spec: ModelSpec, model: Any, graph: ChannelGraph, kept: Kept, facts: Mapping[str, Any], plan: Plan = ()
) -> Shrunk:
    """Return the description of a network cut down to what is kept, and as narrow as a plan says."""
    channels = {group.name: of.tolist() for group, of in zip(graph.groups, kept, strict=False)}
    sizes, gone, image = sizes_of(model, graph, kept), gone_of(graph, kept), image_of(graph, kept)
    return Shrunk(name, spec, sizes, channels, facts, gone, image, plan)


def save_shrunk(folder: Path, shrunk: Shrunk, weights: Mapping[str, Any]) -> None:
    """Write a smaller network into a folder: weights first, then ``network.json``, each in one move."""
    checkpoint.save(folder / WEIGHTS, {"weights": dict(weights), "name": shrunk.name})
    checkpoint.write_json(folder / DESCRIPTION, shrunk.to_json())


def load_shrunk(path: Path | str, factory: str | None = None) -> Any:
    """Return the smaller network of a folder that ``dovetail shrink`` wrote, in evaluation mode.

    The folder never makes us import a module that it names: where the network is a user's own, the user says so.

    Args:
        path: the folder, or the ``network.json`` in it.
        factory: ``package.module:factory`` of the user's own network, as it was before it was shrunk.

    Raises:
        InputError: when a file is absent, damaged, or fits neither the other nor the network.
        MissingExtraError: its numbers are narrow, and brevitas is absent.
    """
    shrunk = read_shrunk(path)
    folder = Path(path).parent if Path(path).suffix == ".json" else Path(path)
    if factory is None and ":" in shrunk.model.name:
        raise InputError(
            "was cut from a network of your own: say what makes it, as package.module:factory",
            file=folder / DESCRIPTION,
        )
    weights = checkpoint.load_weights(folder / WEIGHTS)
    with torch.device("meta") if factory is None else contextlib.nullcontext():  # no memory before the sizes are right
        full = shrunk.model() if factory is None else user_model(factory)
    smaller = _resized(full, shrunk, folder / DESCRIPTION)
    plain = plain_weights(weights) if shrunk.plan else weights
    checkpoint.check_weights(smaller, plain, folder / WEIGHTS)
    own = smaller.state_dict()
    if factory is None and all(name in own for name, _ in smaller.named_buffers()):
        smaller = smaller.to_empty(device="cpu")  # as large as its weights, whatever it was cut from
    elif factory is None:
        smaller = _resized(shrunk.model(), shrunk, folder / DESCRIPTION)
    own = smaller.state_dict()
    assign(smaller, {name: value.to(own[name].dtype) for name, value in plain.items()})
    return restored(smaller, shrunk.plan, weights, folder / WEIGHTS) if shrunk.plan else smaller.eval()


def _resized(full: Any, shrunk: Shrunk, file: Path) -> Any:
    try:
        return resized(full, shrunk.sizes, shrunk.gone, shrunk.image)
    except InputError as error:
        raise InputError(error.message, file=file, key=error.key or "layers") from None


def read_shrunk(path: Path | str) -> Shrunk:
    """Read a description.

    Raises:
        InputError: when it is absent, damaged or not ours.
    """
    file = Path(path) if Path(path).suffix == ".json" else Path(path) / DESCRIPTION
    if not file.exists():
        raise InputError("there is no such file; give a folder that `dovetail shrink` wrote", file=file)
    try:
        content = json.loads(read_text(file, own=True))
    except (ValueError, RecursionError) as error:
        raise InputError(f"can't be read: {error}", file=file) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"not written by `dovetail shrink` (its 'format' must be '{FORMAT}')", file=file)
    try:
        spec = ModelSpec.of(content["model"], file)
        sizes = {str(path): _sizes(size, path, file) for path, size in content["layers"].items()}
        kept = {str(name): [int(channel) for channel in channels] for name, channels in content["kept"].items()}
        gone = tuple(str(path) for path in list(content.get("left_out", ())))
        image = _image(content["image"], file) if "image" in content else None
        plan = read_plan(content["bits"], file) if "bits" in content else ()
        name = printable(str(content["name"]))
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise InputError(f"damaged ({type(error).__name__}: {error})", file=file) from None
    known = ("format", "name", "model", "layers", "kept", "left_out", "image", "bits")
    facts = {key: value for key, value in content.items() if key not in known}
    return Shrunk(name, spec, sizes, kept, facts, gone, image, plan)


def _image(size: Any, file: Path) -> tuple[int, int]:
    fits = isinstance(size, list) and len(size) == 2 and all(type(one) is int and 1 <= one <= 10**4 for one in size)
    if not fits:
        raise InputError(f"expected rows and columns, found {str(size)[:40]}", file=file, key="image")
    return size[0], size[1]


def _sizes(size: Any, path: str, file: Path) -> Sizes:
    if not isinstance(size, dict) or "out" not in size:
        raise InputError("expected the sizes of a layer: in, out and groups", file=file, key=f"layers.{path}")
    for side, count in size.items():
        if side not in ("in", "out", "groups", "rows", "columns") or type(count) is not int or not 1 <= count <= 10**6:
            raise InputError(f"'{side}: {count}' is no size of a layer", file=file, key=f"layers.{path}")
    return dict(size)


__all__ = ["Shrunk", "describe", "load_shrunk", "read_shrunk", "save_shrunk"]
