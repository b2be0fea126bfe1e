"""Fan-outs whose traffic has no product form (overlaps, transfers between neighbours): the model counts them."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# ruff: noqa: ANN001, ANN201 - compiled code infers its types from the arrays

from __future__ import annotations

from dovetail.mapper.exact.expand import COUNTED, LINKED, PASSED, REAL_FIELDS, SENT, SHARE, SHARED
from dovetail.model import kernel
from dovetail.model.compile import jit_plain, part


@part()
def read_path(spatial, path, inside, nest):
    """Fill the model's arrays with a path's decisions.

    Args:
        spatial: ``(levels,)`` which levels are fan-outs; levels further in are filled with one iteration.
        path: a row's decisions.
        inside: ``(dims,)`` what is not decided yet: counted as loops over time at the innermost level.
        nest: to fill.
    """
    levels, dims = nest.temporal.shape
    for level in range(levels):
        start = level * (1 + 3 * dims)
        for d in range(dims):
            nest.temporal[level, d] = nest.spatial_x[level, d] = nest.spatial_y[level, d] = 1
            nest.order[level, d] = nest.spatial_order[level, d] = d
        if level >= spatial.shape[0]:
            continue
        for d in range(dims):
            factor, at = path[start + 1 + d], path[start + 1 + 2 * dims + d]
            if not spatial[level]:
                nest.temporal[level, d] = factor
                nest.order[level, d] = at
            else:
                nest.spatial_order[level, d] = at
                if path[start + 1 + dims + d]:
                    nest.spatial_y[level, d] = factor
                else:
                    nest.spatial_x[level, d] = factor
    for d in range(dims):
        if inside[d] > 1:
            nest.temporal[levels - 1, d] *= inside[d]


@jit_plain
def count_fanout(rules, spatial, level, inside, paths, reals, nest, work):
    """Let the model count the fan-out of a level for every row whose tensors are marked as not counted.

    Args:
        rules: of the model.
        spatial: ``(level + 1,)`` which of the decided levels are fan-outs.
        level: the fan-out.
        inside: ``(rows, dims)`` sizes of the child's tile.
        paths: ``(rows, columns)``.
        reals: ``(rows, columns)`` to fill.
        nest: scratch.
        work: the model's workspace.
    """
    tensors, levels = rules.coefficients.shape[0], nest.temporal.shape[0]
    dims = nest.temporal.shape[1]
    for row in range(paths.shape[0]):
        marked = False
        for tensor in range(tensors):
            marked = marked or reals[row, COUNTED * tensors + tensor] < 0
        if not marked:
            continue
        read_path(spatial, paths[row], inside[row], nest)
        if level == levels - 1:  # nothing is further in than the fan-out itself: compute is
            for d in range(dims):
                nest.temporal[level, d] = 1
        kernel.tile_sizes(nest, work)
        for tensor in range(tensors):
            if reals[row, COUNTED * tensors + tensor] >= 0:
                continue
            if level + 1 < levels:
                nest.keep[level + 1, tensor] = True  # what a child receives is wanted exactly
            kernel.fan_out(rules, tensor, level, nest, work)
            note(work.statistics[level, tensor], work.children[level], tensors, tensor, reals[row])


@part()
def note(counted, children, tensors, tensor, real):
    """Write down what the model counted; without links and rounding the product form is enough."""
    passed = counted[kernel.SENT] * children / counted[kernel.DELIVERED]
    if counted[kernel.LINKED] == 0 and counted[kernel.SHARE] == counted[kernel.DELIVERED] / children:
        real[SHARED * tensors + tensor] *= passed
        for field in range(COUNTED, REAL_FIELDS):
            real[field * tensors + tensor] = 0.0
        return
    real[COUNTED * tensors + tensor] = 1.0
    real[SENT * tensors + tensor] = counted[kernel.SENT]
    real[PASSED * tensors + tensor] = passed
    real[SHARE * tensors + tensor] = counted[kernel.SHARE]
    real[LINKED * tensors + tensor] = counted[kernel.LINKED]
