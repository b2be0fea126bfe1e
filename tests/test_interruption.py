"""Ctrl-C, SIGTERM and SIGHUP at a command: one line, what is kept, the exit code, no process left behind."""

import errno
import functools
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dovetail.cli.interruption import COMPILING
from dovetail.cli.main import main
from test_workers import children, gone

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes through /proc")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
COMPARE = ("compare", "resnet18", "alexnet", "--on", "eyeriss_like", "simple_weight_stationary")


def start(*words: str, cache: Path, ignoring: bool = False) -> subprocess.Popen[str]:
    """Start a command whose signals are as a terminal's, whatever this process was started with (as under nohup)."""
    return subprocess.Popen(
        [sys.executable, "-m", "dovetail.cli.main", *words],
        env={**os.environ, "DOVETAIL_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(how, signal.SIG_IGN if ignoring else signal.SIG_DFL) for how in CODES],
    )


def is_listening(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, as Python by itself has none."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def wait_until_listening(run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not is_listening(run.pid):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)


def wait_for_workers(pid: int) -> list[int]:
    deadline = time.monotonic() + 120
    while len(found := children(pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("how", list(CODES))
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.5, None])
def test_a_command_ends_with_one_line_and_its_code(tmp_path, how, delay):
    run = start(*COMPARE, cache=tmp_path)
    wait_until_listening(run)
    if delay is None:
        wait_for_workers(run.pid)
    time.sleep(0.3 if delay is None else delay)
    left = children(run.pid)
    begun = time.monotonic()
    run.send_signal(how)
    _, told = run.communicate(timeout=60)
    assert time.monotonic() - begun < 10
    assert run.returncode == CODES[how], told
    assert len(told.splitlines()) == 1, told
    assert told.startswith("dovetail: ")
    if delay is None:
        assert "in the store, the same command goes on" in told
    deadline = time.monotonic() + 5
    while not all(map(gone, left)):
        assert time.monotonic() < deadline, "a worker stayed behind"
        time.sleep(0.02)


def test_what_was_done_is_kept(tmp_path):
    """Interrupted when some layers are in the store: the next run begins with them."""
    from dovetail.store import Store

    run = start(*COMPARE, cache=tmp_path)
    deadline = time.monotonic() + 240

    def entries() -> int:
        with Store.open(tmp_path / "results-v2.sqlite3") as store:
            return store.state().entries

    while entries() < 3:
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert entries() >= 3


def test_what_is_ignored_stays_ignored(tmp_path):
    run = start("compare", "alexnet@32", "--on", "eyeriss_like", cache=tmp_path, ignoring=True)
    while run.poll() is None:
        run.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert "features.0" in run.communicate(timeout=120)[0]
    assert run.returncode == 0


def test_a_signal_in_the_middle_of_an_import_ends_the_process():
    """Modules that are imported by half are there without what they will hold."""
    code = (
        "import sys, types, os, signal, time\n"
        "from dovetail.cli import interruption\n"
        "for name in ('dovetail.workers', 'multiprocessing', 'dovetail.files'):\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "interruption.listen()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(20)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (143, "dovetail: terminated\n")


SWEEP = ("sweep-layer", "resnet18:layer1.0.conv1", "--on", "eyeriss_like", "--dim", "M", "--values", "4,6,8,12")
REPORT = ("report", "alexnet", "--on", "eyeriss_like", "--no-front", "--workers", "2")


def kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


def starve(worker: int) -> None:
    """Let a process that is about to search have no more memory than it has."""
    deadline = time.monotonic() + 120
    while "llvmlite" not in Path(f"/proc/{worker}/maps").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    resource.prlimit(worker, resource.RLIMIT_AS, (1 << 20, 1 << 20))


@pytest.mark.parametrize(
    ("words", "harm"),
    [(SWEEP, kill), (SWEEP, starve), (REPORT, kill), (COMPARE[:2] + COMPARE[3:5], starve)],
    ids=["sweep-layer-kill", "sweep-layer-starve", "report-kill", "compare-starve"],
)
def test_what_a_worker_was_at_is_named_and_the_rest_is_done(tmp_path, words, harm):
    """Killed from outside, as a system out of memory does, or without memory of its own."""
    from dovetail.mapper.exact.compiled import compile_all
    from dovetail.store import Store

    compile_all()  # so that the workers seen are those that map
    run = start(*words, cache=tmp_path)
    harm(wait_for_workers(run.pid)[0])
    told = run.communicate(timeout=600)[1]
    assert run.returncode == 2, told
    why = r"its worker process (was killed|ended)[^)]*|out of memory"
    assert re.search(rf"^dovetail: error: no result for \S+ on eyeriss_like \(({why})\)", told, re.MULTILINE), told
    assert "everything else was done" in told
    assert "Traceback" not in told
    with Store.open(tmp_path / "results-v2.sqlite3") as store:
        assert store.state().entries >= (3 if harm is kill and words is SWEEP else 1)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory"), ImportError("lib")])
def test_a_search_without_memory_is_one_line_with_its_layer(monkeypatch, capsys, error):
    """Whatever the lack shows as: a library that cannot be loaded hides it behind an error of its own."""

    def search(*_arguments: object) -> None:
        raise error from MemoryError()

    monkeypatch.setattr("dovetail.cli.map._exact", search)
    assert main(["map", "alexnet:classifier.6", "--on", "eyeriss_like"]) == 2
    assert capsys.readouterr().err == "dovetail: error: out of memory at alexnet:classifier.6\n"


def test_a_program_that_lacks_memory_to_start_says_so_on_one_line():
    run = subprocess.run(
        [sys.executable, "-m", "dovetail.cli.main", "map", "alexnet:classifier.6", "--on", "eyeriss_like"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (60 << 20, 60 << 20)),
    )
    assert (run.returncode, run.stderr) == (2, "dovetail: error: out of memory\n")


#: Enters and leaves `Gracefully` without a pause, and ends with 7 once a Ctrl-C was noted or raised.
IN_AND_OUT = """
import sys, time
from dovetail.cli.interruption import Gracefully, listen
listen()
end = time.monotonic() + 60
while time.monotonic() < end:
    with Gracefully() as waiting:
        try:
            with waiting.raising():
                pass
        except KeyboardInterrupt:
            assert waiting.interrupted
    if waiting.interrupted:
        sys.exit(7)
"""


def test_no_ctrl_c_is_lost_where_a_command_begins_or_ends_to_wait_for_one():
    chance, seen = random.Random(1), set()
    for _ in range(40):
        run = subprocess.Popen(
            [sys.executable, "-c", IN_AND_OUT],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: [signal.signal(how, signal.SIG_DFL) for how in CODES],
        )
        wait_until_listening(run)
        time.sleep(chance.uniform(0.0, 0.02))
        run.send_signal(signal.SIGINT)
        told = run.communicate(timeout=20)[1]
        assert (run.returncode, told) in ((7, ""), (130, "dovetail: interrupted\n"))
        seen.add(run.returncode)
    assert seen == {7, 130}


#: A module that is interrupted in its middle, and turns that into an ImportError, as those written in C do.
HALF = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.3)
except KeyboardInterrupt:
    raise ImportError("failed to import") from None
whole = True
"""
IMPORTING = """
import sys, time
from dovetail.cli.interruption import Gracefully, listen
listen()
with Gracefully() as waiting:
    try:
        with waiting.raising():
            import half
            time.sleep(20)
    except KeyboardInterrupt:
        assert half.whole
        sys.exit(7)
"""


def test_an_import_is_not_interrupted_but_what_comes_after_it(tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    run = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: [signal.signal(how, signal.SIG_DFL) for how in CODES],
    )
    assert (run.returncode, run.stderr) == (7, "")


#: What Numba does for seconds in C, where Python hears of no signal: here they reach the other thread alone.
COMPILES = """
import _thread, signal, sys, time
from dovetail.cli.interruption import Gracefully, listen
listen()
compiler = {"__name__": "numba.core.typing", "time": time}
exec("def work(): time.sleep(20)", compiler)
with Gracefully(compiling=%s) as waiting, waiting.raising():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    _thread.start_new_thread(lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT]) or time.sleep(20), ())
    sys.stderr.write("working\\n")
    compiler["work"]() if %s else time.sleep(20)
"""


@pytest.mark.parametrize(
    ("hopeful", "compiles", "ends"), [(False, True, True), (True, True, False), (False, False, False)]
)
def test_a_ctrl_c_while_code_is_compiled_ends_what_has_nothing_to_say(hopeful, compiles, ends):
    program = [sys.executable, "-c", COMPILES % (hopeful, compiles)]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored where make runs aside
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as run:
        try:
            assert run.stderr is not None
            assert run.stderr.readline() == "working\n"
            time.sleep(0.2)
            run.send_signal(signal.SIGINT)
            if ends:
                assert run.wait(15) == 130
                assert run.stderr.read() == f"dovetail: interrupted; {COMPILING}\n"
            else:
                with pytest.raises(subprocess.TimeoutExpired):
                    run.wait(0.5)
        finally:
            run.kill()


PROGRAM = "import sys; from dovetail.cli.program import program; {}sys.exit(program())"


@pytest.mark.parametrize("how", list(CODES))
def test_the_program_listens_before_it_imports_the_command_line(how):
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format("assert 'argparse' not in sys.modules; "), *COMPARE],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [signal.signal(how, signal.SIG_DFL) for how in CODES],
    )
    wait_until_listening(run)
    run.send_signal(how)
    told = run.communicate(timeout=20)[1]
    assert (run.returncode, len(told.splitlines())) == (CODES[how], 1), told


def test_the_program_answers_as_the_command_line_does():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(""), "layers", "nothing"], capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stderr.startswith("dovetail: error: ")
