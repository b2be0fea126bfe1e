"""Runs one function on many arguments in worker processes that are plain interpreters.

Unlike forked ones these are safe beside threads and compiled code, and unlike spawned ones they never run the user's
main script again. Each worker is this module, run with ``-m``; it reads pickled calls on its standard input and
writes pickled answers: both ends are ours, nothing from outside is unpickled.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from dovetail import errors
from dovetail.errors import DovetailError

_Answer = tuple[int, str, Any]


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], *, workers: int
) -> Iterator[tuple[int, Any]]:
    """Yield (place in ``calls``, result) as calls finish.

    Args:
        function: a module's function; workers import it by name.
        calls: positional arguments, all of which can be pickled.
        workers: processes; with one, or one call, everything runs in this process.

    Raises:
        DovetailError: what a call raised on purpose, or a worker that was killed.
        RuntimeError: any other exception of a call, with its traceback as text.
    """
    if workers <= 1 or len(calls) <= 1:
        for place, call in enumerate(calls):
            yield place, function(*call)
        return
    waiting: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
    for place, call in enumerate(calls):
        waiting.put((place, pickle.dumps((function, call))))
    processes = [_start() for _ in range(min(workers, len(calls)))]
    threads = [threading.Thread(target=_feed, args=(process, waiting, answers), daemon=True) for process in processes]
    try:
        for thread in threads:
            waiting.put(None)
            thread.start()
        for _ in calls:
            place, kind, value = answers.get()
            if kind != "result":
                raise _exception(kind, value)
            yield place, value
    finally:
        for process in processes:
            _stop(process)
        for thread in threads:
            thread.join()


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.setdefault("NUMBA_NUM_THREADS", "1")  # processes are the parallelism
    command = [sys.executable, "-m", "dovetail.workers"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _feed(
    process: subprocess.Popen[bytes],
    waiting: queue.SimpleQueue[tuple[int, bytes] | None],
    answers: queue.SimpleQueue[_Answer],
) -> None:
    """Hand calls to one worker, one at a time, until none is left or it is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    while (item := waiting.get()) is not None:
        place, call = item
        try:
            _write(process.stdin, call)
            kind, value = pickle.loads(_read(process.stdout))  # noqa: S301 - our own worker wrote it
        except (OSError, EOFError, ValueError):
            answers.put((place, "died", process.wait()))
            return
        answers.put((place, kind, value))


def _exception(kind: str, value: Any) -> Exception:
    if kind == "died":
        return DovetailError(f"a worker process ended with code {value}, perhaps for lack of memory; use one worker")
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


def _serve(calls: IO[bytes], answers: IO[bytes]) -> None:
    """Answer calls until there are no more."""
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            _write(answers, pickle.dumps(_answer(_read(calls))))


def _answer(call: bytes) -> tuple[str, Any]:
    try:
        function, arguments = pickle.loads(call)  # noqa: S301 - our own parent wrote it
        return "result", function(*arguments)
    except DovetailError as error:
        return type(error).__name__, str(error)
    except Exception:
        return "bug", traceback.format_exc()


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    _serve(sys.stdin.buffer, channel)
