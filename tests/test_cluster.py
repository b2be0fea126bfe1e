"""A cluster on the loopback: the same results as at home; whatever is killed, nothing is lost and little done twice."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster_calls import fail, traced
from dovetail.cli.main import main
from dovetail.cluster import Cluster, ClusterError, answer_there, cluster_address
from dovetail.components.estimate import estimate
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.result import SearchResult
from dovetail.network.map_network import map_network
from dovetail.network.records import result_to_data
from dovetail.ray_cluster import RayCluster
from dovetail.store import _FILE, Store
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution

needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra dask is absent")
_TESTS = Path(__file__).parent
_READY_SECONDS = 300.0


class Machines:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"dask://127.0.0.1:{self.port}"
        self.scheduler = self._scheduler()
        self.workers = [self.worker(), self.worker()]

    def restart(self) -> None:
        """Have a new scheduler at the same place, and workers of it."""
        self.stop()
        self.scheduler = self._scheduler()
        self.workers = [self.worker(), self.worker()]

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def worker(self) -> subprocess.Popen[bytes]:
        return _begun("worker", f"tcp://127.0.0.1:{self.port}", "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _scheduler(self) -> subprocess.Popen[bytes]:
        return _begun("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")


def _begun(what: str, *options: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dask", what, *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    machines = Machines()
    try:
        yield machines
    finally:
        machines.stop()


@pytest.fixture
def cluster(machines: Machines) -> Iterator[Cluster]:
    with Cluster(machines.address) as cluster:
        _until(lambda: cluster.processes == 2)
        yield cluster


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _READY_SECONDS
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _counts(folder: Path, what: str) -> Counter[int]:
    with contextlib.suppress(FileNotFoundError):
        return Counter(map(int, (folder / what).read_text().split()))
    return Counter()


def _network() -> Network:
    return Network("small", tuple(Layer(f"l{c}", convolution(name=f"l{c}", C=c, M=8, P=6, Q=6)) for c in (2, 4, 6)))


def _told(result: SearchResult) -> str:
    """Return all of a result but how long it took."""
    return json.dumps(result_to_data(replace(result, certificate=replace(result.certificate, seconds=0.0))))


@needs_dask
def test_results_are_those_of_this_process(machines: Machines, tmp_path: Path) -> None:
    design = load_architecture("eyeriss_like")
    local = map_network(_network(), design, estimate(design), workers=1)
    with Store.open(tmp_path / "store") as store:
        there = map_network(_network(), design, estimate(design), workers=machines.address, store=store)
        again = map_network(_network(), design, estimate(design), workers=1, store=store)
    for ours, theirs, kept in zip(local.layers, there.layers, again.layers, strict=True):
        assert _told(ours.result) == _told(theirs.result)
        assert kept.result.certificate.seconds == theirs.result.certificate.seconds  # it was kept, not searched again


@needs_dask
def test_errors_come_back_and_what_is_cancelled_is_not_begun(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        cluster.submit(fail, 1).result(_READY_SECONDS)
    futures = [cluster.submit(traced, str(tmp_path), number, 0.3) for number in range(12)]
    _until(lambda: sum(_counts(tmp_path, "done").values()) >= 2)
    assert all(future.cancel() for future in futures if not future.done())
    assert cluster.submit(traced, str(tmp_path), 99, 0.0).result(_READY_SECONDS)[0] == 99
    assert len(_counts(tmp_path, "begun")) < 12


@needs_dask
def test_a_killed_worker_loses_what_it_was_at_only(machines: Machines, cluster: Cluster, tmp_path: Path) -> None:
    futures = [cluster.submit(traced, str(tmp_path), number, 0.4) for number in range(10)]
    _until(lambda: sum(future.done() for future in futures) >= 3)
    answered = {future.result()[0] for future in futures if future.done()}
    killed = machines.workers.pop(0)
    killed.kill()
    killed.wait()
    machines.workers.append(machines.worker())
    assert sorted(future.result(_READY_SECONDS)[0] for future in futures) == list(range(10))
    begun = _counts(tmp_path, "begun")
    assert all(begun[number] == 1 for number in answered)
    assert 1 <= sum(begun.values()) - 10 <= 3  # the call it was at, and answers that it still had
    assert max(begun.values()) <= 2


@needs_dask
def test_a_scheduler_that_comes_back_gets_what_has_no_answer(
    machines: Machines, cluster: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    futures = [cluster.submit(traced, str(tmp_path), number, 0.4) for number in range(10)]
    _until(lambda: sum(future.done() for future in futures) >= 3)
    answered = {future.result()[0] for future in futures if future.done()}
    machines.restart()
    done, _ = wait(futures, _READY_SECONDS)
    assert sorted(future.result()[0] for future in done) == list(range(10))
    begun = _counts(tmp_path, "begun")
    assert all(begun[number] == 1 for number in answered)
    assert 1 <= sum(begun.values()) - 10 <= 6  # of two workers what they were at, and answers on their way
    assert "went away" in caplog.text


@needs_dask
def test_a_killed_caller_goes_on_where_it_was(machines: Machines, tmp_path: Path) -> None:
    network = tmp_path / "net.csv"
    network.write_text("name,C,M,P,Q,R,S\n" + "".join(f"l{c},{c},8,6,6,3,3\n" for c in range(2, 8)))
    words = ["optimum", str(network), "--on", "eyeriss_like", "--cluster", machines.address, "--json"]
    command = [sys.executable, "-c", f"import sys; from dovetail.cli.main import main; sys.exit(main({words!r}))"]
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "DOVETAIL_CACHE": str(tmp_path), "PYTHONPATH": path}

    def kept() -> list[tuple[bytes, float]]:
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{tmp_path}/{_FILE}?mode=ro", uri=True) as file:
            return sorted(file.execute("SELECT key, stored FROM results"))
        return []

    caller = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _until(lambda: len(kept()) >= 3)
    caller.kill()
    caller.wait()
    before = kept()
    subprocess.run(command, env=environment, capture_output=True, check=True)
    after = kept()
    assert set(before) <= set(after)  # none of them was searched for again
    assert len(after) >= 6


@pytest.mark.parametrize(
    "text",
    ["dask://host", "dask://:8786", "host:8786", "dask://host:0", "dask://host:port", "", "dask://host:²",
     "dask://host:" + "9" * 5000, "dask://a b:1", "dask://[::1", "dask://a\x1b[31m:1", "dask://host:1\n"],
)  # fmt: skip
def test_bad_addresses_get_one_message(text: str) -> None:
    with pytest.raises(InputError, match="is no cluster"):
        cluster_address(text)


@pytest.mark.parametrize(
    "text", ["dask://host:8786", "dask+tls://10.0.0.1:1", "ray://head:10001", "dask://[fe80::1%eth0]:65535"]
)
def test_good_addresses_stay_as_they_are(text: str) -> None:
    assert cluster_address(text) == text


def test_each_executor_takes_addresses_of_its_own_kind() -> None:
    with pytest.raises(InputError, match="ray://head:10001 is a cluster of Ray's"):
        Cluster("ray://head:10001")
    with pytest.raises(InputError, match="dask://head:8786 is a scheduler of Dask's"):
        RayCluster("dask://head:8786")


@needs_dask
def test_nobody_there_is_one_message(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dovetail.cluster.CONNECTING", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"dask://127.0.0.1:{closed.getsockname()[1]}"
        assert main(["optimum", "alexnet", "--on", "eyeriss_like", "--cluster", address]) == 2
    assert "no scheduler of Dask answers" in capsys.readouterr().err


def test_another_version_is_not_asked() -> None:
    kind, error = pickle.loads(answer_there("another", b""))
    assert kind == "error"
    assert isinstance(error, ClusterError)


needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is absent")


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """A cluster of Ray's with two workers."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(str(free.getsockname()[1]))
    options = ["--num-cpus", "2", "--include-dashboard", "false", "--object-store-memory", "80000000"]
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        *options,
    ]
    path = os.pathsep.join([str(_TESTS), *filter(None, sys.path)])
    begun = subprocess.Popen(
        [*command, "--port", ports[0], "--ray-client-server-port", ports[1]],
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"ray://127.0.0.1:{ports[1]}"
    finally:
        begun.terminate()  # it ends what it began
        begun.wait()


def _ray_cluster(address: str) -> Any:
    from dovetail.ray_cluster import RayCluster

    end = time.monotonic() + _READY_SECONDS
    while True:
        try:
            return RayCluster(address)
        except InputError:  # it is not there yet
            assert time.monotonic() < end


@needs_ray
def test_results_on_ray_are_those_of_this_process(ray_address: str) -> None:
    design = load_architecture("eyeriss_like")
    local = map_network(_network(), design, estimate(design), workers=1)
    with _ray_cluster(ray_address) as cluster:
        assert cluster.processes == 2
        there = map_network(_network(), design, estimate(design), workers=cluster)
    for ours, theirs in zip(local.layers, there.layers, strict=True):
        assert _told(ours.result) == _told(theirs.result)


@needs_ray
def test_a_worker_of_ray_that_is_killed_loses_what_it_was_at_only(ray_address: str, tmp_path: Path) -> None:
    with _ray_cluster(ray_address) as cluster:
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            cluster.submit(fail, 1).result(_READY_SECONDS)
        futures = [cluster.submit(traced, str(tmp_path), number, 0.4) for number in range(8)]
        _until(lambda: sum(future.done() for future in futures) >= 2)
        answered = [future.result() for future in futures if future.done()]
        os.kill(answered[0][1], signal.SIGKILL)
        assert sorted(future.result(_READY_SECONDS)[0] for future in futures) == list(range(8))
    begun = _counts(tmp_path, "begun")
    assert all(begun[number] == 1 for number, _ in answered)
    assert sum(begun.values()) <= 10


def test_ray_that_is_absent_or_away_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["optimum", "alexnet", "--on", "eyeriss_like", "--cluster", "ray://127.0.0.1:1"]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(
        "a cluster of Ray's needs the extra 'ray': pip install 'dovetail-codesign[ray]'\n"
    )

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("ray client connection timeout")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=away))
    assert main(words) == 2
    assert "no cluster of Ray's answers at ray://127.0.0.1:1 (ray client connection timeout)" in capsys.readouterr().err
