"""Designs of several files, variables given from outside, and folders of problems with a bad file among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.errors import InputError
from dovetail.hardware.architecture import Relation, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.workload.loading import load_layer, load_network

ARCHITECTURE = """\
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Component {name: glb, class: own_buffer, subclass: own_SRAM, attributes: {depth: GLB_DEPTH, width: 64}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 16}}
"""
FILES = {
    "arch.yaml": ARCHITECTURE.replace("class: own_buffer", "class: storage"),
    "variables.yaml": "variables: {version: 0.4, GLB_DEPTH: 64 * 2, datawidth: 16}\n",
    "own_SRAM.yaml": "components: {version: 0.4, classes: [{name: own_SRAM, attributes: {}, subcomponents: []}]}\n",
    "other.yaml": "components: {version: 0.4, classes: [{name: other, attributes: {}, subcomponents: []}]}\n",
    "constraints.yaml": "constraints: {targets: [{target: glb, type: temporal, factors: [R=1]}]}\n",
    "more.yaml": "constraints: {targets: [{target: glb, type: bypass, bypass: [Weights]}]}\n",
    "mapper.yaml": "mapper: {version: 0.4, algorithm: random}\n",
}
PROBLEM = """\
problem:
  shape: cnn_layer
  instance: {N: BATCH, C: 2, K: 2, P: 2, Q: 2, R: 1, S: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "design").mkdir()
    for name, text in FILES.items():
        (tmp_path / "design" / name).write_text(text)
    (tmp_path / "layer.yaml").write_text(PROBLEM)
    return tmp_path / "design"


def test_files_in_any_order_and_their_folder_make_one_design(folder: Path) -> None:
    paths = [folder / name for name in FILES]
    design = load_architecture(paths)
    assert load_architecture(paths[::-1]).levels == design.levels
    assert load_architecture(folder).levels == design.levels
    assert load_architecture(paths).name == load_architecture(folder).name == "design"
    glb = design.level("glb")
    assert isinstance(glb, Storage)
    assert glb.words == 128 * 4
    assert glb.constraints.bypass == {"Weights"}
    assert [(one.dimension, one.relation, one.value) for one in glb.constraints.temporal.factors] == [
        ("R", Relation.EQ, 1)
    ]
    assert sorted(node.mapping()["name"].text() for node in design.component_classes) == ["other", "own_SRAM"]


def test_a_bundled_design_takes_constraints_of_ones_own(folder: Path) -> None:
    (folder / "mine.yaml").write_text("constraints: {targets: [{target: DRAM, type: temporal, factors: [N=1]}]}\n")
    mine = load_architecture(["eyeriss_like", folder / "mine.yaml"])
    assert mine.name == "eyeriss_like"
    assert "N" in {one.dimension for one in mine.level("DRAM").constraints.temporal.factors}
    assert mine.levels[1:] == load_architecture("eyeriss_like").levels[1:]


def test_what_files_contradict_each_other_in_is_said_with_both_places(folder: Path) -> None:
    (folder / "again.yaml").write_text(ARCHITECTURE)
    with pytest.raises(InputError, match=r"arch.yaml:1: architecture: a second architecture; .*again.yaml:1"):
        load_architecture(folder)
    (folder / "again.yaml").write_text("variables: {GLB_DEPTH: 3}\n")
    with pytest.raises(InputError, match=r"variables.yaml:1: .*GLB_DEPTH: has another value already: .*again.yaml:1"):
        load_architecture(folder)
    (folder / "again.yaml").unlink()
    (folder / "arch.yaml").unlink()
    (folder.parent / "empty").mkdir()
    with pytest.raises(InputError, match="the key 'architecture' is missing"):
        load_architecture(folder)
    with pytest.raises(InputError, match=r"the folder holds no \.yaml file"):
        load_architecture(folder.parent / "empty")


def test_values_given_stand_above_the_files_and_reach_templates(folder: Path) -> None:
    assert load_architecture(folder, data={"GLB_DEPTH": 5}).level("glb").words == 20
    (folder / "arch.yaml").write_text(FILES["arch.yaml"].replace("GLB_DEPTH", "{{lines}}"))
    assert load_architecture(folder, data={"lines": 7}).level("glb").words == 28


def test_commands_take_several_files_and_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(folder / name) for name in FILES if name not in ("own_SRAM.yaml", "other.yaml")]
    layer = str(folder.parent / "layer.yaml")
    costs = folder.parent / "ert.yaml"
    actions = ", ".join(f"{{name: {name}, energy: 1}}" for name in ("read", "write", "update", "compute"))
    tables = ", ".join(f"{{name: {name}, actions: [{actions}]}}" for name in ("DRAM", "glb", "mac"))
    costs.write_text(f"ERT: {{version: 0.4, tables: [{tables}]}}\n")
    command = ["map", layer, "--on", *files, "--ert", str(costs), "--json"]
    assert main([*command, "--set", "BATCH=3", "--set", "GLB_DEPTH=64"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["computes"] == 3 * 2**4
    assert main(command) == 2
    assert "unknown name 'BATCH'" in capsys.readouterr().err
    assert main(["designs", str(folder), "--set", "GLB_DEPTH=32"]) == 0
    assert "128" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, "--set", "BATCH"])
    assert "'BATCH' is not of the form NAME=VALUE" in capsys.readouterr().err


def test_one_bad_problem_in_a_folder_is_named_and_does_not_hide_the_others(tmp_path: Path) -> None:
    good = PROBLEM.replace("N: BATCH", "N: 1").replace("S: 1}", "S: 1, histograms: {Weights: 0.5}}")
    for name in ("1", "2"):
        (tmp_path / f"{name}.yaml").write_text(good)
    (tmp_path / "3.yaml").write_text(good.replace("C: 2", "C: 0"))
    network = load_network(f"{tmp_path}/")
    assert [layer.name for layer in network.layers] == ["1", "2"]
    assert [(operation.name, operation.macs) for operation in network.unmapped] == [("3", None)]
    assert network.notes[0].startswith(f"not read: {tmp_path / '3.yaml'}:3: problem.instance.C: must be at least 1")
    assert network.notes[1:] == (
        f"{tmp_path / '1.yaml'}:3 and 1 more: 'histograms' is passed over: "
        "no energy here depends on the values of data",
    )
    for name in ("1", "2"):
        (tmp_path / f"{name}.yaml").unlink()
    with pytest.raises(InputError, match=r"3.yaml:3: problem.instance.C"):
        load_network(f"{tmp_path}/")


def test_values_reach_the_problem(folder: Path) -> None:
    assert load_layer(str(folder.parent / "layer.yaml"), variables={"BATCH": 3}).bound("N") == 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.cfg", "architecture = { };", "is in the libconfig form of Timeloop's first versions"),
        ("z.yaml", "operational_array: {}\nmemories: {}\n", "z.yaml:1: operational_array: the key 'dimensions'"),
        ("f.yaml", "arch: {nodes: []}\n", "f.yaml:1: arch.nodes: has no !Compute for a layer"),
    ],
)
def test_empty_files_of_other_tools_are_refused_in_their_own_words(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        load_architecture(tmp_path / name)
    assert said in str(caught.value)


TARGET = "{target: glb, type: bypass, bypass: [Weights]}"


@pytest.mark.parametrize(
    "text",
    [
        f"constraints_II: {{version: 0.4, targets: [{TARGET}]}}\nmy_constraints: {{targets: []}}\n",
        f"mapspace_constraints: [{TARGET}]\n",
        f"mapspace: {{targets: [{TARGET}]}}\n",
        f"mapspace: {{targets: [{TARGET.replace('target:', 'name:')}]}}\n",
        f"architecture_constraints: {{targets: [{TARGET.replace('target:', 'name:')}]}}\nmapspace_constraints: []\n",
        f"mapspace: {{constraints: [{TARGET}]}}\n",
    ],
)
def test_constraints_may_stand_as_people_write_them(folder: Path, text: str) -> None:
    """A key that contains a section's name, the list itself, under the mapspace, ``name`` for ``target``."""
    wanted = load_architecture(folder)
    (folder / "more.yaml").write_text(text)
    assert load_architecture(folder).levels == wanted.levels
    beside = [folder / name for name in FILES if name != "more.yaml"]
    (folder / "other_constraints.yaml").write_text("constraints_III: [{target: glb, type: temporal, factors: [S=1]}]\n")
    both = load_architecture([*beside, folder / "more.yaml", folder / "other_constraints.yaml"]).level("glb")
    assert {one.dimension for one in both.constraints.temporal.factors} == {"R", "S"}
    assert both.constraints.bypass == {"Weights"}


def test_sections_whose_key_contains_a_name_add_up(folder: Path) -> None:
    text = "globals: {environment_variables: {ONE: 1}}\nglobals_of_mine: {environment_variables: {TWO: 2}}\n"
    text += "my_components: {classes: [{name: third, attributes: {}, subcomponents: []}]}\n"
    (folder / "globals.yaml").write_text(text)
    assert load_architecture(folder).levels == load_architecture([folder / name for name in FILES]).levels
    (folder / "globals.yaml").write_text(text.replace("{TWO: 2}", "{ONE: 3}"))
    with pytest.raises(InputError, match="has another value already"):
        load_architecture(folder)


def test_a_key_of_cimloops_is_refused_by_name(folder: Path) -> None:
    text = FILES["arch.yaml"].replace("{name: glb,", "{name: glb, max_utilization: {spatial: {factors: [C=4]}},")
    (folder / "arch.yaml").write_text(text)
    with pytest.raises(InputError, match=r"max_utilization: is CiMLoop's: its Python makes a layer of it"):
        load_architecture(folder)
