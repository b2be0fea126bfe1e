"""Filling the tables of bounds: what is worked out for some tiles alone is what it is among all of them."""

from __future__ import annotations

import numpy as np
import pytest

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.prepare import prepare
from dovetail.mapper.exact.space import Space, build_space
from dovetail.mapper.exact.through_loops import Factors, Inner, falls, lanes_of, left_in_place, serving, through_loops
from dovetail.model.arrays import Singles
from dovetail.workload.problem import convolution

PROBLEM = convolution(C=4, M=6, P=4, Q=2, R=3, S=1)


def space_on(design: str) -> Space:
    """Lay out the mapspace of a small layer."""
    architecture = load_architecture(design)
    return build_space(PROBLEM, architecture, estimate(architecture))


def some_costs(space: Space, lanes: int) -> Inner:
    """Invent what is known of the boundary inside: some tiles have no completion, and costs fall with reuse."""
    random = np.random.default_rng(3)
    known = np.flatnonzero(random.random(space.tiles) < 0.8)
    place = np.full(space.tiles, -1, np.int64)
    place[known] = np.arange(len(known))
    least: Singles = random.random((2, 3, len(known), lanes), np.float32) * 0.5
    least[..., 0] += 1.0
    least[random.random((2, 3, len(known))) < 0.1] = np.inf
    return Inner(place, least)


@pytest.mark.parametrize("design", ["eyeriss_like", "simple_weight_stationary", "simba_like"])
def test_a_tile_costs_through_loops_what_it_costs_among_all_others(design: str) -> None:
    space = space_on(design)
    lattice, idle = lattice_of(space), tuple(sorted({*left_in_place(space)} - {0}))
    serves, inner = serving(space, idle), some_costs(space, lanes_of(len(idle)))
    for level in np.flatnonzero(~np.array(space.is_spatial)).tolist():
        factors = Factors(lattice, *falls(space, lattice), space.least[level], space.most[level])
        all_of_them = np.arange(space.tiles)
        among = through_loops(space, level, all_of_them, factors, serves, inner)
        for here in (all_of_them[-1:], all_of_them[5:6], all_of_them[::7]):
            alone = through_loops(space, level, here, factors, serves, inner)
            assert np.array_equal(alone, among[:, :, here])


@pytest.mark.parametrize("design", ["eyeriss_like", "simple_weight_stationary"])
def test_how_much_room_vectors_have_at_first_makes_no_difference(design: str) -> None:
    space, found = space_on(design), []
    for room in (1, Effort().vectors):
        found.append(prepare(space, Effort(first=room)).scene.demands)
    narrow, wide = found
    assert np.diff(wide.start, axis=1).max() > 1  # some tile needs more room than one vector has
    assert all(np.array_equal(one, other) for one, other in zip(narrow, wide, strict=True))
