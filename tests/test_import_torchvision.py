"""torchvision's models: published MACs, bundled tables as exported, import beside a CPU-only torch."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.errors import InputError
from dovetail.workload.loading import load_network
from dovetail.workload.torchvision_import import import_torchvision

pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("PIL", reason="needs the torch extra")
if importlib.util.find_spec("torchvision") is None:
    pytest.skip("needs the torch extra", allow_module_level=True)

from dovetail.workload.torch_models import image_factory
from dovetail.workload.torch_trace import trace

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import export_tables  # noqa: E402

models = import_torchvision("the tests").models
OTHER_TASKS = ("detection", "segmentation", "optical_flow")

#: Everything that six architectures of different style do beside convolutions and products: none of it multiplies
#: and accumulates.
FREE = {
    *("add", "avg_pool2d", "batch_norm", "cat", "clamp", "clamp_min", "constant", "constant_pad_nd", "copy", "div"),
    *("eq", "exp", "gelu", "index", "layer_norm", "linalg_vector_norm", "masked_fill", "max_pool2d", "max_pool3d"),
    *("mean", "mul", "ne", "new_zeros", "relu", "roll", "sigmoid", "silu", "softmax", "sub", "tanh", "zero"),
}


def classifiers():
    """Return, for each classifier and evaluation size, the published GMACs of its weights."""
    published: dict[tuple[str, int], set[float]] = {}
    for name in models.list_models():
        if any(task in models.get_model_builder(name).__module__ for task in OTHER_TASKS):
            continue
        for weights in models.get_model_weights(name):
            crop = weights.transforms.keywords["crop_size"]
            published.setdefault((name, crop if isinstance(crop, int) else crop[-1]), set()).add(weights.meta["_ops"])
    return published


def test_there_are_over_a_hundred_published_entries():
    assert len(classifiers()) > 100


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), classifiers())
def test_macs_are_the_published_ones(name, size):
    make, shape = image_factory(name, size)
    network = trace(make, shape)
    assert {round(network.macs / 1e9, 3)} == classifiers()[name, size]
    assert network.unmapped == ()


def test_nothing_computes_in_disguise():
    free = set()
    for name in ("swin_v2_t", "maxvit_t", "convnext_tiny", "mvit_v2_s", "shufflenet_v2_x0_5", "googlenet"):
        make, shape = image_factory(name)
        free |= {operation.name for operation in trace(make, shape).free}
    assert free == FREE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [(name, size) for name in export_tables.MODELS for size in export_tables.sizes(name)]
)
def test_bundled_tables_are_what_the_tool_exports(name, size):
    table = export_tables.TABLES / f"{name}@{size}.csv"
    assert table.read_text(encoding="utf-8") == export_tables.export(name, size)


def test_published_accuracies_are_what_the_tool_exports():
    exported = export_tables.export_accuracies()
    bundled = export_tables.ACCURACIES.read_text(encoding="utf-8")
    if bundled.splitlines()[0] != exported.splitlines()[0]:
        pytest.skip(f"the table is exported from another version: {bundled.splitlines()[0]}")
    assert bundled == exported


def test_no_table_is_left_over():
    expected = {f"{name}@{size}.csv" for name in export_tables.MODELS for size in export_tables.sizes(name)}
    assert {path.name for path in export_tables.TABLES.iterdir()} == expected


def test_models_without_a_table_are_traced():
    assert load_network("regnet_y_400mf", batch=2).macs == 2 * load_network("regnet_y_400mf").macs
    small = load_network("squeezenet1_1@32")
    assert small.layers[-1].problem.bound("M") == 10
    with pytest.raises(InputError, match="no network 'regnet_y_401mf', did you mean 'regnet_y_400mf'"):
        load_network("regnet_y_401mf")


@pytest.mark.parametrize(
    ("name", "hint"), [("C=64,M=64", "see `dovetail layers"), ("resnet 18", "did you mean 'resnet18'")]
)
def test_what_no_model_can_be_called_is_refused_before_thousands_of_names_are_loaded(name, hint, monkeypatch):
    monkeypatch.setattr("dovetail.workload.torch_models.import_torchvision", lambda _: pytest.fail("loaded"))
    with pytest.raises(InputError, match=hint):
        load_network(name)


def test_a_table_and_a_trace_agree_on_the_data_flow_aside():
    make, shape = image_factory("resnet18", 224)
    traced = trace(make, (4, *shape[1:]), name="resnet18")
    assert traced.layers == load_network("resnet18", batch=4).layers


@pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="needs the timm extra")
def test_timm_models_by_name():
    network = load_network("mixer_s32_224", batch=2)
    assert network.source.startswith("timm")
    assert network.batch == 2
    assert network.macs == 2 * load_network("mixer_s32_224").macs


def python(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)


def test_a_fresh_process_imports_torchvision_through_us():
    done = python(
        "import dovetail.workload.torchvision_import\n"
        "import torchvision\n"
        "from torchvision import datasets, models, transforms\n"
        "print(models.resnet18 is not None)\n"
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_spawned_worker_does_too():
    done = python(
        "import multiprocessing\n"
        "from dovetail.workload.loading import load_network\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(load_network, ('squeezenet1_1',)).macs)\n"
    )
    assert (done.returncode, done.stdout) == (0, f"{load_network('squeezenet1_1').macs}\n"), done.stderr


def test_operators_that_are_there_are_left_alone():
    done = python(
        "import torch\n"
        "from dovetail.workload import torchvision_import\n"
        "own = torch.library.Library('torchvision', 'FRAGMENT')\n"
        "for name, schema in torchvision_import._SCHEMAS.items():\n"
        "    own.define(schema)\n"
        "torchvision_import.import_torchvision('a test')\n"
        "print(len(torchvision_import._declared))\n"
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
