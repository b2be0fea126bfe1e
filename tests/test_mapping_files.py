"""Mapping files in both forms: read back as written, with file, line and key of what is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.errors import DovetailError, InputError, MappingError
from dovetail.mapping.files import parse_mapping, read_mapping, write_mapping
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.mapping.timeloop_yaml import timeloop_mapping_yaml
from mapping_strategies import EVERYTHING, EYERISS, LAYER, NEST, architectures, mappings, problems

GOLDEN = Path(__file__).parent / "golden"


@given(st.data())
def test_both_forms_are_read_back_as_written(data):
    architecture, problem = data.draw(architectures()), data.draw(problems())
    mapping = data.draw(mappings(architecture, problem))
    timeloop, native = timeloop_mapping_yaml(mapping, architecture, problem), native_mapping_yaml(mapping, problem)
    assert parse_mapping(timeloop, architecture, problem) == mapping.normalized()
    assert parse_mapping(native, architecture, problem) == mapping.normalized()


@pytest.mark.parametrize("form", ["timeloop", "native"])
def test_files(form, tmp_path):
    path = tmp_path / "mapping.yaml"
    write_mapping(path, NEST, EYERISS, LAYER, form)
    assert read_mapping(path, EYERISS, LAYER) == NEST
    assert path.read_text() == (GOLDEN / f"mapping_{form}.yaml").read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["mapping.yaml"]


def test_a_file_that_cannot_be_written_or_read_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_mapping(tmp_path / "file" / "mapping.yaml", NEST, EYERISS, LAYER)
    with pytest.raises(InputError, match="no such file"):
        read_mapping(tmp_path / "mapping.yaml", EYERISS, LAYER)


def test_what_timeloop_itself_writes_is_read():
    """The layout of the reference mapper's own map file: directives grouped by kind, innermost level first."""
    directives = [
        {
            "target": name,
            "type": "datatype",
            "keep": keep,
            "bypass": sorted(EVERYTHING - {*keep}),
        }
        for name, keep in (
            ("psum_spad", ["Outputs"]),
            ("weights_spad", ["Weights"]),
            ("inter_PE_spatial", []),
            ("inter_PE_column_spatial", []),
            ("shared_glb", ["Inputs", "Outputs"]),
            ("DRAM", ["Weights", "Inputs", "Outputs"]),
        )
    ]
    nests = [
        ("psum_spad", "temporal", "C1 M8 R1 S1 N1 P1 Q1", "MCRSNPQ"),
        ("weights_spad", "temporal", "C1 M4 R3 S1 N1 P1 Q1", "RMCSNPQ"),
        ("inter_PE_spatial", "spatial", "C3 M1 R1 S3 N1 P1 Q1", "SCMRNPQ"),
        ("inter_PE_spatial", "temporal", "C1 M1 R1 S1 N1 P1 Q1", "CMRSNPQ"),
        ("inter_PE_column_spatial", "spatial", "C1 M1 R1 S1 N1 P1 Q14", "QCMRSNP"),
        ("inter_PE_column_spatial", "temporal", "C1 M1 R1 S1 N1 P1 Q1", "CMRSNPQ"),
        ("shared_glb", "temporal", "C1 M1 R1 S1 N1 P7 Q1", "PCMRSNQ"),
        ("DRAM", "temporal", "C1 M2 R1 S1 N1 P8 Q4", "MPQCRSN"),
    ]
    splits = {"inter_PE_spatial": 0, "inter_PE_column_spatial": 1}
    for target, kind, factors, permutation in nests:
        split = {"split": splits[target]} if kind == "spatial" else {}
        directives.append({"target": target, "type": kind, "factors": factors, "permutation": permutation, **split})
    for document in (directives, {"mapping": directives}):
        assert parse_mapping(yaml.safe_dump(document), EYERISS, LAYER) == NEST


def test_v04_spellings_are_read():
    text = """
mapping:
- {target: PE, type: spatial, factors: [C=3, S=0], permutation: [C, S], split: 0}
- {target: PE_column, type: spatial, factors: [Q=14], permutation: [Q]}
- {target: DRAM, type: temporal, factors: [M=2, P=8, Q=4], permutation: [M, P, Q]}
- {target: shared_glb, type: temporal, factors: [P=7]}
- {target: shared_glb, type: dataspace, keep-only: [Inputs, Outputs]}
- {target: weights_spad, type: temporal, factors_only: [R=0, M=4], permutation: [R, M]}
- {target: weights_spad, type: dataspace, bypass: [Inputs, Outputs]}
- {target: psum_spad, type: temporal, factors: M=8}
- {target: psum_spad, type: data-space, keep: [Outputs], bypass: [Weights, Inputs]}
"""
    mapping = parse_mapping(text, EYERISS, LAYER)
    assert mapping["inter_PE_spatial"].spatial_y[::-1] == NEST["inter_PE_spatial"].spatial_y
    assert [entry for entry in mapping.levels if entry.level != "inter_PE_spatial"] == [
        entry for entry in NEST.levels if entry.level != "inter_PE_spatial"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mapping:\n- target: DRAM\n  type: temporal\n  factors: C=x\n",
            "m.yaml:4: mapping[0].factors: cannot read 'C=x'",
        ),
        ("- target: DRAM\n  type: temporal\n  split: 3\n", "m.yaml:1: [0]: unknown key 'split'"),
        (
            "mapping:\n- {target: DRAM, type: bypass}\n- target: DROM\n  type: bypass\n",
            "m.yaml:3: mapping[1].target: eyeriss has no level 'DROM'",
        ),
        ("mapping: 3\n", "m.yaml:1: mapping: must be a list"),
        ("maping: []\n", "did you mean 'mapping'?"),
        ("", "must be a list"),
        ("loop_nest:\n- level: DRAM\n  temporal: C<3\n", "m.yaml:3: loop_nest[0].temporal: cannot read 'C<3'"),
        ("loop_nest:\n- level: DRAM\n  x: C=3\n", "unknown key 'x'"),
        ("loop_nest:\n- level: DROM\n", "eyeriss has no level 'DROM', did you mean 'DRAM'?"),
        ("loop_nest:\n- level: psum_spad\n- level: DRAM\n", "'DRAM' stands after 'psum_spad'"),
        ("loop_nest:\n- level: DRAM\n- level: DRAM\n", "'DRAM' stands after 'DRAM'"),
        ("loop_nest:\n- level: DRAM\n  keep: [Weight]\n", "m.yaml:3: loop_nest[0].keep[0]: unknown tensor 'Weight'"),
        ("loop_nest:\n- level: 3\n", "m.yaml:2: loop_nest[0].level: must be text"),
    ],
)
def test_errors_name_file_line_and_key(text, message):
    with pytest.raises(InputError) as caught:
        parse_mapping(text, EYERISS, LAYER, file="m.yaml")
    assert message in str(caught.value)


def test_a_mapping_that_does_not_fit_is_refused_with_the_files_name():
    with pytest.raises(MappingError, match=r"^m\.yaml: the factors of C are all 1 but the problem has C = 3$"):
        parse_mapping("mapping: []", EYERISS, LAYER, file="m.yaml")


@given(
    st.text(max_size=200)
    | st.builds(
        "".join,
        st.lists(
            st.sampled_from([*timeloop_mapping_yaml(NEST, EYERISS, LAYER), "\n- ", "{", "0", "keep"]), max_size=60
        ),
    )
)
def test_no_text_escapes_as_anything_but_an_error_on_purpose(text):
    with contextlib.suppress(DovetailError):
        parse_mapping(text, EYERISS, LAYER)


@given(st.data())
def test_damaged_files_end_in_a_mapping_or_an_error_on_purpose(data):
    text = data.draw(st.sampled_from([timeloop_mapping_yaml(NEST, EYERISS, LAYER), native_mapping_yaml(NEST, LAYER)]))
    at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 9))
    damaged = (
        text[:at]
        + data.draw(st.text(max_size=4) | st.sampled_from(["- [", ": 0", "-1", "{}", "&a *a"]))
        + text[at + length :]
    )
    with contextlib.suppress(DovetailError):
        parse_mapping(damaged, EYERISS, LAYER)
