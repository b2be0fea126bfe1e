"""What the loops of a level leave behind for the levels further in: reuse, and the chain of a tensor that slides."""

from __future__ import annotations

from dovetail.mapper.exact.rows import (
    BY,
    CHAIN_FIELDS,
    INSIDE,
    LENGTH,
    LOOPED,
    REUSE,
    STEP,
    TIMES,
    Scratch,
    chain_start,
    of_tensor,
)
from dovetail.mapper.exact.scene import Motion
from dovetail.model.arrays import Ints
from dovetail.model.compile import part


@part(inline=True)
def count_loops(order: Ints) -> int:
    """Return how many loops an order has."""
    loops = 0
    while loops < order.shape[0] and order[loops] >= 0:
        loops += 1
    return loops


@part()
def settled_by(motion: Motion, d: int, met: Ints) -> bool:
    """Note the axis along which a loop moves each sliding tensor; True when all of them are settled by it."""
    settled = True
    for tensor in range(met.shape[0]):
        if motion.injective[tensor]:
            continue
        how, so_far = motion.stops[tensor, d], met[tensor]
        if how == -1 or (how > 0 and so_far > 0 and so_far != how and not motion.long_chains):
            met[tensor] = -1
        elif how > 0 and so_far == 0:
            met[tensor] = how
        settled = settled and met[tensor] == -1
    return settled


@part()
def moves_sliding(motion: Motion, d: int) -> bool:
    """Return whether a dimension moves any sliding tensor."""
    for tensor in range(motion.injective.shape[0]):
        if not motion.injective[tensor] and motion.stops[tensor, d] != 0:
            return True
    return False


@part()
def chain_on(motion: Motion, level: int, order: Ints, scratch: Scratch) -> bool:
    """Fill in the chain: the level's loops, then the chain before, up to the loop that settles every tensor.

    False: it is too long to remember.
    """
    old, key, loops, met = scratch.entered.key, scratch.row.key, count_loops(order), scratch.met
    start = chain_start(met.shape[0])
    for tensor in range(met.shape[0]):
        met[tensor] = 0
    for i in range(start, key.shape[0]):
        key[i] = 0
    length, last = 0, 0
    for i in range(loops + old[LENGTH]):
        if i < loops:
            d = order[i]
            factor, step = scratch.loops[BY, d], scratch.loops[INSIDE, d]
        else:
            at = start + CHAIN_FIELDS * (i - loops)
            d, factor, step = old[at + LOOPED], old[at + TIMES], old[at + STEP]
        if settled_by(motion, d, met):
            break
        at = start + CHAIN_FIELDS * length
        if at == key.shape[0]:
            return False
        key[at + LOOPED], key[at + TIMES], key[at + STEP] = d, factor, step
        length += 1
        if moves_sliding(motion, d):
            last = length
    if not motion.links_inside[level + 1] and length > last:
        length = shorten(motion, length, last, key)
    key[LENGTH] = length
    return True


@part()
def shorten(motion: Motion, length: int, last: int, key: Ints) -> int:
    """Merge loops at the end of a chain that move nothing; returns the new length.

    Outside the last loop that moves something they multiply, like all that follows. Where nothing moves they bring
    reuse, and only their product matters.
    """
    start = chain_start(motion.injective.shape[0])
    factor, d = 1, key[start + LOOPED]
    for i in range(last, length):
        factor *= key[start + CHAIN_FIELDS * i + TIMES]
        d = min(d, key[start + CHAIN_FIELDS * i + LOOPED])
    for i in range(start + CHAIN_FIELDS * last, start + CHAIN_FIELDS * length):
        key[i] = 0
    if last > 0:
        return last
    for other in range(motion.stops.shape[1]):
        if not moves_sliding(motion, other):
            d = other
            break
    key[start + LOOPED], key[start + TIMES] = d, factor
    return 1


@part()
def remember(motion: Motion, level: int, order: Ints, scratch: Scratch) -> bool:
    """Fill in reuse and chain after the loops of one order (innermost first); False: too long a chain."""
    old, key, loops, tensors = scratch.entered.key, scratch.row.key, count_loops(order), motion.injective.shape[0]
    for tensor in range(tensors):
        if not motion.injective[tensor]:
            continue
        reuse, closed = 1, False
        for i in range(loops):
            d = order[i]
            if motion.stops[tensor, d] != 0:
                closed = True
                break
            reuse *= scratch.loops[BY, d]
        at = of_tensor(REUSE, tensor, tensors)
        key[at] = reuse if closed else reuse * old[at]
    if motion.slides:
        return chain_on(motion, level, order, scratch)
    return True
