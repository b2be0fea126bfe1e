"""Describes an architecture: its levels, their sizes, what constrains their mappings, and what is done about zeros."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dovetail.columns import folded
from dovetail.hardware.architecture import (
    Architecture,
    Compute,
    Level,
    LoopConstraints,
    Relation,
    Spatial,
    Storage,
)
from dovetail.hardware.constraint_reader import ALL_ON_X
from dovetail.table import Table, headed


def describe(architecture: Architecture, width: int | None = None) -> str:
    """Return a summary of an architecture: one line per level, outer to inner, then constraints and zeros.

    Args:
        architecture: what to describe.
        width: characters at hand; None for as many as it takes.
    """
    clock = 1e-6 / architecture.cycle_seconds
    head = f"{architecture.name}: {architecture.parallelism} MACs per cycle at {clock:g} MHz"
    columns = headed("level", "class", "count", "holds", "line", "words per cycle")
    rows = tuple(map(_row, architecture.levels))
    table = Table(tuple(replace(column, words=True) for column in columns), rows)
    lines = [*folded(head, width), "", table.text(width, ruled=False)]
    for head, items in said_of_levels(architecture.levels):
        lines += ["", head, *(line for item in items for line in folded(f"  {item}", width, "    "))]
    return "\n".join(lines)


def said_of_levels(levels: Iterable[Level]) -> Iterator[tuple[str, list[str]]]:
    """Yield what else there is to say of levels: a heading, and a line for each level that it speaks of."""
    levels = tuple(levels)
    for head, text in (
        ("constraints", constraints_text), ("what is done about zeros", lambda level: str(level.sparse)),
    ):  # fmt: skip
        items = [f"{level.name}: {said}" for level in levels if (said := text(level))]
        if items:
            yield head, items


def constraints_text(level: Level) -> str:
    """Return a level's constraints in one line; empty when it has none."""
    own = level.constraints
    parts = [
        _names("keeps", own.keep),
        _names("passes", own.bypass),
        _all_but("keeps all", own.keep_all_but),
        _all_but("passes all", own.bypass_all_but) if own.bypass_all_but != own.keep else "",
        _loops("time", own.temporal),
        _loops("space", own.spatial),
    ]
    return "; ".join(filter(None, parts))


def products_text(compute: Compute) -> str:
    """Say how many products a unit does at once, and what becomes of them; empty where it does one."""
    if not compute.products:
        return ""
    said = ", ".join(f"{each.value:g} of {each.bits} bits" for each in compute.products)
    return f"products at once: {said}; sums {compute.product_sums}"


def split_text(split: int) -> str:
    """Say how many dimensions of a permutation, counted from the innermost, a split puts on X."""
    if split == 0:
        return "all on Y"
    return "all on X" if split >= ALL_ON_X else f"first {split} on X"


def _row(level: Level) -> tuple[str, ...]:
    count = str(level.instances)
    if isinstance(level, Spatial):
        size = "by widths" if level.packs else f"{level.fanout_x} x {level.fanout_y}"
        return level.name, f"fan-out {size}", count, "", "", ""
    if isinstance(level, Compute):
        return level.name, level.component, count, "", "", products_text(level)
    assert isinstance(level, Storage)
    line = f"{level.block} x {level.datawidth} bit"
    if level.cluster_size > 1:
        line += f", shared by {level.cluster_size}"
    return level.name, level.component, count, _capacity(level), line, _bandwidth(level)


def _capacity(level: Storage) -> str:
    if level.words is None:
        return "any number"
    size = level.words * level.datawidth / 8
    unit = next((unit for unit, scale in (("MiB", 2**20), ("KiB", 2**10)) if size >= scale), "B")
    size /= {"MiB": 2**20, "KiB": 2**10, "B": 1}[unit]
    buffering = f", {level.multiple_buffering:g} buffers" if level.multiple_buffering != 1 else ""
    return f"{level.words} words ({size:.4g} {unit}{buffering})"


def _bandwidth(level: Storage) -> str:
    parts = (
        ("read", level.read_bandwidth),
        ("write", level.write_bandwidth),
        ("together", level.shared_bandwidth),
    )
    return ", ".join(f"{what} {value:.4g}" for what, value in parts if value is not None)


def _names(verb: str, names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"{verb} {listed}" if listed else ""


def _all_but(verb: str, names: frozenset[str] | None) -> str:
    if names is None:
        return ""
    return f"{verb} but {', '.join(sorted(names))}" if names else verb


def _loops(kind: str, loops: LoopConstraints) -> str:
    factors = " ".join(
        f"{f.dimension}=all" if f.relation is Relation.EQ and f.value == 0 else f"{f.dimension}{f.relation}{f.value}"
        for f in loops.factors
    )
    groups = " then ".join("(" + " ".join(group) + ")" for group in loops.maximize)
    parts = [
        factors + (" and no others" if loops.only_listed else ""),
        f"inner to outer {' '.join(reversed(loops.inner))}" if loops.inner else "",
        f"outermost {' '.join(loops.outer)}" if loops.outer else "",
        split_text(loops.split) if loops.split is not None else "",
        _names("no loops over", loops.no_iteration_over),
        _names("loops only over", loops.iteration_over or ()),
        f"as large as fits {groups}" if groups else "",
        f"each at most {loops.default_max}" if loops.default_max is not None else "",
        f"each at least {loops.default_min}" if loops.default_min is not None else "",
        _names("no reuse of", loops.no_reuse),
        _names("no links for", loops.no_link_transfer),
        _names("first update reads", loops.rmw_first_update),
    ]
    text = ", ".join(filter(None, parts)).strip()
    return f"{kind}: {text}" if text else ""
