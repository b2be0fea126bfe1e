"""What the fabricated Eyeriss does about zeros, counted on the mapping found without: DRAM traffic and power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.components.estimate import estimate
from dovetail.hardware.architecture import Architecture, Storage
from dovetail.hardware.reader import load_architecture
from dovetail.mapper.sparse.idle import with_idle_loops
from dovetail.mapping.constraints import bound_to
from dovetail.model.evaluate import evaluate
from dovetail.network.costs import MappedLayer
from dovetail.workload.densities import DENSE, Density, Hypergeometric

#: The chip with run lengths on the way to DRAM and gated scratchpads: otherwise as ``eyeriss_jssc``.
SPARSE_DESIGN = "eyeriss_sparse"


@dataclass(frozen=True)
class WithZeros:
    """One layer with its zeros.

    Attributes:
        dram_MB: values and run lengths that cross the link.
        on_chip_pJ: energy on the chip, DRAM aside, over the time of the dense run.
    """

    dram_MB: float
    on_chip_pJ: float


def with_zeros(layers: Sequence[MappedLayer], zeros_percent: Sequence[float]) -> list[WithZeros]:
    """Return the layers of a network with zeros, each on the mapping that was found for it.

    A gated multiplication takes its cycle on the chip, and none in the reference's counting, so time and what leaks in
    it are those of the dense run. The first layer's inputs are not coded, as on the chip.

    Args:
        layers: as mapped on the chip without zeros, in order.
        zeros_percent: zeros among each one's inputs; its outputs have those of the next one's inputs, the last one's
            its own.
    """
    design = load_architecture(SPARSE_DESIGN)
    shares = [1 - percent / 100 for percent in zeros_percent]
    designs = [_uncoded(design, "Inputs"), *[design] * (len(layers) - 1)]
    places = zip(layers, shares, [*shares[1:], shares[-1]], designs, strict=True)
    return [_one(each, inputs, outputs, own) for each, inputs, outputs, own in places]


def _uncoded(design: Architecture, tensor: str) -> Architecture:
    """Return a design that keeps a tensor as it is at the outermost level."""
    outermost = design.levels[0]
    formats = tuple(one for one in outermost.sparse.formats if one.tensor != tensor)
    changed = replace(outermost, sparse=replace(outermost.sparse, formats=formats))
    return replace(design, levels=(changed, *design.levels[1:]))


def _one(each: MappedLayer, inputs: float, outputs: float, design: Architecture) -> WithZeros:
    known: dict[str, Density] = {"Inputs": Hypergeometric(inputs), "Outputs": Hypergeometric(outputs)}
    dense = each.layer.problem
    problem = replace(dense, densities=tuple(known.get(tensor.name, DENSE) for tensor in dense.shape.tensors))
    mapping = with_idle_loops(each.result.mapping, bound_to(design, problem), problem)
    cost = evaluate(mapping, problem, design, estimate(design))
    outermost = design.levels[0]
    assert isinstance(outermost, Storage)
    dram = cost.levels[0]
    runs = sum(sum(one.zeros.metadata_bits.values()) for one in dram.tensors.values() if one.zeros is not None)
    on_chip = [level.energy_pJ - level.leakage_pJ for level in cost.levels[1:]]
    leaks = [level.leakage_pJ for level in each.cost.levels[1:]]
    return WithZeros((dram.words_moved * outermost.datawidth + runs) / 8e6, sum(on_chip) + sum(leaks))
