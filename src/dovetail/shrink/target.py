"""Targets: what a smaller network may cost at most, as a person writes it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.errors import InputError, did_you_mean
from dovetail.mapper.objective import Objective
from dovetail.shrink.oracle import PassCost
from dovetail.units import EDP_UNIT

#: What a target may bound, with the unit of an absolute value.
METRICS = {"edp": EDP_UNIT, "energy": "uJ", "cycles": "cycles", "macs": "MACs"}

#: What a search may turn: widths of groups of channels, blocks left out, kernels' sizes, the images' size, and bits of
#: weights and inputs.
KNOBS = ("channels", "depth", "kernel", "resolution", "bits")

#: Shares of the original's cost that ``front`` stands for.
FRONT = (0.5, 0.35, 0.25, 0.2, 0.15, 0.1)

#: What layers' mappings minimise for a target of each kind.
OBJECTIVES = {
    "edp": Objective.EDP,
    "energy": Objective.ENERGY,
    "cycles": Objective.LATENCY,
    "macs": Objective.EDP,
}


@dataclass(frozen=True)
class Target:
    """At most so much of one metric.

    Attributes:
        metric: one of `METRICS`.
        value: of the metric, in its unit; or a share of the original's.
        relative: whether it is a share.
    """

    metric: str
    value: float
    relative: bool

    def __str__(self) -> str:
        return f"{self.metric}={self.value:g}{'x' if self.relative else ''}"

    def limit(self, original: PassCost) -> float:
        """Return the largest value of the metric that meets the target, in the metric's unit."""
        return self.value * metric_of(original, self.metric) if self.relative else self.value

    def spent(self, figures: PassCost, original: PassCost) -> float:
        """Return what share of the target a network's cost is."""
        return metric_of(figures, self.metric) / self.limit(original)


def metric_of(figures: PassCost, metric: str) -> float:
    """Return a cost in the unit of the metric."""
    if metric == "edp":
        return figures.edp_J_cycle
    if metric == "energy":
        return figures.energy_pJ * 1e-6
    return float(figures.cycles if metric == "cycles" else figures.macs)


def parse_targets(texts: Sequence[str]) -> tuple[Target, ...]:
    """Read targets: ``edp=0.3x``, ``energy=120`` (uJ), ``cycles=2e6``, ``macs=0.5x``, ``front`` or ``energy=front``.

    Raises:
        InputError: a text is none of these, or two name different metrics.
    """
    found = [target for text in texts for target in _parse(text)]
    metrics = sorted({target.metric for target in found})
    if len(metrics) > 1:
        raise InputError(f"targets of one run share one metric, found {' and '.join(metrics)}; run once for each")
    return tuple(sorted(dict.fromkeys(found), key=lambda target: (-target.value, target.relative)))


def parse_knobs(text: str) -> tuple[str, ...]:
    """Read what a search may turn, of `KNOBS`: ``channels,depth``, in any order.

    Raises:
        InputError: a name is none of these, or there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KNOBS:
            raise InputError(f"no knob '{name}'{did_you_mean(name, KNOBS)}")
    if not names:
        raise InputError(f"no knob in '{text}'; knobs are {', '.join(KNOBS)}")
    return tuple(knob for knob in KNOBS if knob in names)


def _parse(text: str) -> list[Target]:
    metric, equals, value = ("edp", "=", "front") if text.strip() == "front" else text.strip().partition("=")
    metric = metric.strip().lower()
    if metric not in METRICS or not equals:
        hint = did_you_mean(metric, METRICS) if metric not in METRICS else "; a value is missing"
        raise InputError(f"target '{text}'{hint}; write edp=0.3x (a share of the original's) or energy=120")
    if value.strip() == "front":
        return [Target(metric, share, True) for share in FRONT]
    number = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(x|%)?\s*", value)
    try:
        amount = float(number[1]) if number else math.nan
    except ValueError:
        amount = math.nan
    if number and number[2] == "%":
        amount /= 100
    if not 0 < amount < math.inf:
        raise InputError(f"target '{text}': '{value}' is no amount; write 0.3x, 30%, or a number of {METRICS[metric]}")
    if number and number[2] and amount >= 1:
        raise InputError(f"target '{text}' asks for no less than the original costs; write a share below 1")
    return [Target(metric, amount, bool(number and number[2]))]
