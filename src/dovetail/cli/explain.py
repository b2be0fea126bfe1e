"""``dovetail explain``: what each constraint of a design costs a layer, and which part of the array lies idle."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from dovetail.cli import arguments
from dovetail.cli.given import given_of, layer_of
from dovetail.cli.notes import limited_notes, print_notes
from dovetail.cli.progress import progress
from dovetail.cli.tables import print_json, print_table, print_text
from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.explain import NOTHING, AxisUse, Explained, Lifted, cells, explain, star
from dovetail.mapper.neighbours import PassedOn, passed_on
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.zeros import DENSITIES, WithoutFeature, without_features
from dovetail.mapping.notes import design_notes
from dovetail.model.sparse.prices import price_notes
from dovetail.network.bottleneck import Diagnosis, diagnose
from dovetail.network.costs import MappedLayer
from dovetail.network.one_bit import OneBit, one_bit
from dovetail.network.plain import explanation, figures
from dovetail.network.readings import readings_on, search_readings
from dovetail.network.records import stored_search
from dovetail.quantities import FOUND
from dovetail.store import Store
from dovetail.table import Cell, Column, Table
from dovetail.units import percent
from dovetail.workload.network import Layer
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading

#: What is kept when it ends early.
kept = arguments.searches_kept


#: Command lines to begin with.
EXAMPLES = (
    "explain resnet18:fc --on simple_weight_stationary",
    "explain layer.yaml --on my_arch.yaml --objective energy",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    arguments.add_layer(parser)
    arguments.add_hardware(parser, beside_layer=True)
    arguments.add_objective(parser)
    arguments.add_limits(parser, "seconds per search")
    arguments.add_odd_sizes(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Explain the layer; exit code 2 when it has no mapping, after saying which constraint stands in the way."""
    problem, notes = layer_of(args)
    architecture, energies = arguments.load_hardware(given_of(args).design, args)
    arguments.check_settings(args)
    with progress() as report, Store.open() as store:
        odd = arguments.search_of(args)
        search = odd or stored_search(store)
        if readings_on(problem, architecture) != (Reading(problem),):
            reading = _best_reading(problem, architecture, energies, args, search)
            problem, notes = reading.problem, [*notes, f"{problem.name}: {reading.text}"]
        options: dict[str, Any] = {"time_limit": arguments.limit_of(args), "search": search}
        given = (problem, architecture, energies, args.objective)
        found = explain(*given, **options, progress=report)
        changes: Sequence[OneBit] = ()
        if found.result is not None:
            layer = MappedLayer(Layer(problem.name, problem), found.result)
            asked: dict[str, Any] = {"time_limit": arguments.limit_of(args), "store": store, "progress": report}
            (changes,) = one_bit([layer], architecture, energies, args.objective, search=odd, **asked)
        if found.result is not None and found.result.reading is not None:
            problem, notes = found.result.reading.problem, [*notes, f"{problem.name}: {found.result.reading.text}"]
        told = _diagnosis(problem, architecture, energies, found.result, store)
    passed = _passed_on(problem, architecture, energies, found.result)
    notes += [*design_notes(architecture, [problem]), *price_notes(architecture, energies)]
    notes += limited_notes(
        [] if found.result is None or odd else [found.result, *found.searched], arguments.limit_of(args)
    )
    print_notes(notes)
    zeros: tuple[WithoutFeature, ...] = ()
    if found.result is not None and architecture.is_sparse:
        zeros = without_features(found.result.mapping, problem, architecture, energies, args.objective)
    if args.json:
        fields = explanation(found, architecture, energies, told, passed) | _bits_fields(problem, changes)
        print_json("explanation", {**fields, **_zeros_fields(zeros), "notes": notes})
    else:
        _print(found, problem, architecture, told, passed)
        _print_bits(found, problem, changes)
        _print_zeros(found, zeros)
    if found.result is None:
        raise NoMappingError(found.reason)
    return 0


def _best_reading(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    args: argparse.Namespace,
    search: SearchFunction,
) -> Reading:
    """Return the reading whose optimum is the best; the first where none has a mapping, so that it is explained."""

    def of(way: Problem, seconds: Limit) -> SearchResult:
        return search(way, architecture, energies, args.objective, time_limit=seconds)

    try:
        return search_readings(problem, architecture, of, arguments.limit_of(args)).reading
    except NoMappingError:
        return readings_on(problem, architecture)[0]


def _diagnosis(
    problem: Problem, architecture: Architecture, energies: EnergyTable, result: SearchResult | None, store: Store
) -> Diagnosis | None:
    """Return what holds the layer back, as `dovetail compare` and the report say it; None where it has no mapping."""
    if result is None:
        return None
    return diagnose(MappedLayer(Layer(problem.name, problem), result), architecture, energies, store)


def _passed_on(
    problem: Problem, architecture: Architecture, energies: EnergyTable, result: SearchResult | None
) -> PassedOn | None:
    """Return what neighbours pass on in the optimum; None where that is nothing, or where there is no mapping."""
    return None if result is None else passed_on(result.mapping, result.cost, problem, architecture, energies)


def _bits_fields(problem: Problem, changes: Sequence[OneBit]) -> dict[str, Any]:
    """Return a layer's widths, and the optimum with each a bit less and a bit more; nothing where it states none."""
    if not problem.bits_text:
        return {}
    return {"bits": problem.bits_text, "one_bit": [one.to_json() for one in changes]}


def _zeros_fields(zeros: Sequence[WithoutFeature]) -> dict[str, Any]:
    """Return the best mapping without each thing that its design does about zeros; nothing where it does none."""
    listed = [
        {
            "level": one.level,
            "feature": one.feature,
            "reason": one.reason,
            **({} if one.cost is None else figures(one.cost)),
            **({} if one.pays_below is None else {"pays_below": one.pays_below}),
        }
        for one in zeros
    ]
    return {"zeros": listed} if listed else {}


def _print_zeros(found: Explained, zeros: Sequence[WithoutFeature]) -> None:
    """Print what the best mapping costs without each thing that its design does about zeros."""
    if not zeros or found.result is None:
        return
    best = found.result.cost
    rows: list[tuple[Cell, ...]] = []
    for one in zeros:
        if one.cost is not None:
            pairs = (
                (one.cost.cycles, best.cycles),
                (one.cost.energy_pJ, best.energy_pJ),
                (one.cost.edp_J_cycle, best.edp_J_cycle),
            )
            more = [100 * (without / now - 1) for without, now in pairs]
            rows.append((one.level or "all levels", one.feature, one.cost.cycles, one.cost.energy_pJ, *more))
    columns = (
        Column("level", words=True),
        Column("without", words=True),
        *FOUND[:2],
        *(Column(f"{what}|change", words=False, show="{:+.2f} %".format) for what in ("cycles", "energy", "EDP")),
    )
    print()
    print_table("the same mapping without each thing that is done about zeros", Table(columns, tuple(rows)))
    for one in zeros:
        if one.pays_below is not None:
            when = f"below a density of {one.pays_below:.2f}" if 0 < one.pays_below < 1 else "at every density"
            when = when if one.pays_below else f"not even at a density of {DENSITIES[0]:g}"
            place = one.level or "all levels"
            print_text(f"{one.feature} at {place} lowers this mapping's {found.objective} {when}", "  ")
        if one.cost is None:
            print_text(f"without {one.feature} at {one.level or 'all levels'}: {one.reason}", "  ")


def _print_bits(found: Explained, problem: Problem, changes: Sequence[OneBit]) -> None:
    """Print what one bit fewer and one more on each tensor come to."""
    if not changes or found.result is None:
        return
    best = found.objective.value_of(found.result.cost.energy_pJ, found.result.cost.cycles)
    rows: list[tuple[Cell, ...]] = []
    for one in changes:
        if one.result is not None:
            value = found.objective.value_of(one.result.cost.energy_pJ, one.result.cost.cycles)
            rows.append((one.tensor, f"{one.bits}{star(one.result)}", *cells(one.result), 100 * (value / best - 1)))
    columns = (
        Column("tensor", words=True),
        Column("bits", words=False),
        *FOUND,
        Column(f"{found.objective} change", words=False, show="{:+.2f} %".format),
    )
    print_table(f"with one bit fewer or more ({problem.bits_text})", Table(columns, tuple(rows)))
    for one in changes:
        if one.result is None:
            print_text(f"with {one.tensor}={one.bits}: {one.reason}", "  ")


def _print(
    found: Explained, problem: Problem, architecture: Architecture, told: Diagnosis | None, passed: PassedOn | None
) -> None:
    print(f"{problem.name} on {architecture.name}, best {found.objective}")
    if told is not None:
        print_text(f"bound by {told.held.label}, because {told.held.text}")
    print()
    shown = found.gaining()
    print_table("the optimum, and with each constraint lifted in turn", found.table(shown))
    if said := found.unproven(shown):
        print(said)
    without_effect = [entry for entry in found.lifted if entry not in shown and entry.proven]
    if without_effect:
        print_text(f"without effect when lifted alone: {'; '.join(map(_name, without_effect))}", "  ")
    for entry in found.lifted:
        if entry.note and not (entry in shown and entry.result is not None):
            print_text(f"without {_name(entry)}: {entry.note}", "  ")
    for axis in found.axes:
        print_text(_sentence(axis, found), "  ")
    if passed is not None and found.result is not None:
        print_text(passed.said(found.result.cost, found.result.certificate.exact), "  ")


def _name(entry: Lifted) -> str:
    return f"{entry.constraint} at {entry.level}"


def _sentence(axis: AxisUse, found: Explained) -> str:
    text = f"{axis.level}: {axis.used} of {axis.available} along {axis.axis} in use"
    if not axis.idle:
        return text
    freeing = found.frees(axis)
    gaining = [entry for entry in freeing if entry.gain >= NOTHING]
    if gaining:
        ways = "; ".join(f"{_name(entry)} ({percent(entry.gain)})" for entry in gaining)
        return f"{text}: the axis lies idle, and what lifting this alone would gain is: {ways}"
    if freeing:
        ways = "; ".join(map(_name, freeing))
        return f"{text}: the axis lies idle; it can be used once this is lifted, which gains nothing: {ways}"
    return f"{text}: the axis lies idle, and no constraint lifted alone makes the optimum use it"
