"""Square layers: mirror images cost the same, and a search that looks at one of two finds what brute force does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import (
    Architecture,
    Constraints,
    FactorConstraint,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.mirror import mirror_of
from dovetail.mapper.exact.space import Space, build_space
from dovetail.mapper.objective import Objective
from dovetail.model.batch import evaluate_batch
from dovetail.model.encode import encode_machine, encode_rules
from dovetail.workload.problem import Problem, convolution
from draws import draws
from mapper_strategies import SHAPES, Setup, machines, with_level
from test_mapper_exact import assume_small, everything, holds, same_front

SQUARE = convolution(C=4, M=6, P=8, Q=8, R=3, S=3)


def free(architecture: Architecture) -> Architecture:
    """Return a design without constraints."""
    levels = (replace(level, constraints=Constraints()) for level in architecture.levels)
    return replace(architecture, levels=tuple(levels))


def pairs(space: Space) -> set[frozenset[str]]:
    """Return which dimensions change places, by name."""
    names = [space.problem.shape.dimensions[d] for d in space.active]
    return {frozenset((names[d], names[e])) for d, e in enumerate(mirror_of(space)) if d != e}


def space_of(problem: Problem, architecture: Architecture) -> Space:
    return build_space(problem, architecture, estimate(architecture))


@pytest.mark.parametrize(
    ("problem", "found"),
    [
        (SQUARE, {"PQ", "RS"}),
        (convolution(C=8, M=8, P=8, Q=8), {"PQ"}),
        (convolution(C=1, M=1, G=8, P=8, Q=8, R=3, S=3, stride=(2, 2)), {"PQ", "RS"}),
        (convolution(C=4, M=6, P=8, Q=8, R=3, S=1), set()),
        (convolution(C=4, M=6, P=8, Q=4, R=3, S=3), set()),
        (convolution(C=4, M=6, P=8, Q=8, R=3, S=3, stride=(2, 1)), set()),
        (convolution(C=4, M=6, P=8, Q=8, R=3, S=3, dilation=(1, 2)), set()),
    ],
)
def test_rows_and_columns_change_places_where_that_changes_nothing(problem: Problem, found: set[str]) -> None:
    space = space_of(problem, free(load_architecture("eyeriss_like")))
    assert pairs(space) == {frozenset(pair) for pair in found}


@pytest.mark.parametrize(
    ("level", "loops"),
    [
        (1, LoopConstraints(factors=(FactorConstraint("P", Relation.LE, 2),))),
        (1, LoopConstraints(inner=("R",))),
        (2, LoopConstraints(factors=(FactorConstraint("Q", Relation.EQ, 1),))),
    ],
)
def test_constraints_that_tell_rows_from_columns_leave_every_mapping_apart(level: int, loops: LoopConstraints) -> None:
    architecture = free(load_architecture("eyeriss_like"))
    assert pairs(space_of(SQUARE, architecture))
    one = architecture.levels[level]
    told = Constraints(spatial=loops) if isinstance(one, Spatial) else Constraints(temporal=loops)
    assert not pairs(space_of(SQUARE, with_level(architecture, level, replace(one, constraints=told))))


def test_one_tile_stands_for_itself_and_its_image() -> None:
    space = space_of(SQUARE, free(load_architecture("eyeriss_like")))
    lattice = lattice_of(space)
    sizes = lattice.places(np.arange(space.tiles))
    image = (sizes[:, lattice.mirror] * lattice.radix).sum(axis=1)
    assert (lattice.standing == lattice.standing[image]).all()
    assert np.isin(lattice.standing, lattice.some(np.arange(space.tiles))).all()
    alone = int((image == np.arange(space.tiles)).sum())
    assert len(np.unique(lattice.standing)) == (space.tiles + alone) // 2 < space.tiles


@st.composite
def squares(draw: st.DrawFn) -> Setup:
    """A square layer, or another one whose dimensions may change places, on a design that seldom tells them apart."""
    size, kernel = draw(st.sampled_from([2, 2, 3, 4])), draw(st.sampled_from([1, 2, 2]))
    few, step = st.sampled_from([1, 1, 2]), draw(st.sampled_from([1, 2]))
    problem = convolution(
        C=draw(few), M=draw(few), G=draw(few), P=size, Q=size, R=kernel, S=kernel,
        stride=(step, step), dilation=(draw(st.sampled_from([1, 2])),) * 2,
    )  # fmt: skip
    if draw(st.booleans()):
        chosen = draw(st.sampled_from([s for s in SHAPES if s.name in ("on two axes", "a ring of axes")]))
        problem = Problem(chosen, (size, size, draw(st.sampled_from([2, 3]))), (), chosen.name)
    architecture, energies = draw(machines(problem))
    for place, level in enumerate(architecture.levels):
        if isinstance(level, Storage) and draw(st.sampled_from([True, True, False])):
            temporal = replace(level.constraints.temporal, inner=())
            level = replace(level, constraints=replace(level.constraints, temporal=temporal))
            architecture = with_level(architecture, place, level)
    space = build_space(problem, architecture, energies)
    assume(mirror_of(space) != tuple(range(len(space.divisors))))
    return problem, architecture, energies


@settings(max_examples=draws(80))
@given(squares(), st.sampled_from(Objective))
def test_square_layers_equal_brute_force(setup: Setup, objective: Objective) -> None:
    assume_small(setup)
    holds(setup, objective)


@settings(max_examples=draws(20))
@given(squares())
def test_their_fronts_equal_brute_force(setup: Setup) -> None:
    assume_small(setup)
    same_front(setup)


@settings(max_examples=draws(20))
@given(squares())
def test_a_mirror_image_costs_the_same(setup: Setup) -> None:
    assume_small(setup)
    problem, architecture, energies = setup
    space = build_space(problem, architecture, energies)
    mirror = np.arange(len(problem.bounds))
    mirror[list(space.active)] = np.array(space.active)[list(mirror_of(space))]
    nests, costs = everything(setup)
    temporal, across, along = (one[:, :, mirror] for one in (nests.temporal, nests.spatial_x, nests.spatial_y))
    images = nests._replace(
        temporal=temporal,
        order=mirror[nests.order],
        spatial_x=across,
        spatial_y=along,
        spatial_order=mirror[nests.spatial_order],
    )
    theirs = evaluate_batch(images, encode_rules(problem, architecture), encode_machine(*setup))
    assert (theirs.cycles == costs.cycles).all()
    assert theirs.energy_pJ == pytest.approx(costs.energy_pJ, rel=1e-12)
    assert ((theirs.overflow < 0) == (costs.overflow < 0)).all()
