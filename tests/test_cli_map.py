"""The commands ``map``, ``verify`` and ``compare``, with the random search: what they print, write and check."""

from __future__ import annotations

import csv
import json

import pytest

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.search import search
from dovetail.mapping.files import read_mapping
from dovetail.workload.loading import load_layer

RANDOM = ["--samples", "3000", "--seed", "4"]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """Run a command with ``--json``; returns its one object. Nothing is said on stderr but the notes in it."""
    assert main([*arguments, "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert isinstance(found, dict)
    assert output.err == "".join(f"dovetail: note: {note}\n" for note in found.get("notes", ()))
    return found


def test_map_answers_with_cost_mapping_and_certificate(capsys):
    found = answer(capsys, "map", "resnet18:5", "--on", "eyeriss_like", *RANDOM)
    assert isinstance(found["cycles"], int)
    assert found["edp_J_cycle"] == pytest.approx(found["energy_pJ"] * 1e-12 * found["cycles"])
    assert 0 < found["utilization"] <= 1
    assert [entry["level"] for entry in found["mapping"]][:2] == ["DRAM", "shared_glb"]
    assert found["certificate"]["exact"] is False
    assert found["certificate"]["bound"] <= found["certificate"]["value"]


def test_map_is_the_same_for_the_same_seed_and_objectives_differ(capsys):
    def of(objective: str, *more: str) -> dict:
        return answer(capsys, "map", "mobilenet_v2:3", "--on", "eyeriss_like", "--objective", objective, *RANDOM, *more)

    energy, latency = of("energy"), of("latency")
    assert energy["energy_pJ"] <= latency["energy_pJ"]
    assert energy["cycles"] >= latency["cycles"]
    again = of("energy")
    for each in (energy, again):
        each["certificate"].pop("seconds")
    assert energy == again


def test_a_saved_mapping_is_read_and_costs_the_same(tmp_path, capsys):
    where = tmp_path / "mapping.yaml"
    layer = ["alexnet:3", "--on", "simple_output_stationary", "--batch", "2"]
    found = answer(capsys, "map", *layer, *RANDOM, "--save", str(where))
    again = answer(capsys, "evaluate", *layer, "--mapping", str(where))
    assert (again["cycles"], again["energy_pJ"]) == (found["cycles"], found["energy_pJ"])
    problem = load_layer("alexnet:3", batch=2)
    read_mapping(where, load_architecture("simple_output_stationary"), problem)


def test_a_certificate_holds_until_it_is_changed(tmp_path, capsys):
    where = tmp_path / "certificate.json"
    answer(capsys, "map", "resnet18:5", "--on", "eyeriss_like", *RANDOM, "--certificate", str(where))
    assert answer(capsys, "verify", str(where))["passed"] is True
    original = json.loads(where.read_text())
    assert main(["verify", str(where), "--no-search"]) == 1
    assert capsys.readouterr().out.endswith("not proven again: the certificate does NOT hold\n")
    for changed, failing in (
        ({"cost": {**original["cost"], "cycles": original["cost"]["cycles"] - 1}}, "cycles"),
        ({"cost": {**original["cost"], "energy_pJ": 1.0}}, "energy"),
        ({"architecture": {**original["architecture"], "name": "eyeriss_jssc"}}, "design"),
        ({"key": "0" * 64}, "as it was written"),
        ({"mapping": original["mapping"].replace("Weights, Inputs, Outputs", "Weights, Inputs", 1)}, "mapping"),
        ({"certificate": {**original["certificate"], "bound": 1e99}}, "bound"),
        ({"certificate": {**original["certificate"], "compute_bound_cycles": 1}}, "cycles"),
    ):
        where.write_text(json.dumps({**original, **changed}))
        assert main(["verify", str(where), "--no-search"]) == 1
        output = capsys.readouterr().out
        assert any(failing in line for line in output.splitlines() if line.startswith("rejected")), output
        assert output.endswith("rejected: the certificate does NOT hold\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "'dovetail_certificate' is missing"),
        ('{"dovetail_certificate": 3}', "is missing"),
        ('{"dovetail_certificate": 1}', "only version 3"),
        ('{"dovetail_certificate": true}', "must be a number"),
        ("[1]", "must be a mapping"),
        ("not json {", "certificate.json"),
    ],
)
def test_what_is_no_certificate_is_refused(tmp_path, capsys, content, said):
    where = tmp_path / "certificate.json"
    where.write_text(content)
    assert main(["verify", str(where)]) == 2
    assert said in capsys.readouterr().err


def test_compare_totals_are_the_sums_of_layers(tmp_path, capsys):
    table = tmp_path / "table.csv"
    designs = ["eyeriss_like", "simple_weight_stationary"]
    found = answer(capsys, "compare", "alexnet@32", "--on", *designs, *RANDOM, "--csv", str(table))
    assert [result["design"] for result in found["results"]] == designs
    for result in found["results"]:
        layers = result["layers"]
        assert result["cycles"] == sum(layer["cycles"] * layer["repeats"] for layer in layers)
        assert result["energy_pJ"] == pytest.approx(sum(layer["energy_pJ"] * layer["repeats"] for layer in layers))
        assert result["edp_J_cycle"] == pytest.approx(result["energy_pJ"] * 1e-12 * result["cycles"])
        assert all(0 < layer["utilization"] <= 1 for layer in layers)
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(result["layers"]) for result in found["results"])
    assert float(rows[0]["energy_pJ"]) == found["results"][0]["layers"][0]["energy_pJ"]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_tables_fit_the_terminal(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["compare", "alexnet@32", "--on", "eyeriss_like", *RANDOM]) == 0
    output = capsys.readouterr().out
    assert max(len(line) for line in output.splitlines() if "costs nothing" not in line) <= columns
    assert "features.0" in output
    assert "…" not in output


def test_a_notebook_shows_the_answer():
    design = load_architecture("eyeriss_like")
    result = search(load_layer("alexnet:classifier.6"), design, estimate(design))
    page = result._repr_html_()
    assert page.count("<table>") == 2
    assert "optimal" in page and "shared_glb" in page and "weights_spad" in page
