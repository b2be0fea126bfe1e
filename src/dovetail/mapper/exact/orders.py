"""Orders of a level's loops over time that differ in cost, one representative each.

What an order does to traffic is decided by its innermost loops alone. A tensor that no dimension sum moves
("injective") is reused over the loops it does not depend on, innermost first, up to the first one it does. A tensor
whose axes add up dimensions ("sliding") is sensitive to the chain of loops up to the first that moves it along another
axis than the ones before; axes that share a dimension count as one. Everything outside multiplies traffic whatever its
order (``docs/mapper.md`` has the proof).
So orders are listed by their head, the loops until every tensor is settled, and a head is dropped when another one
reuses every tensor at least as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from dovetail.model.arrays import Bools, Ints

#: Stands, in a set of loops that bring reuse, for all loops of the levels further out.
_OUTSIDE = -1


class Links(IntEnum):
    """Whether neighbours below a level further in may pass data on."""

    NONE = 0
    ONE_AXIS = 1  # between tiles that differ along one summed axis only
    ANY = 2


#: How a dimension moves a sliding tensor: not at all, along axes of its own, or (from here on) along summed axes.
STILL, OWN, SUMMED = range(3)


def joined_axes(moves: Bools) -> list[int]:
    """Return per axis of a tensor the first of those that it is tied to: they share a dimension, or share one with one.

    ``moves`` is ``(axes, dims)``. A step along one of several tied axes may undo what loops over another dimension ran
    up on all of them; steps along axes that are not tied never undo each other.
    """
    first = list(range(len(moves)))
    for dim in moves.T:
        tied = {first[axis] for axis in np.flatnonzero(dim)}
        first = [min(tied) if place in tied else place for place in first]
    return first


@dataclass(frozen=True)
class Movement:
    """How dimensions move tensors: all that orders depend on.

    Attributes:
        injective: per injective tensor and dimension, whether the dimension moves the tensor.
        sliding: per sliding tensor and dimension: ``STILL``, ``OWN``, or ``SUMMED`` plus the first of the axes that are
            tied to each other by shared dimensions.
        links: whether neighbours may pass data on; then chains are told apart exactly.
        passed: per injective tensor, whether neighbours may pass it on though all of it is sent again at every step.
            What loops leave in place then comes from a neighbour, which may be dearer than from further out.
    """

    injective: tuple[tuple[bool, ...], ...]
    sliding: tuple[tuple[int, ...], ...]
    links: Links = Links.NONE
    passed: tuple[bool, ...] = ()

    @staticmethod
    def of(coefficients: Ints, injective: Bools, links: Links, passed: Bools) -> Movement:
        """Read the movement off the coefficients ``(tensors, axes, dims)``; ``passed``: ``(tensors,)``."""
        moves = coefficients != 0
        rigid, loose = [], []
        for tensor in range(coefficients.shape[0]):
            if injective[tensor]:
                rigid.append(tuple(bool(m) for m in moves[tensor].any(axis=0)))
            else:
                loose.append(_movement(moves[tensor]))
        return Movement(tuple(rigid), tuple(loose), links, tuple(passed[injective].tolist()))


def _movement(moves: Bools) -> tuple[int, ...]:
    """Return how every dimension moves one tensor, given ``(axes, dims)``."""
    first = np.array(joined_axes(moves), np.int64)
    result = []
    for d in range(moves.shape[1]):
        if not moves[:, d].any():
            result.append(STILL)
            continue
        tied = first[np.argmax(moves[:, d])]
        summed = moves[first == tied].any(axis=0).sum() > 1
        result.append(SUMMED + int(tied) if summed else OWN)
    return tuple(result)


@dataclass(frozen=True)
class _Head:
    """The innermost loops of an order (innermost first) and what they bring."""

    loops: tuple[int, ...]
    reuse: tuple[frozenset[int], ...]
    chain: tuple[int, ...]


def orders(
    movement: Movement,
    dims: tuple[int, ...],
    inner: tuple[int, ...],
    outer: tuple[int, ...],
    look: Callable[[], None] = lambda: None,
) -> Ints:
    """Return the orders worth trying, ``(orders, len(dims))``, innermost first; what was listed once is remembered.

    Args:
        movement: how the dimensions move the tensors.
        dims: the dimensions that have a loop of more than one iteration at the level.
        inner: dimensions pinned innermost, innermost first; those without a loop do not count.
        outer: dimensions pinned outermost, innermost first.
        look: at the clock; called every now and then.
    """
    key = movement, dims, inner, outer
    if key not in _LISTED:
        found = _orders(*key, look)
        if len(_LISTED) >= MOST_LISTED:
            _LISTED.clear()
        _LISTED[key] = found
    return _LISTED[key]


#: Lists of orders that are remembered, for how many levels and sets of dimensions.
MOST_LISTED = 4096
_LISTED: dict[tuple[Movement, tuple[int, ...], tuple[int, ...], tuple[int, ...]], Ints] = {}
#: Heads that are listed between two looks at the clock.
_BETWEEN = 256


def _orders(
    movement: Movement,
    dims: tuple[int, ...],
    inner: tuple[int, ...],
    outer: tuple[int, ...],
    look: Callable[[], None],
) -> Ints:
    first = tuple(d for d in inner if d in dims)
    last = tuple(d for d in outer if d in dims)
    free = tuple(d for d in dims if d not in first + last)
    different: dict[tuple[object, object], _Head] = {}
    for count, head in enumerate(_heads(movement, first, free, last)):
        different.setdefault((head.reuse, head.chain), head)  # of those that bring the same the first one stays
        if count % _BETWEEN == 0:
            look()
    rows = []
    for head in _unbeaten(list(different.values()), movement, look):
        rest = [d for d in first + free + last if d not in head.loops]
        rows.append(list(head.loops) + rest)
    return np.array(rows, np.int64).reshape(len(rows), len(dims))


def _heads(movement: Movement, first: Sequence[int], free: Sequence[int], last: Sequence[int]) -> Iterator[_Head]:
    """Yield every head that the pins allow."""

    def extend(loops: tuple[int, ...]) -> Iterator[_Head]:
        settled = _settled(movement, loops)
        done = len(loops) == len(first) + len(free) + len(last)
        if settled or done:
            yield _head(movement, loops, done)
            return
        if len(loops) < len(first):
            yield from extend((*loops, first[len(loops)]))
        elif len(loops) < len(first) + len(free):
            for d in free:
                if d not in loops:
                    yield from extend((*loops, d))
        else:
            yield from extend((*loops, last[len(loops) - len(first) - len(free)]))

    return extend(())


def _settled(movement: Movement, loops: Sequence[int]) -> bool:
    """Whether loops further out can only multiply every tensor's traffic."""
    if any(not any(moves[d] for d in loops) for moves in movement.injective):
        return False
    return all(_stopped(moves, loops, movement.links) for moves in movement.sliding)


def _stopped(moves: Sequence[int], loops: Sequence[int], links: Links) -> bool:
    """Whether a sliding tensor was moved along an axis of its own, or along two summed axes that are not tied."""
    met = {moves[d] for d in loops} - {STILL}
    return OWN in met or (len(met) > 1 and links is not Links.ANY)


def _head(movement: Movement, loops: tuple[int, ...], done: bool) -> _Head:
    reuse = []
    for moves in movement.injective:
        brought: list[int] = []
        for d in loops:
            if moves[d]:
                break
            brought.append(d)
        else:
            if done:
                brought.append(_OUTSIDE)
        reuse.append(frozenset(brought))
    return _Head(loops, tuple(reuse), _chain(movement, loops, done))


def _chain(movement: Movement, loops: tuple[int, ...], done: bool) -> tuple[int, ...]:
    """Return the loops that matter to the sliding tensors, innermost first, without the one that stops the chain."""
    if not movement.sliding:
        return ()
    chain: list[int] = []
    for place, d in enumerate(loops):
        if all(_stopped(moves, loops[: place + 1], movement.links) for moves in movement.sliding):
            break
        chain.append(d)
    else:
        if done:
            chain.append(_OUTSIDE)
    if movement.links is Links.NONE:
        while chain and chain[-1] != _OUTSIDE and all(moves[chain[-1]] == STILL for moves in movement.sliding):
            if not any(moves[d] != STILL for moves in movement.sliding for d in chain):
                break  # loops inside the first one that moves a tensor bring reuse
            chain.pop()  # loops outside of it multiply
    return tuple(chain)


def _unbeaten(heads: Sequence[_Head], movement: Movement, look: Callable[[], None]) -> Iterator[_Head]:
    """Yield the heads that no other one brings at least as much of everything as (the first of equals stays).

    Args:
        heads: all of them, in order.
        movement: how dimensions move tensors. Without links a chain that goes on where another one ends brings no less.
        look: at the clock.
    """
    prefixes, passed = movement.links is Links.NONE, movement.passed
    by_chain: dict[tuple[int, ...], list[int]] = {}  # heads of this chain, or of one that begins with it
    for place, head in enumerate(heads):
        for length in range(len(head.chain) + 1) if prefixes else (len(head.chain),):
            by_chain.setdefault(head.chain[:length], []).append(place)
    for place, head in enumerate(heads):
        if place % _BETWEEN == 0:
            look()
        # What a longer chain adds can only be fetched less often than if it multiplied; links may undo that.
        others = (other for other in by_chain[head.chain] if other != place and _reuses(heads[other], head, passed))
        if not any(other < place or not _equal(head, heads[other], passed) for other in others):
            yield head


def _reuses(one: _Head, other: _Head, passed: Sequence[bool]) -> bool:
    """Return whether a head reuses every tensor at least as much as another one; as much, where it is passed on."""
    return all(
        ours == theirs if dear else theirs <= ours
        for ours, theirs, dear in zip(one.reuse, other.reuse, passed, strict=True)
    )


def _equal(one: _Head, other: _Head, passed: Sequence[bool]) -> bool:
    """Return whether two heads, of which the other one brings as much, bring the same."""
    return one.chain == other.chain and _reuses(one, other, passed)
