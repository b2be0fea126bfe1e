"""What the folder of a run holds: the design, the problem and the mapping that were evaluated, and what came out."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.components.accelergy_tables import read_energy_table
from dovetail.components.energy_table import EnergyTable
from dovetail.document import Node, Scalar, read_text
from dovetail.document_file import read_document
from dovetail.errors import InputError
from dovetail.hardware.architecture import Architecture
from dovetail.hardware.design_files import read_design
from dovetail.hardware.reader import read_architecture
from dovetail.mapping.constraints import bound_to
from dovetail.mapping.files import read_mapping_file
from dovetail.mapping.mapping import Mapping
from dovetail.runs.inferred import inferred_problem
from dovetail.runs.stats import RunStats, read_stats
from dovetail.workload.problem import Problem
from dovetail.workload.problem_yaml import problem_of_document

_STATS, _MAP = "stats.txt", "map.txt"
#: Words of a tile, and how many of them are there: zeros are left out.
_HELD = re.compile(r":(\d+) \((\d+)\)")
#: Designs that a run leaves, the one that says most first.
_DESIGNS = ("parsed-processed-input.yaml", "defined_input_architecture.yaml", "flattened_architecture.yaml")


@dataclass(frozen=True)
class Run:
    """A run of the reference.

    Attributes:
        stats_file: its statistics.
        stats: what they say.
        architecture: the design.
        problem: the layer.
        mapping: the mapping that was evaluated.
        energies: the table it was evaluated with; None where the folder has none.
        notes: where parts were found or how they were inferred, a sentence each.
    """

    stats_file: Path
    stats: RunStats
    architecture: Architecture
    problem: Problem
    mapping: Mapping
    energies: EnergyTable | None
    notes: tuple[str, ...]


def runs_below(folder: Path) -> list[Path]:
    """Return the statistics of all runs in a folder and in those inside, in the order of their names."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob(f"*{_STATS}") if path.is_file())


def read_run(
    stats_file: Path,
    files: Sequence[Path] = (),
    include_folders: Sequence[Path] = (),
    data: MappingOf[str, Scalar] | None = None,
) -> Run:
    """Read a run from its statistics and what lies beside them.

    Args:
        stats_file: as ``timeloop-mapper.stats.txt``.
        files: what was put in, where the folder doesn't have it: the design's files, the problem's, the mapping's.
            What lies in the folder above a folder of outputs need not be given.
        include_folders: folders besides the files' own that their includes may read.
        data: values for the files' template variables and variables.

    Raises:
        InputError: a part is missing or can't be read.
        MappingError: the mapping does not fit the design.
    """
    folder, prefix = stats_file.parent, stats_file.name.removesuffix(_STATS)
    stats = read_stats(stats_file)
    if stats.is_sparse:
        raise InputError("is a sparse run: what was gated or skipped is not compared", file=stats_file)
    notes: list[str] = []
    documents = [read_document(path, include_folders=include_folders, data=data) for path in files]
    printed = _mapping_file(folder, prefix, documents, stats_file)
    if printed.suffix == ".txt" and any(held != words for words, held in _HELD.findall(read_text(printed))):
        why = "its tiles hold fewer words than they have places: zeros are left out, or values packed into words"
        raise InputError(f"is not compared: {why}", file=stats_file)
    inside, unread = _inside(folder)
    inside += _above(folder, inside, documents, notes)
    if any("architecture" in document.mapping() for document in documents):
        design = read_design(files, include_folders=include_folders, data=data)
    else:
        design = _left_design(inside, unread, stats_file)
    architecture = read_architecture(design, _name(folder))
    problem = _problem([*documents, *(document for _, document in inside)], printed, notes)
    bound = bound_to(architecture, problem)
    read = read_mapping_file(printed, bound, problem)
    ert, art = (_beside(folder, prefix, name) for name in ("ERT.yaml", "ART.yaml"))
    energies = None if ert is None else read_energy_table(ert, art, architecture)
    return Run(stats_file, stats, read.architecture, problem, read.mapping, energies, tuple(notes))


def _mapping_file(folder: Path, prefix: str, documents: Sequence[Node], stats_file: Path) -> Path:
    """Return the file of the mapping that was evaluated: given, or left beside the statistics."""
    given = [Path(document.file) for document in documents if "mapping" in document.mapping()]
    left = [path for name in (_MAP, "map.yaml") if (path := folder / f"{prefix}{name}").is_file()]
    if not given and not left:
        raise InputError(f"no mapping beside it: {prefix}{_MAP} is missing; give its file behind", file=stats_file)
    return [*given, *left][0]


def _above(
    folder: Path, inside: Sequence[tuple[Path, Node]], given: Sequence[Node], notes: list[str]
) -> list[tuple[Path, Node]]:
    """Return what lies in the folder above a folder of outputs, of sections that it lacks and one file there has."""
    have = {name for document in (*given, *(each for _, each in inside)) for name in document.mapping()}
    missing = [name for name in ("architecture", "problem") if name not in have]
    around = _inside(folder.resolve().parent)[0] if missing and folder.name.startswith("output") else []
    found: list[tuple[Path, Node]] = []
    for name in missing:
        holders = [pair for pair in around if name in pair[1].mapping()]
        if len(holders) == 1:
            notes.append(f"the {name} is that of {holders[0][0].name} in the folder above")
            found += [pair for pair in holders if pair not in found]
    return found


def _inside(folder: Path) -> tuple[list[tuple[Path, Node]], list[InputError]]:
    """Return the documents of a folder that can be read, and why others cannot: those need not be the run's."""
    read, unread = [], []
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = read_document(path)
        except InputError as error:
            unread.append(error.placed(path))
            continue
        if isinstance(document.value, dict):
            read.append((path, document))
    return read, unread


def _left_design(inside: Sequence[tuple[Path, Node]], unread: Sequence[InputError], stats_file: Path) -> Node:
    """Return the design that the run itself left, the fullest first."""
    having = [path for path, document in inside if "architecture" in document.mapping()]
    rank = {name: place for place, name in enumerate(_DESIGNS)}
    having.sort(key=lambda path: next((rank[name] for name in rank if path.name.endswith(name)), -1))
    if not having:
        but = f"; one file there can't be read: {unread[0]}" if unread else ""
        raise InputError(f"no design lies beside it: give its files behind the folder{but}", file=stats_file)
    return read_design([having[0]])


def _problem(documents: Sequence[Node], printed: Path, notes: list[str]) -> Problem:
    for document in documents:
        if document.mapping().get("problem") is not None:
            return problem_of_document(document, Path(document.file).stem).problem
    problem = inferred_problem(printed)
    sizes = zip(
        (*problem.shape.dimensions, *problem.shape.coefficients),
        (*problem.bounds, *problem.coefficients),
        strict=True,
    )
    listed = " ".join(f"{name}={size}" for name, size in sizes if size > 1)
    notes.append(f"no problem is given: the loops and tiles of {printed.name} are those of {listed}")
    return problem


def _name(folder: Path) -> str:
    return folder.resolve().name or "run"


def _beside(folder: Path, prefix: str, name: str) -> Path | None:
    places = [folder / f"{prefix}{name}", folder / name]
    if folder.name.startswith("output"):
        places.append(folder.resolve().parent / name)
    return next((path for path in places if path.is_file()), None)
