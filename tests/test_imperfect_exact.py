"""Small spaces with imperfect factors are covered: no mapping that brute force finds is better than the answer."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brute_force import imperfect_mappings
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import NoMappingError
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
from dovetail.mapper.imperfect import imperfect_front, search_imperfect
from dovetail.mapper.imperfect.first import first_fitting
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapping.constraints import bound_to, violations
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats, Nest, Residuals
from dovetail.model.encode import encode_machine, encode_mapping, encode_residuals, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.model.residual_batch import evaluate_imperfect_batch
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import machines
from model_strategies import energy_tables
from products import own_product
from test_imperfect import _array

MOST = 12_000  # mappings that brute force is given


@st.composite
def setups(draw: st.DrawFn) -> tuple[Problem, Architecture, EnergyTable]:
    size = st.sampled_from([1, 2, 3, 4, 5])
    if draw(st.booleans()):
        problem = own_product(M=draw(size), N=draw(st.sampled_from([1, 2, 3])), K=draw(st.sampled_from([1, 1, 3])))
    else:
        problem = convolution(
            C=1, M=draw(st.sampled_from([1, 1, 2])), P=draw(size), Q=1, R=draw(st.sampled_from([1, 2, 3]))
        )
    return problem, *draw(machines(problem, ("s", "fs", "sf", "ss", "f")))


def values_of(
    mappings: list[Mapping], problem: Problem, architecture: Architecture, energies: EnergyTable, objective: Objective
) -> Floats:
    """Return what each costs, were no instances in use cut off to an integer; infinity for one that does not fit."""
    nests = [encode_mapping(mapping, problem, architecture, imperfect=True) for mapping in mappings]
    ends = [encode_residuals(mapping, problem) for mapping in mappings]
    costs, lost = evaluate_imperfect_batch(
        Nest(*(np.stack(column) for column in zip(*nests, strict=True))),
        Residuals(*(np.stack(column) for column in zip(*ends, strict=True))),
        encode_rules(problem, architecture),
        encode_machine(problem, architecture, energies),
    )
    values = np.array([objective.value_of(e, c) for e, c in zip(costs.energy_pJ * lost, costs.cycles, strict=True)])
    values[costs.overflow >= 0] = math.inf
    return values


@settings(max_examples=80)
@given(setups(), st.sampled_from(Objective))
def test_no_mapping_of_a_small_space_is_better(
    setup: tuple[Problem, Architecture, EnergyTable], objective: Objective
) -> None:
    problem, architecture, energies = setup
    mappings = list(itertools.islice(imperfect_mappings(problem, architecture), MOST + 1))
    if len(mappings) > MOST:
        return
    values = values_of(mappings, problem, architecture, energies, objective)
    try:
        found = search_imperfect(problem, architecture, energies, objective, evaluations=1, rounds=1)
    except NoMappingError:
        for at in np.flatnonzero(values < math.inf):
            assert violations(mappings[at], problem, architecture), f"{mappings[at]} exists"
        return
    assert not violations(found.mapping, problem, architecture)
    assert found.cost == evaluate(found.mapping, problem, architecture, energies)
    assert found.certificate.exact
    assert "which is all of them" in found.certificate.method
    (ours,) = values_of([found.mapping], problem, architecture, energies, objective)
    for at in np.flatnonzero(values < ours * (1 - 1e-9)):
        assert violations(mappings[at], problem, architecture), f"{values[at]} < {ours}"


@st.composite
def fixed_setups(draw: st.DrawFn) -> tuple[Problem, Architecture, EnergyTable]:
    """Constraints on factors that often no perfect mapping obeys: fixed ones, and small rooms."""
    size = st.sampled_from([2, 3, 5, 6, 7])
    problem = own_product(M=draw(size), N=1, K=draw(st.sampled_from([1, 3])))
    dimension = problem.shape.dimensions[problem.bounds.index(max(problem.bounds))]

    def limits(relation: Relation) -> LoopConstraints:
        return LoopConstraints(factors=(FactorConstraint(dimension, relation, draw(st.integers(1, 4))),))

    inner, outer, across = (draw(st.booleans()) for _ in range(3))
    row = Constraints(spatial=limits(Relation.EQ) if across else LoopConstraints())
    own = Constraints(temporal=limits(Relation.EQ) if inner else LoopConstraints())
    most = Constraints(temporal=limits(Relation.LE) if outer else LoopConstraints())
    units = draw(st.integers(2, 4))
    levels = (
        Storage(name="DRAM", component="DRAM", width=16, datawidth=16, constraints=most),
        Spatial(name="row", component="dummy", fanout_x=units, fanout_y=1, constraints=row),
        Storage(
            name="spad", component="RF", mesh_x=units, width=16, datawidth=16, depth=draw(st.sampled_from([2, 4, 16])),
            constraints=own,
        ),
        Compute(name="mac", component="mac", mesh_x=units),
    )  # fmt: skip
    architecture = Architecture("fixed", levels)
    return problem, architecture, draw(energy_tables(architecture))


@settings(max_examples=30)
@given(fixed_setups(), st.sampled_from([Objective.EDP, Objective.ENERGY]))
def test_imperfect_mappings_are_found_where_no_perfect_one_exists(
    setup: tuple[Problem, Architecture, EnergyTable], objective: Objective
) -> None:
    problem, architecture, energies = setup
    mappings = list(itertools.islice(imperfect_mappings(problem, architecture), MOST + 1))
    if len(mappings) > MOST:
        return
    values = values_of(mappings, problem, architecture, energies, objective)
    allowed = [at for at in np.flatnonzero(values < math.inf) if not violations(mappings[at], problem, architecture)]
    space = Mapspace.of(problem, bound_to(architecture, problem), energies, objective)
    first = first_fitting(space, lambda: False)
    assert (first is not None) == bool(allowed)
    if first is None:
        with pytest.raises(NoMappingError, match="nor is there one with factors that do not divide"):
            search_imperfect(problem, architecture, energies, objective)
        return
    assert not violations(space.mapping(first), problem, architecture)
    found = search_imperfect(problem, architecture, energies, objective)
    assert not violations(found.mapping, problem, architecture)
    assert found.certificate.exact
    (ours,) = values_of([found.mapping], problem, architecture, energies, objective)
    assert ours <= min(values[allowed]) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Constraints(temporal=LoopConstraints(factors=(FactorConstraint("M", Relation.GE, 2),))), "but M = 1"),
        (Constraints(bypass=frozenset({"Weights", "Inputs", "Outputs"})), "spad holds 4 words but .* need 7"),
    ],
)
def test_what_no_factor_can_give_is_no_mapping(asked: Constraints, why: str) -> None:
    """A dimension of one iteration has no loops to be searched; what is asked of it still holds."""
    levels = (
        Storage(name="DRAM", component="DRAM", width=16, datawidth=16, constraints=asked),
        Storage(name="spad", component="RF", width=16, datawidth=16, depth=4),
        Compute(name="mac", component="mac"),
    )
    actions = {"read": 9.0, "write": 9.0, "update": 9.0, "leak": 0.0}
    costs = {"DRAM": ComponentCost(actions), "spad": ComponentCost(actions), "mac": ComponentCost({"compute": 1.0})}
    layer = convolution(C=1, M=1, P=3, Q=1, R=1, S=1)
    for run in (search_imperfect, imperfect_front):
        with pytest.raises(NoMappingError, match=why):
            run(layer, Architecture("asks", levels), EnergyTable(costs))


@pytest.mark.parametrize(("columns", "cycles"), [(27, 2), (13, 1), (29, 3)])
def test_the_answer_is_proven(columns: int, cycles: int) -> None:
    energies = EnergyTable(
        {
            "DRAM": ComponentCost({"read": 100.0, "write": 100.0, "update": 100.0, "leak": 0.0}),
            "spad": ComponentCost({"read": 1.0, "write": 1.0, "update": 1.0, "leak": 0.0}),
            "mac": ComponentCost({"compute": 1.0}),
        }
    )
    problem = convolution(C=1, M=1, P=columns, Q=1, R=1, S=1)
    found = search_imperfect(problem, _array(14), energies, Objective.EDP)
    assert found.certificate.exact
    assert found.cost.cycles == cycles
