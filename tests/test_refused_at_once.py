"""Small files that cost a reader much, or got past it: each is read or refused at once, and said in one line."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

import dovetail
from dovetail.cli.main import main
from dovetail.components.technology import parse_node
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.text import file_names
from dovetail.workload.language.experts import Routing
from dovetail.workload.language.model import Experts
from dovetail.workload.network import unique_names
from test_runs import write_run

FAMILY = """
variables: {{version: 0.4, technology: "45nm"}}
architecture:
  version: 0.4
  nodes:
  - !Component {{name: DRAM, class: DRAM, attributes: {{width: 64, datawidth: 8}}}}
  - !Component {{name: buf, class: SRAM, attributes: {{width: 64, datawidth: 8, depth: {depth}}}}}
  - !Component {{name: mac, class: intmac, attributes: {{datawidth: 8}}}}
family: {{where: {where}}}
"""
NETWORK = "network: n\nlayers:\n- {name: a, kind: convolution, C: 3, M: 4, P: 4, Q: 4}\n"
SCALE_SIM = "Layer name, M, N, K,\n"
WITH_ZEROS = """problem:
  instance: {C: 3, K: 8, P: 4, Q: 4, R: 1, S: 1, N: 1}
  densities: {Weights: {distribution: actual_data, file: %s}}
"""
SPACE = " " * 60_000


def _refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must end with one line and exit code 2; return the line."""
    try:
        code = main(list(words))
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1), said
    return said


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.csv", SCALE_SIM + "x" * 140_000 + ",1,1,1\n"), ("t.csv", "Layer," + "x" * 140_000 + "\n")],
)
def test_a_cell_longer_than_any_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    line = text[: text.index("x" * 100)].count("\n") + 1
    assert f"t.csv:{line}: is no row of cells: field larger" in _refused(capsys, "layers", str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "layer,bits\n" + "x" * 140_000 + ",8\n", "b.csv:2: is no row of cells"),
        ("b.yaml", "a: {weights: [1]}\n", "found a list"),
        ("b.yaml", "a: {weights: {x: 1}}\n", "found a mapping"),
        ("b.yaml", "a: {weights: true}\n", "found 'true'"),
        ("b.yaml", "a: 8.5\n", "found number 8.5"),
    ],
)
def test_bits_of_a_wrong_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, message: str
) -> None:
    (tmp_path / "n.yaml").write_text(NETWORK)
    (tmp_path / name).write_text(text)
    assert message in _refused(capsys, "layers", str(tmp_path / "n.yaml"), "--bits", str(tmp_path / name))


def test_a_colon_without_a_layer_gives_nothing_its_bits(capsys: pytest.CaptureFixture[str]) -> None:
    assert "names no layer" in _refused(capsys, "layers", "alexnet", "--bits", ":8")


def test_many_of_one_name_are_numbered_in_one_go() -> None:
    began = time.process_time()
    count = 30_000
    assert unique_names(["a", "a:3", *["a"] * count])[:4] == ["a", "a:3", "a:2", "a:4"]
    assert file_names(["a", "A-3", *["a"] * count])[:4] == ["a", "A-3", "a-2", "a-4"]
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("depth", "where", "message"),
    [
        ("'!range [64, 256]'", "[]", "nothing varies"),
        ("!range [1, 2, [3]]", "[]", "a step is a number or xN, found a list"),
        ("!range [1, 2, true]", "[]", "a step is a number or xN, found 'true'"),
        ("!choice [64, !range [1, 2]]", "[]", "varies inside of a choice"),
        ("!choice [64, 128]", "[buf_depth]", "is no condition"),
        ("!choice [64, 128]", "[nothing > 1]", "unknown name 'nothing'"),
        ("!choice [64, 128]", "['round(buf_depth, -100000000) > 1']", "round() to -100000000 digits"),
        ("!choice [-1, -2]", "[]", "no member of the family is a design"),
    ],
)
def test_a_family_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], depth: str, where: str, message: str
) -> None:
    (tmp_path / "n.yaml").write_text(NETWORK)
    (tmp_path / "f.yaml").write_text(FAMILY.format(depth=depth, where=where))
    words = ("explore", str(tmp_path / "n.yaml"), "--on", str(tmp_path / "f.yaml"), "--workers", "1")
    assert message in _refused(capsys, *words)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("map", "for P in [0:999999999999)\n" * 500, "P is not from 1 to"),
        ("map", "for X in [0:999999999999)\n" * 500, "X is not from 1 to"),
        ("map", "for P in [0:0)\n", "P is not from 1 to"),
        ("stats", "        A" + SPACE + ": x\n", ""),
        ("stats", SPACE + "A" + SPACE + "\n", ""),
        ("map", "a" * len(SPACE) + ":x\n", "neither a level nor a loop"),
        ("map", "a" + SPACE + "!\n", "neither a level nor a loop"),
    ],
)
def test_a_run_is_read_or_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, message: str
) -> None:
    write_run(tmp_path)
    with next(tmp_path.glob(f"*.{file}.txt")).open("a") as stream:
        stream.write(text)
    began = time.process_time()
    if message:
        assert message in _refused(capsys, "check-run", str(tmp_path))
    else:
        assert main(["check-run", str(tmp_path)]) in (0, 1)
    assert time.process_time() - began < 2


def _array(header: str) -> bytes:
    """Return a NumPy file of a header alone."""
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("w.npy", b"PK\x03\x04 no archive", "is no NumPy array"),
        ("w.npy", b"PK\x05\x06", "is no NumPy array"),
        (
            "w.npy",
            _array(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**40}, {2**40}), }}\n"),
            "can be read",
        ),
        ("w.npy", _array("{'descr': '<f8', 'fortran_order\n"), "can be read"),
        ("w.npy", b"cos\nsystem\n(S'true'\ntR.", "is no NumPy array, as numpy.save writes it"),
        ("../w.npy", _array(""), "lies outside the document's folder"),
        ("/dev/zero", b"", "lies outside the document's folder"),
        ("pipe", b"", "is a device or a pipe"),
        ("n" * 5000, b"", "can be read without"),
    ],
)
def test_a_file_of_zeros_is_an_array_beside_its_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, data: bytes, message: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    if data:
        (folder / file).write_bytes(data)
    os.mkfifo(folder / "pipe")
    (folder / "p.yaml").write_text(WITH_ZEROS % file)
    assert message in _refused(capsys, "layers", str(folder / "p.yaml"))


def test_a_file_of_zeros_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numpy.save(tmp_path / "w.npy", numpy.ones((3, 8, 1, 1)))
    (tmp_path / "p.yaml").write_text(WITH_ZEROS % "w.npy")
    words = ("layers", str(tmp_path / "p.yaml"), "--csv", str(tmp_path / "w.npy"))
    assert "is read, and --csv would write over it" in _refused(capsys, *words)


def test_frequencies_beyond_all_numbers_are_shares_still() -> None:
    experts = Experts(4, 2, ())
    for size in (1e308, 1e-308, 5e-324):
        assert Routing((size,) * 4).chances(experts) == (0.5,) * 4


@pytest.mark.parametrize(("experts", "layers"), [(1 << 24, 1), (1 << 16, 1 << 24)])
def test_experts_without_number_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], experts: int, layers: int
) -> None:
    config = {
        "model_type": "mixtral",
        "vocab_size": 9,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_experts_per_tok": 2,
    }
    config |= {"num_attention_heads": 1, "num_local_experts": experts, "num_hidden_layers": layers}
    (tmp_path / "config.json").write_text(json.dumps(config))
    began = time.process_time()
    assert " experts" in _refused(capsys, "layers", str(tmp_path / "config.json"), "--expert-load", "random")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "constraints",
    [
        f"temporal: {{factors: C=1{SPACE}x}}",
        f"temporal: {{factors: [C={SPACE}1{SPACE}x]}}",
        f"temporal: {{factors: C{SPACE}x}}",
    ],
)
def test_space_in_a_constraint_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], constraints: str
) -> None:
    text = FAMILY.format(depth=64, where="[]").replace("family: {where: []}\n", "")
    there = "depth: 64}"
    (tmp_path / "f.yaml").write_text(text.replace(there, f"{there}, constraints: {{{constraints}}}"))
    began = time.process_time()
    assert "factor" in _refused(capsys, "designs", str(tmp_path / "f.yaml"))
    assert time.process_time() - began < 2


def test_space_in_a_word_of_a_component_costs_nothing() -> None:
    began = time.process_time()
    assert parse_node(f"{SPACE}45{SPACE}nm{SPACE}") == 45
    with pytest.raises(InputError):
        parse_node(f"45{SPACE}x")
    assert time.process_time() - began < 2


@pytest.mark.parametrize("words", [("--pj-per-bit", "1e308"), ("--bandwidth", "1e-300"), ("--time-limit", "1e-300")])
def test_numbers_that_end_in_endless_ones_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]
) -> None:
    (tmp_path / "n.yaml").write_text(NETWORK)
    assert "at most 1e100" in _refused(capsys, "bound", str(tmp_path / "n.yaml"), *words)


def test_python_s_door_refuses_what_is_no_result_and_no_design() -> None:
    endless: dict[str, object] = {}
    endless["a"] = endless
    for value in (endless, {"problem": 10**5000}, {"a": object()}):
        with pytest.raises(InputError, match="is no result"):
            dovetail.load(value)
    with pytest.raises(InputError, match="no design and no file"):
        load_architecture("x" * 5000)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dovetail.map("alexnet:1", on=None), "a design is a name, a path.*found None"),
        (lambda: dovetail.compare("alexnet", on=[None]), "a design is a name, a path.*found None"),
        (lambda: dovetail.compare("alexnet", on=7), "a design is a name, a path.*found an int"),
        (lambda: dovetail.design(["eyeriss_like", 3]), "a design is a name, a path.*found an int"),
        (lambda: dovetail.design(()), "a design is a name, a path.*found none"),
        (lambda: dovetail.compare(5, on="eyeriss_like"), "a network is a name"),
        (lambda: dovetail.evaluate("alexnet:1", "eyeriss_like", 3), "a mapping is a path.*found an int"),
        (lambda: dovetail.load(3.5), "a result is a path.*found a float"),
        (lambda: dovetail.bound("alexnet", word_bits=10**20), "a width is a whole number of bits"),
    ],
)
def test_python_s_door_names_what_a_wrong_kind_should_have_been(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_bits_of_words_are_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.yaml").write_text(NETWORK)
    assert "from 1 to 64" in _refused(capsys, "bound", str(tmp_path / "n.yaml"), "--word-bits", "99999999999999999999")


def test_a_run_s_broken_design_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such folder" in _refused(capsys, "check-run", str(tmp_path / "nowhere"))
    write_run(tmp_path)
    for path in tmp_path.glob("*.yaml"):
        path.unlink()
    (tmp_path / "arch.yaml").write_text("architecture: [")
    said = _refused(capsys, "check-run", str(tmp_path))
    assert "no design lies beside it" in said
    assert "one file there can't be read" in said
    assert "arch.yaml:1" in said
