"""What each constraint of a design costs a layer, as a value that shows, saves and tabulates itself."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.api.designs import Design
from dovetail.json_text import json_document, save_json
from dovetail.mapper.explain import AxisUse, Explained, Lifted
from dovetail.mapper.neighbours import PassedOn, passed_on
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.network.bottleneck import Diagnosis, diagnose
from dovetail.network.costs import MappedLayer
from dovetail.network.plain import explanation
from dovetail.store import Store
from dovetail.table import Table
from dovetail.units import percent
from dovetail.workload.network import Layer
from dovetail.workload.problem import Problem

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Explanation:
    """A layer's optimum on a design, and what every constraint costs it.

    Attributes:
        design: the design.
        found: the optimum, and the optimum with each constraint lifted.
        notes: what else to know of it.

    >>> import dovetail
    >>> dovetail.explain("resnet18:fc", on="simple_weight_stationary")
    <Explanation fc on simple_weight_stationary: most is lost to 'spatial split 1' at inter_PE_spatial, edp 90.0 %>
    """

    design: Design
    found: Explained = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def problem(self) -> Problem:
        """The layer, in the words that the design speaks; padded, where that is better."""
        return self.found.shown

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.found.objective

    @property
    def result(self) -> SearchResult | None:
        """The optimum under all constraints; None when nothing satisfies them."""
        return self.found.result

    @property
    def reason(self) -> str:
        """Why there is no mapping."""
        return self.found.reason

    @property
    def lifted(self) -> tuple[Lifted, ...]:
        """One entry per constraint, dearest first."""
        return self.found.lifted

    @property
    def axes(self) -> tuple[AxisUse, ...]:
        """How far the optimum uses each axis of each fan-out."""
        return self.found.axes

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """What holds the optimum back; None where there is no mapping."""
        if self.result is None:
            return None
        layer = Layer(self.problem.name, self.problem)
        with Store.open() as store:
            return diagnose(MappedLayer(layer, self.result), self.design.architecture, self.design.energies, store)

    @cached_property
    def neighbours(self) -> PassedOn | None:
        """What neighbours pass on in the optimum, and its cost where they do not; None where they pass on nothing."""
        if self.result is None:
            return None
        own = self.design.architecture, self.design.energies
        return passed_on(self.result.mapping, self.result.cost, self.problem, *own)

    def table(self) -> Table:
        """Return a row for the optimum and one per constraint lifted, dearest first."""
        return self.found.table()

    def to_frame(self) -> pandas.DataFrame:
        """Return `table` as pandas' data frame; needs the extra ``pandas``."""
        return self.table().to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: an object as ``dovetail explain --json`` prints."""
        design = self.design
        fields = explanation(self.found, design.architecture, design.energies, self.diagnosis, self.neighbours)
        return json_document("explanation", {**fields, "notes": list(self.notes)})

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def __str__(self) -> str:
        """Return the optimum, and the optimum without each constraint that costs anything, as a table."""
        shown = self.found.gaining()
        stars = self.found.unproven(shown)
        return self.found.table(shown).titled(repr(self)[1:-1]) + (f"\n{stars}" if stars else "")

    def __repr__(self) -> str:
        return f"<Explanation {self.problem.name} on {self.design.name}: {self._dearest()}>"

    def _dearest(self) -> str:
        if self.result is None:
            return "no mapping"
        if not self.lifted or not self.lifted[0].gain:
            return "no constraint alone costs anything"
        most = self.lifted[0]
        return f"most is lost to '{most.constraint}' at {most.level}, {self.objective} {percent(most.gain)}"

    def _repr_html_(self) -> str:
        why = f"<p>{html.escape(self.reason)}</p>" if self.reason else ""
        return why + self.found.table(self.found.gaining()).html(repr(self)[1:-1])
