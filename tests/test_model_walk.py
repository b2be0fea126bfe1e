"""The model's closed forms count what a literal walk through the nest counts, on problems and designs of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.errors import CapacityError
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.model.witness import walk
from dovetail.model.witness.costs import _in_order
from model_strategies import Setup, past_outermost, setups, spread_windows


def differences(ours: Any, walked: dict[str, Any], where: str) -> Iterator[str]:
    """Yield every number that differs: integers at all, floats by more than one part in a thousand million."""
    for name, wanted in walked.items():
        found = getattr(ours, name)
        close = abs(found - wanted) <= 1e-9 * max(1.0, abs(wanted))
        if not (close if isinstance(wanted, float) else found == wanted):
            yield f"{where} {name} is {found}, but the walk finds {wanted}"


def compare(cost: Cost, walked: dict[str, Any]) -> Iterator[str]:
    for name, level in walked["levels"].items():
        tensors = level.pop("tensors")
        yield from differences(cost[name], level, name)
        assert set(cost[name].tensors) == set(tensors)
        for tensor, numbers in tensors.items():
            yield from differences(cost[name].tensors[tensor], numbers, f"{name} {tensor}")
    for name, links in walked["networks"].items():
        for tensor, numbers in links.items():
            yield from differences(cost.networks[name][tensor], numbers, f"{name} {tensor}")
    totals = {name: walked[name] for name in ("cycles", "energy_pJ", "computes")}
    yield from differences(cost, totals, "total")


def check(setup: Setup) -> None:
    walked = walk(*setup)
    try:
        cost = evaluate(*setup)
    except CapacityError as error:
        assert walked["overflow"] is not None and walked["overflow"] in str(error)
        return
    assert walked["overflow"] is None
    found = list(compare(cost, walked))
    assert not found, "\n".join(found[:12])


def test_the_walk_rounds_sums_as_the_model_does_on_every_python() -> None:
    """Cycles are rounded up from a sum of shares; from 3.12 on Python's own sum makes good for rounding."""
    assert _in_order([0.1] * 10) == 0.9999999999999999


@given(setups())
@settings(max_examples=80)
def test_equals_the_walk(setup: Setup) -> None:
    check(setup)


@given(setups(special=True))
@settings(max_examples=80)
def test_equals_the_walk_with_every_constraint_and_attribute(setup: Setup) -> None:
    check(setup)


@given(st.data(), setups(special=True) | setups(imperfect=True))
@settings(max_examples=60)
def test_equals_the_walk_where_tensors_pass_the_outermost_level_by(data: st.DataObject, setup: Setup) -> None:
    check(past_outermost(data.draw, setup))


@given(spread_windows())
@settings(max_examples=50)
def test_equals_the_walk_where_windows_overlap_across_an_array(setup: Setup) -> None:
    check(setup)
