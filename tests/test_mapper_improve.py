"""The local search obeys every constraint, meets the optimum of small spaces and of real layers, and repeats itself."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brute_force import all_mappings
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import CapacityError, NoMappingError
from dovetail.hardware.architecture import Architecture, Constraints, Storage
from dovetail.hardware.reader import dense_designs, load_architecture
from dovetail.mapper.local.anneal import annealed
from dovetail.mapper.local.improve import ANNEALED, CROWDED, improve, nearest_on
from dovetail.mapper.local.sample import sample
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import violations
from dovetail.mapping.origins import as_searched
from dovetail.model.batch import candidate, evaluate_batch
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, convolution, linear
from mapper_strategies import setups, splits
from test_mapper_exact import MOST

LAYERS = (
    convolution(C=64, M=64, P=56, Q=56, R=3, S=3, name="conv"),
    convolution(C=3, M=64, P=55, Q=55, R=11, S=11, N=4, stride=(4, 4), name="stem"),
    convolution(C=1, M=1, P=14, Q=14, R=3, S=3, G=96, name="depthwise"),
    linear(C=512, M=1000, name="linear"),
)


@pytest.mark.parametrize("problem", LAYERS, ids=[layer.name for layer in LAYERS])
@pytest.mark.parametrize("design", dense_designs())
def test_obeys_every_constraint(design: str, problem: Problem) -> None:
    architecture = load_architecture(design)
    found = improve(problem, architecture, estimate(architecture), evaluations=6000)
    check_mapping(found.mapping, problem, architecture)
    assert violations(found.mapping, problem, architecture) == ()
    assert found.value == Objective.EDP.value_of(found.cost.energy_pJ, found.cost.cycles)


def test_never_ends_above_the_mapping_that_it_begins_with() -> None:
    problem, architecture = LAYERS[0], load_architecture("eyeriss_like")
    energies = estimate(architecture)
    best = search(problem, architecture, energies)
    assert improve(problem, architecture, energies, evaluations=1).value > best.certificate.value
    found = improve(problem, architecture, energies, evaluations=1, begin=best.mapping)
    assert found.value == best.certificate.value
    assert found.mapping == best.mapping


@settings(max_examples=40)
@given(setups(), st.sampled_from(Objective))
def test_meets_the_optimum_of_small_spaces(
    setup: tuple[Problem, Architecture, EnergyTable], objective: Objective
) -> None:
    problem, architecture, energies = setup
    if splits(problem, architecture) > 200:
        return
    nests = all_mappings(problem, architecture)
    if len(nests.temporal) > MOST:
        return
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(problem, architecture, energies))
    values = np.array([objective.value_of(e, c) for e, c in zip(costs.energy_pJ, costs.cycles, strict=True)])
    values[costs.overflow >= 0] = np.inf
    for at in np.argsort(values, kind="stable"):
        if not violations(decode_mapping(candidate(nests, int(at)), problem, architecture), problem, architecture):
            break
    if np.isinf(values[at]):
        with pytest.raises(NoMappingError):
            improve(problem, architecture, energies, objective, evaluations=2000)
        return
    found = improve(problem, architecture, energies, objective, evaluations=4000)
    assert found.value == pytest.approx(values[at], rel=1e-9)


@pytest.mark.parametrize("objective", Objective)
def test_comes_close_to_the_proven_optimum(objective: Objective) -> None:
    architecture = load_architecture("eyeriss_like")
    energies = estimate(architecture)
    proven = search(LAYERS[0], architecture, energies, objective)
    assert proven.certificate.exact
    found = improve(LAYERS[0], architecture, energies, objective, evaluations=30_000)
    assert proven.certificate.value * (1 - 1e-9) <= found.value <= proven.certificate.value * 1.01


def tight_of(architecture: Architecture) -> Architecture:
    """Return a design with room for two lines wherever there is room for some."""
    levels = (
        replace(level, depth=2) if isinstance(level, Storage) and level.depth else level
        for level in architecture.levels
    )
    return replace(architecture, levels=tuple(levels))


def test_finds_room_where_no_random_mapping_does() -> None:
    problem = linear(C=64, M=64, N=64)
    architecture = load_architecture("simple_weight_stationary")
    found = improve(problem, tight_of(architecture), estimate(architecture), evaluations=2000)
    assert found.value > 0


def test_another_machine_may_have_room_for_more_than_the_design() -> None:
    """As where zeros take none: what is met there need not fit without them, and is not asked to."""
    problem, architecture = linear(C=64, M=64, N=64), load_architecture("simple_weight_stationary")
    energies, tight = estimate(architecture), tight_of(architecture)
    roomy = encode_machine(problem, architecture, energies)
    met = nearest_on(Mapspace.of(problem, tight, energies, Objective.EDP, roomy), evaluations=6000)
    with pytest.raises(CapacityError):
        evaluate(met, problem, tight, energies)
    best = search(problem, architecture, energies).certificate.value
    cost = evaluate(met, problem, architecture, energies)
    assert best * (1 - 1e-9) <= Objective.EDP.value_of(cost.energy_pJ, cost.cycles) <= best * 1.1


def test_says_when_nothing_fits() -> None:
    problem = linear(C=4, M=4, N=4)
    architecture = load_architecture("simple_weight_stationary")
    none = replace(
        architecture,
        levels=tuple(
            replace(level, entries=0) if level.name == "weight_reg" else level for level in architecture.levels
        ),
    )
    with pytest.raises(NoMappingError, match="too large for some storage, by 1 words at least"):
        improve(problem, none, estimate(architecture), evaluations=2000)


def test_a_problem_of_one_step_has_a_mapping() -> None:
    architecture = load_architecture("eyeriss_like")
    found = improve(linear(C=1, M=1), architecture, estimate(architecture), evaluations=500)
    assert found.cost.cycles == 1


def test_more_evaluations_never_find_worse_and_stop_ends_it() -> None:
    architecture = load_architecture("simba_like")
    energies = estimate(architecture)
    few, many = (improve(LAYERS[0], architecture, energies, evaluations=n) for n in (3000, 12_000))
    assert many.value <= few.value
    asked = []
    ended = improve(LAYERS[0], architecture, energies, stop=lambda: asked.append(None) or len(asked) > 3)
    assert len(asked) == 4
    assert ended.evaluations < 6000


def test_anneals_lead_out_of_where_a_crowd_is_stuck() -> None:
    design = load_architecture("simple_weight_stationary")
    free = replace(design, levels=tuple(replace(level, constraints=Constraints()) for level in design.levels))
    problem, energies = convolution(C=256, M=512, P=28, Q=28, name="1x1"), estimate(design)
    crowd, annealed = (improve(problem, free, energies, evaluations=n) for n in (CROWDED, CROWDED + 2 * ANNEALED))
    assert annealed.evaluations >= CROWDED + 2 * ANNEALED
    assert annealed.value < 0.85 * crowd.value


@pytest.mark.parametrize("design", ["eyeriss_like", "simba_like", "simple_output_stationary"])
def test_chains_obey_constraints_repeat_themselves_and_are_ranked_by_what_they_cost(design: str) -> None:
    problem, architecture = LAYERS[0], load_architecture(design)
    space = Mapspace.of(problem, as_searched(architecture, problem), estimate(architecture), Objective.EDP)
    nests = sample(problem, architecture, 256)
    costs = evaluate_batch(nests, encode_rules(problem, architecture), encode_machine(problem, *_of(architecture)))
    fits = np.flatnonzero(costs.overflow < 0)
    rank = np.stack([costs.energy_pJ * costs.cycles, costs.cycles], axis=1)[fits]
    begun = Crowd(space.genes(nests)[fits], nests.keep[fits], rank).best(3)
    found, met = annealed(space, begun, (0.3, 1e-3), np.random.default_rng(1), 100, lambda: False)
    mapping = space.mapping(found)
    check_mapping(mapping, problem, architecture)
    assert violations(mapping, problem, architecture) == ()
    cost = evaluate(mapping, problem, *_of(architecture))
    assert found.rank[0, 0] == cost.energy_pJ * cost.cycles < begun.rank[0, 0]
    assert met == 300
    again, _ = annealed(space, begun, (0.3, 1e-3), np.random.default_rng(1), 100, lambda: False)
    assert space.mapping(again) == mapping
    none, met = annealed(space, begun, (0.3, 1e-3), np.random.default_rng(1), 100, lambda: True)
    assert met == 0
    assert none.rank[0].tolist() == begun.rank[0].tolist()


def _of(architecture: Architecture) -> tuple[Architecture, EnergyTable]:
    return architecture, estimate(architecture)


def test_same_under_any_hash_seed() -> None:
    program = (
        "from dovetail.components.estimate import estimate; from dovetail.hardware.reader import load_architecture\n"
        "from dovetail.mapper.local.improve import improve; from dovetail.workload.problem import convolution\n"
        "on = load_architecture('simba_like')\n"
        "found = improve(convolution(C=8, M=8, P=7, Q=7, R=3, S=3), on, estimate(on), evaluations=3000, seed=5)\n"
        "print(found.value.hex(), found.evaluations, found.mapping.levels[0].temporal)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }  # fmt: skip
    assert len(answers) == 1
