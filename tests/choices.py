"""The choice of least loss within a limit, held against all choices."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from dovetail.shrink.exact import ExactSearch


def assert_the_best_within_a_limit_is_proven(space: Any, seed: int, share: float, metric: str) -> None:
    """Draw losses; the limit lies so far between the least cost and that of the network as given."""
    search, random = ExactSearch(space, metric), np.random.RandomState(seed)
    losses = [np.array([0.0, *np.sort(random.random_sample(size - 1))]) for size in search.sizes]
    choices = np.array(list(itertools.product(*map(range, search.sizes))))
    costs = search.costs(choices)
    limit = float(costs.min() + share * (costs[0] - costs.min()))
    lost = np.sum([each[choices[:, knob]] for knob, each in enumerate(losses)], axis=0)
    found, proven = search.best_within(losses, limit)
    assert proven
    assert search.cost(found) <= limit
    assert sum(each[option] for each, option in zip(losses, found, strict=True)) == pytest.approx(
        lost[costs <= limit].min(), abs=1e-9
    )
