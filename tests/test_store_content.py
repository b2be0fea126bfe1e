"""Content keys: equal for equal content in any process, different for different content."""

from __future__ import annotations

import enum
import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.content import content_key
from dovetail.hardware.architecture import Constraints
from mapping_strategies import EYERISS, LAYER

DRAM = EYERISS.levels[0]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from mapping_strategies import EYERISS, LAYER, NEST
from dovetail.content import content_key
print(content_key(EYERISS, LAYER, NEST, {"b": {3, 1, 2}, "a": frozenset({"x", "y", "z"})}, 1.5))
"""


@dataclass(frozen=True)
class Point:
    x: object
    y: object = None


@dataclass(frozen=True)
class Vector:
    x: object
    y: object = None


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def test_the_key_is_the_same_in_every_process_whatever_its_hash_seed():
    keys = set()
    for seed in ("0", "1", "12345", "random"):
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
        answer = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True)
        assert answer.stderr == ""
        keys.add(answer.stdout)
    assert len(keys) == 1


@given(st.dictionaries(st.text(max_size=3), st.integers(), max_size=6), st.randoms())
def test_the_order_of_mappings_and_sets_does_not_matter(values, rng):
    items = list(values.items())
    rng.shuffle(items)
    assert content_key(values) == content_key(dict(items))
    assert content_key(set(values)) == content_key(frozenset(key for key, _ in items))


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1", "None", "set", "float"]),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
)


@given(_plain, _plain)
def test_keys_are_equal_only_for_equal_values(one, other):
    assert (content_key(one) == content_key(other)) is (repr(sort(one)) == repr(sort(other)))


def sort(value):
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return tuple(map(sort, value)) if isinstance(value, tuple) else value


def test_what_differs_has_its_own_key():
    values = [
        *(1, 1.0, True, "1", b"1", None, "None", (), ((),), (1,), {1}, {1: None}, {"1": None}, {(1, None)}),
        *(0.1, 0.1 + 2**-56, float("nan"), float("inf"), Path("1"), Path("a/b"), "a/b"),
        *(Point(1), Point(1, 2), Point(2, 1), Vector(1), Colour.RED, Colour.BLUE, "RED"),
        *(np.array([1, 2]), np.array([1, 2], dtype=np.int32), np.array([[1, 2]]), np.array([1.0, 2.0])),
        EYERISS,
        replace(EYERISS, cycle_seconds=2e-9),
        replace(EYERISS, levels=(replace(DRAM, constraints=Constraints(keep=frozenset("A"))), *EYERISS.levels[1:])),
        LAYER,
        replace(LAYER, bounds=(*LAYER.bounds[:-1], 57)),
    ]
    for one, other in itertools.combinations(values, 2):
        assert content_key(one) != content_key(other), (one, other)
    assert content_key(1, 2) != content_key((1, 2)) != content_key(1, (2,))


def test_the_same_content_built_twice_has_one_key():
    assert content_key([1, 2]) == content_key((1, 2))
    assert content_key(np.array([[1, 2], [3, 4]])[:, 1]) == content_key(np.array([2, 4]))
    assert content_key(np.float64(0.1)) == content_key(0.1)
    assert content_key(Point({"b", "a"})) == content_key(Point(frozenset(["a", "b"])))


@pytest.mark.parametrize("value", [object(), print, (1, object()), Point, np.array([object()]), iter([1])])
def test_what_has_no_content_is_refused(value):
    with pytest.raises(TypeError, match="content of a"):
        content_key(value)
