"""What the counting rules work on, as named tuples of arrays: compiled code takes them as they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dovetail.model.by_address import by_address

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@by_address
class Rules(NamedTuple):
    """What one problem on one architecture fixes for all mappings. Levels are outer to inner, without compute.

    Attributes:
        coefficients: ``(tensors, axes, dims)`` how far one iteration of a dimension moves along a tensor's axis.
        injective: ``(tensors,)`` no axis adds up several dimensions, and no dimension is on several axes.
        is_output: ``(tensors,)``.
        touched: ``(tensors,)`` words of the whole tensor; of an output, without holes: words that nothing touches.
        no_multicast: ``(levels, tensors)`` the level's fan-out sends every child its own copy.
        no_link: ``(levels, tensors)`` neighbours below the level pass nothing on.
        no_reuse: ``(levels, tensors)`` the level is sent its whole tile at every step.
        read_first: ``(levels, tensors)`` the first update of an output also reads.
        origin: ``(levels, tensors)`` the tensor lies there from start to end: nothing fills the level with it.
        grid: ``(levels, 2)`` physical fan-out along X and Y.
    """

    coefficients: Ints
    injective: Bools
    is_output: Bools
    touched: Ints
    no_multicast: Bools
    no_link: Bools
    no_reuse: Bools
    read_first: Bools
    origin: Bools
    grid: Ints


@by_address
class Nest(NamedTuple):
    """One mapping.

    Attributes:
        temporal: ``(levels, dims)`` factors over time.
        order: ``(levels, dims)`` dimensions of the temporal loops, outer to inner.
        spatial_x: ``(levels, dims)`` factors over X.
        spatial_y: ``(levels, dims)`` factors over Y.
        spatial_order: ``(levels, dims)`` dimensions of the spatial loops of each axis, outer to inner.
        keep: ``(levels, tensors)`` which level keeps which tensor; the outermost keeps all.
    """

    temporal: Ints
    order: Ints
    spatial_x: Ints
    spatial_y: Ints
    spatial_order: Ints
    keep: Bools


@by_address
class Residuals(NamedTuple):
    """The last passes of one mapping's loops, where its factors do not divide the bounds.

    Attributes:
        temporal: ``(levels, dims)`` iterations of the last pass over time; the factor itself where none is shorter.
        spatial: ``(levels, dims)`` the same for the spatial loop, which is on X or on Y but not on both.
    """

    temporal: Ints
    spatial: Ints


@by_address
class Tour(NamedTuple):
    """Scratch arrays of a walk through an imperfect nest (`dovetail.model.residual`). Loops are those over time.

    Attributes:
        last: ``(loops,)`` iterations of a loop's last pass.
        stride: ``(loops,)`` how far one iteration goes along its dimension.
        outer: ``(loops,)`` the next loop outside over the same dimension; -1 for none.
        free: ``(loops,)`` no spatial loop in between keeps the first child from being the last.
        below: ``(loops,)`` a loop of the dimension further in has a shorter last pass.
        ending: ``(loops,)`` all loops of the dimension outside are at their last iteration.
        iterations: ``(loops,)`` iterations of the present pass.
        place: ``(loops,)`` the present iteration.
        at_end: ``(loops,)`` it is the last one, and so are those of all loops outside.
        epochs: ``(loops + 1,)`` how many visits the present one stands for.
        steps: ``(loops, axes)`` how far one iteration moves the tensor's tile.
        base: ``(loops + 1, axes)`` where the tile lies.
        short: ``(levels, dims)`` extent of a child's tile at the end of its dimension.
        short_span: ``(levels, dims)`` extent of what all children hold together there.
        whole: ``(dims,)`` extent of the whole nest.
        next_out: ``(levels, dims)`` innermost loop over the dimension outside a level's children; -1 for none.
        tile_free, span_free: ``(levels, dims)`` as ``free``, for a child's tile and for all children together.
        tile_always, span_always: ``(levels, dims)`` they are at the end of their dimension at every visit.
        extents: ``(dims,)`` scratch.
        used: ``(levels + 1,)`` instances in use on average; last, those of compute.
        full: ``(levels,)`` instances that any pass uses.
        state: ``(2,)`` whether a tile was seen, and whether it had moved.
        seen: ``(2, axes)`` where the last tile lay, and its extents.
        moved_by: ``(axes,)`` how it had moved.
        shift: ``(axes,)`` how the present one has.
        fresh: ``(4, axes)`` what is new (`dovetail.model.passes`).
    """

    last: Ints
    stride: Ints
    outer: Ints
    free: Bools
    below: Bools
    ending: Bools
    iterations: Ints
    place: Ints
    at_end: Bools
    epochs: Ints
    steps: Ints
    base: Ints
    short: Ints
    short_span: Ints
    whole: Ints
    next_out: Ints
    tile_free: Bools
    span_free: Bools
    tile_always: Bools
    span_always: Bools
    extents: Ints
    used: Floats
    full: Ints
    state: Ints
    seen: Ints
    moved_by: Ints
    shift: Ints
    fresh: Ints


def tour(levels: int, axes: int, dims: int) -> Tour:
    """Allocate the scratch arrays of walks of that size."""
    loops = levels * dims + 1
    shapes = {
        "epochs": (loops + 1,),
        "base": (loops + 1, axes),
        "steps": (loops, axes),
        "whole": (dims,),
        "extents": (dims,),
        "used": (levels + 1,),
        "full": (levels,),
        "state": (2,),
        "seen": (2, axes),
        "moved_by": (axes,),
        "shift": (axes,),
        "fresh": (4, axes),
    }
    by_level = {"short", "short_span", "next_out", "tile_free", "span_free", "tile_always", "span_always"}
    flags = {"free", "below", "ending", "at_end", "tile_free", "span_free", "tile_always", "span_always"}
    kind = {name: np.bool_ if name in flags else np.float64 if name == "used" else np.int64 for name in Tour._fields}
    usual = {name: (levels, dims) if name in by_level else (loops,) for name in Tour._fields}
    return Tour._make(np.zeros(shapes.get(name, usual[name]), kind[name]) for name in Tour._fields)


@by_address
class Workspace(NamedTuple):
    """Scratch arrays, allocated once and overwritten by every mapping.

    Attributes:
        inner: ``(levels, dims)`` product of all factors further in.
        spatial: ``(levels, dims)`` product of the level's spatial factors.
        together: ``(levels, dims)`` product of both: sizes of what all children hold together.
        whole: ``(dims,)`` product of all factors.
        children: ``(levels,)`` instances that one instance of the level feeds.
        instances: ``(levels,)`` instances in use.
        first: ``(levels + 1,)`` the innermost loop over time at or outside a level; last, how many loops there are.
        loop_level: ``(loops,)`` level of each loop over time of more than one iteration, inner to outer.
        loop_dim: ``(loops,)`` its dimension.
        loop_factor: ``(loops,)`` its iterations.
        times: ``(loops + 1,)`` iterations of a loop and all outside of it.
        words: ``(levels,)`` words of a tensor that one child holds.
        partition: ``(levels,)`` words of a tensor that one instance sees over the whole run.
        statistics: ``(levels, tensors, 5)`` words sent, words times receivers, most receivers, words linked, words
            sent to one child.
        steps: ``(loops, axes)`` how far a loop that matters to a tensor moves its tile.
        factors: ``(loops,)`` its iterations.
        same: ``(loops,)`` the first loop that displaces a tile as this one does.
        tile: ``(axes,)`` extents of a tile.
        total: ``(2 * loops + 2,)`` words per state of a run of loops.
        last: ``(2 * loops + 2,)`` state after it.
    """

    inner: Ints
    spatial: Ints
    together: Ints
    whole: Ints
    children: Ints
    instances: Ints
    first: Ints
    loop_level: Ints
    loop_dim: Ints
    loop_factor: Ints
    times: Ints
    words: Ints
    partition: Ints
    statistics: Floats
    steps: Ints
    factors: Ints
    same: Ints
    tile: Ints
    total: Ints
    last: Ints


def workspace(levels: int, tensors: int, axes: int, dims: int) -> Workspace:
    """Allocate a workspace for mappings of that size."""

    def ints(*shape: int) -> Ints:
        return np.zeros(shape, np.int64)

    loops = levels * dims + 1
    return Workspace(
        inner=ints(levels, dims),
        spatial=ints(levels, dims),
        together=ints(levels, dims),
        whole=ints(dims),
        children=ints(levels),
        instances=ints(levels),
        first=ints(levels + 1),
        loop_level=ints(loops),
        loop_dim=ints(loops),
        loop_factor=ints(loops),
        times=ints(loops + 1),
        words=ints(levels),
        partition=ints(levels),
        statistics=np.zeros((levels, tensors, 5)),
        steps=ints(loops, axes),
        factors=ints(loops),
        same=ints(loops),
        tile=ints(axes),
        total=ints(2 * loops + 2),
        last=ints(2 * loops + 2),
    )


@by_address
class Machine(NamedTuple):
    """What one architecture with one energy table costs. Levels are outer to inner, without compute.

    Sizes are whole numbers of grains, the largest part of a level's own word that all words there are made of: where
    all are as wide as that they count words, and no product of them leaves 64 bits.

    Attributes:
        grains: ``(levels,)`` grains of a word of the level's own width.
        size: ``(levels, tensors)`` grains of one word.
        capacity: ``(levels,)`` grains that one instance holds at a time; -1 for no bound.
        parts: ``(levels, tensors)`` accesses that ``block`` words take.
        block: ``(levels, tensors)`` words that take ``parts`` accesses, the least whole numbers.
        clusters: ``(levels,)`` physical lines over all instances (instances / cluster size).
        bandwidth: ``(levels, 3)`` words of the level's own width per cycle and instance: read, write, both; inf for no
            bound.
        share: ``(levels, tensors)`` words of the level's own width that one word of a tensor takes of it.
        spilt: ``(levels, tensors)`` words of the level's own width by which a partial sum is wider than that: what is
            read of an output is one, and so is what was written in its place before.
        energy: ``(levels, tensors, actions)`` pJ per access, actions as in `dovetail.model.charges.ACTIONS`.
        leakage: ``(levels,)`` pJ per cycle and instance.
        compute_pJ: pJ per execution of the loop body.
        units: compute units in the chip, each as often as it does products at once.
    """

    grains: Ints
    size: Ints
    capacity: Ints
    parts: Ints
    block: Ints
    clusters: Ints
    bandwidth: Floats
    share: Floats
    spilt: Floats
    energy: Floats
    leakage: Floats
    compute_pJ: float
    units: int
