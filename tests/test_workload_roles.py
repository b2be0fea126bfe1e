"""Matrix products meet designs in the convolution's words: roles found, operands exchanged, names changed."""

import itertools
import json
from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail import executors
from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.names import named
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint
from dovetail.mapper.search import search
from dovetail.network.map_network import map_network
from dovetail.network.optimum import network_optimum
from dovetail.network.plain import network_result
from dovetail.network.readings import best_reading, readings_on, search_readings
from dovetail.network.results import fronts_of, network_at
from dovetail.workload.layer_table import read_csv, write_csv
from dovetail.workload.loading import load_layer, load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import MATRIX_PRODUCT, Problem, Shape, Tensor, Term, convolution, linear, matrix_product
from dovetail.workload.problem_yaml import BUILT_IN_SHAPES, problem_of_document, read_problem, write_problem
from dovetail.workload.roles import matrix_roles, parse_renaming, readings, renamed
from products import own_product

GEMM = "problem: {version: 0.4, shape: gemm_ABZ, instance: {M: 256, N: 256, K: 768}}\n"
#: Scores of one attention block of ViT-B/16, in names of its own.
SCORES = own_product(H=12, M=197, N=197, K=64, name="scores")
#: What the bundled designs speak of.
WORDS = ("C", "M", "R", "S", "P", "Q", "N"), ("Weights", "Inputs", "Outputs")


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """Keep results to each test, and searches in this process."""
    monkeypatch.setattr(executors, "available_cpus", lambda: 1)
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "store"))


def write(tmp_path, problem):
    path = tmp_path / "problem.yaml"
    path.write_text(write_problem(problem))
    return path


# --- what a product's dimensions and tensors do


names = st.permutations(["a", "b", "c", "d", "x", "y", "z"])
sizes = st.integers(1, 5)


@given(names, st.lists(sizes, min_size=4, max_size=4), st.permutations(range(4)), st.booleans(), st.data())
def test_roles_are_found_whatever_names_and_orders_are(names, bounds, order, grouped, data):
    reduction, rows, columns, groups, left, right, output = names
    used = [reduction, rows, columns] + ([groups] if grouped else [])
    size = dict(zip(used, bounds, strict=False))

    def tensor(name, *dimensions, is_output=False):
        axes = data.draw(st.permutations([d for d in dimensions if d in size]))
        return Tensor(name, tuple((Term(axis),) for axis in axes), is_output)

    tensors = (
        tensor(left, groups, rows, reduction),
        tensor(right, groups, columns, reduction),
        tensor(output, groups, rows, columns, is_output=True),
    )
    dimensions = tuple(used[place] for place in order if place < len(used))
    problem = Problem(Shape("any", dimensions, tensors), tuple(size[d] for d in dimensions))
    roles = matrix_roles(problem)
    assert (roles.reduction, roles.rows, roles.columns) == (reduction, rows, columns)
    assert roles.groups == (groups if grouped else None)
    assert (roles.left, roles.right, roles.output, roles.free) == (left, right, output, True)
    for reading in readings(problem, *WORDS):
        assert reading.problem.macs == problem.macs
        for own in tensors:
            word = next(t for t in reading.problem.shape.tensors if t.name == reading.word(own.name))
            assert reading.problem.words(word) == problem.words(own)


@pytest.mark.parametrize(
    "problem",
    [
        convolution(C=2, M=3, P=4, Q=5),
        convolution(C=2, M=3, P=4, Q=1, R=3),
        convolution(C=2, M=3, P=4, Q=1, N=2),
        convolution(C=2, M=3, P=4, Q=1, stride=(2, 1)),
    ],
)
def test_what_is_no_product_is_not_taken_for_one(problem):
    assert matrix_roles(problem) is None


def test_a_convolution_over_one_column_is_a_product_and_stands_as_it_is():
    problem = linear(C=2, M=3, P=4)
    roles = matrix_roles(problem)
    assert (roles.reduction, roles.columns, roles.rows, roles.right, roles.free) == ("C", "M", "P", "Weights", False)
    assert [reading.problem for reading in readings(problem, *WORDS)] == [problem]


# --- how a product is read on a design


def test_a_product_of_two_activations_can_hold_either_operand():
    problem = matrix_product(C=4, M=3, P=2, G=5)
    found = readings(problem, *WORDS)
    assert found[0].problem == problem
    assert matrix_product(C=4, M=2, P=3, G=5) in [reading.problem for reading in found]
    assert len({reading.text for reading in found}) == len(found) == 4
    for reading, other in itertools.combinations(found, 2):
        assert reading.problem != other.problem
    held = {reading.text: reading.word("Weights") for reading in found}
    assert held["its right operand is held as Weights"] == "Weights"
    assert held["its left operand is held as Weights"] == "Inputs"


def test_a_square_product_has_no_second_way_to_hold_it():
    assert len(readings(matrix_product(C=4, M=3, P=3), *WORDS)) == 2
    square = readings(matrix_product(C=4, M=3, P=3), *WORDS, of_roles=True)  # one problem, but either operand is held
    assert len({reading.problem for reading in square}) == 2
    assert sorted(reading.word("Inputs") for reading in square) == ["Inputs", "Inputs", "Weights", "Weights"]


def test_a_design_that_names_nothing_or_the_problems_own_names_sees_it_as_it_is():
    gemm = Problem(BUILT_IN_SHAPES["gemm_ABZ"], (2, 3, 4))
    assert [reading.problem for reading in readings(gemm, (), ())] == [gemm]
    assert [reading.problem for reading in readings(gemm, ("M", "N"), ("A", "Z"))] == [gemm]
    assert [reading.problem for reading in readings(gemm, ("M", "K"), ("Weights",))] == [gemm]
    assert len(readings(gemm, ("M",), ("Weights",))) == 4
    assert [reading.problem for reading in readings(matrix_product(C=2, M=3, P=4), (), ())] == [
        matrix_product(C=2, M=3, P=4)
    ]


def test_named_tensors_say_which_operand_is_held():
    assert all(reading.word("N") == "M" and reading.word("K") == "C" for reading in readings(SCORES, *WORDS))
    exchanged = renamed(SCORES, {"Weights": "Inputs", "Inputs": "Weights"})
    assert all(reading.word("M") == "M" and reading.word("N") != "M" for reading in readings(exchanged, *WORDS))


def test_the_references_own_layer_shape_has_its_output_channels_translated():
    problem = problem_in_reference_words(C=3, K=8, P=4, Q=4, R=3, S=3)
    (reading,) = readings(problem, *WORDS)
    assert "K is M" in reading.text and reading.problem.bound("M") == 8
    assert {tensor.name: len(tensor.dimensions) for tensor in reading.problem.shape.tensors} == {
        tensor.name: len(tensor.dimensions) for tensor in problem.shape.tensors
    }


def problem_in_reference_words(**sizes):
    shape = BUILT_IN_SHAPES["cnn_layer"]
    return Problem(shape, tuple(sizes.get(d, 1) for d in shape.dimensions), (1, 1, 1, 1))


@pytest.mark.parametrize(
    ("design", "cycles"),
    [("tpu_like", 23_286), ("simple_weight_stationary", 155_236), ("simple_output_stationary", 155_236)],
)
def test_an_attention_product_meets_designs_in_their_words(design, cycles, tmp_path, capsys):
    """Cycles of the same product named C, M, G and a row that the design does not speak of."""
    code, out, err = run(capsys, "map", write(tmp_path, SCORES), "--on", design, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["cycles"] == cycles and found["certificate"]["exact"]
    lacking = [note for note in found["notes"] if "they count as dimensions of one iteration" in note]
    assert "K is C, N is M" in err
    assert [note for note in found["notes"] if note not in lacking] == [f"problem: {found['reading']}"]


def test_a_product_with_names_of_its_own_is_translated_and_that_is_said(tmp_path, capsys):
    path = tmp_path / "prob.yaml"
    path.write_text(GEMM)
    code, out, err = run(capsys, "map", path, "--on", "tpu_like", "--json")
    assert (code, json.loads(out)["cycles"]) == (0, 8096)
    assert "dovetail: note: prob: read as a matrix product (K is C, N is M, M is P; B is Weights" in err


def test_the_best_reading_is_that_of_a_search_over_all_and_proven_only_with_all():
    architecture = load_architecture("tpu_like")
    energies = estimate(architecture)
    problem = matrix_product(C=197, M=64, P=197, G=12)
    single = [search(r.problem, architecture, energies, front=True) for r in readings_on(problem, architecture)]
    read = search_readings(
        problem, architecture, lambda way, seconds: search(way, architecture, energies, front=True, time_limit=seconds)
    )
    assert read.result.certificate.exact
    assert read.result.certificate.value == min(result.certificate.value for result in single)
    assert read.reading.text.startswith("its left operand")
    points = {(p.energy_pJ, p.cycles) for result in single for p in result.front}
    for point in read.result.front:
        assert not any(
            e <= point.energy_pJ and c <= point.cycles and (e, c) != (point.energy_pJ, point.cycles) for e, c in points
        )
    ways = list(zip(readings_on(problem, architecture), single, strict=True))
    open_one = replace(single[0], certificate=replace(single[0].certificate, exact=False, bound=1.0))
    combined = best_reading([(ways[0][0], open_one), *ways[1:]]).result.certificate
    assert not combined.exact and combined.bound == 1.0


def test_another_reading_that_holds_nothing_as_good_need_not_be_proven():
    """Llama's scores on a sparse design: keys held as inputs cost twice as much, whatever the mapping."""
    architecture = load_architecture("tpu_like")
    energies = estimate(architecture)
    ways = readings_on(matrix_product(C=8, M=32, P=4), architecture)
    found = [search(way.problem, architecture, energies) for way in ways]
    least = min(result.certificate.value for result in found)
    worse = next(number for number, result in enumerate(found) if result.certificate.value > least)

    def combined(bound, front=()):
        certificate = replace(found[worse].certificate, exact=False, bound=bound)
        opened = replace(found[worse], certificate=certificate, front=front)
        results = [opened if number == worse else result for number, result in enumerate(found)]
        return best_reading(list(zip(ways, results, strict=True))).result.certificate

    point = FrontPoint(found[worse].cost.energy_pJ, found[worse].cost.cycles, found[worse].mapping)
    assert combined(least * 1.001).exact
    assert combined(least * 1.001).bound == least
    assert not combined(least).exact  # it may be as good, with fewer cycles
    assert not combined(least * 0.999).exact
    assert not combined(least * 1.001, (point,)).exact  # a front is proven with all its points


def test_a_reading_without_a_mapping_is_passed_over_and_all_without_one_is_an_error():
    architecture = load_architecture("tpu_like")
    energies = estimate(architecture)
    problem = matrix_product(C=8, M=4, P=6)

    def only_held_right(way, seconds=None):
        if way.bound("M") != 4:
            raise NoMappingError("nothing fits")
        return search(way, architecture, energies)

    assert search_readings(problem, architecture, only_held_right).problem.bound("M") == 4
    with pytest.raises(NoMappingError, match="nothing fits"):
        search_readings(matrix_product(C=8, M=5, P=6), architecture, only_held_right)

    def mapped(bound, *arguments, **options):
        if arguments[0].bound("M") != bound:
            raise NoMappingError("nothing fits")
        return search(*arguments, **{k: v for k, v in options.items() if k != "progress"})

    network = Network("n", (Layer("a", problem),))
    options = {"workers": 1, "time_limit": None}
    cost = map_network(network, architecture, energies, search=lambda *a, **o: mapped(4, *a, **o), **options)
    assert cost.layers[0].layer.problem.bound("M") == 4
    with pytest.raises(NoMappingError, match="a on tpu_like: nothing fits"):
        map_network(network, architecture, energies, search=lambda *a, **o: mapped(0, *a, **o), **options)


def test_a_network_is_returned_in_the_words_that_its_mappings_speak():
    architecture = load_architecture("tpu_like")
    network = Network(
        "two",
        (
            Layer("scores", matrix_product(C=64, M=197, P=197, G=12), 2, "matrix product", batch_dimension="G"),
            Layer("mixed", matrix_product(C=197, M=64, P=197, G=12), 1, "matrix product", batch_dimension="G"),
            Layer("again", matrix_product(C=197, M=64, P=197, G=12), 1, "matrix product", batch_dimension="G"),
        ),
    )
    cost = map_network(network, architecture, estimate(architecture), front=True, workers=1)
    assert cost.network.macs == network.macs
    assert [each.layer.problem.name for each in cost.layers] == [layer.problem.name for layer in network.layers]
    assert [each.layer.batch_dimension for each in cost.layers] == ["G", "G", "G"]
    assert [each.layer.problem.bound("M") for each in cost.layers] == [197, 197, 197]
    assert "mixed and 1 more on tpu_like: its left operand is held as Weights" in cost.notes
    assert [each["reading"] for each in network_result(cost)["layers"]] == [each.layer.reading for each in cost.layers]
    best = network_optimum(fronts_of(cost), Objective.LATENCY)
    there = network_at(cost, best)
    assert (there.cycles, there.energy_pJ) == (best.cycles, pytest.approx(best.energy_pJ, rel=1e-12))


def test_attention_no_longer_takes_most_of_a_transformers_cycles():
    """One block of ViT-B/16: its two products are 4 % of the MACs and took 64 % of the cycles on names alone."""
    tokens = {"P": 197}
    layers = (
        Layer("in", linear(C=768, M=2304, **tokens), kind="linear"),
        Layer("scores", matrix_product(C=64, M=197, P=197, G=12), kind="matrix product"),
        Layer("mixed", matrix_product(C=197, M=64, P=197, G=12), kind="matrix product"),
        Layer("out", linear(C=768, M=768, **tokens), kind="linear"),
        Layer("mlp.0", linear(C=768, M=3072, **tokens), kind="linear"),
        Layer("mlp.3", linear(C=3072, M=768, **tokens), kind="linear"),
    )
    architecture = load_architecture("tpu_like")
    cost = map_network(Network("block", layers), architecture, estimate(architecture), workers=1)
    share = sum(each.cost.cycles for each in cost.layers if each.layer.kind == "matrix product") / cost.cycles
    assert share < 0.18


# --- mappings, certificates and files speak the words of the reading


def test_a_saved_mapping_and_certificate_of_an_exchanged_product_are_read_again(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("name,kind,C,M,P,G\na,matrix product,197,64,197,12\n")
    certificate, mapping = tmp_path / "c.json", tmp_path / "m.yaml"
    options = ("--on", "tpu_like", "--json")
    code, out, _ = run(capsys, "map", f"{table}:a", *options, "--certificate", certificate, "--save", mapping)
    assert code == 0
    found = json.loads(out)
    assert found["reading"].startswith("its left operand")
    code, out, err = run(capsys, "evaluate", f"{table}:a", *options, "--mapping", mapping)
    assert (code, json.loads(out)["cycles"]) == (0, found["cycles"])
    assert found["reading"] in err and "warning" not in err
    code, out, _ = run(capsys, "verify", certificate)
    assert (code, "FAILS" in out) == (0, False)


def test_a_mapping_in_other_words_than_the_designs_is_refused_with_how_the_problem_is_read(tmp_path, capsys):
    """Its constraints say nothing of the problem's own words, so that a mapping in them could break any."""
    path, mapping = tmp_path / "prob.yaml", tmp_path / "m.yaml"
    path.write_text(GEMM)
    mapping.write_text(
        "mapping:\n- {target: DRAM, type: temporal, factors: [M=256, N=256, K=768]}\n"
        "- {target: weight_reg, type: bypass, bypass: [A, B, Z]}\n"
    )
    code, _, err = run(capsys, "evaluate", path, "--on", "tpu_like", "--mapping", mapping, "--json")
    assert code == 2
    assert "m.yaml:2: mapping[0].factors: unknown dimension 'K'" in err
    assert "prob is read as a matrix product (K is C, N is M, M is P;" in err
    path.write_text("problem: {shape: cnn_layer, instance: {N: 1, C: 2, K: 2, P: 2, Q: 2, R: 1, S: 1}}\n")
    code, _, err = run(capsys, "evaluate", path, "--on", "tpu_like", "--mapping", path)
    assert code == 2
    assert "the key 'mapping' is missing (prob: K is M; --rename says otherwise)" in err


@pytest.mark.parametrize("design", ["simple_weight_stationary", "simple_output_stationary"])
def test_rows_and_heads_with_names_of_their_own_are_read_where_the_design_ties_what_they_may_be(
    design, tmp_path, capsys
):
    """Reduction and columns speak the design's words, rows and heads do not: what it says of P and Q may be of them."""
    path = write(tmp_path, renamed(SCORES, {"K": "C", "N": "M", "M": "X"}))
    code, out, err = run(capsys, "map", path, "--on", design, "--json")
    assert (code, json.loads(out)["cycles"]) == (0, 155_236)
    assert "read as a matrix product (X is N, H is G)" in err
    code, out, err = run(capsys, "map", path, "--on", "tpu_like", "--json")
    assert (code, json.loads(out)["cycles"], "read as" in err) == (0, 23_286, False)


@pytest.mark.parametrize("command", ["compare", "optimum", "report"])
def test_networks_say_how_their_products_were_read(command, tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("name,kind,C,M,P,G\na,matrix product,24,8,24,3\nb,linear,8,8,24,\n")
    code, out, err = run(capsys, command, table, "--on", "tpu_like", "--json")
    assert code == 0
    notes = json.loads(out)["notes"]
    assert len(notes) == 1 and notes[0].startswith("a on tpu_like: its ") and notes[0] in err


def test_explain_explains_the_reading_that_is_best(tmp_path, capsys):
    path = tmp_path / "prob.yaml"
    path.write_text(GEMM)
    code, out, err = run(capsys, "explain", path, "--on", "tpu_like", "--json")
    found = json.loads(out)
    assert (code, found["cycles"], found["notes"][0] in err) == (0, 8096, True)
    assert any("Weights" in entry["constraint"] for entry in found["lifted"])


def test_a_sweep_reads_each_size_at_its_best(tmp_path, capsys):
    path = tmp_path / "prob.yaml"
    path.write_text(GEMM)
    code, out, err = run(capsys, "sweep-layer", path, "--on", "tpu_like", "--dim", "N", "--values", "128,256", "--json")
    found = json.loads(out)
    assert (code, found["points"][1]["cycles"], found["notes"][0] in err) == (0, 8096, True)


@given(st.builds(matrix_product, C=sizes, M=sizes, P=sizes, G=sizes))
@settings(max_examples=20)
def test_every_reading_survives_a_problem_file(problem):
    from dovetail.document import parse_document

    for reading in readings(problem, *WORDS):
        again = problem_of_document(parse_document(write_problem(reading.problem), file="p.yaml"), problem.name).problem
        assert again == reading.problem
        assert (again.shape == MATRIX_PRODUCT) == (reading.problem.shape == MATRIX_PRODUCT)


# --- older tables


@given(st.lists(sizes, min_size=4, max_size=4), st.booleans(), st.sampled_from(["", "H", "M", "none"]))
def test_products_of_older_tables_are_read_in_todays_words(bounds, shaped, batch):
    H, M, N, K = bounds
    cells = ["matrix-product" if shaped else "", batch, *(("", "") if shaped and H == 1 else (str(H),))[:1], M, N, K]
    text = "name,shape,batch_dimension,H,M,N,K\na," + ",".join(map(str, cells)) + "\n"
    (layer,) = read_csv(text, file="t.csv", name="t").layers
    assert layer.problem == matrix_product(C=K, M=N, P=M, G=H, name="a")
    assert layer.batch_dimension == {"": "G", "H": "G", "M": "P", "none": None}[batch]
    assert layer.kind == "matrix product"
    network = read_csv(text, file="t.csv", name="t")
    assert read_csv(write_csv(network), file="t.csv", name="t") == network


def test_an_older_product_does_not_mix_with_todays_sizes():
    with pytest.raises(InputError, match=r"t.csv:2: C: a matrix product in H, M, N, K.*today these are G, P, M, C"):
        read_csv("name,H,M,N,K,C\na,2,3,4,5,6\n", file="t.csv", name="t")


# --- renaming


@given(st.permutations(["H", "M", "N", "K"]), st.permutations(["Weights", "Inputs", "Outputs"]))
def test_renaming_permutes_at_once_and_back(dimensions, tensors):
    forth = dict(zip(["H", "M", "N", "K"], dimensions, strict=True))
    forth |= dict(zip(["Weights", "Inputs", "Outputs"], tensors, strict=True))
    there = renamed(SCORES, forth)
    assert renamed(there, {new: old for old, new in forth.items()}) == SCORES
    assert there.bounds == SCORES.bounds and there.macs == SCORES.macs
    for own in SCORES.shape.tensors:
        assert there.words(there.shape.tensor(forth[own.name])) == SCORES.words(own)
        assert there.shape.tensor(forth[own.name]).dimensions == {forth[d] for d in own.dimensions}


def test_a_name_that_is_taken_is_exchanged():
    gemm = Problem(BUILT_IN_SHAPES["gemm_ABZ"], (2, 3, 4))
    there = renamed(gemm, parse_renaming("K=C, N=M, B=Weights"))
    assert (there.bound("N"), there.bound("M"), there.bound("C")) == (2, 3, 4)
    assert there.shape.tensor("Weights").dimensions == {"M", "C"}


def of_one_name() -> Problem:
    """Return a batch of products whose batch and second operand are both called ``B``."""
    text = """
problem:
  shape:
    dimensions: [B, M, N, K]
    data_spaces:
    - {name: A, projection: [[[B]], [[M]], [[K]]]}
    - {name: B, projection: [[[B]], [[K]], [[N]]]}
    - {name: Z, projection: [[[B]], [[M]], [[N]]], read_write: true}
  instance: {B: 4, M: 48, N: 100, K: 64}
"""
    return problem_of_document(parse_document(text, file="b.yaml"), "b").problem


@pytest.mark.parametrize(
    ("new", "dimension", "tensor"), [("Weights", "B", "Weights"), ("G", "G", "B"), ("own", "own", "own")]
)
def test_a_new_name_tells_whether_the_dimension_or_the_tensor_is_meant(new, dimension, tensor):
    there = renamed(of_one_name(), {"B": new})
    assert there.bound(dimension) == 4
    assert there.shape.tensor(tensor).dimensions == {dimension, "K", "N"}
    assert there.shape.dimensions == (dimension, "M", "N", "K")


def test_a_batch_with_the_name_of_a_tensor_stays_the_batch():
    layer = Layer("b", of_one_name(), batch_dimension="B")
    assert {layer.read_as(each).batch_dimension for each in readings(layer.problem, *WORDS)} == {"G"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"KK": "C"}, "has no dimension or tensor 'KK' to rename, did you mean 'K'?"),
        ({"K": "C", "N": "C"}, "'N' and 'K' cannot both be called 'C'"),
        ({"A": "Z", "B": "Z"}, "cannot both be called 'Z'"),
        ({"K": "C 1"}, "'C 1' is no name"),
    ],
)
def test_wrong_renamings_are_refused(names, message):
    with pytest.raises(InputError) as caught:
        renamed(Problem(BUILT_IN_SHAPES["gemm_ABZ"], (2, 3, 4)), names)
    assert message in str(caught.value)


def test_a_coefficients_name_is_not_given_twice():
    with pytest.raises(InputError, match="a coefficient is called so"):
        renamed(convolution(C=1, M=1, P=1, Q=1), {"C": "Wstride"})


@pytest.mark.parametrize("text", ["", "K", "K=", "=C", "K=C,", "K=C,K=M"])
def test_wrong_rename_options_are_refused(text, capsys):
    with pytest.raises(InputError):
        parse_renaming(text)
    with pytest.raises(SystemExit) as caught:
        main(["map", "resnet18:1", "--on", "tpu_like", "--rename", text])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("names", ["K=C,N=M,M=P,A=Inputs,B=Weights,Z=Outputs", "K=C,N=M,B=Weights"])
def test_rename_on_the_command_line_reaches_the_designs_words(names, tmp_path, capsys):
    path = tmp_path / "prob.yaml"
    path.write_text(GEMM)
    code, out, err = run(capsys, "map", path, "--on", "tpu_like", "--json", "--rename", names)
    assert (code, json.loads(out)["cycles"]) == (0, 8096)
    assert ("read as a matrix product" in err) == (not names.endswith("Outputs"))
    code, out, _ = run(capsys, "compare", path, "--on", "tpu_like", "--json", "--rename", names)
    assert (code, json.loads(out)["results"][0]["cycles"]) == (0, 8096)


def test_a_file_can_say_what_its_names_are(tmp_path, capsys):
    path = tmp_path / "prob.yaml"
    path.write_text(
        GEMM.replace("instance:", "rename: {K: C, N: M, M: P, A: Inputs, B: Weights, Z: Outputs}, instance:")
    )
    problem = read_problem(path)
    assert dict(zip(problem.shape.dimensions, problem.bounds, strict=True)) == {"P": 256, "M": 256, "C": 768}
    assert read_problem(write(tmp_path, problem)) == replace(problem, name="problem")
    code, out, err = run(capsys, "map", path, "--on", "tpu_like", "--json")
    assert (code, json.loads(out)["cycles"], "read as" in err) == (0, 8096, False)
    path.write_text(GEMM.replace("instance:", "rename: {L: C},\n  instance:"))
    with pytest.raises(InputError, match=r"prob.yaml:1: problem.rename: prob has no dimension or tensor 'L'"):
        read_problem(path)


def test_renaming_a_network_needs_a_layer_with_the_name_and_keeps_its_batch(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("name,C,M,P,Q,N,G\na,2,3,4,5,,\nb,2,3,4,5,,2\n")
    network = load_network(str(table), batch=3, rename={"N": "batch", "G": "groups"})
    assert [layer.batch_dimension for layer in network.layers] == ["batch", "batch"]
    assert [layer.problem.bound("batch") for layer in network.layers] == [3, 3]
    assert "groups" in network.layers[1].problem.shape.dimensions
    with pytest.raises(InputError, match="has no dimension or tensor 'Weight' to rename, did you mean 'Weights'"):
        load_network(str(table), rename={"Weight": "W"})


def test_a_layer_whose_name_ends_in_a_number_can_be_named(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("name,kind,C,M,P\nmatmul,matrix product,2,3,4\nmatmul:2,matrix product,3,4,5\n")
    assert load_layer(f"{table}:matmul:2").bounds == matrix_product(C=3, M=4, P=5).bounds
    assert load_layer(f"{table}:2").bounds == matrix_product(C=3, M=4, P=5).bounds


# --- what a design's constraints name


def test_every_constraint_that_names_something_counts(tmp_path):
    text = """
    architecture:
      version: 0.4
      nodes:
      - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8},
                    constraints: {temporal: {no_iteration_over_dataspaces: [A]}}}
      - !Component {name: buffer, class: SRAM, attributes: {depth: 64, width: 64, datawidth: 8},
                    constraints: {dataspace: {keep: [B], bypass: [D]}, temporal: {factors: [X=1], permutation: [Y, U]}}}
      - !Container {name: PE, spatial: {meshX: 4}, constraints: {spatial: {no_reuse: [E], maximize_dims: [[V, W]]}}}
      - !Component {name: mac, class: intmac}
    """
    path = tmp_path / "arch.yaml"
    path.write_text("\n".join(line[4:] for line in text.splitlines()))
    architecture = load_architecture(str(path))
    assert named(architecture, "dimension") == set("XYUVW")
    assert named(architecture, "tensor") == set("ABDE")


def test_the_bundled_designs_speak_of_convolutions():
    for design in ("tpu_like", "eyeriss_like", "simple_weight_stationary", "simple_output_stationary"):
        architecture = load_architecture(design)
        dimensions, tensors = named(architecture, "dimension"), named(architecture, "tensor")
        assert "C" in dimensions and "Weights" in tensors
        assert prod(reading.problem.macs == SCORES.macs for reading in readings(SCORES, dimensions, tensors))
