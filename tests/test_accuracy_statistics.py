"""Intervals against SciPy and against what they promise."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.accuracy.statistics import (
    holm,
    interval,
    paired_difference,
    proportion_interval,
    student_quantile,
    student_tail,
)
from dovetail.errors import InputError

#: Two-sided 95 % points of Student's t, from the printed table in Abramowitz and Stegun, 26.10.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantile_is_the_printed_tables(freedom):
    assert student_quantile(0.95, freedom) == pytest.approx(TABLE[freedom], abs=6e-4)


@given(st.floats(0.01, 0.999), st.integers(1, 60))
def test_quantile_is_scipys(confidence, freedom):
    stats = pytest.importorskip("scipy.stats", reason="SciPy (of the extra torch) is the oracle here")
    assert student_quantile(confidence, freedom) == pytest.approx(stats.t.ppf(0.5 + confidence / 2, freedom), rel=1e-8)


def test_interval_covers_the_mean_as_often_as_it_says():
    source = random.Random(1)
    samples = [[source.gauss(5.0, 2.0) for _ in range(4)] for _ in range(2000)]
    covering = sum(i.low <= 5.0 <= i.high for i in map(interval, samples))
    assert covering / 2000 == pytest.approx(0.95, abs=0.02)


def test_one_value_has_no_interval():
    one = interval([0.5])
    assert (one.mean, one.low, one.high, one.half_width) == (0.5, None, None, None)


def test_equal_values_have_an_empty_interval():
    assert interval([0.25] * 3).half_width == 0.0


def test_pairing_removes_what_seeds_share():
    shared = {seed: random.Random(seed).random() for seed in range(5)}
    better = {seed: value + 0.01 for seed, value in shared.items()}
    paired = paired_difference(shared, better)
    assert paired.mean == pytest.approx(0.01)
    assert paired.low > 0.0
    assert interval(list(shared.values())).half_width > 10 * paired.half_width


def test_pairs_need_the_same_seeds():
    with pytest.raises(InputError, match=r"\[0, 1\] and \[0, 2\]"):
        paired_difference({0: 0.1, 1: 0.2}, {2: 0.1, 0: 0.2})


@given(st.integers(1, 5000), st.data())
def test_wilson_solves_its_equation(count, data):
    hits = data.draw(st.integers(0, count))
    found = proportion_interval(hits, count)
    assert 0.0 <= found.low <= hits / count + 1e-12
    assert hits / count - 1e-12 <= found.high <= 1.0
    for end in (found.low, found.high):  # the ends are where the score test is just not significant
        if 1e-9 < end < 1.0 - 1e-9:
            assert abs(hits / count - end) / math.sqrt(end * (1 - end) / count) == pytest.approx(1.959964, rel=1e-4)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_confidence_is_a_share(confidence):
    with pytest.raises(InputError, match="between 0 and 1"):
        interval([1.0, 2.0], confidence)


@given(st.floats(0.01, 0.999), st.integers(1, 60))
def test_a_tail_is_what_the_quantile_leaves_out(confidence, freedom):
    assert student_tail(student_quantile(confidence, freedom), freedom) == pytest.approx(1 - confidence, abs=1e-9)
    assert student_tail(-student_quantile(confidence, freedom), freedom) == pytest.approx(1 - confidence, abs=1e-9)


def test_holms_correction_is_that_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_correction_keeps_order_and_is_no_harsher_than_bonferronis(values):
    found = holm(values)
    assert all(
        value <= each <= min(1.0, len(values) * value) + 1e-12 for value, each in zip(values, found, strict=True)
    )
    assert [value for _, value in sorted(zip(values, found, strict=True))] == sorted(found)
