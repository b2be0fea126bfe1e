"""Narrow numbers: what is planned, calibrated, trained, kept, loaded again, written as ONNX and read back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("brevitas", reason="needs the quant extra")

from accuracy_toys import SPEC, TINY, squares  # noqa: E402
from dovetail.accuracy import checkpoint  # noqa: E402
from dovetail.accuracy.bits import make_plan, plan_bits, plan_label, plan_to_json, read_plan  # noqa: E402
from dovetail.accuracy.calibration import calibrated, least_error  # noqa: E402
from dovetail.accuracy.evaluation import evaluate  # noqa: E402
from dovetail.accuracy.execution import Execution  # noqa: E402
from dovetail.accuracy.models import five_layer, from_checkpoint  # noqa: E402
from dovetail.accuracy.narrowing import planned, start  # noqa: E402
from dovetail.accuracy.quantised import integers, narrow_layers, trainable  # noqa: E402
from dovetail.accuracy.recipe import QUANTISED  # noqa: E402
from dovetail.accuracy.training import train  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.workload.loading import load_network  # noqa: E402
from dovetail.workload.network import Network  # noqa: E402
from dovetail.workload.torch_trace import trace  # noqa: E402
from dovetail.workload.widths import parse_layer_bits  # noqa: E402

SHAPE = (1, 1, 8, 8)


@pytest.fixture(scope="module")
def data():
    return squares()


@pytest.fixture(scope="module")
def trained(data):
    return train(SPEC, data, replace(TINY, epochs=6), seed=1, test=False).model


def plan_of(model, *given):
    return make_plan(trace(model, SHAPE), [parse_layer_bits(each) for each in given], trainable(model))


class Branches(torch.nn.Module):
    """A residual block, a transposed and a depthwise convolution, a linear layer over many positions."""

    def __init__(self):
        super().__init__()
        self.one = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.two = torch.nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False)
        self.up = torch.nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.mix = torch.nn.Linear(16, 4)
        self.last = torch.nn.Linear(128, 4)

    def forward(self, images):
        first = self.one(images).relu()
        both = self.two(first) + first
        return self.last(self.mix(self.up(both)).flatten(1))


def test_the_last_word_on_a_tensor_stands_and_first_and_last_are_places():
    plan = plan_of(five_layer(2, 4), "weights=4,inputs=5", "first:8", "last:weights=6", "9:inputs=3")
    assert [(one.path, one.weights, one.inputs) for one in plan] == [
        ("0", 8, 8), ("3", 4, 5), ("6", 4, 5), ("9", 4, 3), ("14", 6, 5),
    ]  # fmt: skip
    assert plan_label(plan) == "w4-8a3-8"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("outputs=8", "outputs are as wide as the inputs"),
        ("weights=1", "2 to 8 bits"),
        ("9", "2 to 8 bits"),
        ("weights=4+16/128", "one per channel"),
        ("conv1:4", "no layer 'conv1'"),
    ],
)
def test_widths_that_are_not_trained_are_one_message(text, words):
    with pytest.raises(InputError, match=words):
        plan_of(five_layer(2, 4), text)


def test_a_product_without_weights_stays_as_it_is_unless_it_is_named():
    class Scores(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.key = torch.nn.Linear(8, 8)

        def forward(self, images):
            keys = self.key(images[:, 0])
            return (keys @ keys.transpose(1, 2)).flatten(1)

    model = Scores()
    assert [one.path for one in plan_of(model, "4")] == ["key"]
    with pytest.raises(InputError, match="cannot have narrow numbers"):
        plan_of(model, "matmul:4")


def test_plans_are_read_as_they_are_written(tmp_path):
    plan = plan_of(five_layer(2, 4), "weights=4", "first:inputs=8")
    assert read_plan(plan_to_json(plan), tmp_path) == plan
    for damage in ([], {"0": 4}, {"0": {"weights": 99, "inputs": 8, "signed": True}}):
        with pytest.raises(InputError, match="bits"):
            read_plan(damage, tmp_path / "best.pt")


@given(st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=30), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_a_threshold_is_no_worse_than_the_largest_value(values, bits):
    rows, most = torch.tensor([values]), 2 ** (bits - 1) - 1

    def error(threshold):
        scale = threshold / most
        return float((((rows / scale).round().clamp(-most, most) * scale) - rows).square().mean())

    top = rows.abs().max().clamp_min(1e-6)
    assert error(least_error(rows, -most, most)[0]) <= error(top) * (1 + 1e-5) + 1e-12


def test_weights_are_whole_numbers_times_a_scale_per_channel(trained, data):
    narrow, plan = calibrated(trained, plan_of(trained, "weights=3,inputs=4"), data, Execution())
    assert [one.signed for one in plan] == [True, False, False, False, False]
    assert narrow_layers(narrow) == {one.path: one for one in plan}
    for path, kept in integers(narrow).items():
        module = narrow.get_submodule(path)
        assert kept["integers"].abs().max() <= 3
        assert kept["scale"].numel() == len(module.weight)
        computed = module.quant_weight().value.detach()
        assert torch.allclose(computed, kept["integers"] * kept["scale"], rtol=1e-6, atol=0)
    assert not narrow_layers(trained)  # the network given stays as it is


def test_eight_bits_lose_nothing_to_speak_of_and_fewer_lose_more(trained, data):
    images, _ = next(data.validation.batches([np.arange(24)]))
    with torch.no_grad():
        exact = trained(images)
        errors = [
            float((calibrated(trained, plan_of(trained, str(bits)), data, Execution())[0](images) - exact).abs().mean())
            for bits in (8, 2)
        ]
    assert errors == sorted(errors)
    assert errors[0] < 0.05 * float(exact.abs().mean())


def test_a_narrow_network_is_trained_kept_and_loaded_again_to_the_same_accuracy(trained, data, tmp_path):
    plan, _ = planned(trained, data, [parse_layer_bits("weights=2,inputs=3")], "toy")
    begun = start(trained, SPEC, plan, data, tmp_path, Execution(), "toy")
    assert start(trained, SPEC, plan, data, tmp_path, Execution(), "toy") == begun
    recipe = replace(QUANTISED, epochs=2, batch_size=24, shift=1)
    result = train(begun.spec, data, recipe, out=tmp_path / "run", name=begun.spec.label)
    content = checkpoint.load(result.checkpoint)
    again = from_checkpoint(content, result.checkpoint)
    assert evaluate(again, data.test) == result.test
    assert result.model_name == "toy-w2a3"
    for path, kept in integers(again).items():
        assert torch.equal(kept["integers"], content["integers"][path]["integers"])
        assert kept["integers"].abs().max() <= 1
    fresh, moved = begun.spec(), 0.0
    for name, value in again.state_dict().items():
        moved += float((value.float() - fresh.state_dict()[name].float()).abs().sum())
    assert moved > 0


def test_training_on_goes_to_the_same_numbers_after_an_interruption(trained, data, tmp_path):
    plan, _ = planned(trained, data, [parse_layer_bits("3")], "toy")
    spec = start(trained, SPEC, plan, data, tmp_path, Execution(), "toy").spec
    recipe = replace(QUANTISED, epochs=2, batch_size=24)
    whole = train(spec, data, recipe, out=tmp_path / "whole")

    def strike(event):
        if event.epoch is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(spec, data, recipe, out=tmp_path / "cut", observers=[strike])
    again = train(spec, data, recipe, out=tmp_path / "cut")
    assert replace(again, seconds=0.0, checkpoint=None) == replace(whole, seconds=0.0, checkpoint=None)


def test_integers_that_are_not_the_weights_own_are_refused(trained, data, tmp_path):
    plan, _ = planned(trained, data, [parse_layer_bits("4")], "toy")
    spec = start(trained, SPEC, plan, data, tmp_path, Execution(), "toy").spec
    result = train(spec, data, replace(QUANTISED, epochs=1, batch_size=24), out=tmp_path / "run", test=False)
    content = checkpoint.load(result.checkpoint)
    content["integers"]["3"]["integers"][0, 0, 0, 0] += 1
    with pytest.raises(InputError, match="integers of '3'"):
        from_checkpoint(content, result.checkpoint)
    del content["integers"]
    with pytest.raises(InputError, match="integer weights"):
        from_checkpoint(content, result.checkpoint)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bits", [("8",), ("weights=3,inputs=5", "first:8", "last:weights=4"), ("weights=2",)])
@pytest.mark.parametrize("made", [lambda: five_layer(2, 4), Branches])
def test_the_onnx_file_computes_the_same_and_has_the_same_widths(made, bits, data, tmp_path):
    pytest.importorskip("onnx", reason="needs the onnx extra")
    from onnx.reference import ReferenceEvaluator

    from dovetail.accuracy.qdq import export

    torch.manual_seed(0)
    model = made().eval()
    narrow, plan = calibrated(model, plan_of(model, *bits), data, Execution())
    export(narrow, SHAPE, tmp_path / "net.onnx")
    images, _ = next(data.validation.batches([np.arange(1)]))
    with torch.no_grad():
        expected = narrow(images).numpy()
    (found,) = ReferenceEvaluator(str(tmp_path / "net.onnx")).run(None, {"images": images.numpy()})
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(np.abs(expected).max()))
    stated = trace(model, SHAPE).with_bits(plan_bits(plan)).with_read_outputs()
    assert widths_of(load_network(str(tmp_path / "net.onnx"))) == widths_of(stated)
    assert widths_of(trace(narrow, SHAPE)) == widths_of(stated)  # brevitas's own modules say as much


def widths_of(network: Network):
    return [(layer.name, layer.problem.bounds, layer.problem.bits_text) for layer in network.layers]


def test_a_network_in_floating_point_is_not_written_as_narrow(tmp_path):
    pytest.importorskip("onnx", reason="needs the onnx extra")
    from dovetail.accuracy.qdq import export

    with pytest.raises(InputError, match="no narrow numbers"):
        export(five_layer(2, 4), SHAPE, tmp_path / "net.onnx")
