"""The one place that imports torch and torchvision: late, and so that torchvision works beside a CPU-only torch.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch its compiled operators can't be loaded, and importing it
ends in ``operator torchvision::nms does not exist``, because its Python part describes operators that were then never
declared. Importing this module puts a finder in front of ``torchvision._meta_registrations`` that declares what is
missing; a healthy torchvision has declared them itself by then and is left alone. The finder works for whoever
imports torchvision later (timm does), in this process. A worker process that is *spawned* has it as soon as it
unpickles anything from a module that imports this one: datasets for loaders should be such classes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from typing import Any

from dovetail.errors import MissingExtraError

#: Operators that torchvision's Python part registers against at import, as its documentation gives their arguments.
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_declared: list[Any] = []  # torch forgets a library's operators when the last reference goes


class _MissingOperators:
    """Finds nothing; declares the missing operators just before the module that needs them is loaded."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname == "torchvision._meta_registrations":
            _declare_missing()
        return None


def _declare_missing() -> None:
    import torch

    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(schema)
            _declared.append(library)


def install() -> None:
    """Make ``import torchvision`` work from here on, in this process; does nothing the second time."""
    if not any(isinstance(finder, _MissingOperators) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MissingOperators())


def import_torch(feature: str) -> Any:
    """Return the module ``torch``; raises MissingExtraError, naming `feature`, when it is absent."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(feature, "torch")
    return importlib.import_module("torch")


def import_torchvision(feature: str) -> Any:
    """Return the module ``torchvision``; raises MissingExtraError, naming `feature`, when it or torch is absent."""
    import_torch(feature)
    if importlib.util.find_spec("torchvision") is None:
        raise MissingExtraError(feature, "torch")
    install()
    return importlib.import_module("torchvision")


install()
