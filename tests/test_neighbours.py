"""What neighbours pass on is priced by counting the same mapping without, and said wherever the mapping is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dovetail.api.schema import check
from dovetail.cli import explain as explain_command
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.certificate_file import read_certificate, write_certificate
from dovetail.mapper.neighbours import passed_on
from dovetail.mapper.search import search
from dovetail.mapper.verify import Verdict, verify
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import convolution

DESIGN = """
variables: {version: 0.4, global_cycle_seconds: 1e-9, technology: "32nm"}
architecture:
  version: 0.4
  nodes:
  - !Component {name: memory, class: DRAM, attributes: {type: "LPDDR4", width: 64, datawidth: 8}}
  - !Component {name: buffer, class: smartbuffer_SRAM, attributes: {depth: 512, width: 64, datawidth: 8}}
  - !Container
    name: row
    spatial: {meshX: 8}
    constraints: {spatial: {factors: [C=1, M=1], no_link_transfer: [NAMED]}}
  - !Component {name: mac, class: intmac, attributes: {multiplier_width: 8, adder_width: 32}}
"""
PROBLEM = convolution(C=2, M=2, P=8, Q=4, R=3, S=3, name="slides")


def written(folder: Path, named: str = "") -> Path:
    path = folder / f"row{named}.yaml"
    path.write_text(DESIGN.replace("NAMED", named))
    return path


def test_the_same_mapping_is_counted_as_if_nothing_were_passed_on(tmp_path: Path) -> None:
    linked = load_architecture(str(written(tmp_path)))
    alone = load_architecture(str(written(tmp_path, "Weights, Inputs, Outputs")))
    energies = estimate(linked)
    found = search(PROBLEM, linked, energies)
    passed = passed_on(found.mapping, found.cost, PROBLEM, linked, energies)
    assert passed is not None
    assert passed.words > 0
    without = evaluate(found.mapping, PROBLEM, alone, energies)
    assert (passed.cycles, passed.energy_pJ) == (without.cycles, without.energy_pJ)
    assert passed.energy_pJ > found.cost.energy_pJ
    assert passed_on(found.mapping, without, PROBLEM, alone, energies) is None
    assert "the bound" not in passed.said(found.cost, exact=True)
    assert "the bound has them pass on" in passed.said(found.cost, exact=False)
    more = passed.energy_pJ / found.cost.energy_pJ - 1
    assert f"energy {more:+.1%}".replace("%", " %") in passed.said(found.cost, exact=True)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a design, a layer and a certificate."""
    folder = tmp_path_factory.mktemp("neighbours")
    design, energies = load_architecture(str(written(folder))), estimate(load_architecture(str(folder / "row.yaml")))
    found = search(PROBLEM, design, energies)
    write_certificate(folder / "c.json", found, PROBLEM, design, energies)
    (folder / "slides.csv").write_text("name,kind,C,M,P,Q,R,S\nslides,convolution,2,2,8,4,3,3\n")
    return folder


@pytest.fixture(autouse=True)
def beside(mapped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in its folder, and find in the store what others have found."""
    monkeypatch.chdir(mapped)
    monkeypatch.setenv("DOVETAIL_CACHE", str(mapped / "cache"))


def test_map_and_certificates_say_it(mapped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claimed = json.loads((mapped / "c.json").read_text())["neighbours"]
    assert claimed["words"] > 0
    assert main(["map", "slides.csv:slides", "--on", "row.yaml", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    check(said)
    assert said["neighbours"] == claimed
    assert main(["map", "slides.csv:slides", "--on", "row.yaml"]) == 0
    assert f"neighbours pass on {claimed['words']:,} words" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["words", "cycles", "energy_pJ", "edp_J_cycle", "", "as it is"])
def test_no_number_of_it_can_be_changed(mapped: Path, name: str) -> None:
    content = json.loads((mapped / "c.json").read_text())
    claimed = content["neighbours"]
    if name != "as it is":
        content["neighbours"] = {**claimed, name: claimed[name] * 2} if name else None
    content["key"] = content_key({key: value for key, value in content.items() if key != "key"})
    (mapped / "changed.json").write_text(json.dumps(content))
    design = load_architecture("row.yaml")
    checks = verify(read_certificate(mapped / "changed.json"), design, energies=estimate(design))
    rejected = [one.what for one in checks if one.verdict is Verdict.REJECTED]
    assert rejected == ([] if name == "as it is" else ["what neighbours pass on, and are worth"])


def test_explain_says_it(mapped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    design = load_architecture("row.yaml")
    found = search(PROBLEM, design, estimate(design))
    monkeypatch.setattr(explain_command, "stored_search", lambda _store: lambda *_given, **_options: found)
    monkeypatch.setattr(explain_command, "one_bit", lambda *_given, **_options: ((),))
    given = ["explain", "slides.csv:slides", "--on", "row.yaml"]
    assert main([*given, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    check(said)
    assert said["neighbours"] == json.loads((mapped / "c.json").read_text())["neighbours"]
    assert main(given) == 0
    assert f"neighbours pass on {said['neighbours']['words']:,} words" in " ".join(capsys.readouterr().out.split())
