"""What a network can lose: channels that go together, where each sits in every layer, whole blocks, and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError

#: Owner of a position that no group can take away, such as an image's channels or the classifier's outputs.
FIXED = -1
#: What kinds of settings there are.
KERNEL, RESOLUTION, WEIGHT_BITS, INPUT_BITS = "kernel", "resolution", "weights", "inputs"
#: Layers that one word about settings names.
_NAMED = 4


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

    def add_to(self, sums: Sequence[NDArray[np.float64]], values: NDArray[np.float64]) -> None:
        """Add ``(positions,)`` values to the channels that they belong to; ``sums``: per group ``(channels,)``."""
        for group, _ in self.parts[1]:
            here = self.owners == group
            np.add.at(sums[group], self.channels[here], values[here])

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


@dataclass(frozen=True)
class Setting:
    """Something of a network that can be set lower than it is, to one of a few numbers.

    Attributes:
        kind: what it is, such as ``resolution``.
        name: of what it speaks of.
        values: falling; the first is the network as given.
        paths: of the modules that it speaks of; none: of the whole network.
        forms: (rows, columns) that each value stands for, where it stands for some.
    """

    kind: str
    name: str
    values: tuple[int, ...]
    paths: tuple[str, ...] = ()
    forms: tuple[tuple[int, int], ...] = ()

    def form(self, value: int) -> tuple[int, int]:
        """Return the rows and columns that a value stands for."""
        return self.forms[self.values.index(value)]


#: Kept channels of every group, ``[group](width,)`` rising; then for every block and setting as many as its number is.
Kept = tuple[NDArray[np.int64], ...]
#: Channels of every group; then 1 for every block that stays, and 0 for one that is left out; then the value of every
#: setting, 0 where all that it speaks of is left out.
Widths = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ChannelGraph:
    """A network's channel groups and where they sit.

    Attributes:
        groups: in the order in which their layers run.
        axes: sides of layers in which at least one position belongs to a group.
        left: layers that keep all channels that they make, and blocks that stay, with the reason.
        blocks: paths of modules that may be left out whole, what they read handed on, in the order they run.
        settings: what else can be set lower.
        unset: what can't be set lower, in words, with the reason.
    """

    groups: tuple[ChannelGroup, ...]
    axes: tuple[Axis, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    blocks: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    unset: Mapping[str, str] = field(default_factory=dict)

    @property
    def widths(self) -> Widths:
        """Channels of every group in the network as given, all blocks, and what settings are."""
        channels = (group.channels for group in self.groups)
        return (*channels, *(1 for _ in self.blocks), *(setting.values[0] for setting in self.settings))

    @property
    def first_setting(self) -> int:
        """The place of the first setting among widths."""
        return len(self.groups) + len(self.blocks)

    def place_of(self, kind: str, path: str = "") -> int | None:
        """Return the place among widths of the setting of a kind that speaks of a module; None: there is none."""
        for place, setting in enumerate(self.settings, self.first_setting):
            if setting.kind == kind and (path in setting.paths or not setting.paths):
                return place
        return None

    def set_to(self, widths: Sequence[int], kind: str) -> dict[str, int]:
        """Return by name what the settings of a kind are, those of which something is left."""
        values = zip(self.settings, widths[self.first_setting :], strict=True)
        return {setting.name: value for setting, value in values if setting.kind == kind and value}

    def lowered(self, widths: Sequence[int], kind: str) -> dict[str, tuple[int, int]]:
        """Return by name the rows and columns of the settings of a kind that are lower than as given."""
        return {
            setting.name: setting.form(value)
            for setting, value in zip(self.settings, widths[self.first_setting :], strict=True)
            if setting.kind == kind and value and value != setting.values[0]
        }

    def block_of(self, path: str) -> int | None:
        """Return the number of the block that a module stands in; None: in no block."""
        inside = (number for number, block in enumerate(self.blocks) if is_inside(path, block))
        return next(inside, None)

    @cached_property
    def within(self) -> Mapping[int, int]:
        """By place the groups and settings of which nothing is left without one block, and the number of that block."""
        blocks: dict[int, set[int | None]] = {}
        for axis in self.axes:
            for group, _ in axis.parts[1]:
                blocks.setdefault(group, set()).add(self.block_of(axis.module))
        for place, setting in enumerate(self.settings, self.first_setting):
            blocks[place] = {self.block_of(path) for path in setting.paths}
        only = {group: next(iter(of)) for group, of in blocks.items() if len(of) == 1}
        return {group: block for group, block in only.items() if block is not None}

    def lowered_text(self, widths: Sequence[int]) -> list[str]:
        """Return in words what settings are lower than as given, those of one kind and value together."""
        together: dict[tuple[str, str], list[str]] = {}
        for setting, value in zip(self.settings, widths[self.first_setting :], strict=True):
            if value and value != setting.values[0]:
                said = "x".join(map(str, setting.form(value))) if setting.forms else f"{value} bits"
                together.setdefault((setting.kind, said), []).append(setting.name)
        return [_lowered(kind, said, names) for (kind, said), names in together.items()]

    def left_out(self, widths: Sequence[int]) -> tuple[str, ...]:
        """Return the paths of the blocks that are left out."""
        stays = widths[len(self.groups) : self.first_setting]
        return tuple(block for block, stay in zip(self.blocks, stays, strict=True) if not stay)

    def settled(self, widths: Sequence[int]) -> Widths:
        """Return the same network's one spelling: groups and settings of which nothing is left are 0."""
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
        if len(widths) != self.first_setting + len(self.settings):
            more = f", {len(self.settings)} settings" if self.settings else ""
            raise InputError(
                f"{len(widths)} widths for {len(self.groups)} channel groups, {len(self.blocks)} blocks{more}"
            )
        for number, (group, width) in enumerate(zip(self.groups, widths, strict=False)):
            least = 0 if number in self.within and not widths[len(self.groups) + self.within[number]] else 1
            if not least <= width <= group.channels or width % group.block:
                raise InputError(
                    f"{group.name}: {width} channels; it has {group.channels} in blocks of {group.block}, at least one"
                )
        for block, stays in zip(self.blocks, widths[len(self.groups) : self.first_setting], strict=True):
            if stays not in (0, 1):
                raise InputError(f"{block}: {stays}; a block stays (1) or is left out (0)")
        for place, setting in enumerate(self.settings, self.first_setting):
            is_gone = place in self.within and not widths[len(self.groups) + self.within[place]]
            if widths[place] not in ((0,) if is_gone else setting.values):
                raise InputError(f"{setting.kind} of {setting.name}: {widths[place]} is none of {setting.values}")

    def kept(self, widths: Sequence[int], order: Sequence[NDArray[np.int64]]) -> Kept:
        """Return the channels that stay at these widths; blocks and settings as numbers of anything.

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


def _lowered(kind: str, said: str, names: Sequence[str]) -> str:
    if kind == "resolution":
        return f"images of {said}"
    of = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{kind} of {of} {'at' if said.endswith('bits') else 'of'} {said}"


def is_inside(path: str, block: str) -> bool:
    """Whether a module is a block or stands in it."""
    return path == block or path.startswith(f"{block}.")
