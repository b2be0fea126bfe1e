"""Arrays of limits say of a mapping's factors what the constraints say of the mapping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from brute_force import _factors as all_factors
from brute_force import _orders as all_orders
from brute_force import all_mappings, count_mappings
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Spatial
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.limits import SPATIAL_X, SPATIAL_Y, TEMPORAL, obeys
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapping.constraints import bound_to, factor_range, violations
from dovetail.model.arrays import Ints, Nest
from dovetail.model.batch import stack
from dovetail.model.encode import decode_mapping
from dovetail.workload.problem import Problem, convolution
from mapper_strategies import Setup, constrained, setups, splits
from test_mapper_exact import is_allowed


def asks_for_iterations_there_are_none_of(problem: Problem, architecture: Architecture) -> bool:
    """Limits speak of dimensions of more than one iteration; what asks others for more is refused beforehand."""
    return any(
        factor_range(loops, name, problem).least > 1
        for level in architecture.levels[:-1]
        for loops in (level.constraints.spatial if isinstance(level, Spatial) else level.constraints.temporal,)
        for name, size in zip(problem.shape.dimensions, problem.bounds, strict=True)
        if size == 1
    )


@settings(max_examples=25, deadline=None)
@given(setups() | constrained())
def test_factors_obey_where_some_order_of_their_loops_breaks_nothing(setup: Setup) -> None:
    """And so do factors with X and Y exchanged, which a fan-out need not have room for."""
    problem, architecture, energies = setup
    assume(splits(problem, architecture) <= 100)
    assume(count_mappings(problem, architecture) <= 600)
    assume(not asks_for_iterations_there_are_none_of(problem, bound_to(architecture, problem)))
    nests = all_mappings(problem, architecture)
    space = Mapspace.of(problem, bound_to(architecture, problem), energies, Objective.EDP)
    genes = space.genes(nests)
    allowed: dict[bytes, bool] = {}
    for at, own in enumerate(genes):
        factors = own[[TEMPORAL, SPATIAL_X, SPATIAL_Y]].tobytes()
        allowed[factors] = allowed.get(factors, False) or is_allowed(nests, at, problem, architecture)
    exchanged = genes[:, [0, 1, SPATIAL_Y, SPATIAL_X, 4]]
    for own in np.unique(np.concatenate([genes, exchanged]), axis=0):
        factors = own[[TEMPORAL, SPATIAL_X, SPATIAL_Y]].tobytes()
        assert obeys(space.limits, own) == allowed.get(factors, False)


@pytest.mark.parametrize("design", ["eyeriss_like", "simple_weight_stationary", "simple_output_stationary"])
def test_factors_obey_what_bundled_designs_pin_to_axes(design: str) -> None:
    architecture, problem = load_architecture(design), convolution(C=2, M=2, P=1, Q=1, R=2, S=1, name="small")
    bound, levels = bound_to(architecture, problem), architecture.levels[:-1]
    space = Mapspace.of(problem, bound, estimate(architecture), Objective.EDP)
    keep = sample(problem, architecture, 1, seed=1).keep[0]
    allowed: dict[bytes, bool] = {}
    met: list[Ints] = []
    for factors in all_factors(problem, levels):
        for order, spatial_order in all_orders(levels, factors, len(problem.bounds)):
            nest = Nest(factors["t"], order, factors["x"], factors["y"], spatial_order, keep)
            own = space.genes(stack([nest]))[0]
            key = own[[TEMPORAL, SPATIAL_X, SPATIAL_Y]].tobytes()
            obeying = allowed.get(key, False) or not violations(decode_mapping(nest, problem, bound), problem, bound)
            allowed[key] = obeying
            met += [own, own[[0, 1, SPATIAL_Y, SPATIAL_X, 4]]]
    for own in met:
        assert obeys(space.limits, own) == allowed.get(own[[TEMPORAL, SPATIAL_X, SPATIAL_Y]].tobytes(), False)
    assert len(set(allowed.values())) == 2
