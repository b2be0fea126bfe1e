"""What holds each layer back, where its energy goes, and how far it is from what physics allows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dovetail.hardware.architecture import Architecture, Storage
from dovetail.model.cost import Cost, LevelCost
from dovetail.network.bounds import PhysicalBounds, physical_bounds
from dovetail.network.costs import MappedLayer, NetworkCost, totals_of
from dovetail.network.parallelism import FanoutUse, Idle, fanout_uses
from dovetail.network.roofline import roofline_json
from dovetail.table import Table

#: A layer that keeps this share of the compute units busy is bound by computing.
BUSY = 0.95
#: Storages that hold no more words than this are pipeline registers: being full says nothing.
REGISTER_WORDS = 2


class Binding(StrEnum):
    """What holds a layer back."""

    COMPUTE = "compute"
    BANDWIDTH = "bandwidth"
    CAPACITY = "capacity"
    CONSTRAINT = "constraint"
    DIMENSIONS = "too few parallel dimensions"
    DIVISIBILITY = "divisibility"
    CHOICE = "choice"


@dataclass(frozen=True)
class HotSpot:
    """Where energy goes.

    Attributes:
        component: the level.
        what: the tensor moved there, or ``compute`` or ``leakage``.
        energy_pJ: of one run.
        share: of the layer's energy.
    """

    component: str
    what: str
    energy_pJ: float
    share: float


@dataclass(frozen=True)
class Diagnosis:
    """One layer explained.

    Attributes:
        layer: the layer and its result.
        binding: what holds it back.
        level: the level concerned; empty for compute.
        reason: why, as the end of a sentence that begins with 'because'.
        fanouts: how every fan-out is used.
        hot_spots: where energy goes, most first.
        bounds: what no mapping can go below.
    """

    layer: MappedLayer
    binding: Binding
    level: str
    reason: str
    fanouts: tuple[FanoutUse, ...]
    hot_spots: tuple[HotSpot, ...]
    bounds: PhysicalBounds

    @property
    def cycles_over_bound(self) -> float:
        """Cycles over those of computing alone on all units; 1 is the best there is."""
        return self.layer.cost.cycles / self.bounds.compute_cycles

    @property
    def traffic_over_compulsory(self) -> float:
        """Words moved at the outermost level over those that must be."""
        return self.layer.cost.levels[0].words_moved / self.bounds.compulsory_words

    def to_json(self, architecture: Architecture) -> dict[str, Any]:
        """Return plain data."""
        return {
            "layer": self.layer.name,
            "binding": str(self.binding),
            "level": self.level,
            "reason": self.reason,
            "compute_bound_cycles": self.bounds.compute_cycles,
            "cycles_over_bound": self.cycles_over_bound,
            "compulsory_words": self.bounds.compulsory_words,
            "reuse_bound_words": self.bounds.reuse_words,
            "traffic_over_compulsory": self.traffic_over_compulsory,
            "hot_spots": [
                {"component": spot.component, "what": spot.what, "energy_pJ": spot.energy_pJ, "share": spot.share}
                for spot in self.hot_spots
            ],
            "roofline": roofline_json(self.layer.cost, architecture),
        }

    def table(self) -> Table:
        """Return where the energy goes, under what holds the layer back."""
        rows = tuple((spot.component, spot.what, spot.energy_pJ * 1e-6, 100 * spot.share) for spot in self.hot_spots)
        return Table(("component", "what", "energy uJ", "share %"), rows)

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.layer.name}: {self.binding}, because {self.reason}")


def diagnose_network(cost: NetworkCost) -> tuple[Diagnosis, ...]:
    """Return every distinct layer's diagnosis, in order."""
    return tuple(diagnose(layer, cost.architecture) for layer in cost.distinct)


def diagnose(layer: MappedLayer, architecture: Architecture) -> Diagnosis:
    """Say what holds a layer back on a design."""
    problem = layer.layer.problem
    uses = fanout_uses(layer.result.mapping, problem, architecture)
    binding, level, reason = _binding(layer.cost, uses, architecture)
    return Diagnosis(
        layer=layer,
        binding=binding,
        level=level,
        reason=reason,
        fanouts=uses,
        hot_spots=hot_spots(layer.cost),
        bounds=physical_bounds(problem, architecture),
    )


def hot_spots(cost: Cost, most: int = 5) -> tuple[HotSpot, ...]:
    """Return where one run's energy goes, the largest shares first."""
    spots: list[tuple[float, str, str]] = []
    for level in cost.levels:
        spots += [(tensor.energy_pJ, level.name, name) for name, tensor in level.tensors.items()]
        spots += [(level.leakage_pJ, level.name, "leakage"), (level.compute_pJ, level.name, "compute")]
    spots.sort(key=lambda spot: (-spot[0], spot[1], spot[2]))
    whole = totals_of(cost).energy_pJ or 1.0
    return tuple(HotSpot(level, what, energy, energy / whole) for energy, level, what in spots[:most] if energy > 0)


def _binding(cost: Cost, uses: tuple[FanoutUse, ...], architecture: Architecture) -> tuple[Binding, str, str]:
    slowest = max(cost.levels[:-1], key=lambda level: level.cycles)
    if cost.cycles > cost.levels[-1].cycles:
        return Binding.BANDWIDTH, slowest.name, _bandwidth_reason(cost, slowest, architecture)
    if cost.utilization >= BUSY:
        return Binding.COMPUTE, "", "nearly every compute unit works in every cycle"
    worst = max(uses, key=lambda use: use.fanout / use.used, default=None)
    if worst is None or worst.idle is None:
        return Binding.COMPUTE, "", "every fan-out is used as far as it goes"
    if worst.idle is Idle.CHOICE:
        return _choice(cost, worst)
    return Binding(str(worst.idle)), worst.level, worst.reason


def _choice(cost: Cost, use: FanoutUse) -> tuple[Binding, str, str]:
    """Say whether a storage that feeds a fan-out is too full to feed twice as much of it."""
    place = [level.name for level in cost.levels].index(use.level)
    full = [level for level in cost.levels[:place] if _held(level) * 2 > _capacity(level)]
    if not full:
        return Binding.CHOICE, use.level, use.reason
    level = max(full, key=lambda each: _held(each) / _capacity(each))
    reason = f"{level.name} holds {_held(level)} of the {level.capacity_words} words that fit"
    return Binding.CAPACITY, level.name, reason


def _held(level: LevelCost) -> int:
    return sum(tensor.tile for tensor in level.tensors.values())


def _capacity(level: LevelCost) -> float:
    if level.capacity_words is None or level.capacity_words <= REGISTER_WORDS:
        return float("inf")
    return level.capacity_words


def _bandwidth_reason(cost: Cost, level: LevelCost, architecture: Architecture) -> str:
    storage = architecture.level(level.name)
    assert isinstance(storage, Storage)
    slower = cost.cycles / cost.levels[-1].cycles
    moved = level.words_moved / level.instances / cost.levels[-1].cycles
    rates = {
        "reads": storage.read_bandwidth,
        "writes": storage.write_bandwidth,
        "reads and writes": storage.shared_bandwidth,
    }
    given = ", ".join(f"{rate:g} {what}" for what, rate in rates.items() if rate is not None)
    return (
        f"computing at full speed moves {moved:.3g} words per cycle at {level.name}, which has {given}: x{slower:.3g}"
    )
