"""Results are kept by the identity of what they come from: of the very same objects once, and of none too long."""

from __future__ import annotations

from functools import partial

import pytest

from dovetail.hardware.reader import load_architecture
from dovetail.mapping.constraints import bound_to
from dovetail.same import Remembered
from dovetail.workload.problem import convolution


class Thing:
    """Something with an identity."""


def test_the_very_same_objects_are_worked_out_once() -> None:
    kept: Remembered[list[int]] = Remembered(4)
    one, other = Thing(), Thing()
    first = kept.once((one, other), lambda: [1])
    assert kept.once((one, other), lambda: [2]) is first
    assert kept.once((other, one), lambda: [3]) == [3]
    kept.forget()
    assert kept.once((one, other), lambda: [4]) == [4]


def test_the_oldest_goes_and_no_other_object_takes_its_identity() -> None:
    kept: Remembered[int] = Remembered(2)
    found = [kept.once((Thing(),), partial(int, str(count))) for count in range(100)]
    assert found == list(range(100))


def test_what_fails_is_tried_again() -> None:
    kept: Remembered[int] = Remembered(2)
    thing = Thing()
    with pytest.raises(ZeroDivisionError):
        kept.once((thing,), lambda: 1 // 0)
    assert kept.once((thing,), lambda: 7) == 7


def test_a_design_is_bound_to_a_layer_once() -> None:
    design, layer = load_architecture("eyeriss_like"), convolution(C=4, M=4, P=4, Q=4, R=3, S=3)
    assert bound_to(design, layer) is bound_to(design, layer)
