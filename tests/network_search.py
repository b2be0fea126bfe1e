"""A quick search for tests of what stands on the mapper: a few plain mappings, the best of them and their front."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from dovetail.errors import MappingError, NoMappingError
from dovetail.hardware.architecture import Spatial, Storage
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult
from dovetail.mapping.constraints import axis_slots, bound_to, factor_range
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.evaluate import evaluate
from dovetail.network.optimum import pareto_front


def quick_search(problem, architecture, energies, objective=Objective.EDP, *, front=False, time_limit=None):
    """Return the best of a few mappings that run everything at the outermost level, with one parallel dimension."""
    costs = {}
    for mapping in _mappings(problem, architecture):
        try:
            cost = evaluate(mapping, problem, architecture, energies)
        except MappingError:
            continue
        costs.setdefault((cost.energy_pJ, cost.cycles), (mapping, cost))
    if not costs:
        raise NoMappingError("nothing fits")
    mapping, cost = min(costs.values(), key=lambda each: objective.value_of(each[1].energy_pJ, each[1].cycles))
    value = objective.value_of(cost.energy_pJ, cost.cycles)
    certificate = Certificate(True, len(costs), len(costs), 0, 0, 0, value, value, 1, 0.0, ("a test",), "plain", 0.0)
    found = pareto_front(costs) if front else None
    points = zip(found.energies_pJ, found.cycles, strict=True) if found else ()
    return SearchResult(
        objective, mapping, cost, certificate, tuple(FrontPoint(e, c, costs[e, c][0]) for e, c in points)
    )


def counted_search(*arguments, **options):
    """Search and leave a line in a file, so that a test can count calls across processes."""
    with Path(os.environ["SEARCH_CALLS"]).open("a", encoding="utf-8") as stream:
        stream.write(f"{arguments[0].bounds}\n")
    return quick_search(*arguments, **options)


def slow_search(*arguments, **options):
    time.sleep(0.1)
    return counted_search(*arguments, **options)


def failing_search(problem, *arguments, **options):
    if problem.bound("M") == 5:
        raise NoMappingError("M is 5")
    if problem.bound("M") == 6:
        raise ZeroDivisionError("a bug")
    if problem.bound("M") == 7:
        os.kill(os.getpid(), 9)
    return quick_search(problem, *arguments, **options)


def _mappings(problem, architecture):
    bound = bound_to(architecture, problem)
    dims = [d for d in problem.shape.dimensions if problem.bound(d) > 1]
    orders = [dims, dims[::-1], sorted(dims), [d for d in "PQNMCRS" if d in dims] + [d for d in dims if d == "G"]]
    spots = [(None, None, 1)]
    for level in bound.levels:
        if isinstance(level, Spatial):
            spots += _spatial(level, problem)
    for order, (place, loop, factor) in itertools.product(orders, spots):
        levels = []
        for i, level in enumerate(bound.levels[:-1]):
            if isinstance(level, Storage):
                names = frozenset(t.name for t in problem.shape.tensors)
                keep = names if i == 0 else names - level.constraints.bypass
                time_loops = ()
                if i == 0:
                    whole = {d: problem.bound(d) for d in order}
                    if loop:
                        whole[loop] //= factor
                    time_loops = tuple(Loop(d, n) for d, n in whole.items() if n > 1)
                levels.append(LevelMapping(level.name, temporal=time_loops, keep=keep))
            else:
                here = (Loop(loop, factor),) if place and place[0] == level.name else ()
                on_x = bool(place) and place[1] == "x"
                levels.append(LevelMapping(level.name, spatial_x=here * on_x, spatial_y=here * (not on_x)))
        yield Mapping(tuple(levels))


def _spatial(level, problem):
    slots = axis_slots(level.constraints.spatial, problem)
    for dimension in problem.shape.dimensions:
        allowed = factor_range(level.constraints.spatial, dimension, problem)
        for axis, room in (("x", level.fanout_x), ("y", level.fanout_y)):
            if slots is not None and dimension not in (slots.on_x if axis == "x" else slots.on_y) + slots.free:
                continue
            for factor in range(min(room, allowed.most), max(allowed.least, 1), -1):
                if problem.bound(dimension) % factor == 0:
                    yield (level.name, axis), dimension, factor
                    break
