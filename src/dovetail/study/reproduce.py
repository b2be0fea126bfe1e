"""Reproduces the founding study: what it published, what we find on its own shapes and designs, what is right."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dovetail.components.estimate import estimate
from dovetail.executors import Workers
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.search import SearchFunction
from dovetail.network.costs import NetworkCost
from dovetail.network.map_network import Progress, map_networks
from dovetail.store import Store
from dovetail.study.conclusions import conclusions, notes
from dovetail.study.networks import alexnet, as_published, both_axes, narrowed
from dovetail.study.published import (
    DESIGNS,
    RESNETS,
    WIDTHS,
    StudyFigures,
    alexnet_figures,
    alexnet_layers,
    published,
    resnet_figures,
    resnet_top1_percent,
    width_figures,
)
from dovetail.study.rows import BATCHES, SIMPLE, Row, parts, title
from dovetail.table import Cell, Table, headed
from dovetail.workload.loading import load_network
from dovetail.workload.network import Network
from dovetail.workload.published_accuracy import published_curve

#: The set of weights that all ResNets have.
ONE_RECIPE = "IMAGENET1K_V1"


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracies of one network, in percent.

    Attributes:
        network: its name.
        plotted: what the study plotted.
        weights: the one set of weights that all networks have.
        top1_percent: what those weights reach.
        plotted_weights: the set that the study's number belongs to.
    """

    network: str
    plotted: float
    weights: str
    top1_percent: float
    plotted_weights: str


@dataclass(frozen=True)
class Study:
    """The whole comparison.

    Attributes:
        rows: every figure.
        accuracies: of the ResNets.
        conclusions: each of the study's conclusions with what our numbers say to it.
        notes: what to know when comparing.
        costs: our mapped networks by (``study`` or ``corrected``, part, item, design).
    """

    rows: tuple[Row, ...]
    accuracies: tuple[Accuracy, ...]
    conclusions: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    costs: dict[tuple[str, str, str, str], NetworkCost] = field(repr=False, compare=False)

    def part(self, name: str) -> tuple[Row, ...]:
        """Return the rows of one part."""
        return tuple(row for row in self.rows if row.part == name)

    def table(self, part: str) -> Table:
        """Return a part's rows: published, reproduced and corrected side by side."""
        columns = ["item", "design"]
        for what in ("cycles M", "energy uJ", "EDP J x cycle"):
            columns += [f"{what} published", f"{what} reproduced", f"{what} corrected"]
        rows: list[tuple[Cell, ...]] = []
        for row in self.part(part):
            each = (row.published, row.reproduced, row.corrected)
            cells: list[Cell] = []
            for name, scale in (("cycles", 1e-6), ("energy_pJ", 1e-6), ("edp_J_cycle", 1.0)):
                cells += [None if figures is None else getattr(figures, name) * scale for figures in each]
            rows.append((row.item, row.design, *cells))
        return Table(headed(*columns), tuple(rows))

    def agreement(self, part: str) -> dict[str, float]:
        """Return the median of reproduced over published per figure; empty where nothing was published."""
        pairs = [(row.published, row.reproduced) for row in self.part(part)]
        known = [(theirs, ours) for theirs, ours in pairs if theirs is not None and ours is not None]
        if not known:
            return {}
        return {
            name: statistics.median(getattr(ours, name) / getattr(theirs, name) for theirs, ours in known)
            for name in ("cycles", "energy_pJ", "edp_J_cycle")
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "source": published()["source"],
            "rows": [asdict(row) for row in self.rows],
            "accuracies": [asdict(each) for each in self.accuracies],
            "agreement": {part: self.agreement(part) for part in parts(self.rows)},
            "conclusions": [{"published": said, "found": found} for said, found in self.conclusions],
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        return "".join(self.table(part).html(title(part)) for part in parts(self.rows))


@dataclass(frozen=True)
class _Task:
    """A network to map: where its figures belong, and on what."""

    key: tuple[str, str, str, str]
    network: Network
    architecture: Architecture


def run_study(
    *,
    shapes: Sequence[str] = ("study", "corrected"),
    time_limit: Limit = None,
    store: Store | None = None,
    workers: Workers = None,
    progress: Callable[[Progress], None] | None = None,
    search: SearchFunction | None = None,
) -> Study:
    """Map everything that the study mapped.

    Args:
        shapes: ``study`` for its own shapes and designs, its stride and grouping mistakes and its idle axis included;
            ``corrected`` for the true ones; or both.
        time_limit: seconds per layer; what it ends is not proven optimal, and says so.
        store: where results are kept and found.
        workers: processes, or any executor; None: one process per CPU. See `map_network`.
        progress: called after every finished layer.
        search: what finds the best mapping; None: the exact mapper.
    """
    tasks = [task for kind in shapes for task in _tasks(kind)]
    energies = {task.architecture.name: estimate(task.architecture) for task in tasks}
    mapped = map_networks(
        [(task.network, task.architecture, energies[task.architecture.name]) for task in tasks],
        time_limit=time_limit,
        store=store,
        workers=workers,
        progress=progress,
        search=search,
    )
    costs = {task.key: cost for task, cost in zip(tasks, mapped, strict=True)}
    rows = (*_resnet_rows(costs), *_alexnet_rows(costs), *_width_rows(costs))
    return Study(rows, _accuracies(), conclusions(rows), notes(rows), costs)


def _tasks(kind: str) -> list[_Task]:
    designs = {short: load_architecture(name) for short, name in DESIGNS.items()}
    if kind == "corrected":
        designs = {short: both_axes(each) if short in SIMPLE else each for short, each in designs.items()}
    tasks = []
    for model in RESNETS:
        network = load_network(f"{model}@224")
        network = as_published(network) if kind == "study" else network
        tasks += [_Task((kind, "resnet", model, short), network, design) for short, design in designs.items()]
    for batch in BATCHES:
        network = alexnet(batch, as_it_was=kind == "study")
        part = f"alexnet_batch_{batch}"
        tasks += [_Task((kind, part, "alexnet", short), network, designs[short]) for short in SIMPLE]
    for width in (1.0, *WIDTHS):
        network = narrowed(load_network("resnet50@32"), width)
        network = as_published(network) if kind == "study" else network
        tasks.append(_Task((kind, "width", f"{width:g}", "eyeriss_like"), network, designs["eyeriss_like"]))
    return tasks


def _figures(cost: NetworkCost | None) -> StudyFigures | None:
    return None if cost is None else StudyFigures(cost.cycles, cost.energy_pJ, cost.edp_J_cycle)


def _resnet_rows(costs: dict[tuple[str, str, str, str], NetworkCost]) -> list[Row]:
    rows = []
    for design in DESIGNS:
        printed = resnet_figures(design)
        for model in RESNETS:
            ours = (_figures(costs.get((kind, "resnet", model, design))) for kind in ("study", "corrected"))
            rows.append(Row("resnet", model, design, printed[model], *ours))
    return rows


def _alexnet_rows(costs: dict[tuple[str, str, str, str], NetworkCost]) -> list[Row]:
    rows = []
    for batch in BATCHES:
        part = f"alexnet_batch_{batch}"
        for design in SIMPLE:
            printed = alexnet_figures(batch, design)
            ours = [_by_layer(costs.get((kind, part, "alexnet", design))) for kind in ("study", "corrected")]
            for place, layer in enumerate(alexnet_layers()):
                rows.append(Row(part, layer, design, printed[place], *(each.get(layer) for each in ours)))
    return rows


def _by_layer(cost: NetworkCost | None) -> dict[str, StudyFigures]:
    layers = () if cost is None else cost.layers
    return {
        each.name: StudyFigures(each.totals.cycles, each.totals.energy_pJ, each.totals.edp_J_cycle) for each in layers
    }


def _width_rows(costs: dict[tuple[str, str, str, str], NetworkCost]) -> list[Row]:
    original, shrunk = (figures for figures, _ in width_figures().values())
    rows = []
    for width in ("1", *(f"{each:g}" for each in WIDTHS)):
        ours = (_figures(costs.get((kind, "width", width, "eyeriss_like"))) for kind in ("study", "corrected"))
        # the study prints one shrunk network and not its width; which one it is shows in the conclusions
        rows.append(Row("width", f"x {width}", "eyeriss_like", original if width == "1" else None, *ours))
    rows.append(Row("width", "shrunk, width not told", "eyeriss_like", shrunk, None, None))
    return rows


def _accuracies() -> tuple[Accuracy, ...]:
    plotted = resnet_top1_percent()
    one = published_curve(RESNETS, weights=ONE_RECIPE)
    mixed = {entry.model: entry for entry in published_curve(RESNETS, weights="IMAGENET1K_V2", allow_mixed=True)}
    return tuple(
        Accuracy(
            entry.model,
            plotted[entry.model],
            entry.weights,
            entry.top1_percent,
            mixed[entry.model].weights,
        )
        for entry in one
    )
