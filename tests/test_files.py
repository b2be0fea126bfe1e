"""Writing files: whole or not at all, where links lead, and never in the place of a device or a pipe."""

import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dovetail import files
from dovetail.cli.main import main
from dovetail.errors import WriteError

#: Major and minor numbers of private twins of /dev/null and /dev/full.
NULL, FULL = (1, 3), (1, 7)


def device(path: Path, numbers: tuple[int, int]) -> Path:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
        path.open("wb").close()
    except OSError:
        pytest.skip("no device nodes can be made here")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_with_its_rights_kept(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~files._umask()
    path.chmod(0o640)
    before = path.stat().st_ino
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != before, "it is another file, moved into place"
    assert names(tmp_path) == ["a.txt"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def half(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_with(path, half)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    folder = tmp_path / "far"
    folder.mkdir()
    link = tmp_path / "link"
    link.symlink_to("far/target")
    if there:
        (folder / "target").write_text("old")
    files.write_text(link, "new")
    assert link.is_symlink()
    assert (folder / "target").read_text() == "new"
    assert names(folder) == ["target"]


def test_devices_stay_devices(tmp_path):
    null, full, link = device(tmp_path / "null", NULL), device(tmp_path / "full", FULL), tmp_path / "link"
    link.symlink_to("null")
    for path in (null, link):
        files.prepare(path)
        files.write_text(path, "x")
    with pytest.raises(WriteError, match="No space left"):
        files.write_text(full, "x")
    for path in (null, full):
        assert stat.S_ISCHR(path.lstat().st_mode)
    assert names(tmp_path) == ["full", "link", "null"]


def test_a_pipe_is_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    files.write_text(pipe, "words")
    reader.join()
    assert read == ["words"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are Linux's")
@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_keeps_its_order(tmp_path, name, to_file):
    code = (
        "from pathlib import Path; from dovetail.files import write_text; "
        f"print('one'); write_text(Path({name!r}), 'two\\n'); print('three')"
    )
    command = [sys.executable, "-c", code]
    if to_file:
        with (tmp_path / "out").open("w") as stream:
            subprocess.run(command, stdout=stream, check=True)
        told = (tmp_path / "out").read_text()
    else:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "is a folder"),
        ("file/below", "Not a directory"),
        ("circle", "Too many levels"),
        ("x" * 300, "File name too long"),
        ("/proc/nowhere/file", "No such file"),
    ],
)
def test_what_cannot_be_written_is_one_message_beforehand(tmp_path, name, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(WriteError, match=said):
        files.prepare(tmp_path / name)


def test_missing_folders_are_made_for_all(tmp_path):
    files.prepare(tmp_path / "a" / "b" / "c.txt")
    assert (tmp_path / "a" / "b").is_dir()
    files.write_text(tmp_path / "d" / "e.txt", "x")
    assert (tmp_path / "d" / "e.txt").exists()


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path):
    path = tmp_path / "a.txt"
    code = (
        "import sys, time; from pathlib import Path; from dovetail.files import write_with\n"
        "def wait(stream):\n"
        "    stream.write(b'half'); stream.flush(); print('ready', flush=True); time.sleep(60)\n"
        "write_with(Path(sys.argv[1]), wait)"
    )
    for lives in (True, False):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout.readline()
        if not lives:
            writer.kill()
            writer.wait()
        (half,) = tmp_path.glob(".a.txt.*.partial")
        os.utime(half, (time.time() - 60,) * 2)
        files.write_text(path, "whole")
        assert half.exists() == lives
        writer.kill()
        writer.wait()
        writer.stdout.close()
        half.unlink(missing_ok=True)


OUTPUTS = [
    ("layers", "alexnet", "--csv"),
    ("layers", "alexnet", "--yaml"),
    ("components", "--on", "eyeriss_like", "--ert"),
    ("components", "--on", "eyeriss_like", "--art"),
    ("map", "alexnet:classifier.6", "--on", "simple_output_stationary", "--save"),
    ("map", "alexnet:classifier.6", "--on", "simple_output_stationary", "--certificate"),
]


@pytest.mark.parametrize("command", OUTPUTS, ids=lambda words: f"{words[0]} {words[-1]}")
def test_no_command_replaces_a_device_or_a_link(tmp_path, capsys, command):
    null, link = device(tmp_path / "null", NULL), tmp_path / "link"
    link.symlink_to("real")
    assert main([*command, str(null)]) == 0
    assert main([*command, str(link)]) == 0
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert link.is_symlink()
    assert (tmp_path / "real").stat().st_size > 0
    assert main([*command, str(device(tmp_path / "full", FULL))]) == 2
    assert "No space left" in capsys.readouterr().err
    assert names(tmp_path) == ["full", "link", "null", "real"]


def test_outputs_are_looked_at_before_the_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["compare", "no-such-network", "--on", "eyeriss_like", "--csv", str(tmp_path / "file" / "x")]) == 2
    assert "Not a directory" in capsys.readouterr().err
    same = str(tmp_path / "same")
    command = ["map", "no-such-network:1", "--on", "eyeriss_like", "--save", same, "--certificate", same]
    assert main(command) == 2
    assert "--save and --certificate would write the same file" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["map alexnet:1 --on eyeriss_like --save", "compare alexnet --on eyeriss_like --csv"])
def test_nothing_is_said_to_be_kept_before_the_work(tmp_path, monkeypatch, capsys, words):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "store"))
    assert main([*words.split(), str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"dovetail: error: {tmp_path}: is a folder; name a file\n"


@pytest.mark.parametrize("option", ["--save", "--certificate"])
def test_map_prints_its_answer_although_it_cannot_be_written(tmp_path, monkeypatch, capsys, option):
    monkeypatch.setenv("DOVETAIL_CACHE", "off")
    full = device(tmp_path / "full", (1, 7))
    words = ["map", "alexnet:1", "--on", "eyeriss_like", "--samples", "20"]
    assert main(words) == 0
    whole = capsys.readouterr().out
    assert main([*words, option, str(full)]) == 2
    out, err = capsys.readouterr()
    assert _timeless(out) == _timeless(whole)
    said = [line for line in err.splitlines() if not line.startswith("dovetail: note: ")]
    assert said == [f"dovetail: error: {full}: cannot be written (No space left on device); the result is printed"]


def _timeless(text: str) -> str:
    return re.sub(r"in \S+ s;", "", text)


@pytest.mark.parametrize(
    "words",
    [
        "map alexnet:1 --on eyeriss_like --samples 20 --save",
        "compare alexnet@32 --on eyeriss_like --samples 2 --csv",
        "layers alexnet --yaml",
        "components --on eyeriss_like --ert",
    ],
    ids=lambda words: words.split()[0],
)
def test_a_file_on_standard_output_is_alone_there(tmp_path, monkeypatch, capsys, words):
    """What a person reads goes to stderr then, so that the file can be piped on."""
    monkeypatch.setenv("DOVETAIL_CACHE", "off")
    assert main([*words.split(), str(tmp_path / "file")]) == 0
    printed, _ = capsys.readouterr()
    assert main([*words.split(), "-"]) == 0
    out, err = capsys.readouterr()
    assert out == (tmp_path / "file").read_text(encoding="utf-8")
    assert _timeless(printed) in _timeless(err)
