"""A vector of demands that undercuts another one costs no more, whatever lies outside; see `docs/mapper.md`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Constraints, LoopConstraints
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact.ceiling import Ceiling
from dovetail.mapper.exact.prepare import prepare
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.exact.vectors import (
    CYCLES,
    ENERGY,
    FIXED,
    PER_COPY,
    Outside,
    Working,
    below_both,
    dearest,
    offer_vector,
    undercuts,
    with_copies,
)
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.model.arrays import Floats
from dovetail.workload.problem import convolution

TENSORS = 2
SMALL = st.integers(0, 4).map(float)


@st.composite
def vectors(draw: st.DrawFn) -> tuple[Floats, int]:
    """Draw a vector and its pending tensors; only what is pending has energy that goes with asking."""
    mask = draw(st.integers(0, 3))
    along = [draw(SMALL) if mask >> t & 1 else 0.0 for t in range(TENSORS)]
    words = [draw(SMALL) for _ in range(TENSORS)]
    return np.array([*words, *along, draw(SMALL), -draw(SMALL), draw(SMALL)]), mask


def cost(vector: Floats, mask: int, prices: list[float], shares: list[float], copies: float) -> float:
    """Return the pJ that a vector comes to."""
    asked = [vector[t] * prices[t] + vector[TENSORS + t] for t in range(TENSORS)]
    fetched = sum(shares[t] * asked[t] if mask >> t & 1 else asked[t] for t in range(TENSORS))
    fixed = 2 * TENSORS
    return float(fetched + vector[fixed + ENERGY] + copies * vector[fixed + PER_COPY])


@st.composite
def surroundings(draw: st.DrawFn) -> Outside:
    """Draw what may lie outside."""
    low = np.array([draw(SMALL) for _ in range(TENSORS)])
    timed = np.array([draw(st.booleans()) for _ in range(TENSORS)])
    return Outside(low, low + draw(SMALL), timed, np.array([draw(st.integers(1, 3))], np.float64))


@given(surroundings(), st.lists(vectors(), min_size=1, max_size=8), st.data())
def test_what_stays_is_as_good_as_what_went_whatever_lies_outside(
    outside: Outside, offered: list[tuple[Floats, int]], data: st.DataObject
) -> None:
    room = data.draw(st.sampled_from([2, 8]))  # in a small one vectors are merged
    kept = Working.empty((1, room, 2 * TENSORS + FIXED), outside, Ceiling.none(TENSORS), np.zeros(1, np.int64))
    for vector, mask in offered:
        offer_vector(kept, 0, vector, mask)
    share = st.sampled_from([0.0, 0.25, 1.0])
    prices = [data.draw(st.floats(low, high)) for low, high in zip(outside.low, outside.high, strict=True)]
    shares, copies = [data.draw(share) for _ in prices], data.draw(st.floats(1, outside.copies[0]))
    left = [(kept.vectors[0, k], int(kept.pending[0, k])) for k in range(kept.counts[0])]
    assert left
    for vector, mask in offered:
        due = cost(vector, mask, prices, shares, copies)
        no_slower = [one for one in left if one[0][2 * TENSORS + CYCLES] <= vector[2 * TENSORS + CYCLES]]
        assert min(cost(*one, prices, shares, copies) for one in no_slower) <= due + 1e-9


@given(surroundings(), vectors(), vectors())
def test_what_undercuts_costs_no_more_at_the_dearest_prices(
    outside: Outside, one: tuple[Floats, int], other: tuple[Floats, int]
) -> None:
    """So vectors are compared in full only where that leaves it open."""
    if undercuts(*one, *other, outside, outside.copies[0]):
        assert dearest(one[0], outside) <= dearest(other[0], outside)
    kept = Working.empty((1, 1, 2 * TENSORS + FIXED), outside, Ceiling.none(TENSORS), np.zeros(1, np.int64))
    for vector, mask in (one, other):
        offer_vector(kept, 0, vector, mask)
        assert kept.keys[0, 0] == dearest(kept.vectors[0, 0], outside)


def test_energy_that_saves_a_dear_word_pays_unless_the_level_outside_is_slow_for_what_it_costs() -> None:
    few, many = np.array([1.0, 1.0, 0.0, 0.0, 5.0, 0.0, 1.0]), np.array([2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    free, timed = np.zeros(2, np.bool_), np.ones(2, np.bool_)
    dear, cheap = (
        Outside(np.full(2, 6.0), np.full(2, 64.0), timed, np.ones(1)),
        Outside(np.ones(2), np.full(2, 4.0), free, np.ones(1)),
    )
    assert undercuts(few, 0, many, 0, dear, 1.0) and not undercuts(few, 0, many, 0, cheap, 1.0)
    assert undercuts(many, 0, few, 0, cheap, 1.0)
    assert not undercuts(many, 0, few, 0, cheap._replace(timed=timed), 1.0)


@given(vectors(), vectors(), st.integers(1, 9))
def test_one_that_stands_for_two_costs_no_more_by_any_number_of_copies(
    one: tuple[Floats, int], other: tuple[Floats, int], most: int
) -> None:
    fixed = 2 * TENSORS
    energy, per_copy = below_both(one[0], other[0], fixed, float(most))
    assert per_copy <= 0
    lesser = [min(with_copies(vector, fixed, copies) for vector, _ in (one, other)) for copies in range(1, most + 1)]
    for copies, least in enumerate(lesser, 1):
        assert energy + per_copy * copies <= least + 1e-9
    assert energy + per_copy * most == pytest.approx(lesser[-1], abs=1e-9)  # as high as a line can be
    assert energy + per_copy == pytest.approx(lesser[0], abs=1e-9)


def test_a_free_design_of_three_private_buffers_is_bounded_closely_before_any_loop_is_chosen() -> None:
    bundled = load_architecture("eyeriss_like")
    passed = LoopConstraints(no_link_transfer=frozenset({"Weights", "Inputs", "Outputs"}))
    levels = tuple(replace(level, constraints=Constraints(spatial=passed)) for level in bundled.levels)
    design, energies = replace(bundled, levels=levels), estimate(bundled)
    layer = convolution(C=32, M=32, P=7, Q=7, name="1x1")
    floor = prepare(build_space(layer, design, energies)).compulsory_pJ
    found = search(layer, design, energies, Objective.ENERGY, time_limit=60.0)
    assert found.certificate.exact
    assert floor > 0.8 * found.cost.energy_pJ
