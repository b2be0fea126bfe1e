"""The proven front of a family: boxes of members are discarded by what their floors cost, or split, or mapped.

Every box of the family's grid has corners: the least area of its members, and what its floor (`dovetail.family.floors`)
costs at least. A box is discarded, its members never mapped, when a point found so far is at least as good as its
corner on every axis. What a floor costs is mostly known before anything is searched (`dovetail.family.known`): where
mappings met already are good enough for the box to stay, it is split, and a box of one member is mapped; where they are
not, it will go, and only the layers whose bounds are missing are searched, on the floor of the largest box around it
that would still discard it. Largest gap first, so that the front is good before the proof is complete. No search
is waited for until it ends: what its bound leaves open is returned to with more time, once all else is settled
(`dovetail.family.agenda`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import NotMetError
from dovetail.executors import Workers, executor_for, processes_of
from dovetail.family.agenda import FIRST_SECONDS, Agenda, OpenBox
from dovetail.family.axes import as_asked, axes_below, check_budgets
from dovetail.family.boxes import Boxes, inside, lowest, widest
from dovetail.family.costs import Costs, Request, Seen
from dovetail.family.family import Family
from dovetail.family.floors import Apart, Box, Floor
from dovetail.family.front import Axis, Choice, Point, few, point_at
from dovetail.family.measures import ROUNDING
from dovetail.family.members import Members
from dovetail.family.offers import Offers, sole_objective
from dovetail.family.result import Discarded, Exploration, State, Unmappable
from dovetail.family.splits import best_cut, grown, halves
from dovetail.family.traffic import members_for
from dovetail.hardware.names import mentions
from dovetail.mapper.objective import Objective
from dovetail.mapping.notes import for_layers
from dovetail.store import Store
from dovetail.workload.network import Network

#: Members mapped at first, spread over the areas.
SEEDS = 6
#: A family of so many members has all of them priced as soon as the first mappings are known; of a larger one, those
#: that are looked at.
MOST_PRICED = 1000
#: Share of a time limit after which no more members are looked at: the rest is for mapping those that were.
LOOKING = 0.5
#: Boxes looked at together, per process.
BATCH = 1
#: A bound this close to what a mapping met costs is not asked for again, relatively.
_SAME = 1e-9
#: Of a mapped member whose bounds are this close to its points nothing is left to be proven, but for rounding.
_PROVEN = 1 + 4 * ROUNDING
#: Seconds after which nothing is returned to with more time, where nobody says how long all may take.
PATIENCE = 600.0


@dataclass(frozen=True)
class _Search:
    """What is to be found out for the sake of a box.

    Attributes:
        box: the box.
        around: the box, or a larger one, on whose floor layers are searched.
        places: of the layers.
    """

    box: OpenBox
    around: Box
    places: tuple[int, ...]


def explore(
    family: Family,
    network: Network,
    axes: Sequence[Axis] = (Axis.AREA, Axis.ENERGY, Axis.CYCLES),
    *,
    store: Store | None = None,
    workers: Workers = None,
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
        time_limit: seconds after which what was found is returned, with its gap; members that were not looked at in
            half of them are left out, and there is no gap then (`Exploration.unread`). None: until all is proven, or,
            where searches leave something open that take long, `PATIENCE` seconds.
        progress: told how far it is.

    A KeyboardInterrupt ends it with what was found, too (`Exploration.interrupted`).

    Raises:
        InputError: no member is a design; or a budget is on what is not known of a front of traffic.
    """
    check_budgets(family.budgets, axes)
    below = axes_below(axes)
    with executor_for(1 << 30, workers) as executor:
        costs = Costs(network.distinct(), store or Store.disabled(), executor)
        found = _Exploring(family, network, below, costs, time_limit, progress).run(BATCH * processes_of(executor))
    return as_asked(found, axes)


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
        self.start, self.progress = time.monotonic(), progress
        self.family, self.network, self.costs = family, network, costs
        self.limit: float | None = None
        self._limit(time_limit)
        self.members = members_for(family, axes)
        # Where one number says it all, one search does; else energy is weighed against cycles, by fronts.
        self.sole = sole_objective(axes, family.budgets)
        until = None if time_limit is None else self.start + LOOKING * time_limit
        self.boxes = Boxes(self.members, costs.layers, axes, self.sole, until)
        self.valid, self.area = self.boxes.valid, self.boxes.area
        self.offers = Offers(self.members, costs.layers, axes, self.area)
        self.front = self.offers.front
        _check_names(self.members, network)
        self.everything = tuple(range(len(costs.layers)))
        self.reused = 0
        self.seconds_of: dict[tuple[Box, int], float] = {}  # that searches had, by their design and layer
        self.discarded: list[Discarded] = []
        self.unmappable: list[Unmappable] = []
        self.agenda = Agenda(self._gap, self._discard)
        self.designs = int(self.valid.sum())
        self.is_mapped = np.zeros(self.valid.shape, np.bool_)

    def run(self, batch: int) -> Exploration:
        interrupted = False
        try:
            corner = [float(self.area[self.valid].min()) if axis is Axis.AREA else 0.0 for axis in self.front.axes]
            self.agenda.add(OpenBox(tuple((0, size) for size in self.family.shape), self.designs, np.array([corner])))
            self._tell()
            if not self.agenda.is_over:  # else no member keeps to the budgets, whatever runs on it
                self._seed()
            while not self._is_over():
                if not self.agenda.is_over:
                    self._round(self.agenda.next(batch))
                    self._tell()
                elif self.agenda.waiting:
                    self._limit(PATIENCE)
                    self.agenda.take_up()
                else:
                    break
        except KeyboardInterrupt:
            interrupted = True
        return self._result(interrupted)

    def _limit(self, seconds: float | None) -> None:
        """Set how long all may take where nobody has said so."""
        if self.limit is None and seconds is not None:
            self.limit = seconds
            self.costs.until = self.start + seconds

    def _left(self) -> float:
        return math.inf if self.limit is None else self.limit - (time.monotonic() - self.start)

    def _is_over(self) -> bool:
        return self._left() <= 0

    def _seed(self) -> None:
        """Map a few members, so that there is something to compare with."""
        places = np.argwhere(self.valid)
        by_area = np.argsort(self.area[self.valid], kind="stable")
        count = min(SEEDS, len(places))
        spread = [round(at) for at in np.linspace(0, len(places) - 1, count)]
        chosen = dict.fromkeys(int(by_area[at]) for at in (spread[count // 2], *spread))
        choices = [tuple(places[at].tolist()) for at in chosen]
        mapped: list[tuple[Choice, tuple[Seen, ...]]] = []
        for few_of_them in (choices[:1], choices[1:]):  # the first one alone: it is soon there
            floors = [Floor(*self.members.design(choice)) for choice in few_of_them]
            requests = [self._request(floor, FIRST_SECONDS, whole=True) for floor in floors]
            for choice, seen in zip(few_of_them, self.costs.settle(requests), strict=True):
                if isinstance(seen, tuple):
                    self._take(choice, seen)
                    mapped.append((choice, seen))
            self._tell()
        self.boxes.begin(mapped)
        for at in places.tolist() if len(places) <= MOST_PRICED else ():
            if self._is_over():
                break
            self._offer_met(tuple(at))
        self._tell()

    def _request(self, floor: Floor, seconds: float, *, whole: bool, places: tuple[int, ...] | None = None) -> Request:
        """Return what is to be found out on a design.

        Args:
            floor: the design.
            seconds: for every search.
            whole: whether all of a member's points are wanted, or only what bounds them.
            places: of the layers.
        """
        front = self.sole is None or (whole and self.sole is Objective.EDP)
        seconds = max(min(seconds, self._left() / 2), FIRST_SECONDS)  # that it may wait for others, too
        objective, ends = self.sole or Objective.EDP, self.sole is None
        return Request(floor.architecture, floor.energies, objective, front, places, seconds, ends)

    def _gap(self, box: OpenBox) -> float:
        """Return by what factor the front is at most above a box; 1 where the box has nothing to add."""
        return self._gap_of(box.box, box.corners)

    def _gap_of(self, box: Box, corners: NDArray[np.float64]) -> float:
        if self.family.budgets:
            points = [point_at(lowest(box), self.front.axes, corner) for corner in corners.tolist()]
            seconds = self.members.cycle_seconds(box)
            corners = corners[[not self._is_over_budget(point, seconds) for point in points]]
        return self.front.gap(corners) if len(corners) else 1.0

    def _is_over_budget(self, point: Point, cycle_seconds: float) -> bool:
        return any(each.broken_by(point, cycle_seconds) for each in self.family.budgets if each.is_monotone)

    def _discard(self, box: OpenBox) -> None:
        count = int((self.valid & ~self.is_mapped)[inside(box.box)].sum())  # one of the first few may be in it
        corners = few(box.corners)
        corners = corners if self.front.gap(corners) <= 1 else box.corners
        self.discarded.append(Discarded(box.box, count, tuple(map(tuple, corners.tolist()))))

    def _round(self, boxes: Sequence[OpenBox]) -> None:
        """Take each box one step further: discard it, split it, map its only member, or raise its bounds."""
        asked = [search for box in boxes if (search := self._step(box)) is not None]
        requests = []
        for each in asked:
            floor = self.boxes.has_floor(each.around)[0].floor
            requests.append(self._request(floor, each.box.seconds, whole=self._maps(each), places=each.places))
        for each, seen in zip(asked, self.costs.settle(requests), strict=True):
            if isinstance(seen, tuple):
                self._learn(each, seen)
            elif seen is None:  # time is up
                self.agenda.add(each.box)
            elif isinstance(seen, NotMetError):  # with more time one may be met
                self._note_tried(each)
                self.agenda.waiting.append(each.box)
            else:
                reason = str(seen).rpartition(": ")[2]
                self.unmappable.append(Unmappable(each.box.box, each.box.count, reason))

    def _learn(self, search: _Search, seen: tuple[Seen, ...]) -> None:
        """Take in what searches for the sake of a box have found."""
        box = search.box
        self.boxes.learn(search.around, search.places, seen)
        self._note_tried(search)
        if self._maps(search):
            self._take(lowest(box.box), seen)
            self._settle(box, seen)
        else:
            self._bound(box)
            self.agenda.add(box)

    def _note_tried(self, search: _Search) -> None:
        self.seconds_of |= {(search.around, place): search.box.seconds for place in search.places}

    def _maps(self, search: _Search) -> bool:
        """Return whether a search maps a member, with all its layers."""
        return search.box.is_single and search.around == search.box.box and search.places == self.everything

    def _step(self, box: OpenBox) -> _Search | None:
        """Discard or split a box, or return what has to be searched for its sake."""
        floor = self.boxes.floor(box.box)
        if isinstance(floor, Apart):
            self._replace(box, halves(box.box, self.boxes.splitting(box.box, floor)))
            return None
        self._offer_met(lowest(box.box))
        if box.is_single and self._settle_mapped(box):
            return None
        if not box.is_single and not box.is_searched and not self.boxes.is_bounded(box.box):
            return self._looked_at(box)
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

    def _settle_mapped(self, box: OpenBox) -> bool:
        """Settle a box whose only member is mapped with as much time as it has; return whether it is one."""
        seen = self.offers.mapped.get(lowest(box.box))
        if seen is None:
            return False
        is_new = self._is_tried(box, box.box, self.everything)
        if is_new or _are_proven(seen):
            self._settle(box, seen)
            return True
        return False

    def _is_tried(self, box: OpenBox, around: Box, places: Iterable[int]) -> bool:
        """Return whether searches on a design had as much time as those of a box may have in its round."""
        return all(self.seconds_of.get((around, place), 0.0) >= box.seconds for place in places)

    def _missing(self, box: OpenBox) -> _Search | None:
        """Return what has to be proven so that a box can be discarded, as it is likely to be."""

        def gap(larger: Box) -> float:
            return self._likely_gap(larger, box.box)

        all_known = False
        for around in dict.fromkeys((grown(box.box, self.family.shape, self.members.general, gap), box.box)):
            places, all_known = self._worth_searching(box, around)
            if places:
                self.reused += len(self.everything) - len(places)
                return _Search(box, around, places)
        if all_known:  # rounding alone keeps the box: its members have to be looked at
            return self._looked_at(box)
        self.agenda.waiting.append(box)
        return None

    def _worth_searching(self, box: OpenBox, around: Box) -> tuple[tuple[int, ...], bool]:
        """Return the layers to be searched on a floor, as few as it takes to discard a box, and whether all are known.

        None where those that were not searched there for as long already would not be enough.
        """
        least, likely = self.boxes.least(around), self.boxes.likely(around)
        assert likely is not None
        shares = self.boxes.repeats * ((likely - least) / likely.max(axis=0)).sum(axis=1)
        unknown = np.asarray((least < likely * (1 - _SAME)).any(axis=1))
        places: list[int] = []
        for place in np.argsort(-shares).tolist():
            if unknown[place] and not self._is_tried(box, around, (place,)):
                places.append(place)
                least[place] = likely[place]
                if self._gap_of(box.box, self.boxes.corners(box.box, least)) <= 1:
                    return tuple(places), False
        return (), not unknown.any()

    def _looked_at(self, box: OpenBox) -> _Search | None:
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

    def _bound(self, box: OpenBox) -> float:
        """Raise a box's corners to what is proven of its floor; returns its gap."""
        raised = self.boxes.corners(box.box, self.boxes.least(box.box))
        gap, before = self._gap_of(box.box, raised), self._gap(box)
        if gap <= before:
            box.corners = raised
        return min(gap, before)

    def _settle(self, box: OpenBox, seen: tuple[Seen, ...]) -> None:
        """Settle a box of one mapped member, or have it wait for what is not proven of it."""
        if not _are_proven(seen) and self._bound(box) > _PROVEN:
            self.agenda.waiting.append(box)

    def _take(self, choice: Choice, seen: tuple[Seen, ...]) -> None:
        """Offer the front all that a member has to offer."""
        self.offers.take(choice, seen)
        self.is_mapped[choice] = True

    def _offer_met(self, choice: Choice) -> None:
        """Offer the front what mappings met so far, on whichever designs, cost on a member."""
        is_new = self.valid[choice] and choice not in self.offers.mapped
        choices = self.boxes.choices(choice) if is_new else None
        if choices is not None:
            self.offers.take_met(choice, choices)

    def _replace(self, box: OpenBox, parts: Iterable[Box]) -> None:
        """Put parts of a box in its place."""
        for part in parts:
            count = int(self.valid[inside(part)].sum())
            if count:
                corners = box.corners.copy()
                if Axis.AREA in self.front.axes:
                    corners[:, self.front.axes.index(Axis.AREA)] = self.boxes.least_area(part)
                self.agenda.add(OpenBox(part, count, corners, box.round))

    @property
    def settled(self) -> int:
        """Members that are mapped, discarded or impossible."""
        unmappable = sum(each.count for each in self.unmappable)
        return len(self.offers.mapped) + sum(each.count for each in self.discarded) + unmappable

    def _tell(self) -> None:
        if self.progress is not None:
            seconds = time.monotonic() - self.start
            points = len(self.front.points)
            gap = self.agenda.largest_gap()
            self.progress(State(self.designs, self.settled, len(self.offers.mapped), points, gap, seconds))

    def _result(self, interrupted: bool) -> Exploration:
        left = list(self.agenda)
        unread = self.members.unread
        gaps = [self._gap(box) for box in left] + self.offers.unproven + [math.inf] * bool(unread)
        return Exploration(
            family=self.family,
            network=self.network,
            axes=self.front.axes,
            designs=self.designs,
            mapped=len(self.offers.mapped),
            bounded=sum(each.count for each in self.discarded),
            unmappable=tuple(self.unmappable),
            skipped={reason: number for reason, number in self.members.skipped.items() if number},
            mapped_choices=tuple(self.offers.mapped),
            points=tuple(self.front.sorted()),
            gap=max((gap for gap in gaps if gap > 1), default=1.0),
            proven=not left and not self.offers.unproven and not interrupted and not unread,
            discarded=tuple(self.discarded),
            layers=self.costs.layers,
            taken={point: self.offers.taken(point) for point in self.front.points},
            searches=self.costs.searches,
            reused=self.reused,
            seconds=time.monotonic() - self.start,
            interrupted=interrupted,
            unread=unread,
        )


def _check_names(members: Members, network: Network) -> None:
    """Check what members' constraints name before anything is mapped: a choice with a slip ends no long search.

    Raises:
        InputError: a tensor or dimension that no layer has; with file, line and key.
    """
    problems = [layer.problem for layer in network.layers]
    checked: set[frozenset[tuple[str, str]]] = set()
    for frame in filter(None, members.frames.values()):
        spoken = frozenset((mention.what, mention.name) for mention in mentions(frame.architecture))
        if spoken not in checked:
            for_layers(frame.architecture, problems)
            checked.add(spoken)


def _are_proven(seen: Iterable[Seen]) -> bool:
    return all(each.read.result.certificate.exact for each in seen)
