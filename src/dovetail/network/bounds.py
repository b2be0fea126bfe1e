"""What no mapping can go below: cycles of computing alone, words that must cross the chip's edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dovetail.hardware.architecture import Architecture
from dovetail.mapping.packing import products_at_once
from dovetail.network.resident import passing
from dovetail.workload.problem import Problem
from dovetail.workload.roles import matrix_roles

#: The loop dimensions of a convolution's window, with what its stride is called.
_WINDOW = (("R", "Wstride"), ("S", "Hstride"))


@dataclass(frozen=True)
class PhysicalBounds:
    """Bounds of one layer on one design.

    Attributes:
        compute_cycles: cycles with every compute unit busy all the time, with as many products as it does at once.
        compulsory_words: every word that the layer touches, once, but for what the outermost level lets pass by.
        buffer_words: words that all on-chip storages hold together; None: one of them is unbounded.
        reuse_words: about what a convolution must move with so much on-chip storage, never below the compulsory
            words (X. Chen, Y. Han, Y. Wang, "Communication Lower Bound in Convolution Accelerators", HPCA 2020,
            arXiv 1911.05662); None for problems that are neither convolution nor matrix product, and where the
            outermost level lets a tensor pass by.
    """

    compute_cycles: int
    compulsory_words: int
    buffer_words: int | None
    reuse_words: float | None


def physical_bounds(problem: Problem, architecture: Architecture) -> PhysicalBounds:
    """Return the bounds of a layer on a design."""
    buffer, compute = on_chip_words(architecture), architecture.compute
    passed = passing(architecture.levels[0], {tensor.name for tensor in problem.shape.tensors})
    compulsory = sum(problem.touched(tensor) for tensor in problem.shape.tensors if tensor.name not in passed)
    return PhysicalBounds(
        compute_cycles=-(-problem.macs // (compute.instances * products_at_once(problem, compute))),
        compulsory_words=compulsory,
        buffer_words=buffer,
        reuse_words=None if passed else _reuse_words(problem, buffer, compulsory),
    )


def on_chip_words(architecture: Architecture) -> int | None:
    """Return the words that all storages but the outermost hold together; None when one is unbounded."""
    held = [(level.words, level.instances) for level in architecture.storages[1:]]
    if any(words is None for words, _ in held):
        return None
    return sum((words or 0) * instances for words, instances in held)


def _reuse_words(problem: Problem, buffer: int | None, compulsory: int) -> float | None:
    """Return about ``2 MACs / sqrt(R S) + outputs``: R the window's reuse, S the words on chip."""
    names = problem.shape.dimensions
    if buffer is None or not ({"C", "M", "P", "Q"} <= set(names) or matrix_roles(problem)):
        return None
    reuse = 1.0
    for dimension, stride in _WINDOW:
        if dimension in names and stride in problem.shape.coefficients:
            step = problem.coefficients[problem.shape.coefficients.index(stride)]
            reuse *= max(1.0, problem.bound(dimension) / step)
    outputs = sum(problem.touched(tensor) for tensor in problem.shape.tensors if tensor.is_output)
    return max(float(compulsory), 2 * problem.macs / math.sqrt(reuse * max(buffer, 1)) + outputs)
