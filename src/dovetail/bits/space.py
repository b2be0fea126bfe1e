"""The search space: bits of every layer's weights and inputs, and what each layer costs at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from dovetail.accuracy.bits import NarrowLayer, Plan, module_of, plan_bits
from dovetail.shrink.oracle import CostOracle, PassCost
from dovetail.shrink.space import Choice, LayerTable
from dovetail.workload.network import Network
from dovetail.workload.problem import Problem

#: Bits that are tried, if the user does not say.
TRIED = (8, 6, 4, 3, 2)


@dataclass(frozen=True)
class BitsKnob:
    """Bits of one tensor of a layer.

    Attributes:
        path: of the layer's module.
        tensor: ``weights`` or ``inputs``.
        options: bits, falling.
    """

    path: str
    tensor: str
    options: tuple[int, ...]


@dataclass(frozen=True)
class BitsSpace:
    """Bits of all layers of a network that can have narrow numbers.

    Attributes:
        network: in floating point, as it was traced.
        oracle: what layers cost.
        knobs: two per layer, weights before inputs, in the order they run.
    """

    network: Network
    oracle: CostOracle
    knobs: tuple[BitsKnob, ...]

    def plan(self, choice: Choice) -> Plan:
        """Return how narrow each layer is at a choice."""
        bits = {(k.path, k.tensor): k.options[o] for k, o in zip(self.knobs, choice, strict=True)}
        paths = dict.fromkeys(knob.path for knob in self.knobs)
        return tuple(NarrowLayer(path, bits[path, "weights"], bits[path, "inputs"]) for path in paths)

    def bits(self, choice: Choice) -> tuple[int, ...]:
        """Return the bits of every knob at a choice."""
        return tuple(knob.options[option] for knob, option in zip(self.knobs, choice, strict=True))

    def at(self, plan: Plan) -> Network:
        """Return the network with the widths of a plan, outputs as wide as what reads them."""
        return self.network.with_bits(plan_bits(plan)).with_read_outputs()

    def figures(self, plan: Plan) -> PassCost:
        """Return what the network costs when its layers are as narrow as a plan says; none of them: as it is."""
        network = self.at(plan) if plan else self.network
        self.oracle.learn(layer.problem for layer in network.layers)
        costs = [(self.oracle.of(layer.problem), layer.repeats) for layer in network.layers]
        energy = sum(one[0] * repeats for one, repeats in costs)
        return PassCost(energy, sum(one[1] * repeats for one, repeats in costs), network.known_macs)

    @cached_property
    def _numbers(self) -> Mapping[tuple[str, str], int]:
        return {(knob.path, knob.tensor): number for number, knob in enumerate(self.knobs)}

    def _scope(self, name: str) -> tuple[int, ...]:
        """Return the knobs that a layer's cost depends on: its own, and the inputs of all that read it."""
        own = [(module_of(name), tensor) for tensor in ("weights", "inputs")]
        readers = [(module_of(reader), "inputs") for producer, reader in self.network.edges if producer == name]
        known = [self._numbers[key] for key in own if key in self._numbers]
        if readers and all(key in self._numbers for key in readers):  # or its outputs state no width
            known += [self._numbers[key] for key in readers]
        return tuple(sorted(set(known)))

    @cached_property
    def tables(self) -> tuple[LayerTable, ...]:
        """One table per layer; the first use maps every layer at all widths that it can have."""
        scopes = [self._scope(layer.name) for layer in self.network.layers]
        problems = [self._problems(place, scope) for place, scope in enumerate(scopes)]
        self.oracle.learn(problem for each in problems for problem in each.values())
        return tuple(self._table(place, scope, problems[place]) for place, scope in enumerate(scopes))

    def _problems(self, place: int, scope: tuple[int, ...]) -> dict[tuple[int, ...], Problem]:
        found = {}
        for options in product(*(range(len(self.knobs[knob].options)) for knob in scope)):
            choice = [0] * len(self.knobs)
            for knob, option in zip(scope, options, strict=True):
                choice[knob] = option
            found[options] = self.at(self.plan(tuple(choice))).layers[place].problem
        return found

    def _table(self, place: int, scope: tuple[int, ...], problems: Mapping[tuple[int, ...], Problem]) -> LayerTable:
        shape = tuple(len(self.knobs[knob].options) for knob in scope)
        energy, cycles, macs = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        repeats = self.network.layers[place].repeats
        for options, problem in problems.items():
            one_energy, one_cycles = self.oracle.of(problem)
            energy[options], cycles[options] = repeats * one_energy, repeats * one_cycles
            macs[options] = repeats * problem.macs
        return LayerTable(scope, energy, cycles, macs)


def bits_space(
    network: Network, oracle: CostOracle, plan: Plan, tried: Sequence[int], held: Mapping[tuple[str, str], int]
) -> BitsSpace:
    """Return the space of the layers of a plan.

    Args:
        network: as it was traced.
        oracle: what layers cost.
        plan: of all layers that can be narrow, whatever their bits.
        tried: bits to choose from.
        held: (path, ``weights`` or ``inputs``) -> bits that the user has chosen.
    """
    options = tuple(sorted(set(tried), reverse=True))
    knobs = (
        BitsKnob(one.path, tensor, (held[one.path, tensor],) if (one.path, tensor) in held else options)
        for one in plan
        for tensor in ("weights", "inputs")
    )
    return BitsSpace(network, oracle, tuple(knobs))


def alone(path: str, tensor: str, bits: int) -> Plan:
    """Return the plan in which nothing but one tensor is narrow."""
    one = NarrowLayer(path, None, None)
    return (replace(one, weights=bits) if tensor == "weights" else replace(one, inputs=bits),)


__all__ = ["TRIED", "BitsKnob", "BitsSpace", "alone", "bits_space"]
