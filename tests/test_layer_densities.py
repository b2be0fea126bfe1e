"""Densities of a network's layers: said, published, measured; and that they reach what is mapped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dovetail.cli.main import main
from dovetail.cli.samples import NAMES
from dovetail.errors import InputError
from dovetail.workload.densities import DENSE, FixedStructured, Hypergeometric
from dovetail.workload.layer_densities import (
    LayerDensities,
    parse_density,
    published_densities,
    read_densities,
    with_densities,
)
from dovetail.workload.layer_table import bundled_names
from dovetail.workload.loading import load_layer, load_network, load_network_or_layer


def test_densities_are_said_for_all_layers_or_some(tmp_path: Path) -> None:
    said = [*read_densities("inputs=0.5,weights=2:4"), *read_densities("first:inputs=1")]
    network = load_network("resnet18", densities=said)
    first, second = network.layers[0].problem, network.layers[1].problem
    assert (first.density("Inputs"), first.density("Weights")) == (DENSE, FixedStructured(0.5))
    assert (second.density("Inputs"), second.density("Weights")) == (Hypergeometric(0.5), FixedStructured(0.5))
    assert second.density("Outputs") == DENSE
    table = tmp_path / "mine.csv"
    table.write_text("# mine\nlayer,weights,inputs\nlayer1.*.conv1,0.3,\nfc,,0.2\n")
    network = load_network("resnet18", densities=read_densities(str(table)))
    found = {layer.name: layer.problem for layer in network.layers if layer.problem.densities}
    assert set(found) == {"layer1.0.conv1", "layer1.1.conv1", "fc"}
    assert found["fc"].density("Inputs") == Hypergeometric(0.2)
    assert found["layer1.0.conv1"].density("Weights") == Hypergeometric(0.3)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("0.5", "gives no tensor its density"),
        ("inputs=1.5", "a share from 0 to 1"),
        ("inputs=5:4", "so many of so many"),
        ("inputs=nan", "a share from 0 to 1"),
        ("inputs=0.5,Inputs=0.6", "two densities"),
        ("conv9:inputs=0.5", "no layer 'conv9'"),
        ("input=0.5", "no tensor 'input', did you mean 'inputs'"),
        ("nowhere.npy", "comes without weights"),
        ("nowhere.csv", "no such file"),
    ],
)
def test_what_is_wrong_is_said(said: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_network("resnet18", densities=read_densities(said))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name,weights\n", 1, "the first line must be"),
        ("layer,weights\nfc,2\n", 2, "a share from 0 to 1"),
        ("layer,weights\n\nfc,0.2,0.3\n", 3, "3 cells under 2 heads"),
        (f"layer,weights\nfc,{'0' * 140_000}\n", 2, "is no row of cells"),
        (f"layer,{'w' * 140_000}\n", 1, "is no row of cells"),
    ],
)
def test_a_table_that_is_wrong_is_shown_its_line(text: str, line: int, message: str, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_densities(str(table))
    assert (caught.value.line, str(caught.value.file)) == (line, str(table))


def test_published_densities_are_of_layers_that_there_are() -> None:
    known = published_densities()
    assert set(known) == {"alexnet", "alexnet_original", "vgg16", "resnet50", "mobilenet_v1_050"}
    assert set(known) <= set(bundled_names())
    for name in known:
        network = load_network(name, densities=read_densities("published"))
        sparse = [layer for layer in network.layers if layer.problem.densities]
        assert len(sparse) == {"resnet50": 10, "mobilenet_v1_050": 8}.get(name, len(network.layers))
    assert load_layer("vgg16:classifier.0", densities=read_densities("published")).density("Weights").share == 0.04
    l19 = load_layer("mobilenet_v1_050:features.54", densities=read_densities("published"))
    assert (l19.bound("C"), l19.bound("M"), l19.bound("P"), l19.density("Inputs").share) == (256, 256, 8, 0.61)
    with pytest.raises(InputError, match="no densities of resnet18 were published"):
        load_network("resnet18", densities=read_densities("published"))


def test_a_layer_alone_has_the_densities_that_speak_of_it() -> None:
    said = [*read_densities("published"), *read_densities("features.0:outputs=0.1")]
    alone = load_network_or_layer("vgg16:features.0", densities=said).layers[0].problem
    assert (alone.density("Weights"), alone.density("Outputs")) == (Hypergeometric(0.58), Hypergeometric(0.1))


NETWORK = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[0].weight.abs_()
        net[0].bias.zero_()
        net[0].bias[:6] = -1e6
        net[2].weight[:, 2:4] = 0
        net[2].weight[:, 4:6] = 0
        net[4].weight[:5] = 0
        net[4].weight[0, 0] = 1
    return net
"""


def test_densities_are_measured_of_weights_and_on_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "net.py").write_text(NETWORK)
    images = np.ones((40, 4, 6, 6), np.float64)
    images[:, 2:] = 0
    np.save(tmp_path / "batch.npy", images)
    spec = f"{tmp_path / 'net.py'}:make"
    command = ["layers", spec, "--input", "1x4x6x6", "--densities", str(tmp_path / "batch.npy"), "--json"]
    assert main(command) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    found = [{one["tensor"]: one.get("density") for one in layer["tensors"]} for layer in layers]
    half = {"kind": "hypergeometric", "share": 0.5}
    assert found[0] == {"Weights": None, "Inputs": half, "Outputs": {"kind": "hypergeometric", "share": 0.25}}
    assert found[1]["Weights"] == {"kind": "fixed_structured", "share": 0.5}  # two of every four input channels
    assert found[1]["Inputs"] == {"kind": "hypergeometric", "share": 0.25}  # after ReLU
    assert found[1]["Outputs"] is None  # every value of it is read
    assert found[2]["Weights"]["share"] == pytest.approx((5 * 64 + 1) / 640)


def test_densities_are_measured_on_images_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from PIL import Image

    from dovetail.accuracy.datasets import NAMES as KNOWN

    assert set(NAMES) == set(KNOWN)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(channels=1):\n"
        "    net = nn.Sequential(nn.Conv2d(channels, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1), nn.Flatten())\n"
        "    nn.init.constant_(net[0].weight, 1.0); nn.init.zeros_(net[0].bias)\n"
        "    net[0].weight.data[1] = -1\n"
        "    return net\n"
        "def colour(): return make(3)\n"
    )

    def read(spec: str, shape: str, data: str) -> float:
        assert main(["layers", f"{tmp_path / 'net.py'}:{spec}", "--input", shape, "--densities", data, "--json"]) == 0
        tensors = json.loads(capsys.readouterr().out)["layers"][1]["tensors"]
        return next(one["density"]["share"] for one in tensors if one["tensor"] == "Inputs")

    assert read("make", "1x1x8x8", "digits") == 0.5, "what is positive in one channel is negative in the other"
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for place in range(10):
            Image.new("RGB", (8, 8), (20 * place, 90, 10)).save(tmp_path / "images" / name / f"{place}.png")
    assert read("colour", "1x3x8x8", str(tmp_path / "images")) == 0.5
    assert main(["layers", f"{tmp_path / 'net.py'}:colour", "--input", "1x3x8x8", "--densities", "digits"]) == 2
    assert "can't run colour on inputs of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4, 6, 6)), "is no array of inputs"),
        (np.array(["a"]), "is no array of numbers"),
        (np.ones((2, 3, 6, 6), np.float32), "can't run make on inputs of 2x3x6x6"),
    ],
)
def test_inputs_that_do_not_do_are_refused(array: np.ndarray, message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "net.py").write_text(NETWORK)
    np.save(tmp_path / "batch.npy", array)
    from dovetail.workload.inputs import parse_input

    with pytest.raises(InputError, match=message):
        load_network(
            f"{tmp_path / 'net.py'}:make",
            inputs=[parse_input("1x4x6x6")],
            densities=read_densities(str(tmp_path / "batch.npy")),
        )


def test_a_density_of_all_is_none() -> None:
    assert parse_density("1") == DENSE
    network = load_network("resnet18")
    assert with_densities(network, [LayerDensities("*", {"inputs": DENSE})]) == network
