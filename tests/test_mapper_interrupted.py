"""A KeyboardInterrupt at any step of a search: it ends with a mapping and a bound that hold, and never raises."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dovetail.mapper
from dovetail.components.estimate import estimate
from dovetail.errors import CapacityError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.certificate_file import SearchOptions, read_certificate, write_certificate
from dovetail.mapper.exact.search import search
from dovetail.mapper.exact.watch import Watch
from dovetail.mapper.imperfect.search import search_imperfect
from dovetail.mapper.local import sample
from dovetail.mapper.local.improve import best_of_few
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.verify import Verdict, verify
from dovetail.mapping.constraints import violations
from dovetail.model.compile import jit, resumed
from dovetail.workload.problem import convolution

DESIGN = load_architecture("eyeriss_like")
ENERGIES = estimate(DESIGN)
LAYER = convolution(C=4, M=6, P=6, Q=6, R=3, S=3, name="layer")
MAPPER = str(Path(dovetail.mapper.__file__).parent)


def searched(objective: Objective, front: bool) -> SearchResult:
    return search(LAYER, DESIGN, ENERGIES, objective, front=front)


def steps(strike: int | None, run: Callable[[], SearchResult]) -> tuple[SearchResult, int]:
    """Run a search and count the mapper's calls and returns from its first step on; interrupt it at one of them."""
    count, begun = 0, False

    def look(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count, begun
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(MAPPER):
            return
        if event == "return" and code.co_flags & inspect.CO_GENERATOR:
            return  # it may be closed unfinished, as by `any`: then Python lets what is raised there go nowhere
        begun = begun or code.co_name == "result"
        if begun and code.co_qualname != "Watch.stop":  # by which the interrupt is answered
            count += 1
            if count == strike:
                raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        return run(), count
    finally:
        sys.setprofile(None)


@functools.cache
def undisturbed(objective: Objective, front: bool) -> tuple[SearchResult, int]:
    searched(objective, front)  # compiles
    return steps(None, lambda: searched(objective, front))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(Objective), st.booleans())
def test_an_interrupt_anywhere_gives_the_best_so_far_and_its_bound(data, objective, front):
    whole, count = undisturbed(objective, front)
    strike = data.draw(st.integers(1, count - 2))  # the last is the return of `search` itself
    found, reached = steps(strike, lambda: searched(objective, front))
    optimum, certificate = whole.certificate.value, found.certificate
    assume(reached >= strike)  # what other searches left in caches may make this one shorter
    assert found.interrupted
    assert certificate.bound <= optimum * (1 + 1e-12)
    assert certificate.value >= optimum * (1 - 1e-12)
    assert certificate.value == objective.value_of(found.cost.energy_pJ, found.cost.cycles)
    assert not violations(found.mapping, LAYER, DESIGN)
    if certificate.exact:
        assert certificate.value == pytest.approx(optimum, rel=1e-12)
        assert not front or len(found.front) == len(whole.front)
    else:
        assert "an interrupt" in certificate.method or (front and "rest of the front" in certificate.method)


def test_what_was_met_before_the_interrupt_is_kept(monkeypatch):
    """Interrupted when all is covered and only the model's cost is missing, the answer is the optimum, proven."""
    from dovetail.mapper.exact.cover import Cover

    count, by_the_model = 0, Cover.by_the_model

    def interrupted(self: Cover, found: Any) -> Any:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyboardInterrupt
        return by_the_model(self, found)

    monkeypatch.setattr(Cover, "by_the_model", interrupted)
    whole, _ = undisturbed(Objective.EDP, False)
    count = 0
    found = searched(Objective.EDP, False)
    assert count > 1
    assert found.certificate.exact
    assert found.certificate.value == whole.certificate.value


def test_a_second_interrupt_is_passed_on(monkeypatch):
    from dovetail.mapper.exact.cover import Cover

    def interrupted(_self: Cover, _found: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cover, "by_the_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(Objective.EDP, False)


def test_a_certificate_of_an_interrupted_search_holds_when_searching_again_shows_more(tmp_path, monkeypatch):
    whole, _ = undisturbed(Objective.ENERGY, False)
    first = True

    def once(self: Watch) -> None:
        nonlocal first
        if first and self.doing:  # what is followed last, with a first mapping at hand
            first = False
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        check = Watch.check
        patch.setattr(Watch, "check", lambda self: (once(self), check(self))[1])
        found = searched(Objective.ENERGY, False)
    assert not first
    assert found.certificate.bound <= whole.certificate.value
    where = tmp_path / "certificate.json"
    write_certificate(where, found, LAYER, DESIGN, ENERGIES, SearchOptions(interrupted=True))
    checks = verify(read_certificate(where), DESIGN, energies=ENERGIES, search=search)
    assert {check.verdict for check in checks} == {Verdict.HOLDS}, checks


@settings(max_examples=8, deadline=None)
@given(st.data(), st.sampled_from(Objective))
def test_an_interrupt_anywhere_in_the_search_with_imperfect_factors_gives_the_best_so_far(data, objective):
    def run() -> SearchResult:
        return search_imperfect(LAYER, DESIGN, ENERGIES, objective, evaluations=300, rounds=4)

    run()  # compiles
    whole, count = steps(None, run)
    perfect, _ = undisturbed(objective, False)
    place = 1 + data.draw(st.integers(0, 10**6)) * (count - 3) // 10**6  # how many steps there are depends on the clock
    found, _ = steps(place, run)
    assert found.interrupted
    assert found.certificate.value == objective.value_of(found.cost.energy_pJ, found.cost.cycles)
    assert found.certificate.bound <= whole.certificate.value * (1 + 1e-12)
    assert not violations(found.mapping, LAYER, DESIGN)
    if found.certificate.exact:
        assert found.certificate.value == pytest.approx(whole.certificate.value, rel=1e-12)
    assert perfect.certificate.value >= whole.certificate.value * (1 - 1e-12)


def test_interrupted_random_mappings_are_those_drawn_so_far(monkeypatch):
    evaluate_batch, count = sample.evaluate_batch, 0

    def interrupted(*given: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return evaluate_batch(*given)

    monkeypatch.setattr(sample, "evaluate_batch", interrupted)
    found = sample.sampled_search(LAYER, DESIGN, ENERGIES, samples=1_000_000, seed=3)
    drawn = found.certificate.states
    same = sample.sampled_search(LAYER, DESIGN, ENERGIES, samples=drawn, seed=3)
    assert found.interrupted
    assert not same.interrupted
    assert 0 < drawn <= 2 * sample.CHUNK
    assert (found.mapping, found.cost) == (same.mapping, same.cost)
    count = 2
    with pytest.raises(KeyboardInterrupt):  # before there is any
        sample.sampled_search(LAYER, DESIGN, ENERGIES, samples=1_000_000, seed=3)


@pytest.mark.parametrize(
    "run", [searched, lambda objective, _front: search_imperfect(LAYER, DESIGN, ENERGIES, objective)]
)
def test_an_interrupt_while_code_is_compiled_is_passed_on(monkeypatch, run):
    """What Numba has half done it never does again: nothing could be compiled for an answer."""
    from dovetail.mapper.exact.cover import Cover

    compiler: dict[str, Any] = {"__name__": "numba.core.typeinfer"}
    exec("def interrupted(*_given): raise KeyboardInterrupt", compiler)
    monkeypatch.setattr(Cover, "best", compiler["interrupted"])
    with pytest.raises(KeyboardInterrupt):
        run(Objective.EDP, False)


@pytest.mark.parametrize("moment", ["lay_out", "first_rows"])
def test_an_interrupted_search_compiles_nothing_for_its_answer(monkeypatch, moment):
    """The first time on a version: an answer by what is compiled, or by plain Python, within a second."""
    whole, _ = undisturbed(Objective.EDP, False)
    module = importlib.import_module(f"dovetail.mapper.exact.{'search' if moment == 'lay_out' else 'cover'}")
    met = getattr(module, moment)

    def interrupted(*given: Any) -> Any:
        monkeypatch.setattr(module, moment, met)
        raise KeyboardInterrupt

    for name in ("search", "cover"):
        monkeypatch.setattr(f"dovetail.mapper.exact.{name}.is_compiled", lambda: False)
        monkeypatch.setattr(f"dovetail.mapper.exact.{name}.improve", None)
    monkeypatch.setattr(module, moment, interrupted)
    found = searched(Objective.EDP, False)
    assert found.interrupted
    assert found.certificate.bound <= whole.certificate.value <= found.certificate.value
    assert not violations(found.mapping, LAYER, DESIGN)
    monkeypatch.setattr("dovetail.mapper.local.improve.evaluate", _too_large)
    with pytest.raises(KeyboardInterrupt, match="had not been compiled"):
        best_of_few(LAYER, DESIGN, ENERGIES)


def _too_large(*_given: Any) -> Any:
    raise CapacityError("level", {"tensor": 2}, 1)


def test_what_is_asked_for_in_haste_is_not_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # where nothing is kept yet

    @jit
    def doubled(number: int) -> int:
        return 2 * number

    asked = 0

    def result() -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise KeyboardInterrupt
        return doubled(4)

    with pytest.raises(KeyboardInterrupt, match="had not been compiled"):
        resumed(result, lambda: None)
    assert doubled(4) == 8
    asked = 0
    assert resumed(result, lambda: None) == 8
