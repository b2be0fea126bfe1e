"""The mapspace of one problem on one architecture: per level the factors, orders, fan-outs and keepers allowed.

Dimensions of one iteration are left out; the rest are called active. Tiles are vectors of divisors of the active
dimensions' bounds and have one number each, their index in mixed radix.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar, cast

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Level, Source, Spatial
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.exact.orders import Links, Movement, joined_axes
from dovetail.mapper.exact.returns import may_return
from dovetail.mapping.constraints import (
    AxisSlots,
    FactorRange,
    PinnedOrder,
    axis_slots,
    factor_range,
    pinned_order,
)
from dovetail.mapping.origins import as_searched
from dovetail.model.arrays import Bools, Ints, Machine, Rules
from dovetail.model.encode import encode_machine, encode_rules, mapped_levels, rules_of
from dovetail.same import Remembered
from dovetail.workload.problem import Problem

#: More fan-out choices than this at one level are beyond exact reach.
MOST_FANOUTS = 200_000
#: So are tables of more entries: one per tile (a divisor of every dimension), level and dimension.
MOST_TABLED = 200_000_000
#: Mapspaces that are remembered, and ways to use fan-outs beyond which one is not: layers that differ in widths alone
#: come one after another.
MOST_REMEMBERED, MOST_WAYS = 32, 4096
_REMEMBERED: dict[Hashable, Space] = {}
#: What is worked out of mapspaces' parts.
_WORKED_OUT: Remembered[object] = Remembered(4 * MOST_REMEMBERED)
_T = TypeVar("_T")
#: Choices of factors at a fan-out between two looks at the clock.
BETWEEN = 64
#: And dimensions of more than this: the search remembers factors in 32 bits.
MOST_FACTOR = 2**31 - 1


class OutOfReach(Exception):  # noqa: N818 - an outcome that the search reports, not a fault
    """The space is too large to be covered, or time is up; says which."""


class Fanout(NamedTuple):
    """One way to use a fan-out: factor per dimension, which lie on Y, and the dimensions' order, outer to inner."""

    factors: tuple[int, ...]
    on_y: tuple[bool, ...]
    order: tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """A mapspace with the rules and the machine it is searched under. Levels are outer to inner, without compute.

    Attributes:
        problem: the problem.
        architecture: with constraints bound to the problem.
        levels: the levels that a mapping has entries for.
        active: the problem's dimensions of more than one iteration, as indices; all below speaks of these only.
        rules: of the model.
        machine: of the model.
        divisors: per dimension, rising.
        radix: ``(dims,)`` weight of a dimension in a tile's index.
        is_spatial: ``(levels,)``.
        least: ``(levels, dims)`` smallest factor over time.
        most: ``(levels, dims)`` largest.
        most_loops: ``(levels,)`` loops over time that may have more than one iteration.
        keepers: per level the sets of tensors it may keep, as bit masks.
        fanouts: per level the ways to use its fan-out.
        may_link: ``(levels, tensors)`` neighbours below the level might pass the tensor on.
        linking: per level ``(fanouts, tensors)``: the same for one way to use its fan-out.
        by_model: per level ``(fanouts, tensors)``: the traffic then has no simple product form.
        movements: per level, how loops move tensors as seen from there.
        pins: per level, dimensions pinned innermost and outermost (innermost first), and those that may loop.
        allowed: ``(levels, tiles)`` tiles that may enter a level; None: all that fit.
    """

    problem: Problem
    architecture: Architecture
    levels: tuple[Level, ...]
    active: tuple[int, ...]
    rules: Rules
    machine: Machine
    divisors: tuple[tuple[int, ...], ...]
    radix: tuple[int, ...]
    is_spatial: tuple[bool, ...]
    least: Ints
    most: Ints
    most_loops: tuple[int, ...]
    keepers: tuple[tuple[int, ...], ...]
    fanouts: tuple[tuple[Fanout, ...], ...]
    may_link: Bools
    linking: tuple[Bools, ...]
    by_model: tuple[Bools, ...]
    movements: tuple[Movement, ...]
    pins: tuple[tuple[tuple[int, ...], tuple[int, ...], frozenset[int]], ...]
    allowed: Bools | None = None

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return math.prod(len(divisors) for divisors in self.divisors)

    @property
    def outside(self) -> int:
        """How many levels are outside the outermost fan-out; all where there is none."""
        return self.is_spatial.index(True) if any(self.is_spatial) else len(self.levels)

    @property
    def may_keep(self) -> Bools:
        """``(levels, tensors)``: a storage level may keep the tensor."""
        some = [functools.reduce(operator.or_, kinds, 0) for kinds in self.keepers]
        return self._kept_in(some)

    @property
    def must_keep(self) -> Bools:
        """``(levels, tensors)``: a storage level keeps the tensor in every mapping."""
        return self._kept_in([functools.reduce(operator.and_, kinds) if kinds else 0 for kinds in self.keepers])

    def _kept_in(self, masks: list[int]) -> Bools:
        tensors = np.arange(len(self.rules.is_output))
        kept: Bools = (np.array(masks, np.int64)[:, None] >> tensors & 1).astype(np.bool_)
        kept[list(self.is_spatial)] = False
        return kept

    @property
    def most_instances(self) -> tuple[int, ...]:
        """Instances in use at most, per level and last of the compute units."""
        used = [1]
        for rows in self.fanouts:
            used.append(used[-1] * max((math.prod(row.factors) for row in rows), default=1))
        return tuple(used)


def build_space(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    machine: Machine | None = None,
    look: Callable[[], None] = lambda: None,
) -> Space:
    """Return the mapspace; but for its machine it is that of any layer of the same sizes, and worked out once.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        machine: what mappings cost, where not what the model says.
        look: at the clock; called every now and then.

    Raises:
        InputError: a constraint contradicts itself; the energy table misses something.
        NoMappingError: a level's own constraints leave it nothing to do.
        OutOfReach: there are too many tiles, or too many ways to use a fan-out.
    """
    bound = as_searched(architecture, problem)
    bare = replace(problem, name="", widths=(), sum_bits=None)
    key = bare, bound, _words_of(bound)
    space = _REMEMBERED.get(key)
    costs = encode_machine(problem, bound, energies) if machine is None else machine
    if space is None:
        space = _laid_out(problem, bound, costs, look)
        if sum(map(len, space.fanouts)) <= MOST_WAYS:
            while len(_REMEMBERED) >= MOST_REMEMBERED:
                _REMEMBERED.pop(next(iter(_REMEMBERED)))
            _REMEMBERED[key] = space
    return replace(space, problem=problem, architecture=bound, machine=costs)


def may_need_counting(problem: Problem, architecture: Architecture) -> bool:
    """Return whether the model may have to count a fan-out (`Space.by_model`); known before a mapspace is laid out.

    Spreading more dimensions never makes that unnecessary, so one way to use a fan-out stands for all: every dimension
    spread that may be, whether or not that many children exist.

    Args:
        problem: the layer.
        architecture: with its constraints.

    Raises:
        InputError: a constraint contradicts itself.
    """
    bound = as_searched(architecture, problem)
    active = tuple(d for d, size in enumerate(problem.bounds) if size > 1)
    rules, levels = rules_of(encode_rules(problem, bound), active), mapped_levels(bound)
    for i, level in enumerate(levels):
        if isinstance(level, Spatial):
            allowed = [factor_range(level.constraints.spatial, problem.shape.dimensions[d], problem) for d in active]
            widest = tuple(min(one.most, level.fanout) for one in allowed)
            rows = [Fanout(widest, (False,) * len(active), tuple(range(len(active))))]
            if (_linking(rules, len(levels), i, rows) | _irregular(rules, rows)).any():
                return True
    return False


def once(space: Space, of: tuple[object, ...], work: Callable[[], _T]) -> _T:
    """Return what is worked out of some parts of a mapspace alone; of a remembered one's very parts only once.

    Args:
        space: the mapspace.
        of: what is worked out, in a word, and the parts that it depends on.
        work: works it out.
    """
    if sum(map(len, space.fanouts)) > MOST_WAYS:
        return work()
    return cast(_T, _WORKED_OUT.once(of, work))


def forget() -> None:
    """Let go of all that is remembered."""
    _REMEMBERED.clear()
    _WORKED_OUT.forget()


def _words_of(architecture: Architecture) -> Hashable:
    """Return what messages say of an architecture's constraints, which does not tell architectures apart."""
    own = [level.constraints for level in architecture.levels]
    loops = [one for each in own for one in (each.temporal, each.spatial)]
    factors = tuple(factor.source for one in loops for factor in one.factors)
    return tuple(each.said for each in own), tuple(one.said for one in loops), factors


def _laid_out(problem: Problem, bound: Architecture, machine: Machine, look: Callable[[], None]) -> Space:
    """Return the mapspace of a problem on an architecture bound to it; see `build_space`."""
    active = tuple(d for d, size in enumerate(problem.bounds) if size > 1)
    rules = rules_of(encode_rules(problem, bound), active)
    coefficients = rules.coefficients
    levels = mapped_levels(bound)
    check_possible(problem, levels)
    divisors = tuple(tuple(divisors_of(problem.bounds[d])) for d in active)
    tiles = math.prod(map(len, divisors))
    if tiles * len(levels) * (len(active) + 1) > MOST_TABLED:
        raise OutOfReach(f"{tiles:,} tiles, a divisor of every dimension each")
    if max(problem.bounds) > MOST_FACTOR:
        raise OutOfReach(f"a dimension of {max(problem.bounds):,}")
    fanouts = [list(_fanouts(level, problem, active, divisors, look)) for level in levels]
    linking = [_linking(rules, len(levels), i, rows) for i, rows in enumerate(fanouts)]
    links = np.array([rows.any(axis=0) for rows in linking]).reshape(len(levels), len(coefficients))
    kept = [list(range(len(rows))) if links[i].any() else _one_per_factors(rows) for i, rows in enumerate(fanouts)]
    fanouts = [[rows[at] for at in places] for rows, places in zip(fanouts, kept, strict=True)]
    linking = [rows[places] for rows, places in zip(linking, kept, strict=True)]
    least, most, most_loops = _ranges(problem, levels, active)
    counts = [len(divs) for divs in divisors]
    return Space(
        problem=problem,
        architecture=bound,
        levels=levels,
        active=active,
        rules=rules,
        machine=machine,
        divisors=divisors,
        radix=tuple(math.prod(counts[d + 1 :]) for d in range(len(counts))),
        is_spatial=tuple(isinstance(level, Spatial) for level in levels),
        least=least,
        most=most,
        most_loops=most_loops,
        keepers=_keepers(problem, levels),
        fanouts=tuple(tuple(rows) for rows in fanouts),
        may_link=links,
        linking=tuple(linking),
        by_model=tuple(links | _irregular(rules, rows) for links, rows in zip(linking, fanouts, strict=True)),
        movements=tuple(
            Movement.of(
                rules.coefficients,
                rules.injective,
                _link_kind(rules, divisors, links[i:], fanouts[i:]),
                _passed_anew(rules, links, i),
            )
            for i in range(len(levels))
        ),
        pins=tuple(_pins(level, problem, active) for level in levels),
    )


def _ranges(problem: Problem, levels: tuple[Level, ...], active: tuple[int, ...]) -> tuple[Ints, Ints, tuple[int, ...]]:
    """Return the least and the largest factor over time per level and dimension, and how many loops may have one."""
    names = [problem.shape.dimensions[d] for d in active]
    size = (len(levels), len(names))
    least, most = np.ones(size, np.int64), np.ones(size, np.int64)
    most_loops = []
    for i, level in enumerate(levels):
        limit = level.constraints.temporal.max_dimensions
        most_loops.append(len(names) if limit is None else limit)
        if isinstance(level, Spatial):
            continue
        for j, name in enumerate(names):
            allowed = factor_range(level.constraints.temporal, name, problem)
            least[i, j], most[i, j] = allowed.least, min(allowed.most, problem.bound(name))
    return least, most, tuple(most_loops)


def check_possible(problem: Problem, levels: tuple[Level, ...]) -> None:
    """Raise when levels ask for iterations of a dimension that has but one."""
    said = []
    for level in levels:
        loops = level.constraints.spatial if isinstance(level, Spatial) else level.constraints.temporal
        for name, size in zip(problem.shape.dimensions, problem.bounds, strict=True):
            least = factor_range(loops, name, problem).least
            if size == 1 and least > 1:
                place = _place(
                    next((f.source for f in loops.factors if f.dimension == name and f.value == least), None)
                )
                said.append(f"{level.name} asks for {name}>={least}{place}, but {name} = 1")
    if said:
        raise NoMappingError(f"no mapping: {'; '.join(said)}")


def _place(source: Source | None) -> str:
    return "" if source is None else f" ({source})"


def _keepers(problem: Problem, levels: tuple[Level, ...]) -> tuple[tuple[int, ...], ...]:
    """Return which sets of tensors each level may keep, fewest bypasses first."""
    names = [tensor.name for tensor in problem.shape.tensors]
    rows: list[tuple[int, ...]] = []
    for i, level in enumerate(levels):
        if isinstance(level, Spatial):
            rows.append((0,))
            continue
        must = {n for n in names if n in level.constraints.keep or i == 0}
        never = {n for n in names if n in level.constraints.bypass}
        free = [n for n in names if n not in must | never]
        options = []
        for chosen in itertools.product((True, False), repeat=len(free)):
            held = must | {n for n, keep in zip(free, chosen, strict=True) if keep}
            options.append(sum(1 << names.index(n) for n in held))
        rows.append(tuple(options))
    return tuple(rows)


def _pins(
    level: Level, problem: Problem, active: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], frozenset[int]]:
    """Return the active dimensions pinned inside and outside (innermost first), and those that may loop at all."""
    if isinstance(level, Spatial):
        return (), (), frozenset()
    order = pinned_order(level.constraints.temporal, problem)
    place = {problem.shape.dimensions[d]: i for i, d in enumerate(active)}
    inner = tuple(place[name] for name in order.inner if name in place)
    outer = tuple(place[name] for name in order.outer if name in place)
    loops = (i for name, i in place.items() if factor_range(level.constraints.temporal, name, problem).most > 1)
    return inner, outer, frozenset(loops)


def _fanouts(
    level: Level,
    problem: Problem,
    active: tuple[int, ...],
    divisors: tuple[tuple[int, ...], ...],
    look: Callable[[], None],
) -> Iterator[Fanout]:
    """Yield every way to lay the active dimensions on a fan-out, one for each order that its pins allow."""
    dims = len(active)
    if not isinstance(level, Spatial):
        return
    limits = level.constraints.spatial
    names = [problem.shape.dimensions[d] for d in active]
    ranges = [factor_range(limits, name, problem) for name in names]
    slots, pinned = axis_slots(limits, problem), pinned_order(limits, problem)
    found = 0
    for at, factors in enumerate(_products(ranges, divisors, level.fanout)):
        if at % BETWEEN == 0:
            look()
        looping = [d for d in range(dims) if factors[d] > 1]
        if limits.max_dimensions is not None and len(looping) > limits.max_dimensions:
            continue
        for on_y in _axes(looping, factors, names, (level, slots, pinned)):
            for order in _spatial_orders(looping, on_y, names, pinned):
                found += 1
                if found > MOST_FANOUTS:
                    raise OutOfReach(f"{level.name} can be used in more than {MOST_FANOUTS:,} ways")
                rest = tuple(d for d in range(dims) if d not in order)
                yield Fanout(factors, tuple(d in on_y for d in range(dims)), order + rest)


def _products(ranges: list[FactorRange], divisors: tuple[tuple[int, ...], ...], room: int) -> Iterator[tuple[int, ...]]:
    """Yield factors within their ranges whose product fits the fan-out."""
    if not ranges:
        yield ()
        return
    for rest in _products(ranges[1:], divisors[1:], room):
        left = room // math.prod(rest)
        for value in divisors[0]:
            if ranges[0].least <= value <= min(left, ranges[0].most):
                yield (value, *rest)


def _axes(
    looping: list[int],
    factors: tuple[int, ...],
    names: list[str],
    allowed: tuple[Spatial, AxisSlots | None, PinnedOrder],
) -> Iterator[frozenset[int]]:
    """Yield every set of dimensions that may lie on Y, the others on X; ``allowed``: the fan-out, and what it pins."""
    level, slots, pinned = allowed
    for chosen in itertools.product((False, True), repeat=len(looping)):
        y = frozenset(d for d, on_y in zip(looping, chosen, strict=True) if on_y)
        x = frozenset(looping) - y
        if math.prod(factors[d] for d in x) > level.fanout_x or math.prod(factors[d] for d in y) > level.fanout_y:
            continue
        on_x, on_y = [names[d] for d in x], [names[d] for d in y]
        if pinned.allows_axes(on_x, on_y) if slots is None else slots.allows(on_x, on_y):
            yield y


def _spatial_orders(
    looping: list[int], on_y: frozenset[int], names: list[str], pinned: PinnedOrder
) -> Iterator[tuple[int, ...]]:
    """Yield the orders of the spatial loops (outer to inner) that differ: within X, then within Y."""

    def within(dims: list[int]) -> Iterator[tuple[int, ...]]:
        return (order for order in itertools.permutations(dims) if pinned.allows([names[d] for d in order]))

    for x in within([d for d in looping if d not in on_y]):
        for y in within([d for d in looping if d in on_y]):
            yield x + y


def _one_per_factors(rows: list[Fanout]) -> list[int]:
    """Return the first way for each set of factors: without links the others cost the same."""
    first: dict[tuple[int, ...], int] = {}
    for at, row in enumerate(rows):
        first.setdefault(row.factors, at)
    return list(first.values())


def _spread(rows: list[Fanout], dims: int) -> Bools:
    """Return ``(rows, dims)``: which dimensions a fan-out is used for."""
    return np.array([row.factors for row in rows], np.int64).reshape(len(rows), dims) > 1


def _linking(rules: Rules, levels: int, level: int, rows: list[Fanout]) -> Bools:
    """Return ``(rows, tensors)``: in which ways to use a fan-out neighbours might pass which tensors on.

    Directly above compute, and where reuse over time is off, whatever is asked for again might come from a neighbour.
    Elsewhere only a window that slides along the array does (`dovetail.model.kernel.may_link`).
    """
    tensors, _, dims = rules.coefficients.shape
    spread = _spread(rows, dims)
    result = np.zeros((len(rows), tensors), np.bool_)
    for tensor in range(tensors):
        if rules.no_link[level, tensor]:
            continue
        if level == levels - 1 or rules.no_reuse[level + 1, tensor]:
            result[:, tensor] = spread.any(axis=1)
        elif not rules.injective[tensor]:
            moves = rules.coefficients[tensor] != 0
            slides = moves[moves.sum(axis=1) > 1].any(axis=0)
            result[:, tensor] = (spread & slides).any(axis=1)
    return result


def _irregular(rules: Rules, rows: list[Fanout]) -> Bools:
    """Return ``(rows, tensors)``: where a fan-out's tiles may overlap, so that no product says how many differ."""
    tensors, _, dims = rules.coefficients.shape
    spread = _spread(rows, dims)
    result = np.zeros((len(rows), tensors), np.bool_)
    for tensor in range(tensors):
        moves = rules.coefficients[tensor] != 0
        several = ((spread[:, None, :] & moves).sum(axis=2) > 1).any(axis=1)
        result[:, tensor] = several | (spread & (moves.sum(axis=0) > 1)).any(axis=1)
    return result


def _passed_anew(rules: Rules, links: Bools, level: int) -> Bools:
    """Return ``(tensors,)``: whether from a level on neighbours may pass on what is sent again at every step."""
    passed: Bools = links[level:-1] & rules.no_reuse[level + 1 : len(links)]
    return np.asarray(passed.any(axis=0))


def _link_kind(rules: Rules, divisors: tuple[tuple[int, ...], ...], links: Bools, fanouts: list[list[Fanout]]) -> Links:
    """Return how far chains must be told apart, given what may link at these levels.

    A tile one step later is a neighbour's of the step before only if it moved along summed axes that the fan-out
    divides, and along no others: on any other axis neighbours lie closer together than a step reaches. Once loops over
    two groups of tied axes have moved it, that takes both to be divided, or one to be put back to where it was.
    """
    kind, anywhere = Links.NONE, frozenset(range(len(divisors)))
    for may, rows in zip(links, fanouts, strict=True):
        for tensor in np.flatnonzero(may & ~rules.injective):
            axes = rules.coefficients[tensor]
            spread = {d for row in rows for d, factor in enumerate(row.factors) if factor > 1}
            tied = joined_axes(axes != 0)
            groups = [axes[[first == one for one in tied]] for first in sorted(set(tied))]
            groups = [group for group in groups if (group != 0).any(axis=0).sum() > 1]
            split = [bool(spread & set(np.flatnonzero((group != 0).any(axis=0)).tolist())) for group in groups]
            returning = [all(may_return(divisors, tuple(one), anywhere).any() for one in g.tolist()) for g in groups]
            far = sum(split) > 1 or any(
                one and back for i, one in enumerate(split) for j, back in enumerate(returning) if i != j
            )
            kind = max(kind, Links.ANY if far else Links.ONE_AXIS)
    return kind
