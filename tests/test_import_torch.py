"""Networks from PyTorch: every operation found, MACs as torch's own counter has them, shapes the right way round."""

import importlib
import json
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from dovetail.errors import InputError  # noqa: E402
from dovetail.workload.loading import load_network  # noqa: E402
from dovetail.workload.problem import MATRIX_PRODUCT, matrix_product  # noqa: E402
from dovetail.workload.torch_export import read_exported  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

torch.set_num_threads(1)


def counted_macs(module, *inputs):
    module.eval()
    with (
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        module.to("meta")(*(item.to("meta") for item in inputs))
    return counter.get_total_flops() // 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(16, 48)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (4, 4)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(8, 3, 1, 7))
        self.table = nn.Parameter(torch.zeros(4, 8, 5))

    def forward(self, x):
        x = functional.conv2d(x, self.kernel, stride=(1, 2))
        return torch.einsum("bchw,hcd->bhwd", x[:, :, :4], self.table)


class Tail(nn.Module):
    def forward(self, x):
        return torch.mv(x[0], x[0, 0]) + x[0] @ x[1].T @ x[1, 0]


MODULES = {
    "conv1d": (nn.Conv1d(4, 6, 5, stride=2, dilation=2, groups=2), (2, 4, 32)),
    "conv2d": (nn.Conv2d(4, 6, (1, 7), stride=(2, 1), padding=(0, 3)), (2, 4, 11, 13)),
    "conv3d": (nn.Conv3d(4, 8, (1, 2, 3), stride=(1, 2, 3), groups=4), (2, 4, 5, 6, 7)),
    "depthwise": (nn.Conv2d(6, 12, 3, groups=6), (1, 6, 8, 8)),
    "transposed 1d": (nn.ConvTranspose1d(4, 6, 4, stride=2), (2, 4, 9)),
    "transposed 2d": (
        nn.ConvTranspose2d(4, 6, (2, 3), stride=(2, 3), padding=1, output_padding=1, groups=2),
        (2, 4, 5, 7),
    ),
    "transposed 3d": (nn.ConvTranspose3d(4, 6, 3, stride=2), (1, 4, 3, 4, 5)),
    "unbatched": (nn.Conv2d(3, 4, 3), (3, 8, 8)),
    "linear": (nn.Linear(8, 5), (3, 7, 8)),
    "bilinear": (nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 2, bias=False)), (3, 8)),
    "attention": (Attention(), (2, 6, 16)),
    "encoder": (nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (2, 6, 16)),
    "functional": (Functional(), (2, 3, 4, 21)),
    "lstm": (nn.LSTM(5, 7, num_layers=2, bidirectional=True, batch_first=True), (2, 6, 5)),
    "gru": (nn.GRU(5, 7), (6, 2, 5)),
}


@pytest.mark.parametrize("name", MODULES)
def test_macs_are_those_of_torchs_own_counter(name):
    module, shape = MODULES[name]
    network = trace(module, shape)
    assert network.macs == counted_macs(module, torch.zeros(shape)) > 0
    assert network.unmapped == ()
    assert all(layer.problem.macs * layer.repeats == layer.macs for layer in network.layers)


def test_vectors_are_not_forgotten_though_torchs_counter_does():
    assert trace(Tail(), (2, 4, 4)).macs == 4 * 4 + 4 * 4 * 4 + 4 * 4


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from((1, 2, 4)),
    transposed=st.booleans(),
)
def test_a_convolution_touches_the_rows_and_columns_that_torch_says(kernel, stride, dilation, groups, transposed):
    form = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = form(4, 8, kernel, stride=stride, dilation=dilation, groups=groups, bias=False)
    problem = trace(module, (2, 4, 9, 12)).layers[0].problem
    output = module.to("cpu")(torch.zeros(2, 4, 9, 12))
    shape = problem.shape
    assert problem.macs == counted_macs(module, torch.zeros(2, 4, 9, 12))
    assert problem.words(shape.tensor("Weights")) == module.weight.numel()
    window, point = ("Outputs", "Inputs") if transposed else ("Inputs", "Outputs")
    whole = (tuple(output.shape[2:]), (9, 12)) if transposed else ((9, 12), tuple(output.shape[2:]))
    assert problem.extent(shape.tensor(point))[-2:] == whole[1]
    for axis, (extent, size) in enumerate(zip(problem.extent(shape.tensor(window))[-2:], whole[0], strict=True)):
        assert extent <= size < extent + stride[axis]
    assert problem.bound("G") == groups if groups > 1 else "G" not in shape.dimensions or problem.bound("G") == 1


@pytest.mark.parametrize(("kernel", "rows", "columns"), [((1, 7), 20, 14), ((7, 1), 14, 20)])
def test_rows_come_before_columns(kernel, rows, columns):
    problem = trace(nn.Conv2d(3, 4, kernel, stride=(1, 1)), (1, 3, 20, 20)).layers[0].problem
    assert [problem.bound(key) for key in "RSPQ"] == [*kernel, rows, columns]
    uneven = trace(nn.Conv2d(3, 4, 1, stride=(1, 4), dilation=(2, 3)), (1, 3, 20, 20)).layers[0].problem
    assert dict(zip(uneven.shape.coefficients, uneven.coefficients, strict=True)) == {
        "Wstride": 1,
        "Hstride": 4,
        "Wdilation": 2,
        "Hdilation": 3,
    }


def test_a_frozen_linear_layer_is_still_linear():
    module = nn.Linear(8, 5).requires_grad_(False)
    images = torch.zeros(2, 6, 8).transpose(0, 1)  # torch makes a batched product with an expanded weight of this
    layer = trace(nn.Sequential(module), images).layers[0]
    assert (layer.kind, layer.problem.bound("N"), layer.problem.bound("P"), layer.name) == ("linear", 6, 2, "0")


def test_names_paths_repeats_and_kinds():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU())
            self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            x = self.stem(x)
            for _ in range(3):
                x = self.block(x) + x
            tokens = x.flatten(2).transpose(1, 2)
            return self.head(self.attend(tokens, tokens, tokens)[0].mean(1))

    network = trace(Net, (2, 3, 4, 4), name="net")
    assert [(layer.name, layer.repeats, layer.kind) for layer in network.layers] == [
        ("stem", 1, "convolution"),
        ("block.0", 3, "depthwise convolution"),
        ("attend", 1, "linear"),
        ("attend.matmul", 1, "matrix product"),
        ("attend.matmul:2", 1, "matrix product"),
        ("attend.out_proj", 1, "linear"),
        ("head", 1, "linear"),
    ]
    assert network.layers[1].modules == ("block.0",)
    free = {operation.name: operation.count for operation in network.free}
    assert (free["relu"], free["softmax"], free["mean"]) == (3, 1, 2)
    assert network.batch == 2
    assert network.with_batch(6).macs == 3 * network.macs == trace(Net, (6, 3, 4, 4)).macs


def bounds(problem):
    """Return a problem's sizes that are not 1."""
    return {name: bound for name, bound in zip(problem.shape.dimensions, problem.bounds, strict=True) if bound != 1}


def test_products_speak_the_convolutions_words():
    class Products(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Linear(8, 12, bias=False)
            self.experts = nn.Parameter(torch.zeros(6, 5, 7))

        def forward(self, x):  # images, tokens, channels
            q, k, v = self.tokens(x).unflatten(-1, (4, 3)).movedim(2, 0)[:3]
            mixed = torch.softmax(q @ k.transpose(1, 2), -1) @ torch.nn.functional.pad(v, (0, 2))
            return torch.einsum("ntc,tcd->ntd", mixed, self.experts)

    layers = trace(Products(), (2, 6, 8)).layers
    found = [(layer.kind, bounds(layer.problem), layer.batch_dimension) for layer in layers]
    assert found == [
        ("linear", {"C": 8, "M": 12, "P": 6, "N": 2}, "N"),
        ("matrix product", {"C": 3, "M": 6, "P": 6, "G": 2}, "G"),
        ("matrix product", {"C": 6, "M": 5, "P": 6, "G": 2}, "G"),
        ("grouped linear", {"C": 5, "M": 7, "G": 6, "N": 2}, "N"),
    ]
    assert [layer.problem.shape == MATRIX_PRODUCT for layer in layers] == [False, True, True, False]


def test_one_matrix_for_all_heads_is_one_product_of_more_rows():
    class Shared(nn.Module):
        def forward(self, q, k):
            return q @ k.expand(4, -1, -1)

    (layer,) = trace(Shared(), ((4, 3, 5), (1, 5, 6))).layers
    assert (layer.kind, bounds(layer.problem)) == ("matrix product", {"C": 5, "M": 6, "P": 12})


def test_rows_that_are_no_multiple_of_the_batch_stay_together():
    class Proposals(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 5)

        def forward(self, x):
            return self.head(torch.cat([x.flatten(0, 1), x[0, :1]]))

    (layer,) = trace(Proposals(), (2, 3, 8)).layers
    assert (bounds(layer.problem), layer.batch_dimension) == ({"C": 8, "M": 5, "P": 7}, "P")


def test_data_flow_through_free_operations():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            y = functional.relu(self.a(x), inplace=True)
            return self.c(torch.cat([self.b(y)[:, :2], y[:, 2:]], 1) + x)

    edges = set(trace(Residual(), (1, 4, 6, 6)).edges)
    assert edges == {("input", "a"), ("a", "b"), ("a", "c"), ("b", "c"), ("input", "c"), ("c", "output")}


def test_constant_work_does_not_grow_with_the_batch():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Sequential(nn.Conv1d(2, 8, 1), nn.ReLU(), nn.Flatten(0, 1), nn.Linear(5, 5))
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(x + self.table(torch.ones(1, 2, 5, device=x.device)).T)

    network = trace(Positions, (1, 5, 8))
    assert [layer.batch_dimension for layer in network.layers] == [None, None, "N"]
    assert network.with_batch(4).macs == trace(Positions, (4, 5, 8)).macs


def test_a_memory_that_starts_at_zero_grows_with_the_batch():
    network = trace(nn.LSTM(5, 7, batch_first=True), (2, 6, 5))
    assert {(layer.name, layer.repeats, layer.problem.bound("N")) for layer in network.layers} == {
        ("weight_ih_l0", 6, 2),
        ("weight_hh_l0", 6, 2),
    }
    assert network.with_batch(3).macs == trace(nn.LSTM(5, 7, batch_first=True), (3, 6, 5)).macs


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    before = {key: value.clone() for key, value in module.state_dict().items()}
    trace(module, torch.ones(2, 3, 8, 8))
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert module[0].weight.device.type == "cpu"
    assert not module._forward_hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_control_flow_on_values_is_followed_on_the_cpu():
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Linear(4, 2), nn.Linear(4, 8)

        def forward(self, x):
            return self.small(x) if x.sum() < 1 else self.large(x)

    for model in (Chooses(), Chooses):
        assert [layer.name for layer in trace(model, (1, 4)).layers] == ["small"]


def test_a_constructor_that_reads_values_is_built_too():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = [value.item() for value in torch.linspace(0, 1, 3)]
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) * self.rate[1]

    assert trace(Reads, (1, 4)).macs == 16


def test_tied_weights_and_buffers():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 6)
            self.head = nn.Linear(6, 10, bias=False)
            self.head.weight = self.embed.weight
            self.register_buffer("scale", torch.ones(6))

        def forward(self, tokens):
            return self.head(self.embed(tokens) * self.scale)

    network = trace(Tied(), torch.zeros(2, 3, dtype=torch.long))
    assert [(layer.name, layer.macs) for layer in network.layers] == [("embed", 2 * 3 * 60)]
    assert network.layers[0].modules == ("head",)


def test_several_inputs_by_place_and_by_name():
    class Two(nn.Module):
        def forward(self, a, b, *, scale=None):
            return a @ b

    assert trace(Two(), (torch.zeros(3, 2, 4), torch.zeros(3, 4, 5))).macs == 3 * 2 * 4 * 5
    assert trace(Two(), {"a": torch.zeros(3, 2, 4), "b": torch.zeros(3, 4, 5), "scale": None}).macs == 3 * 2 * 4 * 5
    assert trace(Two(), ((3, 2, 4), (3, 4, 5))).layers[0].problem == matrix_product(C=4, M=5, P=2, G=3)


def test_compute_without_a_mapping_form_is_reported_with_its_share():
    class Distances(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            return torch.cdist(self.layer(x), x, compute_mode="donot_use_mm_for_euclid_dist")

    network = trace(Distances(), (1, 8, 8))
    assert [(operation.name, operation.macs) for operation in network.unmapped] == [("_cdist_forward", 512)]
    assert network.unmapped_share == 0.5


def test_what_cannot_run_ends_in_one_message():
    with pytest.raises(InputError, match=r"can't run Linear on an input of shape \(2, 3\): RuntimeError"):
        trace(nn.Linear(4, 2), (2, 3))
    with pytest.raises(InputError, match=r"not a torch\.nn\.Module"):
        trace(lambda: 3, (2, 3))
    with pytest.raises(InputError, match="can't build the model: ZeroDivisionError"):
        trace(lambda: nn.Linear(1 // 0, 1), (2, 3))
    with pytest.raises(InputError, match="holds no tensor"):
        trace(nn.Linear(4, 2), {})


def test_tracing_names_the_network_as_told():
    network = trace(nn.Linear(4, 2), (3, 4), name="tiny")
    assert (network.name, network.macs, network.layers[0].name) == ("tiny", 24, "linear")


def test_the_same_trace_twice_is_equal():
    module, shape = MODULES["encoder"]
    assert trace(module, shape) == trace(module, shape)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, (1, 3), stride=(1, 2))
        self.norm = nn.BatchNorm2d(8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.memory = nn.LSTM(8, 5, batch_first=True)
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        tokens = x.flatten(2).transpose(1, 2) * self.scale
        tokens = torch.cat([tokens, self.attend(tokens, tokens, tokens)[0]], 1)
        return self.memory(tokens)[0].mean(1), x


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about itself
        for name, shapes in (("fixed", None), ("open", ({0: torch.export.Dim("batch", max=64)},))):
            program = torch.export.export(Mixed().eval(), (torch.zeros(2, 3, 2, 9),), dynamic_shapes=shapes)
            torch.export.save(program, folder / f"{name}.pt2")
    return folder


@pytest.mark.slow
def test_a_saved_program_has_the_layers_of_its_module(exported):
    wanted = trace(Mixed(), (2, 3, 2, 9))
    for name in ("fixed", "open"):
        read = load_network(str(exported / f"{name}.pt2"))
        assert read.layers == wanted.layers
        assert set(read.edges) == set(wanted.edges)
        assert (read.batch, read.unmapped) == (2, ())
        assert load_network(str(exported / f"{name}.pt2"), batch=6).macs == 3 * wanted.macs


@pytest.mark.slow
def test_a_saved_program_executes_nothing(exported, tmp_path):
    def edited(change):
        path = tmp_path / "edited.pt2"
        with zipfile.ZipFile(exported / "fixed.pt2") as old, zipfile.ZipFile(path, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename.endswith("models/model.json"):
                    program = json.loads(content)
                    change(program["graph_module"]["graph"])
                    content = json.dumps(program).encode()
                elif item.filename.endswith(".pt"):
                    content = b"cos\nsystem\n(S'touch pickle-was-executed'\ntR."
                new.writestr(item, content)
        return path

    def call(target):
        def change(graph):
            graph["nodes"][0]["target"] = target

        return change

    assert read_exported(edited(lambda graph: None)).macs == trace(Mixed(), (2, 3, 2, 9)).macs
    assert not Path("pickle-was-executed").exists()
    foreign = read_exported(edited(call("os.system")))
    assert [(operation.name, operation.macs) for operation in foreign.unmapped] == [("os.system", None)]
    for change, message in (
        (call("torch.ops.aten.from_file.default"), "which is refused"),
        (call("torch.ops.aten.nothing.default"), "can't be replayed"),
        (lambda graph: graph["nodes"][0].pop("inputs"), "can't be replayed"),
        (lambda graph: graph["nodes"][0]["inputs"][0].update(arg={"as_custom_obj": {}}), "'as_custom_obj' is not read"),
        (lambda graph: graph.pop("nodes"), "is no exported program"),
    ):
        with pytest.raises(InputError, match=message):
            read_exported(edited(change))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_saved_program(content, tmp_path):
    path = tmp_path / "x.pt2"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no exported program"):
        read_exported(path)


def test_a_users_own_factory(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text("from torch import nn\ndef tiny():\n    return nn.Conv2d(3, 2, 1)\n")
    monkeypatch.chdir(tmp_path)
    assert load_network("my_models:tiny", input_size=8, batch=2).macs == 2 * 3 * 2 * 64
    for spec, message in (
        ("my_models:tinny", "has no 'tinny', did you mean 'tiny'"),
        ("no_models:tiny", "can't import no_models"),
        ("my models:tiny", "write package.module:factory"),
    ):
        with pytest.raises(InputError, match=message):
            load_network(spec)
    importlib.invalidate_caches()
    sys.modules.pop("my_models", None)


class Recurrent(nn.Module):
    def __init__(self, kind, *, batch_first):
        super().__init__()
        self.layer = kind(6, 8, num_layers=2, batch_first=batch_first)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.layer(x)[0])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_where_time_comes_first_the_second_axis_is_the_batch(kind):
    """The layers are those of the same module with the batch first, at any batch."""
    behind, first = (
        trace(Recurrent(kind, batch_first=each), (4, 3, 6) if each else (3, 4, 6)) for each in (False, True)
    )
    assert behind.batch == first.batch == 4
    for batch in (4, 3):
        layers = [
            [(each.name, each.problem, each.repeats) for each in net.with_batch(batch).layers]
            for net in (behind, first)
        ]
        assert sorted(layers[0], key=str) == sorted(layers[1], key=str)

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(6, 8)

        def forward(self, x):
            return self.layer(x.transpose(0, 1))[0]

    assert trace(Turned(), (4, 3, 6)).batch == 4


def test_what_a_module_keeps_in_attributes_of_its_own_is_put_back():
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.same = [self.layer]
            self.past, self.steps, self.seen = torch.ones(1, 4), 0, []

        def forward(self, x):
            made = self.same[0](x)
            self.past = torch.cat([self.past, made])
            self.seen.append(made)
            self.steps += 1
            self.fresh = made
            return self.past @ self.past.transpose(0, 1)

    module = Keeps()
    past = module.past
    for _ in range(2):
        layer, product = trace(module, (1, 4)).layers
        assert (layer.name, product.macs) == ("layer", 2 * 2 * 4)
    assert module.past is past
    assert (module.steps, module.seen) == (0, [])
    assert not hasattr(module, "fresh")
    assert module.same[0] is module.layer


def test_a_cache_with_slots_is_left_alone():
    class Slots:
        __slots__ = ("keys",)

    class Step(nn.Module):
        def forward(self, q, cache):
            cache.keys = torch.cat([cache.keys, q])
            return q @ cache.keys.transpose(0, 1)

    cache = Slots()
    cache.keys = keys = torch.zeros(3, 4)
    (layer,) = trace(Step(), (torch.zeros(1, 4), cache)).layers
    assert layer.macs == 4 * 4
    assert cache.keys is keys
