"""Runs calls on an executor, and brings two of our own: worker processes that are plain interpreters, and none at all.

Any `concurrent.futures.Executor` will do (`run_all`). Ours, `WorkerExecutor`, is for calls into compiled code on one
machine. Unlike forked processes its workers are safe beside threads, and unlike spawned ones they never run the user's
main script again. Each is `dovetail.worker`, run with ``-m``. It reads pickled calls on its standard input and writes
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
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any, ParamSpec, TypeVar

from dovetail.errors import DovetailError
from dovetail.worker import read, write

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
#: A function, its positional arguments and its named ones.
_Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
_MARK_BYTES = 16

#: Worker processes at work now, of all executors.
_running: set[subprocess.Popen[bytes]] = set()


class WorkerError(DovetailError):
    """Worker processes were killed or ran out of memory; all other calls have been answered.

    Attributes:
        lost: the calls concerned, as `lost_calls` takes them; empty where that is told elsewhere.
    """

    lost: tuple[str, ...] = ()


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[..., _Result], calls: Sequence[tuple[Any, ...]], executor: Executor, *, names: Sequence[str] = ()
) -> Generator[tuple[int, _Result], None, None]:
    """Yield (place in ``calls``, result) as calls finish.

    Whatever a call raises is raised at once, and calls not begun yet are cancelled; but where worker processes were
    killed or ran out of memory, the others go on.

    Args:
        function: what to call; where calls leave this process, a module's function.
        calls: positional arguments.
        executor: where calls run; it is not shut down.
        names: what to call each call in messages; by default its place, from 1.

    Raises:
        WorkerError: after all other calls: some were killed, or ran out of memory; says which.
    """
    names = names or [f"call {place + 1}" for place in range(len(calls))]
    failed: list[str] = []
    places: dict[Future[_Result], int] = {}
    try:
        for future in _finished(function, calls, executor, places):
            place = places.pop(future)
            try:
                result = future.result()
            except (WorkerError, BrokenExecutor) as error:
                failed.append(f"{names[place]} ({error})")
            except MemoryError:
                failed.append(f"{names[place]} (out of memory)")
            else:
                yield place, result
    finally:
        for future in places:
            future.cancel()
    if failed:
        raise lost_calls(failed)


def lost_calls(failed: Iterable[str]) -> WorkerError:
    """Return the error for calls that were lost while all others were done: each one's name, and why in brackets."""
    names = tuple(failed)
    error = WorkerError(f"no result for {', '.join(names)}; everything else was done; fewer processes need less memory")
    error.lost = names
    return error


def _finished(
    function: Callable[..., _Result],
    calls: Sequence[tuple[Any, ...]],
    executor: Executor,
    places: dict[Future[_Result], int],
) -> Iterator[Future[_Result]]:
    """Hand in all calls and yield their futures as they finish; ``places`` gets each one's place in ``calls``."""
    for place, call in enumerate(calls):
        try:
            future = executor.submit(function, *call)
        except BrokenExecutor as error:  # one that breaks with a worker takes no more calls
            future = Future()
            future.set_exception(error)
        places[future] = place
        if future.done():  # some executors do the work right here: its result is told before the next is begun
            yield future
    yield from as_completed(list(places))


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


class InlineExecutor(Executor):
    """Does every call at once, in the thread that hands it in; a Ctrl-C comes out of `submit`."""

    processes = 1

    def submit(
        self, fn: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> Future[_Result]:
        """Call the function; return a future that is done."""
        future: Future[_Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class WorkerExecutor(Executor):
    """Does calls in worker processes, started when there is something to do; see the module's text.

    A future's exception is what its call raised on purpose; WorkerError where the worker was killed or ran out of
    memory, which leaves the executor whole; and RuntimeError, with the traceback as text, for any other.

    Leaving its ``with`` block waits for all calls, or, when an exception (such as a KeyboardInterrupt) leaves it, kills
    the workers.

    Args:
        workers: most processes at a time; None: one per CPU that this process may use.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"{workers} worker processes can do nothing; it must be at least 1")
        self.processes = available_cpus() if workers is None else workers
        self._crew = _Crew(self.processes)
        self._lock = threading.Lock()
        self._is_shut = False
        weakref.finalize(self, self._crew.finish)

    def submit(
        self, fn: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> Future[_Result]:
        """Have a module's function called with arguments that can be pickled; return the result's future.

        Raises:
            RuntimeError: the executor has been shut down.
        """
        future: Future[_Result] = Future()
        with self._lock:
            if self._is_shut:
                raise RuntimeError("no calls can be handed in after the shutdown of an executor")
            self._crew.take(future, (fn, args, kwargs))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return when all calls are done and the workers are gone.
            cancel_futures: leave out the calls not begun yet.
        """
        with self._lock:
            self._is_shut = True
            if cancel_futures:
                self._crew.cancel()
            self._crew.finish()
        if wait:
            self._crew.join()

    def kill_workers(self) -> None:
        """Take no more calls, leave out those not begun yet, and end the workers whatever they are at."""
        self.shutdown(wait=False, cancel_futures=True)
        self._crew.dismiss()
        self._crew.join()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all calls, or kill the workers when an exception leaves the block."""
        if kind is None:
            self.shutdown()
        else:
            self.kill_workers()


@dataclass(eq=False)
class _Crew:
    """The workers of one executor; each is looked after by a thread. It does not know its executor.

    Attributes:
        most: threads at a time.
        waiting: calls not begun yet, and at the end a None for every thread.
        idle: as many as threads wait for a call.
        threads: started so far.
        lock: held while a process is started or all are ended.
        processes: at work; None once the crew is dismissed.
    """

    most: int
    waiting: queue.SimpleQueue[tuple[Future[Any], _Call] | None] = field(default_factory=queue.SimpleQueue)
    idle: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    threads: list[threading.Thread] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    processes: set[subprocess.Popen[bytes]] | None = field(default_factory=set)

    def take(self, future: Future[Any], call: _Call) -> None:
        """Queue a call; start a thread for it where none is idle."""
        self.waiting.put((future, call))
        if not self.idle.acquire(blocking=False) and len(self.threads) < self.most:
            thread = threading.Thread(target=self._serve, daemon=True)
            self.threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Have every thread end once all calls are begun."""
        for _ in self.threads:
            self.waiting.put(None)

    def cancel(self) -> None:
        """Cancel the calls not begun yet."""
        with contextlib.suppress(queue.Empty):
            while True:
                if (item := self.waiting.get_nowait()) is not None:
                    item[0].cancel()
                    item[0].set_running_or_notify_cancel()  # tells those who wait for it

    def join(self) -> None:
        """Wait until all threads have ended."""
        for thread in self.threads:
            if thread.ident is not None:  # a Ctrl-C may have come between its making and its start
                thread.join()

    def dismiss(self) -> None:
        """End all workers now, whatever they are at, and start no more."""
        with self.lock:
            processes, self.processes = self.processes or set(), None
        for process in processes:
            _stop(process)

    def _next(self) -> tuple[Future[Any], _Call] | None:
        with contextlib.suppress(queue.Empty):
            return self.waiting.get_nowait()
        self.idle.release()
        return self.waiting.get()

    def _serve(self) -> None:
        """Hand calls to a worker, one at a time, until none is left; start another one when it is gone."""
        worker: subprocess.Popen[bytes] | None = None
        while (item := self._next()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                worker = self._do(worker, future, call)
            del item, future, call  # what the caller has dropped is not kept alive here
        if worker is not None:
            self._release(worker)

    def _do(
        self, worker: subprocess.Popen[bytes] | None, future: Future[Any], call: _Call
    ) -> subprocess.Popen[bytes] | None:
        """Settle the future of a call; return the worker that is there for the next one."""
        try:
            pickled = pickle.dumps(call)
        except Exception as error:  # as it comes: pickling runs code of whatever is in the call
            future.set_exception(error)
            return worker
        if worker is not None and worker.poll() is not None:  # it died while it had nothing to do
            self._release(worker)
            worker = None
        try:
            worker = worker or self._start()
            answer = _asked(worker, pickled)
        except (OSError, EOFError) as error:
            future.set_exception(WorkerError(str(error) if worker is None else self._ended(worker)))
            return None
        settle(future, answer)
        return worker

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is ready; raises OSError when the crew is dismissed."""
        mark = secrets.token_bytes(_MARK_BYTES)
        with self.lock, safe_start():
            if self.processes is None:
                raise OSError("its worker process was not started any more")
            process = _popen(mark)
            self.processes.add(process)
        assert process.stdout is not None
        try:
            _skip_to(process.stdout, mark)
        except (EOFError, ValueError):
            raise OSError(self._ended(process)) from None
        return process

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        """Return in words how a process ended by itself, if it did, and see to it that it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0 if process.poll() is None else None)
        code = process.poll()
        self._release(process)
        return _ending(code)

    def _release(self, process: subprocess.Popen[bytes]) -> None:
        with self.lock:
            if self.processes is not None:
                self.processes.discard(process)
        _stop(process)


def _popen(mark: bytes) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.setdefault("NUMBA_NUM_THREADS", "1")  # processes are the parallelism
    command = [sys.executable, "-P", "-m", "dovetail.worker", mark.hex()]
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


def _asked(worker: subprocess.Popen[bytes], call: bytes) -> bytes:
    """Return a worker's answer to a call; raises OSError or EOFError when it is gone."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        write(worker.stdin, call)
        return read(worker.stdout)
    except ValueError as error:  # another thread has closed the pipe
        raise EOFError from error


def end_calls(futures: Sequence[Future[Any]], *, wait: bool, cancel: bool) -> None:
    """End what an executor was handed in: leave it out where that is asked for, then wait where that is.

    Args:
        futures: of the calls without an answer.
        wait: return when all of them are done.
        cancel: leave them out.
    """
    if cancel:
        for future in futures:
            future.cancel()
            future.set_running_or_notify_cancel()  # tells those who wait for it
    if wait:
        for future in futures:
            with contextlib.suppress(BaseException):
                future.exception()


def settle(future: Future[Any], answer: bytes) -> None:
    """Give a future the answer of a worker, as `dovetail.worker.answer` returns it."""
    try:
        kind, value = pickle.loads(answer)  # noqa: S301 - our own worker wrote it
    except Exception as error:  # as it comes: unpickling runs code of whatever is in the answer
        kind, value = "error", error
    if kind == "result":
        future.set_result(value)
    elif kind == "error":
        future.set_exception(value)
    else:
        future.set_exception(WorkerError(value) if kind == "memory" else RuntimeError(value))


def _ending(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "its worker process stopped answering"
    if code >= 0:
        return f"its worker process ended with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"its worker process was killed, {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def _skip_to(stream: IO[bytes], mark: bytes) -> None:
    """Read up to the mark: whatever was printed before is nobody's answer."""
    seen = b""
    while not seen.endswith(mark):
        byte = stream.read(1)
        if not byte:
            raise EOFError
        seen = (seen + byte)[-len(mark) :]
