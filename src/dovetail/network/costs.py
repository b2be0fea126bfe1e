"""What a network costs on a design: its layers' costs, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Protocol, cast

from dovetail.columns import folded, terminal_width
from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.notes import design_notes
from dovetail.mapping.packing import products_at_once
from dovetail.mapping.widths import held, states_widths
from dovetail.model.cost import Cost
from dovetail.model.sparse.prices import price_notes
from dovetail.network.between import BETWEEN, Between, BetweenCost, Products, price_between
from dovetail.network.carried import Carried
from dovetail.network.resident import OPERANDS, RESULTS
from dovetail.table import Cell, Column, Table, headed
from dovetail.units import EDP_UNIT, edp_J_cycle, figures_text, four_digits, joules, joules_alike, percent, whole
from dovetail.workload.network import FreeOperation, Layer, Network, problem_key

#: Under what energy that belongs to no tensor is counted.
COMPUTE, LEAKAGE = "compute", "leakage"
#: Under what energy of what fused products take in and put out is counted.
CARRIED = "carried"


class HasTotals(Protocol):
    """A result that adds up with others."""

    @property
    def totals(self) -> Totals:
        """What it costs."""
        ...


@dataclass(frozen=True)
class Totals:
    """What layers that run one after another cost together; they add up with ``+`` and repeat with ``times``.

    Attributes:
        cycles: one layer after the other.
        energy_pJ: everything.
        computes: executions of loop bodies.
        outer_words: words read and written at the outermost level (DRAM).
        energy_by_component: pJ per level of the architecture.
        energy_by_tensor: pJ of moving each tensor, and of ``compute`` and ``leakage``.
    """

    cycles: int = 0
    energy_pJ: float = 0.0
    computes: int = 0
    outer_words: float = 0
    energy_by_component: Mapping[str, float] = field(default_factory=dict)
    energy_by_tensor: Mapping[str, float] = field(default_factory=dict)

    def __add__(self, other: Totals | HasTotals) -> Totals:
        """Return the totals of both; of a result, which has totals, too."""
        others = other if isinstance(other, Totals) else getattr(other, "totals", None)
        return sum_of([(self, 1), (others, 1)]) if isinstance(others, Totals) else NotImplemented

    def __radd__(self, other: int | HasTotals) -> Totals:
        """Let `sum` begin with its 0."""
        return self if other == 0 else self.__add__(cast(HasTotals, other))

    def __repr__(self) -> str:
        edp = f"{four_digits(self.edp_J_cycle)} {EDP_UNIT}"
        return f"<Totals {whole(self.cycles)} cycles, {joules(self.energy_pJ)}, {edp}>"

    def times(self, count: int) -> Totals:
        """Return the totals of ``count`` runs."""
        return sum_of([(self, count)])

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product in joules times cycles: of the sums, not the sum of products."""
        return edp_J_cycle(self.energy_pJ, self.cycles)


def sum_of(parts: Iterable[tuple[Totals, int]]) -> Totals:
    """Return what the parts, each so many times, cost together; sums do not depend on the parts' order."""
    listed = list(parts)

    def by(name: str) -> dict[str, float]:
        keys = dict.fromkeys(key for total, _ in listed for key in getattr(total, name))
        return {key: math.fsum(getattr(total, name).get(key, 0.0) * n for total, n in listed) for key in keys}

    return Totals(
        cycles=sum(total.cycles * n for total, n in listed),
        energy_pJ=math.fsum(total.energy_pJ * n for total, n in listed),
        computes=sum(total.computes * n for total, n in listed),
        outer_words=sum(total.outer_words * n for total, n in listed),
        energy_by_component=by("energy_by_component"),
        energy_by_tensor=by("energy_by_tensor"),
    )


def totals_of(cost: Cost) -> Totals:
    """Return one layer's cost as totals."""
    by_tensor: dict[str, float] = {}
    for level in cost.levels:
        for name, tensor in level.tensors.items():
            by_tensor[name] = by_tensor.get(name, 0.0) + tensor.energy_pJ
    by_tensor[COMPUTE] = math.fsum(level.compute_pJ for level in cost.levels)
    by_tensor[LEAKAGE] = math.fsum(level.leakage_pJ for level in cost.levels)
    return Totals(
        cycles=cost.cycles,
        energy_pJ=cost.energy_pJ,
        computes=cost.computes,
        outer_words=cost.levels[0].words_moved,
        energy_by_component=cost.energy_by_level,
        energy_by_tensor=by_tensor,
    )


def totals_of_carried(carried: Carried, outermost: str) -> Totals:
    """Return what is carried between memories as totals."""
    words = sum(carried.words.get(outermost, (0, 0)))
    return Totals(carried.cycles, carried.energy_pJ, 0, words, carried.energy_by_level, {CARRIED: carried.energy_pJ})


@dataclass(frozen=True)
class MappedLayer:
    """A layer with the best mapping found for it.

    Attributes:
        layer: the layer; ``layer.repeats`` says how often it runs.
        result: its search's result: mapping, cost of one run, certificate, front.
    """

    layer: Layer
    result: SearchResult

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    def __repr__(self) -> str:
        return f"<MappedLayer {self.name} x {self.layer.repeats}: {self.cost.text}>"

    @property
    def cost(self) -> Cost:
        """The cost of one run."""
        return self.result.cost

    @property
    def totals(self) -> Totals:
        """The cost of all its runs."""
        return totals_of(self.cost).times(self.layer.repeats)


def _words_at(mapped: MappedLayer, architecture: Architecture, level: Storage) -> tuple[float, float]:
    """Return the words of a level's own width that one run of a layer reads and writes there."""
    problem = mapped.layer.problem
    place = next(at for at, each in enumerate(architecture.levels) if each.name == level.name)
    rooms = held(problem, architecture)[place] if states_widths(problem) else None
    parts = {level.name, f"{level.name}_{OPERANDS}", f"{level.name}_{RESULTS}"}
    read = written = 0.0
    for cost in (each for each in mapped.cost.levels if each.name in parts):
        for at, tensor in enumerate(problem.shape.tensors):
            count = cost.tensors.get(tensor.name)
            if count is not None:
                width = 1.0 if rooms is None else float(rooms[at].words)
                read += count.reads * count.instances * width
                written += (count.fills + count.updates) * count.instances * width
    return read, written


def outer_words(mapped: MappedLayer, architecture: Architecture) -> float:
    """Return the words of the outermost level's own width that are read and written there in one run of a layer."""
    problem, outermost = mapped.layer.problem, mapped.cost.levels[0]
    if not states_widths(problem):
        return outermost.words_moved
    moved: float | Fraction = Fraction()
    for tensor, room in zip(problem.shape.tensors, held(problem, architecture)[0], strict=True):
        count = outermost.tensors.get(tensor.name)
        if count is None:  # it stays elsewhere
            continue
        again = 2 * count.reads * (room.sum_words - room.words)
        moved += ((count.reads + count.fills + count.updates) * room.words + again) * count.instances
    return float(moved)


def check_same(one: Objective, other: Objective) -> None:
    """Check that two answers may be compared; raises InputError where they do not minimise the same."""
    if one is not other:
        raise InputError(f"one minimises {one}, the other {other}; compare a number of theirs")


@dataclass(frozen=True)
class NetworkCost:
    """What one pass of a network costs on a design.

    Attributes:
        network: the network.
        architecture: the design.
        energies: what its components cost.
        objective: what each layer's mapping minimises.
        layers: every layer in the order they run; equal layers share one result.
        between: what lies between products, priced; None: it costs nothing.
        carried: what fused products take in and put out; None: none are fused.
        placed: operations between fused products, each with the level that holds what it works on.
    """

    network: Network
    architecture: Architecture
    energies: EnergyTable = field(repr=False)
    objective: Objective
    layers: tuple[MappedLayer, ...] = field(repr=False)
    between: BetweenCost | None = field(default=None, repr=False)
    carried: Carried | None = field(default=None, repr=False)
    placed: tuple[tuple[str, FreeOperation], ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """What to call it: which network on which design."""
        return f"{self.network.name} on {self.architecture.name}"

    def __add__(self, other: Totals | HasTotals) -> Totals:
        """Return what one pass of both costs, one after the other."""
        return self.totals + other

    def __radd__(self, other: int | HasTotals) -> Totals:
        """Let `sum` begin with its 0."""
        return self.totals.__radd__(other)

    def __lt__(self, other: NetworkCost) -> bool:
        """Return whether it is better than another one by what both minimise."""
        if not isinstance(other, NetworkCost):
            return NotImplemented
        check_same(self.objective, other.objective)
        return self.value < other.value

    @property
    def value(self) -> float:
        """What its layers minimise, of the whole pass."""
        return self.objective.value_of(self.energy_pJ, self.cycles)

    def __repr__(self) -> str:
        known = "proven" if self.exact else "not proven"
        numbers = figures_text(self.cycles, self.energy_pJ, self.utilization)
        return f"<NetworkCost {self.name}, batch {self.network.batch}: {numbers}, {known}>"

    @cached_property
    def products(self) -> Totals:
        """The layers added up, and what is carried for them."""
        layers = [(totals_of(each.cost), each.layer.repeats) for each in self.layers]
        if self.carried is not None:
            layers.append((totals_of_carried(self.carried, self.architecture.levels[0].name), 1))
        return sum_of(layers)

    @cached_property
    def totals(self) -> Totals:
        """Everything added up."""
        between = self.between
        if between is None:
            return self.products
        words = between.words_at(self.architecture.levels[0].name)
        by_component = between.energy_by_component
        parts = {
            BETWEEN: math.fsum(each.energy_pJ for each in between.passes),
            LEAKAGE: math.fsum(between.leakage_pJ.values()),
        }
        return self.products + Totals(between.cycles, between.energy_pJ, 0, words, by_component, parts)

    def with_between(self, rule: Between | None) -> NetworkCost:
        """Return the same network with what lies between its products priced; None: as costing nothing."""
        if rule is None:
            return replace(self, between=None)
        own, storages = self.architecture.vector_level(), {each.name: each for each in self.architecture.storages}
        words = {name: self._demand(storages[name]) for name in (own.name, *(name for name, _ in self.placed))}
        placed = [(storages[name], operation) for name, operation in self.placed]
        given = self.network.free, self.architecture, self.energies, rule, Products(self.products.cycles, words)
        return replace(self, between=price_between(*given, placed))

    def _demand(self, level: Storage) -> tuple[float, float]:
        """Return the words that all products, and what is carried for them, read and write at a storage."""
        demands = [(*_words_at(each, self.architecture, level), each.layer.repeats) for each in self.layers]
        carried = (0, 0) if self.carried is None else self.carried.words.get(level.name, (0, 0))
        read, written = (float(sum(each[way] * each[2] for each in demands) + carried[way]) for way in (0, 1))
        return read, written

    @property
    def between_share(self) -> tuple[float, float] | None:
        """Shares of energy and of cycles, 0 to 1, that what lies between products takes; None: it is not counted."""
        if self.between is None:
            return None
        return self.between.energy_pJ / (self.energy_pJ or 1.0), self.between.cycles / (self.cycles or 1)

    @property
    def cycles(self) -> int:
        """Cycles of one pass, layer after layer."""
        return self.totals.cycles

    @property
    def energy_pJ(self) -> float:
        """Energy of one pass."""
        return self.totals.energy_pJ

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product of one pass: sum of energies times sum of cycles."""
        return self.totals.edp_J_cycle

    @property
    def seconds(self) -> float:
        """Time of one pass."""
        return self.cycles * self.architecture.cycle_seconds

    @property
    def utilization(self) -> float:
        """0 to 1, of all compute units over all cycles, each as often as it does products at once."""
        slots = self.cycles * self.architecture.compute.instances
        if self.architecture.compute.products:
            for each in self.layers:
                more = products_at_once(each.layer.problem, self.architecture.compute) - 1
                slots += each.layer.repeats * each.cost.cycles * self.architecture.compute.instances * more
        return self.totals.computes / slots if slots else 0.0

    @property
    def products_at_once(self) -> int:
        """Most products of any layer that one compute unit does at once."""
        compute = self.architecture.compute
        return max((products_at_once(each.layer.problem, compute) for each in self.layers), default=1)

    @property
    def area_um2(self) -> float:
        """Area of the whole design; 0 when the energy table has none."""
        return self.layers[0].cost.area_um2 if self.layers else 0.0

    @property
    def dram_bytes(self) -> float:
        """Bytes read and written at the outermost level."""
        outermost = self.architecture.levels[0]
        assert isinstance(outermost, Storage)
        words = sum(each.layer.repeats * outer_words(each, self.architecture) for each in self.layers)
        if self.between is not None:
            words += self.between.words_at(outermost.name)
        if self.carried is not None:
            words += sum(self.carried.words.get(outermost.name, (0, 0)))
        return float(words * outermost.datawidth / 8)

    @property
    def exact(self) -> bool:
        """Whether every layer's search covered its whole mapspace."""
        return all(each.result.certificate.exact for each in self.layers)

    @cached_property
    def distinct(self) -> tuple[MappedLayer, ...]:
        """Each distinct layer once, its repeats put together, in order of first occurrence."""
        results = {problem_key(each.layer): each.result for each in self.layers}
        return tuple(MappedLayer(layer, results[problem_key(layer)]) for layer in self.network.distinct())

    def with_distinct(self, mapped: Iterable[MappedLayer]) -> NetworkCost:
        """Return the same network mapped otherwise: one layer with its result per distinct layer, in their order."""
        pairs = zip(self.distinct, mapped, strict=True)
        chosen = {problem_key(each.layer): other for each, other in pairs}
        layers = tuple(_as_mapped(each.layer, chosen[problem_key(each.layer)]) for each in self.layers)
        network = replace(self.network, layers=tuple(each.layer for each in layers))
        return replace(self, network=network, layers=layers)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What to know of the network's layers, and of how they and the design take to each other.

        How they were read on the design, where there were several ways, `dovetail.mapping.notes.design_notes`, and
        what leaving out cannot save there.
        """
        ways: dict[str, list[str]] = {}
        for each in self.layers:
            if each.layer.reading:
                ways.setdefault(each.layer.reading, []).append(each.name)
        read = (
            f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''} on {self.architecture.name}: {text}"
            for text, names in ways.items()
        )
        named = [replace(layer.problem, name=layer.name) for layer in self.network.layers]
        padding = self._padding_notes()
        design = *design_notes(self.architecture, named), *price_notes(self.architecture, self.energies)
        return (*self.network.notes, *read, *padding, *design, *self._between_notes())

    def _padding_notes(self) -> Iterator[str]:
        """Yield what padding adds to the whole network, if anything is padded."""
        padded = [each for each in self.network.layers if each.padded_from]
        if padded:
            macs = sum(each.macs for each in self.network.layers)
            more = sum((each.problem.macs - math.prod(each.padded_from)) * each.repeats for each in padded)
            yield (
                f"{self.name}: {len(padded)} of {len(self.network.layers)} layers are padded, {more:,} of {macs:,} "
                f"multiply-accumulates ({percent(more / macs)}) are padding; they count as work in utilization"
            )

    def _between_notes(self) -> Iterator[str]:
        if self.between is not None and self.between.unknown:
            names = ", ".join(self.between.unknown)
            yield f"{self.network.name}: its source does not say what {names} move, so they still cost nothing"

    def table(self) -> Table:
        """Return one row per distinct layer, and the totals; energies and cycles are of all repeats."""
        wide, distinct = self._wide(), self.distinct
        unit, energy = joules_alike([*(each.totals.energy_pJ for each in distinct), self.energy_pJ])
        rows = [
            (row, *_row(each), *(each.layer.problem.bits_text for _ in wide))
            for row, each in enumerate(distinct, start=1)
        ]
        runs, macs = sum(each.layer.repeats for each in distinct), sum(each.layer.macs for each in distinct)
        figures = self.cycles, self.energy_pJ, self.edp_J_cycle, self.utilization, self.totals.outer_words
        columns = (
            *headed("row", "layer", "runs"),
            Column("MMACs", show="{:,.3f}".format),
            Column("cycles", show=whole),
            Column("energy", unit, key="energy_pJ", show=energy),
            Column("EDP", EDP_UNIT, key="edp_J_cycle", show=four_digits),
            Column("util.", key="utilization", show=percent),
            Column("DRAM words", key="dram_words", show=whole, spare=1),
            *headed(*wide),
        )
        return Table(columns, tuple(rows), (None, "all layers", runs, macs / 1e6, *figures, *(None for _ in wide)))

    def _wide(self) -> tuple[str, ...]:
        """Return the heading of a column for widths; none where no layer states any."""
        return ("bits",) if any(states_widths(each.layer.problem) for each in self.layers) else ()

    def __str__(self) -> str:
        """Return a row per distinct layer, and the totals."""
        width = terminal_width()
        return "\n".join([*folded(self._title, width), "", self.table().text(width, rest=".table().to_frame()")])

    def _repr_html_(self) -> str:
        return self.table().html(self._title)

    @property
    def _title(self) -> str:
        return f"{self.name}, batch {self.network.batch}: all runs of each layer at its best {self.objective}"


def _as_mapped(layer: Layer, mapped: MappedLayer) -> MappedLayer:
    """Return a layer in the reading, and with the result, that an equal one was mapped with."""
    problem = replace(mapped.layer.problem, name=layer.problem.name)
    read = replace(layer, problem=problem, reading=mapped.layer.reading, words=mapped.layer.words)
    read = replace(read, padded_from=mapped.layer.padded_from)
    return MappedLayer(read, mapped.result)


def _row(each: MappedLayer) -> tuple[Cell, ...]:
    totals = each.totals
    figures = totals.cycles, totals.energy_pJ, totals.edp_J_cycle, each.cost.utilization, totals.outer_words
    return each.name, each.layer.repeats, each.layer.macs / 1e6, *figures
