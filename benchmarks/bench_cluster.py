"""Measures what a job costs beside its search on our own workers and on a Dask cluster, and what that means for many.

    bench_cluster.py                 two workers each, on the loopback; needs the extra dask
    bench_cluster.py --seconds 0.079 2.0 30      mean seconds of a search for the simulation
    bench_cluster.py --real 1 2 4    DenseNet-121 on tpu_like, 3 s a search at most, on so many of Dask's workers each

Jobs carry a real layer and design, and do nothing. Printed are CPU-milliseconds per job of the calling process, which
pickles, hands in and unpickles, and of the scheduler; and the speed-up of 1 to 1,000 workers: simulated, each search
drawn from an exponential distribution of that mean, handed in by one caller and scheduler that take so long each.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import pickle
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from dovetail.cluster import Cluster
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.network.jobs import Job
from dovetail.network.map_network import map_network
from dovetail.workers import WorkerExecutor
from dovetail.workload.loading import load_network
from dovetail.workload.problem import convolution

JOBS = 400
WORKERS = (1, 2, 4, 32, 100, 1000)


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.079, 2.0, 30.0])
    parser.add_argument(
        "--real", type=int, nargs="+", default=[], help="map a network on so many workers, and nothing else"
    )
    args = parser.parse_args()
    if args.real:
        real(args.real)
        return
    design = load_architecture("eyeriss_like")
    job = Job(convolution(C=64, M=64, P=56, Q=56, R=3, S=3), design, estimate(design))
    with WorkerExecutor(2) as executor:
        print(f"own workers: {1e3 * caller_seconds(executor, job):.2f} CPU-ms per job in the calling process")
    caller, scheduler = on_dask(job)
    print(f"Dask: {1e3 * caller:.2f} CPU-ms per job in the calling process, {1e3 * scheduler:.2f} in the scheduler")
    print("workers " + "".join(f"{f'{mean:g} s':>10}" for mean in args.seconds))
    for workers in WORKERS:
        ups = (speed_up(workers, mean, max(caller, scheduler)) for mean in args.seconds)
        print(f"{workers:7} " + "".join(f"{up:10.1f}" for up in ups))


def caller_seconds(executor: Executor, job: Job) -> float:
    """Return CPU-seconds of this process per job."""
    for count in (20, JOBS):  # workers start, and import, in the first few
        began = time.process_time()
        for future in [executor.submit(pickle.dumps, job) for _ in range(count)]:
            future.result()
    return (time.process_time() - began) / JOBS


@contextlib.contextmanager
def dask(workers: int) -> Iterator[tuple[Cluster, subprocess.Popen[bytes]]]:
    """Give a cluster of so many workers on the loopback, and its scheduler's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = [_begun("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")]
    try:
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        begun += [_begun("worker", f"tcp://127.0.0.1:{port}", *options) for _ in range(workers)]
        with Cluster(f"dask://127.0.0.1:{port}") as cluster:
            while cluster.processes < workers:
                time.sleep(0.1)
            yield cluster, begun[0]
    finally:
        for process in begun:
            process.kill()
            process.wait()


def on_dask(job: Job) -> tuple[float, float]:
    """Return CPU-seconds per job of this process and of the scheduler, of a cluster on the loopback."""
    with dask(2) as (cluster, scheduler):
        before = _cpu_seconds(scheduler)
        caller = caller_seconds(cluster, job)
        return caller, (_cpu_seconds(scheduler) - before) / (JOBS + 20)


def real(counts: Sequence[int]) -> None:
    """Map a network on so many workers each, code loaded there and nothing from a store, and print how long it took."""
    design = load_architecture("tpu_like")
    given = load_network("densenet121"), design, estimate(design)
    one = None
    for workers in counts:
        with dask(workers) as (cluster, _):
            few = replace(given[0], layers=given[0].layers[: 4 * workers])
            map_network(few, *given[1:], objective=Objective.ENERGY, time_limit=3.0, workers=cluster)  # loads the code
            began = time.perf_counter()
            cost = map_network(*given, time_limit=3.0, workers=cluster)
            took = time.perf_counter() - began
        one = one or took
        print(
            f"{workers} workers: {len(cost.distinct)} searches in {took:.1f} s, {one / took:.2f} times as fast",
            flush=True,
        )


def speed_up(workers: int, mean: float, serial: float, jobs: int = 20_000) -> float:
    """Return how many times as fast as one search after the other so many workers are.

    Args:
        workers: each does one search at a time.
        mean: seconds of a search.
        serial: seconds that the caller, or the scheduler, is busy per job.
        jobs: searches in all.
    """
    chance = random.Random(0)
    searches: Sequence[float] = [chance.expovariate(1 / mean) for _ in range(jobs)]
    free = [0.0] * workers
    handed_in = end = 0.0
    for seconds in searches:
        handed_in += serial
        end = max(end, begin := max(handed_in, heapq.heappop(free)) + seconds)
        heapq.heappush(free, begin)
    return sum(searches) / end


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


def _begun(what: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dask", what, *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
