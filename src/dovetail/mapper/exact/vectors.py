"""Sets of vectors of demands: what stands in one, which of two is never worse, and what stands for too many.

A vector is never worse than another if it costs no more whatever is decided further out. What is decided there is a
price for every word asked, of which is known between what it lies, and how often a pending tensor is asked for.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.ceiling import Ceiling, least_to_bring, parts_of
from dovetail.mapper.exact.goal import objective_value
from dovetail.mapper.exact.space import Space, once
from dovetail.mapper.exact.ways import ways_of
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.charges import READ, UPDATE
from dovetail.model.compile import part

# Columns of a vector after its 2 * tensors first ones: pJ; pJ per copy; cycles.
ENERGY, PER_COPY, CYCLES, FIXED = range(4)


@by_address
class Outside(NamedTuple):
    """What may lie outside a boundary.

    Attributes:
        low: ``(tensors,)`` pJ that a word asked by one instance costs at its keeper, at least.
        high: ``(tensors,)`` at most.
        timed: ``(tensors,)`` a level that may keep it has a bandwidth.
        copies: ``(tiles,)`` instances that sum up parts of the same outputs of a tile, at most; one does, at least.
    """

    low: Floats
    high: Floats
    timed: Bools
    copies: Floats


def all_outside(space: Space, per_word: Floats) -> list[Outside]:
    """Return per boundary what may lie outside it; ``per_word`` ``(levels, tensors, actions)`` least pJ per word."""
    parts = space.fanouts, space.linking, space.by_model, space.divisors, space.rules
    shared = once(space, ("sharing", *parts), lambda: _shared(space))
    together, most = parts_of(space), space.most_instances
    found = [_outside_of(space, boundary, per_word, shared) for boundary in range(len(space.levels) + 1)]
    return [
        outside._replace(copies=np.clip(together, 1.0, float(instances)))
        for outside, instances in zip(found, most, strict=True)
    ]


def _shared(space: Space) -> Floats:
    """Return ``(levels, tensors)``: children that share a word, at most; infinity where words are passed on."""
    shared = np.ones((len(space.levels), len(space.rules.is_output)))
    for level in np.flatnonzero(space.is_spatial).tolist():
        shared[level] = ways_of(space, level)[0].shared.max(axis=0, initial=1)  # no way through: no mapping at all
        shared[level, space.by_model[level].any(axis=0)] = np.inf
    return shared


def _outside_of(space: Space, boundary: int, per_word: Floats, shared: Floats) -> Outside:
    tensors = len(space.rules.is_output)
    outside = Outside(np.full(tensors, np.inf), np.zeros(tensors), np.zeros(tensors, np.bool_), np.ones(1))
    sharing, may_keep = np.ones(tensors), space.may_keep  # of the fan-outs between a level and the boundary
    for level in range(boundary - 1, -1, -1):
        sharing *= shared[level]
        price = per_word[level, :, READ] + np.where(space.rules.is_output, per_word[level, :, UPDATE], 0.0)
        kept = may_keep[level]
        outside.low[kept] = np.minimum(outside.low, price / sharing)[kept]
        outside.high[kept] = np.maximum(outside.high, price)[kept]
        outside.timed[kept] |= bool(np.isfinite(space.machine.bandwidth[level]).any())
    return outside._replace(low=np.minimum(outside.low, outside.high))


@by_address
class Working(NamedTuple):
    """Vectors under construction.

    Attributes:
        vectors: ``(tiles, room, columns)``.
        pending: ``(tiles, room)``.
        keys: ``(tiles, room)`` what they cost at most but for copies (`dearest`): cheap to compare first.
        strong: ``(tiles,)`` the one that undercut something last: it is compared first.
        counts: ``(tiles,)`` vectors that a tile has.
        merged: ``(2,)`` how many had to be merged with others for want of room, in this table and those made from it;
            above 0: after the first one none is taken any more.
        outside: what may lie outside their boundary.
        ceiling: what they must not come to more than.
        compared: ``(1,)`` with how many others vectors were compared, all together.
    """

    vectors: Floats
    pending: Ints
    keys: Floats
    strong: Ints
    counts: Ints
    merged: Ints
    outside: Outside
    ceiling: Ceiling
    compared: Ints

    @staticmethod
    def empty(shape: tuple[int, int, int], outside: Outside, ceiling: Ceiling, compared: Ints) -> Working:
        """Allocate it: tiles, room, columns."""
        pending, keys, counts = np.zeros(shape[:2], np.int64), np.zeros(shape[:2]), np.zeros(shape[0], np.int64)
        merged = np.zeros(2, np.int64)
        return Working(np.zeros(shape), pending, keys, counts.copy(), counts, merged, outside, ceiling, compared)

    def like(self, outside: Outside, ceiling: Ceiling) -> Working:
        """Allocate another one as large, of another boundary."""
        return Working.empty(self.vectors.shape, outside, ceiling, self.compared)._replace(merged=self.merged)

    def copied(self, room: int) -> Working:
        """Return a copy that has other room."""
        copy = Working.empty((len(self.counts), room, self.vectors.shape[2]), self.outside, self.ceiling, self.compared)
        used = int(self.counts.max())
        for ours, theirs in ((self.vectors, copy.vectors), (self.pending, copy.pending), (self.keys, copy.keys)):
            theirs[:, :used] = ours[:, :used]
        copy.strong[:], copy.counts[:] = self.strong, self.counts
        return copy._replace(merged=self.merged)


@part()
def undercuts(one: Floats, mask: int, other: Floats, its: int, outside: Outside, copies: float) -> bool:
    """Return whether a vector is never worse than another, whatever lies outside; masks: their pending tensors.

    ``copies``: instances that sum up parts of the same outputs, at most: costs are linear in them, so the worst is at
    one of the ends.
    It is no slower, asks no more words of levels that have a bandwidth, and what it costs more in one place it saves in
    others at the prices that are the worst for it. A pending tensor is asked for at some share of the visits.
    """
    fixed = one.shape[0] - FIXED
    tensors = fixed // 2
    if its & ~mask or one[fixed + CYCLES] > other[fixed + CYCLES]:
        return False
    more, by_copy = one[fixed + ENERGY] - other[fixed + ENERGY], one[fixed + PER_COPY] - other[fixed + PER_COPY]
    more += max(by_copy, by_copy * copies)
    for t in range(tensors):
        words = one[t] - other[t]
        if words > 0 and outside.timed[t]:
            return False
        asked = words * (outside.high[t] if words > 0 else outside.low[t])
        along = one[tensors + t] - other[tensors + t]
        if its >> t & 1:  # at all visits, at none, or words alone: what goes with asking may not be counted further out
            more += max(0.0, asked, asked + along)
        elif mask >> t & 1:
            more += max(asked + along, -outside.low[t] * other[t])
        else:
            more += asked
    return more <= 0


@part()
def dearest(vector: Floats, outside: Outside) -> float:
    """Return what a vector costs where all is asked for at all visits, by one copy, at the dearest prices.

    None that costs less there is undercut.
    """
    fixed = vector.shape[0] - FIXED
    tensors, cost = fixed // 2, vector[fixed + ENERGY] + vector[fixed + PER_COPY]
    for t in range(tensors):
        cost += vector[t] * outside.high[t] + vector[tensors + t]
    return float(cost)


@part()
def too_dear(ceiling: Ceiling, tile: int, vector: Floats, mask: int) -> bool:
    """Return whether whatever has a vector of demands costs more than a mapping may."""
    if ceiling.code < 0:
        return False
    fixed, visits = vector.shape[0] - FIXED, ceiling.visits[tile]
    tensors = fixed // 2
    cycles = max(ceiling.cycles, vector[fixed + CYCLES] * visits / ceiling.instances[tile])
    energy = visits * (vector[fixed + ENERGY] + vector[fixed + PER_COPY] * ceiling.copies[tile])
    energy += ceiling.leakage * cycles - ceiling.slack
    for t in range(tensors):
        if mask >> t & 1:  # at one visit at least
            energy += vector[tensors + t] + least_to_bring(ceiling, tile, t, vector[t])
        else:
            energy += least_to_bring(ceiling, tile, t, vector[t] * visits)
    value, _ = objective_value(ceiling.code, energy, cycles)
    return value > ceiling.value


@part()
def visits_too_dear(ceiling: Ceiling, tile: int, energy: float, cycles: float) -> bool:
    """Return whether visits of a tile that take so many pJ and cycles each make a mapping cost more than it may."""
    visits = ceiling.visits[tile]
    cycles = max(ceiling.cycles, cycles * visits / ceiling.instances[tile])
    value, _ = objective_value(ceiling.code, energy * visits + ceiling.leakage * cycles - ceiling.slack, cycles)
    return value > ceiling.value


@part()
def offer_vector(to: Working, tile: int, vector: Floats, mask: int) -> None:
    """Add a vector to a tile's unless one of these undercuts it; drop those that it undercuts."""
    vectors, pending, keys, count = to.vectors[tile], to.pending[tile], to.keys[tile], to.counts
    copies = to.outside.copies[tile]
    if to.merged[0] and to.merged[1]:
        return
    to.compared[0] += 1 + count[tile]
    key = dearest(vector, to.outside)
    k = to.strong[tile]
    if k < count[tile] and keys[k] <= key and undercuts(vectors[k], pending[k], vector, mask, to.outside, copies):
        return
    if too_dear(to.ceiling, tile, vector, mask):
        return
    for k in range(count[tile]):
        if keys[k] <= key and undercuts(vectors[k], pending[k], vector, mask, to.outside, copies):
            to.strong[tile] = k
            return
    k = 0
    while k < count[tile]:
        if key <= keys[k] and undercuts(vector, mask, vectors[k], pending[k], to.outside, copies):
            count[tile] -= 1
            for j in range(vector.shape[0]):
                vectors[k, j] = vectors[count[tile], j]
            pending[k], keys[k] = pending[count[tile]], keys[count[tile]]
        else:
            k += 1
    if count[tile] == vectors.shape[0]:
        to.merged[0] += 1
        merge_vector(to, tile, vector, mask)
        return
    for j in range(vector.shape[0]):
        vectors[k, j] = vector[j]
    pending[k], keys[k] = mask, key
    count[tile] += 1


@part()
def merge_vector(to: Working, tile: int, vector: Floats, mask: int) -> None:
    """Lower the vector of a tile whose merger with another one loses least to what undercuts both."""
    vectors, pending, copies = to.vectors[tile], to.pending[tile], to.outside.copies[tile]
    best, nearest = 0, np.inf
    for k in range(vectors.shape[0]):
        apart = lost_at(vectors[k], pending[k], vector, mask, to.outside, copies)
        if apart < nearest:
            best, nearest = k, apart
    fixed = vector.shape[0] - FIXED
    energy, per_copy = below_both(vectors[best], vector, fixed, copies)
    for j in range(vector.shape[0]):
        vectors[best, j] = min(vectors[best, j], vector[j])
    vectors[best, fixed + ENERGY], vectors[best, fixed + PER_COPY] = energy, per_copy
    pending[best] |= mask
    to.keys[tile, best] = dearest(vectors[best], to.outside)


@part()
def with_copies(vector: Floats, fixed: int, copies: float) -> float:
    """Return the pJ of a vector but for what is asked, by so many copies."""
    return vector[fixed + ENERGY] + vector[fixed + PER_COPY] * copies


@part()
def below_both(one: Floats, other: Floats, fixed: int, copies: float) -> tuple[float, float]:
    """Return pJ, and pJ per copy, that are no more than two vectors' by any number of copies up to so many.

    The lesser of two straight lines bends downwards, so the line between its ends lies below it.
    """
    by_one = min(with_copies(one, fixed, 1.0), with_copies(other, fixed, 1.0))
    if copies <= 1.0:
        return by_one, 0.0
    by_most = min(with_copies(one, fixed, copies), with_copies(other, fixed, copies))
    per_copy = (by_most - by_one) / (copies - 1.0)
    return by_one - per_copy, per_copy


@part()
def lost_at(one: Floats, mask: int, other: Floats, its: int, outside: Outside, copies: float) -> float:
    """Return which part of two vectors' cost is lost when one stands for both, at middling prices and shares."""
    fixed = one.shape[0] - FIXED
    tensors = fixed // 2
    cost = with_copies(one, fixed, 1.0) + with_copies(other, fixed, 1.0)
    lost = 0.5 * abs(with_copies(one, fixed, 1.0) - with_copies(other, fixed, 1.0))
    lost += 0.5 * abs(with_copies(one, fixed, copies) - with_copies(other, fixed, copies))
    for t in range(tensors):
        price = math.sqrt(max(outside.low[t], outside.high[t] / 256) * outside.high[t])
        ours, theirs = one[t] * price + one[tensors + t], other[t] * price + other[tensors + t]
        merged = min(one[t], other[t]) * price + min(one[tensors + t], other[tensors + t])
        shares = 0.5 if mask >> t & 1 else 1.0, 0.5 if its >> t & 1 else 1.0
        cost += ours * shares[0] + theirs * shares[1]
        lost += ours * shares[0] + theirs * shares[1] - 2 * merged * min(shares[0], shares[1])
    slow, quick = one[fixed + CYCLES], other[fixed + CYCLES]
    return lost / (cost + 1e-300) + abs(slow - quick) / max(slow, quick, 1e-300)
