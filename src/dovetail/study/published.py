"""The figures that the founding study published, as data."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from dovetail.units import edp_J_cycle

#: Its designs, under the names that its figures use, as our bundled designs.
DESIGNS = {
    "output_stationary": "simple_output_stationary",
    "weight_stationary": "simple_weight_stationary",
    "eyeriss_like": "eyeriss_like_32nm",
}
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
WIDTHS = (0.9, 0.8, 0.7)


@dataclass(frozen=True)
class StudyFigures:
    """Three figures of one layer or network.

    Attributes:
        cycles: at 1 GHz.
        energy_pJ: all of it.
        edp_J_cycle: energy times cycles; what was printed where it was printed.
    """

    cycles: float
    energy_pJ: float
    edp_J_cycle: float

    @property
    def is_consistent(self) -> bool:
        """Whether the printed product is that of the other two, to 15 % (figures are read off plots)."""
        return abs(edp_J_cycle(self.energy_pJ, self.cycles) / self.edp_J_cycle - 1) < 0.15


@functools.cache
def published() -> dict[str, Any]:
    """Return the whole record, with its source."""
    text = (resources.files("dovetail.study") / "data" / "published.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def alexnet_layers() -> tuple[str, ...]:
    """Return the names of AlexNet's layers, in order."""
    return tuple(published()["alexnet_layerwise"]["layers"])


def alexnet_figures(batch: int, design: str) -> tuple[StudyFigures, ...]:
    """Return the figures of AlexNet's layers at batch 1 or 16 on one of the two simple designs, by its short name."""
    table = published()["alexnet_layerwise"][f"batch_{batch}"]
    pairs = zip(table["mega_cycles"][design], table["energy_uJ"][design], strict=True)
    return tuple(StudyFigures(c * 1e6, e * 1e6, c * 1e6 * e * 1e-6) for c, e in pairs)


def resnet_figures(design: str) -> dict[str, StudyFigures]:
    """Return the figures of the ResNets on a design, by its short name; read off plots."""
    record = published()["resnet_baselines"]
    of_design = record[design]
    columns = (of_design["mega_cycles"], of_design["energy_mJ"], of_design["edp_MJ_cycle"])
    return {
        model: StudyFigures(cycles * 1e6, energy * 1e9, edp * 1e6)
        for model, cycles, energy, edp in zip(record["models"], *columns, strict=True)
    }


def resnet_top1_percent() -> dict[str, float]:
    """Return the accuracies that the study plotted."""
    record = published()["resnet_baselines"]
    return dict(zip(record["models"], record["imagenet_top1_percent"], strict=True))


def width_figures() -> dict[str, tuple[StudyFigures, float]]:
    """Return the figures and the top-1 accuracy in percent of ``original`` and ``channel_shrunk`` ResNet-50."""
    record = published()["resnet50_for_eyeriss_cifar10"]
    return {
        name: (
            StudyFigures(each["kilo_cycles"] * 1e3, each["energy_mJ"] * 1e9, each["edp_kJ_cycle"] * 1e3),
            each["top1_percent"],
        )
        for name, each in record.items()
        if isinstance(each, dict)
    }
