"""What a person sees of an architecture, and the command that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.document import parse_document
from dovetail.hardware.architecture import Constraints
from dovetail.hardware.constraint_reader import read_group
from dovetail.hardware.describe import constraints_text, describe
from dovetail.hardware.reader import bundled_designs, load_architecture

GOLDEN = Path(__file__).parent / "golden/design_simba_like.txt"


def test_the_table_of_a_design() -> None:
    assert describe(load_architecture("simba_like")) + "\n" == GOLDEN.read_text()


@pytest.mark.parametrize("name", bundled_designs())
def test_every_level_has_its_line(name: str) -> None:
    lines = describe(load_architecture(name)).splitlines()
    for level in load_architecture(name).levels:
        assert any(line.startswith(level.name + " ") for line in lines)


def test_what_a_design_does_about_zeros_is_said() -> None:
    said = describe(load_architecture("dual_side_tensor_core")).split("what is done about zeros\n")[1]
    assert said.splitlines() == [
        "  DRAM: Weights as UOP-UOP-B; Inputs as UOP-UOP-B",
        "  GLB: Weights as UOP-B; Inputs as UOP-B",
        "  buffer: skipping of Outputs on Inputs and Weights",
        "  line_buffer: Weights as B; Inputs as B",
        "  mac: skipping of computations",
    ]
    assert "zeros" not in describe(load_architecture("simba_like"))


def test_every_kind_of_constraint_is_said() -> None:
    text = (
        "{dataspace: {keep_only: [A]}, temporal: {factors_only: [C=0, M<=4], permutation: [R, _, M], no_reuse: [B],"
        " rmw_first_update: [O], default_max_factor: 7, default_min_factor: 2},"
        " spatial: {split: 2, maximize_dims: [[C, M], [R]], no_link_transfer: [I],"
        " no_iteration_over_dataspaces: [X], must_iterate_over_dataspaces: [Y]}}"
    )
    level = load_architecture("simba_like").levels[1]
    said = constraints_text(type(level)(**{**vars(level), "constraints": read_group(parse_document(text), {})}))
    assert said == (
        "keeps A; time: C=all M<=4 and no others, inner to outer R, outermost M, each at most 7, each at least 2, "
        "no reuse of B, first update reads O; space: first 2 on X, no loops over X, loops only over Y, "
        "as large as fits (C M) then (R), no links for I"
    )
    free = type(level)(**{**vars(level), "constraints": Constraints(keep_all_but=frozenset("A"))})
    assert constraints_text(free) == "keeps all but A"


def test_the_command_lists_shows_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["designs"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(bundled_designs())
    assert main(["designs", "simba_like"]) == 0
    assert capsys.readouterr().out == GOLDEN.read_text()
    assert main(["designs", "simba_like", "--yaml"]) == 0
    assert capsys.readouterr().out.startswith("# Simba-like")


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["designs", "simba"]) == 2
    assert "did you mean 'simba_like'" in capsys.readouterr().err
    path = tmp_path / "arch.yaml"
    path.write_text("architecture:\n  nodes:\n  - !Component {name: DRAM, class: DRAN}\n")
    assert main(["designs", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"dovetail: error: {path}:3: architecture.nodes[0].class: unknown class 'DRAN'")
    assert error.count("\n") == 1
