"""Advice: the changes that pay, each with what it was computed to bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.json_text import json_document, save_json
from dovetail.mapper.objective import Objective
from dovetail.network.costs import NetworkCost
from dovetail.table import Cell, Column, Table
from dovetail.units import edp_J_cycle

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Figures:
    """What a network takes: one pass, or at a larger batch one image's share of it.

    Attributes:
        cycles: of all layers.
        energy_pJ: of all layers.
        area_um2: of the design; 0 where it is not known.
    """

    cycles: float
    energy_pJ: float
    area_um2: float

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    def to_json(self) -> dict[str, float]:
        """Return plain data."""
        return {
            "cycles": self.cycles,
            "energy_pJ": self.energy_pJ,
            "edp_J_cycle": self.edp_J_cycle,
            "area_um2": self.area_um2,
        }


@dataclass(frozen=True)
class Advised:
    """One change, and what it brings.

    Attributes:
        kind: ``constraint``, ``buffer``, ``array``, ``bandwidth``, ``batch``, ``padding`` or ``width``.
        subject: the level or the layer concerned; the network's name for its batch.
        text: what to do.
        before: what is compared: the network as it is; for a width the layer as it is.
        after: the same with the change.
        gain: by what fraction the objective falls; for a width per channel.
        exact: whether every mapping behind it is proven to be the best.
        layers: what gains most, the first most.
        figure: what shows it in a report: ``cycles``, ``energy``, ``roofline`` or ``stairs``.
        stairs: sizes of a layer's dimension and the objective's value per unit of it, relative to now; for a width and
            for padding.
        sizes: of that dimension, now and with the change.
    """

    kind: str
    subject: str
    text: str
    before: Figures
    after: Figures
    gain: float
    exact: bool
    layers: tuple[str, ...] = ()
    figure: str = "energy"
    stairs: tuple[tuple[int, float], ...] = ()
    sizes: tuple[int, int] | None = None

    def change(self, name: str) -> float | None:
        """Return by what fraction a figure changes: ``cycles``, ``energy_pJ``, ``edp_J_cycle``, ``area_um2``."""
        before, after = getattr(self.before, name), getattr(self.after, name)
        return after / before - 1 if before else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": self.kind,
            "subject": self.subject,
            "text": self.text,
            "gain": self.gain,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "exact": self.exact,
            "layers": list(self.layers),
            "figure": self.figure,
            "stairs": [list(each) for each in self.stairs],
            "sizes": None if self.sizes is None else list(self.sizes),
        }


@dataclass(frozen=True, repr=False)
class Advice:
    """What would pay for a network on a design.

    Attributes:
        cost: the network as it is.
        found: changes that pay, the largest gain first.
        widths: sizes of layers that the design likes better, the largest gain per channel first.
        tried: changes that were mapped.
        left_out: changes that time did not allow to try.
        notes: what to know.
    """

    cost: NetworkCost = field(repr=False)
    found: tuple[Advised, ...]
    widths: tuple[Advised, ...]
    tried: int
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.cost.objective

    def table(self, most: int | None = None) -> Table:
        """Return a row per change that pays, at most so many."""
        return _table(self.found[:most], f"{self.objective} gain")

    def widths_table(self, most: int | None = None) -> Table:
        """Return a row per liked size, at most so many; gains are per channel, changes those of the layer."""
        return _table(self.widths[:most], "gain per|channel")

    def to_frame(self) -> pandas.DataFrame:
        """Return a row per change that pays; needs the extra ``pandas``."""
        return self.table().to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: the object that ``dovetail advise --json`` prints."""
        return json_document("advice", self.to_json())

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def __str__(self) -> str:
        """Return the changes that pay as a table, and what was not tried."""
        left = f"\n\n{len(self.left_out)} not tried for want of time" if self.left_out else ""
        if not self.found:
            return f"{self._name}: {'nothing that was tried pays' if self.tried else 'nothing was tried'}{left}"
        return f"{self.table().titled(f'{self._name}: what to change')}{left}"

    def __repr__(self) -> str:
        left = f", {len(self.left_out)} not tried" if self.left_out else ""
        return f"<Advice for {self._name}: {len(self.found)} changes pay of {self.tried} tried{left}>"

    @property
    def _name(self) -> str:
        return f"{self.cost.network.name} on {self.cost.architecture.name}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.cost.network.name,
            "design": self.cost.architecture.name,
            "objective": str(self.objective),
            "now": figures_of(self.cost).to_json(),
            "changes": [each.to_json() for each in self.found],
            "widths": [each.to_json() for each in self.widths],
            "tried": self.tried,
            "left_out": list(self.left_out),
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return self.table().html(f"{self._name}: what to change")


def figures_of(cost: NetworkCost, share: int = 1) -> Figures:
    """Return a network's figures, or one image's of so many."""
    return Figures(cost.cycles / share, cost.energy_pJ / share, cost.area_um2)


def signed_percent(share: float | None) -> str:
    """Return a change as a person reads it: ``-12.3 %``; ``0`` where nothing changes."""
    if share is None or abs(share) < 5e-5:
        return "0"
    return f"{share:+.1%}".replace("%", " %") if abs(share) >= 5e-4 else "~0"


def _table(advised: Iterable[Advised], gain: str) -> Table:
    columns = (
        Column("what to change", key="text", words=True),
        Column(gain, key="gain", show=lambda gain: f"{gain:.1%}".replace("%", " %")),
        *(
            Column(name, key=key, words=False, show=signed_percent, spare=spare)
            for name, key, spare in (
                ("cycles", "cycles_change", 0),
                ("energy", "energy_change", 0),
                ("EDP", "edp_change", 1),
                ("area", "area_change", 0),
            )
        ),
    )
    rows: list[tuple[Cell, ...]] = [
        (
            each.text + ("" if each.exact else " *"),
            each.gain,
            *(each.change(name) for name in ("cycles", "energy_pJ", "edp_J_cycle", "area_um2")),
        )
        for each in advised
    ]
    return Table(columns, tuple(rows))
