"""Imperfect factors cost what a literal walk through the nest with its shorter last passes says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.errors import CapacityError, MappingError
from dovetail.hardware.architecture import Architecture, Compute, Spatial, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.arrays import Residuals
from dovetail.model.batch import stack
from dovetail.model.encode import (
    decode_mapping,
    encode_machine,
    encode_mapping,
    encode_residuals,
    encode_rules,
    is_imperfect,
)
from dovetail.model.evaluate import evaluate
from dovetail.model.residual_batch import evaluate_imperfect_batch
from dovetail.model.witness import walk
from dovetail.workload.problem import convolution
from model_strategies import Setup, energy_tables, setups
from products import own_product
from test_model_walk import compare


def check(setup: Setup) -> None:
    """Compare with the walk."""
    walked = walk(*setup)
    try:
        cost = evaluate(*setup)
    except CapacityError as error:
        assert walked["overflow"] is not None and walked["overflow"] in str(error)
        return
    assert walked["overflow"] is None
    found = list(compare(cost, walked))
    assert not found, "\n".join(found[:12])


@given(setups(imperfect=True))
@settings(max_examples=120)
def test_equals_the_walk(setup: Setup) -> None:
    check(setup)


@given(setups(special=True, imperfect=True))
@settings(max_examples=120)
def test_equals_the_walk_with_every_constraint_and_attribute(setup: Setup) -> None:
    check(setup)


@given(setups(imperfect=True))
@settings(max_examples=50)
def test_arrays_and_back(setup: Setup) -> None:
    mapping, problem, architecture, _ = setup
    nest = encode_mapping(mapping, problem, architecture, imperfect=True)
    try:
        residuals = encode_residuals(mapping, problem)
    except MappingError:
        return
    assert decode_mapping(nest, problem, architecture, residuals).normalized() == mapping.normalized()


def _array(units: int) -> Architecture:
    return Architecture(
        "one row",
        (
            Storage(name="DRAM", component="DRAM", width=64, datawidth=16),
            Spatial(name="row", component="dummy", fanout_x=units, fanout_y=1),
            Storage(name="spad", component="RF", mesh_x=units, width=16, datawidth=16, depth=64),
            Compute(name="mac", component="mac", mesh_x=units),
        ),
    )


@given(st.data())
@settings(max_examples=10)
def test_27_rows_on_14_units_take_two_passes(data: st.DataObject) -> None:
    problem, array = convolution(C=1, M=1, P=27, Q=1, R=1, S=1), _array(14)
    everything = frozenset({"Weights", "Inputs", "Outputs"})
    mapping = Mapping(
        (
            LevelMapping("DRAM", temporal=(Loop("P", 2),), keep=everything),
            LevelMapping("row", spatial_x=(Loop("P", 14, 13),)),
            LevelMapping("spad", keep=everything),
        )
    )
    cost = evaluate(mapping, problem, array, data.draw(energy_tables(array)))
    assert cost.cycles == 2
    assert cost["DRAM"].tensors["Inputs"].reads == 27
    assert cost["DRAM"].tensors["Outputs"].updates == 27
    assert cost["spad"].instances == 13  # 13.5 on average, cut off as the reference does


@given(st.data())
def test_a_spatial_loop_needs_a_loop_outside_to_have_a_last_pass(data: st.DataObject) -> None:
    problem, array = own_product(M=5, N=1, K=1), _array(8)
    row = LevelMapping("row", spatial_x=(Loop("M", 8, 5),))
    everything = frozenset(tensor.name for tensor in problem.shape.tensors)
    mapping = Mapping((LevelMapping("DRAM", keep=everything), row, LevelMapping("spad", keep=everything)))
    energies = data.draw(energy_tables(array))
    with pytest.raises(MappingError, match="write M=5"):
        evaluate(mapping, problem, array, energies)
    right = Mapping((mapping["DRAM"], replace(row, spatial_x=(Loop("M", 5),)), mapping["spad"]))
    assert not is_imperfect(right)
    assert evaluate(right, problem, array, energies).cycles == 1


@given(setups(special=True, imperfect=True))
@settings(max_examples=80)
def test_compiled_counts_are_those_of_one_mapping(setup: Setup) -> None:
    mapping, problem, architecture, energies = setup
    try:
        residuals = encode_residuals(mapping, problem)
        cost = evaluate(*setup)
    except (CapacityError, MappingError):
        return
    nest = encode_mapping(mapping, problem, architecture, imperfect=True)
    costs, lost = evaluate_imperfect_batch(
        stack([nest]),
        Residuals(residuals.temporal[None], residuals.spatial[None]),
        encode_rules(problem, architecture),
        encode_machine(problem, architecture, energies),
    )
    assert 1 <= lost[0] < 2
    assert (costs.overflow[0], costs.cycles[0], costs.energy_pJ[0]) == (-1, cost.cycles, cost.energy_pJ)
