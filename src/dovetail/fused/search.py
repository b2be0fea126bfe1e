"""The best nest of blocks for attention: every size of blocks, the best mappings of both products in each.

Sizes are looked at by rising bound (`dovetail.fused.floors`); both products of a size are searched exactly, in every
reading; when the lowest bound that is left is no lower than the best found, that is the best of all. Energy and cycles
of the two add up, so where the objective is their product both whole fronts are searched and every pair of points
tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from dovetail.errors import NoMappingError
from dovetail.executors import Workers, executor_for
from dovetail.fused.attention import Attention, Blocks, all_blocks
from dovetail.fused.floors import Floors, floors_of
from dovetail.fused.nest import Site, carried_of, least_words, ways
from dovetail.mapper.allowance import Limit, allowance_of, divided
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint, SearchResult
from dovetail.model.evaluate import evaluate
from dovetail.network.carried import Carried, sum_carried
from dovetail.network.costs import MappedLayer, Totals, sum_of, totals_of_carried
from dovetail.network.jobs import Job
from dovetail.network.map_network import Progress, Task, results_of
from dovetail.network.readings import Read, best_outcome
from dovetail.store import Store
from dovetail.units import percent, whole
from dovetail.workload.network import Layer
from dovetail.workload.roles import Reading

#: Sizes of blocks that are searched side by side.
TOGETHER = 2


@dataclass(frozen=True)
class FusedAttention:
    """Attention's two products as one nest, at its best.

    Attributes:
        attention: the products, as they came.
        level: the memory that scores do not leave.
        objective: what is minimised, of a run of both products and what is carried.
        blocks: the sizes of its blocks.
        scores: a block's first product with its mapping, as often as there are blocks.
        values: the second.
        carried: queries in and outputs out, all runs together.
        value: of one run, as `Objective.value_of` has it.
        bound: what no nest of one run goes below.
        exact: whether there is no better nest.
        possible: sizes of blocks that fit.
        searched: of these, those whose products were searched.
    """

    attention: Attention = field(repr=False)
    level: str
    objective: Objective
    blocks: Blocks
    scores: MappedLayer = field(repr=False)
    values: MappedLayer = field(repr=False)
    carried: Carried = field(repr=False)
    value: float
    bound: float
    exact: bool
    possible: int
    searched: int

    @property
    def words(self) -> dict[str, int]:
        """What the memory holds while a block is worked on, in words; of keys, and then of values, what it keeps."""
        kept = {"keys": self.scores, "values": self.values}
        streamed = {
            name: sum(tensor.tile for tensor in each.cost[self.level].tensors.values()) for name, each in kept.items()
        }
        return self.blocks.words(self.attention) | streamed

    @property
    def totals(self) -> Totals:
        """What all runs cost."""
        carried = totals_of_carried(self.carried, self.scores.cost.levels[0].name)
        return sum_of([(self.scores.totals, 1), (self.values.totals, 1), (carried, 1)])

    @property
    def known(self) -> str:
        """How good it is known to be, in words."""
        sizes = f"{whole(self.possible)} sizes of blocks that fit"
        if self.exact:
            return f"proven best of {sizes}, {whole(self.searched)} of them searched"
        return f"not proven: at most {percent(self.gap)} above the best of {sizes}"

    @property
    def gap(self) -> float:
        """How far it may be above the best, as a fraction of the bound; 0 where it is proven."""
        return 0.0 if self.exact or self.bound <= 0 else self.value / self.bound - 1.0


@dataclass(frozen=True)
class _Job:
    """How searches are run.

    Attributes:
        objective: what is minimised.
        limit: what a search may take.
        store: where results are kept.
        workers: where searches run.
        progress: told after every search.
    """

    objective: Objective
    limit: Limit
    store: Store
    workers: Workers
    progress: Callable[[Progress], None] | None

    def run(self, jobs: list[Job], name: str) -> list[SearchResult | NoMappingError]:
        """Return the outcomes of jobs."""
        tasks = {job.key: Task(job, name) for job in jobs}
        found = results_of(tasks, set(), self.store, self.workers, self.progress)
        return [found[job.key] for job in jobs]


def fuse_attention(
    attention: Attention,
    site: Site,
    *,
    objective: Objective = Objective.EDP,
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
) -> FusedAttention:
    """Find the best nest of blocks.

    Args:
        attention: the two products.
        site: where it is worked on.
        objective: what one run of both products, and of what is carried, minimises; ties fall to fewer cycles.
        time_limit: seconds for each product, of all sizes of blocks together.
        store: where results of searches are kept and found.
        workers: processes, or any executor.
        progress: called after every search.

    Raises:
        NoMappingError: no block fits, or none has a mapping.
    """
    sizes = all_blocks(attention, site.room)
    if not sizes:
        least = sum(Blocks(1, 1, 1).words(attention).values())
        raise NoMappingError(
            f"{attention.name} on {site.architecture.name}: {site.memory.name} has {whole(site.room)} words, and the "
            f"smallest block of it takes {whole(least)}"
        )
    with executor_for(4 * TOGETHER, workers) as executor:
        how = _Job(objective, time_limit, store or Store.disabled(), executor, progress)
        return _search(attention, site, sizes, how)


def _search(attention: Attention, site: Site, sizes: list[Blocks], how: _Job) -> FusedAttention:
    seconds = allowance_of(how.limit).seconds
    end = None if seconds is None else time.monotonic() + 2 * seconds
    floors = floors_of(attention, site, least_words(sizes, attention), how.limit, how.run)
    waiting = sorted(_ranked(attention, site, sizes, floors, how.objective))
    best: FusedAttention | None = None
    missed: NoMappingError | None = None
    searched, loose = 0, []
    while waiting:
        if best is not None and (waiting[0][0] >= best.value or (end is not None and time.monotonic() > end)):
            break
        some, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
        for (floor, _, _), outcome in zip(some, _search_sizes(attention, site, some, how), strict=True):
            searched += 1
            if isinstance(outcome, NoMappingError):
                missed = missed or outcome
                continue
            if not outcome.exact:
                loose.append(floor)
            if best is None or _rank(outcome) < _rank(best):
                best = outcome
    if best is None:
        assert missed is not None
        raise missed
    left = [*loose, *(floor for floor, _, _ in waiting[:1])]
    bound = min([best.value, *left])
    return replace(best, bound=bound, exact=bound >= best.value, possible=len(sizes), searched=searched)


def _ranked(
    attention: Attention, site: Site, sizes: list[Blocks], floors: Floors, objective: Objective
) -> Iterator[tuple[float, int, Blocks]]:
    """Yield sizes with what they cost at least, and how many blocks they make."""
    for blocks in sizes:
        energy, cycles = floors.of(attention, blocks, site)
        yield objective.value_of(energy, cycles), blocks.count(attention), blocks


def _rank(found: FusedAttention) -> tuple[float, int]:
    return found.value, found.totals.cycles


#: The readings of a product, each with the job that searches it and the design that it runs on.
_Ways = list[tuple[Reading, Job]]


def _search_sizes(
    attention: Attention, site: Site, some: list[tuple[float, int, Blocks]], how: _Job
) -> Iterator[FusedAttention | NoMappingError]:
    """Yield the best nest of each size, or why there is none."""
    listed = [_ways_of(attention, site, blocks, how) for _, _, blocks in some]
    jobs = [job for pair in listed for product in pair for _, job in product]
    outcomes = dict(zip((job.key for job in jobs), how.run(jobs, attention.name), strict=True))
    for (_, _, blocks), pair in zip(some, listed, strict=True):
        reads = [best_outcome([(reading, outcomes[job.key]) for reading, job in product]) for product in pair]
        yield _nest(attention, site, blocks, pair, reads, how)


def _ways_of(attention: Attention, site: Site, blocks: Blocks, how: _Job) -> tuple[_Ways, _Ways]:
    reserved = sum(blocks.words(attention).values())
    streams = blocks.keys < attention.keys
    front = how.objective not in (Objective.ENERGY, Objective.LATENCY)
    found: list[_Ways] = []
    for layer, added in zip(blocks.products(attention), (False, streams), strict=True):
        listed = ways(layer, site, reserved, added=added)
        limit = divided(how.limit, len(listed))
        found.append(
            [
                (reading, Job(reading.problem, *design, how.objective, front=front, time_limit=limit))
                for reading, design in listed
            ]
        )
    return found[0], found[1]


def _nest(
    attention: Attention,
    site: Site,
    blocks: Blocks,
    pair: tuple[_Ways, _Ways],
    reads: list[Read | NoMappingError],
    how: _Job,
) -> FusedAttention | NoMappingError:
    """Return the best nest of a size from its products' results."""
    runs, carried = blocks.count(attention), carried_of(attention, blocks, site)
    known: list[Read] = []
    for read in reads:
        if isinstance(read, NoMappingError):
            return read
        known.append(read)
    first, second = (_points(read.result) for read in known)

    def value(one: FrontPoint, two: FrontPoint) -> tuple[float, float]:
        energy = runs * (one.energy_pJ + two.energy_pJ) + carried.energy_pJ
        cycles = runs * (one.cycles + two.cycles) + carried.cycles
        return how.objective.value_of(energy, cycles), cycles

    best = min(((one, two) for one in first for two in second), key=lambda points: value(*points))
    layers = blocks.products(attention)
    mapped = [
        _at(point, read, layer, ways_of) for point, read, layer, ways_of in zip(best, known, layers, pair, strict=True)
    ]
    return FusedAttention(
        attention,
        site.memory.name,
        how.objective,
        blocks,
        mapped[0],
        mapped[1],
        sum_carried([carried], attention.scores.repeats),
        value=value(*best)[0],
        bound=0.0,
        exact=all(read.result.certificate.exact for read in known),
        possible=0,
        searched=0,
    )


def _points(result: SearchResult) -> tuple[FrontPoint, ...]:
    """Return what there is to choose from."""
    return result.front or (FrontPoint(result.cost.energy_pJ, result.cost.cycles, result.mapping),)


def _at(point: FrontPoint, read: Read, layer: Layer, ways_of: _Ways) -> MappedLayer:
    """Return a product at a point of its front."""
    reading = point.reading or read.reading
    if point.mapping == read.result.mapping and reading.text == read.reading.text:
        return MappedLayer(layer.read_as(reading), read.result)
    job = next(job for other, job in ways_of if other.text == reading.text)
    cost = evaluate(point.mapping, reading.problem, job.architecture, job.energies)
    return MappedLayer(layer.read_as(reading), replace(read.result, mapping=point.mapping, cost=cost))
