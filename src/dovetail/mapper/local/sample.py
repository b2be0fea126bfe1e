"""Random mappings that obey every constraint, many at a time, and the simplest search: the best of so many.

Each dimension's factors are drawn by how many ways are left to complete it, so that every way of splitting its bound
over the levels is as likely as any other where only its own limits bind. Fan-outs, which several dimensions share,
are filled in random order. Every mapping of the mapspace can come up; capacities are not looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, NotMetError
from dovetail.hardware.architecture import Architecture, Level, LoopConstraints, Spatial
from dovetail.mapper.allowance import Limit
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, SearchResult
from dovetail.mapping.constraints import axis_slots, factor_range, pinned_order
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.origins import as_searched
from dovetail.mapping.packing import operation_energy, packed
from dovetail.model.arrays import Bools, Floats, Ints, Nest
from dovetail.model.batch import candidate, evaluate_batch
from dovetail.model.compile import was_compiling
from dovetail.model.cost import Cost
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules, mapped_levels
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem

#: Mappings are drawn so many at a time, whatever the count asked for: the first ones are always the same.
CHUNK = 4096
#: After so many draws of which none obeys the constraints, there is taken to be none.
_FRUITLESS_CHUNKS = 50


def sample(problem: Problem, architecture: Architecture, count: int, seed: int = 0) -> Nest:
    """Return random mappings that obey the architecture's constraints, each array ``(count, ...)``.

    Args:
        problem: what is mapped.
        architecture: whose constraints and fan-outs are obeyed, capacities are not.
        count: how many mappings; they may repeat.
        seed: the same seed gives the same mappings, and the first ones of a longer list.

    Raises:
        NotMetError: no mapping seems to obey the constraints.
    """
    drawn: list[Nest] = []
    have = 0
    for nests in _chunks(problem, architecture, seed):
        drawn.append(nests)
        have += len(nests.temporal)
        if have >= count:
            break
    return Nest._make(np.concatenate(arrays)[:count] for arrays in zip(*drawn, strict=True))


def random_search(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    samples: int = 100_000,
    seed: int = 0,
) -> tuple[Mapping, Cost]:
    """Return the best of so many random mappings, and its cost; there may be better ones.

    Raises:
        NotMetError: none of them fits; the message says which level is too small how often.
    """
    *_, met = _drawn(problem, architecture, energies, objective, samples, seed)
    return _best_of(met, problem, architecture, energies)


@dataclass(frozen=True)
class _Met:
    """What random mappings have come to so far.

    Attributes:
        count: how many mappings.
        best: the best that fits, and its rank; None: none does.
        overflows: ``(levels,)`` how many are too large for each level.
    """

    count: int
    best: tuple[tuple[float, float, float], Nest] | None
    overflows: Ints


def _drawn(
    problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective, samples: int, seed: int
) -> Iterator[_Met]:
    """Yield what random mappings come to, after every chunk of them."""
    bound = as_searched(architecture, problem)
    rules, machine = encode_rules(problem, bound), encode_machine(problem, bound, energies)
    met = _Met(0, None, np.zeros(len(bound.levels), np.int64))
    for drawn in _chunks(problem, architecture, seed):
        nests = Nest._make(array[: samples - met.count] for array in drawn)
        costs = evaluate_batch(nests, rules, machine)
        best = met.best
        for i in _promising(costs.overflow, costs.energy_pJ, costs.cycles, objective):
            energy, cycles = float(costs.energy_pJ[i]), int(costs.cycles[i])
            rank = (objective.value_of(energy, cycles), energy, float(cycles))
            if best is None or rank < best[0]:
                best = rank, candidate(nests, i)
        too_large = np.bincount(costs.overflow[costs.overflow >= 0], minlength=len(met.overflows))
        met = _Met(met.count + len(nests.temporal), best, met.overflows + too_large)
        yield met
        if met.count >= samples:
            return


def _best_of(met: _Met, problem: Problem, architecture: Architecture, energies: EnergyTable) -> tuple[Mapping, Cost]:
    bound = as_searched(architecture, problem)
    if met.best is None:
        raise NotMetError(_why_none(problem, bound, met.overflows, met.count))
    mapping = decode_mapping(met.best[1], problem, bound)
    return mapping, evaluate(mapping, problem, bound, energies)


def sampled_search(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: Limit = None,
    samples: int = 100_000,
    seed: int = 0,
) -> SearchResult:
    """Do what `random_search` does, called and answering as the exact mapper does.

    A KeyboardInterrupt ends it with the best so far, as that of fewer mappings; without any it is passed on.

    Raises:
        InputError: a front or a time limit is asked for; random mappings have neither.
        NotMetError: as `random_search` does.
    """
    if front or time_limit is not None:
        raise InputError("random mappings make no Pareto front and know no time limit: leave out either of the two")
    start = time.monotonic()
    met = None
    try:
        for met in _drawn(problem, architecture, energies, objective, samples, seed):  # noqa: B007 - the last is meant
            pass
    except KeyboardInterrupt as interrupt:
        if met is None or met.best is None or was_compiling(interrupt):
            raise
    assert met is not None
    mapping, cost = _best_of(met, problem, architecture, energies)
    said = f"the best of {met.count} random mappings, seed {seed}"
    certificate = unproven(problem, architecture, energies, objective, cost, said, met.count, time.monotonic() - start)
    return SearchResult(objective, mapping, cost, certificate, interrupted=met.count < samples)


def unproven(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective,
    cost: Cost,
    method: str,
    states: int,
    seconds: float,
) -> Certificate:
    """Return the certificate of an answer that was met among others: nothing but the physical bounds is known.

    An answer that equals its bound is proven by that.
    """
    compute = architecture.compute
    fewest = math.ceil(problem.macs / packed(architecture, problem).parallelism)
    computing = problem.macs * energies[compute.name].energy("compute") * operation_energy(problem, compute)
    value, bound = objective.value_of(cost.energy_pJ, cost.cycles), objective.value_of(computing, fewest)
    return Certificate(
        exact=value <= bound,
        mapspace_size=0,
        states=states,
        pruned_by_bound=0,
        pruned_by_dominance=0,
        pruned_by_capacity=0,
        value=value,
        bound=min(value, bound),
        compute_bound_cycles=fewest,
        compulsory_pJ=computing,
        binding=(),
        method=method,
        seconds=seconds,
    )


def _promising(overflow: Ints, energy: Floats, cycles: Ints, objective: Objective) -> list[int]:
    """Return the index of the best mapping that fits, or nothing; the first of equals."""
    fitting = np.flatnonzero(overflow < 0)
    if not len(fitting):
        return []
    values = np.array([objective.value_of(e, c) for e, c in zip(energy[fitting], cycles[fitting], strict=True)])
    order = np.lexsort((cycles[fitting], energy[fitting], values))
    return [int(fitting[order[0]])]


def _why_none(problem: Problem, architecture: Architecture, overflows: Ints, samples: int) -> str:
    worst = int(np.argmax(overflows))
    share = overflows[worst] / samples
    return (
        f"{problem.name} on {architecture.name}: none of {samples} random mappings fits; "
        f"{architecture.levels[worst].name} is too small for {share:.0%} of them"
    )


def _chunks(problem: Problem, architecture: Architecture, seed: int) -> Iterator[Nest]:
    """Yield random mappings without end, some hundreds to thousands at a time."""
    bound = as_searched(architecture, problem)
    factors = _Factors.of(problem, bound)
    generator = np.random.default_rng(seed)
    fruitless = 0
    while True:
        nests, good = _draw(problem, bound, factors, generator)
        fruitless = 0 if good.any() else fruitless + 1
        if fruitless >= _FRUITLESS_CHUNKS:
            raise NotMetError(
                f"{problem.name} on {architecture.name}: none of {fruitless * CHUNK} draws obeys all constraints"
            )
        if good.any():
            yield Nest._make(array[good] for array in nests)


@dataclass(frozen=True)
class _Factors:
    """Which factors a dimension may take, slot after slot: spatial levels first, then loops over time.

    Attributes:
        divisors: ``(dims, divisors)`` rising, padded with 0.
        quotient: ``(dims, divisors, divisors)`` index of one divisor over another; 0 when it leaves a remainder.
        reached: per level ``(dims, divisors, divisors)``: given what is left of a dimension, in how many ways each
            factor here, and all smaller ones, let it be completed in the slots after.
        whole: ``(dims,)`` index of the bound.
    """

    divisors: Ints
    quotient: Ints
    reached: tuple[Floats, ...]
    whole: Ints

    @classmethod
    def of(cls, problem: Problem, architecture: Architecture) -> _Factors:
        """Return the tables for a problem on an architecture with bound constraints."""
        divisors = [divisors_of(bound) for bound in problem.bounds]
        size = (len(divisors), max(map(len, divisors)))
        table, quotient = np.zeros(size, np.int64), np.zeros((*size, size[1]), np.int64)
        divides = np.zeros((*size, size[1]))
        for d, row in enumerate(divisors):
            table[d, : len(row)] = row
            for i, whole in enumerate(row):
                for j, part in enumerate(row):
                    if whole % part == 0:
                        quotient[d, i, j], divides[d, i, j] = row.index(whole // part), 1.0
        levels = mapped_levels(architecture)
        reached: list[Floats] = [np.zeros(0)] * len(levels)
        ways = np.zeros(size)
        ways[:, 0] = 1.0  # behind the last slot, 1 must be left
        for i in reversed(_slots(levels)):
            allowed = np.array([_allowed(levels[i], name, problem, table[d]) for d, name in _named(problem)])
            rest = np.take_along_axis(ways[:, None, :].repeat(size[1], 1), quotient, 2)
            weights = divides * allowed[:, None, :] * rest
            reached[i], ways = np.cumsum(weights, axis=2), weights.sum(axis=2)
        return cls(table, quotient, tuple(reached), np.array([len(row) - 1 for row in divisors]))


def _named(problem: Problem) -> Iterator[tuple[int, str]]:
    return enumerate(problem.shape.dimensions)


def _slots(levels: tuple[Level, ...]) -> list[int]:
    """Return the levels in the order in which factors are drawn."""
    spatial = [i for i, level in enumerate(levels) if isinstance(level, Spatial)]
    return spatial + [i for i in range(len(levels)) if i not in spatial]


def _limits(level: Level) -> LoopConstraints:
    return level.constraints.spatial if isinstance(level, Spatial) else level.constraints.temporal


def _allowed(level: Level, dimension: str, problem: Problem, divisors: Ints) -> Bools:
    limits = factor_range(_limits(level), dimension, problem)
    allowed = (divisors >= max(1, limits.least)) & (divisors <= limits.most)
    return np.asarray(allowed & (divisors <= level.fanout) if isinstance(level, Spatial) else allowed)


@dataclass(frozen=True)
class _Fanout:
    """What draws have left of a fan-out's axes.

    Attributes:
        room: ``(draws, 2)`` on X and on Y; factors drawn are taken off.
        axis: ``(draws, dims)`` 1 where a dimension lies on Y, 0 on X.
    """

    room: Ints
    axis: Ints

    def most(self, factors: _Factors, rows: Ints, d: Ints) -> Ints:
        """Return ``(draws,)`` the index of the largest divisor that has room, given each draw's dimension."""
        room = self.room[rows, self.axis[rows, d]]
        return np.asarray(factors.whole[d] - (factors.divisors.take(d, axis=0) > room[:, None]).sum(axis=1))


def _draw(
    problem: Problem, architecture: Architecture, factors: _Factors, generator: np.random.Generator
) -> tuple[Nest, Bools]:
    """Return `CHUNK` mappings, and which of them came out complete and within the limits on how many loops."""
    levels, dims, tensors = mapped_levels(architecture), len(problem.bounds), problem.shape.tensors
    size = (CHUNK, len(levels), dims)
    nest = Nest(
        temporal=np.ones(size, np.int64),
        order=np.tile(np.arange(dims), (*size[:2], 1)),
        spatial_x=np.ones(size, np.int64),
        spatial_y=np.ones(size, np.int64),
        spatial_order=np.tile(np.arange(dims), (*size[:2], 1)),
        keep=np.zeros((CHUNK, len(levels), len(tensors)), np.bool_),
    )
    left, good = np.tile(factors.whole, (CHUNK, 1)), np.ones(CHUNK, np.bool_)
    for i in _slots(levels):
        level, limits = levels[i], _limits(levels[i])
        if isinstance(level, Spatial):
            on_y = _axes(level, problem, generator)
            room = np.tile(np.array([level.fanout_x, level.fanout_y]), (CHUNK, 1))
            chosen = _choose(factors, i, left, _Fanout(room, on_y.astype(np.int64)), good, generator)
            nest.spatial_x[:, i] = np.where(on_y, 1, chosen)
            nest.spatial_y[:, i] = np.where(on_y, chosen, 1)
            nest.spatial_order[:, i] = _order(limits, problem, generator)
        else:
            chosen = _choose(factors, i, left, None, good, generator)
            nest.temporal[:, i] = chosen
            nest.order[:, i] = _order(limits, problem, generator)
            nest.keep[:, i] = _keep(level, problem, i == 0, generator)
        if limits.max_dimensions is not None:
            good &= (chosen > 1).sum(axis=1) <= limits.max_dimensions
    return nest, good


def _choose(
    factors: _Factors, level: int, left: Ints, fanout: _Fanout | None, good: Bools, generator: np.random.Generator
) -> Ints:
    """Draw one level's factors, dimension after dimension in random order, into the room left on a fan-out's axes.

    Takes them off ``left`` (index of what is left per dimension) and clears ``good`` where nothing can be drawn.
    """
    (count, dims), width = left.shape, factors.divisors.shape[1]
    rows, chosen = np.arange(count), np.ones((count, dims), np.int64)
    ways = factors.reached[level].reshape(-1, width)
    order = np.argsort(generator.random((count, dims)), axis=1)
    for place in range(dims):
        d = order[:, place]
        at = left[rows, d]
        reached = ways.take(d * width + at, axis=0)
        total = reached[:, -1] if fanout is None else reached[rows, fanout.most(factors, rows, d)]
        good &= total > 0
        picked = np.minimum((reached <= (generator.random(count) * total)[:, None]).sum(axis=1), width - 1)
        picked = np.where(total > 0, picked, 0)
        chosen[rows, d] = factors.divisors[d, picked]
        left[rows, d] = factors.quotient[d, at, picked]
        if fanout is not None:
            fanout.room[rows, fanout.axis[rows, d]] //= chosen[rows, d]
    return chosen


def _axes(level: Spatial, problem: Problem, generator: np.random.Generator) -> Bools:
    """Return ``(CHUNK, dims)``: which dimensions lie on Y, within what permutation and split allow."""
    names, limits = problem.shape.dimensions, level.constraints.spatial
    on_y = np.zeros((CHUNK, len(names)), np.bool_)
    slots = axis_slots(limits, problem)
    if slots is not None:
        on_y[:, [names.index(name) for name in slots.on_y]] = True
        free = np.array([names.index(name) for name in slots.free], np.int64)
        if len(free):
            place = np.argsort(np.argsort(generator.random((CHUNK, len(free))), axis=1), axis=1)
            on_y[:, free] = place >= slots.free_on_x
        return on_y
    if min(level.fanout_x, level.fanout_y) == 1:  # only one axis has room for anything
        return np.full_like(on_y, level.fanout_x == 1)
    order = pinned_order(limits, problem)
    places = [*([name] for name in order.inner), list(order.free), *([name] for name in order.outer)]
    cut = generator.integers(0, len(places), CHUNK)  # further in lies on X, further out on Y, at the cut either
    either = generator.random((CHUNK, len(names))) < 0.5
    for at, group in enumerate(places):
        columns = [names.index(name) for name in group]
        on_y[:, columns] = np.where((cut == at)[:, None], either[:, columns], (cut < at)[:, None])
    return on_y


def _order(limits: LoopConstraints, problem: Problem, generator: np.random.Generator) -> Ints:
    """Return ``(CHUNK, dims)``: the dimensions outer to inner, the pinned ones in place, the others shuffled."""
    names, order = problem.shape.dimensions, pinned_order(limits, problem)
    outer = [names.index(name) for name in reversed(order.outer)]
    inner = [names.index(name) for name in reversed(order.inner)]
    free = np.array([names.index(name) for name in order.free], np.int64)
    shuffled = free[np.argsort(generator.random((CHUNK, len(free))), axis=1)]
    fixed = np.ones((CHUNK, 1), np.int64)
    return np.concatenate([fixed * np.array(outer, np.int64), shuffled, fixed * np.array(inner, np.int64)], axis=1)


def _keep(level: Level, problem: Problem, outermost: bool, generator: np.random.Generator) -> NDArray[np.bool_]:
    names = [tensor.name for tensor in problem.shape.tensors]
    keep = generator.random((CHUNK, len(names))) < 0.5
    for t, name in enumerate(names):
        if outermost or name in level.constraints.keep:
            keep[:, t] = True
        elif name in level.constraints.bypass:
            keep[:, t] = False
    return keep
