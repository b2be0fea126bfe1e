"""Finds what to change: maps the network with each change made, and keeps the changes that pay."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from dovetail.advice.advice import Advice, Advised, Figures, figures_of
from dovetail.advice.changes import BANDWIDTH, BUFFER, CONSTRAINT, Change, design_changes
from dovetail.components.energy_table import EnergyTable
from dovetail.components.estimate import estimate
from dovetail.errors import InputError, NoMappingError
from dovetail.executors import Workers, executor_for
from dovetail.hardware.architecture import Architecture, Constraints
from dovetail.mapper.allowance import Limit
from dovetail.mapper.binding import Binding
from dovetail.mapper.objective import Objective
from dovetail.network.bottleneck import Diagnosis, diagnose_network
from dovetail.network.costs import MappedLayer, NetworkCost
from dovetail.network.map_network import map_network, map_networks
from dovetail.network.sweep import liked_sizes
from dovetail.store import Store
from dovetail.workload.network import Layer, Network

#: Seconds per search and in all, unless said otherwise.
SECONDS, BUDGET = 2.0, 60.0
#: A change must lower the objective by this share; what saves hardware may raise it by the other.
WORTH, FREE = 0.005, 0.001
#: Layers that a change is tried on first: those that make most of the cost.
HEAVY = 3
#: Sizes that are mapped of a layer's dimension, and how far from now.
SIZES, REACH = 16, 8
BATCHES = (4, 16)

#: Told how many steps are done, of how many, and what is under way.
Tell = Callable[[int, int, str], None]


def advise(
    network: Network,
    architecture: Architecture,
    energies: EnergyTable | None = None,
    *,
    objective: Objective = Objective.EDP,
    time_limit: Limit = SECONDS,
    budget: float = BUDGET,
    store: Store | None = None,
    workers: Workers = None,
    progress: Tell | None = None,
    cost: NetworkCost | None = None,
    diagnoses: Sequence[Diagnosis] | None = None,
) -> Advice:
    """Return the changes of a design, of a network and of its layers that would pay, each computed.

    A change is mapped on the few layers that make most of the cost, and where it pays there on the whole network. None
    is guessed: all figures are those of mappings that were found.

    Args:
        network: one layer makes a network, too.
        architecture: the design.
        energies: what its components cost; None: estimated, and estimated anew where a change resizes components.
            Where they are given, nothing is known of other sizes, and none is tried.
        objective: what each layer's mapping, and the advice, minimises.
        time_limit: seconds per search.
        budget: seconds in all, after which what is left to try is named instead.
        store: where results are kept and found.
        workers: processes, or any executor; None: one per CPU. See `map_network`.
        progress: told changes tried, changes known of, and the present one.
        cost: the network as it is, where it is mapped already.
        diagnoses: of its distinct layers, where they are known already.

    Raises:
        InputError, NoMappingError: the network can't be mapped as it is.
    """
    store, end = store or Store.disabled(), time.monotonic() + budget
    with executor_for(SIZES, workers) as executor:
        if cost is None:
            table = estimate(architecture) if energies is None else energies
            options = {"objective": objective, "time_limit": time_limit, "store": store, "workers": executor}
            cost = map_network(network, architecture, table, **options)  # type: ignore[arg-type]
        told = diagnose_network(cost, store) if diagnoses is None else diagnoses
        return _Search(cost, told, energies is None, time_limit, end, store, executor, progress).advice()


@dataclass
class _Search:
    """Changes tried one after another.

    Attributes:
        cost: the network as it is.
        told: what holds its distinct layers back.
        estimated: whether energies are estimates, and can be made for other sizes.
        time_limit: seconds per search.
        end: when to stop, on the monotonic clock.
        store: where results are kept.
        executor: what searches.
        progress: told of every change.
    """

    cost: NetworkCost
    told: Sequence[Diagnosis]
    estimated: bool
    time_limit: Limit
    end: float
    store: Store
    executor: Executor
    progress: Tell | None
    tried: int = 0
    left_out: list[str] = field(default_factory=list)
    tables: dict[Architecture, EnergyTable] = field(default_factory=dict)

    def advice(self) -> Advice:
        """Try everything that time allows, and return what pays."""
        steps = self._steps()
        found: list[Advised] = []
        for done, (words, step) in enumerate(steps, 1):
            if time.monotonic() >= self.end:
                self.left_out.append(words)
                continue
            self.tried += 1
            if self.progress is not None:
                self.progress(done, len(steps), words)
            found += step()
        ordered = sorted(found, key=lambda each: (-round(each.gain, 9), each.text))
        notes = () if self.estimated else ("the energies are given: what components of other sizes cost is not known",)
        widths = tuple(each for each in ordered if each.kind == "width")
        others = tuple(each for each in ordered if each.kind != "width")
        return Advice(self.cost, others, widths, self.tried, tuple(self.left_out), notes)

    def _steps(self) -> list[tuple[str, Callable[[], list[Advised]]]]:
        """Return what to try, in words and as what tries it: lifted constraints last, as their spaces are larger."""
        distinct, heavy = self.cost.distinct, self._heaviest(HEAVY)
        changes = design_changes(self.cost.architecture, [each.layer.problem for each in distinct])
        tried = [each for each in changes if self.estimated or not each.resizes]
        batched = self.cost.network.batch == 1 and any(each.layer.batch_dimension for each in distinct)

        def of_design(which: Iterable[Change]) -> list[tuple[str, Callable[[], list[Advised]]]]:
            return [(change.text, functools.partial(self._design, change, heavy)) for change in which]

        return [
            *of_design(change for change in tried if change.kind != CONSTRAINT),
            *(
                (f"pad {each.held.what} of {each.layer.name}", functools.partial(self._padding, each))
                for each in self.told
                if each.binding is Binding.DIVISIBILITY
            ),
            *((f"run {batch} images at a time", functools.partial(self._batch, batch)) for batch in BATCHES if batched),
            *(
                (f"sizes of {dimension} of {distinct[place].name}", self._width_step(distinct[place], dimension))
                for place in heavy
                for dimension in "MC"
            ),
            *of_design(change for change in tried if change.kind == CONSTRAINT),
        ]

    def _width_step(self, mapped: MappedLayer, dimension: str) -> Callable[[], list[Advised]]:
        return functools.partial(self._widths, mapped, dimension)

    def _heaviest(self, most: int) -> list[int]:
        """Return the places of the distinct layers that make most of the objective, in order of weight."""
        value = self.cost.objective.value_of
        weights = [value(each.totals.energy_pJ, each.totals.cycles) for each in self.cost.distinct]
        return sorted(range(len(weights)), key=lambda place: -weights[place])[:most]

    def _mapped(self, jobs: Sequence[tuple[Layer, Architecture]]) -> list[MappedLayer] | None:
        """Return single layers mapped, each on its design; None where one can't be."""
        pairs = []
        try:
            for layer, architecture in jobs:
                alone = replace(self.cost.network, name=layer.name, layers=(layer,), edges=(), unmapped=(), free=())
                pairs.append((alone, architecture, self._energies(architecture)))
            costs = map_networks(
                pairs,
                objective=self.cost.objective,
                time_limit=self.time_limit,
                store=self.store,
                workers=self.executor,
            )
        except (NoMappingError, InputError):  # a change may leave nothing that fits, or no estimator for its size
            return None
        return [each.layers[0] for each in costs]

    def _energies(self, architecture: Architecture) -> EnergyTable:
        if not self.estimated:
            return self.cost.energies
        bare = replace(
            architecture,
            levels=tuple(replace(each, attributes={}, constraints=Constraints()) for each in architecture.levels),
        )
        if bare not in self.tables:
            self.tables[bare] = estimate(architecture)
        return self.tables[bare]

    def _design(self, change: Change, heavy: Sequence[int]) -> list[Advised]:
        """Return a change of the design, taken as far as it pays; nothing where it does not.

        How far that is the heaviest layers say; from there it goes back until it pays for the whole network.
        """
        if change.kind == BUFFER and not self._is_priced(change):
            return []
        steps: list[Change] = []
        step: Change | None = change
        last = 0.0
        while step is not None and (not steps or time.monotonic() < self.end):
            gain, _, _ = self._gain(step, heavy, partly=True)
            if gain < (-FREE if step.saves else last + WORTH):
                break
            steps.append(step)
            step, last = step.next(), gain
        for step in reversed(steps):
            if (found := self._whole(step)) is not None:
                return [found]
        return []

    def _is_priced(self, change: Change) -> bool:
        """Tell whether a component's size makes a difference to what it is estimated to cost; a register's does not."""
        changed = change.design(self.cost.distinct[0].layer.problem)
        try:
            return self._energies(changed).components[change.level] != self.cost.energies.components[change.level]
        except InputError:  # no estimator serves the other size
            return False

    def _whole(self, change: Change) -> Advised | None:
        """Return what a change brings the whole network; None where it does not pay."""
        gain, after, mapped = self._gain(change, range(len(self.cost.distinct)), partly=False)
        if after is None or gain < (-FREE if change.saves else WORTH):
            return None
        if change.saves and change.resizes and self.cost.area_um2 and after.area_um2 >= self.cost.area_um2:
            return None
        exact = all(each.result.certificate.exact for each in mapped.values())
        before, layers = figures_of(self.cost), self._gaining(mapped)
        figure = "roofline" if change.kind == BANDWIDTH else shown_by(before, after)
        text = change.text + (", for free" if change.saves and is_free(before, after) else "")
        return Advised(change.kind, change.level, text, before, after, gain, exact, layers, figure)

    def _gain(
        self, change: Change, places: Iterable[int], *, partly: bool
    ) -> tuple[float, Figures | None, dict[int, MappedLayer]]:
        """Return the objective's gain with some layers mapped on the changed design, and the figures."""
        distinct, places = self.cost.distinct, list(places)
        jobs = [(distinct[place].layer, change.design(distinct[place].layer.problem)) for place in places]
        if (mapped := self._mapped(jobs)) is None:
            return -1.0, None, {}
        own = self.cost.objective.value_of
        chosen: dict[int, MappedLayer] = {}
        for place, each in zip(places, mapped, strict=True):
            before = distinct[place]
            worse = own(each.cost.energy_pJ, each.cost.cycles) >= own(before.cost.energy_pJ, before.cost.cycles)
            chosen[place] = before if change.loosens and worse else each
        if partly:
            before_figures = _sum(distinct[place] for place in places)
            after = _sum(chosen.values())
        else:
            before_figures, after = figures_of(self.cost), _sum(chosen[place] for place in range(len(distinct)))
        after = replace(after, area_um2=max(each.cost.area_um2 for each in mapped))
        return self._objective_gain(before_figures, after), after, chosen

    def _objective_gain(self, before: Figures, after: Figures) -> float:
        value = self.cost.objective.value_of
        return 1 - value(after.energy_pJ, after.cycles) / value(before.energy_pJ, before.cycles)

    def _gaining(self, mapped: Mapping[int, MappedLayer]) -> tuple[str, ...]:
        """Return the layers that gain most, at most three."""
        value = self.cost.objective.value_of
        gains: list[tuple[float, str]] = []
        for place, each in mapped.items():
            before, after = self.cost.distinct[place].totals, each.totals
            change = value(before.energy_pJ, before.cycles) - value(after.energy_pJ, after.cycles)
            if change > 0:
                gains.append((-change, each.name))
        return tuple(name for _, name in sorted(gains)[:3])

    def _swapped(self, swapped: Mapping[int, MappedLayer]) -> Figures:
        """Return the network's figures with some distinct layers otherwise."""
        layers = (swapped.get(place, each) for place, each in enumerate(self.cost.distinct))
        return replace(_sum(layers), area_um2=self.cost.area_um2)

    def _sizes(self, mapped: MappedLayer, dimension: str, sizes: Sequence[int]) -> list[MappedLayer] | None:
        """Return a layer mapped with other sizes of a dimension."""
        problem = mapped.layer.problem
        place = problem.shape.dimensions.index(dimension)
        jobs = []
        for size in sizes:
            bounds = (*problem.bounds[:place], size, *problem.bounds[place + 1 :])
            jobs.append((replace(mapped.layer, problem=replace(problem, bounds=bounds)), self.cost.architecture))
        return self._mapped(jobs)

    def _padding(self, told: Diagnosis) -> list[Advised]:
        """Return the padding of a dimension that lowers the objective, more work included."""
        layer, dimension = told.layer, told.held.what
        if dimension not in layer.layer.problem.shape.dimensions:
            return []
        place = next(i for i, each in enumerate(self.cost.distinct) if each.name == layer.name)
        now = layer.layer.problem.bound(dimension)
        sizes = _spread(now + 1, now + max(2, min(now // 2, 4 * SIZES)))
        mapped = self._sizes(layer, dimension, sizes)
        if mapped is None:
            return []
        before = figures_of(self.cost)
        outcomes = [
            (self._objective_gain(before, self._swapped({place: each})), size, each)
            for size, each in zip(sizes, mapped, strict=True)
        ]
        gain, size, best = max(outcomes, key=lambda each: (each[0], -each[1]))
        alone = 1 - self._value(best) / self._value(layer)
        if alone < WORTH:
            return []
        text = f"pad {dimension} of {layer.name} from {now} to {size}"
        stairs = ((now, 1.0), *((s, self._value(each) / self._value(layer)) for _, s, each in outcomes))
        exact = all(each.result.certificate.exact for each in (layer, best))
        figures = before, self._swapped({place: best})
        return [
            Advised("padding", layer.name, text, *figures, gain, exact, (layer.name,), "stairs", stairs, (now, size))
        ]

    def _value(self, mapped: MappedLayer) -> float:
        return self.cost.objective.value_of(mapped.cost.energy_pJ, mapped.cost.cycles)

    def _batch(self, batch: int) -> list[Advised]:
        """Return what a larger batch brings for each image."""
        network = self.cost.network.with_batch(batch)
        mapped = self._mapped([(layer, self.cost.architecture) for layer in network.distinct()])
        if mapped is None:
            return []
        whole = _sum(mapped)
        after = Figures(whole.cycles / batch, whole.energy_pJ / batch, self.cost.area_um2)
        before = figures_of(self.cost)
        gain = self._objective_gain(before, after)
        if gain < WORTH:
            return []
        exact = all(each.result.certificate.exact for each in mapped)
        names = self._gaining_per_image(mapped, batch)
        text = f"run {batch} images at a time (figures are for one)"
        return [Advised("batch", network.name, text, before, after, gain, exact, names, "energy")]

    def _gaining_per_image(self, mapped: Sequence[MappedLayer], batch: int) -> tuple[str, ...]:
        """Return the layers that save most energy an image, at most three."""
        pairs = zip(mapped, self.cost.distinct, strict=True)
        saved = sorted((each.totals.energy_pJ / batch - own.totals.energy_pJ, each.name) for each, own in pairs)
        return tuple(name for change, name in saved[:3] if change < 0)

    def _widths(self, mapped: MappedLayer, dimension: str) -> list[Advised]:
        """Return the sizes near a layer's own that the design likes better, per channel."""
        problem = mapped.layer.problem
        if dimension not in problem.shape.dimensions or (now := problem.bound(dimension)) < 2 * REACH:
            return []
        sizes = sorted({now, *_spread(now - now // REACH, now + now // REACH)})
        found = self._sizes(mapped, dimension, sizes)
        if found is None:
            return []
        objective = self.cost.objective
        values = [self._value(each) for each in found]
        each_unit = [value / size**objective.degree for value, size in zip(values, sizes, strict=True)]
        own = each_unit[sizes.index(now)]
        liked = liked_sizes(sizes, values, objective)
        stairs = tuple((size, unit / own) for size, unit in zip(sizes, each_unit, strict=True))
        best = min(range(len(sizes)), key=lambda place: each_unit[place])
        gain = 1 - each_unit[best] / own
        if gain < WORTH or not liked[best] or sizes[best] == now:
            return []
        before, after = (Figures(e.cost.cycles, e.cost.energy_pJ, 0.0) for e in (mapped, found[best]))
        channels = "output" if dimension == "M" else "input"
        text = f"{mapped.name} with {sizes[best]} instead of {now} {channels} channels ({dimension})"
        exact = all(each.result.certificate.exact for each in (mapped, found[best]))
        figures, chosen = (before, after), (now, sizes[best])
        return [Advised("width", mapped.name, text, *figures, gain, exact, (mapped.name,), "stairs", stairs, chosen)]


def shown_by(before: Figures, after: Figures) -> str:
    """Return the figure that shows a change: of cycles or of energy, whichever it lowers more."""
    return "cycles" if after.cycles * before.energy_pJ < after.energy_pJ * before.cycles else "energy"


def is_free(before: Figures, after: Figures) -> bool:
    """Tell whether what takes something away costs nothing: neither cycles nor energy, whatever the objective says."""
    return after.cycles <= before.cycles * (1 + FREE) and after.energy_pJ <= before.energy_pJ * (1 + FREE)


def _sum(layers: Iterable[MappedLayer]) -> Figures:
    totals = [each.totals for each in layers]
    return Figures(sum(each.cycles for each in totals), sum(each.energy_pJ for each in totals), 0.0)


def _spread(first: int, last: int) -> list[int]:
    """Return at most about `SIZES` sizes from the first to the last; where not all, round ones."""
    step = max(1, (last - first) // SIZES)
    return (
        sorted({first, *range(-(-first // step) * step, last + 1, step)}) if step > 1 else list(range(first, last + 1))
    )
