"""How the store keeps results of searches: which, under which key, and as what data."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import asdict, dataclass, replace
from typing import Any

from dovetail.content import content_key
from dovetail.mapper.allowance import allowance_of
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, FrontPoint, SearchResult, unbeaten
from dovetail.mapper.search import SearchFunction
from dovetail.mapping.mapping import LevelMapping, Loop, Mapping
from dovetail.model.cost import Cost, Fates, LevelCost, LinkCost, TensorCost, TensorZeros
from dovetail.network.jobs import Job
from dovetail.store import Store

_LOOPS = ("temporal", "spatial_x", "spatial_y")


def kept_results(store: Store, jobs: MappingOf[str, Job]) -> dict[str, SearchResult]:
    """Return the results that the store has, of those jobs by key whose results are kept."""
    keys = [key for key, job in jobs.items() if _is_kept(job)]
    return {key: result_from_data(data) for key, data in store.get_many(keys).items()}


def kept_result(store: Store, job: Job) -> SearchResult | None:
    """Return a job's result if the store has it."""
    key = job.key
    return kept_results(store, {key: job}).get(key)


def stored_search(store: Store) -> SearchFunction:
    """Return the exact search that asks the store first, and has it keep what is worth keeping."""

    def search(*given: Any, **options: Any) -> SearchResult:
        job = Job(*given, **options)
        known = kept_result(store, job)
        if known is None:
            known = job.run()
            keep(store, job, known)
        return known

    return search


def keep(store: Store, job: Job, result: SearchResult) -> None:
    """Have the store keep the result of a job, if that is worth keeping."""
    if store.path is not None and _is_kept(job) and job.lasts(result):
        store.put(job.key, result_to_data(result))


def _is_kept(job: Job) -> bool:
    """Tell whether results of a job are kept: those of other searches than the exact one are not."""
    return job.search is None


@dataclass(frozen=True)
class Attempt:
    """What searches of one job that time ended came to.

    Attributes:
        seconds: the longest that one of them was given; None: no end.
        result: the best mapping that they met, under the highest bound that they have proven.
    """

    seconds: float | None
    result: SearchResult

    def answers(self, job: Job) -> bool:
        """Return whether a search of the job need not be begun: all is proven, or this one had as much time."""
        if self.result.certificate.exact or self.seconds is None:
            return True
        seconds = allowance_of(job.time_limit).seconds
        return seconds is not None and self.seconds >= seconds

    def with_earlier(self, earlier: Attempt | None) -> Attempt:
        """Return this attempt with what an earlier one of the same job adds to it."""
        if earlier is None or self.result.certificate.exact:
            return self
        ours, theirs = self.result, earlier.result
        better = min((ours, theirs), key=lambda each: (each.certificate.value, each.cost.cycles))
        bound = max(ours.certificate.bound, theirs.certificate.bound)
        certificate = replace(better.certificate, bound=min(bound, better.certificate.value))
        result = replace(better, certificate=certificate, front=unbeaten((*ours.front, *theirs.front)))
        return Attempt(self.seconds, result)


def keep_attempt(store: Store, key: str, attempt: Attempt) -> None:
    """Have the store keep what is known of a job, of this key, whose result does not last."""
    store.put(_attempt_key(key), {"seconds": attempt.seconds, "result": result_to_data(attempt.result)})


def kept_attempts(store: Store, keys: Iterable[str]) -> dict[str, Attempt]:
    """Return what the store has of that, by the jobs' keys."""
    asked = {_attempt_key(key): key for key in keys}
    found = store.get_many(asked)
    return {asked[key]: Attempt(data["seconds"], result_from_data(data["result"])) for key, data in found.items()}


def _attempt_key(key: str) -> str:
    return content_key("attempt at", key)


def result_to_data(result: SearchResult) -> dict[str, Any]:
    """Return the result as JSON can hold it, nothing left out."""
    return {
        "objective": str(result.objective),
        "mapping": mapping_to_data(result.mapping),
        "cost": _cost_to_data(result.cost),
        "certificate": asdict(result.certificate),
        "front": [[point.energy_pJ, point.cycles, mapping_to_data(point.mapping)] for point in result.front],
        "ended_by_itself": result.ended_by_itself,
    }


def result_from_data(data: MappingOf[str, Any]) -> SearchResult:
    """Return the result that `result_to_data` was given; raises KeyError, TypeError or ValueError on other data."""
    certificate = data["certificate"]
    return SearchResult(
        objective=Objective(data["objective"]),
        mapping=mapping_from_data(data["mapping"]),
        cost=_cost_from_data(data["cost"]),
        certificate=Certificate(**{**certificate, "binding": tuple(certificate["binding"])}),
        front=tuple(
            FrontPoint(energy, cycles, mapping_from_data(mapping)) for energy, cycles, mapping in data["front"]
        ),
        ended_by_itself=data.get("ended_by_itself") is True,
    )


def mapping_to_data(mapping: Mapping) -> list[dict[str, Any]]:
    """Return one entry per level, outer to inner, without what is empty."""
    return [_level_to_data(entry) for entry in mapping.levels]


def mapping_from_data(data: list[dict[str, Any]]) -> Mapping:
    """Return the mapping that `mapping_to_data` was given."""
    return Mapping(
        tuple(
            LevelMapping(
                entry["level"],
                **{name: tuple(Loop(*loop) for loop in entry.get(name, ())) for name in _LOOPS},
                keep=frozenset(entry.get("keep", ())),
            )
            for entry in data
        )
    )


def _level_to_data(entry: LevelMapping) -> dict[str, Any]:
    data: dict[str, Any] = {"level": entry.level}
    for name in _LOOPS:
        loops: tuple[Loop, ...] = getattr(entry, name)
        if loops:
            data[name] = [[loop.dimension, loop.factor, *_residual(loop)] for loop in loops]
    if entry.keep:
        data["keep"] = sorted(entry.keep)
    return data


def _residual(loop: Loop) -> list[int]:
    return [] if loop.residual is None else [loop.residual]


def _cost_to_data(cost: Cost) -> dict[str, Any]:
    return {**asdict(cost), "levels": [asdict(level) for level in cost.levels]}


def _cost_from_data(data: MappingOf[str, Any]) -> Cost:
    networks = {
        name: {tensor: LinkCost(**link) for tensor, link in links.items()} for name, links in data["networks"].items()
    }
    return Cost(**{**data, "levels": tuple(map(_level_cost, data["levels"])), "networks": networks})


def _level_cost(data: MappingOf[str, Any]) -> LevelCost:
    tensors = {name: _tensor_cost(each) for name, each in data["tensors"].items()}
    computing = data["computing"]
    return LevelCost(**{**data, "tensors": tensors, "computing": None if computing is None else Fates(**computing)})


def _tensor_cost(data: MappingOf[str, Any]) -> TensorCost:
    zeros = data["zeros"]
    return TensorCost(**{**data, "zeros": None if zeros is None else _zeros(zeros)})


def _zeros(data: MappingOf[str, Any]) -> TensorZeros:
    fates = {name: Fates(**data[name]) for name in ("read", "fill", "update")}
    words = {key: _pairs(each) for key, each in data["metadata_words"].items()}
    return TensorZeros(**{**data, **fates, "metadata_words": words, "metadata_tile": _pairs(data["metadata_tile"])})


def _pairs(data: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(map(tuple, data))
