"""Blocks left out: which may be, what a network costs without them, and that what is saved truly lacks them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from choices import assert_the_best_within_a_limit_is_proven  # noqa: E402
from dovetail.accuracy.models import ModelSpec, five_layer  # noqa: E402
from dovetail.accuracy.recipe import MODERN, STUDY  # noqa: E402
from dovetail.accuracy.standalone import standalone_source  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.components.estimate import estimate  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.hardware.reader import load_architecture  # noqa: E402
from dovetail.network.map_network import map_network  # noqa: E402
from dovetail.shrink.depth import CHANGES, NEEDED, residual_blocks, without  # noqa: E402
from dovetail.shrink.exact import ExactSearch  # noqa: E402
from dovetail.shrink.knobs import network_graph  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.oracle import CostOracle  # noqa: E402
from dovetail.shrink.prune import prune  # noqa: E402
from dovetail.shrink.request import SUPERNET, supernet_recipe  # noqa: E402
from dovetail.shrink.saved import describe, load_shrunk, read_shrunk, save_shrunk  # noqa: E402
from dovetail.shrink.space import search_space  # noqa: E402
from dovetail.shrink.supernet import SandwichLoss, importance_order, random_choices  # noqa: E402
from dovetail.shrink.target import parse_knobs  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

nn = torch.nn


class Residual(nn.Module):
    """Two convolutions added to what they read, or to what a third one makes of it."""

    def __init__(self, width, made):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 6, 3, padding=1), nn.Conv2d(6, made, 1)
        self.norm = nn.BatchNorm2d(made)
        self.shortcut = nn.Identity() if width == made else nn.Conv2d(width, made, 1)

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.norm(self.two(torch.relu(self.one(x)))))


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.Sequential(Residual(4, 4), Residual(4, 8), nn.Sequential(Residual(8, 8), Residual(8, 8)))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))).mean(dim=(2, 3)))


class Attends(nn.Module):
    """Attention that does not say how its heads go, passed by."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)

    def forward(self, x):
        return self.block(x.flatten(1, 2)).flatten(1)


SHAPE = (1, 1, 4, 4)
KEPT = ("blocks.0", "blocks.2.0", "blocks.2.1")


@pytest.fixture(scope="module")
def toy():
    torch.manual_seed(0)
    model = Toy().eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    graph = network_graph(model, SHAPE)
    return model, graph, network_shapes(model, graph, SHAPE, "toy")


@pytest.fixture(scope="module")
def vit():
    spec = ModelSpec("small-vit", width=16, channels=1, size=8)
    torch.manual_seed(0)
    model = spec().eval()
    graph = network_graph(model, (1, 1, 8, 8))
    return model, graph, network_shapes(model, graph, (1, 1, 8, 8), "vit"), spec


def drawn(graph, random):
    """Any widths, any blocks."""
    widths = [group.nearest(random.randint(1, group.channels + 1)) for group in graph.groups]
    return graph.settled((*widths, *random.randint(0, 2, len(graph.blocks)).tolist()))


def test_blocks_are_what_an_identity_passes_by(toy, vit):
    assert toy[1].blocks == KEPT
    assert toy[1].left["blocks.1"] == CHANGES
    assert vit[1].blocks == tuple(f"blocks.{number}" for number in range(4))
    assert residual_blocks(five_layer(4), (1, 1, 8, 8)) == ((), {})


@pytest.mark.parametrize(
    ("name", "blocks", "stay"),
    [
        (
            "resnet18",
            ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"],
            ["layer2.0", "layer3.0", "layer4.0"],
        ),
        ("mobilenet_v2", [f"features.{n}" for n in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)], None),
    ],
)
def test_blocks_of_known_networks(name, blocks, stay):
    """Those of He et al. and Sandler et al. whose stride is 1 and whose channels stay."""
    found, left = residual_blocks(ModelSpec(name)().eval(), (1, 3, 32, 32))
    assert list(found) == blocks
    assert stay is None or list(left) == stay


class Twice(Toy):
    """Runs a block twice, and reads a weight of another one's from outside."""

    def forward(self, x):
        x = self.blocks[0](self.blocks[0](torch.relu(self.stem(x))))
        x = self.blocks[2][0](self.blocks[1](x)) * self.blocks[2][0].one.weight.mean()
        return self.head(self.blocks[2][1](x).mean(dim=(2, 3)))


def test_blocks_that_run_twice_or_are_needed_stay_with_the_reason():
    found, left = residual_blocks(Twice(), SHAPE)
    assert found == ("blocks.2.1",)
    assert left == {"blocks.0": CHANGES, "blocks.1": CHANGES, "blocks.2.0": NEEDED}


@pytest.mark.parametrize("which", ["toy", "vit"])
def test_whatever_is_left_out_the_layers_are_those_of_the_network_that_is_left(which, request):
    model, graph, shapes = request.getfixturevalue(which)[:3]
    image = torch.rand((2, *shapes_of(shapes)))
    random = np.random.RandomState(0)
    gone = graph.settled((*graph.widths[: len(graph.groups)], *(0 for _ in graph.blocks)))
    for widths in (graph.widths, gone, *(drawn(graph, random) for _ in range(6))):
        kept = graph.kept(widths, [random.permutation(group.blocks) for group in graph.groups])
        smaller = prune(model, graph, kept)
        assert smaller(image).shape == (2, 10)
        found, said = trace(smaller, (1, *shapes_of(shapes))), shapes.at(widths)
        assert [layer.problem for layer in found.layers] == [layer.problem for layer in said.layers]
        assert set(found.edges) == set(said.edges)
        assert found.macs == shapes.macs(widths)
        for path in graph.left_out(widths):
            assert not [name for name in smaller.state_dict() if name.startswith(f"{path}.")]


def shapes_of(shapes):
    return (1, 4, 4) if shapes.network.name == "toy" else (1, 8, 8)


def test_a_block_that_adds_nothing_is_not_missed(vit):
    model, graph = vit[:2]
    block = model.blocks[1]
    before = {name: value.clone() for name, value in block.state_dict().items()}
    with torch.no_grad():
        for layer in (block.attention.out, block.layers.narrow):
            layer.weight.zero_()
            layer.bias.zero_()
    image = torch.rand(2, 1, 8, 8)
    widths = graph.settled((*graph.widths[:-4], 1, 0, 1, 1))
    try:
        smaller = prune(model, graph, graph.kept(widths, importance_order(model, graph)))
        assert torch.allclose(smaller(image), model(image), atol=1e-6)
    finally:
        block.load_state_dict(before)


@pytest.fixture(scope="module")
def space(toy):
    design = load_architecture("simple_weight_stationary")
    return search_space(toy[2], CostOracle(design, estimate(design), workers=1), kept=2)


def test_the_cost_of_a_choice_is_that_of_mapping_what_is_left(toy, space):
    model, graph, _ = toy
    search, order = ExactSearch(space, "edp"), importance_order(model, graph)
    assert [knob.name for knob in space.knobs if knob.kind == "depth"] == list(KEPT)
    random = np.random.RandomState(1)
    for choice in (search.cheapest(), *(tuple(random.randint(0, 2, len(space.knobs)).tolist()) for _ in range(3))):
        smaller = prune(model, graph, graph.kept(space.widths(choice), order))
        cost = map_network(trace(smaller, SHAPE), space.oracle.architecture, space.oracle.energies, workers=1)
        assert search.cost(choice) == pytest.approx(cost.edp_J_cycle, rel=1e-12)
        figures = space.oracle.figures(space.shapes, space.widths(choice))
        assert (figures.cycles, figures.macs) == (cost.cycles, cost.network.macs)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.sampled_from(["energy", "cycles", "macs"]))
def test_the_best_choice_of_widths_and_blocks_is_that_of_brute_force(space, seed, share, metric):
    """Of sums over layers the choice of least loss within a limit is proven; here it is compared with all choices."""
    assert_the_best_within_a_limit_is_proven(space, seed, share, metric)


def test_equal_networks_are_one_choice(space):
    place = [knob.name for knob in space.knobs].index("blocks.0")
    inner = [knob.name for knob in space.knobs].index("blocks.0.one")
    narrow = [0] * len(space.knobs)
    narrow[place], narrow[inner] = 1, 1
    wide = [*narrow]
    wide[inner] = 0
    assert space.widths(tuple(narrow)) == space.widths(tuple(wide))
    assert space.settled(tuple(narrow)) == tuple(wide)
    for choice in random_choices(space, 40, 3, [0.5, 0.2]):
        assert space.settled(choice) == choice


def test_the_supernet_without_a_block_is_the_network_without_it(toy, space):
    model, graph, _ = toy
    order = importance_order(model, graph)
    loss = SandwichLoss(space, order, 10)
    image, random = torch.rand(3, 1, 4, 4), np.random.RandomState(2)
    names = list(model.state_dict())
    for widths in (drawn(graph, random) for _ in range(6)):
        with torch.no_grad():
            small = prune(model, graph, graph.kept(widths, order))(image)
            assert torch.allclose(loss._at(model, widths, image), small, atol=1e-6)
    assert list(model.state_dict()) == names
    torch.manual_seed(0)
    out = {block for _ in range(30) for widths in loss._narrower() for block in graph.left_out(widths)}
    assert out == set(KEPT)


def test_blocks_come_back_where_they_stood_whatever_happens(toy):
    model = toy[0]
    block = model.blocks[0]
    with pytest.raises(RuntimeError), without(model, ["blocks.0", "blocks.2.1"]):
        assert isinstance(model.blocks[0], nn.Identity)
        raise RuntimeError
    assert model.blocks[0] is block


def test_a_saved_network_comes_back_without_its_blocks(vit, tmp_path):
    model, graph, _, spec = vit
    widths = graph.settled((*(group.nearest(group.channels / 2) for group in graph.groups), 1, 0, 1, 0))
    kept = graph.kept(widths, importance_order(model, graph))
    smaller = prune(model, graph, kept)
    save_shrunk(tmp_path, describe("small", spec, model, graph, kept, {}), smaller.state_dict())
    assert read_shrunk(tmp_path).gone == ("blocks.1", "blocks.3")
    image = torch.rand(2, 1, 8, 8)
    again = load_shrunk(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(image), smaller(image))
    assert sum(value.numel() for value in again.state_dict().values()) < sum(
        value.numel() for value in model.state_dict().values()
    )
    assert read_shrunk(tmp_path)().state_dict().keys() == again.state_dict().keys()
    assert "blocks.1.attention" not in standalone_source(smaller, (1, 1, 8, 8), "two blocks", "weights.pt")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [(["blocks.9"], "left_out: the network has no block 'blocks.9'"), ([""], "no block of itself"), (7, "damaged")],
)
def test_a_file_that_leaves_out_what_is_not_there_is_one_message(vit, tmp_path, left_out, message):
    model, graph, _, spec = vit
    kept = graph.kept(graph.widths, importance_order(model, graph))
    save_shrunk(tmp_path, describe("small", spec, model, graph, kept, {}), model.state_dict())
    file = tmp_path / "network.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "left_out": left_out}))
    with pytest.raises(InputError, match=message):
        load_shrunk(tmp_path)


def test_wrong_sizes_are_refused(vit):
    graph = vit[1]
    for wrong, message in [
        (graph.widths[:-1], "7 widths|widths for"),
        ((*graph.widths[:-1], 2), "a block stays"),
        ((0, *graph.widths[1:]), "at least one"),
    ]:
        with pytest.raises(InputError, match=message):
            graph.check(wrong)


def test_a_supernet_is_trained_by_the_optimizer_of_its_recipe():
    """Muon's rates left a transformer, trained by Adam, with a third of its accuracy."""
    assert supernet_recipe(MODERN) == SUPERNET
    assert supernet_recipe(MODERN, 2) == replace(SUPERNET, epochs=2)
    found = supernet_recipe(STUDY, 3)
    assert (found.optimizer, found.learning_rate, found.epochs) == ("adam", STUDY.learning_rate, 3)
    assert (found.batch_size, found.half_range) == (SUPERNET.batch_size, SUPERNET.half_range)


def test_what_may_be_turned_is_said(vit):
    assert parse_knobs("depth, channels") == ("channels", "depth")
    for text, message in [("dept", "did you mean 'depth'"), ("", "no knob in ''"), ("depth,width", "no knob 'width'")]:
        with pytest.raises(InputError, match=message):
            parse_knobs(text)
    model = vit[0]
    assert network_graph(model, (1, 1, 8, 8), ("depth",)).groups == ()
    assert network_graph(model, (1, 1, 8, 8), ("channels",)).blocks == ()
    with pytest.raises(InputError, match="--knobs depth leaves out whole blocks alone"):
        network_graph(Attends(), (1, 1, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["five-layer-4", "--knobs", "depth"], "has no block that can be left out"),
        (["five-layer-4", "--knobs", "width"], "no knob 'width'"),
        (["five-layer-4", "--knobs", "depth", "--method", "magnitude"], "method magnitude has none"),
    ],
)
def test_a_knob_that_is_not_there_is_one_message(arguments, words, capsys, tmp_path):
    """Before anything is trained."""
    command = ["shrink", *arguments, "--on", "eyeriss_like", "--data", "digits", "--target", "edp=0.5x"]
    assert main([*command, "--workers", "1", "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert not list(tmp_path.rglob("last.pt"))


NETWORK = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(x + self.norm(self.one(x)))

def residual():
    torch.manual_seed(0)
    stem = [nn.Conv2d(1, 8, 3, 2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*stem, Block(), Block(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
"""


def test_a_whole_run_leaves_blocks_out_and_goes_on_to_the_same_result(tmp_path, monkeypatch, capsys):
    """The command, on a residual network of the user's own: what it reports is what the files it leaves cost."""
    (tmp_path / "ownnet.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "store"))
    out = tmp_path / "out"
    command = [
        "shrink", "ownnet:residual", "--train-first", "--on", "simple_weight_stationary", "--data", "digits",
        "--target", "macs=0.6x", "--knobs", "depth", "--epochs", "2", "--supernet-epochs", "1", "--candidates", "4",
        "--finalists", "1", "--no-reference", "--workers", "1", "--device", "cpu", "--out", str(out),
        "--html", str(out / "page.html"),
    ]  # fmt: skip
    assert main(command) == 0
    printed = capsys.readouterr().out
    result = json.loads((out / "result-supernet.json").read_text())
    (found,) = result["networks"]
    assert (result["blocks"], result["groups"], result["original"]["left_out"]) == (["3", "4"], [], [])
    assert len(found["left_out"]) == 1
    assert f"without {found['left_out'][0]}" in printed
    assert found["macs"] <= 0.6 * result["original"]["macs"]
    assert "Which blocks went" in (out / "page.html").read_text()
    network = load_shrunk(found["folder"], "ownnet:residual")
    assert trace(network, (1, 1, 8, 8)).macs == found["macs"]
    assert not [name for name in network.state_dict() if name.startswith(f"{found['left_out'][0]}.")]
    before = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert check(again, closed=True) == "shrink"
    assert again == result
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert main(["compare", found["files"]["program"], "--on", "simple_weight_stationary", "--json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)["results"]
    assert (cost["cycles"], cost["energy_pJ"]) == (found["cycles"], found["energy_pJ"])
