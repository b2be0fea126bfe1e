"""Primitives of the reference from Aladdin's table: register files, integer and floating-point arithmetic, crossbars.

A document that defines no class of its own names these. Each is a sum of the table's units; which row of the table
counts follows from the clock, as in the reference's table plug-in.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.components.technology import NOMINAL_VOLTS, area_factor, energy_factor

#: The nodes that the reference takes the table for, without any scaling, nm; the published scaling knows the second.
NODES = (40.0, 45.0)
#: Bits of arithmetic, and exponent and mantissa with its sign, where a component states none: what Accelergy's library
#: of primitives had as long as it had defaults.
DEFAULT_BITS, DEFAULT_EXPONENT, DEFAULT_MANTISSA = 16.0, 8.0, 24.0
#: The row that areas come from, ns.
AREA_NS = 5.0

#: Units of the table and how many of each.
Parts = list[tuple[str, float]]


@dataclass(frozen=True)
class _Row:
    """One row of the table, for one unit: pJ of an operation, pJ leaked per ns, um^2."""

    dynamic: float
    leak_per_ns: float
    area: float


@functools.cache
def _table() -> dict[str, dict[float, _Row]]:
    """Return the rows of each unit by their latency in ns, the fastest first."""
    text = resources.files("dovetail.components").joinpath("data/aladdin_table.csv").read_text(encoding="utf-8")
    units: dict[str, dict[float, _Row]] = {}
    for row in csv.DictReader(text.splitlines()):
        latency = float(row["latency_ns"])
        found = _Row(float(row["dynamic_pJ"]), float(row["idle_pJ"]) / latency, float(row["area_um2"]))
        units.setdefault(row["unit"], {})[latency] = found
    return units


def _row(unit: str, latency_ns: float) -> _Row:
    """Return the row of a latency rounded up to whole ns, 7 to 10 ns down to 6; the fastest where there is none."""
    rows = _table()[unit]
    rounded = 0.5 if latency_ns <= 0.75 else float(math.ceil(round(latency_ns, 6)))
    return rows.get(10.0 if rounded > 10 else min(rounded, 6.0)) or next(iter(rows.values()))


def _width(query: Query, *own: str, default: float | None = None) -> float:
    """Return the bits that a component states: its ``width``, else by the names of its ``own``, else ``datawidth``."""
    names = ("width", *own, "datawidth", "n_bits", "precision")
    name = next((name for name in names if name in query.attributes), "width")
    return query.number(name, default, positive=False)


def _changes(query: Query, name: str) -> bool:
    """Return whether an access changes the data or the address, by its argument; leakage and area know neither."""
    return query.action in ("leak", "") or bool(query.number(name, 1, positive=False))


def _register_file(query: Query) -> Parts:
    """A line of registers, and for each line a comparator of as many bits as an address has."""
    depth, bits = query.number("depth"), _width(query)
    address = max(0, math.ceil(math.log2(depth)))
    registers, comparators = ("register", bits), ("comparator", address / 32 * depth)
    return [registers] * _changes(query, "data_delta") + [comparators] * _changes(query, "address_delta")


def _queue(query: Query) -> Parts:
    return [("register", _width(query)), ("comparator", max(0.0, math.log2(query.number("depth"))) / 32)]


def _crossbar(query: Query) -> Parts:
    return [("crossbar", query.number("n_inputs") * query.number("n_outputs") / 4 * _width(query) / 32)]


def _adder(query: Query) -> Parts:
    return [("adder", _width(query, "adder_width", default=DEFAULT_BITS) / 32)]


def _multiplier(query: Query) -> Parts:
    return [("multiplier", (_width(query, "multiplier_width", default=DEFAULT_BITS) / 32) ** 2)]


def _mac(query: Query) -> Parts:
    return [*_adder(query), *_multiplier(query)]


def _float(query: Query, *units: str) -> Parts:
    """Single precision's units up to 32 bits, double precision's beyond; adders linear, multipliers quadratic."""
    exponent = query.number("exponent", DEFAULT_EXPONENT, positive=False)
    bits = exponent + query.number("mantissa", DEFAULT_MANTISSA, positive=False)
    kind, whole = ("fp32", 32) if bits <= 32 else ("fp64", 64)
    powers = {"adder": 1, "multiplier": 2}
    return [(f"{kind}_{unit}", (bits / whole) ** powers[unit]) for unit in units]


#: Class -> its units, and the names of its action.
_PRIMITIVES: dict[str, tuple[Callable[[Query], Parts], tuple[str, ...]]] = {
    "regfile": (_register_file, ("read", "write", "update", "access")),
    "reg_storage": (lambda query: [("register", _width(query))], ("read", "write", "update", "access")),
    "reg": (lambda query: [("register", _width(query))], ("read", "write", "update", "access")),
    "FIFO": (_queue, ("read", "write", "update", "access", "push", "pop")),
    "crossbar": (_crossbar, ("transfer", "transfer_random", "read", "access")),
    "counter": (lambda query: [("counter", _width(query) / 32)], ("count", "read", "access")),
    "comparator": (lambda query: [("comparator", _width(query) / 32)], ("compare", "read", "access")),
    "bitwise": (lambda query: [("bitwise", _width(query))], ("process", "compute", "read", "access")),
    "intadder": (_adder, ("add", "count", "compute", "read", "access")),
    "intmultiplier": (_multiplier, ("multiply", "mult", "mult_random", "multiply_random", "compute", "read", "access")),
    "intmac": (_mac, ("compute", "mac", "mac_random", "read", "access")),
    "fpadder": (lambda query: _float(query, "adder"), ("add", "compute", "read", "access")),
    "fpmultiplier": (
        lambda query: _float(query, "multiplier"),
        ("multiply", "mult", "mult_random", "multiply_random", "compute", "read", "access"),
    ),
    "fpmac": (lambda query: _float(query, "adder", "multiplier"), ("compute", "mac", "mac_random", "read", "access")),
}
_BY_NAME = {name.lower(): primitive for name, primitive in _PRIMITIVES.items()}


def _assumed(query: Query) -> tuple[str, ...]:
    """Return what an arithmetic unit leaves to the defaults, in words."""
    stated, kind = set(query.attributes), query.component.lower()
    widths = {"width", "adder_width", "multiplier_width", "datawidth", "n_bits", "precision"}
    if kind in ("intadder", "intmultiplier", "intmac") and not stated & widths:
        return (f"states no width: {DEFAULT_BITS:g} bit",)
    if kind in ("fpadder", "fpmultiplier", "fpmac") and not {"exponent", "mantissa"} <= stated:
        return (f"states no exponent or mantissa: {DEFAULT_EXPONENT:g} and {DEFAULT_MANTISSA:g} bit",)
    return ()


class AladdinTable:
    """Aladdin's table as the reference's plug-in of that name reads it, at the two nodes that it takes it for.

    Energies come from the row of the clock (``global_cycle_seconds`` x ``action_latency_cycles``), areas from the row
    of 5 ns, as in the published outputs, whatever the clock.
    """

    name = "aladdin_table"
    classes = tuple(_PRIMITIVES)
    valid = "40 and 45 nm, any width and depth; clocks of 0.5 to 10 ns"
    accuracy: float = 75
    source = "Aladdin 40 nm table (Shao et al., ISCA 2014), as distributed with Accelergy's Aladdin plug-in"
    scales = False

    def energy(self, query: Query) -> Quote:
        """Return pJ of one action, or leaked per cycle."""
        parts, actions = _BY_NAME[query.component.lower()]
        if query.action not in (*actions, "leak"):
            known = ", ".join((*actions, "leak"))
            raise Declined(f"knows no action '{query.action}' of {query.component}, only {known}")
        cycle_ns = query.cycle_seconds * 1e9
        latency_ns = cycle_ns * query.number("action_latency_cycles", 1)
        rows = [(amount, _row(unit, latency_ns)) for unit, amount in parts(query)]
        if query.action == "leak":
            leak = sum(amount * row.leak_per_ns for amount, row in rows) * cycle_ns
            return self._scaled(query, leak, functools.partial(energy_factor, NODES[-1]))
        volts = query.number("voltage", NOMINAL_VOLTS)
        dynamic = sum(amount * row.dynamic for amount, row in rows)
        return self._scaled(query, dynamic, functools.partial(energy_factor, NODES[-1], volts=volts))

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        parts, _ = _BY_NAME[query.component.lower()]
        area = sum(amount * _row(unit, AREA_NS).area for unit, amount in parts(query))
        return self._scaled(query, area, functools.partial(area_factor, NODES[-1]))

    def _scaled(self, query: Query, value: float, factor: Callable[[float], float]) -> Quote:
        """Return a number of the table at the node that is asked for."""
        node, notes = query.node_nm, _assumed(query)
        if node in NODES:
            return Quote(value * factor(NODES[-1]), notes)
        if not self.scales:
            raise Declined(f"is made for 40 and 45 nm only, asked for {node:g} nm")
        scale = factor(node)
        return Quote(value * scale, (*notes, f"45 nm -> {node:g} nm: x{scale:.4g}"), extrapolated=True)


class AladdinTableScaled(AladdinTable):
    """The same table at other nodes, where the reference has no such primitives: scaled from 45 nm as published."""

    name = "aladdin_table_scaled"
    valid = "7 to 130 nm, any width and depth; scaled from 45 nm"
    accuracy: float = 60
    scales = True
