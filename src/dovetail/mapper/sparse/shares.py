"""What tiles leave of dense counts: per tile of a level, shares below which no mapping with that tile goes.

A *feature* is one such share as a function of the tile at one level: of instances that are sent a tile, of the words
that a format leaves, of accesses that are not left out. A cell of the mapspace allows some tiles at every level; within
it a share is at least the least over its tiles, and the smaller the cell, the nearer to what its mappings have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dovetail.hardware.sparse import Format, Leaving
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.tables import tile_sizes
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.sparse.occupancy import Extents, Scattered, Structured, first_chances
from dovetail.model.sparse.scene import SparseScene

#: Which tiles a cell allows: ``(levels, tiles)``.
Allowed = Bools


@dataclass(frozen=True, eq=False)
class Feature:
    """A share that a level's tile decides; the less of it, the less a mapping may cost.

    Attributes:
        level: whose tile it is.
        share: ``(tiles,)``.
    """

    level: int
    share: Floats

    def least(self, allowed: Allowed) -> float:
        """Return the least share of a cell's tiles; 1 where it has none at that level."""
        share = self.share[allowed[self.level]]
        return float(share.min()) if share.size else 1.0


@dataclass(frozen=True)
class Cut:
    """Accesses to a tensor that a level leaves out.

    Attributes:
        group: the level that has the rule.
        outermost: the outermost level at which it may be counted.
        how: gated or skipped.
        sure: the share that is left at least, whatever the tiles.
        inside: the same by the tile of each level that may be the next one inside; empty where compute may be.
    """

    group: int
    outermost: int
    how: Leaving
    sure: float
    inside: tuple[Feature, ...] = ()

    def left(self, allowed: Allowed) -> float:
        """Return the share of accesses that is left in a cell, at least."""
        if not self.inside:
            return self.sure
        return max(self.sure, min(feature.least(allowed) for feature in self.inside))


@dataclass
class TileShares:
    """The features of one problem on one sparse design.

    Attributes:
        scene: the problem and what the design does about zeros.
        space: its mapspace.
    """

    scene: SparseScene
    space: Space
    _features: dict[tuple[object, ...], Feature] = field(default_factory=dict)
    _columns: dict[tuple[int, bool], Floats] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> Ints:
        """``(all dims, tiles)`` iterations of every dimension in every tile."""
        sizes = np.ones((len(self.space.problem.bounds), self.space.tiles), np.int64)
        sizes[list(self.space.active)] = tile_sizes(self.space)
        return sizes

    @property
    def features(self) -> tuple[Feature, ...]:
        """Those made so far that are not the same for all tiles."""
        return tuple(one for one in self._features.values() if float(np.ptp(one.share)) > 0)

    def sent(self, level: int, tensor: int) -> Feature:
        """Return the share of a level's instances that are sent a tile."""
        return self._known("sent", level, tensor)

    def words(self, level: int, tensor: int) -> Feature:
        """Return the share of words that is left, over all instances."""
        return self._known("words" if level in self.scene.formats[tensor] else "sent", level, tensor)

    def lines(self, level: int, tensor: int) -> Feature:
        """Return the share of lines that is left, over all instances."""
        return self._known("lines" if level in self.scene.formats[tensor] else "sent", level, tensor)

    def metadata(self, level: int, tensor: int) -> list[tuple[float, Feature]]:
        """Return bits of metadata per dense word that moves, at least: factors of features, by the level inside.

        Known where the innermost rank is. Else nothing is returned, and metadata is free.
        """
        written = self.scene.formats[tensor].get(level)
        if written is None or not written.compresses:
            return []
        levels, zeros = self._innermost_ranks(level, tensor), self.scene.zeros[tensor]
        kind, bits = written.ranks[-1].format, self.scene.bits[level, tensor][0].metadata
        if kind not in (Format.RLE, Format.CP, Format.B) or not levels:
            return []
        if not isinstance(zeros, Structured if level else Structured | Scattered):
            return []
        return [(float(bits), self._live(kind, level, at, tensor)) for at in levels]

    def _innermost_ranks(self, level: int, tensor: int) -> list[int]:
        """Return the levels whose tile may be a fibre of the innermost rank of a level's format; none: not known.

        That is the tile of the next level inside, as a whole where that has no format or one of a single rank; the
        level's own where there is none inside. Ranks of its own may be empty.
        """
        formats, found = self.scene.formats[tensor], list[int]()
        for at in self._children(level, tensor):
            if at is None and len(formats[level].ranks) > 1:
                return []
            if at is None or at not in formats or len(formats[at].ranks) == 1:
                found.append(level if at is None else at)
                continue
            further = self._innermost_ranks(at, tensor) if formats[at].compresses else []
            if not further:
                return []
            found += further
        return found

    def cuts(self, tensor: int) -> list[Cut]:
        """Return everything that is left out of a tensor."""
        found = []
        for group in self.scene.groups:
            for way in group.ways:
                if way.target != tensor:
                    continue
                outermost = self._outermost(group.level, tensor)
                sure = math.prod(1 - self._emptiest(other) for other in way.conditions)
                children = self._children(group.level, tensor)
                inside: tuple[Feature, ...] = ()
                if None not in children:
                    inside = tuple(
                        self._there(at, outermost, tensor, way.conditions) for at in children if at is not None
                    )
                found.append(Cut(group.level, outermost, group.how, sure, inside))
        return found

    def _known(self, what: str, level: int, tensor: int) -> Feature:
        """Return a share of the tiles of a tensor, by whether a level outside may have it in a format."""
        known = any(at in self.scene.formats[tensor] for at in self._parents(level, tensor))
        column = ("sent", "words", "lines").index(what)
        key = what, level, tensor
        if key not in self._features:
            self._features[key] = Feature(level, self._by_tile(tensor, known)[column])
        return self._features[key]

    def _by_tile(self, tensor: int, known: bool) -> Floats:
        """Return ``(3, tiles)``: shares of instances sent a tile, of words and of lines."""
        if (tensor, known) not in self._columns:
            values = self._of_tiles(tensor, lambda tiles: self._sent_of(tensor, tiles, known))
            self._columns[tensor, known] = values
        return self._columns[tensor, known]

    def _of_tiles(self, tensor: int, values: Callable[[list[Extents]], list[tuple[float, ...]]]) -> Floats:
        """Return ``(values, tiles)`` of a function of a tensor's tiles, given one of all that are alike to it."""
        operand, zeros = self.scene.tensors[tensor], self.scene.zeros[tensor]
        extents = np.array(
            [1 + sum(step * (self.sizes[d] - 1) for d, step in axis) for axis in operand.axes], np.int64
        ).reshape(len(operand.axes), -1)
        extents = np.broadcast_to(extents, (len(operand.axes), self.space.tiles))
        if isinstance(zeros, Structured | Scattered):  # only their words matter
            extents = extents.prod(axis=0, keepdims=True)
        tiles, which = np.unique(extents, axis=1, return_inverse=True)
        found = np.array(values([tuple(tile) for tile in tiles.T.tolist()]), np.float64)
        return np.ascontiguousarray(found[which.ravel()].T)

    def _sent_of(self, tensor: int, tiles: list[Extents], known: bool) -> list[tuple[float, ...]]:
        """Return per tile the shares of instances sent one, of words and of lines."""
        zeros, found = self.scene.zeros[tensor], list[tuple[float, ...]]()
        for tile, (first, chance, mean) in zip(tiles, first_chances(zeros, tiles), strict=True):
            words = math.prod(tile)
            if not known or zeros.smallest(tile) > 0:
                found.append((1.0, mean / words, mean / words))
                continue
            sent = 1 - chance
            kept = max(0.0, (mean - first * chance) / words)  # words of tiles that are sent; some never are, by a slip
            density = kept / sent if sent else 0.0
            found.append((sent, min(sent * density, 1.0), sent * min(density, mean / words)))
        return found

    def _live(self, kind: Format, level: int, at: int, tensor: int) -> Feature:
        """Return words of metadata per word that moves at a level, by the tile that is a fibre of the innermost rank.

        A run length or a coordinate belongs to every non-zero word of a fibre that is not empty, a bit to every word.
        Fibres that overlap are written apart: of the whole tensor that makes more words than it has.
        """
        key = "live", kind, level, at, tensor
        if key not in self._features:
            rate = self._rate(kind, level, tensor, single=at == level)
            share = self._of_tiles(tensor, lambda tiles: [rate(tile) for tile in tiles])[0]
            self._features[key] = Feature(at, share if level else share * self._overlap(tensor))
        return self._features[key]

    def _overlap(self, tensor: int) -> Floats:
        """Return ``(tiles,)`` words of all tiles of a tensor over those of the tensor, as formats count them.

        Of the loops around a tile they take the tensor's extents over those loops alone.
        """
        operand = self.scene.tensors[tensor]
        bounds = np.array(self.space.problem.bounds, np.int64)[:, None]

        def words(sizes: Ints) -> Floats:
            found = np.ones(sizes.shape[1])
            for axis in operand.axes:
                found *= 1 + sum(step * (sizes[d] - 1) for d, step in axis)
            return found

        return words(bounds // self.sizes) * words(self.sizes) / words(bounds)

    def _rate(self, kind: Format, level: int, tensor: int, *, single: bool) -> Callable[[Extents], tuple[float, ...]]:
        """Return words of metadata per word, by the tile; ``single``: also of a tile of one word there is some."""
        zeros = self.scene.zeros[tensor]
        whole = self.scene.tensors[tensor].extents(self.space.problem.bounds)
        words, smallest = math.prod(whole), zeros.smallest(whole)

        def rate(tile: Extents) -> tuple[float, ...]:
            if math.prod(tile) == 1 and not (single and zeros.share == 1):
                return (0.0,)
            if level > 0:
                most = math.prod(tile) * zeros.share
                if single:  # the tile itself: where it is empty, none of its words is counted either
                    return (min(1.0, most) if kind is Format.B else zeros.share,)
                sure = min(1.0, max(0.0, most - 1)) if zeros.share < 1 else 1.0  # a tile has floor(most) at least
                return (sure * (1.0 if kind is Format.B else zeros.share),)
            if isinstance(zeros, Scattered):  # of the whole tensor all is known
                return ((1 - zeros.empty(tile)) * (1.0 if kind is Format.B else zeros.share),)
            chances = zeros.chances(whole)
            held = range(smallest, smallest + len(chances))
            live = 1 - zeros.empty_within(tile, whole, held)
            full = 1.0 if kind is Format.B else np.array(held) / words
            return (float(np.sum(chances * live * full)),)

        return rate

    def _there(self, at: int, outermost: int, tensor: int, conditions: tuple[int, ...]) -> Feature:
        """Return the share of accesses not left out where a level inside keeps the target: its tile meets that much.

        Loops outside its tile only add to what is met; those of a fan-out between may make it smaller by a slip, but
        for dimensions that the target does not have.
        """
        spread = any(self.space.is_spatial[outermost:at])
        key = "there", at, spread, tensor, conditions
        if key in self._features:
            return self._features[key]
        target, there = self.scene.tensors[tensor], np.ones(self.space.tiles)
        for other in conditions:
            operand, zeros = self.scene.tensors[other], self.scene.zeros[other]
            sizes = self.sizes.copy()
            if spread:
                sizes[sorted(target.dimensions & operand.dimensions)] = 1
            extents = np.array([1 + sum(step * (sizes[d] - 1) for d, step in axis) for axis in operand.axes], np.int64)
            tiles, which = np.unique(extents, axis=1, return_inverse=True)
            there *= np.array([1 - zeros.empty(tuple(tile)) for tile in tiles.T.tolist()])[which.ravel()]
        self._features[key] = Feature(at, there)
        return self._features[key]

    def keeps(self, level: int, tensor: int) -> bool:
        """Return whether a level may keep a tensor."""
        return any(options >> tensor & 1 for options in self.space.keepers[level])

    def _parents(self, level: int, tensor: int) -> list[int]:
        """Return the levels that may be the next one outside of a level to keep a tensor."""
        found: list[int] = []
        for at in range(level - 1, -1, -1):
            if self.keeps(at, tensor):
                found.append(at)
            if all(options >> tensor & 1 for options in self.space.keepers[at]):
                break
        return found

    def _children(self, level: int, tensor: int) -> list[int | None]:
        """Return the levels that may be the next one inside of a level to keep a tensor; None for compute."""
        found: list[int | None] = []
        for at in range(level + 1, len(self.space.levels)):
            kept = [options >> tensor & 1 for options in self.space.keepers[at]]
            if any(kept):
                found.append(at)
            if all(kept):
                return found
        return [*found, None]

    def _outermost(self, level: int, tensor: int) -> int:
        """Return the outermost level at which what a level leaves out of a tensor may be counted."""
        must = (at for at in range(level, 0, -1) if all(kept >> tensor & 1 for kept in self.space.keepers[at]))
        return next(must, 0)

    def _emptiest(self, tensor: int) -> float:
        """Return the greatest probability that the words of a tensor that an access meets are all zero."""
        zeros = self.scene.zeros[tensor]
        if isinstance(zeros, Structured | Scattered):
            return 1 - zeros.share if zeros.share < 1 else 0.0
        return 1.0 if zeros.share < 1 else 0.0
