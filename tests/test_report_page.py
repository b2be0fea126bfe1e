"""The report page: one file that needs nothing else, the same every time, safe with any names; and its pictures."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

import dovetail
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.network.map_network import map_network, map_networks
from dovetail.network.sweep import sweep_layer
from dovetail.report.data import KnownAccuracy, report_data
from dovetail.report.figures import report_figures, sweep_figure, write_figures, write_picture
from dovetail.report.page import published_for, report_page
from dovetail.report.sections import Point, bars_section, curves_section, table_section, text_section
from dovetail.report.study_page import study_page
from dovetail.report.svg import Line, line_chart, stacked_bars
from dovetail.study.reproduce import Accuracy, Study
from dovetail.study.rows import Row
from dovetail.table import Table, headed
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution
from network_search import quick_search


def _network(name, *sizes):
    layers = tuple(Layer(f"l{m}", convolution(C=4, M=m, P=6, Q=6, R=3, S=3, name=f"l{m}"), 2) for m in sizes)
    return Network(name, layers, source="a test")


@pytest.fixture(scope="module")
def costs():
    designs = [(a, estimate(a)) for a in map(load_architecture, ("eyeriss_like", "tpu_like"))]
    networks = [_network("small", 7, 16), _network("large", 16, 32, 64)]
    pairs = [(network, *design) for network in networks for design in designs]
    return map_networks(pairs, front=True, search=quick_search, workers=1)


ACCURACIES = {"small": KnownAccuracy(60.0, "a guess"), "large": KnownAccuracy(70.0, "a guess")}


def _payload(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_page_needs_nothing_else(costs):
    page = report_page(costs, accuracies=ACCURACIES)
    head = page.split("<script>")[0]
    assert not re.search(r'(src|href)="(?!data:)', head)
    assert "@import" not in head
    assert "url(" not in head
    assert len(page) < 2_500_000


def test_the_page_is_the_same_every_time(costs):
    assert report_page(costs, accuracies=ACCURACIES) == report_page(costs, accuracies=ACCURACIES)


def _document(page):
    packed = re.search(r'<script type="text/plain" id="document">(.*?)</script>', page, re.S)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_page_holds_what_json_prints(costs):
    again = dovetail.load(_document(report_page(costs, accuracies=ACCURACIES)))
    assert [each.edp_J_cycle for each in again] == [cost.edp_J_cycle for cost in costs]


def test_the_payload_holds_the_costs(costs):
    data = _payload(report_page(costs, accuracies=ACCURACIES))
    assert [run["network"] for run in data["runs"]] == ["small", "small", "large", "large"]
    for run, cost in zip(data["runs"], costs, strict=True):
        assert run["cycles"] == cost.cycles
        assert run["energy_uJ"] == pytest.approx(cost.energy_pJ * 1e-6, rel=1e-5)
        assert sum(spot[2] for layer in run["layers"] for spot in layer["spots"]) == pytest.approx(
            run["energy_uJ"], rel=1e-4
        )
        assert run["front"]["best"]["edp"] <= run["front"]["usual"]["edp"] * (1 + 1e-9)
        assert run["accuracy"] == ACCURACIES[run["network"]].top1_percent
        kinds = [level["kind"] for level in run["layers"][0]["nest"]]
        assert kinds[0] == "storage"
        assert kinds[-1] == "compute"
    assert {design["name"] for design in data["designs"]} == {"eyeriss_like", "tpu_like"}


def test_a_sparse_design_shows_what_zeros_do(costs):
    design = load_architecture("sparse_tensor_core")
    half = convolution(C=4, M=4, P=2, Q=2, name="half")
    half = replace(half, densities=tuple(Hypergeometric(0.5) for _ in half.shape.tensors))
    cost = map_network(Network("n", (Layer("half", half, 3),)), design, estimate(design), workers=1)
    (run,) = _payload(report_page([cost]))["runs"]
    computing = next(row for row in run["zeros"] if row[1] == "computing")
    assert computing[3:6] == [0.5, 0, 0.5], "half of the weights are zero, and their work is left out"
    zeros = run["layers"][0]["zeros"]
    assert [row[0:2] for row in zeros["rows"]] == [row[0:2] for row in run["zeros"]]
    (curve,) = zeros["curves"]
    half_way = curve["costs"][zeros["densities"].index(0.5)]
    assert half_way["cycles"] == cost.cycles and half_way["energy_uJ"] == pytest.approx(cost.energy_pJ * 1e-6)
    assert half_way["cycles"] < curve["plain"][0]["cycles"]
    assert _payload(report_page(costs[:1]))["runs"][0]["zeros"] == []


def test_hostile_names_stay_text(costs):
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
    network = replace(costs[0].network, name=evil, source=evil)
    page = report_page([replace(costs[0], network=network)], title=evil, accuracies={})
    assert page.count("</script>") == 4  # data, document, charts, script
    assert "<img src=x" not in page
    assert _payload(page)["runs"][0]["network"] == evil


def test_published_accuracies_are_only_taken_where_they_belong():
    design = load_architecture("eyeriss_like")
    networks = [load_network("alexnet"), load_network("alexnet@32"), _network("resnet18", 8)]
    costs = [map_network(n, design, estimate(design), search=quick_search, workers=1) for n in networks]
    known = published_for(costs[:1])
    assert known["alexnet"].top1_percent == pytest.approx(56.522)
    assert known["alexnet"].source == "torchvision IMAGENET1K_V1"
    assert published_for(costs[1:]) == {}


def test_sections_are_plain_data():
    points = {"a": [Point("x", 50.0, {"energy_uJ": 1.0, "cycles": 2, "edp": 3.0})]}
    sections = [
        text_section("t", ["p"]),
        table_section("t", Table(headed("a"), ((1,),))),
        curves_section("c", points, tags={"a": ("g",)}),
        bars_section("b", ["i"], {"a": {"cycles": [1.0]}}),
    ]
    data = report_data([], title="x", sections=sections)
    assert [section["kind"] for section in json.loads(json.dumps(data))["sections"]] == [
        "text",
        "table",
        "curves",
        "bars",
    ]


def test_pictures_are_well_formed(costs, tmp_path):
    pictures = report_figures(costs, ACCURACIES)
    assert {"accuracy_energy", "layers_small_eyeriss_like", "roofline_large_tpu_like"} <= set(pictures)
    for svg in pictures.values():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
        assert "nan" not in svg
    files = write_figures(tmp_path / "new", costs, ACCURACIES)
    assert len(files) == len(pictures)
    assert all(file.suffix == ".svg" and file.stat().st_size > 500 for file in files)


def test_pictures_become_png(tmp_path):
    pytest.importorskip("resvg_py")
    svg = line_chart("t", "x", "y", [Line("a", [(1.0, 2.0), (3.0, 4.0)])])
    data = write_picture(tmp_path / "p.png", svg, "png").read_bytes()
    assert data.startswith(b"\x89PNG")


def test_pictures_say_what_they_cannot_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_picture(tmp_path / "file" / "p.svg", "<svg/>")


def test_charts_hold_every_point_and_escape_text():
    svg = line_chart("<t>", "x", "y", [Line("a&b", [(1.0, 10.0), (100.0, 1000.0)], ["<p>"])], logarithmic=True)
    assert svg.count("<circle") == 2
    assert "<t>" not in svg
    assert "a&amp;b" in svg
    bars = stacked_bars("t", "x", ["one", "two"], {"a": [1.0, 2.0], "b": [0.0, 3.0]})
    assert bars.count("<rect") == 1 + 2 + 4
    ElementTree.fromstring(bars)


def test_a_sweep_is_drawn():
    design = load_architecture("eyeriss_like")
    problem = convolution(C=4, M=8, P=6, Q=6, R=3, S=3, name="conv")
    sweep = sweep_layer(problem, design, estimate(design), "M", [7, 13, 14], search=quick_search, workers=1)
    ElementTree.fromstring(sweep_figure(sweep))


def test_the_study_page_shows_all_three(costs):
    from dovetail.study.published import DESIGNS, RESNETS, resnet_figures

    rows = tuple(
        Row("resnet", model, design, figures, figures, figures)
        for design in DESIGNS
        for model, figures in resnet_figures(design).items()
    )
    accuracies = tuple(Accuracy(model, 70.0, "V1", 69.0, "V2") for model in RESNETS)
    study = Study(rows, accuracies, (("said", "found"),), ("a note",), {("corrected", "resnet", "x", "y"): costs[0]})
    data = _payload(study_page(study))
    curves = next(section for section in data["sections"] if section["kind"] == "curves")
    assert {each["tags"][1] for each in curves["series"]} == {"published", "reproduced", "corrected"}
    assert {point["accuracy"] for each in curves["series"] for point in each["points"]} == {69.0, 70.0}
    assert len(data["runs"]) == 1


_PAGE = """
import sys
sys.path.insert(0, {tests!r})
from network_search import quick_search
import dovetail
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.network.map_network import map_network
from dovetail.report.page import report_page
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.loading import load_network
design = load_architecture("eyeriss_like")
cost = map_network(load_network("alexnet"), design, estimate(design), front=True, search=quick_search, workers=1)
sys.stdout.buffer.write(report_page([cost]).encode())
"""


def test_the_page_is_the_same_whatever_the_hash_seed():
    code = _PAGE.format(tests=str(Path(__file__).parent))
    pages = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(pages) == 1
    assert pages.pop().startswith(b"<!doctype html>")
