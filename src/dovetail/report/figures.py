"""A report's pictures as files for papers: SVG, and PNG where the extra is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

from dovetail.errors import MissingExtraError
from dovetail.files import write_bytes, write_text
from dovetail.network.costs import NetworkCost
from dovetail.network.roofline import roofline, roofs
from dovetail.network.sweep import Sweep
from dovetail.report.data import KnownAccuracy
from dovetail.report.svg import Line, line_chart, stacked_bars
from dovetail.text import file_names


def write_figures(
    folder: Path, costs: Sequence[NetworkCost], accuracies: Mapping[str, KnownAccuracy], kind: str = "svg"
) -> list[Path]:
    """Write every picture of a report into a folder; returns the files.

    Args:
        folder: made when missing.
        costs: mapped networks.
        accuracies: by network's name; without two of them there is no curve.
        kind: ``svg`` or ``png``.

    Raises:
        MissingExtraError: PNG is asked for and its extra is absent.
        InputError: a file cannot be written.
    """
    pictures = report_figures(costs, accuracies)
    return [write_picture(folder / f"{name}.{kind}", svg, kind) for name, svg in pictures.items()]


def report_figures(costs: Sequence[NetworkCost], accuracies: Mapping[str, KnownAccuracy]) -> dict[str, str]:
    """Return every picture of a report as SVG, by a name fit for a file."""
    pictures = {}
    if len({cost.network.name for cost in costs} & set(accuracies)) > 1:
        for what, unit in (("energy", "energy, mJ"), ("cycles", "cycles"), ("edp", "EDP, J x cycle")):
            pictures[f"accuracy_{what}"] = accuracy_figure(costs, accuracies, what, unit)
    for cost, name in zip(costs, cost_names(costs), strict=True):
        pictures[f"layers_{name}"] = layers_figure(cost)
        pictures[f"roofline_{name}"] = roofline_figure(cost)
    return pictures


def cost_names(costs: Sequence[NetworkCost]) -> list[str]:
    """Return a name for each network on each design, fit for a file, each different."""
    return file_names(f"{cost.network.name}_{cost.architecture.name}" for cost in costs)


def accuracy_figure(costs: Sequence[NetworkCost], accuracies: Mapping[str, KnownAccuracy], what: str, unit: str) -> str:
    """Return accuracy against ``energy``, ``cycles`` or ``edp``, one line per design, as SVG."""
    lines = []
    for design in dict.fromkeys(cost.architecture.name for cost in costs):
        here = [cost for cost in costs if cost.architecture.name == design and cost.network.name in accuracies]
        points = sorted(
            (_cost(cost, what), accuracies[cost.network.name].top1_percent, cost.network.name) for cost in here
        )
        lines.append(Line(design, [(x, y) for x, y, _ in points], [name for _, _, name in points]))
    return line_chart("Accuracy against cost", unit, "top-1 accuracy, %", lines)


def layers_figure(cost: NetworkCost) -> str:
    """Return every distinct layer's energy by component, as SVG."""
    layers = cost.distinct
    parts = {
        level.name: [each.totals.energy_by_component[level.name] * 1e-6 for each in layers]
        for level in layers[0].cost.levels
    }
    parts = {name: values for name, values in parts.items() if max(values) > 0}
    names = [f"{each.name} x{each.layer.repeats}" if each.layer.repeats > 1 else each.name for each in layers]
    return stacked_bars(f"{cost.network.name} on {cost.architecture.name}", "energy of all runs, uJ", names, parts)


def totals_figure(costs: Sequence[NetworkCost]) -> str:
    """Return the energy of one pass of every network on every design, by component, as SVG."""
    levels = list(dict.fromkeys(level.name for cost in costs for level in cost.architecture.levels))
    parts = {name: [cost.totals.energy_by_component.get(name, 0.0) * 1e-6 for cost in costs] for name in levels}
    parts = {name: values for name, values in parts.items() if max(values) > 0}
    return stacked_bars("Energy of one pass", "energy, uJ", [cost.name for cost in costs], parts)


def roofline_figure(cost: NetworkCost) -> str:
    """Return the roofline of the outermost bounded level that is used, as SVG; of the outermost level otherwise."""
    units = cost.architecture.compute.instances * cost.products_at_once
    points = {roof.level: _points(cost, roof.level) for roof in roofs(cost.architecture)}
    used = [roof for roof in roofs(cost.architecture) if points[roof.level]]
    roof = next((each for each in used if each.words_per_cycle), used[0])
    xs = [x for x, _, _ in points[roof.level]]
    low, high = min(xs) / 2, max(xs) * 2
    top = [(low, float(units)), (high, float(units))]
    if roof.words_per_cycle:
        ridge = units / roof.words_per_cycle
        low, high = min(low, ridge / 2), max(high, ridge * 2)
        top = [(low, low * roof.words_per_cycle), (ridge, float(units)), (high, float(units))]
    there = points[roof.level]
    names = [name for _, _, name in there] if len(there) <= 10 else []
    layers = Line("layers", [(x, y) for x, y, _ in there], names, dots=True)
    title = f"{cost.network.name} on {cost.architecture.name}"
    label = f"computes per word moved at {roof.level}"
    return line_chart(title, label, "computes per cycle", [Line("roof", top), layers], logarithmic=True)


def sweep_figure(sweep: Sweep) -> str:
    """Return a sweep's staircase, as SVG: cycles over the dimension, and the sizes that the design likes."""
    steps = [(float(point.size), float(point.result.cost.cycles)) for point in sweep.points]
    liked = [(float(point.size), float(point.result.cost.cycles)) for point in sweep.points if point.liked]
    lines = [Line("cycles", steps), Line("sizes that the design likes", liked, dots=True)]
    title = f"{sweep.problem.name} on {sweep.architecture.name}"
    return line_chart(title, sweep.dimension, "cycles", lines)


def write_picture(path: Path, svg: str, kind: str = "svg") -> Path:
    """Write an SVG as it is, or as PNG; returns the path.

    Args:
        path: where to; its ending does not matter.
        svg: the picture.
        kind: ``svg`` or ``png``.

    Raises:
        MissingExtraError: PNG is asked for and its extra is absent.
        InputError: the file cannot be written.
    """
    if kind == "png":
        if importlib.util.find_spec("resvg_py") is None:
            raise MissingExtraError("writing PNG", "png")
        write_bytes(path, bytes(importlib.import_module("resvg_py").svg_to_bytes(svg_string=svg, zoom=2)))
    else:
        write_text(path, svg)
    return path


def _points(cost: NetworkCost, level: str) -> list[tuple[float, float, str]]:
    points = []
    for each in cost.distinct:
        for point in roofline(each.cost, cost.architecture):
            if point.level == level:
                points.append((point.intensity, point.reached, each.name))
    return points


def _cost(cost: NetworkCost, what: str) -> float:
    return {"energy": cost.energy_pJ * 1e-9, "cycles": float(cost.cycles), "edp": cost.edp_J_cycle}[what]
