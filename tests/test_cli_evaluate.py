"""The command ``evaluate``, from files: the reference's numbers, both forms of mappings, tables, warnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import oracle
from dovetail.cli.main import main
from dovetail.components.accelergy_tables import write_art, write_ert
from dovetail.hardware.reader import load_architecture
from dovetail.mapping.directives import mapping_from_directives
from dovetail.mapping.files import write_mapping
from dovetail.workload.problem_yaml import write_problem

KNOWN = oracle.architectures()
CASES = {
    name: [case for case in oracle.cases() if case["architecture"] == name][::12]
    for name in ("eyeriss_like", "simple_weight_stationary", "simple_output_stationary", "simba_like")
    if name in KNOWN
}


def written(case: oracle.Case, folder: Path, form: str = "timeloop") -> list[str]:
    """Write a case of the oracle as files; returns the command's arguments."""
    name, problem = case["architecture"], oracle.problem(case)
    architecture = load_architecture(name)
    energies = oracle.energies(KNOWN[name])
    mapping = mapping_from_directives(case["mapping"], architecture, problem)
    (folder / "problem.yaml").write_text(write_problem(problem))
    write_mapping(folder / "mapping.yaml", mapping, architecture, problem, form)  # type: ignore[arg-type]
    write_ert(energies, architecture, folder / "ert.yaml")
    write_art(energies, architecture, folder / "art.yaml")
    files = {part: str(folder / f"{part}.yaml") for part in ("mapping", "ert", "art")}
    options = [word for part, file in files.items() for word in (f"--{part}", file)]
    return ["evaluate", str(folder / "problem.yaml"), "--on", name, *options]


@pytest.mark.parametrize("form", ["timeloop", "native"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_equals_the_reference_from_files(name, form, tmp_path, capsys):
    evaluated = 0
    for case in CASES[name]:
        if case["expect"] is None:
            assert main([*written(case, tmp_path, form), "--json"]) == 2
            assert "dovetail: error: " in capsys.readouterr().err
            continue
        assert main([*written(case, tmp_path, form), "--json"]) == 0
        found, wanted = json.loads(capsys.readouterr().out), case["expect"]["summary"]
        assert found["cycles"] == wanted["cycles"]
        assert found["energy_pJ"] * 1e-6 == pytest.approx(wanted["energy_uJ"], abs=0.0051)
        assert found["utilization"] * 100 == pytest.approx(wanted["utilization"], abs=0.0051)
        assert float(f"{found['edp_J_cycle']:.2e}") == wanted["edp"]
        evaluated += 1
    assert evaluated > 2
