"""The exact search by its name: what finds the best of all mappings, loaded when it is first called.

Its compiled code takes longer to load than most commands take.
"""

from __future__ import annotations

from collections.abc import Callable

from dovetail.components.energy_table import EnergyTable
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.mapping import Mapping
from dovetail.workload.problem import Problem

#: What finds a mapping: ``(problem, architecture, energies, objective, *, front, time_limit)``.
SearchFunction = Callable[..., SearchResult]


def search(
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    objective: Objective = Objective.EDP,
    *,
    front: bool = False,
    time_limit: Limit = None,
    progress: Callable[[str], None] | None = None,
    begin: Mapping | None = None,
) -> SearchResult:
    """Return the best of all mappings that constraints and capacities allow: `dovetail.mapper.exact.search.search`.

    On a design that does something about zeros: `dovetail.mapper.sparse.search.search_sparse`.

    Args:
        problem: the layer.
        architecture: with its constraints.
        energies: energy table.
        objective: what to minimise; ties fall to the other of energy and cycles.
        front: return the whole Pareto front over (energy, cycles) as well.
        time_limit: what it may take, then the best so far is returned, with a bound: seconds, or an
            `dovetail.mapper.allowance.Allowance` of seconds, steps of work and memory; None: no limit.
        progress: told about twice a second how far the search is.
        begin: a mapping that is likely to be good, as the best of the same layer at other widths: bounds then need to
            hold for what is no worse, which is less work (`Certificate.compulsory_pJ` is lower for it). One that the
            layer or the design does not allow is not used, nor is any on a design that does something about zeros.

    A KeyboardInterrupt ends the search with the best so far and its bound (`SearchResult.interrupted`); another one is
    passed on, and so is one that strikes while code is compiled or loaded.

    Raises:
        NoMappingError: no mapping exists; the message says why and what would be enough.
        InputError: a constraint contradicts itself, or the energy table misses something.
    """
    given = problem, architecture, energies, objective
    if architecture.is_sparse:
        from dovetail.mapper.sparse.search import search_sparse

        return search_sparse(*given, front=front, time_limit=time_limit, progress=progress)
    from dovetail.mapper.exact.search import search as exact

    return exact(*given, front=front, time_limit=time_limit, progress=progress, begin=begin)
