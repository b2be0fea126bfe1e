"""Searches with one interface: given a task, each returns for every target the networks worth training, best first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from dovetail.errors import DovetailError, InputError
from dovetail.shrink.channels import Widths
from dovetail.shrink.exact import ExactSearch, Losses
from dovetail.shrink.oracle import PassCost
from dovetail.shrink.predict import predicted_losses
from dovetail.shrink.space import Choice, SearchSpace, even_space
from dovetail.shrink.supernet import Measurement, random_choices
from dovetail.shrink.target import METRICS, Target, metric_of

#: Networks that a search may measure, if the user does not say.
BUDGET = 120
#: Measuring and choosing alternate so often in the supernet's search.
ROUNDS = 3
#: Choices that the proof of the last round visits at most.
PROOF = 100_000
#: What a step of NetAdapt leaves of the cost.
_NETADAPT_STEP = 0.85
#: Limits on MACs that a search driven by them tries, between the original's and the narrowest network's.
_MACS_LIMITS = 40


#: A network whose measured loss is so much that of another loses clearly more.
_CLEARLY = 1.02


class UnreachableError(DovetailError):
    """No network that the search tried meets a target; the message says which comes nearest.

    Attributes:
        target: that is not met.
    """

    def __init__(self, message: str, target: Target) -> None:
        super().__init__(message)
        self.target = target


@dataclass
class Task:
    """What a search is to do.

    Attributes:
        space: the knobs with the widths that the design likes.
        measure: measures the network at some widths in the supernet.
        targets: at most so much of one metric; loosest first.
        original: what the network costs as given.
        budget: networks that may be measured.
        finalists: networks to return per target.
        seed: of whatever is drawn.
        importance: returns per group ``(blocks,)`` what its blocks matter to the loss, those first that stay longest.
        report: told of measurements done, in all, and a few words.
        measured: what was measured, in order.
        proven: of targets for which a choice of least predicted loss was looked for, whether it is proven the best.
    """

    space: SearchSpace
    measure: Callable[[Widths], Measurement]
    targets: tuple[Target, ...]
    original: PassCost
    budget: int = BUDGET
    finalists: int = 2
    seed: int = 0
    importance: Callable[[], Sequence[NDArray[np.float64]]] = tuple
    report: Callable[[int, int, str], None] = lambda _done, _total, _words: None
    measured: dict[Widths, Measurement] = field(default_factory=dict)
    proven: dict[Target, bool] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """What the targets bound."""
        return self.targets[0].metric

    def limits(self) -> dict[Target, float]:
        """Return every target's limit in the unit of the metric."""
        return {target: target.limit(self.original) for target in self.targets}

    def cost(self, widths: Widths) -> float:
        """Return the metric of the network at some widths."""
        return metric_of(self.space.oracle.figures(self.space.shapes, widths), self.metric)

    def loss(self, widths: Widths) -> float | None:
        """Return the loss of the network at some widths in the supernet; None when the budget is used up."""
        if widths not in self.measured:
            if len(self.measured) >= self.budget:
                return None
            self.measured[widths] = self.measure(widths)
            self.report(len(self.measured), self.budget, "measuring widths in the supernet")
        return self.measured[widths].loss

    def unreachable(self, target: Target, nearest: Widths, where: str = "") -> UnreachableError:
        """Return the error for a target that the search did not reach; in words, where the nearest network is, too."""
        cost = self.cost(nearest)
        share = cost / metric_of(self.original, self.metric)  # which is above 0: `shrink` refuses to begin otherwise
        limit = self.limits()[target]
        graph = self.space.shapes.graph
        channels = nearest[: len(graph.groups)]
        widths = ", ".join(str(width) for width in channels[:12]) + (", ..." if len(channels) > 12 else "")
        gone = f" without {', '.join(out)}" if (out := graph.left_out(nearest)) else ""
        gone += f", {', '.join(low)}" if (low := graph.lowered_text(nearest)) else ""
        why = "no network found that costs so little; the nearest reachable is"
        if len(self.measured) >= self.budget:
            why = f"none of the {self.budget} networks measured (--candidates) costs so little; the nearest is"
        return UnreachableError(
            f"target {target} ({limit:.4g} {METRICS[self.metric]}): {why} {self.metric}={share:.3g}x "
            f"({cost:.4g} {METRICS[self.metric]})"
            f"{f', with channels {widths}' * bool(channels)}{gone}{where}",
            target,
        )


#: Networks to train by target, best first.
Found = dict[Target, list[Widths]]


def uniform(task: Task) -> Found:
    """Return one multiplier for all groups: the widest that meet each target (the founding study's method).

    Blocks and settings stay.

    Raises:
        InputError: no channels may go.
    """
    graph = task.space.shapes.graph
    if not graph.groups:
        raise InputError("method uniform narrows channels, which may not go here; allow them in --knobs")
    whole = graph.widths[len(graph.groups) :]
    widest = max(group.blocks for group in graph.groups)
    steps = sorted({round(step) for step in np.linspace(widest, 1, min(widest, 128)).tolist()}, reverse=True)
    even = (tuple(g.nearest(step / widest * g.channels) for g in graph.groups) for step in steps)
    tried = [(*widths, *whole) for widths in dict.fromkeys(even)]
    task.space.oracle.figures_of(task.space.shapes, tried)
    costs = {widths: task.cost(widths) for widths in tried}
    found: Found = {}
    for target, limit in task.limits().items():
        found[target] = [widths for widths in tried if costs[widths] <= limit][: task.finalists]
        if not found[target]:
            raise task.unreachable(target, min(tried, key=lambda widths: (costs[widths], widths)))
    return found


def netadapt(task: Task) -> Found:
    """Return networks met by narrowing one knob at a time, each step a set share cheaper, the least loss kept.

    After T.-J. Yang et al., "NetAdapt: Platform-Aware Neural Network Adaptation for Mobile Applications", ECCV 2018;
    a step's candidates are measured in the supernet instead of after a short training of each.
    """
    space, search = task.space, ExactSearch(task.space, task.metric)
    here: Choice = (0,) * len(space.knobs)
    path, limits, known = [here], task.limits(), dict[Choice, float]()
    while search.cost(path[-1]) > min(limits.values()):
        moves = _narrowed(task, here, search.cost(path[-1]) * _NETADAPT_STEP)
        if not moves or not measure_all(task, known, moves):
            break
        here = min((known[move], sum(move), move) for move in moves)[-1]
        path.append(here)
    losses = predicted(space, known) if known else _even_losses(space)
    found: Found = {}
    for target, limit in limits.items():
        fitting = [choice for choice in path if search.cost(choice) <= limit]
        if not fitting:
            raise task.unreachable(target, space.widths(min(path, key=search.cost)))
        chosen = islice(_all_widened(search, fitting, limit, losses), task.finalists)
        found[target] = [space.widths(choice) for choice in chosen]
    return found


def _narrowed(task: Task, here: Choice, limit: float) -> list[Choice]:
    """Return per knob the widest option that brings the cost to the limit; the cheapest move when none does."""
    space = task.space
    moves = [
        [(*here[:knob], option, *here[knob + 1 :]) for option in range(here[knob] + 1, len(each.options))]
        for knob, each in enumerate(space.knobs)
    ]
    space.oracle.figures_of(space.shapes, [space.widths(move) for of_knob in moves for move in of_knob])
    cost = {move: task.cost(space.widths(move)) for of_knob in moves for move in of_knob}
    chosen = [next((move for move in of_knob if cost[move] <= limit), None) for of_knob in moves]
    reaching = [move for move in chosen if move is not None]
    cheapest = min(cost, key=lambda move: (cost[move], move), default=None)
    if reaching or cheapest is None or cost[cheapest] >= task.cost(space.widths(here)):
        return reaching
    return [cheapest]


def supernet(task: Task) -> Found:
    """Return networks of least predicted loss within each target, found exactly and measured, prediction renewed."""
    search = ExactSearch(task.space, task.metric)
    limits = task.limits()
    for target, limit in limits.items():
        if not search.reaches(limit):
            raise task.unreachable(target, task.space.widths(search.cheapest()))
    known = explored(task, shares_around(task, search))
    left = task.budget - len(known) - len(limits)  # one measurement for what is widened, per target
    each = max(task.finalists, left // (ROUNDS * len(limits)))
    losses = _even_losses(task.space)
    for number in range(ROUNDS):
        losses = predicted(task.space, known)
        for target, limit in limits.items():
            proposed = search.within(losses, limit, count=8 * each)
            if number == ROUNDS - 1:  # what is best by all that is known is there for certain
                best, task.proven[target] = search.best_within(losses, limit, PROOF)
                proposed = [*([best] if best else []), *proposed]
            measure_all(task, known, [choice for choice in proposed if choice not in known][:each])
    return finalists_of(task, known, search, limits, losses)


def macs_driven(task: Task) -> Found:
    """Return networks of least predicted loss within a limit on MACs, the limit lowered until each target is met.

    The same search as `supernet`, over even shares of channels, with MACs in place of the design's cost.
    """
    space = even_space(task.space.shapes, task.space.oracle)
    task = replace(task, space=space)
    by_macs, by_target = ExactSearch(space, "macs"), ExactSearch(space, task.metric)
    limits = task.limits()
    lowest = by_macs.cost(by_macs.cheapest())
    ladder = np.geomspace(task.original.macs, lowest, _MACS_LIMITS).tolist()
    known = explored(task, shares_around(task, by_target))
    each = max(task.finalists, (task.budget - len(known)) // (ROUNDS * len(limits)))
    for _ in range(ROUNDS):
        losses = predicted(space, known)
        met_at: dict[float, list[Choice]] = {}
        rungs = [by_macs.within(losses, limit, count=4, met_at=met_at) for limit in ladder]
        for target, limit in limits.items():
            proposed = [choice for rung in rungs for choice in rung if by_target.cost(choice) <= limit]
            if not proposed:
                raise task.unreachable(target, space.widths(by_macs.cheapest()))
            measure_all(task, known, [choice for choice in dict.fromkeys(proposed) if choice not in known][:each])
    return finalists_of(task, known, by_target, limits, None)


def meeting_shares(task: Task, search: ExactSearch) -> list[float]:
    """Return per target the share of channels at which even narrowing meets it, an eighth at least."""
    lowest = []
    for limit in task.limits().values():
        step = next(
            (s for s in np.geomspace(1.0, 0.125, 40).tolist() if search.cost(_even(task.space, s)) <= limit), 0.125
        )
        lowest.append(float(step))
    return lowest


def shares_around(task: Task, search: ExactSearch) -> list[float]:
    """Return shares of channels around which to look: those at which even narrowing meets each target, and all."""
    lowest = meeting_shares(task, search)
    return [*lowest, *(float(np.sqrt(a * b)) for a, b in pairwise([1.0, *lowest]))]


def _even(space: SearchSpace, share: float) -> Choice:
    """Return the choice of all knobs at about one share, all blocks and whole kernels there."""
    return tuple(
        0 if knob in space.kept_mostly else int(np.abs(np.log(shares / share)).argmin())
        for knob, shares in enumerate(space.shares)
    )


def explored(task: Task, shares: Sequence[float]) -> dict[Choice, float]:
    """Measure half of the budget's networks at random, and return their losses."""
    known: dict[Choice, float] = {}
    measure_all(task, known, random_choices(task.space, max(1, task.budget // 2), task.seed, shares))
    return known


def measure_all(task: Task, known: dict[Choice, float], choices: Sequence[Choice]) -> bool:
    """Measure networks as long as the budget lasts; returns whether it lasted."""
    for choice in choices:
        loss = task.loss(task.space.widths(choice))
        if loss is None:
            return False
        known[choice] = loss
    return True


def finalists_of(
    task: Task, known: dict[Choice, float], search: ExactSearch, limits: dict[Target, float], losses: Losses | None
) -> Found:
    """Return per target the measured networks within it, by measured loss, the widest of equals first.

    Args:
        task: what to do.
        known: measured losses.
        search: what choices cost.
        limits: per target.
        losses: predicted; the best is then widened as far as its target goes. None: it stays.
    """
    found: Found = {}
    for target, limit in limits.items():
        costs = {choice: search.cost(choice) for choice in known}  # what was widened for another target is in it, too
        fitting = sorted(
            (known[choice], -sum(task.space.widths(choice)), choice) for choice in known if costs[choice] <= limit
        )
        if not fitting:
            nearest = min(costs, key=lambda choice: (costs[choice], choice))
            raise task.unreachable(target, task.space.widths(nearest))
        ranked = [choice for *_, choice in fitting]
        if losses is not None:
            first, *rest = _with_widened(task, known, ranked, _widened(search, ranked[0], limit, losses))
            others = (choice for choice in _all_widened(search, rest, limit, losses) if choice != first)
            ranked = [first, *islice(others, task.finalists - 1)]
        found[target] = [task.space.widths(choice) for choice in ranked[: task.finalists]]
    return found


def _with_widened(task: Task, known: dict[Choice, float], ranked: list[Choice], wider: Choice) -> list[Choice]:
    """Put the best network, widened, in its place: the first, unless it was measured to lose clearly more.

    A network that holds the best one loses no more by what is predicted, and what was measured least of many is less
    than it is: cost that is left is spent.
    """
    best = known[ranked[0]]
    measure_all(task, known, [wider])
    place = 0 if known.get(wider, best) <= best * _CLEARLY else 1
    rest = [choice for choice in ranked if choice != wider]
    return [*rest[:place], wider, *rest[place:]]


def _all_widened(
    search: ExactSearch, choices: Sequence[Choice], limit: float, losses: Losses
) -> Iterator[Choice]:  # fmt: skip
    """Yield choices, each widened as far as its limit goes, equal ones once; training tells which is best."""
    told: set[Choice] = set()
    for choice in choices:
        wider = _widened(search, choice, limit, losses)
        if wider not in told:
            told.add(wider)
            yield wider


def _widened(search: ExactSearch, choice: Choice, limit: float, losses: Losses) -> Choice:
    """Return a choice with one knob after the other widened, as long as one can be within the limit.

    Each time the knob and option by which predicted loss falls most, the widest of equals.
    """
    while True:
        moves = [(*choice[:k], option, *choice[k + 1 :]) for k, at in enumerate(choice) for option in range(at)]
        if not moves:
            return choice
        fits = search.costs(np.array(moves)) <= limit
        fitting = [move for move, is_within in zip(moves, fits.tolist(), strict=True) if is_within]
        if not fitting:
            return choice
        choice = min(
            fitting, key=lambda move: (sum(float(of[at]) for of, at in zip(losses, move, strict=True)), sum(move), move)
        )


def predicted(space: SearchSpace, known: Mapping[Choice, float]) -> list[NDArray[np.float64]]:
    """Return what each option is predicted to lose, after what was measured."""
    return predicted_losses(space.shares, list(known), list(known.values()), space.stepped)


def _even_losses(space: SearchSpace) -> list[NDArray[np.float64]]:
    """Return what is predicted before anything is measured: every knob loses alike with the share that it gives up."""
    return [np.log(1 / share) for share in space.shares]
