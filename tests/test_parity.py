"""The model equals the reference on every evaluated mapping: counts exactly, energies to the last digit given."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import oracle
from dovetail.errors import InputError

CASES = list(oracle.cases())


@pytest.fixture(scope="module")
def architectures() -> dict[str, Any]:
    return oracle.architectures()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_equals_the_reference(case: oracle.Case, architectures: dict[str, Any]) -> None:
    found = oracle.differences(case, architectures)
    assert not found, "\n".join(found[:20])


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> oracle.Case:
    """One case of our own at full precision, to spoil."""
    monkeypatch.delenv("DOVETAIL_ORACLE", raising=False)
    return copy.deepcopy(next(case for case in oracle.cases() if case["id"] == "fresh/imp/0/mttkrp"))


def numbers(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every number of a case's expectation stands."""
    if isinstance(part, dict | list):
        items = part.items() if isinstance(part, dict) else enumerate(part)
        return [found for key, value in items for found in numbers(value, (*path, key))]
    return [path] if isinstance(part, int | float) else []


def test_every_number_of_a_case_is_compared(case: oracle.Case) -> None:
    paths = numbers(case["expect"])
    assert len(paths) > 150
    for path in paths:
        spoiled = copy.deepcopy(case)
        part = spoiled["expect"]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = part[path[-1]] * (1 + 1e-9) + 1
        assert oracle.differences(spoiled, {}), path


def test_what_a_case_expects_and_we_do_not_know_is_a_difference(case: oracle.Case) -> None:
    for part in (case["expect"], case["expect"]["compute"], case["expect"]["levels"][0]):
        part["queue_depth"] = 3
        assert any("'queue_depth' is not known" in line for line in oracle.differences(case, {}))
        del part["queue_depth"]
    case["architecture"][0]["row_buffer"] = 3
    with pytest.raises(AssertionError, match="row_buffer"):
        oracle.differences(case, {})
    del case["architecture"][0]["row_buffer"]
    case["mapping"][0]["prefetch"] = ["A"]
    with pytest.raises(InputError, match="prefetch"):
        oracle.differences(case, {})


def test_a_case_may_lack_any_part_of_what_is_expected(case: oracle.Case) -> None:
    for key in list(case["expect"]):
        part = copy.deepcopy(case)
        del part["expect"][key]
        assert not oracle.differences(part, {})


def test_rejections_are_compared(case: oracle.Case) -> None:
    accepted = {**case, "expect": None, "error": "ERROR: couldn't map level buf1: ..."}
    assert any("accepted" in line for line in oracle.differences(accepted, {}))
    rejected = next(other for other in oracle.cases() if other["id"] == "fresh/imp/6/grouped")
    rejected.pop("expect", None)
    assert not oracle.differences(rejected, {})
    rejected["error"] = rejected["error"].replace("exceeds buffer capacity 18", "exceeds buffer capacity 19")
    assert oracle.differences(rejected, {})


def test_cases_are_read_packed_or_plain_and_of_several_files(
    case: oracle.Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(case) + "\n\n"
    (tmp_path / "plain.jsonl").write_text(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("DOVETAIL_ORACLE", f"{tmp_path / 'plain.jsonl'}:{tmp_path / 'packed'}")
    assert list(oracle.cases()) == [case, case]
