"""Bounds that hold below a known mapping only: answers are those of brute force, free designs are proven with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Constraints, LoopConstraints
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.allowance import Allowance
from dovetail.mapper.exact import search as exact
from dovetail.mapper.exact.completion import Completion, build_completion
from dovetail.mapper.exact.cover import Costed, Cover, Found
from dovetail.mapper.exact.effort import Crowded
from dovetail.mapper.exact.space import build_space
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.model.encode import encode_mapping
from dovetail.workload.problem import convolution
from draws import draws
from mapper_strategies import Setup, constrained, ported, setups
from test_mapper_bounds import prepared_below, stays_below
from test_mapper_exact import assume_small, holds


def crowded(*given: Any) -> Completion:
    """Tabulate as if there were too many vectors for bounds of all mappings."""
    if not given[-1].merges:
        raise Crowded
    return build_completion(*given)


@settings(max_examples=draws(16))
@given(st.one_of(setups(), ported(), constrained()), st.sampled_from(Objective))
def test_bounds_below_what_a_local_search_met_lead_to_the_best_of_all(setup: Setup, objective: Objective) -> None:
    assume_small(setup)
    with mock.patch.object(exact, "build_completion", crowded):
        holds(setup, objective)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_free_design_of_three_private_buffers_is_proven(links: bool) -> None:
    """With bounds of all mappings, vectors merged for want of room, the gap was 50 and 120 % after as much work."""
    bundled = load_architecture("eyeriss_like")
    passed = frozenset[str]() if links else frozenset({"Weights", "Inputs", "Outputs"})
    free = Constraints(spatial=LoopConstraints(no_link_transfer=passed))
    design = replace(bundled, levels=tuple(replace(level, constraints=free) for level in bundled.levels))
    layer = convolution(C=16, M=16, P=7, Q=7, R=3, S=3, name="3x3")
    energies = estimate(design)
    found = search(layer, design, energies, time_limit=Allowance(work=30_000_000))
    assert found.certificate.exact
    space = build_space(layer, design, energies)
    nest = encode_mapping(found.mapping, layer, space.architecture)
    below = prepared_below(space, Objective.EDP, found.certificate.value)
    stays_below(below, nest, found.cost.energy_pJ, found.cost.cycles)


def test_the_least_energy_of_the_fastest_is_found_below_one_of_them() -> None:
    """The mapping of the least EDP is slower: three tables are made in turn, and bounds of all mappings agree."""
    bundled = load_architecture("simple_output_stationary")
    free = Constraints(spatial=LoopConstraints(no_link_transfer=frozenset({"Weights", "Inputs", "Outputs"})))
    design = replace(bundled, levels=tuple(replace(level, constraints=free) for level in bundled.levels))
    layer, energies = convolution(C=20, M=36, P=5, Q=10, name="1x1"), estimate(design)
    least_edp = search(layer, design, energies, Objective.EDP).cost
    known = search(layer, design, energies, Objective.LATENCY, front=True)
    with mock.patch.object(exact, "build_completion", side_effect=build_completion) as tabulate:
        found = search(layer, design, energies, Objective.LATENCY)
    assert [call.args[-1].known is not None for call in tabulate.call_args_list] == [True, False, True]
    assert found.cost.cycles == known.cost.cycles < least_edp.cycles
    assert found.cost.energy_pJ == pytest.approx(known.cost.energy_pJ, rel=1e-12)
    assert found.certificate.exact
    assert found.certificate.tie_proven


def test_what_the_model_rounds_up_to_one_more_cycle_is_looked_for_with_bounds_of_all_mappings() -> None:
    """The model may put a mapping first then that costs more: bounds below a mapping's EDP say nothing of it."""
    free = Constraints(spatial=LoopConstraints(no_link_transfer=frozenset({"Weights", "Inputs", "Outputs"})))
    bundled = load_architecture("simple_output_stationary")
    design = replace(bundled, levels=tuple(replace(level, constraints=free) for level in bundled.levels))
    by_the_model = Cover.by_the_model

    def rounded_up(cover: Cover, found: Found) -> Costed:
        costed = by_the_model(cover, found)
        return replace(costed, cost=replace(costed.cost, cycles=costed.cost.cycles + 1))

    for layer in (convolution(C=20, M=36, P=5, Q=10, name="1x1"), convolution(C=4, M=4, P=4, Q=4, name="small")):
        with (
            mock.patch.object(exact, "build_completion", side_effect=crowded) as tabulate,
            mock.patch.object(Cover, "by_the_model", rounded_up),
        ):
            search(layer, design, estimate(design), Objective.LATENCY)
        known = [call.args[-1].known is not None for call in tabulate.call_args_list if call.args[-1].merges]
        assert known[-1] is False
