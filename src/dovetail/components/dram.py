"""Estimators for what lies off the chip or between its parts: DRAM by type, wires by length."""

from __future__ import annotations

import re

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.components.technology import figures
from dovetail.errors import InputError, did_you_mean

_DEFAULT_TYPE = "LPDDR4"
#: What a memory does with the metadata of formats.
METADATA_ACTIONS = ("metadata_read", "metadata_write")


class Dram:
    """Off-chip memory: pJ per bit by its type; no leakage and no area, as in the reference."""

    name = "dram_table"
    classes = ("DRAM",)
    valid = "LPDDR4, LPDDR, DDR3, GDDR5, HBM2, HMC; any width"
    accuracy: float = 80
    source = "public figures per bit (Malladi ISCA 2012, Chatterjee MICRO 2017, Gao ASPLOS 2017 and others)"

    def energy(self, query: Query) -> Quote:
        """Return pJ of one line of ``width`` bits (``read``, ``write``, ``update``); ``leak`` is 0.

        A line of metadata (``metadata_read``, ``metadata_write``) costs as much per bit.
        """
        if query.action == "leak":
            return Quote(0.0)
        if query.action not in ("read", "write", "update", *METADATA_ACTIONS):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only read, write, update, leak")
        each = {kind: value for kind, value in figures()["dram_pJ_per_bit"].items() if kind != "source"}
        kind = query.word("type", _DEFAULT_TYPE)
        if kind not in each:
            raise InputError(f"there is no DRAM type '{kind}'{did_you_mean(kind, each)}", key="type")
        bits = query.number("metadata_storage_width" if query.action in METADATA_ACTIONS else "width")
        return Quote(each[kind] * bits, (f"{kind}: {each[kind]:g} pJ/bit x {bits:g} bit",))

    def area(self, query: Query) -> Quote:
        """Return 0: it is not on the chip."""
        return Quote(0.0)


#: F per um, V, and switching probability of the wire that the reference's Aladdin plug-in assumes.
WIRE_FARAD_PER_UM, WIRE_VOLTS, WIRE_ACTIVITY = 1.627e-15, 1.0, 0.2

_LENGTH = re.compile(r"\s*+(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*+(nm|um|mm)?\s*+")
_UM = {"nm": 1e-3, "um": 1.0, "mm": 1e3}


class Wire:
    """On-chip wires: activity x capacitance x length x V^2 per bit; no leakage, no area of their own."""

    name = "wire_capacitance"
    classes = ("wire", "Wire")
    valid = 'any width and length (in um unless "mm" or "nm" is said); capacitance of 45 nm'
    accuracy: float = 60
    source = "1.627 fF/um, 20 % activity, 1 V: the wire of Accelergy's Aladdin plug-in"

    def energy(self, query: Query) -> Quote:
        """Return pJ of moving ``width`` bits over ``length``."""
        if query.action == "leak":
            return Quote(0.0)
        if query.action not in ("transfer", "transfer_random", "read", "write", "update"):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only transfer, leak")
        bits, microns = query.number("width", query.number("datawidth", 1)), _length_um(query)
        volts = query.number("voltage", WIRE_VOLTS)
        joules = bits * microns * WIRE_ACTIVITY * WIRE_FARAD_PER_UM * volts**2
        return Quote(joules * 1e12, (f"{bits:g} bit x {microns:g} um",))

    def area(self, query: Query) -> Quote:
        """Return 0: wires run above what they connect."""
        return Quote(0.0)


def _length_um(query: Query) -> float:
    length = query.attributes.get("length")
    if isinstance(length, int | float) and not isinstance(length, bool):
        return query.number("length", positive=False)
    if isinstance(length, str) and (match := _LENGTH.fullmatch(length)):
        return float(match[1]) * _UM[match[2] or "um"]
    if length is None:
        raise InputError("a component of class wire must specify 'length', such as \"1.5mm\"", key="length")
    raise InputError(f'{length!r} is no length; write it as "1.5mm" or as a number of um', key="length")
