"""The counting rules, once: plain Python that runs as it stands for one mapping and compiled for millions.

``rules``, ``nest`` and ``work`` are the named tuples of `dovetail.model.arrays`. Levels are outer to inner and do not
include compute; loops within a level are outer to inner. ``docs/model.md`` states each rule in words and says where
it comes from. `dovetail.model.charges` holds the rules that the search has, too, `dovetail.model.sharing` closed forms
of how many children of a fan-out share a tile, `dovetail.model.links` the rule for transfers between neighbours.

What is compiled under `dovetail.model.compile.jit_plain` counts no references, so it can allocate nothing: functions
that do are marked ``allocates``, and return plain numbers.
"""

from __future__ import annotations

import numpy as np

from dovetail.model.arrays import Bools, Ints, Machine, Nest, Rules, Workspace
from dovetail.model.charges import (
    COUNTS,
    FILLS,
    PARTITION,
    READS,
    REDUCTIONS,
    TILE,
    UPDATES,
    extent,
    new_words,
    total_cost,
    unread_words,
    words_filled,
    words_of,
    words_read,
    words_updated,
)
from dovetail.model.compile import part
from dovetail.model.links import can_link, groups_of_children, how_many, link, list_children, most_receivers
from dovetail.model.sharing import moves, tiles_by_receivers, tiles_handed_out, words_to_one_child

#: The largest number in 64 bits.
LARGEST = 2**63 - 1

# Columns of the fan-out statistics, per (level, tensor).
SENT, DELIVERED, MULTICAST, LINKED, SHARE = range(5)


@part(inline=True)
def tile_sizes(nest: Nest, work: Workspace) -> None:
    """Fill per (level, dimension) the product of all factors further in, and that of the level's own fan-out.

    Lists the loops over time of more than one iteration, those at a level and outside of it from ``first[level]`` on.
    """
    levels, dims = nest.temporal.shape
    for d in range(dims):
        work.inner[levels - 1, d] = 1
    count = 0
    for level in range(levels - 1, -1, -1):
        work.first[level] = count
        children, looping = 1, False
        for d in range(dims):
            size, spatial = work.inner[level, d], nest.spatial_x[level, d] * nest.spatial_y[level, d]
            work.spatial[level, d] = spatial
            work.together[level, d] = size * spatial
            children *= spatial
            looping = looping or nest.temporal[level, d] > 1
            if level > 0:
                work.inner[level - 1, d] = size * spatial * nest.temporal[level, d]
            else:
                work.whole[d] = size * spatial * nest.temporal[level, d]
        work.children[level] = children
        if looping:
            for position in range(dims - 1, -1, -1):
                d = nest.order[level, position]
                if nest.temporal[level, d] > 1:
                    work.loop_level[count], work.loop_dim[count] = level, d
                    work.loop_factor[count] = nest.temporal[level, d]
                    count += 1
    work.first[levels] = count
    work.times[count] = 1
    for i in range(count - 1, -1, -1):
        work.times[i] = work.times[i + 1] * work.loop_factor[i]
    used = 1
    for level in range(levels):
        work.instances[level] = used
        used *= work.children[level]


@part(inline=True)
def first_move(rules: Rules, tensor: int, level: int, work: Workspace) -> int:
    """Return the first of the loops at or outside a level that moves the tensor's tile; those inside bring nothing."""
    i: int = work.first[level]
    while i < work.first[work.children.shape[0]] and not moves(rules, tensor, work.loop_dim[i]):
        i += 1
    return i


@part(inline=True)
def gather_steps(rules: Rules, tensor: int, start: int, work: Workspace) -> int:
    """List how far the loops from ``start`` on move the tensor's tile, and their iterations; returns how many."""
    count = int(work.first[work.children.shape[0]]) - start
    for i in range(count):
        level, d = work.loop_level[start + i], work.loop_dim[start + i]
        for axis in range(rules.coefficients.shape[1]):
            work.steps[i, axis] = rules.coefficients[tensor, axis, d] * work.together[level, d]
        work.factors[i] = work.loop_factor[start + i]
    return count


@part(inline=True)
def displacements(count: int, work: Workspace) -> bool:
    """Turn steps into displacements: a loop that advances sends every loop inside it back to its start.

    The reference visits only the first two iterations of a loop, so "back" is one step for each loop inside. Fills
    ``same[i]`` with the first loop that displaces the tile as loop ``i`` does; -1 where it stays in place. Returns
    whether all displace it, each in its own way.
    """
    axes, plain = work.steps.shape[1], True
    for axis in range(axes):
        back = 0
        for i in range(count):
            step = work.steps[i, axis]
            work.steps[i, axis] = step - back
            back += step
    for i in range(count):
        still = True
        for axis in range(axes):
            still = still and work.steps[i, axis] == 0
        work.same[i] = -1 if still else i
        plain = plain and not still
        if still:
            continue
        for j in range(i):
            equal = True
            for axis in range(axes):
                equal = equal and work.steps[i, axis] == work.steps[j, axis]
            if equal:
                work.same[i] = j
                plain = False
                break
    return plain


@part(inline=True)
def words_delivered(count: int, words: int, plain: bool, work: Workspace) -> int:
    """Return the words that must reach a tile over the whole run, given the displacements of its ``count`` loops.

    The sequence of tiles is a ruler sequence: loop ``i`` advances after a full pass of all loops inside it. What an
    advance costs depends on the displacement remembered only: the same displacement again (or the first one)
    delivers what is fresh, another delivers the whole tile and forgets, none costs and changes nothing. State 0 is
    "nothing remembered", state ``j + 1`` remembers the displacement of loop ``j``. ``total[s]`` and ``last[s]`` are
    the words and the state after one pass of the loops seen so far, begun in state ``s``. Where all displacements are
    ``plain``, two states do: one that a loop has not left itself is as good as any other it has not.
    """
    if plain:
        return words + words_if_plain(count, words, work)
    total, last, states = work.total, work.last, count + 1
    for state in range(states):
        total[state] = 0
        last[state] = state
    for i in range(count):
        fresh = new_words(words, work.tile, work.steps[i])
        for state in range(states):
            before = last[state]
            after, sent = before, 0
            if work.same[i] >= 0:
                if before == 0 or before == work.same[i] + 1:
                    after, sent = work.same[i] + 1, fresh
                else:
                    after, sent = 0, words
            total[states + state] = total[state] + (work.factors[i] - 1) * (sent + total[after])
            last[states + state] = last[after]
        for state in range(states):
            total[state] = total[states + state]
            last[state] = last[states + state]
    more: int = total[0]
    return words + more


@part(inline=True)
def words_if_plain(count: int, words: int, work: Workspace) -> int:
    """Do the sums of `words_delivered` for displacements that all differ: from nothing and from something remembered.

    Whatever is remembered when loop ``i`` advances is then another loop's displacement, or nothing.
    """
    from_nothing, from_other = 0, 0
    nothing_ends_empty, other_ends_empty = True, False
    for i in range(count):
        fresh, more = new_words(words, work.tile, work.steps[i]), work.factors[i] - 1
        to_other, to_nothing = fresh + from_other, words + from_nothing
        ends_after_fresh, ends_after_whole = other_ends_empty, nothing_ends_empty
        from_nothing += more * (to_other if nothing_ends_empty else to_nothing)
        from_other += more * (to_other if other_ends_empty else to_nothing)
        nothing_ends_empty = ends_after_fresh if nothing_ends_empty else ends_after_whole
        other_ends_empty = ends_after_fresh if other_ends_empty else ends_after_whole
    return from_nothing


@part(inline=True)
def deliver(rules: Rules, tensor: int, level: int, work: Workspace) -> int:
    """Return the words that one child of a level is sent over the whole run, were it alone.

    Directly above compute (and where reuse over time is off) every iteration asks for everything again.
    """
    words = 1
    for axis in range(rules.coefficients.shape[1]):
        work.tile[axis] = extent(rules.coefficients[tensor, axis], work.inner[level])
        words *= work.tile[axis]
    work.words[level] = words
    if level == work.children.shape[0] - 1 or rules.no_reuse[level + 1, tensor]:
        times: int = work.times[work.first[level]]
        return words * times
    start = first_move(rules, tensor, level, work)
    if rules.injective[tensor]:
        times = work.times[start]
        return words * times
    count = gather_steps(rules, tensor, start, work)
    return words_delivered(count, words, displacements(count, work), work)


@part(inline=True)
def may_link(rules: Rules, tensor: int, level: int, work: Workspace) -> bool:
    """Return whether neighbours below a level could ever pass data on instead of their parent sending it again.

    Directly above compute, and where reuse over time is off, any repetition can be served by a neighbour. Elsewhere
    tiles repeat between neighbours only along an axis on which several dimensions add up and one of them is spatial:
    along all others a step in time is longer than the distance between any two children.
    """
    if rules.no_link[level, tensor]:
        return False
    if level == work.children.shape[0] - 1 or rules.no_reuse[level + 1, tensor]:
        return True
    if rules.injective[tensor]:
        return False
    for axis in range(rules.coefficients.shape[1]):
        added, moved = 0, False
        for d in range(rules.coefficients.shape[2]):
            if rules.coefficients[tensor, axis, d] != 0:
                added += 1
                moved = moved or work.spatial[level, d] > 1
        if added > 1 and moved:
            return True
    return False


@part()
def can_reach(count: int, rules: Rules, tensor: int, level: int, filtered: bool, work: Workspace) -> bool:
    """Return whether any displacement is no longer than the distance between some two children, on every axis."""
    dims = rules.coefficients.shape[2]
    for i in range(count):
        reached = work.same[i] >= 0 or not filtered
        for axis in range(rules.coefficients.shape[1]):
            span = abs(work.steps[i, axis])
            if not reached or span == 0:
                continue
            for d in range(dims):
                span -= rules.coefficients[tensor, axis, d] * work.inner[level, d] * (work.spatial[level, d] - 1)
            reached = span <= 0
        if reached:
            return True
    return False


@part(allocates=True)
def pass_on(rules: Rules, tensor: int, level: int, nest: Nest, work: Workspace) -> bool:
    """Fill a fan-out's statistics if neighbours pass anything on; returns whether they do."""
    count = gather_steps(rules, tensor, work.first[level], work)
    displacements(count, work)
    filtered = level < nest.temporal.shape[0] - 1 and not rules.no_reuse[level + 1, tensor]
    if not can_reach(count, rules, tensor, level, filtered, work):
        return False
    positions = list_children(rules, tensor, level, nest, work)
    if not can_link(count, work, positions, rules.grid[level], filtered):
        return False
    shared, row = not rules.no_multicast[level, tensor], work.statistics[level, tensor]
    link(count, work, positions, shared, rules.grid[level], filtered, row)
    return True


@part(allocates=True)
def hand_out(rules: Rules, tensor: int, level: int, nest: Nest, sent: int, work: Workspace) -> None:
    """Fill a fan-out's statistics where no closed form holds: by listing the children."""
    positions, row = list_children(rules, tensor, level, nest, work), work.statistics[level, tensor]
    groups = groups_of_children(positions, np.ones(work.children[level], np.bool_), True)
    row[SENT], row[MULTICAST] = sent * how_many(groups), most_receivers(groups)
    row[SHARE] = words_to_one_child(sent, groups)


@part(allocates=True)
def share_of_window(rules: Rules, tensor: int, level: int, sent: int, work: Workspace) -> float:
    """Return the words that a child is sent, where windows overlap on the array."""
    return words_to_one_child(sent, tiles_by_receivers(rules, tensor, level, work))


@part(inline=True)
def fan_out(rules: Rules, tensor: int, level: int, nest: Nest, work: Workspace) -> None:
    """Fill a fan-out's statistics (see `dovetail.model.arrays.Workspace`)."""
    row = work.statistics[level, tensor]
    sent = deliver(rules, tensor, level, work)
    children = work.children[level]
    row[SENT], row[DELIVERED], row[MULTICAST], row[LINKED], row[SHARE] = sent, sent * children, 1, 0, sent
    if children == 1:
        return
    if may_link(rules, tensor, level, work) and pass_on(rules, tensor, level, nest, work):
        return
    if rules.no_multicast[level, tensor]:
        row[SENT] = sent * children
        return
    different, most = tiles_handed_out(rules, tensor, level, work)
    if different == 0:
        hand_out(rules, tensor, level, nest, sent, work)
        return
    if different * most != children and level + 1 < nest.keep.shape[0] and nest.keep[level + 1, tensor]:
        row[SHARE] = share_of_window(rules, tensor, level, sent, work)
    row[SENT], row[MULTICAST] = sent * different, most


@part()
def scaled(value: int, some: int, whole: int) -> int:
    """Return ``value * some // whole`` for ``some <= whole``, also where the product is beyond 64 bits."""
    quotient, rest = value // whole * some, value % whole
    if rest == 0 or some <= LARGEST // rest:
        return quotient + rest * some // whole
    more, left = 0, 0
    for bit in range(62, -1, -1):
        more, left = 2 * more, 2 * left
        if some >> bit & 1:
            left += rest
        while left >= whole:
            more, left = more + 1, left - whole
    return quotient + more


@part(inline=True)
def partition_sizes(rules: Rules, tensor: int, nest: Nest, work: Workspace) -> None:
    """Fill per level the words of a tensor that one instance touches over the whole run (integer division as there)."""
    work.partition[0] = rules.touched[tensor]
    for level in range(1, nest.temporal.shape[0]):
        work.partition[level] = work.partition[level - 1]
        if work.children[level - 1] > 1:
            together = words_of(rules.coefficients[tensor], work.together[level - 1])
            if together != work.words[level - 1]:
                work.partition[level] = scaled(work.partition[level - 1], work.words[level - 1], together)


@part(inline=True)
def mask(tensor: int, keep: Bools, work: Workspace) -> None:
    """Pass the traffic of levels that do not keep the tensor on to the next level out, inner levels first."""
    for level in range(keep.shape[0] - 1, 0, -1):
        if not keep[level, tensor]:
            outer = work.statistics[level - 1, tensor]
            outer[LINKED] = 0
            asked = work.statistics[level, tensor, SENT] * work.children[level - 1]
            if asked != outer[DELIVERED]:
                scale = asked / outer[DELIVERED]
                outer[SENT] *= scale
                outer[DELIVERED] *= scale


@part(inline=True)
def count_accesses(rules: Rules, tensor: int, level: int, whole: int, work: Workspace, row: Ints) -> None:
    """Fill tile, reads, fills, updates and reductions of one tensor at a level that keeps it, per instance.

    ``whole``: words of the whole tensor.
    """
    is_output = rules.is_output[tensor]
    sent, share, peers = work.statistics[level, tensor, SENT], 0.0, 0.0
    if level > 0:
        share = work.statistics[level - 1, tensor, SHARE]
        peers = work.statistics[level - 1, tensor, LINKED] / work.instances[level]
    unread = unread_words(rules.read_first[level, tensor], work.partition[level])
    row[TILE] = work.words[level - 1] if level > 0 else whole
    row[READS] = words_read(is_output, sent, peers, unread)
    filled = level > 0 and not rules.origin[level, tensor]
    row[FILLS] = words_filled(is_output, share, peers, unread) if filled else 0
    row[UPDATES] = words_updated(is_output, sent)
    row[REDUCTIONS] = row[READS] if is_output else 0


@part(inline=True)
def count_all(rules: Rules, nest: Nest, work: Workspace, counts: Ints) -> None:
    """Fill ``counts`` ``(levels, tensors, COUNTS)`` for one mapping: per instance, in words, as the reference does.

    Leaves in ``work.statistics`` the traffic of the network below each level, in use by ``instances`` of the level.
    """
    levels = nest.temporal.shape[0]
    tile_sizes(nest, work)
    for tensor in range(rules.coefficients.shape[0]):
        for level in range(levels):
            fan_out(rules, tensor, level, nest, work)
        partition_sizes(rules, tensor, nest, work)
        mask(tensor, nest.keep, work)
        whole = words_of(rules.coefficients[tensor], work.whole)
        for level in range(levels):
            row = counts[level, tensor]
            for column in range(COUNTS):
                row[column] = 0
            row[PARTITION] = work.partition[level]
            if nest.keep[level, tensor]:
                count_accesses(rules, tensor, level, whole, work, row)


@part(inline=True)
def compute_steps(temporal: Ints) -> int:
    """Return the cycles that computing alone takes: the product of all factors over time ``(levels, dims)``."""
    steps = 1
    for level in range(temporal.shape[0]):
        for d in range(temporal.shape[1]):
            steps *= temporal[level, d]
    return steps


@part(inline=True)
def units_in_use(work: Workspace) -> int:
    """Return the compute units in use."""
    levels = work.children.shape[0]
    units: int = work.instances[levels - 1] * work.children[levels - 1]
    return units


@part(inline=True)
def cost_of(machine: Machine, nest: Nest, work: Workspace, counts: Ints) -> tuple[int, float]:
    """Return (cycles, energy in pJ) of a mapping whose accesses are counted."""
    steps = compute_steps(nest.temporal)
    return total_cost(machine, counts, steps, work.instances, work.instances, steps * units_in_use(work))
