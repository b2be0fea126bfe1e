"""Mapping files in both forms: read back as written, with file, line and key of what is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import DovetailError, InputError, MappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.files import parse_mapping, read_mapping, read_mapping_file, write_mapping
from dovetail.mapping.mapping import LevelMapping
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.mapping.printed import parse_printed_mapping
from dovetail.mapping.text import loop_nest_text
from dovetail.mapping.timeloop_yaml import parse_timeloop_mapping, timeloop_mapping_yaml
from dovetail.model.evaluate import evaluate
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


#: The nest of these tests as the reference's tools print it, spatial loops below their own fan-outs.
MAP_TXT = """\
DRAM [ Weights:864 (864) Inputs:3468 (3468) Outputs:32768 (32768) ]
-------------------------------------------------------------------
| for Q in [0:4)
|   for P in [0:8)
|     for M in [0:2)

shared_glb [ Inputs:1020 (1020) Outputs:8192 (8192) ]
-----------------------------------------------------
|       for P in [0:7)

inter_PE_column_spatial [ ]
---------------------------
|         for Q in [0:14) (Spatial-X)

inter_PE_spatial [ ]
--------------------
|           for C in [0:3) (Spatial-Y)
|             for S in [0:3) (Spatial-Y)

weights_spad [ Weights:12 (12) ]
--------------------------------
|               for M in [0:4)
|                 for R in [0:3)

psum_spad [ Outputs:8 (8) ]
---------------------------
|                   for M in [0:8)
|                     << Compute >>
"""


@given(st.data())
def test_a_printed_loop_nest_reads_back_equal(data):
    architecture, problem = data.draw(architectures()), data.draw(problems())
    mapping = data.draw(mappings(architecture, problem)).normalized()
    text = loop_nest_text(mapping, architecture, problem)
    assert parse_printed_mapping(text, architecture, problem, file="nest.txt").normalized() == mapping


def test_the_references_map_txt_is_read(tmp_path):
    wanted = parse_printed_mapping(MAP_TXT, EYERISS, LAYER, file="map.txt")
    assert wanted["DRAM"] == NEST["DRAM"]
    assert wanted["inter_PE_column_spatial"] == NEST["inter_PE_column_spatial"]
    assert [loop.dimension for loop in wanted["inter_PE_spatial"].spatial_y] == ["C", "S"]
    assert wanted["psum_spad"] == NEST["psum_spad"]
    (tmp_path / "timeloop-mapper.map.txt").write_text(MAP_TXT)
    assert read_mapping(tmp_path / "timeloop-mapper.map.txt", EYERISS, LAYER) == wanted
    older = MAP_TXT.replace("inter_PE_spatial [ ]\n--------------------\n", "").replace(" (864)", "")
    older = older.replace("[0:14) (Spatial-X)", "[0:14) (Spatial-X)\n|         for R in [0:1) (Spatial-X)")
    found = parse_printed_mapping(older, EYERISS, LAYER, file="map.txt")["inter_PE_column_spatial"]
    assert [loop.dimension for loop in found.spatial_y] == ["C", "S"]


def test_a_level_that_a_printed_nest_leaves_out_keeps_nothing():
    nest = MAP_TXT[: MAP_TXT.index("psum_spad [")].replace("for M in [0:2)", "for M in [0:16)")
    found = parse_printed_mapping(nest, EYERISS, LAYER, file="map.txt")
    assert found["psum_spad"] == LevelMapping("psum_spad")
    assert found["shared_glb"].keep == NEST["shared_glb"].keep


def test_a_level_of_the_native_form_may_say_nothing():
    levels = "".join(f"- {{level: {storage.name}, temporal: , keep: }}\n" for storage in EYERISS.storages)
    with pytest.raises(MappingError, match="Weights passes all levels by; one must keep it, DRAM usually"):
        parse_mapping(f"loop_nest:\n{levels}", EYERISS, LAYER, file="m.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for Q in [0:4)", "for Q in [1:4)", "m.txt:3: 'for Q in [1:4)' is no loop; write 'for C in [0:16)', with a "),
        ("for Q in [0:4)", "for Q in [0:-16)", "m.txt:3: 'for Q in [0:-16)' is no loop; write 'for C in [0:16)', "),
        ("for Q in [0:4)", "for Q in [0:0)", "m.txt:3: 'for Q in [0:0)' is no loop; write 'for C in [0:16)', with a "),
        ("DRAM [", "for Q in [0:4)\nDRAM [", "m.txt:1: the loop 'for Q in [0:4)' stands before any level"),
        ("for Q in [0:4)", "fro Q in [0:4)", "m.txt:3: 'fro Q in [0:4)' is neither a level nor a loop"),
        ("shared_glb [", "shared_gbl [", "m.txt:7: eyeriss has no level 'shared_gbl', did you mean 'shared_glb'?"),
        ("Inputs:1020", "Input:1020", "m.txt:7: unknown tensor 'Input'"),
        ("Weights:864", "Weights;864", "m.txt:1: 'Weights;864 (864)' is no tensor with its size"),
        ("| for Q in [0:4)", "| for Q in [0:4)\n| for Q in [0:2)", "m.txt:1: dimension Q has two factors"),
        (MAP_TXT, "", "m.txt: holds no loop nest"),
    ],
)
def test_what_is_wrong_in_a_printed_nest_is_said_with_its_line(old, new, message):
    with pytest.raises(InputError) as caught:
        parse_printed_mapping(MAP_TXT.replace(old, new), EYERISS, LAYER, file="m.txt")
    assert message in str(caught.value)


@given(st.text(alphabet=[*MAP_TXT], max_size=200) | st.builds(MAP_TXT.replace, st.sampled_from(MAP_TXT), st.text()))
def test_no_printed_text_escapes_as_anything_but_an_error_on_purpose(text):
    with contextlib.suppress(DovetailError):
        parse_printed_mapping(text, EYERISS, LAYER, file="m.txt")


def test_what_a_mapping_says_of_its_hardware_counts_and_other_sections_do_not_matter(tmp_path):
    text = timeloop_mapping_yaml(NEST, EYERISS, LAYER)
    hardware = "no_link_transfer: [Inputs, Weights, Outputs], no-multicast-no-reduction: [Weights]"
    said = text.replace("type: spatial,", f"type: spatial, {hardware},", 1)
    (tmp_path / "plain.yaml").write_text(text)
    (tmp_path / "said.yaml").write_text(f"architecture: {{}}\nproblem: {{}}\n{said}")
    plain, other = (read_mapping_file(tmp_path / f"{name}.yaml", EYERISS, LAYER) for name in ("plain", "said"))
    assert (plain.architecture, plain.mapping) == (EYERISS, other.mapping)
    changed = [level for level, was in zip(other.architecture.levels, EYERISS.levels, strict=True) if level != was]
    assert [level.constraints.spatial.no_link_transfer for level in changed] == [EVERYTHING]
    assert [level.constraints.spatial.no_reuse for level in changed] == [{"Weights"}]
    cost, without = (accesses(read.architecture) for read in (plain, other))
    assert cost != without
    with pytest.raises(InputError, match="says of the hardware"):
        read_mapping(tmp_path / "said.yaml", EYERISS, LAYER)
    (tmp_path / "again.yaml").write_text(said)
    assert read_mapping(tmp_path / "again.yaml", other.architecture, LAYER) == NEST


def accesses(architecture: Architecture) -> object:
    free = EnergyTable({level.name: FREE for level in architecture.levels})
    return evaluate(NEST, LAYER, architecture, free).table().csv()


FREE = ComponentCost(dict.fromkeys(("read", "write", "update", "compute", "leak"), 0.0), 0.0, "none")


def test_a_split_of_loops_over_time_is_passed_over_as_in_the_reference():
    text = timeloop_mapping_yaml(NEST, EYERISS, LAYER).replace("type: temporal,", "type: temporal, split: 1,")
    read = parse_timeloop_mapping(parse_document(f"{text}model: {{verbose: true}}\n", file="m.yaml"), EYERISS, LAYER)
    assert read.mapping == NEST
    assert [note.partition(": ")[2] for note in read.notes] == ["'split' is passed over, as in the reference"]


def test_the_same_said_twice_of_what_is_kept_is_no_contradiction():
    text = timeloop_mapping_yaml(NEST, EYERISS, LAYER)
    again = "- {target: shared_glb, type: datatype, keep: [Outputs, Inputs], bypass: [Weights], stream: []}\n"
    assert parse_mapping(text + again, EYERISS, LAYER) == NEST
    with pytest.raises(InputError, match="a second bypass directive for 'shared_glb'"):
        parse_mapping(text + again.replace("[Outputs, Inputs]", "[Outputs]"), EYERISS, LAYER)


def test_what_older_tools_wrote_and_a_fused_mapping():
    text = timeloop_mapping_yaml(NEST, EYERISS, LAYER).replace(
        "  type: bypass\n", "  type: bypass\n  stream: [Weights]\n", 1
    )
    assert parse_mapping(text, EYERISS, LAYER) == NEST
    for text, kind in (("{type: fused, nodes: []}", "fused operations"), ("{target: DRAM}", "keys")):
        with pytest.raises(InputError, match=rf"m.yaml:1: mapping: .* a mapping of {kind}; fusion is not supported"):
            parse_mapping(f"mapping: {text}", EYERISS, LAYER, file="m.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mapping:\n- target: DRAM\n  type: temporal\n  factors: C=x\n",
            "m.yaml:4: mapping[0].factors: cannot read 'C=x'",
        ),
        ("- target: inter_PE_spatial\n  type: spatial\n  no-reuse: [W]\n", "m.yaml:3: [0].no-reuse"),
        ("- target: DRAM\n  type: temporal\n  spilt: 3\n", "m.yaml:1: [0]: unknown key 'spilt'"),
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
