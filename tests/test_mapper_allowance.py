"""What a search may take: work that is the same on every machine, memory, a clock that every long loop looks at."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from dovetail.cli.main import main
from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Constraints
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.allowance import Allowance, divided
from dovetail.mapper.certificate_file import SearchOptions, read_certificate, write_certificate
from dovetail.mapper.exact import explore, pieces, search
from dovetail.mapper.exact.effort import Effort
from dovetail.mapper.exact.goal import goal_of
from dovetail.mapper.exact.orders import Links, Movement, orders
from dovetail.mapper.exact.prepare import lay_out, prepare
from dovetail.mapper.exact.rows import UNTIL
from dovetail.mapper.exact.space import OutOfReach, build_space
from dovetail.mapper.exact.tables import build_tables, bytes_of_tables
from dovetail.mapper.exact.watch import Watch
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.verify import Verdict, verify
from dovetail.mapping.mapping import Mapping
from dovetail.model import evaluate as model
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import convolution

DESIGN = load_architecture("eyeriss_like")
FREE = replace(DESIGN, levels=tuple(replace(level, constraints=Constraints()) for level in DESIGN.levels))
ENERGIES = estimate(DESIGN)
LAYER = convolution(C=8, M=8, P=4, Q=4, R=3, S=3, name="layer")


def searched(work: int | None) -> SearchResult:
    return search.search(LAYER, DESIGN, ENERGIES, time_limit=Allowance(work=work))


def without_the_clock(result: SearchResult) -> SearchResult:
    return replace(result, certificate=replace(result.certificate, seconds=0.0))


def test_the_same_work_gives_the_same_answer_however_it_is_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine pieces are small."""
    best = searched(None)
    whole = best.certificate.states
    ended = 0
    for work in (100, whole // 3, 100 * whole):
        monkeypatch.setattr(pieces, "QUICK", 0.05)
        first = searched(work)
        monkeypatch.setattr(pieces, "QUICK", 1e-9)
        monkeypatch.setattr(explore, "QUICK", 1e-9)
        monkeypatch.setattr(explore, "BETWEEN", 300)
        assert without_the_clock(searched(work)) == without_the_clock(first)
        assert first.certificate.bound <= best.certificate.value * (1 + 1e-9) <= first.certificate.value * (1 + 2e-9)
        if not first.certificate.exact:
            ended += 1
            assert f"the limit of {work:,} steps of work; more (--work) may be enough" in first.certificate.method
    assert ended == 2
    assert first.certificate.value == best.certificate.value


@pytest.mark.parametrize(
    ("work", "most", "memory"),
    [(6_000, 10**9, 1e9), (10**9, 5_000, 1e9), (10**9, 10**9, 4e6)],
    ids=["work", "partial mappings", "memory"],
)
def test_what_ends_a_step_and_what_is_spent_are_the_same_however_it_is_cut_into_pieces(
    monkeypatch: pytest.MonkeyPatch, work: int, most: int, memory: float
) -> None:
    """What is spent on the way is left to none of what follows, so that later limits would end something else."""
    prepared, met = prepare(build_space(convolution(C=4, M=4, P=7, Q=1, R=3, S=1), FREE, ENERGIES)), []
    for quick, between in ((1e9, 1 << 15), (1e-9, 300)):
        monkeypatch.setattr(explore, "QUICK", quick)
        monkeypatch.setattr(explore, "BETWEEN", between)
        watch = Watch(Allowance(work=work), None)
        watch.spent.compared[0] = 1_500  # as if bounds had been tabulated
        tally = watch.another(most)
        tally.memory = memory
        with pytest.raises(OutOfReach) as ended:
            explore.explore(prepared, goal_of(Objective.EDP.code, 88_000), tally)  # four times the least EDP
        met.append((str(ended.value), tally.stats[:UNTIL].tolist(), watch.spent.work))
    assert met[1:] == met[:-1]
    assert watch.spent.work > 0


@pytest.mark.parametrize("failures", [1, 2])
def test_where_there_is_no_time_for_bounds_weaker_ones_prove_the_same(
    monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    layer = replace(LAYER, bounds=tuple(min(bound, 4) for bound in LAYER.bounds))
    whole, tries, build = search.search(layer, DESIGN, ENERGIES), 0, search.build_completion

    def late(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries <= failures:
            raise OutOfReach("time is up")
        return build(*given)

    monkeypatch.setattr(search, "build_completion", late)
    found = search.search(layer, DESIGN, ENERGIES)
    assert tries == min(2, failures + 1)
    assert found.certificate.exact
    assert found.certificate.value == whole.certificate.value
    assert found.certificate.states >= whole.certificate.states


def test_tables_are_refused_before_they_are_made() -> None:
    space = build_space(LAYER, FREE, ENERGIES)
    tables = build_tables(space)
    made = sum(array.nbytes for array in tables)
    assert made <= bytes_of_tables(space)
    with pytest.raises(OutOfReach, match=r"limit of memory: tables of .* tiles take .* MB, for which there are"):
        lay_out(space, Effort(bytes_of_tables=made - 1))


def test_rows_beyond_the_memory_end_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Allowance, "room", property(lambda _self: 3e6))
    found = search.search(LAYER, FREE, ENERGIES)
    assert not found.certificate.exact
    assert "the limit of memory" in found.certificate.method
    assert "--memory" in found.certificate.method


class _LateError(Exception):
    """Time is up."""


def test_every_long_loop_before_a_search_looks_at_the_clock() -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks > 3:
            raise _LateError

    with pytest.raises(_LateError):
        build_space(convolution(C=5040, M=5040, P=120, Q=120, name="large"), FREE, ENERGIES, look=look)
    space, looks = build_space(LAYER, FREE, ENERGIES), 0
    with pytest.raises(_LateError):
        build_tables(space, look)
    looks = 0
    slides = tuple(2 + place % 2 for place in range(7))
    with pytest.raises(_LateError):
        orders(Movement((), (slides,), Links.ANY), tuple(range(7)), (), (), look)


def test_orders_that_are_told_apart_exactly_are_listed_quickly() -> None:
    """Every order of seven loops that all move a sliding tensor: comparing each with each took minutes."""
    began = time.process_time()
    found = orders(Movement((), ((2, 2, 2, 2, 3, 3, 3),), Links.ANY), tuple(range(7)), (), ())
    assert sorted(found.tolist()) == sorted(map(list, permutations(range(7))))
    assert time.process_time() - began < 3


def test_wide_fanouts_are_counted_the_same_by_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a million children one by one took the interpreter most of a minute."""
    found: Mapping = search.search(LAYER, FREE, ENERGIES, time_limit=Allowance(work=2000)).mapping
    interpreted = evaluate(found, LAYER, FREE, ENERGIES)
    monkeypatch.setattr(model, "MANY_CHILDREN", 1)
    assert model.is_at_hand(model.evaluate_all)
    assert evaluate(found, LAYER, FREE, ENERGIES) == interpreted


def test_what_several_searches_may_take_is_divided() -> None:
    assert divided(None, 3) is None
    assert divided(6.0, 3) == 2.0
    assert divided(Allowance(6.0, 9, 1e9), 3) == Allowance(2.0, 3, 1e9)
    assert divided(Allowance(None, 2, 1e9), 3).work == 1  # type: ignore[union-attr]


def test_a_certificate_says_what_the_search_might_take_and_holds(tmp_path: Any) -> None:
    limit, path = Allowance(work=3000), tmp_path / "proof.json"
    result = search.search(LAYER, FREE, ENERGIES, Objective.ENERGY, time_limit=limit)
    write_certificate(path, result, LAYER, FREE, ENERGIES, SearchOptions(time_limit=limit), "estimated")
    claim = read_certificate(path)
    assert claim.search.time_limit == limit
    checks = verify(claim, FREE, energies=ENERGIES, search=search.search)
    assert Verdict.REJECTED not in {check.verdict for check in checks}, checks
    broken = json.loads(path.read_text())
    broken["search"]["time_limit"]["work"] = -1
    path.write_text(json.dumps(broken))
    with pytest.raises(Exception, match="work"):
        read_certificate(path)


def test_the_command_takes_work_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["map", "resnet18:layer1.0.conv1", "--on", "eyeriss_like"]
    for option, value, said in (("--memory", "0.1", "0.6 GB"), ("--work", "0", "above 0")):
        with pytest.raises(SystemExit, match="2"):
            main([*given, option, value])
        assert said in capsys.readouterr().err
    assert main([*given, "--work", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "50 steps of work" in json.dumps(found)
    assert np.isfinite(found["certificate"]["bound"])
