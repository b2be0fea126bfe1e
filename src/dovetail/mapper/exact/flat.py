"""Bounds that take no time to tabulate: for when there is none for better ones.

Whatever its loops, an execution of the loop body costs its computing and, of every tensor, a word read (outputs:
updated) at its innermost keeper, which may serve as many compute units as the fan-outs inside it have room for. Where
neighbours may pass a tensor on inside a keeper, it is taken to cost nothing there. A tile is completed in no fewer
cycles than its executions take on all units that can work on it.
"""

from __future__ import annotations

import numpy as np

from dovetail.mapper.exact.completion import (
    Completion,
    class_cycles_of,
    idle_sets,
    places_of,
    room_of,
    with_completions,
)
from dovetail.mapper.exact.demands import Demands
from dovetail.mapper.exact.outlook import no_outlook
from dovetail.mapper.exact.packed import pack
from dovetail.mapper.exact.physical import slack_of
from dovetail.mapper.exact.sources import Source, Sources
from dovetail.mapper.exact.space import Space
from dovetail.mapper.exact.speed import CLASSES
from dovetail.mapper.exact.tables import Tables
from dovetail.mapper.exact.through_loops import lanes_of, serving
from dovetail.mapper.exact.vectors import CYCLES, ENERGY, FIXED
from dovetail.model.arrays import Floats
from dovetail.model.charges import READ, UPDATE


def flat_completion(space: Space, tables: Tables, per_word: Floats) -> Completion:
    """Return tables with the least that any execution of the loop body costs, for every tile; see `Completion`."""
    tensors, idle = len(space.rules.is_output), idle_sets(space)
    place, count = places_of(space, with_completions(space, tables))
    options = [len(space.keepers[level]) for level in range(space.outside)]
    nowhere = Source((0.0,) * tensors, (0.0,) * tensors, (0,) * tensors)
    sources = Sources(((nowhere,),) * (space.outside + 1), tuple(np.zeros((1, n), np.int64) for n in options))
    parts = room_of(space, sources, count, lanes_of(len(idle)))
    an_execution = least_of_an_execution(space, per_word)
    for level, part in enumerate(parts):
        part[0, 0] = (tables.volume[place[level] >= 0] * an_execution)[:, None]
    demands = _demands(space, tables, an_execution)
    serves, (slack, slack_cycles) = serving(space, idle), slack_of(space)
    fastest = max(1, tables.parallelism[0, -1]) * (1 - np.arange(CLASSES) / CLASSES)
    slowest = class_cycles_of(space, np.tile(fastest, (space.outside + 1, 1)), slack_cycles)
    outlook = no_outlook(len(space.levels))  # all tiles are alike
    return Completion(
        sources, idle, serves, place, count, CLASSES, slowest, outlook, pack(parts), demands, slack, slack_cycles
    )


def least_of_an_execution(space: Space, per_word: Floats) -> float:
    """Return pJ; ``per_word`` ``(levels, tensors, actions)`` least pJ per word."""
    used, total = space.most_instances, float(space.machine.compute_pJ)
    for t, is_output in enumerate(space.rules.is_output):
        least = np.inf
        for level, kept in enumerate(space.keepers):
            if space.is_spatial[level] or not any(option >> t & 1 for option in kept):
                continue
            passed_on = bool(space.may_link[level:, t].any())
            shared = used[-1] / used[level]
            least = min(least, 0.0 if passed_on else float(per_word[level, t, UPDATE if is_output else READ]) / shared)
        total += least
    return total


def _demands(space: Space, tables: Tables, an_execution: float) -> Demands:
    """Return one vector for every tile that has a completion: nothing is asked, all tensors are pending."""
    levels, tensors = len(space.levels), len(space.rules.is_output)
    outermost = min(space.outside + 1, levels)
    start, end = np.zeros((2, levels + 1, space.tiles), np.int64)
    parts = []
    used = 0
    for boundary in range(levels, outermost - 1, -1):
        feasible = tables.parallelism[boundary] > 0
        end[boundary] = used + np.cumsum(feasible)
        start[boundary], used = end[boundary] - feasible, int(end[boundary, -1])
        part = np.zeros((int(feasible.sum()), 2 * tensors + FIXED))
        part[:, 2 * tensors + ENERGY] = tables.volume[feasible] * an_execution
        part[:, 2 * tensors + CYCLES] = tables.volume[feasible] / tables.parallelism[boundary, feasible]
        parts.append(part)
    vectors = np.concatenate(parts)
    return Demands(outermost, start, end, vectors, np.full(len(vectors), (1 << tensors) - 1, np.int64))
