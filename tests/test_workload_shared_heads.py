"""Heads that share keys and values are one product, however a model writes it; what is found repeated is so."""

import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.workload.loading import load_network
from dovetail.workload.repeats import combined, reshaped, shared, viewed

HEADS, KEYS, SIZE = 8, 2, 4
SHARED = [
    {"C": 4, "M": 6, "P": 4 * 6, "G": 2 * KEYS},
    {"C": 6, "M": 4, "P": 4 * 6, "G": 2 * KEYS},
]


def bounds(problem):
    return {name: bound for name, bound in zip(problem.shape.dimensions, problem.bounds, strict=True) if bound != 1}


def products(network):
    return [bounds(layer.problem) for layer in network.layers if layer.kind == "matrix product"]


def attention(torch, way):
    """Attention of 8 heads that share 2 of keys and values, written in one of the ways in which people do."""
    functional, nn = torch.nn.functional, torch.nn

    def expanded(x):
        return x[:, :, None].expand(-1, -1, HEADS // KEYS, -1, -1).flatten(1, 2)

    ways = {
        "enable_gqa": lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        "repeat_interleave": lambda q, k, v: functional.scaled_dot_product_attention(
            q, *(x.repeat_interleave(HEADS // KEYS, 1) for x in (k, v))
        ),
        "expand": lambda q, k, v: torch.softmax(q @ expanded(k).mT * 0.5, -1) @ expanded(v),
        "scaled": lambda q, k, v: torch.softmax(q @ (expanded(k).float() * 0.5 + 1).mT, -1) @ expanded(v),
        "tiled": lambda q, k, v: torch.softmax(q @ k.repeat(1, 4, 1, 1).mT, -1) @ v.repeat(1, 4, 1, 1),
        "joined": lambda q, k, v: (
            torch.softmax(q @ torch.cat([expanded(k[:, :, :2]), expanded(k[:, :, 2:])], 2).mT, -1) @ expanded(v)
        ),
        "einsum": lambda q, k, v: torch.einsum(
            "bgrqk,bgkd->bgrqd", torch.softmax(torch.einsum("bgrqd,bgkd->bgrqk", q.unflatten(1, (KEYS, -1)), k), -1), v
        ).flatten(1, 2),
    }

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(32, n * SIZE) for n in (HEADS, KEYS, KEYS))

        def forward(self, x):
            q, k, v = (part(x).unflatten(-1, (-1, SIZE)).transpose(1, 2) for part in (self.q, self.k, self.v))
            return ways[way](q, k, v)

    return Attention()


WAYS = ("enable_gqa", "repeat_interleave", "expand", "scaled", "tiled", "joined", "einsum")


@pytest.mark.parametrize("way", WAYS)
def test_shared_heads_are_rows_of_one_product(way):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_trace import trace

    network = trace(attention(torch, way), (2, 6, 32))
    assert products(network) == SHARED
    assert [layer.batch_dimension for layer in network.layers if layer.kind == "matrix product"] == ["G", "G"]


@pytest.mark.parametrize("way", ["enable_gqa", "expand"])
def test_saved_programs_share_heads_too(way, tmp_path):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(attention(torch, way).eval(), (torch.zeros(2, 6, 32),))
        torch.export.save(program, tmp_path / "shared.pt2")
    assert products(load_network(str(tmp_path / "shared.pt2"))) == SHARED


def test_one_head_for_all_queries_in_torch_and_queries_for_all_images():
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_trace import trace

    class One(torch.nn.Module):
        def forward(self, q, k):
            return q @ k.mT

    assert products(trace(One(), ((2, 8, 6, 4), (2, 1, 6, 4)))) == [{"C": 4, "M": 6, "P": 48, "G": 2}]

    class Learned(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.queries = torch.nn.Parameter(torch.zeros(1, 8, 5, 4))

        def forward(self, k):  # the queries are weights: read once, whatever the number of images
            return self.queries.expand(len(k), -1, -1, -1) @ k.mT

    (layer,) = trace(Learned(), (3, 8, 6, 4)).layers
    assert (layer.kind, layer.batch_dimension) == ("grouped linear", "N")
    assert bounds(layer.problem) == {"G": 8, "C": 4, "M": 5, "P": 6, "N": 3}


class Cache:
    """Keys so far, as an object that a model is given and fills."""

    def __init__(self, keys):
        self.layers = [{"keys": keys}]
        self.steps = 0


@pytest.mark.parametrize("needs_values", [False, True])
def test_a_decode_step_reads_the_callers_cache_and_leaves_it_alone(needs_values):
    """Keys in a cache are no weights: they come with the input, and what the model appends is its own."""
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_trace import trace

    class Step(torch.nn.Module):
        def forward(self, q, cache):
            if needs_values and bool(q.sum() > 1):  # meta tensors have no values: run again on the CPU
                return q
            (layer,) = cache.layers
            layer["keys"][:, :, 0] = 1
            layer["keys"] = torch.cat([layer["keys"], q[:, :2]], 2)
            cache.steps += 1
            return torch.nn.functional.scaled_dot_product_attention(q, layer["keys"], layer["keys"], enable_gqa=True)

    keys = torch.zeros(2, 2, 9, 4)
    cache = Cache(keys)
    network = trace(Step(), (torch.zeros(2, 8, 1, 4), cache))
    assert products(network) == [{"C": 4, "M": 10, "P": 4, "G": 4}, {"C": 10, "M": 4, "P": 4, "G": 4}]
    assert cache.layers[0]["keys"] is keys
    assert cache.steps == 0
    assert not keys.any()


def test_memory_that_was_written_to_is_no_longer_repeated():
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_trace import trace

    class Written(torch.nn.Module):
        def forward(self, q, k, other):
            k = k.expand(-1, 8, -1, -1).clone()
            if self.adding:
                k[:, 3] += other
            else:
                k[:, 3] = other
            return q @ k.mT

    for Written.adding in (False, True):
        found = products(trace(Written(), ((2, 8, 6, 4), (2, 1, 6, 4), (2, 6, 4))))
        assert found == [{"C": 4, "M": 6, "P": 6, "G": 16}]


@pytest.mark.parametrize("copying", ["Expand", "Tile"])
def test_onnx_shares_heads(copying, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def numbers(name, values):
        return helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values)

    apart = [2, KEYS, HEADS // KEYS, 6, SIZE] if copying == "Expand" else [1, 1, HEADS // KEYS, 1, 1]
    nodes = [
        helper.make_node("Unsqueeze", ["k", "axis"], ["k5"]),
        helper.make_node(copying, ["k5", "apart"], ["copies"]),
        helper.make_node("Reshape", ["copies", "together"], ["keys"]),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 1, 3, 2]),
        helper.make_node("Mul", ["turned", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["q", "scaled"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"]),
        helper.make_node("Einsum", ["shares", "keys"], ["y"], equation="bhqk,bhkd->bhqd"),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, (2, n, 6, SIZE)) for name, n in (("q", HEADS), ("k", KEYS))],
        [helper.make_tensor_value_info("y", kind, None)],
        [
            numbers("axis", [2]),
            numbers("apart", apart),
            numbers("together", [2, HEADS, 6, SIZE]),
            helper.make_tensor("scale", kind, [], [0.5]),
        ],
    )
    path = tmp_path / "shared.onnx"
    path.write_bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    assert products(load_network(str(path))) == SHARED


def test_heads_of_one_key_broadcast_in_onnx(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(name, kind, (2, n, 6, 6)) for name, n in (("q", 8), ("k", 1))]
    node = helper.make_node("MatMul", ["q", "k"], ["y"])
    made = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", kind, None)])
    path = tmp_path / "one.onnx"
    path.write_bytes(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString())
    assert products(load_network(str(path))) == [{"C": 6, "M": 6, "P": 48, "G": 2}]


def test_what_the_factors_of_axes_mean():
    assert combined([((2, False), (4, True)), ((8, False),)]) == ((2, False), (4, False))
    assert combined([((2, False), (4, True)), ((2, True), (4, True))]) == ((2, False), (4, True))
    assert shared([((8, False),)], [((2, False), (4, True))]) == (4, 1)
    assert shared([((2, True), (4, False))], [((4, False), (2, True))]) == (2, 2)
    assert shared([((6, True),)], [((6, True),)]) == (1, 1)  # computed as often as it is repeated
    assert reshaped([((2, False),), ((4, True),), ((3, False),)], (8, 3)) == (((2, False), (4, True)), ((3, False),))
    assert reshaped([((4, True),), ((3, False),)], (6, 2)) == (((6, False),), ((2, False),))  # cuts through a factor
    memory = ((2, 12, False), (4, 3, True), (3, 1, False))
    assert viewed((8, 3), (3, 1), 0, memory) == (((2, False), (4, True)), ((3, False),))
    assert viewed((2, 2, 3), (12, 6, 1), 3, memory) == (((2, False),), ((2, True),), ((3, False),))
    assert viewed((4, 3), (3, 1), 3, memory) == (((4, False),), ((3, False),))  # over the end of a repeated stretch


STEPS = st.sampled_from(["expand", "clone", "flatten", "transpose", "scale", "cat", "narrow", "stack", "repeat"])


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=2, max_size=7), st.randoms(use_true_random=False))
def test_what_is_said_to_be_repeated_is(steps, random):
    """Along a repeated factor real values do not change, whatever was done to the tensor before."""
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from dovetail.workload.torch_recorder import Recorder
    from dovetail.workload.torch_trace import watch

    recorder = Recorder({})
    x = torch.arange(24.0).reshape(2, 3, 4)
    recorder.enter_input([x])
    with watch(torch, recorder):
        for step in steps:
            x = _step(torch, x, step, random)
    axes = recorder._axes(x)
    factors = [factor for axis in axes for factor in axis]
    apart = x.reshape([size for size, _ in factors])
    assert [sum(1 for _ in axis) and _size(axis) for axis in axes] == [n if n > 1 else 0 for n in x.shape]
    for place, (_, repeated) in enumerate(factors):
        assert not repeated or torch.equal(apart, apart.narrow(place, 0, 1).expand_as(apart))


def _size(axis):
    size = 1
    for factor, _ in axis:
        size *= factor
    return size


def _step(torch, x, step, random):
    axis = random.randrange(x.ndim)
    match step:
        case "expand" if x.numel() < 500:
            x = x.unsqueeze(axis)
            return x.expand(*x.shape[:axis], random.choice([2, 3]), *x.shape[axis + 1 :])
        case "clone":
            return x.clone(memory_format=random.choice([torch.contiguous_format, torch.preserve_format]))
        case "flatten" if axis + 1 < x.ndim:
            return x.flatten(axis, axis + 1)
        case "transpose":
            return x.transpose(axis, random.randrange(x.ndim))
        case "scale":
            return x * random.choice([2.0, torch.arange(float(x.shape[-1])), torch.ones(x.shape)])
        case "cat" if x.numel() < 500:
            return torch.cat([x, x + 1], axis)
        case "narrow" if x.shape[axis] > 1:
            start = random.randrange(x.shape[axis] - 1)
            return x.narrow(axis, start, random.randrange(1, x.shape[axis] - start + 1))
        case "stack" if x.numel() < 500:
            return torch.stack([x, x], axis)
        case "repeat" if x.numel() < 500:
            return x.repeat_interleave(2, axis) if random.random() < 0.5 else x.repeat(*(2,) * x.ndim)
    return x
