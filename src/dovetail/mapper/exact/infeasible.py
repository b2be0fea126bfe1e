"""Why no mapping exists: what stands in the way, where it is said, and what would be enough.

A reason is tested, not guessed: what it names makes mappings possible when it alone is lifted, and where several things
stand in the way at once, all that it names must be lifted and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture, FactorConstraint, Level, Relation, Spatial
from dovetail.hardware.binding import fixed_factor
from dovetail.mapper.exact.space import OutOfReach, Space, build_space
from dovetail.mapper.exact.tables import completions
from dovetail.mapper.relaxations import Relaxation, relaxations, without
from dovetail.mapping.constraints import FactorRange, axis_slots, bound_to, factor_range
from dovetail.model.arrays import Ints
from dovetail.workload.problem import Problem

#: Single culprits that a message names at most.
_NAMED = 4


def reason(
    space: Space, words: Ints, architecture: Architecture, energies: EnergyTable, over: Callable[[], bool]
) -> str:
    """Say in a sentence or two why the space holds no mapping, and the smallest relaxation that would change it.

    Args:
        space: one whose whole problem has no completion.
        words: ``(tensors, tiles)`` words of every tile.
        architecture: the space's, its constraints as the file states them.
        energies: of its components.
        over: whether time is up; then less is said.
    """
    unbounded = np.full(len(space.levels), -1, np.int64)
    if completions(space, words, unbounded)[0, -1] > 0:
        for level in range(len(space.levels)):
            if space.machine.capacity[level] >= 0:
                others = space.machine.capacity.copy()
                others[level] = -1
                if completions(space, words, others)[0, -1] > 0:
                    return _too_small(space, words, level)
    trial = _Trial(space.problem, architecture, energies, words)
    stuck = [space.problem.shape.dimensions[space.active[d]] for d in _stuck(space)]
    told = _Teller(space.problem, bound_to(architecture, space.problem), stuck)
    lone: list[Relaxation] = []
    for one in _candidates(trial, stuck):
        if over():
            break
        if trial.possible([one]):
            lone.append(one)
    if lone:
        return "no mapping: " + told.of_lone(lone)
    several = _together(trial, over)
    if over():
        return "no mapping: constraints and capacities cannot all be met; time was up before it was known which"
    return "no mapping: " + told.of_several(several)


@dataclass(frozen=True)
class _Room:
    """A storage's capacity, as something that may be lifted.

    Attributes:
        level: the storage.
        words: what one instance holds.
    """

    level: str
    words: int


@dataclass(frozen=True)
class _Trial:
    """Tries whether mappings exist once something is lifted."""

    problem: Problem
    architecture: Architecture
    energies: EnergyTable
    words: Ints

    def possible(self, lifted: Sequence[Relaxation | _Room]) -> bool:
        """Tell whether a mapping exists without these."""
        relaxed = without(self.architecture, [one for one in lifted if isinstance(one, Relaxation)])
        try:
            space = build_space(self.problem, relaxed, self.energies)
        except (NoMappingError, InputError):
            return False
        except OutOfReach:  # so many ways to use a fan-out, all of them allowed
            return True
        capacity = space.machine.capacity.copy()
        roomy = {one.level for one in lifted if isinstance(one, _Room)}
        capacity[[level.name in roomy for level in space.levels]] = -1
        return bool(completions(space, self.words, capacity)[0, -1] > 0)


def _candidates(trial: _Trial, stuck: Sequence[str] = ()) -> Iterator[Relaxation]:
    """Yield every constraint, single factors rather than all of a level.

    ``stuck`` are dimensions that no factors make up: then a single factor helps only where there is one of them, and
    it is a factor of that dimension.
    """
    for group in relaxations(trial.architecture, trial.problem):
        for one in group.parts or (() if " and split " in group.constraint else (group,)):  # both are there alone
            if one.factor is None or not stuck or stuck == [one.factor.dimension]:
                yield one


def _stuck(space: Space) -> list[int]:
    """Return the active dimensions whose bound no allowed factors multiply up to, whatever other dimensions do."""
    stuck = []
    for d, divisors in enumerate(space.divisors):
        name = space.problem.shape.dimensions[space.active[d]]
        reach = {1}
        for i, level in enumerate(space.levels):
            low, high = int(space.least[i, d]), int(space.most[i, d])
            if isinstance(level, Spatial):
                allowed = factor_range(level.constraints.spatial, name, space.problem)
                low, high = allowed.least, min(allowed.most, level.fanout)
            factors = [value for value in divisors if low <= value <= high]
            reach = {a * b for a in reach for b in factors if divisors[-1] % (a * b) == 0}
        if divisors[-1] not in reach:
            stuck.append(d)
    return stuck


def _together(trial: _Trial, over: Callable[[], bool]) -> list[Relaxation | _Room]:
    """Return a set of constraints and capacities that leave a mapping once all are lifted, none of them in vain."""
    rooms = [_Room(level.name, level.words) for level in trial.architecture.storages if level.words is not None]
    left: list[Relaxation | _Room] = [*_candidates(trial), *rooms]
    for one in list(left):
        others = [each for each in left if each is not one]
        if not over() and trial.possible(others):
            left = others
    return left


@dataclass(frozen=True)
class _Teller:
    """Puts into words what stands in the way.

    Attributes:
        problem: the problem.
        bound: the architecture with its constraints as they are for it.
        stuck: dimensions that no factors make up.
    """

    problem: Problem
    bound: Architecture
    stuck: Sequence[str]

    def of_lone(self, lone: Sequence[Relaxation]) -> str:
        """Return the text on constraints of which any one, lifted, is enough."""
        said = [self.sentence(one) for one in lone[:_NAMED]]
        if len(lone) == 1:
            return f"{said[0]}; without that there are mappings"
        more = f"; and {len(lone) - _NAMED} more" if len(lone) > _NAMED else ""
        return f"{'; '.join(said)}{more}: without any one of these there are mappings"

    def of_several(self, lifted: Sequence[Relaxation | _Room]) -> str:
        """Return the text on what must all be lifted."""
        said = [
            f"{one.level} holds {one.words} words" if isinstance(one, _Room) else self.sentence(one) for one in lifted
        ]
        return f"several things stand in the way at once: {'; '.join(said)}; without all of these there are mappings"

    def sentence(self, one: Relaxation) -> str:
        """Return what a constraint asks for, where, and what that meets with."""
        place = "" if one.source is None else f" ({one.source})"
        if one.factor is not None:
            return self.of_factor(one.level, one.factor, place)
        said = f"{one.level} has {one.constraint}{place}"
        if "permutation" in one.constraint or "split" in one.constraint:
            return said + self.against_the_room(one.level)
        sizes = ", ".join(f"{name} = {self.problem.bound(name)}" for name in self.stuck)
        return said + (f", and no factors that are left make up {sizes}" if sizes else "")

    def of_factor(self, level: str, factor: FactorConstraint, place: str) -> str:
        """Return why a factor cannot be met: it does not divide, or does not go with what others ask for."""
        name, size = factor.dimension, self.problem.bound(factor.dimension)
        if factor.relation is Relation.EQ:
            asked = fixed_factor(factor, size)
            head = f"{level} fixes {factor}{place}"
            if size % asked:
                return f"{head}, which does not divide {name} = {size}"
            head += "" if factor.value == asked else f", the whole of {name} = {size}"
        elif factor.relation is Relation.GE:
            head = f"{level} asks for {factor}{place}"
            if factor.value > size:
                return f"{head}, but {name} = {size}"
        else:
            head = f"{level} allows no more than {factor}{place}"
        if room := self.against_the_room(level, name):
            return head + room
        others = [said for each in self.bound.levels if each.name != level for said in self.asked(each, name)]
        return f"{head}, while of {name} = {size} {', '.join(others)}" if others else head

    def asked(self, level: Level, name: str) -> Iterator[str]:
        """Yield what a level asks of a dimension, if not just any factor."""
        loops = level.constraints.spatial if isinstance(level, Spatial) else level.constraints.temporal
        allowed = factor_range(loops, name, self.problem)
        own = [factor for factor in loops.factors if factor.dimension == name]
        if not own or allowed == FactorRange(1, self.problem.bound(name)):
            return
        place = "" if own[0].source is None else f" ({own[0].source})"
        if allowed.least == allowed.most:
            yield f"{level.name} takes {allowed.least}{place}"
        else:
            most = f"at least {allowed.least}" if allowed.least > 1 else f"at most {allowed.most}"
            yield f"{level.name} takes {most}{place}"

    def against_the_room(self, level_name: str, dimension: str | None = None) -> str:
        """Return how a fan-out's least factors (with this dimension's) exceed it; empty when they fit."""
        level = self.bound.level(level_name)
        if not isinstance(level, Spatial):
            return ""
        loops = level.constraints.spatial
        least = {name: factor_range(loops, name, self.problem).least for name in self.problem.shape.dimensions}
        groups = [("it", tuple(least), level.fanout)]
        if (slots := axis_slots(loops, self.problem)) is not None:
            groups = [("its X", slots.on_x, level.fanout_x), ("its Y", slots.on_y, level.fanout_y), *groups]
        for where, names, room in groups:
            needed = math.prod(least[name] for name in names)
            if needed > room and (dimension is None or dimension in names):
                product = " x ".join(f"{name} {least[name]}" for name in names if least[name] > 1)
                return f": {where} has room for {room}, and {product} is {needed}"
        return ""


def _too_small(space: Space, words: Ints, level: int) -> str:
    """Say how many words of its own width a level would have to hold."""
    need, kept = _need(space, words, level)
    names = [tensor.name for tensor in space.problem.shape.tensors]
    size, grains = space.machine.size[level], int(space.machine.grains[level])
    parts = " + ".join(f"{names[t]} {-(-count * int(size[t]) // grains)}" for t, count in kept.items())
    capacity, need, unit = int(space.machine.capacity[level]) // grains, -(-need // grains), "words"
    forced = [names[t] for t in kept if all(k >> t & 1 for k in space.keepers[level])]
    lying = [name for name in forced if name in getattr(space.levels[level], "origin", ())]
    forced = [name for name in forced if name not in lying]
    because = f", which its constraints make it keep ({', '.join(forced)})" if forced else ""
    because += f", as all levels outside let {' and '.join(lying)} pass by" if lying else ""
    return (
        f"no mapping: {space.levels[level].name} holds {capacity} {unit} but the smallest tiles it can be given need "
        f"{need} ({parts}){because}; {need} {unit} would be enough"
    )


def _need(space: Space, words: Ints, level: int) -> tuple[int, dict[int, int]]:
    """Return the least capacity of a level that makes a mapping possible, and what it would keep then."""
    candidates: set[int] = set()
    for kept in space.keepers[level]:
        candidates |= {int(v) for v in np.unique(_taken(space, words, level, kept))}
    options = sorted(value for value in candidates if value > space.machine.capacity[level])
    low, high = 0, len(options) - 1
    capacity = space.machine.capacity.copy()
    while low < high:  # more capacity never forbids a mapping
        middle = (low + high) // 2
        capacity[level] = options[middle]
        if completions(space, words, capacity)[0, -1] > 0:
            high = middle
        else:
            low = middle + 1
    need = options[low]
    capacity[level] = need
    return need, _filling(space, words, level, capacity)


def _taken(space: Space, words: Ints, level: int, kept: int) -> Ints:
    """Return ``(tiles,)`` what tiles take of a level's capacity when it keeps these tensors."""
    tensors = [t for t in range(len(words)) if kept >> t & 1]
    return (words[tensors] * space.machine.size[level, tensors, None]).sum(axis=0)  # type: ignore[no-any-return]


def _filling(space: Space, words: Ints, level: int, capacity: Ints) -> dict[int, int]:
    """Return the words per kept tensor of a mapping that fills a level to the last word.

    ``capacity`` is the least with which there are mappings, so each of them fills the level; but not every tile of so
    many words belongs to one. A tile is tried by letting all others of its size count a part of a word more, too small
    to be noticed in the other levels.
    """
    inside = completions(space, words, capacity)[level] > 0
    times = 1 + int(space.machine.size.max())
    finer = np.where(capacity < 0, capacity, times * capacity + times - 1)
    finer[level] = times * capacity[level]
    for kept in sorted(space.keepers[level], key=int.bit_count):
        held = [t for t in range(len(words)) if kept >> t & 1]
        full = np.flatnonzero((_taken(space, words, level, kept) == capacity[level]) & inside)
        only = replace(space, keepers=tuple((kept,) if i == level else k for i, k in enumerate(space.keepers)))
        for tile in {tuple(words[held, each].tolist()): each for each in full[::-1]}.values() if held else ():
            grown = times * words
            grown[held[0], full[(words[held][:, full] != words[held, tile][:, None]).any(axis=0)]] += 1
            if completions(only, grown, finer)[0, -1] > 0:
                return {t: int(words[t, tile]) for t in held}
    return {}
