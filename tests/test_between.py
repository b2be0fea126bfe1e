"""What lies between products: counted by hand, priced by hand, longest and shortest in time, off unless asked for."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dovetail
from dovetail.cli.main import main
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.document import parse_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Storage
from dovetail.hardware.reader import load_architecture, read_architecture
from dovetail.hardware.vector_unit import VectorUnit
from dovetail.network.between import Between, Products, price_between, unit_of
from dovetail.network.map_network import map_network
from dovetail.workload.between import EXP, steps_of
from dovetail.workload.language.layers import Asked, network_of, step_of
from dovetail.workload.language.reader import bundled_models, model_of, read_bundled_model
from dovetail.workload.layer_table import read_csv, read_yaml, write_csv, write_yaml
from dovetail.workload.loading import load_network
from dovetail.workload.network import FreeOperation, Layer, Moved, Network
from dovetail.workload.problem import convolution

TINY = {"model_type": "llama", "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3}
TINY |= {"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 4096}
DESIGN = load_architecture("tpu_like")
ENERGIES = estimate(DESIGN)


def tiny():
    return model_of(parse_document(json.dumps(TINY), file="config.json"), name="tiny")


@pytest.mark.parametrize(("phase", "rows", "attended"), [("decode", 1, 40), ("prefill", 40, 40)])
def test_a_llama_step_is_counted_by_hand(phase, rows, attended):
    """Two sequences, three blocks: heads of 8 channels, 8 of queries and 2 of keys."""
    asked = Asked(phase, context=40) if phase == "decode" else Asked(phase, tokens=40)
    network = network_of(tiny(), step_of(tiny(), asked, 2))
    found = {each.name: each for each in network.free}
    tokens = 2 * rows
    assert found["rms_norm"].moved == Moved(7 * 64 * tokens, 7 * 64 * tokens, 7 * 64 * tokens, 7 * 64)
    assert found["add"].moved == Moved(6 * 128 * tokens, 6 * 64 * tokens, 6 * 64 * tokens)
    assert found["silu_gate"].moved == Moved(3 * 192 * tokens, 3 * 96 * tokens, 3 * 96 * tokens)
    assert found["rotary"].moved == Moved(3 * (80 + 16) * tokens, 3 * 80 * tokens, 3 * 80 * tokens)
    scores = 3 * 8 * tokens * attended
    assert found["softmax"].moved == Moved(scores, scores, scores)
    assert found["embedding"].moved == Moved(64 * tokens, 64 * tokens, 0)
    assert {name: each.count for name, each in found.items()} == {
        **{"rms_norm": 7, "add": 6, "silu_gate": 3, "rotary": 3, "softmax": 3, "embedding": 1},
    }


@pytest.mark.parametrize("name", bundled_models())
def test_a_batch_moves_as_many_times_more_and_reads_its_parameters_once(name):
    model = read_bundled_model(name)
    one, four = (network_of(model, step_of(model, Asked(), batch)).free for batch in (1, 4))
    assert [each.with_batch(4, 1) for each in one] == list(four)


def torch_block():
    torch = pytest.importorskip("torch")

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.normal = torch.nn.BatchNorm2d(8)
            self.pool = torch.nn.MaxPool2d(3, 2, 1)
            self.linear = torch.nn.Linear(8, 10)
            self.norm = torch.nn.LayerNorm(10)

        def forward(self, image):
            image = self.pool(torch.relu(self.normal(self.convolution(image))))
            pooled = (image + image.flip(-1)).mean((2, 3))
            return torch.softmax(self.norm(self.linear(pooled)), -1)

    return Block()


#: Of two images of 16 x 16: what each operation reads and writes, what it works on, and its parameters.
TRACED = {
    "add": Moved(2 * 1024, 1024, 1024),
    "batch_norm": Moved(0, 0, 0),  # folded into the convolution
    "flip": Moved(1024, 1024, 1024),
    "layer_norm": Moved(20, 20, 20, 20),
    "max_pool2d": Moved(4096, 1024, 9 * 1024),
    "mean": Moved(1024, 16, 1024),
    "relu": Moved(4096, 4096, 4096),
    "softmax": Moved(20, 20, 20),
}


def test_a_traced_model_is_counted_by_hand_and_at_other_batches():
    from dovetail.workload.torch_trace import trace

    network = trace(torch_block(), (2, 3, 16, 16))
    assert {each.name: each.moved for each in network.free} == TRACED
    assert network.with_batch(6).free == trace(torch_block(), (6, 3, 16, 16)).free


def test_an_onnx_file_counts_what_its_model_counts(tmp_path):
    onnx = pytest.importorskip("onnx")
    make, float32 = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("Conv", ["image", "weight"], ["made"], pads=[1, 1, 1, 1]),
        make.make_node("Relu", ["made"], ["clipped"]),
        make.make_node("MaxPool", ["clipped"], ["pooled"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        make.make_node("Add", ["pooled", "pooled"], ["added"]),
        make.make_node("Mul", ["added", "scale"], ["scaled"]),
        make.make_node("Transpose", ["scaled"], ["turned"], perm=[0, 2, 3, 1]),
        make.make_node("Gather", ["turned", "which"], ["out"], axis=3),
    ]
    weights = [
        make.make_tensor("weight", float32, [8, 3, 3, 3], [0.0] * 216),
        make.make_tensor("scale", float32, [8, 1, 1], [0.0] * 8),
        make.make_tensor("which", onnx.TensorProto.INT64, [2], [0, 5]),
    ]
    ends = [make.make_tensor_value_info(*each) for each in (("image", float32, [2, 3, 16, 16]), ("out", float32, None))]
    file = tmp_path / "block.onnx"
    onnx.save(make.make_model(make.make_graph(nodes, "block", ends[:1], ends[1:], weights)), file)
    found = {each.name: each.moved for each in load_network(str(file)).free}
    assert found == {
        "relu": TRACED["relu"],
        "max_pool": TRACED["max_pool2d"],
        "add": TRACED["add"],
        "mul": Moved(1024, 1024, 1024, 8),
        "transpose": Moved(0, 0, 0),
        "gather": Moved(2 * 64 * 2 + 2, 2 * 64 * 2, 0),
    }


def test_tables_keep_what_operations_move():
    network = load_network("resnet18", batch=4)
    moved = {each.name: each.moved for each in network.free}
    assert moved["relu"].reads == 4 * 2308096  # 64 x 112 x 112 and what follows
    assert moved["max_pool2d"] == Moved(4 * 802816, 4 * 200704, 4 * 9 * 200704)
    again = read_csv(write_csv(network), file="table.csv", name="again")
    assert again.free == network.free
    assert read_yaml(parse_document(write_yaml(network), file="table.yaml"), name="again").free == network.free


def test_a_table_that_does_not_say_is_told_of(capsys, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("name,kind,repeats,C,M,reads\nfc,linear,,8,8,\nrelu,free,2,,,\nsoftmax,free,1,,,64\n")
    network = read_csv(table.read_text(), file=table, name="table")
    assert [each.moved for each in network.free] == [None, Moved(64, 0, 0)]
    assert main(["compare", str(table), "--on", "tpu_like", "--between", "serial", "--json"]) == 0
    told = capsys.readouterr()
    assert "does not say what relu move" in told.err
    assert json.loads(told.out)["results"][0]["between"]["unknown"] == ["relu"]
    table.write_text("name,kind,repeats,C,M,reads\nrelu,free,2,,,-4\n")
    with pytest.raises(InputError, match="'-4' is no whole number of at least 0"):
        read_csv(table.read_text(), file=table, name="table")


OPERATIONS = (
    FreeOperation("softmax", 2, Moved(10_000, 10_000, 10_000)),
    FreeOperation("embedding", 1, Moved(3_001, 3_001, 0)),
    FreeOperation("relu", 1, None),
)


def test_prices_are_words_and_steps_by_hand():
    """Lines of 8 words at DRAM, 256 lanes, 17 steps a score; 48.57 words read and 20 written a cycle."""
    priced = price_between(OPERATIONS, DESIGN, ENERGIES, Between.SERIAL, Products(1000, {}))
    dram, unit = ENERGIES["DRAM"], unit_of(DESIGN, ENERGIES)
    softmax, embedding = priced.passes
    assert (softmax.steps, unit.lanes) == (170_000, 256)
    assert softmax.traffic_pJ == pytest.approx(1250 * (dram.energy("read") + dram.energy("write")))
    assert softmax.unit_pJ == pytest.approx(170_000 * unit.step_pJ)
    assert softmax.cycles == max(math.ceil(170_000 / 256), math.ceil(10_000 / (34e9 / 700e6)), 10_000 / 20)
    assert embedding.cycles == math.ceil(3_001 / 20)
    assert embedding.traffic_pJ == pytest.approx(376 * (dram.energy("read") + dram.energy("write")))
    assert priced.cycles == softmax.cycles + embedding.cycles
    assert priced.unknown == ("relu",)
    assert steps_of("softmax") == EXP + 4
    assert steps_of("gather") == 0
    assert steps_of("whatever else") == 1


@given(
    st.lists(st.tuples(*(st.integers(0, 10**6) for _ in range(4))), max_size=4),
    st.tuples(*(st.integers(0, 10**6) for _ in range(3))),
    st.integers(1, 4096),
    st.sampled_from([None, "unified_buffer"]),
)
@settings(max_examples=40, deadline=None)
def test_beside_the_products_is_never_longer_than_after_them_and_costs_as_much(moved, products, lanes, level):
    """The words of products take no longer than the products do, whose bandwidth bounds them."""
    design = replace(DESIGN, vector_unit=VectorUnit(lanes=lanes, level=level))
    storage = design.vector_level()
    assert isinstance(storage, Storage)
    read, written = products[0] * storage.read_bandwidth, products[0] * storage.write_bandwidth
    words = read * products[1] / 10**6, written * products[2] / 10**6
    beside = Products(products[0], {storage.name: words})
    operations = [FreeOperation("gelu", 1, Moved(*each)) for each in moved]
    serial, overlapped = (price_between(operations, design, ENERGIES, rule, beside) for rule in Between)
    assert 0 <= overlapped.cycles <= serial.cycles
    assert overlapped.passes == serial.passes
    assert serial.energy_pJ - sum(serial.leakage_pJ.values()) == pytest.approx(
        overlapped.energy_pJ - sum(overlapped.leakage_pJ.values())
    )


def network():
    return Network(
        "two",
        tuple(Layer(name, convolution(name=name, C=64, M=64, P=16, Q=1)) for name in ("one", "two")),
        (FreeOperation("softmax", 1, Moved(1024, 1024, 1024)),),
    )


def test_a_network_costs_its_products_and_what_lies_between():
    off = map_network(network(), DESIGN, ENERGIES, workers=1)
    assert off.between is None
    assert off.with_between(None) == off
    on = off.with_between(Between.SERIAL)
    assert on.cycles == off.cycles + on.between.cycles
    assert on.energy_pJ == pytest.approx(off.energy_pJ + on.between.energy_pJ)
    assert math.fsum(on.totals.energy_by_component.values()) == pytest.approx(on.energy_pJ)
    assert math.fsum(on.totals.energy_by_tensor.values()) == pytest.approx(on.energy_pJ)
    assert on.dram_bytes == off.dram_bytes + 2048
    assert on.between_share == (on.between.energy_pJ / on.energy_pJ, on.between.cycles / on.cycles)
    inner = replace(DESIGN, vector_unit=VectorUnit(level="unified_buffer"))
    assert map_network(network(), inner, ENERGIES, workers=1).with_between(Between.SERIAL).dram_bytes == off.dram_bytes


def test_an_energy_table_prices_the_unit_by_its_name():
    priced = replace(ENERGIES["mac"], actions={"compute": 0.125}, source="a synthesis")
    table = EnergyTable({**ENERGIES.components, "vector_unit": priced})
    assert unit_of(DESIGN, table).step_pJ == 0.125
    assert "a synthesis" in unit_of(DESIGN, table).source


TEXT = """
vector_unit: {%s}
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: mac, class: intmac, attributes: {technology: "45nm"}}
"""


def test_a_design_declares_its_vector_unit():
    text = TEXT % "lanes: 64, level: DRAM, bits: 32, word_pJ: 0.5, steps: {softmax: 1}"
    design = read_architecture(parse_document(text, file="arch.yaml"), "declared")
    assert design.vector_unit == VectorUnit(64, "DRAM", 32, None, 0.5, {"softmax": 1.0})
    unit = unit_of(design, estimate(design))
    assert (unit.lanes, unit.step_pJ, unit.steps_of("softmax"), unit.steps_of("add")) == (64, 3.7 + 0.9, 1, 1)
    with_unit = dovetail.compare(network(), on=dovetail.Design(design, estimate(design)), between="serial", workers=1)
    assert with_unit[0].between.unit == unit


WRONG = {
    "lanes: 0": "arch.yaml:2: vector_unit.lanes: must be at least 1, found 0",
    "lane: 4": "did you mean 'lanes'?",
    "level: SRAM": "has no level 'SRAM'",
    "level: mac": "reads and writes a storage, which mac is not",
    "bits: 12": "energies are known of 8, 16, 32 bits: give step_pJ as well",
    "step_pJ: -1": "must be at least 0",
    "steps: 4": "must be a mapping",
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_in_a_declaration_is_said(said):
    with pytest.raises(InputError) as error:
        read_architecture(parse_document(TEXT % said, file="arch.yaml"), "wrong")
    assert WRONG[said] in str(error.value)


def test_commands_show_its_share_only_where_it_is_asked_for(tmp_path, capsys):
    table = tmp_path / "two.csv"
    table.write_text(write_csv(network()))
    words = ["compare", str(table), "--on", "tpu_like"]
    assert main([*words]) == 0
    assert "costs nothing unless --between is given: softmax x 1" in capsys.readouterr().out
    assert main([*words, "--between", "overlapped"]) == 0
    told = capsys.readouterr().out
    assert "between products, of all energy: softmax x 1" in told
    assert "vector unit, beside the products: 256 lanes" in told
    assert main([*words, "--between", "serial", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    result = document["results"][0]
    assert result["between"]["operations"][0]["words_read"] == 1024
    assert dovetail.load(document)[0].between.to_json() == result["between"]
    page = tmp_path / "page.html"
    assert main(["report", *words[1:], "--between", "serial", "--no-advice", "--html", str(page)]) == 0
    assert "What lies between products takes" in capsys.readouterr().out
    assert "of energy between products" in page.read_text()
