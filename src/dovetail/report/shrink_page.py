"""A shrunk network as one page: before and after, which channels went and why, accuracy against cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.accuracy.statistics import Interval, interval, paired_difference
from dovetail.network.costs import MappedLayer
from dovetail.report.data import KnownAccuracy
from dovetail.report.page import report_page
from dovetail.report.sections import (
    Point,
    Staircase,
    curves_section,
    stairs_section,
    table_section,
    text_section,
)
from dovetail.shrink.space import staircase
from dovetail.table import Cell, Table, headed
from dovetail.text import printable
from dovetail.units import edp_J_cycle

if TYPE_CHECKING:  # needs PyTorch, which a page does not
    from dovetail.shrink.result import Outcome, ShrinkResult


def shrink_page(result: ShrinkResult, others: Mapping[str, ShrinkResult] | None = None) -> str:
    """Return the page.

    Args:
        result: what is shown in full.
        others: results of other methods on the same network, by name, for the curve of accuracy against cost.
    """
    shown = [result.original, *result.networks]
    accuracies = {
        each.cost.network.name: KnownAccuracy(100 * _test(each).mean, _source(result))
        for each in shown
        if each.accuracy is not None
    }
    title = f"{result.request.model.label} shrunk for {result.original.cost.architecture.name}"
    sections = shrink_sections(result, others or {})
    return report_page([each.cost for each in shown], title=title, accuracies=accuracies, sections=sections)


def shrink_sections(result: ShrinkResult, others: Mapping[str, ShrinkResult]) -> list[dict[str, Any]]:
    """Return the page's sections about the shrinking itself."""
    return [
        text_section("What this is", _about(result)),
        table_section("Before and after", _summary(result), "± is the 95 % t-interval over seeds."),
        _curve(result, others),
        *(_layers(result, each) for each in result.networks),
        table_section("Which channels went", _channels(result), "Channels of a group are kept or removed together."),
        *([table_section("Which blocks went", _blocks(result), _BLOCKS_NOTE)] if result.graph.blocks else []),
        *([table_section("What was set lower", _settings(result), _SETTINGS_NOTE)] if result.graph.settings else []),
        _staircases(result),
        table_section("The staircase in numbers", _stairs(result)),
    ]


_STAIRS_NOTE = (
    "A point for each width worth trying, every other group as in the original: what the layers cost that the group "
    "reaches. A wider one that costs no more has already taken the place of every width that is not here. "
    "The cost per channel dips where the design's arrays fill up."
)


_SETTINGS_NOTE = (
    "Rows and columns of images and of kernels, of which the middle stays; bits of weights, and of what layers read, "
    "those together that read one tensor."
)


_BLOCKS_NOTE = "What a block costs in the original; where it is left out, what it reads is handed on."


def _about(result: ShrinkResult) -> list[str]:
    request, original = result.request, result.original
    start = "from weights drawn anew" if request.scratch else "from the supernet's weights"
    chosen = (
        f"{request.finalists} networks per target were trained under the first seed, and chosen on validation images"
        if request.finalists > 1
        else "one network per target was trained"
    )
    return [
        f"{request.model.label} on {original.cost.architecture.name}, trained on {printable(request.data.name)}. "
        f"Search: {request.method}; {len(result.measured)} networks measured in the supernet.",
        f"All networks{', the original too,' if request.reference else ''} were trained {start} for "
        f"{request.recipe.epochs} epochs ({request.recipe.name}) under {request.seeds} "
        f"seed{'s' if request.seeds > 1 else ''}; {chosen}; the test images were used once, at the end.",
        "Costs are those of the best mapping of every layer"
        + (
            ", each proven best." if all(each.cost.exact for each in result.networks) else " that time allowed to find."
        ),
    ]


def _source(result: ShrinkResult) -> str:
    return f"mean over {result.request.seeds} seeds, test part of {printable(result.request.data.name)}"


def _test(each: Outcome) -> Interval:
    assert each.accuracy is not None
    return interval(list(each.accuracy.test.values()))


def _shown(found: Interval, signed: bool = False) -> str:
    half = "" if found.half_width is None else f" ± {100 * found.half_width:.2f}"
    return (f"{100 * found.mean:+.2f}" if signed else f"{100 * found.mean:.2f}") + half


def _summary(result: ShrinkResult) -> Table:
    columns = (
        "network", "EDP J x cycle", "times lower", "energy uJ", "cycles", "MMACs", "utilization %", "test %",
        "against the original",
    )  # fmt: skip
    original = result.original
    rows: list[tuple[Cell, ...]] = []
    for each in (original, *result.networks):
        difference = ""
        if each.target is not None and each.accuracy is not None and original.accuracy is not None:
            difference = _shown(paired_difference(original.accuracy.test, each.accuracy.test), signed=True)
        rows.append(
            (
                "original" if each.target is None else str(each.target),
                each.figures.edp_J_cycle,
                original.figures.edp_J_cycle / each.figures.edp_J_cycle,
                each.figures.energy_pJ * 1e-6,
                each.figures.cycles,
                each.figures.macs / 1e6,
                100 * each.cost.utilization,
                "" if each.accuracy is None else _shown(_test(each)),
                difference,
            )
        )
    return Table(headed(*columns), tuple(rows))


def _curve(result: ShrinkResult, others: Mapping[str, ShrinkResult]) -> dict[str, Any]:
    """Return accuracy against cost; the ends of the error bars are drawn as series of their own."""
    series: dict[str, list[Point]] = {}
    tags: dict[str, tuple[str, str]] = {}
    for name, each in {result.request.method: result, **others}.items():
        points = [outcome for outcome in (each.original, *each.networks) if outcome.accuracy is not None]
        for kind, accuracy in (("mean", "mean"), ("95 % upper", "high"), ("95 % lower", "low")):
            ends = [(outcome, getattr(_test(outcome), accuracy)) for outcome in points]
            drawn = [_point(outcome, value, named=kind == "mean") for outcome, value in ends if value is not None]
            if drawn:
                series[f"{name}, {kind}"] = drawn
                tags[f"{name}, {kind}"] = (name, "mean" if kind == "mean" else "interval")
    note = "Dashes are the ends of the 95 % t-intervals over seeds."
    return curves_section("Accuracy against cost", series, tags=tags, metric="edp", logarithmic=True, note=note)


def _point(outcome: Outcome, accuracy: float, *, named: bool) -> Point:
    figures = outcome.figures
    costs = {"energy_uJ": figures.energy_pJ * 1e-6, "cycles": float(figures.cycles), "edp": figures.edp_J_cycle}
    label = "original" if outcome.target is None else str(outcome.target)
    return Point(label if named else "", 100 * accuracy, costs)


def _layers(result: ShrinkResult, each: Outcome) -> dict[str, Any]:
    """Return every layer before and after."""
    pairs = ("C x M", "energy uJ", "cycles", "utilization %")
    columns = ("layer", *(f"{what} {when}" for what in pairs for when in ("before", "after")), "MACs kept %")
    rows: list[tuple[Cell, ...]] = []
    left = {layer.name: layer for layer in each.cost.layers}
    for before in result.original.cost.layers:
        after = left.get(before.name)
        if after is None:
            energy, cycles, busy = before.totals.energy_pJ * 1e-6, before.totals.cycles, 100 * before.cost.utilization
            rows.append((before.name, _channels_of(before), "left out", energy, 0.0, cycles, 0, busy, "", 0.0))
            continue
        rows.append(
            (
                before.name,
                _channels_of(before),
                _channels_of(after),
                before.totals.energy_pJ * 1e-6,
                after.totals.energy_pJ * 1e-6,
                before.totals.cycles,
                after.totals.cycles,
                100 * before.cost.utilization,
                100 * after.cost.utilization,
                100 * after.layer.macs / before.layer.macs,
            )
        )
    return table_section(f"Layer by layer: {each.target}", Table(headed(*columns), tuple(rows)), _why(result, each))


def _channels_of(layer: MappedLayer) -> str:
    problem = layer.layer.problem
    sizes = dict(zip(problem.shape.dimensions, problem.bounds, strict=True))
    groups = sizes.get("G", 1)
    return f"{sizes.get('C', 1)} x {sizes.get('M', 1)}" + (f", {groups} groups" if groups > 1 else "")


def _why(result: ShrinkResult, each: Outcome) -> str:
    """Say where the cycles went: fewer MACs, and a fuller array."""
    before, after = result.original.figures, each.figures
    macs, fuller = before.macs / after.macs, each.cost.utilization / result.original.cost.utilization
    return (
        f"Cycles are {before.cycles / after.cycles:.3g} times fewer: {macs:.3g} times from fewer MACs, and "
        f"{fuller:.3g} times from an array that is busy {100 * each.cost.utilization:.3g} % of the time instead of "
        f"{100 * result.original.cost.utilization:.3g} %."
    )


def _channels(result: ShrinkResult) -> Table:
    columns = ("group", "layers", "original", *(str(each.target) for each in result.networks))
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            group.name,
            ", ".join(group.makers[:4]) + (", ..." if len(group.makers) > 4 else ""),
            group.channels,
            *(each.widths[number] for each in result.networks),
        )
        for number, group in enumerate(result.graph.groups)
    )
    return Table(headed(*columns), rows)


def _settings(result: ShrinkResult) -> Table:
    """Return what each setting is in the original and in the networks."""
    graph = result.graph
    rows: list[tuple[Cell, ...]] = []
    for place, setting in enumerate(graph.settings, graph.first_setting):
        values = [each.widths[place] for each in (result.original, *result.networks)]
        said = ["x".join(map(str, setting.form(value))) if setting.forms and value else value or "" for value in values]
        rows.append((setting.kind, ", ".join(setting.paths) or setting.name, *said))
    return Table(headed("what", "of", "original", *(str(each.target) for each in result.networks)), tuple(rows))


def _blocks(result: ShrinkResult) -> Table:
    """Return what each block costs, and the networks that lack it."""
    cost, shapes = result.original.cost, result.space.shapes
    rows: list[tuple[Cell, ...]] = []
    for place, block in enumerate(result.graph.blocks, len(result.graph.groups)):
        own = {each.layer.name for each in shapes.layers if each.block == place}
        layers = [layer.totals for layer in cost.layers if layer.name in own]
        energy, cycles = sum(each.energy_pJ for each in layers), sum(each.cycles for each in layers)
        gone = [str(each.target) for each in result.networks if not each.widths[place]]
        share = 100 * energy / cost.energy_pJ if cost.energy_pJ else 0.0
        rows.append((block, len(layers), energy * 1e-6, share, cycles, ", ".join(gone)))
    return Table(headed("block", "layers", "energy uJ", "of all %", "cycles", "left out for"), tuple(rows))


def _staircases(result: ShrinkResult) -> dict[str, Any]:
    """Return a chart per group of channels, of what stands in the table of `_stairs`."""
    found: dict[str, list[tuple[int, float, str]]] = {}
    for name, width, _, _, each, taken in _stairs(result).rows:
        assert isinstance(width, int) and isinstance(each, float)
        found.setdefault(str(name), []).append((width, each, f"taken for {taken}" if taken else ""))
    stairs = [
        Staircase(name, steps, max(width for width, _, _ in steps), [width for width, _, taken in steps if taken])
        for name, steps in found.items()
    ]
    y = "EDP per channel squared, of the widest's"
    return stairs_section("Why these widths: the staircase", stairs, x="channels", y=y, note=_STAIRS_NOTE)


def _stairs(result: ShrinkResult) -> Table:
    columns = ("group", "channels", "energy uJ", "cycles", "EDP per channel squared, of the widest's", "taken for")
    space = result.space
    rows: list[tuple[Cell, ...]] = []
    for knob in (knob for knob in space.knobs if knob.kind == "channels"):
        reached = staircase(space.shapes, knob.groups, knob.options)
        first = 0.0
        for option, layers in zip(knob.options, reached, strict=True):
            costs = [(space.oracle.of(problem), repeats) for problem, repeats in layers]
            energy = sum(cost[0] * repeats for cost, repeats in costs)
            cycles = sum(cost[1] * repeats for cost, repeats in costs)
            each = edp_J_cycle(energy, cycles) / sum(option) ** 2
            first = first or each
            taken = [
                str(network.target)
                for network in result.networks
                if tuple(network.widths[group] for group in knob.groups) == option
            ]
            rows.append((knob.name, option[0], energy * 1e-6, cycles, each / first, ", ".join(taken)))
    return Table(headed(*columns), tuple(rows))
