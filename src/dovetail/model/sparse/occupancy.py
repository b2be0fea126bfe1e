"""How many non-zero words a tile holds: what each kind of density says of tiles of any shape.

A tile is known by its extents along the tensor's axes. The rules are those of the reference
(``workload/density-models``); its slips that change a count are kept and named where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dovetail.model.arrays import Floats, Ints
from dovetail.workload.densities import Banded, Density, FixedStructured, Hypergeometric, Measured

LongFloats = NDArray[np.longdouble]
#: Extents of a tile along each axis of its tensor.
Extents = tuple[int, ...]
#: Words of a tensor up to which chances of random places are computed in whole numbers and rounded once.
_EXACT = 4096
#: A logarithm whose exponential no double tells from 0.
_UNDERFLOW = -750.0


class Occupancy(Protocol):
    """What is known of the non-zero words of one tensor's tiles."""

    @property
    def kind(self) -> str:
        """The distribution's name."""

    @property
    def share(self) -> float:
        """Expected share of words that are not zero."""

    def smallest(self, tile: Extents) -> int:
        """Return the occupancy that the tables of a tile begin with."""

    def largest(self, tile: Extents) -> int:
        """Return the largest occupancy, which a storage must have room for."""

    def chances(self, tile: Extents) -> Floats:
        """Return the probability of each occupancy from `smallest` to `largest`."""

    def empty(self, tile: Extents) -> float:
        """Return the probability that a tile has no non-zero word."""

    def empty_within(self, tile: Extents, outer: Extents, occupancies: range) -> Floats:
        """Return the same for a tile inside of one of these extents, for each number of non-zero words in that."""


def occupancy_of(density: Density, extents: Extents) -> Occupancy:
    """Return what a density says of the tiles of a tensor of these extents."""
    match density:
        case FixedStructured():
            return Structured(density.density)
        case Hypergeometric():
            return Scattered(density.density, math.prod(extents))
        case Banded():
            return Band(density.band_width, extents[0])
        case Measured():
            return Pattern(density)


class Structured:
    """Occupancies that differ by at most one word: ``floor`` or ``ceil`` of words times density."""

    kind = FixedStructured.kind

    def __init__(self, density: float) -> None:
        self.share = density

    def smallest(self, tile: Extents) -> int:
        """Return the occupancy that the tables of a tile begin with."""
        words = math.prod(tile)
        return math.floor(math.floor(words * self.share) / words * words)

    def largest(self, tile: Extents) -> int:
        """Return the largest occupancy."""
        wanted = math.prod(tile) * self.share
        whole = math.floor(wanted)
        return whole if 1 - (wanted - whole) >= 1 else math.ceil(wanted)

    def chances(self, tile: Extents) -> Floats:
        """Return the probability of each occupancy from `smallest` to `largest`."""
        wanted = math.prod(tile) * self.share
        return np.array([_share_of(wanted, k) for k in range(self.smallest(tile), self.largest(tile) + 1)])

    def empty(self, tile: Extents) -> float:
        """Return the probability that a tile has no non-zero word."""
        return _share_of(math.prod(tile) * self.share, 0)

    def empty_within(self, tile: Extents, outer: Extents, occupancies: range) -> Floats:
        """Return the same for a tile inside of one that has the share of its words that its occupancy says."""
        words, around = math.prod(tile), math.prod(outer)
        return np.array([_share_of(words * (occupancy / around), 0) for occupancy in occupancies])


def _share_of(wanted: float, occupancy: int) -> float:
    """Return the probability of an occupancy where the expected one is no whole number."""
    up = wanted - math.floor(wanted)
    if math.floor(wanted) == occupancy:
        return 1 - up
    return up if math.ceil(wanted) == occupancy else 0.0


class Scattered:
    """Non-zero words at random places: drawn from the whole tensor without replacement."""

    kind = Hypergeometric.kind

    def __init__(self, density: float, words: int) -> None:
        self.words, self.nonzero = words, math.ceil(density * words)
        self.share = self.nonzero / words

    def smallest(self, tile: Extents) -> int:
        """Return 0, or for the whole tensor all its non-zero words.

        A tile that cannot help having some begins at 0 there as well: the difference that says so wraps around.
        """
        words = math.prod(tile)
        return math.floor(self.nonzero / words * words) if words == self.words else 0

    def largest(self, tile: Extents) -> int:
        """Return the largest occupancy."""
        return min(math.prod(tile), self.nonzero)

    def chances(self, tile: Extents) -> Floats:
        """Return the probability of each occupancy from `smallest` to `largest`."""
        words = math.prod(tile)
        return _drawn(self.words, self.nonzero, words, self.smallest(tile), self.largest(tile))

    def empty(self, tile: Extents) -> float:
        """Return the probability that a tile has no non-zero word."""
        return _none_drawn(self.words, self.nonzero, math.prod(tile))

    def empty_within(self, tile: Extents, outer: Extents, occupancies: range) -> Floats:
        """Return the same where the tile around it has so many non-zero words at random places."""
        return _none_of(math.prod(outer), math.prod(tile), occupancies.start, occupancies.stop)


@lru_cache(maxsize=4096)
def _drawn(words: int, nonzero: int, taken: int, first: int, last: int) -> Floats:
    """Return the probabilities that of ``taken`` words exactly k are non-zero, k from ``first`` to ``last``."""
    if words <= _EXACT:
        ways = math.comb(words, taken)
        possible = range(first, last + 1)
        chances = np.array(
            [
                math.comb(nonzero, k) * math.comb(words - nonzero, taken - k) / ways if k <= taken else 0
                for k in possible
            ],
            np.float64,
        )
    else:
        low, high = _likely(words, nonzero, taken, first, last)
        k = np.arange(low, high + 1)
        able = (k <= nonzero) & (k <= taken) & (taken - k <= words - nonzero)
        chances = np.zeros(last + 1 - first)
        chances[low - first : high + 1 - first] = np.where(able, _by_logs(words, nonzero, np.array(taken), k), 0)
    chances.setflags(write=False)
    return chances


def _by_logs(words: int, nonzero: int, taken: Ints, k: Ints) -> Floats:
    """Return the probabilities that of ``taken`` words exactly k are non-zero, where that many can be."""
    logs = _log_choose(nonzero, k) + _log_choose(words - nonzero, taken - k) - _log_choose(words, taken)
    return np.asarray(np.exp(np.minimum(logs, 0)), np.float64)


def _likely(words: int, nonzero: int, taken: int, first: int, last: int) -> tuple[int, int]:
    """Return the part of a range of occupancies outside of which probabilities are 0 in double precision.

    Hoeffding's bound, which holds without replacement, too, and for whichever of the words and their rest are drawn.
    """
    fewest = min(taken, nonzero, words - taken, words - nonzero)
    mean, off = taken * nonzero / words, math.sqrt(-_UNDERFLOW * fewest / 2) + 2
    return min(max(first, math.floor(mean - off)), last), max(min(last, math.ceil(mean + off)), first)


def _log_choose(of: int, some: Ints) -> LongFloats:
    some = np.clip(some, 0, of)
    return np.asarray(_log_factorial(np.array(of)) - _log_factorial(some) - _log_factorial(of - some))


def _log_factorial(n: Ints) -> LongFloats:
    """Return ``log(n!)`` by Stirling's series (from 32 on, where it errs by less than the numbers are wide)."""
    large = np.maximum(n, 32).astype(np.longdouble)
    inverse = 1 / large
    square = inverse * inverse
    series = inverse * (_SERIES[0] - square * (_SERIES[1] - square * (_SERIES[2] - square * _SERIES[3])))
    logs = (large + np.longdouble(0.5)) * np.log(large) - large + _HALF_LOG + series
    return np.asarray(np.where(n < 32, _SMALL[np.minimum(n, 31)], logs))


_SERIES = [1 / np.longdouble(part) for part in (12, 360, 1260, 1680)]
_HALF_LOG = np.log(2 * np.longdouble(np.pi)) / 2
_SMALL = np.concatenate(([0], np.cumsum(np.log(np.arange(1, 32, dtype=np.longdouble)))))


@lru_cache(maxsize=65536)
def _none_drawn(words: int, nonzero: int, taken: int) -> float:
    """Return the probability that ``taken`` words out of ``words`` are all zero."""
    if taken > words - nonzero:
        return 0.0
    if words <= _EXACT:
        return math.comb(words - nonzero, taken) / math.comb(words, taken)
    fewer, more = sorted((taken, nonzero))
    if fewer and (more == words or fewer * math.log1p(-more / words) < _UNDERFLOW):
        return 0.0
    places = words - np.arange(fewer, dtype=np.float64)
    return float(np.exp(np.log1p(-more / places).sum()))


@lru_cache(maxsize=4096)
def _none_of(words: int, taken: int, first: int, stop: int) -> Floats:
    """Return the probabilities that ``taken`` words are all zero, for so many non-zero ones among ``words``."""
    if words <= _EXACT:
        ways = math.comb(words, taken)
        chances = np.array(
            [math.comb(words - k, taken) / ways if taken <= words - k else 0.0 for k in range(first, stop)]
        )
    else:
        steps = np.arange(stop - 1, dtype=np.float64)  # one more non-zero word takes this share of the ways
        shares = np.maximum(0.0, words - steps - taken) / (words - steps)
        chances = np.concatenate(([1.0], np.cumprod(shares)))[first:]
    chances.setflags(write=False)
    return chances


class Band:
    """A band along the diagonal of a square matrix; tiles lie side by side from its first row and column on."""

    kind = Banded.kind

    def __init__(self, band_width: int, side: int) -> None:
        self.band_width, self.side = band_width, side
        nonzero = side + sum((side - away) * 2 for away in range(1, band_width + 1))
        self.share = nonzero / (side * side)
        self._tables: dict[Extents, dict[int, float]] = {}

    def _within(self, top: int, left: int, bottom: int, right: int) -> int:
        """Return the words of the band in a tile."""
        width = self.band_width
        return sum(max(0, min(right, row + width + 1) - max(left, row - width, 0)) for row in range(top, bottom))

    def _groups(self, tile: Extents) -> Iterator[tuple[int, int, int]]:
        """Yield the row of tiles, the column of tiles and how many tiles it stands for; column -1: all that are left.

        Rows of tiles are looked at until the band is steady; the mirrored half at the end is taken to be equal. A slip
        that is kept: of a band that is steady nowhere some rows count twice, so that probabilities exceed 1.
        """
        height, width = tile
        rows, columns = self.side // height, self.side // width
        unsteady = math.ceil(self.band_width / height)
        steady = max(rows - 2 * unsteady, 0)
        for row in range(min(unsteady + 1, rows)):
            weight = steady if row >= unsteady else 2 if unsteady != rows else 1
            for column in range(columns):
                if column * width > row * height + height - 1 + self.band_width:
                    yield row, -1, (columns - column) * weight
                    break
                yield row, column, weight

    def _table(self, tile: Extents) -> dict[int, float]:
        if tile not in self._tables:
            height, width = (min(extent, self.side) for extent in tile)
            found = {0: 0}
            for row, column, weight in self._groups((height, width)):
                top, left = row * height, column * width
                held = 0 if column < 0 else self._within(top, left, top + height, left + width)
                found[held] = found.get(held, 0) + weight
            tiles = (self.side // height) * (self.side // width)
            self._tables[tile] = {held: count / tiles for held, count in sorted(found.items())}
        return self._tables[tile]

    def smallest(self, tile: Extents) -> int:
        """Return the occupancy that the tables of a tile begin with."""
        words = math.prod(tile)
        return math.floor(min(self._table(tile)) / words * words)

    def largest(self, tile: Extents) -> int:
        """Return the largest occupancy."""
        return max(self._table(tile))

    def chances(self, tile: Extents) -> Floats:
        """Return the probability of each occupancy from `smallest` to `largest`."""
        table = self._table(tile)
        return np.array([table.get(k, 0.0) for k in range(self.smallest(tile), self.largest(tile) + 1)])

    def empty(self, tile: Extents) -> float:
        """Return the probability that a tile has no non-zero word."""
        return self._table(tile).get(0, 0.0)

    def empty_within(self, tile: Extents, outer: Extents, occupancies: range) -> Floats:
        """Return the same for a tile inside; the first tile of an occupancy stands for all of them."""
        return np.array([self._share_empty(tile, outer, occupancy) for occupancy in occupancies])

    def _share_empty(self, tile: Extents, outer: Extents, occupancy: int) -> float:
        at = self._first(outer, occupancy)
        if at is None:
            return 0.0
        height, width = tile
        rows, columns = outer[0] // height, outer[1] // width
        if rows * columns == 0:  # no smaller tile: the reference divides 0 by 0
            return float(occupancy == 0)
        empty = 0
        for row in range(rows):
            for column in range(columns):
                top, left = at[0] + row * height, at[1] + column * width
                # the reference adds the outer tile's place twice, but not to the far corner
                empty += self._within(at[0] + top, at[1] + left, height + top, width + left) == 0
        return empty / (rows * columns)

    def _first(self, tile: Extents, occupancy: int) -> tuple[int, int] | None:
        height, width = tile
        for row, column, _ in self._groups(tile):
            if column < 0:
                if occupancy == 0:
                    beyond = (row * height + height - 1 + self.band_width) // width + 1
                    return row * height, beyond * width
            elif self._within(row * height, column * width, (row + 1) * height, (column + 1) * width) == occupancy:
                return row * height, column * width
        return None


class Pattern:
    """A measured pattern: tiles lie side by side from the first word on; what is left at an end makes smaller ones."""

    kind = Measured.kind

    def __init__(self, density: Measured) -> None:
        self._nonzero = density.nonzero
        self.share = density.share
        self._counts: dict[Extents, Ints] = {}

    def _held(self, tile: Extents) -> Ints:
        """Return the non-zero words of every tile."""
        if tile not in self._counts:
            held = self._nonzero.astype(np.int64)
            for axis, extent in enumerate(tile):
                held = np.add.reduceat(held, np.arange(0, held.shape[axis], extent), axis=axis)
            self._counts[tile] = held
        return self._counts[tile]

    def smallest(self, tile: Extents) -> int:
        """Return the occupancy that the tables of a tile begin with."""
        return int(self._held(tile).min())

    def largest(self, tile: Extents) -> int:
        """Return the largest occupancy."""
        return int(self._held(tile).max())

    def chances(self, tile: Extents) -> Floats:
        """Return the share of tiles of each occupancy from `smallest` to `largest`."""
        held = self._held(tile)
        return np.bincount((held - held.min()).ravel()) / held.size

    def empty(self, tile: Extents) -> float:
        """Return the share of tiles without a non-zero word."""
        return float(np.mean(self._held(tile) == 0))

    def empty_within(self, tile: Extents, outer: Extents, occupancies: range) -> Floats:
        """Return the share of empty tiles inside of the tiles of each occupancy, all of these taken together."""
        around, inside = self._held(outer), self._held(tile) == 0
        for axis, (extent, whole) in enumerate(zip(tile, outer, strict=True)):
            starts = np.arange(inside.shape[axis]) * extent // whole
            around = np.take(around, np.minimum(starts, around.shape[axis] - 1), axis=axis)
        place = around.ravel() - occupancies.start
        known = (place >= 0) & (place < len(occupancies))
        tiles = np.bincount(place[known], minlength=len(occupancies))
        empty = np.bincount(place[known], weights=inside.ravel()[known], minlength=len(occupancies))
        return np.asarray(empty / np.maximum(tiles, 1))


def first_chance(zeros: Occupancy, tile: Extents) -> tuple[int, float, float]:
    """Return a tile's first possible occupancy, how likely that is, and the mean of all."""
    if isinstance(zeros, Scattered):
        words = math.prod(tile)
        first = max(0, words - (zeros.words - zeros.nonzero))
        return first, float(_drawn(zeros.words, zeros.nonzero, words, first, first)[0]), words * zeros.share
    chances, smallest = zeros.chances(tile), zeros.smallest(tile)
    place = int(np.flatnonzero(chances)[0])
    return smallest + place, float(chances[place]), float(chances @ (smallest + np.arange(len(chances))))


def first_chances(zeros: Occupancy, tiles: list[Extents]) -> list[tuple[int, float, float]]:
    """Return `first_chance` of many tiles; of random places in a large tensor for all at once."""
    if not isinstance(zeros, Scattered) or zeros.words <= _EXACT:
        return [first_chance(zeros, tile) for tile in tiles]
    words = np.array([math.prod(tile) for tile in tiles], np.int64)
    first = np.maximum(0, words - (zeros.words - zeros.nonzero))
    chances = _by_logs(zeros.words, zeros.nonzero, words, first)
    return list(zip(first.tolist(), chances.tolist(), (words * zeros.share).tolist(), strict=True))
