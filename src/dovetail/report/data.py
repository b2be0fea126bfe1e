"""What a report page shows, as plain data: the page's script draws from it, and readers download it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dovetail.advice.advice import Advice
from dovetail.hardware.architecture import Architecture, Level, Spatial, Storage
from dovetail.hardware.describe import constraints_text
from dovetail.mapping.mapping import LevelMapping, Loop
from dovetail.mapping.packing import packed
from dovetail.mapping.text import loop_nest_text
from dovetail.network.between import Between
from dovetail.network.bottleneck import Diagnosis, diagnose_networks
from dovetail.network.by_width import energy_by_width, unit_areas
from dovetail.network.costs import MappedLayer, NetworkCost, totals_of
from dovetail.network.findings import findings
from dovetail.network.jobs import engine_version
from dovetail.network.one_bit import OneBit, network_bits
from dovetail.network.optimum import Choice, LayerFront, network_front, network_optimum, own_best
from dovetail.network.results import fronts_of
from dovetail.network.roofline import roofline_json, roofs
from dovetail.report.zeros import layer_zeros, network_zeros
from dovetail.version import __version__
from dovetail.workload.describe import unknown_text

#: Points of a network's front that a page draws; more cannot be told apart.
DRAWN = 400
#: Partial sums kept at a time for a page's front: what is left out cannot be told apart either.
STATES = 500


@dataclass(frozen=True)
class KnownAccuracy:
    """A network's accuracy and whose it is.

    Attributes:
        top1_percent: 0 to 100.
        source: the weights or the run that reach it.
    """

    top1_percent: float
    source: str


def report_data(
    costs: Sequence[NetworkCost],
    *,
    title: str,
    accuracies: Mapping[str, KnownAccuracy] | None = None,
    sections: Sequence[Mapping[str, Any]] = (),
    diagnoses: Sequence[Sequence[Diagnosis]] | None = None,
    advice: Sequence[Advice] = (),
    changes: Sequence[Sequence[Sequence[OneBit]]] | None = None,
) -> dict[str, Any]:
    """Return everything that a page shows.

    Args:
        costs: mapped networks; those mapped with fronts also show the network optimum.
        title: the page's heading.
        accuracies: by network's name, where known.
        sections: more to show before the networks; see `dovetail.report.sections`.
        diagnoses: of each network's distinct layers, where they are known already.
        advice: what to change, of those of the mapped networks that it was asked of.
        changes: of each network's distinct layers, one bit fewer and more on each tensor; None: not asked for.
    """
    known = accuracies or {}
    told = diagnose_networks(costs) if diagnoses is None else diagnoses
    return {
        "title": title,
        "version": __version__,
        "engine": engine_version()[:12] if costs else "",
        "sections": [dict(section) for section in sections],
        "runs": [
            {
                **_run(cost, each, known.get(cost.network.name)),
                "advice": _advice(cost, advice),
                "by_width": _by_width(cost),
                "units_by_width": [asdict(each) for each in unit_areas(cost)],
                "one_bit": _one_bit(cost, bits),
            }
            for cost, each, bits in zip(costs, told, changes or [()] * len(costs), strict=True)
        ],
        "designs": list({cost.architecture.name: _design(cost) for cost in costs}.values()),
    }


def _run(cost: NetworkCost, diagnoses: Sequence[Diagnosis], accuracy: KnownAccuracy | None) -> dict[str, Any]:
    return {
        "network": cost.network.name,
        "design": cost.architecture.name,
        "batch": cost.network.batch,
        "objective": str(cost.objective),
        "source": cost.network.source,
        "exact": cost.exact,
        "macs": cost.network.macs,
        "cycles": cost.cycles,
        "ms": cost.seconds * 1e3,
        "energy_uJ": cost.energy_pJ * 1e-6,
        "edp": cost.edp_J_cycle,
        "utilization": cost.utilization,
        "dram_MB": cost.dram_bytes / 1e6,
        "between": None if cost.between_share is None else list(cost.between_share),
        "area_mm2": cost.area_um2 / 1e6,
        "unmapped": cost.network.unmapped_share,
        "notes": [*unknown_text(cost.network), *cost.network.notes],
        "accuracy": None if accuracy is None else accuracy.top1_percent,
        "accuracy_source": "" if accuracy is None else accuracy.source,
        "findings": [each.to_json() for each in findings(cost, diagnoses)],
        "layers": [_layer(row, each, cost) for row, each in enumerate(diagnoses, start=1)],
        "zeros": network_zeros(cost) if cost.architecture.is_sparse else [],
        "front": _front(cost),
    }


def _advice(cost: NetworkCost, advice: Sequence[Advice]) -> dict[str, Any] | None:
    def of(one: NetworkCost) -> tuple[Any, ...]:
        return one.network.name, one.network.batch, one.architecture, one.objective

    return next((each.to_json() for each in advice if of(each.cost) == of(cost)), None)


def _by_width(cost: NetworkCost) -> list[list[Any]]:
    """Return ``[tensor, bits, uJ]`` of one pass."""
    found = energy_by_width(cost)
    return [[name, bits, pJ * 1e-6] for name, row in found.items() for bits, pJ in row.items() if pJ]


def _one_bit(cost: NetworkCost, changes: Sequence[Sequence[OneBit]]) -> dict[str, Any] | None:
    """Return a network with a bit fewer and more on a tensor of all layers, and each layer's; None where none is."""
    if not any(changes):
        return None
    layers = [
        {"layer": each.name, **one.to_json(), "before": {"cycles": now.cycles, "energy_pJ": now.energy_pJ}}
        for each, row in zip(cost.distinct, changes, strict=True)
        for now in (each.cost,)
        for one in row
    ]
    return {"network": [each.to_json() for each in network_bits(cost, changes)], "layers": layers}


def _layer(row: int, told: Diagnosis, network: NetworkCost) -> dict[str, Any]:
    mapped, repeats, architecture = told.layer, told.layer.layer.repeats, network.architecture
    problem, cost, totals = mapped.layer.problem, mapped.cost, totals_of(mapped.cost)
    sizes = zip(problem.shape.dimensions, problem.bounds, strict=True)
    return {
        "row": row,
        "name": mapped.name,
        "kind": mapped.layer.kind,
        "reading": mapped.layer.reading,
        "runs": repeats,
        "sizes": " ".join(f"{name}{bound}" for name, bound in sizes if bound > 1),
        "macs": mapped.layer.macs,
        "cycles": cost.cycles * repeats,
        "energy_uJ": cost.energy_pJ * repeats * 1e-6,
        "edp": cost.edp_J_cycle * repeats * repeats,
        "utilization": cost.utilization,
        "dram_words": totals.outer_words * repeats,
        "compute_cycles": told.bounds.compute_cycles * repeats,
        "over_bound": told.cycles_over_bound,
        "over_compulsory": told.traffic_over_compulsory,
        "reuse_bound": told.bounds.reuse_words,
        "binding": told.held.label,
        "reason": told.held.text,
        "exact": mapped.result.certificate.exact,
        "bits": problem.bits_text,
        "mapspace": mapped.result.certificate.mapspace_size,
        "spots": _spots(mapped),
        "roofline": roofline_json(mapped.cost, architecture),
        "zeros": layer_zeros(mapped, network),
        "nest": _nest(mapped, architecture),
        "text": _reading(mapped) + loop_nest_text(mapped.result.mapping, architecture, problem),
    }


def _reading(mapped: MappedLayer) -> str:
    """Return a line that says what was read as what, above the loop nest that speaks these words."""
    return f"{mapped.layer.reading}\n" if mapped.layer.reading else ""


def _spots(mapped: MappedLayer) -> list[list[Any]]:
    """Return ``[component, what, uJ of all runs]`` for whatever takes energy."""
    spots: list[list[Any]] = []
    for level in mapped.cost.levels:
        parts = {name: tensor.energy_pJ for name, tensor in level.tensors.items()}
        for what, energy in {**parts, "leakage": level.leakage_pJ, "compute": level.compute_pJ}.items():
            if energy > 0:
                spots.append([level.name, what, energy * mapped.layer.repeats * 1e-6])
    return spots


def _nest(mapped: MappedLayer, architecture: Architecture) -> list[dict[str, Any]]:
    """Return the loop nest level by level, outer to inner, compute last."""
    nest = mapped.result.mapping.normalized()
    found = packed(architecture, mapped.layer.problem).levels[:-1]
    levels = [_nest_level(nest[level.name], level, mapped) for level in found]
    statement = loop_nest_text(mapped.result.mapping, architecture, mapped.layer.problem).splitlines()[-1].strip()
    compute = mapped.cost.levels[-1]
    levels.append({"name": compute.name, "kind": "compute", "instances": compute.instances, "statement": statement})
    return levels


def _nest_level(entry: LevelMapping, level: Level, mapped: MappedLayer) -> dict[str, Any]:
    cost = mapped.cost[level.name]
    if isinstance(level, Spatial):
        name = level.name.removeprefix("inter_").removesuffix("_spatial")
        loops = [*_loops(entry.spatial_x, "X"), *_loops(entry.spatial_y, "Y")]
        return {"name": name, "kind": "fan-out", "loops": loops, "of": level.fanout}
    assert isinstance(level, Storage)
    tensors = [name for name in (tensor.name for tensor in mapped.layer.problem.shape.tensors) if name in cost.tensors]
    return {
        "name": level.name,
        "kind": "storage",
        "instances": cost.instances,
        "capacity": cost.capacity_words,
        "loops": _loops(entry.temporal, ""),
        "keeps": [
            {
                "tensor": name,
                "tile": cost.tensors[name].tile,
                "reads": cost.tensors[name].reads,
                "writes": cost.tensors[name].fills + cost.tensors[name].updates,
                "energy_uJ": cost.tensors[name].energy_pJ * 1e-6,
            }
            for name in tensors
        ],
    }


def _loops(loops: Sequence[Loop], axis: str) -> list[dict[str, Any]]:
    return [{"dim": loop.dimension, "factor": loop.factor, "last": loop.residual, "axis": axis} for loop in loops]


def _front(cost: NetworkCost) -> dict[str, Any] | None:
    fronts = fronts_of(cost)
    if fronts is None:
        return None
    if cost.between is not None:
        if cost.between.rule is Between.OVERLAPPED:
            return None  # how long it takes depends on what is chosen: points do not add up
        fronts.append(LayerFront((cost.between.energy_pJ,), (cost.between.cycles,), 1))
    front = network_front(fronts, states=STATES)
    step = max(1, math.ceil(len(front) / DRAWN))
    places = sorted({*range(0, len(front), step), len(front) - 1})
    return {
        "points": [[front.energies_pJ[i] * 1e-6, int(front.cycles[i])] for i in places],
        "found": len(front),
        "complete": front.complete,
        "best": _choice(network_optimum(fronts)),
        "usual": _choice(own_best(fronts)),
    }


def _choice(choice: Choice) -> dict[str, float]:
    return {"energy_uJ": choice.energy_pJ * 1e-6, "cycles": choice.cycles, "edp": choice.edp_J_cycle}


def _design(cost: NetworkCost) -> dict[str, Any]:
    architecture = cost.architecture
    return {
        "name": architecture.name,
        "units": architecture.compute.instances * cost.products_at_once,
        "at_once": cost.products_at_once,
        "mhz": 1e-6 / architecture.cycle_seconds,
        "roofs": [{"level": roof.level, "words_per_cycle": roof.words_per_cycle} for roof in roofs(architecture)],
        "levels": [_design_level(level, cost) for level in architecture.levels],
    }


def _design_level(level: Level, cost: NetworkCost) -> list[Any]:
    """Return name, class, instances, words, energies as text, area of one, constraints, sources."""
    component = cost.energies.components.get(level.name)
    energies = "" if component is None else ", ".join(f"{k} {v:.4g}" for k, v in component.actions.items() if v)
    words = level.words if isinstance(level, Storage) else None
    return [
        level.name,
        f"{level.fanout_x} x {level.fanout_y}" if isinstance(level, Spatial) else level.component,
        level.instances,
        words,
        energies,
        0.0 if component is None else component.area_um2,
        constraints_text(level),
        "" if component is None else component.source,
    ]
