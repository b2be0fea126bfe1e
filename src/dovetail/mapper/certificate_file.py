"""Certificates as files: what a search found and how it knows, written to be checked again by anybody.

A file holds nothing that `dovetail.mapper.verify` does not check: how long a search took, where an energy came from
and how large a component is are left out. What the search says of itself when a clock ended it (how many partial
mappings it had examined by then) nobody finds again, so that is left out, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.content import content_key
from dovetail.document import Node, parse_document, read_text
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import LEAST_MEMORY, Allowance, Limit, allowance_of
from dovetail.mapper.neighbours import passed_on
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import Certificate, SearchResult
from dovetail.mapping.mapping import Mapping as Nest
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.model.cost import Cost
from dovetail.text import clean, printable
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import problem_of_document, write_problem

VERSION = 3
#: Where energies come from unless a file is named.
ESTIMATED = "estimated"
_KEYS = (
    "dovetail_certificate", "problem", "architecture", "energies_from", "energies", "objective", "search", "mapping",
    "cost", "neighbours", "certificate", "key",
)  # fmt: skip
#: Random mappings that a search draws at most: those of a certificate are drawn again when it is checked.
MOST_SAMPLES = 10**8
_COST = ("cycles", "energy_pJ", "edp_J_cycle", "utilization")
_NEIGHBOURS = ("words", "cycles", "energy_pJ", "edp_J_cycle")
#: What no search finds again, and what none does that a clock ended.
_TIME = ("seconds",)
_OF_THE_RUN = (
    "states", "pruned_by_bound", "pruned_by_dominance", "pruned_by_capacity", "binding", "method", "tie_proven",
)  # fmt: skip


@dataclass(frozen=True)
class SearchOptions:
    """How a search was asked for; the same options make the same search.

    Attributes:
        front: whether it covered the Pareto front, too.
        time_limit: seconds, or all that it might take; None: no limit.
        samples: random mappings that it took the best of; None: it was the exact search.
        seed: of the random mappings.
        interrupted: whether it was ended before it was done.
    """

    front: bool = False
    time_limit: Limit = None
    samples: int | None = None
    seed: int = 0
    interrupted: bool = False


@dataclass(frozen=True)
class Claim:
    """What a certificate file claims.

    Attributes:
        unchanged: whether the file's key is that of its content.
        problem: the layer.
        problem_text: as it is written in the file.
        design: the design's name.
        design_key: content of the design's levels, `content_key` of them.
        energies_from: `ESTIMATED`, or the name of the file that they were read from.
        energies: what the components cost.
        objective: what was minimised.
        search: how the search was asked for.
        mapping_text: the mapping, in our compact form; it can be read once the design is known.
        cost: of the mapping: ``cycles``, ``energy_pJ``, ``edp_J_cycle``, ``utilization``.
        neighbours: the words that they pass on in it, and what it costs where they do not; None: they pass on nothing.
        proof: the fields of `dovetail.mapper.result.Certificate` as plain data, ``value`` and ``bound`` in ``unit``,
            and ``gap``.
    """

    unchanged: bool
    problem: Problem
    problem_text: str
    design: str
    design_key: str
    energies_from: str
    energies: EnergyTable
    objective: Objective
    search: SearchOptions
    mapping_text: str
    cost: Mapping[str, float]
    neighbours: Mapping[str, float] | None
    proof: Mapping[str, Any]

    def __post_init__(self) -> None:
        clean(self, "design", "energies_from")


def write_certificate(
    path: Path,
    result: SearchResult,
    problem: Problem,
    architecture: Architecture,
    energies: EnergyTable,
    search: SearchOptions = SearchOptions(),
    energies_from: str = ESTIMATED,
) -> None:
    """Write a certificate: all of it or, when interrupted, nothing.

    Args:
        path: where.
        result: what the search found.
        problem: the layer.
        architecture: the design, as it was searched.
        energies: what its components cost.
        search: how the search was asked for.
        energies_from: the name of the file that the energies were read from, unless they were estimated.

    Raises:
        WriteError: the file cannot be written.
    """
    content: dict[str, Any] = {
        "dovetail_certificate": VERSION,
        "problem": {"name": problem.name, "yaml": write_problem(problem)},
        "architecture": {"name": architecture.name, "key": content_key(architecture.levels)},
        "energies_from": printable(energies_from),
        "energies": {name: {"actions": actions} for name, actions in prices(energies, architecture).items()},
        "objective": str(result.objective),
        "search": plain(search),
        "mapping": native_mapping_yaml(result.mapping, problem),
        "cost": cost_claims(result.cost),
        "neighbours": neighbour_claims(result.mapping, result.cost, problem, architecture, energies),
        "certificate": proof_claims(result, search),
    }
    write_text(path, json.dumps({**content, "key": content_key(content)}, indent=2, ensure_ascii=False) + "\n")


def prices(energies: EnergyTable, architecture: Architecture) -> dict[str, dict[str, float]]:
    """Return the energies of a design's levels: level to action to pJ."""
    names = [level.name for level in architecture.levels if level.name in energies.components]
    return {name: {action: float(pJ) for action, pJ in energies[name].actions.items()} for name in names}


def cost_claims(cost: Cost) -> dict[str, float]:
    """Return what a certificate says of its mapping's cost."""
    return {name: getattr(cost, name) for name in _COST}


def neighbour_claims(
    mapping: Nest, cost: Cost, problem: Problem, architecture: Architecture, energies: EnergyTable
) -> dict[str, float] | None:
    """Return what a certificate says of the words that neighbours pass on in its mapping, and what these are worth."""
    found = passed_on(mapping, cost, problem, architecture, energies)
    return None if found is None else found.to_json()


def proof_claims(result: SearchResult, search: SearchOptions) -> dict[str, Any]:
    """Return what a certificate's file says of how the answer is known, values in the objective's unit; see above."""
    certificate, objective = result.certificate, result.objective
    claims = {name: plain(getattr(certificate, name)) for name in _claimed(certificate.exact, search)}
    claims |= {name: objective.in_unit(claims[name]) for name in ("value", "bound")}
    return {**claims, "unit": objective.unit, "gap": gap(certificate.exact, claims["value"], claims["bound"])}


def gap(exact: bool, value: float, bound: float) -> float:
    """Return how far a value may be above the optimum, as a fraction of the bound."""
    return 0.0 if exact or bound <= 0 else value / bound - 1.0


def _claimed(exact: bool, search: SearchOptions) -> list[str]:
    """Return the names of a certificate's fields that its file has."""
    ended_early = (allowance_of(search.time_limit).seconds is not None or search.interrupted) and not exact
    left_out = (*_TIME, *_OF_THE_RUN) if ended_early else _TIME
    return [field.name for field in fields(Certificate) if field.name not in left_out]


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back: tuples as lists, dataclasses as mappings."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def read_certificate(path: Path) -> Claim:
    """Read a certificate file.

    Raises:
        InputError: it is no certificate, or says something that none says; with file, line and key.
    """
    document = parse_document(read_text(path), file=str(path), lines=True)  # JSON is YAML
    entries = document.mapping(required=("dovetail_certificate",))
    if entries["dovetail_certificate"].integer(1) != VERSION:
        raise entries["dovetail_certificate"].fail(f"only version {VERSION} of certificates is read")
    entries = document.mapping(known=_KEYS, required=_KEYS)
    problem = entries["problem"].mapping(("name", "yaml"), ("name", "yaml"))
    design = entries["architecture"].mapping(("name", "key"), ("name", "key"))
    cost = entries["cost"].mapping(_COST, _COST)
    search = _search(entries["search"])
    content = document.plain()
    return Claim(
        unchanged=content_key({name: value for name, value in content.items() if name != "key"})
        == entries["key"].text(),
        problem=_problem(problem["yaml"], problem["name"].text()),
        problem_text=problem["yaml"].text(),
        design=design["name"].text(),
        design_key=design["key"].text(),
        energies_from=entries["energies_from"].text(),
        energies=EnergyTable({name: _component(node) for name, node in entries["energies"].mapping().items()}),
        objective=_objective(entries["objective"]),
        search=search,
        mapping_text=entries["mapping"].text(),
        cost={name: node.number(0) for name, node in cost.items()},
        neighbours=_neighbours(entries["neighbours"]),
        proof=_proof(entries["certificate"], search),
    )


def _problem(node: Node, name: str) -> Problem:
    return problem_of_document(parse_document(node.text(), file=f"{node.file} ({node.key})"), name).problem


def _neighbours(node: Node) -> dict[str, float] | None:
    if node.value is None:
        return None
    return {name: value.number(0) for name, value in node.mapping(_NEIGHBOURS, _NEIGHBOURS).items()}


def _objective(node: Node) -> Objective:
    if node.value not in list(Objective):
        raise node.fail(f"must be one of {', '.join(Objective)}, found {node.kind}")
    return Objective(node.text())


def _component(node: Node) -> ComponentCost:
    entries = node.mapping(("actions",), ("actions",))
    return ComponentCost({name: float(value.number(0)) for name, value in entries["actions"].mapping().items()})


def _search(node: Node) -> SearchOptions:
    names = tuple(field.name for field in fields(SearchOptions))
    entries = node.mapping(names, names)
    samples = entries["samples"]
    if samples.value is not None and samples.integer(1) > MOST_SAMPLES:
        raise samples.fail(f"at most {MOST_SAMPLES} random mappings are drawn again, found {samples.value}")
    if samples.value is None and entries["seed"].integer() != 0:
        raise entries["seed"].fail("must be 0 where no random mappings were drawn")
    return SearchOptions(
        front=entries["front"].boolean(),
        time_limit=_limit(entries["time_limit"]),
        samples=None if samples.value is None else samples.integer(1),
        seed=entries["seed"].integer(0),
        interrupted=entries["interrupted"].boolean(),
    )


def _limit(node: Node) -> Limit:
    """Return what a search might take: null, seconds, or seconds, work and memory."""
    if not isinstance(node.value, dict):
        return None if node.value is None else float(node.number(0))
    names = tuple(field.name for field in fields(Allowance))
    entries = node.mapping(names, names)
    seconds, work = entries["seconds"], entries["work"]
    return Allowance(
        None if seconds.value is None else float(seconds.number(0)),
        None if work.value is None else work.integer(1),
        float(entries["memory"].number(LEAST_MEMORY)),
    )


def _proof(node: Node, search: SearchOptions) -> dict[str, Any]:
    """Return a certificate's fields: exactly those that there are, each of its own type."""
    exact = node.mapping(required=("exact",))["exact"].boolean()
    names = [*_claimed(exact, search), "unit", "gap"]
    entries, types = node.mapping(names, names), {**get_type_hints(Certificate), "unit": str, "gap": float}
    return {name: _typed(entries[name], types[name]) for name in names}


def _typed(node: Node, kind: Any) -> Any:
    if kind is bool:
        return node.boolean()
    if kind is int:
        number = node.number(0)
        if isinstance(number, float):
            raise node.fail(f"must be a whole number, found {node.kind}")
        return number
    if kind is float:
        return node.number(0)
    if kind is str:
        return node.text()
    return node.plain()
