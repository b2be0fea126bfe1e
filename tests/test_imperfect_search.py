"""The search with imperfect factors: never worse than the best perfect mapping, and no mapping is below its bound."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import CapacityError, MappingError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.imperfect import search_imperfect
from dovetail.mapper.imperfect.all import counted, cover
from dovetail.mapper.imperfect.floor import least_of
from dovetail.mapper.imperfect.space import crowd_of
from dovetail.mapper.mapspace import Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapper.padded import search_padded
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.check import violations
from dovetail.mapping.constraints import bound_to
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.problem_yaml import write_problem
from model_strategies import Setup, setups
from test_imperfect import _array


@pytest.fixture(scope="module")
def eyeriss() -> tuple[Architecture, EnergyTable]:
    architecture = load_architecture("eyeriss_like")
    return architecture, estimate(architecture)


@given(setups(special=True, imperfect=True))
@settings(max_examples=150)
def test_no_mapping_is_below_the_bound(setup: Setup) -> None:
    """By energies made good for instances that are cut off; cycles are those of the model."""
    mapping, problem, architecture, energies = setup
    bound = bound_to(architecture, problem)
    try:
        cost = evaluate(mapping, problem, architecture, energies)
    except (CapacityError, MappingError):
        return
    for objective in Objective:
        space = Mapspace.of(problem, bound, energies, objective)
        least, crowd = least_of(space), crowd_of(space, mapping)
        assert least.value(objective) <= crowd.rank[0, 0] * (1 + 1e-9)
        assert least.cycles <= cost.cycles
        assert objective.value_of(cost.energy_pJ, cost.cycles) <= crowd.rank[0, 0] * (1 + 1e-9)


@given(st.integers(1, 90), st.lists(st.integers(1, 14), min_size=4, max_size=4), st.permutations([0, 0, 1, 2]))
@settings(max_examples=300)
def test_what_hides_at_the_end_of_a_dimension_costs_passes(bound: int, sizes: list[int], axes: list[int]) -> None:
    """What the model counts of a dimension, times its passes, is no less than its size times the fewest passes."""
    factors, last, left = np.ones((3, 5), np.int64), np.ones((2, 5), np.int64), bound
    for level, (size, axis) in enumerate(zip([*sizes, bound], [*axes, 0], strict=True)):
        factor = left if level == 4 else min(size, left)  # from the inside out; the outermost takes the rest
        factors[axis, 4 - level], last[int(axis > 0), 4 - level] = factor, left % factor or factor
        left = -(-left // factor)
    steps, units = int(factors[0].prod()), int(factors[1:].prod())
    shown = counted(factors, last)
    assert shown * steps >= bound * -(-bound // units) * (1 - 1e-12)
    assert shown >= bound / 2


@pytest.mark.parametrize(("tokens", "at_most"), [(197, 31.0)])
def test_the_search_begins_at_sizes_that_divide(eyeriss, tokens: int, at_most: float) -> None:
    """Attention over 197 tokens: padded it is 21 times better than at 197, and the search is at least as good."""
    architecture, energies = eyeriss
    problem = convolution(C=64, M=tokens, P=tokens, Q=1, R=1, S=1, G=12)
    found = search_imperfect(problem, architecture, energies, evaluations=200, rounds=2)
    padded = search_padded(problem, architecture, energies)
    assert found.certificate.value <= padded.certificate.value * (1 + 1e-9)
    assert found.cost.edp_J_cycle < at_most
    assert found.certificate.gap < 0.25


@pytest.mark.parametrize(
    ("problem", "objective"),
    [
        (convolution(C=5, M=13, P=1, Q=27, R=1, S=1), Objective.LATENCY),
        (convolution(C=7, M=11, P=2, Q=9, R=3, S=3), Objective.EDP),
        (convolution(C=16, M=8, P=4, Q=4, R=1, S=1), Objective.ENERGY),
    ],
)
def test_never_worse_than_perfect_and_within_the_constraints(eyeriss, problem: Problem, objective: Objective) -> None:
    architecture, energies = eyeriss
    found = search_imperfect(problem, architecture, energies, objective, evaluations=600, rounds=20)
    perfect = search(problem, architecture, energies, objective)
    assert found.certificate.value <= perfect.certificate.value
    assert found.certificate.bound <= found.certificate.value
    assert found.cost == evaluate(found.mapping, problem, bound_to(architecture, problem), energies)
    assert not violations(found.mapping, problem, architecture)


def test_answers_do_not_live_on_executions_that_are_not_counted(eyeriss) -> None:
    """Of 1.99 units in use on average the reference counts one; that is no way to save energy."""
    architecture, energies = eyeriss
    problem = convolution(C=64, M=1000, P=1, Q=1, R=1, S=1)
    found = search_imperfect(problem, architecture, energies, Objective.ENERGY, evaluations=2000)
    perfect = search(problem, architecture, energies, Objective.ENERGY)
    counted = min(1.0, found.cost.computes / math.prod(problem.bounds))
    assert found.cost.energy_pJ <= perfect.cost.energy_pJ * counted


def test_27_columns_need_no_padding() -> None:
    """27 = 2 x 14 - 1: two passes over 14 units instead of three over 9."""
    architecture = _array(14)
    energies = EnergyTable(
        {
            "DRAM": ComponentCost({"read": 100.0, "write": 100.0, "update": 100.0, "leak": 0.0}),
            "spad": ComponentCost({"read": 1.0, "write": 1.0, "update": 1.0, "leak": 0.0}),
            "mac": ComponentCost({"compute": 1.0}),
        }
    )
    problem = convolution(C=1, M=1, P=27, Q=1, R=1, S=1)
    assert search(problem, architecture, energies, Objective.LATENCY).cost.cycles == 3
    found = search_imperfect(problem, architecture, energies, Objective.LATENCY)
    assert found.cost.cycles == 2
    assert found.certificate.exact
    again = search_imperfect(problem, architecture, energies, Objective.LATENCY)
    assert again.mapping == found.mapping


def test_the_command(tmp_path, capsys) -> None:
    saved = tmp_path / "mapping.yaml"
    arguments = ["resnet50:fc", "--on", "eyeriss_like"]
    assert main(["map", *arguments, "--imperfect", "--json", "--save", str(saved)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["map", *arguments, "--json"]) == 0
    perfect = json.loads(capsys.readouterr().out)
    assert found["edp_J_cycle"] < 0.8 * perfect["edp_J_cycle"]
    assert main(["evaluate", *arguments, "--mapping", str(saved), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["cycles"], again["energy_pJ"]) == (found["cycles"], found["energy_pJ"])
    assert main(["map", *arguments, "--imperfect", "--samples", "9"]) == 2
    assert "at a time" in capsys.readouterr().err


FIXED = """
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Component {name: buf, class: SRAM, attributes: {width: 64, depth: 4096, datawidth: 16, technology: "45nm"}}
  - !Container {name: pe, spatial: {meshX: 14}, constraints: {spatial: {factors: [M=14]}}}
  - !Component {name: rf, class: regfile, attributes: {width: 16, depth: 64, datawidth: 16, technology: "45nm"}}
  - !Component {name: mac, class: intmac, attributes: {technology: "45nm"}}
"""


def test_a_fixed_factor_that_does_not_divide_has_imperfect_mappings_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """27 channels on exactly 14 units; the space is far too large to be listed."""
    design, layer = tmp_path / "fixed.yaml", tmp_path / "layer.yaml"
    design.write_text(FIXED)
    problem = convolution(C=16, M=27, P=13, Q=13, R=3, S=3)
    layer.write_text(write_problem(problem))
    architecture = load_architecture(design)
    energies = estimate(architecture)
    found = search_imperfect(problem, architecture, energies, Objective.LATENCY, evaluations=200)
    assert found.cost == evaluate(found.mapping, problem, bound_to(architecture, problem), energies)
    assert not violations(found.mapping, problem, architecture)
    assert "M=14,13" in " ".join(
        f"{one.dimension}={one.factor},{one.last}" for one in found.mapping["inter_pe_spatial"].loops
    )
    assert found.certificate.binding[0].startswith("without imperfect factors: ")
    assert found.certificate.bound <= found.certificate.value
    assert main(["map", str(layer), "--on", str(design)]) == 2
    assert "there is one with factors that do not divide: --imperfect" in capsys.readouterr().err


def test_where_no_mapping_exists_at_all_none_is_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """27 channels on 14 units in one pass, as no storage may have a loop over them."""
    design, layer = tmp_path / "fixed.yaml", tmp_path / "layer.yaml"
    one = "constraints: {temporal: {factors: [M=1]}}, attributes"
    design.write_text(
        FIXED.replace("DRAM, attributes", f"DRAM, {one}")
        .replace("SRAM, attributes", f"SRAM, {one}")
        .replace("regfile, attributes", f"regfile, {one}")
    )
    layer.write_text(write_problem(convolution(C=2, M=27, P=2, Q=1, R=1, S=1)))
    assert main(["map", str(layer), "--on", str(design)]) == 2
    assert "--imperfect" not in capsys.readouterr().err
    assert main(["map", str(layer), "--on", str(design), "--imperfect"]) == 2
    assert "nor is there one with factors that do not divide" in capsys.readouterr().err


@pytest.mark.parametrize(("time_is_up", "listed"), [(True, 0), (False, 1)])
def test_factors_are_listed_while_there_is_time_and_not_beyond_too_many(
    eyeriss, monkeypatch: pytest.MonkeyPatch, time_is_up: bool, listed: int
) -> None:
    problem = convolution(C=720, M=720, P=360, Q=360, R=60, S=60)
    architecture, energies = eyeriss
    space = Mapspace.of(problem, bound_to(architecture, problem), energies, Objective.EDP)
    asked: list[int] = []

    def ways(space: Mapspace, d: int) -> None:
        asked.append(d)

    monkeypatch.setattr("dovetail.mapper.imperfect.all._ways", ways)
    assert cover(space, least_of(space), None, lambda: time_is_up) is None
    assert len(asked) == listed


def test_a_certificate_says_what_ended_the_search_and_claims_no_more_than_was_found(
    eyeriss, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*given: object, **options: object) -> SearchResult:
        found = search(*given, **options)
        return replace(found, certificate=replace(found.certificate, exact=False))

    monkeypatch.setattr("dovetail.mapper.imperfect.search.search", ended)
    problem = convolution(C=7, M=11, P=2, Q=9, R=3, S=3)
    certificate = search_imperfect(problem, *eyeriss, time_limit=1e-3).certificate
    assert not certificate.exact
    assert certificate.mapspace_size == 0  # only its perfect part is ever counted
    assert "the time limit of 0.001 s ended it, a longer one may be enough" in certificate.method
    assert "the best perfect mapping met" in certificate.method
    assert certificate.binding[0].startswith("without imperfect factors the best met edp is ")
    assert certificate.binding[0].endswith(" J x cycle")
