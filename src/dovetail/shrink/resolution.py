"""Smaller images for the same network: which sizes it takes, and a network that scales its images itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.errors import InputError
from dovetail.shrink.channels import RESOLUTION, Setting
from dovetail.workload.network import Network
from dovetail.workload.torch_trace import trace
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: Shares of an image's rows and columns that are tried; below a half, scaling would skip pixels.
_SHARES = (0.75, 0.5)
#: Why images keep their size.
FIXED_SIZE = "the network takes images of one size alone"


def resolution_setting(model: Any, shape: Sequence[int]) -> Setting | None:
    """Return the sizes of images at which a network has the layers that it has, none where it is the given one alone.

    Args:
        model: the network; it stays as it is.
        shape: of its input, ``(batch, channels, rows, columns)``.
    """
    rows, columns = shape[-2:]
    given = trace(model, tuple(shape))
    forms = {rows: (rows, columns)}
    for share in _SHARES:
        form = (max(1, round(rows * share)), max(1, round(columns * share)))
        if form[0] not in forms and _takes(model, (*shape[:2], *form), given):
            forms[form[0]] = form
    if len(forms) == 1:
        return None
    return Setting(RESOLUTION, "images", tuple(forms), forms=tuple(forms.values()))


def _takes(model: Any, shape: tuple[int, ...], given: Network) -> bool:
    """Whether the network runs on such images, through the same layers with the same weights."""
    try:
        found = trace(model, shape)
    except InputError:
        return False
    if [layer.name for layer in found.layers] != [layer.name for layer in given.layers] or found.edges != given.edges:
        return False
    pairs = zip(found.layers, given.layers, strict=True)
    return all(small.kind == large.kind and small.repeats == large.repeats for small, large in pairs)


def scale_images(model: Any, size: Sequence[int]) -> None:
    """Let a network scale its images to (rows, columns) before anything else; its weights keep their names."""
    kind, size = type(model), tuple(size)

    def forward(self: Any, images: Any) -> Any:
        return kind.forward(self, scaled(images, size))

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})


def scaled(images: Any, size: Sequence[int]) -> Any:
    """Return images ``(batch, channels, rows, columns)`` at another size, by linear interpolation."""
    return torch.nn.functional.interpolate(images, size=tuple(size), mode="bilinear", align_corners=False)


__all__ = ["FIXED_SIZE", "resolution_setting", "scale_images", "scaled"]
