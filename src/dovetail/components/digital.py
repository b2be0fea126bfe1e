"""Estimators for digital logic: registers, adders, multipliers, comparators, counters, register files."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.components.technology import NOMINAL_VOLTS, area_factor, energy_factor, figures


@dataclass(frozen=True)
class _Cell:
    """One entry of the library: pJ of its one dynamic action, pJ leaked per ns, um^2, and what widths scale it."""

    dynamic: float
    leak_per_ns: float
    area: float
    bits: Mapping[str, float]
    actions: tuple[str, ...]


#: Component class -> (entry of the bundled figures, its action there, other names of that action).
_CLASSES = {
    "aladdin_register": ("register_per_bit", "read", ()),
    "aladdin_adder": ("adder_32b", "add", ("read",)),
    "aladdin_multiplier": ("multiplier_32b", "multiply", ("read",)),
    "aladdin_comparator": ("comparator_32b", "compare", ("read",)),
    "aladdin_counter": ("counter_32b", "count", ("read",)),
}
_SYNONYMS = {
    "register": "aladdin_register",
    "intmultiplier": "aladdin_multiplier",
    "comparator": "aladdin_comparator",
    "counter": "aladdin_counter",
}
_FREE = ("write", "update")


@functools.cache
def _cells() -> dict[str, _Cell]:
    table = figures()["components_40nm_1GHz"]
    cells = {}
    for name, (entry, action, others) in _CLASSES.items():
        row = table[entry]
        bits = {"width": 1.0 if entry.endswith("per_bit") else 32.0}
        if row.get("scales_with_width") == "width_a * width_b":
            bits = {"width_a": 32.0, "width_b": 32.0}
        leak = row["leak_per_cycle"]
        cells[name] = _Cell(row[action], leak, row["area"], bits, (action, *others))
    return cells


class Aladdin:
    """Figures of the Aladdin characterisation, scaled in width linearly and in technology as published.

    The figures were characterised at 40 nm, a half node of 45 nm; the published scaling knows 45 nm and no 40, and
    the reference's outputs take the figures as 45 nm ones. So does this estimator; ``aladdin_40nm`` does not.
    """

    name = "aladdin"
    classes = (*_CLASSES, *_SYNONYMS)
    valid = "7 to 130 nm, any width, 0.6 to 1.3 V"
    accuracy: float = 90
    source = "Aladdin 40 nm characterisation (Shao et al., ISCA 2014), as distributed with Accelergy's library"
    node_nm = 45.0

    def energy(self, query: Query) -> Quote:
        """Return pJ of one action: scaled by each stated width over that of the figure, leakage by cycle time."""
        cell = self._cell(query)
        if query.action in _FREE:
            return Quote(0.0)
        leak = query.action == "leak"
        if not leak and query.action not in cell.actions:
            raise Declined(f"knows no action '{query.action}' of {query.component}, only {', '.join(cell.actions)}")
        volts = NOMINAL_VOLTS if leak else query.number("voltage", NOMINAL_VOLTS)
        base = cell.leak_per_ns * query.cycle_seconds * 1e9 if leak else cell.dynamic
        return self._scaled(query, cell, base, energy_factor(self.node_nm, query.node_nm, volts))

    def area(self, query: Query) -> Quote:
        """Return um^2 of one instance."""
        cell = self._cell(query)
        return self._scaled(query, cell, cell.area, area_factor(self.node_nm, query.node_nm))

    def _cell(self, query: Query) -> _Cell:
        name = query.component.lower()
        return _cells()[_SYNONYMS.get(name, name)]

    def _scaled(self, query: Query, cell: _Cell, base: float, technology: float) -> Quote:
        value, notes = base * technology, []
        widths = _widths(query, cell)
        for name, bits in widths.items():
            value *= bits / cell.bits[name]
        scaled = {name: bits for name, bits in widths.items() if bits != cell.bits[name]}
        if scaled:
            notes.append(", ".join(f"{name} {cell.bits[name]:g} -> {bits:g} bit" for name, bits in scaled.items()))
        if query.node_nm != self.node_nm:
            notes.append(f"{self.node_nm:g} nm -> {query.node_nm:g} nm: x{technology:.4g}")
        return Quote(value, tuple(notes))


class Aladdin40(Aladdin):
    """The same figures, taken as made at 40 nm and interpolated from there; what the newest library does."""

    name = "aladdin_40nm"
    accuracy: float = 85
    node_nm = 40.0


def _widths(query: Query, cell: _Cell) -> dict[str, float]:
    """Return the stated widths; a multiplier's ``width`` stands for both of its operands."""
    stated = {}
    for name in cell.bits:
        aliases = (name, name.replace("width", "datawidth"), *(("width", "datawidth") if len(cell.bits) > 1 else ()))
        for alias in aliases:
            if alias in query.attributes:
                stated[name] = query.number(alias, positive=False)
                break
    return stated


@functools.cache
def _adders() -> dict[str, Any]:
    text = resources.files("dovetail.components").joinpath("data/integer_adder.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


class AladdinAdder:
    """The integer adder of the Aladdin table at its own node."""

    name = "aladdin_intadder"
    classes = ("intadder",)
    valid = "40 and 45 nm, any width"
    accuracy: float = 75
    source = "Aladdin 40 nm table (Shao et al., ISCA 2014), as distributed with Accelergy's Aladdin plug-in"

    def energy(self, query: Query) -> Quote:
        """Return pJ of ``add`` or ``leak``, linear in ``width``."""
        row = self._row(query)
        bits = _adder_width(query)
        if query.action == "leak":
            return _per_bit(row["leak_pJ_per_ns"] * query.cycle_seconds * 1e9 / 32, bits)
        _adds(query)
        node = query.node_nm
        volts = energy_factor(node, node, query.number("voltage", NOMINAL_VOLTS))
        return _per_bit(row["add_pJ"] / 32 * volts, bits)

    def area(self, query: Query) -> Quote:
        """Return um^2, linear in ``width``."""
        return _per_bit(self._row(query)["area_um2"] / 32, _adder_width(query))

    def _row(self, query: Query) -> dict[str, float]:
        if query.node_nm not in (40.0, 45.0):
            raise Declined(f"is made for 40 and 45 nm only, asked for {query.node_nm:g} nm")
        row: dict[str, float] = _adders()["aladdin_32b"]
        return row


class NeuroSimAdder:
    """The integer adder as NeuroSim gives it: affine in the width, at 32 and 45 nm; elsewhere scaled as published."""

    name = "neurosim_intadder"
    classes = ("intadder",)
    valid = "32 and 45 nm, any width; 7 to 130 nm scaled"
    accuracy: float = 70
    source = "NeuroSim 1.3 (Peng et al., IEDM 2019), as recorded in the Timeloop exercises' reference logs"

    def energy(self, query: Query) -> Quote:
        """Return pJ of ``add`` or ``leak``."""
        row, node, notes = self._row(query)
        bits = _adder_width(query)
        if query.action == "leak":
            value = row["leak_pJ_per_ns_and_bit"] * bits * query.cycle_seconds * 1e9
            return Quote(value * energy_factor(node, query.node_nm), notes, bool(notes))
        _adds(query)
        volts = query.number("voltage", NOMINAL_VOLTS)
        value = row["add_pJ_per_bit"] * bits + row["add_pJ"] if bits else 0.0
        return Quote(value * energy_factor(node, query.node_nm, volts), notes, bool(notes))

    def area(self, query: Query) -> Quote:
        """Return um^2, linear in ``width``."""
        row, node, notes = self._row(query)
        value = row["area_um2_per_bit"] * _adder_width(query) * area_factor(node, query.node_nm)
        return Quote(value, notes, bool(notes))

    def _row(self, query: Query) -> tuple[dict[str, float], float, tuple[str, ...]]:
        rows = _adders()["neurosim"]
        node = min((float(name) for name in rows), key=lambda known: (abs(math.log(known / query.node_nm)), known))
        away = query.node_nm != node
        notes = (f"{node:g} nm -> {query.node_nm:g} nm: scaled as published",) if away else ()
        return rows[f"{node:g}"], node, notes


def _adder_width(query: Query) -> float:
    for name in ("width", "datawidth", "n_bits", "precision"):
        if name in query.attributes:
            return query.number(name, positive=False)
    return 32.0


def _adds(query: Query) -> None:
    if query.action not in ("add", "read", "compute"):
        raise Declined(f"knows no action '{query.action}' of {query.component}, only add, leak")


def _per_bit(each: float, bits: float) -> Quote:
    return Quote(each * bits, () if bits == 32 else (f"width 32 -> {bits:g} bit",))


class RegisterFile:
    """Registers, ``width`` x ``depth`` of them, and the comparators that find a line.

    A ``regfile`` has one comparator per line (what the compound class of that name composes), a ``FIFO`` one in all,
    a ``reg`` none.
    """

    name = "registers"
    classes = ("regfile", "FIFO", "reg")
    valid = "7 to 130 nm, any width and depth"
    accuracy: float = 80
    source = "composed of registers and comparators of the Aladdin characterisation"

    def energy(self, query: Query) -> Quote:
        """Return pJ of ``read``, ``write``, ``update`` of one line, or ``leak`` of all of them."""
        width, depth, finders = self._size(query)
        if query.action not in ("read", "write", "update", "leak"):
            raise Declined(f"knows no action '{query.action}' of {query.component}, only read, write, update, leak")
        leak = query.action == "leak"
        bits = self._part(query, "aladdin_register", query.action)
        lines = self._part(query, "aladdin_comparator", "leak" if leak else "compare")
        return replace(bits, value=bits.value * width * (depth if leak else 1) + lines.value * finders)

    def area(self, query: Query) -> Quote:
        """Return um^2."""
        width, depth, finders = self._size(query)
        bits, lines = (self._part(query, name, "") for name in ("aladdin_register", "aladdin_comparator"))
        return replace(bits, value=bits.value * width * depth + lines.value * finders)

    def _size(self, query: Query) -> tuple[float, float, float]:
        """Return bits per line, lines, and comparators."""
        depth = query.number("depth", 1)
        return query.number("width"), depth, {"regfile": depth, "fifo": 1.0}.get(query.component.lower(), 0.0)

    def _part(self, query: Query, component: str, action: str) -> Quote:
        kept = {name: value for name, value in query.attributes.items() if name not in ("width", "datawidth", "depth")}
        part = Query(component, kept, action)
        return Aladdin().energy(part) if action else Aladdin().area(part)


class Dummy:
    """Components that stand for structure only: no energy, and the nominal 1 um^2 that the reference gives them."""

    name = "dummy"
    classes = ("dummy_storage", "dummy_compute", "dummy_network", "dummy")
    valid = "everywhere"
    accuracy: float = 100
    source = "by definition: a dummy component costs nothing"

    def energy(self, query: Query) -> Quote:
        """Return 0 pJ for any action."""
        return Quote(0.0)

    def area(self, query: Query) -> Quote:
        """Return the nominal 1 um^2 of the reference's dummy table."""
        return Quote(1.0)
