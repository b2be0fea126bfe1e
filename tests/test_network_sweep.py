"""Sweeping a dimension: sizes, the staircase, what a design likes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.network.plain import sweep_fields
from dovetail.network.sweep import liked_sizes, parse_sizes, sweep_layer
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


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30, unique=True), st.sampled_from(list(Objective)), st.data())
def test_liked_sizes_are_cheapest_per_unit_around(sizes, objective, data):
    sizes = sorted(sizes)
    values = data.draw(st.lists(st.integers(1, 9).map(float), min_size=len(sizes), max_size=len(sizes)))
    liked = liked_sizes(sizes, values, objective)
    power = {"energy": 1, "latency": 1, "edp": 2, "ed2p": 3}[objective]
    cheapest = min(range(len(sizes)), key=lambda i: values[i] / sizes[i] ** power)
    assert liked[cheapest]
    for i, size in enumerate(sizes):
        around = [j for j, other in enumerate(sizes) if abs(other - size) <= max(2, size // 8)]
        assert liked[i] == (values[i] / size**power == min(values[j] / sizes[j] ** power for j in around))


def test_a_staircase_is_liked_at_its_outer_corners():
    # 14 columns: cycles go up with every new row of them
    sizes = list(range(1, 61))
    cycles = [float(-(-size // 14)) for size in sizes]
    liked = [
        size for size, is_liked in zip(sizes, liked_sizes(sizes, cycles, Objective.LATENCY), strict=True) if is_liked
    ]
    assert liked == [14, 28, 42, 56]


def test_a_sweep_maps_every_size(design):
    problem = convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="conv")
    sweep = sweep_layer(problem, *design, "M", [14, 13, 7, 13], search=quick_search, workers=1)
    assert [point.size for point in sweep.points] == [7, 13, 14]
    assert [point.result.cost.computes for point in sweep.points] == [problem.macs // 8 * m for m in (7, 13, 14)]
    # 13 and 14 channels both fill one row of the array, and 14 use all of it
    assert sweep.points[1].computes_per_cycle < sweep.points[2].computes_per_cycle
    data = json.loads(json.dumps(sweep_fields(sweep)))
    assert data["liked"] == list(sweep.liked)
    assert sweep.rows().csv().count("\n") == 4
    assert "<table>" in sweep._repr_html_()


def test_bad_sweeps_are_told(design):
    problem = convolution(C=4, M=8, P=6, Q=6)
    with pytest.raises(InputError, match="no dimension 'K'"):
        sweep_layer(problem, *design, "K", [1], search=quick_search)
    with pytest.raises(InputError, match="at least 1, found none"):
        sweep_layer(problem, *design, "M", [], search=quick_search)
