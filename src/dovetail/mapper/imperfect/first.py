"""A first mapping of imperfect factors where there is no perfect one to begin from: changed at random until it fits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.imperfect.moves import DRAWS, change_to_fit
from dovetail.mapper.imperfect.space import evaluated
from dovetail.mapper.limits import (
    AXIS,
    GENES,
    IS_FANOUT,
    LEAST,
    ON_Y,
    ORDER,
    PLACE,
    ROOM_X,
    SPATIAL_ORDER,
    SPATIAL_X,
    SPATIAL_Y,
    TEMPORAL,
)
from dovetail.mapper.local.moves import brood_of
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import Objective
from dovetail.mapping.origins import as_searched
from dovetail.model.arrays import Bools, Floats, Ints
from dovetail.workload.problem import Problem

#: Rounds of changes, mappings that stay from one round to the next, and changed ones per round.
ROUNDS, KEPT, BROOD = 60, 32, 1024


def exists_imperfect(problem: Problem, architecture: Architecture, energies: EnergyTable) -> bool:
    """Return whether a mapping of imperfect factors was met in about a second; False says nothing."""
    space = Mapspace.of(problem, as_searched(architecture, problem), energies, Objective.EDP)
    return _fitting(space, lambda: False) is not None


def first_fitting(space: Mapspace, is_over: Callable[[], bool]) -> Crowd | None:
    """Return mappings that obey all limits, with their ranks; None where none was met.

    The same space gives the same answer, unless ``is_over`` ends it.
    """
    found = _fitting(space, is_over)
    return None if found is None else evaluated(space, *found).best(KEPT)


def _fitting(space: Mapspace, is_over: Callable[[], bool]) -> tuple[Ints, Bools, Ints] | None:
    """Return genes, keepers and last passes of some mappings that obey all limits; None where none was met."""
    generator = np.random.default_rng(0)
    genes, keep = _simplest(space)[None], space.kept_at_least()[None]
    last, breaches, marks = changed(space, genes, keep, genes, np.zeros(1, np.int64), np.empty((1, 0)))
    for _ in range(ROUNDS):
        if (breaches == 0).any():
            fit = breaches == 0
            return genes[fit], keep[fit], last[fit]
        if is_over():
            return None
        mothers = (generator.random(BROOD) ** 2 * len(genes)).astype(np.int64)
        fathers = generator.integers(0, len(genes), BROOD)
        new_genes, new_keep = genes[mothers], keep[mothers]
        new = changed(space, new_genes, new_keep, genes, fathers, generator.random((BROOD, DRAWS)))
        genes, keep = np.concatenate([genes, new_genes]), np.concatenate([keep, new_keep])
        last, breaches, marks = (np.concatenate(pair) for pair in zip((last, breaches, marks), new, strict=True))
        order = np.lexsort((marks, breaches))
        order = order[np.append(True, np.diff(marks[order]) != 0)][:KEPT]
        genes, keep, last, breaches, marks = genes[order], keep[order], last[order], breaches[order], marks[order]
    return None


def _simplest(space: Mapspace) -> Ints:
    """Return the genes with the least factors everywhere, loops in the order of their places."""
    limits = space.limits
    levels, dims = limits.loops.shape[:2]
    genes = np.ones((GENES, levels, dims), np.int64)
    for level in range(levels):
        genes[[ORDER, SPATIAL_ORDER], level] = np.argsort(limits.loops[level, :, PLACE], kind="stable")
        for d in range(dims):
            field = TEMPORAL
            if limits.levels[level, IS_FANOUT]:
                on_y = limits.loops[level, d, AXIS] == ON_Y or limits.levels[level, ROOM_X] == 1
                field = SPATIAL_Y if on_y else SPATIAL_X
            genes[field, level, d] = limits.loops[level, d, LEAST]
    return genes


def changed(
    space: Mapspace, genes: Ints, keep: Bools, others: Ints, fathers: Ints, draws: Floats
) -> tuple[Ints, Floats, Ints]:
    """Change mappings in place; returns their last passes, by how much they break the limits, and marks.

    Draws of ``(candidates, 0)`` change nothing but what the bounds leave of factors.
    """
    count, _, levels, dims = genes.shape
    last = np.empty((count, 2, levels, dims), np.int64)
    brood, breaches = brood_of(genes, keep, others, fathers, draws), np.empty(count)
    change_to_fit(space.limits, brood, last, breaches)
    return last, breaches, brood.marks
