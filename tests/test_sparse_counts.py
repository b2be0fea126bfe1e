"""Laws of counting with zeros: what no case of the reference shows, and what must hold on any of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import oracle_zeros
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import InputError, MappingError
from dovetail.hardware.sparse import Choice, LeaveOut, Leaving, Sparse
from dovetail.mapping.mapping import Loop, Mapping
from dovetail.model.evaluate import evaluate
from dovetail.model.sparse import occupancy
from dovetail.model.sparse.occupancy import Band, Extents, Occupancy, Pattern, Scattered, Structured
from dovetail.network.plain import cost_fields
from dovetail.workload.densities import DENSE, Hypergeometric, Measured
from dovetail.workload.problem import Problem

CASES = [case for case in oracle.cases() if case.get("sparse") and case["expect"]]
SIDES = st.integers(1, 6)


@pytest.fixture(scope="module", autouse=True)
def _cases_of_our_own() -> None:
    if not CASES:
        pytest.skip("$DOVETAIL_ORACLE names no sparse cases")


def evaluated(case: oracle.Case) -> oracle.Evaluated:
    return oracle.evaluated(case, {})


@st.composite
def known_zeros(draw: st.DrawFn) -> tuple[Occupancy, Extents]:
    """A tensor's zeros of any kind, and the extents of the tensor, a square matrix."""
    side = draw(st.sampled_from((4, 6, 12)))
    share = draw(st.floats(0, 1))
    kind = draw(st.sampled_from(("structured", "scattered", "band", "pattern")))
    if kind == "pattern":
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        return Pattern(Measured.of(rng.random((side, side)) < share)), (side, side)
    made: dict[str, Occupancy] = {
        "structured": Structured(share),
        "scattered": Scattered(share, side * side),
        "band": Band(draw(st.integers(0, side - 1)), side),
    }
    return made[kind], (side, side)


@given(known_zeros(), st.data())
def test_chances_make_one_whole_and_their_mean_is_the_density(
    zeros: tuple[Occupancy, Extents], data: st.DataObject
) -> None:
    known, whole = zeros
    divisors = [n for n in range(1, whole[0] + 1) if whole[0] % n == 0]
    tile = data.draw(st.tuples(*[st.sampled_from(divisors)] * 2))
    chances = known.chances(tile)
    if isinstance(known, Band) and 2 * math.ceil(known.band_width / tile[0]) > whole[0] // tile[0]:
        return  # a band that is steady nowhere: the reference counts some rows of tiles twice
    assert math.isclose(float(chances.sum()), 1, abs_tol=1e-9)
    assert known.largest(tile) == known.smallest(tile) + len(chances) - 1
    if known.smallest(tile) == 0:
        assert math.isclose(known.empty(tile), float(chances[0]), abs_tol=1e-12)
    within = known.empty_within(tile, tile, range(known.smallest(tile), known.largest(tile) + 1))
    seen = within[chances > 0]
    if not isinstance(known, Band):  # there the reference looks at a tile that lies elsewhere
        empty = np.arange(known.smallest(tile), known.largest(tile) + 1)[chances > 0] == 0
        assert np.allclose(seen, empty)
    mean = float((chances * np.arange(known.smallest(tile), known.largest(tile) + 1)).sum())
    if isinstance(known, Scattered | Structured | Pattern):
        assert math.isclose(mean, known.share * math.prod(tile), rel_tol=1e-9, abs_tol=1e-9)


@given(st.integers(1, 1500), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=30)
def test_large_tensors_have_the_chances_of_exact_arithmetic(words: int, share: float, part: float) -> None:
    nonzero, taken = math.ceil(share * words), max(1, round(part * words))
    first, last = 0, min(taken, nonzero)
    exact = [f(*a) for f, a in _chance_calls(words, nonzero, taken, first, last)]
    limit = occupancy._EXACT
    try:
        occupancy._EXACT = 0
        for cached in (occupancy._drawn, occupancy._none_drawn, occupancy._none_of):
            cached.cache_clear()
        rough = [f(*a) for f, a in _chance_calls(words, nonzero, taken, first, last)]
    finally:
        occupancy._EXACT = limit
        for cached in (occupancy._drawn, occupancy._none_drawn, occupancy._none_of):
            cached.cache_clear()
    for one, other in zip(exact, rough, strict=True):
        assert np.allclose(one, other, rtol=1e-9, atol=1e-300)


@given(st.integers(5_000, 400_000), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=8)
def test_occupancies_that_are_not_looked_at_have_no_chance(words: int, share: float, part: float) -> None:
    nonzero, taken = math.ceil(share * words), max(1, round(part * words))
    wanted = (words, nonzero, taken, 0, min(taken, nonzero))
    likely = occupancy._drawn.__wrapped__(*wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occupancy, "_likely", lambda words, nonzero, taken, first, last: (first, last))
        every = occupancy._drawn.__wrapped__(*wanted)
    assert np.array_equal(likely, every)


def _chance_calls(words: int, nonzero: int, taken: int, first: int, last: int) -> list[tuple[Any, tuple[int, ...]]]:
    return [
        (occupancy._drawn, (words, nonzero, taken, first, last)),
        (occupancy._none_drawn, (words, nonzero, taken)),
        (occupancy._none_of, (words, taken, 0, nonzero + 1)),
    ]


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_a_measured_pattern_counts_as_its_tiles_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensor = rng.random((7, 9)) < rng.random()
    known, tile = Pattern(Measured.of(tensor)), (int(rng.integers(1, 8)), int(rng.integers(1, 10)))
    held = [
        int(tensor[row : row + tile[0], column : column + tile[1]].sum())
        for row in range(0, 7, tile[0])
        for column in range(0, 9, tile[1])
    ]
    assert (known.smallest(tile), known.largest(tile)) == (min(held), max(held))
    assert known.empty(tile) == pytest.approx(held.count(0) / len(held))
    for count in set(held):
        assert known.chances(tile)[count - min(held)] == pytest.approx(held.count(count) / len(held))


@given(st.sampled_from(range(len(CASES) or 1)))
@settings(max_examples=25, deadline=None)
def test_without_zeros_and_formats_everything_is_done(place: int) -> None:
    ours = evaluated(CASES[place])
    levels = tuple(replace(level, sparse=replace(level.sparse, formats=())) for level in ours.architecture.levels)
    design = replace(ours.architecture, levels=levels)
    layer = replace(ours.problem, densities=())
    dense_design, _ = oracle_zeros.without_zeros(design, layer)
    roomy = replace(
        dense_design,
        levels=tuple(replace(level, sparse=own.sparse) for level, own in zip(dense_design.levels, levels, strict=True)),
    )
    dense = evaluate(ours.mapping, layer, dense_design, ours.energies)
    sparse = evaluate(ours.mapping, layer, roomy, ours.energies)
    assert sparse.cycles == dense.cycles
    assert math.isclose(sparse.energy_pJ, dense.energy_pJ, rel_tol=1e-12)
    for mine, plain in zip(sparse.levels, dense.levels, strict=True):
        for name, tensor in mine.tensors.items():
            other = plain.tensors[name]
            assert (tensor.reads, tensor.fills, tensor.updates) == (other.reads, other.fills, other.updates)


@given(st.sampled_from(range(len(CASES) or 1)))
@settings(max_examples=25, deadline=None)
def test_what_is_done_gated_and_skipped_is_never_more_than_a_dense_run_does(place: int) -> None:
    cost = evaluated(CASES[place]).cost
    for level in cost.levels[:-1]:
        for tensor in level.tensors.values():
            zeros = tensor.zeros
            assert zeros is not None
            for fates, most in (
                (zeros.read, zeros.dense_reads), (zeros.fill, zeros.dense_fills), (zeros.update, zeros.dense_updates),
            ):  # fmt: skip
                assert min(fates.done, fates.gated, fates.skipped) >= 0
                # a density that comes out above 1 in floating point makes one word more, there as here
                assert fates.done + fates.gated + fates.skipped <= most + (zeros.density > 1)
            assert zeros.metadata_pJ <= tensor.energy_pJ * (1 + 1e-12)
    computing = cost.levels[-1].computing
    assert computing is not None
    assert computing.done + computing.gated + computing.skipped <= cost.computes


def test_an_inner_chance_below_the_outer_one_counts_as_nothing_more() -> None:
    """Where the reference's unsigned count would wrap to 2^64, nothing further is left out."""
    ours = next(
        one
        for one in map(evaluated, CASES)
        if sum(len(level.tensors) == 3 for level in one.cost.levels) >= 2
        and all(len(entry.keep) in (0, 3) for entry in one.mapping.levels)
    )
    names = [tensor.name for tensor in ours.problem.shape.tensors if not tensor.is_output]
    both = Sparse(leaves_out=(LeaveOut(Leaving.SKIPPING, (Choice(names[0], (names[1],)),)),))
    levels = tuple(
        replace(level, sparse=both if level.name in (ours.cost.levels[0].name, innermost(ours)) else Sparse())
        for level in ours.architecture.levels
    )
    density = tuple(DENSE if tensor.is_output else Hypergeometric(0.01) for tensor in ours.problem.shape.tensors)
    layer = replace(ours.problem, densities=density)
    cost = evaluate(ours.mapping, layer, replace(ours.architecture, levels=levels), ours.energies)
    for level in cost.levels[:-1]:
        for tensor in level.tensors.values():
            assert tensor.zeros is not None
            assert 0 <= tensor.zeros.read.skipped <= tensor.zeros.dense_reads


def innermost(ours: oracle.Evaluated) -> str:
    return next(level.name for level in reversed(ours.cost.levels[:-1]) if level.tensors)


def test_an_all_zero_operand_leaves_nothing_to_compute_and_no_level_stands_still() -> None:
    """Where nothing is computed the reference divides by zero cycles; we count one."""
    for case in CASES[:12]:
        ours = evaluated(case)
        densities = tuple(DENSE if t.is_output else Hypergeometric(0.0) for t in ours.problem.shape.tensors)
        cost = evaluate(ours.mapping, replace(ours.problem, densities=densities), ours.architecture, ours.energies)
        assert cost.cycles >= 1
        assert math.isfinite(cost.energy_pJ)
        assert cost.energy_pJ <= ours.cost.energy_pJ * (1 + 1e-9)


def test_shorter_last_passes_are_refused_in_words() -> None:
    ours = evaluated(CASES[0])
    top = ours.mapping.levels[0]
    loops = tuple(Loop(one.dimension, one.factor, max(1, one.factor - 1)) for one in top.temporal)
    mapping = Mapping((replace(top, temporal=loops), *ours.mapping.levels[1:]))
    bounds = tuple(mapping.covered(dimension) for dimension in ours.problem.shape.dimensions)
    assert bounds != ours.problem.bounds
    with pytest.raises(MappingError, match="on a sparse design only factors that divide are counted"):
        evaluate(mapping, replace(ours.problem, bounds=bounds, densities=()), ours.architecture, ours.energies)


def test_products_of_one_or_three_tensors_are_refused_in_words() -> None:
    ours = evaluated(CASES[0])
    first, *others = ours.problem.shape.tensors
    shape = replace(ours.problem.shape, tensors=(replace(first, name="W"), first, *others))
    more = replace(ours.problem, shape=shape, densities=())
    levels = tuple(replace(e, keep=e.keep | {"W"} if first.name in e.keep else e.keep) for e in ours.mapping.levels)
    with pytest.raises(InputError, match="on a sparse design products of two tensors are counted"):
        evaluate(Mapping(levels), more, ours.architecture, ours.energies)


def test_a_gated_computation_costs_its_full_energy_where_the_table_does_not_say() -> None:
    ours = next(one for one in map(evaluated, CASES) if one.cost.levels[-1].computing.gated)  # type: ignore[union-attr]
    name = ours.architecture.compute.name
    actions = {"compute": 2.0}
    table = EnergyTable({**ours.energies.components, name: ComponentCost(actions)})
    computing = evaluate(ours.mapping, ours.problem, ours.architecture, table).levels[-1]
    fates = computing.computing
    assert fates is not None
    assert computing.compute_pJ == pytest.approx(2.0 * (fates.done + fates.gated + fates.skipped))
    table = EnergyTable({**ours.energies.components, name: ComponentCost({**actions, "mac_gated": 0.5})})
    computing = evaluate(ours.mapping, ours.problem, ours.architecture, table).levels[-1]
    assert computing.compute_pJ == pytest.approx(2.0 * fates.done + 0.5 * (fates.gated + fates.skipped))


def test_json_of_a_dense_design_says_nothing_of_zeros() -> None:
    ours = evaluated(CASES[0])
    design, layer = oracle_zeros.without_zeros(ours.architecture, ours.problem)
    plain = cost_fields(evaluate(ours.mapping, layer, design, ours.energies))
    assert "zeros" not in str(plain)
    assert "computing" not in plain["levels"][-1]
    said = cost_fields(ours.cost)["levels"]
    assert said[-1]["computing"].keys() == {"done", "gated", "skipped"}
    assert all("zeros" in tensor for level in said[:-1] for tensor in level["tensors"].values())


def test_a_problem_needs_a_density_for_every_tensor() -> None:
    layer: Problem = evaluated(CASES[0]).problem
    with pytest.raises(InputError, match="3 tensors but 1 densities"):
        replace(layer, densities=(Hypergeometric(0.5),))
