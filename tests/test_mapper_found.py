"""Searches that once proved what is not so, or took long to; and the alarm that rings when a search miscounts."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InternalError
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact import explore, prepare, returns, search
from dovetail.mapper.exact.cover import Cover
from dovetail.mapper.exact.returns import may_return
from dovetail.mapper.exact.watch import Watch
from dovetail.mapper.local.sample import sampled_search
from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.arrays import Floats
from dovetail.model.evaluate import evaluate
from dovetail.workload.loading import load_layer
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import SHAPES, Setup, shape
from test_mapper_exact import holds

ONE_BY_ONE = "resnet18:layer2.0.downsample.0"


def design(problem: Problem, parts: list[Spatial | tuple[int, list[str]]], prices: list[tuple[float, ...]]) -> Setup:
    """Return a setup below a DRAM: fan-outs, and buffers of so many words that keep some tensors and no others.

    ``prices`` are pJ per word read, written and updated, of the DRAM and then of every buffer.
    """
    names = {tensor.name for tensor in problem.shape.tensors}
    levels: list[Level] = [Storage(name="DRAM", component="DRAM", width=16, datawidth=16)]
    mesh = 1
    for part in parts:
        if isinstance(part, Spatial):
            levels.append(replace(part, mesh_x=mesh))
            mesh *= part.fanout
            continue
        constraints = Constraints(keep=frozenset(part[1]), bypass=frozenset(names - set(part[1])))
        levels.append(
            Storage(
                name=f"buffer{len(levels)}", component="SRAM", width=16, datawidth=16, depth=part[0], mesh_x=mesh,
                constraints=constraints,
            )
        )  # fmt: skip
    levels.append(Compute(name="mac", component="intmac", mesh_x=mesh))
    storages = [level.name for level in levels if isinstance(level, Storage)]
    table = {
        name: ComponentCost({"read": read, "write": write, "update": update, "leak": 0.0})
        for name, (read, write, update) in zip(storages, prices, strict=True)
    }
    table["mac"] = ComponentCost({"compute": 1.0, "leak": 0.0})
    return problem, Architecture("found", tuple(levels)), EnergyTable(table)


def problem_of(name: str, bounds: tuple[int, ...], coefficients: tuple[int, ...] = ()) -> Problem:
    return Problem(next(one for one in SHAPES if one.name == name), bounds, coefficients, name)


ONE_ROW = Spatial(name="array", component="", fanout_x=2, fanout_y=1)
#: Only Q lies on the array: its halo can come from a neighbour when P and R, outside of S, undo each other's steps.
COLUMNS = replace(
    ONE_ROW,
    constraints=Constraints(
        spatial=LoopConstraints(factors=tuple(FactorConstraint(name, Relation.EQ, 1) for name in "CRSP"))
    ),
)
PLAIN = shape("plain", "CPQRS", ["R, S, C", "C, P + R, Q + S"], "P, Q")

#: What was proven optimal, or a bound, and is not: a setup each, with its least energy.
FOUND = {
    "a dimension on two axes": (
        design(problem_of("on two axes", (3, 2, 3)), [(4, ["In0"])], [(10, 0, 0), (10, 3, 1)]), 706
    ),
    "a dimension on two axes of outputs": (
        design(problem_of("outputs on two axes", (2, 2, 2)), [(3, ["Out"])], [(10, 1, 0), (10, 1, 1)]), None
    ),
    "sums in both inputs": (
        design(
            problem_of("summed in both inputs", (3, 4, 3), (1, 2)), [(3, ["In0", "In1", "Out"])],
            [(10, 3, 0), (1, 0, 3)],
        ), 880
    ),
    "a window of three columns, five steps": (
        design(
            convolution(C=1, M=1, P=5, Q=1, R=3), [(6, ["Inputs", "Outputs", "Weights"]), (4, ["Inputs"])],
            [(0, 3, 0), (0, 1, 1), (0, 3, 3)],
        ), 89
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_once_is_proven_right(name: str) -> None:
    setup, energy = FOUND[name]
    result = holds(setup, Objective.ENERGY)
    assert result is not None
    if energy is not None:
        assert result.cost.energy_pJ == pytest.approx(energy)
    holds(setup, Objective.EDP)


def test_neighbours_pass_on_what_loops_along_another_axis_put_back() -> None:
    """The order CPRS is cheapest: P and R stand next to each other, so that a step of P undoes one of R."""
    setup = design(Problem(PLAIN, (2,) * 5), [COLUMNS, (1, ["In1"])], [(10, 0, 0), (0, 0, 0)])
    result = search.search(*setup, Objective.ENERGY)
    assert result.certificate.exact
    assert result.cost.energy_pJ == pytest.approx(692)


TWO_AXES = """problem:
  version: 0.4
  shape:
    name: two-axes
    dimensions: [P, Q, R]
    data_spaces:
    - name: A
      projection: [[[P], [R]], [[Q], [R]]]
    - name: W
      projection: [[[R]]]
    - name: Z
      projection: [[[P]], [[Q]]]
      read_write: True
  instance: {P: 2, Q: 2, R: 4}
"""
SMALL = """architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {type: "LPDDR4", width: 16, datawidth: 16}
    constraints:
      temporal: {permutation: [Q, P, R]}
  - !Component
    name: buffer
    class: smartbuffer_SRAM
    attributes: {technology: "45nm", depth: 3, width: 16, datawidth: 16}
    constraints:
      dataspace: {keep: [A]}
  - !Component
    name: mac
    class: intmac
    attributes: {technology: "45nm", multiplier_width: 8, adder_width: 16}
"""


def test_the_command_finds_the_best_of_a_tensor_with_a_dimension_on_two_axes(tmp_path, capsys) -> None:
    (tmp_path / "problem.yaml").write_text(TWO_AXES)
    (tmp_path / "arch.yaml").write_text(SMALL)
    arguments = ["map", str(tmp_path / "problem.yaml"), "--on", str(tmp_path / "arch.yaml"), "--objective", "energy"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    problem, architecture = load_layer(str(tmp_path / "problem.yaml")), load_architecture(str(tmp_path / "arch.yaml"))
    loops = tuple(Loop(name, factor) for name, factor in (("R", 4), ("P", 2), ("Q", 2)))
    outermost = LevelMapping("DRAM", temporal=loops, keep=frozenset("AWZ"))
    known = Mapping((outermost, LevelMapping("buffer", keep=frozenset("AW"))))
    assert found["energy_pJ"] == pytest.approx(evaluate(known, problem, architecture, estimate(architecture)).energy_pJ)
    assert found["certificate"]["exact"] is True
    assert found["certificate"]["space"].startswith("mappings of perfect factors")
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "among 288 mappings of perfect factors in which all tensors of a level share its loops (" in said


def halved(prepared, rows, *, true=explore._totals) -> Floats:
    """Count half the energy."""
    return true(prepared, rows) * np.array([0.5, 1.0])


@pytest.mark.parametrize("objective", Objective)
def test_the_search_rings_when_its_energies_are_not_the_models(monkeypatch, objective: Objective) -> None:
    monkeypatch.setattr(explore, "_totals", halved)
    setup, _ = FOUND["sums in both inputs"]
    with pytest.raises(InternalError, match=r"the search counts .* by the model takes .* please report"):
        search.search(*setup, objective)


def test_the_search_rings_when_its_prices_are_not_the_energy_tables(monkeypatch) -> None:
    def cheaper(*arguments, true=search.with_bounds):
        prepared = true(*arguments)
        machine = prepared.scene.machine
        halved = machine._replace(energy=machine.energy * 0.5, compute_pJ=machine.compute_pJ * 0.5)
        return replace(prepared, scene=prepared.scene._replace(machine=halved))

    monkeypatch.setattr(search, "with_bounds", cheaper)
    with pytest.raises(InternalError):
        search.search(*FOUND["sums in both inputs"][0], Objective.ENERGY)


def test_every_point_of_a_front_is_held_against_the_model(monkeypatch) -> None:
    """Only what a front adds to the best mappings of each objective is miscounted here."""
    problem = problem_of("summed in both inputs", (3, 4, 3), (1, 2))
    wide = replace(ONE_ROW, fanout_x=4)
    _, architecture, energies = design(problem, [wide, (4, ["In0"])], [(10, 3, 0), (1, 0, 3)])
    slow, leak = replace(architecture.levels[2], read_bandwidth=0.3), {"leak": 2.0}
    architecture = replace(architecture, levels=(*architecture.levels[:2], slow, architecture.levels[3]))
    leaking = {name: replace(cost, actions={**cost.actions, **leak}) for name, cost in energies.components.items()}
    setup = problem, architecture, EnergyTable(leaking)
    points = search.search(*setup, front=True).front
    ends = [search.search(*setup, objective).cost for objective in Objective]
    assert {(p.energy_pJ, p.cycles) for p in points} - {(cost.energy_pJ, cost.cycles) for cost in ends}

    def cheaper(cover, goal, *, true=Cover.below):
        return [replace(found, energy=found.energy * 0.9) for found in true(cover, goal)]

    monkeypatch.setattr(Cover, "below", cheaper)
    with pytest.raises(InternalError):
        search.search(*setup, front=True)


def test_the_command_ends_with_its_own_code_when_the_search_miscounts(monkeypatch, capsys) -> None:
    monkeypatch.setattr(explore, "_totals", halved)
    assert main(["map", ONE_BY_ONE, "--on", "simple_weight_stationary"]) == 70
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("dovetail: internal error: ")
    assert said.err.count("\n") == 1


def test_of_the_fastest_mappings_the_one_of_least_energy_is_proven() -> None:
    problem = load_layer(ONE_BY_ONE, batch=16)
    architecture = load_architecture("simple_weight_stationary")
    energies = estimate(architecture)
    fastest = search.search(problem, architecture, energies, Objective.LATENCY)
    least = search.search(problem, architecture, energies, Objective.EDP)
    assert fastest.certificate.exact
    assert fastest.certificate.tie_proven
    assert (fastest.cost.cycles, fastest.cost.energy_pJ) == (least.cost.cycles, least.cost.energy_pJ)


def test_a_value_that_equals_its_bound_is_proven(monkeypatch) -> None:
    problem = convolution(C=2, M=2, P=2, Q=1)
    architecture = load_architecture("simple_weight_stationary")
    alone = replace(architecture, levels=(architecture.levels[0], replace(architecture.compute, mesh_x=1, mesh_y=1)))
    energies = estimate(alone)
    drawn = sampled_search(problem, alone, energies, Objective.LATENCY, samples=10)
    assert drawn.cost.cycles == drawn.certificate.bound == 8
    assert drawn.certificate.exact
    assert not drawn.certificate.tie_proven
    large = load_layer(ONE_BY_ONE, batch=16)
    monkeypatch.setattr(Watch, "is_over", lambda watch: bool(watch.doing))  # once bounds are tabulated
    hurried = search.search(large, architecture, estimate(architecture), Objective.LATENCY, time_limit=60.0)
    assert hurried.certificate.exact is (hurried.certificate.value == hurried.certificate.bound)
    assert hurried.certificate.exact
    assert not hurried.certificate.tie_proven


def free(design: str) -> Architecture:
    """Return a bundled design that leaves the dataflow open."""
    architecture = load_architecture(design)
    levels = tuple(replace(level, constraints=Constraints()) for level in architecture.levels)
    return replace(architecture, levels=levels)


def test_a_time_limit_includes_tabulating_bounds() -> None:
    """Thirty-five thousand tiles: tables that once took 40 s were filled without a look at the clock."""
    problem = convolution(C=65536, M=65536, P=1024, Q=1024, name="large")
    architecture = free("simba_like")
    energies = estimate(architecture)
    search.search(convolution(C=2, M=2, P=2, Q=1), architecture, energies)  # compiles or loads
    began = time.process_time()
    certificate = search.search(problem, architecture, energies, time_limit=1.0).certificate
    assert time.process_time() - began < 1.1 + 0.5
    assert 0 < certificate.bound <= certificate.value
    assert "time limit of 1 s" in certificate.method


def test_what_ended_a_search_is_said() -> None:
    architecture = free("eyeriss_like")
    problem = convolution(C=64, M=64, P=28, Q=28, R=3, S=3, name="conv")
    certificate = search.search(problem, architecture, estimate(architecture), time_limit=0.6).certificate
    assert not certificate.exact
    assert "the time limit of 0.6 s; a longer one may be enough" in certificate.method


def steps_of(bound: int, size: int) -> Iterator[tuple[int, ...]]:
    """Yield the steps, inner to outer, of every way to loop over what is left of a dimension; some of it may stay."""
    yield ()
    for factor in range(2, bound // size + 1):
        if bound % (size * factor) == 0:
            yield from ((size, *more) for more in steps_of(bound, size * factor))


def all_steps_of(bound: int, size: int, divided: bool) -> Iterator[tuple[int, ...]]:
    """Yield them where a fan-out in between may take any part of the dimension, which makes the first step longer."""
    for children in range(1, bound // size + 1 if divided else 2):
        if bound % (size * children) == 0:
            yield from steps_of(bound, size * children)


def comes_back(axis: tuple[int, ...], left: list[tuple[int, ...]], ran_up: int = 0) -> bool:
    """Return whether some order of loops, each dimension's inner to outer, has one that puts the window back."""
    for d, steps in enumerate(left):
        if steps:
            move = axis[d] * steps[0]
            rest = [more[1:] if e == d else more for e, more in enumerate(left)]
            if move == ran_up or comes_back(axis, rest, ran_up + move):
                return True
    return False


@pytest.mark.parametrize(
    ("bounds", "axis"),
    [
        ((5, 3), (1, 1)),
        ((5, 3), (2, 1)),
        ((4, 8), (1, 1)),
        ((4, 6), (1, 2)),
        ((12, 4), (1, 3)),
        ((4, 2, 3), (1, 2, 1)),
        ((4, 2, 6), (1, 0, 1)),
        ((6, 2, 4), (1, 1, 1)),
    ],
)
def test_which_loops_put_a_window_back(bounds, axis) -> None:
    """Also where a fan-out outside the tile may split dimensions, whose loops then begin with longer steps."""
    divisors = tuple(tuple(n for n in range(1, bound + 1) if bound % n == 0) for bound in bounds)
    for split in itertools.product((False, True), repeat=len(bounds)):
        may = may_return(divisors, axis, frozenset(np.flatnonzero(split)))
        for place in np.ndindex(may.shape):
            ways = [
                list(all_steps_of(bound, sizes[at], divided))
                for bound, sizes, at, divided, moves in zip(bounds, divisors, place, split, axis, strict=True)
                if moves
            ]
            moved = tuple(moves for moves in axis if moves)
            assert may[place] == any(comes_back(moved, list(chosen)) for chosen in itertools.product(*ways)), place


def test_sums_that_are_too_many_to_list_count_as_coming_back(monkeypatch) -> None:
    """A bound that is not worked out must not promise that a tile never returns."""
    divisors, axis = tuple(tuple(n for n in range(1, m + 1) if m % n == 0) for m in (12, 16, 6)), (1, 2, 1)
    exact = may_return(divisors, axis, frozenset({1}))
    found = []
    for most in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24):
        may_return.cache_clear()
        monkeypatch.setattr(returns, "MOST_STEPS", most)
        found.append(may_return(divisors, axis, frozenset({1})))
        assert (found[-1] >= exact).all()
    assert found[0].sum() == exact.size - 1  # the whole tile has no loops outside
    assert not (found[-1] == exact).all()
    may_return.cache_clear()


def test_what_a_neighbour_passes_on_may_be_dearer_than_what_the_memory_sends_again() -> None:
    """Where all is sent at every step, loops that leave a tensor in place have neighbours pass it on, at a price."""
    kept = ["Weights", "Inputs", "Outputs"]
    problem, architecture, energies = design(
        convolution(C=1, M=1, G=2, P=2, Q=2), [ONE_ROW, (3, kept)], [(1.25, 0.0, 0.0), (5.0, 0.0, 0.0)]
    )
    buffer = architecture.levels[2]
    anew = replace(buffer.constraints, temporal=LoopConstraints(no_reuse=frozenset({"Weights"})))
    levels = (*architecture.levels[:2], replace(buffer, constraints=anew), *architecture.levels[3:])
    assert holds((problem, replace(architecture, levels=levels), energies), Objective.EDP)


def test_chains_that_are_too_long_prove_nothing(monkeypatch) -> None:
    monkeypatch.setattr(prepare, "LONG_CHAIN", 2)
    (problem, architecture, energies), least = FOUND["a dimension on two axes"]
    result = search.search(problem, architecture, energies, Objective.ENERGY)
    assert not result.certificate.exact
    assert result.certificate.bound <= least <= result.cost.energy_pJ


@pytest.mark.parametrize("objective", [Objective.LATENCY, Objective.ED2P])
def test_where_the_least_edp_takes_the_fewest_cycles_nothing_more_is_examined(objective: Objective) -> None:
    problem, architecture = load_layer("resnet18:layer2.0.downsample.0"), load_architecture("eyeriss_like")
    energies = estimate(architecture)
    least = search.search(problem, architecture, energies, Objective.EDP)
    found = search.search(problem, architecture, energies, objective)
    assert found.mapping == least.mapping
    assert found.certificate.exact
    assert found.certificate.tie_proven
    assert found.certificate.states == least.certificate.states
