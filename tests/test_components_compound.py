"""Compound components: how attributes, indices and shares compose, and what is said when they don't."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.compose import Composer, instantiate
from dovetail.components.compound import bundled_classes, read_classes
from dovetail.components.estimator import Answer, Quote
from dovetail.document import parse_document
from dovetail.errors import InputError


class Unit:
    """An estimator that counts: every action of every primitive costs its ``weight``, and so does its area."""

    name, classes, valid, accuracy, source = "unit", ("*",), "everywhere", 100, "counted"

    def answer(self, query):
        return Answer(Quote(query.number("weight", 1, positive=False)), self)


def classes(text):
    return read_classes(parse_document(text, file="classes.yaml").sequence())


def composed(text, component, action="read", **attributes):
    instance = instantiate(component, attributes, classes(text))
    return Composer(Unit().answer).energy("top", instance, action)


def area(text, component, **attributes):
    return Composer(Unit().answer).area("top", instantiate(component, attributes, classes(text)))


BANK = """
- name: bank
  attributes: {depth: must_specify, width: 8, cells: width * depth, half: cells / 2}
  subcomponents:
  - {name: "cell[1..cells]", class: cell, attributes: {weight: 2}}
  - {name: "decoder", class: decoder, area_scale: half, attributes: {weight: depth}}
  - {name: "port[0..1]", class: port, energy_scale: 0.5}
  actions:
  - &write
    name: write
    subcomponents:
    - {name: "cell[1..width]", actions: [{name: write}]}
    - {name: "port[0]", actions: [{name: move, energy_scale: width / 2}]}
  - name: read
    subcomponents:
    - {name: "cell[1..width]", actions: [{name: read}]}
    - {name: decoder, actions: [{name: decode, arguments: {weight: depth + 1}}]}
    - {name: "port[0..1]", actions: [{name: move}]}
  - <<: *write
    name: update
- name: pair
  attributes: {technology: "45nm"}
  subcomponents:
  - {name: "bank[1..2]", class: bank, attributes: {depth: 4}, area_scale: 0.25, energy_scale: 3}
  actions:
  - {name: read, subcomponents: [{name: "bank[2]", actions: [{name: read, energy_scale: 2}]}]}
  - {name: write, subcomponents: [{name: bank, actions: [{name: write}]}]}
"""


def test_defaults_arithmetic_indices_and_shares():
    read = composed(BANK, "bank", "read", depth=4)
    assert [part.name for part in read.parts] == ["cell[1..8]", "decoder", "port[0..1]"]
    assert read.value == 8 * 2 + (4 + 1) + 2 * 0.5
    assert composed(BANK, "bank", "write", depth=4).value == 8 * 2 + 0.5 * (8 / 2)
    assert composed(BANK, "bank", "write", depth=4, width=2).value == 2 * 2 + 0.5 * (2 / 2)


def test_area_counts_every_member_and_scales():
    assert area(BANK, "bank", depth=4).value == 32 * 2 + 16 * 4 + 2
    assert area(BANK, "pair").value == 2 * 0.25 * (32 * 2 + 16 * 4 + 2)


def test_nested_compounds_multiply_counts_and_scales():
    assert composed(BANK, "pair", "read").value == 2 * 3 * composed(BANK, "bank", "read", depth=4).value
    assert composed(BANK, "pair", "write").value == 2 * 3 * composed(BANK, "bank", "write", depth=4).value


def test_update_is_write_whether_merged_or_missing():
    assert composed(BANK, "bank", "update", depth=4).value == composed(BANK, "bank", "write", depth=4).value
    assert composed(BANK, "pair", "update").value == composed(BANK, "pair", "write").value
    assert composed(BANK, "pair", "leak").value == 0


def test_scales_of_the_whole_component():
    plain = composed(BANK, "bank", "read", depth=4).value
    assert composed(BANK, "bank", "read", depth=4, energy_scale=0.5).value == plain / 2
    assert area(BANK, "bank", depth=4, area_scale=3).value == 3 * area(BANK, "bank", depth=4).value


def test_a_subcomponent_takes_over_technology_and_clock_only():
    text = """
- name: outer
  attributes: {secret: 7}
  subcomponents: [{name: inner, class: part, attributes: {width: secret}}]
  actions: [{name: read, subcomponents: [{name: inner, actions: [{name: read}]}]}]
"""
    instance = instantiate("outer", {"technology": "45nm", "global_cycle_seconds": 2e-9}, classes(text))
    inner = instance.members["inner"].instance.attributes
    assert inner == {"width": 7, "technology": "45nm", "global_cycle_seconds": 2e-9}


def test_primitive_type_is_estimated_and_not_composed():
    text = "[{name: mine, attributes: {}, primitive_type: SRAM, actions: []}]"
    assert instantiate("mine", {"width": 8}, classes(text)).component == "SRAM"


def test_the_old_words_for_scales():
    text = BANK.replace("energy_scale: width / 2", "action_share: width / 2").replace(
        "area_scale: half", "area_share: half"
    )
    assert composed(text, "bank", "write", depth=4).value == composed(BANK, "bank", "write", depth=4).value
    assert area(text, "bank", depth=4).value == area(BANK, "bank", depth=4).value


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{depth: 4}", "{depth: deep}", "unknown name 'deep'"),
        ("{depth: 4}", "{width: 4}", "must specify 'depth'"),
        ("cells / 2", "cell / 2", "unknown name 'cell', did you mean 'cells'?"),
        (
            "width: 8, cells: width * depth",
            "width: cells, cells: width * 2",
            "needs its own value: width -> cells -> width",
        ),
        ('"cell[1..cells]"', '"cell[1..cells"', "is no name with indices"),
        ('"cell[1..cells]"', '"cell[1..]"', "lacks an index"),
        ('"cell[1..cells]"', '"cell[cells..1]"', "has no members: its indices run from 32 to 1"),
        ('"port[0..1]", actions', '"port[0..2]", actions', "'port' has indices 0 to 1, but the action uses 0 to 2"),
        ('"port[0]"', '"prot[0]"', "there is no subcomponent 'prot', did you mean 'port'?"),
        ("class: port,", "", "the key 'class' is missing"),
        ("area_scale: half", "area_scale: -1", "a scale must be a number of at least 0, found -1"),
        ("area_scale: half", "area_scale: half, area_share: 1", "mean the same; give one"),
        ("area_scale: half", "aera_scale: half", "unknown key 'aera_scale', did you mean 'area_scale'?"),
        ("class: cell, attributes: {weight: 2}", "class: bank", "the class bank contains itself: pair -> bank -> bank"),
        ("[1..cells]", "[1..10 ** 30]", "number"),
        ("width: 8,", "width: __import__('os'),", "not allowed"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(old, new, message):
    text = BANK.replace(old, new)
    assert text != BANK
    with pytest.raises(InputError) as caught:
        area(text, "pair")
        composed(text, "pair", "read")
        composed(text, "pair", "write")
        composed(text, "pair", "wirt")
    assert message in str(caught.value)
    assert "classes.yaml:" in str(caught.value) or "must specify" in message


def test_a_missing_attribute_is_named():
    with pytest.raises(InputError, match="a component of class bank must specify 'depth'"):
        composed(BANK, "bank", "read")


@pytest.mark.parametrize(
    ("sizes", "is_there"),
    [("width: 0", False), ("width: 0, depth: 0", False), ("width: 8, depth: 0", True), ("width: 0, depth: 4", True)],
)
def test_a_part_that_is_0_wide_is_not_there(sizes, is_there):
    """As in a public run's table, in which the metadata of a design whose storage for them is 0 wide cost nothing."""
    text = f"- name: glb\n  subcomponents: [{{name: part, class: cell, attributes: {{{sizes}}}}}]\n"
    text += "  actions: [{name: read, subcomponents: [{name: part, actions: [{name: read}]}]}]\n"
    assert (composed(text, "glb").value, area(text, "glb").value) == (is_there, is_there)


def test_a_missing_action_is_named():
    with pytest.raises(InputError, match="the class bank has no action 'fetch'; known: read, update, write"):
        composed(BANK, "bank", "fetch", depth=4)


@pytest.mark.parametrize("name", bundled_classes())
def test_bundled_classes_hold_together(name):
    """Every action of every bundled class composes, of nothing but primitives."""
    sizes = {
        "width": 32,
        "depth": 64,
        "metadata_storage_width": 8,
        "metadata_storage_depth": 4,
        "metadata_counter_width": 4,
    }
    instance = instantiate(name, {"technology": "45nm", "global_cycle_seconds": 1e-9, **sizes}, bundled_classes())
    for action in bundled_classes()[name].actions:
        share = Composer(Unit().answer).energy(name, instance, action)
        assert share.value > 0
        assert math.isclose(share.each, sum(part.value for part in share.parts))
        assert not {leaf.component for leaf in share.leaves()} & set(bundled_classes())


@settings(max_examples=100)
@given(st.data())
def test_any_damage_to_a_class_ends_in_one_message_or_a_number(data):
    start = data.draw(st.integers(0, len(BANK) - 1))
    stop = data.draw(st.integers(start, min(len(BANK), start + 20)))
    text = (
        BANK[:start] + data.draw(st.text(max_size=6) | st.sampled_from(["[1..", "**", "depth", "name"])) + BANK[stop:]
    )
    try:
        assert area(text, "pair").value >= 0
        assert composed(text, "pair", "read").value >= 0
    except InputError as error:
        assert "\n" not in str(error)


OLDER = """
- version: 0.3
  name: buffer
  attributes: {technology: 45nm, depth: 12, n_banks: 2, latency: 5ns, sparsity: sparsity, cell: memristor}
  subcomponents:
  - name: storage
    class: cell
    attributes: {technology: technology, weight: depth, cell: cell, sparsity: sparsity, clock: 1ns, size: log2(depth)}
  - {name: "counters[0..1]", class: counter}
  actions:
  - name: read
    arguments: {data_delta: 0..1, address_delta: 0..n_banks}
    subcomponents:
    - {name: storage, actions: [{name: read, arguments: {weight: 10 * data_delta + address_delta}}]}
    - {name: "counters[0]", actions: [{name: count}]}
    - {name: "counters[1]", actions: [{name: idle}]}
  - {name: mac_random, subcomponents: [{name: storage, actions: [{name: read}]}]}
- version: 0.3
  name: outer
  attributes: {n_banks: 2}
  subcomponents: [{name: inner, class: buffer}]
  actions:
  - name: access
    subcomponents: [{name: inner, actions: [{name: read, arguments: {data_delta: 0}}]}]
"""


def test_an_action_with_arguments_costs_what_its_dearest_values_cost():
    share = composed(OLDER, "buffer")
    assert share.each == 10 + 2 + 1 + 1  # weight of both arguments at their largest, and two counters
    assert share.notes == ("with data_delta 1, address_delta 2",)
    assert composed(OLDER, "outer", "access").each == 2 + 1 + 1  # the step says the first; the second stays open
    with pytest.raises(InputError, match="more than 4096 choices"):
        composed(OLDER.replace("0..n_banks", "0..5000"), "buffer")
    with pytest.raises(InputError, match="'address_delta' has no value: it runs from 3 to 2"):
        composed(OLDER.replace("0..n_banks", "3..n_banks"), "buffer")


def test_words_and_units_of_earlier_versions_are_text_and_what_nobody_gives_is_left_out():
    instance = instantiate("buffer", {}, classes(OLDER))
    cell = instance.members["storage"].instance.attributes
    assert (cell["cell"], cell["clock"], cell["technology"]) == ("memristor", "1ns", "45nm")
    assert "sparsity" not in cell
    assert cell["size"] == math.log2(12)
    with pytest.raises(InputError, match="unknown name 'memristor'"):
        instantiate("buffer", {}, classes(OLDER.replace("version: 0.3", "version: 0.4")))
    given = instantiate("buffer", {"sparsity": 0.5}, classes(OLDER))
    assert given.members["storage"].instance.attributes["sparsity"] == 0.5


def test_a_class_that_only_knows_access_pays_for_that_and_other_names_of_an_action_serve():
    assert composed(OLDER, "outer", "read").each == composed(OLDER, "outer", "access").each
    assert composed(OLDER, "outer", "write").each == composed(OLDER, "outer", "access").each
    assert composed(OLDER, "buffer", "compute").each == composed(OLDER, "buffer", "mac_random").each
    with pytest.raises(InputError, match="has no action 'read', did you mean 'raed'"):
        composed(OLDER.replace("name: access", "name: raed"), "outer", "read")


def test_doing_nothing_is_leaking_where_an_estimator_knows_only_that():
    def ask(query):
        if query.action == "idle":
            raise InputError("knows no action 'idle'")
        return Answer(Quote(3.0 if query.action == "leak" else 1.0), Unit())

    share = Composer(ask).energy("top", instantiate("buffer", {}, classes(OLDER)), "read")
    assert [leaf.value for leaf in share.leaves()] == [1.0, 1.0, 3.0]


def test_a_class_may_be_defined_twice_the_same():
    assert set(classes(OLDER + OLDER)) == {"buffer", "outer"}
    with pytest.raises(InputError, match=r"defined twice, the first time in classes\.yaml:18"):
        classes(OLDER + OLDER.replace("data_delta: 0}", "data_delta: 1}"))
