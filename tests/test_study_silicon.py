"""The silicon comparison: networks and units as the publications have them, residuals and their reasons."""

from __future__ import annotations

import json

import pytest

from dovetail.api.schema import check
from dovetail.json_text import json_document, json_text
from dovetail.report.silicon_page import silicon_markdown, silicon_page
from dovetail.study.silicon import grouped_alexnet, isca_design, measured, run_silicon, unit_energies
from network_search import quick_search


def test_macs_are_those_of_the_publications():
    network = grouped_alexnet(16, linear_layers=True)
    published = measured()["eyeriss_isca"]["ALU"]
    for layer, giga in zip(network.layers, published, strict=True):
        assert layer.macs / 1e9 == pytest.approx(giga, abs=0.006)


def test_the_chips_time_is_at_least_its_macs_over_its_active_elements():
    record = measured()["eyeriss_jssc"]
    layers = grouped_alexnet(4, linear_layers=False).layers
    for layer, ms, active in zip(layers, record["processing_ms"], record["active_PEs"], strict=True):
        assert 1 <= ms / (layer.macs / active / 200e3) < 1.25


def test_unit_costs_are_the_papers():
    design = isca_design()
    assert design.compute.instances == 256
    energies = unit_energies(design)
    assert energies["DRAM"].energy("read") == 200
    assert energies["buffer"].energy("write") == 6
    assert energies["mac"].energy("compute") == 1
    assert sum(energies[name].energy("read") for name in ("ifmap_spad", "weights_spad", "psum_spad")) == 3


@pytest.fixture(scope="module")
def silicon():
    return run_silicon(search=quick_search, workers=1)


def test_every_published_number_has_its_residual(silicon):
    assert len(silicon.chip) == 5 * 7
    assert len(silicon.analysis) == 8 * 3
    assert all(each.reason for each in silicon.chip + silicon.analysis)
    alu = [each for each in silicon.analysis if each.what.startswith("ALU")]
    assert all(each.ratio == pytest.approx(1, abs=0.1) for each in alu)
    data = json.loads(json_text(json_document("silicon", silicon.to_json())))
    assert check(data, closed=True) == "silicon"
    assert {each["layer"] for each in data["chip"]} == {f"CONV{i}" for i in range(1, 6)}
    assert "<table>" in silicon._repr_html_()


def test_zeros_are_left_out_on_the_way_to_dram_and_in_the_array(silicon):
    found = {(each.layer, each.what): each.ours for each in silicon.chip}
    for layer, zeros in zip(
        silicon.costs[0].layers, measured()["eyeriss_jssc"]["zeros_in_inputs_percent"], strict=True
    ):
        coded, uncoded = (found[layer.name, f"DRAM {what}, MB"] for what in ("accesses", "uncoded"))
        gated, ungated = (found[layer.name, f"power {what}, mW"] for what in ("on chip", "ungated"))
        assert coded < uncoded
        assert gated <= ungated * (1 + 1e-9)
        if zeros > 70:  # a value and its run take 21 bits of 16
            assert 0.2 * 21 / 16 * uncoded < coded < 0.65 * uncoded
            assert gated < 0.95 * ungated  # the rest leaks, on a mapping found in a moment


def test_pages_hold_every_number(silicon):
    text = silicon_markdown(silicon)
    assert text.count("| CONV") == 35 + 15
    assert "not modelled" in text.lower()
    page = silicon_page(silicon)
    assert page.startswith("<!doctype html>")
    assert "The model beside silicon" in page
