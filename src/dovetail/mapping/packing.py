"""How many products of a layer's widths a design's unit does at once, and the design as that layer finds it.

A unit that packs is a fan-out of its own, ``UNIT_products``: to one product, or to as many as its `Compute.products`
say for the layer's operands, as they are padded. So they are counted as any array's units are: a loop in space fills
them as far as it goes, operands that they share are read once, and products of one sum are added before they leave.
That is how E. M. Ibrahim, L. Mei and M. Verhelst draw such units ("Taxonomy and benchmarking of precision-scalable MAC
arrays under enhanced DNN dataflow representation", TCAS-I 2022, arXiv 2108.04773): loops further in than the array's.
Where the unit adds its products up (Bit Fusion: H. Sharma et al., ISCA 2018; tensor cores), only dimensions that are
summed over may lie there; where each has a sum of its own (DVAFS: B. Moons et al., DATE 2017), only the outputs'.
An array of such units does not stand right above computing, so the reference's neighbours there hand nothing on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dovetail.components.arithmetic import operation_share
from dovetail.hardware.architecture import Architecture, Compute, Constraints, LoopConstraints, ProductSums, Spatial
from dovetail.mapping.widths import operand_bits, padded, states_widths, unit_bits
from dovetail.units import counted
from dovetail.workload.problem import Problem


def products_at_once(problem: Problem, compute: Compute) -> int:
    """Return how many products of a layer one unit does at once; 1 where the layer states no widths."""
    if not compute.products or not states_widths(problem):
        return 1
    bits = [padded(compute.value_widths, each) for each in operand_bits(problem, compute)]
    return max((int(each.value) for each in compute.products if each.holds(bits)), default=1)


def operation_energy(problem: Problem, compute: Compute) -> float:
    """Return what a layer's operation takes of the energy that is stated for one on the unit's own words.

    Raises:
        InputError: an operand is wider than any width that the unit lists.
    """
    if not states_widths(problem):
        return 1.0
    operands, sums = unit_bits(problem, compute)
    stated = [each for each in compute.product_energy if each.holds(operands)]
    if stated:
        return min(stated, key=lambda each: (each.wide * each.narrow, each.wide)).value
    return operation_share(operands, sums, compute.datawidth)


def packing_notes(architecture: Architecture, problems: Sequence[Problem]) -> Iterator[str]:
    """Yield how many products a unit does at once, once for all layers' widths; nothing where it never packs."""
    compute = architecture.compute
    found: dict[int, list[str]] = {}
    for problem in problems:
        if compute.products and states_widths(problem):
            bits = "x".join(map(str, operand_bits(problem, compute)))
            listed = found.setdefault(products_at_once(problem, compute), [])
            listed += [] if bits in listed else [bits]
    said = [f"{counted(count, 'product')} of {' and '.join(bits)} bits" for count, bits in sorted(found.items())]
    if said:
        yield f"{compute.name}: at once a unit does {', '.join(said)}"


def packed(architecture: Architecture, problem: Problem) -> Architecture:
    """Return a design with as many products at once as a layer's widths allow; itself where that changes nothing."""
    compute = architecture.compute
    if not compute.products:
        return architecture
    levels = (
        _filled(level, problem, compute) if isinstance(level, Spatial) and level.packs else level
        for level in architecture.levels
    )
    return replace(architecture, levels=tuple(levels))


def _filled(level: Spatial, problem: Problem, compute: Compute) -> Spatial:
    """Return the fan-out to the products of a unit, and what may fill it; no product hands anything on to another."""
    outputs = frozenset(tensor.name for tensor in problem.shape.tensors if tensor.is_output)
    loops = LoopConstraints(no_link_transfer=frozenset({"*"}))
    if compute.product_sums is ProductSums.TOGETHER:
        loops = replace(loops, no_iteration_over=outputs)
    elif compute.product_sums is ProductSums.APART:
        loops = replace(loops, iteration_over=outputs)
    constraints = Constraints(spatial=loops)
    return replace(level, fanout_x=products_at_once(problem, compute), fanout_y=1, constraints=constraints)
