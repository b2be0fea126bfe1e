"""Commands that take files in any split: what each file gives, templates as they are, variables of the design."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dovetail.cli.main import main
from test_design_files import FILES as OTHERS
from test_design_files import PROBLEM

FILES = {
    **OTHERS,
    "arch.yaml": OTHERS["arch.yaml"].replace("subclass: own_SRAM", "subclass: SRAM"),
    "variables.yaml": OTHERS["variables.yaml"].replace("datawidth", "technology: '45nm', datawidth"),
}

MAPPING = """\
mapping:
- {target: DRAM, type: temporal, factors: [N=3, C=2, K=2, P=2, Q=2]}
- {target: glb, type: temporal, factors: [N=1]}
"""
TOP = """\
{{add_to_path(cwd())}}
architecture: {{include(cwd() ~ '/' ~ architecture ~ '/arch.yaml', 'architecture')}}
variables: {{include(architecture ~ '/variables.yaml', 'variables')}}
components: {classes: {{include_all('design/o*.yaml', 'components.classes')}}}
problem: {{include(problem | default('layer.yaml'), 'problem')}}
mapper: {algorithm: random}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a design in a folder, its layer and a mapping beside it, and work there."""
    (tmp_path / "design").mkdir()
    for name, text in FILES.items():
        (tmp_path / "design" / name).write_text(text)
    (tmp_path / "layer.yaml").write_text(PROBLEM)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    (tmp_path / "top.yaml.jinja2").write_text(TOP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["evaluate", *words, "--set", "BATCH=3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("notes")
    return found


def test_files_in_any_order_are_the_layer_the_design_and_the_mapping(folder, capsys) -> None:
    on = evaluated(capsys, "layer.yaml", "--on", "design", "--mapping", "mapping.yaml")
    assert on["cycles"] == 48
    files = [f"design/{name}" for name in FILES]
    assert evaluated(capsys, "mapping.yaml", *files, "layer.yaml") == on
    assert evaluated(capsys, "layer.yaml", *files[::-1], "--mapping", "mapping.yaml") == on
    assert evaluated(capsys, "design", "mapping.yaml", "layer.yaml") == on


def test_a_template_on_top_works_as_it_is(folder, capsys) -> None:
    found = evaluated(capsys, "top.yaml.jinja2", "mapping.yaml", "--set", "architecture=design")
    assert (found["layer"], found["design"], found["cycles"]) == ("top", "design", 48)
    assert main(["designs", "top.yaml.jinja2", "--set", "architecture=design", "--set", "BATCH=1"]) == 0
    said = capsys.readouterr()
    assert "problem; mapper: passed over" in said.out
    assert "'mapper' is passed over" in said.err


def test_sizes_of_a_problem_see_the_variables_of_the_design(folder, capsys) -> None:
    (folder / "design/variables.yaml").write_text(FILES["variables.yaml"].replace("datawidth", "BATCH: 3, datawidth"))
    assert main(["evaluate", "layer.yaml", "design", "mapping.yaml"]) == 0
    assert "48" in capsys.readouterr().out
    assert main(["evaluate", "layer.yaml", "--on", "design", "--mapping", "mapping.yaml"]) == 0


def test_what_each_file_gives_is_shown(folder, capsys) -> None:
    assert main(["designs", "design"]) == 0
    said = capsys.readouterr()
    for line in (
        "design/arch.yaml: architecture: 3 nodes",
        "design/variables.yaml: variables: GLB_DEPTH, technology, datawidth",
        "design/own_SRAM.yaml: components: 1 class",
        "design/constraints.yaml: constraints: 1 target",
        "design/mapper.yaml: mapper: passed over",
    ):
        assert line in said.out
    assert said.err.count("'mapper' is passed over") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["layer.yaml"], "no design is given: --on DESIGN, or a file with 'architecture' beside the layer"),
        (["design"], "no layer is given"),
        (["layer.yaml", "layer.yaml", "design"], "more than one layer is given: layer.yaml and layer.yaml"),
        (["resnet18:1", "layer.yaml", "design"], "more than one layer is given: resnet18:1 and layer.yaml"),
        (["--", "layer.yaml", "design", "--json"], "--json stands behind '--', where all words are files"),
        (["layer.yaml", "design", "--on", "eyeriss_like"], "the design is given twice: design/arch.yaml and --on"),
        (["layer.yaml", "design", "strange.yaml"], "strange.yaml:1: holds no problem, no architecture"),
        (["layer.yaml", "design"], "no mapping is given"),
    ],
)
def test_what_is_missing_or_given_twice_is_said(folder, capsys, words, message) -> None:
    (folder / "strange.yaml").write_text("strange: 1\n")
    assert main(["evaluate", *words, "--set", "BATCH=1"]) == 2
    assert message in capsys.readouterr().err


def test_compare_and_its_kin_hand_each_designs_variables_to_problems(folder, capsys) -> None:
    """`N: BATCH_SIZE` is another size on a design with another value, in one and the same call."""
    (folder / "batch.yaml").write_text(PROBLEM.replace("N: BATCH,", "N: BATCH_SIZE,"))
    for name, size in (("three", 3), ("six", 6)):
        (folder / name).mkdir()
        for file, text in FILES.items():
            (folder / name / file).write_text(text)
        said = FILES["variables.yaml"].replace("technology:", f"BATCH_SIZE: {size}, technology:")
        (folder / name / "variables.yaml").write_text(said)
    assert main(["compare", "batch.yaml", "--on", "three", "six", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)["results"]
    assert costs[1]["cycles"] == 2 * costs[0]["cycles"]
    (folder / "layers").mkdir()  # a folder of problems is a network, however it is written
    (folder / "layers/batch.yaml").write_text((folder / "batch.yaml").read_text())
    assert main(["compare", "layers", "--on", "three", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["cycles"] == costs[0]["cycles"]
    family = ["explore", "layers", "--on", "six", "--vary", "glb.depth=64,128", "--json"]
    assert main(family) == 0
    front = json.loads(capsys.readouterr().out)["front"]
    assert {point["cycles"] for point in front} == {costs[1]["cycles"]}
    assert main(["optimum", "batch.yaml", "--on", "six", "--json"]) == 0
