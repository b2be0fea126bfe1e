"""Fronts over energy and cycles with imperfect factors: the perfect front, and the best met of every objective."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit, divided
from dovetail.mapper.exact.search import search
from dovetail.mapper.imperfect.search import search_imperfect
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import FrontPoint, SearchResult, unbeaten
from dovetail.workload.problem import Problem


def imperfect_front(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    time_limit: Limit = None,
    progress: Callable[[str], None] | None = None,
) -> SearchResult:
    """Return the best mapping met, and a front of mappings met: all perfect ones that nothing met beats are on it.

    The certificate does not say ``exact``: that no mapping is missing on the front is not known. Arguments and errors
    are those of `dovetail.mapper.imperfect.search_imperfect`; a KeyboardInterrupt is passed on.
    """
    began = time.monotonic()
    wanted = list(dict.fromkeys((objective, Objective.EDP, Objective.ENERGY, Objective.LATENCY)))
    given, each = (problem, architecture, energies), divided(time_limit, len(wanted) + 1)
    points: list[FrontPoint] = []
    with contextlib.suppress(NoMappingError):  # there may be one with factors that do not divide
        points += search(*given, objective, front=True, time_limit=each, progress=progress).unless_interrupted().front
    found = [search_imperfect(*given, goal, time_limit=each, progress=progress).unless_interrupted() for goal in wanted]
    points += [FrontPoint(one.cost.energy_pJ, one.cost.cycles, one.mapping) for one in found]
    own = min(found, key=lambda one: objective.value_of(one.cost.energy_pJ, one.cost.cycles))
    value = objective.value_of(own.cost.energy_pJ, own.cost.cycles)
    certificate = replace(
        found[0].certificate,
        exact=False,
        value=value,
        bound=min(value, found[0].certificate.bound),
        method=f"{found[0].certificate.method}; the front is of the mappings met",
        seconds=time.monotonic() - began,
    )
    return SearchResult(objective, own.mapping, own.cost, certificate, unbeaten(points))
