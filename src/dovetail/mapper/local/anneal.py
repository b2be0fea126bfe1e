"""Chains of mappings that change at random and may get worse, ever less so; compiled.

That leads out of where mappings that only ever get better are stuck. Random numbers are drawn outside, so the same ones
give the same chains.
"""

# mypy: disable-error-code="no-any-return"
# (elements of arrays are of any type)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dovetail.mapper.limits import ORDER, SPATIAL_ORDER, SPATIAL_X, SPATIAL_Y, TEMPORAL, Limits
from dovetail.mapper.local.moves import DRAWS, change_one, what_is_wrong
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.mapper.objective import ranked
from dovetail.model import kernel
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Nest, Rules, Workspace, workspace
from dovetail.model.by_address import by_address
from dovetail.model.charges import COUNTS
from dovetail.model.compile import jit_plain, part

#: Changes tried for a step of a chain: the first that fits is evaluated.
TRIED = 4
#: What the logarithm of what breaks ties weighs beside the objective's.
OF_TIES = 0.01
#: What stands for an objective of nothing in it.
TINY = 1e-300
#: Steps that random numbers are drawn for at a time.
STEPS = 64

_ranked = part()(ranked)


@by_address
class Model(NamedTuple):
    """What a mapping must obey and what it costs, with scratch.

    Attributes:
        limits: of the mapspace.
        rules: of the model.
        machine: of the model.
        code: of the objective.
        work: scratch.
        counts: ``(levels, tensors, COUNTS)`` scratch.
        sizes: ``(dims,)`` scratch.
    """

    limits: Limits
    rules: Rules
    machine: Machine
    code: int
    work: Workspace
    counts: Ints
    sizes: Ints


@by_address
class Chains(NamedTuple):
    """Chains, one after the other; the last mapping is scratch, the one before it the best that any chain met.

    Attributes:
        genes: ``(chains + 2, 5, levels, dims)``, as in `dovetail.mapper.limits`.
        keep: ``(chains + 2, levels, tensors)``.
        rank: ``(chains + 2, 2)`` what is minimised, and what breaks ties.
    """

    genes: Ints
    keep: Bools
    rank: Floats


@by_address
class Random(NamedTuple):
    """Random numbers of some steps, all at least 0 and below 1.

    Attributes:
        heat: ``(steps,)`` how much worse, in the objective's logarithm, a mapping may get; this one is not random.
        draws: ``(steps, chains, TRIED, DRAWS)`` what changes are made.
        fathers: ``(steps, chains, TRIED)`` which chain's mapping may hand on factors.
        luck: ``(steps, chains)`` whether a worse mapping is taken.
    """

    heat: Floats
    draws: Floats
    fathers: Ints
    luck: Floats


@part()
def copied(chains: Chains, one: int, other: int) -> None:
    """Write one mapping over another."""
    genes, keep = chains.genes, chains.keep
    for level in range(genes.shape[2]):
        for field in range(genes.shape[1]):
            for d in range(genes.shape[3]):
                genes[other, field, level, d] = genes[one, field, level, d]
        for tensor in range(keep.shape[2]):
            keep[other, level, tensor] = keep[one, level, tensor]
    for place in range(chains.rank.shape[1]):
        chains.rank[other, place] = chains.rank[one, place]


@part()
def score(rank: Floats) -> float:
    """Return what chains compare: the objective's logarithm, and a little of that of what breaks ties."""
    return math.log(max(rank[0], TINY)) + OF_TIES * math.log(max(rank[1], TINY))


@part()
def evaluate_one(model: Model, genes: Ints, keep: Bools, rank: Floats) -> None:
    """Fill in ``(2,)`` what a mapping that fits is ranked by."""
    nest = Nest(genes[TEMPORAL], genes[ORDER], genes[SPATIAL_X], genes[SPATIAL_Y], genes[SPATIAL_ORDER], keep)
    kernel.count_all(model.rules, nest, model.work, model.counts)
    cycles, energy = kernel.cost_of(model.machine, nest, model.work, model.counts)
    rank[0], rank[1] = _ranked(model.code, energy, float(cycles))


@jit_plain
def cool(model: Model, chains: Chains, random: Random) -> None:
    """Take some steps with all chains."""
    count = chains.rank.shape[0] - 2
    best, near = count, count + 1
    for step in range(random.heat.shape[0]):
        for chain in range(count):
            for at in range(TRIED):
                copied(chains, chain, near)
                genes, keep = chains.genes[near], chains.keep[near]
                other = chains.genes[random.fathers[step, chain, at]]
                change_one(model.limits, genes, keep, other, random.draws[step, chain, at])
                if what_is_wrong(model.limits, genes, keep, model.sizes) != 0:
                    continue
                evaluate_one(model, genes, keep, chains.rank[near])
                allowed = random.heat[step] * math.log(1.0 - random.luck[step, chain])
                if score(chains.rank[near]) <= score(chains.rank[chain]) - allowed:
                    copied(chains, near, chain)
                value, second = chains.rank[near, 0], chains.rank[near, 1]
                if value < chains.rank[best, 0] or (value == chains.rank[best, 0] and second < chains.rank[best, 1]):
                    copied(chains, near, best)
                break


def annealed(
    mapspace: Mapspace,
    begun: Crowd,
    heat: tuple[float, float],
    generator: np.random.Generator,
    steps: int,
    stop: Callable[[], bool],
) -> tuple[Crowd, int]:
    """Return the best that chains meet while they cool down, and how many they meet, or try to.

    Args:
        mapspace: what the mappings are of.
        begun: the mappings that they begin with, the best one first.
        heat: how much worse, in the objective's logarithm, a mapping may get: at first, and at last.
        generator: of random numbers.
        steps: that every chain takes.
        stop: asked every now and then whether to end early.
    """
    count, met = len(begun.rank), 0
    chains = _chains(begun)
    model = _model(mapspace)
    cooling = heat[0] * (heat[1] / heat[0]) ** (np.arange(steps) / steps)
    for first in range(0, max(1, steps), STEPS):  # once even for no steps: then it is ready to be called
        if stop():
            break
        some = cooling[first : first + STEPS]
        shape = len(some), count
        random = Random(
            some,
            generator.random((*shape, TRIED, DRAWS)),
            generator.integers(0, count, (*shape, TRIED)),
            generator.random(shape),
        )
        cool(model, chains, random)
        met += len(some) * count
    return Crowd(chains.genes[count : count + 1], chains.keep[count : count + 1], chains.rank[count : count + 1]), met


def _chains(begun: Crowd) -> Chains:
    at = np.append(np.arange(len(begun.rank)), [0, 0])
    return Chains(begun.genes[at], begun.keep[at], np.ascontiguousarray(begun.rank[at, :2]))


def _model(mapspace: Mapspace) -> Model:
    tensors, axes, dims = mapspace.rules.coefficients.shape
    levels = len(mapspace.machine.capacity)
    counts = np.zeros((levels, tensors, COUNTS), np.int64)
    work = workspace(levels, tensors, axes, dims)
    code = mapspace.objective.code
    return Model(mapspace.limits, mapspace.rules, mapspace.machine, code, work, counts, np.empty(dims, np.int64))
