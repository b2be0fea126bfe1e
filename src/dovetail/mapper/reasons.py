"""What holds a layer back, tested: nothing is blamed unless the layer could take fewer cycles were it otherwise.

Each test is a count of cycles with one thing lifted: the bandwidth of a level for the same mapping; the objective (a
faster mapping of the same space); a level's constraints; a level's capacity; a dimension's size, where a larger one
that divides better takes fewer cycles although it is more work. Whatever alone makes the largest difference is the
reason. Where every dimension that the design runs in parallel is used up, these dimensions are the reason: larger ones
would keep more compute units busy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import DovetailError
from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.describe import constraints_text
from dovetail.mapper.binding import Binding, Reason
from dovetail.mapper.exact.reach import Reach, Shown, reach, show
from dovetail.mapper.local.improve import improve
from dovetail.mapper.result import SearchResult
from dovetail.mapping.constraints import axis_slots
from dovetail.mapping.packing import packed
from dovetail.model.cost import Cost, LevelCost
from dovetail.workload.problem import Problem

#: A layer that keeps this share of the compute units busy is bound by computing.
BUSY = 0.95
#: What changes less than this share of the cycles is not worth being blamed.
WORTH = 0.005
#: A storage is not blamed for what takes more than so many times its words.
LARGER = 1024
#: Mappings that a local search evaluates to show what is gained: usually, and where all depends on it.
FEW, MANY = 1000, 20_000
#: Such searches for one kind of reason at most.
SEARCHES = 3
#: Children of a fan-out beyond which listing the ways to use it without constraints takes longer than such a search.
QUICK = 64


@dataclass(frozen=True)
class _Blamed:
    """A reason, and by what factor the cycles fall without it."""

    gain: float
    reason: Reason


def reason(problem: Problem, architecture: Architecture, energies: EnergyTable, result: SearchResult) -> Reason:
    """Say what holds a layer back on a design, in the mapping that a search found for it.

    Args:
        problem: the layer.
        architecture: its constraints as its file states them.
        energies: what its components cost.
        result: what a search for the layer on this design returned.
    """
    if result.cost.utilization >= BUSY:
        words = "nearly every compute unit works in every cycle"
        return Reason(Binding.COMPUTE, "", words, words)
    best = _by_bandwidth(result.cost)
    waiting = best.reason.what.split(" and ") if best else []
    as_is = reach(problem, architecture, energies)
    if as_is is None:
        return best.reason if best else _untested(result.cost)
    case = _Case(architecture, result, as_is, result.cost.cycles)
    if waiting:
        best = _worst(best, case.by_bandwidth(_gain(best), waiting))
    faster = case.faster(_gain(best), (FEW,) if waiting else (FEW, MANY))
    if faster is not None:
        case = replace(case, least=faster.cycles)
        best = _worst(best, case.by_choice())
    if not waiting:
        best = _worst(best, case.by_bandwidth(_gain(best), waiting))
    best = _worst(best, case.by_design(_gain(best), waiting))
    found = case.several() if best is None else best.reason
    return replace(found, units=as_is.units)


def _gain(best: _Blamed | None) -> float:
    """Return by what factor the cycles fall at most, as far as is known."""
    return 1.0 if best is None else best.gain


def _worst(one: _Blamed | None, other: _Blamed | None) -> _Blamed | None:
    """Return what costs more; the first of equals."""
    if one is None or other is None:
        return other if one is None else one
    return other if other.gain > one.gain * (1 + 1e-9) else one


def _untested(cost: Cost) -> Reason:
    busy = f"{100 * cost.utilization:.3g} % of the compute units work"
    return Reason(
        Binding.UNTESTED, "", f"{busy}; the mapspace is too large to be tested", "it is too large to be tested"
    )


def _by_bandwidth(cost: Cost) -> _Blamed | None:
    """Blame the levels that this very mapping waits for."""
    *levels, compute = cost.levels
    slow = [level for level in levels if level.cycles >= cost.cycles * (1 - WORTH)]
    rest = max([compute.cycles, *(level.cycles for level in levels if level not in slow)])
    if not slow or rest > cost.cycles * (1 - WORTH):
        return None
    names = " and ".join(level.name for level in slow)
    rates = "; ".join(_rates(level, compute.cycles) for level in slow)
    text = (
        f"at full speed {rates} in every cycle, more than the bandwidth there: {_number(cost.cycles)} cycles, with "
        f"unbounded bandwidth {_number(rest)}"
    )
    common = f"the bandwidth of {names} is used up"
    return _Blamed(cost.cycles / max(1, rest), Reason(Binding.BANDWIDTH, names, text, common, cycles=rest))


def _rates(level: LevelCost, steps: int) -> str:
    """Say what one instance would move in a cycle without stalls, on average."""
    share = [tensor.instances / level.instances / steps for tensor in level.tensors.values()]
    reads = sum(each.reads * part for each, part in zip(level.tensors.values(), share, strict=True))
    writes = sum((each.fills + each.updates) * part for each, part in zip(level.tensors.values(), share, strict=True))
    return f"{level.name} would have {_rate(reads)} words read and {_rate(writes)} written"


def _rate(words: float) -> str:
    return f"{words:.3g}" if words < 1000 else f"{words:,.0f}"


def _number(cycles: float) -> str:
    return f"{math.ceil(cycles):,}"


@dataclass(frozen=True)
class _Case:
    """A layer on a design: what its mapping takes, and how few cycles any is known to take.

    Attributes:
        architecture: with its constraints as its file states them.
        result: the mapping.
        as_is: how far the layer can go on the design.
        least: cycles of the fastest mapping known.
    """

    architecture: Architecture
    result: SearchResult
    as_is: Reach
    least: float

    @property
    def problem(self) -> Problem:
        """The layer."""
        return self.as_is.space.problem

    @property
    def units(self) -> int:
        """All compute units, each as often as it does products at once."""
        return packed(self.architecture, self.problem).parallelism

    def leaves_room(self, gain: float) -> bool:
        """Tell whether any change could bring more than a gain."""
        return self.least / self.as_is.floor > gain * (1 + WORTH)

    def faster(self, gain: float, counts: Sequence[int]) -> Shown | None:
        """Return a mapping of the same space that is faster by more than a gain, if one is known."""
        return self.as_is.shown(self.result.cost.cycles / gain * (1 - WORTH), *counts)

    def by_choice(self) -> _Blamed:
        """Blame the objective: a faster mapping is known."""
        exist, objective = f"mappings of {_number(self.least)} cycles exist", self.result.objective
        if self.result.certificate.exact:
            text, common = (
                f"{exist}, and this one has the best {objective}",
                f"faster mappings have a worse {objective}",
            )
        else:
            text = f"{exist}; this one is not proven to have the best {objective}"
            common = "faster mappings exist, and these are not proven to be the best"
        found = Reason(Binding.CHOICE, "", text, common, cycles=math.ceil(self.least))
        return _Blamed(self.result.cost.cycles / self.least, found)

    def by_bandwidth(self, gain: float, waiting: Sequence[str]) -> _Blamed | None:
        """Blame the bandwidth of levels without which other mappings would be faster; None for no more than a gain.

        Levels that the mapping waits for are lifted together. Where it waits for none, each level is lifted on its own
        if the tables leave room for a faster mapping and none is known: then more compute units would wait.
        """
        if not self.leaves_room(gain) or (not waiting and self.as_is.bound >= self.least * (1 - WORTH)):
            return None
        bounded = [level.name for level in self.architecture.storages if _is_bounded(level)]
        best: _Blamed | None = None
        for names in [list(waiting)] if waiting else [[name] for name in bounded]:
            below = self.result.cost.cycles / max(gain, _gain(best)) * (1 - WORTH)
            shown = show(self.problem, _unbounded(self.architecture, names), self.as_is.energies, below, FEW)
            if shown is not None:
                best = _Blamed(self.result.cost.cycles / shown.cycles, self._waited_for(" and ".join(names), shown))
        return best

    def _waited_for(self, names: str, shown: Shown) -> Reason:
        text = (
            f"with unbounded bandwidth there {_number(shown.cycles)} cycles would be within reach instead of "
            f"{_number(self.least)}, with {shown.units} of {self.units} compute units"
        )
        common = f"the bandwidth of {names} allows no more"
        return Reason(Binding.BANDWIDTH, names, text, common, cycles=math.ceil(shown.cycles))

    def by_design(self, gain: float, waiting: Sequence[str]) -> _Blamed | None:
        """Blame what limits the layer's parallelism; None where nothing alone brings more than a gain.

        Levels that the mapping waits for are not blamed for their constraints: without them it would not use the level.
        """
        if not self.leaves_room(gain):
            return None
        sizes = self._parallel()
        by_units = self.problem.macs / self.as_is.units >= self.least * (1 - WORTH)
        used_up = by_units and self.as_is.units == math.prod(sizes.values())
        if used_up and (grown := self._grown(sizes)):
            return self._too_few(sizes, grown)
        best = self._by_capacity(gain) if by_units else None
        best = _worst(best, self._by_constraints(max(gain, _gain(best)), waiting))
        best = _worst(best, self._by_size(sizes, max(gain, _gain(best))))
        if best is None and by_units and (grown := self._grown(sizes)):
            return self._too_small(*grown)
        return best

    def several(self) -> Reason:
        """Say that nothing alone is to blame."""
        text = (
            f"none of the single changes tried (another level without bandwidth, capacity or constraints, a size that "
            f"divides better) brings fewer cycles than {_number(self.least)} at a better {self.result.objective}"
        )
        return Reason(Binding.SEVERAL, "", text, "several limits meet")

    def _parallel(self) -> dict[str, int]:
        """Return the dimensions that some fan-out lets run along it, however large, with their bounds."""
        names = dict.fromkeys(name for name, _ in _rooms(self.as_is.space.architecture, self.problem))
        return {name: self.problem.bound(name) for name in self.problem.shape.dimensions if name in names}

    def _sized(self, name: str, size: int) -> Reach | None:
        """Return how far the layer would go with another size of a dimension."""
        bounds = dict(zip(self.problem.shape.dimensions, self.problem.bounds, strict=True)) | {name: size}
        other = replace(self.problem, bounds=tuple(bounds.values()))
        return reach(other, self.architecture, self.as_is.energies)

    def _grown(self, sizes: Mapping[str, int]) -> tuple[str, int, int] | None:
        """Return the dimension and larger size with which most compute units would work; None: no size helps.

        The sizes tried are the next whole multiples of what a fan-out has room for.
        """
        best: tuple[int, float, str, int] | None = None
        rooms = dict.fromkeys(_rooms(self.as_is.space.architecture, self.problem))
        for name, room in sorted(rooms, key=lambda each: -each[1]):
            size = room * (sizes[name] // room + 1)
            found = None if best is not None and best[0] == self.units else self._sized(name, size)
            if found is not None and found.units > self.as_is.units * (1 + WORTH):
                this = (found.units, -size / sizes[name], name, size)
                best = this if best is None else max(best, this)
        return None if best is None else (best[2], best[3], best[0])

    def _too_few(self, sizes: Mapping[str, int], grown: tuple[str, int, int]) -> _Blamed:
        """Blame the dimensions that may run in parallel: all of them do."""
        units, all_units = self.as_is.units, self.units
        listed = " x ".join(f"{name} {size}" for name, size in sizes.items() if size > 1)
        names = " x ".join(name for name, size in sizes.items() if size > 1)
        text = (
            f"{listed or 'one'} = {units} of {all_units} compute units is all that the design can run in parallel here"
        )
        if not listed:
            text = f"what the design can run in parallel ({', '.join(sizes)}) is 1 here: 1 of {all_units} compute units"
        common = (
            f"{names} is all that the design can run in parallel there" if names else "nothing runs in parallel there"
        )
        name, size, more = grown
        text += f"; with {name} {size} it would be {more}"
        return _Blamed(more / units, Reason(Binding.DIMENSIONS, "", text, common))

    def _too_small(self, name: str, size: int, units: int) -> _Blamed:
        """Blame a dimension that a larger one would keep more compute units busy than.

        Where the units grow by more than the layer does, it is not too small but does not divide.
        """
        bound, gain = self.problem.bound(name), units / self.as_is.units
        text = (
            f"{self.as_is.units} of {self.units} compute units are the most with {name} {bound}; "
            f"with {name} {size} it would be {units}"
        )
        if size / bound < gain:
            return _Blamed(gain, Reason(Binding.DIVISIBILITY, name, text, f"{name} does not divide by the array"))
        return _Blamed(gain, Reason(Binding.DIMENSIONS, "", text, f"{name} is too small"))

    def _by_constraints(self, gain: float, waiting: Sequence[str]) -> _Blamed | None:
        """Blame the constraints of one level."""
        best: _Blamed | None = None
        for place, level in enumerate(self.architecture.levels[:-1]):
            free = _free(level.constraints)
            if free == level.constraints or level.name in waiting or not self.leaves_room(max(gain, _gain(best))):
                continue
            if isinstance(level, Storage) and not self._storages_matter:
                continue
            below = self.least / max(gain, _gain(best)) * (1 - WORTH)
            shown = self._without(place, free, below)
            if shown is not None:
                best = _Blamed(self.least / shown.cycles, self._constrained(level, shown))
        return best

    @cached_property
    def _storages_matter(self) -> bool:
        """Whether more compute units could work if no storage had constraints or a size."""
        levels = [
            replace(level, constraints=_free(level.constraints), depth=None, entries=None)
            if isinstance(level, Storage)
            else level
            for level in self.architecture.levels
        ]
        found = reach(self.problem, replace(self.architecture, levels=tuple(levels)), self.as_is.energies)
        return found is not None and found.units > self.as_is.units

    def _without(self, place: int, free: Constraints, below: float) -> Shown | None:
        """Return what the layer could do without a level's constraints, in fewer cycles than those given."""
        level, architecture = self.architecture.levels[place], _with(self.architecture, place, free)
        if isinstance(level, Spatial) and level.fanout > QUICK and not self.as_is.certain:
            return show(self.problem, architecture, self.as_is.energies, below, FEW)
        found = reach(self.problem, architecture, self.as_is.energies)
        return None if found is None else found.shown(below, FEW)

    def _constrained(self, level: Level, shown: Shown) -> Reason:
        text = f"without its constraints ({constraints_text(level)}) {self._within_reach(shown)}"
        common = f"the constraints of {level.name} allow no more"
        return Reason(Binding.CONSTRAINT, level.name, text, common, cycles=math.ceil(shown.cycles))

    def _within_reach(self, shown: Shown) -> str:
        less = f"{_number(shown.cycles)} cycles would be within reach instead of {_number(self.least)}"
        if shown.units <= self.as_is.units:
            return less
        return f"{less}, {shown.units} of {self.units} compute units instead of {self.as_is.units}"

    def _by_capacity(self, gain: float) -> _Blamed | None:
        """Blame one storage's size, where a larger one makes the layer faster and better at once."""
        best: _Blamed | None = None
        for place, level in enumerate(self.architecture.levels):
            below = self.least / max(gain, _gain(best)) * (1 - WORTH)
            unbounded = self.as_is.with_capacity(place, None) if self._storages_matter else None
            if unbounded is None or unbounded.bound >= below:
                continue
            factor, larger = self._enough(place, unbounded.bound)
            shown = larger.shown(below, FEW, MANY)
            if shown is None or not self._better(larger):
                continue
            machine = self.as_is.space.machine
            words = machine.capacity[place] // machine.grains[place]
            text = f"with {factor} times its {words:,} words {self._within_reach(shown)}"
            found = Reason(
                Binding.CAPACITY,
                level.name,
                text,
                f"{level.name} is too small for more",
                cycles=math.ceil(shown.cycles),
            )
            best = _Blamed(self.least / shown.cycles, found)
        return best

    def _enough(self, place: int, bound: float) -> tuple[int, Reach]:
        """Return by what power of two a level must be larger to be as good as unbounded, and what that brings."""
        factor = 1
        while True:
            factor *= 2
            larger = self.as_is.with_capacity(place, factor)
            assert larger is not None
            if larger.bound <= bound * (1 + WORTH) or factor >= LARGER:
                return factor, larger

    def _better(self, larger: Reach) -> bool:
        """Tell whether a mapping of the freer space is known that is better than the one found, and faster."""
        objective, cost, space = self.result.objective, self.result.cost, larger.space
        try:
            found = improve(space.problem, space.architecture, larger.energies, objective, evaluations=MANY)
        except DovetailError:
            return False
        return found.value < objective.value_of(cost.energy_pJ, cost.cycles) and found.cost.cycles < cost.cycles * (
            1 - WORTH
        )

    def _by_size(self, sizes: Mapping[str, int], gain: float) -> _Blamed | None:
        """Blame a dimension that does not divide: with a larger one the layer, though larger, takes fewer cycles."""
        best: _Blamed | None = None
        searches = 0
        for growth, name, size in sorted(self._sizes_that_divide(sizes)):
            below = self.least / max(gain, _gain(best)) * (1 - WORTH)
            if self.problem.macs * growth / self.units >= below or searches == SEARCHES:
                continue
            found = self._sized(name, size)
            if found is None or found.bound >= below:
                continue
            searches += not found.certain
            shown = found.shown(below, FEW)
            if shown is not None:
                best = _Blamed(self.least / shown.cycles, self._undivided(name, size, shown.cycles))
        return best

    def _sizes_that_divide(self, sizes: Mapping[str, int]) -> Iterator[tuple[float, str, int]]:
        """Yield by how much larger the layer is, a dimension, and its next size that part of a fan-out divides."""
        known = set()
        for name, room in _rooms(self.as_is.space.architecture, self.problem):
            bound = sizes[name]
            for part in range(2, room + 1):
                size = math.ceil(bound / part) * part
                if room % part == 0 and size > bound and (name, size) not in known:
                    known.add((name, size))
                    yield size / bound, name, size

    def _undivided(self, name: str, size: int, cycles: float) -> Reason:
        bound = self.problem.bound(name)
        text = (
            f"with {name} {size} instead of {bound} the layer, though larger, could take {_number(cycles)} cycles "
            f"instead of {_number(self.least)}"
        )
        return Reason(
            Binding.DIVISIBILITY, name, text, f"{name} does not divide by the array", cycles=math.ceil(cycles)
        )


def _rooms(architecture: Architecture, problem: Problem) -> Iterator[tuple[str, int]]:
    """Yield the dimensions that may run along an axis of a fan-out, whatever their size, with the room for them there.

    Args:
        architecture: bound to the problem.
        problem: the layer.
    """
    for level in architecture.levels:
        if not isinstance(level, Spatial):
            continue
        loops = level.constraints.spatial
        slots = axis_slots(loops, problem)
        for axis, size in enumerate((level.fanout_x, level.fanout_y)):
            for name in problem.shape.dimensions:
                if slots is not None and name in (slots.on_y, slots.on_x)[axis]:
                    continue
                room = min([size, *(_largest(factor, size) for factor in loops.factors if factor.dimension == name)])
                if room > 1:
                    yield name, room


def _largest(factor: FactorConstraint, room: int) -> int:
    """Return the largest factor that a constraint allows of a dimension of any size, where there is so much room."""
    if factor.relation is Relation.GE or (factor.relation is Relation.EQ and factor.value == 0):
        return room
    return factor.value


def _is_bounded(storage: Storage) -> bool:
    rates = storage.read_bandwidth, storage.write_bandwidth, storage.shared_bandwidth
    return any(rate is not None for rate in rates)


def _unbounded(architecture: Architecture, names: Sequence[str]) -> Architecture:
    """Return the architecture with unbounded bandwidth at these levels."""
    levels = [
        replace(level, read_bandwidth=None, write_bandwidth=None, shared_bandwidth=None)
        if isinstance(level, Storage) and level.name in names
        else level
        for level in architecture.levels
    ]
    return replace(architecture, levels=tuple(levels))


def _free(constraints: Constraints) -> Constraints:
    """Return what is left of a level's constraints once all that limits its mappings is lifted."""
    kept = ("no_reuse", "no_link_transfer", "rmw_first_update")

    def loops(own: LoopConstraints) -> LoopConstraints:
        return LoopConstraints(**{name: getattr(own, name) for name in kept})

    return Constraints(temporal=loops(constraints.temporal), spatial=loops(constraints.spatial))


def _with(architecture: Architecture, place: int, constraints: Constraints) -> Architecture:
    levels = list(architecture.levels)
    levels[place] = replace(levels[place], constraints=constraints)
    return replace(architecture, levels=tuple(levels))
