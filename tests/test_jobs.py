"""Jobs and executors: one job is one value, any executor may run it, and only the caller touches the store."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.errors import NoMappingError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.network import jobs as jobs_module
from dovetail.network.jobs import Job, Sampled, outcome
from dovetail.network.map_network import map_networks
from dovetail.network.plain import network_result
from dovetail.network.sweep import sweep_layer
from dovetail.store import Store
from dovetail.workers import InlineExecutor, WorkerError, WorkerExecutor, run_all
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import Problem, convolution
from dovetail.workload.problem_yaml import write_problem
from network_search import failing_search, quick_search

DESIGN = load_architecture("eyeriss_like")
ENERGIES = estimate(DESIGN)


def problem(m: int) -> Problem:
    return convolution(C=4, M=m, P=6, Q=6, R=3, S=3, name=f"M{m}")


def pair(*sizes: int):
    layers = tuple(Layer(f"l{place}", problem(m)) for place, m in enumerate(sizes))
    return Network("net", layers), DESIGN, ENERGIES


def executors() -> dict[str, Executor]:
    spawn = multiprocessing.get_context("spawn")
    return {
        "ours": WorkerExecutor(2),
        "inline": InlineExecutor(),
        "threads": ThreadPoolExecutor(2),
        "spawned": ProcessPoolExecutor(2, mp_context=spawn),
    }


@pytest.fixture(scope="module", params=list(executors()))
def executor(request):
    with executors()[request.param] as started:
        yield started


@pytest.fixture(scope="module")
def alone():
    """What the exact search finds in this process."""
    return map_networks([pair(8, 12, 8), pair(12, 14)], front=True, workers=1)


def without_seconds(costs):
    """Costs, without how long searches took."""

    def timeless(each):
        certificate = replace(each.result.certificate, seconds=0.0)
        return replace(each, result=replace(each.result, certificate=certificate))

    return [replace(cost, layers=tuple(map(timeless, cost.layers))) for cost in costs]


def test_every_executor_gives_the_same(executor, alone):
    costs = map_networks([pair(8, 12, 8), pair(12, 14)], front=True, workers=executor)
    assert without_seconds(costs) == without_seconds(alone)
    here, there = ([network_result(cost) for cost in without_seconds(each)] for each in (costs, alone))
    assert json.dumps(here) == json.dumps(there)


def test_errors_come_back_from_every_executor(executor):
    with pytest.raises(NoMappingError, match="l1 on eyeriss_like: M is 5"):
        map_networks([pair(8, 5, 9)], search=failing_search, workers=executor)
    with pytest.raises((ZeroDivisionError, RuntimeError), match="a bug"):
        map_networks([pair(8, 6)], search=failing_search, workers=executor)
    assert executor.submit(abs, -3).result() == 3, "an executor that was handed in goes on"


def test_an_executor_that_breaks_names_all_that_is_lost():
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
        pytest.raises(WorkerError, match=r"no result for l0 on eyeriss_like \(.*\), l1 on eyeriss_like \("),
    ):
        map_networks([pair(7, 9)], search=failing_search, workers=executor)


class Breaking(InlineExecutor):
    """Takes one call and then no more."""

    taken = False

    def submit(self, fn, /, *args, **kwargs):
        if self.taken:
            raise BrokenExecutor("broken")
        self.taken = True
        return super().submit(fn, *args, **kwargs)


def test_what_an_executor_no_longer_takes_is_named():
    answers = run_all(abs, [(-1,), (-2,), (-3,)], Breaking())
    assert next(answers) == (0, 1)
    with pytest.raises(WorkerError, match=r"no result for call 2 \(broken\), call 3 \(broken\)"):
        next(answers)


class Failing(Executor):
    """Fails at the first call and begins with no other."""

    def __init__(self):
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        self.futures.append(Future())
        if len(self.futures) == 3:
            self.futures[0].set_exception(ValueError("wrong"))
        return self.futures[-1]


def test_calls_not_begun_are_cancelled_where_one_fails():
    executor = Failing()
    with pytest.raises(ValueError, match="wrong"):
        next(run_all(abs, [(1,), (2,), (3,)], executor))
    assert [future.cancelled() for future in executor.futures] == [False, True, True]


def test_results_inline_are_told_one_by_one():
    seen = []
    answers = run_all(seen.append, [(1,), (2,)], InlineExecutor())
    next(answers)
    assert seen == [1]


def test_a_sweep_takes_any_executor():
    with ThreadPoolExecutor(2) as threads:
        one, other = (
            sweep_layer(problem(8), DESIGN, ENERGIES, "M", [4, 7, 8], search=quick_search, workers=workers)
            for workers in (1, threads)
        )
    assert one == other


#: Begins in every Python process that is started: says which opens a database.
WATCH = """
import os, sys
def watch(event, arguments):
    if event == "sqlite3.connect":
        with open({file!r}, "a") as stream:
            stream.write(f"{{event}} {{os.getpid()}}\\n")
sys.addaudithook(watch)
"""


def open_store(path: str) -> int:
    with Store.open(Path(path)):
        return os.getpid()


@pytest.mark.parametrize("which", ["ours", "spawned"])
def test_only_the_caller_touches_the_store(which, tmp_path, monkeypatch):
    watched = tmp_path / "watched"
    (tmp_path / "sitecustomize.py").write_text(WATCH.format(file=str(watched)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    with Store.open(tmp_path / "store.sqlite3") as store, executors()[which] as executor:
        map_networks([pair(8, 10)], store=store, workers=executor)
        assert store.state().entries == 2
        assert not watched.exists(), watched.read_text(encoding="utf-8")
        pid = executor.submit(open_store, str(tmp_path / "other.sqlite3")).result()
        assert f"sqlite3.connect {pid}\n" in watched.read_text(encoding="utf-8"), "a worker that did would be seen"


SEARCHES = st.none() | st.builds(Sampled, st.integers(1, 50), st.integers(0, 9)) | st.just(quick_search)
JOBS = st.builds(
    Job,
    st.builds(
        convolution,
        C=st.integers(1, 64),
        M=st.integers(1, 64),
        P=st.integers(1, 9),
        Q=st.just(1),
        R=st.just(1),
        S=st.just(1),
    ),
    st.sampled_from([DESIGN, load_architecture("tpu_like")]),
    st.just(ENERGIES),
    st.sampled_from(Objective),
    st.booleans(),
    st.none() | st.floats(0.1, 10),
    SEARCHES,
)

#: Prints the keys of pickled jobs.
KEYS = "import pickle, sys; print(*(job.key for job in pickle.load(sys.stdin.buffer)))"


@settings(max_examples=3, deadline=None)
@given(st.lists(JOBS, min_size=1, max_size=20))
def test_a_job_is_pickled_and_its_key_is_the_same_in_any_process(jobs):
    pickled = pickle.dumps(jobs)
    assert pickle.loads(pickled) == jobs
    keys = [job.key for job in jobs]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        run = subprocess.run([sys.executable, "-c", KEYS], input=pickled, env=environment, capture_output=True)
        assert run.stdout.decode().split() == keys, run.stderr


@settings(max_examples=50, deadline=None)
@given(JOBS, JOBS)
def test_keys_are_equal_where_content_is(one, other):
    def content(job):
        return replace(job, time_limit=None)

    assert (one.key == other.key) == (content(one) == content(other))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("tie_proven", [True, False])
@pytest.mark.parametrize("time_limit", [None, 1.0])
@pytest.mark.parametrize("interrupted", [True, False])
def test_what_a_clock_or_an_interrupt_left_open_does_not_last(exact, tie_proven, time_limit, interrupted):
    result = quick_search(problem(8), DESIGN, ENERGIES)
    certificate = replace(result.certificate, exact=exact, tie_proven=tie_proven)
    result = replace(result, certificate=certificate, interrupted=interrupted)
    job = Job(problem(8), DESIGN, ENERGIES, time_limit=time_limit)
    assert job.lasts(result) == ((exact and tie_proven) or (time_limit is None and not interrupted))


def test_map_and_networks_find_what_the_other_has_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(jobs_module, "exact_search", no_progress(quick_search))
    for m in (8, 9):
        (tmp_path / f"{m}.yaml").write_text(write_problem(problem(m)), encoding="utf-8")
    words = ["--on", "eyeriss_like", "--json"]
    assert main(["map", str(tmp_path / "8.yaml"), *words]) == 0
    with Store.open() as store:
        map_networks([pair(9)], store=store, workers=1)
    monkeypatch.delattr(jobs_module, "exact_search")
    capsys.readouterr()
    assert main(["map", str(tmp_path / "9.yaml"), *words]) == 0
    assert "from the store" in capsys.readouterr().err
    with Store.open() as store:
        (cost,) = map_networks([pair(8)], store=store, workers=1)
    assert cost.layers[0].cost == quick_search(problem(8), DESIGN, ENERGIES).cost


def no_progress(search):
    return lambda *given, progress=None, **options: search(*given, **options)


def test_a_job_without_a_mapping_says_so_as_its_outcome():
    job = Job(problem(5), DESIGN, ENERGIES, search=failing_search)
    with pytest.raises(NoMappingError, match="M is 5"):
        job.run()
    assert str(outcome(job)) == "M is 5"


def test_a_random_search_is_a_value():
    job = Job(problem(8), DESIGN, ENERGIES, search=Sampled(50, seed=3))
    again = pickle.loads(pickle.dumps(job))
    assert again == job
    assert again.run().mapping == job.run().mapping


def test_dask_runs_jobs(alone):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        costs = map_networks([pair(8, 12, 8), pair(12, 14)], front=True, workers=client.get_executor())
    assert without_seconds(costs) == without_seconds(alone)
