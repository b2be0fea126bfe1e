"""The store: what goes in comes out, through damage, contention, sudden death and disks that cannot be written."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.content import content_key
from dovetail.store import Store, Verification, cache_folder

WRITER = """
import sys
from pathlib import Path
from dovetail.store import Store
store = Store.open(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    key = f"{sys.argv[2]}-{number}"
    store.put_many({key: [key] * 50, key + "-twin": number})
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite3"


def set_aside(path):
    damaged = [entry for entry in path.parent.iterdir() if ".damaged-" in entry.name]
    return [entry for entry in damaged if not entry.name.endswith(("-wal", "-shm"))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(values=st.dictionaries(st.text(max_size=5).filter(lambda key: "\0" not in key), json_values, max_size=5))
def test_what_is_put_is_got(values):
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "r.sqlite3") as store:
        store.put_many(values)
        assert store.get_many([*values, "absent-key"]) == values
        for key, value in values.items():
            assert store.get(key) == value


def test_values_outlive_the_process_that_put_them(path):
    with Store.open(path) as store:
        store.put("key", {"cycles": 12})
        store.put("key", {"cycles": 13})
    with Store.open(path) as store:
        assert store.get("key") == {"cycles": 13}
        assert store.get("other") is None
        assert store.state().entries == 1
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["results.sqlite3"]


def test_many_keys_at_once(path):
    with Store.open(path) as store:
        store.put_many({f"k{number}": number for number in range(2000)})
        assert store.get_many(f"k{number}" for number in range(0, 4000, 2)) == {
            f"k{number}": number for number in range(0, 2000, 2)
        }


def test_what_json_cannot_hold_is_refused_before_anything_is_written(path):
    with Store.open(path) as store:
        with pytest.raises(TypeError):
            store.put_many({"good": 1, "bad": object()})
        assert store.state().entries == 0


def test_clear_and_state(path):
    with Store.open(path) as store:
        store.put_many({"a": 1, "b": 2})
        state = store.state()
        assert (state.path, state.entries, state.set_aside) == (path, 2, ())
        assert state.size_bytes > 0
        assert state.oldest == state.newest
        assert store.clear() == 2
        assert store.state().entries == 0
        assert store.get("a") is None


def test_a_store_that_is_off_finds_and_keeps_nothing(monkeypatch, caplog):
    monkeypatch.setenv("DOVETAIL_CACHE", "off")
    for store in (Store.disabled(), Store.open()):
        store.put("a", 1)
        assert store.get("a") is None
        assert store.state().path is None
        assert store.verify().checked == store.clear() == 0
    assert not caplog.records


# --- damage ---------------------------------------------------------------------------------------------------------


def damage_by_garbage(path):
    path.write_bytes(b"this is not a database at all" * 200)


def damage_by_truncation(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])


def damage_in_the_header(path):
    raw = bytearray(path.read_bytes())
    raw[:100] = os.urandom(100)
    path.write_bytes(raw)


def damage_by_another_table(path):
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE results (name TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage", [damage_by_garbage, damage_by_truncation, damage_in_the_header, damage_by_another_table]
)
def test_a_damaged_file_is_set_aside_and_begun_anew(path, damage, caplog):
    with Store.open(path) as store:
        store.put_many({f"k{number}": os.urandom(200).hex() for number in range(500)})
    damage(path)
    damaged = path.read_bytes()
    with Store.open(path) as store:
        store.verify()
        assert store.get_many([f"k{number}" for number in range(500)]) == {}
        store.put("new", 1)
        assert store.get("new") == 1
        (moved,) = set_aside(path)
        if damage is not damage_by_another_table:  # a sound file, so that opening it stamped its header
            assert moved.read_bytes() == damaged
        assert moved in store.state().set_aside
    with Store.open(path) as store:
        assert store.get("new") == 1
        assert store.clear() == 1
        assert store.state().set_aside == ()
        store.put("newer", 2)
    with Store.open(path) as store:
        assert store.get("newer") == 2
    (warning,) = caplog.records
    assert "damaged" in warning.getMessage()
    assert "\n" not in warning.getMessage()


def test_a_value_that_rotted_is_noticed_and_removed(path):
    with Store.open(path) as store:
        store.put_many({"a": "A" * 100, "b": "B" * 100, "c": "C" * 100})
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE results SET value = substr(value, 1, 10) || x'00' || substr(value, 12) WHERE key = x'61'"
    )
    connection.execute("UPDATE results SET value = (SELECT value FROM results WHERE key = x'63') WHERE key = x'62'")
    connection.commit()
    connection.close()
    with Store.open(path) as store:
        assert store.get("a") is None
        assert store.state().entries == 2
        found = store.verify()
        assert (found.checked, found.removed, found.set_aside) == (2, 1, None)
        assert store.get_many("abc") == {"c": "C" * 100}


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_anywhere_never_give_a_wrong_value(path, seed):
    rng = random.Random(seed)
    values = {f"k{number}": f"{number:040d}" for number in range(300)}
    with Store.open(path) as store:
        store.put_many(values)
    raw = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 10, 300])):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    path.write_bytes(raw)
    with Store.open(path) as store:
        for key, value in store.get_many(values).items():
            assert value == values[key]
        store.verify()
        store.put("new", 1)
        assert store.get("new") == 1


# --- several processes ----------------------------------------------------------------------------------------------


def start_writer(path, name, count):
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_write_at_once(path):
    writers = [start_writer(path, f"w{number}", 30) for number in range(4)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert (writer.returncode, errors) == (0, "")
    with Store.open(path) as store:
        assert store.state().entries == 4 * 30 * 2
        assert store.verify().removed == 0
        assert store.get("w3-29") == ["w3-29"] * 50


def test_kill_9_loses_nothing_that_was_put(path):
    done = {}
    for round_number in range(3):
        names = [f"r{round_number}w{number}" for number in range(2)]
        writers = {name: start_writer(path, name, 10**6) for name in names}
        for writer in writers.values():
            writer.stdout.readline()
        time.sleep(0.05 + 0.1 * round_number)
        for writer in writers.values():
            writer.send_signal(signal.SIGKILL)
        for name, writer in writers.items():
            output, errors = writer.communicate(timeout=30)
            assert errors == ""
            done[name] = output.count("\n") + 1
    with Store.open(path) as store:
        assert store.verify().set_aside is None
        for name, count in done.items():
            keys = [f"{name}-{number}" for number in range(count)]
            assert store.get_many(keys) == {key: [key] * 50 for key in keys}
        entries = store._run(lambda db: [row[0].decode() for row in db.execute("SELECT key FROM results")], [])
        assert {key.removesuffix("-twin") for key in entries} == {key for key in entries if not key.endswith("-twin")}


def test_processes_that_find_the_same_damage_set_it_aside_once(path):
    with Store.open(path) as store:
        store.put("old", 1)
    damage_by_garbage(path)
    writers = [start_writer(path, f"w{number}", 10) for number in range(4)]
    warnings = []
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0
        warnings += errors.splitlines()
    assert len(set_aside(path)) == len(warnings) == 1
    with Store.open(path) as store:
        assert store.state().entries == 4 * 10 * 2


def test_a_file_set_aside_before_it_is_first_opened_is_not_begun_again(path):
    """Another process sets the file aside between the moment that this one looks up its name and its first use."""
    with Store.open(path) as store:
        store.put("old", 1)
    late = Store(path)  # its name, not yet the file
    damage_by_garbage(path)
    with Store.open(path) as store:
        store.put("new", 2)
    late.put("late", 3)
    late.close()
    with Store.open(path) as store:
        assert store.get_many(["new", "late"]) == {"new": 2, "late": 3}
    assert not path.exists()


def test_a_store_crosses_a_fork(path):
    with Store.open(path) as store:
        store.put("parent", 1)
        context = multiprocessing.get_context("fork")

        def work():
            store.put("child", store.get("parent") + 1)

        child = context.Process(target=work)
        child.start()
        child.join(30)
        assert child.exitcode == 0
        assert store.get("child") == 2
        assert store.get("parent") == 1


# --- disks that cannot be written -----------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_means_no_store_and_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    with Store.open(tmp_path / "file" / "results.sqlite3") as store:
        store.put("a", 1)
        store.put("b", 1)
        assert store.get("a") is None
        assert store.state().path is None
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage().startswith("results are not stored: ")


def test_warnings_do_not_act_on_a_terminal_whatever_the_path_is_called(tmp_path, caplog):
    folder = tmp_path / "\x1b[31m\nforged"
    (tmp_path / "\x1b]0;file").write_text("not a folder")
    with Store.open(tmp_path / "\x1b]0;file" / "results.sqlite3") as store:
        store.put("a", 1)
    folder.mkdir()
    with Store.open(folder / "results.sqlite3") as store:
        store.put("a", 1)
    with sqlite3.connect(folder / "results.sqlite3") as connection:
        connection.execute("UPDATE results SET value = x'00'")
    connection.close()
    with Store.open(folder / "results.sqlite3") as store:
        assert store.get("a") is None
    (folder / "results.sqlite3").write_bytes(b"rubbish" * 2000)
    with Store.open(folder / "results.sqlite3") as store:
        assert store.get("a") is None
    assert len(caplog.messages) == 3
    assert all(message.isprintable() for message in caplog.messages), caplog.messages


def in_a_process(work):
    """Run ``work(report)`` in a forked process of its own, as another user if this is root; return what it reports."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def body():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        sender.send(work())

    child = context.Process(target=body)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    return receiver.recv()


@pytest.fixture
def open_folder():
    """A folder that any user may enter (pytest's own are for one user only)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_read_only_store_is_read_but_not_written(open_folder):
    path = open_folder / "results.sqlite3"
    with Store.open(path) as store:
        store.put("a", 1)
    path.chmod(0o444)
    open_folder.chmod(0o555)

    def work():
        messages = []
        logging.getLogger("dovetail.store").addFilter(lambda record: messages.append(record.getMessage()) or False)
        with Store.open(path) as store:
            store.put("b", 2)
            store.put("c", 3)
            return store.get("a"), store.get("b"), messages

    found, missing, messages = in_a_process(work)
    assert (found, missing) == (1, None)
    (message,) = messages
    assert "results are not stored" in message
    assert "readonly" in message


def test_a_full_disk_means_no_store_and_one_warning(open_folder):
    path = open_folder / "results.sqlite3"

    def work():
        messages = []
        logging.getLogger("dovetail.store").addFilter(lambda record: messages.append(record.getMessage()) or False)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Store.open(path) as store:
            store.put("a", 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
            for number in range(5):
                store.put(f"large{number}", os.urandom(200_000).hex())
            return store.get("a"), store.get("large0"), len(messages)

    assert in_a_process(work) == (1, None, 1)
    with Store.open(path) as store:
        assert store.get("a") == 1
        assert store.verify().set_aside is None


# --- where it lies --------------------------------------------------------------------------------------------------


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOVETAIL_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "dovetail"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert cache_folder() == tmp_path / ".cache" / "dovetail"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "dovetail"
    monkeypatch.setenv("DOVETAIL_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    with Store.open() as store:
        store.put("a", 1)
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["results-v2.sqlite3"]
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("DOVETAIL_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "Library" / "Caches" / "dovetail"


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("writable", [True, False])
def test_a_flipped_bit_is_noticed_and_never_believed(tmp_path, monkeypatch, caplog, writable):
    """Wherever it is: what is asked for is right or gone, and gone never without a word."""
    values = {content_key(i): {"numbers": [i] * (7 * i % 50), "text": "q" * i} for i in range(40)}
    whole = tmp_path / "whole.sqlite3"
    with Store.open(whole) as store:
        for key, value in values.items():
            store.put(key, value)
    with contextlib.closing(sqlite3.connect(whole)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = whole.read_bytes()
    if not writable:
        monkeypatch.setattr(os, "access", lambda *_: False)
    drawn = random.Random(5)
    lost = 0
    for number in range(250):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "store.sqlite3"
        path.write_bytes(flipped(data, drawn.randrange(len(data) * 8)))
        caplog.clear()
        with Store.open(path) as store:
            found = store.get_many(values)
            store.state()
        assert all(value == values[key] for key, value in found.items())
        if len(found) < len(values):
            lost += 1
            assert caplog.messages, "results vanished without a word"
    assert lost > 20


def test_the_census_follows_every_change(tmp_path):
    path = tmp_path / "store.sqlite3"
    with Store.open(path) as store:
        store.put_many({"a": 1, "b": 2, "c": 3})
        store.put("a", 4)
        store.put_many({})
        assert store.get("absent") is None
        assert store.verify().set_aside is None
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE results SET value = 'x' WHERE key = ?", (b"b",))
        assert store.get("b") is None
        assert store.verify() == Verification(2, 0, None)
        assert store.clear() == 2
        store.put("d", 1)
        assert store.verify() == Verification(1, 0, None)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM results")
        assert store.verify().set_aside is not None


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs"])
def test_machines_that_share_a_folder_keep_a_file_each(tmp_path, monkeypatch, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"rootfs / ext4 rw 0 0\nserver:/home {tmp_path}/home {kind} rw 0 0\n")
    real = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **how: real(mounts if str(self) == "/proc/self/mounts" else self, **how)
    )
    for folder, own in (("home", True), ("local", False)):
        monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / folder / "cache"))
        for host in ("one", "two.example"):
            monkeypatch.setattr("platform.node", lambda host=host: host)
            with Store.open() as store:
                assert store.get("a") is None or not own
                store.put("a", host)
        names = sorted(path.name for path in (tmp_path / folder / "cache").iterdir() if path.suffix == ".sqlite3")
        assert names == (
            ["results-v2.one.sqlite3", "results-v2.two_example.sqlite3"] if own else ["results-v2.sqlite3"]
        )


def test_times_that_cannot_be_do_no_harm(tmp_path):
    path = tmp_path / "store.sqlite3"
    with Store.open(path) as store:
        store.put("a", 1)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE results SET stored = 1e300")
        assert store.state().newest is None
        assert store.get("a") == 1


def test_what_is_mounted_is_read_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path))
    monkeypatch.setattr("dovetail.store._is_shared", lambda folder: bool(asked.append(folder)))
    with Store.open() as store:
        store.put("a", 1)
        assert store.get("a") == 1
    assert asked == [tmp_path]
