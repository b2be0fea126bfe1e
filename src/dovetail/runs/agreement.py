"""Evaluates a run of the reference again and compares what it counted with what we count, number by number.

The reference changed over the years, and its older outputs hold what it counted then. The changes that public outputs
show are known (`Change`): a run that differs in nothing else is said to agree but for them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.hardware.architecture import Architecture, Level, Storage
from dovetail.mapping.mapping import Mapping
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.runs.folder import Run
from dovetail.table import Table, headed
from dovetail.workload.problem import Problem

#: Energies are printed in pJ with two digits after the point, of tables with more; other counts exactly.
_PRINTED_PJ, _PRINTED_SHARE, _ROUNDING = 0.011, 2e-5, 1e-9
_ACCESSES = ("read", "write", "update")


class Change(StrEnum):
    """What the reference once counted otherwise than at its newest public commit, or never counts as we do.

    And what a folder may lack of what was put into a run.
    """

    FIRST_FILLS = "a fill before the first update of an output counted, where there is nothing to fill"
    BOTH_WAYS = "the network of a DRAM carried partial sums back and forth, as if it could not add them up"
    DEAREST = "every access of a storage cost what its dearest action costs, and all kinds shared lines"
    ACCESS = "for a table with none of read, write and update it estimates; here the table's dearest action stands"
    WINDOWS = "inputs of sliding windows were counted otherwise (until a fix of January 2025)"
    ORIGIN = "a level was filled once with what lies there from start to end, as all levels outside let it pass by"
    FLATTENED = "'flattened_rankIDs' of formats was passed over, which had to be spelt 'flattened-rankIDs'"
    TABLE = "the energies that lie beside it are of another table than it was evaluated with, and are left out"

    @property
    def said(self) -> str:
        """What it is in a sentence."""
        began = {Change.ACCESS: "the reference does it otherwise:", Change.TABLE: "the folder is not whole:"}
        return f"{began.get(self, 'the reference has changed: when this was written,')} {self}"

    @property
    def short(self) -> str:
        """What it is called in a table."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Difference:
    """One number that differs.

    Attributes:
        place: level or network.
        tensor: whose number; empty for totals.
        what: as the fields of `TensorCost` and `LinkCost` are called.
        theirs: what the reference printed.
        ours: what we count.
    """

    place: str
    tensor: str
    what: str
    theirs: float
    ours: float


@dataclass(frozen=True)
class Agreement:
    """How a run compares.

    Attributes:
        compared: how many numbers both have.
        differences: those that differ, levels outer to inner; empty where changes of the reference explain them all.
        changes: these changes, the fewest that do.
        cost: what we count.
    """

    compared: int
    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]
    cost: Cost

    @property
    def verdict(self) -> str:
        """``equal``, ``equal but for what changed``, or ``different``."""
        if self.changes:
            return "equal but for what changed"
        return "different" if self.differences else "equal"

    @property
    def cycles_equal(self) -> bool:
        """Whether the cycles are equal."""
        return all(difference.what != "cycles" for difference in self.differences)

    def table(self) -> Table:
        """Return a row per number that differs."""
        rows = tuple((each.place, each.tensor, each.what, each.theirs, each.ours) for each in self.differences)
        return Table(headed("level", "tensor", "count", "theirs", "ours"), rows)


def agreement(run: Run) -> Agreement:
    """Evaluate a run's mapping and compare.

    Raises:
        MappingError: a tile does not fit.
        InputError: its energy table lacks something.
    """
    own = run.energies or _nothing(run.architecture)
    now = evaluate(run.mapping, run.problem, run.architecture, own)
    pairs = list(_pairs(run, now))
    different = tuple(each for each in pairs if not _is_same(each))
    possible = _possible(run, own)
    for several in range(1, len(possible) + 1) if different else ():
        for changes in combinations(possible, several):
            if not any(not _is_same(each) for each in _as_then(run, now, pairs, changes)):
                return Agreement(len(pairs), (), changes, now)
    return Agreement(len(pairs), different, (), now)


def _possible(run: Run, energies: EnergyTable) -> list[Change]:
    """Return the changes that can have to do with a run."""
    formats = (form for level in run.architecture.levels for form in level.sparse.formats)
    impossible = {
        Change.FLATTENED: not any(rank.flattened for form in formats for rank in form.ranks),
        Change.TABLE: not _of_another_table(run, energies),
        Change.ORIGIN: _from_outermost(run.mapping, run.problem) == run.mapping,
    }
    return [change for change in Change if not impossible.get(change)]


def _of_another_table(run: Run, energies: EnergyTable) -> frozenset[str]:
    """Return the levels at which reading a line cost something else than the table says, and than its dearest does."""
    found: set[str] = set()
    for level, pJ in run.stats.line_pJ.items():
        known = energies.components[level].actions if level in energies.components else {}
        told = [known[action] for action in _ACCESSES if action in known]
        if told and all(abs(pJ - each) > _PRINTED_PJ for each in (known.get("read", max(told)), max(told))):
            found.add(level)
    return frozenset(found)


def _unflattened(architecture: Architecture) -> Architecture:
    """Return the design whose formats flatten no ranks."""
    levels = []
    for level in architecture.levels:
        formats = tuple(
            replace(form, ranks=tuple(replace(rank, flattened=()) for rank in form.ranks))
            for form in level.sparse.formats
        )
        levels.append(replace(level, sparse=replace(level.sparse, formats=formats)))
    return replace(architecture, levels=tuple(levels))


def _as_then(run: Run, now: Cost, pairs: list[Difference], changes: Collection[Change]) -> Iterator[Difference]:
    """Yield the numbers with ours as they would be without some changes of the reference."""
    own = run.energies or _nothing(run.architecture)
    energies = _dearest(own) if Change.DEAREST in changes else own
    design = _unflattened(run.architecture) if Change.FLATTENED in changes else run.architecture
    cost = evaluate(run.mapping, run.problem, design, energies)
    writes = _writes_only(energies)
    filled = evaluate(run.mapping, run.problem, _filling_first(design, run.problem), writes)
    unfilled = evaluate(run.mapping, run.problem, design, writes)
    brought = evaluate(_from_outermost(run.mapping, run.problem), run.problem, design, writes)
    windows = _windows(run.problem) if Change.WINDOWS in changes else frozenset()
    estimated = _other_actions(own) if Change.ACCESS in changes else frozenset()
    estimated |= _of_another_table(run, own) if Change.TABLE in changes else frozenset()
    for each in pairs:
        if each.what == "energy_pJ" and each.place in estimated:
            continue
        if each.tensor in windows and each.what not in ("partition", "tile", "instances"):
            continue
        ours = each.ours
        if each.what == "energy_pJ":
            ours = cost[each.place].tensors[each.tensor].energy_pJ
        elif each.what == "cycles":
            ours = cost.cycles
        if Change.ORIGIN in changes and each.what in ("fills", "energy_pJ"):
            ours += getattr(brought[each.place].tensors[each.tensor], each.what)
            ours -= getattr(unfilled[each.place].tensors[each.tensor], each.what)
        if each.what in ("fills", "energy_pJ"):
            more, less = (one[each.place].tensors[each.tensor] for one in (filled, unfilled))
            first = more.fills - less.fills if Change.FIRST_FILLS in changes else 0
            if each.what == "energy_pJ" and Change.DEAREST in changes:
                ours = _in_lines(cost, design, energies, each, first)
            elif first:
                ours += getattr(more, each.what) - getattr(less, each.what)
        if Change.FIRST_FILLS in changes and each.what == "cycles":
            ours = _cycles_filling(design, cost, filled)
        if Change.BOTH_WAYS in changes and each.what == "ingresses" and each.tensor in _outputs(run.problem):
            name = each.place.split(" <==> ")[0]
            outer = now[name].tensors.get(each.tensor)
            ours += outer.reads if outer is not None and "DRAM" in run.architecture.level(name).component else 0
        yield replace(each, ours=ours)


def _in_lines(cost: Cost, design: Architecture, energies: EnergyTable, each: Difference, first: float) -> float:
    """Return the energy at a level whose accesses all cost the same: they shared lines then, of whatever kind.

    Args:
        cost: what we count.
        design: the design.
        energies: the table with one price.
        each: the energy in question.
        first: first fills besides.
    """
    level, moved = design.level(each.place), cost[each.place].tensors[each.tensor]
    price = energies[each.place].actions.get("read")
    if price is None or not isinstance(level, Storage) or moved.zeros is not None:
        return moved.energy_pJ
    words = moved.reads + moved.updates + moved.fills + first
    return math.ceil(words / level.block) * price * moved.instances


def _pairs(run: Run, cost: Cost) -> Iterator[Difference]:
    """Yield every number that both have, outer to inner, totals first; energies only where the run left a table."""
    stats = run.stats
    yield Difference("all", "", "cycles", stats.cycles, cost.cycles)
    if stats.computes is not None:
        yield Difference("all", "", "computes", stats.computes, cost.computes)
    for (place, tensor, what), theirs in stats.counts.items():
        level = next((level for level in cost.levels if level.name == place), None)
        if level is not None and tensor in level.tensors and (run.energies is not None or what != "energy_pJ"):
            yield Difference(place, tensor, what, theirs, getattr(level.tensors[tensor], what))
    for (place, tensor, what), theirs in stats.traffic.items():
        if tensor in cost.networks.get(place, {}):
            yield Difference(place, tensor, what, theirs, getattr(cost.networks[place][tensor], what))


def _is_same(each: Difference) -> bool:
    if each.what == "energy_pJ":
        return abs(each.theirs - each.ours) <= _PRINTED_PJ + _PRINTED_SHARE * abs(each.ours)
    return abs(each.theirs - each.ours) <= _ROUNDING * abs(each.ours)


def _from_outermost(mapping: Mapping, problem: Problem) -> Mapping:
    """Return the mapping with all tensors kept by its outermost level."""
    outermost = replace(mapping.levels[0], keep=frozenset(tensor.name for tensor in problem.shape.tensors))
    return replace(mapping, levels=(outermost, *mapping.levels[1:]))


def _outputs(problem: Problem) -> frozenset[str]:
    return frozenset(tensor.name for tensor in problem.shape.tensors if tensor.is_output)


def _filling_first(architecture: Architecture, problem: Problem) -> Architecture:
    """Return the design with every output filled and read before its first update, too, at every storage."""
    levels: list[Level] = []
    for level in architecture.levels:
        if isinstance(level, Storage):
            temporal = replace(level.constraints.temporal, rmw_first_update=_outputs(problem))
            levels.append(replace(level, constraints=replace(level.constraints, temporal=temporal)))
        else:
            levels.append(level)
    return replace(architecture, levels=tuple(levels))


def _cycles_filling(architecture: Architecture, cost: Cost, filled: Cost) -> int:
    """Return the cycles when first fills, too, take of the bandwidth that a storage writes with."""
    steps = cost.levels[-1].cycles
    slowest = cost.cycles
    for level in architecture.storages:
        own, tensors = filled[level.name].tensors, cost[level.name].tensors
        reads = sum(one.reads for one in tensors.values())
        writes = sum(one.updates + own[name].fills for name, one in tensors.items())
        for words, bandwidth in (
            (reads, level.read_bandwidth),
            (writes, level.write_bandwidth),
            (reads + writes, level.shared_bandwidth),
        ):
            if bandwidth is not None:
                slowest = max(slowest, math.ceil(steps * max(1.0, words / steps / bandwidth)))
    return slowest


def _dearest(energies: EnergyTable) -> EnergyTable:
    """Return the table with every access at the price of the dearest."""
    components = {}
    for name, cost in energies.components.items():
        known = [cost.actions[action] for action in _ACCESSES if action in cost.actions]
        same = dict.fromkeys(_ACCESSES, max(known)) if known else {}
        components[name] = replace(cost, actions={**cost.actions, **same})
    return EnergyTable(components)


def _other_actions(energies: EnergyTable) -> frozenset[str]:
    """Return the components whose reads cost what an action costs that is none of a storage's (``access``, say)."""
    ours = {*_ACCESSES, "compute", "leak"}
    return frozenset(
        name
        for name, cost in energies.components.items()
        if any(cost.actions.get("read") == pJ for action, pJ in cost.actions.items() if action not in ours)
    )


def _writes_only(energies: EnergyTable) -> EnergyTable:
    """Return the table in which only writes cost something, as fills are."""
    return EnergyTable(
        {
            name: replace(cost, actions={action: pJ * (action == "write") for action, pJ in cost.actions.items()})
            for name, cost in energies.components.items()
        }
    )


def _windows(problem: Problem) -> frozenset[str]:
    """Return the tensors that are read through sliding windows: an axis of theirs runs over several dimensions."""
    bounds = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    return frozenset(
        tensor.name
        for tensor in problem.shape.tensors
        if any(sum(bounds[term.dimension] > 1 for term in axis) > 1 for axis in tensor.projection)
    )


def _nothing(architecture: Architecture) -> EnergyTable:
    """Return a table in which nothing costs anything, for runs that left none."""
    free = dict.fromkeys((*_ACCESSES, "leak", "compute"), 0.0)
    return EnergyTable({level.name: ComponentCost(free, 0.0, "no table") for level in architecture.levels})
