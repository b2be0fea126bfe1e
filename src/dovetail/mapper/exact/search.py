"""The exact search: the best of all mappings that an architecture allows, with a certificate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import MappingError, NoMappingError, NotMetError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.exact.ceiling import Known
from dovetail.mapper.exact.compiled import compile_all, load_counting, load_most
from dovetail.mapper.exact.completion import Completion, build_completion
from dovetail.mapper.exact.cover import LIKELY, Answer, Cover, Found, rank
from dovetail.mapper.exact.effort import Crowded, Effort
from dovetail.mapper.exact.flat import flat_completion
from dovetail.mapper.exact.front import pareto_front
from dovetail.mapper.exact.goal import MARGIN
from dovetail.mapper.exact.infeasible import reason
from dovetail.mapper.exact.prepare import LaidOut, Prepared, lay_out, with_bounds
from dovetail.mapper.exact.rows import BY_BOUND, BY_CAPACITY, BY_DOMINANCE, STATES
from dovetail.mapper.exact.space import OutOfReach, Space, build_space
from dovetail.mapper.exact.tables import bytes_of_tables, mapspace_size
from dovetail.mapper.exact.watch import INTERRUPT, Watch
from dovetail.mapper.local.improve import best_of_few, improve, is_compiled, make_ready
from dovetail.mapper.local.sample import unproven
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import PERFECT_SPACE, Certificate, FrontPoint, SearchResult
from dovetail.mapping.constraints import violations
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_searched
from dovetail.model.compile import resumed
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: Tabulated least energies for every second that a search may take: filling them must not take most of it; likewise
#: for every step of work.
ENTRIES_A_SECOND, ENTRIES_A_STEP = 20_000_000, 10
#: Shares of what a search may take after which bounds must be tabulated, or coarse ones where these took too long, and
#: after which a proof ends: what is left goes to a local search, from the best known on.
TABULATING, COARSELY, PROVING = 0.4, 0.5, 0.8
#: Likewise for bounds that hold below a known mapping: what is left to search is little, and coarse ones are far off.
TABULATING_BELOW, COARSELY_BELOW = 0.65, 0.7
#: Where the least latency is asked for: from which share to which what goes into the least EDP, the fewest cycles, and
#: the least energy of those that take so few.
FOR_ALL, FOR_EDP, FOR_CYCLES, FOR_ENERGY = (0.0, 1.0), (0.0, 0.5), (0.4, 0.7), (0.6, 1.0)
#: Vectors that coarse bounds have room for, inside the outermost fan-out and at it.
COARSE, COARSE_PRICED = 4, 12
#: Vectors that bounds have room for which hold below a known mapping only.
MORE_VECTORS, MORE_PRICED = 400, 1000
#: And that such bounds have room for at first where many are likely.
FIRST_OF_MANY = 54
#: Mappings that a local search meets before these are tabulated, for every tile, but `LIKELY` at most; tiles beyond
#: which it meets more, as tabulating takes long and so much the longer the dearer the mapping known; and how many then.
MAPPINGS_A_TILE, LARGE, AT_LENGTH = 4, 16_000, 200_000
#: Tiles, times ways to keep them inside the outermost fan-out, beyond which bounds of all mappings are not tried.
CROWDED = 1_000_000
#: Shares of the memory there is for least energies, for what is known of tiles, and for a working table of vectors.
FOR_ENTRIES, FOR_TABLES, FOR_VECTORS = 0.25, 0.5, 1 / 15
#: Steps of work that meeting a mapping in a local search counts for.
STEPS_A_MAPPING = 10
#: Mappings that this may meet without a time limit, and with one.
MANY, MOST = 60_000, 5_000_000


def search(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: Limit = None,
    progress: Callable[[str], None] | None = None,
    begin: Mapping | None = None,
) -> SearchResult:
    """Return the best of all mappings that constraints and capacities allow; see `dovetail.mapper.search.search`.

    ``begin``: one that is likely to be good, which is used if it is one of them.
    """
    as_searched(architecture, problem)  # a design that speaks of another problem is refused before anything is compiled
    compile_all(progress, [(problem, architecture)])
    load_most()
    watch = Watch(time_limit, progress)
    work = _Search(problem, architecture, energies, objective, front, watch, begin)
    return resumed(work.result, watch.stop)


@dataclass
class _Search:
    """A search that can be interrupted anywhere and asked again: it goes on with what it has, and comes to an end.

    Attributes:
        problem, architecture, energies, objective, front: as in `search`.
        watch: says when to stop.
        likely: a mapping that is likely to be good, if one is known.
        cover: the mapspace and what is known of it; None before it is laid out.
        span: from which share of what the search may take to which what it is at goes.
    """

    problem: Problem
    architecture: Architecture
    energies: EnergyTable
    objective: Objective
    front: bool
    watch: Watch
    likely: Mapping | None = None
    cover: Cover | None = None
    span: tuple[float, float] = FOR_ALL

    def result(self) -> SearchResult:
        """Return the best mapping, or the best so far once the watch is stopped; see `search`."""
        try:
            self.cover = self.cover or self._laid_out()
        except OutOfReach as why:
            return self._likely(str(why))
        cover, objective = self.cover, self.objective
        self._until(PROVING)
        answer = cover.best(objective)
        self.watch.share = 1.0
        if not _is_proven(objective, answer):
            answer = replace(answer, best=cover.or_likely(objective, answer.best, self._evaluations), covered=False)
        best = cover.rounded(objective, answer.best) if answer.covered else cover.by_the_model(answer.best)
        points: tuple[FrontPoint, ...] = ()
        complete = True
        if self.front:
            points, complete = pareto_front(cover, best)
        certificate = _certificate(cover.prepared, objective, best.cost, answer, complete, self.watch)
        by_itself = not self.watch.has_ended
        return SearchResult(objective, best.mapping, best.cost, certificate, points, self.watch.is_stopped, by_itself)

    def _laid_out(self) -> Cover:
        """Return the mapspace, with the bounds of all that it holds.

        Raises:
            OutOfReach: it is too large, or the search was stopped.
            NoMappingError: it is empty.
        """
        if self.watch.is_stopped:
            raise OutOfReach(INTERRUPT)
        self.watch.share = TABULATING
        space = build_space(self.problem, self.architecture, self.energies, look=self.watch.check)
        laid_out = lay_out(space, self._effort)
        if self.objective is Objective.LATENCY and not self.front:
            return self._fastest(laid_out)
        return self._covering(laid_out, self.objective)

    def _fastest(self, laid_out: LaidOut) -> Cover:
        """Return what to look for the least latency in.

        If a mapping of the least EDP takes as few cycles as any, that is one with bounds below a mapping's EDP, where
        EDP is proven soonest. Else the fewest cycles are looked for with bounds of all mappings, and the least energy
        of those that take so few with bounds below the EDP of one of them: none that is better has a higher one.

        Raises:
            OutOfReach: the search was interrupted before anything was known.
            NoMappingError: there is no mapping.
        """
        self.span = FOR_EDP
        self.cover = self._covering(laid_out, Objective.EDP)
        if self.cover.begin is None:  # bounds are of all mappings
            self.span = FOR_ALL
            return self.cover
        self._until(PROVING)
        edp = self.cover.best(Objective.EDP)
        try:
            if not edp.covered or edp.best.cycles > laid_out.least_cycles or self._is_slower_by_the_model(edp.best):
                self.span = FOR_CYCLES
                self.cover = self._covering(laid_out, Objective.LATENCY).given(edp)
                self._until(PROVING)
                fastest = self.cover.fastest()
                if fastest is not None and not (edp.covered and edp.best.cycles == fastest.cycles):
                    self.span = FOR_ENERGY
                    if not self._is_slower_by_the_model(fastest):
                        self.cover = self._covering(laid_out, Objective.EDP, fastest).given(edp, fastest)
        except OutOfReach:  # it was interrupted: nothing is searched any more
            pass
        return self.cover

    def _is_slower_by_the_model(self, found: Found) -> bool:
        """Return whether the model rounds a mapping's cycles up to one more than the search counts.

        It may put one first then whose EDP is higher, for which bounds below this one's do not hold.
        """
        assert self.cover is not None
        return self.cover.by_the_model(found).cost.cycles > found.cycles

    def _covering(self, laid_out: LaidOut, objective: Objective, known: Found | None = None) -> Cover:
        """Return a mapspace with bounds, for an objective; ``known``: below this mapping.

        Raises:
            OutOfReach: the search was interrupted.
            NoMappingError: there is no mapping.
        """
        prepared, begin = self._bounded(laid_out, objective, known)
        if prepared.tables.parallelism[0, -1] == 0:
            said = reason(prepared.space, prepared.tables.words, self.architecture, self.energies, self.watch.is_over)
            raise NoMappingError(f"{self.problem.name} on {self.architecture.name}: {said}")
        self.watch.filled(bytes_of_tables(laid_out.space) + prepared.scene.bounds.least.least.nbytes)
        if any(rows.any() for rows in prepared.space.by_model):
            with self.watch.paused():
                load_counting()
        return Cover(prepared, self.energies, self.watch, begin)

    def _until(self, share: float) -> None:
        """Have the search go on until so much is taken of what there is for the objective at hand."""
        first, last = self.span
        self.watch.share = first + (last - first) * share

    @property
    def _effort(self) -> Effort:
        """What may be put into bounds."""
        watch = self.watch
        entries = FOR_ENTRIES * watch.room / np.dtype(np.float32).itemsize
        if watch.limit is not None:
            entries = min(entries, ENTRIES_A_SECOND * watch.limit)
        if watch.work is not None:
            entries = min(entries, ENTRIES_A_STEP * watch.work)
        room = watch.room
        return Effort(watch.check, watch.spent.compared, int(entries), FOR_VECTORS * room, FOR_TABLES * room)

    def _bounded(self, laid_out: LaidOut, objective: Objective, told: Found | None) -> tuple[Prepared, Found | None]:
        """Return a mapspace with bounds; where these need to hold below a known mapping only, with that mapping.

        Raises:
            OutOfReach: the search was interrupted.
        """
        given, effort = (laid_out.space, laid_out.tables, laid_out.per_word), self._effort
        for_all = self.front or objective is Objective.LATENCY
        begin, known = None if for_all else told or self._as_told(), None
        self._until(TABULATING)
        try:
            if begin is None:
                try:
                    if not for_all and _is_crowded(laid_out.space):
                        raise Crowded
                    return with_bounds(laid_out, build_completion(*given, replace(effort, merges=for_all))), None
                except Crowded:
                    tiles = laid_out.space.tiles
                    many = min(LIKELY, MAPPINGS_A_TILE * tiles) if tiles <= LARGE else AT_LENGTH
                    begin = self._begin(objective, many)
                    effort = effort if begin is None else replace(effort, first=FIRST_OF_MANY)
            if begin is not None:
                known = Known(objective, rank(objective, begin)[0], laid_out.least_cycles)
                effort = replace(effort, known=known, vectors=MORE_VECTORS, priced=MORE_PRICED)
                self._until(TABULATING_BELOW)
            return with_bounds(laid_out, build_completion(*given, effort), known), begin
        except OutOfReach:
            if self.watch.is_stopped:
                raise
        return with_bounds(laid_out, self._coarse(laid_out, effort), known), begin

    def _as_told(self) -> Found | None:
        """Return the mapping that is likely to be good; None: there is none, or it is none of those searched."""
        if self.likely is None:
            return None
        try:
            cost = evaluate(self.likely, self.problem, self.architecture, self.energies)
        except MappingError:
            return None
        searched = as_searched(self.architecture, self.problem)
        if violations(self.likely, self.problem, searched):
            return None
        return Found(cost.energy_pJ, cost.cycles, self.likely)

    def _begin(self, objective: Objective, evaluations: int) -> Found | None:
        """Return what a short local search meets; None: nothing that fits."""
        with self.watch.paused():
            make_ready(self.problem, self.architecture, self.energies)
        given = self.problem, self.architecture, self.energies, objective
        try:
            met = improve(*given, evaluations=evaluations, stop=self.watch.is_over)
        except NotMetError:
            return None
        return Found(met.cost.energy_pJ, met.cost.cycles, met.mapping)

    def _coarse(self, laid_out: LaidOut, effort: Effort) -> Completion:
        """Return coarse bounds of all that a mapspace holds, or flat ones where these take too long, too.

        Raises:
            OutOfReach: the search was interrupted.
        """
        given = laid_out.space, laid_out.tables, laid_out.per_word
        self._until(COARSELY if effort.known is None else COARSELY_BELOW)
        try:
            coarse = replace(effort, vectors=COARSE, priced=COARSE_PRICED, entries=effort.entries // 20)
            return build_completion(*given, coarse)
        except OutOfReach:
            if self.watch.is_stopped:
                raise
        return flat_completion(*given)

    @property
    def _evaluations(self) -> int:
        """How many mappings a local search may meet: where there is a time limit, that ends it first."""
        if self.watch.work is not None:
            return max(1, min(MOST, int(self.watch.work * (1 - PROVING)) // STEPS_A_MAPPING))
        return MANY if self.watch.limit is None else MOST

    def _likely(self, why: str) -> SearchResult:
        """Return a mapping that is likely to be good, for a space that cannot be covered."""
        given = self.problem, self.architecture, self.energies, self.objective
        self.watch.share = 1.0
        if not self.watch.is_stopped:
            with self.watch.paused():
                make_ready(self.problem, self.architecture, self.energies)
            found = improve(*given, evaluations=self._evaluations, stop=self.watch.is_over)
        elif is_compiled():  # about a second, so that there is an answer worth having
            found = improve(*given, evaluations=LIKELY)
        else:
            found = best_of_few(*given)
        met = f"the best that a local search met among {found.evaluations:,} mappings"
        stopped = self.watch.is_stopped
        method = f"ended by {why} before any bound: {met}" if stopped else f"beyond exact reach ({why}): {met}"
        certificate = unproven(*given, found.cost, method, found.evaluations, self.watch.seconds)
        by_itself = not self.watch.has_ended
        return SearchResult(self.objective, found.mapping, found.cost, certificate, (), stopped, by_itself)


def _is_crowded(space: Space) -> bool:
    """Return whether a tile is likely to have more vectors of demands than bounds of all mappings have room for."""
    kept = math.prod(len(kinds) for kinds in space.keepers[space.outside + 1 :])
    return kept * space.tiles > CROWDED


def _is_proven(objective: Objective, answer: Answer) -> bool:
    """Return whether nothing is better: all is covered, or the answer is as good as anything can be."""
    return answer.covered or rank(objective, answer.best)[0] <= answer.bound * (1 + MARGIN)


def _certificate(
    prepared: Prepared, objective: Objective, cost: Cost, answer: Answer, complete: bool, watch: Watch
) -> Certificate:
    """Return the certificate of an answer; ``complete``: so is the front, if one was asked for."""
    space, stats = prepared.space, watch.progress.stats
    value = objective.value_of(cost.energy_pJ, cost.cycles)
    parallel = int(prepared.tables.parallelism[0, -1])
    exact = _is_proven(objective, answer) and complete
    return Certificate(
        exact=exact,
        mapspace_size=mapspace_size(space),
        states=int(stats[STATES]),
        pruned_by_bound=int(stats[BY_BOUND]),
        pruned_by_dominance=int(stats[BY_DOMINANCE]),
        pruned_by_capacity=int(stats[BY_CAPACITY]),
        value=value,
        bound=value if exact else min(answer.bound, value),
        compute_bound_cycles=math.ceil(space.problem.macs / parallel),
        compulsory_pJ=prepared.compulsory_pJ,
        binding=_binding(prepared, cost, parallel),
        method=_method(answer, exact),
        space=PERFECT_SPACE,
        tie_proven=answer.covered,
        seconds=watch.seconds,
    )


def _method(answer: Answer, exact: bool) -> str:
    if exact and not answer.covered:
        return "outermost level in, stopped early; the answer equals the lower bound of all mappings"
    if exact:
        return "outermost level in, exact states merged by dominance, all below the answer's value covered"
    if answer.covered:
        return "outermost level in, all below the answer's value covered; stopped early on the rest of the front"
    return f"outermost level in, ended by {answer.ended}; the answer is the best met so far"


def _binding(prepared: Prepared, cost: Cost, parallel: int) -> tuple[str, ...]:
    """Say what stands between the answer and the physical bounds."""
    said = []
    units = prepared.space.machine.units
    if parallel < units:
        said.append(f"constraints, sizes and capacities let at most {parallel} of {units} compute units work at a time")
    steps = cost.levels[-1].cycles
    used = cost.levels[-1].instances
    if used < parallel:
        said.append(f"{used} compute units are used of at most {parallel}")
    slow = [level for level in cost.levels[:-1] if level.cycles > steps]
    if slow:
        worst = max(slow, key=lambda level: level.cycles)
        said.append(f"the bandwidth of {worst.name}: {worst.cycles} cycles against {steps} of computing")
    else:
        said.append(f"computing: {steps} cycles")
    return tuple(said)
