"""One layer to be mapped on one design: a pure value that can be sent anywhere, with the key of its content."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.content import content_key
from dovetail.errors import InputError, NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Allowance, Limit, allowance_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapper.search import SearchFunction
from dovetail.mapper.search import search as exact_search
from dovetail.mapping.mapping import Mapping
from dovetail.sources import sources_key
from dovetail.workload.problem import Problem


@dataclass(frozen=True)
class Sampled:
    """The random search, as a value: equal ones draw equal mappings.

    Attributes:
        samples: random mappings, of which it returns the best.
        seed: of the random numbers.
    """

    samples: int
    seed: int = 0

    def __call__(self, *given: Any, **options: Any) -> SearchResult:
        """Search, called as any `SearchFunction` is; see `dovetail.mapper.local.sample.sampled_search`."""
        from dovetail.mapper.local.sample import sampled_search  # loads compiled code: only when it is needed

        return sampled_search(*given, samples=self.samples, seed=self.seed, **options)


def imperfect_search(*given: Any, front: bool = False, **options: Any) -> SearchResult:
    """Search among factors that do not divide, too, called likewise; see `dovetail.mapper.imperfect`."""
    from dovetail.mapper.imperfect import imperfect_front, search_imperfect  # as above

    return (imperfect_front if front else search_imperfect)(*given, **options)


def padded_search(*given: Any, **options: Any) -> SearchResult:
    """Search among padded sizes, too, called likewise; see `dovetail.mapper.padded`."""
    from dovetail.mapper.padded import search_padded  # as above

    return search_padded(*given, **options)


def odd_search(*, imperfect: bool, pad: bool, others: bool = False) -> SearchFunction | None:
    """Return the search for sizes that do not divide that is asked for; None: neither is.

    Args:
        imperfect: also try factors that do not divide.
        pad: also pad dimensions.
        others: whether another search (of random mappings) is asked for as well.

    Raises:
        InputError: more than one search is asked for.
    """
    if imperfect + pad + others > 1:
        raise InputError("only one of imperfect factors, padding and random samples can be asked for at a time")
    return imperfect_search if imperfect else padded_search if pad else None


@dataclass(frozen=True)
class Job:
    """One layer to be mapped on one design. It holds all that it needs, can be pickled, and touches no store.

    Attributes:
        problem: the layer, in the reading that is to be mapped.
        architecture: the design.
        energies: what its components cost.
        objective: what to minimise.
        front: also find the whole Pareto front over energy and cycles.
        time_limit: seconds; None: until it is proven.
        search: what finds the best mapping; None: the exact search. Where a job leaves its process that is a module's
            function, or a value such as `Sampled`.
        begin: a mapping for the exact search to begin with, likely to be good; no part of the key.
    """

    problem: Problem
    architecture: Architecture
    energies: EnergyTable = field(repr=False)
    objective: Objective = Objective.EDP
    front: bool = False
    time_limit: Limit = None
    search: SearchFunction | None = None
    begin: Mapping | None = None

    @property
    def key(self) -> str:
        """The key of all that the result depends on: content, not names, and the program's code.

        The time limit is not among that: what is proven within one is the same without. See `lasts`.
        """
        nameless = replace(self.problem, name="")
        design = design_key(self.architecture, self.energies)
        search = [] if self.search is None else [_search_content(self.search)]
        return content_key("layer search", design, nameless, self.objective, self.front, *search)

    def run(self, progress: Callable[[str], None] | None = None) -> SearchResult:
        """Search, in this process.

        Args:
            progress: told now and then how far the exact search is.

        Raises:
            NoMappingError: there is no mapping; the message says why.
        """
        given = self.problem, self.architecture, self.energies, self.objective
        options: dict[str, Any] = {"front": self.front, "time_limit": self.time_limit}
        if progress is not None:
            options["progress"] = progress
        if self.begin is not None:
            options["begin"] = self.begin
        return (self.search or exact_search)(*given, **options)

    def lasts(self, result: SearchResult) -> bool:
        """Tell whether a result is worth keeping: all of it is proven, or nothing that was asked for ended it.

        What a clock or an interrupt ended differs each time; where the value is proven but not what breaks ties, a
        search with more time may still find better.
        """
        proven = result.certificate.exact and result.certificate.tie_proven
        return proven or (allowance_of(self.time_limit) == Allowance() and not result.interrupted)


def outcome(job: Job) -> SearchResult | NoMappingError:
    """Run a job; that there is no mapping is an answer, too. This is what executors are given."""
    try:
        return job.run()
    except NoMappingError as error:
        return error


def design_key(architecture: Architecture, energies: EnergyTable) -> str:
    """Return the key of all that a design means to a layer's cost; neither names nor the order of entries matter."""
    return content_key(engine_version(), _design_content(architecture, energies))


@functools.lru_cache(maxsize=256)
def _design_content(architecture: Architecture, energies: EnergyTable) -> str:
    """Return the key of a design alone: thousands of jobs may share one."""
    return content_key(architecture.levels, architecture.cycle_seconds, energies)


@functools.cache
def engine_version() -> str:
    """Return the key of all code and data that results depend on: a changed program never finds old results.

    Results are what searches find, how the store keeps that, and what is said of it and kept beside it.
    """
    return sources_key(__name__, "dovetail.network.records", "dovetail.mapper.reasons")


def _search_content(search: SearchFunction) -> Any:
    """Return what tells a search from others: a value's content, a function's name and what is bound of it."""
    if isinstance(search, functools.partial):
        return _search_content(search.func), search.args, search.keywords
    return search if is_dataclass(search) else f"{search.__module__}.{search.__qualname__}"
