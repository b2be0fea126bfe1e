"""Mappings as Timeloop directives: every spelling read, completed as the reference does, written back unchanged."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.errors import InputError
from dovetail.hardware.architecture import Constraints
from dovetail.mapping.check import check_mapping
from dovetail.mapping.directives import mapping_from_directives, mapping_to_directives
from dovetail.mapping.mapping import Loop
from mapping_strategies import EVERYTHING, EYERISS, LAYER, NEST, architectures, mappings, problems


def read(*directives):
    return mapping_from_directives(list(directives), EYERISS, LAYER)


def loops_of(factors, permutation="CMRSNPQ"):
    directive = {"target": "DRAM", "type": "temporal", "factors": factors, "permutation": permutation}
    return read(directive)["DRAM"].temporal


@given(st.data())
def test_what_is_written_is_read_back(data):
    architecture, problem = data.draw(architectures()), data.draw(problems())
    mapping = data.draw(mappings(architecture, problem))
    check_mapping(mapping, problem, architecture)
    directives = mapping_to_directives(mapping, architecture, problem)
    again = mapping_from_directives(directives, architecture, problem)
    assert again == mapping.normalized()
    check_mapping(again, problem, architecture)


@given(st.data())
def test_the_order_of_directives_does_not_matter(data):
    directives = mapping_to_directives(NEST, EYERISS, LAYER)
    assert mapping_from_directives(data.draw(st.permutations(directives)), EYERISS, LAYER) == NEST


@pytest.mark.parametrize(
    "factors",
    [
        "C=3 M=4",
        "C3 M4",
        "C 3 M==4",
        "C=3,M=4",
        "C = 3, M = 4  # the rest is 1",
        ["C=3", "M=4"],
        ["C3 M4"],
        {"C": 3, "M": 4},
        {"C": 3, "M": [4, 4]},
        "C=0 M=4,4",
    ],
)
def test_spellings_of_factors(factors):
    assert loops_of(factors) == (Loop("M", 4), Loop("C", 3))


@pytest.mark.parametrize("factors", ["P=5,3", "P5,3", ["P=5,3"], {"P": [5, 3]}])
def test_spellings_of_residuals(factors):
    assert loops_of(factors) == (Loop("P", 5, 3),)


@pytest.mark.parametrize(
    "permutation", ["MCQP", "M C Q P", "M, C, Q, P", ["M", "C", "Q", "P"], ["M", "C", "Q", "P", "R"], "MCQPRSN # all"]
)
def test_permutations_are_innermost_first(permutation):
    assert [loop.dimension for loop in loops_of("C=3 M=2 P=2 Q=2", permutation)] == ["P", "Q", "C", "M"]


def test_dimensions_missing_from_a_permutation_follow_in_the_order_of_the_problem():
    assert [loop.dimension for loop in loops_of("C=3 M=2 P=2 Q=2", "P")] == ["Q", "M", "C", "P"]


def test_split_parts_x_from_y():
    spatial = {"target": "inter_PE_spatial", "type": "spatial", "factors": "M=2 C=3 S=3", "permutation": "MCSRNPQ"}
    entry = read({**spatial, "split": 1})["inter_PE_spatial"]
    assert (entry.spatial_x, entry.spatial_y) == ((Loop("M", 2),), (Loop("S", 3), Loop("C", 3)))
    assert read({**spatial, "split": 0})["inter_PE_spatial"].spatial_x == ()
    assert read(spatial)["inter_PE_spatial"].spatial_y == ()


@pytest.mark.parametrize("target", ["inter_PE_column_spatial", "PE_column", "shared_glb", 3])
def test_names_of_a_fanout(target):  # numbers count from the innermost storage, fan-outs included
    mapping = read({"target": target, "type": "spatial", "factors": "Q=14", "permutation": "Q"})
    assert mapping["inter_PE_column_spatial"].spatial_x == (Loop("Q", 14),)


def test_silence_keeps_a_tensor_unless_the_architecture_bypasses_it():
    levels = list(EYERISS.levels)
    levels[1] = replace(levels[1], constraints=Constraints(bypass=frozenset({"Weights"})))
    architecture = replace(EYERISS, levels=tuple(levels))
    mapping = mapping_from_directives(
        [{"target": "psum_spad", "type": "bypass", "bypass": ["Inputs"]}], architecture, LAYER
    )
    assert mapping["DRAM"].keep == EVERYTHING
    assert mapping["shared_glb"].keep == {"Inputs", "Outputs"}
    assert mapping["psum_spad"].keep == {"Weights", "Outputs"}
    assert mapping["inter_PE_spatial"].keep == frozenset()


@pytest.mark.parametrize("kind", ["bypass", "datatype", "dataspace", "data-space"])
@pytest.mark.parametrize(
    "said",
    [
        {"keep": ["Outputs"], "bypass": ["Weights", "Inputs"]},
        {"keep_only": ["Outputs"]},
        {"bypass-only": ["Weights", "Inputs"]},
    ],
)
def test_spellings_of_bypass(kind, said):
    assert read({"target": "psum_spad", "type": kind, **said})["psum_spad"].keep == {"Outputs"}


def test_star_means_every_tensor():
    assert read({"target": "psum_spad", "type": "bypass", "bypass": ["*"]})["psum_spad"].keep == frozenset()


@pytest.mark.parametrize(
    ("directive", "key", "message"),
    [
        ("DRAM", "mapping[0]", "a directive is a mapping"),
        ({"target": "DRAM"}, "mapping[0]", "missing key 'type'"),
        ({"type": "temporal"}, "mapping[0]", "missing key 'target'"),
        ({"target": "DRAM", "type": "temporel"}, "mapping[0].type", "did you mean 'temporal'?"),
        ({"target": "DRAM", "type": 3}, "mapping[0].type", "unknown type of directive 3"),
        ({"target": "shared_gbl", "type": "temporal"}, "mapping[0].target", "did you mean 'shared_glb'?"),
        ({"target": "mac", "type": "temporal"}, "mapping[0].target", "no level 'mac'"),
        ({"target": 6, "type": "temporal"}, "mapping[0].target", "level 6 of 6"),
        ({"target": ["DRAM"], "type": "temporal"}, "mapping[0].target", "the name of a level"),
        ({"target": "weights_spad", "type": "spatial"}, "mapping[0].target", "no fan-out below it"),
        ({"target": "DRAM", "type": "temporal", "factor": "C=3"}, "mapping[0]", "did you mean 'factors'?"),
        ({"target": "DRAM", "type": "temporal", "spilt": 3}, "mapping[0]", "unknown key 'spilt'"),
        ({"target": "DRAM", "type": "temporal", "no-reuse": ["Inputs"]}, "mapping[0]", "architecture does not say it"),
        ({"target": "DRAM", "type": "bypass", "no-coalesce": ["Inputs"]}, "mapping[0]", "not supported in a mapping"),
        ({"target": "DRAM", "type": "temporal", "no_link_transfer": ["Inputs"]}, "mapping[0]", "unknown key"),
        ({"target": "DRAM", "type": "temporal", "factors": "X=3"}, "mapping[0].factors", "unknown dimension 'X'"),
        ({"target": "DRAM", "type": "temporal", "factors": "C<=3"}, "mapping[0].factors", "states factors with '='"),
        ({"target": "DRAM", "type": "temporal", "factors": "C=-3"}, "mapping[0].factors", "cannot read"),
        ({"target": "DRAM", "type": "temporal", "factors": "C=3.5"}, "mapping[0].factors", "cannot read"),
        ({"target": "DRAM", "type": "temporal", "factors": "C=3 C=2"}, "mapping[0].factors", "C has two factors"),
        ({"target": "DRAM", "type": "temporal", "factors": "C=3,4"}, "mapping[0].factors", "makes 4 of 3"),
        ({"target": "DRAM", "type": "temporal", "factors": {"C": True}}, "mapping[0].factors", "whole number"),
        ({"target": "DRAM", "type": "temporal", "factors": [3]}, "mapping[0].factors", "written 'C=4'"),
        ({"target": "DRAM", "type": "temporal", "factors": 3}, "mapping[0].factors", "written 'C=4 Q=3'"),
        (
            {"target": "DRAM", "type": "temporal", "permutation": "CX"},
            "mapping[0].permutation",
            "unknown dimension 'X'",
        ),
        ({"target": "DRAM", "type": "temporal", "permutation": "CC"}, "mapping[0].permutation", "C stands in"),
        ({"target": "DRAM", "type": "temporal", "permutation": 3}, "mapping[0].permutation", "list of dimensions"),
        ({"target": "PE", "type": "spatial", "split": -1}, "mapping[0].split", "whole number from 0"),
        ({"target": "PE", "type": "spatial", "split": "all"}, "mapping[0].split", "whole number from 0"),
        ({"target": "PE_column", "type": "temporal", "factors": "C=3"}, "mapping[0].target", "no level 'PE_column'"),
        (
            {"target": "inter_PE_spatial", "type": "temporal", "factors": "C=3"},
            "mapping[0].factors",
            "no loops over time",
        ),
        ({"target": "inter_PE_spatial", "type": "bypass", "keep": ["Inputs"]}, "mapping[0].keep", "can keep nothing"),
        ({"target": "DRAM", "type": "bypass", "keep": ["Weight"]}, "mapping[0].keep", "did you mean 'Weights'?"),
        ({"target": "DRAM", "type": "bypass", "keep": [3]}, "mapping[0].keep", "a list of tensors"),
        ({"target": "DRAM", "type": "bypass", "keep": ["Inputs"], "bypass": ["Inputs"]}, "mapping[0]", "both kept and"),
        ({"target": "DRAM", "type": "bypass", "keep": [], "keep_only": []}, "mapping[0]", "at once"),
    ],
)
def test_what_is_wrong_is_named(directive, key, message):
    with pytest.raises(InputError) as caught:
        read(directive)
    assert caught.value.key == key
    assert message in caught.value.message


def test_a_second_directive_of_a_kind_is_refused():
    directive = {"target": "DRAM", "type": "temporal", "factors": "C=3"}
    with pytest.raises(InputError, match="second temporal directive for 'DRAM'; the first is mapping\\[0\\]"):
        read(directive, directive)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["target", "type", "factors", "permutation", "split", "keep", "bypass"])
                | st.text(max_size=4),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_no_value_escapes_as_anything_but_an_input_error(value):
    with contextlib.suppress(InputError):
        mapping_from_directives(value, EYERISS, LAYER)


_words = st.sampled_from(
    ["DRAM", "PE", "temporal", "spatial", "bypass", "C=4", "C4 M=2,1", "CMRS", "Weights", "*", 0, 3, -1, None, "P=0"]
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["target", "type", "factors", "permutation", "split", "keep", "bypass"]),
            _words | st.lists(_words, max_size=3) | st.dictionaries(st.sampled_from("CMX"), _words, max_size=2),
            min_size=2,
        ),
        max_size=3,
    )
)
def test_nearly_right_directives_end_in_a_mapping_or_an_input_error(directives):
    with contextlib.suppress(InputError):
        mapping_from_directives(directives, EYERISS, LAYER)
