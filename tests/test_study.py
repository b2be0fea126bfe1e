"""The founding study: what it published, its networks with and without its mistakes, the comparison."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from dovetail.api.schema import check
from dovetail.cli.study import _print
from dovetail.hardware.architecture import Spatial
from dovetail.hardware.reader import load_architecture
from dovetail.json_text import json_document, json_text
from dovetail.mapping.constraints import axis_slots, bound_to
from dovetail.study.conclusions import conclusions, notes
from dovetail.study.networks import alexnet, as_published, both_axes, narrowed, rounded_channels
from dovetail.study.published import (
    DESIGNS,
    RESNETS,
    alexnet_figures,
    alexnet_layers,
    published,
    resnet_figures,
    width_figures,
)
from dovetail.study.reproduce import run_study
from dovetail.study.rows import Row, parts
from dovetail.workload.loading import load_network
from dovetail.workload.problem import convolution
from network_search import quick_search


def test_published_figures_are_read_as_printed():
    assert published()["source"].endswith("https://github.com/ys-2020/6.5930_final_project")
    first = alexnet_figures(1, "weight_stationary")[0]
    assert (first.cycles, first.energy_pJ) == (8.8e6, 656e6)
    assert resnet_figures("eyeriss_like")["resnet101"].edp_J_cycle == 3.7e6
    (original, top1), (shrunk, _) = width_figures().values()
    assert (original.cycles, top1, shrunk.energy_pJ) == (989e3, 80.7, 1.44e9)
    assert original.is_consistent
    assert shrunk.is_consistent
    assert all(figures.is_consistent for design in DESIGNS for figures in resnet_figures(design).values())


def test_the_strides_are_divided_twice_as_the_study_did():
    # its published cycles are MACs over the 16 elements in use; so its shapes are these
    for model, printed in resnet_figures("output_stationary").items():
        network = as_published(load_network(f"{model}@224"))
        assert network.macs / 16 == pytest.approx(printed.cycles, rel=0.03)
        assert all("convolution" in layer.kind for layer in network.layers)
    true = load_network("resnet50@224")
    lost = 1 - as_published(true).macs / true.macs
    assert 0.10 < lost < 0.14


def test_published_shapes_equal_what_its_builder_computes():
    # a 7 x 7 convolution with stride 2 and padding 3 on 224 x 224 has 112 x 112 outputs; from 112 again, 56
    stem = as_published(load_network("resnet18@224")).layers[0].problem
    assert (stem.bound("P"), stem.bound("Q"), stem.coefficients[:2]) == (56, 56, (2, 2))
    # a 1 x 1 convolution with stride 2: (28 - 1) // 2 + 1
    network = as_published(load_network("resnet18@224"))
    assert network.layer("layer2.0.downsample.0").problem.bound("P") == 14


def test_groups_are_dropped_as_the_study_did():
    network = as_published(load_network("mobilenet_v2@224"))
    depthwise = next(layer for layer in load_network("mobilenet_v2@224").layers if "depthwise" in layer.kind)
    dense = network.layer(depthwise.name).problem
    assert "G" not in dense.shape.dimensions
    assert dense.bound("C") == dense.bound("M") == depthwise.problem.bound("G")


def test_the_two_alexnets():
    assert [layer.name for layer in alexnet(1, as_it_was=True).layers] == list(alexnet_layers())
    at_1, at_16 = (alexnet(batch, as_it_was=True) for batch in (1, 16))
    assert at_1.layers[0].problem.bound("M") == 96
    assert at_16.layers[0].problem.bound("M") == 64
    assert alexnet(16, as_it_was=False).layers[0].problem.bound("M") == 96
    shapes = published()["alexnet_layerwise"]["shapes"]
    for layer in at_1.layers:
        c, m, r, p, stride = shapes[layer.name]
        problem = layer.problem
        assert (problem.bound("C"), problem.bound("M"), problem.bound("R"), problem.bound("P")) == (c, m, r, p)
        assert problem.coefficients[0] == stride
    for network, batch in ((at_1, 1), (at_16, 16)):
        for layer, printed in zip(network.layers, alexnet_figures(batch, "output_stationary"), strict=True):
            assert layer.macs / 16 == pytest.approx(printed.cycles, rel=0.15)


def test_channels_are_rounded_as_model_zoos_do():
    assert [rounded_channels(64 * width) for width in (0.9, 0.8, 0.7)] == [56, 48, 48]
    assert rounded_channels(3 * 0.5) == 8
    for channels in range(1, 400):
        rounded = rounded_channels(channels * 0.7)
        assert rounded % 8 == 0
        assert rounded >= 0.9 * 0.7 * channels
        assert rounded < 0.7 * channels + 8


def test_narrow_networks_keep_image_and_classes():
    network, narrow = load_network("resnet50@32"), narrowed(load_network("resnet50@32"), 0.7)
    assert narrow.layers[0].problem.bound("C") == 3
    assert narrow.layers[-1].problem.bound("M") == 10
    assert narrowed(network, 1.0) is network
    assert 0.4 < narrow.macs / network.macs < 0.6
    by_name = {layer.name: layer.problem for layer in narrow.layers}
    assert by_name["layer1.0.conv2"].bound("C") == by_name["layer1.0.conv1"].bound("M")


def test_lifting_the_split_opens_the_idle_axis():
    design = load_architecture("simple_weight_stationary")
    problem = convolution(C=64, M=64, P=7, Q=7)

    def allowed_on_x(architecture):
        level = next(lv for lv in bound_to(architecture, problem).levels if isinstance(lv, Spatial) and lv.fanout > 1)
        slots = axis_slots(level.constraints.spatial, problem)
        return None if slots is None else {*slots.on_x, *slots.free} & {"C", "M"}

    assert allowed_on_x(design) == set()
    assert allowed_on_x(both_axes(design)) is None


@pytest.fixture(scope="module")
def study():
    return run_study(shapes=("study",), search=_free, workers=1)


_found = {}


def _free(problem, architecture, energies, objective, *, front=False, time_limit=None):
    """Stand in for a search at no cost: one mapping's cost does for all, only scaled by its MACs."""
    key = architecture.name, problem.shape.name
    if key not in _found:
        _found[key] = quick_search(convolution(C=2, M=2, P=1, Q=1), architecture, energies, objective)
    result, factor = _found[key], problem.macs
    cost = replace(result.cost, cycles=result.cost.cycles * factor, energy_pJ=result.cost.energy_pJ * factor)
    return replace(result, cost=cost)


def test_rows_hold_what_was_asked_for(study):
    assert parts(study.rows) == ["resnet", "alexnet_batch_1", "alexnet_batch_16", "width"]
    assert len(study.part("resnet")) == len(RESNETS) * len(DESIGNS)
    assert len(study.part("alexnet_batch_16")) == 16
    assert all(row.corrected is None for row in study.rows)
    assert all(row.reproduced is not None for row in study.rows if "not told" not in row.item)
    data = json.loads(json_text(json_document("study", study.to_json())))
    assert check(data, closed=True) == "study"
    assert len(data["rows"]) == len(study.rows)
    assert set(data["agreement"]) == set(parts(study.rows))
    assert "published" in study._repr_html_()
    assert study.table("resnet").csv().count("\n") == 13


@pytest.mark.parametrize(("columns", "tables"), [(80, 3), (200, 1)])
def test_no_column_is_lost_on_a_narrow_terminal(study, columns, tables, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    _print(study)
    printed = capsys.readouterr().out
    assert printed.count("ResNets on three designs") == tables
    assert max(map(len, printed.split("ImageNet")[0].splitlines())) <= max(columns, 100)  # a sentence may be longer
    for word in ("resnet101", "eyeriss like", "CONV-1", "reproduced"):
        assert word in printed


def test_sums_over_alexnet_layers_are_the_network(study):
    cost = study.costs["study", "alexnet_batch_1", "alexnet", "weight_stationary"]
    rows = [row for row in study.part("alexnet_batch_1") if row.design == "weight_stationary"]
    assert math.fsum(row.reproduced.energy_pJ for row in rows) == pytest.approx(cost.energy_pJ)


def test_accuracies_name_their_weights(study):
    by_name = {each.network: each for each in study.accuracies}
    assert {each.weights for each in study.accuracies} == {"IMAGENET1K_V1"}
    assert by_name["resnet18"].plotted_weights == "IMAGENET1K_V1"
    assert by_name["resnet50"].plotted_weights == "IMAGENET1K_V2"
    assert by_name["resnet50"].plotted == pytest.approx(80.86, abs=0.01)
    assert by_name["resnet50"].top1_percent == pytest.approx(76.13)


def test_conclusions_are_checked_by_counting():
    def row(item, design, batch, energy):
        figures = alexnet_figures(1, "weight_stationary")[0]
        figures = type(figures)(1.0, energy, energy)
        return Row(f"alexnet_batch_{batch}", item, design, None, figures, None)

    rows = [
        row("CONV-1", "weight_stationary", 1, 2.0),
        row("CONV-1", "output_stationary", 1, 1.0),
        row("FC-1", "weight_stationary", 1, 1.0),
        row("FC-1", "output_stationary", 1, 2.0),
    ]
    first, second, third = (found for _, found in conclusions(rows))
    assert "output stationary costs less on 1 of 2 layers" in first
    assert "at batch 1, weight stationary costs less on FC-1" in second
    assert "cycles fall to 47%" in third


def test_published_oddities_are_found():
    assert any("CONV-3 (112.1 M cycles) costs 12484 uJ and the larger CONV-4" in note for note in notes(()))
