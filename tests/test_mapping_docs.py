"""The examples of docs/mapping.md are one mapping in three forms, and its program runs."""

from __future__ import annotations

import re
from pathlib import Path

from dovetail.hardware.reader import load_architecture
from dovetail.mapping.files import parse_mapping
from dovetail.mapping.text import loop_nest_text
from dovetail.workload.problem import convolution

PAGE = (Path(__file__).parent.parent / "docs" / "mapping.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_examples_agree():
    problem = convolution(C=3, M=32, R=3, S=3, P=112, Q=112, stride=(2, 2))
    architecture = load_architecture("eyeriss_like")
    (nest,) = (text for kind, text in BLOCKS if kind == "text")
    compact, directives = (parse_mapping(text, architecture, problem) for kind, text in BLOCKS if kind == "yaml")
    assert compact == directives
    assert loop_nest_text(compact, architecture, problem) == nest


def test_the_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = (text for kind, text in BLOCKS if kind == "python")
    directives = [text for kind, text in BLOCKS if kind == "yaml"][1]
    Path("mapping.yaml").write_text(directives)
    exec(compile(program, "docs/mapping.md", "exec"), {})
    assert capsys.readouterr().out.startswith("DRAM ")
    assert Path("compact.yaml").read_text() == next(text for kind, text in BLOCKS if kind == "yaml")
