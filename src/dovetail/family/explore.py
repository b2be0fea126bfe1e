"""The proven front of a family: boxes of members are discarded by what their floors cost, or split, or mapped.

Every box of the family's grid has corners: the least area of its members, and what its floor (`dovetail.family.floors`)
costs at least. A box is discarded, its members never mapped, when a point found so far is at least as good as its
corner on every axis. What a floor costs is mostly known before anything is searched (`dovetail.family.known`): where
mappings met already are good enough for the box to stay, it is split, and a box of one member is mapped; where they are
not, it will go, and only the layers whose bounds are missing are searched, on the floor of the largest box around it
that would still discard it. Largest gap first, so that the front is good before the proof is complete.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import NoMappingError
from dovetail.family.boxes import Boxes, count_of, inside, lowest, widest
from dovetail.family.costs import Costs, Request, fronts_of
from dovetail.family.family import Family
from dovetail.family.floors import Apart, Box, Floor
from dovetail.family.front import Axis, Choice, Front, Point, point_at
from dovetail.family.members import Members
from dovetail.family.result import Discarded, Exploration, Taken, Unmappable
from dovetail.family.splits import best_cut, grown, halves
from dovetail.mapper.objective import Objective
from dovetail.network.optimum import LayerFront, network_front, network_optimum, sum_up
from dovetail.network.readings import Read
from dovetail.store import Store
from dovetail.workers import available_cpus, executor_for
from dovetail.workload.network import Network

#: Members mapped at first, spread over the areas.
SEEDS = 6
#: Boxes looked at together, per process.
BATCH = 1
#: Corners that are kept of a discarded box, where they are enough to discard it.
_CORNERS = 16
#: A bound this close to what a mapping met costs is not asked for again, relatively.
_SAME = 1e-9


@dataclass(frozen=True)
class State:
    """How far an exploration is.

    Attributes:
        designs: members that are designs.
        settled: mapped, bounded away or found impossible.
        mapped: mapped.
        points: on the front.
        gap: by what factor the front may be above the true one; infinite before there is anything to compare.
        seconds: since the start.
    """

    designs: int
    settled: int
    mapped: int
    points: int
    gap: float
    seconds: float


@dataclass
class _Open:
    """A box that is not settled.

    Attributes:
        box: the members.
        count: how many are designs.
        corners: ``(corners, axes)``: every member's points are at or above one of them; EDP in J x cycle.
        is_searched: whether all layers were searched on its own floor.
    """

    box: Box
    count: int
    corners: NDArray[np.float64]
    is_searched: bool = False

    @property
    def is_single(self) -> bool:
        return count_of(self.box) == 1


@dataclass(frozen=True)
class _Search:
    """What is to be found out for the sake of a box.

    Attributes:
        box: the box.
        around: the box, or a larger one, on whose floor layers are searched.
        places: of the layers.
    """

    box: _Open
    around: Box
    places: tuple[int, ...]


def explore(
    family: Family,
    network: Network,
    axes: Sequence[Axis] = (Axis.AREA, Axis.ENERGY, Axis.CYCLES),
    *,
    store: Store | None = None,
    workers: int | Executor | None = None,
    time_limit: float | None = None,
    progress: Callable[[State], None] | None = None,
) -> Exploration:
    """Return the front of a family over two or three axes, with how it is known.

    Args:
        family: the designs.
        network: what runs on them, all its layers one after the other.
        axes: what the front is over.
        store: where every search's result is kept and found; None: nowhere.
        workers: processes, or any executor.
        time_limit: seconds after which what was found is returned, with its gap; None: until all is proven.
        progress: told how far it is.

    A KeyboardInterrupt ends it with what was found, too (`Exploration.interrupted`).

    Raises:
        InputError: no member is a design.
    """
    processes = available_cpus() if workers is None else workers if isinstance(workers, int) else 4
    with executor_for(1 << 30, processes if workers is None else workers) as executor:
        costs = Costs(network.distinct(), store or Store.disabled(), executor)
        return _Exploring(family, network, tuple(axes), costs, time_limit, progress).run(BATCH * processes)


class _Exploring:
    """One exploration."""

    def __init__(
        self,
        family: Family,
        network: Network,
        axes: tuple[Axis, ...],
        costs: Costs,
        time_limit: float | None,
        progress: Callable[[State], None] | None,
    ) -> None:
        self.start, self.limit, self.progress = time.monotonic(), time_limit, progress
        self.family, self.network, self.costs = family, network, costs
        self.members = Members(family)
        self.front = Front(axes)
        paid = [objective for axis in axes if (objective := axis.objective) is not None]
        aside = [budget for budget in family.budgets if budget.what not in (Axis.AREA, *axes)]
        # Where one number says it all, one search does; else energy is weighed against cycles, by fronts.
        self.sole = paid[0] if len(paid) == 1 and not aside else None
        self.boxes = Boxes(self.members, costs.layers, axes, self.sole)
        self.valid, self.area = self.boxes.valid, self.boxes.area
        self.everything = tuple(range(len(costs.layers)))
        self.reused = 0
        self.mapped: dict[Choice, tuple[Read, ...]] = {}
        self.taken: dict[Point, Taken] = {}
        self.discarded: list[Discarded] = []
        self.unmappable: list[Unmappable] = []
        self.unproven: list[float] = []
        self.open: list[tuple[float, int, int, _Open]] = []
        self.order = itertools.count()
        self.designs = int(self.valid.sum())
        self.is_mapped = np.zeros(self.valid.shape, np.bool_)
        self.last_gap = math.inf

    def run(self, batch: int) -> Exploration:
        interrupted = False
        try:
            corner = [float(self.area[self.valid].min()) if axis is Axis.AREA else 0.0 for axis in self.front.axes]
            self._push(_Open(tuple((0, size) for size in self.family.shape), self.designs, np.array([corner])))
            self._tell()
            self._seed()
            while self.open and not self._is_over():
                self._round(self._next(batch))
                self._tell()
        except KeyboardInterrupt:
            interrupted = True
        return self._result(interrupted)

    def _is_over(self) -> bool:
        return self.limit is not None and time.monotonic() - self.start > self.limit

    def _seed(self) -> None:
        """Map a few members, so that there is something to compare with."""
        places = np.argwhere(self.valid)
        by_area = np.argsort(self.area[self.valid], kind="stable")
        count = min(SEEDS, len(places))
        chosen = dict.fromkeys(int(by_area[round(at)]) for at in np.linspace(0, len(places) - 1, count))
        choices = [tuple(places[at].tolist()) for at in chosen]
        requests = [self._request(Floor(*self.members.design(choice)), whole=True) for choice in choices]
        found = zip(choices, self.costs.settle(requests), strict=True)
        mapped = [(choice, reads) for choice, reads in found if not isinstance(reads, NoMappingError)]
        for choice, reads in mapped:
            self._take(choice, reads)
        self.boxes.begin(mapped)

    def _request(self, floor: Floor, *, whole: bool, places: tuple[int, ...] | None = None) -> Request:
        """Return what is to be found out on a design.

        Args:
            floor: the design.
            whole: whether all of a member's points are wanted, or only what bounds them.
            places: of the layers.
        """
        front = self.sole is None or (whole and self.sole is Objective.EDP)
        return Request(floor.architecture, floor.energies, self.sole or Objective.EDP, front=front, places=places)

    def _next(self, batch: int) -> list[_Open]:
        """Return the boxes of the largest gaps; those that the front has caught up with are discarded on the way."""
        taken: list[_Open] = []
        while self.open and len(taken) < batch:
            _, _, _, box = heapq.heappop(self.open)
            gap = self._gap(box)
            if gap <= 1:
                self._discard(box)
            elif self.open and -gap > self.open[0][0]:
                self._push(box)
            else:
                if not taken:
                    self.last_gap = gap
                taken.append(box)
        return taken

    def _gap(self, box: _Open) -> float:
        """Return by what factor the front is at most above a box; 1 where the box has nothing to add."""
        return self._gap_of(box.box, box.corners)

    def _gap_of(self, box: Box, corners: NDArray[np.float64]) -> float:
        if self.family.budgets:
            points = [point_at(lowest(box), self.front.axes, corner) for corner in corners.tolist()]
            corners = corners[[not self._is_over_budget(point) for point in points]]
        return self.front.gap(corners) if len(corners) else 1.0

    def _is_over_budget(self, point: Point) -> bool:
        return any(budget.broken_by(point, self._cycle_seconds) for budget in self.family.budgets if budget.is_monotone)

    @property
    def _cycle_seconds(self) -> float:
        frame = next(frame for frame in self.members.frames.values() if frame is not None)
        return frame.architecture.cycle_seconds

    def _push(self, box: _Open) -> None:
        """Keep a box open, or discard it at once."""
        gap = self._gap(box)
        if gap <= 1:
            self._discard(box)
        else:
            heapq.heappush(self.open, (-gap, box.count, next(self.order), box))

    def _discard(self, box: _Open) -> None:
        count = int((self.valid & ~self.is_mapped)[inside(box.box)].sum())  # one of the first few may be in it
        corners = few(box.corners)
        corners = corners if self.front.gap(corners) <= 1 else box.corners
        self.discarded.append(Discarded(box.box, count, tuple(map(tuple, corners.tolist()))))

    def _round(self, boxes: Sequence[_Open]) -> None:
        """Take each box one step further: discard it, split it, map its only member, or raise its bounds."""
        asked = [search for box in boxes if (search := self._step(box)) is not None]
        requests = []
        for each in asked:
            floor = self.boxes.has_floor(each.around)[0].floor
            requests.append(self._request(floor, whole=self._maps(each), places=each.places))
        for each, reads in zip(asked, self.costs.settle(requests), strict=True):
            box = each.box
            if isinstance(reads, NoMappingError):
                reason = str(reads).rpartition(": ")[2]
                self.unmappable.append(Unmappable(box.box, box.count, reason))
                continue
            self.boxes.learn(each.around, each.places, reads)
            if self._maps(each):
                self._take(lowest(box.box), reads)
                self._settle(box, reads)
            else:
                self._bound(box)
                self._push(box)

    def _maps(self, search: _Search) -> bool:
        """Return whether a search maps a member, with all its layers."""
        return search.box.is_single and search.around == search.box.box and search.places == self.everything

    def _step(self, box: _Open) -> _Search | None:
        """Discard or split a box, or return what has to be searched for its sake."""
        if box.is_single and (reads := self.mapped.get(lowest(box.box))) is not None:  # one of the first few
            self._settle(box, reads)
            return None
        floor = self.boxes.floor(box.box)
        if isinstance(floor, Apart):
            self._replace(box, halves(box.box, self.boxes.splitting(box.box, floor)))
            return None
        if self._bound(box) <= 1:
            self._discard(box)
            return None
        likely = self.boxes.likely(box.box)
        if likely is None:  # nothing fits that was met so far, or it cannot be priced here
            return self._looked_at(box)
        if self._gap_of(box.box, self.boxes.corners(box.box, likely)) <= 1:
            return self._missing(box)
        if box.is_single:
            return self._looked_at(box)
        self._replace(box, best_cut(box.box, self._likely_gap))
        return None

    def _missing(self, box: _Open) -> _Search | None:
        """Return what has to be proven so that a box can be discarded, as it is likely to be."""

        def gap(larger: Box) -> float:
            return self._likely_gap(larger, box.box)

        around = grown(box.box, self.family.shape, self.members.general, gap)
        least, likely = self.boxes.least(around), self.boxes.likely(around)
        assert likely is not None
        shares = self.boxes.repeats * ((likely - least) / likely.max(axis=0)).sum(axis=1)
        places: list[int] = []
        for place in np.argsort(-shares).tolist():
            if bool((least < likely * (1 - _SAME))[place].any()):
                places.append(place)
                least[place] = likely[place]
                if self._gap_of(box.box, self.boxes.corners(box.box, least)) <= 1:
                    break
        if not places:  # all is known, and rounding alone keeps the box: its members have to be looked at
            return self._looked_at(box)
        self.reused += len(self.everything) - len(places)
        return _Search(box, around, tuple(places))

    def _looked_at(self, box: _Open) -> _Search | None:
        """Return a search of all layers on a box's own floor; where that was done already, split the box."""
        if box.is_searched and not box.is_single:
            self._replace(box, halves(box.box, widest(box.box)))
            return None
        box.is_searched = True
        return _Search(box, box.box, self.everything)

    def _likely_gap(self, box: Box, discarded: Box | None = None) -> float:
        """Return by what factor the front is likely to be above what a box's floor costs; infinite: unknown.

        Args:
            box: whose floor it is.
            discarded: the box that is to be discarded by it, whose area counts; None: the same.
        """
        place = discarded or box
        if math.isinf(self.boxes.least_area(place)):
            return 0.0
        likely = self.boxes.likely(box)
        return math.inf if likely is None else self._gap_of(place, self.boxes.corners(place, likely))

    def _bound(self, box: _Open) -> float:
        """Raise a box's corners to what is proven of its floor; returns its gap."""
        raised = self.boxes.corners(box.box, self.boxes.least(box.box))
        gap, before = self._gap_of(box.box, raised), self._gap(box)
        if gap <= before:
            box.corners = raised
        return min(gap, before)

    def _settle(self, box: _Open, reads: tuple[Read, ...]) -> None:
        """Note what is not proven of a box of one mapped member."""
        if not all(read.result.certificate.exact for read in reads):
            self.unproven.append(self._gap(box))

    def _take(self, choice: Choice, reads: tuple[Read, ...]) -> None:
        """Offer the front all that a member has to offer."""
        self.mapped[choice] = reads
        self.is_mapped[choice] = True
        if not all(read.result.front for read in reads):
            self._offer_own(choice, reads)
            return
        fronts = fronts_of(reads, self.costs.layers)
        best = network_optimum(fronts)
        self._offer(choice, best.energy_pJ, best.cycles, reads, fronts)
        if self.sole is None:
            whole = network_front(fronts)
            for energy, cycles in zip(whole.energies_pJ.tolist(), whole.cycles.tolist(), strict=True):
                self._offer(choice, energy, cycles, reads, fronts)
            if not whole.complete:
                self.unproven.append(1 + 1e-6)

    def _offer_own(self, choice: Choice, reads: tuple[Read, ...]) -> None:
        """Offer what each layer's own best add up to."""
        only = [
            LayerFront((read.result.cost.energy_pJ,), (read.result.cost.cycles,), layer.repeats)
            for read, layer in zip(reads, self.costs.layers, strict=True)
        ]
        best = sum_up(only, [[layer.repeats] for layer in self.costs.layers])
        self._offer(choice, best.energy_pJ, best.cycles, reads, None)

    def _offer(
        self,
        choice: Choice,
        energy_pJ: float,
        cycles: int,
        reads: tuple[Read, ...],
        fronts: list[LayerFront] | None,
    ) -> None:
        point = Point(choice, float(self.area[choice]), energy_pJ, cycles)
        if any(budget.broken_by(point, self._cycle_seconds) for budget in self.family.budgets):
            return
        if self.front.add(point):
            self.taken[point] = Taken(reads, None if fronts is None else tuple(fronts))

    def _replace(self, box: _Open, parts: Iterable[Box]) -> None:
        """Put parts of a box in its place."""
        for part in parts:
            count = int(self.valid[inside(part)].sum())
            if count:
                corners = box.corners.copy()
                if Axis.AREA in self.front.axes:
                    corners[:, self.front.axes.index(Axis.AREA)] = self.boxes.least_area(part)
                self._push(_Open(part, count, corners))

    @property
    def settled(self) -> int:
        """Members that are mapped, discarded or impossible."""
        return (
            len(self.mapped) + sum(each.count for each in self.discarded) + sum(each.count for each in self.unmappable)
        )

    def _tell(self) -> None:
        if self.progress is not None:
            seconds = time.monotonic() - self.start
            points = len(self.front.points)
            gap = self.last_gap if self.open else 1.0
            self.progress(State(self.designs, self.settled, len(self.mapped), points, gap, seconds))

    def _result(self, interrupted: bool) -> Exploration:
        gaps = [self._gap(box) for _, _, _, box in self.open] + self.unproven
        return Exploration(
            family=self.family,
            network=self.network,
            axes=self.front.axes,
            designs=self.designs,
            mapped=len(self.mapped),
            bounded=sum(each.count for each in self.discarded),
            unmappable=tuple(self.unmappable),
            skipped={reason: number for reason, number in self.members.skipped.items() if number},
            mapped_choices=tuple(self.mapped),
            points=tuple(self.front.sorted()),
            gap=max((gap for gap in gaps if gap > 1), default=1.0),
            proven=not self.open and not self.unproven and not interrupted,
            discarded=tuple(self.discarded),
            layers=self.costs.layers,
            taken={point: self.taken[point] for point in self.front.points},
            searches=self.costs.searches,
            reused=self.reused,
            seconds=time.monotonic() - self.start,
            interrupted=interrupted,
        )


def least_points(fronts: Sequence[LayerFront]) -> NDArray[np.float64]:
    """Return points ``(points, 2)`` of pJ and cycles of which every choice of the layers' mappings is at or above one.

    That is the network's front; where it is not known between two neighbours, the corner below both.
    """
    whole = network_front(fronts)
    energies, cycles = whole.energies_pJ, whole.cycles.astype(np.float64)
    if not whole.complete:
        energies, cycles = np.append(energies, energies[-1]), np.append(cycles, cycles[-1])
        energies, cycles = energies[:-1], cycles[1:]
    return np.stack([energies, cycles], axis=1)


def few(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most so many corners, each below those that it stands for."""
    groups = np.array_split(corners, min(len(corners), _CORNERS))
    return np.array([group.min(axis=0) for group in groups])
