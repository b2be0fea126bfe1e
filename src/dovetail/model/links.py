"""Transfers between neighbours: what a child need not fetch because the one beside it held it a step before.

The reference compares, at every step, what each child must receive with what its four neighbours on the physical
grid received the step before. Where that saves the parent any words at all, the neighbours pass them on. This is
rare (it takes a window that slides in time by exactly the distance between two children), so these functions are
called only where `dovetail.model.kernel.may_link` says that it can happen, and they allocate as they please.
"""
# ruff: noqa: SIM110 - Numba compiles no any()

from __future__ import annotations

import numpy as np

from dovetail.model.arrays import Bools, Floats, Ints, Nest, Rules, Workspace
from dovetail.model.compile import part

# What a child received last: nothing, a whole tile, or what was fresh after the displacement that is remembered.
_NOTHING, _WHOLE, _FRESH = range(3)
_KINDS = 3


@part()
def list_children(rules: Rules, tensor: int, level: int, nest: Nest, work: Workspace) -> Ints:
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


@part()
def _sort(keys: Ints, found: int) -> None:
    """Sort the first ``found`` keys (Shell's method: compiles to far less than a library's sort)."""
    gap = 1
    while gap < found // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, found):
            key, at = keys[i], i
            while at >= gap and keys[at - gap] > key:
                keys[at] = keys[at - gap]
                at -= gap
            keys[at] = key
        gap //= 3


@part()
def groups_of_children(positions: Ints, chosen: Bools, shared: bool) -> Ints:
    """Return, per number of children, how many different positions exactly that many of the chosen ones hold.

    Unless ``shared``, every child is taken to hold its own.
    """
    children = positions.shape[0]
    groups, keys = np.zeros(children + 1, np.int64), _keys(positions)
    found = 0
    for child in range(children):
        if chosen[child]:
            keys[found] = keys[child]
            found += 1
    if not shared:
        groups[1] = found
        return groups
    _sort(keys, found)
    run = 0
    for i in range(found):
        run += 1
        if i == found - 1 or keys[i + 1] != keys[i]:
            groups[run] += 1
            run = 0
    return groups


@part()
def _keys(positions: Ints) -> Ints:
    """Return a number per child that is the same for equal positions only."""
    children, axes = positions.shape
    keys = np.zeros(children, np.int64)
    for axis in range(axes):
        reach = 1
        for child in range(children):
            reach = max(reach, positions[child, axis] + 1)
        for child in range(children):
            keys[child] = keys[child] * reach + positions[child, axis]
    return keys


@part()
def half_hops(positions: Ints, chosen: Bools, shared: bool, grid: Ints) -> Ints:
    """Return, per number of children, the half hops to all positions that exactly that many of the chosen ones hold.

    Words enter at the middle of the left edge of the physical grid, go along X as far as any child with the position
    lies, and from there along Y to the outermost of each column, both ways.
    """
    children = chosen.shape[0]
    reach, keys, found = np.zeros(children + 1, np.int64), _keys(positions[:children]), 0
    top, bottom = np.zeros(grid[0], np.int64), np.zeros(grid[0], np.int64)
    for child in range(children):
        if chosen[child]:
            keys[found] = (keys[child] if shared else child) * children + child
            found += 1
    _sort(keys, found)
    first, right = 0, 0
    for i in range(found):
        x, y = keys[i] % children % grid[0], 2 * (keys[i] % children // grid[0]) - grid[1] + 1
        top[x], bottom[x], right = max(top[x], -y), max(bottom[x], y), max(right, x)
        if i == found - 1 or keys[i + 1] // children != keys[i] // children:
            for at in range(first, i + 1):
                x = keys[at] % children % grid[0]
                reach[i + 1 - first] += top[x] + bottom[x]
                top[x], bottom[x] = 0, 0
            reach[i + 1 - first] += 2 * right
            first, right = i + 1, 0
    return reach


@part()
def most_receivers(groups: Ints) -> int:
    """Return how many children at most share one position."""
    most = 0
    for receivers in range(groups.shape[0]):
        if groups[receivers] > 0:
            most = receivers
    return most


@part()
def how_many(groups: Ints) -> int:
    """Return how many different positions there are."""
    total = 0
    for receivers in range(groups.shape[0]):
        total += groups[receivers]
    return total


@part()
def _are_apart(positions: Ints, one: int, other: int, step: Ints, i: int) -> bool:
    """Return whether the second of two children lies one displacement of loop ``i`` from the first."""
    for axis in range(positions.shape[1]):
        if positions[other, axis] - positions[one, axis] != step[i, axis]:
            return False
    return True


@part()
def can_link(count: int, work: Workspace, positions: Ints, grid: Ints, filtered: bool) -> bool:
    """Return whether any child could be passed what it needs; the arguments are those of `link`.

    What a child needs when a loop advances, its neighbour held the step before only if both got the same part of
    their tiles, and lie one displacement of that loop apart.
    """
    children = positions.shape[0]
    for i in range(count):
        if filtered and work.same[i] < 0:
            continue
        for child in range(children):
            for direction in range(2):
                other = child + (grid[0] if direction == 0 else 1)
                if other >= children or (direction == 1 and child % grid[0] == grid[0] - 1):
                    continue
                if direction == 0 and child // grid[0] + 1 >= grid[1]:
                    continue
                if _are_apart(positions, child, other, work.steps, i):
                    return True
                if _are_apart(positions, other, child, work.steps, i):
                    return True
    return False


@part(inline=True)
def beside(child: int, direction: int, grid: Ints) -> int:
    """Return the child above, below, left or right of one on the physical grid; itself where the grid ends."""
    x, y = child % grid[0], child // grid[0]
    if direction == 0 and y >= 1:
        return child - int(grid[0])
    if direction == 1 and y + 1 < grid[1]:
        return child + int(grid[0])
    if direction == 2 and x >= 1:
        return child - 1
    if direction == 3 and x + 1 < grid[0]:
        return child + 1
    return child


@part()
def _without_neighbour(positions: Ints, i: int, work: Workspace, grid: Ints) -> tuple[Bools, int]:
    """Return which children have no neighbour one displacement of loop ``i`` apart, and how many those are."""
    children = positions.shape[0]
    alone, lonely = np.ones(children, np.bool_), children
    for child in range(children):
        for direction in range(4):
            other = beside(child, direction, grid)
            if other == child or other >= children:
                continue
            if alone[child] and _are_apart(positions, child, other, work.steps, i):
                alone[child] = False
                lonely -= 1
    return alone, lonely


@part()
def _received(i: int, memory: int, work: Workspace, filtered: bool) -> tuple[int, int]:
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
    return _FRESH, work.same[i] + 1


@part()
def _words(now: int, memory: int, work: Workspace) -> int:
    """Return the words of what a child receives."""
    words, overlap = 1, 1
    for axis in range(work.tile.shape[0]):
        words *= work.tile[axis]
    if now == _NOTHING:
        return 0
    if now == _WHOLE:
        return words
    for axis in range(work.tile.shape[0]):
        overlap *= work.tile[axis] - abs(work.steps[memory - 1, axis])
    return words - overlap


@part()
def _pattern(patterns: Ints, found: int, groups: Ints) -> tuple[Ints, int, int]:
    """Return the table of patterns (grown when it is full), how many there are, and which one ``groups`` is."""
    rows, width = patterns.shape
    for known in range(found):
        equal = True
        for receivers in range(width):
            equal = equal and patterns[known, receivers] == groups[receivers]
        if equal:
            return patterns, found, known
    if found == rows:
        larger = np.zeros((2 * rows, width), np.int64)
        for row in range(rows):
            for receivers in range(width):
                larger[row, receivers] = patterns[row, receivers]
        patterns = larger
    for receivers in range(width):
        patterns[found, receivers] = groups[receivers]
    return patterns, found + 1, found


@part()
def _visits(
    count: int, work: Workspace, positions: Ints, shared: bool, grid: Ints, filtered: bool
) -> tuple[Ints, Ints, Ints, Ints, int]:
    """Return what every advance of every loop comes to, ``(loops, states)``, and the table of sending patterns.

    Returns the pattern by which words are sent, the words that each receives, the state after the advance, the
    patterns ``(patterns, children + 1)``: how many groups of that many children share what they are sent, and how
    many patterns there are. Pattern 0 serves all children.
    """
    states = (count + 1) * _KINDS
    pattern, words = np.zeros((count, states), np.int64), np.zeros((count, states), np.int64)
    after, last, new_last = np.zeros((count, states), np.int64), np.zeros(states, np.int64), np.zeros(states, np.int64)
    everyone = groups_of_children(positions, np.ones(positions.shape[0], np.bool_), shared)
    different, found = how_many(everyone), 1
    patterns = np.zeros((4, everyone.shape[0]), np.int64)
    for receivers in range(everyone.shape[0]):
        patterns[0, receivers] = everyone[receivers]
    for state in range(states):
        last[state] = state
    for i in range(count):
        passed = -1  # the pattern when neighbours pass on what they can; not known yet
        for state in range(states):
            after[i, state] = -1
        for state in range(states):
            start = last[state]
            if after[i, start] < 0:
                now, memory = _received(i, start // _KINDS, work, filtered)
                after[i, start], words[i, start] = memory * _KINDS + now, _words(now, memory, work)
                if now != _NOTHING and now == start % _KINDS:
                    if passed < 0:
                        alone, lonely = _without_neighbour(positions, i, work, grid)
                        passed = 0
                        if lonely < positions.shape[0]:
                            groups = groups_of_children(positions, alone, shared)
                            if how_many(groups) < different:
                                patterns, found, passed = _pattern(patterns, found, groups)
                    pattern[i, start] = passed
            new_last[state] = last[after[i, start]]
        for state in range(states):
            last[state] = new_last[state]
    return pattern, words, after, patterns, found


@part()
def link(count: int, work: Workspace, positions: Ints, shared: bool, grid: Ints, filtered: bool, row: Floats) -> None:
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
    the loops seen so far is extended loop by loop, as in `dovetail.model.kernel.words_delivered`. A neighbour held
    what is needed now only if it received the same part of its tile as is needed now.
    """
    pattern, words, after, patterns, found = _visits(count, work, positions, shared, grid, filtered)
    states = pattern.shape[1]
    sums, new_sums = np.zeros((states, found), np.int64), np.zeros((states, found), np.int64)
    last, new_last = np.zeros(states, np.int64), np.zeros(states, np.int64)
    for state in range(states):
        last[state] = state
    for i in range(count):
        for state in range(states):
            start = last[state]
            for k in range(found):
                each = sums[after[i, start], k] + (words[i, start] if pattern[i, start] == k else 0)
                new_sums[state, k] = sums[state, k] + (work.factors[i] - 1) * each
            new_last[state] = last[after[i, start]]
        for state in range(states):
            last[state] = new_last[state]
            for k in range(found):
                sums[state, k] = new_sums[state, k]
    sums[_WHOLE, 0] += _words(_WHOLE, 0, work)
    _add_up(sums[_WHOLE], patterns, found, row)


@part()
def _add_up(sent: Ints, patterns: Ints, found: int, row: Floats) -> None:
    """Fill ``row`` from the words sent by each pattern.

    The reference keeps a table by (receivers, groups) and adds quotients in its order, which rounds as it does.
    """
    children, used = patterns.shape[1] - 1, 0
    keys, words = np.zeros(found * children, np.int64), np.zeros(found * children, np.int64)
    for column in range(5):
        row[column] = 0
    for k in range(found):
        served = 0
        for receivers in range(1, children + 1):
            groups = patterns[k, receivers]
            if groups > 0 and sent[k] > 0:
                row[2] = max(row[2], receivers)
                served += receivers * groups
                used = tally(receivers * (children + 1) + groups, sent[k] * groups, keys, words, used)
        row[3] += sent[k] * (children - served)
    for at in range(used):
        receivers = keys[at] // (children + 1)
        row[0] += words[at]
        row[1] += words[at] * receivers
        row[4] += words[at] * receivers / children


@part()
def tally(key: int, words_more: int, keys: Ints, words: Ints, used: int) -> int:
    """Add words to those of a key, in lists that are sorted by key; returns how many keys there are."""
    at = used
    while at > 0 and keys[at - 1] > key:
        at -= 1
    if at > 0 and keys[at - 1] == key:
        words[at - 1] += words_more
        return used
    for i in range(used, at, -1):
        keys[i], words[i] = keys[i - 1], words[i - 1]
    keys[at], words[at] = key, words_more
    return used + 1
