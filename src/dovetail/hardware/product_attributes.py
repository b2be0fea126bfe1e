"""Reads what a compute component says of the products that one of its units does at once: how many, of which bits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import product
from typing import Any

from dovetail.errors import did_you_mean
from dovetail.hardware.architecture import ByBits, ProductSums
from dovetail.hardware.attribute_list import Fail

#: Products of one unit, and what one of them may take of the energy of one of the unit's own words.
MOST_PRODUCTS, MOST_ENERGY = 4096, 1000.0
_FORM = re.compile(r"\s*([0-9]{1,4})(?:\s*x\s*([0-9]{1,4}))?\s*:\s*(\S+)\s*")


def product_fields(attributes: Mapping[str, Any], datawidth: int, fail: Fail) -> dict[str, Any]:
    """Return what `dovetail.hardware.architecture.Compute` has of products done at once.

    Args:
        attributes: evaluated attributes, inherited ones included.
        datawidth: bits of the unit's own words.
        fail: builds the error for an attribute's name and a message.

    Raises:
        InputError: it is no mapping from bits to numbers, the numbers are none, or they contradict each other.
    """
    many = _read(attributes, "products", "{8: 2, 4: 4} or {8x4: 2}, bits and how many products", fail)
    energy = _read(attributes, "product_energy", "{8: 0.4, 4: 0.2}, bits and a share of the unit's energy", fail)
    for each in many:
        if not each.value.is_integer() or not 1 <= each.value <= MOST_PRODUCTS:
            raise fail("products", f"{each.bits} bits: must be a whole number of 1 to {MOST_PRODUCTS} products")
        if each.value > 1 and each.holds((datawidth, datawidth)):
            raise fail("products", f"{each.bits} bits: a unit of {datawidth} bits does one product of its own words")
    for less, more in product(many, many):
        if more.holds((less.wide, less.narrow)) and less.value < more.value:
            raise fail("products", f"fewer at {less.bits} bits than at {more.bits}, which are wider")
    for each in energy:
        if not 0 < each.value <= MOST_ENERGY:
            raise fail("product_energy", f"{each.bits} bits: must be above 0 and at most {MOST_ENERGY:g}")
        if each.value != 1 and each.holds((datawidth, datawidth)):
            raise fail("product_energy", f"{each.bits} bits: of the unit's own words of {datawidth} bits it is 1")
    said = attributes.get("product_sums", ProductSums.TOGETHER.value)
    known = [each.value for each in ProductSums]
    if said not in known:
        hint = did_you_mean(str(said), known)
        raise fail("product_sums", f"must be one of {', '.join(known)}, found {str(said)[:40]!r}{hint}")
    packed = tuple(each for each in many if each.value > 1)
    return {"products": packed, "product_sums": ProductSums(said), "product_energy": energy}


def _read(attributes: Mapping[str, Any], name: str, wanted: str, fail: Fail) -> tuple[ByBits, ...]:
    given = attributes.get(name)
    if given is None:
        return ()
    found: dict[tuple[int, int], ByBits] = {}
    for part in str(given).split(","):
        match = _FORM.fullmatch(part)
        bits = sorted((int(match[1]), int(match[2] or match[1])), reverse=True) if match else [0]
        value = _number(match[3]) if match else math.nan
        if min(bits) < 1 or not math.isfinite(value):
            raise fail(name, f"must be such as {wanted}, found {part.strip()[:40]!r}")
        if (bits[0], bits[1]) in found:
            raise fail(name, f"{found[bits[0], bits[1]].bits} bits stand there twice")
        found[bits[0], bits[1]] = ByBits(bits[0], bits[1], value)
    return tuple(found[bits] for bits in sorted(found))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
