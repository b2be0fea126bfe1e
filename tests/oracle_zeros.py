"""Our numbers of a sparse design in the words of the reference's sparse cases."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.sparse import Sparse
from dovetail.model.cost import Cost, TensorCost, TensorZeros
from dovetail.workload.densities import Banded, Density
from dovetail.workload.problem import Problem

_KINDS = ("read", "fill", "update")
_FATES = {"random": "done", "gated": "gated", "skipped": "skipped"}


def access(zeros: TensorZeros) -> dict[str, int]:
    """Return words by what becomes of them and their kind, and those (de)compressed."""
    words = {
        f"{fate}_{kind}": int(getattr(getattr(zeros, kind), ours))
        for (fate, ours), kind in itertools.product(_FATES.items(), _KINDS)
    }
    return {**words, "decompression_count": zeros.decompressed, "compression_count": zeros.compressions}


def lines(zeros: TensorZeros, metadata_width: int) -> dict[str, float]:
    """Return accesses of lines of data and of metadata, and (de)compressions: only those that there are."""
    found: dict[str, float] = dict(zeros.lines)
    for name, bits in zeros.metadata_bits.items():
        fate, kind = name.split("_")
        found[f"{fate}_metadata_{kind}"] = -(-bits // metadata_width)
    counts = {"decompression_count": zeros.decompressed, "compression_count": zeros.compressions}
    return found | {name: count for name, count in counts.items() if count}


def density_name(density: Density) -> str:
    """Return what the reference calls a density."""
    return f"banded-{density.band_width}" if isinstance(density, Banded) else density.kind


def format_name(zeros: TensorZeros) -> str:
    """Return what the reference calls a format."""
    return "".join(f"{rank} " for rank in zeros.format.lower().split("-")) if zeros.format else "none"


#: What the reference says of what it rejects -> what we say: both as patterns; groups of theirs stand in ours.
REASONS = {
    r"level (\S+): mapped tile size (\d+) exceeds buffer capacity (\d+)": r"^{0}: tiles need {1} words .*only {2} fit$",
    r"level (\S+): mapped metadata tile size (\d+) exceeds metadata buffer capacity (\d+)": (
        r"^{0}: metadata needs {1} bits but only {2} fit$"
    ),
    r"word bits > metadata storage width at (\S+)": r"{0}: metadata words of \w+ have \d+ bits",
    r"more compression ranks needed than supported in hardware. dataspace name: (\w+)": r"{0} needs more ranks",
    r"level (\S+): decompression \(from parent level\) needed": r"not at {0}, which has no 'decompression_supported'",
    r"level (\S+): compression \(to parent level\) needed": r"not at {0}, which has no 'compression_supported'",
    r"do not support lower rank uncompressed": r"an uncompressed rank \(\w+\) inside of a compressed one",
    r"(?i)pretiling|pre-tiling": r"compressed level needs at least as many|innermost ranks must be the same",
}
#: What we refuse as a whole; where the reference rejects such a case, whatever for, that is as good.
_NOT_MODELLED = "'skipping_spatial' is not supported"


def other_reason(ours: str, theirs: str) -> Iterator[str]:
    """Yield a difference where the reference rejects a sparse case for another reason, or does not reject it."""
    if not theirs:
        yield f"rejected as '{ours}'; the reference evaluates it"
    elif _NOT_MODELLED not in ours:
        said = ((re.search(pattern, theirs), mine) for pattern, mine in REASONS.items())
        wanted = [mine.format(*map(re.escape, match.groups())) for match, mine in said if match]
        if not wanted or not re.search(wanted[0], ours):
            yield f"rejected as '{ours}', not '{theirs}'"


#: What a case says of a tensor at a level -> our number, of what we say of it, its level and the layer.
TENSOR: dict[str, Callable[[TensorCost, TensorZeros, Storage], Any]] = {
    "access": lambda _, zeros, __: access(zeros),
    "format": lambda _, zeros, __: {key: [list(w) for w in words] for key, words in zeros.metadata_words.items()},
    "format_bits": lambda _, zeros, __: dict(zeros.metadata_bits),
    "lines": lambda _, zeros, level: lines(zeros, level.metadata.width),
    "tile_shape": lambda _, zeros, __: zeros.dense_tile,
    "capacity": lambda tensor, _, __: tensor.tile,
    "metadata_tile": lambda _, zeros, __: [[-int(-m // 1), -int(-p // 1)] for m, p in zeros.metadata_tile],
    "metadata_bits": lambda _, zeros, __: zeros.metadata_held,
    "format_name": lambda _, zeros, __: format_name(zeros),
    "compressed": lambda _, zeros, __: zeros.compressed,
    "confidence": lambda _, __, ___: 1,
    "instances": lambda tensor, _, __: tensor.instances,
    "temporal_reductions": lambda tensor, _, __: tensor.temporal_reductions,
    "address_generations": lambda tensor, _, __: tensor.address_generations,
    "energy_pJ": lambda tensor, _, __: tensor.energy_pJ,
}


def compute(cost: Cost) -> dict[str, Any]:
    """Return what becomes of computations."""
    level = cost.levels[-1]
    assert level.computing is not None
    done = {fate: int(getattr(level.computing, ours)) for fate, ours in _FATES.items()}
    return {
        "algorithmic": cost.computes,
        **done,
        "cycles": level.cycles,
        "energy_pJ": level.compute_pJ,
        "instances_max": level.instances_max,
        "instances_avg": level.instances,
    }


def without_zeros(design: Architecture, layer: Problem) -> tuple[Architecture, Problem]:
    """Return a dense design with room for everything, and a dense layer."""
    levels = (
        replace(level, sparse=Sparse(), depth=None, entries=None)
        if isinstance(level, Storage)
        else replace(level, sparse=Sparse())
        for level in design.levels
    )
    return replace(design, levels=tuple(levels)), replace(layer, densities=())
