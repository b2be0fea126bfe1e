"""Runs jobs on an executor: what each comes to is kept in the store as soon as it is there, by this process alone."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from collections.abc import Mapping as MappingOf
from concurrent.futures import Executor

from dovetail.errors import NoMappingError
from dovetail.mapper.result import SearchResult
from dovetail.network.jobs import Job, outcome
from dovetail.network.records import keep
from dovetail.store import Store
from dovetail.workers import run_all

#: What a job comes to: that there is no mapping is an answer, too.
Outcome = SearchResult | NoMappingError


def outcomes(
    jobs: MappingOf[str, Job], executor: Executor, store: Store, names: Sequence[str]
) -> Generator[tuple[str, Outcome], None, None]:
    """Yield key and outcome of jobs as they finish; close it, or read it to its end.

    Args:
        jobs: by key; what the store has of them is not looked up here (`dovetail.network.records.kept_results`).
        executor: where they run.
        store: where results that last are kept.
        names: what to call each job in messages.

    A KeyboardInterrupt that ended a search is passed on once its result is kept.

    Raises:
        WorkerError: after all other jobs: some were killed, or ran out of memory; says which.
    """
    keys = list(jobs)
    with contextlib.closing(run_all(outcome, [(job,) for job in jobs.values()], executor, names=names)) as answers:
        for place, result in answers:
            if isinstance(result, SearchResult):
                keep(store, jobs[keys[place]], result)
                result.unless_interrupted()
            yield keys[place], result
