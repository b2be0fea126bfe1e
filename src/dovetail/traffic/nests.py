"""Tiles that tensors hold in one loop nest, dimension by dimension: what they take and what is sent for them.

Each tensor has a place of its own in the nest. With tensors from the innermost place to the outermost, a dimension has
a chain of tile sizes, each a multiple of the one before it. A tensor that does not depend on a dimension is outside of
all its loops up to the next place, for nothing. `docs/bound.md` has the argument.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError
from dovetail.mapper.divisors import divisors_of
from dovetail.traffic.windows import PATIENT, Patience, Window, least_pass, places
from dovetail.workload.problem import Problem

#: Tensors of a problem whose places in a nest are tried in every order.
MOST_TENSORS = 5

#: Sizes of a group's dimensions, in its order.
Sizes = tuple[int, ...]


class Axis(NamedTuple):
    """An axis of a tensor on which a group's dimensions lie.

    Attributes:
        dimensions: by their place in the group.
        window: their steps and bounds.
    """

    dimensions: tuple[int, ...]
    window: Window

    def of(self, sizes: Sizes) -> Sizes:
        """Return the sizes of its own dimensions."""
        return tuple([sizes[dimension] for dimension in self.dimensions])


class Group(NamedTuple):
    """Dimensions that must be cut together, as they add up on an axis of some tensor; or a single one.

    Attributes:
        bounds: iterations per dimension.
        axes: per tensor, those on which the dimensions lie.
        slides: per tensor, whether its tiles overlap along any axis, of another group perhaps.
    """

    bounds: Sizes
    axes: tuple[tuple[Axis, ...], ...]
    slides: tuple[bool, ...]

    def depends(self, tensor: int, dimension: int) -> bool:
        """Return whether a dimension's loops move a tensor's tile."""
        return any(dimension in axis.dimensions for axis in self.axes[tensor])


@dataclass(frozen=True)
class Choices:
    """Ways to cut a group's dimensions, for one order of the tensors' places.

    Attributes:
        tiles: ``(choices, tensors, dimensions of the group)`` tile sizes, tensors by their place in the problem.
        held: ``(choices, tensors)`` factors of the words held.
        sent: ``(choices, tensors)`` factors of the words sent over the whole run.
        flags: ``(choices,)`` bits: per tensor, whether its tile slides along one of the group's dimensions; per place
            in the nest, whether there may be no other group's loops between it and the next; likewise whether this
            group has some there.
    """

    tiles: NDArray[np.int64]
    held: NDArray[np.float64]
    sent: NDArray[np.float64]
    flags: NDArray[np.int64]

    def at(self, which: NDArray[np.intp]) -> Choices:
        """Return some of the choices."""
        return Choices(self.tiles[which], self.held[which], self.sent[which], self.flags[which])


def groups_of(problem: Problem) -> dict[tuple[int, ...], Group]:
    """Return a problem's groups by their dimensions, those of most dimensions first.

    Raises:
        InputError: it has more tensors than are tried in every order, or a dimension lies on two axes of a tensor.
    """
    tensors, names = problem.shape.tensors, problem.shape.dimensions
    if len(tensors) > MOST_TENSORS:
        raise InputError(f"{problem.name}: {len(tensors)} tensors; a bound is known for at most {MOST_TENSORS}")
    axes: list[list[dict[int, int]]] = []
    for tensor in tensors:
        own: list[dict[int, int]] = []
        for axis in tensor.projection:
            steps: dict[int, int] = {}
            for term in axis:
                place = names.index(term.dimension)
                if problem.bounds[place] > 1:
                    steps[place] = steps.get(place, 0) + problem.coefficient(term)
            own += [steps] if steps else []
        for place, name in enumerate(names):
            if sum(place in steps for steps in own) > 1:
                raise InputError(
                    f"{problem.name}: {name} lies on two axes of {tensor.name}; no bound is known for that"
                )
        axes.append(own)
    slides = tuple(any(len(steps) > 1 for steps in own) for own in axes)
    return {members: _group(problem.bounds, axes, slides, members) for members in _members(len(names), axes)}


def _members(count: int, axes: Sequence[Sequence[dict[int, int]]]) -> list[tuple[int, ...]]:
    group = list(range(count))
    for steps in itertools.chain.from_iterable(axes):
        merged = {group[place] for place in steps}
        group = [min(merged) if each in merged else each for each in group]
    found = [tuple(place for place in range(count) if group[place] == each) for each in sorted(set(group))]
    return sorted(found, key=lambda members: -len(members))


def _group(
    bounds: Sizes, axes: Sequence[Sequence[dict[int, int]]], slides: tuple[bool, ...], members: tuple[int, ...]
) -> Group:
    def axis(steps: dict[int, int]) -> Axis:
        window = Window(tuple(steps.values()), tuple(bounds[place] for place in steps))
        return Axis(tuple(members.index(place) for place in steps), window)

    inside = tuple(tuple(axis(steps) for steps in own if next(iter(steps)) in members) for own in axes)
    return Group(tuple(bounds[place] for place in members), inside, slides)


@functools.lru_cache(maxsize=512)
def choices_of(group: Group, order: tuple[int, ...], patience: Patience = PATIENT) -> Choices:
    """Return the choices for a group's dimensions that no other is at least as good as.

    Args:
        group: dimensions that are cut together.
        order: tensors from the innermost place in the nest to the outermost.
        patience: until when they are waited for.
    """
    rows = [
        (chains, *option)
        for chains in itertools.product(*(_chains(group, order, at) for at in range(len(group.bounds))))
        for option in _options(group, order, tuple(zip(*chains, strict=True)), patience)
    ]
    by_place = np.array([chains for chains, *_ in rows], np.int64).transpose(0, 2, 1)
    tiles = np.empty_like(by_place)
    tiles[:, order] = by_place
    held = np.array([held for _, held, _, _ in rows], np.float64)
    sent = np.array([sent for _, _, sent, _ in rows], np.float64)
    flags = np.array([flags for *_, flags in rows], np.int64)
    return undominated(Choices(tiles, held, sent, flags), patience)


def _chains(group: Group, order: Sequence[int], dimension: int) -> list[Sizes]:
    """Return the chains of a dimension: sizes by place in the nest, each dividing that of the next.

    Where no tiles overlap, sizes of no use are left out: words sent then do not follow from a tensor's own sizes, so it
    takes more than one iteration of a dimension only for the sake of a tensor inside of it.
    """
    free = any(group.slides)
    found: list[Sizes] = [()]
    for at in range(len(order) - 1, -1, -1):
        longer = []
        for chain in found:
            outer = chain[0] if chain else group.bounds[dimension]
            if not group.depends(order[at], dimension):
                sizes = [outer]
            elif free or any(not group.depends(other, dimension) for other in order[:at]):
                sizes = divisors_of(outer)
            else:
                sizes = [1]
            longer += [(size, *chain) for size in sizes]
        found = longer
    return found


def _options(
    group: Group, order: Sequence[int], stages: Sequence[Sizes], patience: Patience
) -> Iterator[tuple[list[float], list[float], int]]:
    """Yield (held, sent, flags) for a group's sizes at each place: each tensor still, or sliding one way."""
    patience.check()
    ends = (*stages, group.bounds)
    moves = sum(1 << at for at, (here, outer) in enumerate(itertools.pairwise(ends)) if here != outer)
    held: list[float] = []
    ways: list[list[tuple[float, int]]] = []
    for tensor in range(len(order)):
        at = order.index(tensor)
        held.append(float(_words(group.axes[tensor], ends[at])))
        ways.append(list(_ways(group, order, at, ends, patience)))
    for picked in itertools.product(*ways):
        flags = sum(flag for _, flag in picked)
        yield held, [value for value, _ in picked], flags | moves << 2 * len(order)


def _words(axes: Sequence[Axis], sizes: Sizes) -> int:
    return math.prod([places(axis.window, axis.of(sizes)) for axis in axes])


def _ways(
    group: Group, order: Sequence[int], at: int, ends: Sequence[Sizes], patience: Patience
) -> Iterator[tuple[float, int]]:
    """Yield (words sent, flags) of the tensor at a place in the nest, still or sliding along one axis.

    Args:
        group: of the dimensions.
        order: tensors from the innermost place to the outermost.
        at: the tensor's place.
        ends: iterations inside each place, and all of them.
        patience: until when they are waited for.
    """
    axes, size, whole = group.axes[order[at]], ends[at], math.prod(group.bounds)
    still = _words(axes, size) * whole // math.prod(size)
    yield float(still), 0
    slides = 1 << order[at]
    alone = sum(group.slides) == 1  # else another tensor's place need not end a slide
    for axis in axes:
        if len(axis.dimensions) < 2:
            continue
        least = float(still)
        for dimension in axis.dimensions:
            outer = ends[at + 1 if alone else -1][dimension]
            slid = (*size[:dimension], outer, *size[dimension + 1 :])
            sent = _words(axes, slid) * whole // math.prod(slid)
            if sent < still:
                least = min(least, float(sent))
                yield float(sent), slides
        own, further = axis.of(size), tuple(axis.of(end) for end in ends[at + 1 :])
        least_still = places(axis.window, own) * math.prod(axis.window.bounds) / math.prod(own)
        for depth, end in enumerate(further):
            one_pass = least_pass(axis.window, own, further[: depth + 1], patience)
            passes = one_pass * math.prod(axis.window.bounds) / math.prod(end)
            sent_so = still * passes / least_still
            if sent_so < least:
                least = sent_so
                needs = sum(1 << place for place in range(at, at + depth)) if alone else 0
                yield sent_so, slides | needs << len(order)


def clash(one: NDArray[np.int64], other: NDArray[np.int64] | np.int64, tensors: int) -> NDArray[np.bool_]:
    """Return whether choices with these flags exclude each other; see `Choices`."""
    every = (1 << tensors) - 1
    both_slide = one & other & every
    in_the_way = (one >> tensors & every & other >> 2 * tensors) | (other >> tensors & every & one >> 2 * tensors)
    return np.asarray((both_slide | in_the_way) != 0)


def undominated(choices: Choices, patience: Patience = PATIENT) -> Choices:
    """Return the choices that no other is at least as good as: in words held and sent of every tensor, and in flags."""
    values = np.concatenate([choices.held, choices.sent], axis=1)
    order = np.lexsort((*values.T[::-1], values.sum(axis=1)))
    choices, values = choices.at(order), values[order]
    kept: list[int] = []
    alive = np.ones(len(values), np.bool_)
    for place in range(len(values)):
        if not alive[place]:
            continue
        patience.check()
        kept.append(place)
        worse = (values[place + 1 :] >= values[place]).all(axis=1)
        worse &= choices.flags[place + 1 :] | choices.flags[place] == choices.flags[place + 1 :]
        alive[place + 1 :] &= np.logical_not(worse)
    return choices.at(np.array(kept, np.intp))
