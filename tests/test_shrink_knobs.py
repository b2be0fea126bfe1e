"""Kernels, images and bits as knobs beside channels and blocks: costs, the optimum, and what is saved."""

import importlib.util
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

from choices import assert_the_best_within_a_limit_is_proven  # noqa: E402
from dovetail.accuracy.bits import plan_bits  # noqa: E402
from dovetail.accuracy.datasets import load_data  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.accuracy.models import ModelSpec, five_layer  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.components.estimate import estimate  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.hardware.reader import load_architecture  # noqa: E402
from dovetail.network.map_network import map_network  # noqa: E402
from dovetail.shrink.exact import ExactSearch  # noqa: E402
from dovetail.shrink.kernels import NO_MIDDLE, OF_ITS_OWN, UNPADDED, kernel_settings  # noqa: E402
from dovetail.shrink.knobs import network_graph  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.narrow import narrow_inputs, plan_at, rounded_inputs, rounded_weights  # noqa: E402
from dovetail.shrink.oracle import CostOracle  # noqa: E402
from dovetail.shrink.predict import predicted_losses  # noqa: E402
from dovetail.shrink.prune import prune  # noqa: E402
from dovetail.shrink.saved import describe, load_shrunk, save_shrunk  # noqa: E402
from dovetail.shrink.space import search_space  # noqa: E402
from dovetail.shrink.supernet import SandwichLoss, importance_order, random_choices  # noqa: E402
from dovetail.shrink.target import KNOBS  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402
from dovetail.workload.widths import parse_layer_bits  # noqa: E402

nn = torch.nn
SHAPE = (1, 1, 8, 8)


class Block(nn.Module):
    """Two convolutions added to what they read."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.relu(x + self.two(torch.relu(self.one(x))))


class Mixed(nn.Module):
    """A stem, a depthwise layer of 5 x 5, a block that may be left out, a layer of 1 x 3 that strides, a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 5, padding=2, groups=4)
        self.block = Block()
        self.down = nn.Conv2d(4, 6, (1, 3), stride=2, padding=(0, 1))
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        x = torch.relu(self.deep(torch.relu(self.stem(x))))
        return self.head(torch.relu(self.down(self.block(x))).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def mixed():
    torch.manual_seed(0)
    model = Mixed().eval()
    graph = network_graph(model, SHAPE, KNOBS, tried=(8, 3))
    return model, graph, network_shapes(model, graph, SHAPE, "mixed")


def drawn(graph, random):
    """Any of the networks there are."""
    widths = [group.nearest(random.randint(1, group.channels + 1)) for group in graph.groups]
    blocks = random.randint(0, 2, len(graph.blocks)).tolist()
    return graph.settled((*widths, *blocks, *(random.choice(each.values) for each in graph.settings)))


def pruned(model, graph, widths):
    return prune(model, graph, graph.kept(widths, importance_order(model, graph)))


def test_what_can_be_set_lower_is_what_the_network_allows(mixed):
    graph = mixed[1]
    found = {(each.kind, each.name): each.values for each in graph.settings}
    assert found["resolution", "images"] == (8, 6, 4)
    kernels = {name: values for (kind, name), values in found.items() if kind == "kernel"}
    assert kernels == {"stem": (3, 1), "deep": (5, 3, 1), "block.one": (3, 1), "down": (3, 1)}
    readers = [each.paths for each in graph.settings if each.kind == "inputs"]
    assert ("block.one", "down") in readers  # both read the sum of the depthwise layer and the block
    assert sorted(sum(readers, ())) == sorted(each.name for each in graph.settings if each.kind == "weights")
    assert graph.blocks == ("block",)
    assert graph.unset == {}


def test_whatever_is_turned_the_layers_are_those_of_the_network_that_is_left(mixed):
    model, graph, shapes = mixed
    random = np.random.RandomState(0)
    for widths in (graph.widths, *(drawn(graph, random) for _ in range(12))):
        smaller, plan = pruned(model, graph, widths), plan_at(graph, widths)
        found = trace(smaller, SHAPE).with_bits(plan_bits(plan)).with_read_outputs()
        said = shapes.at(widths)
        assert [layer.problem for layer in found.layers] == [layer.problem for layer in said.layers]
        assert set(found.edges) == set(said.edges)
        assert smaller(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_the_supernet_computes_what_the_network_that_is_left_computes(mixed):
    model, graph, _ = mixed
    loss = SandwichLoss(Spaced(graph), importance_order(model, graph), 10)
    image, random = torch.rand(3, 1, 8, 8), np.random.RandomState(1)
    before = {name: vars(module).copy() for name, module in model.named_modules()}
    for widths in (drawn(graph, random) for _ in range(8)):
        small, plan = pruned(model, graph, widths), plan_at(graph, widths)
        with torch.no_grad():
            for one in plan:
                layer = small.get_submodule(one.path)
                layer.weight.copy_(rounded_weights(layer, layer.weight, one.weights))
            narrow_inputs(small, {one.path: one.inputs for one in plan})
            assert torch.allclose(loss._at(model, widths, image), small(image), atol=1e-5)
    for name, module in model.named_modules():
        for key, value in before[name].items():
            assert vars(module)[key] is value or vars(module)[key] == value


class Spaced:
    """A space that knows its graph alone."""

    def __init__(self, graph):
        self.shapes = self
        self.graph = graph


@pytest.fixture(scope="module")
def space(mixed):
    design = load_architecture("simple_weight_stationary")
    graph = network_graph(mixed[0], SHAPE, ("channels", "kernel", "resolution", "bits"), (8, 4), HELD)
    shapes = network_shapes(mixed[0], graph, SHAPE, "mixed")
    return search_space(shapes, CostOracle(design, estimate(design), workers=1), kept=2)


#: All but two layers' bits, so that all choices can be gone through.
HELD = [parse_layer_bits(text) for text in ("stem:8", "block.*:8", "head:8")]


def test_the_cost_of_a_choice_is_that_of_mapping_what_is_left(mixed, space):
    search, random = ExactSearch(space, "edp"), np.random.RandomState(1)
    for choice in (search.cheapest(), *(tuple(random.randint(0, size) for size in search.sizes) for _ in range(3))):
        widths = space.widths(choice)
        smaller, plan = pruned(mixed[0], space.shapes.graph, widths), plan_at(space.shapes.graph, widths)
        left = trace(smaller, SHAPE).with_bits(plan_bits(plan)).with_read_outputs()
        cost = map_network(left, space.oracle.architecture, space.oracle.energies, workers=1)
        assert search.cost(choice) == pytest.approx(cost.edp_J_cycle, rel=1e-12)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9), st.sampled_from(["energy", "cycles", "edp"]))
def test_the_best_choice_over_all_knobs_is_that_of_brute_force(space, seed, share, metric):
    assert_the_best_within_a_limit_is_proven(space, seed, share, metric)


def test_a_knob_that_is_not_there_or_forbidden_is_one_message(mixed):
    vit = ModelSpec("small-vit", width=16, channels=1, size=8)().eval()
    refused = [
        (vit, ("resolution",), (), "nothing for the knob resolution: the network takes images of one size"),
        (vit, ("kernel",), (), f"nothing for the knob kernel: {NO_MIDDLE}"),
        (five_layer(2, 4, 1), ("channels", "bits"), ("nine:8",), "has no layer 'nine'"),
        (mixed[0], ("bits",), ("8",), "one has nothing for the knob bits: everything has one number of bits"),
        (
            mixed[0],
            ("bits",),
            ("block.one:inputs=8", "down:inputs=4"),
            "read one tensor, so their inputs have the same",
        ),
    ]
    for model, knobs, held, message in refused:
        with pytest.raises(InputError, match=message):
            network_graph(model, SHAPE, knobs, (8, 4), [parse_layer_bits(text) for text in held], "one")
    graph = network_graph(mixed[0], SHAPE, ("bits",), (2, 8), [parse_layer_bits("stem:weights=5")])
    assert {each.values for each in graph.settings if each.name == "stem"} == {(5,), (8, 2)}
    assert graph.groups == graph.blocks == ()


def test_what_keeps_its_kernel_is_said_with_the_reason():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Conv2d(2, 2, 4, padding=1),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(2, 2, 5, padding="same", dilation=2),
        nn.Conv2d(2, 2, 7, padding=2),
        nn.Conv2d(2, 2, 1),
    )
    settings, unset = kernel_settings(model)
    assert unset == {"0": UNPADDED, "1": NO_MIDDLE, "2": OF_ITS_OWN}
    assert [(each.name, each.values) for each in settings] == [("3", (5, 3, 1)), ("4", (7, 5, 3))]


def test_a_saved_network_scales_its_images_and_keeps_the_middles_of_its_kernels(tmp_path):
    spec = ModelSpec("five-layer", width=3, channels=1, size=8)
    torch.manual_seed(0)
    model = spec().eval()
    graph = network_graph(model, SHAPE, ("kernel", "resolution"))
    widths = (4, *(values.values[-1] for values in graph.settings[1:]))
    smaller, image = pruned(model, graph, widths), torch.rand(2, 1, 8, 8)
    kept = graph.kept(widths, ())
    save_shrunk(tmp_path, describe("small", spec, model, graph, kept, {}), smaller.state_dict())
    with torch.no_grad():
        assert torch.equal(load_shrunk(tmp_path)(image), smaller(image))
        halved = nn.functional.avg_pool2d(image, 2)  # which linear interpolation is, at a half
        assert torch.allclose(pruned(model, graph, (8, *widths[1:]))(halved), smaller(image), atol=1e-6)
    file = tmp_path / "network.json"
    whole = json.loads(file.read_text())
    assert whole["image"] == [4, 4]
    assert whole["layers"]["0"]["rows"] == 1
    for change, message in [
        ({"image": [0, 4]}, "image: expected rows and columns"),
        ({"layers": {"0": whole["layers"]["0"] | {"rows": 2}}}, "a kernel of 2 rows and 1 columns is no middle"),
        ({"layers": {"0": whole["layers"]["0"] | {"rows": 5}}}, "a kernel of 5 rows and 1 columns is no middle"),
        ({"bits": {"0": {"weights": 9, "inputs": 8, "signed": True}}}, "expected weights, inputs and signed"),
    ]:
        file.write_text(json.dumps({**whole, **change}))
        with pytest.raises(InputError, match=message):
            load_shrunk(tmp_path)


@pytest.mark.parametrize("bits", range(2, 9))
def test_rounded_numbers_are_few_and_near(bits):
    torch.manual_seed(bits)
    layer = nn.Conv2d(5, 3, 3)
    rounded = rounded_weights(layer, layer.weight, bits)
    for channel, own in zip(rounded, layer.weight, strict=True):
        assert len(channel.detach().unique()) <= 2**bits - 1
        assert (channel - own).square().mean() < own.square().mean() / 2 ** (2 * bits - 3)
    rounded.sum().backward()
    assert set(layer.weight.grad.unique().tolist()) <= {0.0, 1.0}
    for values in (torch.randn(400), torch.randn(400).relu()):
        found = rounded_inputs(values, bits)
        assert len(found.unique()) <= 2**bits
        assert values.min() < 0 or found.min() == 0
        assert (found - values).square().mean() < values.square().mean() / 2 ** (2 * bits - 3)


def test_a_step_of_its_own_is_learnt_where_no_curve_fits():
    """Numbers of 4 bits lose nothing here and of 2 bits a lot, which no slope or wall over shares can say."""
    shares = [np.array([1.0, 0.5, 0.25]), np.array([1.0, 0.5])]
    choices = 4 * list(itertools.product(range(3), range(2)))
    true = [np.array([0.0, 0.0, 2.0]), np.array([0.0, 0.1])]
    losses = [true[0][one] + true[1][other] for one, other in choices]
    found = predicted_losses(shares, choices, losses, stepped=(0,))
    assert found[0] == pytest.approx([0.0, 0.0, 2.0], abs=0.3)
    assert found[0][1] < 0.05 * found[0][2]
    assert np.abs(predicted_losses(shares, choices, losses)[0] - true[0]).max() > 0.3


def test_fewer_widths_are_kept_where_other_knobs_would_make_too_many_layers(space, monkeypatch):
    monkeypatch.setattr("dovetail.shrink.space.MOST_PROBLEMS", space.problems // 2)
    monkeypatch.setattr("dovetail.shrink.space.FEWEST_WIDTHS", 1)
    fewer = search_space(space.shapes, space.oracle, kept=2)
    assert fewer.problems <= space.problems // 2
    assert [len(knob.options) for knob in fewer.knobs if knob.kind != "channels"] == [
        len(knob.options) for knob in space.knobs if knob.kind != "channels"
    ]


def test_even_networks_are_even_in_all_knobs(space):
    for choice in random_choices(space, 30, 3, [0.5]):
        assert space.settled(choice) == choice
    assert {knob.kind for knob in space.knobs} == {"channels", "resolution", "kernel", "weights", "inputs"}


def test_kernels_are_drawn_whole_more_often_than_not(space):
    """Several smaller kernels at once leave an untrained network at chance, which teaches nothing."""
    torch.manual_seed(0)
    loss = SandwichLoss(space, (), 10)
    graph = space.shapes.graph
    kernels = sum(setting.kind == "kernel" for setting in graph.settings)
    drawn = [len(graph.lowered(widths, "kernel")) for _ in range(60) for widths in loss._narrower()]
    assert 0.15 < np.mean(drawn) / kernels < 0.35
    explored = [len(graph.lowered(space.widths(choice), "kernel")) for choice in random_choices(space, 200, 0, [0.6])]
    assert 0.1 < np.mean(explored) / kernels < 0.35


def command(knobs, out):
    """Of bits, few are tried: each makes more layers to map."""
    bits = ["--tried", "8,3", "--bits", "last:8"] if "bits" in knobs else []
    return [
        "shrink", "five-layer-2", "--on", "simple_weight_stationary", "--data", "digits", "--target", "energy=0.4x",
        "--knobs", knobs, "--epochs", "1", "--supernet-epochs", "1", "--candidates", "4", "--finalists", "1",
        "--no-reference", "--workers", "1", "--device", "cpu", "--out", str(out), *bits,
    ]  # fmt: skip


@pytest.mark.parametrize("knobs", ["resolution,kernel", "resolution,bits"])
def test_a_whole_run_reports_what_its_files_cost(knobs, tmp_path, monkeypatch, capsys):
    if "bits" in knobs:
        pytest.importorskip("brevitas", reason="needs the quant extra")
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "store"))
    out = tmp_path / "out"
    assert main([*command(knobs, out), "--html", str(out / "page.html")]) == 0
    printed = capsys.readouterr().out
    result = json.loads((out / "result-supernet.json").read_text())
    assert check(result, closed=True) == "shrink"
    assert result["proven"] == {"energy=0.4x": True}
    (found,) = result["networks"]
    assert found["energy_pJ"] <= 0.4 * result["original"]["energy_pJ"]
    if "bits" in knobs:
        assert {(one["weights"], one["inputs"]) for one in result["original"]["bits"].values()} == {(8, 8)}
        assert found["bits"]["14"]["weights"] == 8
        assert "shares are of the original's cost at the most bits" in result["notes"][0]
    else:
        assert found["image"] != [8, 8] or found["kernels"] != result["original"]["kernels"]
    network, data = load_shrunk(found["folder"]), load_data("digits")
    assert evaluate(network, data.test) == found["accuracy"]["test"]["0"]
    assert found["folder"] in printed
    assert "What was set lower" in (out / "page.html").read_text()
    kinds = ["onnx"] if importlib.util.find_spec("onnx") else [] if "bits" in knobs else ["program"]
    for kind in kinds:
        given = ["compare", found["files"][kind], "--on", "simple_weight_stationary", "--objective", "energy", "--json"]
        assert main(given) == 0
        (cost,) = json.loads(capsys.readouterr().out)["results"]
        assert cost["cycles"] == found["cycles"]
        assert cost["energy_pJ"] == pytest.approx(found["energy_pJ"], rel=1e-12)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert main([*command(knobs, out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--tried", "8,4"], "--tried says which bits to choose from"),
        (["--bits", "first:8"], "bits of layers are held where bits are chosen"),
        (["--knobs", "bits", "--tried", "9"], "bits to choose from are 2 to 8"),
        (["--knobs", "channels,bits", "--scratch"], "narrow numbers are made of trained weights"),
    ],
)
def test_bits_that_make_no_sense_are_one_message(more, words, capsys, tmp_path):
    assert main([*command("channels", tmp_path), *more]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_without_the_extra_bits_are_one_message_before_anything_is_trained(capsys, tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "brevitas" else found(name))
    assert main(command("channels,bits", tmp_path)) == 2
    message = capsys.readouterr().err
    assert "quant" in message
    assert message.count("\n") == 1
    assert not list(tmp_path.rglob("last.pt"))
