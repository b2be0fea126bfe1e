"""Counts are whole numbers that are never negative: outputs with holes, and sizes near the limits of 64 bits."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brute_force import all_mappings
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.model import kernel
from dovetail.model.batch import evaluate_batch
from dovetail.model.cost import Cost
from dovetail.model.encode import encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, Shape, Tensor, Term
from dovetail.workload.shapes import TRANSPOSED_CONVOLUTION, sized
from model_strategies import Setup, architectures, energy_tables, mappings
from test_model_walk import check

_SUMMED = (Term("P", "stride"), Term("R", "dilation"))
#: Outputs whose rows are sums: a kernel scattered over them, with gaps wherever a step is longer than a tile.
SCATTERED = Shape(
    "scattered",
    ("C", "M", "P", "R"),
    (
        Tensor("Weights", ((Term("C"),), (Term("M"),), (Term("R"),))),
        Tensor("Inputs", ((Term("C"),), (Term("P"),))),
        Tensor("Outputs", ((Term("M"),), _SUMMED), is_output=True),
    ),
    ("stride", "dilation"),
)
#: The same with the row's start on an axis of its own.
ON_TWO_AXES = replace(
    SCATTERED,
    tensors=(*SCATTERED.tensors[:2], Tensor("Outputs", ((Term("M"),), _SUMMED, (Term("P"),)), is_output=True)),
)


@st.composite
def scattered(draw: st.DrawFn, most: int = 6) -> Problem:
    size = st.integers(1, most)
    shape = draw(st.sampled_from([SCATTERED, SCATTERED, ON_TWO_AXES]))
    bounds = (draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2])), draw(size), draw(size))
    return Problem(shape, bounds, (draw(st.integers(1, 5)), draw(st.integers(1, 3))), "scattered")


@st.composite
def scattered_setups(draw: st.DrawFn) -> Setup:
    problem = draw(scattered())
    architecture = draw(architectures(problem, special=draw(st.booleans())))
    imperfect = draw(st.booleans())
    mapping = draw(mappings(problem, architecture, imperfect=imperfect))
    return Setup(mapping, problem, architecture, draw(energy_tables(architecture)))


def numbers(cost: Cost) -> list[float]:
    """Return every number of a cost."""
    found: list[float] = []

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                gather(one)
        elif isinstance(value, list | tuple):
            for one in value:
                gather(one)
        elif isinstance(value, int | float):
            found.append(value)

    gather(cost.to_json())
    return found


@settings(max_examples=150)
@given(scattered_setups())
def test_outputs_with_holes_are_counted_as_the_walk_does_and_never_below_nothing(setup: Setup) -> None:
    check(setup)
    if setup.architecture.storages[0].words is None:
        try:
            cost = evaluate(*setup)
        except Exception:  # a tile that does not fit: `check` has looked at that
            return
        assert min(numbers(cost)) >= 0
        assert cost.utilization <= 1


@settings(max_examples=200)
@given(scattered(12))
def test_touched_words_are_those_that_the_loops_touch(problem: Problem) -> None:
    tensor = problem.shape.tensors[-1]
    touched = {
        tuple(
            sum(problem.coefficient(term) * point[problem.shape.dimensions.index(term.dimension)] for term in axis)
            for axis in tensor.projection
        )
        for point in itertools.product(*map(range, problem.bounds))
    }
    if problem.shape is SCATTERED:
        assert problem.touched(tensor) == len(touched)
    assert len(touched) <= problem.touched(tensor) <= problem.words(tensor)


@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 5)), min_size=3, max_size=3))
def test_places_of_three_summed_dimensions_are_counted_exactly(steps: list[tuple[int, int]]) -> None:
    axis = tuple(Term(name, name.lower()) for name in "ABC")
    shape = Shape("three", tuple("ABC"), (Tensor("Z", (axis,), is_output=True),), tuple("abc"))
    problem = Problem(shape, tuple(bound for _, bound in steps), tuple(step for step, _ in steps))
    places = {
        sum(s * i for (s, _), i in zip(steps, index, strict=True))
        for index in itertools.product(*(range(b) for _, b in steps))
    }
    assert problem.touched(shape.tensors[0]) == len(places)


@pytest.mark.parametrize("design", ["eyeriss_like", "simba_like", "tpu_like", "simple_weight_stationary"])
def test_a_transposed_convolution_whose_stride_exceeds_its_kernel_reads_no_hole(design: str) -> None:
    """Every word of the output is written at least once, none is read before, and no count is negative."""
    problem = sized(TRANSPOSED_CONVOLUTION, "t", C=8, M=8, P=8, Q=8, R=2, S=2, Hstride=4, Wstride=4)
    assert problem.touched(problem.shape.tensor("Outputs")) == 8 * 16 * 16
    architecture = load_architecture(design)
    result = search(problem, architecture, estimate(architecture))
    assert result.certificate.exact
    assert min(numbers(result.cost)) >= 0
    outermost = result.cost.levels[0].tensors["Outputs"]
    assert outermost.updates >= 2048
    assert outermost.reads == outermost.updates - 2048


@st.composite
def small_machines(draw: st.DrawFn) -> tuple[Architecture, EnergyTable]:
    """A memory, an array and a buffer, in either order."""
    x, y = draw(st.sampled_from([(2, 1), (2, 2), (3, 1), (4, 1)]))
    outside = draw(st.booleans())
    mesh = {} if outside else {"mesh_x": x, "mesh_y": y}
    depth = draw(st.sampled_from([2, 8, 64]))
    buffer = Storage(name="buffer", component="SRAM", width=16, datawidth=16, depth=depth, **mesh)
    array = Spatial(name="array", component="", fanout_x=x, fanout_y=y)
    levels = (buffer, array) if outside else (array, buffer)
    memory = Storage(name="DRAM", component="DRAM", width=16, datawidth=16)
    mac = Compute(name="mac", component="intmac", mesh_x=x, mesh_y=y)
    price = st.sampled_from([0.5, 1.0, 3.0, 7.25])
    storage = {action: draw(price) for action in ("read", "write", "update", "leak")}
    table = {"DRAM": {**storage, "read": 20.0}, "buffer": storage, "mac": {"compute": 1.0, "leak": 0.0}}
    energies = EnergyTable({name: ComponentCost(actions) for name, actions in table.items()})
    return Architecture("small", (memory, *levels, mac)), energies


@settings(max_examples=40)
@given(scattered(4), small_machines(), st.sampled_from(Objective))
def test_nothing_is_better_than_what_the_search_finds_for_outputs_with_holes(
    problem: Problem, machine: tuple[Architecture, EnergyTable], objective: Objective
) -> None:
    architecture, energies = machine
    nests = all_mappings(problem, architecture)
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(architecture, energies))
    assert (costs.energy_pJ >= 0).all()
    values = np.array([objective.value_of(e, c) for e, c in zip(costs.energy_pJ, costs.cycles, strict=True)])
    values[costs.overflow >= 0] = np.inf
    result = search(problem, architecture, energies, objective)
    assert result.certificate.exact
    assert result.certificate.value == pytest.approx(values.min(), rel=1e-12)


_NUMBER = st.integers(1, 2**60)


@settings(max_examples=300)
@given(_NUMBER, _NUMBER, _NUMBER)
def test_scaling_is_exact_beyond_64_bits(value: int, one: int, other: int) -> None:
    some, whole = sorted((one, other))
    assert kernel.scaled(value, some, whole) == value * some // whole
    assert int(kernel.scaled(np.int64(value), np.int64(some), np.int64(whole))) == value * some // whole
