"""Sweeping a dimension: sizes, the staircase, what a design likes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.network.sweep import _liked, parse_sizes, sweep_layer
from dovetail.workload.problem import convolution
from network_search import quick_search


@pytest.fixture(scope="module")
def design():
    architecture = load_architecture("eyeriss_like")
    return architecture, estimate(architecture)


def test_sizes_as_people_write_them():
    assert parse_sizes("64") == [64]
    assert parse_sizes("1:4") == [1, 2, 3, 4]
    assert parse_sizes("8:24:8, 100") == [8, 16, 24, 100]


@pytest.mark.parametrize("text", ["", "a", "4:1", "0:3", "1:2:0", "1:2:3:4", "-1", "1:99999999", "١"])
def test_bad_sizes_are_told(text):
    with pytest.raises(InputError):
        parse_sizes(text)


@given(st.lists(st.integers(1, 9).map(float), min_size=1))
def test_liked_sizes_are_those_that_every_larger_one_exceeds(values):
    liked = _liked(values)
    assert liked == [all(value < later for later in values[i + 1 :]) for i, value in enumerate(values)]
    assert liked[-1]


def test_a_sweep_maps_every_size(design):
    problem = convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="conv")
    sweep = sweep_layer(problem, *design, "M", [14, 13, 7, 13], search=quick_search, workers=1)
    assert [point.size for point in sweep.points] == [7, 13, 14]
    assert [point.result.cost.computes for point in sweep.points] == [problem.macs // 8 * m for m in (7, 13, 14)]
    # 13 and 14 channels both fill one row of the array, and 14 use all of it
    assert sweep.points[1].computes_per_cycle < sweep.points[2].computes_per_cycle
    data = json.loads(json.dumps(sweep.to_json()))
    assert data["liked"] == list(sweep.liked)
    assert sweep.table().csv().count("\n") == 4
    assert "<table>" in sweep._repr_html_()


def test_bad_sweeps_are_told(design):
    problem = convolution(C=4, M=8, P=6, Q=6)
    with pytest.raises(InputError, match="no dimension 'K'"):
        sweep_layer(problem, *design, "K", [1], search=quick_search)
    with pytest.raises(InputError, match="at least 1, found none"):
        sweep_layer(problem, *design, "M", [], search=quick_search)
