"""Fan-outs whose traffic has no product form (overlaps, transfers between neighbours): the model counts them."""

from __future__ import annotations

from typing import NamedTuple

from dovetail.mapper.exact.rows import (
    COUNTED,
    FACTOR,
    LINKED,
    ON_Y,
    ORDER,
    PASSED,
    REAL_FIELDS,
    SENT,
    SHARE,
    SHARED,
    Paths,
    path_at,
)
from dovetail.model import kernel
from dovetail.model.arrays import Bools, Floats, Ints, Nest, Rules, Workspace
from dovetail.model.by_address import by_address
from dovetail.model.compile import jit_plain, part


@part()
def read_path(spatial: Bools, path: Paths, inside: Ints, nest: Nest) -> None:
    """Fill the model's arrays with a path's decisions.

    Args:
        spatial: ``(levels,)`` which levels are fan-outs; levels further in are filled with one iteration.
        path: a row's decisions.
        inside: ``(dims,)`` what is not decided yet: counted as loops over time at the innermost level.
        nest: to fill.
    """
    levels, dims = nest.temporal.shape
    for level in range(levels):
        for d in range(dims):
            nest.temporal[level, d] = nest.spatial_x[level, d] = nest.spatial_y[level, d] = 1
            nest.order[level, d] = nest.spatial_order[level, d] = d
        if level >= spatial.shape[0]:
            continue
        for d in range(dims):
            factor, at = path[path_at(level, FACTOR, d, dims)], path[path_at(level, ORDER, d, dims)]
            if not spatial[level]:
                nest.temporal[level, d] = factor
                nest.order[level, d] = at
            else:
                nest.spatial_order[level, d] = at
                if path[path_at(level, ON_Y, d, dims)]:
                    nest.spatial_y[level, d] = factor
                else:
                    nest.spatial_x[level, d] = factor
    for d in range(dims):
        if inside[d] > 1:
            nest.temporal[levels - 1, d] *= inside[d]


@by_address
class Passed(NamedTuple):
    """What is fixed while a fan-out is counted for many partial mappings.

    Attributes:
        level: the fan-out.
        spatial: ``(level + 1,)`` which of the decided levels are fan-outs.
        inside: ``(rows, dims)`` sizes of the child's tile.
    """

    level: int
    spatial: Bools
    inside: Ints


@jit_plain
def count_fanout(rules: Rules, fanout: Passed, paths: Paths, reals: Floats, nest: Nest, work: Workspace) -> None:
    """Let the model count a fan-out for every row whose tensors are marked as not counted.

    Args:
        rules: of the model.
        fanout: which, and what its children hold.
        paths: ``(rows, columns)``.
        reals: ``(rows, REAL_FIELDS, tensors)`` to fill.
        nest: scratch.
        work: the model's workspace.
    """
    tensors, levels, level = rules.coefficients.shape[0], nest.temporal.shape[0], fanout.level
    dims = nest.temporal.shape[1]
    for row in range(paths.shape[0]):
        marked = False
        for tensor in range(tensors):
            marked = marked or reals[row, COUNTED, tensor] < 0
        if not marked:
            continue
        read_path(fanout.spatial, paths[row], fanout.inside[row], nest)
        if level == levels - 1:  # nothing is further in than the fan-out itself: compute is
            for d in range(dims):
                nest.temporal[level, d] = 1
        kernel.tile_sizes(nest, work)
        for tensor in range(tensors):
            if reals[row, COUNTED, tensor] >= 0:
                continue
            if level + 1 < levels:
                nest.keep[level + 1, tensor] = True  # what a child receives is wanted exactly
            kernel.fan_out(rules, tensor, level, nest, work)
            note(work.statistics[level, tensor], work.children[level], reals[row], tensor)


@part()
def note(counted: Floats, children: int, real: Floats, tensor: int) -> None:
    """Write down what the model counted; without links and rounding the product form is enough."""
    passed = counted[kernel.SENT] * children / counted[kernel.DELIVERED]
    if counted[kernel.LINKED] == 0 and counted[kernel.SHARE] == counted[kernel.DELIVERED] / children:
        real[SHARED, tensor] *= passed
        for field in range(COUNTED, REAL_FIELDS):
            real[field, tensor] = 0.0
        return
    real[COUNTED, tensor] = children
    real[SENT, tensor] = counted[kernel.SENT]
    real[PASSED, tensor] = passed
    real[SHARE, tensor] = counted[kernel.SHARE]
    real[LINKED, tensor] = counted[kernel.LINKED]
