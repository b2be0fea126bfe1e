"""Many runs: the same numbers in any number of processes, nothing lost when one of them is killed; the commands."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("sklearn", reason="needs the torch extra")
image_module = pytest.importorskip("PIL.Image", reason="needs the torch extra")


import dovetail  # noqa: E402
from accuracy_toys import SPEC  # noqa: E402
from dovetail.accuracy import checkpoint  # noqa: E402
from dovetail.accuracy.execution import Execution  # noqa: E402
from dovetail.accuracy.models import ModelSpec  # noqa: E402
from dovetail.accuracy.recipe import MODERN  # noqa: E402
from dovetail.accuracy.runs import DataRequest, RunRequest, WorkerError, _serve, run_all, summarise  # noqa: E402
from dovetail.api.schema import check  # noqa: E402
from dovetail.cli import progress  # noqa: E402
from dovetail.cli.main import main  # noqa: E402
from dovetail.errors import DovetailError, InputError  # noqa: E402

#: Eighteen steps on the plain digits.
SHORT = replace(MODERN, epochs=2, batch_size=128)
DIGITS = DataRequest("digits")
CPU = Execution(device="cpu", checkpoint_seconds=0.0)


def requests(out=None, seeds=2, recipe=SHORT, **options):
    spec = replace(SPEC, classes=10)
    return [RunRequest(spec, DIGITS, recipe, seed, out, CPU, **options) for seed in range(seeds)]


def numbers(results):
    return [result.to_dict() | {"seconds": 0, "checkpoint": None} for result in results]


@pytest.fixture(scope="module")
def alone():
    return run_all(requests(), processes=1)


@pytest.mark.slow
def test_killed_worker_is_one_message_and_nothing_is_lost(alone, tmp_path):
    """Two worker processes, both killed in the middle; then one process goes on, to the numbers of one alone."""
    outcome = []

    def work():
        try:
            run_all(requests(tmp_path), processes=2)
        except WorkerError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    while not any(tmp_path.glob("*/last.pt")):
        time.sleep(0.01)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    thread.join()
    assert outcome
    assert "goes on from the checkpoints" in outcome[0]
    assert multiprocessing.active_children() == []
    assert numbers(run_all(requests(tmp_path), processes=1)) == numbers(alone)


def test_error_in_a_worker_is_its_message(tmp_path):
    """What a worker process does, done by a thread: the same function over the same kind of pipe."""
    (request,) = requests(tmp_path, seeds=1)
    request.folder.mkdir()
    (request.folder / "last.pt").write_bytes(b"damaged")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    worker = threading.Thread(target=_serve, args=(theirs,))
    worker.start()
    for number, sent in ((7, request), (8, replace(request, data=None))):
        ours.send((number, sent))
        kind, answered, error = ours.recv()
        assert (kind, answered) == ("error", number)
        if sent is request:
            assert isinstance(error, DovetailError)
            assert "last.pt: not a checkpoint" in str(error)
        else:  # a mistake of ours, which has to be found
            assert "Traceback" in str(error)
    ours.close()
    worker.join()
    theirs.close()


def test_runs_do_not_share_a_folder(tmp_path):
    with pytest.raises(InputError, match="share one folder"):
        run_all([*requests(tmp_path), *requests(tmp_path)])


def test_summary_has_a_line_per_network(alone):
    wider = [replace(result, model_name="wider", test=0.5, validation=0.25) for result in alone]
    first, second = summarise([*alone, *wider])
    assert (first.model_name, second.model_name) == ("five-layer-2", "wider")
    assert first.seeds == (0, 1)
    assert first.test.mean == pytest.approx(np.mean([result.test for result in alone]))
    assert (second.test.low, second.test.high) == (0.5, 0.5)
    assert summarise([replace(alone[0], test=None)])[0].test is None


def test_tensorboard_is_written(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the logging extra")
    (request,) = requests(tmp_path, seeds=1, loggers=("tensorboard",))
    result = request.run(lambda event: None)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard" / request.label))
    events.Reload()
    written = [(scalar.step, scalar.value) for scalar in events.Scalars("validation_accuracy")]
    assert written == [(8 * epoch.number, pytest.approx(epoch.validation)) for epoch in result.epochs]


def test_unknown_logger_is_one_message(tmp_path):
    with pytest.raises(InputError, match="did you mean 'tensorboard'"):
        requests(tmp_path, seeds=1, loggers=("tensorbord",))[0].run(lambda event: None)


@pytest.mark.parametrize(
    ("terminal", "patience", "shown"), [(True, 0.0, True), (False, 0.0, False), (True, 60.0, False)]
)
def test_progress_is_for_terminals_and_long_work(monkeypatch, terminal, patience, shown):
    monkeypatch.setattr(progress, "PATIENCE", patience)
    file = StringIO()
    with progress.progress(Console(file=file, force_terminal=terminal, width=100)) as report:
        report(3, 12, "training")
        time.sleep(0.3)  # nothing more is reported
    assert ("training" in file.getvalue()) is shown


def run_command(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    return status, *capsys.readouterr()


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds child processes through /proc")
def test_killed_command_continues_to_the_same_result(capsys, tmp_path):
    """The command, with two worker processes, is killed like a job on a cluster; the workers end with it."""
    arguments = ["train", "five-layer-2", "--data", "digits", "--seeds", "2", "--epochs", "3", "--device", "cpu"]
    started = subprocess.Popen(
        [sys.executable, "-m", "dovetail.cli.main", *arguments, "--workers", "2", "--out", str(tmp_path / "killed")],
        stderr=subprocess.PIPE,
    )
    with started:
        while not any(tmp_path.glob("killed/*/last.pt")):
            time.sleep(0.01)
        workers = children(started.pid)
        started.kill()
    assert len(workers) >= 2
    deadline = time.monotonic() + 30
    while not all(map(gone, workers)):
        assert time.monotonic() < deadline, "workers outlived the command"
        time.sleep(0.05)
    results = []
    for folder in ("killed", "whole"):
        out = tmp_path / folder
        assert run_command(capsys, *arguments, "--workers", 1, "--out", out)[0] == 0
        results.append(json.loads((out / "result.json").read_text()))
        for run in results[-1]["runs"]:
            run |= {"seconds": 0, "checkpoint": None}
        for summary in results[-1]["summary"]:
            summary |= {"seconds_per_epoch": 0, "images_per_second": 0}
    assert results[0] == results[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder that `dovetail train` has filled."""
    out = tmp_path_factory.mktemp("trained")
    arguments = ["train", "five-layer", "--width", "2,3", "--data", "digits", "--epochs", "1", "--device", "cpu"]
    assert main([*arguments, "--workers", "1", "--out", str(out)]) == 0
    return out


def test_train_prints_a_line_per_network_and_writes_json(capsys, tmp_path):
    options = ("--epochs", 1, "--device", "cpu", "--workers", 1, "--out", tmp_path)
    status, out, err = run_command(capsys, "train", "five-layer", "--width", "3,2", "--data", "digits", *options)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert "scikit-learn" in lines[0]
    rows = [line.split() for line in lines if line.startswith("five-layer")]
    assert [row[0] for row in rows] == ["five-layer-2", "five-layer-3"]
    content = dovetail.load(tmp_path / "result.json")
    assert check(content, closed=True) == "training"
    found = {summary["network"]: summary["test"]["mean"] for summary in content["summary"]}
    assert {row[0]: float(row[4]) for row in rows} == {
        name: pytest.approx(100 * x, abs=0.01) for name, x in found.items()
    }
    assert content["recipe"]["epochs"] == 1


def test_json_is_one_object_on_stdout(capsys, tmp_path):
    options = ("--epochs", 1, "--device", "cpu", "--out", tmp_path, "--no-test", "--json")
    status, out, _ = run_command(capsys, "train", "five-layer-2", "--data", "digits", *options)
    assert status == 0
    assert check(json.loads(out), closed=True) == "training"
    assert json.loads(out)["runs"][0]["test"] is None


def test_accuracy_of_a_checkpoint_is_what_training_said(capsys, trained):
    run = json.loads((trained / "result.json").read_text())["runs"][0]
    for part in ("test", "validation"):
        status, out, _ = run_command(
            capsys, "accuracy", run["checkpoint"], "--split", part, "--device", "cpu", "--json"
        )
        assert status == 0
        assert check(json.loads(out), closed=True) == "accuracy"
        assert json.loads(out)["top1"]["accuracy"] == run[part]
    status, out, _ = run_command(capsys, "accuracy", run["checkpoint"], "--device", "cpu")
    assert re.search(rf"top-1 +{100 * run['test']:.2f} % +\(95 % interval", out)


def test_weights_file_for_a_model_by_name(capsys, trained, tmp_path):
    run = json.loads((trained / "result.json").read_text())["runs"][0]
    torch.save(checkpoint.load_weights(trained / f"{run['network']}-seed-0" / "best.pt"), tmp_path / "plain.pth")
    options = ("--data", "digits", "--weights", tmp_path / "plain.pth", "--device", "cpu", "--json")
    status, out, _ = run_command(capsys, "accuracy", run["network"], *options)
    assert status == 0
    assert json.loads(out)["top1"]["accuracy"] == run["test"]


def test_folder_of_images_from_end_to_end(capsys, tmp_path):
    for label, name in enumerate(("dark", "light")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(30):
            image_module.new("RGB", (12, 12), (200 * label + number,) * 3).save(
                tmp_path / f"images/{name}/{number}.png"
            )
    options = ("--device", "cpu", "--epochs", 4, "--batch-size", 8, "--out", tmp_path / "out")
    status, out, _ = run_command(capsys, "train", "five-layer-2", "--data", tmp_path / "images", *options)
    assert status == 0
    assert float(next(line for line in out.splitlines() if line.startswith("five-layer")).split()[4]) > 90.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "resnet17", "--data", "digits"], "no model 'resnet17', did you mean"),
        (["train", "five-layer", "--data", "digts"], "no data set 'digts', did you mean 'digits'"),
        (
            ["train", "five-layer", "--data", "digits", "--recipe", "sudy"],
            "unknown recipe 'sudy', did you mean 'study'",
        ),
        (["train", "five-layer", "--data", "digits", "--seeds", "0"], "--seeds is 0"),
        (["train", "five-layer", "--data", "digits", "--epochs", "0"], "epochs is 0"),
        (["train", "five-layer", "--data", "digits", "--threads", "0"], "threads is 0"),
        (["train", "five-layer", "--data", "digits", "--device", "gpu"], "device 'gpu' can't be used"),
        (["train", "five-layer", "--data", "digits", "--log", "tb"], "unknown logger 'tb'"),
        (["accuracy", "nowhere.pt", "--data", "digits"], "nowhere.pt: there is no such checkpoint"),
        (["accuracy", "resnet18"], "say which images with --data"),
        (["accuracy", "resnet18", "--data", "digits"], "resnet18 has no weights yet"),
        (["accuracy", "resnet18", "--data", "digits", "--weights", "DEFUALT"], "did you mean 'DEFAULT'"),
        (["accuracy", "resnet18", "--data", "digits", "--weights", "DEFAULT"], "1000 classes apart; the data has 10"),
        (["accuracy", "pyproject.toml"], "pyproject.toml: not a checkpoint"),
    ],
)
def test_bad_input_is_one_message(capsys, tmp_path, monkeypatch, arguments, message):
    options = ["--out", tmp_path / "out"] if arguments[0] == "train" else []
    status, out, err = run_command(capsys, *arguments, *options)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_request_names_its_folder():
    request = RunRequest(ModelSpec("package.module:factory"), DIGITS, SHORT, 3)
    assert request.label == "package.module.factory-seed-3"
    assert request.folder is None


def test_weights_and_biases_is_written(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the logging extra")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (request,) = requests(tmp_path, seeds=1, loggers=("wandb",))
    request.run(lambda event: None)
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
