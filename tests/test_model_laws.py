"""Laws that any cost model of this kind obeys, whatever its numbers: what must not matter does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import CapacityError
from dovetail.hardware.architecture import Storage
from dovetail.mapping.mapping import Loop, Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem, Shape, Tensor, Term
from model_strategies import Setup, setups


def cost_of(setup: Setup) -> Cost:
    try:
        return evaluate(*setup)
    except CapacityError:
        assume(False)
        raise


def with_loops(mapping: Mapping, change: Callable[[tuple[Loop, ...]], tuple[Loop, ...]]) -> Mapping:
    return Mapping(
        tuple(
            replace(
                entry,
                temporal=change(entry.temporal),
                spatial_x=change(entry.spatial_x),
                spatial_y=change(entry.spatial_y),
            )
            for entry in mapping.levels
        )
    )


def renamed_and_permuted(problem: Problem, order: list[str], names: dict[str, str]) -> Problem:
    shape = problem.shape
    tensors = tuple(
        Tensor(
            tensor.name,
            tuple(tuple(Term(names[term.dimension], term.coefficient) for term in axis) for axis in tensor.projection),
            tensor.is_output,
        )
        for tensor in shape.tensors
    )
    dimensions = tuple(names[d] for d in order)
    bounds = tuple(problem.bound(d) for d in order)
    return Problem(Shape(shape.name, dimensions, tensors, shape.coefficients), bounds, problem.coefficients)


@given(st.data(), setups(special=True))
@settings(max_examples=30)
def test_names_and_order_of_dimensions_do_not_matter(data: st.DataObject, setup: Setup) -> None:
    order = data.draw(st.permutations(setup.problem.shape.dimensions))
    names = dict(zip(order, (f"dim{i}" for i in range(len(order))), strict=True))
    mapping = with_loops(setup.mapping, lambda loops: tuple(Loop(names[loop.dimension], loop.factor) for loop in loops))
    problem = renamed_and_permuted(setup.problem, order, names)
    assert cost_of(setup) == evaluate(mapping, problem, setup.architecture, setup.energies)


@given(setups(special=True))
@settings(max_examples=30)
def test_loops_of_one_iteration_do_not_matter(setup: Setup) -> None:
    assert cost_of(setup) == cost_of(setup._replace(mapping=setup.mapping.normalized()))


def with_bandwidth(setup: Setup, factor: float) -> Setup:
    def widened(rate: float | None) -> float | None:
        return None if rate is None else rate * factor

    levels = tuple(
        replace(
            level,
            read_bandwidth=widened(level.read_bandwidth),
            write_bandwidth=widened(level.write_bandwidth),
            shared_bandwidth=widened(level.shared_bandwidth),
        )
        if isinstance(level, Storage)
        else level
        for level in setup.architecture.levels
    )
    return setup._replace(architecture=replace(setup.architecture, levels=levels))


@given(setups(special=True), st.sampled_from([1.01, 2, 1000]))
@settings(max_examples=30)
def test_more_bandwidth_never_costs_cycles(setup: Setup, factor: float) -> None:
    narrow, wide = cost_of(setup), cost_of(with_bandwidth(setup, factor))
    assert wide.cycles <= narrow.cycles
    assert [level.tensors for level in wide.levels] == [level.tensors for level in narrow.levels]


@given(setups(special=True), st.floats(0, 8))
@settings(max_examples=30)
def test_energy_is_linear_in_the_energy_table(setup: Setup, factor: float) -> None:
    def energy(scale: Callable[[str, str, float], float]) -> float:
        components = {
            name: ComponentCost({action: scale(name, action, pJ) for action, pJ in cost.actions.items()})
            for name, cost in setup.energies.components.items()
        }
        return cost_of(setup._replace(energies=EnergyTable(components))).energy_pJ

    whole = energy(lambda _name, _action, pJ: pJ)
    tolerance = 1e-9 * (1 + whole) * (1 + factor)
    assert abs(energy(lambda _name, _action, pJ: pJ * factor) - factor * whole) <= tolerance
    actions = ("read", "write", "update", "leak", "compute")
    parts = [energy(lambda _name, action, pJ, one=one: pJ if action == one else 0.0) for one in actions]  # type: ignore[misc]
    assert abs(sum(parts) - whole) <= tolerance


@given(setups(special=True))
@settings(max_examples=30)
def test_parts_add_up_and_nothing_is_faster_than_computing(setup: Setup) -> None:
    cost = cost_of(setup)
    assert abs(sum(level.energy_pJ for level in cost.levels) - cost.energy_pJ) <= 1e-9 * (1 + cost.energy_pJ)
    assert cost.cycles * setup.mapping.parallelism >= cost.computes == setup.problem.macs
    assert 0 < cost.utilization <= 1
