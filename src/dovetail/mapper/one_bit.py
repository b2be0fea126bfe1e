"""What one bit more or one fewer on each tensor of a layer would change: the optimum with each, searched anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.search import search as exact_search
from dovetail.workload.problem import Problem
from dovetail.workload.widths import MOST_BITS, SUMS, Width


@dataclass(frozen=True)
class OneBit:
    """A layer with one tensor a bit wider or narrower.

    Attributes:
        tensor: its name, or ``sums`` for partial sums.
        bits: that it has then.
        change: 1 or -1.
        result: the optimum then; None where there is none.
        reason: why there is none; empty otherwise.
    """

    tensor: str
    bits: int
    change: int
    result: SearchResult | None
    reason: str = ""


def one_bit(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    *,
    time_limit: Limit = None,
    search: SearchFunction | None = None,
) -> Iterator[OneBit]:
    """Yield the optimum with one bit fewer and one more, for every width that the layer states.

    Args:
        problem: the layer.
        architecture: the design.
        energies: of its components.
        objective: what to minimise.
        time_limit: seconds for each search; None: until it is proven.
        search: what finds the optimum; None: the exact mapper.
    """
    stated: list[tuple[str, Width]] = [
        (tensor.name, width)
        for tensor, width in zip(problem.shape.tensors, problem.widths, strict=False)
        if width is not None
    ]
    stated += [] if problem.sum_bits is None else [(SUMS, Width(problem.sum_bits))]
    for name, width in stated:
        for change in (-1, 1):
            bits = width.bits + change
            if not 1 <= bits <= MOST_BITS:
                continue
            other = problem.with_widths({name: replace(width, bits=bits)})
            try:
                result = (search or exact_search)(other, architecture, energies, objective, time_limit=time_limit)
                yield OneBit(name, bits, change, result)
            except (InputError, NoMappingError) as error:
                yield OneBit(name, bits, change, None, error.message if isinstance(error, InputError) else str(error))
