"""What our numbers say to each of the founding study's conclusions, and what to know when comparing."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.study.published import StudyFigures, published, width_figures
from dovetail.study.rows import BATCHES, SIMPLE, Row
from dovetail.table import shown_cell

_KINDS = (
    ("published", "as published"),
    ("reproduced", "on its own shapes, searched exactly"),
    ("corrected", "corrected"),
)


def conclusions(rows: Sequence[Row]) -> tuple[tuple[str, str], ...]:
    """Return each conclusion of the study with what our numbers say to it."""
    said: list[str] = published()["conclusions"]
    found = (_output_stationary_wins(rows), _weight_stationary_wins(rows), _shrinking_helps(rows))
    return tuple(zip(said, found, strict=True))


def notes(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what to know when comparing."""
    return (
        "Reproduced: the study's shapes and designs with their mistakes. Its builder divides output sizes by the "
        "stride a second time and leaves linear layers out of the ResNets; its simple designs use one array axis, "
        "16 of 256 elements.",
        "Corrected: true shapes, linear layers included, either axis usable, one AlexNet (the ungrouped original) at "
        "both batch sizes.",
        "The study searched at random without a seed; ours are proven optimal for each layer's EDP, so energies may "
        "only be lower where energies per access agree. Its energy tables are not published: ours are estimated from "
        "public figures for the same designs (see `dovetail components --on simple_weight_stationary`).",
        "Its batch-1 and batch-16 tables are two different AlexNets; its ResNet accuracies mix two sets of weights.",
        *_anomalies(),
    )


def _anomalies() -> list[str]:
    """Find pairs of published layers of which the smaller costs more: the random search missed something."""
    table = published()["alexnet_layerwise"]
    found = []
    for batch in BATCHES:
        for design in SIMPLE:
            energies = dict(zip(table["layers"], table[f"batch_{batch}"]["energy_uJ"][design], strict=True))
            cycles = dict(zip(table["layers"], table[f"batch_{batch}"]["mega_cycles"][design], strict=True))
            for small, large in (("CONV-3", "CONV-4"), ("CONV-5", "CONV-3"), ("CONV-5", "CONV-4")):
                if cycles[small] < cycles[large] and energies[small] > energies[large]:
                    found.append(
                        f"Published at batch {batch}, {design.replace('_', ' ')}: {small} ({cycles[small]:g} M cycles) "
                        f"costs {energies[small]} uJ and the larger {large} ({cycles[large]:g} M) only "
                        f"{energies[large]} uJ."
                    )
    return found


def _layers(rows: Sequence[Row], batch: int, kind: str) -> list[tuple[str, StudyFigures, StudyFigures]]:
    """Return (layer, weight stationary, output stationary) for every layer known in that kind."""
    by_design: dict[str, dict[str, StudyFigures]] = {design: {} for design in SIMPLE}
    for row in rows:
        figures: StudyFigures | None = getattr(row, kind)
        if row.part == f"alexnet_batch_{batch}" and figures is not None:
            by_design[row.design][row.item] = figures
    weight, output = (by_design[design] for design in SIMPLE)
    return [(layer, weight[layer], output[layer]) for layer in weight if layer in output]


def _output_stationary_wins(rows: Sequence[Row]) -> str:
    parts = []
    for kind, words in _KINDS:
        layers = _layers(rows, 1, kind)
        if layers:
            wins = sum(output.energy_pJ < weight.energy_pJ for _, weight, output in layers)
            parts.append(f"{words}, output stationary costs less on {wins} of {len(layers)} layers")
    return _sentences(parts)


def _weight_stationary_wins(rows: Sequence[Row]) -> str:
    parts = []
    for kind, words in _KINDS:
        for batch in BATCHES:
            layers = _layers(rows, batch, kind)
            wins = [name for name, weight, output in layers if weight.energy_pJ < output.energy_pJ]
            if layers:
                parts.append(f"{words} at batch {batch}, weight stationary costs less on {', '.join(wins) or 'none'}")
    return _sentences(parts)


def _shrinking_helps(rows: Sequence[Row]) -> str:
    (original, before), (shrunk, after) = width_figures().values()
    ratio = (shrunk.cycles / original.cycles, shrunk.energy_pJ / original.energy_pJ)
    parts = [
        f"as published, cycles fall to {ratio[0]:.0%}, energy to {ratio[1]:.0%}, and accuracy goes from {before} to "
        f"{after} %",
        "that accuracy is one seed, its weights chosen on the test set, an ImageNet stem on 32 x 32 images",
    ]
    for kind, words in _KINDS[1:]:
        known = {row.item: getattr(row, kind) for row in rows if row.part == "width" and getattr(row, kind) is not None}
        base = known.pop("x 1", None)
        if base is None:
            continue
        for item, each in known.items():
            share = each.cycles / base.cycles, each.energy_pJ / base.energy_pJ
            parts.append(f"{words}, width {item}: cycles {share[0]:.0%}, energy {share[1]:.0%}")
    return _sentences(parts)


def _sentences(parts: Sequence[str]) -> str:
    """Return parts as sentences, short ones."""
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in parts) or "Nothing was computed for this."


def shown_agreement(agreement: dict[str, float]) -> str:
    """Return medians of reproduced over published in words; empty for none."""
    names = {"cycles": "cycles", "energy_pJ": "energy", "edp_J_cycle": "EDP"}
    return ", ".join(f"{names[name]} x {shown_cell(value)}" for name, value in agreement.items())
