"""What holds each layer back, where its energy goes, and how far it is from what physics allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.binding import Binding, Reason
from dovetail.model.cost import Cost
from dovetail.network.bounds import PhysicalBounds, physical_bounds
from dovetail.network.costs import MappedLayer, NetworkCost, totals_of
from dovetail.network.jobs import design_key
from dovetail.network.records import mapping_to_data
from dovetail.store import Store, content_key
from dovetail.table import Table, headed
from dovetail.workload.network import Network


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
        held: what holds it back; ``held.text`` is the end of a sentence that begins with 'because'.
        hot_spots: where energy goes, most first.
        bounds: what no mapping can go below.
    """

    layer: MappedLayer
    held: Reason
    hot_spots: tuple[HotSpot, ...]
    bounds: PhysicalBounds

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.layer.name}: {self.held.label}, because {self.held.text}>"

    @property
    def binding(self) -> Binding:
        """What holds the layer back, in a word."""
        return self.held.binding

    @property
    def cycles_over_bound(self) -> float:
        """Cycles over those of computing alone on all units; 1 is the best there is."""
        return self.layer.cost.cycles / self.bounds.compute_cycles

    @property
    def traffic_over_compulsory(self) -> float:
        """Words moved at the outermost level over those that must be; 1 where none must."""
        return (
            self.layer.cost.levels[0].words_moved / self.bounds.compulsory_words if self.bounds.compulsory_words else 1
        )

    def table(self) -> Table:
        """Return where the energy goes, under what holds the layer back."""
        rows = tuple((spot.component, spot.what, spot.energy_pJ * 1e-6, 100 * spot.share) for spot in self.hot_spots)
        return Table(headed("component", "what", "energy uJ", "share %"), rows)

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.layer.name}: {self.held.label}, because {self.held.text}")


def diagnose_networks(costs: Sequence[NetworkCost], store: Store | None = None) -> tuple[tuple[Diagnosis, ...], ...]:
    """Return the diagnoses of every cost's distinct layers, in order; what networks share is looked into once.

    Reasons found before are taken from the store.
    """
    reasons: dict[str, Reason] = {}
    return tuple(_diagnosed(cost, store, reasons) for cost in costs)


def diagnose_network(cost: NetworkCost, store: Store | None = None) -> tuple[Diagnosis, ...]:
    """Return every distinct layer's diagnosis, in order; reasons found before are taken from the store."""
    return diagnose_networks((cost,), store)[0]


def _diagnosed(cost: NetworkCost, store: Store | None, reasons: dict[str, Reason]) -> tuple[Diagnosis, ...]:
    """Return every distinct layer's diagnosis; reasons, by their store's keys, are taken from those there and added."""
    design = design_key(cost.architecture, cost.energies)
    keys = [_reason_key(each, design) for each in cost.distinct]
    stored = {} if store is None else store.get_many([key for key in keys if key not in reasons])
    reasons.update({key: Reason.from_data(data) for key, data in stored.items()})
    for each, key in zip(cost.distinct, keys, strict=True):
        if key not in reasons:
            reasons[key] = _reason(each, cost.architecture, cost.energies)
            if store is not None:
                store.put(key, reasons[key].to_data())
    return tuple(
        _diagnosis(each, cost.architecture, reasons[key]) for each, key in zip(cost.distinct, keys, strict=True)
    )


def diagnose(
    layer: MappedLayer, architecture: Architecture, energies: EnergyTable, store: Store | None = None
) -> Diagnosis:
    """Say what holds a layer back on a design; a reason found before is taken from the store."""
    network = Network(layer.name, (layer.layer,))
    return diagnose_network(NetworkCost(network, architecture, energies, layer.result.objective, (layer,)), store)[0]


def _diagnosis(layer: MappedLayer, architecture: Architecture, held: Reason) -> Diagnosis:
    return Diagnosis(layer, held, hot_spots(layer.cost), physical_bounds(layer.layer.problem, architecture))


def _reason(layer: MappedLayer, architecture: Architecture, energies: EnergyTable) -> Reason:
    from dovetail.mapper.reasons import reason  # loads compiled code: only when something is tested

    return reason(layer.layer.problem, architecture, energies, layer.result)


def _reason_key(layer: MappedLayer, design: str) -> str:
    """Return the store's key of a layer's reason: it depends on the mapping, and on whether that is proven."""
    result, problem = layer.result, replace(layer.layer.problem, name="")
    mapping = mapping_to_data(result.mapping)
    return content_key("reason", design, problem, result.objective, mapping, result.certificate.exact)


def hot_spots(cost: Cost, most: int = 5) -> tuple[HotSpot, ...]:
    """Return where one run's energy goes, the largest shares first."""
    spots: list[tuple[float, str, str]] = []
    for level in cost.levels:
        spots += [(tensor.energy_pJ, level.name, name) for name, tensor in level.tensors.items()]
        spots += [(level.leakage_pJ, level.name, "leakage"), (level.compute_pJ, level.name, "compute")]
    spots.sort(key=lambda spot: (-spot[0], spot[1], spot[2]))
    whole = totals_of(cost).energy_pJ or 1.0
    return tuple(HotSpot(level, what, energy, energy / whole) for energy, level, what in spots[:most] if energy > 0)
