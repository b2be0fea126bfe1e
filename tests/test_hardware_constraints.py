"""Constraints: how they are read, what they mean for one problem."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.binding import bind, largest_factors
from dovetail.hardware.constraint_reader import read_group
from dovetail.hardware.reader import bundled_designs, load_architecture, read_architecture

BOUNDS = {"C": 8, "M": 16, "R": 3, "S": 3, "N": 1, "P": 14, "Q": 14}
TENSORS = {"Weights": "CMRS", "Inputs": "NCPQRS", "Outputs": "NMPQ"}


def group(text: str) -> Constraints:
    return read_group(parse_document(text, file="a.yaml"), {"lanes": 16})


def factors(text: str) -> dict[tuple[str, str], int]:
    read = group(f"{{temporal: {{factors: {text}}}}}").temporal.factors
    return {(factor.dimension, str(factor.relation)): factor.value for factor in read}


@pytest.mark.parametrize("text", ["[C=4, M<=8, P>=2]", "'C=4,M<=8,P>=2'", "C=4 M<=8 P>=2", "'C = 4, M <= 8  P >= 2'"])
def test_factors_in_all_their_forms(text: str) -> None:
    assert factors(text) == {("C", "="): 4, ("M", "<="): 8, ("P", ">="): 2}


def test_strict_bounds_ranges_and_expressions() -> None:
    assert factors("[C<4, C>1, M<=lanes * 2, Q=0, P==3]") == {
        ("C", "<="): 3, ("C", ">="): 2, ("M", "<="): 32, ("Q", "="): 0, ("P", "="): 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{temporal: {factors: [C]}}", "'C' is no factor; write it as 'C=4'"),
        ("{temporal: {factors: [C=x]}}", "unknown name 'x'"),
        ("{temporal: {factors: [C=-1]}}", "must be at least 0"),
        ("{temporal: {factors: [C<1]}}", "leaves no factor"),
        ("{temporal: {factors: [C=1.5]}}", "must be a whole number"),
        ("{temporal: {factors: [C=2, C=3]}}", "the factors C=2, C=3 contradict each other"),
        ("{temporal: {factors: [C>=5, C<=3]}}", "contradict each other"),
        ("{temporal: {factors: [C=2], factors_only: [C=4]}}", "contradict each other"),
        ("{temporal: {factors: {C: 4}}}", "must be a list, found a mapping"),
        ("{temporal: {permutation: [C, M, C]}}", "the permutation names C twice"),
        ("{temporal: {permutaton: [C, M]}}", "unknown key 'permutaton', did you mean 'permutation'?"),
        ("{temporal: {split: 1}}", "unknown key 'split'"),
        ("{spatial: {split: -1}}", "must be at least 0"),
        ("{temporal: {remainders: 3}}", "not supported: factors that do not divide"),
        ("{dataspace: {no_coalesce: [A]}}", "not supported: coalescing"),
        ("{max_overbooked_proportion: {proportion: 0.5}}", "not supported: overbooked"),
        ("{dataspace: {keep: [A], bypass: [A]}}", "A can not both be kept and pass by"),
        ("{dataspace: {keep_only: [A], keep: [B]}}", "B can not both be kept and pass by"),
        ("{dataspace: {bypass_only: [A], bypass: [B]}}", "B can not both be kept and pass by"),
        ("{dataspaces: {keep: [A]}}", "unknown key 'dataspaces', did you mean 'dataspace'?"),
        ("{spatial: {maximize_dims: [[C], 3]}}", "must be a list"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        group(text)
    assert said in str(caught.value)
    assert (caught.value.file, caught.value.line) == ("a.yaml", 1)


@pytest.mark.parametrize("text", ["[N, C, P]", "NCP", "'N, C, P'", "N C P", "NC P", "'NCP # all'"])
def test_permutations_are_turned_round_at_the_door(text: str) -> None:
    loops = group(f"{{spatial: {{permutation: {text}, split: 2}}}}").spatial
    assert (loops.inner, loops.outer, loops.split) == (("P", "C", "N"), (), 2)


def test_a_permutation_may_pin_the_outermost_too() -> None:
    loops = group("{temporal: {permutation: [R, S, _, M, C]}}").temporal
    assert (loops.inner, loops.outer) == (("S", "R"), ("C", "M"))


def test_the_tutorials_idiom_for_all_on_x() -> None:
    assert group("{spatial: {split: len(spec.problem.instance)}}").spatial.split == 999


FREE = Constraints()


def architecture(storage: Constraints, spatial: Constraints = FREE, fanout: int = 16) -> Architecture:
    return Architecture(
        "a",
        (
            Storage(name="DRAM", component="DRAM", width=8, datawidth=8),
            Storage(name="buffer", component="SRAM", width=8, datawidth=8, depth=64, constraints=storage),
            Spatial(name="array", component="fanout", fanout_x=fanout, fanout_y=1, constraints=spatial),
            Compute(name="mac", component="intmac", mesh_x=fanout),
        ),
    )


def bound(text: str, bounds: dict[str, int] = BOUNDS) -> Constraints:
    return bind(architecture(group(text)), bounds, TENSORS).level("buffer").constraints


@pytest.mark.parametrize(
    ("text", "keep", "bypass"),
    [
        ("{keep_only: [Inputs]}", {"Inputs"}, {"Weights", "Outputs"}),
        ("{bypass_only: [Inputs]}", {"Weights", "Outputs"}, {"Inputs"}),
        ("{keep: ['*']}", {"Weights", "Inputs", "Outputs"}, set()),
        ("{keep_only: []}", set(), {"Weights", "Inputs", "Outputs"}),
        ("{keep: [Inputs], bypass: [Weights]}", {"Inputs"}, {"Weights"}),
    ],
)
def test_what_is_kept_for_a_problem(text: str, keep: set[str], bypass: set[str]) -> None:
    constraints = bound(f"{{dataspace: {text}}}")
    assert (constraints.keep & set(TENSORS), constraints.bypass) == (keep, bypass)


def ones(constraints: Constraints) -> set[str]:
    return {f.dimension for f in constraints.temporal.factors if f == FactorConstraint(f.dimension, Relation.EQ, 1)}


def test_dimensions_that_are_not_listed_have_factor_one() -> None:
    assert ones(bound("{temporal: {factors_only: [C=4, M<=2]}}")) == set("RSNPQ")
    assert ones(bound("{temporal: {factors_only: []}}")) == set(BOUNDS)
    assert ones(bound("{temporal: {no_iteration_over_dataspaces: [Weights]}}")) == set("CMRS")
    assert ones(bound("{temporal: {must_iterate_over_dataspaces: [Weights]}}")) == set("NPQ")
    assert ones(bound("{temporal: {no_iteration_over_dataspaces: ['*']}}")) == set(BOUNDS)
    with pytest.raises(InputError, match="buffer: C=4 contradicts"):
        bound("{temporal: {no_iteration_over_dataspaces: [Weights], factors: [C=4]}}")


def test_default_bounds_reach_dimensions_that_have_none() -> None:
    limits = {
        f.dimension: f.value for f in bound("{temporal: {default_max_factor: 4, factors: M<=2}}").temporal.factors
    }
    assert limits == {"M": 2, **dict.fromkeys("CRSNPQ", 4)}


def test_default_bounds_from_below_reach_dimensions_that_have_none() -> None:
    limits = bound("{temporal: {default_min_factor: 2, factors: [M>=3, C<=4]}}").temporal.factors
    least = {factor.dimension: factor.value for factor in limits if factor.relation is Relation.GE}
    assert least == {"M": 3, **dict.fromkeys("CRSNPQ", 2)}


@pytest.mark.parametrize(
    ("kind", "key", "field"),
    [
        ("temporal", "no_reuse", "no_reuse"),
        ("temporal", "rmw_first_update", "rmw_first_update"),
        ("spatial", "no_reuse", "no_reuse"),
        ("spatial", "no_link_transfer", "no_link_transfer"),
    ],
)
def test_a_star_stands_for_all_tensors(kind: str, key: str, field: str) -> None:
    read = group(f"{{{kind}: {{{key}: ['*']}}}}")
    level = architecture(read) if kind == "temporal" else architecture(FREE, read)
    name = "buffer" if kind == "temporal" else "array"
    found = getattr(bind(level, BOUNDS, TENSORS).level(name).constraints, kind)
    assert getattr(found, field) == set(TENSORS)


def maximized(spatial: str, fanout: int = 16, bounds: dict[str, int] = BOUNDS) -> dict[str, int]:
    level = bind(architecture(Constraints(), group(spatial), fanout), bounds, TENSORS).level("array")
    return {factor.dimension: factor.value for factor in level.constraints.spatial.factors}


def test_maximized_dimensions_fill_the_fan_out_group_by_group() -> None:
    assert maximized("{spatial: {maximize_dims: [[M]]}}") == {"M": 16}
    assert maximized("{spatial: {maximize_dims: [M, C]}}", 128) == {"M": 16, "C": 8}
    assert math.prod(maximized("{spatial: {maximize_dims: [[M, C]]}}", 32).values()) == 32
    assert maximized("{spatial: {maximize_dims: [[C], [M]]}}", 32) == {"C": 8, "M": 4}
    assert maximized("{spatial: {maximize_dims: [[C], [M]], factors: [R=3]}}", 32) == {"R": 3, "C": 8, "M": 1}
    with pytest.raises(InputError, match="C cannot be maximized, its factor is constrained already"):
        maximized("{spatial: {maximize_dims: [[C]], factors: [C=2]}}")
    with pytest.raises(InputError, match="needs a maximize_dims_capacity"):
        bound("{temporal: {maximize_dims: [[C]]}}")
    assert bound("{temporal: {maximize_dims: [[C]], maximize_dims_capacity: 4}}").temporal.factors == (
        FactorConstraint("C", Relation.EQ, 4),
    )


@given(st.integers(1, 60), st.integers(0, 9), st.booleans())
def test_maximizing_takes_all_that_a_fixed_factor_leaves_rounded_up(iterations: int, fixed: int, across: bool) -> None:
    """Where the fixed factor does not divide the bound, its last pass is shorter; 0 stands for the whole bound."""
    own, most = f"factors: [M={fixed}]", "maximize_dims: [[M]], maximize_dims_capacity: 60"
    constraints = [group(f"{{temporal: {{{own}}}}}"), group(f"{{spatial: {{{most}}}}}")]
    if across:
        constraints = [group(f"{{temporal: {{{most}}}}}"), group(f"{{spatial: {{{own}}}}}")]
    levels = bind(architecture(*constraints, fanout=60), {**BOUNDS, "M": iterations}, TENSORS)
    found = levels.level("buffer").constraints.temporal if across else levels.level("array").constraints.spatial
    taken = min(fixed, iterations) or iterations
    assert found.factors == (FactorConstraint("M", Relation.EQ, -(-iterations // taken)),)


@given(
    st.dictionaries(st.sampled_from("CMRSPQ"), st.integers(1, 300), min_size=1, max_size=4),
    st.integers(1, 300),
)
def test_largest_factors_fit(sizes: dict[str, int], capacity: int) -> None:
    found = largest_factors(sizes, capacity)
    assert list(found) == list(sizes)
    assert math.prod(found.values()) <= capacity
    assert all(1 <= found[name] <= size for name, size in sizes.items())
    if any(size >= capacity and size % capacity == 0 for size in sizes.values()):
        assert math.prod(found.values()) == capacity


@pytest.mark.parametrize("name", bundled_designs())
def test_binding_twice_is_binding_once(name: str) -> None:
    once = bind(load_architecture(name), BOUNDS, TENSORS)
    assert bind(once, BOUNDS, TENSORS) is once
    for level in once.levels:
        assert not level.constraints.keep & level.constraints.bypass
        assert level.constraints.bypass_all_but is None


NODES = """
architecture:
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 8, datawidth: 8}}
  - !Container {name: PE, spatial: {meshX: 4}, constraints: {spatial: {factors: [C=1]}}}
  - !Component {name: spad, class: regfile, attributes: {width: 8, datawidth: 8, depth: 4}, constraints: {OWN}}
  - !Component {name: mac, class: intmac}
"""


def with_targets(targets: str, own: str = "") -> Architecture:
    text = f"constraints:\n  version: 0.4\n  targets: {targets}\n{NODES.replace('OWN', own)}"
    return read_architecture(parse_document(text, file="a.yaml"), "a")


def test_constraints_of_another_section_join_those_of_the_nodes() -> None:
    built = with_targets(
        "[{target: spad, type: temporal, factors: [M=1], permutation: [C, M]},"
        " {target: spad, type: bypass, keep: [Weights]}, {target: PE, type: spatial, factors: [M=2]},"
        " {target: inter_PE_spatial, type: spatial, split: 3}]",
        "temporal: {factors: [C=1]}",
    )
    assert built.level("spad").constraints == replace(
        group("{temporal: {factors: [C=1, M=1], permutation: [C, M]}, dataspace: {keep: [Weights]}}")
    )
    assert built.level("inter_PE_spatial").constraints == group("{spatial: {factors: [C=1, M=2], split: 3}}")


@pytest.mark.parametrize("kind", ["utilization", "parallelism"])
def test_how_many_units_must_be_in_use_is_passed_over_with_a_note(kind: str) -> None:
    built = with_targets(f"[{{target: spad, type: {kind}, min: 0.25}}, {{target: PE, type: spatial, factors: [M=2]}}]")
    assert built.levels == with_targets("[{target: PE, type: spatial, factors: [M=2]}]").levels
    why = "mappings that leave units idle are compared by what they cost"
    assert built.notes == (f"a.yaml:3: '{kind}' (at least 0.25) is passed over: {why}",)


@pytest.mark.parametrize(
    ("targets", "own", "said"),
    [
        ("[{target: spat, type: temporal}]", "", "unknown target 'spat', did you mean 'spad'?"),
        (
            "[{target: spad, type: temporal, permutation: [M, C]}]",
            "temporal: {permutation: [C, M]}",
            "constrained twice",
        ),
        ("[{target: spad, type: temporal, factors: [C=2]}]", "temporal: {factors: [C=1]}", "contradict each other"),
        ("[{target: spad, type: dataspace, keep: [W]}]", "dataspace: {bypass: [W]}", "W can not both be kept"),
        ("[{target: spad, type: utilization, min: x}]", "", "must be a number"),
        ("[{target: spad, type: parallelism}]", "", "the key 'min' is missing"),
        ("[{type: temporal}]", "", "the key 'target' is missing"),
        ("{target: spad}", "", "must be a list"),
    ],
)
def test_constraints_of_another_section_that_do_not_fit(targets: str, own: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        with_targets(targets, own)
    assert said in str(caught.value)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "given",
    [
        "FACTORS: [C=4, M<=2]\n  ORDER: [Q, P]\n  KEPT: [Inputs]",
        'FACTORS: "C=4 M<=2"\n  ORDER: "Q P"\n  KEPT: "Inputs"',
        "FACTORS: ('C=' + str(2 * 2) + ' M<=2')\n  ORDER: (['Q'] + ['P'])\n  KEPT: ['Inputs']",
    ],
)
def test_lists_and_texts_may_be_variables(given: str) -> None:
    """As the front end has it: what a constraint names may be a variable's list, or its text."""
    said = "{temporal: {factors: FACTORS, permutation: ORDER}, dataspace: {keep: KEPT}}"
    text = """\
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Component {name: glb, class: SRAM, attributes: {depth: 64, width: 64, datawidth: 16}, constraints: SAID}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 16}}
"""
    plain = "{temporal: {factors: [C=4, M<=2], permutation: [Q, P]}, dataspace: {keep: [Inputs]}}"
    named = read_architecture(parse_document(text.replace("SAID", said) + f"variables:\n  {given}\n", file="a"), "a")
    wanted = read_architecture(parse_document(text.replace("SAID", plain), file="a"), "a")
    assert named.level("glb").constraints == wanted.level("glb").constraints
    with pytest.raises(InputError, match=r"'FACTORS' is no factor"):
        read_architecture(parse_document(text.replace("SAID", said), file="a"), "a")
