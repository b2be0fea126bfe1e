"""What one bit more or one fewer on each tensor of a layer would change: the optimum with each, searched anew."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.executors import Workers, executor_for
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapping.widths import held, unit_bits
from dovetail.network.alike import settled
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.jobs import Job
from dovetail.network.outcomes import Outcome
from dovetail.network.records import kept_results
from dovetail.store import Store
from dovetail.units import edp_J_cycle
from dovetail.workload.problem import Problem
from dovetail.workload.widths import MOST_BITS, SUMS, Width


@dataclass(frozen=True)
class OneBit:
    """A layer with one tensor a bit wider or narrower, and nothing else changed.

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

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        found = self.result
        cost = None if found is None else found.cost
        figures = {} if cost is None else {
            "cycles": cost.cycles,
            "energy_pJ": cost.energy_pJ,
            "edp_J_cycle": cost.edp_J_cycle,
            "utilization": cost.utilization,
            "exact": found is not None and found.certificate.exact,
        }  # fmt: skip
        return {"tensor": self.tensor, "bits": self.bits, "reason": self.reason, **figures}


def one_bit(
    layers: Sequence[MappedLayer],
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    *,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = 1,
    search: SearchFunction | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[tuple[OneBit, ...]]:
    """Return, per layer, the optimum with one bit fewer and one more, for every width that it states.

    Args:
        layers: as they are, in the words that they were mapped in.
        architecture: the design.
        energies: of its components.
        objective: what to minimise.
        time_limit: seconds for each search; None: until it is proven.
        store: where results are kept and found.
        workers: as in `dovetail.network.map_network.map_network`.
        search: what finds the optimum; None: the exact mapper.
        progress: told how many searches of how many are done, and of which layer the last one was.
    """
    keys: list[list[tuple[str, int, int, str]]] = []  # tensor, bits, change; a job's key or why there is none
    jobs: dict[str, Job] = {}
    names: dict[str, str] = {}
    for layer in layers:
        keys.append([])
        for tensor, bits, change, other in _changes(layer.layer.problem):
            reason = _refused(other, architecture)
            job = Job(other, architecture, energies, objective, False, time_limit, search)
            keys[-1].append((tensor, bits, change, reason or job.key))
            if not reason:
                jobs[job.key], names[job.key] = job, layer.name
    found = _searched(jobs, names, store or Store.disabled(), workers, progress)
    return [tuple(_one(*each[:3], found.get(each[3], each[3])) for each in row) for row in keys]


def one_bit_networks(costs: Sequence[NetworkCost], **options: Any) -> list[list[tuple[OneBit, ...]]]:
    """Return the same for every distinct layer of mapped networks; options as in `one_bit`."""
    return [one_bit(cost.distinct, cost.architecture, cost.energies, cost.objective, **options) for cost in costs]


def _changes(problem: Problem) -> Iterator[tuple[str, int, int, Problem]]:
    """Yield tensor, bits, change and the layer then, for all widths that a layer states."""
    stated: list[tuple[str, Width]] = [
        (tensor.name, width)
        for tensor, width in zip(problem.shape.tensors, problem.widths, strict=False)
        if width is not None
    ]
    stated += [] if problem.sum_bits is None else [(SUMS, Width(problem.sum_bits))]
    for name, width in stated:
        for change in (-1, 1):
            bits = width.bits + change
            if 1 <= bits <= MOST_BITS:
                yield name, bits, change, problem.with_widths({name: replace(width, bits=bits)})


def _refused(problem: Problem, architecture: Architecture) -> str:
    """Return why a design cannot hold or compute such values; empty where it can."""
    try:
        held(problem, architecture)
        unit_bits(problem, architecture.compute)
    except InputError as error:
        return error.message
    return ""


def _searched(
    jobs: dict[str, Job],
    names: dict[str, str],
    store: Store,
    workers: Workers,
    progress: Callable[[int, int, str], None] | None,
) -> dict[str, Outcome]:
    known = kept_results(store, jobs)
    found: dict[str, Outcome] = {**known}
    called = {key: f"{names[key]} on {job.architecture.name}" for key, job in jobs.items()}
    with (
        executor_for(len(jobs) - len(known), workers) as executor,
        contextlib.closing(settled(jobs, known, executor, store, called)) as answers,
    ):
        for key, result in answers:
            found[key] = result
            if progress is not None:
                progress(len(found), len(jobs), f"one bit more and fewer: {names[key]}")
    return found


def _one(tensor: str, bits: int, change: int, found: Outcome | str) -> OneBit:
    if isinstance(found, SearchResult):
        return OneBit(tensor, bits, change, found)
    return OneBit(tensor, bits, change, None, str(found))


@dataclass(frozen=True)
class NetworkBit:
    """A network in which every layer that states a width for a tensor has it a bit wider, or narrower.

    Attributes:
        tensor: its name, or ``sums``.
        change: 1 or -1.
        layers: runs of layers that changed.
        left: runs of layers that state the width and stay as they are, as there is no mapping then.
        energy_pJ: of one pass.
        cycles: of one pass.
        exact: whether every changed layer is proven.
    """

    tensor: str
    change: int
    layers: int
    left: int
    energy_pJ: float
    cycles: int
    exact: bool

    @property
    def edp_J_cycle(self) -> float:
        """Sum of energies times sum of cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "tensor": self.tensor,
            "change": self.change,
            "layers": self.layers,
            "left": self.left,
            "cycles": self.cycles,
            "energy_pJ": self.energy_pJ,
            "edp_J_cycle": self.edp_J_cycle,
            "exact": self.exact,
        }


def network_bits(cost: NetworkCost, changes: Sequence[Sequence[OneBit]]) -> tuple[NetworkBit, ...]:
    """Return what one bit fewer and one more on a tensor of all layers comes to.

    Args:
        cost: the network as it is.
        changes: of its distinct layers, in their order (`one_bit`).
    """
    found = []
    for tensor in dict.fromkeys(one.tensor for row in changes for one in row):
        for change in (-1, 1):
            pairs = [
                (each, one)
                for each, row in zip(cost.distinct, changes, strict=True)
                for one in row
                if (one.tensor, one.change) == (tensor, change)
            ]
            if pairs:
                found.append(_network_bit(cost, tensor, change, pairs))
    return tuple(found)


def _network_bit(
    cost: NetworkCost, tensor: str, change: int, pairs: Sequence[tuple[MappedLayer, OneBit]]
) -> NetworkBit:
    known = [(each.layer.repeats, each.cost, one.result) for each, one in pairs if one.result is not None]
    return NetworkBit(
        tensor,
        change,
        layers=sum(repeats for repeats, *_ in known),
        left=sum(each.layer.repeats for each, one in pairs if one.result is None),
        energy_pJ=cost.energy_pJ + sum(n * (then.cost.energy_pJ - now.energy_pJ) for n, now, then in known),
        cycles=cost.cycles + sum(n * (then.cost.cycles - now.cycles) for n, now, then in known),
        exact=all(then.certificate.exact for *_, then in known),
    )
