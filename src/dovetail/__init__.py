"""Dovetail fits neural networks to accelerators: exact costs, provably best mappings, co-design.

What a person needs stands here; `dir(dovetail)` lists it, `help(dovetail.map)` and its siblings explain it::

    import dovetail

    best = dovetail.map("resnet18:layer1.0.conv1", on="eyeriss_like")
    cost = dovetail.compare(model, on=["eyeriss_like", "my_arch.yaml"], input=x)
    design = dovetail.design("eyeriss_like", shared_glb={"depth": 8192})

Each name is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

# Relative, here and below: what `dovetail.sources` takes for a dependency of every module would be all of the program.
if TYPE_CHECKING:
    from .advice.advice import Advice as Advice
    from .api.advising import advise as advise
    from .api.bounds import bound as bound
    from .api.calls import compare as compare
    from .api.calls import evaluate as evaluate
    from .api.calls import explain as explain
    from .api.calls import map as map
    from .api.designs import Design as Design
    from .api.designs import design as design
    from .api.designs import designs as designs
    from .api.explanations import Explanation as Explanation
    from .api.families import explore as explore
    from .api.figures import Figure as Figure
    from .api.loading import load as load
    from .api.networks import layers as layers
    from .api.networks import networks as networks
    from .api.results import Best as Best
    from .api.results import Comparison as Comparison
    from .api.results import Evaluated as Evaluated
    from .errors import CapacityError as CapacityError
    from .errors import DovetailError as DovetailError
    from .errors import InputError as InputError
    from .errors import InternalError as InternalError
    from .errors import MappingError as MappingError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import NoMappingError as NoMappingError
    from .errors import WriteError as WriteError
    from .family.result import Exploration as Exploration
    from .mapper.allowance import Allowance as Allowance
    from .mapper.objective import Objective as Objective
    from .mapping.mapping import Mapping as Mapping
    from .network.costs import NetworkCost as NetworkCost
    from .network.costs import Totals as Totals
    from .traffic.bounds import Bound as Bound
    from .workload.network import Layer as Layer
    from .workload.network import Network as Network
    from .workload.problem import Problem as Problem
    from .workload.problem import convolution as convolution
    from .workload.problem import linear as linear
    from .workload.problem import matrix_product as matrix_product

#: Where each name stands.
_HOMES = {
    "advice.advice": ("Advice",),
    "api.advising": ("advise",),
    "api.bounds": ("bound",),
    "api.calls": ("compare", "evaluate", "explain", "map"),
    "api.designs": ("Design", "design", "designs"),
    "api.explanations": ("Explanation",),
    "api.families": ("explore",),
    "api.figures": ("Figure",),
    "api.loading": ("load",),
    "api.networks": ("layers", "networks"),
    "api.results": ("Best", "Comparison", "Evaluated"),
    "errors": (
        "CapacityError", "DovetailError", "InputError", "InternalError", "MappingError", "MissingExtraError",
        "NoMappingError", "WriteError",
    ),
    "family.result": ("Exploration",),
    "mapper.allowance": ("Allowance",),
    "mapper.objective": ("Objective",),
    "mapping.mapping": ("Mapping",),
    "network.costs": ("NetworkCost", "Totals"),
    "traffic.bounds": ("Bound",),
    "workload.network": ("Layer", "Network"),
    "workload.problem": ("Problem", "convolution", "linear", "matrix_product"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for."""
    if name not in _HOME_OF:
        from .errors import did_you_mean

        hint = did_you_mean(name, _HOME_OF)
        raise AttributeError(f"module 'dovetail' has no attribute '{name}'{hint}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return what a person needs, loaded or not, and no modules that happen to be loaded."""
    return sorted({*(name for name in globals() if name.startswith("__")), *_HOME_OF})
