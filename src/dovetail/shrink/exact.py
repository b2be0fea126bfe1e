"""The best choice of options, exactly: by eliminating one knob after the other, and within limits by a price on loss.

A network's cost is a sum over layers, each of which depends on a few knobs; predicted loss is a sum over knobs.
For given prices the minimum over all choices is found by dynamic programming over the graph of knobs (bucket
elimination: a knob is removed by minimising it out of the tables that it occurs in). EDP is a product of two such sums,
(energy, cycles); its logarithm is replaced by its tangent at the last answer, ``dE/E + dC/C``, until the answer stays.
That finds good choices; that none is better is proven under limits on sums, one for each stretch of the ratio of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dovetail.shrink.elimination import Factor, Step, eliminate, minimise
from dovetail.shrink.space import Choice, LayerTable
from dovetail.units import edp_J_cycle

_PRICE_STEPS, _TANGENT_STEPS = 36, 6
#: Logarithms of what the price is multiplied by, at which choices are held against the limit, too.
_ASIDE = (0.0, -1.0, 1.0)
#: Choices that a proof visits at most, steps that look for the price of its first part and of each other, and how much
#: a part's limit may be above the one that is meant, as a share, before it is parted again.
MOST_CHOICES = 500_000
_DUAL_STEPS, _NEAR_STEPS, _ABOVE = 24, 8, 1e-3
#: Weights of energy in pJ, cycles and MACs in the metrics that are sums; less loss than this is none.
_SUMS = {"energy": (1e-6, 0.0, 0.0), "cycles": (0.0, 1.0, 0.0), "macs": (0.0, 0.0, 1.0)}
_LEAST_GAIN = 1e-12
#: What limits are widened by in proofs, as a share, so that no rounding hides a choice at the limit itself.
_ROUNDING = 1e-9
#: Price of the whole limit where cost alone counts.
_ALONE = 1e6
#: Of the descent that follows: starts, steps of each, and how many options a second knob goes down.
_STARTS, _DESCENT_STEPS, _NARROWER = 3, 50, 3

#: Per knob ``(options,)`` what each option loses; losses of knobs add up.
Losses = Sequence[NDArray[np.float64]]


class _Part(NamedTuple):
    """A limit on a sum, under which all choices within a limit lie whose cycles and energy have a ratio of a stretch.

    With ``E C <= L`` and ``r = C / E``, for any ``s``: ``sqrt(s) E + C / sqrt(s) = sqrt(E C) (q + 1 / q)`` with
    ``q = sqrt(s / r)``, so at most ``sqrt(L) (q + 1 / q)``; at most that of the stretch's ends, where ``s`` is their
    geometric mean. Were all ratios ``s``, it would be ``2 sqrt(L)``, which holds where ``E C <= L`` alone.

    Attributes:
        weights: of energy in pJ, cycles and MACs in the sum.
        most: of the sum.
        low: of the ratios.
        high: likewise.
        product: that energy in pJ times cycles may be at most.
    """

    weights: tuple[float, float, float]
    most: float
    low: float = 1.0
    high: float = 1.0
    product: float = 0.0

    @classmethod
    def of_ratios(cls, low: float, high: float, product: float) -> _Part:
        """Return the part of a stretch of ratios."""
        middle, q = float(np.sqrt(low * high)), float((high / low) ** 0.25)
        root = float(np.sqrt(middle))
        return cls((root, 1 / root, 0.0), float(np.sqrt(product)) * (q + 1 / q), low, high, product)

    @property
    def above(self) -> float:
        """How much the limit is above the one of a single ratio, as a share."""
        return self.most / (2 * self.product**0.5) - 1 if self.product else 0.0

    def halves(self) -> list[_Part]:
        """Return the parts of both halves of the stretch."""
        middle = float(np.sqrt(self.low * self.high))
        return [self.of_ratios(*ends, self.product) for ends in ((self.low, middle), (middle, self.high))]


class _Bound(NamedTuple):
    """What elimination says of a part at several prices, all of which eliminate knobs in the same order.

    Attributes:
        least: ``(prices,)`` the least sum of loss and priced cost over all choices; at the last price, of cost alone.
        aim: ``(prices,)`` the priced limit, which a better choice's sum exceeds by less than the loss to beat.
        steps: the knobs, in order.
        tables: per step ``(prices, ...)`` its tables.
    """

    least: NDArray[np.float64]
    aim: NDArray[np.float64]
    steps: list[Step]
    tables: list[NDArray[np.float64]]

    @classmethod
    def at(cls, sizes: Sequence[int], own: Sequence[Factor], factors: Sequence[Factor], prices: Sequence[float],
           most: float) -> _Bound:  # fmt: skip
        """Return the bound at prices of the whole limit, and of cost alone.

        Args:
            sizes: options of each knob.
            own: what options lose.
            factors: what is to be paid.
            prices: to weigh both with.
            most: the limit.
        """
        sums = [([*own, *((knobs, price / most * values) for knobs, values in factors)], price) for price in prices]
        sums.append(([(knobs, values / most) for knobs, values in factors], 1.0))
        found = [eliminate(sizes, terms) for terms, _ in sums]
        tables = [np.stack([step.table for step in steps]) for steps in zip(*(each for _, each in found), strict=True)]
        aims = np.array([aim for _, aim in sums])
        return cls(np.array([least for least, _ in found]), aims, found[0][1], tables)

    def allows(self, regret: NDArray[np.float64], loss: float) -> NDArray[np.bool_]:
        """Whether choices whose sums are ``(prices, choices)`` above the least may be in the limit and lose less."""
        beaten = np.where(np.arange(len(self.aim)) < len(self.aim) - 1, loss, 0.0)
        within = self.least[:, None] + regret < (beaten + self.aim - _LEAST_GAIN)[:, None]
        return np.asarray(within.all(axis=0))


class Turned(Protocol):
    """Something with options to choose from."""

    @property
    def options(self) -> Sequence[Any]:
        """What can be chosen."""


class Space(Protocol):
    """Knobs, and what is to be paid at any choice of their options; a `SearchSpace` is one."""

    @property
    def knobs(self) -> Sequence[Turned]:
        """What can be turned."""

    @property
    def tables(self) -> Sequence[LayerTable]:
        """What each layer costs at the options of the knobs that it depends on."""


@dataclass(frozen=True)
class ExactSearch:
    """Choices of a space that lose least within a limit.

    Attributes:
        space: the knobs.
        metric: what the limit is on, one of `dovetail.shrink.target.METRICS`.
    """

    space: Space
    metric: str

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Options of each knob."""
        return tuple(len(knob.options) for knob in self.space.knobs)

    def sums(self, choices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``(3, choices)`` energy in pJ, cycles and MACs of ``(choices, knobs)``."""
        total = np.zeros((3, len(choices)))
        for table in self.space.tables:
            at = tuple(choices[:, knob] for knob in table.knobs)
            total += [table.energy_pJ[at], table.cycles[at], table.macs[at]] if at else table.constant
        return total

    def costs(self, choices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``(choices,)`` the metric in its unit."""
        energy, cycles, macs = self.sums(choices)
        if self.metric == "edp":
            return edp_J_cycle(energy, cycles)
        return np.asarray({"energy": energy * 1e-6, "cycles": cycles, "macs": macs}[self.metric])

    def cost(self, choice: Choice) -> float:
        """Return the metric's value of one choice."""
        return float(self.costs(np.array([choice]))[0])

    def cheapest(self) -> Choice:
        """Return the choice of least cost (for EDP: of those that the tangents lead to)."""
        return min(self.priced([np.zeros(size) for size in self.sizes], 0.0), key=self.cost)

    def reaches(self, limit: float) -> bool:
        """Whether a choice costs at most the limit: the cheapest, or one of less EDP, which tangents may pass by."""
        if self.cost(self.cheapest()) <= limit or self.metric != "edp":
            return self.cost(self.cheapest()) <= limit
        best, _ = self.best_within([np.zeros(size) for size in self.sizes], limit)
        return best is not None

    def priced(self, losses: Losses, price: float) -> list[Choice]:
        """Return the choices of least ``log cost + price * loss`` that the tangents lead to, the last one last.

        Args:
            losses: what each option loses.
            price: of one unit of loss.
        """
        own: list[Factor] = [((knob,), price * each) for knob, each in enumerate(losses)]
        at: Choice = (0,) * len(self.sizes)
        found: list[Choice] = []
        for _ in range(_TANGENT_STEPS):
            _, at = minimise(self.sizes, [*self._tangent(at), *own])
            if at in found:
                break
            found.append(at)
        return found

    def _tangent(self, at: Choice) -> list[Factor]:
        """Return the logarithm of the cost, made linear around a choice, as one factor per set of knobs."""
        energy, cycles, macs = self.sums(np.array([at]))[:, 0]
        merged: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for table in self.space.tables:
            if self.metric == "edp":
                values = table.energy_pJ / energy + table.cycles / cycles
            elif self.metric == "energy":
                values = table.energy_pJ / energy
            else:
                values = table.cycles / cycles if self.metric == "cycles" else table.macs / macs
            merged[table.knobs] = merged[table.knobs] + values if table.knobs in merged else values
        return list(merged.items())

    def within(
        self, losses: Losses, limit: float, count: int = 8, met_at: dict[float, list[Choice]] | None = None
    ) -> list[Choice]:
        """Return up to so many choices that cost at most the limit, least predicted loss first, the widest of equals.

        The price of loss is bisected; each choice met on the way is exact for its price. The best within the limit
        are then improved by changing one or two knobs at a time until no such change helps, which reaches what lies
        between two prices.

        Args:
            losses: what each option loses.
            limit: in the unit of the metric.
            count: how many to return at most.
            met_at: choices by price, for several limits under the same losses; filled as prices are tried.
        """
        known = {} if met_at is None else met_at
        met: dict[Choice, None] = dict.fromkeys([*self.priced(losses, 0.0), (0,) * len(self.sizes)])
        low, high = -14.0, 14.0  # of the logarithm of the price: from cost alone to loss alone
        for _ in range(_PRICE_STEPS):
            middle = (low + high) / 2
            if middle not in known:
                known[middle] = self.priced(losses, float(np.exp(middle)))
            choices = known[middle]
            met.update(dict.fromkeys(choices))
            low, high = (middle, high) if self.cost(choices[-1]) <= limit else (low, middle)
        fitting = [choice for choice in met if self.cost(choice) <= limit]
        for start in _ranked(losses, fitting)[:_STARTS]:
            fitting += self._improved(start, losses, limit)
        return _ranked(losses, fitting)[:count]

    def best_within(self, losses: Losses, limit: float, most: int = MOST_CHOICES) -> tuple[Choice | None, bool]:
        """Return the choice of least loss that costs at most the limit, and whether that is proven.

        `within` finds a good one. Every better one has, at any price of cost, a sum of loss and priced cost below the
        good one's loss and the priced limit: all choices below are visited, by what each knob's option costs more than
        the best one, which elimination knows exactly. A limit on EDP is replaced by limits on sums, see `_Part`.

        Args:
            losses: what each option loses.
            limit: in the unit of the metric.
            most: choices, whole or in part, that are visited at most.
        """
        best = next(iter(self.within(losses, limit, count=1)), None)
        if self.metric == "edp" and not self.cost(self.cheapest()):
            return best, False  # what costs nothing has no ratio
        if best is None and self.metric == "edp":  # tangents may pass it by
            nothing = [np.zeros(size) for size in self.sizes]
            best, _, most = self._bettered(nothing, limit, None, most)
        if best is None:
            return None, False
        best, proven, _ = self._bettered(losses, limit, best, most)
        return best, proven

    def none_within(self, limit: float, most: int = MOST_CHOICES) -> bool:
        """Whether it is proven that no choice costs at most the limit.

        Args:
            limit: in the unit of the metric.
            most: choices, whole or in part, that are visited at most.
        """
        if self.metric != "edp":
            return self.cost(self.cheapest()) > limit
        best, proven, _ = self._bettered([np.zeros(size) for size in self.sizes], limit, None, most)
        return best is None and proven

    def least_loss(self, losses: Losses, limit: float) -> float:
        """Return what no choice within a limit loses less than: Lagrange's bound; infinite where there is none.

        Args:
            losses: what each option loses.
            limit: in the unit of the metric, which is a sum: not EDP.
        """
        part = _Part(_SUMS[self.metric], limit * (1 + _ROUNDING))
        factors = self._weighted(part.weights)
        if minimise(self.sizes, factors)[0] > part.most:
            return math.inf
        own: list[Factor] = [((knob,), np.asarray(each, float)) for knob, each in enumerate(losses)]
        price = float(np.exp(self._dual_price(own, factors, part, math.nan)))
        least, _ = eliminate(self.sizes, [*own, *((knobs, price / part.most * values) for knobs, values in factors)])
        return max(least - price, float(sum(np.min(each) for each in losses)))

    def _bettered(
        self, losses: Losses, limit: float, best: Choice | None, most: int
    ) -> tuple[Choice | None, bool, int]:
        """Return the best choice within a limit, whether that is proven, and how many may still be visited.

        Args:
            losses: what each option loses.
            limit: in the unit of the metric.
            best: to beat; None: any choice is, and nothing may lose as much as 1.
            most: choices, whole or in part, that are visited at most.
        """
        parts, near = self._parts(limit), math.nan
        own: list[Factor] = [((knob,), np.asarray(each, float)) for knob, each in enumerate(losses)]
        while parts and most > 0:
            part = parts.pop()
            factors = self._weighted(part.weights)
            if best is not None:
                near = self._dual_price(own, factors, part, near)
            prices = (_ALONE,) if best is None else tuple(float(np.exp(near + aside)) for aside in _ASIDE)
            bound = _Bound.at(self.sizes, own, factors, prices, part.most)
            if not bound.allows(np.zeros((len(bound.least), 1)), _to_beat(losses, best))[0]:
                continue
            if part.above > _ABOVE:
                parts += part.halves()
                continue
            better, visited = self._visited(losses, limit, _to_beat(losses, best), bound, most)
            best, most = better or best, most - visited
        return best, most > 0, most

    def _visited(
        self, losses: Losses, limit: float, loss: float, bound: _Bound, most: int
    ) -> tuple[Choice | None, int]:
        """Return the best of the choices that lose less, if a bound allows any; and how many were visited."""
        best, order, tables = None, bound.steps[::-1], bound.tables[::-1]
        waiting: list[tuple[NDArray[np.float64], tuple[int, ...]]] = [(np.zeros(len(bound.least)), ())]
        for visited in range(most):
            if not waiting:
                return best, visited
            regret, chosen = waiting.pop()
            if not bound.allows(regret[:, None], loss)[0]:
                continue
            if len(chosen) == len(order):
                options = [0] * len(order)
                for step, option in zip(order, chosen, strict=True):
                    options[step.knob] = option
                choice = tuple(options)
                if self.cost(choice) <= limit and loss_of(losses, choice) < loss:
                    best, loss = choice, loss_of(losses, choice)
                continue
            known = {step.knob: option for step, option in zip(order, chosen, strict=False)}
            place = len(chosen)
            at: tuple[Any, ...] = (slice(None), *(known[each] for each in order[place].rest))
            rows = tables[place][at]
            more = regret[:, None] + rows - rows.min(axis=1, keepdims=True)
            allowed = np.flatnonzero(bound.allows(more, loss)).tolist()
            waiting += [
                (more[:, option], (*chosen, option)) for option in sorted(allowed, key=lambda option: -more[0, option])
            ]
        return best, most

    def _parts(self, limit: float) -> list[_Part]:
        """Return limits on sums such that every choice within the limit is within one of them."""
        if self.metric != "edp":
            return [_Part(_SUMS[self.metric], limit * (1 + _ROUNDING))]
        product = limit / edp_J_cycle(1.0, 1.0) * (1 + _ROUNDING)
        least_energy, _ = minimise(self.sizes, self._weighted((1.0, 0.0, 0.0)))
        least_cycles, _ = minimise(self.sizes, self._weighted((0.0, 1.0, 0.0)))
        low, high = least_cycles**2 / product, product / least_energy**2  # as E C <= product, E and C at least that
        return [_Part.of_ratios(low, high, product)] if low <= high else []

    def _weighted(self, weights: tuple[float, float, float]) -> list[Factor]:
        """Return a sum of energy in pJ, cycles and MACs, each times its weight, as one factor per set of knobs."""
        merged: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for table in self.space.tables:
            values = weights[0] * table.energy_pJ + weights[1] * table.cycles + weights[2] * table.macs
            merged[table.knobs] = merged[table.knobs] + values if table.knobs in merged else values
        return list(merged.items())

    def _dual_price(self, own: Sequence[Factor], factors: Sequence[Factor], part: _Part, near: float) -> float:
        """Return the logarithm of a price of the whole limit at which the bound on loss is high.

        Args:
            own: what options lose.
            factors: what is to be paid.
            part: the limit.
            near: what was right for another part; not a number: there is none. Any price gives a bound that holds.
        """
        low, high = (-24.0, 24.0) if math.isnan(near) else (near - 2.0, near + 2.0)
        for _ in range(_DUAL_STEPS if math.isnan(near) else _NEAR_STEPS):
            price = float(np.exp((low + high) / 2)) / part.most
            _, choice = minimise(self.sizes, [*own, *((knobs, price * values) for knobs, values in factors)])
            cost = float(self.sums(np.array([choice]))[:, 0] @ np.array(part.weights))
            low, high = (low, (low + high) / 2) if cost <= part.most else ((low + high) / 2, high)
        return high

    def _improved(self, start: Choice, losses: Losses, limit: float) -> list[Choice]:
        """Return the choices of a descent by moves of one and two knobs, the best last."""
        path = [start]
        for _ in range(_DESCENT_STEPS):
            moves = np.array(self._moves(path[-1]) or [path[-1]])
            loss = np.sum([each[moves[:, knob]] for knob, each in enumerate(losses)], axis=0)
            loss[(self.costs(moves) > limit) | (loss >= loss_of(losses, path[-1]) - 1e-12)] = np.inf
            best = int(loss.argmin())
            if not np.isfinite(loss[best]):
                break
            path.append(tuple(moves[best].tolist()))
        return path

    def _moves(self, choice: Choice) -> list[Choice]:
        """Return choices near by: one knob wider, alone or with another one a few steps narrower."""
        moves = []
        for knob, option in enumerate(choice):
            for wider in range(option):
                one = (*choice[:knob], wider, *choice[knob + 1 :])
                moves.append(one)
                for other, there in enumerate(choice):
                    if other != knob:
                        steps = range(there + 1, min(there + _NARROWER, self.sizes[other] - 1) + 1)
                        moves += [(*one[:other], step, *one[other + 1 :]) for step in steps]
        return moves


def _ranked(losses: Losses, choices: Iterable[Choice]) -> list[Choice]:
    """Return choices, each once, by what they lose, of equals those first that give up the fewest options."""
    return sorted(dict.fromkeys(choices), key=lambda choice: (loss_of(losses, choice), sum(choice), choice))


def _to_beat(losses: Losses, choice: Choice | None) -> float:
    return 1.0 if choice is None else loss_of(losses, choice)


def loss_of(losses: Losses, choice: Choice) -> float:
    """Return what a choice loses."""
    return float(sum(each[option] for each, option in zip(losses, choice, strict=True)))
