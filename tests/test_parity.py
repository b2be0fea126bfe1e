"""The model equals the reference on every evaluated mapping: counts exactly, energies to the printed digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import oracle
from dovetail.errors import MappingError
from dovetail.mapping.directives import mapping_from_directives
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate

CASES = list(oracle.cases())
HALF_A_CENT = 0.005 + 1e-6  # printed with two digits


@pytest.fixture(scope="module")
def architectures() -> dict[str, Any]:
    return oracle.architectures()


def evaluated(case: oracle.Case, architectures: dict[str, Any]) -> Cost:
    levels = oracle.levels_of(case, architectures)
    architecture, problem = oracle.architecture(levels), oracle.problem(case)
    mapping = mapping_from_directives(case["mapping"], architecture, problem)
    return evaluate(mapping, problem, architecture, oracle.energies(levels))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_equals_the_reference(case: oracle.Case, architectures: dict[str, Any]) -> None:
    if case["expect"] is None:
        with pytest.raises(MappingError):
            evaluated(case, architectures)
        return
    differences = list(compare(evaluated(case, architectures), case["expect"]))
    assert not differences, "\n".join(differences[:20])


def compare(cost: Cost, expect: dict[str, Any]) -> Iterator[str]:
    """Yield every number that differs."""
    for name, level in expect["levels"].items():
        ours = cost[name]
        if set(ours.tensors) != set(level["tensors"]):
            yield f"{name} keeps {sorted(ours.tensors)}, not {sorted(level['tensors'])}"
            continue
        yield from fields(name, ours, level, ("cycles", "throttling", "leakage_pJ"))
        if "computes" in level:
            yield from fields(name, cost, level, ("computes",))
            yield from fields(name, ours, level, ("instances", "energy_pJ"))
        for tensor, numbers in level["tensors"].items():
            yield from fields(f"{name} {tensor}", ours.tensors[tensor], numbers, tuple(numbers))
    for name, links in expect["networks"].items():
        for tensor, numbers in links.items():
            yield from fields(f"{name} {tensor}", cost.networks[name][tensor], numbers, tuple(numbers))
    yield from totals(cost, expect["summary"])


def fields(where: str, ours: Any, theirs: dict[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    printed = {"throttling", "leakage_pJ", "energy_pJ", "ingresses"}
    for name in names:
        if name in theirs:
            found, wanted = getattr(ours, name), theirs[name]
            # Printed numbers carry two digits; everything else is an integer and must agree exactly.
            if abs(found - wanted) > (HALF_A_CENT + 1e-12 * abs(wanted) if name in printed else 0):
                yield f"{where}: {name} is {found}, not {wanted}"


def totals(cost: Cost, summary: dict[str, Any]) -> Iterator[str]:
    for name, found, wanted, tolerance in (
        ("cycles", cost.cycles, summary["cycles"], 0),
        ("computes", cost.computes, summary["computes"], 0),
        ("energy in uJ", cost.energy_pJ * 1e-6, summary["energy_uJ"], HALF_A_CENT),
        ("utilization in %", cost.utilization * 100, summary["utilization"], HALF_A_CENT),
        ("edp", float(f"{cost.edp_J_cycle:.2e}"), summary["edp"], 0),
    ):
        if abs(found - wanted) > tolerance:
            yield f"total {name} is {found}, not {wanted}"
