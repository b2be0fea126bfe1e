"""Whole runs on the plain digits: the command, what it leaves on disk, and going on after ``kill -9``."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.accuracy.models import ModelSpec  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.shrink import run  # noqa: E402
from dovetail.shrink.saved import load_shrunk, read_shrunk  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

SMALL = [
    "--on", "eyeriss_like", "--data", "digits", "--target", "edp=0.4x", "--target", "edp=0.1x", "--epochs", "1",
    "--supernet-epochs", "1", "--candidates", "8", "--finalists", "2", "--workers", "1", "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory):
    """A store of this module's own, empty at its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOVETAIL_CACHE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("shrunk")
    page = out / "page.html"
    assert main(["shrink", "five-layer-4", *SMALL, "--out", str(out), "--html", str(page)]) == 0
    return out


def plain(out):
    return json.loads((out / "result-supernet.json").read_text())


def test_a_run_leaves_networks_that_meet_their_targets(done):
    result = plain(done)
    original = result["original"]
    assert [each["target"] for each in result["networks"]] == ["edp=0.4x", "edp=0.1x"]
    for each, share in zip(result["networks"], (0.4, 0.1), strict=True):
        assert each["edp_J_cycle"] <= share * original["edp_J_cycle"]
        assert each["exact"]
        assert 0 <= each["accuracy"]["test"]["0"] <= 1
        assert each["accuracy"]["parameters"] < original["accuracy"]["parameters"]


def test_a_saved_network_is_as_small_as_said_and_as_accurate(done):
    data = load_data("digits")
    for each in plain(done)["networks"]:
        network = load_shrunk(each["folder"])
        assert evaluate(network, data.test) == each["accuracy"]["test"]["0"]
        described = read_shrunk(each["folder"])
        found = trace(network, (1, 1, 8, 8))
        layers = described.facts["cost"]["layers"]
        assert [layer.problem.macs for layer in found.layers] == [layer["macs"] for layer in layers]
        assert found.macs == each["macs"]
        assert all("mapping" in layer for layer in layers)
        assert sum(layer["cycles"] * layer["repeats"] for layer in layers) == each["cycles"]
        assert {name: len(kept) for name, kept in described.kept.items()} == dict(
            zip(plain(done)["groups"], each["widths"], strict=True)
        )


@pytest.mark.parametrize("kind", ["onnx", "program"])
def test_an_exported_network_costs_what_was_said(done, capsys, kind):
    pytest.importorskip("onnx")
    for each in plain(done)["networks"]:
        capsys.readouterr()
        assert main(["compare", each["files"][kind], "--on", "eyeriss_like", "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)["results"]
        assert (found["cycles"], found["energy_pJ"]) == (each["cycles"], each["energy_pJ"])


def test_the_exported_module_and_weights_need_torch_alone(done):
    """In an interpreter that finds neither Dovetail nor the network's own code, and reads weights only."""
    folder = Path(plain(done)["networks"][0]["folder"])
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.save(images, folder / "images.pt")
    code = """import sys, network, torch
classes = network.load("state_dict.pt")(torch.load("images.pt"))
assert not [name for name in sys.modules if name.startswith("dovetail")]
torch.save(classes, "classes.pt")"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-s", "-c", code]
    subprocess.run(command, cwd=folder, env={**environment, "PYTHONPATH": str(folder)}, check=True)
    with torch.no_grad():
        expected = load_shrunk(folder)(images)
    assert torch.allclose(torch.load(folder / "classes.pt"), expected, rtol=1e-4, atol=1e-5)


def test_the_page_shows_before_and_after(done):
    page = (done / "page.html").read_text()
    for words in ("Before and after", "Layer by layer: edp=0.4x", "Which channels went", "the staircase"):
        assert words in page


def test_a_notebook_shows_the_networks(done, monkeypatch):
    found, shrink = [], run.shrink
    monkeypatch.setattr(run, "shrink", lambda *args: found.append(shrink(*args)) or found[0])
    assert main(["shrink", "five-layer-4", *SMALL, "--out", str(done)]) == 0
    table = found[0].table()
    assert [row[0] for row in table.rows] == [each.name for each in (found[0].original, *found[0].networks)]
    assert table.rows[1][2] <= 0.4
    assert "EDP share" in found[0]._repr_html_()


def test_the_same_command_again_prints_the_same_and_trains_nothing(done, capsys):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("last.pt")}
    assert main(["shrink", "five-layer-4", *SMALL, "--out", str(done), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert check(found, closed=True) == "shrink"
    assert found == plain(done)
    assert before == {path: path.stat().st_mtime_ns for path in done.rglob("last.pt")}


def test_the_uniform_method_goes_on_from_the_same_folder(done, capsys):
    assert main(["shrink", "five-layer-4", *SMALL, "--out", str(done), "--method", "uniform", "--scratch"]) == 0
    printed = capsys.readouterr().out
    assert "of the" in printed
    assert "new weights" in printed


@pytest.mark.slow
def test_a_run_killed_at_any_point_goes_on_to_the_same_result(done, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "dovetail.cli.main", "shrink", "five-layer-4", *SMALL, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # in the supernet's search, and among the finalists
    for sign in ("measured/**/*.json", "starts/**/network.json"):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            began = time.monotonic()
            while process.poll() is None and not any(out.glob(sign)) and time.monotonic() - began < 120:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert any(out.glob(sign))
        assert not (out / "result-supernet.json").exists()
    assert main(["shrink", "five-layer-4", *SMALL, "--out", str(out)]) == 0
    assert comparable(plain(out)) == comparable(plain(done))


def comparable(result):
    """Without the folders, which differ."""
    for each in result["networks"]:
        each["folder"] = Path(each["folder"]).name
        each["files"] = {kind: Path(file).name for kind, file in each["files"].items()}
    return result


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["five-layer-4", "--target", "edp=fast"], "is no amount"),
        (["five-layer-4", "--method", "supernett", "--target", "front"], "did you mean 'supernet'"),
        (["no_such_model", "--target", "front"], "no model 'no_such_model'"),
        (["five-layer-4", "--target", "front", "--data", "nowhere"], "no data set 'nowhere'"),
        (["five-layer-4", "--target", "front", "--on", "nothing"], "nothing"),
        (["nothing.pt", "--target", "front"], "no such checkpoint"),
        (["five-layer-4", "--target", "front", "--weights", "nothing.pt"], "no such checkpoint"),
        (["five-layer-4", "--target", "front", "--recipe", "modem"], "did you mean 'modern'"),
    ],
)
def test_wrong_input_is_one_message(arguments, words, capsys, tmp_path):
    missing = [word for word in ("--data", "--on") if word not in arguments]
    given = {"--data": "digits", "--on": "eyeriss_like"}
    extra = [part for word in missing for part in (word, given[word])]
    assert main(["shrink", *arguments, *extra, "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_a_network_that_knows_nothing_is_refused(tmp_path, capsys):
    weights = ModelSpec("five-layer", width=4, channels=1, size=8)().state_dict()
    torch.save(weights, tmp_path / "new.pt")
    command = ["shrink", "five-layer-4", *SMALL, "--weights", str(tmp_path / "new.pt"), "--out", str(tmp_path)]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "there is no accuracy to keep; train it first" in message
    assert message.count("\n") == 1


def test_a_network_that_costs_nothing_is_refused(done, tmp_path, capsys):
    table = tmp_path / "ert.yaml"
    assert main(["components", "--on", "eyeriss_like", "--ert", str(table)]) == 0
    table.write_text(re.sub(r"energy: .*", "energy: 0", table.read_text()))
    capsys.readouterr()
    assert main(["shrink", "five-layer-4", *SMALL, "--ert", str(table), "--out", str(done)]) == 2
    assert "five-layer-4 costs 0 J x cycle on eyeriss_like: nothing can be saved" in capsys.readouterr().err


def test_a_target_out_of_reach_is_one_message(done, capsys):
    command = ["shrink", "five-layer-4", *SMALL, "--out", str(done)]
    command[command.index("edp=0.1x")] = "edp=1e-7x"
    assert main(command) == 2
    assert "the nearest reachable is edp=0.0" in capsys.readouterr().err
