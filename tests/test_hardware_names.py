"""Names in constraints: none is dropped without a word, and what a layer may lack is said."""

from __future__ import annotations

import functools
import importlib
import pickle
import re
from dataclasses import replace

import pytest

from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Constraints, LoopConstraints
from dovetail.hardware.names import VOCABULARY
from dovetail.hardware.reader import bundled_designs, dense_designs, load_architecture, read_architecture
from dovetail.mapper.local.sample import sampled_search
from dovetail.mapper.search import search
from dovetail.mapping.constraints import bound_to, violations
from dovetail.mapping.mapping import LevelMapping, Mapping
from dovetail.mapping.notes import design_notes, for_layers
from dovetail.model.evaluate import evaluate
from dovetail.network.map_network import map_networks
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.layer_table import bundled_names
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution
from dovetail.workload.shapes import CONVOLUTION_3D, SHAPES, sized

sampled = functools.partial(sampled_search, samples=1000)

LAYER = convolution(C=4, M=4, P=4, Q=4, R=3, S=3, name="conv1")
POINT = convolution(C=4, M=8, P=4, Q=4, name="conv2")

DESIGN = """variables: {technology: "45nm", global_cycle_seconds: 1e-9}
architecture:
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component
    name: buffer
    class: SRAM
    attributes: {width: 64, depth: 1024, datawidth: 8}
    constraints:
      BUFFER
  - !Container
    name: array
    spatial: {meshX: 4, meshY: 4}
    constraints:
      ARRAY
  - !Component {name: mac, class: intmac}
"""


def design(buffer: str = "{}", array: str = "{}", more: str = "") -> Architecture:
    text = DESIGN.replace("BUFFER", buffer).replace("ARRAY", array) + more
    return read_architecture(parse_document(text, file="arch.yaml"), "toy")


def product(names: str, tensors: str = "Inputs Weights Outputs", size: int = 4) -> Problem:
    """``names``: of the moving, the stationary and the summed dimension."""
    row, column, reduced = names.split()
    inputs, weights, outputs = tensors.split()
    shape = Shape(
        "product",
        (row, column, reduced),
        (
            Tensor(inputs, ((Term(row),), (Term(reduced),))),
            Tensor(weights, ((Term(column),), (Term(reduced),))),
            Tensor(outputs, ((Term(row),), (Term(column),)), is_output=True),
        ),
    )
    return Problem(shape, (size, size, size), (), "product")


TENSOR_TYPOS = [
    "dataspace: {keep: [Weight]}",
    "dataspace: {bypass: [Weight]}",
    "dataspace: {keep_only: [Weight]}",
    "dataspace: {bypass_only: [Weight]}",
    "dataspace: {keep: 'Inputs, Weight'}",
    "temporal: {no_reuse: [Weight]}",
    "temporal: {rmw_first_update: [Weight]}",
    "temporal: {no_iteration_over_dataspaces: [Weight]}",
    "temporal: {must_iterate_over_dataspaces: [Weight]}",
]
SPATIAL_TENSOR_TYPOS = ["spatial: {no_reuse: [Weight]}", "spatial: {no_link_transfer: [Weight]}"]
LOOP_TYPOS = [
    "{factors: [CC=1]}",
    "{factors: 'C=1, CC<=2'}",
    "{factors_only: [CC=1]}",
    "{permutation: [C, CC]}",
    "{permutation: [M, _, CC]}",
    "{maximize_dims: [[M, CC]], maximize_dims_capacity: 2}",
    "{maximize_dims: [M, CC], maximize_dims_capacity: 2}",
]


@pytest.mark.parametrize(
    ("buffer", "array", "line", "near"),
    [
        *((text, "{}", 10, "tensor 'Weight', did you mean 'Weights'") for text in TENSOR_TYPOS),
        *(("{}", text, 15, "tensor 'Weight', did you mean 'Weights'") for text in SPATIAL_TENSOR_TYPOS),
        *((f"temporal: {text}", "{}", 10, "dimension 'CC', did you mean 'C'") for text in LOOP_TYPOS),
        *(("{}", f"spatial: {text}", 15, "dimension 'CC', did you mean 'C'") for text in LOOP_TYPOS),
        ("temporal: {permutation: CMX}", "{}", 10, "dimension 'X'; the dimensions are C, M, R, S, N, P, Q"),
    ],
)
def test_a_name_that_no_layer_has_is_an_error_with_line_key_and_nearest_name(buffer, array, line, near):
    architecture = design(buffer, array)
    key = re.match(r"(\w+): \{(?:\w+: .*, )?(\w+)", buffer if array == "{}" else array)
    for at_once in (
        lambda: search(LAYER, architecture, estimate(architecture)),
        lambda: for_layers(architecture, [LAYER, POINT]),
        lambda: design_notes(architecture, [LAYER]),
        lambda: bound_to(architecture, LAYER),
    ):
        with pytest.raises(InputError, match=re.escape(near)) as caught:
            at_once()
        assert (caught.value.file, caught.value.line) == ("arch.yaml", line)
        assert f"constraints.{key[1]}." in str(caught.value.key)


def test_an_error_in_a_section_of_targets_is_at_its_line():
    more = """
mapspace_constraints:
  targets:
  - target: buffer
    type: temporal
    factors: [C=2,
      MM=2]
"""
    with pytest.raises(InputError, match=r"arch.yaml:23: .*factors\[1\]: conv1 has no dimension 'MM'"):
        bound_to(design(more=more), LAYER)


def test_a_name_in_a_branch_that_is_nothing_is_read_too():
    text = DESIGN.replace("BUFFER", "{}").replace("ARRAY", "{}").replace(
        "  - !Container",
        """  - !Parallel
    nodes:
    - !Component {name: side, class: regfile, attributes: {width: 8, depth: 4, datawidth: 8}}
    - !Nothing {constraints: {dataspace: {keep: [Input]}}}
  - !Container""",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"arch.yaml:14: .*conv1 has no tensor 'Input', did you mean 'Inputs'"):
        bound_to(read_architecture(parse_document(text, file="arch.yaml"), "toy"), LAYER)


def test_constraints_that_no_file_states_are_checked_too():
    levels = list(design().levels)
    levels[1] = replace(levels[1], constraints=Constraints(keep=frozenset({"Weight"})))
    with pytest.raises(InputError, match="a constraint of buffer names 'Weight': conv1 has no tensor"):
        bound_to(Architecture("made", tuple(levels)), LAYER)


def test_evaluating_a_mapping_checks_names_too():
    architecture = design("temporal: {no_reuse: [Weight]}")
    mapping = Mapping(tuple(LevelMapping(level.name) for level in architecture.levels[:-1]))
    with pytest.raises(InputError, match="no tensor 'Weight'"):
        evaluate(mapping, LAYER, architecture, estimate(architecture))
    with pytest.raises(InputError, match="no tensor 'Weight'"):
        violations(mapping, LAYER, architecture)


def test_a_name_that_some_layers_have_holds_for_those_and_is_said_once():
    """One layer with rows of its own name: what the design says of them is no mistake, and binds them alone."""
    architecture = design("temporal: {factors: [X=4]}")
    own = product("X M C")
    network = Network("two", (Layer("conv1", LAYER), Layer("product", own), Layer("conv2", POINT)))
    energies = estimate(architecture)
    costs = map_networks([(network, architecture, energies)], search=sampled, workers=1)[0]
    loops = {loop.dimension: loop.factor for loop in costs.layers[1].result.mapping["buffer"].temporal}
    assert loops["X"] == 4
    (note,) = costs.notes
    assert "1 of 3 distinct layers (product) have the dimension X" in note
    for count, named in ((3, "a0, a1, a2"), (4, "a0, a1, ...")):
        owned = [replace(own, name=f"a{place}", bounds=(place + 1, *own.bounds[1:])) for place in range(count)]
        said = " ".join(design_notes(architecture, [LAYER, *owned]))
        assert f"{count} of {count + 1} distinct layers ({named}) have the dimension X" in said
    apart = [Network("one", (Layer("conv1", LAYER),)), Network("other", (Layer("product", own),))]
    assert len(map_networks([(each, architecture, energies) for each in apart], search=sampled, workers=1)) == 2
    with pytest.raises(InputError, match="no layer at hand has a dimension 'X'"):
        map_networks([(Network("convs", (Layer("conv1", LAYER), Layer("conv2", POINT))), architecture, energies)])


def test_the_vocabulary_is_that_of_the_ready_convolutions():
    touched = {
        name: frozenset(tensor.name for tensor in CONVOLUTION_3D.tensors if name in tensor.dimensions)
        for name in CONVOLUTION_3D.dimensions
    }
    assert touched == VOCABULARY


@pytest.mark.parametrize("name", bundled_designs())
def test_bundled_designs_meet_every_bundled_network_and_every_kind_of_convolution(name):
    architecture = load_architecture(name)
    convolutions = [shape for shape in SHAPES.values() if {"C", "M", "P", "Q"} <= set(shape.dimensions)]
    kinds = [sized(shape, shape.name, **dict.fromkeys(shape.dimensions, 2)) for shape in convolutions]
    assert len(kinds) >= 5
    for kind in kinds:
        assert not any("of which the design speaks" in note for note in design_notes(architecture, [kind]))
    for network in bundled_names():
        for_layers(architecture, [layer.problem for layer in load_network(network).layers])


@pytest.mark.parametrize("name", bundled_designs())
def test_products_in_the_words_of_convolutions_meet_bundled_designs(name):
    """A dimension that a product lacks has one iteration there: counts are those of the same product with R, S, ..."""
    architecture = load_architecture(name)
    energies = estimate(architecture)
    short, whole = product("P M C", size=8), convolution(C=8, M=8, P=8, Q=1)
    notes = design_notes(architecture, [short])
    assert any("which count" not in note and "they count as dimensions of one iteration" in note for note in notes)
    if name not in dense_designs():
        return  # tests/test_sparse_designs.py counts with their formats
    short_cost, whole_cost = (search(problem, architecture, energies).cost for problem in (short, whole))
    listed = all(level.constraints.spatial.split in (None, 0, 999) for level in architecture.levels)
    if listed or not architecture.name.startswith("simple"):  # those leave R, S, ... unlisted under a split
        assert (short_cost.cycles, short_cost.energy_pJ) == (whole_cost.cycles, whole_cost.energy_pJ)


def test_a_problem_with_words_of_its_own_is_refused_with_the_way_out():
    tpu, eyeriss = load_architecture("tpu_like"), load_architecture("eyeriss_like")
    with pytest.raises(InputError, match=r"has no tensor 'Inputs'; the tensors are A, B, Z .*--rename OLD=Inputs"):
        bound_to(tpu, product("M N K", "A B Z"))
    with pytest.raises(InputError, match=r"has no dimension 'C'; the dimensions are M, N, K .*--rename K=C"):
        bound_to(tpu, product("M N K"))
    # rows called X cannot be R or S, which the kernel has, but they can be what the design calls P
    bound_to(tpu, product("X M C"))
    assert "R, S" in design_notes(tpu, [product("X M C")])[0]
    with pytest.raises(InputError, match=r"--rename X=(N|P|Q)"):
        bound_to(eyeriss, product("X M C"))


@pytest.mark.parametrize("module", ["exact", "imperfect", "sparse"])
def test_a_design_of_other_words_is_refused_before_anything_is_compiled(module, monkeypatch):
    """Half a minute on a fresh machine, for a message that needs none of the compiled code."""
    place = importlib.import_module(f"dovetail.mapper.{module}.search")
    monkeypatch.setattr(place, "compile_all", lambda *_: pytest.fail("compiled first"))
    searching = {"exact": "search", "imperfect": "search_imperfect", "sparse": "search_sparse"}[module]
    tpu = load_architecture("tpu_like")
    with pytest.raises(InputError, match="has no tensor 'Inputs'"):
        getattr(place, searching)(product("M N K", "A B Z"), tpu, estimate(tpu))


def test_where_a_constraint_stands_is_no_part_of_what_it_says():
    text = "temporal: {factors: [C=2], permutation: [M, C], no_reuse: [Inputs], factors_only: [P=1]}"
    one, other = design(text), read_architecture(
        parse_document("\n\n" + DESIGN.replace("BUFFER", text).replace("ARRAY", "{}"), file="other.yaml"), "toy"
    )  # fmt: skip
    known = for_layers(one, [LAYER])
    assert one == other == known
    assert hash(one.levels[1].constraints) == hash(other.levels[1].constraints)
    assert content_key(one.levels) == content_key(other.levels)
    assert content_key(one) == content_key(other) == content_key(known)
    assert one.levels[1].constraints.temporal.said != other.levels[1].constraints.temporal.said
    again = pickle.loads(pickle.dumps(known))
    assert (again, again.elsewhere, again.levels[1].constraints.temporal.said) == (
        one, known.elsewhere, one.levels[1].constraints.temporal.said,
    )  # fmt: skip
    unsaid = replace(one.levels[1].constraints, temporal=replace(one.levels[1].constraints.temporal, said=()))
    assert content_key(unsaid) == content_key(one.levels[1].constraints)


# ----- notes


def test_a_factor_above_the_bound_is_cut_and_said():
    architecture = design(array="spatial: {factors: [M=4]}")
    small = replace(LAYER, bounds=(4, 2, 3, 3, 1, 4, 4))
    (note,) = design_notes(architecture, [small])
    assert note == "toy: arch.yaml:15: inter_array_spatial: M=4 is more than M = 2 of conv1 and taken as 2"
    found = sampled(small, architecture, estimate(architecture)).mapping["inter_array_spatial"]
    assert {loop.dimension: loop.factor for loop in found.loops}["M"] == 2
    assert design_notes(architecture, [LAYER]) == ()
    (note,) = design_notes(architecture, [LAYER, small, POINT])
    assert "M=4 is more than the M of 1 of 3 distinct layers (conv1 has 2)" in note


def test_a_split_that_counts_more_than_the_list_is_said_with_what_was_meant():
    shifted = design(array="spatial: {permutation: [C, M], split: 1, factors: [R=1, S=1, P=1, Q=1]}")
    (note,) = design_notes(shifted, [LAYER, POINT])
    assert "arch.yaml:15: inter_array_spatial: split 1 counts" in note
    assert "so C lies on Y (conv1)" in note
    written = re.search(r"for C on X and M on Y write (permutation: \[.*\]) and (split: \d+)", note)
    meant = design(array=f"spatial: {{{written[1]}, {written[2]}, factors: [R=1, S=1, P=1, Q=1]}}")
    assert design_notes(meant, [LAYER, POINT]) == ()
    used = search(LAYER, meant, estimate(meant)).mapping["inter_array_spatial"]
    assert (used.spatial_x[0].dimension, used.spatial_y[0].dimension) == ("C", "M")


@pytest.mark.parametrize(
    "spatial",
    [
        "{permutation: [C, M], split: 0, factors: [R=1, S=1, P=1, Q=1]}",  # all on Y, as listed
        "{permutation: [C, M], split: 999, factors: [R=1, S=1, P=1, Q=1]}",
        "{permutation: [R, S, N, P, Q, C, M], split: 6, factors: [R=1, S=1, P=1, Q=1]}",
        "{permutation: [C, M], split: 1, factors: [C=1, R=1, S=1, P=1, Q=1]}",  # C has nothing to lose
        "{permutation: [C, M], factors: [R=1]}",
    ],
)
def test_a_split_that_does_what_its_list_says_is_not_noted(spatial):
    assert design_notes(design(array=f"spatial: {spatial}"), [LAYER]) == ()


def test_the_simple_designs_are_noted_once_however_many_layers():
    notes = design_notes(
        load_architecture("simple_weight_stationary"), [x.problem for x in load_network("resnet18").layers]
    )
    assert len(notes) == 1
    assert "so C lies on Y" in notes[0]


def test_spatial_constraints_without_a_fan_out_are_said():
    text = (
        DESIGN.replace("BUFFER", "{}").replace("ARRAY", "spatial: {factors: [C=1]}").replace("meshX: 4, meshY: 4", "")
    )
    architecture = read_architecture(parse_document(text, file="arch.yaml"), "toy")
    (note,) = design_notes(architecture, [LAYER])
    assert note.startswith("toy: arch.yaml:15: array has no fan-out")


def test_a_fan_out_takes_spatial_constraints_only():
    more = "constraints: {targets: [{target: inter_array_spatial, type: temporal, factors: [C=1]}]}\n"
    with pytest.raises(InputError, match="inter_array_spatial is a fan-out, which has spatial constraints only"):
        design(more=more)


def test_the_empty_constraints_name_nothing():
    assert LoopConstraints().said == ()
    assert design_notes(design(), [LAYER]) == ()


def test_densities_on_a_design_that_does_nothing_about_zeros_are_noted_once():
    eyeriss = load_architecture("eyeriss_like")
    halves = (Hypergeometric(0.5),) * 3
    sparse = [replace(convolution(C=4, M=m, P=4, Q=4, name=f"c{m}"), densities=halves) for m in (2, 4)]
    told = "eyeriss_like: it does nothing about zeros, so the densities of {} change nothing"
    assert told.format("c2") in design_notes(eyeriss, sparse[:1])
    assert told.format("c2 and 1 more") in design_notes(eyeriss, sparse)
    assert not any("zeros" in note for note in design_notes(eyeriss, [replace(sparse[0], densities=())]))
