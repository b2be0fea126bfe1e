"""How a layer's cost follows one of its dimensions: the staircase, and the sizes that a design likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, did_you_mean
from dovetail.executors import Workers
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.network.map_network import Progress, map_network
from dovetail.store import Store
from dovetail.table import Table, headed
from dovetail.units import read_whole
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem

#: No size is larger.
MOST_SIZE = 10**9 - 1


@dataclass(frozen=True)
class SweepPoint:
    """The layer at one size.

    Attributes:
        size: of the dimension.
        result: its best mapping and cost.
        liked: cheaper per unit than its neighbours; see `Sweep.liked`.
    """

    size: int
    result: SearchResult = field(repr=False)
    liked: bool

    @property
    def computes_per_cycle(self) -> float:
        """Executions of the loop body per cycle."""
        return self.result.cost.computes / self.result.cost.cycles


@dataclass(frozen=True)
class Sweep:
    """One dimension of one layer swept on one design.

    Attributes:
        problem: the layer as it was given.
        architecture: the design.
        objective: what each size's mapping minimises.
        dimension: which dimension.
        points: by rising size.
        notes: how sizes were read, where the layer can be read in several ways, and what else `NetworkCost.notes` says.
    """

    problem: Problem
    architecture: Architecture = field(repr=False)
    objective: Objective
    dimension: str
    points: tuple[SweepPoint, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def liked(self) -> tuple[int, ...]:
        """The sizes that the design likes: the outer corners of the staircase.

        A size is liked when no swept size within an eighth of it (or 2) costs less per unit of the dimension. Energy
        and cycles both grow with a dimension, so "per unit" divides EDP by the size squared, ED2P by its cube.
        """
        return tuple(point.size for point in self.points if point.liked)

    def table(self) -> Table:
        """Return one row per size."""
        columns = (
            self.dimension,
            "liked",
            "cycles",
            "energy uJ",
            "EDP J x cycle",
            "utilization %",
            "computes per cycle",
        )
        return Table(
            headed(*columns),
            tuple(
                (
                    point.size,
                    "*" if point.liked else "",
                    point.result.cost.cycles,
                    point.result.cost.energy_pJ * 1e-6,
                    point.result.cost.edp_J_cycle,
                    100 * point.result.cost.utilization,
                    point.computes_per_cycle,
                )
                for point in self.points
            ),
        )

    def rows(self) -> Table:
        """Return one row per size, numbers in full under the keys of the JSON, for CSV and data frames."""
        columns = ("dimension", "size", "liked", "cycles", "energy_pJ", "edp_J_cycle", "utilization", "exact")
        rows = []
        for point in self.points:
            cost, exact = point.result.cost, point.result.certificate.exact
            numbers = (cost.cycles, cost.energy_pJ, cost.edp_J_cycle, cost.utilization)
            rows.append((self.dimension, point.size, point.liked, *numbers, exact))
        return Table(headed(*columns), tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.problem.name} on {self.architecture.name}, {self.dimension} swept")


def sweep_layer(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    dimension: str,
    sizes: Sequence[int],
    *,
    objective: Objective = Objective.EDP,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
) -> Sweep:
    """Map a layer once for every size of one dimension.

    Args:
        problem: the layer.
        architecture: the design.
        energies: what its components cost.
        dimension: which dimension to sweep.
        sizes: its sizes.
        objective: what each size's mapping minimises.
        time_limit: seconds per size.
        store: where results are kept and found.
        workers: processes, or any executor; None: one process per CPU. See `map_network`.
        progress: called after every finished size.
        search: what finds the best mapping; None: the exact mapper.

    Raises:
        InputError: there is no such dimension, or no size, or one below 1.
        NoMappingError: a size cannot be mapped.
    """
    if dimension not in problem.shape.dimensions:
        raise InputError(
            f"{problem.name} has no dimension '{dimension}'{did_you_mean(dimension, problem.shape.dimensions)}"
        )
    wanted = sorted(set(sizes))
    if not wanted or wanted[0] < 1:
        raise InputError(f"sizes of {dimension} must be whole numbers of at least 1, found {wanted[:1] or 'none'}")
    place = problem.shape.dimensions.index(dimension)
    layers = []
    for size in wanted:
        bounds = (*problem.bounds[:place], size, *problem.bounds[place + 1 :])
        name = f"{dimension}={size}"
        layers.append(Layer(name, replace(problem, bounds=bounds, name=name)))
    cost = map_network(
        Network(problem.name, tuple(layers)),
        architecture,
        energies,
        objective=objective,
        time_limit=time_limit,
        store=store,
        workers=workers,
        progress=progress,
        search=search,
    )
    results = [each.result for each in cost.layers]
    values = [objective.value_of(each.cost.energy_pJ, each.cost.cycles) for each in results]
    liked = liked_sizes(wanted, values, objective)
    points = (SweepPoint(*each) for each in zip(wanted, results, liked, strict=True))
    return Sweep(problem, architecture, objective, dimension, tuple(points), cost.notes)


def liked_sizes(sizes: Sequence[int], values: Sequence[float], objective: Objective) -> list[bool]:
    """Return which sizes are liked, given the objective's value at each; see `Sweep.liked`."""
    each = [value / size**objective.degree for size, value in zip(sizes, values, strict=True)]
    result = []
    for size, own in zip(sizes, each, strict=True):
        reach = max(2, size // 8)
        result.append(all(own <= other for there, other in zip(sizes, each, strict=True) if abs(there - size) <= reach))
    return result


def parse_sizes(text: str) -> list[int]:
    """Read sizes as a person writes them: ``1:128``, ``8:64:8`` (first, last, step), ``16,24,32``, or a mix.

    Raises:
        InputError: the text is none of these.
    """
    sizes: list[int] = []
    for part in text.split(","):
        words = part.split(":")
        ends = [end for word in words if (end := read_whole(word)) is not None and end >= 0]
        if len(ends) < len(words) or len(ends) > 3:
            raise InputError(f"'{part}' is no size: write 64, 1:128 (first and last) or 8:64:8 (and step)")
        if max(ends) > MOST_SIZE:
            raise InputError(f"'{part}': sizes are at most {MOST_SIZE:,}")
        first, last, step = ends[0], ends[min(1, len(ends) - 1)], ends[2] if len(ends) == 3 else 1
        if first < 1 or last < first or step < 1:
            raise InputError(f"'{part}': sizes run upwards from at least 1, in steps of at least 1")
        if (last - first) // step >= 10_000:
            raise InputError(f"'{part}' names more than 10000 sizes")
        sizes += range(first, last + 1, step)
    return sizes
