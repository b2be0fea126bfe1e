"""What a network can lose: channels that go together, where each sits in every layer, and whole blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError

#: Owner of a position that no group can take away, such as an image's channels or the classifier's outputs.
FIXED = -1


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are kept or removed together, wherever they sit.

    Attributes:
        name: path of the first layer that makes them.
        channels: how many there are in the network as given.
        block: channels come and go in aligned blocks of so many (above 1 for grouped convolutions).
        makers: paths of the layers that make them.
    """

    name: str
    channels: int
    block: int = 1
    makers: tuple[str, ...] = ()

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return self.channels // self.block

    def nearest(self, width: float) -> int:
        """Return the width that can be had nearest to a number: a whole number of blocks, at least one."""
        return self.block * min(self.blocks, max(1, round(width / self.block)))


@dataclass(frozen=True, eq=False)
class Axis:
    """The input or output side of one layer, position by position.

    Attributes:
        module: path of the layer.
        side: ``in`` or ``out``; a layer whose output channels are its input channels has ``out`` alone.
        owners: ``(positions,)`` the number of the group that each position belongs to, `FIXED` for none.
        channels: ``(positions,)`` the channel of that group.
    """

    module: str
    side: str
    owners: NDArray[np.int64]
    channels: NDArray[np.int64]

    def positions(self, kept: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the positions that stay, rising, given the kept channels of every group."""
        stays = self.owners == FIXED
        for group in np.unique(self.owners[~stays]):
            here = self.owners == group
            stays[here] = np.isin(self.channels[here], kept[group])
        return np.flatnonzero(stays)

    @cached_property
    def parts(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """The positions that are fixed, and per group (its number, positions per channel)."""
        owners, counts = np.unique(self.owners, return_counts=True)
        fixed, shares = 0, []
        for group, count in zip(owners.tolist(), counts.tolist(), strict=True):
            if group == FIXED:
                fixed = count
            else:
                shares.append((group, count // len(np.unique(self.channels[self.owners == group]))))
        return fixed, tuple(shares)

    def size(self, widths: Sequence[int]) -> int:
        """Return how many positions stay when the groups have these widths."""
        fixed, shares = self.parts
        return fixed + sum(widths[group] * count for group, count in shares)


#: Kept channels of every group, ``[group](width,)`` rising; then per block ``(1,)`` if it stays, else ``(0,)``.
Kept = tuple[NDArray[np.int64], ...]
#: Channels of every group; then 1 for every block that stays, and 0 for one that is left out.
Widths = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """A network's channel groups and where they sit.

    Attributes:
        groups: in the order in which their layers run.
        axes: sides of layers in which at least one position belongs to a group.
        left: layers that keep all channels that they make, and blocks that stay, with the reason.
        blocks: paths of modules that may be left out whole, what they read handed on, in the order they run.
    """

    groups: tuple[ChannelGroup, ...]
    axes: tuple[Axis, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()

    @property
    def widths(self) -> Widths:
        """Channels of every group in the network as given, and all blocks."""
        return (*(group.channels for group in self.groups), *(1 for _ in self.blocks))

    def block_of(self, path: str) -> int | None:
        """Return the number of the block that a module stands in; None: in no block."""
        inside = (number for number, block in enumerate(self.blocks) if is_inside(path, block))
        return next(inside, None)

    @cached_property
    def within(self) -> Mapping[int, int]:
        """By number the groups of which nothing is left without one block, and the number of that block."""
        blocks: dict[int, set[int | None]] = {}
        for axis in self.axes:
            for group, _ in axis.parts[1]:
                blocks.setdefault(group, set()).add(self.block_of(axis.module))
        only = {group: next(iter(of)) for group, of in blocks.items() if len(of) == 1}
        return {group: block for group, block in only.items() if block is not None}

    def left_out(self, widths: Sequence[int]) -> tuple[str, ...]:
        """Return the paths of the blocks that are left out."""
        stays = widths[len(self.groups) :]
        return tuple(block for block, stay in zip(self.blocks, stays, strict=True) if not stay)

    def settled(self, widths: Sequence[int]) -> Widths:
        """Return the same network's one spelling: groups of which nothing is left have no channels."""
        count = len(self.groups)
        gone = {group for group, block in self.within.items() if not widths[count + block]}
        return tuple(0 if number in gone else width for number, width in enumerate(widths))

    @cached_property
    def by_module(self) -> Mapping[str, Mapping[str, Axis]]:
        """Axes by the path of their layer, then by side."""
        found: dict[str, dict[str, Axis]] = {}
        for axis in self.axes:
            found.setdefault(axis.module, {})[axis.side] = axis
        return found

    def check(self, widths: Sequence[int]) -> None:
        """Raise InputError when a width cannot be had."""
        if len(widths) != len(self.groups) + len(self.blocks):
            raise InputError(f"{len(widths)} widths for {len(self.groups)} channel groups, {len(self.blocks)} blocks")
        for number, (group, width) in enumerate(zip(self.groups, widths, strict=False)):
            least = 0 if number in self.within and not widths[len(self.groups) + self.within[number]] else 1
            if not least <= width <= group.channels or width % group.block:
                raise InputError(
                    f"{group.name}: {width} channels; it has {group.channels} in blocks of {group.block}, at least one"
                )
        for block, stays in zip(self.blocks, widths[len(self.groups) :], strict=True):
            if stays not in (0, 1):
                raise InputError(f"{block}: {stays}; a block stays (1) or is left out (0)")

    def kept(self, widths: Sequence[int], order: Sequence[NDArray[np.int64]]) -> Kept:
        """Return the channels that stay at these widths.

        Args:
            widths: per group.
            order: per group ``(blocks,)`` its blocks, the most important first.
        """
        self.check(widths)
        channels = (
            np.sort((blocks[: width // group.block, None] * group.block + np.arange(group.block)).ravel())
            for group, width, blocks in zip(self.groups, widths, order, strict=False)
        )
        return (*channels, *(np.arange(stays) for stays in widths[len(self.groups) :]))


def is_inside(path: str, block: str) -> bool:
    """Whether a module is a block or stands in it."""
    return path == block or path.startswith(f"{block}.")
