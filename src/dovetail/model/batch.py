"""Many mappings at once: the counting rules of `dovetail.model.kernel`, compiled, over arrays of mappings.

What a mapping does (`count_batch`) does not depend on how large, fast and dear levels are, so mappings counted once are
priced on as many machines as one likes (`price_batch`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dovetail.errors import MappingError
from dovetail.model import kernel
from dovetail.model.arrays import Floats, Ints, Machine, Nest, Rules, Workspace, workspace
from dovetail.model.by_address import by_address
from dovetail.model.charges import COUNTS, overflowing_level, total_cost
from dovetail.model.compile import jit_plain, part


@by_address
class BatchCosts(NamedTuple):
    """Costs of many mappings; axis ``candidates`` is that of the mappings.

    Attributes:
        cycles: ``(candidates,)``.
        energy_pJ: ``(candidates,)``.
        overflow: ``(candidates,)`` index of the innermost level whose tiles do not fit it; -1 where all fit. Cycles
            and energy of a mapping that does not fit are those of a machine with room for it.
    """

    cycles: Ints
    energy_pJ: Floats
    overflow: Ints

    @staticmethod
    def room(candidates: int) -> BatchCosts:
        """Return room for the costs of so many mappings."""
        return BatchCosts(np.empty(candidates, np.int64), np.empty(candidates), np.empty(candidates, np.int64))


def evaluate_batch(nests: Nest, rules: Rules, machine: Machine) -> BatchCosts:
    """Return the costs of many mappings; the same numbers as `dovetail.model.evaluate.evaluate` gives for each.

    Args:
        nests: the mappings, every array with a leading axis ``candidates``; factors of a dimension make up its
            bound, which is for the caller to see to.
        rules: of the problem and architecture.
        machine: of the architecture and its energies.

    Raises:
        MappingError: the arrays' shapes do not go together.
    """
    tensors, axes, dims = rules.coefficients.shape
    levels, candidates = len(machine.capacity), nests.temporal.shape[0]
    for name, array in zip(Nest._fields, nests, strict=True):
        wanted = (candidates, levels, tensors if name == "keep" else dims)
        if array.shape != wanted:
            raise MappingError(f"{name} of the mappings has shape {array.shape}; it must be {wanted}")
    work = workspace(levels, tensors, axes, dims)
    counts = np.zeros((levels, tensors, COUNTS), np.int64)
    costs = BatchCosts.room(candidates)
    evaluate_all(plain(nests), rules, machine, work, counts, costs)
    return costs


@dataclass(frozen=True)
class Counted:
    """What many mappings do, whatever that costs.

    Attributes:
        counts: ``(candidates, levels, tensors, COUNTS)`` words per instance in use; see `dovetail.model.charges`.
        steps: ``(candidates,)`` cycles of computing alone.
        instances: ``(candidates, levels)`` in use.
        computes: ``(candidates,)`` executions of the loop body.
        spread: ``(candidates, levels, 2)`` instances that a level's fan-out takes along X and Y.
    """

    counts: Ints
    steps: Ints
    instances: Ints
    computes: Ints
    spread: Ints


def count_batch(nests: Nest, rules: Rules) -> Counted:
    """Count what many mappings do; ``nests`` and ``rules`` as in `evaluate_batch`."""
    tensors, axes, dims = rules.coefficients.shape
    candidates, levels = nests.temporal.shape[:2]
    work = workspace(levels, tensors, axes, dims)
    counted = Counted(
        counts=np.zeros((candidates, levels, tensors, COUNTS), np.int64),
        steps=np.zeros(candidates, np.int64),
        instances=np.zeros((candidates, levels), np.int64),
        computes=np.zeros(candidates, np.int64),
        spread=np.stack([nests.spatial_x.prod(axis=2), nests.spatial_y.prod(axis=2)], axis=2),
    )
    _count_all(plain(nests), rules, work, counted.counts, counted.steps, counted.instances, counted.computes)
    return counted


def price_batch(counted: Counted, machine: Machine) -> BatchCosts:
    """Return what counted mappings cost on a machine; fan-outs are for the caller to look at (`Counted.spread`)."""
    costs = BatchCosts.room(len(counted.steps))
    _price_all(machine, counted.counts, counted.steps, counted.instances, counted.computes, costs)
    return costs


def candidate(nests: Nest, index: int) -> Nest:
    """Return one of many mappings."""
    return Nest._make(array[index] for array in nests)


def stack(nests: list[Nest]) -> Nest:
    """Return many mappings as one batch."""
    return Nest._make(np.stack(arrays) for arrays in zip(*nests, strict=True))


def plain(nests: Nest) -> Nest:
    """Return mappings as arrays with the layout and types that the compiled code was made for."""
    return Nest._make(np.ascontiguousarray(a, np.bool_ if a.dtype == np.bool_ else np.int64) for a in nests)


@part(inline=True)
def nest_at(nests: Nest, i: int) -> Nest:
    """Return one of many mappings, in compiled code, which needs its fields by name; see `candidate`."""
    return Nest(
        nests.temporal[i],
        nests.order[i],
        nests.spatial_x[i],
        nests.spatial_y[i],
        nests.spatial_order[i],
        nests.keep[i],
    )


@jit_plain
def evaluate_all(nests: Nest, rules: Rules, machine: Machine, work: Workspace, counts: Ints, costs: BatchCosts) -> None:
    """Fill in the costs of every mapping; see `evaluate_batch`."""
    for i in range(costs.cycles.shape[0]):
        nest = nest_at(nests, i)
        kernel.count_all(rules, nest, work, counts)
        costs.overflow[i] = overflowing_level(machine, counts)
        costs.cycles[i], costs.energy_pJ[i] = kernel.cost_of(machine, nest, work, counts)


@jit_plain
def _count_all(
    nests: Nest, rules: Rules, work: Workspace, counts: Ints, steps: Ints, instances: Ints, computes: Ints
) -> None:
    for i in range(steps.shape[0]):
        nest = nest_at(nests, i)
        kernel.count_all(rules, nest, work, counts[i])
        steps[i] = kernel.compute_steps(nest.temporal)
        computes[i] = steps[i] * kernel.units_in_use(work)
        for level in range(instances.shape[1]):
            instances[i, level] = work.instances[level]


@jit_plain
def _price_all(machine: Machine, counts: Ints, steps: Ints, instances: Ints, computes: Ints, costs: BatchCosts) -> None:
    for i in range(steps.shape[0]):
        costs.overflow[i] = overflowing_level(machine, counts[i])
        costs.cycles[i], costs.energy_pJ[i] = total_cost(
            machine, counts[i], steps[i], instances[i], instances[i], computes[i]
        )
