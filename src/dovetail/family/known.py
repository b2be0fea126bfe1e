"""What searches on some designs say of all others of their kind: proven bounds, and what mappings met cost there.

Designs of one kind differ in what `dovetail.family.floors` can rank: sizes, speeds, fan-outs, prices. A search on one
of them says two things of every other, and neither takes a search.

*What it proved is a bound.* Let ``v`` be a layer's least value on a design, and let another one have sizes, speeds and
fan-outs that are no larger and prices that are at least ``s`` times the design's, ``s <= 1``. Whatever mapping it
allows, the first allows, too; there it takes no more cycles, and its energy, a sum of counts times prices, is at most
``1 / s`` times as much. So energy, EDP, and energy plus cycles at a price, are at least ``s v`` on the other design.

*What it met can be met again.* Counts do not depend on sizes and prices: a mapping is counted once, and priced anywhere
where it fits in microseconds. The least of such prices is no bound, but mostly the optimum: it says which bounds are
worth a proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dovetail.family.costs import Seen
from dovetail.family.floors import Floor
from dovetail.family.measures import Measure, joined
from dovetail.hardware.architecture import Architecture, Spatial, Storage
from dovetail.mapper.result import FrontPoint, unbeaten
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.notes import for_layers
from dovetail.mapping.origins import as_searched
from dovetail.model.arrays import Bools, Ints, Machine, Nest
from dovetail.model.batch import Counted, count_batch, price_batch, stack
from dovetail.model.encode import encode_machine, encode_mapping, encode_rules
from dovetail.network.readings import Read, readings_on
from dovetail.workload.network import Layer
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading

_Floats = NDArray[np.float64]


@dataclass
class Site:
    """A design, as what is known of others compares with it.

    Attributes:
        floor: the design.
        architecture: likewise, as these layers read its names.
        sizes: how much its levels hold, how fast they are, how far fan-outs reach; inf where there is no bound.
        prices: pJ per action, over all levels.
        grid: ``(levels, 2)`` how far fan-outs reach along X and Y, compute aside.
        machines: of every layer and its reading's place, made when they are asked for.
    """

    floor: Floor
    architecture: Architecture
    sizes: _Floats
    prices: _Floats
    grid: Ints
    machines: dict[tuple[int, int], Machine] = field(default_factory=dict)


def site_of(floor: Floor, layers: Sequence[Layer]) -> Site:
    """Return a design as `Known` takes it."""
    architecture = for_layers(floor.architecture, [layer.problem for layer in layers])
    prices = [price for level in architecture.levels for _, price in sorted(floor.energies[level.name].actions.items())]
    grid = encode_rules(layers[0].problem, architecture).grid
    return Site(floor, architecture, _sizes(architecture), np.array(prices), grid)


def _sizes(architecture: Architecture) -> _Floats:
    sizes: list[float] = []
    for level in architecture.levels:
        if isinstance(level, Storage):
            found = (
                level.depth, level.entries, level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth,
            )  # fmt: skip
            sizes += [float(size or math.inf) for size in found]
        elif isinstance(level, Spatial):
            sizes += [float(level.fanout_x), float(level.fanout_y)]
    return np.array(sizes)


class Known:
    """What is known of layers on designs of one kind.

    Args:
        layers: distinct ones.
        measures: what is asked of each.
    """

    def __init__(self, layers: Sequence[Layer], measures: Sequence[Measure]) -> None:
        self._layers, self._measures = tuple(layers), tuple(measures)
        self._facts = [_Facts() for _ in layers]
        self._met: dict[tuple[int, int], _Met] = {}

    def learn(self, site: Site, place: int, seen: Seen) -> None:
        """Take in a search's result.

        Args:
            site: the design that was searched on.
            place: of the layer.
            seen: what came of it.
        """
        values = np.array([measure.bound(seen) for measure in self._measures])
        self._facts[place].add(site.sizes, site.prices, values)
        if site.architecture.is_sparse:
            return
        readings = readings_on(self._layers[place].problem, site.architecture)
        for mapping, problem in _mappings(seen.read):
            at = next(at for at, one in enumerate(readings) if one.problem == problem)
            self._met.setdefault((place, at), _Met(readings[at])).add(mapping, site.architecture)

    def least(self, site: Site) -> _Floats:
        """Return ``(layers, measures)``: what no mapping goes below on a design; 0 where nothing is known."""
        values = [facts.least(site.sizes, site.prices, len(self._measures)) for facts in self._facts]
        return joined(np.array(values), self._measures)

    def met(self, site: Site) -> _Floats:
        """Return ``(layers, measures)``: the least of what mappings met so far cost on a design; inf: none fits."""
        found = np.full((len(self._layers), len(self._measures)), math.inf)
        for place, _, energies, cycles, fits in self._priced(site):
            if fits.any():
                values = [measure.of(energies[fits], cycles[fits]).min() for measure in self._measures]
                found[place] = np.minimum(found[place], values)
        return found

    def choices(self, site: Site) -> tuple[tuple[FrontPoint, ...], ...] | None:
        """Return, by layer, the mappings met so far that fit a design, unless beaten; None where one has none."""
        found: list[list[FrontPoint]] = [[] for _ in self._layers]
        for place, met, energies, cycles, fits in self._priced(site):
            priced = zip(energies.tolist(), cycles.tolist(), met.mappings, fits.tolist(), strict=True)
            found[place] += [
                FrontPoint(energy, int(taken), mapping, met.reading) for energy, taken, mapping, fit in priced if fit
            ]
        return tuple(map(unbeaten, found)) if all(found) else None

    def _priced(self, site: Site) -> Iterator[tuple[int, _Met, _Floats, _Floats, Bools]]:
        """Yield, per layer's place and reading, pJ and cycles of what was met on a design, and what fits there."""
        for (place, at), met in self._met.items():
            machine = site.machines.get((place, at))
            if machine is None:
                machine = encode_machine(
                    met.reading.problem, as_searched(site.architecture, met.reading.problem), site.floor.energies
                )
                site.machines[place, at] = machine
            yield place, met, *met.costs(machine, site)


class _Facts:
    """Proven values of one layer: on which sizes, at which prices."""

    def __init__(self) -> None:
        self._rows: list[tuple[_Floats, _Floats, _Floats]] = []
        self._stacked: tuple[_Floats, _Floats, _Floats] | None = None

    def add(self, sizes: _Floats, prices: _Floats, values: _Floats) -> None:
        self._rows.append((sizes, prices, values))
        self._stacked = None

    def least(self, sizes: _Floats, prices: _Floats, count: int) -> _Floats:
        if not self._rows:
            return np.zeros(count)
        if self._stacked is None:
            larger, paid, values = (np.array(column) for column in zip(*self._rows, strict=True))
            self._stacked = larger, paid, values
        larger, paid, values = self._stacked
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = np.where(paid > 0, prices / paid, 1.0).min(axis=1, initial=1.0)
        shares = np.where((larger >= sizes).all(axis=1), shares, 0.0)
        return np.asarray((values * shares[:, None]).max(axis=0))


class _Met:
    """Mappings met of one layer, counted once."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._nests: dict[Mapping, Nest] = {}
        self._counted: Counted | None = None

    def add(self, mapping: Mapping, architecture: Architecture) -> None:
        if mapping not in self._nests:
            problem = self.reading.problem
            self._nests[mapping] = encode_mapping(mapping, problem, as_searched(architecture, problem))
            self._counted = None

    @property
    def mappings(self) -> Iterable[Mapping]:
        """The mappings."""
        return self._nests

    def costs(self, machine: Machine, site: Site) -> tuple[_Floats, _Floats, Bools]:
        """Return pJ and cycles of the mappings on a design, and which of them fit."""
        if self._counted is None:
            rules = encode_rules(self.reading.problem, as_searched(site.architecture, self.reading.problem))
            self._counted = count_batch(stack(list(self._nests.values())), rules)
        costs = price_batch(self._counted, machine)
        grid = site.grid
        if site.architecture.compute.products:  # as many at once as this layer's widths allow
            grid = encode_rules(self.reading.problem, site.architecture).grid
        fits = (costs.overflow < 0) & (self._counted.spread <= grid).all(axis=(1, 2))
        return costs.energy_pJ, costs.cycles.astype(np.float64), fits


def _mappings(read: Read) -> Iterable[tuple[Mapping, Problem]]:
    """Yield the mappings of a result, each with the problem in whose words it is."""
    yield read.result.mapping, read.problem
    for point in read.result.front:
        yield point.mapping, (point.reading or read.reading).problem
