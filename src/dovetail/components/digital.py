"""Estimators for digital logic: the reference's library of Aladdin's units, and NeuroSim's integer adder."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from dovetail.components.estimator import Declined, Query, Quote
from dovetail.components.primitives import DEFAULT_BITS
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
_SYNONYMS = {"register": "aladdin_register"}
_FREE = ("write", "update")


@functools.cache
def _cells() -> dict[str, _Cell]:
    table = figures()["components_40nm_1GHz"]
    cells = {}
    for name, (entry, action, others) in _CLASSES.items():
        row = table[entry]
        bits = {"width": 1.0 if entry.endswith("per_bit") else 32.0}
        if row.get("scales_with_width") == "width_a * width_b":
            bits |= {"width_a": 32.0, "width_b": 32.0}
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
    """Return the stated widths, each of which scales the figure once: a multiplier's ``width`` alone does not square.

    So the reference has it: its library scales from a row by every width that both state.
    """
    stated = {}
    for name in cell.bits:
        given = next((alias for alias in (name, f"data{name}") if alias in query.attributes), None)
        if given is not None:
            stated[name] = query.number(given, positive=False)
    return stated


@functools.cache
def _adders() -> dict[str, Any]:
    text = resources.files("dovetail.components").joinpath("data/integer_adder.json").read_text(encoding="utf-8")
    rows: dict[str, Any] = json.loads(text)["neurosim"]
    return rows


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
        rows = _adders()
        node = min((float(name) for name in rows), key=lambda known: (abs(math.log(known / query.node_nm)), known))
        away = query.node_nm != node
        notes = (f"{node:g} nm -> {query.node_nm:g} nm: scaled as published",) if away else ()
        return rows[f"{node:g}"], node, notes


def _adder_width(query: Query) -> float:
    for name in ("width", "datawidth", "n_bits", "precision"):
        if name in query.attributes:
            return query.number(name, positive=False)
    return DEFAULT_BITS


def _adds(query: Query) -> None:
    if query.action not in ("add", "read", "compute"):
        raise Declined(f"knows no action '{query.action}' of {query.component}, only add, leak")


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
