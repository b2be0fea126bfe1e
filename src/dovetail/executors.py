"""Where calls run, said in one word: in this process, in processes of our own, on a cluster, on any executor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from dovetail.workers import InlineExecutor, WorkerExecutor, available_cpus

#: Processes; a cluster's address (`dovetail.cluster.cluster_address`); an executor; None: one process per CPU.
Workers = int | str | Executor | None


@contextlib.contextmanager
def executor_for(calls: int, workers: Workers) -> Iterator[Executor]:
    """Give an executor for so many calls.

    Args:
        calls: how many there will be.
        workers: the executor itself; the address of a cluster, which is left with the block; or the number of processes
            of one that ends with the block, where one process, or one call, needs no other than this; None: one
            process per CPU.
    """
    if isinstance(workers, Executor):
        yield workers
    elif isinstance(workers, str):
        with _cluster(workers) as cluster:
            yield cluster
    else:
        count = min(available_cpus() if workers is None else workers, calls)
        with InlineExecutor() if count <= 1 else WorkerExecutor(count) as executor:
            yield executor


def _cluster(address: str) -> Executor:
    """Return the cluster at an address; each kind needs an extra."""
    from dovetail.cluster import RAY, Cluster

    if not address.startswith(RAY):
        return Cluster(address)
    from dovetail.ray_cluster import RayCluster

    return RayCluster(address)


def processes_of(executor: Executor) -> int:
    """Return how many calls an executor does at a time; 4 where it does not say."""
    for name in ("processes", "_max_workers"):  # ours; those of the standard library
        if isinstance(count := getattr(executor, name, None), int) and count > 0:
            return count
    return 4
