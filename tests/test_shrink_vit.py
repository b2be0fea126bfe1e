"""Heads and the width between two layers of a transformer: what is cut runs, is as small as said, and saves as such."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dovetail.accuracy.models import ModelSpec  # noqa: E402
from dovetail.accuracy.standalone import standalone_source  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.shrink.discover import UNDECLARED, channel_graph  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.prune import prune  # noqa: E402
from dovetail.shrink.saved import describe, load_shrunk, save_shrunk  # noqa: E402
from dovetail.shrink.supernet import importance_order  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

nn = torch.nn
SPEC = ModelSpec("small-vit", width=32, channels=1, size=16)
SHAPE = (2, 1, 16, 16)


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    model = SPEC().eval()
    return model, channel_graph(model, SHAPE)


def test_heads_go_whole_and_the_width_between_two_layers_channel_by_channel(vit):
    _, graph = vit
    assert [(group.name, group.channels, group.block) for group in graph.groups[:2]] == [
        ("blocks.0.attention.queries", 32, 8),
        ("blocks.0.layers.widen", 128, 1),
    ]
    assert len(graph.groups) == 8
    assert set(graph.left) == {
        "patches",
        "head",
        *(f"blocks.{n}.{each}" for n in range(4) for each in ("attention.out", "layers.narrow")),
    }
    assert set(graph.left.values()) == {UNDECLARED}


def test_any_widths_give_a_network_that_runs_and_whose_layers_are_as_computed(vit):
    """One head, all heads, and between: products of activations have as many groups as heads are left."""
    model, graph = vit
    shapes = network_shapes(model, graph, SHAPE, "vit")
    assert shapes.at(graph.widths).layers == shapes.network.layers
    random = np.random.RandomState(0)
    for widths in (
        graph.widths,
        tuple(group.block for group in graph.groups),
        *(tuple(g.nearest(random.randint(1, g.channels + 1)) for g in graph.groups) for _ in range(2)),
    ):
        kept = graph.kept(widths, [random.permutation(group.blocks) for group in graph.groups])
        smaller = prune(model, graph, kept)
        assert smaller(torch.zeros(SHAPE)).shape == (2, 10)
        found = trace(smaller, SHAPE)
        assert [layer.problem for layer in found.layers] == [layer.problem for layer in shapes.at(widths).layers]
        assert found.macs == shapes.macs(widths)


def test_heads_that_add_nothing_go_first_and_are_not_missed(vit):
    model, graph = vit
    gone = torch.arange(8, 16)  # the second of the first block's four heads
    attention = model.blocks[0].attention
    with torch.no_grad():
        for layer in (attention.queries, attention.keys, attention.values):
            layer.weight[gone] = 0
        attention.out.weight[:, gone] = 0
    order = importance_order(model, graph)
    assert order[0][-1] == 1
    smaller = prune(model, graph, graph.kept((24, *graph.widths[1:]), order))
    image = torch.randn(SHAPE)
    assert torch.allclose(smaller(image), model(image), atol=1e-5)


def test_a_saved_transformer_comes_back_as_it_was(vit, tmp_path):
    model, graph = vit
    half = tuple(group.nearest(group.channels / 2) for group in graph.groups)
    kept = graph.kept(half, importance_order(model, graph))
    smaller = prune(model, graph, kept)
    save_shrunk(tmp_path, describe("small", SPEC, model, graph, kept, {}), smaller.state_dict())
    image = torch.randn(SHAPE)
    with torch.no_grad():
        assert torch.equal(load_shrunk(tmp_path)(image), smaller(image))


def test_it_is_written_as_a_file_that_needs_torch_alone(vit):
    """The text is run and compared with the network when it is written; annotations of its code are left out."""
    model, graph = vit
    smaller = prune(model, graph, graph.kept((16, *graph.widths[1:]), importance_order(model, graph)))
    text = standalone_source(smaller, SHAPE, "a transformer", "weights.pt")
    assert "dovetail" not in text
    assert "nn.Linear(in_features=32, out_features=16, bias=True)" in text


class Declares(nn.Module):
    def __init__(self, said):
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 9)
        self.said = said

    def channel_groups(self):
        return self.said() if callable(self.said) else self.said

    def forward(self, x):
        return self.two(self.one(x.flatten(1)[:, :4]))


WRONG = {
    "is no side of a linear layer of its own": [(1, [("four", "out")])],
    "'two', 'up' is no side": [(1, [("two", "up")])],
    "its sides have \\[6, 9\\] channels": [(1, [("one", "out"), ("three", "out")])],
    "its sides have \\[6\\] channels, 4 at a time": [(4, [("one", "out"), ("two", "in")])],
    "fails: TypeError": [5, 6],
    "fails: ZeroDivisionError": lambda: 1 / 0,
}


@pytest.mark.parametrize("message", WRONG)
def test_what_a_module_declares_wrongly_is_one_message(message):
    with pytest.raises(InputError, match=message):
        channel_graph(Declares(WRONG[message]), (1, 1, 2, 2))
