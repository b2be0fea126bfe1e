"""The exact mapper equals brute force: nothing in the whole space is better, and its answer is in the space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brute_force import all_mappings, count_mappings
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.objective import Objective, ranks_of
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import violations
from dovetail.model.arrays import Nest
from dovetail.model.batch import BatchCosts, candidate, evaluate_batch
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem
from draws import draws
from mapper_strategies import Setup, constrained, ported, setups, splits

MOST = 20_000  # mappings that brute force is given
#: Sums in another order differ in their last bits.
CLOSE = 1e-12


def everything(setup: Setup) -> tuple[Nest, BatchCosts]:
    """Return every mapping of a setup that the fan-outs have room for, and its costs by the model."""
    problem, architecture, energies = setup
    nests = all_mappings(problem, architecture)
    return nests, evaluate_batch(
        nests, encode_rules(problem, architecture), encode_machine(problem, architecture, energies)
    )


def assume_small(setup: Setup) -> None:
    """Leave out of a property test what brute force would take long for."""
    assume(splits(*setup[:2]) <= 500)
    assume(count_mappings(*setup[:2]) <= MOST)


def is_allowed(nests: Nest, at: int, problem: Problem, architecture: Architecture) -> bool:
    return not violations(decode_mapping(candidate(nests, at), problem, architecture), problem, architecture)


def best_of_all(nests: Nest, costs: BatchCosts, setup: Setup, objective: Objective) -> tuple[float, float]:
    """Return the least value and, of the mappings that have it, the least second one; infinity when none is allowed."""
    values, seconds = ranks_of(objective, costs.energy_pJ, costs.cycles)
    best, second = math.inf, math.inf
    for at in np.lexsort((seconds, values)):
        if values[at] > best * (1 + CLOSE):
            break
        if costs.overflow[at] < 0 and seconds[at] < second and is_allowed(nests, int(at), *setup[:2]):
            best, second = min(best, float(values[at])), float(seconds[at])
    return best, second


def front_of_all(nests: Nest, costs: BatchCosts, setup: Setup) -> Iterator[tuple[float, int]]:
    """Yield energy and cycles of every mapping that no other one beats in both, by rising energy."""
    fewest, energy = math.inf, -math.inf
    for at in np.lexsort((costs.cycles, costs.energy_pJ)):
        if costs.overflow[at] < 0 and costs.cycles[at] < fewest and is_allowed(nests, int(at), *setup[:2]):
            fewest = int(costs.cycles[at])
            energy = float(costs.energy_pJ[at])
            yield energy, fewest


def holds(setup: Setup, objective: Objective) -> SearchResult | None:
    """Check an answer against every mapping; None when there is no mapping, which is checked, too."""
    problem, architecture, energies = setup
    nests, costs = everything(setup)
    best, second = best_of_all(nests, costs, setup, objective)
    try:
        result = search(problem, architecture, energies, objective)
    except NoMappingError:
        assert best == math.inf
        return None
    assert result.certificate.exact
    assert result.certificate.tie_proven
    check_mapping(result.mapping, problem, architecture)
    assert not violations(result.mapping, problem, architecture)
    value, other = ranks_of(objective, np.array([result.cost.energy_pJ]), np.array([result.cost.cycles]))
    assert value[0] == pytest.approx(best, rel=CLOSE, abs=CLOSE)
    assert other[0] == pytest.approx(second, rel=CLOSE, abs=CLOSE)
    return result


@settings(max_examples=draws(80))
@given(setups(), st.sampled_from(Objective))
def test_equals_brute_force(setup: Setup, objective: Objective) -> None:
    assume_small(setup)
    holds(setup, objective)


@settings(max_examples=draws(60))
@given(constrained(), st.sampled_from(Objective))
def test_equals_brute_force_under_more_constraints(setup: Setup, objective: Objective) -> None:
    assume_small(setup)
    holds(setup, objective)


def same_front(setup: Setup) -> None:
    """Check a front against that of every mapping, by the model's numbers."""
    problem, architecture, energies = setup
    nests, costs = everything(setup)
    wanted = list(front_of_all(nests, costs, setup))
    try:
        result = search(problem, architecture, energies, front=True)
    except NoMappingError:
        assert not wanted
        return
    assert result.certificate.exact
    found = [(point.energy_pJ, point.cycles) for point in result.front]
    assert [cycles for _, cycles in found] == [cycles for _, cycles in _apart(wanted)]
    assert [energy for energy, _ in found] == pytest.approx([e for e, _ in _apart(wanted)], rel=CLOSE, abs=CLOSE)
    for point in result.front:
        cost = evaluate(point.mapping, problem, architecture, energies)
        assert (cost.energy_pJ, cost.cycles) == (point.energy_pJ, point.cycles)
        assert not violations(point.mapping, problem, architecture)


def _apart(front: list[tuple[float, int]]) -> list[Any]:
    """Leave out points that others of fewer cycles beat but for the last bits of their energy."""
    return [
        point
        for i, point in enumerate(front)
        if i + 1 == len(front) or front[i + 1][0] > point[0] * (1 + CLOSE) + CLOSE
    ]


@settings(max_examples=draws(60))
@given(st.one_of(setups(), constrained()))
def test_the_front_is_that_of_all_mappings(setup: Setup) -> None:
    assume_small(setup)
    same_front(setup)


@settings(max_examples=draws(25))
@given(ported())
def test_the_front_is_that_of_all_mappings_where_reads_and_writes_share_a_port(setup: Setup) -> None:
    assume_small(setup)
    same_front(setup)
