"""Certificates prove: whatever is changed in one, by whoever knows its form, it does not hold."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dovetail.cli.main import main
from dovetail.components.accelergy_tables import read_energy_table, write_ert
from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.components.estimate import estimate
from dovetail.content import content_key
from dovetail.errors import InputError
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.certificate_file import SearchOptions, read_certificate, write_certificate
from dovetail.mapper.local.sample import sampled_search
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import search
from dovetail.mapper.verify import Verdict, verify
from dovetail.workload.problem import convolution

DESIGN = load_architecture("eyeriss_like")
LAYER = convolution(C=4, M=6, P=6, Q=6, R=3, S=3, name="layer")
ENERGIES = estimate(DESIGN)
RANDOM = SearchOptions(samples=300, seed=7)
ENDED = SearchOptions(time_limit=30.0)
#: What only the file's own key speaks for: names of things, and how a search was asked for that came to the same.
LABELS = (("problem", "name"), ("search", "time_limit"), ("search", "front"), ("search", "interrupted"))


@functools.cache
def _known(key: str) -> list[SearchResult]:
    return []


def once(function: Callable[..., SearchResult], *arguments: Any, **options: Any) -> SearchResult:
    """Search, each thing once: equal questions have equal answers."""
    known = _known(content_key(function.__name__, *(one for one in arguments if one is not DESIGN), options))
    if not known:
        known.append(function(*arguments, **options))
    return known[0]


searched = functools.partial(once, search)


def random_search(*arguments: Any, samples: int = 300, seed: int = 7, **options: Any) -> SearchResult:
    return once(sampled_search, *arguments, **options, samples=samples, seed=seed)


@pytest.fixture(scope="module", params=["exact", "random", "ended", "dear"])
def certificate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A certificate of each kind, and where its energies are from."""
    where, origin = tmp_path_factory.mktemp("certificates") / f"{request.param}.json", "estimated"
    if request.param == "random":
        result = random_search(LAYER, DESIGN, ENERGIES)
        write_certificate(where, result, LAYER, DESIGN, ENERGIES, RANDOM)
    elif request.param == "ended":  # as a search is that has shown half of the value when its time is over
        result = searched(LAYER, DESIGN, ENERGIES, Objective.EDP)
        half = result.certificate.value / 2
        proof = replace(result.certificate, exact=False, tie_proven=False, bound=half, method="stopped early")
        write_certificate(where, replace(result, certificate=proof), LAYER, DESIGN, ENERGIES, ENDED)
    else:
        energies = ENERGIES
        if request.param == "dear":
            costs = {name: replace(cost, actions=dearer(cost)) for name, cost in ENERGIES.components.items()}
            energies, origin = EnergyTable(costs), "ert.yaml"
            write_ert(energies, DESIGN, where.parent / origin)
            energies = read_energy_table(where.parent / origin)
        result = searched(LAYER, DESIGN, energies, Objective.EDP, front=False, time_limit=None)
        write_certificate(where, result, LAYER, DESIGN, energies, SearchOptions(), origin)
    return where, origin


def dearer(cost: ComponentCost) -> dict[str, float]:
    return {action: 2 * pJ for action, pJ in cost.actions.items()}


def verdict(path: Path, origin: str, **options: Any) -> Verdict | str:
    """Return what comes of a certificate: a verdict, or that it is refused."""
    try:
        claim = read_certificate(path)
    except InputError:
        return "refused"
    energies = ENERGIES if origin == "estimated" else read_energy_table(path.parent / origin)
    function: Callable[..., SearchResult] = searched
    if claim.search.samples is not None:
        function = functools.partial(random_search, samples=claim.search.samples, seed=claim.search.seed)
    checks = verify(claim, DESIGN, **{"energies": energies, "energies_from": origin, "search": function, **options})
    verdicts = {check.verdict for check in checks}
    return next((one for one in (Verdict.REJECTED, Verdict.NOT_PROVEN) if one in verdicts), Verdict.HOLDS)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in items:
        if isinstance(one, dict | list):
            yield from leaves(one, (*path, key))
        else:
            yield (*path, key), one


def changes(value: Any) -> list[Any]:
    """Return other values for a leaf: a little more and less, of other signs, sizes and types."""
    wrong: list[Any] = [None, "", [], {}, -1, float("nan"), float("inf"), 10**40, "x"]
    if isinstance(value, bool):
        near: list[Any] = [not value, int(value), str(value).lower()]
    elif isinstance(value, int):
        near = [value + 1, value - 1, 2 * value, float(value) + 0.5, value > 0, str(value)]
    elif isinstance(value, float):
        near = [value * 1.0001, value * 0.9999, 2 * value + 1, value / 2, 0.0, str(value)]
    elif isinstance(value, str):
        near = [value + "x", value[1:], value.upper(), f" {value}", True]
    else:
        near = [True, 1]
    far = wrong[len(repr(value)) % len(wrong)]  # another one for every value
    return [one for one in [*near[:2], far, *near[2:], *wrong] if (type(one), one) != (type(value), value)]


def put(content: Any, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the file's content with one value changed, and the key of what it then is."""
    changed = copy.deepcopy(content)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return sealed(changed)


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "key": content_key({name: value for name, value in content.items() if name != "key"})}


def test_each_kind_of_certificate_holds(certificate: tuple[Path, str]) -> None:
    assert verdict(*certificate) == Verdict.HOLDS


def test_none_holds_without_its_search(certificate: tuple[Path, str]) -> None:
    assert verdict(*certificate, search=None) == Verdict.NOT_PROVEN


def test_no_single_value_can_be_changed(certificate: tuple[Path, str], tmp_path: Path) -> None:
    """Also not by somebody who makes the file's key anew, but for names."""
    path, origin = certificate
    content = json.loads(path.read_text())
    changed = path.with_name("changed.json")
    for place, value in leaves(content):
        for other in changes(value)[: 5 if path.stem == "exact" else 2]:
            new = put(content, place, other)
            if place in (*LABELS, ("key",)):
                new["key"] = other if place == ("key",) else content["key"]
            changed.write_text(json.dumps(new))
            assert verdict(changed, origin) != Verdict.HOLDS, (place, value, other)
        if place != ("key",):
            changed.write_text(json.dumps({**new, "key": content["key"]}))
            assert verdict(changed, origin) != Verdict.HOLDS, place


def test_no_value_can_be_left_out_or_added(certificate: tuple[Path, str]) -> None:
    path, origin = certificate
    content = json.loads(path.read_text())
    changed = path.with_name("changed.json")
    for place, _ in leaves(content):
        new = copy.deepcopy(content)
        at = new
        for key in place[:-1]:
            at = at[key]
        del at[place[-1]]
        more = put(content, (*place[:-1], "more"), 1) if isinstance(place[-1], str) else sealed(new)
        for one in (new if place == ("key",) else sealed(new), more):
            changed.write_text(json.dumps(one))
            assert verdict(changed, origin) != Verdict.HOLDS, place


def test_a_dearer_component_and_all_that_follows_does_not_hold(tmp_path: Path) -> None:
    """Somebody changes the table and searches with it; all else is right."""
    actions = {
        name: dearer(cost) if name == "DRAM" else dict(cost.actions) for name, cost in ENERGIES.components.items()
    }
    energies = EnergyTable({name: ComponentCost(one) for name, one in actions.items()})
    result = searched(LAYER, DESIGN, energies, Objective.EDP)
    where = tmp_path / "dear.json"
    write_certificate(where, result, LAYER, DESIGN, energies)
    assert verdict(where, "estimated") == Verdict.REJECTED
    failed = [check for check in verify(read_certificate(where), DESIGN, energies=ENERGIES) if not check.passed]
    assert "the energies are the design's" in {check.what for check in failed}
    assert verdict(where, "estimated", energies=None) == Verdict.HOLDS, "with the energies in it"


def test_a_mapping_that_is_not_the_best_is_no_optimum(tmp_path: Path) -> None:
    worse, best = random_search(LAYER, DESIGN, ENERGIES), searched(LAYER, DESIGN, ENERGIES, Objective.EDP)
    value = worse.certificate.value
    assert value > best.certificate.value
    where = tmp_path / "worse.json"
    proof = replace(best.certificate, value=value, bound=value)
    write_certificate(where, replace(worse, certificate=proof), LAYER, DESIGN, ENERGIES)
    assert verdict(where, "estimated") == Verdict.NOT_PROVEN
    close = replace(best.certificate, exact=False, bound=0.9999 * value, value=value)
    write_certificate(where, replace(worse, certificate=close), LAYER, DESIGN, ENERGIES, ENDED)
    assert verdict(where, "estimated") == Verdict.NOT_PROVEN


def test_a_second_count_finds_what_the_model_counts_wrong(certificate: tuple[Path, str], monkeypatch) -> None:
    from dovetail.model import charges

    path, origin = certificate
    kept = charges.nearest
    monkeypatch.setattr(charges, "nearest", lambda value: kept(value) + (value > 0))
    energies = ENERGIES if origin == "estimated" else read_energy_table(path.parent / origin)
    checks = verify(read_certificate(path), DESIGN, energies=energies, energies_from=origin)
    assert "a walk through its loops counts what the model does" in {c.what for c in checks if not c.passed}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_says_whose_energies_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = {name: replace(cost, actions=dearer(cost)) for name, cost in ENERGIES.components.items()}
    for name, table in (("dear.yaml", EnergyTable(costs)), ("usual.yaml", ENERGIES)):
        write_ert(table, DESIGN, tmp_path / name)
    ert, where = str(tmp_path / "dear.yaml"), str(tmp_path / "certificate.json")
    layer = ["map", "alexnet@32:1", "--on", "eyeriss_like"]
    assert run(capsys, *layer, "--ert", ert, "--certificate", where)[0] == 0
    code, out, err = run(capsys, "verify", where, "--ert", ert)
    assert (code, err) == (0, "")
    assert out.endswith("the certificate holds\n")
    code, out, err = run(capsys, "verify", where)
    assert code == 0
    assert "with the energies in this certificate" in err
    assert out.endswith("the certificate holds, with the energies in it\n")
    code, out, _ = run(capsys, "verify", where, "--ert", str(tmp_path / "usual.yaml"))
    assert code == 1
    assert "rejected         the energies are the design's: DRAM read" in out
    code, out, _ = run(capsys, "verify", where, "--ert", ert, "--no-search")
    assert code == 1
    assert "not proven again searching again comes to the same: the search was left out" in out


def test_a_name_is_a_label_and_the_command_checks_the_layer_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, other = tmp_path / "certificate.json", tmp_path / "other.json"
    layer = ["alexnet@32:1", "--on", "eyeriss_like", "--samples", "20"]
    assert run(capsys, "map", *layer, "--certificate", str(where))[0] == 0
    content = json.loads(where.read_text())
    content["problem"]["name"] = "resnet18"
    other.write_text(json.dumps(sealed(content)))
    code, out, _ = run(capsys, "verify", str(where), "--layer", "alexnet@32:1")
    assert (code, out.splitlines()[0]) == (0, "holds            the problem is the layer: features.0")
    assert run(capsys, "verify", str(other))[0] == 0
    for layer in (["alexnet@32:1"], ["alexnet@32:2"], ["alexnet@32:1", "--batch", "2"]):
        code, out, _ = run(capsys, "verify", str(other), "--layer", *layer)
        assert code == 1
        assert out.startswith("rejected         the problem is the layer: resnet18 (")


def test_a_reading_of_the_layer_is_the_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, problem = str(tmp_path / "certificate.json"), tmp_path / "p.yaml"
    problem.write_text(
        "problem: {shape: {name: product, dimensions: [m, n, k], data_spaces: [{name: A, projection: [m, k]}, "
        "{name: B, projection: [k, n]}, {name: Z, projection: [m, n], read_write: true}]}, instance: {m: 4, n: 8,"
        " k: 2}}"
    )
    assert run(capsys, "map", str(problem), "--on", "tpu_like", "--samples", "20", "--certificate", where)[0] == 0
    code, out, _ = run(capsys, "verify", where, "--layer", str(problem))
    assert (code, out.splitlines()[0]) == (0, "holds            the problem is the layer: p")
