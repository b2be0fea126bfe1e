"""Networks from ONNX: the same layers as from PyTorch, rows before columns, and one message for whatever is broken."""

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
from onnx import TensorProto, helper  # noqa: E402

from dovetail.cli.main import main  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.workload.inputs import parse_input  # noqa: E402
from dovetail.workload.loading import load_network  # noqa: E402
from dovetail.workload.network import UnmappedOperation  # noqa: E402
from dovetail.workload.onnx_import import read_onnx  # noqa: E402

FIXTURES = Path(__file__).parent / "data" / "onnx"
MODELS = ("resnet18", "densenet121", "mobilenet_v2", "vit_b_16")


def unpack(name, folder):
    path = folder / f"{name}.onnx"
    path.write_bytes(gzip.decompress((FIXTURES / f"{name}.onnx.gz").read_bytes()))
    return path


def facts(network):
    return [(layer.name, layer.problem, layer.kind, layer.repeats, layer.batch_dimension) for layer in network.layers]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("name", MODELS)
def test_layers_are_exactly_those_of_pytorch(name, exporter, tmp_path):
    path = unpack(f"{name}_{exporter}", tmp_path)
    network = load_network(str(path), batch=2)
    assert facts(network) == facts(load_network(str(FIXTURES / f"{name}.csv")))
    assert network.batch == 2
    assert network.unmapped == ()
    assert load_network(str(path), batch=3).macs * 2 == network.macs * 3
    assert {end for edge in network.edges for end in edge} >= {"input", "output", network.layers[0].name}


def test_bundled_tables_agree_too(tmp_path):
    for name in MODELS[:3]:
        network = read_onnx(unpack(f"{name}_dynamo", tmp_path), batch=1)
        assert facts(network) == facts(load_network(name))


def graph(nodes, inputs, weights=(), outputs=("y",)):
    """Build a model; weights are (name, dims), external and absent."""
    tensors = []
    for name, dims in weights:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="../../../etc/passwd")
        tensors.append(tensor)
    made = helper.make_graph(
        [
            helper.make_node(kind, list(ins), [out], name=f"/part/{kind}", **attributes)
            for kind, ins, out, attributes in nodes
        ],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        tensors,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])


def read(model, tmp_path, **options):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return read_onnx(path, **options)


sizes = st.integers(1, 4)


@settings(max_examples=40)
@given(
    kernel=st.tuples(sizes, sizes),
    strides=st.tuples(sizes, sizes),
    dilations=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=sizes,
)
def test_rows_come_before_columns(kernel, strides, dilations, groups, tmp_path_factory):
    attributes = {"strides": strides, "dilations": dilations, "group": groups}
    nodes = [("Conv", ("x", "w"), "y", attributes)]
    model = graph(nodes, [("x", ["batch", 3 * groups, 20, 31])], [("w", (2 * groups, 3, *kernel))])
    problem = read(model, tmp_path_factory.getbasetemp(), batch=5).layers[0].problem
    out = [
        (size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip((20, 31), kernel, strides, dilations, strict=True)
    ]
    assert [problem.bound(key) for key in "NCMRSPQ"] == [5, 3, 2, *kernel, *out]
    assert problem.coefficients == (*strides, *dilations)
    assert problem.macs == 5 * 3 * 2 * groups * kernel[0] * kernel[1] * out[0] * out[1]


@pytest.mark.parametrize(("kernel", "rows", "columns"), [((1, 7), 20, 14), ((7, 1), 14, 20)])
def test_long_kernels_keep_their_direction(kernel, rows, columns, tmp_path):
    model = graph([("Conv", ("x", "w"), "y", {})], [("x", (1, 3, 20, 20))], [("w", (4, 3, *kernel))])
    problem = read(model, tmp_path).layers[0].problem
    assert [problem.bound(key) for key in "RSPQ"] == [*kernel, rows, columns]


CASES = {
    "conv1d": ([("Conv", ("x", "w"), "y", {"strides": [2]})], (2, 4, 16), {"w": (6, 4, 3)}, 2 * 6 * 4 * 3 * 7),
    "conv3d": ([("Conv", ("x", "w"), "y", {})], (1, 2, 4, 5, 6), {"w": (3, 2, 2, 2, 2)}, 3 * 2 * 8 * 3 * 4 * 5),
    "transposed": (
        [("ConvTranspose", ("x", "w"), "y", {"strides": [2, 2]})],
        (1, 4, 5, 6),
        {"w": (4, 3, 2, 2)},
        360 * 4,
    ),
    "gemm": ([("Gemm", ("x", "w"), "y", {"transB": 1})], (3, 8), {"w": (5, 8)}, 120),
    "matmul": ([("MatMul", ("x", "w"), "y", {})], (2, 7, 8), {"w": (8, 5)}, 2 * 7 * 8 * 5),
    "products": ([("MatMul", ("x", "x"), "y", {})], (2, 3, 4, 4), {}, 6 * 64),
    "vector": ([("MatMul", ("x", "w"), "y", {})], (3, 4), {"w": (4,)}, 12),
    "einsum": ([("Einsum", ("x", "w"), "y", {"equation": "bhwc,hkc->bhwk"})], (2, 3, 4, 5), {"w": (3, 6, 5)}, 720),
    "lstm": (
        [("LSTM", ("x", "w", "r"), "y", {"hidden_size": 7})],
        (6, 2, 5),
        {"w": (1, 28, 5), "r": (1, 28, 7)},
        6 * 2 * 28 * (5 + 7),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_compute_operation_is_a_problem(name, tmp_path):
    nodes, shape, weights, macs = CASES[name]
    network = read(graph(nodes, [("x", shape)], list(weights.items())), tmp_path)
    assert network.macs == macs
    assert network.unmapped == ()


@pytest.mark.parametrize("axes", [3, 4])
def test_grouped_heads_are_one_product_whose_keys_and_values_lack_the_groups_dimension(axes, tmp_path):
    """8 heads of queries share 2 of keys and values: 4 times the rows for each, and no key counted twice."""
    if axes == 4:
        shapes, attributes = ((3, 8, 5, 16), (3, 2, 7, 16), (3, 2, 7, 24)), {}
    else:
        shapes, attributes = ((3, 5, 8 * 16), (3, 7, 2 * 16), (3, 7, 2 * 24)), {"q_num_heads": 8, "kv_num_heads": 2}
    inputs = list(zip("qkv", shapes, strict=True))
    model = graph([("Attention", tuple("qkv"), "y", attributes)], inputs)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 23))
    scores, mixed = read(model, tmp_path).layers
    for layer, sizes in ((scores, {"C": 16, "M": 7}), (mixed, {"C": 7, "M": 24})):
        found = dict(zip(layer.problem.shape.dimensions, layer.problem.bounds, strict=True))
        assert {name: bound for name, bound in found.items() if bound != 1} == {**sizes, "P": 4 * 5, "G": 3 * 2}
        assert layer.batch_dimension == "G"
    weights = scores.problem.shape.tensor("Weights")
    assert scores.problem.words(weights) == 3 * 2 * 7 * 16
    assert scores.macs + mixed.macs == 3 * 8 * 5 * 7 * (16 + 24)


def test_heads_that_do_not_divide_are_refused(tmp_path):
    inputs = list(zip("qkv", ((1, 5, 4, 8), (1, 2, 4, 8), (1, 2, 4, 8)), strict=True))
    with pytest.raises(InputError, match="5 heads of queries do not share 2 of keys and 2 of values evenly"):
        read(graph([("Attention", tuple("qkv"), "y", {})], inputs), tmp_path)


def test_what_is_free_and_what_is_not_mapped(tmp_path):
    nodes = [("Conv", ("x", "w"), "a", {}), ("Relu", ("a",), "b", {}), ("DFT", ("b",), "y", {})]
    network = read(graph(nodes, [("x", (1, 3, 8, 8))], [("w", (4, 3, 3, 3))]), tmp_path)
    assert [(free.name, free.count) for free in network.free] == [("relu", 1)]
    assert network.unmapped == (UnmappedOperation("DFT", None, 1, ("part",)),)


def test_a_foreign_domain_is_reported(tmp_path):
    model = graph([("Relu", ("x",), "y", {})], [("x", (1, 3))])
    model.graph.node[0].domain = "com.example"
    assert [(operation.name, operation.macs) for operation in read(model, tmp_path).unmapped] == [
        ("com.example.Relu", None)
    ]


def test_a_fixed_batch_is_scaled(tmp_path):
    model = graph([("Gemm", ("x", "w"), "y", {})], [("x", (2, 8))], [("w", (8, 5))])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert load_network(str(tmp_path / "m.onnx")).batch == 2
    assert load_network(str(tmp_path / "m.onnx"), batch=6).macs == 240


def test_open_sizes(tmp_path):
    nodes, weights = [("Conv", ("x", "w"), "y", {})], [("w", (4, 3, 3, 3))]
    image = graph(nodes, [("x", ("b", 3, "height", "width"))], weights)
    assert read(image, tmp_path, batch=2, input_size=10).macs == 2 * 4 * 27 * 64
    with pytest.raises(InputError, match="the input 'x' leaves the size of height open; give --input-size"):
        read(image, tmp_path)
    with pytest.raises(InputError, match="size of channels open; say it: --input "):
        read(graph(nodes, [("x", ("b", "channels", 8, 8))], weights), tmp_path)


@pytest.mark.parametrize(
    ("nodes", "shape", "weights", "message"),
    [
        ([("Conv", ("x", "w"), "y", {})], (1, 3, 8), {"w": (4, 3, 3, 3)}, "Conv"),
        ([("Conv", ("x", "w"), "y", {"group": 2})], (1, 3, 8, 8), {"w": (4, 3, 3, 3)}, "Conv"),
        ([("Conv", ("x", "w"), "y", {"strides": [0, 0]})], (1, 3, 8, 8), {"w": (4, 3, 3, 3)}, "Conv"),
        ([("Conv", ("x", "nowhere"), "y", {})], (1, 3, 8, 8), {}, "shape of its input 1 'nowhere' can't be inferred"),
        ([("Conv", ("x",), "y", {})], (1, 3, 8, 8), {}, "malformed"),
        ([("MatMul", ("x", "w"), "y", {})], (2, 3), {"w": (4, 5)}, "can't multiply"),
        ([("Einsum", ("x", "x", "x"), "y", {"equation": "ab,bc,cd->ad"})], (3, 3), {}, "is not read"),
        ([("LSTM", ("x", "w", "w"), "y", {})], (2, 3), {"w": (1, 4)}, "don't go together"),
    ],
)
def test_wrong_graphs_end_in_one_message(nodes, shape, weights, message, tmp_path, capsys):
    path = tmp_path / "m.onnx"
    path.write_bytes(graph(nodes, [("x", shape)], list(weights.items())).SerializeToString())
    assert main(["layers", str(path)]) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x08", b"\xff" * 100, b"\x3a\x80\x80\x80\x80\x08"])
def test_what_is_no_onnx_ends_in_one_message(content, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no ONNX file"):
        read_onnx(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_onnx(tmp_path)


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_makes_the_reader_fall_over(data, tmp_path_factory):
    nodes, shape, weights, _ = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    raw = bytearray(graph(nodes, [("x", shape)], list(weights.items())).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(bytes(raw))
    with contextlib.suppress(InputError):
        read_onnx(path)


def test_a_size_that_would_fill_the_memory_is_not_made(tmp_path):
    huge = helper.make_node("Constant", [], ["n"], value=helper.make_tensor("v", TensorProto.INT64, [1], [2**40]))
    model = graph([("ConstantOfShape", ("n",), "z", {}), ("Relu", ("x",), "y", {})], [("x", (1, 3))])
    model.graph.node.insert(0, huge)
    assert read(model, tmp_path).layers == ()


@pytest.mark.slow
def test_a_fresh_export_by_both_exporters(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    import warnings

    from torch import nn

    from dovetail.workload.torch_trace import trace

    model = nn.Sequential(
        nn.Conv2d(3, 8, (1, 7), stride=(1, 2)),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, (7, 1), stride=(3, 1), groups=8),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.Flatten(2),
        nn.LazyLinear(6),
    ).eval()
    images = torch.zeros(2, 3, 24, 46)
    model(images)
    wanted = trace(model, images)
    for dynamo in (True, False):
        path = tmp_path / f"{dynamo}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (images,), str(path), dynamo=dynamo)
        read = load_network(str(path))
        assert [layer.problem.bounds for layer in read.layers] == [layer.problem.bounds for layer in wanted.layers]
        assert [layer.problem.coefficients for layer in read.layers] == [
            layer.problem.coefficients for layer in wanted.layers
        ]
        assert read.macs == wanted.macs


def test_sizes_left_open_are_given_by_name_or_place(tmp_path):
    nodes, weights = [("Conv", ("x", "w"), "y", {})], [("w", (4, 3, 3, 3))]
    image = graph(nodes, [("x", ("b", 3, "height", "width"))], weights)
    for text in ("x=2x3x10x6", "2x3x10x6", "x=2x3x10x6:float32"):
        assert read(image, tmp_path, inputs=[parse_input(text)]).macs == 2 * 4 * 27 * 8 * 4
    for text, said in (
        ("y=2x3x10x6", "has no input 'y'"),
        ("x=2x4x10x6", "axis 1 of the input 'x' is fixed to 3; x=2x4x10x6 is given"),
        ("x=2x3x10", "the input 'x' has 4 axes"),
        ("2x3x10x6:int64", "the input 'x' is float32; int64 is given"),
    ):
        with pytest.raises(InputError, match=said):
            read(image, tmp_path, inputs=[parse_input(text)])
    with pytest.raises(InputError, match="has 1 inputs; 2 are given"):
        read(image, tmp_path, inputs=[parse_input("2x3x10x6"), parse_input("1")])


def test_open_axes_are_given_by_their_names(tmp_path):
    """One size for an axis of several inputs, and beside whole inputs; a batch is where the file says it is."""
    both = graph(
        [("MatMul", ("x", "y"), "z", {})], [("x", ("batch", "sequence", 8)), ("y", ("batch", 8, "sequence"))], []
    )
    made = read(both, tmp_path, batch=3, inputs=[parse_input("sequence=5")])
    assert (made.batch, made.macs) == (3, 3 * 5 * 8 * 5)
    assert read(both, tmp_path, inputs=[parse_input("2x5x8"), parse_input("sequence=5")]).macs == 2 * 5 * 8 * 5
    path = tmp_path / "both.onnx"
    path.write_bytes(both.SerializeToString())
    assert load_network(str(path), inputs=(parse_input("sequence=5"),)).macs == 5 * 8 * 5
    assert load_network(str(path), batch=4, inputs=(parse_input("sequence=5"),)).macs == 4 * 5 * 8 * 5
    with pytest.raises(
        InputError, match="size of sequence open; say it: --input sequence=128, or all sizes: --input x="
    ):
        read(both, tmp_path)
    with pytest.raises(InputError, match="no open axis of that name, did you mean 'sequence'"):
        read(both, tmp_path, inputs=[parse_input("sequenc=5")])


@pytest.mark.parametrize(
    ("shape", "layout", "batch"),
    [((7, 4, 6), 0, 4), ((4, 7, 6), 1, 4), (("time", "batch", 6), 0, 3), ((7, "n", 6), 0, 3), (("n", 7, 6), 1, 3)],
)
def test_time_comes_first_in_recurrent_operations_unless_they_say_otherwise(shape, layout, batch, tmp_path):
    nodes = [("LSTM", ("x", "w", "r"), "y", {"hidden_size": 8, "layout": layout} if layout else {"hidden_size": 8})]
    made = graph(nodes, [("x", shape)], [("w", (1, 32, 6)), ("r", (1, 32, 8))])
    network = read(made, tmp_path, batch=3, inputs=[parse_input("time=7")] if "time" in shape else [])
    assert network.batch == batch
    assert network.macs == 7 * batch * 32 * (6 + 8)
    assert network.with_batch(2 * batch).macs == 2 * network.macs
