"""Menus: partial mappings that agree stand side by side, each once; a level's loops follow from the tile inside.

And the model counts a fan-out once for all partial mappings that it counts the same for.
"""

from __future__ import annotations

import contextlib
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.exact import explore
from dovetail.mapper.exact.explore import AGREEING, one_by_one, side_by_side
from dovetail.mapper.exact.lattice import lattice_of
from dovetail.mapper.exact.menu import choose, measure
from dovetail.mapper.exact.prepare import Prepared
from dovetail.mapper.exact.rows import (
    BY,
    COUNTED,
    INSIDE,
    INSTANCES,
    KEEPER,
    KEEPER_INSTANCES,
    KEEPER_PART,
    KEY_FIELDS,
    PART,
    PASSED,
    PER_TENSOR,
    REAL_FIELDS,
    REUSE,
    SHARED,
    SIZE,
    TILE,
    Rows,
)
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.problem import convolution
from draws import draws
from mapper_strategies import Setup, setups
from test_mapper_exact import assume_small
from test_mapper_mirror import squares

TENSORS = 3


def drawn(count: int, kinds: int, seed: int) -> Rows:
    """Return partial mappings of few kinds, and of any reuse."""
    random = np.random.default_rng(seed)
    key = random.integers(0, kinds, (count, PER_TENSOR + KEY_FIELDS * TENSORS))
    key[:, PER_TENSOR + REUSE * TENSORS :][:, :TENSORS] = random.integers(1, 1000, (count, TENSORS))
    real = random.integers(0, kinds, (count, REAL_FIELDS, TENSORS)).astype(np.float64)
    return Rows(key, real, random.random((count, 3)), np.zeros((count, 1), np.int32), np.zeros(count))


def agreed(rows: Rows, row: int) -> tuple[float, ...]:
    """Return what tells which price a word has inside."""
    key, real = rows.key[row], rows.real[row]
    per_tensor = key[PER_TENSOR:].reshape(KEY_FIELDS, TENSORS)[[KEEPER, KEEPER_INSTANCES, PART, KEEPER_PART]]
    shared = np.where(real[COUNTED] > 0, real[SHARED] * real[PASSED], real[SHARED])
    return (*key[[TILE, INSTANCES]].tolist(), *per_tensor.ravel().tolist(), *shared.tolist())


@given(st.integers(0, 1500), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_those_that_agree_are_side_by_side(count: int, kinds: int, seed: int) -> None:
    rows = drawn(count, kinds, seed)
    groups = side_by_side(rows, TENSORS)
    assert np.array_equal(np.sort(groups.order), np.arange(count))
    assert (groups.begin[0], groups.begin[-1], groups.start, groups.stop) == (0, count, 0, len(groups.begin) - 1)
    told = [agreed(rows, row) for row in groups.order.tolist()]
    for first, end in zip(groups.begin[:-1].tolist(), groups.begin[1:].tolist(), strict=True):
        assert 0 < end - first <= AGREEING
        assert len(set(told[first:end])) == 1
    fewest = sum(-(-told.count(one) // AGREEING) for one in set(told))
    assert groups.stop == fewest


def test_one_by_one_is_as_they_come() -> None:
    groups = one_by_one(drawn(5, 2, 0))
    assert groups.order.tolist() == [0, 1, 2, 3, 4]
    assert groups.begin.tolist() == [0, 1, 2, 3, 4, 5]


@given(st.data())
def test_the_tile_inside_tells_the_loops(data: st.DataObject) -> None:
    layer = convolution(C=12, M=8, P=6, Q=10, R=3, S=3)
    architecture = load_architecture("eyeriss_like")
    lattice = lattice_of(build_space(layer, architecture, estimate(architecture)))
    outer = [data.draw(st.integers(0, int(count) - 1)) for count in lattice.counts]
    fits = [np.flatnonzero(lattice.quotient[d, place] >= 0).tolist() for d, place in enumerate(outer)]
    factors = [data.draw(st.sampled_from(choices)) for choices in fits]
    inner = [int(lattice.quotient[d, outer[d], factor]) for d, factor in enumerate(factors)]
    loops = np.zeros((5, len(outer)), np.int64)
    measure(lattice, int((np.array(outer) * lattice.radix).sum()), loops)
    mask = choose(lattice, int((np.array(inner) * lattice.radix).sum()), loops)
    assert mask == sum(1 << d for d, factor in enumerate(factors) if factor > 0)
    assert np.array_equal(loops[SIZE], loops[BY] * loops[INSIDE])
    assert loops[BY].tolist() == [int(lattice.divisors[d, factor]) for d, factor in enumerate(factors)]


def counted_one_by_one(prepared: Prepared, level: int, rows: Rows) -> None:
    """Count a fan-out as the search does, and once more for every row."""
    every = rows._replace(real=rows.real.copy())
    explore.count_each(prepared, level, every)
    COUNT_ONCE(prepared, level, rows)
    assert np.array_equal(rows.real, every.real)


COUNT_ONCE = explore.count_once


@settings(max_examples=draws(40))
@given(st.one_of(setups(), squares()), st.sampled_from([Objective.ENERGY, Objective.LATENCY]))
def test_a_fan_out_is_counted_once_for_all_that_are_told_apart_by_keepers_alone(
    setup: Setup, objective: Objective
) -> None:
    assume_small(setup)
    with mock.patch.object(explore, "count_once", counted_one_by_one), contextlib.suppress(NoMappingError):
        search(*setup, objective)
