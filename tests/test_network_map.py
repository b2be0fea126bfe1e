"""Mapping networks: each distinct layer once, sums, the store, worker processes, interruption."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dovetail.components.estimate import estimate
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.objective import Objective
from dovetail.mapper.search import search
from dovetail.network import jobs as jobs_module
from dovetail.network.bottleneck import diagnose_network
from dovetail.network.costs import Totals, sum_of, totals_of
from dovetail.network.jobs import Job, Sampled
from dovetail.network.map_network import map_network, map_networks
from dovetail.network.plain import network_result
from dovetail.network.records import result_from_data, result_to_data
from dovetail.network.rows import layers_table
from dovetail.store import Store
from dovetail.workers import WorkerError
from dovetail.workload.densities import Hypergeometric
from dovetail.workload.loading import load_network
from dovetail.workload.network import Layer, Network
from dovetail.workload.problem import convolution
from network_search import counted_search, failing_search, quick_search


def _network(*sizes, name="net"):
    layers = tuple(
        Layer(f"l{i}", convolution(C=4, M=m, P=6, Q=6, R=3, S=3, name=f"l{i}"), 1, "convolution", (f"l{i}",), "N")
        for i, m in enumerate(sizes)
    )
    return Network(name, layers)


@pytest.fixture(scope="module")
def design():
    architecture = load_architecture("eyeriss_like")
    return architecture, estimate(architecture)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    file = tmp_path / "calls"
    monkeypatch.setenv("SEARCH_CALLS", str(file))
    return lambda: file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def test_each_distinct_layer_is_mapped_once(design, calls):
    cost = map_network(_network(8, 16, 8, 8), *design, search=counted_search, workers=1)
    assert len(calls()) == 2
    assert [each.name for each in cost.layers] == ["l0", "l1", "l2", "l3"]
    assert [each.layer.repeats for each in cost.distinct] == [3, 1]


def test_results_add_up(design):
    cost = map_network(_network(8, 16, 8), *design, search=quick_search, workers=1)
    energies = [each.cost.energy_pJ for each in cost.layers]
    assert cost.energy_pJ == pytest.approx(math.fsum(energies), rel=1e-14)
    assert cost.cycles == sum(each.cost.cycles for each in cost.layers)
    assert cost.edp_J_cycle == pytest.approx(cost.energy_pJ * 1e-12 * cost.cycles)
    assert math.fsum(cost.totals.energy_by_component.values()) == pytest.approx(cost.energy_pJ)
    assert math.fsum(cost.totals.energy_by_tensor.values()) == pytest.approx(cost.energy_pJ)
    assert sum((each.totals for each in cost.layers), Totals()).cycles == cost.cycles
    assert sum_of((each.totals, 1) for each in cost.distinct).energy_pJ == pytest.approx(cost.energy_pJ)
    slots = cost.cycles * cost.architecture.compute.instances
    assert cost.utilization == pytest.approx(cost.network.macs / slots)


def test_repeats_multiply(design):
    network = _network(8)
    thrice = replace(network, layers=(replace(network.layers[0], repeats=3),))
    one, three = (map_network(n, *design, search=quick_search, workers=1) for n in (network, thrice))
    assert three.cycles == 3 * one.cycles
    assert three.energy_pJ == pytest.approx(3 * one.energy_pJ)
    assert three.totals == totals_of(one.layers[0].cost).times(3)
    assert three.utilization == one.utilization


def test_workers_give_the_same_bits(design):
    network = _network(8, 12, 8, 14)
    seen = []
    alone = map_network(network, *design, front=True, search=quick_search, workers=1)
    together = map_network(network, *design, front=True, search=quick_search, workers=2, progress=seen.append)
    assert [each.done for each in seen] == [1, 2, 3]
    assert {each.layer for each in seen} == {"l0", "l1", "l3"}
    assert seen[-1].seconds_left == 0
    assert alone == together
    assert json.dumps(network_result(alone)) == json.dumps(network_result(together))


def test_json_and_csv_hold_every_layer(design):
    cost = map_network(load_network("alexnet"), *design, search=quick_search, workers=1)
    data = json.loads(json.dumps(network_result(cost, diagnose_network(cost))))
    assert data["cycles"] == sum(layer["cycles"] * layer["repeats"] for layer in data["layers"])
    assert data["macs"] == sum(layer["macs"] * layer["repeats"] for layer in data["layers"])
    for layer in data["layers"]:
        assert layer["edp_J_cycle"] == pytest.approx(layer["energy_pJ"] * 1e-12 * layer["cycles"])
        assert 0 < layer["utilization"] <= 1
        assert layer["diagnosis"]["binding"]
        assert layer["exact"] is layer["certificate"]["exact"]
        assert sum(layer["energy_by_level_pJ"].values()) == pytest.approx(layer["energy_pJ"])
    rows = list(csv.DictReader(layers_table([cost], [diagnose_network(cost)]).csv().splitlines()))
    assert [row["layer"] for row in rows] == [layer["layer"] for layer in data["layers"]]
    for row, layer in zip(rows, data["layers"], strict=True):
        assert {key: row[key] for key in ("network", "design", "binding", "what", "exact")} == {
            "network": data["network"],
            "design": data["design"],
            "binding": layer["diagnosis"]["binding"],
            "what": layer["diagnosis"]["what"],
            "exact": str(layer["exact"]),
        }
        for key in ("row", "repeats", "macs", "cycles", "energy_pJ", "edp_J_cycle", "utilization", "dram_words"):
            assert float(row[key]) == layer[key]
        for level, energy in layer["energy_by_level_pJ"].items():
            assert float(row[f"{level}_pJ"]) == energy
    assert "alexnet on eyeriss_like" in str(cost)
    assert "<table>" in cost._repr_html_()


def test_records_come_back_equal(design):
    problem = _network(8).layers[0].problem
    result = quick_search(problem, *design, front=True)
    assert result.front
    assert result_from_data(json.loads(json.dumps(result_to_data(result)))) == result


def test_records_of_sparse_designs_come_back_equal():
    problem = convolution(C=8, M=8, P=2, Q=2, name="half")
    problem = replace(problem, densities=tuple(Hypergeometric(0.5) for _ in problem.shape.tensors))
    design = load_architecture("sparse_tensor_core")
    result = search(problem, design, estimate(design))
    again = result_from_data(json.loads(json.dumps(result_to_data(result))))
    assert again == result
    assert again.cost.zeros_table() == result.cost.zeros_table()


@pytest.fixture
def exact(monkeypatch):
    """Let the quick search stand where the exact mapper stands, so that results are stored."""
    monkeypatch.setattr(jobs_module, "exact_search", counted_search)


def test_stored_results_are_found_again(design, tmp_path, calls, exact):
    with Store.open(tmp_path / "store.sqlite3") as store:
        first = map_network(_network(8, 16), *design, store=store, workers=1)
        seen: list[object] = []
        second = map_network(_network(16, 8, 8), *design, store=store, workers=1, progress=seen.append)
        assert len(calls()) == 2
        assert seen == []
        assert second.layers[1].result == first.layers[0].result
        map_network(_network(8), *design, store=store, workers=1, front=True)
        map_network(_network(8), *design, store=store, workers=1, objective=Objective.ENERGY)
        assert len(calls()) == 4, "another objective or a front is another result"


def test_inexact_results_are_not_stored(design, tmp_path, calls, monkeypatch):
    def inexact(*arguments, **options):
        result = counted_search(*arguments, **options)
        return replace(result, certificate=replace(result.certificate, exact=False))

    monkeypatch.setattr(jobs_module, "exact_search", inexact)
    with Store.open(tmp_path / "store.sqlite3") as store:
        for _ in range(2):
            cost = map_network(_network(8), *design, store=store, workers=1, time_limit=1e-3)
            assert not cost.exact
        assert len(calls()) == 2
        for _ in range(2):
            map_network(_network(8), *design, store=store, workers=1)
        assert len(calls()) == 3, "without a clock the same comes out every time"


def test_several_networks_share_their_layers(design, calls):
    one, other = map_networks(
        [(_network(8, 16), *design), (_network(16, 32, name="other"), *design)], search=counted_search, workers=1
    )
    assert len(calls()) == 3
    assert one.layers[1].result == other.layers[0].result


def test_keys_follow_content(design):
    architecture, energies = design
    job = Job(_network(8).layers[0].problem, architecture, energies)
    renamed = replace(job, problem=replace(job.problem, name="x"), architecture=replace(architecture, name="x"))
    assert renamed.key == job.key
    assert replace(job, time_limit=1.0).key == job.key, "what is proven within a time limit is proven without"
    others = [
        replace(job, architecture=replace(architecture, cycle_seconds=2e-9)),
        replace(job, front=True),
        replace(job, objective=Objective.ENERGY),
        replace(job, problem=_network(9).layers[0].problem),
        replace(job, search=Sampled(10)),
        replace(job, search=Sampled(10, seed=1)),
        replace(job, search=Sampled(11)),
        replace(job, search=quick_search),
        replace(job, search=counted_search),
    ]
    assert len({each.key for each in [job, *others]}) == 1 + len(others)


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_reach_the_caller(design, workers):
    with pytest.raises(NoMappingError, match="l1 on eyeriss_like: M is 5"):
        map_network(_network(8, 5, 9), *design, search=failing_search, workers=workers)
    with pytest.raises(InputError, match="no layers"):
        map_network(Network("empty", ()), *design, search=quick_search)


def test_a_bug_in_a_worker_is_told_with_its_traceback(design):
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        map_network(_network(8, 6), *design, search=failing_search, workers=2)


def test_a_killed_worker_is_told_and_the_rest_goes_on(design):
    seen = []
    with pytest.raises(WorkerError, match=r"no result for l1 on eyeriss_like \(its worker process was killed, SIGKILL"):
        map_network(
            _network(8, 7, 9, 10, 11),
            *design,
            search=failing_search,
            workers=2,
            progress=lambda it: seen.append(it.layer),
        )
    assert sorted(seen) == ["l0", "l2", "l3", "l4"]


@pytest.mark.parametrize(("exact", "tie_proven"), [(True, True), (True, False), (False, False)])
def test_an_interrupt_of_one_layer_ends_all_and_keeps_what_is_finished(
    design, tmp_path, monkeypatch, exact, tie_proven
):
    """As with one process, where the search itself answers an interrupt; what it cut short is not stored."""
    done = []

    def search(*given, **options):
        found = quick_search(*given, **options)
        done.append(found)
        if len(done) < 3:
            return found
        certificate = replace(found.certificate, exact=exact, tie_proven=tie_proven)
        return replace(found, interrupted=True, certificate=certificate)

    monkeypatch.setattr(jobs_module, "exact_search", search)
    with Store.open(tmp_path / "store.sqlite3") as store:
        with pytest.raises(KeyboardInterrupt):
            map_network(_network(*range(8, 18)), *design, store=store, workers=1)
        assert len(done) == 3
        assert store.state().entries == (3 if exact and tie_proven else 2)


_INTERRUPTED = """
import sys
sys.path.insert(0, {tests!r})
from dovetail.network import jobs as module
from dovetail.network.map_network import map_network
from network_search import slow_search
from test_network_map import _network
from dovetail.components.estimate import estimate
from dovetail.hardware.reader import load_architecture
from dovetail.store import Store
module.exact_search = slow_search
module.engine_version = lambda: "a test"
architecture = load_architecture("eyeriss_like")
with Store.open(__import__("pathlib").Path({store!r})) as store:
    map_network(_network(*range(8, 18)), architecture, estimate(architecture), store=store, workers=1)
"""


def test_a_killed_run_goes_on_where_it_was(design, tmp_path, calls, exact, monkeypatch):
    monkeypatch.setattr(jobs_module, "engine_version", lambda: "a test")
    file = tmp_path / "store.sqlite3"
    code = _INTERRUPTED.format(tests=str(Path(__file__).parent), store=str(file))
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ})
    deadline = time.monotonic() + 60
    while len(calls()) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = len(calls())
    assert 3 <= before < 10
    with Store.open(file) as store:
        assert store.state().entries >= before - 1
        map_network(_network(*range(8, 18)), *design, store=store, workers=1)
    assert len(calls()) <= 11
