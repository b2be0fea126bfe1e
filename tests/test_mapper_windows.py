"""What is sent into a fan-out where windows overlap and neighbours pass words on is never less than is tabulated."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import Architecture, Compute, Constraints, Level, LoopConstraints, Spatial, Storage
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.exact.advances import fan_of, least_held, list_advances
from dovetail.mapper.exact.explore import empty_nest
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.rows import BY, FACTOR, ORDER, SIZE, SIZE_PLACE, Row, path_at
from dovetail.mapper.exact.space import Space, build_space
from dovetail.mapper.exact.ways import ways_of
from dovetail.mapper.exact.windows import ALWAYS, ASKED, KEPT, SENT_FIELDS, least_sent, windows_of
from dovetail.model import kernel
from dovetail.model.arrays import Nest, workspace
from dovetail.workload.problem import Problem
from draws import draws
from mapper_strategies import shape

COST = ComponentCost({"read": 1.0, "write": 1.0, "update": 1.0, "compute": 1.0, "leak": 0.0}, area_um2=0.0)
FANOUT, INPUTS = 1, 0


def space_of(problem: Problem, *, keeps: bool, anew: bool = False, x: int = 4, y: int = 3) -> Space:
    """Return a problem on children that keep everything, or on units side by side, after another fan-out."""
    again = Constraints(spatial=LoopConstraints(no_reuse=frozenset({"In0"} if anew else ())))
    levels: list[Level] = [
        Storage(name="memory", component="DRAM", width=64, datawidth=16),
        Spatial(name="row", component="", fanout_x=x, fanout_y=y, mesh_x=x, mesh_y=y, constraints=again),
    ]
    if keeps:
        names = frozenset(tensor.name for tensor in problem.shape.tensors)
        levels.append(
            Storage(name="pad", component="SRAM", width=16, datawidth=16, constraints=Constraints(keep=names))
        )
    levels.append(Compute(name="mac", component="intmac"))
    return build_space(problem, Architecture("row", tuple(levels)), EnergyTable({one.name: COST for one in levels}))


def said_and_sent(space: Space, nest: Nest, tensor: int) -> tuple[float, float]:
    """Return the words sent over the whole run as the tables have it, and as the model counts them."""
    rules, (levels, dims) = space.rules, nest.temporal.shape
    work = workspace(levels, len(rules.is_output), rules.coefficients.shape[1], dims)
    kernel.tile_sizes(nest, work)
    kernel.fan_out(rules, tensor, FANOUT, nest, work)
    sizes = np.array([some.index(int(n)) for some, n in zip(space.divisors, work.together[FANOUT], strict=True)])
    ways, which = ways_of(space, FANOUT)
    factors = tuple((nest.spatial_x[FANOUT] * nest.spatial_y[FANOUT]).tolist())
    way = int(which[next(i for i, row in enumerate(space.fanouts[FANOUT]) if row.factors == factors)])
    sent = np.zeros((len(rules.is_output), SENT_FIELDS))
    windows = windows_of(space, FANOUT, ways, which)
    assert windows.keeping[tensor] == ALWAYS
    least_sent(windows, lattice_of(space), sizes, ways, way, 0, sent)
    moves = kernel.first_move(rules, tensor, FANOUT, work)  # loops inside that one bring nothing
    visits = work.times[moves]
    return float(max(sent[tensor, KEPT], sent[tensor, ASKED] * 1e-9) * visits), float(
        work.statistics[FANOUT, tensor, kernel.SENT]
    )


def drawn(space: Space, random: Random) -> Nest:
    """Draw a mapping: at most two dimensions on each axis of the fan-out, loops in any order."""
    levels, dims = len(space.levels), len(space.divisors)
    nest = empty_nest(levels, dims, len(space.rules.is_output))
    rest = [divisors[-1] for divisors in space.divisors]
    for factors, room in ((nest.spatial_x, 4), (nest.spatial_y, 3)):
        for d in random.sample(range(dims), min(2, dims)):
            if nest.spatial_x[FANOUT, d] == 1:
                left = room // int(factors[FANOUT].prod())
                factors[FANOUT, d] = random.choice([n for n in divisors_of(rest[d]) if n <= left])
                rest[d] //= factors[FANOUT, d]
    for level in [level for level in range(levels) if level != FANOUT]:
        for d in range(dims):
            nest.temporal[level, d] = rest[d] if level == levels - 1 else random.choice(divisors_of(rest[d]))
            rest[d] //= nest.temporal[level, d]
    if levels == FANOUT + 1:  # all loops over time are outside
        nest.temporal[0] *= np.array(rest, np.int64)
    for level in range(levels):
        nest.order[level] = random.sample(range(dims), dims)
        nest.spatial_order[level] = random.sample(range(dims), dims)
    return nest


@st.composite
def windowed(draw: st.DrawFn) -> Problem:
    """Draw a problem whose first tensor has a window along one or two axes."""
    used = draw(st.sampled_from(["P*a + R*b, C", "P*a + R*b, Q + S*c, C", "P*a + R*b, Q*c + S", "P*a + R*b + T"]))
    dims = "".join(d for d in "CPQRST" if d in used) + "K"
    steps = [name for name in "abc" if f"*{name}" in used]
    weights, output = ", ".join(d for d in "KCRST" if d in dims), ", ".join(d for d in "KPQ" if d in dims)
    kind = shape("window", dims, [used, weights], output, " ".join(steps))
    bounds = tuple(draw(st.sampled_from([1, 2, 3, 4, 6, 8] if d in "PQ" else [1, 2, 3, 4])) for d in dims)
    return Problem(kind, bounds, tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in steps), "window")


@settings(max_examples=draws(60))
@given(windowed(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_no_less_is_sent_than_tabulated(problem: Problem, keeps: bool, anew: bool, random: Random) -> None:
    space = space_of(problem, keeps=keeps, anew=anew and keeps)
    for _ in range(12):
        said, sent = said_and_sent(space, drawn(space, random), INPUTS)
        assert said <= sent * (1 + 1e-9)


def held_passed_and_counted(space: Space, nest: Nest, tensor: int) -> tuple[float, float, float, float]:
    """Return words sent if the level inside keeps the tensor, and per word asked if not, as foreseen and as counted."""
    fan, (levels, dims) = fan_of(space, FANOUT), nest.temporal.shape
    work = workspace(levels, len(space.rules.is_output), space.rules.coefficients.shape[1], dims)
    kernel.tile_sizes(nest, work)
    kernel.fan_out(space.rules, tensor, FANOUT, nest, work)
    counted, spread = work.statistics[FANOUT, tensor], nest.spatial_x[FANOUT] * nest.spatial_y[FANOUT]
    alike = [row.factors == tuple(spread.tolist()) for row in space.fanouts[FANOUT]]
    on_y = [
        all(row.on_y[d] == (nest.spatial_y[FANOUT, d] > 1) for d in np.flatnonzero(spread > 1))
        for row in space.fanouts[FANOUT]
    ]
    place = int(fan.which[np.flatnonzero(np.array(alike) & np.array(on_y))[0]])
    path, loops = np.zeros(path_at(FANOUT, 0, 0, dims), np.int32), np.zeros((5, dims), np.int64)
    path[path_at(0, FACTOR, 0, dims) : path_at(0, FACTOR, dims, dims)] = nest.temporal[0]
    path[path_at(0, ORDER, 0, dims) : path_at(0, ORDER, dims, dims)] = nest.order[0]
    loops[SIZE], loops[BY] = work.together[FANOUT], spread
    loops[SIZE_PLACE] = [some.index(int(n)) for some, n in zip(space.divisors, loops[SIZE], strict=True)]
    none = np.zeros(0, np.int64)
    list_advances(space.rules, FANOUT, Row(none, np.zeros((0, 0)), np.zeros(0), path), loops, fan)
    least_held(space.rules, lattice_of(space), fan, place, tensor, loops, fan.held)
    if work.times[work.first[FANOUT]] > work.times[kernel.first_move(space.rules, tensor, FANOUT, work)]:
        assert counted[kernel.LINKED] == 0  # after a step that leaves a tile in place neighbours pass nothing on
    ratio = counted[kernel.SENT] * spread.prod() / counted[kernel.DELIVERED]
    return float(fan.held[0]), float(fan.held[1]), float(counted[kernel.SENT]), float(ratio)


@settings(max_examples=draws(80))
@given(windowed(), st.sampled_from([(4, 3), (6, 3), (8, 4)]), st.randoms(use_true_random=False))
def test_no_less_is_sent_than_foreseen_once_the_loops_outside_are_known(
    problem: Problem, grid: tuple[int, int], random: Random
) -> None:
    space = space_of(problem, keeps=True, x=grid[0], y=grid[1])
    for _ in range(12):
        nest = drawn(space, random)
        if fan_of(space, FANOUT).slides[INPUTS] and (nest.spatial_x[FANOUT] * nest.spatial_y[FANOUT]).prod() > 1:
            held, passed, sent, ratio = held_passed_and_counted(space, nest, INPUTS)
            assert held <= sent * (1 + 1e-9)
            assert passed <= ratio * (1 + 1e-9)


def nest_of(space: Space, spread: dict[str, int], loops: list[tuple[str, int]]) -> Nest:
    """Return a mapping of factors along X, and of loops outside, outer to inner."""
    names = [space.problem.shape.dimensions[d] for d in space.active]
    nest = empty_nest(len(space.levels), len(names), len(space.rules.is_output))
    for name, factor in spread.items():
        nest.spatial_x[FANOUT, names.index(name)] = factor
    for name, factor in loops:
        nest.temporal[0, names.index(name)] = factor
    order = [names.index(name) for name, _ in loops]
    nest.order[0] = [*order, *(d for d in range(len(names)) if d not in order)]
    nest.temporal[-1] *= [divisors[-1] for divisors in space.divisors] // (
        nest.temporal.prod(axis=0) * nest.spatial_x.prod(axis=0)
    )
    return nest


@pytest.mark.parametrize(
    ("spread", "loops", "words"),
    [
        ({"R": 4}, [("P", 8)], 4 + 7),  # a step is the distance of two children: one of them has no neighbour ahead
        ({"P": 4}, [("P", 2)], 2 * 4 * 4),  # a step is the distance of four: none has
    ],
    ids=["taps", "places"],
)
def test_what_is_tabulated_is_sent_where_the_first_loop_is_the_only_one(
    spread: dict[str, int], loops: list[tuple[str, int]], words: int
) -> None:
    problem = Problem(shape("window", "PR", ["P + R", "R"], "P"), (8, 4), (), "window")
    space = space_of(problem, keeps=True)
    nest = nest_of(space, spread, loops)
    assert said_and_sent(space, nest, INPUTS) == (pytest.approx(words), words)
    held, _, sent, _ = held_passed_and_counted(space, nest, INPUTS)
    assert held == sent == words
