"""Advice is computed: what it promises is what the changed design, network or layer takes when it is mapped."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

import dovetail
from dovetail.advice.advice import Figures
from dovetail.advice.advise import advise, is_free, shown_by
from dovetail.advice.changes import design_changes
from dovetail.api.schema import check
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Spatial, Storage
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.hardware.resized import with_bandwidth, with_capacity, with_fanout
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.loading import load_network_or_layer
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import linear

DESIGN = "simple_weight_stationary"
FC = linear(C=32, M=20)


def network(*problems):
    layers = [Layer(f"l{place}", problem, batch_dimension="N") for place, problem in enumerate(problems)]
    return Network("net", tuple(layers))


@pytest.fixture(scope="module")
def advice():
    return advise(network(FC), load_architecture(DESIGN), workers=1, time_limit=10, budget=1000)


def test_the_constraint_that_idles_an_axis_comes_with_its_gain(advice):
    lifted = next(each for each in advice.found if each.kind == "constraint")
    assert "split 1" in lifted.text and lifted.subject == "inter_PE_spatial"
    assert f"{DESIGN}.yaml:" in lifted.text
    assert lifted.after.cycles * 2 <= lifted.before.cycles
    assert lifted.layers == ("l0",)


def test_every_promise_is_what_the_changed_design_takes(advice):
    architecture = load_architecture(DESIGN)
    changes = {each.text: each for each in design_changes(architecture, [FC])}
    checked = 0
    for each in advice.found:
        change = changes.get(each.text.removesuffix(", for free"))
        if change is None:
            continue
        changed = change.design(FC)
        found = search(FC, changed, estimate(changed))
        assert found.cost.cycles == each.after.cycles, each.text
        assert found.cost.energy_pJ == pytest.approx(each.after.energy_pJ), each.text
        assert found.cost.area_um2 == pytest.approx(each.after.area_um2)
        checked += 1
    assert checked >= 3


def test_gains_fall_and_what_saves_costs_nothing(advice):
    gains = [each.gain for each in advice.found]
    assert gains == sorted(gains, reverse=True)
    for each in advice.found:
        assert each.gain == pytest.approx(1 - each.after.edp_J_cycle / each.before.edp_J_cycle)
        free = each.text.endswith("for free")
        assert each.gain >= (-0.001 if free else 0.005)
        if free and each.kind == "buffer":
            assert each.after.area_um2 < each.before.area_um2


def test_free_is_what_costs_neither_cycles_nor_energy_and_each_change_names_the_figure_that_shows_it():
    before = Figures(1000.0, 1000.0, 2.0)
    assert is_free(before, Figures(1000.0, 900.0, 1.0))
    assert not is_free(before, Figures(1024.0, 850.0, 1.0))
    assert not is_free(before, Figures(900.0, 1024.0, 1.0))
    assert shown_by(before, Figures(500.0, 990.0, 4.0)) == "cycles"
    assert shown_by(before, Figures(1000.0, 930.0, 2.0)) == "energy"


def test_a_batch_is_told_for_one_image(advice):
    batch = next(each for each in advice.found if each.kind == "batch")
    images = int(batch.text.split()[1])
    architecture = load_architecture(DESIGN)
    bounds = dict(zip(FC.shape.dimensions, FC.bounds, strict=True)) | {"N": images}
    found = search(replace(FC, bounds=tuple(bounds.values())), architecture, estimate(architecture))
    assert batch.after.energy_pJ * images == pytest.approx(found.cost.energy_pJ)


def test_padding_and_liked_widths_name_the_size_that_pays():
    architecture = load_architecture("eyeriss_like")
    odd = linear(C=16, M=29)
    found = advise(network(odd), architecture, objective=Objective.LATENCY, workers=1, time_limit=10, budget=1000)
    padded = [each for each in found.found if each.kind == "padding"]
    assert padded, [each.text for each in found.found]
    for each in padded:
        dimension, size = each.text.split()[1], int(each.text.split()[-1])
        bounds = dict(zip(odd.shape.dimensions, odd.bounds, strict=True)) | {dimension: size}
        cost = search(
            replace(odd, bounds=tuple(bounds.values())), architecture, estimate(architecture), Objective.LATENCY
        ).cost
        assert cost.cycles == each.after.cycles < each.before.cycles
        assert dict(each.stairs)[size] == pytest.approx(each.after.cycles / each.before.cycles)
    for each in found.widths:
        assert min(each.stairs, key=lambda step: step[1])[0] == int(each.text.split(" instead")[0].split()[-1])
        assert each.gain == pytest.approx(1 - min(unit for _, unit in each.stairs))


def test_out_of_time_it_says_what_was_not_tried():
    found = advise(network(FC), load_architecture(DESIGN), workers=1, budget=1e-9)
    assert (found.found, found.widths, found.tried) == ((), (), 0)
    assert len(found.left_out) > 20


def test_given_energies_are_of_no_other_sizes():
    architecture = load_architecture(DESIGN)
    found = advise(network(FC), architecture, estimate(architecture), workers=1, budget=1000)
    assert not {"buffer", "array"} & {each.kind for each in found.found}
    assert "the energies are given" in found.notes[0]


@pytest.mark.parametrize("name", bundled_designs())
def test_resized_designs_are_as_their_files_would_say(name):
    architecture = load_architecture(name)
    for level in architecture.levels:
        if isinstance(level, Spatial):
            twice = with_fanout(architecture, level, 2 * level.fanout_x, level.fanout_y)
            assert twice is not None
            assert twice.parallelism == 2 * architecture.parallelism
            assert twice.compute.instances == 2 * architecture.compute.instances
        elif isinstance(level, Storage) and level.depth is not None:
            twice = with_capacity(architecture, level, Fraction(2))
            assert twice is not None
            changed = twice.level(level.name)
            assert (changed.words, changed.depth) == (2 * level.words, 2 * level.depth)
            priced = [estimate(each).components[level.name].area_um2 for each in (architecture, twice)]
            assert priced == sorted(priced)
            assert with_capacity(twice, changed, Fraction(1, 2)) == architecture
            assert with_capacity(architecture, level, Fraction(1, 7919)) is None
            faster = with_bandwidth(architecture, level, Fraction(2)).level(level.name)
            assert faster.read_bandwidth == (level.read_bandwidth and 2 * level.read_bandwidth)


def test_the_command(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("name,C,M\nfc,32,20\n")
    command = ["advise", "t.csv:fc", "--on", DESIGN, "--workers", "1", "--total-time", "1e3"]
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert check(shown, closed=True) == "advice"
    assert dovetail.load(shown) == shown
    assert shown["network"] == "fc"
    assert shown["changes"][0]["gain"] == max(each["gain"] for each in shown["changes"])
    assert {"constraint", "buffer", "batch"} <= {each["kind"] for each in shown["changes"]}
    assert main([*command]) == 0
    printed = capsys.readouterr().out
    assert "changes that pay" in printed and "split 1" in printed
    assert main([*command[:-1], "1e-9"]) == 0
    assert "were not tried for want of time" in capsys.readouterr().err


def test_a_layer_or_a_network():
    assert [layer.name for layer in load_network_or_layer("resnet18:fc").layers] == ["fc"]
    assert len(load_network_or_layer("resnet18").layers) == 21
    assert load_network_or_layer("resnet18:fc", batch=4).layers[0].problem.bound("N") == 4


def test_nothing_is_said_of_what_has_no_price(advice):
    architecture = load_architecture(DESIGN)
    registers = [level.name for level in architecture.storages if level.depth == 1]
    assert registers
    assert not [each.text for each in advice.found if each.kind == "buffer" and each.subject in registers]


def test_from_python_it_prints_travels_and_stands_in_a_report(advice, tmp_path):
    assert check(advice.to_dict(), closed=True) == "advice"
    assert len(repr(advice)) < 160 and "changes pay of" in repr(advice)
    assert advice.found[0].text in str(advice)
    cost = dovetail.Comparison((replace(advice.cost),))  # an equal one, as from `dovetail.compare`
    page = cost.report(tmp_path / "page.html", advice=[advice]).read_text(encoding="utf-8")
    assert advice.found[0].subject in page and '"left_out":' in page


def test_it_prints_as_wide_as_the_terminal_and_saves_itself(advice, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, str(advice).splitlines())) <= 80 and "edp gain" in str(advice)
    advice.save(tmp_path / "advice.json")
    assert dovetail.load(tmp_path / "advice.json") == json.loads(json.dumps(advice.to_dict()))
    nothing = replace(advice, found=(), tried=0, left_out=("a change",))
    assert str(nothing) == f"net on {DESIGN}: nothing was tried\n\n1 not tried for want of time"
