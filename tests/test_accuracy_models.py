"""Networks by name: fitted to images and classes, and made from checkpoints without trusting them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("PIL", reason="needs the torch extra")

from accuracy_toys import SPEC, squares  # noqa: E402
from dovetail.accuracy.models import ModelSpec, five_layer, from_checkpoint, model_spec, parameters  # noqa: E402
from dovetail.accuracy.muon import Muon, orthogonalise  # noqa: E402
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, STUDY, Recipe, optimizers, recipe_named  # noqa: E402
from dovetail.errors import InputError  # noqa: E402


@pytest.mark.parametrize("size", [8, 32, 45])
def test_five_layers_of_the_widths_asked_for(size):
    network = five_layer(6, classes=7, channels=2)
    weights = [module.weight.shape[0] for module in network if hasattr(module, "weight") and module.weight.ndim > 1]
    assert weights == [6, 12, 24, 24, 7]
    assert network.eval()(torch.zeros(2, 2, size, size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "width", "label"), [("five-layer", None, "five-layer-16"), ("five-layer-4", None, "five-layer-4")]
)
def test_spec_fits_the_data(name, width, label):
    spec = model_spec(name, squares(), width=width)
    assert (spec.label, spec.classes, spec.channels, spec.size) == (label, 4, 1, 8)


#: Network -> (positions in the last map of a 32 x 32 image with the small stem, with ImageNet's).
MAPS = {"resnet18": (16, 1), "densenet121": (16, 1), "mobilenet_v2": (4, 1), "shufflenet_v2_x0_5": (16, 1)}


def positions(model, size):
    """Return how many positions the last four-axis activation of more than one channel has before pooling."""
    seen = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, output: seen.append(output.shape[-1] * output.shape[-2]))
    with torch.no_grad():
        model.eval()(torch.zeros(1, 1, size, size))
    return seen[-1]


@pytest.mark.parametrize("name", MAPS)
def test_small_images_keep_their_resolution(name):
    small, published = (ModelSpec(name, None, 10, 1, 32, stem)() for stem in ("auto", "imagenet"))
    assert (positions(small, 32), positions(published, 32)) == MAPS[name]


def test_large_images_keep_the_published_network():
    published = ModelSpec("resnet18", None, 1000, 3, 224)()
    assert parameters(published) == 11_689_512  # torchvision's own count
    assert published.conv1.kernel_size == (7, 7)


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "efficientnet_b0", "convnext_tiny", "googlenet"])
def test_other_families_take_small_images(name):
    with torch.device("meta"):
        model = ModelSpec(name, None, 10, 3, 32)()
    assert model.eval()(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_transformer_takes_the_image_size():
    with torch.device("meta"):
        model = ModelSpec("vit_b_16", None, 10, 3, 32)()
    assert model.eval()(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 10)
    with pytest.raises(InputError, match="vit_b_16 can't be built for 45 x 45 images"), torch.device("meta"):
        ModelSpec("vit_b_16", None, 10, 3, 45)()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model_spec("resnet17", squares()), "did you mean 'resnet"),
        (lambda: model_spec("resnet18", squares(), width=4), "only five-layer and small-vit have a width"),
        (lambda: model_spec("five-layer", squares(), width=0), "must be at least 1"),
        (lambda: model_spec("resnet18", squares(), stem="cifra"), "did you mean 'cifar'"),
        (lambda: ModelSpec("collections:OrderedDict")(), "must return a torch.nn.Module; it returned OrderedDict"),
    ],
)
def test_bad_names_are_one_message(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_users_own_network(tmp_path, monkeypatch):
    (tmp_path / "own_networks.py").write_text(
        "import torch\ndef tiny():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = model_spec("own_networks:tiny", squares())
    assert spec().eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 4)


def test_checkpoint_never_imports_what_it_names(tmp_path):
    content = {"model": SPEC.to_dict() | {"name": "os:abort", "width": None}, "model_name": "x", "weights": {}}
    with pytest.raises(InputError, match=r"best\.pt: holds weights of 'x', a network of your own"):
        from_checkpoint(content, tmp_path / "best.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("0.weight"), "the weights lack '0.weight'"),
        (lambda w: w.update(extra=torch.zeros(1)), "the weights hold 'extra'"),
        (
            lambda w: w.update({"0.weight": torch.zeros(3)}),
            r"'0.weight' has shape \(3,\) in the weights, \(2, 1, 3, 3\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_one_message(tmp_path, change, message):
    weights = dict(SPEC().state_dict())
    change(weights)
    with pytest.raises(InputError, match=message):
        from_checkpoint({"model": SPEC.to_dict(), "weights": weights}, tmp_path / "best.pt")


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_orthogonalised_matrix_has_singular_values_near_one(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    found = torch.diag(u.T @ orthogonalise(matrix) @ v.T)
    wide = s > 0.05 * s.max()  # the iteration lifts what is not tiny
    assert ((found[wide] > 0.3) & (found[wide] < 1.3)).all()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has no Muon of its own to compare with")
@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (40, 2, 1, 1)])
def test_step_is_torchs_on_the_flattened_weight(shape):
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.flatten(1).clone())
    muon = Muon([ours], lr=0.1, momentum=0.0)
    reference = torch.optim.Muon([theirs], lr=0.1, momentum=0.0, weight_decay=0.0)
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    ours.grad, theirs.grad = gradient, gradient.flatten(1)
    muon.step()
    reference.step()
    # torch's iterates in bfloat16, ours on a CPU in the weight's own type
    difference = (ours.detach().flatten(1) - theirs.detach()).norm() / (ours.detach() - start).norm()
    assert difference < 0.05


def test_every_weight_has_one_optimizer():
    model = ModelSpec("mobilenet_v2", None, 10, 3, 32)()
    for recipe in (MODERN, STUDY, FINE_TUNE, Recipe("x", 1, 1, "sgd", 0.1)):
        held = [id(w) for o in optimizers(model, recipe) for g in o.param_groups for w in g["params"]]
        assert sorted(held) == sorted(id(w) for w in model.parameters())
    muon = optimizers(model, MODERN)[0]
    shapes = [tuple(weight.shape) for group in muon.param_groups for weight in group["params"]]
    assert all(len(shape) == 4 and shape[1] > 1 for shape in shapes)  # dense convolutions, no depthwise ones
    assert len(shapes) == 35  # of MobileNetV2's 52 convolutions 17 are depthwise


@given(st.integers(1, 400), st.integers(1, 50), st.booleans())
def test_schedules_rise_then_fall_to_nothing(steps_per_epoch, epochs, cosine):
    recipe = Recipe("x", epochs, 1, "sgd", 0.1, schedule="cosine" if cosine else "linear", warm_up=0.2)
    steps = steps_per_epoch * epochs
    factors = [recipe.factor(step, steps, step // steps_per_epoch) for step in range(0, steps, max(1, steps // 50))]
    peak = factors.index(max(factors))
    assert all(0.0 < factor <= 1.0 for factor in factors)
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    if not cosine:
        assert recipe.factor(steps - 1, steps, epochs - 1) == pytest.approx(min(1.0, 1 / (0.8 * steps)), abs=1e-9)


def test_studys_recipe_is_the_studys():
    data = STUDY.prepare(squares())
    assert (data.train.mean, data.train.std) == ((0.5,), (0.5,))
    assert STUDY.steps_per_epoch(50_000) == 98
    assert MODERN.steps_per_epoch(50_000) == 1562
    reference = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=200)
    for epoch in range(200):
        assert 1e-3 * STUDY.factor(98 * epoch, 98 * 200, epoch) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6)
        reference.step()
        schedule.step()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"warm_up": 1.0}, "warm_up is 1.0"),
        ({"optimizer": "muom"}, "did you mean 'muon'"),
        ({"schedule": "cosinus"}, "did you mean 'cosine'"),
    ],
)
def test_bad_recipes_are_one_message(fields, message):
    with pytest.raises(InputError, match=message):
        Recipe(**{"name": "x", "epochs": 1, "batch_size": 1, "optimizer": "sgd", "learning_rate": 0.1} | fields)
    with pytest.raises(InputError, match="did you mean 'modern'"):
        recipe_named("moderm")
