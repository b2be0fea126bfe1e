"""Named tuples of arrays that compiled code hands on by their address, and parts that are compiled once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import typeof

from dovetail.model import compile as compile_module
from dovetail.model.arrays import Floats, Ints
from dovetail.model.by_address import ByAddress, by_address
from dovetail.model.compile import jit_plain, part


@by_address
class Pair(NamedTuple):
    left: Floats
    right: Floats


@by_address
class Swapped(NamedTuple):
    right: Floats
    left: Floats


@by_address
class Both(NamedTuple):
    number: int
    pair: Pair
    swapped: Swapped
    places: Ints
    sure: bool


@part()
def doubled(value: float) -> float:
    return 2.0 * value


@part(inline=True)
def inlined(value: float) -> float:
    return doubled(value) + 1.0


@part()
def weighed(pair: Pair, at: int) -> float:
    return doubled(float(pair.left[at])) - inlined(float(pair.right[at]))


@part()
def swapped(pair: Swapped, at: int) -> float:
    return float(pair.left[at] - pair.right[at])


@jit_plain
def total(both: Both, out: Floats) -> float:
    found = 0.0
    for i in range(both.places.shape[0]):
        out[i] = weighed(both.pair, both.places[i]) + both.number
        found += out[i] + (swapped(both.swapped, i) if both.sure else 0.0)
    return found


@pytest.fixture
def both() -> Both:
    left, right = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.25, 0.125])
    return Both(3, Pair(left, right), Swapped(right, left), np.array([2, 0]), True)


def test_fields_are_read_where_they_lie_and_parts_compiled_once(
    both: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever options the functions have that call a part: one compilation of it serves all."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # where nothing is kept yet
    names: list[str] = []
    compile_extra = compile_module._Part.compile_extra

    def noted(self: Any, function: Any) -> Any:
        names.append(function.__name__)
        return compile_extra(self, function)

    monkeypatch.setattr(compile_module._Part, "compile_extra", noted)
    out, expected = np.zeros(2), np.zeros(2)
    assert total(both, out) == total.py_func(both, expected)  # type: ignore[attr-defined]
    assert out.tolist() == expected.tolist() == [(8 - 1.25) + 3, (2 - 2) + 3]
    assert sorted(names) == ["doubled", "inlined", "swapped", "weighed"]
    assert isinstance(total.signatures[0][0], ByAddress)  # type: ignore[attr-defined]
    assert total(both._replace(sure=False), out) == sum(expected)


def test_classes_whose_fields_have_other_names_are_other_types(both: Both) -> None:
    assert typeof(both.pair) != typeof(both.swapped)
    assert typeof(both.pair) == typeof(Pair(np.zeros(1), np.zeros(2)))
    assert typeof(both).name != typeof(both._replace(number=1.5)).name
