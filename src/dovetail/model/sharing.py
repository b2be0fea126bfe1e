"""How many different tiles a fan-out hands out, and how many children share one: closed forms, where they hold.

Where they do not, `dovetail.model.links` lists the children. Compiled, and plain Python where nothing is compiled.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import numpy as np

from dovetail.model.arrays import Ints, Rules, Workspace
from dovetail.model.compile import part


@part(inline=True)
def moves(rules: Rules, tensor: int, d: int) -> bool:
    """Return whether a step along a dimension moves a tensor's tile."""
    for axis in range(rules.coefficients.shape[1]):  # noqa: SIM110 - Numba compiles no any()
        if rules.coefficients[tensor, axis, d] != 0:
            return True
    return False


@part()
def distinct_sums(a: int, b: int, first: int, second: int) -> tuple[int, int]:
    """Return how many values ``a*i + b*j`` takes for ``i < first``, ``j < second``, and the most pairs on one value."""
    x, y = a, b
    while y:
        x, y = y, x % y
    a, b = a // x, b // x
    values = first * second - max(0, first - b) * max(0, second - a)
    return values, min((first + b - 1) // b, (second + a - 1) // a)


@part(inline=True)
def tiles_handed_out(rules: Rules, tensor: int, level: int, work: Workspace) -> tuple[int, int]:
    """Return how many different tiles a fan-out hands out, and how many children at most share one.

    (0, 0) where the closed form does not hold: more than two spatial dimensions on one axis, or one on two axes.
    """
    axes, dims = rules.coefficients.shape[1], rules.coefficients.shape[2]
    different, most = 1, 1
    for d in range(dims):
        on_axes = 0
        for axis in range(axes):
            on_axes += rules.coefficients[tensor, axis, d] != 0
        if on_axes == 0:
            most *= work.spatial[level, d]
        elif on_axes > 1 and work.spatial[level, d] > 1:
            return 0, 0
    for axis in range(axes):
        found, step_1, factor_1, step_2, factor_2 = axis_steps(rules, tensor, level, axis, work)
        if found > 2:
            return 0, 0
        values, shared = factor_1, 1
        if found == 2:
            values, shared = distinct_sums(step_1, step_2, factor_1, factor_2)
        different *= values
        most *= shared
    return different, most


@part(inline=True)
def axis_steps(rules: Rules, tensor: int, level: int, axis: int, work: Workspace) -> tuple[int, int, int, int, int]:
    """Return how many spatial dimensions of a fan-out lie on an axis, and step and factor of the last two of them."""
    found, step_1, step_2, factor_1, factor_2 = 0, 1, 1, 1, 1
    for d in range(rules.coefficients.shape[2]):
        if rules.coefficients[tensor, axis, d] != 0 and work.spatial[level, d] > 1:
            found += 1
            step_2, factor_2 = step_1, factor_1
            step_1, factor_1 = rules.coefficients[tensor, axis, d] * work.inner[level, d], work.spatial[level, d]
    return found, step_1, factor_1, step_2, factor_2


@part()
def tiles_by_receivers(rules: Rules, tensor: int, level: int, work: Workspace) -> Ints:
    """Return, per number of children, how many tiles exactly that many share; where `tiles_handed_out` has one.

    Children that share a sum ``a*i + b*j`` form a chain of steps ``(b, -a)``. There are ``(first - k*b) * (second -
    k*a)`` pairs that are ``k`` steps apart in one, so second differences count the chains of each length.
    """
    size = work.children[level] + 1
    groups = np.zeros(size, np.int64)
    everyone = 1
    for d in range(rules.coefficients.shape[2]):
        if not moves(rules, tensor, d):
            everyone *= work.spatial[level, d]
    groups[everyone] = 1
    for axis in range(rules.coefficients.shape[1]):
        found, a, first, b, second = axis_steps(rules, tensor, level, axis, work)
        if found < 2:
            for receivers in range(size):
                groups[receivers] *= first
            continue
        x, y = a, b
        while y:
            x, y = y, x % y
        a, b = a // x, b // x
        product = np.zeros(size, np.int64)
        for length in range(1, min((first + b - 1) // b, (second + a - 1) // a) + 1):
            chains = 0
            for k in range(length - 1, length + 2):
                weight = -2 if k == length else 1
                chains += weight * max(0, first - k * b) * max(0, second - k * a)
            for receivers in range(1, (size - 1) // length + 1):
                product[receivers * length] += groups[receivers] * chains
        groups = product
    return groups


@part()
def words_to_one_child(sent: float, groups: Ints) -> float:
    """Return the words that a child is sent on average, added up by number of receivers as the reference does.

    It is ``sent`` but for rounding, and fills are cut off, not rounded.
    """
    total = 0.0
    for receivers in range(1, groups.shape[0]):
        if groups[receivers] > 0:
            total += sent * groups[receivers] * receivers / (groups.shape[0] - 1)
    return total
