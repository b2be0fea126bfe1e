"""Branch and bound over the ways to factor each dimension, one dimension after another; compiled.

Costs are sums of products over the dimensions (`dovetail.mapper.imperfect.terms`): of dimensions that are not chosen
yet every factor is the least that any way leaves.
"""
# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.mapper.exact.goal import objective_value
from dovetail.mapper.imperfect.terms import ACTION, KEPT, LEVEL, STREAM, TENSOR, Terms
from dovetail.mapper.limits import SPATIAL_X, SPATIAL_Y, TEMPORAL, Limits, obeys
from dovetail.model.arrays import Bools, Floats, Ints, Machine
from dovetail.model.by_address import by_address
from dovetail.model.charges import (
    ACTED,
    READING,
    TILE,
    WRITE,
    bandwidth_taken,
    cycles_taken,
    fits,
    nearest,
    space_taken,
    total_cost,
)
from dovetail.model.compile import jit_plain, part

#: Relative margins: of sums in another order, and of products that are whole numbers on paper.
MARGIN, NOISE = 1e-11, 1e-13


@by_address
class Lists(NamedTuple):
    """The ways of all dimensions, one dimension's after another's.

    Attributes:
        first: ``(dims + 1,)`` where each dimension's begin.
        words: ``(ways, streams)`` what a way does to the words of a stream, per instance.
        least: ``(ways, streams)`` the same where a tile may stand still at the end of another dimension.
        loose: ``(ways,)`` a tile may stand still at the end of this one.
        uneven: ``(ways,)`` fewer children are in use in a last pass.
        used: ``(ways, levels + 1)`` instances in use on average; last, of compute.
        full: ``(ways, levels + 1)`` the same of any pass.
        own: ``(ways, levels, tensors)`` share of a tensor's partition that one instance has of the one outside.
        tile, together: ``(ways, levels, tensors)`` what a child holds of a tensor, and what all children do.
        sizes: ``(ways, levels, tensors)`` the largest tile at a level.
        factors: ``(ways, 3, levels)`` over time, X and Y.
        steps: ``(ways,)`` passes over time.
        taken: ``(ways,)`` which row of `Scene.after` says what room it leaves.
    """

    first: Ints
    words: Floats
    least: Floats
    loose: Bools
    uneven: Bools
    used: Floats
    full: Ints
    own: Floats
    tile: Ints
    together: Ints
    sizes: Ints
    factors: Ints
    steps: Ints
    taken: Ints


@by_address
class Rest(NamedTuple):
    """What dimensions from one on do at least, by the room that is left to them; row ``dims``: none, so 1.

    Attributes:
        words: ``(dims + 1, rooms, streams)`` to words, over all instances in use.
        own: ``(dims + 1, rooms, levels, tensors)`` to partitions over all instances in use, at most.
        used: ``(dims + 1, rooms, levels + 1)`` to the instances in use.
        sizes: ``(dims + 1, rooms, levels, tensors)`` to tiles.
        steps: ``(dims + 1, rooms)`` to cycles.
    """

    words: Floats
    own: Floats
    used: Floats
    sizes: Floats
    steps: Floats


@by_address
class Path(NamedTuple):
    """The ways chosen so far; row ``i`` is of the first ``i`` dimensions.

    Attributes:
        at: ``(dims,)`` the next way to try.
        depth: ``(1,)`` how many dimensions are chosen; -1 when all is done.
        words, least, own, used, sizes, steps, loose: ``(dims + 1, ...)`` as in `Lists`, products of them.
        room: ``(dims + 1,)`` which room is left.
        genes: ``(5, levels, dims)`` scratch.
        counts: ``(levels, tensors, COUNTS)`` scratch.
        full: ``(levels + 1,)`` scratch.
        cut: ``(levels + 1,)`` scratch.
    """

    at: Ints
    depth: Ints
    words: Floats
    least: Floats
    own: Floats
    used: Floats
    sizes: Ints
    steps: Ints
    loose: Bools
    room: Ints
    genes: Ints
    counts: Ints
    full: Ints
    cut: Ints


@by_address
class Scene(NamedTuple):
    """What a branch and bound works on.

    Attributes:
        lists: the ways.
        rest: bounds of what is not chosen yet.
        after: ``(uses, rooms)`` the room left after a use of a room; -1: it has not so much. Room 0 is all of it.
        terms: what is charged.
        keep: ``(levels, tensors)``.
        touched: ``(tensors,)`` words of a whole tensor.
        is_output: ``(tensors,)``.
        outside: ``(levels,)`` no fan-out lies outside of a level.
        limits: what a mapping obeys.
        machine: of the model.
        code: what is minimised.
        is_exact: of tiles that never stand still values are taken to be exact; else whole choices are all collected.
    """

    lists: Lists
    rest: Rest
    after: Ints
    terms: Terms
    keep: Bools
    touched: Ints
    is_output: Bools
    outside: Bools
    limits: Limits
    machine: Machine
    code: int
    is_exact: bool


@by_address
class Found(NamedTuple):
    """What was met.

    Attributes:
        goal: ``(2,)`` values at and above this are of no use; the least value of a choice that costs just that.
        best: ``(dims,)`` that choice.
        loose: ``(room, dims)`` choices that may cost more than their value.
        values: ``(room,)`` their values.
        met: ``(2,)`` how many those are; partial choices examined.
    """

    goal: Floats
    best: Ints
    loose: Ints
    values: Floats
    met: Ints


@jit_plain
def explore(scene: Scene, path: Path, found: Found, most: int) -> None:
    """Go on for so many partial choices, to the end, or until there is no more room for choices met."""
    dims, examined = path.at.shape[0], 0
    while path.depth[0] >= 0 and examined < most and found.met[0] < found.values.shape[0]:
        depth = path.depth[0]
        way = path.at[depth]
        if way == scene.lists.first[depth + 1]:
            path.depth[0] -= 1
            continue
        path.at[depth] += 1
        examined += 1
        if not _choose(scene, path, depth, way):
            continue
        if _bound(scene, path, depth + 1) >= found.goal[0] * (1 - MARGIN):
            continue
        if depth + 1 < dims:
            path.depth[0] += 1
            path.at[depth + 1] = scene.lists.first[depth + 1]
        else:
            _take(scene, path, found)
    found.met[1] += examined


@part()
def _take(scene: Scene, path: Path, found: Found) -> None:
    """Keep a whole choice, if it is worth it."""
    dims = path.at.shape[0]
    value = _value(scene, path)
    if value >= found.goal[0] * (1 - MARGIN) or not _obeys(scene, path):
        return
    if path.loose[dims] or not scene.is_exact:
        for d in range(dims):
            found.loose[found.met[0], d] = path.at[d] - 1
        found.values[found.met[0]] = value
        found.met[0] += 1
        return
    found.goal[0] = value
    found.goal[1] = value
    for d in range(dims):
        found.best[d] = path.at[d] - 1


@part()
def _obeys(scene: Scene, path: Path) -> bool:
    """Return whether a whole choice obeys the constraints."""
    for d in range(path.at.shape[0]):
        for level in range(scene.keep.shape[0]):
            path.genes[TEMPORAL, level, d] = scene.lists.factors[path.at[d] - 1, 0, level]
            path.genes[SPATIAL_X, level, d] = scene.lists.factors[path.at[d] - 1, 1, level]
            path.genes[SPATIAL_Y, level, d] = scene.lists.factors[path.at[d] - 1, 2, level]
    return obeys(scene.limits, path.genes)


@part()
def _choose(scene: Scene, path: Path, depth: int, way: int) -> bool:
    """Fill what the first dimensions do together; returns whether there is room for it."""
    lists, levels, tensors = scene.lists, scene.keep.shape[0], scene.keep.shape[1]
    room = scene.after[lists.taken[way], path.room[depth]]
    if room < 0:
        return False
    path.room[depth + 1] = room
    for level in range(levels):
        taken = 0
        for tensor in range(tensors):
            size = path.sizes[depth, level, tensor] * lists.sizes[way, level, tensor]
            path.sizes[depth + 1, level, tensor] = size
            if scene.keep[level, tensor]:
                least = int(size * scene.rest.sizes[depth + 1, room, level, tensor])
                taken += space_taken(scene.machine, level, tensor, least)
            path.own[depth + 1, level, tensor] = path.own[depth, level, tensor] * lists.own[way, level, tensor]
        if not fits(scene.machine.capacity[level], taken):
            return False
    for i in range(lists.words.shape[1]):
        path.words[depth + 1, i] = path.words[depth, i] * lists.words[way, i]
        path.least[depth + 1, i] = path.least[depth, i] * lists.least[way, i]
    for level in range(levels + 1):
        path.used[depth + 1, level] = path.used[depth, level] * lists.used[way, level]
    path.steps[depth + 1] = path.steps[depth] * lists.steps[way]
    path.loose[depth + 1] = path.loose[depth] or lists.loose[way]
    return True


@part()
def _bound(scene: Scene, path: Path, depth: int) -> float:
    """Return what no choice of the other dimensions goes below."""
    terms, machine, rest, room = scene.terms, scene.machine, scene.rest, path.room[depth]
    energy, cycles = 0.0, path.steps[depth] * rest.steps[depth, room]
    for level in range(scene.keep.shape[0]):
        read, written = 0.0, 0.0
        for i in range(terms.terms.shape[0]):
            if terms.terms[i, LEVEL] != level:
                continue
            words = _words(scene, path, depth, i)
            energy += words * terms.pJ[i]
            taken = bandwidth_taken(machine, level, terms.terms[i, TENSOR], words - 1)
            if READING[terms.terms[i, ACTION]]:
                read += taken
            else:
                written += taken
        if scene.outside[level] and read + written > 0:
            cycles = max(cycles, cycles_taken(machine, level, max(read, 0.0), max(written, 0.0)))
    for level in range(scene.keep.shape[0]):
        energy += machine.leakage[level] * cycles * path.used[depth, level] * rest.used[depth, room, level]
    stream = terms.of_compute
    energy += _streamed(scene, path, depth, stream) * machine.compute_pJ
    energy = max(0.0, energy - terms.rounded_pJ)
    return objective_value(scene.code, energy, np.ceil(cycles * (1 - MARGIN)))[0]


@part()
def _streamed(scene: Scene, path: Path, depth: int, stream: int) -> float:
    """Return the words of a stream over all instances in use, at least."""
    words = path.least[depth, stream] if path.loose[depth] else path.words[depth, stream]
    return words * path.used[depth, scene.terms.levels[stream]] * scene.rest.words[depth, path.room[depth], stream]


@part()
def _words(scene: Scene, path: Path, depth: int, term: int) -> float:
    """Return the words of a term over all instances in use, at least."""
    terms, rest = scene.terms.terms, scene.rest
    words = _streamed(scene, path, depth, terms[term, STREAM])
    kept, tensor = terms[term, KEPT], terms[term, TENSOR]
    if kept >= 0:
        own = path.own[depth, kept, tensor] * path.used[depth, kept] * rest.own[depth, path.room[depth], kept, tensor]
        words = max(0.0, words - own * scene.touched[tensor])
    return words


@part()
def _value(scene: Scene, path: Path) -> float:
    """Return what a whole choice costs, at least; of tiles that never stand still just that, but for rounding."""
    terms, counts, dims = scene.terms, path.counts, path.at.shape[0]
    uneven = _fill_full(scene, path)
    counts[:] = 0
    for i in range(terms.terms.shape[0]):
        level, tensor, action = terms.terms[i, LEVEL], terms.terms[i, TENSOR], terms.terms[i, ACTION]
        stream, kept = terms.terms[i, STREAM], terms.terms[i, KEPT]
        words = path.least[dims, stream] if path.loose[dims] else path.words[dims, stream]
        if kept >= 0:
            words = max(0.0, words - _partition(scene, path, kept, tensor))
        counts[level, tensor, TILE] = 1
        if action == WRITE and not scene.is_output[tensor]:
            counts[level, tensor, ACTED + action] = _cut_off(words, uneven)
        else:
            counts[level, tensor, ACTED + action] = nearest(words * (1 - NOISE))
    used, levels = path.used[dims], scene.keep.shape[0]
    for level in range(levels + 1):
        path.cut[level] = int(used[level] * (1 - NOISE) + NOISE)
        if abs(used[level] - np.floor(used[level] + 0.5)) < NOISE * used[level] and not uneven:
            path.cut[level] = int(np.floor(used[level] + 0.5))
    runs, steps = path.words[dims, terms.of_compute], int(path.steps[dims])
    cycles, own = total_cost(scene.machine, counts, steps, path.full, path.cut, runs * path.cut[levels])
    _, good = total_cost(scene.machine, counts, steps, path.full, used, runs * used[levels])
    return objective_value(scene.code, max(own, good), float(cycles))[0] * (1 - NOISE)


@part()
def _fill_full(scene: Scene, path: Path) -> bool:
    """Fill the instances that any pass uses; returns whether fewer are in use in a last pass."""
    uneven = False
    for level in range(path.full.shape[0]):
        path.full[level] = 1
        for d in range(path.at.shape[0]):
            path.full[level] *= scene.lists.full[path.at[d] - 1, level]
    for d in range(path.at.shape[0]):
        uneven = uneven or scene.lists.uneven[path.at[d] - 1]
    return uneven


@part()
def _cut_off(words: float, uneven: bool) -> int:
    """Return words cut off to a whole number; the model's sums may be a little less than one on paper."""
    whole = np.floor(words + 0.5)
    if abs(words - whole) <= NOISE * words:
        return int(whole) - 1 if uneven else int(whole)
    return int(words)


@part()
def _partition(scene: Scene, path: Path, level: int, tensor: int) -> int:
    """Return the words of an output that one instance of a level has for its own, cut off at every fan-out."""
    own: int = scene.touched[tensor]
    for at in range(level):
        tile, together = 1, 1
        for d in range(path.at.shape[0]):
            tile *= scene.lists.tile[path.at[d] - 1, at, tensor]
            together *= scene.lists.together[path.at[d] - 1, at, tensor]
        if together > tile:
            own = own * tile // together
    return own
