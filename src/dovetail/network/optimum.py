"""The network optimum: one point of each layer's Pareto front per run, so that the network as a whole is best.

Layers add up: a choice has energy E (the sum of energies) and cycles C (the sum of cycles). Three facts make the
combinatorial problem small.

1. *E x C needs no search.* ``{(E, C): E*C >= t}`` is convex, so the smallest product over the convex hull of all
   choices is taken at one of the hull's corners, and a corner is itself a choice. The corners of a sum of sets are the
   sums of their corners for one direction: let every layer minimise ``energy + price * cycles`` and sweep the price.
   The same holds for E x C^2.
2. *Between neighbouring corners only a corner of a box is open.* Going from one choice ``(E1, C1)`` on the hull to the
   next ``(E2, C2)``, E2 > E1 and C2 < C1, at the price ``(E2 - E1) / (C1 - C2)``, whatever is not dominated by these
   two loses less than ``E2 - E1`` against the best ``energy + price * cycles``; and a choice's loss is the sum of its
   layers' losses, none negative. So points that alone lose as much can go, partial sums too, and few are left to
   combine exactly.
3. *Sums of Pareto sets only need their Pareto points.*

Sums and the hull are exact (energies become whole numbers of one tiny unit), so nothing depends on the order of layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import InputError
from dovetail.mapper.objective import Objective
from dovetail.table import Table, headed
from dovetail.units import edp_J_cycle

#: Partial sums kept at a time between two corners of the hull.
STATES = 200_000
#: Losses are sums of rounded numbers: what is this close to the limit (relatively; or to the largest energy) stays in.
_SLACK, _ROUNDING = 1e-9, 1e-13


@dataclass(frozen=True)
class LayerFront:
    """What one layer has to choose from.

    Attributes:
        energies_pJ: of one run, per point, rising.
        cycles: of one run, per point, falling.
        repeats: runs; each may take another point.
    """

    energies_pJ: tuple[float, ...]
    cycles: tuple[int, ...]
    repeats: int = 1

    def __post_init__(self) -> None:
        """Check that there is something to choose from."""
        if not self.energies_pJ or len(self.energies_pJ) != len(self.cycles):
            raise InputError(f"a front needs as many energies ({len(self.energies_pJ)}) as cycles ({len(self.cycles)})")
        if self.repeats < 1:
            raise InputError(f"a layer runs at least once, not {self.repeats} times")


def pareto_front(points: Iterable[tuple[float, int]], repeats: int = 1) -> LayerFront:
    """Return the points that no other beats in both energy and cycles, by rising energy."""
    best: list[tuple[float, int]] = []
    for energy, cycles in sorted(points):
        if not best or cycles < best[-1][1]:
            best.append((energy, cycles))
    return LayerFront(tuple(energy for energy, _ in best), tuple(cycles for _, cycles in best), repeats)


@dataclass(frozen=True)
class Choice:
    """One point per run of every layer.

    Attributes:
        energy_pJ: of the network.
        cycles: of the network.
        counts: per layer, how many of its runs take each point of its front.
    """

    energy_pJ: float
    cycles: int
    counts: tuple[tuple[int, ...], ...]

    @property
    def edp_J_cycle(self) -> float:
        """Energy-delay product in joules times cycles."""
        return edp_J_cycle(self.energy_pJ, self.cycles)

    @property
    def points(self) -> tuple[int, ...] | None:
        """Per layer the one point that all its runs take; None when runs of a layer differ."""
        taken = [[point for point, count in enumerate(of_layer) if count] for of_layer in self.counts]
        return tuple(points[0] for points in taken) if all(len(points) == 1 for points in taken) else None


@dataclass(frozen=True)
class NetworkFront:
    """Every (energy, cycles) of the network that no other choice beats in both.

    Attributes:
        energies_pJ: ``(points,)`` rising.
        cycles: ``(points,)`` falling.
        complete: False when some stretch had more partial sums than `STATES`; there only the hull's points stand.
    """

    energies_pJ: NDArray[np.float64]
    cycles: NDArray[np.int64]
    complete: bool

    def __len__(self) -> int:
        return len(self.cycles)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"complete": self.complete, "points": self.points().records()}

    def points(self) -> Table:
        """Return one row per point, for CSV and JSON."""
        points = zip(self.energies_pJ.tolist(), self.cycles.tolist(), strict=True)
        return Table(headed("energy_pJ", "cycles"), tuple(points))

    def table(self) -> Table:
        """Return one row per point."""
        points = zip((self.energies_pJ * 1e-6).tolist(), self.cycles.tolist(), strict=True)
        return Table(headed("energy uJ", "cycles"), tuple(points))

    def _repr_html_(self) -> str:
        return self.table().html(f"{len(self)} points that nothing beats")


@dataclass(frozen=True)
class _Step:
    """One run of one layer moves from one corner of its front's hull to the next, at a price in units per cycle."""

    price: Fraction
    layer: int
    before: int
    after: int


class _Scaled:
    """Layers with their energies as whole numbers.

    Attributes:
        layers: as given.
        unit: how many units a pJ has.
        energies: ``[layer][point]`` in units.
        arrays: per layer its energies in pJ and its cycles.
    """

    def __init__(self, layers: Sequence[LayerFront]) -> None:
        ratios = [[float(energy).as_integer_ratio() for energy in layer.energies_pJ] for layer in layers]
        self.layers = tuple(layers)
        self.unit = max((denominator for of_layer in ratios for _, denominator in of_layer), default=1)
        self.energies = [[top * (self.unit // bottom) for top, bottom in of_layer] for of_layer in ratios]
        self.arrays = [(np.array(layer.energies_pJ), np.array(layer.cycles, np.int64)) for layer in layers]

    def sums(self, counts: Sequence[Sequence[int]]) -> tuple[int, int]:
        """Return the energy in units and the cycles of a choice."""
        energy = cycles = 0
        for layer, energies, of_layer in zip(self.layers, self.energies, counts, strict=True):
            for point, count in enumerate(of_layer):
                if count:
                    energy += energies[point] * count
                    cycles += layer.cycles[point] * count
        return energy, cycles

    def choice(self, counts: Sequence[Sequence[int]]) -> Choice:
        """Return the choice of these counts."""
        energy, cycles = self.sums(counts)
        return Choice(energy / self.unit, cycles, tuple(tuple(of_layer) for of_layer in counts))

    def cheapest(self) -> list[list[int]]:
        """Return the counts of the choice of least energy: the first point of every front."""
        return [[layer.repeats] + [0] * (len(layer.cycles) - 1) for layer in self.layers]

    def steps(self) -> list[_Step]:
        """Return every layer's steps from corner to corner, cheapest first; each stands for all runs of the layer."""
        steps = [
            _Step(self._price(index, before, after), index, before, after)
            for index in range(len(self.layers))
            for before, after in pairwise(self._corners(index))
        ]
        return sorted(steps, key=lambda step: (step.price, step.layer, step.before))

    def gain(self, step: _Step) -> tuple[int, int]:
        """Return the energy in units that a step adds, and the cycles that it adds (a negative number)."""
        energies, cycles = self.energies[step.layer], self.layers[step.layer].cycles
        return energies[step.after] - energies[step.before], cycles[step.after] - cycles[step.before]

    def _corners(self, index: int) -> list[int]:
        """Return the corners of a front's lower convex hull, by rising energy."""
        corners: list[int] = []
        for point in range(len(self.layers[index].cycles)):
            while len(corners) > 1:
                first, second = corners[-2:]
                if self._price(index, first, second) < self._price(index, second, point):
                    break
                corners.pop()
            corners.append(point)
        return corners

    def _price(self, index: int, before: int, after: int) -> Fraction:
        energies, cycles = self.energies[index], self.layers[index].cycles
        return Fraction(energies[after] - energies[before], cycles[before] - cycles[after])


def sum_up(layers: Sequence[LayerFront], counts: Sequence[Sequence[int]]) -> Choice:
    """Return a choice with its sums: per layer, how many runs take each point."""
    return _Scaled(layers).choice(counts)


def own_best(layers: Sequence[LayerFront], objective: Objective = Objective.EDP) -> Choice:
    """Return what everyone else adds up: each layer's own best, whatever the others do."""
    counts = []
    for layer in layers:
        values = [
            (objective.value_of(energy, cycles), energy, cycles)
            for energy, cycles in zip(layer.energies_pJ, layer.cycles, strict=True)
        ]
        best = values.index(min(values))
        counts.append([layer.repeats if point == best else 0 for point in range(len(values))])
    return sum_up(layers, counts)


def network_optimum(layers: Sequence[LayerFront], objective: Objective = Objective.EDP) -> Choice:
    """Return the choice that minimises the objective of the network's sums, exactly; all runs of a layer agree.

    Args:
        layers: every distinct layer's Pareto front.
        objective: energy, latency, EDP or ED2P of the sums.
    """
    scaled = _Scaled(layers)
    steps = scaled.steps()
    energy, cycles = scaled.sums(scaled.cheapest())
    values = [(objective.formula(energy, cycles), energy + cycles, 0)]
    taken = 0
    for _, together in groupby(steps, key=lambda step: step.price):
        for step in together:
            more, fewer = scaled.gain(step)
            energy += more * layers[step.layer].repeats
            cycles += fewer * layers[step.layer].repeats
            taken += 1
        values.append((objective.formula(energy, cycles), energy + cycles, taken))
    counts = scaled.cheapest()
    for step in steps[: min(values)[2]]:
        counts[step.layer][step.before] = 0
        counts[step.layer][step.after] = layers[step.layer].repeats
    return scaled.choice(counts)


def minimum_energy(layers: Sequence[LayerFront], deadline_cycles: float) -> Choice | None:
    """Return the choice of least energy that takes at most so many cycles; None when even the fastest takes more."""
    scaled = _Scaled(layers)
    for stretch in _stretches(scaled):
        if stretch.cycles <= deadline_cycles:
            return scaled.choice(stretch.counts)
        if stretch.step is not None and stretch.cycles + scaled.gain(stretch.step)[1] <= deadline_cycles:
            fitting = [each for each in _choices(scaled, stretch) if each.cycles <= deadline_cycles]
            return min(fitting, key=lambda choice: (choice.energy_pJ, choice.cycles))
    return None


def minimum_cycles(layers: Sequence[LayerFront], budget_pJ: float) -> Choice | None:
    """Return the fastest choice that takes at most so much energy; None when even the thriftiest takes more."""
    scaled = _Scaled(layers)
    for stretch in _stretches(scaled):
        if stretch.energy / scaled.unit > budget_pJ:
            return None
        if stretch.step is None or (stretch.energy + scaled.gain(stretch.step)[0]) / scaled.unit > budget_pJ:
            fitting = [each for each in _choices(scaled, stretch) if each.energy_pJ <= budget_pJ]
            return min(fitting, key=lambda choice: (choice.cycles, choice.energy_pJ))
    return None


def network_front(layers: Sequence[LayerFront], *, states: int = 2_000) -> NetworkFront:
    """Return the network's whole front over (energy, cycles).

    Args:
        layers: every distinct layer's Pareto front.
        states: partial sums kept at a time; a stretch that needs more contributes its hull points only.
    """
    scaled = _Scaled(layers)
    found: list[tuple[float, int]] = []
    complete = True
    for stretch in _stretches(scaled):
        found.append((stretch.energy / scaled.unit, stretch.cycles))
        if stretch.step is not None:
            box = _between(scaled, stretch, states)
            complete = complete and box is not None
            if box is not None:
                found += zip((energy / scaled.unit for energy in box.energies), box.cycles, strict=True)
    front = pareto_front(found)
    return NetworkFront(np.array(front.energies_pJ), np.array(front.cycles, np.int64), complete)


@dataclass(frozen=True)
class _Stretch:
    """A choice on the network's hull and the step that leads to the next one.

    Attributes:
        counts: of the choice; changed in place when the walk goes on.
        energy: of the choice, in units.
        cycles: of the choice.
        step: what one run changes next; None at the end.
    """

    counts: list[list[int]]
    energy: int
    cycles: int
    step: _Step | None


def _stretches(scaled: _Scaled) -> Iterator[_Stretch]:
    """Yield the choices along the network's hull by rising energy, one run changing at a time."""
    counts = scaled.cheapest()
    energy, cycles = scaled.sums(counts)
    for step in scaled.steps():
        more, fewer = scaled.gain(step)
        for _ in range(scaled.layers[step.layer].repeats):
            yield _Stretch(counts, energy, cycles, step)
            counts[step.layer][step.before] -= 1
            counts[step.layer][step.after] += 1
            energy, cycles = energy + more, cycles + fewer
    yield _Stretch(counts, energy, cycles, None)


@dataclass(frozen=True)
class _Box:
    """The choices strictly between two neighbours on the hull that no choice dominates.

    Attributes:
        fixed: counts of the runs that have no alternative there.
        runs: the layers of all other runs.
        picks: ``(choices, runs)`` the point of every such run.
        energies: of the choices, in units.
        cycles: of the choices.
    """

    fixed: list[list[int]]
    runs: list[int]
    picks: NDArray[np.int32]
    energies: list[int]
    cycles: list[int]

    def counts(self, choice: int) -> list[list[int]]:
        """Return the counts of one of the choices."""
        counts = [list(of_layer) for of_layer in self.fixed]
        for layer, point in zip(self.runs, self.picks[choice].tolist(), strict=True):
            counts[layer][point] += 1
        return counts


def _choices(scaled: _Scaled, stretch: _Stretch) -> list[Choice]:
    """Return a stretch's two ends and every choice between them that is not dominated.

    Raises:
        InputError: there are too many partial sums to be sure.
    """
    choices = [scaled.choice(stretch.counts)]
    if stretch.step is None:
        return choices
    box = _between(scaled, stretch, STATES)
    if box is None:
        raise InputError(f"the layers' fronts combine in more than {STATES} ways between two points of the hull")
    after = [list(of_layer) for of_layer in stretch.counts]
    after[stretch.step.layer][stretch.step.before] -= 1
    after[stretch.step.layer][stretch.step.after] += 1
    return [*choices, scaled.choice(after), *(scaled.choice(box.counts(i)) for i in range(len(box.cycles)))]


def _between(scaled: _Scaled, stretch: _Stretch, states: int) -> _Box | None:
    """Return what lies between a stretch's ends; None when more than ``states`` partial sums had to be kept."""
    step = stretch.step
    assert step is not None
    more, fewer = scaled.gain(step)
    largest = max(layer.energies_pJ[-1] for layer in scaled.layers)
    limit = more / scaled.unit * (1 + _SLACK) + _ROUNDING * largest
    price = float(step.price / scaled.unit)
    fixed, runs = [list(of_layer) for of_layer in stretch.counts], []
    sums = _Sums(np.zeros(1), np.zeros(1, np.int64), np.zeros(1), np.zeros((1, 0), np.int32))
    for index, (energy, cycles) in enumerate(scaled.arrays):
        loss = energy + price * cycles
        loss -= loss.min()
        open_points = np.flatnonzero(loss < limit)
        if len(open_points) > 1:
            fixed[index] = [0] * len(cycles)
            for _ in range(scaled.layers[index].repeats):
                runs.append(index)
                sums = _joined(sums, energy, cycles, loss, open_points, limit)
                if len(sums.loss) > states:
                    return None
    energies, all_cycles = _exactly(scaled, fixed, runs, sums.picks)
    inside = [
        i
        for i, (energy_here, cycles_here) in enumerate(zip(energies, all_cycles, strict=True))
        if stretch.energy < energy_here < stretch.energy + more
        and stretch.cycles + fewer < cycles_here < stretch.cycles
    ]
    return _Box(fixed, runs, sums.picks[inside], [energies[i] for i in inside], [all_cycles[i] for i in inside])


@dataclass(frozen=True)
class _Sums:
    """Sums of some runs' points that are not dominated, as parallel arrays.

    Attributes:
        energy: ``(sums,)`` pJ.
        cycles: ``(sums,)``.
        loss: ``(sums,)`` pJ.
        picks: ``(sums, runs)`` the point of every run.
    """

    energy: NDArray[np.float64]
    cycles: NDArray[np.int64]
    loss: NDArray[np.float64]
    picks: NDArray[np.int32]


def _joined(
    sums: _Sums,
    energy: NDArray[np.float64],
    cycles: NDArray[np.int64],
    loss: NDArray[np.float64],
    points: NDArray[np.intp],
    limit: float,
) -> _Sums:
    """Add one run: every sum with every open point, without what loses too much or is dominated."""
    losses = (sums.loss[:, None] + loss[points]).ravel()
    possible = np.flatnonzero(losses < limit)
    left, right = possible // len(points), points[possible % len(points)]
    energies, all_cycles = sums.energy[left] + energy[right], sums.cycles[left] + cycles[right]
    order = np.lexsort((energies, all_cycles))
    best = np.ones(len(order), np.bool_)
    best[1:] = energies[order][1:] < np.minimum.accumulate(energies[order])[:-1]
    keep = order[best]
    picks = np.column_stack([sums.picks[left[keep]], right[keep].astype(np.int32)])
    return _Sums(energies[keep], all_cycles[keep], losses[possible[keep]], picks)


def _exactly(
    scaled: _Scaled, fixed: list[list[int]], runs: list[int], picks: NDArray[np.int32]
) -> tuple[list[int], list[int]]:
    """Return the energies in units and the cycles of the fixed runs with each row of picks."""
    energy, cycles = scaled.sums(fixed)
    energies: Any = np.full(len(picks), energy, object)
    all_cycles = np.full(len(picks), cycles, np.int64)
    for column, index in enumerate(runs):
        energies += np.array(scaled.energies[index], object)[picks[:, column]]
        all_cycles += scaled.arrays[index][1][picks[:, column]]
    return energies.tolist(), all_cycles.tolist()
