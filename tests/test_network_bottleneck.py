"""What holds layers back, bounds, rooflines, findings: against hand-made cases and laws."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.binding import Binding
from dovetail.mapper.search import search
from dovetail.network import bottleneck
from dovetail.network.bottleneck import diagnose, diagnose_network, diagnose_networks, hot_spots
from dovetail.network.bounds import on_chip_words, physical_bounds
from dovetail.network.costs import MappedLayer, totals_of
from dovetail.network.findings import findings
from dovetail.network.map_network import map_network
from dovetail.network.optimum import network_optimum
from dovetail.network.plain import diagnosis_fields
from dovetail.network.results import fronts_of, network_at
from dovetail.network.roofline import roofline, roofs
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution, matrix_product
from network_search import quick_search

_designs = {}


def _design(name):
    if name not in _designs:
        architecture = load_architecture(name)
        _designs[name] = architecture, estimate(architecture)
    return _designs[name]


def _mapped(problem, design):
    return MappedLayer(Layer(problem.name, problem), quick_search(problem, *_design(design), front=True))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_distinct_words_are_those_that_loops_touch(p, r, stride, dilation):
    problem = convolution(C=2, M=3, P=p, Q=2, R=r, S=1, stride=(stride, 1), dilation=(dilation, 1))
    inputs = problem.shape.tensor("Inputs")
    touched = {(i * stride + k * dilation) for i, k in itertools.product(range(p), range(r))}
    assert problem.touched(inputs) == 2 * 2 * len(touched)
    assert problem.touched(inputs) <= problem.words(inputs)


def test_bounds_of_a_known_layer():
    # AlexNet's third layer on 168 elements
    problem = convolution(C=192, M=384, P=13, Q=13, R=3, S=3)
    architecture, _ = _design("eyeriss_like")
    bounds = physical_bounds(problem, architecture)
    assert bounds.compute_cycles == math.ceil(112_140_288 / 168)
    assert bounds.compulsory_words == 192 * 384 * 9 + 192 * 15 * 15 + 384 * 13 * 13
    buffer = on_chip_words(architecture)
    about = 2 * 112_140_288 / math.sqrt(9 * buffer) + 384 * 13 * 13
    assert bounds.reuse_words == pytest.approx(max(about, bounds.compulsory_words))
    assert physical_bounds(matrix_product(C=8, M=8, P=8), architecture).reuse_words >= 3 * 64


@given(st.sampled_from([(3, 8, 5), (16, 7, 4), (12, 14, 6), (1, 1, 1)]), st.sampled_from(["eyeriss_like", "tpu_like"]))
@settings(deadline=None, max_examples=8)
def test_no_mapping_beats_the_bounds(sizes, design):
    c, m, p = sizes
    found = _mapped(convolution(C=c, M=m, P=p, Q=p, R=3, S=3), design)
    told = diagnose(found, *_design(design))
    assert told.cycles_over_bound >= 1
    assert told.traffic_over_compulsory >= 1
    shares = [spot.share for spot in told.hot_spots]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9


def test_bandwidth_binds_where_the_model_says_so():
    problem = convolution(C=64, M=64, P=8, Q=8, name="starved")
    found = MappedLayer(Layer("starved", problem), search(problem, *_design("tpu_like")))
    told = diagnose(found, *_design("tpu_like"))
    assert found.cost.cycles > found.cost.levels[-1].cycles
    assert told.binding is Binding.BANDWIDTH
    assert told.held.what == max(found.cost.levels, key=lambda level: level.cycles).name


def test_roofline_touches_the_roof_that_binds():
    found = _mapped(convolution(C=64, M=64, P=8, Q=8), "tpu_like")
    points = roofline(found.cost, _design("tpu_like")[0])
    reached = found.cost.computes / found.cost.cycles
    for point in points:
        assert point.reached == pytest.approx(reached)
        assert point.attainable >= point.reached * (1 - 1e-9)
    assert min(point.attainable for point in points) == pytest.approx(reached)
    by_level = {roof.level: roof.words_per_cycle for roof in roofs(_design("tpu_like")[0])}
    assert by_level["DRAM"] == pytest.approx(34e9 / 700e6 + 14e9 / 700e6)


def test_hot_spots_are_the_energy():
    cost = _mapped(convolution(C=8, M=8, P=8, Q=8), "eyeriss_like").cost
    assert math.fsum(spot.energy_pJ for spot in hot_spots(cost, 99)) == pytest.approx(cost.energy_pJ)
    assert totals_of(cost).energy_pJ == cost.energy_pJ


def test_findings_read_like_sentences():
    cost = map_network(
        load_network("alexnet"), *_design("simple_weight_stationary"), front=True, search=quick_search, workers=1
    )
    told = findings(cost)
    texts = [each.text for each in told]
    said = "No layer can use more than 16 of the 256 compute units (6.2 %): the constraints of inter_PE_spatial"
    assert any(said in text for text in texts), texts
    assert any("of the energy goes into moving" in text for text in texts)
    assert [each.weight for each in told] == sorted((each.weight for each in told), reverse=True)
    json.dumps([each.to_json() for each in told])


def test_findings_group_layers_by_reason():
    layers = tuple(
        Layer(f"l{m}", convolution(C=3, M=m, P=1, Q=1, R=1, S=1, name=f"l{m}"), 2) for m in (17, 19, 23, 13, 14)
    )
    cost = map_network(Network("odd", layers), *_design("eyeriss_like"), search=search, workers=1)
    texts = [each.text for each in findings(cost)]
    said = "6 of 10 layers leave more than half of the compute units idle: M does not divide by the array"
    assert said in texts, texts


def test_findings_name_the_level_that_layers_wait_for():
    layers = (Layer("starved", convolution(C=64, M=64, P=8, Q=8, name="starved"), 2),)
    cost = map_network(Network("slow", layers), *_design("tpu_like"), search=search, workers=1)
    texts = [each.text for each in findings(cost)]
    assert "All 2 layers wait for DRAM's bandwidth, 100 % of all cycles" in texts, texts


def test_network_at_the_optimum_costs_what_the_optimum_says():
    cost = map_network(load_network("alexnet"), *_design("eyeriss_like"), front=True, search=quick_search, workers=1)
    best = network_optimum(fronts_of(cost))
    there = network_at(cost, best)
    assert there.energy_pJ == pytest.approx(best.energy_pJ, rel=1e-12)
    assert there.cycles == best.cycles
    assert there.edp_J_cycle <= cost.edp_J_cycle * (1 + 1e-12)


def test_what_networks_share_is_looked_into_once(monkeypatch):
    layers = tuple(Layer(f"l{m}", convolution(C=3, M=m, P=1, Q=1, R=1, S=1, name=f"l{m}")) for m in (17, 19))
    costs = [
        map_network(Network(name, some), *_design(design), search=quick_search, workers=1)
        for name, some, design in (("both", layers, "eyeriss_like"), ("one", layers[:1], "eyeriss_like"),
                                   ("there", layers[:1], "tpu_like"))
    ]  # fmt: skip
    apart = tuple(diagnose_network(cost) for cost in costs)
    asked, reason = [], bottleneck._reason

    def counted(layer, *design):
        asked.append(layer.name)
        return reason(layer, *design)

    monkeypatch.setattr(bottleneck, "_reason", counted)
    assert diagnose_networks(costs) == apart
    assert asked == ["l17", "l19", "l17"]


def test_diagnoses_are_plain_data():
    cost = map_network(load_network("alexnet"), *_design("eyeriss_like"), search=quick_search, workers=1)
    architecture = cost.architecture
    data = json.loads(json.dumps([diagnosis_fields(each, architecture) for each in diagnose_network(cost)]))
    assert len(data) == len(cost.distinct)
    assert all(each["cycles_over_bound"] >= 1 and each["roofline"] for each in data)
