"""Checks a certificate again, from the file's every number and word up: its mapping, its bounds, its search."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dovetail.components.energy_table import EnergyTable
from dovetail.content import content_key
from dovetail.errors import DovetailError
from dovetail.hardware.architecture import Architecture
from dovetail.mapper.allowance import Limit
from dovetail.mapper.certificate_file import (
    ESTIMATED,
    Claim,
    cost_claims,
    gap,
    neighbour_claims,
    plain,
    prices,
    proof_claims,
)
from dovetail.mapper.result import SearchResult
from dovetail.mapping.constraints import bound_to, violations
from dovetail.mapping.files import parse_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.mapping.packing import operation_energy
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.model.witness import walk
from dovetail.text import clean, printable
from dovetail.workload.problem_yaml import write_problem

#: The walk visits two iterations of every loop over time, with all children of a fan-out; more steps take too long.
_MOST_STEPS = 2_000_000


class Verdict(StrEnum):
    """What comes of a check."""

    HOLDS = "holds"
    REJECTED = "rejected"
    NOT_PROVEN = "not proven again"


@dataclass(frozen=True)
class Check:
    """One thing that was checked again.

    Attributes:
        what: in words.
        verdict: what came of it.
        detail: what was found.
    """

    what: str
    verdict: Verdict
    detail: str

    def __post_init__(self) -> None:
        clean(self, "what", "detail")

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return self.verdict is Verdict.HOLDS


def verify(
    claim: Claim,
    architecture: Architecture,
    *,
    energies: EnergyTable | None,
    energies_from: str = ESTIMATED,
    search: Callable[..., SearchResult] | None = None,
    time_limit: Limit = None,
) -> tuple[Check, ...]:
    """Check all that a certificate claims.

    Args:
        claim: what the certificate says.
        architecture: the design that it names.
        energies: the design's; None: they cannot be had, and what is checked holds with the certificate's own.
        energies_from: where they are from.
        search: what searches once more, as ``(problem, architecture, energies, objective, *, front, time_limit)``;
            None: the search is not repeated, and what it proved is not proven again.
        time_limit: seconds for it; None: what it took the first time.
    """
    checks = [_check("the file is as it was written", claim.unchanged, "its key is that of its content")]
    checks += _checks_of_names(claim, architecture)
    if energies is not None:
        checks.append(_check_of_energies(claim, architecture, energies, energies_from))
    try:
        bound = bound_to(architecture, claim.problem)
        mapping = parse_mapping(claim.mapping_text, bound, claim.problem, file="the certificate's mapping")
        checks += _checks_of_mapping(claim, mapping, bound)
        checks += _checks_of_bounds(claim, bound)
    except DovetailError as error:
        checks.append(_check("the mapping can be evaluated", False, str(error)))
    checks.append(_check_of_search(claim, architecture, search, time_limit))
    return tuple(checks)


def _check(what: str, holds: bool, detail: str, otherwise: Verdict = Verdict.REJECTED) -> Check:
    return Check(what, Verdict.HOLDS if holds else otherwise, detail)


def _equal(what: str, found: Any, claimed: Any) -> Check:
    """Check that something found is what is claimed, to the last bit and of the same kind (1 is not True)."""
    same = content_key(plain(found)) == content_key(plain(claimed))
    return _check(what, same, f"{found}" if same else f"{found}, claimed {claimed}")


def _checks_of_names(claim: Claim, architecture: Architecture) -> Iterator[Check]:
    same = content_key(architecture.levels) == claim.design_key
    yield _check("the design is the one that was searched", same, architecture.name)
    yield _equal("the design has its name", architecture.name, claim.design)
    rewritten = write_problem(claim.problem)
    yield _check("the problem is written in our words", rewritten == claim.problem_text, claim.problem.name)


def _check_of_energies(claim: Claim, architecture: Architecture, energies: EnergyTable, origin: str) -> Check:
    found, claimed = prices(energies, architecture), prices(claim.energies, architecture)
    claimed |= {name: dict(cost.actions) for name, cost in claim.energies.components.items()}
    differing = [
        f"{name} {action} {found.get(name, {}).get(action)} pJ, claimed {claimed.get(name, {}).get(action)}"
        for name in dict.fromkeys((*found, *claimed))
        for action in dict.fromkeys((*found.get(name, {}), *claimed.get(name, {})))
        if found.get(name, {}).get(action) != claimed.get(name, {}).get(action)
    ]
    if found.keys() != claimed.keys():
        differing.append(f"components {', '.join(found)}, claimed {', '.join(claimed)}")
    if printable(origin) != claim.energies_from:
        differing.append(f"they are from {origin}, claimed {claim.energies_from}")
    return _check("the energies are the design's", not differing, "; ".join(differing[:4]) or origin)


def _checks_of_mapping(claim: Claim, mapping: Mapping, architecture: Architecture) -> Iterator[Check]:
    broken = violations(mapping, claim.problem, architecture)
    yield _check("the mapping obeys every constraint", not broken, "; ".join(broken) or "none is broken")
    first, allowed = mapping.levels[0], bound_to(architecture, claim.problem).levels[0].constraints.bypass
    names = [tensor.name for tensor in claim.problem.shape.tensors]
    passing = [name for name in names if name not in first.keep and name not in allowed]
    said = f"{', '.join(passing)} passes {first.level} by, and the design does not say so"
    yield _check(
        "the mapping is one of those searched", not passing, said if passing else "the design says what lies where"
    )
    rewritten = native_mapping_yaml(mapping, claim.problem)
    yield _check("the mapping is written in our words", rewritten == claim.mapping_text, "it reads back the same")
    cost = evaluate(mapping, claim.problem, architecture, claim.energies)
    yield _check("its tiles fit every level", True, "none is too large")
    for name, found in cost_claims(cost).items():
        yield _equal(f"its {name} is as claimed", found, claim.cost[name])
    passed = neighbour_claims(mapping, cost, claim.problem, architecture, claim.energies)
    yield _equal("what neighbours pass on, and are worth", passed, claim.neighbours)
    value = claim.objective.in_unit(claim.objective.value_of(cost.energy_pJ, cost.cycles))
    yield _equal(f"its {claim.objective} is the value", value, claim.proof["value"])
    if _steps(mapping) <= _MOST_STEPS:
        yield _check_of_counts(claim, mapping, architecture, cost)


def _steps(mapping: Mapping) -> int:
    """Return about how many steps the walk takes."""
    loops = [loop for level in mapping.levels for loop in level.temporal if loop.factor > 1]
    children = [math.prod(loop.factor for loop in (*level.spatial_x, *level.spatial_y)) for level in mapping.levels]
    return int(2 ** len(loops) * max(children))


def _check_of_counts(claim: Claim, mapping: Mapping, architecture: Architecture, cost: Cost) -> Check:
    """Check the model's counts against those of a walk through the loops, which shares no code with it."""
    walked = walk(mapping, claim.problem, architecture, claim.energies)
    differing = [] if walked["cycles"] == cost.cycles else [f"{walked['cycles']} cycles, not {cost.cycles}"]
    counted = 0
    for level in cost.levels[:-1]:
        for name, tensor in level.tensors.items():
            for count in ("tile", "reads", "fills", "updates"):
                counted += 1
                found, model = walked["levels"][level.name]["tensors"][name][count], getattr(tensor, count)
                if found != model:
                    differing.append(f"{level.name} {name}: {found} {count}, not {model}")
    said = "; ".join(differing[:4]) or f"{counted} counts and the cycles are equal"
    return _check("a walk through its loops counts what the model does", not differing, said)


def _checks_of_bounds(claim: Claim, architecture: Architecture) -> Iterator[Check]:
    """Check the bounds against ones so plain that they need no search: all units at work, and computing alone.

    Where zeros may be left out, nothing as plain is known.
    """
    proof, cycles, energy = claim.proof, claim.cost["cycles"], claim.cost["energy_pJ"]
    computations = 0 if architecture.is_sparse else claim.problem.macs
    fewest = max(1, math.ceil(computations / architecture.parallelism))
    compute = architecture.compute
    one = claim.energies[compute.name].energy("compute") * operation_energy(claim.problem, compute)
    computing = computations * one
    least = proof["compulsory_pJ"] * (1 - 1e-9)
    yield _check(
        "cycles lie above their bound, that above all units at work",
        fewest <= proof["compute_bound_cycles"] <= cycles,
        f"{fewest} <= {proof['compute_bound_cycles']:g} <= {cycles}",
    )
    yield _check(
        "energy lies above its bound, that above computing alone",
        computing * (1 - 1e-9) <= proof["compulsory_pJ"] and least <= energy,
        f"{computing:g} <= {proof['compulsory_pJ']:g} <= {energy:g} pJ",
    )
    value, bound, exact = proof["value"], proof["bound"], proof["exact"]
    yield _check(
        "the bound is the value" if exact else "the bound lies below the value",
        bound == value if exact else bound <= value,
        f"{bound}, {value}",
    )
    yield _equal("the gap lies between them", gap(exact, value, bound), proof["gap"])
    yield _equal("they are in the objective's unit", claim.objective.unit, proof["unit"])


def _check_of_search(
    claim: Claim, architecture: Architecture, search: Callable[..., SearchResult] | None, time_limit: Limit
) -> Check:
    """Search once more, and check every field of the certificate against that of the search's own."""
    what = "searching again comes to the same"
    if search is None:
        return Check(what, Verdict.NOT_PROVEN, "the search was left out")
    options = claim.search
    try:
        result = search(
            claim.problem,
            architecture,
            claim.energies,
            claim.objective,
            front=options.front,
            time_limit=options.time_limit if time_limit is None else time_limit,
        )
    except DovetailError as error:
        return Check(what, Verdict.NOT_PROVEN, str(error))
    found, differing = proof_claims(result, options), []
    if "method" in claim.proof:
        for name in claim.proof:
            if content_key(found.get(name)) != content_key(claim.proof[name]):
                differing.append(f"{name} {found.get(name, 'is not known')}, claimed {claim.proof[name]}")
        said = f"{found['value']:g} is the answer again, and all that the certificate says of it"
    else:  # a clock or somebody ended the first search: what it had shown by then must be shown again, and more may be
        what = "searching again shows as much"
        differing += _shown(claim, result)
        said = f"the bound is {found['bound']:g}, claimed {claim.proof['bound']:g}"
    return _check(what, not differing, "; ".join(differing) or said, Verdict.NOT_PROVEN)


def _shown(claim: Claim, result: SearchResult) -> Iterator[str]:
    """Yield what a search does not show of the certificate of one that ended early."""
    found, bound = result.certificate, result.objective.in_unit(result.certificate.bound)
    if not bound >= claim.proof["bound"] * (1 - 1e-12):
        yield f"no mapping goes below {bound:g}, claimed {claim.proof['bound']:g}"
    for name, claimed in claim.proof.items():
        if name not in ("exact", "value", "bound", "unit", "gap"):
            again = plain(getattr(found, name))
            if content_key(again) != content_key(claimed):
                yield f"{name} {again}, claimed {claimed}"
