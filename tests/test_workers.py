"""Worker processes: nothing in the working folder runs in them, what they print is no answer, none stays behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dovetail.errors import CapacityError, DovetailError, InputError, InternalError, MissingExtraError
from dovetail.executors import executor_for
from dovetail.workers import InlineExecutor, WorkerError, WorkerExecutor, run_all

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")

#: Names of modules that Python, NumPy and we import; one of each kind.
IN_THE_WAY = ("queue", "pickle", "numpy", "signal", "threading", "yaml", "multiprocessing", "random", "dovetail")


def talk(number: int) -> int:
    """Print, read, and have others print, as a careless function does."""
    print("words on standard output", number)  # noqa: T201
    os.write(1, b"\0" * 100)
    subprocess.run(["echo", "from a child"], check=True)
    assert sys.stdin.read() == ""
    return number * number


def fail(number: int) -> int:
    """Be killed, run out of memory, or return."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        raise MemoryError
    return number


def sleep(_number: int) -> None:
    """Stay at work without a look at anything."""
    time.sleep(600)


def test_printing_and_reading_do_no_harm(capfd):
    with WorkerExecutor(2) as executor:
        found = dict(run_all(talk, [(number,) for number in range(6)], executor))
    assert found == {number: number * number for number in range(6)}
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_what_ran_out_of_memory_is_named_and_the_rest_is_done(workers):
    done = []
    calls = [(number,) for number in (0, 2, 3, 4)] + [(1,)] * (workers > 1)
    names = ["zero", "two", "three", "four", "one"][: len(calls)]
    with executor_for(len(calls), workers) as executor, pytest.raises(WorkerError) as told:
        for place, _ in run_all(fail, calls, executor, names=names):
            done.append(names[place])
    assert sorted(done) == ["four", "three", "zero"]
    assert "two (out of memory)" in str(told.value)
    assert ("one (its worker process was killed, SIGKILL, perhaps for lack of memory)" in str(told.value)) == (
        workers > 1
    )


def test_nothing_in_the_working_folder_runs_or_is_in_the_way(tmp_path):
    for name in IN_THE_WAY:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'RAN')!r}, 'a').write({name!r})\nraise SystemExit(3)\n"
        )
    code = (
        "import sys; sys.path.remove('') if '' in sys.path else None\n"
        "from dovetail.workers import WorkerExecutor\n"
        "with WorkerExecutor(2) as executor:\n"
        "    print(list(executor.map(len, ['a', 'bb', 'ccc'])))"
    )
    run = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.stdout == "[1, 2, 3]\n", run.stderr
    assert not (tmp_path / "RAN").exists()


def test_what_prints_while_python_starts_is_no_answer(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('hello from the site', flush=True)\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    code = "from dovetail.workers import WorkerExecutor; print(list(WorkerExecutor(2).map(len, ['a', 'bb'])))"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert run.stdout == "hello from the site\n[1, 2]\n", run.stderr


def children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found += [int(folder.name), *children(int(folder.name))]
    return found


def gone(pid: int) -> bool:
    """Whether a process has ended with all its threads; the first may be a zombie while others still end."""
    try:
        is_zombie = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        return is_zombie and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    except OSError:
        return True


def refuse(kind: str) -> None:
    """Raise what we raise on purpose, or something that is a bug."""
    raise {
        "capacity": CapacityError("buffer", {"Weights": 9}, 8),
        "extra": MissingExtraError("plots", "png"),
        "internal": InternalError("1 is 2"),
        "input": InputError("no word", file="a.yaml", line=3, key="b"),
        "bug": ZeroDivisionError("a bug"),
    }[kind]


@pytest.mark.parametrize("kind", ["capacity", "extra", "internal", "input"])
def test_what_is_raised_on_purpose_comes_back_as_it_is(kind):
    with pytest.raises(DovetailError) as here:
        refuse(kind)
    with WorkerExecutor(1) as executor:
        there = executor.submit(refuse, kind).exception()
    assert type(there) is here.type
    assert (str(there), vars(there)) == (str(here.value), vars(here.value))


def make_lambda() -> object:
    """Return what cannot be pickled."""
    return lambda: None


def test_a_bug_and_what_cannot_be_pickled_are_told_and_harm_nobody():
    with WorkerExecutor(1) as executor:
        assert "ZeroDivisionError: a bug" in str(executor.submit(refuse, kind="bug").exception())
        assert "make_lambda" in str(executor.submit(abs, make_lambda()).exception())
        assert "pickle" in str(executor.submit(make_lambda).exception())
        assert executor.submit(abs, -1).result() == 1


def test_a_worker_that_dies_while_it_has_nothing_to_do_is_replaced():
    with WorkerExecutor(1) as executor:
        first = executor.submit(os.getpid).result()
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not gone(first):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert executor.submit(os.getpid).result() != first


def test_no_more_processes_than_were_asked_for_and_none_after_the_end():
    with WorkerExecutor(2) as executor:
        pids = set(executor.map(slow_pid, range(6)))
        assert 1 <= len(pids) <= 2
    assert all(map(gone, pids))
    with pytest.raises(RuntimeError, match="after the shutdown"):
        executor.submit(abs, -1)
    with pytest.raises(ValueError, match="at least 1"):
        WorkerExecutor(0)


def slow_pid(_number: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def test_an_executor_that_nobody_holds_any_more_ends_its_workers():
    pid = WorkerExecutor(1).submit(os.getpid).result(timeout=60)
    deadline = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_calls_not_begun_can_be_cancelled():
    executor = WorkerExecutor(1)
    first, second, third = (executor.submit(nap, 0.5) for _ in range(3))
    assert second.cancel()
    executor.shutdown(cancel_futures=True)
    assert third.cancelled()
    assert first.cancelled() or first.result() == 0.5


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_an_exception_in_the_block_does_not_wait_for_calls():
    begun = time.monotonic()
    with pytest.raises(KeyError), WorkerExecutor(2) as executor:
        asleep = [executor.submit(sleep, number) for number in range(3)]
        executor.submit(abs, -1).cancel()
        time.sleep(1)
        raise KeyError
    assert time.monotonic() - begun < 60
    assert all(future.cancelled() or isinstance(future.exception(), WorkerError) for future in asleep)


def test_executors_are_what_was_asked_for():
    inline = InlineExecutor()
    with executor_for(5, inline) as given:
        assert given is inline
    for calls, workers, kind in ((1, 4, InlineExecutor), (4, 1, InlineExecutor), (3, 2, WorkerExecutor)):
        with executor_for(calls, workers) as ours:
            assert type(ours) is kind


def test_a_ctrl_c_inline_is_not_kept_as_an_answer():
    def strike() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InlineExecutor().submit(strike)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_stays_behind(how):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dovetail.workers import WorkerExecutor; from test_workers import sleep\n"
        "with WorkerExecutor(2) as executor:\n"
        "    list(executor.map(sleep, [1, 2]))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while len(workers := children(run.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    run.send_signal(how)
    run.wait(timeout=10)
    deadline = time.monotonic() + 5
    while not all(map(gone, workers)):
        assert time.monotonic() < deadline, "a worker stayed behind"
        time.sleep(0.02)


def test_a_worker_whose_parent_is_gone_before_it_is_ready_says_nothing():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "dovetail.worker", "00" * 16]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert run.stderr == b""
