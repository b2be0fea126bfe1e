"""What shrinking came to: networks with cost and accuracy, as values, tables and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dovetail.accuracy.exported import Exported
from dovetail.network.costs import NetworkCost
from dovetail.shrink.channels import KERNEL, RESOLUTION, ChannelGraph, Widths
from dovetail.shrink.depth import CHANGES, NEEDED
from dovetail.shrink.discover import OUTPUT
from dovetail.shrink.finalists import Accuracy, means_of
from dovetail.shrink.narrow import plan_at
from dovetail.shrink.oracle import PassCost
from dovetail.shrink.request import Request
from dovetail.shrink.searches import PROOF
from dovetail.shrink.space import SearchSpace
from dovetail.shrink.supernet import Measurement
from dovetail.shrink.target import Target
from dovetail.table import Cell, Table, headed
from dovetail.text import printable
from dovetail.workload.describe import unknown_text

#: A network of less than this share of what its target allows deserves a word.
_LITTLE = 0.5
#: Layers that one note names.
_MANY = 6


@dataclass(frozen=True)
class Outcome:
    """One network with its cost and accuracy.

    Attributes:
        name: what to call it.
        target: what it was made for; None for the original.
        widths: channels of every group, whether each block stays, and what settings are.
        figures: cost of one pass.
        cost: every layer's mapping and cost.
        accuracy: trained by the recipe, under each seed; None when it was not.
        folder: that `load_shrunk` reads; None for the original.
        exported: the network as files that need no Dovetail; None for the original.
    """

    name: str
    target: Target | None
    widths: Widths
    figures: PassCost
    cost: NetworkCost = field(repr=False)
    accuracy: Accuracy | None
    folder: Path | None
    exported: Exported | None = None

    def to_json(self, graph: ChannelGraph) -> dict[str, Any]:
        """Return plain data; its sizes are those of a graph."""
        return {
            "network": self.name,
            "target": None if self.target is None else str(self.target),
            **sizes_json(graph, self.widths),
            **asdict(self.figures),
            "edp_J_cycle": self.figures.edp_J_cycle,
            "exact": self.cost.exact,
            "accuracy": None if self.accuracy is None else self.accuracy.to_json(),
            "folder": None if self.folder is None else str(self.folder),
            "files": {} if self.exported is None else self.exported.to_json(),
        }


@dataclass(frozen=True)
class ShrinkResult:
    """What a run came to.

    Attributes:
        request: what was asked for.
        graph: channel groups.
        original: the network as given; its accuracy is that of training it likewise, if that was asked for.
        as_given: accuracy on validation images of the weights that the run started from.
        networks: one per target, loosest first.
        measured: widths that the search measured in the supernet.
        space: the widths that the design likes.
        proven: of targets for which a choice of least predicted loss was looked for, whether it is proven the best.
    """

    request: Request
    graph: ChannelGraph
    original: Outcome
    as_given: Measurement
    networks: tuple[Outcome, ...]
    measured: Mapping[Widths, Measurement] = field(repr=False)
    space: SearchSpace = field(repr=False)
    proven: Mapping[Target, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "network": self.request.model.label,
            "design": self.original.cost.architecture.name,
            "data": self.request.data.name,
            "method": self.request.method,
            "recipe": self.request.recipe.to_dict(),
            "start": "scratch" if self.request.scratch else "trained",
            "groups": [group.name for group in self.graph.groups],
            "blocks": list(self.graph.blocks),
            "left": dict(self.graph.left),
            **({"unset": dict(self.graph.unset)} if self.graph.settings else {}),
            "as_given": asdict(self.as_given),
            "unknown": [each.name for each in self.original.cost.network.unknown],
            "proven": {str(target): proven for target, proven in self.proven.items()},
            "notes": list(self.notes()),
            "original": self.original.to_json(self.graph),
            "networks": [each.to_json(self.graph) for each in self.networks],
            "measured": [{**sizes_json(self.graph, widths), **asdict(each)} for widths, each in self.measured.items()],
        }

    def notes(self) -> Iterator[str]:
        """Yield what a person should know of it."""
        yield from unknown_text(self.original.cost.network)
        yield from self.original.cost.network.notes
        yield from left_text(self.graph)
        if self.request.narrows:
            yield "shares are of the original's cost at the most bits to choose from, not at the design's own words"
        for target, proven in self.proven.items():
            if not proven:
                yield (
                    f"{target}: the choice of least predicted loss is the best found; its proof was given up after "
                    f"{PROOF:,} choices"
                )
        for each in self.networks:
            if each.target is not None and (spent := each.target.spent(each.figures, self.original.figures)) < _LITTLE:
                yield (
                    f"{each.name}: its {each.target.metric} is {spent:.2g} of what the target allows; all that was "
                    "found wider is beyond it, or lost more"
                )
            if each.exported is not None:
                yield from (f"{each.name}: {note}" for note in each.exported.notes)

    def table(self) -> Table:
        """Return a row for the original and one per smaller network."""
        columns = (
            "network",
            "EDP J x cycle",
            "EDP share",
            "cycles",
            "energy uJ",
            "MACs",
            "validation",
            "test",
            "widths",
            *(("left out",) if self.graph.blocks else ()),
            *(("set lower",) if self.graph.settings else ()),
        )
        count = len(self.graph.groups)
        rows: list[tuple[Cell, ...]] = []
        for one in (self.original, *self.networks):
            figures, measured = one.figures, means_of(one.accuracy)
            share = figures.edp_J_cycle / self.original.figures.edp_J_cycle
            cost = (figures.edp_J_cycle, share, figures.cycles, figures.energy_pJ * 1e-6, figures.macs)
            gone = (" ".join(self.graph.left_out(one.widths)),) if self.graph.blocks else ()
            low = ("; ".join(self.graph.lowered_text(one.widths)),) if self.graph.settings else ()
            rows.append((one.name, *cost, *measured, " ".join(map(str, one.widths[:count])), *gone, *low))
        return Table(headed(*columns), tuple(rows))

    def _repr_html_(self) -> str:
        return self.table().html(f"{self.request.model.label} on {self.original.cost.architecture.name}")


def sizes_json(graph: ChannelGraph, widths: Widths) -> dict[str, Any]:
    """Return a network's sizes as plain data: channels of every group, blocks left out, and what settings are."""
    sizes: dict[str, Any] = {"widths": list(widths[: len(graph.groups)]), "left_out": list(graph.left_out(widths))}
    kinds = {setting.kind for setting in graph.settings}
    if RESOLUTION in kinds:
        sizes["image"] = _form(graph, widths, RESOLUTION)["images"]
    if KERNEL in kinds:
        sizes["kernels"] = _form(graph, widths, KERNEL)
    if plan := plan_at(graph, widths):
        sizes["bits"] = {one.path: {"weights": one.weights, "inputs": one.inputs} for one in plan}
    return sizes


def _form(graph: ChannelGraph, widths: Widths, kind: str) -> dict[str, list[int]]:
    """Return by name the rows and columns of the settings of a kind, those of which something is left."""
    values = zip(graph.settings, widths[graph.first_setting :], strict=True)
    return {each.name: list(each.form(value)) for each, value in values if each.kind == kind and value}


def left_text(graph: ChannelGraph) -> Iterator[str]:
    """Yield per reason the layers that keep their channels for it; that outputs stay needs no word."""
    by_reason: dict[str, list[str]] = {}
    for path, why in graph.left.items():
        if why != OUTPUT:
            by_reason.setdefault(why, []).append(path)
    for why, paths in by_reason.items():
        what, kind = ("blocks", "blocks") if why in (CHANGES, NEEDED) else ("channels of", "layers")
        more = f" and {len(paths) - _MANY} more {kind}" if len(paths) > _MANY else ""
        yield f"{what} {printable(', '.join(paths[:_MANY]))}{more} stay: {printable(why)}"
    unset: dict[str, list[str]] = {}
    for what, why in graph.unset.items():
        unset.setdefault(why, []).append(what)
    for why, whats in unset.items():
        more = f" and {len(whats) - _MANY} more" if len(whats) > _MANY else ""
        yield f"{printable(', '.join(whats[:_MANY]))}{more} {'stays' if len(whats) == 1 else 'stay'}: {why}"


__all__ = ["Outcome", "ShrinkResult", "left_text", "sizes_json"]
