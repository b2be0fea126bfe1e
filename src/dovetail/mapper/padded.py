"""The best size to pad a layer to: sizes at which more units work or loops split, each with the proven best mapping.

Padding is what a person can do where sizes do not divide: zeros are added to a dimension, computed with and moved like
everything else. Sizes are tried in the order of what no mapping of them goes below; those whose bound is above the best
known are left out.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit, allowance_of, within
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.exact.physical import compulsory, cycles_by_bandwidth, touched, whole_cycles, words_prices
from dovetail.mapper.exact.space import OutOfReach, build_space
from dovetail.mapper.exact.tables import build_tables
from dovetail.mapper.limits import IS_FANOUT, MOST, ROOM_X, ROOM_Y, Limits, active_dimensions
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, SearchResult, unbeaten
from dovetail.mapper.search import search
from dovetail.mapping.origins import as_searched
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading

#: How much a dimension grows at most: by a quarter, or by so many.
MOST_GROWN, MOST_ADDED = 1.25, 8
#: Sizes of one dimension, of all together, and layers that are searched, at most.
SIZES, CHOICES, SEARCHES = 5, 640, 100


@dataclass(frozen=True)
class _Grown:
    """A layer of other sizes, and what no mapping of it goes below.

    Attributes:
        problem: the layer.
        energy_pJ: energy.
        cycles: cycles.
    """

    problem: Problem
    energy_pJ: float
    cycles: int


def search_padded(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: Limit = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best mapping of a layer, or of the layer padded: then ``reading`` says to what, and what that wastes.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise.
        front: also find the Pareto front over all these sizes.
        time_limit: seconds for all sizes together; work and memory of each.
        progress: told how far the search is.

    Raises:
        NoMappingError: there is no mapping of any of the sizes; the reason is that of the layer as it is.
        InputError: the layer has zeros of a pattern, which padding changes.
    """
    if problem.densities or architecture.is_sparse:
        raise InputError(f"{problem.name}: padding is for dense layers and designs that do nothing about zeros")
    began, found, seconds = time.monotonic(), _Found(objective), allowance_of(time_limit).seconds
    grown = sorted(_grown(problem, architecture, energies), key=lambda each: _bound(each, objective))
    waiting = [_Grown(problem, 0.0, 0), *grown]
    for each in waiting:
        left = None if seconds is None else seconds - (time.monotonic() - began)
        if found.rules_out(each, front):
            found.ruled_out += 1
        elif (
            found.is_interrupted or len(found.results) >= SEARCHES or (found.results and left is not None and left <= 0)
        ):
            found.left.append(each)
        else:
            if progress is not None:
                progress(f"size {found.searched + 1} of {len(waiting)}")
            limit = time_limit if left is None else within(time_limit, max(1e-3, left))
            found.add(each.problem, _attempt(each.problem, architecture, energies, objective, front, limit))
    return found.result(problem, time.monotonic() - began)


def _attempt(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    front: bool,
    limit: Limit,
) -> SearchResult | NoMappingError:
    try:
        return search(problem, architecture, energies, objective, front=front, time_limit=limit)
    except NoMappingError as error:
        return error


def _bound(each: _Grown, objective: Objective) -> float:
    return objective.value_of(each.energy_pJ, each.cycles)


class _Found:
    """What the sizes searched so far came to."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.results: list[tuple[Problem, SearchResult]] = []
        self.left: list[_Grown] = []
        self.why_none: NoMappingError | None = None
        self.searched = self.ruled_out = 0

    @property
    def is_interrupted(self) -> bool:
        return any(result.interrupted for _, result in self.results)

    def add(self, problem: Problem, outcome: SearchResult | NoMappingError) -> None:
        """Take what one size came to."""
        self.searched += 1
        if isinstance(outcome, SearchResult):
            self.results.append((problem, outcome))
        else:
            self.why_none = self.why_none or outcome

    def rules_out(self, each: _Grown, front: bool) -> bool:
        """Tell whether no mapping of a size can be better than one that is known."""
        if not front:
            bound = _bound(each, self.objective)
            return any(result.certificate.value <= bound for _, result in self.results)
        points = (point for _, result in self.results for point in result.front)
        return any(point.energy_pJ <= each.energy_pJ and point.cycles <= each.cycles for point in points)

    def result(self, problem: Problem, seconds: float) -> SearchResult:
        """Return the best, the first of those that are as good."""
        if not self.results:
            assert self.why_none is not None
            raise self.why_none
        grown, own = min(self.results, key=lambda each: (each[1].certificate.value, each[1].cost.cycles))
        points = [
            replace(point, reading=_reading(problem, other) if other is not problem else None)
            for other, result in self.results
            for point in result.front
        ]
        return replace(
            own,
            certificate=self._certificate(own.certificate, self.results[0], problem, seconds),
            front=unbeaten(points),
            interrupted=self.is_interrupted,
            ended_by_itself=not self.left and all(result.ended_by_itself for _, result in self.results),
            reading=_reading(problem, grown) if grown is not problem else None,
        )

    def _certificate(
        self, own: Certificate, first: tuple[Problem, SearchResult], problem: Problem, seconds: float
    ) -> Certificate:
        known = [result.certificate for _, result in self.results]
        bound = min(own.value, *(each.bound for each in known), *(_bound(each, self.objective) for each in self.left))
        left = f", {len(self.left)} left for want of time" if self.left else ""
        said = []
        if first[0] is problem and first[1].certificate.value > own.value:
            said.append(f"without padding the best {self.objective} is {first[1].certificate.value:.6g}")
        return replace(
            own,
            exact=all(each.exact for each in known) and not self.left,
            bound=bound,
            mapspace_size=sum(each.mapspace_size for each in known),
            states=sum(each.states for each in known),
            pruned_by_bound=sum(each.pruned_by_bound for each in known),
            pruned_by_dominance=sum(each.pruned_by_dominance for each in known),
            pruned_by_capacity=sum(each.pruned_by_capacity for each in known),
            tie_proven=False,
            method=f"the layer as it is and padded: {self.searched} sizes searched, {self.ruled_out} ruled out{left}; "
            f"the best: {own.method}",
            space=f"{own.space}, of the layer as it is and of {self.searched + self.ruled_out + len(self.left) - 1} "
            "larger sizes",
            binding=(*said, *own.binding),
            seconds=seconds,
        )


def _reading(problem: Problem, grown: Problem) -> Reading:
    """Return a padded layer as a reading of the layer, with what is wasted in words."""
    sizes = zip(problem.shape.dimensions, problem.bounds, grown.bounds, strict=True)
    changed = ", ".join(f"{name} {before} to {after}" for name, before, after in sizes if after > before)
    macs, words = grown.macs - problem.macs, _words(grown) - _words(problem)
    text = (
        f"padded, {changed}: {macs:,} of {grown.macs:,} multiply-accumulates ({100 * macs / grown.macs:.3g} %) and "
        f"{words:,} of {_words(grown):,} words ({100 * words / _words(grown):.3g} %) are padding"
    )
    return Reading(grown, text, padded_from=problem.bounds)


def _words(problem: Problem) -> int:
    return sum(problem.words(tensor) for tensor in problem.shape.tensors)


def _grown(problem: Problem, architecture: Architecture, energies: EnergyTable) -> Iterator[_Grown]:
    """Yield the layer padded to sizes that may be worth it, in every combination that has a mapping."""
    limits = Mapspace.of(problem, as_searched(architecture, problem), energies, Objective.EDP).limits
    active = active_dimensions(problem)
    sizes = [[bound] for bound in problem.bounds]
    for place, d in enumerate(active):
        if problem.bounds[d] > 1:
            sizes[d] += _sizes(limits, place, problem.bounds[d])
    while math.prod(map(len, sizes)) > CHOICES:
        max(sizes, key=len).pop()
    for bounds in itertools.product(*sizes):
        if bounds != problem.bounds:
            grown = replace(problem, bounds=bounds)
            try:
                space = build_space(grown, architecture, energies)
                tables = build_tables(space)
            except OutOfReach:
                yield _Grown(grown, 0.0, 0)
                continue
            if units := int(tables.parallelism[0, -1]):
                distinct = touched(space)
                energy = compulsory(space, tables, words_prices(space), distinct)
                yield _Grown(grown, energy, whole_cycles(max(grown.macs / units, cycles_by_bandwidth(space))))


def _sizes(limits: Limits, d: int, bound: int) -> list[int]:
    """Return larger sizes of a dimension at which more units may work on it, or at which it splits in more ways."""
    found: list[int] = []
    fewest, most = _steps(limits, d, bound), len(divisors_of(bound))
    for size in range(bound + 1, max(bound + MOST_ADDED, int(bound * MOST_GROWN)) + 1):
        steps, ways = _steps(limits, d, size), len(divisors_of(size))
        if steps < fewest or ways > most:
            found.append(size)
            fewest, most = min(fewest, steps), max(most, ways)
    return found[:SIZES]


def _steps(limits: Limits, d: int, size: int) -> int:
    """Return the fewest passes over time that a dimension takes, were all units its own."""
    left = {size}
    for level, row in enumerate(limits.levels):
        if row[IS_FANOUT]:
            most = int(limits.loops[level, d, MOST])
            room = max(int(row[ROOM_X]), int(row[ROOM_Y]))
            most = room if most == limits.bounds[d] else min(room, most)  # a limit that is its own size does not bind
            left |= {each // factor for each in left for factor in divisors_of(each) if factor <= most}
    return min(left)
