"""Layers that stay as they are when rows and columns change places: of two mirror images one stands for both.

Where the images, kernels and strides of a layer are square and no constraint tells rows from columns, every mapping has
a mirror image that costs the same. So tiles are tabulated once for both, and of two mappings one is looked at: the one
whose first level that loops over rows or columns at all takes no larger factor of the dimension that comes first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from dovetail.mapper.exact.space import Space, once
from dovetail.model.arrays import Ints

#: Pairs of dimensions that change places at once, at most.
MOST_PAIRS = 3


def mirror_of(space: Space) -> tuple[int, ...]:
    """Return per dimension the one that it changes places with: itself, where it stays or nothing may change places."""
    parts = space.divisors, space.rules, space.least, space.most, space.pins, space.fanouts, space.linking
    if space.allowed is not None:  # tiles are told apart
        return tuple(range(len(space.divisors)))
    return once(space, ("mirror", *parts), lambda: next(_mirrors(space), tuple(range(len(space.divisors)))))


def standing_for(space: Space, mirror: tuple[int, ...]) -> Ints:
    """Return ``(tiles,)``: the tile that stands for a tile and its mirror image, the one of the higher number."""
    tiles = np.arange(space.tiles)
    image = np.zeros(space.tiles, np.int64)
    for d, divisors in enumerate(space.divisors):
        image += (tiles // space.radix[d]) % len(divisors) * space.radix[mirror[d]]
    return np.maximum(tiles, image)


def _mirrors(space: Space) -> Iterator[tuple[int, ...]]:
    """Yield the ways to have dimensions change places that change nothing; those of most divisors first."""
    dims, coefficients = range(len(space.divisors)), space.rules.coefficients
    kinds = [[sorted(axes[:, d].tolist()) for axes in coefficients] for d in dims]
    pairs = [
        (d, e)
        for d, e in itertools.combinations(dims, 2)
        if space.divisors[d] == space.divisors[e] and kinds[d] == kinds[e]
    ]
    pairs.sort(key=lambda pair: -len(space.divisors[pair[0]]))
    for count in range(1, MOST_PAIRS + 1):
        for some in itertools.combinations(pairs, count):
            moved = [d for pair in some for d in pair]
            if len(set(moved)) < len(moved):
                continue
            mirror = list(dims)
            for d, e in some:
                mirror[d], mirror[e] = e, d
            if _changes_nothing(space, mirror):
                yield tuple(mirror)


def _changes_nothing(space: Space, mirror: list[int]) -> bool:
    """Return whether the layer and the constraints are the same once dimensions have changed places.

    And whether those that do are neighbours among them: tables are made for one dimension after the other, and between
    those of a pair one tile does not stand for two.
    """
    moved = [d for d, other in enumerate(mirror) if d != other]
    if any(mirror[d] != e for d, e in zip(moved[::2], moved[1::2], strict=True)):
        return False
    if any(sorted(axes[:, mirror].tolist()) != sorted(axes.tolist()) for axes in space.rules.coefficients):
        return False
    if (space.least[:, mirror] != space.least).any() or (space.most[:, mirror] != space.most).any():
        return False
    for inner, outer, loops in space.pins:
        if not {*inner, *outer}.isdisjoint(moved) or {mirror[d] for d in loops} != loops:
            return False
    return all(_has_images(space, level, mirror) for level in np.flatnonzero(space.is_spatial).tolist())


def _has_images(space: Space, level: int, mirror: list[int]) -> bool:
    """Return whether the image of every way to use a fan-out is another one."""
    rows = space.fanouts[level]
    if not space.linking[level].any():  # one stands for all of the same factors
        factors = {row.factors for row in rows}
        return all(tuple(row[d] for d in mirror) in factors for row in factors)
    known = {(row.factors, row.on_y, _looping(row.factors, row.order)) for row in rows}
    return all(
        (
            tuple(factors[d] for d in mirror),
            tuple(on_y[d] for d in mirror),
            tuple(mirror[d] for d in order),
        )
        in known
        for factors, on_y, order in known
    )


def _looping(factors: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d for d in order if factors[d] > 1)
