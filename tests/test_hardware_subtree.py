"""Designs of the forms before v0.4 read to what their v0.4 twins read to."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.hardware.reader import read_architecture
from dovetail.mapping.constraints import axis_slots, bound_to
from dovetail.mapping.printed import parse_printed_mapping
from dovetail.workload.problem import convolution

OLDER = """\
architecture:
  version: 0.3
  subtree:
  - name: system
    local:
    - name: DRAM
      class: DRAM
      attributes: {type: LPDDR4, width: 64, block-size: 4, word-bits: 16}
    subtree:
    - name: chip
      attributes: {technology: 45nm}
      local:
      - name: buffer
        class: smartbuffer_SRAM
        attributes: {memory_depth: 128, memory_width: 64, word-bits: 16, n_banks: 4, read_bandwidth: 16}
      - name: adders[0..1]
        class: intadder
        attributes: {datawidth: 16}
      - name: column[0..13]
        class: regfile
        attributes: {depth: 16, width: 16, word-bits: 16, meshX: 14}
      subtree:
      - name: PE[0..167]
        local:
        - name: spad
          class: smartbuffer_RF
          attributes: {depth: 24, width: 32, word-bits: 16, block-size: 1, meshX: 14}
        - name: mac
          class: intmac
          attributes: {datawidth: 16, meshX: 14}
architecture_constraints:
  targets:
  - {target: buffer, type: bypass, keep: [Inputs, Outputs], bypass: [Weights]}
  - {target: buffer, type: spatial, permutation: NCPRSQM, factors: N=1 R1 S1, split: 7}
  - {target: column, type: spatial, factors: "N=1,P=1,Q=1", split: 0}
  - {target: spad, type: temporal, permutation: RC, factors: S1}
mapspace_constraints:
  targets:
  - {target: DRAM, type: temporal, factors: R1 S1}
"""

TWIN = """\
architecture:
  version: 0.4
  nodes:
  - !Component
    name: DRAM
    class: DRAM
    attributes: {type: "LPDDR4", width: 64, block_size: 4, datawidth: 16}
    constraints: {temporal: {factors: [R=1, S=1]}}
  - !Component
    name: buffer
    class: smartbuffer_SRAM
    attributes: {technology: "45nm", depth: 128, width: 64, datawidth: 16, n_banks: 4, read_bandwidth: 16}
    constraints: {dataspace: {keep: [Inputs, Outputs], bypass: [Weights]}}
  - !Component
    name: column
    class: regfile
    attributes: {technology: "45nm", depth: 16, width: 16, datawidth: 16}
    spatial: {meshX: 14}
    constraints: {spatial: {permutation: [N, C, P, R, S, Q, M], factors: [N=1, R=1, S=1], split: 7}}
  - !Component
    name: spad
    class: smartbuffer_RF
    attributes: {technology: "45nm", depth: 24, width: 32, datawidth: 16, block_size: 1, cluster_size: 2}
    spatial: {meshY: 12}
    constraints:
      spatial: {factors: [N=1, P=1, Q=1], split: 0}
      temporal: {permutation: [R, C], factors: [S=1]}
  - !Component
    name: mac
    class: intmac
    attributes: {technology: "45nm", datawidth: 16}
"""


def read(text: str) -> Architecture:
    return read_architecture(parse_document(text, file="arch.yaml"), "design")


def plain(architecture: Architecture) -> tuple[Level, ...]:
    """Return the levels without attributes, whose names the older form spells otherwise, and how it reads splits."""
    levels = []
    for level in architecture.levels:
        spatial = replace(level.constraints.spatial, listed_first=False)
        levels.append(replace(level, attributes={}, constraints=replace(level.constraints, spatial=spatial)))
    return tuple(levels)


def test_a_design_of_version_0_3_is_its_twin_of_version_0_4():
    older, twin = read(OLDER), read(TWIN)
    assert plain(older) == plain(twin)
    assert [level.instances for level in older.levels] == [1, 1, 1, 14, 14, 168, 168]
    assert older.level("spad").attributes["technology"] == "45nm"
    assert "technology" not in older.level("DRAM").attributes
    assert older.notes == ("arch.yaml:16: neither storage nor compute, so no part of the model: adders[0..1]",)


def test_a_split_counts_what_the_permutation_names_first_as_there_was_no_front_end():
    """A published run of such a design has C on X and M on Y (baseline-designs, simple_weight_stationary)."""
    spatial = "{target: buffer, type: spatial, permutation: NCPRSQM, factors: N=1 R1 S1, split: 7}"
    short = "{target: buffer, type: spatial, permutation: CM, factors: R1 S1 P1 Q1, split: 1}"
    layer = convolution(C=8, M=8, P=4, Q=4, R=3, S=3)
    older = bound_to(read(OLDER.replace(spatial, short)), layer).level("inter_column_spatial")
    slots = axis_slots(older.constraints.spatial, layer)
    assert (slots.on_x, "M" in slots.on_y) == (("C",), True)
    text = "{spatial: {permutation: [N, C, P, R, S, Q, M], factors: [N=1, R=1, S=1], split: 7}}"
    assert text in TWIN
    front_end = TWIN.replace(text, "{spatial: {permutation: [C, M], factors: [R=1, S=1, P=1, Q=1], split: 1}}")
    now = bound_to(read(front_end), layer).level("inter_column_spatial")
    assert {"C", "M"} <= set(axis_slots(now.constraints.spatial, layer).on_y)


@pytest.mark.parametrize("version", ["0.2", "'0.3'", "0.4"])
def test_every_version_that_had_the_form_is_read(version):
    assert plain(read(OLDER.replace("version: 0.3", f"version: {version}"))) == plain(read(TWIN))
    with pytest.raises(InputError, match=r"arch.yaml:2: architecture.version: version 0.5 is not read"):
        read(OLDER.replace("version: 0.3", "version: 0.5"))


def test_what_the_front_end_writes_becomes_fan_outs_again():
    written = """\
dumped_by_timeloop_front_end: true
architecture:
  version: '0.4'
  subtree:
  - name: system_top_level
    attributes: {version: '0.4', global_cycle_seconds: 1e-9, technology: "45nm", power_gated_at: null}
    local:
    - {name: 'DRAM[1..1]', class: DRAM, attributes: {width: 64, datawidth: 16, meshX: 1, meshY: 1}}
    - {name: 'inter_PE_spatial[1..1]', class: dummy_storage, attributes: {width: 1, datawidth: 1, meshX: 1, meshY: 1}}
    - {name: 'spad[1..12]', class: regfile, attributes: {depth: 4, width: 16, datawidth: 16, meshX: 4, meshY: 3}}
    - {name: 'mac[1..12]', class: intmac, attributes: {datawidth: 16, meshX: 4, meshY: 3}}
architecture_constraints:
  targets:
  - {target: inter_PE_spatial, type: spatial, factors: "C=1,R=1", permutation: CRM, split: 3}
  - {target: inter_PE_spatial, type: temporal, factors: "C=1,M=1"}
  - {target: inter_PE_spatial, type: bypass, bypass: [Weights, Inputs, Outputs]}
globals: {version: '0.4', environment_variables: {}, expression_custom_functions: [], accelergy_plug_ins: []}
"""
    twin = """\
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 16}}
  - !Container
    name: PE
    spatial: {meshX: 4, meshY: 3}
    constraints: {spatial: {factors: [C=1, R=1], permutation: [C, R, M], split: 3}}
  - !Component {name: spad, class: regfile, attributes: {depth: 4, width: 16, datawidth: 16}}
  - !Component {name: mac, class: intmac, attributes: {datawidth: 16}}
"""
    assert plain(read(written)) == plain(read(twin))
    assert read(written).level("inter_PE_spatial").fanout_y == 3
    first_releases = written.replace("inter_PE_spatial", "inter_PE_spatial_dummy")
    assert read(first_releases).levels == read(written).levels
    layer = convolution(C=2, M=4, P=1, Q=1, name="layer")
    loops = "DRAM [ Weights:8 Inputs:2 Outputs:4 ]\n| for C in [0:2)\n\ninter_PE_spatial_dummy [ ]\n"
    loops += "|   for M in [0:4) (Spatial-X)\n\nspad [ Weights:1 ]\n|     for C in [0:1)\n"
    design = bound_to(read(first_releases), layer)
    found = parse_printed_mapping(loops, design, layer, file="map.txt")["inter_PE_spatial"]
    assert [(loop.dimension, loop.factor) for loop in found.spatial_x if loop.factor > 1] == [("M", 4)]


def test_a_flattened_design_is_put_in_order_by_its_paths():
    flattened = """\
architecture:
  version: 0.3
  local:
  - {name: 'system.chip.PE[0..11].mac', class: intmac, attributes: {datawidth: 16, meshX: 4}}
  - {name: 'system.chip.PE[0..11].spad', class: regfile, attributes: {depth: 4, width: 16, datawidth: 16, meshX: 4}}
  - {name: 'system.chip.glb', class: SRAM, attributes: {depth: 64, width: 64, datawidth: 16}}
  - {name: 'system.DRAM', class: DRAM, attributes: {width: 64, datawidth: 16}}
"""
    levels = read(flattened).levels
    assert [level.name for level in levels] == ["DRAM", "glb", "inter_spad_spatial", "spad", "mac"]
    assert [level.instances for level in levels] == [1, 1, 1, 12, 12]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=4), st.data())
def test_fan_outs_are_what_the_mesh_grows_by(fan_outs, data):
    """Any chain of fan-outs, said in any of the ways in which a mesh can be said, is read back."""
    across, down, local = 1, 1, []
    fan_outs = [(1, 1), *fan_outs]
    for place, (x, y) in enumerate(fan_outs):
        across, down = across * x, down * y
        ways = [{"meshX": across}, {"meshX": across, "meshY": down}, {"meshY": down}]
        ways += [{"instances": across * down, **way} for way in ways] + ([{}] if down == 1 else [])
        kind = "intmac" if place == len(fan_outs) - 1 else "regfile"
        sizes = {"depth": 4, "width": 16, "word-bits": 16} if kind == "regfile" else {"datawidth": 16}
        name = f"level{place}[0..{across * down - 1}]"
        local.append({"name": name, "class": kind, "attributes": {**sizes, **data.draw(st.sampled_from(ways))}})
    document = {"architecture": {"version": 0.3, "subtree": [{"name": "system", "local": local}]}}
    levels = read(yaml.safe_dump(document)).levels
    spread = {level.name: (level.fanout_x, level.fanout_y) for level in levels if isinstance(level, Spatial)}
    assert [spread.get(f"inter_level{place}_spatial", (1, 1)) for place in range(len(fan_outs))] == fan_outs
    assert levels[-1].instances == math.prod(x * y for x, y in fan_outs)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "PE[0..167]",
            "PE[0..n]",
            "arch.yaml:23: architecture.subtree[0].subtree[0].subtree[0].name: the range in 'PE[0..n]': unknown",
        ),
        ("PE[0..167]", "PE[3..2]", "the range [3..2] is empty"),
        (
            "PE[0..167]",
            "PE[0..99999999999]",
            "100000000000 instances of spad make no whole number of meshX 14",
        ),
        (
            "block-size: 1, meshX: 14",
            "block-size: 1, meshX: 15",
            "168 instances of spad make no whole number of",
        ),
        ("block-size: 1, meshX: 14", "meshX: 14, meshY: 3", "14 x meshY 3 is 42, but there are 168 instances of spad"),
        ("block-size: 1, meshX: 14", "meshX: 4", "spad has 4 instances on X, which is no multiple of the 14 of column"),
        ("class: intmac", "class: intadder", "arch.yaml:1: architecture: has no compute component"),
        (
            "    local:\n    - name: DRAM",
            "    locals: []\n    local:\n    - name: DRAM",
            "unknown key 'locals'",
        ),
        (
            "target: column, type: spatial",
            "target: colum, type: spatial",
            "unknown target 'colum'",
        ),
        ("name: DRAM", "name: DRAM[0..1]", "DRAM, the outermost, has 2 instances; there must be one"),
        ("subtree:\n    - name: chip", "subtree:\n    - spatial: {meshX: 4}\n      name: chip", "'spatial' is of v0.4"),
        ("memory_depth: 128", "dpeth: 128", "unknown attribute 'dpeth', did you mean 'depth'?"),
        ("R1 S1, split", "R1 S1x, split", "'S1x' is no factor"),
        (
            "subtree:\n    - name: chip",
            "subtree:\n    - {name: other}\n    - name: chip",
            "a second branch",
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(old, new, message):
    assert old in OLDER
    with pytest.raises(InputError) as caught:
        read(OLDER.replace(old, new))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("class: intadder", "class: XY_NoC", "neither storage nor compute, so no part of the model: adders[0..1]"),
        (
            "class: intadder",
            "subclass: own_adder",
            "neither storage nor compute, so no part of the model: adders[0..1]",
        ),
        ("width: 32, word-bits: 16", "width: 32, memory_width: 64, word-bits: 16", "the reference takes 'width'"),
        ("memory_depth: 128", "memory_depth: 1, entries: 512", "the reference takes 'entries'"),
        ("memory_depth: 128", "memory_depth: 128, nbanks: 8", "'nbanks' is passed over"),
        ("  version: 0.3", "  version: 0.3\n  group_density: 1", "'group_density' is no key of the format"),
    ],
)
def test_what_the_reference_passes_over_is_passed_over_with_a_note(old, new, note):
    assert old in OLDER
    found = read(OLDER.replace(old, new))
    assert plain(found) == plain(read(OLDER))
    assert any(note in said for said in found.notes), found.notes


def test_ranges_compute_and_levels_without_a_mesh_lie_as_what_is_inside():
    counted = OLDER.replace("attributes: {technology: 45nm}", "attributes: {technology: 45nm, n: 168}")
    assert plain(read(counted.replace("PE[0..167]", "PE[0..n-1]"))) == plain(read(counted))
    assert plain(read(OLDER.replace("block-size: 1, meshX: 14", "block-size: 1"))) == plain(read(OLDER))


def test_a_storage_gated_at_itself_is_gated_as_without_it():
    gated = OLDER.replace("memory_depth: 128", "memory_depth: 128, power_gated_at: buffer, has_power_gating: false")
    assert plain(read(gated)) == plain(read(OLDER))
    elsewhere = read(gated.replace("power_gated_at: buffer", "power_gated_at: DRAM"))
    assert [level.gated_at for level in elsewhere.storages if level.name == "buffer"] == ["DRAM"]


def test_the_oldest_form_has_its_constraints_in_the_mapspace():
    before, after = OLDER.split("architecture_constraints:\n  targets:\n")
    constraints, _ = after.split("mapspace_constraints:")
    listed = f"{before}mapspace:\n  constraints:\n{constraints}"
    assert plain(read(listed)) == plain(read(f"{before}constraints:\n  targets:\n{constraints}"))
    oldest = """mapspace:
  targets:
  - name: column
    constraints:
    - {type: spatial, attributes: {factors: "N=1,P=1,Q=1", split: 0}}
"""
    same = 'constraints: {targets: [{target: column, type: spatial, factors: "N=1,P=1,Q=1", split: 0}]}'
    assert plain(read(before + oldest)) == plain(read(before + same))


def test_text_needs_no_quotes_and_arithmetic_of_known_names_is_computed():
    sized = OLDER.replace("memory_depth: 128", "n_lines: 64, memory_depth: n_lines * 2")
    assert plain(read(sized)) == plain(read(OLDER))
    assert read(OLDER).level("DRAM").attributes["type"] == "LPDDR4"


@given(st.integers(0, len(OLDER)), st.text(max_size=5) | st.sampled_from(["[", "]", "[0..", "{}", ": ", "-", "~"]))
def test_damaged_designs_end_in_a_design_or_an_error_on_purpose(at, text):
    with contextlib.suppress(InputError):
        read(OLDER[:at] + text + OLDER[at + 3 :])


def test_a_mapspace_of_factors_that_do_not_divide_is_said():
    (note,) = read(TWIN + "mapspace: {version: 0.4, template: ruby}\n").notes
    assert (
        note
        == "arch.yaml:32: the mapspace 'ruby' has factors that do not divide; 'dovetail map --imperfect' tries them"
    )


def test_synonyms_given_twice_are_read_where_they_agree():
    twice = TWIN.replace("depth: 128,", "depth: 128, memory_depth: 128, word_bits: 16, entries: 512,")
    assert plain(read(twice)) == plain(read(TWIN))
    assert isinstance(read(twice).level("buffer"), Storage)
    with pytest.raises(InputError, match="'datawidth' and 'word_bits' mean the same"):
        read(twice.replace("word_bits: 16", "word_bits: 8"))
