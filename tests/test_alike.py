"""Layers whose widths only change what an operation costs: one search answers them, as searches of each would."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture, Compute, Constraints, Spatial, Storage
from dovetail.mapper.exact import search as search_module
from dovetail.mapper.exact.space import build_space, forget
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.model.encode import encode_machine
from dovetail.network.alike import settled
from dovetail.network.jobs import Job
from dovetail.store import Store
from dovetail.workers import InlineExecutor
from dovetail.workload.problem import convolution
from dovetail.workload.widths import parse_widths

LAYER = convolution(C=4, M=6, P=4, Q=2, R=3, S=1)
TABLE = EnergyTable(
    {
        "memory": ComponentCost({"read": 64.0, "write": 64.0, "update": 64.0, "leak": 0.0}),
        "buffer": ComponentCost({"read": 4.0, "write": 5.0, "update": 6.0, "leak": 0.5}),
        "array": ComponentCost({}),
        "mac": ComponentCost({"compute": 20.0}),
    }
)


def chip(depth: int, bandwidth: float | None = None) -> Architecture:
    levels = (
        Storage(name="memory", component="DRAM", width=32, datawidth=8, read_bandwidth=bandwidth),
        Storage(name="buffer", component="SRAM", width=32, datawidth=8, depth=depth),
        Spatial(name="array", component="array", fanout_x=2, fanout_y=2),
        Compute(name="mac", component="intmac", datawidth=8, mesh_x=2, mesh_y=2),
    )
    return Architecture("chip", levels)


def jobs_of(architecture: Architecture, widths: list[str], objective: Objective, front: bool) -> dict[str, Job]:
    layers = [LAYER.with_widths(parse_widths(text)) for text in widths]
    made = [Job(layer, architecture, TABLE, objective, front) for layer in layers]
    return {job.key: job for job in made}


def outcomes_of(jobs: dict[str, Job]) -> dict[str, SearchResult | NoMappingError]:
    return dict(settled(jobs, {}, InlineExecutor(), Store.disabled(), dict.fromkeys(jobs, "l")))


WIDTHS = [f"weights={w},inputs={i},sums=16" for w in (8, 7, 5, 4, 3) for i in (8, 6, 4)]


@settings(max_examples=6)
@given(
    st.sampled_from([6, 16, 64]),
    st.sampled_from([None, 0.5]),
    st.lists(st.sampled_from(WIDTHS), min_size=2, max_size=5, unique=True),
    st.sampled_from(Objective),
    st.booleans(),
)
def test_what_follows_is_what_a_search_finds(depth, bandwidth, widths, objective, front):
    jobs = jobs_of(chip(depth, bandwidth), widths, objective, front)
    found = outcomes_of(jobs)
    assert found.keys() == jobs.keys()
    searches = sum(isinstance(each, SearchResult) and each.certificate.states > 0 for each in found.values())
    for key, job in jobs.items():
        own, told = job.run(), found[key]
        assert isinstance(told, SearchResult)
        assert told.certificate.exact
        assert told.certificate.value == pytest.approx(own.certificate.value, rel=1e-12)
        assert (told.cost.energy_pJ, told.cost.cycles) == pytest.approx(
            (own.cost.energy_pJ, own.cost.cycles), rel=1e-12
        )
        least = told.certificate.compulsory_pJ
        if searches == 1:  # it began with nothing
            assert least == pytest.approx(own.certificate.compulsory_pJ, rel=1e-5)  # of singles
        assert job.problem.macs * encode_machine(job.problem, job.architecture, TABLE).compute_pJ <= least
        assert least <= min(told.cost.energy_pJ, own.certificate.compulsory_pJ * (1 + 1e-5))
        points = [[(point.energy_pJ, point.cycles) for point in each.front] for each in (told, own)]
        assert np.array(points[0]) == pytest.approx(np.array(points[1]), rel=1e-12)


def test_searches_of_one_layer_begin_with_what_is_best_at_its_widest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrower values leave the mapping of wider ones room; however calls are spread, all begin alike."""
    narrow, widest, middle = "weights=2,inputs=2,sums=16", "weights=8,inputs=8,sums=16", "weights=4,inputs=4,sums=16"
    jobs = jobs_of(chip(64), [narrow, widest, middle], Objective.EDP, False)
    begun: dict[str, Mapping | None] = {}
    run = Job.run
    monkeypatch.setattr(Job, "run", lambda job: begun.update({job.problem.bits_text: job.begin}) or run(job))
    found = outcomes_of(jobs)
    first = next(found[key] for key, job in jobs.items() if "Weights=8" in job.problem.bits_text)
    assert [text for text, begin in begun.items() if begin is None] == ["Weights=8 Inputs=8 sums=16"]
    assert {begin for begin in begun.values() if begin is not None} == {first.mapping}
    several = dict(settled(jobs, {}, ThreadPoolExecutor(2), Store.disabled(), dict.fromkeys(jobs, "l")))
    assert {key: result.certificate.states for key, result in several.items()} == {
        key: result.certificate.states for key, result in found.items()
    }
    assert {key: result.mapping for key, result in several.items()} == {
        key: result.mapping for key, result in found.items()
    }


def test_a_mapping_that_the_layer_does_not_allow_is_not_begun_with() -> None:
    """Too large for its memory, of another layer, or against a constraint: the search goes as if by itself."""
    wide, narrow = (LAYER.with_widths(parse_widths(text)) for text in ("8", "2"))
    small, keeps = chip(6), Constraints(bypass=frozenset({"Weights"}))
    levels = small.levels
    constrained = replace(small, levels=(levels[0], replace(levels[1], constraints=keeps), *levels[2:]))
    roomy = search_module.search(narrow, chip(64), TABLE).mapping
    other = search_module.search(convolution(C=3, M=5, P=2, Q=1), chip(64), TABLE).mapping
    for architecture in (small, constrained):
        own = search_module.search(wide, architecture, TABLE)
        for begin in (roomy, other):
            told = search_module.search(wide, architecture, TABLE, begin=begin)
            assert (told.mapping, told.cost) == (own.mapping, own.cost)


def searches_of(monkeypatch: pytest.MonkeyPatch, jobs: dict[str, Job]) -> int:
    searched = []
    exact = search_module.search
    monkeypatch.setattr(
        search_module, "search", lambda *given, **options: searched.append(1) or exact(*given, **options)
    )
    outcomes_of(jobs)
    return len(searched)


def test_one_search_does_where_words_hold_as_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = ["weights=8,inputs=8,sums=16", "weights=7,inputs=6,sums=16", "weights=5,inputs=8,sums=16"]
    assert searches_of(monkeypatch, jobs_of(chip(64), widths, Objective.EDP, False)) == 1


def test_two_values_a_word_are_searched_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = ["weights=8,inputs=8,sums=16", "weights=4,inputs=8,sums=16", "weights=3,inputs=8,sums=16"]
    assert searches_of(monkeypatch, jobs_of(chip(64), widths, Objective.EDP, False)) == 2


def test_a_trade_between_energy_and_cycles_is_searched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the best mapping is not the fastest, dearer operations may put a faster one first."""
    widths = ["weights=5,inputs=5,sums=16", "weights=8,inputs=8,sums=16"]
    slow = chip(64, 0.5)
    jobs = jobs_of(slow, widths, Objective.EDP, False)
    first = next(iter(jobs.values())).run()
    assert first.cost.cycles > first.certificate.compute_bound_cycles
    assert searches_of(monkeypatch, jobs) == 2
    assert searches_of(monkeypatch, jobs_of(slow, widths, Objective.ENERGY, False)) == 1


def test_a_remembered_mapspace_has_the_machine_of_the_layer_that_asks() -> None:
    forget()
    narrow, wide = (LAYER.with_widths(parse_widths(text)) for text in ("4", "8"))
    spaces = [build_space(layer, chip(64), TABLE) for layer in (wide, narrow, wide)]
    assert spaces[0].fanouts is spaces[1].fanouts
    assert spaces[0].machine.compute_pJ == spaces[2].machine.compute_pJ > spaces[1].machine.compute_pJ
    assert spaces[1].problem == narrow
    other = replace(
        chip(64), levels=(*chip(64).levels[:2], replace(chip(64).levels[2], fanout_x=1), chip(64).levels[3])
    )
    assert build_space(wide, other, TABLE).fanouts != spaces[0].fanouts
