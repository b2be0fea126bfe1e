"""Random changes to mappings whose factors need not divide, and whether what comes out fits; compiled.

Genes are as in `dovetail.mapper.limits`. From the inside out, each slot takes its factor of what is left of a
dimension, rounded up where it does not divide it; the outermost storage takes the rest.
"""

from __future__ import annotations

from dovetail.mapper.limits import (
    AXIS,
    IS_FANOUT,
    LEAST,
    MOST,
    MOST_LOOPS,
    ON_X,
    ON_Y,
    ORDER,
    ROOM_X,
    ROOM_Y,
    SPATIAL_ORDER,
    SPATIAL_X,
    SPATIAL_Y,
    TEMPORAL,
    Limits,
    excess_at,
    excess_of,
    obeys,
)
from dovetail.mapper.local.moves import Brood, keep_or_pass, mark, other_axis, pick, place_loop, reorder, take_factors
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.model.compile import jit_plain, part
from dovetail.model.kernel import compute_steps

#: Random numbers that one change uses, and that a changed mapping uses at most.
_EACH = 8
DRAWS = 3 + 4 * _EACH


@jit_plain
def change_imperfect(limits: Limits, brood: Brood, last: Ints, steps: Ints) -> None:
    """Change mappings in place, each by one random change or a few.

    Args:
        limits: of the mapspace.
        brood: the mappings.
        last: ``(candidates, 2, levels, dims)`` to fill: iterations of last passes, over time and in space.
        steps: ``(candidates,)`` to fill: cycles that computing takes; 0 where the mapping breaks a limit.
    """
    for i in range(brood.fathers.shape[0]):
        own, kept = brood.genes[i], brood.keep[i]
        _change(limits, brood, i, last[i])
        steps[i] = compute_steps(own[TEMPORAL]) if _fits(limits, own, kept, brood.sizes) else 0
        brood.marks[i] = mark(own, kept)


@jit_plain
def change_to_fit(limits: Limits, brood: Brood, last: Ints, breaches: Floats) -> None:
    """Change mappings as `change_imperfect` does, and say by how much each breaks the limits.

    ``breaches`` ``(candidates,)`` is filled with 0 where a mapping obeys the limits and its tiles fit; draws of
    ``(candidates, 0)`` change nothing but what the bounds leave of factors; the rest is as there.
    """
    for i in range(brood.fathers.shape[0]):
        own, kept = brood.genes[i], brood.keep[i]
        _change(limits, brood, i, last[i])
        breaches[i] = _breach(limits, own, kept, brood.sizes)
        if breaches[i] == 0 and not obeys(limits, own):
            breaches[i] = 1
        brood.marks[i] = mark(own, kept)


@part()
def _change(limits: Limits, brood: Brood, i: int, last: Ints) -> None:
    """Change a mapping once or a few times, and make its factors cover the bounds."""
    own, draw = brood.genes[i], brood.draws[i]
    if draw.shape[0] > 0:
        if draw[0] < 0.15:
            take_factors(brood.others[brood.fathers[i]], own, draw[1])
        for change in range(1 + int(draw[2] > 0.4) + int(draw[2] > 0.7) + int(draw[2] > 0.9)):
            _change_once(limits, own, brood.keep[i], draw, 3 + _EACH * change)
    for d in range(limits.bounds.shape[0]):
        _refit(own, last, limits.bounds[d], d)


@jit_plain
def fit_all(limits: Limits, genes: Ints, keep: Bools, sizes: Ints, fit: Bools) -> None:
    """Fill ``fit`` ``(candidates,)``: whether mappings obey the limits and their largest tiles fit the storages."""
    for i in range(fit.shape[0]):
        fit[i] = _fits(limits, genes[i], keep[i], sizes)


@part()
def _change_once(limits: Limits, genes: Ints, kept: Bools, draw: Floats, at: int) -> None:
    """Make one change of a random kind; it may come to nothing."""
    if draw[at] < 0.6:
        d = pick(draw[at + 1], limits.bounds.shape[0])
        _set_factor(limits, limits.bounds[d], genes, d, draw, at + 2)
        if draw[at + 7] < 0.5:
            _set_factor(limits, limits.bounds[d], genes, d, draw, at + 4)
    elif draw[at] < 0.8:
        reorder(limits, genes, draw, at + 1)
    elif draw[at] < 0.92:
        keep_or_pass(limits, kept, draw, at + 1)
    else:
        other_axis(limits, genes, draw, at + 1)


@part()
def _set_factor(limits: Limits, bound: int, genes: Ints, d: int, draw: Floats, at: int) -> None:
    """Give a random slot of a dimension, not the outermost, another factor: any, one more or less, or a share.

    Draws that are used up choose level, axis, kind and factor in turn.
    """
    levels = genes.shape[1]
    level = 1 + pick(draw[at], levels - 1)
    most, field, choice = min(limits.loops[level, d, MOST], bound), TEMPORAL, draw[at + 1]
    if limits.levels[level, IS_FANOUT]:
        field = SPATIAL_X
        only_y = limits.levels[level, ROOM_X] == 1 or limits.loops[level, d, AXIS] == ON_Y
        if only_y or (limits.levels[level, ROOM_Y] > 1 and draw[at + 2] < 0.5):
            field = SPATIAL_Y
        most = min(most, limits.levels[level, ROOM_X + field - SPATIAL_X])
        genes[SPATIAL_X + SPATIAL_Y - field, level, d] = 1
    least = min(limits.loops[level, d, LEAST], most)
    before, factor = genes[field, level, d], most
    if choice < 0.25:
        factor = 1 + int(choice * 4 * most)
    elif choice < 0.5:
        factor = before + (1 if choice < 0.375 else -1)
    elif choice < 0.85:
        parts = 1 + int((choice - 0.5) / 0.35 * 8)
        factor = (bound + parts - 1) // parts
    genes[field, level, d] = max(least, min(factor, most))
    if before == 1:
        place_loop(limits, genes, ORDER if field == TEMPORAL else SPATIAL_ORDER, level, d, draw[at + 3])


@part()
def _refit(genes: Ints, last: Ints, bound: int, d: int) -> None:
    """Make a dimension's factors cover its bound, and fill the last passes."""
    left = bound
    for level in range(genes.shape[1] - 1, -1, -1):
        last[1, level, d] = 1
        for field in (SPATIAL_X, SPATIAL_Y, TEMPORAL):
            factor = min(genes[field, level, d], left)
            if level == 0 and field == TEMPORAL:
                factor = left
            genes[field, level, d] = factor
            rest = left % factor
            final = rest if rest > 0 else factor
            if field == TEMPORAL:
                last[0, level, d] = final
            elif factor > 1:
                last[1, level, d] = final
            left = (left + factor - 1) // factor


@part()
def _breach(limits: Limits, genes: Ints, kept: Bools, sizes: Ints) -> float:
    """Return by how much a mapping breaks its limits: each as a share of what it allows, all added up."""
    total = 0.0
    for level in range(genes.shape[1]):
        row, on_x, on_y, loops = limits.levels[level], 1, 1, 0
        for d in range(genes.shape[2]):
            x, y, own = genes[SPATIAL_X, level, d], genes[SPATIAL_Y, level, d], limits.loops[level, d]
            factor = genes[TEMPORAL, level, d] * x * y
            total += max(0, factor / own[MOST] - 1) + max(0, own[LEAST] / factor - 1)
            total += int(x > 1 and (y > 1 or own[AXIS] == ON_Y)) + int(y > 1 and own[AXIS] == ON_X)
            on_x, on_y, loops = on_x * x, on_y * y, loops + int(factor > 1)
        total += max(0, on_x / row[ROOM_X] - 1) + max(0, on_y / row[ROOM_Y] - 1) + max(0, loops - row[MOST_LOOPS])
        total += excess_at(limits, level, genes, kept, sizes) / max(1, limits.capacity[level])
    return total


@part()
def _fits(limits: Limits, genes: Ints, kept: Bools, sizes: Ints) -> bool:
    """Return whether a mapping obeys the constraints and its largest tiles fit the storages."""
    return obeys(limits, genes) and excess_of(limits, genes, kept, sizes) == 0
