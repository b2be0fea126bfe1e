"""Magnitude pruning: which weights go, that their zeros stay in training, and whole runs on a sparse design."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.accuracy.recipe import MODERN  # noqa: E402
from dovetail.accuracy.training import train  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.shrink.magnitude import (  # noqa: E402
    freed,
    held,
    kept_in_groups,
    kept_weights,
    lamp_scores,
    prunable,
    pruned,
)
from dovetail.shrink.pruning import SHARES, share_of  # noqa: E402
from dovetail.shrink.saved import load_shrunk  # noqa: E402


def small() -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10))


def test_scores_are_squares_over_those_that_are_no_smaller() -> None:
    assert lamp_scores(np.array([[1.0, -2.0], [0.0, 3.0]])).tolist() == [[1 / 14, 4 / 13], [0.0, 1.0]]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-2, 2, width=32))
             , min_size=1, max_size=3),
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)  # fmt: skip
def test_so_many_stay_the_largest_of_each_layer_and_fewer_are_among_more(layers, shares) -> None:
    weights = {str(place): each for place, each in enumerate(layers)}
    few, many = (kept_weights(weights, share) for share in sorted(shares))
    size = sum(each.size for each in layers)
    assert sum(int(each.sum()) for each in many.values()) == max(1, round(max(shares) * size))
    for name, each in weights.items():
        assert not np.any(few[name] & ~many[name])
        assert np.abs(each[many[name]]).min(initial=9) >= np.abs(each[~many[name]]).max(initial=0)


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 3), st.sampled_from((4, 6, 8, 16)), st.integers(1, 3)),
           elements=st.floats(-2, 2, width=32)),
    st.sampled_from(((1, 4), (2, 4), (3, 4), (5, 8))),
)  # fmt: skip
def test_of_every_group_of_input_channels_the_largest_stay(weights, pattern) -> None:
    kept, (so_many, of) = kept_in_groups(weights, pattern), pattern
    if weights.shape[1] % of:
        assert kept.all()
        return
    for out in range(weights.shape[0]):
        for at in range(weights.shape[2]):
            for start in range(0, weights.shape[1], of):
                group, chosen = weights[out, start : start + of, at], kept[out, start : start + of, at]
                assert chosen.sum() == so_many
                assert np.abs(group[chosen]).min() >= np.abs(group[~chosen]).max()


def test_a_weight_of_two_layers_goes_once() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(*(torch.nn.Linear(8, 8, bias=False) for _ in range(3)))
    network[2].weight = network[0].weight
    less = pruned(network.state_dict(), prunable(network), 0.75)
    assert torch.equal(less["0.weight"], less["2.weight"])
    assert sum(int(less[name].count_nonzero()) for name in ("0.weight", "1.weight")) == 96  # of 128, not of 192
    network.load_state_dict(less)
    assert share_of(network) == 0.75


@pytest.mark.parametrize("options", [{"optimizer": "adam", "learning_rate": 0.01}, {"mean_weights": 0.9}], ids=str)
def test_zeros_stay_whatever_the_optimizer_makes_of_them(options) -> None:
    def start() -> torch.nn.Module:
        torch.manual_seed(0)
        network = small()
        network.load_state_dict(pruned(network.state_dict(), prunable(network), 0.3))
        return held(network)

    zero = {name: each == 0 for name, each in freed(start().state_dict()).items() if name in prunable(small())}
    result = train(start, load_data("digits"), replace(MODERN, epochs=1, **options), test=False)
    weights = freed(result.model.state_dict())
    assert set(weights) == set(small().state_dict())
    for name, mask in zero.items():
        assert torch.equal(weights[name] == 0, mask), name
    moved = freed(start().state_dict())
    assert not torch.equal(weights["0.weight"], moved["0.weight"])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pruned")
    (folder / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 13), nn.ReLU(), nn.Linear(13, 10))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOVETAIL_CACHE", str(tmp_path_factory.getbasetemp() / "pruning"))
        command = ["shrink", f"{folder / 'net.py'}:make", *SMALL, "--target", "energy=0.85x", "--target", "energy=0.7x"]
        assert main([*command, "--out", str(folder / "out"), "--html", str(folder / "page.html")]) == 0
        yield folder


SMALL = [
    "--on", "sparse_tensor_core", "--data", "digits", "--method", "magnitude", "--train-first", "--no-reference",
    "--epochs", "2", "--workers", "1", "--device", "cpu",
]  # fmt: skip


def plain(folder: Path) -> dict:
    return json.loads((folder / "out" / "result-magnitude.json").read_text())


def test_a_run_meets_its_targets_with_the_largest_share_that_does(done: Path) -> None:
    result = plain(done)
    assert check(result, closed=True) == "pruning"
    original = result["original"]
    assert original["weights_share"] == 1 and original["densities"]["3"]["Inputs"] < 1  # after ReLU
    for each, share in zip(result["networks"], (0.85, 0.7), strict=True):
        assert each["energy_pJ"] <= share * original["energy_pJ"] and each["exact"]
        assert any(abs(each["weights_share"] - known) < 0.01 for known in SHARES)
    assert result["networks"][1]["weights_share"] < result["networks"][0]["weights_share"]
    assert "What zeros do" in (done / "page.html").read_text()


def test_what_is_left_behind_is_as_sparse_as_accurate_and_as_cheap_as_said(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    each = plain(done)["networks"][1]
    network = load_shrunk(each["folder"], f"{done / 'net.py'}:make")
    assert share_of(network) == pytest.approx(each["weights_share"])
    assert evaluate(network, load_data("digits").test) == each["accuracy"]["test"]["0"]
    densities = f"{each['folder']}/densities.csv"
    command = ["--on", "sparse_tensor_core", "--objective", "energy", "--densities", densities, "--json"]
    capsys.readouterr()
    assert main(["compare", each["files"]["program"], *command]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert (found["cycles"], found["energy_pJ"]) == (each["cycles"], pytest.approx(each["energy_pJ"]))


def test_two_of_four_stay_are_counted_as_structured_and_load_back(tmp_path, capsys) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))\n"
    )
    spec = f"{tmp_path / 'net.py'}:make"
    words = [*SMALL, "--method", "2:4", "--epochs", "1", "--target", "energy=0.95x", "--out", str(tmp_path / "out")]
    assert main(["shrink", spec, *words]) == 0
    result = json.loads((tmp_path / "out" / "result-2-of-4.json").read_text())
    assert check(result, closed=True) == "pruning"
    (each,) = result["networks"]
    assert each["weights_share"] == 0.5
    assert each["energy_pJ"] <= 0.95 * result["original"]["energy_pJ"]
    network = load_shrunk(each["folder"], spec)
    for weight in prunable(network).values():
        assert (weight.detach().reshape(-1, 4).count_nonzero(dim=1) == 2).all()
    assert evaluate(network, load_data("digits").test) == each["accuracy"]["test"]["0"]
    densities = Path(each["folder"]) / "densities.csv"
    assert [line.split(",")[-1] for line in densities.read_text().splitlines()] == ["weights", "1:2", "1:2"]
    command = ["--on", "sparse_tensor_core", "--objective", "energy", "--densities", str(densities), "--json"]
    capsys.readouterr()
    assert main(["compare", each["files"]["program"], *command]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert (found["cycles"], found["energy_pJ"]) == (each["cycles"], pytest.approx(each["energy_pJ"]))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "eyeriss_like", "--target", "energy=0.8x"], "eyeriss_like does nothing about zeros"),
        (["--on", "sparse_tensor_core", "--target", "macs=0.8x"], "a target of macs counts zeros, too"),
        (["--on", "sparse_tensor_core", "--target", "energy=0.8x", "--scratch"], "--scratch draws weights anew"),
        (["--on", "sparse_tensor_core", "--target", "energy=0.8x", "--method", "magnitud"], "did you mean 'magnitude'"),
        (["--on", "sparse_tensor_core", "--target", "energy=0.8x", "--method", "2:3"], "groups of 4 or 8"),
        (["--on", "sparse_tensor_core", "--target", "energy=0.8x", "--method", "4:4"], "some of each and not all"),
        (
            ["--on", "sparse_tensor_core", "--target", "energy=0.8x", "--method", "2:4", "--knobs", "depth"],
            "2:4 has none",
        ),
    ],
)
def test_what_pruning_cannot_do_is_refused(words, message, tmp_path, capsys) -> None:
    command = ["shrink", "five-layer-4", "--data", "digits", "--method", "magnitude", "--device", "cpu"]
    assert main([*command, *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
