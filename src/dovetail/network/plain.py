"""Results as plain values, for JSON: the same key for the same thing in whatever command prints it (docs/json.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.plain import design_fields
from dovetail.mapper.explain import Explained, Lifted
from dovetail.mapper.neighbours import PassedOn, passed_on
from dovetail.mapper.result import FrontPoint, SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.plain import mapping_fields
from dovetail.model.cost import Cost, LevelCost
from dovetail.network.bottleneck import Diagnosis
from dovetail.network.by_width import ByWidth, energy_by_width, layer_energy_by_width, unit_areas
from dovetail.network.costs import MappedLayer, NetworkCost, totals_of
from dovetail.network.findings import findings
from dovetail.network.one_bit import OneBit, network_bits
from dovetail.network.roofline import roofline_json
from dovetail.network.sweep import Sweep
from dovetail.units import edp_J_cycle
from dovetail.workload.describe import unknown_text
from dovetail.workload.network import problem_key
from dovetail.workload.plain import layer_fields, network_fields, problem_fields
from dovetail.workload.problem import Problem

#: What a level, and a tensor at one, has on sparse designs only.
_SPARSE = ("computing", "zeros")


def figures(cost: Cost | NetworkCost) -> dict[str, Any]:
    """Return the four numbers that everything with a cost has."""
    return {
        "cycles": cost.cycles,
        "energy_pJ": cost.energy_pJ,
        "edp_J_cycle": cost.edp_J_cycle,
        "utilization": cost.utilization,
    }


def cost_fields(cost: Cost) -> dict[str, Any]:
    """Return what one run of one layer costs: totals, then every level, then the links between levels."""
    return {
        **_shares(cost),
        "computes": cost.computes,
        "area_um2": cost.area_um2,
        "operational_intensity": cost.operational_intensity,
        "levels": [_level_fields(level) for level in cost.levels],
        "links": {
            name: {tensor: asdict(link) for tensor, link in links.items()} for name, links in cost.networks.items()
        },
    }


def _shares(cost: Cost) -> dict[str, Any]:
    """Return the figures of one run, and where its energy and its words go."""
    one = totals_of(cost)
    return {
        **figures(cost),
        "dram_words": one.outer_words,
        "energy_by_level_pJ": dict(one.energy_by_component),
        "energy_by_tensor_pJ": dict(one.energy_by_tensor),
    }


def _level_fields(level: LevelCost) -> dict[str, Any]:
    fields = asdict(level)
    tensors = {name: _without_nothing(tensor) for name, tensor in fields.pop("tensors").items()}
    named = {"level": fields.pop("name"), "tensors": tensors}
    return {**named, **_without_nothing(fields), "energy_pJ": level.energy_pJ}


def _without_nothing(fields: dict[str, Any]) -> dict[str, Any]:
    """Return entries without what only sparse designs have, where there is nothing of it."""
    return {key: value for key, value in fields.items() if key not in _SPARSE or value is not None}


def search_fields(result: SearchResult, problem: Problem) -> dict[str, Any]:
    """Return how a search knows its answer, and the answer."""
    certificate, objective = result.certificate, result.objective
    return {
        "objective": str(objective),
        "exact": certificate.exact,
        "certificate": {
            **asdict(certificate),
            "value": objective.in_unit(certificate.value),
            "bound": objective.in_unit(certificate.bound),
            "unit": objective.unit,
            "gap": certificate.gap,
        },
        "mapping": mapping_fields(result.mapping, problem),
    }


def front_fields(result: SearchResult, problem: Problem) -> list[dict[str, Any]]:
    """Return the points of a layer's front, by rising energy, each with its mapping and the layer's reading for it."""
    return [_point_fields(point, problem) for point in result.front]


def _point_fields(point: FrontPoint, problem: Problem) -> dict[str, Any]:
    read = point.reading
    return {
        "energy_pJ": point.energy_pJ,
        "cycles": point.cycles,
        "edp_J_cycle": edp_J_cycle(point.energy_pJ, point.cycles),
        "reading": "" if read is None else read.text,
        **({} if read is None else {"problem": problem_fields(read.problem)}),
        "mapping": mapping_fields(point.mapping, problem if read is None else read.problem),
    }


def layer_result(
    mapped: MappedLayer, told: Diagnosis | None, architecture: Architecture, energies: EnergyTable
) -> dict[str, Any]:
    """Return the best mapping of one layer on a design: what it costs, how that is known, and what holds it back.

    Args:
        mapped: the layer with its result.
        told: what holds it back; None where there was no time to ask.
        architecture: the design.
        energies: what its components cost.
    """
    problem, result = mapped.layer.problem, mapped.result
    return {
        **problem_fields(problem),
        "reading": mapped.layer.reading,
        "design": architecture.name,
        **cost_fields(result.cost),
        **_by_width(layer_energy_by_width(result.cost, problem, architecture)),
        **search_fields(result, problem),
        "neighbours": _neighbours(passed_on(result.mapping, result.cost, problem, architecture, energies)),
        "front": front_fields(result, problem),
        "diagnosis": None if told is None else diagnosis_fields(told, architecture),
        "designs": [priced_design(architecture, energies)],
    }


def _neighbours(found: PassedOn | None) -> dict[str, Any] | None:
    return None if found is None else found.to_json()


def evaluation(
    problem: Problem, architecture: Architecture, energies: EnergyTable, mapping: Mapping, cost: Cost
) -> dict[str, Any]:
    """Return what a given mapping of a problem costs on a design."""
    return {
        **problem_fields(problem),
        "design": architecture.name,
        **cost_fields(cost),
        **_by_width(layer_energy_by_width(cost, problem, architecture)),
        "mapping": mapping_fields(mapping, problem),
        "designs": [priced_design(architecture, energies)],
    }


def diagnosis_fields(told: Diagnosis, architecture: Architecture) -> dict[str, Any]:
    """Return what holds a layer back, where its energy goes, and how far it is from what physics allows."""
    return {
        "binding": str(told.binding),
        "what": told.held.what,
        "reason": told.held.text,
        "compute_bound_cycles": told.bounds.compute_cycles,
        "cycles_over_bound": told.cycles_over_bound,
        "compulsory_words": told.bounds.compulsory_words,
        "reuse_bound_words": told.bounds.reuse_words,
        "traffic_over_compulsory": told.traffic_over_compulsory,
        "hot_spots": [
            {"level": spot.component, "what": spot.what, "energy_pJ": spot.energy_pJ, "share": spot.share}
            for spot in told.hot_spots
        ],
        "roofline": roofline_json(told.layer.cost, architecture),
    }


def _by_width(found: ByWidth) -> dict[str, Any]:
    """Return energy by width, where widths are stated."""
    return {"energy_by_width_pJ": found} if found else {}


def network_result(
    cost: NetworkCost,
    diagnoses: Sequence[Diagnosis] | None = None,
    changes: Sequence[Sequence[OneBit]] = (),
) -> dict[str, Any]:
    """Return what one pass of a network costs on a design, and every layer in the order they run, each of one run.

    Args:
        cost: the mapped network.
        diagnoses: of its distinct layers, in their order; None: without them, and without findings.
        changes: one bit fewer and more on each of these layers' tensors; empty: without.
    """
    rows, told = cost.network.rows(), {problem_key(each.layer.layer): each for each in diagnoses or ()}
    units = unit_areas(cost)
    bits = {problem_key(each.layer): row for each, row in zip(cost.distinct, changes, strict=bool(changes))}
    return {
        **network_fields(cost.network),
        "design": cost.architecture.name,
        "objective": str(cost.objective),
        **figures(cost),
        "seconds": cost.seconds,
        "exact": cost.exact,
        "area_um2": cost.area_um2,
        "dram_words": cost.totals.outer_words,
        "dram_bytes": cost.dram_bytes,
        "energy_by_level_pJ": dict(cost.totals.energy_by_component),
        "energy_by_tensor_pJ": dict(cost.totals.energy_by_tensor),
        **_by_width(energy_by_width(cost)),
        **({"units_by_width": [asdict(each) for each in units]} if units else {}),
        **({"one_bit": [each.to_json() for each in network_bits(cost, changes)]} if any(changes) else {}),
        **({} if cost.between is None else {"between": cost.between.to_json()}),
        **({} if diagnoses is None else {"findings": [each.to_json() for each in findings(cost, diagnoses)]}),
        "layers": [
            {
                **layer_fields(each.layer, rows[each.name]),
                **_shares(each.cost),
                **_by_width(layer_energy_by_width(each.cost, each.layer.problem, cost.architecture)),
                **_one_bit(bits.get(problem_key(each.layer))),
                **search_fields(each.result, each.layer.problem),
                **_told(told.get(problem_key(each.layer)), cost.architecture),
            }
            for each in cost.layers
        ],
        "notes": [*unknown_text(cost.network), *cost.notes],
    }


def _one_bit(changes: Sequence[OneBit] | None) -> dict[str, Any]:
    return {"one_bit": [each.to_json() for each in changes]} if changes else {}


def _told(told: Diagnosis | None, architecture: Architecture) -> dict[str, Any]:
    return {} if told is None else {"diagnosis": diagnosis_fields(told, architecture)}


def comparison_fields(
    costs: Sequence[NetworkCost],
    diagnoses: Sequence[Sequence[Diagnosis]],
    changes: Sequence[Sequence[Sequence[OneBit]]] | None = None,
) -> dict[str, Any]:
    """Return networks on designs, the designs, and what was minimised.

    Args:
        costs: mapped networks.
        diagnoses: of each one's distinct layers.
        changes: of these, one bit fewer and more on each tensor; None: without.
    """
    told = zip(costs, diagnoses, changes or [()] * len(costs), strict=True)
    designs = {cost.architecture.name: (cost.architecture, cost.energies) for cost in costs}
    return {
        **({"objective": str(costs[0].objective)} if costs else {}),
        "results": [network_result(*each) for each in told],
        "designs": [priced_design(*design) for design in designs.values()],
    }


def explanation(
    found: Explained,
    architecture: Architecture,
    energies: EnergyTable,
    told: Diagnosis | None,
    passed: PassedOn | None,
) -> dict[str, Any]:
    """Return what every constraint of a design costs a layer.

    Args:
        found: the optimum, and the optimum with each constraint lifted.
        architecture: the design.
        energies: what its components cost.
        told: what holds the optimum back; None where there is no mapping.
        passed: what neighbours pass on in the optimum; None where they pass on nothing.
    """
    best = {} if found.result is None else _answer(found.result, found.shown)
    return {
        **problem_fields(found.shown),
        "design": architecture.name,
        "objective": str(found.objective),
        **best,
        "infeasible": found.reason,
        "diagnosis": None if told is None else diagnosis_fields(told, architecture),
        "neighbours": _neighbours(passed),
        "lifted": [_lifted(entry, found) for entry in found.lifted],
        "axes": [
            {
                "level": axis.level,
                "axis": axis.axis,
                "used": axis.used,
                "available": axis.available,
                "idle_because_of": [f"{entry.level}: {entry.constraint}" for entry in found.frees(axis)],
            }
            for axis in found.axes
        ],
        "designs": [priced_design(architecture, energies)],
    }


def _answer(result: SearchResult, problem: Problem) -> dict[str, Any]:
    return {**figures(result.cost), **search_fields(result, problem)}


def _lifted(entry: Lifted, found: Explained) -> dict[str, Any]:
    said = {"level": entry.level, "constraint": entry.constraint, "gain": entry.gain, "note": entry.note}
    if entry.result is None:
        return said
    problem = found.problem_of(entry.result)
    padded = {} if problem == found.shown else {"problem": problem_fields(problem)}
    return {**said, **_answer(entry.result, problem), **padded}


def sweep_fields(sweep: Sweep) -> dict[str, Any]:
    """Return how a layer's cost follows one of its dimensions; ``sizes`` are those of the layer as it was given."""
    return {
        **problem_fields(sweep.problem),
        "design": sweep.architecture.name,
        "objective": str(sweep.objective),
        "dimension": sweep.dimension,
        "liked": list(sweep.liked),
        "points": [{key: cell for key, cell in row.items() if key != "dimension"} for row in sweep.rows().records()],
        "notes": list(sweep.notes),
    }


def priced_design(architecture: Architecture, energies: EnergyTable) -> dict[str, Any]:
    """Return a design with what an action of each level's component costs."""
    fields = design_fields(architecture)
    for level in fields["levels"]:
        component = energies.components.get(level["level"])
        if component is not None:
            level["energy_pJ"] = dict(component.actions)
            level["area_um2"], level["energy_source"] = component.area_um2, component.source
    return fields
