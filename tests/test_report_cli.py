"""The commands report, sweep-layer, study and silicon: what they print and write, and how they refuse."""

from __future__ import annotations

import csv as csv_module
import json
from pathlib import Path

import pytest

from dovetail import executors, hardware
from dovetail.cli.main import main
from dovetail.mapper.binding import Binding, Reason
from dovetail.network import bottleneck
from dovetail.network import jobs as jobs_module
from network_search import quick_search
from test_study import _free


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let the quick search stand where the exact mapper stands; keep nothing."""
    monkeypatch.setenv("DOVETAIL_CACHE", "off")
    monkeypatch.setattr(jobs_module, "exact_search", quick_search)
    monkeypatch.setattr(executors, "available_cpus", lambda: 1)


def test_report_writes_everything(tmp_path, capsys):
    html, svg, csv = tmp_path / "r.html", tmp_path / "svg", tmp_path / "csv"
    command = ["report", "alexnet", "--on", "eyeriss_like", "tpu_like", "--html", str(html)]
    assert main([*command, "--svg", str(svg), "--csv", str(csv), "--accuracy", "alexnet=57.5", "--advice", "1e-9"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "alexnet on tpu_like" in out
    assert "57.50" in out
    assert "wait for DRAM's bandwidth" in out
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert '"advice":{' in html.read_text(encoding="utf-8")
    assert (svg / "layers_alexnet_tpu_like.svg").exists()
    assert (csv / "alexnet_eyeriss_like.csv").read_text(encoding="utf-8").count("\n") == 9


def test_designs_of_one_name_have_files_of_their_own(tmp_path, capsys):
    text = (Path(hardware.__file__).parent / "designs" / "eyeriss_like.yaml").read_text(encoding="utf-8")
    (tmp_path / "eyeriss_like.yaml").write_text(text.replace("depth: 16384", "depth: 32768"))
    csv, svg = tmp_path / "csv", tmp_path / "svg"
    command = ["report", "alexnet", "--on", "eyeriss_like", str(tmp_path / "eyeriss_like.yaml"), "--no-front", "--json"]
    assert main([*command, "--csv", str(csv), "--svg", str(svg)]) == 0
    first, second = json.loads(capsys.readouterr().out)["results"]
    assert first["design"] == second["design"] == "eyeriss_like"
    assert first["energy_pJ"] < second["energy_pJ"]
    for name, result in (("alexnet_eyeriss_like", first), ("alexnet_eyeriss_like-2", second)):
        rows = list(csv_module.DictReader((csv / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        assert [float(row["energy_pJ"]) for row in rows] == [layer["energy_pJ"] for layer in result["layers"]]
        assert (svg / f"layers_{name}.svg").exists()


def test_report_prints_json(capsys):
    assert main(["report", "alexnet", "--on", "eyeriss_like", "--no-front", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["results"][0]
    assert result["cycles"] == sum(layer["cycles"] for layer in result["layers"])
    assert result["findings"]


@pytest.mark.parametrize("accuracy", ["alexnet", "alexnet=x", "alexnet=101", "other=50", "=5", "alexnet=nan"])
def test_report_refuses_bad_accuracies_before_it_maps(accuracy, capsys, monkeypatch):
    monkeypatch.setattr(jobs_module, "exact_search", lambda *_, **__: pytest.fail("a layer was mapped"))
    assert main(["report", "alexnet", "--on", "eyeriss_like", "--no-front", "--accuracy", accuracy]) == 2
    assert "write NETWORK=PERCENT" in capsys.readouterr().err


def test_report_says_where_it_cannot_write(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    target = str(tmp_path / "file" / "r.html")
    assert main(["report", "alexnet", "--on", "eyeriss_like", "--no-front", "--html", target]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_sweep_layer_marks_what_is_liked(tmp_path, capsys):
    csv, svg = tmp_path / "s.csv", tmp_path / "s.svg"
    command = ["sweep-layer", "alexnet:3", "--on", "eyeriss_like", "--dim", "M", "--values", "12:15"]
    assert main([*command, "--csv", str(csv), "--svg", str(svg), "--objective", "latency"]) == 0
    out = capsys.readouterr().out
    assert "14 *" in out
    assert "eyeriss_like likes 14" in out
    assert csv.read_text(encoding="utf-8").count("\n") == 5
    assert svg.read_text(encoding="utf-8").startswith("<svg")
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dimension"] == "M"


def _choices(capsys):
    return {choice["choice"]: choice for choice in json.loads(capsys.readouterr().out)["choices"]}


def test_optimum_chooses_together(tmp_path, capsys):
    csv = tmp_path / "front.csv"
    command = ["optimum", "alexnet", "--on", "eyeriss_like"]
    assert main([*command, "--json", "--csv", str(csv)]) == 0
    choices = _choices(capsys)
    best, usual = choices["best together"], choices["each layer's own best"]
    assert best["edp_J_cycle"] <= usual["edp_J_cycle"] * (1 + 1e-12)
    deadline = (choices["fewest cycles"]["cycles"] + choices["least energy"]["cycles"]) // 2
    points = [line.split(",") for line in csv.read_text(encoding="utf-8").splitlines()[1:]]
    within = min(float(energy) for energy, cycles in points if int(cycles) <= deadline)
    assert main([*command, "--deadline", str(deadline), "--budget", "1e6", "--json"]) == 0
    choices = _choices(capsys)
    assert choices[f"within {deadline:,} cycles"]["energy_pJ"] == pytest.approx(within)
    assert choices["within 1 J"]["cycles"] == choices["fewest cycles"]["cycles"]
    assert main(command) == 0
    assert "Choosing together lowers the network's edp by" in capsys.readouterr().out


def test_optimum_says_what_is_impossible(capsys):
    assert main(["optimum", "alexnet", "--on", "eyeriss_like", "--deadline", "10"]) == 2
    assert "no choice takes fewer than" in capsys.readouterr().err
    assert main(["optimum", "alexnet", "--on", "eyeriss_like", "--budget", "0.001"]) == 2
    assert "no choice takes less than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dim", "X", "--values", "1:2"], "no dimension 'X'"),
        (["--dim", "M", "--values", "2:1"], "sizes run upwards"),
    ],
)
def test_sweep_layer_refuses_nonsense(arguments, message, capsys):
    assert main(["sweep-layer", "alexnet:3", "--on", "eyeriss_like", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def _told(monkeypatch):
    """Let one reason stand where those of hundreds of layers are tested."""
    held = Reason(Binding.SEVERAL, "", "several limits meet", "several limits meet")
    monkeypatch.setattr(bottleneck, "_reason", lambda *_: held)


@pytest.mark.usefixtures("_told")
def test_study_prints_all_three(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jobs_module, "exact_search", _free)
    monkeypatch.setattr("dovetail.study.energy_gap.SAMPLES", (2, 4, 8))
    html, csv = tmp_path / "s.html", tmp_path / "csv"
    assert main(["study", "--html", str(html), "--csv", str(csv)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "reproduced" in out
    assert "Concluded: output stationary costs less energy" in out
    assert "IMAGENET1K_V2" in out
    assert "Why the Eyeriss-like energies differ" in html.read_text(encoding="utf-8")
    assert sorted(file.stem for file in csv.iterdir()) == ["alexnet_batch_1", "alexnet_batch_16", "resnet", "width"]
    assert "The founding study" in html.read_text(encoding="utf-8")
    assert main(["study", "--shapes", "study", "--json"]) == 0
    assert all(row["corrected"] is None for row in json.loads(capsys.readouterr().out)["rows"])


@pytest.mark.usefixtures("_told")
def test_silicon_prints_and_writes(tmp_path, capsys):
    html, markdown = tmp_path / "s.html", tmp_path / "s.md"
    assert main(["silicon", "--html", str(html), "--markdown", str(markdown)]) == 0
    out = capsys.readouterr().out
    assert "fabricated chip" in out
    assert "CONV5" in out
    assert markdown.read_text(encoding="utf-8").startswith("# The model beside silicon")
    assert "<!doctype html>" in html.read_text(encoding="utf-8")
