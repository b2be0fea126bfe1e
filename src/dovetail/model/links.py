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
def groups_of_children(positions, chosen, shared):
    """Return, per number of children, how many different positions exactly that many of the chosen ones hold.

    Unless ``shared``, every child is taken to hold its own.
    """
    children, axes = positions.shape
    groups = np.zeros(children + 1, np.int64)
    if not shared:
        groups[1] = chosen.sum()
        return groups
    keys = np.zeros(children, np.int64)
    for axis in range(axes):
        reach = positions[:, axis].max() + 1
        for child in range(children):
            keys[child] = keys[child] * reach + positions[child, axis]
    keys = np.sort(keys[chosen])
    found = keys.shape[0]
    run = 0
    for i in range(found):
        run += 1
        if i == found - 1 or keys[i + 1] != keys[i]:
            groups[run] += 1
            run = 0
    return groups


@register_jitable
def most_receivers(groups):
    """Return how many children at most share one position."""
    most = 0
    for receivers in range(groups.shape[0]):
        if groups[receivers] > 0:
            most = receivers
    return most


@register_jitable
def _slabs(count, work):
    """Return, per kind of what a child may have received, its corner relative to the tile, its extents, if one box."""
    axes = work.tile.shape[0]
    low, size = np.zeros((count + _FRESH, axes), np.int64), np.zeros((count + _FRESH, axes), np.int64)
    boxes = np.zeros(count + _FRESH, np.int64)
    for kind in range(_WHOLE, count + _FRESH):
        for axis in range(axes):
            step = work.steps[kind - _FRESH, axis] if kind >= _FRESH else 0
            size[kind, axis] = work.tile[axis] if step == 0 else abs(step)
            low[kind, axis] = work.tile[axis] - step if step > 0 else 0
            boxes[kind] += step != 0
    return low, size, boxes <= 1


@register_jitable
def _distance(now, before, step, slabs, shift):
    """Fill the distance at which a neighbour held before what is needed now; False when none can have it."""
    low, size, one_box = slabs
    if now == _NOTHING or before == _NOTHING:
        return False
    if now != before and not (one_box[now] and one_box[before]):
        return False
    for axis in range(step.shape[0]):
        if size[now, axis] != size[before, axis]:
            return False
        shift[axis] = step[axis] + low[now, axis] - low[before, axis]
    return True


@register_jitable
def _neighbour_distances(positions, grid):
    """Return the different distances from a child to the ones right of it and below it, ``(distances, axes)``."""
    children, axes = positions.shape
    known = np.empty((2 * children, axes), np.int64)
    found = 0
    for child in range(children):
        for direction in range(2):
            other = child + (grid[0] if direction == 0 else 1)
            if other >= children or (direction == 1 and child % grid[0] == grid[0] - 1):
                continue
            if direction == 0 and child // grid[0] + 1 >= grid[1]:
                continue
            new = True
            for i in range(found - 1, -1, -1):
                equal = True
                for axis in range(axes):
                    equal = equal and known[i, axis] == positions[other, axis] - positions[child, axis]
                if equal:
                    new = False
                    break
            if new:
                for axis in range(axes):
                    known[found, axis] = positions[other, axis] - positions[child, axis]
                found += 1
    return known[:found]


@register_jitable
def can_link(count, work, positions, grid, filtered):
    """Return whether any neighbour could ever have held what a child needs; the arguments are those of `link`."""
    distances, slabs = _neighbour_distances(positions, grid), _slabs(count, work)
    shift = np.empty(work.tile.shape[0], np.int64)
    for i in range(count):
        for memory in range(2):
            now, _ = _received(i, work.same[i] + 1 if memory == 0 else count + 1, work, filtered)
            for before in range(_WHOLE, count + _FRESH if filtered else _FRESH):
                if not _distance(now, before, work.steps[i], slabs, shift):
                    continue
                for k in range(distances.shape[0]):
                    right, left = True, True
                    for axis in range(shift.shape[0]):
                        right = right and distances[k, axis] == shift[axis]
                        left = left and distances[k, axis] == -shift[axis]
                    if right or left:
                        return True
    return False


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
def _received(i, memory, work, filtered):
    """Return what a child receives when loop ``i`` advances, and the displacement remembered after it.

    ``memory`` is as in `dovetail.model.kernel.words_delivered`: 0, or one more than the loop whose displacement it is.
    """
    if not filtered:
        return _WHOLE, 0
    if work.same[i] < 0:
        return _NOTHING, memory
    if memory != 0 and memory != work.same[i] + 1:
        return _WHOLE, 0
    for axis in range(work.tile.shape[0]):
        if abs(work.steps[i, axis]) >= work.tile[axis]:
            return _WHOLE, work.same[i] + 1
    return _FRESH + work.same[i], work.same[i] + 1


@register_jitable
def _words(now, work):
    """Return the words of what a child receives."""
    words, overlap = 1, 1
    for axis in range(work.tile.shape[0]):
        words *= work.tile[axis]
    if now == _NOTHING:
        return 0
    if now == _WHOLE:
        return words
    for axis in range(work.tile.shape[0]):
        overlap *= work.tile[axis] - abs(work.steps[now - _FRESH, axis])
    return words - overlap


@register_jitable
def _pattern(patterns, found, groups):
    """Return the table of patterns (grown when it is full), how many there are, and which one ``groups`` is."""
    for known in range(found):
        if (patterns[known] == groups).all():
            return patterns, found, known
    if found == patterns.shape[0]:
        larger = np.zeros((2 * found, patterns.shape[1]), np.int64)
        larger[:found] = patterns
        patterns = larger
    patterns[found] = groups
    return patterns, found + 1, found


@register_jitable
def _visits(count, work, positions, shared, grid, filtered):
    """Return what every advance of every loop comes to, ``(loops, states)``, and the table of sending patterns.

    Returns the pattern by which words are sent, the words that each receives, the state after the advance, and the
    patterns ``(patterns, children + 1)``: how many groups of that many children share what they are sent. Pattern 0
    serves all children.
    """
    kinds = count + _FRESH
    states = (count + 1) * kinds
    pattern, words = np.zeros((count, states), np.int64), np.zeros((count, states), np.int64)
    after, last = np.full((count, states), -1, np.int64), np.arange(states)
    slabs, shift = _slabs(count, work), np.empty(work.tile.shape[0], np.int64)
    everyone = groups_of_children(positions, np.ones(positions.shape[0], np.bool_), shared)
    patterns, found = np.zeros((4, everyone.shape[0]), np.int64), 1
    patterns[0] = everyone
    for i in range(count):
        new_last = last.copy()
        for state in range(states):
            start = last[state]
            if after[i, start] < 0:
                now, memory = _received(i, start // kinds, work, filtered)
                after[i, start], words[i, start] = memory * kinds + now, _words(now, work)
                if _distance(now, start % kinds, work.steps[i], slabs, shift):
                    alone = _without_neighbour(positions, shift, grid[0], grid[1])
                    if not alone.all():
                        groups = groups_of_children(positions, alone, shared)
                        if groups.sum() < everyone.sum():
                            patterns, found, pattern[i, start] = _pattern(patterns, found, groups)
            new_last[state] = last[after[i, start]]
        last = new_last
    return pattern, words, after, patterns[:found]


@register_jitable
def link(count, work, positions, shared, grid, filtered, row):
    """Fill a fan-out's words sent, words times receivers, most receivers, words linked, words sent to one child.

    Args:
        count: temporal loops around the fan-out; ``work`` holds their displacements, inner to outer.
        work: the workspace, with ``steps``, ``factors``, ``same`` and ``tile`` filled.
        positions: ``(children, axes)`` where each child's tile lies.
        shared: whether children whose tiles lie in the same place are sent one copy.
        grid: ``(2,)`` physical children along X and Y; children are numbered along X first.
        filtered: False directly above compute (and where reuse over time is off), where all is sent anew every step.
        row: ``(5,)`` to fill.

    The state between two advances is (displacement remembered, what was received last); the table of one pass over
    the loops seen so far is extended loop by loop, as in `dovetail.model.kernel.words_delivered`.
    """
    pattern, words, after, patterns = _visits(count, work, positions, shared, grid, filtered)
    states, found = pattern.shape[1], patterns.shape[0]
    sums, last = np.zeros((states, found), np.int64), np.arange(states)
    for i in range(count):
        new_sums, new_last = sums.copy(), last.copy()
        for state in range(states):
            start = last[state]
            for k in range(found):
                each = sums[after[i, start], k] + (words[i, start] if pattern[i, start] == k else 0)
                new_sums[state, k] += (work.factors[i] - 1) * each
            new_last[state] = last[after[i, start]]
        sums, last = new_sums, new_last
    sent = sums[_WHOLE].copy()
    sent[0] += _words(_WHOLE, work)
    _add_up(sent, patterns, row)


@register_jitable
def _add_up(sent, patterns, row):
    """Fill ``row`` from the words sent by each pattern.

    The reference keeps a table by (receivers, groups) and adds quotients in its order, which rounds as it does.
    """
    children = patterns.shape[1] - 1
    keys, words = np.zeros(patterns.size, np.int64), np.zeros(patterns.size, np.int64)
    row[:] = 0
    found = 0
    for k in range(patterns.shape[0]):
        served = 0
        for receivers in range(1, children + 1):
            groups = patterns[k, receivers]
            if groups > 0 and sent[k] > 0:
                keys[found], words[found] = receivers * (children + 1) + groups, sent[k] * groups
                row[2] = max(row[2], receivers)
                served += receivers * groups
                found += 1
        row[3] += sent[k] * (children - served)
    order = np.argsort(keys[:found])
    total = 0
    for at in range(found):
        total += words[order[at]]
        if at + 1 < found and keys[order[at + 1]] == keys[order[at]]:
            continue
        receivers = keys[order[at]] // (children + 1)
        row[0] += total
        row[1] += total * receivers
        row[4] += total * receivers / children
        total = 0
