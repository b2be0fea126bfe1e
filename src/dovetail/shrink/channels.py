"""Channel groups of a network: which channels must go together, and where each of them sits in every layer."""

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


#: Kept channels of every group, ``[group](width,)`` rising.
Kept = tuple[NDArray[np.int64], ...]
#: Channels of every group.
Widths = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """A network's channel groups and where they sit.

    Attributes:
        groups: in the order in which their layers run.
        axes: sides of layers in which at least one position belongs to a group.
        left: layers that keep all channels that they make, with the reason.
    """

    groups: tuple[ChannelGroup, ...]
    axes: tuple[Axis, ...]
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def widths(self) -> Widths:
        """Channels of every group in the network as given."""
        return tuple(group.channels for group in self.groups)

    @cached_property
    def by_module(self) -> Mapping[str, Mapping[str, Axis]]:
        """Axes by the path of their layer, then by side."""
        found: dict[str, dict[str, Axis]] = {}
        for axis in self.axes:
            found.setdefault(axis.module, {})[axis.side] = axis
        return found

    def check(self, widths: Sequence[int]) -> None:
        """Raise InputError when a width cannot be had."""
        if len(widths) != len(self.groups):
            raise InputError(f"{len(widths)} widths for {len(self.groups)} channel groups")
        for group, width in zip(self.groups, widths, strict=True):
            if not 1 <= width <= group.channels or width % group.block:
                raise InputError(
                    f"{group.name}: {width} channels; it has {group.channels} in blocks of {group.block}, at least one"
                )

    def kept(self, widths: Sequence[int], order: Sequence[NDArray[np.int64]]) -> Kept:
        """Return the channels that stay at these widths.

        Args:
            widths: per group.
            order: per group ``(blocks,)`` its blocks, the most important first.
        """
        self.check(widths)
        return tuple(
            np.sort((blocks[: width // group.block, None] * group.block + np.arange(group.block)).ravel())
            for group, width, blocks in zip(self.groups, widths, order, strict=True)
        )
