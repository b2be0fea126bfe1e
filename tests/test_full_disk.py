"""A disk that is full: one message that says what is kept, nothing half written in the way, and on it goes later."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.cli.main import main
from dovetail.store import Store
from dovetail.workload.loading import load_network

TABLE = "name,C,M,P,Q\nstem,3,8,4,4\n"


@pytest.fixture
def disk(tmp_path):
    """A small disk of this test's own, and what changes its size."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(where)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield where
    subprocess.run(["umount", str(where)], check=True)


def resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(disk)], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """While this lasts, nothing more fits."""
    with (disk / "filling").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while stream.write(bytes(4096)):
            pass
    yield
    (disk / "filling").unlink()


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def message(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("dovetail: note: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "command",
    [
        ("compare", "{t}", "--on", "eyeriss_like", "--samples", "20", "--csv", "{o}"),
        ("report", "{t}", "--on", "eyeriss_like", "--no-front", "--time-limit", "1", "--html", "{o}"),
        ("map", "{t}:1", "--on", "eyeriss_like", "--samples", "20", "--certificate", "{o}"),
        ("map", "{t}:1", "--on", "eyeriss_like", "--samples", "20", "--save", "{o}"),
        ("layers", "{t}", "--yaml", "{o}"),
        ("components", "--on", "eyeriss_like", "--ert", "{o}"),
    ],
    ids=lambda command: f"{command[0]}{command[-2]}",
)
def test_an_output_that_does_not_fit_leaves_the_former_one(command, disk, tmp_path, capsys):
    (tmp_path / "t.csv").write_text(TABLE)
    out = disk / "out"
    out.write_text("the former one\n")
    words = [word.format(t=tmp_path / "t.csv", o=out) for word in command]
    with filled(disk):
        before = content(disk)
        assert main(words) == 2
        said = message(capsys)
        assert said.startswith("dovetail: error: ")
        assert "(No space left on device)" in said
        assert content(disk) == before
    resize(disk, 2000)
    assert main(words) == 0
    assert out.read_text() != "the former one\n"


def test_problems_that_did_not_all_fit_are_no_network(disk, capsys):
    assert main(["layers", "resnet18", "--timeloop", str(disk / "resnet18")]) == 2
    assert "(No space left on device)" in message(capsys)
    assert 0 < len(list((disk / "resnet18").glob("*.yaml"))) < 11
    assert main(["layers", str(disk / "resnet18")]) == 2
    assert "there is no such .yaml file beside it" in message(capsys)
    resize(disk, 2000)
    assert main(["layers", "resnet18", "--timeloop", str(disk / "resnet18")]) == 0
    assert load_network(str(disk / "resnet18")).macs == load_network("resnet18").macs
    assert all(not name.endswith(".partial") for name in content(disk))


def timeless(printed: str) -> object:
    """Return printed JSON without how long searches took."""
    return json.loads(printed, object_hook=lambda fields: {k: v for k, v in fields.items() if k != "seconds"})


def test_results_that_can_not_be_stored_are_printed_and_stored_later(disk, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setenv("DOVETAIL_CACHE", str(disk))
    (tmp_path / "t.csv").write_text(TABLE)
    command = ["compare", str(tmp_path / "t.csv"), "--on", "simple_weight_stationary", "--time-limit", "5", "--json"]
    with filled(disk):
        assert main(command) == 0
    printed = capsys.readouterr().out
    assert "results are not stored" in caplog.text
    resize(disk, 2000)
    assert main(command) == 0
    assert timeless(capsys.readouterr().out) == timeless(printed)
    with Store.open() as store:
        assert store.state().entries > 0


def test_training_goes_on_where_the_disk_was_full(disk, tmp_path, capsys):
    pytest.importorskip("torch")
    train = ["train", "five-layer", "--width", "4", "--seeds", "2", "--data", "digits", "--epochs", "1", "--device", "cpu",  # noqa: E501
             "--workers", "1", "--out"]  # fmt: skip
    resize(disk, 140)  # one network's checkpoints fit
    assert main([*train, str(disk / "runs")]) == 2
    said = message(capsys)
    assert "(No space left on device)" in said
    assert said.endswith("checkpoints are kept in " + str(disk / "runs") + ", the same command goes on from there")
    first = (disk / "runs" / "five-layer-4-seed-0" / "last.pt").read_bytes()
    assert all(not name.endswith(".partial") for name in content(disk))
    resize(disk, 4000)
    assert main([*train, str(disk / "runs")]) == 0
    assert (disk / "runs" / "five-layer-4-seed-0" / "last.pt").read_bytes() == first
    assert main([*train, str(tmp_path / "whole")]) == 0
    found, wanted = (json.loads((out / "result.json").read_text()) for out in (disk / "runs", tmp_path / "whole"))
    assert [run["validation"] for run in found["runs"]] == [run["validation"] for run in wanted["runs"]]


@pytest.mark.slow
def test_shrinking_goes_on_where_the_disk_was_full(disk, capsys, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("torch_pruning")
    out = disk / "out"
    shrink = ["shrink", "five-layer-2", "--on", "simple_weight_stationary", "--data", "digits", "--target", "edp=0.4x",
              "--epochs", "1", "--supernet-epochs", "1", "--candidates", "4", "--finalists", "1", "--workers", "1",
              "--device", "cpu", "--method", "uniform", "--no-reference", "--out", str(out)]  # fmt: skip
    for kilobytes in (40, 90, 130):
        resize(disk, kilobytes)
        assert main(shrink) == 2
        said = message(capsys)
        assert "(No space left on device)" in said
        assert said.endswith("the same command goes on from there")
        assert all(not name.endswith(".partial") for name in content(disk))
    done = {path: path.stat().st_mtime_ns for path in out.rglob("last.pt")}
    assert done
    resize(disk, 4000)
    assert main(shrink) == 0
    assert (out / "result-uniform.json").is_file()
    assert all(path.stat().st_mtime_ns == at for path, at in done.items())  # nothing is trained again
