"""What to shrink, for what, and how: the settings of a run, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dovetail.accuracy.bits import FEWEST_BITS, MOST_BITS
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.models import ModelSpec
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, Recipe
from dovetail.accuracy.runs import MAX_SEEDS, DataRequest
from dovetail.errors import InputError
from dovetail.shrink.methods import is_pruning, search_named
from dovetail.shrink.narrow import TRIED
from dovetail.shrink.searches import BUDGET
from dovetail.shrink.target import Target
from dovetail.workload.widths import LayerBits

#: How the supernet is trained on from the network as given.
SUPERNET = replace(FINE_TUNE, name="supernet", epochs=6, learning_rate=0.1, rest_learning_rate=0.03)


def supernet_recipe(recipe: Recipe, epochs: int | None = None) -> Recipe:
    """Return how a supernet is trained whose networks a recipe trains on: `SUPERNET`, by the recipe's optimizer.

    Muon's and SGD's rates for convolutions undo a transformer: a recipe that names another optimizer has its own.

    Args:
        recipe: of the finalists.
        epochs: instead of `SUPERNET`'s.
    """
    found = SUPERNET if epochs is None else replace(SUPERNET, epochs=epochs)
    if recipe.optimizer == SUPERNET.optimizer:
        return found
    return replace(
        found,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        rest_learning_rate=recipe.rest_learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )


@dataclass(frozen=True)
class Request:
    """What to shrink, for what, and how.

    Attributes:
        model: what makes the network.
        weights: its trained weights by name; None: it is trained first, by the recipe.
        data: what it is for.
        targets: at most so much of one metric.
        out: folder of the run.
        method: of `dovetail.shrink.methods.SEARCHES`, or one that `is_pruning`, for `dovetail.shrink.pruning.prune`.
        recipe: how finalists (and an untrained original) are trained.
        supernet: how the supernet is trained.
        seeds: under how many each chosen network is trained.
        seed: of search and supernet.
        knobs: what the search may turn, of `dovetail.shrink.target.KNOBS`; None: channels and blocks, where there are.
        tried: bits to choose from, falling or not.
        held: bits that are not to be chosen.
        budget: networks that the search may measure.
        finalists: networks trained per target to choose from.
        scratch: train finalists from weights drawn anew, instead of the supernet's.
        reference: also train the original likewise, to compare with.
        batch: images that the design runs at once.
        execution: where torch runs.
        processes: trainings at a time.
    """

    model: ModelSpec
    weights: Mapping[str, Any] | None
    data: DataRequest
    targets: tuple[Target, ...]
    out: Path
    method: str = "supernet"
    recipe: Recipe = MODERN
    supernet: Recipe = SUPERNET
    seeds: int = 1
    seed: int = 0
    knobs: tuple[str, ...] | None = None
    tried: tuple[int, ...] = TRIED
    held: tuple[LayerBits, ...] = ()
    budget: int = BUDGET
    finalists: int = 2
    scratch: bool = False
    reference: bool = True
    batch: int = 1
    execution: Execution = field(default_factory=Execution)
    processes: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "budget", "finalists", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.seeds > MAX_SEEDS:
            raise InputError(f"seeds is {self.seeds}; it must be at most {MAX_SEEDS}")
        if not self.targets:
            raise InputError("no target: write edp=0.3x, energy=120, front, ...")
        if not is_pruning(self.method):
            search_named(self.method)
        elif self.knobs is not None:
            raise InputError(f"knobs are what a search of channels and blocks turns; method {self.method} has none")
        if not self.tried or not all(FEWEST_BITS <= bits <= MOST_BITS for bits in self.tried):
            raise InputError(
                f"bits to choose from are {FEWEST_BITS} to {MOST_BITS}, found {', '.join(map(str, self.tried))}"
            )
        if self.held and not self.narrows:
            raise InputError("bits of layers are held where bits are chosen: write --knobs channels,bits")
        if self.scratch and self.narrows:
            raise InputError("narrow numbers are made of trained weights: leave scratch, or bits among the knobs, out")

    @property
    def narrows(self) -> bool:
        """Whether bits are chosen."""
        return self.knobs is not None and "bits" in self.knobs


__all__ = ["SUPERNET", "Request", "supernet_recipe"]
