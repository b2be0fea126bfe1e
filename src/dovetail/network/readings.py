"""Layers that can be read in several ways: each way searched, the best kept and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dovetail.errors import NoMappingError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.names import named
from dovetail.mapper.allowance import Limit, divided
from dovetail.mapper.result import FrontPoint, SearchResult, unbeaten
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading, readings


@dataclass(frozen=True)
class Read:
    """The best reading of a problem, and its best mapping.

    Attributes:
        reading: how the problem was read.
        result: its mapping and cost. What the certificate says of value and bound holds for all readings together; its
            space and its work are those of this reading. The front has the points of all readings that nothing beats.
        own: the result as this reading alone has it.
    """

    reading: Reading
    result: SearchResult
    own: SearchResult

    @property
    def problem(self) -> Problem:
        """The problem as it was read, in whose words the mapping is."""
        return self.reading.problem


def readings_on(problem: Problem, architecture: Architecture, *, of_roles: bool = False) -> tuple[Reading, ...]:
    """Return the ways to read a problem on a design; see `dovetail.workload.roles.readings`."""
    return readings(problem, named(architecture, "dimension"), named(architecture, "tensor"), of_roles=of_roles)


def best_outcome(outcomes: Sequence[tuple[Reading, SearchResult | NoMappingError]]) -> Read | NoMappingError:
    """Return the best of several readings' outcomes; where none has a mapping, why the first has none."""
    found = [(reading, result) for reading, result in outcomes if isinstance(result, SearchResult)]
    if found:
        return best_reading(found)
    missed = outcomes[0][1]
    assert isinstance(missed, NoMappingError)
    return missed


def best_reading(found: Sequence[tuple[Reading, SearchResult]]) -> Read:
    """Return the best of several readings' results: by the objective, then by cycles, then the first.

    It is proven to be the optimum when its own search covered its space, and that of every other reading did or shows
    that it holds nothing as good (without fronts, of which all points count); the bound is the least of theirs.
    """
    found = [(_padded(reading, result.reading), _in_words(reading, result)) for reading, result in found]
    reading, own = min(found, key=lambda each: (_value(each[1]), each[1].cost.cycles))
    certificates = [result.certificate for _, result in found]
    fronts = any(result.front for _, result in found)
    certificate = replace(
        own.certificate,
        exact=own.certificate.exact
        and all(each.exact or (not fronts and each.bound > _value(own)) for each in certificates),
        bound=min(each.bound for each in certificates),
    )
    return Read(reading, replace(own, certificate=certificate, front=_front(found)), own)


def _padded(reading: Reading, padded: Reading | None) -> Reading:
    """Return a reading of which a search padded the problem, or the reading where it did not."""
    if padded is None:
        return reading
    text = "; ".join(text for text in (reading.text, padded.text) if text)
    return replace(reading, problem=padded.problem, text=text, padded_from=padded.padded_from)


def _in_words(reading: Reading, result: SearchResult) -> SearchResult:
    """Return a result whose front has the words of the reading for what it padded, too."""
    front = (
        replace(point, reading=_padded(reading, point.reading)) if point.reading else point for point in result.front
    )
    return replace(result, front=tuple(front))


def _value(result: SearchResult) -> float:
    return result.objective.value_of(result.cost.energy_pJ, result.cost.cycles)


def _front(found: Sequence[tuple[Reading, SearchResult]]) -> tuple[FrontPoint, ...]:
    """Return the points of all fronts that no other beats, each with its reading."""
    if len(found) == 1:
        return found[0][1].front
    points = [
        point if point.reading else replace(point, reading=reading)
        for reading, result in found
        for point in result.front
    ]
    return unbeaten(points)


def search_readings(
    problem: Problem,
    architecture: Architecture,
    search: Callable[[Problem, Limit], SearchResult],
    time_limit: Limit = None,
) -> Read:
    """Search every reading of a problem on a design and return the best.

    Args:
        problem: the problem as it came.
        architecture: the design.
        search: finds the best mapping of a problem in so many seconds.
        time_limit: seconds for all readings together.

    Raises:
        NoMappingError: no reading has a mapping; the reason is the first one's.
    """
    ways = readings_on(problem, architecture)
    found: list[tuple[Reading, SearchResult]] = []
    failed: list[NoMappingError] = []
    for reading in ways:
        try:
            found.append((reading, search(reading.problem, divided(time_limit, len(ways)))))
        except NoMappingError as error:
            failed.append(error)
    if not found:
        raise failed[0]
    return best_reading(found)
