"""What the exact search believes of a partial mapping is true: replayed level by level, no bound exceeds the cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    LoopConstraints,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import dense_designs, load_architecture
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.exact import explore
from dovetail.mapper.exact.bounds import bound_of
from dovetail.mapper.exact.ceiling import Known
from dovetail.mapper.exact.chains import remember
from dovetail.mapper.exact.completion import build_completion
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.entering import fewest_iterations
from dovetail.mapper.exact.expand import begin_ways, foresee, note_way
from dovetail.mapper.exact.flat import flat_completion
from dovetail.mapper.exact.goal import goal_of
from dovetail.mapper.exact.prepare import Prepared, lay_out, prepare, with_bounds
from dovetail.mapper.exact.rows import (
    BY,
    FACTOR,
    INSIDE,
    INSTANCES,
    ORDER,
    SIZE,
    SOURCE,
    TILE,
    Row,
    Rows,
    Scratch,
    copy_row,
    kept_at,
    path_at,
)
from dovetail.mapper.exact.space import Space, build_space
from dovetail.mapper.exact.traffic import keep, spread_out
from dovetail.mapper.local.improve import improve
from dovetail.mapper.local.sample import sample
from dovetail.mapper.objective import Objective
from dovetail.model.arrays import Nest
from dovetail.model.batch import candidate, evaluate_batch
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules
from dovetail.workload.problem import Problem, convolution, linear
from draws import draws
from mapper_strategies import Setup, machines, ported, problems, setups, shape
from test_mapper_exact import assume_small, everything, is_allowed

LAYERS = (
    convolution(C=32, M=16, P=28, Q=14, R=3, S=3, name="conv"),
    convolution(C=3, M=32, P=12, Q=12, R=5, S=5, N=2, stride=(2, 2), name="stem"),
    convolution(C=1, M=1, P=14, Q=14, R=3, S=3, G=24, name="depthwise"),
    convolution(C=64, M=48, P=10, Q=10, name="pointwise"),
    linear(C=256, M=100, name="linear"),
)


def replay(prepared: Prepared, nest: Nest) -> Iterator[tuple[float, float, float, bool]]:
    """Yield, by boundary, energy, cycles and their product that a mapping is bound to have, at last what it has."""
    space, scene = prepared.space, prepared.scene
    active, dims, tensors = list(space.active), len(space.active), len(space.rules.is_output)
    work = explore.scratch_for(prepared)
    row = work.row
    copy_row(explore.first_rows(prepared), 0, row)
    sizes = np.array([divisors[-1] for divisors in space.divisors], np.int64)
    for level in range(len(space.levels)):
        decisions = slice(path_at(level, FACTOR, 0, dims), path_at(level, ORDER, dims, dims))
        if space.is_spatial[level]:
            x, y = nest.spatial_x[level, active], nest.spatial_y[level, active]
            at = _fanout(prepared, level, x, y, [active.index(d) for d in nest.spatial_order[level] if d in active])
            inside = sizes // (x * y)
            work.loops[BY] = x * y
            tile, way = int(row.key[TILE]), int(scene.spreads.first[level]) + at
            with_fan = scene._replace(fan=prepared.fans[level])
            if space.by_model[level].any():
                begin_ways(with_fan, level, one_row(row), 0, work)
            row.key[TILE] = _index(prepared, inside)
            row.key[INSTANCES] *= (x * y).prod()
            chosen = space.fanouts[level][at]
            note_way(scene, level, way, work)
            assert row.path[decisions].tolist() == [*chosen.factors, *chosen.on_y, *chosen.order]
            spread_out(scene, level, way, tile, int((x * y).prod()), work)
            yield (*bounds_of(prepared, level + 1, work), False)
            if space.by_model[level].any():
                foresee(with_fan, level, int(with_fan.fan.which[at]), work)
                yield (*bounds_of(prepared, level + 1, work), False)
                counted = one_row(row)
                explore.count_once(prepared, level, counted)
                copy_row(counted, 0, row)
        else:
            work.loops[SIZE] = sizes
            kept = sum(1 << t for t in range(tensors) if nest.keep[level, t])
            keep(scene, level, kept, work)
            factors = nest.temporal[level, active]
            inside = sizes // factors
            work.loops[INSIDE], work.loops[BY] = inside, factors
            order = [active.index(d) for d in nest.order[level][::-1] if d in active]
            loops = [d for d in order if factors[d] > 1]
            work.entered.key[:] = row.key
            row.key[TILE] = _index(prepared, inside)
            assert remember(scene.motion, level, np.array([*loops, *[-1] * (dims - len(loops))]), work)
            row.path[kept_at(level, dims)] = kept
            row.path[decisions] = [*factors, *([0] * dims), *order[::-1]]
            if level < space.outside:
                step = scene.sourcing.first[level] + row.path[SOURCE] * scene.sourcing.width[level]
                row.path[SOURCE] = scene.sourcing.inside[step + space.keepers[level].index(kept)]
        sizes = inside
        yield (*bounds_of(prepared, level + 1, work), False)
    energy, cycles = explore._totals(prepared, one_row(row))[0]
    yield energy, cycles, energy * cycles, True


def bounds_of(prepared: Prepared, level: int, work: Scratch) -> tuple[float, float, float]:
    """Return the least energy, cycles, and energy times cycles that a row is taken to come to."""

    def bound(objective: Objective) -> tuple[float, float]:
        return bound_of(prepared.scene, goal_of(objective.code), level, work.row, work.prices)

    energy, cycles = bound(Objective.EDP)
    return bound(Objective.ENERGY)[0], bound(Objective.LATENCY)[1], energy * cycles


def one_row(row: Row) -> Rows:
    """Return a row as rows."""
    return Rows(*(array[None].copy() for array in row), np.zeros(1))


def _index(prepared: Prepared, sizes: np.ndarray) -> int:
    places = [divisors.index(int(size)) for divisors, size in zip(prepared.space.divisors, sizes, strict=True)]
    return sum(place * radix for place, radix in zip(places, prepared.space.radix, strict=True))


def _fanout(prepared: Prepared, level: int, x: np.ndarray, y: np.ndarray, order: list[int]) -> int:
    """Return the way to use a fan-out that costs what this one does."""
    loops = [d for d in order if x[d] * y[d] > 1]
    wanted = [d for d in loops if y[d] == 1] + [d for d in loops if y[d] > 1]
    same = [i for i, row in enumerate(prepared.space.fanouts[level]) if row.factors == tuple((x * y).tolist())]
    for i in same:
        row = prepared.space.fanouts[level][i]
        if [d for d in row.order if row.factors[d] > 1] == wanted and [d for d in loops if row.on_y[d]] == [
            d for d in loops if y[d] > 1
        ]:
            return i
    assert not prepared.space.linking[level].any(), "every order and axis is listed where neighbours may pass data on"
    return same[0]


def check(problem: Problem, architecture: Architecture, energies: EnergyTable, count: int) -> int:
    """Replay random mappings and a good one; returns how many fitted."""
    prepared, _, flat = prepared_in_all_ways(build_space(problem, architecture, energies))
    bound = prepared.space.architecture
    rules, machine = encode_rules(problem, bound), encode_machine(problem, bound, energies)
    nests = sample(problem, architecture, count)
    costs = evaluate_batch(nests, rules, machine)
    found = improve(problem, architecture, energies, Objective.EDP, evaluations=4000)
    chosen = [(candidate(nests, i), costs.energy_pJ[i], costs.cycles[i]) for i in np.flatnonzero(costs.overflow < 0)]
    chosen.append((encode_mapping(found.mapping, problem, bound), found.cost.energy_pJ, found.cost.cycles))
    for nest, energy, cycles in chosen:
        axes = (nest.spatial_x > 1) & (nest.spatial_y > 1)
        if axes.any():
            continue  # one dimension on both axes: its own case of the model, which the space does not list
        for one in (prepared, flat):
            stays_below(one, nest, energy, cycles)
    return len(chosen)


def prepared_in_all_ways(space: Space) -> list[Prepared]:
    """Return a space with its bounds, and with those that a search has for want of time: coarse and flat ones."""
    laid_out, coarse = lay_out(space, Effort()), Effort(vectors=3, priced=3, entries=1)
    given = laid_out.space, laid_out.tables, laid_out.per_word
    found = [build_completion(*given, coarse), flat_completion(*given)]
    return [prepare(space), *(with_bounds(laid_out, completion) for completion in found)]


def stays_below(prepared: Prepared, nest: Nest, energy: float, cycles: int) -> None:
    """Check all that is said of a mapping on the way to it against what it costs."""
    assert prepared.compulsory_pJ <= energy * (1 + 1e-9)
    assert prepared.least_cycles <= cycles
    for bound_energy, bound_cycles, bound_product, final in replay(prepared, nest):
        assert bound_energy <= energy * (1 + 1e-9)
        assert bound_cycles <= cycles * (1 + 1e-9)
        assert bound_product <= energy * (cycles + final) * (1 + 1e-9)
        if final:
            # The model rounds cycles up from a quotient of sums, which may make one more, with its leakage.
            assert abs(bound_cycles - cycles) <= 1
            children = (nest.spatial_x * nest.spatial_y).prod(axis=1)
            instances = np.cumprod([1, *children[:-1]])
            leakage = (prepared.space.machine.leakage * instances).sum() * (cycles - bound_cycles)
            assert bound_energy + leakage == pytest.approx(energy, rel=1e-9)


@pytest.mark.parametrize("problem", LAYERS, ids=[layer.name for layer in LAYERS])
@pytest.mark.parametrize("design", dense_designs())
def test_no_bound_exceeds_the_cost(design: str, problem: Problem) -> None:
    architecture = load_architecture(design)
    assert check(problem, architecture, estimate(architecture), count=60) > 0


@st.composite
def deep(draw: st.DrawFn) -> Setup:
    """A setup with several levels inside the outermost fan-out."""
    problem = draw(problems())
    return problem, *draw(machines(problem, ("fss", "fsf", "ffs", "fsfs", "ffss", "fsss", "sfsf", "fff", "sffs")))


@settings(max_examples=draws(90))
@given(st.one_of(setups(), ported(), deep()), st.randoms(use_true_random=False))
def test_no_bound_exceeds_the_cost_on_small_designs_of_all_kinds(setup: Setup, random: Random) -> None:
    """With lines that instances share, data passed between neighbours, first reads, windows on any axes."""
    assume_small(setup)
    replay_some(setup, random, 8)


def replay_some(setup: Setup, random: Random, count: int) -> None:
    """Replay so many of all mappings that fit, at most."""
    problem, architecture, energies = setup
    nests, costs = everything(setup)
    space = build_space(problem, architecture, energies)
    prepared = prepared_in_all_ways(space)
    fitting = np.flatnonzero(costs.overflow < 0).tolist()
    for i, at in enumerate(random.sample(fitting, min(count, len(fitting)))):
        if is_allowed(nests, at, problem, architecture):
            nest, energy, cycles = candidate(nests, at), costs.energy_pJ[at], costs.cycles[at]
            for one in prepared:
                stays_below(one, nest, energy, cycles)
            if i < 2:
                objective = random.choice(tuple(Objective))
                stays_below(prepared_below(space, objective, objective.value_of(energy, cycles)), nest, energy, cycles)


def prepared_below(space: Space, objective: Objective, value: float) -> Prepared:
    """Return a space with bounds for what costs no more than so much; merged, too, where many vectors are left."""
    laid_out = lay_out(space, Effort())
    effort = Effort(vectors=4, priced=4, known=Known(objective, value, laid_out.least_cycles))
    completion = build_completion(laid_out.space, laid_out.tables, laid_out.per_word, effort)
    return with_bounds(laid_out, completion, effort.known)


def test_words_from_neighbours_are_spread_over_the_children_of_their_own_fanout() -> None:
    """Below a second fan-out the model divides them by all instances, so that some of what a child gets is missing."""
    problem = Problem(shape("rows", "PQR", ["P, R, Q", "R"], "P"), (2, 4, 4), (), "rows")
    read = ComponentCost({"read": 30.0, "write": 1.0, "update": 1.0, "leak": 0.1}, area_um2=0.0)
    compute = ComponentCost({"compute": 1.0, "leak": 0.0}, area_um2=0.0)
    apart = Constraints(spatial=LoopConstraints(no_reuse=frozenset({"Out"})))
    levels = (
        Storage(name="DRAM", component="DRAM", width=64, datawidth=16, read_bandwidth=1),
        Spatial(name="outer", component="", fanout_x=4, fanout_y=1, constraints=apart),
        Spatial(name="inner", component="", fanout_x=4, fanout_y=1, mesh_x=4, constraints=apart),
        Compute(name="mac", component="intmac", mesh_x=16),
    )
    energies = EnergyTable({level.name: read if level.name == "DRAM" else compute for level in levels})
    replay_some((problem, Architecture("two fan-outs", levels), energies), Random(1), 400)


@pytest.mark.parametrize("inputs", ["P*a + R", "P*a + R, Q + P", "P*a, P*a + R"])
def test_operations_ask_for_what_they_touch_not_for_the_box_around_it(inputs: str) -> None:
    """Strides and tied axes leave holes in a tile's box, which no one needs who keeps parts of it one by one."""
    problem = Problem(shape("holes", "PQR", [inputs], "P, Q, R", "a"), (4, 2, 2), (3,), "holes")
    levels = (
        Storage(name="DRAM", component="DRAM", width=64, datawidth=16, shared_bandwidth=0.25),
        Storage(name="buffer", component="SRAM", width=16, datawidth=16, depth=12),
        Compute(name="mac", component="intmac"),
    )
    memory = ComponentCost({"read": 1.0, "write": 1.0, "update": 1.0, "leak": 0.1}, area_um2=0.0)
    compute = ComponentCost({"compute": 1.0, "leak": 0.0}, area_um2=0.0)
    energies = EnergyTable({"DRAM": memory, "buffer": memory, "mac": compute})
    replay_some((problem, Architecture("one buffer", levels), energies), Random(1), 200)


def test_bounds_below_a_mapping_take_off_all_words_that_are_not_read_though_outputs_have_holes() -> None:
    """The model reads no words of the box that is written first; fewer of them are touched."""
    problem = Problem(shape("holes", "PQR", ["P"], "P + R, Q + R"), (1, 3, 3), (), "holes")
    levels = (
        Storage(name="DRAM", component="DRAM", width=64, datawidth=16),
        Spatial(name="array", component="", fanout_x=2, fanout_y=1),
        Compute(name="mac", component="intmac", mesh_x=2),
    )
    memory = ComponentCost({"read": 100.0, "write": 1.0, "update": 1.0, "leak": 0.0}, area_um2=0.0)
    free = ComponentCost({"compute": 1.0, "leak": 0.0}, area_um2=0.0)
    setup = problem, Architecture("an array", levels), EnergyTable({"DRAM": memory, "array": free, "mac": free})
    nests, costs = everything(setup)
    space = build_space(*setup)
    for at in np.flatnonzero(costs.overflow < 0).tolist():
        if is_allowed(nests, at, *setup[:2]):
            energy, cycles = costs.energy_pJ[at], costs.cycles[at]
            below = prepared_below(space, Objective.ENERGY, energy)
            stays_below(below, candidate(nests, at), energy, cycles)


@pytest.mark.parametrize("problem", LAYERS, ids=[layer.name for layer in LAYERS])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("design", dense_designs())
def test_no_bound_of_a_free_design_exceeds_the_cost(design: str, links: bool, problem: Problem) -> None:
    architecture = load_architecture(design)
    linked = frozenset[str]() if links else frozenset({"Weights", "Inputs", "Outputs"})
    free = Constraints(spatial=LoopConstraints(no_link_transfer=linked))
    levels = tuple(replace(level, constraints=free) for level in architecture.levels)
    small = replace(problem, bounds=tuple(min(bound, 16) for bound in problem.bounds))
    architecture = replace(architecture, levels=levels)
    assert check(small, architecture, estimate(architecture), count=40) > 0


@given(st.integers(1, 200), st.data())
def test_loops_outside_of_a_tile_have_at_least_thefewest_iterations(whole: int, data: st.DataObject) -> None:
    """Whatever loops are split off outside of a tile, one makes no fewer, and some loops make just so many."""
    divisors = tuple(divisors_of(whole))
    sizes = np.array(data.draw(st.lists(st.sampled_from(divisors), min_size=1, max_size=4)), np.int64)
    for size, fewest in zip(sizes.tolist(), fewest_iterations(divisors, sizes).tolist(), strict=True):
        factors = [factor for factor in range(2, whole + 1) if whole // size % factor == 0]
        assert fewest == min(factors, default=2)
