"""Training: reproducible, continued bit for bit, choosing on validation images only."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the torch extra")

from accuracy_toys import SPEC, TINY, squares  # noqa: E402
from dovetail.accuracy import checkpoint  # noqa: E402
from dovetail.accuracy.evaluation import evaluate, top_accuracies  # noqa: E402
from dovetail.accuracy.execution import Execution  # noqa: E402
from dovetail.accuracy.recipe import STUDY  # noqa: E402
from dovetail.accuracy.training import DivergedError, fine_tune, train  # noqa: E402
from dovetail.errors import InputError  # noqa: E402
from dovetail.files import write_with  # noqa: E402

CPU = Execution(device="cpu")
EVERY_STEP = Execution(device="cpu", checkpoint_seconds=0.0)


class StopHereError(Exception):
    """What the tests stop a run with."""


def stop_after(step):
    def observe(event):
        if event.step >= step:
            raise StopHereError

    return observe


def same_weights(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def dropping_out():
    """A network that draws at random while it trains."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 4))


@pytest.fixture(scope="module")
def data():
    return squares()


@pytest.fixture(scope="module")
def whole(data):
    """A run that nothing interrupts."""
    return train(SPEC, data, TINY, seed=3, execution=CPU)


def test_learns(data):
    result = train(SPEC, data, replace(TINY, epochs=12), execution=CPU)
    assert result.test > 0.8
    assert result.epochs[-1].loss < 0.5 * result.epochs[0].loss
    assert (len(result.epochs), result.parameters) == (12, sum(w.numel() for w in result.model.parameters()))


def test_a_notebook_shows_the_epochs(whole):
    assert len(whole.table().rows) == len(whole.epochs)
    assert f"epoch {whole.chosen_epoch} kept" in whole._repr_html_()


def test_same_arguments_same_numbers(data, whole):
    again = train(SPEC, data, TINY, seed=3, execution=CPU)
    assert again.to_dict() | {"seconds": 0} == whole.to_dict() | {"seconds": 0}
    assert same_weights(again, whole)


def test_another_seed_other_numbers(data, whole):
    assert not same_weights(train(SPEC, data, TINY, seed=4, execution=CPU), whole)


def test_leaves_torch_as_it_was(data):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    train(SPEC, data, replace(TINY, epochs=1), seed=9, execution=CPU)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("factory", [SPEC, dropping_out])
@pytest.mark.parametrize("step", [1, 4, 7, 12])
def test_interrupted_run_continues_to_the_same_numbers(data, tmp_path, factory, step):
    whole = train(factory, data, TINY, seed=3, execution=CPU)
    with pytest.raises(StopHereError):
        train(factory, data, TINY, seed=3, out=tmp_path, execution=EVERY_STEP, observers=[stop_after(step)])
    steps = []
    rest = train(factory, data, TINY, seed=3, out=tmp_path, execution=CPU, observers=[lambda e: steps.append(e.step)])
    assert len(set(steps)) <= 12 - (step - 1)  # it did not start anew
    assert rest.epochs == whole.epochs
    assert (rest.test, rest.validation, rest.chosen_epoch) == (whole.test, whole.validation, whole.chosen_epoch)
    assert same_weights(rest, whole)


class Stopping:
    """A split that stops the run when its images are asked for."""

    def __init__(self, split):
        self.split, self.mean, self.std, self.labels = split, split.mean, split.std, split.labels

    def __len__(self):
        return len(self.split)

    def batches(self, *args):
        raise StopHereError


def test_interrupted_validation_is_done_again(data, whole, tmp_path):
    stopping = replace(data, validation=Stopping(data.validation))
    with pytest.raises(StopHereError):
        train(SPEC, stopping, TINY, seed=3, out=tmp_path, execution=EVERY_STEP)
    rest = train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU)
    assert rest.epochs == whole.epochs
    assert same_weights(rest, whole)


def test_interrupted_after_an_epoch(data, whole, tmp_path):
    def stop(event):
        if event.epoch is not None:
            raise StopHereError

    for _ in range(2):
        with pytest.raises(StopHereError):
            train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU, observers=[stop])
    rest = train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU)
    assert rest.epochs == whole.epochs
    assert same_weights(rest, whole)


@pytest.mark.parametrize("recipe", [replace(STUDY, epochs=3, batch_size=20), replace(TINY, optimizer="sgd")])
def test_other_optimizers_continue_too(data, tmp_path, recipe):
    whole = train(SPEC, data, recipe, execution=CPU)
    with pytest.raises(StopHereError):
        train(SPEC, data, recipe, out=tmp_path, execution=EVERY_STEP, observers=[stop_after(7)])
    assert same_weights(train(SPEC, data, recipe, out=tmp_path, execution=CPU), whole)


CHILD = """
import sys
from pathlib import Path
from accuracy_toys import SPEC, TINY, squares
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.training import train
train(SPEC, squares(), TINY, seed=3, out=Path(sys.argv[1]), execution=Execution("cpu", checkpoint_seconds=0.0),
      observers=[lambda event: print(event.step, flush=True)])
"""


@pytest.mark.slow
def test_killed_process_continues_to_the_same_numbers(data, whole, tmp_path):
    """SIGKILL in the middle of writing or training, whichever it is in just then."""
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd="tests"
    )
    with child:
        while int(child.stdout.readline()) < 6:
            pass
        child.kill()
    assert child.returncode == -9
    assert 0 < checkpoint.load(tmp_path / "last.pt")["step"] < 12
    rest = train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU)
    assert rest.to_dict() | {"seconds": 0, "checkpoint": None} == whole.to_dict() | {"seconds": 0}
    assert same_weights(rest, whole)


def test_finished_run_is_read_back(data, whole, tmp_path):
    train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU)
    events = []
    again = train(SPEC, data, TINY, seed=3, out=tmp_path, execution=CPU, observers=[events.append])
    assert events == []
    assert same_weights(again, whole)


def test_other_settings_are_not_continued(data, tmp_path):
    train(SPEC, data, replace(TINY, epochs=1), out=tmp_path, execution=CPU)
    with pytest.raises(InputError, match=r"last\.pt: this run was started with recipe\.epochs 1, not 2"):
        train(SPEC, data, replace(TINY, epochs=2), out=tmp_path, execution=CPU)
    with pytest.raises(InputError, match="seed 0, not 1"):
        train(SPEC, data, replace(TINY, epochs=1), seed=1, out=tmp_path, execution=CPU)


def test_one_process_a_folder(data, tmp_path):
    with checkpoint.sole_writer(tmp_path), pytest.raises(InputError, match="another process"):
        train(SPEC, data, TINY, out=tmp_path, execution=CPU)


def test_chosen_epoch_is_the_latest_of_the_best_on_validation(data, whole):
    best = max(epoch.validation for epoch in whole.epochs)
    assert whole.chosen_epoch == max(epoch.number for epoch in whole.epochs if epoch.validation == best)
    assert whole.validation == best == evaluate(whole.model, data.validation, execution=CPU)
    assert whole.test == evaluate(whole.model, data.test, execution=CPU)


def test_test_images_are_touched_once_and_only_if_asked(data):
    asked = []

    class Watched:
        def __getattr__(self, name):
            return getattr(data.test, name)

        def __len__(self):
            return len(data.test)

        def batches(self, *args):
            asked.append(args)
            return data.test.batches(*args)

    watched = replace(data, test=Watched())
    assert train(SPEC, watched, TINY, execution=CPU, test=False).test is None
    assert asked == []
    train(SPEC, watched, TINY, execution=CPU)
    assert len(asked) == 1


def test_fine_tuning_starts_from_the_weights_given_and_spares_them(data, whole):
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    barely = replace(TINY, epochs=1, learning_rate=1e-9, rest_learning_rate=1e-9, batch_size=96)
    tuned = fine_tune(whole.model, data, barely, seed=1, execution=CPU, test=False)
    assert tuned.test is None
    assert all(torch.equal(value, before[name]) for name, value in whole.model.state_dict().items())
    for name, weight in tuned.model.named_parameters():
        assert torch.allclose(weight, before[name], atol=1e-6)


def test_own_loss_is_used(data):
    calls = []

    def loss(model, images, labels):
        calls.append(images.shape)
        return torch.nn.functional.cross_entropy(model(images), labels)

    own = train(SPEC, data, TINY, seed=3, execution=CPU, loss=loss)
    assert calls == [(24, 1, 8, 8)] * 12
    assert same_weights(own, train(SPEC, data, TINY, seed=3, execution=CPU))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_and_continues(data, tmp_path, precision):
    execution = Execution(device="cpu", precision=precision, checkpoint_seconds=0.0)
    whole = train(SPEC, data, TINY, seed=3, execution=execution)
    assert all(weight.dtype == torch.float32 for weight in whole.model.parameters())
    assert whole.epochs[-1].loss < whole.epochs[0].loss
    with pytest.raises(StopHereError):
        train(SPEC, data, TINY, seed=3, out=tmp_path, execution=execution, observers=[stop_after(5)])
    assert same_weights(train(SPEC, data, TINY, seed=3, out=tmp_path, execution=execution), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_learns_and_continues(data, tmp_path):
    execution = Execution(device="cuda", checkpoint_seconds=0.0)
    whole = train(SPEC, data, replace(TINY, epochs=12), execution=execution)
    assert whole.test > 0.8
    with pytest.raises(StopHereError):
        train(SPEC, data, replace(TINY, epochs=12), out=tmp_path, execution=execution, observers=[stop_after(21)])
    rest = train(SPEC, data, replace(TINY, epochs=12), out=tmp_path, execution=execution)
    assert same_weights(rest, whole)


def test_layout_is_the_one_asked_for(data):
    channels_last = train(SPEC, data, replace(TINY, epochs=1), execution=CPU).model
    rows_last = train(SPEC, data, replace(TINY, epochs=1), execution=replace(CPU, channels_last=False)).model
    assert channels_last[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert rows_last[3].weight.is_contiguous()


def test_threads_do_not_depend_on_the_callers(data, whole):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert same_weights(train(SPEC, data, TINY, seed=3, execution=CPU), whole)
    finally:
        torch.set_num_threads(before)


def test_exploding_loss_is_one_message(data):
    with pytest.raises(DivergedError, match="lower the learning rate"):
        train(SPEC, data, replace(TINY, optimizer="sgd", learning_rate=1e6), execution=CPU)


def test_top_accuracies_grow_with_rank_and_leave_the_mode(data, whole):
    whole.model.train()
    found = top_accuracies(whole.model, data.test, (1, 2, 4), execution=CPU, batch_size=7)
    assert whole.model.training
    assert found[1] <= found[2] <= found[4] == 1.0
    assert found[1] == evaluate(whole.model, data.test, execution=CPU)
    whole.model.eval()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (torch.nn.Conv2d(3, 4, 3), r"can't take images of shape \(24, 1, 8, 8\)"),
        (torch.nn.Conv2d(1, 4, 3), r"must return a tensor \(24, classes\); it returned \(24, 4, 6, 6\)"),
        (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), "3 outputs but the data has 4 classes"),
    ],
)
def test_networks_that_do_not_fit_are_one_message(data, network, message):
    with pytest.raises(InputError, match=message):
        train(lambda: network, data, TINY, execution=CPU)
    with pytest.raises(InputError, match=message):
        evaluate(network, data.test, execution=CPU)


@pytest.mark.parametrize("field", [{"device": "cuda:77"}, {"device": "toaster"}])
def test_absent_devices_are_one_message(data, field):
    with pytest.raises(InputError, match=f"device '{field['device']}' can't be used"):
        train(SPEC, data, TINY, execution=Execution(**field))


def test_hostile_checkpoints_are_not_executed(tmp_path):
    import pickle

    class Hostile:
        def __reduce__(self):
            return (tmp_path.joinpath("executed").touch, ())

    for content in (Hostile(), {"format": checkpoint.FORMAT, "weights": Hostile()}):
        torch.save(content, tmp_path / "hostile.pt")
        with pytest.raises(InputError, match=r"hostile\.pt: not a checkpoint of tensors and plain values"):
            checkpoint.load(tmp_path / "hostile.pt")
        (tmp_path / "hostile.pt").write_bytes(pickle.dumps(content))
        with pytest.raises(InputError):
            checkpoint.load_weights(tmp_path / "hostile.pt")
    assert not (tmp_path / "executed").exists()


def test_damaged_checkpoints_are_one_message(data, tmp_path):
    train(SPEC, data, replace(TINY, epochs=1), out=tmp_path, execution=CPU)
    whole = (tmp_path / "last.pt").read_bytes()
    random = np.random.RandomState(0)
    for _ in range(30):
        (tmp_path / "last.pt").write_bytes(whole[: random.randint(len(whole))])
        with pytest.raises(InputError, match=r"last\.pt"):
            checkpoint.load(tmp_path / "last.pt")


@pytest.mark.parametrize(
    "text",
    ["", "[", "3", "null", "[1]", "{}", '{"test": "x"}', '{"test": null}', '{"test": NaN}', '{"test": Infinity}',
     '{"test": [1]}', '{"test": 1' + "0" * 400 + "}", '{"test": 1' + "0" * 5000 + "}", "[" * 9000, " " * 20_000 + "{}"],
    ids=range(15),
)  # fmt: skip
def test_damaged_figures_are_one_message(text, tmp_path):
    file = tmp_path / "test.json"
    assert checkpoint.read_figures(file, "test") is None
    checkpoint.write_json(file, {"test": 0.5})
    assert checkpoint.read_figures(file, "test") == [0.5]
    file.write_text(text)
    with pytest.raises(InputError, match=r"test\.json: damaged: expected test; delete it"):
        checkpoint.read_figures(file, "test")


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": 100},
        {"step": "4"},
        {"history": [3]},
        {"history": []},
        {"history": [{"number": 1}]},
        {"best": {}},
        {"best": {"0.weight": 3}},
        {"weights": {}},
        {"optimizers": []},
        {"optimizers": [{"state": {}}, {}]},
        {"scaler": None},
        {"run": {}},
        {"loss_sum": torch.zeros(3)},
    ],
)
def test_altered_checkpoints_are_one_message(data, tmp_path, change):
    with pytest.raises(StopHereError):
        train(SPEC, data, TINY, out=tmp_path, execution=EVERY_STEP, observers=[stop_after(7)])
    last = tmp_path / "last.pt"
    checkpoint.save(last, checkpoint.load(last) | change)
    with pytest.raises(InputError, match=r"last\.pt"):
        train(SPEC, data, TINY, out=tmp_path, execution=CPU)


def test_interrupted_writing_leaves_the_old_file(tmp_path):
    def fail(file):
        file.write(b"half")
        raise StopHereError

    checkpoint.write_json(tmp_path / "result.json", {"a": 1})
    with pytest.raises(StopHereError):
        write_with(tmp_path / "result.json", fail)
    assert (tmp_path / "result.json").read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize("channels", [3, 7, 12])
def test_strided_1x1_convolutions_of_few_channels_train_without_writing_astray(channels):
    """With channels last, oneDNN's gradient of these breaks the process's memory: the test would end with it."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(channels, 9, 1, 2, bias=False), torch.nn.Flatten())
    layout = Execution("cpu").training_format(model)
    model = model.to(memory_format=layout)
    images = torch.rand(32, channels, 8, 8)
    exact = torch.einsum("ncij,nmij->mc", images[:, :, ::2, ::2].double(), torch.ones(32, 9, 4, 4).double())
    for _ in range(20):
        model.zero_grad()
        model(images.contiguous(memory_format=layout)).sum().backward()
        assert torch.allclose(model[0].weight.grad[:, :, 0, 0].double(), exact, rtol=1e-4)


def test_only_networks_that_a_cpu_writes_astray_in_are_trained_with_channels_first():
    execution, wide = Execution("cpu"), torch.nn.Conv2d(64, 8, 1, 2)
    assert execution.training_format(wide) == torch.channels_last
    assert execution.training_format(wide, sliced=True) == torch.contiguous_format
    assert execution.training_format(torch.nn.Conv2d(4, 8, 3, 2)) == torch.channels_last
    assert execution.training_format(torch.nn.Conv2d(4, 8, 3, 2), sliced=True) == torch.contiguous_format  # 1x1 of it
    assert execution.training_format(torch.nn.Conv2d(4, 8, 3, 1), sliced=True) == torch.channels_last
    assert execution.training_format(torch.nn.Conv2d(64, 64, 1, 2, groups=8)) == torch.contiguous_format
