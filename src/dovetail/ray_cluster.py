"""Runs calls on a cluster that Ray looks after, through its client: an executor like any other.

Calls and answers go as bytes, pickled here as for our own worker processes; see `dovetail.cluster`, which does the same
with Dask. A call whose worker is killed is done by another one, by Ray, three times at most. A cluster that goes away
for longer than Ray's client waits (half a minute) ends the call; what was answered is kept, so that the same command
goes on.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from dovetail.cluster import RAY, answer_there, cluster_address, version_here
from dovetail.errors import InputError, MissingExtraError
from dovetail.text import first_line
from dovetail.workers import WorkerError, end_calls, settle

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

#: How often a call is tried again whose worker was killed.
_AGAIN = 3


class RayCluster(Executor):
    """Does calls on the workers of a Ray cluster.

    Leaving its ``with`` block waits for all calls, or, when an exception leaves it, cancels them.

    Args:
        address: as ``ray://HOST:PORT``, of the cluster's client server.

    Raises:
        InputError: nothing answers there, or it is no address of a cluster of Ray's.
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        if not cluster_address(address).startswith(RAY):
            raise InputError(f"{address} is a scheduler of Dask's; a cluster of Ray's is at ray://HOST:PORT")
        self._ray, self._context = _connected(address)
        self._run = self._ray.remote(num_cpus=1, max_retries=_AGAIN)(answer_there)
        self._version = version_here()
        self._lock = threading.Lock()
        self._waiting: dict[Future[Any], Any] = {}
        self._is_shut = False

    @property
    def processes(self) -> int:
        """How many calls the cluster does at a time now."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def submit(
        self, fn: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> Future[_Result]:
        """Have a module's function called with arguments that can be pickled; return the result's future.

        Raises:
            RuntimeError: the executor has been shut down.
        """
        future: Future[_Result] = Future()
        call = pickle.dumps((fn, args, kwargs))
        with self._lock:
            if self._is_shut:
                raise RuntimeError("no calls can be handed in after the shutdown of an executor")
            reference = self._run.remote(self._version, call)
            self._waiting[future] = reference
        reference.future().add_done_callback(lambda done: self._answered(future, done))
        future.add_done_callback(lambda done: self._cancel(done) if done.cancelled() else None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return when all calls are done.
            cancel_futures: leave out those without an answer; what a worker is at it ends, and nobody hears of it.
        """
        with self._lock:
            self._is_shut = True
            futures = list(self._waiting)
        end_calls(futures, wait=wait, cancel=cancel_futures)
        with contextlib.suppress(Exception):  # the cluster may be away
            self._context.disconnect()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for all calls, or cancel them when an exception leaves the block."""
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def _answered(self, future: Future[Any], done: Future[Any]) -> None:
        """Settle the caller's future."""
        with self._lock:
            self._waiting.pop(future, None)
        if future.cancelled():
            return
        with contextlib.suppress(Exception):  # cancelled meanwhile
            try:
                pickled = done.result()
            except BaseException as caught:  # whatever Ray has to say
                future.set_exception(_said(caught))
            else:
                settle(future, pickled)

    def _cancel(self, future: Future[Any]) -> None:
        with self._lock:
            reference = self._waiting.pop(future, None)
        if reference is not None:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference)


def _connected(address: str) -> tuple[Any, Any]:
    """Return Ray and a connection to a cluster of its."""
    try:
        import ray
    except ImportError:
        raise MissingExtraError("a cluster of Ray's", "ray") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # of a cluster that is away we tell in one line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nobody answers, told below
            context = ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
    except ImportError as error:
        raise MissingExtraError(f"a cluster of Ray's ({error.name or error})", "ray") from None
    except Exception as error:  # its own kinds, of its transport, and OSError
        why = first_line(error)[:200]
        raise InputError(
            f"no cluster of Ray's answers at {address} ({why}); begin one with `ray start --head`"
        ) from None
    return ray, context


def _said(error: BaseException) -> Exception:
    """Return what a caller is to make of what Ray says of a call."""
    name = type(error).__name__
    if name in ("WorkerCrashedError", "OutOfMemoryError", "NodeDiedError"):
        return WorkerError("all workers that were given it were killed, perhaps for lack of memory")
    if isinstance(error, ConnectionError) or "disconnect" in str(error).lower():
        return WorkerError("the cluster of Ray's went away")
    return RuntimeError(f"{name}: {error}")
