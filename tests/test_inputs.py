"""What a command reads: never replaced by what it writes, and every name given to it stands there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dovetail import inputs
from dovetail.cli.main import COMMANDS, main
from dovetail.document import read_text
from dovetail.errors import InputError
from dovetail.files import write_text
from dovetail.store import Store

PROBLEM = """
variables: {size: 4}
problem:
  shape:
    name: product
    dimensions: [C, M]
    data_spaces:
    - {name: Weights, projection: [C, M]}
    - {name: Inputs, projection: [C]}
    - {name: Outputs, projection: [M], read_write: true}
  instance: {C: size, M: 8}
"""
ARCHITECTURE = """
variables: {{version: 0.4, technology: "45nm", global_cycle_seconds: 1e-9, lines: 1000}}
architecture: {{version: 0.4, nodes: {{{{include('nodes.inc', 'nodes')}}}}}}
"""
NODES = """
nodes:
- !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
- !Component {name: buf, class: SRAM, attributes: {width: 64, datawidth: 8, depth: lines}}
- !Component {name: mac, class: intmac, attributes: {datawidth: 8}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PROBLEM)
    Path("arch.yaml").write_text(ARCHITECTURE.format())
    Path("nodes.inc").write_text(NODES)
    Path("net.csv").write_text("name,C,M,P,Q\na,4,4,2,2\nb,4,8,2,2\n")
    Path("bits.csv").write_text("layer,bits\n*,8\n")
    Path("zeros.csv").write_text("layer,weights\n*,0.5\n")
    Path("link.yaml").symlink_to("p.yaml")
    os.link("p.yaml", "hard")
    assert main(["components", "--on", "arch.yaml", "--ert", "ert.yaml"]) == 0
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("map p.yaml --on arch.yaml --samples 2 --save p.yaml", "p.yaml"),
        ("map p.yaml --on arch.yaml --samples 2 --save ./link.yaml", "p.yaml"),
        ("map p.yaml --on arch.yaml --samples 2 --certificate hard", "p.yaml"),
        ("map ./link.yaml --on arch.yaml --samples 2 --save p.yaml", "link.yaml"),
        ("map p.yaml --on arch.yaml --samples 2 --certificate arch.yaml", "arch.yaml"),
        ("map p.yaml --on arch.yaml --samples 2 --certificate nodes.inc", "{}/nodes.inc"),
        ("map p.yaml --on . --samples 2 --certificate arch.yaml", "arch.yaml"),
        ("map p.yaml --on arch.yaml --ert ert.yaml --samples 2 --save ert.yaml", "ert.yaml"),
        ("components --on arch.yaml --ert arch.yaml", "arch.yaml"),
        ("components --on arch.yaml --art nodes.inc", "{}/nodes.inc"),
        ("layers net.csv --csv net.csv", "net.csv"),
        ("layers net.csv --yaml ../{}/net.csv", "net.csv"),
        ("compare net.csv --on arch.yaml --csv net.csv", "net.csv"),
        ("optimum net.csv --on arch.yaml --csv net.csv", "net.csv"),
        ("report net.csv --on arch.yaml --html net.csv", "net.csv"),
        ("layers net.csv --bits bits.csv --csv bits.csv", "bits.csv"),
        ("bound net.csv --densities zeros.csv --svg ./zeros.csv", "zeros.csv"),
        ("sweep-layer net.csv:a --on arch.yaml --dim M --values 1:2 --svg net.csv", "net.csv"),
    ],
)
def test_no_output_takes_the_place_of_an_input(folder, capsys, command, file):
    before = contents(folder)
    (folder / "d").mkdir()
    command = command.replace("--on .", "--on d") if "--on . " in command else command
    if "--on d" in command:
        for name in ("arch.yaml", "nodes.inc"):
            (folder / "d" / name).symlink_to(folder / name)
        file = "d/arch.yaml"
    option = command.split()[-2]
    assert main(command.format(folder.name).split()) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"dovetail: error: {file.format(folder)}: is read, and {option} would write over it; name another file\n"
    )
    assert contents(folder) == before


def test_files_written_into_a_folder_do_not_take_the_place_of_inputs_either(folder, capsys):
    assert main(["layers", "net.csv", "--yaml", "net.yaml"]) == 0
    before = contents(folder)
    capsys.readouterr()
    assert main(["layers", "net.yaml", "--yaml", "."]) == 2
    assert (
        capsys.readouterr().err
        == "dovetail: error: net.yaml: is not written: it was read, and what it said would be lost\n"
    )
    assert contents(folder) == before
    assert main(["layers", "net.csv", "--timeloop", "problems"]) == 0
    assert main(["layers", "./problems", "--timeloop", "problems"]) == 2
    assert "index.csv: is not written: it was read" in capsys.readouterr().err


def test_outputs_of_a_bundled_design_do_not_replace_it(folder, capsys):
    from dovetail.hardware.reader import design_file

    file = design_file("eyeriss_like")
    before = file.read_bytes()
    assert main(["components", "--on", "eyeriss_like", "--ert", str(file)]) == 2
    assert f"{file}: is read, and --ert would write over it" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_the_store_is_no_output(folder, capsys, monkeypatch):
    monkeypatch.setenv("DOVETAIL_CACHE", str(folder / "cache"))
    with Store.open() as opened:
        opened.put("a", 1)
    (store,) = (folder / "cache").glob("results*.sqlite3")
    assert main(["compare", "net.csv", "--on", "arch.yaml", "--csv", str(store)]) == 2
    assert "is read, and --csv would write over it" in capsys.readouterr().err


def test_a_program_may_write_what_it_has_read(folder):
    text = read_text(Path("p.yaml"))
    write_text(Path("p.yaml"), text + "\n")
    with inputs.watching([("--save", Path("p.yaml"))]), pytest.raises(InputError, match="--save would write over it"):
        read_text(Path("p.yaml"))
    with inputs.watching([]):
        read_text(Path("p.yaml"), own=True)
        write_text(Path("p.yaml"), text)
    assert read_text(Path("p.yaml")) == text


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("map p.yaml --on arch.yaml --json --save -", "--json and --save"),
        ("map p.yaml --on arch.yaml --certificate /dev/stdout --json", "--json and --certificate"),
        ("map p.yaml --on arch.yaml --save - --certificate -", "--save and --certificate"),
        ("layers net.csv --csv - --json", "--json and --csv"),
        ("compare net.csv --on arch.yaml --csv - --json", "--json and --csv"),
        ("components --on arch.yaml --json --ert -", "--json and --ert"),
    ],
)
def test_two_things_are_not_mixed_on_stdout(folder, capfd, words, options):
    assert main(words.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"dovetail: error: {options} would both be printed; name a file for one of them\n"


#: A command each with an option ``--set``, whose files know ``size`` or ``lines``.
SETTING = {
    "advise": "p.yaml --on arch.yaml",
    "explore": "p.yaml --on arch.yaml --vary buf.depth=8,16",
    "bits": "five-layer --data digits --on arch.yaml --target energy=0.5x",
    "bound": "p.yaml --on arch.yaml",
    "compare": "net.csv p.yaml --on arch.yaml --samples 2",
    "components": "--on arch.yaml",
    "designs": "arch.yaml",
    "evaluate": "p.yaml --on arch.yaml --mapping m.yaml",
    "explain": "p.yaml --on arch.yaml",
    "layers": "p.yaml",
    "map": "p.yaml --on arch.yaml --samples 2",
    "optimum": "p.yaml --on arch.yaml",
    "report": "p.yaml --on arch.yaml",
    "shrink": "five-layer --data digits --on arch.yaml --target edp=0.5x",
    "tokens": "gpt2 --on arch.yaml",
    "sweep-layer": "p.yaml --on arch.yaml --dim M --values 1:2",
    "verify": "c.json --on arch.yaml",
}


def test_every_command_that_sets_values_is_among_these(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        # A run's folder is what `check-run` needs: see `test_runs`.
        assert ("--set NAME=VALUE" in capsys.readouterr().out) == (command in SETTING or command == "check-run")


@pytest.mark.parametrize("command", sorted(SETTING))
def test_a_name_that_no_file_has_is_refused(folder, capsys, command):
    assert main(["map", "p.yaml", "--on", "arch.yaml", "--save", "m.yaml", "--certificate", "c.json"]) == 0
    capsys.readouterr()
    words = [command, *SETTING[command].split()]
    near, meant = ("sizze", "size") if command == "layers" else ("linez", "lines")
    if command in ("bits", "shrink"):
        pytest.importorskip("torch")
    if command == "bits":
        pytest.importorskip("brevitas")
    assert main([*words, "--set", f"{near}=2000"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(
        f"dovetail: error: --set {near}: no file that was read has this name, did you mean '{meant}'?\n"
    )
    assert said.count("\n") == 1
    with pytest.raises(SystemExit) as end:
        main([*words, "--set", f"{meant}=2000", "--set", f"{meant}=2000"])
    assert end.value.code == 2
    assert f"argument --set: '{meant}' is given twice" in capsys.readouterr().err


def test_names_that_files_have_are_taken_wherever_they_stand(folder, capsys):
    given = ["--set", "lines=2000", "--set", "size=2", "--set", "technology=32nm", "--set", "global_cycle_seconds=2e-9"]
    assert main(["map", "p.yaml", "--on", "arch.yaml", "--samples", "2", *given]) == 0
    assert main(["compare", "p.yaml", "net.csv", "--on", "arch.yaml", "--samples", "2", *given]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("map p.yaml --on arch.yaml arch.yaml", "arch.yaml: is named twice; name every file of a design once"),
        ("map p.yaml --on {0}/arch.yaml arch.yaml", "arch.yaml: is named twice; name every file of a design once"),
        ("map p.yaml --on /dev/null", "/dev/null: is a device or a pipe; only plain files are read"),
        ("map p.yaml --on pipe", "pipe: is a device or a pipe; only plain files are read"),
        ("layers {0}/pipe", "{0}/pipe: is a device or a pipe; only plain files are read"),
        ("layers pipe.onnx", "pipe.onnx: is a device or a pipe; only plain files are read"),
        ("layers pipe.pkl", "pipe.pkl: is a device or a pipe; only plain files are read"),
        ("map p.yaml --on arch.yaml --set size=nan", "p.yaml:11: problem.instance.C: must be a whole number, found "
         "text 'size', which is text 'nan'"),
        ("map p.yaml --on arch.yaml --set size=.nan", "p.yaml:11: problem.instance.C: must be a whole number, found "
         "text 'size', which is number nan"),
        ("layers p.yaml --batch 3", "p has no dimension that is a batch (N beside P), so its batch size cannot be 3; "
         "change its sizes where they are written"),
    ],
)  # fmt: skip
def test_the_reason_is_the_right_one(folder, capsys, words, said):
    for name in ("pipe", "pipe.onnx", "pipe.pkl"):
        os.mkfifo(name)
    assert main(words.format(folder).split()) == 2
    assert capsys.readouterr().err == f"dovetail: error: {said.format(folder)}\n"


def test_what_must_make_room_for_a_new_name_is_said(folder, capsys):
    note = "M is called C, to make room for what is called M now\n"
    assert main(["map", "p.yaml", "--on", "arch.yaml", "--samples", "2", "--rename", "C=M"]) == 0
    assert f"dovetail: note: p: {note}" in capsys.readouterr().err
    assert main(["layers", "net.csv", "--rename", "C=M"]) == 0
    assert capsys.readouterr().err == f"dovetail: note: net: {note}"
    for command in ("explain p.yaml", "sweep-layer p.yaml --dim M --values 1:2", "compare p.yaml"):
        assert main([*command.split(), "--on", "arch.yaml", "--rename", "C=M"]) == 0
        assert f"dovetail: note: p: {note}" in capsys.readouterr().err
    assert main(["map", "p.yaml", "--on", "arch.yaml", "--samples", "2", "--rename", "C=M,M=C"]) == 0
    assert "to make room" not in capsys.readouterr().err
