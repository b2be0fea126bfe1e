"""The space of mappings whose factors need not divide, as arrays, and what ranks its mappings."""

from __future__ import annotations

import numpy as np

from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import ranks_of
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Bools, Ints, Nest, Residuals
from dovetail.model.encode import encode_mapping, encode_residuals
from dovetail.model.residual_batch import evaluate_imperfect_batch


def crowd_of(space: Mapspace, mapping: Mapping) -> Crowd:
    """Return one mapping as a crowd."""
    nest = encode_mapping(mapping, space.problem, space.architecture, imperfect=True)
    genes = space.genes(Nest._make(array[None] for array in nest))
    last = np.stack([part[:, space.active] for part in encode_residuals(mapping, space.problem)])
    return evaluated(space, genes, nest.keep[None], last[None])


def evaluated(space: Mapspace, genes: Ints, keep: Bools, last: Ints) -> Crowd:
    """Return mappings with their ranks; those that do not fit rank infinitely bad.

    They rank by the energy that they would have were the average of instances in use not cut off to an integer: no
    answer is good by that only. The third rank is what is minimised as the model gives it.
    """
    nests = Nest._make(np.ascontiguousarray(array) for array in (*genes.swapaxes(0, 1), keep))
    residuals = Residuals._make(np.ascontiguousarray(array) for array in last.swapaxes(0, 1))
    costs, lost = evaluate_imperfect_batch(nests, residuals, space.rules, space.machine)
    cycles = costs.cycles.astype(np.float64)
    first, second = ranks_of(space.objective, costs.energy_pJ * lost, cycles)
    own, _ = ranks_of(space.objective, costs.energy_pJ, cycles)
    ranks = np.stack([first, second, own], axis=1)
    ranks[costs.overflow >= 0] = np.inf
    return Crowd(genes, keep, ranks, last)
