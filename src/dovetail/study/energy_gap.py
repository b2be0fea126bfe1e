"""Why the reproduced energies of the Eyeriss-like design lie below the published ones, taken apart by numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dovetail.components.estimate import estimate
from dovetail.executors import Workers
from dovetail.hardware.reader import load_architecture
from dovetail.network.jobs import Sampled
from dovetail.network.map_network import Progress, map_network
from dovetail.store import Store
from dovetail.study.networks import as_published
from dovetail.study.published import resnet_figures
from dovetail.table import Cell, Table, headed
from dovetail.workload.loading import load_network

#: The design of the study, and the same at the technology of the chip that it resembles.
DESIGNS = {"32 nm": "eyeriss_like_32nm", "65 nm": "eyeriss_like"}
#: Random mappings a layer, of which the best is taken.
SAMPLES = (300, 3000, 30000)
NETWORK = "resnet18"


@dataclass(frozen=True)
class EnergyGap:
    """ResNet-18's energy on the Eyeriss-like design under one assumption after the other, in mJ.

    Attributes:
        published: what the study plotted.
        found: by technology, then by search: ``exact``, a number of random mappings, or ``true shapes`` (exact, too).
    """

    published: float
    found: dict[str, dict[str, float]]

    def table(self) -> Table:
        """Return a row per assumption."""
        searches = {**{f"{n}": f"best of {n:,} random mappings a layer" for n in SAMPLES}, "exact": "proven optimum"}
        rows: list[tuple[Cell, ...]] = [
            (words, *(self.found[technology][search] for technology in DESIGNS)) for search, words in searches.items()
        ]
        rows.append(("proven optimum, true shapes", *(self.found[technology]["true shapes"] for technology in DESIGNS)))
        return Table(headed("ResNet-18", *(f"energy at {each}, mJ" for each in DESIGNS)), tuple(rows))

    def sentences(self) -> list[str]:
        """Return what each assumption makes of the gap, and what stays unexplained."""
        fine, coarse = (self.found[technology] for technology in DESIGNS)
        few, most = (str(samples) for samples in (SAMPLES[0], SAMPLES[-1]))
        closest = coarse[few] * coarse["true shapes"] / coarse["exact"]
        return [
            f"Published: {self.published:.3g} mJ. Proven optimum on the study's shapes: {fine['exact']:.3g} mJ, "
            f"{self.published / fine['exact']:.2g} times less.",
            f"Search: the best of {few} random mappings a layer takes {fine[few]:.3g} mJ, "
            f"{fine[few] / fine['exact']:.2g} times the optimum; the best of {most} takes {fine[most]:.3g} mJ. "
            "How many the study drew is not told.",
            f"Energies per access: at 65 nm instead of 32 nm the same search takes {coarse[few]:.3g} mJ, "
            f"{coarse[few] / fine[few]:.2g} times as much. Which table the study used is not published.",
            f"Shapes: the true ones take {fine['true shapes'] / fine['exact']:.3g} times the energy of the study's.",
            f"All three together reach about {closest:.3g} mJ. A factor of {self.published / closest:.2g} stays "
            "unexplained: the study's energies per access, its seed and its number of samples are not known.",
        ]


def energy_gap(
    *,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
) -> EnergyGap:
    """Map ResNet-18 under every assumption; all searches have seed 0 or none."""
    network = load_network(f"{NETWORK}@224")
    as_it_was = as_published(network)
    found: dict[str, dict[str, float]] = {}
    for technology, name in DESIGNS.items():
        design = load_architecture(name)
        energies = estimate(design)
        cases = {str(samples): (as_it_was, Sampled(samples)) for samples in SAMPLES}
        for words, (which, search) in {**cases, "exact": (as_it_was, None), "true shapes": (network, None)}.items():
            cost = map_network(which, design, energies, store=store, workers=workers, progress=progress, search=search)
            found.setdefault(technology, {})[words] = cost.energy_pJ * 1e-9
    return EnergyGap(resnet_figures("eyeriss_like")[NETWORK].energy_pJ * 1e-9, found)
