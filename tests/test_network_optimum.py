"""The network optimum against brute force over every choice, and how fast it is."""

from __future__ import annotations

import itertools
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.errors import InputError
from dovetail.mapper.objective import Objective
from dovetail.network.optimum import (
    LayerFront,
    minimum_cycles,
    minimum_energy,
    network_front,
    network_optimum,
    own_best,
    pareto_front,
    sum_up,
)

_energies = st.one_of(st.integers(1, 40).map(float), st.floats(0.001, 1e6, allow_nan=False))
_point = st.tuples(_energies, st.integers(1, 60))
_layer = st.builds(pareto_front, st.lists(_point, min_size=1, max_size=6), st.integers(1, 3))
_layers = st.lists(_layer, min_size=1, max_size=3)


def _every_choice(layers):
    """Return the exact (energy, cycles) of every way to give every run a point."""
    runs = [layer for layer in layers for _ in range(layer.repeats)]
    points = [list(zip(map(Fraction, layer.energies_pJ), layer.cycles, strict=True)) for layer in runs]
    return {(sum(e for e, _ in picks), sum(c for _, c in picks)) for picks in itertools.product(*points)}


def _true_front(choices):
    best = []
    for energy, cycles in sorted(choices):
        if not best or cycles < best[-1][1]:
            best.append((energy, cycles))
    return best


@given(_layers, st.sampled_from(list(Objective)))
@settings(deadline=None, max_examples=150)
def test_optimum_equals_brute_force(layers, objective):
    powers = {
        Objective.ENERGY: lambda e, c: e,
        Objective.LATENCY: lambda e, c: c,
        Objective.EDP: lambda e, c: e * c,
        Objective.ED2P: lambda e, c: e * c * c,
    }
    value = powers[objective]
    choice = network_optimum(layers, objective)
    exact = sum(
        Fraction(layer.energies_pJ[p]) * n
        for layer, counts in zip(layers, choice.counts, strict=True)
        for p, n in enumerate(counts)
    )
    assert value(exact, choice.cycles) == min(value(e, c) for e, c in _every_choice(layers))
    assert choice.energy_pJ == float(exact)
    assert choice.points is not None, "all runs of a layer agree at a corner of the hull"


@given(_layers)
@settings(deadline=None, max_examples=150)
def test_front_equals_brute_force(layers):
    front = network_front(layers)
    true = [(float(energy), cycles) for energy, cycles in _true_front(_every_choice(layers))]
    found = list(zip(front.energies_pJ.tolist(), front.cycles.tolist(), strict=True))
    assert front.complete
    # sums that differ by less than a float can tell may stand for one another
    distinct = [point for i, point in enumerate(true) if i == 0 or point[0] > true[i - 1][0]]
    if len(distinct) == len(true):
        assert found == true
    assert {e for e, _ in found} == {e for e, _ in true}


@given(_layers, st.floats(0, 1))
@settings(deadline=None, max_examples=150)
def test_deadline_and_budget_equal_brute_force(layers, where):
    front = _true_front(_every_choice(layers))
    least, most = front[-1][1], front[0][1]
    deadline = least + (most - least) * where
    choice = minimum_energy(layers, deadline)
    assert choice.energy_pJ == float(min(e for e, c in front if c <= deadline))
    assert choice.cycles <= deadline
    low, high = float(front[0][0]), float(front[-1][0])
    budget = low + (high - low) * where
    choice = minimum_cycles(layers, budget)
    assert choice.cycles == min(c for e, c in front if float(e) <= budget)
    assert minimum_energy(layers, least - 1) is None
    assert minimum_cycles(layers, low * (1 - 1e-9)) is None


@given(_layers)
@settings(deadline=None)
def test_never_worse_than_adding_up_own_bests(layers):
    assert network_optimum(layers).edp_J_cycle <= own_best(layers).edp_J_cycle * (1 + 1e-12)


@given(_layers, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_layers_does_not_matter(layers, random):
    shuffled = list(layers)
    random.shuffle(shuffled)
    one, other = network_optimum(layers), network_optimum(shuffled)
    assert one.energy_pJ * one.cycles == other.energy_pJ * other.cycles
    assert network_front(layers).energies_pJ.tolist() == network_front(shuffled).energies_pJ.tolist()


def test_the_product_of_sums_is_not_the_sum_of_products():
    # alone each layer prefers its second point; together the first of the large one is better
    large, small = LayerFront((10.0, 19.0), (100, 50)), LayerFront((1.0, 30.0), (30, 1))
    best = network_optimum([large, small])
    assert own_best([large, small]).points != best.points
    assert best.edp_J_cycle < own_best([large, small]).edp_J_cycle


def test_runs_of_one_layer_may_differ_under_a_deadline():
    layer = LayerFront((1.0, 5.0), (10, 2), repeats=3)
    choice = minimum_energy([layer], 24)
    assert choice.counts == ((2, 1),)
    assert choice.points is None
    assert sum_up([layer], [[2, 1]]) == choice


def test_bad_fronts_are_refused():
    with pytest.raises(InputError, match="as many energies"):
        LayerFront((1.0,), ())
    with pytest.raises(InputError, match="at least once"):
        LayerFront((1.0,), (1,), 0)


def _large_network(layers=100, points=50):
    """Return fronts like mappers give: cycles over a wide range, energies roughly inverse to them, not convex."""
    random = np.random.default_rng(7)
    result = []
    for _ in range(layers):
        cycles = np.unique(random.integers(10**4, 10**6, 4 * points))
        energy = 1e9 / cycles ** random.uniform(0.05, 0.4) * random.uniform(1, 1.05, len(cycles))
        found = pareto_front(zip(energy.tolist(), cycles.tolist(), strict=True), int(random.integers(1, 4)))
        result.append(LayerFront(found.energies_pJ[:points], found.cycles[:points], found.repeats))
    return result


def test_a_hundred_layers_are_fast():
    layers = _large_network()
    start = time.process_time()
    best = network_optimum(layers)
    deadline = minimum_energy(layers, best.cycles - 1)
    assert time.process_time() - start < 5
    assert deadline.cycles < best.cycles
    assert deadline.energy_pJ * deadline.cycles >= best.energy_pJ * best.cycles
