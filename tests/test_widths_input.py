"""Widths as people give them: on the command line, per layer, in files, in layer tables; and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.network.jobs import Job
from dovetail.workload.bits_file import read_bits
from dovetail.workload.layer_table import read_csv, read_yaml, write_csv, write_yaml
from dovetail.workload.loading import load_layer, load_network
from dovetail.workload.network import Network
from dovetail.workload.problem import matrix_product
from dovetail.workload.roles import readings
from dovetail.workload.widths import Width, parse_layer_bits, parse_width, parse_widths

MXFP4 = "Weights=4+8/32 Inputs=4+8/32 Outputs=4+8/32"
TABLE = "name,C,M,P,Q,R,S,bits\nconv1,3,8,8,8,3,3,weights=8 inputs=8\nconv2,8,8,8,8,3,3,\nfc,8,10,1,1,1,1,4\n"


def network() -> Network:
    return read_csv(TABLE, file="net.csv", name="net")


def bits_of(network: Network) -> dict[str, str]:
    return {layer.name: layer.problem.bits_text for layer in network.layers}


def test_a_layer_table_has_widths_and_keeps_them_when_written() -> None:
    wanted = {"conv1": "Weights=8 Inputs=8", "conv2": "", "fc": "Weights=4 Inputs=4 Outputs=4"}
    assert bits_of(network()) == wanted
    assert read_csv(write_csv(network()), file="x", name="x") == network()
    assert read_yaml(parse_document(write_yaml(network()), file="x"), name="x") == network()
    with pytest.raises(InputError, match=r"net.csv:2: bits: conv1 has no tensor 'wights'"):
        read_csv(TABLE.replace("weights=8", "wights=8"), file="net.csv", name="net")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["weights=4"], ["Weights=4 Inputs=8", "Weights=4", "Weights=4 Inputs=4 Outputs=4"]),
        (["8", "first:weights=2"], ["Weights=2 Inputs=8 Outputs=8", *["Weights=8 Inputs=8 Outputs=8"] * 2]),
        (["conv*:sums=20", "last:mxfp4"], ["Weights=8 Inputs=8 sums=20", "sums=20", MXFP4]),
    ],
)  # fmt: skip
def test_the_last_of_several_that_speak_of_a_tensor_stands(given: list[str], wanted: list[str]) -> None:
    assert list(bits_of(network().with_bits([parse_layer_bits(text) for text in given])).values()) == wanted


def test_a_layer_or_tensor_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="net has no layer 'conv3' to give widths to, did you mean 'conv"):
        network().with_bits([parse_layer_bits("conv3:8")])
    with pytest.raises(InputError, match="net has no tensor 'wieghts' that could have a width, did you mean 'weights'"):
        network().with_bits([parse_layer_bits("wieghts=8")])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bits.csv", "# by hand\nlayer,bits\n*,weights=4,inputs=8\nfc,8\n"),
        ("bits.csv", "layer,weights, inputs,outputs\n*,4,8,\nfc,8,8,8\n"),
        ("bits.yaml", "'*': {weights: 4, inputs: 8}\nfc: 8\n"),
        ("bits.yml", "'*': weights=4 inputs=8\nfc: 8\n"),
    ],
)
def test_files_give_layers_their_widths(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    found = bits_of(network().with_bits(read_bits(str(tmp_path / name))))
    assert found == {"conv1": "Weights=4 Inputs=8", "conv2": "Weights=4 Inputs=8", "fc": "Weights=8 Inputs=8 Outputs=8"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "layers,bits\n", "b.csv:1: the first line must be layer,bits"),
        ("b.csv", "layer\nfc\n", "b.csv:1: the first line must be layer,bits"),
        ("b.csv", "layer,weights,\nfc,8,8\n", "b.csv:1: the first line must be layer,bits"),
        ("b.csv", "layer,weights,inputs\nfc,,\n", "b.csv:2: a layer without its bits"),
        ("b.csv", "layer,weights,inputs\nfc,8,8,4\n", "b.csv:2: 4 cells under 3 columns"),
        ("b.csv", "layer,weights,weights\nfc,8,4\n", "b.csv:2: bits: 'weights' has two widths"),
        ("b.csv", "layer,weights,inputs\nfc,8,x\n", "b.csv:2: bits: "),
        ("b.csv", "layer,bits\nfc\n", "b.csv:2: a layer without its bits"),
        ("b.csv", "layer,bits\nfc,weights=0\n", "b.csv:2: bits: a width is a whole number"),
        ("b.yaml", "fc: [8]\n", "b.yaml:1: fc: the widths of a layer are a text"),
        ("b.yaml", "a: 8\nfc: {weights: -1}\n", "b.yaml:2: fc: a width is a whole number"),
    ],
)
def test_bad_files_are_refused_where_they_are_wrong(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_bits(str(tmp_path / name))
    assert message in str(caught.value)


def test_widths_follow_tensors_when_they_are_renamed_or_read_in_other_words() -> None:
    product = matrix_product(C=8, M=4, P=6).with_widths(parse_widths("weights=4,inputs=8,sums=20"))
    ways = readings(product, ["C", "M"], ["Weights", "Inputs", "Outputs"])
    assert {way.problem.bits_text for way in ways} == {"Weights=4 Inputs=8 sums=20", "Weights=8 Inputs=4 sums=20"}
    found = load_layer("resnet18:5", rename={"Weights": "Filters"}, bits=[parse_layer_bits("filters=4")])
    assert found.bits_text == "Filters=4"


def test_layers_of_other_widths_are_other_layers_with_results_of_their_own() -> None:
    plain, narrow = network(), network().with_bits([parse_layer_bits("conv2:8")])
    assert len(plain.distinct()) == 3
    architecture = load_architecture("eyeriss_like")
    energies = estimate(architecture)
    keys = {Job(layer.problem, architecture, energies).key for layer in (*plain.layers, *narrow.layers)}
    assert len(keys) == 4
    twice = load_network("resnet18", bits=[parse_layer_bits("layer1.0.conv1:8")])
    assert len(twice.distinct()) == len(load_network("resnet18").distinct()) + 1


def test_a_width_s_text_reads_back() -> None:
    for width in (Width(8), Width(4, 16, 128), Width(1, 1, 2)):
        assert parse_width(str(width)) == width


def test_commands_take_widths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layers", "resnet18", "--bits", "weights=4", "--bits", "fc:8", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {layer["bits"] for layer in layers if layer["layer"] != "fc"} == {"Weights=4"}
    assert layers[-1]["bits"] == "Weights=8 Inputs=8 Outputs=8"
    assert main(["map", "resnet18:5", "--on", "eyeriss_like", "--bits", "wights=4"]) == 2
    assert "has no tensor 'wights' that could have a width" in capsys.readouterr().err


TINY = """architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16, value_widths: any}}
  - !Component {name: buffer, class: SRAM, attributes: {width: 64, datawidth: 16, depth: 1024, technology: 45nm,
      value_widths: [4, 8, 16]}}
  - !Component {name: mac, class: intmac, attributes: {value_widths: "8 16", datawidth: 16, technology: 45nm}}
"""


def test_what_a_design_knows_is_read_its_result_verified_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "arch.yaml").write_text(TINY.replace("45nm", '"45nm"'))
    widths = "bitwidths: {B: 3, A: 8, sums: 20}"
    (tmp_path / "layer.yaml").write_text(f"problem: {{shape: gemm_ABZ, M: 4, N: 2, K: 8, {widths}}}")
    on = ["--on", str(tmp_path / "arch.yaml")]
    design = load_architecture(tmp_path / "arch.yaml")
    assert [getattr(level, "value_widths", ()) for level in design.levels] == [(), (4, 8, 16), (8, 16)]
    assert getattr(design.levels[0], "any_width", False)
    certificate, mapping = tmp_path / "c.json", tmp_path / "m.yaml"
    given = [
        "map",
        str(tmp_path / "layer.yaml"),
        *on,
        "--json",
        "--certificate",
        str(certificate),
        "--save",
        str(mapping),
    ]
    assert main(given) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bits"] == "A=8 B=3 sums=20"
    assert any("3-bit B are padded to 4 bits" in note for note in found["notes"])
    assert main(["verify", str(certificate), *on]) == 0
    assert "the certificate holds" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "layer.yaml"), *on, "--json", "--mapping", str(mapping)]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["bits"], again["energy_pJ"], again["cycles"]) == (found["bits"], found["energy_pJ"], found["cycles"])


def test_a_list_of_widths_that_are_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(TINY.replace("45nm", '"45nm"').replace("[4, 8, 16]", "[4, 0]"))
    with pytest.raises(
        InputError, match=r"arch.yaml:6: .*value_widths: must be any, or bits such as \[4, 8, 16\], found '0'"
    ):
        load_architecture(tmp_path / "arch.yaml")
