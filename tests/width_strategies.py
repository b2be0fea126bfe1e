"""Hypothesis strategies for widths: what values of a layer have, and what a design's storages and units know."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from dovetail.hardware.architecture import (
    Architecture,
    ByBits,
    Compute,
    Constraints,
    FactorConstraint,
    Level,
    LoopConstraints,
    ProductSums,
    Relation,
    Spatial,
    Storage,
)
from dovetail.workload.problem import Problem
from dovetail.workload.widths import Width

_BITS = st.sampled_from([1, 2, 3, 4, 5, 6, 8, 12, 16, 24])
_KNOWN = st.sampled_from([(), (), (), (4, 8), (2, 4, 8), (8,), (3, 5)])


@st.composite
def widened(draw: st.DrawFn, problem: Problem, architecture: Architecture) -> tuple[Problem, Architecture]:
    """Give some tensors widths and scales, partial sums theirs, and storages and units lists of what they know."""
    lines = [level.width // level.cluster_size for level in architecture.levels if isinstance(level, Storage)]
    fitting = _BITS.filter(lambda bits: bits <= min(lines))
    widths: list[Width | None] = []
    for _ in problem.shape.tensors:
        bits, scale = draw(fitting), draw(st.sampled_from([0, 0, 8, 5]))
        width = Width(bits, scale, draw(st.sampled_from([2, 5, 32]))) if scale else Width(bits)
        widths.append(draw(st.sampled_from([None, width, width])))
    levels: list[Level] = []
    for level in architecture.levels:
        if isinstance(level, Storage):
            known = tuple(bits for bits in draw(_KNOWN) if bits <= min(lines))
            level = replace(level, value_widths=known, any_width=not known and draw(st.booleans()))
        levels.append(level)
    sums = draw(st.one_of(st.none(), fitting))
    return replace(problem, widths=tuple(widths), sum_bits=sums), replace(architecture, levels=tuple(levels))


@st.composite
def packing(draw: st.DrawFn, architecture: Architecture) -> Architecture:
    """Let a design's units do several products of narrow operands at once, and state what some of them take."""
    *outside, compute = architecture.levels
    assert isinstance(compute, Compute)
    count = draw(st.sampled_from([2, 3, 4, 6]))
    products = [ByBits(12, 12, 2), ByBits(12, 4, count), ByBits(4, 4, 2 * count)]
    energy = draw(st.sampled_from([(), (ByBits(8, 8, 0.5),), (ByBits(12, 4, 0.25), ByBits(12, 12, 0.75))]))
    compute = replace(
        compute,
        datawidth=16,
        value_widths=draw(st.sampled_from([(), (4, 8, 24)])),
        products=tuple(draw(st.lists(st.sampled_from(products), min_size=1, unique=True))),
        product_sums=draw(st.sampled_from(ProductSums)),
        product_energy=energy,
    )
    mesh = {"mesh_x": compute.mesh_x, "mesh_y": compute.mesh_y}
    lanes = Spatial(name="mac_products", component="fanout", **mesh, fanout_x=1, fanout_y=1, packs=True)
    return replace(architecture, levels=(*outside, lanes, compute))


def laid_out(problem: Problem, architecture: Architecture) -> Architecture:
    """Return the plain design that a packing one is for a layer: an array of so many units, its constraints spelt out.

    What `dovetail.mapping.packing` says, said again, slowly.
    """
    *outside, lanes, compute = architecture.levels
    assert isinstance(compute, Compute) and isinstance(lanes, Spatial)
    count, outputs = 1, [tensor for tensor in problem.shape.tensors if tensor.is_output]
    if problem.widths or problem.sum_bits:
        widths = problem.widths or (None,) * len(problem.shape.tensors)
        bits = [
            compute.datawidth if width is None else width.bits
            for width, tensor in zip(widths, problem.shape.tensors, strict=True)
            if not tensor.is_output
        ]
        bits = sorted(min([known for known in compute.value_widths if known >= each] or [each]) for each in bits)
        for each in compute.products:
            if bits[-1] <= each.wide and all(narrow <= each.narrow for narrow in bits[:-1]):
                count = max(count, int(each.value))
    free = set(problem.shape.dimensions)
    summed = free - {dimension for tensor in outputs for dimension in tensor.dimensions}
    free = {"together": summed, "apart": free - summed, "either": free}[compute.product_sums.value]
    factors = tuple(FactorConstraint(d, Relation.EQ, 1) for d in problem.shape.dimensions if d not in free)
    every = frozenset(tensor.name for tensor in problem.shape.tensors)
    spatial = LoopConstraints(factors=factors, no_link_transfer=every)
    plain = replace(lanes, fanout_x=count, packs=False, constraints=Constraints(spatial=spatial))
    return replace(architecture, levels=(*outside, plain, replace(compute, products=())))
