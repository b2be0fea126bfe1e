"""Runs calls on a cluster that Dask's scheduler and workers look after: an executor like any other.

Calls and answers go as bytes, pickled here as for our own worker processes. What this adds to Dask's own executor:

- A worker whose Dovetail is not the caller's is found out: results are the same, bit for bit, wherever they come from.
- A scheduler that goes away is waited for (`PATIENCE`); all calls without an answer are handed in again.
- A call whose worker is killed is done by another one, by Dask; one that kills three of them is reported.

The cluster is the user's own: whoever may submit to it, or pose as it, runs code here and there (see Dask's pages on
TLS).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dovetail.errors import DovetailError, InputError, MissingExtraError
from dovetail.sources import sources_key
from dovetail.worker import answer
from dovetail.workers import WorkerError, end_calls, settle

if TYPE_CHECKING:
    from distributed import Client

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")
_log = logging.getLogger("dovetail.cluster")

#: How addresses of Dask's schedulers begin, and what Dask calls that; and those of Ray's clusters.
SCHEMES = {"dask://": "tcp://", "dask+tls://": "tls://"}
RAY = "ray://"
#: Seconds that a scheduler which does not answer is waited for: at first, and when it was there before.
CONNECTING, PATIENCE = 10.0, 600.0
#: Seconds between two looks at whether the scheduler is still the same.
_LOOKING = 1.0


#: A host's name or number, one of version 6 in brackets, and a port.
_ADDRESS = re.compile(
    rf"(?:{'|'.join(map(re.escape, (*SCHEMES, RAY)))})(?:[\w.-]+|\[[0-9a-fA-F:.%\w]+\]):(?P<port>[0-9]{{1,5}})",
    re.ASCII,
)


def cluster_address(text: str) -> str:
    """Return an address such as ``dask://HOST:PORT`` or ``ray://HOST:PORT``.

    Raises:
        InputError: it is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise InputError(
            f"'{text[:60]}' is no cluster; one is dask://HOST:PORT, dask+tls://HOST:PORT or ray://HOST:PORT"
        )
    return text


@functools.cache
def version_here() -> str:
    """Return the key of the code that answers calls, which is all of Dovetail that results come from."""
    return sources_key("dovetail.network.outcomes")


def answer_there(version: str, call: bytes) -> bytes:
    """Answer a call on a worker, if its code is the caller's."""
    if version != version_here():
        return pickle.dumps(("error", ClusterError("its workers have another version of Dovetail than this process")))
    return answer(call)


class ClusterError(DovetailError):
    """A cluster cannot do what it is asked for, whichever of its workers is asked."""


@dataclass
class _Waiting:
    """A call without an answer.

    Attributes:
        future: the caller's.
        call: pickled.
        handed_in: Dask's future of it; None before.
    """

    future: Future[Any]
    call: bytes
    handed_in: Any = None


class Cluster(Executor):
    """Does calls on the workers of a Dask scheduler; see the module's text.

    Leaving its ``with`` block waits for all calls, or, when an exception leaves it, cancels them.

    Args:
        address: as ``dask://HOST:PORT``.

    Raises:
        InputError: nothing answers there, or it is no address of a scheduler of Dask's.
        MissingExtraError: Dask is not installed.
    """

    def __init__(self, address: str) -> None:
        if cluster_address(address).startswith(RAY):
            raise InputError(f"{address} is a cluster of Ray's; a scheduler of Dask's is at dask://HOST:PORT")
        self._address = address
        self._version = version_here()
        self._lock = threading.RLock()
        self._waiting: dict[str, _Waiting] = {}
        self._is_shut = threading.Event()
        self._client, self._scheduler = self._connected(CONNECTING)
        if not self.processes:
            _log.warning("%s has no workers yet; calls wait until there are some", self._address)
        self._looks = threading.Thread(target=self._look, daemon=True)
        self._looks.start()

    @property
    def processes(self) -> int:
        """How many calls the cluster does at a time now."""
        return sum(self._client.nthreads().values())

    def submit(
        self, fn: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> Future[_Result]:
        """Have a module's function called with arguments that can be pickled; return the result's future.

        Raises:
            RuntimeError: the executor has been shut down.
        """
        future: Future[_Result] = Future()
        key = f"dovetail-{uuid.uuid4().hex}"
        waiting = _Waiting(future, pickle.dumps((fn, args, kwargs)))
        with self._lock:
            if self._is_shut.is_set():
                raise RuntimeError("no calls can be handed in after the shutdown of an executor")
            self._waiting[key] = waiting
            self._hand_in(key, waiting)
        future.add_done_callback(lambda done: self._forget(key) if done.cancelled() else None)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: return when all calls are done.
            cancel_futures: leave out those without an answer; what a worker is at it ends, and nobody hears of it.
        """
        with self._lock:
            self._is_shut.set()
            futures = [each.future for each in self._waiting.values()]
        end_calls(futures, wait=wait, cancel=cancel_futures)
        _close(self._client)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Wait for all calls, or cancel them when an exception leaves the block."""
        self.shutdown(wait=kind is None, cancel_futures=kind is not None)

    def _connected(self, seconds: float) -> tuple[Client, str]:
        """Return a client of the scheduler, and the scheduler's name; raises InputError when there is none."""
        try:
            from distributed import Client
        except ImportError:
            raise MissingExtraError("a cluster", "dask") from None
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # of a lost scheduler we tell in one line
        scheme = next(each for each in SCHEMES if self._address.startswith(each))
        address = SCHEMES[scheme] + self._address[len(scheme) :]
        began = time.monotonic()
        while True:
            try:
                client = Client(address, timeout=CONNECTING, set_as_default=False, name="dovetail")
                return client, str(client.scheduler_info()["id"])
            except (OSError, ValueError) as error:
                if time.monotonic() - began > seconds:
                    why = "; begin one with `dask scheduler`" if isinstance(error, OSError) else f": {error}"
                    raise InputError(f"no scheduler of Dask answers at {self._address}{why}") from None
                time.sleep(_LOOKING)

    def _hand_in(self, key: str, waiting: _Waiting) -> None:
        """Give a call to the scheduler; where it is away, `_look` does so later."""
        with contextlib.suppress(Exception):
            waiting.handed_in = self._client.submit(answer_there, self._version, waiting.call, key=key, pure=False)
            waiting.handed_in.add_done_callback(lambda done: self._answered(key, done))

    def _answered(self, key: str, done: Any) -> None:
        """Settle the caller's future; what was lost with the scheduler is left to `_look`."""
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is None or waiting.handed_in is not done or done.cancelled():
                return
        try:
            pickled, error = done.result(), None
        except Exception as caught:  # whatever Dask has to say
            pickled, error = b"", caught
        if done.cancelled():  # on its way here
            return
        self._forget(key)
        if waiting.future.cancelled():
            return
        with contextlib.suppress(Exception):  # cancelled meanwhile
            if error is None:
                settle(waiting.future, pickled)
            else:
                waiting.future.set_exception(_said(error))

    def _forget(self, key: str) -> None:
        with self._lock:
            waiting = self._waiting.pop(key, None)
        if waiting is not None and waiting.handed_in is not None:
            with contextlib.suppress(Exception):
                waiting.handed_in.release()

    def _look(self) -> None:
        """See that the scheduler is there; where it went away, wait for it and hand in again what has no answer."""
        while not self._is_shut.wait(_LOOKING) or self._waiting:
            if self._is_the_same():
                continue
            _log.warning("the scheduler at %s went away; it is waited for", self._address)
            _close(self._client)
            try:
                client, scheduler = self._connected(PATIENCE)
            except DovetailError as error:
                self._give_up(error)
                return
            with self._lock:
                self._client, self._scheduler = client, scheduler
                _log.warning("the scheduler is back; %d calls are handed in again", len(self._waiting))
                for key, waiting in self._waiting.items():
                    self._hand_in(key, waiting)

    def _is_the_same(self) -> bool:
        try:
            return bool(self._client.status == "running" and self._client.scheduler_info()["id"] == self._scheduler)
        except Exception:  # whatever Dask says of a scheduler that is away
            return False

    def _give_up(self, error: DovetailError) -> None:
        with self._lock:
            self._is_shut.set()
            waiting, self._waiting = list(self._waiting.values()), {}
        for each in waiting:
            if each.future.set_running_or_notify_cancel():
                each.future.set_exception(WorkerError(str(error)))


def _said(error: BaseException) -> Exception:
    """Return what a caller is to make of what Dask says of a call."""
    name = type(error).__name__
    if name == "KilledWorker":
        return WorkerError("all workers that were given it were killed, perhaps for lack of memory")
    if isinstance(error, ImportError):
        return ClusterError(f"a worker of the cluster cannot import Dovetail: {error}")
    return RuntimeError(f"{name}: {error}")


def _close(client: Client) -> None:
    with contextlib.suppress(Exception):
        client.close(timeout=1)
