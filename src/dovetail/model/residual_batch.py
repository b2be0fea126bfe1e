"""Many imperfect mappings at once: the counting rules of `dovetail.model.residual`, compiled."""

from __future__ import annotations

import numpy as np

from dovetail.errors import MappingError
from dovetail.model import residual
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Residuals, Rules, Tour, Workspace, tour, workspace
from dovetail.model.batch import BatchCosts, nest_at
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
    lost = np.ones(candidates)
    costs = BatchCosts(np.empty(candidates, np.int64), np.empty(candidates), np.empty(candidates, np.int64))
    _evaluate_all(
        nests,
        residuals,
        rules,
        machine,
        workspace(levels, tensors, axes, dims),
        tour(levels, axes, dims),
        np.zeros((levels, tensors, COUNTS), np.int64),
        costs.cycles,
        costs.energy_pJ,
        costs.overflow,
        lost,
    )
    return costs, lost


@jit
def _evaluate_all(
    nests: Nest,
    residuals: Residuals,
    rules: Rules,
    machine: Machine,
    work: Workspace,
    walk: Tour,
    counts: Ints,
    cycles: Ints,
    energy: Floats,
    overflow: Ints,
    lost: Floats,
) -> None:
    for i in range(cycles.shape[0]):
        nest = nest_at(nests, i)
        last = Residuals(residuals.temporal[i], residuals.spatial[i])
        computes = residual.count_all(rules, nest, last, work, walk, counts)
        overflow[i] = overflowing_level(machine, counts)
        cycles[i], energy[i] = residual.cost_of(machine, nest, work, walk, counts, computes)
        if energy[i] > 0:
            lost[i] = max(1.0, residual.energy_made_good(machine, nest, work, walk, counts, computes) / energy[i])
