"""Turns the attributes with which a design itself gives energies into what its levels charge: lines, addresses, wires.

Names and units follow the reference (Timeloop ``model/buffer.cpp`` and ``network-legacy.cpp``): pJ and um. The network
between two levels takes its attributes from the outer one. Of a fan-out these are what the containers hand down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dovetail.hardware.architecture import Wires
from dovetail.hardware.attribute_list import Fail

_WIRES = {
    "energy_per_hop": "hop_pJ",
    "router_energy": "router_pJ",
    "energy-per-ingress": "ingress_pJ",
    "wire_energy": "wire_pJ",
    "tile_width": "tile_width_um",
}
#: Attributes of a storage or a network that say what the wires below cost.
WIRE_ATTRIBUTES = (*_WIRES, "network_word_bits")


def storage_charges(attributes: Mapping[str, Any], fail: Fail) -> dict[str, Any]:
    """Return a storage's ``line_pJ`` and ``address_pJ``.

    Args:
        attributes: evaluated attributes, those that containers hand down included.
        fail: builds the error for an attribute's name and a message.

    Raises:
        InputError: an energy is no number, or negative.
    """
    address = _number(attributes, "addr_gen_energy", fail, least=-math.inf)
    return {"line_pJ": _number(attributes, "vector_access_energy", fail), "address_pJ": max(address or 0.0, 0.0)}


def wires_below(attributes: Mapping[str, Any], word_bits: int, fail: Fail) -> Wires | None:
    """Return what the network from a level to the next one inside costs; None where nothing is said of it.

    Args:
        attributes: as `storage_charges` takes them.
        word_bits: of the level, which ``network_word_bits`` overrules.
        fail: likewise.

    Raises:
        InputError: a value is no number, or negative.
    """
    found = {field: _number(attributes, name, fail) for name, field in _WIRES.items()}
    given = {field: value for field, value in found.items() if value is not None}
    own_bits = _number(attributes, "network_word_bits", fail)
    if not given and own_bits is None:
        return None
    if own_bits is not None and (own_bits < 1 or own_bits % 1):
        raise fail("network_word_bits", f"must be a whole number of at least 1, found {own_bits}")
    return Wires(word_bits=word_bits if own_bits is None else int(own_bits), **given)


def _number(attributes: Mapping[str, Any], name: str, fail: Fail, least: float = 0.0) -> float | None:
    value = attributes.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise fail(name, f"must be a number, found {str(value)[:40]!r}")
    if value < least:
        raise fail(name, f"must be at least 0, found {value}")
    return float(value)
