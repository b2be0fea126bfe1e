"""What holds a layer back: whatever is blamed, the exact search finds fewer cycles once it is lifted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.binding import Binding, Reason
from dovetail.mapper.objective import Objective
from dovetail.mapper.reasons import BUSY, reason
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.model.evaluate import evaluate
from dovetail.workload.loading import load_network
from dovetail.workload.problem import Problem, convolution

Setup = tuple[Problem, Architecture, EnergyTable]
TINY_CSV = "# network: tiny\nname,C,M,P,Q,R,S\ne1,3,16,224,224,3,3\nout,16,2,224,224,1,1\n"


def least_cycles(problem: Problem, architecture: Architecture, energies: EnergyTable) -> int:
    return search(problem, architecture, energies, Objective.LATENCY).cost.cycles


def told(setup: Setup, objective: Objective = Objective.EDP) -> tuple[SearchResult, Reason]:
    result = search(*setup, objective)
    return result, reason(*setup, result)


def changed(architecture: Architecture, name: str, **fields: object) -> Architecture:
    levels = (replace(level, **fields) if level.name == name else level for level in architecture.levels)
    return replace(architecture, levels=tuple(levels))


def without_bandwidth(architecture: Architecture, names: list[str]) -> Architecture:
    for name in names:
        architecture = changed(architecture, name, read_bandwidth=None, write_bandwidth=None, shared_bandwidth=None)
    return architecture


def without_constraints(architecture: Architecture, name: str) -> Architecture:
    own = architecture.level(name).constraints
    temporal = LoopConstraints(rmw_first_update=own.temporal.rmw_first_update, no_reuse=own.temporal.no_reuse)
    spatial = LoopConstraints(no_reuse=own.spatial.no_reuse, no_link_transfer=own.spatial.no_link_transfer)
    return changed(architecture, name, constraints=Constraints(temporal=temporal, spatial=spatial))


def sized(problem: Problem, name: str, size: int) -> Problem:
    names = problem.shape.dimensions
    return replace(problem, bounds=tuple(size if n == name else b for n, b in zip(names, problem.bounds, strict=True)))


def most_units(problem: Problem, architecture: Architecture, energies: EnergyTable) -> int:
    free = without_bandwidth(architecture, [level.name for level in architecture.storages])
    return search(problem, free, energies, Objective.LATENCY).mapping.parallelism


def holds(setup: Setup, result: SearchResult, found: Reason) -> None:
    """Check a reason with searches that know nothing of how it was found."""
    problem, architecture, energies = setup
    cycles, least = result.cost.cycles, least_cycles(*setup)
    if found.binding is Binding.COMPUTE:
        assert result.cost.utilization >= BUSY
    elif found.binding is Binding.CHOICE:
        assert least <= found.cycles < cycles
    elif found.binding is Binding.BANDWIDTH:
        free = without_bandwidth(architecture, found.what.split(" and "))
        same = evaluate(result.mapping, problem, free, energies).cycles
        assert min(same, least_cycles(problem, free, energies)) <= found.cycles < cycles
    elif found.binding is Binding.CONSTRAINT:
        free = without_constraints(architecture, found.what)
        assert least_cycles(problem, free, energies) <= found.cycles < least
    elif found.binding is Binding.CAPACITY:
        factor = int(re.match(r"with (\d+) times", found.text)[1])
        level = architecture.level(found.what)
        larger = changed(architecture, found.what, depth=level.depth * factor)
        assert least_cycles(problem, larger, energies) <= found.cycles < least
        better = search(problem, larger, energies, result.objective).certificate.value
        assert better < result.certificate.value
    elif found.binding is Binding.DIVISIBILITY and found.cycles is not None:
        size = int(re.match(rf"with {found.what} (\d+) instead", found.text)[1])
        assert size > problem.bound(found.what)
        assert least_cycles(sized(problem, found.what, size), architecture, energies) <= found.cycles < least
    elif found.binding in (Binding.DIMENSIONS, Binding.DIVISIBILITY):
        name, size, units = re.search(r"; with (\w+) (\d+) it would be (\d+)", found.text).groups()
        assert most_units(sized(problem, name, int(size)), architecture, energies) == int(units)
        assert int(units) > most_units(*setup) == found.units
    else:
        assert found.binding is Binding.SEVERAL
        for level in architecture.levels[1:-1]:
            if isinstance(level, Spatial) and all(s.read_bandwidth is s.write_bandwidth for s in architecture.storages):
                assert least_cycles(problem, without_constraints(architecture, level.name), energies) == least


def machine(*levels: Spatial | Storage, units: int) -> tuple[Architecture, EnergyTable]:
    dram = Storage(name="DRAM", component="DRAM", width=64, datawidth=16)
    design = Architecture("made", (dram, *levels, Compute(name="mac", component="intmac", mesh_x=units)))
    actions = {"read": 1.0, "write": 1.0, "update": 1.0, "leak": 0.0}
    table = {level.name: ComponentCost(actions) for level in (dram, *levels) if isinstance(level, Storage)}
    return design, EnergyTable({**table, "mac": ComponentCost({"compute": 1.0, "leak": 0.0})})


ALL = frozenset({"Weights", "Inputs", "Outputs"})


def buffer(depth: int, **fields: object) -> Storage:
    return Storage(
        name="buffer",
        component="SRAM",
        width=16,
        datawidth=16,
        depth=depth,
        constraints=Constraints(keep=ALL),
        **fields,
    )


ROW = Spatial(name="row", component="", fanout_x=4, fanout_y=1)
LAYER = convolution(C=8, M=8, P=4, Q=4, name="layer")


@st.composite
def idle_setups(draw: st.DrawFn) -> Setup:
    """A layer and a small array that it is likely to leave partly idle, for whatever reason."""
    size = st.sampled_from([1, 2, 3, 5, 8, 13])
    problem = convolution(C=draw(size), M=draw(size), P=draw(size), Q=1, name="layer")
    rate = st.sampled_from([None, None, 1.0, 2.0])
    kept = frozenset(draw(st.permutations(sorted(ALL)))[: draw(st.integers(1, 3))])
    outer = replace(buffer(draw(st.sampled_from([3, 6, 64])), read_bandwidth=draw(rate)), constraints=Constraints(kept))
    names = draw(st.permutations(["C", "M", "P"]))
    loops = draw(
        st.sampled_from(
            [
                LoopConstraints(),
                LoopConstraints(factors=(FactorConstraint(names[0], Relation.EQ, 1),)),
                LoopConstraints(factors=(FactorConstraint(names[0], Relation.LE, 2),), only_listed=True),
                LoopConstraints(inner=tuple(names), split=1),
            ]
        )
    )
    x, y = draw(st.sampled_from([(4, 1), (6, 1), (4, 3), (3, 8)]))
    array = Spatial(name="array", component="", fanout_x=x, fanout_y=y, constraints=Constraints(spatial=loops))
    return problem, *machine(outer, array, units=x * y)


@settings(max_examples=25)
@given(idle_setups(), st.sampled_from(Objective))
def test_what_is_blamed_makes_a_difference(setup: Setup, objective: Objective) -> None:
    try:
        result = search(*setup, objective)
    except NoMappingError:
        assume(False)
        raise
    found = reason(*setup, result)
    event(str(found.binding))
    holds(setup, result, found)


def test_a_buffer_that_is_too_small_for_more_units_is_blamed_and_the_size_that_is_enough_is_named() -> None:
    setup = (LAYER, *machine(buffer(3), ROW, units=4))
    result, found = told(setup)
    assert (found.label, result.mapping.parallelism) == ("capacity buffer", 1)
    assert "with 4 times its 3 words 256 cycles would be within reach instead of 1,024" in found.text
    holds(setup, result, found)


def test_a_certificate_says_what_keeps_units_idle() -> None:
    small, large = (search(LAYER, *machine(buffer(depth), ROW, units=4)) for depth in (3, 64))
    said = "constraints, sizes and capacities let at most 1 of 4 compute units work at a time"
    assert said in small.certificate.binding
    assert not any("let at most" in each or "are used of" in each for each in large.certificate.binding)


def test_a_buffer_that_is_full_is_not_blamed() -> None:
    """Of 4 units 3 can work, as 3 is all that runs in parallel: the buffer's size changes nothing."""
    only_c = Constraints(spatial=LoopConstraints(inner=("C",), only_listed=True, factors=()))
    row = replace(ROW, constraints=only_c)
    problem = convolution(C=3, M=8, P=4, Q=4, name="three")
    setup = (problem, *machine(buffer(8), row, units=4))
    result, found = told(setup)
    assert found.binding is not Binding.CAPACITY
    holds(setup, result, found)


def test_bandwidth_is_blamed_where_nothing_waits_because_more_units_would() -> None:
    slow = buffer(64, read_bandwidth=1.0)
    setup = (LAYER, *machine(slow, ROW, units=4))
    result, found = told(setup)
    assert found.label == "bandwidth buffer"
    holds(setup, result, found)


def test_the_objective_is_blamed_only_where_a_faster_mapping_exists() -> None:
    design = load_architecture("eyeriss_like")
    setup = (convolution(C=12, M=14, P=4, Q=4, name="fits"), design, estimate(design))
    result, found = told(setup, Objective.ENERGY)
    assert found.binding is Binding.CHOICE
    assert "has the best energy" in found.text
    assert found.cycles < result.cost.cycles
    assert told(setup, Objective.LATENCY)[1].binding is not Binding.CHOICE


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (convolution(C=3, M=16, P=224, Q=224, R=3, S=3, name="e1"), "C 3 x M 16 = 48 of 256 compute units is all"),
        (convolution(C=16, M=2, P=224, Q=224, name="out"), "C 16 x M 2 = 32 of 256 compute units is all"),
        (load_network("mobilenet_v2").layers[1].problem, "G 32 = 32 of 256 compute units is all"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_dimensions_that_are_used_up_are_blamed_not_the_buffer(problem: Problem, words: str) -> None:
    design = load_architecture("simba_like")
    energies = estimate(design)
    result, found = told((problem, design, energies))
    assert found.label == "too few parallel dimensions"
    assert found.text.startswith(words)
    deeper = changed(design, "GlobalBuffer", depth=32 * design.level("GlobalBuffer").depth)
    assert search(problem, deeper, energies).cost.cycles == result.cost.cycles


def test_a_dimension_that_does_not_divide_is_blamed_with_a_size_that_would() -> None:
    design = load_architecture("eyeriss_like")
    setup = (convolution(C=64, M=13, P=1, Q=1, name="odd"), design, estimate(design))
    result, found = told(setup)
    holds(setup, result, found)
    setup = (convolution(C=512, M=1000, P=1, Q=1, name="fc"), design, estimate(design))
    result, found = told(setup)
    assert found.label == "divisibility M"
    assert found.text.startswith("with M 1008 instead of 1000 the layer, though larger, could take 3,072 cycles")
    holds(setup, result, found)


def test_a_split_that_leaves_an_axis_idle_is_blamed() -> None:
    design = load_architecture("simple_weight_stationary")
    setup = (convolution(C=16, M=16, P=1, Q=1, name="pointwise"), design, estimate(design))
    result, found = told(setup)
    assert found.label == "constraint inter_PE_spatial"
    assert "first 1 on X" in found.text
    assert found.units == 16
    holds(setup, result, found)


def test_an_answer_that_is_not_proven_is_not_said_to_be_the_best() -> None:
    design = load_architecture("eyeriss_like")
    setup = (convolution(C=12, M=14, P=4, Q=4, name="fits"), design, estimate(design))
    result = search(*setup, Objective.ENERGY)
    guessed = replace(result, certificate=replace(result.certificate, exact=False))
    found = reason(*setup, guessed)
    assert found.binding is Binding.CHOICE
    assert "not proven to have the best energy" in found.text


def test_reasons_are_the_same_after_storing() -> None:
    design = load_architecture("simba_like")
    setup = (convolution(C=3, M=16, P=4, Q=4, name="small"), design, estimate(design))
    _, found = told(setup)
    assert Reason.from_data(found.to_data()) == found


def test_compare_explain_and_report_say_the_same(tmp_path, capsys) -> None:
    (tmp_path / "tiny.csv").write_text(TINY_CSV.replace("224", "4"), encoding="utf-8")
    network = str(tmp_path / "tiny.csv")
    assert main(["compare", network, "--on", "simba_like", "--wide"]) == 0
    assert re.search(r"e1 +1 +too few parallel dimensions ", capsys.readouterr().out)
    assert main(["explain", f"{network}:1", "--on", "simba_like"]) == 0
    said = "C 3 x M 16 = 48 of 256 compute units is all that the design can run in parallel"
    assert f"bound by too few parallel dimensions, because {said}" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["report", network, "--on", "simba_like", "--no-front", "--no-advice", "--html", str(page)]) == 0
    assert "more than half of the compute units idle: C x M is all" in capsys.readouterr().out
    assert said in page.read_text(encoding="utf-8")
