"""A mapping that was given: read in the words of the layer's reading that it fits, checked, and evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dovetail.components.energy_table import EnergyTable
from dovetail.errors import InputError, MappingError
from dovetail.hardware.architecture import Architecture
from dovetail.mapping.check import check_mapping
from dovetail.mapping.constraints import bound_to, violations
from dovetail.mapping.files import read_mapping_file
from dovetail.mapping.mapping import Mapping
from dovetail.mapping.notes import design_notes
from dovetail.mapping.origins import origin_notes
from dovetail.mapping.timeloop_yaml import MappingFile
from dovetail.model.cost import Cost
from dovetail.model.evaluate import evaluate
from dovetail.model.sparse.prices import price_notes
from dovetail.network.readings import readings_on
from dovetail.workload.problem import Problem
from dovetail.workload.roles import Reading


@dataclass(frozen=True)
class Given:
    """A given mapping and its cost.

    Attributes:
        problem: the layer in the reading that the mapping fits.
        architecture: the design, with what the mapping's file says of it.
        mapping: the mapping.
        cost: what it costs.
        broken: constraints that it breaks, a sentence each.
        notes: how the layer was read, and what else to know.
    """

    problem: Problem
    architecture: Architecture
    mapping: Mapping
    cost: Cost
    broken: tuple[str, ...]
    notes: tuple[str, ...]


def evaluate_given(
    mapping: Path | Mapping, problem: Problem, architecture: Architecture, energies: EnergyTable
) -> Given:
    """Return what a mapping costs, which may break constraints but not sizes.

    Args:
        mapping: a file in any form, or the value.
        problem: the layer as it came.
        architecture: the design.
        energies: what its components cost.

    Raises:
        InputError, MappingError: the file is wrong, or the mapping fits no reading of the problem; the message is the
            first reading's, and says how the problem was read.
    """
    problem, read, notes = _fitting(mapping, architecture, problem)
    notes += [*read.notes, *design_notes(architecture, [problem]), *price_notes(architecture, energies)]
    cost = evaluate(read.mapping, problem, read.architecture, energies)
    notes += origin_notes(read.mapping, problem, read.architecture)
    broken = tuple(violations(read.mapping, problem, read.architecture))
    return Given(problem, read.architecture, read.mapping, cost, broken, tuple(notes))


def _fitting(
    mapping: Path | Mapping, architecture: Architecture, problem: Problem
) -> tuple[Problem, MappingFile, list[str]]:
    """Read the mapping in the words of the first reading of the problem that it fits, its own words the last."""
    failed: list[InputError | MappingError] = []
    ways = readings_on(problem, architecture)
    for reading in (*ways, *(() if Reading(problem) in ways else (Reading(problem),))):
        try:
            read = _read(mapping, bound_to(architecture, reading.problem), reading.problem)
        except (InputError, MappingError) as error:
            failed.append(error)
        else:
            return reading.problem, read, [f"{problem.name}: {reading.text}"] if reading.text else []
    first = failed[0]
    if ways[0].text and isinstance(first, InputError):
        how = f"{problem.name}{' is' if ways[0].text.startswith('read as') else ':'} {ways[0].text}"
        raise InputError(f"{first.message} ({how})", file=first.file, line=first.line, key=first.key)
    raise first


def _read(mapping: Path | Mapping, architecture: Architecture, problem: Problem) -> MappingFile:
    if isinstance(mapping, Path):
        return read_mapping_file(mapping, architecture, problem)
    check_mapping(mapping, problem, architecture)
    return MappingFile(mapping, architecture)
