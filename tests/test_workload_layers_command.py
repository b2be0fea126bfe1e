"""The command ``layers``: what a person sees, and that what it writes is read back to the same network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.workload.describe import describe, sizes_text
from dovetail.workload.language.reader import bundled_models
from dovetail.workload.layer_table import bundled_names
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network, UnmappedOperation
from dovetail.workload.problem import convolution, linear, matrix_product
from dovetail.workload.problem_yaml import write_problem
from dovetail.workload.shapes import CONVOLUTION_3D, sized

GOLDEN = Path(__file__).parent / "golden/layers_resnet18.txt"


def test_the_table_of_a_network(capsys):
    assert main(["layers", "resnet18"]) == 0
    assert capsys.readouterr().out == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", bundled_names())
def test_tables_fit_a_terminal(name):
    assert max(map(len, describe(load_network(name), every=True, width=80).splitlines()[:-3])) <= 80


def test_sizes_say_what_is_not_one():
    assert sizes_text(linear(C=8, M=4)) == "C8 M4"
    assert sizes_text(convolution(C=3, M=8, P=4, Q=5, R=1, S=7, N=2, stride=(1, 2))) == "N2 C3 M8 RxS 1x7/1x2 PxQ 4x5"
    assert sizes_text(convolution(C=1, M=1, G=6, P=4, Q=4, R=3, S=3, dilation=(2, 2))) == "G6 RxS 3x3 dilated 2 PxQ 4x4"
    assert sizes_text(matrix_product(C=4, M=3, P=2, G=5)) == "G5 C4 M3 P2"
    assert sizes_text(sized(CONVOLUTION_3D, "x", C=2, T=3, R=3, S=3, D=4, P=5, Q=6)) == "C2 RxS 3x3x3 PxQ 4x5x6"


def test_what_cannot_be_mapped_is_said():
    network = Network("n", (Layer("l", linear(C=2, M=2)),), unmapped=(UnmappedOperation("_fft_r2c", 12, 3),))
    assert "no mapping form: 3 x _fft_r2c, 75.0% of the MACs" in describe(network)


def test_written_tables_read_back(tmp_path, capsys):
    for option, target in (("--csv", "t.csv"), ("--yaml", "t.yaml"), ("--timeloop", "problems")):
        path = tmp_path / target
        assert main(["layers", "mobilenet_v2", "--batch", "3", option, str(path)]) == 0
        again = load_network(str(path))
        assert again.batch == 3
        assert again.macs == load_network("mobilenet_v2", batch=3).macs
    assert len(list((tmp_path / "problems").glob("*.yaml"))) == len(load_network("mobilenet_v2").distinct())
    assert main(["layers", "alexnet", "--yaml", str(tmp_path)]) == 0
    assert load_network(str(tmp_path / "alexnet.yaml")) == load_network("alexnet")
    capsys.readouterr()


def test_problems_stay_in_their_folder(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("name,C\n../../escape,3\n/etc/passwd,4\n", encoding="utf-8")
    assert main(["layers", str(table), "--timeloop", str(tmp_path / "a" / "b")]) == 0
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {
        "1_escape.yaml",
        "2_etc_passwd.yaml",
        "index.csv",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "a"}
    capsys.readouterr()


def test_json_is_one_object(capsys):
    assert main(["layers", "efficientnet_b0@32", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    macs = sum(layer["macs"] * layer["repeats"] for layer in printed["layers"])
    assert printed["macs"] == macs == load_network("efficientnet_b0@32").macs
    assert printed["layers"][0]["sizes"]["P"] == 16
    (silu,) = (each for each in printed["free"] if each["operation"] == "silu")
    assert silu["count"] == 49
    assert silu["moved"]["elements"] == silu["moved"]["writes"] > 0


def test_list_names_every_bundled_network(capsys):
    assert main(["layers", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*bundled_names(), *bundled_models()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say which network"),
        (["nowhere.csv"], "nowhere.csv: no such file"),
        (["resnet18", "--csv", "/dev/null/x.csv"], "cannot be written"),
    ],
)
def test_wrong_arguments_end_in_one_message(arguments, message, capsys):
    assert main(["layers", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("resnet19", "no bundled network 'resnet19', did you mean 'resnet18'? (more are known where the extra is"),
        ("torch.nn:Identity", "needs the extra 'torch'"),
        ("m.onnx", "needs the extra 'onnx'"),
        ("m.pt2", "needs the extra 'torch'"),
    ],
)
def test_without_the_extras_the_core_still_answers(model, message, tmp_path):
    for name in ("m.onnx", "m.pt2"):
        (tmp_path / name).write_bytes(b"")
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'timm', 'onnx')))\n"
        "from dovetail.cli.main import main\n"
        "assert main(['layers', 'densenet201', '--batch', '4']) == 0\n"
        f"sys.exit(main(['layers', {model!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_problem_file_is_a_network_of_one(tmp_path, capsys):
    path = tmp_path / "one.yaml"
    path.write_text(write_problem(convolution(C=3, M=8, P=4, Q=4, R=3, S=3)), encoding="utf-8")
    assert main(["layers", str(path)]) == 0
    assert "one, batch 1: 1 layer, 1 distinct" in capsys.readouterr().out
