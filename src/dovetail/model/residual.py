"""Imperfect factors: the traffic of a nest whose loops may end in a shorter pass, found by walking it as it runs.

A loop makes its last, shorter pass only where every loop of its dimension outside of it is at its last iteration.
Closed forms as in `dovetail.model.kernel` would need a state for every combination of such ends, so the visits that
the reference makes are made here, too: iterations 0 and 1 of every loop, and where something inside ends differently
the last one (and the one before it, if the loop itself ends early). Only one child of a fan-out is walked; the others
are copies. What is written here in the names of the kernel's counts is per instance in use.
"""

from __future__ import annotations

import numpy as np

from dovetail.model.arrays import Floats, Ints, Machine, Nest, Residuals, Rules, Tour, Workspace
from dovetail.model.charges import PARTITION, extent, total_cost, words_of
from dovetail.model.compile import part
from dovetail.model.kernel import (
    DELIVERED,
    LINKED,
    MULTICAST,
    SENT,
    SHARE,
    compute_steps,
    count_accesses,
    first_move,
    mask,
    may_link,
    scaled,
    tile_sizes,
)
from dovetail.model.links import half_hops
from dovetail.model.passes import add_words, by_receivers, children_of, delta, linked_children, remember, same_delta


@part()
def outline(nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> None:
    """Fill what of the walk is fixed: which loop stands outside which, and what can be at its end together."""
    levels, dims = nest.temporal.shape
    for i in range(work.first[levels]):
        level, d = work.loop_level[i], work.loop_dim[i]
        tour.last[i] = last.temporal[level, d]
        tour.stride[i] = work.together[level, d]
    for d in range(dims):
        _outwards(d, nest, last, work, tour)
        _inwards(d, nest, last, work, tour)


@part(inline=True)
def _loop_at(level: int, d: int, nest: Nest, work: Workspace) -> int:
    """Return which loop over time runs over a dimension at a level; -1 when none does."""
    if nest.temporal[level, d] > 1:
        for i in range(work.first[level], work.first[levels_of(nest)]):
            if work.loop_level[i] == level and work.loop_dim[i] == d:
                return i
    return -1


@part(inline=True)
def levels_of(nest: Nest) -> int:
    """Return how many levels a nest has."""
    levels: int = nest.temporal.shape[0]
    return levels


@part()
def _outwards(d: int, nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> None:
    """Fill a dimension's extents at its end (``short``), and whether anything inside a loop ends early."""
    levels = levels_of(nest)
    extent, early = 1, False
    for level in range(levels - 1, -1, -1):
        tour.short[level, d] = extent
        extent += work.inner[level, d] * (last.spatial[level, d] - 1)
        tour.short_span[level, d] = extent
        early = early or last.spatial[level, d] != work.spatial[level, d]
        i = _loop_at(level, d, nest, work)
        if i >= 0:
            tour.below[i] = early
            early = early or tour.last[i] != work.loop_factor[i]
            extent += tour.stride[i] * (tour.last[i] - 1)
    tour.whole[d] = extent


@part()
def _inwards(d: int, nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> None:
    """Fill which loop of the dimension is next outside, whether the path from it is open, and what is always last."""
    outer, free, always = -1, True, True
    for level in range(levels_of(nest)):
        i = _loop_at(level, d, nest, work)
        if i >= 0:
            tour.outer[i], tour.free[i] = outer, free
            outer, free = i, True
            always = always and tour.last[i] == 1
        tour.next_out[level, d] = outer
        tour.span_free[level, d], tour.span_always[level, d] = free, always
        if last.spatial[level, d] > 1:
            free, always = False, False
        tour.tile_free[level, d], tour.tile_always[level, d] = free, always


@part(inline=True)
def _enter(i: int, work: Workspace, tour: Tour) -> None:
    """Start a loop anew, given where the loops outside of it stand."""
    tour.ending[i] = tour.free[i] and (tour.outer[i] < 0 or tour.at_end[tour.outer[i]])
    tour.iterations[i] = tour.last[i] if tour.ending[i] else work.loop_factor[i]
    _place(i, 0, 1, tour)


@part(inline=True)
def _place(i: int, index: int, times: int, tour: Tour) -> None:
    """Put a loop at an iteration that stands for several."""
    tour.place[i] = index
    tour.at_end[i] = tour.ending[i] and index + 1 >= tour.last[i]
    tour.epochs[i] = tour.epochs[i + 1] * times
    for axis in range(tour.base.shape[1]):
        tour.base[i, axis] = tour.base[i + 1, axis] + index * tour.steps[i, axis]


@part(inline=True)
def _advance(i: int, work: Workspace, tour: Tour) -> bool:
    """Move a loop to the next iteration that is visited; returns whether there is one."""
    index, iterations = tour.place[i], tour.iterations[i]
    if not (tour.ending[i] and tour.below[i]):
        if index > 0 or iterations < 2:
            return False
        _place(i, 1, iterations - 1, tour)
        return True
    if index == iterations - 1:
        return False
    shorter = work.loop_factor[i] != tour.last[i]
    if index == 0:
        _place(i, 1, max(1, iterations - 2 - shorter), tour)
    elif index == 1 and shorter and iterations >= 4:
        _place(i, iterations - 2, 1, tour)
    else:
        _place(i, iterations - 1, 1, tour)
    return True


@part(inline=True)
def _times(i: int, work: Workspace, tour: Tour) -> int:
    """Return how often the words of this visit count for the loop right around a tile.

    Where the last iteration follows a jump, the reference takes the words of iteration 1 for it instead.
    """
    index, iterations = tour.place[i], tour.iterations[i]
    around: int = tour.epochs[i + 1]
    visits: int = tour.epochs[i]
    if tour.ending[i] and tour.below[i]:
        shorter = work.loop_factor[i] != tour.last[i]
        jumped = iterations - 2 if shorter else iterations - 1
        if jumped >= 2:
            if index == 1:
                visits = around * jumped
            elif index == jumped:
                visits = 0
    return visits


@part(inline=True)
def _at_end(free: bool, outer: int, tour: Tour) -> bool:
    """Return whether what lies inside a loop (-1: inside none) is at the end of its dimension."""
    return free and (outer < 0 or tour.at_end[outer])


@part(inline=True)
def _size_tile(rules: Rules, tensor: int, level: int, work: Workspace, tour: Tour) -> None:
    """Fill the extents of the child's tile where the loops stand now."""
    for d in range(tour.extents.shape[0]):
        ended = _at_end(tour.tile_free[level, d], tour.next_out[level, d], tour)
        tour.extents[d] = tour.short[level, d] if ended else work.inner[level, d]
    for axis in range(rules.coefficients.shape[1]):
        work.tile[axis] = extent(rules.coefficients[tensor, axis], tour.extents)


@part(inline=True)
def _start(rules: Rules, tensor: int, level: int, work: Workspace, tour: Tour) -> int:
    """Put all loops at or outside a level at their start; returns how many loops there are in all."""
    first, count = work.first[level], int(work.first[work.children.shape[0]])
    tour.epochs[count] = 1
    for axis in range(tour.base.shape[1]):
        tour.base[count, axis] = 0
        for i in range(first, count):
            tour.steps[i, axis] = rules.coefficients[tensor, axis, work.loop_dim[i]] * tour.stride[i]
    for i in range(count - 1, first - 1, -1):
        _enter(i, work, tour)
    return count


@part(inline=True)
def _step(start: int, first: int, count: int, work: Workspace, tour: Tour) -> bool:
    """Go to the next visit, advancing no loop inside of ``start``; returns whether there is one."""
    i = start
    while i < count and not _advance(i, work, tour):
        i += 1
    if i == count:
        return False
    for j in range(i - 1, first - 1, -1):
        _enter(j, work, tour)
    return True


@part()
def send_to_one(rules: Rules, tensor: int, level: int, work: Workspace, tour: Tour) -> int:
    """Return the words sent to the only child of a level."""
    first = work.first[level]
    filtered = not rules.no_reuse[level + 1, tensor]
    start = first_move(rules, tensor, level, work) if filtered else first
    count = _start(rules, tensor, level, work, tour)
    around = start == first and first < count and work.loop_level[first] == level
    sent = 0
    tour.state[0] = 0
    while True:
        _size_tile(rules, tensor, level, work, tour)
        words = delta(tour.base[first], filtered, work, tour)
        sent += words * (_times(first, work, tour) if around else tour.epochs[first])
        if not _step(start, first, count, work, tour):
            return sent


@part()
def computes_of_one(nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> int:
    """Return how often the walked compute unit runs the loop body: what its loops over time come to."""
    total = 1
    for d in range(nest.temporal.shape[1]):
        total *= _iterations(d, nest, last, work, False)
    return total


@part()
def _iterations(d: int, nest: Nest, last: Residuals, work: Workspace, across: bool) -> int:
    """Return the iterations of a dimension over time, seen by the first child of each fan-out.

    ``across``: the children of the innermost fan-out are all counted.
    """
    levels = levels_of(nest)
    full, ended = 1, 1
    for level in range(levels - 1, -1, -1):
        if across and level == levels - 1:
            full, ended = work.spatial[level, d], last.spatial[level, d]
        elif last.spatial[level, d] > 1:
            ended = full
        ended += full * (last.temporal[level, d] - 1)
        full *= nest.temporal[level, d]
    return ended


@part()
def send_to_all(
    rules: Rules, tensor: int, level: int, nest: Nest, last: Residuals, work: Workspace, tour: Tour
) -> None:
    """Fill the statistics of a fan-out with more than one child in use."""
    keys, words, _, used = visit_all(rules, tensor, level, nest, last, work, tour, False)
    _add_up(keys, words, used, work.children[level], work.statistics[level, tensor])


@part()
def visit_all(
    rules: Rules, tensor: int, level: int, nest: Nest, last: Residuals, work: Workspace, tour: Tour, routed: bool
) -> tuple[Ints, Ints, Ints, int]:
    """Return what a fan-out sends by (receivers, groups): keys, words, half hops of all words if ``routed``, how many.

    A key is the receivers of a word times the children and one more, plus how many groups of so many there are. Fills
    of the statistics the words that neighbours pass on.
    """
    levels, row = work.children.shape[0], work.statistics[level, tensor]
    above_compute = level == levels - 1
    filtered = not above_compute and not rules.no_reuse[level + 1, tensor]
    links = may_link(rules, tensor, level, work)
    first = work.first[level]
    start = first_move(rules, tensor, level, work) if filtered and not links else first
    count = _start(rules, tensor, level, work, tour)
    variants, children = _variants(level, last, work), work.children[level]
    positions = np.zeros((variants, children, rules.coefficients.shape[1]), np.int64)
    groups = np.zeros((variants, children + 1), np.int64)
    in_use = np.zeros(variants, np.int64)
    received = np.zeros(1 + 5 * rules.coefficients.shape[1], np.int64)
    keys, words, used, before = np.zeros(8, np.int64), np.zeros(8, np.int64), 0, 0
    routes, hops, found = np.zeros(8, np.int64), np.zeros(8, np.int64), 0
    row[LINKED] = 0
    tour.state[0] = 0
    shared = not rules.no_multicast[level, tensor]
    while True:
        variant = _variant(level, last, work, tour)
        if in_use[variant] == 0:
            in_use[variant] = children_of(rules, tensor, level, nest, last, variant, work, positions[variant])
            everyone = np.ones(in_use[variant], np.bool_)
            by_receivers(positions[variant], everyone, shared, groups[variant])
        _size_tile(rules, tensor, level, work, tour)
        each = delta(tour.base[first], filtered, work, tour)
        chosen, to = groups[variant], np.ones(in_use[variant], np.bool_)
        if links and each > 0 and same_delta(each, received, tour):
            alone, lonely = linked_children(
                positions[variant],
                in_use[variant],
                positions[before],
                in_use[before],
                received,
                rules.grid[level],
                tour,
            )
            if lonely < in_use[variant]:
                spared = np.zeros(children + 1, np.int64)
                by_receivers(positions[variant], alone, shared, spared)
                if spared.sum() < chosen.sum():
                    chosen, to = spared, alone
                    row[LINKED] += each * (in_use[variant] - lonely) * tour.epochs[first]
        if links:
            remember(each, received, tour)
            before = variant
        if each > 0:
            times = each * tour.epochs[first]
            keys, words, used = add_words(chosen, chosen, times, keys, words, used)
            if routed:
                reach = half_hops(positions[variant], to, shared, rules.grid[level])
                routes, hops, found = add_words(chosen, reach, times, routes, hops, found)
        if not _step(start, first, count, work, tour):
            return keys, words, hops, used


@part(inline=True)
def _variants(level: int, last: Residuals, work: Workspace) -> int:
    """Return in how many ways a fan-out's dimensions can end early or not."""
    variants = 1
    for d in range(last.spatial.shape[1]):
        if last.spatial[level, d] != work.spatial[level, d]:
            variants *= 2
    return variants


@part(inline=True)
def _variant(level: int, last: Residuals, work: Workspace, tour: Tour) -> int:
    """Return which of a fan-out's early ends apply now, as bits, lowest dimension first."""
    variant, bit = 0, 1
    for d in range(last.spatial.shape[1]):
        if last.spatial[level, d] != work.spatial[level, d]:
            if _at_end(tour.span_free[level, d], tour.next_out[level, d], tour):
                variant += bit
            bit *= 2
    return variant


@part()
def _add_up(keys: Ints, words: Ints, used: int, children: int, row: Floats) -> None:
    """Fill words sent, words times receivers, most receivers and the average share of a child."""
    for column in (SENT, DELIVERED, MULTICAST, SHARE):
        row[column] = 0
    for at in range(used):
        receivers = keys[at] // (children + 1)
        row[SENT] += words[at]
        row[DELIVERED] += words[at] * receivers
        row[SHARE] += words[at] * receivers / children
        row[MULTICAST] = max(row[MULTICAST], receivers)


@part()
def send(rules: Rules, tensor: int, level: int, nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> None:
    """Fill the statistics of one tensor below a level."""
    if work.children[level] > 1:
        send_to_all(rules, tensor, level, nest, last, work, tour)
        return
    if level == work.children.shape[0] - 1:
        sent = computes_of_one(nest, last, work, tour)
    else:
        sent = send_to_one(rules, tensor, level, work, tour)
    row = work.statistics[level, tensor]
    row[SENT], row[DELIVERED], row[MULTICAST], row[LINKED], row[SHARE] = sent, sent, 1, 0, sent


@part()
def _partitions(rules: Rules, tensor: int, work: Workspace, tour: Tour) -> None:
    """Fill the largest tile of a child of each level, and what one instance of a level sees over the whole run."""
    levels, extents = work.children.shape[0], tour.extents
    work.partition[0] = rules.touched[tensor]
    for level in range(levels):
        for d in range(extents.shape[0]):
            extents[d] = tour.short[level, d] if tour.tile_always[level, d] else work.inner[level, d]
        work.words[level] = words_of(rules.coefficients[tensor], extents)
        for d in range(extents.shape[0]):
            extents[d] = tour.short_span[level, d] if tour.span_always[level, d] else work.together[level, d]
        if level + 1 < levels:
            work.partition[level + 1] = work.partition[level]
            if work.children[level] > 1:
                together = words_of(rules.coefficients[tensor], extents)
                work.partition[level + 1] = scaled(work.partition[level], work.words[level], together)


@part()
def _average_in_use(nest: Nest, last: Residuals, work: Workspace, used: Floats) -> None:
    """Fill ``used`` ``(levels + 1,)``: instances in use on average; the last entry is that of compute.

    The reference cuts the average off to an integer where it is read, not where it is multiplied.
    """
    levels, dims = nest.temporal.shape
    average = 1.0
    for level in range(levels):
        used[level] = average
        for axis in range(2):
            factors = nest.spatial_y if axis == 0 else nest.spatial_x
            for at in range(dims):
                d = nest.spatial_order[level, at]
                factor = factors[level, d]
                if factor == 1:
                    continue
                if last.spatial[level, d] == factor:
                    average *= factor
                else:
                    passes = 1.0
                    for outer in range(level + 1):
                        passes = last.temporal[outer, d] + nest.temporal[outer, d] * (passes - 1)
                        if outer < level:
                            passes = last.spatial[outer, d] + work.spatial[outer, d] * (passes - 1)
                    average = average * (last.spatial[level, d] + factor * (passes - 1)) / passes
    used[levels] = average


@part()
def count_all(rules: Rules, nest: Nest, last: Residuals, work: Workspace, tour: Tour, counts: Ints) -> int:
    """Fill ``counts`` ``(levels, tensors, COUNTS)`` for one mapping, as `dovetail.model.kernel.count_all` does.

    Leaves in ``tour.full`` the instances that any pass uses, and in ``work.instances`` how many are in use on
    average, cut off. Returns the executions of the loop body.
    """
    levels = levels_of(nest)
    tile_sizes(nest, work)
    outline(nest, last, work, tour)
    _average_in_use(nest, last, work, tour.used)
    for level in range(levels):
        tour.full[level] = work.instances[level]
        work.instances[level] = int(tour.used[level])
    for tensor in range(rules.coefficients.shape[0]):
        for level in range(levels):
            send(rules, tensor, level, nest, last, work, tour)
        _partitions(rules, tensor, work, tour)
        mask(tensor, nest.keep, work)
        whole = words_of(rules.coefficients[tensor], tour.whole)
        for level in range(levels):
            for column in range(counts.shape[2]):
                counts[level, tensor, column] = 0
            if nest.keep[level, tensor]:
                counts[level, tensor, PARTITION] = work.partition[level]
                count_accesses(rules, tensor, level, whole, work, counts[level, tensor])
    return _computes(nest, last, work, tour)


@part()
def _computes(nest: Nest, last: Residuals, work: Workspace, tour: Tour) -> int:
    """Return the executions of the loop body: the average of the units walked, times the units in use on average."""
    levels, dims = nest.temporal.shape
    if work.children[levels - 1] == 1:
        return computes_of_one(nest, last, work, tour) * units_in_use(work, tour)
    runs, units = 1, 1
    for d in range(dims):
        runs *= _iterations(d, nest, last, work, True)
        ends_early = tour.span_always[levels - 1, d]
        units *= last.spatial[levels - 1, d] if ends_early else work.spatial[levels - 1, d]
    return int(runs / units * units_in_use(work, tour))


@part(inline=True)
def units_in_use(work: Workspace, tour: Tour) -> int:
    """Return the compute units in use on average, cut off; of a fan-out right above them all are taken to be."""
    levels = work.children.shape[0]
    if work.children[levels - 1] == 1:
        return int(tour.used[levels])
    return int(tour.used[levels - 1] * work.children[levels - 1])


@part()
def energy_made_good(machine: Machine, nest: Nest, work: Workspace, tour: Tour, counts: Ints, computes: int) -> float:
    """Return the pJ of a mapping whose accesses are counted, were the average of instances in use not cut off."""
    levels, steps = work.children.shape[0], compute_steps(nest.temporal)
    units = float(tour.used[levels])
    if work.children[levels - 1] > 1:
        units = tour.used[levels - 1] * work.children[levels - 1]
    runs = computes * (units / units_in_use(work, tour))
    return total_cost(machine, counts, steps, tour.full, tour.used, runs)[1]


@part()
def cost_of(
    machine: Machine, nest: Nest, work: Workspace, tour: Tour, counts: Ints, computes: int
) -> tuple[int, float]:
    """Return (cycles, energy in pJ) of a mapping whose accesses are counted."""
    return total_cost(machine, counts, compute_steps(nest.temporal), tour.full, work.instances, computes)
