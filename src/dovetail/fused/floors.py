"""What a nest of blocks costs at least, whatever its blocks: bounds that leave most sizes of blocks unsearched.

Blocks one after the other are a mapping of the whole product, whose outermost loops go from block to block; it has as
much of the memory as the smallest block leaves, and what the model counts for it is at most what the blocks cost apart
(it does not fetch again what the block before has left). So a product of all blocks costs no less than the whole
product's best mapping there. That mapping may read keys once; blocks read all keys for every block of queries. So they
cost no less, either, than reading keys that often and the whole product's best mapping where reading the outermost
level is free.

Whatever a design's constraints say of factors must hold for the whole product where it holds for a block: ``=`` 1 and
``<=`` do. Where they say something else, only computing, the keys and values, and what is carried is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.fused.attention import Attention, Blocks
from dovetail.fused.nest import Site, carried_of, least_streamed, ways
from dovetail.hardware.architecture import Architecture, LoopConstraints, Relation
from dovetail.mapper.allowance import Limit, divided
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.packing import operation_energy, packed
from dovetail.network.jobs import Job
from dovetail.workload.network import Layer

#: Runs jobs: the outcome of each, in order.
Run = Callable[[list[Job], str], list[SearchResult | NoMappingError]]


@dataclass(frozen=True)
class Floors:
    """What either product, all its blocks, costs at least.

    Attributes:
        energies_pJ: of scores, and of values.
        inside_pJ: likewise, where reading the outermost level is free.
        cycles: likewise.
    """

    energies_pJ: tuple[float, float]
    inside_pJ: tuple[float, float]
    cycles: tuple[int, int]

    def of(self, attention: Attention, blocks: Blocks, site: Site) -> tuple[float, float]:
        """Return (pJ, cycles) that one run in blocks of these sizes takes at least."""
        carried, streamed = carried_of(attention, blocks, site), least_streamed(attention, blocks, site)
        energy, cycles = carried.energy_pJ, float(carried.cycles)
        for product in range(2):
            energy += max(self.energies_pJ[product], self.inside_pJ[product] + streamed[product][0])
            cycles += max(self.cycles[product], streamed[product][1])
        return energy * (1 - 1e-9), cycles


def floors_of(attention: Attention, site: Site, reserved: int, limit: Limit, run: Run) -> Floors:
    """Return what the products cost at least.

    Args:
        attention: the products.
        site: where they are worked on.
        reserved: words of the memory that the smallest block takes.
        limit: what a search may take.
        run: runs jobs.

    Raises:
        NoMappingError: a product has no mapping, whatever the blocks.
    """
    problems = attention.scores.problem, attention.values.problem
    compute = site.architecture.compute
    one = site.energies[compute.name].energy("compute")
    computing = [each.macs * one * operation_energy(each, compute) for each in problems]
    cycles = [-(-each.macs // packed(site.architecture, each).parallelism) for each in problems]
    plain = Floors((computing[0], computing[1]), (computing[0], computing[1]), (cycles[0], cycles[1]))
    if not _holds_for_the_whole(site.architecture):
        return plain
    free = _reads_free(site)
    products = (attention.scores, attention.values)
    found = [
        [_least(layer, where, reserved, objective, limit, run) for layer in products]
        for where, objective in ((site, Objective.ENERGY), (free, Objective.ENERGY), (site, Objective.LATENCY))
    ]
    (one, two), (three, four), (five, six) = found
    return Floors((one, two), (three, four), (int(five), int(six)))


def _least(layer: Layer, site: Site, reserved: int, objective: Objective, limit: Limit, run: Run) -> float:
    """Return what no mapping of a whole product, in any reading, goes below."""
    listed = ways(layer, site, reserved, added=False)
    seconds = divided(limit, max(1, len(listed)))
    jobs = [
        Job(reading.problem, _loops_free(design), energies, objective, time_limit=seconds)
        for reading, (design, energies) in listed
    ]
    outcomes = run(jobs, layer.name)
    bounds = [each.certificate.bound for each in outcomes if isinstance(each, SearchResult)]
    if not bounds:
        missed = next((each for each in outcomes if isinstance(each, NoMappingError)), None)
        raise missed or NoMappingError(
            f"{layer.name} on {site.architecture.name}: {site.memory.name} lets pass by what is to stay in it"
        )
    return min(bounds)


def _loops_free(architecture: Architecture) -> Architecture:
    """Return a design whose outermost level may have any loops: those from block to block are among them."""
    first = architecture.levels[0]
    free = replace(first, constraints=replace(first.constraints, temporal=LoopConstraints()))
    return replace(architecture, levels=(free, *architecture.levels[1:]))


def _reads_free(site: Site) -> Site:
    """Return the site with an outermost level that costs nothing."""
    first = site.outermost
    levels = (replace(first, line_pJ=None if first.line_pJ is None else 0.0), *site.architecture.levels[1:])
    price = site.energies[first.name]
    free = replace(price, actions=dict.fromkeys(price.actions, 0.0))
    energies = EnergyTable({**site.energies.components, first.name: free})
    return replace(site, architecture=replace(site.architecture, levels=levels), energies=energies)


def _holds_for_the_whole(architecture: Architecture) -> bool:
    """Tell whether constraints inside of the outermost level that hold for a block hold for many, too."""
    return all(_scales(loops) for loops in _loops(architecture))


def _loops(architecture: Architecture) -> Iterator[LoopConstraints]:
    for level in architecture.levels[1:]:
        yield level.constraints.temporal
        yield level.constraints.spatial


def _scales(loops: LoopConstraints) -> bool:
    bounded = all(
        each.relation is Relation.LE or (each.relation is Relation.EQ and each.value == 1) for each in loops.factors
    )
    return bounded and not loops.maximize and loops.default_min is None
