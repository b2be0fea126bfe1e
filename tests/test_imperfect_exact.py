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
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.imperfect import search_imperfect
from dovetail.mapper.objective import Objective
from dovetail.mapping.constraints import violations
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Floats, Nest, Residuals
from dovetail.model.encode import encode_machine, encode_mapping, encode_residuals, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.model.residual_batch import evaluate_imperfect_batch
from dovetail.workload.problem import Problem, convolution
from products import own_product
from test_imperfect import _array
from test_mapper_exact import machines

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
    return problem, *draw(machines(problem))


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
        encode_machine(architecture, energies),
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
    except NoMappingError:  # there may be imperfect ones where no perfect one fits
        return
    assert not violations(found.mapping, problem, architecture)
    assert found.cost == evaluate(found.mapping, problem, architecture, energies)
    assert found.certificate.exact
    assert "which is all of them" in found.certificate.method
    (ours,) = values_of([found.mapping], problem, architecture, energies, objective)
    for at in np.flatnonzero(values < ours * (1 - 1e-9)):
        assert violations(mappings[at], problem, architecture), f"{values[at]} < {ours}"


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
