"""Many imperfect mappings at once: the counting rules of `dovetail.model.residual`, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dovetail.errors import MappingError
from dovetail.model import residual
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Residuals, Rules, Tour, Workspace, tour, workspace
from dovetail.model.batch import BatchCosts, nest_at
from dovetail.model.by_address import by_address
from dovetail.model.charges import COUNTS, overflowing_level
from dovetail.model.compile import jit


def evaluate_imperfect_batch(
    nests: Nest, residuals: Residuals, rules: Rules, machine: Machine
) -> tuple[BatchCosts, Floats]:
    """Return the costs of many mappings with shorter last passes; as `dovetail.model.evaluate.evaluate` gives for each.

    Args:
        nests: the mappings, every array with a leading axis ``candidates``.
        residuals: their last passes, ``(candidates, levels, dims)`` each.
        rules: of the problem and architecture.
        machine: of the architecture and its energies.

    Returns:
        The costs, and ``(candidates,)`` how many times their energy would be, were the average of instances in use not
        cut off to an integer: at least 1 and below 2.

    Raises:
        MappingError: the arrays' shapes do not go together.
    """
    tensors, axes, dims = rules.coefficients.shape
    levels, candidates = len(machine.capacity), nests.temporal.shape[0]
    for name, array in (*zip(Nest._fields, nests, strict=True), *zip(Residuals._fields, residuals, strict=True)):
        wanted = (candidates, levels, tensors if name == "keep" else dims)
        if array.shape != wanted:
            raise MappingError(f"{name} of the mappings has shape {array.shape}; it must be {wanted}")
    lost, costs = np.ones(candidates), BatchCosts.room(candidates)
    counts = np.zeros((levels, tensors, COUNTS), np.int64)
    scratch = Scratch(workspace(levels, tensors, axes, dims), tour(levels, axes, dims), counts)
    _evaluate_all(nests, residuals, rules, machine, scratch, costs, lost)
    return costs, lost


@by_address
class Scratch(NamedTuple):
    """What every mapping is counted in, one after another.

    Attributes:
        work: of the model.
        walk: through the nest.
        counts: ``(levels, tensors, COUNTS)`` words; see `dovetail.model.charges`.
    """

    work: Workspace
    walk: Tour
    counts: Ints


@jit
def _evaluate_all(
    nests: Nest,
    residuals: Residuals,
    rules: Rules,
    machine: Machine,
    scratch: Scratch,
    costs: BatchCosts,
    lost: Floats,
) -> None:
    work, walk, counts = scratch.work, scratch.walk, scratch.counts
    for i in range(lost.shape[0]):
        nest = nest_at(nests, i)
        last = Residuals(residuals.temporal[i], residuals.spatial[i])
        computes = residual.count_all(rules, nest, last, work, walk, counts)
        costs.overflow[i] = overflowing_level(machine, counts)
        costs.cycles[i], energy = residual.cost_of(machine, nest, work, walk, counts, computes)
        costs.energy_pJ[i] = energy
        if energy > 0:
            lost[i] = max(1.0, residual.energy_made_good(machine, nest, work, walk, counts, computes) / energy)
