"""Tables of `bench_shrink.py`: methods at equal EDP by interpolation, and differences over both kinds of seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dovetail.accuracy.statistics import Interval, holm, interval, student_quantile, student_tail

#: Shares of the original's EDP at which methods are compared.
SHARES = (0.1, 0.05)
OURS = "supernet"
#: Stands where some method has no network so cheap.
BEYOND = "out of reach"
SHOWN = {
    OURS: "exact cost", "macs": "MACs-driven", "netadapt": "NetAdapt", "knapsack": "knapsack (HALP)",
    "random": "random, equal count", "uniform": "uniform width",
}  # fmt: skip
#: A part of the results: one network, design and supernet, as `bench_shrink.result_of` returns it.
Part = Mapping[str, Any]


def print_tables(parts: Sequence[Part]) -> None:
    """Print what every method came to, and how ours differs from the others."""
    if not parts:
        print("no part is there yet: bench_shrink.py --run")
        return
    for (network, design), own in _by_place(parts):
        seeds = len(own[0]["original"]["test"])
        print(f"\n{network} on {design}: {len(own)} supernets x {seeds} seeds; test accuracy in percent")
        whole, plain = _mean_of(own, "original"), _mean_of(own, "plain")
        print(f"original trained on likewise {points(whole)}, plainly for as many steps as both {points(plain)}\n")
        print("| method | targets met at, mean EDP | " + " | ".join(f"at {s:g}x" for s in SHARES) + " |")
        print("|---|---|" + "---:|" * len(SHARES))
        shares = [share for share in SHARES if all(_has(part, share) for part in own)]
        for method in SHOWN:
            met = ", ".join(f"{mean:.3f}x" for mean in _mean_shares(own, method))
            at = {s: points(over_supernets([_at(part, method, s) for part in own])) for s in shares}
            print(f"| {SHOWN[method]} | {met} | {' | '.join(at.get(s, BEYOND) for s in SHARES)} |")
        _print_differences(own, shares)


def _has(part: Part, share: float) -> bool:
    """Return whether every method has a network at most as dear as a share of the original."""
    return all(min(each["edp_share"] for each in part["methods"][method]) <= share for method in SHOWN)


def _print_differences(own: Sequence[Part], shares: Sequence[float]) -> None:
    print("\n| exact cost less | " + " | ".join(f"at {s:g}x, points | p (Holm)" for s in shares) + " |")
    print("|---|" + "---:|---:|" * len(shares))
    for other in ("original", *(method for method in SHOWN if method != OURS)):
        found = [over_supernets([_difference(part, other, share) for part in own]) for share in shares]
        values = holm([_p_value(each) for each in found])
        cells = [f"{points(each, '+')} | {value:.3f}" for each, value in zip(found, values, strict=True)]
        print(f"| {SHOWN.get(other, other)} | {' | '.join(cells)} |")


def _by_place(parts: Sequence[Part]) -> Iterator[tuple[tuple[str, str], list[Part]]]:
    def place(part: Part) -> tuple[str, str]:
        return part["network"], part["design"]

    for at, group in itertools.groupby(sorted(parts, key=place), place):
        yield at, sorted(group, key=lambda part: int(part["supernet"]))


def _at(part: Part, method: str, share: float) -> list[float]:
    """Return per training seed the accuracy at a share of the original's EDP, by linear interpolation in its logarithm.

    The original, at 1, is a point of every method's curve. Below its cheapest network nothing is known.

    Raises:
        ValueError: the share lies there.
    """
    networks = [part["original"], *part["methods"][method]]
    points = sorted((math.log(each["edp_share"]), each["test"]) for each in networks)
    at = math.log(share)
    for (low, lower), (high, higher) in itertools.pairwise(points):
        if low <= at <= high:
            weight = (at - low) / (high - low) if high > low else 0.0
            return [(1 - weight) * a + weight * b for a, b in zip(lower, higher, strict=True)]
    raise ValueError(f"{method} of {part['network']} on {part['design']} has no network as cheap as {share:g}x")


def _difference(part: Part, other: str, share: float) -> list[float]:
    """Return per training seed our accuracy at a share less another method's, or the original's at 1."""
    theirs = part["original"]["test"] if other == "original" else _at(part, other, share)
    return [a - b for a, b in zip(_at(part, OURS, share), theirs, strict=True)]


def over_supernets(values: Sequence[Sequence[float]]) -> Interval:
    """Return the mean over supernets, of means over training seeds, with its t-interval.

    Seeds of training lie within supernets, as many in each, so the spread of the supernets' means has both kinds of
    chance in it.
    """
    return interval([math.fsum(each) / len(each) for each in values])


def _mean_of(parts: Sequence[Part], what: str) -> Interval:
    return over_supernets([part[what]["test"] for part in parts])


def _mean_shares(parts: Sequence[Part], method: str) -> list[float]:
    columns = zip(*([each["edp_share"] for each in part["methods"][method]] for part in parts), strict=True)
    return [math.fsum(column) / len(column) for column in columns]


def _p_value(found: Interval) -> float:
    """Return how likely a mean so far from 0 is where the true one is 0, two-sided; 1 where one value says nothing."""
    if found.high is None or found.half_width is None:
        return 1.0
    if found.half_width == 0:
        return float(found.mean == 0)
    error = found.half_width / student_quantile(found.confidence, found.count - 1)
    return student_tail(found.mean / error, found.count - 1)


def points(found: Interval, sign: str = "") -> str:
    half = found.half_width
    return f"{100 * found.mean:{sign}.2f}" + ("" if half is None else f" ± {100 * half:.2f}")
