"""What constraints mean for one problem, and which of them a mapping breaks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.space import _fanouts
from dovetail.mapping.check import violations
from dovetail.mapping.constraints import FactorRange, axis_slots, factor_range, pinned_order
from dovetail.mapping.files import read_mapping
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.workload.problem import GROUPED_CONVOLUTION, convolution
from dovetail.workload.shapes import sized
from mapping_strategies import EYERISS, LAYER, NEST
from products import own_product

REFERENCE = Path(__file__).parent / "data" / "reference_mappings"


def equals(*dimensions, value=1):
    return tuple(FactorConstraint(name, Relation.EQ, value) for name in dimensions)


def broken(level, mapping=NEST, **constraints):
    levels = tuple(
        replace(lv, constraints=Constraints(**constraints)) if lv.name == level else lv for lv in EYERISS.levels
    )
    return violations(mapping, LAYER, replace(EYERISS, levels=levels))


def test_an_architecture_without_constraints_allows_everything():
    assert violations(NEST, LAYER, EYERISS) == ()


def test_factors_say_what_was_found_and_what_must_be():
    limits = LoopConstraints(
        factors=(
            FactorConstraint("P", Relation.LE, 4),
            FactorConstraint("Q", Relation.GE, 8),
            FactorConstraint("M", Relation.EQ, 4),
        )
    )
    assert broken("DRAM", temporal=limits) == (
        "DRAM: the factor of M is 2 but must be 4.",
        "DRAM: the factor of P is 8 but must be at most 4.",
        "DRAM: the factor of Q is 4 but must be at least 8.",
    )


def test_equal_to_zero_means_the_whole_bound():
    assert broken("weights_spad", temporal=LoopConstraints(factors=equals("R", value=0))) == ()
    assert broken("DRAM", temporal=LoopConstraints(factors=equals("M", value=0))) == (
        "DRAM: the factor of M is 2 but must be 64.",
    )


def test_a_factor_beyond_the_bound_is_the_whole_bound_as_in_the_reference():
    """Timeloop, src/mapping/constraints.cpp: "exceeds problem dimension ... Setting constraint" to the bound."""
    assert factor_range(LoopConstraints(factors=equals("C", value=4)), "C", LAYER) == FactorRange(3, 3)


def test_keep_and_bypass():
    assert broken("shared_glb", keep=frozenset({"Weights"}), bypass=frozenset({"Inputs"})) == (
        "shared_glb must keep Weights, which passes by.",
        "shared_glb must let Inputs pass by but keeps it.",
    )


def test_number_of_loops():
    assert broken("DRAM", temporal=LoopConstraints(max_dimensions=3)) == ()
    assert broken("DRAM", temporal=LoopConstraints(max_dimensions=1)) == (
        "DRAM has 3 loops over time (Q, P, M) but may have 1.",
    )


@pytest.mark.parametrize(
    ("inner", "outer", "obeyed"),
    [
        (("M",), (), True),
        (("P", "M"), (), True),
        (("M", "P"), (), False),
        (("P",), (), False),
        (("P", "R", "M", "S"), (), True),  # R and S make one iteration, so they do not count
        ((), ("Q",), True),
        ((), ("Q", "C", "P"), True),
        ((), ("P",), False),
        (("M",), ("Q",), True),
        (("C", "R"), ("S", "N"), True),
    ],
)
def test_pinned_loops_over_time(inner, outer, obeyed):
    assert (broken("DRAM", temporal=LoopConstraints(inner=inner, outer=outer)) == ()) is obeyed


def test_the_sentence_about_order():
    assert broken("DRAM", temporal=LoopConstraints(inner=("P",), outer=("M",))) == (
        "DRAM: the innermost loops must be P, outer to inner; found Q, P, M.",
        "DRAM: the outermost loops must be M, outer to inner; found Q, P, M.",
    )


def test_dimensions_of_one_iteration_come_first_and_count_in_a_split():
    """The two simple designs: C and M are listed, everything else can only be 1, so split 1 leaves X idle."""
    loops = LoopConstraints(factors=equals("R", "S", "P", "Q"), inner=("M", "C"), split=1)
    at_batch_1, at_batch_16 = convolution(C=64, M=64, P=8, Q=8, R=3, S=3), convolution(C=64, M=64, P=8, Q=8, N=16)
    order = pinned_order(loops, at_batch_1)
    assert (set(order.inner[:-2]), order.inner[-2:], order.free) == (set("RSPQN"), ("C", "M"), ())
    slots = axis_slots(loops, at_batch_1)
    assert {"C", "M"} <= set(slots.on_y)
    assert pinned_order(loops, at_batch_16).free == ("N",)
    assert {"C", "M", "N"} <= set(axis_slots(loops, at_batch_16).on_y)


def test_constraints_on_dimensions_that_a_problem_lacks_do_not_concern_it():
    loops = LoopConstraints(factors=equals("P"), inner=("Q", "M"), outer=("R",), split=1)
    order = pinned_order(loops, own_product(M=4, N=4, K=4))
    assert (order.inner, order.free, order.outer) == (("H", "M"), ("N", "K"), ())


def test_a_dimension_that_a_permutation_names_and_a_problem_lacks_counts_in_a_split_as_one_of_one_iteration():
    """Whether a layer has a G of one iteration or none must not move C and M to another axis."""
    loops = LoopConstraints(inner=("M", "C", "G"), split=2)
    ungrouped = convolution(C=4, M=4, P=2, Q=2, R=2, S=2, N=2)
    grouped = sized(GROUPED_CONVOLUTION, "grouped", C=4, M=4, P=2, Q=2, R=2, S=2, N=2)
    with_one, without = axis_slots(loops, grouped), axis_slots(loops, ungrouped)
    assert "C" in without.on_x
    assert "M" in without.on_y
    assert (set(with_one.on_x) - {"G"}, set(with_one.on_y)) == (set(without.on_x), set(without.on_y))


@given(st.data())
def test_axis_slots_allow_exactly_what_some_full_permutation_allows(data):
    """The definition: all permutations that respect the pins, the first ``split`` dimensions on X."""
    problem = own_product(M=data.draw(st.integers(1, 2)), N=3, K=4, H=2)
    names = data.draw(st.permutations(problem.shape.dimensions))
    cut_inner, cut_outer = sorted((data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))))
    factors = equals(*data.draw(st.sets(st.sampled_from(names[cut_inner:cut_outer] or ["N"]))))
    limits = LoopConstraints(
        factors=factors,
        inner=tuple(names[:cut_inner]),
        outer=tuple(names[cut_outer:]),
        split=data.draw(st.integers(0, 5)),
    )
    order, slots = pinned_order(limits, problem), axis_slots(limits, problem)
    possible = {
        frozenset((*order.inner, *middle, *order.outer)[: limits.split])
        for middle in itertools.permutations(order.free)
    }
    allowed = {frozenset((*slots.on_x, *some)) for some in itertools.combinations(slots.free, slots.free_on_x)}
    assert allowed == possible


def test_axes_under_a_split():
    pinned = {"inner": ("M", "C", "S", "R", "Q", "P", "N")}
    assert broken("inter_PE_spatial", spatial=LoopConstraints(**pinned, split=4)) == ()
    assert broken("inter_PE_spatial", spatial=LoopConstraints(**pinned, split=5)) == (
        "inter_PE_spatial: S must lie on X but lies on Y.",
    )
    assert broken("inter_PE_column_spatial", spatial=LoopConstraints(**pinned, split=2)) == (
        "inter_PE_column_spatial: Q must lie on Y but lies on X.",
    )
    # N has bound 1, so it takes the first place; of the other six, five lie on X and one on Y
    assert broken("inter_PE_spatial", spatial=LoopConstraints(split=6)) == (
        "inter_PE_spatial: C, S lie on Y but its split leaves room for 1 there.",
    )


def test_axes_without_a_split():
    crossed = Mapping(
        tuple(
            replace(entry, spatial_x=(Loop("M", 2),), spatial_y=(Loop("S", 3), Loop("C", 3)))
            if entry.level == "inter_PE_spatial"
            else entry
            for entry in NEST.levels
        )
    )
    assert broken("inter_PE_spatial", crossed, spatial=LoopConstraints(inner=("M",))) == ()
    assert broken("inter_PE_spatial", crossed, spatial=LoopConstraints(outer=("S",))) == ()
    assert broken("inter_PE_spatial", crossed, spatial=LoopConstraints(inner=("M", "C"))) == (
        "inter_PE_spatial: C lies on Y and M on X, but its permutation puts C on X first.",
    )


def test_constraints_that_speak_of_the_problem_are_understood():
    assert broken("shared_glb", bypass_all_but=frozenset({"Inputs"})) == (
        "shared_glb must let Outputs pass by but keeps it.",
    )
    assert broken("DRAM", temporal=LoopConstraints(factors=equals("M", value=2), only_listed=True)) == (
        "DRAM: the factor of P is 8 but must be 1.",
        "DRAM: the factor of Q is 4 but must be 1.",
    )


@pytest.mark.parametrize(
    "design", ["eyeriss_like", "simple_weight_stationary", "simple_output_stationary", "simba_like"]
)
def test_what_the_reference_finds_under_a_designs_constraints_breaks_none_of_them(design):
    problem = convolution(C=3, M=32, R=3, S=3, P=112, Q=112, stride=(2, 2))
    architecture = load_architecture(design)
    mapping = read_mapping(REFERENCE / f"{design}.yaml", architecture, problem)
    assert violations(mapping, problem, architecture) == ()
    turned = [replace(entry, spatial_x=entry.spatial_y, spatial_y=entry.spatial_x) for entry in mapping.levels]
    said = violations(Mapping(tuple(turned)), problem, architecture)
    assert any("must lie on" in sentence for sentence in said) is (design != "simba_like")  # it alone has no split


@pytest.mark.parametrize(
    ("pinned", "x", "y", "said"),
    [
        (LoopConstraints(inner=("C", "M")), "CM", "", ()),
        (LoopConstraints(inner=("C", "M")), "MC", "", ("the innermost loops on X must be C, M",)),
        (LoopConstraints(outer=("M", "C")), "CM", "", ("the outermost loops on X must be M, C",)),
        (LoopConstraints(inner=("C", "M"), split=0), "", "MC", ("the innermost loops on Y must be C, M",)),
        (LoopConstraints(inner=("C",)), "CM", "", ("the innermost loops on X must be C",)),
        (LoopConstraints(inner=("P",)), "CM", "MC", ()),
    ],
)
def test_spatial_loops_stand_in_the_order_of_the_permutation(pinned, x, y, said):
    """As in the reference (``mapspaces/uber.cpp``): X takes a permutation's inner part and Y the outer one."""
    loops = {axis: tuple(Loop(name, 2) for name in names) for axis, names in (("spatial_x", x), ("spatial_y", y))}
    levels = [replace(one, **loops) if one.level == "inter_PE_spatial" else one for one in NEST.levels]
    found = broken("inter_PE_spatial", Mapping(tuple(levels)), spatial=pinned)
    assert [text.removeprefix("inter_PE_spatial: ").split(", outer to inner")[0] for text in found] == list(said)


def ways(names):
    """Yield every way to lay loops on a fan-out: factors of X and Y, outer to inner."""
    for taken in itertools.product((None, "x", "y"), repeat=len(names)):
        on_x = [name for name, axis in zip(names, taken, strict=True) if axis == "x"]
        on_y = [name for name, axis in zip(names, taken, strict=True) if axis == "y"]
        yield from itertools.product(itertools.permutations(on_x), itertools.permutations(on_y))


@settings(max_examples=100)
@given(st.data())
def test_the_mapper_lists_exactly_the_ways_that_break_no_constraint(data):
    problem = replace(convolution(C=2, M=2, P=2, Q=1), name="three")
    names = ["C", "M", "P"]
    shuffled = data.draw(st.permutations(["C", "M", "P", "Q", "R"]))
    cut = data.draw(st.integers(0, 5))
    pins = data.draw(st.integers(0, cut)), data.draw(st.integers(cut, 5))
    limits = LoopConstraints(
        inner=tuple(shuffled[pins[0] : cut]),
        outer=tuple(shuffled[cut : pins[1]]),
        split=data.draw(st.sampled_from([None, None, 0, 1, 2, 3, 5, 9])),
        factors=equals(*data.draw(st.sets(st.sampled_from(names), max_size=1))),
        max_dimensions=data.draw(st.sampled_from([None, None, 2])),
    )
    array = Spatial(name="array", component="", fanout_x=8, fanout_y=8, constraints=Constraints(spatial=limits))
    design = Architecture(
        "d",
        (Storage(name="DRAM", component="DRAM", width=64, datawidth=16), array, Compute(name="mac", component="mac")),
    )
    allowed = set()
    for x, y in ways(names):
        loops = {"spatial_x": tuple(Loop(n, 2) for n in x), "spatial_y": tuple(Loop(n, 2) for n in y)}
        mapping = Mapping((LevelMapping("DRAM", keep=frozenset()), LevelMapping("array", **loops)))
        if not violations(mapping, problem, design):
            allowed.add((x, y))
    active = tuple(problem.shape.dimensions.index(name) for name in names)
    listed = [
        tuple(
            tuple(names[d] for d in way.order if way.factors[d] > 1 and way.on_y[d] == on_y) for on_y in (False, True)
        )
        for way in _fanouts(array, problem, active, ((1, 2),) * 3, lambda: None)
    ]
    assert len(listed) == len(set(listed))
    assert set(listed) == allowed
