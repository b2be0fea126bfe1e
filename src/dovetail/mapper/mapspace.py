"""A problem on an architecture as arrays, for searches that change mappings at random, and the mappings that they have.

Genes and keepers are those of `dovetail.mapper.limits`; only dimensions of more than one iteration have any.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.limits import (
    GENES,
    IS_FANOUT,
    OPEN,
    ORDER,
    PLACE,
    SPATIAL_ORDER,
    Limits,
    active_dimensions,
    limits_of,
)
from dovetail.mapper.objective import Objective
from dovetail.mapping.mapping import Mapping
from dovetail.model.arrays import Bools, Floats, Ints, Machine, Nest, Residuals, Rules
from dovetail.model.encode import decode_mapping, encode_machine, encode_rules, rules_of
from dovetail.workload.problem import Problem

# What a factor is of, in lists of factors.
TIME, X, Y = range(3)


@dataclass(frozen=True)
class Crowd:
    """Mappings with what they are ranked by.

    Attributes:
        genes: ``(candidates, 5, levels, dims)``.
        keep: ``(candidates, levels, tensors)``.
        rank: ``(candidates, 2 or more)`` what is minimised, what breaks ties, and what else is known of them.
        last: ``(candidates, 2, levels, dims)`` iterations of last passes, over time and in space; None where all
            factors divide.
    """

    genes: Ints
    keep: Bools
    rank: Floats
    last: Ints | None = None

    def best(self, count: int) -> Crowd:
        """Return so many, best first; one of those that rank equal."""
        order = np.lexsort((self.rank[:, 1], self.rank[:, 0]))
        ranks = self.rank[order, :2]
        new = np.ones(len(order), np.bool_)
        new[1:] = (ranks[1:] != ranks[:-1]).any(axis=1)
        return self.take(order[new][:count])

    def take(self, chosen: Ints) -> Crowd:
        """Return those of these indices."""
        last = None if self.last is None else self.last[chosen]
        return Crowd(self.genes[chosen], self.keep[chosen], self.rank[chosen], last)

    def joined(self, other: Crowd) -> Crowd:
        """Return these, then the others."""
        both = None if self.last is None or other.last is None else np.concatenate([self.last, other.last])
        return Crowd(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.keep, other.keep]),
            np.concatenate([self.rank, other.rank]),
            both,
        )


@dataclass(frozen=True)
class Mapspace:
    """A problem on an architecture.

    Attributes:
        problem: the problem.
        architecture: with constraints bound to it.
        objective: what mappings are ranked by.
        active: the problem's dimensions of more than one iteration, as indices; all below speaks of these only.
        rules: of the model.
        machine: of the model.
        limits: what a mapping must obey.
    """

    problem: Problem
    architecture: Architecture
    objective: Objective
    active: list[int]
    rules: Rules
    machine: Machine
    limits: Limits

    @staticmethod
    def of(
        problem: Problem,
        architecture: Architecture,
        energies: EnergyTable,
        objective: Objective,
        machine: Machine | None = None,
    ) -> Mapspace:
        """Encode them; constraints are bound to the problem already. ``machine``: another than the model's own."""
        active = active_dimensions(problem)
        rules = rules_of(encode_rules(problem, architecture), active)
        machine = encode_machine(problem, architecture, energies) if machine is None else machine
        limits = limits_of(problem, architecture, rules, machine)
        return Mapspace(problem, architecture, objective, active, rules, machine, limits)

    def kept_at_least(self) -> Bools:
        """Return ``(levels, tensors)``: what every mapping keeps."""
        tensors = self.problem.shape.tensors
        return np.array(
            [
                [not self.limits.levels[i, IS_FANOUT] and (i == 0 or t.name in level.constraints.keep) for t in tensors]
                for i, level in enumerate(self.architecture.levels[:-1])
            ],
            np.bool_,
        )

    def genes(self, nests: Nest) -> Ints:
        """Return mappings of all dimensions as genes."""
        place = np.full(len(self.problem.bounds), -1, np.int64)
        place[self.active] = np.arange(len(self.active))
        columns: list[Ints] = []
        fields = nests.temporal, nests.order, nests.spatial_x, nests.spatial_y, nests.spatial_order
        for field, array in enumerate(fields):
            if field in (ORDER, SPATIAL_ORDER):
                order = place[array]
                columns.append(order[order >= 0].reshape(*order.shape[:-1], len(self.active)))
            else:
                columns.append(array[..., self.active])
        return np.stack(columns, axis=1)

    def mapping(self, crowd: Crowd) -> Mapping:
        """Return the first of a crowd as a mapping."""
        levels, dims = crowd.genes.shape[2], len(self.problem.bounds)
        factors = np.ones((GENES, levels, dims), np.int64)
        factors[..., self.active] = crowd.genes[0]
        order, spatial_order = (
            np.array([[self.active[d] for d in row] for row in crowd.genes[0, field]])
            for field in (ORDER, SPATIAL_ORDER)
        )
        nest = Nest(factors[0], order, factors[2], factors[3], spatial_order, crowd.keep[0])
        if crowd.last is None:
            return decode_mapping(nest, self.problem, self.architecture)
        last = np.ones((2, levels, dims), np.int64)
        last[..., self.active] = crowd.last[0]
        return decode_mapping(nest, self.problem, self.architecture, Residuals(last[0], last[1]))


def orders_of(space: Mapspace, factors: Ints) -> list[tuple[tuple[int, ...], ...]]:
    """Return every order of the loops that the pins leave: per level the dimensions outer to inner, space included.

    Args:
        space: the mapspace.
        factors: ``(3, levels, dims)`` over time, X and Y.
    """
    return list(itertools.product(*(level_orders(space, at, factors[:, at] > 1) for at in range(factors.shape[1]))))


def level_orders(space: Mapspace, level: int, looping: Bools) -> list[tuple[int, ...]]:
    """Return every order of one level's loops that the pins leave, outer to inner; what does not loop stands last.

    Args:
        space: the mapspace.
        level: which one.
        looping: ``(3, dims)`` whether there is a loop over time, X and Y.
    """
    place = space.limits.loops[level, :, PLACE].tolist()
    axes = (X, Y) if space.limits.levels[level, IS_FANOUT] else (TIME,)
    parts = [_permutations(np.flatnonzero(looping[axis]).tolist(), place) for axis in axes]
    rest = tuple(np.flatnonzero(~looping.any(axis=0)).tolist())
    return [sum(order, ()) + rest for order in itertools.product(*parts)]


def _permutations(loops: list[int], place: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the orders of some loops, outer to inner, in which places never fall."""
    groups = [[d for d in loops if place[d] == rank] for rank in sorted({place[d] for d in loops})]
    return [sum(order, ()) for order in itertools.product(*(itertools.permutations(group) for group in groups))]


def keepers_of(space: Mapspace) -> list[Bools]:
    """Return every choice of kept tensors that the constraints leave, ``(levels, tensors)`` each."""
    free = np.argwhere(space.limits.levels[:, OPEN:] != 0)
    choices = []
    for bits in itertools.product((False, True), repeat=len(free)):
        keep = space.kept_at_least()
        keep[tuple(free.T)] = bits
        choices.append(keep)
    return choices
