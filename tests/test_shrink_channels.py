"""Channel groups of real networks: what is cut runs, is as small as said, and equals what Torch-Pruning cuts."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pruning = pytest.importorskip("torch_pruning")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from dovetail.accuracy.models import ModelSpec, five_layer  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.shrink.channels import ChannelGroup  # noqa: E402
from dovetail.shrink.discover import channel_graph  # noqa: E402
from dovetail.shrink.layers import network_shapes  # noqa: E402
from dovetail.shrink.prune import prune  # noqa: E402
from dovetail.shrink.saved import describe, load_shrunk, read_shrunk, save_shrunk  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402

nn = torch.nn
FAMILIES = {
    "resnet18": 32, "densenet121": 32, "mobilenet_v2": 32, "mobilenet_v3_small": 32, "vgg11": 32, "alexnet": 64,
    "resnext50_32x4d": 32,
}  # fmt: skip


def graph_of(model, size=32, channels=3):
    return channel_graph(model, (1, channels, size, size))


def random_widths(graph, seed):
    random = np.random.RandomState(seed)
    return tuple(group.nearest(random.randint(1, group.channels + 1)) for group in graph.groups)


def random_kept(graph, widths, seed):
    random = np.random.RandomState(seed)
    return graph.kept(widths, [random.permutation(group.blocks) for group in graph.groups])


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    size = FAMILIES[request.param]
    torch.manual_seed(0)
    with torch.device("meta"):
        model = ModelSpec(request.param, size=size)().eval()
    return model, channel_graph(model, (1, 3, size, size)), size


def test_all_layers_but_the_last_can_shrink(family):
    model, graph, _ = family
    layers = [path for path, each in model.named_modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
    fixed = [path for path in layers if "out" not in graph.by_module.get(path, {})]
    assert fixed == layers[-1:]


def test_any_widths_give_a_network_that_runs_and_whose_layers_are_as_computed(family):
    model, graph, size = family
    shapes = network_shapes(model, graph, (1, 3, size, size), "net")
    for seed in range(2):
        widths = random_widths(graph, seed)
        smaller = prune(model, graph, random_kept(graph, widths, seed))
        image = torch.zeros(1, 3, size, size, device="meta")
        assert smaller(image).shape == model(image).shape
        found = trace(smaller, (1, 3, size, size))
        expected = shapes.at(widths)
        assert [layer.problem for layer in found.layers] == [layer.problem for layer in expected.layers]
        assert found.macs == shapes.macs(widths) < shapes.macs(graph.widths)


def test_full_width_is_the_network_as_given(family):
    model, graph, size = family
    shapes = network_shapes(model, graph, (1, 3, size, size), "net")
    assert shapes.at(graph.widths).layers == shapes.network.layers


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121"])
def test_it_cuts_what_torch_pruning_cuts(name):
    torch.manual_seed(0)
    model = ModelSpec(name, size=32)().eval()
    graph = graph_of(model)
    group = graph.groups[len(graph.groups) // 2]
    gone = list(range(0, group.channels, 3))
    kept = graph.kept(graph.widths, [np.arange(each.blocks) for each in graph.groups])
    kept = tuple(
        np.setdiff1d(every, gone) if each is group else every for each, every in zip(graph.groups, kept, strict=True)
    )
    ours = prune(model, graph, kept)
    theirs = prune(model, graph, graph.kept(graph.widths, [np.arange(each.blocks) for each in graph.groups]))
    dependencies = pruning.DependencyGraph().build_dependency(theirs, example_inputs=torch.zeros(1, 3, 32, 32))
    root = theirs.get_submodule(group.name)
    dependencies.get_pruning_group(root, pruning.prune_conv_out_channels, idxs=gone).prune()
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ours(image), theirs(image))
    assert {n: v.shape for n, v in ours.state_dict().items()} == {n: v.shape for n, v in theirs.state_dict().items()}


def test_removing_channels_that_are_zero_changes_nothing():
    torch.manual_seed(0)
    model = ModelSpec("resnet18", size=32)().eval()
    graph = graph_of(model)
    order = [np.arange(each.blocks) for each in graph.groups]
    half = graph.kept([group.nearest(group.channels / 2) for group in graph.groups], order)
    with torch.no_grad():
        for axis in graph.axes:
            gone = np.setdiff1d(np.arange(len(axis.owners)), axis.positions(half))
            module = model.get_submodule(axis.module)
            if axis.side == "out":
                module.weight[gone] = 0
                if module.bias is not None:
                    module.bias[gone] = 0
        image = torch.randn(1, 3, 32, 32)
        assert torch.allclose(model(image), prune(model, graph, half)(image), atol=1e-5)


class Awkward(nn.Module):
    """A user's module: an addition to the image, a shared layer, a concatenation, a head of its own."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3, padding=1)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16 * 4, 5)

    def forward(self, image):
        x = torch.relu(self.first(image + self.stem(image)))
        x = torch.relu(self.again(self.again(x)))
        x = self.norm(torch.cat([x, self.deep(x)], 1))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


def test_a_users_module_keeps_what_cannot_go():
    model = Awkward().eval()
    graph = graph_of(model, 8)
    assert "stem" not in {maker for group in graph.groups for maker in group.makers}  # it is added to the image
    assert [group.channels for group in graph.groups] == [8]
    smaller = prune(model, graph, random_kept(graph, (3,), 0))
    assert smaller(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    assert (smaller.deep.groups, smaller.head.in_features) == (3, 2 * 3 * 4)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5)), "no channels"),
        (lambda: nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, 8), nn.Flatten()), "attention"),
        (lambda: ModelSpec("shufflenet_v2_x1_0", size=32)(), "can't be followed"),
    ],
)
def test_what_cannot_shrink_is_one_message(model, words):
    with pytest.raises(InputError, match=words):
        graph_of(model().eval(), 8 if words != "can't be followed" else 32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 9))
def test_a_saved_network_comes_back_as_it_was(tmp_path_factory, seed, width):
    torch.manual_seed(seed)
    spec = ModelSpec("five-layer", width=width, channels=1, size=8)
    model = spec().eval()
    graph = graph_of(model, 8, 1)
    kept = random_kept(graph, random_widths(graph, seed), seed)
    smaller = prune(model, graph, kept)
    folder = tmp_path_factory.mktemp("saved")
    described = describe("small", spec, model, graph, kept, {"target": "edp=0.5x"})
    save_shrunk(folder, described, smaller.state_dict())
    image = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_shrunk(folder)(image), smaller(image))
    assert read_shrunk(folder) == described
    anew = described()  # the same layers, other weights
    assert {n: v.shape for n, v in anew.state_dict().items()} == {n: v.shape for n, v in smaller.state_dict().items()}
    assert not any(value.is_meta for value in anew.state_dict().values())


def saved(tmp_path):
    spec = ModelSpec("five-layer", width=4, channels=1, size=8)
    model = spec().eval()
    graph = graph_of(model, 8, 1)
    kept = random_kept(graph, (2, 4, 8, 8), 0)
    save_shrunk(tmp_path, describe("small", spec, model, graph, kept, {}), prune(model, graph, kept).state_dict())
    return json.loads((tmp_path / "network.json").read_text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not written by"),
        ({"layers": {"0": {"in": 1, "out": -3, "groups": 1}}}, "layers.0: 'out: -3' is no size of a layer"),
        ({"layers": {"nowhere": {"in": 1, "out": 3, "groups": 1}}}, "no layer 'nowhere'"),
        ({"layers": {"2": {"in": 1, "out": 3, "groups": 1}}}, "no channels to remove"),
        ({"layers": {}}, "has shape"),
        ({"model": {"name": "os:system"}}, "network of your own"),
        ({"model": 3}, "damaged"),
    ],
)
def test_damaged_and_hostile_descriptions_are_one_message(tmp_path, change, words):
    content = saved(tmp_path) | change
    (tmp_path / "network.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        load_shrunk(tmp_path)


@pytest.mark.parametrize("side", ["in", "groups", "out"])
def test_every_size_that_a_layer_needs_must_be_there(tmp_path, side):
    content = saved(tmp_path)
    path = next(path for path, size in content["layers"].items() if len(size) == 3)
    del content["layers"][path][side]
    (tmp_path / "network.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"network\.json: layers"):
        load_shrunk(tmp_path)


@pytest.mark.parametrize(("side", "value"), [("out", 10**6), ("in", 10**6), ("groups", 3)])
def test_sizes_that_a_layer_cannot_have_are_one_message(tmp_path, side, value):
    content = saved(tmp_path)
    path = next(path for path, size in content["layers"].items() if len(size) == 3)
    content["layers"][path][side] = value
    (tmp_path / "network.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"network\.json: layers.*the layer"):
        load_shrunk(tmp_path)


@pytest.mark.parametrize("how", ["compressed", "overlapping"])
def test_weights_that_unpack_to_more_than_they_hold_are_refused(tmp_path, how):
    saved(tmp_path)
    bomb = tmp_path / "weights.pt"
    if how == "compressed":
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data/0", bytes(10**6))
    else:
        with zipfile.ZipFile(bomb, "w") as archive:
            archive.writestr("archive/data/0", bytes(10**4))
            archive.filelist += archive.filelist * 100
    with pytest.raises(InputError, match="refused"):
        load_shrunk(tmp_path)


def test_a_missing_folder_is_one_message(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_shrunk(tmp_path / "nothing")


def test_widths_that_cannot_be_had_are_one_message():
    graph = graph_of(five_layer(4, 10, 1), 8, 1)
    order = [np.arange(each.blocks) for each in graph.groups]
    for widths in [(0, 8, 16, 16), (5, 8, 16, 16), (4, 8, 16)]:
        with pytest.raises(InputError):
            graph.kept(widths, order)
    blocked = replace(graph, groups=(ChannelGroup("a", 4, 2), *graph.groups[1:]))
    with pytest.raises(InputError, match="blocks of 2"):
        blocked.check((3, 8, 16, 16))


class Stubborn(nn.Module):
    """Every reason for which a layer keeps its channels, and one layer that does not."""

    def __init__(self):
        super().__init__()
        self.free = nn.Conv2d(1, 6, 3, padding=1)
        self.normed = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.LayerNorm([6, 8, 8])
        self.weighed = nn.Conv2d(6, 4, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(4, 1, 1))
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = self.norm(self.normed(self.free(x)))
        return self.head(self.weighed(x) * self.weight)


def test_what_keeps_its_channels_is_listed_with_the_reason():
    graph = channel_graph(Stubborn().eval(), (1, 1, 8, 8))
    assert [group.name for group in graph.groups] == ["free"]
    assert set(graph.left) == {"normed", "weighed", "head"}
    assert "'norm', a LayerNorm" in graph.left["normed"]
    assert "a weight that belongs to no layer" in graph.left["weighed"]
    assert graph.left["head"] == "they are the network's output"


def test_a_network_that_cannot_shrink_says_why():
    with pytest.raises(InputError, match=r"no channels that can be removed.*0: they are the network's output"):
        channel_graph(nn.Sequential(nn.Conv2d(1, 3, 3)).eval(), (1, 1, 8, 8))


class Largest(TorchDispatchMode):
    """Remembers the most elements that a tensor with memory had."""

    most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, torch.Tensor) and not each.is_meta:
                self.most = max(self.most, each.numel())
        return made


def test_a_network_takes_no_memory_for_what_it_was_cut_from(tmp_path):
    content = saved(tmp_path)
    content["model"]["width"] = 2000  # a file of 500 bytes would stand for 16 GB of weights
    (tmp_path / "network.json").write_text(json.dumps(content))
    with Largest() as seen:
        load_shrunk(tmp_path)
    assert 0 < seen.most <= 10**4
