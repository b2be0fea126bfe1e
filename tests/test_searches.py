"""Recorded searches give the same answers, bounds and counts again (``tools/record_searches.py`` records them).

A spread of them runs in the suite; all of them where ``DOVETAIL_SEARCHES=all``, or with ``make searches``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dovetail.components.estimate import estimate
from dovetail.hardware.reader import dense_designs, load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.workload.problem import Problem
from dovetail.workload.shapes import SHAPES

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "searches.json").read_text())
RUN = CASES if os.environ.get("DOVETAIL_SEARCHES") == "all" else CASES[::3]


def label(case: dict[str, Any]) -> str:
    return f"{case['name']}-{case['design']}-{case['objective']}{'-front' * case['front']}"


@pytest.mark.parametrize("case", RUN, ids=label)
def test_a_recorded_search_comes_out_the_same(case: dict[str, Any]) -> None:
    problem = Problem(SHAPES[case["shape"]], tuple(case["bounds"]), tuple(case["coefficients"]), case["name"])
    architecture = load_architecture(case["design"])
    found = search(problem, architecture, estimate(architecture), Objective(case["objective"]), front=case["front"])
    proof = found.certificate
    counts = (proof.states, proof.pruned_by_bound, proof.pruned_by_dominance, proof.pruned_by_capacity)
    assert counts == (case["states"], case["by_bound"], case["by_dominance"], case["by_capacity"])
    assert found.cost.cycles == case["cycles"]
    assert (proof.exact, proof.tie_proven, proof.mapspace_size) == (True, case["tie_proven"], case["mapspace_size"])
    names = ("energy_pJ", "value", "bound", "compulsory_pJ")
    numbers = [found.cost.energy_pJ, proof.value, proof.bound, proof.compulsory_pJ]
    assert numbers == pytest.approx([case[name] for name in names], rel=1e-14)
    assert [point.cycles for point in found.front] == [cycles for _, cycles in case["points"]]
    for point, (energy, _) in zip(found.front, case["points"], strict=True):
        assert point.energy_pJ == pytest.approx(energy, rel=1e-14)


def test_the_records_are_spread_over_designs_and_what_is_minimised() -> None:
    assert len(CASES) == 200
    assert {case["design"] for case in RUN} == set(dense_designs())
    assert {case["objective"] for case in RUN} == set(Objective)
    assert any(case["front"] for case in RUN)
    assert len({case["shape"] for case in RUN}) > 3
