"""Filling the tables of bounds: what is worked out for some tiles alone is what it is among all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.outlook import Outlook
from dovetail.mapper.exact.prepare import Prepared, prepare
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
    assert (wide.end - wide.start).max() > 1  # some tile needs more room than one vector has
    assert all(np.array_equal(one, other) for one, other in zip(narrow, wide, strict=True))


def tiles_left(space: Space, level: int, dims: int, tile: int) -> Iterator[int]:
    """Yield the tiles that factors in all dimensions from ``dims`` on can lead to, as constraints allow them."""
    ways = []
    for d in range(dims, len(space.divisors)):
        divisors, radix = space.divisors[d], space.radix[d]
        place = tile // radix % len(divisors)
        ways.append(
            [
                (divisors.index(divisors[place] // factor) - place) * radix
                for factor in divisors
                if divisors[place] % factor == 0 and space.least[level, d] <= factor <= space.most[level, d]
            ]
        )
    return (tile + sum(steps) for steps in itertools.product(*ways))


def least_of_tile(prepared: Prepared, boundary: int, source: int, tile: int) -> float:
    """Return the least pJ per visit of a tile in all slots of the packed tables, at any share of visits."""
    bounds, found = prepared.scene.bounds, [np.inf]
    packed, place, points = bounds.least, int(bounds.place[boundary, tile]), len(bounds.grid)
    slots, sets = int(packed.slots[boundary]), len(bounds.serves)
    width = slots * (2 + sets * (1 + points))
    at = int(packed.start[boundary]) + (source * int(bounds.places[boundary]) + place) * width
    for slot in range(slots if place >= 0 else 0):
        found.append(packed.least[at + 2 * slot + 1])
        for group in range(sets):
            first = at + 2 * slots + (group * slots + slot) * (1 + points)
            found += packed.least[first + 1 : first + 1 + points].tolist()
    return float(min(found))


def sources_of(outlook: Outlook, level: int, prepared: Prepared) -> int:
    """Return how many sources the boundary inside a level has."""
    packed, bounds = prepared.scene.bounds.least, prepared.scene.bounds
    end = packed.start[level + 2] if level + 2 < len(packed.start) else len(packed.least)
    width = packed.slots[level + 1] * (2 + len(bounds.serves) * (1 + len(bounds.grid)))
    return int(end - packed.start[level + 1]) // int(width * bounds.places[level + 1])


@pytest.mark.parametrize("most", [Effort().entries, 1000], ids=["every source", "all sources as one"])
@pytest.mark.parametrize("design", ["eyeriss_like", "simple_output_stationary", "simba_like"])
def test_what_open_factors_lead_to_is_the_least_of_the_tiles_they_lead_to(design: str, most: int) -> None:
    space = space_on(design)
    prepared = prepare(space, Effort(entries=most))
    outlook, volume = prepared.scene.bounds.outlook, prepared.tables.volume
    levels, dims = np.flatnonzero(outlook.start >= 0).tolist(), len(space.divisors)
    assert levels
    assert most > 1000 or outlook.least.min() < 0  # prices cut down, first writes credited in full
    random = np.random.default_rng(1)
    for level in levels:
        sources = sources_of(outlook, level, prepared)
        assert outlook.sources[level] in (1, sources)
        for _ in range(12):
            tile, d = int(random.integers(space.tiles)), int(random.integers(dims + 1))
            for told in range(int(outlook.sources[level])):
                among = [told] if outlook.sources[level] == sources else range(sources)
                led_to = itertools.product(among, tiles_left(space, level, d, tile))
                costs = (least_of_tile(prepared, level + 1, *one) / volume[one[1]] for one in led_to)
                least = min(costs, default=np.inf)
                found = outlook.least[outlook.start[level] + (d * space.tiles + tile) * outlook.sources[level] + told]
                assert found <= least and found == pytest.approx(least, rel=1e-6)
