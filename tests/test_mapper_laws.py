"""Laws of the optimum: freedom never costs, names do not matter, the front is a front, and nobody does better."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import oracle
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.executors import executor_for
from dovetail.hardware.architecture import (
    Architecture,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.explain import relaxations
from dovetail.mapper.local.improve import improve
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.directives import mapping_from_directives
from dovetail.model.evaluate import evaluate
from dovetail.workers import run_all
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from draws import draws
from mapper_strategies import constrained, setups, with_level

#: Sums in another order differ in their last bits.
CLOSE = 1e-9
OBJECTIVES = st.sampled_from(Objective)
Setup = tuple[Problem, Architecture, EnergyTable]


def least(result: SearchResult) -> float:
    """Return the least value that the model may have had in mind.

    It rounds cycles up from a quotient of sums, and mappings of equal traffic can differ by one cycle in that; the
    search takes any of them.
    """
    cost = result.cost
    cycles = cost.cycles - (cost.cycles > cost.levels[-1].cycles)
    leak = (cost.cycles - cycles) * sum(level.leakage_pJ for level in cost.levels) / cost.cycles
    return result.objective.value_of(cost.energy_pJ - leak, cycles)


def optimum(setup: Setup, objective: Objective) -> SearchResult | None:
    """Return the proven optimum; None when there is no mapping."""
    try:
        result = search(*setup, objective)
    except NoMappingError:
        return None
    assert result.certificate.exact
    return result


def never_worse(freer: Setup, setup: Setup, objective: Objective) -> None:
    """Check that what allows more is at least as good."""
    before = optimum(setup, objective)
    assume(before is not None)
    after = optimum(freer, objective)
    assert after is not None
    assert least(after) <= before.certificate.value * (1 + CLOSE)


def storages(architecture: Architecture) -> list[int]:
    return [i for i, level in enumerate(architecture.levels) if isinstance(level, Storage)]


@settings(max_examples=draws(40))
@given(setups(), OBJECTIVES, st.data())
def test_more_capacity_never_costs(setup: Setup, objective: Objective, data: st.DataObject) -> None:
    problem, architecture, energies = setup
    places = [i for i in storages(architecture) if architecture.levels[i].depth]
    assume(places)
    place = data.draw(st.sampled_from(places))
    level = architecture.levels[place]
    larger = replace(level, depth=data.draw(st.sampled_from([level.depth + 1, 2 * level.depth, None])))
    never_worse((problem, with_level(architecture, place, larger), energies), setup, objective)


@settings(max_examples=draws(40))
@given(setups(), OBJECTIVES, st.data())
def test_more_bandwidth_never_costs(setup: Setup, objective: Objective, data: st.DataObject) -> None:
    problem, architecture, energies = setup
    places = [i for i in storages(architecture) if architecture.levels[i].read_bandwidth]
    assume(places)
    place = data.draw(st.sampled_from(places))
    level = architecture.levels[place]
    faster = replace(level, read_bandwidth=data.draw(st.sampled_from([2 * level.read_bandwidth, None])))
    never_worse((problem, with_level(architecture, place, faster), energies), setup, objective)


def simplified(architecture: Architecture) -> Architecture:
    """Return the architecture without transfers between neighbours and without lines that instances share."""
    levels = []
    for level in architecture.levels:
        if isinstance(level, Spatial):
            spatial = replace(level.constraints.spatial, no_link_transfer=frozenset({"*"}))
            levels.append(replace(level, constraints=replace(level.constraints, spatial=spatial)))
        else:
            levels.append(replace(level, cluster_size=1) if isinstance(level, Storage) else level)
    return replace(architecture, levels=tuple(levels))


@settings(max_examples=draws(40))
@given(setups(), OBJECTIVES, st.data())
def test_a_larger_array_never_costs(setup: Setup, objective: Objective, data: st.DataObject) -> None:
    problem, architecture, energies = setup
    # Idle instances cost nothing in the model, so that a larger fan-out only adds mappings, unless it tells otherwise
    # who is whose neighbour, or adds lines for instances to be spread over.
    architecture = simplified(architecture)
    places = [i for i, level in enumerate(architecture.levels) if isinstance(level, Spatial)]
    assume(places)
    place = data.draw(st.sampled_from(places))
    level = architecture.levels[place]
    wider = replace(level, fanout_x=level.fanout_x * 2)
    inner = tuple(replace(inner, mesh_x=inner.mesh_x * 2) for inner in architecture.levels[place + 1 :])
    wide = replace(architecture, levels=(*architecture.levels[:place], wider, *inner))
    never_worse((problem, wide, energies), (problem, architecture, energies), objective)


@settings(max_examples=draws(60))
@given(constrained(), OBJECTIVES, st.data())
def test_lifting_a_constraint_never_costs(setup: Setup, objective: Objective, data: st.DataObject) -> None:
    problem, architecture, energies = setup
    lifted = list(relaxations(architecture, problem))
    assume(lifted)
    chosen = data.draw(st.sampled_from(lifted), label="lifted")
    never_worse((problem, chosen.architecture, energies), setup, objective)


def renamed(problem: Problem, architecture: Architecture, order: list[int]) -> tuple[Problem, Architecture]:
    """Return the same with other names for the dimensions, listed in another order."""
    old = problem.shape.dimensions
    new = {name: f"x{place}" for place, name in enumerate(reversed(old))}
    tensors = tuple(
        Tensor(
            tensor.name,
            tuple(tuple(Term(new[t.dimension], t.coefficient) for t in axis) for axis in tensor.projection),
            tensor.is_output,
        )
        for tensor in reversed(problem.shape.tensors)
    )
    shape = Shape("renamed", tuple(new[old[i]] for i in order), tensors, problem.shape.coefficients)
    levels = []
    for level in architecture.levels:
        loops = {
            kind: replace(
                limits,
                inner=tuple(new[name] for name in limits.inner),
                outer=tuple(new[name] for name in limits.outer),
                factors=tuple(replace(factor, dimension=new[factor.dimension]) for factor in limits.factors),
            )
            for kind in ("temporal", "spatial")
            for limits in [getattr(level.constraints, kind)]
        }
        levels.append(replace(level, constraints=replace(level.constraints, **loops)))
    bounds = tuple(problem.bounds[i] for i in order)
    return Problem(shape, bounds, problem.coefficients), replace(architecture, levels=tuple(levels))


@settings(max_examples=draws(50))
@given(constrained(), OBJECTIVES, st.data())
def test_names_and_their_order_do_not_matter(setup: Setup, objective: Objective, data: st.DataObject) -> None:
    problem, architecture, energies = setup
    order = data.draw(st.permutations(range(len(problem.bounds))))
    before, after = optimum(setup, objective), optimum((*renamed(problem, architecture, order), energies), objective)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert least(after) <= before.certificate.value * (1 + CLOSE)
        assert least(before) <= after.certificate.value * (1 + CLOSE)


HASHED = """
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.search import search
from dovetail.workload.problem import convolution
on = load_architecture("eyeriss_like")
found = search(convolution(C=8, M=12, P=7, Q=7, R=3, S=3), on, estimate(on), front=True)
print(found.certificate.value.hex(), found.certificate.states, found.mapping.normalized().levels[1].temporal)
print([(point.energy_pJ.hex(), point.cycles) for point in found.front])
"""


def test_same_answer_under_any_hash_seed_and_number_of_threads() -> None:
    answers = set()
    for seed, threads in (("0", "1"), ("1", "2"), ("2", "1")):
        environment = os.environ | {"PYTHONHASHSEED": seed, "NUMBA_NUM_THREADS": threads}
        run = subprocess.run([sys.executable, "-c", HASHED], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answers.add(run.stdout)
    assert len(answers) == 1


def test_same_answer_from_any_number_of_workers() -> None:
    architecture = load_architecture("eyeriss_like")
    energies = estimate(architecture)
    layers = [convolution(C=c, M=8, P=7, Q=7, R=3, S=3) for c in (4, 6, 8)]
    calls = [(layer, architecture, energies) for layer in layers]
    answers = []
    for workers in (1, 2):
        with executor_for(len(calls), workers) as executor:
            found = dict(run_all(search, calls, executor))
        answers.append([(found[i].mapping, found[i].certificate.value, found[i].certificate.states) for i in range(3)])
    assert answers[0] == answers[1]


def oracle_groups() -> dict[tuple[str, str], list[oracle.Case]]:
    """Return the reference's mappings of four designs, those of one layer together."""
    groups: dict[tuple[str, str], list[oracle.Case]] = {}
    for case in oracle.cases():
        if isinstance(case["architecture"], str) and case["expect"] is not None:
            groups.setdefault((case["architecture"], json.dumps(case["problem"])), []).append(case)
    return groups


GROUPS = oracle_groups()


@pytest.mark.parametrize("design", sorted({design for design, _ in GROUPS}))
def test_nobody_beats_the_local_search(design: str) -> None:
    levels = oracle.architectures()[design]
    architecture, energies = oracle.architecture(levels), oracle.energies(levels)
    for (name, _), cases in GROUPS.items():
        if name == design:
            problem = oracle.problem(cases[0])
            theirs = min(edp_of(case, architecture, energies) for case in cases)
            ours = improve(problem, architecture, energies, evaluations=2000)
            assert ours.value <= theirs * (1 + CLOSE), problem.name


def edp_of(case: oracle.Case, architecture: Architecture, energies: EnergyTable) -> float:
    problem = oracle.problem(case)
    cost = evaluate(mapping_from_directives(case["mapping"], architecture, problem), problem, architecture, energies)
    return cost.energy_pJ * cost.cycles


@pytest.mark.parametrize("design", sorted({design for design, _ in GROUPS}))
def test_no_mapping_is_below_the_bound_or_better_than_the_answer(design: str) -> None:
    levels = oracle.architectures()[design]
    architecture, energies = oracle.architecture(levels), oracle.energies(levels)
    groups = [(oracle.problem(cases[0]), cases) for (name, _), cases in GROUPS.items() if name == design]
    problem, cases = min(groups, key=lambda group: group[0].macs)  # without constraints, larger ones take long
    certificate = search(problem, architecture, energies, time_limit=0.3).certificate
    assert certificate.bound <= certificate.value
    for case in cases:
        theirs = edp_of(case, architecture, energies)
        assert certificate.bound <= theirs * (1 + CLOSE)
        assert certificate.value <= theirs * (1 + CLOSE), "time is up at once, but the answer is a good one"


#: The command on a layer that takes minutes, interrupted when the search first says how far it is.
INTERRUPTED = """
import contextlib, os, signal, sys
import dovetail.cli.map as command
from dovetail.cli.main import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started with, as under nohup

@contextlib.contextmanager
def progress():
    said = []
    def report(done, total, words):
        said.extend([] if "compiling" in words else [words])
        if len(said) == 1:
            os.kill(os.getpid(), signal.SIGINT)
    yield report

command.progress = progress
sys.exit(main(["map", "mobilenet_v2:features.0.0", "--on", "tpu_like", "--json"]))
"""


def test_ctrl_c_gives_the_best_so_far_and_its_bound() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    found = json.loads(run.stdout)
    certificate = found["certificate"]
    assert not certificate["exact"]
    assert 0 < certificate["bound"] < certificate["value"]
    assert certificate["value"] == pytest.approx(found["edp_J_cycle"])
    assert certificate["unit"] == "J x cycle"
    assert found["mapping"]
