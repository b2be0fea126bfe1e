"""The components command, end to end."""

import json
import time

import pytest

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import bundled_designs, design_file, load_architecture


def output(capsys, *arguments):
    assert main(["components", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", bundled_designs())
def test_every_bundled_design(capsys, name):
    text = output(capsys, "--on", name)
    for level in load_architecture(name).levels:
        assert f"\n{level.name}  (" in text
    assert "stated accuracy" in text


def test_the_tree_says_how_a_number_came_about(capsys):
    lines = output(capsys, "--on", "eyeriss_like_32nm").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("weights_spad"))
    read = [line.split() for line in lines[start + 1 : start + 6]]
    assert read[0][:3] == ["read", "1.9766", "pJ"]
    assert read[1][:2] == ["storage", "regfile_comparators.read"]
    assert "0.5" in read[1]
    assert "aladdin;" in read[3]
    assert "comparator[1..192]" in read[3]
    assert read[4][-1] == "neurosim_intadder"
    assert any("as write" in line for line in lines)


def test_extrapolation_is_flagged(capsys):
    text = output(capsys, "--on", "simple_weight_stationary")
    spad = text[text.index("\npe_spad") : text.index("\nweight_reg")]
    assert " pJ  * " in spad
    assert "smaller than 64 x 32 bits: scaled down from there" in spad
    found = json.loads(output(capsys, "--on", "simple_weight_stationary", "--json"))
    by_name = {each["level"]: each for each in found["components"]}
    assert by_name["pe_spad"]["extrapolated"]
    assert not by_name["shared_glb"]["extrapolated"]


def test_json_adds_up(capsys):
    found = json.loads(output(capsys, "--on", "simba_like", "--json"))
    assert found["area_um2"] == pytest.approx(sum(each["instances"] * each["area_um2"] for each in found["components"]))
    for each in found["components"]:
        assert set(each["provenance"]) == set(each["energy_pJ"])
        for action, tree in each["provenance"].items():
            assert tree["value"] == each["energy_pJ"][action]
            assert "parts" in tree or tree["estimator"]
    assert {"name", "accuracy_percent", "source", "classes", "valid"} == set(found["estimators"][0])


def test_editing_the_yaml_changes_the_number(capsys, tmp_path):
    text = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {technology: "45nm"}}
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: buffer, class: storage, subclass: mine, attributes: {width: 64, depth: 512, datawidth: 8}}
  - !Component {name: mac, class: intmac}
compound_components:
  version: 0.4
  classes:
  - name: mine
    attributes: {technology: must_specify, width: must_specify, depth: must_specify, share: 1}
    subcomponents: [{name: memory, class: SRAM, attributes: {width: width, depth: depth}}]
    actions:
    - {name: read, subcomponents: [{name: memory, actions: [{name: read, energy_scale: share}]}]}
    - {name: write, subcomponents: [{name: memory, actions: [{name: write}]}]}
"""
    file = tmp_path / "arch.yaml"

    def read(old="", new=""):
        file.write_text(text.replace(old, new) if old else text)
        found = json.loads(output(capsys, "--on", str(file), "--json"))
        return next(each for each in found["components"] if each["level"] == "buffer")["energy_pJ"]["read"]

    assert read("depth: 512", "depth: 1024") > read()
    assert read("share: 1", "share: 0.5") == read() / 2
    assert read("45nm", "32nm") < read()
    file.write_text(text.replace("energy_scale: share", "energy_scale: shares"))
    assert main(["components", "--on", str(file)]) == 2
    error = capsys.readouterr().err
    assert f"{file}:16" in error
    assert "unknown name 'shares', did you mean 'share'?" in error
    assert "component 'buffer'" in error


def test_tables_are_written(capsys, tmp_path):
    ert, art = tmp_path / "e.yaml", tmp_path / "a.yaml"
    output(capsys, "--on", "eyeriss_like", "--ert", str(ert), "--art", str(art))
    assert "system_top_level.shared_glb[1..1]" in ert.read_text()
    assert "system_top_level.mac[1..168]" in art.read_text()


def test_the_estimators_can_be_listed(capsys):
    assert "cacti_runs  stated accuracy 80 %" in output(capsys, "--list")
    assert len(json.loads(output(capsys, "--list", "--json"))["estimators"]) >= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say which design with --on DESIGN"),
        (("--on", "eyeris_like"), "did you mean"),
        (("--on", "eyeriss_like", "--estimator", "aladin"), "did you mean 'aladdin'?"),
        (("--on", "eyeriss_like", "--ert", "/proc/no/e.yaml"), "cannot be written"),
    ],
)
def test_bad_input(capsys, arguments, message):
    assert main(["components", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", bundled_designs())
def test_all_estimates_of_a_design_take_less_than_50_ms(name):
    architecture = load_architecture(name)
    estimate(architecture)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        estimate(architecture)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.05


SIZES = """
variables: {technology: "45nm", global_cycle_seconds: 1e-9}
architecture:
  version: 0.4
  nodes:
  - !Component {name: Far, class: DRAM, attributes: {width: 32, datawidth: 8}}
  - !Component {name: Mid, class: COMPONENT, attributes: {SIZES, datawidth: 8}}
  - !Component {name: mul, class: intmac, attributes: {width: 8}}
"""


@pytest.mark.parametrize("component", ["smartbuffer_SRAM", "smartbuffer_RF", "SRAM", "regfile"])
@pytest.mark.parametrize(
    "older",
    ["memory_depth: 16, memory_width: 16", "data_storage_depth: 16, data_storage_width: 16",
     "depth: 16, block_size: 2", "width: 16, entries: 32", "memory_width: 16, sizeKB: 0.03125"],
)  # fmt: skip
def test_sizes_by_any_of_their_names_cost_the_same(capsys, tmp_path, component, older):
    found = []
    for sizes in ("depth: 16, width: 16", older):
        text = SIZES.replace("COMPONENT", component).replace("SIZES", sizes)
        (tmp_path / "arch.yaml").write_text(text)
        found.append(json.loads(output(capsys, "--on", str(tmp_path / "arch.yaml"), "--json"))["components"][1])
    assert found[0]["energy_pJ"] == found[1]["energy_pJ"]
    assert found[0]["area_um2"] == found[1]["area_um2"]


def test_banks_by_their_older_name_are_banks(capsys, tmp_path):
    found = []
    for banks in ("n_banks: 4", "num_banks: 4", "n_banks: 2"):
        text = SIZES.replace("COMPONENT", "SRAM").replace("SIZES", f"depth: 1024, width: 64, {banks}")
        (tmp_path / "arch.yaml").write_text(text)
        found.append(json.loads(output(capsys, "--on", str(tmp_path / "arch.yaml"), "--json"))["components"][1])
    assert found[0]["energy_pJ"] == found[1]["energy_pJ"] != found[2]["energy_pJ"]


def test_a_class_that_declares_an_older_name_keeps_it(capsys, tmp_path):
    own = """
compound_components:
  version: 0.4
  classes:
  - name: own_storage
    attributes: {memory_width: 4, memory_depth: 4}
    subcomponents: [{name: cell, class: aladdin_register, attributes: {width: memory_width}}]
    actions:
    - {name: read, subcomponents: [{name: cell, actions: [{name: read}]}]}
    - {name: write, subcomponents: [{name: cell, actions: [{name: write}]}]}
"""
    text = SIZES.replace("COMPONENT", "storage, subclass: own_storage")
    (tmp_path / "arch.yaml").write_text(text.replace("SIZES", "memory_width: 16, memory_depth: 8") + own)
    found = json.loads(output(capsys, "--on", str(tmp_path / "arch.yaml"), "--json"))["components"][1]
    assert found["energy_pJ"]["read"] == pytest.approx(16 * 0.009)


def test_a_documents_own_class_goes_before_the_primitive_of_its_name(capsys, tmp_path):
    own = """
compound_components:
  version: 0.4
  classes:
  - name: regfile
    attributes: {width: must_specify, depth: must_specify}
    subcomponents: [{name: cell, class: aladdin_register, attributes: {width: width}}]
    actions:
    - {name: read, subcomponents: [{name: cell, actions: [{name: read}]}]}
    - {name: write, subcomponents: [{name: cell, actions: [{name: write}]}]}
"""
    text = SIZES.replace("COMPONENT", "regfile").replace("SIZES", "depth: 64, width: 8")
    for more, read in (("", 0.42564), (own, 8 * 0.009)):
        (tmp_path / "arch.yaml").write_text(text + more)
        found = json.loads(output(capsys, "--on", str(tmp_path / "arch.yaml"), "--json"))["components"][1]
        assert found["energy_pJ"]["read"] == pytest.approx(read)


def test_a_copy_of_a_bundled_design_costs_what_the_design_costs(capsys, tmp_path):
    copy = tmp_path / "mine.yaml"
    for name in bundled_designs():
        copy.write_text(design_file(name).read_text())
        mine, theirs = (json.loads(output(capsys, "--on", on, "--json")) for on in (str(copy), name))
        assert mine["components"] == theirs["components"]
