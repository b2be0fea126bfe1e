"""Blocks that may be left out whole: those that a shortcut passes by, which hands on what they read."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dovetail.shrink.channels import is_inside
from dovetail.shrink.prune import CONVOLUTIONS, leave_out, without_weights
from dovetail.workload.torchvision_import import import_torch

torch = import_torch("shrinking networks")

_WITH_WEIGHTS = (*CONVOLUTIONS, torch.nn.Linear)
#: Why a module stays that is of a kind with those that may be left out.
CHANGES = "no shortcut hands on what they read as it is, or they run more than once"
#: Why a block stays though a shortcut passes it by.
NEEDED = "the network fails, or returns something else, without them"


def residual_blocks(model: Any, shape: tuple[int, ...]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the blocks that may be left out, in the order they run, and modules of their kinds that may not, and why.

    A block runs once, takes one tensor and returns one of the same sizes, has layers with weights, and with all
    weights at zero hands on what it is given (no less than zero: a ReLU may follow the addition). Of blocks in blocks
    the innermost.
    """
    bare = without_weights(model).eval()
    sizes = _handed_on(bare, shape)
    found: list[str] = []
    for path in sorted(sizes, key=lambda path: -path.count(".")):
        if not any(is_inside(inner, path) for inner in found) and _is_passed_by(model.get_submodule(path), sizes[path]):
            found.append(path)
    found.sort(key=list(sizes).index)
    kinds = {type(model.get_submodule(path)) for path in found} - {torch.nn.Sequential}
    if not _runs_without(bare, found, shape):
        found = [path for path in found if _runs_without(bare, [path], shape)]
        found = found if _runs_without(bare, found, shape) else []
    left = {
        path: NEEDED if path in sizes and _is_passed_by(module, sizes[path]) else CHANGES
        for path, module in model.named_modules()
        if type(module) in kinds and path not in found
    }
    return tuple(found), left


def _handed_on(bare: Any, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return, by path in the order they run, the sizes that modules with layers take and return, those that run once.

    Empty where the network does not run without values.
    """
    calls: dict[str, list[tuple[int, ...] | None]] = {}

    def look(path: str) -> Any:
        def hook(_module: Any, given: tuple[Any, ...], keywords: dict[str, Any], made: Any) -> None:
            whole = len(given) == 1 and not keywords and all(isinstance(t, torch.Tensor) for t in (*given, made))
            same = whole and given[0].shape == made.shape
            calls.setdefault(path, []).append(tuple(made.shape) if same else None)

        return hook

    handles = [
        module.register_forward_hook(look(path), with_kwargs=True)
        for path, module in bare.named_modules()
        if path and any(isinstance(part, _WITH_WEIGHTS) for part in module.modules() if part is not module)
    ]
    try:
        with torch.no_grad():
            bare(torch.zeros(shape, device="meta"))
    except Exception:  # whatever its code does with tensors that have no values
        return {}
    finally:
        for handle in handles:
            handle.remove()
    return {path: each[0] for path, each in calls.items() if len(each) == 1 and each[0] is not None}


def _is_passed_by(block: Any, sizes: tuple[int, ...]) -> bool:
    """Whether a module whose weights are all zero hands on what it is given."""
    silent = copy.deepcopy(block).eval().cpu()
    given = torch.linspace(0.0, 1.0, steps=math.prod(sizes)).reshape(sizes)
    with torch.no_grad():
        for weight in silent.parameters():
            weight.zero_()
        try:
            return bool(torch.allclose(silent(given.clone()), given, rtol=0.0, atol=1e-6))
        except Exception:  # whatever its code does with such an input
            return False


def _runs_without(bare: Any, blocks: Sequence[str], shape: tuple[int, ...]) -> bool:
    """Whether the network runs without some blocks and returns what it returned in shape."""
    smaller = copy.deepcopy(bare)
    image = torch.zeros(shape, device="meta")
    with torch.no_grad():
        try:
            for path in blocks:
                leave_out(smaller, path)
            return bool(smaller(image).shape == bare(image).shape)
        except Exception:  # whatever its code does where a block is no longer there
            return False


@contextlib.contextmanager
def without(model: Any, blocks: Sequence[str]) -> Iterator[None]:
    """Leave blocks out of a network for a while."""
    taken = [(path, leave_out(model, path)) for path in blocks]
    try:
        yield
    finally:
        for path, block in taken:
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, block)


__all__ = ["CHANGES", "NEEDED", "residual_blocks", "without"]
