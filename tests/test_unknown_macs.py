"""What is not known is not zero: operations without known MACs, in networks, tables, commands and reports."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.document import parse_document
from dovetail.workload.describe import describe
from dovetail.workload.layer_table import read_csv, read_yaml, write_csv, write_yaml
from dovetail.workload.loading import load_network
from dovetail.workload.network import FreeOperation, Layer, Network, UnmappedOperation
from dovetail.workload.plain import network_document
from dovetail.workload.problem import linear

operations = st.builds(
    UnmappedOperation,
    st.sampled_from(["a::b", "DFT", "_fft_r2c"]),
    st.none() | st.integers(1, 10**9),
    st.integers(1, 9),
    st.sampled_from([(), ("m",), ("m", "n.o")]),
)
networks = st.builds(
    Network,
    st.just("n"),
    st.just((Layer("l", linear(C=4, M=2, name="l"), modules=("l",), kind="linear", batch_dimension="N"),)),
    st.just((FreeOperation("relu", 2),)),
    st.lists(operations, max_size=3, unique_by=lambda operation: operation.name).map(tuple),
    notes=st.sampled_from([(), ("how much work l has follows the data",), ("one", "two: three")]),
)


@settings(max_examples=40, deadline=None)
@given(networks)
def test_one_unknown_makes_the_share_unknown_and_tables_keep_it(network):
    unknown = any(operation.macs is None for operation in network.unmapped)
    assert (network.macs is None) == (network.unmapped_share is None) == bool(network.unknown) == unknown
    assert network_document(network)["macs"] == network.macs
    assert describe(network).startswith("UNKNOWN") == unknown
    assert ("of the MACs" in describe(network)) == (bool(network.unmapped) and not unknown)
    again = network.with_batch(3)
    assert [operation.macs is None for operation in again.unmapped] == [
        operation.macs is None for operation in network.unmapped
    ]
    for read in (
        read_csv(write_csv(network), file="t.csv", name="n"),
        read_yaml(parse_document(write_yaml(network)), name="n"),
    ):
        assert (read.unmapped, read.notes, read.layers) == (network.unmapped, network.notes, network.layers)


def test_commands_say_it_first_and_json_has_no_number(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text(
        "# note: so many rows\nname,kind,macs,C,M\nl,,,8,4\nours::op,unmapped,unknown,,\nother,unmapped,,,\n"
    )
    for command in (
        ["layers", str(table)],
        ["compare", str(table), "--on", "eyeriss_like"],
        ["compare", str(table), "--on", "eyeriss_like", "--totals"],
        ["report", str(table), "--on", "eyeriss_like"],
        ["optimum", str(table), "--on", "eyeriss_like"],
    ):
        assert main(command) == 0
        out, err = capsys.readouterr()
        assert out.startswith("UNKNOWN: t runs 1 x ours::op, 1 x other, whose multiply-accumulates are not known")
        assert "0 multiply" not in out
        assert "note: so many rows" in err
        if "--totals" in command:
            continue
        assert main([*command, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        printed = printed.get("results", [printed])[0]
        assert printed["unknown"] == ["ours::op", "other"]
        assert any(note.startswith("UNKNOWN") for note in printed["notes"])
        assert "so many rows" in printed["notes"]
        if command[0] in ("compare", "report"):
            assert printed["unmapped_mac_share"] is printed["macs"] is None
            assert printed["known_macs"] == 32


def test_the_report_says_it(tmp_path, capsys):
    table, page = tmp_path / "t.csv", tmp_path / "r.html"
    table.write_text("name,kind,C,M\nl,,8,4\nours::op,unmapped,,\n")
    assert main(["report", str(table), "--on", "eyeriss_like", "--html", str(page)]) == 0
    assert "An unknown share of the MACs is not in these costs" in capsys.readouterr().out
    assert "UNKNOWN: t runs 1 x ours::op" in page.read_text()


torch = pytest.importorskip("torch", reason="needs the torch extra")
from torch import nn  # noqa: E402

from dovetail.workload.torch_trace import trace  # noqa: E402

_LIBRARY = torch.library.Library("dovetail_test", "FRAGMENT")
for _schema in ("mm(Tensor x, Tensor y) -> Tensor", "relu(Tensor x) -> Tensor", "size(Tensor x) -> float"):
    _LIBRARY.define(_schema)
_LIBRARY.define("write(Tensor(a!) x) -> ()")
_LIBRARY.define("made_of_known(Tensor x) -> Tensor")
_LIBRARY.impl("mm", lambda x, y: x @ y, "CompositeExplicitAutograd")
_LIBRARY.impl("relu", lambda x: x.relu(), "CompositeExplicitAutograd")
_LIBRARY.impl("size", lambda x: 1.0, "CompositeExplicitAutograd")
_LIBRARY.impl("write", lambda x: None, "CompositeExplicitAutograd")
_LIBRARY.impl("made_of_known", lambda x: (x @ x.mT).relu(), "CompositeImplicitAutograd")
ours = torch.ops.dovetail_test


class Calls(nn.Module):
    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def weight(*shape, dtype=torch.float32):
    return nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)


def written(x):
    y = x + 1
    ours.write(y)
    return y


UNKNOWN = {
    "own product": (lambda m, x: ours.mm(x, x.mT), (4, 4), "dovetail_test::mm"),
    "own name of a free one": (lambda m, x: ours.relu(x), (4, 4), "dovetail_test::relu"),
    "writes only": (lambda m, x: written(x), (4, 4), "dovetail_test::write"),
    "returns a number": (lambda m, x: x * ours.size(x), (4, 4), "dovetail_test::size"),
    "branch": (lambda m, x: torch.cond(x.sum() > 0, lambda x: x @ x, lambda x: x + x, (x,)), (4, 4), "torch.cond"),
    "solve": (lambda m, x: torch.linalg.inv(x), (4, 4), "linalg_inv_ex"),
    "factors": (lambda m, x: torch.linalg.svdvals(x), (4, 4), "_linalg_svd"),
    "sparse": (lambda m, x: torch.eye(4).to_sparse() @ x, (4, 8), "mm"),
    "nested": (
        lambda m, x: nn.functional.linear(
            torch.nested.nested_tensor([x[0], x[0, :2]], layout=torch.jagged), m.w
        ).values(),
        (1, 4, 8),
        "linear",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_nobody_knows_is_unknown(name):
    function, shape, operation = UNKNOWN[name]
    network = trace(Calls(function, w=weight(5, 8)), shape)
    assert [(each.name, each.macs) for each in network.unmapped if each.macs is None][-1] == (operation, None)
    assert network.unmapped_share is None


def test_an_operation_made_of_known_ones_is_taken_apart():
    network = trace(Calls(lambda m, x: ours.made_of_known(x)), (4, 8))
    assert (network.macs, network.unmapped) == (4 * 4 * 8, ())


def grouped(x, w, offsets):
    return torch._grouped_mm(x.bfloat16(), w, offs=torch.tensor(offsets, dtype=torch.int32, device=x.device))


bf16 = torch.bfloat16


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6))
def test_grouped_products_keep_their_rows(rows, groups):
    network = trace(
        Calls(lambda m, x: grouped(x, m.w, [rows] * groups), w=weight(groups, 16, 8, dtype=bf16)), (rows, 16)
    )
    assert network.macs == rows * 16 * 8
    assert sum(layer.repeats for layer in network.layers) == min(groups, rows)
    sizes = [layer.problem.macs // (16 * 8) for layer in network.layers]
    assert max(sizes) - min(sizes) <= 1
    assert f"the {rows} rows of _grouped_mm are taken as shared evenly among {groups} groups" in network.notes[0]


PACKED = {
    "experts": (lambda m, x: torch._grouped_mm(x.to(bf16), m.w), (4, 48, 16), (4, 16, 8), bf16, 4 * 48 * 16 * 8),
    "int8": (lambda m, x: torch._int_mm(x.to(torch.int8), m.w), (48, 16), (16, 8), torch.int8, 48 * 16 * 8),
    "int8 weights": (
        lambda m, x: torch._weight_int8pack_mm(x.to(bf16), m.w, m.scale),
        (48, 16), (8, 16), torch.int8, 48 * 16 * 8,
    ),
    "float8": (
        lambda m, x: torch._scaled_mm(
            x.to(torch.float8_e4m3fn), m.w.t(), scale_a=m.one, scale_b=m.one, out_dtype=bf16
        ),
        (48, 16), (32, 16), torch.float8_e4m3fn, 48 * 16 * 32,
    ),
    "over time": (
        lambda m, x: torch.conv_tbc(x, m.w, x.new_zeros(6)),
        (9, 2, 8), (3, 8, 6), torch.float32, 7 * 2 * 144,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_packed_products_are_read(name):
    function, shape, weights, dtype, macs = PACKED[name]
    model = Calls(function, w=weight(*weights, dtype=dtype), scale=weight(8, dtype=bf16), one=weight())
    network = trace(model, shape)
    assert (network.macs, network.unmapped) == (macs, ())
    assert network.layers[0].name == "w"


@pytest.mark.filterwarnings("ignore")
def test_quantised_modules_are_read():
    quantised = torch.ao.nn.quantized
    front = quantised.Quantize(0.1, 0, torch.quint8)
    plain = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, groups=2), nn.Flatten(), nn.Linear(8 * 9, 5))
    model = nn.Sequential(front, quantised.Conv2d(4, 8, 3, stride=2, groups=2), nn.Flatten(), quantised.Linear(72, 5))
    expected, network = trace(plain, (2, 4, 8, 8)), trace(model, (2, 4, 8, 8))
    assert [layer.problem.bounds for layer in network.layers] == [layer.problem.bounds for layer in expected.layers]
    assert network.unmapped == ()
    assert trace(lambda: quantised.dynamic.Linear(16, 8), (3, 16)).macs == 3 * 16 * 8
    line = nn.Sequential(front, quantised.Conv1d(4, 6, 3))
    assert trace(line, (2, 4, 9)).macs == 2 * 6 * 7 * 4 * 3


def pooled_picks(model, x):
    rows = torch.nonzero(x.sum(1) >= 0)[:, 0]
    pooled = torch.zeros(len(rows), 8)
    pooled[torch.arange(len(rows))] = x[rows]
    return model.l(pooled)


def test_work_that_follows_the_data_is_said():
    picking = Calls(lambda m, x: m.after(x.index_add(0, torch.arange(4), m.l(x[x.sum(1) >= 0]))), l=nn.Linear(8, 8))
    picking.after = nn.Linear(8, 2)
    network = trace(picking, (4, 8))
    assert network.notes == (
        "how much work l have follows the data: index let through as much as values say; "
        "their 256 MACs are those of an input of zeros and the weights that the model starts with, often random ones",
    )
    pooled = trace(Calls(pooled_picks, l=nn.Linear(8, 8)), (4, 8))  # as detection pools the regions it proposes
    assert pooled.notes[0].startswith("how much work l have follows the data: nonzero let through")
    nothing_left = trace(Calls(lambda m, x: m.l(x[x.sum(1) > 0]), l=nn.Linear(8, 8)), (4, 8))
    assert (nothing_left.unmapped_share, nothing_left.unmapped[0].macs) == (None, None)
    asking = trace(Calls(lambda m, x: m.l(x) if x.sum().item() >= 0 else x, l=nn.Linear(8, 8)), (4, 8))
    assert "asks for values of its data (item)" in asking.notes[0]
    assert trace(nn.Linear(8, 8), (4, 8)).notes == ()


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_module_is_read_as_it_is():
    assert trace(Calls(lambda m, x: torch.compile(lambda y: y @ y.mT)(x)), (4, 8)).macs == 4 * 4 * 8


onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
from onnx import TensorProto, helper  # noqa: E402


def model_of(nodes, shape, weights=(), dtype=TensorProto.FLOAT):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [helper.make_tensor(name, kind, dims, [0] * _count(dims)) for name, kind, dims in weights],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets)


def _count(dims):
    size = 1
    for dim in dims:
        size *= dim
    return size


def read_model(model, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return load_network(str(path))


F, I8, U8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8


def ms(kind, inputs, output="y", **attributes):
    return helper.make_node(kind, inputs, [output], domain="com.microsoft", **attributes)


CONTRIBUTED = {
    "FusedMatMul": (ms("FusedMatMul", ["x", "w"], transB=1), (2, 3, 8), [("w", F, (5, 8))], 2 * 3 * 5 * 8),
    "MatMulNBits": (
        ms("MatMulNBits", ["x", "w", "s"], K=64, N=5, bits=4, block_size=32),
        (2, 3, 64), [("w", U8, (5, 2, 16)), ("s", F, (10,))], 6 * 5 * 64,
    ),
    "FusedConv": (ms("FusedConv", ["x", "w"], activation="Relu"), (1, 3, 8, 8), [("w", F, (4, 3, 3, 3))], 36 * 4 * 27),
    "QAttention": (
        ms("QAttention", ["x", "w", "b", "s", "s"], num_heads=2),
        (1, 7, 8), [("w", F, (8, 24)), ("b", F, (24,)), ("s", F, ())], 7 * 8 * 24 + 2 * 7 * 7 * 8,
    ),
    "MultiHeadAttention": (ms("MultiHeadAttention", ["x", "x", "x"], num_heads=2), (1, 7, 8), [], 2 * 7 * 7 * 8),
    "DynamicQuantizeMatMul": (
        ms("DynamicQuantizeMatMul", ["x", "w", "s"]),
        (3, 8), [("w", I8, (8, 5)), ("s", F, ())], 120,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRIBUTED)
def test_contributed_operations_are_read_and_their_shapes_go_on(name, tmp_path):
    node, shape, weights, macs = CONTRIBUTED[name]
    node.output[0] = "a"
    after = [ms("FastGelu", ["a"], "b"), helper.make_node("MatMul", ["b", "v"], ["y"])]
    alone = read_model(model_of([node, ms("QuickGelu", ["a"])], shape, weights), tmp_path)
    assert (alone.macs, alone.unmapped) == (macs, ())
    last = 6 if name == "FusedConv" else 8 if "Attention" in name else 5
    both = read_model(model_of([node, *after], shape, [*weights, ("v", F, (last, 2))]), tmp_path)
    rows = {"FusedMatMul": 6, "MatMulNBits": 6, "FusedConv": 24, "DynamicQuantizeMatMul": 3}.get(name, 7)
    assert both.macs == macs + rows * last * 2


@pytest.mark.parametrize("kind", ["MoE", "GroupQueryAttention", "SparseAttention", "NobodyKnows"])
def test_unread_operations_are_unknown(kind, tmp_path):
    after = helper.make_node("MatMul", ["a", "v"], ["y"])
    network = read_model(model_of([ms(kind, ["x"], "a"), after], (3, 8), [("v", F, (8, 2))]), tmp_path)
    assert network.unmapped_share is None
    assert [operation.name for operation in network.unknown] == [f"com.microsoft.{kind}", "MatMul"]


def test_control_flow_is_unknown_unless_it_only_moves(tmp_path):
    def branch(kind, inputs):
        return helper.make_graph(
            [helper.make_node(kind, inputs, ["o"])], "b", [], [helper.make_tensor_value_info("o", F, None)]
        )

    def network(kind, inputs):
        node = helper.make_node(
            "If", ["c"], ["y"], then_branch=branch(kind, inputs), else_branch=branch("Identity", ["x"])
        )
        return read_model(model_of([node], (3, 3), [("c", TensorProto.BOOL, ())]), tmp_path)

    assert network("Squeeze", ["x"]).unmapped == ()
    assert [operation.name for operation in network("MatMul", ["x", "x"]).unknown] == ["If"]


def test_products_behind_picked_rows_are_unknown(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["i"]),
        helper.make_node("Gather", ["w", "i"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    network = read_model(model_of(nodes, (3, 8), [("w", F, (8, 4)), ("v", F, (4, 2))]), tmp_path)
    assert [(operation.name, operation.macs) for operation in network.unmapped] == [("MatMul", None)]
