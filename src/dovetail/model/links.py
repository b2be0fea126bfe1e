"""Transfers between neighbours: what a child need not fetch because the one beside it held it a step before.

The reference compares, at every step, what each child must receive with what its four neighbours on the physical
grid received the step before. Where that saves the parent any words at all, the neighbours pass them on. This is
rare (it takes a window that slides in time by exactly the distance between two children), so these functions are
called only where `dovetail.model.kernel.may_link` says that it can happen, and they allocate as they please.
"""
# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: ANN001, ANN201, ANN202 - compiled code infers its types from the arrays

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

# What a child received last: nothing, a whole tile, or (from 2 on) what was fresh after the displacement of a loop.
_NOTHING, _WHOLE, _FRESH = range(3)


@register_jitable
def list_children(rules, tensor, level, nest, work):
    """Return the position of every child's tile, ``(children, axes)``, in the reference's linear order: X runs first.

    Within an axis of the array the innermost loop runs first.
    """
    axes, dims = rules.coefficients.shape[1], rules.coefficients.shape[2]
    children = work.children[level]
    positions = np.zeros((children, axes), np.int64)
    run = 1
    for along_y in range(2):
        for at in range(dims - 1, -1, -1):
            d = nest.spatial_order[level, at]
            factor, step = nest.spatial_x[level, d], work.inner[level, d]
            if along_y == 1:
                step *= factor
                factor = nest.spatial_y[level, d]
            if factor == 1:
                continue
            for child in range(children):
                index = (child // run) % factor
                for axis in range(axes):
                    positions[child, axis] += rules.coefficients[tensor, axis, d] * step * index
            run *= factor
    return positions


@register_jitable
def multicast_of_children(positions, chosen):
    """Return, of the chosen children, how many different positions they hold and how many share one at most."""
    children, axes = positions.shape
    keys = np.empty(children, np.int64)
    found = 0
    for child in range(children):
        if chosen[child]:
            key = 0
            for axis in range(axes):
                key = key * (positions[:, axis].max() + 1) + positions[child, axis]
            keys[found] = key
            found += 1
    keys = np.sort(keys[:found])
    different, most, run = 0, 0, 0
    for i in range(found):
        if i == 0 or keys[i] != keys[i - 1]:
            different += 1
            run = 0
        run += 1
        most = max(most, run)
    return different, most


@register_jitable
def _slab(kind, steps, tile, low, size):
    """Fill the corner and the extents of what was received, relative to the tile; True when it is one box."""
    boxes = 0
    for axis in range(tile.shape[0]):
        low[axis], size[axis] = 0, tile[axis]
        if kind >= _FRESH:
            step = steps[kind - _FRESH, axis]
            if step != 0:
                boxes += 1
                size[axis] = abs(step)
                low[axis] = tile[axis] - step if step > 0 else 0
    return boxes <= 1


@register_jitable
def _neighbours_needed(now, before, step, steps, tile, shift):
    """Fill the distance at which a neighbour held before what is needed now; False when none can have it."""
    if now == _NOTHING or before == _NOTHING:
        return False
    axes = tile.shape[0]
    low_now, size_now = np.empty(axes, np.int64), np.empty(axes, np.int64)
    low_before, size_before = np.empty(axes, np.int64), np.empty(axes, np.int64)
    one_now = _slab(now, steps, tile, low_now, size_now)
    one_before = _slab(before, steps, tile, low_before, size_before)
    if now != before and not (one_now and one_before):
        return False
    for axis in range(axes):
        if size_now[axis] != size_before[axis]:
            return False
        shift[axis] = step[axis] + low_now[axis] - low_before[axis]
    return True


@register_jitable
def _without_neighbour(positions, shift, grid_x, grid_y):
    """Return which children have no neighbour at the distance ``shift``."""
    children, axes = positions.shape
    alone = np.ones(children, np.bool_)
    for child in range(children):
        x, y = child % grid_x, child // grid_x
        for direction in range(4):
            other = child
            if direction == 0 and y >= 1:
                other = child - grid_x
            elif direction == 1 and y + 1 < grid_y:
                other = child + grid_x
            elif direction == 2 and x >= 1:
                other = child - 1
            elif direction == 3 and x + 1 < grid_x:
                other = child + 1
            if other == child or other >= children:
                continue
            held = True
            for axis in range(axes):
                held = held and positions[other, axis] - positions[child, axis] == shift[axis]
            if held:
                alone[child] = False
    return alone


@register_jitable
def _received(i, memory, steps, same, tile, filtered):
    """Return what a child receives when loop ``i`` advances, and the displacement remembered after it.

    ``memory`` is as in `dovetail.model.kernel.words_delivered`: 0, or one more than the loop whose displacement it is.
    """
    if not filtered:
        return _WHOLE, 0
    if same[i] < 0:
        return _NOTHING, memory
    if memory != 0 and memory != same[i] + 1:
        return _WHOLE, 0
    for axis in range(tile.shape[0]):
        if abs(steps[i, axis]) >= tile[axis]:
            return _WHOLE, same[i] + 1
    return _FRESH + same[i], same[i] + 1


@register_jitable
def _visit(i, memory, before, work, positions, grid, filtered, costs):
    """Fill the costs of one advance of loop ``i`` (words sent, words times receivers, most receivers, words linked).

    Returns what was received and the displacement remembered.
    """
    steps, tile = work.steps, work.tile
    now, memory = _received(i, memory, steps, work.same, tile, filtered)
    costs[:] = 0
    if now == _NOTHING:
        return now, memory
    words = 1
    for axis in range(tile.shape[0]):
        words *= tile[axis]
    if now >= _FRESH:
        overlap = 1
        for axis in range(tile.shape[0]):
            overlap *= tile[axis] - abs(steps[i, axis])
        words -= overlap
    children = positions.shape[0]
    everyone = np.ones(children, np.bool_)
    different, most = multicast_of_children(positions, everyone)
    costs[0], costs[1], costs[2] = words * different, words * children, most
    shift = np.empty(tile.shape[0], np.int64)
    if _neighbours_needed(now, before, steps[i], steps, tile, shift):
        alone = _without_neighbour(positions, shift, grid[0], grid[1])
        left, most = multicast_of_children(positions, alone)
        if left < different:
            lonely = alone.sum()
            costs[0], costs[1], costs[2] = words * left, words * lonely, most
            costs[3] = words * (children - lonely)
    return now, memory


@register_jitable
def delivery_with_links(count, work, positions, grid, filtered, row):
    """Fill a fan-out's words sent, words times receivers, most receivers of one word, words linked.

    Args:
        count: temporal loops around the fan-out; ``work`` holds their displacements, inner to outer.
        work: the workspace, with ``steps``, ``factors``, ``same`` and ``tile`` filled.
        positions: ``(children, axes)`` where each child's tile lies.
        grid: ``(2,)`` physical children along X and Y; children are numbered along X first.
        filtered: False directly above compute (and where reuse over time is off), where all is sent anew every step.
        row: ``(4,)`` to fill.

    The state between two advances is (displacement remembered, what was received last); the table of one pass over
    the loops seen so far is extended loop by loop, as in `dovetail.model.kernel.words_delivered`.
    """
    kinds = count + 2
    states = (count + 1) * kinds
    sums = np.zeros((states, 4), np.int64)
    last = np.arange(states)
    costs = np.zeros(4, np.int64)
    for i in range(count):
        known = np.full(states, -1, np.int64)  # state -> state after loop i advanced, once visited
        visited = np.zeros((states, 4), np.int64)
        new_sums, new_last = sums.copy(), last.copy()
        for state in range(states):
            start = last[state]
            if known[start] < 0:
                now, memory = _visit(i, start // kinds, start % kinds, work, positions, grid, filtered, costs)
                known[start] = memory * kinds + now
                visited[start] = costs
            after = known[start]
            for column in range(4):
                each = visited[start, column] + sums[after, column]
                new_sums[state, column] = sums[state, column] + (work.factors[i] - 1) * each
            new_sums[state, 2] = max(sums[state, 2], visited[start, 2], sums[after, 2])
            new_last[state] = last[after]
        sums, last = new_sums, new_last
    words = 1
    for axis in range(work.tile.shape[0]):
        words *= work.tile[axis]
    children = positions.shape[0]
    different, most = multicast_of_children(positions, np.ones(children, np.bool_))
    row[0] = words * different + sums[_WHOLE, 0]
    row[1] = words * children + sums[_WHOLE, 1]
    row[2] = max(most, sums[_WHOLE, 2])
    row[3] = sums[_WHOLE, 3]
