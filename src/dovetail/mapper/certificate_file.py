"""Certificates as files: what a search found and how it knows, written to be checked again by anybody."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from dovetail.components.energy_table import ComponentCost, EnergyTable
from dovetail.content import content_key
from dovetail.document import Node, parse_document, read_document
from dovetail.errors import DovetailError, NoMappingError
from dovetail.files import write_text
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.binding import bind
from dovetail.mapper.objective import Objective
from dovetail.mapper.result import SearchResult
from dovetail.mapping.constraints import violations
from dovetail.mapping.files import parse_mapping
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.native_yaml import native_mapping_yaml
from dovetail.model.evaluate import evaluate
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import problem_of_document, write_problem

VERSION = 1
_KEYS = ("dovetail_certificate", "problem", "architecture", "energies", "objective", "mapping", "cost", "certificate")


@dataclass(frozen=True)
class Claim:
    """What a certificate file claims.

    Attributes:
        problem: the layer.
        design: the design's name.
        design_key: content of the design's levels, `content_key` of them.
        energies: what the components cost.
        objective: what was minimised.
        mapping_text: the mapping, in our compact form; it can be read once the design is known.
        cycles: of the mapping.
        energy_pJ: of the mapping.
        value: the objective's value.
        bound: what no mapping is said to go below.
        exact: whether the mapping is said to be the optimum.
        compute_bound_cycles: cycles that no mapping is said to go below.
        compulsory_pJ: energy that no mapping is said to go below.
    """

    problem: Problem
    design: str
    design_key: str
    energies: EnergyTable
    objective: Objective
    mapping_text: str
    cycles: int
    energy_pJ: float
    value: float
    bound: float
    exact: bool
    compute_bound_cycles: float
    compulsory_pJ: float


@dataclass(frozen=True)
class Check:
    """One thing that was checked again.

    Attributes:
        what: in words.
        passed: whether it holds.
        detail: what was found.
    """

    what: str
    passed: bool
    detail: str


def write_certificate(
    path: Path, result: SearchResult, problem: Problem, architecture: Architecture, energies: EnergyTable
) -> None:
    """Write a certificate: all of it or, when interrupted, nothing.

    Raises:
        InputError: the file cannot be written.
    """
    cost = result.cost
    content = {
        "dovetail_certificate": VERSION,
        "problem": {"name": problem.name, "yaml": write_problem(problem)},
        "architecture": {"name": architecture.name, "key": content_key(architecture.levels)},
        "energies": {name: asdict(component) for name, component in energies.components.items()},
        "objective": str(result.objective),
        "mapping": native_mapping_yaml(result.mapping, problem),
        "cost": {
            "cycles": cost.cycles,
            "energy_pJ": cost.energy_pJ,
            "edp_J_cycle": cost.edp_J_cycle,
            "utilization": cost.utilization,
        },
        "certificate": {**asdict(result.certificate), "gap": result.certificate.gap},
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_certificate(path: Path) -> Claim:
    """Read a certificate file.

    Raises:
        InputError: it is no certificate; with file, line and key.
    """
    document = read_document(path)  # JSON is YAML
    fields = document.mapping(known=_KEYS, required=_KEYS)
    if fields["dovetail_certificate"].value != VERSION:
        raise fields["dovetail_certificate"].fail(f"only version {VERSION} of certificates is read")
    problem = fields["problem"].mapping(("name", "yaml"), ("name", "yaml"))
    design = fields["architecture"].mapping(("name", "key"), ("name", "key"))
    cost = fields["cost"].mapping(required=("cycles", "energy_pJ"))
    proof = fields["certificate"].mapping(required=("exact", "value", "bound", "compute_bound_cycles", "compulsory_pJ"))
    return Claim(
        problem=_problem(problem["yaml"], problem["name"].text()),
        design=design["name"].text(),
        design_key=design["key"].text(),
        energies=EnergyTable({name: _component(node) for name, node in fields["energies"].mapping().items()}),
        objective=_objective(fields["objective"]),
        mapping_text=fields["mapping"].text(),
        cycles=cost["cycles"].integer(1),
        energy_pJ=float(cost["energy_pJ"].number(0)),
        value=float(proof["value"].number(0)),
        bound=float(proof["bound"].number(0)),
        exact=proof["exact"].value is True,
        compute_bound_cycles=float(proof["compute_bound_cycles"].number(0)),
        compulsory_pJ=float(proof["compulsory_pJ"].number(0)),
    )


def _problem(node: Node, name: str) -> Problem:
    return problem_of_document(parse_document(node.text(), file=f"{node.file} ({node.key})"), name).problem


def _objective(node: Node) -> Objective:
    if node.value not in list(Objective):
        raise node.fail(f"must be one of {', '.join(Objective)}, found {node.kind}")
    return Objective(node.text())


def _component(node: Node) -> ComponentCost:
    fields = node.mapping(("actions", "area_um2", "source"), ("actions",))
    actions = {name: float(value.number(0)) for name, value in fields["actions"].mapping().items()}
    return ComponentCost(actions, float(fields["area_um2"].number(0)) if "area_um2" in fields else 0.0)


def verify(
    claim: Claim,
    architecture: Architecture,
    *,
    search: Callable[..., SearchResult] | None = None,
    time_limit: float | None = None,
) -> tuple[Check, ...]:
    """Check a certificate's claims again, from the mapping up.

    Args:
        claim: what the certificate says.
        architecture: the design that it names.
        search: what searches once more; None: nothing, the search is not repeated.
        time_limit: seconds for that.
    """
    same = content_key(architecture.levels) == claim.design_key
    checks = [Check("the design is the one that was searched", same, architecture.name)]
    bounds = dict(zip(claim.problem.shape.dimensions, claim.problem.bounds, strict=True))
    bound = bind(architecture, bounds, {t.name: t.dimensions for t in claim.problem.shape.tensors})
    try:
        mapping = parse_mapping(claim.mapping_text, bound, claim.problem, file="the certificate's mapping")
        checks += _checks_of_mapping(claim, mapping, bound)
    except DovetailError as error:
        checks.append(Check("the mapping can be evaluated", False, str(error)))
    checks += _checks_of_bounds(claim, bound)
    if search is not None:
        checks.append(_check_of_search(claim, architecture, search, time_limit))
    return tuple(checks)


def _checks_of_mapping(claim: Claim, mapping: Mapping, architecture: Architecture) -> list[Check]:
    broken = violations(mapping, claim.problem, architecture)
    cost = evaluate(mapping, claim.problem, architecture, claim.energies)
    value = claim.objective.value_of(cost.energy_pJ, cost.cycles)
    return [
        Check("the mapping obeys every constraint", not broken, "; ".join(broken) or "none is broken"),
        Check("its tiles fit every level", True, "none is too large"),
        Check("its cycles are as claimed", cost.cycles == claim.cycles, f"{cost.cycles}, claimed {claim.cycles}"),
        Check(
            "its energy is as claimed", cost.energy_pJ == claim.energy_pJ, f"{cost.energy_pJ} pJ, {claim.energy_pJ} pJ"
        ),
        Check(f"its {claim.objective} is as claimed", _close(value, claim.value), f"{value}, claimed {claim.value}"),
    ]


def _checks_of_bounds(claim: Claim, architecture: Architecture) -> list[Check]:
    """Check the bounds against ones so plain that they need no search: all units at work, and computing alone."""
    fewest = math.ceil(claim.problem.macs / architecture.parallelism)
    computing = claim.problem.macs * claim.energies[architecture.compute.name].energy("compute")
    least = claim.compulsory_pJ * (1 - 1e-9)
    return [
        Check(
            "cycles lie above their bound, that above all units at work",
            fewest <= claim.compute_bound_cycles <= claim.cycles,
            f"{fewest} <= {claim.compute_bound_cycles:g} <= {claim.cycles}",
        ),
        Check(
            "energy lies above its bound, that above computing alone",
            computing * (1 - 1e-9) <= claim.compulsory_pJ and least <= claim.energy_pJ,
            f"{computing:g} <= {claim.compulsory_pJ:g} <= {claim.energy_pJ:g} pJ",
        ),
        Check(
            "the bound is the value" if claim.exact else "the bound lies below the value",
            _close(claim.bound, claim.value) if claim.exact else claim.bound <= claim.value,
            f"{claim.bound:g}, {claim.value:g}",
        ),
    ]


def _check_of_search(
    claim: Claim, architecture: Architecture, search: Callable[..., SearchResult], time_limit: float | None
) -> Check:
    what = "searching again finds nothing better" + (", and the same" if claim.exact else "")
    try:
        result = search(claim.problem, architecture, claim.energies, claim.objective, time_limit=time_limit)
    except NoMappingError as error:
        return Check(what, False, str(error))
    value = claim.objective.value_of(result.cost.energy_pJ, result.cost.cycles)
    if claim.exact and result.certificate.exact:
        return Check(what, _close(value, claim.value), f"{value:g}, claimed {claim.value:g}")
    passed = value >= claim.value * (1 - 1e-12) and result.certificate.bound <= claim.value
    return Check(what, passed, f"{value:g} (bound {result.certificate.bound:g}), claimed {claim.value:g}")


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-12)
