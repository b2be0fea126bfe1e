"""Bucket elimination: the least of a sum of tables over all choices, by removing one knob after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError
from dovetail.shrink.space import Choice

#: Entries of the largest table that elimination may make.
LARGEST_TABLE = 50_000_000

#: A table over knobs: their numbers rising, and one axis for each.
Factor = tuple[tuple[int, ...], NDArray[np.float64]]


class Step(NamedTuple):
    """A knob that was removed by minimising it out.

    Attributes:
        knob: its number.
        rest: the knobs that the best option depends on, all removed later.
        table: one axis for each of those, and the knob's own last: the least sum of what is gone by then.
    """

    knob: int
    rest: tuple[int, ...]
    table: NDArray[np.float64]


def eliminate(sizes: Sequence[int], factors: Sequence[Factor]) -> tuple[float, list[Step]]:
    """Return the smallest sum of the factors over all choices, and how it came about, knob by knob.

    Args:
        sizes: options of each knob.
        factors: tables to be added up.

    Raises:
        InputError: when the knobs are too entangled for tables of a sensible size.
    """
    left, remaining, steps = list(factors), set(range(len(sizes))), []
    while remaining:
        knob = min(remaining, key=lambda knob: (_product(sizes, _scope(left, knob)), knob))
        scope = _scope(left, knob)
        if _product(sizes, scope) > LARGEST_TABLE:
            raise InputError(
                "the layers' channels depend on each other too much to search exactly; try --method netadapt"
            )
        table = np.zeros([sizes[each] for each in scope])
        for own, values in left:
            if knob in own:
                table = table + values.reshape([sizes[each] if each in own else 1 for each in scope])
        left = [factor for factor in left if knob not in factor[0]]
        axis = scope.index(knob)
        rest = tuple(each for each in scope if each != knob)
        steps.append(Step(knob, rest, np.moveaxis(table, axis, -1)))
        left.append((rest, table.min(axis)))
        remaining.remove(knob)
    return float(sum(values for _, values in left)), steps


def minimise(sizes: Sequence[int], factors: Sequence[Factor]) -> tuple[float, Choice]:
    """Return the smallest sum of the factors over all choices, and the choice that has it.

    Arguments and errors are those of `eliminate`.
    """
    value, steps = eliminate(sizes, factors)
    choice = [0] * len(sizes)
    for knob, rest, table in reversed(steps):
        choice[knob] = int(table[tuple(choice[each] for each in rest)].argmin())
    return value, tuple(choice)


def _scope(factors: Sequence[Factor], knob: int) -> tuple[int, ...]:
    return tuple(sorted({knob}.union(*(own for own, _ in factors if knob in own))))


def _product(sizes: Sequence[int], knobs: Sequence[int]) -> int:
    product = 1
    for knob in knobs:
        product *= sizes[knob]
    return product
