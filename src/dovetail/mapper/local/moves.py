"""Random changes to many mappings at a time, within what `dovetail.mapper.limits` says; compiled.

A dimension has a slot over time at every storage and one per axis at every fan-out. Changes move prime factors between
slots, so that factors always multiply up to the bound; the others reorder loops, or keep a tensor or let it pass by.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.limits import (
    AXIS,
    IS_FANOUT,
    MOST,
    ON_X,
    ON_Y,
    OPEN,
    ORDER,
    PLACE,
    ROOM_X,
    SPATIAL_ORDER,
    SPATIAL_X,
    SPATIAL_Y,
    TEMPORAL,
    Limits,
    excess_of,
    obeys,
)
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.compile import jit_plain, part

#: Random numbers that one changed mapping uses up at most.
DRAWS = 3 + 4 * 9


@by_address
class Brood(NamedTuple):
    """Mappings that are changed in place, and what with.

    Attributes:
        genes: as in `dovetail.mapper.limits`.
        keep: likewise.
        others: genes of mappings that they may take single dimensions' factors from.
        fathers: ``(candidates,)`` which of them each may take from.
        draws: ``(candidates, draws)`` random numbers, at least 0 and below 1.
        sizes: ``(dims,)`` scratch.
        marks: ``(candidates,)`` to fill: equal for mappings that are the same.
    """

    genes: Ints
    keep: Bools
    others: Ints
    fathers: Ints
    draws: Floats
    sizes: Ints
    marks: Ints


def brood_of(genes: Ints, keep: Bools, others: Ints, fathers: Ints, draws: Floats) -> Brood:
    """Return mappings to change, not marked yet."""
    sizes, marks = np.empty(genes.shape[3], np.int64), np.empty(len(keep), np.int64)
    return Brood(genes, keep, others, fathers, draws, sizes, marks)


@jit_plain
def change(limits: Limits, brood: Brood, excess: Ints) -> None:
    """Change mappings in place, each by one random change or a few.

    Args:
        limits: of the mapspace.
        brood: the mappings; draws of ``(candidates, 0)`` change nothing.
        excess: ``(candidates,)`` to fill: -1 where a constraint or fan-out is broken, else what does not fit.
    """
    for i in range(brood.fathers.shape[0]):
        own, kept = brood.genes[i], brood.keep[i]
        if brood.draws.shape[1] > 0:
            change_one(limits, own, kept, brood.others[brood.fathers[i]], brood.draws[i])
        excess[i] = what_is_wrong(limits, own, kept, brood.sizes)
        brood.marks[i] = mark(own, kept)


@part()
def change_one(limits: Limits, genes: Ints, kept: Bools, other: Ints, draw: Floats) -> None:
    """Change a mapping in place, by one random change or a few; ``other``: may hand on factors of a dimension."""
    if draw[0] < 0.15:
        take_factors(other, genes, draw[1])
    steps = 1 + int(draw[2] > 0.5) + int(draw[2] > 0.75) + int(draw[2] > 0.9)
    for step in range(steps):
        change_once(limits, genes, kept, draw, 3 + 9 * step)


@part()
def what_is_wrong(limits: Limits, genes: Ints, kept: Bools, sizes: Ints) -> int:
    """Return -1 where a constraint or fan-out is broken, else the words that do not fit."""
    return excess_of(limits, genes, kept, sizes) if obeys(limits, genes) else -1


@part()
def change_once(limits: Limits, genes: Ints, kept: Bools, draw: Floats, at: int) -> None:
    """Make one change of a random kind; it may come to nothing."""
    if draw[at] < 0.45:
        move_factor(limits, genes, draw, at + 1)
    elif draw[at] < 0.65:
        exchange_factors(limits, genes, draw, at + 1)
    elif draw[at] < 0.85:
        reorder(limits, genes, draw, at + 1)
    elif draw[at] < 0.95:
        keep_or_pass(limits, kept, draw, at + 1)
    else:
        other_axis(limits, genes, draw, at + 1)


@part()
def keep_or_pass(limits: Limits, kept: Bools, draw: Floats, at: int) -> None:
    """Have a random level keep a random tensor, or let it pass by when it does keep it; where that is open."""
    level, tensor = pick(draw[at], kept.shape[0]), pick(draw[at + 1], kept.shape[1])
    if limits.levels[level, OPEN + tensor]:
        kept[level, tensor] = not kept[level, tensor]


@part(inline=True)
def pick(draw: float, count: int) -> int:
    """Return one of so many."""
    return int(draw * count)


@part()
def take_factors(other: Ints, genes: Ints, draw: float) -> None:
    """Take over all factors of a random dimension from another mapping."""
    d = pick(draw, genes.shape[2])
    for level in range(genes.shape[1]):
        genes[TEMPORAL, level, d] = other[TEMPORAL, level, d]
        genes[SPATIAL_X, level, d] = other[SPATIAL_X, level, d]
        genes[SPATIAL_Y, level, d] = other[SPATIAL_Y, level, d]


@part()
def slot_with(genes: Ints, d: int, prime: int, draw: float) -> tuple[int, int]:
    """Return the field and level of a random slot whose factor of a dimension a prime divides; field -1: none does."""
    found = 0
    for level in range(genes.shape[1]):
        for field in (TEMPORAL, SPATIAL_X, SPATIAL_Y):
            found += genes[field, level, d] % prime == 0
    wanted = pick(draw, found)
    for level in range(genes.shape[1]):
        for field in (TEMPORAL, SPATIAL_X, SPATIAL_Y):
            if genes[field, level, d] % prime == 0:
                if wanted == 0:
                    return field, level
                wanted -= 1
    return -1, -1


@part()
def takes(limits: Limits, genes: Ints, field: int, level: int, d: int, prime: int) -> bool:
    """Return whether a slot can take a prime factor, as far as its own limits say."""
    if field == TEMPORAL:
        if limits.levels[level, IS_FANOUT]:
            return False
        return genes[TEMPORAL, level, d] * prime <= limits.loops[level, d, MOST]
    other = SPATIAL_X + SPATIAL_Y - field
    barred = ON_Y if field == SPATIAL_X else ON_X
    if limits.loops[level, d, AXIS] == barred or genes[other, level, d] > 1:
        return False
    return genes[field, level, d] * prime <= min(
        limits.loops[level, d, MOST], limits.levels[level, ROOM_X + field - SPATIAL_X]
    )


@part()
def target(limits: Limits, genes: Ints, d: int, prime: int, draw: float) -> tuple[int, int]:
    """Return the field and level of a random slot that can take a prime factor of a dimension; field -1: none."""
    found = 0
    for level in range(genes.shape[1]):
        for field in (TEMPORAL, SPATIAL_X, SPATIAL_Y):
            found += takes(limits, genes, field, level, d, prime)
    wanted = pick(draw, found)
    for level in range(genes.shape[1]):
        for field in (TEMPORAL, SPATIAL_X, SPATIAL_Y):
            if takes(limits, genes, field, level, d, prime):
                if wanted == 0:
                    return field, level
                wanted -= 1
    return -1, -1


@part()
def some_prime(limits: Limits, d: int, draw: float) -> int:
    """Return one of the different prime factors of a dimension's bound; 0 when it is 1."""
    count = 0
    while count < limits.primes.shape[1] and limits.primes[d, count] > 0:
        count += 1
    return limits.primes[d, pick(draw, count)]


@part()
def move_factor(limits: Limits, genes: Ints, draw: Floats, at: int) -> None:
    """Move a prime factor, or all of its powers, of a random dimension from one slot to another."""
    d = pick(draw[at], genes.shape[2])
    prime = some_prime(limits, d, draw[at + 1])
    if prime == 0:
        return
    field, level = slot_with(genes, d, prime, draw[at + 2])
    factor = power(genes[field, level, d], prime, draw[at + 3])
    genes[field, level, d] //= factor
    to_field, to_level = target(limits, genes, d, factor, draw[at + 4])
    if to_field < 0:
        genes[field, level, d] *= factor
        return
    put(limits, genes, to_field, to_level, d, factor, draw[at + 5])


@part(inline=True)
def power(factor: int, prime: int, draw: float) -> int:
    """Return a prime that divides a factor, sometimes its largest power that does."""
    result = prime
    while draw < 0.25 and factor % (result * prime) == 0:
        result *= prime
    return result


@part()
def put(limits: Limits, genes: Ints, field: int, level: int, d: int, factor: int, draw: float) -> None:
    """Multiply a slot's factor; a loop that is new there gets a random place."""
    fresh = genes[field, level, d] == 1
    genes[field, level, d] *= factor
    if fresh:
        place_loop(limits, genes, ORDER if field == TEMPORAL else SPATIAL_ORDER, level, d, draw)


@part()
def exchange_factors(limits: Limits, genes: Ints, draw: Floats, at: int) -> None:
    """Move a prime factor from one slot to another, and one of any dimension back."""
    d, back = pick(draw[at], genes.shape[2]), pick(draw[at + 1], genes.shape[2])
    prime, prime_back = some_prime(limits, d, draw[at + 2]), some_prime(limits, back, draw[at + 3])
    if prime == 0 or prime_back == 0:
        return
    field, level = slot_with(genes, d, prime, draw[at + 4])
    prime = power(genes[field, level, d], prime, draw[at + 7])
    genes[field, level, d] //= prime
    to_field, to_level = slot_with(genes, back, prime_back, draw[at + 5])
    if to_field < 0:
        genes[field, level, d] *= prime
        return
    prime_back = power(genes[to_field, to_level, back], prime_back, draw[at + 7])
    genes[to_field, to_level, back] //= prime_back
    good = takes(limits, genes, to_field, to_level, d, prime)
    if good:
        put(limits, genes, to_field, to_level, d, prime, draw[at + 6])
        good = takes(limits, genes, field, level, back, prime_back)
        if not good:
            genes[to_field, to_level, d] //= prime
    if not good:
        genes[to_field, to_level, back] *= prime_back
        genes[field, level, d] *= prime
        return
    put(limits, genes, field, level, back, prime_back, draw[at + 6])


@part()
def reorder(limits: Limits, genes: Ints, draw: Floats, at: int) -> None:
    """Give a loop of a random level another place."""
    level = pick(draw[at], genes.shape[1])
    if limits.levels[level, IS_FANOUT]:
        place_loop(limits, genes, SPATIAL_ORDER, level, pick(draw[at + 1], genes.shape[2]), draw[at + 2])
        return
    looping = 0
    for d in range(genes.shape[2]):
        looping += genes[TEMPORAL, level, d] > 1
    wanted = pick(draw[at + 1], looping)
    for d in range(genes.shape[2]):
        if genes[TEMPORAL, level, d] > 1:
            if wanted == 0:
                place_loop(limits, genes, ORDER, level, d, draw[at + 2])
                return
            wanted -= 1


@part()
def place_loop(limits: Limits, genes: Ints, field: int, level: int, d: int, draw: float) -> None:
    """Move a dimension to a random place among those that its pins leave: often innermost, sometimes outermost."""
    first, last, now, own = -1, -1, -1, limits.loops[level, d, PLACE]
    for i in range(genes.shape[2]):
        if limits.loops[level, genes[field, level, i], PLACE] == own:
            last = i
            if first < 0:
                first = i
        if genes[field, level, i] == d:
            now = i
    to = last
    if draw >= 0.4:
        to = first if draw < 0.5 else first + pick((draw - 0.5) * 2, last - first + 1)
    step = 1 if to > now else -1
    while now != to:
        genes[field, level, now] = genes[field, level, now + step]
        now += step
    genes[field, level, to] = d


@part()
def other_axis(limits: Limits, genes: Ints, draw: Floats, at: int) -> None:
    """Move a dimension of a random fan-out to its other axis."""
    level, d = pick(draw[at], genes.shape[1]), pick(draw[at + 1], genes.shape[2])
    x, y = genes[SPATIAL_X, level, d], genes[SPATIAL_Y, level, d]
    genes[SPATIAL_X, level, d], genes[SPATIAL_Y, level, d] = y, x


@part()
def mark(genes: Ints, kept: Bools) -> int:
    """Return a number that mappings share when they are the same but for the places of loops of one iteration."""
    number = 0
    for level in range(genes.shape[1]):
        for tensor in range(kept.shape[1]):
            number = mixed(number, int(kept[level, tensor]))
        for i in range(genes.shape[2]):
            d, across = genes[ORDER, level, i], genes[SPATIAL_ORDER, level, i]
            if genes[TEMPORAL, level, d] > 1:
                number = mixed(mixed(number, d + 1), genes[TEMPORAL, level, d])
            if genes[SPATIAL_X, level, across] > 1:
                number = mixed(mixed(number, across + 1), genes[SPATIAL_X, level, across])
            if genes[SPATIAL_Y, level, across] > 1:
                number = mixed(mixed(number, -across - 1), genes[SPATIAL_Y, level, across])
    return number


@part(inline=True)
def mixed(number: int, more: int) -> int:
    """Return a number that depends on both (FNV-1a's prime; 64 bits, wrapping around)."""
    return (number ^ more) * 1099511628211 + 1
