"""How a step's cost follows the context: where what one more position costs changes, and what changes there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dovetail.hardware.architecture import Storage
from dovetail.network.costs import MappedLayer
from dovetail.tokens.point import Point, levels_of
from dovetail.units import joules, percent, whole
from dovetail.workload.problem import Problem

#: A slope that changes by less is no bend.
BEND = 0.05


@dataclass(frozen=True)
class Bend:
    """A context behind which one more position costs otherwise than before.

    Attributes:
        batch: sequences.
        quantity: ``energy`` or ``time``.
        context: the length up to which the slope before holds, as far as lengths were computed.
        following: the next length that was computed.
        before: J, or ms, per step and position, before.
        after: behind it.
        reason: what changed, in words.
    """

    batch: int
    quantity: str
    context: int
    following: int
    before: float
    after: float
    reason: str

    @property
    def text(self) -> str:
        """The bend as a sentence."""
        if self.quantity == "energy":
            slopes = f"{joules(self.before * 1e12)} to {joules(self.after * 1e12)}"
        else:
            slopes = f"{self.before * 1e3:.4g} to {self.after * 1e3:.4g} us"
        of = f"batch {self.batch}, {self.quantity}" if self.batch > 1 else self.quantity
        return (
            f"{of}: between {whole(self.context)} and {whole(self.following)} positions one more costs a step "
            f"{slopes}, {self.reason}"
        )


def bends(points: Sequence[Point]) -> tuple[Bend, ...]:
    """Return the bends between points of one phase and batch, by rising context; at least three points show any."""
    return tuple(bend for each in _curves(points) for bend in _bends(each))


def straight(points: Sequence[Point]) -> tuple[str, ...]:
    """Return a sentence per batch whose energy and time both follow the context without a bend."""
    said = []
    for each in _curves(points):
        if len(each) < 3 or any(True for _ in _bends(each)):
            continue
        lengths = each[0].step.attended, each[-1].step.attended
        energy = _slope(each[0].energy_J, each[-1].energy_J, lengths)
        ms = _slope(each[0].ms, each[-1].ms, lengths)
        of = f"batch {each[0].step.batch}: " if each[0].step.batch > 1 else ""
        said.append(
            f"{of}straight from {whole(lengths[0])} to {whole(lengths[1])} positions: one more costs a step "
            f"{joules(energy * 1e12)} and {ms * 1e3:.4g} us"
        )
    return tuple(said)


def _curves(points: Sequence[Point]) -> list[list[Point]]:
    """Return the points of each batch, and length of an encoder's source, by rising context, each context once."""
    alike: dict[tuple[int, int], dict[int, Point]] = {}
    for point in points:
        alike.setdefault((point.step.batch, point.step.source), {})[point.step.attended] = point
    return [[each[length] for length in sorted(each)] for each in alike.values()]


def _bends(points: Sequence[Point]) -> Iterator[Bend]:
    for quantity in ("energy", "time"):
        slopes = [
            (_value(two, quantity) - _value(one, quantity)) / (two.step.attended - one.step.attended)
            for one, two in pairwise(points)
        ]
        for place, (before, after) in enumerate(pairwise(slopes)):
            if abs(after - before) > BEND * max(abs(before), abs(after)):
                three = points[place], points[place + 1], points[place + 2]
                batch, context, following = three[1].step.batch, three[1].step.attended, three[2].step.attended
                yield Bend(batch, quantity, context, following, before, after, _reason(*three, quantity))


def _value(point: Point, quantity: str) -> float:
    return point.energy_J if quantity == "energy" else point.ms


def _reason(first: Point, middle: Point, last: Point, quantity: str) -> str:
    """Return what changes most at the middle one of three points."""
    lengths = [point.step.attended for point in (first, middle, last)]
    if quantity == "time":
        return _reason_of_time(first, middle, last, lengths)
    costs = [
        {(each.name, *where): energy for each in point.cost.layers for where, energy in levels_of(each).items()}
        for point in (first, middle, last)
    ]
    changes = {
        key: _slope(costs[1].get(key, 0.0), costs[2].get(key, 0.0), lengths[1:])
        - _slope(costs[0].get(key, 0.0), costs[1].get(key, 0.0), lengths[:2])
        for key in dict.fromkeys(key for cost in costs for key in cost)
    }
    name, level, what = max(changes, key=lambda key: abs(changes[key]))
    share = changes[name, level, what] / (sum(changes.values()) or 1.0)
    said = (
        f"of which {percent(min(share, 1.0))} is {what} of {name} at {level}" if share > 0 else f"as {name} is mapped"
    )
    outgrown = _outgrown(_layer(middle, name), _layer(last, name), middle)
    return said + (f": {outgrown}" if outgrown else "")


def _slope(one: float, two: float, lengths: Sequence[int]) -> float:
    return (two - one) / (lengths[1] - lengths[0])


def _reason_of_time(first: Point, middle: Point, last: Point, lengths: Sequence[int]) -> str:
    cycles = [
        {each.name: each.cost.cycles * each.layer.repeats for each in p.cost.layers} for p in (first, middle, last)
    ]
    changes = {
        name: _slope(cycles[1].get(name, 0), cycles[2].get(name, 0), lengths[1:])
        - _slope(cycles[0].get(name, 0), cycles[1].get(name, 0), lengths[:2])
        for name in dict.fromkeys(name for each in cycles for name in each)
    }
    name = max(changes, key=lambda key: abs(changes[key]))
    before, after = (_layer(point, name) for point in (middle, last))
    bounds = [_bound(each) for each in (before, after) if each is not None]
    if len(bounds) == 2 and bounds[0] != bounds[1]:
        return f"as {name} is bound by {bounds[1]} there, not by {bounds[0]}"
    use = [each.cost.utilization for each in (before, after) if each is not None]
    if len(use) == 2 and abs(use[0] - use[1]) > 0.01:
        return f"as {name} keeps {percent(use[1])} of the units busy there, not {percent(use[0])}"
    outgrown = _outgrown(before, after, middle)
    return f"by {name}" + (f": {outgrown}" if outgrown else "")


def _layer(point: Point, name: str) -> MappedLayer | None:
    return next((each for each in point.cost.layers if each.name == name), None)


def _bound(each: MappedLayer) -> str:
    slow = [
        level.name
        for level in each.cost.levels
        if level.tensors and level.throttling < 1 and level.cycles == each.cost.cycles
    ]
    return f"the bandwidth of {' and '.join(slow)}" if slow else "computing"


def _outgrown(before: MappedLayer | None, after: MappedLayer | None, point: Point) -> str:
    """Return which tensor, or which head's part of it, fits a level before and not behind; nothing where none does."""
    if before is None or after is None or before.layer.problem.shape != after.layer.problem.shape:
        return ""
    for level in point.cost.architecture.levels[1:]:
        if not isinstance(level, Storage) or level.words is None:
            continue
        for name, small in _sizes(before.layer.problem).items():
            large = _sizes(after.layer.problem).get(name, 0)
            if small <= level.words < large:
                return f"{name} ({whole(small)} words) fit {level.name} ({whole(level.words)}), {whole(large)} do not"
    return ""


def _sizes(problem: Problem) -> dict[str, int]:
    """Return the words of every tensor, and of one group's part of it."""
    groups = problem.bound("G") if "G" in problem.shape.dimensions else 1
    found: dict[str, int] = {}
    for tensor in problem.shape.tensors:
        found[f"{tensor.name} of all heads" if groups > 1 else tensor.name] = problem.words(tensor)
        if groups > 1:
            found[f"{tensor.name} of one head"] = problem.words(tensor) // groups
    return found
