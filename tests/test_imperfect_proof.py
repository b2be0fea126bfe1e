"""Branch and bound over imperfect factors: the best of all mappings where these can be listed, real layers proven."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Compute, Constraints, Spatial, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.imperfect import search_imperfect
from dovetail.mapper.imperfect.all import cover
from dovetail.mapper.imperfect.floor import least_of
from dovetail.mapper.imperfect.proof import prove
from dovetail.mapper.imperfect.terms import is_product
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapping.check import violations
from dovetail.mapping.constraints import bound_to
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import machines
from products import own_product

ROOM = 1e9  # bytes
MOST = 300  # choices of factors that are listed


@st.composite
def setups(draw: st.DrawFn) -> tuple[Problem, Architecture, EnergyTable]:
    """Products and 1x1 convolutions on designs whose fan-outs multicast and whose levels keep what they have."""
    size = st.sampled_from([2, 3, 4, 5, 7])
    if draw(st.booleans()):
        problem = own_product(M=draw(size), N=draw(st.sampled_from([1, 1, 2])), K=draw(size))
    else:
        stride = draw(st.sampled_from([(1, 1), (2, 1)]))
        few = st.sampled_from([1, 2, 5])
        problem = convolution(C=draw(size), M=draw(few), P=draw(size), Q=1, R=1, S=1, stride=stride)
    architecture, energies = draw(machines(problem, ("s", "fs", "fs", "sfs")))
    larger = draw(st.sampled_from([1, 4, 16]))
    levels = tuple(_plain(level, larger) for level in architecture.levels)
    return problem, Architecture("plain", levels), energies


def _plain(level: Storage | Spatial | Compute, larger: int) -> Storage | Spatial | Compute:
    if isinstance(level, Compute):
        return level
    own = level.constraints
    time, across = replace(own.temporal, no_reuse=frozenset()), replace(own.spatial, no_reuse=frozenset())
    level = replace(level, constraints=replace(own, temporal=time, spatial=across))
    if isinstance(level, Storage) and level.depth is not None:
        return replace(level, depth=level.depth * larger, entries=None)
    return level


@settings(max_examples=8)
@given(setups(), st.sampled_from(Objective))
def test_what_is_proven_is_the_best_of_all_mappings(
    setup: tuple[Problem, Architecture, EnergyTable], objective: Objective
) -> None:
    problem, architecture, energies = setup
    space = Mapspace.of(problem, bound_to(architecture, problem), energies, objective)
    assert is_product(space)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dovetail.mapper.imperfect.all.MOST_CHOICES", MOST)
        patch.setattr("dovetail.mapper.imperfect.all.MOST_MAPPINGS", 10 * MOST)
        covered = cover(space, least_of(space), None, lambda: False)
    if covered is None:
        return
    proven = prove(space, None, lambda: False, ROOM)
    assert proven is not None
    if not proven.is_whole:
        return
    least = math.inf if covered.best is None else covered.best.rank[0, 0]
    found = math.inf if proven.best is None else proven.best.rank[0, 0]
    assert found == least or abs(found / least - 1) < 1e-10


@pytest.mark.parametrize(
    ("problem", "value"),
    [
        # the second was 85.8 where a local search ended
        (convolution(C=64, M=64, P=56, Q=56, R=1, S=1), 5.8296),
        (convolution(C=512, M=2048, P=7, Q=7, R=1, S=1), 80.830),
    ],
)
def test_layers_are_proven(problem: Problem, value: float) -> None:
    architecture = load_architecture("eyeriss_like")
    energies = estimate(architecture)
    found = search_imperfect(problem, architecture, energies)
    assert found.certificate.exact
    assert found.certificate.value * 1e-12 == pytest.approx(value, rel=1e-4)
    assert not violations(found.mapping, problem, architecture)
    assert np.isclose(found.certificate.bound, found.certificate.value)


def test_a_proof_ends_with_its_time_and_its_room() -> None:
    problem, architecture = convolution(C=64, M=64, P=56, Q=56, R=1, S=1), load_architecture("eyeriss_like")
    space = Mapspace.of(problem, bound_to(architecture, problem), estimate(architecture), Objective.EDP)
    assert prove(space, None, lambda: True, ROOM) is None
    assert prove(space, None, lambda: False, 1e5) is None


def test_a_class_may_hold_nothing_good_but_tiles_that_stand_still() -> None:
    """Then no choice costs just its value, so none is the best of its class."""
    problem = own_product(M=1, N=5, K=2)
    kept = Constraints(keep=frozenset(tensor.name for tensor in problem.shape.tensors))
    levels = (
        Storage(name="DRAM", component="DRAM", width=16, datawidth=16),
        Storage(name="buffer", component="SRAM", width=16, datawidth=16, depth=8, constraints=kept),
        Storage(name="spad", component="RF", width=16, datawidth=16, depth=3, constraints=kept),
        Compute(name="mac", component="mac"),
    )
    each = ComponentCost({"read": 1.0, "write": 1.0, "update": 1.0, "leak": 0.0})
    energies = EnergyTable({**{level.name: each for level in levels}, "mac": ComponentCost({"compute": 1.0})})
    space = Mapspace.of(problem, Architecture("nested", levels), energies, Objective.ENERGY)
    covered, proven = cover(space, least_of(space), None, lambda: False), prove(space, None, lambda: False, ROOM)
    assert covered is not None and covered.best is not None
    assert proven is not None and proven.best is not None and proven.is_whole
    assert proven.best.rank[0, 0] == pytest.approx(covered.best.rank[0, 0], rel=1e-12)
