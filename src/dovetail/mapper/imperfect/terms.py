"""What mappings cost, as a sum of products over the dimensions: words of every action, level and tensor.

Where every axis of a tensor has one dimension, no neighbours pass words on and the fan-outs share what is the same,
what the model counts at a level of an imperfect mapping is a product of what each dimension does to it, whatever the
others do. Here these factors are worked out for all ways to factor a dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.mapper.imperfect.floor import units_of
from dovetail.mapper.imperfect.runs import Runs, outside_run
from dovetail.mapper.imperfect.walks import Walk
from dovetail.mapper.limits import IS_FANOUT, MOST
from dovetail.mapper.mapspace import Mapspace
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.by_address import by_address
from dovetail.model.charges import READ, UPDATE, WRITE, lines_at_once, word_energy


class Stream(NamedTuple):
    """Words of a tensor that pass a boundary: sent by the level ``outer`` towards the keeper inside ``boundary``.

    Attributes:
        tensor: which one.
        outer: the keeper that sends them; -1: what one child of the boundary is sent.
        boundary: the level whose children are sent them.
    """

    tensor: int
    outer: int
    boundary: int


# Columns of `Terms.terms`.
STREAM, LEVEL, TENSOR, ACTION, KEPT = range(5)


@by_address
class Terms(NamedTuple):
    """What is charged, one row per action, level and tensor.

    Attributes:
        terms: ``(terms, 5)`` stream, level, tensor, action, and which level's partition is left out (-1: none).
        pJ: ``(terms,)`` the least pJ of a word.
        rounded_pJ: what rounding words to whole ones can save at most.
        of_compute: the stream whose words are executions of one unit.
        levels: ``(streams,)`` the level whose instances are in use.
    """

    terms: Ints
    pJ: Floats
    rounded_pJ: float
    of_compute: int
    levels: Ints


@dataclass(frozen=True)
class Charged:
    """The streams of a choice of keepers, and what is charged for them.

    Attributes:
        keep: ``(levels, tensors)``.
        streams: what passes; the instances of `Terms.levels` are those that send or receive it.
        terms: what is charged.
    """

    keep: Bools
    streams: list[Stream]
    terms: Terms

    @staticmethod
    def of(space: Mapspace, keep: Bools) -> Charged:
        """List them."""
        levels, machine, rules, units = len(keep), space.machine, space.rules, units_of(space)
        streams: list[Stream] = []
        at: list[int] = []
        rows: list[tuple[int, ...]] = []

        def stream(one: Stream, level: int) -> int:
            if (one, level) not in zip(streams, at, strict=True):
                streams.append(one)
                at.append(level)
            return list(zip(streams, at, strict=True)).index((one, level))

        for tensor in range(keep.shape[1]):
            keepers = np.flatnonzero(keep[:, tensor]).tolist()
            for level, inner in zip(keepers, [*keepers[1:], levels], strict=True):
                sent = stream(Stream(tensor, level, inner - 1), level)
                out = bool(rules.is_output[tensor])
                partition = level if out and not rules.read_first[level, tensor] else -1
                rows.append((sent, level, tensor, READ, partition))
                if out:
                    rows.append((sent, level, tensor, UPDATE, -1))
                if level > 0:
                    filled = stream(Stream(tensor, -1, level - 1), level)
                    rows.append((filled, level, tensor, WRITE, partition))
        terms = np.array(rows, np.int64)
        most = np.array([units[level - 1] if level > 0 else 1 for level in terms[:, LEVEL].tolist()])
        pJ = np.array(
            [
                float(word_energy(machine, level, tensor, action)) * lines_at_once(machine, level, used) / used
                for (_, level, tensor, action, _), used in zip(rows, most.tolist(), strict=True)
            ]
        )
        inmost = stream(Stream(0, -1, levels - 1), levels)
        return Charged(keep, streams, Terms(terms, pJ, float(pJ @ most), inmost, np.array(at, np.int64)))


def is_product(space: Mapspace) -> bool:
    """Return whether costs are products over the dimensions, so that all this holds."""
    rules, inmost = space.rules, len(space.limits.levels) - 1
    return bool(
        rules.injective.all()
        and not rules.no_multicast.any()
        and not rules.no_reuse.any()
        and not rules.origin.any()
        and not space.limits.levels[inmost, IS_FANOUT]
        and not space.limits.levels[0, IS_FANOUT]
    )


def told_apart(space: Mapspace, keep: Bools) -> Bools:
    """Return ``(levels,)`` where it matters which dimension is innermost: right around a tile that it may move."""
    found = np.zeros(len(keep), np.bool_)
    for level in range(len(keep) - 1):
        looping = space.limits.loops[level, :, MOST] > 1
        moved = (space.rules.coefficients[keep[level + 1]][:, :, looping] != 0).any()
        found[level] = not space.limits.levels[level, IS_FANOUT] and moved
    return found


def parted(space: Mapspace, keep: Bools) -> Bools:
    """Return ``(levels, tensors)``: whether a tensor is sent to a keeper further in than a level."""
    return np.array([keep[level + 1 :].any(axis=0) for level in range(len(keep))], np.bool_)


def known_of(space: Mapspace, stream: Stream, d: int, runs: Runs) -> tuple[int, ...]:
    """Return all that `words_through` takes of a class of orders."""
    tensor, outer, boundary = stream
    run = runs[boundary]
    places = [outside_run(runs, tensor, level) for level in range(max(outer, 0), boundary + 1)]
    return (int(run is not None and run.dimension == d), *places)


def words_through(space: Mapspace, stream: Stream, walk: Walk, d: int, runs: Runs) -> tuple[Floats, Floats]:
    """Return ``(ways,)`` what a dimension does to the words of a stream, and what it surely does at least.

    The second holds whatever the other dimensions do, also where a tile stands still as another one's last pass is one
    iteration; the first where that happens in none.
    """
    tensor, outer, boundary = stream
    step = int(space.rules.coefficients[tensor, :, d].sum())
    if boundary == len(space.limits.levels) - 1:
        words = walk.passes(boundary).astype(np.float64)
        least = words
    elif step > 0:
        run = runs[boundary]
        around = run is not None and run.dimension == d and bool(outer < 0 or outer == boundary)
        words, least = walk.moving(boundary, step, around=around)
    else:
        passes, children = walk.standing(boundary, outside_run(runs, tensor, boundary))
        words = least = passes if outer >= 0 else children
    if outer < 0:
        children = walk.ways.in_space[:, boundary].astype(np.float64)
        return words / children, least / children
    for level in range(outer, boundary):
        if not space.limits.levels[level, IS_FANOUT]:
            continue
        children = walk.ways.in_space[:, level].astype(np.float64)
        if step > 0:
            words, least = words * children, least * children
        else:  # as many receivers a word as in the average pass; where tiles stand still, all children at most
            passes, all_children = walk.standing(level, outside_run(runs, tensor, level))
            words = words * (children * passes / all_children)
    return words, least
