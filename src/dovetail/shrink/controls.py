"""Searches to compare with that need no model of losses: networks drawn at random, and a knapsack of channels."""

from __future__ import annotations

from itertools import islice

import numpy as np

from dovetail.errors import InputError
from dovetail.shrink.exact import ExactSearch, Losses
from dovetail.shrink.searches import PROOF, Found, Task, finalists_of, measure_all, meeting_shares
from dovetail.shrink.space import Choice
from dovetail.shrink.supernet import random_choices


def drawn(task: Task) -> Found:
    """Return the best, in the supernet, of as many networks drawn at random as other searches measure.

    They are drawn around the even widths that meet a target, as many for each; of equals the widest.

    Raises:
        UnreachableError: none of them meets a target.
    """
    search, known = ExactSearch(task.space, task.metric), dict[Choice, float]()
    shares = meeting_shares(task, search)
    measure_all(task, known, random_choices(task.space, task.budget, task.seed, shares))
    return finalists_of(task, known, search, task.limits(), None)


def knapsack(task: Task) -> Found:
    """Return the widths that keep most importance within each target; nothing is measured in the supernet.

    In the manner of M. Shen et al., "Structural Pruning via Latency-Saliency Knapsack" (HALP), NeurIPS 2022: channels
    have a value, by the loss's gradient, and a price, by a table of what layers cost; the most valuable set within the
    budget is taken. Theirs prices a layer by what it makes; ours by what it makes and reads, exactly, on any metric.
    The best choice is proven where `Task.proven` says so. A channel is worth what it is in the network as given; of a
    group the least important go first, by the order that all searches share.

    Raises:
        InputError: something else than channels is to be turned.
        UnreachableError: nothing meets a target.
    """
    space, search = task.space, ExactSearch(task.space, task.metric)
    if any(knob.kind != "channels" for knob in space.knobs):
        raise InputError("method knapsack takes channels by their importance, and nothing else: write --knobs channels")
    losses = _importance_lost(task)
    found: Found = {}
    for target, limit in task.limits().items():
        best, task.proven[target] = search.best_within(losses, limit, PROOF)
        if best is None:
            raise task.unreachable(target, space.widths(search.cheapest()))
        others = (choice for choice in search.within(losses, limit, count=task.finalists) if choice != best)
        found[target] = [space.widths(choice) for choice in (best, *islice(others, task.finalists - 1))]
    return found


def _importance_lost(task: Task) -> Losses:
    """Return per knob ``(options,)`` the importance of the channels that go, as a share of all of the network's."""
    importance, groups = task.importance(), task.space.shapes.graph.groups
    whole = sum(float(each.sum()) for each in importance) or 1.0

    def lost(group: int, width: int) -> float:
        return float(importance[group][width // groups[group].block :].sum()) / whole

    return [
        np.array([sum(lost(*each) for each in zip(knob.groups, option, strict=True)) for option in knob.options])
        for knob in task.space.knobs
    ]
