"""Where a search with imperfect factors begins: at the best perfect mappings of sizes grown to what divides.

Perfect factors of a larger size are imperfect ones of the layer, at no more cost: passes are as many, words fewer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.divisors import divisors_of
from dovetail.mapper.exact.search import search
from dovetail.mapper.imperfect.first import changed
from dovetail.mapper.imperfect.floor import Least
from dovetail.mapper.imperfect.rooms import shares_of
from dovetail.mapper.imperfect.space import evaluated
from dovetail.mapper.mapspace import Crowd, Mapspace
from dovetail.model.arrays import Nest
from dovetail.model.encode import encode_mapping
from dovetail.workload.problem import Problem

#: Sizes that are searched at most, and of how many more passes over time than the fewest possible.
MOST_SIZES, MOST_PASSES = 16, 1.25
#: How much larger a dimension's passes may be made for the sake of more divisors, and how often.
LONGER, TIMES = 1.08, 2


def grown_crowd(
    space: Mapspace,
    architecture: Architecture,
    energies: EnergyTable,
    least: Least,
    goal: float,
    is_over: Callable[[], bool],
    limit_of_one: Callable[[], Limit],
) -> Crowd | None:
    """Return the best mappings of grown sizes as mappings of the layer, best first; None where none fits.

    Args:
        space: the mapspace.
        architecture: with its constraints as its file states them.
        energies: of its components.
        least: what no mapping goes below.
        goal: sizes that cannot come below this are left out.
        is_over: whether time is up.
        limit_of_one: what the next search may take.
    """
    best: Crowd | None = None
    for passes, bounds in _sizes(space)[:MOST_SIZES]:
        hopeless = least.at_steps(passes).value(space.objective) >= goal
        if is_over() or (hopeless and best is not None):
            break
        grown = replace(space.problem, bounds=bounds)
        crowd = _as_layer(space, grown, architecture, energies, limit_of_one())
        if crowd is not None and np.isfinite(crowd.rank[0, 0]):
            best = crowd if best is None else best.joined(crowd).best(MOST_SIZES)
            goal = min(goal, float(best.rank[0, 0]))
    return best


def _as_layer(
    space: Mapspace, grown: Problem, architecture: Architecture, energies: EnergyTable, limit: Limit
) -> Crowd | None:
    """Return the best mapping of a grown layer as one of the layer; None where there is none, or it does not fit."""
    try:
        found = search(grown, architecture, energies, space.objective, time_limit=limit).unless_interrupted()
    except NoMappingError:
        return None
    nest = encode_mapping(found.mapping, grown, space.architecture, imperfect=True)
    genes, keep = space.genes(Nest._make(array[None] for array in nest)), nest.keep[None].copy()
    last, breaches, _ = changed(space, genes, keep, genes, np.zeros(1, np.int64), np.empty((1, 0)))
    return evaluated(space, genes, keep, last) if breaches[0] == 0 else None


def _sizes(space: Mapspace) -> list[tuple[int, tuple[int, ...]]]:
    """Return passes over time and sizes worth searching, the fewest passes first, then the least padding."""
    found: set[tuple[int, int, tuple[int, ...]]] = set()
    shares = shares_of(space)
    for steps, share in shares:
        if steps > MOST_PASSES * shares[0][0]:
            break
        bounds = space.limits.bounds.tolist()
        passes = [_passes(-(-bound // units)) for bound, units in zip(bounds, share, strict=True)]
        for chosen in itertools.product(*passes):
            sizes = list(space.problem.bounds)
            for d, units, own in zip(space.active, share, chosen, strict=True):
                sizes[d] = units * own
            if tuple(sizes) != space.problem.bounds:
                found.add((math.prod(chosen), math.prod(sizes), tuple(sizes)))
    return [(steps, sizes) for steps, _, sizes in sorted(found)]


def _passes(fewest: int) -> list[int]:
    """Return passes that a dimension may make: the fewest, and some more that have more divisors."""
    found, most = [fewest], len(divisors_of(fewest))
    for more in range(fewest + 1, int(fewest * LONGER) + 2):
        if len(found) <= TIMES and len(divisors_of(more)) > most:
            found.append(more)
            most = len(divisors_of(more))
    return found
