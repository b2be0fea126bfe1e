"""Checks the certificate of a front again: that every design is accounted for, that what discards it does, samples."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import DovetailError, NotMetError
from dovetail.family.boxes import inside, lowest
from dovetail.family.certificate import FrontClaim
from dovetail.family.costs import Costs, Request, fronts_of
from dovetail.family.front import Axis, Choice, Front, Point, point_at, point_paying
from dovetail.family.traffic import members_for
from dovetail.mapper.objective import Objective
from dovetail.mapper.verify import Check, Verdict
from dovetail.network.optimum import LayerFront, minimum_energy, network_front, network_optimum
from dovetail.store import Store
from dovetail.workers import InlineExecutor

#: Relative difference that rounding may make between two sums of the same numbers.
_ROUNDING = 1e-9
#: Seconds that a layer's search may take; where that is not enough, what it met must not contradict what is claimed.
SECONDS = 30.0


def verify_front(
    claim: FrontClaim, *, samples: int | None = 8, seed: int = 0, time_limit: float | None = None
) -> tuple[Check, ...]:
    """Check all that a certificate of a front claims.

    Args:
        claim: what the certificate says.
        samples: designs that are mapped again, of those on the front and of those that were discarded each; None: all.
        seed: of which they are.
        time_limit: seconds in which the members are looked at, and that a layer's search may take; None: as long as it
            takes, and `SECONDS`.
    """
    return _Checking(claim, samples, seed, time_limit).run()


class _Checking:
    def __init__(self, claim: FrontClaim, samples: int | None, seed: int, time_limit: float | None) -> None:
        self.claim, self.samples, self.random = claim, samples, random.Random(seed)  # noqa: S311 - which designs are looked at is no secret
        self.members = members_for(claim.family, claim.axes)
        self.valid, self.area = self.members.laid_out(None if time_limit is None else time.monotonic() + time_limit)
        self.seconds = SECONDS if time_limit is None else min(SECONDS, time_limit)
        self.costs = Costs(claim.layers, Store.disabled(), InlineExecutor())
        self.is_whole = True
        self.front = Front(claim.axes)
        for point in claim.points:
            self.front.add(point)

    def run(self) -> tuple[Check, ...]:
        return tuple(self._checks())

    def _checks(self) -> Iterator[Check]:
        claim = self.claim
        yield _check(
            "the file", claim.unchanged, "its key is that of its content", "its key is not that of its content"
        )
        yield self._accounted()
        yield self._beaten()
        single = len(self.front.points) == len(claim.points)
        yield _check("the front", single, f"no point beats another of {len(claim.points)}", "a point beats another")
        looked_at = [point.choice for point in claim.points if self.valid[point.choice] or not self.members.unread]
        for choice in self._drawn(looked_at):
            yield self._on_the_front(choice)
        on_it = {point.choice for point in claim.points}
        for choice in self._drawn([tuple(at) for at in np.argwhere(self.valid).tolist() if tuple(at) not in on_it]):
            yield self._beside_the_front(choice)

    def _drawn(self, choices: list[Choice]) -> list[Choice]:
        distinct = list(dict.fromkeys(choices))
        if self.samples is None or len(distinct) <= self.samples:
            return distinct
        return self.random.sample(distinct, self.samples)

    def _accounted(self) -> Check:
        counts = np.zeros(self.valid.shape, np.int64)
        boxes = [each.box for each in self.claim.discarded] + [each.box for each in self.claim.unmappable]
        for box in boxes:
            counts[inside(box)] += 1
        for choice in self.claim.mapped:
            counts[choice] = max(1, counts[choice])
        missing, twice = int((self.valid & (counts == 0)).sum()), int((self.valid & (counts > 1)).sum())
        said = f"of {int(self.valid.sum())} designs {missing} are neither mapped nor discarded, {twice} twice"
        whole = missing == 0 and twice == 0
        if self.members.unread and whole:
            unread = f"{self.members.unread} of {self.valid.size} members were not looked at when time was up"
            return Check("every design", Verdict.NOT_PROVEN, unread)
        if self.claim.proven:
            return _check("every design", whole, f"{int(self.valid.sum())} are mapped or discarded, each once", said)
        verdict = Verdict.NOT_PROVEN if twice == 0 else Verdict.REJECTED
        return Check("every design", verdict, said)

    def _beaten(self) -> Check:
        """Check that each corner of a discarded box has a point at or below it, or is over a budget."""
        open_boxes = 0
        for each in self.claim.discarded:
            place = inside(each.box)
            if not self.valid[place].any():
                continue
            seconds = self.members.cycle_seconds(each.box)
            corners = []
            for corner in each.corners:
                point = point_at(lowest(each.box), self.claim.axes, corner)
                budgets = self.claim.family.budgets
                if not any(one.is_monotone and one.broken_by(point, seconds) for one in budgets):
                    corners.append(corner)
            area = float(self.area[place][self.valid[place]].min())
            low = Axis.AREA in self.claim.axes and any(
                corner[self.claim.axes.index(Axis.AREA)] > area * (1 + _ROUNDING) for corner in each.corners
            )
            if low or (corners and self.front.gap(np.array(corners)) > 1):
                open_boxes += 1
        count = len(self.claim.discarded)
        bad = f"{open_boxes} of {count} discarded boxes have a corner that no point beats"
        return _check("what is discarded", open_boxes == 0, f"a point beats every corner of {count} boxes", bad)

    def _reads(self, choice: Choice) -> list[tuple[float, int]] | None:
        """Return what a member's points pay and take in cycles, mapped again; None where some layer has no mapping."""
        request = Request(*self.members.design(choice), Objective.EDP, front=True, seconds=self.seconds, ends=True)
        seen = self.costs.settle([request])[0]
        self.is_whole = not isinstance(seen, NotMetError)
        if not isinstance(seen, tuple):
            return None
        self.is_whole = all(each.read.result.certificate.exact for each in seen)
        self.fronts = fronts_of([each.read for each in seen], self.claim.layers)
        best = network_optimum(self.fronts)
        points = _least_points(self.fronts).tolist()
        return [(best.energy_pJ, best.cycles), *((energy, int(cycles)) for energy, cycles in points)]

    def _on_the_front(self, choice: Choice) -> Check:
        name = self.claim.family.member_name(choice)
        try:
            points = self._reads(choice)
        except DovetailError as error:
            return Check(name, Verdict.REJECTED, str(error))
        wrong = open_points = 0
        for point in (each for each in self.claim.points if each.choice == choice):
            again = None if points is None else minimum_energy(self.fronts, point.cycles)
            same = again is not None and math.isclose(again.energy_pJ, point.paid, rel_tol=_ROUNDING)
            area = math.isclose(float(self.area[choice]), point.area_um2, rel_tol=_ROUNDING)
            if area and not same and self._may_differ(point, None if again is None else again.energy_pJ):
                open_points += 1
            else:
                wrong += not (same and area)
        if wrong == 0 and open_points:
            return Check(
                name, Verdict.NOT_PROVEN, f"searches of {self.seconds:g} s do not settle {open_points} of its points"
            )
        return _check(name, wrong == 0, "its points on the front are what it costs", f"{wrong} of its points are wrong")

    def _may_differ(self, point: Point, again_pJ: float | None) -> bool:
        """Return whether a point mapped again may take so much energy: where a search was not proven, now or then."""
        if again_pJ is None or again_pJ > point.paid:
            return not self.is_whole
        return not self.claim.proven and point.paid <= again_pJ * self.claim.gap * (1 + _ROUNDING)

    def _beside_the_front(self, choice: Choice) -> Check:
        name = self.claim.family.member_name(choice)
        try:
            points = self._reads(choice)
        except DovetailError as error:
            return Check(name, Verdict.REJECTED, str(error))
        if points is None and not self.is_whole:
            return Check(name, Verdict.NOT_PROVEN, f"searches of {self.seconds:g} s have met no mapping")
        if points is None:
            known = any(_inside(choice, each.box) for each in self.claim.unmappable)
            return _check(name, known, "has no mapping, as said", "has no mapping")
        known = any(_inside(choice, each.box) for each in self.claim.unmappable)
        if known:
            return Check(name, Verdict.REJECTED, "is said to have no mapping, and has one")
        seconds = self.members.design(choice)[0].cycle_seconds
        for paid, cycles in points:
            area = float(self.area[choice])
            point = point_paying(choice, self.claim.axes, area, paid * (1 + _ROUNDING), cycles)
            if any(budget.broken_by(point, seconds) for budget in self.claim.family.budgets):
                continue
            corner = np.array([[point.value(axis) for axis in self.claim.axes]])
            if not self.claim.proven and self.front.gap(corner) <= self.claim.gap:
                continue
            if self.front.add(point):
                unit = "pJ" if point.traffic_bytes is None else "bytes"
                return Check(name, Verdict.REJECTED, f"{paid:.6g} {unit} in {cycles} cycles: the front lacks it")
        if not self.is_whole:
            return Check(
                name, Verdict.NOT_PROVEN, f"the front beats what searches of {self.seconds:g} s have met on it"
            )
        return Check(name, Verdict.HOLDS, "mapped, and the front beats it")


def _least_points(fronts: Sequence[LayerFront]) -> NDArray[np.float64]:
    """Return points ``(points, 2)`` of pJ and cycles of which every choice of the layers' mappings is at or above one.

    That is the network's front; where it is not known between two neighbours, the corner below both.
    """
    whole = network_front(fronts)
    energies, cycles = whole.energies_pJ, whole.cycles.astype(np.float64)
    if not whole.complete:
        energies, cycles = np.append(energies, energies[-1]), np.append(cycles, cycles[-1])
        energies, cycles = energies[:-1], cycles[1:]
    return np.stack([energies, cycles], axis=1)


def _inside(choice: Choice, box: tuple[tuple[int, int], ...]) -> bool:
    return all(low <= at < high for at, (low, high) in zip(choice, box, strict=True))


def _check(what: str, holds: bool, good: str, bad: str) -> Check:
    return Check(what, Verdict.HOLDS if holds else Verdict.REJECTED, good if holds else bad)
