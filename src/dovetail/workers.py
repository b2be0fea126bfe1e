"""Runs one function on many arguments in worker processes that are plain interpreters.

Unlike forked ones these are safe beside threads and compiled code, and unlike spawned ones they never run the user's
main script again. Each worker is this module, run with ``-m``. It reads pickled calls on its standard input and writes
pickled answers: both ends are ours, nothing from outside is unpickled.

What a worker may rely on, and what it must bear:

- It imports nothing from the folder it stands in (``-P``): its path is its parent's.
- Whatever prints or reads in it, while it starts or later, gets neither calls nor answers: answers begin behind a mark
  that the parent has drawn, and from then on standard output is standard error and standard input is empty.
- It ends with its parent, however that ends: it notices that its input is closed, also in the middle of a call.
- A Ctrl-C in the terminal does not reach it; the parent decides.
- When it is killed, or runs out of memory, the call it was at is reported, and another one goes on with the rest.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import secrets
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from dovetail import errors
from dovetail.errors import DovetailError

#: Place of a call, what became of it ("result", the name of an error, ...), and its value.
_Answer = tuple[int, str, Any]
_MARK_BYTES = 16

#: Worker processes at work now, of all calls of `run_all`.
_running: set[subprocess.Popen[bytes]] = set()


class WorkerError(DovetailError):
    """Worker processes were killed or ran out of memory; all other calls have been answered."""


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, workers: int, names: Sequence[str] = ()
) -> Iterator[tuple[int, Any]]:
    """Yield (place in ``calls``, result) as calls finish.

    Args:
        function: a module's function; workers import it by name.
        calls: positional arguments, all of which can be pickled.
        workers: processes; with one, or one call, everything runs in this process.
        names: what to call each call in messages; by default its place, from 1.

    Raises:
        DovetailError: what a call raised on purpose.
        WorkerError: after all other calls: some were killed, or ran out of memory; says which.
        RuntimeError: any other exception of a call, with its traceback as text.
    """
    names = names or [f"call {place + 1}" for place in range(len(calls))]
    failed: list[str] = []
    answers = _answers_here(function, calls) if min(workers, len(calls)) <= 1 else _answers(function, calls, workers)
    with contextlib.closing(answers):
        for place, kind, value in answers:
            if kind == "result":
                yield place, value
            elif kind in ("died", "memory"):
                failed.append(f"{names[place]} ({value})")
            else:
                raise _exception(kind, value)
    if failed:
        raise WorkerError(
            f"no result for {', '.join(failed)}; everything else was done; fewer processes need less memory"
        )


def kill_running() -> None:
    """Kill every worker process at once: for a process that is about to end without unwinding."""
    for process in list(_running):
        with contextlib.suppress(OSError):
            process.kill()


@contextlib.contextmanager
def safe_start() -> Iterator[None]:
    """While processes are started: they will import nothing from the working folder, and no Ctrl-C will reach them."""
    unset = "PYTHONSAFEPATH" not in os.environ
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    blocks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else set()
    try:
        yield
    finally:
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if unset:
            del os.environ["PYTHONSAFEPATH"]


def _answers_here(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Generator[_Answer, None, None]:
    for place, call in enumerate(calls):
        try:
            result = function(*call)
        except MemoryError:
            yield place, "memory", "out of memory"
        else:
            yield place, "result", result


def _answers(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: int
) -> Generator[_Answer, None, None]:
    crew = _Crew(queue.SimpleQueue(), queue.SimpleQueue(), threading.Lock(), set())
    for place, call in enumerate(calls):
        crew.waiting.put((place, pickle.dumps((function, call))))
    threads = [threading.Thread(target=crew.serve, daemon=True) for _ in range(min(workers, len(calls)))]
    try:
        for thread in threads:
            crew.waiting.put(None)
            thread.start()
        for _ in calls:
            yield crew.answers.get()
    finally:
        crew.dismiss()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


@dataclass
class _Crew:
    """The workers of one `run_all`; each is looked after by a thread.

    Attributes:
        waiting: calls not begun yet, and a None for every thread.
        answers: of calls that ended, however they did.
        lock: held while a process is started or all are ended.
        processes: at work; None once the crew is dismissed.
    """

    waiting: queue.SimpleQueue[tuple[int, bytes] | None]
    answers: queue.SimpleQueue[_Answer]
    lock: threading.Lock
    processes: set[subprocess.Popen[bytes]] | None

    def serve(self) -> None:
        """Hand calls to a worker, one at a time, until none is left; start another one when it is gone."""
        worker: subprocess.Popen[bytes] | None = None
        while (item := self.waiting.get()) is not None:
            place, call = item
            try:
                worker = worker or self._start()
                if worker is None:
                    return
                assert worker.stdin is not None
                assert worker.stdout is not None
                _write(worker.stdin, call)
                kind, value = pickle.loads(_read(worker.stdout))  # noqa: S301 - our own worker wrote it
            except (OSError, EOFError, ValueError) as error:
                kind, value = "died", str(error) if worker is None else self._end(worker)
                worker = None
            self.answers.put((place, kind, value))
        if worker is not None:
            self._end(worker)

    def dismiss(self) -> None:
        """End all workers now, whatever they are at, and start no more."""
        with self.lock:
            processes, self.processes = self.processes or set(), None
        for process in processes:
            _stop(process)

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start a worker and wait until it is ready; None when the crew is dismissed."""
        mark = secrets.token_bytes(_MARK_BYTES)
        with self.lock, safe_start():
            if self.processes is None:
                return None
            process = _popen(mark)
            self.processes.add(process)
        assert process.stdout is not None
        _skip_to(process.stdout, mark)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """End one worker; return in words how it ended by itself, if it did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0 if process.poll() is None else None)
        code = process.poll()
        with self.lock:
            if self.processes is not None:
                self.processes.discard(process)
        _stop(process)
        return _ending(code)


def _popen(mark: bytes) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.setdefault("NUMBA_NUM_THREADS", "1")  # processes are the parallelism
    command = [sys.executable, "-P", "-m", "dovetail.workers", mark.hex()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603
    _running.add(process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    _running.discard(process)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _ending(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "its worker process stopped answering"
    if code >= 0:
        return f"its worker process ended with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"its worker process was killed, {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def _exception(kind: str, value: Any) -> Exception:
    if kind == "bug":
        return RuntimeError(value)
    found = getattr(errors, kind, DovetailError)
    return found(value) if found in (errors.NoMappingError, errors.InputError) else DovetailError(value)


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    length = stream.read(8)
    data = stream.read(int.from_bytes(length, "little")) if len(length) == 8 else b""
    if len(length) < 8 or len(data) < int.from_bytes(length, "little"):
        raise EOFError
    return data


def _skip_to(stream: IO[bytes], mark: bytes) -> None:
    """Read up to the mark: whatever was printed before is nobody's answer."""
    seen = b""
    while not seen.endswith(mark):
        byte = stream.read(1)
        if not byte:
            raise EOFError
        seen = (seen + byte)[-len(mark) :]


def _serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until there are no more, and end at once when there will be none: the parent is gone."""
    read: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                read.put(_read(calls))
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        while True:
            _write(answers, pickle.dumps(_answer(read.get())))


def _answer(call: bytes) -> tuple[str, Any]:
    try:
        function, arguments = pickle.loads(call)  # noqa: S301 - our own parent wrote it
        return "result", function(*arguments)
    except DovetailError as error:
        return type(error).__name__, str(error)
    except MemoryError:
        return "memory", "out of memory"
    except Exception:
        return "bug", traceback.format_exc()


def _main(mark: bytes) -> None:
    """Take standard input and output for calls and answers, and leave others in their place."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    answers.write(mark)
    answers.flush()
    _serve(calls, answers)


if __name__ == "__main__":
    _main(bytes.fromhex(sys.argv[1]))
