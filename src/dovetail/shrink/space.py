"""The search space: knobs that turn widths, leave blocks out and set the rest, and what each layer costs at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dovetail.hardware.architecture import Architecture, Spatial
from dovetail.shrink.channels import KERNEL, ChannelGraph, Widths
from dovetail.shrink.layers import NetworkShapes, SizedLayer
from dovetail.shrink.oracle import CostOracle
from dovetail.workload.problem import Problem

#: The narrowest width that is tried, as a share of a group's channels.
NARROWEST = 1 / 8
#: Widths mapped to learn the staircase of a knob, and widths kept of them.
STAIRS, KEPT_WIDTHS = 40, 12
#: Layers that are mapped, at most, for one space: fewer widths are kept where other knobs make more of each; and the
#: fewest that are kept.
MOST_PROBLEMS, FEWEST_WIDTHS = 8000, 5


@dataclass(frozen=True)
class Knob:
    """Channel groups that get wider and narrower together, in proportion; a block, there or left out; or a setting.

    Groups that are concatenated anywhere share a knob, so every layer depends on two of their knobs at most, and on
    that of its block.

    Attributes:
        name: of its first group, the block, or what the setting speaks of.
        groups: their places among widths.
        options: ``[option][group]`` widths, by falling width; the first is the network as given.
        kind: ``channels``, ``depth``, or the kind of the setting.
    """

    name: str
    groups: tuple[int, ...]
    options: tuple[Widths, ...]
    kind: str = "channels"

    def shares(self, graph: ChannelGraph) -> NDArray[np.float64]:
        """Return ``(options,)`` the share of channels, or of a setting's number, that each option keeps.

        Of a block that is left out it is a half: predictions see its one step alone, whatever number stands for it.
        """
        if self.kind == "depth":
            return np.array([1.0, 0.5])
        if self.kind != "channels":
            return np.array([value / self.options[0][0] for (value,) in self.options])
        whole = sum(graph.groups[group].channels for group in self.groups)
        return np.array([sum(option) / whole for option in self.options])


#: Per knob the number of its option.
Choice = tuple[int, ...]


def tied_groups(graph: ChannelGraph) -> list[tuple[int, ...]]:
    """Return the numbers of the groups that must share a knob, in the order of their first group."""
    leader = list(range(len(graph.groups)))

    def find(group: int) -> int:
        while leader[group] != group:
            group = leader[group]
        return group

    for axis in graph.axes:
        owners = [group for group, _ in axis.parts[1]]
        for group in owners[1:]:
            first, second = sorted((find(owners[0]), find(group)))
            leader[second] = first
    tied: dict[int, list[int]] = {}
    for group in range(len(graph.groups)):
        tied.setdefault(find(group), []).append(group)
    return [tuple(groups) for groups in tied.values()]


def grid(graph: ChannelGraph, groups: tuple[int, ...], primes: Sequence[int], count: int) -> list[Widths]:
    """Return widths for tied groups by falling width: products of small primes, which designs divide well.

    Args:
        graph: the channel groups.
        groups: the numbers of the tied ones.
        primes: that widths may be products of.
        count: how many at most; then every so many are left out, those with fewest divisors first.
    """
    widest = max((graph.groups[group] for group in groups), key=lambda group: group.channels)
    lowest = max(1, math.ceil(widest.blocks * NARROWEST))
    blocks = [number for number in range(lowest, widest.blocks + 1) if _is_product(number, primes)]
    blocks = sorted({*_thinned(blocks, count - 1), widest.blocks}, reverse=True)
    return _options(graph, groups, [number / widest.blocks for number in blocks])


def even_grid(graph: ChannelGraph, groups: tuple[int, ...], steps: int = 16) -> list[Widths]:
    """Return widths for tied groups by falling width: even shares of their channels, whatever a design likes."""
    return _options(graph, groups, [step / steps for step in range(steps, math.ceil(steps * NARROWEST) - 1, -1)])


def _options(graph: ChannelGraph, groups: tuple[int, ...], shares: Sequence[float]) -> list[Widths]:
    return list(
        dict.fromkeys(
            tuple(graph.groups[g].nearest(share * graph.groups[g].channels) for g in groups) for share in shares
        )
    )


def _is_product(number: int, primes: Sequence[int]) -> bool:
    for prime in primes:
        while number % prime == 0:
            number //= prime
    return number == 1


def _thinned(numbers: Sequence[int], count: int) -> list[int]:
    """Return at most so many: of every stretch of a logarithmic scale the one with the most divisors."""
    if len(numbers) <= count:
        return list(numbers)
    low, span = math.log(numbers[0]), math.log(numbers[-1] / numbers[0])
    best: dict[int, tuple[int, int]] = {}
    for number in numbers:
        stretch = min(count - 1, int(count * (math.log(number) - low) / span))
        divisors = sum(number % each == 0 for each in range(1, number + 1))
        best[stretch] = max(best.get(stretch, (0, 0)), (divisors, number))
    return sorted(number for _, number in best.values())


def design_primes(architecture: Architecture) -> tuple[int, ...]:
    """Return 2, 3, 5, 7 and the prime factors of the design's fan-outs."""
    primes = {2, 3, 5, 7}
    for level in architecture.levels:
        for size in (level.fanout_x, level.fanout_y) if isinstance(level, Spatial) else ():
            primes |= {p for p in range(2, size + 1) if size % p == 0 and all(p % q for q in range(2, p))}
    return tuple(sorted(primes))


@dataclass(frozen=True)
class LayerTable:
    """What one layer costs at all options of the knobs it depends on; all its repeats together.

    Attributes:
        knobs: which, rising: at most two of channels.
        energy_pJ: one axis per knob.
        cycles: likewise.
        macs: likewise.
    """

    knobs: tuple[int, ...]
    energy_pJ: NDArray[np.float64]
    cycles: NDArray[np.float64]
    macs: NDArray[np.float64]

    @property
    def constant(self) -> NDArray[np.float64]:
        """``(3, 1)`` energy, cycles and MACs of a layer that depends on no knob."""
        return np.array([[float(self.energy_pJ)], [float(self.cycles)], [float(self.macs)]])


@dataclass(frozen=True)
class SearchSpace:
    """Knobs of a network, and what it costs at any choice of their options.

    Attributes:
        shapes: the network's layers as functions of widths.
        oracle: what layers cost.
        knobs: what can be turned.
    """

    shapes: NetworkShapes
    oracle: CostOracle
    knobs: tuple[Knob, ...]

    def widths(self, choice: Choice) -> Widths:
        """Return every group's width at a choice."""
        widths = list(self.shapes.graph.widths)
        for knob, option in zip(self.knobs, choice, strict=True):
            for group, width in zip(knob.groups, knob.options[option], strict=True):
                widths[group] = width
        return self.shapes.graph.settled(widths)

    def settled(self, choice: Choice) -> Choice:
        """Return the same network's one choice: what is left out whole is as wide as can be."""
        graph, widths = self.shapes.graph, self.widths(choice)
        gone = {group for group in graph.within if not widths[group]}
        return tuple(
            0 if gone.issuperset(knob.groups) else option for knob, option in zip(self.knobs, choice, strict=True)
        )

    @cached_property
    def shares(self) -> tuple[NDArray[np.float64], ...]:
        """Per knob ``(options,)`` the share of channels that each option keeps."""
        return tuple(knob.shares(self.shapes.graph) for knob in self.knobs)

    @cached_property
    def stepped(self) -> frozenset[int]:
        """The numbers of the knobs whose options lie on no one curve: what each loses is learnt step by step."""
        return frozenset(number for number, knob in enumerate(self.knobs) if knob.kind not in ("channels", "depth"))

    @cached_property
    def kept_mostly(self) -> frozenset[int]:
        """The numbers of the knobs that are drawn as given more often than not: blocks and kernels.

        One of them alone changes what a network computes from the ground up; several make chance of it.
        """
        return frozenset(number for number, knob in enumerate(self.knobs) if knob.kind in ("depth", KERNEL))

    @cached_property
    def scopes(self) -> tuple[tuple[int, ...], ...]:
        """Per layer the numbers of the knobs that its cost depends on, rising."""
        owner = {group: number for number, knob in enumerate(self.knobs) for group in knob.groups}
        return tuple(tuple(sorted({owner[place] for place in each.depends_on})) for each in self.shapes.layers)

    @property
    def problems(self) -> int:
        """Layers that have to be mapped, at most; some are alike."""
        sizes = [len(knob.options) for knob in self.knobs]
        return sum(math.prod(sizes[knob] for knob in scope) for scope in self.scopes)

    @cached_property
    def tables(self) -> tuple[LayerTable, ...]:
        """One table per layer; the first use maps every layer at all options of the knobs that it depends on."""
        problems = [self._problems(each, knobs) for each, knobs in zip(self.shapes.layers, self.scopes, strict=True)]
        self.oracle.learn(problem for each in problems for problem in each.values())
        layers = zip(self.shapes.layers, self.scopes, problems, strict=True)
        return tuple(self._table(layer, knobs, own) for layer, knobs, own in layers)

    def _problems(self, layer: SizedLayer, knobs: tuple[int, ...]) -> dict[tuple[int, ...], Problem]:
        """Return a layer's problems by the options of its knobs, but for those that leave it out."""
        problems = {}
        for options in np.ndindex(*(len(self.knobs[knob].options) for knob in knobs)):
            choice = [0] * len(self.knobs)
            for knob, option in zip(knobs, options, strict=True):
                choice[knob] = option
            if layer.stays(widths := self.widths(tuple(choice))):
                problems[options] = layer.problem(widths)
        return problems

    def _table(
        self, layer: SizedLayer, knobs: tuple[int, ...], problems: Mapping[tuple[int, ...], Problem]
    ) -> LayerTable:
        shape = tuple(len(self.knobs[knob].options) for knob in knobs)
        energy, cycles, macs = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for options, problem in problems.items():
            one_energy, one_cycles = self.oracle.of(problem)
            energy[options], cycles[options], macs[options] = one_energy, one_cycles, problem.macs
        return LayerTable(knobs, energy * layer.layer.repeats, cycles * layer.layer.repeats, macs * layer.layer.repeats)


def search_space(
    shapes: NetworkShapes, oracle: CostOracle, *, kept: int = KEPT_WIDTHS, alike: Sequence[CostOracle] = ()
) -> SearchSpace:  # fmt: skip
    """Return the space of the widths that a design likes, with blocks and settings.

    Each knob of channels is turned alone over a grid of widths, all others as given. A width is dropped when a wider
    one costs no more in energy and in cycles; of what is left, ``kept`` widths spread over the range stay, each the
    cheapest per channel squared of its stretch. Fewer are kept where over `MOST_PROBLEMS` layers were to be mapped.

    Args:
        shapes: the network's layers.
        oracle: what they cost.
        kept: widths of each group, at most.
        alike: other designs on which a width is to cost more than a wider one before it is dropped, too; of a stretch
            the one stays that is cheapest by the geometric mean over all designs.
    """
    oracles = (oracle, *alike)
    graph, primes = shapes.graph, sorted({prime for each in oracles for prime in design_primes(each.architecture)})
    tied = tied_groups(graph)
    grids = [grid(graph, groups, primes, STAIRS) for groups in tied]
    stairs = [staircase(shapes, groups, options) for groups, options in zip(tied, grids, strict=True)]
    for each in oracles:
        each.learn(problem for of_knob in stairs for layers in of_knob for problem, _ in layers)
    costs = [[tuple(cost for each in oracles for cost in _sum(each, on)) for on in layers] for layers in stairs]

    def options_of(count: int) -> list[list[Widths]]:
        return [liked(options, of_knob, count) for options, of_knob in zip(grids, costs, strict=True)]

    return _small_enough(shapes, oracle, tied, options_of, kept)


def even_space(shapes: NetworkShapes, oracle: CostOracle) -> SearchSpace:
    """Return the space of even shares of every group's channels, for searches that know no design."""
    tied = tied_groups(shapes.graph)

    def options_of(count: int) -> list[list[Widths]]:
        return [even_grid(shapes.graph, groups, count) for groups in tied]

    return _small_enough(shapes, oracle, tied, options_of, 16)


def _small_enough(
    shapes: NetworkShapes, oracle: CostOracle, tied: Sequence[tuple[int, ...]],
    options_of: Callable[[int], list[list[Widths]]], most: int,
) -> SearchSpace:  # fmt: skip
    """Return the space of as many widths as leave not too many layers to map, where there are settings."""
    graph = shapes.graph
    rest = (*_depth_knobs(graph), *_setting_knobs(graph))
    count = most
    while True:
        channels = (
            Knob(graph.groups[groups[0]].name, groups, tuple(options))
            for groups, options in zip(tied, options_of(count), strict=True)
        )
        space = SearchSpace(shapes, oracle, (*channels, *rest))
        if not graph.settings or count <= FEWEST_WIDTHS or space.problems <= MOST_PROBLEMS:
            return space
        count -= 1


def _depth_knobs(graph: ChannelGraph) -> Iterator[Knob]:
    for place, block in enumerate(graph.blocks, len(graph.groups)):
        yield Knob(block, (place,), ((1,), (0,)), "depth")


def _setting_knobs(graph: ChannelGraph) -> Iterator[Knob]:
    for place, setting in enumerate(graph.settings, graph.first_setting):
        yield Knob(setting.name, (place,), tuple((value,) for value in setting.values), setting.kind)


def staircase(
    shapes: NetworkShapes, groups: tuple[int, ...], options: Sequence[Widths]
) -> list[list[tuple[Problem, int]]]:
    """Return per option the (problem, repeats) of every layer that these groups reach, all other groups as given."""
    found = []
    for option in options:
        widths = list(shapes.graph.widths)
        for group, width in zip(groups, option, strict=True):
            widths[group] = width
        reached = [each for each in shapes.layers if set(each.groups) & set(groups)]
        found.append([(each.problem(tuple(widths)), each.layer.repeats) for each in reached])
    return found


def _sum(oracle: CostOracle, layers: Sequence[tuple[Problem, int]]) -> tuple[float, float]:
    costs = [(oracle.of(problem), repeats) for problem, repeats in layers]
    return sum(c[0] * n for c, n in costs), float(sum(c[1] * n for c, n in costs))


def liked(options: Sequence[Widths], costs: Sequence[tuple[float, ...]], count: int) -> list[Widths]:
    """Return the options worth trying, by falling width.

    Args:
        options: by falling width.
        costs: energy and cycles of each, on every design.
        count: how many to return at most; the first option is always among them.
    """
    sensible: list[int] = []
    for place, own in enumerate(costs):
        if all(any(wide > narrow for wide, narrow in zip(costs[wider], own, strict=True)) for wider in sensible):
            sensible.append(place)
    if len(sensible) <= count:
        return [options[place] for place in sensible]
    sizes = np.array([sum(options[place]) for place in sensible], float)
    per_channel = [
        math.prod(costs[p]) ** (2 / len(costs[p])) / size**2 for p, size in zip(sensible, sizes.tolist(), strict=True)
    ]
    stretch = np.log(sizes[0] / sizes) / np.log(sizes[0] / sizes[-1]) * (count - 1)
    best: dict[int, int] = {0: 0}
    for place in range(1, len(sensible)):
        at = 1 + min(count - 2, int(stretch[place] * (count - 1) / count))
        if at not in best or per_channel[place] < per_channel[best[at]]:
            best[at] = place
    return [options[sensible[place]] for place in sorted(best.values())]
