"""What constraints cost: every one is lifted, none but that one, and the idle axis of a simple design is found."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from dovetail.cli import explain as command
from dovetail.cli.interruption import INTERRUPTED
from dovetail.cli.main import main
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Constraints, FactorConstraint, LoopConstraints, Relation
from dovetail.hardware.reader import bundled_designs, load_architecture
from dovetail.mapper.explain import Explained, SearchFunction, explain, relaxations
from dovetail.mapper.local.sample import sampled_search
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.constraints import bound_to, factor_range
from dovetail.network import jobs
from dovetail.workload.problem import Problem, convolution

POINTWISE = convolution(C=16, M=16, P=1, Q=1, R=1, S=1, name="pointwise")
LAYER = convolution(C=8, M=8, P=4, Q=4, R=3, S=3, name="layer")

search = functools.partial(sampled_search, samples=6000)


@pytest.fixture(scope="module")
def pointwise() -> Explained:
    architecture = load_architecture("simple_weight_stationary")
    return explain(POINTWISE, architecture, estimate(architecture), Objective.LATENCY, search=search)


def test_finds_the_axis_that_split_leaves_idle(pointwise: Explained) -> None:
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


def test_the_dearest_stand_first(pointwise: Explained) -> None:
    gains = [entry.gain for entry in pointwise.lifted]
    assert gains == sorted(gains, reverse=True)


def test_a_notebook_shows_the_optimum_and_what_each_constraint_costs(pointwise: Explained) -> None:
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


@pytest.mark.parametrize("design", bundled_designs())
def test_a_factor_that_is_lifted_is_freer_than_before(design: str) -> None:
    """Under ``factors_only`` a dimension that is no longer listed could only have factor 1."""
    architecture = load_architecture(design)
    before = bound_to(architecture, LAYER)
    for each in relaxations(architecture, LAYER):
        if "factor" not in each.constraint or each.constraint == "factors_only":
            continue
        after = bound_to(each.architecture, LAYER)
        kind = "spatial" if "spatial" in each.constraint else "temporal"
        old, new = (getattr(one.level(each.level).constraints, kind) for one in (before, after))
        ranges = [(factor_range(old, name, LAYER), factor_range(new, name, LAYER)) for name in LAYER.shape.dimensions]
        assert all(freer.least <= tight.least and freer.most >= tight.most for tight, freer in ranges), each


def test_lifting_the_one_factor_of_factors_only_frees_its_dimension() -> None:
    loops = LoopConstraints(factors=(FactorConstraint("M", Relation.LE, 2),), only_listed=True)
    design = load_architecture("eyeriss_like")
    level = replace(design.levels[2], constraints=Constraints(spatial=loops))
    changed = replace(design, levels=(*design.levels[:2], level, *design.levels[3:]))
    one = next(each for each in relaxations(changed, LAYER) if each.constraint == "spatial factor M<=2")
    freed = bound_to(one.architecture, LAYER).level(level.name).constraints.spatial
    assert factor_range(freed, "M", LAYER).most == 8
    assert factor_range(freed, "C", LAYER).most == 1


def test_a_split_of_everything_is_not_a_number() -> None:
    words = [each.constraint for each in relaxations(load_architecture("eyeriss_like"), LAYER)]
    assert "spatial split all on X" in words
    assert not any("999" in each for each in words)


def _one_value(exact: Callable[[Architecture], bool], value: Callable[[Architecture], float]) -> SearchFunction:
    """Return a search whose answers are one mapping, with energies and proofs as given."""

    def found(
        problem: Problem, design: Architecture, energies: EnergyTable, objective: Objective, *, time_limit: float | None
    ) -> SearchResult:
        result = search(problem, design, energies, objective)
        cost = replace(result.cost, energy_pJ=value(design), cycles=100)
        return replace(result, cost=cost, certificate=replace(result.certificate, exact=exact(design)))

    return found


def test_a_gain_of_rounding_is_none_and_no_gain_is_no_proof(monkeypatch, capsys) -> None:
    architecture = load_architecture("simple_weight_stationary")
    proven = _one_value(lambda _: True, lambda design: 1.0 if design == architecture else 1.0 - 1e-15)
    found = explain(POINTWISE, architecture, estimate(architecture), search=proven)
    assert {entry.gain for entry in found.lifted} == {0.0}
    guessed = _one_value(lambda design: design == architecture, lambda design: 1.0 if design == architecture else 1.5)
    found = explain(POINTWISE, architecture, estimate(architecture), search=guessed)
    assert {entry.gain for entry in found.lifted} == {0.0}
    assert all("no proof" in entry.note and not entry.proven for entry in found.lifted)
    monkeypatch.setattr(command, "stored_search", lambda _store: guessed)
    assert main(["explain", "alexnet@32:classifier.6", "--on", "simple_weight_stationary"]) == 0
    printed = capsys.readouterr().out
    assert "without effect when lifted alone" not in printed
    assert "without spatial split 1 at inter_PE_spatial: no better mapping was found, which is no proof" in printed


def test_what_is_not_proven_is_marked(monkeypatch, capsys) -> None:
    architecture = load_architecture("simple_weight_stationary")
    guessed = _one_value(lambda design: design == architecture, lambda design: 1.0 if design == architecture else 0.5)
    monkeypatch.setattr(command, "stored_search", lambda _store: guessed)
    assert main(["explain", "alexnet@32:classifier.6", "--on", "simple_weight_stationary"]) == 0
    printed = capsys.readouterr().out
    assert "spatial split 1 *" in printed
    assert "* the best found, not proven to be the optimum" in printed


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
    monkeypatch.setattr(command, "stored_search", lambda _store: few)
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


def test_what_an_interrupted_explain_has_searched_is_in_the_store(monkeypatch, tmp_path, capsys) -> None:
    """The second run searches only what the first, cut short, had not."""
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path))
    found: list[Architecture] = []
    most = [3]

    def counted(problem: Problem, design: Architecture, *given: object, **options: object) -> SearchResult:
        if len(found) == most[0]:
            raise KeyboardInterrupt
        found.append(design)
        return search(problem, design, *given)

    monkeypatch.setattr(jobs, "exact_search", counted)
    words = ["explain", "alexnet@32:classifier.6", "--on", "simple_weight_stationary"]
    assert main(words) == INTERRUPTED
    assert "searches that are done are in the store, the same command goes on from there" in capsys.readouterr().err
    most[0] = 1000
    assert main(words) == 0
    assert len(found) == len(set(found)) > 3
    before = len(found)
    assert main(words) == 0
    assert len(found) == before


def test_what_a_time_limit_ended_is_said_with_what_is_kept(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path))

    def ended(problem: Problem, design: Architecture, *given: object, **options: object) -> SearchResult:
        result = search(problem, design, *given)
        exact = problem.bounds[problem.shape.dimensions.index("C")] < 256
        said = replace(result.certificate, exact=exact, tie_proven=exact)
        return replace(result, certificate=said, ended_by_itself=by_itself)

    by_itself = False
    monkeypatch.setattr(jobs, "exact_search", ended)
    (tmp_path / "t.csv").write_text("name,C,M\na,64,8\nb,256,8\n")
    words = ["compare", str(tmp_path / "t.csv"), "--on", "simple_weight_stationary", "--workers", "1"]
    assert main([*words, "--time-limit", "5"]) == 0
    said = "the time limit ended 1 of 2 searches at the best found so far; what is proven is in the store"
    assert said in capsys.readouterr().err
    by_itself = True
    assert main([*words, "--time-limit", "5"]) == 0
    said = capsys.readouterr().err
    assert "1 of 2 searches came to their end without a proof" in said
    assert "time limit" not in said
    assert main([*words, "--samples", "2000"]) == 0
    assert "time limit" not in capsys.readouterr().err
    swept = ["sweep-layer", f"{tmp_path / 't.csv'}:b", "--on", "simple_weight_stationary", "--dim", "C"]
    assert main([*swept, "--values", "64,256", "--workers", "1"]) == 0
    said = capsys.readouterr().err
    assert "1 of 2 searches came to their end without a proof, their answers at most " in said
    assert "time limit" not in said
    layer = ["map", f"{tmp_path / 't.csv'}:b", "--on", "simple_weight_stationary", "--time-limit", "5"]
    assert main(layer) == 0
    assert "it is not kept in the store, --certificate FILE keeps it" in capsys.readouterr().err
