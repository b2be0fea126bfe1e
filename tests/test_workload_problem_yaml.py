"""Timeloop problem YAML: what it reads to, that it reads back, and that nothing wrong passes in silence."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Compute, Storage
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.evaluate import evaluate
from dovetail.model.witness import walk
from dovetail.workload.loading import load_layer, load_network, read_network
from dovetail.workload.problem import Problem, Shape, Tensor, Term, convolution, matrix_product
from dovetail.workload.problem_yaml import problem_of_document, read_problem, read_problem_file, write_problem

#: A layer as the field's collections write it: a base with anchors in the folder above, merged and overridden.
BASE = """\
problem_base_ignore: &problem_base
  version: 0.4
  instance: {N: 1, C: 1, H: 1, W: 1, G: 1, R: 1, S: 1, Hdilation: 1, Hstride: 1, Wdilation: 1, Wstride: 1, M: 1, P: 1,
    Q: 1}
  shape:
    coefficients:
    - {name: Wstride, default: 1}
    - {name: Hstride, default: 1}
    - {name: Wdilation, default: 1}
    - {name: Hdilation, default: 1}
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]], [[R]], [[S]], [[G]]]}
    - {name: Inputs, projection: [[[N]], [[C]], [[R, Wdilation], [P, Wstride]], [[S, Hdilation], [Q, Hstride]], [[G]]]}
    - {name: Outputs, projection: [[[N]], [[M]], [[Q]], [[P]], [[G]]], read_write: true}
    dimensions: [C, M, R, S, N, P, Q, G]
"""
LAYER = """\
{{include_text('../problem_base.yaml')}}
problem:
  <<<: *problem_base
  instance: {C: 64, M: 192, P: 27, Q: 27, R: 5, S: 5, Hstride: 2}
"""
SMALL = """\
problem:
  version: 0.4
  shape:
    name: Conv1D
    dimensions: [R, P]
    data-spaces:
    - {name: Weights, projection: [R]}
    - {name: Inputs, projection: [[[R], [P]]]}
    - {name: Outputs, projection: [[[P]]], read-write: True}
  instance: {R: 3, P: 16}
"""


def parse(text):
    return problem_of_document(parse_document(text, file="p.yaml"), "p")


@pytest.fixture
def collection(tmp_path):
    (tmp_path / "problem_base.yaml").write_text(BASE)
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


def test_a_layer_over_a_base_in_the_folder_above(collection):
    (collection / "1.yaml").write_text(LAYER)
    problem = read_problem(collection / "1.yaml")
    assert problem.macs == 64 * 192 * 27 * 27 * 25
    assert dict(zip(problem.shape.coefficients, problem.coefficients, strict=True))["Hstride"] == 2
    assert problem.extent(problem.shape.tensor("Inputs")) == (1, 64, 31, 57, 1)


def test_a_misspelt_stride_is_refused_where_it_stands(collection):
    (collection / "0.yaml").write_text(LAYER.replace("Hstride", "HStride"))
    with pytest.raises(InputError) as caught:
        read_problem(collection / "0.yaml")
    assert caught.value.line == 4
    assert Path(str(caught.value.file)).name == "0.yaml"
    assert str(caught.value).endswith("unknown key 'HStride', did you mean 'Hstride'?")


@pytest.mark.parametrize(
    ("key", "dimension"), [("Wdilation", "R"), ("Hdilation", "S"), ("Wstride", "P"), ("Hstride", "Q")]
)
def test_a_coefficient_of_0_is_1_where_it_multiplies_single_iterations_only(key, dimension):
    sizes = "{C: 4, K: 8, N: 1, P: 5, Q: 5, R: 3, S: 3, KEY: 0}".replace("KEY", key)
    text = f"problem: {{shape: cnn-layer, instance: {sizes}}}"
    with pytest.raises(
        InputError, match=rf"{key}: must be at least 1, found 0: all \d steps of {dimension} would stand"
    ):
        parse(text)
    single = re.sub(rf"{dimension}: \d", f"{dimension}: 1", text)
    assert parse(single).problem == parse(single.replace(f"{key}: 0", f"{key}: 1")).problem
    with pytest.raises(InputError, match="C: must be at least 1"):
        parse(text.replace("C: 4", "C: 0"))


def test_a_folder_is_a_network_in_the_order_of_its_numbers(collection):
    for name, channels in (("10", 3), ("9", 2), ("1", 1)):
        (collection / f"{name}.yaml").write_text(LAYER.replace("C: 64", f"C: {channels}"))
    network = load_network(str(collection))
    assert [layer.problem.bound("C") for layer in network.layers] == [1, 2, 3]
    assert network.name == "net"
    (collection / "index.csv").write_text("name,repeats\n10,7\n")
    assert [layer.repeats for layer in load_network(str(collection)).layers] == [1, 1, 7]
    assert load_network(str(collection), batch=4).macs == 4 * load_network(str(collection)).macs


def test_both_spellings_and_short_projections():
    read = parse(SMALL)
    assert read.problem.bounds == (3, 16)
    assert read.problem.extent(read.problem.shape.tensor("Inputs")) == (18,)
    assert read.problem.shape.tensor("Outputs").is_output
    assert read.notes == ()


def test_a_tensor_without_an_axis_is_one_word_as_sums_over_everything_have():
    problem = parse(SMALL.replace("[[[P]]]", "[[]]").replace("[[[R], [P]]]", "[[], [[R], [P]]]")).problem
    inputs, outputs = problem.shape.tensors[1:]
    assert (len(inputs.projection), outputs.projection) == (1, ())
    assert problem.touched(outputs) == 1
    levels = (
        Storage(name="DRAM", component="DRAM", width=8, datawidth=8),
        Storage(name="spad", component="SRAM", width=8, datawidth=8, depth=64),
        Compute(name="mac", component="mac"),
    )
    energies = EnergyTable(
        {
            level.name: ComponentCost(dict.fromkeys(("read", "write", "update", "compute", "leak"), 1.0))
            for level in levels
        }
    )
    every = frozenset(["Weights", "Inputs", "Outputs"])
    loops = (
        LevelMapping("DRAM", temporal=(Loop("P", 16),), keep=every),
        LevelMapping("spad", temporal=(Loop("R", 3),), keep=every),
    )
    cost = evaluate(Mapping(loops), problem, Architecture("a", levels), energies)
    assert cost["spad"].tensors["Outputs"].tile == 1
    assert (cost["DRAM"].tensors["Outputs"].updates, cost["spad"].tensors["Outputs"].updates) == (1, 48)
    assert cost.energy_pJ == walk(Mapping(loops), problem, Architecture("a", levels), energies)["energy_pJ"]


def test_what_collections_say_of_a_layer_is_read_and_what_does_not_count_is_said(collection):
    said = "\n  name: Linear\n  dnn_name: vgg16\n  layer_name: fc1\n  notes: a product\n"
    (collection / "3.yaml").write_text(LAYER.rstrip() + said + "  histograms: {Inputs: [0.5, 0.5]}\n")
    read = read_problem_file(collection / "3.yaml")
    assert read.problem == read_problem(collection / "3.yaml")
    assert read.problem.macs == 64 * 192 * 27 * 27 * 25
    histograms = [note for note in read.notes if "histograms" in note]
    assert histograms == [f"{collection / '3.yaml'}:9: 'histograms' is passed over: no energy here depends on the "
                          "values of data"]  # fmt: skip
    assert not any("name" in note or "notes" in note for note in read.notes)


@pytest.mark.parametrize(
    ("key", "value"),
    [("Hpadding", "2"), ("Wpadding", "2")],
)
def test_other_facts_about_a_layer_are_passed_over_with_a_note(key, value):
    read = parse(SMALL.replace("P: 16}", f"P: 16, {key}: {value}}}"))
    assert read.problem == parse(SMALL).problem
    assert len(read.notes) == 1
    assert read.notes[0].startswith(f"p.yaml:10: '{key}' is passed over: ")
    older = parse(f"problem: {{shape: gemm-ABZ, M: 2, N: 3, K: 4, {key}: {value}, layer_name: x}}")
    assert (older.problem.macs, len(older.notes)) == (24, 1)


@pytest.mark.parametrize(
    ("stated", "bits"),
    [
        ("bitwidths: {A: 3, B: 8}", "A=3 B=8"),
        ("datawidths: {A: mxfp4, sums: 20}", "A=4+8/32 sums=20"),
        ("wordwidths: {Z: 4+16/128}", "Z=4+16/128"),
        ("commonBitwidth: 4", "A=4 B=4 Z=4"),
        ("commonDatawidth: 8, bitwidths: {B: 2}", "A=8 B=2 Z=8"),
        ("commonBitwidth: 0", ""),
    ],
)
def test_bits_per_tensor_are_read_and_written(stated, bits):
    read = parse(f"problem: {{shape: gemm-ABZ, M: 2, N: 3, K: 4, {stated}}}")
    assert (read.problem.bits_text, read.notes) == (bits, ())
    assert parse(write_problem(read.problem)).problem.bits_text == bits


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("bitwidths: {C: 3}", "C: gemm_ABZ has no tensor 'C'"),
        ("bitwidths: {A: 0}", "A: a width is a whole number of bits from 1 to 64, found 0"),
        ("bitwidths: {A: 4.5}", "A: a width is a whole number"),
        ("commonBitwidth: 1000", "commonBitwidth: a width is a whole number"),
        ("bitwidths: 4", "bitwidths"),
    ],
)
def test_bits_that_make_no_sense_are_refused_where_they_stand(stated, message):
    with pytest.raises(InputError) as caught:
        parse(f"problem: {{shape: gemm-ABZ, M: 2, N: 3, K: 4, {stated}}}")
    assert str(caught.value).startswith("p.yaml:1: problem.")
    assert message.replace("gemm_ABZ", caught.value.message.split()[0]) in str(caught.value)


def test_sizes_may_use_the_documents_variables():
    variables = "variables: {version: 0.4, BATCH: 2, LENGTH: 4 * BATCH}\n"
    assert parse(variables + SMALL.replace("P: 16", "P: LENGTH * 2")).problem.bounds == (3, 16)
    document = parse_document(variables + SMALL.replace("P: 16", "P: LENGTH"), file="p.yaml")
    assert problem_of_document(document, "p", {"BATCH": 3}).problem.bounds == (3, 12)
    with pytest.raises(InputError, match=r"p.yaml:10: problem.instance.P: unknown name 'LENGTH'"):
        parse(SMALL.replace("P: 16", "P: LENGTH * 2"))


def test_shapes_are_known_in_both_spellings():
    sizes = "M: 2, N: 3, K: 4"
    named = [
        parse(f"problem: {{shape: {name}, {sizes}}}").problem for name in ("gemm_ABZ", "gemm-ABZ", "gemm-ABZ.yaml")
    ]
    assert named == [named[0]] * 3
    depthwise = parse("problem: {shape: dw-cnn-layer, instance: {R: 3, S: 3, P: 7, Q: 7, C: 64, N: 1}}").problem
    assert depthwise.macs == 64 * 49 * 9
    assert depthwise.extent(depthwise.shape.tensor("Weights")) == (64, 3, 3)
    with pytest.raises(InputError, match="unknown shape 'gem-ABZ', did you mean 'gemm_ABZ'"):
        parse(f"problem: {{shape: gem-ABZ, {sizes}}}")


def test_a_fused_problem_is_refused_by_name():
    with pytest.raises(InputError, match=r"p.yaml:1: problem: several operations in one problem are a fused one"):
        parse("problem: [{shape: {name: A}}, {shape: {name: B}}]")


def test_named_shapes_and_sizes_without_an_instance():
    read = parse("problem: {shape: gemm_ABZ, M: 2, N: 3, K: 2 * 2}")
    assert read.problem.macs == 24
    assert parse("problem: {R: 1, S: 1, P: 2, Q: 2, C: 3, K: 4, N: 1, Wstride: 2}").problem.macs == 48


def test_a_batch_in_the_file_is_its_own(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(write_problem(convolution(C=2, M=2, P=3, Q=3, N=16)))
    assert load_layer(str(path)).bound("N") == 16
    assert load_layer(str(path), batch=4).bound("N") == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("R: 3", "R: 0", "p.yaml:10: problem.instance.R: must be at least 1"),
        ("R: 3", "R: 2.5", "must be a whole number"),
        ("R: 3", "R: true", "must be a whole number"),
        ("R: 3", "R: 1e30", "must be at least 1 and at most"),
        ("R: 3", "R: 2**31, P2: 1", "unknown key 'P2'"),
        ("{R: 3, P: 16}", "{R: 2**31, P: 2**30}", "multiply-accumulates"),
        ("R: 3", "R: __import__('os')", "problem.instance.R"),
        ("{R: 3, P: 16}", "{R: 3}", "no size for the dimension P"),
        ("[R, P]", "[R, P, Z]", "no tensor depends on the dimension 'Z'"),
        ("[R, P]", "[R, P, P]", "'P' stands there twice"),
        ("[[[P]]], read-write: True", "[[[P]]]", "no tensor is written"),
        ("[[[R], [P]]]", "[[[R], [Q]]]", "unknown dimension 'Q'"),
        ("[[[R], [P]]]", "[[[R], [P, stride]]]", "unknown coefficient 'stride'"),
        ("[[[R], [P]]]", "[[[R, P, P]]]", "a term is [dimension] or [dimension, coefficient]"),
        ("read-write", "readwrite", "unknown key 'readwrite', did you mean 'read_write'?"),
        ("0.4", "0.9", "version 0.9 is not read"),
        ("name: Conv1D", "flatten: [{name: X, dimensions: [R, P]}]", "flattened dimensions are not supported"),
        ("name: Inputs", "name: Weights", "two tensors have one name"),
        ("problem:", "problm:", "the key 'problem' is missing"),
    ],
)
def test_wrong_problems_are_answered_with_key_and_remedy(old, new, message):
    with pytest.raises(InputError) as caught:
        parse(SMALL.replace(old, new))
    assert message in str(caught.value)


def test_an_include_may_not_leave_its_folders(collection):
    secret = collection.parent.parent / "secret.yaml"
    secret.write_text("problem: {}")
    (collection / "1.yaml").write_text("{{include_text('../../secret.yaml')}}\n")
    with pytest.raises(InputError, match="outside"):
        read_problem(collection / "1.yaml")


names = st.lists(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), min_size=1, max_size=6, unique=True)


@st.composite
def drawn_problems(draw):
    dimensions = tuple(draw(names))
    coefficients = ("stride", "dilation")
    terms = st.builds(Term, st.sampled_from(dimensions), st.sampled_from((None, *coefficients)))
    axes = st.lists(st.lists(terms, min_size=1, max_size=3).map(tuple), min_size=1, max_size=4).map(tuple)
    everything = Tensor("All", tuple((Term(dimension),) for dimension in dimensions))
    tensors = (everything, Tensor("Out", draw(axes), is_output=True))
    sizes = st.integers(1, 100)
    bounds = tuple(draw(sizes) for _ in dimensions)
    values = (draw(sizes), draw(sizes))
    try:
        return Problem(Shape("drawn", dimensions, tensors, coefficients), bounds, values, "p")
    except InputError as error:  # a tensor of more words than are counted
        assume("are counted" not in str(error))
        raise


@given(drawn_problems())
def test_a_written_problem_reads_back_equal(problem):
    assert parse(write_problem(problem)).problem == problem


def test_ready_shapes_read_back_equal():
    for problem in (convolution(C=3, M=4, P=5, Q=6, G=2, stride=(1, 2)), matrix_product(C=4, M=3, P=2, G=5)):
        read = parse(write_problem(problem)).problem
        assert (read.shape, read.bounds, read.coefficients) == (problem.shape, problem.bounds, problem.coefficients)


@given(st.text(alphabet="problem:shape{}[]instance, \n-RP1&*<!'\"{%", max_size=120))
def test_no_text_makes_the_reader_fall_over(text):
    with contextlib.suppress(InputError):
        parse(text)


keys = st.sampled_from(
    ["problem", "shape", "instance", "dimensions", "data_spaces", "name", "projection", "R", "version"]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(["R", "P", "x y", "a.b", "1 +"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


@given(values, st.sampled_from(["problem", "shape", "instance", "data-spaces"]))
def test_no_structure_makes_the_reader_fall_over(value, at):
    import yaml

    document = yaml.safe_load(SMALL)
    if at == "problem":
        document["problem"] = value
    elif at == "data-spaces":
        document["problem"]["shape"][at] = value
    else:
        document["problem"][at] = value
    with contextlib.suppress(InputError):
        parse(yaml.safe_dump(document))


def test_other_files_are_told_apart(tmp_path):
    (tmp_path / "x.yaml").write_text("architecture: {}")
    with pytest.raises(InputError, match="unknown key 'architecture'"):
        read_network(tmp_path / "x.yaml")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.yaml file"):
        read_network(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        read_problem_file(tmp_path / "none.yaml")
