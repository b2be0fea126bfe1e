"""The search for mappings of sparse designs: dense bounds of machines that are never dearer, and counts with zeros.

Where the space is small, every mapping is looked at and the best is proven. Else it is covered cell by cell
(`dovetail.mapper.sparse.cells`) until no cell can hold anything better, but for what rounding to whole words may come
to. Where cells cannot be told apart any further, or time is up, the certificate says how far the best may be above the
optimum.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import MappingError, NoMappingError, NotMetError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.sparse import NOTHING_LEFT_OUT
from dovetail.mapper.allowance import Limit
from dovetail.mapper.exact.compiled import compile_all, load_counting
from dovetail.mapper.exact.space import OutOfReach, build_space
from dovetail.mapper.exact.tables import mapspace_size
from dovetail.mapper.exact.watch import Watch
from dovetail.mapper.limits import GENES
from dovetail.mapper.local.improve import make_ready, nearest_on
from dovetail.mapper.local.moves import DRAWS, brood_of, change
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapper.sparse.cells import Bounded, Cells
from dovetail.mapper.sparse.every import every_mapping
from dovetail.mapper.sparse.floor import Floor
from dovetail.mapper.sparse.idle import with_idle_loops
from dovetail.mapper.sparse.shares import TileShares
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.mapping import Mapping
from dovetail.model.apart import refuse_apart
from dovetail.model.arrays import Floats, Nest
from dovetail.model.batch import evaluate_batch
from dovetail.model.compile import resumed
from dovetail.model.cost import Cost
from dovetail.model.encode import encode_machine, encode_mapping
from dovetail.model.evaluate import evaluate
from dovetail.model.sparse.scene import scene_of
from dovetail.workload.problem import Problem

#: The mappings that a certificate of a sparse design is about.
SPARSE_SPACE = (
    "mappings of perfect factors in which all tensors of a level share its loops, loops of one iteration where the "
    "permutations have them"
)
#: A value is proven that is at most this, relatively, above one that no mapping goes below: words are rounded.
ROUNDED = 1e-4
#: Mappings that are looked at one by one rather than cell by cell; cells that are looked at.
FEW, MOST_CELLS = 20_000, 64
#: Mappings, capacities not yet counted, from which on cells come first: to list them takes longer than to bound them.
LONG_TO_LIST = 1_000_000
#: Changed mappings a round, those of them that are counted, rounds without a better one that end the search.
BROOD, PICKED, STALE = 512, 12, 12
#: Mappings that are counted at least before a search without time says that it met none that fits.
TRIES = 64
#: Share of the time there is that cells may take.
PROVING = 0.7
#: Rounds of changes at most: after the first cell, for a better mapping to prune by, and where nothing is proven.
FIRST_ROUNDS, MOST_ROUNDS = 40, 120
#: Tiles of a first cell from which on a local search meets a mapping to prune by before, and how many it looks at.
LARGE, BEFORE = 8_000, 8_000
#: How near, relatively, the first cell's mapping must come to its bound to be good enough to prune by.
CLOSE = 1.2


def search_sparse(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: Limit = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best mapping of a problem on a sparse design that is found, and how it is known.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        front: return a Pareto front over (energy, cycles), too: of the mappings met, complete where all were.
        time_limit: what it may take, then the best so far is returned, with a bound: seconds, or an
            `dovetail.mapper.allowance.Allowance` of seconds, steps of work and memory; None: no limit.
        progress: told now and then how far the search is.

    Raises:
        NoMappingError: no mapping that fits was met (`NotMetError`), or there is none.
        InputError: a constraint contradicts itself, the energy table misses something, or the problem is no product
            of two tensors.
    """
    bound = bound_to(architecture, problem)
    compile_all(
        progress, [(problem, bound)]
    )  # before the clock runs, and after a design that speaks of another problem is refused
    work = _Search(problem, bound, energies, objective, front, Watch(time_limit, progress))
    return resumed(work.result, work.watch.stop)


@dataclass(frozen=True)
class _Known:
    """A mapping with its cost."""

    mapping: Mapping
    cost: Cost
    rank: tuple[float, float]


@dataclass(frozen=True)
class _Proof:
    """What no mapping goes below: a value, cycles and pJ."""

    bound: float
    cycles: int
    energy_pJ: float


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
    _cells: Cells | None = None
    _proof: _Proof | None = None
    _refusal: str = ""

    def result(self) -> SearchResult:
        """Return the best mapping, or the best so far once the watch is stopped."""
        cells = self._cells = self._cells or self._laid_out()
        floor = cells.floor(cells.everything)
        space = self._mapspace(floor)
        size = mapspace_size(cells.space)
        quick = size < LONG_TO_LIST
        listing = every_mapping(space) if quick else None
        tried = listing is not None and listing.count <= FEW
        covered = listing is not None and tried and self._looked_at(space, floor, listing.batches)
        proof = _Proof(0.0, 1, 0.0)
        if not covered:
            proof = self._proof = self._proof or self._cell_by_cell(cells)
            if not self._is_proven(proof) and not tried:
                listing = listing if quick else every_mapping(space)
                covered = listing is not None and self._looked_at(space, floor, listing.batches)
            if not covered and not self._is_proven(proof):
                self._change(floor, MOST_ROUNDS)
            if not covered and self.best is None:
                self._count_some(space)
        if self.best is None:
            if self.watch.is_stopped:
                raise KeyboardInterrupt  # before anything was met
            why = f" (the last one: {self._refusal})" if self._refusal else ""
            none, error = ("there is", NoMappingError) if covered else ("was met", NotMetError)
            raise error(f"{self.problem.name} on {self.architecture.name}: no mapping that fits {none}{why}")
        return self._answer(self.best, covered, proof, size if listing is None else listing.count)

    def _laid_out(self) -> Cells:
        """Return the mapspace, ready to be looked at cell by cell."""
        refuse_apart(self.architecture, self.energies)
        machine = encode_machine(self.problem, self.architecture, self.energies, apart=True)
        space = build_space(self.problem, self._plain(), self.energies, machine)
        if any(rows.any() for rows in space.by_model):
            with self.watch.paused():
                load_counting()
        shares = TileShares(scene_of(self.problem, self.architecture), space)
        return Cells(space, shares, machine, self.architecture, self.energies, self.objective, self.watch)

    def _mapspace(self, floor: Floor) -> Mapspace:
        return Mapspace.of(self.problem, self._plain(), self.energies, self.objective, floor.machine)

    def _plain(self) -> Architecture:
        """Return the design without what it does about zeros: its floor's machine stands for that."""
        return replace(
            self.architecture,
            levels=tuple(replace(level, sparse=NOTHING_LEFT_OUT) for level in self.architecture.levels),
        )

    def _is_proven(self, proof: _Proof) -> bool:
        return self.best is not None and bool(self.best.rank[0] <= proof.bound * (1 + ROUNDED))

    def _looked_at(self, space: Mapspace, floor: Floor, batches: Iterator[Crowd]) -> bool:
        """Look at all mappings of batches; False where time is up before."""
        try:
            self._look_at(space, floor, batches)
        except OutOfReach:
            return False
        return True

    def _cell_by_cell(self, cells: Cells) -> _Proof:
        """Look at the cells of the mapspace, those that promise most first, until none can hold anything better."""
        number = itertools.count()
        waiting = [(0.0, next(number), cell) for cell in cells.first(cells.whole())]
        begun, seen = len(waiting), list[Bounded]()
        self.watch.doing, self.watch.share = "with the least that zeros leave", PROVING
        closed = np.inf
        try:
            if self.best is None and int(waiting[0][2].allowed.sum()) >= LARGE:
                self._begin(cells.floor(waiting[0][2].allowed))
            for looked in range(MOST_CELLS):
                known = np.inf if self.best is None else self.best.rank[0]
                if not waiting or waiting[0][0] * (1 + ROUNDED) >= known:
                    break
                self.watch.check()
                cell, place = waiting[0][2], waiting[0][1]
                found = cells.look(cell, known)
                heapq.heappop(waiting)
                seen += [found] if place < begun else []
                cost = None if found.nearest is None else self._count(found.nearest)
                known = np.inf if self.best is None else self.best.rank[0]
                parts = [] if found.bound * (1 + ROUNDED) >= known else list(cells.parts(cell, found, cost, known))
                if not looked and found.bound * CLOSE < known:
                    self._change(cells.floor((parts[0] if parts else cell).allowed), FIRST_ROUNDS)
                if not parts:
                    closed = min(closed, found.bound)
                for part in parts:
                    heapq.heappush(waiting, (part.bound, next(number), part))
        except OutOfReach:
            pass  # what there is will do
        finally:
            self.watch.share = 1.0
        left = [bound for bound, _, _ in waiting]
        held = [one for one in seen if one.bound < np.inf] if len(seen) == begun else []
        cycles = min((one.cycles for one in held), default=1)
        return _Proof(min([closed, *left]), cycles, min((one.energy_pJ for one in held), default=0.0))

    def _begin(self, floor: Floor) -> None:
        """Count what a short local search meets on a floor's machine."""
        with self.watch.paused():
            make_ready(self.problem, self._plain(), self.energies)
        try:
            met = nearest_on(self._mapspace(floor), evaluations=BEFORE, stop=self.watch.is_over)
        except NotMetError:
            return
        self._count(met)

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

    def _count(self, mapping: Mapping) -> Cost | None:
        """Count a mapping with its zeros, and keep it where it is better; None where it does not fit."""
        full = with_idle_loops(mapping, self.architecture, self.problem)
        self.counted += 1
        try:
            cost = evaluate(full, self.problem, self.architecture, self.energies)
        except MappingError as error:  # a tile or its metadata is too large, or a format does not go with it
            self._refusal = str(error)
            return None
        first, second = ranks_of(self.objective, np.array(cost.energy_pJ), np.array(float(cost.cycles)))
        rank = float(first), float(second)
        if self.best is None or rank < self.best.rank:
            self.best = _Known(full, cost, rank)
        if self.front:
            self._keep_point(cost, full)
        return cost

    def _keep_point(self, cost: Cost, mapping: Mapping) -> None:
        point = cost.energy_pJ, float(cost.cycles)
        if any(energy <= point[0] and cycles <= point[1] for energy, cycles in self.points):
            return
        beaten = [(energy, cycles) for energy, cycles in self.points if energy >= point[0] and cycles >= point[1]]
        for worse in beaten:
            del self.points[worse]
        self.points[point] = mapping

    def _change(self, floor: Floor, rounds: int) -> None:
        """Change the best mapping at random, and count the changed ones whose floors are lowest."""
        space = self._mapspace(floor)
        if self.best is None:
            self._count_some(space)
        if self.best is None:
            return
        generator, met, stale = np.random.default_rng(0), set[int](), 0
        crowd = self._crowd_of(space, self.best.mapping)
        for _ in range(rounds):
            if stale == STALE or self.watch.is_over():
                break
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

    @property
    def _has_tried(self) -> bool:
        """Whether enough was counted to say that nothing was met, however little time there is."""
        return self.watch.is_stopped or self.counted >= TRIES

    def _count_some(self, space: Mapspace) -> None:
        """Count random mappings until one fits."""
        for nests in (sample(self.problem, self._plain(), 2048, seed) for seed in range(4)):
            genes, keep = space.genes(nests), nests.keep
            for at in range(len(keep)):
                if self.best is not None or (self.watch.is_over() and self._has_tried):
                    return
                self._count(space.mapping(Crowd(genes[[at]], keep[[at]], np.zeros((1, 2)))))

    def _crowd_of(self, space: Mapspace, mapping: Mapping) -> Crowd:
        nest = encode_mapping(mapping.normalized(), self.problem, space.architecture)
        genes = space.genes(Nest._make(array[None] for array in nest))
        return Crowd(genes, nest.keep[None], np.zeros((1, 2)))

    def _answer(self, best: _Known, covered: bool, proof: _Proof, size: int) -> SearchResult:
        value = self.objective.value_of(best.cost.energy_pJ, best.cost.cycles)
        proven = covered or (self._is_proven(proof) and not self.front)
        method = f"every mapping looked at: {self.counted:,} counted with their zeros, {self.hopeless:,} without a hope"
        if not covered:
            method = (
                f"cell by cell, by the dense search on machines on which nothing costs more than with its zeros; "
                f"{self.counted:,} mappings counted with them"
            )
        least = value if covered else min(proof.bound, value)
        certificate = Certificate(
            exact=proven,
            mapspace_size=size,
            states=self.counted,
            pruned_by_bound=self.hopeless,
            pruned_by_dominance=0,
            pruned_by_capacity=0,
            value=value,
            bound=float(value if proven else least),
            compute_bound_cycles=int(min(proof.cycles, best.cost.cycles)),
            compulsory_pJ=float(min(proof.energy_pJ, best.cost.energy_pJ)),
            binding=(),
            method=method,
            seconds=self.watch.seconds,
            space=SPARSE_SPACE if covered or not proven else f"{SPARSE_SPACE}, by more than {ROUNDED:.2%} of its value",
            tie_proven=covered,
        )
        points = tuple(FrontPoint(point[0], int(point[1]), mapping) for point, mapping in sorted(self.points.items()))
        by_itself = not self.watch.has_ended
        return SearchResult(
            self.objective, best.mapping, best.cost, certificate, points, self.watch.is_stopped, by_itself
        )


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
