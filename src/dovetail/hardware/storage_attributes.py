"""Turns a storage component's attributes into sizes: lines, words, bandwidths, under all names the format has.

Sizes follow the reference (Timeloop ``model/buffer.cpp``): one line is ``block`` words for each of ``cluster_size``
instances, ``width = datawidth * block * cluster_size``, and a depth counts lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dovetail.hardware.attribute_list import Fail
from dovetail.hardware.values import truth

#: Names that mean the same, the one we use first.
SYNONYMS = {
    "datawidth": ("datawidth", "word_bits", "word_width"),
    "width": ("width", "memory_width", "data_storage_width"),
    "depth": ("depth", "memory_depth", "data_storage_depth"),
    "block_size": ("block_size", "n_words"),
    "n_banks": ("n_banks", "num_banks"),
}

#: What ``value_widths`` say where values of any width lie back to back.
ANY_WIDTH = "any"

#: What every storage has unless it says otherwise itself; a container does not hand these down, as in the reference.
DEFAULTS: dict[str, Any] = {"n_banks": 2, "cluster_size": 1, "multiple_buffering": 1}


def storage_fields(attributes: Mapping[str, Any], *, is_dram: bool, fail: Fail) -> dict[str, Any]:
    """Return a storage level's fields.

    Args:
        attributes: evaluated attributes, inherited ones included.
        is_dram: whether the component is a DRAM, which may leave out its size.
        fail: builds the error for an attribute's name and a message.

    Raises:
        InputError: a size is missing, no number, doubled, or does not fit the others.
    """
    sizes = _Sizes(attributes, fail)
    datawidth = sizes.whole("datawidth")
    if datawidth is None:
        raise fail("datawidth", "the attribute 'datawidth' (bits of a word) is missing")
    width, block, cluster = _line(sizes, datawidth, fail)
    depth, entries = _capacity(sizes, datawidth, block, fail)
    if depth is None and not is_dram:
        raise fail("depth", "the attribute 'depth' (lines) is missing; only a DRAM may be unbounded")
    read, write = sizes.number("read_bandwidth"), sizes.number("write_bandwidth")
    if (both := sizes.number("bandwidth")) is not None:
        read, write = read or both / 2, write or both / 2
    said = attributes.get("reduction_supported", True)
    if (adds := truth(said)) is None:
        raise fail("reduction_supported", f"must be true or false, found {str(said)[:40]!r}")
    return {
        "adds": adds,
        "width": width,
        "datawidth": datawidth,
        "depth": depth,
        "entries": entries,
        "cluster_size": cluster,
        "multiple_buffering": sizes.number("multiple_buffering", least=1) or 1,
        "read_bandwidth": read,
        "write_bandwidth": write,
        "shared_bandwidth": sizes.number("shared_bandwidth"),
        "value_widths": value_widths(attributes, fail),
        "any_width": attributes.get("value_widths") == ANY_WIDTH,
    }


def value_widths(attributes: Mapping[str, Any], fail: Fail) -> tuple[int, ...]:
    """Return the widths of values that a storage or unit lists as its ``value_widths``, rising.

    Raises:
        InputError: they are no whole numbers of bits.
    """
    given = attributes.get("value_widths")
    if given is None or given == ANY_WIDTH:
        return ()
    listed = [str(each) for each in given] if isinstance(given, list) else re.split(r"[,\s]+", str(given).strip())
    for each in listed:
        if not re.fullmatch(r"[0-9]{1,4}", each) or int(each) < 1:
            raise fail("value_widths", f"must be {ANY_WIDTH}, or bits such as [4, 8, 16], found {each[:40]!r}")
    return tuple(sorted({int(each) for each in listed}))


class _Sizes:
    """Attributes by any of their names, as positive numbers."""

    def __init__(self, attributes: Mapping[str, Any], fail: Fail) -> None:
        self.attributes, self.fail = attributes, fail

    def number(self, name: str, least: float = 0, *, or_none: bool = False) -> int | float | None:
        given = [key for key in SYNONYMS.get(name, (name,)) if self.attributes.get(key) is not None]
        if not given:
            return None
        for other in given[1:]:
            if self.attributes[other] != self.attributes[given[0]]:
                raise self.fail(other, f"the attributes '{given[0]}' and '{other}' mean the same; give one")
        value = self.attributes[given[0]]
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            raise self.fail(given[0], f"must be a number, found {str(value)[:40]!r}")
        if value == 0 and or_none:
            return 0
        if value <= 0 or value < least or value == float("inf"):
            raise self.fail(given[0], f"must be {f'at least {least}' if least else 'above 0'}, found {value}")
        return value

    def whole(self, name: str, *, or_none: bool = False) -> int | None:
        value = self.number(name, or_none=or_none)
        if value is not None and not float(value).is_integer():
            raise self.fail(name, f"must be a whole number, found {value}")
        return None if value is None else int(value)


def _line(sizes: _Sizes, datawidth: int, fail: Fail) -> tuple[int, int, int]:
    """Return (width in bits, words per access of one instance, instances that share a line)."""
    width, block, cluster = sizes.whole("width"), sizes.whole("block_size"), sizes.whole("cluster_size") or 1
    if width is None:
        block = block or 1
        return datawidth * block * cluster, block, cluster
    if width % datawidth:
        raise fail("width", f"a line of {width} bits holds no whole number of words of {datawidth} bits")
    if block is not None and block * datawidth * cluster != width:
        raise fail(
            "block_size",
            f"block_size {block} x datawidth {datawidth} x cluster_size {cluster} is "
            f"{block * datawidth * cluster} bits but the width is {width}",
        )
    block = width // (datawidth * cluster)
    if block < 1:
        raise fail(
            "cluster_size", f"a line of {width} bits holds less than one word for each of {cluster} clustered instances"
        )
    return width, block, cluster


def _capacity(sizes: _Sizes, datawidth: int, block: int, fail: Fail) -> tuple[int | None, int | None]:
    """Return (lines, words where these fill no whole number of lines); none where the storage can't hold anything."""
    depth, entries = sizes.whole("depth", or_none=True), sizes.whole("entries", or_none=True)
    kilobytes = sizes.number("sizeKB")
    if depth is not None and entries == depth * block:
        entries = None  # said twice, and the same
    given = [name for name, value in (("depth", depth), ("entries", entries), ("sizeKB", kilobytes)) if value]
    if len(given) > 1:
        raise fail(given[1], f"the size is given twice, as '{given[0]}' and as '{given[1]}'; give one")
    if kilobytes is not None:
        entries = int(kilobytes * 1024 * 8 // datawidth)
    if not entries:
        return entries if depth is None else depth, None
    return max(1, -(-entries // block)), None if entries % block == 0 else entries
