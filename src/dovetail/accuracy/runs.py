"""Many runs: several networks and seeds, over worker processes of one thread each, and their summary."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from dovetail.accuracy.data import DataSet
from dovetail.accuracy.datasets import load_data
from dovetail.accuracy.execution import Execution
from dovetail.accuracy.images import Report as Checking
from dovetail.accuracy.loggers import logger
from dovetail.accuracy.recipe import Recipe
from dovetail.accuracy.statistics import Interval, interval
from dovetail.accuracy.training import Event, TrainingResult, train
from dovetail.errors import DovetailError, InputError, WriteError
from dovetail.workers import WorkerError, available_cpus, safe_start

#: Takes the steps done so far, the steps in all, and a few words on how it stands.
Report = Callable[[int, int, str], None]

#: Seeds that one command trains under at most.
MAX_SEEDS = 10_000

#: Seconds between two messages of one worker about steps.
_MESSAGE_SECONDS = 0.2


class Factory(Protocol):
    """Makes a network when called; a `ModelSpec` is one. It travels to worker processes."""

    @property
    def label(self) -> str:
        """What to call the network."""

    def __call__(self) -> Any:
        """Make it."""


@dataclass(frozen=True)
class DataRequest:
    """A data set to load: the arguments of `load_data`."""

    name: str
    root: Path | None = None
    download: bool = False
    size: int | None = None
    loaders: int = 0
    seed: int = 0

    def load(self, report: Checking | None = None, *, check: bool = True) -> DataSet:
        """Return the data set; broken images are looked for, and `report` told, unless they were before."""
        options = vars(self) | {"check": check, "report": report}
        return load_data(options.pop("name"), **options)


@dataclass(frozen=True)
class RunRequest:
    """One run, as it travels to a worker process.

    Attributes:
        model: the network.
        data: what to train it on.
        recipe: how.
        seed: of the run.
        out: folder of all runs together; this one's is `folder`.
        execution: where it runs.
        loggers: names of optional loggers.
        test: whether to measure on the test part.
    """

    model: Factory
    data: DataRequest
    recipe: Recipe
    seed: int
    out: Path | None = None
    execution: Execution = field(default_factory=Execution)
    loggers: tuple[str, ...] = ()
    test: bool = True

    @property
    def label(self) -> str:
        """Network and seed, usable as a file name."""
        return f"{self.model.label.replace(':', '.')}-seed-{self.seed}"

    @property
    def folder(self) -> Path | None:
        """Where the run keeps its checkpoints."""
        return None if self.out is None else self.out / self.label

    def run(self, observer: Any) -> TrainingResult:
        """Train; the result leaves the network itself behind (its weights are in the folder)."""
        settings = self.recipe.to_dict() | {"model": self.model.label, "data": self.data.name, "seed": self.seed}
        watching = [logger(kind, self.out or Path("runs"), self.label, settings) for kind in self.loggers]
        try:
            observers = [observer, *(observe for observe, _ in watching)]
            result = train(
                self.model, self.data.load(check=False), self.recipe, seed=self.seed, out=self.folder,
                execution=self.execution, observers=observers, test=self.test,
            )  # fmt: skip
        finally:
            for _, close in watching:
                close()
        return replace(result, model=None)


def silent(_done: int, _total: int, _words: str) -> None:
    """Tell nobody."""


def run_all(
    requests: Sequence[RunRequest], processes: int | None = None, report: Report = silent
) -> list[TrainingResult]:
    """Do all runs, and return their results in the order of the requests.

    The longest are best put first. Results do not depend on the number of processes.

    Args:
        requests: the runs.
        processes: worker processes; by default as many as there are runs and cores for them, one on a GPU.
        report: told, every now and then, the steps done, the steps in all, and a few words on how it stands.

    Raises:
        InputError: as the runs do.
        WorkerError: when a worker process died or failed; running the same again continues from the checkpoints.
    """
    if len({request.folder for request in requests if request.folder is not None}) < sum(
        request.folder is not None for request in requests
    ):
        raise InputError("two runs would share one folder: the same network and seed twice")
    if processes is not None and processes < 1:
        raise InputError(f"processes is {processes}; it must be at least 1")
    processes = min(len(requests), processes or _processes(requests))
    state = _State([0] * len(requests), [0] * len(requests))
    if processes <= 1:
        return [_run_here(state, number, request, report) for number, request in enumerate(requests)]
    return _run_in_processes(state, requests, processes, report)


def _processes(requests: Sequence[RunRequest]) -> int:
    on_cpu = all(request.execution.torch_device.type == "cpu" for request in requests)
    return max(1, available_cpus() // max(request.execution.threads for request in requests)) if on_cpu else 1


@dataclass
class _State:
    """Steps done and in all, per run."""

    done: list[int]
    totals: list[int]

    def tell(self, number: int, event: Event, report: Report) -> None:
        self.done[number], self.totals[number] = event.step, event.steps
        known = max(self.totals)
        total = sum(steps or known for steps in self.totals)
        running = sum(0 < done < steps for done, steps in zip(self.done, self.totals, strict=True))
        report(sum(self.done), total, f"training, {running} of {len(self.done)} runs at work")


def _run_here(state: _State, number: int, request: RunRequest, report: Report) -> TrainingResult:
    return request.run(lambda event: state.tell(number, event, report))


def _run_in_processes(
    state: _State, requests: Sequence[RunRequest], processes: int, report: Report
) -> list[TrainingResult]:
    """Hand requests to worker processes, one at a time to each, as they become free."""
    results: dict[int, TrainingResult] = {}
    waiting = list(range(len(requests)))[::-1]
    with _workers(processes) as connections:
        for connection in connections:
            connection.send((waiting[-1], requests[waiting.pop()]))
        while len(results) < len(requests):
            ready: list[Any] = wait(connections)
            for connection in ready:
                kind, number, content = _receive(connection)
                if kind == "event":
                    state.tell(number, content, report)
                elif kind == "error":
                    raise content
                else:
                    results[number] = content
                    if waiting:
                        connection.send((waiting[-1], requests[waiting.pop()]))
    return [results[number] for number in range(len(requests))]


def _receive(connection: Connection) -> tuple[str, int, Any]:
    try:
        message: tuple[str, int, Any] = connection.recv()
    except (EOFError, ConnectionResetError):
        raise WorkerError(
            "a training process died (killed, or out of memory); the same command goes on from the checkpoints"
        ) from None
    return message


@contextmanager
def _workers(count: int) -> Iterator[list[Connection]]:
    """Start worker processes, spawned so that they load torch's thread pool anew, and end them with the body."""
    context = multiprocessing.get_context("spawn")
    processes, connections = [], []
    resource_tracker.ensure_running()  # where it is not yet, starting a process lets a blocked Ctrl-C through again
    with _environment(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive"), safe_start():
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,))
            process.start()
            theirs.close()
            processes.append(process)
            connections.append(ours)
    try:
        yield connections
    finally:
        for process, connection in zip(processes, connections, strict=True):
            connection.close()
            process.terminate()
            process.join()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables that are not set yet, for a while."""
    added = [name for name in variables if name not in os.environ]
    os.environ.update({name: variables[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _work(connection: Connection) -> None:
    """Be a worker process: end with the parent, and keep what a network prints out of the command's output."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)
    _serve(connection)


def _serve(connection: Connection) -> None:
    """Do runs as they come, until there are none or the parent is gone."""
    sent = 0.0
    number = -1

    def tell(event: Event) -> None:
        nonlocal sent
        if event.epoch is not None or time.monotonic() - sent >= _MESSAGE_SECONDS:
            connection.send(("event", number, event))
            sent = time.monotonic()

    while True:
        try:
            number, request = connection.recv()
        except (EOFError, ConnectionResetError, KeyboardInterrupt):
            return
        try:
            connection.send(("result", number, request.run(tell)))
        except DovetailError as error:
            kind = WriteError if isinstance(error, WriteError) else DovetailError
            connection.send(("error", number, kind(str(error))))
        except KeyboardInterrupt:
            return
        except MemoryError:
            connection.send(("error", number, MemoryError()))
        except Exception:
            connection.send(("error", number, RuntimeError(f"in a training process:\n{traceback.format_exc()}")))


def _end_with_parent() -> None:
    """Leave no orphan behind when the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass(frozen=True)
class Summary:
    """Several seeds of one network under one recipe.

    Attributes:
        model_name: the network.
        parameters: trainable weights.
        seeds: in order.
        validation: accuracy over the seeds, 0 to 1.
        test: likewise; None if it was not measured.
        seconds_per_epoch: mean over seeds; measured, so not reproducible.
    """

    model_name: str
    parameters: int
    seeds: tuple[int, ...]
    validation: Interval
    test: Interval | None
    seconds_per_epoch: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        fields = asdict(self)
        return {"network": fields.pop("model_name"), **fields}


def summarise(results: Sequence[TrainingResult], confidence: float = 0.95) -> list[Summary]:
    """Return one summary per network, in the order in which the networks first appear.

    Raises:
        InputError: when there are no results, or the confidence is not between 0 and 1.
    """
    summaries = []
    for name in dict.fromkeys(result.model_name for result in results):
        group = sorted((result for result in results if result.model_name == name), key=lambda result: result.seed)
        tests = [result.test for result in group if result.test is not None]
        summaries.append(
            Summary(
                model_name=name,
                parameters=group[0].parameters,
                seeds=tuple(result.seed for result in group),
                validation=interval([result.validation for result in group], confidence),
                test=interval(tests, confidence) if len(tests) == len(group) else None,
                seconds_per_epoch=sum(r.seconds / len(r.epochs) for r in group) / len(group),
            )
        )
    return summaries
