"""The search for mappings of sparse designs: dense bounds of a machine that is never dearer, and counts with zeros.

Where the space is small, every mapping is looked at and the best is proven. Else the dense search gives a value that no
mapping goes below, and the mappings that come near it, and changed ones, are counted with their zeros: the certificate
then says how far the best may be above the optimum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import MappingError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.sparse import NOTHING_LEFT_OUT
from dovetail.mapper.exact.compiled import compile_all, load_counting
from dovetail.mapper.exact.completion import MOST_ENTRIES
from dovetail.mapper.exact.cover import Cover, Watch
from dovetail.mapper.exact.goal import goal_of
from dovetail.mapper.exact.prepare import prepare
from dovetail.mapper.exact.space import OutOfReach, build_space
from dovetail.mapper.exact.tables import mapspace_size
from dovetail.mapper.limits import GENES
from dovetail.mapper.local.moves import DRAWS, brood_of, change
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapper.sparse.every import every_mapping
from dovetail.mapper.sparse.floor import Floor, floor_of
from dovetail.mapper.sparse.idle import with_idle_loops
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats, Nest
from dovetail.model.batch import evaluate_batch
from dovetail.model.compile import resumed
from dovetail.model.cost import Cost
from dovetail.model.encode import encode_mapping
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: The mappings that a certificate of a sparse design is about.
SPARSE_SPACE = (
    "mappings of perfect factors in which all tensors of a level share its loops, loops of one iteration where the "
    "permutations have them"
)
#: Mappings near the dense optimum that are counted with their zeros, and by how much they may be above it.
NEAR, WITHIN = 256, (1.0, 1.001, 1.01, 1.05)
#: Changed mappings a round, those of them that are counted, rounds without a better one that end the search.
BROOD, PICKED, STALE = 512, 12, 12
#: Shares of the time there is until bounds must be tabulated, and until the dense search must be done.
SETTING_OUT, PROVING = 0.3, 0.6
#: Seconds that a search without a limit changes mappings for, where nothing is proven.
PATIENCE = 10.0


def search_sparse(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best mapping of a problem on a sparse design that is found, and how it is known.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        front: return a Pareto front over (energy, cycles), too: of the mappings met, complete where all were.
        time_limit: seconds after which the best so far is returned, with a bound; None: no limit.
        progress: told now and then how far the search is.

    Raises:
        NoMappingError: no mapping that fits was met.
        InputError: a constraint contradicts itself, the energy table misses something, or the problem is no product
            of two tensors.
    """
    compile_all(progress)  # before the clock runs
    work = _Search(problem, bound_to(architecture, problem), energies, objective, front, Watch(time_limit, progress))
    return resumed(work.result, work.watch.stop)


@dataclass(frozen=True)
class _Known:
    """A mapping with its cost."""

    mapping: Mapping
    cost: Cost
    rank: tuple[float, float]


@dataclass
class _Search:
    """A search that can be interrupted anywhere and asked again: it goes on with what it has, and comes to an end.

    Attributes:
        problem, architecture, energies, objective, front: as in `search_sparse`; constraints are bound.
        watch: says when to stop.
        best: the best mapping met.
        points: (energy, cycles) to mapping of all that nothing met beats.
        counted: mappings counted with their zeros.
        hopeless: mappings left out as none goes below their floor.
    """

    problem: Problem
    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    front: bool
    watch: Watch
    best: _Known | None = None
    points: dict[tuple[float, float], Mapping] = field(default_factory=dict)
    counted: int = 0
    hopeless: int = 0
    _floor: Floor | None = None
    _space: Mapspace | None = None
    _refusal: str = ""

    def result(self) -> SearchResult:
        """Return the best mapping, or the best so far once the watch is stopped."""
        floor = self._floor = self._floor or floor_of(self.problem, self.architecture, self.energies)
        plain = self._plain()
        space = self._space = self._space or Mapspace.of(
            self.problem, plain, self.energies, self.objective, floor.machine
        )
        listing = every_mapping(space)
        covered = False
        bound, cycles, energy, size = 0.0, 1, 0.0, listing.count if listing else 0
        if listing is not None:
            try:
                self._look_at(space, floor, listing.batches)
                covered = True
            except OutOfReach:
                covered = False
        if not covered:
            bound, cycles, energy, reached = self._near_the_floor(plain, floor)
            size = size or reached
            self._change(space, floor)
        if self.best is None:
            if self.watch.is_stopped:
                raise KeyboardInterrupt  # before anything was met
            why = f" (the last one: {self._refusal})" if self._refusal else ""
            none = "there is" if covered else "was met"
            raise NoMappingError(f"{self.problem.name} on {self.architecture.name}: no mapping that fits {none}{why}")
        return self._answer(self.best, covered, bound, (cycles, energy, size))

    def _plain(self) -> Architecture:
        """Return the design without what it does about zeros: its floor's machine stands for that."""
        return replace(
            self.architecture,
            levels=tuple(replace(level, sparse=NOTHING_LEFT_OUT) for level in self.architecture.levels),
        )

    def _look_at(self, space: Mapspace, floor: Floor, batches: Iterator[Crowd]) -> None:
        """Count every mapping of batches that may be better than the best known, in the order of their floors."""
        for crowd in batches:
            least, energy = self._floors(space, floor, crowd)
            for at in np.lexsort((energy, least)):
                self.watch.check()
                if self.best is not None and not self.front and least[at] > self.best.rank[0]:
                    self.hopeless += 1
                    continue
                self._count(space.mapping(crowd.take(np.array([at]))))

    def _floors(self, space: Mapspace, floor: Floor, crowd: Crowd) -> tuple[Floats, Floats]:
        """Return what each of a crowd does not go below, and its energy on the floor's machine."""
        nests = Nest._make([*(np.ascontiguousarray(crowd.genes[:, at]) for at in range(GENES)), crowd.keep])
        costs = evaluate_batch(nests, space.rules, space.machine)
        return floor.values(self.objective, costs.energy_pJ, costs.cycles.astype(np.float64)), costs.energy_pJ

    def _count(self, mapping: Mapping) -> None:
        """Count a mapping with its zeros, and keep it where it is better."""
        full = with_idle_loops(mapping, self.architecture, self.problem)
        self.counted += 1
        try:
            cost = evaluate(full, self.problem, self.architecture, self.energies)
        except MappingError as error:  # a tile or its metadata is too large, or a format does not go with it
            self._refusal = str(error)
            return
        first, second = ranks_of(self.objective, np.array(cost.energy_pJ), np.array(float(cost.cycles)))
        rank = float(first), float(second)
        if self.best is None or rank < self.best.rank:
            self.best = _Known(full, cost, rank)
        if self.front:
            self._keep_point(cost, full)

    def _keep_point(self, cost: Cost, mapping: Mapping) -> None:
        point = cost.energy_pJ, float(cost.cycles)
        if any(energy <= point[0] and cycles <= point[1] for energy, cycles in self.points):
            return
        beaten = [(energy, cycles) for energy, cycles in self.points if energy >= point[0] and cycles >= point[1]]
        for worse in beaten:
            del self.points[worse]
        self.points[point] = mapping

    def _near_the_floor(self, plain: Architecture, floor: Floor) -> tuple[float, int, float, int]:
        """Count the mappings that the dense search finds near the least value on the floor's machine.

        Returns:
            A value that no mapping goes below, the same of cycles and of energy, and how many mappings there are.
        """
        try:
            space = build_space(self.problem, plain, self.energies, floor.machine)
            self.watch.share = SETTING_OUT
            prepared = prepare(space, MOST_ENTRIES, self.watch.check)
        except OutOfReach:
            self.watch.share = 1.0
            return 0.0, 1, 0.0, 0
        if prepared.tables.parallelism[0, -1] == 0:
            return 0.0, 1, 0.0, 0
        if any(rows.any() for rows in space.by_model):
            with self.watch.paused():
                load_counting()
        self.watch.doing, self.watch.share = "with the least that zeros leave", PROVING
        cover = Cover(prepared, self.energies, self.watch)
        cycles = max(1, math.floor(prepared.least_cycles * floor.pace))
        energy = max(0.0, prepared.compulsory_pJ - floor.slack_pJ)
        bound = floor.value(self.objective, 0.0, prepared.compulsory_pJ)
        try:
            answer = cover.best(self.objective)
            bound = floor.value(self.objective, answer.bound, prepared.compulsory_pJ)
            self._count(answer.best.mapping(prepared))
            for factor in WITHIN:
                found = cover.below(goal_of(self.objective.code, answer.bound * factor * (1 + 1e-12)))
                for one in found[:NEAR]:
                    self.watch.check()
                    self._count(one.mapping(prepared))
        except OutOfReach:
            pass  # what there is will do
        finally:
            self.watch.share = 1.0
        return bound, cycles, energy, mapspace_size(prepared.space)

    def _change(self, space: Mapspace, floor: Floor) -> None:
        """Change the best mapping at random, and count the changed ones whose floors are lowest."""
        if self.best is None:
            self._count_some(space)
        if self.best is None:
            return
        generator, met, stale, until = np.random.default_rng(0), set[int](), 0, time.monotonic() + PATIENCE
        crowd = self._crowd_of(space, self.best.mapping)
        while stale < STALE and not self.watch.is_over() and (self.watch.limit or time.monotonic() < until):
            before = self.best.rank
            changed = _changed(space, crowd, generator)
            least, energy = self._floors(space, floor, changed)
            picked = 0
            for at in np.lexsort((energy, least)).tolist():
                one = changed.take(np.array([at]))
                mark = hash((one.genes.tobytes(), one.keep.tobytes()))
                if mark in met or least[at] > self.best.rank[0]:
                    continue
                met.add(mark)
                known = self.best
                self._count(space.mapping(one))
                if self.best is not known:
                    crowd = one.joined(crowd).take(np.arange(min(16, len(crowd.rank) + 1)))
                picked += 1
                if picked == PICKED or self.watch.is_over():
                    break
            stale = 0 if self.best.rank < before else stale + 1

    def _count_some(self, space: Mapspace) -> None:
        """Count mappings of a listed space, or random ones, until one fits."""
        for nests in (sample(self.problem, self._plain(), 2048, seed) for seed in range(4)):
            genes, keep = space.genes(nests), nests.keep
            for at in range(len(keep)):
                if self.best is not None or self.watch.is_over():
                    return
                self._count(space.mapping(Crowd(genes[[at]], keep[[at]], np.zeros((1, 2)))))

    def _crowd_of(self, space: Mapspace, mapping: Mapping) -> Crowd:
        nest = encode_mapping(mapping.normalized(), self.problem, space.architecture)
        genes = space.genes(Nest._make(array[None] for array in nest))
        return Crowd(genes, nest.keep[None], np.zeros((1, 2)))

    def _answer(self, best: _Known, covered: bool, bound: float, known: tuple[int, float, int]) -> SearchResult:
        cycles, energy, size = known
        value = self.objective.value_of(best.cost.energy_pJ, best.cost.cycles)
        exact = covered
        method = f"every mapping looked at: {self.counted:,} counted with their zeros, {self.hopeless:,} without a hope"
        if not covered:
            method = (
                f"the dense search, on a machine on which nothing costs more than with its zeros, and the best of "
                f"{self.counted:,} mappings counted with them"
            )
        certificate = Certificate(
            exact=exact,
            mapspace_size=size,
            states=self.counted,
            pruned_by_bound=self.hopeless,
            pruned_by_dominance=0,
            pruned_by_capacity=0,
            value=value,
            bound=value if exact else min(bound, value),
            compute_bound_cycles=min(cycles, best.cost.cycles),
            compulsory_pJ=min(energy, best.cost.energy_pJ),
            binding=(),
            method=method,
            seconds=self.watch.seconds,
            space=SPARSE_SPACE,
            tie_proven=covered,
        )
        points = tuple(FrontPoint(point[0], int(point[1]), mapping) for point, mapping in sorted(self.points.items()))
        interrupted = self.watch.is_stopped
        return SearchResult(self.objective, best.mapping, best.cost, certificate, points, interrupted=interrupted)


def _changed(space: Mapspace, crowd: Crowd, generator: np.random.Generator) -> Crowd:
    """Return changed mappings of a crowd that obey and fit."""
    mothers = (generator.random(BROOD) ** 2 * len(crowd.rank)).astype(np.int64)
    fathers = generator.integers(0, len(crowd.rank), BROOD)
    genes, keep = crowd.genes[mothers], crowd.keep[mothers]
    brood = brood_of(genes, keep, crowd.genes, fathers, generator.random((BROOD, DRAWS)))
    excess = np.empty(BROOD, np.int64)
    change(space.limits, brood, excess)
    good = np.flatnonzero(excess == 0)
    return Crowd(genes[good], keep[good], np.zeros((len(good), 2)))
