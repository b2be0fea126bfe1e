"""Why no mapping exists: what a reason names is what stands in the way."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.reader import read_architecture
from dovetail.mapper.search import search
from dovetail.workload.problem import Problem, convolution

FACTOR = re.compile(r"(\w+) (?:fixes|asks for|allows no more than) (\w+?)(<=|>=|=)(\d+)")
SPLIT = re.compile(r"(\w+) has spatial (permutation|split)")
ROOM = re.compile(r"(\w+) holds (\d+) words")
KEEP = re.compile(r"(\w+) has (keep|bypass) (\w+)")

ARCHITECTURE = """
architecture:
  nodes:
  - !Component {name: Far, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component
    name: Mid
    class: SRAM
    attributes: {width: 64, depth: 128, datawidth: 8}
    constraints: {MID}
  - !Container
    name: Unit
    spatial: {meshX: 16, meshY: 16}
    constraints:
      spatial:
        UNIT
  - !Component {name: mul, class: intmac}
"""


def design(mid: str = "{}", unit: str = "{}") -> Architecture:
    text = ARCHITECTURE.replace("{MID}", mid).replace("UNIT", unit)
    return read_architecture(parse_document(text, file="arch.yaml"), "toy")


def energies_of(architecture: Architecture) -> EnergyTable:
    cost = ComponentCost(dict.fromkeys(("read", "write", "update", "leak", "compute"), 1.0))
    return EnergyTable({level.name: cost for level in architecture.levels})


def why(problem: Problem, architecture: Architecture) -> str:
    with pytest.raises(NoMappingError) as caught:
        search(problem, architecture, energies_of(architecture))
    return str(caught.value)


def exists(problem: Problem, architecture: Architecture) -> bool:
    try:
        search(problem, architecture, energies_of(architecture))
    except NoMappingError:
        return False
    return True


LAYER = convolution(C=3, M=64, P=55, Q=55, R=11, S=11, name="conv1")


def test_a_factor_that_does_not_divide_is_named_with_its_line():
    said = why(LAYER, design("{temporal: {factors: [C=0, R=0, S=0]}}", "factors: [Q=7]"))
    assert "inter_Unit_spatial fixes Q=7 (arch.yaml:15), which does not divide Q = 55" in said
    assert "at most" not in said
    assert not re.search(r"\b[CMRSP] = ", said)


def test_factors_of_one_dimension_at_two_levels():
    said = why(LAYER, design("{temporal: {factors: [Q=11]}}", "factors: [Q=11]"))
    assert "Mid fixes Q=11 (arch.yaml:9), while of Q = 55 inter_Unit_spatial takes 11 (arch.yaml:15)" in said
    assert "without any one of these" in said
    said = why(LAYER, design("{temporal: {factors: [Q=0]}}", "factors: [Q=5]"))
    assert "Mid fixes Q=0 (arch.yaml:9), the whole of Q = 55, while of Q = 55 inter_Unit_spatial takes 5" in said


def test_a_split_that_leaves_no_room():
    said = why(LAYER, design("{}", "{permutation: [N, M, C], split: 1, factors: [M=16, C=3]}"))
    assert "inter_Unit_spatial has spatial split 1 (arch.yaml:15): its Y has room for 16, and M 16 x C 3 is 48" in said


def test_several_in_the_way_are_named_together():
    said = why(LAYER, design("{temporal: {factors: [P=2]}}", "factors: [Q=7]"))
    assert "several things stand in the way at once" in said
    assert "fixes Q=7 (arch.yaml:15), which does not divide Q = 55" in said
    assert "fixes P=2 (arch.yaml:9), which does not divide P = 55" in said


def test_a_rule_for_all_dimensions_is_named_by_its_key():
    said = why(LAYER, design("{temporal: {default_min_factor: 2}}", "factors: []"))
    assert "Mid asks for N>=2 (arch.yaml:9), but N = 1" in said


def test_dimensions_of_one_iteration_name_their_lines():
    said = why(replace(LAYER, bounds=(1, *LAYER.bounds[1:])), design("{temporal: {factors: [C>=2]}}", "factors: []"))
    assert "Mid asks for C>=2 (arch.yaml:9), but C = 1" in said


def test_what_the_outermost_level_lets_pass_by_must_fit_further_in_as_a_whole():
    text = ARCHITECTURE.replace("{MID}", "{}").replace("UNIT", "{}")
    text = text.replace("name: Far,", "name: Far, constraints: {dataspace: {bypass: [Inputs]}},")
    said = why(LAYER, read_architecture(parse_document(text, file="arch.yaml"), "toy"))
    assert "Mid holds 1024 words but the smallest tiles it can be given need 12675 (Inputs 12675)" in said
    assert "as all levels outside let Inputs pass by" in said


def test_levels_that_are_large_enough_are_not_blamed():
    """Two of three storages are too small together; the third is not."""
    levels = (
        Storage(name="DRAM", component="DRAM", width=8, datawidth=8),
        Storage(name="big", component="SRAM", width=8, datawidth=8, depth=10_000),
        *(
            Storage(
                name=name,
                component="SRAM",
                width=8,
                datawidth=8,
                depth=1,
                constraints=Constraints(keep=frozenset(kept)),
            )
            for name, kept in (("one", ("Weights", "Inputs")), ("two", ("Inputs", "Outputs")))
        ),
        Compute(name="mac", component="intmac"),
    )
    said = why(convolution(C=2, M=2, P=2, Q=1), Architecture("three", levels))
    assert "big" not in said


# ----- the law: what is named is what stands in the way


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Problem, Architecture]:
    problem = convolution(C=draw(st.sampled_from([4, 6, 9])), M=draw(st.sampled_from([4, 6])), P=3, Q=1, name="layer")
    relations = st.sampled_from([Relation.EQ, Relation.EQ, Relation.LE, Relation.GE])

    def loops(spatial: bool) -> LoopConstraints:
        dimensions = draw(st.sets(st.sampled_from("CMP"), max_size=2))
        factors = tuple(
            FactorConstraint(name, draw(relations), draw(st.sampled_from([1, 2, 3, 4]))) for name in sorted(dimensions)
        )
        pinned = {"inner": ("M", "C"), "split": draw(st.integers(0, 3))} if spatial and draw(st.booleans()) else {}
        return LoopConstraints(factors=factors, **pinned)

    levels: list[Level] = [
        Storage(
            name="DRAM", component="DRAM", width=8, datawidth=8, constraints=Constraints(temporal=loops(spatial=False))
        ),
        Spatial(
            name="array", component="", fanout_x=3, fanout_y=2, constraints=Constraints(spatial=loops(spatial=True))
        ),
        Storage(
            name="near",
            component="SRAM",
            width=8,
            datawidth=8,
            depth=draw(st.sampled_from([2, 3, 8])),
            mesh_x=3,
            mesh_y=2,
            constraints=Constraints(
                keep=draw(st.sampled_from([frozenset(), frozenset({"Weights", "Inputs", "Outputs"})])),
                temporal=loops(spatial=False),
            ),
        ),
        Compute(name="mac", component="intmac", mesh_x=3, mesh_y=2),
    ]
    return problem, Architecture("crowded", tuple(levels))


def lifted(architecture: Architecture, blamed: set[tuple[str, ...]]) -> Architecture:
    """Return the architecture without what a message names."""
    levels = []
    for level in architecture.levels:
        own = level.constraints
        for kind in ("temporal", "spatial"):
            loops: LoopConstraints = getattr(own, kind)
            kept = tuple(
                f
                for f in loops.factors
                if ("factor", level.name, f.dimension, str(f.relation), str(f.value)) not in blamed
            )
            loops = replace(loops, factors=kept)
            if ("split", level.name) in blamed:
                loops = replace(loops, split=None)
            if ("permutation", level.name) in blamed:
                loops = replace(loops, inner=(), outer=())
            own = replace(own, **{kind: loops})
        keep = frozenset(name for name in own.keep if ("keep", level.name, name) not in blamed)
        level = replace(level, constraints=replace(own, keep=keep))
        if ("room", level.name) in blamed:
            level = replace(level, depth=None)
        levels.append(level)
    return replace(architecture, levels=tuple(levels))


def blame(said: str) -> set[tuple[str, ...]]:
    """Return what a message names."""
    found: set[tuple[str, ...]] = {("factor", *match) for match in FACTOR.findall(said)}
    found |= {(kind, level) for level, kind in SPLIT.findall(said)}
    found |= {("room", level) for level, _ in ROOM.findall(said)}
    return found | {(kind, level, name) for level, kind, name in KEEP.findall(said)}


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
@given(crowded())
def test_what_is_named_stands_in_the_way_and_nothing_else_need_be_lifted(case):
    problem, architecture = case
    try:
        search(problem, architecture, energies_of(architecture))
        return
    except NoMappingError as error:
        said = str(error)
    if "would be enough" in said:
        level, need = re.search(r"(\w+) holds \d+ words.*; (\d+) words would be enough", said).groups()
        for words, enough in ((int(need), True), (int(need) - 1, False)):
            sized = tuple(replace(each, depth=words) if each.name == level else each for each in architecture.levels)
            assert exists(problem, replace(architecture, levels=sized)) is enough, said
        return
    named = blame(said)
    assert named, said
    if "several" in said:
        assert exists(problem, lifted(architecture, named)), said
        for one in named:
            assert not exists(problem, lifted(architecture, named - {one})), (said, one)
    else:
        for one in named:
            assert exists(problem, lifted(architecture, {one})), (said, one)


def test_the_tiles_that_are_said_to_be_needed_are_those_of_a_mapping():
    """Of all tiles of so many words, the constraints allow one."""
    made = design("{dataspace: {keep: [Weights]}, temporal: {factors: [C=4, M=100]}}")
    small = tuple(replace(each, depth=8) if each.name == "Mid" else each for each in made.levels)
    said = why(convolution(C=64, M=100, P=48, Q=1, name="p"), replace(made, levels=small))
    assert "need 400 (Weights 400)" in said
    assert "400 words would be enough" in said


def test_bundled_designs_name_what_a_layer_breaks(tmp_path: Path):
    """On a whole design, whose every constraint is tried."""
    text = (Path(__file__).parents[1] / "src/dovetail/hardware/designs/eyeriss_like.yaml").read_text()
    changed = text.replace("factors: [N=1, M=1, P=1, Q=1, S=1]", "factors: [N=1, M=1, P=1, Q=1, S=1, C=5]")
    said = why(convolution(C=16, M=16, P=8, Q=8, R=3, S=3), read_architecture(parse_document(changed), "changed"))
    line = next(n for n, line in enumerate(changed.splitlines(), 1) if "C=5" in line)
    assert f"weights_spad fixes C=5 (<text>:{line}), which does not divide C = 16" in said
