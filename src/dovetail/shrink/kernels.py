"""Smaller kernels: the middle of a convolution's own, over the same places, where its padding allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.shrink.channels import KERNEL, Setting
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

#: How often two rows and columns go at most.
_STEPS = 2
#: Why a kernel stays.
NO_MIDDLE = "an even number of rows or columns has no middle"
UNPADDED = "they are padded by less than a smaller kernel would leave over"
OF_ITS_OWN = "they pad by other values than zero, or are of a class of their own"


def kernel_settings(model: Any) -> tuple[tuple[Setting, ...], dict[str, str]]:
    """Return the kernels that can be smaller, in the order of the modules, and those that can't, with the reason.

    Kernels of one row and one column are in neither.
    """
    settings, unset = [], {}
    for path, module in model.named_modules():
        if not isinstance(module, torch.nn.Conv2d) or max(module.kernel_size) == 1:
            continue
        forms = _forms(module)
        if isinstance(forms, str):
            unset[path] = forms
        else:
            settings.append(Setting(KERNEL, path, tuple(max(form) for form in forms), (path,), tuple(forms)))
    return tuple(settings), unset


def _forms(module: Any) -> list[tuple[int, int]] | str:
    """Return the (rows, columns) that a convolution can have, the largest first; or why it keeps its own."""
    if type(module) is not torch.nn.Conv2d or module.padding_mode != "zeros":
        return OF_ITS_OWN
    if any(size % 2 == 0 for size in module.kernel_size):
        return NO_MIDDLE
    rows, columns = module.kernel_size
    forms = [(rows, columns)]
    for step in range(1, _STEPS + 1):
        form = (max(1, rows - 2 * step), max(1, columns - 2 * step))
        if form != forms[-1] and padding_of(module, form) is not None:
            forms.append(form)
    return forms if len(forms) > 1 else UNPADDED


def padding_of(module: Any, form: Sequence[int]) -> tuple[int, ...] | str | None:
    """Return the padding by which a convolution of a smaller kernel reads the same places; None: by none."""
    if isinstance(module.padding, str):
        return str(module.padding) if module.padding == "same" else None
    padding = tuple(
        pad - dilation * (own - size) // 2
        for pad, dilation, own, size in zip(
            module.padding, module.dilation, module.kernel_size, form, strict=True
        )
    )  # fmt: skip
    return padding if min(padding) >= 0 else None


def middle(weight: Any, form: Sequence[int]) -> Any:
    """Return the middle ``(outputs, inputs, *form)`` of a convolution's weights; gradients flow through."""
    rows, columns = ((own - size) // 2 for own, size in zip(weight.shape[2:], form, strict=True))
    return weight[:, :, rows : rows + form[0], columns : columns + form[1]]


def set_kernel(module: Any, form: Sequence[int]) -> None:
    """Give a convolution another kernel's size and padding; its weights stay as they are."""
    padding = padding_of(module, form)
    assert padding is not None
    module.kernel_size, module.padding = tuple(form), padding
    if not isinstance(padding, str):
        module._reversed_padding_repeated_twice = [pad for pad in reversed(padding) for _ in range(2)]


__all__ = ["NO_MIDDLE", "OF_ITS_OWN", "UNPADDED", "kernel_settings", "middle", "padding_of", "set_kernel"]
