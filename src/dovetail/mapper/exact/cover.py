"""Covering a mapspace for one objective: a good mapping first, then everything whose bound is below its value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InternalError, NoMappingError
from dovetail.mapper.exact.explore import explore, first_rows, mapping_of, pass_level
from dovetail.mapper.exact.goal import Goal, goal_of, objective_value
from dovetail.mapper.exact.physical import whole_cycles
from dovetail.mapper.exact.prepare import Prepared
from dovetail.mapper.exact.rows import STATES, TOO_LONG, Paths, Rows
from dovetail.mapper.exact.space import OutOfReach
from dovetail.mapper.exact.watch import Tally, Watch
from dovetail.mapper.local.improve import best_of_few, improve, is_compiled, make_ready
from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate

#: Values under which a first mapping is looked for in turn, as multiples of the lower bound.
LIMITS = (1.01, 1.05, 1.2, 1.5, 2.0, 4.0, 16.0, math.inf)
#: Partial mappings a level that a first mapping, and a better one, are looked for among.
NARROW, WIDE = 8, 64
#: A first mapping beyond this factor of the lower bound is compared with what a local search meets among so many.
FAR, LIKELY = 64.0, 20_000
#: Mappings that a local search may meet when the search was interrupted: some tenths of a second.
HASTY = 8_000
#: A mapping within this factor of the lowest bound is good enough to prune by; within the second one also where much is
#: followed.
CLOSE, CLOSEST = 1.1, 1.01
#: Partial mappings at a level beyond which a better mapping is looked for before all of them are followed.
CROWD = 1024
#: Partial mappings examined that take about as long as a local search: after as many it takes over from looking for a
#: first mapping, and is worth while for one that is not much better.
MUCH = 300_000
#: Partial mappings examined for a mapping that only the model's rounding of cycles puts first.
MOMENT = 200_000
#: By how much, relatively, the search's energy of a mapping may differ from the model's: sums in another order.
DRIFT = 1e-9


@dataclass(frozen=True)
class Found:
    """A complete mapping: its costs as the search counts them, and its decisions, or the mapping itself."""

    energy: float
    cycles: float
    decisions: Paths | Mapping

    def mapping(self, prepared: Prepared) -> Mapping:
        """Return the mapping."""
        return self.decisions if isinstance(self.decisions, Mapping) else mapping_of(prepared, self.decisions)


@dataclass(frozen=True)
class Costed:
    """A complete mapping, and what it costs by the model."""

    mapping: Mapping
    cost: Cost


@dataclass(frozen=True)
class Answer:
    """The best mapping for one objective.

    Attributes:
        best: the mapping.
        bound: a value that no mapping goes below, as the search counts.
        covered: every mapping is covered, so nothing is better and, of equals, nothing costs less otherwise.
        ended: what ended the search before that, and what would let it go on, in words.
    """

    best: Found
    bound: float
    covered: bool
    ended: str = ""


class Cover:
    """A mapspace whose optima are looked for, each beginning at what is known of the others.

    Args:
        prepared: the mapspace.
        energies: energy table.
        watch: when to stop.
        begin: a mapping that is known already, below which bounds hold; None: they hold for all.
    """

    def __init__(self, prepared: Prepared, energies: EnergyTable, watch: Watch, begin: Found | None = None) -> None:
        self.prepared, self.begin, self._energies, self._watch = prepared, begin, energies, watch
        self._answers: dict[Objective, Answer] = {}
        # What outlasts an interrupt: the best met so far, and a value that no mapping goes below.
        self._met: dict[Objective, Found] = {}
        self._least: dict[Objective, float] = {}
        self._improved: set[Objective] = set()  # those that a local search was run for

    def given(self, edp: Answer, fastest: Found | None = None) -> Cover:
        """Note the best mapping for EDP, and one that none takes fewer cycles than; returns itself."""
        self._answers[Objective.EDP] = edp
        if fastest is not None:
            self._met[Objective.LATENCY], self._least[Objective.LATENCY] = fastest, fastest.cycles
        return self

    def fastest(self) -> Found | None:
        """Return a good one of the mappings that take the fewest cycles; None: time, work or memory did not suffice.

        The best for EDP is known.
        """
        objective = Objective.LATENCY
        self._met[objective] = self._met.get(objective) or self._known(objective)
        self._least.setdefault(objective, self._floor(objective))
        try:
            if self._least[objective] < self._met[objective].cycles:
                self._cover(objective, faster=True)
        except OutOfReach as why:
            self._answers[objective] = self._unproven(objective, why)
            return None
        self._met[objective] = found = self.or_likely(objective, self._met[objective])
        return found

    def best(self, objective: Objective) -> Answer:
        """Return the best mapping for an objective.

        A good mapping is found first, among the few most promising partial mappings of every level. Then all partial
        mappings are followed whose bound is below its value, which leaves the best of all.

        Raises:
            NoMappingError: limits on how many loops a level may have leave none.
        """
        if objective not in self._answers:
            if objective in (Objective.LATENCY, Objective.ED2P):  # mostly one of the least EDP is as good, or close
                before = self._watch.share
                self._watch.share = before / 2
                self.best(Objective.EDP)
                self._watch.share = before
            self._answers[objective] = self._settled(objective) or self._searched(objective)
        return self._answers[objective]

    def _settled(self, objective: Objective) -> Answer | None:
        """Return the mapping of the least EDP, proven, if it takes as few cycles as any can.

        No mapping that is as fast costs less then, and none has a lower product of its EDP and cycles.
        """
        edp = self._answers.get(Objective.EDP)
        if objective not in (Objective.LATENCY, Objective.ED2P) or edp is None or not edp.covered:
            return None
        prepared = self.prepared  # bounds below an EDP need not hold for a faster mapping; those below an ED2P do
        fastest = prepared.least_cycles if objective is Objective.ED2P else prepared.any_cycles
        is_fastest = edp.best.cycles <= fastest
        return Answer(edp.best, rank(objective, edp.best)[0], covered=True) if is_fastest else None

    def _searched(self, objective: Objective) -> Answer:
        self._met[objective] = self._met.get(objective) or self._known(objective)
        self._least.setdefault(objective, self._floor(objective))
        self._watch.doing = "looking for a better mapping everywhere"
        try:
            if objective is Objective.LATENCY:
                if self._least[objective] < self._met[objective].cycles:
                    self._cover(objective, faster=True)
                edp, fastest = self._answers[Objective.EDP], self._met[objective].cycles
                if edp.covered and edp.best.cycles == fastest:  # of those that are as fast none costs less
                    return Answer(edp.best, fastest, covered=True)
            self._cover(objective)
        except OutOfReach as why:
            return self._unproven(objective, why)
        return Answer(self._met[objective], rank(objective, self._met[objective])[0], covered=True)

    def _unproven(self, objective: Objective, why: OutOfReach) -> Answer:
        """Return the best met so far."""
        known, least = self._met[objective], self._least[objective]
        least = whole_cycles(least) if objective is Objective.LATENCY else least
        return Answer(known, min(least, rank(objective, known)[0]), covered=False, ended=str(why))

    def _cover(self, objective: Objective, faster: bool = False) -> None:
        """Follow every partial mapping that may be better than the best known; of fewer cycles, with ``faster``.

        Raises:
            OutOfReach: time, work or memory does not suffice.
        """
        progress, known, rows = self._watch.progress, self._met[objective], first_rows(self.prepared)
        for level in range(len(self.prepared.space.levels)):
            if len(rows.bound) > CROWD:
                known = self._better_among(objective, known, rows, level, faster)
                rows = rows.pick(np.flatnonzero(rows.bound <= rank(objective, known)[0]))
            if len(rows.bound):
                least = min(float(rows.bound.min()), rank(objective, known)[0])
                self._least[objective] = max(self._least[objective], least)
            progress.level = level
            rows = pass_level(self.prepared, _goal(objective, known, faster), level, rows, progress)
            _check_chains(progress)
        known = self._better(objective, known, None, rows, len(self.prepared.space.levels), faster)
        self._least[objective] = max(self._least[objective], rank(objective, known)[0] if faster else 0.0)

    def _known(self, objective: Objective) -> Found:
        """Return a good mapping to begin with."""
        ranked, floor = partial(rank, objective), self._floor(objective)
        if self.begin is not None and not self._answers:
            return self._from_the_beginning(objective, self.begin)
        known = min((answer.best for answer in self._answers.values()), key=ranked, default=None)
        if known is None or (ranked(known)[0] > CLOSE * floor and not self._watch.is_over()):
            first = self._first(objective)
            known = first if known is None else min(known, first, key=ranked)
        return self.or_likely(objective, known) if ranked(known)[0] > FAR * floor else known

    def _from_the_beginning(self, objective: Objective, begin: Found) -> Found:
        """Return the best completion of the few most promising partial mappings, or the mapping to begin with."""
        try:
            return self._better(objective, begin, NARROW, first_rows(self.prepared), 0, False)
        except OutOfReach:
            return begin

    def or_likely(self, objective: Objective, known: Found, evaluations: int = LIKELY) -> Found:
        """Return the better of a mapping and what a local search that begins at it meets in the time there is.

        An interrupted search that would have to compile one first has the mapping as it is, and so has a cell of a
        mapspace: a local search knows neither which tiles it allows nor what they cost there.
        """
        if self.prepared.space.allowed is not None or (self._watch.is_stopped and not is_compiled()):
            return known
        try:
            return min((known, self._likely(objective, evaluations, known)), key=partial(rank, objective))
        except NoMappingError:
            return known

    def _likely(self, objective: Objective, evaluations: int, begin: Found | None = None) -> Found:
        """Return the best mapping that a local search meets; an interrupted one still takes some tenths of a second.

        Raises:
            NoMappingError: it met none.
        """
        space, stopped = self.prepared.space, self._watch.is_stopped
        self._improved.add(objective)
        if stopped and not is_compiled():
            few = best_of_few(space.problem, space.architecture, self._energies, objective)
            return Found(few.cost.energy_pJ, few.cost.cycles, few.mapping)
        if not stopped:
            with self._watch.paused():
                make_ready(space.problem, space.architecture, self._energies)
        found = improve(
            space.problem,
            space.architecture,
            self._energies,
            objective,
            evaluations=min(evaluations, HASTY) if stopped else evaluations,
            stop=(lambda: False) if stopped else self._watch.is_over,
            begin=None if begin is None else begin.mapping(self.prepared),
        )
        return Found(found.cost.energy_pJ, found.cost.cycles, found.mapping)

    def by_the_model(self, found: Found) -> Costed:
        """Return a mapping with the model's cost of it.

        Raises:
            InternalError: the search counted something else.
        """
        space = self.prepared.space
        mapping = found.mapping(self.prepared)
        cost = evaluate(mapping, space.problem, space.architecture, self._energies)
        leakage = sum(level.leakage_pJ for level in cost.levels) / cost.cycles
        expected = found.energy + (cost.cycles - found.cycles) * leakage
        # The model rounds cycles up from a quotient of sums, which may make one more.
        same_cycles = abs(cost.cycles - found.cycles) <= 1 + 1e-12 * found.cycles
        if not same_cycles or not math.isclose(cost.energy_pJ, expected, rel_tol=DRIFT, abs_tol=DRIFT):
            raise InternalError(
                f"{space.problem.name} on {space.architecture.name}: the search counts {found.energy:.9g} pJ in "
                f"{found.cycles:.9g} cycles for a mapping that by the model takes {cost.energy_pJ:.9g} pJ in "
                f"{cost.cycles} cycles, so nothing that it says of other mappings can be relied on"
            )
        return Costed(mapping, cost)

    def rounded(self, objective: Objective, best: Found) -> Costed:
        """Return the best by the model of the mappings that its rounding of cycles may put before the search's best.

        Where that takes more than a moment, the best as the search counts.
        """
        costed = self.by_the_model(best)
        if costed.cost.cycles <= best.cycles:
            return costed
        moment = self._watch.another(MOMENT)
        try:
            near = _listed(*self._complete(goal_of(objective.code, *_rank_of(objective, costed)), moment))
        except OutOfReach:
            near = []
        if self.begin is not None:  # bounds do not hold for it, and what lies above it is no better
            near.append(self.begin)
        for found in sorted(near, key=partial(rank, objective)):
            if rank(objective, found) < _rank_of(objective, costed):
                costed = min(costed, self.by_the_model(found), key=partial(_rank_of, objective))
        return costed

    def below(self, goal: Goal) -> list[Found]:
        """Return complete mappings among which are all that beat a goal and that no other one beats.

        Raises:
            OutOfReach: there are too many, or time is up.
        """
        return _listed(*self._complete(goal, self._watch.progress))

    def _better_among(self, objective: Objective, known: Found, rows: Rows, level: int, faster: bool) -> Found:
        """Return the best completion of the most promising partial mappings; where it is far above, what is likely."""
        known = self._better(objective, known, WIDE, rows, level, faster)
        close = CLOSE if self._watch.progress.stats[STATES] < MUCH else CLOSEST
        is_far = rank(objective, known)[0] > close * float(rows.bound.min())
        if is_far and objective not in self._improved:
            self._met[objective] = known = self.or_likely(objective, known)
        return known

    def _better(
        self, objective: Objective, known: Found, width: int | None, rows: Rows, level: int, faster: bool
    ) -> Found:
        """Return the best completion found of partial mappings, or the one known when none is better."""
        goal = _goal(objective, known, faster)
        found = _listed(*self._complete(goal, self._watch.progress, width, (rows, level)))
        best = self._met[objective] = min([known, *found], key=partial(rank, objective))
        return best

    def _first(self, objective: Objective) -> Found:
        """Return a first mapping; quick, also when time is up.

        Raises:
            NoMappingError: limits on how many loops a level may have leave none.
        """
        space, floor, tally = self.prepared.space, self._floor(objective), self._watch.another(MUCH)
        try:
            for width in (NARROW, 8 * WIDE, None):
                for limit in LIMITS:
                    goal = goal_of(objective.code, floor * limit)
                    found = _listed(*self._complete(goal, tally, width))
                    if found:
                        return min(found, key=partial(rank, objective))
        except OutOfReach:  # too many partial mappings are as good as the bound lets one hope, or time is up
            return self._likely(objective, LIKELY)
        said = "no choice of loops obeys how many dimensions each level may iterate over (max_dimensions)"
        raise NoMappingError(f"{space.problem.name} on {space.architecture.name}: {said}")

    def _floor(self, objective: Objective) -> float:
        """Return a value that no mapping goes below."""
        fastest = self.prepared.any_cycles if objective is Objective.LATENCY else self.prepared.least_cycles
        floor = objective.value_of(self.prepared.floor_pJ, fastest)
        if objective is Objective.ED2P and Objective.EDP in self._answers:
            floor = max(floor, self._answers[Objective.EDP].bound * self.prepared.least_cycles)
        return max(floor, 1e-300)

    def _complete(
        self, goal: Goal, progress: Tally, width: int | None = None, begin: tuple[Rows, int] | None = None
    ) -> tuple[Paths, Floats]:
        """Return paths and (energy, cycles) of the complete mappings below the goal."""
        rows, totals = explore(self.prepared, goal, progress, width, begin)
        _check_chains(progress)
        return rows.path, totals


def _check_chains(progress: Tally) -> None:
    """Raise `OutOfReach` where partial mappings were left out because their chains are too long to remember."""
    if progress.stats[TOO_LONG]:
        raise OutOfReach("a sliding window that depends on more loops than the search remembers")


def _goal(objective: Objective, known: Found, faster: bool) -> Goal:
    """Return what is better than a mapping; with ``faster``, what takes fewer cycles, which are whole."""
    if faster:
        return goal_of(objective.code, known.cycles - 0.5, -math.inf)
    return goal_of(objective.code, *rank(objective, known))


def rank(objective: Objective, found: Found) -> tuple[float, float]:
    """Return what is minimised, and what breaks ties, as the search counts."""
    value, second = objective_value(objective.code, found.energy, found.cycles)
    return float(value), float(second)


def _rank_of(objective: Objective, costed: Costed) -> tuple[float, float]:
    """Return the same by the model."""
    return rank(objective, Found(costed.cost.energy_pJ, costed.cost.cycles, costed.mapping))


def _listed(paths: Paths, totals: Floats) -> list[Found]:
    return [Found(energy, cycles, path) for (energy, cycles), path in zip(totals.tolist(), paths, strict=True)]
