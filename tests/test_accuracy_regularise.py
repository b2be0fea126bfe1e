"""Softened labels, mixed and cut images, mean weights, patience, and recipes from files."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the torch extra")

from accuracy_toys import SPEC, TINY, squares  # noqa: E402
from dovetail.accuracy.execution import Execution  # noqa: E402
from dovetail.accuracy.recipe import FINE_TUNE, MODERN, STUDY, Recipe, recipe_named  # noqa: E402
from dovetail.accuracy.regularise import averaged, changed, softened_loss  # noqa: E402
from dovetail.accuracy.training import train  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.errors import InputError  # noqa: E402

CPU = Execution(device="cpu")
ALL = replace(TINY, label_smoothing=0.1, mixup=0.4, cutout=3, mean_weights=0.9)


class StopHereError(Exception):
    """What a test stops a run with."""


@pytest.fixture(scope="module")
def data():
    return squares()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**31), st.integers(0, 50), st.floats(0.05, 5))
def test_mixed_images_and_cut_squares_are_what_they_say(size, seed, step, alpha):
    images, labels = torch.rand(6, 2, 8, 8) + 1, torch.arange(6)
    cut = changed(images, labels, replace(TINY, cutout=size), seed, step)
    gone = cut[0] == 0
    assert torch.equal(cut[0][~gone], images[~gone])
    assert torch.equal(gone[:, 0], gone[:, 1])
    assert int(gone[:, 0].sum((1, 2)).min()) >= 1
    assert int(gone[:, 0].sum((1, 2)).max()) <= min(size, 8) ** 2
    mixed, first, second, share = changed(images, labels, replace(TINY, mixup=alpha), seed, step)
    assert torch.equal(first, labels)
    assert torch.allclose(mixed, share * images + (1 - share) * images[second])
    again = changed(images, labels, replace(TINY, mixup=alpha), seed, step)
    assert torch.equal(again[0], mixed)
    assert again[3] == share


def test_the_loss_is_that_of_the_mixed_and_smoothed_labels():
    outputs, labels, others = torch.randn(5, 4), torch.arange(5) % 4, (torch.arange(5) + 1) % 4
    wanted = torch.full((5, 4), 0.1 / 4)
    wanted[range(5), labels] += 0.9 * 0.7
    wanted[range(5), others] += 0.9 * 0.3
    right = -(wanted * outputs.log_softmax(1)).sum(1).mean()
    assert torch.allclose(softened_loss(outputs, labels, others, 0.7, 0.1), right)


def test_mean_weights_follow_the_weights():
    mean = None
    for step in range(1, 400):
        weights = {"weight": torch.full((2,), float(step > 200)), "count": torch.tensor(step)}
        mean = averaged(mean, weights, 0.9, step)
    assert torch.allclose(mean["weight"], torch.ones(2), atol=1e-6)
    assert int(mean["count"]) == 399


def test_nothing_changes_where_nothing_is_asked_for(data):
    images, labels = torch.rand(4, 1, 8, 8), torch.arange(4)
    assert changed(images, labels, TINY, 0, 0)[0] is images
    for recipe in (MODERN, STUDY, FINE_TUNE):
        assert "mixup" not in recipe.to_dict()  # which runs from before it was there go on with


@pytest.mark.parametrize("step", [1, 5, 8])
def test_a_stopped_run_goes_on_to_the_same_weights(data, tmp_path, step):
    whole = train(SPEC, data, ALL, seed=3, execution=CPU)

    def stop(event):
        if event.step >= step:
            raise StopHereError

    every = Execution(device="cpu", checkpoint_seconds=0.0)
    with pytest.raises(StopHereError):
        train(SPEC, data, ALL, seed=3, out=tmp_path, execution=every, observers=[stop])
    rest = train(SPEC, data, ALL, seed=3, out=tmp_path, execution=CPU)
    assert rest.epochs == whole.epochs
    ours, theirs = rest.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_mean_weights_are_kept_and_training_goes_on_from_the_last(data):
    plain = train(SPEC, data, TINY, seed=3, execution=CPU)
    mean = train(SPEC, data, replace(TINY, mean_weights=0.9), seed=3, execution=CPU)
    assert [epoch.loss for epoch in mean.epochs] == [epoch.loss for epoch in plain.epochs]
    ours, theirs = mean.model.state_dict(), plain.model.state_dict()
    assert not all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("patience", "epochs"), [(0, 7), (1, 3), (2, 7), (3, 7)])
def test_patience_ends_a_training_that_no_longer_gains(data, monkeypatch, patience, epochs):
    found = iter([0.5, 0.6, 0.4, 0.6, 0.5, 0.7, 0.4, 0.3])  # of equals the latest is the best
    monkeypatch.setattr("dovetail.accuracy.training.evaluate", lambda *_, **__: next(found))
    result = train(SPEC, data, replace(TINY, epochs=7, patience=patience), execution=CPU, test=False)
    assert len(result.epochs) == epochs
    assert result.chosen_epoch == (2 if epochs == 3 else 6)


def test_a_recipe_from_a_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("from: study\noptimizer: sgd\nlearning_rate: 0.2\nlabel_smoothing: 0.1\ncutout: 4\nmirror: false\n")
    recipe = recipe_named(str(file))
    assert recipe == replace(
        STUDY, name="mine", optimizer="sgd", learning_rate=0.2, label_smoothing=0.1, cutout=4, mirror=False
    )
    assert {each.type for each in fields(Recipe)} <= {"str", "int", "float", "bool"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mixupp: 1", "mine.yaml:1: unknown key 'mixupp', did you mean 'mixup'?"),
        ("epochs: many", "mine.yaml:1: epochs: must be a number"),
        ("from: studdy", "mine.yaml:1: from: unknown recipe 'studdy', did you mean 'study'?"),
        ("epochs: 2\nlabel_smoothing: 1.0", "mine.yaml:2: label_smoothing: label_smoothing is 1.0; it must be"),
        ("optimizer: [sgd]", "mine.yaml:1: optimizer: must be text"),
        ("cutout: -1", "cutout is -1; it must be at least 0"),
    ],
)
def test_wrong_recipes_are_one_message(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        recipe_named(str(tmp_path / "mine.yaml"))
    assert words in str(caught.value)


def test_the_command_takes_a_recipe_and_options_over_it(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("epochs: 1\ncutout: 2\n")
    command = ["train", "five-layer-2", "--data", "digits", "--recipe", str(tmp_path / "mine.yaml"), "--mixup", "0.3"]
    assert main([*command, "--device", "cpu", "--workers", "1", "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"]["cutout"], found["recipe"]["mixup"], found["recipe"]["epochs"]) == (2, 0.3, 1)
    assert found["summary"][0]["images_per_second"] > 0
    assert np.isfinite(found["runs"][0]["epochs"][0]["loss"])
