"""What a person should know about a network on a design, in plain sentences, the weightiest first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.mapper.binding import Binding
from dovetail.network.bottleneck import Diagnosis, diagnose_network
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.optimum import network_optimum, own_best
from dovetail.network.results import fronts_of

#: Below this share of a network's cycles or energy a thing is not worth a sentence.
WORTH = 0.02
#: A layer that keeps less than this share of the compute units busy leaves them idle.
IDLE = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes:
        kind: what it is about: ``idle``, ``bandwidth``, ``energy``, ``layer``, ``bound``, ``optimum``, ``unmapped``,
            ``reading``, ``between``.
        text: one sentence.
        weight: 0 to 1: the share of cycles or energy that it concerns.
        layers: names of the layers concerned.
    """

    kind: str
    text: str
    weight: float
    layers: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"kind": self.kind, "text": self.text, "weight": self.weight, "layers": list(self.layers)}


def findings(cost: NetworkCost, diagnoses: Sequence[Diagnosis] | None = None) -> tuple[Finding, ...]:
    """Return what is worth knowing about a network on a design, the weightiest first.

    Args:
        cost: the mapped network.
        diagnoses: of its distinct layers, when they are known already.
    """
    known = diagnose_network(cost) if diagnoses is None else diagnoses
    found = [
        *_unmapped(cost),
        *_never_used(cost, known),
        *_idle(cost, known),
        *_bandwidth(cost, known),
        *_energy(cost),
        *_largest(cost),
        *_bounds(cost, known),
        *_optimum(cost),
        *_readings(cost),
        *_between(cost),
    ]
    return tuple(sorted((each for each in found if each.weight >= WORTH), key=lambda each: -each.weight))


def _runs(diagnoses: Iterable[Diagnosis]) -> int:
    return sum(each.layer.layer.repeats for each in diagnoses)


def _layers(members: Sequence[Diagnosis], known: Sequence[Diagnosis], verb: str) -> str:
    """Return ``9 of 20 layers leave``, ``1 of 8 layers leaves`` or ``All 8 layers leave``."""
    runs, whole = _runs(members), _runs(known)
    if runs == whole:
        return f"All {whole} layers {verb}" if whole > 1 else f"The layer {verb}s"
    return f"{runs} of {whole} layers {verb}{'s' if runs == 1 else ''}"


def _share_of_cycles(cost: NetworkCost, diagnoses: Iterable[Diagnosis]) -> float:
    return sum(each.layer.totals.cycles for each in diagnoses) / cost.cycles


def _names(diagnoses: Iterable[Diagnosis]) -> tuple[str, ...]:
    return tuple(each.layer.name for each in diagnoses)


def _never_used(cost: NetworkCost, known: Sequence[Diagnosis]) -> list[Finding]:
    """Find the level whose constraints keep most of the compute units from every layer."""
    if not _never(cost, known):
        return []
    units, best = cost.architecture.parallelism * cost.products_at_once, max(each.held.units for each in known)
    text = (
        f"No layer can use more than {best} of the {units} compute units ({_percent(best / units)}): "
        f"{known[0].held.common}"
    )
    return [Finding("idle", text, 1.0, _names(known))]


def _never(cost: NetworkCost, known: Sequence[Diagnosis]) -> bool:
    """Tell whether the constraints of one level keep more than half of the compute units from every layer."""
    reasons = {(each.binding, each.held.common) for each in known}
    best = max((each.held.units for each in known), default=0)
    units = cost.architecture.parallelism * cost.products_at_once
    return len(reasons) == 1 and known[0].binding is Binding.CONSTRAINT and 0 < best < IDLE * units


def _idle(cost: NetworkCost, known: Sequence[Diagnosis]) -> list[Finding]:
    """Group layers that leave more than half of the compute units idle by what holds them back."""
    if _never(cost, known):
        return []
    groups: dict[str, list[Diagnosis]] = {}
    for each in known:
        if each.layer.cost.utilization < IDLE and each.binding not in (Binding.BANDWIDTH, Binding.COMPUTE):
            groups.setdefault(each.held.common, []).append(each)
    return [
        Finding(
            "idle",
            f"{_layers(members, known, 'leave')} more than half of the compute units idle: {common}",
            _share_of_cycles(cost, members),
            _names(members),
        )
        for common, members in groups.items()
    ]


def _bandwidth(cost: NetworkCost, known: Sequence[Diagnosis]) -> list[Finding]:
    """Group layers by the level whose bandwidth they wait for, or would wait for with more units at work."""
    groups: dict[tuple[str, bool], list[Diagnosis]] = {}
    for each in known:
        if each.binding is Binding.BANDWIDTH:
            waits = each.layer.cost.cycles > each.layer.cost.levels[-1].cycles
            groups.setdefault((each.held.what, waits), []).append(each)
    found = []
    for (level, waits), members in groups.items():
        share = _share_of_cycles(cost, members)
        if waits:
            text = f"{_layers(members, known, 'wait')} for {level}'s bandwidth, {_percent(share)} of all cycles"
        else:
            text = (
                f"{_runs(members)} of {_runs(known)} layers would wait for {level}'s bandwidth with more units at work"
            )
        found.append(Finding("bandwidth", text, share, _names(members)))
    return found


def _energy(cost: NetworkCost) -> list[Finding]:
    spots: dict[tuple[str, str], float] = {}
    for each in cost.distinct:
        for level in each.cost.levels:
            parts = {name: tensor.energy_pJ for name, tensor in level.tensors.items()}
            for what, energy in {**parts, "leakage": level.leakage_pJ, "compute": level.compute_pJ}.items():
                spots[level.name, what] = spots.get((level.name, what), 0.0) + energy * each.layer.repeats
    (level_name, what), energy = max(spots.items(), key=lambda item: (item[1], item[0]))
    share = energy / cost.energy_pJ
    doing = {"leakage": "leaks from", "compute": "goes into computing in"}.get(what, f"goes into moving {what} at")
    return [Finding("energy", f"{_percent(share)} of the energy {doing} {level_name}", share)]


def _largest(cost: NetworkCost) -> list[Finding]:
    if len(cost.distinct) < 3:
        return []
    by_energy = max(cost.distinct, key=lambda each: each.totals.energy_pJ)
    by_cycles = max(cost.distinct, key=lambda each: each.totals.cycles)
    energy, cycles = by_energy.totals.energy_pJ / cost.energy_pJ, by_cycles.totals.cycles / cost.cycles
    if by_energy is by_cycles:
        text = f"{by_energy.name} takes {_percent(energy)} of the energy and {_percent(cycles)} of the cycles"
        return [Finding("layer", text, max(energy, cycles), (by_energy.name,))]
    text = f"{by_energy.name} takes {_percent(energy)} of the energy, {by_cycles.name} {_percent(cycles)} of the cycles"
    return [Finding("layer", text, max(energy, cycles), (by_energy.name, by_cycles.name))]


def _bounds(cost: NetworkCost, known: Sequence[Diagnosis]) -> list[Finding]:
    least = sum(each.bounds.compute_cycles * each.layer.layer.repeats for each in known)
    words = sum(each.bounds.compulsory_words * each.layer.layer.repeats for each in known)
    slower, more = cost.products.cycles / least, cost.products.outer_words / words if words else 1.0
    outermost = cost.architecture.levels[0].name
    return [
        Finding("bound", f"It takes {slower:.3g} x the cycles of computing on all units all the time", 1 - 1 / slower),
        Finding("bound", f"{outermost} moves {more:.3g} x the words that it must", 1 - 1 / more if more > 1 else 0.0),
    ]


def _optimum(cost: NetworkCost) -> list[Finding]:
    fronts = fronts_of(cost)
    if fronts is None:
        return []
    best, usual = network_optimum(fronts), own_best(fronts)
    gain = 1 - best.edp_J_cycle / usual.edp_J_cycle
    changed = sum(one != other for one, other in zip(best.counts, usual.counts, strict=True))
    text = (
        f"Choosing the layers' mappings together lowers the network's EDP by {_percent(gain)} "
        f"below what the layers' own best EDPs add up to ({changed} of {len(fronts)} distinct layers change)"
    )
    return [Finding("optimum", text, max(gain, WORTH if gain > 1e-6 else 0.0))]


def _between(cost: NetworkCost) -> list[Finding]:
    shares = cost.between_share
    if shares is None or cost.between is None or not cost.between.passes:
        return []
    dearest = max(cost.between.passes, key=lambda each: each.energy_pJ).name
    text = (
        f"What lies between products takes {_percent(shares[0])} of the energy and {_percent(shares[1])} of the cycles "
        f"({cost.between.rule}), {dearest} most of all"
    )
    return [Finding("between", text, max(shares))]


def _unmapped(cost: NetworkCost) -> list[Finding]:
    share = cost.network.unmapped_share
    names = ", ".join(dict.fromkeys(each.name for each in cost.network.unmapped))
    if share is None:
        unknown = ", ".join(dict.fromkeys(each.name for each in cost.network.unknown))
        text = f"An unknown share of the MACs is not in these costs: nobody here knows how much {unknown} compute"
        return [Finding("unmapped", text, 1.0)]
    return [Finding("unmapped", f"{_percent(share)} of the MACs are not in these costs: {names}", share)]


def _readings(cost: NetworkCost) -> list[Finding]:
    """Say for layers that can be read in several ways which one was best, way by way."""
    ways: dict[str, list[MappedLayer]] = {}
    for each in cost.layers:
        if each.layer.reading:
            ways.setdefault(each.layer.reading, []).append(each)
    return [
        Finding(
            "reading",
            f"{members[0].name}{f' and {len(members) - 1} more' if len(members) > 1 else ''}: {text}",
            sum(each.totals.cycles for each in members) / cost.cycles,
            tuple(each.name for each in members),
        )
        for text, members in ways.items()
    ]


def _percent(share: float) -> str:
    digits = max(0, 1 - math.floor(math.log10(100 * share))) if 0 < share < 0.1 else 0
    return f"{100 * share:.{min(digits, 4)}f} %"
