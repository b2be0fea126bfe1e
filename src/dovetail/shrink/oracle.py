"""What a layer costs at any width: mapped exactly on demand, in parallel, never twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.executors import Workers
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import SearchFunction
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import Progress, map_network
from dovetail.shrink.channels import Widths
from dovetail.shrink.layers import NetworkShapes
from dovetail.store import Store
from dovetail.units import edp_J_cycle
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem

#: Fewer layers than this are mapped in this process: starting others takes longer.
_FEW = 40


@dataclass(frozen=True)
class PassCost:
    """What a network costs in one pass.

    Attributes:
        energy_pJ: sum over layers.
        cycles: sum over layers.
        macs: multiply-accumulates.
    """

    energy_pJ: float
    cycles: int
    macs: int

    @property
    def edp_J_cycle(self) -> float:
        """Sum of energies times sum of cycles, in joules times cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)


@dataclass
class CostOracle:
    """Exact costs of layers on one design.

    Attributes:
        architecture: the design.
        energies: what its components cost.
        objective: what each layer's mapping minimises.
        store: where results are kept between runs.
        workers: processes, or any executor; None: one process per CPU. See `map_network`.
        time_limit: seconds per layer; None: until proven.
        progress: told of every mapped layer.
        search: what finds a layer's best mapping; None: the exact mapper.
        known: energy in pJ and cycles of what was asked for already, by problem without its name.
        exact: whether all of them are proven best.
    """

    architecture: Architecture
    energies: EnergyTable
    objective: Objective = Objective.EDP
    store: Store = field(default_factory=Store.disabled)
    workers: Workers = None
    time_limit: Limit = None
    progress: Callable[[Progress], None] | None = None
    search: SearchFunction | None = None
    known: dict[Problem, tuple[float, int]] = field(default_factory=dict)
    exact: bool = True

    def learn(self, problems: Iterable[Problem]) -> None:
        """Map all problems that are not known yet, in parallel.

        Raises:
            NoMappingError: one of them cannot be mapped on the design.
        """
        new = list(dict.fromkeys(key for problem in problems if (key := _nameless(problem)) not in self.known))
        if not new:
            return
        layers = tuple(Layer(f"{number}", replace(problem, name=_named(problem))) for number, problem in enumerate(new))
        cost = map_network(
            Network("layers", layers),
            self.architecture,
            self.energies,
            objective=self.objective,
            time_limit=self.time_limit,
            store=self.store,
            workers=1 if len(new) < _FEW and not isinstance(self.workers, Executor) else self.workers,
            progress=self.progress,
            search=self.search,
        )
        self.exact = self.exact and cost.exact
        for problem, mapped in zip(new, cost.layers, strict=True):
            self.known[problem] = (mapped.cost.energy_pJ, mapped.cost.cycles)

    def of(self, problem: Problem) -> tuple[float, int]:
        """Return energy in pJ and cycles of one run of a layer."""
        key = _nameless(problem)
        if key not in self.known:
            self.learn([key])
        return self.known[key]

    def figures(self, shapes: NetworkShapes, widths: Widths) -> PassCost:
        """Return what the network costs at these widths."""
        return self.figures_of(shapes, [widths])[0]

    def figures_of(self, shapes: NetworkShapes, several: Sequence[Widths]) -> list[PassCost]:
        """Return what the network costs at each of several widths; what is new is mapped together."""
        self.learn(each.problem(widths) for widths in several for each in shapes.staying(widths))
        found = []
        for widths in several:
            parts = [(self.of(each.problem(widths)), each.layer.repeats) for each in shapes.staying(widths)]
            energy = sum(energy * repeats for (energy, _), repeats in parts)
            cycles = sum(cycles * repeats for (_, cycles), repeats in parts)
            found.append(PassCost(energy, cycles, shapes.macs(widths)))
        return found

    def network_cost(self, shapes: NetworkShapes, widths: Widths) -> NetworkCost:
        """Return the network's cost with every layer's mapping."""
        return self.mapped(shapes.at(widths))

    def mapped(self, network: Network) -> NetworkCost:
        """Return any network's cost with every layer's mapping."""
        return map_network(
            network,
            self.architecture,
            self.energies,
            objective=self.objective,
            time_limit=self.time_limit,
            store=self.store,
            workers=self.workers,
            progress=self.progress,
            search=self.search,
        )


def _nameless(problem: Problem) -> Problem:
    return problem if not problem.name else replace(problem, name="")


def _named(problem: Problem) -> str:
    sizes = zip(problem.shape.dimensions, problem.bounds, strict=True)
    return " ".join(f"{name}{bound}" for name, bound in sizes if bound > 1)


__all__ = ["CostOracle", "NoMappingError", "PassCost"]
