"""Optuna's samplers in the place of the proof: they choose which members are mapped, and say nothing of the others.

A sampler is told one point per member, as that is all it can learn from: where energy is weighed against cycles, the
one of the least EDP. The front takes in every point that a mapped member has. So what is compared with the proven
front is the choice of members alone: each that is mapped is mapped exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dovetail.errors import InputError, MissingExtraError, NoMappingError, did_you_mean
from dovetail.executors import Workers, executor_for
from dovetail.family.agenda import SECONDS
from dovetail.family.axes import as_asked, axes_below, check_budgets
from dovetail.family.costs import Costs, Request, Seen, fronts_of
from dovetail.family.family import Family
from dovetail.family.front import Axis, Choice, Point, point_paying
from dovetail.family.offers import Offers
from dovetail.family.parameters import Parameter
from dovetail.family.result import Exploration, State, Unmappable
from dovetail.family.traffic import members_for
from dovetail.mapper.objective import Objective
from dovetail.network.optimum import network_optimum
from dovetail.store import Store
from dovetail.workload.network import Network

if TYPE_CHECKING:
    from optuna import Study

#: How members are chosen where bounds do, not a sampler.
EXACT = "exact"
#: Members that are mapped unless said otherwise.
EVALUATIONS = 100
#: Suggestions in a row that are known already before a sampler is said to have no more to suggest.
_KNOWN = 300


class Method(StrEnum):
    """A sampler of Optuna's."""

    TPE = "tpe"
    NSGA2 = "nsga2"


def read_method(name: str) -> Method | None:
    """Return the sampler of a name; None for ``exact``.

    Raises:
        InputError: it is none.
    """
    if name == EXACT:
        return None
    if name not in list(Method):
        raise InputError(f"'{name[:40]}' is no method{did_you_mean(name, [EXACT, *Method])}")
    return Method(name)


def sample(
    family: Family,
    network: Network,
    axes: Sequence[Axis],
    method: Method,
    *,
    evaluations: int = EVALUATIONS,
    seed: int = 0,
    store: Store | None = None,
    workers: Workers = None,
    time_limit: float | None = None,
    progress: Callable[[State], None] | None = None,
) -> Exploration:
    """Return the front of those members that a sampler chooses; nothing of it is proven.

    The same seed chooses the same members, so that with a store it goes on where it was ended.

    Args:
        family: as `dovetail.family.explore.explore`, and so are all others that are not named here.
        network: what runs on the designs.
        axes: what the front is over.
        method: the sampler.
        evaluations: members that are mapped, those on which some layer has no mapping included.
        seed: of the sampler.
        store: where results are kept.
        workers: where a member's layers are searched.
        time_limit: seconds, after which no more members are mapped.
        progress: told how far it is.

    Raises:
        MissingExtraError: Optuna is not installed.
        InputError: no member is a design.
    """
    check_budgets(family.budgets, axes)
    with executor_for(1 << 30, workers) as executor:
        costs = Costs(network.distinct(), store or Store.disabled(), executor)
        sampling = Sampling(family, network, axes_below(axes), costs, method, seed, time_limit)
        interrupted = False
        try:
            while sampling.evaluated < evaluations and sampling.evaluate_next():
                if progress is not None:
                    progress(sampling.state)
        except KeyboardInterrupt:
            interrupted = True
    return as_asked(sampling.result(interrupted), axes)


@dataclass(frozen=True)
class _Told:
    """What a sampler is told of a member.

    Attributes:
        values: of its point, on the axes.
        beyond: by budget how far it is beyond that, as a share of it; 0 or less: it keeps to it.
    """

    values: tuple[float, ...]
    beyond: dict[str, float]


class Sampling:
    """A sampler at work.

    Attributes:
        offers: the front so far.
        evaluated: members that were mapped, or on which some layer has no mapping.
    """

    def __init__(
        self,
        family: Family,
        network: Network,
        axes: Sequence[Axis],
        costs: Costs,
        method: Method,
        seed: int,
        time_limit: float | None = None,
    ) -> None:
        self._start = time.monotonic()
        costs.until = None if time_limit is None else self._start + time_limit
        self._until = costs.until
        self._family, self._network, self._axes, self._costs, self._method = family, network, tuple(axes), costs, method
        self._members = members_for(family, axes)
        self._valid, self._area = self._members.laid_out(None if time_limit is None else self._start + time_limit / 2)
        self.offers = Offers(self._members, costs.layers, axes, self._area)
        self._study = _study(method, seed, len(axes))
        self._told: dict[Choice, _Told | None] = {}
        self._unmappable: list[Unmappable] = []

    @property
    def evaluated(self) -> int:
        """Members that were mapped, or on which some layer has no mapping."""
        return len(self.offers.mapped) + len(self._unmappable)

    @property
    def state(self) -> State:
        """How far it is."""
        seconds, points = time.monotonic() - self._start, len(self.offers.front.points)
        return State(int(self._valid.sum()), self.evaluated, len(self.offers.mapped), points, math.inf, seconds)

    def evaluate_next(self) -> bool:
        """Map one more member; return whether there was time, and one that was not mapped yet."""
        before = self.evaluated
        for _ in range(_KNOWN):
            if self.evaluated > before:
                return True
            if before == int(self._valid.sum()) or (self._until is not None and time.monotonic() > self._until):
                return False
            trial = self._study.ask()
            choice = tuple(_suggested(trial, each) for each in self._family.parameters)
            if choice not in self._told:
                if not self._valid[choice]:
                    self._told[choice] = None
                elif not self._evaluate(choice):
                    return False  # time was up before all its layers were searched
            self._tell(trial, self._told[choice])
        return self.evaluated > before

    def _evaluate(self, choice: Choice) -> bool:
        """Map a member; return whether that was done in time."""
        front = self.offers.sole in (None, Objective.EDP)
        request = Request(*self._members.design(choice), self.offers.sole or Objective.EDP, front, None, SECONDS)
        seen = self._costs.settle([request])[0]
        if seen is None:
            return False
        if isinstance(seen, NoMappingError):
            self._unmappable.append(Unmappable(tuple((at, at + 1) for at in choice), 1, str(seen).rpartition(": ")[2]))
            self._told[choice] = None
            return True
        self.offers.take(choice, seen)
        point = self._best(choice, seen)
        seconds = self._members.cycle_seconds([(at, at + 1) for at in choice])
        spent = {each.text: each.spent_by(point, seconds) / each.most - 1 for each in self._family.budgets}
        self._told[choice] = _Told(tuple(point.value(axis) for axis in self._axes), spent)
        return True

    def _best(self, choice: Choice, seen: tuple[Seen, ...]) -> Point:
        """Return the one point of a member that the sampler is told."""
        reads = [each.read for each in seen]
        area = float(self._area[choice])
        if all(read.result.front for read in reads):
            best = network_optimum(fronts_of(reads, self._costs.layers), self.offers.sole or Objective.EDP)
            return point_paying(choice, self._axes, area, best.energy_pJ, best.cycles)
        costs = [(read.result.cost, layer.repeats) for read, layer in zip(reads, self._costs.layers, strict=True)]
        energy = math.fsum(cost.energy_pJ * runs for cost, runs in costs)
        return point_paying(choice, self._axes, area, energy, sum(cost.cycles * runs for cost, runs in costs))

    def _tell(self, trial: Any, told: _Told | None) -> None:
        from optuna.trial import TrialState

        if told is None:  # it is no design, or runs not every layer
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for budget, beyond in told.beyond.items():
            trial.set_constraint(budget, beyond)
        self._study.tell(trial, list(told.values))

    def result(self, interrupted: bool) -> Exploration:
        """Return what was found."""
        return Exploration(
            family=self._family,
            network=self._network,
            axes=self._axes,
            designs=int(self._valid.sum()),
            mapped=len(self.offers.mapped),
            bounded=0,
            unmappable=tuple(self._unmappable),
            skipped={reason: number for reason, number in self._members.skipped.items() if number},
            mapped_choices=tuple(self.offers.mapped),
            points=tuple(self.offers.front.sorted()),
            gap=math.inf,
            proven=False,
            discarded=(),
            layers=self._costs.layers,
            taken={point: self.offers.taken(point) for point in self.offers.front.points},
            searches=self._costs.searches,
            seconds=time.monotonic() - self._start,
            interrupted=interrupted,
            unread=self._members.unread,
            method=str(self._method),
        )


def _study(method: Method, seed: int, axes: int) -> Study:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(f"--method {method}", "optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {Method.TPE: optuna.samplers.TPESampler, Method.NSGA2: optuna.samplers.NSGAIISampler}
    sampler = kinds[method](seed=seed % (1 << 32))
    return optuna.create_study(directions=["minimize"] * axes, sampler=sampler)


def _suggested(trial: Any, parameter: Parameter) -> int:
    """Return the place of a value that a sampler suggests; values that are numbers in order are near each other."""
    count = len(parameter.values)
    if _is_ordered(parameter):
        return int(trial.suggest_int(parameter.name, 0, count - 1))
    return int(trial.suggest_categorical(parameter.name, list(range(count))))


def _is_ordered(parameter: Parameter) -> bool:
    labels = parameter.labels
    numbers = [each for each in labels if isinstance(each, int | float)]
    return len(numbers) == len(labels) and numbers in (sorted(numbers), sorted(numbers, reverse=True))
