"""Counts are whole numbers that are never negative: outputs with holes, and sizes near the limits of 64 bits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from brute_force import all_mappings
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model import kernel
from dovetail.model.arrays import Nest, Rules, Workspace, workspace
from dovetail.model.batch import evaluate_batch
from dovetail.model.charges import COUNTS
from dovetail.model.cost import Cost
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.network.plain import cost_fields
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network, UnmappedOperation
from dovetail.workload.problem import (
    CONVOLUTION,
    MATRIX_PRODUCT,
    Problem,
    Shape,
    Tensor,
    Term,
    convolution,
    matrix_product,
)
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

    gather(cost_fields(cost))
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
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(problem, architecture, energies))
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


_SIZES = st.integers(0, 31).map(lambda bits: 2**bits) | st.integers(1, 2**31) | st.integers(1, 12)


@st.composite
def huge(draw: st.DrawFn) -> Problem:
    """Problems of every kind with sizes up to the limits, most of them beyond what is counted together."""
    shape = draw(st.sampled_from([CONVOLUTION, TRANSPOSED_CONVOLUTION, MATRIX_PRODUCT, SCATTERED, ON_TWO_AXES]))
    most = draw(st.sampled_from([8, 2**8, 2**16, 2**31]))
    size = _SIZES.map(lambda value: max(1, value % most))
    bounds = tuple(draw(size) for _ in shape.dimensions)
    return Problem(shape, bounds, tuple(draw(size) for _ in shape.coefficients), "huge")


def tried(draw: st.DrawFn, problems: st.SearchStrategy[Problem]) -> Problem:
    """Draw a problem that is not refused."""
    try:
        return draw(problems)
    except InputError as error:
        assert "counted" in str(error)
        assume(False)
        raise


@st.composite
def huge_setups(draw: st.DrawFn) -> tuple[Problem, Architecture, Mapping]:
    """A huge problem, a machine with small fan-outs, and a mapping with divisors of the bounds in any place."""
    problem = tried(draw, huge())
    architecture = draw(architectures(problem, special=draw(st.booleans())))
    left = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    entries = []
    names = [tensor.name for tensor in problem.shape.tensors]
    for index, level in reversed(list(enumerate(architecture.levels[:-1]))):
        order = draw(st.permutations(problem.shape.dimensions))
        room = level.fanout_x if isinstance(level, Spatial) else 2**31
        loops = []
        for name in order:
            factor = left[name] if index == 0 else draw(st.sampled_from(some_divisors(left[name], room)))
            room, left[name] = room // factor if isinstance(level, Spatial) else room, left[name] // factor
            loops.append(Loop(name, factor))
        if isinstance(level, Spatial):
            entries.append(LevelMapping(level.name, spatial_x=tuple(loops)))
        else:
            keep = frozenset(names) if index == 0 else frozenset(draw(st.sets(st.sampled_from(names), min_size=1)))
            entries.append(LevelMapping(level.name, temporal=tuple(loops), keep=keep))
    return problem, architecture, Mapping(tuple(reversed(entries)))


def some_divisors(number: int, room: int) -> list[int]:
    """Return divisors up to a limit: small ones, and what is left over them."""
    small = [n for n in range(1, 200) if number % n == 0]
    return sorted({n for n in (*small, *(number // n for n in small)) if n <= room})


def exactly(nest: Nest, rules: Rules) -> list[list[list[int]]]:
    """Count a mapping with the kernel's own rules in whole numbers of any length, and statistics as fractions."""
    levels, tensors = nest.keep.shape
    axes, dims = rules.coefficients.shape[1:]
    work = workspace(levels, tensors, axes, dims)
    plain = [Workspace, Nest, Rules]
    unlimited = [
        kind._make(array.astype(object) if array.dtype.kind in "if" else array for array in value)
        for kind, value in zip(plain, (work, nest, rules), strict=True)
    ]
    exact_work, exact_nest, exact_rules = unlimited
    for array in exact_work:
        if array.dtype == object:
            array[...] = 0
    counts = np.zeros((levels, tensors, COUNTS), object)
    kernel.count_all(exact_rules, exact_nest, exact_work, counts)
    return [[[int(number) for number in row] for row in level] for level in counts]


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(huge_setups())
def test_huge_problems_are_refused_or_counted_as_whole_numbers_of_any_length_would_be(
    setup: tuple[Problem, Architecture, Mapping],
) -> None:
    problem, architecture, mapping = setup
    rules, nest = encode_rules(problem, architecture), encode_mapping(mapping, problem, architecture)
    levels, tensors = nest.keep.shape
    counts = np.zeros((levels, tensors, COUNTS), np.int64)
    kernel.count_all(rules, nest, workspace(levels, tensors, *rules.coefficients.shape[1:]), counts)
    exact = np.array(exactly(nest, rules), object)
    assert (counts >= 0).all()
    assert exact.max() < 2**62
    assert np.abs(counts - exact).max() <= 1e-12 * exact.max()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: matrix_product(M=2**31 + 1, C=1, P=1), "dimension M is 2147483649; at most 2147483648 is counted"),
        (lambda: matrix_product(M=2**31, P=2**31, C=1), "4.61e+18 multiply-accumulates"),
        (lambda: convolution(C=1, M=1, P=2**31, Q=1, stride=(2**31, 1)), "words of Inputs; at most"),
        (lambda: convolution(C=10**30, M=1, P=1, Q=1), "dimension C is 1000"),
        (lambda: convolution(C=1, M=1, P=1, Q=1, dilation=(1, 2**31 + 1)), "coefficient Hdilation is"),
        (lambda: Network("n", (Layer("l", matrix_product(M=2**20, P=2**20, C=2**19), 4),)), "at most"),
        (lambda: Network("n", (), unmapped=(UnmappedOperation("o", 2**61),)), "n: 2.31e+18 multiply"),
        (lambda: LAYERS.with_batch(2**29), "l: 2.31e+18 multiply-accumulates"),
        (lambda: Storage(name="s", component="SRAM", width=16, datawidth=16, depth=2**61), "s: depth must be"),
        (lambda: Storage(name="s", component="SRAM", width=2**31, datawidth=1, depth=2**40), "s: words of an instance"),
        (lambda: Storage(name="s", component="SRAM", width=16, datawidth=16, read_bandwidth=1e-300), "read_bandwidth"),
        (lambda: Storage(name="s", component="SRAM", width=16, datawidth=16, write_bandwidth=math.nan), "write_bandw"),
        (lambda: Spatial(name="x", component="", fanout_x=2**16, fanout_y=2**16), "x: instances of the next level"),
        (lambda: EnergyTable({"mac": ComponentCost({"compute": math.inf})}), "mac: compute is inf pJ"),
        (lambda: EnergyTable({"mac": ComponentCost({"compute": math.nan})}), "mac: compute is nan pJ"),
        (lambda: EnergyTable({"mac": ComponentCost({"compute": -1.0})}), "mac: compute is -1 pJ"),
    ],
)
def test_what_64_bits_do_not_hold_is_refused_wherever_it_comes_from(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert said in str(error.value)


LAYERS = Network("n", (Layer("l", matrix_product(M=2**10, P=2**10, C=2**10, G=4), batch_dimension="G"),))
CSV = "name,C,M,P,Q,repeats\nfine,1,1,1,1,1\n"
DESIGN = files("dovetail.hardware") / "designs" / "eyeriss_like.yaml"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("big.csv", f"{CSV}a,999999999999999999,1,1,1,1\n", "big.csv:3: C: 999999999999999999 is too many; at most"),
        ("mid.csv", f"{CSV}a,65536,65536,65536,65536,1\n", "mid.csv:3: a: 1.84e+19 multiply-accumulates"),
        ("often.csv", f"{CSV}a,1,1,1,1,99999999999\n", "often.csv:3: repeats: 99999999999 is too many"),
        ("all.csv", f"{CSV}a,65536,65536,65536,512,2147483648\n", "all.csv: all: 3.09e+26 multiply-accumulates"),
        ("t.yaml", "layers:\n- {name: a, C: 4294967296}\n", "t.yaml:2: C: 4294967296 is too many"),
        (
            "p.yaml",
            "problem:\n  shape: cnn_layer\n  instance: {C: 16, K: 16, R: 3, S: 3, N: 1, P: 65536, Q: 65536, "
            "Wstride: 2147483648, Hstride: 2147483648}\n",
            "p.yaml:3: problem.instance: p: mappings can move 4.56e+31 words of Inputs",
        ),
    ],
)
def test_readers_name_the_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        load_network(str(tmp_path / name))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("meshX: 14", "meshX: 4294967296", "instances of the next level must be"),
        ("depth: 16384", "depth: 4611686018427387904", "depth must be at least 0 and at most"),
    ],
)
def test_the_architecture_reader_names_the_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = DESIGN.read_text()
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    (tmp_path / "a.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load_architecture(str(tmp_path / "a.yaml"))
    assert f"a.yaml:{line}: " in str(error.value)
    assert said in str(error.value)
