"""What constraints cost: every one is lifted, none but that one, and the idle axis of a simple design is found."""

from __future__ import annotations

import functools
import json

import pytest

from dovetail.cli import explain as command
from dovetail.cli.main import main
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.explain import Explanation, explain, relaxations
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.sample import sampled_search
from dovetail.workload.problem import Problem, convolution

POINTWISE = convolution(C=16, M=16, P=1, Q=1, R=1, S=1, name="pointwise")
LAYER = convolution(C=8, M=8, P=4, Q=4, R=3, S=3, name="layer")

search = functools.partial(sampled_search, samples=6000)


@pytest.fixture(scope="module")
def pointwise() -> Explanation:
    architecture = load_architecture("simple_weight_stationary")
    return explain(POINTWISE, architecture, estimate(architecture), Objective.LATENCY, search=search)


def test_finds_the_axis_that_split_leaves_idle(pointwise: Explanation) -> None:
    assert pointwise.result is not None
    assert pointwise.result.mapping.parallelism == 16
    idle = [axis for axis in pointwise.axes if axis.idle]
    assert [(axis.axis, axis.available) for axis in idle] == [("X", 16)]
    freeing = pointwise.frees(idle[0])
    assert any(entry.constraint == "spatial split 1" for entry in freeing)
    best = max(freeing, key=lambda entry: entry.gain)
    assert best.result is not None
    assert best.result.mapping.parallelism >= 128  # the search is a random one
    assert best.gain >= 1 - 16 / 128


def test_the_dearest_stand_first(pointwise: Explanation) -> None:
    gains = [entry.gain for entry in pointwise.lifted]
    assert gains == sorted(gains, reverse=True)


def test_a_notebook_shows_the_optimum_and_what_each_constraint_costs(pointwise: Explanation) -> None:
    table = pointwise.table()
    assert len(table.rows) == 1 + len(pointwise.lifted)
    assert "spatial split 1" in pointwise._repr_html_()


@pytest.mark.parametrize("design", bundled_designs())
def test_every_relaxation_changes_one_level_and_nothing_else(design: str) -> None:
    architecture = load_architecture(design)
    found = list(relaxations(architecture, LAYER))
    assert len({(each.level, each.constraint) for each in found}) == len(found)
    for each in [*found, *(part for one in found for part in one.parts)]:
        changed = [
            new.name
            for new, old in zip(each.architecture.levels, architecture.levels, strict=True)
            if new.constraints != old.constraints
        ]
        assert changed == [each.level]


def test_lifting_everything_leaves_no_constraint_that_matters() -> None:
    architecture = load_architecture("eyeriss_like")
    while left := list(relaxations(architecture, LAYER)):
        architecture = left[0].architecture
    for level in architecture.levels[1:]:
        assert not level.constraints.keep
        assert not level.constraints.bypass
        assert level.constraints.spatial.split is None
        assert {factor.dimension for factor in level.constraints.temporal.factors} <= {"N"}  # of one iteration


def test_says_which_constraint_stands_in_the_way() -> None:
    architecture = load_architecture("eyeriss_like")

    def picky(
        problem: Problem, design: Architecture, energies: EnergyTable, objective: Objective, *, time_limit: float | None
    ) -> SearchResult:
        if "Weights" in design.level("shared_glb").constraints.bypass:
            raise NoMappingError("nothing fits")
        return search(problem, design, energies, objective)

    found = explain(LAYER, architecture, estimate(architecture), search=picky)
    assert found.result is None
    assert found.reason == "nothing fits"
    helping = [f"{entry.level}: {entry.constraint}" for entry in found.lifted if entry.result is not None]
    assert helping == ["shared_glb: bypass Weights"]


def test_the_command_prints_a_table_or_json(monkeypatch, capsys) -> None:
    few = functools.partial(sampled_search, samples=1000)
    monkeypatch.setattr(command, "explain", functools.partial(explain, search=few))
    problem = "alexnet@32:classifier.6"
    assert main(["explain", problem, "--on", "simple_output_stationary", "--objective", "latency"]) == 0
    output = capsys.readouterr()
    assert "as it is" in output.out
    assert "the axis lies idle" in output.out
    assert main(["explain", problem, "--on", "simple_output_stationary", "--objective", "latency", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cycles"] > 0
    assert {"level", "constraint", "gain"} <= set(found["lifted"][0])
    assert any(axis["idle_because_of"] for axis in found["axes"])
