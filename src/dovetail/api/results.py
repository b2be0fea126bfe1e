"""What searches return to a person: printed short, shown in notebooks, as data frames, as JSON, added up, compared."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dovetail.api.designs import Design
from dovetail.api.given import kind_of
from dovetail.columns import folded, terminal_width
from dovetail.errors import InputError, did_you_mean
from dovetail.files import write_text
from dovetail.json_text import json_document, save_json
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapping.files import write_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.text import loop_nest_text
from dovetail.model.cost import Cost
from dovetail.network.bottleneck import Diagnosis, diagnose, diagnose_networks
from dovetail.network.costs import HasTotals, MappedLayer, NetworkCost, Totals, check_same, totals_of
from dovetail.network.plain import comparison_fields, evaluation, layer_result
from dovetail.network.rows import layers_table
from dovetail.store import Store
from dovetail.table import Cell, Column, Table, headed
from dovetail.units import figures_text, four_digits, joules, percent, whole
from dovetail.workload.network import Layer
from dovetail.workload.problem import Problem

if TYPE_CHECKING:
    import pandas

    from dovetail.advice.advice import Advice
    from dovetail.api.figures import Figure


@dataclass(frozen=True, repr=False)
class Evaluated:
    """What one mapping of one layer costs on a design.

    Attributes:
        design: the design.
        problem: the layer, in the words that the mapping is in.
        mapping: its loops, and the tensors that each level keeps.
        cost: totals, and every level.
        broken: constraints of the design that the mapping breaks, a sentence each.
        notes: what else to know of it.
    """

    design: Design
    problem: Problem
    mapping: Mapping
    cost: Cost
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cycles(self) -> int:
        """Cycles of one run."""
        return self.cost.cycles

    @property
    def energy_pJ(self) -> float:
        """Energy of one run."""
        return self.cost.energy_pJ

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product of one run."""
        return self.cost.edp_J_cycle

    @property
    def utilization(self) -> float:
        """0 to 1, of all compute units over all cycles."""
        return self.cost.utilization

    @property
    def seconds(self) -> float:
        """Time of one run."""
        return self.cycles * self.design.architecture.cycle_seconds

    @property
    def totals(self) -> Totals:
        """One run as totals, which add up."""
        return totals_of(self.cost)

    def __add__(self, other: Totals | HasTotals) -> Totals:
        """Return what both cost, one after the other."""
        return self.totals + other

    def __radd__(self, other: int | HasTotals) -> Totals:
        """Let `sum` begin with its 0."""
        return self.totals.__radd__(other)

    def save_mapping(self, path: str | Path) -> None:
        """Write the mapping as Timeloop's mapping YAML.

        Raises:
            WriteError: it cannot be written there.
        """
        write_mapping(Path(path), self.mapping, self.design.architecture, self.problem)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: the object that ``dovetail evaluate --json`` prints."""
        design = self.design
        fields = evaluation(self.problem, design.architecture, design.energies, self.mapping, self.cost)
        return json_document(
            "evaluation", {**fields, "broken_constraints": list(self.broken), "notes": list(self.notes)}
        )

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def to_frame(self) -> pandas.DataFrame:
        """Return a row per level and tensor: words per instance, pJ over all; needs the extra ``pandas``."""
        return self.cost.table().to_frame()

    def __str__(self) -> str:
        """Return the totals, how a search knows them, and the loop nest."""
        nest = loop_nest_text(self.mapping, self.design.architecture, self.problem)
        width = terminal_width()
        return "\n".join([*(line for said in self._head() for line in folded(said, width)), "", nest]).rstrip()

    def _head(self) -> tuple[str, ...]:
        return f"{self.problem.name} on {self.design.name}", self._numbers()

    def _numbers(self) -> str:
        return figures_text(self.cycles, self.energy_pJ, self.utilization)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.problem.name} on {self.design.name}: {self._numbers()}>"

    def _repr_html_(self) -> str:
        nest = loop_nest_text(self.mapping, self.design.architecture, self.problem)
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{self.cost._repr_html_()}<pre>{html.escape(nest)}</pre>"


@dataclass(frozen=True, repr=False)
class Best(Evaluated):
    """The best mapping of one layer on a design, and how that is known.

    Of two that minimise the same, the lesser is the better: ``min(a, b)``, ``sorted(results)``.

    Attributes:
        layer: the layer, in the reading that was best for the design.
        result: what the search found: mapping, cost, certificate, front.

    >>> import dovetail
    >>> best = dovetail.map("alexnet:features.6", on="eyeriss_like")
    >>> best
    <Best features.6 on eyeriss_like: 718,848 cycles, 462.4 uJ, 332.4 J x cycle, 92.9 % busy, proven>
    """

    layer: Layer = field(kw_only=True)
    result: SearchResult = field(kw_only=True)

    @property
    def objective(self) -> Objective:
        """What it minimises."""
        return self.result.objective

    @property
    def certificate(self) -> Certificate:
        """How the answer is known: the space, its bound, what was examined."""
        return self.result.certificate

    @property
    def exact(self) -> bool:
        """Whether it is proven that nothing better exists."""
        return self.certificate.exact

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """Every mapping that no other beats in both energy and cycles, where ``front=True`` asked for them."""
        return self.result.front

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What holds the layer back, where its energy goes, and how far it is from what physics allows."""
        with Store.open() as store:
            mapped = MappedLayer(self.layer, self.result)
            return diagnose(mapped, self.design.architecture, self.design.energies, store)

    def __lt__(self, other: Best) -> bool:
        """Return whether it is better than another one by what both minimise."""
        if not isinstance(other, Best):
            return NotImplemented
        check_same(self.objective, other.objective)
        return self.certificate.value < other.certificate.value

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values: the object that ``dovetail map --json`` prints."""
        design = self.design
        mapped = MappedLayer(self.layer, self.result)
        fields = layer_result(mapped, self.diagnosis, design.architecture, design.energies)
        return json_document("layer", {**fields, "notes": list(self.notes)})

    def _head(self) -> tuple[str, ...]:
        return *super()._head(), self.certificate.known

    def _numbers(self) -> str:
        return f"{super()._numbers()}, {self.certificate.brief}"


@dataclass(frozen=True, repr=False)
class Comparison(Sequence[NetworkCost]):
    """What networks cost on designs, every layer at its best mapping: a sequence of `NetworkCost`.

    ``comparison[0]`` is the first; ``comparison["resnet18", "eyeriss_like"]`` the one of that network on that design.
    ``comparison[0:1]`` is a comparison of the first alone, with its frame, its JSON and its page.
    Two add up to one of all their results, each result's ``+`` gives totals, ``sum(comparison)`` those of all.

    Attributes:
        costs: one per network and design, in that order.

    >>> import dovetail
    >>> cost = dovetail.compare("alexnet", on=["eyeriss_like", "simple_weight_stationary"])
    >>> [each.architecture.name for each in cost]
    ['eyeriss_like', 'simple_weight_stationary']
    >>> cost.best.architecture.name
    'eyeriss_like'
    """

    costs: tuple[NetworkCost, ...]

    @overload
    def __getitem__(self, which: int | str | tuple[str, str]) -> NetworkCost: ...
    @overload
    def __getitem__(self, which: slice) -> Comparison: ...
    def __getitem__(self, which: int | str | tuple[str, str] | slice) -> NetworkCost | Comparison:
        """Return a result by its place, its design's or network's name where that is enough, or both names."""
        if isinstance(which, slice):
            return Comparison(self.costs[which])
        if isinstance(which, int):
            return self.costs[which]
        wanted = {which} if isinstance(which, str) else set(which)
        found = [cost for cost in self.costs if wanted <= {cost.network.name, cost.architecture.name}]
        if len(found) == 1:
            return found[0]
        names = (name for cost in self.costs for name in (cost.network.name, cost.architecture.name, cost.name))
        known = list(dict.fromkeys(names))
        shown = " on ".join([which] if isinstance(which, str) else which)
        raise InputError(
            f"{len(found)} results are called '{shown}': name network and design"
            if found
            else f"no result is called '{shown}'{did_you_mean(shown, known)}"
        )

    def __len__(self) -> int:
        return len(self.costs)

    def __iter__(self) -> Iterator[NetworkCost]:
        return iter(self.costs)

    def __add__(self, other: Comparison) -> Comparison:
        """Return one comparison of both's results."""
        return Comparison((*self.costs, *other.costs))

    @property
    def best(self) -> NetworkCost:
        """The result that is least in what its layers minimise: EDP, unless something else was asked for."""
        return min(self.costs, key=lambda cost: cost.value)

    @property
    def exact(self) -> bool:
        """Whether every layer of every result is proven to be at its best."""
        return all(cost.exact for cost in self.costs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of networks, designs, and how they take to each other; each once."""
        return tuple(dict.fromkeys(note for cost in self.costs for note in cost.notes))

    @cached_property
    def diagnoses(self) -> tuple[tuple[Diagnosis, ...], ...]:
        """Per result, what holds each of its distinct layers back."""
        with Store.open() as store:
            return diagnose_networks(self.costs, store)

    def totals(self) -> Table:
        """Return a row per result: cycles, energy, EDP of one pass, repetitions counted."""
        heads = ("network", "design", "cycles", "energy_pJ", "edp_J_cycle", "utilization", "dram_bytes", "exact")
        return Table(headed(*heads), tuple(map(_totals_row, self.costs)))

    def layers(self) -> Table:
        """Return a row per layer in the order they run; numbers are of one run, ``repeats`` says how many there are."""
        return layers_table(self.costs, self.diagnoses)

    def to_frame(self, *, totals: bool = False) -> pandas.DataFrame:
        """Return a row per layer, or with ``totals=True`` per result; needs the extra ``pandas``."""
        return (self.totals() if totals else self.layers()).to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values: the object that ``dovetail compare --json`` prints."""
        fields = comparison_fields(self.costs, self.diagnoses)
        return json_document("comparison", {**fields, "notes": list(self.notes)})

    def save(self, path: str | Path) -> None:
        """Write it as JSON, for `dovetail.load`."""
        save_json(path, self.to_dict())

    def to_csv(self, path: str | Path) -> None:
        """Write a row per layer as CSV, as ``dovetail compare --csv`` does."""
        write_text(Path(path), self.layers().csv())

    def report(self, path: str | Path, *, title: str = "", advice: Advice | Sequence[Advice] = ()) -> Path:
        """Write one HTML page that opens from disk; returns its path.

        Args:
            path: the file.
            title: its heading; empty: made from the networks and designs.
            advice: what to change, from `dovetail.advise` of these networks on these designs, one or several.

        Raises:
            WriteError: it cannot be written there.
            InputError: the advice is none.
        """
        from dovetail.advice.advice import Advice
        from dovetail.report.page import report_page

        if isinstance(advice, Advice):
            advice = [advice]
        elif not isinstance(advice, Sequence) or not all(isinstance(each, Advice) for each in advice):
            raise InputError(f"advice is what `dovetail.advise` returns, found {kind_of(advice)}")

        write_text(Path(path), report_page(self.costs, title=title, diagnoses=self.diagnoses, advice=advice))
        return Path(path)

    def plot(self, kind: str = "") -> Figure:
        """Return a picture: shown in notebooks, written by ``.save("figure.svg")`` (or ``.png``, the extra ``png``).

        Args:
            kind: ``energy`` (per result, by level), ``layers`` (of one result, layer by layer) or ``roofline`` (of one
                result); by default ``layers`` where there is but one result, else ``energy``.
        """
        from dovetail.api.figures import figure_of

        return figure_of(self.costs, kind)

    def __str__(self) -> str:
        """Return the totals as a table."""
        return str(Table(_SHOWN, tuple(map(_shown, self.costs))))

    def __repr__(self) -> str:
        networks, designs = _names(cost.network.name for cost in self), _names(cost.architecture.name for cost in self)
        return f"<Comparison of {networks} on {designs}: {len(self)} result{'' if len(self) == 1 else 's'}>"

    def _repr_html_(self) -> str:
        return Table(_SHOWN, tuple(map(_shown, self.costs))).html()


_SHOWN = (
    *headed("network", "design"),
    Column("cycles", show=whole),
    Column("energy", show=joules),
    Column("EDP J x cycle", show=four_digits),
    Column("busy", show=percent),
    Column("proven", words=False),
)


def _shown(cost: NetworkCost) -> tuple[Cell, ...]:
    names = (cost.network.name, cost.architecture.name)
    return (*names, cost.cycles, cost.energy_pJ, cost.edp_J_cycle, cost.utilization, cost.exact)


def _totals_row(cost: NetworkCost) -> tuple[Cell, ...]:
    names = (cost.network.name, cost.architecture.name)
    return (
        *names, cost.cycles, cost.energy_pJ, cost.edp_J_cycle, cost.utilization, cost.dram_bytes, cost.exact,
    )  # fmt: skip


def _names(names: Iterable[str]) -> str:
    """Return different names, the first three of many."""
    known = list(dict.fromkeys(names))
    return ", ".join(known if len(known) <= 3 else [*known[:3], f"{len(known) - 3} more"]) or "nothing"
